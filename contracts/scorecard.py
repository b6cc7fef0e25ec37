"""A scorecard as some other tool wrote it: variables, bins, points.

The form that all formats are read into (`contracts.scorecard_tables`,
`contracts.scorecard_pmml`), and the definition of what a card says of a row: the base,
and for every variable the points of the first bin that its cell falls into.  Numbers
are exact, and points have the decimals that the card prints.

>>> place = Place("card.csv", 2, 1)
>>> young, old = Interval(None, Fraction(26)), Interval(Fraction(26), None)
>>> bins = (Bin("< 26", Fraction(-29), place, young), Bin("", Fraction(11), place, old))
>>> card = Card(Fraction(447), (Variable("age", bins),))
>>> card.score({"age": "25.5"}), card.score({"age": "26"})
(Fraction(418, 1), Fraction(458, 1))
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Final

from contracts.errors import DocumentInvalid
from contracts.source import Place, shown

MAX_BYTES: Final = 10_000_000
MAX_BINS: Final = 10_000
MAX_EXPONENT: Final = 30  # of a number such as 1e-05
NUMBER: Final = (
    r"[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,2})?"
)
_NUMBER = re.compile(NUMBER)

# Texts of a variable's classes that are known from elsewhere, by variable.
Known = Callable[[str], Collection[str] | None]


@dataclass(frozen=True, slots=True)
class Interval:
    """Numbers between two ends; None is infinite."""

    low: Fraction | None
    high: Fraction | None
    low_closed: bool = True
    high_closed: bool = False

    def holds(self, number: Fraction) -> bool:
        """Report whether a number lies inside: the literal definition."""
        if self.low is not None and (
            number < self.low or (number == self.low and not self.low_closed)
        ):
            return False
        return self.high is None or (
            number < self.high or (number == self.high and self.high_closed)
        )


@dataclass(frozen=True, slots=True)
class Bin:
    """One row of a card, or a part of it: what falls into it, and its points."""

    text: str  # as the card writes it
    points: Fraction
    place: Place = field(compare=False)
    interval: Interval | None = None
    texts: tuple[str, ...] = ()
    missing: bool = False
    other: bool = False  # every text that no bin before it has

    def holds(self, cell: str) -> bool:
        """Report whether a cell falls into it; an empty cell is missing."""
        if not cell:
            return self.missing
        if self.interval is None:
            return self.other or cell in self.texts
        number = read_number(cell)
        return number is not None and self.interval.holds(number)


@dataclass(frozen=True, slots=True)
class Variable:
    """A characteristic of the card."""

    name: str
    bins: tuple[Bin, ...]  # not empty

    @property
    def numeric(self) -> bool:
        """Whether it cuts numbers, rather than naming texts."""
        return any(item.interval is not None for item in self.bins)

    @property
    def place(self) -> Place:
        """Where the card begins to speak of it."""
        return self.bins[0].place

    def find(self, cell: str) -> Bin | None:
        """Return the first bin that a cell falls into."""
        return next((item for item in self.bins if item.holds(cell)), None)


@dataclass(frozen=True, slots=True)
class Card:
    """A scorecard."""

    base: Fraction
    variables: tuple[Variable, ...]
    remarks: tuple[str, ...] = ()  # what a reader left out, for people

    def score(self, row: Mapping[str, str]) -> Fraction | None:
        """Add up a row's points; None when the card has no bin for one of its cells."""
        total = self.base
        for variable in self.variables:
            found = variable.find(row[variable.name])
            if found is None:
                return None
            total += found.points
        return total

    @property
    def decimals(self) -> int:
        """The most decimals that points are printed with."""
        points = [item.points for v in self.variables for item in v.bins]
        return max(_decimals(number) for number in (self.base, *points))


def _decimals(number: Fraction) -> int:
    places = 0
    while number.denominator != 1:
        number, places = number * 10, places + 1
    return places


def read_number(text: str) -> Fraction | None:
    """Read a decimal number exactly, or return None for what is none.

    >>> read_number("-0.50"), read_number("1e-05"), read_number("nan")
    (Fraction(-1, 2), Fraction(1, 100000), None)
    """
    if not _NUMBER.fullmatch(text):
        return None
    number = Decimal(text)
    return Fraction(number) if abs(number.adjusted()) <= MAX_EXPONENT else None


def points(text: str, place: Place) -> Fraction:
    """Read points; raises `SourceError`."""
    number = read_number(text)
    if number is None:
        raise place.error(f"expected points, got `{shown(text)}`")
    return number


def gather(
    base: Fraction, bins: list[tuple[str, Bin]], path: str, remarks: tuple[str, ...]
) -> Card:
    """Put bins together by variable; raises `SourceError`.

    1. There are bins, not too many, and a variable's stand together.
    2. A variable cuts numbers or names texts, not both.
    """
    if not bins:  # 1
        raise DocumentInvalid(f"{path}: the card has no bins")
    if len(bins) > MAX_BINS:
        raise DocumentInvalid(f"{path}: expected at most {MAX_BINS} bins")
    by_name: dict[str, list[Bin]] = {}
    for at, (name, item) in enumerate(bins):
        if name in by_name and bins[at - 1][0] != name:
            raise item.place.error(f"variable `{shown(name)}` is there twice")
        by_name.setdefault(name, []).append(item)
    variables = tuple(Variable(n, tuple(items)) for n, items in by_name.items())
    for variable in variables:
        for item in variable.bins if variable.numeric else ():
            if item.texts or (item.other and not item.missing):  # 2
                raise item.place.error(
                    f"variable `{shown(variable.name)}`: `{shown(item.text)}` is no"
                    " interval, and other bins are"
                )
    return Card(base, variables, remarks)
