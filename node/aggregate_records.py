"""What a bank keeps of its statistics: requests before they are sent, and replies.

One SQLite file, a row a request.  The request is on the disk before it is sent, so
that after any crash the same one, under the same jti, can be sent again and spends
nothing twice.  The reply is the bank's evidence, and it is all that is needed to read
the answer again: nothing more is asked for that.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.records import open_records
from node.wire.v1 import aggregate_pb2
from protocols.sign import Signed

VERSION: Final = 1
SCHEMA: Final = """CREATE TABLE IF NOT EXISTS question(
    request BLOB PRIMARY KEY, payload BLOB NOT NULL, key_id TEXT NOT NULL,
    signature BLOB NOT NULL, reply BLOB, denial BLOB) WITHOUT ROWID"""


@dataclass(frozen=True, slots=True)
class Kept:
    """One question as the bank remembers it."""

    request: Signed
    reply: aggregate_pb2.AggregateReply | None


class AggregateRecords:
    """The bank's file; one connection, used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._db = open_records(path, VERSION, (SCHEMA,))

    def asked(self, call: bytes, request: Signed) -> None:
        """Keep a request before it is sent."""
        self._db.execute(
            "INSERT OR IGNORE INTO question(request, payload, key_id, signature)"
            " VALUES(?, ?, ?, ?)",
            (call, request.payload, request.key_id, request.signature),
        )

    def answered(self, call: bytes, reply: aggregate_pb2.AggregateReply) -> None:
        """Keep a reply that was checked; the first one stands."""
        self._db.execute(
            "UPDATE question SET reply = ? WHERE request = ? AND reply IS NULL",
            (reply.SerializeToString(deterministic=True), call),
        )

    def denied(self, call: bytes, denial: Signed) -> None:
        """Keep a refusal."""
        self._db.execute(
            "UPDATE question SET denial = ? WHERE request = ?", (denial.payload, call)
        )

    def unanswered(self) -> list[bytes]:
        """List the requests that were sent, and neither answered nor refused."""
        rows = self._db.execute(
            "SELECT request FROM question WHERE reply IS NULL AND denial IS NULL"
        )
        return [bytes(request) for (request,) in rows]

    def find(self, call: bytes) -> Kept | None:
        """Find one request."""
        return next(self._rows("WHERE request = ?", call), None)

    def all(self) -> Iterator[Kept]:
        """List every request."""
        return self._rows("")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _rows(self, where: str, *values: bytes) -> Iterator[Kept]:
        columns = "payload, key_id, signature, reply"
        for payload, key_id, signature, reply in self._db.execute(
            f"SELECT {columns} FROM question {where}",  # noqa: S608  constant texts
            values,
        ):
            read = aggregate_pb2.AggregateReply.FromString
            yield Kept(
                Signed(payload, key_id, signature),
                None if reply is None else read(reply),
            )
