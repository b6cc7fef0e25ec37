r"""Paillier: keys, obfuscators, decryption; the one door to gmpy2 and to phe.

Source: P. Paillier, EUROCRYPT 1999, with g = n + 1; obfuscators from one fixed
base after I. Damgard, M. Jurik and J. B. Nielsen, Int. J. Inf. Security 9 (2010).

::

    n = p q             p = q = 3 mod 4, gcd(p - 1, q - 1) = 2
    x = SHAKE-256(framed(Tag.PAILLIER_KEY, n, "h_s")) mod n, from bits/8 + 8 bytes
    h = -x^2 mod n      h_s = h^n mod n^2
    [m] = (1 + m n) h_s^r mod n^2       0 <= m < n
    [a] [b] = [a + b]       [a]^k = [k a]

Everybody computes the same h_s from n alone, so a replay makes the same bytes.

*How long is r?*  n/2 bits hide stored data from everyone without the key
(Goldreich and Rosen, J. Cryptology 16, 2003).  Against the authority that
argument does not hold, it knows p and q: whatever is sent to it carries r of 64
bits more than n, which is uniform in the group to within 2^-64.  A short r would
let it link two calls over the same block by the size of a discrete logarithm.

*Key sizes*: 2048 bits (112-bit security: tests and benchmarks), or 3072 and up.

Formats: n and ciphertexts are big endian, of bits/8 and bits/4 bytes.  An
exponent is little endian: byte i is the digit of window i.  The key id is the
first 16 bytes of digest(Tag.PAILLIER_KEY, n), hexadecimal.  A private key file is
canonical JSON {"v": "safehouse/paillier-private/1", "p", "q"}; sealing it is the
caller's work.

`phe` is GPLv3 and enters here only: its objects carry single integers (exponent
0) to and from other programmes.  Nothing above this module imports it.

>>> key = _small_key(512, secrets.token_bytes)
>>> base = FixedBase(key.public, key.public.stored_exponent_bits)
>>> a, b = (
...     encrypt(key.public, m, base.power(secrets.token_bytes(base.exponent_bytes)))
...     for m in (20, 22)
... )
>>> key.decrypt(a * b % key.public.n2)
42
>>> PublicKey(key.public.n)
Traceback (most recent call last):
    ...
protocols.errors.KeyInvalid: expected n of 2048 bits or at least 3072, got 512
"""

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self, TypeAlias

import gmpy2
import phe
from gmpy2 import mpz

from protocols import native
from protocols.canon import Reader, Tag, digest, dumps, framed, loads
from protocols.errors import CiphertextInvalid, FormatError, KeyInvalid

Ciphertext: TypeAlias = mpz  # in (0, n^2) and prime to n
Half: TypeAlias = Callable[[], mpz]  # a power modulo p^2 or q^2, still to be computed
RunHalves: TypeAlias = Callable[[Half, Half], tuple[mpz, mpz]]
Draw: TypeAlias = Callable[[int], bytes]  # number of bytes -> that many random ones

VERSION = "safehouse/paillier-private/1"
KEY_ID_BYTES = 16
TEST_BITS = 2048  # 112-bit security
LEAST_BITS = 3072  # 128-bit security (NIST SP 800-57, table 2)
BITS_STEP = 16  # halves and quarters of a key stay whole bytes
HIDING_BITS = 64  # what is this much longer than the group is uniform to 2^-64
WINDOW = 256  # one table row an exponent byte
PRIME_ROUNDS = 64  # Baillie-PSW and 40 rounds of Miller-Rabin (GMP 6.3)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The modulus n; raises `KeyInvalid` when it is short, even or a square."""

    n: mpz = field(repr=False)
    n2: mpz = field(init=False, repr=False, compare=False)
    bits: int = field(init=False, compare=False)
    key_id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        n = mpz(self.n)
        if n <= 0:
            raise KeyInvalid("n is not positive")
        self._refuse_size(n.bit_length())
        if n.is_even():
            raise KeyInvalid("n is even")
        if n.is_square():
            raise KeyInvalid("n is a square")
        name = digest(Tag.PAILLIER_KEY, _big_endian(n))[:KEY_ID_BYTES].hex()
        object.__setattr__(self, "n", n)
        object.__setattr__(self, "n2", n * n)
        object.__setattr__(self, "bits", n.bit_length())
        object.__setattr__(self, "key_id", name)

    @property
    def ciphertext_bytes(self) -> int:
        """Bytes of a stored ciphertext."""
        return 2 * self.bits // 8

    @property
    def stored_exponent_bits(self) -> int:
        """Bits of r for data that the authority never receives."""
        return self.bits // 2

    @property
    def authority_exponent_bits(self) -> int:
        """Bits of r for every ciphertext that is sent to the authority."""
        return self.bits + HIDING_BITS

    def h_s(self) -> mpz:
        """Compute the base of all obfuscators from n alone (10 ms at 2048 bits).

        h = -x^2 has Jacobi symbol +1 and generates the squares with
        overwhelming probability, because p = q = 3 mod 4.
        """
        length = self.bits // 8 + HIDING_BITS // 8
        stream = hashlib.shake_256(
            framed(Tag.PAILLIER_KEY, _big_endian(self.n), b"h_s")
        )
        x = mpz(int.from_bytes(stream.digest(length), "big")) % self.n
        if gmpy2.gcd(x, self.n) != 1:
            raise KeyInvalid("n has a small factor")
        return gmpy2.powmod(-x * x % self.n, self.n, self.n2)

    def _refuse_size(self, bits: int) -> None:
        if bits != TEST_BITS and bits < LEAST_BITS:
            raise KeyInvalid(
                f"expected n of {TEST_BITS} bits or at least {LEAST_BITS}, got {bits}"
            )
        if bits % BITS_STEP:
            raise KeyInvalid(f"expected bits of n in steps of {BITS_STEP}, got {bits}")


