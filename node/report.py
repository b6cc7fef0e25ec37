r"""What an audit came to: counts, findings, and a verdict.

>>> finding = Finding("house", 7, "ab" * 32, "DECISION_DIFFERS", "permitted, but no")
>>> print(str(finding)[:48])
house entry 7, call abababababababab: permitted,
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from contracts.cross_check import Unfinished
from node.errors import ExportInvalid, FindingsFound, ForkFound
from protocols.canon import Json
from protocols.note import Checkpoint

CALL_SHOWN: Final = 16  # digits

# Marks of findings, beside those of `contracts.replay.Mark`.
FORK: Final = "FORK"
EXPORT_INVALID: Final = "EXPORT_INVALID"
RECEIPT_INVALID: Final = "RECEIPT_INVALID"
BEYOND_EXPORT: Final = "BEYOND_EXPORT"
DOMAIN_DIFFERS: Final = "DOMAIN_DIFFERS"
COSIGNATURE_INVALID: Final = "COSIGNATURE_INVALID"


class Verdict(StrEnum):
    """What an audit came to, the gravest first."""

    FORKED = "forked"  # a journal signed two histories
    INVALID = "invalid"  # an export is not what was signed
    FINDINGS = "findings"  # what was signed is not as it must be
    CLEAN = "clean"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be."""

    journal: str  # `house`, `authority`, or what else it is about
    index: int | None  # of the entry, where it is about one
    call: str  # hexadecimal request hash, or ""
    mark: str
    sentence: str

    def __str__(self) -> str:
        entry = "" if self.index is None else f" entry {self.index}"
        if entry and self.sentence.startswith((f"{entry[1:]} ", f"{entry[1:]}:")):
            entry = ""  # the sentence names it
        call = f", call {self.call[:CALL_SHOWN]}" if self.call else ""
        return f"{self.journal}{entry}{call}: {self.sentence}"

    def to_json(self) -> dict[str, Json]:
        """Write for machines."""
        return {
            "journal": self.journal,
            "index": self.index,
            "call": self.call,
            "mark": self.mark,
            "sentence": self.sentence,
        }


@dataclass(frozen=True, slots=True)
class Cosigned:
    """That a witness has seen a journal up to here, at a time."""

    witness: str
    size: int
    time_s: int

    def to_json(self) -> dict[str, Json]:
        """Write for machines."""
        return {"witness": self.witness, "size": self.size, "time_s": self.time_s}


@dataclass(frozen=True, slots=True)
class Report:
    """What was read, and what was found."""

    heads: Mapping[str, Checkpoint]  # by journal: how far it goes
    entries: int
    checkpoints: int
    calls: int  # decided by the house
    permits: int
    denials: Mapping[str, int]  # by public reason, of both
    decisions_replayed: int
    beyond: Mapping[str, int]  # reasons that no journal can show again
    unopened: int  # permits whose commitments nobody opened
    unfinished: Unfinished
    receipts: int  # of banks
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()  # of a fork: the evidence
    cosigned: Mapping[str, tuple[Cosigned, ...]] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The gravest of the findings."""
        marks = {finding.mark for finding in self.findings}
        if FORK in marks:
            return Verdict.FORKED
        if EXPORT_INVALID in marks:
            return Verdict.INVALID
        return Verdict.FINDINGS if marks else Verdict.CLEAN

    def check(self) -> None:
        """Raise `ForkFound`, `ExportInvalid` or `FindingsFound` unless clean."""
        verdict = self.verdict
        if verdict is Verdict.CLEAN:
            return
        mark = {Verdict.FORKED: FORK, Verdict.INVALID: EXPORT_INVALID}.get(verdict)
        first = next(f for f in self.findings if mark in (None, f.mark))
        more = len(self.findings) - 1
        told = f"{first}{f' (and {more} more)' if more else ''}"
        if verdict is Verdict.FORKED:
            raise ForkFound(told, self.notes)
        if verdict is Verdict.INVALID:
            raise ExportInvalid(told, index=first.index)
        raise FindingsFound(told, "each finding names its journal and entry")

    def to_json(self) -> dict[str, Json]:
        """Write for machines."""
        return {
            "verdict": self.verdict.value,
            "journals": {
                name: {
                    "origin": head.origin,
                    "size": head.size,
                    "root": head.root.hex(),
                    "cosigned": [
                        each.to_json() for each in self.cosigned.get(name, ())
                    ],
                }
                for name, head in self.heads.items()
            },
            "entries": self.entries,
            "checkpoints": self.checkpoints,
            "calls": self.calls,
            "permits": self.permits,
            "denials": dict(self.denials),
            "decisions_replayed": self.decisions_replayed,
            "beyond_replay": dict(self.beyond),
            "unopened": self.unopened,
            "unfinished": {
                "intents": self.unfinished.intents,
                "permits": self.unfinished.permits,
                "answers": self.unfinished.answers,
            },
            "receipts": self.receipts,
            "findings": [finding.to_json() for finding in self.findings],
            "notes": list(self.notes),
        }
