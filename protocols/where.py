"""Whom a question is narrowed to, in words of public attributes.

A filter takes who has one of some classes in each attribute that it names.  It has one
spelling: attributes and classes ascend, each once, so that a question that was asked
before is known again.

>>> where = canonical({"town": ["安居镇", "唐口街道", "安居镇"]})
>>> where
(('town', ('唐口街道', '安居镇')),)
>>> read(Reader({"where": to_json(where)})) == where
True
>>> read(Reader({"where": [["town", ["安居镇", "唐口街道"]]]}))
Traceback (most recent call last):
    ...
protocols.errors.FormatError: member `where`: expected ascending words, each once
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from protocols.canon import Json, Reader
from protocols.errors import FormatError

# Attributes, ascending, and of each the classes that are taken, ascending.
Where: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]


def canonical(where: Mapping[str, Iterable[str]]) -> Where:
    """Spell a filter the one way it may be spelt; raises `TypeError` for bare text."""
    for name, labels in where.items():
        if isinstance(labels, str):
            raise TypeError(f"`{name}`: expected several classes, got one text")
    return tuple((name, tuple(sorted(set(where[name])))) for name in sorted(where))


def to_json(where: Where) -> Json:
    """Write a filter for a document."""
    return [[name, list(labels)] for name, labels in where]


def read(reader: Reader) -> Where:
    """Read the member `where` strictly; raises `FormatError`."""
    where = tuple(_condition(item) for item in reader.items("where"))
    if canonical(dict(where)) != where:
        raise FormatError("member `where`: expected ascending words, each once")
    return where


def _condition(item: Json) -> tuple[str, tuple[str, ...]]:
    match item:
        case [str(name), [_, *_] as labels] if texts(labels):
            return name, tuple(map(str, labels))
        case _:
            raise FormatError("member `where`: expected attributes and their classes")


def texts(items: Iterable[Json]) -> bool:
    """Tell whether all items are text."""
    return all(isinstance(item, str) for item in items)
