"""Calls at the edges of time (TESTS 1, 2, 11, 12, 17), on a clock that we set."""

from collections.abc import Iterator

import pytest

from contracts.consent import ConsentEvent, Event, Frequency
from contracts.decide import Reason
from node import clock
from node.client import BankClient
from node.clock import DAY_MS, JTI_KEPT_MS, REQUEST_SKEW_MS
from node.errors import Denied, NodeError, Unreachable
from protocols.call import Denial
from tests.german import German
from tests.hostile import Wall, journal, kinds, permits, question, reasons, send, uses
from tests.simulator import World

STEP_MS = REQUEST_SKEW_MS - 1_000  # the most a clock may jump, nearly
HOUR_MS = 3_600_000


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    """Put a clock that we set under everything."""
    made = Wall()
    monkeypatch.setattr(clock, "now_ms", made)
    return made


@pytest.fixture
def running(wall: Wall, tmp_path_factory: pytest.TempPathFactory) -> Iterator[German]:
    """Run a trust domain on that clock."""
    assert wall.offset_ms == 0
    with World(tmp_path_factory.mktemp("times")) as made:
        yield German(made, 11)


@pytest.fixture
def bank(running: German) -> Iterator[BankClient]:
    """Open the bank's SDK."""
    with running.bank() as client:
        yield client


def refused(bank: BankClient, running: German, subject: str, **changes: object) -> str:
    """Ask, and return the public reason, `` for none."""
    try:
        send(bank, question(running, subject, **changes))  # type: ignore[arg-type]
    except Denied as refusal:
        return Denial.parse(refusal.denial.payload).reason
    return ""


def pass_time(running: German, wall: Wall, length_ms: int) -> None:
    """Let time pass without a jump: both journals look at every step."""
    while length_ms > 0:
        wall.offset_ms += min(length_ms, STEP_MS)
        length_ms -= STEP_MS
        for core in (running.house, running.authority):
            core.ledger.commit(lambda transaction: transaction.now_ms)


def test_the_end_of_a_consent_is_exclusive(
    running: German, bank: BankClient, wall: Wall
) -> None:
    """Case 1: at not_after EXPIRED, a millisecond before a permit."""
    end_ms = clock.now_ms() + 60_000
    one, other = running.ids[:2]
    for subject in (one, other):
        running.grant(subject, not_after_ms=end_ms)
    wall.frozen_ms = end_ms - 1
    assert refused(bank, running, one) == ""
    wall.frozen_ms = end_ms
    assert refused(bank, running, other) == "EXPIRED"
    assert refused(bank, running, one) == "EXPIRED"
    assert [uses(running, f"c-{subject}") for subject in (one, other)] == [1, 0]


def test_the_beginning_of_a_consent_is_inclusive(
    running: German, bank: BankClient, wall: Wall
) -> None:
    """Case 2: before not_before NOT_YET_VALID, at not_before a permit."""
    start_ms = clock.now_ms() + 60_000
    subject = running.ids[0]
    running.grant(subject, not_before_ms=start_ms)
    wall.frozen_ms = start_ms - 1
    assert refused(bank, running, subject) == "NOT_YET_VALID"
    wall.frozen_ms = start_ms
    assert refused(bank, running, subject) == ""


