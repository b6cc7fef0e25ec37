"""Room on the disk: what can wait stops in time, so that what cannot goes on.

A journal that cannot be written stops its node, and an operator has to start it
again (`node.ledger`).  Jobs write by the hundred megabytes and can wait.  So before
each step of one, house and authority look whether `RESERVE` bytes would be left for
calls, consents and withdrawals; if not, the job waits, says so to its bank, and goes
on by itself once somebody has made room.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from node.errors import DiskFull

RESERVE: Final = 256 << 20  # bytes
FULL: Final = (errno.ENOSPC, errno.EDQUOT)
MEGABYTE: Final = 1 << 20
HINT: Final = "make room there; what waits goes on by itself"


def free_bytes(folder: Path) -> int:
    """Say how much can be written below a folder."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def check_room(folder: Path, whose: str, size: int = 0) -> None:
    """Raise `DiskFull` unless `RESERVE` is left below `folder` beside `size` bytes.

    `whose` names the node, for those who have no other way to know it.
    """
    free = free_bytes(folder)
    if free < RESERVE + size:
        needed = (RESERVE + size) // MEGABYTE
        raise DiskFull(
            f"the disk of `{whose}` is nearly full: {free // MEGABYTE} MB are free,"
            f" {needed} MB are needed",
            HINT,
        )


@contextmanager
def noticed(whose: str) -> Iterator[None]:
    """Turn what the system says of a full disk into `DiskFull`."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise DiskFull(f"the disk of `{whose}` is full", HINT) from error
