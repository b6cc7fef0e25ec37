"""A registrar's desk: consent import, grant, withdraw, suspend, resume, list."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from contracts.consent import Own, quoted
from contracts.consent_batch import ConsentBatch
from contracts.consent_csv import CONSENT_COLUMNS, SUPERSEDES, Problem, consent_rows
from contracts.errors import DocumentInvalid
from contracts.subject import SubjectType
from node import clock
from node.cli.shell import DEFAULT_CONFIG, AsJson, ConfigPath, load, show, table
from node.domain import Role
from node.keys import RegistrarKeys
from node.progress import shown
from node.registrar import ImportReport, Registrar

PROBLEMS_SHOWN = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

app = typer.Typer(
    help="Register what subjects authorise: grant, import, withdraw.",
    no_args_is_help=True,
)


def add_to(tree: typer.Typer) -> None:
    """Add these commands to the tree."""
    tree.add_typer(app, name="consent")


ConsentId = Annotated[str, typer.Argument(help="Id of the consent.")]
Reason = Annotated[
    str, typer.Option(help="Why; it is journalled, so no personal data.")
]
Kind = Annotated[
    SubjectType, typer.Option("--type", help="What kind of identifier subjects have.")
]


@app.command("import")
def import_(
    consents: Annotated[Path, typer.Argument(help="Consents: CSV, Excel, Parquet.")],
    subject_type: Kind,
    events: Annotated[
        Path | None, typer.Option(help="Table of events, after the consents.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every row; sign and send nothing.")
    ] = False,
    skip_bad_rows: Annotated[
        bool,
        typer.Option(
            "--skip-bad-rows", help="Leave bad rows out instead of refusing the table."
        ),
    ] = False,
    approver: Annotated[
        str, typer.Option(help="Who has to approve it, if there are several.")
    ] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Sign and send a table of consents.

    House and authority both record it; sending it again changes nothing.  Where your
    organisation has other operators, it is in force once one of them approves it.

    Example: safehouse consent import consents.csv --type cn-uscc --dry-run
    """
    with _registrar(config) as registrar, shown("documents", quiet=as_json) as tell:
        report = registrar.import_consents(
            consents,
            events,
            subject_type,
            clock.now_ms(),
            tell,
            dry_run=dry_run,
            skip_bad_rows=skip_bad_rows,
            approver=approver,
        )
    document = {
        "consents": report.consents,
        "events": report.events,
        "new": report.new,
        "known": report.known,
        "recorded": dict(report.recorded),
        "problems": [str(problem) for problem in report.problems],
        "event_problems": [str(problem) for problem in report.event_problems],
    }
    show(document, as_json=as_json, text=lambda to: _print_import(report, to))


