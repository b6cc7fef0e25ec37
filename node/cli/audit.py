"""An auditor's desk: export, verify, share, replay, cells; receipts and openings."""

import secrets
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts.bank_model import read_shown
from contracts.cells import MOST_CELLS, Cells
from contracts.cells import check as check_cells
from contracts.cells import sample as sample_cells
from node import clock, durable, functional
from node.auditor import Auditor
from node.cells import open_answer, read_question, sign_question
from node.cli.shell import DEFAULT_CONFIG, AsJson, ConfigPath, load, show, table
from node.client import BankClient
from node.config import load as load_config
from node.domain import Role, TrustDomain
from node.errors import FindingsFound, NotFound, RoleRefused
from node.evidence import (
    openings_of,
    read_openings,
    read_receipts,
    read_salts,
    write_openings,
    write_receipts,
    write_salts,
)
from node.journal_tables import JournalTables
from node.keys import AuditorKeys, BankKeys, RegistrarKeys
from node.models import named_models
from node.progress import shown
from node.registrar import Registrar
from node.replays import AnyCase, find, replayed
from node.report import Report, Verdict
from node.report_page import page
from node.shares import hand_over, take_over
from node.succession import trusted
from node.transcript import find_version
from node.transcript import sample as choose
from node.verify import verify as verify_export

FINDINGS_SHOWN = 20
SEED_BYTES = 16

app = typer.Typer(
    help="Export both journals, verify them off-line, replay calls.",
    no_args_is_help=True,
)


def add_to(tree: typer.Typer) -> None:
    """Add these commands to the tree."""
    tree.add_typer(app, name="audit")


Folder = Annotated[Path, typer.Argument(help="Folder of the export.")]
Seed = Annotated[
    str,
    typer.Option(
        help="Words that fix the choice and that nobody could guess before; drawn if"
        " not given."
    ),
]
Call = Annotated[str, typer.Argument(help="Request hash of the call, hexadecimal.")]


@app.command()
def export(
    folder: Folder, config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False
) -> None:
    """Copy both journals into a folder, with their checkpoints.

    A later export into the same folder takes what is new.

    Example: safehouse audit export audit-2026 --config auditor-a/safehouse.toml
    """
    with _auditor(config) as auditor, shown("entries", quiet=as_json) as tell:
        taken = auditor.export(folder, tell)
    journals = {
        role.value: {"size": head.size, "before": taken.before[role]}
        for role, head in taken.heads.items()
    }

    def text(to: Console) -> None:
        for name, sizes in journals.items():
            new = sizes["size"] - sizes["before"]
            to.print(f"{name}: {sizes['size']} entries, {new} of them new")

    show({"folder": str(folder), "journals": journals}, as_json=as_json, text=text)


