"""Crime: house or authority reads what the bank adds in its half of it.

The house has b1, makes the keys of the range's lock, and passes on the sealed b2; the
authority has b2, looks up with it, and evaluates its key.  Whether b is 0, the most or
beyond the range must not show: not in a half, not in both halves' surroundings, not in
what journals hold.
"""

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocols import sharing
from protocols.drbg import Drbg
from protocols.lookup import FlatGate, authority_pick, mask
from protocols.paillier import encrypt
from protocols.program import Program
from protocols.slots import Ints, pack
from tests.hostile import journal
from tests.joint_town import LEAST, JointTown
from tests.simulator import World
from tests.test_lookup import BASE, KEY, PUBLIC, SLOTS, chi_square
from tests.test_range_lock import card_of

CARD = card_of(9, 50, (60, 61, 150))
GATE = FlatGate(CARD)
NUMBERS = {"the least": 0, "the most": 50, "beyond": 51}
TOTAL, SLOT, CALLS = 57, 3, 400


@dataclass
class View:
    """What was seen in many calls, an item a call."""

    house: Ints  # b1
    authority: Ints  # u, b2, its share of the lock, then bytes of its key


def look(number: int) -> View:
    """Score with one number again and again, encryption and decryption included."""
    people = np.zeros((4, SLOTS), np.int64)
    people[0], people[3] = TOTAL, 1
    columns = [encrypt(PUBLIC, pack(row), BASE.power(b"\x05\x06")) for row in people]
    totals = [Program(CARD).run(PUBLIC, columns)]
    drbg, house, authority = Drbg(number.to_bytes(32, "big")), [], []
    for call in range(CALLS):
        drawn = drbg.bytes(f"share {call}", 16)
        mine, theirs = sharing.split(number, CARD.m, bytes(32), drawn)
        seed = drbg.bytes(f"seed {call}", 32)
        message, _ = mask(GATE, BASE, totals, (SLOT,), seed, (mine.value,))
        picked = authority_pick(GATE, KEY, message, shares=(theirs,))
        key = message.tables[GATE._score_end : GATE._score_end + 40]
        lock = int(picked.rows[0, -1])
        authority.append([int(picked.u[0, 0]), theirs, lock, *key])
        house.append([mine.value])
    return View(np.array(house, np.int64), np.array(authority, np.int64))


@pytest.mark.parametrize("name", NUMBERS)
def test_neither_half_says_anything(name: str) -> None:
    """Uniform numbers and bytes, alone and beside each other."""
    seen = look(NUMBERS[name])
    u, theirs, lock, *key = seen.authority.T
    for half in (seen.house[:, 0], theirs):
        assert chi_square(half >> 4, 32) < 5
        assert chi_square(half & 31, 32) < 5
    for row in (u, (u - 2 * theirs) % 1024, (u ^ 2 * theirs) % 1024):
        assert chi_square(row >> 5, 32) < 5
    assert chi_square(lock >> 3, 32) < 5  # within the range or not
    for column in key:
        if column.max() > 1:  # not a flag
            assert chi_square(column >> 3, 32) < 5


def test_the_two_halves_together_are_the_number() -> None:
    """Which is why they are two: the check above would notice a half that leaks."""
    seen = look(50)
    assert set((seen.house[:, 0] + seen.authority[:, 1]).tolist()) <= {50, 562}
    with pytest.raises(AssertionError):
        assert chi_square((seen.house[:, 0] + seen.authority[:, 1]) % 512 >> 4, 32) < 5


def test_the_sealed_half_is_not_found_by_sealing_all_of_them() -> None:
    """The house has the box, its hash, the key and the 512 numbers that it can hold."""
    private, jti, contract = X25519PrivateKey.generate(), bytes(16), bytes(32)
    public = private.public_key()
    box = sharing.seal(public, 41, jti, contract)
    found = {sharing.seal(public, guess, jti, contract) for guess in range(512)}
    assert box not in found
    assert len(found) == 512
    assert {len(other) for other in found} == {len(box)}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JointTown]:
    """Run a town."""
    with World(tmp_path_factory.mktemp("half")) as world:
        yield JointTown(world, 1)


def test_nothing_in_the_journals_is_a_digest_of_the_number(town: JointTown) -> None:
    """Neither of the number, nor of the points, nor of a half under a known salt."""
    (subject,) = town.ids
    town.consent(subject)
    row = {"开户年数": "7.25", "逾期": 1}
    number = town.added(town.flat, row)
    with town.bank() as bank:
        town.ask(bank, "german-joint", subject, row)
        assert bank.flush() == 0
    forms = [
        form
        for value in (number, number + LEAST)
        for form in (
            str(value).encode(),
            *(
                value.to_bytes(n, order, signed=value < 0)
                for n in (5, 8, 32)
                for order in ("big", "little")
            ),
        )
    ]
    digests = {hashlib.sha256(form).hexdigest() for form in forms} | {
        sharing.HouseShare(salt, half).commitment().hex()
        for salt in (bytes(32), secrets.token_bytes(32))
        for half in range(1 << town.flat.card.m)
    }
    for core in (town.house, town.authority):
        text = "\n".join(str(entry.body) for entry in journal(core))
        assert not [digest for digest in digests if digest in text]
