"""What the bodies of the journal entries of functional replays hold.

As `contracts.bodies` for calls.  `Entry.call` is the hash of the auditors' request
(`protocols.audit_call`) for all `audit.*` entries, so that none of them is one of the
call's that is computed again.
"""

from dataclasses import dataclass

from contracts.bodies import Body
from contracts.decide import Finding, Reason
from protocols.sign import Signed


@dataclass(frozen=True, slots=True)
class Intent(Body):
    """audit.intent (house): allowed here, about to ask the authority."""

    request: Signed  # AuditRequest
    second: Signed  # the same bytes, by the second auditor
    ticket: Signed
    subject: bytes  # the node's name of whom the call is about
    consent: str  # that it was made under


@dataclass(frozen=True, slots=True)
class Permit(Body):
    """audit.permit (authority): allowed, and counted as no use of any consent."""

    request: Signed
    second: Signed
    ticket: bytes
    subject: bytes
    consent: str


@dataclass(frozen=True, slots=True)
class Deny(Body):
    """audit.deny: refused here, with every reason."""

    request: Signed
    second: Signed
    reasons: tuple[Finding, ...]
    public: Reason
    salt: bytes
    denial: Signed
    consent: str  # that the call was made under; empty where none was found


@dataclass(frozen=True, slots=True)
class Done(Body):
    """audit.done (authority): decrypted, reply stored."""

    ticket: bytes
    receipt: Signed


@dataclass(frozen=True, slots=True)
class Outcome(Body):
    """audit.outcome (house): reply stored, about to be released."""

    ticket: bytes
    receipt: bytes


@dataclass(frozen=True, slots=True)
class Denied(Body):
    """audit.denied (house): the authority refused."""

    ticket: bytes
    denial: Signed
