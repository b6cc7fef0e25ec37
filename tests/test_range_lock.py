"""The lock of a range: opens within it and nowhere else, and no key shows anything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.drbg import Drbg
from protocols.errors import FormatError
from protocols.lookup import FlatGate, authority_pick, bank_open, mask
from protocols.paillier import encrypt
from protocols.program import INSUFFICIENT_DATA, Group, Program, Scorecard
from protocols.range_lock import RangeLock
from protocols.slots import pack
from protocols.split import SplitGate
from protocols.thr import ThrGate
from tests.test_lookup import BASE, KEY, PUBLIC, SLOTS, chi_square

GATES = (FlatGate, SplitGate, ThrGate)
VETOES = (Group("court", (1, 2), 1, 0), Group(INSUFFICIENT_DATA, (3,), -1, 1))


def card_of(m: int, added: int, cuts: tuple[int, ...]) -> Scorecard:
    """Make a card of one column and flags, to which a bank adds 0..added."""
    steps = tuple((first, index) for index, first in enumerate((0, *cuts)))
    top = (1 << m - 1) - 1
    fields = Scorecard.layout(m, VETOES)
    return Scorecard((1, 0, 0, 0), 0, top, m, steps, VETOES, fields, added)


def opened(lock: RangeLock, first: int, rests: list[int], value: bytes) -> list[bytes]:
    """Let both parties evaluate their keys at some shares of the authority's."""
    drawn = Drbg(bytes(32)).bytes(f"{first}", lock.drawn_bytes)
    mine, theirs = lock.generate(first, value, drawn)
    return [
        bytes(
            a ^ b
            for a, b in zip(
                lock.share(mine, 0, rest), lock.share(theirs, 1, rest), strict=True
            )
        )
        for rest in rests
    ]


@pytest.mark.parametrize(("bits", "most"), [(3, 1), (5, 6), (5, 30), (6, 40)])
def test_it_opens_for_every_number_within_and_for_none_beyond(
    bits: int, most: int
) -> None:
    """Whatever the shares are, at both ends and all round the circle."""
    lock, size = RangeLock(bits, most, 2), 1 << bits
    for first in range(size):
        expected = [
            b"\x0f\xf1" if (first + rest) % size <= most else bytes(2)
            for rest in range(size)
        ]
        assert opened(lock, first, list(range(size)), b"\x0f\xf1") == expected


@given(st.integers(0, (1 << 62) - 1), st.integers(0, (1 << 39) - 3), st.data())
@settings(max_examples=25)
def test_wide_numbers_are_held_to_the_integer(
    first: int, most: int, data: st.DataObject
) -> None:
    """Of 39 bits, with shares that nobody has reduced: at and beside both ends."""
    lock = RangeLock(39, most + 1, 32)
    value = data.draw(st.binary(min_size=32, max_size=32))
    numbers = [0, most, most + 1, most + 2, (1 << 39) - 1]
    rests = [(b - first) % (1 << 61) for b in numbers]
    within = [b <= most + 1 for b in numbers]
    assert opened(lock, first, rests, value) == [
        value if yes else bytes(32) for yes in within
    ]


@given(
    st.integers(0, 127),
    st.lists(st.integers(0, 511), min_size=4, max_size=4),
    st.integers(0, 511),
)
@settings(max_examples=20)
def test_every_gate_adds_the_bank_s_number_if_it_is_within_its_range(
    value: int, numbers: list[int], first: int
) -> None:
    """From columns to codes: vetoes as ever, outcomes for 0..50 and nothing beyond.

    `numbers` are the bank's for four slots; what lies beyond reads as noise, which is
    an outcome by chance only.
    """
    card = card_of(9, 50, (60, 61, 150))
    people = np.zeros((4, SLOTS), np.int64)
    people[0], people[3] = value, 1
    people[1, 1], people[3, 2] = 1, 0  # a veto, and one who is missing
    numbers = [numbers[0] % 51, numbers[1], numbers[2], numbers[3] % 51]
    columns = [encrypt(PUBLIC, pack(row), BASE.power(b"\x05")) for row in people]
    totals, slots = [Program(card).run(PUBLIC, columns)], (0, 1, 2, 3)
    firsts, rests = [first] * 4, [number - first + 512 for number in numbers]
    expected = [card.code_of(people[:, slot].tolist(), numbers[slot]) for slot in slots]
    for kind in GATES:
        gate = kind(card)
        message, pads = mask(gate, BASE, totals, slots, bytes(32), firsts)
        picked = authority_pick(gate, KEY, message, shares=rests)
        codes = bank_open(gate, picked.u, picked.rows, pads, slots, rests)
        assert codes.tolist() == expected
        assert codes[1:3].tolist() == [-2, -3]


