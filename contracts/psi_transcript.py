"""Transcript replay of an intersection: did the house serve the list, whole and alone.

Two auditors open a session's seed, and with it t (`protocols.psi`).  With the points
of the list, as its custodian signed them, and those that the authority multiplied, as
it signed them, what the house handed to the bank is made again, byte for byte:

 1. *Ticket*: the house signed it, for this request, contract and version of the list.
 2. *Seed*: the shares make the seed that the ticket commits to.
 3. *List*: its custodian signed this version, and the points make the signed roots.
 4. *Served*: Y = sorted { t X_i }, without the entries that the permit leaves out, in a
    count with the list's markers, makes the root in `psi.outcome`.
 5. *Replies*: the house journalled the receipt of the authority's `psi.done`, whose
    root E makes; Z = t E, in a count sorted, makes the root in `psi.outcome`.

So an entry left out, added or exchanged is found, whichever it is, and so is a reply.

What this does not show: that E is s Q, for which one would need s, or the authority's
proof; an authority that multiplies a point by something else loses that match, and
nobody here sees it.  Nor what the custodian put on the list; nor, of a count, that the
authority counted right.  That the entries left out are those without a consent is for
decision replay to say (`contracts.psi_replay`).  E is kept for the 90 days of a quota:
after that, 5 is not looked at, which is told; before, a house without it is found.

Who holds t and X is, for this list, where the house is: with the authority and the
pepper it reads the list (`protocols.psi`).
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final

from contracts import psi_bodies
from contracts.consent import DAY_MS
from contracts.holdings import Holdings
from contracts.intersection import CompiledIntersection
from contracts.rebuild import Pins
from contracts.transcript import Replayed, Share, combine
from protocols import psi, ristretto
from protocols.call import seed_commitment
from protocols.canon import Tag
from protocols.drbg import SEED_BYTES
from protocols.entry import Entry, Kind
from protocols.errors import FormatError, ProtocolError
from protocols.psi import Mode
from protocols.psi_call import ListManifest, PsiReceipt, PsiRequest, PsiTicket
from protocols.ristretto import POINT_BYTES, multiply_all

NOT_KEPT: Final = "the replies, whose points the house no longer has"
KEPT_MS: Final = 90 * DAY_MS


@dataclass(frozen=True, slots=True)
class PsiCase:
    """A session, as both journals have it."""

    call: bytes  # request hash
    index: int  # of the intent, in the house's journal
    time_ms: int  # of that entry
    request: PsiRequest
    ticket: PsiTicket
    manifest: ListManifest | None  # None if the journal has no such list
    compiled: CompiledIntersection | None
    outcome: psi_bodies.Outcome | None = None
    permit: psi_bodies.Permit | None = None
    receipt: PsiReceipt | None = None  # of `psi.done`
    flaws: tuple[str, ...] = ()


class PsiCases:
    """Collects sessions from both journals; the house's first, in order."""

    def __init__(self, wanted: Collection[bytes], pins: Pins) -> None:
        """Look for the sessions of these request hashes."""
        self.found: dict[bytes, PsiCase] = {}
        self._wanted = {call.hex() for call in wanted}
        self._held = Holdings(pins)
        self._lists: dict[bytes, ListManifest] = {}

    def feed(self, index: int, entry: Entry) -> None:
        """Read an entry of the house; raises `ProtocolError` for a malformed one."""
        if entry.kind is Kind.PSI_LIST:
            signed = psi_bodies.List.parse(entry.body).signed
            manifest = ListManifest.parse(signed.payload)
            self._held.pins.verify(Tag.PSI_LIST, signed, manifest.custodian)
            self._lists[manifest.hash] = manifest
        elif entry.kind is Kind.PSI_INTENT and entry.call in self._wanted:
            case = self._case(index, entry)
            self.found.setdefault(case.call, case)
        elif entry.kind is Kind.PSI_OUTCOME and entry.call in self._wanted:
            outcome = psi_bodies.Outcome.parse(entry.body)
            self._add(entry, outcome.ticket, outcome=outcome)
        self._held.feed(entry)

    def find(self, call: bytes) -> PsiCase | None:
        """Find a session, once both journals were read."""
        return self.found.get(call)

    def feed_authority(self, entry: Entry) -> None:
        """Read an entry of the authority."""
        if entry.call not in self._wanted:
            return
        if entry.kind is Kind.PSI_PERMIT:
            permit = psi_bodies.Permit.parse(entry.body)
            self._add(entry, permit.ticket, permit=permit)
        elif entry.kind is Kind.PSI_DONE:
            done = psi_bodies.Done.parse(entry.body)
            self._held.pins.verify(Tag.PSI_RECEIPT, done.receipt, entry.actor)
            receipt = PsiReceipt.parse(done.receipt.payload)
            self._add(entry, receipt.ticket, receipt=receipt)

    def _add(self, entry: Entry, ticket: bytes, **changes: object) -> None:
        case = self.found.get(bytes.fromhex(entry.call))
        if case is not None and case.ticket.hash == ticket:
            self.found[case.call] = replace(case, **changes)  # type: ignore[arg-type]

    def _case(self, index: int, entry: Entry) -> PsiCase:
        body = psi_bodies.Intent.parse(entry.body)
        request = PsiRequest.parse(body.request.payload)
        ticket = PsiTicket.parse(body.ticket.payload)
        flaws = []
        try:
            self._held.pins.verify(Tag.PSI_REQUEST, body.request, request.bank)
            self._held.pins.verify(Tag.PSI_TICKET, body.ticket)
        except ProtocolError as error:
            flaws.append(str(error))
        told = ticket.request.hex(), ticket.contract, ticket.list
        if told != (entry.call, request.contract, request.list):
            flaws.append("the ticket is for another session")
        found = self._held.contracts.contract(ticket.contract)
        return PsiCase(
            bytes.fromhex(entry.call),
            index,
            entry.time_ms,
            request,
            ticket,
            self._lists.get(ticket.list),
            found if isinstance(found, CompiledIntersection) else None,
            flaws=tuple(flaws),
        )


