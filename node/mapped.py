"""Files that are read in place, and are no part of a process's memory for long.

Pages of a mapped file count as resident once they are read.  A node that goes through
all blocks of a district would seem to hold them all, and a container that limits its
memory would end it; so whoever has read much lets go.  The pages stay in the kernel's
cache and are there again when they are needed.

>>> from tempfile import TemporaryDirectory
>>> with TemporaryDirectory() as folder:
...     path = Path(folder) / "blocks"
...     _ = path.write_bytes(b"abc")
...     file = Mapped(path)
...     file.let_go()
...     bytes(file.data[1:])
b'bc'
"""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MANY: Final = 1000  # blocks read before their pages are let go: some tens of MB


class Mapped:
    """A file, mapped for reading; raises `OSError`, `ValueError` for an empty one."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.data: Final = memoryview(self._map)

    def let_go(self) -> None:
        """Hold none of its pages; what is read again is found again."""
        self._map.madvise(mmap.MADV_DONTNEED)

    def through(self, blocks: int) -> Iterator[int]:
        """Count blocks that are read one after the other, letting go on the way."""
        for block in range(blocks):
            yield block
            if block % MANY == MANY - 1:
                self.let_go()
        self.let_go()
