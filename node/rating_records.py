"""What a bank keeps of its ratings: each wish, before it is sent to the house.

One SQLite file, a row a wish.  The wish is on the disk before it is sent, so that after
any crash the same is sent again, and the house, which journals a wish once, answers
with the leave that it gave: no rating stands that its bank does not know of.
"""

from pathlib import Path
from typing import Final

from node.records import open_records
from protocols.rating import RatingRequest, rating_hash

VERSION: Final = 1
SCHEMA: Final = """CREATE TABLE IF NOT EXISTS wish(
    call BLOB, audience TEXT, holder BLOB, days INTEGER,
    name BLOB NOT NULL UNIQUE, payload BLOB NOT NULL,
    PRIMARY KEY(call, audience, holder, days)) WITHOUT ROWID"""


class RatingRecords:
    """The bank's file; one connection, used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._db = open_records(path, VERSION, (SCHEMA,))

    def wish(self, fresh: RatingRequest, days: int, now_s: int) -> RatingRequest:
        """Return the wish for the same, if one is kept and not over; else keep it."""
        key = fresh.call, fresh.audience, fresh.holder, days
        row = self._db.execute(
            "SELECT payload FROM wish"
            " WHERE call = ? AND audience = ? AND holder = ? AND days = ?",
            key,
        ).fetchone()
        if row is not None:
            kept = RatingRequest.parse(bytes(row[0]))
            if kept.not_after_s > now_s:
                return kept
        payload = fresh.to_bytes()
        self._db.execute(
            "INSERT OR REPLACE INTO wish(call, audience, holder, days, name, payload)"
            " VALUES(?, ?, ?, ?, ?, ?)",
            (*key, rating_hash(payload), payload),
        )
        return fresh

    def forget(self, name: bytes) -> None:
        """Forget a wish that the house refused, or whose rating is revoked."""
        self._db.execute("DELETE FROM wish WHERE name = ?", (name,))

    def close(self) -> None:
        """Close the file."""
        self._db.close()
