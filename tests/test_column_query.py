"""Range and verify contracts: their words, their integers, their rule."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import kinds
from contracts.column_query import answer_of, check_rules
from contracts.compiled import Answer, Compiled
from contracts.contract import ContractKind
from contracts.dataset import Dataset
from contracts.errors import DocumentInvalid, RuleBroken, SourceError
from contracts.source import write_decimal
from protocols.canon import dumps, loads
from protocols.errors import FormatError
from tests.turnover import DATASET, MOST, range_source, verify_source

TAX = {"tax": Dataset.from_yaml(DATASET, "tax.yaml")}


def compiled(source: str, datasets: dict[str, Dataset] = TAX) -> Compiled:
    """Compile and admit a query."""
    found = kinds.read(source, "q.yaml").admit(datasets)
    assert isinstance(found, Compiled)
    return found


def dataset(**number: object) -> dict[str, Dataset]:
    """Make a dataset with another integer column."""
    shape = ", ".join(f"{key}: {value}" for key, value in number.items())
    text = DATASET.replace(f"{{min: 0, max: {MOST}}}", f"{{{shape}}}")
    return {"tax": Dataset.from_yaml(text, "tax.yaml")}


# -- integers --------------------------------------------------------------------


def test_a_range_is_one_step() -> None:
    """Below, and from the threshold on; who is missing is missing."""
    made = compiled(range_source(at_least=5_000_000))
    assert (made.kind, made.gate, made.claim) == (ContractKind.RANGE, "thr", None)
    assert made.card.steps == ((0, 0), (5_000_000, 1))
    assert (made.card.top, made.card.m, made.card.parts) == (MOST, 39, 2)
    assert made.outcomes == ((("answer", "below"),), (("answer", "at_least"),))
    assert (made.millibits, made.limit_millibits) == (1_000, 20_000)
    assert made.attribute == "tax.turnover"
    assert not made.batch


def test_a_claim_is_a_window() -> None:
    """Equality with what is added is the limit; the tolerance is on both sides."""
    made = compiled(verify_source(tolerance=1_000))
    assert made.claim is not None
    assert made.card.steps == ((0, 0), (MOST - 1_000, 1), (MOST + 1_001, 0))
    assert made.card.top == 2 * MOST - 1
    assert made.claim.added("1234500") == MOST - 1_234_500
    assert made.claim.added("1234500.5") is None
    assert (made.kind.shared, made.attribute) == (True, "tax.turnover")


def test_equality_is_a_window_of_one() -> None:
    """A tolerance of 0."""
    made = compiled(verify_source(tolerance=0))
    assert made.card.steps == ((0, 0), (MOST, 1), (MOST + 1, 0))


@pytest.mark.parametrize("source", [range_source(), verify_source()])
def test_canonical_bytes_are_read_back(source: str) -> None:
    """Kind, gate and claim are in them, and in the hash."""
    made = compiled(source)
    again = kinds.parse(made.to_bytes())
    assert (again, again.hash) == (made, made.hash)
    assert b'"v":"safehouse/contract/2"' in made.to_bytes()


def test_two_kinds_never_share_a_hash() -> None:
    """The same words otherwise."""
    names = {
        compiled(range_source("one")).hash,
        compiled(verify_source("one")).hash,
        compiled(range_source("one", at_least=5_000_001)).hash,
        compiled(verify_source("one", tolerance=1_001)).hash,
    }
    assert len(names) == 4


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"kind": "dice"}, FormatError, "unknown kind `dice`"),
        ({"gate": "oblivious"}, FormatError, "unknown gate `oblivious`"),
        ({"kind": "score", "gate": "flat"}, FormatError, "is of version 1"),
        ({"claim": None}, DocumentInvalid, "a claim is not what it verifies"),
        ({"kind": "range"}, DocumentInvalid, "a claim is not what it verifies"),
        ({"gate": "split"}, DocumentInvalid, "its gate is too narrow"),
        ({"millibits": 999}, DocumentInvalid, "millibits are not those"),
        ({"more": 1}, FormatError, "unknown member `more`"),
        (
            {"claim": {"least": "1e3", "scale": 1, "limit": 5, "tolerance": 0}},
            FormatError,
            "member `least`: expected a decimal",
        ),
        (
            {"claim": {"least": "0", "scale": 0, "limit": 5, "tolerance": 0}},
            FormatError,
            "member `scale`",
        ),
    ],
)
def test_other_bytes_are_refused(
    change: dict[str, object], error: type[Exception], told: str
) -> None:
    """Each names what is wrong; nothing is guessed."""
    made = compiled(verify_source())
    document = {**loads(made.to_bytes(), "safehouse/contract/2"), **change}
    with pytest.raises(error, match=told):
        kinds.parse(dumps(document))  # type: ignore[arg-type]


# -- words -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("tax.turnover, at", "tax.turnovr, at", "unknown column `turnovr`"),
        ("tax.turnover, at", "vat.turnover, at", "unknown dataset `vat`"),
        ("tax.turnover, at", "tax.grade_a, at", "`tax.grade_a` is not a number"),
        ("at_least: 5000000}", "at_least: 0}", "every value is on one side"),
        (
            "at_least: 5000000}",
            "at_least: 999999999999}",
            f"`tax.turnover` runs from 0 to {MOST}: every value",
        ),
        ("at_least: 5000000}", "at_least: 5e6}", "expected a number, got `5e6`"),
        ("at_least: 5000000}", "at_most: 5}", "unknown key `at_most`"),
        ("  range:", "  rang:", "expected one of"),
        ("expect: at_least", "expect: atleast", "unknown word `atleast`"),
        ("expect: at_least", "expect: below", "example 1: expected answer `below`"),
        ("expect: at_least", "insufficient_data: true", "example 1: expected"),
        ("expect: at_least", "claim: 1, expect: at_least", "unknown key `claim`"),
        ('{tax.turnover: "5000000"}', '{tax.staff: "5"}', "cells of `tax.turnover`"),
        ('{tax.turnover: "5000000"}', '{tax.turnover: "-5"}', "example 1: column"),
        ("insufficient_data: true", "insufficient_data: false", "expected true"),
        ("bits_per_90_days: 20", "bits_per_90_days: 0", "expected 1 to"),
        ("subject: opaque", "subject: cn-uscc", "is about `opaque`"),
        ("purpose: loan-precheck", "purpose: fun", "unknown word `fun`"),
        ("banks: [jnrcb, lsbank]", "banks: [jnrcb, jnrcb]", "is there twice"),
        (
            "bits_per_90_days: 20",
            "waivers: [{rule: values, reason: x, signed_by: housing}]",
            "`housing` signs no approval of this contract",
        ),
        (
            "bits_per_90_days: 20",
            "waivers: [{rule: share, reason: x, signed_by: housing}]",
            "unknown word `share`",
        ),
    ],
)
def test_what_a_range_cannot_mean_is_refused_in_its_line(
    old: str, new: str, told: str
) -> None:
    """At its place, in the user's words."""
    source = range_source()
    assert old in source
    with pytest.raises(SourceError) as caught:
        compiled(source.replace(old, new, 1))
    assert told in str(caught.value)
    assert caught.value.line


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("tolerance: 1000}", "tolerance: -1}", "expected a tolerance of 0 or more"),
        ("tolerance: 1000}", f"tolerance: {MOST}}}", "every claim is within"),
        ("tolerance: 1000}", "percent: 5}", "unknown key `percent`"),
        ('claim: "1234500", ', "", "missing key `claim`"),
        ('claim: "1234500"', 'claim: "-1"', f"expected a claim of 0 to {MOST}"),
        ('claim: "1234500"', 'claim: "1235501"', "expected answer `match`, got"),
        ("expect: mismatch", "expect: match", "example 2: expected answer `match`"),
    ],
)
def test_what_a_claim_cannot_mean_is_refused_in_its_line(
    old: str, new: str, told: str
) -> None:
    """The same for what banks verify."""
    source = verify_source()
    assert old in source
    with pytest.raises(SourceError) as caught:
        compiled(source.replace(old, new, 1))
    assert told in str(caught.value)


