"""What the house remembers of sessions: a row each, until nobody fetches it any more.

A session goes through these columns from left to right::

    request    opened: allowed so far, points are coming
    ticket     its intent is journalled; `secret` is the seed, sealed at rest
    permit     the authority's permit, proven
    receipt    everything is multiplied, and stands in the journal (`outcome`)
    counted    in a count: the authority's reply, sealed to the bank

`denial` ends it at any point.  Rows are kept for the quota's 90 days; functions that
write take a transaction of the ledger.
"""

from dataclasses import dataclass
from typing import Any, Final

import apsw

from node.clock import BITS_WINDOW_MS, DAY_MS, REPLY_FETCHED_MS
from node.denial import from_store, to_store
from node.errors import DocumentConflict, NotFound
from node.ledger import Transaction
from protocols.psi_call import PsiRequest, PsiTicket
from protocols.sign import Signed

SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS psi_session(
        request BLOB PRIMARY KEY, bank TEXT NOT NULL, jti BLOB NOT NULL,
        list TEXT NOT NULL, signed BLOB NOT NULL, time_ms INTEGER NOT NULL,
        ticket BLOB, ticket_hash BLOB UNIQUE, intent INTEGER, secret BLOB,
        permit TEXT, receipt BLOB, outcome INTEGER, counted BLOB,
        counted_entry INTEGER, denial BLOB, result BLOB,
        UNIQUE(bank, jti)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS psi_session_list ON psi_session(list, bank, time_ms)",
)
OPEN_MS: Final = DAY_MS  # for points to come

_COLUMNS: Final = (
    "request, list, signed, time_ms, ticket, intent, secret, permit, receipt, outcome,"
    " counted, counted_entry, denial"
)


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """A session as it stands."""

    name: bytes  # hash of the request
    list: str
    signed: Signed
    time_ms: int
    ticket: Signed | None
    intent: int | None
    secret: bytes | None  # sealed seed
    permit: str | None  # a proof
    receipt: Signed | None
    outcome: int | None
    counted: bytes | None
    counted_entry: int | None
    denial: Signed | None

    @property
    def request(self) -> PsiRequest:
        """What was asked."""
        return PsiRequest.parse(self.signed.payload)


def find(db: apsw.Connection, name: bytes) -> Record | None:
    """Find a session by the hash of its request."""
    query = f"SELECT {_COLUMNS} FROM psi_session WHERE request = ?"  # noqa: S608
    return _record(db.execute(query, (name,)).fetchone())


def of_bank(db: apsw.Connection, name: bytes, bank: str) -> Record:
    """Find a session of this bank; raises `NotFound` for anybody else's."""
    record = find(db, name)
    if record is None or record.request.bank != bank:
        raise NotFound("no such session of this bank")
    return record


def unfinished(db: apsw.Connection) -> list[bytes]:
    """List sessions that were permitted and have no end."""
    rows: Any = db.execute(
        "SELECT request FROM psi_session"
        " WHERE permit IS NOT NULL AND outcome IS NULL AND denial IS NULL"
    )
    return [bytes(name) for (name,) in rows]


def by_ticket(db: apsw.Connection, ticket: bytes, bank: str) -> Record:
    """Find a session of this bank by its ticket; raises `NotFound`."""
    row = db.execute(
        "SELECT request FROM psi_session WHERE ticket_hash = ?", (ticket,)
    ).fetchone()
    return of_bank(db, b"" if row is None else row[0], bank)


def by_jti(db: apsw.Connection, bank: str, jti: bytes) -> bytes | None:
    """Find which session took a jti."""
    row = db.execute(
        "SELECT request FROM psi_session WHERE bank = ? AND jti = ?", (bank, jti)
    ).fetchone()
    return None if row is None else bytes(row[0])


def count(db: apsw.Connection, bank: str, name: str, now_ms: int) -> int:
    """Count a bank's sessions with a list that were not refused, in the window."""
    row: Any = db.execute(
        "SELECT count(*) FROM psi_session WHERE list = ? AND bank = ? AND time_ms > ?"
        " AND intent IS NOT NULL AND denial IS NULL",
        (name, bank, now_ms - BITS_WINDOW_MS),
    ).fetchone()
    return int(row[0])


def add(transaction: Transaction, name: bytes, signed: Signed, list_: str) -> None:
    """Enter a session whose points are to come."""
    request = PsiRequest.parse(signed.payload)
    transaction.db.execute(
        "INSERT INTO psi_session(request, bank, jti, list, signed, time_ms)"
        " VALUES(?, ?, ?, ?, ?, ?)",
        (
            name,
            request.bank,
            request.jti,
            list_,
            to_store(signed),
            transaction.now_ms,
        ),
    )


