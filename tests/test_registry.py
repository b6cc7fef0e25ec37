"""Contracts at both nodes, step by step (TESTS 15, 26, 52, 53)."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import apsw
import pytest

from contracts.compile import compile_contract
from contracts.compiled import Compiled
from contracts.dataset import Dataset
from contracts.lifecycle import Activation, Approval, Retirement, Submission
from contracts.scoring import ScoringContract
from node.client import BankClient
from node.domain import Role
from node.errors import Denied, ExportInvalid, NodeError, Refused
from node.export import Source, read_export, write_export
from node.remote import ask, channel
from node.status import to_wire
from node.wire.v1 import common_pb2, contract_pb2, contract_pb2_grpc
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.sign import Signed, sign
from tests.german import FOLDER, German
from tests.hostile import journal, kinds, question, reasons, send, uses
from tests.simulator import World

CUSTODIANS = ("credit-bureau", "housing-loans", "social-insurance")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[German]:
    """Run a trust domain."""
    with World(tmp_path_factory.mktemp("registry")) as made:
        yield German(made, 22)


@pytest.fixture(scope="module")
def bank(running: German) -> Iterator[BankClient]:
    """Open the first bank's SDK."""
    with running.bank() as client:
        yield client


def source(version: int) -> str:
    """Write another version of the example's contract."""
    text = (FOLDER / "contract.yaml").read_text()
    return text.replace("version: 1\n", f"version: {version}\n", 1)


def compiled(running: German, text: str) -> Compiled:
    """Compile a contract as its author does."""
    contract = ScoringContract.from_yaml(text, "contract.yaml")
    return compile_contract(contract, running.datasets)


class Desk:
    """One party at the house's desk for contracts."""

    def __init__(self, running: German, party: str) -> None:
        world = running.world
        tls = world.composed.keys[party].tls
        address = world._addresses[Role.HOUSE]
        self.running, self.party = running, party
        self._link = channel(address, tls, world.domain, Role.HOUSE)
        self.stub = contract_pb2_grpc.ContractServiceStub(self._link)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    def signed(self, tag: Tag, payload: bytes) -> common_pb2.Signed:
        """Sign as this party."""
        return to_wire(self.running.sign(self.party, tag, payload))

    def submit(self, contract: bytes, text: str) -> bytes:
        """Submit a contract; return its hash."""
        payload = Submission(self.party, contract, text).to_bytes()
        message = contract_pb2.SubmitContractRequest(
            submission=self.signed(Tag.CONTRACT_SUBMISSION, payload)
        )
        return bytes(ask(self.stub.SubmitContract, message, 10).contract)

    def approve(self, contract: bytes) -> list[str]:
        """Approve it; return who has not."""
        payload = Approval(self.party, contract).to_bytes()
        message = contract_pb2.ApproveContractRequest(
            approval=self.signed(Tag.APPROVAL, payload)
        )
        return list(ask(self.stub.ApproveContract, message, 10).missing)

    def activate(self, contract: bytes) -> None:
        """Put it in force."""
        payload = Activation(self.party, contract).to_bytes()
        message = contract_pb2.ActivateContractRequest(
            activation=self.signed(Tag.ACTIVATION, payload)
        )
        ask(self.stub.ActivateContract, message, 10)

    def retire(self, contract: bytes) -> None:
        """Take it out of force."""
        payload = Retirement(self.party, contract).to_bytes()
        message = contract_pb2.RetireContractRequest(
            retirement=self.signed(Tag.RETIREMENT, payload)
        )
        ask(self.stub.RetireContract, message, 10)


