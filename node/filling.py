r"""From a custodian's table to the values of every slot of the map.

Row by row: the subject's id is brought to its one form and looked up in the map,
every cell is encoded as its column declares.  What cannot be taken is a
`Problem`, with its row and column as the person sees them in the table:

* an id that names nobody, or one that has no slot in the map;
* a subject with two rows: nobody knows which one holds, so neither is taken and
  both are named, and whether they agree is not looked at;
* a cell outside what its column declares.

A problem's `value` is for the screen of the custodian, who has the table anyway.
It is not in the problem's text, so it reaches no log, no error and no network.

What was taken fills `Values`: a code for each slot and column of the document,
and for each code the integers it stands for.  A district of a million subjects
and 36 columns fits into 150 MB, where its integers would take 600.  Slots
without a row stay zero, `_present` included, so that whole blocks are pushed and
nobody learns from the house who is on a list.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from contracts.encoding import Fate
from contracts.errors import SubjectInvalid, ValueInvalid
from contracts.profile import Tally
from contracts.source import shown
from contracts.subject import SubjectType, canonical_id, subject_ref
from node.errors import RowsRefused
from node.progress import Progress, silent
from node.tables import Table
from protocols.drbg import Drbg
from protocols.slots import Ints

MEND: Final = "mend them, or leave them out with `--skip-bad-rows`"
SUBJECT_COLUMN: Final = "subject_id"  # where nobody says another

_ABSENT: Final = 0  # code of a slot without a row
_REFUSED: Final = -1  # code of a cell that its column does not allow
_SHOWN: Final = 3  # problems in the message of an error
_WORD: Final = 8  # bytes

Marks: TypeAlias = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one cell."""

    row: int  # as a spreadsheet numbers it
    column: str  # of the table
    message: str
    hint: str = ""
    value: str | None = field(default=None, repr=False)  # stays on this machine

    def __str__(self) -> str:
        return f"row {self.row}, column `{shown(self.column)}`: {self.message}"


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What a table holds, compared with a dataset and a map."""

    dataset: str
    rows: int  # read
    good: int  # rows that can be pushed
    duplicates: int  # rows whose subject has another one
    unknown: int  # rows whose subject has no slot in the map
    absent: int  # slots without a good row
    problems: tuple[Problem, ...]  # by row

    @property
    def bad_rows(self) -> int:
        """Rows that cannot be pushed."""
        return self.rows - self.good

    def require(self) -> None:
        """Raise `RowsRefused` unless every row is good."""
        refuse_rows(self.problems, self.bad_rows, self.rows)


@dataclass(frozen=True, slots=True)
class Place:
    """The slots that a table fills: whose, how many rows and to a block."""

    pepper: bytes = field(repr=False)
    numbers: Mapping[bytes, int]  # subject_ref -> row of the map
    rows: int
    slots: int  # in a block
    erased: frozenset[bytes] = frozenset()  # subject_refs to be left out for good

    @property
    def blocks(self) -> int:
        """Blocks with at least one row."""
        return -(-self.rows // self.slots)


class Cells(Protocol):
    """A column of a document: where it is in the table, and what a cell becomes."""

    @property
    def source(self) -> str:
        """Its name in the custodian's table."""

    @property
    def encrypted(self) -> Sequence[object]:
        """As many as the integers that a cell becomes."""

    def encode(self, text: str | None) -> tuple[int, ...]:
        """Encode one cell; raises `ValueInvalid`."""

    def fate(self, text: str | None) -> Fate:
        """Say how it comes to its value."""


