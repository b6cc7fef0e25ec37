"""Scores that no table holds: split and threshold gates, one and two ciphertexts.

Whole calls at running nodes, compared with the plain definition, computed again by
auditors; and what jobs say of them.
"""

from collections.abc import Iterator

import pytest

from contracts.compile import evaluate
from contracts.compiled import Compiled
from contracts.decide import decide_job
from contracts.transcript import Transcripts
from node.client import BankClient
from node.transcript import find_cases, sample
from node.verify import verify
from tests.simulator import World
from tests.turnover import MOST, THRESHOLD, Town, wide_source

VALUES = [0, 7, THRESHOLD - 1, THRESHOLD, THRESHOLD + 1, MOST, None, MOST // 2]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Run a town."""
    with World(tmp_path_factory.mktemp("wide")) as world:
        made = Town(world, VALUES)
        for subject in made.ids:
            made.grant(subject, scope=("dataset:tax",))
        yield made


@pytest.fixture(scope="module")
def bank(town: Town) -> Iterator[BankClient]:
    """Open the bank's SDK."""
    with town.bank() as client:
        yield client


def check(town: Town, bank: BankClient, compiled: Compiled, column: str) -> None:
    """Compare every subject's outcome with the plain one."""
    cells_of = {"turnover": town.turnover, "staff": town.staff}[column]
    for subject, value in town.turnover.items():
        cells = {"tax": {column: str(cells_of[subject])}} if value is not None else {}
        plain = compiled.explain(evaluate(compiled, town.all_datasets, cells).code)
        outcome = bank.score(compiled.id, subject, consent=f"c-{subject}")
        got = outcome.kind, dict(outcome.fields)
        assert got == (plain.answer, dict(plain.outcome))


def test_a_threshold_gate_is_exact(town: Town, bank: BankClient) -> None:
    """2^37 totals, and a threshold that one of them meets."""
    compiled = town.query(wide_source("wide", "turnover", THRESHOLD + 10))
    assert (compiled.gate, compiled.card.m, compiled.card.parts) == ("thr", 39, 2)
    check(town, bank, compiled, "turnover")
    for number, expected in ((2, "C"), (3, "B")):
        subject = town.ids[number]
        again = bank.score("wide", subject, consent=f"c-{subject}")
        assert (again.repeated, dict(again.fields)) == (True, {"grade": expected})


def test_a_split_gate_serves_single_calls(town: Town, bank: BankClient) -> None:
    """A score of 14 bits: two small tables."""
    compiled = town.query(wide_source("middling", "staff", 37 * 4 + 10))
    assert (compiled.gate, compiled.card.m, compiled.card.parts) == ("split", 14, 1)
    check(town, bank, compiled, "staff")


def test_auditors_compute_wide_scores_again(town: Town, bank: BankClient) -> None:
    """Both ciphertexts, the veto tables, the key and the pads, byte for byte."""
    assert bank.flush() == 0
    folder = town.world.folder / "export"
    with town.world.auditor() as first, town.world.auditor("auditor-b") as second:
        first.export(folder)
        trust = town.world.domain
        assert verify(folder, trust, openings=town.openings).findings == ()
        transcripts = Transcripts(trust.paillier)
        cases = find_cases(folder, trust, sample(folder, trust, 100, bytes(32)))
        gates = [case.compiled.gate for case in cases if case.compiled is not None]
        assert sorted(gates) == ["split"] * len(VALUES) + ["thr"] * len(VALUES)
        for case in cases:
            shares = [auditor.seed_share(case) for auditor in (first, second)]
            blocks = first.blocks(case)
            assert transcripts.replay(case, shares, blocks).identical


def test_a_job_says_that_a_score_is_too_wide(town: Town) -> None:
    """Before any subject is looked up, with a reason of its own."""
    registry = town.house.registry
    with town.house.ledger.reader() as db:
        terms = {
            name: registry.terms(db, registry.newest(db, name).compiled.hash)
            for name in ("wide", "middling")
        }
    (finding,) = decide_job("jnrcb", "loan-precheck", terms["wide"]).reasons
    assert str(finding) == "CONTRACT_KIND: contract `wide` is too wide for a job"
    assert decide_job("jnrcb", "loan-precheck", terms["middling"]).allow
