r"""What the body of each kind of journal entry holds, in one place.

Every node writes its bodies with `to_body` and an auditor reads them with
`parse`, strictly: no member more or less, each of its type.  A field's type
says how it is written:

=====================  ======================================================
`str`                  text
`int`                  integer, at least 0
`bytes`                lower-case hexadecimal of 32 bytes; with a default of
                       `b""` it may also be empty
`Signed`               payload, key and signature of a signed document
`Reason`               name of the reason
`tuple[Finding, ...]`  list of {"reason", "detail"}
`tuple[int, ...]`      list of integers, at least 0
`tuple[str, ...]`      list of texts
`tuple[bytes, ...]`    list of lower-case hexadecimal of 32 bytes each
`tuple[T, ...]`        list of what `T.to_json` writes and `T.from_json` reads
=====================  ======================================================

`Entry.call` is the hash of the request for all `call.*` entries.  The bodies of
jobs are in `contracts.job_bodies`.

>>> body = Outcome(ticket=bytes(32), receipt=b"\x01" * 32).to_body()
>>> Outcome.parse(body).receipt == b"\x01" * 32
True
>>> Outcome.parse({**body, "score": 7})
Traceback (most recent call last):
    ...
protocols.errors.FormatError: unknown member `score`
"""

import re
from binascii import unhexlify
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final, Self, TypeAlias, cast, get_args

from contracts.basis import STRICT, Accepted, Bases
from contracts.classes import Class, Owned, members
from contracts.consent import Consent
from contracts.decide import Finding, Reason
from protocols.call import HASH_BYTES, Request
from protocols.canon import Json, Tag, digest, dumps
from protocols.errors import FormatError
from protocols.sign import Signed


