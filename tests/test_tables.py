"""Tables: every cell as the text it is, every fault with its row, no network."""

import csv
import io
import time
import traceback
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node import tables
from node.errors import TableInvalid
from node.tables import Table


def _read(path: Path, names: Sequence[str]) -> list[tuple[str | None, ...]]:
    with Table.open(path) as table:
        return [
            row for batch in table.read(names) for row in zip(*batch.cells, strict=True)
        ]


def _file(folder: Path, data: bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    """Write one column of each kind."""
    path = tmp_path / "table.parquet"
    columns = {
        'a"; DROP': ["yes", None, ""],
        "flag": [True, False, None],
        "count": [7, 0, None],
        "share": [0.5, 2.0, None],
        "money": pa.array([Decimal("1.50"), None, None]),
        "day": pa.array([date(2026, 1, 31), None, None]),
        "城市": pa.array(["任城", "兖州", "任城"]).dictionary_encode(),
        "list": [[1], [2], [3]],
        "blob": [b"x", b"y", b"z"],
    }
    pq.write_table(pa.table(columns), path)
    return path


# -- cells are what they are ------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    ["yes", "no", "true", "007", "1e5", "NA", "NULL", "nan", "2026-01-31", " x "],
)
def test_nothing_is_guessed(tmp_path: Path, cell: str) -> None:
    """What looks like a boolean, a number, a date or nothing stays its text."""
    path = _file(tmp_path, f"id,v\n1,{cell}\n".encode())
    assert _read(path, ["v"]) == [(cell,)]


def test_an_empty_cell_is_the_empty_text(tmp_path: Path) -> None:
    """Whether that means missing is for the dataset's document to say."""
    path = _file(tmp_path, b'a,b\n,1\n"",2\n')
    assert _read(path, ["a", "b"]) == [("", "1"), ("", "2")]


