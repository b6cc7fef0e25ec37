"""Packing and compiling against phe, on the same key: what a subject costs.

Three jobs, both libraries taking turns, CPU time, medians:

    encrypt   one value; ours encrypts a block of subjects in one ciphertext
    score     36 weights of 16 bits; ours as compiled products over a block, plus
              the presence column and the doubling that the lookup needs
    decrypt   one value; ours decrypts a block, in constant time (powmod_sec)

Every result is compared with plain integers before anything is timed.

    python benchmarks/paillier.py --bits 3072 --json paillier.json
"""

import argparse
import secrets
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import phe
from machine import command_line, publish

from protocols.paillier import (
    FixedBase,
    encrypt,
    generate,
    private_to_phe,
)
from protocols.program import INSUFFICIENT_DATA, Group, Program, Scorecard
from protocols.slots import pack, slots_per_block, split, unpack

TERMS = 36
WEIGHT_BITS = 16
VALUE_BITS = 10
M = 33  # the totals of 36 products of 16 and 10 bits, and the guard zone

Job = Callable[[], object]


@dataclass(frozen=True)
class Line:
    """Microseconds of CPU time; ours by ciphertext and by subject of its block."""

    job: str
    ours_per_ciphertext_us: float
    ours_per_subject_us: float
    phe_per_subject_us: float

    @property
    def times(self) -> float:
        """How many times cheaper a subject is."""
        return self.phe_per_subject_us / self.ours_per_subject_us


def card_of(weights: list[int]) -> Scorecard:
    """Make the contract: weighted columns and one `_present` column."""
    groups = (Group(INSUFFICIENT_DATA, (TERMS,), -1, 1),)
    return Scorecard(
        weights=(*weights, 0),
        shift=0,
        top=sum(weights) * ((1 << VALUE_BITS) - 1),
        m=M,
        steps=((0, 0),),
        groups=groups,
        fields=Scorecard.layout(M, groups),
    )


def jobs_of(bits: int) -> tuple[int, dict[str, tuple[Job, Job]]]:
    """Make the key and the jobs, ours and phe's; return the slots of a block too."""
    key = generate(bits)
    public, slots = key.public, slots_per_block(bits)
    base = FixedBase(public, public.stored_exponent_bits)
    theirs_private = private_to_phe(key)
    theirs = theirs_private.public_key
    rng = np.random.default_rng(7)
    weights = rng.integers(1, 1 << WEIGHT_BITS, TERMS).tolist()
    people = rng.integers(0, 1 << VALUE_BITS, (TERMS + 1, slots))
    people[TERMS] = 1

    def ours_encrypt(row: int = 0) -> object:
        return encrypt(
            public, pack(people[row]), base.power(secrets.token_bytes(bits // 16))
        )

    card = card_of(weights)
    program = Program(card)
    columns = [ours_encrypt(row) for row in range(TERMS + 1)]
    numbers = [theirs.encrypt(int(x)) for x in people[:TERMS, 0]]

    def theirs_score() -> phe.EncryptedNumber:
        total = numbers[0] * weights[0]
        for number, weight in zip(numbers[1:], weights[1:], strict=True):
            total = total + number * weight
        return total

    block, number = program.run(public, columns), theirs_score()
    expected = np.array(weights) @ people[:TERMS]
    constants = pack(np.full(slots, 2 * card.constant))
    check(card, int((key.decrypt(block) + constants) % public.n), expected)
    if theirs_private.decrypt(number) != expected[0]:
        raise AssertionError("phe's sum differs from the plain one")
    print(f"{program.products} products, one an inversion, for a block of {slots}")
    return slots, {
        "encrypt": (ours_encrypt, lambda: theirs.encrypt(517)),
        "score": (lambda: program.run(public, columns), theirs_score),
        "decrypt": (
            lambda: key.decrypt(block),
            lambda: theirs_private.decrypt(number),
        ),
    }


def check(card: Scorecard, plain: int, expected: np.ndarray) -> None:
    """Compare the score field of every slot, doubled, with the plain sum."""
    slots = len(expected)
    values = unpack(plain.to_bytes(5 * slots, "little"), range(slots))
    scores = split(values, card.fields)[:, 0]
    if not np.array_equal(scores, 2 * expected):
        raise AssertionError("our sums differ from the plain ones")


def measure(jobs: dict[str, tuple[Job, Job]], rounds: int) -> dict[str, list[float]]:
    """Take turns; return the median microseconds of each job, ours then phe's."""
    samples: dict[str, list[list[float]]] = {name: [[], []] for name in jobs}
    for _ in range(rounds):
        for name, pair in jobs.items():
            for side, job in enumerate(pair):
                samples[name][side].append(one(job))
    return {
        name: [statistics.median(side) for side in sides]
        for name, sides in samples.items()
    }


def one(job: Job, least_s: float = 0.05) -> float:
    """Repeat a job for a little while; return microseconds of CPU time each."""
    repeats, start = 0, time.process_time()
    while (spent := time.process_time() - start) < least_s:
        job()
        repeats += 1
    return spent / repeats * 1e6


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = command_line(__doc__)
    parser.add_argument(
        "--bits", type=int, default=2048, help="bits of n: 2048, or 3072 and more"
    )
    parser.add_argument("--rounds", type=int, default=7, help="turns of each library")
    return parser.parse_args()


def main() -> None:
    """Run, print a table, and write the same as JSON when asked."""
    options = arguments()
    slots, jobs = jobs_of(options.bits)
    lines = [
        Line(name, ours, ours / slots, theirs)
        for name, (ours, theirs) in measure(jobs, options.rounds).items()
    ]
    print(f"{'CPU us':10s}{'ours/block':>12s}{'ours/subject':>14s}{'phe':>12s}{'':>9s}")
    for line in lines:
        print(
            f"{line.job:10s}{line.ours_per_ciphertext_us:12.1f}"
            f"{line.ours_per_subject_us:14.2f}{line.phe_per_subject_us:12.1f}"
            f"{line.times:8.0f}x"
        )
    told = [asdict(line) | {"times": line.times} for line in lines]
    figures = {"bits": options.bits, "slots": slots, "lines": told}
    publish(figures, options.json, "phe")


if __name__ == "__main__":
    main()
