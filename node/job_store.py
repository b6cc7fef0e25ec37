"""What the house remembers of jobs.

==============  =============================================================
table           a row is
==============  =============================================================
`job`           a bank's job: where it stands, and its seed, sealed under the
                at-rest key until it ends
`job_stretch`   some blocks of the directory that the house has decided on, and
                what the authority said
`job_message`   blocks that go to the authority together: a ticket, its intent
`job_release`   what the bank may fetch: an answer, or refusals, numbered
`job_result`    a ticket that was released, and the bank's commitment to it
==============  =============================================================

Functions that write take a transaction of the ledger, those that read any
connection; nothing here decides.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import apsw

from node.clock import REPLY_FETCHED_MS
from node.denial import from_store, to_store
from node.errors import DocumentConflict, NotFound
from node.ledger import Transaction
from node.status import to_wire
from node.wire.v1 import job_pb2
from protocols.job import Job
from protocols.sign import Signed

SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS job(
        id BLOB PRIMARY KEY, number INTEGER NOT NULL, bank TEXT NOT NULL,
        jti BLOB NOT NULL, signed BLOB NOT NULL, submitted INTEGER NOT NULL,
        submitted_ms INTEGER NOT NULL, ended_ms INTEGER, state TEXT NOT NULL,
        reason TEXT NOT NULL DEFAULT '', secret BLOB, cancel INTEGER,
        denied INTEGER NOT NULL DEFAULT 0, permitted INTEGER NOT NULL DEFAULT 0,
        withdrawn INTEGER NOT NULL DEFAULT 0, released INTEGER NOT NULL DEFAULT 0,
        UNIQUE(bank, jti)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS job_stretch(
        job BLOB, number INTEGER, first INTEGER NOT NULL, stop INTEGER NOT NULL,
        allowed BLOB NOT NULL, reply BLOB,
        PRIMARY KEY(job, number)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS job_message(
        job BLOB, stretch INTEGER, part INTEGER, ticket BLOB NOT NULL,
        intent INTEGER NOT NULL, done INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY(job, stretch, part)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS job_release(
        job BLOB, number INTEGER, data BLOB NOT NULL, outcome INTEGER,
        PRIMARY KEY(job, number)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS job_result(
        ticket BLOB PRIMARY KEY, job BLOB NOT NULL, result BLOB) WITHOUT ROWID""",
)


