"""A registrar: signed once, told to both nodes, and the same command again is safe."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from contracts import bodies
from contracts.consent import Consent, ConsentEvent, Event, Evidence, Status
from contracts.consent_batch import ConsentBatch
from contracts.consent_csv import CONSENT_COLUMNS, EVENT_COLUMNS, ConsentRow, EventRow
from contracts.errors import ConsentConflict, DocumentInvalid
from contracts.subject import SubjectType, canonical_id, commitment, subject_ref
from node import registrar as registrar_room
from node.clock import DAY_MS, now_ms
from node.consent_store import FILE, ConsentStore
from node.domain import Role
from node.errors import Refused, ReplyRefused, RowsRefused, TableInvalid, Unreachable
from node.initialise import DEFAULT_MEMBERS, Member
from node.keys import RegistrarKeys
from node.registrar import NODES, Registrar, _batches, _consents_in
from node.status import to_wire
from node.wire.v1 import consent_pb2
from protocols.entry import Entry, Kind
from protocols.note import LogProof
from protocols.sign import Signed
from tests.german import FOLDER
from tests.simulator import World

KIND = SubjectType.CN_RESIDENT_ID
SUBJECTS = ("11010519491231002X", "440524188001010014")
CONSENTS = FOLDER / "data/consents.csv"
EVENTS = FOLDER / "data/events.csv"
SECOND = Member("registrar-b", Role.REGISTRAR, "第二登记机构")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Run a fresh trust domain with two registrars."""
    with World(tmp_path / "world", (*DEFAULT_MEMBERS, SECOND)) as made:
        yield made


def row(**changes: str) -> dict[str, str]:
    """Make a good row of the table of consents."""
    return {
        "consent_id": "c-1",
        "subject_id": SUBJECTS[0],
        "grantees": "jnrcb;lsbank",
        "purposes": "loan-precheck",
        "scope": "contract:german-card",
        "not_before": "2026-01-01T00:00:00+08:00",
        "not_after": "2036-01-01T00:00:00+08:00",
        "max_uses": "3",
        "frequency": "10/30d",
        "separate": "false",
        "evidence_kind": "paper",
        "evidence_digest": "ab" * 32,
        "granted_at": "2026-01-01T00:00:00+08:00",
        **changes,
    }


def event(**changes: str) -> dict[str, str]:
    """Make a good row of the table of events."""
    return {
        "consent_id": "c-1",
        "event": "withdraw",
        "at": "2026-02-01T00:00:00+08:00",
        "reason": "subject asked",
        **changes,
    }


def table(path: Path, columns: Sequence[str], rows: Sequence[dict[str, str]]) -> Path:
    """Write a table."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def import_rows(
    registrar: Registrar,
    folder: Path,
    consents: Sequence[dict[str, str]],
    events: Sequence[dict[str, str]] = (),
    **options: bool,
) -> registrar_room.ImportReport:
    """Import two tables."""
    return registrar.import_consents(
        table(folder / "consents.csv", list(consents[0]), consents),
        table(folder / "events.csv", EVENT_COLUMNS, events),
        KIND,
        now_ms(),
        **options,
    )


def entries(world: World, role: Role, *kinds: Kind) -> list[Entry]:
    """List a node's journal entries of these kinds."""
    ledger = (world.house if role is Role.HOUSE else world.authority).ledger
    parsed = map(Entry.parse, ledger.entries(0, ledger.head.size))
    return [entry for entry in parsed if entry.kind in kinds]


BODIES = {
    Kind.CONSENT_GRANT: bodies.Grant,
    Kind.CONSENT_BATCH: bodies.Batch,
    Kind.CONSENT_EVENT: bodies.Event,
}


def signed_in(world: World, role: Role) -> list[Signed]:
    """List the registrars' documents in a node's journal."""
    found = []
    for entry in entries(world, role, *BODIES):
        body = BODIES[entry.kind].parse(entry.body)
        assert isinstance(body, bodies.Grant | bodies.Batch | bodies.Event)
        found.append(body.signed)
    return found


