"""A house serves a list in the order of its file, or in any order but the points' own.

An entry that the bank did not match is a number to it, new in every session.  In the
old order it would be the same place session after session: the bank would see who
leaves the list and who comes, and in a register's order even who they are, by rank.
"""

from collections.abc import Iterator

import pytest

from node import psi_house
from node.errors import ReplyRefused, RowsRefused
from protocols import psi, ristretto
from protocols.errors import PointInvalid
from protocols.ristretto import each
from tests.lists import Lists, ids
from tests.simulator import World


@pytest.fixture
def lists(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lists]:
    """Run house and authority, with one list and its contract."""
    with World(tmp_path_factory.mktemp("order")) as world:
        made = Lists(world)
        made.push(ids(*range(9)))
        made.contract(sessions=4)
        yield made


def served(lists: Lists, session: bytes) -> list[bytes]:
    """Read the list as a bank got it."""
    return list(each(lists.psi_house._files.points(session, "y", 9).all()))


def test_places_say_nothing(lists: Lists) -> None:
    """Of two sessions an entry's places are unrelated, and in one nobody's."""
    with lists.bank() as bank:
        sessions = [
            bank.intersect("subsidy-intersection", ids(1)).session for _ in range(2)
        ]
        (entries, _) = lists.psi_house.lists.read(bank.newest("subsidy"))
    for session in sessions:
        points = served(lists, session)
        assert points == sorted(points)
        assert points != list(each(entries))
    one, other = (set(served(lists, session)) for session in sessions)
    assert len(one) == len(other) == 9
    assert one.isdisjoint(other)


def test_the_bank_refuses_another_order(
    lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A house that skips the one line is found by the first bank that asks."""
    monkeypatch.setattr(psi_house.ristretto, "ascending", lambda points: points)
    with lists.bank() as bank, pytest.raises(ReplyRefused, match="ascending order"):
        bank.intersect("subsidy-intersection", ids(1, 2))


def test_the_house_refuses_a_registers_order(lists: Lists) -> None:
    """A custodian that pushes in the order of its register names people by rank."""
    manifest = lists.push(ids(*range(9))).manifest
    entries, markers = lists.psi_house.lists.read(manifest)
    turned = entries[32:] + entries[:32]
    with pytest.raises(PointInvalid, match="ascending"):
        lists.psi_house.lists.keep(manifest, turned + markers)


def test_the_house_refuses_a_banks_order(lists: Lists) -> None:
    """Nor does a bank's customer number travel in the order of its points."""
    points = psi.Source("subsidy", 1).points([bytes([n]) * 32 for n in range(4)])
    with pytest.raises(PointInvalid, match="ascending"):
        ristretto.check_ascending(ristretto.ascending(points)[32:] + points[:32])
    with lists.bank() as bank, pytest.raises(RowsRefused):
        bank.intersect("subsidy-intersection", [*ids(1), *ids(1)])
