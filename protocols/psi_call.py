r"""The documents of an intersection (`protocols.psi`), each with its bytes and hash.

===============  ==========  ==========================================================
document         signed by   says
===============  ==========  ==========================================================
`ListManifest`   custodian   a version of a list: its points, and s, sealed
`PsiRequest`     bank        which contract, which version of its list, which points
`PsiTicket`      house       made before anything is multiplied: commits to the seed
`PsiReceipt`     authority   what was multiplied, and which entries take part
`PsiReturn`      bank        in a count: the list, blinded once more and sealed
`PsiCount`       authority   in a count: what was compared
`PsiResult`      bank        a salted commitment to what it learned
===============  ==========  ==========================================================

Canonical JSON of the fields below, with `v`; the tag that a document is signed under is
its version.  Refusals are `protocols.call.Denial`, of the request's hash.

*The box of a list* is what the custodian seals to the authority (`protocols.hpke`, info
= framed(PSI_SCALAR, list, version))::

    s, 32 bytes | the entries' consent ids, one a line, in the order of X; or nothing

>>> from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
>>> key, s = X25519PrivateKey.from_private_bytes(bytes(32)), ristretto.scalar(b"1" * 64)
>>> box = seal_list(key.public_key(), Source("subsidy", 1), s, ["c-1", "c-2"])
>>> len(box) - hpke.OVERHEAD
39
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final, Self, get_type_hints

from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)

from protocols import hpke, ristretto
from protocols.call import JTI_BYTES, Permit
from protocols.canon import Json, Reader, Tag, digest, dumps, framed, loads
from protocols.errors import FormatError
from protocols.psi import Runs, Source, root
from protocols.ristretto import SCALAR_BYTES

HASH_BYTES: Final = 32
_NUMBER: Final = 8


@dataclass(frozen=True, slots=True)
class _Document:
    """Canonical JSON of a subclass's fields, by their types."""

    V: ClassVar[Tag]  # its format, and what it is signed as

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        members = {f.name: _write(getattr(self, f.name)) for f in fields(self)}
        return dumps({"v": self.V.value, **members})

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, cls.V.value))
        kinds = get_type_hints(cls)
        values: list[Any] = [
            _READ[kinds[field.name]](reader, field.name) for field in fields(cls)
        ]
        reader.close()
        return cls(*values)

    @property
    def hash(self) -> bytes:
        """Name this document by its bytes."""
        return digest(self.V, self.to_bytes())


@dataclass(frozen=True, slots=True)
class ListManifest(_Document):
    """A version of a list, as its custodian signs it."""

    V: ClassVar = Tag.PSI_LIST

    list: str  # dataset
    version: int
    schema: bytes  # hash
    custodian: str
    vintage: str
    rows: int  # entries; as many markers stand behind them
    entries: bytes  # root over the pieces of X
    markers: bytes  # root over the pieces of the markers' part of X
    key: bytes  # S
    box: bytes  # digest of the sealed s
    consents: bytes  # root over the entries' consent ids, in the order of X; or nothing
    created_ms: int

    @property
    def source(self) -> Source:
        """What its subjects are hashed under."""
        return Source(self.list, self.version)


@dataclass(frozen=True, slots=True)
class PsiRequest(_Document):
    """A bank's question."""

    V: ClassVar = Tag.PSI_REQUEST

    contract: bytes
    list: bytes  # hash of the manifest
    purpose: str
    jti: bytes
    iat_ms: int
    bank: str
    points: int
    root: bytes  # over the pieces of Q


@dataclass(frozen=True, slots=True)
class PsiTicket(_Document):
    """The house's word before anything is multiplied."""

    V: ClassVar = Tag.PSI_TICKET

    request: bytes
    contract: bytes
    list: bytes
    seed: bytes  # commitment
    issued_ms: int


@dataclass(frozen=True, slots=True)
class PsiReceipt(_Document):
    """The authority's word on what it multiplied."""

    V: ClassVar = Tag.PSI_RECEIPT

    ticket: bytes
    evaluated: bytes  # root over the pieces of E
    dropped: Runs  # entries without a consent in force
    permit: Permit


@dataclass(frozen=True, slots=True)
class PsiReturn(_Document):
    """A bank's second word in a count: V, sealed to the authority."""

    V: ClassVar = Tag.PSI_RETURN

    ticket: bytes
    points: int
    root: bytes  # over the sealed pieces of V


