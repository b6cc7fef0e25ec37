"""Nodes that run on: memory and files stay as they are, checkpoints are fresh (49).

House and authority serve as processes while banks ask about as much of the time as they
wait.  Every half second it is looked at what each node holds: resident memory, the
write-ahead log of its journal, and how far the checkpoint beside the journal is behind.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pytest

from node import clock
from node.domain import Role
from tests.german import German
from tests.processes import NODES, Load, OnDisk, until

SUBJECTS = 40
LOOK_S = 0.5
MOST_WAL = 32 << 20
MOST_AGE_MS = 5_000
MOST_GROWTH = 16 << 20  # bytes; a call leaves some hundred in the tree of the journal
PAGE = 4096


@dataclass(slots=True)
class Seen:
    """What one node held, look by look."""

    memory: list[int] = field(default_factory=list)  # bytes
    wal: list[int] = field(default_factory=list)  # bytes
    age_ms: list[int] = field(default_factory=list)

    def look(self, world: OnDisk, role: Role) -> None:
        """Look once more."""
        pid = world.children[role].pid
        resident = Path(f"/proc/{pid}/statm").read_text().split()[1]
        self.memory.append(int(resident) * PAGE)
        journal = world.folder / role.value / "data" / "journal.db"
        self.wal.append(journal.with_name("journal.db-wal").stat().st_size)
        note = journal.with_name("journal.db.checkpoint").stat()
        self.age_ms.append(clock.now_ms() - int(note.st_mtime * 1000))

    def growth(self) -> int:
        """Compare the last quarter with the second: bytes."""
        quarter = len(self.memory) // 4
        return int(
            median(self.memory[-quarter:]) - median(self.memory[quarter : 2 * quarter])
        )


@pytest.fixture
def running(tmp_path: Path) -> Iterator[German]:
    """Make a trust domain and serve it by two processes."""
    world = OnDisk(tmp_path)
    with world:
        for role in NODES:
            world.start(role)
        german = German(world, SUBJECTS)
        for subject in german.ids:
            german.grant(subject)
        for role in reversed(NODES):
            world.stop(role)
            # What the journal's cache may hold is no leak: it is full at once here.
            with (world.folder / role.value / "safehouse.toml").open("a") as file:
                file.write("[limits]\njournal_cache_mb = 1\n")
    try:
        for role in NODES:
            world.up(role)
        yield german
    finally:
        for child in world.children.values():
            child.kill()


def soak(german: German, seconds: int) -> tuple[dict[Role, Seen], int]:
    """Ask for so long, and look."""
    world = german.world
    assert isinstance(world, OnDisk)
    seen = {role: Seen() for role in NODES}
    with german.bank() as bank, Load(german, bank, rest=1.0) as load:
        until(lambda: len(load.answered) > SUBJECTS)
        for _ in range(int(seconds / LOOK_S)):
            threading.Event().wait(LOOK_S)
            for role in NODES:
                seen[role].look(world, role)
    assert load.wrong == []
    assert load.failed == 0
    return seen, len(load.answered)


def check(seen: dict[Role, Seen]) -> None:
    """Check what must stay."""
    for role, held in seen.items():
        assert max(held.wal) < MOST_WAL, role
        assert max(held.age_ms) < MOST_AGE_MS, role
        assert held.growth() < MOST_GROWTH, role


def test_ten_seconds(running: German) -> None:
    """Case 49, as long as every test run can afford."""
    seen, answered = soak(running, 10)
    assert answered > SUBJECTS
    check(seen)


@pytest.mark.slow
def test_ten_minutes(running: German) -> None:
    """Case 49: nothing grows with the number of calls but the journal."""
    seen, answered = soak(running, 600)
    assert answered > 20 * SUBJECTS
    check(seen)
