"""Sums over groups: what bank, house and authority compute, against a slow count."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import paillier
from protocols.aggregate import (
    MODULUS,
    OUTSIDE,
    ROOM,
    UNIT,
    HouseSide,
    Made,
    Sheaf,
    authority_totals,
    bank_read,
    bind,
    check_room,
    masks_bytes,
    masks_from_bytes,
    message_bytes,
    message_digest,
    rounded,
    sizes,
)
from protocols.drbg import Drbg
from protocols.errors import CiphertextInvalid, FormatError
from protocols.noise import Scale
from protocols.paillier import FixedBase, encrypt
from protocols.slots import SLOT_BITS, Ints, pack, slots_per_block, unpack

KEY = paillier._small_key(512, secrets.token_bytes)
PUBLIC = KEY.public
BASE = FixedBase(PUBLIC, PUBLIC.authority_exponent_bits)
SLOTS = slots_per_block(PUBLIC.bits)
ONES = bytes(16)


@dataclass(frozen=True)
class Case:
    """Columns of values by row, and the group of every row."""

    values: Ints  # (columns, rows)
    groups: Ints
    count: int
    scales: tuple[Scale, ...]

    @property
    def sheaves(self) -> tuple[Sheaf, ...]:
        """The layout."""
        return bind(self.groups, SLOTS)

    def stored(self, column: int, block: int) -> paillier.Ciphertext:
        """Encrypt one block's column, as a custodian would."""
        padded = np.zeros(-(-len(self.groups) // SLOTS) * SLOTS, np.int64)
        padded[: len(self.groups)] = self.values[column]
        plain = pack(padded.reshape(-1, SLOTS)[block])
        return encrypt(PUBLIC, plain, BASE.power(secrets.token_bytes(16)))

    def house(self, drbg: Drbg) -> Made:
        """Make what the house makes."""
        side = HouseSide(BASE, self.sheaves, self.count, self.scales)
        return side.message(self.stored, drbg)

    def noise(self, ours: Drbg, theirs: Drbg) -> Ints:
        """Both sides' noise, drawn again by their labels."""
        noise = np.zeros((self.count, len(self.scales)), np.int64)
        for column, scale in enumerate(self.scales):
            own = ours.child(f"column {column}")
            for group in range(self.count):
                noise[group, column] = scale.draw(own, f"group {group}")
                noise[group, column] += scale.draw(theirs, f"{column} {group}")
        return noise

    def exact(self) -> list[list[int]]:
        """Count by hand."""
        return [
            [
                sum(
                    int(v)
                    for v, g in zip(column, self.groups.tolist(), strict=True)
                    if g == group
                )
                for column in self.values
            ]
            for group in range(self.count)
        ]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw some blocks, with whole ones among them, and two columns."""
    count = draw(st.integers(1, 3))
    blocks = draw(st.integers(1, 5))
    groups: list[int] = []
    for _ in range(blocks):
        one = st.integers(OUTSIDE, count - 1)
        whole = one.map(lambda g: [g] * SLOTS)
        groups += draw(whole | st.lists(one, min_size=SLOTS, max_size=SLOTS))
    groups = groups[: len(groups) - draw(st.integers(0, SLOTS - 1))]
    clips = [draw(st.sampled_from([1, 7, 20_000])) for _ in range(2)]
    values = [
        draw(st.lists(st.integers(0, c), min_size=len(groups), max_size=len(groups)))
        for c in clips
    ]
    scales = tuple(
        Scale(UNIT * c + 1, draw(st.sampled_from([100, 1000]))) for c in clips
    )
    return Case(np.array(values), np.array(groups, np.int64), count, scales)


@settings(max_examples=25)
@given(cases())
def test_without_the_noise_it_is_the_sum(case: Case) -> None:
    """Take both noises off and round: exactly what a slow count says."""
    if not case.sheaves:
        return
    ours, theirs = Drbg(secrets.token_bytes(32)), Drbg(secrets.token_bytes(32))
    made = case.house(ours)
    summed = authority_totals(
        KEY, made.ciphertexts, case.sheaves, case.count, case.scales, theirs
    )
    noisy = bank_read(summed.totals, made.masks)
    bare = noisy - case.noise(ours, theirs)
    assert [[rounded(int(v)) for v in row] for row in bare] == case.exact()
    again = case.house(ours)
    assert message_bytes(PUBLIC, made.ciphertexts) != b""
    assert (again.masks == made.masks).all()


@given(cases())
def test_a_layout_covers_every_row_once(case: Case) -> None:
    """Whole blocks together, the others apart, and nobody's block for nothing."""
    seen: list[int] = []
    for sheaf in case.sheaves:
        assert len(sheaf.blocks) == 1 or sheaf.whole
        for block in sheaf.blocks:
            rows = case.groups[block * SLOTS : (block + 1) * SLOTS]
            assert (sheaf.groups[: len(rows)] == rows).all()
            assert (sheaf.groups[len(rows) :] == OUTSIDE).all()
            assert sheaf.whole == (len(set(sheaf.groups.tolist())) == 1)
            seen.append(block)
    touched = {
        block
        for block in range(-(-len(case.groups) // SLOTS))
        if (case.groups[block * SLOTS : (block + 1) * SLOTS] != OUTSIDE).any()
    }
    assert sorted(seen) == sorted(touched)
    assert sum(sizes(case.groups, case.count)) == (case.groups != OUTSIDE).sum()


def fields(number: int) -> list[int]:
    """Cut a plaintext into its slots."""
    return [number >> SLOT_BITS * t & ((1 << SLOT_BITS) - 1) for t in range(SLOTS)]


def released(values: Sequence[int], groups: Sequence[int], mask: int) -> list[int]:
    """Take masks off two groups' totals, without noise, literally."""
    plain = sum(UNIT * v << SLOT_BITS * t for t, v in enumerate(values))
    masked, drawn = fields(plain + mask), fields(mask)
    found = []
    for group in (0, 1):
        slots = [t for t, g in enumerate(groups) if g == group]
        total = sum(masked[t] - drawn[t] for t in slots) % MODULUS
        found.append(total if total < ROOM else total - MODULUS)
    return found


edges = st.sampled_from([0, 1, (1 << SLOT_BITS) - 1, (1 << SLOT_BITS) - 128])
drawn_slots = st.lists(
    edges | st.integers(0, (1 << SLOT_BITS) - 1), min_size=SLOTS, max_size=SLOTS
)


@settings(max_examples=300)
@given(
    st.lists(st.integers(0, 50), min_size=SLOTS, max_size=SLOTS),
    st.lists(st.integers(OUTSIDE, 1), min_size=SLOTS, max_size=SLOTS),
    drawn_slots,
    st.integers(0, SLOTS - 1),
    st.integers(0, 50),
)
def test_one_subject_moves_all_totals_by_its_value(
    values: list[int], groups: list[int], mask: list[int], who: int, other: int
) -> None:
    """Whatever the mask, carries and all: at most 2^7 times what it changes."""
    number = sum(r << SLOT_BITS * t for t, r in enumerate(mask))
    changed = [other if t == who else v for t, v in enumerate(values)]
    before, after = (released(v, groups, number) for v in (values, changed))
    moved = sum(abs(a - b) for a, b in zip(before, after, strict=True))
    assert moved <= UNIT * abs(other - values[who])


@settings(max_examples=300)
@given(
    st.lists(st.integers(0, 50), min_size=SLOTS, max_size=SLOTS),
    st.lists(st.integers(OUTSIDE, 1), min_size=SLOTS, max_size=SLOTS),
    drawn_slots,
    st.integers(0, SLOTS - 1),
    st.integers(0, 50),
)
def test_so_it_does_for_whoever_sees_the_decryption(
    values: list[int], groups: list[int], masked: list[int], who: int, other: int
) -> None:
    """For a fixed z, which a bank with the authority sees, the same bound holds."""
    z = sum(r << SLOT_BITS * t for t, r in enumerate(masked)) + (7 << SLOT_BITS * SLOTS)
    changed = [other if t == who else v for t, v in enumerate(values)]
    seen = []
    for column in (values, changed):
        plain = sum(UNIT * v << SLOT_BITS * t for t, v in enumerate(column))
        seen.append(released(column, groups, z - plain))
    moved = sum(abs(a - b) for a, b in zip(*seen, strict=True))
    assert moved <= UNIT * abs(other - values[who])


def test_room_is_kept_for_noise() -> None:
    """2^7 (n clip + 40 clip / epsilon) < 2^39, to the last subject."""
    for clip, milliepsilon in ((1, 1000), (500, 250), (1 << 20, 100)):
        scale = Scale(UNIT * clip + 1, milliepsilon)
        noise = -(-40 * 1000 * (UNIT * clip + 1) // milliepsilon)
        most = (ROOM - noise - 1) // (UNIT * clip)
        check_room(most, clip, scale)
        with pytest.raises(FormatError, match="does not fit"):
            check_room(most + 1, clip, scale)


def test_a_message_of_another_shape_is_not_decrypted() -> None:
    """Too few, too many, out of range, no unit: refused before the key is used."""
    case = Case(np.ones((1, 22), np.int64), np.zeros(22, np.int64), 1, (Scale(129, 9),))
    good = list(case.house(Drbg(bytes(32))).ciphertexts)
    for wrong, error in (
        ([], FormatError),
        (good * 2, FormatError),
        ([PUBLIC.n2], CiphertextInvalid),
        ([0], CiphertextInvalid),
        ([int(KEY.p)], CiphertextInvalid),
    ):
        with pytest.raises(error):
            authority_totals(KEY, wrong, case.sheaves, 1, case.scales, Drbg(bytes(32)))


def test_masks_travel_as_five_bytes_each() -> None:
    """Read back as they were; another length, or 2^40 - 1, is refused."""
    masks = np.array([[0, MODULUS - 1], [5, 1 << 39]])
    data = masks_bytes(masks)
    assert (masks_from_bytes(data, 2, 2) == masks).all()
    for wrong in (data[:-1], data + b"\0", b"\xff" * 5 + data[5:]):
        with pytest.raises(FormatError):
            masks_from_bytes(wrong, 2, 2)


def test_the_digest_binds_every_ciphertext() -> None:
    """Their order too."""
    one = message_digest(PUBLIC, [1, 2])
    others = [message_digest(PUBLIC, c) for c in ([2, 1], [1], [1, 2, 3], [1, 3])]
    assert one not in others
    assert len(set(others)) == 4


@pytest.mark.parametrize(
    ("units", "wanted"), [(0, 0), (63, 0), (64, 1), (-64, 0), (-65, -1), (130, 1)]
)
def test_halves_go_up(units: int, wanted: int) -> None:
    """Guard bits are rounded away."""
    assert rounded(units) == wanted


def test_masks_of_two_columns_and_two_calls_are_apart() -> None:
    """No two ciphertexts of one call, and of two, share mask or obfuscator."""
    case = Case(
        np.zeros((2, 33), np.int64),
        np.array([0] * 11 + [1] * 11 + [0, 1] * 5 + [0]),
        2,
        (Scale(129, 9), Scale(129, 9)),
    )
    seen = set()
    for seed in (bytes(32), b"\x01" * 32):
        for c in case.house(Drbg(seed)).ciphertexts:
            plain = KEY.decrypt(paillier.mpz(c))
            seen.add(c)
            seen.add(
                bytes(unpack(plain.to_bytes(64, "little"), range(SLOTS)).tobytes())
            )
    assert len(seen) == 2 * 2 * 2 * 3
