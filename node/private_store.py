"""What the house remembers of private calls: a row each, as long as of its jti.

`ticket` is there once the intent is journalled, with the sealed seed in `secret`, which
is erased with the outcome; `response` once the outcome is.  A row with a ticket and no
response is a call under way, to be finished by whomever.  Of whom it was about there is
nothing here to keep: the bank's box is sealed to the authority.
"""

from dataclasses import dataclass
from typing import Any, Final

import apsw

from node.clock import JTI_KEPT_MS
from node.denial import from_store, to_store
from node.errors import DocumentConflict, NotFound
from node.ledger import Transaction
from protocols.private_call import PrivateRequest
from protocols.sign import Signed

SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS private_call(
        bank TEXT, jti BLOB, request BLOB NOT NULL UNIQUE, signed BLOB NOT NULL,
        box BLOB NOT NULL, ticket BLOB, intent INTEGER, secret BLOB,
        response BLOB, outcome INTEGER, denial BLOB, forget_ms INTEGER NOT NULL,
        PRIMARY KEY(bank, jti)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS private_call_forget ON private_call(forget_ms)",
    # A ticket whose box was released, and the bank's commitment to what was in it.
    """CREATE TABLE IF NOT EXISTS private_released(
        ticket BLOB PRIMARY KEY, bank TEXT NOT NULL, request BLOB NOT NULL,
        result BLOB) WITHOUT ROWID""",
)
FORGET_AT_ONCE: Final = 16  # rows a transaction, so that none takes long
_COLUMNS: Final = (
    "request, signed, box, ticket, intent, secret, response, outcome, denial"
)


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """A private call as it stands."""

    call: bytes  # request hash
    signed: Signed
    box: bytes
    ticket: Signed | None
    intent: int | None
    secret: bytes | None
    response: bytes | None
    outcome: int | None
    denial: Signed | None

    @property
    def request(self) -> PrivateRequest:
        """What was asked."""
        return PrivateRequest.parse(self.signed.payload)


def find(db: apsw.Connection, bank: str, jti: bytes) -> Record | None:
    """Find what a jti came to."""
    query = f"SELECT {_COLUMNS} FROM private_call WHERE bank = ? AND jti = ?"  # noqa: S608
    return _record(db.execute(query, (bank, jti)).fetchone())


def under_way(db: apsw.Connection) -> list[Record]:
    """List the calls between intent and outcome."""
    query = f"SELECT {_COLUMNS} FROM private_call WHERE secret IS NOT NULL"  # noqa: S608
    rows: Any = db.execute(query).fetchall()
    return [record for row in rows if (record := _record(row)) is not None]


def depart(
    transaction: Transaction,
    record: Record,
    ticket: Signed,
    intent: int,
    secret: bytes,
) -> None:
    """Keep a call that is about to ask the authority."""
    request = record.request
    transaction.db.execute(
        "INSERT INTO private_call(bank, jti, request, signed, box, ticket, intent,"
        " secret, forget_ms) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            request.bank,
            request.jti,
            record.call,
            to_store(record.signed),
            record.box,
            to_store(ticket),
            intent,
            secret,
            _forget_ms(transaction, request),
        ),
    )
    transaction.db.execute(
        "DELETE FROM private_call WHERE (bank, jti) IN (SELECT bank, jti FROM"
        " private_call WHERE forget_ms < ? AND secret IS NULL LIMIT ?)",
        (transaction.now_ms, FORGET_AT_ONCE),
    )


def deny(transaction: Transaction, record: Record, denial: Signed) -> None:
    """Remember that a call was denied; it is under way no more."""
    request = record.request
    transaction.db.execute(
        "INSERT INTO private_call(bank, jti, request, signed, box, denial, forget_ms)"
        " VALUES(?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " denial = excluded.denial, secret = NULL",
        (
            request.bank,
            request.jti,
            record.call,
            to_store(record.signed),
            record.box,
            to_store(denial),
            _forget_ms(transaction, request),
        ),
    )


def finish(
    transaction: Transaction,
    record: Record,
    ticket: bytes,
    response: bytes,
    outcome: int,
) -> None:
    """Keep what is released, and wait for the bank's commitment to it."""
    transaction.db.execute(
        "UPDATE private_call SET response = ?, outcome = ?, secret = NULL"
        " WHERE request = ?",
        (response, outcome, record.call),
    )
    transaction.db.execute(
        "INSERT INTO private_released(ticket, bank, request) VALUES(?, ?, ?)",
        (ticket, record.request.bank, record.call),
    )


def commit(
    transaction: Transaction, ticket: bytes, bank: str, result: bytes
) -> bytes | None:
    """Keep a bank's commitment and return the call; None if it was kept before.

    Raises `NotFound`, and `DocumentConflict` for a second, other commitment.
    """
    row = transaction.db.execute(
        "SELECT request, result FROM private_released WHERE ticket = ? AND bank = ?",
        (ticket, bank),
    ).fetchone()
    if row is None:
        raise NotFound("no such answer was released to this bank")
    call, known = row
    if known is not None:
        if known != result:
            raise DocumentConflict("another commitment to this answer was made before")
        return None
    transaction.db.execute(
        "UPDATE private_released SET result = ? WHERE ticket = ?", (result, ticket)
    )
    return bytes(call)


def _forget_ms(transaction: Transaction, request: PrivateRequest) -> int:
    return max(transaction.now_ms, request.iat_ms) + JTI_KEPT_MS


def _record(row: Any) -> Record | None:  # noqa: ANN401  a row, or none
    if row is None:
        return None
    call, signed, box, ticket, intent, secret, response, outcome, denial = row
    return Record(
        call,
        from_store(signed),
        box,
        None if ticket is None else from_store(ticket),
        intent,
        secret,
        response,
        outcome,
        None if denial is None else from_store(denial),
    )
