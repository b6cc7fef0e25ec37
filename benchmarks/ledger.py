"""How many decisions a second become durable, and how fast an export verifies.

    decisions  a consent use, a nonce, a journal entry of 600 bytes and a signed
               head in one transaction, from 1, 16 and 64 threads; and one
               caller's wait
    verify     every leaf, tile and root of an export, and every signature, with
               one checkpoint for every `--group` entries

The disk decides about the first: `--directory` says which one.

    python benchmarks/ledger.py --seconds 3 --json ledger.json
"""

import argparse
import resource
import statistics
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from machine import command_line, publish

from node.clock import now_ms
from node.export import Source, read_export, write_export
from node.ledger import Ledger, Operation, Transaction
from protocols.entry import Kind
from protocols.note import Checkpoint, VerifierKey
from protocols.tlog import Tree, leaf_hash

ORIGIN = "benchmark.example/authority"
CONSENTS = 1000
SCHEMA = (
    "CREATE TABLE consent(id TEXT PRIMARY KEY, uses INTEGER) WITHOUT ROWID",
    "CREATE TABLE nonce(jti TEXT PRIMARY KEY) WITHOUT ROWID",
)
BODY = {"consent": "c" * 32, "ticket": "d" * 64, "bank": "jnrcb", "fill": "e" * 340}


@dataclass(frozen=True, slots=True)
class Result:
    """One measured line."""

    what: str
    count: int
    seconds: float
    per_second: float
    median_ms: float  # of one caller's wait; 0 where nobody waits
    peak_mb: int


def decision(jti: str, consent: str) -> Operation[None]:
    """Use a consent once."""

    def operation(transaction: Transaction) -> None:
        db = transaction.db
        db.execute("INSERT INTO nonce VALUES (?)", (jti,))
        db.execute("UPDATE consent SET uses = uses + 1 WHERE id = ?", (consent,))
        transaction.append(Kind.CALL_PERMIT, "authority", "f" * 64, BODY)

    return operation


def fill(transaction: Transaction) -> None:
    """Register the consents."""
    for number in range(CONSENTS):
        transaction.db.execute("INSERT INTO consent VALUES (?, 0)", (f"C{number}",))


def measure_decisions(ledger: Ledger, threads: int, seconds: float) -> Result:
    """Commit from so many threads for so long."""
    waits: list[float] = []
    stop = time.perf_counter() + seconds

    def caller(number: int) -> None:
        call = 0
        while (begin := time.perf_counter()) < stop:
            jti = f"{threads}-{number}-{call}"
            ledger.commit(decision(jti, f"C{call % CONSENTS}"))
            waits.append(time.perf_counter() - begin)
            call += 1

    workers = [threading.Thread(target=caller, args=(n,)) for n in range(threads)]
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    median = statistics.median(waits) * 1e3
    what = f"decisions, threads: {threads}"
    return result(what, len(waits), begin, median)


def measure_verify(folder: Path, entries: int, group: int) -> Result:
    """Write an export of so many entries, then read it back."""
    signer = Ed25519PrivateKey.generate()
    vkey = VerifierKey.of(ORIGIN, signer)
    tree = Tree(leaf_hash(entry(index)) for index in range(entries))
    sizes = [*range(0, entries, group), entries]
    source = Source(
        vkey,
        Checkpoint(ORIGIN, entries, tree.root()).sign(signer),
        lambda _: (Checkpoint(ORIGIN, n, tree.root(n)).sign(signer) for n in sizes),
        lambda start, stop: (entry(index) for index in range(start, stop)),
    )
    write_export(folder, source)
    begin = time.perf_counter()
    count = sum(1 for _ in read_export(folder, [vkey]).entries())
    return result(f"verify, a checkpoint every {group}", count, begin)


def entry(index: int) -> bytes:
    """Make up 600 bytes."""
    return b'{"n":%d,"fill":"%s"}' % (index, b"e" * 580)


def result(what: str, count: int, begin: float, median_ms: float = 0) -> Result:
    """Sum up what began at `begin`."""
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return Result(what, count, seconds, count / seconds, median_ms, peak)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = command_line(__doc__)
    parser.add_argument("--only", choices=["decisions", "verify"])
    parser.add_argument("--seconds", type=float, default=2, help="of each load")
    parser.add_argument("--entries", type=int, default=200_000, help="to verify")
    parser.add_argument("--group", type=int, default=64, help="entries a checkpoint")
    parser.add_argument("--directory", type=Path, help="on the disk to measure")
    return parser.parse_args()


def measure(options: argparse.Namespace, folder: Path) -> list[Result]:
    """Run what was asked for."""
    results = []
    if options.only != "verify":
        ledger = Ledger.open(
            folder / "benchmark.ledger",
            signer=Ed25519PrivateKey.generate(),
            origin=ORIGIN,
            clock=now_ms,
            schema=SCHEMA,
        )
        ledger.commit(fill)
        results += [
            measure_decisions(ledger, threads, options.seconds)
            for threads in (1, 16, 64)
        ]
        ledger.close()
    if options.only != "decisions":
        results.append(
            measure_verify(folder / "export", options.entries, options.group)
        )
    return results


def main() -> None:
    """Run, print a table, and write the same as JSON when asked."""
    options = arguments()
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        results = measure(options, Path(name))
    for line in results:
        wait = f"{line.median_ms:8.2f} ms" if line.median_ms else " " * 11
        print(
            f"{line.what:32s}{line.per_second:10,.0f} /s{wait}{line.peak_mb:6d} MB peak"
        )
    publish({"results": [asdict(line) for line in results]}, options.json)


if __name__ == "__main__":
    main()
