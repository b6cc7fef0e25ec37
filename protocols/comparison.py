r"""A comparison in two keys: either alone says nothing, both evaluate [x < alpha].

[S]tandard: the distributed comparison function of Boyle, Chandran, Gilboa, Gupta,
Ishai, Kumar and Rathee, "Function Secret Sharing for Mixed-Mode and Fixed-Point
Secure Computation", eprint 2020/1392, figure 1, with outputs in Z_2, or in Z_2^k.  A
dealer makes two keys for an alpha; then for every public x of the same number of bits

    evaluate(key 0, x) xor evaluate(key 1, x) = beta if x < alpha, else 0

where beta is 1, or a secret of k bits that neither key shows (`protocols.range_lock`).

A key is a path in a binary tree of pseudorandom seeds, one level a bit of x.  On the
path to alpha the two parties hold unrelated seeds and opposite control bits; as soon
as x leaves it, a correction word makes seeds and bits equal, and from there on all that
both add is equal, too, and cancels.  Which way x left, to the left (x < alpha) or to
the right, is in the value bit of the level.  To somebody with one key, a correction
word is xored with a seed that he does not know.

*The generator* is SHAKE-128 (FIPS 202) of a seed behind the domain tag and a salt
that both keys carry; 16 bytes left, 16 right, and two pairs of bits::

    G(s) = shake_128(framed(DCF, salt) | s)    s_L (16) | s_R (16) | t_L v_L t_R v_R

Format of a key, for n bits and outputs of one bit::

    seed (16) | salt (16) | n x { seed (16) | v + 2 t_L + 4 t_R (1) } | last bit (1)

For outputs of k bits, a multiple of 8, under a tag of its own::

    G(s) = ... s_L (16) | s_R (16) | t_L . t_R . | v_L (k/8) | v_R (k/8) | last (k/8)
    seed (16) | salt (16) | n x { seed (16) | 2 t_L + 4 t_R (1) | v (k/8) } | last (k/8)

where `last` of the generator is the paper's Convert of a seed.  All but the first 16
bytes are the same in both keys.

>>> first, second = generate(8, 100, bytes(range(48)))
>>> [a ^ b for a, b in zip(
...     evaluate(first, 0, 8, [0, 99, 100, 255]),
...     evaluate(second, 1, 8, [0, 99, 100, 255]),
... )]
[1, 1, 0, 0]
>>> first, second = generate(8, 100, bytes(range(48)), beta=0xCAFE, width=16)
>>> [f"{a ^ b:x}" for a, b in zip(
...     evaluate(first, 0, 8, [99, 100], width=16),
...     evaluate(second, 1, 8, [99, 100], width=16),
... )]
['cafe', '0']
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from protocols.canon import Tag, framed
from protocols.errors import FormatError

SEED_BYTES: Final = 16
DRAWN_BYTES: Final = 3 * SEED_BYTES  # two seeds and a salt
LEVEL_BYTES: Final = SEED_BYTES + 1  # and, of wider outputs, one output
MOST_BITS: Final = 62
BIT: Final = 1  # width of an output, in bits
_HEAD: Final = 2 * SEED_BYTES
_EXPANDED: Final = 2 * SEED_BYTES + 1


class _Correction(NamedTuple):
    """What a party adds to a level's seed, value and control bits."""

    seed: int
    value: int
    left: int
    right: int

    def __repr__(self) -> str:
        return object.__repr__(self)  # secrets have none


class _Side(NamedTuple):
    """One child of a node."""

    seed: int
    control: int
    value: int

    def __repr__(self) -> str:
        return object.__repr__(self)  # secrets have none


