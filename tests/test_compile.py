"""Compiled integers say what the author wrote, and refuse what cannot be said.

Cases 14 (partly), 50, 53.
"""

import csv
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.compile import (
    Compiled,
    check_examples,
    compile_contract,
    evaluate,
)
from contracts.compiled import Answer
from contracts.dataset import Dataset
from contracts.errors import CompileError, SourceError
from contracts.scoring import ScoringContract
from protocols.program import INSUFFICIENT_DATA

GERMAN = Path(__file__).parent.parent / "examples/german-credit"
CUSTODIANS = ("credit-bureau", "social-insurance", "housing-loans")

COURT = """\
apiVersion: safehouse/v1
kind: Dataset
metadata: {name: court}
spec:
  custodian: court
  unit: 法院
  category: 司法
  cycle: daily
  tier: T1
  subject: opaque
  columns:
    - {name: wanted, flag: {}}
    - {name: cases, integer: {min: 0, max: 9}}
    - {name: limited, flag: {}, missing: {default: 0}}
"""
TAX = """\
apiVersion: safehouse/v1
kind: Dataset
metadata: {name: tax}
spec:
  custodian: tax-bureau
  unit: 税务局
  category: 税务
  cycle: monthly
  tier: T2
  subject: opaque
  columns:
    - {name: grade, category: [A, B, M], missing: {class: none}}
    - {name: income, bins: [10, 20.5]}
    - {name: sites, integer: {min: -2, max: 4, scale: 2}}
    - {name: unused, category: [x, y]}
"""
CONTRACT = """\
apiVersion: safehouse/v1
kind: ScoringContract
metadata: {name: small, version: 3, title: 小}
spec:
  purpose: loan-precheck
  subject: opaque
  author: jnrcb
  banks: [jnrcb]
  base: 20
  groups:
    - name: tax
      indicators:
        - column: tax.income
          points: {"[-inf,10)": -5, "[10,20.5)": 0, "[20.5,inf)": 9}
        - {column: tax.grade, points: {A: 7.5, B: 2, M: 0, none: 1}}
        - {column: tax.sites, per_unit: -3}
    - name: court
      indicators:
        - {column: court.limited, points: -10}
        - {column: court.cases, per_unit: 0.5}
  vetoes:
    - {reason: wanted, flags: [court.wanted]}
  outcome:
    grade: {bands: [{value: D}, {from: 15, value: C}, {from: 25.25, value: B}]}
  release: {most_outcomes: 3, narrowest_band: 5}
  examples:
    - given: {tax.income: 20.5, tax.grade: A, tax.sites: -2, court.limited: "",
        court.cases: 9, court.wanted: 0}
      expect: {grade: B}
"""
TAX_AND_COURT = {
    d.name: d for d in (Dataset.from_yaml(t, "d.yaml") for t in (TAX, COURT))
}


def contract_of(text: str) -> ScoringContract:
    """Read a contract."""
    return ScoringContract.from_yaml(text, "contract.yaml")


def compiled_of(text: str) -> Compiled:
    """Compile a contract over tax and court."""
    return compile_contract(contract_of(text), TAX_AND_COURT)


def changed(old: str, new: str) -> str:
    """Return the contract with one thing different."""
    assert CONTRACT.count(old) == 1, old
    return CONTRACT.replace(old, new)


def german() -> tuple[ScoringContract, dict[str, Dataset]]:
    """Read the published card."""
    text = (GERMAN / "contract.yaml").read_bytes()
    datasets = [
        Dataset.from_yaml((GERMAN / f"datasets/{name}.yaml").read_bytes(), name)
        for name in CUSTODIANS
    ]
    return contract_of(text.decode()), {d.name: d for d in datasets}


def table(path: str) -> list[dict[str, str]]:
    """Read a table of the example."""
    return list(csv.DictReader((GERMAN / path).read_text().splitlines()))


