"""Very many consents under one signature: each is a consent like any other."""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import bodies
from contracts.classes import Owned
from contracts.consent import Consent, Event, Evidence
from contracts.consent_batch import MAX_BATCH, MAX_SHAPE, MOST, ConsentBatch, cut
from contracts.consent_csv import _ALIKE, CONSENT_COLUMNS, DOCUMENT, consent_rows
from contracts.errors import ConsentConflict, DocumentInvalid
from contracts.rebuild import Consents, Pins
from contracts.replay import Mark
from contracts.replay import Role as Journal
from contracts.subject import SubjectType, commitment, subject_ref
from node.clock import now_ms
from node.domain import Role
from node.errors import Refused, Unreachable
from node.historian import Historian
from node.initialise import DEFAULT_MEMBERS
from node.journal_tables import JournalTables
from node.keys import RegistrarKeys
from node.registrar import NODES
from node.remote import ask, channel
from node.status import to_wire
from node.verify import verify
from node.wire.v1 import consent_pb2, consent_pb2_grpc
from protocols.canon import Json, Tag, dumps, loads
from protocols.entry import MAX_ENTRY, Entry, Kind
from protocols.errors import FormatError
from protocols.sign import Signed, sign
from tests import strategies
from tests.journals import Town
from tests.simulator import World
from tests.test_consent import CONSENT
from tests.test_registrar import (
    KIND,
    SECOND,
    SUBJECTS,
    asked,
    entries,
    event,
    granted_in,
    import_rows,
    row,
)
from tests.test_replay import replayed

OWN = ("c-1", bytes(range(32)), b"d" * 32, 1_000, 2_000, 900)
BATCH = ConsentBatch(CONSENT.shape, (OWN, ("c-2", *OWN[1:])))

# The bytes are a promise: what was signed must stay readable.
BATCH_BYTES = (
    b'{"alike":{"evidence_kind":"paper","frequency":"10/30d",'
    b'"grantees":["jnrcb","lnsb"],"max_uses":"3","purposes":["loan"],'
    b'"registrar":"registry","scope":["contract:grade","dataset:tax"],'
    b'"separate":true,"subject_type":"cn-uscc"},"consents":['
    + b",".join(
        b'"' + name + b",000102030405060708090a0b0c0d0e0f"
        b"101112131415161718191a1b1c1d1e1f," + b"64" * 32 + b',1000,2000,900"'
        for name in (b"c-1", b"c-2")
    )
    + b'],"v":"safehouse/consent-batch/1"}'
)


# -- the document


def test_the_bytes_of_a_batch() -> None:
    """One batch has one encoding, and holds the consents that were put into it."""
    assert BATCH.to_bytes() == BATCH_BYTES
    assert ConsentBatch.parse(BATCH_BYTES) == BATCH
    assert list(BATCH.consents()) == [CONSENT, replace(CONSENT, consent_id="c-2")]


@given(strategies.consents(), st.integers(1, 5))
def test_a_batch_survives_its_bytes(consent: Consent, count: int) -> None:
    """Every batch reads back as itself, every consent as itself."""
    consent = replace(consent, supersedes="")
    rows = tuple((f"{consent.consent_id}.{n}", *consent.own[1:]) for n in range(count))
    batch = ConsentBatch(consent.shape, rows)
    assert ConsentBatch.parse(batch.to_bytes()) == batch
    for one, (name, *_) in zip(batch.consents(), rows, strict=True):
        assert one == replace(consent, consent_id=name)
        assert Consent.parse(one.to_bytes()) == one


