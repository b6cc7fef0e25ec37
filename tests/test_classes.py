"""Classes of banks: whoever is in one now may ask, and who left may not."""

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest

from contracts import bodies
from contracts.classes import Class, Owned
from contracts.consent import CONSENT_2, Consent
from contracts.cross_check import cross_check
from contracts.decide import Finding, Reason, decide
from contracts.discrepancy import Mark
from contracts.errors import DocumentInvalid
from contracts.rebuild import Standing
from contracts.replay import Role as Journal
from node import clock, consents, initialise
from node.cli.setup import _class
from node.domain import Role
from node.errors import Denied, DomainInvalid
from node.initialise import Plan
from protocols import paillier
from protocols.entry import Entry, Kind
from protocols.errors import FormatError
from tests.german import German
from tests.hostile import journal, question
from tests.journals import Town
from tests.simulator import World
from tests.test_consent import CONSENT
from tests.test_decide import ASK, GRANT, START, TERMS, UNUSED
from tests.test_replay import replayed

RURAL = replace(CONSENT, grantees=("class:rural", "lnsb"))


# -- the document and the rule


def test_a_class_among_the_grantees() -> None:
    """Readers of version 1 know no classes, so it is of version 2; it has a name."""
    data = RURAL.to_bytes()
    assert CONSENT_2.encode() in data
    assert Consent.parse(data) == RURAL
    assert RURAL.classes == ("rural",)
    older = data.replace(b'"supersedes":"","v":"safehouse/consent/2"', b'"v":"safe')
    older = older.replace(b'"v":"safe', b'"v":"safehouse/consent/1"')
    with pytest.raises(FormatError, match="is `safehouse/consent/2`"):
        Consent.parse(older)
    with pytest.raises(DocumentInvalid, match="expected `class:<id>`"):
        replace(CONSENT, grantees=("class:",))


def test_a_member_asks_and_nobody_else() -> None:
    """By the members now; the journal says who they are."""
    consent = replace(GRANT.consent, grantees=("class:rural",))
    grant = replace(GRANT, consent=consent, members=frozenset({ASK.bank}))
    assert decide(ASK, TERMS, grant, UNUSED, START).allow
    for members, told in ((frozenset(), "nobody"), (frozenset({"bank-z"}), "`bank-z`")):
        (found,) = decide(
            ASK, TERMS, replace(grant, members=members), UNUSED, START
        ).reasons
        detail = (
            f"`{ASK.bank}` is not a grantee of consent `{consent.consent_id}`, which is"
            f" for `class:rural`, now {told}"
        )
        assert found == Finding(Reason.NO_CONSENT, detail)


def test_a_registrars_own_bank_is_no_grantee_by_a_class() -> None:
    """Whose the parties are stands beside the classes, and holds for each member."""
    classes = (Class("rural", ("jnrcb", "lnsb")), Class("urban", ("ryrcb",)))
    told = bodies.Classes(1, classes, (Owned("registry", "jnrcb"),))
    assert told.members(RURAL) == {"lnsb"}
    assert bodies.Classes(1, classes, ()).members(RURAL) == {"jnrcb", "lnsb"}
    assert bodies.Classes.parse(told.to_body()) == told


# -- replay


@pytest.fixture
def town() -> Town:
    """Build a town where Zhang consents to an alliance that bank-b leaves."""
    town = Town()
    town.grant("c-1", "zhang", grantees=("class:rural",))
    assert not town.call("bank-a", "zhang", "c-1").allow
    town.group(rural=("bank-a", "bank-b"))
    assert town.call("bank-a", "zhang", "c-1").allow
    assert town.call("bank-b", "zhang", "c-1").allow
    town.group(rural=("bank-a",), urban=("bank-b",))
    assert town.call("bank-a", "zhang", "c-1").allow
    assert not town.call("bank-b", "zhang", "c-1").allow
    town.group(urban=())
    assert not town.call("bank-a", "zhang", "c-1").allow
    return town


def newest(town: Town) -> bodies.Classes:
    """Read the newest classes."""
    entries = [e for e in town.house if e.kind is Kind.ADMIN_CLASSES]
    return bodies.Classes.parse(entries[-1].body)


def test_members_come_and_go(town: Town) -> None:
    """Each call is replayed with the classes of its time."""
    pinned = newest(town)
    for role in Journal:
        for keys in (None, town.keys):
            found = replayed(
                town,
                role,
                keys=keys,
                openings=town.openings,
                standing=Standing(classes=pinned),
            )
            assert found == []
    assert cross_check(town.house, town.authority, town.kept)[0] == ()


