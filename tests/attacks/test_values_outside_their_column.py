"""Crime: a flag of 2, a negative amount, an amount above the limit of its column.

The compiler's sums (top, the size of a field, the guard zone) hold only for
values within limits, so the custodian refuses the others before encryption.
"""

import numpy as np
import pytest

from protocols.blocks import encrypt_block
from protocols.drbg import Drbg
from protocols.errors import FormatError
from protocols.paillier import FixedBase
from protocols.slots import Ints

LIMITS = (100, 100, *[1] * 6)


@pytest.mark.parametrize(
    ("column", "value"),
    [(0, -1), (0, 101), (1, 1 << 40), (2, 2), (2, -1), (7, 2), (7, -5)],
)
def test_ours_refuses_it_by_place(
    base: FixedBase, people: Ints, column: int, value: int
) -> None:
    """Column and slot are named; the value, which is somebody's, is not."""
    values = people.copy()
    values[column, 9] = value
    with pytest.raises(FormatError) as refusal:
        encrypt_block(base, Drbg(bytes(32)), 0, values, LIMITS)
    place, _, expectation = str(refusal.value).partition(": ")
    assert place == f"column {column}, slot 9"
    assert expectation == f"expected a value of 0 to {LIMITS[column]}"


def test_floats_are_not_rounded_in_silence(base: FixedBase, people: Ints) -> None:
    """0.7 of a flag is no flag."""
    with pytest.raises(FormatError, match="integers"):
        encrypt_block(base, Drbg(bytes(32)), 0, people * np.float64(0.7), LIMITS)
