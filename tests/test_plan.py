"""What `safehouse plan` shows before anybody signs."""

from fractions import Fraction
from pathlib import Path

import pytest

from contracts.compile import compile_contract
from contracts.dataset import Dataset, Tier
from contracts.plan import ConsentNeeded, Plan, plan
from contracts.rules import RuleLimits
from contracts.scoring import ScoringContract
from protocols.program import Program

GERMAN = Path(__file__).parent.parent / "examples/german-credit"


def planned(tiers: str = "", **arguments: object) -> Plan:
    """Plan the German card; `tiers` overrides those of its datasets."""
    datasets = {}
    for i, path in enumerate(sorted((GERMAN / "datasets").glob("*.yaml"))):
        text = path.read_text()
        if tiers:
            text = text.replace("tier: T1", f"tier: T{tiers[i]}")
            text = text.replace("tier: T2", f"tier: T{tiers[i]}")
        datasets[path.stem] = Dataset.from_yaml(text, path.name)
    text = (GERMAN / "contract.yaml").read_text()
    compiled = compile_contract(ScoringContract.from_yaml(text, "c.yaml"), datasets)
    return plan(compiled, datasets, **arguments)  # type: ignore[arg-type]


def test_the_figures_of_the_german_card() -> None:
    """Every line of the printed plan."""
    shown = planned()
    assert [(d.id, d.custodian, d.tier, d.columns) for d in shown.datasets] == [
        ("credit-bureau", "credit-bureau", Tier.T2, 19),
        ("social-insurance", "social-insurance", Tier.T1, 14),
        ("housing-loans", "housing-loans", Tier.T1, 28),
    ]
    # 12 indicators: the classes with the least points; flags and `_present` count
    assert (shown.columns, shown.zero_weight) == (61, 22)
    assert shown.score_range == (Fraction(110), Fraction(811))
    assert [field.bits for field in shown.fields] == [12, 6, 6, 6]
    assert shown.calls_per_90_days == 1
    assert shown.broken == ()
    assert [f.rule for f in shown.rules if not f.ok] == [
        "veto-flags/many-credits",
        "veto-flags/no-employment",
    ]


def test_bytes_of_a_call_are_those_of_flat_tables() -> None:
    """2^12 score rows, three groups of 2^6 rows of two bytes; rounded up to 64."""
    shown = planned()
    assert shown.table_bytes == -(-(2**12 + 3 * 2 * 2**6) // 64) * 64 == 4480
    assert shown.ciphertext_bytes == 768
    assert planned(key_bits=2048).ciphertext_bytes == 512
    assert shown.products == Program(shown.compiled.card).products > 0


def test_approvals_that_are_missing_are_named() -> None:
    """In order, and a stranger's approval changes nothing."""
    assert planned().missing_approvals == (
        "credit-bureau",
        "housing-loans",
        "social-insurance",
    )
    approved = ("credit-bureau", "tax-bureau", "housing-loans")
    assert planned(approved=approved).missing_approvals == ("social-insurance",)


@pytest.mark.parametrize(
    ("tiers", "needed"),
    [
        ("000", ConsentNeeded.NONE),
        ("010", ConsentNeeded.CONSENT),
        ("222", ConsentNeeded.CONSENT),
        ("003", ConsentNeeded.SEPARATE),
    ],
)
def test_the_strictest_tier_says_which_consent(
    tiers: str, needed: ConsentNeeded
) -> None:
    """Only a contract over nothing but T0 needs none (cases 13, 15)."""
    assert planned(tiers).consent is needed


def test_a_stricter_house_sees_more_broken() -> None:
    """`plan` shows what submission would refuse."""
    shown = planned(limits=RuleLimits(share_percent=10))
    assert [finding.rule for finding in shown.broken] == ["share"]