def granted_in(world: World, role: Role) -> list[Consent]:
    """List the consents in a node's journal, in its order."""
    found: list[Consent] = []
    for entry in entries(world, role, *BODIES):
        match entry.kind:
            case Kind.CONSENT_BATCH:
                payload = bodies.Batch.parse(entry.body).signed.payload
                found += ConsentBatch.parse(payload).consents()
            case Kind.CONSENT_GRANT:
                payload = bodies.Grant.parse(entry.body).signed.payload
                found.append(Consent.parse(payload))
            case _:
                pass
    return found


# -- tables -----------------------------------------------------------------------


def test_both_nodes_have_the_same_documents_in_the_same_order(world: World) -> None:
    """The example's 1,000 consents and 30 events, each in both journals."""
    seen: list[tuple[int, int]] = []
    with world.registrar() as registrar:
        report = registrar.import_consents(
            CONSENTS,
            EVENTS,
            SubjectType.OPAQUE,
            now_ms(),
            lambda done, total: seen.append((done, total)),
        )
        standing = registrar.list()
    assert (report.consents, report.events, report.new, report.known) == (
        1000,
        30,
        1030,
        0,
    )
    assert report.recorded == {"authority": 1030, "house": 1030}
    assert signed_in(world, Role.HOUSE) == signed_in(world, Role.AUTHORITY)
    assert len(granted_in(world, Role.HOUSE)) == 1000
    assert len(entries(world, Role.HOUSE, Kind.CONSENT_EVENT)) == 30
    assert len(signed_in(world, Role.HOUSE)) < 30 + 1000 // 10
    assert seen[-1] == (2060, 2060)
    assert sorted(seen) == seen
    with EVENTS.open() as file:
        withdrawn = {r["consent_id"] for r in csv.DictReader(file)}
    assert {s.consent.consent_id for s in standing if s.house != "active"} == withdrawn
    assert all(s.house == s.authority for s in standing)


def test_importing_twice_changes_nothing(world: World, tmp_path: Path) -> None:
    """The signed documents are taken again, salt and all (16)."""
    rows, events = [row(), row(consent_id="c-2")], [event()]
    with world.registrar() as registrar:
        import_rows(registrar, tmp_path, rows, events)
        before = signed_in(world, Role.HOUSE), registrar.openings()
    with world.registrar() as registrar:
        report = import_rows(registrar, tmp_path, rows, events)
        assert (report.new, report.known) == (0, 3)
        assert report.recorded == {"authority": 0, "house": 0}
        openings = registrar.openings()
    assert signed_in(world, Role.HOUSE) == before[0]
    assert [o.commitment() for o in openings] == [o.commitment() for o in before[1]]


BAD = {
    "a wrong check digit": (row(subject_id=SUBJECTS[0][:-1] + "1"), "subject_id"),
    "a subject of another type": (row(subject_id="gc-0001"), "subject_id"),
    "granted tomorrow": (row(granted_at="2035-06-01T00:00:00+08:00"), "granted_at"),
    "no zone": (row(not_before="2026-01-01T00:00:00"), "not_before"),
    "over before it begins": (row(not_after="2020-01-01T00:00:00Z"), "not_after"),
    "no grantee": (row(grantees=""), "grantees"),
    "no number": (row(max_uses="often"), "max_uses"),
    "a paper without digest": (row(evidence_digest=""), "evidence_digest"),
    "of the same organisation": (row(grantees="registrar"), "grantees"),
    "an id too long": (row(consent_id="c" * 129), "consent_id"),
}


@pytest.mark.parametrize("crime", BAD)
def test_a_bad_row_refuses_the_table(world: World, tmp_path: Path, crime: str) -> None:
    """By row and column, without the subject's id; nothing is kept or sent."""
    bad, column = BAD[crime]
    good = [row(consent_id=f"ok-{number}") for number in range(3)]
    with world.registrar() as registrar:
        with pytest.raises(RowsRefused) as caught:
            import_rows(registrar, tmp_path, [*good, bad])
        assert caught.value.problems[0].startswith(f"row 5, column `{column}`: ")
        assert str(caught.value).startswith("1 of 4 rows cannot be taken: row 5")
        assert "--skip-bad-rows" in caught.value.hint
        assert bad["subject_id"] not in str(caught.value)
        assert registrar.openings() == []
        assert signed_in(world, Role.HOUSE) == []
        report = import_rows(registrar, tmp_path, [*good, bad], skip_bad_rows=True)
        assert (report.consents, [p.row for p in report.problems]) == (3, [5])
    assert len(granted_in(world, Role.AUTHORITY)) == 3