def test_the_published_scorecard_is_reproduced_on_all_rows() -> None:
    """1,000 scores of scorecardpy and 1,000 outcomes worked out without our code."""
    contract, datasets = german()
    compiled = compile_contract(contract, datasets)
    scores = [
        int(float(r["score"])) for r in table("source/scorecardpy_expected_scores.csv")
    ]
    expected = table("data/expected_outcomes.csv")
    tables = {name: table(f"data/{name}.csv") for name in CUSTODIANS}
    for row in range(1000):
        cells = {name: datasets[name].texts(tables[name][row]) for name in CUSTODIANS}
        got = evaluate(compiled, datasets, cells)
        assert got.score == scores[row]
        answer, wanted = compiled.explain(got.code), expected[row]
        assert (answer.answer, answer.reason) == (wanted["answer"], wanted["reason"])
        if answer.answer is Answer.SCORED:
            assert answer.outcome == (
                ("grade", wanted["grade"]),
                ("limit", int(wanted["limit"])),
            )


def test_the_published_scorecard_has_the_published_numbers() -> None:
    """MAPPING's figures: 61 columns, base 110, totals to 701, 33 outcomes."""
    contract, datasets = german()
    compiled = compile_contract(contract, datasets)
    card = compiled.card
    assert (len(compiled.columns), compiled.base, card.top) == (61, 110, 701)
    assert (card.m, len(compiled.outcomes), compiled.millibits) == (11, 33, 5322)
    assert [group.name for group in card.groups] == [
        "many-credits",
        "no-employment",
        INSUFFICIENT_DATA,
    ]
    assert [field.bits for field in card.fields] == [12, 6, 6, 6]
    check_examples(compiled, contract, datasets)


def test_the_small_contract_compiles_to_these_integers() -> None:
    """By hand: halves make the scale 2, and everything else is whole."""
    compiled = compiled_of(CONTRACT)
    weights = dict(
        zip([c.name for c in compiled.columns], compiled.card.weights, strict=True)
    )
    assert compiled.scale == 2
    assert weights == {
        "grade=A": 15,
        "grade=B": 4,
        "grade=M": 0,
        "grade=none": 2,
        "income=[-inf,10)": 0,
        "income=[10,20.5)": 10,
        "income=[20.5,inf)": 28,
        "sites": -3,  # -3 a unit, a half a stored unit, twice
        "_present": 0,
        "wanted": 0,
        "cases": 1,
        "limited": -20,
    }
    # sites: 0..12 stored, so at most 36 off; limited: 20 off
    assert compiled.card.shift == 36 + 20
    assert compiled.card.top == 15 + 28 + 36 + 9 + 20
    # 20 - 5 (income) + 0 (grade) + 6 (sites at -2), halves, and 56 off
    assert compiled.base == 2 * (20 - 5 + 0 + 6) - 56
    assert compiled.card.m == 8
    assert compiled.card.steps == ((0, 0), (30 + 14, 1), (51 + 14, 2))
    assert [c.index for c in compiled.columns if c.dataset == "tax"] == [
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        9 + 1,
    ]


def test_columns_of_weight_zero_stay_and_unused_columns_do_not() -> None:
    """Which classes count is not to be seen; what is not named is not read."""
    names = [c.name for c in compiled_of(CONTRACT).columns]
    assert "grade=M" in names
    assert not any(name.startswith("unused") for name in names)


