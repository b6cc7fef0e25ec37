"""Nodes that run on: memory and files stay as they are, checkpoints are fresh (49).

House and authority serve as processes while banks ask about as much of the time as
they wait.  Now and then it is looked at what each node holds: resident memory, the
write-ahead log of its journal, and how old the checkpoint beside the journal is.
"""

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import apsw
import pytest

from node import clock
from node.domain import Role
from tests.german import German
from tests.processes import NODES, Load, OnDisk, until

CALLS_A_LOOK = 20
LOOK_S = 0.5
MOST_WAL = 8 << 20  # twice what SQLite lets it grow to
MOST_AGE_MS = 5_000
MOST_GROWTH = 16 << 20  # bytes; a call leaves some hundred in the tree of the journal
MOST_OF_SOME = 4 << 20
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

    def quarters(self) -> list[int]:
        """Return the median of each quarter's memory: bytes."""
        quarter = len(self.memory) // 4
        return [
            int(median(self.memory[number * quarter : (number + 1) * quarter]))
            for number in range(4)
        ]

    def growth(self) -> int:
        """Compare the last quarter with the second: bytes."""
        _, second, _, last = self.quarters()
        return last - second


def soak(
    german: German, looks: int, pause: Callable[[Load], None]
) -> tuple[dict[Role, Seen], int]:
    """Ask, and look so many times, after a pause each."""
    world = german.world
    assert isinstance(world, OnDisk)
    seen = {role: Seen() for role in NODES}
    with german.bank() as bank, Load(german, bank, rest=1.0) as load:
        until(lambda: len(load.answered) > len(german.ids))
        for _ in range(looks):
            pause(load)
            for role in NODES:
                seen[role].look(world, role)
    assert load.wrong == []
    assert load.failed == 0
    return seen, len(load.answered)


def check(seen: dict[Role, Seen], most_growth: int) -> None:
    """Check what must stay, however fast the machine is."""
    for role, held in seen.items():
        assert max(held.wal) < MOST_WAL, role
        assert held.growth() < most_growth, role


def test_some_hundred_calls(running: German) -> None:
    """Case 49, as much as every test run can afford: counted, not timed."""

    def some_calls(load: Load) -> None:
        enough = len(load.answered) + CALLS_A_LOOK
        until(lambda: len(load.answered) >= enough)

    seen, _ = soak(running, 8, some_calls)
    check(seen, MOST_OF_SOME)
    world = running.world
    assert isinstance(world, OnDisk)
    for role in NODES:  # what lies beside the journal comes to name all of it
        path = world.folder / role.value / "data" / "journal.db"
        flags = apsw.SQLITE_OPEN_READONLY
        with closing(apsw.Connection(str(path), flags=flags)) as db:
            size = db.execute("SELECT max(size) FROM head").get
        note = path.with_name("journal.db.checkpoint")
        until(lambda: int(note.read_text().split("\n")[1]) >= size)  # noqa: B023


@pytest.mark.slow
def test_ten_minutes(running: German) -> None:
    """Case 49: nothing grows with the number of calls but the journal.

    Few subjects are asked about again and again, so most answers are earlier ones.
    """
    seen, answered = soak(running, 1200, lambda _: threading.Event().wait(LOOK_S))
    for role, held in seen.items():
        megabytes = [round(part / (1 << 20), 1) for part in held.quarters()]
        print(  # noqa: T201  the figures are what this is run for
            f"{role}: {answered} calls, resident MB by quarter {megabytes},"
            f" growth {held.growth()} bytes, WAL at most {max(held.wal)} bytes,"
            f" checkpoint at most {max(held.age_ms)} ms old"
        )
    assert answered > 20 * len(running.ids)
    check(seen, MOST_GROWTH)
    for role, held in seen.items():
        assert max(held.age_ms) < MOST_AGE_MS, role
