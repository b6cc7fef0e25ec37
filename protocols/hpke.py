r"""A box that only its receiver opens: HPKE, RFC 9180, base mode, one shot.

    DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305, empty AAD
    box = enc (32) | ciphertext | tag (16)

`info` binds the box to its occasion (the ticket's hash): a box moved to another
occasion does not open.

**HPKE names no sender.**  Anybody who knows the public key makes boxes that
open, so a receiver still compares what it reads with something the sender
signed (PROTOCOL 3, step 7).

>>> key = X25519PrivateKey.from_private_bytes(bytes(32))
>>> box = seal(key.public_key(), b"this call", b"row")
>>> len(box) - len(b"row") == OVERHEAD, unseal(key, b"this call", box)
(True, b'row')
>>> unseal(key, b"another call", box)
Traceback (most recent call last):
    ...
protocols.errors.SealBroken: the box does not open
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from protocols.errors import KeyInvalid, SealBroken

OVERHEAD = 32 + 16  # bytes that a box is longer than its content

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def seal(public: X25519PublicKey, info: bytes, plaintext: bytes) -> bytes:
    """Seal `plaintext` to the holder of `public`, for the occasion `info`.

    Raises `KeyInvalid` for a public key of low order (RFC 9180, 7.1.4).
    """
    try:
        return _SUITE.encrypt(plaintext, public, info=info)
    except ValueError:
        raise KeyInvalid("the receiver's X25519 key is of low order") from None


def unseal(private: X25519PrivateKey, info: bytes, box: bytes) -> bytes:
    """Open a box that was sealed to `private` for the occasion `info`.

    Raises `SealBroken` for anything else: the cause is not told apart.
    """
    try:
        return _SUITE.decrypt(box, private, info=info)
    except InvalidTag:
        raise SealBroken("the box does not open") from None
