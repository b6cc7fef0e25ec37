"""The authority's part of jobs, as numbered steps (PROTOCOL 4).

`admit` takes a job while it is fresh:

 1. the bank signed it under its pinned key; its jti is nobody else's, its `iat`
    near the clock; the contract is in force for this bank and purpose.

It comes in stretches of the directory.  `permit` decides one, some thousand
subjects, in **one** transaction, with the function that decides a single call
(`contracts.decide`):

 2. the entries are in the list that the bank signed, each at its own place;
 3. blocks and slots ascend; no entry and no block of the job came before;
 4. for each entry: contract, consent, uses, frequency, bits.  What is permitted is
    counted and journalled as `job.permit`, what is refused as `job.deny` with
    every reason.

The same stretch again gets the stored answer.  `evaluate` decrypts permitted
blocks, each once:

 5. the house signed the ticket, and its intent is in its signed head, which
    extends every head seen;
 6. the ticket is for this job and contract, in the gate of jobs, and its slots are
    exactly the permitted ones of each block;
 7. the message has the sizes that the contract fixes and the ticket's hash; every
    ciphertext is in range and a unit;
 8. no block of it was in another message, and the contract is still in force: else
    the job is refused;
 9. consents that were withdrawn or suspended since the permit are left out, and
    `job.decrypt` says so, durably, before the key is used;
10. decrypt, pick the rows of the slots that are left, seal one box to the bank's
    pinned key, sign the receipt, journal `job.done` with the reply.

The same message again gets the stored reply, for 30 days; later, and after a crash
between 9 and 10, the same ciphertexts are decrypted once more, under the permits
and the entry that exist.  Whatever else fails refuses the job in a signed,
journalled denial with every reason.
"""

import hmac
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from typing import Any, Final, cast

import apsw
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from contracts import job_bodies
from contracts.bodies import Body
from contracts.decide import (
    LIMITS,
    OUTSIDE_BY,
    Ask,
    Finding,
    Grant,
    Reason,
    Terms,
    Usage,
    decide,
    decide_job,
    stands,
)
from contracts.errors import ContractError
from contracts.job_bodies import Dropped, RefusedEntry, Seats, pages
from node import attributes as attributes_room
from node import clock, consents, denial, names
from node.attributes import Attributes
from node.clock import REPLY_FETCHED_MS, REQUEST_SKEW_MS
from node.domain import Party, Role, TrustDomain
from node.errors import NodeError, NotFound, RoleRefused
from node.following import Following, Shown, intent_findings
from node.job_denial import Desk
from node.keys import AuthorityKeys
from node.ledger import Head, Ledger, Transaction
from node.registry import Registry
from node.room import check_room
from node.status import from_wire, to_wire
from node.wire.v1 import job_evaluation_pb2, job_pb2
from protocols import hpke, subset
from protocols.call import decrypted_digest
from protocols.canon import Reader, Tag, digest, dumps, framed, loads
from protocols.entry import Entry, Kind
from protocols.errors import FormatError, ProofInvalid, ProtocolError
from protocols.job import (
    Job,
    JobOpened,
    JobReceipt,
    JobTicket,
    Numbers,
    Permits,
    decrypted_root,
    entry_leaf,
    job_hash,
    message_hash,
    ticket_hash,
    write_cells,
)
from protocols.lookup import Message, authority_pick_all
from protocols.paillier import (
    check_ciphertexts,
    ciphertext_from_bytes,
    gil_released,
)
from protocols.sign import Signed, sign, verify
from protocols.slots import slots_per_block
from protocols.split import SplitGate
from protocols.tlog import HASH_BYTES

