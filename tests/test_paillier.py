"""Paillier: vectors, phe as a peer, literal definitions, and keys that are refused."""

import json
import secrets
from itertools import count
from pathlib import Path

import phe
import pytest
from gmpy2 import gcd, invert, is_prime, mpz, next_prime, powmod
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import paillier
from protocols.drbg import Drbg
from protocols.errors import CiphertextInvalid, FormatError, KeyInvalid
from protocols.paillier import (
    FixedBase,
    PrivateKey,
    PublicKey,
    check_ciphertext,
    check_ciphertexts,
    ciphertext_from_bytes,
    ciphertext_to_bytes,
    encrypt,
    from_phe,
    private_from_phe,
    private_to_phe,
    public_from_phe,
    public_to_phe,
    to_phe,
)

VECTORS = json.loads(
    (Path(__file__).parent / "vectors/paillier_phe/regressions.json").read_text()
)


def draw_from(seed: int) -> paillier.Draw:
    """Make a source of reproducible bytes."""
    numbers, drbg = count(), Drbg(seed.to_bytes(32, "big"))
    return lambda length: drbg.bytes(f"draw {next(numbers)}", length)


KEY = paillier._small_key(512, draw_from(1))
PUBLIC = KEY.public
BASE = FixedBase(PUBLIC, PUBLIC.authority_exponent_bits)
LARGE = paillier._generate_with(2048, draw_from(2))


def fresh() -> mpz:
    """Make an obfuscator."""
    return BASE.power(secrets.token_bytes(BASE.exponent_bytes))


