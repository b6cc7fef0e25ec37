"""A house drops, exchanges or repeats a bank's reports, or hands them to another.

Parcels of a bank to a custodian are numbered and signed, each box is named by its
digest and bound to its occasion, and the house proves each parcel's entry.
"""

from collections.abc import Iterator

import pytest

from contracts.feedback import Ending
from node import feedback_client
from node.errors import Refused, ReplyRefused, RoleRefused
from node.feedback_client import FeedbackDesk
from node.wire.v1.feedback_pb2_grpc import FeedbackServiceStub
from protocols import hpke
from protocols.errors import SealBroken
from tests.borrowers import (
    CUSTODIAN,
    A,
    B,
    desk,
    fetched,
    forget,
    report,
    sender,
    told,
    town,
)
from tests.german import German
from tests.test_custodian import Ask


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[German]:
    """Run a town."""
    with town(tmp_path_factory.mktemp("withheld")) as made:
        yield made


@pytest.fixture
def german(running: German) -> German:
    """Lend it where A reported twice, and B once."""
    forget(running)
    report(running, told(running, 0))
    report(running, told(running, 1, ending=Ending.DEFAULT))
    report(running, told(running, 3), B)
    return running


def edit(german: German, query: str, *values: object) -> None:
    """Change the house's table, as its operator can."""
    german.house.ledger.commit(lambda tx: tx.db.execute(query, values))


def test_a_dropped_parcel_is_missed(german: German) -> None:
    """The numbers have a gap."""
    edit(german, "DELETE FROM feedback_parcel WHERE bank = ? AND number = 1", A)
    with pytest.raises(ReplyRefused, match="missing before number 2"):
        fetched(german)


def test_the_newest_that_was_seen_is_missed(german: German) -> None:
    """Once it was shown, it cannot be taken back."""
    fetched(german)
    edit(german, "DELETE FROM feedback_parcel WHERE bank = ? AND number = 2", A)
    with pytest.raises(ReplyRefused, match="more parcels of `jnrcb`"):
        fetched(german)


def test_an_exchanged_box_is_found(german: German) -> None:
    """Its digest is another than the bank signed."""
    edit(
        german,
        "UPDATE feedback_parcel SET box = (SELECT box FROM feedback_parcel"
        " WHERE bank = ? AND number = 2) WHERE bank = ? AND number = 1",
        A,
        A,
    )
    with pytest.raises(ReplyRefused, match="exchanged"):
        fetched(german)


def test_a_parcel_shown_twice_is_found(
    german: German, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same entry again is behind the one before."""
    ask, replies = feedback_client.ask, list[object]()

    def again(call: Ask, request: object, deadline_s: float) -> object:
        replies.append(ask(call, request, deadline_s))
        return replies[0]

    monkeypatch.setattr(feedback_client, "ask", again)
    with pytest.raises(ReplyRefused, match="twice"):
        fetched(german)


def test_nobody_else_reads_them(german: German) -> None:
    """Another bank is no custodian; another custodian is handed and opens none."""
    with sender(german.world, B) as other, pytest.raises((Refused, RoleRefused)):
        list(FeedbackDesk._parcels(other))  # type: ignore[arg-type]
    assert fetched(german, "housing-loans").parcels == 0
    with german.house.ledger.reader() as db:
        boxes = [row[0] for row in db.execute("SELECT box FROM feedback_parcel")]
    with desk(german.world) as own, desk(german.world, "housing-loans") as other:
        opened = [box for _, _, box in own._parcels()]
        assert opened == boxes
        for _, parcel, box in own._parcels():
            assert parcel.custodian == CUSTODIAN
            with pytest.raises(SealBroken):
                hpke.unseal(other._key(), parcel.info, box)
            with pytest.raises(SealBroken):  # moved to another occasion
                hpke.unseal(own._key(), parcel.info + b"x", box)


def test_a_parcel_of_another_bank_cannot_be_replayed(
    german: German, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B sends A's very bytes, or a number again: refused, and nothing is journalled."""
    ask, sent = feedback_client.ask, list[object]()

    def watched(call: Ask, request: object, deadline_s: float) -> object:
        if type(request).__name__ == "SendFeedbackRequest":
            sent.append(request)
        return ask(call, request, deadline_s)

    monkeypatch.setattr(feedback_client, "ask", watched)
    report(german, told(german, 2))
    monkeypatch.undo()
    (message,) = sent
    size = german.house.ledger.head.size
    with sender(german.world, B) as other:
        stub = FeedbackServiceStub(other._link)
        with pytest.raises(Refused, match="signed by unknown key"):
            ask(stub.SendFeedback, message, 10)
    with sender(german.world, A) as own:
        stub = FeedbackServiceStub(own._link)
        ask(stub.SendFeedback, message, 10)  # the same again: the same entry
    assert german.house.ledger.head.size == size
    receipts = german.world.folder / A / "data/receipts/feedback"
    for path in receipts.glob("*.json"):
        path.unlink()  # a bank that forgot its numbers
    with pytest.raises(Refused, match="expected parcel 4"):
        report(german, told(german, 2))
