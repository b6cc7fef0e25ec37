"""How a bank reads what a job released: nothing is believed, everything is shown.

Before an answer is opened the bank refuses (PROTOCOL 3, 7 and 4)

 1. a ticket that is not the house's, or is for another job, contract or gate, or
    whose entries are not of its list, or had an outcome before;
 2. a receipt that is not the authority's, or is not for that ticket;
 3. pad keys that are not the ticket's;
 4. permits that are not shown to be in the authority's journal: for every slot of
    the ticket, the entry of the list that the ticket says, under the consent that
    the list says; an outcome that is not shown to be in the house's journal;
 5. a box that does not open, or is not what the receipt says, for the slots that
    the receipt has not dropped.

Refusals are signed by house or authority, and are about entries without outcome.
An entry ends in exactly one way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts import job_bodies
from contracts.compiled import Compiled
from contracts.decide import Reason
from node.domain import SERVERS, Role, TrustDomain
from node.errors import NotFound, ReplyRefused, RoleRefused
from node.status import from_wire
from node.wire.v1 import job_pb2
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.errors import ProtocolError
from protocols.job import (
    Job,
    JobDenials,
    JobOpened,
    JobReceipt,
    JobTicket,
    Part,
    Permits,
    job_hash,
    pads_digest,
    read_cells,
    receipt_hash,
    ticket_hash,
)
from protocols.lookup import KEY_BYTES, bank_open
from protocols.note import LogProof
from protocols.sign import Signed, verify
from protocols.slots import Ints, split
from protocols.split import SplitGate

OPEN: Final = -1_000_000  # the code of an entry that has not ended
WITHDRAWN: Final = -1_000_001  # permitted, then withdrawn before the decryption
DENIED: Final = -2_000_000  # minus the number of the reason


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """What a release says: entries of the list, and a code for each."""

    entries: Ints
    codes: Ints  # one for each
    details: tuple[str, ...]  # of refusals; else empty
    ticket: bytes  # of an answer; else empty


class Reader:
    """Checks and opens the releases of one job, in any order, each once."""

    def __init__(
        self,
        trust: TrustDomain,
        unseal: Callable[[bytes, bytes], bytes],  # info, box
        signed: Signed,
        consents: Sequence[str],
        compiled: Compiled,
    ) -> None:
        self.codes: Ints = np.full(len(consents), OPEN, np.int64)
        self.details: dict[int, str] = {}
        self._domain = trust
        self._unseal = unseal
        self._job = Job.parse(signed.payload)
        self._name = job_hash(signed.payload)
        self._consents = consents
        self._gate = SplitGate(compiled.card)
        if compiled.hash != self._job.contract:
            raise RuntimeError("a job is read with its own contract")

    def read(self, release: job_pb2.FetchJobResponse) -> Read:
        """Read a release; raises `ReplyRefused`, and then nothing of it counts."""
        try:
            if release.WhichOneof("release") == "denials":
                read = self._denials(from_wire(release.denials))
            else:
                read = self._answer(release.answer)
        except ProtocolError as error:
            raise ReplyRefused(f"the reply proves nothing: {error}") from None
        self.codes[read.entries] = read.codes
        told = zip(read.entries.tolist(), read.details, strict=False)
        self.details |= {entry: detail for entry, detail in told if detail}
        return read

    def _open_entries(self, entries: Sequence[int]) -> Ints:
        """Return entries that are in the list, each once, and have not ended."""
        if len(set(entries)) != len(entries):
            raise ReplyRefused("an entry is there twice")
        if not entries or max(entries) >= len(self._consents):
            raise ReplyRefused("an entry that is not in the list")
        found = np.array(entries, np.int64)
        if (self.codes[found] != OPEN).any():
            raise ReplyRefused("an entry that has ended before")
        return found

    # -- refusals

    def _denials(self, signed: Signed) -> Read:
        denials = JobDenials.parse(signed.payload)
        try:
            party = self._domain.party(denials.by, *SERVERS)
        except (NotFound, RoleRefused) as wrong:
            raise ReplyRefused(f"refusals prove nothing: {wrong}") from None
        verify(Tag.JOB_DENIALS, signed, party.sign)
        if denials.job != self._name:
            raise ReplyRefused("refusals of another job")
        if not self._job.where and any(
            item.reason == Reason.OUTSIDE_FILTER for item in denials.items
        ):
            raise ReplyRefused("refusals by a filter that the job has not")
        return Read(
            self._open_entries([item.index for item in denials.items]),
            np.array([DENIED - _number(item.reason) for item in denials.items]),
            tuple(item.detail for item in denials.items),
            b"",
        )

    # -- answers

    def _answer(self, answer: job_pb2.JobAnswer) -> Read:
        ticket, name = self._check_ticket(from_wire(answer.ticket))  # 1
        receipt = self._check_receipt(from_wire(answer.receipt), name)  # 2
        pads = _pads(answer.pads, len(ticket.parts))
        if pads_digest(pads) != ticket.pads:  # 3
            raise ReplyRefused("pads of another ticket")
        self._check_permits(answer.permits, receipt.permits, ticket.parts)  # 4
        self._check_outcome(answer, name)
        entries = self._open_entries([e for part in ticket.parts for e in part.entries])
        left = _left(receipt, ticket.parts)
        blocks = list(zip(ticket.parts, pads, left, strict=True))
        codes = np.full(len(entries), WITHDRAWN, np.int64)
        codes[np.concatenate(left)] = self._open(answer.box, receipt, blocks)  # 5
        return Read(entries, codes, (), name)

    def _check_ticket(self, signed: Signed) -> tuple[JobTicket, bytes]:
        verify(Tag.JOB_TICKET, signed, self._domain.house.sign)
        ticket = JobTicket.parse(signed.payload)
        if ticket.job != self._name:
            raise ReplyRefused("a ticket for another job")
        if ticket.contract != self._job.contract or ticket.gate != self._gate.name:
            raise ReplyRefused("a ticket for another contract or gate")
        return ticket, ticket_hash(signed.payload)

    def _check_receipt(self, signed: Signed, ticket: bytes) -> JobReceipt:
        verify(Tag.JOB_RECEIPT, signed, self._domain.authority.sign)
        receipt = JobReceipt.parse(signed.payload)
        if receipt.ticket != ticket:
            raise ReplyRefused("a receipt for another ticket")
        return receipt

    def _check_permits(
        self, permits: job_pb2.JobPermits, stated: Permits, parts: Sequence[Part]
    ) -> None:
        if tuple(entry.index for entry in permits.entries) != stated.indices:
            raise ReplyRefused("other permits than the receipt names")
        verifiers = self._domain.verifiers(Role.AUTHORITY)
        seats: dict[int, job_bodies.Seats] = {}
        for proven in permits.entries:
            proof = LogProof(proven.index, tuple(proven.inclusion), permits.checkpoint)
            checkpoint = proof.verify(proven.entry, verifiers)
            if (checkpoint.size, checkpoint.root) != (stated.size, stated.root):
                raise ReplyRefused("the proof is not the one the receipt names")
            entry = Entry.parse(proven.entry)
            if entry.kind is not Kind.JOB_PERMIT or entry.call != self._name.hex():
                raise ReplyRefused("the proof is of another entry than a permit")
            body = job_bodies.Permit.parse(entry.body)
            seats |= {seat.block: seat for seat in body.seats}
        for part in parts:
            seat = seats.get(part.block)
            if seat is None or (seat.slots, seat.entries) != (part.slots, part.entries):
                raise ReplyRefused(f"block {part.block} is not what was permitted")
            if seat.consents != tuple(self._consents[e] for e in part.entries):
                raise ReplyRefused(f"block {part.block}: permits of other consents")

    def _check_outcome(self, answer: job_pb2.JobAnswer, ticket: bytes) -> None:
        proof = LogProof.parse(answer.outcome.proof)
        proof.verify(proof.extra, self._domain.verifiers(Role.HOUSE))
        entry = Entry.parse(proof.extra)
        if entry.kind is not Kind.JOB_OUTCOME or entry.call != self._name.hex():
            raise ReplyRefused("the proof is of another entry than the outcome")
        outcome = job_bodies.Outcome.parse(entry.body)
        receipt = receipt_hash(answer.receipt.payload)
        if (outcome.ticket, outcome.receipt) != (ticket, receipt):
            raise ReplyRefused("an outcome with another ticket or receipt")

    def _open(
        self,
        box: bytes,
        receipt: JobReceipt,
        blocks: Sequence[tuple[Part, bytes, NDArray[np.bool_]]],
    ) -> Ints:
        """Open a box and read the codes of the slots that are left in `blocks`."""
        gate, count = self._gate, sum(int(left.sum()) for _, _, left in blocks)
        data = self._unseal(receipt.ticket, box)
        opened = JobOpened.parse(data, count, gate.row_bytes)
        if opened.digest() != receipt.opened:
            raise ReplyRefused("the box is not the one the authority made")
        u = split(read_cells(opened.cells), gate.card.fields)
        rows = np.frombuffer(opened.rows, np.uint8).reshape(-1, gate.row_bytes)
        codes = np.empty(count, np.int64)
        at = 0
        for part, pad_key, left in blocks:
            slots = np.array(part.slots)[left].tolist()
            end = at + len(slots)
            if slots:
                codes[at:end] = bank_open(gate, u[at:end], rows[at:end], pad_key, slots)
            at = end
        return codes


def reason_of(code: int) -> Reason:
    """Return the reason of a refusal's code."""
    return _REASONS[DENIED - code]


_REASONS: Final = tuple(Reason)


def _number(reason: str) -> int:
    try:
        return _REASONS.index(Reason(reason))
    except ValueError:
        raise ReplyRefused("a refusal for an unknown reason") from None


def _pads(data: bytes, blocks: int) -> list[bytes]:
    if len(data) != blocks * KEY_BYTES:
        raise ReplyRefused("expected a pad key for each block")
    return [data[at : at + KEY_BYTES] for at in range(0, len(data), KEY_BYTES)]


def _left(receipt: JobReceipt, parts: Sequence[Part]) -> list[NDArray[np.bool_]]:
    """Mark, block by block, the slots that the receipt has not dropped."""
    dropped = {block: frozenset(out) for block, out in receipt.dropped}
    left = []
    for part in parts:
        out = dropped.pop(part.block, frozenset())
        if not out <= set(part.slots):
            raise ReplyRefused("a receipt that drops what was not asked")
        left.append(np.array([slot not in out for slot in part.slots]))
    if dropped:
        raise ReplyRefused("a receipt that drops what was not asked")
    return left
