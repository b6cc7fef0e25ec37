"""A call interrupted anywhere ends once, with the same bytes (PROTOCOL 3, Crashes).

Between the intent and the outcome lie these moments; after each of them somebody
goes on: the bank asks again, or the house at its next round, with or without a
restart of either node.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from contracts.consent import ConsentEvent, Event
from node import clock, heads
from node.calls import Asked
from node.client import BankClient, Outcome
from node.clock import JTI_KEPT_MS, REQUEST_SKEW_MS
from node.domain import Role
from node.errors import Denied, NodeError, Unreachable
from node.verify import verify
from tests.german import German
from tests.hostile import Between, Wall, journal, kinds, permits, uses
from tests.simulator import World

SUBJECTS = 66
WHOLE = ["call.intent", "call.outcome"]

Cut = Callable[[German, pytest.MonkeyPatch], None]
Recover = Callable[[German, bytes], None]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[German]:
    """Run a trust domain; every test takes a subject of its own."""
    with World(tmp_path_factory.mktemp("crashes")) as made:
        yield German(made, SUBJECTS)


_taken = count()


@pytest.fixture
def subject(running: German) -> str:
    """Name a subject with a consent that nobody has asked about."""
    name = running.ids[next(_taken)]
    running.grant(name)
    return name


def away(*_: object) -> None:
    """Be the authority that does not answer, or the wire that is cut."""
    raise Unreachable("no answer")


# -- where it is cut


def before_the_authority(running: German, patch: pytest.MonkeyPatch) -> None:
    """Lose the question: the authority never saw it."""
    wire = Between(running.house)
    wire.on_question = away
    patch.setattr(running.house.consultation, "_authority", wire)


def after_the_authority(running: German, patch: pytest.MonkeyPatch) -> None:
    """Lose the answer: the authority has decrypted."""
    wire = Between(running.house)
    wire.on_answer = away
    patch.setattr(running.house.consultation, "_authority", wire)


def between_permit_and_done(running: German, patch: pytest.MonkeyPatch) -> None:
    """Kill the authority with a permit on its disk and no reply."""
    patch.setattr(running.authority, "_decrypt", away)
    patch.setattr(running.authority, "_release_again", away)


def between_decryption_and_done(running: German, patch: pytest.MonkeyPatch) -> None:
    """Kill the authority with the row in its hand."""
    patch.setattr(running.authority, "_done", away)


def before_the_outcome(running: German, patch: pytest.MonkeyPatch) -> None:
    """Kill the house with the answer in its hand."""
    patch.setattr(running.house, "_outcome", away)


CUTS = (
    before_the_authority,
    after_the_authority,
    between_permit_and_done,
    between_decryption_and_done,
    before_the_outcome,
)


# -- who goes on


def nobody(running: German, _: bytes) -> None:
    """Let the bank ask again, of nodes that never stopped."""
    assert running.world.house


def the_house(running: German, call: bytes) -> None:
    """Let the house go on with its next round."""
    assert running.house.resume() == 1
    assert kinds(running.house, call) == WHOLE


def a_new_house(running: German, _: bytes) -> None:
    """Restart the house; the bank asks before it goes on."""
    running.world.stop(Role.HOUSE)
    running.world.start(Role.HOUSE)


def a_new_house_by_itself(running: German, call: bytes) -> None:
    """Restart the house and let it go on before the bank asks."""
    a_new_house(running, call)
    the_house(running, call)


def two_new_nodes(running: German, call: bytes) -> None:
    """Restart both: the authority has forgotten all but its disk."""
    running.world.stop(Role.HOUSE)
    running.world.stop(Role.AUTHORITY)
    running.world.start(Role.AUTHORITY)
    running.world.start(Role.HOUSE)
    the_house(running, call)


RECOVERIES = (nobody, the_house, a_new_house, a_new_house_by_itself, two_new_nodes)


def asked_in_vain(bank: BankClient, subject: str) -> bytes:
    """Ask, get nothing, and return the call's name."""
    before = set(bank.unanswered())
    with pytest.raises(NodeError) as caught:
        bank.score("german-card", subject, consent=f"c-{subject}")
    assert not isinstance(caught.value, Denied)
    (call,) = set(bank.unanswered()) - before
    return call


