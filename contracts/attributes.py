r"""Public attributes of subjects: coarse, of tier T0, in clear at house and authority.

A YAML document (`contracts.source`) of kind `PublicAttributes`::

    metadata: {name: enterprise-attributes, title: 企业公开属性}
    spec:
      custodian: market-supervision     # the one in charge of the map of slots
      subject: cn-uscc
      attributes:
        - {name: town, title: 乡镇, from: 乡镇街道, classes: [安居镇, 唐口街道]}
        - {name: industry, title: 行业, classes: [农业, 制造业], other: 其他}

Groups and filters of aggregates and jobs are said in these words.  House and
authority hold a class of every attribute for every slot, and nothing that names
the subject.  So a class is coarse: **no cell under 10 subjects**, a cell being
those who agree in *all* attributes; else whoever reads the house's disk would
single a pseudonym out of the public register.  `other` names a class for texts
that are not listed, and for the subjects of small cells: `coarsen` moves them
there, the last attribute first, and joins the next smallest class if that is few.

*Codes*, one byte a row and attribute, attribute after attribute, rows in the
order of the map: 0 where the subject has no attributes, i for `classes[i - 1]`.
A row has all attributes or none.

*What is signed* (`AttributeTable`): canonical JSON, version
`safehouse/attributes/1`: the classes, the SHA-256 of the codes, the map that the
rows are numbered by.

>>> table = AttributeTable(
...     "cn-uscc", 1, 21, 1, bytes(32),
...     (Attribute("town", ("安居镇", "唐口街道")), Attribute("size", ("小", "其他"))),
...     bytes(32), "market-supervision", 0,
... )
>>> town = [1] * 11 + [2] * 10
>>> check_cells(table, np.array([town, [1] * 11 + [2] * 10], np.uint8))
>>> check_cells(table, np.array([town, [1] * 2 + [2] * 19], np.uint8))
Traceback (most recent call last):
    ...
contracts.errors.DocumentInvalid: cell town `安居镇`, size `小` has 2 subjects
>>> coarse = coarsen(np.array([town, [1] * 2 + [2] * 19], np.uint8), (0, 2))
>>> check_cells(table, coarse)
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from contracts.encoding import Fate
from contracts.errors import DocumentInvalid, ValueInvalid
from contracts.source import COLUMN, Document, Node, shown, suggest
from contracts.subject import SubjectType
from protocols.canon import Json, Reader, dumps, loads
from protocols.errors import FormatError
from protocols.where import Where

KIND: Final = "PublicAttributes"
VERSION: Final = "safehouse/attributes/1"
LEAST_CELL: Final = 10  # subjects who agree in every attribute
MAX_ATTRIBUTES: Final = 8
MAX_CLASSES: Final = 250  # of an attribute: a code has one byte
HASH_BYTES: Final = 32

Codes: TypeAlias = NDArray[np.uint8]  # (attributes, rows)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute and the words it may say."""

    name: str
    classes: tuple[str, ...]
    title: str = ""

    def code(self, label: str) -> int:
        """Return the code of a class; raises `DocumentInvalid`."""
        if label not in self.classes:
            raise DocumentInvalid(
                f"attribute `{self.name}` has no class `{shown(label)}`",
                suggest(label, self.classes),
            )
        return 1 + self.classes.index(label)

    def to_json(self) -> dict[str, Json]:
        """Write for a table's description."""
        return {"name": self.name, "classes": self.classes, "title": self.title}


