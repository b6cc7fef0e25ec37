r"""Transcript replay: did the house compute this call as its journal says.

Two auditors put their shares together and have the call's seed.  With it, the
ciphertexts that custodians signed, and the contract from the journal, the house's
message to the authority is made again, and compared with the hash in the ticket,
byte for byte (PROTOCOL 12).  If they agree, the authority was sent this contract
on these newest inputs of this slot, under a mask of this seed, and nothing else.

What is checked of a call, in order:

 1. *Ticket*: the house signed it, for this request and contract.
 2. *Seed*: the shares make the seed that the ticket commits to, and, where the bank
    has added a number, the house's share that the request commits to.
 3. *Inputs*: those of the contract, each the newest push before the intent.
 4. *Blocks*: the ciphertexts hash to the ticket's leaf, which stands in what the
    custodian signed; the slot is a row of the map that the block was packed by,
    and, where somebody who may open the map opens it, the request's subject's.
 5. *Message*: ciphertext and tables have the ticket's hash, and so have the pads.

What does not agree is a difference, in words.  A seed that cannot be made is one,
too: against the house, which keeps the shares.

Who holds an opened seed can take the mask off what the authority decrypts, so a
seed is opened for one call, by two, and forgotten; `Share` has no repr.

>>> share = Share("auditor-a", bytes(32), b"a" * 32)
>>> combine([share, Share("auditor-b", bytes(32), b"b" * 32)])[:4]
b'\x03\x03\x03\x03'
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from contracts import bodies, inputs
from contracts.compiled import Compiled
from contracts.gates import Machine
from contracts.holdings import Holdings
from contracts.inputs import Inputs
from contracts.rebuild import Pins
from protocols.blocks import Header, Manifest
from protocols.call import (
    Input,
    Opening,
    Request,
    Ticket,
    pads_digest,
    seed_commitment,
)
from protocols.canon import Tag
from protocols.drbg import SEED_BYTES
from protocols.entry import Entry, Kind
from protocols.errors import FormatError, ProofInvalid, ProtocolError
from protocols.paillier import (
    Ciphertext,
    FixedBase,
    PublicKey,
    check_ciphertexts,
    ciphertext_from_bytes,
)
from protocols.rowmap import RowMap, row_leaf
from protocols.sharing import HOUSE_BYTES, HouseShare
from protocols.sign import Signed
from protocols.slots import slots_per_block
from protocols.tlog import leaf_hash, verify_inclusion

SHARES: Final = 2


@dataclass(frozen=True, slots=True, repr=False)
class Share:
    """One auditor's share of a call's seed; alone it says nothing."""

    auditor: str
    call: bytes  # request hash
    share: bytes


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a dataset's version, as the house hands it out."""

    records: bytes
    manifest: Signed
    inclusion: tuple[bytes, ...]  # of the block, in the manifest's root
    row_leaf: bytes
    row_inclusion: tuple[bytes, ...]  # of the slot's row, in the map's root


@dataclass(frozen=True, slots=True, repr=False)
class Subject:
    """Opens a slot, and with the request's salt the request's subject, too."""

    subject_ref: bytes
    row_salt: bytes  # from a holder of the map
    request_salt: bytes = b""  # from the bank


@dataclass(frozen=True, slots=True)
class Case:
    """A call, as the house's journal has it, and what it rests on there."""

    call: bytes  # request hash
    index: int  # of the intent
    request: Request
    ticket: Ticket
    compiled: Compiled | None  # None if the journal has no such contract
    newest: Mapping[str, Manifest]  # by dataset, before the intent
    named: Mapping[str, Manifest]  # the versions that the ticket names
    maps: Mapping[str, RowMap]  # that these were packed by
    flaws: tuple[str, ...] = ()  # of the ticket


@dataclass(frozen=True, slots=True)
class Replayed:
    """A call that was computed again."""

    call: bytes
    index: int  # of the intent, in the house's journal
    differences: tuple[str, ...]
    unchecked: tuple[str, ...] = ()  # what could not be looked at any more

    @property
    def identical(self) -> bool:
        """Whether everything that was looked at agrees, byte for byte."""
        return not self.differences

    def __str__(self) -> str:
        told = "; ".join(self.differences) or "identical"
        told += "".join(f"; not looked at: {each}" for each in self.unchecked)
        return f"house entry {self.index}, call {self.call.hex()[:16]}: {told}"


