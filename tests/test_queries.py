"""Range and verify, end to end, against the plain values."""

from collections.abc import Iterator

import pytest

from contracts.decide import Reason
from contracts.errors import KindRefused, ValueInvalid
from node.client import BankClient
from node.errors import Denied, Refused, Unreachable
from tests.hostile import Between, journal, kinds, permits, question, reasons, send
from tests.simulator import World
from tests.turnover import MOST, THRESHOLD, TOLERANCE, Town, answer

VALUES = [
    0,
    THRESHOLD - 1,
    THRESHOLD,
    THRESHOLD + 1,
    MOST,
    None,
    1_234_500,
    1_234_500,
    1_234_500,
    1_234_500,
    MOST - 1,
    7,
    None,
]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Run a town in two blocks."""
    with World(tmp_path_factory.mktemp("queries")) as world:
        made = Town(world, VALUES)
        for subject in made.ids:
            made.consent(subject)
        yield made


@pytest.fixture(scope="module")
def bank(town: Town) -> Iterator[BankClient]:
    """Open the first bank's SDK."""
    with town.bank() as client:
        yield client


def test_range_says_what_the_plain_values_say(town: Town, bank: BankClient) -> None:
    """Below, at and above the threshold; nothing where the bureau has nothing."""
    for subject, value in list(town.turnover.items())[:6]:
        checked = bank.range("turnover-floor", subject, consent=f"c-{subject}")
        expected = "insufficient_data"
        if value is not None:
            expected = "at_least" if value >= THRESHOLD else "below"
        assert (checked.answer, checked.repeated) == (expected, False)


@pytest.mark.parametrize(
    ("place", "claims"),
    [
        (6, (1_234_500, 1_234_500 + TOLERANCE, 1_234_500 + TOLERANCE + 1)),
        (7, (1_234_500 - TOLERANCE, 1_234_500 - TOLERANCE - 1, 0)),
        (10, (MOST, MOST - 2 - TOLERANCE, MOST - 1)),
        (11, (0, 7 + TOLERANCE, 8 + TOLERANCE)),
        (12, (0, 7, MOST)),
    ],
)
def test_verify_says_what_the_plain_values_say(
    town: Town, bank: BankClient, place: int, claims: tuple[int, ...]
) -> None:
    """At both ends of the tolerance and of the column."""
    subject = town.ids[place]
    value = town.turnover[subject]
    for claim in claims:
        expected = "insufficient_data"
        if value is not None:
            expected = "match" if abs(value - claim) <= TOLERANCE else "mismatch"
        assert answer(bank, subject, claim) == expected


def test_a_range_answer_is_released_again_and_costs_nothing(
    town: Town, bank: BankClient
) -> None:
    """The threshold is public, so the same question has the same answer."""
    subject = town.ids[8]
    first = bank.range("turnover-floor", subject, consent=f"c-{subject}")
    again = bank.range("turnover-floor", subject, consent=f"c-{subject}")
    assert (first.answer, first.repeated) == ("below", False)
    assert (again.answer, again.repeated) == ("below", True)
    assert [p.millibits for p in permits(town, f"c-{subject}")] == [1_000, 0]


def test_the_same_claim_is_a_new_question(town: Town, bank: BankClient) -> None:
    """Nobody but the bank knows that it is the same: each one is counted."""
    subject = town.ids[9]
    for _ in range(2):
        checked = bank.verify(
            "turnover-check", subject, 1_234_500, consent=f"c-{subject}"
        )
        assert (checked.answer, checked.repeated) == ("match", False)
    assert [p.millibits for p in permits(town, f"c-{subject}")] == [1_000] * 2