ROW = f"c-1,{'00' * 32},{'64' * 32},1000,2000,900"


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("v", "safehouse/consent-batch/2", "missing member `approver`"),
        ("v", "safehouse/consent-batch/3", "missing member `approver`"),
        ("v", "safehouse/consent-batch/4", "expected version"),
        ("consents", [], "SHA-256 of the signed form"),
        ("consents", [ROW] * 2, "there twice"),
        ("consents", [ROW.replace("c-1", f"c-{n}") for n in range(201)], "1 to 200"),
        ("consents", [ROW.replace("c-1", "")], "consent id"),
        ("consents", [ROW.replace("c-1", "c 1")], "consent id"),
        ("consents", [ROW.replace("c-1", "-")], "is nobody's"),
        ("consents", [ROW.replace("c-1", "c-1,")], "six members"),
        ("consents", [ROW + ",x"], "six members"),
        ("consents", [ROW.replace(",1000", ",01000")], "six members"),
        ("consents", [ROW.replace(",1000", ",+1000")], "six members"),
        ("consents", [ROW.replace(",1000", ",1_000")], "six members"),
        ("consents", [ROW.replace(",1000", ", 1000")], "six members"),
        ("consents", [ROW.replace(",1000", ",-1000")], "out of range"),
        ("consents", [ROW.replace(",2000", ",253402300800000")], "out of range"),
        ("consents", [ROW.replace("64" * 32, "6A" * 32)], "six members"),
        ("consents", [ROW.replace("64" * 32, "")], "SHA-256 of the signed form"),
        ("consents", [ROW, f"c-2{ROW[3:].replace('64' * 32, '')}"], "of no length"),
        ("consents", [ROW.replace("00" * 32, "00")], "of no length"),
        ("consents", [ROW.replace(",2000", ",1000")], "not after"),
        ("consents", [ROW.replace(",900", ",2000")], "granted at"),
        ("consents", [3], "expected strings"),
        ("more", 1, "unknown member"),
    ],
)
def test_a_batch_that_must_not_be(member: str, value: Json, message: str) -> None:
    """What no consent may be, a consent in a batch may not be either."""
    document = loads(BATCH_BYTES, "safehouse/consent-batch/1") | {member: value}
    with pytest.raises((FormatError, DocumentInvalid), match=message):
        ConsentBatch.parse(dumps(document))


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("grantees", ["registry"], "same organisation"),
        ("purposes", [], "purposes"),
        ("max_uses", "0", "max uses"),
        ("consent_id", "c-1", "alone"),
        ("granted_at_ms", 0, "alone"),
        ("v", "safehouse/consent/2", "alone"),
        ("supersedes", "c-0", "alone"),
    ],
)
def test_what_consents_cannot_share(member: str, value: Json, message: str) -> None:
    """The rules of one consent, and nothing that is a consent's own."""
    document = loads(BATCH_BYTES, "safehouse/consent-batch/1")
    alike = document["alike"]
    assert isinstance(alike, dict)
    document["alike"] = alike | {member: value}
    with pytest.raises((FormatError, DocumentInvalid), match=message):
        ConsentBatch.parse(dumps(document))


def test_the_largest_batch_fits_into_a_journal_entry() -> None:
    """With names of every length, and all that is shared as large as it may be."""
    shape = replace(CONSENT, scope=tuple(f"dataset:{n:0100}" for n in range(24))).shape
    assert MAX_SHAPE - 300 < len(shape.to_bytes()) <= MAX_SHAPE
    for length in (3, 20, 128):
        rows = [(f"{n:0{length}}", *OWN[1:3], *[10**14] * 3) for n in range(MOST + 1)]
        rows = [(*own[:4], own[4] + 1, own[5]) for own in rows]
        largest, *others = cut(rows)
        assert sum(map(len, (largest, *others))) == MOST + 1
        payload = ConsentBatch(shape, largest).to_bytes()
        assert MAX_BATCH * 3 // 4 < len(payload) <= MAX_BATCH
        body = bodies.Batch(Signed(payload, "k" * 16, b"s" * 64), (b"p" * 32,) * MOST)
        entry = Entry(Kind.CONSENT_BATCH, 1 << 44, "r" * 32, "", body.to_body())
        assert Entry.parse(entry.to_bytes()) == entry
        assert len(entry.to_bytes()) <= MAX_ENTRY
        assert bodies.Batch.parse(entry.body) == body


