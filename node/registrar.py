r"""A registrar's side: it signs what it saw, and tells house and authority both.

>>> from node.registrar import Registrar                            # doctest: +SKIP
>>> with Registrar.open("registrar/safehouse.toml") as registrar:   # doctest: +SKIP
...     report = registrar.import_consents(consents, events, kind, now_ms())
...     print(report.new, report.recorded)
1000 {'authority': 1030, 'house': 1030}

House and authority each decide on their own copy, so both are told everything,
and both prove in their journals that they were.  Documents are signed once and
kept (`node.consent_store`) before they are sent, and sending them again sends the same
payloads, under the key in force: a node passes over what it has.  So whatever goes
wrong on the way, *the same command again* completes it.  Only what both nodes refuse
and neither has is forgotten, but for what happened to it: who withdrew has withdrawn.

If one node does not answer, the other is told all the same: a withdrawal at one
of them already stops every call.  The error says which node knows what.  With a
consent goes everything that happened to it, for a node that was away meanwhile.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from contracts import bodies
from contracts.consent import Consent, ConsentEvent, Event, Status, ended, quoted
from contracts.consent_batch import (
    BatchApproval,
    ConsentBatch,
    check_approver,
    others,
)
from contracts.consent_csv import ConsentRow, EventRow, Problem
from contracts.errors import ConsentConflict, DocumentInvalid
from contracts.subject import SubjectType
from node.config import Config
from node.connected import BOTH, Connected
from node.consent_import import CellRefused, Scribe, read_consents, read_events
from node.consent_store import ConsentStore, HeldBatch, HeldConsent
from node.domain import Role, TrustDomain
from node.errors import NodeError, Refused, ReplyRefused, Unreachable
from node.filling import refuse_rows
from node.keys import RegistrarKeys
from node.progress import Progress, silent
from node.remote import ask
from node.sent import entry_of
from node.status import from_wire, to_wire
from node.wire.v1 import common_pb2, consent_pb2, consent_pb2_grpc
from protocols.call import SALT_BYTES, Opening
from protocols.canon import Tag, digest
from protocols.entry import Entry, Kind
from protocols.sign import Signed, renewed, sign, verify

T = TypeVar("T")

NODES: Final = (Role.AUTHORITY, Role.HOUSE)  # who counts uses is told first
MOST_ITEMS: Final = 500  # of one message
MOST_BYTES: Final = 1 << 20  # of the documents in one message
PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import found and did."""

    consents: int  # good rows
    events: int  # good rows
    new: int  # documents that had not been signed before
    problems: tuple[Problem, ...]  # of the table of consents
    event_problems: tuple[Problem, ...]
    recorded: Mapping[str, int]  # node -> documents it did not have yet

    @property
    def known(self) -> int:
        """Good rows whose document had been signed before."""
        return self.consents + self.events - self.new


@dataclass(frozen=True, slots=True)
class Standing:
    """A consent as house and authority each know it; empty: not at all."""

    consent: Consent
    house: str
    authority: str
    uses: int


@dataclass(frozen=True, slots=True)
class PendingBatch:
    """An import of a colleague's that waits, and the name by which it is approved."""

    name: bytes
    batch: ConsentBatch


