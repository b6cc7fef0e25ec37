"""Crime: a value that is no value of a slot, in a block of many subjects.

A bank's own ciphertext added to a block once read its neighbours.  There is no
such input any more; what remains is a custodian who packs -1, or half of one
modulo n, in its own slot and moves the subject in the next.
"""

from dataclasses import replace

import pytest
from gmpy2 import invert

from protocols.blocks import opening, verify_opening
from protocols.drbg import Drbg
from protocols.errors import FormatError, ProofInvalid
from protocols.paillier import Ciphertext, FixedBase, PrivateKey, encrypt
from protocols.program import Program, Scorecard
from protocols.slots import Ints, pack, unpack

DRBG = Drbg(b"the custodian's seed".ljust(32))


def test_half_of_one_makes_a_neighbour_visible(key: PrivateKey) -> None:
    """1/2 modulo n, doubled, turns the guard bit of its slot: 2v + 1 is not safe.

    One more carry from below then reaches v itself, and its frequency is the
    neighbour's value.  Only a party whose ciphertext is added can do this.
    """
    half = invert(2, key.public.n)
    assert 2 * half % key.public.n == 1


def test_the_program_takes_stored_columns_only(
    key: PrivateKey, card: Scorecard, block: list[Ciphertext]
) -> None:
    """A ciphertext more, from a bank, has no place in the sum."""
    with pytest.raises(RuntimeError, match="expected 8 columns, got 9"):
        Program(card).run(key.public, [*block, block[0]])


def test_minus_one_in_a_slot_moves_the_next(key: PrivateKey, people: Ints) -> None:
    """What a lying custodian could do: the subject in slot 6 loses a point."""
    values = people[0].copy()
    plain = (pack(values) - ((int(values[5]) + 1) << 200)) % key.public.n
    moved = unpack(int(plain).to_bytes(64, "little"), range(11))
    assert moved[6] == values[6] - 1


@pytest.mark.parametrize("value", [-1, 1 << 40])
def test_ours_does_not_pack_it(people: Ints, value: int) -> None:
    """The honest custodian's code refuses."""
    values = people[0].copy()
    values[5] = value
    with pytest.raises(FormatError, match="slot 5"):
        pack(values)


def test_ours_finds_it_by_opening(
    key: PrivateKey, base: FixedBase, people: Ints
) -> None:
    """A sampled ciphertext must be shown; no values within limits match it."""
    public, honest = key.public, opening(key.public, DRBG, 0, 0, people[0])
    lie = (pack(people[0]) - ((int(people[0, 5]) + 1) << 200)) % int(public.n)
    c = encrypt(public, lie, base.power(honest.exponent))
    with pytest.raises(ProofInvalid, match="does not hold"):
        verify_opening(base, c, honest, 100)
    confessed = (*honest.values[:5], -1, *honest.values[6:])
    with pytest.raises(ProofInvalid, match="beyond 0 to 100"):
        verify_opening(base, c, replace(honest, values=confessed), 100)
