"""Points by the hundred thousand, on all cores.

The interpreter is free while a point is multiplied (`protocols.ristretto`), so threads
are enough; each takes a piece at a time.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from node.progress import Progress, silent
from protocols import psi
from protocols.psi import Source
from protocols.ristretto import multiply_all

T = TypeVar("T")


def each_piece(
    items: Sequence[T],
    work: Callable[[Sequence[T]], bytes],
    progress: Progress = silent,
    cores: int = 0,
) -> bytes:
    """Do `work` for a piece of the items at a time, and join what comes of it."""
    cut = [items[at : at + psi.PIECE] for at in range(0, len(items), psi.PIECE)]
    found, done = [], 0
    with ThreadPoolExecutor(cores or os.cpu_count() or 1, "points") as pool:
        for piece, points in zip(cut, pool.map(work, cut), strict=True):
            found.append(points)
            done += len(piece)
            progress(done, len(items))
    return b"".join(found)


def subjects(
    source: Source,
    refs: Sequence[bytes],
    scalar: bytes,
    progress: Progress = silent,
) -> bytes:
    """Hash subjects to the group and multiply them, in their order."""
    return each_piece(
        refs, lambda part: multiply_all(scalar, source.points(part)), progress
    )


def markers(
    source: Source, count: int, scalar: bytes, progress: Progress = silent
) -> bytes:
    """Multiply the first markers of a list, in their order."""
    return each_piece(
        range(count),
        lambda part: multiply_all(scalar, source.markers(part[0], part[-1] + 1)),
        progress,
    )


def multiples(scalar: bytes, points: bytes, progress: Progress = silent) -> bytes:
    """Multiply points, in their order."""
    parts = list(psi.pieces(points))
    found, done = [], 0
    with ThreadPoolExecutor(os.cpu_count() or 1, "points") as pool:
        for part in pool.map(lambda piece: multiply_all(scalar, piece), parts):
            found.append(part)
            done += 1
            progress(done, len(parts))
    return b"".join(found)