@pytest.mark.parametrize(
    "count", [1_200, pytest.param(120_000, marks=pytest.mark.slow)]
)
def test_all_but_the_bad_rows_go_in(world: World, tmp_path: Path, count: int) -> None:
    """37 rows are bad: none is imported, or all others, as chosen (16)."""
    rows = [row(consent_id=f"c-{number}") for number in range(count)]
    for number in range(0, 37 * 30, 30):
        rows[number]["purposes"] = ""
    with world.registrar() as registrar:
        with pytest.raises(RowsRefused, match=f"37 of {count} rows"):
            import_rows(registrar, tmp_path, rows)
        assert signed_in(world, Role.HOUSE) == []
        report = import_rows(registrar, tmp_path, rows, skip_bad_rows=True)
    assert report.recorded == {"authority": count - 37, "house": count - 37}
    assert [p.row for p in report.problems] == [2 + 30 * n for n in range(37)]


def test_an_id_is_used_once(world: World, tmp_path: Path) -> None:
    """Twice in a table, or again for another subject or period."""
    with world.registrar() as registrar:
        with pytest.raises(RowsRefused, match="row 3, column `consent_id`"):
            import_rows(registrar, tmp_path, [row(), row()])
        import_rows(registrar, tmp_path, [row()])
        for change in (
            {"subject_id": SUBJECTS[1]},
            {"max_uses": "4"},
            {"not_after": "2036-01-01T00:00:01+08:00"},
        ):
            with pytest.raises(RowsRefused, match="`c-1` is in use for another"):
                import_rows(registrar, tmp_path, [row(**change)])


def test_one_subject_in_two_spellings_is_one(world: World, tmp_path: Path) -> None:
    """Full width, spaces and a small x are typing, not another consent (48)."""
    with world.registrar() as registrar:
        import_rows(registrar, tmp_path, [row()])
        typed = " １１０１０５ 19491231 002x"
        report = import_rows(registrar, tmp_path, [row(subject_id=typed)])
    assert (report.new, report.known) == (0, 1)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([event(consent_id="c-9")], "row 2, column `consent_id`: there is no consent"),
        ([event(event="resume")], "row 2, column `event`: cannot resume"),
        (
            [event(), event(event="suspend", at="2026-03-01T00:00:00Z")],
            "row 3, column `event`: cannot suspend a consent that is withdrawn",
        ),
        ([event(at="2035-01-01T00:00:00Z")], "row 2, column `at`: expected a time th"),
        ([event(event="forget")], "row 2, column `event`: expected one of"),
        ([event(), event()], "row 3, column `consent_id`: the same event is already"),
    ],
)
def test_an_event_that_cannot_be_refuses_the_table(
    world: World, tmp_path: Path, events: list[dict[str, str]], message: str
) -> None:
    """Before the consents beside it are sent."""
    with world.registrar() as registrar:
        with pytest.raises(RowsRefused) as caught:
            import_rows(registrar, tmp_path, [row()], events)
        assert caught.value.problems[0].startswith(message)
    assert signed_in(world, Role.HOUSE) == []


def test_events_follow_those_that_are_kept(world: World, tmp_path: Path) -> None:
    """A table that grew: the old rows are known, the new one is checked behind."""
    suspended = event(event="suspend")
    resumed = event(event="resume", at="2026-03-01T00:00:00Z")
    with world.registrar() as registrar:
        import_rows(registrar, tmp_path, [row()], [suspended])
        report = import_rows(registrar, tmp_path, [row()], [suspended, resumed])
        assert (report.new, report.known) == (1, 2)
        assert [s.house for s in registrar.list()] == ["active"]


def test_a_dry_run_signs_and_sends_nothing(world: World, tmp_path: Path) -> None:
    """It reports what the import would do, nodes down or not."""
    world.stop(Role.HOUSE)
    world.stop(Role.AUTHORITY)
    with world.registrar() as registrar:
        report = import_rows(registrar, tmp_path, [row()], [event()], dry_run=True)
        assert (report.new, report.recorded) == (2, {})
        assert registrar.openings() == []


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (CONSENT_COLUMNS[:-1], "missing column `granted_at`"),
        ((*CONSENT_COLUMNS, "name"), "unknown column `name`"),
    ],
)
def test_a_table_with_another_header_is_refused(
    world: World, tmp_path: Path, columns: tuple[str, ...], message: str
) -> None:
    """A column nobody reads might be a condition somebody meant."""
    path = table(tmp_path / "c.csv", columns, [])
    with world.registrar() as registrar, pytest.raises(TableInvalid, match=message):
        registrar.import_consents(path, None, KIND, now_ms())