@dataclass(frozen=True, slots=True)
class AttributeTable:
    """One version of the attributes of a subject type, as its custodian signs it."""

    subject_type: str
    version: int  # 1, 2, ...: each replaces the one before
    rows: int  # of the map
    directory_version: int
    row_map_root: bytes
    attributes: tuple[Attribute, ...]
    codes: bytes  # their SHA-256
    custodian: str
    created_ms: int

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": VERSION,
                "subject_type": self.subject_type,
                "version": self.version,
                "rows": self.rows,
                "directory_version": self.directory_version,
                "row_map_root": self.row_map_root.hex(),
                "attributes": [item.to_json() for item in self.attributes],
                "codes": self.codes.hex(),
                "custodian": self.custodian,
                "created_ms": self.created_ms,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "AttributeTable":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, VERSION))
        table = cls(
            reader.text("subject_type"),
            reader.integer("version", 1),
            reader.integer("rows", 1),
            reader.integer("directory_version", 1),
            reader.hex("row_map_root", HASH_BYTES),
            tuple(_attribute(item) for item in reader.readers("attributes")),
            reader.hex("codes", HASH_BYTES),
            reader.text("custodian"),
            reader.integer("created_ms"),
        )
        reader.close()
        names = [attribute.name for attribute in table.attributes]
        if not names or len(names) > MAX_ATTRIBUTES or len(set(names)) != len(names):
            raise FormatError(f"expected 1 to {MAX_ATTRIBUTES} attributes, each once")
        return table

    def attribute(self, name: str) -> Attribute:
        """Find an attribute; raises `DocumentInvalid`."""
        names = [attribute.name for attribute in self.attributes]
        if name not in names:
            raise DocumentInvalid(
                f"subjects of type `{self.subject_type}` have no public attribute"
                f" `{shown(name)}`",
                suggest(name, names),
            )
        return self.attributes[names.index(name)]

    def check_where(self, where: Where) -> None:
        """Raise `DocumentInvalid` for an attribute or class that is not there."""
        for name, labels in where:
            for label in labels:
                self.attribute(name).code(label)

    def read_codes(self, data: bytes) -> Codes:
        """Take the codes that the custodian signed, and check every one.

        Raises `FormatError` for other bytes, `DocumentInvalid` for small cells.
        """
        if hashlib.sha256(data).digest() != self.codes:
            raise FormatError("the codes are not the ones that were signed")
        if len(data) != self.rows * len(self.attributes):
            raise FormatError(f"expected {self.rows} codes of each attribute")
        codes = np.frombuffer(data, np.uint8).reshape(len(self.attributes), -1)
        for attribute, row in zip(self.attributes, codes, strict=True):
            if int(row.max()) > len(attribute.classes):
                raise FormatError(f"attribute `{attribute.name}`: unknown class")
        if ((codes == 0).any(axis=0) != (codes == 0).all(axis=0)).any():
            raise FormatError("a row has all attributes or none")
        check_cells(self, codes)
        return codes


@dataclass(frozen=True, slots=True)
class Described:
    """An attribute as its document describes it."""

    attribute: Attribute
    source: str  # its column in the custodian's table
    other: bool  # the last class takes what is not listed

    @property
    def encrypted(self) -> tuple[str, ...]:
        """Nothing of it is encrypted: it becomes one code."""
        return (self.attribute.name,)

    def fate(self, text: str | None) -> Fate:
        """Say how a cell comes to its code."""
        return Fate.VALUE if text else Fate.MISSING

    def encode(self, text: str | None) -> tuple[int]:
        """Return the code of a cell of the table; raises `ValueInvalid`."""
        classes = self.attribute.classes
        if text in classes:
            return (1 + classes.index(text),)
        if self.other and text:
            return (len(classes),)
        expected = "a text" if self.other else f"one of {len(classes)} classes"
        raise ValueInvalid(self.attribute.name, expected, text)


@dataclass(frozen=True, slots=True)
class PublicAttributes:
    """The document that says which attributes there are."""

    name: str
    custodian: str  # party id
    subject_type: SubjectType
    columns: tuple[Described, ...]
    title: str = field(default="", compare=False)

    @classmethod
    def from_yaml(cls, data: bytes | str, path: str) -> "PublicAttributes":
        """Read a document; raises `SourceError`."""
        document = Document.parse(data, path, KIND)
        meta = document.metadata.members(("name",), ("title",))
        spec = document.spec.members(("custodian", "subject", "attributes"))
        described: dict[str, Described] = {}
        for item in spec["attributes"].items(1, MAX_ATTRIBUTES):
            found = _described(item)
            if found.attribute.name in described:
                raise item.error(f"attribute `{found.attribute.name}` is there twice")
            described[found.attribute.name] = found
        kinds = [word.value for word in SubjectType]
        return cls(
            meta["name"].name(),
            spec["custodian"].party(),
            SubjectType(spec["subject"].word(kinds)),
            tuple(described.values()),
            meta["title"].text() if "title" in meta else "",
        )

    @property
    def others(self) -> tuple[int, ...]:
        """Of each attribute, the code that small cells move to; 0 for none."""
        return tuple(
            len(item.attribute.classes) if item.other else 0 for item in self.columns
        )


