"""How long a statistic takes: by groups, and over all, from question to figures.

House and authority run as two processes with mTLS and durable journals on loopback;
subjects are spread over fifteen towns, a dataset has a number and a flag.  Every answer
is compared: with the noise that its margin allows, the figures are the right ones.

    python benchmarks/aggregates.py --subjects 30000 --json aggregates.json
"""

import os
import secrets
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np
from machine import command_line, publish

from contracts.attributes import PublicAttributes
from contracts.basis import STRICT, Accepted, Basis
from contracts.dataset import Dataset, Tier
from contracts.subject import SubjectType
from node import clock, demo
from node.aggregate_client import AggregateClient
from node.author import Author
from node.custodian import Custodian
from node.demo import BANKS, CUSTODIANS, Stage
from node.keys import BankKeys, CustodianKeys
from protocols import native, paillier
from protocols.aggregate import UNIT, HouseSide, authority_totals, bind
from protocols.drbg import Drbg
from protocols.noise import Scale
from protocols.slots import pack, slots_per_block

TOWNS = 15
ATTRIBUTES = f"""\
apiVersion: safehouse/v1
kind: PublicAttributes
metadata: {{name: towns}}
spec:
  custodian: {CUSTODIANS[0]}
  subject: opaque
  attributes:
    - {{name: town, classes: [{", ".join(f"镇{n}" for n in range(TOWNS))}]}}
"""
DATASET = f"""\
apiVersion: safehouse/v1
kind: Dataset
metadata: {{name: tax}}
spec:
  custodian: {CUSTODIANS[0]}
  unit: 税务局
  category: 纳税
  cycle: quarterly
  tier: T1
  subject: opaque
  columns:
    - {{name: paid, integer: {{min: 0, max: 100}}}}
    - {{name: grade_a, flag: {{}}}}
"""
CONTRACT = """\
apiVersion: safehouse/v1
kind: QueryContract
metadata: {{name: {name}, version: 1}}
spec:
  purpose: statistics
  subject: opaque
  author: {author}
  banks: [{bank}]
  aggregate:
    dataset: tax
    by: [{by}]
    floor: 20
    most_subjects: {most}
    numbers:
      - {{name: taxpayers, count: true, epsilon: 0.2}}
      - {{name: paid, sum: paid, epsilon: 0.4}}
      - {{name: grade-a, count: grade_a, epsilon: 0.2}}
"""


BASES: Final = STRICT.with_rows([Accepted(Basis.AGGREGATE, (Tier.T1,))])


def put(stage: Stage, folder: Path, subjects: int) -> None:
    """Put subjects, attributes and data; open two contracts."""
    rows = [
        (f"{n:08d}", f"镇{n % TOWNS}", n % 101, int(n % 3 == 0))
        for n in range(subjects)
    ]
    lines = [f"{name},{town},{paid},{flag}\n" for name, town, paid, flag in rows]
    table = folder / "tax.csv"
    table.write_text("subject_id,town,paid,grade_a\n" + "".join(lines), "utf-8")
    with Custodian(*stage.party(CUSTODIANS[0], CustodianKeys)) as custodian:
        kind = SubjectType.OPAQUE
        custodian.put_register(kind, table, "subject_id", clock.now_ms())
        attributes = PublicAttributes.from_yaml(ATTRIBUTES, "attributes.yaml")
        custodian.put_attributes(attributes, table, clock.now_ms())
        dataset = Dataset.from_yaml(DATASET, "tax.yaml")
        custodian.register(dataset)
        custodian.push(dataset, table, "2026-01", clock.now_ms())
    with Author(*stage.party(demo.AUTHOR, BankKeys)) as author:
        for name, by in (("by-town", "town"), ("of-all", "")):
            words = {"author": demo.AUTHOR, "bank": BANKS[0], "by": by, "name": name}
            contract = author.submit(
                CONTRACT.format(most=max(subjects, 20), **words), "contract.yaml"
            )
            with Custodian(*stage.party(CUSTODIANS[0], CustodianKeys)) as custodian:
                custodian.approve(contract.hash)
            author.activate(contract.hash)


def ask(stage: Stage, contract: str, subjects: int) -> dict[str, object]:
    """Ask once, and compare."""
    decrypted = 0

    def told(_done: int, total: int) -> None:
        nonlocal decrypted
        decrypted = total

    with AggregateClient(*stage.party(BANKS[0], BankKeys)) as bank:
        began = clock.monotonic_us()
        answer = bank.ask(contract, progress=told)
        seconds = (clock.monotonic_us() - began) / 1e6
    exact: dict[tuple[str, ...], list[int]] = {}
    for n in range(subjects):
        labels = (f"镇{n % TOWNS}",) if contract == "by-town" else ()
        sums = exact.setdefault(labels, [0, 0, 0])
        for i, value in enumerate((1, n % 101, int(n % 3 == 0))):
            sums[i] += value
    for group in answer.groups:
        for figure, wanted in zip(group.figures, exact[group.labels], strict=True):
            if figure.value is None or figure.margin is None:
                raise SystemExit("a figure is missing")
            if abs(figure.value - wanted) > 4 * figure.margin:  # once in 10^5
                raise SystemExit(f"{group.labels} {figure.number}: {figure.value}")
    return {
        "contract": contract,
        "groups": len(answer.groups),
        "decryptions": decrypted,
        "seconds": round(seconds, 2),
    }


def alone(key_bits: int, blocks: int = 256) -> dict[str, float]:
    """Time both sides of one ciphertext, in CPU milliseconds, in this process."""
    key = paillier.generate(key_bits)
    public, slots = key.public, slots_per_block(key.public.bits)
    base = paillier.FixedBase(public, public.authority_exponent_bits)
    dice = np.random.default_rng(1)
    values = dice.integers(0, 100, (blocks, slots))
    stored = base.encrypt(
        [pack(block) for block in values],
        [secrets.token_bytes(public.stored_exponent_bits // 8) for _ in values],
    )
    groups = dice.integers(0, TOWNS, blocks * slots)
    sheaves, scales = bind(groups, slots), (Scale(UNIT * 100 + 1, 400),)
    house, authority = HouseSide(base, sheaves, TOWNS, scales), Drbg(b"a" * 32)
    began = time.process_time()
    made = house.message(lambda _, block: stored[block], Drbg(bytes(32)))
    between = time.process_time()
    authority_totals(key, made.ciphertexts, sheaves, TOWNS, scales, authority)
    ended = time.process_time()
    return {
        "house_ms": round(1000 * (between - began) / blocks, 3),
        "authority_ms": round(1000 * (ended - between) / blocks, 3),
    }


def main() -> None:
    """Measure, and print."""
    parser = command_line(__doc__)
    parser.add_argument("--subjects", type=int, default=30_000)
    parser.add_argument("--key-bits", type=int, default=2048)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Stage(folder / "domain", given.key_bits, bases=BASES) as stage:
            put(stage, folder, given.subjects)
            runs = [ask(stage, c, given.subjects) for c in ("by-town", "of-all")]
    figures = {
        "load": round(os.getloadavg()[0], 1),
        "key_bits": given.key_bits,
        "subjects": given.subjects,
        "native": native.available(given.key_bits),
        "of_one_ciphertext": alone(given.key_bits),
        "runs": runs,
    }
    for name, value in figures.items():
        print(f"{name}: {value}")
    publish(figures, given.json)


if __name__ == "__main__":
    main()
