"""What a cell becomes, and what is refused before it is encrypted."""

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.encoding import (
    MAX_LIMIT,
    Bins,
    Category,
    Column,
    Flag,
    FlagAtLeast,
    FlagEquals,
    Integer,
    Kind,
    Missing,
    read_column,
)
from contracts.errors import SourceError, ValueInvalid
from contracts.source import parse


def column(text: str) -> Column:
    """Read a column from one line of YAML."""
    return read_column(parse(text, "d.yaml"))


def refusal(text: str) -> SourceError:
    """Return the error that a column ends in."""
    with pytest.raises(SourceError) as caught:
        column(text)
    return caught.value


def test_every_form_reads_as_the_docstring_says() -> None:
    """Eight lines of YAML, eight encodings."""
    forms = {
        "{name: a, integer: {min: 0, max: 9, scale: 10}}": Integer(
            Decimal(0), Decimal(9), 10
        ),
        "{name: a, integer: {min: -1.5, max: 2, scale: 2, cap: true}}": Integer(
            Decimal("-1.5"), Decimal(2), 2, cap=True
        ),
        "{name: a, flag: {}}": Flag(),
        "{name: a, flag: {one: [有], zero: [无]}}": Flag(("有",), ("无",)),
        "{name: a, flag: {equals: [unemployed]}}": FlagEquals(("unemployed",)),
        "{name: a, flag: {at_least: 3}}": FlagAtLeast(Decimal(3)),
        "{name: a, category: [rent, own]}": Category(("rent", "own")),
        '{name: a, bins: [26, "35.5", 40]}': Bins(
            (Decimal(26), Decimal("35.5"), Decimal(40))
        ),
    }
    for text, encoding in forms.items():
        assert column(text) == Column("a", "a", encoding), text


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("{name: a}", "1: column `a`: expected one encoding, got 0", "expected `int"),
        ("{name: a, flag: {}, bins: [1]}", "1: column `a`: expected one encodi", ""),
        ("{name: a, flga: {}}", "11: unknown key `flga`", "did you mean `flag`?"),
        ("{name: A, flag: {}}", "8: expected a column name, got `A`", ""),
        ("{name: _present, flag: {}}", "8: expected a column name", ""),
        ("{name: a, category: [x]}", "21: expected 2 to 200 items, got 1", ""),
        ("{name: a, category: [x, y, x]}", "28: `x` is there twice", ""),
        ("{name: a, category: [x, no]}", "25: expected text, got `no`", 'write "no"'),
        ("{name: a, bins: []}", "17: expected 1 to 200 items, got 0", ""),
        ("{name: a, bins: [2, 2]}", "21: edges must ascend, got 2 after 2", ""),
        ("{name: a, bins: [2, 1.5]}", "21: edges must ascend, got 1.5 after 2", ""),
        ("{name: a, bins: [1e3]}", "18: expected a number, got `1e3`", ""),
        ("{name: a, flag: {one: [x]}}", "17: missing key `zero`", ""),
        ("{name: a, flag: {one: [x], zero: [x]}}", "17: `x` is both one and zero", ""),
        ("{name: a, flag: {equals: [x], zero: [y]}}", "31: unknown key `zero`", ""),
        ("{name: a, integer: {min: 1, max: 1}}", "20: expected (max - min)", ""),
        ("{name: a, integer: {min: 0, max: 0.5}}", "34: `max` is not a multiple", ""),
        (
            f"{{name: a, integer: {{min: 0, max: {MAX_LIMIT + 1}}}}}",
            f"20: expected (max - min) x scale of 1 to {MAX_LIMIT}",
            "",
        ),
        ("{name: a, flag: {}, missing: skip}", "30: unknown word `skip`", ""),
        ("{name: a, flag: {}, missing: {}}", "30: missing key `default`", ""),
        (
            "{name: a, flag: {}, missing: {default: 2}}",
            "40: the column has no value `2`",
            "",
        ),
        (
            "{name: a, category: [rent, own], missing: {default: onw}}",
            "53: the column has no value `onw`",
            "did you mean `own`?",
        ),
        (
            "{name: a, integer: {min: 0, max: 5}, missing: {default: 6}}",
            "57: the column has no value `6`",
            "",
        ),
        (
            "{name: a, flag: {}, missing: {class: unknown}}",
            "38: only a category or bins can have a class for missing values",
            "use `default`",
        ),
        (
            "{name: a, category: [x, y], missing: {class: x}}",
            "46: `x` is already a class",
            "",
        ),
        (
            "{name: a, category: [x, y], missing: {default: x, texts: [y]}}",
            "58: `y` is a value and missing",
            "",
        ),
    ],
)
def test_a_column_that_cannot_mean_anything_is_refused(
    text: str, message: str, hint: str
) -> None:
    """With its column in the line, and a hint where one helps."""
    error = refusal(text)
    assert str(error).startswith(f"d.yaml:1:{message}")
    assert error.hint.startswith(hint)


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        (
            "{name: a, integer: {min: 0, max: 9, scale: 10}}",
            [
                "-1",
                "9.1",
                "0.05",
                "",
                "x",
                "1e0",
                "１",
                "1,5",
                " 1",
                "1 ",
                "0x1",
                "nan",
            ],
        ),
        ("{name: a, integer: {min: 0, max: 9, cap: true}}", ["1.5", "-0.5x", "inf"]),
        ("{name: a, flag: {}}", ["2", "-1", "true", "01", "1.0", "", "yes"]),
        ("{name: a, flag: {one: [有], zero: [无]}}", ["1", "0", "有 "]),
        ("{name: a, flag: {at_least: 3}}", ["three", "", "1/2", "9" * 16]),
        ("{name: a, flag: {equals: [x]}}", [""]),
        ("{name: a, category: [rent, own]}", ["Rent", "rent ", "", "other"]),
        ("{name: a, bins: [26]}", ["", "old", "٢٦", "1_0", "1" * 16, "0." + "0" * 10]),
    ],
)
def test_a_cell_outside_the_declaration_is_refused_without_its_value(
    text: str, cells: list[str]
) -> None:
    """Negative inputs and flags outside 0/1 end at the custodian.

    The message may travel; the value is there for the custodian's own report.
    """
    for cell in cells:
        with pytest.raises(ValueInvalid) as caught:
            column(text).encode(cell)
        message = str(caught.value) + caught.value.hint
        assert message.startswith("column `a`: expected ")
        assert len(cell) < 3 or cell not in message
        assert caught.value.value == cell
    with pytest.raises(ValueInvalid):
        column(text).encode(None)


