"""Four eyes: what one operator imports is in force once another has approved it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from contracts import bodies
from contracts.classes import Owned
from contracts.consent import Event, Evidence, Status
from contracts.consent_batch import (
    BatchApproval,
    ConsentBatch,
    check_approver,
)
from contracts.decide import Reason
from contracts.discrepancy import Mark
from contracts.errors import ConsentConflict, ContractError, DocumentInvalid
from contracts.rebuild import Consents, Pins, Standing
from contracts.replay import Role as Journal
from contracts.subject import SubjectRef, SubjectType, commitment
from node import clock
from node.cli import consent as desk
from node.domain import Role
from node.errors import Denied, NodeError, Refused, RowsRefused
from node.historian import Historian
from node.initialise import DEFAULT_MEMBERS, Member
from node.journal_tables import JournalTables
from node.keys import RegistrarKeys
from node.registrar import Registrar
from node.status import to_wire
from node.verify import verify
from node.wire.v1 import consent_pb2
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.errors import FormatError, ProtocolError
from protocols.sign import Signed, sign
from tests.german import German
from tests.journals import Town
from tests.simulator import ORDERS, World
from tests.test_consent_batch import BATCH, BATCH_BYTES, batched, put
from tests.test_registrar import asked, entries, row, table
from tests.test_replay import marks, replayed

DESK = Member("desk-2", Role.REGISTRAR, "第二经办", "registrar")
THIRD = Member("desk-3", Role.REGISTRAR, "第三经办", "registrar")
OTHER = Member("registrar-b", Role.REGISTRAR, "第二登记机构")


# -- the documents and the rule


def test_the_bytes_of_a_batch_for_approval() -> None:
    """One member more, under a version of its own."""
    newer = BATCH_BYTES.replace(
        b'},"consents":[', b'},"approver":"desk-2","consents":['
    ).replace(b"consent-batch/1", b"consent-batch/2")
    batch = replace(BATCH, approver="desk-2")
    canonical = batch.to_bytes()
    assert canonical == newer
    assert ConsentBatch.parse(canonical) == batch
    with pytest.raises(FormatError):
        ConsentBatch.parse(canonical.replace(b"consent-batch/2", b"consent-batch/1"))
    with pytest.raises(FormatError, match="expected a party, got nothing"):
        ConsentBatch.parse(canonical.replace(b'"desk-2"', b'""'))
    with pytest.raises(DocumentInvalid, match="another operator than imports"):
        ConsentBatch.parse(canonical.replace(b'"desk-2"', b'"registry"'))
    approval = BatchApproval(batch.name, "desk-2", 5)
    assert BatchApproval.parse(approval.to_bytes()) == approval
    with pytest.raises(FormatError):
        BatchApproval.parse(approval.to_bytes().replace(b"/1", b"/2"))


@pytest.mark.parametrize(
    ("approver", "message"),
    [
        ("", "an import of `a` needs a second operator"),
        ("a", "`a` is no other operator"),
        ("c", "`c` is no other operator"),
        ("nobody", "`nobody` is no other operator"),
    ],
)
def test_who_may_not_approve(approver: str, message: str) -> None:
    """Nobody, oneself, another organisation; where there is a colleague."""
    operators = {"a": "office", "b": "office", "c": "c"}
    check_approver("a", "b", operators)
    check_approver("c", "", operators)
    with pytest.raises(DocumentInvalid, match=message):
        check_approver("a", approver, operators)


# -- replay


def approve(town: Town, batch: ConsentBatch, approver: str, signer: str = "") -> None:
    """Journal an approval at both nodes."""
    payload = BatchApproval(batch.name, approver, town.now_ms).to_bytes()
    signed = town.sign(Tag.CONSENT_APPROVAL, payload, signer or approver)
    for role in Journal:
        body = bodies.BatchApproval(signed)
        town.append(role, Kind.CONSENT_APPROVAL, approver, body)


@pytest.fixture
def town() -> Town:
    """Build a town with an import that waits."""
    town = Town()
    town.owned = (Owned("desk-2", "registry"),)
    town.group()
    town.waiting |= {"b-0", "b-1"}
    return town


def test_it_waits_and_is_approved(town: Town) -> None:
    """Denied, approved, permitted; what was withdrawn meanwhile stays so."""
    batch = batched(town, "zhang", "wang", approver="desk-2")
    denied = town.call("bank-a", "zhang", "b-0")
    assert [found.reason for found in denied.reasons] == [Reason.UNAPPROVED]
    town.event("b-1", Event.WITHDRAW)
    both = town.call("bank-a", "wang", "b-1")
    told = [found.reason for found in both.reasons]
    assert told == [Reason.WITHDRAWN, Reason.UNAPPROVED]
    approve(town, batch, "desk-2")
    town.waiting.clear()
    assert town.call("bank-a", "zhang", "b-0").allow
    after = town.call("bank-a", "wang", "b-1")
    assert [found.reason for found in after.reasons] == [Reason.WITHDRAWN]
    for role in Journal:
        for keys in (None, town.keys):
            assert replayed(town, role, keys=keys, openings=town.openings) == []


def test_a_permit_without_approval_is_found(town: Town) -> None:
    """A node that did not wait."""
    batched(town, "zhang", "wang", approver="desk-2")
    town.waiting.clear()
    assert town.call("bank-a", "zhang", "b-0").allow
    for role in Journal:
        (found,) = replayed(town, role)
        assert found.mark is Mark.DECISION_DIFFERS
        assert found.reasons == (Reason.UNAPPROVED,)


def test_an_approval_by_whom_it_is_not_for(town: Town) -> None:
    """The importer in its colleague's name, another bank, and twice: found."""
    batch = batched(town, "zhang", "wang", approver="desk-2")
    first = len(town.house)
    approve(town, batch, "desk-2", signer="registry")
    approve(town, batch, "bank-a")
    approve(town, replace(batch, approver="bank-a"), "bank-a")
    approve(town, batch, "desk-2")
    approve(town, batch, "desk-2")
    found = replayed(town, Journal.HOUSE, keys=town.keys)
    assert marks(found) == [
        (first, Mark.SIGNATURE_INVALID),
        (first + 1, Mark.STEP_REFUSED),
        (first + 2, Mark.STEP_REFUSED),
        (first + 4, Mark.STEP_REFUSED),
    ]
    body = bodies.Batch.parse(
        next(e for e in town.house if e.kind is Kind.CONSENT_BATCH).body
    )
    for owned in (), (Owned("desk-2", "bank-a"),), (Owned("registry", "office"),):
        consents = Consents(Pins())
        consents.classes(bodies.Classes(1, (), owned))
        with pytest.raises(DocumentInvalid, match="not of the organisation"):
            consents.batch(body)


