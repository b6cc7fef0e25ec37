r"""Read a CSV, Parquet or Excel file as text, cell by cell, and guess nothing.

DuckDB reads, this is one of its doors, and `node.spreadsheets` reads a workbook.  No
type is inferred, because a guess is a silent change of data: `yes` would become a
boolean, `007` a 7, `NA` nothing.  Of a Parquet file, whose types are declared, every
cell becomes its text.

CSV is RFC 4180 in UTF-8, with or without a byte order mark: commas, cells quoted
with `"` where they must be, and a header.  An empty cell is the empty text; only
Parquet has cells without a value, None.  What a person must be told, by row:

* *rows*, as a spreadsheet numbers them: the header is row 1, a quoted line end
  is inside a row, an empty line between rows is a row (and a wrong one);
* *another encoding* (GB18030, UTF-16) is refused with the way to convert it;
* *ragged rows*, an open quotation mark, a column twice, a missing column.

The process that reads holds a custodian's plaintext, so DuckDB may open this
one file and nothing else: no network, no extensions, no file for what does not
fit into memory.  Its own messages quote the lines they complain about; they end
here, and ours name the row.

>>> from tempfile import TemporaryDirectory
>>> with TemporaryDirectory() as folder:
...     path = Path(folder) / "people.csv"
...     _ = path.write_text("编号,在职\nA1,yes\nA2,\n", "utf-8")
...     with Table.open(path) as table:
...         print(table.columns, [(b.first, b.cells) for b in table.read(["在职"])])
...     with Table.open(path) as table:
...         list(table.read(["编码"]))
Traceback (most recent call last):
    ...
node.errors.TableInvalid: `people.csv`: no column `编码`
"""

import codecs
import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, Self, TypeAlias

import duckdb
import numpy as np
from numpy.typing import NDArray

from contracts.source import shown, suggest
from node.errors import TableInvalid
from node.spreadsheets import read_sheet

Cells: TypeAlias = tuple[Sequence[str | None], ...]  # a sequence for each column

BATCH: Final = 5_000  # rows
MAX_COLUMNS: Final = 4_000
MAX_LINE: Final = 1 << 21  # bytes of one row
READ_BYTES: Final = 1 << 20

PARQUET: Final = b"PAR1"
WORKBOOKS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # zip, OLE
OTHER_FORMATS: Final = (
    (b"\x1f\x8b", "compressed", "unpack it first: `gunzip`"),
    (codecs.BOM_UTF16_LE, "UTF-16", "convert it: `iconv -f UTF-16 -t UTF-8`"),
    (codecs.BOM_UTF16_BE, "UTF-16", "convert it: `iconv -f UTF-16 -t UTF-8`"),
)

# Numbers and times have a text of their own; lists, structs and bytes have not.
_PLAIN: Final = re.compile(
    r"VARCHAR|BOOLEAN|U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(.*\)"
    r"|DATE|TIME|TIMESTAMP.*|UUID|ENUM\(.*\)|\"NULL\""
)
_LINE: Final = re.compile(r"CSV Error on Line: (\d+)")
_BLANK: Final = re.compile(rb"(?:^|\n)\r?\n|\r\r")
_READ_CSV: Final = (
    "SELECT * FROM read_csv(?, columns = ?, auto_detect = false, header = true,"
    " delim = ',', quote = '\"', escape = '\"', allow_quoted_nulls = false,"
    " compression = 'none', strict_mode = true, null_padding = false,"
    " ignore_errors = false, max_line_size = ?)"
)


@dataclass(frozen=True, slots=True, repr=False)
class Batch:
    """Some rows, column by column."""

    first: int  # number of the first row
    cells: Cells


