r"""What a custodian's table looked like when it was pushed, and how far it has moved.

A profile is plaintext about a table: it is made and kept at its custodian only, and no
message of the product carries it.  Of each column of the dataset it counts

    missing   cells, of all rows read, whose text is a missing one
    outside   cells that the column does not allow: out of range, an unknown class
    capped    numbers beyond the ends of an integer column with `cap: true`
    counts    subjects of each class, of the rows that could be pushed

The classes of a category or of bins are the document's; a flag has `0` and `1`; an
integer is cut at the deciles of this version, `edges` being the stored values at which
classes begin.  Cells that were missing and count as a default are a class of their own,
`missing`, the last: a column that dries up is the drift that matters most.

*Population stability index* of a column against an earlier version, over the classes
of the earlier one, with p and q the shares of a class before and now, as builders of
scorecards use it (Siddiqi, Credit Risk Scorecards, 2006)::

    PSI = sum (q - p) x ln(q / p)

An empty class counts as half a subject, else one stranger would make it infinite.
Decimals of 30 digits, rounded to millionths: the same on every machine, and no float.
Under 0.1 a column is `steady`, under 0.25 it has `moved`, else it is `shifted`.
`chance` is what PSI is on average where nothing has moved,
(classes - 1) x (1 / n + 1 / m) (Yurdakul and Naranjo, Journal of Risk Model Validation,
2020): below a few times that a small table says nothing.

>>> psi((90, 10), (90, 10)), psi((90, 10), (80, 20))
(0, 81093)
>>> psi((10, 0), (9, 1))
41827
>>> deciles([(0, 80), (5, 10), (9, 10)]), deciles([(7, 5)])
((5, 9), ())
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from enum import StrEnum
from itertools import accumulate, pairwise
from typing import Final, TypeAlias

from contracts.encoding import Column, Integer
from contracts.source import write_decimal
from protocols.canon import Json, Reader, dumps, loads
from protocols.errors import FormatError

VERSION: Final = "safehouse/profile/1"
MISSING: Final = "missing"  # class of the cells that count as a default
MILLION: Final = 1_000_000
MOVED: Final = 100_000  # PSI in millionths from which on a column has moved
SHIFTED: Final = 250_000
PARTS: Final = 10  # an integer column is cut into
HASH_BYTES: Final = 32
MOST_VERSION: Final = 1 << 53

_EXACT: Final = Context(prec=30)

Counted: TypeAlias = Sequence[tuple[int, int]]  # ascending values, subjects of each


class Verdict(StrEnum):
    """How far a column has moved."""

    STEADY = "steady"
    MOVED = "moved"
    SHIFTED = "shifted"


@dataclass(frozen=True, slots=True)
class Tally:
    """The cells of one column of a table, counted."""

    missing: int  # of all rows read
    outside: int
    capped: int
    values: Counted  # of the subjects taken: number of the class, flag, stored value
    blank: int  # subjects taken whose cell counts as a default


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """One column of a version."""

    name: str
    missing: int
    outside: int
    capped: int
    edges: tuple[int, ...]  # of an integer column
    counts: tuple[int, ...]  # subjects of each class

    def to_json(self) -> dict[str, Json]:
        """Write for the kept profile."""
        return {
            "name": self.name,
            "missing": self.missing,
            "outside": self.outside,
            "capped": self.capped,
            "edges": self.edges,
            "counts": self.counts,
        }

    @classmethod
    def read(cls, reader: Reader) -> "ColumnProfile":
        """Read what `to_json` wrote; raises `FormatError`."""
        column = cls(
            reader.text("name"),
            reader.integer("missing"),
            reader.integer("outside"),
            reader.integer("capped"),
            _integers(reader, "edges"),
            _integers(reader, "counts"),
        )
        reader.close()
        if any(a >= b for a, b in pairwise(column.edges)):
            raise FormatError(f"column `{column.name}`: edges ascend")
        return column


@dataclass(frozen=True, slots=True)
class Profile:
    """One version of a dataset, as its custodian's table was."""

    dataset: str
    schema_hash: bytes
    version: int  # 0: it was only looked at
    vintage: str
    rows: int  # read
    good: int  # subjects that could be pushed
    duplicates: int
    unknown: int
    register: int  # subjects of the map
    expected: int  # subjects that ought to be in the table; 0: nobody said
    arrived: int  # of those, how many are
    created_ms: int
    columns: tuple[ColumnProfile, ...]

    def to_json(self) -> dict[str, Json]:
        """Write as one object, with its version."""
        return {
            "v": VERSION,
            "dataset": self.dataset,
            "schema": self.schema_hash.hex(),
            "version": self.version,
            "vintage": self.vintage,
            "rows": self.rows,
            "good": self.good,
            "duplicates": self.duplicates,
            "unknown": self.unknown,
            "register": self.register,
            "expected": self.expected,
            "arrived": self.arrived,
            "created_ms": self.created_ms,
            "columns": [column.to_json() for column in self.columns],
        }

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(self.to_json())

    @classmethod
    def parse(cls, data: bytes) -> "Profile":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, VERSION))
        profile = cls(
            reader.text("dataset"),
            reader.hex("schema", HASH_BYTES),
            reader.integer("version"),
            reader.text("vintage"),
            reader.integer("rows"),
            reader.integer("good"),
            reader.integer("duplicates"),
            reader.integer("unknown"),
            reader.integer("register"),
            reader.integer("expected"),
            reader.integer("arrived"),
            reader.integer("created_ms"),
            tuple(map(ColumnProfile.read, reader.readers("columns"))),
        )
        reader.close()
        return profile


