"""A custodian that is not in charge puts the map: it would decide who exists, where.

Every block that anybody pushes is filled by the map, and the first one is extended for
ever.  A custodian that puts it before the one in charge could leave subjects out, or
know the slots of all.  The trust domain names who is in charge, so that the house
refuses others, custodians refuse what a house shows them, and an auditor finds it.
"""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.subject import SubjectType
from node.clock import now_ms
from node.custodian import Custodian
from node.errors import NotFound, Refused, ReplyRefused, RoleRefused
from node.house import House
from node.keys import CustodianKeys
from node.verify import verify
from protocols.entry import Kind
from tests.hostile import journal
from tests.simulator import World

KIND = SubjectType.OPAQUE
IN_CHARGE, OTHER = "credit-bureau", "housing-loans"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Run a trust domain without a map."""
    with World(tmp_path / "world") as made:
        yield made


@pytest.fixture
def register(tmp_path: Path) -> Path:
    """Write a base register."""
    path = tmp_path / "register.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("id",), ("a-1",), ("a-2",)])
    return path


def believing(world: World, custodian: str) -> Custodian:
    """Open the SDK of the other one with a trust domain that names it."""
    ours = replace(world.domain, registers=((KIND, custodian),))
    return Custodian(world.config(OTHER), world.keys(OTHER, CustodianKeys), ours)


def test_the_house_refuses_the_map(world: World, register: Path) -> None:
    """The SDK does, and so does the house when the SDK does not; nothing is kept."""
    with world.custodian(OTHER) as other, pytest.raises(RoleRefused, match=IN_CHARGE):
        other.put_register(KIND, register, "id", now_ms())
    with believing(world, OTHER) as other, pytest.raises(Refused, match=IN_CHARGE):
        other.put_register(KIND, register, "id", now_ms())
    with world.custodian(IN_CHARGE) as one:
        with pytest.raises(NotFound):
            one.fetch_map(KIND)
        assert one.put_register(KIND, register, "id", now_ms()).row_map.version == 1


def test_a_house_that_takes_it_is_found_out(
    world: World, register: Path, tmp_path: Path
) -> None:
    """The one in charge refuses what it is shown, and the auditor names the entry."""
    house = world.house.core
    assert isinstance(house, House)
    named = house.domain
    house.domain = replace(named, registers=((KIND, OTHER),))
    with believing(world, OTHER) as other:
        other.put_register(KIND, register, "id", now_ms())
    house.domain = named
    with (
        world.custodian(IN_CHARGE) as one,
        pytest.raises(ReplyRefused, match=f"is `{OTHER}`'s"),
    ):
        one.fetch_map(KIND)
    with world.auditor() as auditor:
        auditor.export(tmp_path / "export")
    findings = verify(tmp_path / "export", world.domain).findings
    kinds = [entry.kind for entry in journal(house)]
    entry = kinds.index(Kind.DATA_DIRECTORY)
    assert [(found.journal, found.index) for found in findings] == [("house", entry)]
    assert f"in the charge of `{IN_CHARGE}`, not of `{OTHER}`" in findings[0].sentence
