"""Crime: the bank learns on which side of its claim the value lies.

Three answers `too low` or `too high` read far more of a value than three times `no`:
with the side, 37 claims are a binary search.  There are two ways to tell it: the
authority releases its share of both comparisons, or a claim that nobody could make
pushes the total where the answer is another one.
"""

from collections import Counter

import numpy as np
import pytest

from protocols.comparison import evaluate
from protocols.drbg import Drbg
from protocols.lookup import NO_OUTCOME
from protocols.program import INSUFFICIENT_DATA, Group, Scorecard
from protocols.thr import ThrGate, _locked
from tests.test_lookup import chi_square

LIMIT, TOLERANCE = 1000, 3
GROUPS = (Group(INSUFFICIENT_DATA, (1,), -1, 1),)
STEPS = ((0, 0), (LIMIT - TOLERANCE, 1), (LIMIT + TOLERANCE + 1, 0))
CARD = Scorecard((1, 0), 0, 2 * LIMIT, 12, STEPS, GROUPS, Scorecard.layout(12, GROUPS))
VALUE = 400
N = 1 << 13


def verify(gate: ThrGate, added: int, seed: bytes) -> tuple[int, list[int]]:
    """Return the code, and all bits that the bank could see, for VALUE + added."""
    drbg = Drbg(seed)
    rho = np.array([[int.from_bytes(drbg.bytes("rho", 2), "big") % N, 9]])
    u = (np.array([[2 * (VALUE + added), 0]]) + rho) % [N, 64]
    tables, pads = gate.build(rho, (0,), drbg)
    rows = gate.pick(u, tables)
    return int(gate.open(u, rows, pads, (0,))[0]), [int(rows[0, -1]), int(u[0, 0])]


def both_shares(gate: ThrGate, added: int, seed: bytes) -> list[bool]:
    """Return what a bank reads if both of the authority's bits are released."""
    drbg = Drbg(seed)
    rho = np.array([[int.from_bytes(drbg.bytes("rho", 2), "big") % N, 9]])
    u = (np.array([[2 * (VALUE + added), 0]]) + rho) % [N, 64]
    tables, pads = gate.build(rho, (0,), drbg)
    stream = np.zeros((1, gate.table_bytes), np.uint8)
    gate._pad(pads[:32], stream, (0,))
    locks = (gate.pick(u, tables) ^ gate.pick(u, stream))[:, None, 1:33][0]
    keys = (
        tables[0, gate._score_at : gate._score_end].tobytes(),
        _locked(pads[32:], locks),
    )
    point = int(u[0, 0])
    found = []
    for threshold in (LIMIT - TOLERANCE, LIMIT + TOLERANCE + 1):
        xs = [point, (point - 2 * threshold) % N]
        bits = [evaluate(keys[party], party, 13, xs) for party in (0, 1)]
        shared = bits[0][0] ^ bits[0][1] ^ bits[1][0] ^ bits[1][1]
        found.append(bool(shared ^ (point < 2 * threshold)))
    return found


def test_both_shares_tell_the_side() -> None:
    """[x < t1] and [x < t2] each: the bank knows which way to go on."""
    gate = ThrGate(CARD, outside=0)
    too_high, too_low = LIMIT - 300, LIMIT - 500  # of the claims 300 and 500
    assert both_shares(gate, too_high, bytes(32)) == [False, False]
    assert both_shares(gate, too_low, bytes(32)) == [True, True]


def test_ours_tells_no_side() -> None:
    """One byte, their sum: a coin whatever the side, and one code for both."""
    gate = ThrGate(CARD, outside=0)
    for added in (LIMIT - 300, LIMIT - 500):
        seen = [
            verify(gate, added, number.to_bytes(32, "big")) for number in range(600)
        ]
        assert {code for code, _ in seen} == {0}
        shares = np.array([bits[0] for _, bits in seen])
        assert Counter(shares.tolist()).keys() == {0, 1}
        assert chi_square(shares, 2) < 5
        assert chi_square(np.array([bits[1] >> 8 for _, bits in seen]), 32) < 5


def test_a_claim_beyond_all_reason_tells_the_side_through_the_guard_zone() -> None:
    """What is added to reach just beyond `top` compares the value with what remains."""
    gate = ThrGate(CARD, outside=NO_OUTCOME)
    just_beyond = 2 * LIMIT + 1 - VALUE
    assert verify(gate, just_beyond - 1, bytes(32))[0] == 0  # VALUE is not larger
    assert verify(gate, just_beyond, bytes(32))[0] == -1  # and not smaller


@pytest.mark.parametrize("added", range(0, 1 << 12, 97))
def test_ours_says_the_same_beyond_all_reason(added: int) -> None:
    """Whatever a bank adds, it is told of one window and nothing else."""
    gate = ThrGate(CARD, outside=0)
    total = (VALUE + added) % (1 << 12)
    inside = LIMIT - TOLERANCE <= total <= LIMIT + TOLERANCE
    assert verify(gate, added, bytes(32))[0] == int(inside)
