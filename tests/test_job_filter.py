"""A job that is narrowed by public attributes: who is outside is refused, unspent."""

from collections.abc import Iterator

import numpy as np
import pytest

from contracts.attributes import Attribute, AttributeTable, describe
from node import attributes
from node.attributes import Attributes
from node.errors import Refused
from node.job_results import JobOutcome
from node.job_store import State
from protocols.canon import Tag
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
        Attributes(made.world.folder / "house/data/attributes").keep(table, codes)
        signed = german.sign("credit-bureau", Tag.ATTRIBUTES, table.to_bytes())
        house.ledger.commit(lambda tx: attributes.put(tx, signed))
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
    with crowd.bank() as bank, pytest.raises(Refused, match=message):
        bank.submit("german-card", crowd.pairs(people), where=where)
    assert crowd.german.house.ledger.head.size == before
    assert crowd.uses(people) == [0, 0]
