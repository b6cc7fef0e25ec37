r"""Secrets at rest: files under a passphrase, records under a key.

*Sealed file*, all of it before the ciphertext being the header, which is the
AAD::

    offset  bytes
         0     19  b"safehouse/sealed/1\n"
        19      1  log2 of scrypt's N; r = 8, p = 1            RFC 7914
        20     16  salt
        36     12  nonce
        48         AES-256-GCM ciphertext | tag (16)           SP 800-38D

The key is scrypt(NFC(passphrase) as UTF-8, salt, N, 8, 1).  N = 2^16 costs 64 MB
and about 0.17 s, so a guess costs that too.  A reader accepts N from 2^10 to
2^18: a planted header cannot ask for more than 256 MB.

*Wrapped record*: XAES-256-GCM (C2SP), for values that are written by the
thousand under one key.  Its nonce is 24 random bytes, of which the first 12 pick
a fresh AES key.  (With plain GCM a house that wraps one seed a call would reach
the 2^32 records a key allows within a year, and two equal nonces give away the
authentication key.)  ::

    0x01 | nonce (24) | ciphertext | tag (16)     AAD = 0x01 | the caller's AAD

>>> key = bytes(32)
>>> record = wrap(key, b"call 7", b"seed")
>>> len(record) - len(b"seed") == OVERHEAD, unwrap(key, b"call 7", record)
(True, b'seed')
>>> unwrap(key, b"call 8", record)
Traceback (most recent call last):
    ...
protocols.errors.SealBroken: the record does not open
"""

import secrets
import unicodedata
from typing import Final

from Crypto.Cipher import AES
from Crypto.Protocol.KDF import scrypt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # quick on records

from protocols.errors import FormatError, SealBroken

MAGIC: Final = b"safehouse/sealed/1\n"
LOG_N: Final = 16  # what we write
LOG_N_RANGE: Final = range(10, 19)  # what we read
LOG_N_TOLD: Final = LOG_N_RANGE[0]  # of a passphrase that lies beside the file
RECORD_VERSION: Final = b"\x01"

KEY_BYTES: Final = 32
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 12
XNONCE_BYTES: Final = 24
TAG_BYTES: Final = 16
HEADER_BYTES: Final = len(MAGIC) + 1 + SALT_BYTES + NONCE_BYTES
OVERHEAD: Final = len(RECORD_VERSION) + XNONCE_BYTES + TAG_BYTES  # of a record


def seal(passphrase: str, plaintext: bytes, *, told: bool = False) -> bytes:
    """Seal a file's content under `passphrase`.

    `told`: it lies beside the file in clear, so there is nothing to guess.
    """
    salt = secrets.token_bytes(SALT_BYTES)
    nonce = secrets.token_bytes(NONCE_BYTES)
    log_n = LOG_N_TOLD if told else LOG_N
    return _seal_with(passphrase, plaintext, salt, nonce, log_n)


def unseal(passphrase: str, data: bytes) -> bytes:
    """Open what `seal` made.

    Raises `FormatError` if this is no sealed file, `SealBroken` if it does not
    open: the passphrase is wrong or a bit was changed; nobody can say which.
    """
    if not data.startswith(MAGIC):
        raise FormatError("not a sealed file")
    if len(data) < HEADER_BYTES + TAG_BYTES:
        raise FormatError("a sealed file that was cut short")
    header, rest = data[:HEADER_BYTES], data[HEADER_BYTES:]
    log_n = header[len(MAGIC)]
    if log_n not in LOG_N_RANGE:  # before any memory is spent on it
        raise FormatError(
            f"expected a work factor from 2^{LOG_N_RANGE[0]} to 2^{LOG_N_RANGE[-1]}, "
            f"got 2^{log_n}"
        )
    salt = header[len(MAGIC) + 1 : -NONCE_BYTES]
    try:
        return _open(_key(passphrase, salt, log_n), header[-NONCE_BYTES:], header, rest)
    except SealBroken:
        raise SealBroken(
            "the passphrase does not open this file, or the file was changed"
        ) from None


def wrap(key: bytes, aad: bytes, plaintext: bytes) -> bytes:
    """Encrypt one record under a 32-byte `key`, bound to `aad`."""
    nonce = secrets.token_bytes(XNONCE_BYTES)
    return RECORD_VERSION + nonce + _wrap_with(key, nonce, aad, plaintext)


def unwrap(key: bytes, aad: bytes, record: bytes) -> bytes:
    """Open what `wrap` made; raises `SealBroken` for anything else."""
    if len(record) < OVERHEAD or not record.startswith(RECORD_VERSION):
        raise SealBroken("not a wrapped record of this version")
    start = len(RECORD_VERSION)
    nonce, rest = record[start:][:XNONCE_BYTES], record[start + XNONCE_BYTES :]
    try:
        return _open(
            _xaes_key(key, nonce), nonce[NONCE_BYTES:], RECORD_VERSION + aad, rest
        )
    except SealBroken:
        raise SealBroken("the record does not open") from None


def _seal_with(
    passphrase: str, plaintext: bytes, salt: bytes, nonce: bytes, log_n: int
) -> bytes:
    header = MAGIC + bytes([log_n]) + salt + nonce
    key = _key(passphrase, salt, log_n)
    return header + _close(key, nonce, header, plaintext)


def _wrap_with(key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
    return _close(
        _xaes_key(key, nonce), nonce[NONCE_BYTES:], RECORD_VERSION + aad, plaintext
    )


def _key(passphrase: str, salt: bytes, log_n: int) -> bytes:
    if not passphrase:
        raise RuntimeError("an empty passphrase seals nothing")
    # NFC: the same characters typed on another system are the same passphrase.
    text = unicodedata.normalize("NFC", passphrase).encode()
    return scrypt(text, salt, KEY_BYTES, 1 << log_n, 8, 1)


def _xaes_key(key: bytes, nonce: bytes) -> bytes:
    """Derive the AES key for `nonce`: XAES-256-GCM, C2SP v1, "Overview"."""
    if len(key) != KEY_BYTES:
        raise RuntimeError(f"a wrapping key is {KEY_BYTES} bytes, not {len(key)}")
    # 1. L = AES-256ₖ(0¹²⁸)
    block = AES.new(key, AES.MODE_ECB)
    left = int.from_bytes(block.encrypt(bytes(16)), "big")
    # 2. K1 = L << 1, xor 0x87 if the bit shifted out was set
    left = (left << 1) ^ (0x87 if left >> 127 else 0)
    k1 = left & ((1 << 128) - 1)
    # 3. M1, M2 = 0x00 | 1 or 2 | "X" | 0x00 | N[:12]
    # 4. Kₓ = AES-256ₖ(M1 xor K1) | AES-256ₖ(M2 xor K1)
    return b"".join(
        block.encrypt(
            (int.from_bytes(bytes([0, i, 0x58, 0]) + nonce[:12], "big") ^ k1).to_bytes(
                16, "big"
            )
        )
        for i in (1, 2)
    )


def _close(key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
    return AESGCM(key).encrypt(nonce, plaintext, aad)


def _open(key: bytes, nonce: bytes, aad: bytes, data: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce, data, aad)
    except InvalidTag:
        raise SealBroken("does not open") from None
