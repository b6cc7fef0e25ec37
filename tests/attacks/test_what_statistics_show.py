"""The authority and the bank keep everything they see of sums, and look for values.

What the authority decrypts is uniform given the data: in every slot, those that are
added up and those that are not, in the guard bits and in the top bits, and in whole
blocks.  What the house sends the bank is uniform; only with the authority's totals does
it say anything, and that is the noisy sum.
"""

from collections.abc import Iterable

import numpy as np
import pytest

from protocols.aggregate import MODULUS
from protocols.slots import SLOT_BITS, unpack
from tests.sums import Sum, scale_of, scene

RUNS = 640
BINS = 16
# Chi-square of 15 degrees of freedom exceeds this once in 10^8.
LIMIT = 68.0
LARGE = (1 << 31) - 1  # so large that half of the slots carry


def uneven(numbers: Iterable[int], bits: int) -> float:
    """Return chi-square against 16 equal bins of numbers of so many bits."""
    found = np.array(list(numbers)) >> (bits - 4)
    counts = np.bincount(found.astype(np.int64), minlength=BINS)
    wanted = counts.sum() / BINS
    return float(((counts - wanted) ** 2 / wanted).sum())


@pytest.mark.parametrize(
    ("values", "groups"),
    [
        ([LARGE, 0, LARGE, 1], [0, -1, 0, -1]),  # others between
        ([0, 0, 0, 0], [0, -1, -1, 0]),
        ([LARGE, LARGE, LARGE, LARGE] * 2, [0] * 8),  # whole blocks
    ],
)
def test_what_the_authority_decrypts_is_uniform(
    values: list[int], groups: list[int]
) -> None:
    """By slot: 16 equal bins, the seven guard bits, the lowest bit."""
    key, base = scene()
    asked = Sum(values, groups, scale_of(1 << 31, 1000), key, base)
    size = key.public.bits // 8
    seen = [
        unpack(plain, range(4))
        for _ in range(RUNS)
        for plain in [asked.run().summed.decrypted]
        if len(plain) == size
    ]
    assert len(seen) == RUNS
    for slot in range(4):
        column = [int(slots[slot]) for slots in seen]
        assert uneven(column, SLOT_BITS) < LIMIT
        assert uneven((z & 127 for z in column), 7) < LIMIT
        assert uneven((z & 15 for z in column), 4) < LIMIT


def test_nor_does_it_see_which_slots_have_large_values() -> None:
    """Of two sums over opposite data, the same statistics of every slot."""
    key, base = scene()
    means = []
    for values in ([LARGE, 0, 0, 0], [0, LARGE, LARGE, LARGE]):
        asked = Sum(values, [0, -1, 0, -1], scale_of(1 << 31, 1000), key, base)
        drawn = [asked.run().summed.decrypted for _ in range(RUNS)]
        means.append(np.mean([unpack(plain, range(4)) for plain in drawn], axis=0))
    spread = (1 << SLOT_BITS) / np.sqrt(12 * RUNS)
    assert (abs(means[0] - means[1]) < 6 * spread * np.sqrt(2)).all()


def test_masks_and_totals_are_uniform_by_themselves() -> None:
    """Either is noise; their difference is the sum, give or take two noises."""
    key, base = scene()
    asked = Sum([5, 9, 9, 1], [0, -1, 0, 0], scale_of(10, 1000), key, base)
    told = [asked.run() for _ in range(RUNS)]
    masks = [int(t.made.masks[0, 0]) for t in told]
    totals = [int(t.summed.totals[0, 0]) for t in told]
    assert uneven(masks, SLOT_BITS) < LIMIT
    assert uneven(totals, SLOT_BITS) < LIMIT
    assert uneven((m & 127 for m in masks), 7) < LIMIT
    assert all(0 <= m < MODULUS for m in (*masks, *totals))
    assert abs(np.mean([t.released for t in told]) / 128 - 15) < 6
    correlation = np.corrcoef(masks, [t.released for t in told])[0, 1]
    assert abs(correlation) < 6 / np.sqrt(RUNS)
