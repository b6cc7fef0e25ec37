"""The house asks without having journalled it, or shows another journal."""

from dataclasses import replace

import pytest

from contracts import bodies
from node.client import BankClient
from node.consultation import Question as Consulted
from node.errors import Denied, Unreachable
from node.heads import Link, TreeHead
from node.wire.v1 import common_pb2, evaluation_pb2
from protocols.entry import Entry, Kind
from protocols.note import Checkpoint, LogProof
from protocols.tlog import Tree, leaf_hash
from tests.german import German
from tests.hostile import Between, EvilHouse, Made, Question, question, send, uses


def forge(
    evil: EvilHouse, asked: Question, made: Made, entries: list[bytes]
) -> evaluation_pb2.EvaluateRequest:
    """Write an intent into a journal of one's own, signed with the real key."""
    body = bodies.Intent(asked.signed, evil.sign(made.ticket), bytes(32)).to_body()
    intent = Entry(Kind.CALL_INTENT, 1, "house", asked.call.hex(), body).to_bytes()
    tree = Tree(map(leaf_hash, [*entries, intent]))
    index = len(entries)
    origin = evil.house.ledger.vkey.name
    note = Checkpoint(origin, tree.size, tree.root()).sign(evil.keys.journal)
    proof = LogProof(index, tuple(tree.inclusion(index, tree.size)), note, intent)
    real = evil.house.ledger.head
    link = Link(TreeHead(real.size, real.root), ())
    if tree.size > real.size:
        consistency = tuple(tree.consistency(real.size, tree.size))
        link = Link(TreeHead(real.size, real.root), consistency)
    honest = evil.house.consultation._message(
        Consulted(asked.signed, asked.opening, evil.sign(made.ticket), 0, made.message),
        common_pb2.Logged(proof=proof.to_text()),
        [
            common_pb2.HeadLink(
                size=link.head.size,
                root=link.head.root,
                consistency=list(link.consistency),
            )
        ],
    )
    assert isinstance(honest, evaluation_pb2.EvaluateRequest)
    return honest


def refused(evil: EvilHouse, message: evaluation_pb2.EvaluateRequest) -> str:
    """Send it past the house's own client, and return the reason."""
    with pytest.raises(Denied) as caught:
        evil.house.consultation._authority.evaluate(message)
    return caught.value.reason


def warm(running: German, bank: BankClient, subject: str) -> None:
    """Let the authority have seen the journal as it is."""
    send(bank, question(running, subject))


def test_an_intent_of_another_call_is_none(
    running: German, bank: BankClient, victim: str, another: str, evil: EvilHouse
) -> None:
    """A proof of an entry that says something else is no proof of this call."""
    warm(running, bank, another)
    other = question(running, another)
    foreign = evil.intend(other, evil.compute(other).ticket)
    asked = question(running, victim)
    made = evil.compute(asked)
    assert evil.refused(asked, made, foreign).reason == "INTENT_UNPROVEN"
    asked = question(running, victim)
    made = evil.compute(asked)
    assert evil.refused(asked, made, 0).reason == "INTENT_UNPROVEN"
    assert uses(running, f"c-{victim}") == 0


def test_an_intent_with_another_ticket_is_none(
    running: German, victim: str, evil: EvilHouse
) -> None:
    """What is journalled must be what is asked, to the byte."""
    asked = question(running, victim)
    made = evil.compute(asked)
    later = replace(made.ticket, issued_ms=made.ticket.issued_ms + 1)
    intent = evil.intend(asked, later)
    assert evil.refused(asked, made, intent).reason == "INTENT_UNPROVEN"
    assert uses(running, f"c-{victim}") == 0


def test_no_intent_at_all(running: German, bank: BankClient, victim: str) -> None:
    """No proof, a proof without its entry, a proof nobody signed."""
    for proof in (
        "",
        "c2sp.org/tlog-proof@v1\nindex 0\n\n",
        None,
    ):
        with Between(running.house) as wire:

            def spoil(message: evaluation_pb2.EvaluateRequest) -> None:
                if proof is None:  # noqa: B023  called at once
                    parsed = LogProof.parse(message.intent.proof)
                    message.intent.proof = replace(parsed, extra=b"").to_text()
                else:
                    message.intent.proof = proof  # noqa: B023

            wire.on_question = spoil
            with pytest.raises(Denied) as caught:
                send(bank, question(running, victim))
            assert caught.value.reason == "INTENT_UNPROVEN"
    assert uses(running, f"c-{victim}") == 0


def test_a_forked_journal_is_refused(
    running: German, bank: BankClient, victim: str, another: str, evil: EvilHouse
) -> None:
    """As long as the real one and longer, signed by the real key: not its growth."""
    warm(running, bank, another)
    asked = question(running, victim)
    made = evil.compute(asked)
    size = evil.house.ledger.head.size
    real = list(evil.house.ledger.entries(0, size))
    forked = [*real[:-2], *[real[0]] * 4]
    assert refused(evil, forge(evil, asked, made, forked)) == "INTENT_UNPROVEN"
    same_size = forked[: size - 1]
    asked = question(running, victim)
    made = evil.compute(asked)
    assert refused(evil, forge(evil, asked, made, same_size)) == "INTENT_UNPROVEN"
    assert uses(running, f"c-{victim}") == 0
    warm(running, bank, victim)  # the real journal is still followed


def test_a_journal_by_another_key_is_refused(
    running: German, bank: BankClient, victim: str, evil: EvilHouse
) -> None:
    """The authority's own key, or the house's for tickets, signs no checkpoint."""
    asked = question(running, victim)
    made = evil.compute(asked)
    size = evil.house.ledger.head.size
    real = list(evil.house.ledger.entries(0, size))
    keys = evil.keys
    evil.keys = replace(keys, journal=keys.ticket)
    assert refused(evil, forge(evil, asked, made, real)) == "INTENT_UNPROVEN"
    warm(running, bank, victim)


def test_a_rewound_journal_stops_the_house(
    running: German, bank: BankClient, victim: str, another: str, evil: EvilHouse
) -> None:
    """A house that lost its last entries is not answered, and says why."""
    warm(running, bank, another)
    asked = question(running, victim)
    made = evil.compute(asked)
    size = evil.house.ledger.head.size
    real = list(evil.house.ledger.entries(0, size))
    message = forge(evil, asked, made, real[: size // 2])
    del message.links[:]
    with pytest.raises(Exception, match="expected a head linked to the one of"):
        evil.house.consultation._authority.evaluate(message)
    with pytest.raises(Unreachable, match="has seen a longer journal"):
        evil.house.consultation._resync(size + 10**6)
    assert uses(running, f"c-{victim}") == 0
