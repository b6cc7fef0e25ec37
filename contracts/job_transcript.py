"""Transcript replay of a job: did the house compute its messages as its journal says.

As for a call (`contracts.transcript`), message by message: one message is some blocks,
each with tables for the slots that were permitted.  In order:

 1. *Ticket*: the house signed it, for this job, contract and gate.
 2. *Seed*: the shares make the seed that the ticket commits to.
 3. *Versions*: those of the contract's datasets, each the newest push before the
    intent.
 4. *Blocks*: the ciphertexts of each stand in what its custodian signed, and make the
    inputs root that the ticket gives the block.
 5. *Message*: ciphertexts and tables of all blocks have the ticket's hash, and so have
    the pads.
 6. *Subjects*, where somebody opens them: the slot that the ticket gives an entry is a
    row of the map that the blocks were packed by, and that row, and the entry of the
    bank's list, are this subject's.  A house that computes honestly on another slot
    than the subject's is found by nothing else.

A job has one seed, so two auditors who open it for one message could take the mask off
any other of the job; like one of a call it is opened by two, and forgotten.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from contracts import inputs, job_bodies
from contracts.compiled import Compiled
from contracts.holdings import Holdings
from contracts.inputs import Inputs
from contracts.rebuild import Pins
from contracts.transcript import Block, Replayed, Share, combine, leaf_of
from protocols import subset
from protocols.blocks import Manifest
from protocols.call import Input, seed_commitment
from protocols.canon import Tag, digest
from protocols.drbg import SEED_BYTES
from protocols.entry import Entry, Kind
from protocols.errors import FormatError, ProofInvalid, ProtocolError
from protocols.job import (
    Basis,
    Job,
    JobTicket,
    Part,
    entry_leaf,
    message_hash,
    pads_digest,
    ticket_hash,
)
from protocols.paillier import (
    Ciphertext,
    FixedBase,
    PublicKey,
    check_ciphertexts,
    ciphertext_from_bytes,
)
from protocols.program import Program
from protocols.rowmap import RowMap, row_leaf
from protocols.slots import slots_per_block
from protocols.split import SplitGate
from protocols.tlog import leaf_hash, verify_inclusion

# A block of a dataset's version, proven, with the row of one of its slots.
Fetch: TypeAlias = Callable[[Basis, int, int], Block | None]

NOT_SEED: Final = "the shares do not make the seed that the ticket commits to"


@dataclass(frozen=True, slots=True, repr=False)
class Seated:
    """Opens the slot of one entry, and with the bank's salt the entry, too."""

    entry: int  # of the list
    subject_ref: bytes
    row_salt: bytes  # from a holder of the map
    entry_salt: bytes = b""  # from the bank
    consent: str = ""
    proof: tuple[bytes, ...] = ()  # of the entry alone, in the list (`subset.prove`)


@dataclass(frozen=True, slots=True)
class JobCase:
    """A message of a job, as the house's journal has it, and what it rests on there."""

    call: bytes  # job hash: whose seed it is
    name: bytes  # ticket hash: which message it is
    index: int  # of the intent
    job: Job | None  # None if the journal has no such job
    ticket: JobTicket
    compiled: Compiled | None  # None if the journal has no such contract
    newest: Mapping[str, Manifest]  # by dataset, before the intent
    named: Mapping[str, Manifest]  # the versions that the ticket names
    maps: Mapping[str, RowMap]  # that these were packed by
    flaws: tuple[str, ...] = ()  # of the ticket


class JobCases:
    """Collects messages from the house's journal; `feed` it every entry in order."""

    def __init__(self, wanted: Collection[bytes], pins: Pins) -> None:
        """Look for all messages of these job hashes, and those of these tickets."""
        self.found: list[JobCase] = []
        self._wanted = frozenset(wanted)
        self._held = Holdings(pins)
        self._held.also({Kind.JOB_SUBMIT: self._submit})
        self._jobs: dict[bytes, Job] = {}

    def feed(self, index: int, entry: Entry) -> None:
        """Read one entry; raises `ProtocolError` for a wanted one that is malformed."""
        if entry.kind is Kind.JOB_INTENT:
            self._intent(index, entry)
        self._held.feed(entry)

    def _submit(self, entry: Entry) -> None:
        signed = job_bodies.Submit.parse(entry.body).job
        job = Job.parse(signed.payload)
        self._held.pins.verify(Tag.JOB, signed, job.bank)
        self._jobs[bytes.fromhex(entry.call)] = job

    def _intent(self, index: int, entry: Entry) -> None:
        signed = job_bodies.Intent.parse(entry.body).ticket
        name, ticket = ticket_hash(signed.payload), JobTicket.parse(signed.payload)
        if not {name, ticket.job} & self._wanted:
            return
        flaws = []
        try:
            self._held.pins.verify(Tag.JOB_TICKET, signed)
        except ProtocolError as error:
            flaws.append(str(error))
        job = self._jobs.get(ticket.job)
        if ticket.job.hex() != entry.call:
            flaws.append("the ticket is for another job than its entry")
        if job is not None and ticket.contract != job.contract:
            flaws.append("the ticket is for another contract than its job")
        compiled = self._held.contracts.compiled(ticket.contract)
        kind = "" if compiled is None else compiled.subject_type
        named = self._held.named(
            (basis.dataset, basis.version) for basis in ticket.bases
        )
        self.found.append(
            JobCase(
                call=ticket.job,
                name=name,
                index=index,
                job=job,
                ticket=ticket,
                compiled=compiled,
                newest=self._held.newest(basis.dataset for basis in ticket.bases),
                named=named,
                maps=self._held.maps(kind, named),
                flaws=tuple(flaws),
            )
        )


