"""Killing the journal's process at any moment loses nothing that was answered.

Case 21.  This file is also the victim: run with a path and an output file, it
commits from 16 threads and writes down every answer after it got it.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.clock import now_ms
from node.ledger import Ledger, Operation, Transaction
from protocols.entry import Entry, Kind
from protocols.note import Checkpoint, VerifierKey
from protocols.tlog import Frontier, leaf_hash

SIGNER = Ed25519PrivateKey.from_private_bytes(b"j" * 32)
ORIGIN = "rencheng.example/authority"
KEY = VerifierKey.of(ORIGIN, SIGNER)
SCHEMA = ("CREATE TABLE IF NOT EXISTS spent(call TEXT PRIMARY KEY)",)
THREADS = 16


def open_ledger(path: Path) -> Ledger:
    """Open the ledger of the test."""
    return Ledger.open(path, signer=SIGNER, origin=ORIGIN, clock=now_ms, schema=SCHEMA)


def permit(call: str) -> Operation[int]:
    """Spend and journal one call."""

    def operation(transaction: Transaction) -> int:
        transaction.db.execute("INSERT INTO spent VALUES (?)", (call,))
        return transaction.append(Kind.CALL_PERMIT, "authority", call, {})

    return operation


def victim(path: Path, answers: Path) -> None:
    """Commit until killed."""
    ledger = open_ledger(path)
    out = os.open(answers, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    run = os.getpid()

    def caller(number: int) -> None:
        call = 0
        while True:
            index = ledger.commit(permit(f"{run}-{number}-{call}")).value
            os.write(out, b"%d\n" % index)
            call += 1

    threads = [threading.Thread(target=caller, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def kill_once(path: Path, answers: Path, milliseconds: int) -> None:
    """Start a victim, and kill it some time after its first answer."""
    before = answers.stat().st_size if answers.exists() else 0
    process = subprocess.Popen(
        [sys.executable, __file__, str(path), str(answers)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    deadline = time.monotonic() + 30
    while not answers.exists() or answers.stat().st_size == before:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(milliseconds / 1000)
    process.send_signal(signal.SIGKILL)
    process.wait(10)


def check(path: Path, answers: Path) -> int:
    """Reopen the ledger and verify all of it; return its size."""
    ledger = open_ledger(path)
    size = ledger.head.size
    answered = [int(line) for line in answers.read_text().split()]
    assert len(set(answered)) == len(answered)
    assert max(answered) < size
    calls = []
    roots = {}
    frontier = Frontier()
    for data in ledger.entries(0, size):
        calls.append(Entry.parse(data).call)
        frontier.append(leaf_hash(data))
        roots[frontier.size] = frontier.root()
    with ledger.reader() as db:
        rows: list[Any] = db.execute("SELECT call FROM spent").fetchall()
    assert sorted(calls) == sorted(call for (call,) in rows)
    for note in ledger.notes(since=0):
        checkpoint = Checkpoint.open(note, [KEY])
        assert checkpoint.root == roots[checkpoint.size]
    ledger.close()
    return size


def kill(tmp_path: Path, times: int) -> None:
    """Kill and check, again and again on the same ledger."""
    path, answers = tmp_path / "a.ledger", tmp_path / "answers"
    size = 0
    for number in range(times):
        kill_once(path, answers, 37 * number % 200)
        grown = check(path, answers)
        assert grown > size
        size = grown


def test_killed_three_times(tmp_path: Path) -> None:
    """Case 21, short: no answered entry is lost, uses = calls, every root right."""
    kill(tmp_path, 3)


@pytest.mark.slow
def test_killed_twenty_five_times(tmp_path: Path) -> None:
    """Case 21."""
    kill(tmp_path, 25)


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    """A killed node does not keep the next one out."""
    path, answers = tmp_path / "a.ledger", tmp_path / "answers"
    kill_once(path, answers, 0)
    open_ledger(path).close()


if __name__ == "__main__":
    victim(Path(sys.argv[1]), Path(sys.argv[2]))
