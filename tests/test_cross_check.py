"""House against authority while calls are under way: what is missed, and when."""

from collections.abc import Sequence

import pytest

from contracts.cross_check import SETTLED_MS, Kept, Unfinished, cross_check
from contracts.replay import Mark, Role
from protocols.entry import Entry, Kind
from tests.journals import Town

HOUSE, AUTHORITY = Role.HOUSE, Role.AUTHORITY


@pytest.fixture
def town() -> Town:
    """Build a town with two consents, and one call that is over."""
    town = Town(signing=False)
    town.grant("c-1", "zhang")
    town.grant("c-2", "wang", max_uses=1)
    town.call("bank-a", "wang", "c-2")
    return town


def without(entries: Sequence[Entry], call: str, *kinds: Kind) -> list[Entry]:
    """Leave entries of one call out."""
    return [e for e in entries if (e.call, e.kind in kinds) != (call, True)]


def test_a_permit_newer_than_the_house_is_under_way(town: Town) -> None:
    """The house's journal was taken first, so it has no intent of it yet."""
    house = list(town.house)
    town.call("bank-a", "zhang", "c-1")
    assert cross_check(house, town.authority) == ((), Unfinished(permits=1, answers=1))


def test_a_permit_older_than_an_outcome_is_missed(town: Town) -> None:
    """A later receipt in the house's journal says how far that reaches."""
    town.call("bank-a", "zhang", "c-1")
    call = town.house[-1].call
    town.call("bank-b", "zhang", "c-1")
    house = [entry for entry in town.house if entry.call != call]
    found, unfinished = cross_check(house, town.authority)
    assert [(item.role, item.mark, item.call) for item in found] == [
        (AUTHORITY, Mark.NO_INTENT, call)
    ]
    assert unfinished == Unfinished(answers=1)


def test_a_denial_says_how_far_the_house_reaches(town: Town) -> None:
    """The authority's denial, in the house's journal, is as good as a receipt."""
    town.call("bank-a", "zhang", "c-1")
    call = town.house[-1].call
    town.call("bank-b", "wang", "c-2")  # USED_UP, by the authority
    assert town.house[-1].kind is Kind.CALL_DENIED
    house = [entry for entry in town.house if entry.call != call]
    found, _ = cross_check(house, town.authority)
    assert [(item.mark, item.call) for item in found] == [(Mark.NO_INTENT, call)]


@pytest.mark.parametrize("late", [False, True])
def test_an_outcome_may_be_late_but_not_for_ever(town: Town, *, late: bool) -> None:
    """Ten minutes of what the house journalled since; then it is missed."""
    town.call("bank-a", "zhang", "c-1")
    call = town.house[-1].call
    done = next(
        e.time_ms for e in town.authority if (e.kind, e.call) == (Kind.CALL_DONE, call)
    )
    town.call("bank-b", "zhang", "c-1")
    (index,) = (
        i
        for i, e in enumerate(town.authority)
        if e.kind is Kind.CALL_DONE and e.time_ms > done
    )
    last = town.authority[index]
    time_ms = done + SETTLED_MS + late
    town.authority[index] = Entry(last.kind, time_ms, last.actor, last.call, last.body)
    house = without(town.house, call, Kind.CALL_OUTCOME, Kind.CALL_RESULT)
    found, unfinished = cross_check(house, town.authority)
    if late:
        assert [(item.mark, item.call) for item in found] == [(Mark.NO_OUTCOME, call)]
    else:
        assert found == ()
    assert unfinished == Unfinished(intents=1, answers=not late)


def test_a_receipt_is_missed_where_the_bank_says(town: Town) -> None:
    """The bank's own proofs name the entry in either journal."""
    found, _ = cross_check((), (), [Kept(bytes(32), bytes(32), 7, 5)])
    assert [(item.role, item.index) for item in found] == [(HOUSE, 7), (AUTHORITY, 5)]
    assert cross_check(town.house, town.authority, town.kept) == ((), Unfinished())
