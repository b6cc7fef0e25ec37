"""A disk that fails under the journal: stop, and what was answered is on it.

Cases 22 and 23, with a layer between SQLite and the files that fails on demand.
"""

import errno
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node import durable
from node.clock import now_ms
from node.errors import LedgerStopped
from node.ledger import Ledger, Transaction
from protocols.entry import Entry, Kind

SIGNER = Ed25519PrivateKey.from_private_bytes(b"j" * 32)
SCHEMA = ("CREATE TABLE IF NOT EXISTS counter(uses INTEGER)",)


@dataclass
class Disk:
    """Fails every `operation` on files ending in `suffix` from the n-th on."""

    error: type[apsw.Error] = apsw.IOError
    operation: str = ""
    suffix: str = ""
    calls_left: int = 0
    failures: int = field(default=0, init=False)

    def fail(self, operation: str, name: str) -> None:
        """Raise if it is time to."""
        if operation != self.operation or not name.endswith(self.suffix):
            return
        if self.calls_left:
            self.calls_left -= 1
            return
        self.failures += 1
        raise self.error(f"{operation} of {name} failed")


class FaultyFile(apsw.VFSFile):
    """A file on a `Disk`."""

    def __init__(
        self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> None:
        self._disk = disk
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else name
        super().__init__("unix", name, flags)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802, ANN401
        """Write, or fail."""
        self._disk.fail("write", self._name or "")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        """Sync, or fail."""
        self._disk.fail("sync", self._name or "")
        super().xSync(flags)


class FaultyVFS(apsw.VFS):
    """Opens every file on the `Disk`."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        super().__init__("faulty", "unix", makedefault=True)

    def xOpen(  # noqa: N802
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        """Open a file."""
        return FaultyFile(self._disk, name, flags)


@pytest.fixture
def disk() -> Iterator[Disk]:
    """Put every database of the test on a disk that can fail."""
    disk = Disk()
    vfs = FaultyVFS(disk)
    yield disk
    vfs.unregister()


def open_ledger(path: Path) -> Ledger:
    """Open the ledger of the test."""
    return Ledger.open(
        path, signer=SIGNER, origin="example/a", clock=now_ms, schema=SCHEMA
    )


def use(transaction: Transaction) -> int:
    """Change state and append an entry, together."""
    transaction.db.execute("INSERT INTO counter VALUES (1)")
    return transaction.append(Kind.CALL_PERMIT, "authority", "", {"fill": "x" * 600})


def run_until_failure(ledger: Ledger, most: int = 100_000) -> list[int]:
    """Commit from four threads until the ledger stops; return what was answered."""
    answered: list[int] = []

    def caller() -> None:
        for _ in range(most // 4):
            try:
                answered.append(ledger.commit(use, 10).value)
            except LedgerStopped:
                return

    threads = [threading.Thread(target=caller) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answered


def on_disk(ledger: Ledger) -> tuple[list[int], int]:
    """Read indices and uses as another connection finds them."""
    with ledger.reader() as db:
        rows: list[Any] = db.execute("SELECT idx FROM entry ORDER BY idx").fetchall()
        count = db.execute("SELECT count(*) FROM counter").get
    assert isinstance(count, int)
    return [index for (index,) in rows], count


FAULTS = {
    "EIO on the first sync of the WAL": Disk(apsw.IOError, "sync", "-wal", 0),
    "EIO on a later sync of the WAL": Disk(apsw.IOError, "sync", "-wal", 9),
    "EIO on a write to the WAL": Disk(apsw.IOError, "write", "-wal", 30),
    "EIO when the WAL is copied": Disk(apsw.IOError, "write", ".ledger", 0),
    "EIO when the copy is synced": Disk(apsw.IOError, "sync", ".ledger", 0),
    "ENOSPC on a write to the WAL": Disk(apsw.FullError, "write", "-wal", 30),
    "ENOSPC when the WAL is copied": Disk(apsw.FullError, "write", ".ledger", 0),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_disk_stops_the_ledger(
    tmp_path: Path, disk: Disk, fault: str
) -> None:
    """Cases 22, 23: answered = on disk; nothing more is taken; a restart goes on."""
    path = tmp_path / "a.ledger"
    ledger = open_ledger(path)
    stops: list[LedgerStopped] = []
    ledger.on_stop(stops.append)
    bad = FAULTS[fault]
    disk.error, disk.suffix = bad.error, bad.suffix
    disk.calls_left, disk.operation = bad.calls_left, bad.operation
    answered = run_until_failure(ledger)
    assert disk.failures == 1  # and it is never tried again
    assert [type(reason) for reason in stops] == [LedgerStopped]
    assert stops == [ledger.stopped]
    with pytest.raises(LedgerStopped, match="the journal stopped"):
        ledger.submit(use)
    indices = list(range(ledger.head.size))
    assert sorted(answered) == indices
    assert on_disk(ledger) == (indices, len(indices))
    ledger.close()
    assert disk.failures == 1  # not even to close

    disk.operation = ""  # space is freed, the cable is plugged in
    again = open_ledger(path)
    # The transaction that failed may be found there, whole, but only if all of
    # it was written and the sync was what failed; it has one operation a thread.
    doubtful = 4 if "sync of the WAL" in fault else 0
    size = again.head.size
    assert len(indices) <= size <= len(indices) + doubtful
    assert on_disk(again) == (list(range(size)), size)
    assert again.commit(use).indices == (size,)
    kinds = {Entry.parse(data).kind for data in again.entries(0, size + 1)}
    assert kinds == {Kind.CALL_PERMIT}
    again.close()


def test_an_answer_in_doubt_is_kept_whole(tmp_path: Path, disk: Disk) -> None:
    """A process that dies on the failed sync may find the unanswered entry there.

    Then it is complete: entry, state and head; the log goes on after it.
    """
    path = tmp_path / "a.ledger"
    ledger = open_ledger(path)
    assert ledger.commit(use).indices == (0,)
    disk.operation, disk.suffix = "sync", "-wal"
    with pytest.raises(LedgerStopped):
        ledger.commit(use)
    disk.operation = ""
    after = tmp_path / "after"
    after.mkdir()
    for name in ("a.ledger", "a.ledger-wal", "a.ledger.checkpoint"):
        (after / name).write_bytes((tmp_path / name).read_bytes())
    again = open_ledger(after / "a.ledger")
    indices, count = on_disk(again)
    assert indices in ([0], [0, 1])
    assert count == len(indices) == again.head.size
    assert again.commit(use).indices == (len(indices),)
    again.close()
    ledger.close()


def test_an_error_inside_an_operation_stops_too(tmp_path: Path) -> None:
    """An operation that swallows nothing meets the disk's error first."""
    ledger = open_ledger(tmp_path / "a.ledger")

    def fails(_: Transaction) -> None:
        raise apsw.IOError("disk I/O error")

    with pytest.raises(LedgerStopped, match="disk I/O error"):
        ledger.commit(fails)
    ledger.close()


def test_an_operation_that_ends_the_transaction(tmp_path: Path) -> None:
    """SQLite ends a transaction after some errors: nobody may go on inside it."""
    ledger = open_ledger(tmp_path / "a.ledger")
    ledger.commit(use)
    with pytest.raises(LedgerStopped, match="the transaction was lost"):
        ledger.commit(lambda transaction: transaction.db.execute("ROLLBACK"))
    assert on_disk(ledger) == ([0], 1)
    ledger.close()


def test_the_checkpoint_outside_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the checkpoint outside, the next start could not tell: stop."""
    ledger = open_ledger(tmp_path / "a.ledger")
    stopped = threading.Event()
    ledger.on_stop(lambda _: stopped.set())

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, f"no space for {path} of {len(data)} bytes")

    monkeypatch.setattr(durable, "replace", full)
    ledger.commit(use)
    assert stopped.wait(5)
    with pytest.raises(LedgerStopped, match="no space"):
        ledger.commit(use)
    ledger.close()
    monkeypatch.undo()
    again = open_ledger(tmp_path / "a.ledger")
    assert again.head.size == 1
    again.close()
