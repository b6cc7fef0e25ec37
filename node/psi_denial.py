"""How house and authority refuse a session: one signed sentence, all reasons kept.

As for calls (`node.denial`), under kinds of entry of their own.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts import bodies, psi_bodies
from contracts.decide import Finding, denied, public
from node.ledger import Transaction
from protocols.call import Denial
from protocols.canon import Tag, digest, framed
from protocols.entry import Kind
from protocols.sign import Signed, sign


@dataclass(frozen=True, slots=True, repr=False)
class Desk:
    """Who refuses, with what it signs and salts."""

    party: str
    sign: Ed25519PrivateKey
    salt: bytes  # 32 bytes, from which salts derive

    def deny(
        self, transaction: Transaction, request: Signed, findings: Iterable[Finding]
    ) -> Signed:
        """Sign and journal a refusal of a session."""
        name, reasons = session_hash(request.payload), denied(findings).reasons
        told = public(reasons)
        text = framed(Tag.DENIAL_REASONS, name)
        salt = hmac.digest(self.salt, text, "sha256")
        denial = Denial(
            name,
            self.party,
            told.reason.value,
            told.detail,
            bodies.reasons_digest(salt, reasons),
            transaction.now_ms,
        )
        signed = sign(Tag.DENIAL, denial.to_bytes(), self.sign)
        body = psi_bodies.Deny(request, reasons, told.reason, salt, signed)
        transaction.append(Kind.PSI_DENY, self.party, name.hex(), body.to_body())
        return signed


def session_hash(payload: bytes) -> bytes:
    """Name a session by its request's signed bytes."""
    return digest(Tag.PSI_REQUEST, payload)
