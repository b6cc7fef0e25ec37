"""Schemas for editors: they take what `check` takes, and underline what it refuses."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from contracts import kinds
from contracts.attributes import PublicAttributes
from contracts.bank_model import BankModel
from contracts.dataset import Dataset
from contracts.errors import ContractError
from contracts.schema import SCHEMAS

ROOT = Path(__file__).parents[1]
COPIES = ROOT / "contracts/schemas"
DOCUMENTS = sorted(
    path
    for path in (ROOT / "examples").rglob("*.yaml")
    if re.search(r"^apiVersion: safehouse", path.read_text("utf-8"), re.MULTILINE)
)


def name(path: Path) -> str:
    """Name a document in the checkout."""
    return str(path.relative_to(ROOT))


def file_of(kind: str) -> Path:
    """Name the copy of a schema."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind).lower()
    return COPIES / f"{words}.json"


def read(text: str, kind: str) -> object:
    """Read a document as `check` does."""
    if kind == "Dataset":
        return Dataset.from_yaml(text, "x.yaml")
    if kind == "PublicAttributes":
        return PublicAttributes.from_yaml(text, "x.yaml")
    if kind == "BankModel":
        return BankModel.from_yaml(text, "x.yaml")
    return kinds.read(text, "x.yaml")


def is_taken(document: Any) -> bool:  # noqa: ANN401  any YAML
    """Ask the schema."""
    schema = SCHEMAS[document["kind"]]()
    return bool(Draft202012Validator(schema).is_valid(document))


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_schema_is_one(kind: str) -> None:
    """By its own standard; and the copy in the checkout is what is printed."""
    schema = SCHEMAS[kind]()
    Draft202012Validator.check_schema(schema)
    written = json.dumps(schema, ensure_ascii=False, indent=2) + "\n"
    assert file_of(kind).read_text("utf-8") == written


@pytest.mark.parametrize(
    "path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_example_is_taken(path: Path) -> None:
    """Whatever runs, an editor does not underline."""
    document = yaml.safe_load(path.read_text("utf-8"))
    schema = SCHEMAS[document["kind"]]()
    problems = list(Draft202012Validator(schema).iter_errors(document))
    assert [problem.message for problem in problems] == []


def places(value: Any, *way: str | int) -> Iterator[tuple[str | int, ...]]:  # noqa: ANN401
    """List the ways to all objects of a document."""
    if isinstance(value, dict):
        yield way
        for key, item in value.items():
            yield from places(item, *way, key)
    if isinstance(value, list):
        for number, item in enumerate(value[:2]):
            yield from places(item, *way, number)


def at(document: Any, way: tuple[str | int, ...]) -> Any:  # noqa: ANN401
    """Follow a way."""
    for step in way:
        document = document[step]
    return document


def edits(document: Any) -> Iterator[Any]:  # noqa: ANN401
    """Spoil a document: a key too many, one too few, a list where none is."""
    for way in places(document):
        for crime in ("more", "fewer", "list"):
            spoilt = copy.deepcopy(document)
            found = at(spoilt, way)
            if crime == "more":
                found["zzz"] = "x"
            elif not found:
                continue
            elif crime == "fewer":
                del found[next(iter(found))]
            else:
                found[next(iter(found))] = [[]]
            yield spoilt


@pytest.mark.parametrize(
    "path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)
def test_what_a_schema_refuses_check_refuses(path: Path) -> None:
    """No editor underlines a document that is right."""
    document = yaml.safe_load(path.read_text("utf-8"))
    kind, refused = document["kind"], 0
    if kind not in SCHEMAS:
        return
    for spoilt in edits(document):
        if spoilt.get("kind") == kind and not is_taken(spoilt):
            refused += 1
            text = yaml.safe_dump(spoilt, allow_unicode=True, sort_keys=False)
            with pytest.raises(ContractError):
                read(text, kind)
    assert refused > 5
