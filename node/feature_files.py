"""A subject's features, from where a clerk has them.

A JSON object, in the command line or in a file, or the subject's row in a table.  The
object is written for this question, so it names features of the model only; a table
may have more columns, and names the subject in `subject_id`.

>>> from contracts.bank_model import BankModel
>>> model = BankModel.from_yaml('''
... apiVersion: safehouse/v1
... kind: BankModel
... metadata: {name: m, version: 1}
... spec:
...   contract: joint
...   columns: [{name: late, from: PAY_0, integer: {min: -2, max: 8}}]
...   points: [{column: late, per_unit: 0.25}]
... ''', "m.yaml")
>>> read('{"PAY_0": 4}', model, "dc-00001", SubjectType.OPAQUE)
{'PAY_0': 4}
"""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from contracts.bank_model import BankModel
from contracts.errors import DocumentInvalid, SubjectInvalid
from contracts.source import shown, suggest
from contracts.subject import SubjectType, canonical_id
from node.features import Features
from node.filling import SUBJECT_COLUMN
from node.tables import Table

EXAMPLE: Final = 'such as {"income": 3913, "branch": "city"}'


def read(given: str, model: BankModel, subject: str, kind: SubjectType) -> Features:
    """Read a subject's features: `{...}`, a `.json` file, or a table with its row.

    Raises `DocumentInvalid`, `TableInvalid`, `SubjectInvalid`, `OSError`.
    """
    names = list(dict.fromkeys(column.source for column in model.columns))
    path = Path(given)
    if given.lstrip().startswith("{"):
        return _object(given.encode(errors="surrogateescape"), "--features", names)
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
