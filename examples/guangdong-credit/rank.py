r"""Rank and percentile of a band of points, from a published noisy histogram.

A bank is told the band of its customer, and the histogram of everybody's points says
how many firms are in each band, each figure with noise.  So a rank is two numbers: all
firms of higher bands stand before it, and of its own band as many as none or all.

*How exact.*  Without noise the true rank is always from `best` to `worst`.  Noises are
independent, so that k figures of margin m together have about m sqrt(k): by so much, 95
times in 100, either end may be off.  Nothing is cut off before figures are added up.

>>> bands = [Band(0, 20, 4.0), Band(200, 50, 4.0), Band(225, 30, 4.0)]
>>> place(bands, 200)
Rank(best=31, worst=80, of=100, margin=5.7)
>>> print(place(bands, 200))
31 to 80 of 100 (±6), above 20 % to 69 %
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import hypot


@dataclass(frozen=True, slots=True)
class Band:
    """Firms of a band: its lower end, about how many, and the noise's margin."""

    least: int
    firms: int
    margin: float


@dataclass(frozen=True, slots=True)
class Rank:
    """Where a firm stands, 1 for the best; either end may be `margin` off."""

    best: int
    worst: int
    of: int
    margin: float

    def holds(self, true: int) -> bool:
        """Say whether a true rank is what was told, noise allowed for."""
        return self.best - self.margin <= true <= self.worst + self.margin

    @property
    def percentile(self) -> tuple[int, int]:
        """What percentage of the others the firm stands above, from and to."""
        whole = max(1, self.of)
        parts = (100 * (self.of - end) // whole for end in (self.worst, self.best))
        least, most = (min(100, max(0, part)) for part in parts)
        return least, most

    def __str__(self) -> str:
        least, most = self.percentile
        return (
            f"{self.best} to {self.worst} of {self.of} (±{self.margin:.0f}),"
            f" above {least} % to {most} %"
        )


def place(bands: Iterable[Band], told: int) -> Rank:
    """Find the rank of the band that begins at `told`; several lists may be chained."""
    bands = list(bands)
    above = [band for band in bands if band.least > told]
    here = [band for band in bands if band.least == told]
    before = max(0, sum(band.firms for band in above))
    margin = round(hypot(*(band.margin for band in above + here)), 1)
    worst = before + max(1, sum(band.firms for band in here))
    return Rank(before + 1, worst, sum(band.firms for band in bands), margin)
