"""House and authority, as processes, killed at any moment under load (TESTS 21, 44).

A throw-away trust domain with a key of full length, loaded once and served by
`safehouse up`; banks ask from several threads while one of the two is killed with
SIGKILL and started again, over and over.  In the end:

 1. every answer that a bank got is in both journals;
 2. uses, permits and spent rows agree, and no request was permitted twice;
 3. nothing is left half-way, and auditors who verify the export find nothing.
"""

import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from node import evidence
from node.client import BankClient
from node.domain import Role
from node.verify import verify
from protocols.entry import Kind
from tests.german import German, expected
from tests.hostile import journal
from tests.processes import NODES, Load, OnDisk, until


def killed(german: German, bank: BankClient, times: int) -> Load:
    """Kill one node or the other at random moments under load."""
    world = german.world
    assert isinstance(world, OnDisk)
    dice = random.Random(times)
    with Load(german, bank) as load:
        for _ in range(times):
            before = len(load.answered)
            until(lambda: len(load.answered) > before + 3)  # noqa: B023
            threading.Event().wait(dice.random() * 0.3)
            role = dice.choice(NODES)
            world.children[role].kill()
            world.up(role)
        at_last = len(load.answered)
        until(lambda: len(load.answered) > at_last + 20)
    return load


@contextmanager
def ended(world: OnDisk) -> Iterator[None]:
    """End both processes gracefully, and look at what they left from here."""
    for role in reversed(NODES):
        assert world.children[role].end() == 0
    for role in NODES:
        world.start(role)
    yield
    for role in reversed(NODES):
        world.stop(role)


def check(german: German, bank: BankClient, load: Load, folder: Path) -> None:
    """Check all that the module's docstring says."""
    world = german.world
    assert isinstance(world, OnDisk)
    assert load.wrong == []
    wanted = expected()
    for subject, _, kind in load.answered:
        assert kind == wanted[subject]["answer"]
    for call in bank.unanswered():
        bank.retry(call)
    assert bank.flush() == 0
    with ended(world):
        # 1
        outcomes = [
            e.call for e in journal(german.house) if e.kind is Kind.CALL_OUTCOME
        ]
        done = [e.call for e in journal(german.authority) if e.kind is Kind.CALL_DONE]
        told = {call.hex() for _, call, _ in load.answered}
        assert told <= set(outcomes)
        assert sorted(outcomes) == sorted(done)
        assert len(outcomes) == len(set(outcomes))
        # 2
        permits = [
            e.call for e in journal(german.authority) if e.kind is Kind.CALL_PERMIT
        ]
        assert sorted(permits) == sorted(done)
        with german.authority.ledger.reader() as db:
            assert _one(db, "SELECT sum(uses) FROM consent") == len(permits)
            assert _one(db, "SELECT count(*) FROM spend") == len(permits)
        # 3
        with german.house.ledger.reader() as db:
            assert _one(db, "SELECT count(*) FROM flight") == 0
        with world.auditor() as auditor:
            auditor.export(folder)
        kept = [evidence.answered(item) for item in bank.receipts()]
        report = verify(
            folder,
            world.domain,
            receipts=[answered for answered in kept if answered is not None],
            openings=german.openings,
        )
        assert report.findings == ()
        assert report.unfinished.intents == report.unfinished.permits == 0
        assert report.receipts >= len(told)


def _one(db: apsw.Connection, query: str) -> int:
    ((value,),) = db.execute(query).fetchall()
    return int(value)


def test_three_kills_lose_nothing(running: German, tmp_path: Path) -> None:
    """Case 21 at the nodes, as long as every test run can afford."""
    with running.bank() as bank:
        load = killed(running, bank, 3)
        check(running, bank, load, tmp_path / "export")


@pytest.mark.slow
def test_forty_kills_lose_nothing(running: German, tmp_path: Path) -> None:
    """Case 21 at the nodes: enough to hit every moment between two writes."""
    with running.bank() as bank:
        load = killed(running, bank, 40)
        check(running, bank, load, tmp_path / "export")


def test_a_node_that_is_told_to_end_ends_clean(running: German) -> None:
    """Case 44: SIGTERM under load: exit code 0, no process left, journal closed."""
    world = running.world
    assert isinstance(world, OnDisk)
    with running.bank() as bank, Load(running, bank) as load:
        until(lambda: len(load.answered) > 10)
        children = {role: world.children[role] for role in NODES}
        for role in reversed(NODES):
            assert children[role].end() == 0
    assert load.wrong == []
    for child in children.values():
        with pytest.raises(ProcessLookupError):
            os.kill(child.pid, 0)
    told = {call.hex() for _, call, _ in load.answered}
    for role in NODES:
        world.start(role)
    kinds = [entry.kind for entry in journal(running.house)]
    assert kinds[-1] is Kind.NODE_STOP
    outcomes = {e.call for e in journal(running.house) if e.kind is Kind.CALL_OUTCOME}
    assert told <= outcomes


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")
def test_a_node_ends_with_the_process_that_started_it(running: German) -> None:
    """Nothing is left running when whoever started the nodes was killed."""
    world = running.world
    assert isinstance(world, OnDisk)
    world.children.pop(Role.HOUSE).end()
    path = world.folder / "house" / "safehouse.toml"
    starter = (
        "import sys, time; from pathlib import Path; from node.children import Child;"
        f"child = Child(['up', '--config', {str(path)!r}], {{}}, Path('/dev/null'));"
        "print(child.first_line() and child.pid, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    os.kill(pid, 0)
    process.kill()
    process.wait()
    process.stdout.close()
    until(lambda: not _runs(pid))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False
