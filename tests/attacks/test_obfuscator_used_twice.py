"""Crime: two messages carry the same obfuscator.

A pool copied by a fork, or a counter that went back: the quotient of the two
ciphertexts is 1 + n (difference), and anyone reads the difference of the masked
plaintexts without a key.
"""

from gmpy2 import invert

from protocols.lookup import FlatGate, house_message
from protocols.paillier import Ciphertext, FixedBase, PrivateKey, encrypt
from protocols.program import Scorecard


def test_used_twice_the_difference_is_public(key: PrivateKey, base: FixedBase) -> None:
    """Two plaintexts under one obfuscator: their difference, from n alone."""
    public, once = key.public, base.power(b"\3" * 72)
    a, b = (encrypt(public, m, once) for m in (1_000_000, 999_123))
    quotient = a * invert(b, public.n2) % public.n2
    assert quotient % public.n == 1
    assert (quotient - 1) // public.n == 877


def test_ours_draws_one_for_every_message(
    key: PrivateKey, base: FixedBase, card: Scorecard, total: Ciphertext
) -> None:
    """No quotient of two messages is 1 modulo n."""
    public, gate = key.public, FlatGate(card)
    sent = [
        house_message(gate, public, base, total, (0,), bytes([i]) * 32)[0].ciphertext
        for i in range(12)
    ]
    residues = {c % public.n for c in sent}
    assert len(residues) == len(sent)
