"""How long a bank's customers take against a government list that nobody shows.

House and authority run as two processes with mTLS and durable journals on loopback,
the custodian and the bank in this one: everything `safehouse push` and `safehouse psi`
do, proofs of the list's points included.  The two lists share a known number of ids
and the run fails if the answer is another.

    python benchmarks/psi.py --ids 100000 --json psi.json
"""

import os
import tempfile
from pathlib import Path

from machine import command_line, publish

from contracts.dataset import Dataset
from node import clock, demo
from node.author import Author
from node.custodian import Custodian
from node.demo import BANKS, CUSTODIANS, Stage
from node.keys import BankKeys, CustodianKeys
from node.psi_client import PsiClient

LIST = f"""\
apiVersion: safehouse/v1
kind: Dataset
metadata: {{name: subsidy, title: 惠农补贴名单}}
spec:
  custodian: {CUSTODIANS[0]}
  unit: 区农业农村局
  category: 惠农补贴
  cycle: monthly
  tier: T0
  subject: opaque
  list: true
"""
CONTRACT = """\
apiVersion: safehouse/v1
kind: QueryContract
metadata: {{name: {mode}, version: 1, title: 客户比对}}
spec:
  purpose: loan-precheck
  subject: opaque
  author: {author}
  banks: [{bank}]
  psi: {{list: subsidy, mode: {mode}, most_ids: {ids}, sessions_per_quarter: 4}}
"""


def push(stage: Stage, folder: Path, ids: int) -> float:
    """Push a list of the subjects 0 to `ids`; returns the seconds."""
    table = folder / "list.csv"
    table.write_text("subject_id\n" + "".join(f"{n:012d}\n" for n in range(ids)))
    dataset = Dataset.from_yaml(LIST, "list.yaml")
    began = clock.monotonic_us()
    with Custodian(*stage.party(CUSTODIANS[0], CustodianKeys)) as custodian:
        custodian.register(dataset)
        custodian.push_list(dataset, table, "2026-01", clock.now_ms())
    return (clock.monotonic_us() - began) / 1e6


def ask(stage: Stage, mode: str, ids: int) -> dict[str, object]:
    """Compare customers, nine of ten of whom are on the list."""
    words = {"author": demo.AUTHOR, "bank": BANKS[0], "ids": ids, "mode": mode}
    with Author(*stage.party(demo.AUTHOR, BankKeys)) as author:
        compiled = author.submit(CONTRACT.format(**words), "contract.yaml")
        with Custodian(*stage.party(CUSTODIANS[0], CustodianKeys)) as custodian:
            custodian.approve(compiled.hash)
        author.activate(compiled.hash)
    missing = ids // 10
    customers = [f"{n:012d}" for n in range(missing, ids + missing)]
    began, cpu = clock.monotonic_us(), sum(os.times()[:2])
    with PsiClient(*stage.party(BANKS[0], BankKeys)) as bank:
        found = bank.intersect(mode, customers)
    seconds = (clock.monotonic_us() - began) / 1e6
    if found.count != ids - missing:
        raise SystemExit(f"expected {ids - missing} in common, got {found.count}")
    return {
        "mode": mode,
        "ids": ids,
        "found": found.count,
        "seconds": round(seconds, 1),
        "bank_cpu_s": round(sum(os.times()[:2]) - cpu, 1),
    }


def main() -> None:
    """Measure and print; `--json` writes the figures."""
    parser = command_line(__doc__)
    parser.add_argument("--ids", type=int, default=100_000, help="on each side")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        Stage(Path(name) / "domain", 2048) as stage,
    ):
        pushed = round(push(stage, Path(name), options.ids), 1)
        print(f"push: {pushed} s", flush=True)
        runs = []
        for mode in ("intersection", "cardinality"):
            runs.append(ask(stage, mode, options.ids))
            print(runs[-1], flush=True)
    load = round(os.getloadavg()[0], 1)
    publish({"load": load, "push_s": pushed, "runs": runs}, options.json)


if __name__ == "__main__":
    main()