@dataclass(frozen=True, slots=True)
class Body:
    """Reads and writes the fields of a subclass by their types."""

    @classmethod
    def parse(cls, body: Mapping[str, Json]) -> Self:
        """Read strictly; raises `FormatError`."""
        shape = _SHAPES.get(cls)
        if shape is None:
            shape = _SHAPES[cls] = _shape(cls)
        return cls(*shape.take(body))

    def to_body(self) -> dict[str, Json]:
        """Write for `Entry.body`."""
        return {field.name: _write(getattr(self, field.name)) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Classes(Body):
    """admin.classes: who is in which class and whose, by a serial of the domain."""

    serial: int
    classes: tuple[Class, ...]
    owned: tuple[Owned, ...]  # parties of another party's organisation

    @property
    def organisations(self) -> dict[str, str]:
        """Whose each party is that is not an organisation of its own."""
        return {item.party: item.organisation for item in self.owned}

    def alike(self, other: "Classes") -> bool:
        """Tell whether another serial says the same."""
        return (self.classes, self.owned) == (other.classes, other.owned)

    def members(self, consent: Consent) -> frozenset[str]:
        """Return the banks that are grantees of a consent by way of a class."""
        return members(consent.classes, consent.registrar, self.classes, self.owned)


@dataclass(frozen=True, slots=True)
class Succession(Body):
    """key.domain: the serial of the trust domain that the node runs under from here."""

    serial: int
    domain: bytes  # its hash: every key of every party follows from it


NO_CLASSES: Final = Classes(0, (), ())


@dataclass(frozen=True, slots=True)
class BasisRule(Body):
    """admin.bases: which legal bases are accepted, by a serial of the domain."""

    serial: int
    bases: tuple[Accepted, ...]

    @property
    def rule(self) -> Bases:
        """What to decide by."""
        return Bases(self.bases)

    def alike(self, other: "BasisRule") -> bool:
        """Tell whether another serial says the same."""
        return self.bases == other.bases


STRICT_RULE: Final = BasisRule(0, STRICT.rows)


@dataclass(frozen=True, slots=True)
class Grant(Body):
    """consent.grant: a registrar's consent, and the node's name of its subject."""

    signed: Signed  # Consent
    subject: bytes


@dataclass(frozen=True, slots=True)
class Batch(Body):
    """consent.batch: consents, and the node's names of their subjects in order."""

    signed: Signed  # ConsentBatch
    subjects: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class BatchApproval(Body):
    """consent.approval: a batch that a second operator approved."""

    signed: Signed  # BatchApproval


@dataclass(frozen=True, slots=True)
class Event(Body):
    """consent.event."""

    signed: Signed  # ConsentEvent


@dataclass(frozen=True, slots=True)
class Objection(Body):
    """consent.objection, consent.erased: a demand, and the node's name of who says."""

    signed: Signed  # Objection
    subject: bytes


@dataclass(frozen=True, slots=True)
class Answer(Body):
    """consent.answer: a custodian's word on a repair, and the house's name of whose."""

    signed: Signed  # Answer
    subject: bytes


@dataclass(frozen=True, slots=True)
class Read(Body):
    """log.read: the entry's actor read what stands here about a subject."""

    what: str  # `history`, or `known`: whether anything is kept
    subject: bytes  # the node's name of whom
    size: int  # entries of the journal that were read


@dataclass(frozen=True, slots=True)
class Placed(Body):
    """consent.placed: which row of the map an objection is about, from now on."""

    objection: str
    place: int


@dataclass(frozen=True, slots=True)
class Submit(Body):
    """contract.submit: what the node compiled from the author's text."""

    compiled: str  # canonical JSON
    hash: bytes
    signed: Signed  # Submission


@dataclass(frozen=True, slots=True)
class Approve(Body):
    """contract.approve."""

    hash: bytes
    custodian: str
    signed: Signed  # Approval


@dataclass(frozen=True, slots=True)
class Activate(Body):
    """contract.activate."""

    hash: bytes
    signed: Signed  # Activation


@dataclass(frozen=True, slots=True)
class Retire(Body):
    """contract.retire."""

    hash: bytes
    signed: Signed  # Retirement


@dataclass(frozen=True, slots=True)
class Register(Body):
    """data.register: a dataset's schema."""

    dataset: str
    schema_hash: bytes
    schema: str  # canonical JSON
    signed: Signed


@dataclass(frozen=True, slots=True)
class Directory(Body):
    """data.directory: a version of the map from subjects to slots."""

    subject_type: str
    version: int
    rows: int
    blocks: int
    row_map_root: bytes
    signed: Signed


@dataclass(frozen=True, slots=True)
class Attributes(Body):
    """data.attributes: a version of the public attributes of a subject type."""

    subject_type: str
    version: int
    signed: Signed  # AttributeTable


@dataclass(frozen=True, slots=True)
class Push(Body):
    """data.push: a version of a dataset's ciphertexts."""

    dataset: str
    version: int
    manifest: Signed
    ciphertext_root: bytes


@dataclass(frozen=True, slots=True)
class FeedbackDesk(Body):
    """feedback.desk (house): the key that a custodian has feedback sealed to."""

    signed: Signed  # feedback.Desk


@dataclass(frozen=True, slots=True)
class FeedbackParcel(Body):
    """feedback.parcel (house): who reported how many outcomes to whom, sealed."""

    signed: Signed  # feedback.Parcel


@dataclass(frozen=True, slots=True)
class Permit(Body):
    """call.permit (authority): allowed, use and bits counted.

    How often the consent was used is not in it: banks are shown their permits, and
    would read each other's number of calls.  A replay counts the permits.
    """

    request: Signed
    ticket: bytes
    subject: bytes
    consent: str
    contract: bytes
    millibits: int
    repeat_of: bytes = b""  # the ticket whose answer is released once more


@dataclass(frozen=True, slots=True)
class Deny(Body):
    """call.deny: refused here, with every reason."""

    request: Signed
    reasons: tuple[Finding, ...]
    public: Reason
    salt: bytes
    denial: Signed
    subject: bytes = b""  # empty when it was not established


@dataclass(frozen=True, slots=True)
class Done(Body):
    """call.done (authority): decrypted, reply stored."""

    ticket: bytes
    receipt: Signed


@dataclass(frozen=True, slots=True)
class Intent(Body):
    """call.intent (house): allowed here, about to ask the authority."""

    request: Signed
    ticket: Signed
    subject: bytes


@dataclass(frozen=True, slots=True)
class Outcome(Body):
    """call.outcome (house): reply stored, about to be released."""

    ticket: bytes
    receipt: bytes
    denial: bytes = b""


@dataclass(frozen=True, slots=True)
class Denied(Body):
    """call.denied (house): the authority refused."""

    ticket: bytes
    denial: Signed


@dataclass(frozen=True, slots=True)
class Result(Body):
    """call.result (house): the bank's commitment to what it read."""

    ticket: bytes
    result: Signed


def reasons_digest(salt: bytes, findings: Sequence[Finding]) -> bytes:
    """Commit to every reason of a denial, as `call.Denial` carries it."""
    return digest(
        Tag.DENIAL_REASONS, salt, dumps({"v": "1", "reasons": _write(tuple(findings))})
    )


class _Shape:
    """Reads documents that all have the same members, and there are many."""

    def __init__(self, *members: "tuple[str, type, _Read | None]") -> None:
        self._names = [name for name, _, _ in members]
        self._types = [kind for _, kind, _ in members]
        self._reads = [
            (number, name, read)
            for number, (name, _, read) in enumerate(members)
            if read is not None
        ]

    def take(self, document: Mapping[str, Json]) -> list[Any]:
        """Return the values in the order of the members; raises `FormatError`."""
        values: list[Any] = list(map(document.get, self._names))
        # `type`, because a bool is an int to isinstance
        if list(map(type, values)) != self._types or len(document) != len(values):
            raise self._refusal(document)
        for number, name, read in self._reads:
            values[number] = read(name, values[number])
        return values

    def _refusal(self, document: Mapping[str, Json]) -> FormatError:
        for name, kind in zip(self._names, self._types, strict=True):
            if name not in document:
                return FormatError(f"missing member `{name}`")
            if type(document[name]) is not kind:
                return FormatError(f"member `{name}`: not of its type")
        unknown = next(name for name in document if name not in self._names)
        return FormatError(f"unknown member `{unknown}`")


def _unhex(name: str, text: str) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise FormatError(f"member `{name}`: expected hexadecimal") from None
    if data.hex() != text:
        raise FormatError(f"member `{name}`: expected lower-case hexadecimal")
    return data


def _hash(name: str, text: str) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != HASH_BYTES or data.hex() != text:
        raise FormatError(
            f"member `{name}`: expected lower-case hexadecimal of {HASH_BYTES} bytes"
        )
    return data


def _hash_or_empty(name: str, text: str) -> bytes:
    return _hash(name, text) if text else b""


def _natural(name: str, value: int) -> int:
    if value < 0:
        raise FormatError(f"member `{name}`: expected at least 0")
    return value


def _encoded(_name: str, text: str) -> bytes:
    return text.encode()


def _signed(_name: str, value: dict[str, Json]) -> Signed:
    return Signed(*_SIGNED.take(value))


def _reason(name: str, text: str) -> Reason:
    try:
        return Reason(text)
    except ValueError:
        raise FormatError(f"member `{name}`: unknown reason `{text}`") from None


def _findings(name: str, items: list[Json]) -> tuple[Finding, ...]:
    findings = []
    for item in items:
        if not isinstance(item, dict):
            raise FormatError(f"member `{name}`: expected objects")
        findings.append(Finding(*_FINDING.take(item)))
    return tuple(findings)


def _write(value: Any) -> Json:  # noqa: ANN401  any type of the module's table
    match value:
        case bytes():
            written: Json = value.hex()
        case tuple():
            written = [_write(item) for item in value]
        case Finding():
            written = {"reason": value.reason.value, "detail": value.detail}
        case Reason():
            written = value.value
        case str() | int():
            written = value
        case _:
            written = value.to_json()
    return written


def _naturals(name: str, items: list[Json]) -> tuple[int, ...]:
    for item in items:
        if type(item) is not int or item < 0:
            raise FormatError(f"member `{name}`: expected integers of at least 0")
    return tuple(cast("list[int]", items))


def _texts(name: str, items: list[Json]) -> tuple[str, ...]:
    for item in items:
        if type(item) is not str:
            raise FormatError(f"member `{name}`: expected texts")
    return tuple(cast("list[str]", items))


def _hashes(name: str, items: list[Json]) -> tuple[bytes, ...]:
    return tuple(_hash(name, text) for text in _texts(name, items))


_Read: TypeAlias = Callable[[str, Any], object]

_SIGNED: Final = _Shape(
    ("payload", str, _encoded), ("key", str, None), ("signature", str, _unhex)
)
_FINDING: Final = _Shape(("reason", str, _reason), ("detail", str, None))
_REQUEST: Final = re.compile(
    rb'{"bank":"([ !#-\[\]-~]*)","consent":"([ !#-\[\]-~]*)",'
    rb'"contract":"([0-9a-f]{64})","iat_ms":(0|[1-9][0-9]{0,14}),'
    rb'"jti":"([0-9a-f]{32})","purpose":"([ !#-\[\]-~]*)",'
    rb'"subject":"([0-9a-f]{64})","v":"safehouse/request/1"}'
)
_READ: Final[dict[object, tuple[type, _Read | None]]] = {
    str: (str, None),
    int: (int, _natural),
    bytes: (str, _hash),
    Signed: (dict, _signed),
    Reason: (str, _reason),
    tuple[Finding, ...]: (list, _findings),
    tuple[int, ...]: (list, _naturals),
    tuple[str, ...]: (list, _texts),
    tuple[bytes, ...]: (list, _hashes),
}


def read_request(payload: bytes) -> Request:
    """Read a request strictly; raises `FormatError`.

    `Request.parse` for those who read very many: canonical bytes of
    ASCII without escapes have one form, which one expression recognises.
    """
    match = _REQUEST.fullmatch(payload)
    if match is None:
        return Request.parse(payload)
    bank, consent, contract, iat_ms, jti, purpose, subject = match.groups()
    return Request(
        unhexlify(contract),
        unhexlify(subject),
        purpose.decode(),
        consent.decode(),
        unhexlify(jti),
        int(iat_ms),
        bank.decode(),
    )


_SHAPES: Final[dict[type, _Shape]] = {}


def _shape(body: type[Body]) -> _Shape:
    return _Shape(
        *(
            (field.name, str, _hash_or_empty)
            if field.type is bytes and field.default is not MISSING
            else (field.name, *_read_of(field.type))
            for field in fields(body)
        )
    )


def _read_of(kind: object) -> tuple[type, _Read | None]:
    known = _READ.get(kind)
    if known is not None:
        return known
    item_type, _ = get_args(kind)

    def read(_name: str, items: list[Json]) -> tuple[object, ...]:
        return tuple(map(item_type.from_json, items))

    return list, read
