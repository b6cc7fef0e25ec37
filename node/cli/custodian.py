"""A custodian's clerk: register, push, open, approve."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts.cells import Cells
from contracts.dataset import Dataset
from contracts.errors import DocumentInvalid
from contracts.subject import SubjectType
from node import clock, durable
from node.author import Author
from node.cli.quality import print_quality
from node.cli.shell import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    console,
    load,
    show,
    table,
)
from node.custodian import Custodian
from node.domain import Role
from node.filling import Problem
from node.keys import CustodianKeys
from node.progress import shown
from node.pushes import PushReceipt
from node.quality import Quality
from node.quality_page import page

PROBLEMS_SHOWN = 20

SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad-rows", help="Leave bad rows out instead of refusing the table."
    ),
]
IdColumn = Annotated[str, typer.Option(help="Column with the subjects' identifiers.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    for command in (register, push, approve):
        app.command()(command)
    app.command("open")(open_cells)


def register(
    table_file: Annotated[
        Path, typer.Argument(help="Base register: CSV, Parquet or Excel.")
    ],
    subject_type: Annotated[
        SubjectType, typer.Option("--type", help="What kind of identifier it has.")
    ],
    column: IdColumn = "subject_id",
    skip_bad_rows: SkipBad = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Give every subject of a base register a slot.

    Subjects that have one keep it; slots are never given to somebody else.

    Example: safehouse register residents.csv --type cn-resident-id
    """
    with open_custodian(config) as custodian, shown("rows", quiet=as_json) as tell:
        receipt = custodian.put_register(
            subject_type,
            table_file,
            column,
            clock.now_ms(),
            tell,
            skip_bad_rows=skip_bad_rows,
        )
    row_map = receipt.row_map
    document = {
        "subject_type": row_map.subject_type,
        "version": row_map.version,
        "subjects": row_map.rows,
        "blocks": row_map.blocks,
        "added": receipt.added,
        "row_map_root": row_map.root.hex(),
        "bad_rows": len(receipt.register.problems),
    }

    def text(to: Console) -> None:
        to.print(
            f"map of {row_map.subject_type} version {row_map.version}: "
            f"{row_map.rows} subjects in {row_map.blocks} blocks, {receipt.added} new"
        )
        print_problems(receipt.register.problems, to)

    show(document, as_json=as_json, text=text)


