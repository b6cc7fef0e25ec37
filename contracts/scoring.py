r"""The question a bank may ask: points, vetoes and what is told of the total.

A YAML document (`contracts.source`) of kind `ScoringContract`::

    metadata: {name: german-card, version: 1, title: 贷款预审评分}
    spec:
      purpose: loan-precheck            # one word of PURPOSES
      subject: opaque
      author: jnrcb                     # party id; activates and retires it
      banks: [jnrcb, lsbank]            # who may call it
      base: 447
      groups:                           # first-level indicators 一级指标
        - name: housing
          indicators:                   # second-level indicators 二级指标
            - {column: housing-loans.housing, points: {rent: -14, own: 7}}
            - {column: tax.sites, per_unit: -2}          # an integer column
            - {column: tax.grade_a, points: 100}         # a flag: when it is 1
      vetoes:
        - {reason: in-court, title: 失信被执行人, flags: [court.wanted, court.limited]}
      outcome:
        grade: {bands: [{value: D}, {from: 350, value: C}]}
        limit: {from: 400, step: 10, amount: 1000000, cap: 30000000}   # fen
      release: {most_outcomes: 40, narrowest_band: 10, bits_per_90_days: 6}
      waivers:
        - {rule: veto-flags/in-court, reason: only two flags exist, signed_by: court}
      examples:                         # golden: cells, and what comes of them
        - {given: {housing-loans.housing: own}, expect: {grade: C, limit: 0}}
        - {given: {court.wanted: "1"}, vetoed: in-court}
        - {given: {}, insufficient_data: true}

A model of real weights, such as a logistic regression, says to which step they are
rounded, and may give them as it was trained, per standard deviation from the mean;
and in a *joint* score the bank adds points of a model of its own, within a range::

      step: 0.00000001                  # weights are multiples of it; a margin results
      joint: {least: -2, most: 0.6}     # points of the bank's; in examples: bank: -0.3
        - column: credit.limit          # -0.102588 (limit - mean) / deviation
          standardised: {weight: -0.102588, mean: 16.7484322, deviation: 12.9745499}

score = base + points of all indicators, exact decimals; `contracts.outcome` says
what is told of it.  Whether columns and classes exist is known only beside the
datasets: `contracts.compile` goes on from here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final, TypeAlias

from contracts.outcome import OutcomeField, read_outcome
from contracts.source import (
    COLUMN,
    NAME,
    Document,
    Node,
    Place,
    shown,
)
from contracts.subject import SubjectType
from protocols.program import INSUFFICIENT_DATA, MAX_OUTCOMES

KIND: Final = "ScoringContract"

PURPOSES: Final = {
    "loan-precheck": "贷款预审",
    "loan-approval": "贷款审批",
    "pre-approval": "白名单预授信",
    "post-loan": "贷后管理",
    "risk-warning": "风险预警",
    "interest-subsidy": "贴息",
    "credit-rating": "信用评级",
    "statistics": "统计分析",
}

MAX_VERSION = 1_000_000
MAX_BITS = 1_000  # of one subject in 90 days
DEFAULT_BITS = 12


class Rule(StrEnum):
    """Approval rules against extraction (PROTOCOL 5); `contracts.rules` checks them.

    `veto-flags` is about one reason and is waived as `veto-flags/<reason>`.
    """

    INDICATORS = "indicators"
    CATEGORIES = "categories"
    CUSTODIANS = "custodians"
    SHARE = "share"
    OUTCOMES = "outcomes"
    NARROWEST_BAND = "narrowest-band"
    VETO_FLAGS = "veto-flags"
    INPUT_BITS = "input-bits"
    JOINT_RANGE = "joint-range"


@dataclass(frozen=True, slots=True)
class Ref:
    """A column of a dataset, as a contract names it."""

    dataset: str
    column: str
    place: Place = field(compare=False)

    def __str__(self) -> str:
        return f"{self.dataset}.{self.column}"


# -- points --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClassPoints:
    """Points of one class."""

    label: str
    points: Fraction
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class ByClass:
    """Points of a category or of bins, one for each class."""

    classes: tuple[ClassPoints, ...]
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class WhenSet:
    """Points of a flag that is 1."""

    points: Fraction
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class PerUnit:
    """Points for each unit of a number, counted from an origin."""

    points: Fraction
    place: Place = field(compare=False)
    origin: Fraction = Fraction(0)


Points: TypeAlias = ByClass | WhenSet | PerUnit
POINTS: Final = ("points", "per_unit", "standardised")  # how a document gives them


@dataclass(frozen=True, slots=True)
class Indicator:
    """A second-level indicator: a column, and what it is worth."""

    column: Ref
    points: Points


@dataclass(frozen=True, slots=True)
class IndicatorGroup:
    """A first-level indicator; it only orders the document."""

    name: str
    title: str
    indicators: tuple[Indicator, ...]


@dataclass(frozen=True, slots=True)
class Veto:
    """Flags that reject; the bank is told the reason, never which flag."""

    reason: str
    title: str
    flags: tuple[Ref, ...]


# -- conditions ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Release:
    """What the author promises not to exceed."""

    most_outcomes: int
    narrowest_band: Decimal  # points
    bits_per_90_days: int  # of one subject to one bank
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class JointPart:
    """The range of the points that a bank adds."""

    least: Decimal
    most: Decimal
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Waiver:
    """A custodian answers for a rule that is not kept.

    It is part of the contract's hash, and that hash is what custodians sign: so
    only one whose data the contract reads can answer.
    """

    rule: str
    reason: str
    signed_by: str  # party id
    place: Place = field(default=Place("", 0, 0), compare=False)


# -- examples ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Example:
    """Plain cells and what must come of them; a contract is not active before."""

    given: tuple[tuple[Ref, str], ...]
    expect: tuple[tuple[str, str | int], ...] = ()
    vetoed: str = ""
    insufficient_data: bool = False
    bank: Decimal | None = None  # points, in a joint score
    place: Place = field(default=Place("", 0, 0), compare=False)


# -- the document --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ScoringContract:
    """A contract as its author wrote it."""

    name: str
    version: int
    title: str
    purpose: str
    subject_type: SubjectType
    author: str
    banks: tuple[str, ...]
    base: Fraction
    groups: tuple[IndicatorGroup, ...]
    vetoes: tuple[Veto, ...]
    outcome: tuple[OutcomeField, ...]
    release: Release
    waivers: tuple[Waiver, ...]
    examples: tuple[Example, ...]
    place: Place = field(compare=False)
    step: Fraction | None = None  # points are rounded to it
    joint: JointPart | None = None

    @classmethod
    def from_yaml(cls, data: bytes | str, path: str) -> "ScoringContract":
        """Read a document; raises `SourceError`."""
        document = Document.parse(data, path, KIND)
        meta = document.metadata.members(("name", "version"), ("title",))
        optional = ("vetoes", "waivers", "step", "joint")
        spec = document.spec.members(_REQUIRED, optional)
        vetoes = _vetoes(spec["vetoes"]) if "vetoes" in spec else ()
        outcome = read_outcome(spec["outcome"])
        reasons = tuple(veto.reason for veto in vetoes)
        fields = tuple(item.name for item in outcome)
        joint = _joint(spec["joint"]) if "joint" in spec else None
        return cls(
            name=meta["name"].name(),
            version=meta["version"].integer(1, MAX_VERSION),
            title=meta["title"].text() if "title" in meta else "",
            purpose=spec["purpose"].word(tuple(PURPOSES)),
            subject_type=SubjectType(
                spec["subject"].word([word.value for word in SubjectType])
            ),
            author=spec["author"].party(),
            banks=read_parties(spec["banks"]),
            base=Fraction(spec["base"].decimal()),
            groups=_groups(spec["groups"]),
            vetoes=vetoes,
            outcome=outcome,
            release=_release(spec["release"]),
            waivers=read_waivers(spec["waivers"], _rules(reasons))
            if "waivers" in spec
            else (),
            examples=tuple(
                _example(node, reasons, fields, joint=joint is not None)
                for node in spec["examples"].items(1)
            ),
            place=document.spec.place,
            step=_step(spec["step"]) if "step" in spec else None,
            joint=joint,
        )

    @property
    def indicators(self) -> tuple[Indicator, ...]:
        """All second-level indicators, in the order of the document."""
        return tuple(item for group in self.groups for item in group.indicators)


_REQUIRED: Final = (
    "purpose",
    "subject",
    "author",
    "banks",
    "base",
    "groups",
    "outcome",
    "release",
    "examples",
)


def read_parties(node: Node) -> tuple[str, ...]:
    """Read party ids, each once."""
    parties: list[str] = []
    for item in node.items(1):
        party = item.party()
        if party in parties:
            raise item.error(f"`{party}` is there twice")
        parties.append(party)
    return tuple(parties)


def read_ref(node: Node) -> Ref:
    """Read `dataset.column`."""
    text = node.text()
    dataset, dot, column = text.partition(".")
    if not dot or not NAME.fullmatch(dataset) or not COLUMN.fullmatch(column):
        raise node.error(f"expected `dataset.column`, got `{shown(text)}`")
    return Ref(dataset, column, node.place)


def _groups(node: Node) -> tuple[IndicatorGroup, ...]:
    groups: list[IndicatorGroup] = []
    seen: dict[Ref, Place] = {}
    for item in node.items(1):
        members = item.members(("name", "indicators"), ("title",))
        name = members["name"].name()
        if name in (group.name for group in groups):
            raise members["name"].error(f"group `{name}` is there twice")
        indicators = tuple(_indicator(i) for i in members["indicators"].items(1))
        for indicator in indicators:
            _once(seen, indicator.column, "has points")
        title = members["title"].text() if "title" in members else ""
        groups.append(IndicatorGroup(name, title, indicators))
    return tuple(groups)


def _once(seen: dict[Ref, Place], ref: Ref, what: str) -> None:
    if ref in seen:
        raise ref.place.error(f"`{ref}` {what} already in line {seen[ref].line}")
    seen[ref] = ref.place


def _step(node: Node) -> Fraction:
    step = Fraction(node.decimal())
    if step <= 0 or step.numerator != 1:
        raise node.error("expected a step of 1, 0.1, 0.01 or another whole part of 1")
    return step


def _joint(node: Node) -> JointPart:
    members = node.members(("least", "most"))
    part = JointPart(
        members["least"].decimal(), members["most"].decimal(), members["most"].place
    )
    if part.most <= part.least:
        raise part.place.error("expected `most` above `least`")
    return part


def _indicator(node: Node) -> Indicator:
    members = node.members(("column",), (*POINTS, "title"))
    return Indicator(read_ref(members["column"]), read_points(node, members))


def read_points(node: Node, members: Mapping[str, Node]) -> Points:
    """Read what an indicator's column is worth; raises `SourceError`."""
    if sum(word in members for word in POINTS) != 1:
        raise node.error("expected one of `points`, `per_unit`, `standardised`")
    if "per_unit" in members:
        per_unit = members["per_unit"]
        points: Points = PerUnit(Fraction(per_unit.decimal()), per_unit.place)
    elif "standardised" in members:
        points = _standardised(members["standardised"])
    elif members["points"].is_scalar():
        when_set = members["points"]
        points = WhenSet(Fraction(when_set.decimal()), when_set.place)
    else:
        classes = [
            ClassPoints(label.text(), Fraction(value.decimal()), label.place)
            for label, value in members["points"].entries(1)
        ]
        points = ByClass(tuple(classes), members["points"].place)
    return points


