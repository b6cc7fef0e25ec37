"""How house and authority refuse a functional replay: one signed sentence, all reasons.

As for calls (`node.denial`), under kinds of entry of their own.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts import audit_bodies, bodies
from contracts.decide import Finding, Reason, denied, public
from node.domain import Party, Role, TrustDomain
from node.errors import NotFound, RoleRefused
from node.ledger import Transaction
from protocols.audit_call import AuditRequest, audit_hash
from protocols.call import Denial
from protocols.canon import Tag, framed
from protocols.entry import Kind
from protocols.errors import ProtocolError
from protocols.sign import Signed, sign, verify


@dataclass(frozen=True, slots=True)
class Asked:
    """What two auditors signed, parsed; what is wrong with it is in `findings`."""

    request: AuditRequest
    signed: Signed
    second: Signed
    name: bytes  # hash of the request
    auditor: Party | None  # who receives what comes out
    findings: tuple[Finding, ...]

    @property
    def genuine(self) -> bool:
        """Whether both auditors signed it."""
        return not self.findings

    def ended(self, trust: TrustDomain, now_ms: int) -> list[Finding]:
        """Say which signature is under a key that may ask for nothing new any more."""
        asking = (self.request.auditor, Tag.AUDIT_REQUEST, self.signed)
        adding = (self.request.second, Tag.AUDIT_SECOND, self.second)
        try:
            for name, tag, signed in (asking, adding):
                verify(tag, signed, trust.party(name, Role.AUDITOR).signing(now_ms))
        except (NotFound, RoleRefused, ProtocolError) as error:
            return [Finding(Reason.SIGNATURE_INVALID, str(error))]
        return []

    @classmethod
    def of(cls, signed: Signed, second: Signed, trust: TrustDomain) -> "Asked":
        """Read it; raises `FormatError` for what is no such request.

        The keys are those of two auditors of the trust domain, and the second is
        another person than the first.  A record that is under way keeps its keys;
        what is taken in is held to `ended` too.
        """
        request = AuditRequest.parse(signed.payload)
        found, auditor = "", None
        try:
            auditor = trust.party(request.auditor, Role.AUDITOR)
            other = trust.party(request.second, Role.AUDITOR)
            verify(Tag.AUDIT_REQUEST, signed, auditor.sign)
            verify(Tag.AUDIT_SECOND, second, other.sign)
        except (NotFound, RoleRefused, ProtocolError) as error:
            found = str(error)
        if second.payload != signed.payload:
            found = found or "the second auditor signed another request"
        if request.second == request.auditor:
            found = found or "one auditor is not two"
        return cls(
            request,
            signed,
            second,
            audit_hash(signed.payload),
            auditor,
            (Finding(Reason.SIGNATURE_INVALID, found),) if found else (),
        )


@dataclass(frozen=True, slots=True, repr=False)
class Desk:
    """Who refuses, with what it signs and salts."""

    party: str
    sign: Ed25519PrivateKey
    salt: bytes  # 32 bytes, from which salts derive

    def deny(
        self,
        transaction: Transaction,
        asked: Asked,
        findings: Iterable[Finding],
        consent: str,
    ) -> Signed:
        """Sign and journal a refusal; `consent` is the call's, if one was found."""
        reasons = denied(findings).reasons
        told = public(reasons)
        text = framed(Tag.DENIAL_REASONS, asked.name)
        salt = hmac.digest(self.salt, text, "sha256")
        denial = Denial(
            asked.name,
            self.party,
            told.reason.value,
            told.detail,
            bodies.reasons_digest(salt, reasons),
            transaction.now_ms,
        )
        signed = sign(Tag.DENIAL, denial.to_bytes(), self.sign)
        body = audit_bodies.Deny(
            asked.signed, asked.second, reasons, told.reason, salt, signed, consent
        )
        transaction.append(
            Kind.AUDIT_DENY, self.party, asked.name.hex(), body.to_body()
        )
        return signed
