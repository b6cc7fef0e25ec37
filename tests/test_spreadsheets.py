"""Excel files as clerks make them: read as text, and refused where that would lie."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest
from openpyxl import Workbook

from contracts.subject import SubjectType
from node.errors import TableInvalid
from node.filling import read_register
from node.tables import Table

TIME = datetime(2024, 1, 31, 8, 30, tzinfo=UTC).replace(tzinfo=None)


def workbook(path: Path, rows: list[list[object]], *others: str) -> Path:
    """Write rows into the sheet 数据, and a word into each of the others."""
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "数据"
    for row in rows:
        sheet.append(row)
    for name in others:
        book.create_sheet(name)["A1"] = "x"
    book.save(path)
    return path


def cells(path: Path, *names: str) -> list[tuple[str | None, ...]]:
    """Read some columns, row by row."""
    with Table.open(path) as table:
        found: list[tuple[str | None, ...]] = []
        for batch in table.read(names or table.columns):
            assert batch.first == len(found) + 2  # as the spreadsheet numbers them
            found += zip(*batch.cells, strict=True)
    return found


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("007", "007"),
        ("  ９１３５ ", "  ９１３５ "),
        ("张三", "张三"),
        (91350100, "91350100"),
        (-3, "-3"),
        (0.3, "0.3"),
        (1.5, "1.5"),
        (999_999_999_999_999, "999999999999999"),
        (True, "true"),
        (False, "false"),
        (date(2024, 1, 31), "2024-01-31"),
        (TIME, "2024-01-31T08:30:00"),
        (time(8, 30), "08:30:00"),
        (None, ""),
    ],
)
def test_a_cell_becomes_its_text(tmp_path: Path, cell: object, text: str) -> None:
    """By the value that is stored; nothing is guessed."""
    path = workbook(tmp_path / "表.xlsx", [["编号", "格"], ["a", cell]])
    assert cells(path) == [("a", text)]
    assert cells(path, "格") == [(text,)]


@pytest.mark.parametrize("number", [10**15, 370811199001011234, -(10**17)])
def test_a_number_that_has_lost_digits(tmp_path: Path, number: int) -> None:
    """Eighteen digits in a number cell are gone already: refused, with its row."""
    path = workbook(tmp_path / "ids.xlsx", [["编号"], ["1"], [number]])
    with pytest.raises(TableInvalid, match="row 3, cell 1: a number of more than 15"):
        cells(path)


def test_two_sheets(tmp_path: Path) -> None:
    """Which one is meant is for its owner to say; an empty one is none."""
    path = workbook(tmp_path / "two.xlsx", [["编号"], ["1"]], "备注")
    with pytest.raises(TableInvalid, match="2 sheets: `数据`, `备注`"):
        Table.open(path)
    path = workbook(tmp_path / "one.xlsx", [["编号"], ["1"]])
    assert cells(path) == [("1",)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "expected a header in row 1"),
        ([["a", "a"], ["1", "2"]], "column `a` is there twice"),
        ([["a", None], ["1", "2"]], "column 2 has no name"),
        ([["a"], ["1"], [None], ["2"]], "row 3 is empty"),
    ],
)
def test_what_is_no_table(
    tmp_path: Path, rows: list[list[object]], message: str
) -> None:
    """As in a CSV file: named, and nothing half read."""
    path = workbook(tmp_path / "bad.xlsx", rows)
    with pytest.raises(TableInvalid, match=message):
        cells(path)


def test_empty_rows_at_the_end(tmp_path: Path) -> None:
    """Are nothing: spreadsheets leave them behind."""
    path = workbook(tmp_path / "y.xlsx", [["a"], ["1"], [""], [""]])
    assert cells(path) == [("1",)]


def cut(data: bytes) -> bytes:
    """Lose the end."""
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    """Change bytes in the middle."""
    middle = len(data) // 3
    return (
        data[:middle]
        + bytes(byte ^ 255 for byte in data[middle:][:200])
        + data[middle + 200 :]
    )


@pytest.mark.parametrize("damage", [cut, flipped])
def test_a_damaged_workbook(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """Is refused, by its name."""
    path = workbook(tmp_path / "x.xlsx", [["a"], *[[str(i)] for i in range(200)]])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(TableInvalid, match=r"`x\.xlsx` is not a workbook"):
        cells(path)


def test_a_register_in_excel(tmp_path: Path) -> None:
    """What the command `register` reads: check digits, Chinese headers, row numbers."""
    rows: list[list[object]] = [
        ["统一社会信用代码", "名称"],
        ["91350100M000100Y43", "示例一"],
        ["91370811MA3ABCDE1X", "示例二"],
    ]
    path = workbook(tmp_path / "firms.xlsx", rows)
    register = read_register(path, "统一社会信用代码", SubjectType.CN_USCC, bytes(32))
    assert (register.rows, len(register.refs)) == (2, 1)
    assert [problem.row for problem in register.problems] == [3]