class JobTranscripts:
    """Computes messages of jobs again, under one Paillier key."""

    def __init__(self, public: PublicKey) -> None:
        self._public = public
        self._obfuscators = FixedBase(public, public.authority_exponent_bits)
        self._machines: dict[bytes, tuple[Program, SplitGate]] = {}

    def replay(
        self,
        case: JobCase,
        shares: Iterable[Share],
        fetch: Fetch,
        subjects: Iterable[Seated] = (),
    ) -> Replayed:
        """Compute a message again.

        Raises `FormatError` for shares that are not two auditors', of this job.
        """
        seed = combine(shares)
        differences = [*case.flaws]  # 1
        fits = len(seed) == SEED_BYTES and seed_commitment(seed) == case.ticket.seed
        if not fits:  # 2
            differences.append(NOT_SEED)
        stale = _versions(case)  # 3
        differences += stale
        if fits and not stale:
            differences += self._computed(case, seed, fetch)  # 4, 5
        for subject in subjects:
            differences += self._subject(case, subject, fetch)  # 6
        return Replayed(case.name, case.index, tuple(differences))

    def _machine(self, compiled: Compiled) -> tuple[Program, SplitGate]:
        machine = self._machines.get(compiled.hash)
        if machine is None:
            machine = Program(compiled.card), SplitGate(compiled.card)
            self._machines[compiled.hash] = machine
        return machine

    def _computed(self, case: JobCase, seed: bytes, fetch: Fetch) -> list[str]:
        compiled, ticket = case.compiled, case.ticket
        if compiled is None:
            raise AssertionError("versions of no contract agreed")
        program, gate = self._machine(compiled)
        if ticket.gate != gate.name:
            return [f"the ticket names gate `{ticket.gate}`, expected `{gate.name}`"]
        totals = []
        for part in ticket.parts:
            try:
                columns = self._columns(case, compiled, part, fetch)
                totals.append(program.run(self._public, columns))
            except ProtocolError as error:
                return [f"block {part.block}: {error}"]
        blocks = [inputs.Block(p.block, p.inputs, p.slots) for p in ticket.parts]
        made = inputs.block_messages(gate, self._obfuscators, totals, blocks, seed)
        numbers = (part.block for part in ticket.parts)
        found = []
        if (
            message_hash(zip(numbers, (message for message, _ in made), strict=True))
            != ticket.message
        ):
            found.append("the message to the authority is another one")
        if pads_digest(pad for _, pad in made) != ticket.pads:
            found.append("the pads are other ones")
        return found

    def _columns(
        self, case: JobCase, compiled: Compiled, part: Part, fetch: Fetch
    ) -> list[Ciphertext]:
        """Fetch a block of every dataset; raises `ProtocolError`."""
        resting = Resting(self._public, compiled, case.ticket.bases, case.named)
        rests, found = resting.columns((part.block, part.slots[0]), fetch)
        if rests.root != part.inputs:
            raise ProofInvalid("the ciphertexts are not those of the ticket")
        return found

    def _subject(self, case: JobCase, subject: Seated, fetch: Fetch) -> list[str]:
        place = _place(case.ticket, subject.entry)
        if place is None:
            return [f"entry {subject.entry} has no slot in this message"]
        block, slot = place
        ref, found = subject.subject_ref, []
        leaf = row_leaf(block, slot, ref, subject.row_salt)
        for basis in case.ticket.bases:
            if not inputs.basis(case.named.get(basis.dataset), block)[0]:
                continue
            try:
                self._check_row(case, basis, place, fetch, leaf)
            except ProtocolError as error:
                found.append(f"entry {subject.entry} in `{basis.dataset}`: {error}")
        if subject.entry_salt:
            found += _listed(case, subject)
        return found

    def _check_row(
        self,
        case: JobCase,
        basis: Basis,
        place: tuple[int, int],
        fetch: Fetch,
        leaf: bytes,
    ) -> None:
        (number, slot), manifest = place, case.named[basis.dataset]
        block = _need(fetch(basis, number, slot), basis, manifest)
        row_map, slots = (
            case.maps.get(basis.dataset),
            slots_per_block(self._public.bits),
        )
        if row_map is None or row_map.root != manifest.row_map_root:
            raise ProofInvalid("packed by a map that is not in the journal")
        if row_map.slots != slots or slot >= slots:
            raise ProofInvalid(f"expected slots of 0 to {slots - 1}")
        verify_inclusion(
            leaf_hash(block.row_leaf),
            number * slots + slot,
            row_map.rows,
            block.row_inclusion,
            row_map.root,
        )
        if block.row_leaf != leaf:
            raise ProofInvalid(f"slot {slot} of block {number} is another subject's")


