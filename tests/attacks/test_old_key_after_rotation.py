"""Whoever stole a key that was replaced has nothing: not to ask, to speak, to journal.

One town whose bank, house and authority have all their keys replaced at once, the old
ones ended; the nodes start again, and everything that was before still verifies.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from contracts.decide import Reason
from contracts.feedback import Desk
from contracts.rebuild import LATE_MS, Pins
from node import clock, functional, keys, maps, pushes, remote, rotation
from node import objector as objectors
from node.audit_authority import AuditAuthority
from node.audit_house import AuditHouse
from node.client import BankClient
from node.domain import Role
from node.errors import Denied, NodeError, ReplyRefused, Unreachable
from node.keys import AuditorKeys, BankKeys, CustodianKeys, HouseKeys, Keys
from node.objector import Objector
from node.rotation import Rotation, purposes
from node.status import to_wire
from node.verify import pins, verify
from node.wire.v1 import common_pb2, scoring_pb2
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.errors import SignatureInvalid
from protocols.note import Checkpoint, LogProof
from protocols.sign import sign
from protocols.tlog import Tree, leaf_hash
from tests import borrowers
from tests.audited import audited
from tests.counter import Counter
from tests.german import KIND, German
from tests.hostile import question, reasons, send, tampered
from tests.simulator import World
from tests.test_functional import opened

ROTATED = ("jnrcb", "house", "authority", "registrar", "credit-bureau")


@dataclass
class Town:
    """A town after its keys were replaced, and what was stolen before."""

    german: German
    stolen: dict[str, Keys]
    scored: str  # a subject, asked about before

    @property
    def world(self) -> World:
        """The trust domain."""
        return self.german.world

    def thief(self, **mixed: object) -> BankClient:
        """Open the bank's SDK with what was stolen, or part of it."""
        held = replace(self.stolen["jnrcb"], **mixed)  # type: ignore[arg-type]
        assert isinstance(held, BankKeys)
        return BankClient(self.world.config("jnrcb"), held, self.world.domain)


def rotate(world: World, parties: tuple[str, ...], until_ms: int) -> None:
    """Replace all keys of some parties; the nodes start again."""
    trust, held = world.domain, dict(world.composed.keys)
    entries = {party.id: party for party in trust.parties}
    for name in parties:
        party, old = trust.party(name), world.composed.keys[name]
        new = rotation._drawn(old, purposes(party))
        pem = world.composed.ca.renew(
            old.tls.certificate_pem, new.tls.public, clock.now_ms()
        )
        new = keys.with_tls(new, replace(new.tls, certificate_pem=pem))
        ours = keys.publish(new, name, party.title)
        public = [
            (key[0].public_bytes_raw() if key else b"")
            for key in (ours.sign, ours.journal, ours.hpke)
        ]
        asked = Rotation(
            trust.name,
            trust.serial,
            name,
            *public,
            new.tls.public,
            old.tls.certificate_pem,
        )
        entries[name] = rotation._replaced(party, asked, until_ms)
        held[name] = new
    following = replace(
        trust,
        serial=trust.serial + 1,
        history=(*trust.history, trust.hash),
        parties=tuple(entries[name] for name in sorted(entries)),
    )
    world.composed = replace(world.composed, keys=held)
    world.renew(following)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Run a town, replace its keys, and keep the old ones."""
    with World(tmp_path_factory.mktemp("rotated")) as world:
        german = German(world, 8)
        scored = german.ids[0]
        german.grant(scored, max_uses=9)
        with german.bank() as bank:
            bank.score("german-card", scored, consent=f"c-{scored}")
        stolen = {name: world.composed.keys[name] for name in ROTATED}
        rotate(world, ROTATED, clock.now_ms())
        yield Town(german, stolen, scored)


def test_the_new_keys_ask(town: Town) -> None:
    """Both nodes and the bank go on, and an earlier answer is read again."""
    subject = town.german.ids[1]
    town.german.grant(subject)
    with town.german.bank() as bank:
        assert bank.score("german-card", subject, consent=f"c-{subject}")
        assert bank.score("german-card", town.scored, consent=f"c-{town.scored}")


def test_a_request_under_the_old_key_is_refused(town: Town) -> None:
    """Over a channel that is the bank's, and journalled as what it is."""
    subject = town.german.ids[2]
    town.german.grant(subject)
    asked = question(town.german, subject)
    old = town.stolen["jnrcb"]
    assert isinstance(old, BankKeys)
    forged = replace(asked, signed=sign(Tag.REQUEST, asked.signed.payload, old.sign))
    with town.german.bank() as bank, pytest.raises(Denied) as caught:
        send(bank, forged)
    assert reasons(town.world.house, caught.value) == [Reason.SIGNATURE_INVALID]


