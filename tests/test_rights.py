"""What a subject may demand: to be erased, to have a record repaired."""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from contracts import bodies
from contracts.consent import Evidence
from contracts.consent_csv import ConsentRow
from contracts.cross_check import SETTLED_MS, cross_check
from contracts.errors import DocumentInvalid
from contracts.objection import Answer, Demand, Objection, Verdict, check_answer
from contracts.replay import Mark, Replay, Role
from contracts.subject import SubjectType, commitment, handle
from node import clock, directory, names, objections, own_record
from node.consent_store import ConsentStore
from node.consents import find
from node.errors import (
    ConfigInvalid,
    Denied,
    DocumentConflict,
    NodeError,
    NotFound,
    Refused,
    ReplyRefused,
    RowsRefused,
    Unreachable,
)
from node.keys import RegistrarKeys
from node.objector import Objector
from node.status import to_wire
from node.subject_copy import Copyist
from node.verify import verify
from node.wire.v1 import directory_pb2
from protocols import noise
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.note import LogProof
from tests.counter import Counter
from tests.german import KIND, expected
from tests.simulator import STATISTICS, World
from tests.statistics_town import Town, people, told

SUBJECTS = 12
SOURCE = "number_of_existing_credits_at_this_bank"  # as the table calls it
COLUMN = "many_credits"
NOW = clock.now_ms()
STANDS, ENDS = True, False


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    """Run a town; each test takes subjects of its own."""
    with World(tmp_path_factory.mktemp("rights")) as world:
        made = Counter(world, SUBJECTS)
        made.consent(*made.ids)
        yield made


def ask(town: Counter, subject: str, mark: str = "") -> str:
    """Ask about a subject; return the outcome, or why there is none."""
    with town.bank() as bank:
        try:
            consent = town.cid(subject, mark)
            return bank.score("german-card", subject, consent=consent).kind.value
        except Denied as refusal:
            return str(refusal.reason)


# -- erasure


def test_an_erased_subject_is_refused_at_once_and_left_out_of_the_next_push(
    town: Counter,
) -> None:
    """Its slot is nobody's from then on; a later registration is a new subject."""
    subject = town.ids[0]
    assert ask(town, subject) != "NO_CONSENT"
    before = {node: town.name(node, subject) for node in ("house", "authority")}
    number = town.number(subject)
    name = town.erase(subject)
    assert ask(town, subject) == "NO_CONSENT"
    with town.house.ledger.reader() as db:
        grant = find(db, town.cid(subject))
        assert grant is not None
        assert grant.status == "withdrawn"
        assert directory.unreplaced(db, KIND) == {number: name}
    living = town.ids[1:]
    with pytest.raises(RowsRefused, match="the subject has been erased"):
        town.push_table("credit-bureau", town.ids)
    assert town.push_table("credit-bureau", living) == 2
    with pytest.raises(RowsRefused, match="the subject has been erased"):
        town.map(town.ids)
    town.map(living)
    assert town.rows[number].subject_ref not in town.refs.values()
    with town.house.ledger.reader() as db:
        assert directory.unreplaced(db, KIND) == {}
    for dataset in town.datasets:
        town.push_table(dataset, living)
    assert ask(town, town.ids[1]) not in ("NO_CONSENT", "INTERNAL")
    town.map(town.ids)  # it comes back
    for dataset in town.datasets:
        town.push_table(dataset, town.ids)
    town.consent(subject, mark="-new")
    assert ask(town, subject, "-new") not in ("NO_CONSENT", "INTERNAL")
    assert len(town.rows) == SUBJECTS + 1
    for node, old in before.items():
        assert town.name(node, subject) != old
        told = {access.consent for access in town.told(node, subject)} - {""}
        assert told == {town.cid(subject, "-new")}


def test_a_second_erasure_changes_nothing(town: Counter) -> None:
    """Neither node keeps anything: nothing is journalled but that it was asked."""
    subject = town.ids[2]
    assert town.erase(subject)
    sizes = {node: len(town.entries(node)) for node in ("house", "authority")}
    assert town.erase(subject) == ""
    for node, size in sizes.items():
        (new,) = town.entries(node)[size:]
        assert (new.kind, new.body["what"]) == (Kind.LOG_READ, "known")