# -- rows that are alike


def test_rows_that_are_alike_are_read_as_alone() -> None:
    """The quick way of a table and the slow way of one row agree, bad cells too."""
    rows = [
        row(consent_id=f"c-{n}", **change)
        for n, change in enumerate(
            [
                {},
                {},
                {"not_before": "2026-01-02T00:00:00+08:00"},
                {"not_before": "yesterday"},
                {"not_after": "2020-01-01T00:00:00Z"},
                {"granted_at": "2037-01-01T00:00:00Z"},
                {"evidence_digest": ""},
                {"evidence_digest": "cd" * 32},
                {"evidence_digest": "cd"},
                {"subject_id": ""},
                {"more": "cells"},
                {"supersedes": "c-0"},
                {"supersedes": "c-12"},
                {"evidence_kind": "statutory"},
                {"evidence_kind": "statutory", "document": "鲁政发〔2024〕12号"},
                {"evidence_kind": "statutory", "document": "鲁政发〔2024〕12号"},
                {"document": "鲁政发〔2024〕12号"},
                {"purposes": "other"},
                {"evidence_kind": "online", "evidence_digest": ""},
                {"evidence_kind": "online"},
            ]
        )
    ]
    rows[5]["consent_id"] = "c 5"
    del rows[6]["granted_at"]
    together = consent_rows(rows, "registry")
    alone = [consent_rows([each], "registry") for each in rows]
    assert [replace(each, row=2) for each in together.rows] == [
        each for report in alone for each in report.rows
    ]
    assert [replace(each, row=2) for each in together.problems] == [
        each for report in alone for each in report.problems
    ]
    assert together.bad_rows == (5, 6, 7, 8, 10, 11, 12, 14, 15, 18)


# -- replay


def batched(town: Town, *subjects: str, approver: str = "") -> ConsentBatch:
    """Journal a batch at both nodes."""
    ids = "b"
    town.grant("model", subjects[0])
    model = town._consents.pop("model").consent
    for role in Journal:
        town.journals[role].pop()
    town.openings.pop()
    stated = []
    for number, subject in enumerate(subjects):
        town.grant(f"{ids}-{number}", subject)
        stated.append(town._consents[f"{ids}-{number}"].consent)
        for role in Journal:
            town.journals[role].pop()
    rows = tuple(consent.own for consent in stated)
    batch = ConsentBatch(model.shape, rows, approver)
    signed = town.sign(Tag.CONSENT_BATCH, batch.to_bytes(), "registry")
    for role in Journal:
        names = tuple(town.pseudonym(role, subject) for subject in subjects)
        town.append(role, Kind.CONSENT_BATCH, "registry", bodies.Batch(signed, names))
    return batch


def test_calls_under_a_batch_replay() -> None:
    """Permitted, withdrawn one by one, and superseded, as consents that stand alone."""
    town = Town()
    batched(town, "zhang", "wang", "li")
    assert town.call("bank-a", "zhang", "b-0").allow
    assert not town.call("bank-a", "zhang", "b-1").allow
    town.event("b-1", Event.WITHDRAW)
    assert not town.call("bank-a", "wang", "b-1").allow
    town.grant("c-9", "li", supersedes="b-2")
    assert not town.call("bank-a", "li", "b-2").allow
    for role in Journal:
        for keys in (None, town.keys):
            assert replayed(town, role, keys=keys, openings=town.openings) == []


def test_a_batch_that_comes_after_the_call() -> None:
    """Case 12: GRANTED_AFTER_CALL names the call."""
    town = Town()
    batched(town, "zhang")
    assert town.call("bank-a", "zhang", "b-0").allow
    for role in Journal:
        journal = town.journals[role]
        at = next(i for i, e in enumerate(journal) if e.kind is Kind.CONSENT_BATCH)
        late = journal.pop(at)
        journal.append(replace(late, time_ms=town.now_ms))
        found = {item.mark for item in replayed(town, role)}
        assert Mark.GRANTED_AFTER_CALL in found


