"""How many journal entries a second the decision replay takes.

Writes the journals of a made-up month (subjects, consents, calls by two banks,
denials, repeats, withdrawals; no signatures), then measures `Replay.feed` alone
on entries that are already parsed: reading and hashing the leaves is the
business of the structural check.  DESIGN 9 asks for 100,000 entries/s; the two
journals need nothing of each other, so `both at once` replays them in two
processes, as an auditor with two cores does.

    python benchmarks/replay.py --calls 20000
    python benchmarks/replay.py --json results.json
"""

import gc
import multiprocessing
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from machine import command_line, publish

from contracts.consent import Event
from contracts.cross_check import cross_check
from contracts.replay import Replay, Role
from protocols.entry import Entry
from tests.journals import Town

CALLS_A_CONSENT = 4


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured line."""

    what: str
    entries: int
    seconds: float

    @property
    def rate(self) -> float:
        """Entries a second."""
        return self.entries / self.seconds


def make(calls: int, *, signing: bool = False) -> Town:
    """Write the journals of so many calls."""
    town = Town(signing=signing)
    consents = max(1, calls // CALLS_A_CONSENT)
    for number in range(calls):
        consent = number % consents
        name = f"c-{consent}"
        if number < consents:
            # every 13th consent has one use less than it is asked for
            uses = CALLS_A_CONSENT - (consent % 13 == 0)
            town.grant(name, f"subject-{consent}", max_uses=uses)
        elif consent % 50 == 0 and number < 2 * consents:
            town.event(name, Event.WITHDRAW)
        bank = "bank-a" if consent % 3 else "bank-b"
        town.call(bank, f"subject-{consent}", name)
    return town


def best(what: str, entries: list[Entry], role: Role, runs: int) -> Figure:
    """Replay a journal several times and keep the fastest run."""
    seconds = []
    for _ in range(runs):
        replay = Replay(role)
        begin = time.perf_counter()
        found = sum(len(replay.feed(i, entry)) for i, entry in enumerate(entries))
        seconds.append(time.perf_counter() - begin)
        if found:
            raise SystemExit(f"{found} discrepancies in a journal without any")
    return Figure(what, len(entries), min(seconds))


def both(town: Town, runs: int) -> Figure:
    """Replay the two journals at the same time; the slower one counts."""
    context = multiprocessing.get_context("fork")
    ready, times = context.Barrier(len(Role)), context.SimpleQueue()

    def replay(role: Role) -> None:
        # Own objects: pages shared with the parent are copied when they are read.
        entries = [Entry.parse(entry.to_bytes()) for entry in town.journals[role]]
        gc.freeze()
        ready.wait()
        times.put(best("", entries, role, runs).seconds)

    children = [context.Process(target=replay, args=(role,)) for role in Role]
    for child in children:
        child.start()
    for child in children:
        child.join()
    if any(child.exitcode for child in children):
        raise SystemExit("a replay failed")
    seconds = max(times.get() for _ in children)
    return Figure("both at once", len(town.house) + len(town.authority), seconds)


def show(figures: list[Figure], file: Path | None) -> None:
    """Print a line a figure; publish them."""
    for figure in figures:
        print(
            f"{figure.what:24} {figure.entries:9,} entries"
            f" {figure.seconds:8.2f} s {figure.rate:10,.0f} entries/s"
        )
    publish({"figures": [asdict(f) | {"rate": f.rate} for f in figures]}, file)


def main() -> None:
    """Run from the command line."""
    parser = command_line(__doc__)
    parser.add_argument("--calls", type=int, default=10_000, help="calls to make up")
    parser.add_argument("--runs", type=int, default=3, help="keep the best of so many")
    options = parser.parse_args()

    town = make(options.calls)
    gc.freeze()  # an auditor reads entries one by one and keeps none
    figures = [
        best("decisions, authority", town.authority, Role.AUTHORITY, options.runs),
        best("decisions, house", town.house, Role.HOUSE, options.runs),
        both(town, options.runs),
    ]
    begin = time.perf_counter()
    found, _ = cross_check(town.house, town.authority, town.kept)
    entries = len(town.house) + len(town.authority)
    figures.append(Figure("cross-check", entries, time.perf_counter() - begin))
    if found:
        raise SystemExit(f"{len(found)} discrepancies between journals without any")
    show(figures, options.json)


if __name__ == "__main__":
    main()
