"""The authority's part of private calls, as numbered steps (`protocols.private_call`).

It alone learns whom such a call is about, so it alone counts uses and bits.

 1. The bank signed the request, the house the ticket; they agree, and the box is the
    request's; the jti names no other call, the request is fresh.
 2. Contract, bank and purpose allow it.
 3. The intent is in the house's signed head, which extends every head seen.
 4. Every candidate has a place, no two the same: *before* the box is looked into.  A
    house that left one out would learn from a refusal that it was the one.
 5. The message has the sizes that the contract fixes, the ticket's hash, and
    ciphertexts in range, all of them, whichever will be used.

What is wrong so far is the house's to see, and is refused openly.  Then

 6. the secret opens, and is an entry of the list that the bank signed the root of;
 7. consent, uses and bits allow it.

What is wrong with these is sealed to the bank, in a box like an answer's, after a
decryption of nothing in particular, with a receipt and a proof that are thrown away.
Else the permit is journalled, durably, with the use and the bits; then

 8. one block is decrypted, one row is picked, and sealed to the bank.

The same request again gets the same box.  After a crash between permit and box the same
ciphertext is decrypted once more under the permit that exists.
"""

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import apsw

from contracts import private_bodies
from contracts.compiled import Compiled
from contracts.decide import (
    LIMITS,
    Ask,
    Finding,
    Limits,
    Reason,
    decide,
    decide_job,
    quota,
)
from node import clock, consents, denial, names
from node.clock import JTI_KEPT_MS, REPLY_FETCHED_MS, REQUEST_SKEW_MS
from node.consultation import proven
from node.denial import from_store, to_store
from node.domain import Party, Role, TrustDomain
from node.errors import NodeError, NotFound, RoleRefused
from node.following import Following, intent_findings
from node.keys import AuthorityKeys, unsealed
from node.ledger import Ledger, Transaction
from node.private_denial import About, Desk, call_hash
from node.registry import Registry
from node.status import from_wire, to_wire
from node.wire.v1 import private_evaluation_pb2
from protocols import job
from protocols.call import Opened, Permit, Receipt, decrypted_digest
from protocols.canon import Tag, framed
from protocols.entry import Kind
from protocols.errors import FormatError, ProtocolError
from protocols.lookup import Gate, Message, authority_pick
from protocols.paillier import check_ciphertexts, ciphertext_from_bytes
from protocols.private_call import (
    PrivateRequest,
    PrivateSealed,
    PrivateTicket,
    Reply,
    Secret,
    box_digest,
)
from protocols.sign import Signed, sign, verify
from protocols.slots import slots_per_block

