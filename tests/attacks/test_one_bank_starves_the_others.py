"""One bank takes all of the house: its threads, its memory, its disk, its turns."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from node import job_store, private_client
from node import jobs as jobs_room
from node.errors import Denied, Refused, Unreachable
from node.job_client import JobClient
from node.job_run import Run
from node.job_store import State
from node.server import STREAMS
from node.wire.v1 import job_pb2
from protocols.call import JTI_BYTES
from tests.crowd_of_one import Hidden, Wire
from tests.crowds import Crowd
from tests.test_job_crashes import until

MOST_OPEN = 3


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let jobs wait until it is set."""
    opened = threading.Event()
    run = Run.run

    def running(self: Run) -> None:
        if not opened.is_set():
            raise Unreachable("not yet")
        run(self)

    monkeypatch.setattr(jobs_room, "RETRY_S", 0.05)
    monkeypatch.setattr(jobs_room, "MOST_RETRY_S", 0.1)
    monkeypatch.setattr(Run, "run", running)
    return opened


def test_streams(crowd: Crowd, gate: threading.Event) -> None:
    """A bank that watches with all its might holds its share of threads, no more."""
    with crowd.bank() as bank, crowd.bank("lsbank") as other, ExitStack() as open_:
        job = bank.submit("german-card", crowd.pairs(crowd.people(2)))
        watches = []
        for _ in range(STREAMS):
            watch = open_.enter_context(crowd.bank()).watch(job, 0.0)
            next(watch)
            watches.append(watch)
        with pytest.raises(Refused, match="follows or asks too much") as caught:
            next(bank.watch(job, 0.0))
        assert caught.value.reason == "RATE_LIMITED"
        theirs = other.submit("german-card", crowd.pairs(crowd.people(1)))
        assert next(other.watch(theirs, 0.0)).state is State.WAITING
        watches.pop().close()
        gate.set()
        for one, name in ((bank, job), (other, theirs)):
            until(partial(ended, crowd, one, name))


def ended(crowd: Crowd, bank: JobClient, job: bytes) -> bool:
    """Watch a job to its end; False while the house has not seen a watch close."""
    try:
        last = crowd.end(bank, job)
    except Refused:
        return False
    assert last.state is State.FINISHED
    return True


def test_lists_at_once(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one list comes in, slowly, another one of the same bank is turned away."""
    begun, go_on = threading.Event(), threading.Event()
    read = jobs_room._entries

    def slowly(*given: object) -> object:
        begun.set()
        assert go_on.wait(10)
        return read(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(jobs_room, "_entries", slowly)
    with crowd.bank() as bank, crowd.bank() as again, crowd.bank("lsbank") as other:
        done: list[bytes] = []
        pairs = crowd.pairs(crowd.people(1))
        first = threading.Thread(
            target=lambda: done.append(bank.submit("german-card", pairs))
        )
        first.start()
        assert begun.wait(10)
        with pytest.raises(Refused, match="another list of `jnrcb` is being taken"):
            again.submit("german-card", crowd.pairs(crowd.people(1)))
        monkeypatch.setattr(jobs_room, "_entries", read)
        theirs = other.submit("german-card", crowd.pairs(crowd.people(1)))
        assert crowd.end(other, theirs).state is State.FINISHED
        go_on.set()
        first.join()
        (left,) = again.unsent()
        again.send(left)  # the same job is taken once there is time for it
        for name in (*done, left):
            assert crowd.end(again, name).state is State.FINISHED


def test_jobs_without_end(
    crowd: Crowd, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many wait and no more; those of others are not counted, and take turns."""
    monkeypatch.setattr(jobs_room, "MOST_OPEN", MOST_OPEN)
    begun: list[bytes] = []
    begin = job_store.begin

    def beginning(transaction: object, job: bytes) -> None:
        begun.append(job)
        begin(transaction, job)  # type: ignore[arg-type]

    monkeypatch.setattr(job_store, "begin", beginning)
    with crowd.bank() as bank, crowd.bank("lsbank") as other:
        mine = [submitted(crowd, bank) for _ in range(MOST_OPEN)]
        with pytest.raises(Refused, match="`jnrcb` has 3 jobs that have not ended"):
            submitted(crowd, bank)
        theirs = [submitted(crowd, other) for _ in range(2)]
        gate.set()
        for one, names in ((bank, mine), (other, theirs)):
            for name in names:
                assert crowd.end(one, name).state is State.FINISHED
        ours = {name: who for who, names in ((0, mine), (1, theirs)) for name in names}
        assert [ours[name] for name in begun] in ([0, 1, 0, 1, 0], [1, 0, 1, 0, 0])
        (left,) = bank.unsent()
        bank.send(left)
        assert crowd.end(bank, left).state is State.FINISHED


def submitted(crowd: Crowd, bank: JobClient) -> bytes:
    """Submit a job about one."""
    return bank.submit("german-card", crowd.pairs(crowd.people(1)))


def test_a_number_beyond_all_releases(crowd: Crowd) -> None:
    """Is refused as such, not met as a bug."""
    with crowd.bank() as bank:
        job = submitted(crowd, bank)
        crowd.end(bank, job)
        with pytest.raises(Refused, match="expected a start up to"):
            list(fetched(bank, job, (1 << 64) - 1))
        assert list(fetched(bank, job, 1 << 52)) == []


def fetched(
    bank: JobClient, job: bytes, start: int
) -> Iterator[job_pb2.FetchJobResponse]:
    """Fetch from a number on."""
    return bank._releases_from(job, start, follow=False)


def test_private_calls(hidden: Hidden) -> None:
    """A list of 512 holds a thread for long: a bank has its share of them, no more."""
    refused: list[str] = []
    subjects = iter(hidden.town.ids)
    with ExitStack() as open_, Wire(hidden) as wire:

        def ask(_: object = None) -> None:
            subject = next(subjects)
            bank = open_.enter_context(hidden.bank())
            try:
                bank.range("turnover-floor", subject, hidden.among())
            except Refused as error:
                refused.append(error.reason)
                wire.change = lambda _: None  # type: ignore[method-assign]

        wire.change = ask  # type: ignore[method-assign]  while others are under way
        ask()
    asked = {pieces[0].question.request.payload for pieces in wire.asked}
    assert (len(asked), refused) == (STREAMS, ["RATE_LIMITED"])


def test_a_private_call_under_another_bank_s_jti(
    hidden: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever chooses its jti like another's does not keep the other waiting."""
    drawn, came = private_client.secrets.token_bytes, []
    monkeypatch.setattr(
        private_client.secrets,
        "token_bytes",
        lambda length: bytes(length) if length == JTI_BYTES else drawn(length),
    )
    subject = hidden.town.ids[20]
    with hidden.bank() as bank, hidden.bank("lsbank") as other, Wire(hidden) as wire:

        def ask(_: object) -> None:
            wire.change = lambda _: None  # type: ignore[method-assign]
            try:
                other.range("turnover-floor", subject, hidden.among())
            except Denied as error:
                came.append(error.reason)
            else:
                came.append("")

        wire.change = ask  # type: ignore[method-assign]
        bank.range("turnover-floor", subject, hidden.among())
    assert len(came) == 1
