"""A subject's counter: show (custodians); history, object, repair, erase, export."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts.dataset import Dataset
from contracts.subject import SubjectType
from node import clock, own_record
from node.cli.shell import DEFAULT_CONFIG, AsJson, ConfigPath, load, show, table
from node.domain import Role
from node.errors import ConfigInvalid
from node.historian import Historian
from node.keys import RegistrarKeys
from node.objector import Objected, Objector
from node.subject_copy import FILES, Copyist

app = typer.Typer(help="What a subject may ask for.", no_args_is_help=True)


def add_to(tree: typer.Typer) -> None:
    """Add these commands to the tree."""
    tree.add_typer(app, name="subject")


@app.command()
def history(
    subject: Annotated[str, typer.Argument(help="The subject's identifier.")],
    subject_type: Annotated[
        SubjectType, typer.Option("--type", help="What kind of identifier it is.")
    ],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show a subject who asked what about it, and what was decided.

    Free of charge, and no use of any consent. House and authority each journal that
    they were asked. Values and outcomes are not in it: no node has them.

    Example: safehouse subject history gc-0001 --type opaque
    """
    settings, held, trust = load(config, RegistrarKeys, Role.REGISTRAR)
    with Historian(settings, held, trust) as historian:
        lines = historian.read(subject_type, subject)

    def text(to: Console) -> None:
        rows = [
            (
                datetime.fromtimestamp(line.time_ms / 1000, UTC).isoformat(
                    " ", "seconds"
                )[:19],
                line.node,
                line.kind,
                line.party,
                line.contract,
                line.consent,
                " ".join(filter(None, (line.decision, line.reason))),
            )
            for line in lines
        ]
        headers = ("time (UTC)", "node", "what", "who", "contract", "consent", "")
        to.print(table(headers, rows) if rows else "nothing is known of this subject")

    document = {"lines": [asdict(line) for line in lines]}
    show(document, as_json=as_json, text=text)