@pytest.mark.parametrize(
    ("old", "new", "place", "message", "hint"),
    [
        (
            "{column: tax.grade,",
            "{column: taxes.grade,",
            "15:20",
            "unknown dataset `taxes`",
            "did you mean `tax`?",
        ),
        (
            "{column: tax.grade,",
            "{column: tax.grad,",
            "15:20",
            "dataset `tax`: unknown column `grad`",
            "did you mean `grade`?",
        ),
        (
            "{A: 7.5, B: 2, M: 0, none: 1}",
            "{A: 7.5, B: 2, none: 1}",
            "15:39",
            "class `M` of `tax.grade` has no points",
            "",
        ),
        (
            "M: 0, none: 1}",
            "M: 0, none: 1, C: 1}",
            "15:69",
            "`tax.grade` has no class `C`",
            "expected `A`",
        ),
        (
            '[20.5,inf)": 9',
            '[20.5,ing)": 9',
            "14:53",
            "`tax.income` has no class `[20.5,ing)`",
            "did you mean `[20.5,inf)`?",
        ),
        (
            "points: {A: 7.5, B: 2, M: 0, none: 1}",
            "points: 5",
            "15:39",
            "`tax.grade` has classes",
            "expected `A`",
        ),
        (
            "points: {A: 7.5, B: 2, M: 0, none: 1}",
            "per_unit: 5",
            "15:41",
            "`tax.grade` has classes",
            "",
        ),
        (
            "tax.sites, per_unit: -3",
            "tax.sites, points: -3",
            "16:39",
            "`tax.sites` is a number: expected `per_unit`",
            "",
        ),
        (
            "court.limited, points: -10",
            "court.limited, per_unit: -10",
            "19:45",
            "`court.limited` is a flag",
            "",
        ),
        (
            "flags: [court.wanted]",
            "flags: [court.cases]",
            "22:32",
            "a veto needs a flag, `court.cases` is not one",
            "let the custodian",
        ),
        (
            "flags: [court.wanted]",
            "flags: [tax.grade]",
            "22:32",
            "a veto needs a flag",
            "",
        ),
        (
            "subject: opaque",
            "subject: cn-uscc",
            "13:19",
            "dataset `tax` is about `opaque`",
            "",
        ),
        (
            "most_outcomes: 3,",
            "most_outcomes: 2,",
            "25:12",
            "the contract has 3 outcomes, `most_outcomes` is 2",
            "",
        ),
        (
            "narrowest_band: 5}",
            "narrowest_band: 10.6}",
            "25:12",
            "from score 15 an outcome holds for 10.500 points",
            "",
        ),
        (
            "narrowest_band: 5}",
            "narrowest_band: 5, bits_per_90_days: 2}",
            "25:12",
            "one call reveals 2585 thousandths of a bit",
            "fewer outcomes",
        ),
    ],
)
def test_what_does_not_fit_the_datasets_is_refused_at_its_place(
    old: str, new: str, place: str, message: str, hint: str
) -> None:
    """With line, column and the nearest word."""
    with pytest.raises(SourceError) as caught:
        compiled_of(changed(old, new))
    assert str(caught.value).startswith(f"contract.yaml:{place}: {message}")
    assert caught.value.hint.startswith(hint)


def test_a_tier_is_the_dataset_s_and_not_the_author_s() -> None:
    """Case 14: an author cannot call an input public; it is T2 where it comes from."""
    with pytest.raises(SourceError, match="unknown key `tier`"):
        contract_of(changed("{column: tax.sites,", "{tier: T0, column: tax.sites,"))
    compiled = compiled_of(CONTRACT)
    assert [(d.id, d.tier) for d in compiled.datasets] == [
        ("tax", "T2"),
        ("court", "T1"),
    ]


def test_a_waiver_counts_only_with_a_signature_that_covers_it() -> None:
    """Approvals of custodians sign the hash; nobody else's name may stand there."""
    waiver = "  waivers: [{rule: share, reason: small, signed_by: tax-bureu}]\n"
    with pytest.raises(SourceError) as caught:
        compiled_of(CONTRACT.replace("  examples:", waiver + "  examples:"))
    assert "26:53: `tax-bureu` signs no approval of this contract" in str(caught.value)
    assert caught.value.hint == "did you mean `tax-bureau`?"


def test_scores_beyond_a_slot_are_refused() -> None:
    """Case 50: overflow is a refusal to compile, never a wrapped score."""
    with pytest.raises(
        CompileError, match=r"the score has .* values, expected at most"
    ):
        compiled_of(changed("per_unit: -3", "per_unit: -999999999999999"))
    fine = compiled_of(changed("A: 7.5", "A: 7.123456789"))
    assert (fine.card.m, fine.gate) == (37, "thr")
    with pytest.raises(CompileError, match="the base is out of bounds"):
        compiled_of(
            changed("base: 20", "base: 999999999999999.5").replace(
                "per_unit: 0.5", "per_unit: 0.05"
            )
        )


def test_fields_that_do_not_fit_a_slot_are_refused() -> None:
    """Two slots of forty bits hold the score and a dozen groups."""
    flags = [{"name": f"f{i}", "flag": {}} for i in range(14)]
    wide = json.dumps(
        dataset_document("many", [{"name": "x", "bins": [1]}, *flags]),
        ensure_ascii=False,
    )
    spec = contract_document(
        {"many": {"x": {"[-inf,1)": 0, "[1,inf)": 9}}},
        [[f"many.f{i}"] for i in range(14)],
        {"grade": {"bands": [{"value": "D"}]}},
    )
    datasets = {"many": Dataset.from_yaml(wide, "d.yaml")}
    with pytest.raises(CompileError) as caught:
        compile_contract(contract_of(json.dumps(spec)), datasets)
    assert "bits, two slots have 80" in str(caught.value)
    assert caught.value.hint