@dataclass(frozen=True, slots=True)
class Drift:
    """How far one column has moved since an earlier version."""

    column: str
    psi: int  # millionths
    chance: int  # millionths that mean nothing
    classes: tuple[str, ...]
    before: tuple[int, ...]  # subjects of each class
    now: tuple[int, ...]

    @property
    def verdict(self) -> Verdict:
        """Name what the index comes to."""
        if self.psi < MOVED:
            return Verdict.STEADY
        return Verdict.MOVED if self.psi < SHIFTED else Verdict.SHIFTED

    def to_json(self) -> dict[str, Json]:
        """Write for machines."""
        return {
            "column": self.column,
            "psi_millionths": self.psi,
            "chance_millionths": self.chance,
            "verdict": self.verdict.value,
            "classes": self.classes,
            "before": self.before,
            "now": self.now,
        }


def column_profile(column: Column, tally: Tally) -> ColumnProfile:
    """Profile a column by its own classes."""
    cut = deciles(tally.values) if isinstance(column.encoding, Integer) else ()
    return ColumnProfile(
        column.name,
        tally.missing,
        tally.outside,
        tally.capped,
        cut,
        _counts(column, tally, cut),
    )


def drift(column: Column, before: ColumnProfile, tally: Tally) -> Drift:
    """Compare a column with an earlier profile of it, over that one's classes.

    Raises `FormatError` for a profile of another column.
    """
    now = _counts(column, tally, before.edges)
    if before.name != column.name or len(before.counts) != len(now):
        raise FormatError(f"the profile kept is of another column than `{column.name}`")
    return Drift(
        column.name,
        psi(before.counts, now),
        _chance(before.counts, now),
        labels(column, before.edges),
        before.counts,
        now,
    )


def labels(column: Column, edges: Sequence[int]) -> tuple[str, ...]:
    """Name the classes of a column that is cut at `edges`."""
    encoding = column.encoding
    if isinstance(encoding, Integer):
        ends = [encoding.least, *(_shown(encoding, edge) for edge in edges)]
        named = [f"[{write_decimal(a)},{write_decimal(b)})" for a, b in pairwise(ends)]
        last = f"[{write_decimal(ends[-1])},{write_decimal(encoding.most)}]"
        named = [*named, last]
    else:
        named = list(column.labels) or ["0", "1"]
    return (*named, MISSING) if column.missing.rule == "default" else tuple(named)


def deciles(values: Counted) -> tuple[int, ...]:
    """Return the values at which each further tenth of the subjects begins."""
    upto = list(accumulate(count for _, count in values))
    if not upto:
        return ()
    ranks = (upto[-1] * part // PARTS for part in range(1, PARTS))
    cut = {values[bisect_right(upto, rank)][0] for rank in ranks}
    return tuple(sorted(cut - {values[0][0]}))


def psi(before: Sequence[int], now: Sequence[int]) -> int:
    """Return the population stability index in millionths; 0 where one has nobody."""
    if not sum(before) or not sum(now):
        return 0
    total = Decimal(0)
    for p, q in zip(_shares(before), _shares(now), strict=True):
        ratio = _EXACT.ln(_EXACT.divide(q, p))
        total = _EXACT.add(total, _EXACT.multiply(_EXACT.subtract(q, p), ratio))
    return int((total * MILLION).to_integral_value())


def _shares(counts: Sequence[int]) -> list[Decimal]:
    halves = [2 * count or 1 for count in counts]
    return [_EXACT.divide(Decimal(each), Decimal(sum(halves))) for each in halves]


def _chance(before: Sequence[int], now: Sequence[int]) -> int:
    n, m = sum(before), sum(now)
    used = sum(p + q > 0 for p, q in zip(before, now, strict=True))
    return (used - 1) * MILLION * (n + m) // (n * m) if n and m else 0


def _counts(column: Column, tally: Tally, edges: Sequence[int]) -> tuple[int, ...]:
    integer = isinstance(column.encoding, Integer)
    classes = len(edges) + 1 if integer else len(column.labels) or 2
    counts = [0] * classes
    for value, count in tally.values:
        counts[bisect_right(edges, value) if integer else value] += count
    if column.missing.rule == "default":
        counts.append(tally.blank)
    return tuple(counts)


def _shown(encoding: Integer, stored: int) -> Decimal:
    return encoding.least + Decimal(stored) / encoding.scale


def _integers(reader: Reader, name: str) -> tuple[int, ...]:
    items = reader.items(name)
    for item in items:
        if not isinstance(item, int) or isinstance(item, bool) or item < 0:
            raise FormatError(f"member `{name}`: expected counts")
    return tuple(item for item in items if isinstance(item, int))
