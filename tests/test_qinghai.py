"""Qinghai's 青信融: the list, contracts and plain Python say the same."""

from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from contracts import kinds
from contracts.attributes import PublicAttributes
from contracts.compiled import Compiled
from contracts.dataset import Dataset
from contracts.decide import Reason
from contracts.subject import SubjectType, canonical_id
from examples import plain
from examples.plain import Tables
from node.templates import templates
from tests import programmes

FOLDER = Path(__file__).parents[1] / "examples/qinghai-qingxinrong"
SCORES = ("qxr-score", "own-model")
COUNT = 160

scripts, oracle = programmes.fixtures(FOLDER)


@pytest.fixture(scope="module")
def datasets() -> dict[str, Dataset]:
    """Read every dataset's document."""
    return programmes.documents(FOLDER)


@pytest.fixture(scope="module")
def compiled(datasets: dict[str, Dataset]) -> dict[str, Compiled]:
    """Compile both scores, golden examples and rules included."""
    return programmes.compile_all(FOLDER, SCORES, datasets)


@pytest.fixture(scope="module")
def tables(
    scripts: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory
) -> Tables:
    """Make up some firms."""
    made = tmp_path_factory.mktemp("data")
    scripts.make_data.main(made, COUNT, 7)
    return plain.tables(made)


def test_items_of_the_list_are_templates_filled_in(
    datasets: dict[str, Dataset],
) -> None:
    """But for the one that is the province's own: columns and cycle as they were."""
    known = {item.dataset.name: item.dataset for item in templates()}
    own = set(datasets) - set(known)
    assert own == {"pastoral"}
    for name in set(datasets) - own:
        ours, theirs = datasets[name], known[name]
        assert (ours.columns, ours.category, ours.cycle, ours.tier) == (
            theirs.columns,
            theirs.category,
            theirs.cycle,
            theirs.tier,
        )
        assert ours.unit.startswith("青海省")


def test_no_rule_is_waived_and_the_own_model_is_one_banks(
    compiled: dict[str, Compiled],
) -> None:
    """It can be run in a job; the province's score is open to all."""
    assert all(card.waivers == () and card.batch for card in compiled.values())
    assert compiled["own-model"].banks == ("qhbank",)
    assert compiled["qxr-score"].banks == ("citybank", "qhbank", "ruralbank")


@pytest.mark.parametrize("name", ["region-statistics", "trade-statistics"])
def test_statistics_are_admitted(name: str, datasets: dict[str, Dataset]) -> None:
    """They keep the rules."""
    path = FOLDER / f"contracts/{name}.yaml"
    kinds.read(path.read_bytes(), path.name).admit(datasets)


@pytest.mark.parametrize("name", SCORES)
def test_every_firm_is_told_what_plain_python_says(
    name: str,
    oracle: ModuleType,
    compiled: dict[str, Compiled],
    datasets: dict[str, Dataset],
    tables: Tables,
) -> None:
    """Kind, reason, every field and the score that nobody is told."""
    cases = [(subject, tables) for subject in list(tables["firms"])]
    rules = oracle.CARDS[name].tell
    assert len(programmes.agree(compiled[name], datasets, rules, cases)) > 5


@pytest.mark.parametrize("name", SCORES)
def test_every_class_and_veto_is_worth_what_plain_python_says(
    name: str,
    oracle: ModuleType,
    compiled: dict[str, Compiled],
    datasets: dict[str, Dataset],
    tables: Tables,
) -> None:
    """One cell at a time, on a firm with a score."""
    card = oracle.CARDS[name]
    cases = programmes.changes(card, tables, list(tables["firms"]))
    assert programmes.agree(compiled[name], datasets, card.tell, cases)


def test_a_rate_is_rounded_down_and_of_the_firms_that_an_item_is_of(
    scripts: SimpleNamespace, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row missing of very many is not all of them; nothing pushed is nothing."""
    run = scripts.run
    held = {
        "pastoral": SimpleNamespace(present=79),
        "power": SimpleNamespace(present=0),
        "tax-paid": SimpleNamespace(present=160),
    }
    monkeypatch.setattr(run.programme, "at_node", lambda *_: held)
    qinghai = run.Qinghai(tables, plain.Grants({}), frozenset(run.BANKS))
    items = {item.dataset.name: item for item in run.gathered(None, qinghai)}
    assert len(items) == 16
    rates = [run.rate([items[name]]) for name in ("pastoral", "power", "tax-paid")]
    assert rates == ["98.7 %", "0.0 %", "100.0 %"]
    assert run.rate([items["patents"]]) == "0.0 %"  # never registered
    every = run.Gathered(items["power"].dataset, 100_000, 99_999)
    assert run.rate([every]) == "99.9 %"


def test_the_assessment_gates_the_class_and_not_who_was_named(
    scripts: SimpleNamespace,
) -> None:
    """Only members are grantees by the class; a bank by its name is, whatever it is."""
    run = scripts.run
    purpose = [scripts.make_data.PURPOSE]
    grants = plain.Grants(
        {
            "class": plain.Given("c-1", [scripts.oracle.ASSESSED], purpose),
            "named": plain.Given("c-2", ["qhbank"], purpose),
        }
    )
    out = run.Qinghai({}, grants, frozenset({"ruralbank"}))
    said = [out.expected("citybank", run.SCORE, s).reason for s in ("class", "named")]
    assert said == [Reason.NO_CONSENT] * 2
    assert out.expected("ruralbank", run.OWN, "class").reason == run.UNKNOWN
    assert run.UNKNOWN == Reason.CONTRACT_UNKNOWN
    assert out.expected("qhbank", run.SCORE, "class").reason == Reason.NO_CONSENT
    with pytest.raises(KeyError):  # it may ask, and nobody is in the tables
        out.expected("qhbank", run.SCORE, "named")


def test_attributes_are_the_places_of_the_register(scripts: SimpleNamespace) -> None:
    """Every region and trade that is drawn is a class; ten firms in every cell."""
    make = scripts.make_data
    path = FOLDER / "attributes/firms.yaml"
    attributes = PublicAttributes.from_yaml(path.read_bytes(), path.name)
    classes = [item.attribute.classes for item in attributes.columns]
    assert (classes[0], classes[1][:2]) == (make.REGIONS, make.TRADES)
    rows = list(make.register(COUNT))
    assert set(Counter(row[1:] for row in rows).values()) == {10}
    ids = {canonical_id(SubjectType.CN_USCC, row[0]) for row in rows}
    assert len(ids) == COUNT
    assert {(row[0][2:8], row[1]) for row in rows} == set(
        zip(make.QINGHAI, make.REGIONS, strict=True)
    )


def test_the_same_seed_makes_the_same_firms(
    scripts: SimpleNamespace, tmp_path: Path
) -> None:
    """Byte for byte; another seed makes another."""
    assert programmes.made_twice(scripts.make_data, tmp_path, 20)


@pytest.mark.slow
def test_the_whole_programme_runs_and_every_outcome_is_right(tmp_path: Path) -> None:
    """And the tables and the picture of the folder are those it makes."""
    files = ("list.csv", "lent.csv", "lent.svg")
    said = programmes.run_whole(FOLDER, tmp_path, files)
    assert "0 of 244 outcomes differ from plain Python" in said
