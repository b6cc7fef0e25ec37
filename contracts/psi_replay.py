"""Decision replay of intersections: every session follows from the journal, too.

The journals' `psi.*` entries, with the registers that `contracts.replay` rebuilds.

 1. `psi.list`: its custodian signed it, the dataset is registered as a list of theirs,
    with this schema, and it is the next version.  In the authority's journal its
    consents follow (`psi.consents`), in order, as many as entries and as signed.
 2. `psi.intent`, `psi.permit`: the bank signed the request, it is fresh, its jti names
    this session only; replay allows it (`contracts.sessions`), with the entry's time as
    now: contract, list, cap, quota.  The ticket is the house's, on a seed of its own.
 3. `psi.permit`: the entries left out are exactly those without a consent in force.
 4. `psi.deny`: the reasons are the replayed ones, and the public one is the first.
 5. `psi.done`, `psi.outcome`, `psi.denied`, `psi.result` follow their session; a
    receipt leaves out what the permit left out.  Rule 5 of `contracts.sessions` allows
    a `psi.done` and a `psi.count`, and does not where a `psi.deny` stands after the
    permit, unless that only refuses to permit the session again.
 6. `psi.count`: of a count, after its `psi.done`, once; `psi.counted` likewise.

The quota is a journal's own: the authority counts what it permitted, the house what it
intended and the authority did not refuse.

What replay cannot see: the points.  That the house multiplied the list that stands
here by the scalar that its seed gives is for who opens the seed
(`contracts.psi_transcript`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from contracts import bodies, psi_bodies, sessions
from contracts.contract import ContractKind
from contracts.dataset import Tier
from contracts.decide import Finding, Reason, decide_job, denied, public
from contracts.discrepancy import BEYOND_REPLAY, SKEW_MS, Mark, Role
from contracts.errors import DocumentInvalid
from contracts.intersection import CompiledIntersection
from contracts.job_replay import Books, Note
from contracts.sessions import SessionTerms, Whose
from protocols.call import Denial
from protocols.canon import Tag, digest
from protocols.entry import Entry, Kind
from protocols.errors import FormatError
from protocols.psi import Mode, Runs
from protocols.psi_call import (
    ListManifest,
    PsiCount,
    PsiReceipt,
    PsiRequest,
    PsiReturn,
    PsiTicket,
    consents_root,
)
from protocols.sign import Signed

# Beyond replay, and yet a reason to end a session; for the others beyond it, another
# demand under the session's name is refused.
_ENDING: Final = frozenset({Reason.STALE_DATA, Reason.INTERNAL})


@dataclass(slots=True)
class _List:
    """A version of a list, and, at the authority, the consents of its entries."""

    manifest: ListManifest
    consents: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Session:
    """A session that may run."""

    name: str
    request: PsiRequest
    list: str
    time_ms: int
    dropped: Runs = ()
    refused: bool = False  # in a house's journal: it spends nothing
    denied: bool = False  # by the authority, after its permit
    done: bool = False
    counted: bool = False


class PsiReplay:
    """Replays the `psi.*` entries of one journal."""

    def __init__(self, books: Books, note: Note) -> None:
        self._books = books
        self._note = note
        self._lists: dict[bytes, _List] = {}
        self._newest: dict[str, ListManifest] = {}
        self._tickets: dict[bytes, _Session] = {}
        self._jtis: dict[tuple[str, bytes], str] = {}
        self._seeds: set[bytes] = set()
        # The entry at hand:
        self._index = 0
        self._entry = Entry(Kind.NODE_START, 0, "", "", {})

    def steps(self) -> dict[Kind, Callable[[Entry], None]]:
        """List the kinds of this journal and what replays them."""
        both: dict[Kind, Callable[[Entry], None]] = {
            Kind.PSI_LIST: self._list,
            Kind.PSI_DENY: self._deny,
        }
        if self._books.role is Role.AUTHORITY:
            return both | {
                Kind.PSI_CONSENTS: self._consents,
                Kind.PSI_PERMIT: self._permit,
                Kind.PSI_DONE: self._done,
                Kind.PSI_COUNT: self._count,
            }
        return both | {
            Kind.PSI_INTENT: self._intent,
            Kind.PSI_DENIED: self._denied,
            Kind.PSI_OUTCOME: self._outcome,
            Kind.PSI_RETURN: self._return,
            Kind.PSI_COUNTED: self._counted,
            Kind.PSI_RESULT: self._result,
        }

    def at(self, index: int, entry: Entry) -> None:
        """Say which entry is replayed next."""
        self._index, self._entry = index, entry

    # -- 1

    def _list(self, entry: Entry) -> None:
        signed = psi_bodies.List.parse(entry.body).signed
        manifest = ListManifest.parse(signed.payload)
        self._books.pins.verify(Tag.PSI_LIST, signed, manifest.custodian)
        dataset = self._books.contracts.dataset(manifest.list)
        if (
            dataset is None
            or not dataset.is_list
            or dataset.custodian != manifest.custodian
            or dataset.schema_hash != manifest.schema
        ):
            raise DocumentInvalid(
                f"no list `{manifest.list}` of `{manifest.custodian}` with this schema"
            )
        newest = self._newest.get(manifest.list)
        expected = 1 if newest is None else newest.version + 1
        if manifest.version != expected:
            raise DocumentInvalid(
                f"expected version {expected} of list `{manifest.list}`,"
                f" got {manifest.version}"
            )
        if (dataset.tier is Tier.T0) is bool(manifest.consents):
            raise DocumentInvalid("a public list has no consents, any other has")
        self._newest[manifest.list] = manifest
        self._lists[manifest.hash] = _List(manifest)

    def _consents(self, entry: Entry) -> None:
        body = psi_bodies.Consents.parse(entry.body)
        listed = self._lists.get(body.list)
        if listed is None or body.first != len(listed.consents):
            raise FormatError("consents of no list before them, or out of order")
        listed.consents += body.consents
        if len(listed.consents) == listed.manifest.rows and (
            consents_root(listed.consents) != listed.manifest.consents
            or len(set(listed.consents)) != len(listed.consents)
        ):
            raise FormatError("the consents are not the ones that were signed")

    # -- 2, 3

    def _intent(self, entry: Entry) -> None:
        body = psi_bodies.Intent.parse(entry.body)
        request = self._request(body.request)
        self._books.pins.verify(Tag.PSI_TICKET, body.ticket, entry.actor)
        ticket = PsiTicket.parse(body.ticket.payload)
        if (ticket.request.hex(), ticket.contract, ticket.list) != (
            entry.call,
            request.contract,
            request.list,
        ):
            raise FormatError("the ticket is for another session")
        if ticket.seed in self._seeds:
            self._note(Mark.SEED_REUSED, f"seed {ticket.seed.hex()} was drawn before")
        self._seeds.add(ticket.seed)
        self._begin(request, ticket.hash, ())

    def _permit(self, entry: Entry) -> None:
        body = psi_bodies.Permit.parse(entry.body)
        request = self._request(body.request)
        if body.list != request.list:
            raise FormatError("the permit is over another list than was asked about")
        expected = self._dropped(request)
        if body.runs != expected:
            self._note(
                Mark.DECISION_DIFFERS,
                f"leaves out {sum(n for _, n in body.runs)} entries, replay"
                f" {sum(n for _, n in expected)}, or others",
                (Reason.NO_CONSENT,),
            )
        self._begin(request, body.ticket, body.runs)

    def _begin(self, request: PsiRequest, ticket: bytes, dropped: Runs) -> None:
        self._books.counts.permits += 1
        now_ms = self._entry.time_ms
        earlier = self._jtis.setdefault((request.bank, request.jti), self._entry.call)
        if earlier != self._entry.call or ticket in self._tickets:
            self._note(
                Mark.JTI_REUSED,
                f"jti {request.jti.hex()} of `{request.bank}` was used by session"
                f" {earlier}",
                (Reason.REPLAY_MISMATCH,),
            )
        if abs(now_ms - request.iat_ms) > SKEW_MS:
            self._note(
                Mark.CLOCK_SKEW,
                f"the request of {request.iat_ms} was taken at {now_ms}",
                (Reason.CLOCK_SKEW,),
            )
        found = self._findings(request)
        if found:
            told = "; ".join(map(str, found))
            reasons = tuple(finding.reason for finding in found)
            self._note(
                Mark.DECISION_DIFFERS, f"permitted, but replay denies: {told}", reasons
            )
        listed = self._lists.get(request.list)
        self._tickets[ticket] = _Session(
            self._entry.call,
            request,
            "" if listed is None else listed.manifest.list,
            now_ms,
            dropped,
        )

    def _findings(self, request: PsiRequest) -> list[Finding]:
        """Decide a session again, as both nodes do."""
        terms = self._books.contracts.terms(request.contract)
        found = list(
            decide_job(request.bank, request.purpose, terms, ContractKind.PSI).reasons
        )
        compiled = self._compiled(request)
        if compiled is None:
            return found
        listed = self._lists.get(request.list)
        newest = self._newest.get(compiled.list.id)
        if listed is None or newest is None:
            return [*found, Finding(Reason.STALE_DATA, "no such version of the list")]
        session = SessionTerms.of(compiled, listed.manifest)
        found += sessions.findings(
            session,
            request.points,
            self._before(request.bank, compiled.list.id),
            newest=listed.manifest == newest,
        )
        if self._books.role is Role.AUTHORITY and not session.public:
            rows = listed.manifest.rows
            found += sessions.check_dropped(session, self._dropped(request), rows)
        return found

    def _compiled(self, request: PsiRequest) -> CompiledIntersection | None:
        found = self._books.contracts.contract(request.contract)
        return found if isinstance(found, CompiledIntersection) else None

    def _before(self, bank: str, name: str) -> int:
        since_ms = self._entry.time_ms - self._books.limits.window_ms
        return sum(
            session.list == name
            and session.request.bank == bank
            and session.time_ms > since_ms
            and not session.refused
            for session in self._tickets.values()
        )

    def _dropped(self, request: PsiRequest) -> Runs:
        listed, compiled = self._lists.get(request.list), self._compiled(request)
        if listed is None or compiled is None or not listed.manifest.consents:
            return ()
        terms = self._books.contracts.terms(request.contract)
        if terms is None:
            return ()
        (data,) = terms.datasets
        whose = Whose(request.bank, request.purpose, compiled.id, data, terms.bases)
        states = (self._books.consents.find(name) for name in listed.consents)
        grants = (None if state is None else state.grant for state in states)
        return sessions.dropped(grants, whose, self._entry.time_ms)

    # -- 4

    def _deny(self, entry: Entry) -> None:
        body = psi_bodies.Deny.parse(entry.body)
        self._books.counts.denials += 1
        if not body.reasons or body.public is not public(body.reasons).reason:
            raise FormatError("the public reason is not the first of the reasons")
        logged = {finding.reason for finding in body.reasons}
        beyond = logged & BEYOND_REPLAY
        self._books.counts.beyond.update(beyond)
        self._check_denial(body)
        try:
            request = self._request(body.request, forged=bool(beyond))
        except FormatError:
            if beyond:
                return  # what is no request was refused as such
            raise
        session = None if beyond - _ENDING else self._permitted(entry.call)
        if session is None:
            found = self._findings(request)
        else:
            found, session.denied = self._since(session), True
        replayed = {finding.reason for finding in found} - BEYOND_REPLAY
        if logged - beyond == replayed or (beyond and logged - beyond <= replayed):
            return
        told = "; ".join(map(str, denied(found).reasons)) if found else ""
        self._note(
            Mark.DECISION_DIFFERS,
            f"denied for {', '.join(sorted(logged))}, but replay"
            + (f" denies: {told}" if told else " allows"),
            tuple(finding.reason for finding in found) or tuple(sorted(logged)),
        )

    def _permitted(self, name: str) -> _Session | None:
        """Find a session that this authority permitted and has not ended."""
        if self._books.role is not Role.AUTHORITY:
            return None
        for session in self._tickets.values():
            if session.name == name:
                ended = session.counted if self._counts(session) else session.done
                return None if ended else session
        return None

    def _counts(self, session: _Session) -> bool:
        compiled = self._compiled(session.request)
        return compiled is not None and compiled.mode is Mode.CARDINALITY

    def _since(self, session: _Session) -> list[Finding]:
        """Say again what has come against a session since its permit."""
        request = session.request
        terms = self._books.contracts.terms(request.contract)
        found = list(
            decide_job(request.bank, request.purpose, terms, ContractKind.PSI).reasons
        )
        compiled, listed = self._compiled(request), self._lists.get(request.list)
        if compiled is None or listed is None:
            return [*found, Finding(Reason.STALE_DATA, "no such version of the list")]
        found += sessions.check_since(
            SessionTerms.of(compiled, listed.manifest),
            session.dropped,
            self._dropped(request),
        )
        return found

    def _check_denial(self, body: psi_bodies.Deny) -> None:
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

    # -- 5, 6

    def _denied(self, entry: Entry) -> None:
        body = psi_bodies.Denied.parse(entry.body)
        session = self._session(body.ticket)
        if session is not None:
            session.refused = True
        if self._books.pins.given:
            denial = Denial.parse(body.denial.payload)
            self._books.pins.verify(Tag.DENIAL, body.denial, denial.by)
            if denial.request.hex() != entry.call:
                raise FormatError("the signed denial is of another session")

    def _done(self, entry: Entry) -> None:
        body = psi_bodies.Done.parse(entry.body)
        self._books.pins.verify(Tag.PSI_RECEIPT, body.receipt, entry.actor)
        session = self._session(body.ticket)
        receipt = PsiReceipt.parse(body.receipt.payload)
        if session is not None:
            if (receipt.ticket, receipt.dropped) != (body.ticket, session.dropped):
                raise FormatError("the receipt is of another session")
            self._allows(session, "done")
            session.done = True

    def _allows(self, session: _Session, what: str) -> None:
        """Note a step that the authority should have refused."""
        found = self._since(session)
        if session.denied or found:
            told = "; ".join(map(str, found)) or "it was denied before"
            self._note(
                Mark.DECISION_DIFFERS,
                f"{what}, but replay denies: {told}",
                tuple(finding.reason for finding in found),
            )

    def _outcome(self, entry: Entry) -> None:
        body = psi_bodies.Outcome.parse(entry.body)
        session = self._session(body.ticket)
        if session is not None:
            session.done = True

    def _return(self, entry: Entry) -> None:
        body = psi_bodies.Return.parse(entry.body)
        session = self._session(body.ticket)
        if session is None:
            return
        bank = session.request.bank
        self._books.pins.verify(Tag.PSI_RETURN, body.returned, bank)
        if PsiReturn.parse(body.returned.payload).ticket != body.ticket:
            raise FormatError("the return is of another session")
        self._check_counts(session)

    def _count(self, entry: Entry) -> None:
        body = psi_bodies.Count.parse(entry.body)
        self._books.pins.verify(Tag.PSI_COUNT, body.receipt, entry.actor)
        if PsiCount.parse(body.receipt.payload).ticket != body.ticket:
            raise FormatError("the count is of another session")
        session = self._session(body.ticket)
        if session is not None:
            self._once(session)
            self._allows(session, "counted")

    def _counted(self, entry: Entry) -> None:
        session = self._session(psi_bodies.Counted.parse(entry.body).ticket)
        if session is not None:
            self._once(session)

    def _once(self, session: _Session) -> None:
        self._check_counts(session)
        if session.counted:
            self._note(
                Mark.ENTRY_REPEATED, f"session {session.name} was counted before"
            )
        session.counted = True

    def _check_counts(self, session: _Session) -> None:
        if not self._counts(session):
            raise FormatError("a count of a session that is none")
        if not session.done:
            self._note(Mark.NO_DONE, f"session {session.name} was not done before it")

    def _result(self, entry: Entry) -> None:
        body = psi_bodies.Result.parse(entry.body)
        session = self._session(body.ticket)
        if session is not None:
            bank = session.request.bank
            self._books.pins.verify(Tag.PSI_RESULT, body.result, bank)

    def _session(self, ticket: bytes) -> _Session | None:
        session = self._tickets.get(ticket)
        house = self._books.role is Role.HOUSE
        if session is None:
            self._note(
                Mark.NO_INTENT if house else Mark.NO_PERMIT,
                f"no {'intent' if house else 'permit'} of ticket {ticket.hex()}"
                " before it",
            )
        elif session.name != self._entry.call:
            raise FormatError("`call` is another session than the ticket's")
        return session

    def _request(self, signed: Signed, *, forged: bool = False) -> PsiRequest:
        if digest(Tag.PSI_REQUEST, signed.payload).hex() != self._entry.call:
            raise FormatError("`call` is not the hash of the request")
        request = PsiRequest.parse(signed.payload)
        if not forged:
            self._books.pins.verify(Tag.PSI_REQUEST, signed, request.bank)
        return request
