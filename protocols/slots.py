r"""Slots and fields: many subjects in one plaintext, several numbers a subject.

::

    plaintext   | head room, 66 bits | slot K-1 | ... | slot 1 | slot 0 |
    slot        40 bits, subject t at bit 40 t
    field       bits offset .. offset + bits of a slot; from bit 40 on, of the
                same slot of a second plaintext

All little endian: slot t is bytes 5 t to 5 t + 5 of the plaintext.  Of the head
room 64 bits hide the plaintext under a mask of that much more length, one takes
the carry of adding the mask, and one keeps the sum below n (n/2 is enough).
49 slots at 2048 bits, 75 at 3072.

A slot is a cell of a sum: whoever packs a negative number, or one of more than
40 bits, changes the subject in the next slot.  So `pack` refuses both.

>>> slots_per_block(2048), slots_per_block(3072)
(49, 75)
>>> plain = pack(np.array([7, 0, 1 + (5 << 14)])).to_bytes(15, "little")
>>> unpack(plain, [2, 0]).tolist()
[81921, 7]
>>> split(unpack(plain, [2, 0]), (Field(0, 14), Field(14, 6))).tolist()
[[1, 5], [7, 0]]
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocols.errors import FormatError
from protocols.paillier import HIDING_BITS

Ints: TypeAlias = NDArray[np.int64]

SLOT_BYTES = 5
SLOT_BITS = 8 * SLOT_BYTES
HEAD_ROOM_BITS = HIDING_BITS + 2
_WORD = 8  # bytes of the int64 that a slot travels in


@dataclass(frozen=True, slots=True)
class Field:
    """Bits `offset` to `offset + bits` of a slot; the lowest is the guard bit.

    From bit 40 on they are those of the same slot in a second plaintext; a field
    lies in one of the two.
    """

    offset: int
    bits: int

    @property
    def part(self) -> int:
        """Which plaintext it lies in: 0 or 1."""
        return self.offset // SLOT_BITS

    @property
    def lowest(self) -> int:
        """Its lowest bit in that plaintext's slot."""
        return self.offset % SLOT_BITS

    @property
    def rows(self) -> int:
        """How many values the field can show."""
        return 1 << self.bits


def slots_per_block(bits: int) -> int:
    """K, the subjects in one plaintext of a key of `bits` bits."""
    return (bits - 1 - HEAD_ROOM_BITS) // SLOT_BITS


def pack(values: Ints) -> int:
    """Put values[t], 0 <= value < 2^40, into slot t.

    Raises `FormatError` for anything else; the message names the slot only,
    because the value may be somebody's.
    """
    return int.from_bytes(pack_rows(values[None]), "little")


def pack_rows(values: Ints) -> bytes:
    """Pack many: (plaintexts, slots) -> each little endian, of 5 bytes a slot."""
    if values.ndim != 2 or values.dtype.kind not in "iu":  # noqa: PLR2004
        raise FormatError("expected one row of integers, a value for each slot")
    wrong = np.argwhere((values < 0) | (values >= 1 << SLOT_BITS))
    if wrong.size:
        raise FormatError(
            f"slot {wrong[0, 1]}: expected a value of 0 to 2^{SLOT_BITS} - 1"
        )
    words = np.ascontiguousarray(values, "<i8").view(np.uint8)
    return words.reshape(*values.shape, _WORD)[:, :, :SLOT_BYTES].tobytes()


def unpack(plain: bytes, slots: Sequence[int]) -> Ints:
    """Read the given slots of a little-endian plaintext: (slots,) values.

    Every bit pattern is some value: there is nothing here to refuse.
    """
    whole = len(plain) // SLOT_BYTES * SLOT_BYTES
    cells = np.frombuffer(plain, np.uint8)[:whole].reshape(-1, SLOT_BYTES)
    words = np.zeros((len(slots), _WORD), np.uint8)
    words[:, :SLOT_BYTES] = cells[np.asarray(slots, np.int64)]
    return words.view("<i8")[:, 0].astype(np.int64, copy=False)


def split(values: Ints, fields: Sequence[Field]) -> Ints:
    """Cut slot values into whole fields, guard bits included: (slots, fields)."""
    return split_parts((values,), fields)


def split_parts(parts: Sequence[Ints], fields: Sequence[Field]) -> Ints:
    """Cut the slot values of one or two plaintexts into fields: (slots, fields)."""
    values = np.stack([parts[field.part] for field in fields], axis=1)
    lowest = np.array([field.lowest for field in fields], np.int64)
    masks = np.array([field.rows - 1 for field in fields], np.int64)
    return values >> lowest & masks
