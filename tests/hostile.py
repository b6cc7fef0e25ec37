"""Clocks, wires and parties that misbehave, for tests of a running trust domain."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Self

import pytest

from contracts import bodies
from contracts.decide import Reason
from contracts.subject import commitment
from node import clock, consultation, directory, names
from node.authority import Authority
from node.client import BankClient
from node.errors import Denied
from node.house import House
from node.keys import HouseKeys
from node.remote import ask
from node.status import to_wire
from node.wire.v1 import common_pb2, evaluation_pb2, query_pb2, scoring_pb2
from protocols.call import (
    Opening,
    Request,
    Ticket,
    pads_digest,
    request_hash,
    seed_commitment,
    ticket_hash,
)
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.lookup import Message
from protocols.sharing import Private
from protocols.sign import Signed, sign
from tests.german import German

PURPOSE = "loan-precheck"
DEADLINE_S = 10.0

_real_now_ms = clock.now_ms


class Wall:
    """A wall clock that somebody sets: patch it over `clock.now_ms`."""

    def __init__(self) -> None:
        self.offset_ms = 0
        self.frozen_ms: int | None = None

    def __call__(self) -> int:
        """Read it."""
        if self.frozen_ms is not None:
            return self.frozen_ms
        return _real_now_ms() + self.offset_ms


@dataclass(frozen=True, slots=True)
class Question:
    """A signed request and the opening of its subject."""

    signed: Signed
    opening: Opening
    private: Private | None = None

    @property
    def request(self) -> Request:
        """The request."""
        return Request.parse(self.signed.payload)

    @property
    def call(self) -> bytes:
        """Its name."""
        return request_hash(self.signed.payload)


def question(
    german: German,
    subject: str,
    *,
    bank: str = "jnrcb",
    signer: str = "",
    **changes: object,
) -> Question:
    """Ask as `bank` about `subject`; `changes` are fields of the request."""
    ref, salt = german.refs.get(subject, subject.encode().ljust(32)), bytes(32)
    fields: dict[str, object] = {
        "contract": german.contract.hash,
        "subject": commitment(ref, salt),
        "purpose": PURPOSE,
        "consent": f"c-{subject}",
        "jti": secrets.token_bytes(16),
        "iat_ms": clock.now_ms(),
        "bank": bank,
    }
    request = Request(**{**fields, **changes})  # type: ignore[arg-type]
    signed = german.sign(signer or bank, Tag.REQUEST, request.to_bytes())
    return Question(signed, Opening(ref, salt))


def send(
    bank: BankClient, asked: Question, deadline_s: float = DEADLINE_S
) -> scoring_pb2.ScoreResponse:
    """Send a question over the bank's channel; nothing of the reply is checked."""
    message = scoring_pb2.ScoreRequest(
        request=to_wire(asked.signed),
        opening=common_pb2.SubjectOpening(
            subject_ref=asked.opening.subject_ref, salt=asked.opening.salt
        ),
    )
    response: scoring_pb2.ScoreResponse = ask(bank._scoring.Score, message, deadline_s)
    return response


def send_claim(bank: BankClient, asked: Question) -> scoring_pb2.ScoreResponse:
    """Send a claim over the bank's channel; nothing of the reply is checked."""
    assert asked.private is not None
    message = query_pb2.VerifyRequest(
        request=to_wire(asked.signed),
        opening=common_pb2.SubjectOpening(
            subject_ref=asked.opening.subject_ref, salt=asked.opening.salt
        ),
        share=asked.private.share.to_bytes(),
        sealed_share=asked.private.box,
    )
    response: query_pb2.VerifyResponse = ask(bank._queries.Verify, message, DEADLINE_S)
    return response.answer


class Between:
    """Stands between house and authority, sees what passes and may change it."""

    def __init__(self, house: House) -> None:
        self._consultation = house.consultation
        self.authority = self._consultation._authority
        self.asked: list[evaluation_pb2.EvaluateRequest] = []
        self.answered: list[evaluation_pb2.EvaluateResponse] = []
        self.on_question: Callable[[evaluation_pb2.EvaluateRequest], None] = _pass
        self.on_answer: Callable[[evaluation_pb2.EvaluateResponse], None] = _pass

    def evaluate(
        self, message: evaluation_pb2.EvaluateRequest
    ) -> evaluation_pb2.EvaluateResponse:
        """Hand on a question and its answer."""
        self.asked.append(message)
        self.on_question(message)
        response = self.authority.evaluate(message)
        self.answered.append(response)
        self.on_answer(response)
        return response

    def __enter__(self) -> Self:
        self._consultation._authority = self
        return self

    def __exit__(self, *_: object) -> None:
        self._consultation._authority = self.authority


@dataclass(frozen=True, slots=True)
class Made:
    """What a house computed for a question, and says it computed."""

    ticket: Ticket
    message: Message | None
    pads: bytes
    seed: bytes = b""


