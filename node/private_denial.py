"""How house and authority refuse a private call: signed, all reasons kept.

As for calls (`node.denial`), under kinds of entry of their own.  What the authority
refuses for the sake of the one who is meant travels sealed (`protocols.private_call`).
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts import bodies, private_bodies
from contracts.decide import Finding, denied, public
from contracts.private_bodies import Named
from node.ledger import Transaction
from protocols.call import Denial
from protocols.canon import Tag, digest, framed
from protocols.entry import Kind
from protocols.sign import Signed, sign


class About(NamedTuple):
    """Whom a sealed refusal is about, as far as the secret says."""

    ticket: bytes
    subject: bytes
    consent: str


@dataclass(frozen=True, slots=True, repr=False)
class Desk:
    """Who refuses, with what it signs and salts."""

    party: str
    sign: Ed25519PrivateKey
    salt: bytes  # 32 bytes, from which salts derive

    def deny(
        self,
        transaction: Transaction,
        request: Signed,
        findings: Iterable[Finding],
        subjects: tuple[Named, ...] = (),
        told: str = "",
    ) -> Signed:
        """Sign and journal a refusal that is told openly, with `told` as its detail."""
        reasons, salt, signed = self._sign(transaction, request, findings, told)
        first = public(reasons).reason
        body = private_bodies.Deny(request, subjects, reasons, first, salt, signed)
        name = call_hash(request.payload).hex()
        transaction.append(Kind.PRIVATE_DENY, self.party, name, body.to_body())
        return signed

    def refuse(
        self,
        transaction: Transaction,
        request: Signed,
        findings: Iterable[Finding],
        about: About,
    ) -> Signed:
        """Sign and journal a refusal that is for the bank alone."""
        reasons, salt, signed = self._sign(transaction, request, findings)
        body = private_bodies.Refuse(
            request=request,
            ticket=about.ticket,
            consent=about.consent,
            reasons=reasons,
            public=public(reasons).reason,
            salt=salt,
            denial=signed,
            subject=about.subject,
        )
        name = call_hash(request.payload).hex()
        transaction.append(Kind.PRIVATE_REFUSE, self.party, name, body.to_body())
        return signed

    def _sign(
        self,
        transaction: Transaction,
        request: Signed,
        findings: Iterable[Finding],
        detail: str = "",
    ) -> tuple[tuple[Finding, ...], bytes, Signed]:
        name, reasons = call_hash(request.payload), denied(findings).reasons
        told = public(reasons)
        salt = hmac.digest(self.salt, framed(Tag.DENIAL_REASONS, name), "sha256")
        denial = Denial(
            name,
            self.party,
            told.reason.value,
            detail or told.detail,
            bodies.reasons_digest(salt, reasons),
            transaction.now_ms,
        )
        return reasons, salt, sign(Tag.DENIAL, denial.to_bytes(), self.sign)


def call_hash(payload: bytes) -> bytes:
    """Name a private call by its request's signed bytes."""
    return digest(Tag.PRIVATE_REQUEST, payload)
