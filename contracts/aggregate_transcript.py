"""Transcript replay of a statistic: did the house add up what its journal says.

As for a call (`contracts.transcript`), with the seed that two auditors open, and
everything that is public beside it: the attributes of every slot, the contract, the
filter, who objects.  In order:

 1. *Ticket*: the house signed it, for this request and contract.
 2. *Seed*: the shares make the seed that the ticket commits to.
 3. *Snapshot*: the version that was pushed, and the attributes that were put.
 4. *Selection*: who is in which group follows from them.
 5. *Blocks*: the ciphertexts of every block that is touched stand in what the
    custodian signed.
 6. *Message*: ciphertexts and masks have the ticket's hashes.  The masks hold the
    house's noise, so that it was drawn, and drawn from the seed, is shown with them.

That the versions are those of the quarter is for decision replay to say.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from contracts import aggregate_bodies, bodies
from contracts.aggregate_compiled import Aggregate
from contracts.attributes import AttributeTable
from contracts.errors import ContractError
from contracts.holdings import Holdings
from contracts.objection import Objection
from contracts.rebuild import Pins
from contracts.selection import Selection, Wanted, select
from contracts.transcript import Block, Replayed, Share, combine
from protocols.aggregate import (
    HouseSide,
    bind,
    masks_bytes,
    message_digest,
)
from protocols.aggregate_call import (
    AggregateRequest,
    AggregateTicket,
    aggregate_root,
    masks_digest,
)
from protocols.blocks import Header, Manifest
from protocols.call import seed_commitment
from protocols.canon import Tag, digest
from protocols.drbg import Drbg, block_seed
from protocols.entry import Entry, Kind
from protocols.errors import ProofInvalid, ProtocolError
from protocols.paillier import (
    Ciphertext,
    FixedBase,
    PublicKey,
    check_ciphertexts,
    ciphertext_from_bytes,
)
from protocols.slots import slots_per_block
from protocols.tlog import verify_inclusion

Fetch = Callable[[int], Block | None]  # a block by its number


@dataclass(frozen=True, slots=True)
class AggregateCase:
    """A statistic, as the house's journal has it, and what it rests on there."""

    call: bytes  # request hash
    index: int  # of the intent
    request: AggregateRequest
    ticket: AggregateTicket
    aggregate: Aggregate | None  # None if the journal has no such contract
    manifest: Manifest | None  # the version that the ticket names
    table: AttributeTable | None
    left_out: frozenset[int]  # rows of those who object
    flaws: tuple[str, ...] = ()  # of the ticket


@dataclass(slots=True)
class _State:
    """What stands in a journal, as far as it was read."""

    tables: dict[tuple[str, int], tuple[bytes, AttributeTable]] = field(
        default_factory=dict
    )
    objections: dict[str, Objection] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)

    def left_out(self, subject_type: str) -> frozenset[int]:
        """Return the rows of those who object."""
        return frozenset(
            self.places[name]
            for name, item in self.objections.items()
            if item.stands and item.subject_type == subject_type and name in self.places
        )


class AggregateCases:
    """Collects statistics from the house's journal; `feed` it every entry in order."""

    def __init__(self, wanted: Collection[bytes], pins: Pins) -> None:
        """Look for the questions of these request hashes."""
        self.found: dict[bytes, AggregateCase] = {}
        self._wanted = {call.hex() for call in wanted}
        self._held = Holdings(pins)
        self._held.also(
            {
                Kind.DATA_ATTRIBUTES: self._attributes,
                Kind.CONSENT_OBJECTION: self._objection,
                Kind.CONSENT_ERASED: self._objection,
                Kind.CONSENT_PLACED: self._placed,
            }
        )
        self._state = _State()

    def feed(self, index: int, entry: Entry) -> None:
        """Read one entry; raises `ProtocolError` for a wanted one that is malformed."""
        if entry.kind is Kind.AGGREGATE_INTENT and entry.call in self._wanted:
            case = self._case(index, entry)
            self.found.setdefault(case.call, case)
        self._held.feed(entry)

    def _attributes(self, entry: Entry) -> None:
        signed = bodies.Attributes.parse(entry.body).signed
        table = AttributeTable.parse(signed.payload)
        self._held.pins.verify(Tag.ATTRIBUTES, signed, table.custodian)
        name = digest(Tag.ATTRIBUTES, signed.payload)
        self._state.tables[table.subject_type, table.version] = name, table

    def _objection(self, entry: Entry) -> None:
        signed = bodies.Objection.parse(entry.body).signed
        objection = Objection.parse(signed.payload)
        self._held.pins.verify(Tag.OBJECTION, signed, objection.registrar)
        self._state.objections[objection.objection_id] = objection

    def _placed(self, entry: Entry) -> None:
        body = bodies.Placed.parse(entry.body)
        self._state.places.setdefault(body.objection, body.place)

    def _case(self, index: int, entry: Entry) -> AggregateCase:
        body = aggregate_bodies.Intent.parse(entry.body)
        request = AggregateRequest.parse(body.request.payload)
        ticket = AggregateTicket.parse(body.ticket.payload)
        flaws = []
        try:
            self._held.pins.verify(Tag.AGGREGATE_REQUEST, body.request, request.bank)
            self._held.pins.verify(Tag.AGGREGATE_TICKET, body.ticket)
        except ProtocolError as error:
            flaws.append(str(error))
        if (ticket.request.hex(), ticket.contract) != (entry.call, request.contract):
            flaws.append("the ticket is for another request or contract")
        found = self._held.contracts.contract(ticket.contract)
        aggregate = found if isinstance(found, Aggregate) else None
        kind = "" if aggregate is None else aggregate.subject_type
        snapshot = ticket.snapshot
        name, table = self._state.tables.get(
            (kind, snapshot.attributes_version), (b"", None)
        )
        return AggregateCase(
            call=bytes.fromhex(entry.call),
            index=index,
            request=request,
            ticket=ticket,
            aggregate=aggregate,
            manifest=self._held.named([(snapshot.dataset, snapshot.version)]).get(
                snapshot.dataset
            ),
            table=table if name == snapshot.attributes else None,
            left_out=self._state.left_out(kind),
            flaws=tuple(flaws),
        )


