"""Transcript replay of private calls: the message over all candidates, made again.

As `contracts.transcript` does for a call, with the seed that two auditors open.  What
is checked, in order:

 1. *Ticket*: the house signed it, for this request and contract; its places exist.
 2. *Seed*: the shares make the seed that the ticket commits to.
 3. *Versions*: of the contract's datasets, each the newest push before the intent.
 4. *Blocks*: the ciphertexts are what custodians signed, and those of the ticket.
 5. *Message*: ciphertexts, tables of every candidate and pads have the ticket's hashes.

So a house that spoilt the tables of some candidates, to see who was meant, is found
whoever was meant.  That a place is the candidate's is not seen here: whoever holds the
map opens its row (`contracts.job_transcript.Seated` does so for jobs).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from contracts import inputs, private_bodies
from contracts.compiled import Compiled
from contracts.gates import Machine
from contracts.holdings import Holdings
from contracts.inputs import Block
from contracts.job_transcript import NOT_SEED, Fetch, Resting, versions
from contracts.rebuild import Pins
from contracts.transcript import Replayed, Share, combine
from protocols.blocks import Manifest
from protocols.call import seed_commitment
from protocols.canon import Tag
from protocols.drbg import SEED_BYTES
from protocols.entry import Entry, Kind
from protocols.errors import ProtocolError
from protocols.job import message_hash, pads_digest
from protocols.paillier import FixedBase, PublicKey
from protocols.private_call import PrivateRequest, PrivateTicket, inputs_digest
from protocols.slots import slots_per_block


@dataclass(frozen=True, slots=True)
class PrivateCase:
    """A private call, as the house's journal has it, and what it rests on there."""

    call: bytes  # request hash
    index: int  # of the intent
    ticket: PrivateTicket
    compiled: Compiled | None  # None if the journal has no such contract
    newest: Mapping[str, Manifest]  # by dataset, before the intent
    named: Mapping[str, Manifest]  # the versions that the ticket names
    flaws: tuple[str, ...] = ()  # of the ticket


class PrivateCases:
    """Collects calls from the house's journal; `feed` it every entry in order."""

    def __init__(self, wanted: Collection[bytes], pins: Pins) -> None:
        """Look for the calls of these request hashes."""
        self.found: dict[bytes, PrivateCase] = {}
        self._wanted = {call.hex() for call in wanted}
        self._held = Holdings(pins)

    def feed(self, index: int, entry: Entry) -> None:
        """Read one entry; raises `ProtocolError` for a wanted one that is malformed."""
        if entry.kind is Kind.PRIVATE_INTENT and entry.call in self._wanted:
            case = self._case(index, entry)
            self.found.setdefault(case.call, case)
        self._held.feed(entry)

    def _case(self, index: int, entry: Entry) -> PrivateCase:
        body = private_bodies.Intent.parse(entry.body)
        request = PrivateRequest.parse(body.request.payload)
        ticket = PrivateTicket.parse(body.ticket.payload)
        flaws = []
        try:
            self._held.pins.verify(Tag.PRIVATE_REQUEST, body.request, request.bank)
            self._held.pins.verify(Tag.PRIVATE_TICKET, body.ticket)
        except ProtocolError as error:
            flaws.append(str(error))
        if (ticket.request.hex(), ticket.contract) != (entry.call, request.contract):
            flaws.append("the ticket is for another request or contract")
        return PrivateCase(
            call=bytes.fromhex(entry.call),
            index=index,
            ticket=ticket,
            compiled=self._held.contracts.compiled(ticket.contract),
            newest=self._held.newest(basis.dataset for basis in ticket.bases),
            named=self._held.named(
                (basis.dataset, basis.version) for basis in ticket.bases
            ),
            flaws=tuple(flaws),
        )


class PrivateTranscripts:
    """Computes private calls again, under one Paillier key."""

    def __init__(self, public: PublicKey) -> None:
        self._public = public
        self._obfuscators = FixedBase(public, public.authority_exponent_bits)

    def replay(
        self, case: PrivateCase, shares: Iterable[Share], fetch: Fetch
    ) -> Replayed:
        """Compute a call again.

        Raises `FormatError` for shares that are not two auditors', of this call.
        """
        seed = combine(shares)
        differences = [*case.flaws]  # 1
        fits = len(seed) == SEED_BYTES and seed_commitment(seed) == case.ticket.seed
        if not fits:  # 2
            differences.append(NOT_SEED)
        stale = versions(case.compiled, case.ticket.bases, case.newest)  # 3
        differences += stale
        if fits and not stale and case.compiled is not None:
            differences += self._computed(case, case.compiled, seed, fetch)  # 4, 5
        return Replayed(case.call, case.index, tuple(differences))

    def _computed(
        self, case: PrivateCase, compiled: Compiled, seed: bytes, fetch: Fetch
    ) -> list[str]:
        ticket, machine = case.ticket, Machine(compiled)
        if ticket.gate != machine.gate.name:
            return [
                f"the ticket names gate `{ticket.gate}`, expected `{machine.gate.name}`"
            ]
        count = slots_per_block(self._public.bits)
        if any(slot >= count for _, slot in ticket.places):
            return ["the ticket names a place outside its block"]
        resting = Resting(self._public, compiled, ticket.bases, case.named)
        roots, made = [], []
        for number, slots in ticket.blocks:
            try:
                rests, columns = resting.columns((number, slots[0]), fetch)
                totals = machine.totals(self._public, columns)
            except ProtocolError as error:
                return [f"block {number}: {error}"]
            roots.append(rests.root)
            block = Block(number, rests.root, slots)
            made.append(
                inputs.candidates_message(
                    machine.gate, self._obfuscators, totals, block, seed
                )
            )
        found = []
        if inputs_digest(roots) != ticket.inputs:  # 4
            found.append("the ciphertexts are not those of the ticket")
        numbers = (number for number, _ in ticket.blocks)
        messages = zip(numbers, (message for message, _ in made), strict=True)
        if message_hash(messages) != ticket.message:  # 5
            found.append("the message to the authority is another one")
        if pads_digest(pads for _, pads in made) != ticket.pads:
            found.append("the pads are other ones")
        return found
