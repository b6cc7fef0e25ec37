"""What a contract will touch, tell and cost, before anybody signs it.

`safehouse plan` prints this; here are only the figures.  Bytes of a call, with
flat tables (PROTOCOL 3)::

    tables        2^(m + 1) score rows of 1 byte, 2^bits rows of 2 bytes a group,
                  rounded up to 64
    ciphertext    2 x bits of the key / 8

Products are those of the contract's program over one block of subjects; a batch
shares them among all its subjects.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from contracts.compiled import Compiled
from contracts.dataset import Dataset, Tier
from contracts.rules import LIMITS, Finding, RuleLimits, check_rules
from protocols.lookup import FlatGate
from protocols.program import Program
from protocols.slots import Field


class ConsentNeeded(StrEnum):
    """What a subject must have said before a call."""

    NONE = "none"  # T0 only: lawfully public
    CONSENT = "consent"
    SEPARATE = "separate consent"  # some dataset is T3


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
class Plan:
    """The figures of one contract."""

    compiled: Compiled
    datasets: tuple[PlannedDataset, ...]
    consent: ConsentNeeded
    missing_approvals: tuple[str, ...]  # custodians, sorted
    rules: tuple[Finding, ...]
    table_bytes: int  # a subject
    ciphertext_bytes: int  # a block
    products: int  # a block

    @property
    def columns(self) -> int:
        """Encrypted columns read."""
        return sum(dataset.columns for dataset in self.datasets)

    @property
    def zero_weight(self) -> int:
        """Encrypted columns that change neither score nor veto."""
        return sum(dataset.zero_weight for dataset in self.datasets)

    @property
    def score_range(self) -> tuple[Fraction, Fraction]:
        """Least and highest possible points."""
        return self.compiled.score(0), self.compiled.score(self.compiled.card.top)

    @property
    def fields(self) -> tuple[Field, ...]:
        """How a slot is divided: score, reasons, insufficient_data."""
        return self.compiled.card.fields

    @property
    def calls_per_90_days(self) -> int:
        """Calls that the contract's own limit allows, one subject and bank."""
        return self.compiled.limit_millibits // self.compiled.millibits

    @property
    def broken(self) -> tuple[Finding, ...]:
        """Rules that are neither kept nor waived."""
        return tuple(f for f in self.rules if not f.ok and not f.waived_by)


def plan(
    compiled: Compiled,
    datasets: Mapping[str, Dataset],
    approved: Collection[str] = (),
    key_bits: int = 3072,
    limits: RuleLimits = LIMITS,
) -> Plan:
    """Work out the figures; `approved` are the custodians who have signed."""
    custodians = {use.custodian for use in compiled.datasets}
    return Plan(
        compiled,
        tuple(_dataset(compiled, datasets[use.id]) for use in compiled.datasets),
        _consent({use.tier for use in compiled.datasets}),
        tuple(sorted(custodians - set(approved))),
        check_rules(compiled, datasets, limits),
        FlatGate(compiled.card).table_bytes,
        2 * key_bits // 8,
        Program(compiled.card).products,
    )


def _dataset(compiled: Compiled, dataset: Dataset) -> PlannedDataset:
    in_groups = {m for group in compiled.card.groups for m in group.members}
    numbers = [i for i, c in enumerate(compiled.columns) if c.dataset == dataset.name]
    return PlannedDataset(
        dataset.name,
        dataset.custodian,
        dataset.unit,
        dataset.category,
        dataset.tier,
        len(numbers),
        sum(compiled.card.weights[i] == 0 and i not in in_groups for i in numbers),
    )


def _consent(tiers: set[Tier]) -> ConsentNeeded:
    if Tier.T3 in tiers:
        return ConsentNeeded.SEPARATE
    return ConsentNeeded.NONE if tiers == {Tier.T0} else ConsentNeeded.CONSENT