def test_more_outcomes_than_a_table_holds_are_refused() -> None:
    """Sixty-four, and no endless ladder is ever walked."""
    text = changed("expect: {grade: B}", "expect: {grade: B, limit: 0}")
    ladder = "limit: {{from: 0, step: {}, amount: 1, cap: 100000000000000}}\n    grade:"
    with pytest.raises(SourceError, match="outcomes, expected at most 64"):
        compiled_of(text.replace("grade: {bands", ladder.format("0.5") + " {bands"))
    finer = text.replace("per_unit: 0.5", "per_unit: 0.001")
    with pytest.raises(SourceError, match="changes more than 256 times"):
        compiled_of(finer.replace("grade: {bands", ladder.format("0.01") + " {bands"))
    finest = ladder.format("0.000000001") + " {bands"
    with pytest.raises(SourceError, match="the step of `limit` is finer than the scor"):
        compiled_of(text.replace("grade: {bands", finest))


def test_neighbours_with_one_outcome_are_one_step() -> None:
    """And an outcome that comes back keeps its number."""
    bands = (
        "{value: D}, {from: 15, value: C}, {from: 16, value: C}, {from: 25, value: D}"
    )
    text = changed("{value: D}, {from: 15, value: C}, {from: 25.25, value: B}", bands)
    compiled = compiled_of(text)
    assert [outcome for _, outcome in compiled.card.steps] == [0, 1, 0]
    assert compiled.outcomes == ((("grade", "D"),), (("grade", "C"),))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "expect: {grade: B}",
            "expect: {grade: C}",
            "example 1: expected grade `C`, got grade `B`",
        ),
        (
            "expect: {grade: B}",
            "vetoed: wanted",
            "example 1: expected vetoed `wanted`, got grade `B`",
        ),
        (
            "expect: {grade: B}",
            "insufficient_data: true",
            "expected insufficient_data, got grade `B`",
        ),
        (
            "court.wanted: 0}",
            "court.wanted: 1}",
            "example 1: expected grade `B`, got vetoed `wanted`",
        ),
        (
            "tax.income: 20.5,",
            "tax.income: many,",
            "example 1: column `income`: expected a decimal number",
        ),
        (" tax.grade: A,", "", "the example does not give `tax.grade`"),
        (
            "tax.grade: A,",
            "tax.grade: A, tax.unused: x,",
            "the contract does not use `tax.unused`",
        ),
        (
            "tax.grade: A,",
            "tax.grade: A, police.x: 1,",
            "the contract does not use `police.x`",
        ),
    ],
)
def test_a_golden_example_that_fails_stops_the_contract(
    old: str, new: str, message: str
) -> None:
    """Case 53, and the error says which example and what came out."""
    contract = contract_of(changed(old, new))
    compiled = compile_contract(contract, TAX_AND_COURT)
    with pytest.raises(SourceError) as caught:
        check_examples(compiled, contract, TAX_AND_COURT)
    assert message in str(caught.value)
    assert caught.value.line >= 26


def test_a_subject_that_a_dataset_does_not_have_is_insufficient_data() -> None:
    """It outranks a veto, and nobody scores with zeros."""
    compiled = compiled_of(CONTRACT)
    wanted = {"court": {"wanted": "1", "cases": "0", "limited": ""}}
    for cells in ({}, wanted):
        code = evaluate(compiled, TAX_AND_COURT, cells).code
        assert compiled.explain(code).answer is Answer.INSUFFICIENT_DATA


# -- a literal definition against the compiler ---------------------------------


def dataset_document(name: str, columns: list[dict[str, Any]]) -> dict[str, Any]:
    """Write a dataset document: JSON is YAML."""
    spec = {"custodian": name, "unit": "u", "category": "c", "cycle": "daily"}
    spec |= {"tier": "T1", "subject": "opaque"}
    return {
        "apiVersion": "safehouse/v1",
        "kind": "Dataset",
        "metadata": {"name": name},
        "spec": {**spec, "columns": columns},
    }