@dataclass(frozen=True, slots=True, repr=False)
class _Key:
    """A key, taken apart."""

    seed: int
    salt: bytes
    levels: tuple[_Correction, ...]
    last: int

    def to_bytes(self, width: int) -> bytes:
        """Write the format of the module."""
        chunks = [self.seed.to_bytes(SEED_BYTES, "big"), self.salt]
        for level in self.levels:
            word = level.left << 1 | level.right << 2
            chunks.append(level.seed.to_bytes(SEED_BYTES, "big"))
            if width == BIT:
                chunks.append(bytes([word | level.value]))
            else:
                chunks += (bytes([word]), level.value.to_bytes(width // 8, "big"))
        chunks.append(self.last.to_bytes(-(-width // 8), "big"))
        return b"".join(chunks)

    @classmethod
    def parse(cls, data: bytes, bits: int, width: int) -> "_Key":
        """Read a key; raises `FormatError` for its length only.

        Any bits are some key: who unmasks one with the wrong locks reads noise, and
        must not be told so by an error.
        """
        if len(data) != key_bytes(bits, width):
            raise FormatError(f"expected a key of {key_bytes(bits, width)} bytes")
        size = -(-width // 8)
        step, end = LEVEL_BYTES + (0 if width == BIT else size), len(data) - size
        levels = []
        for at in range(_HEAD, end, step):
            seed = int.from_bytes(data[at : at + SEED_BYTES], "big")
            word = data[at + SEED_BYTES]
            value = word & 1
            if width != BIT:
                value = int.from_bytes(data[at + LEVEL_BYTES : at + step], "big")
            levels.append(_Correction(seed, value, word >> 1 & 1, word >> 2 & 1))
        last = int.from_bytes(data[end:], "big")
        return cls(
            int.from_bytes(data[:SEED_BYTES], "big"),
            data[SEED_BYTES:_HEAD],
            tuple(levels),
            last & 1 if width == BIT else last,
        )


def key_bytes(bits: int, width: int = BIT) -> int:
    """Bytes of a key over numbers of `bits` bits: 713 for 40, outputs of one bit."""
    if width == BIT:
        return _HEAD + bits * LEVEL_BYTES + 1
    return _HEAD + bits * (LEVEL_BYTES + width // 8) + width // 8


def generate(
    bits: int, alpha: int, drawn: bytes, beta: int = 1, width: int = BIT
) -> tuple[bytes, bytes]:
    """Make the two keys of [x < alpha] beta, 0 <= alpha < 2^bits.

    `drawn` is 48 fresh random bytes, `beta` a number of `width` bits.
    """
    _check_width(width)
    if not 0 < bits <= MOST_BITS or len(drawn) != DRAWN_BYTES or alpha >> bits:
        raise RuntimeError("no such key")
    if not 0 <= beta < 1 << width:
        raise RuntimeError("an output is as wide as its key says")
    salt = drawn[_HEAD:]
    prefix = _prefix(salt, width)
    seeds = [
        int.from_bytes(drawn[:SEED_BYTES], "big"),
        int.from_bytes(drawn[SEED_BYTES:_HEAD], "big"),
    ]
    roots, controls, total = tuple(seeds), [0, 1], 0
    levels = []
    for i in range(bits - 1, -1, -1):
        goes_right = alpha >> i & 1
        sides = [_expand(prefix, seed, width) for seed in seeds]
        kept = [side[goes_right] for side in sides]
        lost = [side[1 - goes_right] for side in sides]
        # Who leaves the path to the left, where alpha goes right, is below alpha.
        value = total ^ lost[0].value ^ lost[1].value ^ goes_right * beta
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
    last = _converted(prefix, seeds[0], width) ^ _converted(prefix, seeds[1], width)
    first, second = (
        _Key(root, salt, tuple(levels), last ^ total).to_bytes(width) for root in roots
    )
    return first, second


def evaluate(
    key: bytes, party: int, bits: int, xs: Sequence[int], width: int = BIT
) -> list[int]:
    """Return a party's share of [x < alpha] beta for every x; `party` is 0 or 1.

    Takes the same steps whatever key and x are.
    """
    _check_width(width)
    parsed = _Key.parse(key, bits, width)
    prefix = _prefix(parsed.salt, width)
    return [_share(parsed, prefix, party, x, width) for x in xs]


def _share(key: _Key, prefix: bytes, party: int, x: int, width: int) -> int:
    seed, control, total = key.seed, party, 0
    at = len(key.levels)
    for level in key.levels:
        at -= 1
        right = x >> at & 1
        side = _expand(prefix, seed, width)[right]
        total ^= side.value ^ control * level.value
        correction = (level.left, level.right)[right]
        seed = side.seed ^ control * level.seed
        control = side.control ^ control & correction
    return total ^ _converted(prefix, seed, width) ^ control * key.last


def _check_width(width: int) -> None:
    if width != BIT and (width <= 0 or width % 8):
        raise RuntimeError("outputs are one bit, or whole bytes")


def _prefix(salt: bytes, width: int) -> bytes:
    return framed(Tag.DCF if width == BIT else Tag.DCF_WIDE, salt)


def _expand(prefix: bytes, seed: int, width: int) -> tuple[_Side, _Side]:
    """Return the children of a node."""
    raw = hashlib.shake_128(prefix + seed.to_bytes(SEED_BYTES, "big"))
    size = 0 if width == BIT else width // 8
    data = raw.digest(_EXPANDED + 2 * size)
    word = data[2 * SEED_BYTES]
    values = word >> 1 & 1, word >> 3 & 1
    if size:
        middle = _EXPANDED + size
        values = (
            int.from_bytes(data[_EXPANDED:middle], "big"),
            int.from_bytes(data[middle:], "big"),
        )
    return (
        _Side(int.from_bytes(data[:SEED_BYTES], "big"), word & 1, values[0]),
        _Side(int.from_bytes(data[SEED_BYTES:_HEAD], "big"), word >> 2 & 1, values[1]),
    )


def _converted(prefix: bytes, seed: int, width: int) -> int:
    """Return the paper's Convert of a last seed: an output that looks random."""
    if width == BIT:
        return seed & 1
    size = width // 8
    raw = hashlib.shake_128(prefix + seed.to_bytes(SEED_BYTES, "big"))
    return int.from_bytes(raw.digest(_EXPANDED + 3 * size)[-size:], "big")
