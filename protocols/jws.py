r"""Signed JSON as other people's wallets read it: JWS, Ed25519 only.

Compact serialisation of RFC 7515 with `alg` EdDSA (RFC 8037)::

    b64u(header) . b64u(payload) . b64u(signature)         base64url without padding

Our own documents stay `protocols.sign`'s; this is for the few that leave for readers
who are no party of ours.  What we write has one header for each type and key::

    {"alg":"EdDSA","kid":<key id>,"typ":<type>}

and `verify` compares it byte by byte, so nothing in it is ever negotiated.  Only the
proof of a key that a stranger's wallet makes is read leniently (`verify_any`): it has
these members in any order, `kid` or not, and no others.

*Domains.*  What is signed begins with `e` (of `{"`), what `protocols.sign` signs with
a nought (of a tag's length), a note with its origin and a line end, which is no letter
of a JWS.  So one key may sign all of them.

>>> key = Ed25519PrivateKey.from_private_bytes(bytes(32))
>>> token = sign("example", b'{"a":1}', key)
>>> verify("example", token, [key.public_key()])
b'{"a":1}'
>>> verify("other", token, [key.public_key()])
Traceback (most recent call last):
    ...
protocols.errors.SignatureInvalid: a `other` signed by no known key
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from protocols import ed25519
from protocols.canon import Json, dumps
from protocols.errors import FormatError, SignatureInvalid
from protocols.sign import key_id

_PART = re.compile(r"[A-Za-z0-9_-]+")
_PARTS = 3


def header(kind: str, key: Ed25519PublicKey) -> bytes:
    """Return the one header of a type under a key."""
    return dumps({"alg": "EdDSA", "kid": key_id(key), "typ": kind})


def sign(kind: str, payload: bytes, key: Ed25519PrivateKey) -> str:
    """Sign `payload` as a document of type `kind`."""
    text = f"{encode(header(kind, key.public_key()))}.{encode(payload)}"
    return f"{text}.{encode(ed25519.sign(key, text.encode()))}"


def verify(kind: str, token: str, keys: Iterable[Ed25519PublicKey]) -> bytes:
    """Return the payload once a key of `keys` is known to have signed it as `kind`.

    Raises `FormatError` and `SignatureInvalid`; an empty collection trusts nobody.
    """
    said, payload, signature = _split(token)
    for key in keys:
        if said == header(kind, key):
            _check(token, signature, key)
            return payload
    raise SignatureInvalid(f"a `{kind}` signed by no known key")


def verify_any(kind: str, token: str, key: Ed25519PublicKey) -> bytes:
    """Do so for the one key of a stranger, who writes the header in its own way."""
    said, payload, signature = _split(token)
    members = read(said)
    members.pop("kid", None)
    if members != {"alg": "EdDSA", "typ": kind}:
        raise FormatError(f"expected a `{kind}` signed with EdDSA")
    _check(token, signature, key)
    return payload


def unverified(token: str) -> bytes:
    """Return the payload **without** verifying it, to see whose it is."""
    return _split(token)[1]


def read(data: bytes) -> dict[str, Json]:
    """Read a JSON object that a stranger wrote; raises `FormatError`."""
    try:
        document = json.loads(data.decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise FormatError("not JSON") from None
    if not isinstance(document, dict):
        raise FormatError("expected a JSON object")
    return document


def encode(data: bytes) -> str:
    """Write base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Read base64url in its one right spelling; raises `FormatError`."""
    if not _PART.fullmatch(text):
        raise FormatError("not base64url")
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise FormatError("not base64url") from None
    if encode(data) != text:  # left-over bits in the last letter
        raise FormatError("not base64url")
    return data


def _split(token: str) -> tuple[bytes, bytes, bytes]:
    parts = token.split(".")
    if len(parts) != _PARTS:
        raise FormatError("expected a JWS of three parts")
    said, payload, signature = map(decode, parts)
    return said, payload, signature


def _check(token: str, signature: bytes, key: Ed25519PublicKey) -> None:
    text = token.rpartition(".")[0].encode()
    ed25519.verify(signature, text, key.public_bytes_raw())


def _once(pairs: Sequence[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise FormatError("a member is there twice")
    return members
