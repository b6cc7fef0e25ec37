"""Every use of the house, as numbered steps (PROTOCOL 3, steps 2, 3 and 6).

The house holds ciphertexts and no key.  For one call it

 1. checks the bank's signature and finds what the jti came to before;
 2. decides on its own copy of the register (without uses and bits: those are
    the authority's), and looks the subject's slot up only after that; it decides
    once more in the transaction that journals what it decided, so that every
    entry follows from those before it;
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
at once are one, and of two that ask the same the second is a repeat.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

import apsw

from contracts import bodies
from contracts.contract import ContractKind
from contracts.decide import UNKNOWN_SUBJECT, Ask, Finding, Reason, decide, denied
from contracts.inputs import Inputs
from contracts.subject import handle
from node import calls, clock, consents, denial, directory, log, names
from node.calls import Asked, Waiting
from node.consultation import Consultation, EvaluationPeer, Question, proven
from node.domain import Party, TrustDomain
from node.engine import Engine
from node.errors import (
    Denied,
    DocumentConflict,
    NotFound,
    RoleRefused,
)
from node.keys import HouseKeys
from node.ledger import Ledger, Transaction
from node.registry import Registry
from node.resumption import finish_each
from node.seeds import Seed, Seeds
from node.status import to_wire
from node.vault import Vault
from node.wire.v1 import evaluation_pb2, scoring_pb2
from protocols.call import (
    Opening,
    Request,
    Result,
    Shared,
    Ticket,
    pads_digest,
    receipt_hash,
    request_hash,
    seed_commitment,
    ticket_hash,
)
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.errors import FormatError, ProtocolError
from protocols.lookup import Message
from protocols.sharing import Private, box_digest
from protocols.sign import Signed, sign, verify

SCHEMA: Final = (*consents.SCHEMA, *directory.SCHEMA, *calls.SCHEMA)

# We stop repeating an answer a day before the authority does.
REPEATED_MS: Final = clock.BITS_WINDOW_MS - clock.DAY_MS


class Caller(Protocol):
    """The bank at the other end of a call."""

    @property
    def caller(self) -> Party:
        """Who calls."""

    def check_alive(self) -> None:
        """Raise once nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True, repr=False)
class Flight:
    """A call between intent and outcome, with everything it needs."""

    asked: Asked
    signed_ticket: Signed
    ticket: Ticket
    intent: int
    message: Message | None  # None for a repeat
    pads: bytes
    earlier: scoring_pb2.Answer | None

    @property
    def name(self) -> bytes:
        """The ticket's hash."""
        return ticket_hash(self.signed_ticket.payload)