class Table:
    """One file, open for reading; context-managed."""

    def __init__(self, path: Path, columns: tuple[str, ...], about: int) -> None:
        self.path = path
        self.columns = columns
        self.about = about  # how many rows there are, for a progress bar
        self._connection = _connect(path)

    @classmethod
    def open(cls, path: Path) -> "Table":
        """Open a table; raises `TableInvalid` before a row is read.

        1. The file is there and is Parquet, a workbook, or text in UTF-8.
        2. It has a header, with every column once.
        3. No empty line stands between its rows.
        """
        if path.exists() and not path.is_file():  # it is read more than once
            raise TableInvalid(f"cannot read `{path}`: not a file")
        try:
            with path.open("rb") as file:
                start = file.read(len(PARQUET))
        except OSError as error:
            raise TableInvalid(f"cannot read `{path}`: {error.strerror}") from None
        if start == PARQUET:
            return _Parquet(path, (), 0)
        if start in WORKBOOKS:
            return _Workbook(path)
        for magic, what, hint in OTHER_FORMATS:  # 1
            if start.startswith(magic):
                raise TableInvalid(f"`{path.name}` is {what}", hint)
        lines, blank = _check_text(path)
        columns = _header(path)  # 2
        if blank:
            _refuse_blank_rows(path)  # 3
        return cls(path, columns, lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def read(self, names: Sequence[str]) -> Iterator[Batch]:
        """Read some columns, in the order of `names`.

        Raises `TableInvalid` for a column that is not there, at once, and for a
        row that is not one, when it is reached.
        """
        places = [self._place(name) for name in names]
        return self._read(places)

    def _read(self, places: Sequence[int]) -> Iterator[Batch]:
        # The columns get names of ours: no text of the user enters the query.
        columns = {f"c{number}": "VARCHAR" for number in range(len(self.columns))}
        values = (str(self.path.absolute()), columns, MAX_LINE)
        for batch in self._batches(_READ_CSV, values, 2):
            cells = [batch.cells[place] for place in places]
            if len(self.columns) == 1:  # then an empty line at the end is a row
                cells = [[c for c in column if c is not None] for column in cells]
            texts = (["" if c is None else c for c in column] for column in cells)
            yield Batch(batch.first, tuple(texts))

    def _batches(
        self, query: str, values: Sequence[object], first: int
    ) -> Iterator[Batch]:
        try:
            result = self._connection.execute(query, values)
            while rows := result.fetchmany(BATCH):
                yield Batch(first, tuple(zip(*rows, strict=True)))
                first += len(rows)
        except duckdb.Error as error:
            raise self._refusal(str(error)) from None  # its text quotes the row

    def _refusal(self, message: str) -> TableInvalid:
        """Say which row is wrong; DuckDB's message quotes it and is dropped."""
        line = _LINE.search(message)
        where = f"`{self.path.name}`: row {line[1]}" if line else f"`{self.path.name}`"
        if line and (
            found := re.search(r"Number of Columns: \d+ Found: (\d+)", message)
        ):
            return TableInvalid(
                f"{where}: expected {len(self.columns)} cells, got {found[1]}",
                'a cell with a comma in it is quoted: `"a, b"`',
            )
        if line and "unterminated quote" in message:
            return TableInvalid(
                f"{where}: a quotation mark is not closed",
                'inside a quoted cell it is written twice: `"a ""b"" c"`',
            )
        if line and "Maximum line size" in message:
            return TableInvalid(f"{where}: expected at most {MAX_LINE} bytes")
        return TableInvalid(
            f"{where}: not a CSV file as RFC 4180 has it",
            "one kind of line end, and cells with commas or line ends quoted",
        )

    def _place(self, name: str) -> int:
        if name not in self.columns:
            raise TableInvalid(
                f"`{self.path.name}`: no column `{shown(name)}`",
                suggest(name, self.columns),
            )
        return self.columns.index(name)


class _Parquet(Table):
    """A Parquet file: rows count from 1, and a cell may have no value."""

    def __init__(self, path: Path, columns: tuple[str, ...], about: int) -> None:
        super().__init__(path, columns, about)
        source = [str(path.absolute())]
        try:
            described = self._connection.execute(
                "SELECT * FROM read_parquet(?) LIMIT 0", source
            ).description
            ((self.about,),) = self._connection.execute(
                "SELECT count(*) FROM read_parquet(?)", source
            ).fetchall()
        except duckdb.Error as error:
            self._connection.close()
            raise self._refusal(str(error)) from None
        self._types = {name: str(kind) for name, kind, *_ in described or ()}
        self.columns = tuple(self._types)

    def _read(self, places: Sequence[int]) -> Iterator[Batch]:
        names = [self.columns[place] for place in places]
        for name in names:
            if not _PLAIN.fullmatch(self._types[name]):
                raise TableInvalid(
                    f"`{self.path.name}`: column `{shown(name)}` holds"
                    f" {self._types[name]}",
                    "expected text, numbers, dates or booleans",
                )
        in_file = [name for name in self.columns if name in names]
        order = [in_file.index(name) for name in names]
        # Parameters may name columns, so no text of the user enters the query.
        query = "SELECT COLUMNS(lambda c: c IN ?)::VARCHAR FROM read_parquet(?)"
        values = (in_file, str(self.path.absolute()))
        for batch in self._batches(query, values, 1):
            yield Batch(batch.first, tuple(batch.cells[place] for place in order))

    def _refusal(self, _message: str) -> TableInvalid:
        return TableInvalid(
            f"`{self.path.name}`: not a Parquet file that can be read",
            "was it copied whole?",
        )


def write_parquet(
    path: Path,
    query: str,
    values: Sequence[object],
    given: Mapping[str, NDArray[np.generic]],
) -> None:
    """Write what a query makes of `given`, columns of equal length, as Parquet.

    The query is ours; words of users are `values`.
    """
    with _connect(path) as connection:
        connection.register("given", dict(given))
        connection.sql(query, params=list(values)).write_parquet(str(path.absolute()))


def read_parquet(
    path: Path, query: str, values: Sequence[object]
) -> dict[str, NDArray[np.generic]]:
    """Return the columns of a query on `read_parquet(?)`, its last parameter.

    No column may hold a cell without a value.  Raises `TableInvalid`.
    """
    try:
        with _connect(path) as connection:
            result = connection.execute(query, [*values, str(path.absolute())])
            return dict(result.fetchnumpy())
    except duckdb.Error:
        raise TableInvalid(
            f"`{path.name}`: not a Parquet file with the expected columns"
        ) from None


class _Workbook(Table):
    """The one sheet of an Excel workbook; rows count as in CSV, the header is row 1."""

    def __init__(self, path: Path) -> None:
        rows = read_sheet(path)
        columns = _names(path, next(rows, []))
        self._rows = list(rows)
        while self._rows and not any(self._rows[-1]):
            self._rows.pop()
        super().__init__(path, columns, len(self._rows))

    def _read(self, places: Sequence[int]) -> Iterator[Batch]:
        for first in range(0, len(self._rows), BATCH):
            rows = self._rows[first : first + BATCH]
            for number, row in enumerate(rows, first + 2):
                if not any(row):
                    raise TableInvalid(
                        f"`{self.path.name}`: row {number} is empty", "delete it"
                    )
            cells = ([row[place] for row in rows] for place in places)
            yield Batch(first + 2, tuple(cells))


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
    """Make a database in memory that can open `path` and nothing else."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "temp_directory": "",  # plaintext never goes to a disk
            "threads": "1",
        },
    )
    connection.execute("SET allowed_paths = ?", [[str(path.absolute())]])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _check_text(path: Path) -> tuple[int, bool]:
    """Refuse what is not UTF-8; return the lines, and whether one may be empty."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines, blank, before = 0, False, b"\n"
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            # A chunk may begin inside a character: what came before is kept.
            kept = decoder.getstate()[0]
            try:
                decoder.decode(chunk)
                at = chunk.find(b"\x00")
            except UnicodeDecodeError as error:
                at = max(0, error.start - len(kept))
            if at >= 0:
                _refuse_encoding(path, lines + chunk[:at].count(b"\n") + 1)
            lines += chunk.count(b"\n")
            blank = blank or _BLANK.search(before + chunk) is not None
            before = chunk[-2:]
    if decoder.getstate()[0]:
        _refuse_encoding(path, lines + 1)
    return lines, blank


def _refuse_encoding(path: Path, line: int) -> NoReturn:
    with path.open("rb") as file:
        start = file.read(READ_BYTES)
    hint = "save it as UTF-8"
    try:
        codecs.getincrementaldecoder("gb18030")().decode(start)
    except UnicodeDecodeError:
        pass
    else:
        hint = "is it GB18030? convert it: `iconv -f GB18030 -t UTF-8`"
    if b"\x00" in start:
        hint = "is it UTF-16? convert it: `iconv -f UTF-16LE -t UTF-8`"
    raise TableInvalid(f"`{path.name}`: line {line} is not UTF-8", hint)


def _records(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.reader(file, strict=True)


def _header(path: Path) -> tuple[str, ...]:
    try:
        header = next(_records(path), [])
    except csv.Error:
        raise TableInvalid(
            f"`{path.name}`: row 1 is not a row of CSV",
            "expected the names of the columns, with commas between them",
        ) from None
    if len(header) == 1 and (other := re.search(r"[;\t|]", header[0])):
        raise TableInvalid(
            f"`{path.name}`: the header is one column with `{other[0]!r}` in it",
            "expected commas between the columns",
        )
    return _names(path, header)


def _names(path: Path, header: Sequence[str]) -> tuple[str, ...]:
    if not any(header):
        raise TableInvalid(
            f"`{path.name}`: expected a header in row 1, got nothing",
            "the first row names the columns",
        )
    if len(header) > MAX_COLUMNS:
        raise TableInvalid(f"`{path.name}`: expected at most {MAX_COLUMNS} columns")
    for number, name in enumerate(header):
        if not name:
            raise TableInvalid(f"`{path.name}`: column {number + 1} has no name")
        if name in header[:number]:
            raise TableInvalid(f"`{path.name}`: column `{shown(name)}` is there twice")
    return tuple(header)


def _refuse_blank_rows(path: Path) -> None:
    """Refuse an empty line between rows: DuckDB would leave it out unsaid.

    Then the rows below would have other numbers than in a spreadsheet.  Empty
    lines at the end of the file are nothing.
    """
    blank = 0
    try:
        for number, record in enumerate(_records(path), 1):
            if record and blank:
                raise TableInvalid(f"`{path.name}`: row {blank} is empty", "delete it")
            if not record and not blank:
                blank = number
    except csv.Error:
        return  # DuckDB finds it too, and names the row
