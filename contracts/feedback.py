r"""Feedback 反馈: what became of a loan, from a bank to one custodian and nobody else.

A *report* says of one subject that a loan was in `default` or was `repaid`, when, and
under which permitted call the bank had asked about the subject: the call's documents
(`contracts.answered.Answered`) and the salt of its request.  So a bank cannot report on
strangers, and the custodian needs neither node's word.

A *parcel* is up to 100 reports, canonical JSON, in a box of HPKE that only the
custodian opens; beside it, signed by the bank (`Tag.FEEDBACK`), what the house sees
and journals::

    {"v": "safehouse/feedback/1", "bank", "custodian", "number", "jti": hex 16,
     "count", "box": SHA-256, "iat_ms"}

Numbers of one bank's parcels to one custodian are 1, 2, ...: who keeps one back is
found by the custodian with the next, and an exchanged box has another digest.  The box
is bound to bank, custodian, number and jti.

The *desk* is the custodian's key for boxes, signed by it (`Tag.FEEDBACK_DESK`), for the
trust domain pins no such key of a custodian::

    {"v": "safehouse/feedback-desk/1", "custodian", "key": hex 32}

>>> parcel = Parcel("jnrcb", "credit-bureau", 1, bytes(16), 2, bytes(32), 0)
>>> Parcel.parse(parcel.to_bytes()) == parcel
True
>>> Parcel.parse(parcel.to_bytes().replace(b'"count":2', b'"count":0'))
Traceback (most recent call last):
    ...
protocols.errors.FormatError: member `count`: expected 1 to 100
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from contracts.consent import MAX_TIME_MS, read_subject_type
from contracts.subject import SubjectType
from protocols.call import HASH_BYTES, JTI_BYTES, SALT_BYTES
from protocols.canon import Json, Reader, Tag, dumps, framed, loads
from protocols.errors import FormatError

VERSION: Final = "safehouse/feedback/1"
DESK: Final = "safehouse/feedback-desk/1"
REPORTS: Final = "safehouse/feedback-reports/1"
MOST_REPORTS: Final = 100  # in a parcel
MOST_BOX: Final = 3 << 20  # bytes
MOST_NUMBER: Final = 1_000_000
KEY_BYTES: Final = 32


class Ending(StrEnum):
    """What became of a loan."""

    DEFAULT = "default"
    REPAID = "repaid"


@dataclass(frozen=True, slots=True)
class Parcel:
    """Reports of one bank to one custodian, as the house sees them."""

    bank: str
    custodian: str
    number: int
    jti: bytes
    count: int  # reports
    box: bytes  # SHA-256 of it
    iat_ms: int

    @property
    def info(self) -> bytes:
        """The occasion that its box is bound to."""
        told = self.bank.encode(), self.custodian.encode(), str(self.number).encode()
        return framed(Tag.FEEDBACK, *told, self.jti)

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": VERSION,
                "bank": self.bank,
                "custodian": self.custodian,
                "number": self.number,
                "jti": self.jti.hex(),
                "count": self.count,
                "box": self.box.hex(),
                "iat_ms": self.iat_ms,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "Parcel":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, VERSION))
        parcel = cls(
            reader.text("bank"),
            reader.text("custodian"),
            reader.integer("number", 1, MOST_NUMBER),
            reader.hex("jti", JTI_BYTES),
            reader.integer("count", 1, MOST_REPORTS),
            reader.hex("box", HASH_BYTES),
            reader.integer("iat_ms", 0, MAX_TIME_MS),
        )
        reader.close()
        return parcel


@dataclass(frozen=True, slots=True)
class Desk:
    """The key that a custodian has boxes sealed to."""

    custodian: str
    key: bytes

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps({"v": DESK, "custodian": self.custodian, "key": self.key.hex()})

    @classmethod
    def parse(cls, data: bytes) -> "Desk":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, DESK))
        desk = cls(reader.text("custodian"), reader.hex("key", KEY_BYTES))
        reader.close()
        return desk


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """What became of one loan; plaintext, of bank and custodian only."""

    subject_type: SubjectType
    subject_id: str
    salt: bytes  # of the call's request
    ending: Ending
    on: str  # ISO date
    answered: bytes  # canonical JSON of the permitted call

    def to_json(self) -> dict[str, Json]:
        """Write for a box."""
        return {
            "subject_type": self.subject_type.value,
            "subject_id": self.subject_id,
            "salt": self.salt.hex(),
            "ending": self.ending.value,
            "on": self.on,
            "answered": self.answered.decode(),
        }

    @classmethod
    def read(cls, reader: Reader) -> "Report":
        """Read what `to_json` wrote; raises `FormatError`."""
        kind = read_subject_type(reader.text("subject_type"))
        subject = reader.text("subject_id")
        salt, ending = reader.hex("salt", SALT_BYTES), reader.text("ending")
        on, answered = reader.text("on"), reader.text("answered").encode()
        reader.close()
        check_date(on)
        if ending not in list(Ending):
            raise FormatError("member `ending`: expected default or repaid")
        return cls(kind, subject, salt, Ending(ending), on, answered)


def check_date(text: str) -> None:
    """Raise `FormatError` unless it is a date as `2026-11-24`."""
    try:
        same = date.fromisoformat(text).isoformat() == text
    except ValueError:
        same = False
    if not same:
        raise FormatError("member `on`: expected a date such as 2026-11-24")


def write_reports(reports: Sequence[Report]) -> bytes:
    """Write what a box holds."""
    return dumps({"v": REPORTS, "reports": [report.to_json() for report in reports]})


def read_reports(data: bytes) -> tuple[Report, ...]:
    """Read what a box holds; raises `FormatError`."""
    reader = Reader(loads(data, REPORTS))
    reports = tuple(map(Report.read, reader.readers("reports")))
    reader.close()
    return reports
