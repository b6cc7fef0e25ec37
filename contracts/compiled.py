r"""A contract as exact integers: what custodians approve and every call names.

Canonical JSON, version `safehouse/contract/1` or `/2`; its digest under
`Tag.CONTRACT` is the contract's hash::

    id, version, purpose, subject_type, author, banks
    datasets          [{id, schema (hex hash), tier, custodian,
                        columns: [[encrypted name, index, weight], ...]}]
    scale, base       score = (total + base) / scale
    shift, top, m     totals run from 0 to top; 2^m >= 2 (top + 1)
    fields            [[offset, bits], ...]
    groups            [{name, members, sign, constant}], insufficient_data last
    outcome_fields    ["grade", "limit"]
    outcomes          [["D", 0], ...], one value for each field
    steps             [[first total, outcome], ...], ascending
    release           {most_outcomes, narrowest_band}
    millibits         of one call
    limit_millibits   of one subject to one bank in 90 days
    waivers           [{rule, reason, signed_by}]

and in version 2, which everything has but a score with flat tables::

    kind              `contracts.contract.ContractKind`
    gate              flat, split or thr (`contracts.gates`)
    claim             {least, scale, limit, tolerance} of what a bank claims, or null
    joint             {least, most} points that the bank adds, or null
    rounding          points, a decimal: how far rounded weights can move a score

`index` counts the dataset's encrypted columns, `members` the contract's columns
one dataset after the other.  Titles and examples are not in it.

One call of a score reveals one of the outcomes, or which groups are not zero: at
most outcomes + 2^groups - 1 answers, hence ceil(1000 log2 of that) millibits.  A
query reveals one bit (PROTOCOL 8); that data are missing, every query says alike.

>>> [millibits(outcomes, groups) for outcomes, groups in ((1, 1), (33, 3), (64, 1))]
[1000, 5322, 6023]
"""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from typing import Final, TypeAlias

from contracts.contract import ContractKind, UsedColumn, UsedDataset
from contracts.dataset import PRESENT, Tier
from contracts.encoding import MAX_LIMIT, Integer
from contracts.errors import DocumentInvalid, OutOfRange
from contracts.scoring import Waiver
from contracts.source import DECIMAL, write_decimal
from protocols.canon import (
    MAX_INTEGER,
    Json,
    Reader,
    Tag,
    digest,
    dumps,
    loads,
    version_of,
)
from protocols.errors import FormatError
from protocols.lookup import FlatGate
from protocols.program import INSUFFICIENT_DATA, OUT_OF_RANGE, Group, Scorecard
from protocols.slots import Field
from protocols.split import SplitGate
from protocols.thr import ThrGate

VERSION: Final = "safehouse/contract/1"
KIND_VERSION: Final = "safehouse/contract/2"
FLAT: Final = FlatGate.name
GATES: Final = {gate.name: gate for gate in (FlatGate, SplitGate, ThrGate)}
HASH_BYTES = 32
QUERY_MILLIBITS: Final = 1000

Outcome: TypeAlias = tuple[tuple[str, str | int], ...]  # (field, value), in order


class Answer(StrEnum):
    """What kind of answer a code is."""

    SCORED = "scored"
    VETOED = "vetoed"
    INSUFFICIENT_DATA = INSUFFICIENT_DATA


