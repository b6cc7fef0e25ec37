"""What must be true of a programme that has a handbook of indicators.

Documents, handbook and plain Python (`examples.handbook`) say the same.
"""

from collections.abc import Sequence
from typing import Any

from contracts.compiled import Compiled
from contracts.encoding import Bins, Category
from contracts.scoring import ScoringContract
from examples import handbook
from examples.handbook import UNKNOWN
from examples.plain import Card, Row, worth
from tests.programmes import Datasets


def check_names(
    contract: ScoringContract, its: Sequence[Row], datasets: Datasets
) -> None:
    """See the same columns in the same order, of the same titles and tables."""
    ours = [
        (group.title, str(indicator.column))
        for group in contract.groups
        for indicator in group.indicators
    ]
    ours += [(veto.title, str(flag)) for veto in contract.vetoes for flag in veto.flags]
    said = [(r["first_level"], f"{r['dataset']}.{r['column']}") for r in its]
    assert ours == said
    for row in its:
        column = datasets[row["dataset"]].column(row["column"])
        assert column is not None
        assert (column.source, column.title or column.source) == (
            row["source"],
            row["second_level"],
        )


def check_classes(
    contract: ScoringContract, its: Sequence[Row], datasets: Datasets
) -> None:
    """See what both ends of an interval, each text, the empty cell are worth."""
    its = [row for row in its if row["kind"] == "indicator"]
    for indicator, row in zip(contract.indicators, its, strict=True):
        column = datasets[row["dataset"]].column(row["column"])
        assert column is not None
        known = handbook.parse(row["points"])
        for label, _ in handbook.classes(row["points"]):
            cells = label.split("~") if "~" in label else [label]
            for cell in ["" if c == UNKNOWN else c for c in cells]:
                values = column.encode(cell)
                points: Any = indicator.points
                if isinstance(column.encoding, Bins | Category):
                    told = {item.label: item.points for item in points.classes}
                    got = told[column.labels[values.index(1)]]
                else:
                    least = getattr(column.encoding, "least", 0)
                    got = points.points * (values[0] + int(least))
                assert got == worth(known, cell), (row["column"], cell)


def check_scores(card: Card, compiled: Compiled) -> None:
    """See each possible total become what plain Python says, field by field."""
    steps = dict(compiled.card.steps)
    outcome = 0
    for total in range(compiled.card.top + 1):
        outcome = steps.get(total, outcome)
        said = card.outcome(int(compiled.score(total)))
        assert dict(compiled.outcomes[outcome]) == said