def flights(running: German) -> list[Asked]:
    """List what lies between intent and outcome."""
    with running.house.ledger.reader() as db:
        return db.execute("SELECT request FROM flight").fetchall()


@pytest.mark.parametrize(
    ("recover", "repeat"),
    [*((recover, False) for recover in RECOVERIES), (two_new_nodes, True)],
    ids=lambda what: "repeat" if what is True else getattr(what, "__name__", "fresh"),
)
@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.__name__)
def test_an_interrupted_call_ends_once(
    running: German, subject: str, cut: Cut, recover: Recover, *, repeat: bool
) -> None:
    """One use, one intent, one permit, one done, one outcome, the bank's answer."""
    wanted = 0
    before: Outcome | None = None
    with running.bank() as bank:
        if repeat:
            before = bank.score("german-card", subject, consent=f"c-{subject}")
            wanted = 1
        with pytest.MonkeyPatch.context() as patch:
            cut(running, patch)
            call = asked_in_vain(bank, subject)
    assert kinds(running.house, call) == ["call.intent"]
    assert len(flights(running)) == 1
    recover(running, call)
    with running.bank() as bank:
        outcome = bank.retry(call)
        assert outcome.repeated == repeat
        assert before is None or outcome.fields == before.fields
        assert bank.retry(call) == outcome
    assert uses(running, f"c-{subject}") == wanted + 1
    assert len(permits(running, f"c-{subject}")) == wanted + 1
    assert kinds(running.house, call)[:2] == WHOLE
    assert kinds(running.authority, call) == ["call.permit", "call.done"]
    assert flights(running) == []


