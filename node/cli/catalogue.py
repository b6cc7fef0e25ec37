"""Templates of what departments share: catalogue list, show, copy."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from node.cli.shell import AsJson, show, table
from node.templates import Template, copy, template, templates

app = typer.Typer(
    help="Dataset templates of the 14 categories and 37 items 信用信息共享清单.",
    no_args_is_help=True,
)


def add_to(tree: typer.Typer) -> None:
    """Add these commands to the tree."""
    tree.add_typer(app, name="catalogue")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the 37 items: category, name, tier, cycle.

    Example: safehouse catalogue list
    """
    listed = templates()

    def text(to: Console) -> None:
        rows = (
            (
                str(item.number),
                item.dataset.category,
                item.dataset.name,
                item.dataset.title,
                item.dataset.tier.value,
                item.dataset.cycle.value,
            )
            for item in listed
        )
        headers = ("", "category", "dataset", "title", "tier", "cycle")
        to.print(table(headers, rows))

    show({"items": [_document(item) for item in listed]}, as_json=as_json, text=text)


@app.command("show")
def show_(
    name: Annotated[str, typer.Argument(help="Name of the item's dataset.")],
    as_json: AsJson = False,
) -> None:
    """Print one item's template.

    Example: safehouse catalogue show tax-rating
    """
    item = template(name)
    show(
        _document(item) | {"template": item.text},
        as_json=as_json,
        text=lambda to: to.out(item.text, end="", highlight=False),
    )


@app.command("copy")
def copy_(
    folder: Annotated[Path, typer.Argument(help="Where the files go.")],
    names: Annotated[
        list[str] | None, typer.Argument(help="Datasets; all 37 unless named.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy templates into a folder, for a custodian to fill in.

    Put in who you are (`custodian`, `unit`), what your table calls its columns
    (`from`) and which classes you tell apart; leave out what you do not have. No file
    is overwritten.

    Example: safehouse catalogue copy datasets tax-rating tax-paid
    """
    written = copy(folder, names or [])
    show(
        {"files": [str(path) for path in written]},
        as_json=as_json,
        text=lambda to: to.print(f"{len(written)} templates in {folder}"),
    )


def _document(item: Template) -> dict[str, object]:
    dataset = item.dataset
    return {
        "number": item.number,
        "category": dataset.category,
        "dataset": dataset.name,
        "title": dataset.title,
        "custodian": dataset.custodian,
        "tier": dataset.tier.value,
        "cycle": dataset.cycle.value,
        "columns": [column.name for column in dataset.columns],
    }
