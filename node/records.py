"""The small SQLite files in which a party keeps what it asked and was told.

One connection, used by one thread at a time.  Private, and safe from a kill of the
process; a journal, which others rely on, is `node.logfile`.

>>> from tempfile import TemporaryDirectory
>>> with TemporaryDirectory() as folder:
...     path = Path(folder) / "calls.db"
...     open_records(path, 2, ("CREATE TABLE IF NOT EXISTS call(id BLOB)",)).close()
...     open_records(path, 3, ())
Traceback (most recent call last):
    ...
RuntimeError: `calls.db` is of version 2, expected 3
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import apsw

BUSY_MS: Final = 10_000


def open_records(
    path: Path,
    version: int,
    schema: Iterable[str],
    upgrades: Mapping[int, str] | None = None,
) -> apsw.Connection:
    """Open a file of a version, or make it.

    `upgrades` makes of an earlier version the present one.  Raises `RuntimeError` for
    any other.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)
    db = apsw.Connection(str(path))
    db.set_busy_timeout(BUSY_MS)
    db.pragma("journal_mode", "wal")
    db.pragma("synchronous", "normal")  # survives a kill of the process
    found = db.pragma("user_version")
    if found in (upgrades or {}):
        statements: Iterable[str] = (dict(upgrades or {})[found],)
    elif found in (0, version):
        statements = schema
    else:
        raise RuntimeError(f"`{path.name}` is of version {found}, expected {version}")
    with db:
        for statement in statements:
            db.execute(statement)
        db.pragma("user_version", version)
    return db
