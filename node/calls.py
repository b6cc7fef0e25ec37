"""What the house remembers of calls: replies, calls under way, answers, shares.

==============  =============================================================
table           a row is
==============  =============================================================
`reply`         a request, and what it came to, until its jti may be forgotten
`flight`        a call between intent and outcome; seed, opening and what the bank
                shared are sealed under the at-rest key, and erased with the row
`answer`        an answer that may be released again: to the same bank, about
                the same subject, contract and inputs
`released`      a ticket that was released, and the bank's commitment to it
`seed_share`    a share of a call's seed, sealed to one auditor
==============  =============================================================

Functions that write take a transaction of the ledger, those that read any
connection; nothing here decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import apsw

from contracts.objection import Objection
from node.clock import JTI_KEPT_MS
from node.denial import from_store, to_store
from node.errors import DocumentConflict, NotFound
from node.ledger import Transaction
from node.wire.v1 import scoring_pb2
from protocols.call import HASH_BYTES, SALT_BYTES, Opening, Request
from protocols.drbg import SEED_BYTES
from protocols.seal import unwrap, wrap
from protocols.sharing import Private
from protocols.sign import Signed

SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS reply(
        bank TEXT, jti BLOB, request BLOB NOT NULL, response BLOB,
        outcome INTEGER, denial BLOB, forget_ms INTEGER NOT NULL,
        PRIMARY KEY(bank, jti)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS reply_forget ON reply(forget_ms)",
    """CREATE TABLE IF NOT EXISTS flight(
        request BLOB PRIMARY KEY, signed_request BLOB NOT NULL,
        signed_ticket BLOB NOT NULL, intent INTEGER NOT NULL,
        subject BLOB NOT NULL, secret BLOB NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS flight_subject ON flight(subject)",
    """CREATE TABLE IF NOT EXISTS answer(
        bank TEXT, subject BLOB, contract BLOB, inputs BLOB,
        answer BLOB NOT NULL, time_ms INTEGER NOT NULL,
        PRIMARY KEY(bank, subject, contract, inputs)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS released(
        ticket BLOB PRIMARY KEY, bank TEXT NOT NULL, request BLOB NOT NULL,
        result BLOB) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS seed_share(
        request BLOB, auditor TEXT, box BLOB NOT NULL,
        PRIMARY KEY(request, auditor)) WITHOUT ROWID""",
)

FORGET_AT_ONCE: Final = 16  # rows a transaction, so that none takes long


@dataclass(frozen=True, slots=True, repr=False)
class Asked:
    """A request whose opening holds, and the node's name of its subject."""

    signed: Signed
    request: Request
    call: bytes  # request hash
    opening: Opening
    subject: bytes  # pseudonym
    private: Private | None = None  # of a number of the bank's


@dataclass(frozen=True, slots=True)
class Came:
    """What a request came to: a response and its journal entry, or a denial."""

    call: bytes
    response: scoring_pb2.ScoreResponse | None
    outcome: int
    denial: Signed | None


@dataclass(frozen=True, slots=True, repr=False)
class Waiting:
    """A call between intent and outcome, read back from the disk."""

    asked: Asked
    ticket: Signed
    intent: int
    seed: bytes  # empty for a repeat


# -- replies


def reply(db: apsw.Connection, request: Request) -> Came | None:
    """Find what the jti of `request` came to before."""
    row = db.execute(
        "SELECT request, response, outcome, denial FROM reply"
        " WHERE bank = ? AND jti = ?",
        (request.bank, request.jti),
    ).fetchone()
    if row is None:
        return None
    call, response, outcome, refusal = row
    return Came(
        call,
        None if response is None else scoring_pb2.ScoreResponse.FromString(response),
        -1 if outcome is None else outcome,
        None if refusal is None else from_store(refusal),
    )


def keep_denial(transaction: Transaction, asked: Asked, refusal: Signed) -> None:
    """Remember that a request was denied; it is under way no more."""
    _keep(transaction, asked, (None, None, to_store(refusal)))