@dataclass(frozen=True, slots=True)
class Explained:
    """An answer in words: the outcome's fields, or the reason of a veto."""

    answer: Answer
    reason: str = ""
    outcome: Outcome = ()

    def __str__(self) -> str:
        if self.answer is Answer.SCORED:
            return ", ".join(f"{name} `{value}`" for name, value in self.outcome)
        return f"{self.answer} `{self.reason}`" if self.reason else str(self.answer)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a bank may claim of a column, and how near it must be.

    A claim of `least` + k / `scale`, 0 <= k <= `limit`, counts as k; the house adds
    `limit` - k to the column, so that equality is the total `limit`, and a claim
    within `tolerance`, in stored units, is a window around it.
    """

    least: str  # a decimal
    scale: int
    limit: int
    tolerance: int

    def added(self, text: str) -> int | None:
        """Return what is added for a claim; None for one that the column cannot be."""
        number = Integer(Decimal(self.least), Decimal(self.most), self.scale).read(text)
        return None if number is None else self.limit - number

    @property
    def expected(self) -> str:
        """What a claim must be."""
        step = "" if self.scale == 1 else f" in steps of 1/{self.scale}"
        return f"of {self.least} to {self.most}{step}"

    @property
    def most(self) -> str:
        """The largest claim, a decimal."""
        return write_decimal(Decimal(self.least) + Decimal(self.limit) / self.scale)

    def to_json(self) -> dict[str, Json]:
        """Write for a compiled contract."""
        return {
            "least": self.least,
            "scale": self.scale,
            "limit": self.limit,
            "tolerance": self.tolerance,
        }

    @classmethod
    def from_json(cls, reader: Reader) -> "Claim":
        """Read what `to_json` wrote."""
        claim = cls(
            reader.text("least"),
            reader.integer("scale", 1),
            reader.integer("limit", 1, MAX_LIMIT),
            reader.integer("tolerance", 0, MAX_LIMIT),
        )
        reader.close()
        if not DECIMAL.fullmatch(claim.least):
            raise FormatError("member `least`: expected a decimal")
        return claim


@dataclass(frozen=True, slots=True)
class Joint:
    """The range of the points that a bank adds to a score: decimals.

    Points count as the number (points - `least`) x scale of the contract.
    """

    least: str
    most: str

    def added(self, points: Fraction, scale: int) -> int | None:
        """Return the bank's number, rounded half to even; None beyond the range."""
        least, most = Fraction(self.least), Fraction(self.most)
        return round((points - least) * scale) if least <= points <= most else None

    @property
    def expected(self) -> str:
        """What the bank's points must be."""
        return f"points of {self.least} to {self.most}"

    def to_json(self) -> dict[str, Json]:
        """Write for a compiled contract."""
        return {"least": self.least, "most": self.most}

    @classmethod
    def from_json(cls, reader: Reader) -> "Joint":
        """Read what `to_json` wrote."""
        joint = cls(reader.text("least"), reader.text("most"))
        reader.close()
        for name, text in (("least", joint.least), ("most", joint.most)):
            if not DECIMAL.fullmatch(text):
                raise FormatError(f"member `{name}`: expected a decimal")
        return joint


