"""What a node calls a subject: a name drawn at random, and forgotten when it is erased.

Journal and register know a subject by its *name*, 32 random bytes (a pseudonym).  The
only way from a subject to its name is a row of the table `name`, found by a *handle*,
which the node's key makes of the reference.  Nothing else of the node says whose a name
is, so whoever deletes the row (`secure_delete` overwrites its page) leaves behind names
that nobody can join to anybody, with the node's keys and the pepper in hand.  If the
same subject comes back, it gets another name.

A name is drawn when a registrar or a custodian tells the node of a subject.  Whoever is
only asked about is a *stranger*: its name is drawn anew each time and not kept, so that
questions fill no table.

A journal from before this table named subjects by their handles.  `schema` keeps those
names; erasing such a subject breaks the way through the table, while the node's key
still makes the old name.
"""

import secrets
from collections.abc import Iterable, Sequence
from typing import Final, cast

import apsw

from contracts.subject import Handle, Pseudonym, handle

NAME_BYTES: Final = 32
PAGE: Final = 512  # handles of one query
_MIGRATED: Final = "x''"  # no handle: it marks a table that has the names from before


def schema(*tables: str) -> tuple[str, ...]:
    """Make the table; `tables` have had names in a column `subject`."""
    since = f"NOT EXISTS (SELECT 1 FROM name WHERE handle = {_MIGRATED})"  # noqa: S608
    return (
        """CREATE TABLE IF NOT EXISTS name(
            handle BLOB PRIMARY KEY, name BLOB NOT NULL) WITHOUT ROWID""",
        *(
            "INSERT OR IGNORE INTO name(handle, name)"  # noqa: S608  our own tables
            f" SELECT DISTINCT subject, subject FROM {table} WHERE {since}"
            for table in tables
        ),
        f"INSERT OR IGNORE INTO name(handle, name) VALUES({_MIGRATED}, x'')",
    )


def find(db: apsw.Connection, handles: Sequence[Handle]) -> list[Pseudonym | None]:
    """Find the names of subjects; None for strangers.

    Jobs find them by the million: a page at a time, as they lie on the disk.
    """
    known: dict[Handle, Pseudonym] = {}
    wanted = sorted(set(handles))
    for first in range(0, len(wanted), PAGE):
        page = wanted[first : first + PAGE]
        marks = ",".join("?" * len(page))
        query = f"SELECT handle, name FROM name WHERE handle IN ({marks})"  # noqa: S608
        known.update(
            cast("Iterable[tuple[Handle, Pseudonym]]", db.execute(query, page))
        )
    return [known.get(each) for each in handles]


def of(db: apsw.Connection, key: bytes, refs: Iterable[bytes]) -> list[Pseudonym]:
    """Name subjects that are asked about; each stranger by a name of this once."""
    known = find(db, [handle(key, ref) for ref in refs])
    return [name or _draw() for name in known]


def enter(db: apsw.Connection, handles: Sequence[Handle]) -> list[Pseudonym]:
    """Name subjects for good, in the transaction that keeps something of them."""
    known = find(db, handles)
    fresh = {
        each: _draw() for each, name in zip(handles, known, strict=True) if not name
    }
    db.executemany("INSERT INTO name(handle, name) VALUES(?, ?)", fresh.items())
    return [name or fresh[each] for each, name in zip(handles, known, strict=True)]


def forget(db: apsw.Connection, each: Handle) -> None:
    """Erase the way to a subject's name."""
    db.execute("DELETE FROM name WHERE handle = ?", (each,))


def _draw() -> Pseudonym:
    return Pseudonym(secrets.token_bytes(NAME_BYTES))
