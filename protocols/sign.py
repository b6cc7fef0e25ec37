"""Signed documents: Ed25519 (RFC 8032) over a tag and canonical bytes.

A signed thing travels as its payload bytes, the id of the key and the
signature; the receiver verifies the bytes it got and only then reads them.
The algorithm is not a field: there is nothing to negotiate down.

    signature = Ed25519(key, framed(tag, payload))
    key id    = first 8 bytes of digest(Tag.KEY_ID, raw public key), hexadecimal

>>> key = Ed25519PrivateKey.from_private_bytes(bytes(32))
>>> signed = sign(Tag.REQUEST, b"payload", key)
>>> verify(Tag.REQUEST, signed, [key.public_key()])
b'payload'
>>> verify(Tag.TICKET, signed, [key.public_key()])
Traceback (most recent call last):
    ...
protocols.errors.SignatureInvalid: signature by key `b749597783e411f5` is not valid
"""

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from protocols import ed25519
from protocols.canon import Json, Reader, Tag, digest, framed
from protocols.errors import SignatureInvalid

KEY_ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Signed:
    """Payload bytes, the id of the signing key, 64 bytes of signature."""

    payload: bytes
    key_id: str
    signature: bytes

    def to_json(self) -> dict[str, Json]:
        """Write for a place inside another document; the payload stays text."""
        return {
            "payload": self.payload.decode(),
            "key": self.key_id,
            "signature": self.signature.hex(),
        }

    @classmethod
    def from_json(cls, reader: Reader) -> "Signed":
        """Read what `to_json` wrote; the signature is not verified here."""
        signed = cls(
            reader.text("payload").encode(), reader.text("key"), reader.hex("signature")
        )
        reader.close()
        return signed


def key_id(public: Ed25519PublicKey) -> str:
    """Name a public key: 16 hexadecimal digits."""
    return digest(Tag.KEY_ID, public.public_bytes_raw())[:KEY_ID_BYTES].hex()


def sign(tag: Tag, payload: bytes, key: Ed25519PrivateKey) -> Signed:
    """Sign `payload` for the one purpose that `tag` names."""
    return Signed(
        payload, key_id(key.public_key()), ed25519.sign(key, framed(tag, payload))
    )


def renewed(tag: Tag, signed: Signed, key: Ed25519PrivateKey) -> Signed:
    """Sign what was signed and kept as `key` signs it: an earlier key may have ended.

    >>> make = Ed25519PrivateKey.from_private_bytes
    >>> earlier, later = make(bytes(32)), make(b"b" * 32)
    >>> kept = sign(Tag.REQUEST, b"payload", earlier)
    >>> renewed(Tag.REQUEST, kept, later) == sign(Tag.REQUEST, b"payload", later)
    True
    >>> renewed(Tag.REQUEST, kept, earlier) is kept
    True
    """
    if signed.key_id == key_id(key.public_key()):
        return signed
    return sign(tag, signed.payload, key)


def verify(tag: Tag, signed: Signed, keys: Iterable[Ed25519PublicKey]) -> bytes:
    """Return the payload once a key of `keys` is known to have signed it.

    Raises `SignatureInvalid` for a key that is not among `keys` (an empty
    collection trusts nobody), another tag, or an edited payload.
    """
    for key in keys:
        if key_id(key) == signed.key_id:
            text = framed(tag, signed.payload)
            try:
                ed25519.verify(signed.signature, text, key.public_bytes_raw())
            except SignatureInvalid:
                raise SignatureInvalid(
                    f"signature by key `{signed.key_id}` is not valid"
                ) from None
            return signed.payload
    raise SignatureInvalid(f"signed by unknown key `{signed.key_id}`")
