"""A disk that is full while a job runs: it waits, says so, and goes on (ENOSPC).

Where room is short but not gone, jobs stop before the journal would, and nothing else
does.  Where a write fails all the same, what was acknowledged stands.
"""

import errno
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

from contracts.replay import Role as Journal
from node import durable, job_list, room
from node import jobs as jobs_room
from node.domain import Role
from node.errors import DiskFull, NodeError, Refused
from node.job_client import JobClient, Progress
from node.job_store import State
from tests.crowds import Crowd, crowded, published, told
from tests.faults.test_ledger_disk import Disk, FaultyVFS
from tests.test_job_crashes import until

SUBJECTS = 500
EACH = 20
ROOM = 10 << 30  # bytes


def later(count: int) -> object:
    """Leave a moment to the long run of tests."""
    return pytest.param(count, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def disk() -> Iterator[Disk]:
    """Put every database on a disk that can fail."""
    disk = Disk(apsw.FullError)
    vfs = FaultyVFS(disk)
    yield disk
    vfs.unregister()


@pytest.fixture(scope="module")
def crowd(
    tmp_path_factory: pytest.TempPathFactory,
    disk: Disk,  # noqa: ARG001  first
) -> Iterator[Crowd]:
    """Run a town; every test takes subjects of its own."""
    with crowded(tmp_path_factory.mktemp("disks"), SUBJECTS) as made:
        yield made


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again soon."""
    monkeypatch.setattr(jobs_room, "RETRY_S", 0.05)
    monkeypatch.setattr(jobs_room, "MOST_RETRY_S", 0.2)


def waiting(bank: JobClient, job: bytes) -> Progress:
    """Follow a job until it says what it waits for."""
    return next(stage for stage in bank.watch(job) if stage.reason)


def check(crowd: Crowd, bank: JobClient, job: bytes, ids: list[str]) -> None:
    """Wait for its end, which is as if nothing had been."""
    assert crowd.end(bank, job).state is State.FINISHED
    outcomes = crowd.outcomes(bank, job)
    for subject in ids:
        assert told(outcomes[subject]) == published(subject)
    assert crowd.uses(ids) == [1] * len(ids)
    assert crowd.replayed()[0] == []


class Filling:
    """A node's disk that others fill up in the middle of a job."""

    def __init__(self, patch: pytest.MonkeyPatch, party: str, steps: int) -> None:
        self.free = ROOM
        self._party = party
        self._left = steps
        patch.setattr(room, "free_bytes", self._measured)

    def _measured(self, folder: Path) -> int:
        if folder.parent.name != self._party:
            return ROOM
        self._left -= 1
        if self._left == 0:
            self.free = 5 << 20
        return self.free


@pytest.mark.parametrize("steps", [2, later(5), 7])
@pytest.mark.parametrize("party", ["house", "authority"])
def test_a_job_waits_for_room(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch, party: str, steps: int
) -> None:
    """Either node's disk: calls go on, the job says what it needs, and ends right."""
    *ids, other = crowd.people(EACH + 1)
    filling = Filling(monkeypatch, party, steps)
    with crowd.bank() as bank, crowd.german.bank() as calls:
        job = bank.submit("german-card", crowd.pairs(ids))
        stage = waiting(bank, job)
        assert not stage.state.ended
        assert stage.reason == (
            f"the disk of `{party}` is nearly full: 5 MB are free, 256 MB are needed"
        )
        single = calls.score("german-card", other, consent=f"c-{other}")
        assert (single.kind, single.reason) == published(other)[:2]
        assert calls.flush() == 0
        filling.free = ROOM
        check(crowd, bank, job, ids)


def test_a_job_that_waits_can_be_cancelled(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, however long it would have waited."""
    monkeypatch.setattr(jobs_room, "RETRY_S", 600.0)
    monkeypatch.setattr(jobs_room, "MOST_RETRY_S", 600.0)
    Filling(monkeypatch, "house", 2)
    with crowd.bank() as bank:
        job = bank.submit("german-card", crowd.pairs(crowd.people(EACH)))
        waiting(bank, job)
        bank.cancel(job)
        assert crowd.end(bank, job).state is State.CANCELLED


def test_no_room_for_a_list(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bank is told, nothing of it is left, and the same job is taken later."""
    ids = crowd.people(EACH)
    folder = crowd.world.folder / "house" / "data" / "jobs"
    with crowd.bank() as bank:
        filling = Filling(monkeypatch, "house", 1)
        with pytest.raises(Refused, match="the disk of `house` is nearly full") as low:
            bank.submit("german-card", crowd.pairs(ids))
        assert low.value.reason == "DISK_FULL"
        filling.free = ROOM
        (job,) = bank.unsent()
        with monkeypatch.context() as patch:
            full_at(patch, ".list")
            with pytest.raises(Refused, match="the disk of `house` is full"):
                bank.send(job)
        assert list(folder.iterdir()) == []
        bank.send(job)
        check(crowd, bank, job, ids)


def test_no_room_for_a_plan(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's word for it makes the job wait, not fail."""
    ids = crowd.people(EACH)
    with crowd.bank() as bank:
        with monkeypatch.context() as patch:
            full_at(patch, ".plan")
            job = bank.submit("german-card", crowd.pairs(ids))
            assert waiting(bank, job).reason == "the disk of `house` is full"
        check(crowd, bank, job, ids)


def full_at(patch: pytest.MonkeyPatch, suffix: str) -> None:
    """Let the disk be full once half of such a file is written."""
    replace = durable.replace

    def replaced(path: Path, data: bytes) -> None:
        if path.suffix != suffix:
            replace(path, data)
            return

        def pieces() -> Iterator[bytes]:
            yield data[: len(data) // 2]
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

        replace(path, pieces())

    patch.setattr(job_list.durable, "replace", replaced)


@pytest.mark.parametrize("writes", [later(2), later(9), 20])
@pytest.mark.parametrize("party", ["house", "authority"])
def test_a_journal_that_finds_no_room_stops_its_node(
    crowd: Crowd,
    disk: Disk,
    party: str,
    writes: int,
) -> None:
    """Started again, once there is room, the job goes on by itself."""
    ids = crowd.people(EACH)
    role = Role(party)
    ledger = crowd.german.house.ledger
    if role is Role.AUTHORITY:
        ledger = crowd.german.authority.ledger
    with crowd.bank() as bank:
        disk.suffix = f"{party}/data/journal.db-wal"
        disk.calls_left, disk.operation = writes, "write"
        try:
            with suppress(NodeError):
                bank.submit("german-card", crowd.pairs(ids))
            job = bank._records.all()[-1]
            until(lambda: ledger.stopped is not None)
        finally:
            disk.operation = ""
        crowd.restart(role)
        crowd.jobs.start()
        with suppress(NodeError):
            bank.send(job)
        check(crowd, bank, job, ids)


def test_a_bank_without_room(
    crowd: Crowd, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has kept is kept; the same command again fetches the rest."""
    ids = crowd.people(EACH)
    disk.suffix = "jnrcb/data/jobs.db-wal"
    with crowd.bank() as bank:
        disk.calls_left, disk.operation = 0, "write"
        with pytest.raises(DiskFull, match="cannot grow: the disk is full"):
            bank.submit("german-card", crowd.pairs(ids))
        disk.operation = ""
        assert bank.unsent() == []  # nothing was sent of which nothing was kept
        job = bank.submit("german-card", crowd.pairs(ids))
        crowd.end(bank, job)
        kept: list[int] = []
        keep = JobClient._keep

        def keeping(self: JobClient, *given: object) -> None:
            keep(self, *given)  # type: ignore[arg-type]
            kept.append(len(kept))
            if len(kept) == 2:
                disk.calls_left, disk.operation = 0, "write"

        with monkeypatch.context() as patch:
            patch.setattr(JobClient, "_keep", keeping)
            with pytest.raises(DiskFull):
                bank.fetch(job)
        disk.operation = ""
        assert bank._records.fetched(job) == 2
        check(crowd, bank, job, ids)
    assert crowd.kinds(Journal.HOUSE, job)["job.result"] > 2


def test_the_disk_is_measured(tmp_path: Path) -> None:
    """What is free is what the system says; what is needed comes on top."""
    free = room.free_bytes(tmp_path)
    assert free > 0
    room.check_room(tmp_path, "house", free - room.RESERVE - (1 << 30))
    with pytest.raises(DiskFull, match="MB are needed") as caught:
        room.check_room(tmp_path, "house", free)
    assert caught.value.hint == "make room there; what waits goes on by itself"
