"""Operators' statistics of what was asked."""

from pathlib import Path
from typing import Annotated

import typer

from node import domain, statistics
from node.cli.shell import DEFAULT_CONFIG, AsJson, ConfigPath, show, table
from node.config import load as load_config
from node.journal_tables import JournalTables
from node.progress import shown
from node.statistics import COUNT, Period


def add_to(app: typer.Typer) -> None:
    """Add this command to the tree."""
    app.command("statistics")(tell)


def tell(
    folder: Annotated[Path, typer.Argument(help="Folder of an exported journal.")],
    by: Annotated[
        str, typer.Option(help="Words to count by, with commas between them.")
    ] = "bank,decision,reason",
    period: Annotated[Period, typer.Option(help="Of each row.")] = Period.QUARTER,
    out: Annotated[
        Path | None, typer.Option(help="Write it: .csv, .parquet or .html.")
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Count what was asked, by bank, product, reason, region.

    Words are `kind`, `bank`, `contract`, `product`, `decision`, `reason`, and the
    public attributes that jobs were narrowed by, such as `town` or `industry`. Entries
    are proven before they are counted.

    Example: safehouse statistics audit-2026 --by product,town,decision --period month
    """
    settings = load_config(config)
    trust = domain.load(settings.domain, settings.root_key)
    words = [word.strip() for word in by.split(",") if word.strip()]
    with (
        shown("entries", quiet=as_json) as progress,
        JournalTables.open(folder, trust, progress) as journal,
    ):
        found = statistics.count(journal, words, period)
    if out is not None:
        statistics.write(found, out, trust.name)
    rows = [
        (*row, str(number))
        for row, number in zip(found.rows, found.counts, strict=True)
    ]
    show(
        found.to_json(),
        as_json=as_json,
        text=lambda to: to.print(
            f"{len(rows)} rows written to {out}"
            if out is not None
            else table((*found.columns, COUNT), rows)
        ),
    )
