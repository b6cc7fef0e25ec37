r"""One way to write a thing down, so that it can be hashed and signed.

*Documents* are canonical JSON, RFC 8785 (JCS): objects only, no floats, every
one with a member `v` naming its format and version.  `loads` accepts the
canonical bytes and nothing else, so one document has one encoding and one hash.

*Digests* are SHA-256 over length-prefixed parts behind a domain tag::

    u16 length of tag | tag | u64 length of part 1 | part 1 | ...     big endian

`Tag` is the one table of domains (PROTOCOL, first paragraph): two uses never
share a tag, so a hash made for one purpose means nothing for another.  Journal
leaves are the exception: they follow RFC 6962 (`protocols.tlog`).

>>> dumps({"v": "example/1", "b": 2, "a": "县"}).decode()
'{"a":"县","b":2,"v":"example/1"}'
>>> loads(b'{"b":2,"v":"example/1"}', "example/1")
{'b': 2, 'v': 'example/1'}
>>> loads(b'{"v":"example/1","b":2}', "example/1")
Traceback (most recent call last):
    ...
protocols.errors.FormatError: not canonical JSON (RFC 8785)
>>> digest(Tag.SUBJECT, b"ab", b"c") == digest(Tag.SUBJECT, b"a", b"bc")
False
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NoReturn, TypeAlias

import rfc8785

from protocols.errors import FormatError

Json: TypeAlias = "bool | int | str | Sequence[Json] | Mapping[str, Json] | None"

MAX_INTEGER = (1 << 53) - 1  # RFC 8785: integers travel as IEEE 754 doubles
INTEGER_DIGITS = 17  # of them, and a sign


class Tag(Enum):
    """Every domain in which the product hashes, signs or derives."""

    AGGREGATE_INPUTS = "safehouse/aggregate-inputs/1"
    AGGREGATE_MASKS = "safehouse/aggregate-masks/1"
    AGGREGATE_MESSAGE = "safehouse/aggregate-message/1"
    AGGREGATE_OPENED = "safehouse/aggregate-opened/1"
    AGGREGATE_RECEIPT = "safehouse/aggregate-receipt/1"
    AGGREGATE_REQUEST = "safehouse/aggregate-request/1"
    AGGREGATE_SELECTION = "safehouse/aggregate-selection/1"
    AGGREGATE_TICKET = "safehouse/aggregate-ticket/1"
    APPROVAL = "safehouse/approval/1"
    ACTIVATION = "safehouse/activation/1"
    ATTRIBUTES = "safehouse/attributes/1"
    BACKUP = "safehouse/backup/1"
    AUDIT_REQUEST = "safehouse/audit-request/1"
    AUDIT_SECOND = "safehouse/audit-second/1"
    BANK_MODEL = "safehouse/bank-model/1"
    BLOCK = "safehouse/block/1"
    BOX = "safehouse/box/1"
    CELLS = "safehouse/cells/1"
    CELLS_OPENED = "safehouse/cells-opened/1"
    COMMIT_RESULT = "safehouse/commit-result/1"
    CONSENT = "safehouse/consent/1"
    CONSENT_APPROVAL = "safehouse/consent-approval/1"
    CONSENT_BATCH = "safehouse/consent-batch/1"
    CONSENT_EVENT = "safehouse/consent-event/1"
    CONTRACT = "safehouse/contract/1"
    CONTRACT_SUBMISSION = "safehouse/contract-submission/1"
    DATASET = "safehouse/dataset/1"
    DATASET_REGISTRATION = "safehouse/dataset-registration/1"
    DCF = "safehouse/dcf/1"
    DCF_LOCKS = "safehouse/dcf-locks/1"
    DCF_WIDE = "safehouse/dcf-wide/1"
    DENIAL = "safehouse/denial/1"
    DENIAL_REASONS = "safehouse/denial-reasons/1"
    DOMAIN = "safehouse/domain/1"
    DRBG = "safehouse/drbg/1"
    FEEDBACK = "safehouse/feedback/1"
    FEEDBACK_DESK = "safehouse/feedback-desk/1"
    INPUTS = "safehouse/inputs/1"
    JOB = "safehouse/job/1"
    JOB_CANCEL = "safehouse/job-cancel/1"
    JOB_DENIALS = "safehouse/job-denials/1"
    JOB_ENTRY = "safehouse/job-entry/1"
    JOB_MESSAGE = "safehouse/job-message/1"
    JOB_OPENED = "safehouse/job-opened/1"
    JOB_RECEIPT = "safehouse/job-receipt/1"
    JOB_RESULT = "safehouse/job-result/1"
    JOB_TICKET = "safehouse/job-ticket/1"
    KEY_ID = "safehouse/key-id/1"
    MANIFEST = "safehouse/manifest/1"
    MAP = "safehouse/map/1"
    MESSAGE = "safehouse/message/1"
    NOISE = "safehouse/noise/1"
    OBJECTION = "safehouse/objection/1"
    OBJECTION_ANSWER = "safehouse/objection-answer/1"
    OPENED = "safehouse/opened/1"
    PADS = "safehouse/pads/1"
    PAILLIER_KEY = "safehouse/paillier-key/1"
    PRIVATE_INPUTS = "safehouse/private-inputs/1"
    PRIVATE_REQUEST = "safehouse/private-request/1"
    PRIVATE_SEALED = "safehouse/private-sealed/1"
    PRIVATE_TICKET = "safehouse/private-ticket/1"
    PSEUDONYM = "safehouse/pseudonym/1"
    PSI_COUNT = "safehouse/psi-count/1"
    PSI_COUNTED = "safehouse/psi-counted/1"
    PSI_LIST = "safehouse/psi-list/1"
    PSI_MARKER = "safehouse/psi-marker/1"
    PSI_MEMBER = "safehouse/psi-member/1"
    PSI_RECEIPT = "safehouse/psi-receipt/1"
    PSI_REQUEST = "safehouse/psi-request/1"
    PSI_RESULT = "safehouse/psi-result/1"
    PSI_RETURN = "safehouse/psi-return/1"
    PSI_SCALAR = "safehouse/psi-scalar/1"
    PSI_STATE = "safehouse/psi-state/1"
    PSI_TICKET = "safehouse/psi-ticket/1"
    RATING_REQUEST = "safehouse/rating-request/1"
    RATING_REVOCATION = "safehouse/rating-revocation/1"
    RECEIPT = "safehouse/receipt/1"
    REPEAT_RECEIPT = "safehouse/repeat-receipt/1"
    REPLY_SALT = "safehouse/reply-salt/1"
    REQUEST = "safehouse/request/1"
    RESULT = "safehouse/result/1"
    RETIREMENT = "safehouse/retirement/1"
    ROOT = "safehouse/root/1"
    ROTATION = "safehouse/rotation/1"
    ROW = "safehouse/row/1"
    SEED = "safehouse/seed/1"
    SEED_SHARE = "safehouse/seed-share/1"
    SHARE = "safehouse/share/1"
    SHARE_BOX = "safehouse/share-box/1"
    SUBJECT = "safehouse/subject/1"
    SUBJECT_SALT = "safehouse/subject-salt/1"
    TICKET = "safehouse/ticket/1"
    Z = "safehouse/z/1"

    prefix: bytes  # the tag with its length before it

    def __init__(self, value: str) -> None:
        name = value.encode()
        self.prefix = len(name).to_bytes(2, "big") + name


def framed(tag: Tag, *parts: bytes) -> bytes:
    """Return the bytes that `digest` hashes: tag and parts, length-prefixed."""
    chunks = [tag.prefix]
    for part in parts:
        chunks += (len(part).to_bytes(8, "big"), part)
    return b"".join(chunks)


def digest(tag: Tag, *parts: bytes) -> bytes:
    """Hash `parts` under `tag`: 32 bytes."""
    return hashlib.sha256(framed(tag, *parts)).digest()


def dumps(document: Mapping[str, Json]) -> bytes:
    """Write `document` as RFC 8785 canonical JSON.

    Raises `FormatError` for floats, integers beyond 2^53 - 1 and lone
    surrogates: none of them survives the trip through other readers.

    Where all of it is ASCII, member names sort alike by code point and by UTF-16
    unit, and the C encoder writes RFC 8785; the tests hold it against the
    library, which takes ten times as long and does the rest.
    """
    try:
        text = _encode(document)
        if text.isascii():
            _decode(text)  # refuses floats and large integers on the way
            return text.encode()
        return rfc8785.dumps(dict(_without_floats(document)))
    except RecursionError:
        raise FormatError("nested too deep") from None
    except (rfc8785.CanonicalizationError, ValueError, TypeError) as error:
        raise FormatError(f"cannot be written as canonical JSON: {error}") from None


def loads(data: bytes, version: str) -> dict[str, Json]:
    """Read a canonical JSON object whose member `v` is `version`.

    Raises `FormatError` for anything but the exact bytes `dumps` would write.
    """
    try:
        document = _decode(data.decode())
        # Duplicate members, spaces, other escapes and other orders end below.
        same = _encode(document).encode() if data.isascii() else None
    except RecursionError:
        raise FormatError("nested too deep") from None
    except ValueError:  # of surrogates, too
        raise FormatError("not JSON") from None
    if not isinstance(document, dict):
        raise FormatError(f"expected a JSON object, got {type(document).__name__}")
    if same is None:
        same = dumps(document)
    if same != data:
        raise FormatError("not canonical JSON (RFC 8785)")
    if document.get("v") != version:
        raise FormatError(f"expected version `{version}`, got `{document.get('v')}`")
    return document


def version_of(data: bytes) -> str:
    """Return the member `v` of a document that `loads` has yet to read.

    Raises `FormatError` for bytes that are no JSON object with one.
    """
    try:
        document = _decode(data.decode())
    except (RecursionError, ValueError):
        raise FormatError("not JSON") from None
    version = document.get("v") if isinstance(document, dict) else None
    if not isinstance(version, str):
        raise FormatError("expected a JSON object with a version `v`")
    return version


class Reader:
    r"""Takes the members of a document one by one, each with its type.

    `close` refuses whatever was not taken: an unknown member is an error.

    >>> reader = Reader({"v": "x/1", "n": 3, "key": "00ff", "odd": 1})
    >>> reader.integer("n"), reader.hex("key", 2)
    (3, b'\x00\xff')
    >>> reader.close()
    Traceback (most recent call last):
        ...
    protocols.errors.FormatError: unknown member `odd`
    """

    def __init__(self, document: Mapping[str, Json]) -> None:
        self._left = dict(document)
        self._left.pop("v", None)

    def text(self, name: str) -> str:
        """Take a string."""
        value = self._take(name)
        if not isinstance(value, str):
            raise FormatError(f"member `{name}`: expected a string")
        return value

    def integer(self, name: str, least: int = 0, most: int = MAX_INTEGER) -> int:
        """Take an integer in [least, most]."""
        value = self._take(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise FormatError(f"member `{name}`: expected an integer")
        if not least <= value <= most:
            raise FormatError(f"member `{name}`: expected {least} to {most}")
        return value

    def flag(self, name: str) -> bool:
        """Take a boolean."""
        value = self._take(name)
        if not isinstance(value, bool):
            raise FormatError(f"member `{name}`: expected true or false")
        return value

    def hex(self, name: str, length: int | None = None) -> bytes:
        """Take lower-case hexadecimal text of `length` bytes."""
        value = self.text(name)
        try:
            data = bytes.fromhex(value)
        except ValueError:
            raise FormatError(f"member `{name}`: expected hexadecimal") from None
        if data.hex() != value:
            raise FormatError(f"member `{name}`: expected lower-case hexadecimal")
        if length is not None and len(data) != length:
            raise FormatError(f"member `{name}`: expected {length} bytes")
        return data

    def texts(self, name: str) -> tuple[str, ...]:
        """Take a list of strings."""
        items = self.items(name)
        if not all(isinstance(item, str) for item in items):
            raise FormatError(f"member `{name}`: expected strings")
        return tuple(item for item in items if isinstance(item, str))

    def items(self, name: str) -> list[Json]:
        """Take a list."""
        value = self._take(name)
        if not isinstance(value, list):
            raise FormatError(f"member `{name}`: expected a list")
        return value

    def readers(self, name: str) -> "list[Reader]":
        """Take a list of objects."""
        items = self.items(name)
        objects = [Reader(item) for item in items if isinstance(item, dict)]
        if len(objects) != len(items):
            raise FormatError(f"member `{name}`: expected objects")
        return objects

    def reader(self, name: str) -> "Reader":
        """Take an object."""
        return Reader(self.object(name))

    def optional(self, name: str) -> "Reader | None":
        """Take an object, or null."""
        value = self._take(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise FormatError(f"member `{name}`: expected an object or null")
        return Reader(value)

    def object(self, name: str) -> dict[str, Json]:
        """Take an object as it stands."""
        value = self._take(name)
        if not isinstance(value, dict):
            raise FormatError(f"member `{name}`: expected an object")
        return value

    def has(self, name: str) -> bool:
        """Report whether the optional member is there."""
        return name in self._left

    def close(self) -> None:
        """Refuse members that nobody took."""
        for name in self._left:
            raise FormatError(f"unknown member `{name}`")

    def _take(self, name: str) -> Json:
        if name not in self._left:
            raise FormatError(f"missing member `{name}`")
        return self._left.pop(name)


def _no_float(text: str) -> NoReturn:
    raise FormatError(f"`{text}` is not an integer")


def _integer(text: str) -> int:
    if len(text) > INTEGER_DIGITS or abs(number := int(text)) > MAX_INTEGER:
        raise FormatError("an integer is beyond 2^53 - 1")
    return number


_encode = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":")
).encode
_decode = json.JSONDecoder(
    parse_float=_no_float, parse_constant=_no_float, parse_int=_integer
).decode


def _without_floats(document: Mapping[str, Json]) -> Mapping[str, Json]:
    _decode(_encode(document))
    return document
