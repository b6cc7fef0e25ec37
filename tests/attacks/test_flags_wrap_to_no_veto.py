"""Crime: 32 flags of a veto group in a field of 6 bits.

All 32 set, doubled, are 64: 0 modulo 2^6, which reads "no veto".  The worst
debtor of all is the one who passes.
"""

from dataclasses import replace

import numpy as np
import pytest

from protocols.errors import FormatError
from protocols.lookup import FlatGate, authority_pick, bank_open, house_message
from protocols.paillier import FixedBase, PrivateKey, encrypt
from protocols.program import INSUFFICIENT_DATA, Group, Program, Scorecard
from protocols.slots import Field, pack

GROUPS = (
    Group("debtor", tuple(range(32)), 1, 0),
    Group(INSUFFICIENT_DATA, (32,), -1, 1),
)
CARD = Scorecard(
    weights=(0,) * 33,
    shift=0,
    top=0,
    m=1,
    steps=((0, 0),),
    groups=GROUPS,
    fields=Scorecard.layout(1, GROUPS),
)


def test_in_six_bits_they_wrap() -> None:
    """2 x 32 modulo 64."""
    assert 2 * 32 % (1 << 6) == 0


def test_a_card_with_such_a_field_is_refused() -> None:
    """The layout is computed from the group's size, not taken on trust."""
    with pytest.raises(FormatError, match="not laid out"):
        replace(CARD, fields=(Field(0, 2), Field(2, 6), Field(8, 6)))


def test_ours_has_room_for_all(key: PrivateKey, base: FixedBase) -> None:
    """0, 1, 31 and 32 flags, in four slots: one of them passes."""
    people = np.zeros((33, 11), np.int64)
    people[:32, 1:2], people[:31, 2], people[5, 3], people[32] = 1, 1, 1, 1
    columns = [
        encrypt(key.public, pack(row), base.power(bytes([i + 1]) * 32))
        for i, row in enumerate(people)
    ]
    gate, slots = FlatGate(CARD), (0, 1, 2, 3)
    total = Program(CARD).run(key.public, columns)
    message, pad_key = house_message(gate, key.public, base, total, slots, bytes(32))
    picked = authority_pick(gate, key, message)
    codes = bank_open(gate, picked.u, picked.rows, pad_key, slots)
    assert codes.tolist() == [0, -2, -2, -2]
