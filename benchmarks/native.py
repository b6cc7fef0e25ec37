"""The native core against gmpy2, taking turns, and against the processor's peak.

The operations of the product, each compared before it is timed; `x N` are N at a time,
eight numbers side by side:

    decrypt       one ciphertext, as the online call does; gmpy2 in constant time
    power         h_s^r for a ciphertext that goes to the authority (r: bits(n) + 64)
    encrypt       one ciphertext of stored data (r: bits(n) / 2)
    encrypt wide  the same with the table for large pushes, of 12-bit windows
    blind         mask and re-randomise a total, all of what the house adds to it
    program       36 weights of 16 bits and a presence column over one block

Milliseconds of CPU time an operation, medians.  `of peak` is the share of the
instructions that the processor could at most multiply with: IFMA instructions of the
operation, by the formulas of protocols/native/ring.h, over what `ifma_peak.c` measures.
`at peak` is how many subjects a second that peak allows with these formulas: a goal
beyond it takes other formulas, not better code.

    python benchmarks/native.py --bits 3072 --json native.json
"""

import argparse
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
from machine import command_line, publish

from protocols import native
from protocols.paillier import FixedBase, PrivateKey, ciphertext_to_bytes, generate
from protocols.program import INSUFFICIENT_DATA, Group, Program, Scorecard
from protocols.slots import pack, slots_per_block

TERMS = 36
WEIGHT_BITS = 16
M = 33
MANY = 64
LANES = 8

Job = Callable[[], object]


@dataclass(frozen=True)
class Contest:
    """One operation, both ways, and the core's IFMA instructions for it."""

    name: str
    core: Job
    gmpy2: Job
    instructions: float
    repeat: int = 1  # how many operations a job does


@dataclass(frozen=True)
class Line:
    """Milliseconds of CPU time an operation, and what follows for subjects."""

    operation: str
    core_ms: float
    gmpy2_ms: float
    of_peak: float | None
    subjects_per_s: float
    subjects_per_s_at_peak: float | None

    @property
    def times(self) -> float:
        """How many times sooner the core is."""
        return self.gmpy2_ms / self.core_ms


