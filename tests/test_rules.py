"""Approval rules against extraction, each at its edge (PROTOCOL 5)."""

import json
from dataclasses import replace
from typing import Any

import pytest

from contracts.compile import compile_contract
from contracts.compiled import Compiled
from contracts.dataset import Dataset
from contracts.errors import RuleBroken
from contracts.rules import RuleLimits, check_rules, require
from contracts.scoring import ScoringContract

# Four custodians of one dataset each; two columns of four classes in each.
EDGES = [1, 2, 3]
LABELS = ("[-inf,1)", "[1,2)", "[2,3)", "[3,inf)")
SPREAD = 100  # points of every indicator, unless a test says otherwise


def dataset(i: int, category: str, custodian: str) -> dict[str, Any]:
    """Write a dataset: JSON is YAML."""
    bins = [{"name": f"c{j}", "bins": EDGES} for j in range(2)]
    flags = [{"name": f"f{j}", "flag": {}} for j in range(3)]
    return {
        "apiVersion": "safehouse/v1",
        "kind": "Dataset",
        "metadata": {"name": f"d{i}"},
        "spec": {
            "custodian": custodian,
            "unit": "u",
            "category": category,
            "cycle": "daily",
            "tier": "T1",
            "subject": "opaque",
            "columns": [*bins, *flags],
        },
    }


def build(
    spreads: tuple[int, ...] = (SPREAD,) * 8,
    categories: str = "wxyz",
    custodians: str = "abcd",
    flags: int = 3,
    **spec: object,
) -> tuple[Compiled, dict[str, Dataset]]:
    """Compile a contract that keeps every rule, but for what a test changes."""
    documents = [dataset(i, categories[i], custodians[i]) for i in range(4)]
    datasets = [Dataset.from_yaml(json.dumps(d), "d.yaml") for d in documents]
    indicators = [
        {
            "column": f"d{i // 2}.c{i % 2}",
            "points": dict(zip(LABELS, (0, 0, spread, spread), strict=True)),
        }
        for i, spread in enumerate(spreads)
    ]
    document = {
        "apiVersion": "safehouse/v1",
        "kind": "ScoringContract",
        "metadata": {"name": "ruled", "version": 1},
        "spec": {
            "purpose": "loan-precheck",
            "subject": "opaque",
            "author": "bank",
            "banks": ["bank"],
            "base": 0,
            "groups": [{"name": "all", "indicators": indicators}],
            "vetoes": [
                {"reason": "court", "flags": [f"d0.f{j}" for j in range(flags)]}
            ],
            "outcome": {
                "grade": {"bands": [{"value": "D"}, {"from": 400, "value": "C"}]}
            },
            "release": {
                "most_outcomes": 64,
                "narrowest_band": "0.1",
                "bits_per_90_days": 4,
            },
            "examples": [{"given": {}, "insufficient_data": True}],
            **spec,
        },
    }
    contract = ScoringContract.from_yaml(json.dumps(document), "c.yaml")
    by_name = {d.name: d for d in datasets}
    return compile_contract(contract, by_name), by_name


def broken(built: tuple[Compiled, dict[str, Dataset]], **limits: int) -> list[str]:
    """Name the rules that a contract does not keep."""
    findings = check_rules(*built, RuleLimits(**limits))
    return [finding.rule for finding in findings if not finding.ok]


def test_a_good_contract_keeps_every_rule() -> None:
    """And each rule shows its figure and what was asked."""
    built = build()
    assert [str(finding) for finding in require(*built)] == [
        "indicators: 8, expected at least 8: kept",
        "categories: 4, expected at least 3: kept",
        "custodians: 4, expected at least 2: kept",
        "share: 12.5 % of `d0.c0`, expected at most 25 % of the range: kept",
        "outcomes: 2, expected at most 64: kept",
        "narrowest-band: 50.0 %, expected at least 1 % of the range: kept",
        "veto-flags/court: 3, expected at least 3: kept",
        "input-bits: 16.0 bits, expected at least 16, 4 x the limit of 90 days: kept",
    ]


def test_seven_indicators_are_too_few() -> None:
    """One that gives everybody the same points is not an indicator."""
    assert broken(build((SPREAD,) * 7)) == ["indicators", "input-bits"]
    assert broken(build((*(SPREAD,) * 7, 0))) == ["indicators", "input-bits"]


def test_two_categories_are_too_few() -> None:
    """However many datasets say the same."""
    assert broken(build(categories="wwxx")) == ["categories"]
    assert broken(build(categories="wwxy")) == []


def test_one_custodian_is_too_few() -> None:
    """However many datasets it has."""
    assert broken(build(custodians="aaaa")) == ["custodians"]
    assert broken(build(custodians="aaab")) == []


def test_an_indicator_may_be_a_quarter_and_no_more() -> None:
    """The edge itself is allowed: 21 of 84."""
    assert broken(build((21, *(9,) * 7))) == []
    assert broken(build((22, *(9,) * 7))) == ["share"]


