"""Every row of a sample, scored by a card and by the contract made of it.

By the card's own definition (`contracts.scorecard.Card.score`), and by the compiled
contract in integers.  They may differ by the rounding of the step and no more, so where
points are whole by nothing.  Where the sample has the tool's own scores too, those may
differ from the card that it printed by half of the last decimal of each of its points.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from contracts.compile import evaluate
from contracts.compiled import Compiled
from contracts.errors import DocumentInvalid, ValueInvalid
from contracts.from_scorecard import PLACES, UNIT, Columns, decimal_text
from contracts.scorecard import Card


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One row of a sample."""

    number: int  # as a spreadsheet numbers it
    cells: Mapping[str, str]  # by variable
    own: Fraction | None = None  # what the card's tool scored it


@dataclass(frozen=True, slots=True)
class Parity:
    """What a sample showed."""

    rows: int
    least: Fraction  # scores of the contract
    most: Fraction
    margin: Fraction  # between card and contract, at most
    largest: Fraction  # found
    own_rows: int
    own_margin: Fraction  # between the tool's own score and the contract, at most
    own_largest: Fraction
    mismatches: tuple[str, ...]  # beyond a margin, in words


def compare(
    card: Card, columns: Columns, compiled: Compiled, rows: Iterable[SampleRow]
) -> Parity:
    """Score every row by the card and by the contract.

    Raises `DocumentInvalid` for a row that a dataset would refuse.
    """
    margin = Fraction(compiled.rounding)
    terms = len(columns.placed) + 1
    if card.decimals > PLACES:
        margin += terms * UNIT / 2
    own_margin = margin
    if card.decimals:  # the tool scores with more decimals than it prints
        own_margin += terms * Fraction(1, 2 * 10**card.decimals) + UNIT
    scores, away, own_away = list[Fraction](), [Fraction(0)], [Fraction(0)]
    wrong = list[str]()
    for row in rows:
        wanted, score = _both(card, columns, compiled, row)
        scores.append(score)
        if wanted is None:
            wrong.append(f"row {row.number}: the card has no bin for a cell")
            continue
        away.append(abs(score - wanted))
        if away[-1] > margin:
            wrong.append(
                f"row {row.number}: card {decimal_text(wanted)},"
                f" contract {decimal_text(score)}"
            )
        if row.own is None:
            continue
        own_away.append(abs(score - row.own))
        if own_away[-1] > own_margin:
            wrong.append(
                f"row {row.number}: the tool's own score {decimal_text(row.own)},"
                f" contract {decimal_text(score)}"
            )
    if not scores:
        raise DocumentInvalid("the sample has no rows")
    return Parity(
        rows=len(scores),
        least=min(scores),
        most=max(scores),
        margin=margin,
        largest=max(away),
        own_rows=len(own_away) - 1,
        own_margin=own_margin,
        own_largest=max(own_away),
        mismatches=tuple(wrong),
    )


def _both(
    card: Card, columns: Columns, compiled: Compiled, row: SampleRow
) -> tuple[Fraction | None, Fraction]:
    """Score a row by the card, and by the contract."""
    cells, seen = dict[str, dict[str, str | None]](), dict[str, str]()
    for item in columns.placed:
        cell = row.cells[item.variable.name]
        cells.setdefault(item.dataset, {})[item.column.name] = cell
        seen[item.variable.name] = "" if cell in item.column.missing.texts else cell
    try:
        return card.score(seen), evaluate(compiled, columns.datasets, cells).score
    except ValueInvalid as error:
        raise DocumentInvalid(f"sample, row {row.number}: {error}") from None
