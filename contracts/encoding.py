r"""How one cell of a custodian's table becomes integers, before encryption.

The house only ever adds, so everything else happens here, at the custodian:
binning, capping, deriving flags, deciding what is missing.  A column has exactly
one encoding::

    integer: {min: 0, max: 9, scale: 10}   one column of (value - min) x scale
    flag: {}                               0 or 1; the texts `0` and `1`
    flag: {one: [有], zero: [无]}           0 or 1; other texts are refused
    flag: {equals: [unemployed]}           1 for these texts, 0 for all others
    flag: {at_least: 3}                    1 for numbers from 3 on, else 0
    category: [rent, own]                  one-hot, a column for each class
    bins: [26, 35, 40]                     one-hot; k edges make k + 1 classes

Classes of bins are named `[-inf,26)`, `[26,35)`, `[35,40)`, `[40,inf)`: closed on
the left, so an edge belongs to the class that begins there.  Numbers are exact
decimals, and `-0.0` is 0.  `integer` may have `cap: true`: a number outside counts
as the nearest end instead of being refused.

Missing values are data, never a silent 0::

    missing: reject                            the row is refused (the default)
    missing: {default: own}                    counts as this class, number or flag
    missing: {class: unknown}                  a class of its own, the last
    missing: {default: own, texts: ["", NA]}   which texts are missing; default [""]

>>> missing = Missing("class", "unknown")
>>> age = Column("age", "age", Bins((Decimal(26), Decimal(35))), missing)
>>> [column.name for column in age.encrypted]
['age=[-inf,26)', 'age=[26,35)', 'age=[35,inf)', 'age=unknown']
>>> age.encode("26"), age.encode("25.999"), age.encode("")
((0, 1, 0, 0), (1, 0, 0, 0), (0, 0, 0, 1))
>>> age.encode("old")
Traceback (most recent call last):
    ...
contracts.errors.ValueInvalid: column `age`: expected a decimal number
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from typing import Final, Literal, TypeAlias

from contracts.errors import ValueInvalid
from contracts.source import Node, shown, suggest, write_decimal
from protocols.canon import Json

MAX_CLASSES = 200  # of one column
MAX_LIMIT = 1 << 37  # of an integer column: what one comparison reaches (PROTOCOL 8)
MAX_SCALE = 1_000_000

# A cell of a table that holds a number: sign, digits, decimals; ASCII only.
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,9})?")


class Fate(StrEnum):
    """How a cell came to its value."""

    VALUE = "value"
    MISSING = "missing"  # and a class of its own, or refused
    DEFAULT = "default"  # missing, and counts as a value
    CAPPED = "capped"  # beyond an end, and counts as that


class Kind(StrEnum):
    """What an encrypted column holds."""

    INTEGER = "integer"  # 0 to limit
    FLAG = "flag"  # 0 or 1
    CLASS = "class"  # 0 or 1, exactly one of its group is 1
    PRESENT = "present"  # 1 where the custodian has the subject


@dataclass(frozen=True, slots=True)
class EncryptedColumn:
    """One ciphertext a block; values are 0 to `limit`."""

    name: str
    kind: Kind
    group: str  # the column of the document it comes from; empty for `_present`
    limit: int


@dataclass(frozen=True, slots=True)
class Integer:
    """A number of `min` to `max` in steps of 1 / scale, stored as 0 to limit."""

    least: Decimal
    most: Decimal
    scale: int
    cap: bool = False  # a number outside counts as the nearest end

    labels: tuple[str, ...] = field(default=(), init=False)

    @property
    def limit(self) -> int:
        """The largest stored value."""
        return self._stored(Fraction(self.most)) or 0

    @property
    def expected(self) -> str:
        """What a cell must hold."""
        step = "a whole number" if self.scale == 1 else f"a multiple of 1/{self.scale}"
        least, most = write_decimal(self.least), write_decimal(self.most)
        return step if self.cap else f"{step} from {least} to {most}"

    def read(self, text: str) -> int | None:
        """Return the stored value, or None for what is not expected."""
        number = _number(text)
        if number is None:
            return None
        if self.cap:
            number = min(max(number, self.least), self.most)
        if not self.least <= number <= self.most:
            return None
        return self._stored(Fraction(number))

    def caps(self, text: str) -> bool:
        """Say whether it is a number outside that counts as an end."""
        number = _number(text) if self.cap else None
        return number is not None and not self.least <= number <= self.most

    def _stored(self, number: Fraction) -> int | None:
        scaled = (number - Fraction(self.least)) * self.scale
        return scaled.numerator if scaled.denominator == 1 else None

    def to_json(self) -> tuple[str, Json]:
        """Write the member of the canonical schema."""
        return "integer", {
            "min": write_decimal(self.least),
            "max": write_decimal(self.most),
            "scale": self.scale,
            "cap": self.cap,
        }


@dataclass(frozen=True, slots=True)
class Flag:
    """1 for the texts of `one`, 0 for those of `zero`."""

    one: tuple[str, ...] = ("1",)
    zero: tuple[str, ...] = ("0",)

    expected: str = field(default="a declared text of the flag", init=False)
    labels: tuple[str, ...] = field(default=(), init=False)

    def read(self, text: str) -> int | None:
        """Return 1 or 0, or None for what is not expected."""
        if text in self.one:
            return 1
        return 0 if text in self.zero else None

    def to_json(self) -> tuple[str, Json]:
        """Write the member of the canonical schema."""
        return "flag", {"one": self.one, "zero": self.zero}


@dataclass(frozen=True, slots=True)
class FlagEquals:
    """1 for these texts, 0 for every other text that is not missing."""

    equals: tuple[str, ...]

    expected: str = field(default="a text", init=False)
    labels: tuple[str, ...] = field(default=(), init=False)

    def read(self, text: str) -> int | None:
        """Return 1 or 0."""
        return int(text in self.equals)

    def to_json(self) -> tuple[str, Json]:
        """Write the member of the canonical schema."""
        return "flag", {"equals": self.equals}


@dataclass(frozen=True, slots=True)
class FlagAtLeast:
    """1 for numbers from `at_least` on, 0 for smaller ones."""

    at_least: Decimal

    expected: str = field(default="a decimal number", init=False)
    labels: tuple[str, ...] = field(default=(), init=False)

    def read(self, text: str) -> int | None:
        """Return 1 or 0, or None for what is not expected."""
        number = _number(text)
        return None if number is None else int(number >= self.at_least)

    def to_json(self) -> tuple[str, Json]:
        """Write the member of the canonical schema."""
        return "flag", {"at_least": write_decimal(self.at_least)}


@dataclass(frozen=True, slots=True)
class Category:
    """One class for each of these texts."""

    labels: tuple[str, ...]

    @property
    def expected(self) -> str:
        """What a cell must hold."""
        return f"one of the {len(self.labels)} declared classes"

    def read(self, text: str) -> int | None:
        """Return the number of the class, or None for what is not expected."""
        return self.labels.index(text) if text in self.labels else None

    def to_json(self) -> tuple[str, Json]:
        """Write the member of the canonical schema."""
        return "category", self.labels


@dataclass(frozen=True, slots=True)
class Bins:
    """Intervals of a number, closed on the left; the ends are infinite."""

    edges: tuple[Decimal, ...]

    expected: str = field(default="a decimal number", init=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the names of the k + 1 classes."""
        ends = ["-inf", *(write_decimal(edge) for edge in self.edges), "inf"]
        return tuple(f"[{a},{b})" for a, b in pairwise(ends))

    def read(self, text: str) -> int | None:
        """Return the number of the class, or None for what is not expected."""
        number = _number(text)
        return None if number is None else bisect_right(self.edges, number)

    def to_json(self) -> tuple[str, Json]:
        """Write the member of the canonical schema."""
        return "bins", tuple(write_decimal(edge) for edge in self.edges)


