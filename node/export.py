r"""A journal as a folder, for auditors: written by anybody, believed by nobody.

The layout is C2SP tlog-tiles (`protocols.tiles`) with two more files::

    <folder>/
      tile/entries/...    the entries, 256 a file
      tile/<level>/...    the hashes of the tree
      vkey                the verifier key, for the reader's convenience
      checkpoints         every signed note up to the newest, an empty line between
      checkpoint          the newest signed note

*Writing* copies what the journal says, right or wrong; judging it is for the
reader.  Each file appears whole (`node.durable`) and in the order above, so
that whoever reads `checkpoint` finds all it covers.  An interrupted export is
still the older one, and writing again goes on where it ended.

*Reading* recomputes every leaf and every root, with memory for one bundle, and
names the first wrong entry.  It trusts the keys it is given (they come from the
trust-domain file) and nothing in the folder.

>>> from tempfile import TemporaryDirectory
>>> from protocols.tlog import root_of
>>> from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
>>> signer = Ed25519PrivateKey.generate()
>>> vkey = VerifierKey.of("example.org/house", signer)
>>> log = [b"first", b"second"]
>>> note = Checkpoint(vkey.name, 2, root_of(map(leaf_hash, log))).sign(signer)
>>> source = Source(vkey, note, lambda since: [note], lambda i, j: log[i:j])
>>> with TemporaryDirectory() as name:
...     folder = Path(name)
...     write_export(folder, source)
...     print(*read_export(folder, [vkey]).entries())
...     bundle = folder / "tile/entries/000.p/2"
...     _ = bundle.write_bytes(bundle.read_bytes().replace(b"second", b"edited"))
...     print(*read_export(folder, [vkey]).entries())
Traceback (most recent call last):
    ...
node.errors.ExportInvalid: entry 1 is not the one that was hashed
"""

import heapq
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import Final

from node import durable
from node.errors import ExportInvalid, ForkFound
from node.ledger import Ledger
from protocols.errors import FormatError, ProtocolError
from protocols.note import Checkpoint, VerifierKey, parse_note, unverified_text
from protocols.tiles import (
    MAX_BUNDLE,
    WIDTH,
    Tile,
    Tiling,
    dump_bundle,
    parse_bundle,
    split_bundle,
    split_tile,
    tiles_of,
)
from protocols.tlog import EMPTY_ROOT, HASH_BYTES, Frontier, leaf_hash

MAX_NOTE: Final = 65_536  # bytes of `checkpoint`
MAX_LINE: Final = 8_192  # characters, and lines of a note, in `checkpoints`
MAX_LINES: Final = 128


@dataclass(frozen=True, slots=True)
class Source:
    """A journal to be copied: on this machine, or at the other end of a wire."""

    vkey: VerifierKey
    note: str  # the newest checkpoint; nothing beyond it is copied
    notes: Callable[[int], Iterable[str]]  # those of more entries than this
    entries: Callable[[int, int], Iterable[bytes]]  # [start, stop)
    # The hashes that the journal signed, so that an entry changed under them is
    # named.  Without them the entries are hashed as they come.
    leaf_hashes: Callable[[int, int], Iterable[bytes]] | None = None
    earlier: tuple[VerifierKey, ...] = ()  # keys that signed before `vkey`

    @classmethod
    def of(cls, ledger: Ledger) -> "Source":
        """Take a ledger as far as it is now."""
        return cls(
            ledger.vkey,
            ledger.head.note,
            ledger.notes,
            ledger.entries,
            ledger.leaf_hashes,
        )


# Writing


def write_export(folder: Path, source: Source) -> None:
    """Write the export of a journal, or bring it up to date.

    1. The folder is new, or holds an earlier export of the same journal.
    2. Entry bundles and hash tiles; the full ones that are there are kept.
    3. The journal still begins with what was exported: else a rewritten one
       would take the place of the evidence against it.
    4. The key, the notes, and the newest note last of all.
    5. Partial tiles that have become full go.

    Raises `ExportInvalid`, and `OSError`; the older export stays readable.
    """
    size = _unverified(source.note).size
    folder.mkdir(parents=True, exist_ok=True)
    earlier = _earlier(folder, source, size)  # 1
    _write_tiles(folder, source, size, earlier)  # 2, 3
    durable.replace(folder / "vkey", f"{source.vkey}\n".encode())  # 4
    durable.replace(folder / "checkpoints", _all_notes(folder, source, size))
    durable.replace(folder / "checkpoint", source.note.encode())
    for tile in tiles_of(size):  # 5
        if tile.width == WIDTH:
            for name in (tile.path, tile.bundle or tile.path):
                shutil.rmtree(folder / f"{name}.p", ignore_errors=True)


