"""The house sends other pads, so that the bank reads another outcome."""

import secrets

import pytest

from node.client import BankClient
from node.errors import ReplyRefused
from node.wire.v1 import scoring_pb2
from tests.hostile import tampered


def test_pads_that_are_not_the_tickets_are_refused(
    bank: BankClient, victim: str, another: str
) -> None:
    """Neither random pads, nor those of another call, nor none."""
    kept: list[bytes] = []

    def keep(reply: scoring_pb2.ScoreResponse) -> None:
        kept.append(reply.answer.pads)

    with tampered(bank, keep):
        bank.score("german-card", another, consent=f"c-{another}")
    for pads in (secrets.token_bytes(32), kept[0], b"", kept[0][:31]):

        def exchange(reply: scoring_pb2.ScoreResponse) -> None:
            reply.answer.pads = pads  # noqa: B023  called at once

        with tampered(bank, exchange), pytest.raises(ReplyRefused, match="pads"):
            bank.score("german-card", victim, consent=f"c-{victim}")