def test_operators_who_move_forge_no_journal(town: Town) -> None:
    """Whose they were when the import entered counts, and that stands before it."""
    batch = batched(town, "zhang", "wang", approver="desk-2")
    approve(town, batch, "desk-2")
    town.waiting.clear()
    town.owned = (Owned("registry", "bank-a"),)
    town.group()
    assert town.call("bank-a", "zhang", "b-0").allow
    for role in Journal:
        standing = Standing(classes=bodies.Classes(2, (), town.owned))
        assert replayed(town, role, keys=town.keys, standing=standing) == []


# -- at the nodes


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Run a trust domain where an office has two operators."""
    with World(
        tmp_path / "world", (*DEFAULT_MEMBERS, DESK, OTHER), bases=ORDERS
    ) as made:
        yield made


def imported(
    registrar: Registrar, folder: Path, subject: str, approver: str, name: str = "c-1"
) -> None:
    """Import a consent of one subject."""
    rows = [row(consent_id=name, subject_id=subject)]
    path = table(folder / "c.csv", list(rows[0]), rows)
    registrar.import_consents(
        path, None, SubjectType.OPAQUE, clock.now_ms(), approver=approver
    )


def test_nothing_is_in_force_before_a_colleague_says_so(
    world: World, tmp_path: Path
) -> None:
    """Denied by the house; the importer cannot approve; then it is permitted."""
    running = German(world, 3)
    subject = running.ids[0]
    with (
        world.registrar() as one,
        world.registrar("desk-2") as two,
        running.bank() as bank,
    ):
        imported(one, tmp_path, subject, "")  # there is one colleague only
        assert [s.house for s in one.list()] == ["active pending"]
        with pytest.raises(Denied) as caught:
            bank.score("german-card", subject, consent="c-1")
        assert caught.value.reason == "UNAPPROVED"
        (waiting,) = two.pending()
        assert [own[0] for own in waiting.batch.own] == ["c-1"]
        assert one.pending() == []
        with pytest.raises(ConsentConflict, match="waits for our approval"):
            one.approve([waiting.name], clock.now_ms())
        once = {"authority": 1, "house": 1}
        assert two.approve([waiting.name], clock.now_ms()) == once
        assert two.pending() == []
        assert [s.authority for s in one.list()] == ["active"]
        assert bank.score("german-card", subject, consent="c-1").kind.value
        imported(one, tmp_path, subject, "desk-2")  # again: nothing is new
        assert two.pending() == []
    for role in (Role.HOUSE, Role.AUTHORITY):
        assert len(entries(world, role, Kind.CONSENT_APPROVAL)) == 1


def test_a_withdrawal_does_not_wait_for_a_colleague(
    world: World, tmp_path: Path
) -> None:
    """It is withdrawn at once, and an approval afterwards changes nothing."""
    with world.registrar() as one, world.registrar("desk-2") as two:
        imported(one, tmp_path, "gc-1", "desk-2")
        one.suspend("c-1", "", clock.now_ms())
        one.withdraw("c-1", "subject asked", clock.now_ms())
        assert [s.house for s in one.list()] == ["withdrawn pending"]
        two.approve([each.name for each in two.pending()], clock.now_ms())
        assert [(s.house, s.authority) for s in one.list()] == [("withdrawn",) * 2]


@pytest.mark.parametrize("node", [Role.HOUSE, Role.AUTHORITY])
def test_a_lone_operator_gets_past_no_node(world: World, node: Role) -> None:
    """Without an approver, with oneself or a stranger, and approving in another's name.

    The operator's own key is good, and its command was taught not to ask.
    """
    shape = replace(BATCH.shape, registrar="registrar", evidence_digest=bytes(32))
    subject = commitment(SubjectRef(bytes(32)), bytes(32))
    rows = tuple((own[0], subject, *own[2:]) for own in BATCH.own)
    for approver, message in (
        ("", "needs a second operator"),
        ("registrar-b", "is no other operator"),
        ("jnrcb", "is no other operator"),
    ):
        batch = ConsentBatch(shape, rows, approver)
        signed = signed_as(world, "registrar", Tag.CONSENT_BATCH, batch.to_bytes())
        message_ = consent_pb2.Batch(
            batch=to_wire(signed), subject_refs=bytes(64), salts=bytes(64)
        )
        with pytest.raises(Refused, match=message):
            put(world, "registrar", node, consent_pb2.ConsentItem(batch=message_))
    approval = BatchApproval(BATCH.name, "desk-2", 5).to_bytes()
    for party, signer, message in (
        ("registrar", "registrar", "signed by `desk-2`, sent by `registrar`"),
        ("desk-2", "registrar", "unknown key|not valid"),
        ("desk-2", "desk-2", "no import waits for the approval of `desk-2`"),
    ):
        signed = signed_as(world, signer, Tag.CONSENT_APPROVAL, approval)
        item = consent_pb2.ConsentItem(approval=to_wire(signed))
        with pytest.raises(Refused, match=message):
            put(world, party, node, item)


def signed_as(world: World, party: str, tag: Tag, payload: bytes) -> Signed:
    """Sign as a registrar."""
    return sign(tag, payload, world.keys(party, RegistrarKeys).sign)


def test_who_approves_is_named_where_there_are_several(tmp_path: Path) -> None:
    """Two colleagues: one has to be chosen, and the other has no say in it."""
    with World(tmp_path / "w", (*DEFAULT_MEMBERS, DESK, THIRD)) as world:
        with world.registrar() as one:
            with pytest.raises(DocumentInvalid, match="needs a second") as caught:
                imported(one, tmp_path, "gc-1", "")
            assert "`desk-2`, `desk-3`" in caught.value.hint
            imported(one, tmp_path, "gc-1", "desk-3")
            with pytest.raises(DocumentInvalid, match="`c-1` was imported for `desk-3"):
                imported(one, tmp_path, "gc-1", "desk-2")
            for approver in ("", "desk-3"):  # nothing is new, nobody need be named
                imported(one, tmp_path, "gc-1", approver)
        with world.registrar("desk-2") as two, world.registrar("desk-3") as three:
            assert two.pending() == []
            (waiting,) = three.pending()
        approval = BatchApproval(waiting.name, "desk-2", 5).to_bytes()
        signed = signed_as(world, "desk-2", Tag.CONSENT_APPROVAL, approval)
        item = consent_pb2.ConsentItem(approval=to_wire(signed))
        for node in (Role.HOUSE, Role.AUTHORITY):
            with pytest.raises(Refused, match="no import waits for the approval of"):
                put(world, "desk-2", node, item)


def test_what_supersedes_is_not_imported_for_approval(
    world: World, tmp_path: Path
) -> None:
    """One entry ends the old consent and begins the new: nothing could wait there."""
    with world.registrar() as one:
        imported(one, tmp_path, "gc-1", "desk-2")
        rows = [row(consent_id="c-2", subject_id="gc-1", supersedes="c-1")]
        path = table(tmp_path / "c.csv", list(rows[0]), rows)
        with pytest.raises(DocumentInvalid, match="`c-2` cannot be imported for appr"):
            one.import_consents(path, None, SubjectType.OPAQUE, clock.now_ms())


@pytest.mark.parametrize(
    ("signer", "changes", "message"),
    [
        ("registrar-b", {}, "signed by unknown key|not valid"),
        ("registrar-b", {"registrar": "registrar-b"}, "is no other operator"),
        ("registrar", {"approver": "registrar-b"}, "is not for us"),
        ("registrar", {"registrar": "jnrcb"}, "expected role `registrar`"),
    ],
)
@pytest.mark.parametrize("liar", [Role.HOUSE, Role.AUTHORITY])
def test_a_node_that_shows_another_import_is_not_believed(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    liar: Role,
    signer: str,
    changes: dict[str, str],
    message: str,
) -> None:
    """Signed by another key, of another organisation, for another to approve."""
    members = {"registrar": "registrar", "approver": "desk-2"} | changes
    shape = replace(BATCH.shape, grantees=("lsbank",), registrar=members["registrar"])
    batch = ConsentBatch(shape, BATCH.own, members["approver"])
    signed = signed_as(world, signer, Tag.CONSENT_BATCH, batch.to_bytes())
    with world.registrar("desk-2") as two:
        waiting = two._waiting
        monkeypatch.setattr(
            two,
            "_waiting",
            lambda role: iter([signed]) if role is liar else waiting(role),
        )
        with pytest.raises((NodeError, ProtocolError, ContractError), match=message):
            two.pending()
        with pytest.raises((NodeError, ProtocolError, ContractError), match=message):
            two.approve([batch.name], clock.now_ms())
    for role in (Role.HOUSE, Role.AUTHORITY):
        assert entries(world, role, Kind.CONSENT_APPROVAL) == []


# -- operators who join and move


def moved(world: World, party: str, organisation: str) -> None:
    """Let a party belong to another organisation from now on."""
    parties = tuple(
        replace(each, organisation=organisation) if each.id == party else each
        for each in world.domain.parties
    )
    serial = world.domain.serial + 1
    world.renew(replace(world.domain, serial=serial, history=(), parties=parties))


def test_an_export_verifies_after_an_operator_moved(
    world: World, tmp_path: Path
) -> None:
    """Both journals say whose it was when the import entered."""
    with world.registrar() as one, world.registrar("desk-2") as two:
        imported(one, tmp_path, "gc-1", "")
        two.approve([each.name for each in two.pending()], clock.now_ms())
    moved(world, "desk-2", "desk-2")
    with world.auditor() as auditor:
        auditor.export(tmp_path / "export")
    assert verify(tmp_path / "export", world.domain).findings == ()


def test_what_waits_is_told_to_auditors_and_subjects(
    world: World, tmp_path: Path
) -> None:
    """An import waits, and is approved; what a colleague has no say in does neither."""
    now, kind = clock.now_ms(), SubjectType.OPAQUE
    keys = world.keys("registrar", RegistrarKeys)

    def told(name: str) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
        folder = tmp_path / name
        with world.auditor() as auditor:
            auditor.export(folder)
        with JournalTables.open(folder, world.domain) as tables:
            assert tables.query("SELECT * FROM events").rows == []
            found = tables.query("SELECT consent, approval FROM consents").rows
        with Historian(world.config("registrar"), keys, world.domain) as counter:
            lines = counter.read(kind, "gc-1")
        return set(found), {(line.consent, line.decision) for line in lines}

    with world.registrar() as one, world.registrar("desk-2") as two:
        imported(one, tmp_path, "gc-1", "")
        grantees = ("class:rural",)  # in its own version, with an empty `supersedes`
        alone = asked(now, consent_id="k-1", subject_id="gc-1", grantees=grantees)
        one.grant(alone, kind, now)
        assert told("before") == (
            {("c-1", "waits"), ("k-1", "")},
            {("c-1", "waits"), ("k-1", "registered")},
        )
        two.approve([each.name for each in two.pending()], clock.now_ms())
        assert told("after") == (
            {("c-1", "approved"), ("k-1", "")},
            {("c-1", "approved"), ("k-1", "registered")},
        )


@pytest.mark.parametrize(
    ("act", "after"),
    [
        (Registrar.withdraw, Status.WITHDRAWN),
        (Registrar.invalidate, Status.INVALIDATED),
        (Registrar.suspend, Status.SUSPENDED),
    ],
)
def test_what_was_signed_before_the_operators_change_lives_on(
    tmp_path: Path, act: Callable[..., object], after: Status
) -> None:
    """An operator joins, its bank joins, an approver leaves: all events go through."""
    lone = replace(DESK, organisation="")
    now, kind = clock.now_ms(), SubjectType.OPAQUE
    counter = asked(now, consent_id="k-1", subject_id="gc-1")
    with World(tmp_path / "world", (*DEFAULT_MEMBERS, lone)) as world:
        with world.registrar() as one:
            imported(one, tmp_path, "gc-1", "")
            one.grant(counter, kind, now)
        moved(world, "desk-2", "registrar")
        with world.registrar() as one:
            imported(one, tmp_path, "gc-1", "", "c-2")
        moved(world, "desk-2", "jnrcb")
        moved(world, "jnrcb", "registrar")
        with world.registrar() as one:
            imported(one, tmp_path, "gc-1", "")
            one.grant(counter, kind, now)
            for name in ("c-1", "k-1", "c-2"):
                act(one, name, "", clock.now_ms())
            for state in one.list():
                assert after == state.house.partition(" ")[0]
                assert after == state.authority.partition(" ")[0]
            with pytest.raises(RowsRefused, match="of the same organisation"):
                imported(one, tmp_path, "gc-1", "", "c-3")


ORDER = "鲁政发〔2024〕12号"


def statutory(folder: Path, subject: str = "gc-1", **changes: str) -> Path:
    """Write a table of one row that rests on an order."""
    cells = {"consent_id": "s-1", "subject_id": subject, "document": ORDER}
    rows = [row(evidence_kind="statutory", **(cells | changes))]
    return table(folder / "s.csv", list(rows[0]), rows)


def test_the_bytes_of_a_batch_on_an_order() -> None:
    """The number and an approver, always both, and only there."""
    shape = replace(BATCH.shape, evidence_kind=Evidence.STATUTORY)
    batch = ConsentBatch(shape, BATCH.own, "desk-2", ORDER)
    data = batch.to_bytes()
    assert data.endswith(
        b'"document":"' + ORDER.encode() + b'","v":"safehouse/consent-batch/3"}'
    )
    assert ConsentBatch.parse(data) == batch
    with pytest.raises(FormatError, match="`document`: expected a number"):
        ConsentBatch.parse(data.replace(ORDER.encode(), b""))
    with pytest.raises(FormatError, match="unknown member `document`"):
        ConsentBatch.parse(data.replace(b"consent-batch/3", b"consent-batch/2"))
    for crime, approver, number, message in (
        (shape, "", ORDER, "a statutory basis needs a second operator"),
        (shape, "desk-2", "", "expected the number of an order"),
        (shape, "desk-2", "a\nb", "printable"),
        (BATCH.shape, "desk-2", ORDER, "only a `statutory` basis has one"),
    ):
        with pytest.raises(DocumentInvalid, match=message):
            ConsentBatch(crime, BATCH.own, approver, number)


def test_an_order_in_the_place_of_a_subjects_word(world: World, tmp_path: Path) -> None:
    """Two operators and the number of the document; the subject's history names it."""
    running = German(world, 3)
    subject = running.ids[0]
    path, kind = statutory(tmp_path, subject), SubjectType.OPAQUE
    with (
        world.registrar() as one,
        world.registrar("desk-2") as two,
        running.bank() as bank,
    ):
        one.import_consents(path, None, kind, clock.now_ms())
        (waiting,) = two.pending()
        assert waiting.batch.document == ORDER
        with pytest.raises(Denied, match="not been approved by a second operator"):
            bank.score("german-card", subject, consent="s-1")
        two.approve([waiting.name], clock.now_ms())
        assert bank.score("german-card", subject, consent="s-1").kind.value
        assert one.import_consents(path, None, kind, clock.now_ms()).new == 0
        other = statutory(tmp_path, subject, document="another")
        with pytest.raises(RowsRefused, match="`s-1` is in use for another consent"):
            one.import_consents(other, None, kind, clock.now_ms())
    keys = world.keys("registrar", RegistrarKeys)
    with Historian(world.config("registrar"), keys, world.domain) as counter:
        lines = counter.read(kind, subject)
    assert {x.reason for x in lines if x.kind == "consent"} == {f"by {ORDER}"}