def keep_response(
    transaction: Transaction,
    asked: Asked,
    response: scoring_pb2.ScoreResponse,
    outcome: int,
) -> None:
    """Remember what is released for a request; it is under way no more."""
    data = response.SerializeToString(deterministic=True)
    _keep(transaction, asked, (data, outcome, None))


def _keep(
    transaction: Transaction,
    asked: Asked,
    came: tuple[bytes | None, int | None, bytes | None],
) -> None:
    db, now_ms, request = transaction.db, transaction.now_ms, asked.request
    forget_ms = max(now_ms, request.iat_ms) + JTI_KEPT_MS
    db.execute(
        "INSERT INTO reply(bank, jti, request, response, outcome, denial, forget_ms)"
        " VALUES(?, ?, ?, ?, ?, ?, ?)",
        (request.bank, request.jti, asked.call, *came, forget_ms),
    )
    db.execute("DELETE FROM flight WHERE request = ?", (asked.call,))
    db.execute(
        "DELETE FROM reply WHERE (bank, jti) IN (SELECT bank, jti FROM reply"
        " WHERE forget_ms < ? LIMIT ?)",
        (now_ms, FORGET_AT_ONCE),
    )


# -- calls under way


def depart(
    transaction: Transaction,
    waiting: Waiting,
    key: bytes,
    shares: Sequence[tuple[str, bytes]],
) -> None:
    """Keep a call that is about to ask the authority, its secrets sealed."""
    asked = waiting.asked
    secret = asked.opening.subject_ref + asked.opening.salt + waiting.seed
    if asked.private is not None:
        secret += asked.private.to_bytes()
    transaction.db.execute(
        "INSERT INTO flight(request, signed_request, signed_ticket, intent, subject,"
        " secret) VALUES(?, ?, ?, ?, ?, ?)",
        (
            asked.call,
            to_store(asked.signed),
            to_store(waiting.ticket),
            waiting.intent,
            asked.subject,
            wrap(key, asked.call, secret),
        ),
    )
    transaction.db.executemany(
        "INSERT INTO seed_share(request, auditor, box) VALUES(?, ?, ?)",
        [(asked.call, auditor, box) for auditor, box in shares],
    )


def under_way(db: apsw.Connection, key: bytes, call: bytes) -> Waiting | None:
    """Find one call between intent and outcome."""
    return next(iter(_waiting(db, key, "WHERE request = ?", call)), None)


def other_under_way(db: apsw.Connection, asked: Asked) -> bool:
    """Tell whether another call is between intent and outcome under this jti."""
    # 16 random bytes stand nowhere else in a signed request.
    rows = db.execute(
        "SELECT signed_request FROM flight WHERE request != ?"
        " AND instr(CAST(signed_request AS TEXT), ?)",
        (asked.call, asked.request.jti.hex()),
    )
    return any(
        Request.parse(from_store(signed).payload).bank == asked.request.bank
        for (signed,) in rows
    )


def same_under_way(db: apsw.Connection, key: bytes, asked: Asked) -> list[Waiting]:
    """List other calls between intent and outcome that ask the same question."""
    request = asked.request
    return [
        waiting
        for waiting in _waiting(db, key, "WHERE subject = ?", asked.subject)
        if waiting.asked.call != asked.call
        and waiting.asked.request.bank == request.bank
        and waiting.asked.request.contract == request.contract
    ]


def all_under_way(db: apsw.Connection, key: bytes) -> list[Waiting]:
    """List every call between intent and outcome."""
    return _waiting(db, key, "")


def _waiting(
    db: apsw.Connection, key: bytes, where: str, *values: bytes
) -> list[Waiting]:
    columns = "request, signed_request, signed_ticket, intent, subject, secret"
    found = []
    for call, request, ticket, intent, subject, sealed in db.execute(
        f"SELECT {columns} FROM flight {where}",  # noqa: S608  constant texts
        values,
    ):
        secret = unwrap(key, call, sealed)
        ref, rest = secret[:HASH_BYTES], secret[HASH_BYTES:]
        signed = from_store(request)
        salt, rest = rest[:SALT_BYTES], rest[SALT_BYTES:]
        seed, rest = rest[:SEED_BYTES], rest[SEED_BYTES:]
        if len(seed) not in (0, SEED_BYTES):
            raise AssertionError("a sealed seed of another length")
        asked = Asked(
            signed,
            Request.parse(signed.payload),
            call,
            Opening(ref, salt),
            subject,
            Private.parse(rest) if rest else None,
        )
        found.append(Waiting(asked, from_store(ticket), intent, seed))
    return found


