"""Crime: ask for a sum with somebody and without, and subtract.

Two filters that differ by one subject, or one filter before and after somebody
objects.  Without noise the difference is the subject's value.  With the noise of either
node, whatever the bank concludes it would conclude almost as often from the data
without the subject: at most e^epsilon times as often, in every set of outcomes.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from tests.sums import Sum, Told, scale_of, scene

VALUES = (3, 20, 7, 0, 12, 19, 4, 8, 15, 2, 20)
VICTIM = 1  # whose 20 is the most that anybody has
CLIP, EPSILON = 20, 0.5
RUNS = 1500
SIGMAS = 5

View = Callable[[Told], int]


def views(*seen: View) -> list[tuple[list[int], list[int]]]:
    """Run both sums often; list what each view saw of one and of the other."""
    key, base = scene()
    scale = scale_of(CLIP, round(1000 * EPSILON))
    everybody = [0] * len(VALUES)
    without = [-1 if i == VICTIM else 0 for i in range(len(VALUES))]
    runs = [
        [Sum(VALUES, groups, scale, key, base).run() for _ in range(RUNS)]
        for groups in (everybody, without)
    ]
    return [([view(t) for t in runs[0]], [view(t) for t in runs[1]]) for view in seen]


def worst_ratio(one: Sequence[int], other: Sequence[int]) -> float:
    """Return by how much the private bound is broken in any bin or tail, in sigmas."""
    edges = np.quantile(np.concatenate([one, other]), np.linspace(0, 1, 13))[1:-1]
    worst = -math.inf
    for a, b in ((one, other), (other, one)):
        hist_a = np.bincount(np.searchsorted(edges, a), minlength=12) / len(a)
        hist_b = np.bincount(np.searchsorted(edges, b), minlength=12) / len(b)
        tails = [np.cumsum(h) for h in (hist_a, hist_b)]
        for p, q in (*zip(hist_a, hist_b, strict=True), *zip(*tails, strict=True)):
            bound = math.exp(EPSILON) * q
            sigma = math.sqrt((p * (1 - p) + math.exp(2 * EPSILON) * q) / len(a))
            worst = max(worst, (p - bound) / max(sigma, 1e-9))
    return float(worst)


def test_a_difference_tells_next_to_nothing() -> None:
    """Nor does it to a bank with either node, which takes that node's noise off."""
    bank, with_house, with_authority, bare = views(
        lambda told: told.released,
        lambda told: told.released - told.ours,
        lambda told: told.released - told.theirs,
        lambda told: told.released - told.ours - told.theirs,
    )
    for seen in (bank, with_house, with_authority):
        assert worst_ratio(*seen) < SIGMAS
        means = [sum(numbers) / RUNS for numbers in seen]
        spread = np.std(seen[0]) / math.sqrt(RUNS)
        assert abs(means[0] - means[1] - 128 * VALUES[VICTIM]) < 10 * spread
    # Both nodes together take both off: then it is the value, and the test sees it.
    assert worst_ratio(*bare) > SIGMAS
    assert {round((a - b) / 128) for a, b in zip(*bare, strict=True)} == {20}
