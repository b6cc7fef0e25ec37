"""What two auditors sign to have a call computed once more (PROTOCOL 12).

*Functional replay*: house and authority run the question of an earlier call again, on
the data of then, and seal what comes out to an auditor, who holds it against the
commitment that the bank made.  The first signs this document as `Tag.AUDIT_REQUEST`,
the second the same bytes as `Tag.AUDIT_SECOND`; the nodes answer with a `Ticket` and a
`Receipt` (`protocols.call`) whose request is this document's hash.

It names no subject: it names entries of two journals, and each node looks its own up.

>>> asked = AuditRequest(bytes(32), bytes(32), 7, 9, 5, "auditor-a", "auditor-b", 0)
>>> AuditRequest.parse(asked.to_bytes()) == asked
True
"""

from dataclasses import dataclass

from protocols.call import HASH_BYTES
from protocols.canon import Reader, Tag, digest, dumps, loads


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """Which call, where it stands, and who asks."""

    call: bytes  # request hash of the call
    ticket: bytes  # hash of its ticket
    intent: int  # its entry in the house's journal
    result: int  # the bank's commitment, there
    permit: int  # its entry in the authority's journal
    auditor: str  # party id: who receives what comes out
    second: str  # party id of another auditor, who signs too
    asked_ms: int

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": Tag.AUDIT_REQUEST.value,
                "call": self.call.hex(),
                "ticket": self.ticket.hex(),
                "intent": self.intent,
                "result": self.result,
                "permit": self.permit,
                "auditor": self.auditor,
                "second": self.second,
                "asked_ms": self.asked_ms,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "AuditRequest":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, Tag.AUDIT_REQUEST.value))
        request = cls(
            reader.hex("call", HASH_BYTES),
            reader.hex("ticket", HASH_BYTES),
            reader.integer("intent"),
            reader.integer("result"),
            reader.integer("permit"),
            reader.text("auditor"),
            reader.text("second"),
            reader.integer("asked_ms"),
        )
        reader.close()
        return request


def audit_hash(payload: bytes) -> bytes:
    """Name an audit's request by its signed bytes."""
    return digest(Tag.AUDIT_REQUEST, payload)