# -- answers


def answer(
    db: apsw.Connection, asked: Asked, inputs: bytes, since_ms: int
) -> scoring_pb2.Answer | None:
    """Find an answer to the same question on the same inputs."""
    request = asked.request
    row = db.execute(
        "SELECT answer FROM answer WHERE bank = ? AND subject = ? AND contract = ?"
        " AND inputs = ? AND time_ms > ?",
        (request.bank, asked.subject, request.contract, inputs, since_ms),
    ).fetchone()
    return None if row is None else scoring_pb2.Answer.FromString(row[0])


def keep_answer(
    transaction: Transaction,
    asked: Asked,
    inputs: bytes,
    given: scoring_pb2.Answer,
    since_ms: int,
) -> None:
    """Keep an answer that may be released again.

    Of two answers to one question the first stays until it is too old: a call
    that repeats it may be under way.
    """
    request = asked.request
    transaction.db.execute(
        "INSERT INTO answer(bank, subject, contract, inputs, answer, time_ms)"
        " VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " answer = excluded.answer, time_ms = excluded.time_ms WHERE time_ms <= ?",
        (
            request.bank,
            asked.subject,
            request.contract,
            inputs,
            given.SerializeToString(deterministic=True),
            transaction.now_ms,
            since_ms,
        ),
    )


# -- commitments


def release(transaction: Transaction, asked: Asked, ticket: bytes) -> None:
    """Note that a ticket's answer is released; the bank will commit to it."""
    transaction.db.execute(
        "INSERT INTO released(ticket, bank, request) VALUES(?, ?, ?)",
        (ticket, asked.request.bank, asked.call),
    )


def commit(
    transaction: Transaction, bank: str, ticket: bytes, result: bytes
) -> bytes | None:
    """Keep a bank's commitment and return the call; None if it was kept before.

    Raises `NotFound` for a ticket that was not released to this bank, and
    `DocumentConflict` for a second, other commitment: the first one stands.
    """
    row = transaction.db.execute(
        "SELECT request, result FROM released WHERE ticket = ? AND bank = ?",
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
        "UPDATE released SET result = ? WHERE ticket = ?", (result, ticket)
    )
    return bytes(call)


def released_to(db: apsw.Connection, bank: str, ticket: bytes) -> bytes | None:
    """Find the call of a ticket whose answer was released to a bank."""
    row = db.execute(
        "SELECT request FROM released WHERE ticket = ? AND bank = ?", (ticket, bank)
    ).fetchone()
    return None if row is None else bytes(row[0])


def erase(transaction: Transaction, _objection: Objection, subject: bytes) -> None:
    """Forget the answers about a subject that is erased: none is released again.

    Those that calls under way repeat go with the last of these calls.
    """
    forget(transaction, subject)


def forget(transaction: Transaction, subject: bytes) -> None:
    """Forget the answers about an erased subject, unless calls are under way."""
    transaction.db.execute(
        "DELETE FROM answer WHERE subject = ?1"
        " AND NOT EXISTS(SELECT 1 FROM flight WHERE subject = ?1)",
        (subject,),
    )


# -- shares of seeds


def seed_share(db: apsw.Connection, call: bytes, auditor: str) -> bytes:
    """Find an auditor's sealed share of a call's seed; raises `NotFound`."""
    row = db.execute(
        "SELECT box FROM seed_share WHERE request = ? AND auditor = ?", (call, auditor)
    ).fetchone()
    if row is None:
        raise NotFound("no share of that call's seed for this auditor")
    return bytes(row[0])
