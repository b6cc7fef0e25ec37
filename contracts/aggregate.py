r"""The statistics a bank may ask for: numbers by groups, each with its noise.

A YAML document (`contracts.source`) of kind `QueryContract`, with `aggregate`::

    metadata: {name: tax-by-town, version: 1, title: 各乡镇纳税统计}
    spec:
      purpose: statistics
      subject: cn-uscc
      author: jnrcb
      banks: [jnrcb, lsbank]
      aggregate:
        dataset: tax-returns
        by: [town]                      # groups: public attributes, at most 3
        filters: [town, industry]       # a call may narrow by these
        floor: 20                       # no group of fewer subjects; at least 10
        most_subjects: 5000             # that a group may have
        numbers:
          - {name: taxpayers, count: true, epsilon: 0.1}      # subjects it has
          - {name: grade-a, count: grade_a, epsilon: 0.1}     # a flag that is set
          - {name: paid, sum: tax_paid, epsilon: 0.2}         # a number
          - {name: average, mean: tax_paid, epsilon: 0.3}
          - {name: sizes, histogram: size, epsilon: 0.1}      # category or bins

`epsilon` is what a number reveals of one subject (differential privacy): all groups
together, because a subject is in one of them, and so with the classes of a
histogram.  A call reveals the sum over its numbers.

Whether columns exist is known beside the dataset: `contracts.aggregate_compiled`.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from contracts.scoring import MAX_VERSION, PURPOSES
from contracts.source import Document, Node, Place
from contracts.subject import SubjectType

KIND: Final = "QueryContract"
MEMBER: Final = "aggregate"

LEAST_FLOOR: Final = 10
MOST_SUBJECTS: Final = 10_000_000
MOST_BY: Final = 3  # attributes that make groups
MOST_NUMBERS: Final = 20
MOST_EPSILON: Final = 100  # that can be written; rules allow less
MILLI: Final = 1000


class Statistic(StrEnum):
    """What a number is."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One number as the author asks for it."""

    name: str
    statistic: Statistic
    column: str  # empty: whom the dataset has
    milliepsilon: int
    title: str
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class AggregateContract:
    """A contract as its author wrote it."""

    name: str
    version: int
    title: str
    purpose: str
    subject_type: SubjectType
    author: str
    banks: tuple[str, ...]
    dataset: str
    by: tuple[str, ...]
    filters: tuple[str, ...]
    floor: int
    most_subjects: int
    numbers: tuple[Wanted, ...]
    place: Place = field(compare=False)  # of the dataset's name

    @classmethod
    def from_yaml(cls, data: bytes | str, path: str) -> "AggregateContract":
        """Read a document; raises `SourceError`."""
        document = Document.parse(data, path, KIND)
        meta = document.metadata.members(("name", "version"), ("title",))
        spec = document.spec.members(("purpose", "subject", "author", "banks", MEMBER))
        body = spec[MEMBER].members(
            ("dataset", "floor", "most_subjects", "numbers"), ("by", "filters")
        )
        kinds = [word.value for word in SubjectType]
        return cls(
            name=meta["name"].name(),
            version=meta["version"].integer(1, MAX_VERSION),
            title=meta["title"].text() if "title" in meta else "",
            purpose=spec["purpose"].word(tuple(PURPOSES)),
            subject_type=SubjectType(spec["subject"].word(kinds)),
            author=spec["author"].party(),
            banks=_once([(item, item.party()) for item in spec["banks"].items(1)]),
            dataset=body["dataset"].name(),
            by=_attributes(body, "by", MOST_BY),
            filters=_attributes(body, "filters", MOST_NUMBERS),
            floor=body["floor"].integer(LEAST_FLOOR, MOST_SUBJECTS),
            most_subjects=body["most_subjects"].integer(LEAST_FLOOR, MOST_SUBJECTS),
            numbers=_numbers(body["numbers"]),
            place=body["dataset"].place,
        )


def _attributes(body: dict[str, Node], member: str, most: int) -> tuple[str, ...]:
    if member not in body:
        return ()
    return _once([(item, item.column()) for item in body[member].items(0, most)])


def _once(words: list[tuple[Node, str]]) -> tuple[str, ...]:
    seen: list[str] = []
    for node, word in words:
        if word in seen:
            raise node.error(f"`{word}` is there twice")
        seen.append(word)
    return tuple(seen)


def _numbers(node: Node) -> tuple[Wanted, ...]:
    numbers: dict[str, Wanted] = {}
    for item in node.items(1, MOST_NUMBERS):
        number = _number(item)
        if number.name in numbers:
            raise item.error(f"number `{number.name}` is there twice")
        numbers[number.name] = number
    return tuple(numbers.values())


def _number(node: Node) -> Wanted:
    words = tuple(word.value for word in Statistic)
    members = node.members(("name", "epsilon"), ("title", *words))
    asked = [word for word in words if word in members]
    if len(asked) != 1:
        listed = ", ".join(f"`{word}`" for word in words)
        raise node.error(f"expected one of {listed}, got {len(asked)}")
    statistic, value = Statistic(asked[0]), members[asked[0]]
    everybody = statistic is Statistic.COUNT and value.is_plain("true")
    return Wanted(
        members["name"].name(),
        statistic,
        "" if everybody else value.column(),
        _milliepsilon(members["epsilon"]),
        members["title"].text() if "title" in members else "",
        value.place,
    )


def _milliepsilon(node: Node) -> int:
    number = node.decimal()
    scaled = number * MILLI
    if not 0 < number <= MOST_EPSILON or scaled != scaled.to_integral_value():
        raise node.error(
            f"expected an epsilon above 0 and up to {MOST_EPSILON},"
            f" with at most 3 decimals, got `{number}`",
            "0.1 hides a subject well, 1 hardly",
        )
    return int(scaled)
