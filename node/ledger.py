r"""The journal of a node and everything that must change together with it.

One SQLite file (`node.logfile`) holds the entries and the node's own tables, so
that a consent use, its entry and the signed tree head are one transaction.  One
thread writes.  It takes up to `GROUP` waiting operations, runs each in a
savepoint, signs **one** checkpoint over all, commits once, and only then
answers.  An operation that raises changes nothing and harms no other.

What stops it:

* *An error while committing* (EIO, ENOSPC), for good.  Nobody waiting is
  answered as if it were done, and nothing more is taken.  The next start finds
  everything that was answered, and perhaps the transaction that failed, whole:
  as after a crash, one who got no answer asks again.
* *A jump of the clock* (`node.journal_clock`), until `accept_clock` journals
  who answers for it, once: what was accepted is read from there at the next start.

>>> from tempfile import TemporaryDirectory
>>> from node.clock import now_ms
>>> def count(transaction: Transaction) -> int:
...     transaction.append(Kind.NODE_START, "house", "", {})
...     transaction.db.execute("UPDATE counter SET uses = uses + 1")
...     return transaction.db.execute("SELECT uses FROM counter").get
>>> with TemporaryDirectory() as folder:
...     ledger = Ledger.open(
...         Path(folder) / "house.ledger",
...         signer=Ed25519PrivateKey.generate(),
...         origin="example.org/house",
...         clock=now_ms,
...         schema=["CREATE TABLE counter(uses)", "INSERT INTO counter VALUES (0)"],
...     )
...     done = ledger.commit(count)
...     checkpoint = ledger.proof(0).verify(ledger.entry(0), [ledger.vkey])
...     ledger.close()
>>> done.value, done.indices, done.head.size, checkpoint.size
(1, (0,), 1, 1)
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeAlias, TypeVar

import apsw
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.clock import monotonic_ms, monotonic_us
from node.errors import (
    ClockJumped,
    LedgerBusy,
    LedgerDamaged,
    LedgerStopped,
    LedgerTimeout,
)
from node.journal_clock import JournalClock
from node.logfile import BUSY_MS, FATAL, Head, LogFile
from protocols.canon import Json
from protocols.entry import Entry, Kind
from protocols.note import LogProof, VerifierKey
from protocols.tlog import leaf_hash

__all__ = ["Committed", "Head", "Ledger", "Operation", "Transaction"]

T = TypeVar("T")

GROUP: Final = 256  # operations a transaction
WAITING: Final = 4096  # operations in the queue; more are refused
RECENT: Final = 512  # entries kept at hand: most are proven right after
PAGE: Final = 256  # rows read at a time
ANCHOR_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Committed(Generic[T]):
    """What an operation returned, its entries, and the head that covers them."""

    value: T
    indices: tuple[int, ...]
    head: Head


class Transaction:
    """What an operation sees; good until the operation returns."""

    __slots__ = ("_db", "_first", "entries", "leaves", "now_ms")

    def __init__(self, db: apsw.Connection, now_ms: int, first: int) -> None:
        self._db: apsw.Connection | None = db
        self._first = first
        self.now_ms = now_ms  # at least the time of every entry before
        self.entries: list[bytes] = []  # what was appended
        self.leaves: list[bytes] = []  # and its leaf hashes

    @property
    def db(self) -> apsw.Connection:
        """The connection, inside a savepoint that is not the operation's to end."""
        if self._db is None:
            raise RuntimeError("the transaction has ended")
        return self._db

    def append(
        self, kind: Kind, actor: str, call: str, body: Mapping[str, Json]
    ) -> int:
        """Write an entry at `now_ms` and return its index.

        Raises `FormatError` for an entry that is too large.
        """
        data = Entry(kind, self.now_ms, actor, call, dict(body)).to_bytes()
        index = self._first + len(self.leaves)
        self.db.execute("INSERT INTO entry VALUES (?, ?)", (index, data))
        self.entries.append(data)
        self.leaves.append(leaf_hash(data))
        return index

    def end(self) -> tuple[int, ...]:
        """Refuse further use, and return the indices written."""
        self._db = None
        return tuple(range(self._first, self._first + len(self.leaves)))


Operation: TypeAlias = Callable[[Transaction], T]
_Outcome: TypeAlias = tuple[Any, tuple[int, ...]] | Exception