@pytest.mark.parametrize("who", ["house", "authority"])
def test_an_answer_under_a_nodes_old_key_is_refused(town: Town, who: str) -> None:
    """What a bank is told anew is signed by keys that are in force."""
    subject = town.german.ids[{"house": 3, "authority": 4}[who]]
    town.german.grant(subject)

    def spoil(reply: scoring_pb2.ScoreResponse) -> None:
        part = reply.answer.ticket if who == "house" else reply.answer.receipt
        tag = Tag.TICKET if who == "house" else Tag.RECEIPT
        old = keys.signing(town.stolen[who])
        part.CopyFrom(to_wire(sign(tag, part.payload, old)))

    with (
        town.german.bank() as bank,
        tampered(bank, spoil),
        pytest.raises(ReplyRefused, match="unknown key"),
    ):
        bank.score("german-card", subject, consent=f"c-{subject}")


def test_the_old_certificate_is_refused(town: Town) -> None:
    """The CA vouches for it still; the trust domain does not."""
    current = town.world.keys("jnrcb", BankKeys)
    with town.thief(sign=current.sign) as thief, pytest.raises(NodeError) as caught:
        thief.score("german-card", town.scored, consent=f"c-{town.scored}")
    assert "has ended" in str(caught.value)


def test_a_checkpoint_under_the_old_key_is_refused(town: Town) -> None:
    """A house that lost its journal key cannot be made to have another history."""
    old = town.stolen["house"]
    assert isinstance(old, HouseKeys)
    trust, entry = town.world.domain, Entry(Kind.NODE_START, 1, "house", "", {})
    tree = Tree([leaf_hash(entry.to_bytes())])
    note = Checkpoint(trust.origin(Role.HOUSE), 1, tree.root()).sign(old.journal)
    logged = common_pb2.Logged(proof=LogProof(0, (), note, entry.to_bytes()).to_text())
    assert town.world.authority.core.following.admit(logged, []) is None  # type: ignore[union-attr]


def test_a_document_that_was_journalled_later_is_a_finding(town: Town) -> None:
    """A node that takes what the old key signs is found by whoever replays."""
    trust, old = town.world.domain, town.stolen["jnrcb"]
    assert isinstance(old, BankKeys)
    signed = sign(Tag.REQUEST, b"{}", old.sign)
    (ended,) = {until for _, until in trust.party("jnrcb").ended}
    found: Pins = pins(trust)
    found.at_ms = ended + LATE_MS
    found.verify(Tag.REQUEST, signed, "jnrcb")
    found.at_ms += 1
    with pytest.raises(SignatureInvalid, match="has ended"):
        found.verify(Tag.REQUEST, signed, "jnrcb")


def test_both_journals_verify(town: Town, tmp_path: Path) -> None:
    """Each key its range; both say since when the domain is another."""
    with town.world.auditor() as auditor:
        auditor.export(tmp_path)
    report = verify(tmp_path, town.world.domain, openings=town.german.openings)
    assert report.findings == ()
    for node in (town.world.house, town.world.authority):
        entries = map(Entry.parse, node.ledger.entries(0, node.ledger.head.size))
        kept = [each.body for each in entries if each.kind is Kind.KEY_DOMAIN]
        assert kept == [{"serial": 2, "domain": town.world.domain.hash.hex()}]


def lost(*_: object) -> NoReturn:
    """Lose a message, or its reply."""
    raise Unreachable("lost")


