"""A bank's desk for whole lists: job submit, watch, cancel, result, list."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from node.cli.bank import said
from node.cli.query import read_where
from node.cli.shell import DEFAULT_CONFIG, AsJson, ConfigPath, load, show, table
from node.domain import Role
from node.errors import JobUnfinished
from node.filling import SUBJECT_COLUMN
from node.job_client import CONSENT_COLUMN, JobClient, Progress
from node.job_results import JobResults, check_suffix
from node.job_store import State
from node.keys import BankKeys
from node.progress import shown
from protocols.job import DENY, FAIL

NAME_SHOWN = 12  # digits of a job's hash, enough to name it by
ROWS_SHOWN = 20

app = typer.Typer(
    help="Ask one question about a whole list, and fetch the outcomes.",
    no_args_is_help=True,
)


def add_to(tree: typer.Typer) -> None:
    """Add these commands to the tree."""
    tree.add_typer(app, name="job")


Job = Annotated[str, typer.Argument(help="The job, or the beginning of its hash.")]


@app.command()
def submit(
    contract: Annotated[str, typer.Argument(help="Id of the contract.")],
    subjects: Annotated[
        Path, typer.Argument(help="CSV, Parquet or Excel: subjects and their consents.")
    ],
    subject_column: Annotated[
        str, typer.Option(help="Its column of identifiers.")
    ] = SUBJECT_COLUMN,
    consent_column: Annotated[
        str, typer.Option(help="Its column of consent ids.")
    ] = CONSENT_COLUMN,
    purpose: Annotated[
        str, typer.Option(help="The purpose; the contract's by default.")
    ] = "",
    where: Annotated[
        list[str] | None,
        typer.Option(help="Narrow the list: `town=安居镇`; repeated for more classes."),
    ] = None,
    skip_damaged: Annotated[
        bool,
        typer.Option(
            "--skip-damaged",
            help="Refuse the subjects of a damaged block instead of the whole job.",
        ),
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Ask about every row of a file; print the job's hash.

    House and authority check and count the consent of each subject. The job goes on
    without this command, and after a restart of any of them. With --where those whose
    public attributes are others are refused, and no use of their consents is counted.

    Example: safehouse job submit german-card customers.csv --where town=安居镇
    """
    with _client(config) as jobs:
        job = jobs.submit_file(
            contract,
            subjects,
            columns=(subject_column, consent_column),
            purpose=purpose,
            damaged=DENY if skip_damaged else FAIL,
            where=read_where(where or []),
        )
    show(
        {"job": job.hex()},
        as_json=as_json,
        text=lambda to: to.print(f"job {job.hex()}"),
    )


@app.command()
def watch(
    job: Job, config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False
) -> None:
    """Follow a job until it has ended.

    Stop watching at any time; the job goes on. While it waits, for the authority or
    for room on a disk, it says what for. Ends with code 37 for a job that
    failed, was refused or was cancelled.

    Example: safehouse job watch 4be1c7
    """
    with _client(config) as jobs, shown("subjects", quiet=as_json) as tell:
        name = jobs.find(job)
        waits = ""
        for stage in jobs.watch(name):
            tell(stage.done, stage.entries)
            if stage.reason not in ("", waits) and not stage.state.ended:
                waits = stage.reason
                print(f"waiting: {waits}", file=sys.stderr)
    show(_document(stage), as_json=as_json, text=lambda to: _print(stage, to))
    _check(stage)


@app.command()
def cancel(
    job: Job, config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False
) -> None:
    """End a job; what was permitted is used, what was released stays.

    Example: safehouse job cancel 4be1c7
    """
    with _client(config) as jobs:
        stage = jobs.cancel(jobs.find(job))
    show(_document(stage), as_json=as_json, text=lambda to: _print(stage, to))


