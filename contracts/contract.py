"""What every contract says, whatever it asks: who may ask what of whose data.

A contract asks one kind of question.  Its kind is in its canonical bytes and so in
its hash, which is what custodians sign; a contract that is called through another
kind's method is refused by name (`contracts.decide`).  `contracts.kinds` is the one
table of kinds: it says for each how it is written, compiled, checked and planned.

Who must approve is the same for all: every custodian whose data are read.

>>> from contracts.dataset import Tier
>>> used = UsedDataset("tax", bytes(32), Tier.T1, "tax-bureau")
>>> custodians([used, used])
('tax-bureau',)
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from contracts.dataset import Tier
from contracts.scoring import Waiver


class ContractKind(StrEnum):
    """Which kind of question a contract asks; the word stands in hashes."""

    SCORE = "score"
    AGGREGATE = "aggregate"
    RANGE = "range"
    VERIFY = "verify"
    PSI = "psi"
    JOINT = "joint"

    @property
    def shared(self) -> bool:
        """Whether the bank adds a number of its own, in two shares.

        Such a question is never a repeat: another number may stand behind it.
        """
        return self in {ContractKind.VERIFY, ContractKind.JOINT}

    @property
    def scored(self) -> bool:
        """Whether it is about a weighted sum of many columns, with bands and vetoes."""
        return self in {ContractKind.SCORE, ContractKind.JOINT}


@dataclass(frozen=True, slots=True)
class UsedDataset:
    """A dataset that a contract reads."""

    id: str
    schema_hash: bytes
    tier: Tier
    custodian: str  # party id


@dataclass(frozen=True, slots=True)
class UsedColumn:
    """An encrypted column that a contract reads."""

    dataset: str
    name: str
    index: int  # among the dataset's encrypted columns


class Contract(Protocol):
    """A compiled contract of any kind."""

    @property
    def kind(self) -> ContractKind:
        """Which kind of question it asks."""

    @property
    def id(self) -> str:
        """Its author's name for it."""

    @property
    def version(self) -> int:
        """From 1; a change is a new version."""

    @property
    def purpose(self) -> str:
        """One word of `contracts.scoring.PURPOSES`."""

    @property
    def subject_type(self) -> str:
        """Whom it is about."""

    @property
    def author(self) -> str:
        """Party id of who submits, activates and retires it."""

    @property
    def banks(self) -> tuple[str, ...]:
        """Who may call it."""

    @property
    def datasets(self) -> tuple[UsedDataset, ...]:
        """What it reads; their custodians approve it."""

    @property
    def columns(self) -> tuple[UsedColumn, ...]:
        """Encrypted columns that it reads, one dataset after the other."""

    @property
    def idle(self) -> frozenset[UsedColumn]:
        """Columns that change no answer, read so that nobody sees which do."""

    @property
    def waivers(self) -> tuple[Waiver, ...]:
        """Rules that are not kept, and who answers for it."""

    @property
    def millibits(self) -> int:
        """What one call reveals at most, in thousandths of a bit."""

    @property
    def limit_millibits(self) -> int:
        """What it may reveal of one subject to one bank in 90 days."""

    @property
    def hash(self) -> bytes:
        """Digest of its canonical bytes: 32 bytes that name it."""

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""


def custodians(datasets: Iterable[UsedDataset]) -> tuple[str, ...]:
    """Return whose approval a contract over these needs, sorted."""
    return tuple(sorted({used.custodian for used in datasets}))
