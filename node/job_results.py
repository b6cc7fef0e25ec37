"""What came of a job, for the bank's own programs: rows, Arrow, pandas, files.

A row for each row of the list the bank handed in, in that order:

===============  =============================================================
`subject_id`     as the bank wrote it
`consent_id`
`kind`           `scored`, `vetoed`, `insufficient_data`; `denied`; `withdrawn`:
                 permitted, but the consent was withdrawn before the decryption;
                 `out_of_range`: some input is not what its schema says, report it;
                 `open`: nothing yet, or the job ended before it
`reason`         of a veto, where the contract reveals it; of a denial
...              the contract's outcome: grade, limit (fen), ...; empty otherwise
===============  =============================================================

`table` needs pyarrow, `frame` pandas too; rows and CSV need neither.
"""

import csv
import importlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from contracts.compiled import Answer, Compiled
from node import durable
from node.errors import ConfigInvalid, TableInvalid
from node.job_reading import DENIED, OPEN, WITHDRAWN, reason_of
from node.job_records import Listed
from protocols.program import OUT_OF_RANGE
from protocols.slots import Ints

CSV: Final = ".csv"
PARQUET: Final = ".parquet"
NEEDS: Final = "pip install 'data-safehouse[tables]'"


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """What a bank learns of one subject of a job."""

    subject: str
    consent: str
    kind: str
    reason: str
    fields: Mapping[str, str | int]  # grade, limit (fen), ...; else empty


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What a code says."""

    kind: str
    reason: str
    fields: Mapping[str, str | int]


class JobResults:
    """The outcomes of a job, as far as they were fetched."""

    def __init__(
        self,
        compiled: Compiled,
        listed: Listed,
        codes: Ints,
        details: Mapping[int, str],
    ) -> None:
        self._compiled = compiled
        self._listed = listed
        self._order = np.argsort(listed.rows, kind="stable")
        self._codes = codes
        self._details = details
        self._meanings = {
            code: _meaning(compiled, code) for code in np.unique(codes).tolist()
        }

    def __len__(self) -> int:
        return len(self._codes)

    def __iter__(self) -> Iterator[JobOutcome]:
        subjects, consents = self._listed.subjects, self._listed.entries.consents
        for entry in self._order.tolist():
            meaning = self._meanings[int(self._codes[entry])]
            yield JobOutcome(
                subjects[entry],
                consents[entry],
                meaning.kind,
                self._reason(entry, meaning),
                meaning.fields,
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The fields of the contract's outcome."""
        return tuple(name for name, _ in self._compiled.outcomes[0])

    def counts(self) -> dict[str, int]:
        """Count the rows of each kind."""
        codes, counts = np.unique(self._codes, return_counts=True)
        found: Counter[str] = Counter()
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            found[self._meanings[code].kind] += count
        return dict(found)

    def table(self) -> Any:  # noqa: ANN401  a pyarrow.Table
        """Return an Arrow table; raises `ConfigInvalid` without pyarrow."""
        return _module("pyarrow").table(dict(self._columns()))

    def frame(self) -> Any:  # noqa: ANN401  a pandas.DataFrame
        """Return a pandas frame; raises `ConfigInvalid` without pandas."""
        _module("pandas")
        return self.table().to_pandas()

    def write(self, path: Path) -> None:
        """Write `.csv` or `.parquet`, whole or not at all.

        Raises `TableInvalid` for another suffix, `ConfigInvalid` for a Parquet
        file without pyarrow, `OSError`.
        """
        check_suffix(path)
        durable.replace(path, self._csv() if path.suffix == CSV else self._parquet())

    def _columns(self) -> Iterator[tuple[str, Sequence[Any]]]:
        """Return the columns one by one; values are looked up by code."""
        order, entries = self._order, self._listed.entries
        codes, places = np.unique(self._codes[order], return_inverse=True)
        meanings = [self._meanings[code] for code in codes.tolist()]

        def spread(values: Sequence[str | int | None]) -> list[Any]:
            column: list[Any] = np.array(values, object)[places].tolist()
            return column

        yield "subject_id", [self._listed.subjects[i] for i in order.tolist()]
        yield "consent_id", [entries.consents[i] for i in order.tolist()]
        yield "kind", spread([meaning.kind for meaning in meanings])
        reasons = spread([meaning.reason for meaning in meanings])
        for row, entry in enumerate(order.tolist()):
            if entry in self._details:
                reasons[row] += f": {self._details[entry]}"
        yield "reason", reasons
        for name in self.names:
            yield name, spread([meaning.fields.get(name) for meaning in meanings])

    def _reason(self, entry: int, meaning: _Meaning) -> str:
        detail = self._details.get(entry)
        return f"{meaning.reason}: {detail}" if detail else meaning.reason

    def _csv(self) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        columns = dict(self._columns())
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
        return text.getvalue().encode()

    def _parquet(self) -> bytes:
        parquet = _module("pyarrow.parquet")
        written = io.BytesIO()
        parquet.write_table(self.table(), written)
        return written.getvalue()


def check_suffix(path: Path) -> None:
    """Raise `TableInvalid` for a file that `JobResults.write` cannot write."""
    if path.suffix not in (CSV, PARQUET):
        raise TableInvalid(
            f"cannot write `{path.name}`", f"expected `{CSV}` or `{PARQUET}`"
        )


def _meaning(compiled: Compiled, code: int) -> _Meaning:
    if code == OPEN:
        return _Meaning("open", "", {})
    if code == WITHDRAWN:
        return _Meaning("withdrawn", "", {})
    if code <= DENIED:
        return _Meaning("denied", reason_of(code).value, {})
    if code == OUT_OF_RANGE:
        return _Meaning("out_of_range", "", {})
    told = compiled.explain(code)
    if told.answer is Answer.SCORED:
        return _Meaning(told.answer.value, "", dict(told.outcome))
    return _Meaning(told.answer.value, told.reason, {})


def _module(name: str) -> Any:  # noqa: ANN401  a module that may not be there
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        package = name.partition(".")[0]
        raise ConfigInvalid(f"`{package}` is not installed", NEEDS) from None