Encoding: TypeAlias = Integer | Flag | FlagEquals | FlagAtLeast | Category | Bins


def _number(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) else None


@dataclass(frozen=True, slots=True)
class Missing:
    """What a missing value counts as, and which texts are one."""

    rule: Literal["reject", "default", "class"] = "reject"
    label: str = ""
    texts: tuple[str, ...] = ("",)

    def to_json(self) -> Json:
        """Write the member of the canonical schema."""
        if self.rule == "reject":
            return "reject"
        return {self.rule: self.label, "texts": self.texts}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the document."""

    name: str
    source: str  # its name in the custodian's table
    encoding: Encoding
    missing: Missing = Missing()
    title: str = field(default="", compare=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes; empty for an integer or a flag."""
        labels = self.encoding.labels
        return (*labels, self.missing.label) if self.missing.rule == "class" else labels

    @property
    def encrypted(self) -> tuple[EncryptedColumn, ...]:
        """The encrypted columns this one becomes."""
        match self.encoding:
            case Integer(limit=limit):
                return (EncryptedColumn(self.name, Kind.INTEGER, self.name, limit),)
            case Category() | Bins():
                return tuple(
                    EncryptedColumn(f"{self.name}={label}", Kind.CLASS, self.name, 1)
                    for label in self.labels
                )
            case _:
                return (EncryptedColumn(self.name, Kind.FLAG, self.name, 1),)

    def encode(self, text: str | None) -> tuple[int, ...]:
        """Encode one cell: one value for each encrypted column.

        None, a cell without a value, is missing.  Raises `ValueInvalid`.
        """
        if text is None or text in self.missing.texts:
            number = self._missing_number()
        else:
            number = self.encoding.read(text)
        if number is None:
            raise ValueInvalid(self.name, self.encoding.expected, text)
        if not self.labels:
            return (number,)
        return tuple(int(i == number) for i in range(len(self.labels)))

    def fate(self, text: str | None) -> Fate:
        """Say how a cell comes to its value."""
        if text is None or text in self.missing.texts:
            return Fate.DEFAULT if self.missing.rule == "default" else Fate.MISSING
        if isinstance(self.encoding, Integer) and self.encoding.caps(text):
            return Fate.CAPPED
        return Fate.VALUE

    def _missing_number(self) -> int | None:
        match self.missing.rule:
            case "class":
                return len(self.labels) - 1
            case "default":
                return read_label(self.encoding, self.missing.label)
            case _:
                return None

    def to_json(self) -> dict[str, Json]:
        """Write the item of the canonical schema."""
        encoding, value = self.encoding.to_json()
        return {
            "name": self.name,
            "from": self.source,
            encoding: value,
            "missing": self.missing.to_json(),
        }


