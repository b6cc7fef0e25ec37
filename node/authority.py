"""Every use of the private key, as numbered steps (PROTOCOL 3 step 4, and 5).

The authority holds the key and no data.  It is sent one masked ciphertext and
the tables rotated by the same mask, and hands one still padded row of each
table to the bank, sealed.  Before that, in this order:

 1. The bank signed the request and the house the ticket, under keys pinned in
    the trust-domain file.
 2. The request is fresh, and its jti is not in use for another one.
 3. Request and ticket agree on request, contract and subject.
 4. The contract is in force in this registry, recompiled here, and ciphertext
    and tables have exactly the sizes it fixes.
 5. The ticket's message hash is the message's.
 6. The house's intent is in its signed head, which extends every head seen.
 7. The consent is in force for bank, subject, purpose and data, with uses left.
 8. The bits of the call are within every budget.
 9. The ciphertext is in range and a unit.
10. The reply is sealed to the bank's key of the trust-domain file, no other.

7 and 8 are decided in the one transaction that counts the use and journals the
permit: nothing is decrypted before that is on disk.  Whatever fails is a
signed, journalled denial with every reason; so is an error while deciding.

A check that is absent on purpose: the decrypted number is never looked at for
its range.  A refusal that depended on it would let a house read any column in
37 calls (tests/attacks).

`evaluate` is idempotent by ticket: the stored reply is given again; after a
crash between permit and reply the same ciphertext is decrypted once more under
the permit that exists.  A second ticket for one request is REPLAY_MISMATCH.
"""

import hmac
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import apsw

from contracts import bodies
from contracts.compiled import Compiled
from contracts.decide import (
    LIMITS,
    Ask,
    Finding,
    Limits,
    Reason,
    decide,
    denied,
    quota,
)
from contracts.objection import Objection
from node import clock, consents, denial, following, names
from node.clock import JTI_KEPT_MS, REPLY_FETCHED_MS, REQUEST_SKEW_MS
from node.consultation import proven
from node.domain import Party, Role, TrustDomain
from node.errors import NodeError, NotFound, RoleRefused
from node.following import Following, Shown, intent_findings
from node.keys import AuthorityKeys, unsealed
from node.ledger import Ledger, Transaction
from node.registry import Registry
from node.status import from_wire, to_wire
from node.wire.v1 import common_pb2, evaluation_pb2
from protocols import hpke, sharing
from protocols.call import (
    Opened,
    Opening,
    Permit,
    Receipt,
    RepeatReceipt,
    Request,
    Ticket,
    decrypted_digest,
    request_hash,
    ticket_hash,
)
from protocols.canon import Tag, framed
from protocols.entry import Kind
from protocols.errors import FormatError, ProtocolError
from protocols.lookup import Message, authority_pick
from protocols.paillier import (
    Half,
    PublicKey,
    check_ciphertexts,
    ciphertext_from_bytes,
    gil_released,
)
from protocols.sign import Signed, sign, verify
from protocols.slots import slots_per_block

