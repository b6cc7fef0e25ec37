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

**Four eyes 四眼.**  Operators of one registrar are parties of one organisation, each
with a key of its own.  Where an organisation has several, what one of them imports
names another as its `approver` (then it is `safehouse/consent-batch/2`), and nothing
of it is in force until that one has signed a `BatchApproval` (`Tag.CONSENT_APPROVAL`)::

    {"v": "safehouse/consent-approval/1", "batch", "approver", "at_ms"}

`batch` is digest(Tag.CONSENT_BATCH, payload).  Whatever happens to one of its consents
meanwhile, a withdrawal above all, happens as to any other.  What is granted one by one
is no import.

**Statutory basis 法定.**  Where an order stands in the place of the subject's word
(`evidence_kind` `statutory`, `evidence_digest` of the order), the batch bears its
number 文号 as `document` and always names an `approver` (`safehouse/consent-batch/3`).
No operator alone, and no registrar with one operator, imports such a thing.

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

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from contracts.consent import (
    DIGEST_BYTES,
    MAX_TIME_MS,
    OWN,
    Consent,
    Own,
    check_document,
    check_evidence,
    check_granted,
    check_period,
    check_word,
)
from contracts.errors import DocumentInvalid
from protocols.canon import Json, Reader, Tag, digest, dumps, loads, version_of
from protocols.errors import FormatError

CONSENT_BATCH: Final = "safehouse/consent-batch/1"
CONSENT_BATCH_2: Final = "safehouse/consent-batch/2"  # with `approver`
CONSENT_BATCH_3: Final = "safehouse/consent-batch/3"  # with `approver`, `document`
CONSENT_APPROVAL: Final = "safehouse/consent-approval/1"
MOST: Final = 200  # consents
MAX_BATCH: Final = 45_000  # bytes of payload
MAX_SHAPE: Final = 3_200  # bytes, written as a consent; what shares more stands alone

_NOT_ALIKE: Final = ("v", "supersedes", *OWN)
_ROOM: Final = MAX_BATCH - MAX_SHAPE - 800  # for approver and document
_DIGITS: Final = 15  # of a time
_OTHERS: Final = 2 * 2 * DIGEST_BYTES + 3 * _DIGITS + 8  # of a row beside its id


@dataclass(frozen=True, slots=True)
class ConsentBatch:
    """Consents that share a shape; at least one, each under an id of its own."""

    shape: Consent
    own: tuple[Own, ...]
    approver: str = ""  # party id of the second operator, if there has to be one
    document: str = ""  # number of the order, for a statutory basis

    def __post_init__(self) -> None:
        check_document(self.shape.evidence_kind, self.document)
        if self.document and not self.approver:
            raise DocumentInvalid(
                "approver: a statutory basis needs a second operator, got nobody"
            )
        if self.approver:
            check_word("approver", self.approver)
        if self.approver == self.shape.registrar:
            raise DocumentInvalid("approver: expected another operator than imports")
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
        members: dict[str, Json] = {"v": CONSENT_BATCH, "alike": alike}
        if self.approver:
            members |= {"v": CONSENT_BATCH_2, "approver": self.approver}
        if self.document:
            members |= {"v": CONSENT_BATCH_3, "document": self.document}
        data = dumps(members | {"consents": list(map(row, self.own))})
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
        version = version_of(data)
        newer = version in (CONSENT_BATCH_2, CONSENT_BATCH_3)
        reader = Reader(loads(data, version if newer else CONSENT_BATCH))
        alike, rows = reader.object("alike"), reader.texts("consents")
        approver = reader.text("approver") if newer else ""
        document = reader.text("document") if version == CONSENT_BATCH_3 else ""
        reader.close()
        if newer and not approver:
            raise FormatError("member `approver`: expected a party, got nothing")
        if version == CONSENT_BATCH_3 and not document:
            raise FormatError("member `document`: expected a number, got nothing")
        if not alike.keys().isdisjoint(_NOT_ALIKE):
            raise FormatError("member `alike`: expected what consents share, alone")
        own = tuple(map(_read, rows))
        evidence = len(own[0][2]) if own else 0
        nothing = ("-", "00" * DIGEST_BYTES, "00" * evidence, 0, MAX_TIME_MS, 0)
        members = alike | dict(zip(OWN, nothing, strict=True)) | {"supersedes": ""}
        return cls(Consent.read(Reader(members)), own, approver, document)

    @property
    def name(self) -> bytes:
        """What an approval calls it."""
        return digest(Tag.CONSENT_BATCH, self.to_bytes())

    def consents(self) -> Iterator[Consent]:
        """Put each together."""
        return map(self.shape.of, self.own)


@dataclass(frozen=True, slots=True)
class BatchApproval:
    """A second operator's word for a batch; `at_ms` is its own clock."""

    batch: bytes
    approver: str
    at_ms: int

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": CONSENT_APPROVAL,
                "batch": self.batch.hex(),
                "approver": self.approver,
                "at_ms": self.at_ms,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "BatchApproval":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, CONSENT_APPROVAL))
        approval = cls(
            reader.hex("batch", DIGEST_BYTES),
            reader.text("approver"),
            reader.integer("at_ms", most=MAX_TIME_MS),
        )
        reader.close()
        return approval


def others(registrar: str, operators: Mapping[str, str]) -> tuple[str, ...]:
    """List the other operators of a registrar's organisation.

    `operators` names each operator's organisation.
    """
    own = operators.get(registrar, registrar)
    return tuple(
        name for name, whose in operators.items() if whose == own and name != registrar
    )


def check_approver(registrar: str, approver: str, operators: Mapping[str, str]) -> None:
    """Refuse an import that its organisation's other operators have no say in.

    >>> check_approver("desk-1", "", {"desk-1": "office", "desk-2": "office"})
    Traceback (most recent call last):
        ...
    contracts.errors.DocumentInvalid: an import of `desk-1` needs a second operator
    >>> check_approver("desk-1", "", {"desk-1": "office", "desk-2": "desk-2"})
    """
    known = others(registrar, operators)
    if known and not approver:
        named = ", ".join(f"`{name}`" for name in known)
        raise DocumentInvalid(
            f"an import of `{registrar}` needs a second operator",
            f"name who is to approve it: {named}",
        )
    if approver and approver not in known:
        raise DocumentInvalid(
            f"`{approver}` is no other operator of the organisation of `{registrar}`"
        )


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
