"""How long a private range call takes, by the number of its candidates.

House and authority run as two processes with mTLS and durable journals on loopback.
The candidates are drawn from all subjects, so most blocks have few of them, which is
the dearest case: every block that has one is masked.  Every answer is compared.

    python benchmarks/private_calls.py --subjects 5000 --json private_calls.json
"""

import os
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from machine import command_line, publish

from contracts.dataset import Dataset
from contracts.subject import SubjectType
from node import clock, demo
from node.author import Author
from node.client import BankClient
from node.custodian import Custodian
from node.demo import BANKS, CUSTODIANS, Stage
from node.keys import BankKeys, CustodianKeys, RegistrarKeys
from node.private_client import PrivateClient
from node.registrar import Registrar
from protocols import native

SIZES = (16, 64, 256, 512)
DATASET = f"""\
apiVersion: safehouse/v1
kind: Dataset
metadata: {{name: tax}}
spec:
  custodian: {CUSTODIANS[0]}
  unit: 税务局
  category: 纳税
  cycle: quarterly
  tier: T2
  subject: opaque
  columns:
    - {{name: turnover, integer: {{min: 0, max: 10000000000}}}}
"""
CONTRACT = f"""\
apiVersion: safehouse/v1
kind: QueryContract
metadata: {{name: floor, version: 1}}
spec:
  purpose: loan-precheck
  subject: opaque
  author: {demo.AUTHOR}
  banks: [{BANKS[0]}]
  range: {{column: tax.turnover, at_least: 5000}}
  examples:
    - {{given: {{tax.turnover: "5000"}}, expect: at_least}}
    - {{given: {{}}, insufficient_data: true}}
"""
CONSENTS = (
    "consent_id,subject_id,grantees,purposes,scope,not_before,not_after,max_uses,"
    "frequency,separate,evidence_kind,evidence_digest,granted_at\n"
)
CONSENT = (
    f"c-{{name}},{{name}},{BANKS[0]},loan-precheck,dataset:tax,"
    "2025-01-02T09:01:00+08:00,2035-01-01T00:00:00+08:00,unlimited,,false,online,,"
    "2025-01-02T09:01:00+08:00\n"
)


def put(stage: Stage, folder: Path, subjects: int) -> dict[str, int]:
    """Put subjects, their data and consents, and a contract; return their values."""
    values = {f"{n:08d}": n * 7919 % 10_000 for n in range(subjects)}
    table = folder / "tax.csv"
    lines = [f"{name},{value}\n" for name, value in values.items()]
    table.write_text("subject_id,turnover\n" + "".join(lines), "utf-8")
    with Custodian(*stage.party(CUSTODIANS[0], CustodianKeys)) as custodian:
        kind = SubjectType.OPAQUE
        custodian.put_register(kind, table, "subject_id", clock.now_ms())
        dataset = Dataset.from_yaml(DATASET, "tax.yaml")
        custodian.register(dataset)
        custodian.push(dataset, table, "2026-01", clock.now_ms())
        with Author(*stage.party(demo.AUTHOR, BankKeys)) as author:
            contract = author.submit(CONTRACT, "floor.yaml")
            custodian.approve(contract.hash)
            author.activate(contract.hash)
    given = folder / "consents.csv"
    given.write_text(CONSENTS + "".join(CONSENT.format(name=name) for name in values))
    with Registrar(*stage.party("registrar", RegistrarKeys)) as registrar:
        registrar.import_consents(given, None, SubjectType.OPAQUE, clock.now_ms())
    return values


def ask(
    stage: Stage, values: dict[str, int], size: int, calls: int
) -> dict[str, object]:
    """Ask about as many subjects, each among the same candidates, and compare."""
    dice = np.random.default_rng(size)
    drawn = dice.choice(sorted(values), size, replace=False).tolist()
    among = {name: f"c-{name}" for name in drawn}
    waits, open_waits = [], []
    with (
        PrivateClient(*stage.party(BANKS[0], BankKeys)) as bank,
        BankClient(*stage.party(BANKS[0], BankKeys)) as teller,
    ):
        for name in drawn[:calls]:
            began = clock.monotonic_us()
            told = bank.range("floor", name, among).answer
            waits.append(clock.monotonic_us() - began)
            began = clock.monotonic_us()
            plain = teller.range("floor", name, consent=f"c-{name}").answer
            open_waits.append(clock.monotonic_us() - began)
            wanted = "at_least" if values[name] >= 5000 else "below"
            if not told == plain == wanted:
                raise SystemExit(f"{name}: {told}, {plain}, expected {wanted}")
    return {
        "candidates": size,
        "calls": calls,
        "median_ms": round(median(waits) / 1000, 1),
        "open_median_ms": round(median(open_waits) / 1000, 1),
    }


def main() -> None:
    """Measure, and print."""
    parser = command_line(__doc__)
    parser.add_argument("--subjects", type=int, default=5_000)
    parser.add_argument("--key-bits", type=int, default=2048)
    parser.add_argument("--calls", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Stage(folder / "domain", given.key_bits) as stage:
            values = put(stage, folder, given.subjects)
            sizes = [size for size in SIZES if size <= given.subjects]
            runs = [ask(stage, values, size, given.calls) for size in sizes]
    figures = {
        "load": round(os.getloadavg()[0], 1),
        "key_bits": given.key_bits,
        "subjects": given.subjects,
        "native": native.available(given.key_bits),
        "runs": runs,
    }
    for name, value in figures.items():
        print(f"{name}: {value}")
    publish(figures, given.json)


if __name__ == "__main__":
    main()
