"""Guangdong's programmes: documents, handbook and plain Python say the same."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contracts import kinds
from contracts.attributes import PublicAttributes
from contracts.compiled import Compiled
from contracts.dataset import Dataset
from contracts.subject import SubjectType, canonical_id
from examples import plain
from examples.plain import NO_CONSENT, WITHDRAWN, Given, Grants, Tables
from node.domain import Role
from node.errors import NodeError
from node.initialise import read_members
from tests import handbooks, programmes

FOLDER = Path(__file__).parents[1] / "examples/guangdong-credit"
CONTRACTS = ("liwan-portrait", "early-warning", "innovation-points", "farm-stars")
SIZES = (110, 110, 110)


scripts, _ = programmes.fixtures(FOLDER, "rank")


@pytest.fixture(scope="module")
def datasets() -> dict[str, Dataset]:
    """Read every dataset's document."""
    return programmes.documents(FOLDER)


@pytest.fixture(scope="module")
def compiled(datasets: dict[str, Dataset]) -> dict[str, Compiled]:
    """Compile every score, golden examples and rules included."""
    return programmes.compile_all(FOLDER, CONTRACTS, datasets)


@pytest.fixture(scope="module")
def tables(
    scripts: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory
) -> Tables:
    """Make up some subjects."""
    folder = tmp_path_factory.mktemp("data")
    scripts.make_data.main(folder, *SIZES, 7)
    return plain.tables(folder)


def subjects(name: str, tables: Tables) -> list[str]:
    """List the subjects of a register that a contract is about."""
    return list(tables["households" if name == "farm-stars" else "enterprises"])


def test_aspects_dimensions_and_indicators_are_as_many_as_in_the_programmes() -> None:
    """4 and 23; 18 core and 22 local; 8 products; 9 lenders of 12 banks."""
    portrait = programmes.document(FOLDER, "liwan-portrait")
    assert (len(portrait.groups), len(portrait.indicators)) == (4, 23)
    points = programmes.document(FOLDER, "innovation-points")
    kinds_: Counter[bool] = Counter()
    for group in points.groups:
        kinds_[group.name.startswith("core-")] += len(group.indicators)
    assert (kinds_[True], kinds_[False]) == (18, 22)
    assert sum(each.name.endswith("_loan") for each in points.outcome) == 8
    assert len(points.banks) == 12


def test_classes_of_banks_are_banks_of_the_table(scripts: SimpleNamespace) -> None:
    """The alliance has nine lenders, the zone all twelve banks."""
    members = read_members(FOLDER / "parties.csv")
    banks = {member.id for member in members if member.role is Role.BANK}
    classes = scripts.run.CLASSES
    assert {*classes["zone"]} == banks
    assert (len(classes["alliance"]), len(classes["zone"])) == (9, 12)
    assert {*classes["alliance"]} < banks
    assert scripts.run.OUTSIDER in banks - {*classes["alliance"]}


def test_no_rule_is_waived_and_a_job_can_ask(compiled: dict[str, Compiled]) -> None:
    """Each score is asked about lists."""
    assert all(card.waivers == () and card.batch for card in compiled.values())


@pytest.mark.parametrize("name", CONTRACTS)
def test_handbook_and_contract_say_the_same(
    name: str, scripts: SimpleNamespace, datasets: dict[str, Dataset]
) -> None:
    """Of names, titles, columns, and of what every class is worth."""
    contract, its = programmes.document(FOLDER, name), scripts.oracle.handbook(name)
    handbooks.check_names(contract, its, datasets)
    handbooks.check_classes(contract, its, datasets)


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_subject_is_told_what_plain_python_says(
    name: str,
    scripts: SimpleNamespace,
    compiled: dict[str, Compiled],
    datasets: dict[str, Dataset],
    tables: Tables,
) -> None:
    """Kind, reason, every field and the score; every veto, every possible total."""
    judge, ids = scripts.oracle.Oracle(name), subjects(name, tables)
    cases = [(subject, tables) for subject in ids]
    found = programmes.agree(compiled[name], datasets, judge.tell, cases)
    assert sum(n for outcome, n in found.items() if outcome.startswith("{")) > 10
    cases = list(programmes.changes(judge, tables, ids))
    found = programmes.agree(compiled[name], datasets, judge.tell, cases)
    vetoed = sum(found[reason] for reason in {veto[0] for veto in judge.vetoes})
    assert vetoed >= len(judge.vetoes)
    handbooks.check_scores(judge, compiled[name])


