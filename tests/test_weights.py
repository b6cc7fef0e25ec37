"""Exact points and their whole numbers, against rational arithmetic done slowly."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.weights import Sums

points = st.fractions(-20, 20, max_denominator=999)
steps = st.sampled_from((1, 2, 10, 1000, 10**8)).map(lambda k: Fraction(1, k))
Terms = list[tuple[bool, list[Fraction], int]]


@st.composite
def terms(draw: st.DrawFn) -> Terms:
    """Draw one-hot groups and numbers, with limits."""
    drawn = []
    for _ in range(draw(st.integers(1, 4))):
        one_hot = draw(st.booleans())
        weights = draw(st.lists(points, min_size=2 if one_hot else 1, max_size=3))
        drawn.append(
            (one_hot, weights if one_hot else weights[:1], draw(st.integers(1, 50)))
        )
    return drawn


def sums_of(base: Fraction, drawn: Terms) -> Sums:
    """Gather them."""
    sums = Sums(base)
    for number, (one_hot, weights, limit) in enumerate(drawn):
        if one_hot:
            classes = {f"{number}={i}": w for i, w in enumerate(weights)}
            sums.one_hot("d", classes)
        else:
            sums.linear("d", f"{number}", weights[0], limit)
    return sums


@given(points, terms(), steps, st.data())
def test_whole_numbers_are_within_the_margin_of_the_exact_score(
    base: Fraction, drawn: Terms, step: Fraction, data: st.DataObject
) -> None:
    """For any subject: exact without a step, else never further than the margin."""
    exact, values = base, {}
    for number, (one_hot, weights, limit) in enumerate(drawn):
        if one_hot:
            chosen = data.draw(st.integers(0, len(weights) - 1))
            exact += weights[chosen]
            values |= {
                ("d", f"{number}={i}"): int(i == chosen) for i in range(len(weights))
            }
        else:
            value = data.draw(st.sampled_from((0, limit, limit // 2)))
            exact += weights[0] * value
            values["d", f"{number}"] = value
    sums = sums_of(base, drawn)
    assert sums.score(values) == exact
    for given_step in (None, step):
        rounded = sums.rounded(given_step)
        total = rounded.shift + sum(
            weight * values[name] for name, weight in rounded.weights.items()
        )
        assert 0 <= total <= rounded.top
        score = Fraction(total + rounded.base, rounded.scale)
        assert abs(score - exact) <= rounded.margin
        if given_step is None:
            assert (score, rounded.margin) == (exact, 0)
        else:
            assert rounded.scale * step == 1


def test_the_margin_is_reached() -> None:
    """It is the largest error that any subject can have, not an estimate."""
    sums = Sums(Fraction("0.4"))
    sums.linear("d", "up", Fraction("2.3"), 10)  # counts as 2: 0.3 short a unit
    sums.linear("d", "down", Fraction("-1.6"), 5)  # counts as -2: 0.4 short
    sums.one_hot("d", {"a": Fraction(0), "b": Fraction("0.7")})  # 0.3 too much
    rounded = sums.rounded(Fraction(1))
    assert rounded.margin == Fraction("0.4") + 3 + 2
    assert rounded.weights == {
        ("d", "up"): 2,
        ("d", "down"): -2,
        ("d", "a"): 0,
        ("d", "b"): 1,
    }
    assert (rounded.base, rounded.shift, rounded.top) == (-10, 10, 31)


@pytest.mark.parametrize(("half", "expected"), [("0.5", 0), ("1.5", 2), ("-0.5", 0)])
def test_halves_go_to_the_even_number(half: str, expected: int) -> None:
    """House, authority and auditor round alike, whoever they are."""
    sums = Sums(Fraction(0))
    sums.linear("d", "x", Fraction(half), 3)
    assert sums.rounded(Fraction(1)).weights["d", "x"] == expected