@app.command()
def repair(
    subject: Annotated[str, typer.Argument(help="The subject's identifier.")],
    subject_type: Annotated[
        SubjectType, typer.Option("--type", help="What kind of identifier it is.")
    ],
    dataset: Annotated[str, typer.Option(help="The dataset that is wrong.")],
    column: Annotated[
        str, typer.Option(help="The column of it that is wrong, if it is one.")
    ] = "",
    request: Annotated[
        str, typer.Option("--repair", help="Id of the repair; drawn by default.")
    ] = "",
    end: Annotated[bool, typer.Option("--end", help="Take the request back.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Ask a dataset's custodian to correct a subject's record.

    The custodian sees it (`safehouse repair list`, and at each push), corrects its own
    table, pushes it as a new version and answers; request, answer and version are in
    the subject's history. If one of the nodes did not answer, the same command with
    the same `--repair` completes it.

    Example: safehouse subject repair gc-0001 --type opaque --dataset credit-bureau
    """
    if end and not request:
        raise ConfigInvalid("an end names its repair", "with `--repair`, as printed")
    settings, held, trust = load(config, RegistrarKeys, Role.REGISTRAR)
    with Objector(settings, held, trust) as objector:
        told = objector.repair(
            subject_type,
            subject,
            dataset,
            clock.now_ms(),
            request,
            column=column,
            ends=end,
        )
    said = "has ended" if end else f"of {dataset} stands"
    _show_told("repair", told, said, as_json=as_json)


@app.command()
def erase(
    subject: Annotated[str, typer.Argument(help="The subject's identifier.")],
    subject_type: Annotated[
        SubjectType, typer.Option("--type", help="What kind of identifier it is.")
    ],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Have house and authority forget who a subject is.

    Its consents end, nobody can ask about it any more, and its slot is nobody's:
    custodians leave it out of their next push. Journals stay as they are, of a name
    that leads to nobody. Whoever comes back is a new subject. It cannot be undone;
    the same command again completes it where a node did not answer, and changes
    nothing afterwards.

    Example: safehouse subject erase gc-0001 --type opaque
    """
    settings, held, trust = load(config, RegistrarKeys, Role.REGISTRAR)
    with Objector(settings, held, trust) as objector:
        told = objector.erase(subject_type, subject, clock.now_ms())
    if told is None:
        document = {"erasure": "", "entries": {}}
        show(
            document,
            as_json=as_json,
            text=lambda to: to.print("nothing is kept of this subject"),
        )
        return
    _show_told("erasure", told, "is done", as_json=as_json)


@app.command("show")
def show_(
    subject: Annotated[str, typer.Argument(help="The subject's identifier.")],
    dataset: Annotated[Path, typer.Argument(help="The dataset's YAML file.")],
    table_file: Annotated[
        Path, typer.Argument(help="Its table: CSV, Parquet or Excel.")
    ],
    column: Annotated[
        str, typer.Option(help="Column with the subjects' identifiers.")
    ] = "subject_id",
    as_json: AsJson = False,
) -> None:
    """Show a subject what a custodian's own table says of it.

    For custodians, who alone have values; no node is asked.

    Example: safehouse subject show gc-0001 tax.yaml tax.csv
    """
    described = Dataset.from_yaml(dataset.read_bytes(), str(dataset))
    cells = own_record.read(described, table_file, column, subject)
    document = {"dataset": described.name, "cells": [asdict(cell) for cell in cells]}

    def text(to: Console) -> None:
        rows = [
            (str(c.row), c.column, c.title, c.value or "", c.refused) for c in cells
        ]
        headers = ("row", "column", "title", "value", "expected instead")
        to.print(table(headers, rows))

    show(document, as_json=as_json, text=text)


@app.command()
def export(
    subject: Annotated[str, typer.Argument(help="The subject's identifier.")],
    subject_type: Annotated[
        SubjectType, typer.Option("--type", help="What kind of identifier it is.")
    ],
    out: Annotated[Path, typer.Option(help="A new folder for the copy.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Write a subject's own copy: history, consents, demands, proofs.

    JSON and CSV. Values are with the custodians (`safehouse subject show`), outcomes
    with the banks; consents and demands are those of this registrar.

    Example: safehouse subject export gc-0001 --type opaque --out gc-0001
    """
    settings, held, trust = load(config, RegistrarKeys, Role.REGISTRAR)
    made = Copyist(settings, held, trust).copy(subject_type, subject, clock.now_ms())
    made.write(out)
    document = {
        "history": len(made.history),
        "consents": len(made.consents),
        "demands": len(made.demands),
        "receipts": len(made.receipts),
        "written": [str(out / name) for name in FILES],
    }

    def text(to: Console) -> None:
        to.print(
            f"{len(made.history)} lines of history, {len(made.consents)} consents,"
            f" {len(made.demands)} demands, {len(made.receipts)} proofs: {out}"
        )

    show(document, as_json=as_json, text=text)


@app.command("object")
def object_(
    subject: Annotated[str, typer.Argument(help="The subject's identifier.")],
    subject_type: Annotated[
        SubjectType, typer.Option("--type", help="What kind of identifier it is.")
    ],
    objection: Annotated[
        str, typer.Option(help="Id of the objection; drawn by default.")
    ] = "",
    end: Annotated[
        bool, typer.Option("--end", help="End the objection: it is counted again.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Leave a subject out of all statistics, at house and authority.

    Statistics need nobody's consent; this is how not to be counted. Calls with the
    subject's consent go on. If one of the nodes did not answer, the same command with
    the same `--objection` completes it.

    Example: safehouse subject object 91370811MA3C00010X --type cn-uscc
    """
    if end and not objection:
        raise ConfigInvalid(
            "an end names its objection", "with `--objection`, as it was printed"
        )
    settings, held, trust = load(config, RegistrarKeys, Role.REGISTRAR)
    with Objector(settings, held, trust) as objector:
        told = objector.object(
            subject_type, subject, clock.now_ms(), objection, ends=end
        )
    said = "stands" if told.objection.stands else "has ended"
    _show_told("objection", told, said, as_json=as_json)


def _show_told(what: str, told: Objected, said: str, *, as_json: bool) -> None:
    name = told.objection.objection_id
    document = {
        what: name,
        "stands": told.objection.stands,
        "entries": dict(told.entries),
    }

    def text(to: Console) -> None:
        to.print(f"{what} {name} {said}")
        for node, entry in told.entries.items():
            to.print(f"{node} entry {entry}")

    show(document, as_json=as_json, text=text)
