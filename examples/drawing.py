"""Tables of datasets, drawn from what their documents say a cell may be.

Distributions; cells of one subject need not fit each other:

    classes    uniform, by standing (`synthetic.stood`): so documents list them from bad
               to good; of records of misconduct (`records`) the first of 90, the second
               of 8, the others of 1 in 100 subjects each, whatever the standing
    numbers    uniform within their class
    integers   to the hundredth; the exponent is uniform within `exponents`
    flags      `rarely` of 1,000, independent; `common` ones 200 of 1,000
    rows       a custodian has no row of 1 subject in 1,000
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Final

from contracts.dataset import Dataset
from contracts.encoding import Bins, Category, Column, Integer
from examples.synthetic import draw, place, stood, write

RECORD_PARTS: Final = (90, 8, 1, 1)
OFTEN: Final = 200  # of a thousand
NO_ROW: Final = 1


@dataclass(frozen=True)
class Drawing:
    """How the tables of a programme are drawn."""

    id: str  # the column that names the subject
    records: Collection[str]  # datasets
    common: Collection[str]  # flags, as `dataset.column`
    exponents: Mapping[str, tuple[int, int]]  # of ten, by `dataset.column`
    rarely: int = 5  # of a thousand
    # datasets that are of some subjects only, and of how many of a hundred
    some: Mapping[str, int] = field(default_factory=dict)

    def table(self, dataset: Dataset, ids: Sequence[str], seed: int) -> list[list[str]]:
        """Draw the rows of a dataset."""
        return [
            [subject, *(self.cell(dataset, column, who) for column in dataset.columns)]
            for subject in ids
            if self.has_row(dataset.name, who := f"{seed} {subject}")
        ]

    def write(
        self, folder: Path, datasets: Iterable[Dataset], ids: Sequence[str], seed: int
    ) -> None:
        """Draw tables, and write them into a folder."""
        for dataset in datasets:
            header = (self.id, *(column.source for column in dataset.columns))
            rows = self.table(dataset, ids, seed)
            write(folder / f"{dataset.name}.csv", header, rows)

    def has_row(self, dataset: str, who: str) -> bool:
        """Draw whether the custodian knows a subject."""
        if draw(who, f"{dataset} some", 100) >= self.some.get(dataset, 100):
            return False
        return draw(who, f"{dataset} row", 1000) >= NO_ROW

    def cell(self, dataset: Dataset, column: Column, who: str) -> str:
        """Draw a cell."""
        what, name = f"{dataset.name} {column.name}", f"{dataset.name}.{column.name}"
        if isinstance(column.encoding, Integer):
            least, most = self.exponents[name]
            exponent = draw(who, what, 1000 * (most - least))
            return f"{10 ** (least + exponent / 1000):.2f}"
        if not isinstance(column.encoding, Bins | Category):
            often = OFTEN if name in self.common else self.rarely
            return "是" if draw(who, what, 1000) < often else "否"
        count = len(column.encoding.labels)
        records = dataset.name in self.records
        parts = RECORD_PARTS[:count] if records else (1,) * count
        if records:
            chosen = place(who, f"{what} once", parts)
        else:
            chosen = stood(who, what, parts)
        if isinstance(column.encoding, Category):
            return column.encoding.labels[chosen]
        return number_in([ceil(e) for e in column.encoding.edges], chosen, who, what)


def number_in(edges: list[int], chosen: int, who: str, what: str) -> str:
    """Draw a whole number of a class of bins."""
    begin = 0 if edges[0] > 0 else edges[0] - 20
    bounds = [begin, *edges, 2 * edges[-1] + 10]
    least, end = bounds[chosen], bounds[chosen + 1]
    return str(least + draw(who, f"{what} number", end - least))