plaintexts = st.sampled_from(
    [0, 1, 2, int(PUBLIC.n) - 1, int(PUBLIC.n) // 2]
) | st.integers(0, int(PUBLIC.n) - 1)


# -- encryption and decryption -------------------------------------------------


@pytest.mark.parametrize("case", VECTORS["encrypt"], ids=lambda case: case["m"])
def test_the_formula_is_that_of_phe(case: dict[str, int]) -> None:
    """(1 + m n) r^n mod n^2 gives the ciphertexts that phe's own tests state."""
    public = paillier._SmallPublicKey(VECTORS["key"]["n"])
    obfuscator = powmod(case["r"], public.n, public.n2)
    assert case["c"] == encrypt(public, case["m"], obfuscator)


@given(plaintexts)
@settings(max_examples=30)
def test_decryption_inverts_encryption(m: int) -> None:
    """Every plaintext of 0 to n - 1 comes back."""
    assert m == KEY.decrypt(encrypt(PUBLIC, m, fresh()))


@given(plaintexts, plaintexts, st.integers(0, 1 << 40))
@settings(max_examples=30)
def test_products_add_plaintexts(a: int, b: int, k: int) -> None:
    """[a] [b]^k decrypts to a + k b modulo n."""
    product = encrypt(PUBLIC, a, fresh()) * powmod(
        encrypt(PUBLIC, b, fresh()), k, PUBLIC.n2
    )
    assert (a + k * b) % PUBLIC.n == KEY.decrypt(product % PUBLIC.n2)


@pytest.mark.parametrize("m", [-1, PUBLIC.n])
def test_a_plaintext_outside_is_our_own_mistake(m: int) -> None:
    """-1 and n are refused: they would stand for other plaintexts."""
    with pytest.raises(RuntimeError, match="0 to n - 1"):
        encrypt(PUBLIC, m, fresh())


def test_crt_decryption_is_the_textbook_one() -> None:
    """L(c^lambda) / lambda mod n, without the Chinese remainder, agrees."""
    c = encrypt(PUBLIC, 123456789, fresh())
    order = (KEY.p - 1) * (KEY.q - 1)
    literal = (powmod(c, order, PUBLIC.n2) - 1) // PUBLIC.n * invert(order, PUBLIC.n)
    assert literal % PUBLIC.n == KEY.decrypt(c)


# -- obfuscators ---------------------------------------------------------------


@given(st.binary(min_size=1, max_size=BASE.exponent_bytes).filter(any))
@settings(max_examples=30)
def test_the_table_computes_powers(exponent: bytes) -> None:
    """One product a byte gives what a plain exponentiation gives."""
    literal = powmod(PUBLIC.h_s(), int.from_bytes(exponent, "little"), PUBLIC.n2)
    assert literal == BASE.power(exponent)


def test_a_long_table_serves_short_exponents() -> None:
    """The table of stored exponents is the beginning of the long one."""
    short = FixedBase(PUBLIC, PUBLIC.stored_exponent_bits)
    exponent = secrets.token_bytes(short.exponent_bytes)
    assert short.power(exponent) == BASE.power(exponent)
    with pytest.raises(RuntimeError, match="1 to 32 bytes"):
        short.power(bytes([1] * 33))


def test_h_s_follows_from_n() -> None:
    """Everyone computes one h_s: a replay makes the same bytes years later."""
    public = paillier._SmallPublicKey((mpz(1) << 512) - 569)
    assert public.key_id == "56523a08c20ae6b557c2f64cde836394"
    assert f"{public.h_s() % (1 << 64):016x}" == "caa17a9a5d56f838"


def test_h_s_is_an_n_th_power_that_hides() -> None:
    """h_s encrypts 0, and h has Jacobi symbol +1 but is no square."""
    assert KEY.decrypt(PUBLIC.h_s()) == 0
    assert [powmod(PUBLIC.h_s(), (f - 1) // 2, f) for f in (KEY.p, KEY.q)] == [
        KEY.p - 1,
        KEY.q - 1,
    ]


@pytest.mark.parametrize(
    ("bits", "stored", "authority", "ciphertext"),
    [(2048, 1024, 2112, 512), (3072, 1536, 3136, 768)],
)
def test_lengths(bits: int, stored: int, authority: int, ciphertext: int) -> None:
    """Exponents are half of n at rest, and 64 bits more than n towards A."""
    public = PublicKey((mpz(1) << bits) - 1)
    assert public.stored_exponent_bits == stored
    assert public.authority_exponent_bits == authority
    assert public.ciphertext_bytes == ciphertext


# -- keys ----------------------------------------------------------------------


def test_a_generated_key_is_as_stated() -> None:
    """2048 bits exactly, two primes, both 3 modulo 4, gcd(p - 1, q - 1) = 2."""
    p, q = LARGE.p, LARGE.q
    assert LARGE.public.bits == 2048
    assert is_prime(p)
    assert is_prime(q)
    assert (p % 4, q % 4, gcd(p - 1, q - 1)) == (3, 3, 2)
    assert abs(p - q).bit_length() > 924


def test_fresh_keys_differ() -> None:
    """Two keys never share a factor; a shared one would open both."""
    a, b = (paillier._small_key(256, secrets.token_bytes).public.n for _ in range(2))
    assert gcd(a, b) == 1


@pytest.mark.parametrize("bits", [1024, 2047, 2049, 2064, 3071, 3080])
def test_generate_refuses_sizes(bits: int) -> None:
    """2048, or 3072 and more in steps of 16; nothing else is generated."""
    with pytest.raises(KeyInvalid, match=r"expected .*bits"):
        paillier.generate(bits)


def test_a_key_file_comes_back() -> None:
    """What was written is read; the class decides which sizes are accepted."""
    assert PrivateKey.from_bytes(LARGE.to_bytes()) == LARGE
    with pytest.raises(KeyInvalid, match="got 512"):
        PrivateKey.from_bytes(KEY.to_bytes())


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        LARGE.to_bytes().replace(b"/1", b"/2"),
        LARGE.to_bytes()[:-1] + b" }",
        LARGE.to_bytes().replace(b'"p":"', b'"p":"zz'),
    ],
    ids=["empty", "version", "not canonical", "not hexadecimal"],
)
def test_a_key_file_is_read_strictly(data: bytes) -> None:
    """Anything but the exact format is refused, without naming its content."""
    with pytest.raises(FormatError):
        PrivateKey.from_bytes(data)