@dataclass(frozen=True, slots=True)
class Compiled:
    """A contract without its words; the module has the format."""

    id: str
    version: int
    purpose: str
    subject_type: str
    author: str
    banks: tuple[str, ...]
    datasets: tuple[UsedDataset, ...]
    columns: tuple[UsedColumn, ...]  # one dataset after the other, as `datasets`
    card: Scorecard
    scale: int
    base: int
    outcomes: tuple[Outcome, ...]
    most_outcomes: int
    narrowest_band: str  # points, a decimal
    limit_millibits: int
    waivers: tuple[Waiver, ...]
    kind: ContractKind = ContractKind.SCORE
    gate: str = FLAT
    claim: Claim | None = None
    joint: Joint | None = None
    rounding: str = "0"  # points, a decimal
    # Names this contract: 32 bytes, the digest of `to_bytes`.
    hash: bytes = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", digest(Tag.CONTRACT, self.to_bytes()))

    @property
    def millibits(self) -> int:
        """What one call reveals, in thousandths of a bit."""
        if not self.kind.scored:
            return QUERY_MILLIBITS
        return millibits(len(self.outcomes), len(self.card.groups))

    @property
    def attribute(self) -> str:
        """The column that a query asks about, whose answers are counted; or nothing."""
        if self.kind.scored:
            return ""
        return f"{self.columns[0].dataset}.{self.columns[0].name}"

    @property
    def batch(self) -> bool:
        """Whether jobs run it: scores that fit into one slot and two-level tables."""
        card, score = self.card, self.kind is ContractKind.SCORE
        return score and card.parts == 1 and card.m <= SplitGate.most_bits

    @property
    def idle(self) -> frozenset[UsedColumn]:
        """Columns that change neither score nor veto."""
        in_groups = {member for group in self.card.groups for member in group.members}
        return frozenset(
            column
            for i, column in enumerate(self.columns)
            if self.card.weights[i] == 0 and i not in in_groups
        )

    def score(self, total: int) -> Fraction:
        """Return the author's points for a total."""
        return Fraction(total + self.base, self.scale)

    @property
    def widths(self) -> tuple[int, ...]:
        """Return how many totals each step holds, within 0 to top."""
        firsts = [first for first, _ in self.card.steps]
        return tuple(b - a for a, b in pairwise([*firsts, self.card.top + 1]))

    def explain(self, code: int) -> Explained:
        """Say what a code means; raises `OutOfRange` for the guard zone."""
        if 0 <= code < len(self.outcomes):
            return Explained(Answer.SCORED, outcome=self.outcomes[code])
        if code == OUT_OF_RANGE:
            raise OutOfRange(
                f"contract `{self.id}`: the total is outside 0 to {self.card.top}",
                "a custodian's data break their schema: report this call",
            )
        if not 0 <= -2 - code < len(self.card.groups):
            raise RuntimeError(f"contract `{self.id}` has no code {code}")
        name = self.card.groups[-2 - code].name
        if name == INSUFFICIENT_DATA:
            return Explained(Answer.INSUFFICIENT_DATA)
        return Explained(Answer.VETOED, name)

    @property
    def _is_plain(self) -> bool:
        score = self.kind is ContractKind.SCORE and self.gate == FLAT
        return score and self.rounding == "0"

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        card = self.card
        plain = self._is_plain
        of_kind: dict[str, Json] = {
            "kind": self.kind.value,
            "gate": self.gate,
            "claim": None if self.claim is None else self.claim.to_json(),
            "joint": None if self.joint is None else self.joint.to_json(),
            "rounding": self.rounding,
        }
        return dumps(
            {
                "v": VERSION if plain else KIND_VERSION,
                **({} if plain else of_kind),
                "id": self.id,
                "version": self.version,
                "purpose": self.purpose,
                "subject_type": self.subject_type,
                "author": self.author,
                "banks": self.banks,
                "datasets": [self._dataset(dataset) for dataset in self.datasets],
                "scale": self.scale,
                "base": self.base,
                "shift": card.shift,
                "top": card.top,
                "m": card.m,
                "fields": [(field.offset, field.bits) for field in card.fields],
                "groups": [
                    {
                        "name": group.name,
                        "members": group.members,
                        "sign": group.sign,
                        "constant": group.constant,
                    }
                    for group in card.groups
                ],
                "outcome_fields": [name for name, _ in self.outcomes[0]],
                "outcomes": [[value for _, value in row] for row in self.outcomes],
                "steps": card.steps,
                "release": {
                    "most_outcomes": self.most_outcomes,
                    "narrowest_band": self.narrowest_band,
                },
                "millibits": self.millibits,
                "limit_millibits": self.limit_millibits,
                "waivers": [
                    {"rule": w.rule, "reason": w.reason, "signed_by": w.signed_by}
                    for w in self.waivers
                ],
            }
        )

    def _dataset(self, dataset: UsedDataset) -> Json:
        columns: list[Json] = [
            (column.name, column.index, weight)
            for column, weight in zip(self.columns, self.card.weights, strict=True)
            if column.dataset == dataset.id
        ]
        return {
            "id": dataset.id,
            "schema": dataset.schema_hash.hex(),
            "tier": dataset.tier.value,
            "custodian": dataset.custodian,
            "columns": columns,
        }

    @classmethod
    def parse(cls, data: bytes) -> "Compiled":
        """Read strictly, and check what can be checked without the schemas.

        Raises `FormatError` for bytes not in the format, `DocumentInvalid` for
        integers that do not fit each other.  Who must be sure that they are the
        contract's compiles its text anew.
        """
        version = version_of(data)
        plain = version != KIND_VERSION
        reader = Reader(loads(data, VERSION if plain else KIND_VERSION))
        kind, gate = (ContractKind.SCORE, FLAT) if plain else _read_kind(reader)
        claim = None if plain else reader.optional("claim")
        joint = None if plain else reader.optional("joint")
        part = None if joint is None else Joint.from_json(joint)
        rounding = "0" if plain else reader.text("rounding")
        scale = reader.integer("scale", 1)
        datasets, columns, weights = _read_datasets(reader.readers("datasets"))
        names, release = reader.texts("outcome_fields"), reader.reader("release")
        told = reader.integer("millibits")
        compiled = cls(
            id=reader.text("id"),
            version=reader.integer("version", 1),
            purpose=reader.text("purpose"),
            subject_type=reader.text("subject_type"),
            author=reader.text("author"),
            banks=reader.texts("banks"),
            datasets=datasets,
            columns=columns,
            card=replace(_read_card(reader, weights), added=_reach(part, scale)),
            scale=scale,
            base=reader.integer("base", -MAX_INTEGER),
            outcomes=tuple(_read_outcome(names, i) for i in reader.items("outcomes")),
            most_outcomes=release.integer("most_outcomes", 1),
            narrowest_band=release.text("narrowest_band"),
            limit_millibits=reader.integer("limit_millibits", 1),
            waivers=tuple(_read_waiver(item) for item in reader.readers("waivers")),
            kind=kind,
            gate=gate,
            claim=None if claim is None else Claim.from_json(claim),
            joint=part,
            rounding=rounding,
        )
        release.close()
        reader.close()
        if compiled._is_plain is not plain:
            raise FormatError("a score with flat tables is of version 1")
        _check(compiled, told)
        return compiled