@app.command()
def result(
    job: Job,
    out: Annotated[
        Path | None, typer.Option(help="Write all rows: `.csv` or `.parquet`.")
    ] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Take what there is, the job running on.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Fetch, check and keep a job's outcomes.

    Waits until the job has ended. What was fetched is kept: interrupted, the same
    command goes on where it was, and later ones fetch only what is new. Ends with
    code 37, all the same with what there is, for a job that did not finish.

    Example: safehouse job result 4be1c7 --out outcomes.parquet
    """
    if out is not None:
        check_suffix(out)
    with _client(config) as jobs, shown("subjects", quiet=as_json) as tell:
        name = jobs.find(job)
        done = jobs.fetch(name, follow=not no_wait, report=tell)
        results = jobs.results(name)
        ended = None if no_wait or done == len(results) else next(jobs.watch(name))
    if out is not None:
        results.write(out)
    document = {
        "job": name.hex(),
        "counts": results.counts(),
        "out": None if out is None else str(out),
    }
    show(document, as_json=as_json, text=lambda to: _print_results(results, out, to))
    if ended is not None:
        _check(ended)


@app.command("list")
def list_(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List this bank's jobs, the newest first.

    One of which nobody knows whether it arrived is `unsent`; `job send` sends it.

    Example: safehouse job list
    """
    with _client(config) as jobs:
        stages, unsent = jobs.list(), jobs.unsent()
    known = {stage.job for stage in stages}
    lost = [name for name in unsent if name not in known]
    document = {
        "jobs": [_document(stage) for stage in stages],
        "unsent": [name.hex() for name in lost],
    }

    def text(to: Console) -> None:
        rows = [(name.hex()[:NAME_SHOWN], "unsent", "", "", "", "") for name in lost]
        rows += [
            (
                stage.job.hex()[:NAME_SHOWN],
                stage.state.value,
                _when(stage.submitted_ms),
                str(stage.entries),
                str(stage.released),
                str(stage.denied + stage.withdrawn),
            )
            for stage in stages
        ]
        headers = ("job", "state", "submitted", "subjects", "outcomes", "refused")
        to.print(table(headers, rows) if rows else "no jobs")

    show(document, as_json=as_json, text=text)


@app.command()
def send(
    job: Job, config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False
) -> None:
    """Send a job again of which nobody knows whether it arrived.

    It is the same job: one that has arrived is found, and nothing runs twice.

    Example: safehouse job send 4be1c7
    """
    with _client(config) as jobs:
        name = jobs.find(job)
        jobs.send(name)
    _show_name(name, as_json=as_json)


def _show_name(job: bytes, *, as_json: bool) -> None:
    show(
        {"job": job.hex()},
        as_json=as_json,
        text=lambda to: to.print(f"job {job.hex()}"),
    )


def _client(config: Path) -> JobClient:
    return JobClient(*load(config, BankKeys, Role.BANK))


def _document(stage: Progress) -> dict[str, object]:
    return {
        "job": stage.job.hex(),
        "contract": stage.contract.hex(),
        "state": stage.state.value,
        "entries": stage.entries,
        "permitted": stage.permitted,
        "denied": stage.denied,
        "withdrawn": stage.withdrawn,
        "released": stage.released,
        "reason": stage.reason,
        "submitted_ms": stage.submitted_ms,
    }


def _print(stage: Progress, to: Console) -> None:
    told = f": {stage.reason}" if stage.reason else ""
    to.print(f"job {stage.job.hex()[:NAME_SHOWN]} {stage.state}{told}")
    to.print(
        f"{stage.entries} subjects: {stage.released} outcomes, {stage.denied} refused,"
        f" {stage.withdrawn} withdrawn"
    )


def _check(stage: Progress) -> None:
    if stage.state is not State.FINISHED:
        told = f": {stage.reason}" if stage.reason else ""
        raise JobUnfinished(
            f"the job was {stage.state}{told}", "what was released can be fetched"
        )


def _print_results(results: JobResults, out: Path | None, to: Console) -> None:
    for kind, count in sorted(results.counts().items()):
        to.print(f"{count:>9,} {kind}")
    if out is not None:
        to.print(f"{len(results)} rows in {out}")
        return
    rows = [
        (
            each.subject,
            each.kind,
            each.reason,
            *(
                said(n, each.fields[n]) if n in each.fields else ""
                for n in results.names
            ),
        )
        for each, _ in zip(results, range(ROWS_SHOWN), strict=False)
    ]
    to.print(table(("subject", "kind", "reason", *results.names), rows))
    if len(results) > ROWS_SHOWN:
        to.print(f"... {len(results) - ROWS_SHOWN} more; `--out FILE` writes all")


def _when(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(" ", "minutes")[:16]
