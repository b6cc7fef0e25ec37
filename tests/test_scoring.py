"""A scoring contract is refused, where it is wrong, before any data are named.

Case 50: whatever is written, the answer is a contract or a `SourceError`.
"""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import SourceError
from contracts.scoring import PURPOSES, ByClass, PerUnit, ScoringContract, WhenSet

GERMAN = Path(__file__).parent.parent / "examples/german-credit/contract.yaml"

CONTRACT = """\
apiVersion: safehouse/v1
kind: ScoringContract
metadata: {name: small, version: 3, title: 小}
spec:
  purpose: loan-precheck
  subject: opaque
  author: jnrcb
  banks: [jnrcb, lsbank]
  base: 20.5
  groups:
    - name: tax
      indicators:
        - {column: tax.grade, points: {A: 7.5, B: 2}}
        - {column: tax.sites, per_unit: -3}
        - {column: tax.honest, points: 100}
  vetoes:
    - {reason: wanted, flags: [court.wanted]}
    - {reason: broke, flags: [court.broke, tax.broke]}
  outcome:
    grade: {bands: [{value: D}, {from: 15, value: C}]}
    limit: {from: 400, step: 10, amount: 1000000, cap: 30000000}
  release: {most_outcomes: 3, narrowest_band: 5}
  waivers:
    - {rule: veto-flags/wanted, reason: one flag, signed_by: court}
  examples:
    - {given: {tax.grade: A}, expect: {grade: C, limit: 0}}
    - {given: {tax.grade: ""}, vetoed: wanted}
    - {given: {}, insufficient_data: true}
"""


def changed(old: str, new: str) -> str:
    """Return the contract with one thing different."""
    assert CONTRACT.count(old) == 1, old
    return CONTRACT.replace(old, new)


def refusal(text: str) -> SourceError:
    """Return the error that a contract ends in."""
    with pytest.raises(SourceError) as caught:
        ScoringContract.from_yaml(text, "c.yaml")
    return caught.value


def test_a_contract_is_read_whole() -> None:
    """Everything that YAML says is in the contract."""
    contract = ScoringContract.from_yaml(CONTRACT, "c.yaml")
    assert (contract.name, contract.version, contract.title) == ("small", 3, "小")
    assert contract.banks == ("jnrcb", "lsbank")
    assert [type(i.points) for i in contract.indicators] == [ByClass, PerUnit, WhenSet]
    assert [veto.reason for veto in contract.vetoes] == ["wanted", "broke"]
    assert contract.release.bits_per_90_days == 12
    assert contract.examples[0].expect == (("grade", "C"), ("limit", 0))
    assert contract.examples[1].vetoed == "wanted"
    assert contract.examples[2].insufficient_data


