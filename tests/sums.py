"""The mathematics of one sum, many times: for attacks that count."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from protocols import paillier
from protocols.aggregate import (
    UNIT,
    HouseSide,
    Made,
    Sheaf,
    Summed,
    authority_totals,
    bank_read,
    bind,
)
from protocols.drbg import Drbg
from protocols.noise import Scale
from protocols.paillier import FixedBase, PrivateKey, encrypt
from protocols.slots import Ints, pack, slots_per_block

TINY = 256  # bits: four subjects in a block


@dataclass(frozen=True)
class Told:
    """One run, and everything that anybody has seen or drawn in it."""

    made: Made
    summed: Summed
    ours: int  # the house's noise
    theirs: int  # the authority's

    @property
    def released(self) -> int:
        """What the bank reads of the one group, in units of 2^-7."""
        return int(bank_read(self.summed.totals, self.made.masks)[0, 0])


@dataclass
class Sum:
    """A sum over some of the rows: one column, one group."""

    values: Sequence[int]
    groups: Sequence[int]
    scale: Scale
    key: PrivateKey
    base: FixedBase
    runs: int = 0
    stored: list[paillier.Ciphertext] = field(init=False)

    def __post_init__(self) -> None:
        slots = slots_per_block(self.key.public.bits)
        padded = np.zeros(-(-len(self.values) // slots) * slots, np.int64)
        padded[: len(self.values)] = self.values
        self.stored = [
            encrypt(
                self.key.public, pack(block), self.base.power(secrets.token_bytes(8))
            )
            for block in padded.reshape(-1, slots)
        ]

    @property
    def sheaves(self) -> tuple[Sheaf, ...]:
        """The layout."""
        groups: Ints = np.array(self.groups, np.int64)
        return bind(groups, slots_per_block(self.key.public.bits))

    def run(self) -> Told:
        """Ask once more, with fresh seeds at both nodes."""
        ours, theirs = Drbg(secrets.token_bytes(32)), Drbg(secrets.token_bytes(32))
        scales, sheaves = (self.scale,), self.sheaves
        made = HouseSide(self.base, sheaves, 1, scales).message(
            lambda _column, block: self.stored[block], ours
        )
        summed = authority_totals(
            self.key, made.ciphertexts, sheaves, 1, scales, theirs
        )
        return Told(
            made,
            summed,
            self.scale.draw(ours.child("column 0"), "group 0"),
            self.scale.draw(theirs, "0 0"),
        )


def scene() -> tuple[PrivateKey, FixedBase]:
    """Draw a tiny key, and its obfuscators."""
    key = paillier._small_key(TINY, secrets.token_bytes)
    return key, FixedBase(key.public, key.public.authority_exponent_bits)


def scale_of(clip: int, milliepsilon: int) -> Scale:
    """Return the noise of values up to `clip`."""
    return Scale(UNIT * clip + 1, milliepsilon)
