"""Workers that are killed, and how many there are, change nothing (cases 61, 63)."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from contracts.replay import Role
from node import job_workers
from node.errors import Unreachable, VaultDamaged
from node.job_sources import Sources
from node.job_work import Made, Work
from node.job_workers import Workers
from tests.crowds import Crowd, crowded, published, told
from tests.test_job_crashes import until
from tests.test_job_data import flip

SUBJECTS = 240


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """Run a town; every test takes subjects of its own."""
    with crowded(tmp_path_factory.mktemp("workers"), SUBJECTS) as made:
        yield made


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start processes for the smallest of jobs."""
    monkeypatch.setattr(job_workers, "IN_PROCESS", 0)


def works(crowd: Crowd) -> list[Work]:
    """Make the works of every block, two blocks each."""
    house, compiled = crowd.german.house, crowd.german.contract
    slots = tuple(range(crowd.world.slots))
    with house.ledger.reader() as db:
        sources = Sources.newest(db, house.registry, house.vault, compiled)
    blocks = range(SUBJECTS // crowd.world.slots)
    return [
        sources.work(compiled, b"w" * 32, [(b, slots), (b + 1, slots)])
        for b in blocks[:-1:2]
    ]


def made(crowd: Crowd, count: int, *, kill: bool = False) -> list[Sequence[Made]]:
    """Do all works with so many processes; kill one in between."""
    workers = Workers(crowd.world.domain.paillier, count)
    done = []
    try:
        for number, work in enumerate(works(crowd)):
            done.append(workers.compute(work))
            if kill and number == 2:
                os.kill(next(iter(processes(workers))), signal.SIGKILL)
    finally:
        workers.rest()
    return done


def processes(workers: Workers) -> list[int]:
    """List the processes of a pool."""
    pool = workers._pool
    return [] if pool is None else list(pool._processes)


@pytest.mark.usefixtures("pools")
def test_any_number_of_workers_makes_the_same_bytes(crowd: Crowd) -> None:
    """One process, two, and two of which one is killed."""
    alone = made(crowd, 1)
    assert len(alone) == 10
    assert made(crowd, 2) == alone
    assert made(crowd, 2, kill=True) == alone


@pytest.mark.usefixtures("pools")
def test_a_job_outlives_its_workers(crowd: Crowd) -> None:
    """Every process of it killed, again and again: each outcome right, used once."""
    people = crowd.people(60)
    workers = crowd.jobs._computing
    assert isinstance(workers, Workers)
    killed = set()
    with crowd.bank() as bank:
        job = bank.submit("german-card", crowd.pairs(people))
        for progress in bank.watch(job):
            for process in processes(workers)[: 2 - len(killed)]:
                if progress.released and process not in killed:
                    killed.add(process)
                    os.kill(process, signal.SIGKILL)
        outcomes = crowd.outcomes(bank, job)
    for subject in people:
        assert told(outcomes[subject]) == published(subject)
    assert crowd.uses(people) == [1] * len(people)
    assert crowd.replayed()[0] == []
    until(lambda: not processes(workers))  # they rest when there is nothing to do
    assert crowd.kinds(Role.HOUSE, job)["job.end"] == 1


@pytest.mark.usefixtures("pools")
def test_a_worker_believes_no_file(crowd: Crowd) -> None:
    """A block that changed since its work was made is refused by name."""
    found = works(crowd)
    path = found[0].files[0][2]
    at = Path(path).stat().st_size // 2
    workers = Workers(crowd.world.domain.paillier, 2)
    flip(path, at)
    try:
        with pytest.raises(VaultDamaged, match="was changed on the disk"):
            list(map(workers.compute, found))
    finally:
        flip(path, at)
        workers.rest()


@pytest.mark.usefixtures("pools")
def test_workers_that_never_live_long_enough(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No endless loop: the job waits, and says what to look at."""
    monkeypatch.setattr(job_workers, "_begin", os._exit)
    workers = Workers(crowd.world.domain.paillier, 2)
    monkeypatch.setattr(job_workers, "TRIES", 2)
    with pytest.raises(Unreachable, match="ended from outside"):
        workers.compute(works(crowd)[0])
    workers.rest()


VICTIM = """
import secrets, sys, time
from node import job_workers
from protocols import paillier
if __name__ == "__main__":
    job_workers.IN_PROCESS = 0
    public = paillier._small_key(512, secrets.token_bytes).public
    workers = job_workers.Workers(public, 2)
    pool = workers._started()
    for future in [pool.submit(time.sleep, 0.1) for _ in range(8)]:
        future.result()
    print(*pool._processes, flush=True)
    time.sleep(60)
"""


def test_workers_end_with_the_house(tmp_path: Path) -> None:
    """Kill -9 of the house: none of its processes is left."""
    script = tmp_path / "victim.py"
    script.write_text(VICTIM)
    house = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert house.stdout is not None
    workers = [int(word) for word in house.stdout.readline().split()]
    assert len(workers) == 2
    assert all(map(alive, workers))
    house.kill()
    house.wait()
    house.stdout.close()
    until(lambda: not any(map(alive, workers)))


def alive(process: int) -> bool:
    """Tell whether a process is there and is no zombie."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