@dataclass(frozen=True, slots=True)
class _Job:
    operation: Operation[Any]
    future: "Future[Committed[Any]]"


class Ledger:
    """The open journal of one node; any thread may call any method."""

    @classmethod
    def open(  # noqa: PLR0913  each is a fact of this node
        cls,
        path: Path,
        *,
        signer: Ed25519PrivateKey,
        origin: str,
        clock: Callable[[], int],
        monotonic: Callable[[], int] = monotonic_ms,
        schema: Sequence[str] = (),
        earlier: Sequence[VerifierKey] = (),
    ) -> "Ledger":
        """Open the ledger at `path`, or make it.

        `schema` makes the node's own tables and runs at every start; `clock`
        and `monotonic` give milliseconds; `earlier` keys signed before `signer`.
        If the clock is far behind the last entry, the ledger opens stopped, until
        `accept_clock`.

        Raises `LedgerLocked` and `LedgerDamaged`.
        """
        log = LogFile.open(path, signer, origin, earlier)
        try:
            for statement in schema:
                log.db.execute(statement)
        except BaseException:
            log.close()
            raise
        return cls(log, JournalClock(clock, monotonic, log.last_ms, log.clock_ms))

    def __init__(self, log: LogFile, clock: JournalClock) -> None:
        self._log = log
        self._clock = clock
        self._queue: deque[_Job] = deque()
        self._wakeup = threading.Condition()
        self._turn = threading.Lock()  # to write
        self._stopped: LedgerStopped | None = clock.check()
        self._callbacks: list[Callable[[LedgerStopped], None]] = []
        self._timers: list[Callable[[float], None]] = []
        self._closing = False
        self._idle: list[apsw.Connection] = []
        self._recent: OrderedDict[int, bytes] = OrderedDict()  # entries just written
        self._changed = threading.Event()
        self._closed = threading.Event()
        self._writer = threading.Thread(target=self._write, name="ledger", daemon=True)
        self._anchor = threading.Thread(target=self._follow, name="anchor", daemon=True)
        self._writer.start()
        self._anchor.start()

    # Writing

    def submit(self, operation: Operation[T]) -> "Future[Committed[T]]":
        """Queue `operation`; it runs in the writer's thread, alone.

        What it raises goes to the future and undoes that operation only.  It
        must not wait for anything: every other call waits for it.

        Raises `LedgerStopped` and `LedgerBusy`; so may the future the first.
        """
        job = self._enqueue(operation)
        self._wake()
        return job.future

    def _enqueue(self, operation: Operation[T]) -> _Job:
        job = _Job(operation, Future())
        with self._wakeup:
            if self._closing:
                raise LedgerStopped("the journal is closed")
            if self._stopped is not None:
                raise _copy(self._stopped)
            if len(self._queue) >= WAITING:
                raise LedgerBusy(f"{WAITING} operations are waiting for the journal")
            self._queue.append(job)
        return job

    def _wake(self) -> None:
        with self._wakeup:
            self._wakeup.notify()

    def commit(
        self, operation: Operation[T], timeout: float | None = None
    ) -> Committed[T]:
        """Run `operation` and return once it is on the disk.

        Raises what it raised, what `submit` raises, and `LedgerTimeout` after
        `timeout` seconds: then it was withdrawn if it had not begun, else it
        may still be done.
        """
        if timeout is not None:
            future = self.submit(operation)
            if not wait([future], timeout).done:
                future.cancel()
                raise LedgerTimeout(f"the journal took longer than {timeout} s")
            return future.result()
        job = self._enqueue(operation)
        # If nobody is writing, this thread does, for whoever has queued up: a
        # lone commit is then spared two changes of thread.  Else the writer
        # takes what is left once that thread is done.
        if self._turn.acquire(blocking=False):
            try:
                while not job.future.done() and self._serve():
                    pass
            finally:
                self._turn.release()
        with self._wakeup:
            if self._queue:
                self._wakeup.notify()
        committed: Committed[T] = job.future.result()
        return committed

    def accept_clock(self, actor: str) -> Committed[None]:
        """Go on after `ClockJumped`: `actor` answers for the clock as it is now."""

        def note(transaction: Transaction) -> None:
            transaction.append(Kind.NODE_CLOCK, actor, "", {"clock_ms": clock_ms})

        job = _Job(note, Future())
        with self._wakeup:
            if not isinstance(self._stopped, ClockJumped) or self._closing:
                raise RuntimeError("the clock is not in question")
            clock_ms = self._clock.accept()
            self._stopped = None
            self._queue.appendleft(job)
            self._wakeup.notify()
        return job.future.result()

    @property
    def waiting(self) -> int:
        """How many operations wait for the writer."""
        return len(self._queue)

    def on_commit(self, timer: Callable[[float], None]) -> None:
        """Tell `timer` how many seconds each transaction took."""
        self._timers.append(timer)

    @property
    def stopped(self) -> LedgerStopped | None:
        """Why the ledger takes no operations, or None."""
        return self._stopped

    def on_stop(self, callback: Callable[[LedgerStopped], None]) -> None:
        """Call `callback` once for every stop, from whichever thread finds out."""
        with self._wakeup:
            self._callbacks.append(callback)
            reason = self._stopped
        if reason is not None:
            callback(reason)

    def close(self) -> None:
        """Finish what is queued, write the last checkpoint outside, let go."""
        with self._wakeup:
            if self._closing:
                return
            self._closing = True
            self._wakeup.notify()
        self._writer.join()
        with self._turn:  # whoever is still writing finishes
            self._closed.set()
        self._changed.set()
        self._anchor.join()
        while self._idle:
            self._idle.pop().close()
        self._log.close(failed=type(self._stopped) is LedgerStopped)

    # Reading

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self._log.path.parent

    @property
    def vkey(self) -> VerifierKey:
        """The key and origin under which this journal signs."""
        return self._log.vkey

    @property
    def head(self) -> Head:
        """The newest durable head."""
        return self._log.head

    def root(self, size: int) -> bytes:
        """Return the root over the first `size` entries."""
        self._refuse_beyond(size)
        return self._log.tree.root(size)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Prove entry `index` in the first `size` entries."""
        self._refuse_beyond(size)
        return self._log.tree.inclusion(index, size)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Prove that the first `new` entries begin with the first `old`."""
        self._refuse_beyond(new)
        return self._log.tree.consistency(old, new)

    def proof(self, index: int, head: Head | None = None) -> LogProof:
        """Prove entry `index` under `head`, by default the newest one."""
        head = head or self.head
        return LogProof(index, tuple(self.inclusion(index, head.size)), head.note)

    def entry(self, index: int) -> bytes:
        """Return the bytes of entry `index`."""
        recent = self._recent.get(index)
        if recent is not None:  # it is on the disk all the same
            return recent
        (data,) = self.entries(index, index + 1)
        return data

    def entries(self, start: int, stop: int) -> Iterator[bytes]:
        """Return the bytes of entries [start, stop), read page by page."""
        if not 0 <= start <= stop:
            raise RuntimeError(f"expected 0 <= start <= stop, got {start} and {stop}")
        self._refuse_beyond(stop)
        return self._entries(start, stop)

    def _entries(self, start: int, stop: int) -> Iterator[bytes]:
        # An edited entry may have become text; it must still come out, as it is.
        sql = """SELECT CAST(data AS BLOB) FROM entry
            WHERE idx >= ? AND idx < ? ORDER BY idx"""
        for first in range(start, stop, PAGE):
            past = min(first + PAGE, stop)
            with self.reader() as db:
                page: list[Any] = db.execute(sql, (first, past)).fetchall()
            if len(page) != past - first:
                raise LedgerDamaged(f"entries are missing from {first} to {past}")
            for (data,) in page:
                yield data

    def leaf_hashes(self, start: int, stop: int) -> Iterator[bytes]:
        """Return the leaf hashes of entries [start, stop), as they were signed."""
        self._refuse_beyond(stop)
        return (self._log.tree.subtree(0, index) for index in range(start, stop))

    def notes(self, since: int = -1) -> Iterator[str]:
        """Return every signed checkpoint of more than `since` entries, in order."""
        sql = "SELECT size, note FROM head WHERE size > ? ORDER BY size LIMIT ?"
        while True:
            with self.reader() as db:
                page: list[Any] = db.execute(sql, (since, PAGE)).fetchall()
            if not page:
                return
            for size, note in page:
                yield note
                since = size

    @contextmanager
    def reader(self) -> Iterator[apsw.Connection]:
        """Lend a read-only connection that sees one moment throughout."""
        if self._closed.is_set():
            raise RuntimeError("the journal is closed")
        try:
            db = self._idle.pop()
        except IndexError:
            flags = apsw.SQLITE_OPEN_READONLY
            db = apsw.Connection(str(self._log.path), flags=flags)
            db.set_busy_timeout(BUSY_MS)
        db.execute("BEGIN")
        try:
            yield db
        finally:
            db.execute("ROLLBACK")
            self._idle.append(db)

    def _refuse_beyond(self, size: int) -> None:
        if size > self.head.size:
            raise RuntimeError(f"expected a size up to {self.head.size}, got {size}")

    # Writing, one batch at a time

    def _write(self) -> None:
        while self._wait():
            with self._turn:
                self._serve()

    def _wait(self) -> bool:
        """Wait for operations; False once the ledger closes and none is left."""
        with self._wakeup:
            while not self._queue and not self._closing:
                self._wakeup.wait()
            return bool(self._queue)

    def _serve(self) -> bool:
        """Run one batch, by whoever has the turn; False when nothing was queued."""
        with self._wakeup:
            count = min(GROUP, len(self._queue))
            batch = [self._queue.popleft() for _ in range(count)]
        if not batch:
            return False
        began = monotonic_us()
        try:
            outcomes, head = self._transact(batch)
        except ClockJumped as jump:
            self._stop(jump, batch)
            return True
        except BaseException as error:  # noqa: BLE001  whatever it is, stop
            self._stop(_stopped_by(error), batch)
            return True
        self._changed.set()
        for timer in self._timers:
            timer((monotonic_us() - began) / 1e6)
        for future, outcome in outcomes:
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(Committed(*outcome, head))
        try:
            self._log.shorten_wal()
        except BaseException as error:  # noqa: BLE001
            self._stop(_stopped_by(error), [])
        return True

    def _transact(
        self, batch: list[_Job]
    ) -> tuple[list[tuple["Future[Committed[Any]]", _Outcome]], Head]:
        """Run a batch in one transaction; raises what makes all of it void."""
        now_ms = self._clock.now()
        self._log.begin()
        first, written = self._log.tree.size, list[bytes]()
        outcomes = [
            (job.future, self._run(job.operation, now_ms, written))
            for job in batch
            if job.future.set_running_or_notify_cancel()  # else: withdrawn
        ]
        head = self._log.end()
        self._recent.update(enumerate(written, first))
        while len(self._recent) > RECENT:
            self._recent.popitem(last=False)
        return outcomes, head

    def _run(
        self, operation: Operation[Any], now_ms: int, written: list[bytes]
    ) -> _Outcome:
        """Run one operation in its savepoint; raises only what is `FATAL`."""
        log = self._log
        transaction = Transaction(log.db, now_ms, log.tree.size)
        try:
            with log.savepoint():
                value = operation(transaction)
        except FATAL:
            raise
        except Exception as error:  # noqa: BLE001  its caller's business
            return error
        finally:
            indices = transaction.end()
        log.extend(transaction.leaves)
        written += transaction.entries
        return value, indices

    def _stop(self, reason: LedgerStopped, batch: list[_Job]) -> None:
        with self._wakeup:
            waiting = [*batch, *self._queue]
            self._queue.clear()
            # A failed disk outlasts a clock, which an operator may accept.
            told = type(self._stopped) in (LedgerStopped, type(reason))
            self._stopped = self._stopped if told else reason
        for job in waiting:
            with suppress(InvalidStateError):  # withdrawn
                job.future.set_exception(_copy(reason))
        if not told:
            for callback in self._callbacks:
                callback(reason)

    # The anchor's thread

    def _follow(self) -> None:
        """Write the newest note outside the database, at most once a second."""
        closed = False
        while not closed:
            self._changed.wait()
            self._changed.clear()
            try:
                self._log.write_anchor()
                closed = self._closed.wait(ANCHOR_SECONDS)
                if closed:
                    self._log.write_anchor()
            except OSError as error:
                self._stop(_stopped_by(error), [])
                return


def _copy(reason: LedgerStopped) -> LedgerStopped:
    """Make an exception of one's own for each thread that raises it."""
    copy = type(reason)(str(reason), reason.hint)
    copy.__cause__ = reason.__cause__
    return copy


def _stopped_by(error: BaseException) -> LedgerStopped:
    reason = LedgerStopped(
        f"the journal stopped: {error}", "see to the disk, then start the node again"
    )
    reason.__cause__ = error
    return reason
