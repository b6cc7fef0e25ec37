"""The native core against gmpy2, taking turns, and against the processor's peak.

The operations of the product, each compared before it is timed:

    decrypt       one ciphertext, as the online call does; gmpy2 in constant time
    power         h_s^r for a ciphertext that goes to the authority (r: bits(n) + 64)
    encrypt       one ciphertext of stored data (r: bits(n) / 2)
    encrypt w12   the same with the core's table of 12-bit windows, for large pushes
    blind         mask and re-randomise a total, all of what the house adds to it
    program       36 weights of 16 bits and a presence column over one block
    program x8    the same, blocks by the eight, records in and out; by block

Milliseconds of CPU time, medians.  `of peak` is the share of the instructions that
the processor could at most multiply with: IFMA instructions of the operation, by the
formulas of protocols/native/ring.c, over what `ifma_peak.c` measures.
"""

import argparse
import json
import secrets
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
from machine import commit, machine

from protocols import native
from protocols.paillier import FixedBase, PrivateKey, generate
from protocols.program import INSUFFICIENT_DATA, Group, Program, Scorecard
from protocols.slots import pack, slots_per_block

TERMS = 36
WEIGHT_BITS = 16
M = 33
BLOCKS = 8
WIDE = 12  # bits of a window

Job = Callable[[], object]


@dataclass(frozen=True)
class Contest:
    """One operation, both ways, and the core's IFMA instructions for it."""

    name: str
    core: Job
    gmpy2: Job
    instructions: int
    repeat: int = 1  # how many operations the core's job does


@dataclass(frozen=True)
class Line:
    """Milliseconds of CPU time an operation."""

    operation: str
    core_ms: float
    gmpy2_ms: float
    of_peak: float | None

    @property
    def times(self) -> float:
        """How many times sooner the core is."""
        return self.gmpy2_ms / self.core_ms