def push(
    dataset: Annotated[Path, typer.Argument(help="The dataset's YAML file.")],
    table_file: Annotated[
        Path, typer.Argument(help="Its table: CSV, Parquet or Excel.")
    ],
    vintage: Annotated[str, typer.Option(help="Period of the data, such as 2026-01.")],
    column: IdColumn = "subject_id",
    consent_column: Annotated[
        str, typer.Option(help="Column with the consents, of a list by consent.")
    ] = "",
    skip_bad_rows: SkipBad = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only check the table; send nothing.")
    ] = False,
    expected: Annotated[
        Path | None,
        typer.Option(help="A table of the subjects that ought to be in it."),
    ] = None,
    report_page: Annotated[
        Path | None,
        typer.Option("--report", help="Write its quality here, as one HTML page."),
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Check a dataset's table, encrypt it here and push it.

    The dataset is registered first, if it is not yet; a push replaces the version
    before it. A list (`list: true`) is pushed as points for intersection.

    What is missing, out of range, or different from the version before is told here
    and nowhere else; with `--report` column by column.

    Example: safehouse push tax.yaml tax.csv --vintage 2026-01
    """
    described = Dataset.from_yaml(dataset.read_bytes(), str(dataset))
    if described.is_list:
        if expected is not None or report_page is not None:
            raise DocumentInvalid(
                f"dataset `{described.name}` is a list",
                "it has no columns that could be reported on",
            )
        how = _HowRead(column, consent_column, skip_bad_rows=skip_bad_rows, check=check)
        _push_list(described, table_file, vintage, how, config, as_json=as_json)
        return
    if consent_column:
        raise DocumentInvalid(
            f"dataset `{described.name}` is no list",
            "the consents of its subjects are the registrar's to import",
        )
    with open_custodian(config) as custodian, shown("blocks", quiet=as_json) as tell:
        if check:
            receipt = None
            quality = custodian.examine(
                described, table_file, tell, column=column, expected=expected
            )
        else:
            custodian.register(described)
            receipt = custodian.push(
                described,
                table_file,
                vintage,
                clock.now_ms(),
                tell,
                skip_bad_rows=skip_bad_rows,
                column=column,
                expected=expected,
            )
            quality = receipt.quality
        repairs = [] if receipt is None else custodian.repairs.standing(described)
    report = quality.report
    if report_page is not None:
        durable.replace(report_page, page(quality).encode(), private=True)
    document: dict[str, object] = {
        "dataset": described.name,
        "rows": report.rows,
        "good": report.good,
        "duplicates": report.duplicates,
        "unknown": report.unknown,
        "absent": report.absent,
        "bad_rows": report.bad_rows,
        "quality": quality.to_json(),
    }
    if receipt is not None:
        document |= {
            "version": receipt.manifest.version,
            "blocks": receipt.manifest.blocks,
            "columns": receipt.manifest.columns,
            "ciphertext_root": receipt.manifest.ciphertext_root.hex(),
            "receipt": str(receipt.path),
            "repairs": [objection.objection_id for objection, _ in repairs],
        }

    def text(to: Console) -> None:
        _print_push(quality, receipt, to)
        print_quality(quality, to, columns=report_page is not None)
        if report_page is not None:
            to.print(f"report, for this custodian only, in {report_page}")
        if repairs:
            to.print(f"{len(repairs)} repairs wait: `safehouse repair list`")

    show(document, as_json=as_json, text=text)


def _print_push(quality: Quality, receipt: PushReceipt | None, to: Console) -> None:
    report = quality.report
    to.print(
        f"{report.dataset}: {report.good} of {report.rows} rows are good, "
        f"{report.absent} subjects of the map have none"
    )
    if report.duplicates:
        to.print(f"{report.duplicates} rows name a subject twice: none is taken")
    print_problems(report.problems, to)
    if receipt is not None:
        manifest = receipt.manifest
        to.print(
            f"version {manifest.version} is stored: {manifest.blocks} blocks of "
            f"{manifest.columns} columns, root {manifest.ciphertext_root.hex()}"
        )
        to.print(f"receipt in {receipt.path}")


@dataclass(frozen=True, slots=True)
class _HowRead:
    """How a list's table is read, and what for."""

    column: str
    consent_column: str
    skip_bad_rows: bool
    check: bool


def _push_list(
    described: Dataset,
    table_file: Path,
    vintage: str,
    how: _HowRead,
    config: Path,
    *,
    as_json: bool,
) -> None:
    receipt = None
    with open_custodian(config) as custodian, shown("points", quiet=as_json) as tell:
        if how.check:
            rows = custodian.validate_list(
                described, table_file, how.column, how.consent_column
            )
        else:
            custodian.register(described)
            receipt = custodian.push_list(
                described,
                table_file,
                vintage,
                clock.now_ms(),
                tell,
                skip_bad_rows=how.skip_bad_rows,
                column=how.column,
                consent_column=how.consent_column,
            )
            rows = receipt.rows
    good = len(rows.refs)
    document: dict[str, object] = {
        "list": described.name,
        "rows": rows.rows,
        "good": good,
        "bad_rows": len(rows.problems),
    }
    if receipt is not None:
        document |= {
            "version": receipt.manifest.version,
            "entries": receipt.manifest.rows,
            "root": receipt.manifest.entries.hex(),
            "receipt": str(receipt.path),
        }

    def text(to: Console) -> None:
        to.print(f"{described.name}: {good} of {rows.rows} rows are good")
        print_problems(rows.problems, to)
        if receipt is not None:
            to.print(
                f"version {receipt.manifest.version} is stored: {good} entries as"
                f" points, root {receipt.manifest.entries.hex()}"
            )
            to.print(f"receipt in {receipt.path}")

    show(document, as_json=as_json, text=text)


def approve(
    name: Annotated[str, typer.Argument(help="Id of the contract.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Compile a contract here and sign the hash of its integers.

    Example: safehouse approve german-card --config housing-loans/safehouse.toml
    """
    settings, held, trust = load(config, CustodianKeys, Role.CUSTODIAN)
    with Author(settings, held, trust) as registry:
        compiled, _, _ = registry.find(name)
    with Custodian(settings, held, trust) as custodian:
        approved = custodian.approve(compiled.hash)
    document = {
        "contract": compiled.hash.hex(),
        "missing_approvals": list(approved.missing),
    }

    def text(to: Console) -> None:
        to.print(f"approved {name}, hash {compiled.hash.hex()}")
        to.print(f"approvals missing: {', '.join(approved.missing) or 'none'}")

    show(document, as_json=as_json, text=text)


def open_cells(
    dataset: Annotated[Path, typer.Argument(help="The dataset's YAML file.")],
    table_file: Annotated[Path, typer.Argument(help="The very table that was pushed.")],
    question: Annotated[Path, typer.Argument(help="What the auditor asks.")],
    out: Annotated[Path, typer.Option(help="Where to write the sealed answer.")],
    column: IdColumn = "subject_id",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Open the ciphertexts an auditor asks for, sealed to it.

    An opening shows the values of a column in one block of subjects, without names; an
    auditor may know whose some of its slots are. The question is what `safehouse audit
    cells` wrote; cells that its seed does not draw are refused.

    Example: safehouse open tax.yaml tax.csv asked.json --out opened.json
    """
    described = Dataset.from_yaml(dataset.read_bytes(), str(dataset))

    def tell(cells: Cells) -> None:
        if not as_json:
            print_cells(described, cells, console())

    with open_custodian(config) as custodian:
        cells, answer = custodian.open_cells(
            described, table_file, question.read_bytes(), tell, column=column
        )
    durable.replace(out, answer)
    document = {
        "dataset": cells.dataset,
        "version": cells.version,
        "to": cells.auditor,
        "seed": cells.seed,
        "cells": [
            {"block": block, "column": described.encrypted[column].name}
            for block, column in cells.cells
        ],
        "opened": len(cells.cells),
        "written": str(out),
    }
    show(
        document,
        as_json=as_json,
        text=lambda to: to.print(
            f"{len(cells.cells)} ciphertexts of {cells.dataset} version"
            f" {cells.version} opened to {cells.auditor}: {out}"
        ),
    )


def open_custodian(path: Path) -> Custodian:
    """Open a custodian's client."""
    settings, held, trust = load(path, CustodianKeys, Role.CUSTODIAN)
    return Custodian(settings, held, trust)


def print_cells(dataset: Dataset, cells: Cells, to: Console) -> None:
    """Say what is about to be opened, column by column."""
    to.print(
        f"to {cells.auditor}, of {cells.dataset} version {cells.version}, as drawn by"
        f" `{cells.seed}`:"
    )
    drawn: dict[int, list[str]] = {}
    for block, column in cells.cells:
        drawn.setdefault(column, []).append(str(block))
    for column, blocks in sorted(drawn.items()):
        to.print(f"  {dataset.encrypted[column].name}, block {', '.join(blocks)}")


def print_problems(problems: tuple[Problem, ...], to: Console) -> None:
    """Show what is wrong with rows; values stay on this machine, so they may show."""
    if not problems:
        return
    rows = (
        (str(p.row), p.column, p.message, p.value or "")
        for p in problems[:PROBLEMS_SHOWN]
    )
    to.print(table(("row", "column", "problem", "value"), rows))
    if len(problems) > PROBLEMS_SHOWN:
        to.print(f"... and {len(problems) - PROBLEMS_SHOWN} more")