def test_no_operator_alone_rests_on_an_order(world: World, tmp_path: Path) -> None:
    """Not by `grant`, not over the wire, not in a replay, not where there is one."""
    now = clock.now_ms()
    order = asked(now, evidence_kind=Evidence.STATUTORY, evidence_digest=b"d" * 32)
    with world.registrar() as one, pytest.raises(DocumentInvalid, match="one operator"):
        one.grant(replace(order, subject_id="gc-1"), SubjectType.OPAQUE, now)
    consent = order.consent(bytes(32), SubjectType.OPAQUE, "registrar")
    signed = signed_as(world, "registrar", Tag.CONSENT, consent.to_bytes())
    item = consent_pb2.ConsentItem(grant=consent_pb2.Grant(consent=to_wire(signed)))
    for node in (Role.HOUSE, Role.AUTHORITY):
        with pytest.raises(Refused, match="not granted by one operator alone"):
            put(world, "registrar", node, item)
    with pytest.raises(DocumentInvalid, match="not granted by one operator alone"):
        Consents(Pins()).grant(bodies.Grant(signed, bytes(32)))
    with (
        world.registrar("registrar-b") as lone,
        pytest.raises(DocumentInvalid, match="a statutory basis needs a second"),
    ):
        lone.import_consents(
            statutory(tmp_path), None, SubjectType.OPAQUE, now, dry_run=True
        )


