"""Crime: insufficient_data counts the datasets that are present.

With the sign inverted, V is 0 exactly for those of whom nothing is known: a slot
that nobody ever filled scores as a person, and everyone else is refused.
"""

from dataclasses import replace

import pytest

from protocols.errors import FormatError
from protocols.lookup import FlatGate, authority_pick, bank_open, house_message
from protocols.paillier import FixedBase, PrivateKey, encrypt
from protocols.program import INSUFFICIENT_DATA, Group, Program, Scorecard

EMPTY = (0,) * 8
INVERTED = Group(INSUFFICIENT_DATA, (7,), 1, 0)


def test_inverted_an_empty_slot_would_score() -> None:
    """V = sum of `_present` is 0 for nobody's slot: no veto, total 0, outcome 0."""
    assert INVERTED.constant + INVERTED.sign * EMPTY[7] == 0


def test_such_a_card_is_refused(card: Scorecard) -> None:
    """The last group has sign -1 and counts down from the number of datasets."""
    with pytest.raises(FormatError, match="the one group of sign -1"):
        replace(card, groups=(card.groups[0], INVERTED))
    with pytest.raises(FormatError, match="does not cancel"):
        replace(card, groups=(card.groups[0], replace(card.groups[1], constant=0)))


def test_ours_knows_an_empty_slot(
    key: PrivateKey, base: FixedBase, card: Scorecard
) -> None:
    """A whole block that nobody filled is insufficient_data, slot by slot."""
    zeros = [encrypt(key.public, 0, base.power(bytes([i + 1]) * 32)) for i in range(8)]
    gate, slots = FlatGate(card), tuple(range(11))
    total = Program(card).run(key.public, zeros)
    message, pad_key = house_message(gate, key.public, base, total, slots, bytes(32))
    picked = authority_pick(gate, key, message)
    codes = bank_open(gate, picked.u, picked.rows, pad_key, slots)
    assert card.groups[1].name == INSUFFICIENT_DATA
    assert codes.tolist() == [-3] * 11