@dataclass(frozen=True, slots=True)
class Resting:
    """What a message over several blocks rests on."""

    public: PublicKey
    compiled: Compiled
    bases: Sequence[Basis]
    named: Mapping[str, Manifest]  # the versions that the ticket names

    def columns(
        self, place: tuple[int, int], fetch: Fetch
    ) -> tuple[Inputs, list[Ciphertext]]:
        """Fetch a block of every dataset, by one of its slots.

        Raises `ProtocolError` for ciphertexts that are not what a custodian signed.
        """
        number, slot = place
        records: dict[str, bytes] = {}
        items = []
        for basis in self.bases:
            item = inputs.absent(basis.dataset)
            version, row_map = inputs.basis(self.named.get(basis.dataset), number)
            if version:
                manifest = self.named[basis.dataset]
                block = _need(fetch(basis, number, slot), basis, manifest)
                leaf = leaf_of(self.public, manifest, number, block)
                verify_inclusion(
                    leaf,
                    number,
                    manifest.blocks,
                    block.inclusion,
                    manifest.ciphertext_root,
                )
                records[basis.dataset] = block.records
                item = Input(basis.dataset, version, leaf, row_map)
            items.append(item)
        rests, size = Inputs(number, slot, tuple(items)), self.public.ciphertext_bytes

        def read(item: Input, numbers: Sequence[int]) -> list[Ciphertext]:
            data = records[item.dataset]
            if max(numbers, default=0) >= len(data) // size:
                raise FormatError(f"`{item.dataset}` lacks columns of the contract")
            found = [
                ciphertext_from_bytes(data[at * size : (at + 1) * size])
                for at in numbers
            ]
            check_ciphertexts(self.public, found)
            return found

        return rests, inputs.columns(self.compiled, rests, read, inputs.ZERO)


def _need(block: Block | None, basis: Basis, manifest: Manifest) -> Block:
    if block is None:
        raise ProofInvalid(f"the house does not have it of `{basis.dataset}`")
    if block.manifest.payload != manifest.to_bytes():
        raise ProofInvalid(
            f"the house shows another manifest of `{basis.dataset}` than it journalled"
        )
    return block


def _versions(case: JobCase) -> list[str]:
    """Compare a ticket's versions with the contract's datasets and newest pushes."""
    if case.job is None:
        return ["the job is not in the journal before the message"]
    return versions(case.compiled, case.ticket.bases, case.newest)


def versions(
    compiled: Compiled | None, bases: Sequence[Basis], before: Mapping[str, Manifest]
) -> list[str]:
    """Compare a ticket's versions with the contract's datasets and newest pushes."""
    if compiled is None:
        return ["the contract is not in the journal before the message"]
    reads = [used.id for used in compiled.datasets]
    if [basis.dataset for basis in bases] != reads:
        return ["the ticket is on other datasets than its contract's"]
    found = []
    for basis in bases:
        newest = before.get(basis.dataset)
        expected = (
            (0, inputs.NOTHING)
            if newest is None
            else (newest.version, newest.row_map_root)
        )
        if basis.version != expected[0]:
            found.append(
                f"rests on version {basis.version} of `{basis.dataset}`, version"
                f" {expected[0]} was the newest"
            )
        elif basis.row_map_root != expected[1]:
            found.append(f"names another map for `{basis.dataset}` than its push")
    return found


def _place(ticket: JobTicket, entry: int) -> tuple[int, int] | None:
    """Find the block and slot that a ticket gives an entry."""
    for part in ticket.parts:
        if entry in part.entries:
            return part.block, part.slots[part.entries.index(entry)]
    return None


def _listed(case: JobCase, subject: Seated) -> list[str]:
    """Compare an entry of the bank's list with the subject that was opened."""
    if case.job is None:
        return []  # told already
    commitment = digest(Tag.SUBJECT, subject.subject_ref, subject.entry_salt)
    leaf = entry_leaf(commitment, subject.consent)
    try:
        root = subset.root(case.job.entries, [subject.entry], [leaf], subject.proof)
    except ProofInvalid as error:
        return [f"entry {subject.entry}: {error}"]
    if root != case.job.root:
        return [f"entry {subject.entry} of the list is another subject's"]
    return []
