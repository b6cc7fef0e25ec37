"""Crime: encryption with r = 0 or 1, so that the obfuscator is 1 or a constant.

(1 + m n) shows m to everyone: subtract 1 and divide by n.
"""

import numpy as np
import pytest

from protocols.blocks import encrypt_block
from protocols.drbg import Drbg
from protocols.paillier import FixedBase, PrivateKey, ciphertext_from_bytes, encrypt
from protocols.slots import Ints, pack


def test_with_obfuscator_one_everyone_reads(key: PrivateKey) -> None:
    """No key is needed."""
    c = encrypt(key.public, 424_242, 1)
    assert (c - 1) // key.public.n == 424_242


@pytest.mark.parametrize("length", [0, 1, 32, 72])
def test_ours_refuses_an_exponent_of_zero(base: FixedBase, length: int) -> None:
    """A source of zeros is broken; it stops instead of hiding nothing."""
    with pytest.raises(RuntimeError, match="not all zero"):
        base.power(bytes(length))


def test_ours_never_stores_a_bare_plaintext(base: FixedBase, people: Ints) -> None:
    """The same reading of a stored record finds no value; zeros hide too."""
    public, size = base.public, base.public.ciphertext_bytes
    zeros = np.zeros_like(people)
    for values in (people, zeros):
        records = encrypt_block(base, Drbg(bytes(32)), 0, values, [100] * 8)
        for column, row in enumerate(values):
            c = ciphertext_from_bytes(records[column * size : (column + 1) * size])
            assert c % public.n != 1
            assert (c - 1) // public.n != pack(row)
