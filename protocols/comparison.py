r"""A comparison in two keys: either alone says nothing, both evaluate [x < alpha].

[S]tandard: the distributed comparison function of Boyle, Chandran, Gilboa, Gupta,
Ishai, Kumar and Rathee, "Function Secret Sharing for Mixed-Mode and Fixed-Point
Secure Computation", eprint 2020/1392, figure 1, with outputs in Z_2.  A dealer makes
two keys for an alpha; then for every public x of the same number of bits

    evaluate(key 0, x) xor evaluate(key 1, x) = 1 if x < alpha, else 0

A key is a path in a binary tree of pseudorandom seeds, one level a bit of x.  On the
path to alpha the two parties hold unrelated seeds and opposite control bits; as soon
as x leaves it, a correction word makes seeds and bits equal, and from there on all that
both add is equal, too, and cancels.  Which way x left, to the left (x < alpha) or to
the right, is in the value bit of the level.  To somebody with one key, a correction
word is xored with a seed that he does not know.

*The generator* is SHAKE-128 (FIPS 202) of a seed behind the domain tag and a salt
that both keys carry; 16 bytes left, 16 right, and two pairs of bits::

    G(s) = shake_128(framed(DCF, salt) | s)    s_L (16) | s_R (16) | t_L t_R v_L v_R

Format of a key, for n bits::

    seed (16) | salt (16) | n x { seed (16) | v + 2 t_L + 4 t_R (1) } | last bit (1)

All but the first 16 bytes are the same in both.

>>> first, second = generate(8, 100, bytes(range(48)))
>>> [a ^ b for a, b in zip(
...     evaluate(first, 0, 8, [0, 99, 100, 255]),
...     evaluate(second, 1, 8, [0, 99, 100, 255]),
... )]
[1, 1, 0, 0]
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from protocols.canon import Tag, framed
from protocols.errors import FormatError

SEED_BYTES: Final = 16
DRAWN_BYTES: Final = 3 * SEED_BYTES  # two seeds and a salt
LEVEL_BYTES: Final = SEED_BYTES + 1
MOST_BITS: Final = 62
_HEAD: Final = 2 * SEED_BYTES
_EXPANDED: Final = 2 * SEED_BYTES + 1


class _Correction(NamedTuple):
    """What a party adds to a level's seed, value and control bits."""

    seed: int
    value: int
    left: int
    right: int


class _Side(NamedTuple):
    """One child of a node."""

    seed: int
    control: int
    value: int


@dataclass(frozen=True, slots=True, repr=False)
class _Key:
    """A key, taken apart."""

    seed: int
    salt: bytes
    levels: tuple[_Correction, ...]
    last: int

    def to_bytes(self) -> bytes:
        """Write the format of the module."""
        levels = (
            level.seed.to_bytes(SEED_BYTES, "big")
            + bytes([level.value | level.left << 1 | level.right << 2])
            for level in self.levels
        )
        head = self.seed.to_bytes(SEED_BYTES, "big") + self.salt
        return b"".join((head, *levels, bytes([self.last])))

    @classmethod
    def parse(cls, data: bytes, bits: int) -> "_Key":
        """Read a key; raises `FormatError` for its length only.

        Any bits are some key: who unmasks one with the wrong locks reads noise, and
        must not be told so by an error.
        """
        if len(data) != key_bytes(bits):
            raise FormatError(f"expected a key of {key_bytes(bits)} bytes")
        levels = []
        for at in range(_HEAD, len(data) - 1, LEVEL_BYTES):
            seed = int.from_bytes(data[at : at + SEED_BYTES], "big")
            word = data[at + SEED_BYTES]
            levels.append(_Correction(seed, word & 1, word >> 1 & 1, word >> 2 & 1))
        return cls(
            int.from_bytes(data[:SEED_BYTES], "big"),
            data[SEED_BYTES:_HEAD],
            tuple(levels),
            data[-1] & 1,
        )


def key_bytes(bits: int) -> int:
    """Bytes of a key over numbers of `bits` bits: 713 for 40."""
    return _HEAD + bits * LEVEL_BYTES + 1


def generate(bits: int, alpha: int, drawn: bytes) -> tuple[bytes, bytes]:
    """Make the two keys of [x < alpha], 0 <= alpha < 2^bits.

    `drawn` is 48 fresh random bytes.
    """
    if not 0 < bits <= MOST_BITS or len(drawn) != DRAWN_BYTES or alpha >> bits:
        raise RuntimeError("no such key")
    salt = drawn[_HEAD:]
    prefix = framed(Tag.DCF, salt)
    seeds = [
        int.from_bytes(drawn[:SEED_BYTES], "big"),
        int.from_bytes(drawn[SEED_BYTES:_HEAD], "big"),
    ]
    roots, controls, total = tuple(seeds), [0, 1], 0
    levels = []
    for i in range(bits - 1, -1, -1):
        goes_right = alpha >> i & 1
        sides = [_expand(prefix, seed) for seed in seeds]
        kept = [side[goes_right] for side in sides]
        lost = [side[1 - goes_right] for side in sides]
        # Who leaves the path to the left, where alpha goes right, is below alpha.
        value = total ^ lost[0].value ^ lost[1].value ^ goes_right
        total ^= kept[0].value ^ kept[1].value ^ value
        level = _Correction(
            lost[0].seed ^ lost[1].seed,
            value,
            sides[0][0].control ^ sides[1][0].control ^ goes_right ^ 1,
            sides[0][1].control ^ sides[1][1].control ^ goes_right,
        )
        levels.append(level)
        correction = level.right if goes_right else level.left
        seeds = [
            side.seed ^ control * level.seed
            for side, control in zip(kept, controls, strict=True)
        ]
        controls = [
            side.control ^ control & correction
            for side, control in zip(kept, controls, strict=True)
        ]
    last = seeds[0] & 1 ^ seeds[1] & 1 ^ total
    first, second = (_Key(root, salt, tuple(levels), last).to_bytes() for root in roots)
    return first, second


def evaluate(key: bytes, party: int, bits: int, xs: Sequence[int]) -> list[int]:
    """Return a party's share of [x < alpha] for every x; `party` is 0 or 1.

    Takes the same steps whatever key and x are.
    """
    parsed = _Key.parse(key, bits)
    prefix = framed(Tag.DCF, parsed.salt)
    return [_share(parsed, prefix, party, x) for x in xs]


def _share(key: _Key, prefix: bytes, party: int, x: int) -> int:
    seed, control, total = key.seed, party, 0
    at = len(key.levels)
    for level in key.levels:
        at -= 1
        right = x >> at & 1
        side = _expand(prefix, seed)[right]
        total ^= side.value ^ control & level.value
        correction = (level.left, level.right)[right]
        seed = side.seed ^ control * level.seed
        control = side.control ^ control & correction
    return total ^ seed & 1 ^ control & key.last


def _expand(prefix: bytes, seed: int) -> tuple[_Side, _Side]:
    """Return the children of a node."""
    raw = hashlib.shake_128(prefix + seed.to_bytes(SEED_BYTES, "big"))
    data = raw.digest(_EXPANDED)
    word = data[-1]
    return (
        _Side(int.from_bytes(data[:SEED_BYTES], "big"), word & 1, word >> 1 & 1),
        _Side(
            int.from_bytes(data[SEED_BYTES:_HEAD], "big"), word >> 2 & 1, word >> 3 & 1
        ),
    )
