"""Feedback: open, fetch (a custodian), send (a bank)."""

import csv
import io
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts.feedback import Ending
from contracts.subject import SubjectType
from node import clock, durable
from node.cli.custodian import IdColumn
from node.cli.shell import DEFAULT_CONFIG, AsJson, ConfigPath, load, show
from node.client import BankClient
from node.domain import Role
from node.errors import RowsRefused
from node.feedback_client import FeedbackDesk, FeedbackSender, Told, counts
from node.keys import BankKeys, CustodianKeys
from node.tables import Table

HEADER = ("subject_id", "defaults", "repaid", "last")

app = typer.Typer(
    help="What became of loans: sealed, from a bank to one custodian.",
    no_args_is_help=True,
)


def add_to(tree: typer.Typer) -> None:
    """Add these commands to the tree."""
    tree.add_typer(app, name="feedback")


@app.command("open")
def open_desk(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Let banks report outcomes of loans to this custodian.

    Publishes, signed, the key that their reports are sealed to.

    Example: safehouse feedback open --config credit-bureau/safehouse.toml
    """
    with FeedbackDesk(*load(config, CustodianKeys, Role.CUSTODIAN)) as desk:
        opened = desk.open_desk()
    show(
        {"custodian": opened.custodian, "key": opened.key.hex()},
        as_json=as_json,
        text=lambda to: to.print(f"{opened.custodian} takes feedback"),
    )


@app.command()
def send(
    table_file: Annotated[
        Path, typer.Argument(help="Table: subjects, `ending`, and `on`, a date.")
    ],
    custodian: Annotated[
        str, typer.Option("--to", help="Party id of the custodian in charge.")
    ],
    subject_type: Annotated[
        SubjectType, typer.Option("--type", help="What kind of identifier it has.")
    ],
    column: IdColumn = "subject_id",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Report what became of loans, sealed to one custodian.

    `ending` is `default` or `repaid`, `on` a date as 2026-11-24. Only subjects that
    this bank was permitted to ask about, by a single call: its receipt goes along.

    Example: safehouse feedback send loans.csv --to credit-bureau --type opaque
    """
    told = []
    with Table.open(table_file) as table:
        for batch in table.read([column, "ending", "on"]):
            for row, cells in enumerate(zip(*batch.cells, strict=True), batch.first):
                subject, ending, on = (cell or "" for cell in cells)
                if ending not in list(Ending):
                    raise RowsRefused(
                        f"row {row}, column `ending`: expected default or repaid"
                    )
                told.append(Told(subject, Ending(ending), on))
    party = load(config, BankKeys, Role.BANK)
    with BankClient(*party) as bank, FeedbackSender(*party) as sender:
        proofs = sender.send(
            custodian, subject_type, told, bank.receipts(), clock.now_ms()
        )
    entries = [proof.index for proof in proofs]
    show(
        {"reports": len(told), "to": custodian, "entries": entries},
        as_json=as_json,
        text=lambda to: to.print(
            f"sealed to {custodian}: reports {len(told)}, parcels {len(entries)}"
        ),
    )


@app.command()
def fetch(
    out: Annotated[Path, typer.Argument(help="Where to write the table, CSV.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Read all reports to this custodian and check every one.

    Writes a row a subject (subject_id, defaults, repaid, last), for its owner only;
    `safehouse push` takes it like any other table. A report on a subject that the bank
    was not permitted to ask about is named and left out.

    Example: safehouse feedback fetch loans.csv --config credit-bureau/safehouse.toml
    """
    with FeedbackDesk(*load(config, CustodianKeys, Role.CUSTODIAN)) as desk:
        found = desk.fetch(clock.now_ms())
    text = io.StringIO()
    rows = list(found.rows())
    csv.writer(text, lineterminator="\n").writerows([HEADER, *rows])
    durable.replace(out, text.getvalue().encode(), private=True)

    def tell(to: Console) -> None:
        for bank, count in counts(found).items():
            to.print(f"{bank}: reports {count}")
        for each in found.refused:
            to.print(
                f"refused: {each.bank}, parcel {each.number}, report {each.report}:"
                f" {each.reason}"
            )
        to.print(f"written to {out}: subjects {len(rows)}")

    document = {
        "parcels": found.parcels,
        "reports": dict(counts(found)),
        "refused": [
            [each.bank, each.number, each.report, each.reason] for each in found.refused
        ],
        "subjects": len(rows),
        "written": str(out),
    }
    show(document, as_json=as_json, text=tell)