def test_the_narrowest_band_is_a_hundredth_of_the_range() -> None:
    """Range 800: eight points are enough, seven are not; the ends count too."""

    def bands(*starts: int) -> dict[str, object]:
        items: list[dict[str, object]] = [{"value": "D"}]
        items += [{"from": start, "value": f"v{start}"} for start in starts]
        return {"grade": {"bands": items}}

    assert broken(build(outcome=bands(400, 408))) == []
    assert broken(build(outcome=bands(400, 407))) == ["narrowest-band"]
    assert broken(build(outcome=bands(7))) == ["narrowest-band"]
    assert broken(build(outcome=bands(793))) == []
    assert broken(build(outcome=bands(794))) == ["narrowest-band"]


def test_outcomes_have_a_limit_of_the_house() -> None:
    """A house may ask for fewer than a table holds."""
    assert broken(build(), outcomes=1) == ["outcomes"]
    assert broken(build(), outcomes=2) == []


def test_a_reason_over_two_flags_tells_too_much() -> None:
    """insufficient_data is apart: it is not a reason."""
    assert broken(build(flags=2)) == ["veto-flags/court"]


def test_input_bits_are_compared_as_exact_integers() -> None:
    """4^8 = 2^16: sixteen bits go in, four may come out, at a factor of four."""
    release = {"most_outcomes": 64, "narrowest_band": 1, "bits_per_90_days": 5}
    assert broken(build(release=release)) == ["input-bits"]
    assert broken(build(release=release), input_factor=3) == []


def test_an_unwaived_rule_refuses_the_contract() -> None:
    """The error names every broken rule with its figure."""
    with pytest.raises(RuleBroken) as caught:
        require(*build(flags=2, categories="wwww"))
    assert str(caught.value) == (
        "contract `ruled`: rule `categories`: expected at least 3, got 1; "
        "rule `veto-flags/court`: expected at least 3, got 2"
    )
    assert caught.value.hint.startswith("change the contract, or add a waiver")


def test_a_waiver_is_for_one_rule_and_says_who_answers() -> None:
    """It is inside the hash; another rule stays broken."""
    waivers = [{"rule": "veto-flags/court", "reason": "two exist", "signed_by": "a"}]
    built = build(flags=2, waivers=waivers)
    findings = {finding.rule: finding for finding in require(*built)}
    assert findings["veto-flags/court"].waived_by == "a"
    assert str(findings["veto-flags/court"]).endswith("waived by `a`")
    assert built[0].hash != build(flags=2)[0].hash
    with pytest.raises(RuleBroken, match="rule `categories`"):
        require(*build(flags=2, waivers=waivers, categories="wwww"))


def test_points_per_unit_count_by_their_whole_range() -> None:
    """A number of a thousand values is worth ten bits of input and all its points."""
    compiled, datasets = build()
    findings = {f.rule: f for f in check_rules(compiled, datasets)}
    document = dataset(3, "z", "d")
    document["spec"]["columns"][0] = {
        "name": "c0",
        "integer": {"min": 0, "max": 1023},
    }
    wide = Dataset.from_yaml(json.dumps(document), "d.yaml")
    indicators = [
        {
            "column": f"d{i // 2}.c{i % 2}",
            "points": dict.fromkeys(LABELS[:3], 0) | {LABELS[3]: 900},
        }
        for i in range(6)
    ]
    indicators += [{"column": "d3.c0", "per_unit": -1}]
    groups = [{"name": "all", "indicators": indicators}]
    contract = {"groups": groups}
    with_wide = _compile_with(contract, datasets | {"d3": wide})
    other = {f.rule: f for f in check_rules(*with_wide)}
    assert findings["input-bits"].figure == "16.0 bits"
    assert other["input-bits"].figure == "22.0 bits"
    assert other["share"].figure == "15.9 % of `d3.c0`"


def _compile_with(
    spec: dict[str, Any], datasets: dict[str, Dataset]
) -> tuple[Compiled, dict[str, Dataset]]:
    document = {
        "apiVersion": "safehouse/v1",
        "kind": "ScoringContract",
        "metadata": {"name": "ruled", "version": 1},
        "spec": {
            "purpose": "loan-precheck",
            "subject": "opaque",
            "author": "bank",
            "banks": ["bank"],
            "base": 0,
            "outcome": {
                "grade": {"bands": [{"value": "D"}, {"from": 400, "value": "C"}]}
            },
            "release": {"most_outcomes": 2, "narrowest_band": 1},
            "examples": [{"given": {}, "insufficient_data": True}],
            **spec,
        },
    }
    contract = ScoringContract.from_yaml(json.dumps(document), "c.yaml")
    return compile_contract(contract, datasets), datasets


def test_a_contract_without_any_difference_breaks_share() -> None:
    """Nothing to divide by is not a pass."""
    built = build((0,) * 8, outcome={"grade": {"bands": [{"value": "D"}]}})
    assert {"indicators", "categories", "custodians", "share"} <= set(broken(built))


def test_limits_are_the_house_s_and_not_in_the_contract() -> None:
    """The same integers, judged by two houses."""
    compiled, datasets = build()
    assert broken((compiled, datasets), indicators=9) == ["indicators"]
    assert replace(RuleLimits(), indicators=9).indicators == 9
