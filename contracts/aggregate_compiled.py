r"""A contract of statistics as exact integers: what custodians approve.

Canonical JSON, version `safehouse/aggregate/1`; its digest under `Tag.CONTRACT` is the
contract's hash::

    id, version, purpose, subject_type, author, banks
    dataset         {id, schema (hex hash), tier, custodian}
    by, filters     names of public attributes
    floor           subjects that a group has at least
    most_subjects   and at most
    reads           [[encrypted name, index, limit, milliepsilon], ...]
    numbers         [{name, statistic, reads, labels, least, scale, title}, ...]

`reads` are encrypted columns, each masked, added up and noised by itself; `index`
counts the dataset's, `numbers[i].reads` these.  A number is made of

    count       one read, a flag or `_present`
    histogram   a read for each class; a subject is in one, so all of them together
                reveal the epsilon of one
    sum, mean   a read of the value, stored as (value - least) x scale, and one of
                `_present`; epsilon is halved between them.  A sum whose least is 0
                needs no `_present`.

What a call tells of one subject is bounded by epsilon / ln 2 bits.

>>> bits_of(1000), bits_of(250)
(1443, 361)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Final

from contracts.aggregate import (
    LEAST_FLOOR,
    MEMBER,
    MILLI,
    AggregateContract,
    Statistic,
    Wanted,
)
from contracts.contract import ContractKind, UsedColumn, UsedDataset
from contracts.dataset import PRESENT, Dataset, Tier
from contracts.encoding import Column, Integer, Kind
from contracts.errors import CompileError, DocumentInvalid
from contracts.scoring import Waiver
from contracts.source import DECIMAL, shown, suggest, write_decimal
from protocols.aggregate import UNIT, check_room
from protocols.canon import Json, Reader, Tag, digest, dumps, loads
from protocols.errors import FormatError
from protocols.noise import Scale
from protocols.where import Where

VERSION: Final = "safehouse/aggregate/1"
HASH_BYTES: Final = 32
BANK_LIMIT: Final = 4_000  # milliepsilon of one dataset to one bank in a quarter
NO_TIER: Final = Tier.T3  # without the subject's own consent there is no basis


@dataclass(frozen=True, slots=True)
class Read:
    """An encrypted column that is added up, and how much it may reveal."""

    name: str
    index: int  # among the dataset's encrypted columns
    limit: int  # the largest stored value: nobody changes a sum by more
    milliepsilon: int

    @property
    def scale(self) -> Scale:
        """The noise of either node."""
        return Scale(UNIT * self.limit + 1, self.milliepsilon)


@dataclass(frozen=True, slots=True)
class Number:
    """One number of the answer, and the reads it is made of."""

    name: str
    statistic: Statistic
    reads: tuple[int, ...]  # value first, `_present` second
    labels: tuple[str, ...]  # of a histogram's classes
    least: Fraction  # what a stored 0 stands for
    scale: int  # stored units of one
    title: str

    @property
    def by_presence(self) -> bool:
        """Whether the number of those present is read, too."""
        return self.statistic in (Statistic.SUM, Statistic.MEAN) and len(self.reads) > 1


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A contract of statistics without its words; the module has the format."""

    id: str
    version: int
    purpose: str
    subject_type: str
    author: str
    banks: tuple[str, ...]
    dataset: UsedDataset
    by: tuple[str, ...]
    filters: tuple[str, ...]
    floor: int
    most_subjects: int
    reads: tuple[Read, ...]
    numbers: tuple[Number, ...]
    kind: ContractKind = field(default=ContractKind.AGGREGATE, init=False)
    waivers: tuple[Waiver, ...] = field(default=(), init=False)
    # Names this contract: 32 bytes, the digest of `to_bytes`.
    hash: bytes = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", digest(Tag.CONTRACT, self.to_bytes()))

    @property
    def datasets(self) -> tuple[UsedDataset, ...]:
        """The one dataset."""
        return (self.dataset,)

    @property
    def columns(self) -> tuple[UsedColumn, ...]:
        """Encrypted columns that are read, each once, as the dataset has them."""
        found = {read.index: read.name for read in self.reads}
        return tuple(UsedColumn(self.dataset.id, found[i], i) for i in sorted(found))

    @property
    def idle(self) -> frozenset[UsedColumn]:
        """Every column that is read changes the answer."""
        return frozenset()

    @property
    def milliepsilon(self) -> int:
        """What one call reveals of one subject."""
        return sum(
            self.reads[number.reads[0]].milliepsilon
            if number.statistic is Statistic.HISTOGRAM
            else sum(self.reads[i].milliepsilon for i in number.reads)
            for number in self.numbers
        )

    @property
    def millibits(self) -> int:
        """The same in thousandths of a bit."""
        return bits_of(self.milliepsilon)

    @property
    def limit_millibits(self) -> int:
        """What a quarter may reveal to one bank, over all contracts."""
        return bits_of(BANK_LIMIT)

    @property
    def scales(self) -> tuple[Scale, ...]:
        """The noise of every read."""
        return tuple(read.scale for read in self.reads)

    def check_filter(self, where: Where) -> None:
        """Raise `DocumentInvalid` for a filter that the contract does not allow."""
        for name, _ in where:
            if name not in self.filters:
                raise DocumentInvalid(
                    f"contract `{self.id}` is not narrowed by `{shown(name)}`",
                    suggest(name, self.filters) or "it takes no filter",
                )

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": VERSION,
                "id": self.id,
                "version": self.version,
                "purpose": self.purpose,
                "subject_type": self.subject_type,
                "author": self.author,
                "banks": self.banks,
                "dataset": {
                    "id": self.dataset.id,
                    "schema": self.dataset.schema_hash.hex(),
                    "tier": self.dataset.tier.value,
                    "custodian": self.dataset.custodian,
                },
                "by": self.by,
                "filters": self.filters,
                "floor": self.floor,
                "most_subjects": self.most_subjects,
                "reads": [
                    (read.name, read.index, read.limit, read.milliepsilon)
                    for read in self.reads
                ],
                "numbers": [_written(number) for number in self.numbers],
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "Aggregate":
        """Read strictly, and check what can be checked without the schema.

        Raises `FormatError` for bytes not in the format, `DocumentInvalid` for
        integers that do not fit each other.
        """
        reader = Reader(loads(data, VERSION))
        dataset = reader.reader("dataset")
        aggregate = cls(
            id=reader.text("id"),
            version=reader.integer("version", 1),
            purpose=reader.text("purpose"),
            subject_type=reader.text("subject_type"),
            author=reader.text("author"),
            banks=reader.texts("banks"),
            dataset=_read_dataset(dataset),
            by=reader.texts("by"),
            filters=reader.texts("filters"),
            floor=reader.integer("floor", LEAST_FLOOR),
            most_subjects=reader.integer("most_subjects", 1),
            reads=tuple(_read_read(item) for item in reader.items("reads")),
            numbers=tuple(_read_number(item) for item in reader.readers("numbers")),
        )
        reader.close()
        _check(aggregate)
        return aggregate