class Cases:
    """Collects calls from the house's journal; `feed` it every entry in order."""

    def __init__(self, wanted: Collection[bytes], pins: Pins) -> None:
        """Look for the calls of these request hashes."""
        self.found: dict[bytes, Case] = {}
        self._wanted = {call.hex() for call in wanted}
        self._held = Holdings(pins)

    def feed(self, index: int, entry: Entry) -> None:
        """Read one entry; raises `ProtocolError` for a wanted one that is malformed."""
        if entry.kind is Kind.CALL_INTENT and entry.call in self._wanted:
            case = self._case(index, entry)
            self.found.setdefault(case.call, case)
        self._held.feed(entry)

    def _case(self, index: int, entry: Entry) -> Case:
        body = bodies.Intent.parse(entry.body)
        request = Request.parse(body.request.payload)
        ticket = Ticket.parse(body.ticket.payload)
        flaws = []
        try:
            self._held.pins.verify(Tag.REQUEST, body.request, request.bank)
            self._held.pins.verify(Tag.TICKET, body.ticket)
        except ProtocolError as error:
            flaws.append(str(error))
        if (ticket.request.hex(), ticket.contract) != (entry.call, request.contract):
            flaws.append("the ticket is for another request or contract")
        compiled = self._held.contracts.compiled(ticket.contract)
        reads = [] if compiled is None else [used.id for used in compiled.datasets]
        kind = "" if compiled is None else compiled.subject_type
        named = self._held.named((item.dataset, item.version) for item in ticket.inputs)
        return Case(
            call=bytes.fromhex(entry.call),
            index=index,
            request=request,
            ticket=ticket,
            compiled=compiled,
            newest=self._held.newest(reads),
            named=named,
            maps=self._held.maps(kind, named),
            flaws=tuple(flaws),
        )


def combine(shares: Iterable[Share]) -> bytes:
    """Put the shares of two auditors together: a seed, and what follows it.

    That is the house's share of a number of the bank's, where the call has one.
    Raises `FormatError`.
    """
    first, second = _two(shares)
    if first.auditor == second.auditor or first.call != second.call:
        raise FormatError("expected the shares of two auditors, of one call")
    return bytes(a ^ b for a, b in zip(first.share, second.share, strict=True))


def leaf_of(public: PublicKey, manifest: Manifest, number: int, block: Block) -> bytes:
    """Hash the ciphertexts of a block as its custodian did.

    Raises `ProofInvalid` for those under another key, and for more or fewer.
    """
    header = Header(
        manifest.dataset,
        manifest.version,
        manifest.schema_hash,
        manifest.key_id,
        manifest.blocks,
        manifest.columns,
        public.ciphertext_bytes,
    )
    if manifest.key_id != public.key_id:
        raise ProofInvalid("the ciphertexts are under another key")
    if len(block.records) != header.block_bytes:
        raise ProofInvalid(f"expected {header.block_bytes} bytes of ciphertexts")
    return header.leaf(number, block.records)


def _two(shares: Iterable[Share]) -> tuple[Share, Share]:
    match list(shares):
        case [first, second]:
            lengths = {len(first.share), len(second.share)}
            if lengths in ({SEED_BYTES}, {SEED_BYTES + HOUSE_BYTES}):
                return first, second
            raise FormatError(f"expected shares of {SEED_BYTES} bytes")
        case found:
            raise FormatError(f"expected {SHARES} shares, got {len(found)}")


