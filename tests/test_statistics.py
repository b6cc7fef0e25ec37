"""Operators' statistics: counted again in plain Python, and written three ways."""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from node import statistics
from node.domain import Role
from node.errors import QueryRefused
from node.journal_tables import JournalTables
from node.statistics import COUNT, Period, Statistics
from node.tables import Table
from protocols.entry import Entry, Kind
from tests.audited import Audited, audited


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    """Run a town and export it."""
    with audited(tmp_path_factory.mktemp("statistics")) as made:
        yield made


@pytest.fixture(scope="module")
def journal(town: Audited) -> Iterator[JournalTables]:
    """Open its tables."""
    with JournalTables.open(town.folder, town.world.domain) as made:
        yield made


def test_every_call_is_counted_once(town: Audited, journal: JournalTables) -> None:
    """By bank and what came of it, as a plain reading of the journals counts."""
    wanted: Counter[tuple[str, str, str]] = Counter()
    for role in (Role.HOUSE, Role.AUTHORITY):
        for entry in town.entries(role):
            if entry.kind in (Kind.CALL_PERMIT, Kind.CALL_DENY):
                request = entry.body["request"]
                assert isinstance(request, dict)
                bank = json.loads(str(request["payload"]))["bank"]
                told = ("permitted", "-")
                if entry.kind is Kind.CALL_DENY:
                    reasons = entry.body["reasons"]
                    assert isinstance(reasons, list)
                    (first, *_) = reasons
                    assert isinstance(first, dict)
                    told = ("denied", str(first["reason"]))
                wanted[str(bank), *told] += 1
    found = statistics.count(journal, ["bank", "decision", "reason"], Period.YEAR)
    rows = {
        row[1:]: number for row, number in zip(found.rows, found.counts, strict=True)
    }
    assert rows == wanted
    assert found.columns == ("year", "bank", "decision", "reason")


def test_a_product_is_the_name_of_its_contract(
    town: Audited, journal: JournalTables
) -> None:
    """Not its hash; and every call was a score."""
    found = statistics.count(journal, ["product", "kind"])
    (row,) = found.rows
    assert row[1:] == (town.german.contract.id, "call")
    (whole,) = statistics.count(journal, []).counts
    assert found.counts == (whole,)


def test_words_that_no_question_has(journal: JournalTables) -> None:
    """Refused by name, with those there are."""
    with pytest.raises(QueryRefused, match="`town`") as caught:
        statistics.count(journal, ["bank", "town"])
    assert "product" in caught.value.hint


def test_a_job_counts_by_what_it_was_narrowed_by(town: Audited, tmp_path: Path) -> None:
    """Its entries, permitted and denied, under the classes of public attributes."""
    job = "ab" * 32
    last = town.entries(Role.HOUSE)[-1].time_ms
    where = [["industry", ["农业"]], ["town", ["安居镇", "唐口街道"]]]
    asked = {"bank": "jnrcb", "contract": "cd" * 32, "entries": 9, "where": where}
    refused = [[4, "", "c-4", [["EXPIRED", ""]]], [5, "", "c-5", [["NO_CONSENT", ""]]]]
    bodies = {
        Kind.JOB_SUBMIT: {"job": {"payload": json.dumps(asked)}},
        Kind.JOB_DENY: {"refused": refused},
        Kind.JOB_END: {"permitted": 7, "state": "finished"},
    }
    more = [Entry(kind, last, "house", job, body) for kind, body in bodies.items()]
    folder = town.rewrite(
        tmp_path / "with-job", Role.HOUSE, lambda entries: [*entries, *more]
    )
    with JournalTables.open(folder, town.world.domain) as journal:
        by = ["town", "industry", "decision", "reason"]
        found = statistics.count(journal, [*by, "kind"])
    rows = {
        row[1:]: number for row, number in zip(found.rows, found.counts, strict=True)
    }
    here = ("安居镇|唐口街道", "农业")
    assert {row[:4]: n for row, n in rows.items() if row[4] == "job"} == {
        (*here, "permitted", "-"): 7,
        (*here, "denied", "EXPIRED"): 1,
        (*here, "denied", "NO_CONSENT"): 1,
    }
    assert {row[:2] for row in rows if row[4] == "call"} == {("-", "-")}


TABLE = Statistics(
    ("quarter", "bank", "reason"),
    (("2026-Q3", "<jnrcb>", "EXPIRED"), ("2026-Q4", "a,b", "-")),
    (3, 12_345),
)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_files_hold_the_table(tmp_path: Path, suffix: str) -> None:
    """Read back, they say the same."""
    path = tmp_path / f"asked{suffix}"
    statistics.write(TABLE, path, "rencheng")
    wanted = [
        (*row, str(number))
        for row, number in zip(TABLE.rows, TABLE.counts, strict=True)
    ]
    with Table.open(path) as table:
        assert table.columns == (*TABLE.columns, COUNT)
        (batch,) = table.read(table.columns)
    assert list(zip(*batch.cells, strict=True)) == wanted
    if suffix == ".csv":
        with path.open(newline="") as file:
            assert [tuple(row) for row in csv.reader(file)][1:] == wanted
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_the_page_fetches_nothing(tmp_path: Path) -> None:
    """Words stay words; every period has its bars; another ending is refused."""
    path = tmp_path / "asked.html"
    statistics.write(TABLE, path, "<town>")
    text = path.read_text("utf-8")
    for said in ("&lt;jnrcb&gt;", "&lt;town&gt;", "12,345", "2026-Q3", "统计"):
        assert said in text
    for fetched in ("<script", "http:", "<jnrcb>", "<town>", "url("):
        assert fetched not in text
    assert text.count("<svg") == 2
    with pytest.raises(QueryRefused):
        statistics.write(TABLE, tmp_path / "asked.xls", "town")
