"""Decision replay of functional replays: the journal's `audit.*` entries.

 1. `audit.intent`, `audit.permit`: two auditors signed the request, and not long ago;
    it names a call that began before it, where it says, and no repeat; the entry names
    the same subject, and a consent of that subject.
 2. `audit.intent`: the house signed the ticket, for this request, on the call's own
    inputs, under a seed that was not drawn before.
 3. Replay allows it (`contracts.audits`), with the entry's time as now.
 4. `audit.deny`: the reasons are the replayed ones, and the public one is the first.
 5. `audit.done`, `audit.outcome`, `audit.denied` follow their permit or intent.

A call is computed once for an auditor: at the house what the authority refused does not
count.  That the bank had committed, and that the slot is the call's, the journal of one
entry does not show: whoever asked compares both (`node.functional`).
"""

from collections.abc import Callable
from typing import NamedTuple

from contracts import audit_bodies, audits, bodies
from contracts.decide import Finding, Reason, public
from contracts.discrepancy import BEYOND_REPLAY, SKEW_MS, Mark, Role
from contracts.job_replay import Books, Note
from contracts.rebuild import Asker
from protocols.audit_call import AuditRequest, audit_hash
from protocols.call import Denial, Ticket, ticket_hash
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.errors import FormatError
from protocols.sign import Signed


class Begun(NamedTuple):
    """A call that was permitted, or intended."""

    asker: Asker
    time_ms: int
    entry: int  # its index
    repeat: bool = False
    root: bytes = b""  # of its inputs, if the ticket was read