def forge(town: Town, role: Journal, number: int, *classes: Class) -> None:
    """Put other classes into one entry of one journal."""
    entries = town.journals[role]
    at = [i for i, e in enumerate(entries) if e.kind is Kind.ADMIN_CLASSES][number]
    body = bodies.Classes.parse(entries[at].body)
    entries[at] = replace(entries[at], body=replace(body, classes=classes).to_body())


def test_a_member_that_a_node_made_up_is_found(town: Town) -> None:
    """Against the pinned domain, where it is of that serial; else against the other."""
    pinned = newest(town)
    forge(town, Journal.HOUSE, -1, Class("rural", ("bank-b",)))
    found = replayed(town, Journal.HOUSE, standing=Standing(classes=pinned))
    assert found[0].mark is Mark.STEP_REFUSED
    assert "not those of the trust domain" in found[0].message
    (told,) = cross_check(town.house, town.authority, town.kept)[0]
    assert told.mark is Mark.CLASSES_DIFFER
    assert told.index == found[0].index


def test_an_earlier_serial_is_held_against_the_other_node(town: Town) -> None:
    """The auditor's domain is of a later serial and cannot tell."""
    forge(town, Journal.AUTHORITY, 0, Class("rural", ("bank-a", "bank-b", "bank-c")))
    assert (
        replayed(town, Journal.AUTHORITY, standing=Standing(classes=newest(town))) == []
    )
    (told,) = cross_check(town.house, town.authority, town.kept)[0]
    assert told.mark is Mark.CLASSES_DIFFER


def start(town: Town, role: Journal) -> int:
    """Journal that a node starts."""
    journal = town.journals[role]
    town.now_ms += 1
    journal.append(Entry(Kind.NODE_START, town.now_ms, role.value, "", {}))
    return len(journal) - 1


@pytest.mark.parametrize("liar", list(Journal))
def test_a_serial_that_one_node_made_up_is_found(town: Town, liar: Journal) -> None:
    """A bank is in between two serials that both know; or with a serial of its own."""
    told = newest(town)
    lie = replace(told, serial=told.serial + 1, classes=(Class("rural", ("bank-b",)),))
    index = town.append(liar, Kind.ADMIN_CLASSES, liar.value, lie)
    pinned = replace(told, serial=told.serial + 2, classes=(Class("all", ("bank-a",)),))
    assert cross_check(town.house, town.authority, town.kept)[0] == ()
    for role in Journal:
        town.append(role, Kind.ADMIN_CLASSES, role.value, pinned)
        assert replayed(town, role, standing=Standing(classes=pinned)) == []
    (found,) = cross_check(town.house, town.authority, town.kept)[0]
    assert (found.mark, found.role, found.index) == (Mark.CLASSES_DIFFER, liar, index)
    assert found.message.endswith(f"by serial {lie.serial}")


@pytest.mark.parametrize("late", list(Journal))
def test_a_node_that_starts_without_the_newest_classes_is_found(
    town: Town, late: Journal
) -> None:
    """Late is who has not started since the other did; who has, journals them."""
    told = newest(town)
    pinned = replace(told, serial=told.serial + 1, classes=(Class("all", ("bank-a",)),))
    (other,) = set(Journal) - {late}
    start(town, late)
    standing = Standing(classes=pinned, since_ms=town.now_ms + 1)
    town.append(other, Kind.ADMIN_CLASSES, other.value, pinned)
    start(town, other)

    def found() -> set[tuple[Journal, Mark, str]]:
        told = cross_check(town.house, town.authority, town.kept, standing)[0]
        return {(item.role, item.mark, item.message) for item in told}

    assert found() == set()
    start(town, late)
    assert found() == {
        (
            other,
            Mark.CLASSES_DIFFER,
            "house and authority knew other classes by serial 4",
        ),
        (
            late,
            Mark.CLASSES_DIFFER,
            "started without the classes of the trust domain, serial 4",
        ),
    }


def test_serials_rise_and_end_with_the_domain_at_hand(town: Town) -> None:
    """An old class list again, and one of a domain that nobody has shown."""
    early = replace(newest(town), serial=2)
    (found, *_) = replayed(town, Journal.HOUSE, standing=Standing(classes=early))
    assert "serial 3, the trust domain at hand is of serial 2" in {
        item.message.partition("classes of ")[2] for item in (found, *_)
    }
    again = next(e for e in town.house if e.kind is Kind.ADMIN_CLASSES)
    town.house.append(replace(again, time_ms=town.now_ms))
    (found,) = replayed(town, Journal.HOUSE)
    assert "does not rise" in found.message