def replay(
    case: PsiCase,
    shares: Iterable[Share],
    listed: bytes | None,
    evaluated: bytes | None,
    now_ms: int,
) -> Replayed:
    """Compute what the house served and replied again.

    `listed` are the list's points with its markers behind them; `evaluated` those of
    the authority; None what the house did not have at `now_ms`.  Raises `FormatError`
    for shares that are not two auditors', of this session.
    """
    seed = combine(shares)
    differences = [*case.flaws]  # 1
    if len(seed) != SEED_BYTES or seed_commitment(seed) != case.ticket.seed:  # 2
        differences.append("the shares do not make the seed that the ticket commits to")
    if listed is None and case.manifest is not None:
        differences.append("the house has not kept the list, as it keeps every version")
    unchecked: tuple[str, ...] = ()
    if not differences:
        try:
            differences += _served(case, seed, listed or b"")  # 3, 4
            if evaluated is not None:
                differences += _replied(case, seed, evaluated)  # 5
            elif now_ms - case.time_ms < KEPT_MS:
                differences.append("the house has not kept the authority's points")
            else:
                unchecked = (NOT_KEPT,)
        except ProtocolError as error:
            differences.append(str(error))
    return Replayed(case.call, case.index, tuple(differences), unchecked)


def _served(case: PsiCase, seed: bytes, listed: bytes) -> list[str]:
    manifest, compiled, permit = case.manifest, case.compiled, case.permit
    if manifest is None or compiled is None:
        return ["the list, or the contract, is not in the journal before the session"]
    if manifest.list != compiled.list.id:
        return ["the session is over another list than its contract's"]
    if permit is None or case.outcome is None:
        return ["nothing was permitted, or nothing came of it"]
    middle = manifest.rows * POINT_BYTES
    entries, markers = listed[:middle], listed[middle:]
    roots = psi.root(psi.pieces(entries)), psi.root(psi.pieces(markers))
    if roots != (manifest.entries, manifest.markers):  # 3
        return ["the points of the list are not what its custodian signed"]
    psi.check_runs(permit.runs, manifest.rows)
    kept = psi.without(entries, permit.runs)
    if compiled.mode is Mode.CARDINALITY:
        kept += markers
    made = ristretto.ascending(multiply_all(psi.house_scalar(seed), kept))
    if psi.root(psi.pieces(made)) != case.outcome.served:  # 4
        return ["another list was served than the custodian's, as far as permitted"]
    return []


def _replied(case: PsiCase, seed: bytes, evaluated: bytes) -> list[str]:
    receipt, outcome, compiled = case.receipt, case.outcome, case.compiled
    if receipt is None or outcome is None or compiled is None:
        return ["the authority has not said what it multiplied"]
    if receipt.hash != outcome.receipt:
        return ["the house journalled another receipt than the authority"]
    if case.permit is not None and receipt.dropped != case.permit.runs:
        return ["the authority's receipt leaves out other entries than its permit"]
    if len(evaluated) != case.request.points * POINT_BYTES:
        raise FormatError(f"expected {case.request.points} points")
    if psi.root(psi.pieces(evaluated)) != receipt.evaluated:
        return ["the points are not what the authority multiplied"]
    made = multiply_all(psi.house_scalar(seed), evaluated)
    if compiled.mode is Mode.CARDINALITY:
        made = ristretto.ascending(made)
    if psi.root(psi.pieces(made)) != outcome.replies:
        return ["other replies were made than the authority's points give"]
    return []
