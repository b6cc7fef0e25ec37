r"""The list a job is asked about, while the house works on it.

Entries are (subject reference, salt, consent id) in the order of the references,
so no subject is there twice.  References are never kept in clear: the list lies
under the at-rest key, `jobs/<job hash>.list`, and is erased when the job ends::

    wrapped under the at-rest key, bound to the job hash:
        references, 32 bytes each | salts, 32 bytes each | consent ids, one a line

Beside it lies `<job hash>.plan`, which says in what order entries are worked on:
by their rows in the directory (`node.directory`), those without a row first::

    wrapped under the at-rest key, bound to `plan` and the job hash:
        rows, 8 bytes each, little endian, -1 for none | entries, 4 bytes each

A bank sees in what order its entries are refused, so nobody is looked up in the
directory who has not consented: else it would learn which strangers are in there.
Neither file is believed: one that was changed, on whose word an outcome would be
another person's, is `VaultDamaged`.

A plan is made once, when the job begins, so that what was asked about under a
stretch's number is asked again after a crash, whatever the directory has become.

>>> found = Entries()
>>> found.add(bytes(32) + b"\x01" * 32, bytes(64), ["c-1", "c-2"])
>>> len(found), found.consents[1]
(2, 'c-2')
>>> found.add(bytes(32), bytes(32), ["c-3"])
Traceback (most recent call last):
    ...
protocols.errors.FormatError: entry 2: expected references in ascending order
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from node import durable
from node.errors import VaultDamaged
from protocols.canon import Tag, digest
from protocols.errors import FormatError, SealBroken
from protocols.job import MOST_ENTRIES, entry_leaf
from protocols.seal import unwrap, wrap
from protocols.slots import Ints
from protocols.tlog import HASH_BYTES

FOLDER: Final = "jobs"
MOST_CONSENT: Final = 128  # characters of a consent's id, as `contracts.consent`
NO_ROW: Final = -1  # nobody who has consented, or of whom there are data
OUTSIDE: Final = -2  # one that the job is not about: `protocols.where`
_NAME: Final = re.compile(r"[0-9a-f]{64}")
_ROW_BYTES: Final = 12  # of a plan
_PLAN: Final = b"plan"


class Entries:
    """Some entries, in ascending order of their references."""

    def __init__(self) -> None:
        self.refs = bytearray()
        self.salts = bytearray()
        self.consents: list[str] = []
        self._last = b""

    def __len__(self) -> int:
        return len(self.consents)

    def add(self, refs: bytes, salts: bytes, consents: Sequence[str]) -> None:
        """Append a stretch; raises `FormatError` where it is none."""
        count = len(consents)
        if len(refs) != count * HASH_BYTES or len(salts) != count * HASH_BYTES:
            raise FormatError("expected a reference, a salt and a consent an entry")
        if len(self) + count > MOST_ENTRIES:
            raise FormatError(f"expected at most {MOST_ENTRIES} entries")
        for number, consent in enumerate(consents):
            ref = refs[number * HASH_BYTES : (number + 1) * HASH_BYTES]
            if ref <= self._last and len(self) + number:
                raise FormatError(
                    f"entry {len(self) + number}: expected references in ascending"
                    " order",
                    "a subject is in a list once",
                )
            if len(consent) > MOST_CONSENT or not consent.isprintable():
                raise FormatError(f"entry {len(self) + number}: not a consent's id")
            self._last = ref
        self.refs += refs
        self.salts += salts
        self.consents += consents

    @property
    def size_bytes(self) -> int:
        """How long a list of them is at most."""
        return 2 * len(self.refs) + 4 * sum(map(len, self.consents)) + len(self)

    def ref(self, entry: int) -> bytes:
        """Return the reference of an entry."""
        return bytes(self.refs[entry * HASH_BYTES : (entry + 1) * HASH_BYTES])

    def salt(self, entry: int) -> bytes:
        """Return the salt of an entry."""
        return bytes(self.salts[entry * HASH_BYTES : (entry + 1) * HASH_BYTES])

    def leaves(self) -> list[bytes]:
        """Hash every entry, for the list's tree."""
        return [
            entry_leaf(digest(Tag.SUBJECT, self.ref(entry), self.salt(entry)), consent)
            for entry, consent in enumerate(self.consents)
        ]


@dataclass(frozen=True, slots=True)
class Plan:
    """In what order entries are worked on, and the directory's row of each."""

    rows: Ints  # ascending; `OUTSIDE` and `NO_ROW` first, each in the list's order
    entries: NDArray[np.uint32]

    @classmethod
    def of(cls, rows: Ints) -> "Plan":
        """Order entries, whose rows are given in the order of the list."""
        order = np.argsort(rows, kind="stable")
        return cls(rows[order], order.astype(np.uint32))

    def __len__(self) -> int:
        return len(self.entries)


class JobFolder:
    """The files of jobs under way."""

    def __init__(self, data: Path, key: bytes) -> None:
        self._folder = data / FOLDER
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._key = key

    def keep_list(self, job: bytes, entries: Entries) -> None:
        """Write a list, durably."""
        consents = "\n".join(entries.consents).encode()
        data = bytes(entries.refs) + bytes(entries.salts) + consents
        durable.replace(self._path(job, "list"), wrap(self._key, job, data))

    def read_list(self, job: bytes, count: int) -> Entries:
        """Read a list of `count` entries; raises `VaultDamaged`."""
        data = self._read(job, "list", job)
        middle, end = count * HASH_BYTES, 2 * count * HASH_BYTES
        entries = Entries()
        consents = data[end:].decode().split("\n")
        entries.add(data[:middle], data[middle:end], consents)
        return entries

    def keep_plan(self, job: bytes, plan: Plan) -> None:
        """Write a plan, durably."""
        data = plan.rows.astype("<i8").tobytes() + plan.entries.astype("<u4").tobytes()
        sealed = wrap(self._key, _PLAN + job, data)
        durable.replace(self._path(job, "plan"), sealed)

    def read_plan(self, job: bytes) -> Plan | None:
        """Read a plan, if it was made; raises `VaultDamaged`."""
        if not self._path(job, "plan").exists():
            return None
        data = self._read(job, "plan", _PLAN + job)
        end = len(data) // _ROW_BYTES * 8
        rows = np.frombuffer(data[:end], "<i8").astype(np.int64)
        return Plan(rows, np.frombuffer(data[end:], "<u4").astype(np.uint32))

    def damaged(self, job: bytes, kind: str) -> VaultDamaged:
        """Name a file of a job that is not as it was written."""
        name = self._path(job, kind).name
        return VaultDamaged(
            f"the {kind} of the job, `{name}`, was changed on the disk",
            "hand in the job again",
        )

    def _read(self, job: bytes, kind: str, bound: bytes) -> bytes:
        try:
            return unwrap(self._key, bound, self._path(job, kind).read_bytes())
        except (FileNotFoundError, SealBroken):
            raise self.damaged(job, kind) from None

    def kept(self) -> set[bytes]:
        """List the jobs of which there is a file."""
        names = (path.stem for path in self._folder.iterdir())
        return {bytes.fromhex(name) for name in names if _NAME.fullmatch(name)}

    def erase(self, job: bytes) -> None:
        """Remove what a job needed, once it has ended."""
        for kind in ("list", "plan"):
            self._path(job, kind).unlink(missing_ok=True)

    def _path(self, job: bytes, kind: str) -> Path:
        return self._folder / f"{job.hex()}.{kind}"