def contract_document(
    points: Mapping[str, Mapping[str, Any]],
    vetoes: list[list[str]],
    outcome: dict[str, Any],
    base: str = "0",
) -> dict[str, Any]:
    """Write a contract document over columns with points."""
    indicators = [
        {"column": f"{dataset}.{column}", **_worth(worth)}
        for dataset, columns in points.items()
        for column, worth in columns.items()
    ]
    return {
        "apiVersion": "safehouse/v1",
        "kind": "ScoringContract",
        "metadata": {"name": "drawn", "version": 1},
        "spec": {
            "purpose": "loan-precheck",
            "subject": "opaque",
            "author": "bank",
            "banks": ["bank"],
            "base": base,
            "groups": [{"name": "all", "indicators": indicators}],
            "vetoes": [
                {"reason": f"veto{g}", "flags": flags} for g, flags in enumerate(vetoes)
            ],
            "outcome": outcome,
            "release": {
                "most_outcomes": 64,
                "narrowest_band": "0.000000001",
                "bits_per_90_days": 1000,
            },
            "examples": [{"given": {}, "insufficient_data": True}],
        },
    }


def _worth(worth: object) -> dict[str, Any]:
    if isinstance(worth, tuple):
        return {"per_unit": worth[0]}
    return {"points": worth}


points_ = st.decimals(-50, 50, places=1).map(lambda d: f"{d:f}".replace("-0.0", "0"))


@st.composite
def drawn(
    draw: st.DrawFn,
) -> tuple[dict[str, list[Any]], dict[str, Any], list[list[str]], dict[str, Any], str]:
    """Draw datasets, points, vetoes, outcome and base."""
    datasets: dict[str, list[Any]] = {}
    points: dict[str, Any] = {}
    flags = []
    for name in ("a", "b")[: draw(st.integers(1, 2))]:
        columns, worth = [], {}
        for i in range(draw(st.integers(1, 3))):
            column = f"c{i}"
            match draw(st.sampled_from(["category", "bins", "integer", "flag"])):
                case "category":
                    columns.append({"name": column, "category": ["x", "y", "z"]})
                    worth[column] = {label: draw(points_) for label in "xyz"}
                case "bins":
                    columns.append({"name": column, "bins": [0, "1.5"]})
                    labels = ("[-inf,0)", "[0,1.5)", "[1.5,inf)")
                    worth[column] = {label: draw(points_) for label in labels}
                case "integer":
                    scale = draw(st.sampled_from([1, 2, 5]))
                    integer = {
                        "min": draw(st.integers(-3, 0)),
                        "max": 3,
                        "scale": scale,
                    }
                    columns.append({"name": column, "integer": integer})
                    worth[column] = (draw(points_),)
                case _:
                    columns.append({"name": column, "flag": {}})
                    worth[column] = draw(points_)
        columns.append({"name": "v", "flag": {}})
        flags.append([f"{name}.v"])
        datasets[name], points[name] = columns, worth
    starts = sorted(draw(st.sets(st.integers(-60, 60), min_size=1, max_size=4)))
    bands: list[dict[str, Any]] = [{"value": 0}]
    bands += [{"from": s, "value": draw(st.integers(0, 3))} for s in starts]
    ladder = {
        "from": draw(st.integers(-20, 20)),
        "step": draw(st.sampled_from(["7", "12.5"])),
    }
    ladder |= {"amount": 3, "cap": draw(st.sampled_from([3, 10, 15]))}
    outcome = {"limit": ladder, "grade": {"bands": bands}}
    vetoes = (
        flags if draw(st.booleans()) else [[flag for group in flags for flag in group]]
    )
    return datasets, points, vetoes, outcome, draw(points_)


@st.composite
def cells_of(
    draw: st.DrawFn, datasets: dict[str, list[Any]]
) -> dict[str, dict[str, str]]:
    """Draw a subject's cells; some datasets may not have it."""
    cells: dict[str, dict[str, str]] = {}
    for name, columns in datasets.items():
        if draw(st.integers(0, 5)) == 0:
            continue
        row = {}
        for column in columns:
            if "category" in column:
                text = draw(st.sampled_from("xyz"))
            elif "bins" in column:
                text = draw(st.sampled_from(["-1", "-0.0", "0", "1.49", "1.5", "9"]))
            elif "integer" in column:
                least, most = column["integer"]["min"], column["integer"]["max"]
                text = str(draw(st.sampled_from([least, 0, 1, most])))
            else:
                text = "1" if draw(st.integers(0, 3)) == 0 else "0"
            row[column["name"]] = text
        cells[name] = row
    return cells


