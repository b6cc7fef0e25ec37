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
=====================  ======================================================

`Entry.call` is the hash of the request for all `call.*` entries.

>>> body = Outcome(ticket=bytes(32), receipt=b"\x01" * 32).to_body()
>>> Outcome.parse(body).receipt == b"\x01" * 32
True
>>> Outcome.parse({**body, "score": 7})
Traceback (most recent call last):
    ...
protocols.errors.FormatError: unknown member `score`
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final, Self

from contracts.decide import Finding, Reason
from protocols.canon import Json, Reader
from protocols.errors import FormatError
from protocols.sign import Signed

HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Body:
    """Reads and writes the fields of a subclass by their types."""

    @classmethod
    def parse(cls, body: Mapping[str, Json]) -> Self:
        """Read strictly; raises `FormatError`."""
        plan = _PLANS[cls]
        values = []
        for name, kind, read in plan:
            value = body.get(name)
            # bool is an int to isinstance
            if type(value) is not kind:
                raise FormatError(f"member `{name}`: missing, or not of its type")
            values.append(value if read is None else read(name, value))
        if len(body) != len(plan):
            known = {name for name, _, _ in plan}
            unknown = next(name for name in body if name not in known)
            raise FormatError(f"unknown member `{unknown}`")
        return cls(*values)

    def to_body(self) -> dict[str, Json]:
        """Write for `Entry.body`."""
        return {field.name: _write(getattr(self, field.name)) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Grant(Body):
    """consent.grant: a registrar's consent, and the node's name of its subject."""

    signed: Signed  # Consent
    subject: bytes


@dataclass(frozen=True, slots=True)
class Event(Body):
    """consent.event."""

    signed: Signed  # ConsentEvent


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
class Push(Body):
    """data.push: a version of a dataset's ciphertexts."""

    dataset: str
    version: int
    manifest: Signed
    ciphertext_root: bytes


@dataclass(frozen=True, slots=True)
class Permit(Body):
    """call.permit (authority): allowed, use and bits counted."""

    request: Signed
    ticket: bytes
    subject: bytes
    consent: str
    contract: bytes
    millibits: int
    uses: int  # of the consent, this one included
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


def _unhex(name: str, text: str) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != HASH_BYTES or data.hex() != text:
        raise FormatError(
            f"member `{name}`: expected lower-case hexadecimal of {HASH_BYTES} bytes"
        )
    return data


def _unhex_or_empty(name: str, text: str) -> bytes:
    return _unhex(name, text) if text else b""


def _natural(name: str, value: int) -> int:
    if value < 0:
        raise FormatError(f"member `{name}`: expected at least 0")
    return value


def _signed(_name: str, value: dict[str, Json]) -> Signed:
    return Signed.from_json(Reader(value))


def _reason(name: str, text: str) -> Reason:
    try:
        return Reason(text)
    except ValueError:
        raise FormatError(f"member `{name}`: unknown reason `{text}`") from None


def _findings(name: str, items: list[Json]) -> tuple[Finding, ...]:
    findings = []
    for reader in Reader({name: items}).readers(name):
        findings.append(
            Finding(_reason(name, reader.text("reason")), reader.text("detail"))
        )
        reader.close()
    return tuple(findings)


def _write(value: str | int | bytes | Signed | tuple[Finding, ...]) -> Json:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Signed):
        return value.to_json()
    if isinstance(value, tuple):
        return [{"reason": f.reason.value, "detail": f.detail} for f in value]
    return value.value if isinstance(value, Reason) else value


_Read = Callable[[str, Any], object]
_READ: Final[dict[object, tuple[type, _Read | None]]] = {
    str: (str, None),
    int: (int, _natural),
    bytes: (str, _unhex),
    Signed: (dict, _signed),
    Reason: (str, _reason),
    tuple[Finding, ...]: (list, _findings),
}


def _plan(body: type[Body]) -> tuple[tuple[str, type, _Read | None], ...]:
    return tuple(
        (field.name, str, _unhex_or_empty)
        if field.type is bytes and field.default is not MISSING
        else (field.name, *_READ[field.type])
        for field in fields(body)
    )


_PLANS: Final = {body: _plan(body) for body in Body.__subclasses__()}