def test_a_batch_is_its_registrars() -> None:
    """Another's signature, another organisation's interest, a name too few: found."""
    town = Town()
    batch = batched(town, "zhang", "wang")
    body = bodies.Batch.parse(town.house[-1].body)
    forged = town.sign(Tag.CONSENT_BATCH, batch.to_bytes(), "bank-a")
    crimes = (
        (replace(body, signed=forged), Mark.SIGNATURE_INVALID),
        (replace(body, subjects=body.subjects[:1]), Mark.STEP_REFUSED),
    )
    for crime, mark in crimes:
        town.house[-1] = replace(town.house[-1], body=crime.to_body())
        found = replayed(town, Journal.HOUSE, keys=town.keys)
        assert [item.mark for item in found] == [mark]
    consents = Consents(Pins())
    consents.classes(bodies.Classes(1, (), (Owned("registry", "bank-a"),)))
    with pytest.raises(DocumentInvalid, match="of the same organisation"):
        consents.batch(body)
    consents.classes(bodies.Classes(2, (), ()))
    consents.batch(body)
    with pytest.raises(ConsentConflict, match="`b-0` is there already"):
        consents.batch(body)


# -- at the nodes


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Run a trust domain with two registrars."""
    folder = tmp_path_factory.mktemp("batches")
    with World(folder, (*DEFAULT_MEMBERS, SECOND)) as made:
        yield made


def put(
    world: World, party: str, node: Role, *items: consent_pb2.ConsentItem
) -> consent_pb2.PutConsentsResponse:
    """Send items as a party."""
    tls = world.composed.keys[party].tls
    with channel(world._addresses[node], tls, world.domain, node) as link:
        stub = consent_pb2_grpc.ConsentServiceStub(link)
        message = consent_pb2.PutConsentsRequest(items=items)
        response: consent_pb2.PutConsentsResponse = ask(stub.PutConsents, message, 5)
        return response


def forged(world: World, signer: str, **changes: bytes) -> consent_pb2.ConsentItem:
    """Make a batch of one, signed by a party in the name of `registrar`."""
    keys = world.keys("registrar", RegistrarKeys)
    ref = subject_ref(keys.pepper, SubjectType.OPAQUE, "gc-1")  # type: ignore[arg-type]
    salt = secrets.token_bytes(32)
    now = now_ms()
    name = f"f-{secrets.token_hex(4)}"
    own = (name, commitment(ref, salt), b"", now, now + 1_000, now)
    shape = replace(
        CONSENT,
        evidence_kind=Evidence.ONLINE,
        evidence_digest=b"",
        registrar="registrar",
        grantees=("jnrcb",),
    ).shape
    payload = ConsentBatch(shape, (own,)).to_bytes()
    signed = sign(Tag.CONSENT_BATCH, payload, world.composed.keys[signer].sign)
    given = {"subject_refs": bytes(ref), "salts": salt} | changes
    return consent_pb2.ConsentItem(
        batch=consent_pb2.Batch(batch=to_wire(signed), **given)
    )


@pytest.mark.parametrize("node", [Role.HOUSE, Role.AUTHORITY])
@pytest.mark.parametrize(
    ("sender", "signer", "changes", "message"),
    [
        ("registrar", "jnrcb", {}, "unknown key|not valid"),
        ("registrar-b", "registrar-b", {}, "signed by `registrar`, sent by `registr"),
        ("registrar", "registrar", {"salts": b"s" * 32}, "opening is not its subject"),
        ("registrar", "registrar", {"subject_refs": b"r" * 32}, "is not its subject"),
        ("registrar", "registrar", {"salts": b""}, "32 bytes for each consent"),
        ("registrar", "registrar", {"subject_refs": b"r" * 64}, "32 bytes for each"),
    ],
)
def test_a_batch_that_a_node_refuses(
    world: World,
    node: Role,
    sender: str,
    signer: str,
    changes: dict[str, bytes],
    message: str,
) -> None:
    """Who signs, who sends, and whom it opens to: as for one consent."""
    before = len(entries(world, node, Kind.CONSENT_BATCH))
    with pytest.raises(Refused, match=message):
        put(world, sender, node, forged(world, signer, **changes))
    assert len(entries(world, node, Kind.CONSENT_BATCH)) == before


def test_an_id_is_used_once_alone_or_in_a_batch(world: World, tmp_path: Path) -> None:
    """Whichever came first; and then nothing beside it is recorded."""
    now = now_ms()
    with world.registrar() as one, world.registrar("registrar-b") as other:
        import_rows(one, tmp_path, [row(consent_id="i-1"), row(consent_id="i-2")])
        other.grant(asked(now, consent_id="i-3"), KIND, now)
        before = len(granted_in(world, Role.HOUSE))
        with pytest.raises(Refused, match="`i-2` is in use for another consent"):
            other.grant(asked(now, consent_id="i-2"), KIND, now)
        rows = [row(consent_id=name) for name in ("i-4", "i-3")]
        with pytest.raises(Refused, match="`i-3` is in use for another consent"):
            import_rows(one, tmp_path, rows)
        rows = [row(consent_id=name) for name in ("i-5", "i-1")]
        with pytest.raises(Refused, match="`i-1` is in use for another consent"):
            import_rows(other, tmp_path, rows)
        assert len(granted_in(world, Role.HOUSE)) == before


def test_what_both_nodes_refuse_locks_nothing(world: World, tmp_path: Path) -> None:
    """Neither the consents beside it nor the one that it was to take the place of.

    It is not forgotten while a node does not answer, for that one may have it; nor is
    a withdrawal ever.
    """
    now = now_ms()
    once = {"authority": 1, "house": 1}
    rows = [row(consent_id=name) for name in ("t-1", "t-2", "t-3")]
    anew = asked(now, consent_id="t-2", supersedes="t-0")
    with world.registrar() as one, world.registrar("registrar-b") as other:
        other.grant(asked(now, consent_id="t-2", subject_id=SUBJECTS[1]), KIND, now)
        one.grant(asked(now, consent_id="t-0"), KIND, now)
    world.stop(Role.HOUSE)
    with world.registrar() as one:
        with pytest.raises(Refused, match="the house: "):
            one.grant(anew, KIND, now)
        with pytest.raises(ConsentConflict, match="superseded"):
            one.withdraw("t-0", "subject asked", now)
    world.start(Role.HOUSE)
    with world.registrar() as one:
        with pytest.raises(Refused, match="`t-2` is in use for another consent"):
            one.grant(anew, KIND, now)
        assert one.withdraw("t-0", "subject asked", now) == once
        with pytest.raises(ConsentConflict, match="no consent `t-2` was signed here"):
            one.withdraw("t-2", "", now)
        before = len(one.openings())
        with pytest.raises(Refused, match="`t-2` is in use for another consent"):
            import_rows(one, tmp_path, rows)
        assert len(one.openings()) == before
    for role in NODES:
        world.stop(role)
    with world.registrar() as one:
        with pytest.raises(Unreachable):
            import_rows(one, tmp_path, rows)
        with pytest.raises(Unreachable):
            one.withdraw("t-3", "subject asked", now)
    for role in NODES:
        world.start(role)
    with world.registrar() as one:
        with pytest.raises(Refused, match="`t-2` is in use for another consent"):
            import_rows(one, tmp_path, rows)
        report = import_rows(one, tmp_path, [rows[0], rows[2]])
        assert report.recorded == {"authority": 3, "house": 3}
        assert one.withdraw("t-1", "subject asked", now) == once
        stood = {s.consent.consent_id: (s.house, s.authority) for s in one.list()}
        assert {stood[name] for name in ("t-0", "t-1", "t-3")} == {("withdrawn",) * 2}


def test_what_happens_to_a_consent_of_a_batch(world: World, tmp_path: Path) -> None:
    """It is withdrawn by itself; the others stand."""
    with world.registrar() as registrar:
        rows = [row(consent_id=f"w-{n}", subject_id=SUBJECTS[n]) for n in range(2)]
        import_rows(registrar, tmp_path, rows)
        once = {"authority": 1, "house": 1}
        assert registrar.withdraw("w-0", "subject asked", now_ms()) == once
        now = now_ms()
        new = asked(now, consent_id="w-2", supersedes="w-1", subject_id=SUBJECTS[1])
        assert registrar.grant(new, KIND, now) == once
        stood = {s.consent.consent_id: (s.house, s.authority) for s in registrar.list()}
        assert stood["w-0"] == ("withdrawn",) * 2
        assert stood["w-1"] == ("superseded",) * 2
        assert stood["w-2"] == ("active",) * 2


def test_a_subjects_history_has_the_consent_of_a_batch(
    world: World, tmp_path: Path
) -> None:
    """Hers, and no other of the two hundred."""
    rows = [row(consent_id=f"h-{n}", subject_id=SUBJECTS[n]) for n in range(2)]
    with world.registrar() as registrar:
        import_rows(registrar, tmp_path, rows)
    keys = world.keys("registrar", RegistrarKeys)
    with Historian(world.config("registrar"), keys, world.domain) as counter:
        lines = counter.read(KIND, SUBJECTS[1])
    told = {(x.node, x.consent) for x in lines if x.consent.startswith("h-")}
    assert told == {("house", "h-1"), ("authority", "h-1")}


def test_what_shares_too_much_is_signed_alone(world: World, tmp_path: Path) -> None:
    """A scope of very many datasets goes by itself, and nobody notices."""
    scope = ";".join(f"dataset:{n:0100}" for n in range(40))
    with world.registrar() as registrar:
        before = len(entries(world, Role.HOUSE, Kind.CONSENT_GRANT))
        report = import_rows(registrar, tmp_path, [row(consent_id="l-1", scope=scope)])
    assert report.recorded == {"authority": 1, "house": 1}
    assert len(entries(world, Role.HOUSE, Kind.CONSENT_GRANT)) == before + 1


def test_the_columns_that_are_shared_are_all_the_others() -> None:
    """Nothing of a row is forgotten: it is a consent's own, or shared."""
    own = {"consent_id", "subject_id", "evidence_digest"}
    own |= {"not_before", "not_after", "granted_at"}
    assert own | set(_ALIKE) == {*CONSENT_COLUMNS, DOCUMENT}


