"""A custodian's desk for repairs: list, answer."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts.dataset import Dataset
from contracts.objection import Verdict
from node import clock
from node.cli.custodian import IdColumn, open_custodian
from node.cli.shell import DEFAULT_CONFIG, AsJson, ConfigPath, show, table

app = typer.Typer(help="What subjects ask to be corrected.", no_args_is_help=True)


def add_to(tree: typer.Typer) -> None:
    """Add these commands to the tree."""
    tree.add_typer(app, name="repair")


@app.command("list")
def list_(
    dataset: Annotated[Path, typer.Argument(help="The dataset's YAML file.")],
    table_file: Annotated[
        Path, typer.Argument(help="Its table: CSV, Parquet or Excel.")
    ],
    column: IdColumn = "subject_id",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """List the repairs that wait, and whose rows they are about.

    The house knows only places in the map; who is meant is found in your own table.

    Example: safehouse repair list tax.yaml tax.csv
    """
    described = Dataset.from_yaml(dataset.read_bytes(), str(dataset))
    with open_custodian(config) as custodian:
        found = custodian.repairs.find(described, table_file, column)
    document = {
        "dataset": described.name,
        "repairs": [
            {
                "repair": item.objection.objection_id,
                "since_ms": item.objection.at_ms,
                "registrar": item.objection.registrar,
                "column": item.objection.column,
                "row": item.table_row,
                "subject_id": item.subject_id,
            }
            for item in found
        ],
    }

    def text(to: Console) -> None:
        rows = [
            (
                item.objection.objection_id,
                item.objection.registrar,
                item.objection.column,
                str(item.table_row or ""),
                item.subject_id or "in no row of this table",
            )
            for item in found
        ]
        headers = ("repair", "registrar", "column", "row", "subject")
        to.print(table(headers, rows) if rows else "no repair waits")

    show(document, as_json=as_json, text=text)


@app.command()
def answer(
    dataset: Annotated[Path, typer.Argument(help="The dataset's YAML file.")],
    repair: Annotated[str, typer.Argument(help="Id of the repair.")],
    verdict: Annotated[Verdict, typer.Option(help="What you found.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Answer a repair; the subject sees it in its history.

    `corrected` is taken only after the corrected table has been pushed: the answer
    names that version. `unfounded` says that the record is right.

    Example: safehouse repair answer tax.yaml r-12 --verdict corrected
    """
    described = Dataset.from_yaml(dataset.read_bytes(), str(dataset))
    with open_custodian(config) as custodian:
        done = custodian.repairs.answer(described, repair, verdict, clock.now_ms())
    document = {
        "repair": repair,
        "dataset": described.name,
        "version": done.answer.version,
        "verdict": done.answer.verdict.value,
        "entry": done.entry,
    }

    def text(to: Console) -> None:
        to.print(
            f"repair {repair} is {done.answer.verdict}: {described.name} version"
            f" {done.answer.version}, house entry {done.entry}"
        )

    show(document, as_json=as_json, text=text)
