"""Crime: a comparison that is off by one, or by half of one.

`at least 50,000` that means more than 50,000 refuses whoever has just that; and a
comparison that forgets the carry under the score is right for one half of the calls.
"""

from collections.abc import Callable

import numpy as np
import pytest

from protocols.drbg import Drbg
from protocols.program import INSUFFICIENT_DATA, Group, Scorecard
from protocols.thr import ThrGate

GROUPS = (Group(INSUFFICIENT_DATA, (1,), -1, 1),)
T = 50_000
CARD = Scorecard(
    (1, 0), 0, 2**30 - 1, 31, ((0, 0), (T, 1)), GROUPS, Scorecard.layout(31, GROUPS)
)
CASES = [(total, carry) for total in (0, T - 1, T, T + 1, CARD.top) for carry in (0, 1)]

Edges = tuple[tuple[int, int], ...]


def codes(change: Callable[[Edges], Edges]) -> list[int]:
    """Open every case, with the thresholds changed."""
    gate, found = ThrGate(CARD), []
    gate._edges = change(gate._edges)
    for number, (total, carry) in enumerate(CASES):
        rho = np.array([[(987_654_321 * number + 12_345) % 2**32, 9]])
        u = (np.array([[2 * total + carry, 0]]) + rho) % [2**32, 64]
        tables, pads = gate.build(rho, (0,), Drbg(bytes([number]) * 32))
        found += gate.open(u, gate.pick(u, tables), pads, (0,)).tolist()
    return found


def test_ours_is_exact() -> None:
    """At the threshold and beside it, with the carry and without."""
    assert codes(lambda edges: edges) == [int(total >= T) for total, _ in CASES]


@pytest.mark.parametrize(
    ("crime", "change"),
    [
        ("one too many", lambda e: ((e[0][0] + 2, e[0][1]), *e[1:])),
        ("one too few", lambda e: ((e[0][0] - 2, e[0][1]), *e[1:])),
        ("the carry counts", lambda e: ((e[0][0] + 1, e[0][1]), *e[1:])),
        ("the carry is borrowed", lambda e: ((e[0][0] - 1, e[0][1]), *e[1:])),
        ("not doubled", lambda e: tuple((edge // 2, x) for edge, x in e)),
    ],
)
def test_each_of_these_is_noticed(crime: str, change: Callable[[Edges], Edges]) -> None:
    """The cases above tell every one of these from ours."""
    assert codes(change) != [int(total >= T) for total, _ in CASES], crime