def test_what_was_signed_before_is_sent_under_the_new_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Withdrawals, half a demand, results, the receipts of a map and of a push."""
    with World(tmp_path / "world") as world:
        town = Counter(world, 11)
        town.consent(*town.ids)
        first, second, other, leaver = town.ids[:4]
        dataset = next(iter(town.datasets.values()))
        with monkeypatch.context() as patch:
            patch.setattr(town.house, "commit_results", lost)
            patch.setattr(maps, "entry_of", lost)
            patch.setattr(pushes, "entry_of", lost)
            with town.bank() as bank:
                bank.score("german-card", first, consent=town.cid(first))
                bank.flush()
            with pytest.raises(Unreachable):
                town.map([*town.ids, "gc-0099"])
            with pytest.raises(Unreachable):
                town.push_table(dataset.name, town.ids)
            with town.objector() as objector:
                told = objector._put
                patch.setattr(
                    objector,
                    "_put",
                    lambda r, h: (told if r != "house" else lost)(r, h),
                )
                with pytest.raises(Unreachable):
                    objector.object(KIND, other, 1, "o-1")
        rotate(world, ROTATED, clock.now_ms())
        with world.registrar() as registrar:
            said = registrar.withdraw(town.cid(leaver), "letter", clock.now_ms())
            assert said == {"authority": 1, "house": 1}
        with town.bank() as bank:
            bank.score("german-card", second, consent=town.cid(second))
            assert bank.flush() == 0
        assert len(town.entries("house", Kind.CALL_RESULT)) == 2
        path = town.files / "register.csv"
        with world.custodian("credit-bureau") as custodian:
            receipt = custodian.put_register(KIND, path, "subject_id", clock.now_ms())
            assert receipt.proof
        path = town.table(dataset.name, town.ids)
        with world.custodian(dataset.custodian) as custodian:
            assert custodian.push(dataset, path, "2026-01", clock.now_ms()).again
        with town.objector() as objector:
            assert objector.object(KIND, other, 1, "o-1").entries.keys() == said.keys()
        with world.auditor() as auditor:
            auditor.export(tmp_path / "export")
        assert verify(tmp_path / "export", world.domain).findings == ()


def test_an_auditors_old_key_makes_no_second_auditor(tmp_path: Path) -> None:
    """What is asked anew is signed by two keys in force, at both nodes."""
    with audited(tmp_path) as town:
        old = town.world.keys("auditor-b", AuditorKeys)
        rotate(town.world, ("auditor-b",), clock.now_ms() - LATE_MS - 60_000)
        with opened(town) as audit:
            known = audit.known(audit.calls[0])
            asked = audit.asked(known)
            forged = sign(Tag.AUDIT_SECOND, asked.request.payload, old.sign)
            lie = functional.Asked(asked.request, forged)
            with pytest.raises(Denied) as caught:
                functional.replay(audit.one, lie, known, audit.salts)
            assert caught.value.reason == Reason.SIGNATURE_INVALID.value
            audit.clean()
            with pytest.MonkeyPatch.context() as lying:  # a house that goes along
                lying.setattr(AuditHouse, "_findings", lambda *_: [])
                with pytest.raises(Denied) as caught:
                    functional.replay(audit.one, lie, known, audit.salts)
            assert caught.value.reason == Reason.SIGNATURE_INVALID.value
            assert functional.replay(audit.one, asked, known, audit.salts).identical


def test_an_audits_ticket_under_the_houses_old_key(tmp_path: Path) -> None:
    """The authority decrypts nothing under it."""
    with audited(tmp_path) as town:
        old = town.world.keys("house", HouseKeys)
        rotate(town.world, ("house",), clock.now_ms() - LATE_MS - 60_000)
        with opened(town) as audit, pytest.MonkeyPatch.context() as stolen:
            known = audit.known(audit.calls[0])
            desk = town.world.house.audits
            assert isinstance(desk, AuditHouse)
            stolen.setattr(desk, "_keys", replace(desk._keys, ticket=old.ticket))
            with pytest.raises(Denied) as caught:
                functional.replay(audit.one, audit.asked(known), known, audit.salts)
            assert caught.value.reason == Reason.SIGNATURE_INVALID.value
            with pytest.MonkeyPatch.context() as lying:  # an authority that goes along
                lying.setattr(AuditAuthority, "_findings", lambda *_, **__: [])
                with pytest.raises(ReplyRefused, match="unknown key"):
                    functional.replay(audit.one, audit.asked(known), known, audit.salts)


def test_an_audits_reply_is_read_after_a_rotation(tmp_path: Path) -> None:
    """The one reply is sealed to the key of then; the nodes' keys change as well."""
    with audited(tmp_path) as town:
        with opened(town) as audit:
            known = audit.known(audit.calls[0])
            asked = audit.asked(known)
            assert functional.replay(audit.one, asked, known, audit.salts).identical
        old = town.world.keys("auditor-a", AuditorKeys)
        rotate(town.world, ("auditor-a", "house", "authority"), clock.now_ms())
        new = town.world.keys("auditor-a", AuditorKeys)
        held = town.world.composed.keys
        held["auditor-a"] = replace(new, hpke_before=(old.hpke,))
        with opened(town) as audit:
            assert functional.replay(audit.one, asked, known, audit.salts).identical


