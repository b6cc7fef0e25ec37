"""The house's desk for jobs: submit, watch, fetch, cancel, list, commit.

A bank hands in a job and its list.  Before it is kept

 1. the bank's signature holds, the caller is that bank, and a job that is kept
    already is found, not taken twice;
 2. its jti is no other job's, its `iat` near the clock, the contract in force for
    this bank and purpose: else the job is refused, signed and journalled; what it
    is narrowed to is said in words of the public attributes;
 3. the bank hands in one list at a time, and has few jobs that have not ended;
 4. the list is in order and makes the signed root;
 5. the list lies sealed on the disk, and the authority has admitted the job while
    it is fresh;
 6. `job.submit` is journalled, with the sealed seed and a share of it for each of
    two auditors.

Jobs run one after the other, the banks in turn (`node.job_run`), in a thread of
their own, and again after a crash, until each has ended.  While the authority is
away, or a disk nearly full, a job waits and says why.  What a job has released stays
for 30 days.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import apsw

from contracts import job_bodies
from contracts.decide import Finding, Reason, decide_job
from contracts.errors import ContractError
from node import attributes as attributes_room
from node import clock, denial, job_store, log
from node.attributes import Attributes
from node.consultation import proven
from node.domain import Party
from node.errors import (
    BUSY,
    Denied,
    DiskFull,
    LedgerStopped,
    NodeError,
    RateLimited,
    Refused,
    RoleRefused,
    Unreachable,
    VaultDamaged,
)
from node.house import Caller, House
from node.job_denial import Desk
from node.job_list import Entries, JobFolder
from node.job_run import JobPeer, Run, Stage
from node.job_store import Record, State
from node.job_work import Computing
from node.keys import HouseKeys
from node.ledger import Transaction
from node.rates import Turns
from node.room import check_room, noticed
from node.wire.v1 import common_pb2, job_pb2
from protocols.canon import MAX_INTEGER, Tag
from protocols.entry import Kind
from protocols.errors import FormatError, ProtocolError
from protocols.job import Job, JobCancel, JobResult, job_hash
from protocols.seal import wrap
from protocols.sign import Signed, verify
from protocols.tlog import Tree

SCHEMA: Final = job_store.SCHEMA
# While the authority does not answer, or a disk is full; each time twice as long.
RETRY_S: Final = 2.0
MOST_RETRY_S: Final = 30.0
LOOK_S: Final = 0.2  # at how a job stands, for those who watch
PAGE: Final = 8  # releases read at a time
MOST_OPEN: Final = 16  # jobs of one bank that have not ended
MOST_LISTED: Final = 1_000
LISTED: Final = 100


Find: TypeAlias = Callable[[Transaction], Sequence[Finding]]


class Jobs:
    """The jobs of one house; thread-safe."""

    def __init__(
        self,
        house: House,
        keys: HouseKeys,
        data: Path,
        attributes: Attributes,
        authority: JobPeer,
        computing: Computing,
    ) -> None:
        self._house = house
        self._keys = keys
        self._authority = authority
        self._computing = computing
        self._folder = JobFolder(data, keys.at_rest)
        self._desk = Desk(house.domain.house.id, keys.ticket, keys.pseudonym)
        self._stage = Stage(
            house, keys, attributes, self._folder, authority, computing, self._desk
        )
        self._taking = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._handing_in = Turns(1)
        self._running: Run | None = None
        self._wait_s = RETRY_S
        self._stir = threading.Event()  # ends a wait

    def start(self) -> None:
        """Work on jobs from now on, in a thread of their own."""
        with self._taking:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="jobs", daemon=True
                )
                self._thread.start()

    def count_open(self) -> int:
        """Count the jobs that have not ended."""
        with self._house.ledger.reader() as db:
            return job_store.count_open(db)

    def close(self) -> None:
        """Stop working, soon; what was begun is gone on with at the next start."""
        self._closing.set()
        self._stir.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    # -- what banks ask

    def submit(
        self, call: Caller, signed: Signed, pieces: Iterator[job_pb2.JobEntries]
    ) -> common_pb2.Logged:
        """Take a job; raises `Denied`, `DiskFull`, `FormatError`, `Unreachable`."""
        job, name = Job.parse(signed.payload), job_hash(signed.payload)
        if job.bank != call.caller.id:
            raise RoleRefused(f"a job of `{job.bank}`, not of the caller")
        try:  # 1
            verify(Tag.JOB, signed, call.caller.sign)
        except ProtocolError as error:
            finding = Finding(Reason.SIGNATURE_INVALID, str(error))
            self._refuse(lambda _tx: [finding], signed)
        with self._house.ledger.reader() as db:
            known = job_store.find(db, name)
        if known is None:
            self._refuse(lambda tx: self._findings(tx, job), signed)  # 2
            self._check_where(job)
            with self._handing_in.of(job.bank) as alone:
                self._check_few(job.bank, alone=alone)  # 3
                entries = _entries(job, pieces)  # 4
                with self._taking:
                    call.check_alive()
                    known = self._take(signed, name, entries)  # 5, 6
            self.start()
            self._wake.set()
        return proven(self._house.ledger, known.submitted)

    def _check_where(self, job: Job) -> None:
        """Raise `DocumentInvalid` or `NotFound` for words that nobody has put."""
        if job.where:
            with self._house.ledger.reader() as db:
                kind = self._house.registry.compiled(db, job.contract).subject_type
                _, table = attributes_room.find(db, kind)
            table.check_where(job.where)

    def _check_few(self, bank: str, *, alone: bool) -> None:
        """Keep one bank from filling memory and disk; raises `RateLimited`."""
        if not alone:
            raise RateLimited(
                f"another list of `{bank}` is being taken",
                "hand in one after the other",
            )
        with self._house.ledger.reader() as db:
            count = job_store.count_open_of(db, bank)
        if count >= MOST_OPEN:
            raise RateLimited(
                f"`{bank}` has {count} jobs that have not ended",
                "wait for one of them, or cancel it",
            )

    def _findings(self, transaction: Transaction, job: Job) -> list[Finding]:
        db = transaction.db
        if job_store.by_jti(db, job.bank, job.jti) is not None:
            return [Finding(Reason.REPLAY_MISMATCH, "the jti names another job")]
        terms = self._house.registry.terms(db, job.contract)
        found = list(decide_job(job.bank, job.purpose, terms).reasons)
        if abs(transaction.now_ms - job.iat_ms) > clock.REQUEST_SKEW_MS:
            found.append(Finding(Reason.CLOCK_SKEW, "iat is too far from now"))
        return found

    def _take(self, signed: Signed, name: bytes, entries: Entries) -> Record:
        with self._house.ledger.reader() as db:
            known = job_store.find(db, name)
        if known is not None:  # the same job came twice at once
            return known
        whose = self._house.domain.house.id
        check_room(self._house.ledger.folder, whose, entries.size_bytes)
        with noticed(whose):
            self._folder.keep_list(name, entries)  # 5
        self._authority.admit_job(signed)
        seed = self._house.seeds.take()
        secret = wrap(self._keys.at_rest, name, seed.seed)
        job = Job.parse(signed.payload)

        def keep(transaction: Transaction) -> Signed | None:
            findings = self._findings(transaction, job)
            if findings:
                return self._desk.refuse(transaction, signed, findings)
            actor, body = self._house.domain.house.id, job_bodies.Submit(signed)
            index = transaction.append(
                Kind.JOB_SUBMIT, actor, name.hex(), body.to_body()
            )
            job_store.add(transaction, name, signed, index, secret)
            job_store.share(transaction, name, seed.shares)
            return None

        refusal = self._house.ledger.commit(keep).value  # 6
        if refusal is not None:
            self._folder.erase(name)
            raise denial.error(refusal)
        with self._house.ledger.reader() as db:
            record = job_store.find(db, name)
        if record is None:
            raise AssertionError("a job that was kept is gone")
        return record

    def _refuse(self, find: Find, signed: Signed) -> None:
        """Refuse a job, if something is against it now."""

        def decide(transaction: Transaction) -> Signed | None:
            try:
                findings = find(transaction)
            except (NodeError, ProtocolError, apsw.Error) as error:
                # An error while deciding is a denial.
                log.get().error("undecided", error=type(error).__name__)
                findings = [Finding(Reason.INTERNAL, type(error).__name__)]
            if not findings:
                return None
            return self._desk.refuse(transaction, signed, findings)

        refusal = self._house.ledger.commit(decide).value
        if refusal is not None:
            raise denial.error(refusal)

    def watch(self, call: Caller, job: bytes) -> Iterator[job_pb2.JobProgress]:
        """Tell how a job stands, each time that changes, until it has ended."""
        before = None
        while not self._closing.is_set():
            call.check_alive()
            record = self._record(call.caller, job)
            progress = record.progress()
            if progress != before:
                yield progress
                before = progress
            if record.state.ended:
                return
            self._closing.wait(LOOK_S)
        raise Unreachable("the house is stopping; the job goes on when it is back")

    def fetch(
        self, call: Caller, request: job_pb2.FetchJobRequest
    ) -> Iterator[job_pb2.FetchJobResponse]:
        """Hand out what a job has released, in order; each can be had again."""
        number = request.start
        if number > MAX_INTEGER:
            raise FormatError(f"expected a start up to {MAX_INTEGER}")
        while not self._closing.is_set():
            call.check_alive()
            record = self._record(call.caller, request.job)
            with self._house.ledger.reader() as db:
                page = job_store.releases(db, request.job, number, PAGE)
            for released, outcome in page:
                if outcome is not None:
                    logged = proven(self._house.ledger, outcome)
                    released.answer.outcome.CopyFrom(logged)
                yield released
                number += 1
            if not page and (record.state.ended or not request.follow):
                return
            if not page:
                self._closing.wait(LOOK_S)
        raise Unreachable("the house is stopping; fetch the rest when it is back")

    def cancel(self, bank: Party, signed: Signed) -> job_pb2.JobProgress:
        """End a job after what is under way; one that has ended stays as it is."""
        verify(Tag.JOB_CANCEL, signed, bank.sign)
        cancel = JobCancel.parse(signed.payload)
        if cancel.bank != bank.id:
            raise RoleRefused(f"a word of `{cancel.bank}`, not of the caller")

        def keep(transaction: Transaction) -> None:
            record = job_store.of_bank(transaction.db, cancel.job, bank.id)
            if not record.state.ended and record.cancel is None:
                index = transaction.append(
                    Kind.JOB_CANCEL,
                    bank.id,
                    cancel.job.hex(),
                    job_bodies.Cancel(signed).to_body(),
                )
                job_store.cancel(transaction, cancel.job, index)

        self._house.ledger.commit(keep)
        running = self._running
        if running is not None and running.name == cancel.job:
            running.cancelled.set()
            self._stir.set()
        return self._record(bank, cancel.job).progress()

    def list(self, bank: Party, limit: int) -> list[job_pb2.JobProgress]:
        """List a bank's jobs, newest first."""
        with self._house.ledger.reader() as db:
            records = job_store.list_of(db, bank.id, min(limit or LISTED, MOST_LISTED))
        return [record.progress() for record in records]

    def commit_result(self, bank: Party, signed: Signed) -> None:
        """Keep a bank's commitment to what it read; the first one stands."""
        verify(Tag.JOB_RESULT, signed, bank.sign)
        result = JobResult.parse(signed.payload)
        body = job_bodies.Result(result.ticket, signed).to_body()

        def journal(transaction: Transaction) -> None:
            job = job_store.commit(transaction, bank.id, result.ticket, signed.payload)
            if job is not None:
                transaction.append(Kind.JOB_RESULT, bank.id, job.hex(), body)

        self._house.ledger.commit(journal)

    def _record(self, bank: Party, job: bytes) -> Record:
        with self._house.ledger.reader() as db:
            return job_store.of_bank(db, job, bank.id)

    # -- the thread

    def _work(self) -> None:
        try:
            self._sweep()
            while not self._closing.is_set():
                with self._house.ledger.reader() as db:
                    record = job_store.to_do(db)
                if record is None:
                    self._computing.rest()
                    self._wake.wait()
                    self._wake.clear()
                else:
                    self._run(record)
        except LedgerStopped:
            return  # the node ends; the job goes on when it is back
        except RuntimeError as error:
            if not self._closing.is_set():  # else the journal was closed under us
                log.get().error("jobs stopped", error=type(error).__name__)
                raise
        finally:
            self._computing.rest()

    def _sweep(self) -> None:
        """Erase the lists of jobs that never were, or are no more."""
        with self._house.ledger.reader() as db, self._taking:
            for job in self._folder.kept() - job_store.under_way(db):
                self._folder.erase(job)

    def _run(self, record: Record) -> None:
        run = self._running = Run(self._stage, record, self._closing)
        try:
            with noticed(self._house.domain.house.id):
                run.run()
        except (Unreachable, DiskFull) as error:
            self._pause(run, error)
        except LedgerStopped:
            raise
        except Refused as refusal:
            if refusal.reason not in BUSY:
                run.end(State.FAILED, f"the authority: {refusal}")
            else:
                self._pause(run, refusal)
        except Denied as refusal:
            run.end(State.DENIED, f"{refusal.reason}: {refusal}")
        except (VaultDamaged, ContractError) as damage:
            run.end(State.FAILED, str(damage))
        except Exception as error:  # noqa: BLE001  one job must not keep the others
            log.get().error("job failed", error=type(error).__name__)
            run.end(State.FAILED, f"internal error ({type(error).__name__})")
        finally:
            self._running = None

    def _pause(self, run: Run, reason: NodeError) -> None:
        log.get().error("job waits", error=type(reason).__name__)
        self._house.ledger.commit(lambda tx: job_store.note(tx, run.name, str(reason)))
        self._wait_s = RETRY_S if run.got_on else min(2 * self._wait_s, MOST_RETRY_S)
        if not run.cancelled.is_set():
            self._stir.wait(self._wait_s)
        if not self._closing.is_set():
            self._stir.clear()


def _entries(job: Job, pieces: Iterator[job_pb2.JobEntries]) -> Entries:
    """Read the list of a job; raises `FormatError` for any other."""
    entries = Entries()
    for piece in pieces:
        entries.add(piece.subject_refs, piece.salts, piece.consents)
        if len(entries) > job.entries:
            break
    if len(entries) != job.entries:
        raise FormatError(f"expected {job.entries} entries, got {len(entries)}")
    if Tree(entries.leaves()).root() != job.root:
        raise FormatError("the entries do not make the signed root")
    return entries
