"""Jobs on a Dask cluster: the same bytes, whoever is killed (cases 61, 63)."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.replay import Role
from node import job_cluster
from node.config import parse
from node.errors import ConfigInvalid, NodeError, VaultDamaged
from node.job_cluster import NEEDS, Cluster, check_scheduler
from node.job_sources import Sources
from node.job_work import Work
from node.job_workers import Workers
from tests.crowds import Crowd, crowded, published, told
from tests.test_job_crashes import until
from tests.test_job_data import flip

SUBJECTS = 120
PORT = 18786


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """Run a town."""
    with crowded(tmp_path_factory.mktemp("cluster"), SUBJECTS) as made:
        yield made


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run a scheduler with two workers, each a process of its own."""
    pytest.importorskip("distributed")
    folder = tmp_path_factory.mktemp("dask")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    address = f"tcp://127.0.0.1:{PORT}"
    quiet = {
        "cwd": folder,
        "env": env,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    words = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    options = [
        "--host",
        "127.0.0.1",
        "--port",
        str(PORT),
        "--no-dashboard",
        "--no-show",
    ]
    started = [subprocess.Popen([*words, *options], **quiet)]  # type: ignore[call-overload]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address]
    alone = ["--no-nanny", "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"]
    started += [
        subprocess.Popen([*worker, *alone], **quiet)  # type: ignore[call-overload]
        for _ in range(2)
    ]
    try:
        wait_for(address, 2)
        yield started[1:]
    finally:
        for process in started:
            process.kill()
            process.wait()


def wait_for(address: str, workers: int) -> None:
    """Wait until so many workers are there."""
    from distributed import Client  # noqa: PLC0415  an extra

    with Client(address, timeout=30, set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=60)


def works(crowd: Crowd) -> list[Work]:
    """Make the works of every block, one each."""
    house, compiled = crowd.german.house, crowd.german.contract
    slots = tuple(range(crowd.world.slots))
    with house.ledger.reader() as db:
        sources = Sources.newest(db, house.registry, house.vault, compiled)
    blocks = range(SUBJECTS // crowd.world.slots)
    return [sources.work(compiled, b"w" * 32, [(b, slots)]) for b in blocks]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what Dask warns of is its own
def test_a_cluster_makes_the_same_bytes(
    crowd: Crowd,
    cluster: list[subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As processes here do; a whole job, and one worker of two killed under it."""
    public = crowd.world.domain.paillier
    here, there = Workers(public, 1), Cluster(public, f"tcp://127.0.0.1:{PORT}")
    assert [list(here.compute(w)) for w in works(crowd)] == [
        list(there.compute(w)) for w in works(crowd)
    ]
    first = works(crowd)[0]
    path = first.files[0][2]
    at = Path(path).stat().st_size // len(works(crowd)) // 2
    flip(path, at)
    with pytest.raises(VaultDamaged, match="was changed on the disk"):
        there.compute(first)  # a worker's own finding comes through as it is
    flip(path, at)
    jobs = crowd.world.house.jobs
    assert jobs is not None
    monkeypatch.setattr(jobs, "_stage", replace(jobs._stage, computing=there))  # type: ignore[union-attr]
    ids = crowd.people(60)
    with crowd.bank() as bank:
        job = bank.submit("german-card", crowd.pairs(ids))
        time.sleep(0.2)
        os.kill(cluster[0].pid, signal.SIGKILL)
        bank.fetch(job)
        results = list(bank.results(job))
    assert [told(outcome) for outcome in results] == [published(s) for s in ids]
    assert crowd.kinds(Role.HOUSE, job)["job.end"] == 1
    with crowd.german.authority.ledger.reader() as db:
        uses = dict(db.execute("SELECT id, uses FROM consent"))
    assert {uses[f"c-{s}"] for s in ids} == {1}
    there.rest()
    until(lambda: cluster[0].poll() is not None)


@pytest.mark.parametrize(
    "address",
    [
        "tcp://10.0.0.5:8786",
        "10.0.0.5:8786",
        "",
        "ws://localhost:1",
        "tcp://cluster:1",
        "tls://",
    ],
)
def test_seeds_do_not_travel_in_clear(address: str) -> None:
    """Beyond this machine the scheduler is reached by TLS, or not at all."""
    with pytest.raises(ConfigInvalid, match="expected a scheduler `tls://host:port`"):
        check_scheduler(address)


@pytest.mark.parametrize(
    "address",
    ["tls://10.0.0.5:8786", "tcp://127.0.0.1:1", "tcp://localhost:1", "tcp://[::1]:1"],
)
def test_where_they_may(address: str) -> None:
    """TLS anywhere, and this machine."""
    check_scheduler(address)


def test_without_the_extra(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that installs it is said."""

    def missing(_name: str) -> object:
        raise ModuleNotFoundError

    monkeypatch.setattr(job_cluster.importlib, "import_module", missing)
    with pytest.raises(ConfigInvalid) as caught:
        Cluster(crowd.world.domain.paillier, "tls://10.0.0.5:8786")
    assert caught.value.hint == NEEDS


ROOT_KEY = "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"
HOUSE = f"""
role = "house"
id = "house"
domain = "domain.json"
root_key = "{ROOT_KEY}"
keystore = "keys.sealed"
data = "data"
listen = "127.0.0.1:1"
[peers]
authority = "127.0.0.1:2"
"""


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('executor = "ray"', "expected `processes` or `dask`"),
        ('executor = "dask"', "`jobs.scheduler`"),
        ('scheduler = "tls://a:1"', "`jobs.scheduler`"),
        ('exekutor = "dask"', "unknown key `jobs.exekutor`"),
    ],
)
def test_what_the_configuration_may_say(table: str, message: str) -> None:
    """A cluster is named whole, or refused with its line."""
    with pytest.raises(NodeError) as caught:
        parse(f"{HOUSE}[jobs]\n{table}\n", Path("x/safehouse.toml"))
    assert message in str(caught.value)
    good = parse(
        f'{HOUSE}[jobs]\nexecutor = "dask"\nscheduler = "tls://a:1"\n', Path("x/s.toml")
    )
    assert good.scheduler == "tls://a:1"
