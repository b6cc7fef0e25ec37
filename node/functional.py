r"""Functional replay: what does the question answer, if it is asked for an auditor.

Transcript replay shows that the house sent the right message; it says nothing of what
the authority took out of it, nor of what the bank wrote down.  So two auditors may have
house and authority compute a call once more, on the data of then, sealed to the first
of them, who compares what comes out with the bank's commitment in the house's journal.

 1. The first auditor finds the call in an export of its own, and signs (`ask`).
 2. The second finds it in its own export, and signs the same bytes (`sign_too`).
 3. The bank hands over the salts of its commitments (`node.evidence.write_salts`).
 4. The first has the call computed (`replay`), and checks what a bank would check: both
    signatures, the permit and the outcome in the journals, the box, the pads.
 5. The outcome, under the bank's salt, makes the commitment that it signed.

What the two auditors signed travels as a file, canonical JSON::

    {"v": "safehouse/audit-asked/1", "request": signed, "second": signed, or null}

The outcome itself is compared and forgotten; `Replayed` has no place for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from contracts import audit_bodies, bodies
from contracts.compiled import Compiled
from contracts.gates import Machine
from contracts.rebuild import LATE_MS
from contracts.transcript import Case, Replayed
from node import clock
from node.auditor import Auditor
from node.domain import Role, TrustDomain
from node.errors import NotFound, ReplyRefused, RoleRefused
from node.evidence import ResultSalt
from node.keys import AuditorKeys, unsealed
from node.sent import entry_of
from node.status import from_wire
from node.transcript import entries, find_cases, same_data
from node.wire.v1 import audit_pb2
from protocols import hpke
from protocols.audit_call import AuditRequest, audit_hash
from protocols.call import (
    Opened,
    Permit,
    Receipt,
    Result,
    Ticket,
    pads_digest,
    receipt_hash,
    result_commitment,
    ticket_hash,
)
from protocols.canon import Reader, Tag, dumps, loads
from protocols.entry import Kind
from protocols.errors import ProtocolError
from protocols.lookup import bank_open
from protocols.program import OUT_OF_RANGE
from protocols.sign import Signed, sign, verify

FILE: Final = "safehouse/audit-asked/1"


@dataclass(frozen=True, slots=True)
class Asked:
    """What auditors signed."""

    request: Signed  # AuditRequest
    second: Signed | None = None

    @property
    def name(self) -> bytes:
        """How journals name it."""
        return audit_hash(self.request.payload)

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        second = None if self.second is None else self.second.to_json()
        return dumps({"v": FILE, "request": self.request.to_json(), "second": second})

    @classmethod
    def parse(cls, data: bytes) -> "Asked":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, FILE))
        request = Signed.from_json(reader.reader("request"))
        second = reader.optional("second")
        reader.close()
        return cls(request, None if second is None else Signed.from_json(second))


@dataclass(frozen=True, slots=True)
class Known:
    """A call that can be computed again, as an auditor's own export has it."""

    case: Case
    ticket: bytes  # hash
    bank: str
    intent: int
    result: int
    permit: int
    committed: Signed  # Result

    def asked(self, auditor: str, second: str, asked_ms: int) -> AuditRequest:
        """Ask for it."""
        return AuditRequest(
            self.case.call,
            self.ticket,
            self.intent,
            self.result,
            self.permit,
            auditor,
            second,
            asked_ms,
        )


def find(folder: Path, trust: TrustDomain, call: bytes) -> Known:
    """Find a call in an export, its permit, and what its bank committed to.

    Raises `NotFound` where one of them is missing, and `ExportInvalid`.
    """
    (case,) = find_cases(folder, trust, [call])
    if case.request.shared is not None:
        raise NotFound(
            f"call {call.hex()} added a number of the bank's, which nobody keeps",
            "it can be replayed from its seed: `safehouse audit replay`",
        )
    name, result, permit = b"", None, None
    for index, entry in entries(folder, trust, Role.HOUSE):
        if entry.call == call.hex() and entry.kind is Kind.CALL_INTENT:
            signed = bodies.Intent.parse(entry.body).ticket
            name = ticket_hash(signed.payload)
        if entry.call == call.hex() and entry.kind is Kind.CALL_RESULT:
            result = index, bodies.Result.parse(entry.body).result
    for index, entry in entries(folder, trust, Role.AUTHORITY):
        if entry.call == call.hex() and entry.kind is Kind.CALL_PERMIT:
            permit = index
    if result is None or permit is None:
        missing = "permit" if permit is None else "commitment of its bank"
        raise NotFound(f"the export has no {missing} for call {call.hex()}")
    return Known(
        case, name, case.request.bank, case.index, result[0], permit, result[1]
    )


def ask(
    known: Known, held: AuditorKeys, auditor: str, second: str, now_ms: int
) -> Asked:
    """Ask, as the auditor who will be told."""
    if second == auditor:
        raise RoleRefused("one auditor is not two", "name another auditor")
    payload = known.asked(auditor, second, now_ms).to_bytes()
    return Asked(sign(Tag.AUDIT_REQUEST, payload, held.sign))


def sign_too(
    asked: Asked, known: Known, held: AuditorKeys, me: str, trust: TrustDomain
) -> Asked:
    """Sign what another auditor asked, as the second one.

    Raises `RoleRefused` for what names somebody else, `NotFound` for what does not
    name the call of this auditor's own export, and `ProtocolError`.
    """
    request = read(asked, trust)
    if request.second != me:
        raise RoleRefused(f"`{request.second}` is to sign, not `{me}`")
    if request != known.asked(request.auditor, me, request.asked_ms):
        raise NotFound("the request names other entries than this export has")
    return Asked(
        asked.request, sign(Tag.AUDIT_SECOND, asked.request.payload, held.sign)
    )


