r"""Optional arithmetic for AVX512-IFMA: the same integers as gmpy2, sooner.

The C part multiplies modulo n^2, or modulo p^2 and q^2 side by side; method and
bounds stand in `ring.h`.  Here its operations get their constants.  Whatever it
computes gmpy2 computes too, bit for bit, and where it is not available gmpy2 does:
without a compiler at installation, on another processor, when SAFEHOUSE_NATIVE is 0,
for keys of more than 4096 bits, or when the first use finds a product that plain
integers contradict.  Only `protocols.paillier` and `protocols.program` ask.

*Powers of R.*  A product of elements comes out divided by R = 2^(52 D).  Numbers
are not converted in; instead each register's power of R, known without looking at
data, is kept in mind, and the last product puts right what has gathered.  A record
is read as c / R; X R^s times Y R^t gives X Y R^(s + t - 1).

*What time tells.*  `DecryptCore` runs the same instructions over the same addresses
for every key and ciphertext of a size: no branch and no address depends on a secret,
up to the last step, where Python puts the halves of a plaintext together as it does
after gmpy2.  `FixedBaseCore` finds table rows by the digits of r, as the gmpy2 path
does: whoever shares the cache of the processor with a custodian or the house may
learn digits of r, hence a plaintext.  `ProgramCore` sees ciphertexts only.

Buffers are bytes: records are big endian and of fixed size, exponents and plaintexts
little endian.  The interpreter's lock is released while C computes.

>>> available() == (reason() == "")
True
"""

import functools
import hashlib
import os
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

try:
    from protocols.native import _core
except ImportError:  # built when a C compiler was there; everything works without
    _BUILT = False
else:
    _BUILT = True

if TYPE_CHECKING:
    from protocols.native._core import Ring

Number: TypeAlias = int  # or mpz: whoever passes mpz gets gmpy2's speed here
Elements: TypeAlias = NDArray[np.uint8]

SWITCH: Final = "SAFEHOUSE_NATIVE"
INTERFACE: Final = 2  # of the C part
MOST_BITS: Final = 4096  # of n
ALIGNMENT: Final = 64  # bytes of a vector
COMB_BITS: Final = 8  # of an exponent, a table row each
WIDE_COMB_BITS: Final = 12  # where a table may be long: 100 MB and more
WINDOW_BITS: Final = 5  # of a secret exponent
CHUNKS: Final = 4  # digits of the pair's R in a ciphertext
LANES: Final = 8
BLOCKS_AT_ONCE: Final = 32  # register files; they share one inversion
SIDE_BY_SIDE: Final = 5  # of eight lanes in use, from which on upright is sooner
INVERSE: Final = -1  # in place of a product's second register


def available(bits: int = 0) -> bool:
    """Tell whether the core may be used, for an n of `bits` bits."""
    return not reason() and bits <= MOST_BITS


@functools.cache
def reason() -> str:
    """Say why the core is not used; empty when it is."""
    if os.environ.get(SWITCH) == "0":
        return f"{SWITCH} is 0"
    if not _BUILT:
        return "it was not built: no C compiler at installation"
    if getattr(_core, "INTERFACE", 1) != INTERFACE:
        return "it was built from another version's sources: install again"
    if not _core.supported():
        return "the processor has no AVX512-IFMA"
    return _self_test()


# -- elements --------------------------------------------------------------------


def _elements(ring: "Ring", count: int) -> Elements:
    """Make room for `count` elements, aligned as vectors are."""
    memory = np.empty(count * ring.element_bytes + ALIGNMENT, np.uint8)
    start = -memory.__array_interface__["data"][0] % ALIGNMENT
    return memory[start : start + count * ring.element_bytes]


def _little(value: Number, length: int) -> bytes:
    return value.to_bytes(length, "little")


def _big(value: Number, length: int) -> bytes:
    return value.to_bytes(length, "big")