def test_two_questions_in_one_document_are_refused() -> None:
    """Each contract asks one thing."""
    both = range_source().replace(
        "  range:", "  verify: {column: tax.turnover, tolerance: 5}\n  range:"
    )
    with pytest.raises(SourceError, match="unknown key `verify`"):
        compiled(both)


# -- the rule --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (range_source(at_least=99), "99 values on one side"),
        (range_source(at_least=MOST - 98), "99 values on one side"),
        (verify_source(tolerance=MOST // 200 + 1), "99 windows"),
    ],
)
def test_an_answer_leaves_many_values(source: str, told: str) -> None:
    """Fewer than a hundred, and the contract is refused unless the bureau answers."""
    narrow = source.replace("1234500", "5").replace("match}", "match}")
    written = kinds.read(narrow, "q.yaml")
    (finding,) = check_rules(written.compile(TAX), TAX)  # type: ignore[arg-type]
    assert (finding.ok, finding.figure) == (False, told)
    with pytest.raises(
        RuleBroken, match=f"rule `values`: expected at least 100, got {told}"
    ):
        written.admit(TAX)
    waiver = "waivers: [{rule: values, reason: pilot, signed_by: credit-bureau}]"
    waived = kinds.read(narrow.replace("bits_per_90_days: 20", waiver), "q.yaml")
    (finding,) = check_rules(waived.compile(TAX), TAX)  # type: ignore[arg-type]
    assert finding.waived_by == "credit-bureau"


