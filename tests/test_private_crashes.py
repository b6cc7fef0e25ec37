"""Private calls that are interrupted come to one permit and one answer."""

from collections.abc import Iterator

import pytest

from node.domain import Role
from node.errors import NodeError, Unreachable
from node.private_client import PrivateClient
from tests.crowd_of_one import Hidden, Wire, settle
from tests.hostile import uses

WHOLE = [
    ["private.intent", "private.outcome", "private.result"],
    ["private.permit", "private.done"],
]


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hidden]:
    """Run a town."""
    world, hidden = settle(tmp_path_factory.mktemp("hidden"))
    with world:
        yield hidden


def finish(hidden: Hidden, bank: PrivateClient, subject: str) -> None:
    """Ask again: the same answer, one use, whole journals."""
    (call,) = bank.unanswered()
    told = bank.retry(call)
    assert (told.answer, bank.retry(call).answer) == ("below", "below")
    assert bank.unanswered() == []
    assert uses(hidden.town, f"c-{subject}") == 1
    said = [hidden.said(role, call) for role in (Role.HOUSE, Role.AUTHORITY)]
    assert [[entry.kind for entry in entries] for entries in said] == WHOLE
    assert hidden.replay(Role.HOUSE) == hidden.replay(Role.AUTHORITY) == []


def test_an_answer_is_lost_between_authority_and_house(hidden: Hidden) -> None:
    """The house resumes by itself, and has the reply when the bank asks again."""
    subject = hidden.town.ids[0]
    with hidden.bank() as bank:
        with Wire(hidden) as wire:
            wire.lost = 1
            with pytest.raises(NodeError):
                bank.range("turnover-floor", subject, hidden.among())
            assert hidden.house.resume() == 1
        assert [a.box for a in wire.answered[:1]] == [a.box for a in wire.answered[1:]]
        assert wire.asked[0][1:] == wire.asked[1][1:]  # the blocks, byte for byte
        finish(hidden, bank, subject)


def test_the_house_is_killed_and_there_is_a_push(hidden: Hidden) -> None:
    """What was asked about on old data is finished on the old data, byte for byte."""
    town, subject = hidden.town, hidden.town.ids[1]
    with hidden.bank() as bank:
        with Wire(hidden) as wire:
            wire.lost = 1
            with pytest.raises(NodeError):
                bank.range("turnover-floor", subject, hidden.among())
        town.world.stop(Role.HOUSE)
        town.world.start(Role.HOUSE)
        town.push_again()
        with Wire(hidden) as again:
            assert hidden.house.resume() == 1
        assert again.asked[0][1:] == wire.asked[0][1:]
    with hidden.bank() as bank:
        finish(hidden, bank, subject)


def test_the_authority_dies_between_permit_and_answer(
    hidden: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decrypted once more under the permit that exists."""
    subject = hidden.town.ids[17]
    dead = Unreachable("killed")

    def die(*_: object) -> None:
        raise dead

    with hidden.bank() as bank:
        with monkeypatch.context() as patch:
            patch.setattr(hidden.authority, "_done", die)
            with pytest.raises(NodeError):
                bank.range("turnover-floor", subject, hidden.among())
        assert uses(hidden.town, f"c-{subject}") == 1
        finish(hidden, bank, subject)
