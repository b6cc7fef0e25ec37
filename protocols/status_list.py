r"""Which of very many documents still stand: a signed list of one bit each.

Token Status List (IETF, draft-ietf-oauth-status-list), as a JWS of type
`statuslist+jwt` with canonical JSON inside::

    {"iat": seconds, "status_list": {"bits": 1, "lst": b64u(zlib(bits))},
     "sub": the list's URI, "v": "safehouse/status-list/1"}

Bit i is bit i mod 8 of byte i div 8, from the lowest; 0 stands, 1 does not.  The bits
that fill the last byte are 1: what nobody was given does not stand.

The reader takes a list by the whole, so whoever hands it out does not learn which of
the documents is looked at.  It stays packed in bytes: a few letters of zlib may be
33 million documents.

>>> key = Ed25519PrivateKey.from_private_bytes(bytes(32))
>>> bits = pack((True, False, True))
>>> text = StatusList("example:list", 1_700_000_000, bits).sign(key)
>>> found = StatusList.verify(text, "example:list", [key.public_key()])
>>> [found.stands(place) for place in (0, 1, 2, 3, 800)]
[True, False, True, False, False]
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from protocols import jws
from protocols.canon import Reader, dumps, loads
from protocols.errors import FormatError

TYPE: Final = "statuslist+jwt"
VERSION: Final = "safehouse/status-list/1"
MOST_BYTES: Final = 1 << 22  # of bits: 33 million documents
MOST_TEXT: Final = 2 * MOST_BYTES


@dataclass(frozen=True, slots=True)
class StatusList:
    """Whether each document stood at one moment."""

    uri: str
    issued_s: int
    bits: bytes  # `pack`

    def stands(self, place: int) -> bool:
        """Tell whether the document at a place stood."""
        byte, bit = divmod(place, 8)
        return 0 <= byte < len(self.bits) and not self.bits[byte] >> bit & 1

    def sign(self, key: Ed25519PrivateKey) -> str:
        """Write it, signed."""
        packed = zlib.compress(self.bits, level=9)
        payload = dumps(
            {
                "v": VERSION,
                "sub": self.uri,
                "iat": self.issued_s,
                "status_list": {"bits": 1, "lst": jws.encode(packed)},
            }
        )
        return jws.sign(TYPE, payload, key)

    @classmethod
    def verify(
        cls, text: str, uri: str, keys: Iterable[Ed25519PublicKey]
    ) -> "StatusList":
        """Read what a key of `keys` signed; raises `ProtocolError`."""
        if len(text) > MOST_TEXT:
            raise FormatError(f"expected a list of at most {MOST_TEXT} letters")
        reader = Reader(loads(jws.verify(TYPE, text, keys), VERSION))
        named, issued_s = reader.text("sub"), reader.integer("iat")
        inner = reader.reader("status_list")
        reader.close()
        inner.integer("bits", 1, 1)
        data = _unpacked(jws.decode(inner.text("lst")))
        inner.close()
        if named != uri:
            raise FormatError(f"the list of `{named}`, expected `{uri}`")
        return cls(named, issued_s, data)


def pack(standing: Sequence[bool]) -> bytes:
    """Write the bits.

    >>> pack([True] * 3).hex(), pack([]).hex()
    ('f8', 'ff')
    """
    data = bytearray(b"\xff" * max(1, -(-len(standing) // 8)))
    for place, stands in enumerate(standing):
        if stands:
            data[place // 8] &= ~(1 << place % 8) & 0xFF
    return bytes(data)


def _unpacked(packed: bytes) -> bytes:
    reader = zlib.decompressobj()
    try:
        data = reader.decompress(packed, MOST_BYTES)
    except zlib.error:
        raise FormatError("the list is not packed by zlib") from None
    if not reader.eof or reader.unused_data:
        raise FormatError("the list is cut short, or too long")
    return data
