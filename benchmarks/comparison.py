"""What a comparison costs: gate by gate, and call by call beside a score.

*Gates*: the same card under the flat, the split and the threshold gate, for scores of
several widths, a dozen thresholds each: bytes to the authority, and CPU time of house,
authority and bank, medians of turns that take turns.

*Calls*: house and authority as two processes on loopback, mTLS, durable journals, all
checks of the bank's SDK.  About each subject the bank asks a score, a range and a
claim, in an order that goes round, so that load on the machine falls on all alike.

    python benchmarks/comparison.py --key-bits 2048 --json comparison.json
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
from machine import command_line, publish
from online import permitted
from rich.console import Console

from contracts.dataset import Dataset
from contracts.subject import SubjectType
from node import clock, demo
from node.author import Author
from node.client import BankClient
from node.custodian import Custodian
from node.demo import Facts, Stage
from node.keys import BankKeys, CustodianKeys, RegistrarKeys
from node.registrar import Registrar
from protocols.drbg import Drbg
from protocols.errors import FormatError
from protocols.lookup import FlatGate, Gate
from protocols.program import INSUFFICIENT_DATA, Group, Scorecard
from protocols.split import SplitGate
from protocols.thr import ThrGate

GATES: Final = (FlatGate, SplitGate, ThrGate)
WIDTHS: Final = (11, 13, 16, 20, 26, 39)
STEPS: Final = 12
TURNS: Final = 25
FOLDER: Final = Path(__file__).parents[1] / "examples/tax-check"
BANK: Final = "jnrcb"


def card(bits: int) -> Scorecard:
    """Make a card with a score of so many bits, a veto and a dozen thresholds."""
    groups = (
        Group("court", (1, 2, 3), 1, 0),
        Group(INSUFFICIENT_DATA, (4,), -1, 1),
    )
    top = (1 << bits - 1) - 1
    steps = tuple((number * top // (STEPS + 1), number) for number in range(STEPS + 1))
    fields = Scorecard.layout(bits, groups)
    return Scorecard((1, 0, 0, 0, 0), 0, top, bits, steps, groups, fields)


def microseconds(step: Callable[[int], object]) -> float:
    """Return the median time of a step."""
    times = []
    for turn in range(TURNS):
        began = clock.monotonic_us()
        step(turn)
        times.append(clock.monotonic_us() - began)
    return round(median(times), 1)


def gate_figures(gate: Gate) -> dict[str, object]:
    """Time the parts of house, authority and bank."""
    rng = np.random.default_rng(5)
    rows = [field.rows for field in gate.card.fields]
    rho = rng.integers(0, rows, (1, len(rows)))
    u = (np.array([[2 * gate.card.top // 3, 0, 0]]) + rho) % rows
    tables, pads = gate.build(rho, (0,), Drbg(bytes(32)))
    picked = gate.pick(u, tables)
    return {
        "gate": gate.name,
        "score_bits": gate.card.m,
        "bytes_to_authority": gate.table_bytes,
        "bytes_to_bank": gate.row_bytes + len(pads),
        "house_us": microseconds(
            lambda turn: gate.build(rho, (0,), Drbg(turn.to_bytes(32, "big")))
        ),
        "authority_us": microseconds(lambda _: gate.pick(u, tables)),
        "bank_us": microseconds(lambda _: gate.open(u, picked, pads, (0,))),
    }


def gates() -> list[dict[str, object]]:
    """Measure every gate that is wide enough."""
    found = []
    for bits in WIDTHS:
        for kind in GATES:
            try:
                found.append(gate_figures(kind(card(bits))))
            except FormatError:
                continue  # tables would be too large
            print(found[-1], flush=True)
    return found


def queries(stage: Stage, folder: Path, subjects: list[str]) -> None:
    """Push sales of the example's subjects; put range and verify in force."""
    table, consents = folder / "tax.csv", folder / "consents.csv"
    rows = [f"{name},{1000 * n}.50" for n, name in enumerate(subjects)]
    table.write_text("\n".join(("subject_id,申报销售额", *rows, "")), "utf-8")
    header, first = (FOLDER / "data/consents.csv").read_text("utf-8").splitlines()[:2]
    given = first.split(",", 2)[2]
    lines = [f"tax-{name},{name},{given}" for name in subjects]
    consents.write_text("\n".join((header, *lines, "")), "utf-8")
    text = (FOLDER / "datasets/tax.yaml").read_text("utf-8")
    tax = Dataset.from_yaml(text.replace("cn-uscc", "opaque"), "tax.yaml")
    with (
        Custodian(*stage.party("credit-bureau", CustodianKeys)) as custodian,
        Author(*stage.party(BANK, BankKeys)) as author,
    ):
        custodian.register(tax)
        custodian.push(tax, table, "2024", clock.now_ms())
        for name in ("turnover-floor", "turnover-check"):
            source = (FOLDER / f"{name}.yaml").read_text("utf-8")
            submitted = author.submit(source.replace("cn-uscc", "opaque"), name)
            custodian.approve(submitted.hash)
            author.activate(submitted.hash)
    with Registrar(*stage.party("registrar", RegistrarKeys)) as registrar:
        kind, now_ms = SubjectType.OPAQUE, clock.now_ms()
        registrar.import_consents(consents, None, kind, now_ms)


def calls(key_bits: int, count: int) -> list[dict[str, object]]:
    """Ask every kind about `count` subjects, in turns."""
    quiet, facts = Console(quiet=True), Facts(key_bits)
    with (
        tempfile.TemporaryDirectory() as folder,
        Stage(Path(folder) / "domain", key_bits) as stage,
    ):
        demo.push(stage, quiet, facts)
        demo.contract(stage, quiet)
        demo.consents(stage, quiet)
        asked = list(permitted())[: count + 3]
        queries(stage, Path(folder), [subject for subject, _ in asked])
        times: dict[str, list[float]] = {"score": [], "range": [], "verify": []}
        with BankClient(*stage.party(BANK, BankKeys)) as bank:
            ask = {
                "score": lambda s, c: bank.score(demo.CONTRACT, s, consent=c),
                "range": lambda s, _: bank.range(
                    "turnover-floor", s, consent=f"tax-{s}"
                ),
                "verify": lambda s, _: bank.verify(
                    "turnover-check", s, "500000", consent=f"tax-{s}"
                ),
            }
            for number, (subject, consent) in enumerate(asked):
                names = list(ask)
                for turn in range(3):
                    name = names[(number + turn) % 3]
                    began = clock.monotonic_us()
                    ask[name](subject, consent)
                    if number > 2:  # the first calls open the channel
                        times[name].append((clock.monotonic_us() - began) / 1000)
            bank.flush()
    base = median(times["score"])
    return [
        {
            "kind": name,
            "key_bits": key_bits,
            "calls": len(found),
            "p50_ms": round(median(found), 2),
            "p95_ms": round(sorted(found)[len(found) * 95 // 100], 2),
            "of_a_score": round(median(found) / base, 2),
        }
        for name, found in times.items()
    ]


def main() -> None:
    """Measure and print; `--json` writes the figures."""
    parser = command_line(__doc__)
    parser.add_argument("--key-bits", type=int, default=2048)
    parser.add_argument("--calls", type=int, default=200, help="of each kind")
    options = parser.parse_args()
    by_gate = gates()
    by_kind = calls(options.key_bits, options.calls)
    for line in by_kind:
        print(line)
    publish({"gates": by_gate, "calls": by_kind}, options.json)


if __name__ == "__main__":
    main()