def read_label(encoding: Encoding, label: str) -> int | None:
    """Return what a class, a number or a flag (`0`, `1`) of a document stands for."""
    if encoding.labels:
        return encoding.labels.index(label) if label in encoding.labels else None
    if isinstance(encoding, Integer):
        return encoding.read(label)
    return int(label) if label in ("0", "1") else None


# -- reading the document --------------------------------------------------------


def read_column(node: Node) -> Column:
    """Read one item of `columns`; raises `SourceError`."""
    members = node.members(("name",), ("from", "title", "missing", *_ENCODINGS))
    name = members["name"].column()
    encodings = [member for member in _ENCODINGS if member in members]
    if len(encodings) != 1:
        raise node.error(
            f"column `{name}`: expected one encoding, got {len(encodings)}",
            suggest("", tuple(_ENCODINGS)),
        )
    encoding = _ENCODINGS[encodings[0]](members[encodings[0]])
    return Column(
        name,
        members["from"].text() if "from" in members else name,
        encoding,
        _missing(members["missing"], encoding) if "missing" in members else Missing(),
        members["title"].text() if "title" in members else "",
    )


def _integer(node: Node) -> Integer:
    members = node.members(("min", "max"), ("scale", "cap"))
    encoding = Integer(
        members["min"].decimal(),
        members["max"].decimal(),
        members["scale"].integer(1, MAX_SCALE) if "scale" in members else 1,
        members["cap"].flag() if "cap" in members else False,
    )
    for name in ("min", "max"):
        if (Fraction(members[name].decimal()) * encoding.scale).denominator != 1:
            raise members[name].error(
                f"`{name}` is not a multiple of 1/{encoding.scale}",
                "give a scale that makes it a whole number",
            )
    if not 1 <= encoding.limit <= MAX_LIMIT:
        raise node.error(
            f"expected (max - min) x scale of 1 to {MAX_LIMIT}, got {encoding.limit}"
        )
    return encoding


