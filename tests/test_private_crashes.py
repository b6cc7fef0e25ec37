"""Private calls that are interrupted come to one permit and one answer."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from node import private_client, private_records, private_store, run
from node.domain import Role
from node.errors import NodeError, Unreachable
from node.private_client import PrivateClient
from node.records import open_records
from protocols.errors import FormatError
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


def test_one_kind_of_call_does_not_keep_the_others(
    hidden: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails in the house's open calls leaves the private ones their turn."""
    rounds: list[str] = []

    def broken() -> int:
        raise FormatError("a record that cannot be read")

    def resume() -> int:
        rounds.append("private")
        return 0

    ended = Event()
    ended.set()
    monkeypatch.setattr(hidden.town.house, "resume", broken)
    monkeypatch.setattr(hidden.house, "resume", resume)
    run._resume(hidden.town.world.house, ended)
    assert rounds == ["private"]


def test_a_commitment_that_does_not_arrive_is_sent_later(
    hidden: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another process, as it was signed; the answer stands meanwhile."""
    subject, lost = hidden.town.ids[16], Unreachable("lost")

    def lose(*_: object, **__: object) -> None:
        raise lost

    with hidden.bank() as bank:
        with monkeypatch.context() as patch:
            patch.setattr(private_client.PrivateClient, "flush", lose)  # a kill
            with pytest.raises(Unreachable):
                bank.range("turnover-floor", subject, hidden.among())
        with monkeypatch.context() as patch:
            patch.setattr(bank._stub, "CommitPrivateResult", lose)
            told = bank.range("turnover-floor", hidden.town.ids[15], hidden.among())
            assert (told.answer, bank.flush()) == ("at_least", 2)
    with hidden.bank() as bank:
        ((call, _), (other, _)) = bank._records.uncommitted()
        assert told.request in (call, other)
        assert bank.flush() == bank.flush() == 0
        assert bank.unanswered() == []
    for name in (call, other):
        kinds = [entry.kind for entry in hidden.said(Role.HOUSE, name)]
        assert kinds == WHOLE[0]


def test_the_file_of_an_earlier_version(tmp_path: Path) -> None:
    """Records without commitments are opened, and have none to send."""
    path = tmp_path / "private.db"
    earlier = private_records.SCHEMA[0].split(", result_salt")[0] + ") WITHOUT ROWID"
    open_records(path, 1, (earlier, private_records.SCHEMA[1])).close()
    records = private_records.PrivateRecords(path)
    assert records.uncommitted() == records.unanswered() == []
    records.close()


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


def test_one_bad_record_does_not_keep_the_others(hidden: Hidden) -> None:
    """Its sealed seed is damaged; what was asked before and after it is finished."""
    town, subjects = hidden.town, hidden.town.ids[18:21]
    with hidden.bank() as bank:
        with Wire(hidden) as wire:
            wire.lost = 3
            for subject in subjects:
                with pytest.raises(NodeError):
                    bank.range("turnover-floor", subject, hidden.among())
        with town.house.ledger.reader() as db:
            left = [record.call for record in private_store.under_way(db)]
        spoil = "UPDATE private_call SET secret = zeroblob(60) WHERE request = ?"
        town.house.ledger.commit(lambda tx: tx.db.execute(spoil, (left[1],)))
        assert hidden.house.resume() == 2
        with town.house.ledger.reader() as db:
            assert [r.call for r in private_store.under_way(db)] == [left[1]]
