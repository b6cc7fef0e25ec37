"""What a contract will touch, tell and cost, before anybody signs it.

`safehouse plan` prints this; here are only the figures.  What all kinds of contract
have in common is in `Plan`; a kind's own figures are `Line`s (`contracts.kinds`).
Those of a score are `ScoreFigures`; bytes of a call, with flat tables (PROTOCOL 3;
`contracts.gates` has the others)::

    tables        2^(m + 1) score rows of 1 byte, 2^bits rows of 2 bytes a group,
                  rounded up to 64
    ciphertext    2 x bits of the key / 8, once or, if the fields do not fit, twice

Products are those of the contract's program over one block of subjects; a batch
shares them among all its subjects.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final, Self

from contracts.compiled import Compiled
from contracts.contract import Contract, ContractKind, custodians
from contracts.dataset import Dataset, Tier
from contracts.finding import Finding
from contracts.gates import Machine, why
from contracts.source import write_decimal
from protocols.canon import Json

MAX_PLACES: Final = 9  # decimals of a contract's points


class ConsentNeeded(StrEnum):
    """What a subject must have said before a call."""

    NONE = "none"  # T0 only: lawfully public
    CONSENT = "consent"
    SEPARATE = "separate consent"  # some dataset is T3
    STATISTICS = "no consent: who objects is left out"


@dataclass(frozen=True, slots=True)
class PlannedDataset:
    """A dataset that the contract reads, and how much of it."""

    id: str
    custodian: str
    unit: str
    category: str
    tier: Tier
    columns: int  # encrypted, `_present` included
    zero_weight: int  # of them, read only so that nobody sees which count


@dataclass(frozen=True, slots=True)
class Line:
    """A figure of a kind's own: for people, and its members for machines."""

    word: str  # at most 8 letters
    text: str
    members: tuple[tuple[str, Json], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The figures of one contract."""

    contract: Contract
    datasets: tuple[PlannedDataset, ...]
    consent: ConsentNeeded
    missing_approvals: tuple[str, ...]  # custodians, sorted
    rules: tuple[Finding, ...]
    lines: tuple[Line, ...]  # of its kind

    @property
    def columns(self) -> int:
        """Encrypted columns read."""
        return sum(dataset.columns for dataset in self.datasets)

    @property
    def zero_weight(self) -> int:
        """Encrypted columns that change no answer."""
        return sum(dataset.zero_weight for dataset in self.datasets)

    @property
    def calls_per_90_days(self) -> int:
        """Calls that the contract's own limit allows, one subject and bank."""
        return _calls(self.contract)

    @property
    def broken(self) -> tuple[Finding, ...]:
        """Rules that are neither kept nor waived."""
        return tuple(f for f in self.rules if not f.ok and not f.waived_by)


def plan(
    contract: Contract,
    datasets: Mapping[str, Dataset],
    rules: tuple[Finding, ...],
    lines: tuple[Line, ...],
    approved: Collection[str] = (),
) -> Plan:
    """Put the figures together; `approved` are the custodians who have signed."""
    missing = set(custodians(contract.datasets)) - set(approved)
    return Plan(
        contract,
        tuple(_dataset(contract, datasets[use.id]) for use in contract.datasets),
        _consent(contract),
        tuple(sorted(missing)),
        rules,
        lines,
    )


def told(contract: Contract, answers: str) -> str:
    """Say what a call tells, and how often."""
    calls = _calls(contract)
    return (
        f"{answers}, {contract.millibits / 1000:.3f} bits a call,"
        f" {calls} {'call' if calls == 1 else 'calls'} a subject in 90 days"
    )


def _calls(contract: Contract) -> int:
    return contract.limit_millibits // contract.millibits


def _dataset(contract: Contract, dataset: Dataset) -> PlannedDataset:
    columns = [c for c in contract.columns if c.dataset == dataset.name]
    return PlannedDataset(
        dataset.name,
        dataset.custodian,
        dataset.unit,
        dataset.category,
        dataset.tier,
        len(columns),
        sum(column in contract.idle for column in columns),
    )


def _consent(contract: Contract) -> ConsentNeeded:
    if contract.kind is ContractKind.AGGREGATE:
        return ConsentNeeded.STATISTICS
    tiers = {use.tier for use in contract.datasets}
    if Tier.T3 in tiers:
        return ConsentNeeded.SEPARATE
    return ConsentNeeded.NONE if tiers == {Tier.T0} else ConsentNeeded.CONSENT


# -- a score -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ScoreFigures:
    """What is particular to a score."""

    least: Fraction  # possible points
    most: Fraction
    m: int
    fields: tuple[int, ...]  # bits: score, reasons, insufficient_data
    outcomes: int
    told: str
    joint: str  # what the bank adds; nothing where it adds nothing
    step: str  # what weights are rounded to; nothing where they are exact
    rounding: str  # points
    gate: str
    why: str
    table_bytes: int  # a subject
    ciphertext_bytes: int  # a block
    products: int  # a block

    @classmethod
    def of(cls, compiled: Compiled, key_bits: int) -> Self:
        """Work the figures out for a key of `key_bits`."""
        card, machine = compiled.card, Machine(compiled)
        return cls(
            compiled.score(0),
            compiled.score(card.top),
            card.m,
            tuple(field.bits for field in card.fields),
            len(compiled.outcomes),
            told(compiled, f"{len(compiled.outcomes)} outcomes"),
            _joint(compiled),
            "" if compiled.rounding == "0" else f"1/{compiled.scale}",
            compiled.rounding,
            compiled.gate,
            why(compiled),
            machine.gate.table_bytes,
            card.parts * 2 * key_bits // 8,
            sum(program.products for program in machine.programs),
        )

    def _own(self) -> tuple[Line, ...]:
        """Tell what a joint or a rounded score has beside the others."""
        lines = []
        if self.joint:
            lines.append(Line("joint", self.joint, (("joint", self.joint),)))
        if self.step:
            lines.append(
                Line(
                    "rounded",
                    f"weights to {self.step}; a score moves by at most {self.rounding}",
                    (("step", self.step), ("rounding", self.rounding)),
                )
            )
        return tuple(lines)

    def lines(self) -> tuple[Line, ...]:
        """Tell them."""
        least, most = (_decimal(end) for end in (self.least, self.most))
        return (
            Line(
                "score",
                f"{least} to {most}; m = {self.m}",
                (("score", (least, most)), ("m", self.m)),
            ),
            *self._own(),
            Line(
                "fields",
                ", ".join(f"{bits} bits" for bits in self.fields),
                (("fields", self.fields),),
            ),
            Line("gate", f"{self.gate}: {self.why}", (("gate", self.gate),)),
            Line("tells", self.told, (("outcomes", self.outcomes),)),
            Line(
                "costs",
                f"{self.products} products and {self.ciphertext_bytes} bytes"
                f" a block, {self.table_bytes} bytes a subject",
                (
                    ("table_bytes", self.table_bytes),
                    ("ciphertext_bytes", self.ciphertext_bytes),
                    ("products", self.products),
                ),
            ),
        )


def _decimal(points: Fraction) -> str:
    """Write points as a decimal where they are one, else as a fraction."""
    places = 0
    while places < MAX_PLACES and (points * 10**places).denominator != 1:
        places += 1
    scaled = points * 10**places
    if scaled.denominator != 1:
        return str(points)
    return write_decimal(Decimal(scaled.numerator).scaleb(-places))


def _joint(compiled: Compiled) -> str:
    joint, card = compiled.joint, compiled.card
    if joint is None:
        return ""
    share = 100 * Fraction(card.added, card.top)
    return (
        f"the bank adds {joint.least} to {joint.most} of a model of its own,"
        f" {float(share):.1f} % of the range; one call a subject in 30 days"
    )


def score_lines(compiled: Compiled, key_bits: int) -> tuple[Line, ...]:
    """Tell the figures of a score."""
    return ScoreFigures.of(compiled, key_bits).lines()
