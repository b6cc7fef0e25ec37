"""Ed25519 (RFC 8032) through libsodium: twice as fast here as through OpenSSL.

A call is signed and verified twenty times on its way, and an auditor verifies every
signature of a year, so this is where both spend their time.  Keys stay objects of
`cryptography`, which reads and writes them; signatures are the same bytes either way,
Ed25519 being deterministic.  libsodium refuses what RFC 8032 leaves open: points of
small order, and S not below the order of the group.

>>> key = Ed25519PrivateKey.from_private_bytes(bytes(32))
>>> signature = sign(key, b"text")
>>> signature == key.sign(b"text")
True
>>> verify(signature, b"text", key.public_key().public_bytes_raw())
>>> verify(signature, b"edited", key.public_key().public_bytes_raw())
Traceback (most recent call last):
    ...
protocols.errors.SignatureInvalid: the signature is not valid
"""

from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.bindings import crypto_sign, crypto_sign_open
from nacl.exceptions import BadSignatureError

from protocols.errors import SignatureInvalid

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64


def sign(key: Ed25519PrivateKey, text: bytes) -> bytes:
    """Sign `text`: 64 bytes."""
    secret = key.private_bytes_raw() + key.public_key().public_bytes_raw()
    return crypto_sign(text, secret)[:SIGNATURE_BYTES]


def verify(signature: bytes, text: bytes, public: bytes) -> None:
    """Raise `SignatureInvalid` unless the key `public`, of 32 bytes, signed `text`."""
    if len(signature) != SIGNATURE_BYTES or len(public) != KEY_BYTES:
        raise SignatureInvalid("a signature or a key of another length")
    try:
        crypto_sign_open(signature + text, public)
    except BadSignatureError:
        raise SignatureInvalid("the signature is not valid") from None
