"""One consent in the place of another: one entry ends the one and begins the other."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from contracts import bodies
from contracts.consent import ConsentEvent, Event, Status
from contracts.decide import Decision, Finding, Grant, Reason
from contracts.errors import ConsentConflict
from contracts.replay import Mark
from contracts.replay import Role as Journal
from contracts.subject import SubjectType
from contracts.supersede import superseded
from node import clock
from node.domain import Role
from node.errors import Denied, RowsRefused, Unreachable
from protocols.entry import Kind
from tests.german import German
from tests.hostile import Between, journal, kinds, question, send, uses
from tests.journals import Town
from tests.simulator import World
from tests.test_consent import CONSENT
from tests.test_registrar import KIND as TYPE
from tests.test_registrar import (
    SUBJECTS,
    asked,
    event,
    import_rows,
    row,
    signed_in,
    states,
)
from tests.test_replay import marks, replayed

OLD = replace(CONSENT, consent_id="c-0")
NEW = replace(CONSENT, supersedes="c-0")


# -- the rule


@pytest.mark.parametrize("status", [Status.ACTIVE, Status.SUSPENDED])
def test_what_stands_or_rests_is_superseded(status: Status) -> None:
    """The consent stays what it was but for its status."""
    old = Grant(OLD, status, b"p")
    assert superseded(NEW, b"p", old) == Grant(OLD, Status.SUPERSEDED, b"p")


@pytest.mark.parametrize(
    ("old", "message"),
    [
        (None, "not known"),
        (Grant(OLD, Status.ACTIVE, b"q"), "about another subject"),
        (
            Grant(replace(OLD, subject_type=SubjectType.OPAQUE), Status.ACTIVE, b"p"),
            "about another subject",
        ),
        (Grant(replace(OLD, registrar="bureau"), Status.ACTIVE, b"p"), "another regis"),
        (Grant(OLD, Status.WITHDRAWN, b"p"), "which is withdrawn"),
        (Grant(OLD, Status.INVALIDATED, b"p"), "which is invalidated"),
        (Grant(OLD, Status.SUPERSEDED, b"p"), "which is superseded"),
        (Grant(replace(OLD, granted_at_ms=901), Status.ACTIVE, b"p"), "given later"),
    ],
)
def test_what_may_not_be_superseded(old: Grant | None, message: str) -> None:
    """Another's, what has ended, and a later word of the subject."""
    with pytest.raises(ConsentConflict, match=message):
        superseded(NEW, b"p", old)


# -- replay


@pytest.fixture
def town() -> Town:
    """Build a town where Zhang signed anew."""
    town = Town()
    town.grant("c-1", "zhang")
    town.call("bank-a", "zhang", "c-1")
    town.grant("c-2", "zhang", supersedes="c-1")
    return town


def test_calls_before_and_after_replay(town: Town) -> None:
    """Permitted before the entry, denied after it, permitted under the new one."""
    denied = town.call("bank-a", "zhang", "c-1")
    assert denied == Decision(allow=False, reasons=(Finding(Reason.SUPERSEDED),))
    assert town.call("bank-a", "zhang", "c-2").allow
    for role in Journal:
        for keys in (None, town.keys):
            assert replayed(town, role, keys=keys, openings=town.openings) == []


def test_a_permit_after_it_is_found(town: Town) -> None:
    """The entry that ends the old consent moved behind a call under it."""
    town.grant("c-3", "zhang", supersedes="c-2")
    at = {role: len(town.journals[role]) - 1 for role in Journal}
    moved = {role: town.journals[role].pop() for role in Journal}
    town._consents["c-2"].status = Status.ACTIVE
    assert town.call("bank-a", "zhang", "c-2").allow
    for role in Journal:
        times = [entry.time_ms for entry in town.journals[role]]
        town.journals[role].insert(at[role], moved[role])
        found = replayed(town, role)
        assert {item.mark for item in found} == {Mark.DECISION_DIFFERS}
        assert {item.reasons for item in found} == {(Reason.SUPERSEDED,)}
        assert len(times) == len(town.journals[role]) - 1


@pytest.mark.parametrize(
    ("name", "message"), [("c-1", "superseded"), ("c-9", "not known")]
)
def test_a_second_successor_is_found(town: Town, name: str, message: str) -> None:
    """A node that let one consent be replaced twice, or one that was not there."""
    town.grant("c-3", "zhang", supersedes=name)
    for role in Journal:
        (found,) = replayed(town, role)
        assert found.mark is Mark.STEP_REFUSED
        assert message in found.message


def test_another_subjects_consent_is_found_by_the_openings(town: Town) -> None:
    """A node whose pseudonyms lie ends Wang's consent with one of Zhang."""
    town.grant("c-7", "wang")
    town.grant("c-8", "zhang", supersedes="c-7")
    index = len(town.house) - 1
    lie = bodies.Grant.parse(town.house[-1].body)
    lie = replace(lie, subject=town.pseudonym(Journal.HOUSE, "wang"))
    town.house[-1] = replace(town.house[-1], body=lie.to_body())
    assert replayed(town, Journal.HOUSE) == []
    found = replayed(town, Journal.HOUSE, openings=town.openings)
    assert marks(found) == [(index, Mark.SUBJECTS_DIFFER)]
    (told,) = replayed(town, Journal.AUTHORITY)
    assert "`c-8` supersedes `c-7`, which is about another subject" in told.message


# -- at the nodes


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[German]:
    """Run house and authority."""
    with World(tmp_path_factory.mktemp("superseded")) as world:
        yield German(world, 6)


