"""The house keeps a bank's signed requests, and asks again when they are forgotten."""

from collections.abc import Iterator

import pytest

from node import clock
from node.clock import JTI_KEPT_MS, REPLY_FETCHED_MS, REQUEST_SKEW_MS
from node.errors import Denied
from tests.german import German
from tests.hostile import EvilHouse, Wall, question, reasons, send, uses
from tests.simulator import World

STEP_MS = REQUEST_SKEW_MS - 1_000  # the most a clock may jump, nearly


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    """Put a clock that we set under everything."""
    made = Wall()
    monkeypatch.setattr(clock, "now_ms", made)
    return made


@pytest.fixture
def fresh(wall: Wall, tmp_path_factory: pytest.TempPathFactory) -> Iterator[German]:
    """Run a trust domain on that clock."""
    assert wall.offset_ms == 0
    with World(tmp_path_factory.mktemp("purged")) as world:
        yield German(world, 11)


def pass_time(german: German, wall: Wall, length_ms: int) -> None:
    """Let time pass without a jump."""
    for _ in range(-(-length_ms // STEP_MS)):
        wall.offset_ms += STEP_MS
        for core in (german.house, german.authority):
            core.ledger.commit(lambda transaction: transaction.now_ms)


def remembered(german: German) -> int:
    """Count the requests that the authority remembers."""
    with german.authority.ledger.reader() as db:
        ((count,),) = db.execute("SELECT count(*) FROM call").fetchall()
    return int(count)


def test_an_answered_request_is_not_answered_for_another_ticket(
    fresh: German, wall: Wall
) -> None:
    """Remembered or not: a new ticket for an old request is refused for ever."""
    one, *others = fresh.ids
    evil = EvilHouse(fresh)
    fresh.grant(one, not_after_ms=clock.now_ms() + 2 * REPLY_FETCHED_MS)
    asked = question(fresh, one)
    made = evil.compute(asked)
    answer = evil.evaluate(asked, made)
    pass_time(fresh, wall, 2 * JTI_KEPT_MS)
    found = reasons(fresh.authority, evil.refused(asked, evil.compute(asked)))
    assert {"REPLAY_MISMATCH", "CLOCK_SKEW"} <= set(found)
    # The house may fetch what it has lost, for a month; no use is counted.
    assert evil.evaluate(asked, made) == answer
    wall.offset_ms += REPLY_FETCHED_MS  # as on the clock of a month without a call
    for core in (fresh.house, fresh.authority):
        core.ledger._clock._seen = clock.now_ms(), clock.monotonic_ms()
    for other in others[:2]:  # makes it forget
        fresh.grant(other)
        with fresh.bank() as bank:
            send(bank, question(fresh, other))
    assert remembered(fresh) == 2
    for again in (made, evil.compute(asked)):
        assert "CLOCK_SKEW" in reasons(fresh.authority, evil.refused(asked, again))
    assert uses(fresh, f"c-{one}") == 1


def test_a_denied_request_is_not_revived_by_a_later_consent(
    fresh: German, wall: Wall
) -> None:
    """Asked without consent, kept by the house, asked again once there is one."""
    subject, other = fresh.ids[:2]
    evil = EvilHouse(fresh)
    asked = question(fresh, subject)
    made = evil.compute(asked)
    first = evil.refused(asked, made)
    assert first.reason == "NO_CONSENT"
    fresh.grant(subject)
    assert evil.refused(asked, made).denial == first.denial
    assert remembered(fresh) == 1
    pass_time(fresh, wall, JTI_KEPT_MS + REQUEST_SKEW_MS)
    fresh.grant(other)
    with fresh.bank() as bank:
        send(bank, question(fresh, other))  # makes the authority forget
    assert remembered(fresh) == 1
    assert evil.refused(asked, made).reason == "CLOCK_SKEW"
    found = reasons(fresh.authority, evil.refused(asked, evil.compute(asked)))
    assert {"REPLAY_MISMATCH", "CLOCK_SKEW"} <= set(found)
    assert uses(fresh, f"c-{subject}") == 0


def test_a_request_from_the_future_is_remembered_as_long(
    fresh: German, wall: Wall
) -> None:
    """A bank whose clock is ahead: forgotten only when its own time is over."""
    subject, other = fresh.ids[:2]
    fresh.grant(subject)
    fresh.grant(other)
    evil = EvilHouse(fresh)
    asked = question(fresh, subject, iat_ms=clock.now_ms() + REQUEST_SKEW_MS - 1_000)
    evil.evaluate(asked, evil.compute(asked))
    for _ in range(8):
        pass_time(fresh, wall, STEP_MS)
        with pytest.raises(Denied):
            evil.evaluate(asked, evil.compute(asked))
    assert uses(fresh, f"c-{subject}") == 1