class Registrar(Connected[RegistrarKeys]):
    """A registrar's connection to house and authority; context-managed."""

    KEYS = RegistrarKeys
    NODES = BOTH

    def __init__(
        self, settings: Config, held: RegistrarKeys, trust: TrustDomain
    ) -> None:
        super().__init__(settings, held, trust)
        self._stubs = {
            role: consent_pb2_grpc.ConsentServiceStub(link)
            for role, link in self._links.items()
        }
        self._store = ConsentStore(settings.data)

    def close(self) -> None:
        """Close channels and store."""
        super().close()
        self._store.close()

    # -- tables

    def import_consents(  # noqa: PLR0913  two tables, a time, two choices
        self,
        consents_csv: Path,
        events_csv: Path | None,
        subject_type: SubjectType,
        now_ms: int,
        progress: Progress = silent,
        *,
        dry_run: bool = False,
        skip_bad_rows: bool = False,
        approver: str = "",
    ) -> ImportReport:
        """Sign and send the rows of a table of consents, and of one of events.

        `progress` counts documents sent, to both nodes.  Where the registrar's
        organisation has other operators, `approver` is the one of them without whom
        nothing new is in force; if there is one only, it need not be named.

        1. All rows are read; bad ones are refused, or left out and reported.
        2. New documents are signed and kept, all or none.
        3. Everything in the tables is sent to both nodes, and what is kept of it.

        Raises `TableInvalid`, `RowsRefused`, and after 2 `Unreachable` or
        `Refused`: then importing the same tables again completes it.
        """
        scribe = self._scribe(now_ms)
        problems = read_consents(consents_csv, scribe, subject_type)  # 1
        event_problems = [] if events_csv is None else read_events(events_csv, scribe)
        prepared = scribe.prepared
        if not skip_bad_rows:
            rows = prepared.consents + _count(problems)
            refuse_rows(problems, _count(problems), rows)
            rows = prepared.events + _count(event_problems)
            refuse_rows(event_problems, _count(event_problems), rows)
        for kept in prepared.kept:
            if approver and kept.approver not in ("", approver):
                raise DocumentInvalid(
                    f"consent `{kept.consent.consent_id}` was imported for"
                    f" `{kept.approver}` to approve, not for `{approver}`",
                    "what is signed stays; import the new rows by themselves",
                )
        if prepared.new_consents:
            approver = self._approver(approver)
        recorded: Mapping[str, int] = {}
        statutory = [group for group in prepared.groups.values() if group.document]
        if statutory and not approver:
            raise DocumentInvalid(
                f"`{statutory[0].document}`: a statutory basis needs a second operator",
                "the trust domain knows one operator of this registrar",
            )
        if approver and prepared.alone:
            raise DocumentInvalid(
                f"consent `{prepared.alone[0].consent.consent_id}` cannot be"
                " imported for approval: it supersedes another, or shares too much",
                "grant it by itself",
            )
        if not dry_run:
            batches = tuple(scribe.sign_groups(approver))
            self._store.add(prepared.alone, batches, prepared.new_events)  # 2
            happened = [
                ConsentEvent.parse(signed.payload).consent_id
                for signed in prepared.new_events
            ]
            told = self._told(prepared.named)
            recorded = self._send(told, progress, happened)  # 3
        return ImportReport(
            consents=prepared.consents,
            events=prepared.events,
            new=prepared.new_consents + len(prepared.new_events),
            problems=tuple(problems),
            event_problems=tuple(event_problems),
            recorded=recorded,
        )

    def _approver(self, approver: str) -> str:
        operators = self._domain.operators
        known = others(self._settings.id, operators)
        chosen = known[0] if not approver and len(known) == 1 else approver
        check_approver(self._settings.id, chosen, operators)
        return chosen

    # -- a second operator

    def pending(self) -> Sequence[PendingBatch]:
        """List the imports of colleagues that wait for our approval, at either node."""
        found: dict[bytes, PendingBatch] = {}
        for role in NODES:
            for signed in self._waiting(role):
                batch = ConsentBatch.parse(signed.payload)
                importer = self._domain.party(batch.shape.registrar, Role.REGISTRAR)
                verify(Tag.CONSENT_BATCH, signed, importer.sign)
                check_approver(importer.id, self._settings.id, self._domain.operators)
                if batch.approver != self._settings.id:
                    raise ReplyRefused(f"the {role} shows an import that is not for us")
                found[batch.name] = PendingBatch(batch.name, batch)
        return [found[name] for name in sorted(found)]

    def approve(self, names: Iterable[bytes], now_ms: int) -> Mapping[str, int]:
        """Put imports of colleagues in force, by their names in `pending`."""
        waiting = {each.name for each in self.pending()}
        items = []
        for name in names:
            if name not in waiting:
                raise ConsentConflict(
                    f"no import {name.hex()} waits for our approval",
                    "list them: `safehouse consent pending`",
                )
            approval = BatchApproval(name, self._settings.id, now_ms).to_bytes()
            signed = sign(Tag.CONSENT_APPROVAL, approval, self._keys.sign)
            items.append(consent_pb2.ConsentItem(approval=to_wire(signed)))
        return self._send(items)

    def _waiting(self, role: Role) -> Iterator[Signed]:
        request = consent_pb2.ListPendingRequest()
        while True:
            page = ask(self._stubs[role].ListPending, request, self._deadline_s)
            yield from map(from_wire, page.batches)
            if not page.batches:
                return
            last = page.batches[-1].payload
            name = digest(Tag.CONSENT_BATCH, last)
            if name <= request.after:
                raise ReplyRefused("pages of imports go round in a circle")
            request = consent_pb2.ListPendingRequest(after=name)

    # -- one at a time

    def grant(
        self, row: ConsentRow, subject_type: SubjectType, now_ms: int
    ) -> Mapping[str, int]:
        """Sign and send one consent; return how many documents were new, by node."""
        scribe = self._scribe(now_ms)
        _alone(lambda: scribe.consent(row, subject_type))
        self._store.add(scribe.prepared.alone)
        return self._send(self._told([row.consent_id]))

    def withdraw(self, consent_id: str, reason: str, now_ms: int) -> Mapping[str, int]:
        """End a consent because its subject says so."""
        return self._happen(consent_id, Event.WITHDRAW, reason, now_ms)

    def invalidate(
        self, consent_id: str, reason: str, now_ms: int
    ) -> Mapping[str, int]:
        """End a consent because it never should have been."""
        return self._happen(consent_id, Event.INVALIDATE, reason, now_ms)

    def suspend(self, consent_id: str, reason: str, now_ms: int) -> Mapping[str, int]:
        """Let a consent rest."""
        return self._happen(consent_id, Event.SUSPEND, reason, now_ms)

    def resume(self, consent_id: str, reason: str, now_ms: int) -> Mapping[str, int]:
        """End a suspension; uses are kept."""
        return self._happen(consent_id, Event.RESUME, reason, now_ms)

    def _happen(
        self, consent_id: str, event: Event, reason: str, now_ms: int
    ) -> Mapping[str, int]:
        if not self._store.has(consent_id):
            raise ConsentConflict(
                f"no consent `{consent_id}` was signed here",
                "the registrar that signed a consent reports what happens to it",
            )
        for successor in self._store.successors(consent_id):
            raise ConsentConflict(
                f"cannot {event} a consent that is superseded",
                f"`{successor}` took the place of `{consent_id}`",
            )
        history = self._store.events(consent_id)
        # The last event again is a command that is repeated: no second event.
        if not history or ConsentEvent.parse(history[-1].payload).event is not event:
            scribe = self._scribe(now_ms)
            row = EventRow(0, consent_id, event, now_ms, reason)
            _alone(lambda: scribe.event(row))
            self._store.add(events=scribe.prepared.new_events)
        return self._send(self._told([consent_id]), happened=[consent_id])

    def _told(self, names: Iterable[str]) -> list[consent_pb2.ConsentItem]:
        """List what both nodes have to hear of consents, each document once.

        What a consent took the place of comes before it; behind it its events, and what
        took its place; and so for all that were signed with it.  A node that was away
        takes no consent in the place of one it does not know and no event of one that
        has ended, and no consent comes into force there without its end.  Of whom
        both have erased they take no event.
        """
        items: list[consent_pb2.ConsentItem] = []
        told: set[str] = set()
        for name in names:
            waiting = [] if name in told else [self._first(name)]
            while waiting:
                held = waiting.pop()
                if told.issuperset(held.ids):
                    continue
                told.update(held.ids)
                items.append(self._document(held))
                items += map(self._event, self._store.events(*held.living))
                waiting += map(self._store.need, self._store.successors(*held.ids))
        return items

    def _document(self, held: HeldConsent | HeldBatch) -> consent_pb2.ConsentItem:
        if isinstance(held, HeldBatch):
            signed = renewed(Tag.CONSENT_BATCH, held.signed, self._keys.sign)
            batch = consent_pb2.Batch(
                batch=to_wire(signed), subject_refs=held.subject_refs, salts=held.salts
            )
            return consent_pb2.ConsentItem(batch=batch)
        signed = renewed(Tag.CONSENT, held.signed, self._keys.sign)
        opening = common_pb2.SubjectOpening(
            subject_ref=held.opening.subject_ref, salt=held.opening.salt
        )
        grant = consent_pb2.Grant(consent=to_wire(signed), opening=opening)
        return consent_pb2.ConsentItem(grant=grant)

    def _event(self, kept: Signed) -> consent_pb2.ConsentItem:
        signed = renewed(Tag.CONSENT_EVENT, kept, self._keys.sign)
        return consent_pb2.ConsentItem(event=to_wire(signed))

    def _first(self, name: str) -> HeldConsent | HeldBatch:
        """Find the document with which the chain begins that a consent is part of."""
        held = self._store.need(name)
        while held.consent.supersedes:
            held = self._store.need(held.consent.supersedes)
        return self._store.batch(held.batch) if held.batch else held

    # -- looking

    def list(self) -> Sequence[Standing]:
        """List our consents as both nodes know them, by id."""
        known = {role: dict(self._states(role)) for role in NODES}
        house, authority = known[Role.HOUSE], known[Role.AUTHORITY]
        nothing = consent_pb2.ConsentState()
        return [
            Standing(
                self._ours(name, house.get(name) or authority[name]),
                house.get(name, nothing).status,
                authority.get(name, nothing).status,
                authority.get(name, nothing).uses,
            )
            for name in sorted({*house, *authority})
        ]

    def openings(self) -> Sequence[Opening]:
        """Open all our commitments to subjects: for an auditor, and nobody else."""
        return self._store.openings()

    def receipts(self, role: Role) -> Sequence[str]:
        """List a node's proofs (C2SP tlog-proof) that it was told."""
        return self._store.receipts(role)

    def _states(self, role: Role) -> Iterator[tuple[str, consent_pb2.ConsentState]]:
        after = ""
        while True:
            request = consent_pb2.ListConsentsRequest(after=after, limit=PAGE)
            page = ask(self._stubs[role].ListConsents, request, self._deadline_s)
            for state in page.consents:
                after = state.consent_id
                yield after, state
            if len(page.consents) < PAGE:
                return

    def _ours(self, name: str, state: consent_pb2.ConsentState) -> Consent:
        if state.HasField("consent"):
            keys = self._domain.party(self._settings.id).sign
            signed = from_wire(state.consent)
            consent = Consent.parse(verify(Tag.CONSENT, signed, keys))
        else:
            held = self._store.find(name)
            if held is None:
                raise ReplyRefused(f"consent {quoted(name)} was not signed here")
            consent = held.consent
        if consent.consent_id != name:
            raise ReplyRefused(f"consent {quoted(name)} is shown as another")
        return consent

    # -- sending

    def _scribe(self, now_ms: int) -> Scribe:
        organisations = self._domain.organisations
        return Scribe(self._settings.id, organisations, self._keys, self._store, now_ms)

    def _send(
        self,
        items: Sequence[consent_pb2.ConsentItem],
        progress: Progress = silent,
        happened: Iterable[str] = (),
    ) -> Mapping[str, int]:
        """Tell both nodes; raises only after both were tried.

        To the consents that `happened` names something happened now.
        """
        recorded = dict.fromkeys((role.value for role in NODES), 0)
        failed: dict[Role, NodeError] = {}
        total = _consents_in(items)
        told, lock, stopping = 0, threading.Lock(), threading.Event()

        def tell(role: Role) -> None:
            nonlocal told
            try:
                for batch in _batches(items):
                    if stopping.is_set():
                        return
                    new = self._tell(role, batch, lock)
                    with lock:
                        recorded[role.value] += new
                        told += _consents_in(batch)
                        progress(told, len(NODES) * total)
            except NodeError as error:
                failed[role] = error

        with ThreadPoolExecutor(len(NODES), "node") as pool:
            try:
                list(pool.map(tell, NODES))
            except BaseException:  # the keyboard: not another message, then
                stopping.set()
                raise
        if all(isinstance(failed.get(role), Refused) for role in NODES):
            self._take_back(items, happened)
        if failed:
            raise _failure(failed)
        return recorded

    def _take_back(
        self, items: Sequence[consent_pb2.ConsentItem], happened: Iterable[str]
    ) -> None:
        """Forget the consents of what both nodes refused, unless one has them.

        Else an id that another registrar uses would lock those that were signed with
        it, and the consent that it was to take the place of.  So would an event that
        comes after the end at both, of whom another registrar has erased.
        """
        try:
            known = [dict(self._states(role)) for role in NODES]
        except NodeError:
            return  # a node that does not say may have them
        for item in items:
            signed = _signed_of(item)
            if item.HasField("batch"):
                ids = {own[0] for own in ConsentBatch.parse(signed.payload).own}
            elif item.HasField("grant"):
                ids = {Consent.parse(signed.payload).consent_id}
            else:
                continue
            if not any(ids <= states.keys() for states in known):
                self._store.take_back(ids)
        over = {status.value for status in Status if ended(status) is status}
        for name in happened:
            if all(name in told and told[name].status in over for told in known):
                self._store.take_back_last(name)

    def _tell(
        self,
        role: Role,
        items: Sequence[consent_pb2.ConsentItem],
        lock: threading.Lock,
    ) -> int:
        """Send one message; return how many of its items were new to the node."""
        request = consent_pb2.PutConsentsRequest(items=items)
        response = ask(self._stubs[role].PutConsents, request, self._deadline_s)
        if response.recorded > _consents_in(items):
            raise ReplyRefused("more consents were recorded than were sent")
        if response.recorded:
            verifiers = self._verifiers(role)
            proof, entry = entry_of(response.logged, verifiers)
            if _signed_in(entry) not in [_signed_of(item) for item in items]:
                raise ReplyRefused("the receipt is of another entry than was sent")
            with lock:  # the store is one connection
                self._store.keep_receipt(role, proof.index, proof.to_text())
        return int(response.recorded)


