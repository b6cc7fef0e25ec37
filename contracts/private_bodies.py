"""What the bodies of the journal entries of private calls hold (`contracts.bodies`).

`Entry.call` is the hash of the bank's request.  The house's entries name all candidates
alike: it is not told which is meant.  The authority's name the one, and never leave it
but in an export to an auditor, or, the permit, sealed to the bank.  Not even their
hashes tell: consistency proofs, which everybody may ask for, have leaves in them, and a
house knows the authority's pseudonyms of all whom it asked about openly.
"""

from dataclasses import dataclass

from contracts.bodies import Body
from contracts.contract import ContractKind
from contracts.decide import Finding, Reason
from protocols.call import HASH_BYTES
from protocols.canon import Json, Reader
from protocols.errors import FormatError
from protocols.private_call import PrivateRequest
from protocols.sign import Signed


@dataclass(frozen=True, slots=True)
class Named:
    """A candidate as the house knows it."""

    subject: bytes  # pseudonym
    consent: str

    def to_json(self) -> Json:
        """Write."""
        return [self.subject.hex(), self.consent]

    @classmethod
    def from_json(cls, item: Json) -> "Named":
        """Read what `to_json` wrote; raises `FormatError`."""
        match item:
            case [str(subject), str(consent)]:
                reader = Reader({"subject": subject})
                return cls(reader.hex("subject", HASH_BYTES), consent)
            case _:
                raise FormatError("expected a candidate's subject and consent")


@dataclass(frozen=True, slots=True)
class Intent(Body):
    """private.intent (house): allowed here, about to ask the authority."""

    request: Signed  # PrivateRequest
    ticket: Signed  # PrivateTicket
    subjects: tuple[Named, ...]  # pseudonym and consent of every candidate, in order


@dataclass(frozen=True, slots=True)
class Permit(Body):
    """private.permit (authority): allowed, use and bits counted."""

    request: Signed
    ticket: bytes
    subject: bytes  # pseudonym
    consent: str
    contract: bytes
    entry: int  # of the candidates
    millibits: int
    salt: bytes  # the authority's: proofs show a leaf's hash, which nobody may guess


@dataclass(frozen=True, slots=True)
class Deny(Body):
    """private.deny: refused here, with every reason, and told openly.

    In the house's, `subjects` are the candidates as in an intent, unless the request
    was not looked into.
    """

    request: Signed
    subjects: tuple[Named, ...]
    reasons: tuple[Finding, ...]
    public: Reason
    salt: bytes
    denial: Signed


@dataclass(frozen=True, slots=True)
class Refuse(Body):
    """private.refuse (authority): refused for what was sealed, and told so sealed."""

    request: Signed
    ticket: bytes
    consent: str  # empty where the secret did not open
    reasons: tuple[Finding, ...]
    public: Reason
    salt: bytes
    denial: Signed
    subject: bytes = b""  # pseudonym


@dataclass(frozen=True, slots=True)
class Done(Body):
    """private.done (authority): answered, or refused, in a sealed box."""

    ticket: bytes
    sealed: Signed  # PrivateSealed


@dataclass(frozen=True, slots=True)
class Outcome(Body):
    """private.outcome (house): a box that it cannot read, about to be handed on."""

    ticket: bytes
    sealed: bytes  # digest of what the authority signed of it


@dataclass(frozen=True, slots=True)
class Denied(Body):
    """private.denied (house): the authority refused what the house made."""

    ticket: bytes
    denial: Signed


@dataclass(frozen=True, slots=True)
class Result(Body):
    """private.result (house): the bank's commitment to what it read."""

    ticket: bytes
    result: Signed


def read_request(payload: bytes) -> PrivateRequest:
    """Read a request; raises `FormatError` also for a kind that is not asked so."""
    request = PrivateRequest.parse(payload)
    if request.kind != ContractKind.RANGE:
        raise FormatError(f"`{request.kind}` is not asked privately", "only `range` is")
    return request