@pytest.fixture(scope="module", autouse=True)
def _audit(running: German, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Verify what all these crashes have left: nothing that an auditor would find."""
    yield
    folder: Path = tmp_path_factory.mktemp("audit") / "export"
    with running.world.auditor() as auditor:
        auditor.export(folder)
    report = verify(folder, running.world.domain, openings=running.openings)
    assert report.findings == ()
    assert report.unfinished.intents == report.unfinished.permits == 0


def test_the_message_is_the_same_to_the_byte(running: German, subject: str) -> None:
    """After a restart the authority is sent what it was sent before."""
    with running.bank() as bank, pytest.MonkeyPatch.context() as patch:
        wire = Between(running.house)
        wire.on_answer = away
        patch.setattr(running.house.consultation, "_authority", wire)
        call = asked_in_vain(bank, subject)
    a_new_house(running, call)
    with Between(running.house) as again:
        the_house(running, call)
    first, second = wire.asked[0], again.asked[0]
    for name in ("request", "opening", "ticket", "ciphertext", "tables"):
        assert getattr(first, name) == getattr(second, name), name
    assert wire.answered[0] == again.answered[0]


def test_everybody_goes_on_at_once(running: German, subject: str) -> None:
    """The bank's retries race with the house's rounds: still one outcome."""
    with running.bank() as bank:
        with pytest.MonkeyPatch.context() as patch:
            after_the_authority(running, patch)
            call = asked_in_vain(bank, subject)
        start = threading.Barrier(8)

        def retry() -> Outcome:
            start.wait()
            return bank.retry(call)

        def resume() -> int:
            start.wait()
            return running.house.resume()

        with ThreadPoolExecutor(8) as pool:
            retries = [pool.submit(retry) for _ in range(4)]
            rounds = [pool.submit(resume) for _ in range(4)]
            assert len({future.result().request for future in retries}) == 1
            assert sum(future.result() for future in rounds) <= 1
    assert kinds(running.house, call)[:2] == WHOLE
    assert kinds(running.authority, call) == ["call.permit", "call.done"]


def test_a_withdrawal_reaches_a_call_that_never_arrived(
    running: German, subject: str
) -> None:
    """What was not permitted before the withdrawal is denied when it goes on."""
    with running.bank() as bank:
        with pytest.MonkeyPatch.context() as patch:
            before_the_authority(running, patch)
            call = asked_in_vain(bank, subject)
        event = Event.WITHDRAW
        running.happen(
            ConsentEvent(f"c-{subject}", event, clock.now_ms(), "", "registrar")
        )
        assert running.house.resume() == 1
        with pytest.raises(Denied) as caught:
            bank.retry(call)
    assert caught.value.reason == "WITHDRAWN"
    assert kinds(running.house, call) == ["call.intent", "call.denied"]
    assert uses(running, f"c-{subject}") == 0


def test_one_broken_call_does_not_keep_the_others(
    running: German, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that cannot be made again stays; those after it are finished."""
    names = [running.ids[next(_taken)] for _ in range(3)]
    with running.bank() as bank:
        with pytest.MonkeyPatch.context() as patch:
            before_the_authority(running, patch)
            for name in names:
                running.grant(name)
                with pytest.raises(Unreachable):
                    bank.score("german-card", name, consent=f"c-{name}")
        broken = flights(running)[0][0]
        rebuild = running.house._rebuild

        def fail(waiting: object) -> object:
            if waiting.asked.call == broken:  # type: ignore[attr-defined]
                raise AssertionError("a resumed call makes another message")
            return rebuild(waiting)  # type: ignore[arg-type]

        monkeypatch.setattr(running.house, "_rebuild", fail)
        assert running.house.resume() == 2
        monkeypatch.undo()
        assert running.house.resume() == 1
        for call in bank.unanswered():
            bank.retry(call)


def test_asking_anew_repeats_what_was_interrupted(
    running: German, subject: str
) -> None:
    """Under another jti, because the bank did not know better: no bits are spent."""
    with running.bank() as bank:
        with pytest.MonkeyPatch.context() as patch:
            after_the_authority(running, patch)
            call = asked_in_vain(bank, subject)
        outcome = bank.score("german-card", subject, consent=f"c-{subject}")
        assert outcome.repeated
        assert not bank.retry(call).repeated
    assert kinds(running.house, call)[:2] == WHOLE
    millibits = [permit.millibits for permit in permits(running, f"c-{subject}")]
    assert millibits == [running.contract.millibits, 0]


def test_an_outage_leaves_no_trail(
    running: German, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the authority is away every call fails; the first one after it works."""
    names = [running.ids[next(_taken)] for _ in range(12)]
    with running.bank() as bank:
        with pytest.MonkeyPatch.context() as patch:
            before_the_authority(running, patch)
            monkeypatch.setattr(heads, "SENT_KEPT", 3)
            for name in names:
                running.grant(name)
                for _ in range(2):  # the second one waits for the first
                    with pytest.raises(Unreachable):
                        bank.score("german-card", name, consent=f"c-{name}")
        assert len(flights(running)) == len(names)
        with Between(running.house) as wire:
            running.house.resume()
        assert max(len(message.links) for message in wire.asked) <= 3 + 2
        for call in bank.unanswered():
            bank.retry(call)
    assert flights(running) == []


def test_a_house_that_was_down_for_hours_fetches_what_was_decrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was permitted ends as an outcome, however late; the rest is denied."""
    wall = Wall()
    monkeypatch.setattr(clock, "now_ms", wall)
    with World(tmp_path / "world") as world:
        german = German(world, 11)
        late, never = german.ids[:2]
        calls = {}
        with german.bank() as bank:
            for name, cut in (
                (late, before_the_outcome),
                (never, before_the_authority),
            ):
                german.grant(name)
                with pytest.MonkeyPatch.context() as patch:
                    cut(german, patch)
                    with pytest.raises(Unreachable):
                        bank.score(
                            "german-card", name, consent=f"c-{name}", now_ms=wall
                        )
                calls[name] = next(
                    entry.call
                    for entry in reversed(journal(german.house))
                    if entry.call
                )
        for _ in range(2 * JTI_KEPT_MS // REQUEST_SKEW_MS + 1):
            wall.offset_ms += REQUEST_SKEW_MS - 1_000
            for core in (german.house, german.authority):
                core.ledger.commit(lambda transaction: transaction.now_ms)
        world.stop(Role.HOUSE)
        world.start(Role.HOUSE)
        assert german.house.resume() == 2
        assert kinds(german.house, bytes.fromhex(calls[late])) == WHOLE
        assert kinds(german.house, bytes.fromhex(calls[never])) == [
            "call.intent",
            "call.denied",
        ]
        with world.auditor() as auditor:
            auditor.export(tmp_path / "export")
        assert verify(tmp_path / "export", world.domain).findings == ()
