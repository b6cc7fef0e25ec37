"""What a custodian shares: one table, its columns, and how sensitive it is.

A YAML document (`contracts.source`) of kind `Dataset`::

    metadata: {name: housing-loans, version: 1, title: 住房贷款}
    spec:
      custodian: housing-loans     # party id of 数据提供单位
      unit: 区住房保障中心           # 责任单位
      category: 住房公积金          # 信息类别
      cycle: monthly               # 共享周期
      tier: T1
      subject: cn-resident-id
      columns:
        - {name: housing, category: [rent, own, for free]}
        - {name: duration, from: duration_in_month, bins: [8, 16, 34, 44]}

`contracts.encoding` says what a column may be.  After the columns every dataset
has the flag `_present`, 1 where the custodian has the subject; a subject it does
not have is all zeros.

A *list* 名单 has `list: true` in place of columns: all that it says is who is on it.
It is pushed as points for intersection (`protocols.psi`), not as blocks.

*Canonical schema*: canonical JSON of the same shape without titles, version
`safehouse/dataset/1`, with everything written out that YAML may leave out.  Its
hash is what a push and a contract name.

>>> from contracts.encoding import Flag
>>> dataset = Dataset(
...     "court", 1, "court", "区人民法院", "司法信息", Cycle.MONTHLY, Tier.T1,
...     SubjectType.CN_USCC, (Column("wanted", "wanted", Flag()),),
... )
>>> dataset.encode({"wanted": "1"}), dataset.absent()
((1, 1), (0, 0))
>>> Dataset.from_bytes(dataset.to_bytes()) == dataset
True
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final

from contracts.encoding import Column, EncryptedColumn, Kind, read_column
from contracts.errors import DocumentInvalid, SourceError
from contracts.source import Document, Node, from_json, shown, suggest
from contracts.subject import SubjectType
from protocols.canon import Tag, digest, dumps, loads

VERSION: Final = "safehouse/dataset/1"
KIND: Final = "Dataset"
PRESENT: Final = "_present"  # no column of a document can be called so

MAX_VERSION = 1_000_000
MAX_COLUMNS = 500
MAX_KEPT = 256  # schemas that need not be read again: everybody reads all of them
MAX_ENCRYPTED = 4096  # columns of one dataset (protocols.blocks)


class Tier(StrEnum):
    """How sensitive a dataset is; the later the more."""

    T0 = "T0"  # lawfully public 依法公开
    T1 = "T1"  # with authorisation
    T2 = "T2"  # trade secret: results of contracts only
    T3 = "T3"  # sensitive personal: T2, and separate consent


class Cycle(StrEnum):
    """How often a custodian pushes 共享周期."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    YEARLY = "yearly"


