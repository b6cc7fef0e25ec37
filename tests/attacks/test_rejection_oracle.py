"""Crime: the authority refuses a plaintext that is "too large".

The check looks prudent.  But the sender multiplies its ciphertext by a number of
its choice first, and each refusal or acceptance is one comparison: a column of 37
bits is read in 37 evaluations, by a broken house alone.
"""

from dataclasses import replace

from gmpy2 import powmod

from protocols.lookup import FlatGate, authority_pick, house_message
from protocols.paillier import Ciphertext, FixedBase, PrivateKey, encrypt
from protocols.program import Scorecard

SECRET = 98_765_432_109
BOUND = 1 << 40 * 11 + 65  # slots, and the mask's 64 bits and carry


def test_a_refusal_is_a_comparison(key: PrivateKey, base: FixedBase) -> None:
    """37 answers of a prudent authority give the exact value."""
    public = key.public
    stored = encrypt(public, SECRET, base.power(b"\1" * 32))

    def refused(c: Ciphertext) -> bool:
        return key.decrypt(c) >= BOUND  # the check that is absent from ours

    low, high, asked = 0, 1 << 37, 0
    while low < high:
        middle = (low + high) // 2
        factor = -(-BOUND // (middle + 1))  # x factor >= BOUND  <=>  x > middle
        asked += 1
        if refused(powmod(stored, factor, public.n2)):
            low = middle + 1
        else:
            high = middle
    assert (low, asked) == (SECRET, 37)


def test_ours_answers_alike_whatever_is_inside(
    key: PrivateKey, base: FixedBase, card: Scorecard, total: Ciphertext
) -> None:
    """The largest plaintext and the smallest: rows of one shape, no refusal."""
    gate, public = FlatGate(card), key.public
    message, _ = house_message(gate, public, base, total, (3,), bytes(32))
    for plaintext in (0, BOUND - 1, BOUND, int(public.n) - 1):
        c = encrypt(public, plaintext, base.power(b"\7" * 72))
        picked = authority_pick(gate, key, replace(message, ciphertext=int(c)))
        assert picked.rows.shape == (1, gate.row_bytes)
