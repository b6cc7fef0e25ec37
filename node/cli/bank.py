"""A bank's teller: score, range, verify."""

from typing import Annotated

import typer
from rich.console import Console

from contracts.compiled import Answer
from node.cli.shell import DEFAULT_CONFIG, AsJson, ConfigPath, load, show
from node.client import BankClient, Checked
from node.domain import Role
from node.keys import BankKeys


def add_to(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    app.command()(score)
    app.command("range")(range_)
    app.command()(verify)


Named = Annotated[str, typer.Argument(help="Id of the contract.")]
Subject = Annotated[
    str, typer.Option(help="The subject's identifier: 统一社会信用代码, ...")
]
Consent = Annotated[str, typer.Option(help="Id of the subject's consent.")]


def score(
    contract: Named,
    subject: Subject,
    consent: Consent,
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


def range_(
    contract: Named,
    subject: Subject,
    consent: Consent,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Ask whether a number is at least the contract's threshold.

    Says `at_least`, `below` or `insufficient_data`, and nothing finer.  At most three
    answers about one column and subject in a quarter, over all banks.

    Example: safehouse range turnover-floor --subject gc-0001 --consent c-0001
    """
    settings, held, trust = load(config, BankKeys, Role.BANK)
    with BankClient(settings, held, trust) as bank:
        checked = bank.range(contract, subject, consent=consent)
    _show(checked, as_json=as_json)


def verify(
    contract: Named,
    subject: Subject,
    claim: Annotated[
        str, typer.Option(help="What the subject says, in the column's units.")
    ],
    consent: Consent,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Ask whether a number is what the subject says it is.

    Says `match` or `mismatch`, without the side, or `insufficient_data`.  The claim
    leaves this machine in two halves that say nothing, one for the house and one for
    the authority.  At most three answers about one column and subject in a quarter,
    over all banks; the same claim again is another answer.

    Example: safehouse verify turnover-check --subject gc-0001 --claim 1234500
    --consent c-0001
    """
    settings, held, trust = load(config, BankKeys, Role.BANK)
    with BankClient(settings, held, trust) as bank:
        checked = bank.verify(contract, subject, claim, consent=consent)
    _show(checked, as_json=as_json)


def _show(checked: Checked, *, as_json: bool) -> None:
    document = {
        "answer": checked.answer,
        "call": checked.request.hex(),
        "repeated": checked.repeated,
    }

    def text(to: Console) -> None:
        again = ", an earlier answer released again" if checked.repeated else ""
        to.print(f"answer   {checked.answer}")
        to.print(f"call     {checked.request.hex()}{again}")

    show(document, as_json=as_json, text=text)


def said(name: str, value: str | int) -> str:
    """Say a value of an outcome; a `limit` is money, and contracts count fen."""
    if name == "limit" and isinstance(value, int):
        return f"{value / 100:,.2f} yuan ({value} fen)"
    return str(value)
