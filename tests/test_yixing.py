"""Yixing's inclusive finance: forms, contracts and plain Python say the same."""

from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from contracts import kinds
from contracts.attributes import PublicAttributes
from contracts.compiled import Compiled
from contracts.consent_csv import consent_rows
from contracts.dataset import Dataset
from contracts.decide import Reason
from contracts.subject import SubjectType, canonical_id
from examples import plain
from examples.plain import Tables
from tests import programmes
from tests.scripts import scripts as lent

FOLDER = Path(__file__).parents[1] / "examples/yixing-inclusive-finance"
SCORES = ("household-stars", "household-watch", "household-loan", "firm-stars")
COUNT = 130

scripts, oracle = programmes.fixtures(FOLDER)


@pytest.fixture(scope="module")
def datasets(scripts: SimpleNamespace) -> dict[str, Dataset]:
    """Read every dataset's document, of households and of firms."""
    make = scripts.make_data
    return {d.name: d for kind in make.ID for d in make.datasets(kind)}


@pytest.fixture(scope="module")
def compiled(datasets: dict[str, Dataset]) -> dict[str, Compiled]:
    """Compile every score, golden examples and rules included."""
    return programmes.compile_all(FOLDER, SCORES, datasets)


@pytest.fixture(scope="module")
def folder(scripts: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make up some households and firms."""
    made = tmp_path_factory.mktemp("data")
    scripts.make_data.main(made, COUNT, COUNT, 7)
    return made


@pytest.fixture(scope="module")
def tables(folder: Path) -> Tables:
    """Read them."""
    return plain.tables(folder)


def people(name: str, tables: Tables) -> list[str]:
    """List the subjects that a contract is asked about."""
    return list(tables["firms" if name.startswith("firm") else "households"])


def test_every_power_is_a_purpose_of_one_contract_of_households(
    oracle: ModuleType, scripts: SimpleNamespace
) -> None:
    """And of no other: who did not tick a box is not asked that question."""
    asked = {}
    for name, (author, power) in scripts.run.CONTRACTS.items():
        path = FOLDER / f"contracts/{name}.yaml"
        contract = kinds.read(path.read_bytes(), path.name).source
        head = getattr(contract, "head", contract)
        assert (head.purpose, head.author) == (oracle.POWERS[power], author)
        if name != "firm-stars":
            asked[power] = name
    assert list(asked) == list(oracle.POWERS)


def test_no_rule_is_waived_and_a_job_can_ask(compiled: dict[str, Compiled]) -> None:
    """Ratings and limits are jobs; a firm may be rated twice in 90 days."""
    assert all(card.waivers == () and card.batch for card in compiled.values())
    card = compiled["firm-stars"]
    assert 2 <= card.limit_millibits / card.millibits < 3


def test_the_query_is_admitted(datasets: dict[str, Dataset]) -> None:
    """Its examples come out, and it keeps the rules."""
    path = FOLDER / "contracts/land-floor.yaml"
    kinds.read(path.read_bytes(), path.name).admit(datasets)


@pytest.mark.parametrize("name", SCORES)
def test_every_subject_is_told_what_plain_python_says(
    name: str,
    oracle: ModuleType,
    compiled: dict[str, Compiled],
    datasets: dict[str, Dataset],
    tables: Tables,
) -> None:
    """Kind, reason, every field and the score that nobody is told."""
    cases = [(subject, tables) for subject in people(name, tables)]
    rules = oracle.CARDS[name].tell
    assert len(programmes.agree(compiled[name], datasets, rules, cases)) >= 3


@pytest.mark.parametrize("name", SCORES)
def test_every_class_and_veto_is_worth_what_plain_python_says(
    name: str,
    oracle: ModuleType,
    compiled: dict[str, Compiled],
    datasets: dict[str, Dataset],
    tables: Tables,
) -> None:
    """One cell at a time, on somebody with a score."""
    card = oracle.CARDS[name]
    cases = programmes.changes(card, tables, people(name, tables))
    assert programmes.agree(compiled[name], datasets, card.tell, cases)


def test_the_land_is_held_against_ten_mu(oracle: ModuleType) -> None:
    """To the hundredth; and nobody's land is no answer."""
    rows = {name: {"承包地亩数": name} for name in ("10.00", "9.99")}
    said = [oracle.land({"household-farm": rows}, s).kind for s in (*rows, "nobody")]
    assert said == ["at_least", "below", "insufficient_data"]


@pytest.mark.parametrize("kind", ["households", "firms"])
def test_the_clerk_turns_forms_into_what_plain_python_reads(
    kind: str,
    scripts: SimpleNamespace,
    oracle: ModuleType,
    folder: Path,
    tables: Tables,
) -> None:
    """Grantees, classes, the powers, papers with their digest, withdrawals."""
    run = scripts.run
    forms = run.clerk(folder, kind)
    report = consent_rows(plain.rows(folder / f"consents-{kind}.csv"), "registrar")
    assert report.problems == ()
    gone = {row["consent_id"] for row in plain.rows(folder / f"events-{kind}.csv")}
    given = oracle.grants(tables, [kind]).given
    assert len(report.rows) == len(given) == forms.total()
    for row in report.rows:
        form = given[row.subject_id]
        banks = {
            bank
            for name in row.grantees
            for bank in (run.CLASS.members if name == "class:pilot" else [name])
        }
        assert banks == form.grantees
        assert list(row.purposes) == form.purposes
        assert (row.consent_id in gone) is form.withdrawn
    papers = {row.consent_id for row in report.rows if row.evidence_digest}
    assert papers == {p.stem for p in (folder / "paper").glob(f"{kind[0]}-*.txt")}
    assert len(papers) == forms[run.PAPER] > 0
    assert gone


def test_refusals_come_in_the_order_of_the_product() -> None:
    """No consent first, then the power that was not ticked, then a withdrawal."""
    given = plain.Given("c", ["bank"], ["credit-rating"], withdrawn=True)
    grants = plain.Grants({"one": given})
    said = [
        grants.refusal(*asked)
        for asked in (
            ("other", "one", "pre-approval"),
            ("bank", "one", "pre-approval"),
            ("bank", "one", "credit-rating"),
        )
    ]
    assert said == [Reason.NO_CONSENT, Reason.PURPOSE_MISMATCH, Reason.WITHDRAWN]
    assert grants.refusal("bank", "two") == Reason.NO_CONSENT


def test_a_repaired_record_has_no_penalties_and_more_points(
    scripts: SimpleNamespace, oracle: ModuleType, tables: Tables
) -> None:
    """Of firms with none unfulfilled; nobody else's row changes."""
    make, cleared = scripts.make_data, oracle.cleared(tables)
    changed = {
        subject
        for subject, row in tables["penalties"].items()
        if cleared["penalties"][subject] != row
    }
    assert changed == set(tables["repaired"])
    assert len(changed) > 3
    for subject in changed:
        row = tables["penalties"][subject]
        assert (row[make.UNFULFILLED], int(row[make.PENALTIES]) > 0) == ("否", True)
        before, after = (
            oracle.CARDS["firm-stars"].tell(each, subject) for each in (tables, cleared)
        )
        assert after.score >= before.score + 80 * (before.kind == "scored")


def test_a_paper_with_a_word_changed_is_another() -> None:
    """Its digest is not the one in the journal; nor is one that it does not name."""
    with lent(FOLDER, "run") as found:
        papers = {"p": b"ten", "q": b"two"}
        digests = {"p": found.run.hashlib.sha256(b"ten").hexdigest()}
        said = [found.run.differs(digests, name, papers) for name in papers]
        assert said == [False, True]
        assert found.run.differs(digests, "p", {"p": b"tem"})


def test_attributes_are_the_places_of_the_register(scripts: SimpleNamespace) -> None:
    """Every town and trade that is drawn is a class, in the same order; ten in each."""
    make = scripts.make_data
    for kind, places in make.PLACES.items():
        path = FOLDER / f"attributes/{kind}.yaml"
        attributes = PublicAttributes.from_yaml(path.read_bytes(), path.name)
        assert attributes.columns[0].attribute.classes[: len(places)] == places
        drawn = Counter(place for _, place in make.register(kind, COUNT))
        assert set(drawn) == set(places)
        assert min(drawn.values()) >= 10


def test_nobody_in_it_exists(scripts: SimpleNamespace) -> None:
    """Check digits are right; nobody born in the 1850s was ever given a number."""
    make = scripts.make_data
    for kind, subject_type in (
        ("households", SubjectType.CN_RESIDENT_ID),
        ("firms", SubjectType.CN_USCC),
    ):
        ids = [name for name, _ in make.register(kind, 300)]
        assert len({canonical_id(subject_type, text) for text in ids}) == 300
        if kind == "households":
            assert {text[6:9] for text in ids} == {"185"}
        assert "320282" in {text[2:8] for text in ids} | {text[:6] for text in ids}


def test_the_same_seed_makes_the_same_town(
    scripts: SimpleNamespace, tmp_path: Path
) -> None:
    """Byte for byte; another seed makes another."""
    assert programmes.made_twice(scripts.make_data, tmp_path, 15, 15)


@pytest.mark.slow
def test_the_whole_programme_runs_and_every_outcome_is_right(tmp_path: Path) -> None:
    """And the table and the picture of the folder are those it makes."""
    said = programmes.run_whole(FOLDER, tmp_path, ("stars.csv", "stars.svg"))
    assert "0 of 761 outcomes differ from plain Python" in said
