"""The house sends the authority another ciphertext than its ticket says.

What is caught when: bytes that are not the ticket's, before the key is used; a
stale version that the ticket names, by replay of the journals; a computation that
is not the ticket's inputs', by two auditors (test_house_computes_otherwise).
"""

from dataclasses import replace

import pytest

from node.wire.v1 import evaluation_pb2
from protocols.lookup import Message
from tests.german import German
from tests.hostile import EvilHouse, kinds, question, uses


def test_a_ciphertext_of_another_call_is_refused(
    running: German, victim: str, another: str, evil: EvilHouse
) -> None:
    """The accomplice's question, the victim's block: not the message of the ticket."""
    asked = question(running, victim)
    made = evil.compute(asked)
    other = evil.compute(question(running, another))
    assert made.message is not None
    assert other.message is not None
    for message in (
        other.message,
        replace(made.message, ciphertext=other.message.ciphertext),
        replace(made.message, tables=other.message.tables),
        replace(made.message, tables=made.message.tables[:-1]),
        replace(made.message, tables=b""),
        replace(made.message, ciphertext=0),
        replace(made.message, ciphertext=1),
    ):
        refusal = evil.refused(
            question(running, victim), replace(made, message=message)
        )
        assert refusal.reason == "TICKET_INVALID"
    refusal = evil.refused(asked, replace(made, message=other.message))
    assert refusal.reason == "MESSAGE_INVALID"
    assert kinds(running.authority, asked.call) == ["call.deny"]
    assert uses(running, f"c-{victim}") == 0


@pytest.mark.parametrize("crime", ["n", "zero", "n squared", "p", "beyond"])
def test_what_is_no_ciphertext_is_refused_before_the_key_is_used(
    running: German,
    victim: str,
    evil: EvilHouse,
    crime: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Signed, journalled, and hashed as it is: still no decryption, no use."""
    public = running.world.domain.paillier
    private = running.authority._keys.paillier
    bad = {
        "n": int(public.n),
        "zero": 0,
        "n squared": int(public.n2),
        "p": int(private.p) * 7,
        "beyond": int(public.n2) + 1,
    }[crime]
    asked = question(running, victim)
    made = evil.compute(asked)
    assert made.message is not None
    message = Message(bad, made.message.slots, made.message.tables)
    ticket = replace(made.ticket, message=message.digest())
    monkeypatch.setattr(type(private), "decrypt", _never)
    refusal = evil.refused(asked, replace(made, ticket=ticket, message=message))
    assert refusal.reason == "MESSAGE_INVALID"
    assert uses(running, f"c-{victim}") == 0


def _never(*_: object) -> int:
    raise AssertionError("the key was used")


def test_tables_of_another_size_are_refused(
    running: German, victim: str, evil: EvilHouse
) -> None:
    """Longer tables would have the authority pick what no contract says."""
    asked = question(running, victim)
    made = evil.compute(asked)
    assert made.message is not None
    message = replace(made.message, tables=made.message.tables + bytes(64))
    ticket = replace(made.ticket, message=message.digest())
    refusal = evil.refused(asked, replace(made, ticket=ticket, message=message))
    assert refusal.reason == "MESSAGE_INVALID"


def test_a_repeat_carries_no_ciphertext(
    running: German, victim: str, evil: EvilHouse
) -> None:
    """Else a free repeat would be a decryption."""
    first = question(running, victim)
    made = evil.compute(first)
    evil.evaluate(first, made)
    asked = question(running, victim)
    again = evil.repeat(asked, made)
    intent = evil.intend(asked, again.ticket)
    smuggled = replace(again, message=made.message)
    with pytest.raises(Exception, match="carries no ciphertext"):
        evil.evaluate(asked, smuggled, intent)
    response = evil.evaluate(asked, again, intent)
    assert isinstance(response, evaluation_pb2.EvaluateResponse)
    assert response.box == b""
