"""What both nodes serve: the register of consents, and the journal.

Messages are turned into the documents of the floors below at once, and errors
into statuses (`node.server`); nothing is decided here.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Final

from contracts.consent import Consent, ConsentEvent, check_alone
from contracts.consent_batch import BatchApproval, ConsentBatch
from contracts.subject import Handle, commitment, handle
from node import clock, consents, names
from node.consents import (
    Item,
    SignedApproval,
    SignedBatch,
    SignedEvent,
    SignedGrant,
)
from node.consultation import proven
from node.domain import Party, Role
from node.errors import NotFound, RoleRefused
from node.heads import TreeHead
from node.history import Histories
from node.ledger import Ledger, Transaction
from node.registry import Registry
from node.server import Call, Desk, serves, streams
from node.status import from_wire, to_wire
from node.wire.v1 import (
    consent_pb2,
    consent_pb2_grpc,
    history_pb2,
    history_pb2_grpc,
    journal_pb2,
    journal_pb2_grpc,
)
from node.witnesses import Witnesses
from protocols.call import HASH_BYTES, Opening
from protocols.canon import Tag
from protocols.errors import FormatError
from protocols.sign import verify

MOST_BATCHES: Final = 20  # of one page
MOST_ITEMS: Final = 1_000  # of one PutConsents
PAGE_BYTES: Final = 1 << 20  # of entries in one message
EVERYBODY: Final = tuple(Role)
# How a registrar opens the documents of somebody who was erased: not at all.
SHREDDED: Final = Opening(bytes(HASH_BYTES), bytes(HASH_BYTES))


class ConsentService(consent_pb2_grpc.ConsentServiceServicer):
    """Takes consents and events from registrars."""

    def __init__(self, desk: Desk, ledger: Ledger, pseudonym_key: bytes) -> None:
        self.desk = desk
        self._ledger = ledger
        self._key = pseudonym_key

    @serves(Role.REGISTRAR)
    def PutConsents(  # noqa: N802
        self, request: consent_pb2.PutConsentsRequest, call: Call
    ) -> consent_pb2.PutConsentsResponse:
        """Record consents and events, in order, all or none."""
        if len(request.items) > MOST_ITEMS:
            raise FormatError(f"expected at most {MOST_ITEMS} items")
        items = [self._item(item, call.caller) for item in request.items]
        trust = self.desk.domain
        committed = self._ledger.commit(
            lambda tx: consents.record(tx, _named(tx, items), trust)
        )
        recorded, last = committed.value
        response = consent_pb2.PutConsentsResponse(recorded=recorded)
        if recorded:
            response.logged.CopyFrom(proven(self._ledger, last))
        return response

    def _item(self, item: consent_pb2.ConsentItem, registrar: Party) -> Item:
        """Verify an item; its subjects are handles yet."""
        if item.WhichOneof("item") == "batch":
            return self._batch(item.batch, registrar)
        if item.WhichOneof("item") == "approval":
            signed = from_wire(item.approval)
            verify(Tag.CONSENT_APPROVAL, signed, registrar.sign)
            approval = BatchApproval.parse(signed.payload)
            _own(approval.approver, registrar)
            return SignedApproval(signed, approval)
        if item.WhichOneof("item") == "event":
            signed = from_wire(item.event)
            verify(Tag.CONSENT_EVENT, signed, registrar.sign)
            event = ConsentEvent.parse(signed.payload)
            _own(event.registrar, registrar)
            return SignedEvent(signed, event)
        signed = from_wire(item.grant.consent)
        verify(Tag.CONSENT, signed, registrar.sign)
        consent = Consent.parse(signed.payload)
        _own(consent.registrar, registrar)
        check_alone(consent)
        opening = Opening(item.grant.opening.subject_ref, item.grant.opening.salt)
        if opening == SHREDDED:
            return SignedGrant(signed, consent, b"")
        if opening.commitment() != consent.subject:
            raise FormatError(
                f"consent `{consent.consent_id}`: the opening is not its subject's"
            )
        return SignedGrant(signed, consent, handle(self._key, opening.subject_ref))

    def _batch(self, message: consent_pb2.Batch, registrar: Party) -> SignedBatch:
        signed = from_wire(message.batch)
        verify(Tag.CONSENT_BATCH, signed, registrar.sign)
        batch = ConsentBatch.parse(signed.payload)
        _own(batch.shape.registrar, registrar)
        refs = _pieces(message.subject_refs, len(batch.own))
        salts = _pieces(message.salts, len(batch.own))
        whole = True
        for ref, salt, own in zip(refs, salts, batch.own, strict=True):
            if Opening(ref, salt) == SHREDDED:
                whole = False
                continue
            if commitment(ref, salt) != own[1]:
                raise FormatError(
                    f"consent `{own[0]}`: the opening is not its subject's"
                )
        subjects = tuple(handle(self._key, ref) for ref in refs) if whole else ()
        return SignedBatch(signed, batch, subjects)

    @serves(Role.REGISTRAR)
    def ListPending(  # noqa: N802
        self, request: consent_pb2.ListPendingRequest, call: Call
    ) -> consent_pb2.ListPendingResponse:
        """List the batches that wait for this operator."""
        with self._ledger.reader() as db:
            batches = islice(
                consents.pending(db, call.caller.id, request.after), MOST_BATCHES
            )
            return consent_pb2.ListPendingResponse(batches=map(to_wire, batches))

    @serves(Role.REGISTRAR)
    def ListConsents(  # noqa: N802
        self, request: consent_pb2.ListConsentsRequest, call: Call
    ) -> consent_pb2.ListConsentsResponse:
        """List the consents that this registrar signed."""
        limit = min(request.limit or MOST_ITEMS, MOST_ITEMS)
        with self._ledger.reader() as db:
            page = consents.page(db, call.caller.id, request.after, limit)
        return consent_pb2.ListConsentsResponse(
            consents=[
                consent_pb2.ConsentState(
                    consent=None if each.signed is None else to_wire(each.signed),
                    status=each.status,
                    uses=each.uses,
                    consent_id=each.consent_id,
                )
                for each in page
            ]
        )


@dataclass(frozen=True, slots=True)
class JournalDesk:
    """A journal, who shares seeds (the house), who follows another (the authority)."""

    ledger: Ledger
    witnesses: Witnesses
    registry: Registry
    seed_share: Callable[[Party, bytes], bytes] | None = None
    # The largest head of the other node's journal that was shown here.
    seen: Callable[[], TreeHead] | None = None


class HistoryService(history_pb2_grpc.HistoryServiceServicer):
    """Shows what stands in this node's journal about a registrar's customer."""

    def __init__(
        self, desk: Desk, ledger: Ledger, histories: Histories, pseudonym_key: bytes
    ) -> None:
        self.desk = desk
        self._ledger = ledger
        self._histories = histories
        self._key = pseudonym_key

    @streams(Role.REGISTRAR)
    def ReadHistory(  # noqa: N802
        self, request: history_pb2.ReadHistoryRequest, call: Call
    ) -> Iterator[history_pb2.ReadHistoryResponse]:
        """Stream every entry that names a subject."""
        if len(request.subject_ref) != HASH_BYTES:
            raise FormatError(f"expected a subject reference of {HASH_BYTES} bytes")
        with self._ledger.reader() as db:
            (name,) = names.of(db, self._key, [request.subject_ref])
        found, index = self._histories.read(name, call.caller.id)
        for first in range(0, len(found), MOST_ITEMS):
            accesses = found[first : first + MOST_ITEMS]
            yield history_pb2.ReadHistoryResponse(
                accesses=[history_pb2.Access(**asdict(each)) for each in accesses]
            )
        yield history_pb2.ReadHistoryResponse(logged=proven(self._ledger, index))


class JournalService(journal_pb2_grpc.JournalServiceServicer):
    """Serves a node's journal."""

    def __init__(self, desk: Desk, journal: JournalDesk) -> None:
        self.desk = desk
        self._ledger = journal.ledger
        self._witnesses = journal.witnesses
        self._seed_share = journal.seed_share
        self._seen = journal.seen

    @serves(*EVERYBODY)
    def GetCheckpoint(  # noqa: N802
        self, _request: journal_pb2.GetCheckpointRequest, _call: Call
    ) -> journal_pb2.GetCheckpointResponse:
        """Hand out the newest checkpoint, and the newest that was co-signed."""
        cosigned = self._witnesses.note  # first: it is never ahead of the other
        seen = self._seen() if self._seen is not None else TreeHead(0, b"")
        return journal_pb2.GetCheckpointResponse(
            note=self._ledger.head.note,
            cosigned=cosigned,
            now_ms=clock.now_ms(),
            seen_size=seen.size,
            seen_root=seen.root,
        )

    @serves(*EVERYBODY)
    def ProveConsistency(  # noqa: N802
        self, request: journal_pb2.ProveConsistencyRequest, _call: Call
    ) -> journal_pb2.ProveConsistencyResponse:
        """Prove that an older tree is a prefix of a newer one."""
        old, new = request.old_size, request.new_size
        if not 0 < old <= new <= self._ledger.head.size:
            raise NotFound(f"no trees of {old} and {new} entries")
        return journal_pb2.ProveConsistencyResponse(
            hashes=self._ledger.consistency(old, new)
        )

    @streams(Role.AUDITOR)
    def ReadEntries(  # noqa: N802
        self, request: journal_pb2.ReadEntriesRequest, _call: Call
    ) -> Iterator[journal_pb2.ReadEntriesResponse]:
        """Stream entries as they are stored."""
        start, stop = request.start, request.stop
        if not start <= stop <= self._ledger.head.size:
            raise NotFound(f"no entries {start} to {stop}")
        page: list[bytes] = []
        size = 0
        for entry in self._ledger.entries(start, stop):
            page.append(entry)
            size += len(entry)
            if size >= PAGE_BYTES:
                yield journal_pb2.ReadEntriesResponse(entries=page)
                page, size = [], 0
        if page:
            yield journal_pb2.ReadEntriesResponse(entries=page)

    @streams(Role.AUDITOR)
    def ReadCheckpoints(  # noqa: N802
        self, request: journal_pb2.ReadCheckpointsRequest, _call: Call
    ) -> Iterator[journal_pb2.ReadCheckpointsResponse]:
        """Stream every signed checkpoint in the asked range."""
        page: list[str] = []
        for note in self._ledger.notes(request.after_size):
            if int(note.split("\n", 2)[1]) > request.up_to_size:
                break
            page.append(note)
            if len(page) == MOST_ITEMS:
                yield journal_pb2.ReadCheckpointsResponse(notes=page)
                page = []
        if page:
            yield journal_pb2.ReadCheckpointsResponse(notes=page)

    @serves(Role.AUDITOR)
    def GetSeedShare(  # noqa: N802
        self, request: journal_pb2.GetSeedShareRequest, call: Call
    ) -> journal_pb2.GetSeedShareResponse:
        """Hand an auditor its sealed share of a call's seed."""
        if self._seed_share is None:
            raise NotFound("only the house keeps shares of seeds")
        return journal_pb2.GetSeedShareResponse(
            box=self._seed_share(call.caller, request.call)
        )


def _named(transaction: Transaction, items: Iterable[Item]) -> list[Item]:
    """Put this node's names of subjects in the place of their handles."""
    named: list[Item] = []
    for item in items:
        match item:
            case SignedGrant() if item.subject:
                (name,) = names.enter(transaction.db, [Handle(item.subject)])
                named.append(replace(item, subject=name))
            case SignedBatch() if item.subjects:
                found = names.enter(transaction.db, [*map(Handle, item.subjects)])
                named.append(replace(item, subjects=tuple(found)))
            case _:
                named.append(item)
    return named


def _pieces(data: bytes, count: int) -> list[bytes]:
    if len(data) != count * HASH_BYTES:
        raise FormatError(f"expected {HASH_BYTES} bytes for each consent of a batch")
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


def _own(named: str, registrar: Party) -> None:
    if named != registrar.id:
        raise RoleRefused(f"signed by `{named}`, sent by `{registrar.id}`")