# -- at the nodes


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Run house and authority."""
    with World(tmp_path_factory.mktemp("classes")) as made:
        yield made


def regroup(world: World, serial: int, *classes: Class) -> None:
    """Give everybody another trust domain; the nodes start again."""
    same = serial == world.domain.serial
    history = world.domain.history if same else ()
    world.renew(replace(world.domain, serial=serial, history=history, classes=classes))


def test_a_member_that_left_is_denied_by_name(world: World) -> None:
    """It asked with leave, and after the domain changed it has none; by both nodes."""
    running = German(world, 3)
    subject = running.ids[0]
    running.grant(subject, grantees=("class:rural",), max_uses=9)
    regroup(world, 2, Class("rural", ("jnrcb", "lsbank")))
    for bank in ("jnrcb", "lsbank"):
        with running.bank(bank) as client:
            client.score("german-card", subject, consent=f"c-{subject}")
    regroup(world, 3, Class("rural", ("lsbank",)))
    with running.bank() as client:
        asked = question(running, subject)
        with pytest.raises(Denied) as caught:
            client.score("german-card", subject, consent=f"c-{subject}")
    assert caught.value.reason == "NO_CONSENT"
    assert "rural" not in str(caught.value)
    detail = next(
        found.detail
        for entry in reversed(journal(running.house))
        if entry.kind is Kind.CALL_DENY
        for found in bodies.Deny.parse(entry.body).reasons
    )
    assert detail.startswith("`jnrcb` is not a grantee of consent")
    assert detail.endswith("which is for `class:rural`, now `lsbank`")
    assert asked.request.bank == "jnrcb"
    for core in (running.house, running.authority):
        kept = [e for e in journal(core) if e.kind is Kind.ADMIN_CLASSES]
        serials = [bodies.Classes.parse(entry.body).serial for entry in kept]
        assert serials == [2, 3]


def test_an_older_domain_starts_no_node(world: World) -> None:
    """Who left would be in again; and one serial is one list."""
    rural = Class("rural", ("jnrcb",))
    regroup(world, 2, rural)
    regroup(world, 4)
    regroup(world, 5)  # nothing new, no entry
    regroup(world, 5)
    good = world.composed
    for serial, classes, message in (
        (3, (rural,), "the trust domain is of serial 3"),
        (4, (), "the trust domain is of serial 4, this node started with serial 5"),
        (4, (rural,), "this node started with serial 5"),
        (5, (rural,), "of serial 5 does not follow from serial 5"),
    ):
        world.composed = good
        with pytest.raises(DomainInvalid, match=message):
            regroup(world, serial, *classes)
        for role in (Role.HOUSE, Role.AUTHORITY):
            world.stop(role)
    world.composed = good
    regroup(world, 6, rural)


def test_a_bank_that_the_registrar_owns_by_now_is_denied(world: World) -> None:
    """The class is what it was; only whose the bank is has changed, and both deny."""
    running = German(world, 3)
    subject = running.ids[0]
    running.grant(subject, grantees=("class:rural",), max_uses=9)
    regroup(world, 2, Class("rural", ("jnrcb", "lsbank")))
    parties = tuple(
        replace(each, organisation="registrar") if each.id == "jnrcb" else each
        for each in world.domain.parties
    )
    with running.bank() as client:
        client.score("german-card", subject, consent=f"c-{subject}")
    world.renew(replace(world.domain, serial=3, history=(), parties=parties))
    with running.bank() as client, pytest.raises(Denied) as caught:
        client.score("german-card", subject, consent=f"c-{subject}")
    assert caught.value.reason == "NO_CONSENT"
    with running.bank("lsbank") as client:
        client.score("german-card", subject, consent=f"c-{subject}")
    for core in (running.house, running.authority):
        with core.ledger.reader() as db:
            held = consents.find(db, f"c-{subject}")
        assert held is not None
        assert held.members == {"lsbank"}
        kept = [e for e in journal(core) if e.kind is Kind.ADMIN_CLASSES]
        assert [bodies.Classes.parse(entry.body).owned for entry in kept] == [
            (),
            (Owned("jnrcb", "registrar"),),
        ]


# -- a new domain


def test_a_domain_is_made_with_classes() -> None:
    """As `init --class` writes them, in any order; with no bank that is none."""
    rural = _class("rural=lsbank,jnrcb")
    assert rural == Class("rural", ("jnrcb", "lsbank"))
    assert _class("none=") == Class("none", ())
    key = paillier._small_key(512, secrets.token_bytes)
    plan = Plan("rencheng", classes=(rural,))
    made = initialise._compose_with(plan, clock.now_ms(), key).domain
    assert made.membership.classes == (rural,)
    with pytest.raises(DomainInvalid, match="expected a name, `=` and banks"):
        _class("rural")
    plan = Plan("rencheng", classes=(_class("rural=registrar"),))
    with pytest.raises(DomainInvalid, match="`registrar` is no bank"):
        initialise._compose_with(plan, clock.now_ms(), key)
