"""Our Paillier layer against others, value by value, in one run.

    phe        python-paillier with gmpy2: what most prototypes are written with
    heu        SecretFlow's HEU, schema ZPaillier (C++)
    tno        TNO's tno.mpc.encryption_schemes.paillier, with gmpy2
    gmpy2      ours without its native core
    native     ours with it (AVX512-IFMA)

Five jobs: encrypt a value; add two; multiply one by a weight of 16 bits; 36 weights
times 36 values, added up; decrypt.  All values are of 10 bits.  The others hold one
value in a ciphertext; ours hold a block of 49 (2048 bits) or 75 (3072), and what is
written is the time of a ciphertext divided by the values in it: that is what a subject
of a block costs, and is said beside it by ciphertext.  Ours multiplies through the
compiled program, and decrypts in constant time.

Every result is compared with plain integers before anything is timed.  Peers take
turns, `--rounds` times, on one core; CPU time; the median of a peer's turns.  One that
is not installed is left out by name: `pip install -e '.[bench]'` has them all.

Then a whole pipeline for `--subjects` people under examples/german-credit's contract,
as a first version with phe would be written (a ciphertext a value; the score is
decrypted, and looked up in the clear) against ours (packed, masked, looked up blind);
every outcome is compared.

    python benchmarks/peers.py --key-bits 2048 3072 --json peers.json
"""

import os
import secrets
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import phe
from machine import command_line, publish
from pipeline import compare_pipelines

from protocols import native
from protocols.paillier import FixedBase, encrypt, generate
from protocols.program import INSUFFICIENT_DATA, Group, Program, Scorecard
from protocols.slots import pack, slots_per_block

TERMS: Final = 36
WEIGHT_BITS: Final = 16
VALUE_BITS: Final = 10
JOBS: Final = ("encrypt", "add", "multiply", "dot36", "decrypt")
TURN_S: Final = 0.05

Job = Callable[[], object]


@dataclass(frozen=True)
class Peer:
    """A library, its jobs, and how many values one ciphertext of it holds."""

    name: str
    values: int
    jobs: dict[str, Job]


def inputs() -> tuple[list[int], list[int]]:
    """Draw weights and values, the same for all."""
    rng = np.random.default_rng(7)
    weights = rng.integers(1, 1 << WEIGHT_BITS, TERMS).tolist()
    return weights, rng.integers(0, 1 << VALUE_BITS, TERMS).tolist()


def check(name: str, job: str, expected: int, got: int) -> None:
    """Raise where a library computes something else."""
    if expected != got:
        raise AssertionError(f"{name}: {job}: expected {expected}, got {got}")


def of_phe(bits: int) -> Peer:
    """Make phe's jobs."""
    public, private = phe.generate_paillier_keypair(n_length=bits)
    weights, values = inputs()
    numbers = [public.encrypt(value) for value in values]

    def dot() -> phe.EncryptedNumber:
        total = numbers[0] * weights[0]
        for number, weight in zip(numbers[1:], weights[1:], strict=True):
            total = total + number * weight
        return total

    plain = sum(w * v for w, v in zip(weights, values, strict=True))
    check("phe", "dot36", plain, private.decrypt(dot()))
    check("phe", "add", values[0] + values[1], private.decrypt(numbers[0] + numbers[1]))
    return Peer(
        "phe",
        1,
        {
            "encrypt": lambda: public.encrypt(517),
            "add": lambda: numbers[0] + numbers[1],
            "multiply": lambda: numbers[0] * weights[0],
            "dot36": dot,
            "decrypt": lambda: private.decrypt(numbers[0]),
        },
    )


