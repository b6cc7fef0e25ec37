"""Objections 异议: what a subject demands of those who hold its data, beside consent.

A subject says it to a registrar, who signs it (`Tag.OBJECTION`).  Canonical JSON,
version `safehouse/objection/1` for the first demand, `/2` for the others; `subject` is
a commitment, opened beside it as in a consent.

=============  ==================================================================
demand         what follows
=============  ==================================================================
`statistics`   the subject is left out of all statistics, which need no consent
               (`contracts.odometer`), until the same id with `stands: false`
`repair`       信用修复: a dataset's custodian is to look a record up and correct
               it; its signed `Answer` ends it, as `stands: false` does
`erasure`      删除: both nodes forget who the subject is; there is no end to it
=============  ==================================================================

What is over is over, and a new objection has a new id.

Both nodes keep the register, each under its own pseudonyms.  Only the house knows which
slot a subject has, and tells the authority, which believes it once: the place of an
objection never changes, so that a house cannot leave somebody else out, and subtract.
A subject that is erased stays left out for good: its slot is nobody's.

>>> objection = Objection("o-1", bytes(32), SubjectType.OPAQUE, True, "registrar", 0)
>>> Objection.parse(objection.to_bytes()) == objection
True
>>> wrong = replace(objection, demand=Demand.REPAIR, dataset="tax", column="arrears")
>>> Objection.parse(wrong.to_bytes()) == wrong
True
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from contracts.consent import MAX_TIME_MS, check_word, read_subject_type
from contracts.errors import DocumentInvalid
from contracts.subject import SubjectType
from protocols.canon import Reader, dumps, loads, version_of

VERSION: Final = "safehouse/objection/1"
DEMAND_VERSION: Final = "safehouse/objection/2"
ANSWER_VERSION: Final = "safehouse/objection-answer/1"
HASH_BYTES: Final = 32


class Demand(StrEnum):
    """What a subject asks for."""

    STATISTICS = "statistics"
    REPAIR = "repair"
    ERASURE = "erasure"


class Verdict(StrEnum):
    """What a custodian says of a record that it was asked to repair."""

    CORRECTED = "corrected"  # in the version that the answer names
    UNFOUNDED = "unfounded"  # the record is as it should be


@dataclass(frozen=True, slots=True)
class Objection:
    """What a subject said to a registrar."""

    objection_id: str
    subject: bytes  # 32-byte commitment
    subject_type: SubjectType
    stands: bool  # False: the subject objects no more
    registrar: str  # party id
    at_ms: int
    demand: Demand = Demand.STATISTICS
    dataset: str = ""  # of a repair
    column: str = ""  # of a repair, if the subject names one

    def says(self, other: "Objection") -> bool:
        """Tell whether another document says the same, at whatever time."""
        return replace(self, at_ms=other.at_ms) == other

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        document = {
            "objection_id": self.objection_id,
            "subject": self.subject.hex(),
            "subject_type": self.subject_type.value,
            "stands": self.stands,
            "registrar": self.registrar,
            "at_ms": self.at_ms,
        }
        if self.demand is Demand.STATISTICS:
            return dumps({"v": VERSION, **document})
        more = {"dataset": self.dataset, "column": self.column}
        return dumps(
            {"v": DEMAND_VERSION, "demand": self.demand.value, **document, **more}
        )

    @classmethod
    def parse(cls, data: bytes) -> "Objection":
        """Read strictly; raises `FormatError`, `DocumentInvalid`."""
        first = version_of(data) != DEMAND_VERSION
        reader = Reader(loads(data, VERSION if first else DEMAND_VERSION))
        objection = cls(
            reader.text("objection_id"),
            reader.hex("subject", HASH_BYTES),
            read_subject_type(reader.text("subject_type")),
            reader.flag("stands"),
            reader.text("registrar"),
            reader.integer("at_ms", most=MAX_TIME_MS),
            *(() if first else _read_demand(reader)),
        )
        reader.close()
        check_word("objection id", objection.objection_id)
        objection.check()
        return objection

    def check(self) -> None:
        """Raise `DocumentInvalid` for a demand that makes no sense."""
        if self.demand is Demand.ERASURE and not self.stands:
            raise DocumentInvalid("nobody can take back an erasure")
        if (self.demand is Demand.REPAIR) is not bool(self.dataset):
            raise DocumentInvalid("a repair names a dataset, and nothing else does")
        if self.dataset:
            check_word("dataset", self.dataset)
        if self.column:
            check_word("column", self.column)


def _read_demand(reader: Reader) -> tuple[Demand, str, str]:
    name = reader.text("demand")
    try:
        demand = Demand(name)
    except ValueError:
        demand = Demand.STATISTICS
    if demand is Demand.STATISTICS:  # written as version 1, and no other way
        raise DocumentInvalid(f"unknown demand `{name}`")
    return demand, reader.text("dataset"), reader.text("column")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a custodian did about a repair, `Tag.OBJECTION_ANSWER`."""

    objection_id: str
    dataset: str
    verdict: Verdict
    version: int  # of the dataset that the custodian speaks of
    custodian: str  # party id
    at_ms: int

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": ANSWER_VERSION,
                "objection_id": self.objection_id,
                "dataset": self.dataset,
                "verdict": self.verdict.value,
                "version": self.version,
                "custodian": self.custodian,
                "at_ms": self.at_ms,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "Answer":
        """Read strictly; raises `FormatError`, `DocumentInvalid`."""
        reader = Reader(loads(data, ANSWER_VERSION))
        name, dataset = reader.text("objection_id"), reader.text("dataset")
        said = reader.text("verdict")
        try:
            verdict = Verdict(said)
        except ValueError:
            raise DocumentInvalid(f"unknown verdict `{said}`") from None
        answer = cls(
            name,
            dataset,
            verdict,
            reader.integer("version", 1),
            reader.text("custodian"),
            reader.integer("at_ms", most=MAX_TIME_MS),
        )
        reader.close()
        check_word("objection id", name)
        check_word("dataset", dataset)
        return answer

    def says(self, other: "Answer") -> bool:
        """Tell whether another document says the same, at whatever time."""
        return replace(self, at_ms=other.at_ms) == other


