"""What was asked of a node, counted for its operators: 统计 by bank, product, region.

Counted from an export of the journals (`node.journal_tables`), whose every leaf is
proven first: an operator's figures are the auditor's.  A question counts once, an entry
of a job once.  *Words* to count by:

    kind      call, job, private, aggregate, psi; of a call the kind of question
    bank      party id
    contract  hash              product   the contract's name, all its versions
    decision  permitted, denied, under way
    reason    the first one in a journal, which may say more than the bank was told

and any public attribute, such as `town` or `industry`.  Those are known of jobs that
were narrowed by them: of a single call a journal has a pseudonym only, which stands in
no register that a node has, and `-` is counted.

Nothing here is noised or suppressed: the operator reads each call in its journal
anyway.  Whoever publishes such a table leaves small cells out.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from html import escape
from pathlib import Path
from typing import Final

import numpy as np

from node import drawing, durable, tables
from node.errors import QueryRefused
from node.journal_tables import JournalTables
from protocols.canon import Json

WORDS: Final = ("kind", "bank", "contract", "product", "decision", "reason")
UNKNOWN: Final = "-"
COUNT: Final = "questions"

_ASKED: Final = (
    "SELECT date_trunc('month', time) AS month, kind, bank, contract, product,"
    " decision, reason, narrowed, sum(count)::BIGINT FROM asked GROUP BY ALL"
)


class Period(StrEnum):
    """How long a row of a table is about."""

    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"

    def name_of(self, when: datetime) -> str:
        """Name the period that a month lies in.

        >>> [period.name_of(datetime(2026, 11, 1)) for period in Period]
        ['2026-11', '2026-Q4', '2026']
        """
        if self is Period.MONTH:
            return f"{when.year}-{when.month:02d}"
        quarter = f"-Q{(when.month + 2) // 3}" if self is Period.QUARTER else ""
        return f"{when.year}{quarter}"


@dataclass(frozen=True, slots=True)
class Statistics:
    """One table: questions by period and words."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]  # in order
    counts: tuple[int, ...]  # of each row

    def to_json(self) -> dict[str, Json]:
        """Write for machines."""
        return {
            "columns": [*self.columns, COUNT],
            "rows": [
                [*row, count] for row, count in zip(self.rows, self.counts, strict=True)
            ],
        }


def count(
    journal: JournalTables, by: Sequence[str], period: Period = Period.QUARTER
) -> Statistics:
    """Count by words; raises `QueryRefused` for one that no question has."""
    counted: Counter[tuple[str, ...]] = Counter()
    attributes: set[str] = set()
    for month, *told, narrowed, number in journal.query(_ASKED).rows:
        words = dict(zip(WORDS, (each or UNKNOWN for each in told), strict=True))
        where = {
            name: "|".join(labels) for name, labels in json.loads(narrowed or "[]")
        }
        attributes |= where.keys()
        words = where | words
        row = (period.name_of(month), *(words.get(word, UNKNOWN) for word in by))
        counted[row] += number
    for word in by:
        if word not in WORDS and word not in attributes:
            raise QueryRefused(
                f"no question can be counted by `{word}`",
                f"expected {', '.join(sorted({*WORDS, *attributes}))}",
            )
    rows = sorted(row for row, number in counted.items() if number)
    return Statistics(
        (period.value, *by), tuple(rows), tuple(counted[row] for row in rows)
    )


def write(statistics: Statistics, path: Path, title: str) -> None:
    """Write a table as `.csv`, `.parquet` or `.html`; raises `QueryRefused`."""
    if path.suffix == ".csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*statistics.columns, COUNT])
        for row, number in zip(statistics.rows, statistics.counts, strict=True):
            writer.writerow([*row, number])
        durable.replace(path, text.getvalue().encode())
    elif path.suffix == ".parquet":
        made = path.with_suffix(durable.TEMPORARY)
        cells = zip(*statistics.rows, strict=True) if statistics.rows else ()
        given = {
            name: np.array(column, dtype=object)
            for name, column in zip(statistics.columns, cells, strict=False)
        }
        given[COUNT] = np.array(statistics.counts, np.int64)
        tables.write_parquet(made, "SELECT * FROM given", (), given)
        durable.settle(made, path)
    elif path.suffix == ".html":
        durable.replace(path, page(statistics, title).encode())
    else:
        raise QueryRefused(
            f"`{path.name}`: no table of this kind is written",
            "expected a name that ends with .csv, .parquet or .html",
        )


def page(statistics: Statistics, title: str) -> str:
    """Write a page: for each period bars, then the whole table."""
    parts = [f"<h1>统计 Statistics: {escape(title)}</h1>"]
    both = list(zip(statistics.rows, statistics.counts, strict=True))
    for period in sorted({row[0] for row in statistics.rows}):
        bars = [(" ".join(row[1:]), n) for row, n in both if row[0] == period]
        parts.append(f"<h2>{period}</h2>{drawing.bars(bars)}")
    headers = (*statistics.columns, COUNT)
    lines = [(*row, f"{number:,}") for row, number in both]
    parts.append(drawing.table(headers, lines, numbers={len(headers) - 1}))
    return drawing.document(f"Statistics of {title}", parts)