def test_a_contract_lives_and_dies(running: German, bank: BankClient) -> None:
    """Submitted, approved by all, active, retired: a call runs in one stage only."""
    subject, text = running.ids[0], source(2)
    running.grant(subject)
    name = compiled(running, text).hash

    def told() -> str:
        try:
            send(bank, question(running, subject, contract=name))
        except Denied as refusal:
            return refusal.reason
        return "answered"

    assert told() == "CONTRACT_UNKNOWN"
    with Desk(running, "jnrcb") as author:
        assert author.submit(name, text) == name
        assert told() == "CONTRACT_NOT_APPROVED"
        with pytest.raises(Refused, match="approvals are missing"):
            author.activate(name)
        for i, party in enumerate(CUSTODIANS):
            with Desk(running, party) as custodian:
                assert custodian.approve(name) == list(CUSTODIANS[i + 1 :])
        assert told() == "CONTRACT_NOT_APPROVED"
        author.activate(name)
        assert told() == "answered"
    with Desk(running, CUSTODIANS[2]) as custodian:
        custodian.retire(name)
    assert told() == "CONTRACT_RETIRED"
    with Desk(running, "jnrcb") as author:
        with pytest.raises(Refused, match="retired"):
            author.activate(name)
        author.submit(name, text)  # the same again changes nothing
    assert told() == "CONTRACT_RETIRED"
    steps = [
        entry.kind
        for entry in journal(running.authority)
        if entry.kind.value.startswith("contract.") and name.hex() in str(entry.body)
    ]
    assert steps == [
        Kind.CONTRACT_SUBMIT,
        *3 * [Kind.CONTRACT_APPROVE],
        Kind.CONTRACT_ACTIVATE,
        Kind.CONTRACT_RETIRE,
    ]


def test_a_contract_edited_after_it_was_hashed_is_refused(running: German) -> None:
    """Case 52: the text must compile to the hash that is signed."""
    text = source(3)
    name = compiled(running, text).hash
    edited = text.replace("base: 447", "base: 448")
    with (
        Desk(running, "jnrcb") as author,
        pytest.raises(Refused, match="compiles to another hash"),
    ):
        author.submit(name, edited)
    with running.house.ledger.reader() as db:
        assert running.house.registry.record(db, name) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"top":', b'"top":1'), (b'"loan-precheck"', b'"loan-marketing"')],
    ids=["no contract", "another contract"],
)
def test_integers_edited_on_the_disk_are_refused_at_load(
    tmp_path: Path, old: bytes, new: bytes
) -> None:
    """Case 52: who edits the stored integers finds every call denied."""
    with World(tmp_path) as world:
        running = German(world, 11)
        subject = running.ids[0]
        running.grant(subject)
        for role in (Role.AUTHORITY, Role.HOUSE):
            (party,) = world.domain.of_role(role)
            world.stop(role)
            path = world.config(party.id).data / "journal.db"
            db = sqlite3.connect(path)
            ((stored,),) = db.execute("SELECT compiled FROM contract").fetchall()
            edited = stored.replace(old, new)
            assert edited != stored
            db.execute("UPDATE contract SET compiled = ?", (edited,))
            db.commit()
            db.close()
            world.start(role)
            with running.bank() as bank:
                asked = question(running, subject)
                with pytest.raises(NodeError) as caught:
                    send(bank, asked)
            assert isinstance(caught.value, Denied)
            assert caught.value.reason == "INTERNAL"
            core = running.authority if role is Role.AUTHORITY else running.house
            assert kinds(core, asked.call) == ["call.deny"]
            assert uses(running, f"c-{subject}") == 0
            _write(path, stored, world, role)


def _write(path: Path, stored: bytes, world: World, role: Role) -> None:
    world.stop(role)
    db = sqlite3.connect(path)
    db.execute("UPDATE contract SET compiled = ?", (stored,))
    db.commit()
    db.close()
    world.start(role)


def test_a_golden_example_that_fails_keeps_a_contract_out(running: German) -> None:
    """Case 53: what the author expects is what the integers say, or nothing."""
    text = source(4)
    name = compiled(running, text).hash
    wrong = text.replace(
        "expect: {grade: B, limit: 1000000}", "expect: {grade: A, limit: 0}"
    )
    assert wrong != text
    assert compiled(running, wrong).hash == name  # examples are not in the hash
    with (
        Desk(running, "jnrcb") as author,
        pytest.raises(Refused, match="example") as caught,
    ):
        author.submit(name, wrong)
    assert caught.value.reason != "INTERNAL"
    with running.authority.ledger.reader() as db:
        assert running.authority.registry.record(db, name) is None


