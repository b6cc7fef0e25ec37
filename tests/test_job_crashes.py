"""A job cut short anywhere goes on where it was, and nothing is used twice.

At each moment the node that gets there is killed: nothing that it does afterwards
reaches its disk.  Then it is started again on the files it left, alone or with the
other node, and the job ends as if nothing had been.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from contracts.replay import Role as Journal
from node import job_run
from node import jobs as jobs_room
from node.domain import Role
from node.errors import LedgerStopped, NodeError, Unreachable
from node.job_authority import JobAuthority
from node.job_client import JobClient
from node.job_list import JobFolder
from node.job_run import Run
from node.job_store import State
from node.jobs import Jobs
from node.ledger import Ledger
from node.remote import RemoteAuthority
from node.wire.v1.job_evaluation_pb2 import PermitJobRequest, PermitJobResponse
from tests.crowds import Crowd, crowded, published, told

SUBJECTS = 990
EACH = 18  # the last one without consent; nearly all in blocks of their own
STRETCH, BLOCKS = 7, 3  # so three stretches, of two messages or three


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """Run a town; every test takes subjects of its own."""
    with (
        crowded(tmp_path_factory.mktemp("crashes"), SUBJECTS) as made,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(job_run, "STRETCH", STRETCH)
        patch.setattr(job_run, "BLOCKS", BLOCKS)
        yield made


@dataclass(frozen=True)
class Cut:
    """A moment: before or after the nth call of something, on one node."""

    owner: type
    method: str
    role: Role
    after: bool = False
    nth: int = 1

    def __str__(self) -> str:
        when = "after" if self.after else "before"
        return f"{self.role} {when} {self.owner.__name__}.{self.method} {self.nth}"


HOUSE, AUTHORITY = Role.HOUSE, Role.AUTHORITY
SUBMITTING = (
    Cut(JobFolder, "keep_list", HOUSE),
    Cut(RemoteAuthority, "admit_job", HOUSE),
    Cut(JobAuthority, "admit", AUTHORITY, after=True),
    Cut(RemoteAuthority, "admit_job", HOUSE, after=True),
    Cut(Jobs, "_take", HOUSE, after=True),
)
RUNNING = (
    Cut(JobFolder, "keep_plan", HOUSE),
    Cut(JobFolder, "keep_plan", HOUSE, after=True),
    Cut(Run, "_decide", HOUSE, nth=2),
    Cut(Run, "_decide", HOUSE, after=True),
    Cut(JobAuthority, "_take", AUTHORITY),
    Cut(JobAuthority, "permit", AUTHORITY, after=True, nth=2),
    Cut(RemoteAuthority, "permit_job", HOUSE, after=True),
    Cut(Run, "_ask", HOUSE, after=True),
    Cut(Run, "_ticket", HOUSE, nth=2),
    Cut(Run, "_depart", HOUSE, after=True),
    Cut(JobAuthority, "_open", AUTHORITY),
    Cut(JobAuthority, "_decrypt", AUTHORITY),
    Cut(JobAuthority, "_done", AUTHORITY),
    Cut(JobAuthority, "evaluate", AUTHORITY, after=True),
    Cut(RemoteAuthority, "evaluate_job", HOUSE, after=True),
    Cut(Run, "_arrive", HOUSE, after=True, nth=2),
    Cut(Run, "end", HOUSE),
)


def kill_at(cut: Cut, crowd: Crowd, patch: pytest.MonkeyPatch) -> None:
    """Kill the node that gets to a moment: from then on its disk takes nothing."""
    original = getattr(cut.owner, cut.method)
    calls = count(1)
    core = crowd.german.house if cut.role is Role.HOUSE else crowd.german.authority
    ledger = core.ledger
    submit = Ledger.submit
    dead: list[bool] = []

    def killed() -> LedgerStopped:
        dead.append(True)
        return LedgerStopped("killed")

    def submitted(self: Ledger, operation: Any) -> Any:  # noqa: ANN401
        if self is ledger and dead:
            raise LedgerStopped("killed")
        return submit(self, operation)

    def reached(self: Any, *args: Any, **given: Any) -> Any:  # noqa: ANN401
        now = next(calls) == cut.nth
        if now and not cut.after:
            raise killed()
        result = original(self, *args, **given)
        if now:
            raise killed()
        return result

    patch.setattr(Ledger, "submit", submitted)
    patch.setattr(cut.owner, cut.method, reached)
    patch.setattr(jobs_room, "RETRY_S", 0.1)


def go_on(crowd: Crowd, bank: JobClient, job: bytes, *roles: Role) -> None:
    """Start nodes again and see the job to its end."""
    crowd.restart(*roles)
    crowd.jobs.start()
    with suppress(NodeError):
        bank.send(job)
    assert crowd.end(bank, job).state is State.FINISHED


def check(crowd: Crowd, bank: JobClient, job: bytes, ids: list[str]) -> None:
    """Every outcome is right, every use counted once, every message ended."""
    outcomes = crowd.outcomes(bank, job)
    *people, stranger = ids
    assert told(outcomes[stranger]) == ("denied", "NO_CONSENT", "")
    for subject in people:
        assert told(outcomes[subject]) == published(subject)
    assert crowd.uses(people) == [1] * len(people)
    house = crowd.kinds(Journal.HOUSE, job)
    assert house["job.intent"] == house["job.outcome"] == house["job.result"]
    assert (house["job.submit"], house["job.end"]) == (1, 1)


RESTARTS = {
    "the node": lambda cut: (cut.role,),
    "both": lambda _: (HOUSE, AUTHORITY),
}
WHO = ("the node", pytest.param("both", marks=pytest.mark.slow))


def submitted(crowd: Crowd, bank: JobClient) -> list[str]:
    """Submit a job; whatever becomes of it."""
    ids = [*crowd.people(EACH - 1), *crowd.strangers(1)]
    with suppress(NodeError):
        bank.submit("german-card", crowd.pairs(ids))
    return ids


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("cut", SUBMITTING, ids=str)
def test_a_job_cut_short_while_it_is_handed_in(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch, cut: Cut, who: str
) -> None:
    """The bank sends the same job again: it is taken once."""
    with crowd.bank() as bank:
        with monkeypatch.context() as patch:
            kill_at(cut, crowd, patch)
            ids = submitted(crowd, bank)
            (job,) = bank.unsent()
        go_on(crowd, bank, job, *RESTARTS[who](cut))
        assert bank.unsent() == []
        check(crowd, bank, job, ids)


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("cut", RUNNING, ids=str)
def test_a_job_cut_short_while_it_runs(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch, cut: Cut, who: str
) -> None:
    """It goes on by itself from what is on the disks, with the same bytes."""
    with crowd.bank() as bank:
        with monkeypatch.context() as patch:
            kill_at(cut, crowd, patch)
            ids = submitted(crowd, bank)
            job = bank._records.all()[-1]
            until(lambda: stuck(crowd, cut))
        go_on(crowd, bank, job, *RESTARTS[who](cut))
        check(crowd, bank, job, ids)


def stuck(crowd: Crowd, cut: Cut) -> bool:
    """Tell whether the house has stopped working, or waits for the authority."""
    if cut.role is Role.HOUSE:
        thread = crowd.jobs._thread
        return thread is not None and not thread.is_alive()
    with crowd.german.house.ledger.reader() as db:
        return bool(
            db.execute(
                "SELECT count(*) FROM job WHERE ended_ms IS NULL AND reason != ''"
            ).get
        )


def until(happened: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise AssertionError("it did not happen")
        time.sleep(0.02)


def test_a_house_that_waits_goes_on_by_itself(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The authority goes away while a job runs: it says so, and ends without help."""
    monkeypatch.setattr(jobs_room, "RETRY_S", 0.1)
    ask = RemoteAuthority.permit_job

    def away(far: RemoteAuthority, message: PermitJobRequest) -> PermitJobResponse:
        if message.number == 1 and crowd.world.authority.server is not None:
            monkeypatch.setattr(RemoteAuthority, "permit_job", ask)
            crowd.world.stop(AUTHORITY)
        return ask(far, message)

    monkeypatch.setattr(RemoteAuthority, "permit_job", away)
    with crowd.bank() as bank:
        ids = submitted(crowd, bank)
        job = bank._records.all()[-1]
        until(lambda: stuck(crowd, Cut(JobAuthority, "permit", AUTHORITY)))
        (waiting,) = (item for item in bank.list() if item.job == job)
        assert (waiting.state, bool(waiting.reason)) == (State.RUNNING, True)
        crowd.world.start(AUTHORITY)
        assert crowd.end(bank, job).state is State.FINISHED
        check(crowd, bank, job, ids)


