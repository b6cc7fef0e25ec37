"""What waits for a colleague, and who asks by a class, at every desk of both nodes.

A consent of a member is one to the bank itself; an import that nobody has approved is
none; and a class whose members are others lets nobody in.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from contracts.classes import Class
from contracts.decide import Reason
from contracts.subject import SubjectType
from node import clock
from node.domain import Role
from node.errors import Denied
from node.initialise import DEFAULT_MEMBERS, Member
from tests.crowd_of_one import VALUES, Hidden
from tests.crowds import crowded, published, told
from tests.joint_town import JointTown
from tests.lists import Lists, audit, ids
from tests.simulator import World
from tests.test_registrar import asked, row, table
from tests.turnover import Town

MEMBERS = (*DEFAULT_MEMBERS, Member("desk-2", Role.REGISTRAR, "第二经办", "registrar"))
CLASSES = (Class("rural", ("jnrcb",)), Class("urban", ("lsbank",)))
KIND = SubjectType.OPAQUE


def consent(
    world: World, folder: Path, subjects: tuple[str, str, str], scope: str, purpose: str
) -> None:
    """Register three consents: one waits, one is the bank's by a class, one is not."""
    waits, ours, theirs = subjects
    now = clock.now_ms()
    world.renew(replace(world.domain, serial=2, classes=CLASSES))
    cells = {
        "purposes": purpose,
        "scope": scope,
        "max_uses": "unlimited",
        "frequency": "",
    }
    rows = [row(consent_id=f"c-{waits}", subject_id=waits, **cells)]
    with world.registrar() as registrar:
        path = table(folder / "c.csv", list(rows[0]), rows)
        registrar.import_consents(path, None, KIND, now)
        for subject, name in ((ours, "rural"), (theirs, "urban")):
            wanted = asked(
                now,
                consent_id=f"c-{subject}",
                subject_id=subject,
                grantees=(f"class:{name}",),
                purposes=(purpose,),
                scope=(scope,),
            )
            registrar.grant(wanted, KIND, now)


def approve(world: World) -> None:
    """Let the colleague say so."""
    with world.registrar("desk-2") as registrar:
        names = [each.name for each in registrar.pending()]
        registrar.approve(names, clock.now_ms())


def test_jobs(tmp_path: Path) -> None:
    """Each subject for itself, at the house and at the authority."""
    with crowded(tmp_path / "world", 11, MEMBERS) as crowd:
        waits, ours, theirs = subjects = tuple(crowd.strangers(3))
        consent(
            crowd.world, tmp_path, subjects, "contract:german-card", "loan-precheck"
        )
        _, outcomes = crowd.run(subjects)
        assert {name: outcomes[name].reason for name in (waits, theirs)} == {
            waits: "UNAPPROVED",
            theirs: "NO_CONSENT",
        }
        assert told(outcomes[ours]) == published(ours)
        approve(crowd.world)
        _, outcomes = crowd.run([waits])
        assert told(outcomes[waits]) == published(waits)
        assert crowd.replayed()[0] == []


def test_intersections(tmp_path: Path) -> None:
    """Who waits is not on the list, nor is who consented to others."""
    with World(tmp_path / "world", MEMBERS) as world:
        lists, subjects = Lists(world), tuple(ids(0, 1, 2))
        consent(world, tmp_path, subjects, "dataset:farmers", "pre-approval")
        names = [f"c-{name}" for name in subjects]
        lists.push(subjects, name="farmers", tier="T1", consents=names)
        lists.contract(name="farmers")
        with lists.bank() as bank:
            found = bank.intersect("farmers-intersection", subjects)
            assert (found.subjects, found.entries) == (subjects[1:2], 1)
            approve(world)
            found = bank.intersect("farmers-intersection", subjects)
            assert (found.subjects, found.entries) == (subjects[:2], 2)
        assert audit(lists) == []


def test_joint_scores(tmp_path: Path) -> None:
    """As in a plain one."""
    with World(tmp_path / "world", MEMBERS) as world:
        town, answer = JointTown(world, 11), {"开户年数": 3, "逾期": 0}
        waits, ours, theirs = subjects = (town.ids[0], town.ids[1], town.ids[2])
        consent(world, tmp_path, subjects, "contract:german-joint", "loan-precheck")
        with town.bank() as bank:
            for subject, reason in ((waits, "UNAPPROVED"), (theirs, "NO_CONSENT")):
                with pytest.raises(Denied) as caught:
                    town.ask(bank, "german-joint", subject, answer)
                assert caught.value.reason == reason
            approve(world)
            for subject in (waits, ours):
                expected = town.plain(town.flat, subject, town.added(town.flat, answer))
                assert town.ask(bank, "german-joint", subject, answer) == expected


def test_private_calls(tmp_path: Path) -> None:
    """One candidate who waits, or consented to others, denies the list."""
    with World(tmp_path / "world", MEMBERS) as world:
        town = Town(world, VALUES)
        waits, ours, theirs = subjects = (town.ids[0], town.ids[1], town.ids[2])
        for subject in town.ids[3:]:
            town.consent(subject)
        consent(world, tmp_path, subjects, "contract:turnover-floor", "loan-precheck")
        hidden = Hidden(town)
        everybody = hidden.among()
        without = {name: everybody[name] for name in town.ids if name != theirs}
        with hidden.bank() as bank:
            for candidates, reason in (
                (without, Reason.UNAPPROVED),
                ({name: everybody[name] for name in town.ids[1:]}, Reason.NO_CONSENT),
            ):
                with pytest.raises(Denied) as caught:
                    bank.range("turnover-floor", ours, candidates)
                assert hidden.reasons(Role.HOUSE, caught.value) == [reason]
            approve(world)
            for subject in (waits, ours):
                assert bank.range("turnover-floor", subject, without).candidates == 21
        assert hidden.replay(Role.HOUSE) == hidden.replay(Role.AUTHORITY) == []
