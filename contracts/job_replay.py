"""Decision replay of jobs: every permit, refusal and decryption follows, too.

The journals' `job.*` entries, checked with the registers that `contracts.replay`
rebuilds, which are the same for calls and jobs: what one spends the other lacks.

 1. `job.submit`: the job is its bank's, fresh, under a jti of its own, and the
    contract is in force for it; everything else names a job that was submitted.
 2. `job.refuse`: the reasons that do not hang on bytes outside the journal are
    those against the contract, and the public one is the first.
 3. `job.ask`, `job.permit`: replay allows every seat, with the entry's time as
    now; permits also spend the right bits.
 4. `job.deny`: the reasons of every refused entry are exactly the replayed ones,
    and the signed refusals say the first of each.
 5. An entry of the list is decided once, and a block asked about once.
 6. `job.intent`: the ticket is the house's, for this job, on the newest versions,
    and its slots are among those that were asked about; no block is in two.
 7. `job.decrypt`: the contract is in force; every block was permitted and is
    decrypted under one ticket; left out are exactly the slots whose consents do not
    stand.
 8. `job.done`: follows a decryption; its receipt names the permits of its blocks.
 9. `job.outcome` and `job.result` follow an intent.

What replay cannot see: that the entries are in the list that the bank signed.  The
authority checks that; the bank, which has the list, proves it to an auditor.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from contracts import bodies, job_bodies
from contracts.decide import (
    ORDER,
    UNKNOWN_SUBJECT,
    UNKNOWN_TO_JOB,
    Ask,
    Decision,
    Finding,
    Limits,
    Reason,
    decide,
    decide_job,
    public,
    stands,
)
from contracts.discrepancy import BEYOND_REPLAY, SKEW_MS, Counts, Mark, Role
from contracts.inputs import NOTHING
from contracts.job_bodies import RefusedEntry, Seats
from contracts.rebuild import Asker, Consents, Contracts, Pins, Spending
from protocols.call import Denial
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.errors import FormatError
from protocols.job import (
    Job,
    JobCancel,
    JobDenials,
    JobReceipt,
    JobTicket,
    job_hash,
    ticket_hash,
)

UNKNOWN: Final = tuple(
    Finding(Reason.NO_CONSENT, detail) for detail in (UNKNOWN_SUBJECT, UNKNOWN_TO_JOB)
)


class Books(NamedTuple):
    """What a replay rebuilds, shared by calls and jobs."""

    role: Role
    pins: Pins
    consents: Consents
    contracts: Contracts
    spending: Spending
    limits: Limits
    counts: Counts


class Note(Protocol):
    """Reports what does not agree."""

    def __call__(
        self, mark: Mark, message: str, reasons: tuple[Reason, ...] = (), /
    ) -> None:
        """Report it for the entry at hand."""


@dataclass(slots=True)
class _Block:
    """Seats of a block, and where they were journalled."""

    index: int
    seats: Seats
    ticket: bytes = b""


@dataclass(slots=True)
class _Job:
    """A job as it stands."""

    job: Job
    decided: set[int] = field(default_factory=set)  # entries of the list
    blocks: dict[int, _Block] = field(default_factory=dict)


class JobReplay:
    """Replays the `job.*` entries of one journal."""

    def __init__(self, books: Books, note: Note) -> None:
        self._books = books
        self._note = note
        self._jobs: dict[bytes, _Job] = {}
        self._jtis: dict[tuple[str, bytes], bytes] = {}
        self._tickets: dict[bytes, tuple[_Job, tuple[int, ...]]] = {}  # with blocks
        # The entry at hand:
        self._index = 0
        self._entry = Entry(Kind.NODE_START, 0, "", "", {})

    def steps(self) -> dict[Kind, Callable[[Entry], None]]:
        """List the kinds of this journal and what replays them."""
        both: dict[Kind, Callable[[Entry], None]] = {
            Kind.JOB_SUBMIT: self._submit,
            Kind.JOB_REFUSE: self._refuse,
            Kind.JOB_DENY: self._deny,
        }
        if self._books.role is Role.AUTHORITY:
            return both | {
                Kind.JOB_PERMIT: self._permit,
                Kind.JOB_DECRYPT: self._decrypt,
                Kind.JOB_DONE: self._done,
            }
        return both | {
            Kind.JOB_ASK: self._ask,
            Kind.JOB_INTENT: self._intent,
            Kind.JOB_OUTCOME: self._outcome,
            Kind.JOB_RESULT: self._result,
            Kind.JOB_CANCEL: self._cancel,
            Kind.JOB_END: self._end,
        }

    def at(self, index: int, entry: Entry) -> None:
        """Say which entry is replayed next."""
        self._index, self._entry = index, entry

    # -- 1, 2

    def _submit(self, entry: Entry) -> None:
        signed = job_bodies.Submit.parse(entry.body).job
        name, job = job_hash(signed.payload), Job.parse(signed.payload)
        if name.hex() != entry.call:
            raise FormatError("`call` is not the hash of the job")
        self._books.pins.verify(Tag.JOB, signed, job.bank)
        earlier = self._jtis.setdefault((job.bank, job.jti), name)
        if earlier != name or name in self._jobs:
            self._note(
                Mark.JTI_REUSED,
                f"jti {job.jti.hex()} of `{job.bank}` was used by job {earlier.hex()}",
                (Reason.REPLAY_MISMATCH,),
            )
        if abs(entry.time_ms - job.iat_ms) > SKEW_MS:
            self._note(
                Mark.CLOCK_SKEW,
                f"the job of {job.iat_ms} was taken at {entry.time_ms}",
                (Reason.CLOCK_SKEW,),
            )
        decision = self._decide_job(job)
        if not decision.allow:
            self._differs("taken", decision)
        self._jobs.setdefault(name, _Job(job))

    def _refuse(self, entry: Entry) -> None:
        body = job_bodies.Refuse.parse(entry.body)
        self._books.counts.denials += 1
        if job_hash(body.job.payload).hex() != entry.call:
            raise FormatError("`call` is not the hash of the job")
        if not body.reasons or body.public is not public(body.reasons).reason:
            raise FormatError("the public reason is not the first of the reasons")
        self._check_denial(body)
        logged = {finding.reason for finding in body.reasons}
        beyond = logged & BEYOND_REPLAY
        self._books.counts.beyond.update(beyond)
        try:
            job = Job.parse(body.job.payload)
        except FormatError:
            if beyond:
                return  # what is no job was refused as such
            raise
        known = job_hash(body.job.payload) in self._jobs
        decision = self._decide_job(job)
        replayed = {finding.reason for finding in decision.reasons}
        if logged - beyond == replayed or (beyond and logged - beyond <= replayed):
            return
        if known and beyond and logged == beyond:
            return
        self._differs_denied(logged, decision)

    def _decide_job(self, job: Job) -> Decision:
        terms = self._books.contracts.terms(job.contract)
        return decide_job(job.bank, job.purpose, terms)

    def _check_denial(self, body: job_bodies.Refuse) -> None:
        if not self._books.pins.given:
            return
        self._books.pins.verify(Tag.DENIAL, body.denial, self._entry.actor)
        denial = Denial.parse(body.denial.payload)
        if (
            denial.request.hex() != self._entry.call
            or denial.reason != body.public
            or denial.reasons != bodies.reasons_digest(body.salt, body.reasons)
        ):
            raise FormatError("the signed denial is another one")

    # -- 3, 4, 5

    def _ask(self, entry: Entry) -> None:
        body = job_bodies.Ask.parse(entry.body)
        state = self._job(body.job)
        for seats in body.seats:
            self._take_block(state, seats)
            for subject, consent in zip(seats.subjects, seats.consents, strict=True):
                self._check_allowed(state.job, subject, consent)

    def _permit(self, entry: Entry) -> None:
        body = job_bodies.Permit.parse(entry.body)
        state = self._job(body.job)
        terms = self._books.contracts.terms(state.job.contract)
        spends = terms.millibits if terms else body.millibits
        if body.millibits != spends:
            self._note(
                Mark.BITS_DIFFER,
                f"spends {body.millibits} millibits a subject, expected {spends}",
            )
        for seats in body.seats:
            self._take_block(state, seats)
            for subject, consent in zip(seats.subjects, seats.consents, strict=True):
                self._check_allowed(state.job, subject, consent)
                asker = Asker(state.job.bank, subject, state.job.contract)
                held = self._books.consents.find(consent)
                self._books.spending.permit(asker, held, body.millibits, entry.time_ms)

    def _deny(self, entry: Entry) -> None:
        body = job_bodies.Deny.parse(entry.body)
        state = self._job(body.job)
        self._check_denials(body)
        self._take_entries(state, [item.entry for item in body.refused])
        for item in body.refused:
            self._books.counts.denials += 1
            self._check_denied(state.job, item)

    def _check_denied(self, job: Job, item: RefusedEntry) -> None:
        logged = {finding.reason for finding in item.findings}
        house = self._books.role is Role.HOUSE
        beyond = {
            finding.reason
            for finding in item.findings
            if (finding.reason in BEYOND_REPLAY or (house and finding in UNKNOWN))
            and (job.where or finding.reason is not Reason.OUTSIDE_FILTER)
        }
        self._books.counts.beyond.update(beyond)
        decision = self._decide(job, item.subject, item.consent)
        replayed = {finding.reason for finding in decision.reasons}
        if logged - beyond == replayed or (beyond and logged - beyond <= replayed):
            return
        self._differs_denied(logged, decision, f"entry {item.entry} ")

    def _check_denials(self, body: job_bodies.Deny) -> None:
        denials = JobDenials.parse(body.denials.payload)
        self._books.pins.verify(Tag.JOB_DENIALS, body.denials, self._entry.actor)
        told = [(item.index, item.reason, item.detail) for item in denials.items]
        expected = [
            (item.entry, finding.reason.value, finding.detail[: job_bodies.MOST_DETAIL])
            for item in body.refused
            for finding in (public(item.findings),)
        ]
        if (
            denials.job != body.job
            or told != expected
            or denials.reasons != job_bodies.reasons_digest(body.salt, body.refused)
        ):
            raise FormatError("the signed refusals are others")

    def _check_allowed(self, job: Job, subject: bytes, consent: str) -> None:
        self._books.counts.permits += 1
        decision = self._decide(job, subject, consent)
        if not decision.allow:
            self._differs(f"consent `{consent}` permitted", decision)

    def _decide(self, job: Job, subject: bytes, consent: str) -> Decision:
        books, now_ms = self._books, self._entry.time_ms
        state = books.consents.find(consent)
        terms = books.contracts.terms(job.contract)
        spends = terms.millibits if terms else 0
        usage = None
        if books.role is Role.AUTHORITY:
            asker = Asker(job.bank, subject, job.contract)
            usage = books.spending.usage(asker, state, now_ms)
        return decide(
            Ask(job.bank, job.purpose, subject, consent, spends),
            terms,
            None if state is None else state.grant,
            usage,
            now_ms,
            books.limits,
        )

    def _take_block(self, state: _Job, seats: Seats) -> None:
        self._take_entries(state, seats.entries)
        if seats.block in state.blocks:
            self._note(
                Mark.ENTRY_REPEATED, f"block {seats.block} was asked about before"
            )
        state.blocks[seats.block] = _Block(self._index, seats)

    def _take_entries(self, state: _Job, entries: Iterable[int]) -> None:
        for entry in entries:
            if entry in state.decided or entry >= state.job.entries:
                self._note(
                    Mark.ENTRY_REPEATED,
                    f"entry {entry} was decided before, or is in no list",
                )
            state.decided.add(entry)

    # -- 6, 7, 8, 9

    def _intent(self, entry: Entry) -> None:
        signed = job_bodies.Intent.parse(entry.body).ticket
        self._books.pins.verify(Tag.JOB_TICKET, signed, entry.actor)
        ticket = JobTicket.parse(signed.payload)
        state = self._job(ticket.job)
        if ticket.contract != state.job.contract:
            raise FormatError("the ticket is for another contract")
        name = ticket_hash(signed.payload)
        for part in ticket.parts:
            block = state.blocks.get(part.block)
            asked = (
                () if block is None else _places(block.seats.slots, block.seats.entries)
            )
            if not set(_places(part.slots, part.entries)) <= set(asked):
                self._note(
                    Mark.NO_PERMIT,
                    f"block {part.block} has slots that were not asked about",
                )
        self._check_bases(ticket)
        self._begin(state, name, tuple(part.block for part in ticket.parts))

    def _check_bases(self, ticket: JobTicket) -> None:
        terms = self._books.contracts.terms(ticket.contract)
        reads = [] if terms is None else [data.dataset for data in terms.datasets]
        if terms is not None and [item.dataset for item in ticket.bases] != reads:
            raise FormatError("the ticket is on other datasets than its contract's")
        for item in ticket.bases:
            newest = self._books.contracts.newest(item.dataset)
            first = (
                (0, NOTHING)
                if newest is None
                else (newest.version, newest.row_map_root)
            )
            if (item.version, item.row_map_root) != first:
                self._note(
                    Mark.STALE_INPUT,
                    f"rests on version {item.version} of `{item.dataset}`, which is"
                    " not the newest push before it",
                    (Reason.STALE_DATA,),
                )

    def _decrypt(self, entry: Entry) -> None:
        body = job_bodies.Decrypt.parse(entry.body)
        state = self._job_of(entry)
        decision = self._decide_job(state.job)
        if not decision.allow:
            self._differs("decrypted", decision)
        dropped = {
            (item.block, slot): item.reason
            for item in body.dropped
            for slot in item.slots
        }
        expected = {}
        for number in body.blocks:
            block = state.blocks.get(number)
            if block is None:
                self._note(Mark.NO_PERMIT, f"block {number} was not permitted")
                continue
            for slot, consent in zip(
                block.seats.slots, block.seats.consents, strict=True
            ):
                held = self._books.consents.find(consent)
                finding = None if held is None else stands(held.grant.status)
                if finding is not None:
                    expected[number, slot] = finding.reason
        if dropped != expected:
            wrong = sorted(dropped.items() ^ expected.items())
            block_, slot = wrong[0][0]
            self._note(
                Mark.DECISION_DIFFERS,
                f"block {block_}, slot {slot}: left out, or not, against its consent",
                (wrong[0][1],),
            )
        self._begin(state, body.ticket, body.blocks)

    def _begin(self, state: _Job, ticket: bytes, blocks: tuple[int, ...]) -> None:
        if ticket in self._tickets:
            self._note(Mark.TICKET_REUSED, f"ticket {ticket.hex()} was taken before")
        for number in blocks:
            block = state.blocks.get(number)
            if block is not None and block.ticket not in (b"", ticket):
                self._note(
                    Mark.ENTRY_REPEATED,
                    f"block {number} was in ticket {block.ticket.hex()} already",
                )
            if block is not None:
                block.ticket = ticket
        self._tickets[ticket] = state, blocks

    def _done(self, entry: Entry) -> None:
        body = job_bodies.Done.parse(entry.body)
        begun = self._begun(body.ticket)
        if begun is None:
            return
        self._books.pins.verify(Tag.JOB_RECEIPT, body.receipt, entry.actor)
        receipt = JobReceipt.parse(body.receipt.payload)
        state, blocks = begun
        permits = {state.blocks[n].index for n in blocks if n in state.blocks}
        if receipt.ticket != body.ticket or set(receipt.permits.indices) != permits:
            raise FormatError("the receipt is for another ticket, or names others")

    def _outcome(self, entry: Entry) -> None:
        self._begun(job_bodies.Outcome.parse(entry.body).ticket)

    def _result(self, entry: Entry) -> None:
        body = job_bodies.Result.parse(entry.body)
        begun = self._begun(body.ticket)
        if begun is not None:
            self._books.pins.verify(Tag.JOB_RESULT, body.result, begun[0].job.bank)

    def _cancel(self, entry: Entry) -> None:
        signed = job_bodies.Cancel.parse(entry.body).cancel
        cancel = JobCancel.parse(signed.payload)
        state = self._job(cancel.job)
        self._books.pins.verify(Tag.JOB_CANCEL, signed, state.job.bank)

    def _end(self, entry: Entry) -> None:
        self._job(job_bodies.End.parse(entry.body).job)

    def _begun(self, ticket: bytes) -> tuple[_Job, tuple[int, ...]] | None:
        begun = self._tickets.get(ticket)
        if begun is None:
            house = self._books.role is Role.HOUSE
            self._note(
                Mark.NO_INTENT if house else Mark.NO_PERMIT,
                f"no {'intent' if house else 'decryption'} of ticket {ticket.hex()}"
                " before it",
            )
        return begun

    def _job(self, name: bytes) -> _Job:
        if name.hex() != self._entry.call:
            raise FormatError("`call` is not the hash of the job")
        return self._job_of(self._entry)

    def _job_of(self, entry: Entry) -> _Job:
        try:
            name = bytes.fromhex(entry.call)
        except ValueError:
            raise FormatError("`call` is not the hash of a job") from None
        state = self._jobs.get(name)
        if state is None:
            self._note(Mark.NO_JOB, f"no job {entry.call} was submitted before it")
            raise FormatError("nothing to compare it with")
        return state

    def _differs(self, what: str, decision: Decision) -> None:
        reasons = tuple(finding.reason for finding in decision.reasons)
        told = "; ".join(str(finding) for finding in decision.reasons)
        self._note(Mark.DECISION_DIFFERS, f"{what}, but replay denies: {told}", reasons)

    def _differs_denied(
        self, logged: Iterable[Reason], decision: Decision, what: str = ""
    ) -> None:
        reasons = sorted(logged, key=ORDER.__getitem__)
        told = "; ".join(str(finding) for finding in decision.reasons)
        self._note(
            Mark.DECISION_DIFFERS,
            f"{what}denied for {', '.join(reasons)}, but replay"
            + (f" denies: {told}" if told else " allows"),
            tuple(finding.reason for finding in decision.reasons) or tuple(reasons),
        )


def _places(
    slots: Iterable[int], entries: Iterable[int]
) -> tuple[tuple[int, int], ...]:
    return tuple(zip(slots, entries, strict=True))