def of_heu(bits: int) -> Peer:
    """Make HEU's jobs; raises `ImportError` where it is not installed."""
    from heu import phe as heu  # noqa: PLC0415  an extra

    kind = heu.SchemaType.ZPaillier
    kit = heu.setup(kind, bits)
    encryptor, evaluator, decryptor = kit.encryptor(), kit.evaluator(), kit.decryptor()
    weights, values = inputs()
    numbers = [encryptor.encrypt_raw(value) for value in values]
    plain_weights = [heu.Plaintext(kind, weight) for weight in weights]

    def dot() -> object:
        total = evaluator.mul(numbers[0], plain_weights[0])
        for number, weight in zip(numbers[1:], plain_weights[1:], strict=True):
            total = evaluator.add(total, evaluator.mul(number, weight))
        return total

    plain = sum(w * v for w, v in zip(weights, values, strict=True))
    check("heu", "dot36", plain, int(decryptor.decrypt_raw(dot())))
    return Peer(
        "heu",
        1,
        {
            "encrypt": lambda: encryptor.encrypt_raw(517),
            "add": lambda: evaluator.add(numbers[0], numbers[1]),
            "multiply": lambda: evaluator.mul(numbers[0], plain_weights[0]),
            "dot36": dot,
            "decrypt": lambda: decryptor.decrypt_raw(numbers[0]),
        },
    )


def of_tno(bits: int) -> Peer:
    """Make TNO's jobs; raises `ImportError` where it is not installed."""
    from tno.mpc.encryption_schemes.paillier import Paillier  # noqa: PLC0415  an extra

    warnings.simplefilter("ignore")  # it advises when to randomise; we measure that
    scheme = Paillier.from_security_parameter(key_length=bits, precision=0)
    weights, values = inputs()
    numbers = [scheme.unsafe_encrypt(value) for value in values]
    for number in numbers:
        number.randomize()

    def fresh() -> object:
        number = scheme.unsafe_encrypt(517)
        number.randomize()
        return number

    def dot() -> Any:  # noqa: ANN401  a ciphertext of theirs
        total = numbers[0] * weights[0]
        for number, weight in zip(numbers[1:], weights[1:], strict=True):
            total = total + number * weight
        return total

    plain = sum(w * v for w, v in zip(weights, values, strict=True))
    check("tno", "dot36", plain, int(scheme.decrypt(dot())))
    return Peer(
        "tno",
        1,
        {
            "encrypt": fresh,
            "add": lambda: numbers[0] + numbers[1],
            "multiply": lambda: numbers[0] * weights[0],
            "dot36": dot,
            "decrypt": lambda: scheme.decrypt(numbers[0]),
        },
    )


def card_of(weights: list[int]) -> Scorecard:
    """Make a contract of weighted columns; `_present` is the last of them."""
    groups = (Group(INSUFFICIENT_DATA, (len(weights),), -1, 1),)
    top = sum(weights) * ((1 << VALUE_BITS) - 1)
    m = (2 * (top + 1) - 1).bit_length()
    return Scorecard(
        weights=(*weights, 0),
        shift=0,
        top=top,
        m=m,
        steps=((0, 0),),
        groups=groups,
        fields=Scorecard.layout(m, groups),
    )


@contextmanager
def core(*, used: bool) -> Iterator[None]:
    """Let the native core be used, or not."""
    if used:
        yield
        return
    with patch.object(native, "available", lambda _bits=0: False):
        yield


