"""One journal on the disk: the database, the tree over it, the checkpoint outside.

::

    PATH              SQLite, WAL, `synchronous=FULL`, application id "Safe"
      entry(idx, data)            canonical JSON; append-only, without gaps
      head(size, note, leaves)    one row a transaction that wrote entries: the
                                  signed checkpoint and the new leaf hashes, 32
                                  bytes each, of which the tree is rebuilt
    PATH.lock         held (flock) while the journal is open
    PATH.checkpoint   the newest note, at most a second behind

At start the database is compared with the checkpoint outside it.  Shorter or
different is refused and left as it lies: a copy of yesterday that went on
would sign a second history, and every receipt of today would prove it.

*An fsync that failed is never tried again*: the kernel may have dropped the
pages it could not write, and the second call succeeds about nothing.  SQLite's
automatic checkpoints would do just that, so they are off, and `shorten_wal`
raises.  What a crash left in the WAL is written anew at start, for the same
reason: nobody knows whether its fsync came back.

Whether the entries still are what was hashed is for the auditor, who reads all
of them anyway (`node.export`); here that would make every start as slow.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node import durable
from node.errors import LedgerDamaged, LedgerLocked
from protocols.canon import Reader
from protocols.entry import Entry, Kind
from protocols.errors import ProtocolError
from protocols.note import Checkpoint, VerifierKey
from protocols.tlog import EMPTY_ROOT, HASH_BYTES, Tree

WAL_PAGES: Final = 1000  # 4 MB; then the WAL is copied into the database
BUSY_MS: Final = 5_000
APPLICATION_ID: Final = 0x53616665  # "Safe", in the file's header
VERSION: Final = 1
OWNER_ONLY: Final = 0o600
_CLOCK: Final = b'"kind":"%s"' % Kind.NODE_CLOCK.encode()

SCHEMA: Final = """
CREATE TABLE entry(idx INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE head(size INTEGER PRIMARY KEY, note TEXT NOT NULL, leaves BLOB NOT NULL);
CREATE TRIGGER entry_update BEFORE UPDATE ON entry
    BEGIN SELECT raise(ABORT, 'entries are append-only'); END;
CREATE TRIGGER entry_delete BEFORE DELETE ON entry
    BEGIN SELECT raise(ABORT, 'entries are append-only'); END;
CREATE TRIGGER entry_insert BEFORE INSERT ON entry
    WHEN NEW.idx IS NOT (SELECT coalesce(max(idx) + 1, 0) FROM entry)
    BEGIN SELECT raise(ABORT, 'entries are append-only'); END;
CREATE TRIGGER head_update BEFORE UPDATE ON head
    BEGIN SELECT raise(ABORT, 'heads are append-only'); END;
CREATE TRIGGER head_delete BEFORE DELETE ON head
    BEGIN SELECT raise(ABORT, 'heads are append-only'); END;
CREATE TRIGGER head_insert BEFORE INSERT ON head
    WHEN NEW.size <= (SELECT max(size) FROM head)
    BEGIN SELECT raise(ABORT, 'heads are append-only'); END;
"""

# After these the state of a transaction is unknown, whatever SQLite made of it.
FATAL: Final = (
    apsw.IOError,
    apsw.FullError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.NoMemError,
    apsw.CantOpenError,
    apsw.ReadOnlyError,
    apsw.InternalError,
)


@dataclass(frozen=True, slots=True)
class Head:
    """Size and root of the journal after a transaction, and the signed note."""

    size: int
    root: bytes
    note: str


class LogFile:
    """An open journal; only one thread writes, `tree` and `head` are for all."""

    @classmethod
    def open(
        cls,
        path: Path,
        signer: Ed25519PrivateKey,
        origin: str,
        earlier: Sequence[VerifierKey] = (),
    ) -> "LogFile":
        """Open the journal at `path`, or make it.

        `earlier` are keys that signed its checkpoints before `signer` did.

        1. The lock: a second process is refused.
        2. The tree of the stored leaf hashes has the root of the last
           checkpoint in the database, and the entries end where it ends.
        3. The checkpoint outside the database is of this log and not ahead.
        4. What only the WAL holds is written anew.

        Raises `LedgerLocked` and `LedgerDamaged`; the files are then untouched.
        """
        lock = _lock(path)  # 1
        db = None
        keys = (VerifierKey.of(origin, signer), *earlier)
        try:
            anchor = _read_anchor(_beside(path, ".checkpoint"), keys)
            if not path.exists():
                _refuse_shorter(path, 0, anchor)
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, OWNER_ONLY))
            db = apsw.Connection(str(path))
            # Until everything is found right, not even closing touches the WAL.
            db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            if not db.pragma("application_id") and not _tables(db):
                _refuse_shorter(path, 0, anchor)
                _create(db, origin, signer)
            log = cls(path, db, lock, signer, keys)  # 2
            log._check_anchor(anchor)  # 3
            log._harden()  # 4
        except BaseException as error:
            if db is not None:
                db.close()
            os.close(lock)
            if isinstance(error, apsw.Error | ProtocolError):
                raise LedgerDamaged(f"`{path}` is not a journal: {error}") from None
            raise
        return log

    def __init__(
        self,
        path: Path,
        db: apsw.Connection,
        lock: int,
        signer: Ed25519PrivateKey,
        keys: Sequence[VerifierKey],
    ) -> None:
        self.path = path
        self.db = db
        self.vkey = keys[0]
        self._keys = keys
        self._signer = signer
        self._lock = lock
        self._anchored = -1
        self._leaves: list[bytes] = []  # of the transaction under way
        self._wal_pages = 0
        identity = db.pragma("application_id"), db.pragma("user_version")
        if identity != (APPLICATION_ID, VERSION):
            raise LedgerDamaged(f"`{path}` is not a journal of version {VERSION}")
        db.set_busy_timeout(BUSY_MS)
        db.pragma("synchronous", "full")
        # What is erased, a call's seed first of all, is overwritten on its page.
        db.pragma("secure_delete", "on")
        db.set_wal_hook(self._note_wal)  # replaces the automatic checkpoints
        self.tree, self.head = self._rebuild()
        self.last_ms, self.clock_ms = self._read_times()

    def close(self, *, failed: bool = False) -> None:
        """Let go of the files; after an error without a last try to write them."""
        self.db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(failed))
        try:
            self.db.close()
        finally:
            os.close(self._lock)

    # At start

    def _rebuild(self) -> tuple[Tree, Head]:
        leaves, size, note = bytearray(), 0, ""
        for row in self.db.execute("SELECT size, note, leaves FROM head ORDER BY size"):
            size, note, new = _row(row)
            leaves += new
            if len(leaves) != size * HASH_BYTES:
                raise LedgerDamaged(f"leaf hashes are missing before entry {size}")
        tree = Tree([bytes(leaves)])
        if Checkpoint.open(note, self._keys) != self._checkpoint(tree):
            raise LedgerDamaged(f"log differs from its own checkpoint {size}")
        ((count,),) = self.db.execute("SELECT coalesce(max(idx) + 1, 0) FROM entry")
        if count != size:
            raise LedgerDamaged(f"log ends at {count}, its own checkpoint at {size}")
        return tree, Head(size, tree.root(), note)

    def _read_times(self) -> tuple[int, int]:
        """Return the newest entry's time, and what the clock showed at least by then.

        The two are one, unless an operator accepted a clock that went back and the
        journal's time still stands: then it is that clock as it was accepted.  How far
        it went on since stands nowhere, so one that is set back by less than that while
        the node is down is taken.  All entries since are looked through, for the bytes
        that canonical JSON has; to parse each would take five times as long.
        """
        query = "SELECT CAST(data AS BLOB) FROM entry ORDER BY idx DESC"
        last_ms, standing = 0, b""
        for row in self.db.execute(query):
            data = _row(row)[0]
            if not standing:
                last_ms = Entry.parse(data).time_ms
                standing = b'"time_ms":%d,' % last_ms
            if standing not in data:
                break
            if _CLOCK in data:
                entry = Entry.parse(data)
                if entry.kind is Kind.NODE_CLOCK and entry.time_ms == last_ms:
                    return last_ms, Reader(entry.body).integer("clock_ms")
        return last_ms, last_ms

    def _check_anchor(self, anchor: Checkpoint | None) -> None:
        if anchor is None and self.head.size:
            raise LedgerDamaged(
                f"the checkpoint outside `{self.path}` is missing",
                "put it back: without it nobody can tell whether the log is whole",
            )
        _refuse_shorter(self.path, self.head.size, anchor)
        if anchor is not None and self.tree.root(anchor.size) != anchor.root:
            raise LedgerDamaged(f"log differs from checkpoint {anchor.size}")

    def _harden(self) -> None:
        self.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self.db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
        self.write_anchor()

    # One transaction

    def begin(self) -> None:
        """Begin a transaction."""
        self._leaves = []
        self.db.execute("BEGIN IMMEDIATE")

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what the block did if it raises, and nothing else.

        SQLite ends the whole transaction after some errors.  Then the savepoint
        is gone, and an error of `FATAL` replaces the one that was raised.
        """
        self.db.execute("SAVEPOINT operation")
        try:
            yield
        except Exception:
            self._must("ROLLBACK TO operation")
            self._must("RELEASE operation")
            raise
        self._must("RELEASE operation")

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add the leaf hashes of entries that were inserted."""
        for leaf in leaves:
            self.tree.append(leaf)
        self._leaves += leaves

    def end(self) -> Head:
        """Sign, commit, and return the head that covers the transaction."""
        if not self._leaves:
            self.db.execute("COMMIT")
            return self.head
        checkpoint = self._checkpoint(self.tree)
        note = checkpoint.sign(self._signer)
        self.db.execute(
            "INSERT INTO head VALUES (?, ?, ?)",
            (checkpoint.size, note, b"".join(self._leaves)),
        )
        self.db.execute("COMMIT")
        self.head = Head(checkpoint.size, checkpoint.root, note)
        return self.head

    def shorten_wal(self) -> None:
        """Copy a long WAL into the database, so that it starts over."""
        if self._wal_pages >= WAL_PAGES:
            self._wal_pages = 0
            with suppress(apsw.BusyError):
                self.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def write_anchor(self) -> None:
        """Write the newest note outside the database, unless it is there."""
        head = self.head
        if head.size != self._anchored:
            durable.replace(_beside(self.path, ".checkpoint"), head.note.encode())
            self._anchored = head.size

    def _checkpoint(self, tree: Tree) -> Checkpoint:
        return Checkpoint(self.vkey.name, tree.size, tree.root())

    def _must(self, statement: str) -> None:
        try:
            self.db.execute(statement)
        except apsw.Error as error:
            raise apsw.InternalError(f"the transaction was lost: {error}") from error

    def _note_wal(self, _db: apsw.Connection, _name: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK


def _create(db: apsw.Connection, origin: str, signer: Ed25519PrivateKey) -> None:
    db.pragma("journal_mode", "wal")
    db.pragma("synchronous", "full")
    note = Checkpoint(origin, 0, EMPTY_ROOT).sign(signer)
    with db:
        db.execute(SCHEMA)
        db.execute("INSERT INTO head VALUES (0, ?, x'')", (note,))
        db.pragma("application_id", APPLICATION_ID)
        db.pragma("user_version", VERSION)


def _tables(db: apsw.Connection) -> bool:
    return bool(db.execute("SELECT count(*) FROM sqlite_schema").get)


def _row(row: Any) -> Any:  # noqa: ANN401  apsw cannot know our columns
    return row


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _lock(path: Path) -> int:
    flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC
    lock = os.open(_beside(path, ".lock"), flags, OWNER_ONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise LedgerLocked(
            f"`{path}` is open in another process", "stop the other node first"
        ) from None
    return lock


def _read_anchor(path: Path, keys: Sequence[VerifierKey]) -> Checkpoint | None:
    try:
        note = path.read_bytes().decode()
        return Checkpoint.open(note, keys)
    except FileNotFoundError:
        return None
    except (ProtocolError, UnicodeDecodeError) as error:
        raise LedgerDamaged(
            f"`{path}` is not a checkpoint of this log: {error}"
        ) from None


def _refuse_shorter(path: Path, size: int, anchor: Checkpoint | None) -> None:
    if anchor is not None and size < anchor.size:
        raise LedgerDamaged(
            f"log shorter than checkpoint {anchor.size}",
            f"`{path}` ends at {size}: an older copy must not go on, or every receipt"
            " given since becomes proof against this node",
        )
