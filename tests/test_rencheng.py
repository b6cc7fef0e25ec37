"""Rencheng's whole district: documents, handbook and plain Python say the same."""

import re
from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from contracts.compile import compile_contract
from contracts.compiled import Compiled
from contracts.dataset import Dataset
from contracts.scoring import ScoringContract
from contracts.subject import SubjectType, canonical_id
from examples import picture, plain
from examples.plain import Tables
from tests import handbooks, programmes
from tests.programmes import told

FOLDER = Path(__file__).parents[1] / "examples/rencheng-whole-district"
CONTRACTS = ("resident-credit", "farm-credit", "enterprise-credit", "scitech-credit")
SECOND = "enterprise-credit-2"
DEFAULT = ("financial", "loan-defaults", "银行报送违约", "是")
PRODUCT = re.compile(r"^    \w+_loan: .*\n", re.MULTILINE)
COUNT = 120

scripts, oracle = programmes.fixtures(FOLDER)


@pytest.fixture(scope="module")
def datasets() -> dict[str, Dataset]:
    """Read every dataset's document."""
    return programmes.documents(FOLDER)


def document(name: str) -> ScoringContract:
    """Read a contract."""
    return programmes.document(FOLDER, name)


@pytest.fixture(scope="module")
def compiled(datasets: dict[str, Dataset]) -> dict[str, Compiled]:
    """Compile every contract, golden examples and rules included."""
    return programmes.compile_all(FOLDER, (*CONTRACTS, SECOND), datasets)


@pytest.fixture(scope="module")
def tables(
    scripts: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory
) -> Tables:
    """Make up a small district: dataset, subject, row."""
    folder = tmp_path_factory.mktemp("data")
    scripts.make_data.main(folder, COUNT, COUNT, 7)
    found = dict(plain.tables(folder))
    found["loan-defaults"] = {
        subject: {DEFAULT[2]: "是" if number % 7 == 0 else "否"}
        for number, subject in enumerate(found["enterprises"])
    }
    return found


def rules(oracle: ModuleType, name: str) -> Any:  # noqa: ANN401  a script's class
    """Make the oracle of a contract."""
    if name == SECOND:
        return oracle.Oracle("enterprise-credit", [DEFAULT])
    return oracle.Oracle(name)


def people(name: str, tables: Tables) -> list[str]:
    """List the subjects that a contract is asked about."""
    kind = "residents" if name in ("resident-credit", "farm-credit") else "enterprises"
    return list(tables[kind])


@pytest.mark.parametrize("name", ["resident-credit", "enterprise-credit"])
def test_ten_first_level_thirty_six_second_level_thirty_vetoes(name: str) -> None:
    """As the programme counts them."""
    contract = document(name)
    assert len(contract.groups) == 10
    assert len(contract.indicators) == 36
    assert sum(len(veto.flags) for veto in contract.vetoes) == 30


def test_no_rule_is_waived_and_a_job_can_ask(compiled: dict[str, Compiled]) -> None:
    """White lists are jobs: the score and its groups fit into one slot."""
    assert all(card.waivers == () and card.batch for card in compiled.values())


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_handbook_names_what_the_contract_reads(
    name: str, oracle: ModuleType, datasets: dict[str, Dataset]
) -> None:
    """In the same order, under the same titles, from the same columns of tables."""
    handbooks.check_names(document(name), oracle.handbook(name), datasets)


@pytest.mark.parametrize("name", [*CONTRACTS, SECOND])
def test_every_subject_is_told_what_plain_python_says(
    name: str,
    oracle: ModuleType,
    compiled: dict[str, Compiled],
    datasets: dict[str, Dataset],
    tables: Tables,
) -> None:
    """Kind, reason, every field and the score that nobody is told."""
    cases = [(subject, tables) for subject in people(name, tables)]
    tell = rules(oracle, name).tell
    outcomes = programmes.agree(compiled[name], datasets, tell, cases)
    assert sum(n for outcome, n in outcomes.items() if "grade" in outcome) > 10


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_class_of_every_indicator_is_worth_what_the_handbook_says(
    name: str,
    oracle: ModuleType,
    datasets: dict[str, Dataset],
) -> None:
    """Both ends of every interval, every text, the empty cell."""
    handbooks.check_classes(document(name), oracle.handbook(name), datasets)


@pytest.mark.parametrize("name", [*CONTRACTS, SECOND])
def test_every_veto_rejects_and_names_its_group(
    name: str,
    oracle: ModuleType,
    compiled: dict[str, Compiled],
    datasets: dict[str, Dataset],
    tables: Tables,
) -> None:
    """One flag at a time, on somebody with a score."""
    judge = rules(oracle, name)
    cases = programmes.changes(judge, tables, people(name, tables))
    found = programmes.agree(compiled[name], datasets, judge.tell, cases)
    vetoed = sum(found[reason] for reason in {veto[0] for veto in judge.vetoes})
    assert vetoed >= len(judge.vetoes) == (31 if name == SECOND else 30)


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_score_becomes_what_plain_python_says(
    name: str, oracle: ModuleType, compiled: dict[str, Compiled]
) -> None:
    """For each of the possible totals: grade, limit, rate, products."""
    handbooks.check_scores(rules(oracle, name), compiled[name])


