"""What each party sees of a claim, given the value and the claim: noise.

The whole way of one call, encryption and decryption included, many times with fresh
randomness; then chi-square, beyond 5 is no accident.  The value is fixed, and each
claim: at the value, within the tolerance, on either side of it, and far away.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from protocols import sharing
from protocols.drbg import Drbg
from protocols.lookup import authority_pick, bank_open, mask
from protocols.paillier import encrypt
from protocols.program import INSUFFICIENT_DATA, Group, Program, Scorecard
from protocols.slots import Ints, pack
from protocols.thr import ThrGate
from tests.test_lookup import BASE, KEY, PUBLIC, SLOTS, chi_square

LIMIT, TOLERANCE, VALUE = 1 << 37, 1_000, 1_234_567_890
GROUPS = (Group(INSUFFICIENT_DATA, (1,), -1, 1),)
STEPS = ((0, 0), (LIMIT - TOLERANCE, 1), (LIMIT + TOLERANCE + 1, 0))
CARD = Scorecard(
    (1, 0), 0, (1 << 38) - 1, 39, STEPS, GROUPS, Scorecard.layout(39, GROUPS)
)
GATE = ThrGate(CARD, outside=0)
CALLS = 700
SLOT = 3
CLAIMS = {
    "equal": VALUE,
    "within": VALUE + TOLERANCE,
    "too high": VALUE + TOLERANCE + 1,
    "too low": VALUE - TOLERANCE - 1,
    "far away": 5,
}


@dataclass
class View:
    """What was seen in many calls, an item a call."""

    codes: list[int]
    authority: Ints  # u, both masked slots, b2, its byte, then bytes of its key
    bank: Ints  # u, the authority's byte
    house: Ints  # b1


def slot_of(z: int) -> int:
    """Read the slot out of a masked plaintext."""
    plain = z.to_bytes(PUBLIC.bits // 8, "little")
    return int.from_bytes(plain[5 * SLOT : 5 * SLOT + 5], "little")


def look(claim: int, *, present: bool = True) -> View:
    """Verify a claim again and again."""
    people = (np.full(SLOTS, VALUE if present else 0), np.full(SLOTS, int(present)))
    columns = [encrypt(PUBLIC, pack(row), BASE.power(b"\x05\x06")) for row in people]
    totals = [Program(CARD, part).run(PUBLIC, columns) for part in range(CARD.parts)]
    codes, authority, bank, house = [], [], [], []
    drbg = Drbg(claim.to_bytes(32, "big"))
    for number in range(CALLS):
        salt, drawn = bytes(32), drbg.bytes(f"share {number}", 16)
        mine, theirs = sharing.split(LIMIT - claim, CARD.m, salt, drawn)
        seed = drbg.bytes(f"seed {number}", 32)
        message, pads = mask(GATE, BASE, totals, (SLOT,), seed, (mine.value,))
        picked = authority_pick(GATE, KEY, message, shares=(theirs,))
        codes += bank_open(GATE, picked.u, picked.rows, pads, (SLOT,)).tolist()
        u, byte = int(picked.u[0, 0]), int(picked.rows[0, -1])
        key = message.tables[GATE._score_at : GATE._score_at + 16]
        masked = [slot_of(KEY.decrypt(part)) for part in message.ciphertexts]
        authority.append([u, *masked, theirs, byte, *key])
        bank.append([u, byte])
        house.append([mine.value])
    return View(codes, *(np.array(v, np.int64) for v in (authority, bank, house)))


def check_uniform(values: Ints, bits: int) -> None:
    """Check the top and the bottom bits of numbers of `bits` bits."""
    assert chi_square(values >> bits - 5, 32) < 5
    assert chi_square(values & 31, 32) < 5


@pytest.mark.parametrize("name", CLAIMS)
def test_nobody_but_the_bank_sees_anything(name: str) -> None:
    """And the bank sees whether it matches, not on which side it does not."""
    seen = look(CLAIMS[name])
    assert set(seen.codes) == {int(abs(CLAIMS[name] - VALUE) <= TOLERANCE)}
    u, masked, second, theirs, byte, *key = seen.authority.T
    check_uniform(u, 40)
    check_uniform(masked, 40)  # before its own share is added
    check_uniform(second, 40)  # the field of who is missing, and what lies above it
    check_uniform(theirs, 39)
    check_uniform((u - theirs) % (1 << 40), 40)  # nor does one say more of the other
    check_uniform((u ^ 2 * theirs) % (1 << 40), 40)
    assert chi_square(byte, 2) < 5
    for column in key:
        assert chi_square(column >> 3, 32) < 5
    check_uniform(seen.house[:, 0], 39)
    check_uniform(seen.bank[:, 0], 40)
    assert chi_square(seen.bank[:, 1], 2) < 5


def test_the_house_s_and_the_authority_s_shares_say_the_claim_together() -> None:
    """Which is why they are two: the check above would notice a share that leaks."""
    seen = look(CLAIMS["equal"])
    together = (seen.house[:, 0] + seen.authority[:, 3]) % (1 << 39)
    assert set(together.tolist()) == {LIMIT - VALUE}
    with pytest.raises(AssertionError):
        check_uniform(together, 39)


def test_of_somebody_unknown_the_bank_sees_no_comparison() -> None:
    """No lock, no key: the authority's byte is a coin, and nothing opens it."""
    seen = look(0, present=False)  # a claim of 0, which the empty slot would match
    assert set(seen.codes) == {-2}
    check_uniform(seen.bank[:, 0], 40)
    assert chi_square(seen.bank[:, 1], 2) < 5
