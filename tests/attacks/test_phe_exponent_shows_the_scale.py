"""Crime: floats under phe's encoding.

A number of phe carries its exponent in clear: 0.1 and 100000.0 are told apart by
anyone, and so is a salary in yuan from one in fen.
"""

import phe
import pytest

from protocols.errors import FormatError
from protocols.paillier import PrivateKey, from_phe, public_to_phe


def test_the_exponent_is_public(key: PrivateKey) -> None:
    """No key is needed to sort floats by size."""
    public = public_to_phe(key.public)
    exponents = [public.encrypt(x).exponent for x in (0.001, 0.5, 5000.25)]
    assert exponents == sorted(exponents)
    assert len(set(exponents)) == 3


def test_ours_takes_integers_only(key: PrivateKey) -> None:
    """Any exponent but 0 is refused by name."""
    public = public_to_phe(key.public)
    with pytest.raises(FormatError, match="expected exponent 0, got -14"):
        from_phe(key.public, public.encrypt(0.5))
    with pytest.raises(FormatError, match="expected exponent 0, got 3"):
        from_phe(key.public, phe.EncryptedNumber(public, 5, 3))