def literal_score(
    points: Mapping[str, Mapping[str, Any]],
    base: str,
    cells: Mapping[str, Mapping[str, str]],
) -> Fraction:
    """Add up the points, in the author's words."""
    score = Fraction(base)
    for name, columns in points.items():
        for column, worth in columns.items():
            text = cells[name][column]
            if isinstance(worth, tuple):
                score += Fraction(worth[0]) * Fraction(text)
            elif isinstance(worth, str):
                score += Fraction(worth) if text == "1" else 0
            elif "x" in worth:
                score += Fraction(worth[text])
            elif Fraction(text) < 0:
                score += Fraction(worth["[-inf,0)"])
            elif Fraction(text) < Fraction(3, 2):
                score += Fraction(worth["[0,1.5)"])
            else:
                score += Fraction(worth["[1.5,inf)"])
    return score


def literal_answer(
    spec: tuple[Any, ...], cells: Mapping[str, Mapping[str, str]]
) -> tuple[str, Any]:
    """Decide in the author's words: who is missing, who is vetoed, what is told."""
    datasets, points, vetoes, outcome, base = spec
    if set(cells) != set(datasets):
        return "insufficient_data", None
    for g, flags in enumerate(vetoes):
        if any(cells[flag[0]][flag[2:]] == "1" for flag in flags):
            return "vetoed", f"veto{g}"
    score = literal_score(points, base, cells)
    grade = 0
    for band in outcome["grade"]["bands"][1:]:
        if score >= band["from"]:
            grade = band["value"]
    ladder, limit = outcome["limit"], 0
    rung = Fraction(ladder["from"]) + Fraction(ladder["step"])
    while rung <= score:
        limit += ladder["amount"]
        rung += Fraction(ladder["step"])
    return "scored", (("limit", min(limit, ladder["cap"])), ("grade", grade))


@settings(max_examples=120)
@given(st.data())
def test_compiled_and_literal_meaning_agree(data: st.DataObject) -> None:
    """Whatever the contract and whoever the subject: one answer, totals in range."""
    spec = data.draw(drawn())
    columns, points, vetoes, outcome, base = spec
    datasets = {
        name: Dataset.from_yaml(json.dumps(dataset_document(name, c)), "d.yaml")
        for name, c in columns.items()
    }
    text = json.dumps(contract_document(points, vetoes, outcome, base))
    contract = contract_of(text)
    compiled = compile_contract(contract, datasets)
    check_examples(compiled, contract, datasets)
    assert Compiled.parse(compiled.to_bytes()) == compiled
    card = compiled.card
    assert 1 << card.m >= 2 * (card.top + 1) > 1 << card.m - 1
    for _ in range(8):
        cells = data.draw(cells_of(columns))
        got = evaluate(compiled, datasets, cells)
        answer = compiled.explain(got.code)
        expected, detail = literal_answer(spec, cells)
        assert answer.answer == expected
        if expected == "vetoed":
            assert answer.reason == detail
        if expected == "scored":
            assert answer.outcome == detail
            assert got.score == literal_score(points, base, cells)
            assert 0 <= got.total <= card.top


@settings(max_examples=40)
@given(st.data())
def test_the_least_and_largest_totals_are_reached(data: st.DataObject) -> None:
    """0 and top are tight: the score field is not one bit longer than it must be."""
    columns, points, vetoes, outcome, base = data.draw(drawn())
    datasets = {
        name: Dataset.from_yaml(json.dumps(dataset_document(name, c)), "d.yaml")
        for name, c in columns.items()
    }
    text = json.dumps(contract_document(points, vetoes, outcome, base))
    compiled = compile_contract(contract_of(text), datasets)
    ends = []
    for pick in (min, max):
        values = []
        for use in compiled.datasets:
            for column in datasets[use.id].columns:
                weights = [
                    weight
                    for item, weight in zip(
                        compiled.columns, compiled.card.weights, strict=True
                    )
                    if item.dataset == use.id
                    and item.name in [e.name for e in column.encrypted]
                ]
                limit = column.encrypted[0].limit
                options = weights if column.labels else [0, weights[0] * limit]
                values.append(pick(options))
        ends.append(compiled.card.shift + sum(values))
    assert ends == [0, compiled.card.top]
