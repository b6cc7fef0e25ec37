"""A call computed once more, for an auditor, against what its bank committed to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from contracts.consent import ConsentEvent, Event
from contracts.transcript import Replayed, Share
from node import clock, functional
from node.auditor import Auditor
from node.authority import Authority
from node.domain import Role
from node.errors import Denied, NodeError, Unreachable
from node.evidence import ResultSalt, read_salts, salt_of, write_salts
from node.functional import Asked, Known
from node.history import Histories
from node.keys import AuditorKeys
from node.replays import find, replayed
from protocols.audit_call import AuditRequest
from protocols.call import request_hash
from protocols.entry import Kind
from tests.audited import Audited, audited, places


@dataclass
class Audit:
    """A town, its auditors, and the salts of its banks."""

    town: Audited
    one: Auditor
    two: Auditor

    @property
    def calls(self) -> list[bytes]:
        """Calls that were computed."""
        return [request_hash(item.request.payload) for item in self.town.fresh]

    @property
    def salts(self) -> dict[bytes, ResultSalt]:
        """What opens the banks' commitments."""
        return {salt.call: salt for salt in map(salt_of, self.town.fresh)}

    def keys(self, auditor: str) -> AuditorKeys:
        """Hand out an auditor's keys."""
        return self.town.world.keys(auditor, AuditorKeys)

    def known(self, call: bytes) -> Known:
        """Find a call in the newest export."""
        self.one.export(self.town.folder)
        return functional.find(self.town.folder, self.town.world.domain, call)

    def asked(self, known: Known, asked_ms: int | None = None) -> Asked:
        """Have a call asked for, and signed by both."""
        trust, now_ms = self.town.world.domain, clock.now_ms()
        first = functional.ask(
            known,
            self.keys("auditor-a"),
            "auditor-a",
            "auditor-b",
            now_ms if asked_ms is None else asked_ms,
        )
        first = Asked.parse(first.to_bytes())
        held = self.keys("auditor-b")
        both = functional.sign_too(first, known, held, "auditor-b", trust)
        return Asked.parse(both.to_bytes())

    def replay(self, call: bytes) -> Replayed:
        """Compute a call again and compare."""
        known = self.known(call)
        return functional.replay(self.one, self.asked(known), known, self.salts)

    def clean(self) -> None:
        """Both journals follow from themselves, and tell one story."""
        self.one.export(self.town.folder)
        report = self.town.verify(self.town.folder)
        assert report.findings == ()


@contextmanager
def opened(town: Audited) -> Iterator[Audit]:
    """Open both auditors' clients."""
    with town.world.auditor() as one, town.world.auditor("auditor-b") as two:
        yield Audit(town, one, two)


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audit]:
    """Run a town in which calls were made."""
    with audited(tmp_path_factory.mktemp("town")) as town, opened(town) as made:
        yield made


def test_what_was_committed_to_comes_out(audit: Audit) -> None:
    """At the authority, on a later version of the data, and nothing is spent."""
    german, call = audit.town.german, audit.calls[0]
    for dataset in german.datasets.values():  # a new version: the call's is computed
        german.push(dataset, german.values(dataset, german.ids[::-1]), version=2)
    known = audit.known(call)
    asked = audit.asked(known)
    found = functional.replay(audit.one, asked, known, audit.salts)
    assert found.differences == ()
    assert (found.call, found.index) == (call, known.intent)
    # The same request again is the same answer, and no second entry.
    assert functional.replay(audit.one, asked, known, audit.salts) == found
    audit.clean()
    house = audit.town.entries(Role.HOUSE)
    authority = audit.town.entries(Role.AUTHORITY)
    assert len(places(house, Kind.AUDIT_INTENT)) == 1
    assert len(places(house, Kind.AUDIT_OUTCOME)) == 1
    assert len(places(authority, Kind.AUDIT_PERMIT)) == 1
    assert len(places(authority, Kind.AUDIT_DONE)) == 1


def test_no_use_no_bits(audit: Audit) -> None:
    """What the consent and the budgets have counted is what they had counted."""
    authority = audit.town.german.authority

    def spent() -> list[object]:
        with authority.ledger.reader() as db:
            return [
                db.execute(f"SELECT * FROM {table}").fetchall()
                for table in ("consent_state", "answer", "call", "spent")
                if db.execute(
                    "SELECT 1 FROM sqlite_master WHERE name = ?", (table,)
                ).fetchone()
            ]

    before = spent()
    assert len(before) > 1
    assert audit.replay(audit.calls[1]).identical
    assert spent() == before


def test_once(audit: Audit) -> None:
    """A second request for the same call is refused by name, and journalled."""
    call = audit.calls[2]
    assert audit.replay(call).identical
    with pytest.raises(Denied) as caught:
        audit.replay(call)
    assert caught.value.reason == "AUDITED"
    audit.clean()


