"""The native core against gmpy2, number for number, and its door against misuse."""

import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import count, pairwise

import numpy as np
import pytest
from gmpy2 import gcd, invert, mpz, next_prime, powmod
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import native, paillier
from protocols.drbg import Drbg
from protocols.errors import CiphertextInvalid
from protocols.native import DecryptCore, FixedBaseCore, ProgramCore
from protocols.program import INSUFFICIENT_DATA, Group, Program, Scorecard

needs_core = pytest.mark.skipif(not native.available(), reason=native.reason())

# full, one over a shape's limit, just under, and none of these
SIZES = (9, 130, 1023, 1024, 1025, 2048, 2064, 2065, 3072, 3104, 3105, 4095, 4096)
DIGIT = 52
# alone and together, with idle lanes, and more than go together: striped and upright
COUNTS = st.sampled_from([1, 6, 8, 11])


def moduli(bits: int) -> st.SearchStrategy[mpz]:
    """Draw odd numbers of `bits` bits: sparse, full of ones, and like a key."""
    low, high = 1 << bits - 1, (1 << bits) - 1
    edges = st.sampled_from([low + 1, high, high - (1 << bits // 2)])
    return (edges | st.integers(low, high).map(lambda n: n | 1)).map(mpz)


def residues(n: mpz) -> st.SearchStrategy[mpz]:
    """Draw numbers modulo n^2: edges, multiples of n, runs of ones, and any."""
    top, bits = int(n * n) - 1, 2 * n.bit_length()
    places = st.integers(0, bits)
    edges = [0, 1, 2, n - 1, n, n + 1, n * n - n, n * n - 1]
    return st.builds(
        lambda value: mpz(value) % (n * n),
        st.sampled_from([int(edge) for edge in edges])
        | st.integers(0, int(n) - 1).map(lambda k: k * int(n))
        | st.builds(lambda i, j: abs((1 << i) - (1 << j)), places, places)
        | st.integers(0, bits // DIGIT).map(lambda i: (1 << DIGIT * i) - 1)
        | st.integers(0, top),
    )


def units(n: mpz) -> st.SearchStrategy[mpz]:
    """Draw numbers modulo n^2 that can be divided by, at edges or just above."""

    def nearest(value: mpz) -> mpz:
        return next(v for v in count(value or mpz(1)) if gcd(v, n) == 1) % (n * n)

    return residues(n).map(nearest)


def record(value: int, n: mpz) -> bytes:
    """Write a residue modulo n^2 as a record."""
    return int(value).to_bytes(-(-2 * n.bit_length() // 8), "big")


def records(values: Iterable[mpz], n: mpz) -> bytes:
    """Write residues modulo n^2 as records, one after the other."""
    return b"".join(record(value, n) for value in values)


# -- products ------------------------------------------------------------------


@needs_core
@settings(max_examples=250)
@given(st.data(), st.sampled_from(SIZES))
def test_products_are_those_of_gmpy2(data: st.DataObject, bits: int) -> None:
    """Every register of every program holds the residue that gmpy2 finds."""
    n = data.draw(moduli(bits))
    columns = data.draw(st.lists(residues(n), min_size=1, max_size=4))
    registers, products = list(columns), []
    for _ in range(data.draw(st.integers(1, 8))):
        a, b = (data.draw(st.integers(0, len(registers) - 1)) for _ in range(2))
        products.append((a, b))
        registers.append(registers[a] * registers[b] % (n * n))
    core = ProgramCore(n, len(columns), products)
    assert core.run(columns) == record(registers[-1], n)
    assert_blocks_agree(core, n, products, columns, data.draw(COUNTS))


def assert_blocks_agree(
    core: ProgramCore,
    n: mpz,
    products: list[tuple[int, int]],
    columns: list[mpz],
    number: int,
) -> None:
    """Run these columns beside others, and compare every block's last register."""
    blocks, expected = [], []
    for k in range(number):
        registers = [(c + k * n // 7) % (n * n) for c in columns]
        blocks.append(b"".join(record(c, n) for c in registers))
        for a, b in products:
            registers.append(registers[a] * registers[b] % (n * n))
        expected.append(record(registers[-1], n))
    assert list(core.records(blocks)) == expected


@needs_core
@settings(max_examples=40)
@given(st.data(), st.sampled_from(SIZES))
def test_long_chains_stay_within_bounds(data: st.DataObject, bits: int) -> None:
    """Hundreds of products, each of unreduced factors, end at the right residue."""
    n = data.draw(moduli(bits))
    x, y = data.draw(residues(n)), data.draw(residues(n))
    products = [(2 + k, k % 2 if k % 3 else 2 + k) for k in range(300)]
    registers = [x, y, x * y % (n * n)]
    for a, b in products:
        registers.append(registers[a] * registers[b] % (n * n))
    core = ProgramCore(n, 2, [(0, 1), *products])
    assert core.run([x, y]) == record(registers[-1], n)
    assert_blocks_agree(core, n, [(0, 1), *products], [x, y], 6)


@needs_core
@settings(max_examples=60)
@given(st.data(), st.sampled_from([1024, 2048, 3072]))
def test_divisions_are_those_of_gmpy2(data: st.DataObject, bits: int) -> None:
    """A program inverts inputs and products, and goes on with what it found."""
    n = data.draw(moduli(bits))
    x, y = data.draw(units(n)), data.draw(units(n))
    # (x y / x^2)^-1 y
    products = [(0, 0), (2, -1), (3, 1), (4, 0), (5, -1), (6, 1)]
    core = ProgramCore(n, 2, products)
    expected = invert(x * y * invert(x * x, n * n), n * n) * y % (n * n)
    assert core.run([x, y]) == record(expected, n)
    block = record(x, n) + record(y, n)
    other = record(y, n) + record(x, n)
    swapped = record(invert(x * y * invert(y * y, n * n), n * n) * x % (n * n), n)
    assert (
        list(core.records([block, other] * 10)) == [record(expected, n), swapped] * 10
    )


@needs_core
def test_who_is_no_unit_is_not_divided_by() -> None:
    """A multiple of n in a divided column is the same error with and without core."""
    n = mpz(2) ** 1024 - 105
    with pytest.raises(ZeroDivisionError):
        ProgramCore(n, 1, [(0, -1)]).run([n * 3])
    with pytest.raises(ZeroDivisionError):
        ProgramCore(int(n), 1, [(0, -1)]).run([int(n) * 3])


@needs_core
def test_many_blocks_are_each_block() -> None:
    """A batch of any length gives what its blocks give alone."""
    n = mpz(2) ** 1024 - 105
    core = ProgramCore(n, 2, [(0, 1), (2, -1), (3, 3), (4, 0)])
    values = [(mpz(3) ** k, mpz(5) ** k + n) for k in range(1, 44)]
    blocks = [record(x, n) + record(y, n) for x, y in values]
    assert [core.run(pair) for pair in values] == list(core.records(blocks))


# -- fixed base ----------------------------------------------------------------


@needs_core
@settings(max_examples=60)
@given(st.data(), st.sampled_from(SIZES), st.integers(2, 9))
def test_fixed_base_powers_are_those_of_gmpy2(
    data: st.DataObject, bits: int, window: int
) -> None:
    """Any of factor (1 + m n) base^r, with exponents of any length."""
    n = data.draw(moduli(bits))
    base, factor = data.draw(units(n)), data.draw(residues(n))
    core = FixedBaseCore(n, base, 24, window)
    length, number = data.draw(st.integers(1, 3)), data.draw(COUNTS)
    exponents = [
        data.draw(st.binary(min_size=length, max_size=length)) for _ in range(number)
    ]
    m = data.draw(st.sampled_from([0, 1, int(n) - 1]) | st.integers(0, int(n) - 1))
    messages = [(m + k) % int(n) for k in range(number)]
    factors = [(factor + k) % (n * n) for k in range(number)]
    powers = [powmod(base, int.from_bytes(e, "little"), n * n) for e in exponents]
    encrypted = [
        (1 + k * n) * power % (n * n) for k, power in zip(messages, powers, strict=True)
    ]
    blinded = [f * e % (n * n) for f, e in zip(factors, encrypted, strict=True)]
    joined = b"".join(exponents)
    plain = b"".join(k.to_bytes(-(-bits // 8), "little") for k in messages)
    assert core.records(joined, length) == records(powers, n)
    assert core.records(joined, length, plain) == records(encrypted, n)
    got = core.records(joined, length, plain, records(factors, n))
    assert got == records(blinded, n)


@needs_core
@settings(max_examples=200)
@given(
    st.sampled_from([1024, 2048, 3072, 4096]),
    st.lists(
        st.sampled_from([0, 1, (1 << DIGIT) - 2, (1 << DIGIT) - 1, 1 << DIGIT])
        | st.integers(0, (1 << 62) - 1),
        min_size=80,
        max_size=80,
    ),
)
def test_carries_run_as_far_as_they_must(bits: int, sums: list[int]) -> None:
    """Sums of any 62 bits in any place reduce to the number they mean.

    They enter by a table that is made up: a = 1 and beta unreduced in entry 1.
    """
    n = (mpz(1) << bits) - 1
    core = FixedBaseCore(n, mpz(2), 8, 2)
    vectors = core._lone.ring.element_bytes // 128
    digits = sums[: bits // DIGIT - 1]
    table = native._elements(core._lone.ring, 4 << 2)
    entries = table.view(np.uint64).reshape(4, 4, 2, vectors, 8)
    entries[:] = 0
    entries[:, :, 0, 0, 0] = 1
    for i, digit in enumerate(digits):
        entries[:, 1, 1, i % vectors, i // vectors] = digit
    s = sum(digit << DIGIT * i for i, digit in enumerate(digits))
    one, size = record((1 + s * n) % (n * n), n), core._lone.record_bytes
    for modulus, number in ((core._lone, 1), (core._upright, 8)):
        start = core._start(modulus, 1, factor=False)
        exponents = bytes([1]) * number
        got = modulus.ring.comb(table, 2, exponents, 1, None, None, start, size)
        assert got == one * number


# -- decryption ----------------------------------------------------------------


def draw_from(seed: int) -> paillier.Draw:
    """Make a source of reproducible bytes."""
    numbers, drbg = count(), Drbg(seed.to_bytes(32, "big"))
    return lambda length: drbg.bytes(f"draw {next(numbers)}", length)


KEYS = [paillier._small_key(bits, draw_from(bits)) for bits in (32, 512, 1024, 2048)]


def without_core(key: paillier.PrivateKey) -> paillier.PrivateKey:
    """Make the same key decrypt with gmpy2."""
    twin = type(key)(key.p, key.q)
    object.__setattr__(twin, "_core", None)
    return twin


@needs_core
@settings(max_examples=150)
@given(st.data(), st.sampled_from(KEYS))
def test_decryptions_are_those_of_gmpy2(
    data: st.DataObject, key: paillier.PrivateKey
) -> None:
    """Units, multiples of n, of p and of q, and 0: one integer, whoever computes."""
    n = key.public.n
    factor = data.draw(st.sampled_from([1, key.p, key.q, n, key.p**2]))
    ciphertext = data.draw(residues(n)) * factor % key.public.n2
    slow = without_core(key)
    assert slow.decrypt(ciphertext) == key.decrypt(ciphertext)
    several = [(ciphertext + k * n) % key.public.n2 for k in range(data.draw(COUNTS))]
    core = DecryptCore(key.p, key.q)
    assert core.decrypt_records(records(several, n)) == [
        slow.decrypt(value) for value in several
    ]


@needs_core
@pytest.mark.slow
@pytest.mark.parametrize("bits", [3072, 3600, 4096])
def test_large_keys_decrypt_as_with_gmpy2(bits: int) -> None:
    """The shapes of large keys, at edges and in the middle."""
    key = paillier._small_key(bits, draw_from(bits))
    n2, slow = key.public.n2, without_core(key)
    values = [mpz(1), n2 - 1, key.public.n, powmod(3, 5 * bits, n2), n2 // 3]
    expected = [slow.decrypt(value) for value in values]
    assert [key.decrypt(value) for value in values] == expected
    together = records(values, key.public.n)
    assert DecryptCore(key.p, key.q).decrypt_records(together) == expected


@needs_core
@pytest.mark.parametrize("bits", [504, 1024, 1544, 2048])
def test_any_odd_factors_do(bits: int) -> None:
    """Halves full of ones, at the limits of every pair of numbers."""
    p, q = (1 << bits) - 1, (1 << bits) - (1 << bits // 2) - 1
    size = -(-2 * (p * q).bit_length() // 8)
    values = [1, p * q + 1, (p * q) ** 2 - 1, (1 << 4 * bits - 3) - 1, p * p - 1]
    exponents = (0x7FFF, 0x4001)
    windows = [native._windows(e, 15) for e in exponents]
    data = b"".join(value.to_bytes(size, "big") for value in values)
    expected = [
        (powmod(c, e, m * m) - 1) // m * invert(-other, m) % m
        for c in values
        for m, other, e in ((mpz(p), q, exponents[0]), (mpz(q), p, exponents[1]))
    ]
    for ring, constants in (native._pair(p, q), native._pair(p, q, upright=True)):
        assert ring.powers(data, size, *windows, constants) == b"".join(
            int(half).to_bytes(ring.number_bytes, "little") for half in expected
        )


@needs_core
def test_many_decryptions_are_each_decryption() -> None:
    """Records in one piece give the plaintexts in order."""
    key = KEYS[1]
    core, n = DecryptCore(key.p, key.q), key.public.n
    values = [powmod(7, k, n * n) for k in range(1, 6)]
    records = b"".join(record(value, n) for value in values)
    assert [core.decrypt(value) for value in values] == core.decrypt_records(records)


@needs_core
def test_a_key_travels_to_another_process() -> None:
    """Pickled and read again, it decrypts."""
    key = KEYS[1]
    twin = pickle.loads(pickle.dumps(DecryptCore(key.p, key.q)))
    assert key.decrypt(mpz(12345)) == twin.decrypt(mpz(12345))


@needs_core
def test_threads_do_not_disturb_each_other() -> None:
    """One key, many threads, the lock released: the same plaintexts."""
    key = KEYS[2]
    values = [powmod(5, k, key.public.n2) for k in range(1, 60)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(key.decrypt, values))
    assert [key.decrypt(value) for value in values] == together


# -- with and without ----------------------------------------------------------

SCRIPT = """
import hashlib, secrets
from itertools import count, pairwise
from tests.test_native import everything
from protocols import native
print(native.available(), everything())
"""


def everything() -> str:
    """Hash obfuscators, ciphertexts, a program's result and a plaintext."""
    key, hashed = paillier._small_key(1024, draw_from(9)), hashlib.sha256()
    public, drbg = key.public, Drbg(bytes(32))
    base = paillier.FixedBase(public, public.authority_exponent_bits)
    columns = base.encrypt(range(100, 103), [drbg.bytes(f"{i}", 64) for i in range(3)])
    groups = (Group("court", (1,), 1, 0), Group(INSUFFICIENT_DATA, (2,), -1, 1))
    card = Scorecard(
        (3, 0, 0), 0, 30, 6, ((0, 0), (15, 1)), groups, Scorecard.layout(6, groups)
    )
    total = Program(card).run(public, columns)
    blinded = base.blind(total, public.n - 5, drbg.bytes("blind", 136))
    for value in (base.power(b"\1\2"), *columns, total, blinded, key.decrypt(blinded)):
        hashed.update(int(value).to_bytes(256, "big"))
    return hashed.hexdigest()


@pytest.mark.parametrize("core", [pytest.param(True, marks=needs_core), False])
def test_many_together_are_each_alone(
    core: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Programs over blocks, blinding and decryption in batches are one by one."""
    if not core:
        monkeypatch.setattr(native, "available", lambda _bits=0: False)
    key = paillier._small_key(512, draw_from(7))
    public, drbg, count = key.public, Drbg(bytes(32)), 13
    base = paillier.FixedBase(public, public.authority_exponent_bits)
    assert (base._core is not None, key._core is not None) == (core, core)
    exponents = [drbg.bytes(f"{i}", 72) for i in range(count)]
    columns = base.encrypt(range(1, 1 + count), exponents)
    rows = b"".join(i.to_bytes(9, "little") for i in range(1, 1 + count))
    assert base.encrypt_rows(rows, exponents) == records(columns, public.n)
    with pytest.raises(RuntimeError, match="shorter than n"):
        base.encrypt_rows(bytes(64 * count), exponents)
    groups = (Group(INSUFFICIENT_DATA, (1,), -1, 1),)
    card = Scorecard((3, 0), 0, 30, 6, ((0, 0),), groups, Scorecard.layout(6, groups))
    program, pairs = Program(card), list(pairwise([*columns, columns[0]]))
    alone = [program.run(public, pair) for pair in pairs]
    assert program.run_records(public, [records(p, public.n) for p in pairs]) == alone
    added = [drbg.bytes("mask", 60)[i] << i for i in range(count)]
    jobs = list(zip(alone, added, exponents, strict=True))
    blinded = base.blind_all(*(list(each) for each in zip(*jobs, strict=True)))
    assert blinded == [base.blind(*job) for job in jobs]
    assert key.decrypt_all(blinded) == [key.decrypt(c) for c in blinded]
    assert program.run_records(public, []) == base.blind_all([], [], []) == []
    assert base.encrypt_rows(b"", []) == b""
    assert key.decrypt_all([]) == []
    with pytest.raises(RuntimeError, match="expected 2 columns"):
        program.run_records(public, [records(pairs[0][:1], public.n)])
    with pytest.raises(CiphertextInvalid, match="not a unit"):
        program.run_records(public, [records([mpz(2), public.n], public.n)] * 6)


def test_the_product_computes_the_same_without_the_core() -> None:
    """SAFEHOUSE_NATIVE=0 turns it off, and no integer changes."""
    environment = dict(os.environ) | {native.SWITCH: "0"}
    printed = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"False {everything()}" == printed.strip()


def test_a_core_that_is_built_and_able_is_used() -> None:
    """A core that fails its self-test fails here, instead of skipping every test."""
    switched_off = os.environ.get(native.SWITCH) == "0"
    if not native._BUILT or not native._core.supported() or switched_off:
        pytest.skip(native.reason())
    assert native.reason() == ""


@needs_core
def test_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switched off, not built, another processor, contradicted: one sentence each."""
    ask = native.reason.__wrapped__
    assert ask() == ""
    with monkeypatch.context() as patch:
        patch.setattr(native, "_combs_agree", lambda *_: False)
        assert ask() == "self-test: a fixed-base power of 1024 bits is wrong"
    with monkeypatch.context() as patch:
        patch.setattr(native._core, "supported", lambda: False)
        assert ask() == "the processor has no AVX512-IFMA"
    with monkeypatch.context() as patch:
        patch.setattr(native._core, "INTERFACE", 1)
        assert ask() == "it was built from another version's sources: install again"
    with monkeypatch.context() as patch:
        patch.setattr(native, "_BUILT", False)
        assert ask() == "it was not built: no C compiler at installation"
    monkeypatch.setenv(native.SWITCH, "0")
    assert ask() == "SAFEHOUSE_NATIVE is 0"


@needs_core
def test_keys_that_are_too_long_are_left_to_gmpy2() -> None:
    """Beyond 4096 bits the core says no, and a key still works."""
    assert [native.available(bits) for bits in (4096, 4112)] == [True, False]
    with pytest.raises(OverflowError):
        FixedBaseCore(mpz(1) << 4145 | 1, mpz(2), 8)


def test_both_ways_refuse_the_same() -> None:
    """Exponents of 0 and too long ones, m = n: refused before anything is computed."""
    public = KEYS[1].public
    base = paillier.FixedBase(public, 64)
    for call in (
        lambda: base.power(bytes(8)),
        lambda: base.power(b"\1" * 9),
        lambda: base.encrypt([1], [bytes(8)]),
        lambda: base.encrypt([public.n], [b"\1" * 8]),
        lambda: base.encrypt([-1], [b"\1" * 8]),
        lambda: base.blind(mpz(1), int(public.n), b"\1" * 8),
        lambda: base.blind(mpz(1), 0, bytes(8)),
    ):
        with pytest.raises(RuntimeError):
            call()
    assert base.encrypt([], []) == []


def test_a_stored_multiple_of_n_is_refused_by_both() -> None:
    """The presence column is divided by; what is no unit stops the program."""
    key = KEYS[1]
    groups = (Group(INSUFFICIENT_DATA, (1,), -1, 1),)
    card = Scorecard((3, 0), 0, 30, 6, ((0, 0),), groups, Scorecard.layout(6, groups))
    with pytest.raises(CiphertextInvalid, match="not a unit"):
        Program(card).run(key.public, [mpz(2), key.public.n * 3])


# -- the door ------------------------------------------------------------------


def odd(seed: int) -> bytes:
    """Make a modulus of 512 bits."""
    return int(next_prime(mpz(1) << 511 + seed)).to_bytes(65, "little")


def single() -> tuple["native._core.Ring", Callable[[int], np.ndarray]]:
    """Make a ring for one modulus, and room for its elements."""
    ring = native._core.Ring(odd(0))
    return ring, lambda number: native._elements(ring, number)


MISUSES = {
    "constants cut short": lambda r, e: r.load(bytes(3), e(1)),
    "constants beyond their room": lambda r, e: r.load(bytes(260 * 2), e(1)),
    "unaligned room": lambda r, e: r.load(bytes(260), e(2)[8 : 8 + len(e(1))]),
    "registers beyond the file": lambda r, e: r.read(bytes(128), 128, e(2), 2, 2, 1),
    "more registers than there are": lambda r, e: r.read(
        bytes(384), 128, e(2), 2, 0, 3
    ),
    "negative register": lambda r, e: r.read(bytes(128), 128, e(2), 2, -1, 1),
    "huge register": lambda r, e: r.read(bytes(128), 128, e(2), 2, 2**62, 1),
    "huge number": lambda r, e: r.read(bytes(128), 128, e(2), 2, 1, 2**63 - 1),
    "records cut short": lambda r, e: r.read(bytes(127), 128, e(2), 2, 0, 1),
    "records too long": lambda r, e: r.read(bytes(261), 261, e(2), 2, 0, 1),
    "records for another file": lambda r, e: r.read(bytes(256), 128, e(2), 2, 0, 1),
    "product beyond the file": lambda r, e: r.run(e(2), words(0, 1, 2), 2),
    "product of nothing": lambda r, e: r.run(e(2), words(), 2),
    "product cut short": lambda r, e: r.run(e(2), words(0, 1), 2),
    "negative product": lambda r, e: r.run(e(2), words(0, -1, 1), 2),
    "blocks cut short": lambda r, e: r.run(e(3), words(0, 1, 1), 2),
    "blocks of nothing": lambda r, e: r.run(e(2), words(0, 1, 1), 0),
    "result beyond the file": lambda r, e: r.write(e(2), 2, 2, e(1), 128),
    "two factors": lambda r, e: r.write(e(2), 2, 0, e(2), 128),
    "no size": lambda r, e: r.write(e(2), 2, 0, e(1), 0),
    "window of one": lambda r, e: r.comb_row(e(2), 1, e(4)),
    "window of thirteen": lambda r, e: r.comb_row(e(2), 13, e(4)),
    "row cut short": lambda r, e: r.comb_row(e(3), 2, e(4)),
    "row without constants": lambda r, e: r.comb_row(e(4), 2, e(3)),
    "exponent beyond the table": lambda r, e: comb(r, e, exponents=bytes(2), each=2),
    "exponents cut short": lambda r, e: comb(r, e, exponents=bytes(3), each=2),
    "exponents of nothing": lambda r, e: comb(r, e, each=0),
    "plaintexts that do not divide": lambda r, e: comb(
        r, e, exponents=bytes(2), plaintexts=bytes(3)
    ),
    "plaintext too long": lambda r, e: comb(r, e, plaintexts=bytes(131)),
    "factor cut short": lambda r, e: comb(r, e, factors=bytes(127)),
    "negative size": lambda r, e: comb(r, e, size=-1),
    "powers of one modulus": lambda r, e: r.powers(bytes(128), 128, b"\1", b"\1", e(7)),
}


def words(*numbers: int) -> np.ndarray:
    """Make the code of a program."""
    return np.array(numbers, np.int32)


def comb(
    ring: "native._core.Ring",
    room: Callable[[int], np.ndarray],
    **other: bytes | int,
) -> bytes:
    """Call with a table of four rows for two bits each, and one argument amiss."""
    right = {"exponents": b"\1", "each": 1, "plaintexts": None, "factors": None}
    given = right | {"size": 128} | other
    start, size = room(1), given.pop("size")
    return ring.comb(room(16), 2, *given.values(), start, size)


@needs_core
@pytest.mark.parametrize("crime", MISUSES)
def test_misshapen_buffers_are_refused(crime: str) -> None:
    """Lengths, places and alignment are checked in C, before anything is read."""
    with pytest.raises(ValueError, match=r"."):
        MISUSES[crime](*single())


@needs_core
@pytest.mark.parametrize("modulus", [b"\2", b"\1\0\0", b"", b"\0"])
def test_a_modulus_is_odd_and_more_than_one(modulus: bytes) -> None:
    """Even ones have no Montgomery form."""
    for factors in ((modulus,), (modulus, b"\3"), (b"\3", modulus)):
        with pytest.raises(ValueError, match="odd"):
            native._core.Ring(*factors)


@needs_core
def test_a_pair_is_no_single_ring() -> None:
    """Records need one modulus, halves two; exponents their windows."""
    pair = native._core.Ring(odd(0), odd(1))
    room = native._elements(pair, 7)
    for call in (
        lambda: pair.read(bytes(128), 128, room, 7, 0, 1),
        lambda: pair.write(room, 7, 0, room[: pair.element_bytes], 128),
        lambda: pair.powers(bytes(128), 128, b"\1", b"\1\1", room),
        lambda: pair.powers(bytes(128), 128, b"\40", b"\1", room),
        lambda: pair.powers(bytes(128), 128, b"", b"", room),
        lambda: pair.powers(bytes(129), 128, b"\1", b"\1", room),
    ):
        with pytest.raises(ValueError, match=r"."):
            call()
    with pytest.raises(TypeError):
        native._core.Ring(odd(0), q=odd(1))
