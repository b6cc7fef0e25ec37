"""Every statistic at the house, as numbered steps (PROTOCOL 9, with 3).

As a call of one subject (`node.house`), but over a snapshot of a quarter, and with a
selection of slots in place of the subject:

 1. The bank's signature, and what the jti came to before.
 2. The house's own decision: contract, purpose, clock, groups.  Epsilon is the
    authority's to count.
 3. An answer to the same question in this quarter, to release again; or the masked
    columns of every block that is touched, from one fresh seed.
 4. The ticket, which binds snapshot, selection, ciphertexts and masks, and
    `aggregate.intent` in the journal: from here on the question can be resumed, with
    the same bytes.
 5. The authority.
 6. `aggregate.outcome`, with the reply, in one transaction; then the release.

The masks that go to the bank hold the house's noise, drawn from the call's seed: a
resumed question has the noise it had, and two auditors find it in the transcript.

One statistic is computed at a time: others wait, and one that asks what was just
answered repeats that answer.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NoReturn

import apsw

from contracts import aggregate_bodies, bodies
from contracts.aggregate_compiled import Aggregate
from contracts.decide import Finding, Reason, denied
from contracts.odometer import check_groups, decide_aggregate
from contracts.quarter import quarter_of
from contracts.selection import Selection, Wanted, select
from node import aggregate_store, attributes, clock, denial, log, objections, snapshots
from node.aggregate_consultation import AggregatePeer, Consulting, Question
from node.aggregate_store import Asked, Waiting
from node.attributes import Attributes
from node.consultation import proven
from node.domain import Party
from node.errors import Denied, RoleRefused
from node.house import Caller, House
from node.keys import HouseKeys
from node.ledger import Transaction
from node.objections import Placement
from node.progress import Progress
from node.resumption import finish_each
from node.seeds import Seed
from node.status import to_wire
from node.wire.v1 import aggregate_pb2
from protocols.aggregate import HouseSide, Made, bind, masks_bytes, message_digest
from protocols.aggregate_call import (
    AggregateRequest,
    AggregateTicket,
    Snapshot,
    aggregate_receipt_hash,
    aggregate_root,
    aggregate_ticket_hash,
    masks_digest,
)
from protocols.call import request_hash, seed_commitment
from protocols.canon import Tag
from protocols.drbg import Drbg, block_seed
from protocols.entry import Kind
from protocols.errors import ProtocolError
from protocols.paillier import Ciphertext
from protocols.sign import Signed, sign, verify
from protocols.slots import slots_per_block

SCHEMA: Final = (*aggregate_store.SCHEMA, *objections.SCHEMA)


@dataclass(frozen=True, slots=True)
class Found:
    """What a question is about, once it may be asked."""

    aggregate: Aggregate
    snapshot: Snapshot
    selection: Selection
    placements: tuple[Placement, ...]
    left_out: int  # rows of the map


@dataclass(frozen=True, slots=True)
class Flight:
    """A question between intent and outcome, with everything it needs."""

    asked: Asked
    signed_ticket: Signed
    ticket: AggregateTicket
    intent: int
    placements: tuple[Placement, ...]
    made: Made | None = field(repr=False)  # None for a repeat
    earlier: aggregate_pb2.AggregateAnswer | None

    @property
    def name(self) -> bytes:
        """The ticket's hash."""
        return aggregate_ticket_hash(self.signed_ticket.payload)


