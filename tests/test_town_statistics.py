"""The example of statistics: tables made anew, documents held to them."""

import runpy
from collections import Counter
from pathlib import Path

import duckdb

from contracts.attributes import PublicAttributes
from contracts.dataset import Dataset
from contracts.subject import SubjectType, canonical_id

FOLDER = Path(__file__).parents[1] / "examples/town-statistics"


def test_the_tables_are_made_by_their_script(tmp_path: Path) -> None:
    """Byte for byte."""
    runpy.run_path(str(FOLDER / "make_data.py"))["main"](tmp_path)
    made, kept = (
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in (tmp_path, FOLDER / "data")
    )
    assert made == kept != {}


def test_every_identifier_has_right_check_digits() -> None:
    """And belongs to one enterprise."""
    kind = SubjectType.CN_USCC
    rows = duckdb.sql(f"SELECT * FROM '{FOLDER}/data/enterprises.csv'").fetchall()
    assert len({canonical_id(kind, row[0]) for row in rows}) == len(rows) == 4_500
    document = PublicAttributes.from_yaml(
        (FOLDER / "attributes.yaml").read_text("utf-8"), "attributes.yaml"
    )
    towns = Counter(row[1] for row in rows)
    assert set(towns) == set(document.columns[0].attribute.classes)
    assert min(towns.values()) > 200


def test_the_dataset_reads_its_table() -> None:
    """Every cell of the table is one that the document declares."""
    dataset = Dataset.from_yaml(
        (FOLDER / "datasets/employment.yaml").read_text("utf-8"), "employment.yaml"
    )
    table = duckdb.sql(
        f"SELECT * FROM read_csv('{FOLDER}/data/employment.csv', all_varchar = true)"
    )
    for row in table.fetchall():
        assert dataset.encode(dict(zip(table.columns, row, strict=True)))[-1] == 1