class AuditReplay:
    """Replays the `audit.*` entries of one journal."""

    def __init__(
        self,
        books: Books,
        note: Note,
        begun: Callable[[bytes], Begun | None],
        draw: Callable[[bytes], None],
    ) -> None:
        """Take what finds a call by its ticket, and what notes a drawn seed."""
        self._books = books
        self._note = note
        self._begun = begun
        self._draw = draw
        self._tickets: dict[bytes, bytes] = {}  # the call, by the audit's ticket
        self._audited: set[bytes] = set()  # calls
        self._times: list[int] = []

    def steps(self) -> dict[Kind, Callable[[Entry], None]]:
        """List the kinds of this journal and what replays them."""
        if self._books.role is Role.AUTHORITY:
            return {
                Kind.AUDIT_DENY: self._deny,
                Kind.AUDIT_PERMIT: self._permit,
                Kind.AUDIT_DONE: self._done,
            }
        return {
            Kind.AUDIT_DENY: self._deny,
            Kind.AUDIT_INTENT: self._intent,
            Kind.AUDIT_OUTCOME: self._outcome,
            Kind.AUDIT_DENIED: self._denied,
        }

    # -- 1 to 3

    def _permit(self, entry: Entry) -> None:
        body = audit_bodies.Permit.parse(entry.body)
        request = self._request(entry, body.request, body.second)
        self._begin(entry, request, body)
        self._tickets[body.ticket] = request.call

    def _intent(self, entry: Entry) -> None:
        body = audit_bodies.Intent.parse(entry.body)
        request = self._request(entry, body.request, body.second)
        begun = self._begin(entry, request, body)
        self._tickets[ticket_hash(body.ticket.payload)] = request.call
        self._books.pins.verify(Tag.TICKET, body.ticket, entry.actor)
        ticket = Ticket.parse(body.ticket.payload)
        if ticket.request.hex() != entry.call or ticket.repeat_of:
            raise FormatError("the ticket is for another request")
        if begun is not None and begun.root:
            told = ticket.contract, ticket.root
            if told != (begun.asker.contract, begun.root):
                self._note(
                    Mark.STALE_INPUT,
                    "computed on other data than the call",
                    (Reason.TICKET_INVALID,),
                )
        self._draw(ticket.seed)

    def _request(
        self, entry: Entry, signed: Signed, second: Signed, *, forged: bool = False
    ) -> AuditRequest:
        """Read the request; `forged` where it may have been denied as that."""
        if audit_hash(signed.payload).hex() != entry.call:
            raise FormatError("`call` is not the hash of the request")
        request = AuditRequest.parse(signed.payload)
        if forged:
            return request
        if second.payload != signed.payload or request.second == request.auditor:
            raise FormatError("not two auditors signed the request")
        self._books.pins.verify(Tag.AUDIT_REQUEST, signed, request.auditor)
        self._books.pins.verify(Tag.AUDIT_SECOND, second, request.second)
        return request

    def _begin(
        self,
        entry: Entry,
        request: AuditRequest,
        body: audit_bodies.Permit | audit_bodies.Intent,
    ) -> Begun | None:
        now_ms = entry.time_ms
        if not now_ms - audits.ASKED_MS <= request.asked_ms <= now_ms + SKEW_MS:
            self._note(
                Mark.CLOCK_SKEW,
                f"the request of {request.asked_ms} was taken at {now_ms}",
                (Reason.CLOCK_SKEW,),
            )
        begun = self._found(request)
        if begun is None:
            house = self._books.role is Role.HOUSE
            self._note(
                Mark.NO_INTENT if house else Mark.NO_PERMIT,
                f"computed again without a call of ticket {request.ticket.hex()}",
                (Reason.INTENT_UNPROVEN,),
            )
        else:
            self._check_subject(begun, body)
            found = self._findings(entry, begun, request, body.consent)
            if found:
                self._note(
                    Mark.DECISION_DIFFERS,
                    f"permitted, but replay denies: {'; '.join(map(str, found))}",
                    tuple(finding.reason for finding in found),
                )
        self._audited.add(request.call)
        self._times.append(now_ms)
        return begun

    def _found(self, request: AuditRequest) -> Begun | None:
        begun = self._begun(request.ticket)
        house = self._books.role is Role.HOUSE
        index = request.intent if house else request.permit
        fits = begun is not None and begun.entry == index and not begun.repeat
        return begun if fits else None

    def _check_subject(
        self, begun: Begun, body: audit_bodies.Permit | audit_bodies.Intent
    ) -> None:
        state = self._books.consents.find(body.consent)
        named = {body.subject} if state is None else {body.subject, state.grant.subject}
        if named != {begun.asker.subject}:
            self._note(
                Mark.SUBJECTS_DIFFER, "the call was about another subject than named"
            )

    def _findings(
        self, entry: Entry, begun: Begun, request: AuditRequest, consent: str
    ) -> list[Finding]:
        state, limits = self._books.consents.find(consent), self._books.limits
        since_ms = entry.time_ms - limits.window_ms
        authority = self._books.role is Role.AUTHORITY
        return audits.findings(
            self._books.contracts.terms(begun.asker.contract),
            None if state is None else state.grant,
            audited=request.call in self._audited,
            before=sum(at > since_ms for at in self._times) if authority else 0,
            limits=limits,
        )

    # -- 4

    def _deny(self, entry: Entry) -> None:
        body = audit_bodies.Deny.parse(entry.body)
        self._books.counts.denials += 1
        if not body.reasons or body.public is not public(body.reasons).reason:
            raise FormatError("the public reason is not the first of the reasons")
        logged = {finding.reason for finding in body.reasons}
        beyond = logged & BEYOND_REPLAY
        self._books.counts.beyond.update(beyond)
        if self._books.pins.given:
            self._check_denial(entry, body)
        request = self._request(entry, body.request, body.second, forged=bool(beyond))
        begun = self._found(request)
        found = []
        if begun is not None:
            found = self._findings(entry, begun, request, body.consent)
        replayed = {finding.reason for finding in found}
        if logged - beyond == replayed or (beyond and logged - beyond <= replayed):
            return
        told = "; ".join(map(str, found))
        self._note(
            Mark.DECISION_DIFFERS,
            f"denied for {', '.join(sorted(logged))}, but replay"
            + (f" denies: {told}" if told else " allows"),
            tuple(finding.reason for finding in found) or tuple(sorted(logged)),
        )

    def _check_denial(self, entry: Entry, body: audit_bodies.Deny) -> None:
        self._books.pins.verify(Tag.DENIAL, body.denial, entry.actor)
        denial = Denial.parse(body.denial.payload)
        if (
            denial.request.hex() != entry.call
            or denial.reason != body.public
            or denial.reasons != bodies.reasons_digest(body.salt, body.reasons)
        ):
            raise FormatError("the signed denial is another one")

    # -- 5

    def _done(self, entry: Entry) -> None:
        body = audit_bodies.Done.parse(entry.body)
        self._check_begun(body.ticket)
        self._books.pins.verify(Tag.RECEIPT, body.receipt, entry.actor)

    def _outcome(self, entry: Entry) -> None:
        self._check_begun(audit_bodies.Outcome.parse(entry.body).ticket)

    def _denied(self, entry: Entry) -> None:
        body = audit_bodies.Denied.parse(entry.body)
        self._check_begun(body.ticket)
        self._audited.discard(self._tickets.get(body.ticket, b""))
        if self._books.pins.given:
            denial = Denial.parse(body.denial.payload)
            self._books.pins.verify(Tag.DENIAL, body.denial, denial.by)
            if denial.request.hex() != entry.call:
                raise FormatError("the signed denial is of another request")

    def _check_begun(self, ticket: bytes) -> None:
        if ticket not in self._tickets:
            house = self._books.role is Role.HOUSE
            self._note(
                Mark.NO_INTENT if house else Mark.NO_PERMIT,
                f"nothing before it allows ticket {ticket.hex()}",
            )
