"""Very many consents under one signature, as a registrar takes in forms of paper.

Signing, sending, verifying and journalling 120,000 consents one by one costs each
party a signature apiece, and most of what is written is the same in all of them.  So
consents that differ only in what is a consent's own (`Consent.own`) are one document,
`safehouse/consent-batch/1`, signed once (`Tag.CONSENT_BATCH`)::

    {"v",
     "alike":    the members that all of them share, as in `contracts.consent`,
     "consents": ["<consent_id>,<subject>,<evidence_digest>,<not_before_ms>,"
                  "<not_after_ms>,<granted_at_ms>", ...]}

A word has no comma in it, so a row reads in one way only, and it is accepted only as
it would be written.  Each of them is a consent like any other: it has an id that is
never used again, and what happens to it is an event of its own.  A batch is as large
as its journal entry permits, beside the node's names of the subjects.  A consent that
supersedes another is a document by itself.

>>> from contracts.consent import Evidence, SubjectType
>>> one = Consent(
...     "c-1", bytes(32), SubjectType.OPAQUE, ("bank-a",), ("loan",),
...     ("dataset:tax",), 0, 10, 1, None, False, Evidence.ONLINE, b"", 0, "registry",
... )
>>> batch = ConsentBatch(one.shape, (one.own, ("c-2", *one.own[1:])))
>>> ConsentBatch.parse(batch.to_bytes()) == batch
True
>>> [consent.consent_id for consent in batch.consents()]
['c-1', 'c-2']
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from contracts.consent import (
    DIGEST_BYTES,
    MAX_TIME_MS,
    OWN,
    Consent,
    Own,
    check_evidence,
    check_granted,
    check_period,
    check_word,
)
from contracts.errors import DocumentInvalid
from protocols.canon import Reader, dumps, loads
from protocols.errors import FormatError

CONSENT_BATCH: Final = "safehouse/consent-batch/1"
MOST: Final = 200  # consents
MAX_BATCH: Final = 45_000  # bytes of payload
MAX_SHAPE: Final = 4_000  # bytes, written as a consent; what shares more stands alone

_NOT_ALIKE: Final = ("v", "supersedes", *OWN)
_ROOM: Final = MAX_BATCH - MAX_SHAPE
_DIGITS: Final = 15  # of a time
_OTHERS: Final = 2 * 2 * DIGEST_BYTES + 3 * _DIGITS + 8  # of a row beside its id


@dataclass(frozen=True, slots=True)
class ConsentBatch:
    """Consents that share a shape; at least one, each under an id of its own."""

    shape: Consent
    own: tuple[Own, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.own) <= MOST:
            raise DocumentInvalid(f"expected 1 to {MOST} consents, got {len(self.own)}")
        if self.shape.shape != self.shape:
            raise RuntimeError("what consents share is a shape")
        for own in self.own:
            _check_own(self.shape, own)
        if len({own[0] for own in self.own}) != len(self.own):
            raise DocumentInvalid("a consent id is there twice")

    def to_bytes(self) -> bytes:
        """Write canonical JSON; raises `DocumentInvalid` beyond `MAX_BATCH`."""
        alike = loads(self.shape.to_bytes(), self.shape.version)
        for name in _NOT_ALIKE:
            alike.pop(name, None)
        data = dumps(
            {"v": CONSENT_BATCH, "alike": alike, "consents": list(map(row, self.own))}
        )
        if len(data) > MAX_BATCH:
            raise DocumentInvalid(
                f"expected at most {MAX_BATCH} bytes of consents, got {len(data)}"
            )
        return data

    @classmethod
    def parse(cls, data: bytes) -> "ConsentBatch":
        """Read strictly; raises `FormatError` or `DocumentInvalid`."""
        if len(data) > MAX_BATCH:
            raise FormatError(f"expected at most {MAX_BATCH} bytes of consents")
        reader = Reader(loads(data, CONSENT_BATCH))
        alike, rows = reader.object("alike"), reader.texts("consents")
        reader.close()
        if not alike.keys().isdisjoint(_NOT_ALIKE):
            raise FormatError("member `alike`: expected what consents share, alone")
        own = tuple(map(_read, rows))
        digest = len(own[0][2]) if own else 0
        nothing = ("-", "00" * DIGEST_BYTES, "00" * digest, 0, MAX_TIME_MS, 0)
        members = alike | dict(zip(OWN, nothing, strict=True)) | {"supersedes": ""}
        return cls(Consent.read(Reader(members)), own)

    def consents(self) -> Iterator[Consent]:
        """Put each together."""
        return map(self.shape.of, self.own)


def row(own: Own) -> str:
    """Write what a consent has of its own."""
    name, subject, evidence, *times = own
    before, after, granted = times
    return f"{name},{subject.hex()},{evidence.hex()},{before},{after},{granted}"


def cut(rows: Iterable[Own]) -> Iterator[tuple[Own, ...]]:
    """Cut what consents have of their own into what batches hold."""
    taken: list[Own] = []
    room = _ROOM
    for own in rows:
        size = len(own[0].encode()) + _OTHERS
        if len(taken) == MOST or size > room:
            yield tuple(taken)
            taken, room = [], _ROOM
        taken.append(own)
        room -= size
    if taken:
        yield tuple(taken)


def _read(text: str) -> Own:
    cells = text.split(",")
    try:
        name, subject, evidence, before, after, granted = cells
        own = (
            name,
            bytes.fromhex(subject),
            bytes.fromhex(evidence),
            int(before),
            int(after),
            int(granted),
        )
    except ValueError:
        own = None
    # Signs, spaces, noughts in front and capital letters end here.
    if own is None or row(own) != text:
        raise FormatError("member `consents`: expected rows of six members")
    return own


def _check_own(shape: Consent, own: Own) -> None:
    name, subject, evidence, before, after, granted = own
    check_word("consent id", name)
    if name == shape.consent_id:
        raise DocumentInvalid(f"consent id: `{name}` is nobody's")
    if len(subject) != DIGEST_BYTES or len(evidence) != len(shape.evidence_digest):
        raise DocumentInvalid(f"consent `{name}`: subject or evidence is of no length")
    if not 0 <= before <= after <= MAX_TIME_MS or not 0 <= granted <= MAX_TIME_MS:
        raise DocumentInvalid(f"consent `{name}`: a time is out of range")
    check_period(before, after)
    check_granted(granted, after)
    check_evidence(shape.evidence_kind, evidence)
