"""A job that is narrowed by public attributes: who is outside is refused, unspent."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from contracts.attributes import Attribute, AttributeTable, describe
from contracts.decide import OUTSIDE_BY, Finding, Reason
from contracts.discrepancy import Mark
from node import attributes, job_client
from node.attributes import Attributes
from node.errors import Refused, ReplyRefused
from node.job_results import JobOutcome
from node.job_run import Run
from node.job_store import State
from protocols.canon import Tag
from protocols.where import Where
from tests.crowds import Crowd, crowded, published, told

SUBJECTS = 110
TOWNS = ("安居镇", "唐口街道")


def town(crowd: Crowd, subject: str) -> str:
    """Say in which town a subject is."""
    return TOWNS[crowd.german.ids.index(subject) % 2]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """Run a district of two towns."""
    with crowded(tmp_path_factory.mktemp("filtered"), SUBJECTS) as made:
        german, house = made.german, made.german.house
        codes = np.zeros((1, len(german.rows)), np.uint8)
        for subject in german.ids:
            place = TOWNS.index(town(made, subject))
            codes[0, german.number(subject)] = 1 + place
        table = AttributeTable(
            subject_type="opaque",
            version=1,
            rows=len(german.rows),
            directory_version=1,
            row_map_root=bytes(32),
            attributes=(Attribute("town", TOWNS),),
            codes=b"",
            custodian="credit-bureau",
            created_ms=0,
        )
        table, _ = describe(table, codes)
        signed = german.sign("credit-bureau", Tag.ATTRIBUTES, table.to_bytes())
        for node, core in (("house", house), ("authority", german.authority)):
            folder = made.world.folder / node / "data/attributes"
            Attributes(folder).keep(table, codes)
            core.ledger.commit(lambda tx: attributes.put(tx, signed))
        yield made


def ask(crowd: Crowd, ids: list[str], *towns: str) -> dict[str, JobOutcome]:
    """Run a job narrowed to some towns."""
    with crowd.bank() as bank:
        pairs = crowd.pairs(ids)
        job = bank.submit("german-card", pairs, where={"town": towns})
        assert crowd.end(bank, job).state is State.FINISHED
        return crowd.outcomes(bank, job)


def test_one_town_is_answered_about(crowd: Crowd) -> None:
    """The others are refused by name and keep their uses; strangers stay strangers."""
    people, strangers = crowd.people(40), crowd.strangers(6)
    outcomes = ask(crowd, [*people, *strangers], TOWNS[0])
    inside = [subject for subject in people if town(crowd, subject) == TOWNS[0]]
    assert 0 < len(inside) < len(people)
    for subject in people:
        if subject in inside:
            assert told(outcomes[subject]) == published(subject)
        else:
            assert told(outcomes[subject]) == ("denied", "OUTSIDE_FILTER", "")
    assert {told(outcomes[s]) for s in strangers} == {("denied", "NO_CONSENT", "")}
    assert crowd.uses(people) == [subject in inside for subject in people]
    assert crowd.replayed()[0] == []


def test_who_is_in_no_base_register_is_a_stranger(crowd: Crowd) -> None:
    """Consent or not: no filter says who is there."""
    crowd.german.refs["gc-somebody-else"] = secrets.token_bytes(32)
    crowd.german.grant("gc-somebody-else", "c-gc-somebody-else")
    with crowd.bank() as bank:
        ref = crowd.german.refs["gc-somebody-else"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(job_client, "subject_ref", lambda *_: ref)
            pairs = [("gc-somebody-else", "c-gc-somebody-else")]
            job = bank.submit("german-card", pairs, where={"town": TOWNS})
        crowd.end(bank, job)
        outcomes = crowd.outcomes(bank, job)
    assert told(outcomes["gc-somebody-else"]) == ("denied", "NO_CONSENT", "")


def test_both_towns_are_everybody(crowd: Crowd) -> None:
    """Several classes are taken together."""
    people = crowd.people(12)
    outcomes = ask(crowd, people, *TOWNS)
    assert [told(outcomes[s]) for s in people] == [published(s) for s in people]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"town": ["喻屯镇"]}, "attribute `town` has no class `喻屯镇`"),
        ({"trade": ["农业"]}, "no public attribute `trade`"),
    ],
)
def test_words_that_nobody_has_put(
    crowd: Crowd, where: dict[str, list[str]], message: str
) -> None:
    """Refused before anything is kept or spent."""
    people = crowd.people(2)
    before = crowd.german.house.ledger.head.size
    with crowd.bank() as bank:
        with pytest.raises(Refused, match=message):
            bank.submit("german-card", crowd.pairs(people), where=where)
        assert bank.unsent() == []  # it would be refused again
    assert crowd.german.house.ledger.head.size == before
    assert crowd.uses(people) == [0, 0]


def test_a_house_that_lets_everybody_in_spends_nobodys_consent(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The authority looks, too."""
    monkeypatch.setattr(Attributes, "rows", _all_at_the_house(Attributes.rows, crowd))
    people = crowd.people(10)
    outcomes = ask(crowd, people, TOWNS[1])
    inside = [town(crowd, subject) == TOWNS[1] for subject in people]
    assert crowd.uses(people) == inside
    told_ = [outcomes[subject].reason == "OUTSIDE_FILTER" for subject in people]
    assert told_ == [not here for here in inside]
    assert crowd.replayed()[0] == []


def _all_at_the_house(real: Callable[..., Any], crowd: Crowd) -> Callable[..., Any]:
    def rows(store: Attributes, table: AttributeTable, where: Where) -> Any:  # noqa: ANN401
        if crowd.world.folder / "house" in store.folder.parents:
            return np.arange(table.rows)
        return real(store, table, where)

    return rows


def test_a_filter_that_the_job_has_not(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused by the bank, and found by replay: nobody is outside of everything."""
    people = crowd.people(3)
    found = Finding(Reason.OUTSIDE_FILTER, OUTSIDE_BY)
    monkeypatch.setattr(Run, "_found", lambda *_: (found,))
    with crowd.bank() as bank:
        job = bank.submit("german-card", crowd.pairs(people))
        crowd.end(bank, job)
        with pytest.raises(ReplyRefused, match="a filter that the job has not"):
            bank.fetch(job)
    marks = {each.mark for each in crowd.replayed()[0]}
    assert marks == {Mark.DECISION_DIFFERS}