def _flag(node: Node) -> Flag | FlagEquals | FlagAtLeast:
    if node.has("equals"):
        return FlagEquals(_texts(node.members(("equals",))["equals"]))
    if node.has("at_least"):
        return FlagAtLeast(node.members(("at_least",))["at_least"].decimal())
    members = node.members((), ("one", "zero"))
    if not members:
        return Flag()
    members = node.members(("one", "zero"))
    encoding = Flag(_texts(members["one"]), _texts(members["zero"]))
    if both := set(encoding.one) & set(encoding.zero):
        raise node.error(f"`{shown(min(both))}` is both one and zero")
    return encoding


def _category(node: Node) -> Category:
    return Category(_texts(node, least=2))


def _bins(node: Node) -> Bins:
    edges: list[Decimal] = []
    for item in node.items(1, MAX_CLASSES):
        edge = item.decimal()
        if edges and edge <= edges[-1]:
            raise item.error(
                f"edges must ascend, got {write_decimal(edge)}"
                f" after {write_decimal(edges[-1])}"
            )
        edges.append(edge)
    return Bins(tuple(edges))


_ENCODINGS: Final = {
    "integer": _integer,
    "flag": _flag,
    "category": _category,
    "bins": _bins,
}


def _texts(node: Node, least: int = 1, *, cells: bool = False) -> tuple[str, ...]:
    texts: list[str] = []
    for item in node.items(least, MAX_CLASSES):
        text = item.cell() if cells else item.text()
        if text in texts:
            raise item.error(f"`{shown(text)}` is there twice")
        texts.append(text)
    return tuple(texts)


def _missing(node: Node, encoding: Encoding) -> Missing:
    if node.is_scalar():
        node.word(("reject",))
        return Missing()
    rule: Literal["default", "class"] = "class" if node.has("class") else "default"
    members = node.members((rule,), ("texts",))
    label = members[rule].text()
    texts = _texts(members["texts"], cells=True) if "texts" in members else ("",)
    if rule == "default" and read_label(encoding, label) is None:
        raise members[rule].error(
            f"the column has no value `{shown(label)}`",
            suggest(label, encoding.labels),
        )
    if rule == "class" and not encoding.labels:
        raise members[rule].error(
            "only a category or bins can have a class for missing values",
            "use `default`, or reject them",
        )
    if rule == "class" and label in encoding.labels:
        raise members[rule].error(f"`{shown(label)}` is already a class")
    for text in texts:
        if text in _declared(encoding):
            raise members["texts"].error(f"`{shown(text)}` is a value and missing")
    return Missing(rule, label, texts)


def _declared(encoding: Encoding) -> tuple[str, ...]:
    """Return the texts that the document itself gives a meaning."""
    match encoding:
        case Category(labels=texts) | FlagEquals(equals=texts):
            return texts
        case Flag(one=one, zero=zero):
            return (*one, *zero)
        case _:
            return ()