def _earlier(folder: Path, source: Source, size: int) -> Checkpoint:
    """Return the checkpoint of the earlier export, or the one of no entries."""
    known = (source.vkey, *source.earlier)
    if (folder / "vkey").exists() and exported_key(folder) not in known:
        raise ExportInvalid(
            f"`{folder}` holds the journal `{exported_key(folder).name}`",
            "export every journal into a folder of its own",
        )
    if not (folder / "checkpoint").exists():
        return Checkpoint(source.vkey.name, 0, EMPTY_ROOT)
    earlier = _unverified(_read_text(folder, "checkpoint"))
    if earlier.size > size:
        raise ExportInvalid(
            f"log of {size} entries is shorter than its export of {earlier.size}",
            "keep this export: its checkpoint proves what is missing",
        )
    return earlier


def _write_tiles(folder: Path, source: Source, size: int, earlier: Checkpoint) -> None:
    tiling, tree = Tiling(), Frontier()
    for leaves in _leaves(folder, source, size):
        for made in tiling.add(leaves):
            _write_tile(folder, *made)
        for leaf in leaves:
            tree.append(leaf)
            if tree.size == earlier.size and tree.root() != earlier.root:
                raise ExportInvalid(
                    f"log was rewritten since its export of {tree.size} entries",
                    "keep this export, make a new one elsewhere, and compare",
                )
    for made in tiling.rest():
        _write_tile(folder, *made)


def _leaves(folder: Path, source: Source, size: int) -> Iterator[list[bytes]]:
    """Return the leaf hashes of each bundle; write the bundles that are new."""
    bundles = [tile for tile in tiles_of(size) if tile.level == 0]
    kept = list(takewhile(lambda tile: _is_there(folder, tile), bundles))
    for tile in kept:
        yield _read_tile(folder, tile)
    start = len(kept) * WIDTH
    entries = iter(source.entries(start, size))
    leaf_hashes = source.leaf_hashes and iter(source.leaf_hashes(start, size))
    for tile in bundles[len(kept) :]:
        bundle = list(islice(entries, tile.width))
        if len(bundle) != tile.width:
            raise ExportInvalid(
                f"log ends at {tile.first + len(bundle)}, its checkpoint at {size}"
            )
        _write(folder, tile.bundle or "", dump_bundle(bundle))
        hashes = leaf_hashes or map(leaf_hash, bundle)
        yield list(islice(hashes, tile.width))


def _is_there(folder: Path, tile: Tile) -> bool:
    return tile.width == WIDTH and all(
        (folder / name).exists() for name in (tile.path, tile.bundle or "")
    )


def _write_tile(folder: Path, tile: Tile, hashes: list[bytes]) -> None:
    _write(folder, tile.path, b"".join(hashes))


def _write(folder: Path, name: str, data: bytes) -> None:
    """Write a file that never changes."""
    path = folder / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.replace(path, data)
    elif path.read_bytes() != data:
        raise ExportInvalid(
            f"`{name}` is there already, with other bytes",
            "keep this export, make a new one, and compare their checkpoints",
        )


def _all_notes(folder: Path, source: Source, size: int) -> Iterator[bytes]:
    last = -1
    if (folder / "checkpoints").exists():
        for note in _read_notes(folder):
            last = _unverified(note).size
            yield f"{note}\n".encode()
    if last < size:
        newer = takewhile(
            lambda note: _unverified(note).size < size, source.notes(last)
        )
        for note in chain(newer, [source.note]):
            yield f"{note}\n".encode()


# Reading