@pytest.mark.parametrize("kind", GATES)
def test_beyond_the_range_the_outcome_says_nothing(kind: type[FlatGate]) -> None:
    """Codes are the same noise whether the total is the least or the largest."""
    card, rho = card_of(9, 50, (60, 61, 150)), np.array([[20, 0, 1]])
    gate = kind(card)

    def codes(total: int, number: int, calls: int) -> list[int]:
        u = (np.array([2 * (total + number), 1, 1]) + rho) % [1024, 64, 64]
        found = []
        for n in range(calls):
            tables, pads = gate.build(rho, (0,), Drbg(n.to_bytes(32, "big")), (7,))
            rests = ((number - 7) % 512,)
            rows = gate.pick(u, tables, rests)
            found.append(int(gate.open(u, rows, pads, (0,), rests)[0]))
        return found

    assert (codes(0, 50, 2), codes(200, 50, 2)) == ([0, 0], [3, 3])
    least, most = codes(0, 51, 600), codes(200, 51, 600)
    kinds = np.array(
        [[np.sum(np.array(c) == k) for k in range(-1, 4)] for c in (least, most)]
    )
    kinds = kinds[:, kinds.sum(axis=0) > 0]
    expected = kinds.sum(axis=0) / 2
    assert ((kinds - expected) ** 2 / expected).sum() < 20  # at most 4 degrees
    assert len(set(most)) > 1


@pytest.mark.parametrize("party", [0, 1])
@pytest.mark.parametrize("first", [0, 1, 100, 255])
@pytest.mark.parametrize("value", [0, 0xFF])
def test_a_key_alone_looks_the_same_for_every_share_and_lock(
    party: int, first: int, value: int
) -> None:
    """Chi-square, byte by byte, of the authority's key and of the bank's.

    The authority learns nothing of the house's share from it, and neither of the lock.
    """
    lock, drbg = RangeLock(8, 40, 1), Drbg(bytes([party, first, value]) + bytes(29))
    keys = [
        lock.generate(first, bytes([value]), drbg.bytes(f"{n}", lock.drawn_bytes))
        for n in range(2000)
    ]
    seen = np.frombuffer(b"".join(pair[party] for pair in keys), np.uint8)
    for place, column in enumerate(seen.reshape(2000, -1).T.astype(np.int64)):
        flags = place >= 33 and (place - 33) % 18 == 16 and place < lock.key_bytes - 1
        cells = column >> 1 if flags else column
        assert chi_square(cells, 4 if flags else 256) < 5, place


def test_what_the_bank_is_handed_beyond_the_range_it_has_already() -> None:
    """The authority's share is then the bank's own, and shows nothing new."""
    lock = RangeLock(12, 700, 32)
    mine, theirs = lock.generate(5, bytes(range(32)), bytes(lock.drawn_bytes))
    rest = 701 - 5
    assert lock.share(mine, 0, rest) == lock.share(theirs, 1, rest)


def test_sizes_are_held() -> None:
    """Keys of another length are refused, and what only we can do wrong raises."""
    lock = RangeLock(12, 700, 32)
    first, second = lock.generate(5, bytes(32), bytes(lock.drawn_bytes))
    assert len(first) == len(second) == lock.key_bytes == 32 + 32 + 12 * 49 + 32
    with pytest.raises(FormatError, match="expected a key of 684 bytes"):
        lock.share(first[:-1], 0, 1)
    with pytest.raises(RuntimeError):
        lock.generate(5, bytes(31), bytes(lock.drawn_bytes))
    for most in (0, 4095):
        with pytest.raises(RuntimeError):
            RangeLock(12, most, 32)
    gate = FlatGate(card_of(9, 50, (60,)))
    with pytest.raises(RuntimeError, match="a share for every slot"):
        gate.build(np.zeros((1, 3), np.int64), (0,), Drbg(bytes(32)))
    with pytest.raises(RuntimeError, match="a share for every slot"):
        gate.pick(np.zeros((1, 3), np.int64), np.zeros((1, gate.table_bytes), np.uint8))
    with pytest.raises(FormatError, match="more than the largest total"):
        card_of(9, 256, (60,))