class House:
    """The house of one trust domain; thread-safe."""

    def __init__(
        self,
        domain: TrustDomain,
        keys: HouseKeys,
        ledger: Ledger,
        registry: Registry,
        vault: Vault,
        authority: EvaluationPeer,
    ) -> None:
        self.domain = domain
        self.ledger = ledger
        self.registry = registry
        self.vault = vault
        self.seeds = Seeds(domain)
        self._keys = keys
        self.engine = Engine(domain.paillier, registry, vault)
        self.consultation = Consultation(ledger, authority, domain)
        self._under_way: dict[tuple[str | bytes, ...], Future[None]] = {}
        self._lock = threading.Lock()

    def score(
        self, call: Caller, signed: Signed, opening: Opening
    ) -> scoring_pb2.ScoreResponse:
        """Answer one request; raises `Denied`, `Unreachable`, `ProtocolError`."""
        return self.answer(call, ContractKind.SCORE, signed, opening)

    def answer(
        self,
        call: Caller,
        kind: ContractKind,
        signed: Signed,
        opening: Opening,
        private: Private | None = None,
    ) -> scoring_pb2.ScoreResponse:
        """Answer a request for one kind of question about one subject.

        `private` are the shares of a number of the bank's, where the kind has one.
        """
        asked = self._ask(call.caller, kind, signed, opening, private)  # 1
        with self._alone(asked):
            return self._score(call, asked)

    @contextmanager
    def _alone(self, asked: Asked) -> Iterator[None]:
        """Hold a jti and a question; whoever comes second waits.

        Of two at once under one jti the second gets the first one's reply; of
        two that ask the same, the second repeats the first one's answer instead
        of spending bits, which would be refused.
        """
        request = asked.request
        with (
            self.holding(request.bank, request.jti),
            self.holding(request.bank, asked.subject + request.contract),
        ):
            yield

    @contextmanager
    def holding(self, *name: str | bytes) -> Iterator[None]:
        """Hold a name; whoever comes second waits."""
        mine: Future[None] = Future()
        while True:
            with self._lock:
                other = self._under_way.setdefault(name, mine)
            if other is mine:
                break
            other.result()
        try:
            yield
        finally:
            with self._lock:
                del self._under_way[name]
            mine.set_result(None)

    def _score(self, call: Caller, asked: Asked) -> scoring_pb2.ScoreResponse:
        with self.ledger.reader() as db:
            came = calls.reply(db, asked.request)
            waiting = calls.under_way(db, self._keys.at_rest, asked.call)
            other = calls.other_under_way(db, asked)
            same = calls.same_under_way(db, self._keys.at_rest, asked)
        if other or (came is not None and came.call != asked.call):
            self._refuse(asked, Reason.REPLAY_MISMATCH, "the jti names another call")
        if came is not None and came.denial is not None:
            raise denial.error(came.denial)
        if came is not None and came.response is not None:
            came.response.outcome.CopyFrom(proven(self.ledger, came.outcome))
            return came.response
        flight = None if waiting is None else self._rebuild(waiting)
        if flight is None:
            self._finish_before(same)
        while flight is None:  # again, if there was a push in between
            inputs = self._decide(asked)  # 2
            call.check_alive()
            flight = self._depart(call, asked, inputs)  # 3, 4
        return self._arrive(flight)  # 5, 6

    def _finish_before(self, same: Sequence[Waiting]) -> None:
        """Finish what was interrupted of the same question, so that this repeats it.

        A bank that got no answer may ask anew, under another jti; what was
        permitted before has spent its bits.
        """
        for waiting in same:
            with suppress(Denied):
                self._arrive(self._rebuild(waiting))

    # -- 1 the request

    def _ask(
        self,
        bank: Party,
        kind: ContractKind,
        signed: Signed,
        opening: Opening,
        private: Private | None,
    ) -> Asked:
        request = Request.parse(signed.payload)
        if request.kind != kind:
            raise FormatError(f"a request for `{request.kind}`, expected `{kind}`")
        check_shared(kind, request.shared, private)
        if request.bank != bank.id:
            raise RoleRefused(f"a request of `{request.bank}`, not of the caller")
        if opening.commitment() != request.subject:
            raise FormatError("the opening is not the one of the request's subject")
        with self.ledger.reader() as db:
            (subject,) = names.of(db, self._keys.pseudonym, [opening.subject_ref])
        call = request_hash(signed.payload)
        asked = Asked(signed, request, call, opening, subject, private)
        try:
            verify(Tag.REQUEST, signed, bank.sign)
        except ProtocolError as error:
            self._refuse(asked, Reason.SIGNATURE_INVALID, str(error))
        return asked

    # -- 2 the decision

    def _decide(self, asked: Asked) -> Inputs:
        """Find the inputs of a call that may run; raises `Denied`."""
        with self.ledger.reader() as db:
            findings = self._findings(db, asked, clock.now_ms())
            inputs = None if findings else self._inputs(db, asked)
        if inputs is None:
            # The journal's time may be ahead of the clock: what it finds counts.
            committed = self.ledger.commit(lambda tx: self._deny_if(tx, asked))
            if committed.value is not None:
                raise denial.error(committed.value)
            with self.ledger.reader() as db:
                return self._inputs(db, asked)
        return inputs

    def _inputs(self, db: apsw.Connection, asked: Asked) -> Inputs:
        compiled = self.registry.compiled(db, asked.request.contract)
        number = directory.place(db, compiled.subject_type, asked.subject)
        if number is None:
            raise AssertionError("a subject lost its slot")
        return self.engine.inputs(db, compiled, number)

    def _findings(
        self, db: apsw.Connection, asked: Asked, now_ms: int
    ) -> list[Finding]:
        """Say what is against a call at this moment."""
        return denial.against(lambda: self._found(db, asked, now_ms))

    def _found(self, db: apsw.Connection, asked: Asked, now_ms: int) -> list[Finding]:
        request = asked.request
        terms = self.registry.terms(db, request.contract)
        grant = consents.find(db, request.consent)
        spends = 0 if terms is None else terms.millibits
        ask = Ask(
            request.bank,
            request.purpose,
            asked.subject,
            request.consent,
            spends,
            request.kind,
        )
        findings = list(decide(ask, terms, grant, None, now_ms).reasons)
        if abs(now_ms - request.iat_ms) > clock.REQUEST_SKEW_MS:
            findings.append(Finding(Reason.CLOCK_SKEW, "iat is too far from now"))
        if not findings:
            compiled = self.registry.compiled(db, request.contract)
            if directory.place(db, compiled.subject_type, asked.subject) is None:
                findings.append(Finding(Reason.NO_CONSENT, UNKNOWN_SUBJECT))
        return findings

    def _deny_if(self, transaction: Transaction, asked: Asked) -> Signed | None:
        """Deny and remember it, if something is against the call now."""
        findings = self._findings(transaction.db, asked, transaction.now_ms)
        if not findings:
            return None
        refusal = self._deny(transaction, asked, findings)
        calls.keep_denial(transaction, asked, refusal)
        return refusal

    def _deny(
        self, transaction: Transaction, asked: Asked, findings: Sequence[Finding]
    ) -> Signed:
        return denial.deny(
            transaction,
            by=self.domain.house.id,
            key=self._keys.ticket,
            salt_key=self._keys.pseudonym,
            request=asked.signed,
            subject=asked.subject,
            findings=denied(findings).reasons,
        )

    def _refuse(self, asked: Asked, reason: Reason, detail: str) -> NoReturn:
        """Deny, and forget it: else a forger could use up a bank's jti."""
        findings = [Finding(reason, detail)]
        committed = self.ledger.commit(lambda tx: self._deny(tx, asked, findings))
        raise denial.error(committed.value)

    # -- 3 and 4: compute, then journal the intent

    def _depart(self, call: Caller, asked: Asked, inputs: Inputs) -> Flight | None:
        """Compute and journal; None if the data have changed meanwhile.

        Raises `Denied` if something speaks against the call by then.
        """
        since_ms = clock.now_ms() - REPEATED_MS
        with self.ledger.reader() as db:
            earlier = None
            if asked.private is None:  # else another number may stand behind it
                earlier = calls.answer(db, asked, inputs.root, since_ms)
            seed, message, pads = Seed(b"", ()), None, b""
            if earlier is not None:
                bound = (b"", b"", b"", ticket_hash(earlier.ticket.payload))
            else:
                seed = self._seed(asked)
                compiled = self.registry.compiled(db, asked.request.contract)
                message, pads = self.engine.message(
                    db, compiled, inputs, seed.seed, _share(asked)
                )
                bound = (
                    seed_commitment(seed.seed),
                    message.digest(),
                    pads_digest(pads),
                    b"",
                )
        ticket = Ticket(
            asked.call,
            asked.request.contract,
            inputs.block,
            inputs.slot,
            inputs.items,
            clock.now_ms(),
            *bound,
        )
        signed = sign(Tag.TICKET, ticket.to_bytes(), self._keys.ticket)
        body = bodies.Intent(asked.signed, signed, asked.subject).to_body()

        def journal(transaction: Transaction) -> int | Signed | None:
            refusal = self._deny_if(transaction, asked)
            if refusal is not None:
                return refusal
            if not self.engine.are_newest(transaction.db, inputs):
                return None
            actor, call = self.domain.house.id, asked.call.hex()
            intent = transaction.append(Kind.CALL_INTENT, actor, call, body)
            waiting = Waiting(asked, signed, intent, seed.seed)
            calls.depart(transaction, waiting, self._keys.at_rest, seed.shares)
            return intent

        call.check_alive()  # a long computation may have outlasted the caller
        intent = self.ledger.commit(journal).value
        if isinstance(intent, Signed):
            raise denial.error(intent)
        if intent is None:
            return None
        return Flight(asked, signed, ticket, intent, message, pads, earlier)

    def _seed(self, asked: Asked) -> Seed:
        if asked.private is None:
            return self.seeds.take()
        return self.seeds.take_with(asked.private.share.to_bytes())

    def _rebuild(self, waiting: Waiting) -> Flight:
        """Make the same message again from what lies sealed on the disk."""
        asked, ticket = waiting.asked, Ticket.parse(waiting.ticket.payload)
        inputs = Inputs.of(ticket)
        message, pads, earlier = None, b"", None
        with self.ledger.reader() as db:
            if ticket.repeat_of:
                earlier = calls.answer(db, asked, inputs.root, 0)
                if (
                    earlier is None
                    or ticket_hash(earlier.ticket.payload) != ticket.repeat_of
                ):
                    raise AssertionError("an answer under repetition was forgotten")
            else:
                compiled = self.registry.compiled(db, ticket.contract)
                message, pads = self.engine.message(
                    db, compiled, inputs, waiting.seed, _share(asked)
                )
                if message.digest() != ticket.message:
                    raise AssertionError("a resumed call makes another message")
        return Flight(
            asked, waiting.ticket, ticket, waiting.intent, message, pads, earlier
        )

    # -- 5 ask, 6 journal the outcome, then release

    def _arrive(self, flight: Flight) -> scoring_pb2.ScoreResponse:
        question = Question(
            flight.asked.signed,
            flight.asked.opening,
            flight.signed_ticket,
            flight.intent,
            flight.message,
            b"" if flight.asked.private is None else flight.asked.private.box,
        )
        try:
            response = self.consultation.evaluate(question)  # 5
        except Denied as refusal:
            self._denied(flight, refusal.denial)
            raise
        return self._outcome(flight, response)  # 6

    def _outcome(
        self, flight: Flight, response: evaluation_pb2.EvaluateResponse
    ) -> scoring_pb2.ScoreResponse:
        asked, released = flight.asked, _released(flight, response)
        body = bodies.Outcome(flight.name, receipt_hash(response.receipt.payload))

        def journal(transaction: Transaction) -> int:
            actor, call = self.domain.house.id, asked.call.hex()
            kind = Kind.CALL_OUTCOME
            index = transaction.append(kind, actor, call, body.to_body())
            calls.keep_response(transaction, asked, released, index)
            calls.release(transaction, asked, flight.name)
            if flight.earlier is None and asked.private is None:
                since_ms = transaction.now_ms - REPEATED_MS
                calls.keep_answer(
                    transaction, asked, flight.ticket.root, released.answer, since_ms
                )
            self._forget_erased(transaction, asked)
            return index

        committed = self.ledger.commit(journal)
        outcome = proven(self.ledger, committed.value, committed.head)
        released.outcome.CopyFrom(outcome)
        return released

    def _denied(self, flight: Flight, refusal: Signed) -> None:
        asked, body = flight.asked, bodies.Denied(flight.name, refusal)

        def journal(transaction: Transaction) -> None:
            actor, call = self.domain.house.id, asked.call.hex()
            transaction.append(Kind.CALL_DENIED, actor, call, body.to_body())
            calls.keep_denial(transaction, asked, refusal)
            self._forget_erased(transaction, asked)

        self.ledger.commit(journal)

    def _forget_erased(self, transaction: Transaction, asked: Asked) -> None:
        """Forget the answers about who was erased while a call was under way."""
        whose = handle(self._keys.pseudonym, asked.opening.subject_ref)
        if names.find(transaction.db, [whose]) != [asked.subject]:
            calls.forget(transaction, asked.subject)

    # -- what an earlier process left, and what comes after a call

    def resume(self) -> int:
        """Finish the calls that were left between 4 and 6, by whomever.

        Returns how many were finished; those the authority cannot answer now
        stay, and are tried again when their bank asks or with the next round.
        """
        with self.ledger.reader() as db:
            left = calls.all_under_way(db, self._keys.at_rest)
        return finish_each(
            left, lambda waiting: self._finish(waiting.asked), "call not resumed"
        )

    def _finish(self, asked: Asked) -> bool:
        """Finish one call, unless its bank has asked again and was faster."""
        with self._alone(asked):
            with self.ledger.reader() as db:
                waiting = calls.under_way(db, self._keys.at_rest, asked.call)
            if waiting is None:
                return False
            try:
                self._arrive(self._rebuild(waiting))
            except Denied:
                log.get().info("call denied after an interruption")
            return True

    def commit_results(self, bank: Party, results: Sequence[Signed]) -> list[int]:
        """Keep a bank's commitments to what it read; the first one stands.

        Returns the places of those that are not kept: of an answer that was not
        released to this bank, or other than the first one.  Raises
        `SignatureInvalid` and `FormatError`; then none is kept.
        """
        read = []
        for signed in results:
            verify(Tag.COMMIT_RESULT, signed, bank.sign)
            read.append((Result.parse(signed.payload).ticket, signed))

        def journal(transaction: Transaction) -> list[int]:
            refused = []
            for place, (ticket, signed) in enumerate(read):
                try:
                    call = calls.commit(transaction, bank.id, ticket, signed.payload)
                except (NotFound, DocumentConflict):
                    refused.append(place)
                    continue
                if call is not None:
                    body = bodies.Result(ticket, signed).to_body()
                    kind = Kind.CALL_RESULT
                    transaction.append(kind, bank.id, call.hex(), body)
            return refused

        return self.ledger.commit(journal).value

    def seed_share(self, auditor: Party, call: bytes) -> bytes:
        """Hand an auditor its sealed share of a call's seed."""
        with self.ledger.reader() as db:
            return calls.seed_share(db, call, auditor.id)