def test_a_desk_under_a_custodians_old_key(tmp_path: Path) -> None:
    """A bank seals defaults to no thief; the custodian signs its own desk anew."""
    with borrowers.town(tmp_path) as german:
        world, thief = german.world, X25519PrivateKey.generate()
        old = world.keys(borrowers.CUSTODIAN, CustodianKeys)
        rotate(world, (borrowers.CUSTODIAN,), clock.now_ms() - LATE_MS - 60_000)
        forged = Desk(borrowers.CUSTODIAN, thief.public_key().public_bytes_raw())
        change = "UPDATE feedback_desk SET payload = ?, key_id = ?, signature = ?"
        ((held,),) = rows(german, "SELECT payload FROM feedback_desk")
        for shown in (forged.to_bytes(), held):
            signed = sign(Tag.FEEDBACK_DESK, shown, old.sign)
            values = signed.payload, signed.key_id, signed.signature
            german.house.ledger.commit(
                lambda tx, values=values: tx.db.execute(change, values).fetchall()
            )
            with pytest.raises(ReplyRefused, match=r"desk of .* proves nothing"):
                borrowers.report(german, borrowers.told(german, 0))
        with borrowers.desk(world) as own:
            own.open_desk()
            own.open_desk()
        borrowers.report(german, borrowers.told(german, 0))
        assert len(borrowers.fetched(german).accepted) == 1


def rows(german: German, query: str) -> list[tuple[bytes, ...]]:
    """Read the house's state."""
    with german.house.ledger.reader() as db:
        return list(db.execute(query))  # type: ignore[arg-type]


def test_a_proof_under_a_nodes_old_key_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That a demand is kept, a subject unknown, a push stored: by keys in force."""
    with World(tmp_path) as world:
        town = Counter(world, 11)
        town.consent(*town.ids)
        subject, ref = town.ids[1], town.ref(town.ids[1])
        dataset = next(iter(town.datasets.values()))
        told: list[object] = []

        def kept(*args: Any) -> object:  # noqa: ANN401  as `ask`
            told.append(remote.ask(*args))
            return told[-1]

        def asked(objector: Objector) -> list[Callable[[], object]]:
            return [
                lambda: objector._knows(Role.HOUSE, ref),
                lambda: objector.object(KIND, subject, 1, "o-1"),
            ]

        def push() -> object:
            with world.custodian(dataset.custodian) as custodian:
                held = custodian._pushes._sent.find(dataset.name, 1)
                assert held is not None
                return custodian._pushes._send(held, None)

        with monkeypatch.context() as patch, town.objector() as objector:
            patch.setattr(objectors, "ask", kept)
            patch.setattr(pushes, "ask", kept)
            for each in (*asked(objector), push):
                each()
        rotate(world, ROTATED, clock.now_ms())
        with monkeypatch.context() as patch, town.objector() as objector:
            patch.setattr(objectors, "ask", lambda *_: told.pop(0))
            patch.setattr(pushes, "ask", lambda *_: told[-1])
            knows, objects = asked(objector)
            with pytest.raises(ReplyRefused, match="signed by no known key"):
                knows()
            with pytest.raises(ReplyRefused, match="signed by no known key"):
                objects()
            with pytest.raises(ReplyRefused, match="signed by no known key"):
                push()
