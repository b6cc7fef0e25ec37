"""Decision replay: does every permit and denial follow from the journal itself.

`Replay` reads the entries of one journal in order, rebuilds from them the
consents, the contracts and what was used and revealed (`contracts.rebuild`),
and takes every decision again with the function that took it
(`contracts.decide`).  What does not agree is a `Discrepancy` that names the
entry, the call and the reasons; reading goes on, and what the journal says was
permitted counts as released.

What is checked of an entry, in order:

 1. The time does not go back.
 2. The kind belongs to this journal and the body is what it holds
    (`contracts.bodies`).
 3. `call` is the hash of the request in the body, and what the body repeats of
    the request agrees with it.
 4. Permits (authority) and intents (house): a jti names one request, the
    request is within `SKEW_MS` of the entry, a ticket is taken once.
 5. Permits and intents: replay allows, with the entry's time as now.
 6. Permits: the bits; a repeat repeats an answer to the same
    bank about the same subject and contract.
 7. Denials: the reasons are exactly the replayed ones, and the public one is
    their first.  Reasons in `BEYOND_REPLAY` hang on signatures, ciphertexts and
    clocks that are not in the journal: they are counted apart, in
    `Counts.beyond`, and what stands beside them must be among the replayed.
 8. What ends a call (done, outcome, denied, result) follows its permit or
    intent.
 9. Consents, contracts and pushes: the state allows the step, and a contract is
    in force only when every custodian of its datasets approved it.
10. Serials of the trust domain rise, and are those that the one at hand follows; no
    caller signs with a key that it ended.

The entries of jobs are `contracts.job_replay`'s, those of statistics
`contracts.aggregate_replay`'s, those of intersections `contracts.psi_replay`'s, those
of private calls `contracts.private_replay`'s, those of ratings
`contracts.rating_replay`'s, those of functional replays `contracts.audit_replay`'s.

A consent that enters the journal after a call that names it is told as
GRANTED_AFTER_CALL, with the entry of the call.

With `keys`, every signed document is verified against the pinned key of the
party that it names (with `signers`, a party that may sign such a document), its
bytes must be canonical, and a ticket must rest on a seed of its own and on the
newest version of every dataset that its contract reads.  Without, signatures are
believed: whoever edits a journal cannot sign, but `tlog` finds the edit more
cheaply.

What replay cannot see: whether a subject is in the directory (the house's
denial with `UNKNOWN_SUBJECT` is counted as beyond replay); and, without
`openings`, that request and consent are about one subject: then the node's
pseudonyms are believed.

>>> from protocols.entry import Entry, Kind
>>> replay = Replay(Role.HOUSE)
>>> replay.feed(0, Entry(Kind.NODE_START, 1_000, "house", "", {}))
()
>>> (found,) = replay.feed(1, Entry(Kind.CALL_PERMIT, 999, "house", "", {}))[1:]
>>> print(found)
house entry 1: `call.permit` does not belong into the journal of the house
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from contracts import bodies, feedback
from contracts.aggregate_replay import AggregateReplay
from contracts.audit_replay import AuditReplay, Begun
from contracts.consent import Consent
from contracts.decide import (
    LIMITS,
    ORDER,
    UNKNOWN_SUBJECT,
    Ask,
    Decision,
    Finding,
    Limits,
    Quota,
    Reason,
    decide,
    public,
    quota,
)
from contracts.discrepancy import (
    BEYOND_REPLAY,
    JTI_KEPT_MS,
    SKEW_MS,
    Counts,
    Discrepancy,
    Mark,
    Role,
)
from contracts.errors import ContractError, DocumentInvalid
from contracts.inputs import basis
from contracts.job_replay import Books, JobReplay
from contracts.jtis import Jtis
from contracts.private_replay import PrivateReplay
from contracts.psi_replay import PsiReplay
from contracts.rating_replay import RatingReplay
from contracts.rebuild import Asker, Consents, Contracts, Pins, Spending, Standing
from protocols.call import (
    Denial,
    Opening,
    Request,
    Ticket,
    request_hash,
    ticket_hash,
)
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.errors import FormatError, ProtocolError, SignatureInvalid
from protocols.sign import Signed

__all__ = [
    "BEYOND_REPLAY",
    "JTI_KEPT_MS",
    "SKEW_MS",
    "Counts",
    "Discrepancy",
    "Mark",
    "Replay",
    "Role",
]


class Replay:
    """Replays one journal; `feed` it every entry in order."""

    def __init__(
        self,
        role: Role,
        limits: Limits = LIMITS,
        *,
        keys: Mapping[str, Sequence[Ed25519PublicKey]] | None = None,
        signers: Mapping[Tag, Collection[str]] | None = None,
        standing: Standing | None = None,
        openings: Iterable[Opening] | None = None,
    ) -> None:
        """Begin before entry 0.

        `keys` are the pinned signing keys by party id, `signers` who may sign
        what, `standing` who is in which class and in charge of which map;
        `openings` come from banks and registrars, for an auditor only.
        """
        self.counts = Counts()
        self._role = role
        self._pins = Pins(keys, signers, standing)
        self._consents = Consents(self._pins)
        self._contracts = Contracts(self._pins)
        self._spending = Spending(limits)
        self._limits = limits
        self._opened = (
            None
            if openings is None
            else {opening.commitment(): opening.subject_ref for opening in openings}
        )
        self._time_ms = 0
        self._jtis = Jtis()
        self._parcels: dict[tuple[str, str], int] = {}  # newest, by bank and custodian
        self._tickets: dict[bytes, Begun] = {}
        self._seeds: set[bytes] = set()  # commitments
        self._answered: set[Asker] = set()
        self._early: dict[str, list[tuple[int, str]]] = {}  # by unknown consent
        books = Books(
            role,
            self._pins,
            self._consents,
            self._contracts,
            self._spending,
            limits,
            self.counts,
        )
        self._jobs = JobReplay(books, self._note)
        self._aggregates = AggregateReplay(books, self._note)
        self._psi = PsiReplay(books, self._note)
        self._private = PrivateReplay(books, self._note)
        ratings = RatingReplay(books, self._note, self._asker)
        audits = AuditReplay(books, self._note, self._tickets.get, self._draw)
        others = (
            self._jobs,
            self._aggregates,
            self._psi,
            self._private,
            ratings,
            audits,
        )
        self._steps = self._table()
        for other in others:
            self._steps |= other.steps()
        self._serial = 0  # of the trust domain
        # The entry at hand:
        self._index = 0
        self._entry = Entry(Kind.NODE_START, 0, "", "", {})
        self._found: list[Discrepancy] = []

    def feed(self, index: int, entry: Entry) -> tuple[Discrepancy, ...]:
        """Replay one entry and return what does not agree; never raises on it."""
        self._index, self._entry, self._found = index, entry, []
        self._pins.at_ms = entry.time_ms
        self._jobs.at(index, entry)
        self._aggregates.at(entry)
        self._psi.at(index, entry)
        self._private.at(entry)
        self.counts.entries += 1
        # 1
        if entry.time_ms < self._time_ms:
            self._note(
                Mark.TIME_WENT_BACK,
                f"time goes back from {self._time_ms} to {entry.time_ms}",
            )
        else:
            self._time_ms = entry.time_ms
        # 2
        step = self._steps.get(entry.kind)
        if step is None:
            self._note(
                Mark.FOREIGN_KIND,
                f"`{entry.kind}` does not belong into the journal of the {self._role}",
            )
            return tuple(self._found)
        try:
            step(entry)
        except SignatureInvalid as error:
            self._note(Mark.SIGNATURE_INVALID, f"`{entry.kind}`: {error}")
        except ProtocolError as error:
            self._note(Mark.MALFORMED, f"`{entry.kind}`: {error}")
        except ContractError as error:
            self._note(Mark.STEP_REFUSED, f"`{entry.kind}`: {error}")
        return tuple(self._found)

    def _table(self) -> dict[Kind, Callable[[Entry], None]]:
        consents, contracts = self._consents, self._contracts
        both: dict[Kind, Callable[[Entry], None]] = {
            Kind.ADMIN_BASES: lambda e: contracts.bases(bodies.BasisRule.parse(e.body)),
            Kind.ADMIN_CLASSES: lambda e: consents.classes(
                bodies.Classes.parse(e.body)
            ),
            Kind.CALL_DENY: self._deny,
            Kind.CONSENT_APPROVAL: lambda e: consents.approve(
                bodies.BatchApproval.parse(e.body)
            ),
            Kind.CONSENT_BATCH: self._batch,
            Kind.CONSENT_GRANT: self._grant,
            # 9
            Kind.CONSENT_EVENT: lambda e: consents.event(bodies.Event.parse(e.body)),
            Kind.CONTRACT_SUBMIT: lambda e: contracts.submit(
                bodies.Submit.parse(e.body)
            ),
            Kind.CONTRACT_APPROVE: lambda e: contracts.approve(
                bodies.Approve.parse(e.body)
            ),
            Kind.CONTRACT_ACTIVATE: lambda e: contracts.activate(
                bodies.Activate.parse(e.body)
            ),
            Kind.CONTRACT_RETIRE: lambda e: contracts.retire(
                bodies.Retire.parse(e.body)
            ),
            Kind.DATA_REGISTER: lambda e: contracts.register(
                bodies.Register.parse(e.body)
            ),
            Kind.DATA_DIRECTORY: lambda e: contracts.directory(
                bodies.Directory.parse(e.body)
            ),
            Kind.KEY_DOMAIN: self._succeed,
            # Nothing follows from these.
            Kind.LOG_READ: lambda e: _discard(bodies.Read.parse(e.body)),
            Kind.NODE_CLOCK: lambda _: None,
            Kind.NODE_START: lambda _: None,
            Kind.NODE_STOP: lambda _: None,
        }
        if self._role is Role.AUTHORITY:
            return both | {Kind.CALL_PERMIT: self._permit, Kind.CALL_DONE: self._done}
        return both | {
            Kind.CALL_INTENT: self._intent,
            Kind.CALL_OUTCOME: self._outcome,
            Kind.CALL_DENIED: self._denied,
            Kind.CALL_RESULT: self._result,
            Kind.FEEDBACK_DESK: self._feedback_desk,
            Kind.FEEDBACK_PARCEL: self._feedback_parcel,
        }

    def _feedback_desk(self, entry: Entry) -> None:
        signed = bodies.FeedbackDesk.parse(entry.body).signed
        desk = feedback.Desk.parse(signed.payload)
        self._pins.verify(Tag.FEEDBACK_DESK, signed, desk.custodian)

    def _feedback_parcel(self, entry: Entry) -> None:
        signed = bodies.FeedbackParcel.parse(entry.body).signed
        parcel = feedback.Parcel.parse(signed.payload)
        self._pins.verify(Tag.FEEDBACK, signed, parcel.bank)
        way = parcel.bank, parcel.custodian
        if parcel.number != self._parcels.get(way, 0) + 1:
            raise DocumentInvalid(f"parcel {parcel.number} is not the next one")
        self._parcels[way] = parcel.number

    def _succeed(self, entry: Entry) -> None:
        """Follow the trust domain: serials rise, and are those of the one at hand."""
        body = bodies.Succession.parse(entry.body)
        serials = self._pins.standing.serials if self._pins.standing else ()
        if body.serial <= self._serial:
            raise DocumentInvalid("the serial of the trust domain does not rise")
        if serials and body.serial > len(serials):
            raise DocumentInvalid(
                f"serial {body.serial} of the trust domain, the one at hand is"
                f" {len(serials)}"
            )
        if serials and body.domain != serials[body.serial - 1]:
            raise DocumentInvalid(
                f"serial {body.serial} of the trust domain is not the one at hand's"
            )
        self._serial = body.serial

    def _permit(self, entry: Entry) -> None:
        body = bodies.Permit.parse(entry.body)
        request = self._request(body.request)
        if body.contract != request.contract or body.consent != request.consent:
            raise FormatError("contract or consent is not the request's")
        self._check_fresh(request, body.ticket)
        asker = Asker(request.bank, body.subject, request.contract)
        self._check_allowed(request, asker, self._check_bits(body, asker))
        self._spending.permit(
            asker,
            self._consents.find(body.consent),
            body.millibits,
            entry.time_ms,
            self._quota(asker),
        )
        self._tickets[body.ticket] = Begun(
            asker, entry.time_ms, self._index, repeat=bool(body.repeat_of)
        )
        self._answered.add(asker)

    def _intent(self, entry: Entry) -> None:
        body = bodies.Intent.parse(entry.body)
        request = self._request(body.request)
        ticket = ticket_hash(body.ticket.payload)
        root = self._check_ticket(body.ticket, request) if self._pins.given else b""
        self._check_fresh(request, ticket)
        asker = Asker(request.bank, body.subject, request.contract)
        self._check_allowed(request, asker, 0)
        self._tickets[ticket] = Begun(asker, entry.time_ms, self._index, root=root)

    def _deny(self, entry: Entry) -> None:
        body = bodies.Deny.parse(entry.body)
        self.counts.denials += 1
        # 7; empty means no, but a denial has to say why
        if not body.reasons or body.public is not public(body.reasons).reason:
            raise FormatError("the public reason is not the first of the reasons")
        logged = {finding.reason for finding in body.reasons}
        beyond = {
            finding.reason
            for finding in body.reasons
            if finding.reason in BEYOND_REPLAY
            or (self._role is Role.HOUSE and finding == _UNKNOWN_SUBJECT)
        }
        self.counts.beyond.update(beyond)
        if self._pins.given:
            self._check_denial(body)
        try:
            request = self._request(body.request, forged=bool(beyond))
        except FormatError:
            # What is not a request was denied as such: nothing to replay.
            if beyond and request_hash(body.request.payload).hex() == entry.call:
                return
            raise
        if (
            Reason.CLOCK_SKEW in beyond
            and abs(entry.time_ms - request.iat_ms) <= SKEW_MS
        ):
            self._note(
                Mark.DECISION_DIFFERS,
                f"denied for CLOCK_SKEW, but the request is within {SKEW_MS} ms",
                (Reason.CLOCK_SKEW,),
            )
        self._check_denied(request, body.subject, logged - beyond, partly=bool(beyond))

    # 8

    def _done(self, entry: Entry) -> None:
        body = bodies.Done.parse(entry.body)
        begun = self._check_begun(body.ticket)
        if begun is not None:
            tag = Tag.REPEAT_RECEIPT if begun.repeat else Tag.RECEIPT
            self._pins.verify(tag, body.receipt, entry.actor)

    def _outcome(self, entry: Entry) -> None:
        self._check_begun(bodies.Outcome.parse(entry.body).ticket)

    def _denied(self, entry: Entry) -> None:
        body = bodies.Denied.parse(entry.body)
        self._check_begun(body.ticket)
        if self._pins.given:
            denial = Denial.parse(body.denial.payload)
            self._pins.verify(Tag.DENIAL, body.denial, denial.by)
            if denial.request.hex() != entry.call:
                raise FormatError("the signed denial is of another call")

    def _result(self, entry: Entry) -> None:
        body = bodies.Result.parse(entry.body)
        begun = self._check_begun(body.ticket)
        if begun is not None:
            self._pins.verify(Tag.COMMIT_RESULT, body.result, begun.asker.bank)

    def _asker(self, ticket: bytes) -> Asker | None:
        begun = self._tickets.get(ticket)
        return None if begun is None else begun.asker

    def _check_begun(self, ticket: bytes) -> "Begun | None":
        begun = self._tickets.get(ticket)
        if begun is None:
            house = self._role is Role.HOUSE
            self._note(
                Mark.NO_INTENT if house else Mark.NO_PERMIT,
                f"no {'intent' if house else 'permit'} of ticket {ticket.hex()}"
                " before it",
            )
        return begun

    def _grant(self, entry: Entry) -> None:
        consent = self._consents.grant(bodies.Grant.parse(entry.body))
        self._check_superseded(consent)
        self._check_early(consent.consent_id)

    def _batch(self, entry: Entry) -> None:
        for name, *_ in self._consents.batch(bodies.Batch.parse(entry.body)).own:
            self._check_early(name)

    def _check_early(self, consent_id: str) -> None:
        for index, call in self._early.pop(consent_id, ()):
            self._found.append(
                Discrepancy(
                    self._role,
                    index,
                    call,
                    Mark.GRANTED_AFTER_CALL,
                    f"permitted under consent `{consent_id}`, which enters the"
                    f" journal only with entry {self._index}",
                    (Reason.GRANTED_AFTER_CALL,),
                )
            )

    def _check_superseded(self, consent: Consent) -> None:
        old = self._consents.find(consent.supersedes)
        if old is None or self._opened is None:
            return
        ours = self._opened.get(consent.subject)
        theirs = self._opened.get(old.grant.consent.subject)
        if ours is None or theirs is None:
            self.counts.unopened += 1
        elif ours != theirs:
            self._note(
                Mark.SUBJECTS_DIFFER,
                f"consent `{consent.consent_id}` and `{consent.supersedes}`, which it"
                " supersedes, are about two subjects",
            )

    def _request(self, signed: Signed, *, forged: bool = False) -> Request:
        """Read the request; `forged` where it may have been denied as that."""
        # 3
        if request_hash(signed.payload).hex() != self._entry.call:
            raise FormatError("`call` is not the hash of the request")
        request = bodies.read_request(signed.payload)
        if not forged:
            self._pins.verify(Tag.REQUEST, signed, request.bank)
        return request

    def _check_fresh(self, request: Request, ticket: bytes) -> None:
        # 4
        call, now_ms = self._entry.call, self._entry.time_ms
        earlier = self._jtis.take(request, call, now_ms)
        if earlier:
            other = "this call already" if earlier == call else f"call {earlier}"
            self._note(
                Mark.JTI_REUSED,
                f"jti {request.jti.hex()} of `{request.bank}` was used by {other}",
                (Reason.REPLAY_MISMATCH,),
            )
        if abs(now_ms - request.iat_ms) > SKEW_MS:
            self._note(
                Mark.CLOCK_SKEW,
                f"the request of {request.iat_ms} was taken at {now_ms}",
                (Reason.CLOCK_SKEW,),
            )
        if ticket in self._tickets:
            self._note(Mark.TICKET_REUSED, f"ticket {ticket.hex()} was taken before")

    def _check_allowed(self, request: Request, asker: Asker, spends: int) -> None:
        # 5
        self.counts.permits += 1
        decision = self._decide(request, asker, spends)
        if not decision.allow:
            self._note(
                Mark.DECISION_DIFFERS,
                f"permitted, but replay {decision}",
                tuple(finding.reason for finding in decision.reasons),
            )
        state = self._consents.find(request.consent)
        if state is None:
            self._early.setdefault(request.consent, []).append(
                (self._index, self._entry.call)
            )
        elif self._opened is not None:
            asked = self._opened.get(request.subject)
            granted = self._opened.get(state.grant.consent.subject)
            if asked is None or granted is None:
                self.counts.unopened += 1
            elif asked != granted:
                self._note(
                    Mark.SUBJECTS_DIFFER,
                    f"request and consent `{request.consent}` are about two subjects",
                    (Reason.NO_CONSENT,),
                )

    def _check_denied(
        self, request: Request, subject: bytes, logged: set[Reason], *, partly: bool
    ) -> None:
        # 7; `partly`: what failed before the decision was taken left it out
        asker = Asker(request.bank, subject, request.contract)
        terms = self._contracts.terms(request.contract)
        decision = self._decide(request, asker, terms.millibits if terms else 0)
        decisions = [decision]
        if asker in self._answered:
            # A denial does not say whether the call would have been a repeat.
            decisions.append(self._decide(request, asker, 0))
        for possible in decisions:
            replayed = {finding.reason for finding in possible.reasons}
            if logged == replayed or (partly and logged <= replayed):
                return
        reasons = sorted(logged, key=ORDER.__getitem__)
        self._note(
            Mark.DECISION_DIFFERS,
            f"denied for {', '.join(reasons)}, but replay {decision}",
            tuple(finding.reason for finding in decision.reasons) or tuple(reasons),
        )

    def _decide(self, request: Request, asker: Asker, spends: int) -> Decision:
        state = self._consents.find(request.consent)
        now_ms = self._entry.time_ms
        usage = None
        if self._role is Role.AUTHORITY:
            counted = self._quota(asker)
            usage = self._spending.usage(asker, state, now_ms, counted)
        return decide(
            Ask(
                request.bank,
                request.purpose,
                asker.subject,
                request.consent,
                spends,
                request.kind,
            ),
            self._contracts.terms(request.contract),
            None if state is None else state.grant,
            usage,
            now_ms,
            self._limits,
        )

    def _quota(self, asker: Asker) -> Quota | None:
        terms = self._contracts.terms(asker.contract)
        return quota(terms, asker.bank, self._limits)

    def _check_bits(self, body: bodies.Permit, asker: Asker) -> int:
        """Return what the permit should have spent."""
        # 6
        terms = self._contracts.terms(asker.contract)
        spends = terms.millibits if terms else body.millibits
        if body.repeat_of:
            earlier = self._tickets.get(body.repeat_of)
            if (
                earlier is not None
                and (terms is None or not terms.kind.shared)
                and earlier.asker == asker
                and not earlier.repeat
                and self._entry.time_ms - earlier.time_ms < self._limits.window_ms
            ):
                spends = 0
            else:
                self._note(
                    Mark.REPEAT_UNFOUNDED,
                    f"repeats ticket {body.repeat_of.hex()}, which is no counted answer"
                    f" to `{asker.bank}` about this subject and contract",
                )
        if body.millibits != spends:
            self._note(
                Mark.BITS_DIFFER,
                f"spends {body.millibits} millibits, expected {spends}",
            )
        return spends

    def _check_ticket(self, signed: Signed, request: Request) -> bytes:
        """Return the root of the ticket's inputs."""
        self._pins.verify(Tag.TICKET, signed, self._entry.actor)
        ticket = Ticket.parse(signed.payload)
        if (
            ticket.request.hex() != self._entry.call
            or ticket.contract != request.contract
        ):
            raise FormatError("the ticket is for another request or contract")
        terms = self._contracts.terms(ticket.contract)
        reads = [] if terms is None else [data.dataset for data in terms.datasets]
        if terms is not None and [item.dataset for item in ticket.inputs] != reads:
            raise FormatError("the ticket is on other datasets than its contract's")
        for item in ticket.inputs:
            newest = self._contracts.newest(item.dataset)
            if (item.version, item.row_map_root) != basis(newest, ticket.block):
                self._note(
                    Mark.STALE_INPUT,
                    f"rests on version {item.version} of `{item.dataset}`, which is"
                    " not the newest push before it",
                    (Reason.STALE_DATA,),
                )
        # Under one mask, two contracts' totals would show their difference.
        if ticket.seed:
            self._draw(ticket.seed)
        earlier = self._tickets.get(ticket.repeat_of)
        if ticket.repeat_of and (earlier is None or earlier.root != ticket.root):
            self._note(
                Mark.REPEAT_UNFOUNDED,
                f"repeats ticket {ticket.repeat_of.hex()}, which is not on these data",
            )
        return ticket.root

    def _draw(self, seed: bytes) -> None:
        if seed in self._seeds:
            self._note(Mark.SEED_REUSED, f"seed {seed.hex()} was drawn before")
        self._seeds.add(seed)

    def _check_denial(self, body: bodies.Deny) -> None:
        self._pins.verify(Tag.DENIAL, body.denial, self._entry.actor)
        denial = Denial.parse(body.denial.payload)
        if (
            denial.request.hex() != self._entry.call
            or denial.reason != body.public
            or denial.reasons != bodies.reasons_digest(body.salt, body.reasons)
        ):
            raise FormatError("the signed denial is another one")

    def _note(self, mark: Mark, message: str, reasons: tuple[Reason, ...] = ()) -> None:
        self._found.append(
            Discrepancy(
                self._role, self._index, self._entry.call, mark, message, reasons
            )
        )


_UNKNOWN_SUBJECT = Finding(Reason.NO_CONSENT, UNKNOWN_SUBJECT)


def _discard(_read: bodies.Read) -> None:
    """Nothing follows from a reading but that it was well formed."""