def test_secrets_have_no_repr() -> None:
    """A private key in a log or a traceback shows no digit of its factors."""
    text = f"{KEY!r} {KEY} {[KEY]}"
    assert str(KEY.p) not in text
    assert f"{KEY.p:x}" not in text
    assert "mpz" not in text


# -- ciphertexts from outside --------------------------------------------------


def test_good_ciphertexts_pass() -> None:
    """1 and n^2 - 1 are units too."""
    check_ciphertexts(PUBLIC, [1, PUBLIC.n2 - 1, encrypt(PUBLIC, 5, fresh())])


@pytest.mark.parametrize(
    ("bad", "crime"),
    [
        (0, "out of range"),
        (-1, "out of range"),
        (PUBLIC.n2, "out of range"),
        (PUBLIC.n2 + 1, "out of range"),
        (PUBLIC.n, "not a unit"),
        (PUBLIC.n * 5, "not a unit"),
        (KEY.p, "not a unit"),
        (KEY.q * 7, "not a unit"),
    ],
)
def test_bad_ciphertexts_are_named(bad: int, crime: str) -> None:
    """The one bad ciphertext among good ones is found and numbered."""
    good = encrypt(PUBLIC, 5, fresh())
    with pytest.raises(CiphertextInvalid, match=f"ciphertext 2 is {crime}"):
        check_ciphertexts(PUBLIC, [good, good, bad, good])
    with pytest.raises(CiphertextInvalid, match=crime):
        check_ciphertext(PUBLIC, bad)


def test_ciphertexts_have_one_length() -> None:
    """Even the ciphertext 1 takes its whole length."""
    data = ciphertext_to_bytes(PUBLIC, mpz(1))
    assert (len(data), ciphertext_from_bytes(data)) == (128, 1)


# -- phe -----------------------------------------------------------------------


@given(st.integers(-(1 << 60), 1 << 60))
@settings(max_examples=20)
def test_phe_reads_ours_and_we_read_phe(m: int) -> None:
    """Single integers cross in both directions; negative ones are n - |m|."""
    theirs = private_to_phe(KEY)
    ours = to_phe(PUBLIC, encrypt(PUBLIC, m % PUBLIC.n, fresh()))
    assert m == theirs.decrypt(ours)
    number = public_to_phe(PUBLIC).encrypt(m)
    assert m % PUBLIC.n == KEY.decrypt(from_phe(PUBLIC, number))


def test_sums_mix() -> None:
    """Arithmetic of phe on our ciphertext, and ours on the result."""
    theirs = to_phe(PUBLIC, encrypt(PUBLIC, 20, fresh())) * 2 + public_to_phe(
        PUBLIC
    ).encrypt(1)
    c = from_phe(PUBLIC, theirs) * encrypt(PUBLIC, 1, fresh())
    assert KEY.decrypt(c % PUBLIC.n2) == 42


def test_keys_cross() -> None:
    """Our keys are keys of phe, and come back as they were."""
    assert public_from_phe(public_to_phe(LARGE.public)) == LARGE.public
    assert private_from_phe(private_to_phe(LARGE)) == LARGE


def test_a_short_key_of_phe_is_refused() -> None:
    """Interchange is no way around the least size."""
    with pytest.raises(KeyInvalid, match="got 512"):
        public_from_phe(phe.PaillierPublicKey(int(PUBLIC.n)))


def test_phe_keys_of_another_shape_are_refused() -> None:
    """In phe any primes do; ours must be 3 modulo 4 (h = -x^2 needs it)."""
    p = next_prime(LARGE.p)
    while p % 4 == 3:
        p = next_prime(p)
    theirs = phe.PaillierPrivateKey(
        phe.PaillierPublicKey(int(p * LARGE.q)), int(p), int(LARGE.q)
    )
    with pytest.raises(KeyInvalid, match="3 modulo 4"):
        private_from_phe(theirs)


def test_a_number_under_another_key_is_refused() -> None:
    """A number of phe says whose it is, and that is compared."""
    other = public_to_phe(paillier._small_key(512, draw_from(3)).public)
    with pytest.raises(CiphertextInvalid, match="another key"):
        from_phe(PUBLIC, other.encrypt(1))
