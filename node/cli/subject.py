"""A registrar's counter for subjects: object."""

from typing import Annotated

import typer
from rich.console import Console

from contracts.subject import SubjectType
from node import clock
from node.cli.shell import DEFAULT_CONFIG, AsJson, ConfigPath, load, show
from node.domain import Role
from node.errors import ConfigInvalid
from node.keys import RegistrarKeys
from node.objector import Objector

app = typer.Typer(help="What a subject may ask for.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep the verb, even while there is one."""


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
    name = told.objection.objection_id
    document = {
        "objection": name,
        "stands": told.objection.stands,
        "entries": dict(told.entries),
    }

    def text(to: Console) -> None:
        said = "stands" if told.objection.stands else "has ended"
        to.print(f"objection {name} {said}")
        for node, entry in told.entries.items():
            to.print(f"{node} entry {entry}")

    show(document, as_json=as_json, text=text)
