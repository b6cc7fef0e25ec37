"""The house says afterwards that it computed something else."""

import json
from dataclasses import replace

import pytest

from node.client import BankClient
from node.errors import Denied, ReplyRefused
from node.wire.v1 import scoring_pb2
from protocols.call import Ticket
from protocols.canon import dumps
from tests.german import German
from tests.hostile import Between, EvilHouse, question, send, tampered, uses


def test_a_ticket_signed_anew_does_not_fit_its_receipt(
    bank: BankClient, victim: str, evil: EvilHouse
) -> None:
    """Another slot, another version, another time: the receipt names one ticket."""
    changes = (
        lambda ticket: replace(ticket, slot=(ticket.slot + 1) % 11),
        lambda ticket: replace(ticket, issued_ms=ticket.issued_ms + 1),
        lambda ticket: replace(
            ticket, inputs=(replace(ticket.inputs[0], version=7), *ticket.inputs[1:])
        ),
    )
    for change in changes:

        def edit(reply: scoring_pb2.ScoreResponse) -> None:
            ticket = change(Ticket.parse(reply.answer.ticket.payload))  # noqa: B023
            signed = evil.sign(ticket)
            reply.answer.ticket.payload = signed.payload
            reply.answer.ticket.signature = signed.signature

        with (
            tampered(bank, edit),
            pytest.raises(ReplyRefused, match=r"another (ticket|answer)"),
        ):
            bank.score("german-card", victim, consent=f"c-{victim}")


def test_a_ticket_that_is_not_the_houses_is_refused(
    bank: BankClient, victim: str
) -> None:
    """One byte more, and the signature is not valid."""

    def edit(reply: scoring_pb2.ScoreResponse) -> None:
        document = json.loads(reply.answer.ticket.payload)
        document["issued_ms"] += 1
        reply.answer.ticket.payload = dumps(document)

    with tampered(bank, edit), pytest.raises(ReplyRefused, match="not valid"):
        bank.score("german-card", victim, consent=f"c-{victim}")


@pytest.mark.parametrize(
    "change",
    [
        {"request": b"\x01" * 32},
        {"contract": b"\x01" * 32},
        {"slot": 11},
        {"slot": 1 << 16},
        {"inputs": ()},
        {"message": b"\x01" * 32},
    ],
    ids="-".join,
)
def test_a_ticket_that_does_not_fit_is_refused_by_the_authority(
    running: German,
    bank: BankClient,
    victim: str,
    evil: EvilHouse,
    change: dict[str, object],
) -> None:
    """Signed and journalled by the house, and still a signed, journalled denial."""
    asked = question(running, victim)
    made = evil.compute(asked)
    spoiled = replace(made, ticket=replace(made.ticket, **change))  # type: ignore[arg-type]
    refusal = evil.refused(asked, spoiled)
    assert refusal.reason in ("TICKET_INVALID", "MESSAGE_INVALID", "CONTRACT_UNKNOWN")
    assert uses(running, f"c-{victim}") == 0
    assert send(bank, question(running, victim)).answer.box


def test_a_ticket_edited_on_the_wire_is_refused_by_the_authority(
    running: German, bank: BankClient, victim: str
) -> None:
    """Whoever sits between the two nodes changes nothing unnoticed."""
    with Between(running.house) as wire:

        def edit(message: object) -> None:
            ticket = message.ticket  # type: ignore[attr-defined]
            ticket.payload = ticket.payload.replace(b'"slot":', b'"slot":1')

        wire.on_question = edit
        with pytest.raises(Denied, match="signature does not verify"):
            send(bank, question(running, victim))
    assert uses(running, f"c-{victim}") == 0
