"""Crime: a job resumed after an update of its data uses the same masks.

The authority subtracts the two plaintexts it decrypted: the mask drops out, and
it reads whose record changed and by how much, for people who consented to nothing.
"""

import hashlib

from protocols.drbg import block_seed
from protocols.lookup import FlatGate, house_message
from protocols.paillier import Ciphertext, FixedBase, PrivateKey, encrypt
from protocols.program import Program, Scorecard
from protocols.slots import Ints, pack

SEED = b"one job".ljust(32)


def changes(before: int, after: int, slots: int) -> dict[int, int]:
    """Read the difference of two masked plaintexts, slot by slot, signed."""
    difference, found = after - before, {}
    for t in range(slots):
        value = ((difference >> 40 * t) + (1 << 39)) % (1 << 40) - (1 << 39)
        if value:
            found[t] = value // 2
            difference -= value << 40 * t
    return found


def updated(
    key: PrivateKey, base: FixedBase, people: Ints, block: list[Ciphertext]
) -> list[Ciphertext]:
    """Correct two people's first column."""
    column = people[0].copy()
    column[5] += 37
    column[8] -= 1
    return [encrypt(key.public, pack(column), base.power(b"\5" * 32)), *block[1:]]


def test_one_mask_over_two_versions_shows_the_difference(
    key: PrivateKey,
    base: FixedBase,
    card: Scorecard,
    people: Ints,
    block: list[Ciphertext],
) -> None:
    """Weight 3: the authority reads +111 in slot 5 and -3 in slot 8."""
    gate, public = FlatGate(card), key.public
    z = [
        key.decrypt(
            house_message(
                gate, public, base, Program(card).run(public, data), (0,), SEED
            )[0].ciphertext
        )
        for data in (block, updated(key, base, people, block))
    ]
    assert changes(z[0], z[1], 11) == {5: 111, 8: -3}


def test_ours_hangs_the_mask_on_the_inputs(
    key: PrivateKey,
    base: FixedBase,
    card: Scorecard,
    people: Ints,
    block: list[Ciphertext],
) -> None:
    """Same job, same block, another root of inputs: every slot is noise."""
    gate, public, z = FlatGate(card), key.public, []
    for data in (block, updated(key, base, people, block)):
        root = hashlib.sha256(repr(data).encode()).digest()
        seed = block_seed(SEED, 3, root)
        total = Program(card).run(public, data)
        message, _ = house_message(gate, public, base, total, (0,), seed)
        z.append(key.decrypt(message.ciphertext))
    found = changes(z[0], z[1], 11)
    assert len(found) == 11
    assert (found[5], found[8]) != (111, -3)
