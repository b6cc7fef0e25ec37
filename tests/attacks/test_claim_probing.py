"""Crime: a bank reads a value by claiming again and again.

Each claim tests a window; three a quarter are guesses, thirty are a search.  So whoever
asks tries to have more than three: the same claim again as a repeat, another version of
the contract, another contract on the column, the other bank, a threshold instead of a
claim, an answer that got lost on its way, a question that is denied.
"""

from collections.abc import Iterator

import pytest

from contracts.decide import Reason
from node.client import BankClient
from node.errors import Denied, ReplyRefused, Unreachable
from tests.hostile import Between, EvilHouse, reasons, tampered_queries
from tests.simulator import World
from tests.turnover import THRESHOLD, Town, answer, range_source, verify_source

VALUE = 1_234_500


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Run a town with a second version, and other contracts on the column."""
    with World(tmp_path_factory.mktemp("probed")) as world:
        made = Town(world, [VALUE] * 12)
        made.query(verify_source("turnover-check", version=2))
        made.query(verify_source("turnover-near", 50_000))
        made.query(range_source("turnover-million", 100_000_000))
        yield made


@pytest.fixture
def bank(town: Town) -> Iterator[BankClient]:
    """Open the bank's SDK."""
    with town.bank() as client:
        yield client


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    """Count victims."""
    return iter(range(12))


@pytest.fixture
def victim(town: Town, numbers: Iterator[int]) -> str:
    """Name a subject that nobody has asked about."""
    subject = town.ids[next(numbers)]
    town.consent(subject)
    return subject


def spent(town: Town, bank: BankClient, subject: str, contract: str) -> None:
    """Ask once more, and be refused for the quota alone."""
    with pytest.raises(Denied) as caught:
        bank.verify(contract, subject, 7, consent=f"c-{subject}")
    assert caught.value.reason == "BITS_SPENT"
    assert reasons(town.authority, caught.value) == [Reason.ANSWERS_SPENT]


def test_ours_counts_three_claims(town: Town, bank: BankClient, victim: str) -> None:
    """The same claim counts each time: nobody can know that it is the same."""
    for claim in (VALUE, VALUE, 5):
        answer(bank, victim, claim)
    spent(town, bank, victim, "turnover-check")


def test_ours_counts_over_versions_contracts_and_banks(
    town: Town, bank: BankClient, victim: str
) -> None:
    """What counts is the column and the subject."""
    consent = f"c-{victim}"
    bank.verify(town.check.hash, victim, VALUE, consent=consent)
    bank.verify("turnover-check", victim, VALUE, consent=consent)  # version 2
    with town.bank("lsbank") as other:
        other.verify("turnover-near", victim, VALUE, consent=consent)
        spent(town, other, victim, "turnover-check")
    spent(town, bank, victim, "turnover-near")


def test_ours_counts_thresholds_as_claims(
    town: Town, bank: BankClient, victim: str
) -> None:
    """A new threshold is a new comparison; the same one is answered again for free."""
    consent = f"c-{victim}"
    assert bank.range("turnover-floor", victim, consent=consent).answer == "below"
    assert bank.range("turnover-floor", victim, consent=consent).repeated
    assert bank.range("turnover-million", victim, consent=consent).answer == "below"
    answer(bank, victim, VALUE)
    spent(town, bank, victim, "turnover-check")


def test_ours_counts_another_subject_apart(
    town: Town, bank: BankClient, victim: str
) -> None:
    """Nobody is refused because of somebody else."""
    for _ in range(3):
        answer(bank, victim, 1)
    assert answer(bank, _fresh(town), VALUE) == "match"


def _fresh(town: Town) -> str:
    subject = town.ids[-1]
    town.consent(subject)
    return subject


def test_ours_counts_an_answer_that_got_lost_once(
    town: Town, bank: BankClient, victim: str
) -> None:
    """The permit counts as released; asking again gets that answer, and no new one."""

    def lose(_: object) -> None:
        raise Unreachable("the line is cut")

    with Between(town.house) as wire:
        wire.on_answer = lose
        with pytest.raises(Unreachable):
            answer(bank, victim, VALUE)
    (call,) = bank.unanswered()
    assert bank.retry(call) == bank.retry(call)
    for _ in range(2):
        answer(bank, victim, 1)
    spent(town, bank, victim, "turnover-check")


def test_ours_counts_no_denial(town: Town, bank: BankClient, victim: str) -> None:
    """Without a consent nothing is told, and nothing spent."""
    for _ in range(4):
        with pytest.raises(Denied):
            bank.verify("turnover-check", victim, 1, consent="c-nobody")
    for _ in range(3):
        answer(bank, victim, 1)
    spent(town, bank, victim, "turnover-check")


def test_a_house_that_calls_a_claim_a_repeat_is_refused(
    town: Town, victim: str
) -> None:
    """Else an accomplice's claims would cost nothing after the first."""
    evil = EvilHouse(town)
    first = town.claim(victim, VALUE)
    made = evil.compute(first)
    evil.evaluate(first, made)
    for claim in (VALUE, 5):
        second = town.claim(victim, claim)
        refusal = evil.refused(second, evil.repeat(second, made))
        assert reasons(town.authority, refusal) == [Reason.TICKET_INVALID]


def test_a_bank_refuses_the_answer_to_an_earlier_claim(
    bank: BankClient, victim: str
) -> None:
    """A house that saves itself a call would make a match of any claim."""
    replies = []
    with tampered_queries(bank, replies.append):
        assert answer(bank, victim, VALUE) == "match"
    earlier = replies[0].answer

    def replay(reply: object) -> None:
        reply.answer.answer.CopyFrom(earlier.answer)  # type: ignore[attr-defined]

    with (
        tampered_queries(bank, replay),
        pytest.raises(ReplyRefused, match="an answer to another request"),
    ):
        answer(bank, victim, 5)

    def repeat(reply: object) -> None:
        replay(reply)
        reply.answer.repeat.SetInParent()  # type: ignore[attr-defined]

    with (
        tampered_queries(bank, repeat),
        pytest.raises(ReplyRefused, match="an earlier answer to a question"),
    ):
        answer(bank, victim, 5)


def test_a_threshold_is_no_claim(town: Town) -> None:
    """A range contract takes no share: its threshold is in the contract alone."""
    subject = town.ids[-2]
    town.consent(subject)
    evil = EvilHouse(town)
    asked = town.claim(subject, THRESHOLD, contract=town.check)
    forged = town.claim(subject, THRESHOLD, kind="range", contract=town.check)
    assert forged.request.contract == asked.request.contract
    refusal = evil.refused(forged, evil.compute(forged))
    assert Reason.CONTRACT_KIND in reasons(town.authority, refusal)