@pytest.mark.parametrize("at_least", [100, MOST - 99])
def test_a_hundred_values_are_enough(at_least: int) -> None:
    """On either side."""
    (finding,) = check_rules(compiled(range_source(at_least=at_least)), TAX)
    assert finding.ok


def test_plans_say_what_is_asked_and_of_how_much() -> None:
    """Column, threshold or tolerance, gate and its reason, bits, bytes."""
    shown = kinds.plan(compiled(range_source()), TAX)
    words = "below, at_least or insufficient_data"
    assert [(line.word, line.text) for line in shown.lines] == [
        ("asks", "tax.turnover, whether it is 5000000 or more"),
        ("gate", "thr: a query compares with thresholds, whatever the column's width"),
        (
            "tells",
            f"{words}, 1.000 bits a call, 20 calls a subject in 90 days",
        ),
        (
            "quota",
            "3 answers about tax.turnover, subject and quarter, all banks together",
        ),
        ("costs", "3 products and 1536 bytes a block, 2880 bytes a subject"),
    ]
    shown = kinds.plan(compiled(verify_source(tolerance=12.5)), TAX, key_bits=2048)
    assert shown.lines[0].text == (
        "tax.turnover, whether it is the claim, give or take 12"
    )
    figures = dict(member for line in shown.lines for member in line.members)
    assert figures["ciphertext_bytes"] == 1024
    assert (figures["column"], figures["tolerance"], figures["m"]) == (
        "tax.turnover",
        12,
        39,
    )


# -- against a literal reading ---------------------------------------------------

numbers = st.integers(-500, 500).map(lambda n: Fraction(n, 4))


@given(
    least=st.integers(-40, 40),
    span=st.integers(2, 60),
    scale=st.sampled_from([1, 2, 4, 10]),
    number=numbers,
    data=st.data(),
)
def test_answers_are_those_of_the_words(
    least: int, span: int, scale: int, number: Fraction, data: st.DataObject
) -> None:
    """With fractions and a scale: value >= at_least, |value - claim| <= tolerance."""
    datasets = dataset(min=least, max=least + span, scale=scale)
    steps = st.integers(0, span * scale)
    stored, claimed = data.draw(steps), data.draw(steps)
    value, claim = (least + Fraction(step, scale) for step in (stored, claimed))
    decimal = write_decimal(Decimal(number.numerator) / number.denominator)
    if least < number <= least + span:
        source = range_source(at_least=decimal).split("  examples:")[0]
        source += "  examples: [{given: {}, insufficient_data: true}]\n"
        made = kinds.read(source, "q.yaml").compile(datasets)
        got = answer_of(made, [stored, 1], 0)  # type: ignore[arg-type]
        assert got.outcome == (("answer", "at_least" if value >= number else "below"),)
    if 0 <= number < span:
        source = verify_source(tolerance=decimal).split("  examples:")[0]
        source += "  examples: [{given: {}, claim: '0', insufficient_data: true}]\n"
        made = kinds.read(source, "q.yaml").compile(datasets)
        assert isinstance(made, Compiled)
        assert made.claim is not None
        added = made.claim.added(
            write_decimal(Decimal(claim.numerator) / claim.denominator)
        )
        assert added is not None
        got = answer_of(made, [stored, 1], added)
        expected = "match" if abs(value - claim) <= number else "mismatch"
        assert got.outcome == (("answer", expected),)
        missing = answer_of(made, [0, 0], added)
        assert missing.answer is Answer.INSUFFICIENT_DATA


def test_claims_are_named_with_their_steps() -> None:
    """What a bank is told when the column cannot be what it claims."""
    made = compiled(
        verify_source(tolerance=0).split("  examples:")[0]
        + '  examples: [{given: {}, claim: "0.5", insufficient_data: true}]\n',
        dataset(min=-1, max=100, scale=2),
    )
    assert made.claim is not None
    assert made.claim.expected == "of -1 to 100 in steps of 1/2"
    assert replace(made.claim, scale=1, limit=5).expected == "of -1 to 4"
