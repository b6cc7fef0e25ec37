"""A bank's features, however it holds them, as the cells that a model reads.

A mapping by the bank's own names (a dictionary, a `pandas.Series`), or one row in the
order of the model's columns (a tuple, a `numpy` array).  What is not text becomes the
exact decimal that it prints as; None, NaN and `pandas.NA` are missing.  So no float
reaches the model's arithmetic, which is in whole numbers.

>>> cell(3913), cell(3913.0), cell(-0.25), cell(1e-3), cell(float("nan")), cell("县")
('3913', '3913', '-0.25', '0.001', None, '县')
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, Protocol, TypeAlias, cast

import numpy as np

from contracts.bank_model import BankModel
from contracts.errors import DocumentInvalid
from contracts.source import write_decimal

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
