r"""Sums over groups of subjects, with noise, that neither node sees (PROTOCOL 9).

[C]omposed for this product from [S]tandard parts: additive blinding, and discrete
Laplace noise (`protocols.noise`).  Attacked in tests/attacks, not yet reviewed by
others.  For one column and one group S of slots::

    house      C = 2^7 x the column            every value v is 2^7 v in its slot
               R = uniform over all slots and 64 bits more, NO BIT CLEARED
               c = C (1 + n R) h_s^r           r long, never skipped
               mask = sum of R_t over S, minus noise of the house          -> bank
    authority  z = Dec(c);  total = sum of z_t over S, plus noise of its own, sealed
    bank       total - mask = 2^7 sum of v + carries + both noises   modulo 2^40 - 1

The slots that S leaves out are masked like all others and never added up: at the
authority they are uniform noise.  *Nobody sees a sum without noise*: the bank sees
it with both, the bank with the authority with the house's, the bank with the house
with the authority's.

*Modulo 2^40 - 1.*  z_t = 2^7 v + R_t + carry_in - 2^40 carry_out, and 2^40 = 1, so a
carry out of one slot of S into the next cancels.  What stays are carries at the ends
of runs of S.  Each happens with probability at most 2^7 v / 2^40; the contract bounds
2^7 x all values by 2^39 (`check_room`), so less than one is expected, and the seven
guard bits hold sixty-three: rounding to whole units removes them.

*Whole blocks.*  Where all slots of some blocks are in one group, the blocks are added
first and masked once: z mod (2^40 - 1) is the sum of their slots, carries and all.
So a sum over a district costs one decryption, and one by towns one a block.

*Sensitivity.*  For fixed R, one subject changes all totals of a column, groups and all,
by 2^7 clip together: with 2^7 v more in slot t, its group gains 2^7 v - 1 and the
group of the slot where the carry ends gains 1, or no carry happens.  For fixed z the
same holds of the masks.  That is also what a subject *outside* S may move: one unit,
not one of 2^7.  The noise is drawn at the unit 2^-7, for 2^7 clip + 1; rounded before
that, the low seven bits would reach the bank without noise and show carries, hence
comparisons of values with masks (tests/attacks/test_noise_of_whole_units.py).

*Noise is drawn once a ticket*, at both nodes, never once a question.  With the same
noise under two masks the difference of two answers would be their carries, bare.

Format of a message: ciphertexts, big endian, all of one length: for each column, in
the contract's order, the whole groups, then the blocks that are not whole, ascending.

>>> import secrets
>>> from protocols.paillier import _small_key, encrypt
>>> from protocols.slots import pack
>>> key = _small_key(512, secrets.token_bytes)                 # 11 slots a block
>>> base = FixedBase(key.public, key.public.authority_exponent_bits)
>>> values = np.arange(33).reshape(3, 11)
>>> stored = [
...     encrypt(key.public, pack(v), base.power(secrets.token_bytes(8))) for v in values
... ]
>>> groups = np.array([0] * 22 + [1, -1, 1, 1, -1, 1, 1, 1, -1, -1, 0])
>>> sheaves = bind(groups, 11)
>>> [(sheaf.blocks, sheaf.whole) for sheaf in sheaves]
[((0, 1), True), ((2,), False)]
>>> scale = Scale(UNIT * 32 + 1, 1_000_000)
>>> house = HouseSide(base, sheaves, 2, (scale,))
>>> made = house.message(lambda column, block: stored[block], Drbg(bytes(32)))
>>> totals = authority_totals(
...     key, made.ciphertexts, sheaves, 2, (scale,), Drbg(b"a" * 32)
... ).totals
>>> noisy = bank_read(totals, made.masks)
>>> exact = [int(values.reshape(-1)[groups == g].sum()) for g in (0, 1)]
>>> [bool(abs(noisy[g, 0] - UNIT * exact[g]) < UNIT) for g in (0, 1)]
[True, True]
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from protocols.canon import Tag, digest
from protocols.drbg import Drbg
from protocols.errors import FormatError
from protocols.noise import Scale
from protocols.paillier import (
    HIDING_BITS,
    Ciphertext,
    FixedBase,
    PrivateKey,
    PublicKey,
    check_ciphertexts,
    product,
)
from protocols.slots import SLOT_BITS, SLOT_BYTES, Ints, slots_per_block, unpack

GUARD_BITS: Final = 7
UNIT: Final = 1 << GUARD_BITS  # a value of 1
MODULUS: Final = (1 << SLOT_BITS) - 1
ROOM: Final = 1 << (SLOT_BITS - 1)  # totals and noise stay below it
TAIL: Final = 40  # scales of noise that are provided for
AT_ONCE: Final = 64  # ciphertexts that the native core is handed together
OUTSIDE: Final = -1  # the group of a slot that is in none

Stored: TypeAlias = Callable[[int, int], Ciphertext]  # (column, block) -> ciphertext


@dataclass(frozen=True, slots=True, eq=False)
class Sheaf:
    """Blocks that are masked as one."""

    blocks: tuple[int, ...]  # several only if whole
    groups: Ints  # of each slot; OUTSIDE for none
    whole: bool  # all slots are in one group


def bind(groups: Ints, slots: int) -> tuple[Sheaf, ...]:
    """Lay out which blocks are masked together, for rows with these groups.

    groups: (rows,), in the order of the map, OUTSIDE for a row that is not added.
    Blocks without a row in a group are left alone.  Everybody who is told the
    groups lays them out alike.
    """
    rows = -(-len(groups) // slots) * slots
    padded = np.full(rows, OUTSIDE, np.int64)
    padded[: len(groups)] = groups
    blocks = padded.reshape(-1, slots)
    first = blocks[:, 0]
    whole = (blocks == first[:, None]).all(axis=1) & (first != OUTSIDE)
    sheaves = []
    for group in np.unique(first[whole]).tolist():
        numbers = np.flatnonzero(whole & (first == group)).tolist()
        sheaves.append(Sheaf(tuple(numbers), blocks[numbers[0]], whole=True))
    partly = np.flatnonzero(~whole & (blocks != OUTSIDE).any(axis=1))
    sheaves += [Sheaf((b,), blocks[b], whole=False) for b in partly.tolist()]
    return tuple(sheaves)


def sizes(groups: Ints, count: int) -> tuple[int, ...]:
    """Count the rows of each of `count` groups."""
    found = np.bincount(groups[groups != OUTSIDE], minlength=count)
    return tuple(found.tolist())


def check_room(subjects: int, clip: int, scale: Scale) -> None:
    """Raise `FormatError` unless a group's total has room, with its noise.

    2^7 (subjects x clip) + 40 scales of noise < 2^39.
    """
    noise = -(-TAIL * 1000 * scale.sensitivity // scale.milliepsilon)
    if UNIT * subjects * clip + noise >= ROOM:
        raise FormatError(
            f"a sum of {subjects} values up to {clip} does not fit into a slot",
            "a coarser unit (万元, not fen), a lower cap, fewer subjects a group",
        )


# -- the house -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Made:
    """What the house makes for the authority, and for the bank."""

    ciphertexts: tuple[int, ...]  # one column after the other
    masks: Ints  # (groups, columns), for the bank only


class HouseSide:
    """Masks columns of blocks, sheaf by sheaf."""

    def __init__(
        self,
        obfuscators: FixedBase,
        sheaves: Sequence[Sheaf],
        groups: int,
        scales: Sequence[Scale],
    ) -> None:
        """Take the layout, how many groups it has, and each column's noise."""
        self._obfuscators = obfuscators
        self._public = obfuscators.public
        slots = slots_per_block(self._public.bits)
        self._mask_bytes = SLOT_BYTES * slots + HIDING_BITS // 8
        self._sheaves = sheaves
        self._scales = scales
        self._groups = groups

    def message(
        self,
        stored: Stored,
        drbg: Drbg,
        progress: Callable[[], None] = lambda: None,
    ) -> Made:
        """Mask every sheaf of every column; `progress` is told after each.

        `drbg` is one call's and hangs on what is added up: one mask over two
        versions would show the authority their difference.

        1 add up whole blocks   2 guard bits   3 mask and re-randomise, always
        4 the bank's side of the mask, with noise
        """
        masks = np.zeros((self._groups, len(self._scales)), np.int64)
        ciphertexts: list[int] = []
        for column, scale in enumerate(self._scales):
            own = drbg.child(f"column {column}")
            for first in range(0, len(self._sheaves), AT_ONCE):
                some = self._sheaves[first : first + AT_ONCE]
                totals = [self._total(stored, column, sheaf) for sheaf in some]  # 1, 2
                seeds = [own.child(f"sheaf {first + i}") for i in range(len(some))]
                drawn = [seed.bytes("mask", self._mask_bytes) for seed in seeds]
                ciphertexts += self._masked(totals, drawn, seeds)  # 3
                for sheaf, mask in zip(some, drawn, strict=True):  # 4
                    masks[:, column] += _sums(mask, sheaf, self._groups)
                    progress()
            for group in range(self._groups):
                masks[group, column] -= scale.draw(own, f"group {group}")
        return Made(tuple(ciphertexts), masks % MODULUS)

    def _total(self, stored: Stored, column: int, sheaf: Sheaf) -> Ciphertext:
        total = product(self._public, (stored(column, block) for block in sheaf.blocks))
        for _ in range(GUARD_BITS):
            total = total * total % self._public.n2
        return total

    def _masked(
        self,
        totals: Sequence[Ciphertext],
        drawn: Sequence[bytes],
        seeds: Sequence[Drbg],
    ) -> Iterator[int]:
        long = -(-self._public.authority_exponent_bits // 8)
        masks = [int.from_bytes(mask, "little") for mask in drawn]
        exponents = [seed.bytes("obfuscator", long) for seed in seeds]
        return map(int, self._obfuscators.blind_all(totals, masks, exponents))


def message_digest(public: PublicKey, ciphertexts: Iterable[int]) -> bytes:
    """Hash what the authority is sent: the ticket names this hash."""
    return digest(Tag.AGGREGATE_MESSAGE, message_bytes(public, ciphertexts))


def message_bytes(public: PublicKey, ciphertexts: Iterable[int]) -> bytes:
    """Write ciphertexts one after the other."""
    size = public.ciphertext_bytes
    return b"".join(c.to_bytes(size, "big") for c in ciphertexts)


def masks_bytes(masks: Ints) -> bytes:
    """Write a matrix of numbers below 2^40 - 1: 5 bytes each, group by group."""
    rows = masks.reshape(-1).astype("<i8").view(np.uint8).reshape(-1, 8)
    return rows[:, :SLOT_BYTES].tobytes()


def masks_from_bytes(data: bytes, groups: int, columns: int) -> Ints:
    """Read what `masks_bytes` wrote; raises `FormatError`."""
    if len(data) != SLOT_BYTES * groups * columns:
        raise FormatError(f"expected {groups} x {columns} numbers")
    numbers = unpack(data, range(groups * columns))
    if (numbers >= MODULUS).any():
        raise FormatError("expected numbers below 2^40 - 1")
    return numbers.reshape(groups, columns)


# -- the authority and the bank ------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Summed:
    """What the authority holds after decryption; it keeps none of it in clear."""

    totals: Ints  # (groups, columns), masked and noisy, for the bank only
    decrypted: bytes  # every masked plaintext, one after the other


def authority_totals(
    private: PrivateKey,
    ciphertexts: Sequence[int],
    sheaves: Sequence[Sheaf],
    groups: int,
    scales: Sequence[Scale],
    noise: Drbg,
) -> Summed:
    """Decrypt every mask and add up the listed slots, with noise.

    Raises `FormatError` for another number of ciphertexts, `CiphertextInvalid`;
    all of that is known before the key is used.  What is decrypted is never
    judged: see `PrivateKey.decrypt`.

    1 shape   2 ciphertexts in range, units   3 decrypt   4 add up   5 noise
    """
    public = private.public
    check_message(public, ciphertexts, len(sheaves) * len(scales))  # 1, 2
    totals = np.zeros((groups, len(scales)), np.int64)
    size, decrypted = public.bits // 8, []
    for first in range(0, len(ciphertexts), AT_ONCE):
        some = ciphertexts[first : first + AT_ONCE]
        for number, z in enumerate(private.decrypt_all(some), first):  # 3
            column, place = divmod(number, len(sheaves))
            plain = z.to_bytes(size, "little")
            decrypted.append(plain)
            totals[:, column] += _sums(plain, sheaves[place], groups)  # 4
    for column, scale in enumerate(scales):
        for group in range(groups):
            totals[group, column] += scale.draw(noise, f"{column} {group}")  # 5
    return Summed(totals % MODULUS, b"".join(decrypted))


def check_message(public: PublicKey, ciphertexts: Sequence[int], count: int) -> None:
    """Raise `FormatError` or `CiphertextInvalid` unless these may be decrypted."""
    if len(ciphertexts) != count or not count:
        raise FormatError(f"expected {count} ciphertexts, got {len(ciphertexts)}")
    check_ciphertexts(public, ciphertexts)


def bank_read(totals: Ints, masks: Ints) -> Ints:
    """Take the masks off: sums in units of 2^-7, with both noises.

    Rounding to units of 1 is the reader's: `rounded`.
    """
    difference = (totals - masks) % MODULUS
    return np.where(difference < ROOM, difference, difference - MODULUS)


def rounded(units: int) -> int:
    """Round to a whole number; a half goes up."""
    return (units + UNIT // 2) >> GUARD_BITS


def _sums(plain: bytes, sheaf: Sheaf, groups: int) -> Ints:
    """Add up a plaintext's slots by group, modulo 2^40 - 1: (groups,)."""
    sums = np.zeros(groups, np.int64)
    if sheaf.whole:
        # the whole number: head room, and carries between its slots, included
        sums[sheaf.groups[0]] = int.from_bytes(plain, "little") % MODULUS
        return sums
    taken = np.flatnonzero(sheaf.groups != OUTSIDE)
    np.add.at(sums, sheaf.groups[taken], unpack(plain, taken.tolist()))
    return sums % MODULUS
