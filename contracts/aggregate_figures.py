r"""From noisy sums to the figures a bank reads.

Sums come in units of 2^-7 with the noise of both nodes (`protocols.aggregate`); they
are rounded to stored units and put into the author's: value / scale + least, where
everybody who is present adds `least`.  `margin` is how far the noise goes, 95 times in
100; of a figure made of two sums, both margins together, so that it is rather too wide.

Nothing is cut off: noise may take a small count below 0, and cutting it there would
make sums over groups too large.

>>> from contracts.aggregate import Statistic
>>> from contracts.aggregate_compiled import Number, Read
>>> paid = Number("paid", Statistic.MEAN, (0, 1), (), Fraction(-5), 10, "")
>>> reads = (Read("paid", 0, 5000, 100), Read("_present", 7, 1, 100))
>>> (mean,) = figures((paid,), reads, [UNIT * 700 + 3, UNIT * 20 - 1])
>>> mean.value
Fraction(-3, 2)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from contracts.aggregate import Statistic
from contracts.aggregate_compiled import Number, Read
from protocols.aggregate import UNIT, rounded

SIDES: Final = 2  # house and authority


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one group."""

    number: str  # as the contract names it
    label: str  # class of a histogram, else empty
    value: Fraction | None  # None: a mean of nobody
    margin: float | None  # None: nobody can say


def figures(
    numbers: Sequence[Number], reads: Sequence[Read], units: Sequence[int]
) -> tuple[Figure, ...]:
    """Read a group's figures from its noisy sums, one of each read."""
    sums = [rounded(int(unit)) for unit in units]
    margins = [read.scale.margin(SIDES) / UNIT for read in reads]
    return tuple(
        figure for number in numbers for figure in _figures(number, sums, margins)
    )


def _figures(
    number: Number, sums: Sequence[int], margins: Sequence[float]
) -> Iterator[Figure]:
    values = [sums[i] for i in number.reads]
    within = [margins[i] for i in number.reads]
    least, scale = number.least, number.scale
    match number.statistic:
        case Statistic.COUNT:
            yield Figure(number.name, "", Fraction(values[0]), within[0])
        case Statistic.HISTOGRAM:
            for label, value, margin in zip(number.labels, values, within, strict=True):
                yield Figure(number.name, label, Fraction(value), margin)
        case Statistic.SUM:
            total, margin = Fraction(values[0], scale), within[0] / scale
            if number.by_presence:
                total += least * values[1]
                margin += float(abs(least)) * within[1]
            yield Figure(number.name, "", total, margin)
        case Statistic.MEAN:
            stored, present = values
            if present <= 0:
                yield Figure(number.name, "", None, None)
                return
            mean = Fraction(stored, scale * present)
            spread = None
            if present > within[1]:
                spread = (within[0] / scale + abs(float(mean)) * within[1]) / (
                    present - within[1]
                )
            yield Figure(number.name, "", mean + least, spread)
