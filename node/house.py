"""Every use of the house, as numbered steps (PROTOCOL 3, steps 2, 3 and 6).

The house holds ciphertexts and no key.  For one call it

 1. checks the bank's signature, the request's freshness and its jti;
 2. decides on its own copy of the register (without uses and bits: those are
    the authority's), and looks the subject's slot up only after that;
 3. finds an answer to the same question on the same data, to release again, or
    computes the masked score of the whole block and the slot's rotated tables,
    all randomness from one fresh seed;
 4. signs the ticket and journals `call.intent`; from here on the call can be
    resumed from the disk, with the same bytes, whoever is killed when;
 5. asks the authority;
 6. journals `call.outcome`, with the reply, in one transaction, then releases.

The seed, and the opening that the authority must be shown, lie sealed under the
at-rest key from 4 to 6 and are then erased; two auditors each keep a share of
the seed.  A call under the same jti and the same bytes gets the same reply; two
at once are one.
"""

import secrets
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Final, Protocol

import apsw
from gmpy2 import mpz

from contracts import bodies
from contracts.decide import (
    UNKNOWN_SUBJECT,
    Ask,
    Finding,
    Reason,
    decide,
    denied,
)
from contracts.subject import SubjectRef, pseudonym
from node import consents, denial, directory, log
from node.clock import BITS_WINDOW_MS, DAY_MS, JTI_KEPT_MS, REQUEST_SKEW_MS, now_ms
from node.denial import from_store, to_store
from node.domain import Party, Role, TrustDomain
from node.engine import Engine, Inputs
from node.errors import (
    ConfigInvalid,
    Denied,
    DocumentConflict,
    NotFound,
    RoleRefused,
    Unreachable,
)
from node.heads import HeadUnknown, Link, Trail, TreeHead
from node.keys import HouseKeys
from node.ledger import Head, Ledger, Transaction
from node.registry import Registry
from node.status import to_wire
from node.vault import Vault
from node.wire.v1 import common_pb2, evaluation_pb2, scoring_pb2
from protocols import hpke
from protocols.call import (
    Opening,
    Request,
    Result,
    Ticket,
    pads_digest,
    receipt_hash,
    request_hash,
    seed_commitment,
    ticket_hash,
)
from protocols.canon import Tag
from protocols.drbg import SEED_BYTES
from protocols.entry import Kind
from protocols.errors import FormatError, ProtocolError
from protocols.lookup import Message
from protocols.paillier import ciphertext_to_bytes
from protocols.seal import unwrap, wrap
from protocols.sign import Signed, sign, verify

SCHEMA: Final = (
    *consents.SCHEMA,
    *directory.SCHEMA,
    # A row a request: what it came to, until its jti may be forgotten.
    """CREATE TABLE IF NOT EXISTS reply(
        bank TEXT, jti BLOB, request BLOB NOT NULL, response BLOB, denial BLOB,
        outcome INTEGER, forget_ms INTEGER NOT NULL,
        PRIMARY KEY(bank, jti)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS reply_forget ON reply(forget_ms)",
    # A row a call between intent and outcome; the secret is sealed at rest.
    """CREATE TABLE IF NOT EXISTS flight(
        request BLOB PRIMARY KEY, signed_request BLOB NOT NULL,
        signed_ticket BLOB NOT NULL, intent INTEGER NOT NULL,
        subject BLOB NOT NULL, secret BLOB NOT NULL) WITHOUT ROWID""",
    # A row an answer that may be released again.
    """CREATE TABLE IF NOT EXISTS answer(
        bank TEXT, subject BLOB, contract BLOB, inputs BLOB,
        answer BLOB NOT NULL, time_ms INTEGER NOT NULL,
        PRIMARY KEY(bank, subject, contract, inputs)) WITHOUT ROWID""",
    # A row a ticket that was released, for the bank's commitment.
    """CREATE TABLE IF NOT EXISTS released(
        ticket BLOB PRIMARY KEY, bank TEXT NOT NULL, request BLOB NOT NULL,
        result BLOB) WITHOUT ROWID""",
    # A row a call and auditor: a sealed share of the seed.
    """CREATE TABLE IF NOT EXISTS seed_share(
        request BLOB, auditor TEXT, box BLOB NOT NULL,
        PRIMARY KEY(request, auditor)) WITHOUT ROWID""",
)

AUDITORS: Final = 2  # who open a seed together
FORGET_AT_ONCE: Final = 16
REPEAT_MARGIN_MS: Final = DAY_MS  # we stop repeating before the authority does
RESYNCS: Final = 8


class EvaluationPeer(Protocol):
    """The authority, near or far."""

    def evaluate(
        self, message: evaluation_pb2.EvaluateRequest
    ) -> evaluation_pb2.EvaluateResponse:
        """Answer; raises `Denied`, `HeadUnknown`, `Unreachable`."""


class Caller(Protocol):
    """The bank at the other end of a call."""

    @property
    def caller(self) -> Party:
        """Who calls."""

    def check_alive(self) -> None:
        """Raise once nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True, repr=False)
