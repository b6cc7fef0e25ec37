"""One job, from its list to what its bank may fetch, resumable at any instant.

The directory is gone through once, in order, in stretches of some thousand
entries; each step is on the disk before the next one begins:

 1. the plan: the row in the directory of everybody who has consented
    (`node.job_list`);
 2. a stretch is decided on this node's register, in one transaction: `job.ask`
    names who is allowed here, `job.deny` who is not and why, and refusals can be
    fetched.  A block whose ciphertexts are damaged denies its subjects; or, as
    the bank chose, it fails the job before anything is used;
 3. the authority permits, in one transaction of its own; asked again after a
    crash it says the same;
 4. the permitted blocks go into messages; each is computed on the newest data, and
    its ticket journalled as `job.intent`, in the transaction that finds the data
    still the newest;
 5. the authority decrypts, once; a message that was interrupted is made again from
    its ticket and must come to the same bytes;
 6. `job.outcome` and what the bank may fetch, in one transaction.

While one stretch is computed the next is asked about and the one after it decided,
and some messages are under way at a time.  At the end `job.end` is journalled, and
seed and list are erased.
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

import apsw
import numpy as np

from contracts import job_bodies
from contracts.bodies import Body
from contracts.decide import (
    OUTSIDE_BY,
    UNKNOWN_TO_JOB,
    Ask,
    Finding,
    Grant,
    Reason,
    Terms,
    decide,
)
from contracts.job_bodies import RefusedEntry, Seats, pages
from node import attributes as attributes_room
from node import clock, consents, directory, job_store, log, names
from node.ahead import Ahead
from node.attributes import Attributes
from node.errors import ReplyRefused
from node.house import House
from node.job_denial import Desk
from node.job_list import NO_ROW, OUTSIDE, JobFolder, Plan
from node.job_sources import Sources
from node.job_store import Counts, Record, State, Stretch
from node.job_work import Computing, Made
from node.keys import HouseKeys
from node.ledger import Transaction
from node.mapped import MANY
from node.room import check_room
from node.status import from_wire, to_wire
from node.wire.v1 import common_pb2, job_evaluation_pb2, job_pb2
from protocols import subset
from protocols.call import seed_commitment
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.errors import ProtocolError
from protocols.job import (
    DENY,
    Job,
    JobReceipt,
    JobTicket,
    Part,
    join,
    message_hash,
    pads_digest,
    receipt_hash,
    ticket_hash,
)
from protocols.paillier import ciphertext_to_bytes
from protocols.seal import unwrap
from protocols.sign import Signed, sign
from protocols.slots import slots_per_block
from protocols.tlog import Tree

STRETCH: Final = 20_000  # entries; the authority decides them in one transaction
STRETCH_BYTES: Final = 3_000_000  # of them on the wire
ENTRY_BYTES: Final = 90  # of one, without its consent's id
BLOCKS: Final = 64  # of a message
MESSAGE_BYTES: Final = 3_500_000
TICKET_BYTES: Final = 45_000  # a ticket must fit an entry of the journal, escaped
COURIERS: Final = 4  # messages under way at a time


class JobPeer(Protocol):
    """The authority, near or far."""

    def admit_job(self, signed: Signed) -> None:
        """Admit a job; raises `Denied`, `Unreachable`."""

    def permit_job(
        self, message: job_evaluation_pb2.PermitJobRequest
    ) -> job_evaluation_pb2.PermitJobResponse:
        """Decide a stretch; raises `Denied`, `Unreachable`."""

    def evaluate_job(
        self, message: job_evaluation_pb2.EvaluateJobRequest
    ) -> job_evaluation_pb2.EvaluateJobResponse:
        """Decrypt some blocks; raises `Denied`, `HeadUnknown`, `Unreachable`."""


@dataclass(frozen=True, slots=True, repr=False)
class Stage:
    """What every job is run with."""

    house: House
    keys: HouseKeys
    attributes: Attributes
    folder: JobFolder
    authority: JobPeer
    computing: Computing
    desk: Desk


@dataclass(frozen=True, slots=True)
class Group:
    """Blocks that go to the authority in one message, with places of the list."""

    stretch: int
    number: int
    blocks: tuple[tuple[int, tuple[int, ...], tuple[int, ...]], ...]  # slots, entries

    @property
    def place(self) -> tuple[int, int]:
        """Its name in the job."""
        return self.stretch, self.number


class Run:
    """A job being worked on."""

    def __init__(self, stage: Stage, record: Record, closing: threading.Event) -> None:
        self.name = record.id
        self.cancelled = threading.Event()
        self.got_on = False  # since it was made
        if record.cancel is not None:
            self.cancelled.set()
        self._stage = stage
        self._record = record
        self._closing = closing
        self._house = stage.house
        self._ledger = stage.house.ledger
        self._slots = slots_per_block(stage.house.domain.paillier.bits)

    def run(self) -> None:
        """Work until the job has ended, or this node is closing.

        Raises `Unreachable`, `Denied`, `DiskFull`, `VaultDamaged`: then what is on
        the disk stands, and `run` may be called anew, or `end`.
        """
        if self.cancelled.is_set():
            self.end(State.CANCELLED, "")
            return
        self._check_room()
        self._job: Job = self._record.job
        self._ledger.commit(lambda tx: job_store.begin(tx, self.name))
        self._load()
        with (
            Ahead(self._decided(), 1) as decided,
            Ahead(self._asked(decided), 1) as permitted,
            ThreadPoolExecutor(COURIERS, "courier") as couriers,
        ):
            under_way: deque[Future[None]] = deque()
            try:
                for group in self._groups(permitted):
                    while len(under_way) >= COURIERS:
                        under_way.popleft().result()
                    under_way.append(couriers.submit(self._deliver, group))
                for delivery in under_way:
                    delivery.result()
            finally:
                couriers.shutdown(wait=True, cancel_futures=True)
        if self._closing.is_set():
            return
        cancelled = self.cancelled.is_set()
        self.end(State.CANCELLED if cancelled else State.FINISHED, "")

    def end(self, state: State, reason: str) -> None:
        """Journal that nothing more comes of the job; erase what it needed."""

        def keep(transaction: Transaction) -> None:
            record = job_store.find(transaction.db, self.name)
            if record is None or record.state.ended:
                return
            body = job_bodies.End(
                self.name, state, record.denied, record.permitted, record.released
            )
            self._append(transaction, Kind.JOB_END, body)
            job_store.end(transaction, self.name, state, reason)

        self._ledger.commit(keep)
        self._stage.folder.erase(self.name)

    def _load(self) -> None:
        record, folder = self._record, self._stage.folder
        if record.secret is None:
            raise AssertionError("a job under way without its seed")
        self._seed = unwrap(self._stage.keys.at_rest, self.name, record.secret)
        self._entries = folder.read_list(self.name, self._job.entries)
        self._tree = Tree(self._entries.leaves())
        with self._ledger.reader() as db:
            self._compiled = self._house.registry.compiled(db, self._job.contract)
            begun = job_store.stretch(db, self.name, 0) is not None
        self._gate = self._house.registry.job_gate(self._compiled)
        plan = folder.read_plan(self.name)
        if plan is None and begun:
            # Another plan would put the entries that were decided in other places.
            raise folder.damaged(self.name, "plan")
        if plan is None:  # 1
            plan = self._make_plan()
            if self._job.damaged != DENY:
                self._refuse_damage(plan)
            folder.keep_plan(self.name, plan)
        self._plan = plan

    def _make_plan(self) -> Plan:
        """Look up those who have consented, and nobody else (`node.job_list`)."""
        rows = np.full(self._job.entries, NO_ROW, np.int64)
        with self._ledger.reader() as db:
            terms = self._house.registry.terms(db, self._job.contract)
            for first in range(0, len(rows), STRETCH):
                stop = min(first + STRETCH, len(rows))
                rows[first:stop] = self._rows(db, terms, range(first, stop))
            if self._job.where:
                _, table = attributes_room.find(db, self._compiled.subject_type)
                inside = self._stage.attributes.rows(table, self._job.where)
                rows[(rows >= 0) & ~np.isin(rows, inside)] = OUTSIDE
        return Plan.of(rows)

    def _rows(
        self, db: apsw.Connection, terms: Terms | None, entries: range
    ) -> list[int]:
        key, job, now_ms = self._stage.keys.pseudonym, self._job, clock.now_ms()
        subjects = names.of(db, key, map(self._entries.ref, entries))
        wanted = [
            (self._entries.consents[entry], subject)
            for entry, subject in zip(entries, subjects, strict=True)
        ]

        def allows(grant: Grant) -> bool:
            name = grant.consent.consent_id
            ask = Ask(job.bank, job.purpose, grant.subject, name, 0)
            try:
                return decide(ask, terms, grant, None, now_ms).allow
            except (RuntimeError, ArithmeticError):
                return False  # an error while deciding is a denial

        allowed = consents.allowing(db, wanted, allows, now_ms)
        chosen = (name for name, right in zip(subjects, allowed, strict=True) if right)
        known = iter(directory.places(db, self._compiled.subject_type, chosen))
        found = (next(known) if right else None for right in allowed)
        return [NO_ROW if row is None else row for row in found]

    # -- stretches

    def _decided(self) -> Iterator[Stretch]:
        """Go through the plan, stretch by stretch, deciding here."""
        number = first = 0
        while first < len(self._plan) and not self._stopping():
            with self._ledger.reader() as db:
                stretch = job_store.stretch(db, self.name, number)
            if stretch is None:
                self._check_room()
                stretch = self._decide(number, first)  # 2
            yield stretch
            number, first = number + 1, stretch.stop

    def _asked(self, decided: Iterator[Stretch]) -> Iterator[Stretch]:
        """Have stretches permitted by the authority."""
        for stretch in decided:
            if self._stopping():
                return
            yield stretch if stretch.reply is not None else self._ask(stretch)  # 3

    def _groups(self, permitted: Iterator[Stretch]) -> Iterator[Group]:
        for stretch in permitted:
            for group in self._grouped(stretch):
                if self._stopping():
                    return
                yield group

    def _check_room(self) -> None:
        check_room(self._ledger.folder, self._house.domain.house.id)

    def _stopping(self) -> bool:
        return self.cancelled.is_set() or self._closing.is_set()

    def _stop_of(self, first: int) -> int:
        """Find the end of the stretch that begins at a position: whole blocks."""
        rows, end = self._plan.rows, min(first + STRETCH, len(self._plan))
        size = 0
        for position in range(first, end):
            entry = int(self._plan.entries[position])
            size += ENTRY_BYTES + len(self._entries.consents[entry].encode())
            if size > STRETCH_BYTES:
                end = position
                break
        if rows[first] < 0:
            return min(end, int(np.searchsorted(rows, rows[first], side="right")))
        if end < len(self._plan):
            block = rows[end] // self._slots
            end = int(np.searchsorted(rows, block * self._slots))
        if end <= first:
            raise AssertionError("a block that fits no stretch")
        return end

    def _decide(self, number: int, first: int) -> Stretch:
        stop, key = self._stop_of(first), self._stage.keys.pseudonym
        chosen = [int(entry) for entry in self._plan.entries[first:stop]]
        with self._ledger.reader() as db:
            subjects = names.of(db, key, map(self._entries.ref, chosen))
        rows = [int(row) for row in self._plan.rows[first:stop]]
        damaged = self._damaged(rows)

        def keep(transaction: Transaction) -> Stretch:
            refused: list[RefusedEntry] = []
            allowed: list[int] = []
            ids = [self._entries.consents[entry] for entry in chosen]
            known = consents.find_all(transaction.db, ids)
            terms = self._house.registry.terms(transaction.db, self._job.contract)
            bank, purpose = self._job.bank, self._job.purpose
            spends = 0 if terms is None else terms.millibits
            for i, name in enumerate(ids):
                ask = Ask(bank, purpose, subjects[i], name, spends)
                held = known.get(name)
                grant = None if held is None else held.grant
                try:
                    findings = decide(
                        ask, terms, grant, None, transaction.now_ms
                    ).reasons
                except (RuntimeError, ArithmeticError) as error:
                    # An error while deciding is a denial.
                    log.get().error("undecided", error=type(error).__name__)
                    findings = (Finding(Reason.INTERNAL, type(error).__name__),)
                if not findings:
                    findings = self._found(rows[i], damaged)
                if findings:
                    refused.append(RefusedEntry(chosen[i], subjects[i], name, findings))
                else:
                    allowed.append(i)
            self._journal_asked(transaction, chosen, rows, subjects, allowed)
            denials = self._stage.desk.deny(transaction, self.name, refused)
            job_store.release_denials(transaction, self.name, denials)
            bits = np.zeros(len(chosen), np.uint8)
            bits[allowed] = 1
            packed = np.packbits(bits, bitorder="little").tobytes()
            stretch = Stretch(number, first, stop, packed, None)
            job_store.keep_stretch(transaction, self.name, stretch, len(refused))
            return stretch

        return self._ledger.commit(keep).value

    def _refuse_damage(self, plan: Plan) -> None:
        """Look at every block before anything is used; raises `VaultDamaged`."""
        with self._ledger.reader() as db:
            sources = self._sources(db)
        rows = plan.rows[plan.rows >= 0]
        for count, block in enumerate(np.unique(rows // self._slots).tolist(), 1):
            damage = sources.damage(block)
            if damage is not None:
                raise damage
            if count % MANY == 0:
                sources.let_go()
        sources.let_go()

    def _damaged(self, rows: Sequence[int]) -> dict[int, str]:
        """Find the damaged blocks of a stretch, where they deny their subjects."""
        if self._job.damaged != DENY:
            return {}
        with self._ledger.reader() as db:
            sources = self._sources(db)
        blocks = sorted({row // self._slots for row in rows if row >= 0})
        found = [(block, sources.damage(block)) for block in blocks]
        sources.let_go()
        return {block: str(damage) for block, damage in found if damage is not None}

    def _found(self, row: int, damaged: dict[int, str]) -> tuple[Finding, ...]:
        """Say what the directory and the data have against an entry."""
        if row == NO_ROW:
            return (Finding(Reason.NO_CONSENT, UNKNOWN_TO_JOB),)
        if row == OUTSIDE:
            return (Finding(Reason.OUTSIDE_FILTER, OUTSIDE_BY),)
        damage = damaged.get(row // self._slots)
        return (Finding(Reason.DATA_DAMAGED, damage),) if damage else ()

    def _journal_asked(
        self,
        transaction: Transaction,
        chosen: Sequence[int],
        rows: Sequence[int],
        subjects: Sequence[bytes],
        allowed: Sequence[int],
    ) -> None:
        seats = []
        for block, members in _by_block(rows, allowed, self._slots):
            entries = tuple(chosen[i] for i in members)
            seat = Seats(
                block,
                tuple(rows[i] % self._slots for i in members),
                entries,
                tuple(subjects[i] for i in members),
                tuple(self._entries.consents[entry] for entry in entries),
            )
            seats.append((seat.most_bytes, seat))
        for page in pages(seats):
            body = job_bodies.Ask(self.name, tuple(page))
            self._append(transaction, Kind.JOB_ASK, body)

    def _ask(self, stretch: Stretch) -> Stretch:
        positions = _positions(stretch.allowed, stretch.first, stretch.stop)
        response = job_evaluation_pb2.PermitJobResponse()
        if positions:
            response = self._stage.authority.permit_job(
                self._question(stretch.number, positions)
            )
        permitted = _positions(response.permitted, 0, len(positions))
        denials = [from_wire(signed) for signed in response.denials]
        denied = len(positions) - len(permitted)
        reply = np.zeros(stretch.stop - stretch.first, np.uint8)
        reply[[positions[i] - stretch.first for i in permitted]] = 1
        packed = np.packbits(reply, bitorder="little").tobytes()

        def keep(transaction: Transaction) -> None:
            counts = Counts(denied=denied, permitted=len(permitted))
            if job_store.answer_stretch(
                transaction, self.name, stretch.number, packed, counts
            ):
                job_store.release_denials(transaction, self.name, denials)

        self._ledger.commit(keep)
        return Stretch(
            stretch.number, stretch.first, stretch.stop, stretch.allowed, packed
        )

    def _question(
        self, number: int, positions: Sequence[int]
    ) -> job_evaluation_pb2.PermitJobRequest:
        chosen = [int(self._plan.entries[p]) for p in positions]
        rows = [int(self._plan.rows[p]) for p in positions]
        entries = self._entries
        return job_evaluation_pb2.PermitJobRequest(
            job=self.name,
            number=number,
            entries=job_pb2.JobEntries(
                subject_refs=b"".join(entries.ref(entry) for entry in chosen),
                salts=b"".join(entries.salt(entry) for entry in chosen),
                consents=[entries.consents[entry] for entry in chosen],
            ),
            indices=chosen,
            blocks=[row // self._slots for row in rows],
            slots=[row % self._slots for row in rows],
            proof=subset.prove(self._tree, sorted(chosen)),
        )

    # -- messages

    def _grouped(self, stretch: Stretch) -> list[Group]:
        """Put a stretch's permitted blocks into messages: the same each time."""
        if stretch.reply is None:
            raise AssertionError("a stretch nobody has permitted")
        positions = _positions(stretch.reply, stretch.first, stretch.stop)
        rows = self._plan.rows
        groups: list[Group] = []
        blocks: list[tuple[int, tuple[int, ...], tuple[int, ...]]] = []
        size = ticket = 0

        def close() -> None:
            nonlocal size, ticket
            if blocks:
                groups.append(Group(stretch.number, len(groups), tuple(blocks)))
            blocks.clear()
            size = ticket = 0

        numbers = [int(rows[p]) for p in positions]
        everybody = range(len(positions))
        for block, members in _by_block(numbers, everybody, self._slots):
            slots = tuple(numbers[i] % self._slots for i in members)
            entries = tuple(int(self._plan.entries[positions[i]]) for i in members)
            cost = self._block_bytes(len(slots))
            named = _ticket_bytes(block, slots, entries)
            if (
                len(blocks) == BLOCKS
                or size + cost > MESSAGE_BYTES
                or ticket + named > TICKET_BYTES
            ):
                close()
            blocks.append((block, slots, entries))
            size, ticket = size + cost, ticket + named
        close()
        return groups

    def _block_bytes(self, slots: int) -> int:
        public = self._house.domain.paillier
        return public.ciphertext_bytes + slots * self._gate.table_bytes

    def _deliver(self, group: Group) -> None:
        """Take a message from wherever it is to where its bank may fetch it."""
        if self._closing.is_set():
            return
        with self._ledger.reader() as db:
            known = job_store.message(db, self.name, group.place)
        if known is not None and known.done:
            return
        self._check_room()
        if known is not None:
            made, ticket = self._again(known.ticket), known.ticket
            intent = known.intent
        else:
            made, ticket, intent = self._depart(group)  # 4
        response = self._evaluate(made, ticket, intent)  # 5
        self._arrive(group, made, ticket, response)  # 6

    def _sources(self, db: apsw.Connection) -> Sources:
        house = self._house
        return Sources.newest(db, house.registry, house.vault, self._compiled)

    def _depart(self, group: Group) -> tuple[Sequence[Made], Signed, int]:
        """Compute and journal; again, if data were pushed in between."""
        while True:
            with self._ledger.reader() as db:
                sources = self._sources(db)
            made = self._compute(sources, [(b, slots) for b, slots, _ in group.blocks])
            ticket = self._ticket(group, sources, made)
            signed = sign(Tag.JOB_TICKET, ticket.to_bytes(), self._stage.keys.ticket)

            def keep(
                transaction: Transaction,
                sources: Sources = sources,
                signed: Signed = signed,
            ) -> int | None:
                if not sources.are_newest(transaction.db, self._house.registry):
                    return None
                body = job_bodies.Intent(signed)
                intent = self._append(transaction, Kind.JOB_INTENT, body)
                job_store.depart(transaction, self.name, group.place, signed, intent)
                return intent

            intent = self._ledger.commit(keep).value
            if intent is not None:
                return made, signed, intent

    def _compute(
        self, sources: Sources, blocks: Sequence[tuple[int, tuple[int, ...]]]
    ) -> Sequence[Made]:
        work = sources.work(self._compiled, self._seed, blocks)
        return self._stage.computing.compute(work)

    def _ticket(
        self, group: Group, sources: Sources, made: Sequence[Made]
    ) -> JobTicket:
        work = sources.work(
            self._compiled, b"", [(b, slots) for b, slots, _ in group.blocks]
        )
        parts = tuple(
            Part(number, one.block.root, slots, entries)
            for one, (number, slots, entries) in zip(
                work.blocks, group.blocks, strict=True
            )
        )
        return JobTicket(
            self.name,
            self._job.contract,
            self._gate.name,
            *group.place,
            clock.now_ms(),
            seed_commitment(self._seed),
            _hash_of(parts, made),
            pads_digest(one.pad_key for one in made),
            sources.bases,
            parts,
        )

    def _again(self, signed: Signed) -> Sequence[Made]:
        """Make a message again from its ticket: the same bytes."""
        ticket, house = JobTicket.parse(signed.payload), self._house
        with self._ledger.reader() as db:
            sources = Sources.named(db, house.registry, house.vault, ticket.bases)
        made = self._compute(sources, [(p.block, p.slots) for p in ticket.parts])
        if _hash_of(ticket.parts, made) != ticket.message:
            raise AssertionError("a resumed job makes another message")
        return made

    def _evaluate(
        self, made: Sequence[Made], ticket: Signed, intent: int
    ) -> job_evaluation_pb2.EvaluateJobResponse:
        public = self._house.domain.paillier
        ciphertexts = b"".join(
            ciphertext_to_bytes(public, one.message.ciphertext) for one in made
        )
        tables = b"".join(one.message.tables for one in made)

        def ask(
            logged: common_pb2.Logged, links: list[common_pb2.HeadLink]
        ) -> job_evaluation_pb2.EvaluateJobResponse:
            return self._stage.authority.evaluate_job(
                job_evaluation_pb2.EvaluateJobRequest(
                    ticket=to_wire(ticket),
                    ciphertexts=ciphertexts,
                    tables=tables,
                    intent=logged,
                    links=links,
                )
            )

        return self._house.consultation.consult(intent, ask)

    def _arrive(
        self,
        group: Group,
        made: Sequence[Made],
        ticket: Signed,
        response: job_evaluation_pb2.EvaluateJobResponse,
    ) -> None:
        try:
            receipt = JobReceipt.parse(response.receipt.payload)
        except ProtocolError as error:
            raise ReplyRefused(f"the authority's receipt: {error}") from None
        name = ticket_hash(ticket.payload)
        answer = job_pb2.JobAnswer(
            ticket=to_wire(ticket),
            receipt=response.receipt,
            box=response.box,
            pads=b"".join(one.pad_key for one in made),
            permits=response.permits,
        )
        withdrawn = sum(len(slots) for _, slots in receipt.dropped)
        counts = Counts(
            withdrawn=withdrawn,
            released=sum(len(slots) for _, slots, _ in group.blocks) - withdrawn,
        )
        body = job_bodies.Outcome(name, receipt_hash(response.receipt.payload))

        def keep(transaction: Transaction) -> None:
            if job_store.arrive(transaction, self.name, group.place, name, counts):
                self.got_on = True
                outcome = self._append(transaction, Kind.JOB_OUTCOME, body)
                job_store.release_answer(transaction, self.name, answer, outcome)

        self._ledger.commit(keep)

    def _append(self, transaction: Transaction, kind: Kind, body: Body) -> int:
        actor = self._house.domain.house.id
        return transaction.append(kind, actor, self.name.hex(), body.to_body())


def _positions(bits: bytes, first: int, stop: int) -> list[int]:
    """Read a bit map of positions first..stop."""
    unpacked = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")
    return [first + int(i) for i in np.flatnonzero(unpacked[: stop - first])]


def _by_block(
    rows: Sequence[int], chosen: Sequence[int], slots: int
) -> list[tuple[int, list[int]]]:
    blocks: dict[int, list[int]] = {}
    for i in chosen:
        blocks.setdefault(rows[i] // slots, []).append(i)
    return list(blocks.items())


def _ticket_bytes(block: int, slots: Sequence[int], entries: Sequence[int]) -> int:
    """Say how much of a ticket, written into a journal, a block takes."""
    runs = join(zip(slots, entries, strict=True))
    return 80 + len(str(block)) + sum(len(str(run)) for run in runs)


def _hash_of(parts: Sequence[Part], made: Sequence[Made]) -> bytes:
    blocks = (part.block for part in parts)
    return message_hash(zip(blocks, (one.message for one in made), strict=True))
