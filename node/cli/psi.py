"""A bank's desk for intersections: psi intersect, psi count; and what a list is."""

import csv
import io
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts.errors import KindRefused
from node import durable
from node.cli.shell import DEFAULT_CONFIG, AsJson, ConfigPath, load, show
from node.domain import Role
from node.filling import SUBJECT_COLUMN
from node.keys import BankKeys
from node.progress import shown
from node.psi_client import Found, PsiClient
from protocols.psi import Mode

SUBJECTS_SHOWN = 20

app = typer.Typer(
    help="Compare customers with a list that nobody shows.", no_args_is_help=True
)


def add_to(tree: typer.Typer) -> None:
    """Add these commands to the tree."""
    tree.add_typer(app, name="psi")


ContractId = Annotated[str, typer.Argument(help="Id of the contract.")]
CustomersFile = Annotated[
    Path, typer.Argument(help="The customers: CSV, Parquet or Excel.")
]
Column = Annotated[str, typer.Option(help="Its column of identifiers.")]
Purpose = Annotated[str, typer.Option(help="The purpose; the contract's by default.")]


@app.command()
def intersect(
    contract: ContractId,
    customers: CustomersFile,
    out: Annotated[
        Path | None, typer.Option(help="CSV file for those who are on the list.")
    ] = None,
    column: Column = SUBJECT_COLUMN,
    purpose: Purpose = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Find which customers are on a contract's list.

    Only this bank learns it. A session that was broken off goes on where it was, with
    the same command, and counts once.

    Example: safehouse psi intersect subsidy-customers customers.csv --out found.csv
    """
    found = _ask(contract, customers, column, purpose, config, Mode.INTERSECTION)
    if out is not None:
        durable.replace(out, _csv(found, column))
    document = _document(found) | {"subjects": list(found.subjects)}

    def text(to: Console) -> None:
        _print(found, to)
        if out is not None:
            to.print(f"written to {out}")
            return
        for subject in found.subjects[:SUBJECTS_SHOWN]:
            to.print(subject, markup=False)
        if found.count > SUBJECTS_SHOWN:
            to.print(f"... and {found.count - SUBJECTS_SHOWN} more; `--out` has all")

    show(document, as_json=as_json, text=text)


@app.command()
def count(
    contract: ContractId,
    customers: CustomersFile,
    column: Column = SUBJECT_COLUMN,
    purpose: Purpose = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Find how many customers are on a contract's list, and not who.

    Example: safehouse psi count subsidy-share customers.csv
    """
    found = _ask(contract, customers, column, purpose, config, Mode.CARDINALITY)
    show(_document(found), as_json=as_json, text=lambda to: _print(found, to))


@app.command("list")
def list_(
    name: Annotated[str, typer.Argument(help="Id of the list.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Describe the newest version of a list.

    As its custodian signed it: how long it is, of when, and on what basis.

    Example: safehouse psi list farm-subsidy
    """
    with PsiClient(*load(config, BankKeys, Role.BANK)) as bank:
        manifest = bank.newest(name)
    document = {
        "list": manifest.list,
        "version": manifest.version,
        "custodian": manifest.custodian,
        "vintage": manifest.vintage,
        "entries": manifest.rows,
        "consents": bool(manifest.consents),
        "root": manifest.entries.hex(),
    }

    def text(to: Console) -> None:
        basis = "by consent" if manifest.consents else "public"
        to.print(
            f"{manifest.list} version {manifest.version} of {manifest.custodian},"
            f" {manifest.vintage}: {manifest.rows} entries, {basis}"
        )

    show(document, as_json=as_json, text=text)


def _ask(
    contract: str,
    customers: Path,
    column: str,
    purpose: str,
    config: Path,
    mode: Mode,
) -> Found:
    with (
        PsiClient(*load(config, BankKeys, Role.BANK)) as bank,
        shown("pieces", quiet=False) as tell,
    ):
        compiled = bank.contract(contract)
        if compiled.mode is not mode:
            verb = "count" if compiled.mode is Mode.CARDINALITY else "intersect"
            raise KindRefused(
                f"contract `{compiled.id}` answers `{compiled.mode}`, not `{mode}`",
                f"ask it with `safehouse psi {verb}`",
            )
        who = bank.read(compiled, customers, column)
        return bank.intersect(compiled, who, purpose=purpose, progress=tell)


def _document(found: Found) -> dict[str, object]:
    return {
        "mode": found.mode.value,
        "count": found.count,
        "customers": found.customers,
        "list": found.list,
        "version": found.version,
        "entries": found.entries,
        "session": found.session.hex(),
    }


def _print(found: Found, to: Console) -> None:
    to.print(
        f"{found.count} of {found.customers} customers are on {found.list}"
        f" version {found.version}, of {found.entries} entries"
    )
    to.print(f"session {found.session.hex()}")


def _csv(found: Found, column: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column])
    writer.writerows([subject] for subject in found.subjects)
    return text.getvalue().encode()
