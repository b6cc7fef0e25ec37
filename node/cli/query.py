"""A bank's desk for statistics: query."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated

import typer
from rich.console import Console

from contracts.aggregate_compiled import epsilon
from contracts.aggregate_figures import Figure
from node.aggregate_client import AggregateClient, Statistic
from node.cli.shell import DEFAULT_CONFIG, AsJson, ConfigPath, load, show, table
from node.domain import Role
from node.errors import ConfigInvalid
from node.keys import BankKeys
from node.progress import shown

WHOLE = 20  # from here on nobody reads the decimals


def add_to(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    app.command()(query)


def query(
    contract: Annotated[str, typer.Argument(help="Id of the contract.")],
    where: Annotated[
        list[str] | None,
        typer.Option(help="Narrow it: `town=安居镇`; repeated for more classes."),
    ] = None,
    purpose: Annotated[
        str, typer.Option(help="The purpose; the contract's by default.")
    ] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Ask for a statistic: counts, sums, means by town, trade, type.

    Every figure has noise of house and authority in it, and is within its margin 95
    times in 100. Groups under the contract's floor are not counted. The same question
    in the same quarter has the same answer, and spends nothing.

    Example: safehouse query tax-by-town --where industry=制造业
    """
    settings, held, trust = load(config, BankKeys, Role.BANK)
    with (
        AggregateClient(settings, held, trust) as client,
        shown("ciphertexts", quiet=as_json) as tell,
    ):
        told = client.ask(
            contract, read_where(where or []), purpose=purpose, progress=tell
        )
        left = told.left
        if left is None:
            left = client.budget(told.contract.dataset.id).left
    show(document(told, left), as_json=as_json, text=lambda to: print_(told, left, to))


def read_where(words: list[str]) -> dict[str, list[str]]:
    """Read `attribute=class`, each once or more."""
    found: dict[str, list[str]] = {}
    for word in words:
        name, sign, label = word.partition("=")
        if not sign or not name or not label:
            raise ConfigInvalid(
                f"`--where {word}`: expected `attribute=class`",
                "such as `--where town=安居镇`",
            )
        found.setdefault(name, []).append(label)
    return found


def document(told: Statistic, left: int) -> dict[str, object]:
    """Write a statistic for machines."""
    return {
        "contract": told.contract.hash.hex(),
        "id": told.contract.id,
        "version": told.contract.version,
        "dataset": told.contract.dataset.id,
        "dataset_version": told.dataset_version,
        "quarter": told.quarter,
        "by": list(told.contract.by),
        "groups": [
            {
                "labels": list(group.labels),
                "subjects": group.subjects,
                "figures": [_figure(figure) for figure in group.figures],
            }
            for group in told.groups
        ],
        "suppressed": [
            {"labels": list(group.labels), "subjects": group.subjects}
            for group in told.suppressed
        ],
        "milliepsilon": 0 if told.repeated else told.contract.milliepsilon,
        "left_milliepsilon": left,
        "call": told.request.hex(),
        "repeated": told.repeated,
    }


def print_(told: Statistic, left: int, to: Console) -> None:
    """Write a statistic for people."""
    columns = list(zip(*(group.figures for group in told.groups), strict=True))
    headers = [*told.contract.by, "subjects", *map(_header, columns)]
    rows = [
        [
            *group.labels,
            str(group.subjects),
            *(
                _cell(figure, within=len({f.margin for f in column}) > 1)
                for figure, column in zip(group.figures, columns, strict=True)
            ),
        ]
        for group in told.groups
    ]
    to.print(table(headers, rows))
    for group in told.suppressed:
        name = ", ".join(group.labels) or "all"
        to.print(
            f"{name}: {group.subjects} subjects, under the floor of"
            f" {told.contract.floor}: not counted"
        )
    spent = "0" if told.repeated else epsilon(told.contract.milliepsilon)
    to.print(
        f"{told.contract.dataset.id} version {told.dataset_version}, {told.quarter};"
        f" epsilon {spent} spent, {epsilon(left)} left"
    )
    again = ", an earlier answer released again" if told.repeated else ""
    to.print(f"call {told.request.hex()}{again}")


def _header(column: Sequence[Figure]) -> str:
    """Name a column, with its margin where all figures have the same one."""
    first = column[0]
    words = [first.number, first.label]
    if first.margin is not None and len({f.margin for f in column}) == 1:
        words.append(f"±{_short(first.margin)}")
    return " ".join(filter(None, words))


def _cell(figure: Figure, *, within: bool) -> str:
    if figure.value is None:
        return "-"
    margin = f" ±{_short(figure.margin)}" if within and figure.margin else ""
    return f"{_short(figure.value)}{margin}"


def _short(number: Fraction | float) -> str:
    """Write a figure with as many decimals as its size deserves."""
    value = float(number)
    if abs(value) >= WHOLE or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 1 else f"{value:.3f}"


def _figure(figure: Figure) -> dict[str, object]:
    return {
        "number": figure.number,
        "class": figure.label,
        "value": None if figure.value is None else float(figure.value),
        "margin": figure.margin,
    }
