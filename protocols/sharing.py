r"""A number of the bank's in two shares; neither says anything (PROTOCOL 7 and 8).

A bank adds a number b of its own to a total that nobody sees: its private part of
a score, or a claim that is to be compared.  There is no ciphertext of the bank's: its
neighbours in the block would be read with it.  Instead, modulo 2^m, with m bits of
the score::

    bank       b = b1 + b2,  b1 uniform
               b1, salt    -> house                      request names H(salt, b1)
               b2          -> authority, by HPKE         request names H(box)
    house      makes its tables for the mask rho - 2 b1 instead of rho
    authority  looks up row u + 2 b2 instead of u        (fields hold doubled values)

so that the row for total + b is found.  b1 is uniform, and so is b2 = b - b1: each
alone is independent of b, and the two nodes together know b.  Neither is ever hashed
bare: of the few numbers that b can be, a bare hash finds it in milliseconds
(tests/attacks/test_claim_hashed_bare).  The box is bound to the request by its jti
and its contract, and to the bank by the hash that the bank signed: HPKE names no
sender.

Formats::

    house's share      salt (32) | b1 (8, big endian)
    authority's share  b2 (8, big endian), sealed,
                       info = framed(SHARE_BOX, jti, contract)

>>> share, rest = split(41, 12, bytes(range(32)), b"\x00\x05" + bytes(14))
>>> (share.value + rest) % 2**12, share == HouseShare.parse(share.to_bytes())
(41, True)
"""

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)

from protocols import hpke
from protocols.canon import Tag, digest, framed
from protocols.errors import FormatError

SALT_BYTES: Final = 32
VALUE_BYTES: Final = 8
HOUSE_BYTES: Final = SALT_BYTES + VALUE_BYTES
BOX_BYTES: Final = VALUE_BYTES + hpke.OVERHEAD
DRAWN_BYTES: Final = 16  # 128 bits, reduced modulo 2^m: exactly uniform
MAX_BITS: Final = 62  # numbers travel in signed 64-bit integers


@dataclass(frozen=True, slots=True, repr=False)
class HouseShare:
    """b1, and the salt that its commitment hides it with."""

    salt: bytes
    value: int

    def commitment(self) -> bytes:
        """Return what the signed request calls this share."""
        return digest(Tag.SHARE, self.salt, self.value.to_bytes(VALUE_BYTES, "big"))

    def to_bytes(self) -> bytes:
        """Write `salt | b1`."""
        return self.salt + self.value.to_bytes(VALUE_BYTES, "big")

    @classmethod
    def parse(cls, data: bytes) -> "HouseShare":
        """Read a share; raises `FormatError`."""
        if len(data) != HOUSE_BYTES:
            raise FormatError(f"expected a share of {HOUSE_BYTES} bytes")
        value = int.from_bytes(data[SALT_BYTES:], "big")
        return cls(data[:SALT_BYTES], _in_range(value))


@dataclass(frozen=True, slots=True, repr=False)
class Private:
    """A number as it goes to the house: its share, and the sealed one it hands on."""

    share: HouseShare
    box: bytes

    def to_bytes(self) -> bytes:
        """Write `salt | b1 | box`."""
        return self.share.to_bytes() + self.box

    @classmethod
    def parse(cls, data: bytes) -> "Private":
        """Read what `to_bytes` wrote; raises `FormatError`."""
        return cls(HouseShare.parse(data[:HOUSE_BYTES]), data[HOUSE_BYTES:])


@dataclass(frozen=True, slots=True, repr=False)
class Split:
    """A number as its bank keeps it: what it sends, and the authority's share bare.

    The bank needs that share to read an answer whose range has a lock.
    """

    private: Private
    rest: int

    def to_bytes(self) -> bytes:
        """Write `b2 | salt | b1 | box`."""
        return self.rest.to_bytes(VALUE_BYTES, "big") + self.private.to_bytes()

    @classmethod
    def parse(cls, data: bytes) -> "Split":
        """Read what `to_bytes` wrote; raises `FormatError`."""
        rest = _in_range(int.from_bytes(data[:VALUE_BYTES], "big"))
        return cls(Private.parse(data[VALUE_BYTES:]), rest)


def split(value: int, bits: int, salt: bytes, drawn: bytes) -> tuple[HouseShare, int]:
    """Split `value` modulo 2^bits: the house's share, and the authority's number.

    `salt` is 32 and `drawn` 16 fresh random bytes.
    """
    if not 0 < bits <= MAX_BITS or len(salt) != SALT_BYTES or len(drawn) != DRAWN_BYTES:
        raise RuntimeError("a share of so many bits is not drawn so")
    first = int.from_bytes(drawn, "big") % (1 << bits)
    return HouseShare(salt, first), (value - first) % (1 << bits)


def seal(public: X25519PublicKey, value: int, jti: bytes, contract: bytes) -> bytes:
    """Seal the authority's number for one request."""
    data = value.to_bytes(VALUE_BYTES, "big")
    return hpke.seal(public, framed(Tag.SHARE_BOX, jti, contract), data)


def unseal(private: X25519PrivateKey, box: bytes, jti: bytes, contract: bytes) -> int:
    """Open the authority's number; raises `SealBroken`, `FormatError`."""
    data = hpke.unseal(private, framed(Tag.SHARE_BOX, jti, contract), box)
    if len(data) != VALUE_BYTES:
        raise FormatError(f"expected a share of {VALUE_BYTES} bytes")
    return _in_range(int.from_bytes(data, "big"))


def box_digest(box: bytes) -> bytes:
    """Return what the signed request calls the sealed share."""
    return digest(Tag.SHARE_BOX, box)


def _in_range(value: int) -> int:
    # What is beyond 2^m counts modulo 2^m; what is beyond this is no share at all.
    if value >> MAX_BITS:
        raise FormatError(f"expected a share of 0 to 2^{MAX_BITS} - 1")
    return value
