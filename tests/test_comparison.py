"""The distributed comparison function, against the tree of the paper and plain `<`."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.canon import Tag, framed
from protocols.comparison import (
    DRAWN_BYTES,
    LEVEL_BYTES,
    SEED_BYTES,
    evaluate,
    generate,
    key_bytes,
)
from protocols.drbg import Drbg
from protocols.errors import FormatError
from tests.test_lookup import chi_square

BITS = 40
seeds = st.binary(min_size=DRAWN_BYTES, max_size=DRAWN_BYTES)


def shares(bits: int, alpha: int, xs: list[int], drawn: bytes) -> list[int]:
    """Let both parties evaluate their keys, and xor what comes out."""
    first, second = generate(bits, alpha, drawn)
    mine, theirs = evaluate(first, 0, bits, xs), evaluate(second, 1, bits, xs)
    return [a ^ b for a, b in zip(mine, theirs, strict=True)]


class Literal:
    """Figure 1 of eprint 2020/1392 word for word: bits in lists, one node at a time."""

    def __init__(self, key: bytes, bits: int) -> None:
        self.root = key[:SEED_BYTES]
        self.salt = key[SEED_BYTES : 2 * SEED_BYTES]
        self.words = [
            key[at : at + LEVEL_BYTES]
            for at in range(2 * SEED_BYTES, len(key) - 1, LEVEL_BYTES)
        ]
        self.last = key[-1]
        assert len(self.words) == bits

    def expand(self, seed: bytes) -> tuple[bytes, int, int, bytes, int, int]:
        """G(s): s_L | v_L | t_L | s_R | v_R | t_R."""
        data = hashlib.shake_128(framed(Tag.DCF, self.salt) + seed).digest(33)
        t_l, v_l, t_r, v_r = (data[32] >> i & 1 for i in range(4))
        return data[:16], v_l, t_l, data[16:32], v_r, t_r

    def evaluate(self, party: int, x: list[int]) -> int:
        """Eval(b, k_b, x) with the group Z_2, where signs do not matter."""
        s, t, total = self.root, party, 0
        for x_i, word in zip(x, self.words, strict=True):
            s_cw, v_cw = word[:16], word[16] & 1
            t_l_cw, t_r_cw = word[16] >> 1 & 1, word[16] >> 2 & 1
            s_l, v_l, t_l, s_r, v_r, t_r = self.expand(s)
            if t == 1:
                s_l = bytes(a ^ b for a, b in zip(s_l, s_cw, strict=True))
                s_r = bytes(a ^ b for a, b in zip(s_r, s_cw, strict=True))
                t_l, t_r = t_l ^ t_l_cw, t_r ^ t_r_cw
            if x_i == 0:
                total ^= v_l ^ (v_cw if t == 1 else 0)
                s, t = s_l, t_l
            else:
                total ^= v_r ^ (v_cw if t == 1 else 0)
                s, t = s_r, t_r
        return total ^ (s[-1] & 1) ^ (self.last & 1 if t == 1 else 0)


@given(st.integers(1, 9), st.data(), seeds)
def test_both_keys_say_whether_x_is_below_alpha(
    bits: int, data: st.DataObject, drawn: bytes
) -> None:
    """For every x of a small domain: none off by one, nothing at the ends."""
    alpha = data.draw(st.integers(0, (1 << bits) - 1))
    xs = list(range(1 << bits))
    assert shares(bits, alpha, xs, drawn) == [int(x < alpha) for x in xs]


@given(st.integers(0, (1 << BITS) - 1), st.lists(st.integers(-3, 3)), seeds)
def test_the_widest_field_is_exact(alpha: int, near: list[int], drawn: bytes) -> None:
    """Over 2^40, at alpha and around it, and at both ends."""
    size = 1 << BITS
    xs = [0, size - 1, alpha, *((alpha + d) % size for d in near)]
    assert shares(BITS, alpha, xs, drawn) == [int(x < alpha) for x in xs]


@given(st.integers(0, 255), st.integers(0, 255), seeds)
def test_evaluation_is_the_one_of_the_paper(alpha: int, x: int, drawn: bytes) -> None:
    """A literal reading of the figure gives the same share, party by party."""
    digits = [x >> i & 1 for i in range(7, -1, -1)]
    for party, key in enumerate(generate(8, alpha, drawn)):
        assert evaluate(key, party, 8, [x]) == [Literal(key, 8).evaluate(party, digits)]


def test_keys_have_one_length() -> None:
    """It hangs on the width alone; other lengths are refused, contents never."""
    first, second = generate(BITS, 5, bytes(DRAWN_BYTES))
    assert len(first) == len(second) == key_bytes(BITS) == 713
    assert first[SEED_BYTES:] == second[SEED_BYTES:]
    for wrong in (first[:-1], first + b"\0"):
        with pytest.raises(FormatError, match="expected a key of 713 bytes"):
            evaluate(wrong, 0, BITS, [1])
    assert evaluate(b"\xff" * 713, 1, BITS, [1, 2])


@pytest.mark.parametrize(
    ("bits", "alpha", "drawn"), [(0, 0, 48), (63, 0, 48), (8, 256, 48), (8, 0, 47)]
)
def test_a_misuse_is_refused(bits: int, alpha: int, drawn: int) -> None:
    """The dealer's own code is at fault."""
    with pytest.raises(RuntimeError):
        generate(bits, alpha, bytes(drawn))


@pytest.mark.parametrize("party", [0, 1])
@pytest.mark.parametrize("alpha", [0, 1, 0x55, 0xFF])
def test_a_key_alone_looks_the_same_for_every_alpha(party: int, alpha: int) -> None:
    """Chi-square, byte by byte: seeds, the three bits of a level, the last bit."""
    drbg = Drbg(bytes([party, alpha]) + bytes(30))
    keys = [generate(8, alpha, drbg.bytes(f"{n}", 48))[party] for n in range(2000)]
    seen = np.frombuffer(b"".join(keys), np.uint8).reshape(2000, -1).astype(np.int64)
    for place in range(key_bytes(8)):
        level, at = divmod(place - 2 * SEED_BYTES, LEVEL_BYTES)
        word = level >= 0 and at == SEED_BYTES
        cells = 2 if place == key_bytes(8) - 1 else 8 if word else 256
        assert chi_square(seen[:, place], cells) < 5, place


@pytest.mark.parametrize("party", [0, 1])
def test_a_share_alone_is_a_fair_coin(party: int) -> None:
    """Below alpha, at it and above it: one party's bit says nothing."""
    drbg = Drbg(bytes(32))
    keys = [generate(8, 100, drbg.bytes(f"{n}", 48))[party] for n in range(2000)]
    seen = np.array([evaluate(key, party, 8, [99, 100, 255]) for key in keys])
    for shares_ in seen.T:
        assert chi_square(shares_, 2) < 5