class Sheet(Protocol):
    """A document that a table is read by: a dataset, or public attributes."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def subject_type(self) -> SubjectType:
        """What kind of identifier its rows have."""

    @property
    def columns(self) -> Sequence[Cells]:
        """The columns that are taken."""


def refuse_rows(
    problems: Sequence[object],
    bad: int,
    rows: int,
    hint: str = MEND,
) -> None:
    """Raise `RowsRefused`, with the first problems in its line, if there are any."""
    if problems:
        texts = tuple(map(str, problems))
        more = ", ..." if len(texts) > _SHOWN else ""
        raise RowsRefused(
            f"{bad} of {rows} rows cannot be taken: {'; '.join(texts[:_SHOWN])}{more}",
            hint,
            texts,
        )


class _Codes(dict[str | None, int]):
    """Numbers the encodings of one column; a text is encoded once.

    A cell that is missing or capped has a code of its own beside that of the value it
    counts as, so that codes can be counted by fate.
    """

    def __init__(self, column: Cells) -> None:
        super().__init__()
        self.expected: dict[str | None, str] = {}
        self.encodings = [(0,) * len(column.encrypted)]  # _ABSENT
        self.fates = [Fate.VALUE]
        self.missing = 0  # cells refused
        self.outside = 0
        self._column = column
        self._known: dict[tuple[tuple[int, ...], Fate], int] = {}
        self._read = np.zeros(1, np.int64)  # cells of each code

    def count(self, codes: NDArray[np.int32]) -> None:
        """Count the cells of a batch that were not refused."""
        read = np.bincount(codes[codes >= 0], minlength=len(self.encodings))
        read[: len(self._read)] += self._read
        self._read = read

    def refuse(self, text: str | None) -> str:
        """Count a cell that was refused; return what was expected."""
        if self._column.fate(text) is Fate.MISSING:
            self.missing += 1
        else:
            self.outside += 1
        return self.expected[text]

    def tally(self, codes: NDArray[np.int32]) -> Tally:
        """Count the column, `codes` being those of the subjects that are taken."""
        cells = Counter[Fate]()
        for fate, number in zip(self.fates, self._read.tolist(), strict=True):
            cells[fate] += number
        taken = np.bincount(codes, minlength=len(self.encodings)).tolist()
        values, blank = Counter[int](), 0
        for encoding, fate, number in zip(
            self.encodings, self.fates, taken, strict=True
        ):
            if fate is Fate.DEFAULT:
                blank += number
            elif number:
                one_hot = len(encoding) > 1
                values[encoding.index(1) if one_hot else encoding[0]] += number
        return Tally(
            self.missing + cells[Fate.MISSING] + cells[Fate.DEFAULT],
            self.outside,
            cells[Fate.CAPPED],
            sorted(values.items()),
            blank,
        )

    def __missing__(self, text: str | None) -> int:
        try:
            encoding = self._column.encode(text)
        except ValueInvalid as error:
            self.expected[text] = f"expected {error.expected}"
            self[text] = _REFUSED
            return _REFUSED
        fate = self._column.fate(text)
        code = self._known.setdefault((encoding, fate), len(self.encodings))
        if code == len(self.encodings):
            self.encodings.append(encoding)
            self.fates.append(fate)
        self[text] = code
        return code


class Values:
    """The integers of every slot and encrypted column, block by block."""

    def __init__(
        self,
        codes: Sequence[NDArray[np.int32]],
        encodings: Sequence[Ints],
        present: NDArray[np.bool_],
        slots: int,
        tallies: Sequence[Tally],
        rows: NDArray[np.int64],
    ) -> None:
        self.tallies = tallies  # of each column of the document
        self._codes = codes  # of each column of the document: (blocks x slots,)
        self._encodings = encodings  # (codes, encrypted columns of it)
        self._present = present
        self._slots = slots
        self._rows = rows  # of the table, by slot

    @property
    def present(self) -> int:
        """Subjects that have a row."""
        return int(self._present.sum())

    def block(self, number: int) -> Ints:
        """Return the values of one block: (encrypted columns, slots)."""
        part = slice(number * self._slots, (number + 1) * self._slots)
        columns = [
            encodings[codes[part]].T
            for codes, encodings in zip(self._codes, self._encodings, strict=True)
        ]
        return np.vstack([*columns, self._present[None, part].astype(np.int64)])

    def blocks(self) -> Iterator[Ints]:
        """Return the values of all blocks."""
        return map(self.block, range(len(self._present) // self._slots))

    def has(self, slots: Iterable[int]) -> int:
        """Count those of these slots whose subject has a row."""
        return sum(bool(self._present[slot]) for slot in slots)

    def rows_of(self, slots: NDArray[np.bool_]) -> list[int]:
        """List the rows of the table that fill these slots."""
        return sorted(self._rows[slots].tolist())

    def marks(self, drbg: Drbg) -> tuple[Marks, Marks]:
        """Mark what every slot holds, and what it would if it were empty.

        A mark is the sum, modulo 2^64, of a word drawn for each value and one drawn
        for the slot: equal for equal values of a subject, and without the seed a
        uniform number.  Two that differ have one mark with probability 2^-64.
        """
        size = len(self._present)
        empty = np.frombuffer(drbg.bytes("slots", _WORD * size), "<u8").copy()
        marks = empty + _words(drbg, "present", [(0,), (1,)])[self._present.astype(int)]
        empty += _words(drbg, "present", [(0,)])
        for number, encodings in enumerate(self._encodings):
            words = _words(drbg, str(number), encodings.tolist())
            marks += words[self._codes[number]]
            empty += words[_ABSENT]
        return marks, empty

    def digest(self) -> bytes:
        """Hash all of it.  Whoever can guess the table can check the guess."""
        hashed = hashlib.sha256()
        for values in self.blocks():
            hashed.update(values.astype("<i8").tobytes())
        return hashed.digest()


def _words(drbg: Drbg, column: str, values: Iterable[Sequence[int]]) -> Marks:
    drawn = (drbg.bytes(f"{column} {tuple(value)}", _WORD) for value in values)
    return np.frombuffer(b"".join(drawn), "<u8")


def fill(
    dataset: Sheet,
    path: Path,
    place: Place,
    *,
    column: str = SUBJECT_COLUMN,
    progress: Progress = silent,
) -> tuple[ValidationReport, Values]:
    """Read a table; raises `TableInvalid` where it is none.

    `column` holds the ids of the subjects, `progress` counts rows.  The values
    are those of the good rows; `ValidationReport.require` refuses bad ones.
    """
    filler = _Filler(dataset, place, column)
    names = [column, *(item.source for item in dataset.columns)]
    with Table.open(path) as table:
        for batch in table.read(names):
            filler.take(batch.first, *batch.cells)
            progress(filler.rows, max(filler.rows, table.about))
    return filler.finish()


class _Filler:
    """Takes rows, and keeps what `fill` returns."""

    def __init__(self, dataset: Sheet, place: Place, column: str) -> None:
        self.rows = 0
        self._dataset = dataset
        self._place = place
        self._column = column
        self._texts = [_Codes(item) for item in dataset.columns]
        size = place.blocks * place.slots
        self._codes = [np.zeros(size, np.int32) for _ in dataset.columns]
        self._row = np.zeros(size, np.int64)  # which row has the slot's subject
        self._good = np.zeros(size, np.bool_)
        self._problems: list[Problem] = []
        self._twice: dict[int, int] = {}  # slot -> rows of it after its first
        self._unknown = 0

    def take(
        self, first: int, ids: Sequence[str | None], *cells: Sequence[str | None]
    ) -> None:
        """Take a batch; `first` is the number of its first row."""
        self.rows += len(ids)
        slots = np.fromiter(self._slots(first, ids), np.int64, len(ids))
        codes = [
            np.fromiter(map(texts.__getitem__, column), np.int32, len(ids))
            for texts, column in zip(self._texts, cells, strict=True)
        ]
        good = slots >= 0
        for number, column in enumerate(codes):
            self._texts[number].count(column)
            refused = np.flatnonzero(column == _REFUSED)
            good[refused] = False
            self._refuse(first, number, refused, cells[number])
        taken = slots[good]
        self._good[taken] = True
        for kept, column in zip(self._codes, codes, strict=True):
            kept[taken] = column[good]

    def _slots(self, first: int, ids: Iterable[str | None]) -> Iterator[int]:
        """Find the slot of each row; -1 for none."""
        kind, pepper = self._dataset.subject_type, self._place.pepper
        for row, text in enumerate(ids, first):
            slot, problem = -1, None
            try:
                ref = subject_ref(pepper, kind, canonical_id(kind, text or ""))
            except SubjectInvalid as error:
                problem = Problem(row, self._column, *_said(error), text)
            else:
                slot = self._place.numbers.get(ref, -1)
                if slot < 0:
                    self._unknown += 1
                    why = _ERASED if ref in self._place.erased else _UNKNOWN
                    problem = Problem(row, self._column, *why, text)
            if problem is not None:
                self._problems.append(problem)
            elif earlier := int(self._row[slot]):
                if slot not in self._twice:
                    self._problems.append(_again(earlier, row, self._column))
                self._twice[slot] = self._twice.get(slot, 0) + 1
                self._problems.append(_duplicate(earlier, row, self._column, text))
            else:
                self._row[slot] = row
            yield slot

    def _refuse(
        self, first: int, number: int, places: Ints, cells: Sequence[str | None]
    ) -> None:
        source = self._dataset.columns[number].source
        for place in places.tolist():
            text = cells[place]
            expected = self._texts[number].refuse(text)
            self._problems.append(Problem(first + place, source, expected, value=text))

    def finish(self) -> tuple[ValidationReport, Values]:
        """Leave out the subjects with two rows, and report."""
        twice = sorted(self._twice)
        self._good[twice] = False
        for kept in self._codes:
            kept[~self._good] = _ABSENT
        good = int(self._good.sum())
        report = ValidationReport(
            dataset=self._dataset.name,
            rows=self.rows,
            good=good,
            duplicates=len(twice) + sum(self._twice.values()),
            unknown=self._unknown,
            absent=self._place.rows - good,
            problems=tuple(sorted(self._problems, key=lambda problem: problem.row)),
        )
        encodings = [np.array(texts.encodings, np.int64) for texts in self._texts]
        tallies = [
            texts.tally(codes[self._good])
            for texts, codes in zip(self._texts, self._codes, strict=True)
        ]
        slots, rows = self._place.slots, self._row
        return report, Values(self._codes, encodings, self._good, slots, tallies, rows)


@dataclass(frozen=True, slots=True)
class Register:
    """A base register: the references of its subjects, and what is wrong."""

    refs: Sequence[bytes]
    rows: int  # read
    problems: tuple[Problem, ...]

    def require(self, hint: str = MEND) -> None:
        """Raise `RowsRefused` unless every row is good."""
        refuse_rows(self.problems, len(self.problems), self.rows, hint)


def read_register(
    path: Path,
    column: str,
    subject_type: SubjectType,
    pepper: bytes,
    progress: Progress = silent,
    *,
    erased: frozenset[bytes] = frozenset(),
) -> Register:
    """Read the ids of a base register; raises `TableInvalid` where it is none.

    Every subject is there once; the second row of one is a problem, and so is a
    subject of `erased`.
    """
    first_row: dict[bytes, int] = {}
    problems: list[Problem] = []
    rows = 0
    with Table.open(path) as table:
        for batch in table.read([column]):
            for row, text in enumerate(batch.cells[0], batch.first):
                try:
                    canonical = canonical_id(subject_type, text or "")
                except SubjectInvalid as error:
                    problems.append(Problem(row, column, *_said(error), text))
                    continue
                ref = subject_ref(pepper, subject_type, canonical)
                if ref in erased:
                    problems.append(Problem(row, column, *_ERASED, text))
                    continue
                earlier = first_row.setdefault(ref, row)
                if earlier != row:
                    problems.append(_duplicate(earlier, row, column, text))
            rows += len(batch.cells[0])
            progress(rows, max(rows, table.about))
    return Register(list(first_row), rows, tuple(problems))


_LEAVE_ONE: Final = "leave one of the rows"
_UNKNOWN: Final = (
    "the subject has no slot in the map",
    "the custodian in charge adds it with the next base register",
)

_ERASED: Final = (
    "the subject has been erased",
    "take it out of the table: in a later register it is a new subject",
)


def _said(error: SubjectInvalid) -> tuple[str, str]:
    """Take the name of the field off: the problem names the table's own column."""
    return str(error).removeprefix(f"`{error.field}`: "), error.hint


def _duplicate(earlier: int, row: int, column: str, text: str | None) -> Problem:
    message = f"the subject is already in row {earlier}"
    return Problem(row, column, message, _LEAVE_ONE, text)


def _again(row: int, later: int, column: str) -> Problem:
    """Name the first row of a subject too, whose text is not at hand any more."""
    return Problem(row, column, f"the subject is again in row {later}", _LEAVE_ONE)