def test_columns_come_in_the_order_asked(tmp_path: Path) -> None:
    """Not in the file's, and one may be asked for twice."""
    path = _file(tmp_path, b"a,b,c\n1,2,3\n")
    assert _read(path, ["c", "a", "c"]) == [("3", "1", "3")]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_chinese_with_and_without_mark(tmp_path: Path, mark: bytes) -> None:
    """A spreadsheet's byte order mark does not become part of the first name."""
    path = _file(tmp_path, mark + "编号,城市\nA1,任城\n".encode(), "数据 '1'.csv")
    assert _read(path, ["编号", "城市"]) == [("A1", "任城")]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quoted_cells(tmp_path: Path, end: str) -> None:
    """Commas, quotation marks and line ends inside a cell survive."""
    data = f'a,b{end}"x, ""y""","1\n\n2"{end}3,4{end}{end}'.encode()
    assert _read(_file(tmp_path, data), ["a", "b"]) == [
        ('x, "y"', "1\n\n2"),
        ("3", "4"),
    ]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            *[st.text(st.characters(codec="utf-8", exclude_characters="\0\r"))] * 2
        ),
        max_size=5,
    )
)
def test_what_csv_writes_is_read(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    """Python's own writer is the slow definition."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(
        [("a", "b"), *rows]
    )
    path = _file(tmp_path, text.getvalue().encode())
    assert _read(path, ["a", "b"]) == rows


def test_rows_have_the_numbers_of_a_spreadsheet(tmp_path: Path) -> None:
    """The header is row 1; batches go on counting."""
    rows = 2 * tables.BATCH + 3
    text = "id\n" + "".join(f"{number}\n" for number in range(2, rows + 2))
    with Table.open(_file(tmp_path, text.encode())) as table:
        assert table.about == rows + 1
        for batch in table.read(["id"]):
            assert batch.cells[0][0] == str(batch.first)
            last = batch.first + len(batch.cells[0]) - 1
    assert last == rows + 1


def test_a_header_alone_is_a_table(tmp_path: Path) -> None:
    """Without rows, and with or without a line end."""
    assert _read(_file(tmp_path, b"a,b"), ["a"]) == []
    assert _read(_file(tmp_path, b"a,b\n"), ["a"]) == []


def test_empty_lines_at_the_end_are_nothing(tmp_path: Path) -> None:
    """Of one column too, where an empty cell before the end is written `""`."""
    assert _read(_file(tmp_path, b"a,b\n1,2\n\n\n"), ["a"]) == [("1",)]
    assert _read(_file(tmp_path, b'a\n1\n""\n2\n\n\n'), ["a"]) == [
        ("1",),
        ("",),
        ("2",),
    ]


def test_parquet_has_texts_of_every_plain_type(parquet: Path) -> None:
    """And None where a cell has no value, whatever a column is called."""
    names = ["城市", 'a"; DROP', "flag", "count", "share", "money", "day"]
    assert _read(parquet, names) == [
        ("任城", "yes", "true", "7", "0.5", "1.50", "2026-01-31"),
        ("兖州", None, "false", "0", "2.0", None, None),
        ("任城", "", None, None, None, None, None),
    ]


def test_parquet_rows_count_from_one(parquet: Path) -> None:
    """There is no header to count."""
    with Table.open(parquet) as table:
        assert (table.about, [batch.first for batch in table.read(["flag"])]) == (
            3,
            [1],
        )


# -- faults ------------------------------------------------------------------------

BAD = {
    "nothing": (b"", "expected a header in row 1, got nothing"),
    "an empty first line": (b"\na,b\n1,2\n", "expected a header in row 1, got nothing"),
    "a nameless column": (b"a,,b\n1,2,3\n", "column 2 has no name"),
    "a column twice": (b"a,b,a\n1,2,3\n", "column `a` is there twice"),
    "a cell too few": (b"a,b\n1,2\n3\n4,5\n", "row 3: expected 2 cells, got 1"),
    "a cell too many": (b"a,b\n1,2\n3,4,5\n", "row 3: expected 2 cells, got 3"),
    "ragged after quoted line ends": (
        b'a,b\n1,"x\n\ny"\n3\n',
        "row 3: expected 2 cells, got 1",
    ),
    "an empty row": (b"a,b\n1,2\n\n3,4\n", "row 3 is empty"),
    "an open quotation mark": (b'a,b\n1,"2\n', "row 2: a quotation mark is not closed"),
    "text after a quoted cell": (
        b'a,b\n1,"2"x\n',
        "row 2: a quotation mark is not clos",
    ),
    "an open quotation mark in the header": (
        b'a,"b\n1,2\n',
        "row 1 is not a row of CSV",
    ),
    "two kinds of line end": (b"a,b\r\n1,2\n3,4\r\n", "not a CSV file as RFC 4180"),
    "semicolons": (b"a;b\n1;2\n", "the header is one column with `';'` in it"),
    "GB18030": ("a,b\n1,2\n中,文\n".encode("gb18030"), "line 3 is not UTF-8"),
    "a character cut off": ("a,b\n1,中".encode()[:-1], "line 2 is not UTF-8"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "is UTF-16"),
    "UTF-16 without mark": ("a,b\n1,2\n".encode("utf-16-le"), "line 1 is not UTF-8"),
    "a zero byte": (b"a,b\n1,2\x00\n", "line 2 is not UTF-8"),
    "a broken workbook": (b"PK\x03\x04rest", "is not a workbook that can be read"),
    "compressed": (b"\x1f\x8brest", "is compressed"),
    "a Parquet file cut off": (b"PAR1rest", "not a Parquet file that can be read"),
    "a huge row": (b"a,b\n1," + b"x" * (1 << 22), "row 2: expected at most"),
}


@pytest.mark.parametrize("crime", BAD)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, crime: str) -> None:
    """With its row, and without any text of the table."""
    data, message = BAD[crime]
    with pytest.raises(TableInvalid) as caught:
        _read(_file(tmp_path, data), ["a", "b"])
    assert message in str(caught.value)
    assert str(caught.value).startswith("`table.csv`")
    assert "\n" not in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value))
    assert "Original Line" not in shown


@pytest.mark.parametrize(
    ("crime", "hint"),
    [
        ("GB18030", "iconv -f GB18030"),
        ("UTF-16", "iconv -f UTF-16"),
        ("semicolons", "commas"),
        ("a broken workbook", "CSV in UTF-8"),
    ],
)
def test_the_hint_says_how_to_mend_it(tmp_path: Path, crime: str, hint: str) -> None:
    """A person at a custodian's desk knows what to do next."""
    with pytest.raises(TableInvalid) as caught:
        Table.open(_file(tmp_path, BAD[crime][0]))
    assert hint in caught.value.hint


def test_characters_across_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading in pieces neither refuses a character nor misplaces a fault."""
    monkeypatch.setattr(tables, "READ_BYTES", 4)
    good = "编号,b\n中文字,1\n\n".encode()
    assert _read(_file(tmp_path, good), ["编号"]) == [("中文字",)]
    for line in (2, 5, 9):
        data = good + b"x,y\n" * (line - 4) if line > 4 else b"a,b\n" * (line - 1)
        path = _file(tmp_path, data + "中".encode() + b"\xff\n")
        with pytest.raises(TableInvalid, match=f"line {line} is not UTF-8"):
            Table.open(path)


def test_a_missing_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    """`did you mean` comes before any row is read."""
    path = _file(tmp_path, b"subject_id,age\nx\n")
    with Table.open(path) as table, pytest.raises(TableInvalid) as caught:
        table.read(["subject"])
    assert str(caught.value) == "`table.csv`: no column `subject`"
    assert caught.value.hint == "did you mean `subject_id`?"


@pytest.mark.parametrize("name", ["list", "blob"])
def test_a_column_without_texts_is_refused(parquet: Path, name: str) -> None:
    """Lists and bytes have no one text."""
    with pytest.raises(TableInvalid, match=f"column `{name}` holds"):
        _read(parquet, [name])


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A folder, and nothing at all."""
    with pytest.raises(TableInvalid, match="not a file"):
        Table.open(tmp_path)
    with pytest.raises(TableInvalid, match="No such file"):
        Table.open(tmp_path / "none.csv")


# -- the database opens one file and nothing else ------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('{folder}/other.csv')",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM 'https://example.org/a.csv'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "COPY (SELECT 1) TO '{folder}/copy.csv'",
        "ATTACH '{folder}/new.db'",
        "SET enable_external_access = true",
    ],
)
def test_nothing_else_can_be_opened(tmp_path: Path, query: str) -> None:
    """No other file, no network, no extension, and no way back."""
    _file(tmp_path, b"a\n1\n", "other.csv")
    path = _file(tmp_path, b"a\n1\n")
    with Table.open(path) as table, pytest.raises(duckdb.Error):
        table._connection.execute(query.format(folder=tmp_path)).fetchall()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "other.csv",
        "table.csv",
    ]


def test_a_star_in_a_name_is_no_pattern(tmp_path: Path) -> None:
    """A file whose name matches others is read alone, or refused."""
    star = _file(tmp_path, b"a\n1\n", "t*.csv")
    assert _read(star, ["a"]) == [("1",)]
    _file(tmp_path, b"a\n2\n", "t1.csv")
    with pytest.raises(TableInvalid):
        _read(star, ["a"])


def test_a_district_is_read_in_seconds(tmp_path: Path) -> None:
    """100,000 rows of 36 columns, as a stream."""
    names = [f"k{number}" for number in range(36)]
    row = ",".join(["任城"] * 36) + "\n"
    path = _file(tmp_path, (",".join(names) + "\n" + row * 100_000).encode())
    began = time.monotonic()
    with Table.open(path) as table:
        rows = sum(len(batch.cells[0]) for batch in table.read(names))
    assert rows == 100_000
    assert time.monotonic() - began < 20
