"""The house's store of ciphertexts: one immutable file a dataset version.

Files are content-addressed: `<ciphertext root, hexadecimal>.blocks`, the format
of `protocols.blocks`, memory-mapped.  A file is received beside its place,
checked whole against its signed manifest, synced and renamed, so a crash leaves
either the file or a `*.part` that the next start removes.

A file lies in its place before the journal names it, never after.  Until then
`<name>.unnamed` lies beside it: what still has that mark at a start, and is named
by no entry, was refused or forgotten by its custodian and is removed.  A file
without the mark is never removed, so that an operator who starts on the wrong
journal loses nothing.

Beside it lie the hashes of its blocks, `leaves.<root>`, which make the root.  A
block is hashed each time it is used and compared with its leaf, so that a flipped
bit on the disk is refused by the number of its block, and never scored, while the
other blocks serve on.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from node import durable
from node.errors import NotFound, VaultDamaged
from node.mapped import Mapped
from protocols import tlog
from protocols.blocks import BlockFile, Manifest
from protocols.errors import FormatError
from protocols.paillier import Ciphertext, PublicKey

SUFFIX: Final = ".blocks"
LEAVES: Final = "leaves."
PART: Final = ".part"
UNNAMED: Final = ".unnamed"


class Blocks:
    """One open file and the leaf of each of its blocks."""

    def __init__(self, path: Path, root: bytes) -> None:
        self._mapped = Mapped(path)
        try:
            self.file = BlockFile(self._mapped.data)
        except FormatError as error:
            raise VaultDamaged(f"block file `{path.name}`: {error}") from None
        self.leaves = _read_leaves(path, self.file.header.blocks)
        if tlog.root_of(self.leaves) != root:
            # Without them the file itself must do, whole.
            through = self._mapped.through(self.file.header.blocks)
            self.leaves = [self.file.leaf(block) for block in through]
        if tlog.root_of(self.leaves) != root:
            raise VaultDamaged(
                f"block file `{path.name}` is not what its custodian pushed",
                "restore it from a backup, or ask the custodian to push again",
            )

    def check(self, block: int) -> None:
        """Raise `VaultDamaged`, naming the block, unless its hash is still right."""
        if self.file.leaf(block) != self.leaves[block]:
            header = self.file.header
            raise VaultDamaged(
                f"block {block} of dataset `{header.dataset}` version"
                f" {header.version} was changed on the disk",
                "restore it from a backup, or ask the custodian to push again",
            )

    def let_go(self) -> None:
        """Hold none of the file's pages: many blocks were read."""
        self._mapped.let_go()

    def ciphertexts(self, block: int, columns: Iterable[int]) -> list[Ciphertext]:
        """Read some columns of a block whose hash is still right.

        Raises `VaultDamaged`, naming the block, if it is not.
        """
        self.check(block)
        return [self.file.ciphertext(block, column) for column in columns]

    def records(self, block: int) -> bytes:
        """Return a block's records, for an auditor."""
        return bytes(self.file.block_bytes(block))


class Vault:
    """The folder of block files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for suffix in (PART, durable.TEMPORARY):
            for part in folder.glob(f"*{suffix}"):
                part.unlink()
        self._open: dict[bytes, Blocks] = {}
        self._lock = threading.Lock()
        self._parts = 0

    def open(self, root: bytes) -> Blocks:
        """Open the file of a ciphertext root; raises `NotFound`, `VaultDamaged`."""
        with self._lock:
            blocks = self._open.get(root)
            if blocks is None:
                path = self.path(root)
                if not path.exists():
                    raise NotFound(f"no block file `{path.name}`")
                blocks = self._open[root] = Blocks(path, root)
            return blocks

    def path(self, root: bytes) -> Path:
        """Say where the file of a ciphertext root lies."""
        return self.folder / f"{root.hex()}{SUFFIX}"

    @contextmanager
    def naming(self, name: str) -> Iterator[None]:
        """Store the file `name`, and commit the entry that names it, in this context.

        If an error or a kill ends it after the file is there, the mark stays, too,
        for `sweep`: nobody knows here whether the entry will yet be written.
        """
        mark = self.folder / f"{name}{UNNAMED}"
        mark.touch()
        durable.sync_directory(self.folder)
        try:
            yield
        except BaseException:
            if not (self.folder / name).exists():
                mark.unlink(missing_ok=True)
            raise
        mark.unlink(missing_ok=True)  # of two pushes of the same, the first did it

    def sweep(self, named: Callable[[str], bool]) -> list[str]:
        """Remove the files that no entry names, at a start; say which they were."""
        swept = []
        for mark in sorted(self.folder.glob(f"*{UNNAMED}")):
            name = mark.name.removesuffix(UNNAMED)
            if not named(name):
                path = self.folder / name
                path.unlink(missing_ok=True)
                _leaves_path(path).unlink(missing_ok=True)
                swept.append(name)
            mark.unlink()
        return swept

    def discard(self, names: Iterable[str]) -> None:
        """Remove files that the journal names, and that nobody needs any more."""
        for name in names:
            (self.folder / name).unlink(missing_ok=True)
        durable.sync_directory(self.folder)

    def receive(
        self,
        manifest: Manifest,
        public: PublicKey,
        chunks: Iterable[bytes],
        most_bytes: int,
    ) -> None:
        """Store a pushed file once it is known to be what `manifest` says.

        1. It is no longer than it may be, and the disk takes it.
        2. Its header is the manifest's.
        3. Every record is a ciphertext under the domain's key.
        4. Its blocks make the root that the custodian signed.

        Raises `FormatError` or `CiphertextInvalid`, and then nothing is kept.
        """
        path = self.path(manifest.ciphertext_root)
        with self._lock:
            self._parts += 1
            part = self.folder / f"{self._parts}{PART}"
        try:
            size = 0
            with part.open("xb") as file:
                for chunk in chunks:
                    size += len(chunk)
                    if size > most_bytes:  # 1
                        raise FormatError(f"a push of more than {most_bytes} bytes")
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            if size == 0:
                raise FormatError("a push without a block file")
            leaves = _check(part, manifest, public)
            durable.replace(_leaves_path(path), b"".join(leaves))
            part.replace(path)
            durable.sync_directory(self.folder)
        finally:
            part.unlink(missing_ok=True)


def _check(path: Path, manifest: Manifest, public: PublicKey) -> list[bytes]:
    mapped = Mapped(path)
    blocks, leaves = BlockFile(mapped.data), list[bytes]()
    manifest.check_header(blocks.header)  # 2
    for block in mapped.through(blocks.header.blocks):
        blocks.check(public, block)  # 3
        leaves.append(blocks.leaf(block))
    if tlog.root_of(leaves) != manifest.ciphertext_root:  # 4
        raise FormatError("the blocks do not make the signed root")
    return leaves


def _read_leaves(path: Path, blocks: int) -> list[bytes]:
    """Read the hashes beside a file; none of them where there is no such file."""
    try:
        data = _leaves_path(path).read_bytes()
    except FileNotFoundError:
        return []
    size = tlog.HASH_BYTES
    return [data[at : at + size] for at in range(0, blocks * size, size)]


def _leaves_path(path: Path) -> Path:
    return path.with_name(f"{LEAVES}{path.stem}")
