r"""Points of columns, added up exactly, and the integers they are computed as.

A score is base + sum of points, and every term is one of two (PROTOCOL 2)::

    one-hot   exactly one class is set: the least points go into the base, and every
              class weighs what it has above that
    linear    an integer, stored as (value - min) x s, weighs its points / s a stored
              unit, and a flag its points; points x min go into the base

Exact points become whole numbers by one common scale: the smallest that leaves no
fraction, or, where weights are real numbers, 1 / step for the step that the author
gives.  Then every weight is rounded to a multiple of the step, half to even, and so
is the base; nothing else is.  The *margin* is the most by which that can move the
score of anybody whose columns are within their limits: exact, column by column, not
an estimate.  A score that lies further from every threshold than the margin has the
outcome that the real numbers give it.

A negative weight of a linear term takes -weight x limit off the base and adds it to
`shift`, so that no total is negative: a borrow would run into the neighbour's slot.

>>> sums = Sums(Fraction("-1.4557"))
>>> sums.linear("credit", "late", Fraction("0.65119") / Fraction("1.1238"), 10)
>>> exact = sums.rounded(Fraction(1, 1000))
>>> exact.weights["credit", "late"], exact.base, exact.top, float(exact.margin) < 0.006
(579, -1456, 5790, True)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm
from typing import TypeAlias

from contracts.encoding import Column, Integer
from contracts.scoring import ByClass, PerUnit, Points
from contracts.source import shown, suggest

Name: TypeAlias = tuple[str, str]  # of an encrypted column: dataset, name


@dataclass(frozen=True, slots=True)
class Term:
    """One column's part of the score."""

    weights: tuple[tuple[Name, Fraction], ...]
    limit: int  # of the stored value; 1 for classes
    one_hot: bool


@dataclass(frozen=True, slots=True)
class Rounded:
    """A score in whole numbers: (total + base) / scale, 0 <= total <= top."""

    scale: int
    base: int
    shift: int
    top: int
    weights: Mapping[Name, int]
    margin: Fraction  # points; how far it can be from the exact score


@dataclass(slots=True)
class Sums:
    """Exact points, gathered column by column."""

    base: Fraction  # what everybody has
    terms: list[Term] = field(default_factory=list)

    def one_hot(self, dataset: str, points: Mapping[str, Fraction]) -> None:
        """Add a group of which exactly one column is 1."""
        least = min(points.values())
        self.base += least
        weights = tuple(
            ((dataset, name), value - least) for name, value in points.items()
        )
        self.terms.append(Term(weights, 1, one_hot=True))

    def linear(self, dataset: str, name: str, weight: Fraction, limit: int) -> None:
        """Add a column of 0 to `limit`."""
        self.terms.append(Term((((dataset, name), weight),), limit, one_hot=False))

    def score(self, values: Mapping[Name, int]) -> Fraction:
        """Return the exact score of stored values: the definition."""
        return self.base + sum(
            (
                weight * values[name]
                for term in self.terms
                for name, weight in term.weights
            ),
            Fraction(0),
        )

    def rounded(self, step: Fraction | None) -> Rounded:
        """Write the score in whole numbers of `step`, or exactly."""
        weights = {name: w for term in self.terms for name, w in term.weights}
        scale = lcm(*(number.denominator for number in (self.base, *weights.values())))
        if step is not None:
            scale = int(1 / step)
        whole = {name: round(weight * scale) for name, weight in weights.items()}
        base = round(self.base * scale)
        shift = top = 0
        low = high = Fraction(base, scale) - self.base
        for term in self.terms:
            values = [whole[name] for name, _ in term.weights]
            errors = [Fraction(whole[name], scale) - w for name, w in term.weights]
            if term.one_hot:
                top += max(values)
                low, high = low + min(errors), high + max(errors)
            else:
                top += abs(values[0]) * term.limit
                shift += max(0, -values[0]) * term.limit
                reach = errors[0] * term.limit
                low, high = (
                    low + min(Fraction(0), reach),
                    high + max(reach, Fraction(0)),
                )
        return Rounded(scale, base - shift, shift, top, whole, max(-low, high))


def weigh(
    sums: Sums, dataset: str, column: Column, points: Points, called: str
) -> None:
    """Add an indicator; raises `SourceError` where points and column do not fit.

    `called` is the column's name in messages.
    """
    if column.labels:
        if not isinstance(points, ByClass):
            raise points.place.error(
                f"`{called}` has classes: expected points for each",
                suggest("", column.labels),
            )
        sums.one_hot(dataset, _by_class(points, called, column))
    elif isinstance(column.encoding, Integer):
        if not isinstance(points, PerUnit):
            raise points.place.error(f"`{called}` is a number: expected `per_unit`")
        number = column.encoding
        sums.base += points.points * (Fraction(number.least) - points.origin)
        weight = points.points / number.scale
        sums.linear(dataset, column.name, weight, number.limit)
    else:
        if isinstance(points, ByClass | PerUnit):
            raise points.place.error(
                f"`{called}` is a flag: expected `points: <number>`, given when it is 1"
            )
        sums.linear(dataset, column.name, points.points, 1)


def _by_class(points: ByClass, called: str, column: Column) -> dict[str, Fraction]:
    given = {item.label: item for item in points.classes}
    for label, item in given.items():
        if label not in column.labels:
            raise item.place.error(
                f"`{called}` has no class `{shown(label)}`",
                suggest(label, column.labels),
            )
    for label in column.labels:
        if label not in given:
            raise points.place.error(
                f"class `{shown(label)}` of `{called}` has no points"
            )
    return {f"{column.name}={label}": item.points for label, item in given.items()}