def test_the_authority_decides_on_its_own_clock(
    running: German, bank: BankClient, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 1: a house whose clock is behind obtains no permit after the end."""
    end_ms = clock.now_ms() + 60_000
    subject = running.ids[0]
    running.grant(subject, not_after_ms=end_ms)
    ahead = Wall()
    ahead.offset_ms = 61_000
    monkeypatch.setattr(running.authority.ledger._clock, "_wall", ahead)
    assert refused(bank, running, subject) == "EXPIRED"
    assert wall.offset_ms == 0
    assert uses(running, f"c-{subject}") == 0


def test_a_request_is_of_now(running: German, bank: BankClient, wall: Wall) -> None:
    """Case 11: iat 301 s off is CLOCK_SKEW, 300 s is not; in both directions."""
    wall.frozen_ms = clock.now_ms() + 10_000
    for subject, off_ms, told in (
        (running.ids[0], 301_000, "CLOCK_SKEW"),
        (running.ids[1], -301_000, "CLOCK_SKEW"),
        (running.ids[2], 300_000, ""),
        (running.ids[3], -300_000, ""),
        (running.ids[4], 300_001, "CLOCK_SKEW"),
        (running.ids[5], -300_001, "CLOCK_SKEW"),
    ):
        running.grant(subject)
        iat_ms = wall.frozen_ms + off_ms
        assert refused(bank, running, subject, iat_ms=iat_ms) == told, off_ms


def test_a_clock_set_back_stops_the_node_and_revives_nothing(
    running: German, bank: BankClient, wall: Wall
) -> None:
    """Case 11: an hour back: the journal's time stands, nothing is decided."""
    subject = running.ids[0]
    end_ms = clock.now_ms() + 120_000
    running.grant(subject, not_after_ms=end_ms)
    wall.offset_ms += 121_000
    assert refused(bank, running, subject) == "EXPIRED"
    wall.offset_ms -= HOUR_MS
    with pytest.raises(NodeError) as caught:
        send(bank, question(running, subject))
    assert not isinstance(caught.value, Denied)
    assert isinstance(caught.value, Unreachable)
    assert running.house.ledger.stopped is not None
    # Somebody answers for the clock; time still does not go back.
    running.house.ledger.accept_clock("house")
    late_ms = clock.now_ms() + HOUR_MS
    assert refused(bank, running, subject, iat_ms=late_ms) == "EXPIRED"
    times = [entry.time_ms for entry in journal(running.house)]
    assert times == sorted(times)
    assert uses(running, f"c-{subject}") == 0


def test_a_few_minutes_back_revive_nothing(
    running: German, bank: BankClient, wall: Wall
) -> None:
    """Case 11: within the tolerance time stands still instead.

    The clock says that the consent holds and the journal's time that it does
    not: an answer comes all the same, and at once.
    """
    subject = running.ids[0]
    end_ms = clock.now_ms() + 120_000
    running.grant(subject, not_after_ms=end_ms)
    wall.offset_ms += 121_000
    assert refused(bank, running, subject) == "EXPIRED"
    wall.offset_ms -= 60_000
    assert clock.now_ms() < end_ms
    asked = question(running, subject)
    with pytest.raises(Denied) as caught:
        send(bank, asked)
    assert caught.value.reason == "EXPIRED"
    assert kinds(running.authority, asked.call) == []


def test_a_few_minutes_back_delay_nothing(
    running: German, bank: BankClient, wall: Wall
) -> None:
    """Case 11: nor does a consent that has begun wait for the clock."""
    subject = running.ids[0]
    start_ms = clock.now_ms() + 60_000
    running.grant(subject, not_before_ms=start_ms)
    pass_time(running, wall, 61_000)
    wall.offset_ms -= 61_000
    assert refused(bank, running, subject) == ""


def test_a_consent_that_is_yet_to_be_given(running: German, bank: BankClient) -> None:
    """Case 12, live: granted in the future is GRANTED_AFTER_CALL."""
    subject = running.ids[0]
    now_ms = clock.now_ms()
    running.grant(subject, granted_at_ms=now_ms + 60_000)
    asked = question(running, subject)
    with pytest.raises(Denied) as caught:
        send(bank, asked)
    assert reasons(running.house, caught.value) == [Reason.GRANTED_AFTER_CALL]


def test_a_suspended_consent_keeps_its_uses(running: German, bank: BankClient) -> None:
    """Case 17: suspended then resumed, the uses go on where they were."""
    subject = running.ids[0]
    consent = running.grant(subject, max_uses=2).consent_id

    def happens(event: Event) -> None:
        running.happen(ConsentEvent(consent, event, clock.now_ms(), "", "registrar"))

    assert refused(bank, running, subject) == ""
    happens(Event.SUSPEND)
    assert refused(bank, running, subject) == "SUSPENDED"
    happens(Event.RESUME)
    assert refused(bank, running, subject) == ""
    assert refused(bank, running, subject) == "USED_UP"
    happens(Event.INVALIDATE)
    assert refused(bank, running, subject) == "WITHDRAWN"
    assert len(permits(running, consent)) == uses(running, consent) == 2


def test_a_frequency_is_a_sliding_window(
    running: German, bank: BankClient, wall: Wall
) -> None:
    """Two a day: the third waits until the first is a day old, to the millisecond."""
    subject = running.ids[0]
    running.grant(
        subject,
        frequency=Frequency(2, 1),
        not_after_ms=clock.now_ms() + 10 * DAY_MS,
    )
    wall.frozen_ms = first_ms = clock.now_ms() + 1_000
    assert refused(bank, running, subject) == ""
    wall.frozen_ms += 1_000
    assert refused(bank, running, subject) == ""
    assert refused(bank, running, subject) == "FREQUENCY"
    for core in (running.house, running.authority):
        core.ledger._clock._seen = first_ms + DAY_MS - 1, clock.monotonic_ms()
    wall.frozen_ms = first_ms + DAY_MS - 1
    assert refused(bank, running, subject) == "FREQUENCY"
    wall.frozen_ms = first_ms + DAY_MS
    assert refused(bank, running, subject) == ""


def test_a_jti_is_not_replayed_after_it_was_forgotten(
    running: German, bank: BankClient, wall: Wall
) -> None:
    """What is old enough to be forgotten is too old to be asked again."""
    subject, other = running.ids[:2]
    running.grant(subject)
    running.grant(other)
    for off_ms in (0, REQUEST_SKEW_MS - 1_000):  # the second one is from the future
        asked = question(running, subject, iat_ms=clock.now_ms() + off_ms)
        answer = send(bank, asked).answer
        pass_time(running, wall, JTI_KEPT_MS - 10_000)
        assert send(bank, asked).answer == answer  # kept: given again
        before = uses(running, f"c-{subject}")
        pass_time(running, wall, JTI_KEPT_MS)
        send(bank, question(running, other))  # makes the house forget
        with running.house.ledger.reader() as db:
            rows = db.execute(
                "SELECT 1 FROM reply WHERE jti = ?", (asked.request.jti,)
            ).fetchall()
        assert rows == []
        with pytest.raises(Denied) as caught:
            send(bank, asked)
        assert caught.value.reason == "CLOCK_SKEW"
        assert uses(running, f"c-{subject}") == before
