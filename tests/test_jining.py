"""Jining's sharing: templates, contracts and plain Python say the same."""

from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from contracts import kinds
from contracts.attributes import PublicAttributes
from contracts.compiled import Compiled
from contracts.dataset import Dataset
from contracts.scoring import ScoringContract
from contracts.subject import SubjectType, canonical_id
from examples import plain
from examples.plain import Tables
from node.templates import templates
from tests import programmes

FOLDER = Path(__file__).parents[1] / "examples/jining-sharing"
DATASETS: dict[str, Dataset] = {t.dataset.name: t.dataset for t in templates()}
OTHERS = ("turnover-check", "turnover-floor", "high-tech-statistics")
COUNT = 120

scripts, oracle = programmes.fixtures(FOLDER)


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    """Compile the score, golden examples and rules included."""
    return programmes.admitted(document(), DATASETS)


@pytest.fixture(scope="module")
def tables(
    scripts: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory
) -> Tables:
    """Make up some firms: dataset, subject, row."""
    folder = tmp_path_factory.mktemp("data")
    scripts.make_data.main(folder, COUNT, 7)
    return plain.tables(folder)


def document() -> ScoringContract:
    """Read the score."""
    return programmes.document(FOLDER, "sme-credit")


@pytest.mark.parametrize("name", OTHERS)
def test_queries_and_statistic_are_admitted_on_the_templates(name: str) -> None:
    """Their examples come out, and they keep the rules."""
    path = FOLDER / f"contracts/{name}.yaml"
    kinds.read(path.read_bytes(), path.name).admit(DATASETS)


def test_no_rule_is_waived_and_a_job_can_ask(compiled: Compiled) -> None:
    """Pushes by region and industry are jobs."""
    assert compiled.waivers == ()
    assert compiled.batch


def test_the_score_has_something_of_every_category(compiled: Compiled) -> None:
    """Of thirteen as points, of the lists of grave offenders as a veto."""
    categories = {DATASETS[use.id].category for use in compiled.datasets}
    assert categories == {dataset.category for dataset in DATASETS.values()}
    titles = [group.title for group in document().groups]
    lists = "严重失信主体名单"
    assert sorted([*titles, lists]) == sorted(categories)


def test_attributes_are_the_places_of_the_register(scripts: SimpleNamespace) -> None:
    """Every county and trade that is drawn is a class, in the same order."""
    path = FOLDER / "attributes.yaml"
    attributes = PublicAttributes.from_yaml(path.read_bytes(), path.name)
    classes = [item.attribute.classes for item in attributes.columns]
    assert classes[0] == scripts.make_data.COUNTIES
    assert classes[1][:2] == scripts.make_data.TRADES


def test_every_firm_is_told_what_plain_python_says(
    oracle: ModuleType, compiled: Compiled, tables: Tables
) -> None:
    """Kind, reason, every field and the score that nobody is told."""
    cases = [(subject, tables) for subject in tables["enterprises"]]
    kinds_ = programmes.agree(compiled, DATASETS, oracle.CARD.tell, cases)
    assert kinds_["discredited"] + kinds_["closing"] > 0
    assert kinds_["insufficient_data"] > 0


def test_every_class_and_veto_is_worth_what_plain_python_says(
    oracle: ModuleType, compiled: Compiled, tables: Tables
) -> None:
    """One cell at a time, on a firm with a score."""
    cases = programmes.changes(oracle.CARD, tables, tables["enterprises"])
    found = programmes.agree(compiled, DATASETS, oracle.CARD.tell, cases)
    assert (found["discredited"], found["closing"]) == (4, 4)


@pytest.mark.parametrize("name", ["turnover-check", "turnover-floor"])
def test_queries_about_the_turnover_say_what_plain_python_says(
    name: str, oracle: ModuleType
) -> None:
    """For their golden examples: at the threshold, at the tolerance, to the fen."""
    path = FOLDER / f"contracts/{name}.yaml"
    written: Any = kinds.read(path.read_bytes(), path.name).source
    answers = set()
    for example in written.examples:
        cells = [cell for _, cell in example.given]
        rows = {"firm": {"上年度申报销售额": cells[0]}} if cells else {}
        tables = {"tax-paid": rows}
        said = (
            oracle.check(tables, "firm", example.claim)
            if example.claim
            else oracle.floor(tables, "firm")
        )
        assert said == (example.expect or "insufficient_data")
        answers.add(said)
    assert len(answers) == 3


def test_reconciliation_tells_what_differs(
    scripts: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another count, another period, nothing at the node; and nothing of the rest."""
    run = scripts.run
    path = tmp_path / "table.csv"
    path.write_text(f"{run.ID}\na\nb\nb\n", encoding="utf-8")  # two firms
    held = {
        name: SimpleNamespace(vintage=vintage, present=count)
        for name, vintage, count in (
            *(("same", "2026-10", 2), ("fewer", "2026-10", 1)),
            *(("older", "2026-09", 2), ("never", "", 0)),
        )
    }
    monkeypatch.setattr(run.programme, "at_node", lambda *_: held)
    names = ("same", "fewer", "older", "never", "unknown")
    assert run.reconcile(None, dict.fromkeys(names, ("2026-10", path))) == [
        "fewer: 2026-10 2 firms at the department, 2026-10 1 at the node",
        "older: 2026-10 2 firms at the department, 2026-09 2 at the node",
        "never: 2026-10 2 firms at the department, none 0 at the node",
        "unknown: 2026-10 2 firms at the department, none 0 at the node",
    ]


def test_the_same_seed_makes_the_same_firms(
    scripts: SimpleNamespace, tmp_path: Path
) -> None:
    """Byte for byte; another seed makes another."""
    assert programmes.made_twice(scripts.make_data, tmp_path, 10)


def test_nobody_in_it_is_there_twice(scripts: SimpleNamespace) -> None:
    """Check signs are right; a code says the county; every cell has ten firms."""
    rows = list(scripts.make_data.register(220))
    ids = [canonical_id(SubjectType.CN_USCC, row[0]) for row in rows]
    assert len(set(ids)) == 220
    codes = {(row[0][2:8], row[1]) for row in rows}
    assert len(codes) == 11
    assert set(Counter(row[1:] for row in rows).values()) == {10}


@pytest.mark.slow
def test_the_whole_programme_runs_and_every_outcome_is_right(tmp_path: Path) -> None:
    """And the table and the picture of the folder are those it makes."""
    said = programmes.run_whole(FOLDER, tmp_path, ("pushed.csv", "pushed.svg"))
    assert "0 of 2890 outcomes differ from plain Python" in said