def test_the_commands(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`pending` shows what waits, `approve --all` puts it in force."""
    with world.registrar() as one:
        path = statutory(tmp_path, max_uses="1")
        one.import_consents(path, None, SubjectType.OPAQUE, clock.now_ms())
    monkeypatch.setattr(desk, "_registrar", lambda _: world.registrar("desk-2"))
    desk.pending(as_json=True)
    (told,) = json.loads(capsys.readouterr().out)["batches"]
    assert len(bytes.fromhex(told.pop("name"))) == 32
    (own,) = told.pop("consents")
    assert told == {
        "registrar": "registrar",
        "grantees": ["jnrcb", "lsbank"],
        "purposes": ["loan-precheck"],
        "scope": ["contract:german-card"],
        "max_uses": 1,
        "frequency": "10/30d",
        "separate": False,
        "evidence_kind": "statutory",
        "document": ORDER,
    }
    assert own == {
        "consent_id": "s-1",
        "not_before": "2025-12-31T16:00:00+00:00",
        "not_after": "2035-12-31T16:00:00+00:00",
        "granted_at": "2025-12-31T16:00:00+00:00",
        "evidence_digest": "ab" * 32,
    }
    desk.pending()
    shown = "".join(capsys.readouterr().out.split())
    for value in (*told.values(), *(cell[:10] for cell in own.values())):
        if isinstance(value, str):
            assert value in shown
    assert "max_uses1" in shown
    assert "separateno" in shown
    desk.approve(everything=True)
    assert "1 batches are approved" in capsys.readouterr().out
    with pytest.raises(DocumentInvalid, match="or `--all`"):
        desk.approve()
    with pytest.raises(DocumentInvalid, match="expected the name of a batch"):
        desk.approve(["c-1"])
