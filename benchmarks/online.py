"""How long a bank waits for one outcome, and how many come in a second.

House and authority run as two processes with mTLS and durable journals on
loopback, the bank's SDK in this one: the whole way of `safehouse score`, checks
of signatures, receipts and proofs included.  Every call is the first about its
subject, so each one is computed and decrypted.

    python benchmarks/online.py --key-bits 2048 --callers 1 4 8 --json online.json
"""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from machine import command_line, publish
from rich.console import Console

from node import clock, demo
from node.client import BankClient
from node.demo import BANKS, Facts, Stage
from node.keys import BankKeys

PERCENTILES = (50, 95, 99)


def measure(
    stage: Stage, bank: str, subjects: list[tuple[str, str]], callers: int
) -> dict[str, object]:
    """Ask about every (subject, consent), `callers` at a time."""
    with BankClient(*stage.party(bank, BankKeys)) as client:
        contract = client.contract(demo.CONTRACT)

        def ask(pair: tuple[str, str]) -> float:
            began = clock.monotonic_us()
            client.score(contract, pair[0], consent=pair[1])
            return (clock.monotonic_us() - began) / 1000

        ask(subjects[0])  # opens the channel
        began = clock.monotonic_us()
        with ThreadPoolExecutor(callers) as pool:
            times = sorted(pool.map(ask, subjects[1:]))
        seconds = (clock.monotonic_us() - began) / 1e6
        client.flush()
    figures: dict[str, object] = {
        "key_bits": stage.trust.paillier.bits,
        "callers": callers,
        "calls": len(times),
        "calls_per_s": round(len(times) / seconds, 1),
    }
    for part in PERCENTILES:
        figures[f"p{part}_ms"] = round(times[len(times) * part // 100], 2)
    return figures


def permitted() -> Iterator[tuple[str, str]]:
    """List (subject, consent) that every bank may ask about."""
    consents = {row["subject_id"]: row for row in demo.rows("consents")}
    ended = {row["consent_id"] for row in demo.rows("events")}
    for subject, row in consents.items():
        if row["consent_id"] not in ended and row["max_uses"] == "unlimited":
            valid = row["not_after"] > "2030" and row["purposes"] == "loan-precheck"
            if valid and set(BANKS) <= set(row["grantees"].split(";")):
                yield subject, row["consent_id"]


def main() -> None:
    """Measure and print; `--json` writes the figures of the last run."""
    parser = command_line(__doc__)
    parser.add_argument("--key-bits", type=int, default=2048)
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--calls", type=int, default=400, help="of each run")
    options = parser.parse_args()
    quiet, facts = Console(quiet=True), Facts(options.key_bits)
    runs = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Stage(Path(folder) / "domain", options.key_bits) as stage,
    ):
        demo.push(stage, quiet, facts)
        demo.contract(stage, quiet)
        demo.consents(stage, quiet)
        fresh = {bank: list(permitted()) for bank in BANKS}
        for number, callers in enumerate(options.callers):
            bank = BANKS[number % len(BANKS)]
            taken = fresh[bank][: options.calls + 1]
            fresh[bank] = fresh[bank][options.calls + 1 :]
            runs.append(measure(stage, bank, taken, callers))
            print(runs[-1], flush=True)
    publish({**runs[-1], "runs": runs}, options.json)


if __name__ == "__main__":
    main()