@dataclass(frozen=True, slots=True)
class Export:
    """An export whose newest checkpoint is signed; the entries are still to read."""

    folder: Path
    keys: tuple[VerifierKey, ...]
    note: str
    checkpoint: Checkpoint

    def checkpoints(self) -> int:
        """Count the notes that `entries` verifies."""
        return sum(1 for _ in _read_notes(self.folder))

    def entries(self, witnesses: Iterable[str] = ()) -> Iterator[bytes]:
        """Return all entries; they are proven once the last one is out.

        `witnesses` are notes that others have kept.  Those of a larger journal
        say nothing here.

        1. Every bundle holds whole entries, and their hashes are the tile's.
        2. Every tile above holds the roots of the tiles below.
        3. Every note is signed, and has the root of the entries before it; no key signs
           for more entries once its successor has signed.
        4. The newest checkpoint has the root of all entries.

        Raises `ExportInvalid` with the index of the first wrong entry, where
        the hashes show it, and `ForkFound` if all entries are right but the
        journal has also signed another history.
        """
        tree, tiling, notes = Frontier(), Tiling(), _Notes(self, witnesses)
        notes.compare(tree)
        for tile in tiles_of(self.checkpoint.size):
            if tile.level:
                break
            bundle = _read_bundle(self.folder, tile)  # 1
            leaves = [leaf_hash(entry) for entry in bundle]
            last = tile.first + tile.width == self.checkpoint.size
            made = tiling.add(leaves)
            for above, hashes in chain(made, tiling.rest()) if last else made:
                _compare(self.folder, above, hashes)  # 1, 2
            for leaf in leaves:
                tree.append(leaf)
                if tree.size == notes.next_size:
                    notes.compare(tree)  # 3
            yield from bundle
        notes.close(tree)  # 4


def read_export(folder: Path, keys: Sequence[VerifierKey]) -> Export:
    """Open an export that one of `keys` signed; they come from outside it.

    Raises `ExportInvalid` for one that is unfinished, or by another key.
    """
    named = exported_key(folder)
    if named not in keys:
        raise ExportInvalid(f"`{folder}` is signed by `{named}`, which is not pinned")
    own = tuple(key for key in keys if key.name == named.name)  # of this log alone
    note = _read_text(folder, "checkpoint")
    return Export(folder, own, note, _open_note(note, own))


def exported_key(folder: Path) -> VerifierKey:
    """Return the key that an export names; it proves nothing by itself."""
    text = _read_text(folder, "vkey")
    try:
        return VerifierKey.parse(text.removesuffix("\n"))
    except ProtocolError as error:
        raise ExportInvalid(f"`vkey`: {error}") from None


class _Notes:
    """Compares the notes of an export with the tree as it grows."""

    def __init__(self, export: Export, witnesses: Iterable[str]) -> None:
        self._export = export
        others = [(_open_note(note, export.keys), note) for note in witnesses]
        others = [other for other in others if other[0].size <= export.checkpoint.size]
        others.sort(key=_size)
        self._notes = heapq.merge(self._read(), others, key=_size)
        self._rank = len(export.keys)  # of the newest key that has signed so far
        self._right = 0  # size of the last note with the right root
        self._wrong: tuple[Checkpoint, str] | None = None
        self.next_size = -1
        self._advance()

    def _read(self) -> Iterator[tuple[Checkpoint, str]]:
        before: tuple[Checkpoint, str] | None = None
        for note in _read_notes(self._export.folder):
            checkpoint = _open_note(note, self._export.keys)
            if before is not None and checkpoint.size <= before[0].size:
                if checkpoint.size < before[0].size:
                    raise ExportInvalid("`checkpoints` are not in order")
                if checkpoint.root != before[0].root:
                    raise _fork(checkpoint.size, before[1], note)
                continue
            before = checkpoint, note
            if checkpoint.size <= self._export.checkpoint.size:
                yield before

    def _advance(self) -> None:
        before = self.next_size
        self._next = next(self._notes, None)
        self.next_size = self._next[0].size if self._next else -1
        if self._next is not None and len(self._export.keys) > 1:
            self._follow(self._next[1], beyond=self.next_size > before)

    def _follow(self, note: str, *, beyond: bool) -> None:
        """Refuse a key that was replaced, and whoever stole it, beyond its range."""
        keys = self._export.keys  # the current one first
        rank = next(at for at, key in enumerate(keys) if _is_by(note, key))
        if rank > self._rank and beyond:
            raise ExportInvalid(
                f"the checkpoint of {self.next_size} entries is signed by a key that"
                " was replaced before"
            )
        self._rank = min(rank, self._rank)

    def compare(self, tree: Frontier) -> None:
        """Compare the next notes, if they are for this size."""
        while self._next is not None and self._next[0].size == tree.size:
            if self._wrong is None:
                if self._next[0].root == tree.root():
                    self._right = tree.size
                else:
                    self._wrong = self._next
            self._advance()

    def close(self, tree: Frontier) -> None:
        """Compare the newest checkpoint, and judge."""
        newest = self._export.checkpoint
        if tree.root() == newest.root:
            if self._wrong is not None:
                raise _fork(self._wrong[0].size, self._wrong[1], self._export.note)
            if self._right != newest.size:
                raise ExportInvalid("`checkpoints` ends before the newest one")
            return
        wrong = self._wrong[0] if self._wrong else newest
        what = f"entries {self._right} to {wrong.size - 1} are"
        if self._right >= wrong.size - 1:
            what = f"entry {self._right} is"
        raise ExportInvalid(
            f"{what} not what checkpoint {wrong.size} was signed for",
            index=self._right,
        )