@dataclass(frozen=True)
class Costs:
    """IFMA instructions of one product with D digits in V vectors."""

    digits: int
    vectors: int

    @property
    def square(self) -> int:
        """Squaring, or scaling by a number of one digit."""
        return self.digits * (8 * self.vectors + 2)

    @property
    def multiply(self) -> int:
        """Multiply two elements."""
        return self.digits * (10 * self.vectors + 2)

    @property
    def read(self) -> int:
        """Read a record."""
        return self.digits * (4 * self.vectors + 2)

    def comb(self, exponent_bits: int, window: int) -> int:
        """Raise a fixed base."""
        return -(-exponent_bits // window) * self.square + self.multiply

    def power(self, bits: int) -> int:
        """Raise to a secret exponent of `bits` bits, and what frames it."""
        windows = -(-bits // native.WINDOW_BITS) - 1
        rows = (1 << native.WINDOW_BITS) // 2 - 1
        squares = native.WINDOW_BITS * windows + rows + native.CHUNKS + 2
        return squares * self.square + (windows + rows) * self.multiply


def without_core() -> AbstractContextManager[object]:
    """Let gmpy2 compute what is made or run in this context."""
    return patch.object(native, "available", lambda _bits=0: False)


def contests_of(bits: int) -> list[Contest]:
    """Make a key and the operations, each compared once."""
    key = generate(bits)
    public, slots = key.public, slots_per_block(bits)
    with without_core():
        slow_key = PrivateKey(key.p, key.q)
        slow = FixedBase(public, public.authority_exponent_bits)
    fast = FixedBase(public, public.authority_exponent_bits)
    stored = public.stored_exponent_bits
    wide = native.FixedBaseCore(public.n, public.h_s(), stored, WIDE)
    short = secrets.token_bytes(stored // 8)
    long = secrets.token_bytes(fast.exponent_bytes)
    plain = pack(np.full(slots, 517))
    (ciphertext,) = fast.encrypt([plain], [short])
    data = plain.to_bytes(bits // 8, "little")
    one, pair = shapes(bits)
    programs = program_contests(bits, fast)
    contests = [
        Contest(
            "decrypt",
            lambda: key.decrypt(ciphertext),
            lambda: slow_key.decrypt(ciphertext),
            pair.power(bits // 2),
        ),
        Contest(
            "power",
            lambda: fast.power(long),
            lambda: slow.power(long),
            one.comb(8 * len(long), native.COMB_BITS),
        ),
        Contest(
            "encrypt",
            lambda: fast.encrypt([plain], [short]),
            lambda: slow.encrypt([plain], [short]),
            one.comb(stored, native.COMB_BITS),
        ),
        Contest(
            f"encrypt w{WIDE}",
            lambda: [int.from_bytes(wide.records(short, len(short), data), "big")],
            lambda: slow.encrypt([plain], [short]),
            one.comb(stored, WIDE),
        ),
        Contest(
            "blind",
            lambda: fast.blind(ciphertext, plain, long),
            lambda: slow.blind(ciphertext, plain, long),
            one.comb(8 * len(long), native.COMB_BITS) + one.multiply + one.read,
        ),
        *programs,
    ]
    for contest in contests:
        with without_core():
            expected = contest.gmpy2()
        if contest.core() != expected:
            raise AssertionError(f"{contest.name}: the core differs from gmpy2")
    return contests


def program_contests(bits: int, base: FixedBase) -> list[Contest]:
    """Make a contract, its program, and blocks to run it on."""
    public = base.public
    rng = np.random.default_rng(7)
    weights = rng.integers(1, 1 << WEIGHT_BITS, TERMS).tolist()
    groups = (Group(INSUFFICIENT_DATA, (TERMS,), -1, 1),)
    top = sum(weights) * 1000
    card = Scorecard(
        weights=(*weights, 0),
        shift=0,
        top=top,
        m=M,
        steps=((0, 0),),
        groups=groups,
        fields=Scorecard.layout(M, groups),
    )
    program = Program(card)
    exponents = [secrets.token_bytes(bits // 16) for _ in range(TERMS + 1)]
    columns = base.encrypt(range(TERMS + 1), exponents)
    block = b"".join(int(c).to_bytes(bits // 4, "big") for c in columns)
    products = program._products  # noqa: SLF001 -- what it is made of is measured
    core = native.ProgramCore(public.n, TERMS + 1, products)
    one, _ = shapes(bits)
    instructions = (TERMS + 2) * one.read + one.multiply
    for a, b in products:
        instructions += one.square if a == b else one.multiply

    def eight() -> list[int]:
        return [int.from_bytes(r, "big") for r in core.records([block] * BLOCKS)]

    def eight_with_gmpy2() -> list[int]:
        return [int(program.run(public, columns)) for _ in range(BLOCKS)]

    return [
        Contest(
            "program",
            lambda: program.run(public, columns),
            lambda: program.run(public, columns),
            instructions,
        ),
        Contest(
            f"program x{BLOCKS}", eight, eight_with_gmpy2, instructions, repeat=BLOCKS
        ),
    ]


def shapes(bits: int) -> tuple[Costs, Costs]:
    """Find digits and vectors of n, and of p beside q, as `shape_for` does."""
    singles = {20: 3, 40: 5, 60: 8, 80: 10}
    pairs = {10: 3, 20: 5, 30: 8, 40: 10}

    def first(shapes: dict[int, int], length: int) -> Costs:
        digits = min(d for d in shapes if length <= 52 * d - 16)
        return Costs(digits, shapes[digits])

    return first(singles, bits), first(pairs, bits // 2)


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
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog="example: python benchmarks/native.py --bits 3072 --json native.json",
    )
    parser.add_argument(
        "--bits", type=int, default=2048, help="bits of n: 2048, or 3072 to 4096"
    )
    parser.add_argument("--rounds", type=int, default=7, help="turns of each")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write results here")
    return parser.parse_args()


def main() -> None:
    """Run, print a table, and write the same as JSON when asked."""
    options = arguments()
    if not native.available(options.bits):
        sys.exit(f"there is no native core: {native.reason() or 'n is too long'}")
    contests, most = contests_of(options.bits), peak()
    print(f"{'CPU ms':14s}{'core':>10s}{'gmpy2':>10s}{'':>9s}{'of peak':>9s}")
    lines = []
    for contest in contests:
        core, gmpy2 = measure(contest, options.rounds)
        share = contest.instructions / (core / 1e3) / most if most else None
        lines.append(line := Line(contest.name, core, gmpy2, share))
        shown = "" if share is None else f"{share:9.0%}"
        print(f"{contest.name:14s}{core:10.4f}{gmpy2:10.4f}{line.times:8.1f}x{shown}")
    print(f"IFMA peak: {most / 1e9:.2f} G/s" if most else "no compiler: no peak")
    print(f"machine: {machine()}\ncommit: {commit()}")
    if options.json:
        document = {
            "command": shlex.join(sys.argv),
            "machine": machine(),
            "commit": commit(),
            "bits": options.bits,
            "ifma_per_s": most,
            "lines": [asdict(line) | {"times": line.times} for line in lines],
        }
        options.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
