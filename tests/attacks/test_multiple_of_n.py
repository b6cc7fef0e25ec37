"""Crime: the authority decrypts c = n.

n is no unit.  Decryption by the Chinese remainder gives the inverse of p + q:
whoever sees that plaintext solves x^2 - (p + q) x + n = 0 and holds the key.  The
house sends c = n and an accomplice bank reads 40 bits of the answer a slot.
"""

from dataclasses import replace

import pytest
from gmpy2 import invert, isqrt

from protocols.errors import CiphertextInvalid
from protocols.lookup import FlatGate, authority_pick, house_message
from protocols.paillier import Ciphertext, FixedBase, PrivateKey, check_ciphertexts
from protocols.program import Scorecard


@pytest.mark.parametrize("multiple", [1, 2, 17])
def test_one_such_decryption_factors_n(key: PrivateKey, multiple: int) -> None:
    """From z and n alone."""
    n = key.public.n
    z = key.decrypt(multiple * n)  # unchecked: what the authority must never do
    sum_ = invert(z, n)
    root = isqrt(sum_ * sum_ - 4 * n)
    assert {(sum_ + root) // 2, (sum_ - root) // 2} == {key.p, key.q}


@pytest.mark.parametrize("multiple", [1, 2, 17])
def test_ours_refuses_before_the_key_is_used(
    key: PrivateKey, base: FixedBase, card: Scorecard, total: Ciphertext, multiple: int
) -> None:
    """Alone or hidden in a message among good ones."""
    gate, bad = FlatGate(card), multiple * int(key.public.n)
    message, _ = house_message(gate, key.public, base, total, (0,), bytes(32))
    with pytest.raises(CiphertextInvalid, match="not a unit"):
        authority_pick(gate, key, replace(message, ciphertext=bad))
    with pytest.raises(CiphertextInvalid, match="ciphertext 3 is not a unit"):
        check_ciphertexts(key.public, [message.ciphertext] * 3 + [bad])


@pytest.mark.parametrize("shift", [-1, 1])
def test_ours_refuses_other_names_of_a_ciphertext(
    key: PrivateKey, base: FixedBase, card: Scorecard, total: Ciphertext, shift: int
) -> None:
    """The alias c + n^2 decrypts alike: one message with two hashes."""
    gate = FlatGate(card)
    message, _ = house_message(gate, key.public, base, total, (0,), bytes(32))
    alias = message.ciphertext + shift * int(key.public.n2)
    assert key.decrypt(alias) == key.decrypt(message.ciphertext)
    with pytest.raises(CiphertextInvalid, match="out of range"):
        authority_pick(gate, key, replace(message, ciphertext=alias))