def test_numbers_are_exact_and_minus_zero_is_zero() -> None:
    """An edge belongs to the class that begins there."""
    bins = column("{name: a, bins: [0, 0.3]}")
    assert bins.labels == ("[-inf,0)", "[0,0.3)", "[0.3,inf)")
    assert bins.encode("-0.0") == bins.encode("0") == (0, 1, 0)
    assert bins.encode("0.300000000") == (0, 0, 1)
    assert bins.encode("0.299999999") == (0, 1, 0)
    assert bins.encode("-0.000000001") == (1, 0, 0)


def test_an_integer_is_stored_from_its_minimum() -> None:
    """Stored values are never negative: a borrow would reach a neighbour's slot."""
    money = column("{name: a, integer: {min: -2, max: 3, scale: 100}}")
    assert money.encrypted[0].limit == 500
    assert [money.encode(cell) for cell in ("-2", "0.01", "+3.00")] == [
        (0,),
        (201,),
        (500,),
    ]


def test_a_cap_moves_a_number_to_the_nearest_end() -> None:
    """Only where the document asks for it."""
    capped = column("{name: a, integer: {min: 0, max: 9, cap: true}}")
    assert [capped.encode(cell) for cell in ("-5", "100", "4")] == [(0,), (9,), (4,)]


def test_a_missing_value_is_what_the_document_says() -> None:
    """Never a silent 0."""
    category = "{name: a, category: [x, y]"
    assert column(category + ", missing: {default: y}}").encode("") == (0, 1)
    asked = column(category + ', missing: {class: none, texts: ["", NA, "~"]}}')
    assert asked.encode("NA") == asked.encode(None) == asked.encode("~") == (0, 0, 1)
    assert [c.name for c in asked.encrypted] == ["a=x", "a=y", "a=none"]
    with pytest.raises(ValueInvalid):
        column(category + ", missing: {default: y, texts: [NA]}}").encode("")
    flag = column("{name: a, flag: {at_least: 3}, missing: {default: 1}}")
    assert (flag.encode(""), flag.encode("2")) == ((1,), (0,))
    number = column(
        "{name: a, integer: {min: 1, max: 5, scale: 2}, missing: {default: 2.5}}"
    )
    assert number.encode(None) == (3,)