def test_an_erasure_names_pseudonym_and_registrar_and_everything_verifies(
    town: Counter, tmp_path: Path
) -> None:
    """Leaves and roots stand; every decision before and after is replayed."""
    subject = town.ids[3]
    assert ask(town, subject) != "NO_CONSENT"
    was = {node: town.name(node, subject) for node in ("house", "authority")}
    roots = {
        node: (
            getattr(town, node).ledger.head.size,
            getattr(town, node).ledger.head.root,
        )
        for node in was
    }
    erasure = town.erase(subject)
    assert ask(town, subject) == "NO_CONSENT"
    for node, name in was.items():
        entry = town.entries(node, Kind.CONSENT_ERASED)[-1]
        body = bodies.Objection.parse(entry.body)
        assert (entry.actor, body.subject) == ("registrar", name)
        said = Objection.parse(body.signed.payload)
        assert (said.objection_id, said.demand) == (erasure, Demand.ERASURE)
        size, root = roots[node]
        assert getattr(town, node).ledger.root(size) == root
    with town.world.auditor() as auditor:
        auditor.export(tmp_path / "export")
    with town.world.registrar() as registrar:
        openings = [*registrar.openings()]
    with town.bank() as bank:
        bank.flush()
    report = verify(tmp_path / "export", town.world.domain, openings=None)
    assert report.findings == ()
    assert all(opening.subject_ref != town.refs[subject] for opening in openings)


def test_other_consents_of_a_batch_live_on(town: Counter) -> None:
    """A batch with somebody erased can be sent again, and its events come through."""
    gone, stays = town.ids[4:6]
    town.consent(gone, stays, mark="-batch")
    assert town.erase(gone)
    with town.world.registrar() as registrar:
        with pytest.raises(DocumentInvalid):
            registrar.withdraw(town.cid(gone, "-batch"), "", clock.now_ms())
        registrar.withdraw(town.cid(stays, "-batch"), "", clock.now_ms())
    assert ask(town, stays, "-batch") == "WITHDRAWN"


def test_an_event_after_anothers_erasure_locks_nobody(town: Counter) -> None:
    """A registrar that does not know of the erasure forgets what both nodes refuse."""
    gone, stays = town.ids[4:6]
    town.consent(gone, stays, mark="-other")
    with town.objector() as objector, town.world.registrar() as registrar:
        objector._store = ConsentStore(town.files / "another-registrar")
        assert objector.erase(KIND, gone, NOW) is not None
        for _ in range(2):
            with pytest.raises(Refused, match="cannot withdraw"):
                registrar.withdraw(town.cid(gone, "-other"), "", clock.now_ms())
        registrar.withdraw(town.cid(stays, "-other"), "", clock.now_ms())
    assert ask(town, stays, "-other") == "WITHDRAWN"