class AggregateHouse:
    """The house's desk for statistics; thread-safe."""

    def __init__(
        self,
        house: House,
        keys: HouseKeys,
        store: Attributes,
        authority: AggregatePeer,
    ) -> None:
        self._house = house
        self._keys = keys
        self._store = store
        self._public = house.domain.paillier
        self._slots = slots_per_block(self._public.bits)
        self._consulting = Consulting(house, authority)
        self._alone = threading.Lock()

    def ask(
        self, call: Caller, signed: Signed, progress: Progress
    ) -> aggregate_pb2.AggregateReply:
        """Answer one request; raises `Denied`, `Unreachable`, `DocumentInvalid`."""
        asked = self._ask(call.caller, signed)  # 1
        with self._alone:
            return self._answer(call, asked, progress)

    def budget(self, bank: Party, dataset: str) -> aggregate_pb2.GetBudgetResponse:
        """Say how much epsilon the authority has left for a bank."""
        left = self._consulting.spending(bank.id, dataset)
        return aggregate_pb2.GetBudgetResponse(
            quarter=left.quarter, left_milliepsilon=left.left_milliepsilon
        )

    def _answer(
        self, call: Caller, asked: Asked, progress: Progress
    ) -> aggregate_pb2.AggregateReply:
        ledger = self._house.ledger
        with ledger.reader() as db:
            came = aggregate_store.reply(db, asked.request)
            others = aggregate_store.all_under_way(db)
            waiting = aggregate_store.under_way(db, self._keys.at_rest, asked.call)
        for other, request in others:
            if other == asked.call or request.bank != asked.request.bank:
                continue
            if request.jti == asked.request.jti:
                self._refuse(asked, Reason.REPLAY_MISMATCH, "the jti names another")
            if _same(request, asked.request):  # what it spent is spent: repeat it
                with suppress(Denied):
                    self._finish(other)
        if came is not None and came.call != asked.call:
            self._refuse(asked, Reason.REPLAY_MISMATCH, "the jti names another")
        if came is not None and came.denial is not None:
            raise denial.error(came.denial)
        if came is not None and came.response is not None:
            came.response.outcome.CopyFrom(proven(ledger, came.outcome))
            return came.response
        flight = None if waiting is None else self._rebuild(asked, waiting, progress)
        while flight is None:  # again, if somebody objected in between
            found = self._decide(asked)  # 2
            call.check_alive()
            flight = self._depart(call, asked, found, progress)  # 3, 4
        return self._arrive(flight)  # 5, 6

    # -- 1 the request

    def _ask(self, bank: Party, signed: Signed) -> Asked:
        request = AggregateRequest.parse(signed.payload)
        if request.bank != bank.id:
            raise RoleRefused(f"a request of `{request.bank}`, not of the caller")
        call, quarter = request_hash(signed.payload), quarter_of(request.iat_ms)
        asked = Asked(signed, request, call, quarter)
        try:
            verify(Tag.AGGREGATE_REQUEST, signed, bank.sign)
        except ProtocolError as error:
            self._refuse(asked, Reason.SIGNATURE_INVALID, str(error))
        return asked

    # -- 2 the decision

    def _decide(self, asked: Asked) -> Found:
        """Find what a question may be asked about; raises `Denied`."""
        ledger = self._house.ledger
        with ledger.reader() as db:
            findings, found = self._against(db, asked, clock.now_ms()), None
            if not findings:
                found = self._found(db, asked)
                findings = check_groups(found.aggregate, found.selection)
        if found is not None and not findings:
            return found
        groups = [finding for finding in findings if found is not None]
        # The journal's time may be ahead of the clock: what it finds counts.
        committed = ledger.commit(lambda tx: self._deny_if(tx, asked, groups))
        if committed.value is not None:
            raise denial.error(committed.value)
        return self._decide(asked)

    def _against(self, db: apsw.Connection, asked: Asked, now_ms: int) -> list[Finding]:
        """Say what is against a question at this moment, whoever is in its groups."""
        request, skew = asked.request, []
        if abs(now_ms - request.iat_ms) > clock.REQUEST_SKEW_MS:
            skew.append(Finding(Reason.CLOCK_SKEW, "iat is too far from now"))

        def find() -> tuple[Finding, ...]:
            terms = self._house.registry.terms(db, request.contract)
            return decide_aggregate(request.bank, request.purpose, terms, skew).reasons

        return denial.against(find)

    def _found(
        self,
        db: apsw.Connection,
        asked: Asked,
        ticket: AggregateTicket | None = None,
        placements: tuple[Placement, ...] | None = None,
    ) -> Found:
        """Find snapshot and selection; those of a ticket when it is resumed.

        Raises `DocumentInvalid` for a filter that is not the contract's, and
        `NotFound` for data that are not there: neither is a denial.
        """
        house, request = self._house, asked.request
        aggregate = house.registry.contract(db, request.contract)
        if not isinstance(aggregate, Aggregate):
            raise AssertionError("decided under another contract")  # noqa: TRY004
        aggregate.check_filter(request.where)
        kind, dataset = aggregate.subject_type, aggregate.dataset.id
        if ticket is None:
            snapshot = snapshots.find(
                db, house.ledger, house.registry, dataset, kind, asked.quarter
            )
        else:
            snapshot = ticket.snapshot
        if placements is None:
            placements = objections.placements(db, kind)
        _, table = attributes.find(db, kind, snapshot.attributes_version)
        rows = snapshot.blocks * self._slots
        wanted = Wanted(aggregate.by, aggregate.floor, rows, request.where)
        left_out = {item.row for item in placements if item.row is not None}
        selection = select(table, self._store.codes(table), wanted, left_out)
        return Found(aggregate, snapshot, selection, placements, len(left_out))

    def _deny_if(
        self, transaction: Transaction, asked: Asked, groups: Sequence[Finding] = ()
    ) -> Signed | None:
        """Deny and remember it, if something is against the question now."""
        findings = self._against(transaction.db, asked, transaction.now_ms)
        if not findings and not groups:
            return None
        refusal = self._deny(transaction, asked, [*findings, *groups])
        aggregate_store.keep_denial(transaction, asked, refusal)
        return refusal

    def _deny(
        self, transaction: Transaction, asked: Asked, findings: Sequence[Finding]
    ) -> Signed:
        return denial.deny(
            transaction,
            by=self._house.domain.house.id,
            key=self._keys.ticket,
            salt_key=self._keys.pseudonym,
            request=asked.signed,
            subject=b"",
            findings=denied(findings).reasons,
            kind=Kind.AGGREGATE_DENY,
        )

    def _refuse(self, asked: Asked, reason: Reason, detail: str) -> NoReturn:
        """Deny, and forget it: else a forger could use up a bank's jti."""
        findings = [Finding(reason, detail)]
        committed = self._house.ledger.commit(
            lambda tx: self._deny(tx, asked, findings)
        )
        raise denial.error(committed.value)

    # -- 3 and 4: compute, then journal the intent

    def _depart(
        self, call: Caller, asked: Asked, found: Found, progress: Progress
    ) -> Flight | None:
        """Compute and journal; None if somebody has objected meanwhile.

        Raises `Denied` if something speaks against the question by then.
        """
        house = self._house
        with house.ledger.reader() as db:
            earlier = aggregate_store.answer(db, asked)
        seed, made = Seed(b"", ()), None
        if earlier is not None:
            bound = b"", b"", b"", aggregate_ticket_hash(earlier.ticket.payload)
        else:
            seed = house.seeds.take()
            made = self._compute(found, seed.seed, progress, call.check_alive)
            bound = (*self._bind(seed.seed, made), b"")
        ticket = AggregateTicket(
            asked.call,
            asked.request.contract,
            found.snapshot,
            found.selection.digest,
            found.selection.groups,
            found.selection.suppressed,
            found.left_out,
            clock.now_ms(),
            *bound,
        )
        signed = sign(Tag.AGGREGATE_TICKET, ticket.to_bytes(), self._keys.ticket)
        body = aggregate_bodies.Intent(asked.signed, signed).to_body()

        def journal(transaction: Transaction) -> int | Signed | None:
            refusal = self._deny_if(transaction, asked)
            if refusal is not None:
                return refusal
            kind = found.aggregate.subject_type
            if objections.placements(transaction.db, kind) != found.placements:
                return None
            actor, name = house.domain.house.id, asked.call.hex()
            objections.place(transaction, actor, found.placements)
            intent = transaction.append(Kind.AGGREGATE_INTENT, actor, name, body)
            waiting = Waiting(asked.signed, signed, intent, found.placements, seed.seed)
            aggregate_store.depart(
                transaction, asked.call, waiting, self._keys.at_rest, seed.shares
            )
            return intent

        call.check_alive()  # a long computation may have outlasted the caller
        intent = house.ledger.commit(journal).value
        if isinstance(intent, Signed):
            raise denial.error(intent)
        if intent is None:
            return None
        return Flight(asked, signed, ticket, intent, found.placements, made, earlier)

    def _compute(
        self,
        found: Found,
        seed: bytes,
        progress: Progress,
        check_alive: Callable[[], None] = lambda: None,
    ) -> Made:
        """Mask every column of every block that is touched."""
        aggregate, selection = found.aggregate, found.selection
        blocks = self._house.vault.open(found.snapshot.ciphertext_root)
        sheaves = bind(selection.of_rows, self._slots)
        total, done = len(sheaves) * len(aggregate.reads), 0

        def told() -> None:
            nonlocal done
            done += 1
            progress(done, total)
            check_alive()

        def stored(read: int, block: int) -> Ciphertext:
            return blocks.ciphertexts(block, (aggregate.reads[read].index,))[0]

        side = HouseSide(
            self._house.engine.obfuscators,
            sheaves,
            len(selection.groups),
            aggregate.scales,
        )
        root = aggregate_root(aggregate.hash, found.snapshot, selection.digest)
        return side.message(stored, drbg_of(seed, root), told)

    def _bind(self, seed: bytes, made: Made) -> tuple[bytes, bytes, bytes]:
        """Hash what a ticket binds: seed, message, masks."""
        return (
            seed_commitment(seed),
            message_digest(self._public, made.ciphertexts),
            masks_digest(masks_bytes(made.masks)),
        )

    def _rebuild(self, asked: Asked, waiting: Waiting, progress: Progress) -> Flight:
        """Make the same message again from what lies sealed on the disk."""
        ticket = AggregateTicket.parse(waiting.ticket.payload)
        made, earlier = None, None
        with self._house.ledger.reader() as db:
            if ticket.repeat_of:
                earlier = aggregate_store.answer(db, asked)
            found = self._found(db, asked, ticket, waiting.placements)
        if not ticket.repeat_of:
            made = self._compute(found, waiting.seed, progress)
            bound = ticket.seed, ticket.message, ticket.masks
            if self._bind(waiting.seed, made) != bound:
                raise AssertionError("a resumed statistic makes another message")
        elif earlier is None:
            raise AssertionError("an answer under repetition was forgotten")
        return Flight(
            asked,
            waiting.ticket,
            ticket,
            waiting.intent,
            waiting.placements,
            made,
            earlier,
        )

    # -- 5 ask, 6 journal the outcome, then release

    def _arrive(self, flight: Flight) -> aggregate_pb2.AggregateReply:
        question = Question(
            flight.asked.signed,
            flight.signed_ticket,
            flight.intent,
            flight.placements,
            None if flight.made is None else flight.made.ciphertexts,
        )
        try:
            response = self._consulting.evaluate(question)  # 5
        except Denied as refusal:
            self._denied(flight, refusal.denial)
            raise
        return self._outcome(flight, response)  # 6

    def _outcome(
        self, flight: Flight, response: aggregate_pb2.EvaluateAggregateResponse
    ) -> aggregate_pb2.AggregateReply:
        asked, released = flight.asked, _released(flight, response)
        receipt = aggregate_receipt_hash(response.receipt.payload)
        body = bodies.Outcome(flight.name, receipt).to_body()

        def journal(transaction: Transaction) -> int:
            actor, call = self._house.domain.house.id, asked.call.hex()
            index = transaction.append(Kind.AGGREGATE_OUTCOME, actor, call, body)
            aggregate_store.keep_response(transaction, asked, released, index)
            if flight.earlier is None:
                aggregate_store.keep_answer(transaction, asked, released.answer)
            return index

        committed = self._house.ledger.commit(journal)
        outcome = proven(self._house.ledger, committed.value, committed.head)
        released.outcome.CopyFrom(outcome)
        return released

    def _denied(self, flight: Flight, refusal: Signed) -> None:
        asked, body = flight.asked, bodies.Denied(flight.name, refusal).to_body()

        def journal(transaction: Transaction) -> None:
            actor, call = self._house.domain.house.id, asked.call.hex()
            transaction.append(Kind.AGGREGATE_DENIED, actor, call, body)
            aggregate_store.keep_denial(transaction, asked, refusal)

        self._house.ledger.commit(journal)

    # -- what an earlier process left

    def resume(self) -> int:
        """Finish the questions that were left between 4 and 6; return how many."""
        with self._house.ledger.reader() as db:
            left = aggregate_store.all_under_way(db)
        return finish_each(
            (call for call, _ in left), self._finish_alone, "statistic not resumed"
        )

    def _finish_alone(self, call: bytes) -> bool:
        with self._alone:
            try:
                self._finish(call)
            except Denied:
                log.get().info("statistic denied after an interruption")
            return True

    def _finish(self, call: bytes) -> None:
        """Finish one question, unless its bank has asked again and was faster."""
        with self._house.ledger.reader() as db:
            waiting = aggregate_store.under_way(db, self._keys.at_rest, call)
        if waiting is None:
            return
        request = waiting.request
        quarter = quarter_of(request.iat_ms)
        asked = Asked(waiting.signed_request, request, call, quarter)
        self._arrive(self._rebuild(asked, waiting, lambda _done, _total: None))


def drbg_of(seed: bytes, root: bytes) -> Drbg:
    """Derive the randomness of one question over exactly these inputs."""
    return Drbg(block_seed(seed, 0, root))


def _same(one: AggregateRequest, other: AggregateRequest) -> bool:
    return (one.contract, one.question) == (other.contract, other.question)


def _released(
    flight: Flight, response: aggregate_pb2.EvaluateAggregateResponse
) -> aggregate_pb2.AggregateReply:
    if flight.earlier is not None:
        repeat = aggregate_pb2.AggregateRepeat(
            ticket=to_wire(flight.signed_ticket),
            receipt=response.receipt,
            permit=response.permit,
        )
        return aggregate_pb2.AggregateReply(answer=flight.earlier, repeat=repeat)
    if flight.made is None:
        raise AssertionError("a fresh answer without masks")
    answer = aggregate_pb2.AggregateAnswer(
        request=to_wire(flight.asked.signed),
        ticket=to_wire(flight.signed_ticket),
        receipt=response.receipt,
        box=response.box,
        masks=masks_bytes(flight.made.masks),
        permit=response.permit,
    )
    return aggregate_pb2.AggregateReply(answer=answer)