SCHEMA: Final = (
    *consents.SCHEMA,
    *following.SCHEMA,
    # A row a request: what it came to, until its jti may be forgotten.
    """CREATE TABLE IF NOT EXISTS call(
        bank TEXT, jti BLOB, request BLOB NOT NULL, ticket BLOB NOT NULL,
        permit INTEGER, reply BLOB, denial BLOB, forget_ms INTEGER NOT NULL,
        PRIMARY KEY(bank, jti)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS call_forget ON call(forget_ms)",
    # A row an answer that may be released again.
    """CREATE TABLE IF NOT EXISTS answer(
        ticket BLOB PRIMARY KEY, bank TEXT NOT NULL, subject BLOB NOT NULL,
        contract BLOB NOT NULL, inputs BLOB NOT NULL, time_ms INTEGER NOT NULL)
        WITHOUT ROWID""",
)

HALVES: Final = 4  # threads
FORGET_AT_ONCE: Final = 16  # rows a transaction, so that none takes long


@dataclass(frozen=True, slots=True)
class Case:
    """One evaluation, parsed; what is wrong with it is in `findings`."""

    request: Request
    signed_request: Signed
    call: bytes  # request hash
    ticket: Ticket
    signed_ticket: Signed
    ticket_hash: bytes
    subject: bytes  # this node's pseudonym
    bank: Party | None
    message: Message | None  # None for a repeat
    intent: Shown | None  # in the house's journal
    share: int | None = field(default=None, repr=False)  # of a number of the bank's
    findings: list[Finding] = field(default_factory=list)

    def wrong(self, reason: Reason, detail: str) -> None:
        """Note a reason to deny."""
        self.findings.append(Finding(reason, detail))


@dataclass(frozen=True, slots=True)
class Permitted:
    """A permit that is on disk, or the reply it already led to."""

    index: int
    reply: bytes | None


class Authority:
    """The authority of one trust domain."""

    def __init__(
        self,
        domain: TrustDomain,
        keys: AuthorityKeys,
        ledger: Ledger,
        registry: Registry,
        limits: Limits = LIMITS,
    ) -> None:
        if keys.paillier.public != domain.paillier:
            raise NotFound(
                "the Paillier key is not the one of the trust-domain file",
                "start with the keystore of this trust domain",
            )
        self.domain = domain
        self.ledger = ledger
        self.registry = registry
        self._keys = keys
        self._limits = limits
        self._halves = ThreadPoolExecutor(HALVES, "half")
        self.following = Following(domain, ledger)

    def evaluate(
        self, message: evaluation_pb2.EvaluateRequest
    ) -> evaluation_pb2.EvaluateResponse:
        """Answer one evaluation; raises `Denied` or `HeadUnknown`."""
        case = self._examine(message)
        permitted = self._permit(case)
        if permitted.reply is not None:
            return evaluation_pb2.EvaluateResponse.FromString(permitted.reply)
        if case.ticket.repeat_of:
            return self._release_again(case, permitted.index)
        return self._decrypt(case, permitted.index)

    # -- checks 1 to 6 and 9

    def _examine(self, message: evaluation_pb2.EvaluateRequest) -> Case:
        signed_request = from_wire(message.request)
        signed_ticket = from_wire(message.ticket)
        request = Request.parse(signed_request.payload)
        ticket = Ticket.parse(signed_ticket.payload)
        opening = Opening(message.opening.subject_ref, message.opening.salt)
        commitment = opening.commitment()
        share, flaw = self._open_share(request, message.sealed_share)
        with self.ledger.reader() as db:
            (subject,) = names.of(db, self._keys.pseudonym, [opening.subject_ref])
        # Before anything is decided: it raises `HeadUnknown`.
        intent = self.following.admit(message.intent, message.links)
        case = Case(
            request=request,
            signed_request=signed_request,
            call=request_hash(signed_request.payload),
            ticket=ticket,
            signed_ticket=signed_ticket,
            ticket_hash=ticket_hash(signed_ticket.payload),
            subject=subject,
            bank=self._bank(request.bank),
            message=_message(message, ticket, self.domain.paillier),
            intent=intent,
            share=share,
        )
        self._check_signatures(case)  # 1
        if request.subject != commitment:  # 3
            case.wrong(Reason.TICKET_INVALID, "the opening is not the subject's")
        if ticket.request != case.call:
            case.wrong(Reason.TICKET_INVALID, "a ticket for another request")
        if ticket.contract != request.contract:
            case.wrong(Reason.TICKET_INVALID, "a ticket for another contract")
        if flaw:
            case.wrong(Reason.TICKET_INVALID, flaw)
        self._check_message(case)  # 4, 5, 9
        case.findings.extend(  # 6
            intent_findings(
                case.intent, Kind.CALL_INTENT, case.call, case.signed_ticket
            )
        )
        if case.bank is not None and not case.bank.hpke:  # 10
            case.wrong(Reason.TICKET_INVALID, "the bank has no key to seal to")
        return case

    def _open_share(self, request: Request, box: bytes) -> tuple[int | None, str]:
        """Open the share that the request names, or say what is wrong with it (3)."""
        if request.shared is None:
            return None, "a share that the request does not name" if box else ""
        if sharing.box_digest(box) != request.shared.authority:
            return None, "not the share of the request"
        jti, contract = request.jti, request.contract
        try:
            share = unsealed(
                self._keys, lambda key: sharing.unseal(key, box, jti, contract)
            )
        except ProtocolError as error:
            return None, f"the bank's share: {error}"
        return share, ""

    def _bank(self, name: str) -> Party | None:
        try:
            return self.domain.party(name, Role.BANK)
        except (NotFound, RoleRefused):
            return None

    def _check_signatures(self, case: Case) -> None:
        now_ms = clock.now_ms()
        keys = case.bank.signing(now_ms) if case.bank else ()
        try:
            verify(Tag.REQUEST, case.signed_request, keys)
            verify(Tag.TICKET, case.signed_ticket, self.domain.house.signing(now_ms))
        except ProtocolError as error:
            case.wrong(Reason.SIGNATURE_INVALID, str(error))

    def _check_message(self, case: Case) -> None:
        compiled = self._compiled(case)
        if compiled is None:
            return  # 7 denies
        named = [item.dataset for item in case.ticket.inputs]
        if named != [use.id for use in compiled.datasets]:
            case.wrong(Reason.TICKET_INVALID, "inputs of other datasets")
        if compiled.kind.shared is (case.request.shared is None):
            case.wrong(Reason.TICKET_INVALID, "shares of a number, or their lack")
        if case.message is not None:
            found = self.message_findings(compiled, case.ticket, case.message)
            case.findings.extend(found)

    def message_findings(
        self, compiled: Compiled, ticket: Ticket, message: Message
    ) -> list[Finding]:
        """Say what is against a message as a ticket's, of this contract (4, 5, 9)."""
        # Before the message is hashed: a slot's number has two bytes there.
        if ticket.slot >= slots_per_block(self.domain.paillier.bits):
            return [Finding(Reason.MESSAGE_INVALID, "no such slot")]
        wrong = []
        if len(message.ciphertexts) != compiled.card.parts:
            wrong.append("ciphertexts of another number")
        if len(message.tables) != self.registry.machine(compiled).gate.table_bytes:
            wrong.append("tables of another size")
        if message.digest() != ticket.message:
            wrong.append("not the message of the ticket")
        try:
            check_ciphertexts(self.domain.paillier, message.ciphertexts)
        except ProtocolError as error:
            wrong.append(str(error))
        return [Finding(Reason.MESSAGE_INVALID, detail) for detail in wrong]

    def _compiled(self, case: Case) -> Compiled | None:
        """Find the contract; None where `_findings` will say what is wrong."""
        with self.ledger.reader() as db:
            try:
                return self.registry.compiled(db, case.request.contract)
            except NodeError:
                return None

    # -- checks 2, 7 and 8, and the permit

    def _permit(self, case: Case) -> Permitted:
        committed = self.ledger.commit(lambda tx: self._decide(tx, case))
        if isinstance(committed.value, Signed):
            raise denial.error(committed.value)
        return committed.value

    def _decide(self, transaction: Transaction, case: Case) -> Permitted | Signed:
        genuine = not any(f.reason is Reason.SIGNATURE_INVALID for f in case.findings)
        if genuine:
            before = self._before(transaction.db, case)
            if before is not None:
                return before
        findings = denial.against(lambda: self._findings(transaction, case))
        if findings:
            return self._deny(transaction, case, findings, genuine=genuine)
        return self._allow(transaction, case)

    def _before(self, db: apsw.Connection, case: Case) -> Permitted | Signed | None:
        """Find what this request came to the first time."""
        row = db.execute(
            "SELECT request, ticket, permit, reply, denial FROM call"
            " WHERE bank = ? AND jti = ?",
            (case.request.bank, case.request.jti),
        ).fetchone()
        if row is None:
            return None
        request, ticket, permit, reply, refusal = row
        if request != case.call or ticket != case.ticket_hash:
            case.wrong(Reason.REPLAY_MISMATCH, "the jti names another call")
            return None
        if refusal is not None:
            return denial.from_store(refusal)
        return None if case.findings else Permitted(permit, reply)

    def _findings(self, transaction: Transaction, case: Case) -> list[Finding]:
        now_ms, request = transaction.now_ms, case.request
        findings = list(case.findings)
        if abs(now_ms - request.iat_ms) > REQUEST_SKEW_MS:  # 2
            findings.append(Finding(Reason.CLOCK_SKEW, "iat is too far from now"))
        terms = self.registry.terms(transaction.db, request.contract)
        grant = consents.find(transaction.db, request.consent)
        repeat = bool(case.ticket.repeat_of)
        known = repeat and self._may_repeat(transaction.db, case, now_ms)
        if repeat and (not known or request.shared is not None):
            findings.append(Finding(Reason.TICKET_INVALID, "no such answer to repeat"))
        spends = 0 if repeat or terms is None else terms.millibits
        ask = Ask(
            request.bank,
            request.purpose,
            case.subject,
            request.consent,
            spends,
            request.kind,
        )
        usage = consents.usage(
            transaction.db,
            grant,
            _spender(case),
            now_ms,
            self._limits,
            quota(terms, request.bank, self._limits),
        )
        decision = decide(ask, terms, grant, usage, now_ms, self._limits)  # 7, 8
        return [*decision.reasons, *findings]

    def _may_repeat(self, db: apsw.Connection, case: Case, now_ms: int) -> bool:
        row = db.execute(
            "SELECT bank, subject, contract, inputs FROM answer"
            " WHERE ticket = ? AND time_ms > ?",
            (case.ticket.repeat_of, now_ms - self._limits.window_ms),
        ).fetchone()
        return row == (
            case.request.bank,
            case.subject,
            case.request.contract,
            case.ticket.root,
        )

    def _allow(self, transaction: Transaction, case: Case) -> Permitted:
        terms = self.registry.terms(transaction.db, case.request.contract)
        if terms is None:
            raise AssertionError("a permit under a contract that is not registered")
        millibits = 0 if case.ticket.repeat_of else terms.millibits
        consents.spend(transaction, case.request.consent, _spender(case), millibits)
        counted = quota(terms, case.request.bank, self._limits)
        if counted is not None and millibits:
            consents.count_answer(transaction, case.subject, counted)
        index = transaction.append(
            Kind.CALL_PERMIT,
            self.domain.authority.id,
            case.call.hex(),
            bodies.Permit(
                request=case.signed_request,
                ticket=case.ticket_hash,
                subject=case.subject,
                consent=case.request.consent,
                contract=case.request.contract,
                millibits=millibits,
                repeat_of=case.ticket.repeat_of,
            ).to_body(),
        )
        self._remember(transaction, case, permit=index)
        if not case.ticket.repeat_of and case.request.shared is None:
            transaction.db.execute(
                "INSERT INTO answer(ticket, bank, subject, contract, inputs, time_ms)"
                " VALUES(?, ?, ?, ?, ?, ?)",
                (
                    case.ticket_hash,
                    case.request.bank,
                    case.subject,
                    case.request.contract,
                    case.ticket.root,
                    transaction.now_ms,
                ),
            )
        return Permitted(index, None)

    def _deny(
        self,
        transaction: Transaction,
        case: Case,
        findings: list[Finding],
        *,
        genuine: bool,
    ) -> Signed:
        signed = denial.deny(
            transaction,
            by=self.domain.authority.id,
            key=self._keys.receipt,
            salt_key=self._keys.opening,
            request=case.signed_request,
            subject=case.subject,
            findings=denied(findings).reasons,
        )
        mismatch = any(f.reason is Reason.REPLAY_MISMATCH for f in findings)
        if genuine and not mismatch:  # else a forger could use up a bank's jti
            self._remember(transaction, case, refusal=signed)
        return signed

    def _remember(
        self,
        transaction: Transaction,
        case: Case,
        *,
        permit: int | None = None,
        refusal: Signed | None = None,
    ) -> None:
        db, now_ms = transaction.db, transaction.now_ms
        kept_ms = JTI_KEPT_MS if permit is None else REPLY_FETCHED_MS
        db.execute(
            "INSERT OR IGNORE INTO call"
            "(bank, jti, request, ticket, permit, denial, forget_ms)"
            " VALUES(?, ?, ?, ?, ?, ?, ?)",
            (
                case.request.bank,
                case.request.jti,
                case.call,
                case.ticket_hash,
                permit,
                None if refusal is None else denial.to_store(refusal),
                max(now_ms, case.request.iat_ms) + kept_ms,
            ),
        )
        self.following.remember(transaction)
        db.execute(
            "DELETE FROM call WHERE (bank, jti) IN (SELECT bank, jti FROM call"
            " WHERE forget_ms < ? LIMIT ?)",
            (now_ms, FORGET_AT_ONCE),
        )

    # -- after the permit is on disk

    def _decrypt(self, case: Case, permit: int) -> evaluation_pb2.EvaluateResponse:
        compiled = self._compiled(case)
        if compiled is None or case.message is None or case.bank is None:
            raise AssertionError("a permit without contract, message or bank")
        shares = () if case.share is None else (case.share,)
        return self._done(
            case,
            _response(
                *self.unlock(
                    compiled, case.message, case.ticket_hash, permit, case.bank, shares
                )
            ),
        )

    def unlock(
        self,
        compiled: Compiled,
        message: Message,
        ticket: bytes,
        permit: int,
        to: Party,
        shares: Sequence[int] = (),
    ) -> tuple[Signed, common_pb2.Logged, bytes]:
        """Decrypt what entry `permit` of the journal permits; it is on the disk.

        Returns the receipt, the permit proven, and the box that is sealed `to` a bank,
        or to an auditor (`node.audit_authority`).
        """
        picked = authority_pick(
            self.registry.machine(compiled).gate,
            self._keys.paillier,
            message,
            self._side_by_side,
            shares,
        )
        opened = Opened(
            self._salt(ticket, 0),
            tuple(int(u) for u in picked.u[0]),
            picked.rows[0].tobytes(),
        )
        box = hpke.seal(to.hpke[0], ticket, opened.to_bytes())  # 10
        z = decrypted_digest(self._salt(ticket, 1), *picked.decrypted)
        proof, where = self._prove(permit)
        receipt = Receipt(ticket, opened.digest(), z, where)
        return sign(Tag.RECEIPT, receipt.to_bytes(), self._keys.receipt), proof, box

    def _side_by_side(self, first: Half, second: Half) -> tuple[Any, Any]:
        """Compute the two halves of a decryption on two cores."""

        # gmpy2 keeps its context a thread, and grpcio a fresh one a call.
        def released(half: Half) -> Any:  # noqa: ANN401  an mpz
            with gil_released():
                return half()

        other = self._halves.submit(released, second)
        return released(first), other.result()

    def _release_again(
        self, case: Case, permit: int
    ) -> evaluation_pb2.EvaluateResponse:
        proof, where = self._prove(permit)
        receipt = RepeatReceipt(
            case.call, case.ticket_hash, case.ticket.repeat_of, where
        )
        signed = sign(Tag.REPEAT_RECEIPT, receipt.to_bytes(), self._keys.receipt)
        return self._done(case, _response(signed, proof, b""))

    def _prove(self, permit: int) -> tuple[common_pb2.Logged, Permit]:
        head = self.ledger.head
        return proven(self.ledger, permit, head), Permit(permit, head.size, head.root)

    def _done(
        self, case: Case, response: evaluation_pb2.EvaluateResponse
    ) -> evaluation_pb2.EvaluateResponse:
        receipt = from_wire(response.receipt)

        def keep(transaction: Transaction) -> bytes:
            # Two resumptions may run at once: the first one's reply stands.
            row = transaction.db.execute(
                "SELECT reply FROM call WHERE bank = ? AND jti = ?",
                (case.request.bank, case.request.jti),
            ).fetchone()
            if row is not None and row[0] is not None:
                return bytes(row[0])
            reply = response.SerializeToString(deterministic=True)
            transaction.db.execute(
                "UPDATE call SET reply = ? WHERE bank = ? AND jti = ?",
                (reply, case.request.bank, case.request.jti),
            )
            transaction.append(
                Kind.CALL_DONE,
                self.domain.authority.id,
                case.call.hex(),
                bodies.Done(case.ticket_hash, receipt).to_body(),
            )
            return reply

        committed = self.ledger.commit(keep)
        return evaluation_pb2.EvaluateResponse.FromString(committed.value)

    def _salt(self, ticket: bytes, index: int) -> bytes:
        """Derive a reply's salt from k_open, so that an opening can be made later."""
        text = framed(Tag.REPLY_SALT, ticket, bytes([index]))
        return hmac.digest(self._keys.opening, text, "sha256")


def erase(transaction: Transaction, _objection: Objection, subject: bytes) -> None:
    """Forget the answers about a subject that is erased: none is released again."""
    transaction.db.execute("DELETE FROM answer WHERE subject = ?", (subject,))


def _message(
    message: evaluation_pb2.EvaluateRequest, ticket: Ticket, public: PublicKey
) -> Message | None:
    if ticket.repeat_of:
        if message.ciphertext or message.tables:
            raise FormatError("a repeat carries no ciphertext and no tables")
        return None
    return read_message(message.ciphertext, message.tables, ticket.slot, public)


def read_message(data: bytes, tables: bytes, slot: int, public: PublicKey) -> Message:
    """Read one masked ciphertext, or two, and the tables of a slot."""
    size = public.ciphertext_bytes
    first = int(ciphertext_from_bytes(data[:size]))
    second = int(ciphertext_from_bytes(data[size:])) if len(data) > size else None
    return Message(first, (slot,), tables, second)


def _spender(case: Case) -> tuple[str, bytes, bytes]:
    return case.request.bank, case.subject, case.request.contract


def _response(
    receipt: Signed, permit: common_pb2.Logged, box: bytes
) -> evaluation_pb2.EvaluateResponse:
    return evaluation_pb2.EvaluateResponse(
        receipt=to_wire(receipt), box=box, permit=permit
    )