class _Modulus:
    """Z/(n^2), striped or upright: elements from numbers."""

    __slots__ = ("n", "n2", "r", "record_bytes", "ring")

    def __init__(self, n: Number, *, upright: bool = False) -> None:
        self.ring = _core.Ring(_little(n, -(-n.bit_length() // 8)), None, upright)
        self.n, self.n2 = n, n * n
        self.r = 1 << 8 * self.ring.number_bytes
        self.record_bytes = -(-2 * n.bit_length() // 8)

    def elements(self, *values: Number | tuple[Number, Number]) -> Elements:
        """Make elements of residues modulo n^2, or of their two digits."""
        length, out = self.ring.number_bytes, _elements(self.ring, len(values))
        pairs = (v if isinstance(v, tuple) else divmod(v, self.n)[::-1] for v in values)
        digits = (_little(digit, length) for pair in pairs for digit in pair)
        self.ring.load(b"".join(digits), out)
        return out

    def power_of_r(self, exponent: int) -> Elements:
        """Make the element R^exponent, of any sign."""
        return self.elements(pow(self.r, exponent, self.n2))


def _side_by_side(count: int, together: int) -> int:
    """Return how many of some jobs to do upright; the rest is sooner striped."""
    rest = count % together
    return count if rest * LANES >= SIDE_BY_SIDE * together else count - rest


# -- fixed base ------------------------------------------------------------------


class FixedBaseCore:
    """A base to many exponents, times 1 + m n, times other ciphertexts.

    `exponent_bits` is the longest exponent.  A table row for `window` bits of it
    holds 2^window elements: 10 MB a 1024 bits at n of 2048 bits and 8-bit windows.
    """

    __slots__ = ("_lone", "_starts", "_table", "_upright", "_window", "exponent_bytes")

    def __init__(
        self, n: Number, base: Number, exponent_bits: int, window: int = COMB_BITS
    ) -> None:
        self._lone, self._upright = _Modulus(n), _Modulus(n, upright=True)
        self._window = window
        self._starts: dict[tuple[bool, int, bool], Elements] = {}
        self.exponent_bytes = -(-exponent_bits // 8)
        ring, rows = self._lone.ring, -(-8 * self.exponent_bytes // window)
        self._table = _elements(ring, rows << window)
        for row in np.split(self._table, rows):
            ring.comb_row(row, window, self._row_constants(base))
            base = pow(base, 1 << window, self._lone.n2)

    def records(
        self,
        exponents: bytes,
        exponent_bytes: int,
        plaintexts: bytes | None = None,
        factors: bytes | None = None,
    ) -> bytes:
        """Compute factor (1 + m n) base^r for every exponent r, as records.

        All lengths are fixed: `exponent_bytes` for each exponent, and what results
        from their number for each plaintext m < n and each factor, a record below
        n^2.  Raises `RuntimeError` for lengths that do not agree.  An exponent of 0
        hides nothing: `protocols.paillier.FixedBase` refuses it.
        """
        count, rest = divmod(len(exponents), exponent_bytes)
        pieces = (exponents, plaintexts, factors)
        if rest or any(piece is not None and len(piece) % count for piece in pieces):
            raise RuntimeError("exponents and the rest differ in number or size")
        upright = _side_by_side(count, self._upright.ring.together)
        out = []
        for modulus, first, last in (
            (self._upright, 0, upright),
            (self._lone, upright, count),
        ):
            if first < last:
                part = (_between(piece, first, last, count) for piece in pieces)
                out.append(self._records(modulus, exponent_bytes, *part))
        return b"".join(out)

    def _records(
        self,
        modulus: _Modulus,
        exponent_bytes: int,
        exponents: bytes | None,
        plaintexts: bytes | None,
        factors: bytes | None,
    ) -> bytes:
        start = self._start(modulus, exponent_bytes, factors is not None)
        try:
            return modulus.ring.comb(
                self._table,
                self._window,
                exponents or b"",
                exponent_bytes,
                plaintexts,
                factors,
                start,
                modulus.record_bytes,
            )
        except ValueError as error:
            raise RuntimeError(str(error)) from None

    def _row_constants(self, base: Number) -> Elements:
        """Make what the C function `comb_row` steps with."""
        modulus = self._lone
        b, a = divmod(base, modulus.n)
        inverse = pow(a, -1, modulus.n)
        return modulus.elements(
            base * modulus.r % modulus.n2,
            (inverse * modulus.r % modulus.n, 0),
            (a, b * inverse % modulus.n),
            (modulus.r % modulus.n, 0),
        )

    def _start(
        self,
        modulus: _Modulus,
        exponent_bytes: int,
        factor: bool,  # noqa: FBT001
    ) -> Elements:
        """Cancel the powers of R of all windows, the last product and the factor."""
        key = modulus is self._upright, exponent_bytes, factor
        if key not in self._starts:
            windows = -(-8 * exponent_bytes // self._window)
            self._starts[key] = modulus.power_of_r(windows + 1 + 2 * factor)
        return self._starts[key]


def _between(piece: bytes | None, first: int, last: int, count: int) -> bytes | None:
    """Cut out the bytes of some of `count` jobs."""
    if piece is None:
        return None
    size = len(piece) // count
    return piece[first * size : last * size]


# -- programs ----------------------------------------------------------------------


class ProgramCore:
    """Products of registers modulo n^2, laid out once, for any number of blocks.

    `products` are pairs of registers, the second INVERSE for an inversion; the
    first `columns` registers are the inputs, every pair fills the next one, and the
    last is the result.
    """

    __slots__ = (
        "_columns",
        "_factors",
        "_lone",
        "_parts",
        "_result",
        "_spare",
        "_upright",
    )

    def __init__(
        self, n: Number, columns: int, products: Sequence[tuple[int, int]]
    ) -> None:
        self._lone, self._upright = _Modulus(n), _Modulus(n, upright=True)
        self._columns, self._result = columns, columns + len(products) - 1
        self._spare: list[Elements] = []  # register files to be used again
        powers = [-1] * columns  # of R
        self._parts: list[NDArray[np.int32] | tuple[int, int]] = []
        self._factors: dict[tuple[bool, int], Elements] = {}
        part: list[tuple[int, int, int]] = []
        for to, (a, b) in enumerate(products, columns):
            if b != INVERSE:
                part.append((to, a, b))
                powers.append(powers[a] + powers[b] - 1)
                continue
            self._close(part)
            part = []
            self._parts.append((to, a))
            self._cancel(a, 1 - powers[a])
            powers.append(-1)
        self._close(part)
        self._cancel(self._result, 1 - powers[-1])

    def records(self, blocks: Sequence[bytes]) -> list[bytes]:
        """Run every block, given as its columns' records in one piece.

        Raises `ZeroDivisionError` when a column that is divided by is no unit.
        """
        upright = _side_by_side(len(blocks), self._upright.ring.together)
        results: list[bytes] = []
        for modulus, start, end in (
            (self._upright, 0, upright),
            (self._lone, upright, len(blocks)),
        ):
            for first in range(start, end, BLOCKS_AT_ONCE):
                some = blocks[first : min(first + BLOCKS_AT_ONCE, end)]
                groups = -(-len(some) // modulus.ring.together)
                room = self._room(modulus.ring, groups)
                size = groups * self._each * modulus.ring.element_bytes
                results.extend(self._run(modulus, room[:size], some))
                self._spare.append(room)
        return results

    def _room(self, ring: "Ring", groups: int) -> Elements:
        """Find room for registers: fresh memory costs more than a dozen products.

        Whoever takes a spare file from the list has it for itself.
        """
        needed = groups * self._each
        while self._spare:
            room = self._spare.pop()
            if len(room) >= needed * ring.element_bytes:
                return room
        return _elements(ring, needed)

    def run(self, ciphertexts: Sequence[Number]) -> bytes:
        """Run one block; return the result's record.  Raises as `records` does."""
        size = self._lone.record_bytes
        (record,) = self.records([b"".join(_big(c, size) for c in ciphertexts)])
        return record

    def _close(self, part: list[tuple[int, int, int]]) -> None:
        if part:
            self._parts.append(np.array(part, np.int32))

    def _cancel(self, register: int, exponent: int) -> None:
        """Make the factor that puts a register's power of R right."""
        for modulus in (self._lone, self._upright):
            key = modulus is self._upright, register
            self._factors[key] = modulus.power_of_r(exponent)

    @property
    def _each(self) -> int:
        """Registers of a group of blocks: the last is `_invert`'s."""
        return self._result + 2

    def _run(
        self, modulus: _Modulus, registers: Elements, blocks: Sequence[bytes]
    ) -> Iterator[bytes]:
        ring, size, each = modulus.ring, modulus.record_bytes, self._each
        idle = -len(blocks) % ring.together  # lanes: they repeat the last block
        records = b"".join((*blocks, *[blocks[-1]] * idle))
        ring.read(records, size, registers, each, 0, self._columns)
        for part in self._parts:
            if isinstance(part, tuple):
                self._invert(modulus, registers, *part)
            else:
                ring.run(registers, part, each)
        results = self._write(modulus, registers, self._result, self._result)
        return _cut(results[: len(blocks) * size], size)

    def _write(
        self, modulus: _Modulus, registers: Elements, which: int, like: int
    ) -> bytes:
        """Write a register of every block, with the factor of register `like`."""
        factor = self._factors[modulus is self._upright, like]
        return modulus.ring.write(
            registers, self._each, which, factor, modulus.record_bytes
        )

    def _invert(self, modulus: _Modulus, registers: Elements, to: int, a: int) -> None:
        """Invert register `a` of every block into register `to`.

        At the price of one inversion and three products each (P. L. Montgomery,
        Math. Comp. 48, 1987, section 10.3.1).  The product of all groups is written
        with the factor of register `a`, so it has some power of R too many; the
        products with its inverse are divided by as many.
        """
        ring, each, size = modulus.ring, self._each, modulus.record_bytes
        groups = len(registers) // (each * ring.element_bytes)
        top = registers[-each * ring.element_bytes :]  # the last group's
        if groups == 1:
            inverses = _inverted(self._write(modulus, top, a, a), modulus)
            ring.read(inverses, size, top, each, to, 1)
            return
        forth, back = _inversion(groups, each, to, a)
        ring.run(registers, forth, groups * each)
        inverses = _inverted(self._write(modulus, top, to, a), modulus)
        ring.read(inverses, size, top, each, each - 1, 1)
        ring.run(registers, back, groups * each)


@functools.lru_cache(maxsize=64)
def _inversion(
    groups: int, each: int, to: int, a: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Lay out products: forth to that of all groups, and back with its inverse.

    Register `to` of a group first holds the product of `a` up to this group.  The
    last register of the last group holds the inverse of the product so far.
    """
    factors = [group * each + a for group in range(groups)]
    results = [group * each + to for group in range(groups)]
    products, inverse = [factors[0], *results[1:]], groups * each - 1
    forth = [
        (products[group], products[group - 1], factors[group])
        for group in range(1, groups)
    ]
    back = []
    for group in range(groups - 1, 0, -1):
        back.append((results[group], inverse, products[group - 1]))
        to_here = inverse if group > 1 else results[0]
        back.append((to_here, inverse, factors[group]))
    return np.array(forth, np.int32), np.array(back, np.int32)


def _inverted(records: bytes, modulus: _Modulus) -> bytes:
    """Invert residues: modulo n, then modulo n^2 by Newton's step."""
    n, n2, size = modulus.n, modulus.n2, modulus.record_bytes
    values = [type(n).from_bytes(record, "big") for record in _cut(records, size)]
    inverses = _inverses([value % n for value in values], n)
    return b"".join(
        _big(inverse * (2 - value * inverse) % n2, size)
        for value, inverse in zip(values, inverses, strict=True)
    )


def _inverses(values: Sequence[Number], n: Number) -> list[Number]:
    """Invert many at the price of one inversion and three products each.

    P. L. Montgomery, Math. Comp. 48, 1987, section 10.3.1.
    """
    products = list(accumulate(values, lambda x, y: x * y % n))
    try:
        inverse = pow(products[-1], -1, n)
    except ValueError:  # what int raises; mpz raises the other
        raise ZeroDivisionError("not a unit") from None
    inverses = []
    for value, before in zip(values[:0:-1], products[-2::-1], strict=True):
        inverses.append(inverse * before % n)
        inverse = inverse * value % n
    return [inverse, *reversed(inverses)]


def _cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[i : i + size] for i in range(0, len(data), size))


# -- decryption --------------------------------------------------------------------


class DecryptCore:
    """Decryption with the factors of n, modulo p^2 and q^2 side by side."""

    __slots__ = ("_inverse", "_lone", "_p", "_q", "_size", "_upright", "_windows")

    def __init__(self, p: Number, q: Number) -> None:
        self._p, self._q = p, q
        self._inverse = pow(p, -1, q)
        self._size = -(-2 * (p * q).bit_length() // 8)
        self._lone, self._upright = _pair(p, q), _pair(p, q, upright=True)
        bits = max(p.bit_length(), q.bit_length())
        self._windows = _windows(p - 1, bits), _windows(q - 1, bits)

    def __reduce__(self) -> tuple[type["DecryptCore"], tuple[Number, Number]]:
        """Travel to another process as p and q, like the key itself."""
        return DecryptCore, (self._p, self._q)

    def decrypt(self, ciphertext: Number) -> int:
        """Return the plaintext of 0 <= c < n^2."""
        return self.decrypt_records(_big(ciphertext, self._size))[0]

    def decrypt_records(self, records: bytes) -> list[int]:
        """Return the plaintexts of ciphertexts of the public key's fixed length."""
        count, (upright, _) = len(records) // self._size, self._upright
        cut = self._size * _side_by_side(count, upright.together)
        halves = b"".join(
            ring.powers(part, self._size, *self._windows, constants)
            for (ring, constants), part in (
                (self._upright, records[:cut]),
                (self._lone, records[cut:]),
            )
            if part
        )
        length, p, q = upright.number_bytes, self._p, self._q
        plaintexts = []
        for pair in _cut(halves, 2 * length):
            m_p = type(p).from_bytes(pair[:length], "little")
            m_q = type(p).from_bytes(pair[length:], "little")
            plaintexts.append(int(m_p + p * ((m_q - m_p) * self._inverse % q)))
        return plaintexts


def _pair(p: Number, q: Number, *, upright: bool = False) -> tuple["Ring", Elements]:
    """Make the ring modulo p^2 and q^2, and what the C function `powers` needs."""
    length = -(-max(p.bit_length(), q.bit_length()) // 8)
    ring = _core.Ring(_little(p, length), _little(q, length), upright)
    r = 1 << 8 * ring.number_bytes
    constants = _elements(ring, CHUNKS + 3)
    digits: list[Number] = []
    for exponent in (*range(2, CHUNKS + 2), 1, 0):
        for m in (p, q):
            digits.extend(divmod(pow(r, exponent, m * m), m)[::-1])
    # L_p(g^(p - 1)) = -q modulo p: Paillier 1999, section 7, with g = n + 1
    for m, other in ((p, q), (q, p)):
        digits.extend((pow(-other, -1, m) * r % m, 0))
    ring.load(b"".join(_little(d, ring.number_bytes) for d in digits), constants)
    return ring, constants


def _windows(exponent: Number, bits: int) -> bytes:
    """Cut an exponent into windows, the most significant first."""
    count = -(-bits // WINDOW_BITS)
    places = range(WINDOW_BITS * (count - 1), -1, -WINDOW_BITS)
    return bytes(int(exponent >> place) & (1 << WINDOW_BITS) - 1 for place in places)


# -- self-test -----------------------------------------------------------------------


def _self_test() -> str:
    """Compute a little of everything, and with plain integers; say what differs.

    Every shape of numbers, values at the edges of ranges, where carries run longest,
    and values that look random.
    """
    for bits in (1024, 2048, 3072, 4096):
        stream = hashlib.shake_256(f"safehouse native {bits}".encode()).digest(bits)
        n, x, y = (
            int.from_bytes(stream[i : i + bits // 8], "big") | 1 << bits - 1 | 1
            for i in range(0, 3 * bits // 8, bits // 8)
        )
        if not _products_agree(n, (x * y, n * n - 1, (1 << bits) - 1, n + 1, 1)):
            return f"self-test: a product of {bits} bits is wrong"
        if not _combs_agree(n, 2 + y % n * n, stream[-1:]):
            return f"self-test: a fixed-base power of {bits} bits is wrong"
        p = x >> bits // 2 | 1
        q = p ^ 1 << bits // 4  # p - q is a power of 2: without common factor
        if not _halves_agree(p, q, (x * y % (p * q) ** 2, p * q * q)):
            return f"self-test: a decryption of {bits} bits is wrong"
    return ""


def _products_agree(n: int, values: Sequence[int]) -> bool:
    numbers, products = [value % n**2 for value in values], []
    for last in range(len(values) - 1, len(values) + 8):
        products.append((last, last) if last % 2 else (last, last - len(values) + 1))
        a, b = products[-1]
        numbers.append(numbers[a] * numbers[b] % n**2)
    core = ProgramCore(n, len(values), products)
    size = -(-2 * n.bit_length() // 8)
    block = b"".join(_big(v, size) for v in numbers[: len(values)])
    return list(core.records([block])) == [_big(numbers[-1], size)]


def _combs_agree(n: int, base: int, exponent: bytes) -> bool:
    core = FixedBaseCore(n, base, 8 * len(exponent), window=4)
    size, m = -(-2 * n.bit_length() // 8), n - 1
    c = pow(base, int.from_bytes(exponent, "little"), n**2)
    got = core.records(exponent, len(exponent), _little(m, size // 2), _big(c, size))
    return got == _big((1 + m * n) * c * c % n**2, size)


def _halves_agree(p: int, q: int, values: Sequence[int]) -> bool:
    ring, constants = _pair(p, q)
    exponents, size = (0x283, 0x11F), -(-2 * (p * q).bit_length() // 8)
    records = b"".join(_big(value, size) for value in values)
    of_p, of_q = (_windows(exponent, 10) for exponent in exponents)
    got = ring.powers(records, size, of_p, of_q, constants)
    expected = [
        (pow(value, exponent, m * m) - 1) // m * pow(-other, -1, m) % m
        for value in values
        for m, other, exponent in ((p, q, exponents[0]), (q, p, exponents[1]))
    ]
    return got == b"".join(_little(half, ring.number_bytes) for half in expected)