def test_the_order_of_the_journal_decides(running: German) -> None:
    """Superseded between the house's check and the authority's: no permit (7)."""
    subject = running.ids[0]
    old = running.grant(subject)
    with running.bank() as bank:
        send(bank, question(running, subject))
        late = question(running, subject)
        with Between(running.house) as wire:
            wire.on_question = lambda _: running.grant(
                subject, "c-new", supersedes=old.consent_id
            )
            with pytest.raises(Denied) as caught:
                send(bank, late)
        assert caught.value.reason == "SUPERSEDED"
        assert kinds(running.authority, late.call) == ["call.deny"]
        order = [entry.kind for entry in journal(running.authority)]
        assert order[-2:] == [Kind.CONSENT_GRANT, Kind.CALL_DENY]
        assert uses(running, old.consent_id) == 1
        send(bank, question(running, subject, consent="c-new"))
        assert uses(running, "c-new") == 1


@pytest.mark.parametrize("act", [Event.RESUME, Event.SUSPEND, Event.WITHDRAW])
def test_nothing_happens_to_it_afterwards(running: German, act: Event) -> None:
    """It cannot be resumed, nor withdrawn in the place of the new one."""
    subject = running.ids[1 + list(Event).index(act)]
    old = running.grant(subject)
    running.grant(subject, f"{old.consent_id}-new", supersedes=old.consent_id)
    late = ConsentEvent(old.consent_id, act, clock.now_ms(), "", "registrar")
    for party in ("house", "authority"):
        with pytest.raises(ConsentConflict, match="that is superseded") as caught:
            running.happen(late, party)
        assert "took its place" in caught.value.hint


# -- at the registrar's desk


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Run a fresh trust domain."""
    with World(tmp_path / "world") as made:
        yield made


def test_a_chain_at_the_desk(world: World) -> None:
    """Each in the place of the one before; only the last one can be withdrawn."""
    now = clock.now_ms()
    with world.registrar() as registrar:
        once = {"authority": 1, "house": 1}
        assert registrar.grant(asked(now), TYPE, now) == once
        for old, new in (("c-1", "c-2"), ("c-2", "c-3")):
            wanted = asked(now, consent_id=new, supersedes=old)
            assert registrar.grant(wanted, TYPE, now) == once
            assert registrar.grant(wanted, TYPE, now) == dict.fromkeys(once, 0)
        with pytest.raises(ConsentConflict, match="superseded") as caught:
            registrar.withdraw("c-1", "subject asked", now)
        assert caught.value.hint == "`c-2` took the place of `c-1`"
        assert registrar.withdraw("c-3", "subject asked", now) == once
        assert states(registrar) == [
            ("c-1", "superseded", "superseded"),
            ("c-2", "superseded", "superseded"),
            ("c-3", "withdrawn", "withdrawn"),
        ]
    assert signed_in(world, Role.HOUSE) == signed_in(world, Role.AUTHORITY)


def test_a_node_that_was_away_hears_all_of_the_chain(world: World) -> None:
    """Suspended, superseded and superseded again while the house was away."""
    now = clock.now_ms()
    with world.registrar() as registrar:
        registrar.grant(asked(now), TYPE, now)
        world.stop(Role.HOUSE)
        with pytest.raises(Unreachable):
            registrar.suspend("c-1", "", now)
        for old, new in (("c-1", "c-2"), ("c-2", "c-3")):
            with pytest.raises(Unreachable):
                registrar.grant(asked(now, consent_id=new, supersedes=old), TYPE, now)
    world.start(Role.HOUSE)
    with world.registrar() as registrar:
        assert registrar.suspend("c-3", "", now) == {"authority": 1, "house": 4}
    assert signed_in(world, Role.HOUSE) == signed_in(world, Role.AUTHORITY)


def test_a_table_of_those_who_signed_anew(world: World, tmp_path: Path) -> None:
    """The old row may stand above, or be registered; twice changes nothing (16)."""
    rows = [
        row(supersedes=""),
        row(consent_id="c-2", supersedes="c-1"),
        row(consent_id="c-3", supersedes="c-2", max_uses="9"),
    ]
    with world.registrar() as registrar:
        import_rows(registrar, tmp_path, rows[:2])
        report = import_rows(registrar, tmp_path, rows)
        assert (report.new, report.known) == (1, 2)
        assert import_rows(registrar, tmp_path, rows).new == 0
        assert [state[1:] for state in states(registrar)] == [
            ("superseded", "superseded"),
            ("superseded", "superseded"),
            ("active", "active"),
        ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(supersedes="c-9")], "row 2, column `supersedes`: .* is not known"),
        ([row(supersedes="c-1")], "row 2, column `supersedes`: expected another"),
        (
            [row(), row(consent_id="c-2", supersedes="c-1", subject_id=SUBJECTS[1])],
            "row 3, column `supersedes`: .* is about another subject",
        ),
        (
            [row(), *(row(consent_id=c, supersedes="c-1") for c in ("c-2", "c-3"))],
            "row 4, column `supersedes`: .* is superseded",
        ),
    ],
)
def test_a_row_that_supersedes_what_it_may_not(
    world: World, tmp_path: Path, rows: list[dict[str, str]], message: str
) -> None:
    """By row and column, before anything is signed."""
    with world.registrar() as registrar:
        rows = [{"supersedes": "", **item} for item in rows]
        with pytest.raises(RowsRefused, match=message):
            import_rows(registrar, tmp_path, rows)
        assert registrar.openings() == []


def test_an_event_to_what_a_row_superseded(world: World, tmp_path: Path) -> None:
    """The table of events comes after: too late for the old one."""
    rows = [row(supersedes=""), row(consent_id="c-2", supersedes="c-1")]
    with (
        world.registrar() as registrar,
        pytest.raises(RowsRefused, match="cannot withdraw a consent that is superse"),
    ):
        import_rows(registrar, tmp_path, rows, [event()])