@pytest.mark.parametrize(
    ("old", "new", "place", "message", "hint"),
    [
        ("loan-precheck", "loan-prechek", "5:12", "unknown word", "did you mean `loan"),
        ("version: 3", "version: 0", "3:34", "expected 1 to", ""),
        ("version: 3", "version: 1.0", "3:34", "expected an integer, got `1.0`", ""),
        (", version: 3", "", "3:11", "missing key `version`", ""),
        ("subject: opaque", "subject: phone", "6:12", "unknown word `phone`", ""),
        ("banks: [jnrcb, lsbank]", "banks: []", "8:10", "expected 1 to", ""),
        ("banks: [jnrcb, lsbank]", "banks: [a, a]", "8:14", "`a` is there twice", ""),
        ("base: 20.5", "base: twenty", "9:9", "expected a number, got `twenty`", ""),
        ("base: 20.5", "base: 1e3", "9:9", "expected a number, got `1e3`", ""),
        ("tax.grade, points", "tax, points", "13:20", "expected `dataset.column`", ""),
        ("tax.sites, per", "tax.a.b, per", "14:20", "expected `dataset.column`", ""),
        (
            "{column: tax.sites, per_unit: -3}",
            "{column: tax.sites}",
            "14:11",
            "expec",
            "",
        ),
        (
            "per_unit: -3",
            "per_unit: -3, points: 1",
            "14:11",
            "expected one of `points`, `per_unit`, `standardised`",
            "",
        ),
        (
            "tax.sites, per",
            "tax.grade, per",
            "14:20",
            "`tax.grade` has points already in line 13",
            "",
        ),
        ("points: 100", "points: [100]", "15:40", "expected keys and values", ""),
        ("points: {A: 7.5, B: 2}", "points: {}", "13:39", "expected at least 1", ""),
        ("{A: 7.5, B: 2}", "{A: 7.5, A: 2}", "13:48", "duplicate key `A`", ""),
        ("{A: 7.5, B: 2}", "{A: 7.5, no: 2}", "13:48", "expected text, got `no`", ""),
        (
            "reason: broke",
            "reason: wanted",
            "18:16",
            "reason `wanted` is there twi",
            "",
        ),
        (
            "[court.broke, tax.broke]",
            "[court.broke, court.wanted]",
            "18:44",
            "`court.wanted` is a veto already in line 17",
            "",
        ),
        ("reason: broke", "reason: insufficient_data", "18:16", "expected a name", ""),
        ("[court.wanted]", "[]", "17:31", "expected 1 to", ""),
        ("{value: D}, ", "{from: 1, value: D}, ", "20:21", "the first band has no", ""),
        ("{from: 15, value: C}", "{value: C}", "20:33", "missing key `from`", ""),
        (
            "{from: 15, value: C}",
            "{from: 15, value: C}, {from: 15, value: B}",
            "20:62",
            "bands must ascend",
            "",
        ),
        ("value: C}", "value: 3}", "20:51", "values of one field are all numbers", ""),
        (
            "value: C}",
            "value: 4.35}",
            "20:51",
            "expected an integer or text, got `4.35`",
            'quote it: "4.35"',
        ),
        ("step: 10,", "step: 0,", "21:30", "expected a step above 0", ""),
        ("step: 10,", "", "21:12", "missing key `step`", ""),
        ("amount: 1000000,", "amount: 0.5,", "21:42", "expected an integer", ""),
        ("cap: 30000000", "cap: 999999", "21:56", "expected 1000000 to", ""),
        (
            "{from: 400, step: 10, amount: 1000000, cap: 30000000}",
            "{}",
            "21:12",
            "e",
            "",
        ),
        (
            "most_outcomes: 3",
            "most_outcomes: 65",
            "22:28",
            "expected 1 to 64, got 65",
            "",
        ),
        ("narrowest_band: 5", "narrowest_band: 0", "22:47", "expected a width abo", ""),
        (
            "rule: veto-flags/wanted",
            "rule: veto-flags/wantd",
            "24:14",
            "unknown word `veto-flags/wantd`",
            "did you mean `veto-flags/wanted`?",
        ),
        ("rule: veto-flags/wanted", "rule: veto-flags", "24:14", "unknown word", ""),
        ("reason: one flag,", "", "24:7", "missing key `reason`", ""),
        ("{grade: C, limit: 0}", "{grade: C}", "26:39", "missing key `limit`", ""),
        (
            "{grade: C, limit: 0}",
            "{grade: C, limits: 0}",
            "26:50",
            "unknown key `li",
            "",
        ),
        ("vetoed: wanted", "vetoed: wantd", "27:40", "unknown word `wantd`", "did you"),
        (
            "insufficient_data: true",
            "insufficient_data: false",
            "28:38",
            "expected",
            "",
        ),
        (", insufficient_data: true", "", "28:7", "expected one of `expect`, `ve", ""),
        (
            "tax.grade: A}, expect",
            "taxgrade: A}, expect",
            "26:16",
            "expected `datas",
            "",
        ),
    ],
)
def test_a_wrong_contract_is_refused_where_it_is_wrong(
    old: str, new: str, place: str, message: str, hint: str
) -> None:
    """With line, column, the author's word and the nearest right one."""
    error = refusal(changed(old, new))
    assert str(error).startswith(f"c.yaml:{place}: {message}")
    assert error.hint.startswith(hint)


@pytest.mark.parametrize(
    "member", ["purpose", "author", "outcome", "release", "examples", "groups"]
)
def test_nothing_that_matters_has_a_default(member: str) -> None:
    """Empty means no: a contract without them is refused by name."""
    document = json.loads(json.dumps(_plain()))
    del document["spec"][member]
    error = refusal(json.dumps(document))
    assert error.message == f"missing key `{member}`"
    document = json.loads(json.dumps(_plain()))
    document["spec"][member] = []
    refusal(json.dumps(document))


