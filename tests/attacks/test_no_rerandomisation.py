"""Crime: the house masks the plaintext but does not re-randomise.

A mask is a factor 1 + n R, which is 1 modulo n: c mod n is then the product of
the stored obfuscators, the same for every call over a block.  Anyone on the wire
links the calls of one block, and so of one subject, without any key.
"""

import secrets

from protocols.lookup import FlatGate, house_message
from protocols.paillier import Ciphertext, FixedBase, PrivateKey
from protocols.program import Scorecard


def test_without_an_obfuscator_calls_are_linked(
    key: PrivateKey, total: Ciphertext
) -> None:
    """Two messages with fresh masks agree modulo n."""
    public = key.public
    masks = [int.from_bytes(secrets.token_bytes(60), "big") for _ in range(2)]
    first, second = (total * (1 + mask * public.n) % public.n2 for mask in masks)
    assert first != second
    assert first % public.n == second % public.n


def test_ours_are_not(
    key: PrivateKey, base: FixedBase, card: Scorecard, total: Ciphertext
) -> None:
    """Messages over one block differ modulo n, from each other and from the total."""
    gate = FlatGate(card)
    residues = {
        house_message(gate, key.public, base, total, (0,), bytes([i]) * 32)[
            0
        ].ciphertext
        % key.public.n
        for i in range(20)
    }
    assert len(residues | {total % key.public.n}) == 21