class State(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"  # for its turn
    RUNNING = "running"
    FINISHED = "finished"  # every entry has an outcome or a refusal
    CANCELLED = "cancelled"
    DENIED = "denied"  # house or authority refused the whole of it
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self not in (State.WAITING, State.RUNNING)


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """A job as it stands."""

    id: bytes
    signed: Signed
    submitted: int  # journal entry
    submitted_ms: int
    state: State
    reason: str
    secret: bytes | None  # sealed seed
    cancel: int | None  # journal entry of the bank's cancellation
    denied: int
    permitted: int
    withdrawn: int
    released: int

    @property
    def job(self) -> Job:
        """What was signed."""
        return Job.parse(self.signed.payload)

    def progress(self) -> job_pb2.JobProgress:
        """Write for the bank."""
        return job_pb2.JobProgress(
            job=self.id,
            state=self.state.value,
            entries=self.job.entries,
            denied=self.denied,
            permitted=self.permitted,
            released=self.released,
            withdrawn=self.withdrawn,
            reason=self.reason,
            submitted_ms=self.submitted_ms,
            contract=self.job.contract,
        )


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch that was decided here: positions of the plan, and what follows."""

    number: int
    first: int
    stop: int
    allowed: bytes  # bit i of byte i / 8, lowest first: position first + i
    reply: bytes | None  # of the authority; None while it was not asked


@dataclass(frozen=True, slots=True)
class Message:
    """A message with an intent."""

    ticket: Signed
    intent: int
    done: bool


# -- jobs


def add(
    transaction: Transaction, job: bytes, signed: Signed, submitted: int, secret: bytes
) -> None:
    """Enter a job that waits for its turn; forget what nobody fetched in time."""
    parsed, db = Job.parse(signed.payload), transaction.db
    db.execute(
        "INSERT INTO job(id, number, bank, jti, signed, submitted, submitted_ms, state,"
        " secret) VALUES(?, (SELECT count(*) FROM job), ?, ?, ?, ?, ?, ?, ?)",
        (
            job,
            parsed.bank,
            parsed.jti,
            to_store(signed),
            submitted,
            transaction.now_ms,
            State.WAITING.value,
            secret,
        ),
    )
    db.execute(
        "DELETE FROM job_release WHERE job IN (SELECT id FROM job WHERE ended_ms < ?)",
        (transaction.now_ms - REPLY_FETCHED_MS,),
    )


def share(
    transaction: Transaction, job: bytes, shares: Sequence[tuple[str, bytes]]
) -> None:
    """Keep each auditor's sealed share of a job's seed, beside those of calls."""
    transaction.db.executemany(
        "INSERT INTO seed_share(request, auditor, box) VALUES(?, ?, ?)",
        [(job, auditor, box) for auditor, box in shares],
    )


def under_way(db: apsw.Connection) -> set[bytes]:
    """List the jobs that have not ended."""
    rows: Any = db.execute("SELECT id FROM job WHERE ended_ms IS NULL")
    return {bytes(job) for (job,) in rows}


def count_open(db: apsw.Connection) -> int:
    """Count the jobs that have not ended."""
    row = _row(db, "SELECT count(*) FROM job WHERE ended_ms IS NULL")
    return int(row[0])


def find(db: apsw.Connection, job: bytes) -> Record | None:
    """Find a job."""
    return next(_records(db, "WHERE id = ?", job), None)


def of_bank(db: apsw.Connection, job: bytes, bank: str) -> Record:
    """Find a job of a bank; raises `NotFound`, for other banks' jobs too."""
    record = find(db, job)
    if record is None or record.job.bank != bank:
        raise NotFound("no such job")
    return record


def by_jti(db: apsw.Connection, bank: str, jti: bytes) -> bytes | None:
    """Find the job that has a jti."""
    row = _row(db, "SELECT id FROM job WHERE bank = ? AND jti = ?", bank, jti)
    return None if row is None else bytes(row[0])


def to_do(db: apsw.Connection) -> Record | None:
    """Find the job to work on.

    One that has begun; else the oldest of the bank whose last job ended longest ago,
    so that no bank waits for all that another one has handed in.
    """
    query = (
        "AS mine WHERE ended_ms IS NULL ORDER BY state = ? DESC, (SELECT"
        " coalesce(max(ended_ms), 0) FROM job WHERE bank = mine.bank), number LIMIT 1"
    )
    return next(_records(db, query, State.RUNNING.value), None)


def count_open_of(db: apsw.Connection, bank: str) -> int:
    """Count the jobs of a bank that have not ended."""
    query = "SELECT count(*) FROM job WHERE bank = ? AND ended_ms IS NULL"
    return int(_row(db, query, bank)[0])


def list_of(db: apsw.Connection, bank: str, limit: int) -> list[Record]:
    """List a bank's jobs, newest first."""
    query = "WHERE bank = ? ORDER BY number DESC LIMIT ?"
    return list(_records(db, query, bank, limit))


def begin(transaction: Transaction, job: bytes) -> None:
    """Note that a job is being worked on."""
    transaction.db.execute(
        "UPDATE job SET state = ?, reason = '' WHERE id = ? AND ended_ms IS NULL",
        (State.RUNNING.value, job),
    )


def cancel(transaction: Transaction, job: bytes, index: int) -> None:
    """Note that the bank wants no more of a job."""
    transaction.db.execute("UPDATE job SET cancel = ? WHERE id = ?", (index, job))


def note(transaction: Transaction, job: bytes, reason: str) -> None:
    """Note why a job does not go on at the moment."""
    transaction.db.execute(
        "UPDATE job SET reason = ? WHERE id = ? AND ended_ms IS NULL", (reason, job)
    )


def end(transaction: Transaction, job: bytes, state: State, reason: str) -> None:
    """Note that nothing more comes of a job, and erase its seed."""
    transaction.db.execute(
        "UPDATE job SET state = ?, reason = ?, ended_ms = ?, secret = NULL"
        " WHERE id = ?",
        (state.value, reason, transaction.now_ms, job),
    )


def _records(
    db: apsw.Connection, where: str, *values: bytes | str | int
) -> Iterator[Record]:
    columns = (
        "id, signed, submitted, submitted_ms, state, reason, secret, cancel,"
        " denied, permitted, withdrawn, released"
    )
    rows: Any = db.execute(f"SELECT {columns} FROM job {where}", values)  # noqa: S608  constant texts
    for row in rows:
        name, signed, submitted, submitted_ms, state, *rest = row
        yield Record(
            name, from_store(signed), submitted, submitted_ms, State(state), *rest
        )


# -- stretches


def keep_stretch(
    transaction: Transaction, job: bytes, stretch: Stretch, denied: int
) -> None:
    """Keep what was decided here about a stretch."""
    transaction.db.execute(
        "INSERT INTO job_stretch(job, number, first, stop, allowed)"
        " VALUES(?, ?, ?, ?, ?)",
        (job, stretch.number, stretch.first, stretch.stop, stretch.allowed),
    )
    _count(transaction, job, denied=denied)


def answer_stretch(
    transaction: Transaction, job: bytes, number: int, reply: bytes, counts: "Counts"
) -> bool:
    """Keep what the authority said about a stretch; False if it was kept before."""
    db = transaction.db
    db.execute(
        "UPDATE job_stretch SET reply = ? WHERE job = ? AND number = ?"
        " AND reply IS NULL",
        (reply, job, number),
    )
    if not db.changes():
        return False
    _count(transaction, job, denied=counts.denied, permitted=counts.permitted)
    return True


def stretch(db: apsw.Connection, job: bytes, number: int) -> Stretch | None:
    """Find a stretch that was decided here."""
    row = _row(
        db,
        "SELECT number, first, stop, allowed, reply FROM job_stretch"
        " WHERE job = ? AND number = ?",
        job,
        number,
    )
    return None if row is None else Stretch(*row)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many entries something is about."""

    denied: int = 0
    permitted: int = 0
    withdrawn: int = 0
    released: int = 0


# -- messages


def depart(
    transaction: Transaction,
    job: bytes,
    place: tuple[int, int],
    ticket: Signed,
    intent: int,
) -> None:
    """Keep a message, the part `place` = (stretch, part), that is about to be sent."""
    transaction.db.execute(
        "INSERT INTO job_message(job, stretch, part, ticket, intent)"
        " VALUES(?, ?, ?, ?, ?)",
        (job, *place, to_store(ticket), intent),
    )


def message(db: apsw.Connection, job: bytes, place: tuple[int, int]) -> Message | None:
    """Find a message that has an intent."""
    row = _row(
        db,
        "SELECT ticket, intent, done FROM job_message"
        " WHERE job = ? AND stretch = ? AND part = ?",
        job,
        *place,
    )
    return None if row is None else Message(from_store(row[0]), row[1], bool(row[2]))


def arrive(
    transaction: Transaction,
    job: bytes,
    place: tuple[int, int],
    ticket: bytes,
    counts: Counts,
) -> bool:
    """Note that a message was answered; False if it was before."""
    db = transaction.db
    db.execute(
        "UPDATE job_message SET done = 1 WHERE job = ? AND stretch = ? AND part = ?"
        " AND NOT done",
        (job, *place),
    )
    if not db.changes():
        return False
    db.execute("INSERT INTO job_result(ticket, job) VALUES(?, ?)", (ticket, job))
    _count(transaction, job, withdrawn=counts.withdrawn, released=counts.released)
    return True


# -- releases


def release_denials(
    transaction: Transaction, job: bytes, denials: Sequence[Signed]
) -> None:
    """Let the bank fetch refusals."""
    for signed in denials:
        fetched = job_pb2.FetchJobResponse(denials=to_wire(signed))
        _release(transaction, job, fetched, None)


def release_answer(
    transaction: Transaction, job: bytes, answer: job_pb2.JobAnswer, outcome: int
) -> None:
    """Let the bank fetch an answer whose `job.outcome` is entry `outcome`."""
    _release(transaction, job, job_pb2.FetchJobResponse(answer=answer), outcome)


def _release(
    transaction: Transaction,
    job: bytes,
    fetched: job_pb2.FetchJobResponse,
    outcome: int | None,
) -> None:
    transaction.db.execute(
        "INSERT INTO job_release(job, number, data, outcome) VALUES(?,"
        " (SELECT coalesce(max(number) + 1, 0) FROM job_release WHERE job = ?), ?, ?)",
        (job, job, fetched.SerializeToString(deterministic=True), outcome),
    )


def releases(
    db: apsw.Connection, job: bytes, start: int, limit: int
) -> list[tuple[job_pb2.FetchJobResponse, int | None]]:
    """List releases from number `start` on, with the journal entry of each."""
    rows: Any = db.execute(
        "SELECT number, data, outcome FROM job_release WHERE job = ? AND number >= ?"
        " ORDER BY number LIMIT ?",
        (job, start, limit),
    )
    found = []
    for number, data, outcome in rows:
        fetched = job_pb2.FetchJobResponse.FromString(data)
        fetched.number = number
        found.append((fetched, outcome))
    return found


# -- commitments


def commit(
    transaction: Transaction, bank: str, ticket: bytes, result: bytes
) -> bytes | None:
    """Keep a bank's commitment and return the job; None if it was kept before.

    Raises `NotFound` for a ticket that was not released to this bank, and
    `DocumentConflict` for a second, other commitment: the first one stands.
    """
    row = _row(
        transaction.db,
        "SELECT r.job, r.result, j.bank FROM job_result r JOIN job j ON j.id = r.job"
        " WHERE r.ticket = ?",
        ticket,
    )
    if row is None or row[2] != bank:
        raise NotFound("no such answer was released to this bank")
    job, known, _ = row
    if known is not None:
        if known != result:
            raise DocumentConflict("another commitment to this answer was made before")
        return None
    transaction.db.execute(
        "UPDATE job_result SET result = ? WHERE ticket = ?", (result, ticket)
    )
    return bytes(job)


def _count(
    transaction: Transaction,
    job: bytes,
    *,
    denied: int = 0,
    permitted: int = 0,
    withdrawn: int = 0,
    released: int = 0,
) -> None:
    transaction.db.execute(
        "UPDATE job SET denied = denied + ?, permitted = permitted + ?,"
        " withdrawn = withdrawn + ?, released = released + ? WHERE id = ?",
        (denied, permitted, withdrawn, released, job),
    )


def _row(db: apsw.Connection, query: str, *values: bytes | str | int) -> Any:  # noqa: ANN401  a row
    return db.execute(query, values).fetchone()
