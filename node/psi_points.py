"""Points on the disk while a session lasts: pieces, one behind the other.

Below `psi/` the house has four files a session, named by its request's hash: what the
bank sent (`q`), the authority's multiples of it in the same order (`e`), ours of those
(`z`; in a count also sorted, `u`) and the list as it is served (`y`).  All are blinded,
so none is sealed; without the session's t, which is, nothing is read from them.  `e`
stays for auditors as long as the session is remembered, the others for its bank.

A crash may leave half a piece, which the next one cuts off; whole pieces are counted by
the length of the file, and what is in them is held to signed roots before it is used.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from node import durable
from protocols import psi
from protocols.errors import PointInvalid
from protocols.ristretto import POINT_BYTES

FOLDER: Final = "psi"
KINDS: Final = ("q", "e", "z", "u", "y")


class PointsFolder:
    """The files of all sessions."""

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def points(self, session: bytes, kind: str, count: int) -> "Points":
        """Return one set of a session, of `count` points."""
        return Points(self._folder / f"{session.hex()}.{kind}", count)

    def erase(self, session: bytes, but: Collection[str] = ()) -> None:
        """Remove what a session left, but for some sets."""
        for kind in KINDS:
            if kind not in but:
                self.points(session, kind, 0).erase()


class Points:
    """Points that come in pieces, in order, kept in one file; a crash cuts none."""

    def __init__(self, path: Path, count: int) -> None:
        self._path = path
        self.count = count  # of points, once all are here

    @property
    def pieces(self) -> int:
        """How many pieces are here."""
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return 0
        total = psi.piece_count(self.count)
        return total if size >= self.count * POINT_BYTES else size // psi.PIECE_BYTES

    def append(self, number: int, piece: bytes) -> None:
        """Append piece `number`, which is the next one."""
        at = number * psi.PIECE_BYTES
        with self._path.open("r+b" if self._path.exists() else "w+b") as file:
            file.truncate(at)  # half a piece, after a crash
            file.seek(at)
            file.write(piece)

    def piece(self, number: int) -> bytes:
        """Read a piece that is here; raises `PointInvalid` where the disk lost it."""
        size = psi.piece_points(self.count, number) * POINT_BYTES
        with self._path.open("rb") as file:
            file.seek(number * psi.PIECE_BYTES)
            data = file.read(size)
        if len(data) != size:
            raise PointInvalid(f"piece {number} is not here")
        return data

    def all(self) -> bytes:
        """Read all of them."""
        total = psi.piece_count(self.count)
        return b"".join(self.piece(number) for number in range(total))

    def sync(self) -> None:
        """Bring what was appended to the disk."""
        with self._path.open("rb") as file:
            os.fsync(file.fileno())
        durable.sync_directory(self._path.parent)

    def replace(self, points: bytes) -> None:
        """Write all of them at once, durably."""
        durable.replace(self._path, points)

    def leaves(self) -> list[bytes]:
        """Return the leaf hashes of all pieces."""
        return [psi.leaf(piece) for piece in psi.pieces(self.all())]

    def erase(self) -> None:
        """Remove them."""
        self._path.unlink(missing_ok=True)
