"""Decision replay of statistics: every permit and denial follows from the journal.

The journals' `aggregate.*` entries, with what `contracts.replay` rebuilds; objections,
and the times at which data and attributes came, are rebuilt here.

 1. `consent.objection`, `consent.erased`: the state of the objection allows it, and
    with an erasure all consents of its subject end, and no other begins;
    `consent.placed`: it stands, and has no row yet; `consent.answer`: the dataset's
    custodian says it of a repair that stands, and of a version that came after it.
 2. Permits (authority) and intents (house): `call` is the hash of the request in the
    body; its jti names one request; it is within `SKEW_MS` of the entry; a ticket is
    taken once; replay allows.
 3. Intents: the ticket is the house's, for this request, over the versions that stood
    when the quarter began, or else the first ones; no group is under the floor; as
    many are left out as object and have a row; its seed is its own.
 4. Permits: the epsilon of the contract, or none for an answer that is released again;
    the odometers of bank and of all banks as replayed, and within their limits; groups
    and objections as above.
 5. A repeat repeats a fresh answer to the same bank and question in the same quarter.
 6. Denials: the reasons are the replayed ones, and the public one is their first.
    GROUP_SIZE hangs on the public attributes, which are not in the journal: it is
    counted as beyond replay, as are signatures and clocks.
 7. What ends a question (done, outcome, denied) follows its permit or intent.

Who is in which group is for transcript replay, which has the attributes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from contracts import aggregate_bodies, bodies
from contracts.aggregate_compiled import Aggregate
from contracts.attributes import AttributeTable
from contracts.decide import ORDER, Decision, Finding, Reason, public
from contracts.discrepancy import BEYOND_REPLAY, JTI_KEPT_MS, SKEW_MS, Mark, Role
from contracts.errors import DocumentInvalid
from contracts.job_replay import Books, Note
from contracts.objection import (
    Answer,
    Demand,
    Objection,
    check_answer,
    check_next,
)
from contracts.odometer import (
    LIMITS,
    EpsilonLimits,
    Spent,
    check_spent,
    decide_aggregate,
)
from contracts.quarter import first_ms, quarter_of
from protocols.aggregate_call import (
    AggregateRequest,
    AggregateTicket,
    Snapshot,
    aggregate_ticket_hash,
)
from protocols.blocks import Manifest
from protocols.call import Denial, request_hash
from protocols.canon import Tag, digest
from protocols.entry import Entry, Kind
from protocols.errors import FormatError
from protocols.sign import Signed

T = TypeVar("T")

BEYOND: Final = BEYOND_REPLAY | {Reason.GROUP_SIZE}


@dataclass(frozen=True, slots=True)
class _Begun:
    """A question that was permitted, or intended."""

    asked: tuple[str, bytes, bytes, str]  # bank, contract, question, quarter
    repeat: bool


class AggregateReplay:
    """Replays what one journal says of statistics."""

    def __init__(
        self, books: Books, note: Note, limits: EpsilonLimits = LIMITS
    ) -> None:
        self._books = books
        self._note = note
        self._limits = limits
        self._objections: dict[str, Objection] = {}
        self._subjects: dict[str, bytes] = {}  # who objects, by objection
        self._since: dict[str, int] = {}  # versions that repairs object to
        self._places: dict[str, int] = {}  # rows of objections
        self._pushes: dict[str, list[tuple[int, Manifest]]] = {}
        self._tables: dict[str, list[tuple[int, int, bytes]]] = {}
        self._spent: dict[tuple[str, str], dict[str, int]] = {}  # dataset, quarter
        self._snapshots: dict[tuple[str, str], Snapshot] = {}
        self._jtis: dict[tuple[str, bytes], tuple[str, int]] = {}
        self._begun: dict[bytes, _Begun] = {}  # by ticket
        self._seeds: set[bytes] = set()
        # The entry at hand:
        self._entry = Entry(Kind.NODE_START, 0, "", "", {})

    def at(self, entry: Entry) -> None:
        """Say which entry is replayed next."""
        self._entry = entry

    def steps(self) -> dict[Kind, Callable[[Entry], None]]:
        """List the kinds of this journal and what replays them."""
        both: dict[Kind, Callable[[Entry], None]] = {
            Kind.DATA_PUSH: self._push,
            Kind.DATA_ATTRIBUTES: self._attributes,
            Kind.CONSENT_OBJECTION: self._objection,
            Kind.CONSENT_ERASED: self._erased,
            Kind.CONSENT_PLACED: self._placed,
            Kind.AGGREGATE_DENY: self._deny,
        }
        if self._books.role is Role.AUTHORITY:
            return both | {
                Kind.AGGREGATE_PERMIT: self._permit,
                Kind.AGGREGATE_DONE: self._done,
            }
        return both | {
            Kind.AGGREGATE_INTENT: self._intent,
            Kind.AGGREGATE_OUTCOME: self._outcome,
            Kind.AGGREGATE_DENIED: self._denied,
            Kind.CONSENT_ANSWER: self._answer,
        }

    # -- what stands

    def _push(self, entry: Entry) -> None:
        body = bodies.Push.parse(entry.body)
        self._books.contracts.push(body)
        manifest = Manifest.parse(body.manifest.payload)
        self._pushes.setdefault(body.dataset, []).append((entry.time_ms, manifest))

    def _attributes(self, entry: Entry) -> None:
        body = bodies.Attributes.parse(entry.body)
        self._books.contracts.attributes(body)
        table = AttributeTable.parse(body.signed.payload)
        name = digest(Tag.ATTRIBUTES, body.signed.payload)
        versions = self._tables.setdefault(table.subject_type, [])
        versions.append((entry.time_ms, table.version, name))

    def _objection(self, entry: Entry) -> None:
        objection, subject = self._demanded(entry)
        if objection.demand is Demand.ERASURE:
            raise DocumentInvalid("an erasure is journalled as one")
        if self._subjects.setdefault(objection.objection_id, subject) != subject:
            raise DocumentInvalid("the end of an objection is another subject's")
        if objection.demand is Demand.REPAIR:
            if self._books.contracts.dataset(objection.dataset) is None:
                raise DocumentInvalid(f"no dataset `{objection.dataset}` before it")
            newest = self._newest(objection.dataset)
            self._since.setdefault(objection.objection_id, newest)

    def _erased(self, entry: Entry) -> None:
        objection, subject = self._demanded(entry)
        if objection.demand is not Demand.ERASURE:
            raise DocumentInvalid(f"not an erasure, but `{objection.demand}`")
        self._books.consents.erase(subject)

    def _demanded(self, entry: Entry) -> tuple[Objection, bytes]:
        body = bodies.Objection.parse(entry.body)
        objection = Objection.parse(body.signed.payload)
        self._books.pins.verify(Tag.OBJECTION, body.signed, objection.registrar)
        check_next(self._objections.get(objection.objection_id), objection)  # 1
        self._objections[objection.objection_id] = objection
        return objection, body.subject

    def _answer(self, entry: Entry) -> None:
        body = bodies.Answer.parse(entry.body)
        answer = Answer.parse(body.signed.payload)
        self._books.pins.verify(Tag.OBJECTION_ANSWER, body.signed, answer.custodian)
        name, newest = answer.objection_id, self._newest(answer.dataset)
        objection = self._objections.get(name)
        check_answer(objection, answer, self._since.get(name, 0), newest)
        dataset = self._books.contracts.dataset(answer.dataset)
        if dataset is None or dataset.custodian != answer.custodian:
            raise DocumentInvalid(
                f"`{answer.custodian}` is not the custodian of `{answer.dataset}`"
            )
        if self._subjects.get(name) != body.subject or objection is None:
            raise DocumentInvalid(f"repair `{name}` is another subject's")
        self._objections[name] = replace(objection, stands=False)

    def _newest(self, dataset: str) -> int:
        manifest = self._books.contracts.newest(dataset)
        return 0 if manifest is None else manifest.version

    def _placed(self, entry: Entry) -> None:
        body = bodies.Placed.parse(entry.body)
        objection = self._objections.get(body.objection)
        if (
            objection is None
            or not objection.stands
            or objection.demand is Demand.REPAIR
        ):
            raise DocumentInvalid(f"no objection `{body.objection}` stands before it")
        if self._places.setdefault(body.objection, body.place) != body.place:
            raise DocumentInvalid(f"objection `{body.objection}` has another row")

    def _left_out(self, subject_type: str) -> set[int]:
        return {
            place
            for name, place in self._places.items()
            if self._objections[name].stands
            and self._objections[name].subject_type == subject_type
        }

    # -- 2, 3

    def _intent(self, entry: Entry) -> None:
        body = aggregate_bodies.Intent.parse(entry.body)
        request = self._request(body.request)
        ticket = AggregateTicket.parse(body.ticket.payload)
        name = aggregate_ticket_hash(body.ticket.payload)
        self._books.pins.verify(Tag.AGGREGATE_TICKET, body.ticket, entry.actor)
        if ticket.request.hex() != entry.call or ticket.contract != request.contract:
            raise FormatError("the ticket is for another request or contract")
        self._begin(request, name, bool(ticket.repeat_of))
        aggregate = self._allowed(request)
        if aggregate is None:
            return
        self._check_snapshot(ticket.snapshot, aggregate, request)
        sizes = [group.subjects for group in ticket.groups]
        self._check_groups(aggregate, sizes, ticket.left_out)
        if ticket.repeat_of:
            self._check_repeat(request, ticket.repeat_of)
        elif ticket.seed in self._seeds:
            self._note(Mark.SEED_REUSED, f"seed {ticket.seed.hex()} was drawn before")
        else:
            self._seeds.add(ticket.seed)

    def _check_snapshot(
        self, snapshot: Snapshot, aggregate: Aggregate, request: AggregateRequest
    ) -> None:
        dataset, quarter = aggregate.dataset.id, quarter_of(request.iat_ms)
        if (snapshot.dataset, snapshot.quarter) != (dataset, quarter):
            raise FormatError("the ticket is over another dataset or quarter")
        start_ms = first_ms(quarter)
        manifest = _in_force(self._pushes.get(dataset, ()), start_ms)
        versions = self._tables.get(aggregate.subject_type, ())
        table = _in_force(((t, (v, d)) for t, v, d in versions), start_ms)
        if manifest is None or table is None:
            right = None
        else:
            right = Snapshot(
                quarter,
                dataset,
                manifest.version,
                manifest.blocks,
                manifest.ciphertext_root,
                manifest.row_map_root,
                *table,
            )
        if snapshot != right:
            self._note(
                Mark.STALE_INPUT,
                f"rests on version {snapshot.version} of `{dataset}` and version"
                f" {snapshot.attributes_version} of the attributes, which are not those"
                f" of {quarter}",
                (Reason.STALE_DATA,),
            )

    def _check_groups(
        self, aggregate: Aggregate, sizes: Iterable[int], left_out: int
    ) -> None:
        sizes = list(sizes)
        if not sizes or not all(
            aggregate.floor <= size <= aggregate.most_subjects for size in sizes
        ):
            self._note(
                Mark.DECISION_DIFFERS,
                f"adds up groups of {sizes or 'nobody'}, the contract allows"
                f" {aggregate.floor} to {aggregate.most_subjects}",
                (Reason.GROUP_SIZE,),
            )
        object_ = len(self._left_out(aggregate.subject_type))
        if left_out != object_:
            self._note(
                Mark.DECISION_DIFFERS,
                f"leaves {left_out} out, {object_} object",
                (Reason.OBJECTION,),
            )

    # -- 4

    def _permit(self, entry: Entry) -> None:
        body = aggregate_bodies.Permit.parse(entry.body)
        request = self._request(body.request)
        if body.contract != request.contract:
            raise FormatError("the contract is not the request's")
        self._begin(request, body.ticket, bool(body.repeat_of))
        aggregate = self._allowed(request)
        if aggregate is None:
            return
        quarter = quarter_of(request.iat_ms)
        if (body.dataset, body.quarter) != (aggregate.dataset.id, quarter):
            raise FormatError("dataset or quarter is not the request's")
        self._check_groups(aggregate, body.groups, body.left_out)
        spends = 0 if body.repeat_of else aggregate.milliepsilon
        if body.repeat_of:
            self._check_repeat(request, body.repeat_of)
        elif found := check_spent(spends, self._spending(body, request), self._limits):
            self._note(
                Mark.DECISION_DIFFERS,
                f"permitted, but replay denies: {found[0]}",
                (Reason.EPSILON_SPENT,),
            )
        banks = self._spent.setdefault((body.dataset, quarter), {})
        banks[request.bank] = banks.get(request.bank, 0) + spends
        spent = self._spending(body, request)
        told = body.milliepsilon, body.bank_spent, body.banks_spent
        if told != (spends, spent.bank, spent.banks):
            self._note(
                Mark.EPSILON_DIFFERS,
                f"spends {body.milliepsilon}, to {body.bank_spent} of the bank and"
                f" {body.banks_spent} of all, in milliepsilon; expected {spends},"
                f" {spent.bank} and {spent.banks}",
            )

    def _spending(
        self, body: aggregate_bodies.Permit, request: AggregateRequest
    ) -> Spent:
        banks = self._spent.get((body.dataset, body.quarter), {})
        return Spent(banks.get(request.bank, 0), sum(banks.values()))

    # -- 2, 5, 6, 7

    def _request(self, signed: Signed, *, forged: bool = False) -> AggregateRequest:
        if request_hash(signed.payload).hex() != self._entry.call:
            raise FormatError("`call` is not the hash of the request")
        request = AggregateRequest.parse(signed.payload)
        if not forged:
            self._books.pins.verify(Tag.AGGREGATE_REQUEST, signed, request.bank)
        return request

    def _begin(self, request: AggregateRequest, ticket: bytes, repeat: bool) -> None:  # noqa: FBT001
        call, now_ms = self._entry.call, self._entry.time_ms
        self._books.counts.permits += 1
        name = request.bank, request.jti
        earlier, end_ms = self._jtis.get(name, ("", 0))
        if earlier and end_ms >= now_ms:
            self._note(
                Mark.JTI_REUSED,
                f"jti {request.jti.hex()} of `{request.bank}` was used by {earlier}",
                (Reason.REPLAY_MISMATCH,),
            )
        self._jtis[name] = call, max(now_ms, request.iat_ms) + JTI_KEPT_MS
        if abs(now_ms - request.iat_ms) > SKEW_MS:
            self._note(
                Mark.CLOCK_SKEW,
                f"the request of {request.iat_ms} was taken at {now_ms}",
                (Reason.CLOCK_SKEW,),
            )
        if ticket in self._begun:
            self._note(Mark.TICKET_REUSED, f"ticket {ticket.hex()} was taken before")
        self._begun[ticket] = _Begun(_asked(request), repeat)

    def _allowed(self, request: AggregateRequest) -> Aggregate | None:
        """Decide again; return the contract, if it is a statistic."""
        decision = self._decide(request)
        if not decision.allow:
            self._note(
                Mark.DECISION_DIFFERS,
                f"permitted, but replay {decision}",
                tuple(finding.reason for finding in decision.reasons),
            )
        contract = self._books.contracts.contract(request.contract)
        if not isinstance(contract, Aggregate):
            return None
        try:
            contract.check_filter(request.where)
        except DocumentInvalid as error:
            self._note(
                Mark.DECISION_DIFFERS, f"permitted: {error}", (Reason.TICKET_INVALID,)
            )
        return contract

    def _decide(
        self, request: AggregateRequest, findings: Iterable[Finding] = ()
    ) -> Decision:
        terms = self._books.contracts.terms(request.contract)
        return decide_aggregate(request.bank, request.purpose, terms, list(findings))

    def _check_repeat(self, request: AggregateRequest, repeat_of: bytes) -> None:
        earlier = self._begun.get(repeat_of)
        if earlier is None or earlier.repeat or earlier.asked != _asked(request):
            self._note(
                Mark.REPEAT_UNFOUNDED,
                f"repeats ticket {repeat_of.hex()}, which is no answer to this bank and"
                " question in this quarter",
            )

    def _deny(self, entry: Entry) -> None:
        body = bodies.Deny.parse(entry.body)
        self._books.counts.denials += 1
        if not body.reasons or body.public is not public(body.reasons).reason:
            raise FormatError("the public reason is not the first of the reasons")
        self._check_denial(body)
        logged = {finding.reason for finding in body.reasons}
        beyond = logged & BEYOND
        self._books.counts.beyond.update(beyond)
        try:
            request = self._request(body.request, forged=bool(beyond))
        except FormatError:
            if beyond:
                return  # what is no request was denied as such
            raise
        decision = self._decide(request, self._found_spent(request))
        replayed = {finding.reason for finding in decision.reasons}
        # A question that would have been a repeat spends nothing.
        possible = [replayed, replayed - {Reason.EPSILON_SPENT}]
        rest = logged - beyond
        if rest in possible or (beyond and rest <= replayed):
            return
        reasons = sorted(logged, key=ORDER.__getitem__)
        self._note(
            Mark.DECISION_DIFFERS,
            f"denied for {', '.join(reasons)}, but replay {decision}",
            tuple(reasons),
        )

    def _found_spent(self, request: AggregateRequest) -> list[Finding]:
        contract = self._books.contracts.contract(request.contract)
        house = self._books.role is Role.HOUSE
        if house or not isinstance(contract, Aggregate):
            return []
        banks = self._spent.get((contract.dataset.id, quarter_of(request.iat_ms)), {})
        spent = Spent(banks.get(request.bank, 0), sum(banks.values()))
        return check_spent(contract.milliepsilon, spent, self._limits)

    def _check_denial(self, body: bodies.Deny) -> None:
        if not self._books.pins.given:
            return
        self._books.pins.verify(Tag.DENIAL, body.denial, self._entry.actor)
        denial = Denial.parse(body.denial.payload)
        if (
            denial.request.hex() != self._entry.call
            or denial.reason != body.public
            or denial.reasons != bodies.reasons_digest(body.salt, body.reasons)
        ):
            raise FormatError("the signed denial is another one")

    def _done(self, entry: Entry) -> None:
        body = bodies.Done.parse(entry.body)
        begun = self._check_begun(body.ticket)
        if begun is not None:
            tag = Tag.REPEAT_RECEIPT if begun.repeat else Tag.AGGREGATE_RECEIPT
            self._books.pins.verify(tag, body.receipt, entry.actor)

    def _outcome(self, entry: Entry) -> None:
        self._check_begun(bodies.Outcome.parse(entry.body).ticket)

    def _denied(self, entry: Entry) -> None:
        body = bodies.Denied.parse(entry.body)
        self._check_begun(body.ticket)
        if self._books.pins.given:
            denial = Denial.parse(body.denial.payload)
            self._books.pins.verify(Tag.DENIAL, body.denial, denial.by)
            if denial.request.hex() != entry.call:
                raise FormatError("the signed denial is of another question")

    def _check_begun(self, ticket: bytes) -> _Begun | None:
        begun = self._begun.get(ticket)
        if begun is None:
            house = self._books.role is Role.HOUSE
            self._note(
                Mark.NO_INTENT if house else Mark.NO_PERMIT,
                f"no {'intent' if house else 'permit'} of ticket {ticket.hex()}"
                " before it",
            )
        return begun


def _asked(request: AggregateRequest) -> tuple[str, bytes, bytes, str]:
    return (
        request.bank,
        request.contract,
        request.question,
        quarter_of(request.iat_ms),
    )


def _in_force(versions: Iterable[tuple[int, T]], start_ms: int) -> T | None:
    """Return the newest that stood before a moment; else the first one."""
    found: T | None = None
    for number, (time_ms, version) in enumerate(versions):
        if number == 0 or time_ms < start_ms:
            found = version
    return found