def test_only_the_right_party_takes_a_step(running: German) -> None:
    """Nobody approves, activates or retires for another, whatever they sign."""
    text = source(5)
    name = compiled(running, text).hash
    with Desk(running, "jnrcb") as author, Desk(running, "lsbank") as other:
        with pytest.raises(Refused, match="as its author"):
            other.submit(name, text)
        author.submit(name, text)
        with pytest.raises(Refused, match="is to activate"):
            other.activate(name)
        with pytest.raises(Refused, match="neither author nor custodian"):
            other.retire(name)
    with Desk(running, "credit-bureau") as custodian:
        forged = sign(
            Tag.APPROVAL,
            Approval("housing-loans", name).to_bytes(),
            running.world.composed.keys["credit-bureau"].sign,
        )
        message = contract_pb2.ApproveContractRequest(approval=to_wire(forged))
        with pytest.raises(Refused, match="unknown key"):
            ask(custodian.stub.ApproveContract, message, 10)
        # An approval is not an activation, though the words are alike.
        payload = Activation("jnrcb", name).to_bytes()
        crossed = Signed(payload, *_of(running.sign("jnrcb", Tag.APPROVAL, payload)))
        request = contract_pb2.ActivateContractRequest(activation=to_wire(crossed))
        with pytest.raises(Refused, match="not valid"):
            ask(custodian.stub.ActivateContract, request, 10)


def _of(signed: Signed) -> tuple[str, bytes]:
    return signed.key_id, signed.signature


def test_sensitive_data_need_a_separate_consent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 15: a T3 input and a consent that is not separate: refused."""
    read = Dataset.from_yaml

    def sensitive(text: str, path: str) -> Dataset:
        return read(text.replace("tier: T2", "tier: T3"), path)

    monkeypatch.setattr(Dataset, "from_yaml", sensitive)
    with World(tmp_path) as world:
        running = German(world, 11)
        one, other = running.ids[:2]
        running.grant(one)
        running.grant(other, separate=True)
        with running.bank() as bank:
            with pytest.raises(Denied) as caught:
                send(bank, question(running, one))
            assert caught.value.reason == "SEPARATE_CONSENT"
            assert str(caught.value).endswith("of tier T3: credit-bureau")
            assert len(reasons(running.house, caught.value)) == 1
            assert send(bank, question(running, other)).answer.box


def test_an_edited_journal_is_named_by_its_entry(tmp_path: Path) -> None:
    """Case 26: triggers abort an edit; with triggers dropped an export finds it."""
    with World(tmp_path / "world") as world:
        running = German(world, 11)
        with running.bank() as bank:
            for subject in running.ids[:3]:
                running.grant(subject)
                send(bank, question(running, subject))
        core = running.house
        path = world.config("house").data / "journal.db"
        with apsw.Connection(str(path)) as db:
            for statement in (
                "UPDATE entry SET data = x'00' WHERE idx = 7",
                "DELETE FROM entry WHERE idx = 7",
                "DELETE FROM head",
            ):
                with pytest.raises(apsw.ConstraintError, match="append-only"):
                    db.execute(statement)
        index = next(
            i for i, entry in enumerate(journal(core)) if entry.kind is Kind.CALL_INTENT
        )
        edited = core.ledger.entry(index).replace(b"jnrcb", b"lsbnk")
        with apsw.Connection(str(path)) as db:
            db.execute("DROP TRIGGER entry_update")
            db.execute("UPDATE entry SET data = ? WHERE idx = ?", (edited, index))
        write_export(tmp_path / "export", Source.of(core.ledger))
        export = read_export(tmp_path / "export", world.domain.verifiers(Role.HOUSE))
        with pytest.raises(ExportInvalid, match=f"entry {index} "):
            list(map(Entry.parse, export.entries()))