SCHEMA: Final = (
    # A row a request: what it came to, until its jti may be forgotten.
    """CREATE TABLE IF NOT EXISTS private_call(
        bank TEXT, jti BLOB, request BLOB NOT NULL, ticket BLOB NOT NULL,
        permit INTEGER, reply BLOB, refusal BLOB, denial BLOB,
        forget_ms INTEGER NOT NULL, PRIMARY KEY(bank, jti)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS private_call_forget ON private_call(forget_ms)",
)
FORGET_AT_ONCE: Final = 16  # rows a transaction, so that none takes long


@dataclass(frozen=True, slots=True, repr=False)
class Whom:
    """Whom a call is about, as far as the secret says."""

    subject: bytes = b""  # this node's pseudonym
    consent: str = ""
    entry: int = 0  # of the candidates
    flaw: Finding | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Case:
    """One evaluation, parsed; what the house may see wrong with it is in `findings`."""

    call: bytes  # request hash
    signed: Signed
    request: PrivateRequest
    signed_ticket: Signed
    ticket: PrivateTicket
    bank: Party | None
    compiled: Compiled | None
    messages: tuple[Message, ...]
    whom: Whom
    findings: list[Finding] = field(default_factory=list)

    def wrong(self, reason: Reason, detail: str) -> None:
        """Note a reason to deny."""
        self.findings.append(Finding(reason, detail))


@dataclass(frozen=True, slots=True, repr=False)
class Decided:
    """What a call came to: a reply that is kept, a permit, or a refusal to seal."""

    reply: bytes | None = None
    permit: int = -1
    refusal: Signed | None = None


class PrivateAuthority:
    """The authority's desk for private calls; thread-safe."""

    def __init__(
        self,
        domain: TrustDomain,
        keys: AuthorityKeys,
        ledger: Ledger,
        registry: Registry,
        following: Following,
        limits: Limits = LIMITS,
    ) -> None:
        self._domain = domain
        self._keys = keys
        self._ledger = ledger
        self._registry = registry
        self._following = following
        self._limits = limits
        self._desk = Desk(domain.authority.id, keys.receipt, keys.opening)
        self._slots = slots_per_block(domain.paillier.bits)

    # -- 1 to 6

    def evaluate(
        self, pieces: Iterator[private_evaluation_pb2.EvaluatePrivatelyRequest]
    ) -> private_evaluation_pb2.EvaluatePrivatelyResponse:
        """Answer one evaluation; raises `Denied` or `HeadUnknown`."""
        case = self._examine(pieces)
        decided = self._ledger.commit(lambda tx: self._decide(tx, case)).value
        if isinstance(decided, Signed):
            raise denial.error(decided)
        if decided.reply is not None:
            return private_evaluation_pb2.EvaluatePrivatelyResponse.FromString(
                decided.reply
            )
        if decided.refusal is not None:
            return self._done(case, self._refused(case, decided.refusal))
        return self._done(case, self._answered(case, decided.permit))

    def _examine(
        self, pieces: Iterator[private_evaluation_pb2.EvaluatePrivatelyRequest]
    ) -> Case:
        first = next(iter(pieces), None)
        if first is None or first.WhichOneof("piece") != "question":
            raise FormatError("expected the question first")
        question = first.question
        signed, signed_ticket = from_wire(question.request), from_wire(question.ticket)
        request = private_bodies.read_request(signed.payload)
        ticket = PrivateTicket.parse(signed_ticket.payload)
        messages = self._messages(ticket, pieces)
        # Before anything is decided: it raises `HeadUnknown`.
        intent = self._following.admit(question.intent, question.links)
        case = Case(
            call_hash(signed.payload),
            signed,
            request,
            signed_ticket,
            ticket,
            self._bank(request.bank),
            self._compiled(request.contract),
            messages,
            self._whom(request, question.box),
        )
        self._check_documents(case, question.box)  # 1
        kind = Kind.PRIVATE_INTENT
        case.findings.extend(
            intent_findings(intent, kind, case.call, signed_ticket)
        )  # 3
        if case.compiled is not None and self._check_places(case, case.compiled):  # 4
            self._check_message(case, case.compiled)  # 5
        return case

    def _messages(
        self,
        ticket: PrivateTicket,
        pieces: Iterator[private_evaluation_pb2.EvaluatePrivatelyRequest],
    ) -> tuple[Message, ...]:
        found: list[Message] = []
        size, blocks = self._domain.paillier.ciphertext_bytes, ticket.blocks
        for piece in pieces:
            if piece.WhichOneof("piece") != "block" or len(found) == len(blocks):
                raise FormatError("expected the blocks of the ticket, no others")
            data, (_, slots) = piece.block.ciphertexts, blocks[len(found)]
            first = int(ciphertext_from_bytes(data[:size]))
            rest = data[size:]
            second = int(ciphertext_from_bytes(rest)) if rest else None
            found.append(Message(first, slots, piece.block.tables, second))
        if len(found) != len(blocks):
            raise FormatError("expected every block of the ticket")
        return tuple(found)

    def _bank(self, name: str) -> Party | None:
        try:
            return self._domain.party(name, Role.BANK)
        except (NotFound, RoleRefused):
            return None

    def _compiled(self, contract: bytes) -> Compiled | None:
        """Find the contract; None where the decision will say what is wrong."""
        with self._ledger.reader() as db:
            try:
                return self._registry.compiled(db, contract)
            except NodeError:
                return None

    def _whom(self, request: PrivateRequest, box: bytes) -> Whom:
        """Open the secret; what is wrong with it is the bank's alone to know."""
        try:
            contract, jti = request.contract, request.jti
            secret = unsealed(
                self._keys, lambda key: Secret.unseal(key, contract, jti, box)
            )
            secret.check(request)
        except ProtocolError as error:
            return Whom(flaw=Finding(Reason.TICKET_INVALID, f"the secret: {error}"))
        ref = secret.opening.subject_ref
        with self._ledger.reader() as db:
            (subject,) = names.of(db, self._keys.pseudonym, [ref])
        return Whom(subject, secret.consent, secret.entry)

    def _check_documents(self, case: Case, box: bytes) -> None:
        now_ms = clock.now_ms()
        keys = case.bank.signing(now_ms) if case.bank else ()
        house = self._domain.house.signing(now_ms)
        try:
            verify(Tag.PRIVATE_REQUEST, case.signed, keys)
            verify(Tag.PRIVATE_TICKET, case.signed_ticket, house)
        except ProtocolError as error:
            case.wrong(Reason.SIGNATURE_INVALID, str(error))
        if (case.ticket.request, case.ticket.contract) != (
            case.call,
            case.request.contract,
        ):
            case.wrong(Reason.TICKET_INVALID, "a ticket for another request")
        if box_digest(box) != case.request.box:  # openly: the house swapped it
            case.wrong(Reason.TICKET_INVALID, "the box is not the one that was signed")
        if case.bank is not None and not case.bank.hpke:
            case.wrong(Reason.TICKET_INVALID, "the bank has no key to seal to")

    def _check_places(self, case: Case, compiled: Compiled) -> bool:
        ticket = case.ticket
        if not len(ticket.places) == len(set(ticket.places)) == case.request.count:
            case.wrong(Reason.TICKET_INVALID, "expected a place for every candidate")
        if any(slot >= self._slots for _, slot in ticket.places):
            case.wrong(Reason.TICKET_INVALID, "a place outside its block")
        named = [basis.dataset for basis in ticket.bases]
        if named != [used.id for used in compiled.datasets]:
            case.wrong(Reason.TICKET_INVALID, "inputs of other datasets")
        return not any(f.reason is Reason.TICKET_INVALID for f in case.findings)

    def _check_message(self, case: Case, compiled: Compiled) -> None:
        gate = self._registry.machine(compiled).gate
        if case.ticket.gate != gate.name:
            case.wrong(Reason.TICKET_INVALID, "another gate than the contract's")
        if any(
            len(message.tables) != len(message.slots) * gate.table_bytes
            or len(message.ciphertexts) != gate.card.parts
            for message in case.messages
        ):
            case.wrong(Reason.MESSAGE_INVALID, "tables of another size")
            return
        blocks = (block for block, _ in case.ticket.blocks)
        hashed = job.message_hash(zip(blocks, case.messages, strict=True))
        if hashed != case.ticket.message:
            case.wrong(Reason.MESSAGE_INVALID, "not the message of the ticket")
        ciphertexts = [c for message in case.messages for c in message.ciphertexts]
        try:
            check_ciphertexts(self._domain.paillier, ciphertexts)
        except ProtocolError as error:
            case.wrong(Reason.MESSAGE_INVALID, str(error))

    # -- 2, 7 and the permit

    def _decide(self, transaction: Transaction, case: Case) -> Decided | Signed:
        genuine = not any(f.reason is Reason.SIGNATURE_INVALID for f in case.findings)
        if genuine:
            before = self._before(transaction.db, case)
            if before is not None:
                return before
        visible = denial.against(lambda: self._visible(transaction, case))
        if visible:
            signed = self._desk.deny(transaction, case.signed, visible)
            mismatch = any(f.reason is Reason.REPLAY_MISMATCH for f in visible)
            if genuine and not mismatch:  # else a forger could use up a bank's jti
                self._remember(transaction, case, denial_=signed)
            return signed
        # Apart, so that an error here, which may hang on who is meant, is sealed too.
        hidden = denial.against(lambda: self._hidden(transaction, case))
        if hidden:
            about = About(case.ticket.hash, case.whom.subject, case.whom.consent)
            signed = self._desk.refuse(transaction, case.signed, hidden, about)
            self._remember(transaction, case, refusal=signed)
            return Decided(refusal=signed)
        return self._allow(transaction, case)

    def _before(self, db: apsw.Connection, case: Case) -> Decided | Signed | None:
        """Find what this request came to the first time."""
        row: Any = db.execute(
            "SELECT request, ticket, permit, reply, refusal, denial FROM private_call"
            " WHERE bank = ? AND jti = ?",
            (case.request.bank, case.request.jti),
        ).fetchone()
        if row is None:
            return None
        request, ticket, permit, reply, refusal, openly = row
        if request != case.call or ticket != case.ticket.hash:
            case.wrong(Reason.REPLAY_MISMATCH, "the jti names another call")
            return None
        if openly is not None:
            return from_store(openly)
        if case.findings:
            return None
        if refusal is not None:
            return Decided(reply, refusal=from_store(refusal))
        return Decided(reply, permit)

    def _visible(self, transaction: Transaction, case: Case) -> list[Finding]:
        """Say what is wrong whoever is meant: the house may see it."""
        now_ms, request = transaction.now_ms, case.request
        terms = self._registry.terms(transaction.db, request.contract)
        found = [
            *decide_job(request.bank, request.purpose, terms, request.kind).reasons,
            *case.findings,
        ]
        if abs(now_ms - request.iat_ms) > REQUEST_SKEW_MS:
            found.append(Finding(Reason.CLOCK_SKEW, "iat is too far from now"))
        return found

    def _hidden(self, transaction: Transaction, case: Case) -> Sequence[Finding]:
        """Say what is wrong with the one who is meant: the house may not."""
        db, now_ms, request = transaction.db, transaction.now_ms, case.request
        terms, whom = self._registry.terms(db, request.contract), case.whom
        if whom.flaw is not None:
            return [whom.flaw]
        if terms is None:
            raise AssertionError("a contract went while it was decided on")
        grant = consents.find(db, whom.consent)
        counted, spender = quota(terms, request.bank, self._limits), self._spender(case)
        usage = consents.usage(db, grant, spender, now_ms, self._limits, counted)
        ask = Ask(
            request.bank,
            request.purpose,
            whom.subject,
            whom.consent,
            terms.millibits,
            request.kind,
        )
        return decide(ask, terms, grant, usage, now_ms, self._limits).reasons

    def _spender(self, case: Case) -> tuple[str, bytes, bytes]:
        return case.request.bank, case.whom.subject, case.request.contract

    def _allow(self, transaction: Transaction, case: Case) -> Decided:
        terms = self._registry.terms(transaction.db, case.request.contract)
        if terms is None:
            raise AssertionError("a permit under a contract that is not registered")
        spender = self._spender(case)
        consents.spend(transaction, case.whom.consent, spender, terms.millibits)
        counted = quota(terms, case.request.bank, self._limits)
        if counted is not None:
            consents.count_answer(transaction, case.whom.subject, counted)
        body = private_bodies.Permit(
            request=case.signed,
            ticket=case.ticket.hash,
            subject=case.whom.subject,
            consent=case.whom.consent,
            contract=case.request.contract,
            entry=case.whom.entry,
            millibits=terms.millibits,
            salt=self._salt(case.ticket.hash, 2),
        )
        actor = self._domain.authority.id
        index = transaction.append(
            Kind.PRIVATE_PERMIT, actor, case.call.hex(), body.to_body()
        )
        self._remember(transaction, case, permit=index)
        return Decided(permit=index)

    def _remember(
        self,
        transaction: Transaction,
        case: Case,
        *,
        permit: int | None = None,
        refusal: Signed | None = None,
        denial_: Signed | None = None,
    ) -> None:
        db, now_ms, request = transaction.db, transaction.now_ms, case.request
        kept_ms = JTI_KEPT_MS if denial_ is not None else REPLY_FETCHED_MS
        db.execute(
            "INSERT OR IGNORE INTO private_call(bank, jti, request, ticket, permit,"
            " refusal, denial, forget_ms) VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
            (
                request.bank,
                request.jti,
                case.call,
                case.ticket.hash,
                permit,
                None if refusal is None else to_store(refusal),
                None if denial_ is None else to_store(denial_),
                max(now_ms, request.iat_ms) + kept_ms,
            ),
        )
        self._following.remember(transaction)
        db.execute(
            "DELETE FROM private_call WHERE (bank, jti) IN (SELECT bank, jti FROM"
            " private_call WHERE forget_ms < ? LIMIT ?)",
            (now_ms, FORGET_AT_ONCE),
        )

    # -- 8, and a box either way

    def _answered(self, case: Case, permit: int) -> Reply:
        return self._reply(case, *self._row(case, case.whom.entry), permit)

    def _refused(self, case: Case, refusal: Signed) -> Reply:
        """Take as long as for an answer: the house must not tell them apart.

        What is decrypted is a 1, under r = 1; what is made of it nobody gets.
        """
        gate, row = self._row(case, 0)
        nothing = self._domain.paillier.n + 1
        second = None if row.second is None else nothing
        blank = replace(row, ciphertext=nothing, second=second)
        self._reply(case, gate, blank, self._ledger.head.size - 1)
        return Reply(denial=refusal)

    def _reply(self, case: Case, gate: Gate, row: Message, permit: int) -> Reply:
        picked = authority_pick(gate, self._keys.paillier, row)
        opened = Opened(
            self._salt(case.ticket.hash, 0),
            tuple(int(u) for u in picked.u[0]),
            picked.rows[0].tobytes(),
        )
        head = self._ledger.head
        receipt = Receipt(
            case.ticket.hash,
            opened.digest(),
            decrypted_digest(self._salt(case.ticket.hash, 1), *picked.decrypted),
            Permit(permit, head.size, head.root),
        )
        return Reply(
            receipt=sign(Tag.RECEIPT, receipt.to_bytes(), self._keys.receipt),
            permit=proven(self._ledger, permit, head).proof,
            opened=opened.to_bytes(),
        )

    def _row(self, case: Case, entry: int) -> tuple[Gate, Message]:
        """Cut one candidate's tables out of the message."""
        if case.compiled is None:
            raise AssertionError("a decision without its contract")
        gate, (block, slot) = (
            self._registry.machine(case.compiled).gate,
            case.ticket.places[entry],
        )
        for (number, slots), message in zip(
            case.ticket.blocks, case.messages, strict=True
        ):
            if number == block:
                at = slots.index(slot) * gate.table_bytes
                tables = message.tables[at : at + gate.table_bytes]
                return gate, replace(message, slots=(slot,), tables=tables)
        raise AssertionError("a place without its block")

    def _done(
        self, case: Case, reply: Reply
    ) -> private_evaluation_pb2.EvaluatePrivatelyResponse:
        if case.bank is None:
            raise AssertionError("a reply to no bank")
        box = reply.seal(case.bank.hpke[0], case.ticket.hash)
        sealed = PrivateSealed(case.ticket.hash, box_digest(box))
        signed = sign(Tag.PRIVATE_SEALED, sealed.to_bytes(), self._keys.receipt)
        response = private_evaluation_pb2.EvaluatePrivatelyResponse(
            sealed=to_wire(signed), box=box
        )
        where = (case.request.bank, case.request.jti)
        body = private_bodies.Done(case.ticket.hash, signed).to_body()

        def keep(transaction: Transaction) -> bytes:
            # Two resumptions may run at once: the first one's reply stands.
            row: Any = transaction.db.execute(
                "SELECT reply FROM private_call WHERE bank = ? AND jti = ?", where
            ).fetchone()
            if row is not None and row[0] is not None:
                return bytes(row[0])
            data = response.SerializeToString(deterministic=True)
            transaction.db.execute(
                "UPDATE private_call SET reply = ? WHERE bank = ? AND jti = ?",
                (data, *where),
            )
            actor = self._domain.authority.id
            transaction.append(Kind.PRIVATE_DONE, actor, case.call.hex(), body)
            return data

        committed = self._ledger.commit(keep)
        return private_evaluation_pb2.EvaluatePrivatelyResponse.FromString(
            committed.value
        )

    def _salt(self, ticket: bytes, index: int) -> bytes:
        """Derive a reply's salt from k_open, so that an opening can be made later."""
        text = framed(Tag.REPLY_SALT, ticket, bytes([index]))
        return hmac.digest(self._keys.opening, text, "sha256")