@app.command()
def pending(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List the imports of colleagues that wait for your approval.

    All that you approve is shown, to be compared with the forms, but no subject: the
    registers know subjects by commitments.

    Example: safehouse consent pending --config desk-2/safehouse.toml
    """
    with _registrar(config) as registrar:
        waiting = registrar.pending()
    document = {
        "batches": [
            {
                "name": each.name.hex(),
                **_alike(each.batch),
                "consents": [_own(own) for own in each.batch.own],
            }
            for each in waiting
        ]
    }

    def text(to: Console) -> None:
        for each in waiting:
            alike = _alike(each.batch)
            to.print(table(("batch", each.name.hex()), map(_line, alike.items())))
            rows = [_own(own) for own in each.batch.own]
            cells = ([escape(cell) for cell in row.values()] for row in rows)
            to.print(table(tuple(rows[0]), cells))

    show(document, as_json=as_json, text=text)


def _alike(batch: ConsentBatch) -> dict[str, object]:
    """Show what the consents of a batch share."""
    shape = batch.shape
    return {
        "registrar": shape.registrar,
        "grantees": list(shape.grantees),
        "purposes": list(shape.purposes),
        "scope": list(shape.scope),
        "max_uses": shape.max_uses,
        "frequency": None if shape.frequency is None else str(shape.frequency),
        "separate": shape.separate,
        "evidence_kind": shape.evidence_kind.value,
        "document": batch.document,
    }


def _own(own: Own) -> dict[str, str]:
    """Show what a consent has of its own, but the commitment to its subject."""
    name, _, evidence, *times = own
    before, after, granted = (
        (_EPOCH + timedelta(milliseconds=time_ms)).isoformat() for time_ms in times
    )
    return {
        "consent_id": name,
        "not_before": before,
        "not_after": after,
        "granted_at": granted,
        "evidence_digest": evidence.hex(),
    }


def _line(item: tuple[str, object]) -> tuple[str, str]:
    name, value = item
    if isinstance(value, list):
        return name, escape(", ".join(value))
    if isinstance(value, bool):
        return name, "yes" if value else "no"
    return name, "unlimited" if value is None else escape(str(value))


@app.command()
def approve(
    batches: Annotated[
        list[str] | None, typer.Argument(help="Names of batches, from `pending`.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All that wait for you.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Put imports of colleagues in force, after comparing the forms.

    Example: safehouse consent approve --all --config desk-2/safehouse.toml
    """
    if everything is bool(batches):
        raise DocumentInvalid("expected names of batches, or `--all`")
    with _registrar(config) as registrar:
        names = (
            [each.name for each in registrar.pending()]
            if everything
            else [_name(text) for text in batches or ()]
        )
        told = registrar.approve(names, clock.now_ms())
    _show_told(f"{len(names)} batches are approved", told, as_json=as_json)


def _name(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise DocumentInvalid(
            f"expected the name of a batch, got {quoted(text)}",
            "list them: `safehouse consent pending`",
        ) from None


@app.command()
def grant(
    consent_id: ConsentId,
    subject: Annotated[str, typer.Option(help="The subject's identifier.")],
    subject_type: Kind,
    grantees: Annotated[
        str, typer.Option(help="Ids of banks, or `class:<id>`, `;` between.")
    ],
    purposes: Annotated[str, typer.Option(help="Purposes, `;` between.")],
    scope: Annotated[
        str,
        typer.Option(help="`contract:<id>`, `dataset:<id>`, `category:<name>`."),
    ],
    not_before: Annotated[str, typer.Option(help="ISO 8601 with zone, inclusive.")],
    not_after: Annotated[str, typer.Option(help="ISO 8601 with zone, exclusive.")],
    granted_at: Annotated[str, typer.Option(help="When the subject said yes.")],
    max_uses: Annotated[str, typer.Option(help="A number, or `unlimited`.")] = "1",
    frequency: Annotated[str, typer.Option(help="Such as `10/30d`; empty: none.")] = "",
    separate: Annotated[
        bool, typer.Option("--separate", help="A separate consent 单独同意.")
    ] = False,
    evidence: Annotated[str, typer.Option(help="`online` or `paper`.")] = "online",
    evidence_digest: Annotated[
        str, typer.Option(help="SHA-256 of the signed form, hexadecimal.")
    ] = "",
    supersedes: Annotated[
        str, typer.Option(help="Id of the consent that it takes the place of.")
    ] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Sign and send one consent, or one in the place of another.

    With `--supersedes c-0` the earlier one ends with the entry that registers this one.

    Example: safehouse consent grant c-1 --subject gc-0001 --type opaque --grantees
    jnrcb --purposes loan-precheck --scope contract:german-card --not-before
    2026-01-01T00:00+08:00 --not-after 2027-01-01T00:00+08:00 --granted-at
    2026-01-01T00:00+08:00
    """
    cells = dict(
        zip(
            (*CONSENT_COLUMNS, SUPERSEDES),
            (
                consent_id,
                subject,
                grantees,
                purposes,
                scope,
                not_before,
                not_after,
                max_uses,
                frequency,
                str(separate).lower(),
                evidence,
                evidence_digest,
                granted_at,
                supersedes,
            ),
            strict=True,
        )
    )
    settings, held, trust = load(config, RegistrarKeys, Role.REGISTRAR)
    read = consent_rows([cells], settings.id)
    for problem in read.problems:
        option = problem.column.replace("_", "-")
        raise DocumentInvalid(f"`--{option}`: {problem.message}", problem.hint)
    with Registrar(settings, held, trust) as registrar:
        told = registrar.grant(read.rows[0], subject_type, clock.now_ms())
    _show_told(f"consent {consent_id} is registered", told, as_json=as_json)


@app.command()
def withdraw(
    consent_id: ConsentId,
    reason: Reason = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """End a consent because its subject says so.

    No call is permitted under it from then on.

    Example: safehouse consent withdraw c-0001 --reason "subject asked"
    """
    with _registrar(config) as registrar:
        told = registrar.withdraw(consent_id, reason, clock.now_ms())
    _show_told(f"consent {consent_id} is withdrawn", told, as_json=as_json)


@app.command()
def suspend(
    consent_id: ConsentId,
    reason: Reason = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Let a consent rest until it is resumed.

    Example: safehouse consent suspend c-0001
    """
    with _registrar(config) as registrar:
        told = registrar.suspend(consent_id, reason, clock.now_ms())
    _show_told(f"consent {consent_id} is suspended", told, as_json=as_json)


@app.command()
def resume(
    consent_id: ConsentId,
    reason: Reason = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """End a suspension; uses are kept.

    Example: safehouse consent resume c-0001
    """
    with _registrar(config) as registrar:
        told = registrar.resume(consent_id, reason, clock.now_ms())
    _show_told(f"consent {consent_id} is active again", told, as_json=as_json)


@app.command()
def invalidate(
    consent_id: ConsentId,
    reason: Reason = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """End a consent because it never should have been registered.

    Example: safehouse consent invalidate c-0001 --reason "another person signed"
    """
    with _registrar(config) as registrar:
        told = registrar.invalidate(consent_id, reason, clock.now_ms())
    _show_told(f"consent {consent_id} is invalidated", told, as_json=as_json)


@app.command("list")
def list_(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List the consents signed here, and where they stand.

    House and authority each say what they know; the authority counts the uses.

    Example: safehouse consent list --config registrar/safehouse.toml
    """
    with _registrar(config) as registrar:
        standings = registrar.list()
    document = {
        "consents": [
            {
                "consent_id": item.consent.consent_id,
                "grantees": list(item.consent.grantees),
                "house": item.house,
                "authority": item.authority,
                "uses": item.uses,
            }
            for item in standings
        ]
    }
    rows = [
        (
            item.consent.consent_id,
            ", ".join(item.consent.grantees),
            item.house or "unknown",
            item.authority or "unknown",
            str(item.uses),
        )
        for item in standings
    ]
    headers = ("consent", "grantees", "house", "authority", "uses")
    show(document, as_json=as_json, text=lambda to: to.print(table(headers, rows)))


def _registrar(path: Path) -> Registrar:
    return Registrar(*load(path, RegistrarKeys, Role.REGISTRAR))


def _show_told(what: str, told: Mapping[str, int], *, as_json: bool) -> None:
    def text(to: Console) -> None:
        to.print(what)
        for node, count in told.items():
            to.print(f"  {node}: {'recorded' if count else 'had been told before'}")

    show({"recorded": dict(told)}, as_json=as_json, text=text)


def _print_import(report: ImportReport, to: Console) -> None:
    to.print(
        f"{report.consents} consents and {report.events} events are good,"
        f" {report.new} of them new"
    )
    for node, count in report.recorded.items():
        to.print(f"  {node}: {count} recorded")
    _print_problems(report.problems, to)
    _print_problems(report.event_problems, to)


def _print_problems(problems: Sequence[Problem], to: Console) -> None:
    if problems:
        rows = [(str(p.row), p.column, p.message) for p in problems[:PROBLEMS_SHOWN]]
        to.print(table(("row", "column", "problem"), rows))
    if len(problems) > PROBLEMS_SHOWN:
        to.print(f"... and {len(problems) - PROBLEMS_SHOWN} more")