@dataclass(frozen=True)
class Costs:
    """IFMA instructions of one product with D digits in V vectors, alone or upright.

    Alone, a number lies across the lanes; upright, `side_by_side` operations share.
    """

    digits: int
    vectors: int
    side_by_side: int = 0

    def _digits(self, terms: int, others: int) -> float:
        if self.side_by_side:  # no lane idles
            return terms * self.digits**2 / self.side_by_side
        return self.digits * (terms * self.vectors + others)

    @property
    def square(self) -> float:
        """Square: upright, the products of different digits are computed once."""
        return self._digits(7 if self.side_by_side else 8, 2)

    @property
    def scale(self) -> float:
        """Multiply by a number of one digit."""
        return self._digits(8, 2)

    @property
    def multiply(self) -> float:
        """Multiply two elements."""
        return self._digits(10, 2)

    @property
    def read(self) -> float:
        """Read a record."""
        return self._digits(4, 2)

    def comb(self, exponent_bits: int, window: int) -> float:
        """Raise a fixed base."""
        return -(-exponent_bits // window) * self.scale + self.multiply

    def power(self, bits: int) -> float:
        """Raise to a secret exponent of `bits` bits, and what frames it."""
        windows = -(-bits // native.WINDOW_BITS) - 1
        rows = (1 << native.WINDOW_BITS) // 2 - 1
        squares = native.WINDOW_BITS * windows + rows
        framing = (native.CHUNKS + 2) * self.scale
        return squares * self.square + (windows + rows) * self.multiply + framing

    def program(self, products: Sequence[tuple[int, int]], columns: int) -> float:
        """Run a program, its one inversion left out."""
        squares = sum(a == b for a, b in products)
        others = len(products) - squares  # with the last one, that removes powers of R
        return (
            columns * self.read + squares * self.square + (others + 1) * self.multiply
        )


def without_core() -> AbstractContextManager[object]:
    """Let gmpy2 compute what is made or run in this context."""
    return patch.object(native, "available", lambda _bits=0: False)


def contests_of(bits: int) -> list[Contest]:
    """Make a key and the operations, each compared once."""
    key = generate(bits)
    contests = [*key_contests(key), *push_contests(key), *program_contests(key)]
    for contest in contests:
        with without_core():
            expected = contest.gmpy2()
        if contest.core() != expected:
            raise AssertionError(f"{contest.name}: the core differs from gmpy2")
    return contests


def bases(key: PrivateKey, bits: int, *, wide: bool = False) -> tuple[FixedBase, ...]:
    """Make tables of powers with and without the core."""
    with without_core():
        slow = FixedBase(key.public, bits)
    return FixedBase(key.public, bits, wide=wide), slow


def key_contests(key: PrivateKey) -> list[Contest]:
    """Decrypt, blind and raise to long exponents."""
    public = key.public
    bits, length = public.bits, public.authority_exponent_bits
    with without_core():
        slow_key = PrivateKey(key.p, key.q)
    fast, slow = bases(key, length)
    alone, pair, upright, upright_pair = shapes(bits)
    exponents = [secrets.token_bytes(fast.exponent_bytes) for _ in range(MANY)]
    plain = [pack(np.full(slots_per_block(bits), 517 + i)) for i in range(MANY)]
    some = fast.encrypt(plain, exponents)
    blinding = [
        costs.comb(length, native.COMB_BITS) + costs.multiply + costs.read
        for costs in (alone, upright)
    ]
    return [
        Contest(
            "decrypt",
            lambda: key.decrypt(some[0]),
            lambda: slow_key.decrypt(some[0]),
            pair.power(bits // 2),
        ),
        Contest(
            f"decrypt x{MANY}",
            lambda: key.decrypt_all(some),
            lambda: slow_key.decrypt_all(some),
            upright_pair.power(bits // 2),
            MANY,
        ),
        Contest(
            "power",
            lambda: fast.power(exponents[0]),
            lambda: slow.power(exponents[0]),
            alone.comb(length, native.COMB_BITS),
        ),
        Contest(
            "blind",
            lambda: fast.blind(some[0], plain[0], exponents[0]),
            lambda: slow.blind(some[0], plain[0], exponents[0]),
            blinding[0],
        ),
        Contest(
            f"blind x{MANY}",
            lambda: fast.blind_all(some, plain, exponents),
            lambda: slow.blind_all(some, plain, exponents),
            blinding[1],
            MANY,
        ),
    ]


def push_contests(key: PrivateKey) -> list[Contest]:
    """Encrypt stored data."""
    bits, stored = key.public.bits, key.public.stored_exponent_bits
    alone, _, upright, _ = shapes(bits)
    plain = [pack(np.full(slots_per_block(bits), 517 + i)) for i in range(MANY)]
    exponents = [secrets.token_bytes(stored // 8) for _ in range(MANY)]
    contests = []
    for name, wide, window in (
        ("encrypt", False, native.COMB_BITS),
        ("encrypt wide", True, native.WIDE_COMB_BITS),
    ):
        fast, slow = bases(key, stored, wide=wide)
        for many, costs in ((1, alone), (MANY, upright)):
            contests.append(
                Contest(
                    f"{name} x{many}" if many > 1 else name,
                    partial(fast.encrypt, plain[:many], exponents[:many]),
                    partial(slow.encrypt, plain[:many], exponents[:many]),
                    costs.comb(stored, window),
                    many,
                )
            )
    return contests


def program_contests(key: PrivateKey) -> list[Contest]:
    """Make a contract, its program, and a block to run it on."""
    public = key.public
    bits, base = public.bits, FixedBase(public, public.stored_exponent_bits)
    rng = np.random.default_rng(7)
    weights = rng.integers(1, 1 << WEIGHT_BITS, TERMS).tolist()
    groups = (Group(INSUFFICIENT_DATA, (TERMS,), -1, 1),)
    card = Scorecard(
        weights=(*weights, 0),
        shift=0,
        top=sum(weights) * 1000,
        m=M,
        steps=((0, 0),),
        groups=groups,
        fields=Scorecard.layout(M, groups),
    )
    program = Program(card)
    exponents = [secrets.token_bytes(bits // 16) for _ in range(TERMS + 1)]
    columns = base.encrypt(range(TERMS + 1), exponents)
    block = b"".join(ciphertext_to_bytes(public, c) for c in columns)
    products = program._products  # noqa: SLF001 -- what it is made of is measured
    alone, _, upright, _ = shapes(bits)
    return [
        Contest(
            "program",
            lambda: program.run(public, columns),
            lambda: program.run(public, columns),
            alone.program(products, TERMS + 1),
        ),
        Contest(
            f"program x{MANY}",
            lambda: program.run_records(public, [block] * MANY),
            lambda: program.run_records(public, [block] * MANY),
            upright.program(products, TERMS + 1),
            MANY,
        ),
    ]


def shapes(bits: int) -> tuple[Costs, Costs, Costs, Costs]:
    """Find digits and vectors of n, and of p beside q: alone, then side by side."""
    singles = {20: 3, 40: 5, 60: 8, 80: 10}
    pairs = {10: 3, 20: 5, 30: 8, 40: 10}

    def first(shapes: dict[int, int], length: int) -> Costs:
        digits = min(d for d in shapes if length <= 52 * d - 16)
        return Costs(digits, shapes[digits])

    alone, pair = first(singles, bits), first(pairs, bits // 2)
    return (
        alone,
        pair,
        replace(alone, side_by_side=LANES),
        replace(pair, side_by_side=LANES // 2),
    )


def measure(contest: Contest, rounds: int) -> tuple[float, float]:
    """Take turns; return the median milliseconds of the core and of gmpy2."""
    samples: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for side, job in enumerate((contest.core, contest.gmpy2)):
            with without_core() if side else nullcontext():
                samples[side].append(one(job) / contest.repeat)
    return statistics.median(samples[0]), statistics.median(samples[1])


def one(job: Job, least_s: float = 0.05) -> float:
    """Repeat a job for a little while; return milliseconds of CPU time each."""
    repeats, start = 0, time.thread_time()
    while (spent := time.thread_time() - start) < least_s:
        job()
        repeats += 1
    return spent / repeats * 1e3


def peak() -> float | None:
    """Measure IFMA instructions a second; None without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    source = Path(__file__).with_name("ifma_peak.c")
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "ifma_peak")
        command = [compiler, "-O1", "-o", program, str(source)]
        subprocess.run(command, check=True)  # noqa: S603
        done = subprocess.run(  # noqa: S603
            [program], capture_output=True, text=True, check=True
        )
    return float(done.stdout)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = command_line(__doc__)
    parser.add_argument(
        "--bits", type=int, default=2048, help="bits of n: 2048, or 3072 to 4096"
    )
    parser.add_argument("--rounds", type=int, default=7, help="turns of each")
    return parser.parse_args()


def main() -> None:
    """Run, print a table, and write the same as JSON when asked."""
    options = arguments()
    if not native.available(options.bits):
        sys.exit(f"there is no native core: {native.reason() or 'n is too long'}")
    contests, most = contests_of(options.bits), peak()
    slots = slots_per_block(options.bits)
    print(
        f"{'CPU ms':17s}{'core':>10s}{'gmpy2':>10s}{'':>9s}{'of peak':>9s}"
        f"{'subjects/s':>13s}{'at peak':>13s}"
    )
    lines = []
    for contest in contests:
        core, gmpy2 = measure(contest, options.rounds)
        at_peak = most / contest.instructions * slots if most else None
        now = slots / (core / 1e3)
        share = now / at_peak if at_peak else None
        lines.append(line := Line(contest.name, core, gmpy2, share, now, at_peak))
        shown = f"{contest.name:17s}{core:10.4f}{gmpy2:10.4f}{line.times:8.1f}x"
        shown += "" if share is None else f"{share:9.0%}"
        shown += f"{now:13,.0f}" + ("" if at_peak is None else f"{at_peak:13,.0f}")
        print(shown)
    print(f"IFMA peak: {most / 1e9:.2f} G/s" if most else "no compiler: no peak")
    told = [asdict(line) | {"times": line.times} for line in lines]
    figures = {"bits": options.bits, "ifma_per_s": most, "lines": told}
    publish(figures, options.json)


if __name__ == "__main__":
    main()