def waiting(db: apsw.Connection, bank: str, list_: str) -> list[bytes]:
    """List a bank's sessions with a list whose points are still to come."""
    rows: Any = db.execute(
        "SELECT request FROM psi_session WHERE bank = ? AND list = ?"
        " AND ticket IS NULL AND denial IS NULL",
        (bank, list_),
    )
    return [bytes(name) for (name,) in rows]


def drop(transaction: Transaction, name: bytes) -> None:
    """Drop a session of which nothing is journalled."""
    transaction.db.execute(
        "DELETE FROM psi_session WHERE request = ? AND ticket IS NULL", (name,)
    )


def depart(
    transaction: Transaction, name: bytes, ticket: Signed, intent: int, secret: bytes
) -> None:
    """Keep a session that is about to ask the authority."""
    transaction.db.execute(
        "UPDATE psi_session SET ticket = ?, ticket_hash = ?, intent = ?, secret = ?,"
        " time_ms = ? WHERE request = ?",
        (
            to_store(ticket),
            PsiTicket.parse(ticket.payload).hash,
            intent,
            secret,
            transaction.now_ms,
            name,
        ),
    )


def permitted(transaction: Transaction, name: bytes, proof: str) -> None:
    """Keep the authority's permit."""
    transaction.db.execute(
        "UPDATE psi_session SET permit = ? WHERE request = ?", (proof, name)
    )


def finish(
    transaction: Transaction, name: bytes, receipt: Signed, outcome: int
) -> None:
    """Keep what the authority said of all of it, and where that is journalled."""
    transaction.db.execute(
        "UPDATE psi_session SET receipt = ?, outcome = ?, secret = NULL"
        " WHERE request = ?",
        (to_store(receipt), outcome, name),
    )


def counted(transaction: Transaction, name: bytes, reply: bytes, entry: int) -> None:
    """Keep a count that is about to be released."""
    transaction.db.execute(
        "UPDATE psi_session SET counted = ?, counted_entry = ? WHERE request = ?",
        (reply, entry, name),
    )


def deny(transaction: Transaction, name: bytes, denial: Signed) -> None:
    """Keep a refusal; nothing more comes of the session."""
    transaction.db.execute(
        "UPDATE psi_session SET denial = ?, secret = NULL WHERE request = ?",
        (to_store(denial), name),
    )


def commit(
    transaction: Transaction, ticket: bytes, bank: str, result: bytes
) -> bytes | None:
    """Keep a bank's commitment and return the session; None if it was kept before.

    Raises `NotFound`, and `DocumentConflict` for a second, other commitment.
    """
    row = transaction.db.execute(
        "SELECT request, result FROM psi_session"
        " WHERE ticket_hash = ? AND bank = ? AND outcome IS NOT NULL",
        (ticket, bank),
    ).fetchone()
    if row is None:
        raise NotFound("nothing was released under this ticket to this bank")
    name, known = row
    if known is not None:
        if known != result:
            raise DocumentConflict("another commitment to this answer was made before")
        return None
    transaction.db.execute(
        "UPDATE psi_session SET result = ? WHERE request = ?", (result, name)
    )
    return bytes(name)


def stale(db: apsw.Connection, now_ms: int) -> list[bytes]:
    """List sessions whose files their bank needs no more."""
    rows: Any = db.execute(
        "SELECT request FROM psi_session WHERE time_ms < ?"
        " OR (ticket IS NULL AND time_ms < ?)",
        (now_ms - REPLY_FETCHED_MS, now_ms - OPEN_MS),
    )
    return [bytes(name) for (name,) in rows]


def over(db: apsw.Connection, now_ms: int) -> set[bytes]:
    """List sessions that are about to be forgotten: nothing of them is kept."""
    rows: Any = db.execute(
        "SELECT request FROM psi_session WHERE time_ms < ?"
        " OR (ticket IS NULL AND denial IS NULL AND time_ms < ?)",
        (now_ms - BITS_WINDOW_MS, now_ms - OPEN_MS),
    )
    return {bytes(name) for (name,) in rows}


def forget(transaction: Transaction) -> None:
    """Drop the rows that no quota needs, and sessions whose points never came."""
    transaction.db.execute(
        "DELETE FROM psi_session WHERE time_ms < ?"
        " OR (ticket IS NULL AND denial IS NULL AND time_ms < ?)",
        (transaction.now_ms - BITS_WINDOW_MS, transaction.now_ms - OPEN_MS),
    )


def _record(row: Any) -> Record | None:  # noqa: ANN401  a row, or none
    if row is None:
        return None
    name, list_, signed, time_ms, ticket, *rest = row
    intent, secret, permit, receipt, outcome, counted_, entry, denial = rest
    return Record(
        name,
        list_,
        from_store(signed),
        time_ms,
        None if ticket is None else from_store(ticket),
        intent,
        secret,
        permit,
        None if receipt is None else from_store(receipt),
        outcome,
        counted_,
        entry,
        None if denial is None else from_store(denial),
    )