@dataclass(frozen=True, slots=True)
class Dataset:
    """A custodian's promise of what its columns mean."""

    name: str
    version: int
    custodian: str  # party id
    unit: str  # 责任单位
    category: str  # 信息类别
    cycle: Cycle
    tier: Tier
    subject_type: SubjectType
    columns: tuple[Column, ...]
    title: str = field(default="", compare=False)
    # Names this schema: 32 bytes, the digest of `to_bytes`.
    schema_hash: bytes = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        schema_hash = digest(Tag.DATASET, self.to_bytes())
        object.__setattr__(self, "schema_hash", schema_hash)

    @classmethod
    def from_yaml(cls, data: bytes | str, path: str) -> "Dataset":
        """Read a document that a person wrote; raises `SourceError`."""
        document = Document.parse(data, path, KIND)
        return _dataset(document.metadata, document.spec)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Dataset":
        """Read a canonical schema.

        Raises `FormatError` for bytes that are not canonical JSON of this
        version, `DocumentInvalid` for a schema that YAML could not have said.
        """
        return _from_bytes(data)

    def to_bytes(self) -> bytes:
        """Write the canonical schema: everything that changes the meaning."""
        return dumps(
            {
                "v": VERSION,
                "metadata": {"name": self.name, "version": self.version},
                "spec": {
                    "custodian": self.custodian,
                    "unit": self.unit,
                    "category": self.category,
                    "cycle": self.cycle.value,
                    "tier": self.tier.value,
                    "subject": self.subject_type.value,
                    **(
                        {"list": True}
                        if self.is_list
                        else {"columns": [c.to_json() for c in self.columns]}
                    ),
                },
            }
        )

    @property
    def is_list(self) -> bool:
        """Whether all it says is who is on it."""
        return not self.columns

    @property
    def encrypted(self) -> tuple[EncryptedColumn, ...]:
        """All encrypted columns in the order of the document; `_present` last."""
        return (
            *(item for column in self.columns for item in column.encrypted),
            EncryptedColumn(PRESENT, Kind.PRESENT, "", 1),
        )

    def column(self, name: str) -> Column | None:
        """Find a column of the document."""
        return next((column for column in self.columns if column.name == name), None)

    def texts(self, row: Mapping[str, str | None]) -> dict[str, str | None]:
        """Take each column's cell out of a row of the custodian's table.

        Raises `DocumentInvalid` when the table lacks a source column.
        """
        for column in self.columns:
            if column.source not in row:
                raise DocumentInvalid(
                    f"dataset `{self.name}`: no source column `{shown(column.source)}`",
                    suggest(column.source, list(row)),
                )
        return {column.name: row[column.source] for column in self.columns}

    def encode(self, row: Mapping[str, str | None]) -> tuple[int, ...]:
        """Encode a row of the custodian's table, `_present` included.

        Raises `ValueInvalid` for the first cell that its column does not allow.
        """
        texts = self.texts(row)
        values = [
            v for column in self.columns for v in column.encode(texts[column.name])
        ]
        return (*values, 1)

    def absent(self) -> tuple[int, ...]:
        """Return the values of a subject that the custodian does not have."""
        return (0,) * len(self.encrypted)


@lru_cache(MAX_KEPT)
def _from_bytes(data: bytes) -> Dataset:
    document = loads(data, VERSION)
    del document["v"]
    try:
        members = from_json(document, "schema").members(("metadata", "spec"))
        dataset = _dataset(members["metadata"], members["spec"])
    except SourceError as error:
        raise DocumentInvalid(str(error), error.hint) from None
    if dataset.to_bytes() != data:  # two spellings would be two hashes
        raise DocumentInvalid("schema: not written in its canonical form")
    return dataset


def _dataset(metadata: Node, spec: Node) -> Dataset:
    meta = metadata.members(("name",), ("version", "title"))
    members = spec.members(
        ("custodian", "unit", "category", "cycle", "tier", "subject"),
        ("columns", "list"),
    )
    if ("columns" in members) == ("list" in members):
        raise spec.error("expected `columns`, or `list: true`")
    if "list" in members and not members["list"].flag():
        raise members["list"].error("expected true")
    dataset = Dataset(
        name=meta["name"].name(),
        version=meta["version"].integer(1, MAX_VERSION) if "version" in meta else 1,
        custodian=members["custodian"].party(),
        unit=members["unit"].text(),
        category=members["category"].text(),
        cycle=Cycle(members["cycle"].word([word.value for word in Cycle])),
        tier=Tier(members["tier"].word([word.value for word in Tier])),
        subject_type=SubjectType(
            members["subject"].word([word.value for word in SubjectType])
        ),
        columns=_columns(members["columns"]) if "columns" in members else (),
        title=meta["title"].text() if "title" in meta else "",
    )
    if len(dataset.encrypted) > MAX_ENCRYPTED:
        raise members["columns"].error(
            f"expected at most {MAX_ENCRYPTED} encrypted columns,"
            f" got {len(dataset.encrypted)}",
            "make it two datasets",
        )
    return dataset


def _columns(node: Node) -> tuple[Column, ...]:
    columns: dict[str, Column] = {}
    for item in node.items(1, MAX_COLUMNS):
        column = read_column(item)
        if column.name in columns:
            raise item.error(f"column `{column.name}` is there twice")
        columns[column.name] = column
    return tuple(columns.values())
