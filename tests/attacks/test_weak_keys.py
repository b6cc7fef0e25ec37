"""Crime: a key with p = q, close primes, a small or even n, or the wrong shape."""

from collections.abc import Callable
from itertools import count

import pytest
from gmpy2 import is_square, isqrt, mpz, next_prime

from protocols import paillier
from protocols.drbg import Drbg
from protocols.errors import KeyInvalid
from protocols.paillier import PrivateKey, PublicKey

NUMBERS, DRBG = count(), Drbg(b"weak keys".ljust(32))
GOOD = paillier._generate_with(
    2048, lambda length: DRBG.bytes(f"key {next(NUMBERS)}", length)
)
P, Q = GOOD.p, GOOD.q


def prime_after(start: mpz, fits: Callable[[mpz], bool]) -> mpz:
    """Find the next prime with some property."""
    p = next_prime(start)
    while not fits(p):
        p = next_prime(p)
    return p


@pytest.mark.parametrize(
    ("n", "crime"),
    [
        (P * P, "square"),
        (GOOD.public.n - 1, "even"),
        (P, "got 1024"),
        (GOOD.public.n >> 1 | 1, "got 2047"),
        (GOOD.public.n << 1 | 1, "got 2049"),
        ((mpz(1) << 3080) - 1, "steps of 16"),
        (mpz(0), "not positive"),
        (-GOOD.public.n, "not positive"),
    ],
)
def test_a_bad_modulus_is_refused(n: mpz, crime: str) -> None:
    """From a domain file or a wire, before it encrypts anything."""
    with pytest.raises(KeyInvalid, match=crime):
        PublicKey(n)


def test_a_small_factor_is_found_where_it_would_hurt() -> None:
    """The base of all obfuscators shares it: refused before it obfuscates."""
    n = 3 * 5 * 7 * 11 * 13 * mpz(3) ** 40
    with pytest.raises(KeyInvalid, match="small factor"):
        paillier._SmallPublicKey(n).h_s()


@pytest.mark.parametrize(
    ("p", "q", "crime"),
    [
        (P, P, "equal"),
        (P, next_prime(P), "close"),
        (P, prime_after(Q, lambda q: q % 4 == 1), "3 modulo 4"),
        (P, Q + 4 * 3, "not both prime"),
        (P, mpz(10007), "length"),
    ],
    ids=["equal", "close", "1 modulo 4", "composite", "lengths"],
)
def test_a_bad_pair_is_refused(p: mpz, q: mpz, crime: str) -> None:
    """From a key file or from phe, before it decrypts anything."""
    with pytest.raises(KeyInvalid, match=crime):
        PrivateKey(p, q)


def test_a_common_factor_of_the_orders_is_refused() -> None:
    """gcd(p - 1, q - 1) = 6: the squares are no cyclic group."""

    def fits(p: mpz) -> bool:
        return p % 12 == 7

    p, q = prime_after(P, fits), prime_after(Q, fits)
    with pytest.raises(KeyInvalid, match="share a factor"):
        PrivateKey(p, q)


def test_close_primes_fall_to_fermat() -> None:
    """Why: the first square above n is enough."""
    n = P * next_prime(P)
    middle = isqrt(n) + 1
    assert is_square(middle * middle - n)