def millibits(outcomes: int, groups: int) -> int:
    """Return ceil(1000 log2(outcomes + 2^groups - 1)), in integers."""
    answers = outcomes + (1 << groups) - 1
    return int(answers**1000 - 1).bit_length()


# -- reading -------------------------------------------------------------------


def _read_kind(reader: Reader) -> tuple[ContractKind, str]:
    kind, gate = reader.text("kind"), reader.text("gate")
    if kind not in list(ContractKind):
        raise FormatError(f"unknown kind `{kind}`")
    if gate not in GATES:
        raise FormatError(f"unknown gate `{gate}`")
    return ContractKind(kind), gate


def _read_datasets(
    readers: list[Reader],
) -> tuple[tuple[UsedDataset, ...], tuple[UsedColumn, ...], tuple[int, ...]]:
    datasets, columns, weights = [], [], []
    for reader in readers:
        tier = reader.text("tier")
        if tier not in list(Tier):
            raise FormatError(f"unknown tier `{tier}`")
        dataset = UsedDataset(
            reader.text("id"),
            reader.hex("schema", HASH_BYTES),
            Tier(tier),
            reader.text("custodian"),
        )
        datasets.append(dataset)
        for item in reader.items("columns"):
            match item:
                case [str(name), index, weight]:
                    number = _integer("columns", index)
                    columns.append(UsedColumn(dataset.id, name, number))
                    weights.append(_integer("columns", weight))
                case _:
                    raise FormatError("member `columns`: expected name, index, weight")
        reader.close()
    return tuple(datasets), tuple(columns), tuple(weights)


def _reach(joint: Joint | None, scale: int) -> int:
    """Return the largest number that the bank may add."""
    if joint is None:
        return 0
    reach = (Fraction(joint.most) - Fraction(joint.least)) * scale
    if reach <= 0 or reach.denominator != 1:
        raise FormatError("member `joint`: expected ends that are whole steps apart")
    return reach.numerator


def _read_card(reader: Reader, weights: tuple[int, ...]) -> Scorecard:
    return Scorecard(
        weights=weights,
        shift=reader.integer("shift"),
        top=reader.integer("top"),
        m=reader.integer("m", most=64),
        steps=tuple(_pair("steps", item) for item in reader.items("steps")),
        groups=tuple(_read_group(item) for item in reader.readers("groups")),
        fields=tuple(Field(*_pair("fields", f)) for f in reader.items("fields")),
    )


def _read_group(reader: Reader) -> Group:
    members = reader.items("members")
    group = Group(
        reader.text("name"),
        tuple(_integer("members", item) for item in members),
        reader.integer("sign", -1, 1),
        reader.integer("constant"),
    )
    reader.close()
    return group


