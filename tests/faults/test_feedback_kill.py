"""A house, as a process, killed while a bank reports: nothing is lost or kept twice."""

import threading
from pathlib import Path

import pytest

from contracts.feedback import Ending
from contracts.subject import SubjectType
from node.clock import now_ms
from node.domain import Role
from node.errors import NodeError
from node.verify import verify
from tests.borrowers import CUSTODIAN, A, desk, fetched, sender, told
from tests.german import German
from tests.processes import NODES, OnDisk, until

KILLS = 3


@pytest.mark.slow
def test_kills_lose_no_report(running: German, tmp_path: Path) -> None:
    """What the bank has a receipt of reaches the custodian, and once."""
    world = running.world
    assert isinstance(world, OnDisk)
    with desk(world) as own:
        own.open_desk()
    with running.bank() as bank:
        for subject in running.ids[:2]:
            bank.score(running.contract.hash, subject, consent=f"c-{subject}")
        assert bank.flush() == 0
        kept = bank.receipts()
    done, enough = list[int](), threading.Event()

    def reports() -> None:
        with sender(world) as own:
            while not enough.is_set():
                said = told(running, 0, 1, ending=Ending.DEFAULT)
                try:
                    proofs = own.send(
                        CUSTODIAN, SubjectType.OPAQUE, said, kept, now_ms()
                    )
                except NodeError:
                    enough.wait(0.1)
                else:
                    done.extend(proof.index for proof in proofs)
                enough.wait(0.2)

    thread = threading.Thread(target=reports)
    thread.start()
    try:
        for _ in range(KILLS):
            before = len(done)
            until(lambda: len(done) > before + 1)  # noqa: B023
            world.children[Role.HOUSE].kill()
            world.up(Role.HOUSE)
        before = len(done)
        until(lambda: len(done) > before + 1)
    finally:
        enough.set()
        thread.join()
    with sender(world) as own:  # what the last kill left open
        own.send(CUSTODIAN, SubjectType.OPAQUE, told(running, 0), kept, now_ms())
    found = fetched(running)
    assert found.refused == ()
    assert found.parcels > len(done)
    assert [(each.bank, each.subject_id) for each in found.accepted] == [
        (A, running.ids[0]),
        (A, running.ids[1]),
        (A, running.ids[0]),
    ]
    with world.auditor() as auditor:
        auditor.export(tmp_path / "export")
    assert verify(tmp_path / "export", world.domain).findings == ()
    assert set(NODES) == set(world.children)
