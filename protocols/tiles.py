"""A log as a finite set of files (C2SP tlog-tiles).

A *hash tile* of level l and number n holds up to 256 hashes, each over 256^l
leaves: level 0 the leaf hashes, every level above the roots of **full** tiles
below.  An *entry bundle* holds the entries under a level 0 tile, each with its
length before it as 16 bits, big endian.  Rightmost ones are partial, and their
width is in their name::

    tile/<level>/<number>[.p/<width>]
    tile/entries/<number>[.p/<width>]

A number is written in groups of three digits, all but the last behind an `x`.

>>> Tile(0, 1234067, 256).path
'tile/0/x001/x234/067'
>>> [(tile.path, tile.bundle) for tile in tiles_of(257)][-2:]
[('tile/0/001.p/1', 'tile/entries/001.p/1'), ('tile/1/000.p/1', None)]
>>> parse_bundle(dump_bundle([b"one", b""]), 2)
[b'one', b'']

`Tiling` makes the hash tiles of a growing log, each as soon as it is full.

>>> tiling = Tiling()
>>> bundles = [[bytes(32)] * 256, [bytes(32)]]
>>> full = [tile for bundle in bundles for tile, _ in tiling.add(bundle)]
>>> full + [tile for tile, _ in tiling.rest()] == list(tiles_of(257))
True
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from protocols.entry import MAX_ENTRY
from protocols.errors import FormatError
from protocols.tlog import HASH_BYTES, root_of

WIDTH: Final = 256
LENGTH_BYTES: Final = 2
MAX_BUNDLE: Final = WIDTH * (LENGTH_BYTES + MAX_ENTRY)  # 16 MB


@dataclass(frozen=True, slots=True)
class Tile:
    """Place and width of a hash tile."""

    level: int
    number: int
    width: int  # 1..256

    @property
    def path(self) -> str:
        """Where the hashes are."""
        return f"tile/{self.level}/{self._name}"

    @property
    def bundle(self) -> str | None:
        """Where the entries under a level 0 tile are."""
        return None if self.level else f"tile/entries/{self._name}"

    @property
    def span(self) -> int:
        """How many entries each of its hashes covers."""
        return 1 << 8 * self.level

    @property
    def first(self) -> int:
        """Index of the first entry that it covers."""
        return self.number * self.span * WIDTH

    @property
    def full(self) -> "Tile":
        """The tile of this place when it is full."""
        return Tile(self.level, self.number, WIDTH)

    @property
    def _name(self) -> str:
        digits = str(self.number)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        *above, last = (digits[at : at + 3] for at in range(0, len(digits), 3))
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return "/".join([*(f"x{group}" for group in above), last]) + partial


def tiles_of(size: int) -> Iterator[Tile]:
    """Return every tile of a log of `size` entries, level by level."""
    level, hashes = 0, size
    while hashes:
        full, width = divmod(hashes, WIDTH)
        for number in range(full):
            yield Tile(level, number, WIDTH)
        if width:
            yield Tile(level, full, width)
        level, hashes = level + 1, full


def dump_bundle(entries: Iterable[bytes]) -> bytes:
    """Write an entry bundle."""
    chunks: list[bytes] = []
    for entry in entries:
        chunks += (len(entry).to_bytes(LENGTH_BYTES, "big"), entry)
    return b"".join(chunks)


def parse_bundle(data: bytes, width: int) -> list[bytes]:
    """Read a bundle of `width` entries; raises `FormatError`."""
    entries, rest = split_bundle(data)
    if rest:
        raise FormatError("bundle: the last entry is cut short")
    if len(entries) != width:
        raise FormatError(f"bundle: expected {width} entries, got {len(entries)}")
    return entries


def split_bundle(data: bytes) -> tuple[list[bytes], int]:
    """Return the whole entries of a bundle and the number of bytes left over."""
    entries = []
    at, end = 0, len(data)
    while (start := at + LENGTH_BYTES) <= end:
        past = start + int.from_bytes(data[at:start], "big")
        if past > end:
            break
        entries.append(data[start:past])
        at = past
    return entries, end - at


class Tiling:
    """Turns leaf hashes, a bundle at a time, into tiles."""

    def __init__(self) -> None:
        self._hashes: list[list[bytes]] = [[]]  # of the tile under way, by level
        self._full = [0]  # tiles made, by level

    def add(self, leaves: list[bytes]) -> Iterator[tuple[Tile, list[bytes]]]:
        """Take the leaf hashes of one bundle; return the tiles now full.

        Every bundle but the last has `WIDTH` leaves.
        """
        if self._hashes[0] or not 0 < len(leaves) <= WIDTH:
            raise RuntimeError(f"expected bundles of {WIDTH}, only the last shorter")
        level, self._hashes[0] = 0, leaves
        while len(hashes := self._hashes[level]) == WIDTH:
            yield Tile(level, self._full[level], WIDTH), hashes
            self._full[level] += 1
            self._hashes[level] = []
            level += 1
            if level == len(self._hashes):
                self._hashes.append([])
                self._full.append(0)
            self._hashes[level].append(root_of(hashes))

    def rest(self) -> Iterator[tuple[Tile, list[bytes]]]:
        """Return the tiles that are not full."""
        for level, hashes in enumerate(self._hashes):
            if hashes:
                yield Tile(level, self._full[level], len(hashes)), hashes


def split_tile(data: bytes) -> list[bytes]:
    """Return the hashes of a tile."""
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