@dataclass(frozen=True, slots=True)
class PsiCount(_Document):
    """The authority's word on a count."""

    V: ClassVar = Tag.PSI_COUNT

    ticket: bytes
    returned: bytes  # hash of the return
    compared: bytes  # root over the pieces of U
    counted: bytes  # digest of (salt, count)


@dataclass(frozen=True, slots=True)
class PsiResult(_Document):
    """The bank's commitment to what it learned, under a salt of its own."""

    V: ClassVar = Tag.PSI_RESULT

    ticket: bytes
    result: bytes


@dataclass(frozen=True, slots=True, repr=False)
class ListSecret:
    """What the authority alone knows of a list."""

    scalar: bytes
    consents: tuple[str, ...]  # of the entries, in the order of X; or none


def seal_list(
    public: X25519PublicKey, source: Source, scalar: bytes, consents: Sequence[str]
) -> bytes:
    """Seal a list's scalar and consents to the authority."""
    return hpke.seal(public, _info(source), scalar + "\n".join(consents).encode())


def unseal_list(
    private: X25519PrivateKey, manifest: ListManifest, box: bytes
) -> ListSecret:
    """Open a list's box and hold it to the manifest.

    Raises `SealBroken`, `KeyInvalid`, and `FormatError` for a scalar or consents that
    are not the signed ones.
    """
    if box_digest(box) != manifest.box:
        raise FormatError("the box is not the one that was signed")
    data = hpke.unseal(private, _info(manifest.source), box)
    scalar = ristretto.check_scalar(data[:SCALAR_BYTES])
    if ristretto.base(scalar) != manifest.key:
        raise FormatError("the scalar is not the one that was signed")
    try:
        text = data[SCALAR_BYTES:].decode()
    except UnicodeDecodeError:
        raise FormatError("the consents are not text") from None
    consents = tuple(text.split("\n")) if text else ()
    if not manifest.consents and not consents:
        return ListSecret(scalar, ())
    if consents_root(consents) != manifest.consents or len(consents) != manifest.rows:
        raise FormatError("the consents are not the ones that were signed")
    if len(set(consents)) != len(consents):
        raise FormatError("two entries of the list rest on one consent")
    return ListSecret(scalar, consents)


def return_info(ticket: bytes, number: int) -> bytes:
    """Bind a sealed piece of points to its session and place."""
    return framed(Tag.PSI_RETURN, ticket, number.to_bytes(_NUMBER, "big"))


def box_digest(box: bytes) -> bytes:
    """Bind a sealed box."""
    return digest(Tag.BOX, box)


def _info(source: Source) -> bytes:
    version = source.version.to_bytes(_NUMBER, "big")
    return framed(Tag.PSI_SCALAR, source.list.encode(), version)


def consents_root(consents: Iterable[str]) -> bytes:
    """Return the root over consent ids, in the order of the entries."""
    return root(consent.encode() for consent in consents)


def counted_digest(salt: bytes, count: int) -> bytes:
    """Commit to a count."""
    return digest(Tag.PSI_COUNTED, salt, count.to_bytes(_NUMBER, "big"))


def result_digest(salt: bytes, count: int, subject_refs: Iterable[bytes]) -> bytes:
    """Commit to what a bank learned: how many, and in an intersection who."""
    refs = b"".join(sorted(subject_refs))
    return digest(Tag.PSI_RESULT, salt, count.to_bytes(_NUMBER, "big"), refs)


def _write(value: Any) -> Json:  # noqa: ANN401  of the types in _READ
    match value:
        case bytes():
            return value.hex()
        case Permit():
            return value.to_json()
        case _:
            return value  # type: ignore[no-any-return]


def _read_hash(reader: Reader, name: str) -> bytes:
    data = reader.hex(name)
    lengths = {"jti": (JTI_BYTES,), "consents": (0, HASH_BYTES)}
    if len(data) not in lengths.get(name, (HASH_BYTES,)):
        raise FormatError(f"member `{name}`: not of its length")
    return data


def _read_runs(reader: Reader, name: str) -> Runs:
    found: list[tuple[int, int]] = []
    for item in reader.items(name):
        match item:
            case [first, count] if type(first) is type(count) is int and first >= 0:
                found.append((first, count))
            case _:
                raise FormatError(f"member `{name}`: expected runs of two integers")
    return tuple(found)


_READ: Final[dict[object, Any]] = {
    bytes: _read_hash,
    str: Reader.text,
    int: Reader.integer,
    Runs: _read_runs,
    Permit: lambda reader, name: Permit.from_json(reader.reader(name)),
}