def test_a_job_is_not_taken_while_the_authority_is_away(crowd: Crowd) -> None:
    """Nothing was decided, so it is for the bank to send it again."""
    ids = [*crowd.people(EACH - 1), *crowd.strangers(1)]
    crowd.world.stop(AUTHORITY)
    with crowd.bank() as bank:
        with pytest.raises(Unreachable):
            bank.submit("german-card", crowd.pairs(ids))
        (job,) = bank.unsent()
        crowd.world.start(AUTHORITY)

        def sent() -> bool:
            with suppress(Unreachable):  # the channel tries again after a second
                bank.send(job)
            return not bank.unsent()

        until(sent)
        go_on(crowd, bank, job)
        check(crowd, bank, job, ids)


def test_a_bank_that_was_killed_fetches_the_rest(crowd: Crowd) -> None:
    """Whatever it had checked is on its disk; the rest comes, each release once."""
    ids = [*crowd.people(EACH - 1), *crowd.strangers(1)]
    with crowd.bank() as bank:
        job = bank.submit("german-card", crowd.pairs(ids))
        crowd.end(bank, job)
        reader = bank._reader(job)
        first = next(bank._releases_from(job, 0, follow=True))
        bank._keep(job, first, reader.read(first))
    with crowd.bank() as bank:
        assert bank._records.fetched(job) == 1
        check(crowd, bank, job, ids)


def test_a_district_map_that_grows_changes_nothing_begun(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan is made once: stretches keep their entries, whoever came since."""
    german = crowd.german
    with crowd.bank() as bank:
        with monkeypatch.context() as patch:
            kill_at(Cut(Run, "_ask", HOUSE, after=True), crowd, patch)
            ids = submitted(crowd, bank)
            job = bank._records.all()[-1]
            until(lambda: stuck(crowd, Cut(Run, "", HOUSE)))
        german.map([*german.ids, "newcomer"])
        german.push(
            next(iter(german.datasets.values())),
            german.values(next(iter(german.datasets.values())), german.ids),
            version=2,
        )
        go_on(crowd, bank, job, HOUSE)
        check(crowd, bank, job, ids)


def test_both_journals_replay_after_all_of_it(crowd: Crowd) -> None:
    """Whatever was cut short: every decision follows, and the two agree."""
    found, unfinished = crowd.replayed()
    assert found == []
    assert (unfinished.intents, unfinished.permits) == (0, 0)
