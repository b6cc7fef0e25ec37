"""A question is decrypted twice, or withdrawn consents are used up behind a list."""

import pytest

from contracts.consent import ConsentEvent, Event
from contracts.decide import Reason
from contracts.replay import Mark
from node import clock, private_house
from node.domain import Role
from node.errors import Denied, NodeError
from tests.crowd_of_one import Hidden, Wire
from tests.hostile import uses


def test_another_ticket_for_one_request(hidden: Hidden) -> None:
    """Another mask under the same jti: refused, and nothing is decrypted."""
    subject = hidden.town.ids[0]
    ledger = hidden.town.house.ledger
    with hidden.bank() as bank, Wire(hidden) as wire:
        wire.lost = 1
        with pytest.raises(NodeError):
            bank.range("turnover-floor", subject, hidden.among())
        ledger.commit(lambda tx: tx.db.execute("DELETE FROM private_call"))  # forgets
        ledger.commit(lambda tx: tx.db.execute("DELETE FROM seed_share"))
        (call,) = bank.unanswered()
        with pytest.raises(Denied) as caught:
            bank.retry(call)
    assert caught.value.reason == "REPLAY_MISMATCH"
    assert uses(hidden.town, f"c-{subject}") == 1
    kinds = [entry.kind for entry in hidden.said(Role.AUTHORITY, call)]
    assert kinds == ["private.permit", "private.done", "private.deny"]
    assert hidden.replay(Role.HOUSE) == [Mark.JTI_REUSED]


def test_consent_withdrawn_between_house_and_authority(
    hidden: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The authority decides when it permits; the refusal is sealed."""
    subject = hidden.town.ids[1]
    pieces = private_house.PrivateHouse._pieces
    withdrawal = ConsentEvent(
        f"c-{subject}", Event.WITHDRAW, clock.now_ms(), "", "registrar"
    )

    def withdraw(*given: object) -> object:
        hidden.town.happen(withdrawal)
        return pieces(*given)  # type: ignore[arg-type]

    with hidden.bank() as bank, monkeypatch.context() as patch:
        patch.setattr(private_house.PrivateHouse, "_pieces", withdraw)
        with pytest.raises(Denied) as caught:
            bank.range("turnover-floor", subject, hidden.among())
    assert hidden.reasons(Role.AUTHORITY, caught.value) == [Reason.WITHDRAWN]
    assert uses(hidden.town, f"c-{subject}") == 0
    assert hidden.replay(Role.AUTHORITY) == []
