"""A bank asks again and again, in every way, to learn more than it may."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from contracts.decide import SENTENCES, Limits, Reason
from node.client import BankClient
from node.errors import Denied
from tests.german import FOLDER, German
from tests.hostile import EvilHouse, permits, question, reasons, send
from tests.simulator import World

TEXT = (FOLDER / "contract.yaml").read_text()


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[German]:
    """Run a trust domain of one's own: budgets are set in it."""
    with World(tmp_path_factory.mktemp("budget")) as world:
        yield German(world, 11)


def versions(running: German, count: int) -> list[bytes]:
    """Put more versions of the contract in force."""
    return [running.contract.hash] + [
        running.submit(
            TEXT.replace("version: 1\n", f"version: {2 + i}\n", 1), running.datasets
        ).hash
        for i in range(count)
    ]


def told(bank: BankClient, running: German, subject: str, **changes: object) -> str:
    """Ask, and return the public reason."""
    try:
        send(bank, question(running, subject, **changes))  # type: ignore[arg-type]
    except Denied as refusal:
        return refusal.reason
    return ""


def test_new_data_every_day_are_not_a_new_budget(fresh: German) -> None:
    """The contract's own limit: a correction of the data is no second look."""
    subject = fresh.ids[0]
    fresh.grant(subject)
    with fresh.bank() as bank:
        assert told(bank, fresh, subject) == ""
        assert told(bank, fresh, subject) == ""  # a repeat
        dataset = fresh.datasets["housing-loans"]
        fresh.push(dataset, fresh.values(dataset, fresh.ids), version=2)
        assert told(bank, fresh, subject) == "BITS_SPENT"
        assert told(bank, fresh, subject) == "BITS_SPENT"
    assert len(permits(fresh, f"c-{subject}")) == 2


def test_many_contracts_share_the_banks_budget(fresh: German) -> None:
    """Bank and subject: 24 bits over all contracts, a millibit more is refused."""
    subject = fresh.ids[0]
    fresh.grant(subject)
    each = fresh.contract.millibits
    names = versions(fresh, 4)
    assert Limits().bank_millibits == 24_000
    with fresh.bank() as bank:
        answers = [told(bank, fresh, subject, contract=name) for name in names]
    enough = 24_000 // each
    assert answers == [""] * enough + ["BITS_SPENT"] * (5 - enough)
    spent = sum(permit.millibits for permit in permits(fresh, f"c-{subject}"))
    assert spent == enough * each <= 24_000


def test_the_budget_is_used_up_to_the_last_millibit(fresh: German) -> None:
    """Exactly the limit is allowed, one less is not."""
    subject, other = fresh.ids[:2]
    fresh.grant(subject)
    fresh.grant(other)
    each = fresh.contract.millibits
    with fresh.bank() as bank:
        fresh.authority._limits = Limits(bank_millibits=each - 1)
        assert told(bank, fresh, subject) == "BITS_SPENT"
        fresh.authority._limits = Limits(bank_millibits=each)
        assert told(bank, fresh, other) == ""


def test_banks_together_have_a_budget_too(fresh: German) -> None:
    """A subject, all banks: the last bank is refused and told no more than that."""
    subject = fresh.ids[0]
    fresh.grant(subject)
    fresh.authority._limits = replace(
        Limits(), subject_millibits=2 * fresh.contract.millibits - 1
    )
    with fresh.bank() as bank, fresh.bank("lsbank") as other:
        assert told(bank, fresh, subject) == ""
        with pytest.raises(Denied) as caught:
            send(other, question(fresh, subject, bank="lsbank"))
    own = caught.value
    assert own.reason == "BITS_SPENT"
    assert reasons(fresh.authority, own) == ["BITS_SPENT"]
    assert str(own) == SENTENCES[Reason.BITS_SPENT]  # no figures


def test_a_house_on_the_banks_side_gains_nothing(fresh: German) -> None:
    """The budget is the authority's: what the house computes does not matter."""
    subject = fresh.ids[0]
    fresh.grant(subject)
    evil = EvilHouse(fresh)
    asked = question(fresh, subject)
    evil.evaluate(asked, evil.compute(asked))
    for _ in range(3):
        asked = question(fresh, subject)
        assert evil.refused(asked, evil.compute(asked)).reason == "BITS_SPENT"