def test_civility_raises_the_limit_of_a_household(
    scripts: SimpleNamespace, tables: Tables
) -> None:
    """优秀 by 40,000 yuan, 良好 by 20,000, where neither end of the ladder is near."""
    judge, village = scripts.oracle.Oracle("farm-stars"), tables["farm-village"]
    limits: dict[str, int] = {}
    household = next(
        s
        for s in subjects("farm-stars", tables)
        if judge.tell(tables, s).kind == "scored"
        and 280 <= judge.tell(tables, s).score < 440
    )
    for grade in ("未评定", "良好", "优秀"):
        row = {**village[household], "文明积分等级": grade}
        changed = {**tables, "farm-village": {household: row}}
        limits[grade] = int(judge.tell(changed, household).fields["limit"]) // plain.FEN
    more = [limits[grade] - limits["未评定"] for grade in ("良好", "优秀")]
    assert more == [20_000, 40_000]


def test_a_veto_and_a_missing_row_are_red_and_a_denial_is_no_level(
    scripts: SimpleNamespace,
) -> None:
    """Nobody is warned of a borrower who may not be asked about."""
    told, level = plain.Told, scripts.run.level
    assert level(told("scored", "", {"level": "橙"})) == "橙"
    assert level(told("vetoed", "judicial")) == "红"
    assert level(told("insufficient_data")) == "红"
    with pytest.raises(NodeError, match=WITHDRAWN):
        level(told("denied", WITHDRAWN))


@pytest.mark.parametrize(
    ("yuan", "points", "part"),
    [
        *((1_999, 500, 300), (2_000, 500, 200), (19_999, 500, 200), (20_000, 999, 0)),
        *((1_999, 499, 150), (2_000, 499, 100)),
    ],
)
def test_subsidies_are_up_to_three_and_two_percent(
    yuan: int, points: int, part: int, scripts: SimpleNamespace
) -> None:
    """Under 20 million yuan, and under 200 million; half of it under 500 points."""
    assert scripts.oracle.subsidy(yuan, points) == part


def test_queries_and_statistic_are_admitted(
    scripts: SimpleNamespace, datasets: dict[str, Dataset]
) -> None:
    """And the thresholds of the queries are those of the subsidy."""
    found = {}
    for name in ("revenue-20m", "revenue-200m", "innovation-histogram"):
        path = FOLDER / f"contracts/{name}.yaml"
        found[name] = kinds.read(path.read_bytes(), path.name)
        found[name].admit(datasets)
    for name, (below, _) in zip(found, scripts.oracle.REVENUES, strict=False):
        source: Any = found[name].source
        cells = {e.expect: int(e.given[0][1]) for e in source.examples[:2]}
        assert cells == {"at_least": below, "below": below - 1}


def test_the_histogram_has_the_bands_that_are_told(
    scripts: SimpleNamespace,
    compiled: dict[str, Compiled],
    datasets: dict[str, Dataset],
) -> None:
    """A bank finds its customer's band among the classes."""
    column = datasets[scripts.make_data.REVIEW].column("points")
    assert column is not None
    told = {dict(each)["points"] for each in compiled["innovation-points"].outcomes}
    classes = {
        0 if label.startswith("[-inf") else int(label[1:].split(",")[0])
        for label in column.labels
    }
    assert told == classes