def test_an_erasure_that_fails_at_one_node_is_completed_under_its_id(
    town: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command again: one erasure at each node, and the salts are gone then."""
    subject = town.ids[6]
    with town.objector() as objector:
        put = type(objector)._put

        def away(self: object, role: Role, held: object) -> int:
            if role.value == "authority":
                raise Unreachable("no answer")
            return put(self, role, held)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(type(objector), "_put", away)
            with pytest.raises(Unreachable):
                objector.erase(KIND, subject, NOW)
        assert len(objector._store.demands(town.refs[subject])) == 1
        told = objector.erase(KIND, subject, NOW)
        assert told is not None
        assert objector._store.demands(town.refs[subject]) == []
    said = [
        bodies.Objection.parse(town.entries(node, Kind.CONSENT_ERASED)[-1].body).signed
        for node in ("house", "authority")
    ]
    assert said[0] == said[1]
    assert Objection.parse(said[0].payload) == told.objection


def test_what_came_in_between_two_halves_of_an_erasure_is_erased(
    town: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node that had the erasure already has a new name and a new consent."""
    subject = town.ids[3]
    town.consent(subject, mark="-first")
    with town.objector() as objector:
        put = objector._put

        def away(role: Role, held: object) -> int:
            if role.value == "authority":
                raise Unreachable("no answer")
            return put(role, held)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(objector, "_put", away)
            with pytest.raises(Unreachable):
                objector.erase(KIND, subject, NOW)
        town.consent(subject, mark="-between")
        assert objector.erase(KIND, subject, NOW) is not None
        assert not objector._known(town.refs[subject])


def test_an_erasure_under_another_type_is_nowhere(town: Counter) -> None:
    """The house refuses it, before the authority hears of it; the map goes on."""
    subject = town.ids[7]
    other = next(kind for kind in SubjectType if kind is not KIND)
    before = len(town.entries("authority"))
    with town.objector() as objector:
        said = replace(objector._said("e-9", other, NOW), demand=Demand.ERASURE)
        with pytest.raises(Refused, match=f"in the map of `{KIND}`"):
            objector._tell(said, town.refs[subject])
    assert len(town.entries("authority")) == before
    assert subject in known(town)
    assert ask(town, subject) == expected()[subject]["answer"]


def test_an_erasure_is_one_transaction(town: Counter) -> None:
    """What breaks in the middle of it leaves the subject as it was."""
    subject = town.ids[7]
    name = town.name("house", subject)
    key = town.world.composed.keys["house"].pseudonym
    whose = handle(key, town.refs[subject])
    said = Objection(
        "e-broken", bytes(32), KIND, STANDS, "registrar", NOW, Demand.ERASURE
    )
    signed = town.sign("registrar", Tag.OBJECTION, said.to_bytes())

    def broken(*_: object) -> None:
        raise DocumentConflict("broken")

    with pytest.raises(DocumentConflict):
        town.house.ledger.commit(
            lambda tx: objections.record(
                tx, signed, whose, lambda *_: None, (directory.vacate, broken)
            )
        )
    with town.house.ledger.reader() as db:
        assert names.find(db, [whose]) == [name]
        assert directory.place(db, KIND, name) == town.number(subject)


def test_a_map_that_keeps_an_erased_subject_is_refused(town: Counter) -> None:
    """A custodian in charge that does not leave it out cannot put its next map."""
    subject = town.ids[8]
    with town.world.custodian("credit-bureau") as custodian:
        maps = custodian._pushes.maps
        maps.fetch(KIND)
        town.erase(subject)
        fetched = replace(maps.fetch(KIND), vacated=frozenset())
        maps._newest = lambda _kind: fetched  # type: ignore[method-assign]
        path = town.write(
            "more.csv", [{"subject_id": n} for n in ("gc-0099", "gc-0098")]
        )
        custodian._pushes.maps.erased = lambda _kind: frozenset()  # type: ignore[method-assign]
        with pytest.raises(Refused, match="names a subject that was erased"):
            custodian.put_register(KIND, path, "subject_id", clock.now_ms())


def test_rows_vacated_without_an_erasure_are_not_believed(town: Counter) -> None:
    """A house cannot have a slot emptied that no registrar asked for."""
    said = Objection("o-7", bytes(32), KIND, STANDS, "registrar", NOW)
    with town.world.custodian("credit-bureau") as custodian:
        maps = custodian._pushes.maps
        for signer, objection, why in (
            ("registrar", said, "without an erasure"),
            ("jnrcb", replace(said, demand=Demand.ERASURE), "row 3 was vacated"),
        ):
            signed = town.sign(signer, Tag.OBJECTION, objection.to_bytes())
            first = directory_pb2.GetMapResponse(
                vacated=[directory_pb2.Vacated(row=3, erasure=to_wire(signed))]
            )
            with pytest.raises(ReplyRefused, match=why):
                maps._vacated(KIND, first)


def test_who_is_erased_is_in_no_statistic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the erasure on, though the pushed data have the row for some time yet."""
    monkeypatch.setattr(noise.Scale, "draw", lambda *_: 0)
    with World(tmp_path / "world", bases=STATISTICS) as world:
        town = Town(world, tmp_path / "files", people(60))
        victim = town.rows[5]
        where = {"town": [victim.town]}
        held = world.keys("registrar", RegistrarKeys)
        with (
            Objector(world.config("registrar"), held, world.domain) as objector,
            town.client() as bank,
        ):
            assert objector.erase(KIND, victim.name, NOW) is not None
            statistic = bank.ask("tax-by-town", where)
        assert told(statistic) == town.exact(where, without=[victim.name])
        with world.auditor() as auditor:
            auditor.export(tmp_path / "export")
        assert verify(tmp_path / "export", world.domain).findings == ()


# -- repair


def test_a_repair_reaches_the_custodian_and_its_next_push(
    town: Counter, tmp_path: Path
) -> None:
    """Request, answer and version are in the history, and all of it is replayed."""
    subject = town.ids[9]
    dataset = town.datasets["credit-bureau"]
    living = known(town)
    with town.objector() as objector:
        asked = objector.repair(KIND, subject, dataset.name, NOW, "r-1", column=COLUMN)
        again = objector.repair(
            KIND, subject, dataset.name, NOW + 1, "r-1", column=COLUMN
        )
    assert asked == again
    path = town.table(dataset.name, living)
    with town.world.custodian(dataset.custodian) as custodian:
        (found,) = custodian.repairs.find(dataset, path, "subject_id")
        assert (found.objection.objection_id, found.objection.column) == ("r-1", COLUMN)
        assert found.subject_id == subject
        assert found.table_row == living.index(subject) + 2
        with pytest.raises(Refused, match="was pushed since repair"):
            custodian.repairs.answer(dataset, "r-1", Verdict.CORRECTED, NOW)
    version = town.push_table(dataset.name, living, subject, **{SOURCE: "4"})
    assert (expected()[subject]["answer"], ask(town, subject)) == ("scored", "vetoed")
    with town.world.custodian(dataset.custodian) as custodian:
        done = custodian.repairs.answer(dataset, "r-1", Verdict.CORRECTED, NOW)
        assert custodian.repairs.answer(dataset, "r-1", Verdict.CORRECTED, NOW) == done
        assert done.answer.version == version
        assert custodian.repairs.standing(dataset) == []
        with pytest.raises(Refused, match="is over"):
            custodian.repairs.answer(dataset, "r-1", Verdict.UNFOUNDED, NOW)
    told = [a for a in town.told("house", subject) if a.kind == "repair"]
    assert [(a.party, a.decision, a.reason) for a in told] == [
        ("registrar", "asked", f"r-1: credit-bureau.{COLUMN}"),
        ("credit-bureau", "corrected", f"r-1: credit-bureau version {version}"),
    ]
    with town.world.auditor() as auditor:
        auditor.export(tmp_path / "export")
    assert verify(tmp_path / "export", town.world.domain).findings == ()


def known(town: Counter) -> list[str]:
    """List the subjects that have a slot now, in the order of the tables."""
    with town.world.custodian("credit-bureau") as custodian:
        numbers = custodian.fetch_map(KIND)
    return [name for name in town.ids if town.refs[name] in numbers]


def test_whose_repair_it_is(town: Counter) -> None:
    """Custodians see and answer those of their own datasets; ids are one subject's."""
    subject, other = town.ids[10:12]
    ours, theirs = town.datasets["credit-bureau"], town.datasets["housing-loans"]
    with town.objector() as objector:
        objector.repair(KIND, subject, ours.name, NOW, "r-2")
        with pytest.raises(DocumentInvalid, match="in use for another one"):
            objector.repair(KIND, other, ours.name, NOW, "r-2")
        with pytest.raises(NotFound, match="is not registered"):
            objector.repair(KIND, subject, "nowhere", NOW, "r-3")
        with pytest.raises(NotFound, match="has no column"):
            objector.repair(KIND, subject, ours.name, NOW, "r-3", column="nothing")
    with town.world.custodian(theirs.custodian) as custodian:
        for act in (
            lambda: custodian.repairs.standing(ours),
            lambda: custodian.repairs.answer(ours, "r-2", Verdict.UNFOUNDED, NOW),
        ):
            with pytest.raises(NodeError, match="credit-bureau"):
                act()
    with town.objector() as objector:
        objector.repair(KIND, subject, ours.name, NOW, "r-2", ends=True)
    with town.world.custodian(ours.custodian) as custodian:
        assert custodian.repairs.standing(ours) == []


@pytest.mark.parametrize(
    ("changes", "since", "newest", "why"),
    [
        ({}, 1, 2, ""),
        ({"version": 1}, 1, 2, "not the newest"),
        ({}, 2, 2, "was pushed since"),
        ({"verdict": Verdict.UNFOUNDED}, 2, 2, ""),
        ({"dataset": "tax"}, 1, 2, "is about `credit`"),
    ],
)
def test_which_answers_a_repair_allows(
    changes: dict[str, object], since: int, newest: int, why: str
) -> None:
    """`corrected` speaks of a version that came after the request."""
    asked = Objection(
        "r-1", bytes(32), KIND, STANDS, "registrar", 0, Demand.REPAIR, "credit"
    )
    answer = Answer("r-1", "credit", Verdict.CORRECTED, 2, "bureau", 0)
    answer = replace(answer, **changes)  # type: ignore[arg-type]
    assert Answer.parse(answer.to_bytes()) == answer
    if not why:
        check_answer(asked, answer, since, newest)
        return
    with pytest.raises(DocumentInvalid, match=why):
        check_answer(asked, answer, since, newest)


@pytest.mark.parametrize(
    ("objection", "why"),
    [
        (Objection("e", bytes(32), KIND, ENDS, "r", 0, Demand.ERASURE), "take back"),
        (Objection("r", bytes(32), KIND, STANDS, "r", 0, Demand.REPAIR), "names a"),
        (
            Objection("e", bytes(32), KIND, STANDS, "r", 0, Demand.ERASURE, "tax"),
            "nothi",
        ),
    ],
)
def test_demands_that_make_no_sense(objection: Objection, why: str) -> None:
    """Are refused where they are read."""
    with pytest.raises(DocumentInvalid, match=why):
        Objection.parse(objection.to_bytes())


# -- the subject's own copy


def test_a_subject_takes_its_copy_away(town: Counter, tmp_path: Path) -> None:
    """History, consents, demands and proofs, as JSON and as tables; no one else's."""
    subject, other = town.ids[10], town.ids[11]
    world = town.world
    held = world.keys("registrar", RegistrarKeys)
    row = ConsentRow(
        row=0,
        consent_id="alone-1",
        subject_id=subject,
        grantees=("jnrcb",),
        purposes=("loan-precheck",),
        scope=("contract:german-card",),
        not_before_ms=NOW,
        not_after_ms=NOW + clock.DAY_MS,
        max_uses=None,
        frequency=None,
        separate=False,
        evidence_kind=Evidence.ONLINE,
        evidence_digest=b"",
        granted_at_ms=NOW,
    )
    with world.registrar() as registrar:
        registrar.grant(row, KIND, clock.now_ms())
    with town.objector() as objector:
        objector.object(KIND, subject, NOW, "o-copy")
    made = Copyist(world.config("registrar"), held, world.domain).copy(
        KIND, subject, NOW
    )
    made.write(tmp_path / "copy")
    document = json.loads((tmp_path / "copy/subject.json").read_bytes())
    assert document["subject_id"] == subject
    assert {item["consent"] for item in document["consents"]} == {
        "alone-1",
        town.cid(subject),
    }
    demands = [item["id"] for item in document["demands"] if item["stands"] == "true"]
    assert demands[0] == "o-copy"
    assert {line["kind"] for line in document["history"]} >= {"consent", "objection"}
    for item in (*document["consents"], *document["demands"]):
        salt = bytes.fromhex(item["salt"])
        assert commitment(town.refs[subject], salt).hex() == item["commitment"]
    assert len(document["receipts"]) == 2  # of the consent alone, at both nodes
    for text in document["receipts"]:
        proof = LogProof.parse(text)
        assert "alone-1" in proof.extra.decode()
    said = b"".join(path.read_bytes() for path in (tmp_path / "copy").iterdir())
    assert other.encode() not in said
    assert f'"{town.cid(other)}"'.encode() not in said
    with (tmp_path / "copy/consents.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2
    with pytest.raises(ConfigInvalid, match="is there already"):
        made.write(tmp_path / "copy")


def test_values_are_shown_by_the_custodian(town: Counter) -> None:
    """From its own table; a subject that is not in it is told so."""
    dataset, subject = town.datasets["credit-bureau"], town.ids[10]
    path = town.table("credit-bureau", town.ids, subject, **{SOURCE: "4"})
    cells = own_record.read(dataset, path, "subject_id", subject)
    (cell,) = [cell for cell in cells if cell.column == COLUMN]
    assert (cell.value, cell.refused) == ("4", "")
    assert [cell.column for cell in cells] == [item.name for item in dataset.columns]
    with pytest.raises(NotFound, match="in no row of"):
        own_record.read(dataset, path, "subject_id", "gc-0999")


# -- replay


@pytest.mark.parametrize("role", [Role.HOUSE, Role.AUTHORITY])
def test_replay_finds_a_permit_after_an_erasure(town: Counter, role: Role) -> None:
    """Whoever is erased is permitted nothing, and gets no consent by that name."""
    subject = town.ids[1]
    kind = Kind.CALL_INTENT if role is Role.HOUSE else Kind.CALL_PERMIT
    if ask(town, subject) == "NO_CONSENT":
        raise AssertionError("the town lost a subject")
    entries = town.entries(role.value)
    at = max(n for n, e in enumerate(entries) if e.kind is kind)
    name = bodies.Intent if role is Role.HOUSE else bodies.Permit
    whose = name.parse(entries[at].body).subject  # type: ignore[attr-defined]
    said = Objection("e-9", bytes(32), KIND, STANDS, "registrar", NOW, Demand.ERASURE)
    signed = town.sign("registrar", Tag.OBJECTION, said.to_bytes())
    erased = replace(
        entries[at],
        kind=Kind.CONSENT_ERASED,
        actor="registrar",
        call="",
        body=bodies.Objection(signed, whose).to_body(),
    )

    def marks(journal: list[object]) -> set[Mark]:
        replay = Replay(role)
        found = [replay.feed(n, e) for n, e in enumerate(journal)]  # type: ignore[arg-type]
        return {item.mark for each in found for item in each}

    assert marks([*entries]) == set()
    assert marks([*entries[:at], erased, *entries[at : at + 1]]) == {
        Mark.DECISION_DIFFERS
    }
    grants = [
        n
        for n, e in enumerate(entries)
        if e.kind is Kind.CONSENT_BATCH and whose in bodies.Batch.parse(e.body).subjects
    ]
    at = grants[0]
    erased = replace(erased, time_ms=entries[at].time_ms)
    assert marks([*entries[:at], erased, entries[at]]) == {Mark.STEP_REFUSED}
    plain = replace(said, objection_id="o-9", demand=Demand.STATISTICS)
    wrong = town.sign("registrar", Tag.OBJECTION, plain.to_bytes())
    for entry in (
        replace(erased, body=bodies.Objection(wrong, whose).to_body()),
        replace(erased, kind=Kind.CONSENT_OBJECTION),
    ):
        assert marks([*entries[:at], entry]) == {Mark.STEP_REFUSED}


def test_subjects_named_before_names_were_drawn_keep_theirs(tmp_path: Path) -> None:
    """An older journal's handles go on as names; an erasure breaks the way to them."""
    old = handle(bytes(32), bytes(32))
    db = apsw.Connection(str(tmp_path / "old.db"))
    db.execute("CREATE TABLE consent(id TEXT, subject BLOB)")
    db.execute("INSERT INTO consent VALUES('c-1', ?)", (old,))
    for _ in range(2):
        for statement in names.schema("consent"):
            db.execute(statement)
        assert names.find(db, [old]) == [old]
    names.forget(db, old)
    for statement in names.schema("consent"):
        db.execute(statement)
    assert names.find(db, [old]) == [None]
    (new,) = names.enter(db, [old])
    assert new != old
    assert names.of(db, bytes(32), [bytes(32)]) == [new]
    strangers = {*names.of(db, bytes(32), [b"s" * 32] * 2)}
    assert len(strangers) == 2


@pytest.mark.parametrize("role", [Role.HOUSE, Role.AUTHORITY])
def test_who_is_erased_at_one_node_only_is_told(town: Counter, role: Role) -> None:
    """Not while a registrar may still be telling the other; later it is."""
    town.erase(town.ids[11])
    journals = {r: town.entries(r.value) for r in (Role.HOUSE, Role.AUTHORITY)}
    last = journals[role][-1]
    (at,) = [
        n
        for n, e in enumerate(journals[role])
        if e == [e for e in journals[role] if e.kind is Kind.CONSENT_ERASED][-1]
    ]
    del journals[role][at]
    for later_ms, marks in (
        (0, []),
        (2 * SETTLED_MS, [Mark.ERASURES_DIFFER]),
    ):
        more = replace(
            last, kind=Kind.NODE_STOP, body={}, time_ms=last.time_ms + later_ms
        )
        both = {**journals, role: [*journals[role], more]}
        found, _ = cross_check(both[Role.HOUSE], both[Role.AUTHORITY])
        assert [item.mark for item in found] == marks
