r"""How good a custodian's table is, and what changed since the version before it.

What was pushed last leaves a profile behind, `profiles/<dataset>.<version>.profile` in
the custodian's data folder, readable by its owner only::

    line     canonical JSON of `contracts.profile.Profile`, and a line end
    marks    8 bytes for each slot, little endian (`Values.marks`)

The marks say who is in the table and with the same values as before, to nobody but
the holder of the seed.  With them a push tells how many subjects came, went and
changed, and in which rows; with the profile, how far every column has moved.  The two
newest versions are kept, so that a push repeated after a lost reply reports the same.

This room is on no way to the network: nothing in it knows how to send.  Its numbers
go down to single subjects.  That is the custodian's own affair, the table is its own;
whoever hands a report on hands on part of the table.

*归集率*, the collection rate, is how many subjects of the base register have a row that
could be pushed; with a roster of those who ought to (`expected`), how many of these.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from contracts import profile
from contracts.dataset import Dataset
from contracts.profile import Drift, Profile
from node import durable
from node.filling import Marks, ValidationReport, Values
from protocols.canon import Json
from protocols.drbg import Drbg
from protocols.errors import FormatError

FOLDER: Final = "profiles"
SUFFIX: Final = ".profile"
KEPT: Final = 2  # versions of a dataset
ROWS_TOLD: Final = 1_000  # of a table, in a report for machines
WORD: Final = 8  # bytes of a mark


@dataclass(frozen=True, slots=True)
class Change:
    """What is different from the version before."""

    version: int
    vintage: str
    came: tuple[int, ...]  # rows of the new table
    changed: tuple[int, ...]
    same: int  # subjects
    went: int  # subjects: their rows are in the older table
    drifts: tuple[Drift, ...]

    @property
    def farthest(self) -> Drift:
        """The column that moved farthest."""
        return max(self.drifts, key=lambda drift: drift.psi)

    def to_json(self) -> dict[str, Json]:
        """Write for machines."""
        return {
            "version": self.version,
            "vintage": self.vintage,
            "came": len(self.came),
            "went": self.went,
            "changed": len(self.changed),
            "same": self.same,
            "came_rows": self.came[:ROWS_TOLD],
            "changed_rows": self.changed[:ROWS_TOLD],
            "drift": [drift.to_json() for drift in self.drifts],
        }


@dataclass(frozen=True, slots=True)
class Quality:
    """A table as it is, and against the version before it."""

    dataset: Dataset
    report: ValidationReport
    profile: Profile
    change: Change | None  # None where nothing was pushed from here before
    marks: Marks

    def to_json(self) -> dict[str, Json]:
        """Write for machines."""
        change = None if self.change is None else self.change.to_json()
        document = self.profile.to_json()
        del document["v"]
        return document | {"change": change}


def rate(part: int, whole: int) -> str:
    """Write a share in per cent, rounded down: only all of it is 100.

    >>> rate(1999, 2000), rate(2, 2), rate(0, 0)
    ('99.9 %', '100.0 %', '-')
    """
    if not whole:
        return "-"
    permille = 1000 * part // whole
    return f"{permille // 10}.{permille % 10} %"


class Profiles:
    """The profiles that a custodian keeps of what it pushed."""

    def __init__(self, data: Path, seed: bytes) -> None:
        self._folder = data / FOLDER
        self._seed = seed

    def examine(
        self,
        dataset: Dataset,
        read: tuple[ValidationReport, Values],
        expected: Sequence[int],
        below: int = profile.MOST_VERSION,
    ) -> Quality:
        """Profile a table, and compare it with the newest version kept under `below`.

        `expected` are the slots of a roster, -1 for who is not in the map.  Raises
        `FormatError` for a kept profile that is none.
        """
        report, values = read
        marks, empty = values.marks(self._drbg(dataset))
        made = Profile(
            dataset=dataset.name,
            schema_hash=dataset.schema_hash,
            version=0,
            vintage="",
            rows=report.rows,
            good=report.good,
            duplicates=report.duplicates,
            unknown=report.unknown,
            register=report.good + report.absent,
            expected=len(expected),
            arrived=values.has(slot for slot in expected if slot >= 0),
            created_ms=0,
            columns=tuple(
                profile.column_profile(column, tally)
                for column, tally in zip(dataset.columns, values.tallies, strict=True)
            ),
        )
        kept = [v for v in self._versions(dataset.name) if v < below]
        quality = Quality(dataset, report, made, None, marks)
        if not kept or not report.good:
            return quality
        before, old = self._read(dataset, max(kept))
        grown = empty.copy()  # subjects that the map got since were not there
        if len(old) > len(grown) or len(before.columns) != len(made.columns):
            raise FormatError(f"the profile of `{dataset.name}` is of another map")
        grown[: len(old)] = old
        was, now, differs = grown != empty, marks != empty, grown != marks
        change = Change(
            before.version,
            before.vintage,
            tuple(values.rows_of(now & ~was)),
            tuple(values.rows_of(now & was & differs)),
            int((now & ~differs).sum()),
            int((was & ~now).sum()),
            tuple(map(profile.drift, dataset.columns, before.columns, values.tallies)),
        )
        return replace(quality, change=change)

    def keep(
        self, quality: Quality, version: int, vintage: str, now_ms: int
    ) -> Quality:
        """Keep the profile of a version that landed; forget all but the newest."""
        made = replace(
            quality.profile, version=version, vintage=vintage, created_ms=now_ms
        )
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = (made.to_bytes(), b"\n", quality.marks.astype("<u8").tobytes())
        durable.replace(self._path(made.dataset, version), data, private=True)
        for old in self._versions(made.dataset)[:-KEPT]:
            self._path(made.dataset, old).unlink(missing_ok=True)
        return replace(quality, profile=made)

    def _read(self, dataset: Dataset, version: int) -> tuple[Profile, Marks]:
        path = self._path(dataset.name, version)
        found, marks = self._load(path)
        whose = (found.dataset, found.version, found.schema_hash)
        if whose != (dataset.name, version, dataset.schema_hash):
            raise FormatError(f"`{path}` is of another version or schema")
        return found, marks

    def _load(self, path: Path) -> tuple[Profile, Marks]:
        line, _, marks = path.read_bytes().partition(b"\n")
        try:
            found = Profile.parse(line)
        except FormatError as error:
            raise FormatError(f"`{path}`: {error}") from None
        if len(marks) % WORD:
            raise FormatError(f"`{path}`: cut short")
        return found, np.frombuffer(marks, "<u8")

    def _drbg(self, dataset: Dataset) -> Drbg:
        return Drbg(self._seed).child(f"profile {dataset.name}")

    def _path(self, name: str, version: int) -> Path:
        return self._folder / f"{name}.{version}{SUFFIX}"

    def _files(self, name: str) -> Iterable[Path]:
        return self._folder.glob(f"{name}.*{SUFFIX}")

    def _versions(self, name: str) -> list[int]:
        texts = (path.name.split(".")[1] for path in self._files(name))
        return sorted(int(text) for text in texts if text.isdecimal())
