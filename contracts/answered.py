r"""An answered call, as its bank can prove it to anybody who pins the trust domain.

Canonical JSON::

    {"v": "safehouse/answered/1", "request", "ticket", "receipt": signed documents,
     "permit", "outcome": C2SP tlog-proofs of the entries in the two journals}

Nothing in it says what the answer was.  For a repeat, `ticket` and `receipt` are
those of the repeat.

>>> Answered.parse(b'{"v":"safehouse/answered/2"}')
Traceback (most recent call last):
    ...
protocols.errors.FormatError: expected version `safehouse/answered/1`, got `safehouse/answered/2`
"""  # noqa: E501

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from contracts import bodies
from protocols.call import (
    Permit,
    Receipt,
    RepeatReceipt,
    Request,
    Ticket,
    receipt_hash,
    request_hash,
    ticket_hash,
)
from protocols.canon import Json, Reader, Tag, dumps, loads
from protocols.entry import Entry, Kind
from protocols.errors import ProofInvalid, SignatureInvalid
from protocols.note import LogProof, VerifierKey
from protocols.sign import Signed, verify

ANSWERED: Final = "safehouse/answered/1"


@dataclass(frozen=True, slots=True)
class Pinned:
    """What of a trust domain proves an answer: keys, earlier ones too.

    What is shown as new, and hangs on no document of the call's time, is proven under
    the keys that have not ended (`live_`): who stole one that has ended could make it.
    """

    domain: str
    house_id: str  # party id
    house: Sequence[Ed25519PublicKey]
    authority: Sequence[Ed25519PublicKey]
    banks: Mapping[str, Sequence[Ed25519PublicKey]]
    house_journal: Sequence[VerifierKey]
    authority_journal: Sequence[VerifierKey]
    live_house: Sequence[Ed25519PublicKey]
    live_house_journal: Sequence[VerifierKey]

    def bank(self, name: str) -> Sequence[Ed25519PublicKey]:
        """Return the keys of a bank; raises `SignatureInvalid` for a stranger."""
        if name not in self.banks:
            raise SignatureInvalid(f"no bank `{name}` in trust domain `{self.domain}`")
        return self.banks[name]


@dataclass(frozen=True, slots=True)
class Answered:
    """One answered call, as its bank can prove it."""

    request: Signed
    ticket: Signed
    receipt: Signed
    permit: str  # proof, in the authority's journal
    outcome: str  # proof, in the house's journal

    @property
    def call(self) -> str:
        """The hash of the request: how journals name the call."""
        return request_hash(self.request.payload).hex()

    def to_json(self) -> dict[str, Json]:
        """Write for a place inside another document."""
        return {
            "request": self.request.to_json(),
            "ticket": self.ticket.to_json(),
            "receipt": self.receipt.to_json(),
            "permit": self.permit,
            "outcome": self.outcome,
        }

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps({"v": ANSWERED, **self.to_json()})

    @classmethod
    def from_json(cls, reader: Reader) -> "Answered":
        """Read what `to_json` wrote.  Nothing is verified here."""
        answered = cls(
            Signed.from_json(reader.reader("request")),
            Signed.from_json(reader.reader("ticket")),
            Signed.from_json(reader.reader("receipt")),
            reader.text("permit"),
            reader.text("outcome"),
        )
        reader.close()
        return answered

    @classmethod
    def parse(cls, data: bytes) -> "Answered":
        """Read strictly; raises `FormatError`.  Nothing is verified here."""
        return cls.from_json(Reader(loads(data, ANSWERED)))


@dataclass(frozen=True, slots=True)
class Proven:
    """An answered call whose documents fit."""

    request: Request
    ticket: Ticket
    name: bytes  # the ticket's hash
    receipt: bytes  # `call.receipt_hash` of it
    permit: LogProof
    permitted_ms: int  # the authority's clock
    outcome: LogProof


def prove(answered: Answered, pinned: Pinned) -> Proven:
    """Verify what a bank shows, without any journal.

    1. The bank signed the request, the house a ticket for it, and the authority
       a receipt, or a repeat receipt, for that ticket.
    2. The permit stands in the authority's journal where the receipt says.
    3. The outcome, with this ticket and receipt, stands in the house's journal.

    Raises `ProtocolError`.
    """
    call = answered.call
    request = Request.parse(answered.request.payload)  # 1
    verify(Tag.REQUEST, answered.request, pinned.bank(request.bank))
    verify(Tag.TICKET, answered.ticket, pinned.house)
    ticket = Ticket.parse(answered.ticket.payload)
    if ticket.request.hex() != call or ticket.contract != request.contract:
        raise ProofInvalid("a ticket for another request")
    name = ticket_hash(answered.ticket.payload)
    where = _check_receipt(answered, pinned, ticket, name)
    entry, permit = logged(answered.permit, pinned.authority_journal)  # 2
    if entry.kind is not Kind.CALL_PERMIT or entry.call != call:
        raise ProofInvalid("the proof is of another entry than the permit")
    if bodies.Permit.parse(entry.body).ticket != name or permit.index != where.index:
        raise ProofInvalid("a permit for another ticket")
    permitted_ms = entry.time_ms
    entry, outcome = logged(answered.outcome, pinned.house_journal)  # 3
    if entry.kind is not Kind.CALL_OUTCOME or entry.call != call:
        raise ProofInvalid("the proof is of another entry than the outcome")
    body, receipt = (
        bodies.Outcome.parse(entry.body),
        receipt_hash(answered.receipt.payload),
    )
    if (body.ticket, body.receipt) != (name, receipt):
        raise ProofInvalid("an outcome with another ticket or receipt")
    return Proven(request, ticket, name, receipt, permit, permitted_ms, outcome)


def logged(text: str, keys: Sequence[VerifierKey]) -> tuple[Entry, LogProof]:
    """Verify the proof of an entry that travels with it, and read both."""
    proof = LogProof.parse(text)
    proof.verify(proof.extra, keys)
    return Entry.parse(proof.extra), proof


def _check_receipt(
    answered: Answered, pinned: Pinned, ticket: Ticket, name: bytes
) -> Permit:
    signed, keys = answered.receipt, pinned.authority
    if ticket.repeat_of:
        verify(Tag.REPEAT_RECEIPT, signed, keys)
        again = RepeatReceipt.parse(signed.payload)
        expected = ticket.request, name, ticket.repeat_of
        if (again.request, again.ticket, again.repeat_of) != expected:
            raise ProofInvalid("a repeat receipt for another call")
        return again.permit
    verify(Tag.RECEIPT, signed, keys)
    receipt = Receipt.parse(signed.payload)
    if receipt.ticket != name:
        raise ProofInvalid("a receipt for another ticket")
    return receipt.permit