def test_three_answers_about_a_column_and_no_fourth(
    town: Town, bank: BankClient
) -> None:
    """Claims and thresholds, of all banks, count together; the bank is told of bits."""
    subject = town.ids[9]  # two claims above
    with town.bank("lsbank") as other:
        assert other.range("turnover-floor", subject, consent=f"c-{subject}").answer
        for client in (bank, other):
            with pytest.raises(Denied) as caught:
                client.verify("turnover-check", subject, 5, consent=f"c-{subject}")
            assert caught.value.reason == "BITS_SPENT"
            assert reasons(town.authority, caught.value) == [Reason.ANSWERS_SPENT]
        again = other.range("turnover-floor", subject, consent=f"c-{subject}")
        assert again.repeated


def test_a_claim_that_the_column_cannot_hold_is_not_sent(
    town: Town, bank: BankClient
) -> None:
    """No quota is used for what a look at the schema answers."""
    before = town.authority.ledger.head.size
    for claim in (-1, MOST + 1, "12.5", "abc", ""):
        with pytest.raises(ValueInvalid) as caught:
            bank.verify("turnover-check", town.ids[0], claim, consent="c")
        assert str(caught.value) == (
            f"column `tax.turnover`: expected a claim of 0 to {MOST}"
        )
    assert town.authority.ledger.head.size == before


def test_another_kind_is_refused_by_name(town: Town, bank: BankClient) -> None:
    """By the SDK before anything is sent, and by the nodes if it is sent."""
    with pytest.raises(KindRefused) as caught:
        bank.score("turnover-check", town.ids[0], consent="c")
    assert caught.value.hint == "ask it with `safehouse verify`"
    with pytest.raises(KindRefused, match="answers `score`, not `range`"):
        bank.range("german-card", town.ids[0], consent="c")
    subject = town.ids[0]
    asked = question(town, subject, contract=town.floor.hash)
    with pytest.raises(Denied) as denied:
        send(bank, asked)
    assert denied.value.reason == "CONTRACT_KIND"
    assert "contract `turnover-floor` answers `range`, not `score`" in str(denied.value)
    with pytest.raises(Refused, match="a request for `range`, expected `score`"):
        send(bank, question(town, subject, contract=town.floor.hash, kind="range"))
    mixed = question(town, subject, shared=town.claim(subject, 5).request.shared)
    with pytest.raises(Refused, match="a request for `score` with shares, or without"):
        send(bank, mixed)


def test_journals_name_no_claim(town: Town, bank: BankClient) -> None:
    """The house's and the authority's entries of a claim are those of any call."""
    subject = town.ids[2]
    checked = bank.verify("turnover-check", subject, 98_765_432, consent=f"c-{subject}")
    bank.flush()
    assert kinds(town.house, checked.request) == [
        "call.intent",
        "call.outcome",
        "call.result",
    ]
    assert kinds(town.authority, checked.request) == ["call.permit", "call.done"]
    for core in (town.house, town.authority):
        for entry in journal(core):
            assert "98765432" not in str(entry.body)


def test_an_interrupted_claim_is_finished_and_counted_once(
    town: Town, bank: BankClient
) -> None:
    """The answer is lost on its way: the house keeps both shares, sealed."""
    subject = town.ids[3]

    def lose(_: object) -> None:
        raise Unreachable("the line is cut")

    with Between(town.house) as wire:
        wire.on_answer = lose
        with pytest.raises(Unreachable):
            bank.verify("turnover-check", subject, THRESHOLD, consent=f"c-{subject}")
    (call,) = bank.unanswered()
    with town.house.ledger.reader() as db:
        ((stored,),) = db.execute("SELECT secret FROM flight")
    assert town.refs[subject] not in stored
    assert dict(bank.retry(call).fields) == {"answer": "match"}
    assert bank.unanswered() == []
    with town.house.ledger.reader() as db:
        assert list(db.execute("SELECT secret FROM flight")) == []
    subject_there = town.name("authority", subject)
    with town.authority.ledger.reader() as db:
        query = "SELECT count(*) FROM answered WHERE subject = ?"
        assert list(db.execute(query, (subject_there,))) == [(2,)]  # and its threshold
