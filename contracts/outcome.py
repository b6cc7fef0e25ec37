"""What a bank is told of a total: named fields, by bands or by a ladder.

::

    outcome:
      grade:                          # bands: a value from a score on
        bands:
          - {value: D}                # the first holds below all others
          - {from: 350, value: C}     # closed on the left: 350 is C
      limit:                          # a ladder, in fen
        {from: 400, step: 10, amount: 1000000, cap: 30000000}

A ladder is 0 below `from`, then amount x floor((score - from) / step), at most
`cap`.  Values are integers or text; a rate is text such as "4.35%", because no
float meets a hash.

>>> ladder = Ladder(Fraction(400), Fraction(10), 1_000_000, 30_000_000)
>>> [ladder.at(Fraction(score)) for score in (399, 409, 410, 9999)]
[0, 0, 1000000, 30000000]
>>> bands = Bands((Band(None, "D"), Band(Fraction(350), "C")))
>>> bands.at(Fraction(350)), bands.at(Fraction(3499, 10))
('C', 'D')
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from contracts.source import Node, Place
from protocols.program import MAX_OUTCOMES

MAX_FEN = 10**14


@dataclass(frozen=True, slots=True)
class Band:
    """A value from a score on; the first band has no beginning."""

    start: Fraction | None
    value: str | int


@dataclass(frozen=True, slots=True)
class Bands:
    """A field of the outcome by bands, ascending."""

    bands: tuple[Band, ...]

    def at(self, score: Fraction) -> str | int:
        """Return the value at a score: the literal definition."""
        starts = [b for b in self.bands if b.start is None or b.start <= score]
        return starts[-1].value

    def thresholds(self, _least: Fraction, _most: Fraction) -> Iterator[Fraction]:
        """Yield the scores at which the value may change."""
        return (band.start for band in self.bands if band.start is not None)


@dataclass(frozen=True, slots=True)
class Ladder:
    """A field that grows by `amount` each `step`, from `start` on, up to `cap`."""

    start: Fraction
    step: Fraction
    amount: int
    cap: int

    def at(self, score: Fraction) -> int:
        """Return the value at a score: the literal definition."""
        if score < self.start:
            return 0
        return min(self.cap, self.amount * ((score - self.start) // self.step))

    def thresholds(self, least: Fraction, most: Fraction) -> Iterator[Fraction]:
        """Yield the scores in [least, most] at which the value may change."""
        rung = max(1, (least - self.start) // self.step)
        while rung <= -(-self.cap // self.amount):
            threshold = self.start + rung * self.step
            if threshold > most:
                return
            yield threshold
            rung += 1


@dataclass(frozen=True, slots=True)
class OutcomeField:
    """One named part of what the bank is told."""

    name: str
    scale: Bands | Ladder
    place: Place = field(compare=False)


def read_outcome(node: Node) -> tuple[OutcomeField, ...]:
    """Read the member `outcome` of a contract; raises `SourceError`."""
    return tuple(
        OutcomeField(
            key.column(),
            _bands(value) if value.has("bands") else _ladder(value),
            key.place,
        )
        for key, value in node.entries(1)
    )


def _bands(node: Node) -> Bands:
    bands: list[Band] = []
    for item in node.members(("bands",))["bands"].items(1, MAX_OUTCOMES):
        members = item.members(("value",), ("from",))
        value = members["value"].value()
        if not bands:
            if "from" in members:
                raise item.error("the first band has no `from`: it holds all below")
            bands.append(Band(None, value))
            continue
        if "from" not in members:
            raise item.error("missing key `from`")
        start = Fraction(members["from"].decimal())
        before = bands[-1].start
        if before is not None and start <= before:
            raise members["from"].error("bands must ascend")
        if type(value) is not type(bands[0].value):
            raise members["value"].error("values of one field are all numbers or texts")
        bands.append(Band(start, value))
    return Bands(tuple(bands))


def _ladder(node: Node) -> Ladder:
    if not any(node.has(key) for key in ("from", "step", "amount", "cap")):
        raise node.error(
            "expected `bands`, or a ladder of `from`, `step`, `amount`, `cap`"
        )
    members = node.members(("from", "step", "amount", "cap"))
    step = Fraction(members["step"].decimal())
    if step <= 0:
        raise members["step"].error("expected a step above 0")
    amount = members["amount"].integer(1, MAX_FEN)
    return Ladder(
        Fraction(members["from"].decimal()),
        step,
        amount,
        members["cap"].integer(amount, MAX_FEN),
    )
