"""Slots against their literal definition: sum of value_t 2^(40 t)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import FormatError
from protocols.slots import Field, pack, slots_per_block, split, unpack

TOP = (1 << 40) - 1
slot_values = st.lists(
    st.integers(0, TOP) | st.sampled_from([0, 1, TOP]), min_size=1, max_size=75
)


@given(slot_values)
@settings(max_examples=50)
def test_packing_is_a_sum(values: list[int]) -> None:
    """Slot t of the plaintext is value t, and nothing is beside it."""
    literal = sum(value << 40 * t for t, value in enumerate(values))
    assert literal == pack(np.array(values, np.int64))


@given(slot_values, st.data())
@settings(max_examples=50)
def test_unpacking_takes_the_slots_asked_for(
    values: list[int], data: st.DataObject
) -> None:
    """Whatever stands above the last slot, each slot reads as it was packed."""
    slots = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=10))
    above = data.draw(st.integers(0, (1 << 66) - 1)) << 40 * len(values)
    plain = (pack(np.array(values, np.int64)) + above).to_bytes(400, "little")
    assert [values[t] for t in slots] == unpack(plain, slots).tolist()


@given(st.integers(0, TOP), st.lists(st.integers(1, 12), min_size=1, max_size=4))
@settings(max_examples=50)
def test_splitting_takes_whole_fields(value: int, widths: list[int]) -> None:
    """A field is its bits of the slot, the guard bit included."""
    offsets = [sum(widths[:i]) for i in range(len(widths))]
    fields = [Field(o, w) for o, w in zip(offsets, widths, strict=True) if o + w <= 40]
    literal = [value >> field.offset & field.rows - 1 for field in fields]
    assert literal == split(np.array([value]), fields)[0].tolist()


@pytest.mark.parametrize(
    ("bits", "count"), [(512, 11), (2048, 49), (3072, 75), (4096, 100)]
)
def test_slots_leave_head_room(bits: int, count: int) -> None:
    """Slots, a mask of 64 bits more and one carry stay below n/2."""
    assert slots_per_block(bits) == count
    assert (1 << 40 * count + 65) <= 1 << bits - 2
    assert (1 << 40 * (count + 1) + 65) > 1 << bits - 2


@pytest.mark.parametrize("value", [-1, 1 << 40, -(1 << 40), 1 << 62])
def test_a_value_that_bleeds_is_refused_by_slot(value: int) -> None:
    """A borrow or an overflow would change the next subject; nobody sees the value."""
    with pytest.raises(FormatError, match="slot 1: expected") as refusal:
        pack(np.array([5, value, 7]))
    assert str(value) not in str(refusal.value)


@pytest.mark.parametrize(
    "values", [np.array([1.0]), np.array([[1]]), np.array([True])], ids=repr
)
def test_only_rows_of_integers_are_packed(values: np.ndarray) -> None:
    """A float would be cut, a table flattened: both are refused."""
    with pytest.raises(FormatError, match="one row of integers"):
        pack(values)