def check_next(before: Objection | None, objection: Objection) -> None:
    """Raise `DocumentInvalid` for a document that the one before does not allow."""
    if before is None:
        if not objection.stands:
            raise DocumentInvalid(
                f"objection `{objection.objection_id}` is not known here"
            )
        return
    if not before.stands:
        raise DocumentInvalid(
            f"objection `{objection.objection_id}` is over",
            "a new objection has a new id",
        )
    ends = replace(objection, subject=before.subject, at_ms=before.at_ms)
    if ends != replace(before, stands=False):
        raise DocumentInvalid(
            f"objection `{objection.objection_id}` is in use for another one"
        )


def check_answer(
    objection: Objection | None, answer: Answer, since: int, newest: int
) -> None:
    """Raise `DocumentInvalid` for an answer that the repair does not allow.

    `since` is the version of the dataset that the subject objected to, `newest` the
    version in force; a dataset's custodian is for the caller to compare.
    """
    name = answer.objection_id
    if objection is None or objection.demand is not Demand.REPAIR:
        raise DocumentInvalid(f"no repair `{name}` is known here")
    if not objection.stands:
        raise DocumentInvalid(f"repair `{name}` is over")
    if answer.dataset != objection.dataset:
        raise DocumentInvalid(f"repair `{name}` is about `{objection.dataset}`")
    if answer.version != newest:
        raise DocumentInvalid(
            f"version {answer.version} of `{answer.dataset}` is not the newest"
        )
    if answer.verdict is Verdict.CORRECTED and newest <= since:
        raise DocumentInvalid(
            f"no version of `{answer.dataset}` was pushed since repair `{name}`",
            "push the corrected table first",
        )
