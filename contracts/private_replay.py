"""Decision replay of private calls (`protocols.private_call`).

The journals' `private.*` entries, with the registers that `contracts.replay` rebuilds.

 1. `private.intent` (house): the bank signed the request, it is fresh, its jti names
    this call only; *every* candidate may be asked about, with the entry's time as now;
    the ticket is the house's, with a place for every candidate, on a seed of its own
    and on the newest version of every dataset.
 2. `private.permit` (authority): likewise for the one who is meant, with uses and bits,
    which are counted together with those of other calls.
 3. `private.deny`: the reasons are the replayed ones: in the house's journal those of
    all candidates, in the authority's those of the contract.  Beside them stand only
    such as `_BEYOND` lists for this journal; a stale request is stale; the house names
    every candidate, unless it did not look into the request.
 4. `private.refuse` (authority): the reasons are those against the one who is meant.
 5. `private.done` follows a permit or a refusal of its ticket, `private.outcome`,
    `private.denied` and `private.result` an intent.

That the one who was permitted is among those who were asked about is
`contracts.cross_check`'s.  What replay cannot see: whether the pseudonyms are those of
the bank's list, which only its root binds; whether a subject is in the directory, so
that a house may refuse a list for a stranger whom it has; and what lies in bytes that
no journal has: signatures that do not hold, a jti that was refused before, errors.
These refusals are counted.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from contracts import bodies, private_bodies
from contracts.decide import (
    UNKNOWN_SUBJECT,
    Ask,
    Finding,
    Reason,
    decide,
    decide_job,
    public,
    quota,
)
from contracts.discrepancy import SKEW_MS, Mark, Role
from contracts.inputs import NOTHING
from contracts.job_replay import Books, Note
from contracts.jtis import Jtis
from contracts.private_bodies import Named
from contracts.rebuild import Asker
from protocols.call import Denial
from protocols.canon import Tag, digest
from protocols.entry import Entry, Kind
from protocols.errors import FormatError
from protocols.private_call import PrivateRequest, PrivateSealed, PrivateTicket
from protocols.sign import Signed

# What a node may say that its journal does not bear out.
_BEYOND: Final = {
    (Role.HOUSE, Kind.PRIVATE_DENY): {
        Reason.REPLAY_MISMATCH,
        Reason.CLOCK_SKEW,
        Reason.SIGNATURE_INVALID,
        Reason.INTERNAL,
    },
    (Role.AUTHORITY, Kind.PRIVATE_DENY): {
        Reason.REPLAY_MISMATCH,
        Reason.CLOCK_SKEW,
        Reason.SIGNATURE_INVALID,
        Reason.TICKET_INVALID,
        Reason.MESSAGE_INVALID,
        Reason.INTENT_UNPROVEN,
        Reason.INTERNAL,
    },
    (Role.AUTHORITY, Kind.PRIVATE_REFUSE): {Reason.TICKET_INVALID, Reason.INTERNAL},
}
_NOT_LOOKED_INTO: Final = {Reason.SIGNATURE_INVALID, Reason.REPLAY_MISMATCH}


class _Begun(NamedTuple):
    """A call that was intended, permitted or refused sealed."""

    call: str
    bank: str


class PrivateReplay:
    """Replays the `private.*` entries of one journal."""

    def __init__(self, books: Books, note: Note) -> None:
        self._books = books
        self._note = note
        self._tickets: dict[bytes, _Begun] = {}
        self._jtis = Jtis()
        self._seeds: set[bytes] = set()
        self._entry = Entry(Kind.NODE_START, 0, "", "", {})

    def steps(self) -> dict[Kind, Callable[[Entry], None]]:
        """List the kinds of this journal and what replays them."""
        both: dict[Kind, Callable[[Entry], None]] = {Kind.PRIVATE_DENY: self._deny}
        if self._books.role is Role.AUTHORITY:
            return both | {
                Kind.PRIVATE_DONE: self._done,
                Kind.PRIVATE_PERMIT: self._permit,
                Kind.PRIVATE_REFUSE: self._refuse,
            }
        return both | {
            Kind.PRIVATE_DENIED: self._denied,
            Kind.PRIVATE_INTENT: self._intent,
            Kind.PRIVATE_OUTCOME: self._outcome,
            Kind.PRIVATE_RESULT: self._result,
        }

    def at(self, entry: Entry) -> None:
        """Say which entry is replayed next."""
        self._entry = entry

    # -- 1

    def _intent(self, entry: Entry) -> None:
        body = private_bodies.Intent.parse(entry.body)
        request = self._request(body.request)
        self._books.pins.verify(Tag.PRIVATE_TICKET, body.ticket, entry.actor)
        ticket = PrivateTicket.parse(body.ticket.payload)
        if (ticket.request.hex(), ticket.contract) != (entry.call, request.contract):
            raise FormatError("the ticket is for another call")
        places = len(set(ticket.places))
        if not places == len(ticket.places) == len(body.subjects) == request.count:
            raise FormatError("expected a place and a name for every candidate")
        self._check_places(ticket)
        self._check_inputs(ticket)
        self._begin(request, ticket.hash, self._against_any(request, body.subjects))

    def _check_places(self, ticket: PrivateTicket) -> None:
        contracts = self._books.contracts
        compiled = contracts.compiled(ticket.contract)
        manifests = [contracts.newest(basis.dataset) for basis in ticket.bases]
        if compiled is None:
            return
        for newest in manifests:
            if newest is None:
                continue
            seats = contracts.row_map(compiled.subject_type, newest.directory_version)
            if seats is not None and any(s >= seats.slots for _, s in ticket.places):
                raise FormatError("a place outside its block")

    def _check_inputs(self, ticket: PrivateTicket) -> None:
        terms = self._books.contracts.terms(ticket.contract)
        reads = [] if terms is None else [data.dataset for data in terms.datasets]
        if terms is not None and [basis.dataset for basis in ticket.bases] != reads:
            raise FormatError("the ticket is on other datasets than its contract's")
        for basis in ticket.bases:
            newest = self._books.contracts.newest(basis.dataset)
            expected = (
                (0, NOTHING)
                if newest is None
                else (newest.version, newest.row_map_root)
            )
            if (basis.version, basis.row_map_root) != expected:
                self._note(
                    Mark.STALE_INPUT,
                    f"rests on version {basis.version} of `{basis.dataset}`, which is"
                    " not the newest push before it",
                    (Reason.STALE_DATA,),
                )
        if ticket.seed in self._seeds:
            self._note(Mark.SEED_REUSED, f"seed {ticket.seed.hex()} was drawn before")
        self._seeds.add(ticket.seed)

    def _begin(
        self, request: PrivateRequest, ticket: bytes, findings: Iterable[Finding]
    ) -> None:
        self._books.counts.permits += 1
        call, now_ms = self._entry.call, self._entry.time_ms
        earlier = self._jtis.take(request, call, now_ms)
        if earlier:
            self._note(
                Mark.JTI_REUSED,
                f"jti {request.jti.hex()} of `{request.bank}` was used by call"
                f" {earlier}",
                (Reason.REPLAY_MISMATCH,),
            )
        if ticket in self._tickets:
            self._note(Mark.TICKET_REUSED, f"ticket {ticket.hex()} was taken before")
        if abs(now_ms - request.iat_ms) > SKEW_MS:
            self._note(
                Mark.CLOCK_SKEW,
                f"the request of {request.iat_ms} was taken at {now_ms}",
                (Reason.CLOCK_SKEW,),
            )
        reasons = {finding.reason for finding in findings}
        if reasons:
            self._note(
                Mark.DECISION_DIFFERS,
                f"permitted, but replay denies: {', '.join(sorted(reasons))}",
                tuple(sorted(reasons)),
            )
        self._tickets[ticket] = _Begun(call, request.bank)

    # -- 2

    def _permit(self, entry: Entry) -> None:
        body = private_bodies.Permit.parse(entry.body)
        request = self._request(body.request)
        if body.contract != request.contract or body.entry >= request.count:
            raise FormatError("contract or candidate is not the request's")
        findings = self._against(request, Named(body.subject, body.consent))
        self._begin(request, body.ticket, findings)
        terms = self._books.contracts.terms(request.contract)
        if terms is not None and body.millibits != terms.millibits:
            self._note(
                Mark.BITS_DIFFER,
                f"spends {body.millibits} millibits, expected {terms.millibits}",
            )
        self._books.spending.permit(
            Asker(request.bank, body.subject, request.contract),
            self._books.consents.find(body.consent),
            body.millibits,
            entry.time_ms,
            quota(terms, request.bank, self._books.limits),
        )

    # -- 3, 4

    def _deny(self, entry: Entry) -> None:
        body = private_bodies.Deny.parse(entry.body)
        reasons = self._told(body)
        request = self._request(
            body.request, forged=Reason.SIGNATURE_INVALID in reasons
        )
        fresh = abs(entry.time_ms - request.iat_ms) <= SKEW_MS
        if Reason.CLOCK_SKEW in reasons and fresh:
            self._note(
                Mark.DECISION_DIFFERS,
                f"denied for CLOCK_SKEW, but the request is within {SKEW_MS} ms",
                (Reason.CLOCK_SKEW,),
            )
        if self._books.role is Role.AUTHORITY:
            if body.subjects:
                raise FormatError("the authority's denial names candidates")
            terms = self._books.contracts.terms(request.contract)
            replayed = decide_job(
                request.bank, request.purpose, terms, request.kind
            ).reasons
        elif body.subjects or not reasons <= _NOT_LOOKED_INTO:
            if len(body.subjects) != request.count:
                raise FormatError("expected a name for every candidate")
            replayed = self._against_any(request, body.subjects)
        else:
            replayed = ()
        self._compare(body.reasons, replayed)

    def _refuse(self, entry: Entry) -> None:
        body = private_bodies.Refuse.parse(entry.body)
        reasons = self._told(body)
        request = self._request(body.request)
        if bool(body.subject) is (Reason.TICKET_INVALID in reasons):
            raise FormatError("a secret that does not open names nobody, another one")
        replayed: tuple[Finding, ...] = ()
        if body.subject:
            replayed = self._against(request, Named(body.subject, body.consent))
        self._compare(body.reasons, replayed)
        self._tickets[body.ticket] = _Begun(entry.call, request.bank)

    def _told(self, body: private_bodies.Deny | private_bodies.Refuse) -> set[Reason]:
        """Check what was told; return the reasons."""
        self._books.counts.denials += 1
        if not body.reasons or body.public is not public(body.reasons).reason:
            raise FormatError("the public reason is not the first of the reasons")
        pins = self._books.pins
        if pins.given:
            pins.verify(Tag.DENIAL, body.denial, self._entry.actor)
            denial = Denial.parse(body.denial.payload)
            if (denial.request.hex(), denial.reason) != (self._entry.call, body.public):
                raise FormatError("the signed denial is another one")
            if denial.reasons != bodies.reasons_digest(body.salt, body.reasons):
                raise FormatError("the signed denial has other reasons")
        self._books.counts.beyond.update(
            {finding.reason for finding in body.reasons if self._is_beyond(finding)}
        )
        return {finding.reason for finding in body.reasons}

    def _is_beyond(self, finding: Finding) -> bool:
        """Tell whether no journal bears a finding out, as this node may say it."""
        house = self._books.role is Role.HOUSE
        if house and finding.reason is Reason.NO_CONSENT:
            return finding.detail.startswith(UNKNOWN_SUBJECT)
        return finding.reason in _BEYOND[self._books.role, self._entry.kind]

    def _compare(self, logged: Sequence[Finding], replayed: Iterable[Finding]) -> None:
        """Compare what was said with what replay finds, beyond which is beside it."""
        all_said = {finding.reason for finding in logged}
        said = {f.reason for f in logged if not self._is_beyond(f)}
        found = {finding.reason for finding in replayed}
        if said == found or all_said == {Reason.INTERNAL}:  # it did not decide
            return
        self._note(
            Mark.DECISION_DIFFERS,
            f"denied for {', '.join(sorted(said)) or 'nothing else'}, but replay finds"
            f" {', '.join(sorted(found)) or 'nothing'}",
            tuple(sorted(found)) or tuple(sorted(said)),
        )

    # -- 5

    def _done(self, entry: Entry) -> None:
        body = private_bodies.Done.parse(entry.body)
        if self._followed(body.ticket) is None:
            return
        self._books.pins.verify(Tag.PRIVATE_SEALED, body.sealed, entry.actor)
        if PrivateSealed.parse(body.sealed.payload).ticket != body.ticket:
            raise FormatError("sealed for another ticket")

    def _outcome(self, entry: Entry) -> None:
        self._followed(private_bodies.Outcome.parse(entry.body).ticket)

    def _denied(self, entry: Entry) -> None:
        body = private_bodies.Denied.parse(entry.body)
        self._followed(body.ticket)
        pins = self._books.pins
        if pins.given:
            denial = Denial.parse(body.denial.payload)
            pins.verify(Tag.DENIAL, body.denial, denial.by)
            if denial.request.hex() != entry.call:
                raise FormatError("the signed denial is of another call")

    def _result(self, entry: Entry) -> None:
        body = private_bodies.Result.parse(entry.body)
        begun = self._followed(body.ticket)
        if begun is not None:
            self._books.pins.verify(Tag.COMMIT_RESULT, body.result, begun.bank)

    def _followed(self, ticket: bytes) -> _Begun | None:
        begun = self._tickets.get(ticket)
        if begun is None or begun.call != self._entry.call:
            house = self._books.role is Role.HOUSE
            self._note(
                Mark.NO_INTENT if house else Mark.NO_PERMIT,
                f"no {'intent' if house else 'permit'} of ticket {ticket.hex()}"
                " before it",
            )
            return None
        return begun

    # -- the request, and what is against it

    def _request(self, signed: Signed, *, forged: bool = False) -> PrivateRequest:
        if digest(Tag.PRIVATE_REQUEST, signed.payload).hex() != self._entry.call:
            raise FormatError("`call` is not the hash of the request")
        request = private_bodies.read_request(signed.payload)
        if not forged:
            self._books.pins.verify(Tag.PRIVATE_REQUEST, signed, request.bank)
        return request

    def _against_any(
        self, request: PrivateRequest, subjects: Iterable[Named]
    ) -> tuple[Finding, ...]:
        return tuple(
            finding for named in subjects for finding in self._against(request, named)
        )

    def _against(self, request: PrivateRequest, named: Named) -> tuple[Finding, ...]:
        books, now_ms = self._books, self._entry.time_ms
        terms = books.contracts.terms(request.contract)
        state = books.consents.find(named.consent)
        usage, spends = None, 0
        if books.role is Role.AUTHORITY:
            asker = Asker(request.bank, named.subject, request.contract)
            counted = quota(terms, request.bank, books.limits)
            usage = books.spending.usage(asker, state, now_ms, counted)
            spends = 0 if terms is None else terms.millibits
        return decide(
            Ask(
                request.bank,
                request.purpose,
                named.subject,
                named.consent,
                spends,
                request.kind,
            ),
            terms,
            None if state is None else state.grant,
            usage,
            now_ms,
            books.limits,
        ).reasons
