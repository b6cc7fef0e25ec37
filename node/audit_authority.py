"""The authority's part of functional replays, as numbered steps (`contracts.audits`).

The private key is used once more about somebody, for an auditor and not for the bank.
Before that

 1. two auditors of the trust domain signed the request, and the house the ticket;
 2. the request is not older than two persons need to sign it;
 3. entry `permit` of this journal permits the call under the ticket that is named: what
    this authority did not decrypt once it does not decrypt for an auditor;
 4. the ticket is on the same data, block and slot as that one, of the same contract,
    and the message is the ticket's, of the sizes that the contract fixes;
 5. the house's `audit.intent` is in its signed head, which extends every head seen;
 6. kind of question, consent, once a call, and the quota (`contracts.audits`);
 7. the reply is sealed to the auditor's key of the trust-domain file, no other.

6 is decided in the transaction that journals the permit, and the consent once more by
whatever resumes it.  No use of the consent, no bit
and no answer is counted.  `evaluate` is idempotent by ticket, as for calls.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import apsw

from contracts import audit_bodies, audits, bodies
from contracts.compiled import Compiled
from contracts.decide import LIMITS, Finding, Limits, Reason, stands
from node import consents, denial
from node.audit_denial import Asked, Desk
from node.authority import Authority, read_message
from node.clock import BITS_WINDOW_MS, REQUEST_SKEW_MS
from node.errors import NodeError
from node.following import intent_findings
from node.keys import AuthorityKeys
from node.ledger import Transaction
from node.status import from_wire, to_wire
from node.wire.v1 import audit_pb2
from protocols.call import Ticket, ticket_hash
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.errors import ProtocolError
from protocols.lookup import Message
from protocols.sign import Signed, verify

SCHEMA: Final = (
    # A row a call that was computed again.
    """CREATE TABLE IF NOT EXISTS audit(
        call BLOB PRIMARY KEY, request BLOB NOT NULL, ticket BLOB NOT NULL,
        permit INTEGER NOT NULL, time_ms INTEGER NOT NULL, reply BLOB)
        WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS audit_time ON audit(time_ms)",
)


@dataclass(frozen=True, slots=True)
class Case:
    """One computation, parsed; what is wrong with it is in `findings`."""

    asked: Asked
    ticket: Ticket
    signed_ticket: Signed
    message: Message
    permit: bodies.Permit | None  # of the call, in this journal
    compiled: Compiled | None
    findings: list[Finding] = field(default_factory=list)

    @property
    def name(self) -> bytes:
        """The ticket's hash."""
        return ticket_hash(self.signed_ticket.payload)

    def wrong(self, reason: Reason, detail: str) -> None:
        """Note a reason to deny."""
        self.findings.append(Finding(reason, detail))


@dataclass(frozen=True, slots=True)
class _Permitted:
    """A permit that is on disk, or the reply it already led to."""

    index: int
    reply: bytes | None