def coarsen(codes: Codes, others: Sequence[int]) -> Codes:
    """Move the subjects of small cells to `other`, the last attribute first.

    Among those who agree in all other attributes; and where `other` itself stays
    small, the next smallest class joins it.  `others` has each attribute's code for
    it, 0 where there is none.  What is still small then is found by `check_cells`.
    """
    coarse = codes.copy()
    for number in reversed(range(len(coarse))):
        other = others[number]
        if not other:
            continue
        rest = _cells(np.delete(coarse, number, axis=0))
        for cell in np.unique(rest[_small(coarse)]).tolist():
            alike = np.flatnonzero((rest == cell) & (coarse[0] != 0))
            moved = _joined(coarse[number, alike], other)
            coarse[number, alike[moved]] = other
    return coarse


def _joined(column: NDArray[np.uint8], other: int) -> NDArray[np.bool_]:
    """Find who joins `other` among those who agree in all else."""
    counts = np.bincount(column, minlength=other + 1)
    classes = np.flatnonzero(counts)
    ascending = classes[np.argsort(counts[classes], kind="stable")].tolist()
    joined, size = {other}, int(counts[other])
    for code in ascending:
        if code != other and (counts[code] < LEAST_CELL or 0 < size < LEAST_CELL):
            joined.add(code)
            size += int(counts[code])
    moved: NDArray[np.bool_] = np.isin(column, list(joined))
    return moved


def check_cells(table: AttributeTable, codes: Codes) -> None:
    """Raise `DocumentInvalid` for a cell that is too small, with its words."""
    small = np.flatnonzero(_small(codes))
    if small.size:
        cell = codes[:, small[0]]
        count = int((codes == cell[:, None]).all(axis=0).sum())
        words = ", ".join(
            f"{item.name} `{item.classes[code - 1]}`"
            for item, code in zip(table.attributes, cell.tolist(), strict=True)
        )
        raise DocumentInvalid(
            f"cell {words} has {count} subject{'s' if count > 1 else ''}",
            f"expected at least {LEAST_CELL}: join classes, or name an `other` class",
        )


def _small(codes: Codes) -> NDArray[np.bool_]:
    """Find the rows whose cell has too few; those without attributes have none."""
    _, numbers, counts = np.unique(
        _cells(codes), return_inverse=True, return_counts=True
    )
    small: NDArray[np.bool_] = (counts[numbers] < LEAST_CELL) & (codes[0] != 0)
    return small


def _cells(codes: Codes) -> NDArray[np.uint64]:
    """Give every cell a number of its own: a byte an attribute, eight fit."""
    cells = np.zeros(codes.shape[1], np.uint64)
    for row in codes:
        cells = cells << np.uint64(8) | row
    return cells


def _attribute(reader: Reader) -> Attribute:
    attribute = Attribute(
        reader.text("name"), reader.texts("classes"), reader.text("title")
    )
    reader.close()
    classes = attribute.classes
    if not COLUMN.fullmatch(attribute.name):
        raise FormatError("an attribute is named like a column")
    if not 0 < len(set(classes)) == len(classes) <= MAX_CLASSES or "" in classes:
        raise FormatError(f"expected 1 to {MAX_CLASSES} classes, each once")
    return attribute


def _described(node: Node) -> Described:
    members = node.members(("name", "classes"), ("title", "from", "other"))
    name = members["name"].column()
    nodes = list(members["classes"].items(1, MAX_CLASSES - 1))
    if "other" in members:
        nodes.append(members["other"])
    classes: list[str] = []
    for item in nodes:
        label = item.text()
        if label in classes:
            raise item.error(f"class `{shown(label)}` is there twice")
        classes.append(label)
    title = members["title"].text() if "title" in members else ""
    source = members["from"].text() if "from" in members else name
    return Described(Attribute(name, tuple(classes), title), source, "other" in members)


def describe(table: AttributeTable, codes: Codes) -> tuple[AttributeTable, bytes]:
    """Bind a table to its codes; return it with their bytes."""
    data = codes.tobytes()
    return replace(table, codes=hashlib.sha256(data).digest()), data
