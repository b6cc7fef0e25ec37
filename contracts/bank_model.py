r"""A bank's own part of a joint score: features that it has, and what they are worth.

A YAML document (`contracts.source`) of kind `BankModel`, which never leaves the bank::

    metadata: {name: card-behaviour, version: 3, title: 信用卡行为}
    spec:
      contract: default-joint            # id of the joint contract, of any version
      base: 0
      beyond: cap                        # or refuse, if left out
      columns:                           # encoded as a custodian's
        - {name: bill, from: BILL_AMT1, integer: {min: -165580, max: 964511}}
        - {name: branch, category: [city, county]}
      points:                            # as an indicator's (`contracts.scoring`)
        - column: bill
          standardised: {weight: -0.402851, mean: 51223.3309, deviation: 73634.63330}
        - {column: branch, points: {city: 0, county: -0.2}}

Its points are exact fractions; `number` rounds them once, to the contract's scale.
The contract fixes the range of the points and nothing of what they are made of, so a
new model of the bank's needs nobody's approval as long as the range and the purpose
stay.  Points beyond the range are refused, or with `beyond: cap` count as its nearest
end.

*Which model it was.*  A request names `digest(BANK_MODEL, payload, signature)` of the
model that the bank has signed: its canonical bytes, and its Ed25519 signature of
them, which is the same each time (RFC 8032).  So calls of one model can be told from
those of the next in every journal; nobody finds the model by trying weights, because
nobody else can sign; and the bank can show an auditor which one it was, once, for all
its calls (`write_shown`)::

    {"v": "safehouse/shown-model/1", "payload", "key", "signature"}

>>> from contracts.compiled import Joint
>>> model = BankModel.from_yaml('''
... apiVersion: safehouse/v1
... kind: BankModel
... metadata: {name: m, version: 1}
... spec:
...   contract: joint
...   columns: [{name: late, from: PAY_0, integer: {min: -2, max: 8}}]
...   points: [{column: late, standardised: {weight: 0.25, mean: 1, deviation: 1.5}}]
... ''', "m.yaml")
>>> model.points({"PAY_0": "4"}), model.reach
(Fraction(1, 2), (Fraction(-1, 2), Fraction(7, 6)))
>>> model.number(Joint("-0.4", "0.6"), 1000, {"PAY_0": "4"})
900
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import lcm
from typing import Final

from contracts.compiled import Joint
from contracts.encoding import Column, read_column
from contracts.errors import DocumentInvalid, PointsBeyond
from contracts.scoring import MAX_VERSION, POINTS, read_points
from contracts.source import Document, Node, shown, suggest
from contracts.weights import Sums, weigh
from protocols.canon import Json, Reader, Tag, digest, dumps, loads
from protocols.sign import Signed

KIND: Final = "BankModel"
VERSION: Final = "safehouse/bank-model/1"
SHOWN: Final = "safehouse/shown-model/1"
CAP: Final = "cap"
REFUSE: Final = "refuse"


@dataclass(frozen=True)
class BankModel:
    """A model as its bank wrote it."""

    name: str
    version: int
    title: str
    contract: str  # id
    beyond: str  # CAP or REFUSE
    columns: tuple[Column, ...]
    sums: Sums = field(repr=False)

    @classmethod
    def from_yaml(cls, data: bytes | str, path: str) -> "BankModel":
        """Read a document; raises `SourceError`."""
        document = Document.parse(data, path, KIND)
        meta = document.metadata.members(("name", "version"), ("title",))
        spec = document.spec.members(
            ("contract", "columns", "points"), ("base", "beyond")
        )
        columns = _columns(spec["columns"])
        base = Fraction(spec["base"].decimal()) if "base" in spec else Fraction(0)
        return cls(
            meta["name"].name(),
            meta["version"].integer(1, MAX_VERSION),
            meta["title"].text() if "title" in meta else "",
            spec["contract"].name(),
            spec["beyond"].word((CAP, REFUSE)) if "beyond" in spec else REFUSE,
            columns,
            _sums(spec["points"], base, columns),
        )

    def to_bytes(self) -> bytes:
        """Write canonical JSON: encodings, and weights as fractions."""
        terms: list[Json] = [
            {
                "limit": term.limit,
                "one_hot": term.one_hot,
                "weights": [(name, str(weight)) for (_, name), weight in term.weights],
            }
            for term in self.sums.terms
        ]
        return dumps(
            {
                "v": VERSION,
                "name": self.name,
                "version": self.version,
                "contract": self.contract,
                "beyond": self.beyond,
                "columns": [column.to_json() for column in self.columns],
                "base": str(self.sums.base),
                "terms": terms,
            }
        )

    def points(self, features: Mapping[str, str | None]) -> Fraction:
        """Return the exact points of a subject's features, by the bank's names.

        None, or a text that a column says is missing, is a missing value.  Raises
        `DocumentInvalid` for a feature that is not given, `ValueInvalid` for one
        that its column does not allow.
        """
        base, common, weights = self._whole
        total = base
        for column in self.columns:
            if column.source not in features:
                raise DocumentInvalid(
                    f"model `{self.name}`: no feature `{shown(column.source)}`",
                    suggest(column.source, list(features)),
                )
            encoded = column.encode(features[column.source])
            for item, value in zip(column.encrypted, encoded, strict=True):
                total += weights[item.name] * value
        return Fraction(total, common)

    def number(
        self, joint: Joint, scale: int, features: Mapping[str, str | None]
    ) -> int:
        """Return what the bank adds to a total of a contract's `scale`.

        Raises what `points` raises, and `PointsBeyond` the contract's range unless
        they are capped.
        """
        points = self.points(features)
        if self.beyond == CAP:
            points = max(Fraction(joint.least), min(points, Fraction(joint.most)))
        number = joint.added(points, scale)
        if number is None:
            raise PointsBeyond(
                f"model `{self.name}`: expected {joint.expected}",
                "`beyond: cap` counts what is beyond as the nearest end",
            )
        return number

    @property
    def reach(self) -> tuple[Fraction, Fraction]:
        """The least and the most points that features within their limits make."""
        least = most = self.sums.base
        for term in self.sums.terms:
            weights = [weight for _, weight in term.weights]
            if not term.one_hot:
                weights = [weights[0] * term.limit, Fraction(0)]
            least, most = least + min(weights), most + max(weights)
        return least, most

    @cached_property
    def _whole(self) -> tuple[int, int, Mapping[str, int]]:
        """Base, common denominator and weights, as whole numbers of it."""
        weights = {name: w for t in self.sums.terms for (_, name), w in t.weights}
        common = lcm(*(n.denominator for n in (self.sums.base, *weights.values())))
        return (
            int(self.sums.base * common),
            common,
            {name: int(weight * common) for name, weight in weights.items()},
        )


def commitment(signed: Signed) -> bytes:
    """Return what requests call a signed model."""
    return digest(Tag.BANK_MODEL, signed.payload, signed.signature)


def write_shown(signed: Signed) -> bytes:
    """Write a signed model for an auditor; it says what the model is."""
    return dumps({"v": SHOWN, **signed.to_json()})


def read_shown(data: bytes) -> Signed:
    """Read what a bank shows; raises `FormatError`.  Nothing is verified here."""
    return Signed.from_json(Reader(loads(data, SHOWN)))


def _columns(node: Node) -> tuple[Column, ...]:
    columns: list[Column] = []
    for item in node.items(1):
        column = read_column(item)
        if column.name in (other.name for other in columns):
            raise item.error(f"column `{column.name}` is there twice")
        columns.append(column)
    return tuple(columns)


def _sums(node: Node, base: Fraction, columns: tuple[Column, ...]) -> Sums:
    sums, known, seen = Sums(base), {c.name: c for c in columns}, set[str]()
    for item in node.items(1):
        members = item.members(("column",), (*POINTS, "title"))
        name = members["column"].column()
        if name not in known:
            raise members["column"].error(
                f"unknown column `{name}`", suggest(name, sorted(known))
            )
        if name in seen:
            raise members["column"].error(f"`{name}` has points already")
        seen.add(name)
        weigh(sums, "", known[name], read_points(item, members), name)
    if unused := sorted(set(known) - seen):
        raise node.error(f"column `{unused[0]}` has no points")
    return sums
