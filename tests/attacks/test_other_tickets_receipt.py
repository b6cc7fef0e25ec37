"""Every part of the reply is genuine, but not all of them are of this call."""

import pytest

from node.client import BankClient
from node.errors import ReplyRefused
from node.wire.v1 import scoring_pb2
from tests.hostile import tampered


@pytest.mark.parametrize(
    ("part", "word"),
    [
        ("request", "another request"),
        ("ticket", "another request"),
        ("receipt", "another ticket"),
        ("box", "proves nothing"),
        ("pads", "pads"),
        ("permit", "not the one the receipt names"),
        ("outcome", "another entry than the outcome"),
    ],
)
def test_parts_of_two_calls_do_not_go_together(
    bank: BankClient, victim: str, another: str, part: str, word: str
) -> None:
    """Each part, put in from another call of the same bank, is refused by name."""
    kept: list[scoring_pb2.ScoreResponse] = []
    with tampered(bank, kept.append):
        bank.score("german-card", another, consent=f"c-{another}")
    other = scoring_pb2.ScoreResponse.FromString(kept[0].SerializeToString())

    def mix(reply: scoring_pb2.ScoreResponse) -> None:
        holder, source = reply.answer, other.answer
        match part:
            case "outcome":
                reply.outcome.CopyFrom(other.outcome)
            case "box":
                holder.box = source.box
            case "pads":
                holder.pads = source.pads
            case _:
                getattr(holder, part).CopyFrom(getattr(source, part))

    with tampered(bank, mix), pytest.raises(ReplyRefused, match=word):
        bank.score("german-card", victim, consent=f"c-{victim}")


def test_a_repeat_receipt_is_no_receipt(bank: BankClient, victim: str) -> None:
    """The authority's leave to repeat is signed as something else."""
    kept: list[scoring_pb2.ScoreResponse] = []
    with tampered(bank, kept.append):
        bank.score("german-card", victim, consent=f"c-{victim}")
        bank.score("german-card", victim, consent=f"c-{victim}")
    repeat = kept[1].repeat

    def swap(reply: scoring_pb2.ScoreResponse) -> None:
        reply.answer.receipt.CopyFrom(repeat.receipt)

    with tampered(bank, swap), pytest.raises(ReplyRefused, match="not valid"):
        bank.score("german-card", victim, consent=f"c-{victim}")
