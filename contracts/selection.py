r"""Who is in which group of a statistic: the same at house, authority and auditor.

A selection follows from public attributes (`contracts.attributes`), the contract, the
filter of the request, the end of the snapshot, and who objects; from nothing that is
encrypted.  So the authority makes it anew and takes no list from the house: a house
that leaves one subject out of a sum, to subtract it, is refused.

1. Rows that the filter takes, up to the last block of the dataset's snapshot.
2. Less the rows of subjects who object.
3. Groups: the classes of the contract's `by`, as combinations that somebody is in.
   A subject without attributes is in no group and passes no filter.
4. Groups under the floor are suppressed: their subjects are added up nowhere.

*Digest*: under `Tag.AGGREGATE_SELECTION`, the group of every row, two bytes each,
little endian, 0xffff for none.

>>> from contracts.attributes import Attribute
>>> table = AttributeTable(
...     "opaque", 1, 23, 1, bytes(32), (Attribute("town", ("安居镇", "唐口街道")),),
...     bytes(32), "c", 0,
... )
>>> codes = np.array([[1] * 12 + [2] * 11], np.uint8)
>>> wanted = Wanted(("town",), floor=11, rows=23)
>>> found = select(table, codes, wanted, left_out=[0, 22])
>>> [(group.labels, group.subjects) for group in found.groups]
[(('安居镇',), 11)]
>>> [(group.labels, group.subjects) for group in found.suppressed]
[(('唐口街道',), 10)]
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.attributes import AttributeTable, Codes
from protocols.aggregate import OUTSIDE
from protocols.aggregate_call import Group
from protocols.canon import Tag, digest
from protocols.errors import FormatError
from protocols.slots import Ints
from protocols.where import Where

MOST_GROUPS: Final = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a contract and a request ask for."""

    by: tuple[str, ...]
    floor: int
    rows: int  # of the map, that the dataset's snapshot reaches
    where: Where = ()


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The group of every row, and what the groups are called."""

    of_rows: Ints  # (rows,): place in `groups`, or OUTSIDE
    groups: tuple[Group, ...]
    suppressed: tuple[Group, ...]  # under the floor, and somebody is in them

    @property
    def digest(self) -> bytes:
        """Bind who is in which group."""
        return digest(Tag.AGGREGATE_SELECTION, self.of_rows.astype("<u2").tobytes())


def select(
    table: AttributeTable, codes: Codes, wanted: Wanted, left_out: Iterable[int]
) -> Selection:
    """Make a selection, as the module says; raises `DocumentInvalid`.

    `left_out` are the rows of those who object.  Raises `FormatError` for more
    groups than a ticket names.
    """
    table.check_where(wanted.where)
    names = [attribute.name for attribute in table.attributes]
    taken = np.arange(table.rows) < wanted.rows  # 1
    for name, labels in wanted.where:
        allowed = [table.attribute(name).code(label) for label in labels]
        taken &= np.isin(codes[names.index(name)], allowed)
    absent = [row for row in left_out if 0 <= row < table.rows]
    taken[absent] = False  # 2
    attributes = [table.attribute(name) for name in wanted.by]
    places = [names.index(name) for name in wanted.by]
    if places:
        taken &= codes[places[0]] != 0
    cells = np.zeros(table.rows, np.int64)
    for place in places:
        cells = cells << 8 | codes[place]
    found, of_taken, counts = np.unique(  # 3
        cells[taken], return_inverse=True, return_counts=True
    )
    if len(found) > MOST_GROUPS:
        raise FormatError(
            f"expected at most {MOST_GROUPS} groups, got {len(found)}",
            "narrow the question, or group by fewer attributes",
        )
    groups = [
        Group(_labels(cell, [a.classes for a in attributes]), count)
        for cell, count in zip(found.tolist(), counts.tolist(), strict=True)
    ]
    large = counts >= wanted.floor  # 4
    numbers = np.where(large, np.cumsum(large) - 1, OUTSIDE)
    of_rows = np.full(table.rows, OUTSIDE, np.int64)
    of_rows[taken] = numbers[of_taken.reshape(-1)]
    return Selection(
        of_rows,
        tuple(g for g, kept in zip(groups, large.tolist(), strict=True) if kept),
        tuple(g for g, kept in zip(groups, large.tolist(), strict=True) if not kept),
    )


def _labels(cell: int, classes: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    labels = []
    for words in reversed(classes):
        labels.append(words[(cell & 0xFF) - 1])
        cell >>= 8
    return tuple(reversed(labels))
