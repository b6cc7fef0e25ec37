"""Public attributes: put (a custodian), show (everybody)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from contracts.attributes import PublicAttributes
from contracts.subject import SubjectType
from node import catalogue, clock, keys
from node.cli.custodian import IdColumn, SkipBad, open_custodian, print_problems
from node.cli.shell import DEFAULT_CONFIG, AsJson, ConfigPath, show, table
from node.config import load as load_config
from node.domain import Role
from node.errors import ConfigInvalid
from node.keys import AuditorKeys, BankKeys, CustodianKeys, Keys, RegistrarKeys
from node.progress import shown
from node.remote import channel
from node.succession import trusted

app = typer.Typer(
    help="Public attributes of subjects: what groups and filters are said in.",
    no_args_is_help=True,
)


def add_to(tree: typer.Typer) -> None:
    """Add these commands to the tree."""
    tree.add_typer(app, name="attributes")


HOLDERS: Final[Mapping[Role, type[Keys]]] = {
    Role.AUDITOR: AuditorKeys,
    Role.BANK: BankKeys,
    Role.CUSTODIAN: CustodianKeys,
    Role.REGISTRAR: RegistrarKeys,
}


@app.command()
def put(
    document: Annotated[Path, typer.Argument(help="The attributes' YAML file.")],
    table_file: Annotated[
        Path, typer.Argument(help="Their table: CSV, Parquet or Excel.")
    ],
    column: IdColumn = "subject_id",
    skip_bad_rows: SkipBad = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Tell house and authority every subject's public attributes.

    Town, industry, type, in clear: coarse words that are public anyway (tier T0).
    Those who agree in all of them are at least 10 subjects.  Small cells move to
    the `other` class of the document; what stays small is refused, and nothing is
    sent.

    Example: safehouse attributes put attributes.yaml register.csv
    """
    described = PublicAttributes.from_yaml(document.read_bytes(), str(document))
    with open_custodian(config) as custodian, shown("rows", quiet=as_json) as tell:
        receipt = custodian.put_attributes(
            described,
            table_file,
            clock.now_ms(),
            tell,
            column=column,
            skip_bad_rows=skip_bad_rows,
        )
    put_, report = receipt.table, receipt.report
    answer = {
        "subject_type": put_.subject_type,
        "version": put_.version,
        "attributes": [item.name for item in put_.attributes],
        "subjects": report.good,
        "moved": receipt.moved,
        "bad_rows": report.bad_rows,
        "entry": receipt.proof.index,
        "again": receipt.again,
    }

    def text(to: Console) -> None:
        said = "were in force before" if receipt.again else "are in force"
        to.print(
            f"attributes of {put_.subject_type}, version {put_.version}, {said}: "
            f"{', '.join(item.name for item in put_.attributes)}"
        )
        to.print(
            f"{report.good} of {put_.rows} subjects have them; {receipt.moved} of"
            " small cells were moved"
        )
        print_problems(report.problems, to)

    show(answer, as_json=as_json, text=text)


@app.command("show")
def show_(
    subject_type: Annotated[SubjectType, typer.Argument(help="Such as cn-uscc.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show the public attributes, and how many agree in each class.

    Example: safehouse attributes show cn-uscc --config jnrcb/safehouse.toml
    """
    settings = load_config(config)
    if settings.role not in HOLDERS:
        raise ConfigInvalid(f"`{config}` is of role `{settings.role}`, not a client's")
    trust = trusted(settings)
    held = keys.load(HOLDERS[settings.role], settings, trust)
    link = channel(settings.house, held.tls, trust, Role.HOUSE)
    deadline_s = settings.limits.deadline_ms / 1000
    try:
        listed = catalogue.fetch_attributes(link, trust, subject_type, deadline_s)
    finally:
        link.close()
    counts = iter(listed.counts)
    classes = [
        (item, label, next(counts))
        for item in listed.table.attributes
        for label in item.classes
    ]
    answer = {
        "subject_type": listed.table.subject_type,
        "version": listed.table.version,
        "custodian": listed.table.custodian,
        "classes": [
            {"attribute": item.name, "class": label, "subjects": count}
            for item, label, count in classes
        ],
    }
    rows = (
        (item.name, item.title, label, str(count)) for item, label, count in classes
    )
    headers = ("attribute", "title", "class", "subjects")
    show(answer, as_json=as_json, text=lambda to: to.print(table(headers, rows)))
