"""What a custodian's own table says of one subject, for that subject.

Served by the custodian's agent, which has the plaintext; no node is asked and none
learns of it.  A cell is shown as the table has it, beside what the dataset makes of it,
so that whoever objects knows to which column.
"""

from dataclasses import dataclass
from pathlib import Path

from contracts.dataset import Dataset
from contracts.errors import SubjectInvalid, ValueInvalid
from contracts.subject import canonical_id
from node.errors import NotFound
from node.tables import Table


@dataclass(frozen=True, slots=True, repr=False)
class Cell:
    """One column of a subject's row."""

    row: int  # as a spreadsheet numbers it
    column: str  # of the dataset
    title: str
    value: str | None  # as the table has it
    refused: str  # what was expected instead; empty where the value can be pushed


def read(dataset: Dataset, path: Path, column: str, subject_id: str) -> list[Cell]:
    """Read a subject's rows; raises `NotFound`, `SubjectInvalid`, `TableInvalid`."""
    kind = dataset.subject_type
    wanted = canonical_id(kind, subject_id)
    names = [column, *(item.source for item in dataset.columns)]
    found: list[Cell] = []
    with Table.open(path) as table:
        for batch in table.read(names):
            ids, cells = batch.cells[0], batch.cells[1:]
            for place, text in enumerate(ids):
                try:
                    if canonical_id(kind, text or "") != wanted:
                        continue
                except SubjectInvalid:
                    continue
                row = [values[place] for values in cells]
                found += _cells(dataset, batch.first + place, row)
    if not found:
        raise NotFound(f"the subject is in no row of `{path.name}`")
    return found


def _cells(dataset: Dataset, row: int, values: list[str | None]) -> list[Cell]:
    cells = []
    for column, value in zip(dataset.columns, values, strict=True):
        try:
            column.encode(value)
        except ValueInvalid as error:
            refused = str(error.expected)
        else:
            refused = ""
        cells.append(Cell(row, column.name, column.title, value, refused))
    return cells
