"""Read the one sheet of an Excel workbook as text, cell by cell, and guess nothing.

python-calamine reads `.xlsx`, `.xls` and `.ods`; this is its one door.  A cell counts
by the value that is stored, not by how a format shows it: a number shown as `007` is
7, so identifiers are kept as text.  In particular:

* text           as it is, spaces and full-width letters too
* whole number   its digits, `91350100`; from 10^15 on it is refused, because a
                 spreadsheet keeps fifteen digits and the others are gone already
* other number   the shortest decimal that is this number, `0.3`
* date, time     ISO 8601: `2024-01-31`, `2024-01-31T08:30:00`, `08:30:00`
* true, false    `true`, `false`
* empty          the empty text; so is an error such as `#DIV/0!`, and a formula that
                 was never computed

Rows are numbered as the spreadsheet numbers them.  A workbook with cells in more than
one sheet is refused by their names: nobody but its owner knows which one is meant.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Final, TypeAlias

from python_calamine import CalamineError, CalamineWorkbook

from contracts.source import shown
from node.errors import TableInvalid

Value: TypeAlias = str | float | bool | datetime | date | time | timedelta

MOST_DIGITS: Final = 10**15


def read_sheet(path: Path) -> Iterator[list[str]]:
    """Return the rows of the only sheet with cells in it, the first row first.

    Raises `TableInvalid`: at once for what is no workbook, and for a cell that has
    lost something when its row is reached.
    """
    try:
        book = CalamineWorkbook.from_path(str(path))
        sheets = {
            name: book.get_sheet_by_name(name).to_python(skip_empty_area=False)
            for name in book.sheet_names
        }
    except CalamineError:
        raise TableInvalid(
            f"`{path.name}` is not a workbook that can be read",
            "was it copied whole? else save it as CSV in UTF-8",
        ) from None
    filled = {name: rows for name, rows in sheets.items() if any(map(any, rows))}
    if len(filled) > 1:
        names = ", ".join(f"`{shown(name)}`" for name in filled)
        raise TableInvalid(
            f"`{path.name}` has cells in {len(filled)} sheets: {names}",
            "leave one sheet in it, the one that is meant",
        )
    rows: Sequence[Sequence[Value]] = next(iter(filled.values()), [])
    return _texts(path, rows)


def _texts(path: Path, rows: Sequence[Sequence[Value]]) -> Iterator[list[str]]:
    for number, row in enumerate(rows, 1):
        yield [_text(path, number, column, cell) for column, cell in enumerate(row, 1)]


def _text(path: Path, row: int, column: int, cell: Value) -> str:
    match cell:
        case str():
            return cell
        case bool():
            return "true" if cell else "false"
        case float():
            if abs(cell) >= MOST_DIGITS:
                raise TableInvalid(
                    f"`{path.name}`: row {row}, cell {column}: a number of more than"
                    " 15 digits has lost some",
                    "format the column as text before the numbers are typed in",
                )
            return str(int(cell)) if cell == int(cell) else repr(float(cell))
        case datetime() | date() | time():
            return cell.isoformat()
        case _:
            return str(cell)
