"""An erasure, while a node is killed: all of it or nothing, and the same in the end."""

from pathlib import Path

import pytest

from contracts import bodies
from contracts.objection import Objection
from node import clock
from node.domain import Role
from node.errors import Unreachable
from node.keys import RegistrarKeys
from node.objector import Objector
from node.verify import verify
from protocols.entry import Kind
from tests.german import KIND, German
from tests.hostile import journal
from tests.processes import NODES, OnDisk


@pytest.mark.slow
def test_a_node_killed_around_an_erasure(running: German, tmp_path: Path) -> None:
    """The house has it, the authority is dead; both are killed; it is completed."""
    world, subject = running.world, running.ids.pop()  # nobody else asks about it
    assert isinstance(world, OnDisk)
    held = world.keys("registrar", RegistrarKeys)
    with Objector(world.config("registrar"), held, world.domain) as objector:
        put = objector._put

        def dead(role: Role, demand: object) -> int:
            if role is Role.AUTHORITY:
                world.children[Role.AUTHORITY].kill()
            return put(role, demand)  # type: ignore[arg-type]

        objector._put = dead  # type: ignore[method-assign]
        with pytest.raises(Unreachable):
            objector.erase(KIND, subject, clock.now_ms())
        world.children[Role.HOUSE].kill()
        objector._put = put  # type: ignore[method-assign]
    for role in NODES:
        world.up(role)
    with Objector(world.config("registrar"), held, world.domain) as objector:
        told = objector.erase(KIND, subject, clock.now_ms())
        assert told is not None
        for role in NODES:
            world.children[role].kill()
            world.up(role)
        assert objector.erase(KIND, subject, clock.now_ms()) is None
    for role in reversed(NODES):
        assert world.children[role].end() == 0
    for role in NODES:
        world.start(role)
    try:
        for core in (running.house, running.authority):
            (entry,) = [e for e in journal(core) if e.kind is Kind.CONSENT_ERASED]
            said = bodies.Objection.parse(entry.body).signed.payload
            assert Objection.parse(said) == told.objection
        with world.auditor() as auditor:
            auditor.export(tmp_path / "export")
        assert verify(tmp_path / "export", world.domain).findings == ()
    finally:
        for role in reversed(NODES):
            world.stop(role)
