"""Somebody edits what the house keeps of a job: whose entry is in which slot.

The house is stopped while it works on a job; its files are edited, and it is started
again.  Were the edited plan believed, the bank would read one subject's outcome as
another's.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from node.domain import Role
from node.errors import NodeError
from node.job_client import Progress
from node.job_run import Run
from node.job_store import State
from tests.crowds import Crowd
from tests.test_job_crashes import Cut, kill_at, stuck, until
from tests.test_job_data import flip

PLANNED = Cut(Run, "_decide", Role.HOUSE)
DECIDED = Cut(Run, "_decide", Role.HOUSE, after=True)


def interrupted(
    crowd: Crowd,
    patch: pytest.MonkeyPatch,
    edit: Callable[[Path, bytes], None],
    at: Cut = PLANNED,
) -> tuple[Progress, list[str]]:
    """Stop the house in a job, edit its files, start it; return how the job ended."""
    ids = crowd.people(6)
    with crowd.bank() as bank:
        with patch.context() as cut:
            kill_at(at, crowd, cut)
            with suppress(NodeError):
                bank.submit("german-card", crowd.pairs(ids))
            job = bank._records.all()[-1]
            until(lambda: stuck(crowd, at))
        edit(crowd.world.folder / "house" / "data" / "jobs", job)
        crowd.restart(Role.HOUSE)
        crowd.jobs.start()
        return crowd.end(bank, job), ids


def in_the_list(folder: Path, job: bytes) -> None:
    """Flip a bit of the list."""
    path = folder / f"{job.hex()}.list"
    flip(str(path), path.stat().st_size // 2)


def in_the_plan(folder: Path, job: bytes) -> None:
    """Flip a bit of the plan."""
    path = folder / f"{job.hex()}.plan"
    flip(str(path), path.stat().st_size // 2)


def plan_for_list(folder: Path, job: bytes) -> None:
    """Put one sealed file in the place of the other."""
    list_ = folder / f"{job.hex()}.list"
    list_.write_bytes((folder / f"{job.hex()}.plan").read_bytes())


def list_gone(folder: Path, job: bytes) -> None:
    """Remove the list."""
    (folder / f"{job.hex()}.list").unlink()


def plan_gone(folder: Path, job: bytes) -> None:
    """Remove the plan: another one would put decided entries in other places."""
    (folder / f"{job.hex()}.plan").unlink()


@pytest.mark.parametrize(
    ("edit", "what", "at"),
    [
        (in_the_list, "list", PLANNED),
        (in_the_plan, "plan", PLANNED),
        (plan_for_list, "list", PLANNED),
        (list_gone, "list", DECIDED),
        (plan_gone, "plan", DECIDED),
    ],
)
def test_an_edited_file_fails_its_job(
    crowd: Crowd,
    monkeypatch: pytest.MonkeyPatch,
    edit: Callable[[Path, bytes], None],
    what: str,
    at: Cut,
) -> None:
    """It is named, nothing is used, and the bank may ask again."""
    end, ids = interrupted(crowd, monkeypatch, edit, at)
    assert end.state is State.FAILED
    assert end.reason.startswith(f"the {what} of the job, `{end.job.hex()}.{what}`, ")
    assert crowd.uses(ids) == [0] * len(ids)
    _, outcomes = crowd.run(ids)
    assert {outcome.kind for outcome in outcomes.values()} <= {"scored", "vetoed"}
    assert crowd.replayed()[0] == []


def test_a_plan_of_another_job_is_not_this_one_s(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealed by the house itself, but bound to its own job."""
    kept: list[bytes] = []

    def keep(folder: Path, job: bytes) -> None:
        kept.append((folder / f"{job.hex()}.plan").read_bytes())

    def replace(folder: Path, job: bytes) -> None:
        (folder / f"{job.hex()}.plan").write_bytes(kept[0])

    assert interrupted(crowd, monkeypatch, keep)[0].state is State.FINISHED
    end, ids = interrupted(crowd, monkeypatch, replace)
    assert end.state is State.FAILED
    assert crowd.uses(ids) == [0] * len(ids)