def test_without_noise_every_true_rank_is_within_what_is_told(
    scripts: SimpleNamespace, tables: Tables
) -> None:
    """Of every firm of the review; and of nobody when a band is left out."""
    rank, oracle = scripts.rank, scripts.oracle
    scores = [int(r["核定积分"]) for r in tables[scripts.make_data.REVIEW].values()]
    count = Counter(oracle.band(score) for score in scores)
    bands = [rank.Band(least, firms, 0.0) for least, firms in count.items()]
    for score in scores:
        true = 1 + sum(other > score for other in scores)
        found = rank.place(bands, oracle.band(score))
        assert found.best <= true <= found.worst
        assert found.holds(true)
        assert not found.holds(found.worst + 1)
        assert found.of == len(scores)


def test_noise_of_many_figures_adds_up_by_squares(scripts: SimpleNamespace) -> None:
    """Nine figures of margin 4 have 12; what falls below 0 is nobody."""
    rank = scripts.rank
    bands = [rank.Band(25 * number, -1, 4.0) for number in range(9)]
    assert rank.place(bands, 0) == rank.Rank(1, 1, -9, 12.0)
    assert rank.Rank(1, 1, -9, 12.0).percentile == (0, 0)


def test_a_class_of_banks_is_its_members() -> None:
    """Plain Python refuses banks outside, and everybody after a withdrawal."""
    given = {
        "one": Given("c-1", ["class:alliance", "x"], ["pre-approval"]),
        "two": Given("c-2", ["class:zone"], ["pre-approval"], withdrawn=True),
    }
    grants = Grants(given, {"alliance": ("a", "b"), "zone": ("a", "z")})
    assert [grants.refusal(bank, "one") for bank in "abxz"] == ["", "", "", NO_CONSENT]
    assert grants.refusal("a", "two") == WITHDRAWN


def test_attributes_are_the_places_of_the_registers(scripts: SimpleNamespace) -> None:
    """Every place, trade and county that is drawn is a class."""
    make = scripts.make_data
    classes = {}
    for kind in ("enterprises", "households"):
        path = FOLDER / f"attributes/{kind}.yaml"
        document = PublicAttributes.from_yaml(path.read_bytes(), path.name)
        for item in document.columns:
            classes[item.attribute.name] = item.attribute.classes
    assert classes["county"] == make.COUNTIES
    assert classes["trade"][:3] == make.TRADES
    assert set(classes["place"]) == {make.NAMES["liwan"], make.NAMES["zhongkai"]}


def test_november_is_october_but_for_some_firms(tables: Tables) -> None:
    """A quarter of them have other rows of what is watched."""
    changed = {
        firm
        for name in ("utilities", "insurance", "justice")
        for firm, row in tables[name].items()
        if row != tables[f"november-{name}"][firm]
    }
    assert 10 < len(changed) < SIZES[0] // 2


def test_the_same_seed_makes_the_same_subjects_and_nobody_is_real(
    scripts: SimpleNamespace, tmp_path: Path
) -> None:
    """Byte for byte; check digits are right, and householders of the 1850s."""
    assert programmes.made_twice(scripts.make_data, tmp_path, 12, 12, 12)
    make = scripts.make_data
    for place in ("liwan", "zhongkai", "zhaoqing"):
        kind = (
            SubjectType.CN_RESIDENT_ID if place == "zhaoqing" else SubjectType.CN_USCC
        )
        ids = [canonical_id(kind, row[0]) for row in make.register(place, 200)]
        assert len(set(ids)) == 200
    assert {row[0][6:9] for row in make.register("zhaoqing", 200)} == {"185"}


@pytest.mark.slow
def test_the_whole_programme_runs_and_every_outcome_is_right(tmp_path: Path) -> None:
    """And the tables and pictures of the folder are those it makes."""
    files = ("warnings.csv", "warnings.svg", "points.svg", "stars.svg")
    said = programmes.run_whole(FOLDER, tmp_path, files)
    assert "0 of 1182 outcomes differ from plain Python" in said
