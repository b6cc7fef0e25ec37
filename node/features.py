"""A bank's features, however it holds them, as the cells that a model reads.

A mapping by the bank's own names (a dictionary, a `pandas.Series`), or one row in the
order of the model's columns (a tuple, a `numpy` array).  What is not text becomes the
exact decimal that it prints as; None, NaN and `pandas.NA` are missing.  So no float
reaches the model's arithmetic, which is in whole numbers.

`read` takes them from where a clerk has them: a JSON object, in the command line or in
a file, or the subject's row in a table.

>>> cell(3913), cell(3913.0), cell(-0.25), cell(1e-3), cell(float("nan")), cell("县")
('3913', '3913', '-0.25', '0.001', None, '县')
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias, cast

import numpy as np

from contracts.bank_model import BankModel
from contracts.errors import DocumentInvalid, SubjectInvalid
from contracts.source import shown, suggest, write_decimal
from contracts.subject import SubjectType, canonical_id
from node.filling import SUBJECT_COLUMN
from node.tables import Table

EXAMPLE: Final = 'such as {"income": 3913, "branch": "city"}'

Features: TypeAlias = Mapping[str, Any] | Sequence[Any] | np.ndarray[Any, Any]


class Records(Protocol):
    """A table as `pandas` has them; it is not imported for that."""

    def to_dict(self, orient: Literal["records"]) -> list[dict[Any, Any]]:
        """Return the rows by their columns' names."""


def cells(model: BankModel, features: Features) -> Mapping[str, str | None]:
    """Return the text of every feature of a model, by the bank's name for it.

    Raises `DocumentInvalid` for one that is not there.
    """
    names = [column.source for column in model.columns]
    if hasattr(features, "keys"):
        known = cast("Mapping[str, Any]", features)
        # What is not there is the model's to refuse: it suggests one of the others.
        return {
            str(name): cell(known[name]) if name in names else None
            for name in list(known.keys())
        }
    row = list(cast("Iterable[Any]", features))
    if len(row) != len(names):
        raise DocumentInvalid(
            f"model `{model.name}`: expected {len(names)} features, got {len(row)}",
            f"in this order: {', '.join(names)}",
        )
    return dict(zip(names, map(cell, row), strict=True))


def cell(value: object) -> str | None:
    """Write one value as the text of a cell; None where it is missing."""
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, float | np.floating):
        # The shortest decimal that reads as this number: what a file would hold.
        value = Decimal(str(value))
    if isinstance(value, Decimal):
        if value.is_nan():
            return None
        return write_decimal(value) if value.is_finite() else str(value)
    return str(value)


def read(given: str, model: BankModel, subject: str, kind: SubjectType) -> Features:
    """Read a subject's features: `{...}`, a `.json` file, or a table with its row.

    An object is written for this question, so it names features of the model only; a
    table may have more columns, and names the subject in `subject_id`.

    Raises `DocumentInvalid`, `TableInvalid`, `SubjectInvalid`, `OSError`.
    """
    names = list(dict.fromkeys(column.source for column in model.columns))
    path = Path(given)
    if given.lstrip().startswith("{"):
        return _object(given.encode(), "--features", names)
    if path.suffix == ".json":
        return _object(path.read_bytes(), path.name, names)
    wanted, found = canonical_id(kind, subject), []
    with Table.open(path) as table:
        for batch in table.read([SUBJECT_COLUMN, *names]):
            ids, *columns = batch.cells
            found += [
                tuple(column[place] for column in columns)
                for place, text in enumerate(ids)
                if _canonical(kind, text) == wanted
            ]
    if len(found) != 1:
        count = f"{len(found)} rows" if found else "no row"
        raise DocumentInvalid(
            f"`{path.name}`: {count} of subject `{shown(subject)}`, expected one"
        )
    return dict(zip(names, found[0], strict=True))


def _canonical(kind: SubjectType, text: str | None) -> str:
    try:
        return canonical_id(kind, text or "")
    except SubjectInvalid:
        return ""  # somebody else's row, and nobody's question


def _object(data: bytes, where: str, names: Sequence[str]) -> Mapping[str, Any]:
    pairs = _pairs(data, where)
    given = dict(pairs)
    for name, value in pairs:
        if name not in names:
            raise DocumentInvalid(
                f"`{where}`: the model has no feature `{shown(name)}`",
                suggest(name, names),
            )
        if isinstance(value, list):
            raise DocumentInvalid(f"`{where}`: `{name}` is no single value")
    if len(given) != len(pairs):
        raise DocumentInvalid(f"`{where}`: a feature is there twice")
    return given


def _pairs(data: bytes, where: str) -> list[tuple[str, Any]]:
    """Read the members of an object; what stands within them is a list."""
    try:
        found = json.loads(
            data,
            parse_float=Decimal,
            parse_constant=_refused,
            object_pairs_hook=_Members,
        )
    except (ValueError, RecursionError):
        raise DocumentInvalid(f"`{where}`: not JSON", EXAMPLE) from None
    if not isinstance(found, _Members):
        raise DocumentInvalid(f"`{where}`: expected an object of features", EXAMPLE)
    return found


class _Members(list[tuple[str, Any]]):
    """The members of an object, with those that are there twice."""


def _refused(word: str) -> None:
    raise ValueError(word)  # `NaN` is no JSON
