"""A bank's teller: score."""

from typing import Annotated

import typer
from rich.console import Console

from contracts.compiled import Answer
from node.cli.shell import DEFAULT_CONFIG, AsJson, ConfigPath, load, show
from node.client import BankClient
from node.domain import Role
from node.keys import BankKeys


def add_to(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    app.command()(score)


def score(
    contract: Annotated[str, typer.Argument(help="Id of the contract.")],
    subject: Annotated[
        str, typer.Option(help="The subject's identifier: 统一社会信用代码, ...")
    ],
    consent: Annotated[str, typer.Option(help="Id of the subject's consent.")],
    purpose: Annotated[
        str, typer.Option(help="The purpose; the contract's by default.")
    ] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Ask for a subject's outcome: grade, limit, rate.

    Nothing finer is told, neither here nor at the house or the authority.

    Example: safehouse score german-card --subject gc-0001 --consent c-0001
    """
    settings, held, trust = load(config, BankKeys, Role.BANK)
    with BankClient(settings, held, trust) as bank:
        outcome = bank.score(contract, subject, consent=consent, purpose=purpose)
    document = {
        "kind": outcome.kind.value,
        "outcome": dict(outcome.fields),
        "reason": outcome.reason,
        "call": outcome.request.hex(),
        "repeated": outcome.repeated,
    }

    def text(to: Console) -> None:
        if outcome.kind is Answer.SCORED:
            for name, value in outcome.fields.items():
                to.print(f"{name:<8} {said(name, value)}")
        else:
            to.print(f"{outcome.kind} {outcome.reason}".rstrip())
        again = ", an earlier answer released again" if outcome.repeated else ""
        to.print(f"call     {outcome.request.hex()}{again}")

    show(document, as_json=as_json, text=text)


def said(name: str, value: str | int) -> str:
    """Say a value of an outcome; a `limit` is money, and contracts count fen."""
    if name == "limit" and isinstance(value, int):
        return f"{value / 100:,.2f} yuan ({value} fen)"
    return str(value)