class AuditAuthority:
    """The authority's desk for functional replays; thread-safe."""

    def __init__(
        self, authority: Authority, keys: AuthorityKeys, limits: Limits = LIMITS
    ) -> None:
        self._limits = limits
        self._authority = authority
        self._ledger = authority.ledger
        self._registry = authority.registry
        self._domain = authority.domain
        self._desk = Desk(self._domain.authority.id, keys.receipt, keys.opening)

    def evaluate(
        self, message: audit_pb2.EvaluateAgainRequest
    ) -> audit_pb2.EvaluateAgainResponse:
        """Answer one; raises `Denied` or `HeadUnknown`."""
        case = self._examine(message)
        decided = self._ledger.commit(lambda tx: self._decide(tx, case)).value
        if isinstance(decided, Signed):
            raise denial.error(decided)
        if decided.reply is not None:
            return audit_pb2.EvaluateAgainResponse.FromString(decided.reply)
        return self._decrypt(case, decided.index)

    # -- 1 to 5

    def _examine(self, message: audit_pb2.EvaluateAgainRequest) -> Case:
        signed_ticket, called = from_wire(message.ticket), from_wire(message.called)
        asked = Asked.of(
            from_wire(message.request), from_wire(message.second), self._domain
        )
        ticket = Ticket.parse(signed_ticket.payload)
        # Before anything is decided: it raises `HeadUnknown`.
        intent = self._authority.following.admit(message.intent, message.links)
        permit = self._permit_of(asked)
        case = Case(
            asked,
            ticket,
            signed_ticket,
            read_message(
                message.ciphertext, message.tables, ticket.slot, self._domain.paillier
            ),
            permit,
            None if permit is None else self._compiled(permit.contract),
            list(asked.findings),  # 1
        )
        try:
            verify(Tag.TICKET, signed_ticket, self._domain.house.sign)
        except ProtocolError as error:
            case.wrong(Reason.SIGNATURE_INVALID, str(error))
        if permit is None:  # 3
            case.wrong(Reason.INTENT_UNPROVEN, "no permit of that call and ticket")
        self._check_ticket(case, called)  # 4
        case.findings.extend(  # 5
            intent_findings(intent, Kind.AUDIT_INTENT, asked.name, signed_ticket)
        )
        return case

    def _permit_of(self, asked: Asked) -> bodies.Permit | None:
        """Read the permit that the request names, if it is one of that call."""
        request, size = asked.request, self._ledger.head.size
        if request.permit >= size:
            return None
        entry = Entry.parse(self._ledger.entry(request.permit))
        if entry.kind is not Kind.CALL_PERMIT or entry.call != request.call.hex():
            return None
        permit = bodies.Permit.parse(entry.body)
        fits = permit.ticket == request.ticket and not permit.repeat_of
        return permit if fits else None

    def _compiled(self, contract: bytes) -> Compiled | None:
        with self._ledger.reader() as db:
            try:
                return self._registry.compiled(db, contract)
            except NodeError:
                return None

    def _check_ticket(self, case: Case, called: Signed) -> None:
        ticket, asked = case.ticket, case.asked
        if ticket.request != asked.name or ticket.repeat_of:
            case.wrong(Reason.TICKET_INVALID, "a ticket for another request")
            return
        if ticket_hash(called.payload) != asked.request.ticket:
            case.wrong(Reason.TICKET_INVALID, "another ticket than the call's")
            return
        before = Ticket.parse(called.payload)
        if (ticket.contract, ticket.block, ticket.slot, ticket.inputs) != (
            before.contract,
            before.block,
            before.slot,
            before.inputs,
        ):
            case.wrong(Reason.TICKET_INVALID, "on other data than the call")
        if ticket.seed == before.seed:
            # One mask twice over one total: the auditor would hold the bank's pads.
            case.wrong(Reason.TICKET_INVALID, "under the seed of the call")
        if case.compiled is not None:
            case.findings.extend(
                self._authority.message_findings(case.compiled, ticket, case.message)
            )

    # -- 2 and 6, and the permit

    def _decide(self, transaction: Transaction, case: Case) -> _Permitted | Signed:
        row: Any = transaction.db.execute(
            "SELECT request, ticket, permit, reply FROM audit WHERE call = ?",
            (case.asked.request.call,),
        ).fetchone()
        same = row is not None and row[:2] == (case.asked.name, case.name)
        if same and not case.findings:
            permitted = _Permitted(*row[2:])
            if permitted.reply is not None or _stands(transaction.db, case):
                return permitted
        findings = denial.against(
            lambda: self._findings(transaction, case, audited=row is not None)
        )
        if findings:
            consent = "" if case.permit is None else case.permit.consent
            return self._desk.deny(transaction, case.asked, findings, consent)
        return self._allow(transaction, case)

    def _findings(
        self, transaction: Transaction, case: Case, *, audited: bool
    ) -> list[Finding]:
        db, now_ms = transaction.db, transaction.now_ms
        found, asked_ms = list(case.findings), case.asked.request.asked_ms
        if not found:  # under way, it outlives the keys that began it
            found += case.asked.ended(self._domain, now_ms)
            house = self._domain.house.signing(now_ms)
            try:
                verify(Tag.TICKET, case.signed_ticket, house)
            except ProtocolError as error:
                found.append(Finding(Reason.SIGNATURE_INVALID, str(error)))
        if not now_ms - audits.ASKED_MS <= asked_ms <= now_ms + REQUEST_SKEW_MS:  # 2
            found.append(Finding(Reason.CLOCK_SKEW, "asked too long ago, or later"))
        permit = case.permit
        if permit is None:
            return found
        return found + audits.findings(  # 6
            self._registry.terms(db, permit.contract),
            consents.find(db, permit.consent),
            audited=audited,
            before=_count(db, now_ms),
            limits=self._limits,
        )

    def _allow(self, transaction: Transaction, case: Case) -> _Permitted:
        asked, permit = case.asked, case.permit
        if permit is None:
            raise AssertionError("an audit of no call was allowed")
        index = transaction.append(
            Kind.AUDIT_PERMIT,
            self._domain.authority.id,
            asked.name.hex(),
            audit_bodies.Permit(
                asked.signed, asked.second, case.name, permit.subject, permit.consent
            ).to_body(),
        )
        transaction.db.execute(
            "INSERT INTO audit(call, request, ticket, permit, time_ms)"
            " VALUES(?, ?, ?, ?, ?)",
            (asked.request.call, asked.name, case.name, index, transaction.now_ms),
        )
        self._authority.following.remember(transaction)
        return _Permitted(index, None)

    # -- 7

    def _decrypt(self, case: Case, permit: int) -> audit_pb2.EvaluateAgainResponse:
        auditor = case.asked.auditor
        if case.compiled is None or auditor is None:
            raise AssertionError("a permit without contract or auditor")
        receipt, proof, box = self._authority.unlock(
            case.compiled, case.message, case.name, permit, auditor
        )
        response = audit_pb2.EvaluateAgainResponse(
            receipt=to_wire(receipt), box=box, permit=proof
        )

        def keep(transaction: Transaction) -> bytes:
            # Two resumptions may run at once: the first one's reply stands.
            row: Any = transaction.db.execute(
                "SELECT reply FROM audit WHERE call = ?", (case.asked.request.call,)
            ).fetchone()
            if row[0] is not None:
                return bytes(row[0])
            reply = response.SerializeToString(deterministic=True)
            transaction.db.execute(
                "UPDATE audit SET reply = ? WHERE call = ?",
                (reply, case.asked.request.call),
            )
            transaction.append(
                Kind.AUDIT_DONE,
                self._domain.authority.id,
                case.asked.name.hex(),
                audit_bodies.Done(case.name, receipt).to_body(),
            )
            return reply

        reply = self._ledger.commit(keep).value
        return audit_pb2.EvaluateAgainResponse.FromString(reply)


def _stands(db: apsw.Connection, case: Case) -> bool:
    """Say whether the consent of a permitted call has not ended since."""
    grant = None if case.permit is None else consents.find(db, case.permit.consent)
    return grant is not None and stands(grant.status) is None


def _count(db: apsw.Connection, now_ms: int) -> int:
    row: Any = db.execute(
        "SELECT count(*) FROM audit WHERE time_ms > ?", (now_ms - BITS_WINDOW_MS,)
    ).fetchone()
    return int(row[0])
