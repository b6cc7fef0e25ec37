"""Names, widths and bundles of C2SP tlog-tiles.  Case 31."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import FormatError
from protocols.tiles import (
    WIDTH,
    Tile,
    Tiling,
    dump_bundle,
    parse_bundle,
    split_bundle,
    tiles_of,
)
from protocols.tlog import Tree, leaf_hash


@pytest.mark.parametrize(
    ("size", "widths"),
    [
        (0, {}),
        (1, {0: [1]}),
        (2, {0: [2]}),
        (255, {0: [255]}),
        (256, {0: [256], 1: [1]}),
        (257, {0: [256, 1], 1: [1]}),
        (65_536, {0: [256] * 256, 1: [256], 2: [1]}),
        (70_000, {0: [256] * 273 + [112], 1: [256, 17], 2: [1]}),
    ],
)
def test_tiles_of_a_log(size: int, widths: dict[int, list[int]]) -> None:
    """Case 31: full and partial tiles as in the specification's example."""
    found: dict[int, list[int]] = {}
    for tile in tiles_of(size):
        level = found.setdefault(tile.level, [])
        assert tile.number == len(level)
        level.append(tile.width)
    assert found == widths


@pytest.mark.parametrize(
    ("tile", "path", "bundle"),
    [
        (Tile(0, 0, 256), "tile/0/000", "tile/entries/000"),
        (Tile(0, 273, 112), "tile/0/273.p/112", "tile/entries/273.p/112"),
        (Tile(1, 999, 256), "tile/1/999", None),
        (Tile(63, 1000, 1), "tile/63/x001/000.p/1", None),
        (
            Tile(0, 1234067, 256),
            "tile/0/x001/x234/067",
            "tile/entries/x001/x234/067",
        ),
    ],
)
def test_paths(tile: Tile, path: str, bundle: str | None) -> None:
    """Numbers in groups of three digits, widths only of partial tiles."""
    assert (tile.path, tile.bundle) == (path, bundle)


@given(st.lists(st.binary(max_size=300), max_size=WIDTH))
def test_bundles_survive_the_trip(entries: list[bytes]) -> None:
    """Reading gives what was written, and only for the right width."""
    data = dump_bundle(entries)
    assert parse_bundle(data, len(entries)) == entries
    with pytest.raises(FormatError, match="expected"):
        parse_bundle(data, len(entries) + 1)


@pytest.mark.parametrize(
    "data", [b"\0", b"\0\3ab", b"\0\0\0", b"\xff\xff", b"\0\1a\0\1"]
)
def test_cut_bundles(data: bytes) -> None:
    """Half a length or half an entry is refused; what is whole can be looked at."""
    whole, rest = split_bundle(data)
    assert 0 < rest <= len(data)
    with pytest.raises(FormatError, match="cut short"):
        parse_bundle(data, len(whole))


@pytest.mark.parametrize("size", [0, 1, 256, 300, 1024, 66_000])
def test_tiles_hold_the_hashes_of_the_tree(size: int) -> None:
    """Hash i of tile n at level l is the root over 256^l leaves."""
    leaves = [leaf_hash(number.to_bytes(3, "big")) for number in range(size)]
    tree, tiling = Tree(leaves), Tiling()
    made: list[tuple[Tile, list[bytes]]] = []
    for first in range(0, size, WIDTH):
        made += tiling.add(leaves[first : first + WIDTH])
    made += tiling.rest()
    assert sorted(tile.path for tile, _ in made) == sorted(
        tile.path for tile in tiles_of(size)
    )
    for tile, hashes in made:
        first = tile.number * WIDTH
        assert hashes == [
            tree.subtree(8 * tile.level, first + number) for number in range(tile.width)
        ]


def test_only_the_last_bundle_is_short() -> None:
    """Leaves after a short bundle would get another one's number."""
    tiling = Tiling()
    assert list(tiling.add([bytes(32)])) == []
    for leaves in ([bytes(32)], [], [bytes(32)] * 257):
        with pytest.raises(RuntimeError):
            list(tiling.add(leaves))