def check_shared(
    kind: ContractKind, shared: Shared | None, private: Private | None
) -> None:
    """Refuse shares that are not those of the request, or that its kind has not."""
    if kind.shared is (shared is None) or kind.shared is (private is None):
        raise FormatError(f"a request for `{kind}` with shares, or without")
    if shared is None or private is None:
        return
    if (kind is ContractKind.JOINT) is not bool(shared.model):
        raise FormatError(f"a request for `{kind}` with a model, or without")
    if private.share.commitment() != shared.house:
        raise FormatError("the share is not the one that the request commits to")
    if box_digest(private.box) != shared.authority:
        raise FormatError("the sealed share is not the one of the request")


def _share(asked: Asked) -> int | None:
    return None if asked.private is None else asked.private.share.value


def _released(
    flight: Flight, response: evaluation_pb2.EvaluateResponse
) -> scoring_pb2.ScoreResponse:
    if flight.earlier is not None:
        repeat = scoring_pb2.Repeat(
            ticket=to_wire(flight.signed_ticket),
            receipt=response.receipt,
            permit=response.permit,
        )
        return scoring_pb2.ScoreResponse(answer=flight.earlier, repeat=repeat)
    answer = scoring_pb2.Answer(
        request=to_wire(flight.asked.signed),
        ticket=to_wire(flight.signed_ticket),
        receipt=response.receipt,
        box=response.box,
        pads=flight.pads,
        permit=response.permit,
    )
    return scoring_pb2.ScoreResponse(answer=answer)