def test_ten_points_more_are_ten_thousand_yuan_more(
    compiled: dict[str, Compiled],
) -> None:
    """From 500 on, to 300,000 yuan at 800; in the words of the programme."""
    card = compiled["resident-credit"].card
    base, fen = compiled["resident-credit"].base, 100
    limits = {}
    for first, outcome in card.steps:
        limits[first + base] = dict(compiled["resident-credit"].outcomes[outcome])
    yuan = {score: int(each["limit"]) // fen for score, each in limits.items()}
    assert [yuan[score] for score in range(510, 801, 10)] == [
        10_000 * step for step in range(1, 31)
    ]
    assert max(yuan.values()) == 300_000
    assert max(limits) == 800


def test_a_taxpayer_of_level_a_has_a_hundred_points(
    oracle: ModuleType,
    compiled: dict[str, Compiled],
    datasets: dict[str, Dataset],
    tables: Tables,
) -> None:
    """The same firm at level B has a hundred fewer, and AAA means 500,000 yuan."""
    judge = oracle.Oracle("enterprise-credit")
    firm = next(
        s for s in tables["enterprises"] if judge.tell(tables, s).kind == "scored"
    )
    scores = []
    for level in "BA":
        row = {**tables["enterprise-tax"][firm], "纳税信用级别": level}
        changed = {**tables, "enterprise-tax": {firm: row}}
        scores.append(told(compiled["enterprise-credit"], datasets, changed, firm)[3])
    assert scores[1] - scores[0] == 100
    best = dict(compiled["enterprise-credit"].outcomes[-1])
    assert (best["grade"], best["limit"]) == ("AAA", 50_000_000)


def test_sixteen_products_tell_nothing_that_the_limit_does_not(
    oracle: ModuleType, compiled: dict[str, Compiled], datasets: dict[str, Dataset]
) -> None:
    """Without them a contract has as many outcomes, and as many bits a call."""
    products = 0
    for name in CONTRACTS:
        text = (FOLDER / f"contracts/{name}.yaml").read_text("utf-8")
        bare, count = PRODUCT.subn("", text)
        bare = bare[: bare.index("  examples:\n")]
        bare += "  examples: [{given: {}, insufficient_data: true}]\n"
        without = compile_contract(ScoringContract.from_yaml(bare, name), datasets)
        products += count
        assert count == len(oracle.PRODUCTS[name])
        assert without.millibits == compiled[name].millibits
    assert products == 16


def test_version_two_is_version_one_and_a_reported_default() -> None:
    """One more flag in one group; whoever defaulted is told the group and no more."""
    first, second = document("enterprise-credit"), document(SECOND)
    assert (first.name, first.version) == (second.name, second.version - 1)
    assert (first.base, first.groups) == (second.base, second.groups)
    assert (first.outcome, first.banks) == (second.outcome, second.banks)
    ours = {v.reason: [str(flag) for flag in v.flags] for v in first.vetoes}
    ours["financial"].append("loan-defaults.reported")
    assert {v.reason: [str(flag) for flag in v.flags] for v in second.vetoes} == ours


def test_the_same_seed_makes_the_same_district(
    scripts: SimpleNamespace, tmp_path: Path
) -> None:
    """Byte for byte; another seed makes another."""
    assert programmes.made_twice(scripts.make_data, tmp_path, 15, 15)


def test_nobody_in_it_exists(scripts: SimpleNamespace) -> None:
    """Check digits are right; nobody born in the 1850s was ever given a number."""
    residents = [row[0] for row in scripts.make_data.register("residents", 300)]
    firms = [row[0] for row in scripts.make_data.register("enterprises", 300)]
    for kind, ids in (
        (SubjectType.CN_RESIDENT_ID, residents),
        (SubjectType.CN_USCC, firms),
    ):
        assert len({canonical_id(kind, text) for text in ids}) == 300
    assert {text[6:9] for text in residents} == {"185"}
    assert {text[:2] for text in firms} == {"91", "92", "93"}
    assert all(text[2:8] == "370811" for text in firms)


def test_every_town_has_as_many(scripts: SimpleNamespace) -> None:
    """So no cell of attributes is small where a district is not."""
    rows = list(scripts.make_data.register("enterprises", 300))
    assert set(Counter(row[1:] for row in rows).values()) == {10}


def test_defaulters_whom_the_counter_may_not_ask_about(
    scripts: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a small district there may be none with a consent to it: that is said."""
    run = scripts.run
    given = {
        "one": plain.Given("c-1", ["jnrcb"], ["pre-approval"]),
        "two": plain.Given("c-2", ["ryrcb"], ["pre-approval"], withdrawn=True),
    }
    district = run.District(Path(), {}, plain.Grants(given), {}, {})
    facts = run.Facts()
    run.ask_again(None, district, {"one", "two", "nobody"}, facts)
    assert "ryrcb may ask about none of them" in capsys.readouterr().out
    assert facts.compared == 0


def test_names_in_a_picture_are_text() -> None:
    """Of towns as of columns."""
    svg = picture.draw("<a>", ["<b>"], ["<c>"], {("<b>", "<c>"): (1, 20_000)})
    texts = {item.text for item in ET.fromstring(svg)}
    assert {"<a>", "<b>", "<c>"} <= texts


@pytest.mark.slow
def test_the_whole_programme_runs_and_every_outcome_is_right(tmp_path: Path) -> None:
    """And the tables and the picture of the folder are those it makes."""
    files = ("whitelist.csv", "whitelist.svg", "products.csv")
    said = programmes.run_whole(FOLDER, tmp_path, files)
    assert "0 of 2121 outcomes differ from plain Python" in said
