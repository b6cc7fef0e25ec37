"""Crime: the score table ends where the totals end.

A total of -5, from a wrong limit or a custodian who lies, wraps round the table
and reads its last row: the best grade.
"""

from dataclasses import replace

import numpy as np
import pytest

from protocols.errors import FormatError
from protocols.lookup import FlatGate, authority_pick, bank_open, house_message
from protocols.paillier import FixedBase, PrivateKey, encrypt
from protocols.program import OUT_OF_RANGE, Program, Scorecard
from protocols.slots import Ints, pack


def test_without_a_guard_zone_minus_five_is_the_best_grade(card: Scorecard) -> None:
    """The table of 1301 rows, by itself, reads outcome 3."""
    rows = [card.code_of((0, 0, *[0] * 5, 1))] * (card.top + 1)
    for first, outcome in card.steps:
        rows[first:] = [outcome] * (card.top + 1 - first)
    assert rows[-5 % len(rows)] == 3


def test_a_card_without_one_is_refused(card: Scorecard) -> None:
    """2^m holds the totals and as many again, or there is no card."""
    with pytest.raises(FormatError, match="no guard zone"):
        replace(card, m=11)


@pytest.mark.parametrize("wrong", [-1, -5, 1301, 2600, 4000])
def test_ours_reads_no_outcome(
    key: PrivateKey,
    base: FixedBase,
    card: Scorecard,
    people: Ints,
    wrong: int,
) -> None:
    """Beyond the top: OUT_OF_RANGE.  Below 0: that, or a veto; never a grade."""
    plain = [int(pack(row)) for row in people]
    t = 4
    # weight 10: move the score of slot t to `wrong`, straight in the plaintext
    score = card.total_of(people[:, t])
    columns = [encrypt(key.public, p, base.power(b"\3" * 32)) for p in plain]
    total = Program(card).run(key.public, columns)
    moved = total * (1 + (2 * (wrong - score) << 40 * t) * key.public.n)
    gate = FlatGate(card)
    message, pad_key = house_message(
        gate, key.public, base, moved % key.public.n2, (t, t + 1), bytes(32)
    )
    picked = authority_pick(gate, key, message)
    codes = bank_open(gate, picked.u, picked.rows, pad_key, (t, t + 1))
    assert codes[0] < 0
    if wrong > 0:
        neighbour = card.code_of(people[:, t + 1])
        assert np.array_equal(codes, [OUT_OF_RANGE, neighbour])