class Asked:
    """A request whose signature and opening hold."""

    signed: Signed
    request: Request
    call: bytes  # request hash
    opening: Opening
    subject: bytes  # this node's pseudonym


@dataclass(frozen=True, slots=True)
class Flight:
    """A call between intent and outcome."""

    asked: Asked
    ticket: Ticket
    signed_ticket: Signed
    intent: int
    message: Message | None
    pads: bytes
    earlier: scoring_pb2.Answer | None


class House:
    """The house of one trust domain."""

    def __init__(
        self,
        domain: TrustDomain,
        keys: HouseKeys,
        ledger: Ledger,
        registry: Registry,
        vault: Vault,
        authority: EvaluationPeer,
    ) -> None:
        auditors = domain.of_role(Role.AUDITOR)[:AUDITORS]
        if len(auditors) < AUDITORS:
            raise ConfigInvalid(
                f"expected {AUDITORS} auditors in the trust domain,"
                f" got {len(auditors)}",
                "each keeps a share of every seed; without them nothing replays",
            )
        self.domain = domain
        self.ledger = ledger
        self.registry = registry
        self.vault = vault
        self._keys = keys
        self._authority = authority
        self._log = log.get()
        self._auditors = auditors
        self._engine = Engine(domain.paillier, registry, vault)
        self._trail = Trail(ledger.consistency)
        self._under_way: dict[tuple[str, bytes], Future[None]] = {}
        self._lock = threading.Lock()

    # -- a call

    def score(
        self, call: Caller, signed: Signed, opening: Opening
    ) -> scoring_pb2.ScoreResponse:
        """Answer one request; raises `Denied`, `Unreachable`, `ProtocolError`."""
        asked = self._ask(call, signed, opening)  # 1
        name = asked.request.bank, asked.request.jti
        while True:
            with self._lock:
                other = self._under_way.get(name)
                if other is None:
                    mine: Future[None] = Future()
                    self._under_way[name] = mine
                    break
            other.exception()  # wait for the same call that came first
        try:
            return self._score(call, asked)
        finally:
            with self._lock:
                del self._under_way[name]
            mine.set_result(None)

    def _ask(self, call: Caller, signed: Signed, opening: Opening) -> Asked:
        request = Request.parse(signed.payload)
        if request.bank != call.caller.id:
            raise RoleRefused(f"a request of `{request.bank}`, not of the caller")
        if opening.commitment() != request.subject:
            raise FormatError("the opening is not the one of the request's subject")
        subject = pseudonym(self._keys.pseudonym, SubjectRef(opening.subject_ref))
        asked = Asked(signed, request, request_hash(signed.payload), opening, subject)
        try:
            verify(Tag.REQUEST, signed, call.caller.sign)
        except ProtocolError as error:
            finding = Finding(Reason.SIGNATURE_INVALID, str(error))
            self._refuse(asked, [finding], remember=False)
        return asked

    def _score(self, call: Caller, asked: Asked) -> scoring_pb2.ScoreResponse:
        stored = self._stored(asked)
        if stored is not None:
            return stored
        flight = self._resumable(asked)
        if flight is None:
            inputs = self._decide(asked)  # 2
            call.check_alive()
            flight = self._depart(asked, inputs)  # 3, 4
        return self._arrive(flight)  # 5, 6

    def _stored(self, asked: Asked) -> scoring_pb2.ScoreResponse | None:
        with self.ledger.reader() as db:
            row = db.execute(
                "SELECT request, response, outcome, denial FROM reply"
                " WHERE bank = ? AND jti = ?",
                (asked.request.bank, asked.request.jti),
            ).fetchone()
        if row is None:
            return None
        request, response, outcome, refusal = row
        if request != asked.call:
            finding = Finding(Reason.REPLAY_MISMATCH, "the jti names another call")
            self._refuse(asked, [finding], remember=False)
        if refusal is not None:
            raise denial.error(from_store(refusal))
        released = scoring_pb2.ScoreResponse.FromString(response)
        released.outcome.proof = self._prove(outcome, self.ledger.head)
        return released

    def _prove(self, index: int, head: Head) -> str:
        proof = self.ledger.proof(index, head)
        return replace(proof, extra=self.ledger.entry(index)).to_text()

    # -- 2 decide

    def _decide(self, asked: Asked) -> Inputs:
        request, now = asked.request, now_ms()
        findings: list[Finding] = []
        if abs(now - request.iat_ms) > REQUEST_SKEW_MS:
            findings.append(Finding(Reason.CLOCK_SKEW, "iat is too far from now"))
        with self.ledger.reader() as db:
            terms = self.registry.terms(db, request.contract)
            grant = consents.find(db, request.consent)
            ask = Ask(
                request.bank,
                request.purpose,
                asked.subject,
                request.consent,
                0 if terms is None else terms.millibits,
            )
            findings = [*decide(ask, terms, grant, None, now).reasons, *findings]
            if findings:
                self._refuse(asked, findings)
            compiled = self.registry.compiled(db, request.contract)
            number = directory.place(db, compiled.subject_type, asked.subject)
            if number is None:
                self._refuse(asked, [Finding(Reason.NO_CONSENT, UNKNOWN_SUBJECT)])
                raise AssertionError("a refusal returned")
            return self._engine.inputs(db, compiled, number)

    def _refuse(
        self, asked: Asked, findings: Sequence[Finding], *, remember: bool = True
    ) -> None:
        def journal(transaction: Transaction) -> Signed:
            signed = denial.deny(
                transaction,
                by=self.domain.house.id,
                key=self._keys.ticket,
                salt_key=self._keys.pseudonym,
                request=asked.signed,
                subject=asked.subject,
                findings=denied(findings).reasons,
            )
            if remember:
                _remember(transaction, asked, refusal=signed)
            return signed

        raise denial.error(self.ledger.commit(journal).value)

    # -- 3 and 4: compute, journal the intent

    def _depart(self, asked: Asked, inputs: Inputs) -> Flight:
        with self.ledger.reader() as db:
            earlier = self._earlier(db, asked, inputs)
            if earlier is None:
                seed = secrets.token_bytes(SEED_BYTES)
                compiled = self.registry.compiled(db, asked.request.contract)
                message, pads = self._engine.message(db, compiled, inputs, seed)
                bound = seed_commitment(seed), message.digest(), pads_digest(pads), b""
                shares = self._shares(seed)
            else:
                seed, message, pads, shares = b"", None, b"", []
                bound = b"", b"", b"", ticket_hash(earlier.ticket.payload)
        ticket = Ticket(
            asked.call,
            asked.request.contract,
            inputs.block,
            inputs.slot,
            inputs.items,
            now_ms(),
            *bound,
        )
        signed_ticket = sign(Tag.TICKET, ticket.to_bytes(), self._keys.ticket)
        secret = seed + asked.opening.subject_ref + asked.opening.salt
        sealed = wrap(self._keys.at_rest, asked.call, secret)

        def journal(transaction: Transaction) -> int:
            body = bodies.Intent(asked.signed, signed_ticket, asked.subject)
            intent = transaction.append(
                Kind.CALL_INTENT, self.domain.house.id, asked.call.hex(), body.to_body()
            )
            transaction.db.execute(
                "INSERT INTO flight(request, signed_request, signed_ticket, intent,"
                " subject, secret) VALUES(?, ?, ?, ?, ?, ?)",
                (
                    asked.call,
                    to_store(asked.signed),
                    to_store(signed_ticket),
                    intent,
                    asked.subject,
                    sealed,
                ),
            )
            transaction.db.executemany(
                "INSERT INTO seed_share(request, auditor, box) VALUES(?, ?, ?)",
                [(asked.call, auditor, box) for auditor, box in shares],
            )
            return intent

        intent = self.ledger.commit(journal).value
        return Flight(asked, ticket, signed_ticket, intent, message, pads, earlier)

    def _shares(self, seed: bytes) -> list[tuple[str, bytes]]:
        """Split a seed between two auditors: either share alone is noise."""
        first = secrets.token_bytes(SEED_BYTES)
        second = bytes(a ^ b for a, b in zip(first, seed, strict=True))
        info = seed_commitment(seed)
        return [
            (auditor.id, hpke.seal(auditor.hpke[0], info, share))
            for auditor, share in zip(self._auditors, (first, second), strict=True)
        ]

    def _earlier(
        self, db: apsw.Connection, asked: Asked, inputs: Inputs
    ) -> scoring_pb2.Answer | None:
        """Find an answer to the same question on the same data."""
        row = db.execute(
            "SELECT answer FROM answer WHERE bank = ? AND subject = ?"
            " AND contract = ? AND inputs = ? AND time_ms > ?",
            (
                asked.request.bank,
                asked.subject,
                asked.request.contract,
                inputs.root,
                now_ms() - BITS_WINDOW_MS + REPEAT_MARGIN_MS,
            ),
        ).fetchone()
        return None if row is None else scoring_pb2.Answer.FromString(row[0])

    # -- 5 ask the authority

    def _resumable(self, asked: Asked) -> Flight | None:
        with self.ledger.reader() as db:
            row = db.execute(
                "SELECT signed_ticket, intent FROM flight WHERE request = ?",
                (asked.call,),
            ).fetchone()
        if row is None:
            return None
        return self._rebuilt(asked, from_store(row[0]), row[1])

    def _rebuilt(self, asked: Asked, signed_ticket: Signed, intent: int) -> Flight:
        """Make the same message again from what lies sealed on the disk."""
        ticket = Ticket.parse(signed_ticket.payload)
        inputs = Inputs(ticket.block, ticket.slot, ticket.inputs)
        with self.ledger.reader() as db:
            if ticket.repeat_of:
                earlier = self._earlier(db, asked, inputs)
                return Flight(asked, ticket, signed_ticket, intent, None, b"", earlier)
            (sealed,) = db.execute(
                "SELECT secret FROM flight WHERE request = ?", (asked.call,)
            ).fetchone()
            seed = unwrap(self._keys.at_rest, asked.call, sealed)[:SEED_BYTES]
            compiled = self.registry.compiled(db, ticket.contract)
            message, pads = self._engine.message(db, compiled, inputs, seed)
        if message.digest() != ticket.message:
            raise AssertionError("a resumed call makes another message")
        return Flight(asked, ticket, signed_ticket, intent, message, pads, None)

    def _arrive(self, flight: Flight) -> scoring_pb2.ScoreResponse:
        try:
            response = self._evaluate(flight)
        except Denied as refusal:
            self._denied(flight, refusal.denial)
            raise
        return self._outcome(flight, response)

    def _evaluate(self, flight: Flight) -> evaluation_pb2.EvaluateResponse:
        head = self.ledger.head
        links = self._trail.links(TreeHead(head.size, head.root))
        for _ in range(RESYNCS):
            try:
                response = self._authority.evaluate(
                    self._evaluation(flight, head, links)
                )
            except HeadUnknown as unknown:
                # We lost each other: link the newest head to the one it knows.
                head = self.ledger.head
                if unknown.size > head.size:
                    raise Unreachable(
                        "the authority has seen a longer journal than ours",
                        "this house was rewound: stop it and ask the auditors",
                    ) from None
                known = TreeHead(unknown.size, self.ledger.root(unknown.size))
                newest = TreeHead(head.size, head.root)
                links = self._trail.links(newest)
                if known.size < newest.size:
                    links.append(self._trail.link(known, newest))
            else:
                self._trail.answered(TreeHead(head.size, head.root))
                return response
        raise Unreachable("the authority cannot follow our journal; try again")

    def _evaluation(
        self, flight: Flight, head: Head, links: Sequence[Link]
    ) -> evaluation_pb2.EvaluateRequest:
        opening, message = flight.asked.opening, flight.message
        return evaluation_pb2.EvaluateRequest(
            request=to_wire(flight.asked.signed),
            opening=common_pb2.SubjectOpening(
                subject_ref=opening.subject_ref, salt=opening.salt
            ),
            ticket=to_wire(flight.signed_ticket),
            ciphertext=b""
            if message is None
            else ciphertext_to_bytes(self.domain.paillier, mpz(message.ciphertext)),
            tables=b"" if message is None else message.tables,
            intent=common_pb2.Logged(proof=self._prove(flight.intent, head)),
            links=[
                common_pb2.HeadLink(
                    size=link.head.size,
                    root=link.head.root,
                    consistency=list(link.consistency),
                )
                for link in links
            ],
        )

    # -- 6 journal the outcome, then release

    def _outcome(
        self, flight: Flight, response: evaluation_pb2.EvaluateResponse
    ) -> scoring_pb2.ScoreResponse:
        asked, ticket = flight.asked, flight.ticket
        if flight.earlier is None:
            answer = scoring_pb2.Answer(
                request=to_wire(asked.signed),
                ticket=to_wire(flight.signed_ticket),
                receipt=response.receipt,
                box=response.box,
                pads=flight.pads,
                permit=response.permit,
            )
            released = scoring_pb2.ScoreResponse(answer=answer)
        else:
            released = scoring_pb2.ScoreResponse(
                answer=flight.earlier,
                repeat=scoring_pb2.Repeat(
                    ticket=to_wire(flight.signed_ticket),
                    receipt=response.receipt,
                    permit=response.permit,
                ),
            )
        name = ticket_hash(flight.signed_ticket.payload)
        body = bodies.Outcome(name, receipt_hash(response.receipt.payload))

        def journal(transaction: Transaction) -> int:
            db = transaction.db
            index = transaction.append(
                Kind.CALL_OUTCOME,
                self.domain.house.id,
                asked.call.hex(),
                body.to_body(),
            )
            _remember(transaction, asked, released=(released, index))
            db.execute("DELETE FROM flight WHERE request = ?", (asked.call,))
            db.execute(
                "INSERT INTO released(ticket, bank, request) VALUES(?, ?, ?)",
                (name, asked.request.bank, asked.call),
            )
            if flight.earlier is None:
                db.execute(
                    "INSERT OR REPLACE INTO answer"
                    "(bank, subject, contract, inputs, answer, time_ms)"
                    " VALUES(?, ?, ?, ?, ?, ?)",
                    (
                        asked.request.bank,
                        asked.subject,
                        ticket.contract,
                        ticket.root,
                        released.answer.SerializeToString(deterministic=True),
                        transaction.now_ms,
                    ),
                )
            return index

        committed = self.ledger.commit(journal)
        released.outcome.proof = self._prove(committed.value, committed.head)
        return released

    def _denied(self, flight: Flight, refusal: Signed) -> None:
        asked = flight.asked
        name = ticket_hash(flight.signed_ticket.payload)

        def journal(transaction: Transaction) -> None:
            transaction.append(
                Kind.CALL_DENIED,
                self.domain.house.id,
                asked.call.hex(),
                bodies.Denied(name, refusal).to_body(),
            )
            _remember(transaction, asked, refusal=refusal)
            transaction.db.execute(
                "DELETE FROM flight WHERE request = ?", (asked.call,)
            )

        self.ledger.commit(journal)

    # -- what is left from before, and what comes after

    def resume(self) -> int:
        """Finish the calls that an earlier process left between 4 and 6.

        Returns how many were finished; those the authority cannot answer now
        stay, and are tried again when their bank asks or at the next start.
        """
        finished = 0
        with self.ledger.reader() as db:
            rows = db.execute(
                "SELECT request, signed_request, signed_ticket, intent, subject,"
                " secret FROM flight"
            ).fetchall()
        for call, signed_request, signed_ticket, intent, subject, sealed in rows:
            secret = unwrap(self._keys.at_rest, call, sealed)
            ref, salt = secret[-2 * SEED_BYTES : -SEED_BYTES], secret[-SEED_BYTES:]
            signed = from_store(signed_request)
            request = Request.parse(signed.payload)
            asked = Asked(signed, request, call, Opening(ref, salt), subject)
            ticket = from_store(signed_ticket)
            try:
                self._arrive(self._rebuilt(asked, ticket, intent))
            except Denied:
                finished += 1
            except Unreachable as error:
                self._log.error("call not resumed", error=type(error).__name__)
            else:
                finished += 1
        return finished

    def commit_result(self, caller: Party, signed: Signed) -> None:
        """Keep a bank's commitment to what it read; the first one stands."""
        verify(Tag.COMMIT_RESULT, signed, caller.sign)
        result = Result.parse(signed.payload)

        def journal(transaction: Transaction) -> None:
            db = transaction.db
            row = db.execute(
                "SELECT request, result FROM released WHERE ticket = ? AND bank = ?",
                (result.ticket, caller.id),
            ).fetchone()
            if row is None:
                raise NotFound("no such answer was released to this bank")
            if row[1] is not None:
                if row[1] != signed.payload:
                    raise DocumentConflict("another commitment was made before")
                return
            db.execute(
                "UPDATE released SET result = ? WHERE ticket = ?",
                (signed.payload, result.ticket),
            )
            transaction.append(
                Kind.CALL_RESULT,
                caller.id,
                row[0].hex(),
                bodies.Result(result.ticket, signed).to_body(),
            )

        self.ledger.commit(journal)

    def seed_share(self, auditor: Party, call: bytes) -> bytes:
        """Hand an auditor its sealed share of a call's seed."""
        with self.ledger.reader() as db:
            row = db.execute(
                "SELECT box FROM seed_share WHERE request = ? AND auditor = ?",
                (call, auditor.id),
            ).fetchone()
        if row is None:
            raise NotFound("no share of that call's seed for this auditor")
        return bytes(row[0])


def _remember(
    transaction: Transaction,
    asked: Asked,
    *,
    released: tuple[scoring_pb2.ScoreResponse, int] | None = None,
    refusal: Signed | None = None,
) -> None:
    now = transaction.now_ms
    response, outcome = released or (None, None)
    transaction.db.execute(
        "INSERT INTO reply"
        "(bank, jti, request, response, outcome, denial, forget_ms)"
        " VALUES(?, ?, ?, ?, ?, ?, ?)",
        (
            asked.request.bank,
            asked.request.jti,
            asked.call,
            None
            if response is None
            else response.SerializeToString(deterministic=True),
            outcome,
            None if refusal is None else to_store(refusal),
            max(now, asked.request.iat_ms) + JTI_KEPT_MS,
        ),
    )
    transaction.db.execute(
        "DELETE FROM reply WHERE (bank, jti) IN (SELECT bank, jti FROM reply"
        " WHERE forget_ms < ? LIMIT ?)",
        (now, FORGET_AT_ONCE),
    )
