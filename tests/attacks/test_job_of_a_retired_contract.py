"""A job goes on after custodians have retired its contract.

They retire one because of what it lets banks find out.  So it is asked for at each
step: when a job is handed in, when its entries are permitted, and before the key is
used.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from contracts import job_bodies
from contracts.lifecycle import Retirement
from contracts.replay import Role
from node import job_run
from node.errors import Denied
from node.job_authority import JobAuthority
from node.job_client import Progress
from node.job_store import State
from protocols.canon import Tag
from protocols.entry import Kind
from tests.crowds import Crowd
from tests.german import FOLDER

RETIRED = "CONTRACT_RETIRED"


@pytest.fixture(scope="module")
def versions() -> Iterator[int]:
    """Count the versions of the contract."""
    return count(2)


@pytest.fixture
def contract(crowd: Crowd, versions: Iterator[int]) -> bytes:
    """Put a version of the contract into force that the test may retire."""
    text = (FOLDER / "contract.yaml").read_text()
    text = text.replace("version: 1\n", f"version: {next(versions)}\n", 1)
    return crowd.german.submit(text, crowd.german.datasets).hash


def retire(crowd: Crowd, contract: bytes, *nodes: str) -> None:
    """Retire it at some nodes."""
    payload = Retirement("housing-loans", contract).to_bytes()
    signed = crowd.german.sign("housing-loans", Tag.RETIREMENT, payload)
    for node in nodes:
        core = getattr(crowd.german, node)
        core.ledger.commit(lambda tx, core=core: core.registry.retire(tx, signed))


@pytest.mark.parametrize("nodes", [("house", "authority"), ("authority",)])
def test_it_is_not_handed_in(
    crowd: Crowd, contract: bytes, nodes: tuple[str, ...]
) -> None:
    """Nor where only the authority has heard of it."""
    ids = crowd.people(3)
    retire(crowd, contract, *nodes)
    with crowd.bank() as bank, pytest.raises(Denied) as caught:
        bank.submit(contract, crowd.pairs(ids))
    assert caught.value.reason == RETIRED
    assert crowd.uses(ids) == [0, 0, 0]


def run(
    crowd: Crowd, contract: bytes, patch: pytest.MonkeyPatch, at: Callable[..., Any]
) -> tuple[Progress, Counter[str], list[str]]:
    """Retire the contract at the authority before its third call of a function."""
    calls = []

    def called(desk: JobAuthority, *given: object) -> object:
        calls.append(given)
        if len(calls) == 3:
            retire(crowd, contract, "authority")
        return at(desk, *given)

    patch.setattr(JobAuthority, at.__name__, called)
    patch.setattr(job_run, "COURIERS", 1)
    ids = crowd.people(44)
    with crowd.bank() as bank:
        job = bank.submit(contract, crowd.pairs(ids))
        end = crowd.end(bank, job)
        outcomes = crowd.outcomes(bank, job)
    kinds = Counter(
        f"{outcome.kind} {outcome.reason}" if outcome.kind == "denied" else outcome.kind
        for outcome in outcomes.values()
    )
    return end, kinds, ids


def test_entries_are_not_permitted(
    crowd: Crowd, contract: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retired between two stretches: each of the later entries is denied for it."""
    monkeypatch.setattr(job_run, "STRETCH", 12)
    end, kinds, ids = run(crowd, contract, monkeypatch, JobAuthority.permit)
    assert end.denied > 0
    assert kinds[f"denied {RETIRED}"] == end.denied
    journal = list(enumerate(crowd.entries(Role.AUTHORITY)))
    permits = [
        (index, job_bodies.Permit.parse(entry.body))
        for index, entry in journal
        if entry.kind is Kind.JOB_PERMIT and entry.call == end.job.hex()
    ]
    *_, retired = (i for i, entry in journal if entry.kind is Kind.CONTRACT_RETIRE)
    assert all(index < retired for index, _ in permits)
    seats = [seat for _, permit in permits for seat in permit.seats]
    assert sum(crowd.uses(ids)) == sum(len(seat.entries) for seat in seats) > 0
    assert crowd.replayed()[0] == []


def test_nothing_is_decrypted(
    crowd: Crowd, contract: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retired between permit and decryption: the job is denied, the rest not opened."""
    end, kinds, _ = run(crowd, contract, monkeypatch, JobAuthority._check_ticket)
    assert end.state is State.DENIED
    assert end.reason.startswith(RETIRED)
    assert kinds["open"] > 0
    opened = kinds["scored"] + kinds["vetoed"]
    assert opened == end.released
    decrypted = [
        job_bodies.Decrypt.parse(entry.body)
        for entry in crowd.entries(Role.AUTHORITY)
        if entry.kind is Kind.JOB_DECRYPT and entry.call == end.job.hex()
    ]
    assert len(decrypted) == 2
    assert crowd.replayed()[0] == []


def test_a_decryption_after_all_is_found(
    crowd: Crowd, contract: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An authority that goes on contradicts its own journal."""
    monkeypatch.setattr(JobAuthority, "_in_force", lambda *_: [])
    end, _, _ = run(crowd, contract, monkeypatch, JobAuthority._check_ticket)
    assert end.state is State.FINISHED
    found = crowd.replayed()[0]
    assert {str(one.mark) for one in found} == {"DECISION_DIFFERS"}
    assert all("decrypted, but replay denies" in one.message for one in found)