@dataclass(frozen=True, slots=True)
class _SmallPublicKey(PublicKey):
    """A modulus of any length: for tests, which need many keys in little time."""

    def _refuse_size(self, bits: int) -> None:
        """Refuse no length."""


@contextmanager
def gil_released() -> Iterator[None]:
    """Let other threads run during each product of this one; for long powers only.

    Around many short products it costs more than it gives: every one of them
    would take the lock back from whoever got it meanwhile.
    """
    context = gmpy2.get_context()
    before, context.allow_release_gil = context.allow_release_gil, True
    try:
        yield
    finally:
        context.allow_release_gil = before


def in_turn(first: Half, second: Half) -> tuple[mpz, mpz]:
    """Compute one half of a decryption, then the other."""
    return first(), second()


@dataclass(frozen=True, slots=True, repr=False)
class PrivateKey:
    """The factors of n; raises `KeyInvalid` for a pair that must not be used."""

    p: mpz
    q: mpz
    public: PublicKey = field(init=False, compare=False)
    _p2: mpz = field(init=False, compare=False)
    _q2: mpz = field(init=False, compare=False)
    _h_p: mpz = field(init=False, compare=False)
    _h_q: mpz = field(init=False, compare=False)
    _p_inverse: mpz = field(init=False, compare=False)
    _core: native.DecryptCore | None = field(init=False, compare=False)

    def __post_init__(self) -> None:
        p, q = mpz(self.p), mpz(self.q)
        self._refuse_shape(p, q)
        public = self._public_of(p * q)
        core = native.DecryptCore(p, q) if native.available(public.bits) else None
        for name, value in (
            ("p", p),
            ("q", q),
            ("public", public),
            ("_core", core),
            ("_p2", p * p),
            ("_q2", q * q),
            # g^(p-1) = 1 + (p - 1) n mod p^2, so L_p of it is -q, and its inverse:
            ("_h_p", gmpy2.invert(-q, p)),
            ("_h_q", gmpy2.invert(-p, q)),
            ("_p_inverse", gmpy2.invert(p, q)),
        ):
            object.__setattr__(self, name, value)

    def decrypt(self, ciphertext: Ciphertext, run: RunHalves | None = None) -> int:
        """Return the plaintext, 0 <= m < n, of a ciphertext that was checked.

        The powers modulo p^2 and q^2 are independent; `run` may compute them
        side by side.  The native core always does, and does not ask.

        Whoever takes a ciphertext from outside calls `check_ciphertext` first.

        There is no check of m here, and there must be none: "refused, because
        the plaintext is too large" is one comparison with a number the sender
        chose, and 37 such answers read a 37-bit column (tests/attacks/
        test_rejection_oracle.py).  Whatever comes out is handed on.
        """
        if self._core is not None:
            return self._core.decrypt(ciphertext % self.public.n2)
        # Paillier 1999, section 7: modulo p^2 and q^2, then the Chinese remainder
        p, q = self.p, self.q
        a, b = (run or in_turn)(
            lambda: gmpy2.powmod_sec(ciphertext % self._p2, p - 1, self._p2),
            lambda: gmpy2.powmod_sec(ciphertext % self._q2, q - 1, self._q2),
        )
        m_p = (a - 1) // p * self._h_p % p
        m_q = (b - 1) // q * self._h_q % q
        return int(m_p + p * ((m_q - m_p) * self._p_inverse % q))

    def decrypt_all(self, ciphertexts: Sequence[Ciphertext]) -> list[int]:
        """Decrypt each, as `decrypt` does: sooner, by the native core, for many."""
        if self._core is None or not ciphertexts:
            return [self.decrypt(ciphertext) for ciphertext in ciphertexts]
        public = self.public
        return self._core.decrypt_records(
            b"".join(ciphertext_to_bytes(public, c % public.n2) for c in ciphertexts)
        )

    def to_bytes(self) -> bytes:
        """Write the key file: secret, to be sealed before it meets a disk."""
        return dumps(
            {
                "v": VERSION,
                "p": _big_endian(self.p).hex(),
                "q": _big_endian(self.q).hex(),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote; raises `FormatError` or `KeyInvalid`."""
        reader = Reader(loads(data, VERSION))
        p, q = (int.from_bytes(reader.hex(name), "big") for name in ("p", "q"))
        reader.close()
        return cls(p, q)

    @staticmethod
    def _public_of(n: mpz) -> PublicKey:
        return PublicKey(n)

    @staticmethod
    def _refuse_shape(p: mpz, q: mpz) -> None:
        if p == q:
            raise KeyInvalid("p and q are equal")
        if p.bit_length() != q.bit_length():  # equal lengths give gcd(n, phi) = 1
            raise KeyInvalid("p and q differ in length")
        if not _far_apart(p, q):
            raise KeyInvalid("p and q are close")
        if p % 4 != 3 or q % 4 != 3:  # noqa: PLR2004 -- -1 is then no square
            raise KeyInvalid("p and q are not both 3 modulo 4")
        if gmpy2.gcd(p - 1, q - 1) != 2:  # noqa: PLR2004 -- the squares are cyclic
            raise KeyInvalid("p - 1 and q - 1 share a factor beyond 2")
        if not gmpy2.is_prime(p, PRIME_ROUNDS) or not gmpy2.is_prime(q, PRIME_ROUNDS):
            raise KeyInvalid("p and q are not both prime")


@dataclass(frozen=True, slots=True, repr=False)
class _SmallPrivateKey(PrivateKey):
    """A key of any length: for tests."""

    @staticmethod
    def _public_of(n: mpz) -> PublicKey:
        return _SmallPublicKey(n)


def generate(bits: int = LEAST_BITS) -> PrivateKey:
    """Draw a fresh key; raises `KeyInvalid` for a size that is refused."""
    return _generate_with(bits, secrets.token_bytes)


def _generate_with(bits: int, draw: Draw) -> PrivateKey:
    PublicKey((mpz(1) << bits) - 1)  # refuse the size before the work
    return PrivateKey(*_primes(bits, draw))


def _small_key(bits: int, draw: Draw) -> PrivateKey:
    """Draw a key of any even number of bits: for tests."""
    return _SmallPrivateKey(*_primes(bits, draw))


def _primes(bits: int, draw: Draw) -> tuple[mpz, mpz]:
    while True:  # FIPS 186-5, A.1.3: fresh candidates until both conditions hold
        p, q = _prime(bits // 2, draw), _prime(bits // 2, draw)
        if gmpy2.gcd(p - 1, q - 1) == 2 and _far_apart(p, q):  # noqa: PLR2004
            return p, q


def _far_apart(p: mpz, q: mpz) -> bool:
    """Report whether Fermat's search from the root of n is hopeless."""
    return bool(abs(p - q).bit_length() > max(0, p.bit_length() - 100))


def _prime(bits: int, draw: Draw) -> mpz:
    """Draw a prime, 3 modulo 4, whose two highest bits are set."""
    low, high = 3, 3 << (bits - 2)
    while True:
        drawn = int.from_bytes(draw(-(-bits // 8)), "big") % (1 << bits)
        candidate = mpz(drawn | high | low)
        if gmpy2.is_prime(candidate, PRIME_ROUNDS):
            return candidate


class FixedBase:
    """h_s to any exponent up to a length: a table, and one product a byte.

    The table for shorter exponents is the beginning of the one for longer ones,
    so a house keeps one long table.  Memory: 256 ciphertexts an exponent byte,
    34 MB for the long one at 2048 bits, 75 MB at 3072 (the native core's elements
    are longer: 43 and 103 MB); built in under a second.  `wide` makes the native
    core's table ten times as long and a power a third cheaper, for those who
    encrypt by the ten thousand.
    """

    __slots__ = ("_core", "_table", "exponent_bytes", "public")

    def __init__(
        self, public: PublicKey, exponent_bits: int, *, wide: bool = False
    ) -> None:
        self.public = public
        self.exponent_bytes = -(-exponent_bits // 8)
        self._table: list[list[mpz]] = []
        self._core: native.FixedBaseCore | None = None
        base, n2 = public.h_s(), public.n2
        if native.available(public.bits):
            window = native.WIDE_COMB_BITS if wide else native.COMB_BITS
            self._core = native.FixedBaseCore(public.n, base, exponent_bits, window)
            return
        for _ in range(self.exponent_bytes):
            row = [mpz(1)]
            for _ in range(WINDOW - 1):
                row.append(row[-1] * base % n2)
            self._table.append(row)
            base = row[-1] * base % n2

    def power(self, exponent: bytes) -> mpz:
        """Compute h_s^r for the little-endian r in `exponent`.

        Raises `RuntimeError` for r = 0, which would hide nothing and means that
        the caller's randomness is broken, and for more bytes than the table has.
        """
        self._refuse_exponent(exponent)
        if self._core is not None:
            return ciphertext_from_bytes(self._core.records(exponent, len(exponent)))
        value, n2 = mpz(1), self.public.n2
        for row, digit in zip(self._table, exponent, strict=False):
            value = value * row[digit] % n2
        return value

    def encrypt(
        self, plaintexts: Sequence[int], exponents: Sequence[bytes]
    ) -> list[Ciphertext]:
        """Encrypt every plaintext, 0 <= m < n, under the power of its own exponent.

        Exponents have one length.  Raises `RuntimeError` as `power` and `encrypt` do.
        """
        if self._core is None or not plaintexts:
            pairs = zip(plaintexts, exponents, strict=True)
            return [encrypt(self.public, m, self.power(r)) for m, r in pairs]
        return self._computed(plaintexts, exponents)

    def encrypt_rows(self, plaintexts: bytes, exponents: Sequence[bytes]) -> bytes:
        """Encrypt little-endian plaintexts of one size, shorter than n; give records.

        Exponents have one length.  Raises `RuntimeError` as `encrypt` does.
        """
        public, count = self.public, len(exponents)
        size, rest = divmod(len(plaintexts), max(1, count))
        if rest or 8 * size >= public.bits:
            raise RuntimeError("plaintexts are of one size, and shorter than n")
        if self._core is None or not count:
            rows = (plaintexts[i * size : (i + 1) * size] for i in range(count))
            values = [int.from_bytes(row, "little") for row in rows]
            encrypted = self.encrypt(values, exponents)
            return b"".join(ciphertext_to_bytes(public, c) for c in encrypted)
        for exponent in exponents:
            self._refuse_exponent(exponent)
        joined = b"".join(exponents)
        return self._core.records(joined, len(exponents[0]), plaintexts)

    def blind(self, total: Ciphertext, plaintext: int, exponent: bytes) -> Ciphertext:
        """Add `plaintext`, 0 <= m < n, to a ciphertext, and re-randomise it.

        Raises `RuntimeError` as `power` and `encrypt` do.
        """
        return self.blind_all([total], [plaintext], [exponent])[0]

    def blind_all(
        self,
        totals: Sequence[Ciphertext],
        plaintexts: Sequence[int],
        exponents: Sequence[bytes],
    ) -> list[Ciphertext]:
        """Blind each with its own plaintext and exponent; exponents have one length."""
        public = self.public
        if self._core is None or not totals:
            encrypted = self.encrypt(plaintexts, exponents)
            pairs = zip(totals, encrypted, strict=True)
            return [total * other % public.n2 for total, other in pairs]
        factors = b"".join(ciphertext_to_bytes(public, total) for total in totals)
        return self._computed(plaintexts, exponents, factors)

    def _computed(
        self,
        plaintexts: Sequence[int],
        exponents: Sequence[bytes],
        factors: bytes | None = None,
    ) -> list[Ciphertext]:
        """Let the native core compute factor (1 + m n) h_s^r."""
        if self._core is None:
            raise RuntimeError("there is no native core")
        public, pairs = self.public, zip(plaintexts, exponents, strict=True)
        for plaintext, exponent in pairs:
            self._refuse_exponent(exponent)
            _refuse_plaintext(public, plaintext)
        size = -(-public.bits // 8)
        records = self._core.records(
            b"".join(exponents),
            len(exponents[0]),
            b"".join(m.to_bytes(size, "little") for m in plaintexts),
            factors,
        )
        size = len(records) // len(plaintexts)
        starts = range(0, len(records), size)
        return [ciphertext_from_bytes(records[i : i + size]) for i in starts]

    def _refuse_exponent(self, exponent: bytes) -> None:
        if len(exponent) > self.exponent_bytes or not any(exponent):
            raise RuntimeError(
                f"an exponent is 1 to {self.exponent_bytes} bytes, not all zero"
            )


def product(public: PublicKey, ciphertexts: Iterable[Ciphertext]) -> Ciphertext:
    """Add up what ciphertexts hold; the sum is to be re-randomised before it leaves."""
    total = mpz(1)
    for ciphertext in ciphertexts:
        total = total * ciphertext % public.n2
    return total


def encrypt(public: PublicKey, plaintext: int, obfuscator: mpz) -> Ciphertext:
    """Encrypt `plaintext`, 0 <= m < n, under an obfuscator used nowhere else."""
    _refuse_plaintext(public, plaintext)
    return (1 + plaintext * public.n) * obfuscator % public.n2


def _refuse_plaintext(public: PublicKey, plaintext: int) -> None:
    if not 0 <= plaintext < public.n:
        raise RuntimeError("a plaintext is 0 to n - 1")


def check_ciphertext(public: PublicKey, ciphertext: int) -> None:
    """Raise `CiphertextInvalid` unless 0 < c < n^2 and gcd(c, n) = 1.

    The decryption of c = n is the inverse of p + q: whoever sees it factors n
    (tests/attacks/test_multiple_of_n.py).
    """
    check_ciphertexts(public, (ciphertext,))


def check_ciphertexts(public: PublicKey, ciphertexts: Sequence[int]) -> None:
    """Check many at the price of one gcd; raises as `check_ciphertext` does."""
    product = mpz(1)
    for i, c in enumerate(ciphertexts):
        if not 0 < c < public.n2:
            raise CiphertextInvalid(f"ciphertext {i} is out of range")
        product = product * c % public.n
    if gmpy2.gcd(product, public.n) == 1:
        return
    for i, c in enumerate(ciphertexts):
        if gmpy2.gcd(c, public.n) != 1:
            raise CiphertextInvalid(f"ciphertext {i} is not a unit")
    raise AssertionError("a product of units is not a unit")


def ciphertext_to_bytes(public: PublicKey, ciphertext: Ciphertext) -> bytes:
    """Write a ciphertext at its fixed length."""
    return int(ciphertext).to_bytes(public.ciphertext_bytes, "big")


def ciphertext_from_bytes(data: bytes | memoryview) -> Ciphertext:
    """Read a ciphertext; it is not checked here."""
    return mpz.from_bytes(data, "big")


# -- interchange with phe ------------------------------------------------------


def public_to_phe(public: PublicKey) -> phe.PaillierPublicKey:
    """Hand the key to a programme that uses phe."""
    return phe.PaillierPublicKey(int(public.n))


def public_from_phe(key: phe.PaillierPublicKey) -> PublicKey:
    """Take a key from phe; raises `KeyInvalid` as for any other."""
    return PublicKey(key.n)


def private_to_phe(private: PrivateKey) -> phe.PaillierPrivateKey:
    """Hand the private key to phe: for offline tools of the key's owner."""
    public = public_to_phe(private.public)
    return phe.PaillierPrivateKey(public, int(private.p), int(private.q))


def private_from_phe(key: phe.PaillierPrivateKey) -> PrivateKey:
    """Take a private key from phe.

    phe does not ask for p = q = 3 mod 4, so three quarters of the keys of its
    own making are refused here with `KeyInvalid`.
    """
    return PrivateKey(key.p, key.q)


def to_phe(public: PublicKey, ciphertext: Ciphertext) -> phe.EncryptedNumber:
    """Wrap a single-value ciphertext, exponent 0, for phe.

    phe holds it to be not yet obfuscated, so its `ciphertext()` re-randomises
    before the number leaves.  Plaintexts above n/3 are negative numbers to phe.
    """
    check_ciphertext(public, ciphertext)
    return phe.EncryptedNumber(public_to_phe(public), int(ciphertext), 0)


def from_phe(public: PublicKey, number: phe.EncryptedNumber) -> Ciphertext:
    """Unwrap a number of phe.

    Raises `FormatError` for any exponent but 0 (phe's exponents carry the scale
    of a float in clear), `CiphertextInvalid` for another key.
    """
    if number.public_key.n != public.n:
        raise CiphertextInvalid("ciphertext is under another key")
    if number.exponent != 0:
        raise FormatError(
            f"expected exponent 0, got {number.exponent}",
            "encrypt integers: the exponent shows the scale of a float",
        )
    ciphertext = mpz(number.ciphertext())
    check_ciphertext(public, ciphertext)
    return ciphertext


def _big_endian(value: mpz) -> bytes:
    return int(value).to_bytes(-(-value.bit_length() // 8), "big")
