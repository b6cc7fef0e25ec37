"""The house seals a box of its own to the bank: HPKE names no sender."""

import secrets

import pytest

from node.client import BankClient
from node.errors import ReplyRefused
from node.keys import BankKeys
from node.wire.v1 import scoring_pb2
from protocols import hpke
from protocols.call import Opened, ticket_hash
from tests.german import German
from tests.hostile import tampered


def test_a_box_the_authority_did_not_make_is_refused(
    running: German, bank: BankClient, victim: str
) -> None:
    """It opens under the right ticket, and does not fit the receipt."""
    card = running.contract.card
    public = running.world.domain.party("jnrcb").hpke[0]

    def forge(reply: scoring_pb2.ScoreResponse) -> None:
        info = ticket_hash(reply.answer.ticket.payload)
        rows = secrets.token_bytes(2 * (len(card.fields) - 1) + 1)
        opened = Opened(bytes(32), tuple(0 for _ in card.fields), rows)
        reply.answer.box = hpke.seal(public, info, opened.to_bytes())

    with (
        tampered(bank, forge),
        pytest.raises(ReplyRefused, match="not the one the authority made"),
    ):
        bank.score("german-card", victim, consent=f"c-{victim}")


def test_a_box_sealed_again_is_refused_if_a_bit_differs(
    running: German, bank: BankClient, victim: str
) -> None:
    """Who had the bank's key and changed one masked number would still be caught."""
    keys = running.world.keys("jnrcb", BankKeys)

    def flip(reply: scoring_pb2.ScoreResponse) -> None:
        info = ticket_hash(reply.answer.ticket.payload)
        data = bytearray(hpke.unseal(keys.hpke, info, reply.answer.box))
        data[32] ^= 1
        public = keys.hpke.public_key()
        reply.answer.box = hpke.seal(public, info, bytes(data))

    with (
        tampered(bank, flip),
        pytest.raises(ReplyRefused, match="not the one the authority made"),
    ):
        bank.score("german-card", victim, consent=f"c-{victim}")


def test_an_absurd_row_number_is_refused_like_any_other(
    bank: BankClient, victim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An authority that seals 2^64 - 1 is refused, and does not crash the bank."""
    real = Opened.to_bytes

    def absurd(self: Opened) -> bytes:
        data = bytearray(real(self))
        data[32:40] = b"\xff" * 8
        return bytes(data)

    monkeypatch.setattr(Opened, "to_bytes", absurd)
    with pytest.raises(ReplyRefused, match="not the number of a row"):
        bank.score("german-card", victim, consent=f"c-{victim}")