def of_ours(bits: int, *, with_core: bool) -> Peer:
    """Make this product's jobs; raises `ImportError` without the native core."""
    name = "native" if with_core else "gmpy2"
    if with_core and not native.available(bits):
        raise ImportError(native.reason() or "the key is too long for it")
    slots = slots_per_block(bits)
    weights, values = inputs()
    with core(used=with_core):
        key = generate(bits)
        public = key.public
        base = FixedBase(public, public.stored_exponent_bits)
        card = card_of(weights)
        program, single = Program(card), Program(card_of(weights[:1]))

        def fresh(value: int) -> Any:  # noqa: ANN401  an mpz
            exponent = secrets.token_bytes(bits // 16)
            return encrypt(public, pack(np.full(slots, value)), base.power(exponent))

        columns = [fresh(value) for value in (*values, 1)]
        block = program.run(public, columns)
        packed = pack(np.full(slots, 517))
    plain = sum(w * v for w, v in zip(weights, values, strict=True))
    first = int(key.decrypt(block) + pack(np.full(slots, 2 * card.constant)))
    score = first % public.n & ((1 << card.fields[0].bits) - 1)
    check(name, "dot36", 2 * plain, score)

    def run(job: Job) -> Job:
        def turn() -> object:
            with core(used=with_core):
                return job()

        return turn

    n2 = public.n2
    return Peer(
        name,
        slots,
        {
            "encrypt": run(
                lambda: base.encrypt([packed], [secrets.token_bytes(bits // 16)])
            ),
            "add": lambda: columns[0] * columns[1] % n2,
            "multiply": run(lambda: single.run(public, [columns[0], columns[-1]])),
            "dot36": run(lambda: program.run(public, columns)),
            "decrypt": run(lambda: key.decrypt(block)),
        },
    )


PEERS: Final[dict[str, Callable[[int], Peer]]] = {
    "phe": of_phe,
    "heu": of_heu,
    "tno": of_tno,
    "gmpy2": lambda bits: of_ours(bits, with_core=False),
    "native": lambda bits: of_ours(bits, with_core=True),
}


def turn_us(job: Job) -> float:
    """Run a job for about `TURN_S`; return its microseconds of CPU time."""
    began, runs = time.process_time(), 0
    while True:
        job()
        runs += 1
        spent = time.process_time() - began
        if spent >= TURN_S:
            return spent / runs * 1e6


def measure(bits: int, rounds: int) -> tuple[list[dict[str, object]], dict[str, str]]:
    """Measure every peer at one key size; return figures, and who is left out."""
    peers, absent = [], {}
    for name, make in PEERS.items():
        try:
            peers.append(make(bits))
        except ImportError as error:
            absent[name] = str(error)
    turns: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for job in JOBS:
            for peer in peers:
                turns.setdefault((peer.name, job), []).append(turn_us(peer.jobs[job]))
    figures: list[dict[str, object]] = []
    for peer in peers:
        line: dict[str, object] = {"peer": peer.name, "key_bits": bits}
        for job in JOBS:
            median = statistics.median(turns[peer.name, job])
            line[f"{job}_us"] = round(median / peer.values, 4)
            line[f"{job}_us_per_ciphertext"] = round(median, 2)
        figures.append(line)
    return figures, absent


def show(figures: list[dict[str, object]]) -> None:
    """Print microseconds a value, and how many times phe's that is."""
    (theirs,) = [line for line in figures if line["peer"] == "phe"]
    print(f"{'us a value':<12}" + "".join(f"{job:>22}" for job in JOBS))
    for line in figures:
        cells = []
        for job in JOBS:
            ours, base = float(str(line[f"{job}_us"])), float(str(theirs[f"{job}_us"]))
            cells.append(f"{ours:>12,.2f} {base / ours:>8,.1f}x")
        print(f"{line['peer']:<12}" + "".join(cells))


def main() -> None:
    """Run from the command line."""
    parser = command_line(__doc__)
    parser.add_argument("--key-bits", type=int, nargs="+", default=[2048, 3072])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--subjects", type=int, default=1_000, help="0: no pipeline")
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    figures: list[dict[str, object]] = []
    left_out: dict[str, str] = {}
    for bits in options.key_bits:
        found, absent = measure(bits, options.rounds)
        left_out |= absent
        print(f"{bits} bits")
        show(found)
        figures += found
    for name, why in left_out.items():
        print(f"left out: {name}: {why}")
    document: dict[str, object] = {"peers": figures, "left_out": left_out}
    if options.subjects:
        document["pipeline"] = compare_pipelines(options.subjects, options.key_bits[0])
    publish(document, options.json, "phe")


if __name__ == "__main__":
    main()
