"""What the house remembers of statistics: replies, questions under way, answers.

====================  =========================================================
table                 a row is
====================  =========================================================
`aggregate_reply`     a request, and what it came to, until its jti may be
                      forgotten
`aggregate_flight`    a question between intent and outcome; its seed is sealed
                      under the at-rest key, and erased with the row
`aggregate_answer`    an answer that is released again, to whom it went, for the
                      same question in the same quarter
====================  =========================================================

Functions that write take a transaction of the ledger, those that read any
connection; nothing here decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

import apsw

from node.clock import JTI_KEPT_MS
from node.denial import from_store, to_store
from node.ledger import Transaction
from node.objections import Placement
from node.wire.v1 import aggregate_pb2
from protocols.aggregate_call import AggregateRequest
from protocols.canon import dumps, loads
from protocols.seal import unwrap, wrap
from protocols.sign import Signed

SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS aggregate_reply(
        bank TEXT, jti BLOB, request BLOB NOT NULL, response BLOB,
        outcome INTEGER, denial BLOB, forget_ms INTEGER NOT NULL,
        PRIMARY KEY(bank, jti)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS aggregate_flight(
        request BLOB PRIMARY KEY, signed_request BLOB NOT NULL,
        signed_ticket BLOB NOT NULL, intent INTEGER NOT NULL,
        placements BLOB NOT NULL, secret BLOB NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS aggregate_answer(
        bank TEXT, contract BLOB, question BLOB, quarter TEXT, answer BLOB NOT NULL,
        PRIMARY KEY(bank, contract, question, quarter)) WITHOUT ROWID""",
)
PLACEMENTS: Final = "safehouse/placements/1"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request whose signature holds."""

    signed: Signed
    request: AggregateRequest
    call: bytes  # request hash
    quarter: str


@dataclass(frozen=True, slots=True)
class Came:
    """What a request came to: a response and its journal entry, or a denial."""

    call: bytes
    response: aggregate_pb2.AggregateReply | None
    outcome: int
    denial: Signed | None


@dataclass(frozen=True, slots=True, repr=False)
class Waiting:
    """A question between intent and outcome, read back from the disk."""

    signed_request: Signed
    ticket: Signed
    intent: int
    placements: tuple[Placement, ...]  # as they stood
    seed: bytes  # empty for a repeat

    @property
    def request(self) -> AggregateRequest:
        """The request."""
        return AggregateRequest.parse(self.signed_request.payload)


def reply(db: apsw.Connection, request: AggregateRequest) -> Came | None:
    """Find what the jti of `request` came to before."""
    row = db.execute(
        "SELECT request, response, outcome, denial FROM aggregate_reply"
        " WHERE bank = ? AND jti = ?",
        (request.bank, request.jti),
    ).fetchone()
    if row is None:
        return None
    call, response, outcome, refusal = row
    read = aggregate_pb2.AggregateReply.FromString
    return Came(
        call,
        None if response is None else read(response),
        -1 if outcome is None else outcome,
        None if refusal is None else from_store(refusal),
    )


def keep_denial(transaction: Transaction, asked: Asked, refusal: Signed) -> None:
    """Remember that a request was denied; it is under way no more."""
    _keep(transaction, asked, (None, None, to_store(refusal)))


def keep_response(
    transaction: Transaction,
    asked: Asked,
    response: aggregate_pb2.AggregateReply,
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
    db.execute(
        "INSERT INTO aggregate_reply"
        "(bank, jti, request, response, outcome, denial, forget_ms)"
        " VALUES(?, ?, ?, ?, ?, ?, ?)",
        (
            request.bank,
            request.jti,
            asked.call,
            *came,
            max(now_ms, request.iat_ms) + JTI_KEPT_MS,
        ),
    )
    db.execute("DELETE FROM aggregate_flight WHERE request = ?", (asked.call,))
    db.execute("DELETE FROM aggregate_reply WHERE forget_ms < ?", (now_ms,))


def depart(
    transaction: Transaction,
    call: bytes,
    waiting: Waiting,
    key: bytes,
    shares: Sequence[tuple[str, bytes]],
) -> None:
    """Keep a question that is about to go to the authority, its seed sealed."""
    rows = [[item.objection_id, item.row] for item in waiting.placements]
    transaction.db.execute(
        "INSERT INTO aggregate_flight(request, signed_request, signed_ticket, intent,"
        " placements, secret) VALUES(?, ?, ?, ?, ?, ?)",
        (
            call,
            to_store(waiting.signed_request),
            to_store(waiting.ticket),
            waiting.intent,
            dumps({"v": PLACEMENTS, "rows": rows}),
            wrap(key, call, waiting.seed),
        ),
    )
    transaction.db.executemany(
        "INSERT INTO seed_share(request, auditor, box) VALUES(?, ?, ?)",
        [(call, auditor, box) for auditor, box in shares],
    )


def under_way(db: apsw.Connection, key: bytes, call: bytes) -> Waiting | None:
    """Find one question between intent and outcome."""
    row = db.execute(
        "SELECT signed_request, signed_ticket, intent, placements, secret"
        " FROM aggregate_flight WHERE request = ?",
        (call,),
    ).fetchone()
    if row is None:
        return None
    request, ticket, intent, placements, secret = row
    rows = cast("list[tuple[str, int | None]]", loads(placements, PLACEMENTS)["rows"])
    return Waiting(
        from_store(request),
        from_store(ticket),
        intent,
        tuple(Placement(name, place) for name, place in rows),
        unwrap(key, call, secret),
    )


def all_under_way(db: apsw.Connection) -> list[tuple[bytes, AggregateRequest]]:
    """List every question between intent and outcome, oldest first."""
    rows = db.execute(
        "SELECT request, signed_request FROM aggregate_flight ORDER BY intent"
    )
    return [
        (bytes(call), AggregateRequest.parse(from_store(bytes(signed)).payload))
        for call, signed in rows
    ]


def answer(db: apsw.Connection, asked: Asked) -> aggregate_pb2.AggregateAnswer | None:
    """Find an answer to the same question in the same quarter."""
    row = db.execute(
        "SELECT answer FROM aggregate_answer WHERE bank = ? AND contract = ?"
        " AND question = ? AND quarter = ?",
        _question(asked),
    ).fetchone()
    return None if row is None else aggregate_pb2.AggregateAnswer.FromString(row[0])


def keep_answer(
    transaction: Transaction, asked: Asked, given: aggregate_pb2.AggregateAnswer
) -> None:
    """Keep an answer that is released again; the first one stands."""
    transaction.db.execute(
        "INSERT OR IGNORE INTO aggregate_answer"
        "(bank, contract, question, quarter, answer) VALUES(?, ?, ?, ?, ?)",
        (*_question(asked), given.SerializeToString(deterministic=True)),
    )


def _question(asked: Asked) -> tuple[str, bytes, bytes, str]:
    request = asked.request
    return request.bank, request.contract, request.question, asked.quarter
