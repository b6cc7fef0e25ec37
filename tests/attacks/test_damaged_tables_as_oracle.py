"""Crime: the house puts outcomes that do not exist in half of a table.

If the bank's client raises on a byte that is no outcome, the house learns from
the missing commitment, or the retry, on which side of its cut the score lies.
"""

import numpy as np

from protocols.lookup import FlatGate, authority_pick, bank_open, house_message
from protocols.paillier import Ciphertext, FixedBase, PrivateKey
from protocols.program import OUT_OF_RANGE, Scorecard
from protocols.slots import Ints


def test_ours_opens_whatever_is_inside(
    key: PrivateKey, base: FixedBase, card: Scorecard, total: Ciphertext
) -> None:
    """All 256 bytes in every place of the rows read as some code; none raises."""
    gate = FlatGate(card)
    message, pad_key = house_message(gate, key.public, base, total, (4,), bytes(32))
    picked = authority_pick(gate, key, message)
    for place in range(gate.row_bytes):
        for damage in range(256):
            rows = picked.rows.copy()
            rows[0, place] ^= damage
            code = bank_open(gate, picked.u, rows, pad_key, (4,))[0]
            assert code in (0, 1, 2, 3, OUT_OF_RANGE, -2, -3)


def test_a_damaged_slot_leaves_the_others_alone(
    key: PrivateKey, base: FixedBase, card: Scorecard, people: Ints, total: Ciphertext
) -> None:
    """In a batch only the damaged subject's code changes."""
    gate, slots = FlatGate(card), tuple(range(11))
    message, pad_key = house_message(gate, key.public, base, total, slots, bytes(32))
    picked = authority_pick(gate, key, message)
    rows = picked.rows.copy()
    rows[6] ^= 0x5A
    codes = bank_open(gate, picked.u, rows, pad_key, slots)
    expected = np.array([card.code_of(people[:, t]) for t in slots])
    assert np.flatnonzero(codes != expected).tolist() == [6]
