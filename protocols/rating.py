"""What a bank asks the house before it shows an answer to another bank, and after.

================  =========  ========================================================
document          signed by  says
================  =========  ========================================================
RatingRequest     bank       which answer, to which bank, until when, and the key of
                             the subject where it has one
RatingRevocation  bank       that this is over
================  =========  ========================================================

The house journals both (`rating.issue`, `rating.revoke`); what it makes of them is
`contracts.recognition`'s.  A rating is named by the hash of its request.
"""

from dataclasses import dataclass
from typing import Final

from protocols.call import HASH_BYTES
from protocols.canon import Reader, Tag, digest, dumps, loads
from protocols.errors import FormatError

RATING_REQUEST: Final = "safehouse/rating-request/1"
RATING_REVOCATION: Final = "safehouse/rating-revocation/1"
MOST_S: Final = 90 * 86_400  # after the ticket of the answer
KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class RatingRequest:
    """A bank's wish to show an answer of its own to one other bank."""

    call: bytes  # request hash of the answer
    ticket: bytes  # hash of the answer's ticket
    bank: str  # whose answer it is
    audience: str  # party id of the bank that may read it
    holder: bytes  # Ed25519 key of the subject, or nothing
    not_after_s: int  # exclusive, seconds
    iat_ms: int  # the bank's clock; only tells one wish from another

    def __post_init__(self) -> None:
        if len(self.holder) not in (0, KEY_BYTES):
            raise FormatError(f"member `holder`: expected {KEY_BYTES} bytes, or none")
        if self.audience == self.bank:
            raise FormatError("a rating is for another bank than its own")

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": RATING_REQUEST,
                "call": self.call.hex(),
                "ticket": self.ticket.hex(),
                "bank": self.bank,
                "audience": self.audience,
                "holder": self.holder.hex(),
                "not_after_s": self.not_after_s,
                "iat_ms": self.iat_ms,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "RatingRequest":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, RATING_REQUEST))
        request = cls(
            reader.hex("call", HASH_BYTES),
            reader.hex("ticket", HASH_BYTES),
            reader.text("bank"),
            reader.text("audience"),
            reader.hex("holder"),
            reader.integer("not_after_s"),
            reader.integer("iat_ms"),
        )
        reader.close()
        return request


@dataclass(frozen=True, slots=True)
class RatingRevocation:
    """The end of a rating, by the bank that made it."""

    rating: bytes  # `rating_hash` of its request
    bank: str

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {"v": RATING_REVOCATION, "rating": self.rating.hex(), "bank": self.bank}
        )

    @classmethod
    def parse(cls, data: bytes) -> "RatingRevocation":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, RATING_REVOCATION))
        revocation = cls(reader.hex("rating", HASH_BYTES), reader.text("bank"))
        reader.close()
        return revocation


def rating_hash(payload: bytes) -> bytes:
    """Name a rating by its signed request."""
    return digest(Tag.RATING_REQUEST, payload)
