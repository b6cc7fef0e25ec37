"""The public list's 37 items as dataset templates, as they lie in the package.

`contracts/catalogue/NN-name.yaml` is the item of number NN; its README says where the
list comes from.  A template is a `Dataset` like any other, read anew by whoever takes
it: a custodian copies it, and puts in its own id, unit, columns of its table, classes.

>>> first = templates()[0]
>>> first.number, first.dataset.name, first.dataset.category
(1, 'registration', '市场主体注册登记')
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from contracts.dataset import Dataset
from contracts.source import shown, suggest
from node import documents
from node.errors import NotFound

FOLDER: Final = "catalogue"
SUFFIX: Final = ".yaml"


@dataclass(frozen=True, slots=True)
class Template:
    """One item of the list."""

    number: int  # in the list, from 1
    text: str  # YAML, for people
    dataset: Dataset


def templates() -> tuple[Template, ...]:
    """Read all of them, in the order of the list."""
    found = (files("contracts") / FOLDER).iterdir()
    documents = sorted((item.name, item) for item in found if item.name[:1].isdigit())
    return tuple(
        _read(name, item.read_text("utf-8"))
        for name, item in documents
        if name.endswith(SUFFIX)
    )


def template(name: str) -> Template:
    """Find one by the name of its dataset; raises `NotFound`."""
    known = {item.dataset.name: item for item in templates()}
    if name not in known:
        raise NotFound(
            f"the list has no item `{shown(name)}`",
            suggest(name, [*known]) or "`safehouse catalogue list`",
        )
    return known[name]


def copy(folder: Path, names: Sequence[str] = ()) -> list[Path]:
    """Write templates, all unless some are named, as `name.yaml` into a folder.

    Raises `NotFound`, and `DocumentConflict` for a file that somebody has filled in.
    Then nothing is written.
    """
    chosen = [template(name) for name in names] or templates()
    copies = {
        folder / f"{item.dataset.name}{SUFFIX}": item.text.encode() for item in chosen
    }
    documents.create(copies)
    return list(copies)


def _read(name: str, text: str) -> Template:
    return Template(int(name.partition("-")[0]), text, Dataset.from_yaml(text, name))