def test_an_auditor_reads_each_consent_of_a_batch(tmp_path: Path) -> None:
    """A row a consent, signed alone or not; what happened last; and all verifies."""
    with World(tmp_path / "world") as world:
        with world.registrar() as registrar:
            rows = [row(consent_id=f"a-{n}") for n in range(3)]
            import_rows(registrar, tmp_path, rows, [event(consent_id="a-0")])
            now = now_ms()
            new = asked(now, consent_id="a-3", supersedes="a-1")
            registrar.grant(new, KIND, now)
        with world.auditor() as auditor:
            auditor.export(tmp_path / "export")
        report = verify(tmp_path / "export", world.domain)
        assert report.findings == ()
        with JournalTables.open(tmp_path / "export", world.domain) as tables:
            found = tables.query(
                "SELECT consent, registrar, grantees, last_event,"
                " epoch_ms(not_after) FROM consents ORDER BY consent"
            ).rows
    both = '["jnrcb","lsbank"]'
    until = 2_082_729_600_000  # 2036-01-01T00:00:00+08:00
    assert found[:3] == [
        ("a-0", "registrar", both, "withdraw", until),
        ("a-1", "registrar", both, "supersede", until),
        ("a-2", "registrar", both, "grant", until),
    ]
    assert found[3][:4] == ("a-3", "registrar", '["jnrcb"]', "grant")
