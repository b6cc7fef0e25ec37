"""Crime: what the authority receives is re-randomised with a short exponent.

Half the length of n is enough against everyone else.  The authority knows p and
q, and may have chosen p - 1 and q - 1 smooth: discrete logarithms are then easy.
Two messages over one block differ by h_s^(r1 - r2), whose logarithm is short
when r is; of a long r it is uniform in the group.  (With honest primes the same
costs one logarithm modulo each prime: slow, but bought once for all calls.)
"""

import secrets
from random import Random

import pytest
from gmpy2 import invert, is_prime, mpz, next_prime, powmod

from protocols.drbg import Drbg
from protocols.lookup import FlatGate, house_message
from protocols.paillier import (
    Ciphertext,
    FixedBase,
    PrivateKey,
    _SmallPrivateKey,
    encrypt,
)
from protocols.program import Scorecard

BITS = 256


def smooth_prime(rnd: Random, pool: list[int], bits: int) -> tuple[mpz, list[int]]:
    """Find p = 2 f1 f2 ... + 1 with factors taken from `pool`; return them too."""
    while True:
        rnd.shuffle(pool)
        product, taken = mpz(2), 0
        while product.bit_length() < bits - 11:
            product *= pool[taken]
            taken += 1
        for i in range(taken, len(pool)):
            p = product * pool[i] + 1
            if p.bit_length() == bits and is_prime(p) and p >> bits - 2 == 3:
                factors = [*pool[:taken], pool[i]]
                for factor in factors:
                    pool.remove(factor)
                return p, factors


def logarithm(g: mpz, y: mpz, p: mpz, factors: list[int]) -> tuple[mpz, mpz]:
    """Find x with g^x = y modulo p, modulo the factors (Pohlig and Hellman)."""
    x, modulus = mpz(0), mpz(1)
    for f in factors:
        g_f, y_f = powmod(g, (p - 1) // f, p), powmod(y, (p - 1) // f, p)
        power, digit = mpz(1), 0
        while power != y_f:  # at most a few thousand
            power, digit = power * g_f % p, digit + 1
        x += modulus * ((digit - x) * invert(modulus, f) % f)
        modulus *= f
    return x, modulus


class Scene:
    """An authority that chose its primes, and what it reads off two messages."""

    def __init__(self) -> None:
        rnd, pool, prime = Random(4), [], mpz(1000)
        while prime < 2000:
            prime = next_prime(prime)
            pool.append(int(prime))
        p, self.p_factors = smooth_prime(rnd, pool, BITS // 2)
        q, self.q_factors = smooth_prime(rnd, pool, BITS // 2)
        self.key: PrivateKey = _SmallPrivateKey(p, q)
        self.public = self.key.public
        self.base = FixedBase(self.public, self.public.authority_exponent_bits)
        self.h_s = self.public.h_s()
        self.total = encrypt(
            self.public, 12345, self.base.power(secrets.token_bytes(16))
        )

    def bits_of_the_logarithm(self, c: Ciphertext, d: Ciphertext) -> int:
        """Take log(c/d) as a signed number; 1 + n R is 1 modulo p and q."""
        ratio, x, modulus = c * invert(d, self.public.n2), mpz(0), mpz(1)
        for prime, factors in (
            (self.key.p, self.p_factors),
            (self.key.q, self.q_factors),
        ):
            r, m = logarithm(self.h_s % prime, ratio % prime, prime, factors)
            x += modulus * ((r - x) * invert(modulus, m) % m)
            modulus *= m
        return min(x, modulus - x).bit_length()


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Choose the primes once."""
    return Scene()


def test_short_exponents_link_two_calls_over_one_block(scene: Scene) -> None:
    """With r of n/2 bits the quotient's logarithm has n/2 bits, and gives it away."""
    public = scene.public
    first, second = (
        scene.total
        * (1 + int.from_bytes(secrets.token_bytes(28), "big") * public.n)
        * scene.base.power(secrets.token_bytes(public.stored_exponent_bits // 8))
        % public.n2
        for _ in range(2)
    )
    assert scene.bits_of_the_logarithm(first, second) <= BITS // 2 + 1


def test_ours_fill_the_group(scene: Scene, card: Scorecard) -> None:
    """With r of 64 bits more than n nothing of the quotient is short."""
    gate = FlatGate(card)
    first, second = (
        house_message(gate, scene.public, scene.base, scene.total, (0,), seed)[0]
        for seed in (bytes(32), bytes([1]) * 32)
    )
    bits = scene.bits_of_the_logarithm(first.ciphertext, second.ciphertext)
    assert bits > BITS - 30


def test_the_exponent_of_a_message_is_long(
    key: PrivateKey, base: FixedBase, card: Scorecard, total: Ciphertext
) -> None:
    """A table of stored length cannot even be used for a message."""
    short = FixedBase(key.public, key.public.stored_exponent_bits)
    with pytest.raises(RuntimeError, match="1 to 32 bytes"):
        house_message(FlatGate(card), key.public, short, total, (0,), bytes(32))
    message, _ = house_message(FlatGate(card), key.public, base, total, (0,), bytes(32))
    r = Drbg(bytes(32)).bytes("obfuscator", (512 + 64) // 8)
    obfuscator = powmod(key.public.h_s(), int.from_bytes(r, "little"), key.public.n2)
    n = key.public.n
    assert message.ciphertext % n == total * obfuscator % n
