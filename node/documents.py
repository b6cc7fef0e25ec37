"""Documents in a folder of somebody who edits them: what is there is never replaced.

>>> from tempfile import TemporaryDirectory
>>> with TemporaryDirectory() as folder:
...     path = Path(folder) / "contract.yaml"
...     create({path: b"ours"})
...     create({path: b"ours"})
...     try:
...         create({Path(folder) / "new.yaml": b"new", path: b"another"})
...     except DocumentConflict:
...         print([entry.name for entry in Path(folder).iterdir()], path.read_bytes())
['contract.yaml'] b'ours'
"""

import os
from collections.abc import Mapping
from pathlib import Path

from node.errors import DocumentConflict


def create(documents: Mapping[Path, bytes]) -> None:
    """Write documents that are not there yet.

    1. A file with other bytes is somebody's: `DocumentConflict`, and none is written.
    2. A file with these very bytes is left: what was killed can be run again.
    3. Whoever takes a name meanwhile keeps it: `DocumentConflict`.
    """
    missing = {
        path: data for path, data in documents.items() if not _is_there(path, data)
    }
    for path, data in missing.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        _create(path, data)


def _is_there(path: Path, data: bytes) -> bool:
    if not path.exists():
        return False
    if not path.is_file() or path.read_bytes() != data:  # 1
        raise _taken(path)
    return True  # 2


def _create(path: Path, data: bytes) -> None:
    try:
        file = path.open("xb")  # 3
    except FileExistsError:
        raise _taken(path) from None
    try:
        with file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:  # a part of a document would be taken for somebody's
        path.unlink(missing_ok=True)
        raise


def _taken(path: Path) -> DocumentConflict:
    return DocumentConflict(
        f"`{path}` is there, and says something else", "name another folder"
    )
