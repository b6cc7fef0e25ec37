"""Crime: one pad covers all rows of a table.

The authority holds every row.  Xored with each other the pad drops out, the
steps of the outcome table show, and where they lie is the mask: score = u - rho.
"""

import numpy as np

from protocols.drbg import Drbg
from protocols.lookup import FlatGate, _score_entries
from protocols.program import Scorecard
from protocols.slots import Ints

RHO, PAD = 4242, 0xA7


def rotations_that_fit(card: Scorecard, table: Ints) -> list[int]:
    """Try every rotation of the public outcome table against a padded one."""
    entries = _score_entries(card)
    found = []
    for rho in range(len(entries)):
        pad = table ^ np.roll(entries, rho)
        if (pad == pad[0]).all():
            found.append(rho)
    return found


def test_with_one_pad_the_authority_reads_the_mask(card: Scorecard) -> None:
    """One table, no key: the rotation is found and with it the score."""
    table = np.roll(_score_entries(card), RHO) ^ PAD
    assert rotations_that_fit(card, table) == [RHO]
    u = (2 * 777 + RHO) % len(table)
    assert (u - RHO) % len(table) >> 1 == 777


def test_ours_has_a_pad_for_every_row(card: Scorecard) -> None:
    """No rotation fits, in the score table of any slot."""
    gate, slots = FlatGate(card), (0, 1, 2)
    rho = np.tile([RHO, 0, 0], (3, 1))
    tables, _ = gate.build(rho, slots, Drbg(bytes(32)))
    start = gate._score_at
    for table in tables[:, start : start + card.fields[0].rows]:
        assert rotations_that_fit(card, table) == []


def test_slots_and_calls_share_no_pad(card: Scorecard) -> None:
    """Equal tables in two slots, or under two seeds, look unrelated."""
    gate, rho = FlatGate(card), np.tile([RHO, 0, 0], (2, 1))
    first, key = gate.build(rho, (0, 1), Drbg(bytes(32)))
    second, other = gate.build(rho, (0, 1), Drbg(bytes([1]) * 32))
    assert key != other
    # 1 byte in 256 agrees by chance
    for a, b in ((first[0], first[1]), (first[0], second[0]), (first[1], second[1])):
        assert (a == b).mean() < 0.01