def _read_outcome(names: tuple[str, ...], item: Json) -> Outcome:
    if not isinstance(item, list) or len(item) != len(names) or not names:
        raise FormatError("member `outcomes`: expected one value for each field")
    values: list[str | int] = []
    for value in item:
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise FormatError("member `outcomes`: expected texts and integers")
        values.append(value)
    return tuple(zip(names, values, strict=True))


def _read_waiver(reader: Reader) -> Waiver:
    waiver = Waiver(
        reader.text("rule"), reader.text("reason"), reader.text("signed_by")
    )
    reader.close()
    return waiver


def _integer(name: str, item: Json) -> int:
    if not isinstance(item, int) or isinstance(item, bool):
        raise FormatError(f"member `{name}`: expected integers")
    return item


def _pair(name: str, item: Json) -> tuple[int, int]:
    match item:
        case [first, second]:
            return _integer(name, first), _integer(name, second)
        case _:
            raise FormatError(f"member `{name}`: expected pairs of integers")


def _check(compiled: Compiled, told_millibits: int) -> None:
    """Raise `DocumentInvalid` for the first sum that is broken.

    1. datasets: one at least, each once, its columns ascending and the last its
       `_present`;
    2. insufficient_data: just the `_present` columns, which are in nothing else;
    3. the smallest m; every outcome once and used; a step changes the outcome;
    4. what the author promised: outcomes, bits; who answers for a waiver.
    """
    card, outcomes = compiled.card, compiled.outcomes
    custodians = {dataset.custodian for dataset in compiled.datasets}
    _check_columns(compiled)  # 1
    present = tuple(i for i, c in enumerate(compiled.columns) if c.name == PRESENT)
    vetoes = {member for group in card.groups[:-1] for member in group.members}
    checks = {
        "insufficient_data is not over the `_present` columns": (  # 2
            card.groups[-1].members == present
        ),
        "a `_present` column is a veto": vetoes.isdisjoint(present),
        "a `_present` column has a weight": not any(card.weights[i] for i in present),
        "m is not the smallest that fits": (  # 3
            card.m == (2 * card.top + 1).bit_length()
        ),
        "two outcomes are one": len(set(outcomes)) == len(outcomes),
        "steps and outcomes do not fit": (
            {outcome for _, outcome in card.steps} == set(range(len(outcomes)))
        ),
        "a step changes nothing": all(a[1] != b[1] for a, b in pairwise(card.steps)),
        "no bank may call": bool(compiled.banks),
        "millibits are not those of the outcomes": (  # 4
            told_millibits == compiled.millibits
        ),
        "a call reveals more than the limit": (
            compiled.millibits <= compiled.limit_millibits
        ),
        "more outcomes than released": len(outcomes) <= compiled.most_outcomes,
        "a waiver is not a custodian's": (
            {waiver.signed_by for waiver in compiled.waivers} <= custodians
        ),
        "a claim is not what it verifies": (
            (compiled.claim is not None) is (compiled.kind is ContractKind.VERIFY)
        ),
        "its rounding is no margin": (
            DECIMAL.fullmatch(compiled.rounding) is not None
            and not compiled.rounding.startswith("-")
        ),
        "the bank's part is not what makes it joint": (
            (compiled.joint is not None) is (compiled.kind is ContractKind.JOINT)
        ),
        "its gate is too narrow": card.m <= GATES[compiled.gate].most_bits,
    }
    for broken, holds in checks.items():
        if not holds:
            raise DocumentInvalid(f"contract `{compiled.id}`: {broken}")


def _check_columns(compiled: Compiled) -> None:
    names = [dataset.id for dataset in compiled.datasets]
    if not names or len(set(names)) != len(names):
        raise DocumentInvalid(f"contract `{compiled.id}`: a dataset is there twice")
    for name in names:
        columns = [c for c in compiled.columns if c.dataset == name]
        ascending = all(0 <= a.index < b.index for a, b in pairwise(columns))
        if [c.name for c in columns if c.name == PRESENT] != [PRESENT] or (
            columns[-1].name != PRESENT or not ascending
        ):
            raise DocumentInvalid(
                f"contract `{compiled.id}`: columns of `{name}` are not in order"
            )