class EvilHouse:
    """A house that does what it likes, with its own real keys and journal."""

    def __init__(self, german: German) -> None:
        self.german = german
        self.house = german.house
        self.keys = german.world.keys("house", HouseKeys)

    def compute(self, asked: Question) -> Made:
        """Compute as an honest house does."""
        house, request = self.house, asked.request
        subject = self.name(asked)
        seed = secrets.token_bytes(32)
        with house.ledger.reader() as db:
            compiled = house.registry.compiled(db, request.contract)
            number = directory.place(db, compiled.subject_type, subject)
            assert number is not None
            inputs = house.engine.inputs(db, compiled, number)
            share = None if asked.private is None else asked.private.share.value
            message, pads = house.engine.message(db, compiled, inputs, seed, share)
        ticket = Ticket(
            asked.call,
            request.contract,
            inputs.block,
            inputs.slot,
            inputs.items,
            clock.now_ms(),
            seed_commitment(seed),
            message.digest(),
            pads_digest(pads),
        )
        return Made(ticket, message, pads, seed)

    def repeat(self, asked: Question, earlier: Made) -> Made:
        """Claim that an earlier answer may be released again."""
        ticket = replace(
            earlier.ticket,
            request=asked.call,
            seed=b"",
            message=b"",
            pads=b"",
            repeat_of=ticket_hash(self.sign(earlier.ticket).payload),
        )
        return Made(ticket, None, b"")

    def name(self, asked: Question) -> bytes:
        """Name whom a question is about."""
        with self.house.ledger.reader() as db:
            ref = asked.opening.subject_ref
            return bytes(names.of(db, self.keys.pseudonym, [ref])[0])

    def sign(self, ticket: Ticket) -> Signed:
        """Sign a ticket."""
        return sign(Tag.TICKET, ticket.to_bytes(), self.keys.ticket)

    def intend(self, asked: Question, ticket: Ticket) -> int:
        """Journal an intent; return its index."""
        subject = self.name(asked)
        body = bodies.Intent(asked.signed, self.sign(ticket), subject).to_body()
        call = asked.call.hex()
        return self.house.ledger.commit(
            lambda tx: tx.append(Kind.CALL_INTENT, "house", call, body)
        ).value

    def evaluate(
        self, asked: Question, made: Made, intent: int | None = None
    ) -> evaluation_pb2.EvaluateResponse:
        """Ask the authority, past every check of an honest house."""
        if intent is None:
            intent = self.intend(asked, made.ticket)
        ticket = self.sign(made.ticket)
        return self.house.consultation.evaluate(
            consultation.Question(
                asked.signed,
                asked.opening,
                ticket,
                intent,
                made.message,
                b"" if asked.private is None else asked.private.box,
            )
        )

    def refused(self, asked: Question, made: Made, intent: int | None = None) -> Denied:
        """Ask the authority, which refuses."""
        with pytest.raises(Denied) as caught:
            self.evaluate(asked, made, intent)
        return caught.value


@contextmanager
def tampered(
    bank: BankClient, change: Callable[[scoring_pb2.ScoreResponse], None]
) -> Iterator[None]:
    """Change every reply on its way to the bank."""
    honest = bank._scoring.Score

    def score(
        message: scoring_pb2.ScoreRequest, timeout: float
    ) -> scoring_pb2.ScoreResponse:
        reply: scoring_pb2.ScoreResponse = honest(message, timeout=timeout)
        change(reply)
        return reply

    bank._scoring.Score = score
    try:
        yield
    finally:
        bank._scoring.Score = honest


@contextmanager
def tampered_queries(
    bank: BankClient, change: Callable[[query_pb2.VerifyResponse], None]
) -> Iterator[None]:
    """Change every answer to a claim on its way to the bank."""
    honest = bank._queries.Verify

    def verify(
        message: query_pb2.VerifyRequest, timeout: float
    ) -> query_pb2.VerifyResponse:
        reply: query_pb2.VerifyResponse = honest(message, timeout=timeout)
        change(reply)
        return reply

    bank._queries.Verify = verify
    try:
        yield
    finally:
        bank._queries.Verify = honest


def journal(core: House | Authority) -> list[Entry]:
    """Read a whole journal."""
    size = core.ledger.head.size
    return [Entry.parse(data) for data in core.ledger.entries(0, size)]


def kinds(core: House | Authority, call: bytes) -> list[str]:
    """List what a journal says of one call."""
    return [entry.kind.value for entry in journal(core) if entry.call == call.hex()]


def permits(german: German, consent: str) -> list[bodies.Permit]:
    """List the permits under a consent, in the order of the authority's journal."""
    found = [
        bodies.Permit.parse(entry.body)
        for entry in journal(german.authority)
        if entry.kind is Kind.CALL_PERMIT
    ]
    return [permit for permit in found if permit.consent == consent]


def uses(german: German, consent: str) -> int:
    """Return what the authority counted."""
    with german.authority.ledger.reader() as db:
        ((count,),) = db.execute("SELECT uses FROM consent WHERE id = ?", (consent,))
    return int(count)


def reasons(core: House | Authority, refusal: Denied) -> list[Reason]:
    """Read all the reasons of a denial out of the journal that holds it."""
    for entry in reversed(journal(core)):
        if entry.kind is Kind.CALL_DENY:
            body = bodies.Deny.parse(entry.body)
            if body.denial == refusal.denial:
                return [finding.reason for finding in body.reasons]
    raise AssertionError("no such denial in this journal")


def _pass(_: object) -> None:
    """Change nothing."""
