"""The house runs a contract that custodians have not approved, or have retired."""

from dataclasses import replace

import pytest

from contracts.compile import compile_contract
from contracts.lifecycle import Retirement, Submission
from contracts.scoring import ScoringContract
from node.client import BankClient
from node.errors import Denied
from protocols.canon import Tag
from protocols.sign import Signed
from tests.german import FOLDER, German
from tests.hostile import EvilHouse, kinds, question, send, uses

TEXT = (FOLDER / "contract.yaml").read_text()


def submitted(running: German, version: int) -> tuple[bytes, Signed]:
    """Sign a new version of the contract."""
    text = TEXT.replace("version: 1\n", f"version: {version}\n", 1)
    contract = ScoringContract.from_yaml(text, "contract.yaml")
    compiled = compile_contract(contract, running.datasets)
    payload = Submission("jnrcb", compiled.hash, text).to_bytes()
    return compiled.hash, running.sign("jnrcb", Tag.CONTRACT_SUBMISSION, payload)


def test_an_unapproved_contract_is_not_run(
    running: German, victim: str, evil: EvilHouse
) -> None:
    """The house knows it, signs a ticket for it, and is refused by the authority."""
    name, signed = submitted(running, 21)
    registry = running.house.registry
    running.house.ledger.commit(lambda tx: registry.submit(tx, signed))
    asked = question(running, victim, contract=name)
    refusal = evil.refused(asked, evil.compute(asked))
    assert refusal.reason == "CONTRACT_UNKNOWN"
    theirs = running.authority.registry
    running.authority.ledger.commit(lambda tx: theirs.submit(tx, signed))
    asked = question(running, victim, contract=name)
    refusal = evil.refused(asked, evil.compute(asked))
    assert refusal.reason == "CONTRACT_NOT_APPROVED"
    assert kinds(running.authority, asked.call) == ["call.deny"]
    assert uses(running, f"c-{victim}") == 0


def test_a_house_that_marks_it_active_gains_nothing(
    running: German, victim: str
) -> None:
    """The stage in the house's own store decides nothing at the authority."""
    name, signed = submitted(running, 22)
    for core in (running.authority, running.house):
        registry = core.registry
        core.ledger.commit(lambda tx, r=registry: r.submit(tx, signed))
    running.house.ledger.commit(
        lambda tx: tx.db.execute(
            "UPDATE contract SET stage = 'active' WHERE hash = ?", (name,)
        ).fetchall()
    )
    with running.bank() as bank, pytest.raises(Denied) as caught:
        send(bank, question(running, victim, contract=name))
    assert caught.value.reason == "CONTRACT_NOT_APPROVED"


def test_a_retired_contract_is_not_run(
    running: German, bank: BankClient, victim: str, another: str, evil: EvilHouse
) -> None:
    """Retired at the authority only: the house may not go on with it."""
    text = TEXT.replace("version: 1\n", "version: 23\n", 1)
    compiled = running.submit(text, running.datasets)
    first = question(running, victim, contract=compiled.hash)
    assert send(bank, first).answer.box
    payload = Retirement("housing-loans", compiled.hash).to_bytes()
    signed = running.sign("housing-loans", Tag.RETIREMENT, payload)
    registry = running.authority.registry
    running.authority.ledger.commit(lambda tx: registry.retire(tx, signed))
    # The house has an answer to repeat, but no leave.
    with pytest.raises(Denied) as caught:
        send(bank, question(running, victim, contract=compiled.hash))
    assert caught.value.reason == "CONTRACT_RETIRED"
    asked = question(running, another, contract=compiled.hash)
    assert evil.refused(asked, evil.compute(asked)).reason == "CONTRACT_RETIRED"
    assert uses(running, f"c-{victim}") == 1


def test_one_contracts_ticket_is_not_anothers(
    running: German, victim: str, evil: EvilHouse
) -> None:
    """A request for an approved contract, a ticket for one that is not."""
    name, signed = submitted(running, 24)
    for core in (running.authority, running.house):
        registry = core.registry
        core.ledger.commit(lambda tx, r=registry: r.submit(tx, signed))
    asked = question(running, victim)
    made = evil.compute(asked)
    crossed = replace(made, ticket=replace(made.ticket, contract=name))
    assert evil.refused(asked, crossed).reason == "TICKET_INVALID"