def test_one_hot_columns_and_flags_say_what_they_are() -> None:
    """The compiler and the packer rely on kind and limit."""
    bins = column("{name: a, bins: [1]}").encrypted
    assert [(c.kind, c.group, c.limit) for c in bins] == [(Kind.CLASS, "a", 1)] * 2
    flag = column("{name: b, flag: {}}").encrypted
    assert [(c.name, c.kind, c.limit) for c in flag] == [("b", Kind.FLAG, 1)]


decimals = st.decimals(-1000, 1000, places=3, allow_nan=False, allow_infinity=False)


@given(st.lists(decimals, min_size=1, max_size=6, unique=True), decimals)
def test_bins_by_their_literal_definition(edges: list[Decimal], value: Decimal) -> None:
    """Exactly one class is set, and it is the interval that holds the value."""
    edges.sort()
    bins = Column("a", "a", Bins(tuple(edges)))
    literal = [value < edges[0]]
    literal += [low <= value < high for low, high in pairwise(edges)]
    literal += [edges[-1] <= value]
    assert bins.encode(f"{value:f}") == tuple(map(int, literal))
    assert sum(literal) == 1


@given(
    st.integers(-500, 500),
    st.integers(1, 1000),
    st.sampled_from([1, 2, 10, 100]),
    st.integers(-(10**6), 10**6),
)
def test_integers_by_their_literal_definition(
    least: int, span: int, scale: int, thousandths: int
) -> None:
    """Stored = (value - min) x scale where that is a whole number in range."""
    encoded = Column("a", "a", Integer(Decimal(least), Decimal(least + span), scale))
    value = Fraction(thousandths, 1000)
    stored = (value - least) * scale
    text = f"{Decimal(thousandths) / 1000:f}"
    if stored.denominator == 1 and 0 <= stored <= span * scale:
        assert encoded.encode(text) == (stored,)
        assert stored <= encoded.encrypted[0].limit
    else:
        with pytest.raises(ValueInvalid):
            encoded.encode(text)


@given(st.text(max_size=12))
def test_any_cell_is_encoded_or_refused(cell: str) -> None:
    """Each encoding answers with values in range or `ValueInvalid`."""
    encodings = (Integer(Decimal(0), Decimal(9), 1), Flag(), FlagEquals(("x",)))
    encodings += (FlagAtLeast(Decimal(3)), Category(("a", "b")), Bins((Decimal(1),)))
    for encoding in encodings:
        asked = Column("a", "a", encoding, Missing("reject"))
        try:
            values = asked.encode(cell)
        except ValueInvalid:
            continue
        assert len(values) == len(asked.encrypted)
        limits = [c.limit for c in asked.encrypted]
        assert all(0 <= v <= limit for v, limit in zip(values, limits, strict=True))
