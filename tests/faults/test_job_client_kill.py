"""A bank's `safehouse job`, killed at any moment: one job, each use counted once.

The list is on the bank's disk before it is sent, and each release before the next one
is asked for.  So whoever kills `submit` finds no job, or one to `send`; whoever kills
`result` calls it again, and it goes on where it was.
"""

import csv
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.crowds import Crowd, published, told
from tests.german import German
from tests.processes import NODES, OnDisk

SUBJECTS = 60
BANK = "jnrcb"
START_S = 0.3  # before a process has read a room there is nothing to kill
SPAN_S = 1.5
LONGER = 1.2


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """Run a town whose parties' files are on the disk."""
    with OnDisk(tmp_path_factory.mktemp("clients")) as world:
        for role in NODES:
            world.start(role)
        yield Crowd(German(world, SUBJECTS))


class Clerk:
    """Somebody who calls `safehouse job`, and a dice that says when it is killed."""

    def __init__(self, crowd: Crowd, seed: int) -> None:
        self._settings = crowd.world.folder / BANK / "safehouse.toml"
        self._dice = random.Random(seed)
        self._span_s = SPAN_S

    def _start(self, *words: str) -> "subprocess.Popen[bytes]":
        line = [sys.executable, "-m", "node", "job", *words]
        return subprocess.Popen(
            [*line, "--config", str(self._settings)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def call(self, *words: str) -> None:
        """Call to the end."""
        with self._start(*words) as child:
            _, said = child.communicate()
            assert child.returncode == 0, said

    def killed(self, *words: str) -> None:
        """Call, and kill it at any moment; it may have ended by then."""
        with self._start(*words) as child:
            with suppress(subprocess.TimeoutExpired):
                child.wait(START_S + self._span_s * self._dice.random())
            child.kill()
            _, said = child.communicate()
            assert child.returncode in (0, -signal.SIGKILL), said
        self._span_s *= LONGER  # a busy machine is slow to get anywhere


def check(crowd: Crowd, clerk: Clerk, kills: int, folder: Path) -> None:
    """Kill `submit` until there is a job, and `result` so many times."""
    people, strangers = crowd.people(12), crowd.strangers(2)
    asked, out = folder / "customers.csv", folder / "outcomes.parquet"
    with asked.open("w", newline="") as file:
        rows = crowd.pairs([*people, *strangers])
        csv.writer(file).writerows([("subject_id", "consent_id"), *rows])
    with crowd.bank() as bank:
        before = len(bank._records.all())
        while len(bank._records.all()) == before:
            clerk.killed("submit", "german-card", str(asked))
        (job,) = bank._records.all()[before:]
        if job in bank.unsent():
            clerk.killed("send", job.hex())
            clerk.call("send", job.hex())
        for _ in range(kills):
            clerk.killed("result", job.hex(), "--out", str(out))
        clerk.call("result", job.hex(), "--out", str(out))
        outcomes = {outcome.subject: outcome for outcome in bank.results(job)}
        assert [each.job for each in bank.list()].count(job) == 1
    assert [told(outcomes[subject]) for subject in people] == list(
        map(published, people)
    )
    assert {told(outcomes[s]) for s in strangers} == {("denied", "NO_CONSENT", "")}
    assert crowd.uses(people) == [1] * len(people)
    assert out.exists()
    assert crowd.replayed()[0] == []


def test_three_kills(crowd: Crowd, tmp_path: Path) -> None:
    """Of `submit`, and two of `result`."""
    check(crowd, Clerk(crowd, 1), 2, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 5))
def test_thirty_kills(crowd: Crowd, tmp_path: Path, seed: int) -> None:
    """Ten and more a job."""
    check(crowd, Clerk(crowd, seed), 10, tmp_path)