def bits_of(milliepsilon: int) -> int:
    """Return what epsilon bounds, in thousandths of a bit: epsilon / ln 2, upwards."""
    return -(-milliepsilon * 144_270 // 100_000)


# -- compiling -----------------------------------------------------------------


def compile_aggregate(
    contract: AggregateContract, datasets: Mapping[str, Dataset]
) -> Aggregate:
    """Compile a contract against the dataset it names.

    Raises `SourceError` where a line is to blame, `CompileError` where a sum is.

    1. find the dataset, of the contract's subjects and not of tier T3
    2. find every number's columns
    3. every sum of the largest group has room, with its noise
    """
    dataset = _dataset(contract, datasets)  # 1
    reads: list[Read] = []
    numbers = [_number(wanted, dataset, reads) for wanted in contract.numbers]  # 2
    for read in reads:  # 3
        try:
            check_room(contract.most_subjects, read.limit, read.scale)
        except FormatError as error:
            raise CompileError(
                f"contract `{contract.name}`: column `{read.name}`: {error}", error.hint
            ) from None
    aggregate = Aggregate(
        id=contract.name,
        version=contract.version,
        purpose=contract.purpose,
        subject_type=contract.subject_type.value,
        author=contract.author,
        banks=contract.banks,
        dataset=UsedDataset(
            dataset.name, dataset.schema_hash, dataset.tier, dataset.custodian
        ),
        by=contract.by,
        filters=contract.filters,
        floor=contract.floor,
        most_subjects=contract.most_subjects,
        reads=tuple(reads),
        numbers=tuple(numbers),
    )
    _check(aggregate)
    return aggregate


def _dataset(contract: AggregateContract, datasets: Mapping[str, Dataset]) -> Dataset:
    dataset, place = datasets.get(contract.dataset), contract.place
    if dataset is None:
        raise place.error(
            f"unknown dataset `{contract.dataset}`",
            suggest(contract.dataset, tuple(datasets)),
        )
    if dataset.subject_type is not contract.subject_type:
        raise place.error(
            f"dataset `{dataset.name}` is about `{dataset.subject_type}`,"
            f" the contract about `{contract.subject_type}`"
        )
    if dataset.tier is NO_TIER:
        raise place.error(
            f"dataset `{dataset.name}` is of tier {NO_TIER}: statistics without the"
            " subjects' consent have no basis on it",
            f"{MEMBER} reads tiers T0 to T2",
        )
    return dataset


def _number(wanted: Wanted, dataset: Dataset, reads: list[Read]) -> Number:
    column = dataset.column(wanted.column) if wanted.column else None
    if wanted.column and column is None:
        names = [item.name for item in dataset.columns]
        raise wanted.place.error(
            f"dataset `{dataset.name}`: unknown column `{shown(wanted.column)}`",
            suggest(wanted.column, names),
        )
    milliepsilon, names = wanted.milliepsilon, _names(wanted, column)
    integer = None if column is None else column.encoding
    least, scale = Fraction(0), 1
    if wanted.statistic in (Statistic.SUM, Statistic.MEAN):
        if not isinstance(integer, Integer):
            raise AssertionError("a sum of a column that is no number")
        least, scale = Fraction(integer.least), integer.scale
        if wanted.statistic is Statistic.MEAN or least:
            names.append(PRESENT)
            if milliepsilon < len(names):
                raise wanted.place.error("its epsilon cannot be halved")
    places = []
    for number, name in enumerate(names):
        index, encrypted = next(
            (i, item) for i, item in enumerate(dataset.encrypted) if item.name == name
        )
        share = milliepsilon
        if len(names) > 1 and wanted.statistic is not Statistic.HISTOGRAM:
            share = (milliepsilon + 1 - number) // len(names)  # the odd one: the value
        places.append(len(reads))
        reads.append(Read(name, index, encrypted.limit, share))
    labels = column.labels if column and wanted.statistic is Statistic.HISTOGRAM else ()
    return Number(
        wanted.name, wanted.statistic, tuple(places), labels, least, scale, wanted.title
    )


def _names(wanted: Wanted, column: Column | None) -> list[str]:
    """Name the encrypted columns that a number's own column becomes."""
    if column is None:
        return [PRESENT]
    kinds = {item.kind for item in column.encrypted}
    expected = {
        Statistic.COUNT: (Kind.FLAG, "a flag"),
        Statistic.SUM: (Kind.INTEGER, "an integer"),
        Statistic.MEAN: (Kind.INTEGER, "an integer"),
        Statistic.HISTOGRAM: (Kind.CLASS, "a category or bins"),
    }
    kind, words = expected[wanted.statistic]
    if kinds != {kind}:
        raise wanted.place.error(
            f"`{wanted.statistic}` needs {words}, column `{column.name}` is none"
        )
    return [item.name for item in column.encrypted]


# -- reading -------------------------------------------------------------------


def _written(number: Number) -> dict[str, Json]:
    return {
        "name": number.name,
        "statistic": number.statistic.value,
        "reads": number.reads,
        "labels": number.labels,
        "least": write_decimal(
            Decimal(number.least.numerator) / Decimal(number.least.denominator)
        ),
        "scale": number.scale,
        "title": number.title,
    }


def _read_dataset(reader: Reader) -> UsedDataset:
    tier = reader.text("tier")
    if tier not in list(Tier):
        raise FormatError(f"unknown tier `{tier}`")
    used = UsedDataset(
        reader.text("id"),
        reader.hex("schema", HASH_BYTES),
        Tier(tier),
        reader.text("custodian"),
    )
    reader.close()
    return used


def _read_read(item: Json) -> Read:
    match item:
        case [str(name), int(index), int(limit), int(milliepsilon)]:
            if isinstance(index, bool) or index < 0 or limit < 1 or milliepsilon < 1:
                raise FormatError("member `reads`: expected positive integers")
            return Read(name, index, limit, milliepsilon)
        case _:
            raise FormatError("member `reads`: not a column with its limits")


def _read_number(reader: Reader) -> Number:
    statistic, least = reader.text("statistic"), reader.text("least")
    if statistic not in list(Statistic):
        raise FormatError(f"unknown statistic `{statistic}`")
    if not DECIMAL.fullmatch(least):
        raise FormatError("member `least`: expected a number")
    reads = reader.items("reads")
    if not all(type(read) is int for read in reads):
        raise FormatError("member `reads`: expected integers")
    number = Number(
        reader.text("name"),
        Statistic(statistic),
        tuple(int(str(read)) for read in reads),
        reader.texts("labels"),
        Fraction(least),
        reader.integer("scale", 1),
        reader.text("title"),
    )
    reader.close()
    return number


def _check(aggregate: Aggregate) -> None:
    """Raise `DocumentInvalid` for the first sum that is broken.

    1. reads: in numbers, each once and in order; each has room
    2. numbers: as many reads as their statistic takes; names of their own
    3. nobody's tier, floor or bank is missing
    """
    numbers = aggregate.numbers
    taken = [read for number in numbers for read in number.reads]
    if not taken or taken != list(range(len(aggregate.reads))):  # 1
        raise DocumentInvalid(f"contract `{aggregate.id}`: a read is in no number")
    checks = {
        "a sum does not fit into a slot": all(
            _has_room(aggregate, read) for read in aggregate.reads
        ),
        "a number has other reads than its statistic takes": (  # 2
            all(_fits(number) for number in numbers)
        ),
        "two numbers have one name": (
            len({number.name for number in numbers}) == len(numbers)
        ),
        "the classes of a histogram reveal different epsilons": all(
            len({aggregate.reads[i].milliepsilon for i in number.reads}) == 1
            for number in numbers
            if number.statistic is Statistic.HISTOGRAM
        ),
        "an attribute is there twice": all(
            len(set(names)) == len(names) for names in (aggregate.by, aggregate.filters)
        ),
        "no bank may call": bool(aggregate.banks),  # 3
        "it reads data of tier T3": aggregate.dataset.tier is not NO_TIER,
        "the floor is above the largest group": (
            aggregate.floor <= aggregate.most_subjects
        ),
    }
    for broken, holds in checks.items():
        if not holds:
            raise DocumentInvalid(f"contract `{aggregate.id}`: {broken}")


def _has_room(aggregate: Aggregate, read: Read) -> bool:
    try:
        check_room(aggregate.most_subjects, read.limit, read.scale)
    except FormatError:
        return False
    return True


def _fits(number: Number) -> bool:
    """Tell whether a number has the reads and labels that its statistic takes."""
    count, labels = len(number.reads), len(number.labels)
    if number.statistic is Statistic.HISTOGRAM:
        return count == labels > 0
    by_presence = number.statistic is Statistic.MEAN or (
        number.statistic is Statistic.SUM and number.least != 0
    )
    return labels == 0 and count == 1 + by_presence


def epsilon(milliepsilon: int) -> str:
    """Write an epsilon for people.

    >>> epsilon(250), epsilon(4000)
    ('0.25', '4')
    """
    return write_decimal(Decimal(milliepsilon) / MILLI)
