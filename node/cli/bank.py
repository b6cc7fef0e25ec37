"""A bank's teller: score, model, range, verify."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts.bank_model import BankModel, commitment, write_shown
from contracts.compiled import Answer
from contracts.contract import ContractKind
from contracts.errors import DocumentInvalid
from contracts.subject import SubjectType
from node import durable
from node.cli.shell import DEFAULT_CONFIG, AsJson, ConfigPath, load, show
from node.client import BankClient, Checked
from node.domain import Role
from node.feature_files import read
from node.keys import BankKeys
from node.private_client import PrivateClient, PrivateOutcome, read_candidates


def add_to(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    app.command()(score)
    app.command()(model)
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
    model: Annotated[
        Path | None,
        typer.Option(help="Of a joint score: the bank's own model, a YAML file."),
    ] = None,
    features: Annotated[
        str,
        typer.Option(
            help="The subject's features: a table with its row, a .json file, or"
            " a JSON object, which others on this machine can read in its processes."
        ),
    ] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Ask for a subject's outcome: grade, limit, rate.

    Nothing finer is told, neither here nor at the house or the authority.

    In a joint score the bank adds the points of its own model: --model and --features
    stay on this machine, and the number that they make leaves it in two halves that say
    nothing, one for the house and one for the authority.  One joint score of a subject
    and contract in 30 days, whatever the number.

    Example: safehouse score default-joint --subject dc-00001 --consent c-00001
    --model bank-model.yaml --features bank.csv
    """
    settings, held, trust = load(config, BankKeys, Role.BANK)
    if (model is None) is bool(features):
        raise DocumentInvalid(
            "`--model` and `--features` are given together",
            "a joint score needs both, another score neither",
        )
    with BankClient(settings, held, trust) as bank:
        if model is None:
            outcome = bank.score(contract, subject, consent=consent, purpose=purpose)
        else:
            own = _read_model(model)
            known = bank.contract(contract, ContractKind.JOINT)
            kind = SubjectType(known.compiled.subject_type)
            given = read(features, own, subject, kind)
            outcome = bank.joint(
                known, subject, own, given, consent=consent, purpose=purpose
            )
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


def model(
    file: Annotated[Path, typer.Argument(help="The bank's model, a YAML file.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write the model, signed for an auditor."),
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show the bank's own model, and what journals call it.

    Requests for joint scores name a model by a commitment that only this bank can make.
    The signed model lets an auditor find them: `safehouse audit model`.

    Example: safehouse model bank-model.yaml
    """
    own = _read_model(file)
    settings, held, trust = load(config, BankKeys, Role.BANK)
    with BankClient(settings, held, trust) as bank:
        signed = bank.signed_model(own)
    if out is not None:
        durable.replace(out, write_shown(signed))
    named = commitment(signed).hex()
    least, most = (f"{float(end):.6f}" for end in own.reach)
    document = {
        "name": own.name,
        "version": own.version,
        "contract": own.contract,
        "features": [column.source for column in own.columns],
        "points": [least, most],
        "beyond": own.beyond,
        "commitment": named,
        "written": None if out is None else str(out),
    }

    def text(to: Console) -> None:
        to.print(f"model    {own.name} version {own.version}, for {own.contract}")
        to.print(f"features {len(own.columns)}, of {least} to {most} points")
        to.print(f"beyond   {own.beyond}")
        to.print(f"named    {named}")
        if out is not None:
            to.print(f"signed for an auditor in {out}")

    show(document, as_json=as_json, text=text)


def _read_model(path: Path) -> BankModel:
    return BankModel.from_yaml(path.read_bytes(), str(path))


def range_(
    contract: Named,
    subject: Subject,
    consent: Annotated[str, typer.Option(help="Id of the subject's consent.")] = "",
    among: Annotated[
        Path | None,
        typer.Option(
            help="Hide the subject among 16 to 512 candidates: a table of subject_id"
            " and consent_id, with the subject in it."
        ),
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Ask whether a number is at least the contract's threshold.

    Says `at_least`, `below` or `insufficient_data`, and nothing finer.  At most three
    answers about one column and subject in a quarter, over all banks.

    With --among the house does not learn which candidate is meant; the authority does,
    and counts it.  All have consented, and the list is always the same one: who is in
    all of several lists is who was meant.  Such an answer is never released again; but
    where none arrived, the same question sends the same request, at no further cost.

    Example: safehouse range turnover-floor --subject gc-0001 --consent c-0001
    """
    settings, held, trust = load(config, BankKeys, Role.BANK)
    if (among is None) is not bool(consent):
        raise DocumentInvalid(
            "expected `--consent` or `--among`, one of them",
            "with `--among` the table has the consents",
        )
    if among is not None:
        with PrivateClient(settings, held, trust) as private:
            candidates = read_candidates(among)
            lost = private.lost(contract, subject, candidates)
            told = (
                private.range(contract, subject, candidates)
                if lost is None
                else private.retry(lost)
            )
        show(
            {
                "answer": told.answer,
                "call": told.request.hex(),
                "candidates": told.candidates,
            },
            as_json=as_json,
            text=lambda to: _print_private(told, to),
        )
        return
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


def _print_private(told: PrivateOutcome, to: Console) -> None:
    to.print(f"answer   {told.answer}")
    to.print(f"call     {told.request.hex()}")
    to.print(f"house    saw one of {told.candidates} candidates, not which")


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