def _is_by(note: str, key: VerifierKey) -> bool:
    return any(
        (name, key_id) == (key.name, key.id) for name, key_id, _ in parse_note(note)[1]
    )


def _size(opened: tuple[Checkpoint, str]) -> int:
    return opened[0].size


def _fork(size: int, *notes: str) -> ForkFound:
    return ForkFound(f"two histories of {size} entries are signed", notes)


def _compare(folder: Path, tile: Tile, hashes: list[bytes]) -> None:
    """Refuse the first of `hashes` that is not the tile's."""
    stored = _read_tile(folder, tile)
    if stored == hashes:
        return
    for number, (expected, got) in enumerate(zip(stored, hashes, strict=False)):
        if expected == got:
            continue
        index = tile.first + number * tile.span
        if tile.level:
            raise ExportInvalid(
                f"`{tile.path}` differs from the tiles below it at entry {index}",
                index=index,
            )
        raise ExportInvalid(
            f"entry {index} is not the one that was hashed",
            f"it lies in `{tile.bundle}`, its hash in `{tile.path}`",
            index,
        )


def _read_tile(folder: Path, tile: Tile) -> list[bytes]:
    most = WIDTH * HASH_BYTES
    data = _read(folder, tile.path, tile.full.path, most, tile.first)
    hashes = split_tile(data)[: tile.width]
    if len(data) % HASH_BYTES or len(hashes) != tile.width:
        raise ExportInvalid(
            f"`{tile.path}`: expected {tile.width} hashes", index=tile.first
        )
    return hashes


def _read_bundle(folder: Path, tile: Tile) -> list[bytes]:
    name, full = tile.bundle or "", tile.full.bundle or ""
    data = _read(folder, name, full, MAX_BUNDLE, tile.first)
    width = tile.width if (folder / name).exists() else WIDTH
    try:
        return parse_bundle(data, width)[: tile.width]
    except FormatError as error:
        # A changed length spoils its own entry first: that one is to be named.
        whole, _ = split_bundle(data)
        _compare(folder, tile, [leaf_hash(entry) for entry in whole])
        index = tile.first + min(len(whole), tile.width)
        raise ExportInvalid(f"entry {index}: {error}", f"see `{name}`", index) from None


def _read(folder: Path, name: str, full: str, most: int, first: int) -> bytes:
    """Read a partial tile, or the full one that has taken its place."""
    for path in (folder / name, folder / full):
        if path.exists():
            with path.open("rb") as file:
                return file.read(most + 1)
    raise ExportInvalid(f"`{name}` is missing", index=first)


def _read_text(folder: Path, name: str) -> str:
    try:
        with (folder / name).open("rb") as file:
            return file.read(MAX_NOTE).decode()
    except FileNotFoundError:
        raise ExportInvalid(
            f"`{folder / name}` is missing", "was the export finished"
        ) from None
    except UnicodeDecodeError:
        raise ExportInvalid(f"`{folder / name}` is not text") from None


def _read_notes(folder: Path) -> Iterator[str]:
    """Return the notes in `checkpoints`: of each, text and signatures."""
    lines: list[str] = []
    try:
        with (folder / "checkpoints").open(encoding="utf-8", newline="\n") as file:
            while line := file.readline(MAX_LINE):
                if line == "\n" and "\n" in lines:
                    yield "".join(lines)
                    lines = []
                elif len(lines) > MAX_LINES:
                    raise ExportInvalid("`checkpoints`: a note without an end")
                else:
                    lines.append(line)
    except FileNotFoundError:
        raise ExportInvalid("`checkpoints` is missing") from None
    except UnicodeDecodeError:
        raise ExportInvalid("`checkpoints` is not text") from None
    if lines:
        raise ExportInvalid("`checkpoints` ends in the middle of a note")


def _open_note(note: str, keys: Sequence[VerifierKey]) -> Checkpoint:
    try:
        return Checkpoint.open(note, keys)
    except ProtocolError as error:
        raise ExportInvalid(f"checkpoint: {error}") from None


def _unverified(note: str) -> Checkpoint:
    try:
        return Checkpoint.parse(unverified_text(note))
    except ProtocolError as error:
        raise ExportInvalid(f"checkpoint: {error}") from None