def test_an_import_that_was_killed_is_completed(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some messages to one node: the same tables again, no duplicates (16)."""
    rows = [row(consent_id=f"c-{number}") for number in range(1200)]
    tell, told = Registrar._tell, list[int]()

    def dying(self: Registrar, role: Role, items: Sequence[Any], lock: Any) -> int:  # noqa: ANN401
        if len(told) == 2:
            raise KeyboardInterrupt
        told.append(_consents_in(items))
        return tell(self, role, items, lock)

    with world.registrar() as registrar, monkeypatch.context() as patch:
        patch.setattr(Registrar, "_tell", dying)
        patch.setattr(registrar_room, "MOST_BYTES", 60_000)  # a batch a message
        with pytest.raises(KeyboardInterrupt):
            import_rows(registrar, tmp_path, rows)
    assert told == [200, 200]
    with world.registrar() as registrar:
        assert len(registrar.openings()) == 1200
        report = import_rows(registrar, tmp_path, rows)
    assert sum(report.recorded.values()) == 2 * 1200 - sum(told)
    assert signed_in(world, Role.HOUSE) == signed_in(world, Role.AUTHORITY)
    assert len(granted_in(world, Role.HOUSE)) == 1200


# -- one at a time ------------------------------------------------------------------


def asked(now: int, **changes: Any) -> ConsentRow:  # noqa: ANN401  any field
    """Make what a counter would ask for."""
    wanted = ConsentRow(
        row=0,
        consent_id="c-1",
        subject_id=SUBJECTS[0],
        grantees=("jnrcb",),
        purposes=("loan-precheck",),
        scope=("contract:german-card",),
        not_before_ms=now,
        not_after_ms=now + DAY_MS,
        max_uses=None,
        frequency=None,
        separate=False,
        evidence_kind=Evidence.ONLINE,
        evidence_digest=b"",
        granted_at_ms=now,
    )
    return replace(wanted, **changes)


def states(registrar: Registrar) -> list[tuple[str, str, str]]:
    """List (id, at the house, at the authority)."""
    return [(s.consent.consent_id, s.house, s.authority) for s in registrar.list()]


def test_a_consent_lives_at_both_nodes(world: World) -> None:
    """Grant, suspend, resume, withdraw; a command repeated is no second event."""
    now = now_ms()
    with world.registrar() as registrar:
        once = {"authority": 1, "house": 1}
        assert registrar.grant(asked(now), KIND, now) == once
        assert registrar.grant(asked(now), KIND, now) == {"authority": 0, "house": 0}
        for act, status in (
            (registrar.suspend, "suspended"),
            (registrar.resume, "active"),
            (registrar.suspend, "suspended"),
            (registrar.withdraw, "withdrawn"),
        ):
            assert act("c-1", "subject asked", now_ms()) == once
            repeated = act("c-1", "subject asked", now_ms() + 1)
            assert repeated == {"authority": 0, "house": 0}
            assert states(registrar) == [("c-1", status, status)]
        with pytest.raises(DocumentInvalid, match="cannot resume a consent that is wi"):
            registrar.resume("c-1", "", now_ms())
    assert len(entries(world, Role.HOUSE, Kind.CONSENT_EVENT)) == 4


def test_an_invalid_id_is_refused_without_repeating_it(world: World) -> None:
    """The message names the field."""
    now = now_ms()
    with world.registrar() as registrar, pytest.raises(DocumentInvalid) as caught:
        registrar.grant(asked(now, subject_id="110105194912310021"), KIND, now)
    assert str(caught.value) == "`subject_id`: the check digit is wrong"


def test_what_was_not_signed_here_cannot_be_withdrawn_here(world: World) -> None:
    """Another registrar's consent is its own to end."""
    now = now_ms()
    with world.registrar() as one, world.registrar("registrar-b") as other:
        one.grant(asked(now), KIND, now)
        with pytest.raises(ConsentConflict, match="no consent `c-1` was signed here"):
            other.withdraw("c-1", "", now)
        assert (len(one.list()), len(other.list())) == (1, 0)
        with pytest.raises(Refused, match="`c-1` is in use for another consent"):
            other.grant(asked(now), KIND, now)


# -- a node that does not answer ------------------------------------------------------


@pytest.mark.parametrize(
    ("down", "up"), [(Role.HOUSE, Role.AUTHORITY), (Role.AUTHORITY, Role.HOUSE)]
)
def test_a_withdrawal_reaches_the_node_that_answers(
    world: World, down: Role, up: Role
) -> None:
    """The error says who knows; the same command again tells the other."""
    now = now_ms()
    with world.registrar() as registrar:
        registrar.grant(asked(now), KIND, now)
        world.stop(down)
        with pytest.raises(Unreachable) as caught:
            registrar.withdraw("c-1", "subject asked", now)
        assert str(caught.value).startswith(f"the {down}: ")
        assert f"the {up} has recorded everything" in str(caught.value)
        assert "repeat the command" in caught.value.hint
    assert len(entries(world, up, Kind.CONSENT_EVENT)) == 1
    world.start(down)
    with world.registrar() as registrar:
        recorded = registrar.withdraw("c-1", "subject asked", now + 60_000)
        assert recorded == {down.value: 1, up.value: 0}
        assert states(registrar) == [("c-1", "withdrawn", "withdrawn")]
    assert signed_in(world, Role.HOUSE) == signed_in(world, Role.AUTHORITY)


def test_a_node_that_missed_an_event_gets_it_before_the_next(world: World) -> None:
    """Suspended while the house was away, then resumed: it hears both, in order."""
    now = now_ms()
    with world.registrar() as registrar:
        registrar.grant(asked(now), KIND, now)
        world.stop(Role.HOUSE)
        with pytest.raises(Unreachable):
            registrar.suspend("c-1", "", now)
    world.start(Role.HOUSE)
    with world.registrar() as registrar:
        recorded = registrar.resume("c-1", "", now + 1)
        assert recorded == {"authority": 1, "house": 2}
    assert signed_in(world, Role.HOUSE) == signed_in(world, Role.AUTHORITY)


def test_both_nodes_away_says_so(world: World, tmp_path: Path) -> None:
    """And what was signed is sent by the next import."""
    world.stop(Role.HOUSE)
    world.stop(Role.AUTHORITY)
    with world.registrar() as registrar:
        with pytest.raises(Unreachable) as caught:
            import_rows(registrar, tmp_path, [row()])
        assert "the authority: " in str(caught.value)
        assert "the house: " in str(caught.value)
    world.start(Role.AUTHORITY)
    world.start(Role.HOUSE)
    with world.registrar() as registrar:
        assert import_rows(registrar, tmp_path, [row()]).recorded == {
            "authority": 1,
            "house": 1,
        }


@pytest.mark.parametrize("batched", [True, False])
def test_a_consent_reaches_a_node_with_its_end(
    world: World, tmp_path: Path, *, batched: bool
) -> None:
    """Withdrawn, or superseded, while both nodes were away; then sent again.

    So is every consent of a batch that goes ahead of an event of another.
    """
    now = now_ms()
    rows = [row(consent_id=name) for name in ("c-1", "c-2", "c-3")]
    for role in NODES:
        world.stop(role)
    with world.registrar() as registrar:
        if batched:
            with pytest.raises(Unreachable):
                import_rows(registrar, tmp_path, rows)
        else:
            for name in ("c-1", "c-2", "c-3"):
                with pytest.raises(Unreachable):
                    registrar.grant(asked(now, consent_id=name), KIND, now)
        with pytest.raises(Unreachable):
            registrar.withdraw("c-1", "subject asked", now)
        anew = asked(now, consent_id="c-4", supersedes="c-2")
        with pytest.raises(Unreachable):
            registrar.grant(anew, KIND, now)
    for role in NODES:
        world.start(role)
    with world.registrar() as registrar:
        if batched:
            registrar.suspend("c-3", "", now)
        else:
            for name in ("c-1", "c-2", "c-3"):
                registrar.grant(asked(now, consent_id=name), KIND, now)
        stood = dict(state[:2] for state in states(registrar))
        assert (stood["c-1"], stood["c-2"], stood["c-4"]) == (
            "withdrawn",
            "superseded",
            "active",
        )
        if batched:
            assert import_rows(registrar, tmp_path, rows).recorded == {
                "authority": 0,
                "house": 0,
            }
    assert signed_in(world, Role.HOUSE) == signed_in(world, Role.AUTHORITY)


def test_a_table_that_is_renewed_sends_each_document_once(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty rows that supersede the rows of one batch: the batch goes once."""
    sent: list[bytes] = []
    tell = Registrar._tell

    def counted(self: Registrar, role: Role, items: Sequence[Any], lock: Any) -> int:  # noqa: ANN401
        if role is Role.HOUSE:
            sent.extend(item.SerializeToString() for item in items)
        return tell(self, role, items, lock)

    rows = [row(consent_id=f"c-{n}", supersedes="") for n in range(50)]
    anew = [row(consent_id=f"d-{n}", supersedes=f"c-{n}") for n in range(50)]
    with world.registrar() as registrar:
        import_rows(registrar, tmp_path, rows)
        monkeypatch.setattr(Registrar, "_tell", counted)
        assert import_rows(registrar, tmp_path, anew).recorded["house"] == 50
    assert len(sent) == len(set(sent)) == 51


# -- what is kept ---------------------------------------------------------------------


def test_openings_fit_the_journals(world: World, tmp_path: Path) -> None:
    """Each opens the commitment of a consent that both nodes journalled."""
    rows = [row(), row(consent_id="c-2", subject_id=SUBJECTS[1])]
    with world.registrar() as registrar:
        import_rows(registrar, tmp_path, rows)
        openings = registrar.openings()
    pepper = world.keys("registrar", RegistrarKeys).pepper
    refs = [subject_ref(pepper, KIND, canonical_id(KIND, name)) for name in SUBJECTS]
    assert [o.subject_ref for o in openings] == refs
    journalled = [consent.subject for consent in granted_in(world, Role.HOUSE)]
    assert [o.commitment() for o in openings] == journalled
    assert journalled == [commitment(o.subject_ref, o.salt) for o in openings]
    assert len({o.salt for o in openings}) == 2


def test_both_receipts_are_kept_and_prove_it(world: World, tmp_path: Path) -> None:
    """C2SP proofs, under each node's own pinned key."""
    with world.registrar() as registrar:
        import_rows(registrar, tmp_path, [row()], [event()])
        for role in (Role.HOUSE, Role.AUTHORITY):
            (text,) = registrar.receipts(role)
            proof = LogProof.parse(text)
            proof.verify(proof.extra, world.domain.verifiers(role))
            assert Entry.parse(proof.extra).kind is Kind.CONSENT_EVENT


def _replaying() -> Callable[..., Any]:
    """Ask, and hand out the first answer ever after."""
    ask, first = registrar_room.ask, list[object]()

    def replay(
        method: Callable[..., Any], request: object, deadline_s: float
    ) -> object:
        first.append(ask(method, request, deadline_s))
        return first[0]

    return replay


def test_the_receipt_of_another_node_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that shows what the other signed has proven nothing.

    Both are asked at once: the one that answers second shows the first one's.
    """
    now = now_ms()
    monkeypatch.setattr(registrar_room, "ask", _replaying())
    with (
        world.registrar() as registrar,
        pytest.raises(ReplyRefused, match="the receipt proves nothing: checkpoint of"),
    ):
        registrar.grant(asked(now), KIND, now)


def test_the_receipt_of_another_consent_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old entry is no proof of a new consent."""
    now = now_ms()
    monkeypatch.setattr(registrar_room, "NODES", (Role.AUTHORITY,))
    with world.registrar() as registrar:
        monkeypatch.setattr(registrar_room, "ask", _replaying())
        registrar.grant(asked(now), KIND, now)
        with pytest.raises(ReplyRefused, match="of another entry than was sent"):
            registrar.grant(asked(now, consent_id="c-2"), KIND, now)


def test_the_store_is_private_and_holds_no_id(world: World, tmp_path: Path) -> None:
    """Mode 0600; subjects by reference only, on every disk (59)."""
    with world.registrar() as registrar:
        import_rows(registrar, tmp_path, [row()])
    path = world.folder / "registrar" / "data" / FILE
    assert path.stat().st_mode & 0o077 == 0
    (opening,) = _openings(world)
    for file, data in world.disk().items():
        assert SUBJECTS[0].encode() not in data, file
        assert file.startswith("registrar/") or opening.subject_ref not in data, file


def _openings(world: World) -> Sequence[Any]:
    with world.registrar() as registrar:
        return registrar.openings()


def test_the_store_takes_all_or_none(tmp_path: Path) -> None:
    """An error in the middle of a table keeps nothing of it."""
    store = ConsentStore(tmp_path)
    occurred = ConsentEvent("c-1", _withdraw(), 5, "", "registrar")
    signed = Signed(occurred.to_bytes(), "k", b"s")

    def events() -> Iterator[Signed]:
        yield signed
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.add(events=events())
    assert store.events("c-1") == []
    store.add(events=[signed, signed])
    assert store.events("c-1") == [signed]
    assert store.status("c-1") is Status.WITHDRAWN
    store.close()


def _withdraw() -> Any:  # noqa: ANN401
    return ConsentEvent.parse(
        b'{"at_ms":5,"consent_id":"c","event":"withdraw","reason":"","registrar":"r",'
        b'"v":"safehouse/consent-event/1"}'
    ).event


def test_two_commands_at_a_desk_do_not_undo_each_other(world: World) -> None:
    """One prepares, another keeps what excludes it: then nothing of the first stays."""
    now = now_ms()
    with world.registrar() as one, world.registrar() as two:
        one.grant(asked(now), KIND, now)

        def late(wanted: ConsentRow, command: Callable[[], object]) -> None:
            scribe = two._scribe(now)
            batch = not wanted.supersedes
            (scribe.enter if batch else scribe.consent)(wanted, KIND)
            command()
            before = two.openings()
            with pytest.raises(ConsentConflict, match="meanwhile"):
                two._store.add(scribe.prepared.alone, [*scribe.sign_groups("")])
            assert two.openings() == before

        late(
            asked(now, consent_id="c-2"),
            lambda: one.grant(asked(now, consent_id="c-2"), KIND, now),
        )
        late(
            asked(now, consent_id="c-3", supersedes="c-1"),
            lambda: one.withdraw("c-1", "subject asked", now),
        )
        late(
            asked(now, consent_id="c-5", supersedes="c-2"),
            lambda: one.grant(
                asked(now, consent_id="c-4", supersedes="c-2"), KIND, now
            ),
        )
        scribe = two._scribe(now)
        scribe.event(EventRow(0, "c-4", Event.SUSPEND, now, ""))
        one.withdraw("c-4", "subject asked", now)
        with pytest.raises(ConsentConflict, match="cannot suspend"):
            two._store.add(events=scribe.prepared.new_events)


def test_a_store_of_version_2_is_read(tmp_path: Path) -> None:
    """It kept the ids of batches apart from those of consents that stand alone."""
    ConsentStore(tmp_path).close()
    db = apsw.Connection(str(tmp_path / FILE))
    db.execute("ALTER TABLE used RENAME TO batched")
    db.execute("INSERT INTO batched VALUES('b-1', 1, 0)")
    db.execute("INSERT INTO consent VALUES('c-1', x'', '', x'', x'', x'')")
    db.pragma("user_version", 2)
    db.close()
    for _ in range(2):
        store = ConsentStore(tmp_path)
        assert store.ids() == {"b-1", "c-1"}
        store.close()


def test_messages_stay_within_their_bounds() -> None:
    """At most 500 items and about a megabyte; nothing is lost between them."""

    def event(size: int) -> consent_pb2.ConsentItem:
        return consent_pb2.ConsentItem(event=to_wire(Signed(b"x" * size, "k", b"s")))

    small = [event(100)] * 1201
    assert [len(batch) for batch in _batches(small)] == [500, 500, 201]
    large = [event(16_000)] * 200
    sizes = [len(batch) for batch in _batches(large)]
    assert sum(sizes) == 200
    assert max(sizes) * 16_100 < 2 << 20
    assert list(_batches([])) == []