def test_a_withdrawn_consent_ends_it(audit: Audit) -> None:
    """Nothing more is computed about whoever took the consent back."""
    german = audit.town.german
    subject = german.ids[3]
    with german.bank() as bank:
        (call,) = (c for c in audit.calls if _subject(audit, c) == f"c-{subject}")
        assert bank.result_salt(call) == audit.salts[call]
    event = ConsentEvent(
        f"c-{subject}", Event.WITHDRAW, clock.now_ms(), "", "registrar"
    )
    german.happen(event)
    with pytest.raises(Denied) as caught:
        audit.replay(call)
    assert caught.value.reason == "WITHDRAWN"
    audit.clean()


def test_a_consent_that_ends_between_permit_and_decryption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The authority died before it decrypted: resumed, it asks for consent again."""
    with audited(tmp_path) as town, opened(town) as audit:
        known = audit.known(audit.calls[0])
        asked = audit.asked(known)
        with monkeypatch.context() as dying:
            dying.delattr(Authority, "unlock")
            with pytest.raises(NodeError):
                functional.replay(audit.one, asked, known, audit.salts)
        audit.one.export(town.folder)
        assert len(places(town.entries(Role.AUTHORITY), Kind.AUDIT_PERMIT)) == 1
        town.german.happen(
            ConsentEvent(
                known.case.request.consent,
                Event.WITHDRAW,
                clock.now_ms(),
                "",
                "registrar",
            )
        )
        with pytest.raises(Denied) as caught:
            functional.replay(audit.one, asked, known, audit.salts)
        assert caught.value.reason == "WITHDRAWN"
        audit.clean()


def _subject(audit: Audit, call: bytes) -> str:
    return audit.known(call).case.request.consent


def test_another_commitment_is_found(audit: Audit, tmp_path: Path) -> None:
    """A salt that opens nothing, one of another call, none at all."""
    call, other = audit.calls[4], audit.calls[0]
    known = audit.known(call)
    asked = audit.asked(known)
    write_salts([audit.salts[other]], tmp_path / "salts")
    (read,) = read_salts(tmp_path / "salts")
    assert read == audit.salts[other]
    wrong = {call: replace(read, call=call)}
    found = functional.replay(audit.one, asked, known, wrong)
    assert "committed to another outcome" in str(found)
    found = functional.replay(audit.one, asked, known, {})
    assert "has not opened its commitment" in str(found)
    assert functional.replay(audit.one, asked, known, audit.salts).identical


def test_the_seed_of_an_audit_opens_too(audit: Audit) -> None:
    """Two auditors compute what the house sent, on the versions of the call."""
    known = audit.known(audit.calls[0])
    trust, folder = audit.town.world.domain, audit.town.folder
    house = audit.town.entries(Role.HOUSE)
    name = next(
        bytes.fromhex(entry.call)
        for entry in house
        if entry.kind is Kind.AUDIT_INTENT
        and AuditRequest.parse(_payload(entry.body)).call == known.case.call
    )
    cases = find(folder, trust, name)
    shares = [each.seed_share(cases[0]) for each in (audit.one, audit.two)]
    (found,) = replayed(audit.one, trust, cases, shares)
    assert found.differences == ()
    edited = [shares[0], Share("auditor-b", name, bytes(32))]
    (found,) = replayed(audit.one, trust, cases, edited)
    assert not found.identical


def _payload(body: object) -> bytes:
    assert isinstance(body, dict)
    return str(body["request"]["payload"]).encode()


def test_the_subject_sees_it(audit: Audit) -> None:
    """In the history of either node: who had what computed again."""
    german = audit.town.german
    known = audit.known(audit.calls[0])
    for core in (german.house, german.authority):
        body = next(
            entry.body
            for role in (Role.HOUSE, Role.AUTHORITY)
            for entry in audit.town.entries(role)
            if entry.kind in (Kind.AUDIT_INTENT, Kind.AUDIT_PERMIT)
            and (role is Role.HOUSE) is (core is german.house)
        )
        histories = Histories(core.ledger, core.registry)
        subject = bytes.fromhex(str(body["subject"]))
        found, _ = histories.read(subject, "registrar")
        told = [each for each in found if each.kind == "audit"]
        assert [(each.party, each.call) for each in told] == [
            ("auditor-a", known.case.call.hex())
        ]


def test_the_authority_was_away(tmp_path: Path) -> None:
    """The house goes on where it was, under the same seed; nothing is asked twice."""
    with audited(tmp_path) as town, opened(town) as audit:
        known = audit.known(audit.calls[0])
        asked = audit.asked(known)
        town.world.stop(Role.AUTHORITY)
        with pytest.raises(Unreachable):
            functional.replay(audit.one, asked, known, audit.salts)
        town.world.stop(Role.HOUSE)
        town.world.start(Role.AUTHORITY)
        town.world.start(Role.HOUSE)
        desk = town.world.house.audits
        assert desk is not None
        assert desk.resume() == 1  # type: ignore[union-attr]
        assert desk.resume() == 0  # type: ignore[union-attr]
        with opened(town) as again:
            found = functional.replay(again.one, asked, known, audit.salts)
            assert found.identical
            again.clean()
        secret = {row[0] for row in _rows(town, "SELECT secret FROM audit")}
        assert secret == {None}  # the seed is erased


def _rows(town: Audited, query: str) -> list[tuple[object, ...]]:
    with town.german.house.ledger.reader() as db:
        return db.execute(query).fetchall()
