"""The map of slots (DESIGN 4, PROTOCOL 12)."""

import itertools

import pytest

from protocols import rowmap
from protocols.errors import FormatError, SealBroken
from protocols.rowmap import Row, RowMap

REFS = [bytes([i]) * 32 for i in (7, 3, 9, 1)]


def salts() -> "itertools.starmap[bytes]":
    """Endless distinct salts."""
    return itertools.starmap(
        lambda i: i.to_bytes(32, "big"), ((i,) for i in itertools.count())
    )


def test_rows_are_in_the_order_of_references() -> None:
    """The register's order does not show."""
    assert [r.subject_ref[0] for r in rowmap.extend([], REFS, salts())] == [1, 3, 7, 9]


def test_a_new_cycle_appends_and_moves_nobody() -> None:
    """Known subjects keep their slots; new ones follow, in order again."""
    old = rowmap.extend([], REFS, salts())
    new = rowmap.extend(old, [*REFS, bytes([2]) * 32, bytes([0]) * 32], salts())

    assert new[: len(old)] == old
    assert [row.subject_ref[0] for row in new[len(old) :]] == [0, 2]


def test_leaf_binds_subject_and_place() -> None:
    """Another slot, subject or salt is another leaf."""
    row = Row(REFS[0], bytes(32))
    leaves = {row.leaf(0, 49), row.leaf(1, 49), row.leaf(49, 49)}
    leaves |= {Row(REFS[1], bytes(32)).leaf(0, 49), Row(REFS[0], REFS[0]).leaf(0, 49)}

    assert len(leaves) == 5


def test_only_the_pepper_opens_a_map() -> None:
    """The house keeps the sealed map and cannot read it."""
    rows = rowmap.extend([], REFS, salts())
    sealed = rowmap.seal_rows(b"p" * 32, "opaque", rows)

    assert rowmap.unseal_rows(b"p" * 32, "opaque", sealed) == rows
    assert not any(ref in sealed for ref in REFS)
    for pepper, kind in ((b"q" * 32, "opaque"), (b"p" * 32, "cn-uscc")):
        with pytest.raises(SealBroken):
            rowmap.unseal_rows(pepper, kind, sealed)


def test_description_is_strict() -> None:
    """A map's description reads back, and odd members are refused."""
    row_map = RowMap("opaque", 1, 4, 49, bytes(32), bytes(32), "registry", 5)

    assert RowMap.parse(row_map.to_bytes()) == row_map
    assert row_map.blocks == 1
    with pytest.raises(FormatError, match="unknown member"):
        RowMap.parse(row_map.to_bytes().replace(b'{"created', b'{"a":1,"created'))
