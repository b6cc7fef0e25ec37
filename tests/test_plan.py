"""What `safehouse plan` shows before anybody signs."""

import dataclasses
from pathlib import Path

import pytest

from contracts import kinds, rules
from contracts.compiled import Compiled
from contracts.contract import ContractKind
from contracts.dataset import Dataset, Tier
from contracts.plan import ConsentNeeded, Plan
from contracts.rules import RuleLimits
from protocols.program import Program

GERMAN = Path(__file__).parent.parent / "examples/german-credit"


def datasets(tiers: str = "") -> dict[str, Dataset]:
    """Read the German card's datasets; `tiers` overrides theirs."""
    found = {}
    for i, path in enumerate(sorted((GERMAN / "datasets").glob("*.yaml"))):
        text = path.read_text()
        if tiers:
            text = text.replace("tier: T1", f"tier: T{tiers[i]}")
            text = text.replace("tier: T2", f"tier: T{tiers[i]}")
        found[path.stem] = Dataset.from_yaml(text, path.name)
    return found


def german(tiers: str = "") -> Compiled:
    """Compile the German card."""
    text = (GERMAN / "contract.yaml").read_text()
    compiled = kinds.read(text, "c.yaml").compile(datasets(tiers))
    return kinds.require(compiled, ContractKind.SCORE)


def planned(
    tiers: str = "", approved: tuple[str, ...] = (), key_bits: int = 3072
) -> Plan:
    """Plan the German card."""
    return kinds.plan(german(tiers), datasets(tiers), approved, key_bits)


def figures(shown: Plan) -> dict[str, object]:
    """Return a plan's figures for machines."""
    return dict(member for line in shown.lines for member in line.members)


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
    assert figures(shown)["score"] == ("110", "811")
    assert figures(shown)["fields"] == (12, 6, 6, 6)
    assert shown.calls_per_90_days == 1
    assert shown.broken == ()
    assert [f.rule for f in shown.rules if not f.ok] == [
        "veto-flags/many-credits",
        "veto-flags/no-employment",
    ]


def test_bytes_of_a_call_are_those_of_flat_tables() -> None:
    """2^12 score rows, three groups of 2^6 rows of two bytes; rounded up to 64."""
    shown = figures(planned())
    assert shown["table_bytes"] == -(-(2**12 + 3 * 2 * 2**6) // 64) * 64 == 4480
    assert shown["ciphertext_bytes"] == 768
    assert figures(planned(key_bits=2048))["ciphertext_bytes"] == 512
    assert shown["products"] == Program(german().card).products > 0


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
    """The limits are the house's; a finding says what submission would refuse."""
    found = rules.check_rules(german(), datasets(), RuleLimits(share_percent=10))
    shown = dataclasses.replace(planned(), rules=found)
    assert [finding.rule for finding in shown.broken] == ["share"]
