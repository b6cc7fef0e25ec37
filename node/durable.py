"""Files that are either the old one or the new one, whatever happens meanwhile.

>>> from tempfile import TemporaryDirectory
>>> with TemporaryDirectory() as folder:
...     path = Path(folder) / "note"
...     replace(path, b"old")
...     replace(path, b"new")
...     print(path.read_bytes(), [entry.name for entry in Path(folder).iterdir()])
b'new' ['note']
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

TEMPORARY: Final = ".new"  # what a crash may leave; nobody reads these
OWNER_ONLY: Final = 0o600


def replace(
    path: Path, data: bytes | Iterable[bytes], *, private: bool = False
) -> None:
    """Write `data` to `path` so that no reader and no crash sees a mixture.

    What is `private` only its owner may read, from its first byte on.

    1. All bytes go to a file beside it, and to the disk.
    2. That file takes the name.
    3. The name goes to the disk.

    Raises `OSError`; then the old file stands, or the new one, but whole.
    """
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        with temporary.open("wb") as file:  # 1
            if private:
                os.fchmod(file.fileno(), OWNER_ONLY)
            file.writelines([data] if isinstance(data, bytes) else data)
        settle(temporary, path)
    except BaseException:  # of a full disk, above all, which it would leave full
        temporary.unlink(missing_ok=True)
        raise


def settle(written: Path, path: Path) -> None:
    """Give a file that was written beside `path` its name, as `replace` does."""
    with written.open("rb") as file:  # 1
        os.fsync(file.fileno())
    written.replace(path)  # 2
    sync_directory(path.parent)  # 3


def sync_directory(path: Path) -> None:
    """Bring the names in a directory to the disk."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