def _failure(failed: Mapping[Role, NodeError]) -> NodeError:
    """Say which node knows what, and that repeating is safe."""
    texts = "; ".join(f"the {role}: {error}" for role, error in failed.items())
    well = [role for role in NODES if role not in failed]
    rest = f"; the {well[0]} has recorded everything" if well else ""
    hint = "repeat the command: what is recorded is passed over"
    worst = next((e for e in failed.values() if not isinstance(e, Unreachable)), None)
    if worst is None:
        return Unreachable(texts + rest, hint)
    if isinstance(worst, ReplyRefused):
        return ReplyRefused(texts + rest, worst.hint or "tell the auditors")
    reason = worst.reason if isinstance(worst, Refused) else ""
    return Refused(texts + rest, worst.hint or hint, reason)


def _alone(make: Callable[[], T]) -> T:
    """Make one document that no table holds; raises `DocumentInvalid`."""
    try:
        return make()
    except CellRefused as refused:
        problem = refused.problem
        raise DocumentInvalid(
            f"`{problem.column}`: {problem.message}", problem.hint
        ) from None


def _count(problems: Sequence[Problem]) -> int:
    return len({problem.row for problem in problems})


def _consents_in(items: Iterable[consent_pb2.ConsentItem]) -> int:
    """Count consents and events."""
    return sum(len(item.batch.salts) // SALT_BYTES or 1 for item in items)


def _signed_of(item: consent_pb2.ConsentItem) -> Signed:
    match item.WhichOneof("item"):
        case "event":
            return from_wire(item.event)
        case "batch":
            return from_wire(item.batch.batch)
        case "approval":
            return from_wire(item.approval)
        case _:
            return from_wire(item.grant.consent)


def _signed_in(entry: Entry) -> Signed | None:
    """Take the registrar's document out of a journal entry."""
    match entry.kind:
        case Kind.CONSENT_GRANT:
            return bodies.Grant.parse(entry.body).signed
        case Kind.CONSENT_BATCH:
            return bodies.Batch.parse(entry.body).signed
        case Kind.CONSENT_APPROVAL:
            return bodies.BatchApproval.parse(entry.body).signed
        case Kind.CONSENT_EVENT:
            return bodies.Event.parse(entry.body).signed
        case _:
            return None


def _batches(
    items: Sequence[consent_pb2.ConsentItem],
) -> Iterator[list[consent_pb2.ConsentItem]]:
    """Cut items into messages that a node takes."""
    batch: list[consent_pb2.ConsentItem] = []
    size = 0
    for item in items:
        if len(batch) == MOST_ITEMS or (batch and size + item.ByteSize() > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += item.ByteSize()
    if batch:
        yield batch
