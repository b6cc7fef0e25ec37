"""Crime: noise is rounded to whole units before it is added.

Then it hides a sum and leaves the seven guard bits bare.  There stand the carries out
of neighbours: subjects *outside* the group, whose chance of a carry is their value.
Who asks often enough reads it.
"""

import numpy as np
import pytest

from protocols import noise
from protocols.aggregate import UNIT
from protocols.noise import Scale
from tests.sums import Sum, scale_of, scene

RUNS = 700
CLIP = 1 << 31
SECRET = 1_400_000_000  # of a subject who is not in the group, next to one who is


def carries(asked: Sum) -> list[int]:
    """Ask often; list what the guard bits say."""
    low = [asked.run().released & (UNIT - 1) for _ in range(RUNS)]
    return [bits if bits < UNIT // 2 else bits - UNIT for bits in low]


def test_whole_units_show_a_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some hundred answers give its size; ours give nothing."""
    key, base = scene()
    asked = Sum([SECRET, 0, 0, 0], [-1, 0, -1, -1], scale_of(CLIP, 100_000), key, base)
    chance = UNIT * SECRET / 2**40
    deviation = np.sqrt(chance * (1 - chance) / RUNS)

    ours = carries(asked)
    assert len(set(ours)) > UNIT * 0.9  # every value of the bits
    assert abs(np.mean(ours) - chance) < 5 * UNIT / np.sqrt(12 * RUNS)
    assert np.std(ours) > UNIT / 4

    draw = Scale.draw
    monkeypatch.setattr(
        noise.Scale,
        "draw",
        lambda *given: draw(*given) // UNIT * UNIT,
    )
    bare = carries(asked)
    assert set(bare) == {0, 1}
    read = np.mean(bare) * 2**40 / UNIT
    assert abs(read - SECRET) < 5 * deviation * 2**40 / UNIT
    assert abs(read / SECRET - 1) < 0.45