def read(asked: Asked, trust: TrustDomain) -> AuditRequest:
    """Read what the first auditor signed; raises `ProtocolError`, `NodeError`."""
    request = AuditRequest.parse(asked.request.payload)
    auditor = trust.party(request.auditor, Role.AUDITOR)
    verify(Tag.AUDIT_REQUEST, asked.request, auditor.signing(clock.now_ms()))
    return request


def replay(
    auditor: Auditor, asked: Asked, known: Known, salts: Mapping[bytes, ResultSalt]
) -> Replayed:
    """Have a call computed and compare; once, and the same request again is the same.

    Raises `Denied`, `Unreachable`, and `ReplyRefused` for a reply that proves nothing:
    it is not what house and authority signed.
    """
    if asked.second is None:
        raise RoleRefused(
            "a second auditor has not signed", "`safehouse audit countersign` does"
        )
    reply = auditor.compute_again(asked.request, asked.second)
    try:
        code, differences = _read(auditor, asked, known, reply)
    except ProtocolError as error:
        raise ReplyRefused(f"the reply proves nothing: {error}") from None
    if code is not None and not differences:
        differences = _compared(auditor.domain, known, code, salts)
    return Replayed(known.case.call, known.intent, tuple(differences))


def _read(
    auditor: Auditor,
    asked: Asked,
    known: Known,
    reply: audit_pb2.ComputeAgainResponse,
) -> tuple[int | None, list[str]]:
    """Check a reply and read it, as a bank does."""
    trust, compiled = auditor.domain, known.case.compiled
    if compiled is None:
        return None, ["the contract is not in the journal before the call"]
    signed = from_wire(reply.ticket)
    at_ms = _outcome_ms(asked, reply, trust)
    verify(Tag.TICKET, signed, trust.house.signing(at_ms))
    ticket, name = Ticket.parse(signed.payload), ticket_hash(signed.payload)
    if ticket.request != asked.name:
        raise ReplyRefused("a ticket for another request")
    if ticket.contract != compiled.hash or not same_data(ticket, known.case.ticket):
        return None, ["the house computed on other data than the call's"]
    if pads_digest(reply.pads) != ticket.pads:
        raise ReplyRefused("pads of another ticket")
    receipt = _receipt(asked, name, reply, trust, at_ms)
    gate = Machine(compiled).gate
    data = unsealed(auditor.keys, lambda key: hpke.unseal(key, name, reply.box))
    opened = Opened.parse(data, len(compiled.card.fields), gate.row_bytes)
    if opened.digest() != receipt.opened:
        raise ReplyRefused("the box is not the one the authority made")
    u = np.array([opened.u], np.int64)
    rows = np.frombuffer(opened.rows, np.uint8).reshape(1, -1)
    (code,) = bank_open(gate, u, rows, reply.pads, (ticket.slot,))
    return int(code), _told(compiled, int(code))


def _told(compiled: Compiled, code: int) -> list[str]:
    if code == OUT_OF_RANGE:
        return ["the total is out of range: some input is not what its schema says"]
    compiled.explain(code)
    return []


def _outcome_ms(
    asked: Asked, reply: audit_pb2.ComputeAgainResponse, trust: TrustDomain
) -> int:
    """Tell when keys had to be in force: the outcome is proven anew each time.

    A reply is stored, and may be older than its signers' newest keys.
    """
    live = trust.live_verifiers(Role.HOUSE, clock.now_ms())
    _, outcome = entry_of(reply.outcome, live)
    if (outcome.kind, outcome.call) != (Kind.AUDIT_OUTCOME, asked.name.hex()):
        raise ReplyRefused("the proof is of another entry than the outcome")
    return outcome.time_ms - LATE_MS


def _receipt(
    asked: Asked,
    name: bytes,
    reply: audit_pb2.ComputeAgainResponse,
    trust: TrustDomain,
    at_ms: int,
) -> Receipt:
    signed = from_wire(reply.receipt)
    verify(Tag.RECEIPT, signed, trust.authority.signing(at_ms))
    receipt = Receipt.parse(signed.payload)
    proof, permit = entry_of(reply.permit, trust.verifiers(Role.AUTHORITY))
    head = proof.verify(proof.extra, trust.verifiers(Role.AUTHORITY))
    where = Permit(proof.index, head.size, head.root)
    if (receipt.ticket, receipt.permit) != (name, where):
        raise ReplyRefused("a receipt for another ticket or permit")
    body = audit_bodies.Permit.parse(permit.body)
    told = permit.kind, permit.call, body.ticket
    if told != (Kind.AUDIT_PERMIT, asked.name.hex(), name):
        raise ReplyRefused("a permit for another ticket")
    _, outcome = entry_of(reply.outcome, trust.verifiers(Role.HOUSE))
    journalled = audit_bodies.Outcome.parse(outcome.body)
    if (journalled.ticket, journalled.receipt) != (name, receipt_hash(signed.payload)):
        raise ReplyRefused("an outcome with another ticket or receipt")
    return receipt


def _compared(
    trust: TrustDomain, known: Known, code: int, salts: Mapping[bytes, ResultSalt]
) -> list[str]:
    bank = trust.party(known.bank, Role.BANK)
    verify(Tag.COMMIT_RESULT, known.committed, bank.sign)
    result = Result.parse(known.committed.payload)
    if result.ticket != known.ticket:
        return ["the bank committed to the answer of another ticket"]
    opened = salts.get(known.case.call)
    if opened is None:
        return [f"`{bank.id}` has not opened its commitment to this call"]
    if result_commitment(opened.salt, code) != result.result:
        told = "committed to another outcome than is computed, or opens it falsely"
        return [f"`{bank.id}` {told}"]
    return []
