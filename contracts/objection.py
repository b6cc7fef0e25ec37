"""Objections 异议: a subject is left out of all statistics.

A statistic needs nobody's consent (`contracts.odometer`), so whoever does not want to
be counted says so, to a registrar, who signs it (`Tag.OBJECTION`).  Canonical JSON,
version `safehouse/objection/1`; `subject` is a commitment, opened beside it as in a
consent.  The same id with `stands: false` ends it; then it is over, and a new
objection has a new id.

Both nodes keep the register, each under its own pseudonyms.  Only the house knows which
slot a subject has, and tells the authority, which believes it once: the place of an
objection never changes, so that a house cannot leave somebody else out, and subtract.

>>> objection = Objection("o-1", bytes(32), SubjectType.OPAQUE, True, "registrar", 0)
>>> Objection.parse(objection.to_bytes()) == objection
True
"""

from dataclasses import dataclass, replace
from typing import Final

from contracts.consent import MAX_TIME_MS, check_word, read_subject_type
from contracts.errors import DocumentInvalid
from contracts.subject import SubjectType
from protocols.canon import Reader, dumps, loads

VERSION: Final = "safehouse/objection/1"
HASH_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Objection:
    """What a subject said to a registrar."""

    objection_id: str
    subject: bytes  # 32-byte commitment
    subject_type: SubjectType
    stands: bool  # False: the subject objects no more
    registrar: str  # party id
    at_ms: int

    def says(self, other: "Objection") -> bool:
        """Tell whether another document says the same, at whatever time."""
        return replace(self, at_ms=other.at_ms) == other

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": VERSION,
                "objection_id": self.objection_id,
                "subject": self.subject.hex(),
                "subject_type": self.subject_type.value,
                "stands": self.stands,
                "registrar": self.registrar,
                "at_ms": self.at_ms,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "Objection":
        """Read strictly; raises `FormatError`, `DocumentInvalid`."""
        reader = Reader(loads(data, VERSION))
        name, subject = reader.text("objection_id"), reader.hex("subject", HASH_BYTES)
        objection = cls(
            name,
            subject,
            read_subject_type(reader.text("subject_type")),
            reader.flag("stands"),
            reader.text("registrar"),
            reader.integer("at_ms", most=MAX_TIME_MS),
        )
        reader.close()
        check_word("objection id", name)
        return objection


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
    if (objection.subject_type, objection.registrar, objection.stands) != (
        before.subject_type,
        before.registrar,
        False,
    ):
        raise DocumentInvalid(
            f"objection `{objection.objection_id}` is in use for another one"
        )
