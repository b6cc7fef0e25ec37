"""What the bank committed to is replaced, or read out of its commitment."""

import secrets

import pytest

from contracts import bodies
from node.client import BankClient
from node.errors import Refused
from node.remote import ask
from node.status import to_wire
from node.wire.v1 import scoring_pb2
from protocols.call import Result, result_commitment, ticket_hash
from protocols.canon import Tag
from protocols.entry import Kind
from tests.german import German
from tests.hostile import journal, tampered

CODES = range(-64, 256)


def commit(
    bank: BankClient, running: German, ticket: bytes, digest: bytes, signer: str = ""
) -> list[int]:
    """Send a commitment over a bank's channel; return the places of the refused."""
    payload = Result(ticket, digest).to_bytes()
    signed = running.sign(signer or "jnrcb", Tag.COMMIT_RESULT, payload)
    message = scoring_pb2.CommitResultsRequest(results=[to_wire(signed)])
    return list(ask(bank._scoring.CommitResults, message, 5).refused)


def scored(bank: BankClient, subject: str) -> tuple[bytes, scoring_pb2.ScoreResponse]:
    """Ask, and return the ticket's hash with the reply."""
    kept: list[scoring_pb2.ScoreResponse] = []
    with tampered(bank, kept.append):
        bank.score("german-card", subject, consent=f"c-{subject}")
    assert bank.flush() == 0
    return ticket_hash(kept[0].answer.ticket.payload), kept[0]


def results(running: German, ticket: bytes) -> list[bodies.Result]:
    """List the commitments in the house's journal."""
    found = [
        bodies.Result.parse(entry.body)
        for entry in journal(running.house)
        if entry.kind is Kind.CALL_RESULT
    ]
    return [result for result in found if result.ticket == ticket]


def test_the_first_commitment_stands(
    running: German, bank: BankClient, victim: str
) -> None:
    """A bank that changes its mind is refused; the same again is passed over."""
    ticket, _ = scored(bank, victim)
    (first,) = results(running, ticket)
    assert commit(bank, running, ticket, secrets.token_bytes(32)) == [0]
    assert (
        commit(bank, running, ticket, Result.parse(first.result.payload).result) == []
    )
    assert results(running, ticket) == [first]


def test_one_commitment_alone(running: German, bank: BankClient, victim: str) -> None:
    """The method for one says by its status what the other says by places."""
    ticket, _ = scored(bank, victim)
    (first,) = results(running, ticket)
    message = scoring_pb2.CommitResultRequest(result=to_wire(first.result))
    ask(bank._scoring.CommitResult, message, 5)
    other = running.sign(
        "jnrcb", Tag.COMMIT_RESULT, Result(ticket, bytes(32)).to_bytes()
    )
    message = scoring_pb2.CommitResultRequest(result=to_wire(other))
    with pytest.raises(Refused, match="another commitment"):
        ask(bank._scoring.CommitResult, message, 5)
    assert results(running, ticket) == [first]


def test_one_false_commitment_among_good_ones(
    running: German, bank: BankClient, victim: str
) -> None:
    """The others stand; so a false one cannot keep them from the journal for ever."""
    ticket, _ = scored(bank, victim)
    (first,) = results(running, ticket)
    other = running.sign(
        "jnrcb", Tag.COMMIT_RESULT, Result(ticket, bytes(32)).to_bytes()
    )
    message = scoring_pb2.CommitResultsRequest(
        results=[to_wire(other), to_wire(first.result), to_wire(other)]
    )
    assert list(ask(bank._scoring.CommitResults, message, 5).refused) == [0, 2]
    assert results(running, ticket) == [first]


def test_nobody_commits_for_another(
    running: German, bank: BankClient, victim: str
) -> None:
    """Neither another bank, nor with another bank's signature, nor to nothing."""
    ticket, _ = scored(bank, victim)
    with running.bank("lsbank") as other:
        with pytest.raises(Refused) as caught:
            commit(other, running, ticket, bytes(32))
        assert caught.value.reason == "SIGNATURE_INVALID"
        assert commit(other, running, ticket, bytes(32), "lsbank") == [0]
    assert commit(bank, running, bytes(32), bytes(32)) == [0]
    assert len(results(running, ticket)) == 1


def test_no_salt_of_others_opens_a_commitment(
    running: German, bank: BankClient, victim: str
) -> None:
    """The authority's salts, the request's, none: not one of all codes fits.

    Under a salt that the authority knows, it would read the outcome out of the
    house's journal by trying all of them.
    """
    ticket, reply = scored(bank, victim)
    (result,) = results(running, ticket)
    digest = Result.parse(result.result.payload).result
    authority = running.authority
    known = [
        bytes(32),
        ticket,
        authority._salt(ticket, 0),
        authority._salt(ticket, 1),
        *(item.salt for item in bank.receipts()),
    ]
    tried = {result_commitment(salt, code) for salt in known for code in CODES}
    assert digest not in tried
    (kept,) = [item for item in bank.receipts() if item.reply == reply]
    assert kept.result_salt is not None
    fits = [c for c in CODES if result_commitment(kept.result_salt, c) == digest]
    assert len(fits) == 1


def test_a_commitment_says_nothing_by_its_size(running: German) -> None:
    """Scored, vetoed, insufficient data: payload and journal entry are as long."""
    with running.bank() as bank:
        sizes = {
            len(result.result.payload)
            for item in bank.receipts()
            if item.reply is not None
            for result in results(
                running, ticket_hash(item.reply.answer.ticket.payload)
            )
        }
    assert len(sizes) <= 1
