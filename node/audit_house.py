"""The house's part of functional replays, as numbered steps (`contracts.audits`).

 1. Two auditors of the trust domain signed the request, and the first of them calls;
    it is not older than two persons need to sign it.
 2. Entries `intent` and `result` of this journal are the call, under the ticket that is
    named, and the commitment of its bank: what was never released is not computed for
    an auditor, and where nothing is committed to, nothing can be compared.
 3. Kind of question, consent, once a call (`contracts.audits`); the authority counts.
 4. The message is made anew from the data, block and slot of the call's ticket, under
    a fresh seed, of which two auditors get a share; `audit.intent` is journalled.
 5. The authority is asked, with the call's own ticket beside the new one.
 6. `audit.outcome` is journalled with the reply, in one transaction, then released.

From 4 to 6 the seed lies sealed under the at-rest key.  The same request again gets the
same reply; whatever is killed when, it goes on where it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import apsw

from contracts import audit_bodies, audits, bodies
from contracts.decide import Finding, Reason
from contracts.inputs import Inputs
from node import clock, consents, denial, job_store
from node.audit_denial import Asked, Desk
from node.consultation import proven
from node.denial import from_store, to_store
from node.domain import Role
from node.errors import Denied, ReplyRefused, RoleRefused
from node.house import Caller, House
from node.keys import HouseKeys
from node.ledger import Transaction
from node.resumption import finish_each
from node.sent import entry_of
from node.status import from_wire, to_wire
from node.wire.v1 import audit_pb2, common_pb2
from protocols.call import (
    Denial,
    Receipt,
    Request,
    Ticket,
    pads_digest,
    receipt_hash,
    seed_commitment,
    ticket_hash,
)
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.errors import ProtocolError
from protocols.lookup import Message
from protocols.seal import unwrap, wrap
from protocols.sign import Signed, sign, verify

SCHEMA: Final = (
    # A row a call that is computed again; `secret` is the seed, until there is a reply.
    """CREATE TABLE IF NOT EXISTS audit(
        call BLOB PRIMARY KEY, request BLOB NOT NULL, signed BLOB NOT NULL,
        second BLOB NOT NULL, ticket BLOB NOT NULL, intent INTEGER NOT NULL,
        secret BLOB, reply BLOB, outcome INTEGER) WITHOUT ROWID""",
)


class AuditPeer(Protocol):
    """The authority, near or far."""

    def evaluate_again(
        self, message: audit_pb2.EvaluateAgainRequest
    ) -> audit_pb2.EvaluateAgainResponse:
        """Answer; raises `Denied`, `HeadUnknown`, `Unreachable`."""


class _Called(NamedTuple):
    """A call of this journal."""

    request: Request
    signed_ticket: Signed
    ticket: Ticket
    subject: bytes


@dataclass(frozen=True, slots=True, repr=False)
class _Record:
    """A computation as it stands."""

    asked: Asked
    ticket: Signed
    intent: int
    secret: bytes | None
    reply: bytes | None
    outcome: int | None


class AuditHouse:
    """The house's desk for functional replays; thread-safe."""

    def __init__(self, house: House, keys: HouseKeys, authority: AuditPeer) -> None:
        self._house = house
        self._keys = keys
        self._authority = authority
        self._desk = Desk(house.domain.house.id, keys.ticket, keys.pseudonym)

    def compute(
        self, call: Caller, signed: Signed, second: Signed
    ) -> audit_pb2.ComputeAgainResponse:
        """Compute a call again; raises `Denied`, `Unreachable`, `ProtocolError`."""
        asked = Asked.of(signed, second, self._house.domain)  # 1
        if asked.request.auditor != call.caller.id:
            raise RoleRefused(f"a request of `{asked.request.auditor}`, not the caller")
        with self._house.holding("audit", asked.request.call):
            record = self._find(asked.request.call)
            if record is None or record.asked.name != asked.name or not asked.genuine:
                record = self._depart(call, asked)  # 2 to 4
            if record.reply is None:
                record = self._arrive(record)  # 5, 6
        if record.reply is None or record.outcome is None:
            raise AssertionError("a computation without an outcome")
        response = audit_pb2.ComputeAgainResponse.FromString(record.reply)
        response.outcome.CopyFrom(proven(self._house.ledger, record.outcome))
        return response

    def resume(self) -> int:
        """Finish what was left between 4 and 6; return how many were finished."""
        with self._house.ledger.reader() as db:
            rows: Any = db.execute("SELECT call FROM audit WHERE reply IS NULL")
            left = [bytes(call) for (call,) in rows]
        return finish_each(left, self._finish_left, "audit not resumed")

    def _finish_left(self, call: bytes) -> bool:
        with self._house.holding("audit", call):
            record = self._find(call)
            if record is None or record.reply is not None:
                return False
            try:
                self._arrive(record)
            except Denied:
                return True  # it is journalled
            return True

    # -- 1 to 3

    def _called(self, asked: Asked) -> _Called | None:
        """Read the call that a request names, if it was released and committed to."""
        request = asked.request
        intent = self._entry(request.intent, Kind.CALL_INTENT, request.call)
        result = self._entry(request.result, Kind.CALL_RESULT, request.call)
        if intent is None or result is None:
            return None
        body = bodies.Intent.parse(intent.body)
        named = ticket_hash(body.ticket.payload)
        ticket = Ticket.parse(body.ticket.payload)
        committed = bodies.Result.parse(result.body).ticket
        if {named, committed} != {request.ticket} or ticket.repeat_of:
            return None
        return _Called(
            Request.parse(body.request.payload), body.ticket, ticket, body.subject
        )

    def _entry(self, index: int, kind: Kind, call: bytes) -> Entry | None:
        ledger = self._house.ledger
        if index >= ledger.head.size:
            return None
        entry = Entry.parse(ledger.entry(index))
        return entry if (entry.kind, entry.call) == (kind, call.hex()) else None

    def _findings(
        self, db: apsw.Connection, asked: Asked, called: _Called | None, now_ms: int
    ) -> list[Finding]:
        def find() -> list[Finding]:
            found, asked_ms = list(asked.findings), asked.request.asked_ms
            found = found or asked.ended(self._house.domain, now_ms)
            latest_ms = now_ms + clock.REQUEST_SKEW_MS
            if not now_ms - audits.ASKED_MS <= asked_ms <= latest_ms:  # 1
                found.append(Finding(Reason.CLOCK_SKEW, "asked too long ago, or later"))
            if called is None:  # 2
                detail = "no call with a commitment stands there"
                return [*found, Finding(Reason.INTENT_UNPROVEN, detail)]
            query = "SELECT 1 FROM audit WHERE call = ?"
            row = db.execute(query, (asked.request.call,)).fetchone()
            return found + audits.findings(  # 3
                self._house.registry.terms(db, called.request.contract),
                consents.find(db, called.request.consent),
                audited=row is not None,
                before=0,
            )

        return denial.against(find)

    # -- 4

    def _depart(self, call: Caller, asked: Asked) -> _Record:
        """Compute and journal; raises `Denied`."""
        called = self._called(asked)
        with self._house.ledger.reader() as db:
            findings = self._findings(db, asked, called, clock.now_ms())
        if findings or called is None:
            raise denial.error(self._refuse(asked, called))
        seed = self._house.seeds.take()
        message, pads = self._message(called.ticket, seed.seed)
        ticket = Ticket(
            asked.name,
            called.ticket.contract,
            called.ticket.block,
            called.ticket.slot,
            called.ticket.inputs,
            clock.now_ms(),
            seed_commitment(seed.seed),
            message.digest(),
            pads_digest(pads),
        )
        signed = sign(Tag.TICKET, ticket.to_bytes(), self._keys.ticket)
        secret = wrap(self._keys.at_rest, asked.name, seed.seed)
        consent = called.request.consent
        body = audit_bodies.Intent(
            asked.signed, asked.second, signed, called.subject, consent
        )
        call.check_alive()

        def journal(transaction: Transaction) -> int | Signed:
            db, now_ms = transaction.db, transaction.now_ms
            found = self._findings(db, asked, called, now_ms)
            if found:
                return self._desk.deny(transaction, asked, found, consent)
            actor, name = self._house.domain.house.id, asked.name.hex()
            index = transaction.append(Kind.AUDIT_INTENT, actor, name, body.to_body())
            db.execute(
                "INSERT INTO audit(call, request, signed, second, ticket, intent,"
                " secret) VALUES(?, ?, ?, ?, ?, ?, ?)",
                (
                    asked.request.call,
                    asked.name,
                    to_store(asked.signed),
                    to_store(asked.second),
                    to_store(signed),
                    index,
                    secret,
                ),
            )
            job_store.share(transaction, asked.name, seed.shares)
            return index

        intent = self._house.ledger.commit(journal).value
        if isinstance(intent, Signed):
            raise denial.error(intent)
        return _Record(asked, signed, intent, secret, None, None)

    def _refuse(self, asked: Asked, called: _Called | None) -> Signed:
        def deny(transaction: Transaction) -> Signed:
            db, now_ms = transaction.db, transaction.now_ms
            found = self._findings(db, asked, called, now_ms)
            found = found or [Finding(Reason.INTERNAL, "it was refused a moment ago")]
            consent = "" if called is None else called.request.consent
            return self._desk.deny(transaction, asked, found, consent)

        return self._house.ledger.commit(deny).value

    def _message(self, ticket: Ticket, seed: bytes) -> tuple[Message, bytes]:
        with self._house.ledger.reader() as db:
            compiled = self._house.registry.compiled(db, ticket.contract)
            return self._house.engine.message(db, compiled, Inputs.of(ticket), seed)

    # -- 5, 6

    def _arrive(self, record: _Record) -> _Record:
        called = self._called(record.asked)
        if called is None or record.secret is None:
            raise AssertionError("an intent of no call, or without its seed")
        seed = unwrap(self._keys.at_rest, record.asked.name, record.secret)
        ticket = Ticket.parse(record.ticket.payload)
        message, pads = self._message(ticket, seed)
        if message.digest() != ticket.message:
            raise AssertionError("a resumed computation makes another message")
        size = self._house.domain.paillier.ciphertext_bytes
        ciphertext = b"".join(c.to_bytes(size, "big") for c in message.ciphertexts)

        def ask(
            intent: common_pb2.Logged, links: Sequence[common_pb2.HeadLink]
        ) -> audit_pb2.EvaluateAgainResponse:
            return self._authority.evaluate_again(
                audit_pb2.EvaluateAgainRequest(
                    request=to_wire(record.asked.signed),
                    second=to_wire(record.asked.second),
                    called=to_wire(called.signed_ticket),
                    ticket=to_wire(record.ticket),
                    ciphertext=ciphertext,
                    tables=message.tables,
                    intent=intent,
                    links=links,
                )
            )

        try:
            response = self._house.consultation.consult(record.intent, ask)
        except Denied as refusal:
            self._denied(record, refusal.denial)
            raise
        self._check(record, response)
        return self._outcome(record, response, pads)

    def _denied(self, record: _Record, refusal: Signed) -> None:
        """Journal the authority's refusal, if it is one; the call may be asked anew."""
        asked, trust = record.asked, self._house.domain
        try:
            verify(Tag.DENIAL, refusal, trust.authority.sign)
            named = Denial.parse(refusal.payload).request
        except ProtocolError as error:
            raise ReplyRefused(f"the authority's denial proves nothing: {error}") from (
                None
            )
        if named != asked.name:
            raise ReplyRefused("the authority's denial is of another request")
        body = audit_bodies.Denied(ticket_hash(record.ticket.payload), refusal)

        def journal(transaction: Transaction) -> None:
            actor, name = trust.house.id, asked.name.hex()
            transaction.append(Kind.AUDIT_DENIED, actor, name, body.to_body())
            # Nothing was decrypted; asked again, it is computed under another seed.
            for query, key in (
                ("DELETE FROM audit WHERE call = ?", asked.request.call),
                ("DELETE FROM seed_share WHERE request = ?", asked.name),
            ):
                transaction.db.execute(query, (key,))

        self._house.ledger.commit(journal)

    def _check(
        self, record: _Record, response: audit_pb2.EvaluateAgainResponse
    ) -> None:
        """Hold the authority's answer to this ticket and a permit of its own."""
        trust, name = self._house.domain, ticket_hash(record.ticket.payload)
        signed = from_wire(response.receipt)
        try:
            verify(Tag.RECEIPT, signed, trust.authority.sign)
            receipt = Receipt.parse(signed.payload)
            keys = trust.verifiers(Role.AUTHORITY)
            proof, entry = entry_of(response.permit, keys)
            body = audit_bodies.Permit.parse(entry.body)
        except ProtocolError as error:
            raise ReplyRefused(f"the authority's answer proves nothing: {error}") from (
                None
            )
        if (entry.kind, entry.call) != (Kind.AUDIT_PERMIT, record.asked.name.hex()):
            raise ReplyRefused("the authority's permit is another entry")
        if (receipt.ticket, body.ticket, receipt.permit.index) != (
            name,
            name,
            proof.index,
        ):
            raise ReplyRefused("the authority's receipt is of another ticket or permit")

    def _outcome(
        self, record: _Record, response: audit_pb2.EvaluateAgainResponse, pads: bytes
    ) -> _Record:
        asked, ledger = record.asked, self._house.ledger
        reply = audit_pb2.ComputeAgainResponse(
            ticket=to_wire(record.ticket),
            receipt=response.receipt,
            box=response.box,
            pads=pads,
            permit=response.permit,
        ).SerializeToString(deterministic=True)
        body = audit_bodies.Outcome(
            ticket_hash(record.ticket.payload), receipt_hash(response.receipt.payload)
        )

        def journal(transaction: Transaction) -> int:
            actor, name = self._house.domain.house.id, asked.name.hex()
            index = transaction.append(Kind.AUDIT_OUTCOME, actor, name, body.to_body())
            transaction.db.execute(
                "UPDATE audit SET reply = ?, outcome = ?, secret = NULL WHERE call = ?",
                (reply, index, asked.request.call),
            )
            return index

        index = ledger.commit(journal).value
        return _Record(asked, record.ticket, record.intent, None, reply, index)

    def _find(self, call: bytes) -> _Record | None:
        with self._house.ledger.reader() as db:
            row: Any = db.execute(
                "SELECT signed, second, ticket, intent, secret, reply, outcome"
                " FROM audit WHERE call = ?",
                (call,),
            ).fetchone()
        if row is None:
            return None
        signed, second, ticket, *rest = row
        asked = Asked.of(from_store(signed), from_store(second), self._house.domain)
        return _Record(asked, from_store(ticket), *rest)
