"""What a bank keeps of its calls: requests before they are sent, and replies.

One SQLite file, a row a call.  The request is on the disk before it is sent, so
that after any crash the same request, under the same jti, can be sent again and
spends nothing twice.  The reply's documents are the bank's evidence: which
question it asked, what house and authority signed about it, and the salt of its
own commitment.  The outcome itself is not kept here; it belongs in the bank's
own files.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.records import open_records
from node.wire.v1 import scoring_pb2
from protocols.sign import Signed

VERSION: Final = 2
SCHEMA: Final = """CREATE TABLE IF NOT EXISTS call(
    request BLOB PRIMARY KEY, payload BLOB NOT NULL, key_id TEXT NOT NULL,
    signature BLOB NOT NULL, subject_ref BLOB NOT NULL, salt BLOB NOT NULL,
    reply BLOB, result_salt BLOB, denial BLOB,
    result BLOB, result_key_id TEXT, result_signature BLOB,
    committed INTEGER NOT NULL DEFAULT 0, private BLOB) WITHOUT ROWID"""
_FROM_1: Final = "ALTER TABLE call ADD COLUMN private BLOB"


@dataclass(frozen=True, slots=True, repr=False)
class Kept:
    """One call as the bank remembers it."""

    request: Signed
    subject_ref: bytes
    salt: bytes
    reply: scoring_pb2.ScoreResponse | None
    result_salt: bytes | None
    private: bytes = b""  # both shares of a number of the bank's


class Receipts:
    """The bank's file; one connection, used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._db = open_records(path, VERSION, (SCHEMA,), {1: _FROM_1})

    def asked(
        self,
        call: bytes,
        request: Signed,
        opening: tuple[bytes, bytes],
        private: bytes = b"",
    ) -> None:
        """Keep a request before it is sent, with what opens it."""
        signed = request.payload, request.key_id, request.signature
        self._db.execute(
            "INSERT OR IGNORE INTO call"
            "(request, payload, key_id, signature, subject_ref, salt, private)"
            " VALUES(?, ?, ?, ?, ?, ?, ?)",
            (call, *signed, *opening, private),
        )

    def answered(
        self,
        call: bytes,
        reply: scoring_pb2.ScoreResponse,
        result_salt: bytes,
        result: Signed,
    ) -> Signed:
        """Keep a reply that was checked, and the commitment to what it said.

        Returns the commitment that stands: the first one.  A call that is asked
        again has the same answer, and the house takes one commitment to it.
        """
        self._db.execute(
            "UPDATE call SET reply = ?, result_salt = ?, result = ?,"
            " result_key_id = ?, result_signature = ?"
            " WHERE request = ? AND result IS NULL",
            (
                reply.SerializeToString(deterministic=True),
                result_salt,
                result.payload,
                result.key_id,
                result.signature,
                call,
            ),
        )
        row = self._db.execute(
            "SELECT result, result_key_id, result_signature FROM call"
            " WHERE request = ?",
            (call,),
        ).fetchone()
        if row is None:
            raise AssertionError("an answer to a request that was not kept")
        return Signed(*row)

    def committed(self, calls: Sequence[bytes]) -> None:
        """Note that the house has the commitments of some calls."""
        with self._db:
            self._db.executemany(
                "UPDATE call SET committed = 1 WHERE request = ?",
                [(call,) for call in calls],
            )

    def uncommitted(self) -> list[tuple[bytes, Signed]]:
        """List the commitments that have not arrived."""
        rows = self._db.execute(
            "SELECT request, result, result_key_id, result_signature FROM call"
            " WHERE result IS NOT NULL AND NOT committed"
        )
        return [(row[0], Signed(*row[1:])) for row in rows]

    def denied(self, call: bytes, denial: Signed) -> None:
        """Keep a refusal."""
        self._db.execute(
            "UPDATE call SET denial = ? WHERE request = ?", (denial.payload, call)
        )

    def open_requests(self) -> list[Kept]:
        """List the calls that were sent and never answered."""
        return list(self._rows("WHERE reply IS NULL AND denial IS NULL"))

    def all(self) -> Iterator[Kept]:
        """List every call."""
        return self._rows("")

    def find(self, call: bytes) -> Kept | None:
        """Find one call."""
        return next(self._rows("WHERE request = ?", call), None)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _rows(self, where: str, *values: bytes) -> Iterator[Kept]:
        columns = (
            "payload, key_id, signature, subject_ref, salt, reply, result_salt, private"
        )
        for row in self._db.execute(f"SELECT {columns} FROM call {where}", values):  # noqa: S608
            reply = (
                None if row[5] is None else scoring_pb2.ScoreResponse.FromString(row[5])
            )
            yield Kept(Signed(*row[:3]), row[3], row[4], reply, row[6], row[7] or b"")