SCHEMA: Final = (
    # A row a job; bit i of `decided` is set once entry i was permitted or refused.
    """CREATE TABLE IF NOT EXISTS job(
        id BLOB PRIMARY KEY, bank TEXT NOT NULL, jti BLOB NOT NULL,
        signed BLOB NOT NULL, decided BLOB NOT NULL,
        UNIQUE(bank, jti)) WITHOUT ROWID""",
    # A row a stretch: what was decided about it.
    """CREATE TABLE IF NOT EXISTS job_stretch(
        job BLOB, number INTEGER, digest BLOB NOT NULL, reply BLOB NOT NULL,
        PRIMARY KEY(job, number)) WITHOUT ROWID""",
    # A row a block: the entry with its permits, and the message it was in.
    """CREATE TABLE IF NOT EXISTS job_block(
        job BLOB, block INTEGER, permit INTEGER NOT NULL, ticket BLOB,
        PRIMARY KEY(job, block)) WITHOUT ROWID""",
    # A row a message: what was left out, and the reply until it is forgotten.
    """CREATE TABLE IF NOT EXISTS job_message(
        ticket BLOB PRIMARY KEY, job BLOB NOT NULL, dropped BLOB NOT NULL,
        reply BLOB, forget_ms INTEGER) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS job_message_forget ON job_message(forget_ms)",
)

MOST_STRETCH: Final = 50_000  # entries
FORGET_AT_ONCE: Final = 4  # replies a transaction: they are long


@dataclass(frozen=True, slots=True, repr=False)
class Stretch:
    """Whole blocks of a job, parsed; what is wrong with them is in `findings`."""

    signed: Signed
    job: Job
    name: bytes  # job hash
    number: int
    digest: bytes  # of everything that was sent
    entries: tuple[int, ...]  # places in the bank's list
    blocks: tuple[int, ...]
    slots: tuple[int, ...]
    subjects: tuple[bytes, ...]  # this node's pseudonyms
    consents: tuple[str, ...]
    findings: list[Finding] = field(default_factory=list)

    def wrong(self, reason: Reason, detail: str) -> None:
        """Note a reason to refuse the job."""
        self.findings.append(Finding(reason, detail))


@dataclass(frozen=True, slots=True, repr=False)
class Inquiry:
    """Some blocks of a job to decrypt; what is wrong is in `findings`."""

    signed_ticket: Signed
    ticket: JobTicket
    name: bytes  # ticket hash
    job: Job
    signed_job: Signed
    messages: tuple[Message, ...]  # one a block
    intent: Shown | None
    permits: tuple[int, ...]  # entries of the journal
    seats: Mapping[int, Seats]  # what they permit, by block
    findings: list[Finding] = field(default_factory=list)

    def wrong(self, reason: Reason, detail: str) -> None:
        """Note a reason to refuse the job."""
        self.findings.append(Finding(reason, detail))


@dataclass(frozen=True, slots=True, repr=False)
class Leave:
    """Leave to decrypt, on the disk; or the reply it has already led to."""

    dropped: tuple[Dropped, ...]
    reply: bytes | None


class JobAuthority:
    """The authority's desk for jobs; thread-safe."""

    def __init__(
        self,
        domain: TrustDomain,
        keys: AuthorityKeys,
        ledger: Ledger,
        registry: Registry,
        following: Following,
        attributes: Attributes,
    ) -> None:
        self.domain = domain
        self.ledger = ledger
        self.registry = registry
        self._keys = keys
        self._following = following
        self._attributes = attributes
        self._limits = LIMITS
        self._desk = Desk(domain.authority.id, keys.receipt, keys.opening)

    # -- a job

    def admit(self, signed: Signed) -> None:
        """Take a job; raises `Denied` where it is refused, `DiskFull`."""
        self._check_room()
        job, name = Job.parse(signed.payload), job_hash(signed.payload)
        findings = []
        try:
            verify(Tag.JOB, signed, self._bank_keys(job.bank))
        except ProtocolError as error:
            findings.append(Finding(Reason.SIGNATURE_INVALID, str(error)))

        def keep(transaction: Transaction) -> Signed | None:
            db = transaction.db
            if not findings and _job(db, name) is not None:
                return None
            found = [*findings, *self._job_findings(transaction, job)]
            if found:
                return self._desk.refuse(transaction, signed, found)
            values = name, job.bank, job.jti, denial.to_store(signed)
            db.execute(
                "INSERT INTO job(id, bank, jti, signed, decided) VALUES(?, ?, ?, ?, ?)",
                (*values, bytes(-(-job.entries // 8))),
            )
            body = job_bodies.Submit(signed)
            self._append(transaction, Kind.JOB_SUBMIT, name, body)
            return None

        refusal = self.ledger.commit(keep).value
        if refusal is not None:
            raise denial.error(refusal)

    def _job_findings(self, transaction: Transaction, job: Job) -> list[Finding]:
        return denial.against(lambda: self._found(transaction, job))

    def _found(self, transaction: Transaction, job: Job) -> list[Finding]:
        if _row(
            transaction.db,
            "SELECT 1 FROM job WHERE bank = ? AND jti = ?",
            (job.bank, job.jti),
        ):
            return [Finding(Reason.REPLAY_MISMATCH, "the jti names another job")]
        found = self._in_force(transaction.db, job)
        if abs(transaction.now_ms - job.iat_ms) > REQUEST_SKEW_MS:
            found.append(Finding(Reason.CLOCK_SKEW, "iat is too far from now"))
        return found

    def _in_force(self, db: apsw.Connection, job: Job) -> list[Finding]:
        """Say what is against the job's contract now."""
        return denial.against(
            lambda: (
                decide_job(
                    job.bank, job.purpose, self.registry.terms(db, job.contract)
                ).reasons
            )
        )

    def _check_room(self) -> None:
        check_room(self.ledger.folder, self.domain.authority.id)

    def _bank(self, name: str) -> Party | None:
        try:
            return self.domain.party(name, Role.BANK)
        except (NotFound, RoleRefused):
            return None

    def _bank_keys(self, name: str) -> Sequence[Ed25519PublicKey]:
        bank = self._bank(name)
        return bank.signing(clock.now_ms()) if bank else ()

    # -- permits

    def permit(
        self, message: job_evaluation_pb2.PermitJobRequest
    ) -> job_evaluation_pb2.PermitJobResponse:
        """Decide a stretch; raises `Denied` where the job is refused, `DiskFull`."""
        self._check_room()
        stretch = self._read_stretch(message)
        committed = self.ledger.commit(lambda tx: self._take(tx, stretch))
        if isinstance(committed.value, Signed):
            raise denial.error(committed.value)
        reply: job_evaluation_pb2.PermitJobResponse = (
            job_evaluation_pb2.PermitJobResponse.FromString(committed.value)
        )
        return reply

    def _read_stretch(self, message: job_evaluation_pb2.PermitJobRequest) -> Stretch:
        with self.ledger.reader() as db:
            signed = _need_job(db, message.job)
        refs = _hashes(message.entries.subject_refs)
        salts = _hashes(message.entries.salts)
        ids = tuple(message.entries.consents)
        places = tuple(message.indices), tuple(message.blocks), tuple(message.slots)
        lengths = {len(column) for column in (refs, salts, ids, *places)}
        if len(lengths) != 1 or not 0 < len(refs) <= MOST_STRETCH:
            raise FormatError(
                f"expected columns of one length, 1 to {MOST_STRETCH} entries"
            )
        with self.ledger.reader() as db:
            subjects = names.of(db, self._keys.pseudonym, refs)
        stretch = Stretch(
            signed,
            Job.parse(signed.payload),
            message.job,
            message.number,
            sha256(message.SerializeToString(deterministic=True)).digest(),
            *places,
            tuple(subjects),
            ids,
        )
        self._check_list(stretch, refs, salts, message.proof)  # 2
        _check_places(stretch, slots_per_block(self.domain.paillier.bits))  # 3
        return stretch

    def _check_list(
        self,
        stretch: Stretch,
        refs: Sequence[bytes],
        salts: Sequence[bytes],
        proof: Sequence[bytes],
    ) -> None:
        leaves = [
            entry_leaf(digest(Tag.SUBJECT, ref, salt), consent)
            for ref, salt, consent in zip(refs, salts, stretch.consents, strict=True)
        ]
        order = sorted(range(len(leaves)), key=stretch.entries.__getitem__)
        entries = [stretch.entries[i] for i in order]
        shown = [leaves[i] for i in order]
        try:
            root = subset.root(stretch.job.entries, entries, shown, proof)
        except ProofInvalid as error:
            stretch.wrong(Reason.TICKET_INVALID, str(error))
            return
        if root != stretch.job.root:
            stretch.wrong(Reason.TICKET_INVALID, "entries of another list")

    def _take(self, transaction: Transaction, stretch: Stretch) -> bytes | Signed:
        """Decide a stretch, or find what was decided; the refusal if there is one."""
        findings, db = list(stretch.findings), transaction.db
        row = _row(
            db,
            "SELECT digest, reply FROM job_stretch WHERE job = ? AND number = ?",
            (stretch.name, stretch.number),
        )
        if row is not None and row[0] == stretch.digest:
            return bytes(row[1])
        if row is not None:
            mismatch = "another stretch came under this number"
            findings.append(Finding(Reason.REPLAY_MISMATCH, mismatch))
        elif not findings and _overlaps(db, stretch):
            findings.append(Finding(Reason.REPLAY_MISMATCH, "it was decided before"))
        if findings:
            return self._desk.refuse(transaction, stretch.signed, findings)
        return self._decide(transaction, stretch)

    def _decide(self, transaction: Transaction, stretch: Stretch) -> bytes:
        db, terms = transaction.db, self._terms(transaction.db, stretch.job)
        known = consents.find_all(db, stretch.consents)
        wanted = [
            (known.get(name), subject)
            for name, subject in zip(stretch.consents, stretch.subjects, strict=True)
        ]
        spender = stretch.job.bank, stretch.job.contract
        usages = consents.usages(
            db, wanted, spender, transaction.now_ms, self._limits.window_ms
        )
        refused: list[RefusedEntry] = []
        allowed: list[int] = []
        outside = self._outside(db, stretch)
        for i, ((held, subject), usage) in enumerate(zip(wanted, usages, strict=True)):
            name = stretch.consents[i]
            ask = Ask(
                stretch.job.bank, stretch.job.purpose, subject, name, _millibits(terms)
            )
            findings = self._findings(
                ask, terms, held.grant if held else None, usage, transaction.now_ms
            )
            if not findings and i in outside:
                findings = [Finding(Reason.OUTSIDE_FILTER, OUTSIDE_BY)]
            if findings:
                entry = stretch.entries[i]
                refused.append(RefusedEntry(entry, subject, name, tuple(findings)))
            else:
                allowed.append(i)
        # Refusals first: they were decided before anything was spent, and a replay
        # that reads them after the permits would find less left.
        denials = self._desk.deny(transaction, stretch.name, refused)
        self._allow(transaction, stretch, allowed, _millibits(terms))
        bits = np.zeros(len(wanted), np.uint8)
        bits[allowed] = 1
        reply = job_evaluation_pb2.PermitJobResponse(
            permitted=np.packbits(bits, bitorder="little").tobytes(),
            denials=[to_wire(signed) for signed in denials],
        ).SerializeToString(deterministic=True)
        _keep_decided(db, stretch)
        db.execute(
            "INSERT INTO job_stretch(job, number, digest, reply) VALUES(?, ?, ?, ?)",
            (stretch.name, stretch.number, stretch.digest, reply),
        )
        return reply

    def _outside(self, db: apsw.Connection, stretch: Stretch) -> Collection[int]:
        """Say whom of a stretch its job is not about; all, where nobody can tell."""
        job, every = stretch.job, range(len(stretch.entries))
        if not job.where:
            return ()
        try:
            kind = self.registry.compiled(db, job.contract).subject_type
            _, table = attributes_room.find(db, kind)
            inside = set(self._attributes.rows(table, job.where).tolist())
        except (NotFound, ContractError):
            return every
        slots = slots_per_block(self.domain.paillier.bits)
        places = zip(stretch.blocks, stretch.slots, strict=True)
        rows = [block * slots + slot for block, slot in places]
        return frozenset(i for i in every if rows[i] not in inside)

    def _findings(
        self,
        ask: Ask,
        terms: Terms | None,
        grant: Grant | None,
        usage: Usage,
        now_ms: int,
    ) -> list[Finding]:
        return denial.against(  # 4
            lambda: decide(ask, terms, grant, usage, now_ms, self._limits).reasons
        )

    def _terms(self, db: apsw.Connection, job: Job) -> Terms | None:
        return self.registry.terms(db, job.contract)

    def _allow(
        self,
        transaction: Transaction,
        stretch: Stretch,
        allowed: Sequence[int],
        millibits: int,
    ) -> None:
        """Count and journal permits, block by block."""
        consents.spend_all(
            transaction,
            [(stretch.subjects[i], stretch.consents[i]) for i in allowed],
            (stretch.job.bank, stretch.job.contract),
            millibits,
        )
        seats = (
            Seats(
                block,
                tuple(stretch.slots[i] for i in members),
                tuple(stretch.entries[i] for i in members),
                tuple(stretch.subjects[i] for i in members),
                tuple(stretch.consents[i] for i in members),
            )
            for block, members in _by_block(stretch, allowed)
        )
        for page in pages((seat.most_bytes, seat) for seat in seats):
            body = job_bodies.Permit(stretch.name, millibits, tuple(page))
            index = self._append(transaction, Kind.JOB_PERMIT, stretch.name, body)
            transaction.db.executemany(
                "INSERT INTO job_block(job, block, permit) VALUES(?, ?, ?)",
                [(stretch.name, seat.block, index) for seat in page],
            )

    # -- decryption

    def evaluate(
        self, message: job_evaluation_pb2.EvaluateJobRequest
    ) -> job_evaluation_pb2.EvaluateJobResponse:
        """Decrypt some blocks; raises `Denied`, `DiskFull` or `HeadUnknown`."""
        self._check_room()
        inquiry = self._read_inquiry(message)
        self._check_ticket(inquiry)  # 5
        gate = self._check_message(inquiry)  # 6, 7
        leave = self.ledger.commit(lambda tx: self._open(tx, inquiry)).value  # 8, 9
        if isinstance(leave, Signed):
            raise denial.error(leave)
        if leave.reply is not None:
            return _response(leave.reply)
        if gate is None:
            raise AssertionError("leave to decrypt without a contract")
        return self._decrypt(inquiry, gate, leave.dropped)  # 10

    def _read_inquiry(self, message: job_evaluation_pb2.EvaluateJobRequest) -> Inquiry:
        signed = from_wire(message.ticket)
        ticket = JobTicket.parse(signed.payload)
        messages = _messages(ticket, message, self.domain.paillier.ciphertext_bytes)
        with self.ledger.reader() as db:
            signed_job = _need_job(db, ticket.job)
            permits = sorted({permit for permit, _ in _blocks(db, ticket).values()})
        return Inquiry(
            signed,
            ticket,
            ticket_hash(signed.payload),
            Job.parse(signed_job.payload),
            signed_job,
            messages,
            # Before anything is decided: it raises `HeadUnknown`.
            self._following.admit(message.intent, message.links),
            tuple(permits),
            _seats(self.ledger, permits),
        )

    def _check_ticket(self, inquiry: Inquiry) -> None:
        signed, ticket = inquiry.signed_ticket, inquiry.ticket
        try:
            verify(Tag.JOB_TICKET, signed, self.domain.house.signing(clock.now_ms()))
        except ProtocolError as error:
            inquiry.wrong(Reason.SIGNATURE_INVALID, str(error))
        inquiry.findings.extend(
            intent_findings(inquiry.intent, Kind.JOB_INTENT, ticket.job, signed)
        )
        for part in ticket.parts:
            seat = inquiry.seats.get(part.block)
            if seat is None or (seat.slots, seat.entries) != (part.slots, part.entries):
                inquiry.wrong(
                    Reason.TICKET_INVALID, f"block {part.block}: not what is permitted"
                )

    def _check_message(self, inquiry: Inquiry) -> SplitGate | None:
        ticket, job, messages = inquiry.ticket, inquiry.job, inquiry.messages
        with self.ledger.reader() as db:
            try:
                compiled = self.registry.compiled(db, job.contract)
            except NodeError:
                inquiry.wrong(Reason.CONTRACT_UNKNOWN, "not registered")
                return None
        gate = self.registry.job_gate(compiled)
        if (ticket.contract, ticket.gate) != (job.contract, gate.name):  # 6
            inquiry.wrong(Reason.TICKET_INVALID, "for another contract or gate")
        if [b.dataset for b in ticket.bases] != [use.id for use in compiled.datasets]:
            inquiry.wrong(Reason.TICKET_INVALID, "inputs of other datasets")
        if any(len(m.tables) != len(m.slots) * gate.table_bytes for m in messages):  # 7
            inquiry.wrong(Reason.MESSAGE_INVALID, "tables of another size")
        blocks = (part.block for part in ticket.parts)
        if message_hash(zip(blocks, messages, strict=True)) != ticket.message:
            inquiry.wrong(Reason.MESSAGE_INVALID, "not the message of the ticket")
        try:
            check_ciphertexts(self.domain.paillier, [m.ciphertext for m in messages])
        except ProtocolError as error:
            inquiry.wrong(Reason.MESSAGE_INVALID, str(error))
        bank = self._bank(job.bank)
        if bank is None or not bank.hpke:
            inquiry.wrong(Reason.TICKET_INVALID, "the bank has no key to seal to")
        return gate

    def _open(self, transaction: Transaction, inquiry: Inquiry) -> Leave | Signed:
        """Give leave to decrypt, durably, or find it given; the refusal if any."""
        db, ticket, name = transaction.db, inquiry.ticket, inquiry.name
        findings = list(inquiry.findings)
        before = {ticket for _, ticket in _blocks(db, ticket).values()}
        if before - {None, name}:  # 8
            mismatch = "a block was in another message"
            findings.append(Finding(Reason.REPLAY_MISMATCH, mismatch))
        if findings:
            return self._desk.refuse(transaction, inquiry.signed_job, findings)
        row = _row(
            db, "SELECT dropped, reply FROM job_message WHERE ticket = ?", (name,)
        )
        if row is not None:
            return Leave(_read_dropped(row[0]), row[1])
        # A contract may be retired because of what it lets banks find out.
        findings += self._in_force(db, inquiry.job)
        if findings:
            return self._desk.refuse(transaction, inquiry.signed_job, findings)
        dropped = _withdrawn(db, inquiry)  # 9
        blocks = tuple(part.block for part in ticket.parts)
        body = job_bodies.Decrypt(name, blocks, dropped)
        self._append(transaction, Kind.JOB_DECRYPT, ticket.job, body)
        texts = [item.to_json() for item in dropped]
        db.execute(
            "INSERT INTO job_message(ticket, job, dropped) VALUES(?, ?, ?)",
            (name, ticket.job, dumps({"v": "1", "dropped": texts})),
        )
        db.executemany(
            "UPDATE job_block SET ticket = ? WHERE job = ? AND block = ?",
            [(name, ticket.job, block) for block in blocks],
        )
        self._following.remember(transaction)
        return Leave(dropped, None)

    def _decrypt(
        self, inquiry: Inquiry, gate: SplitGate, dropped: Sequence[Dropped]
    ) -> job_evaluation_pb2.EvaluateJobResponse:
        name, bank = inquiry.name, self._bank(inquiry.job.bank)
        if bank is None:
            raise AssertionError("leave to decrypt for no bank")
        out = {(item.block, slot) for item in dropped for slot in item.slots}
        kept = []
        for number, message in enumerate(inquiry.messages):
            block = inquiry.ticket.parts[number].block
            left = _left(gate, message, {slot for b, slot in out if b == block})
            if left is not None:
                kept.append((number, left))
        messages = [message for _, message in kept]
        with gil_released():
            picked = authority_pick_all(gate, self._keys.paillier, messages)
        opened = JobOpened(
            self._salt(name, 0),
            b"".join(write_cells(one.u, gate.card.fields) for one in picked),
            b"".join(one.rows.tobytes() for one in picked),
        )
        decrypted = decrypted_root(
            [
                decrypted_digest(self._salt(name, 1 + number), *one.decrypted)
                for (number, _), one in zip(kept, picked, strict=True)
            ]
        )
        head = self.ledger.head
        receipt = JobReceipt(
            name,
            opened.digest(),
            decrypted,
            Permits(inquiry.permits, head.size, head.root),
            _by_number(out),
        )
        signed = sign(Tag.JOB_RECEIPT, receipt.to_bytes(), self._keys.receipt)
        response = job_evaluation_pb2.EvaluateJobResponse(
            receipt=to_wire(signed),
            box=hpke.seal(bank.hpke[0], name, opened.to_bytes()),
            permits=self._proven(inquiry.permits, head),
        )
        return self._done(inquiry, signed, response)

    def _proven(self, permits: Sequence[int], head: Head) -> job_pb2.JobPermits:
        entries = [
            job_pb2.ProvenEntry(
                index=index,
                entry=self.ledger.entry(index),
                inclusion=self.ledger.inclusion(index, head.size),
            )
            for index in permits
        ]
        return job_pb2.JobPermits(checkpoint=head.note, entries=entries)

    def _done(
        self,
        inquiry: Inquiry,
        receipt: Signed,
        response: job_evaluation_pb2.EvaluateJobResponse,
    ) -> job_evaluation_pb2.EvaluateJobResponse:
        def keep(transaction: Transaction) -> bytes:
            # Two resumptions may run at once: the first one's reply stands.
            db, now_ms = transaction.db, transaction.now_ms
            row = _row(
                db, "SELECT reply FROM job_message WHERE ticket = ?", (inquiry.name,)
            )
            if row is not None and row[0] is not None:
                return bytes(row[0])
            reply = response.SerializeToString(deterministic=True)
            db.execute(
                "UPDATE job_message SET reply = ?, forget_ms = ? WHERE ticket = ?",
                (reply, now_ms + REPLY_FETCHED_MS, inquiry.name),
            )
            db.execute(
                "UPDATE job_message SET reply = NULL, forget_ms = NULL WHERE ticket IN"
                " (SELECT ticket FROM job_message WHERE forget_ms < ? LIMIT ?)",
                (now_ms, FORGET_AT_ONCE),
            )
            body = job_bodies.Done(inquiry.name, receipt)
            self._append(transaction, Kind.JOB_DONE, inquiry.ticket.job, body)
            return reply

        return _response(self.ledger.commit(keep).value)

    def _salt(self, ticket: bytes, index: int) -> bytes:
        """Derive a receipt's salt from k_open, so that an opening can be made later."""
        text = framed(Tag.REPLY_SALT, ticket, index.to_bytes(4, "big"))
        return hmac.digest(self._keys.opening, text, "sha256")

    def _append(
        self, transaction: Transaction, kind: Kind, job: bytes, body: Body
    ) -> int:
        return transaction.append(
            kind, self.domain.authority.id, job.hex(), body.to_body()
        )


def _row(db: apsw.Connection, query: str, values: tuple[Any, ...]) -> Any:  # noqa: ANN401  a row
    return db.execute(query, values).fetchone()


def _job(db: apsw.Connection, name: bytes) -> Signed | None:
    row = _row(db, "SELECT signed FROM job WHERE id = ?", (name,))
    return None if row is None else denial.from_store(row[0])


def _need_job(db: apsw.Connection, name: bytes) -> Signed:
    signed = _job(db, name)
    if signed is None:
        raise NotFound("no such job", "it is admitted before its stretches")
    return signed


def _hashes(data: bytes) -> list[bytes]:
    if len(data) % HASH_BYTES:
        raise FormatError(f"expected whole hashes of {HASH_BYTES} bytes")
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


def _millibits(terms: Terms | None) -> int:
    return 0 if terms is None else terms.millibits


def _response(data: bytes) -> job_evaluation_pb2.EvaluateJobResponse:
    response: job_evaluation_pb2.EvaluateJobResponse = (
        job_evaluation_pb2.EvaluateJobResponse.FromString(data)
    )
    return response


def _check_places(stretch: Stretch, slots: int) -> None:
    places = zip(stretch.blocks, stretch.slots, strict=True)
    if any(a >= b for a, b in pairwise(places)):
        stretch.wrong(Reason.TICKET_INVALID, "blocks and slots do not ascend")
    if max(stretch.slots) >= slots:
        stretch.wrong(Reason.TICKET_INVALID, f"a block has {slots} slots")
    if len(set(stretch.subjects)) != len(stretch.subjects):
        # The second entry would be decided without the use of the first.
        stretch.wrong(Reason.TICKET_INVALID, "a subject is there twice")


def _overlaps(db: apsw.Connection, stretch: Stretch) -> bool:
    """Tell whether an entry, or a block, of a stretch was decided before."""
    decided = _row(db, "SELECT decided FROM job WHERE id = ?", (stretch.name,))
    bits = np.frombuffer(decided[0], np.uint8)
    entries = np.array(stretch.entries)
    if (bits[entries >> 3] >> (entries & 7).astype(np.uint8) & 1).any():
        return True
    seen = db.executemany(
        "SELECT 1 FROM job_block WHERE job = ? AND block = ?",
        ((stretch.name, block) for block in sorted(set(stretch.blocks))),
    )
    return next(iter(cast("Any", seen)), None) is not None


def _keep_decided(db: apsw.Connection, stretch: Stretch) -> None:
    decided = _row(db, "SELECT decided FROM job WHERE id = ?", (stretch.name,))
    bits = np.frombuffer(decided[0], np.uint8).copy()
    entries = np.array(stretch.entries)
    places = np.left_shift(1, entries & 7).astype(np.uint8)
    np.bitwise_or.at(bits, entries >> 3, places)
    db.execute(
        "UPDATE job SET decided = ? WHERE id = ?", (bits.tobytes(), stretch.name)
    )


def _by_block(stretch: Stretch, chosen: Sequence[int]) -> list[tuple[int, list[int]]]:
    blocks: dict[int, list[int]] = {}
    for i in chosen:
        blocks.setdefault(stretch.blocks[i], []).append(i)
    return list(blocks.items())


def _blocks(
    db: apsw.Connection, ticket: JobTicket
) -> dict[int, tuple[int, bytes | None]]:
    """Find the permit entry of each block, and the message it was in."""
    rows = db.executemany(
        "SELECT block, permit, ticket FROM job_block WHERE job = ? AND block = ?",
        ((ticket.job, part.block) for part in ticket.parts),
    )
    return {block: (permit, before) for block, permit, before in cast("Any", rows)}


def _messages(
    ticket: JobTicket,
    message: job_evaluation_pb2.EvaluateJobRequest,
    ciphertext_bytes: int,
) -> tuple[Message, ...]:
    """Cut the wire's bytes into a message for each block of the ticket."""
    counts = [len(part.slots) for part in ticket.parts]
    if len(message.ciphertexts) != len(counts) * ciphertext_bytes:
        raise FormatError(f"expected ciphertexts of {ciphertext_bytes} bytes")
    table_bytes, rest = divmod(len(message.tables), sum(counts))
    if rest:
        raise FormatError("expected tables of one size for every slot")
    found, at = [], 0
    for number, part in enumerate(ticket.parts):
        first, end = number * ciphertext_bytes, at + counts[number] * table_bytes
        data = message.ciphertexts[first : first + ciphertext_bytes]
        ciphertext = int(ciphertext_from_bytes(data))
        found.append(Message(ciphertext, part.slots, message.tables[at:end]))
        at = end
    return tuple(found)


def _seats(ledger: Ledger, permits: Sequence[int]) -> dict[int, Seats]:
    """Read permits back from the journal, by block."""
    found: dict[int, Seats] = {}
    for index in permits:
        body = Entry.parse(ledger.entry(index)).body
        found |= {seat.block: seat for seat in job_bodies.Permit.parse(body).seats}
    return found


def _withdrawn(db: apsw.Connection, inquiry: Inquiry) -> tuple[Dropped, ...]:
    """Find the permitted slots whose consents do not stand any more."""
    seats = [inquiry.seats[part.block] for part in inquiry.ticket.parts]
    ids = (name for seat in seats for name in seat.consents)
    statuses = consents.statuses(db, ids)
    dropped: dict[tuple[int, Reason], list[int]] = {}
    for seat in seats:
        for slot, name in zip(seat.slots, seat.consents, strict=True):
            finding = stands(statuses[name])
            if finding is not None:
                dropped.setdefault((seat.block, finding.reason), []).append(slot)
    return tuple(
        Dropped(block, tuple(slots), reason)
        for (block, reason), slots in dropped.items()
    )


def _read_dropped(data: bytes) -> tuple[Dropped, ...]:
    reader = Reader(loads(data, "1"))
    items = reader.items("dropped")
    reader.close()
    return tuple(Dropped.from_json(item) for item in items)


def _left(gate: SplitGate, message: Message, out: Collection[int]) -> Message | None:
    """Take slots out of a block; None if nobody is left in it."""
    if not out:
        return message
    size = gate.table_bytes
    kept = [i for i, slot in enumerate(message.slots) if slot not in out]
    if not kept:
        return None
    return Message(
        message.ciphertext,
        tuple(message.slots[i] for i in kept),
        b"".join(message.tables[i * size : (i + 1) * size] for i in kept),
    )


def _by_number(out: Iterable[tuple[int, int]]) -> tuple[tuple[int, Numbers], ...]:
    blocks: dict[int, list[int]] = {}
    for block, slot in sorted(out):
        blocks.setdefault(block, []).append(slot)
    return tuple((block, tuple(slots)) for block, slots in blocks.items())