class Transcripts:
    """Computes calls again, under one Paillier key."""

    def __init__(self, public: PublicKey) -> None:
        self._public = public
        self._obfuscators = FixedBase(public, public.authority_exponent_bits)
        self._machines: dict[bytes, Machine] = {}

    def replay(
        self,
        case: Case,
        shares: Iterable[Share],
        blocks: Mapping[str, Block],
        subject: Subject | None = None,
    ) -> Replayed:
        """Compute a call again; `blocks` are those of its inputs, by dataset.

        Raises `FormatError` for shares that are not two auditors', of this call.
        """
        secret = combine(shares)
        seed, rest = secret[:SEED_BYTES], secret[SEED_BYTES:]
        differences = [*case.flaws]  # 1
        seed_fits = seed_commitment(seed) == case.ticket.seed
        if not seed_fits:  # 2
            differences.append(
                "the shares do not make the seed that the ticket commits to"
            )
        share, shared = _house_share(case, rest)  # 2
        differences += shared
        differences += _inputs(case)  # 3
        wrong = [
            difference
            for item in case.ticket.inputs
            if item.version
            for difference in self._block(case, item, blocks.get(item.dataset))
        ]
        differences += wrong  # 4
        if subject is not None:
            differences += _subject(case, blocks, subject)  # 4
        if seed_fits and not wrong and _runs(case):
            differences += self._message(case, blocks, seed, share)  # 5
        return Replayed(case.call, case.index, tuple(differences))

    def _block(self, case: Case, item: Input, block: Block | None) -> list[str]:
        """Check one input's ciphertexts and row."""
        manifest, name = case.named.get(item.dataset), f"`{item.dataset}`"
        if manifest is None:
            return [f"version {item.version} of {name} was never pushed"]
        if block is None:
            return [f"the house has no block {case.ticket.block} of {name}"]
        found = []
        if block.manifest.payload != manifest.to_bytes():
            found.append(
                f"the house shows another manifest of {name} than it journalled"
            )
        try:
            self._check_ciphertexts(case, item, manifest, block)
        except ProtocolError as error:
            found.append(f"block {case.ticket.block} of {name}: {error}")
        try:
            self._check_row(case, item, manifest, block)
        except ProtocolError as error:
            found.append(f"slot {case.ticket.slot} of {name}: {error}")
        return found

    def _check_ciphertexts(
        self, case: Case, item: Input, manifest: Manifest, block: Block
    ) -> None:
        number = case.ticket.block
        leaf = leaf_of(self._public, manifest, number, block)
        if leaf != item.leaf:
            raise ProofInvalid("the ciphertexts are not those of the ticket")
        verify_inclusion(
            leaf, number, manifest.blocks, block.inclusion, manifest.ciphertext_root
        )

    def _check_row(
        self, case: Case, item: Input, manifest: Manifest, block: Block
    ) -> None:
        row_map, slots = case.maps.get(item.dataset), slots_per_block(self._public.bits)
        if row_map is None or row_map.root != manifest.row_map_root:
            raise ProofInvalid("packed by a map that is not in the journal")
        if row_map.slots != slots or case.ticket.slot >= slots:
            raise ProofInvalid(f"expected slots of 0 to {slots - 1}")
        number = case.ticket.block * slots + case.ticket.slot
        verify_inclusion(
            leaf_hash(block.row_leaf),
            number,
            row_map.rows,
            block.row_inclusion,
            row_map.root,
        )

    def _message(
        self, case: Case, blocks: Mapping[str, Block], seed: bytes, share: int
    ) -> list[str]:
        """Make the message again and compare."""
        compiled, ticket = case.compiled, case.ticket
        if compiled is None:
            raise AssertionError("inputs of no contract agreed")
        try:
            totals = self._totals(compiled, Inputs.of(ticket), blocks)
        except ProtocolError as error:
            return [f"the contract does not run on these ciphertexts: {error}"]
        gate = self._machine(compiled).gate
        message, pads = inputs.message(
            gate, self._obfuscators, totals, Inputs.of(ticket), seed, share
        )
        found = []
        if message.digest() != ticket.message:
            found.append("the message to the authority is another one")
        if pads_digest(pads) != ticket.pads:
            found.append("the pads are other ones")
        return found

    def _totals(
        self, compiled: Compiled, rests: Inputs, blocks: Mapping[str, Block]
    ) -> tuple[Ciphertext, ...]:
        size = self._public.ciphertext_bytes

        def read(item: Input, numbers: Sequence[int]) -> list[Ciphertext]:
            records = blocks[item.dataset].records
            if max(numbers, default=0) >= len(records) // size:
                raise FormatError(f"`{item.dataset}` lacks columns of the contract")
            found = [
                ciphertext_from_bytes(records[at * size : (at + 1) * size])
                for at in numbers
            ]
            check_ciphertexts(self._public, found)
            return found

        columns = inputs.columns(compiled, rests, read, inputs.ZERO)
        return self._machine(compiled).totals(self._public, columns)

    def _machine(self, compiled: Compiled) -> Machine:
        machine = self._machines.get(compiled.hash)
        if machine is None:
            machine = Machine(compiled)
            self._machines[compiled.hash] = machine
        return machine


def _runs(case: Case) -> bool:
    """Tell whether the ticket's inputs are the contract's, in its order."""
    if case.compiled is None:
        return False
    reads = [used.id for used in case.compiled.datasets]
    return [item.dataset for item in case.ticket.inputs] == reads


def _house_share(case: Case, data: bytes) -> tuple[int, list[str]]:
    """Read the house's share of a number of the bank's, and hold it to the request."""
    shared = case.request.shared
    if shared is None:
        return 0, ["a share of a number that nobody shared"] if data else []
    try:
        share = HouseShare.parse(data)
    except ProtocolError as error:
        return 0, [f"the house's share: {error}"]
    if share.commitment() != shared.house:
        return 0, ["the house's share is not the one that the request commits to"]
    return share.value, []


def _inputs(case: Case) -> list[str]:
    """Compare a ticket's inputs with the contract's, and with the newest pushes."""
    ticket = case.ticket
    if case.compiled is None:
        return ["the contract is not in the journal before the call"]
    if not _runs(case):
        return ["the ticket is on other datasets than its contract's"]
    found = []
    for item in ticket.inputs:
        newest = case.newest.get(item.dataset)
        version, row_map = inputs.basis(newest, ticket.block)
        if item.version != version:
            found.append(
                f"rests on version {item.version} of `{item.dataset}`, version"
                f" {version} was the newest"
            )
        elif item.row_map_root != row_map:
            found.append(f"names another map for `{item.dataset}` than its push")
        elif not version and item.leaf != inputs.NOTHING:
            found.append(f"names a block of `{item.dataset}` that was never pushed")
    return found


def _subject(case: Case, blocks: Mapping[str, Block], subject: Subject) -> list[str]:
    """Compare the slot, and the request, with the subject that was opened."""
    ref, ticket, found = subject.subject_ref, case.ticket, []
    leaf = row_leaf(ticket.block, ticket.slot, ref, subject.row_salt)
    for item in ticket.inputs:
        block = blocks.get(item.dataset)
        if block is not None and block.row_leaf != leaf:
            found.append(f"the slot in `{item.dataset}` is another subject's")
    if subject.request_salt and (
        Opening(ref, subject.request_salt).commitment() != case.request.subject
    ):
        found.append("the request is about another subject")
    return found
