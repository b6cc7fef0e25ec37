"""The house's part of private calls, as numbered steps (`protocols.private_call`).

 1. The bank's signature holds, and the list is the signed one; what the jti came to
    before is given again.
 2. Every candidate may be asked about: contract, bank, purpose and consent, as on an
    open call, without uses and bits; and then has a slot.  One who may not denies the
    whole call, else the house could leave out whom it likes.
 3. Every block with a candidate is masked, every candidate's slot gets its tables; one
    ticket, one fresh seed, `private.intent`.
 4. The authority decides, and answers with a box that the house cannot read.
 5. `private.outcome` is journalled with the box's digest; then it is handed on.

What the house does for one call hangs on the list and on nothing else.  A call that
was left between 3 and 5 is made again from its seed, byte for byte, and finished.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

import apsw

from contracts import private_bodies
from contracts.compiled import Compiled
from contracts.decide import (
    ORDER,
    UNKNOWN_SUBJECT,
    Ask,
    Finding,
    Reason,
    Terms,
    decide,
)
from contracts.inputs import Inputs
from contracts.private_bodies import Named
from node import (
    clock,
    consents,
    denial,
    directory,
    job_store,
    names,
    private_store,
)
from node.consultation import proven
from node.domain import Party
from node.errors import Denied, ReplyRefused, RoleRefused
from node.house import Caller, House
from node.keys import HouseKeys
from node.ledger import Transaction
from node.private_denial import Desk, call_hash
from node.private_store import Record
from node.resumption import finish_each
from node.seeds import Seed
from node.status import from_wire, to_wire
from node.wire.v1 import common_pb2, private_evaluation_pb2, private_pb2
from protocols import job
from protocols.call import Denial, Result, seed_commitment
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.errors import FormatError, ProtocolError
from protocols.job import Basis
from protocols.lookup import Message
from protocols.private_call import (
    Candidates,
    Place,
    PrivateRequest,
    PrivateSealed,
    PrivateTicket,
    box_digest,
    by_block,
    inputs_digest,
)
from protocols.seal import unwrap, wrap
from protocols.sign import Signed, sign, verify
from protocols.slots import slots_per_block

SCHEMA: Final = private_store.SCHEMA
NAMED: Final = 4  # candidates of a refusal


class PrivatePeer(Protocol):
    """The authority, near or far."""

    def evaluate_privately(
        self, pieces: Iterator[private_evaluation_pb2.EvaluatePrivatelyRequest]
    ) -> private_evaluation_pb2.EvaluatePrivatelyResponse:
        """Answer; raises `Denied`, `HeadUnknown`, `Unreachable`."""


@dataclass(frozen=True, slots=True, repr=False)
class Asked:
    """A request and its candidates as this house names them."""

    record: Record
    subjects: tuple[Named, ...]

    @property
    def request(self) -> PrivateRequest:
        """What was asked."""
        return self.record.request


@dataclass(frozen=True, slots=True, repr=False)
class Made:
    """What was computed for a list."""

    inputs: tuple[Inputs, ...]  # of each block; their slot is the first one
    messages: tuple[Message, ...]
    pads: tuple[bytes, ...]


class PrivateHouse:
    """The private calls of one house; thread-safe."""

    def __init__(self, house: House, keys: HouseKeys, authority: PrivatePeer) -> None:
        self._house = house
        self._keys = keys
        self._authority = authority
        self._desk = Desk(house.domain.house.id, keys.ticket, keys.pseudonym)
        self._slots = slots_per_block(house.domain.paillier.bits)

    def ask(
        self, call: Caller, signed: Signed, box: bytes, candidates: Candidates
    ) -> private_pb2.AskPrivatelyResponse:
        """Answer one request; raises `Denied`, `Unreachable`, `ProtocolError`."""
        request = private_bodies.read_request(signed.payload)
        if (request.among, request.count) != (candidates.root, candidates.count):
            raise FormatError("the candidates are not the ones that were signed")
        if request.bank != call.caller.id:
            raise RoleRefused(f"a request of `{request.bank}`, not of the caller")
        if box_digest(box) != request.box:
            raise FormatError("the box is not the one that was signed")
        name = call_hash(signed.payload)
        record = Record(name, signed, box, None, None, None, None, None, None)
        refs = [ref for ref, _, _ in candidates.rows]
        with self._house.ledger.reader() as db:
            known = names.of(db, self._keys.pseudonym, refs)
        subjects = tuple(
            Named(subject, consent)
            for subject, (_, _, consent) in zip(known, candidates.rows, strict=True)
        )
        asked = Asked(record, subjects)
        try:
            verify(Tag.PRIVATE_REQUEST, signed, call.caller.sign)  # 1
        except ProtocolError as error:
            self._refuse(signed, Finding(Reason.SIGNATURE_INVALID, str(error)))
        with self._alone(request):
            return self._ask(call, asked)

    def _alone(self, request: PrivateRequest) -> AbstractContextManager[None]:
        """Hold a jti of a bank, which chooses it; whoever comes second waits."""
        return self._house.holding("private", request.bank, request.jti)

    def _ask(self, call: Caller, asked: Asked) -> private_pb2.AskPrivatelyResponse:
        request = asked.request
        with self._house.ledger.reader() as db:
            known = private_store.find(db, request.bank, request.jti)
        if known is not None and known.call != asked.record.call:
            mismatch = Finding(Reason.REPLAY_MISMATCH, "the jti names another call")
            self._refuse(asked.record.signed, mismatch)
        if known is not None and known.denial is not None:
            raise denial.error(known.denial)
        if known is not None and known.response is not None:
            return self._released(known)
        made = None
        if known is None:
            while known is None:  # again, if there was a push in between
                made = self._make(asked)  # 2, 3
                call.check_alive()
                known = self._depart(asked, *made)
        return self._arrive(known, None if made is None else made[1])  # 4, 5

    # -- 2, 3

    def _make(self, asked: Asked) -> tuple[Seed, Made, tuple[Place, ...]]:
        """Compute for a list; raises `Denied`."""
        # Most are not denied, and 512 candidates need not keep the writer waiting.
        with self._house.ledger.reader() as db:
            found = denial.against(lambda: self._found(db, clock.now_ms(), asked))
        if found:
            committed = self._house.ledger.commit(lambda tx: self._deny_if(tx, asked))
            if committed.value is not None:
                raise denial.error(committed.value)
        seed = self._house.seeds.take()
        with self._house.ledger.reader() as db:
            compiled = self._house.registry.compiled(db, asked.request.contract)
            numbers = self._numbers(db, compiled, asked.subjects)
            places = tuple(divmod(number, self._slots) for number in numbers)
            return seed, self._compute(db, compiled, places, {}, seed.seed), places

    def _numbers(
        self, db: apsw.Connection, compiled: Compiled, subjects: Sequence[Named]
    ) -> list[int]:
        found = [
            directory.place(db, compiled.subject_type, named.subject)
            for named in subjects
        ]
        numbers = [number for number in found if number is not None]
        if len(numbers) < len(found):
            raise AssertionError("a subject lost its slot")
        return numbers

    def _compute(
        self,
        db: apsw.Connection,
        compiled: Compiled,
        places: Sequence[Place],
        versions: Mapping[str, int],
        seed: bytes,
    ) -> Made:
        """Mask every block with a candidate; some datasets at given versions."""
        engine, inputs, messages, pads = self._house.engine, [], [], []
        for block, slots in by_block(places):
            rests = engine.inputs_of(db, compiled, block * self._slots, versions)
            message, pad = engine.candidates_message(db, compiled, rests, slots, seed)
            inputs.append(rests)
            messages.append(message)
            pads.append(pad)
        return Made(tuple(inputs), tuple(messages), tuple(pads))

    def _found(self, db: apsw.Connection, now_ms: int, asked: Asked) -> list[Finding]:
        """Say what is against a call, each reason once, with whom it is about."""
        request = asked.request
        terms = self._house.registry.terms(db, request.contract)
        against: dict[tuple[Reason, str], list[int]] = {}
        for entry, named in enumerate(asked.subjects):
            for finding in self._against(db, request, terms, named, now_ms):
                unknown = finding.detail == UNKNOWN_SUBJECT
                key = finding.reason, f"{UNKNOWN_SUBJECT}: " if unknown else ""
                against.setdefault(key, []).append(entry)
        found = [
            Finding(reason, f"{word}{about(entries)}")
            for (reason, word), entries in against.items()
        ]
        if abs(now_ms - request.iat_ms) > clock.REQUEST_SKEW_MS:
            found.append(Finding(Reason.CLOCK_SKEW, "iat is too far from now"))
        return found

    def _against(
        self,
        db: apsw.Connection,
        request: PrivateRequest,
        terms: Terms | None,
        named: Named,
        now_ms: int,
    ) -> Sequence[Finding]:
        ask = Ask(
            request.bank, request.purpose, named.subject, named.consent, 0, request.kind
        )
        grant = consents.find(db, named.consent)
        findings = decide(ask, terms, grant, None, now_ms).reasons
        if findings or terms is None:
            return findings
        kind = self._house.registry.compiled(db, request.contract).subject_type
        if directory.place(db, kind, named.subject) is None:
            return [Finding(Reason.NO_CONSENT, UNKNOWN_SUBJECT)]
        return ()

    def _deny_if(self, transaction: Transaction, asked: Asked) -> Signed | None:
        """Deny and remember it, if something is against the call now."""
        findings = denial.against(
            lambda: self._found(transaction.db, transaction.now_ms, asked)
        )
        if not findings:
            return None
        first = min(findings, key=lambda finding: ORDER[finding.reason])
        told = first.detail.removeprefix(f"{UNKNOWN_SUBJECT}: ")
        refusal = self._desk.deny(
            transaction, asked.record.signed, findings, asked.subjects, told
        )
        private_store.deny(transaction, asked.record, refusal)
        return refusal

    def _refuse(self, signed: Signed, finding: Finding) -> NoReturn:
        """Deny, and forget it: else a forger could use up a bank's jti."""
        committed = self._house.ledger.commit(
            lambda tx: self._desk.deny(tx, signed, [finding])
        )
        raise denial.error(committed.value)

    def _depart(
        self, asked: Asked, seed: Seed, made: Made, places: tuple[Place, ...]
    ) -> Record | None:
        """Journal the intent; None if the data have changed meanwhile."""
        request, record = asked.request, asked.record
        with self._house.ledger.reader() as db:
            compiled = self._house.registry.compiled(db, request.contract)
            gate = self._house.registry.machine(compiled).gate
            bases = self._bases(db, compiled)
        ticket = PrivateTicket(
            record.call,
            request.contract,
            gate.name,
            clock.now_ms(),
            seed_commitment(seed.seed),
            _message_hash(made),
            job.pads_digest(made.pads),
            bases,
            inputs_digest(rests.root for rests in made.inputs),
            places,
        )
        signed = sign(Tag.PRIVATE_TICKET, ticket.to_bytes(), self._keys.ticket)
        secret = wrap(self._keys.at_rest, record.call, seed.seed)
        body = private_bodies.Intent(record.signed, signed, asked.subjects).to_body()

        def journal(transaction: Transaction) -> Signed | int | None:
            refusal = self._deny_if(transaction, asked)
            if refusal is not None:
                return refusal
            if not all(
                self._house.engine.are_newest(transaction.db, inputs)
                for inputs in made.inputs
            ):
                return None
            actor, call = self._house.domain.house.id, record.call.hex()
            index = transaction.append(Kind.PRIVATE_INTENT, actor, call, body)
            private_store.depart(transaction, record, signed, index, secret)
            job_store.share(transaction, record.call, seed.shares)
            return index

        came = self._house.ledger.commit(journal).value
        if isinstance(came, Signed):
            raise denial.error(came)
        if came is None:
            return None
        with self._house.ledger.reader() as db:
            return private_store.find(db, request.bank, request.jti)

    def _bases(self, db: apsw.Connection, compiled: Compiled) -> tuple[Basis, ...]:
        found = []
        for used in compiled.datasets:
            newest = self._house.registry.manifest(db, used.id)
            found.append(
                Basis(used.id, 0, bytes(32))
                if newest is None
                else Basis(used.id, newest.version, newest.row_map_root)
            )
        return tuple(found)

    # -- 4, 5

    def _arrive(
        self, record: Record, made: Made | None
    ) -> private_pb2.AskPrivatelyResponse:
        if record.ticket is None or record.intent is None or record.secret is None:
            raise AssertionError("a call under way without ticket, intent or seed")
        ticket = PrivateTicket.parse(record.ticket.payload)
        made = made or self._again(record, ticket)
        try:
            response = self._house.consultation.consult(
                record.intent,
                lambda intent, links: self._authority.evaluate_privately(
                    self._pieces(record, made, intent, links)
                ),
            )
        except Denied as refusal:
            self._denied(record, ticket, refusal.denial)
            raise
        signed = from_wire(response.sealed)
        self._check(ticket, signed, response.box)
        sealed = PrivateSealed.parse(signed.payload)
        released = private_pb2.AskPrivatelyResponse(
            ticket=to_wire(record.ticket),
            sealed=response.sealed,
            box=response.box,
            pads=made.pads,
        )
        body = private_bodies.Outcome(ticket.hash, sealed.hash).to_body()
        data = released.SerializeToString(deterministic=True)

        def journal(transaction: Transaction) -> int:
            actor, call = self._house.domain.house.id, record.call.hex()
            index = transaction.append(Kind.PRIVATE_OUTCOME, actor, call, body)
            private_store.finish(transaction, record, ticket.hash, data, index)
            return index

        committed = self._house.ledger.commit(journal)
        released.outcome.CopyFrom(
            proven(self._house.ledger, committed.value, committed.head)
        )
        return released

    def _again(self, record: Record, ticket: PrivateTicket) -> Made:
        """Make the same messages again from the seed that lies sealed on the disk."""
        seed = unwrap(self._keys.at_rest, record.call, record.secret or b"")
        versions = {basis.dataset: basis.version for basis in ticket.bases}
        with self._house.ledger.reader() as db:
            compiled = self._house.registry.compiled(db, ticket.contract)
            made = self._compute(db, compiled, ticket.places, versions, seed)
        if _message_hash(made) != ticket.message:
            raise AssertionError("a resumed call makes another message")
        return made

    def _pieces(
        self,
        record: Record,
        made: Made,
        intent: common_pb2.Logged,
        links: Sequence[common_pb2.HeadLink],
    ) -> Iterator[private_evaluation_pb2.EvaluatePrivatelyRequest]:
        make = private_evaluation_pb2.EvaluatePrivatelyRequest
        if record.ticket is None:
            raise AssertionError("a call under way without a ticket")
        yield make(
            question=private_evaluation_pb2.PrivateQuestion(
                request=to_wire(record.signed),
                box=record.box,
                ticket=to_wire(record.ticket),
                intent=intent,
                links=links,
            )
        )
        size = self._house.domain.paillier.ciphertext_bytes
        for message in made.messages:
            data = b"".join(int(c).to_bytes(size, "big") for c in message.ciphertexts)
            yield make(
                block=private_evaluation_pb2.PrivateBlock(
                    ciphertexts=data, tables=message.tables
                )
            )

    def _check(self, ticket: PrivateTicket, signed: Signed, box: bytes) -> None:
        try:
            verify(Tag.PRIVATE_SEALED, signed, self._house.domain.authority.sign)
            sealed = PrivateSealed.parse(signed.payload)
        except ProtocolError as error:
            raise ReplyRefused(f"the authority's word proves nothing: {error}") from (
                None
            )
        if (sealed.ticket, sealed.box) != (ticket.hash, box_digest(box)):
            raise ReplyRefused("the authority's word is on another box")

    def _denied(self, record: Record, ticket: PrivateTicket, refusal: Signed) -> None:
        """Journal an open refusal, which is of what the house made."""
        try:
            verify(Tag.DENIAL, refusal, self._house.domain.authority.sign)
            named = Denial.parse(refusal.payload).request
        except ProtocolError as error:
            raise ReplyRefused(f"the authority's denial proves nothing: {error}") from (
                None
            )
        if named != record.call:
            raise ReplyRefused("the authority's denial is of another call")
        body = private_bodies.Denied(ticket.hash, refusal).to_body()

        def journal(transaction: Transaction) -> None:
            actor, call = self._house.domain.house.id, record.call.hex()
            transaction.append(Kind.PRIVATE_DENIED, actor, call, body)
            private_store.deny(transaction, record, refusal)

        self._house.ledger.commit(journal)

    def _released(self, record: Record) -> private_pb2.AskPrivatelyResponse:
        if record.response is None or record.outcome is None:
            raise AssertionError("a released call without its response")
        response = private_pb2.AskPrivatelyResponse.FromString(record.response)
        response.outcome.CopyFrom(proven(self._house.ledger, record.outcome))
        return response

    def resume(self) -> int:
        """Finish the calls that were left half-way; return how many.

        Others stay, and are tried again when their bank asks or with the next round.
        """
        with self._house.ledger.reader() as db:
            left = private_store.under_way(db)
        return finish_each(left, self._finish, "private call not resumed")

    def _finish(self, left: Record) -> bool:
        """Finish one call, unless its bank has asked again and was faster."""
        request = left.request
        with self._alone(request):
            with self._house.ledger.reader() as db:
                known = private_store.find(db, request.bank, request.jti)
            if known is None or known.secret is None:
                return False
            with suppress(Denied):
                self._arrive(known, None)
            return True

    # -- what comes before and after

    def commit_result(self, bank: Party, signed: Signed) -> None:
        """Keep a bank's commitment to what it read; the first one stands."""
        verify(Tag.COMMIT_RESULT, signed, bank.sign)
        result = Result.parse(signed.payload)
        body = private_bodies.Result(result.ticket, signed).to_body()

        def journal(transaction: Transaction) -> None:
            call = private_store.commit(
                transaction, result.ticket, bank.id, signed.payload
            )
            if call is not None:
                transaction.append(Kind.PRIVATE_RESULT, bank.id, call.hex(), body)

        self._house.ledger.commit(journal)


def about(entries: Sequence[int]) -> str:
    """Name candidates by their places in the list, a few of them.

    >>> about([3]), about(list(range(7)))
    ('candidate 3', 'candidates 0, 1, 2, 3 and 3 more')
    """
    told = ", ".join(map(str, entries[:NAMED]))
    more = len(entries) - NAMED
    end = f" and {more} more" if more > 0 else ""
    return f"candidate{'s' if len(entries) > 1 else ''} {told}{end}"


def _message_hash(made: Made) -> bytes:
    numbers = (rests.block for rests in made.inputs)
    return job.message_hash(zip(numbers, made.messages, strict=True))