def test_a_misspelt_key_is_refused_at_every_level() -> None:
    """No constraint is dropped silently."""
    for path in (
        (),
        ("metadata",),
        ("spec",),
        ("spec", "groups", 0),
        ("spec", "groups", 0, "indicators", 0),
        ("spec", "outcome", "grade", "bands", 0),
        ("spec", "release"),
        ("spec", "examples", 0),
    ):
        document = json.loads(json.dumps(_plain()))
        place = document
        for step in path:
            place = place[step]
        place["zzz"] = 1
        assert refusal(json.dumps(document)).message == "unknown key `zzz`"


def test_fifty_thousand_terms_are_refused_quickly() -> None:
    """Case 50: size is bounded before meaning is looked for."""
    document = json.loads(json.dumps(_plain()))
    indicator = document["spec"]["groups"][0]["indicators"][0]
    document["spec"]["groups"][0]["indicators"] = [indicator] * 10_001
    assert "expected 1 to 10000 items" in str(refusal(json.dumps(document)))
    document["spec"]["groups"][0]["indicators"] = [indicator] * 50_000
    assert "expected at most 1000000 bytes" in str(refusal(json.dumps(document)))


def test_purposes_are_words_of_one_list() -> None:
    """A consent names the same words."""
    for purpose in PURPOSES:
        text = changed("loan-precheck", purpose)
        assert ScoringContract.from_yaml(text, "c.yaml").purpose == purpose


def _plain() -> dict[str, object]:
    return {
        "apiVersion": "safehouse/v1",
        "kind": "ScoringContract",
        "metadata": {"name": "small", "version": 1},
        "spec": {
            "purpose": "loan-precheck",
            "subject": "opaque",
            "author": "jnrcb",
            "banks": ["jnrcb"],
            "base": 0,
            "groups": [
                {"name": "g", "indicators": [{"column": "tax.honest", "points": 1}]}
            ],
            "outcome": {"grade": {"bands": [{"value": "D"}]}},
            "release": {"most_outcomes": 3, "narrowest_band": 5},
            "examples": [{"given": {}, "insufficient_data": True}],
        },
    }


def test_the_plain_contract_of_these_tests_is_a_contract() -> None:
    """So that each refusal above has the one cause it names."""
    assert ScoringContract.from_yaml(json.dumps(_plain()), "c.yaml").name == "small"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["tax.honest", "loan-precheck", "D", "1.5", "opaque"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["from", "value", "bands", "points", "x"]), inner
        )
    ),
    max_leaves=6,
)


@settings(max_examples=200)
@given(st.data())
def test_any_value_anywhere_is_read_or_refused_in_one_line(data: st.DataObject) -> None:
    """Nothing a document can hold ends in anything but a contract or its error."""
    document = json.loads(json.dumps(_plain()))
    spec = document["spec"]
    place, key = data.draw(
        st.sampled_from(
            [(spec, member) for member in spec]
            + [
                (document, "metadata"),
                (spec["groups"][0], "indicators"),
                (spec["groups"][0]["indicators"][0], "points"),
                (spec["outcome"], "grade"),
                (spec["outcome"]["grade"]["bands"][0], "value"),
                (spec["release"], "narrowest_band"),
                (spec["examples"][0], "given"),
            ]
        )
    )
    place[key] = data.draw(json_values)
    try:
        ScoringContract.from_yaml(json.dumps(document, ensure_ascii=False), "c.yaml")
    except SourceError as error:
        message = str(error)
    else:
        message = ""
    assert "\n" not in message


@settings(max_examples=150)
@given(st.data())
def test_any_edit_of_a_real_contract_is_read_or_refused(data: st.DataObject) -> None:
    """One character more, less or other, anywhere in the German card."""
    text = GERMAN.read_text()
    at = data.draw(st.integers(0, len(text) - 1))
    cut = data.draw(st.integers(0, 3))
    put = data.draw(st.text(st.sampled_from(" \n:-[]{}\"'#0aA,.&*!%\t县"), max_size=3))
    try:
        ScoringContract.from_yaml(text[:at] + put + text[at + cut :], "c.yaml")
    except SourceError as error:
        message = str(error)
    else:
        message = ""
    assert "\n" not in message