class AggregateTranscripts:
    """Computes statistics again, under one Paillier key."""

    def __init__(self, public: PublicKey) -> None:
        self._public = public
        self._obfuscators = FixedBase(public, public.authority_exponent_bits)

    def replay(
        self, case: AggregateCase, shares: Iterable[Share], codes: bytes, fetch: Fetch
    ) -> Replayed:
        """Compute a statistic again, from the attributes' codes and its blocks.

        Raises `FormatError` for shares that are not two auditors', of this call.
        """
        seed = combine(shares)
        differences = [*case.flaws]  # 1
        if seed_commitment(seed) != case.ticket.seed:  # 2
            differences.append(
                "the shares do not make the seed that the ticket commits to"
            )
        differences += _snapshot(case)  # 3
        if not differences:
            differences += self._computed(case, seed, codes, fetch)
        return Replayed(case.call, case.index, tuple(differences))

    def _computed(
        self, case: AggregateCase, seed: bytes, codes: bytes, fetch: Fetch
    ) -> list[str]:
        aggregate, manifest, table = case.aggregate, case.manifest, case.table
        if aggregate is None or manifest is None or table is None:
            raise AssertionError("a snapshot of nothing agreed")
        try:
            selection = self._selection(case, aggregate, table, codes)  # 4
        except (ContractError, ProtocolError) as error:
            return [f"nobody can be selected by these attributes: {error}"]
        ticket = case.ticket
        told = ticket.selection, ticket.groups, ticket.suppressed, ticket.left_out
        if told != (
            selection.digest,
            selection.groups,
            selection.suppressed,
            len(case.left_out),
        ):
            return ["other subjects are added up than the question's"]
        columns = [read.index for read in aggregate.reads]
        side = HouseSide(
            self._obfuscators,
            bind(selection.of_rows, slots_per_block(self._public.bits)),
            len(selection.groups),
            aggregate.scales,
        )
        root = aggregate_root(aggregate.hash, ticket.snapshot, selection.digest)
        known: dict[int, list[Ciphertext]] = {}

        def stored(read: int, block: int) -> Ciphertext:
            if block not in known:
                known[block] = self._block(manifest, block, columns, fetch)  # 5
            return known[block][read]

        try:
            made = side.message(stored, Drbg(block_seed(seed, 0, root)))
        except ProtocolError as error:
            return [str(error)]
        found = []
        if message_digest(self._public, made.ciphertexts) != ticket.message:  # 6
            found.append("the message to the authority is another one")
        if masks_digest(masks_bytes(made.masks)) != ticket.masks:
            found.append("the masks, or the noise in them, are other ones")
        return found

    def _selection(
        self,
        case: AggregateCase,
        aggregate: Aggregate,
        table: AttributeTable,
        codes: bytes,
    ) -> Selection:
        aggregate.check_filter(case.request.where)
        rows = case.ticket.snapshot.blocks * slots_per_block(self._public.bits)
        wanted = Wanted(aggregate.by, aggregate.floor, rows, case.request.where)
        return select(table, table.read_codes(codes), wanted, case.left_out)

    def _block(
        self, manifest: Manifest, number: int, columns: Sequence[int], fetch: Fetch
    ) -> list[Ciphertext]:
        """Fetch a block's columns; raises `ProofInvalid` for what nobody signed."""
        public, name = self._public, f"block {number} of `{manifest.dataset}`"
        block = fetch(number)
        if block is None:
            raise ProofInvalid(f"the house has no {name}")
        header = Header(
            manifest.dataset,
            manifest.version,
            manifest.schema_hash,
            manifest.key_id,
            manifest.blocks,
            manifest.columns,
            public.ciphertext_bytes,
        )
        size = public.ciphertext_bytes
        if manifest.key_id != public.key_id or len(block.records) != header.block_bytes:
            raise ProofInvalid(f"{name} is under another key, or of another size")
        leaf = header.leaf(number, block.records)
        verify_inclusion(
            leaf, number, manifest.blocks, block.inclusion, manifest.ciphertext_root
        )
        found = [
            ciphertext_from_bytes(block.records[at * size : (at + 1) * size])
            for at in columns
        ]
        check_ciphertexts(public, found)
        return found


def _snapshot(case: AggregateCase) -> list[str]:
    """Compare a ticket's snapshot with what the journal has."""
    snapshot, manifest = case.ticket.snapshot, case.manifest
    if case.aggregate is None:
        return ["the contract is not in the journal before the question"]
    if snapshot.dataset != case.aggregate.dataset.id:
        return ["the ticket is over another dataset than its contract's"]
    if manifest is None:
        return [f"version {snapshot.version} of `{snapshot.dataset}` was never pushed"]
    if case.table is None:
        return ["the attributes of the ticket are not in the journal"]
    told = snapshot.blocks, snapshot.ciphertext_root, snapshot.row_map_root
    if told != (manifest.blocks, manifest.ciphertext_root, manifest.row_map_root):
        return ["the ticket says other things of the version than its custodian"]
    return []
