"""The authority, or whoever speaks for it, answers the house with something else.

A house that journalled and released it would be the one that made it up.
"""

import pytest

from node.client import BankClient
from node.errors import Denied, NodeError
from node.wire.v1 import evaluation_pb2
from protocols.call import Denial
from protocols.canon import Tag
from protocols.sign import sign
from tests.german import German
from tests.hostile import Between, EvilHouse, kinds, question, send, uses


@pytest.mark.parametrize("part", ["receipt", "permit", "nothing", "signature"])
def test_an_answer_that_proves_nothing_is_not_released(
    running: German, bank: BankClient, victim: str, another: str, part: str
) -> None:
    """No outcome is journalled; the true answer is still to be had."""
    with Between(running.house) as wire:
        send(bank, question(running, another))
        other = wire.answered[0]

        def exchange(response: evaluation_pb2.EvaluateResponse) -> None:
            match part:
                case "receipt":
                    response.receipt.CopyFrom(other.receipt)
                case "permit":
                    response.permit.CopyFrom(other.permit)
                case "nothing":
                    response.Clear()
                case _:
                    response.receipt.signature = bytes(64)

        wire.on_answer = exchange
        asked = question(running, victim)
        with pytest.raises(NodeError) as caught:
            send(bank, asked)
    assert not isinstance(caught.value, Denied)
    assert kinds(running.house, asked.call) == ["call.intent"]
    assert send(bank, asked).answer.box
    assert kinds(running.house, asked.call) == ["call.intent", "call.outcome"]
    assert uses(running, f"c-{victim}") == 1


@pytest.mark.parametrize("crime", ["the house's key", "another call"])
def test_a_denial_that_proves_nothing_ends_no_call(
    running: German, bank: BankClient, victim: str, evil: EvilHouse, crime: str
) -> None:
    """Whoever forges a refusal does not use up the bank's request."""
    asked = question(running, victim)
    named = bytes(32) if crime == "another call" else asked.call
    denial = Denial(named, "authority", "USED_UP", "", bytes(32), 1)
    key = evil.keys.ticket
    if crime == "another call":
        key = running.world.composed.keys["authority"].receipt
    signed = sign(Tag.DENIAL, denial.to_bytes(), key)

    def refuse(_: object) -> None:
        raise Denied("used up", signed, "USED_UP")

    with Between(running.house) as wire:
        wire.on_question = refuse
        with pytest.raises(NodeError) as caught:
            send(bank, asked)
    assert not isinstance(caught.value, Denied)
    assert kinds(running.house, asked.call) == ["call.intent"]
    assert send(bank, asked).answer.box


def test_a_forged_denial_does_not_deceive_the_bank(
    running: German, bank: BankClient, victim: str, evil: EvilHouse
) -> None:
    """Signed by the house in the authority's name, or told otherwise than signed."""
    asked = question(running, victim)
    by_house = sign(
        Tag.DENIAL,
        Denial(asked.call, "authority", "USED_UP", "", bytes(32), 1).to_bytes(),
        evil.keys.ticket,
    )
    told_else = sign(
        Tag.DENIAL,
        Denial(asked.call, "house", "NO_CONSENT", "", bytes(32), 1).to_bytes(),
        evil.keys.ticket,
    )
    for signed, words in (
        (by_house, "proves nothing"),
        (told_else, "another reason"),
    ):
        with pytest.raises(NodeError, match=words):
            bank._check_denial(Denied("x", signed, "USED_UP"), asked.call)
    with pytest.raises(NodeError, match="another request"):
        bank._check_denial(Denied("x", told_else, "NO_CONSENT"), bytes(32))
    bank._check_denial(Denied("x", told_else, "NO_CONSENT"), asked.call)