def _standardised(node: Node) -> PerUnit:
    members = node.members(("weight", "mean", "deviation"))
    deviation = Fraction(members["deviation"].decimal())
    if deviation <= 0:
        raise members["deviation"].error("expected a deviation above 0")
    return PerUnit(
        Fraction(members["weight"].decimal()) / deviation,
        node.place,
        Fraction(members["mean"].decimal()),
    )


def _vetoes(node: Node) -> tuple[Veto, ...]:
    vetoes: list[Veto] = []
    seen: dict[Ref, Place] = {}
    for item in node.items():
        members = item.members(("reason", "flags"), ("title",))
        reason = members["reason"].name()
        if reason in (veto.reason for veto in vetoes):
            raise members["reason"].error(f"reason `{reason}` is there twice")
        flags = tuple(read_ref(flag) for flag in members["flags"].items(1))
        for flag in flags:
            _once(seen, flag, "is a veto")
        title = members["title"].text() if "title" in members else ""
        vetoes.append(Veto(reason, title, flags))
    return tuple(vetoes)


def _release(node: Node) -> Release:
    members = node.members(("most_outcomes", "narrowest_band"), ("bits_per_90_days",))
    narrowest = members["narrowest_band"].decimal()
    if narrowest <= 0:
        raise members["narrowest_band"].error("expected a width above 0")
    bits = DEFAULT_BITS
    if "bits_per_90_days" in members:
        bits = members["bits_per_90_days"].integer(1, MAX_BITS)
    return Release(
        members["most_outcomes"].integer(1, MAX_OUTCOMES), narrowest, bits, node.place
    )


