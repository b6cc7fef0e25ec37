"""The house asks the authority twice with one request of the bank."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from contracts.decide import Reason
from node.client import BankClient
from node.errors import Denied
from tests.german import German
from tests.hostile import (
    EvilHouse,
    Made,
    Question,
    kinds,
    permits,
    question,
    reasons,
    send,
    uses,
)


def mismatch(evil: EvilHouse, asked: Question, made: Made) -> bool:
    """Tell whether the journal holds REPLAY_MISMATCH against a question."""
    refusal = evil.refused(asked, made)
    return Reason.REPLAY_MISMATCH in reasons(evil.german.authority, refusal)


def test_one_request_one_ticket(running: German, victim: str, evil: EvilHouse) -> None:
    """Another mask, another slot, another ticket: REPLAY_MISMATCH, no decryption."""
    asked = question(running, victim)
    first = evil.compute(asked)
    answer = evil.evaluate(asked, first)
    assert mismatch(evil, asked, evil.compute(asked))
    moved = replace(first, ticket=replace(first.ticket, block=first.ticket.block + 1))
    assert mismatch(evil, asked, moved)
    assert mismatch(evil, asked, evil.repeat(asked, first))
    # The first one may be asked again, and is answered from the store.
    assert evil.evaluate(asked, first) == answer
    assert kinds(running.authority, asked.call) == [
        "call.permit",
        "call.done",
        *3 * ["call.deny"],
    ]
    assert uses(running, f"c-{victim}") == 1


def test_sixteen_tickets_at_once(running: German, victim: str, evil: EvilHouse) -> None:
    """Of all that are in flight one is permitted, whichever comes first."""
    asked = question(running, victim)
    made = [evil.compute(asked) for _ in range(16)]
    intents = [evil.intend(asked, item.ticket) for item in made]
    start = threading.Barrier(16)

    def ask(i: int) -> str:
        start.wait()
        try:
            evil.evaluate(asked, made[i], intents[i])
        except Denied as refusal:
            found = reasons(running.authority, refusal)
            return "mismatch" if Reason.REPLAY_MISMATCH in found else "refused"
        return "answered"

    with ThreadPoolExecutor(16) as pool:
        told = sorted(pool.map(ask, range(16)))
    assert told == ["answered", *15 * ["mismatch"]]
    assert len(permits(running, f"c-{victim}")) == uses(running, f"c-{victim}") == 1


def test_one_ticket_sixteen_times_at_once(
    running: German, victim: str, evil: EvilHouse
) -> None:
    """The same question in flight many times has one permit, one reply, one done."""
    asked = question(running, victim)
    made = evil.compute(asked)
    intent = evil.intend(asked, made.ticket)
    with ThreadPoolExecutor(16) as pool:
        answers = [
            future.result()
            for future in [
                pool.submit(evil.evaluate, asked, made, intent) for _ in range(16)
            ]
        ]
    assert len({answer.SerializeToString() for answer in answers}) == 1
    assert kinds(running.authority, asked.call) == ["call.permit", "call.done"]
    assert uses(running, f"c-{victim}") == 1


def test_a_repeat_of_what_was_never_answered(
    running: German, bank: BankClient, victim: str, another: str, evil: EvilHouse
) -> None:
    """Free is only a bank's own answer to the same question on the same data."""
    send(bank, question(running, another))
    theirs = question(running, another, bank="lsbank")
    others = evil.compute(theirs)
    evil.evaluate(theirs, others)  # the other bank's answer about the other subject
    asked = question(running, victim)
    never = evil.compute(asked)
    for earlier in (never, others):
        again = question(running, victim)
        claimed = evil.repeat(again, earlier)
        assert evil.refused(again, claimed).reason == "TICKET_INVALID"
    mine = question(running, another)
    crossed = evil.repeat(mine, others)  # right subject, another bank's answer
    assert evil.refused(mine, crossed).reason == "TICKET_INVALID"
    answered = question(running, victim)
    real = evil.compute(answered)
    evil.evaluate(answered, real)
    again = question(running, victim)
    claimed = evil.repeat(again, real)
    older = replace(
        claimed.ticket.inputs[0], version=claimed.ticket.inputs[0].version + 1
    )
    moved = replace(claimed.ticket, inputs=(older, *claimed.ticket.inputs[1:]))
    refusal = evil.refused(again, replace(claimed, ticket=moved))
    assert refusal.reason == "TICKET_INVALID"  # on other data
    fresh = question(running, victim)
    assert evil.evaluate(fresh, evil.repeat(fresh, real)).receipt.payload
    millibits = [permit.millibits for permit in permits(running, f"c-{victim}")]
    assert millibits == [running.contract.millibits, 0]


def test_a_request_without_its_bank(
    running: German, victim: str, evil: EvilHouse
) -> None:
    """The house asks at will: no bank signed it, so nothing is decrypted."""
    asked = question(running, victim)
    for forged in (
        question(running, victim, signer="lsbank"),
        type(asked)(replace(asked.signed, signature=bytes(64)), asked.opening),
        type(asked)(evil.sign(evil.compute(asked).ticket), asked.opening),
    ):
        with pytest.raises(Exception, match=r"signature|version|another request"):
            evil.evaluate(forged, evil.compute(asked))
    assert uses(running, f"c-{victim}") == 0
    # A forged one does not use the real one's jti up.
    assert evil.evaluate(asked, evil.compute(asked)).box
