"""Sessions of intersection through both nodes, from the custodian's table on."""

from collections.abc import Iterator

import pytest

from protocols.psi import Mode
from tests.lists import Lists, ids
from tests.simulator import World


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lists]:
    """Run house and authority, with one list of seven."""
    with World(tmp_path_factory.mktemp("lists")) as world:
        made = Lists(world)
        made.push(ids(*range(7)))
        yield made


def test_the_bank_learns_who(lists: Lists) -> None:
    """In the order in which it asked, under the names it gave."""
    lists.contract()
    with lists.bank() as bank:
        found = bank.intersect("subsidy-intersection", ids(9, 5, 8, 0, 3))
    assert found.subjects == tuple(ids(5, 0, 3))
    assert (found.count, found.customers, found.entries) == (3, 5, 7)
    assert (found.mode, found.list, found.version) == (Mode.INTERSECTION, "subsidy", 1)


def test_the_bank_learns_how_many(lists: Lists) -> None:
    """And nobody's name."""
    lists.contract("cardinality")
    with lists.bank() as bank:
        found = bank.intersect("subsidy-cardinality", ids(9, 5, 8, 0, 3))
    assert (found.mode, found.count, found.subjects) == (Mode.CARDINALITY, 3, ())
