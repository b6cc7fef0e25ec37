"""What a bank keeps of its private calls: requests before they are sent, and replies.

One SQLite file, a row a call, and a row for every subject that was asked about: who was
in all its lists.  A reply is kept for the bank itself, too: the house answers no
question twice (`protocols.private_call`); with it the commitment to what was read, sent
until it has arrived, and its salt.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.denial import from_store, to_store
from node.records import open_records
from node.wire.v1 import private_pb2
from protocols.canon import Json, Reader, dumps, loads
from protocols.errors import FormatError
from protocols.private_call import LEAST, Candidates
from protocols.sign import Signed

VERSION: Final = 2
SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS private_call(
        request BLOB PRIMARY KEY, signed BLOB NOT NULL, box BLOB NOT NULL,
        candidates BLOB NOT NULL, entry INTEGER NOT NULL, reply BLOB,
        denied INTEGER NOT NULL DEFAULT 0, result_salt BLOB, result BLOB,
        committed INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID""",
    # References of 32 bytes each: who may be the one, for all that the house has seen.
    """CREATE TABLE IF NOT EXISTS hidden_among(
        subject BLOB PRIMARY KEY, candidates BLOB NOT NULL) WITHOUT ROWID""",
)
_FROM_1: Final = """ALTER TABLE private_call ADD COLUMN result_salt BLOB;
    ALTER TABLE private_call ADD COLUMN result BLOB;
    ALTER TABLE private_call ADD COLUMN committed INTEGER NOT NULL DEFAULT 0"""
FORMAT: Final = "safehouse/candidates/1"


@dataclass(frozen=True, slots=True, repr=False)
class Kept:
    """One call as the bank remembers it."""

    call: bytes
    request: Signed
    box: bytes
    candidates: Candidates
    entry: int  # the one that is meant
    reply: private_pb2.AskPrivatelyResponse | None


class PrivateRecords:
    """The bank's file; one connection, used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._db = open_records(path, VERSION, SCHEMA, {1: _FROM_1})

    def asked(self, kept: Kept) -> int:
        """Keep a request before it is sent; return how many its subject hides among.

        Where that is fewer than `LEAST`, nothing is kept: do not send it.
        """
        refs = [ref for ref, _, _ in kept.candidates.rows]
        with self._db:
            subject = refs[kept.entry]
            row: Any = self._db.execute(
                "SELECT candidates FROM hidden_among WHERE subject = ?", (subject,)
            ).fetchone()
            if row is not None:
                before = {row[0][at : at + 32] for at in range(0, len(row[0]), 32)}
                refs = [ref for ref in refs if ref in before]
            if len(refs) < LEAST:
                return len(refs)
            self._db.execute(
                "INSERT OR REPLACE INTO hidden_among(subject, candidates) VALUES(?, ?)",
                (subject, b"".join(refs)),
            )
            self._db.execute(
                "INSERT INTO private_call(request, signed, box, candidates, entry)"
                " VALUES(?, ?, ?, ?, ?)",
                (
                    kept.call,
                    to_store(kept.request),
                    kept.box,
                    _write(kept.candidates),
                    kept.entry,
                ),
            )
        return len(refs)

    def answered(
        self,
        call: bytes,
        reply: private_pb2.AskPrivatelyResponse,
        salt: bytes,
        result: Signed,
    ) -> None:
        """Keep a reply that was checked, and the commitment to it; the first stands."""
        self._db.execute(
            "UPDATE private_call SET reply = ?, result_salt = ?, result = ?"
            " WHERE request = ? AND result IS NULL",
            (
                reply.SerializeToString(deterministic=True),
                salt,
                to_store(result),
                call,
            ),
        )

    def uncommitted(self) -> list[tuple[bytes, Signed]]:
        """List the commitments that have not arrived."""
        rows: Any = self._db.execute(
            "SELECT request, result FROM private_call"
            " WHERE result IS NOT NULL AND NOT committed"
        ).fetchall()
        return [(bytes(name), from_store(result)) for name, result in rows]

    def committed(self, call: bytes) -> None:
        """Note that the house has the commitment of a call."""
        self._db.execute(
            "UPDATE private_call SET committed = 1 WHERE request = ?", (call,)
        )

    def denied(self, call: bytes) -> None:
        """Note that a request was refused openly."""
        self._db.execute(
            "UPDATE private_call SET denied = 1 WHERE request = ?", (call,)
        )

    def find(self, call: bytes) -> Kept | None:
        """Find a call by the hash of its request."""
        row: Any = self._db.execute(
            "SELECT request, signed, box, candidates, entry, reply FROM private_call"
            " WHERE request = ?",
            (call,),
        ).fetchone()
        if row is None:
            return None
        name, signed, box, candidates, entry, data = row
        reply = None
        if data is not None:
            reply = private_pb2.AskPrivatelyResponse.FromString(data)
        return Kept(name, from_store(signed), box, _read(candidates), entry, reply)

    def unanswered(self) -> list[bytes]:
        """List the requests that came to nothing yet."""
        rows: Any = self._db.execute(
            "SELECT request FROM private_call WHERE reply IS NULL AND denied = 0"
        )
        return [bytes(name) for (name,) in rows]

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _write(candidates: Candidates) -> bytes:
    rows: list[Json] = [[r.hex(), s.hex(), c] for r, s, c in candidates.rows]
    return dumps({"v": FORMAT, "rows": rows})


def _read(data: bytes) -> Candidates:
    rows = []
    for item in Reader(loads(data, FORMAT)).items("rows"):
        match item:
            case [str(ref), str(salt), str(consent)]:
                rows.append((bytes.fromhex(ref), bytes.fromhex(salt), consent))
            case _:
                raise FormatError("expected a candidate")
    return Candidates(tuple(rows))