@app.command()
def verify(
    folder: Folder,
    receipts: Annotated[
        list[Path] | None, typer.Option(help="Receipts that a bank wrote; repeatable.")
    ] = None,
    openings: Annotated[
        list[Path] | None,
        typer.Option(help="Openings that banks and registrars wrote; repeatable."),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="A signed checkpoint from elsewhere; repeatable."),
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Verify an export off-line and decide every call again.

    Structure, signatures, decisions, house against authority and against the
    receipts of banks, what witnesses co-signed and checkpoints from elsewhere.  The
    trust domain is the one that the configuration pins; nothing is asked of anybody.
    Ends with code 40 for an export that was changed, 41 for a fork, 42 for findings.

    Example: safehouse audit verify audit-2026 --receipts jnrcb.jsonl
    """
    trust = _trust(config)
    with shown("entries", quiet=as_json) as tell:
        report = verify_export(
            folder,
            trust,
            receipts=[r for path in receipts or () for r in read_receipts(path)],
            openings=None
            if openings is None
            else [o for path in openings for o in read_openings(path)],
            checkpoints=[path.read_text("utf-8") for path in checkpoint or ()],
            progress=tell,
        )
    show(
        dict(report.to_json()),
        as_json=as_json,
        text=lambda to: print_report(report, to),
    )
    report.check()


@app.command()
def report(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="Where to write the page, `.html`.")],
    receipts: Annotated[
        list[Path] | None, typer.Option(help="Receipts that a bank wrote; repeatable.")
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Verify an export and write a page about it that can be filed.

    Findings, calls by bank and reason, latency, consents, jobs, what was checked; one
    file, no script, nothing fetched. Ends as `audit verify` does.

    Example: safehouse audit report audit-2026 --out audit-2026.html
    """
    trust = _trust(config)
    with shown("entries", quiet=as_json) as tell:
        found = verify_export(
            folder,
            trust,
            receipts=[r for path in receipts or () for r in read_receipts(path)],
            progress=tell,
        )
        if found.verdict in (Verdict.INVALID, Verdict.FORKED):
            found.check()  # there is nothing that could be counted
        with JournalTables.open(folder, trust, tell) as tables:
            html = page(found, trust, tables, clock.now_ms())
    durable.replace(out, html.encode())
    document = {"verdict": found.verdict.value, "out": str(out)}
    show(
        document,
        as_json=as_json,
        text=lambda to: to.print(f"verdict: {found.verdict}; written to {out}"),
    )
    found.check()


@app.command()
def sql(
    folder: Folder,
    query: Annotated[str, typer.Argument(help="SQL of DuckDB.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Ask an export a question in SQL.

    Tables `house` and `authority` (idx, kind, time, actor, call, body), and views
    `journal`, `calls`, `consents`, `jobs`. Entries are proven before they are taken.

    Example: safehouse audit sql audit-2026
    "SELECT bank, reason, count(*) FROM calls GROUP BY ALL ORDER BY ALL"
    """
    trust = _trust(config)
    with (
        shown("entries", quiet=as_json) as tell,
        JournalTables.open(folder, trust, tell) as tables,
    ):
        answer = tables.query(query)
    rows = [[_plain(cell) for cell in row] for row in answer.rows]
    show(
        {"columns": list(answer.columns), "rows": rows},
        as_json=as_json,
        text=lambda to: to.print(
            table(
                answer.columns,
                [["" if c is None else str(c) for c in row] for row in rows],
            )
        ),
    )


def _plain(cell: object) -> object:
    return cell if isinstance(cell, str | int | float | None) else str(cell)


@app.command()
def sample(
    folder: Folder,
    count: Annotated[int, typer.Option(help="How many calls to choose.")] = 10,
    seed: Seed = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Choose calls and job messages to replay; nobody can steer it.

    The same export and seed give the same ones; a seed that was drawn is printed
    first, for the other auditor.

    Example: safehouse audit sample audit-2026 --count 5
    """
    words = seed or _drawn()
    chosen = choose(folder, _trust(config), count, words.encode())
    calls = [call.hex() for call in chosen]

    def text(to: Console) -> None:
        if not seed:
            to.print(f"seed {words}")
        to.print("\n".join(calls))

    show({"seed": words, "calls": calls}, as_json=as_json, text=text)


@app.command()
def share(
    call: Call,
    folder: Annotated[Path, typer.Option("--export", help="Folder of the export.")],
    to_auditor: Annotated[str, typer.Option("--to", help="Id of the other auditor.")],
    out: Annotated[Path, typer.Option(help="Where to write the sealed share.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Seal this auditor's share of a call's seed to the other auditor.

    One share says nothing; two open the mask of that call. A job, or a message of it,
    is named by its hash, and has one seed for all its messages.

    Example: safehouse audit share 91c2... --export audit-2026 --to auditor-b
    --out 91c2.share
    """
    settings, held, trust = load(config, AuditorKeys, Role.AUDITOR)
    other = trust.party(to_auditor, Role.AUDITOR)
    with Auditor(settings, held, trust) as auditor:
        mine = auditor.seed_share(_cases(folder, trust, call)[0])
    durable.replace(out, hand_over(mine, held, other))
    show(
        {"written": str(out), "to": other.id},
        as_json=as_json,
        text=lambda to: to.print(f"share for {other.id} written to {out}"),
    )


@app.command()
def replay(
    call: Call,
    folder: Annotated[Path, typer.Option("--export", help="Folder of the export.")],
    handed: Annotated[
        Path, typer.Option("--share", help="The share that the other auditor sealed.")
    ],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Compute a call again from its seed and compare it byte for byte.

    So one message of a job, by the hash of its ticket, or all of a job, by its own.

    Example: safehouse audit replay 91c2... --export audit-2026 --share 91c2.share
    """
    settings, held, trust = load(config, AuditorKeys, Role.AUDITOR)
    cases = _cases(folder, trust, call)
    theirs = take_over(handed.read_bytes(), held, settings.id, trust)
    with (
        Auditor(settings, held, trust) as auditor,
        shown("messages", quiet=as_json) as tell,
    ):
        shares = [auditor.seed_share(cases[0]), theirs]
        found = list(replayed(auditor, trust, cases, shares, tell))
    differing = [each for each in found if not each.identical]
    document = {
        "call": call,
        "entry": found[0].index,
        "identical": not differing,
        "differences": [told for each in differing for told in each.differences],
        "unchecked": [told for each in found for told in each.unchecked],
    }
    show(
        document,
        as_json=as_json,
        text=lambda to: to.print("\n".join(map(str, found))),
    )
    if differing:
        raise FindingsFound(str(differing[0]))


@app.command("ask")
def ask_again(
    call: Call,
    folder: Annotated[Path, typer.Option("--export", help="Folder of the export.")],
    second: Annotated[str, typer.Option(help="Id of the auditor who signs too.")],
    out: Annotated[Path, typer.Option(help="Where to write the request.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Ask for a call to be computed again, for this auditor.

    Only a call that stands in both journals and that its bank committed to, and each
    once; a second auditor signs it with `audit countersign`.

    Example: safehouse audit ask 91c2... --export audit-2026 --second auditor-b
    --out asked.json
    """
    settings, held, trust = load(config, AuditorKeys, Role.AUDITOR)
    other = trust.party(second, Role.AUDITOR)
    known = functional.find(folder, trust, _name(call))
    asked = functional.ask(known, held, settings.id, other.id, clock.now_ms())
    durable.replace(out, asked.to_bytes())
    show(
        {"call": call, "second": other.id, "written": str(out)},
        as_json=as_json,
        text=lambda to: to.print(f"request for {other.id} to sign written to {out}"),
    )


@app.command()
def countersign(
    asked: Annotated[Path, typer.Argument(help="What the other auditor asked.")],
    folder: Annotated[Path, typer.Option("--export", help="Folder of the export.")],
    out: Annotated[Path, typer.Option(help="Where to write it, signed by both.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Sign another auditor's request for a call, as the second person.

    The call is looked up in an export of one's own; what names other entries is
    refused.

    Example: safehouse audit countersign asked.json --export audit-2026
    --out both.json --config auditor-b/safehouse.toml
    """
    settings, held, trust = load(config, AuditorKeys, Role.AUDITOR)
    given = functional.Asked.parse(asked.read_bytes())
    request = functional.read(given, trust)
    known = functional.find(folder, trust, request.call)
    both = functional.sign_too(given, known, held, settings.id, trust)
    durable.replace(out, both.to_bytes())
    document = {
        "call": request.call.hex(),
        "auditor": request.auditor,
        "bank": known.bank,
        "written": str(out),
    }
    show(
        document,
        as_json=as_json,
        text=lambda to: to.print(
            f"signed: a call of {known.bank}, computed for {request.auditor}: {out}"
        ),
    )


@app.command("functional")
def functional_replay(
    asked: Annotated[Path, typer.Argument(help="What two auditors signed.")],
    folder: Annotated[Path, typer.Option("--export", help="Folder of the export.")],
    salts: Annotated[
        list[Path] | None,
        typer.Option(help="Salts that the bank wrote with `audit salts`; repeatable."),
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Have a call computed again, compare with the commitment.

    House and authority answer this auditor, on the data of then, and journal it; it is
    no use of the consent. What comes out is not printed. Ends with code 42 if it is
    another outcome than the bank committed to.

    Example: safehouse audit functional both.json --export audit-2026
    --salts jnrcb.salts
    """
    given = functional.Asked.parse(asked.read_bytes())
    opened = {item.call: item for path in salts or () for item in read_salts(path)}
    with _auditor(config) as auditor:
        request = functional.read(given, auditor.domain)
        known = functional.find(folder, auditor.domain, request.call)
        found = functional.replay(auditor, given, known, opened)
    document = {
        "call": request.call.hex(),
        "audit": given.name.hex(),
        "entry": found.index,
        "agrees": found.identical,
        "differences": list(found.differences),
    }

    def text(to: Console) -> None:
        told = "; ".join(found.differences) or (
            f"house and authority compute what {known.bank} committed to"
        )
        to.print(f"house entry {found.index}, call {found.call.hex()[:16]}: {told}")

    show(document, as_json=as_json, text=text)
    if not found.identical:
        raise FindingsFound(str(found))


@app.command()
def cells(
    dataset: Annotated[str, typer.Argument(help="Id of the dataset.")],
    folder: Annotated[Path, typer.Option("--export", help="Folder of the export.")],
    out: Annotated[Path, typer.Option(help="Where to write the question.")],
    seed: Seed = "",
    count: Annotated[
        int, typer.Option(min=1, max=MOST_CELLS, help="How many ciphertexts to choose.")
    ] = 10,
    version: Annotated[
        int, typer.Option(help="Version of the dataset; 0: the newest.")
    ] = 0,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Choose ciphertexts of a dataset for its custodian to open.

    Signed, so that nobody else has them opened; the custodian answers with
    `safehouse open`, and `audit opened` checks the answer.

    Example: safehouse audit cells tax --export audit-2026 --out asked.json
    --count 20
    """
    settings, held, trust = load(config, AuditorKeys, Role.AUDITOR)
    found = find_version(folder, trust, dataset, version)
    manifest = found.manifest
    words = seed or _drawn()
    chosen = sample_cells(manifest, count, words)
    root = manifest.ciphertext_root
    question = Cells(settings.id, dataset, manifest.version, root, words, chosen)
    durable.replace(out, sign_question(question, held))
    document = {
        "dataset": dataset,
        "version": manifest.version,
        "custodian": manifest.custodian,
        "seed": words,
        "cells": [{"block": block, "column": column} for block, column in chosen],
        "written": str(out),
    }
    show(
        document,
        as_json=as_json,
        text=lambda to: to.print(
            f"{len(chosen)} ciphertexts of {dataset} version {manifest.version}, drawn"
            f" by `{words}`, for {manifest.custodian} to open: {out}"
        ),
    )


@app.command()
def opened(
    question: Annotated[Path, typer.Argument(help="What was asked.")],
    answers: Annotated[Path, typer.Argument(help="What the custodian answered.")],
    folder: Annotated[Path, typer.Option("--export", help="Folder of the export.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Compute opened ciphertexts again, compare with the house's.

    Each must hold what its custodian says, all within the column's range. Ends with
    code 42 if one does not.

    Example: safehouse audit opened asked.json opened.json --export audit-2026
    """
    settings, held, trust = load(config, AuditorKeys, Role.AUDITOR)
    asked = read_question(question.read_bytes(), trust)
    if asked.auditor != settings.id:
        raise RoleRefused(f"the question is `{asked.auditor}`'s")
    found = find_version(folder, trust, asked.dataset, asked.version)
    told = open_answer(answers.read_bytes(), asked, found, held, trust)
    with Auditor(settings, held, trust) as auditor:
        blocks = auditor.cell_blocks(asked)
    differences = check_cells(trust.paillier, found, asked, told, blocks)
    document = {
        "dataset": asked.dataset,
        "version": asked.version,
        "opened": len(told),
        "differences": differences,
    }

    def text(to: Console) -> None:
        for difference in differences:
            to.print(difference)
        if not differences:
            to.print(
                f"{len(told)} ciphertexts of {asked.dataset} version"
                f" {asked.version} hold what {found.manifest.custodian} says,"
                " within their ranges"
            )

    show(document, as_json=as_json, text=text)
    if differences:
        raise FindingsFound(differences[0])


@app.command()
def model(
    folder: Folder,
    models: Annotated[
        list[Path], typer.Argument(help="Signed models, as `safehouse model` writes.")
    ],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Find the joint scores that named a bank's models.

    Ends with code 42 if a bank that shows models has named another one in a call: it
    was exchanged, or kept back. That a number came out of the model it goes by is not
    shown: nobody but the bank has seen the number.

    Example: safehouse audit model audit-2026 card-behaviour.signed
    """
    signed = [read_shown(path.read_bytes()) for path in models]
    named = named_models(folder, _trust(config), signed)
    document = {
        "models": [asdict(use) for use in named.uses],
        "unshown": [{"bank": bank, "call": call} for bank, call in named.unshown],
    }

    def text(to: Console) -> None:
        for use in named.uses:
            to.print(
                f"{use.bank}: {use.name} version {use.version}, for {use.contract}:"
                f" {_calls(len(use.calls))}"
            )
        for bank, call in named.unshown[:FINDINGS_SHOWN]:
            to.print(f"{bank}: call {call} names a model that was not shown")

    show(document, as_json=as_json, text=text)
    if named.unshown:
        raise FindingsFound(
            f"{_calls(len(named.unshown))} under a model that was not shown"
        )


def _calls(count: int) -> str:
    return f"{count} call" if count == 1 else f"{count} calls"


@app.command()
def receipts(
    out: Annotated[Path, typer.Argument(help="Where to write them.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Write a bank's receipts for an auditor; no outcome is in them.

    Example: safehouse audit receipts jnrcb.jsonl --config jnrcb/safehouse.toml
    """
    with BankClient(*load(config, BankKeys, Role.BANK)) as bank:
        count = write_receipts(bank.receipts(), out)
    show(
        {"receipts": count, "written": str(out)},
        as_json=as_json,
        text=lambda to: to.print(f"{count} receipts written to {out}"),
    )


@app.command()
def salts(
    calls: Annotated[list[str], typer.Argument(help="Request hashes, hexadecimal.")],
    out: Annotated[Path, typer.Option(help="Where to write them.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Write what opens a bank's commitments, for an auditor.

    There are few outcomes: whoever has a salt, and the journal, finds the one that
    was committed to. So only of the calls that an auditor names.

    Example: safehouse audit salts 91c2... --out jnrcb.salts
    --config jnrcb/safehouse.toml
    """
    with BankClient(*load(config, BankKeys, Role.BANK)) as bank:
        count = write_salts(map(bank.result_salt, map(_name, calls)), out)
    show(
        {"salts": count, "written": str(out)},
        as_json=as_json,
        text=lambda to: to.print(f"{count} salts written to {out}"),
    )


@app.command()
def openings(
    out: Annotated[Path, typer.Argument(help="Where to write them.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Write what opens commitments to subjects, for an auditor.

    A bank's or a registrar's; for an auditor's eyes only: with the pepper it
    names people.

    Example: safehouse audit openings registrar.jsonl --config registrar/safehouse.toml
    """
    if load_config(config).role is Role.BANK:
        with BankClient(*load(config, BankKeys, Role.BANK)) as bank:
            count = write_openings(openings_of(bank.receipts()), out)
    else:
        loaded = load(config, RegistrarKeys, Role.REGISTRAR)
        with Registrar(*loaded) as registrar:
            count = write_openings(registrar.openings(), out)
    show(
        {"openings": count, "written": str(out)},
        as_json=as_json,
        text=lambda to: to.print(f"{count} openings written to {out}"),
    )


def print_report(report: Report, to: Console) -> None:
    """Write a report for people."""
    rows = [
        (name, str(head.size), head.root.hex()) for name, head in report.heads.items()
    ]
    to.print(table(("journal", "entries", "root"), rows))
    to.print(f"{report.checkpoints} checkpoints verified")
    to.print(
        f"{report.calls} calls: {report.permits} permitted;"
        f" {report.decisions_replayed} decisions replayed"
    )
    for reason, count in report.denials.items():
        to.print(f"  denied {count:>6} {reason}")
    unfinished = report.unfinished
    if unfinished.intents or unfinished.permits or unfinished.answers:
        to.print(
            f"under way: {unfinished.intents} intents, {unfinished.permits} permits,"
            f" {unfinished.answers} answers"
        )
    to.print(f"{report.receipts} receipts of banks agree")
    for name, seen in report.cosigned.items():
        for each in seen:
            when = datetime.fromtimestamp(each.time_s, UTC).isoformat(" ", "minutes")
            to.print(f"{name}: {each.witness} co-signed {each.size} entries on {when}")
    for finding in report.findings[:FINDINGS_SHOWN]:
        to.print(str(finding))
    to.print(f"verdict: {report.verdict}")


def _auditor(path: Path) -> Auditor:
    return Auditor(*load(path, AuditorKeys, Role.AUDITOR))


def _drawn() -> str:
    """Draw the words of a choice, where nobody gave any."""
    return secrets.token_hex(SEED_BYTES)


def _trust(path: Path) -> TrustDomain:
    settings = load_config(path)
    return trusted(settings)


def _cases(folder: Path, trust: TrustDomain, call: str) -> Sequence[AnyCase]:
    return find(folder, trust, _name(call))


def _name(call: str) -> bytes:
    try:
        return bytes.fromhex(call)
    except ValueError:
        raise NotFound(f"`{call}` is no request hash") from None