def _rules(reasons: tuple[str, ...]) -> tuple[str, ...]:
    known = tuple(rule.value for rule in Rule if rule is not Rule.VETO_FLAGS)
    return known + tuple(f"{Rule.VETO_FLAGS}/{reason}" for reason in reasons)


def read_waivers(node: Node, known: tuple[str, ...]) -> tuple[Waiver, ...]:
    """Read who answers for which of the `known` rules."""
    waivers: dict[str, Waiver] = {}
    for item in node.items():
        members = item.members(("rule", "reason", "signed_by"))
        rule = members["rule"].word(known)
        if rule in waivers:
            raise members["rule"].error(f"rule `{rule}` is waived twice")
        waivers[rule] = Waiver(
            rule,
            members["reason"].text(),
            members["signed_by"].party(),
            members["signed_by"].place,
        )
    return tuple(waivers.values())


def _example(
    node: Node, reasons: tuple[str, ...], fields: tuple[str, ...], *, joint: bool
) -> Example:
    wanted = ("expect", "vetoed", INSUFFICIENT_DATA)
    members = node.members(("given", *(("bank",) if joint else ())), wanted)
    if sum(key in members for key in wanted) != 1:
        raise node.error(f"expected one of {', '.join(f'`{key}`' for key in wanted)}")
    given = tuple((read_ref(k), v.cell()) for k, v in members["given"].entries())
    example = Example(
        given, bank=members["bank"].decimal() if joint else None, place=node.place
    )
    if "expect" in members:
        values = members["expect"].members(fields)
        expect = tuple((name, values[name].value()) for name in fields)
        return replace(example, expect=expect)
    if "vetoed" in members:
        return replace(example, vetoed=members["vetoed"].word(reasons))
    if not members[INSUFFICIENT_DATA].flag():
        raise members[INSUFFICIENT_DATA].error("expected true")
    return replace(example, insufficient_data=True)
