"""What does not agree in a journal: the words of replay and cross-check."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from contracts.decide import Reason

SKEW_MS: Final = 300_000  # PROTOCOL 3, Time
JTI_KEPT_MS: Final = SKEW_MS + 600_000  # after iat

BEYOND_REPLAY: Final = frozenset(
    {
        Reason.REPLAY_MISMATCH,
        Reason.CLOCK_SKEW,
        Reason.SIGNATURE_INVALID,
        Reason.OBJECTION,
        Reason.STALE_DATA,
        Reason.DATA_DAMAGED,
        Reason.OUTSIDE_FILTER,
        Reason.TICKET_INVALID,
        Reason.MESSAGE_INVALID,
        Reason.INTENT_UNPROVEN,
        Reason.INTERNAL,
    }
)


class Role(StrEnum):
    """Whose journal it is."""

    HOUSE = "house"
    AUTHORITY = "authority"


class Mark(StrEnum):
    """What kind of discrepancy it is."""

    TIME_WENT_BACK = "TIME_WENT_BACK"
    FOREIGN_KIND = "FOREIGN_KIND"
    MALFORMED = "MALFORMED"  # not what its kind holds, or contradicts itself
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    JTI_REUSED = "JTI_REUSED"
    CLOCK_SKEW = "CLOCK_SKEW"
    TICKET_REUSED = "TICKET_REUSED"
    SEED_REUSED = "SEED_REUSED"
    DECISION_DIFFERS = "DECISION_DIFFERS"
    GRANTED_AFTER_CALL = "GRANTED_AFTER_CALL"
    BITS_DIFFER = "BITS_DIFFER"
    EPSILON_DIFFERS = "EPSILON_DIFFERS"
    REPEAT_UNFOUNDED = "REPEAT_UNFOUNDED"
    SUBJECTS_DIFFER = "SUBJECTS_DIFFER"
    BASES_DIFFER = "BASES_DIFFER"  # between house and authority
    CLASSES_DIFFER = "CLASSES_DIFFER"  # between house and authority
    ERASURES_DIFFER = "ERASURES_DIFFER"  # between house and authority
    STALE_INPUT = "STALE_INPUT"
    STEP_REFUSED = "STEP_REFUSED"  # of a consent, a contract or a dataset
    ENTRY_REPEATED = "ENTRY_REPEATED"  # of a job's list, or a block of it
    NO_JOB = "NO_JOB"
    NO_PERMIT = "NO_PERMIT"
    NO_INTENT = "NO_INTENT"
    NO_DONE = "NO_DONE"
    NO_OUTCOME = "NO_OUTCOME"
    NO_DENIAL = "NO_DENIAL"
    RECEIPTS_DIFFER = "RECEIPTS_DIFFER"
    UNLOGGED_RECEIPT = "UNLOGGED_RECEIPT"


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """One thing in a journal that does not follow from the rest of it."""

    role: Role
    index: int  # of the entry; -1 for what is in no journal
    call: str  # hexadecimal request hash, or ""
    mark: Mark
    message: str
    reasons: tuple[Reason, ...] = ()  # as replayed; as logged where replay allows

    def __str__(self) -> str:
        call = f", call {self.call}" if self.call else ""
        return f"{self.role} entry {self.index}{call}: {self.message}"


@dataclass(slots=True)
class Counts:
    """How much was replayed."""

    entries: int = 0
    permits: int = 0  # of the authority; intents of the house
    denials: int = 0
    beyond: Counter[Reason] = field(default_factory=Counter)
    unopened: int = 0  # permits whose commitments were not opened
