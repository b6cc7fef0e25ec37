"""Every statistic at the authority: PROTOCOL 5's checks, with slots for a subject.

 1. The bank signed the request and the house the ticket, under pinned keys.
 2. The request is fresh, and its jti is not in use for another one.
 3. Request, ticket and contract agree: quarter, dataset, filter.  *Who is in which
    group is worked out here*, from the authority's own attributes and its own register
    of objections, and must be what the ticket says.
 4. The contract is in force in this registry, recompiled here, and there are exactly
    the ciphertexts that it and the groups ask for.
 5. The ticket's message hash is the message's.
 6. The house's intent is in its signed head, which extends every head seen.
 7. The basis stands: every custodian approved, no T3, nobody who objects is counted, no
    group is under the floor.
 8. Epsilon is left, to this bank and over all banks, of the dataset in the quarter,
    and the snapshot is the quarter's, as it was first seen.
 9. Every ciphertext is in range and a unit.
10. The reply is sealed to the bank's key of the trust-domain file, no other.

7 and 8 are decided in the one transaction that counts epsilon and journals the permit:
nothing is decrypted before that is on disk.  Whatever fails is a signed, journalled
denial with every reason; so is an error while deciding.

`evaluate` is idempotent by ticket: the stored reply is given again; after a crash
between permit and reply the same ciphertexts are decrypted once more *with the same
noise*, which hangs on the ticket.  With fresh noise, a house that killed an authority
often enough would average it away.
"""

import hmac
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import apsw

from contracts import aggregate_bodies, bodies
from contracts.aggregate_compiled import Aggregate
from contracts.attributes import AttributeTable
from contracts.decide import Finding, Reason, denied
from contracts.errors import ContractError
from contracts.odometer import (
    LIMITS,
    EpsilonLimits,
    Spent,
    check_groups,
    check_spent,
    decide_aggregate,
)
from contracts.quarter import quarter_of
from contracts.selection import Selection, Wanted, select
from node import attributes, clock, denial, objections
from node.attributes import Attributes
from node.authority import Authority
from node.clock import JTI_KEPT_MS, REPLY_FETCHED_MS, REQUEST_SKEW_MS
from node.consultation import proven
from node.domain import Party, Role
from node.errors import NodeError, NotFound, RoleRefused
from node.following import Shown, intent_findings
from node.keys import AuthorityKeys
from node.ledger import Transaction
from node.objections import Placement
from node.status import from_wire, to_wire
from node.wire.v1 import aggregate_pb2, common_pb2
from protocols import hpke
from protocols.aggregate import (
    Sheaf,
    authority_totals,
    bind,
    check_message,
    masks_bytes,
    message_digest,
)
from protocols.aggregate_call import (
    AggregateOpened,
    AggregateReceipt,
    AggregateRequest,
    AggregateTicket,
    aggregate_ticket_hash,
    plaintexts_digest,
)
from protocols.call import Permit, RepeatReceipt, request_hash, seed_commitment
from protocols.canon import Tag, digest, framed
from protocols.drbg import Drbg
from protocols.entry import Kind
from protocols.errors import FormatError, ProtocolError
from protocols.sign import Signed, sign, verify
from protocols.slots import slots_per_block

SCHEMA: Final = (
    *objections.SCHEMA,
    # A row a request: what it came to, until its jti may be forgotten.
    """CREATE TABLE IF NOT EXISTS aggregate_call(
        bank TEXT, jti BLOB, request BLOB NOT NULL, ticket BLOB NOT NULL,
        permit INTEGER, reply BLOB, denial BLOB, forget_ms INTEGER NOT NULL,
        PRIMARY KEY(bank, jti)) WITHOUT ROWID""",
    # A row an answer that may be released again.
    """CREATE TABLE IF NOT EXISTS aggregate_answer(
        ticket BLOB PRIMARY KEY, bank TEXT NOT NULL, contract BLOB NOT NULL,
        question BLOB NOT NULL, quarter TEXT NOT NULL) WITHOUT ROWID""",
    # Odometers, in milliepsilon.
    """CREATE TABLE IF NOT EXISTS epsilon(
        quarter TEXT, dataset TEXT, bank TEXT, spent INTEGER NOT NULL,
        PRIMARY KEY(quarter, dataset, bank)) WITHOUT ROWID""",
    # A quarter's snapshot, as it was first seen.
    """CREATE TABLE IF NOT EXISTS snapshot(
        quarter TEXT, dataset TEXT, snapshot BLOB NOT NULL,
        PRIMARY KEY(quarter, dataset)) WITHOUT ROWID""",
)


@dataclass(frozen=True, slots=True)
class Case:
    """One evaluation, parsed; what is wrong with it is in `findings`."""

    request: AggregateRequest
    signed_request: Signed
    call: bytes  # request hash
    ticket: AggregateTicket
    signed_ticket: Signed
    ticket_hash: bytes
    bank: Party | None
    placements: tuple[Placement, ...]
    intent: Shown | None  # in the house's journal
    aggregate: Aggregate | None = None
    sheaves: tuple[Sheaf, ...] = ()
    ciphertexts: tuple[int, ...] = ()
    findings: list[Finding] = field(default_factory=list)

    def wrong(self, reason: Reason, detail: str) -> None:
        """Note a reason to deny."""
        self.findings.append(Finding(reason, detail))

    @property
    def spends(self) -> int:
        """What the answer reveals, in milliepsilon."""
        if self.ticket.repeat_of or self.aggregate is None:
            return 0
        return self.aggregate.milliepsilon


@dataclass(frozen=True, slots=True)
class Permitted:
    """A permit that is on disk, what is left after it, or the reply it led to."""

    index: int
    left: int
    reply: bytes | None


class AggregateAuthority:
    """The authority's desk for statistics; thread-safe."""

    def __init__(
        self,
        authority: Authority,
        keys: AuthorityKeys,
        store: Attributes,
        limits: EpsilonLimits = LIMITS,
    ) -> None:
        self._authority = authority
        self._domain = authority.domain
        self._ledger = authority.ledger
        self._keys = keys
        self._store = store
        self._limits = limits
        self._public = authority.domain.paillier
        self._slots = slots_per_block(self._public.bits)
        self._decrypting = threading.Lock()  # calls keep a core meanwhile

    def evaluate(
        self, pieces: Iterator[aggregate_pb2.EvaluateAggregateRequest]
    ) -> aggregate_pb2.EvaluateAggregateResponse:
        """Answer one evaluation; raises `Denied` or `HeadUnknown`."""
        first = next(pieces, None)
        if first is None or first.WhichOneof("piece") != "question":
            raise FormatError("expected the question first")
        case = self._examine(first.question, pieces)
        permitted = self._permit(case)
        if permitted.reply is not None:
            return aggregate_pb2.EvaluateAggregateResponse.FromString(permitted.reply)
        if case.ticket.repeat_of:
            return self._release_again(case, permitted)
        with self._decrypting:
            return self._decrypt(case, permitted)

    def spending(
        self, bank: str, dataset: str, now_ms: int
    ) -> aggregate_pb2.GetSpendingResponse:
        """Say how much epsilon is left to a bank in this quarter."""
        quarter = quarter_of(now_ms)
        with self._ledger.reader() as db:
            left = _spent(db, quarter, dataset, bank).left(self._limits)
        return aggregate_pb2.GetSpendingResponse(
            quarter=quarter, left_milliepsilon=left
        )

    # -- checks 1 to 6 and 9

    def _examine(
        self,
        question: aggregate_pb2.AggregateQuestion,
        pieces: Iterator[aggregate_pb2.EvaluateAggregateRequest],
    ) -> Case:
        signed_request = from_wire(question.request)
        signed_ticket = from_wire(question.ticket)
        request = AggregateRequest.parse(signed_request.payload)
        # Before anything is decided: it raises `HeadUnknown`.
        intent = self._authority.following.admit(question.intent, question.links)
        case = Case(
            request=request,
            signed_request=signed_request,
            call=request_hash(signed_request.payload),
            ticket=AggregateTicket.parse(signed_ticket.payload),
            signed_ticket=signed_ticket,
            ticket_hash=aggregate_ticket_hash(signed_ticket.payload),
            bank=self._bank(request.bank),
            placements=tuple(
                Placement(item.objection, item.row if item.HasField("row") else None)
                for item in question.placements
            ),
            intent=intent,
        )
        self._check_signatures(case)  # 1
        case = self._check_selection(case)  # 3, 4
        if not case.ticket.repeat_of:
            case = self._check_message(case, pieces)  # 4, 5, 9
        elif next(pieces, None) is not None:
            raise FormatError("a repeat carries no ciphertexts")
        case.findings.extend(  # 6
            intent_findings(
                case.intent, Kind.AGGREGATE_INTENT, case.call, case.signed_ticket
            )
        )
        if case.bank is not None and not case.bank.hpke:  # 10
            case.wrong(Reason.TICKET_INVALID, "the bank has no key to seal to")
        return case

    def _bank(self, name: str) -> Party | None:
        try:
            return self._domain.party(name, Role.BANK)
        except (NotFound, RoleRefused):
            return None

    def _check_signatures(self, case: Case) -> None:
        now_ms = clock.now_ms()
        keys = case.bank.signing(now_ms) if case.bank else ()
        house = self._domain.house.signing(now_ms)
        try:
            verify(Tag.AGGREGATE_REQUEST, case.signed_request, keys)
            verify(Tag.AGGREGATE_TICKET, case.signed_ticket, house)
        except ProtocolError as error:
            case.wrong(Reason.SIGNATURE_INVALID, str(error))

    def _check_selection(self, case: Case) -> Case:
        """Work out who is in which group, and compare it with the ticket."""
        ticket = case.ticket
        with self._ledger.reader() as db:
            try:
                contract = self._authority.registry.contract(db, case.request.contract)
            except NodeError:
                return case  # 7 denies
            if not isinstance(contract, Aggregate):
                return case  # 7 denies
            table = self._table(db, case, contract)
        case = replace(case, aggregate=contract)
        for wrong in _mismatches(case, contract):
            case.wrong(Reason.TICKET_INVALID, wrong)
        if table is None:
            case.wrong(Reason.TICKET_INVALID, "attributes that are not kept here")
            return case
        try:
            selection = self._select(case, contract, table)
        except (ContractError, ProtocolError) as error:
            case.wrong(Reason.TICKET_INVALID, str(error))
            return case
        told = ticket.selection, ticket.groups, ticket.suppressed, ticket.left_out
        if told != (
            selection.digest,
            selection.groups,
            selection.suppressed,
            len(_rows(case)),
        ):
            case.wrong(Reason.TICKET_INVALID, "other subjects than the question's")
        case.findings.extend(check_groups(contract, selection))  # 7
        return replace(case, sheaves=bind(selection.of_rows, self._slots))

    def _table(
        self, db: apsw.Connection, case: Case, contract: Aggregate
    ) -> AttributeTable | None:
        snapshot = case.ticket.snapshot
        try:
            signed, table = attributes.find(
                db, contract.subject_type, snapshot.attributes_version
            )
        except NotFound:
            return None
        same = digest(Tag.ATTRIBUTES, signed.payload) == snapshot.attributes
        return table if same else None

    def _select(
        self, case: Case, contract: Aggregate, table: AttributeTable
    ) -> Selection:
        rows = case.ticket.snapshot.blocks * self._slots
        wanted = Wanted(contract.by, contract.floor, rows, case.request.where)
        return select(table, self._store.codes(table), wanted, _rows(case))

    def _check_message(
        self, case: Case, pieces: Iterator[aggregate_pb2.EvaluateAggregateRequest]
    ) -> Case:
        reads = 0 if case.aggregate is None else len(case.aggregate.reads)
        count, size = len(case.sheaves) * reads, self._public.ciphertext_bytes
        data = bytearray()
        for piece in pieces:
            if piece.WhichOneof("piece") != "ciphertexts":
                raise FormatError("expected ciphertexts after the question")
            data += piece.ciphertexts
            if len(data) > count * size:
                case.wrong(Reason.MESSAGE_INVALID, f"more than {count} ciphertexts")
                return case
        ciphertexts = tuple(
            int.from_bytes(data[at : at + size], "big")
            for at in range(0, len(data), size)
        )
        try:
            check_message(self._public, ciphertexts, count)
            if len(data) != count * size:
                raise FormatError("expected ciphertexts of one length")
        except ProtocolError as error:
            case.wrong(Reason.MESSAGE_INVALID, str(error))
            return case
        if message_digest(self._public, ciphertexts) != case.ticket.message:
            case.wrong(Reason.MESSAGE_INVALID, "not the message of the ticket")
        return replace(case, ciphertexts=ciphertexts)

    # -- checks 2, 7 and 8, and the permit

    def _permit(self, case: Case) -> Permitted:
        committed = self._ledger.commit(lambda tx: self._decide(tx, case))
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
            "SELECT request, ticket, permit, reply, denial FROM aggregate_call"
            " WHERE bank = ? AND jti = ?",
            (case.request.bank, case.request.jti),
        ).fetchone()
        if row is None:
            return None
        request, ticket, permit, reply, refusal = row
        if request != case.call or ticket != case.ticket_hash:
            case.wrong(Reason.REPLAY_MISMATCH, "the jti names another question")
            return None
        if refusal is not None:
            return denial.from_store(refusal)
        if case.findings:
            return None
        return Permitted(permit, self._left(db, case), reply)

    def _findings(self, transaction: Transaction, case: Case) -> list[Finding]:
        db, now_ms, request = transaction.db, transaction.now_ms, case.request
        findings = list(case.findings)
        if abs(now_ms - request.iat_ms) > REQUEST_SKEW_MS:  # 2
            findings.append(Finding(Reason.CLOCK_SKEW, "iat is too far from now"))
        terms = self._authority.registry.terms(db, request.contract)
        decision = decide_aggregate(request.bank, request.purpose, terms, findings)  # 7
        findings = list(decision.reasons)
        if case.aggregate is None:
            return findings
        findings += self._objecting(db, case, case.aggregate)
        if case.ticket.repeat_of:
            if not self._may_repeat(db, case):
                findings.append(
                    Finding(Reason.TICKET_INVALID, "no such answer to repeat")
                )
            return findings
        snapshot = case.ticket.snapshot
        seen = db.execute(
            "SELECT snapshot FROM snapshot WHERE quarter = ? AND dataset = ?",
            (snapshot.quarter, snapshot.dataset),
        ).fetchone()
        if seen is not None and seen[0] != snapshot.to_bytes():  # 8
            findings.append(
                Finding(Reason.STALE_DATA, "another snapshot than the quarter's")
            )
        spent = _spent(db, snapshot.quarter, snapshot.dataset, request.bank)
        return [*findings, *check_spent(case.spends, spent, self._limits)]

    def _objecting(
        self, db: apsw.Connection, case: Case, aggregate: Aggregate
    ) -> list[Finding]:
        """Compare the house's placements with this register of objections."""
        standing = objections.standing(db, aggregate.subject_type)
        named = {item.objection_id: item.row for item in case.placements}
        if named.keys() != standing.keys():
            return [Finding(Reason.OBJECTION, "not those who object are left out")]
        if any(
            place is not None and named[name] != place
            for name, place in standing.items()
        ):
            return [Finding(Reason.OBJECTION, "who objects is in another slot")]
        return []

    def _may_repeat(self, db: apsw.Connection, case: Case) -> bool:
        row = db.execute(
            "SELECT bank, contract, question, quarter FROM aggregate_answer"
            " WHERE ticket = ?",
            (case.ticket.repeat_of,),
        ).fetchone()
        request = case.request
        return row == (
            request.bank,
            request.contract,
            request.question,
            case.ticket.snapshot.quarter,
        )

    def _allow(self, transaction: Transaction, case: Case) -> Permitted:
        db, request, snapshot = transaction.db, case.request, case.ticket.snapshot
        if not case.ticket.repeat_of:
            db.execute(
                "INSERT INTO epsilon(quarter, dataset, bank, spent) VALUES(?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET spent = spent + excluded.spent",
                (snapshot.quarter, snapshot.dataset, request.bank, case.spends),
            )
            db.execute(
                "INSERT OR IGNORE INTO snapshot(quarter, dataset, snapshot)"
                " VALUES(?, ?, ?)",
                (snapshot.quarter, snapshot.dataset, snapshot.to_bytes()),
            )
            db.execute(
                "INSERT INTO aggregate_answer"
                "(ticket, bank, contract, question, quarter) VALUES(?, ?, ?, ?, ?)",
                (
                    case.ticket_hash,
                    request.bank,
                    request.contract,
                    request.question,
                    snapshot.quarter,
                ),
            )
        objections.place(transaction, self._domain.authority.id, case.placements)
        spent = _spent(db, snapshot.quarter, snapshot.dataset, request.bank)
        body = aggregate_bodies.Permit(
            request=case.signed_request,
            ticket=case.ticket_hash,
            contract=request.contract,
            dataset=snapshot.dataset,
            quarter=snapshot.quarter,
            milliepsilon=case.spends,
            bank_spent=spent.bank,
            banks_spent=spent.banks,
            selection=case.ticket.selection,
            groups=tuple(group.subjects for group in case.ticket.groups),
            left_out=case.ticket.left_out,
            repeat_of=case.ticket.repeat_of,
        )
        actor, call = self._domain.authority.id, case.call.hex()
        index = transaction.append(Kind.AGGREGATE_PERMIT, actor, call, body.to_body())
        self._remember(transaction, case, permit=index)
        return Permitted(index, spent.left(self._limits), None)

    def _left(self, db: apsw.Connection, case: Case) -> int:
        snapshot = case.ticket.snapshot
        spent = _spent(db, snapshot.quarter, snapshot.dataset, case.request.bank)
        return spent.left(self._limits)

    def _deny(
        self,
        transaction: Transaction,
        case: Case,
        findings: Sequence[Finding],
        *,
        genuine: bool,
    ) -> Signed:
        signed = denial.deny(
            transaction,
            by=self._domain.authority.id,
            key=self._keys.receipt,
            salt_key=self._keys.opening,
            request=case.signed_request,
            subject=b"",
            findings=denied(findings).reasons,
            kind=Kind.AGGREGATE_DENY,
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
            "INSERT OR IGNORE INTO aggregate_call"
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
        self._authority.following.remember(transaction)
        db.execute("DELETE FROM aggregate_call WHERE forget_ms < ?", (now_ms,))

    # -- after the permit is on disk

    def _decrypt(
        self, case: Case, permitted: Permitted
    ) -> aggregate_pb2.EvaluateAggregateResponse:
        if case.aggregate is None or case.bank is None:
            raise AssertionError("a permit without contract or bank")
        noise = self._secret(Tag.NOISE, case.ticket_hash)
        summed = authority_totals(
            self._keys.paillier,
            case.ciphertexts,
            case.sheaves,
            len(case.ticket.groups),
            case.aggregate.scales,
            Drbg(noise),
        )
        opened = AggregateOpened(
            self._secret(Tag.REPLY_SALT, case.ticket_hash, b"\x00"),
            masks_bytes(summed.totals),
        )
        box = hpke.seal(case.bank.hpke[0], case.ticket_hash, opened.to_bytes())  # 10
        salt = self._secret(Tag.REPLY_SALT, case.ticket_hash, b"\x01")
        proof, where = self._prove(permitted.index)
        receipt = AggregateReceipt(
            case.ticket_hash,
            opened.digest(),
            plaintexts_digest(summed.decrypted, salt),
            seed_commitment(noise),
            permitted.left,
            where,
        )
        signed = sign(Tag.AGGREGATE_RECEIPT, receipt.to_bytes(), self._keys.receipt)
        return self._done(case, _response(signed, proof, box))

    def _release_again(
        self, case: Case, permitted: Permitted
    ) -> aggregate_pb2.EvaluateAggregateResponse:
        proof, where = self._prove(permitted.index)
        receipt = RepeatReceipt(
            case.call, case.ticket_hash, case.ticket.repeat_of, where
        )
        signed = sign(Tag.REPEAT_RECEIPT, receipt.to_bytes(), self._keys.receipt)
        return self._done(case, _response(signed, proof, b""))

    def _prove(self, permit: int) -> tuple[common_pb2.Logged, Permit]:
        head = self._ledger.head
        return proven(self._ledger, permit, head), Permit(permit, head.size, head.root)

    def _done(
        self, case: Case, response: aggregate_pb2.EvaluateAggregateResponse
    ) -> aggregate_pb2.EvaluateAggregateResponse:
        receipt = from_wire(response.receipt)

        def keep(transaction: Transaction) -> bytes:
            # Two resumptions may run at once: the first one's reply stands.
            row = transaction.db.execute(
                "SELECT reply FROM aggregate_call WHERE bank = ? AND jti = ?",
                (case.request.bank, case.request.jti),
            ).fetchone()
            if row is not None and row[0] is not None:
                return bytes(row[0])
            reply = response.SerializeToString(deterministic=True)
            transaction.db.execute(
                "UPDATE aggregate_call SET reply = ? WHERE bank = ? AND jti = ?",
                (reply, case.request.bank, case.request.jti),
            )
            body = bodies.Done(case.ticket_hash, receipt).to_body()
            actor, call = self._domain.authority.id, case.call.hex()
            transaction.append(Kind.AGGREGATE_DONE, actor, call, body)
            return reply

        committed = self._ledger.commit(keep)
        return aggregate_pb2.EvaluateAggregateResponse.FromString(committed.value)

    def _secret(self, tag: Tag, *parts: bytes) -> bytes:
        """Derive what hangs on a ticket from k_open, so that it comes again."""
        return hmac.digest(self._keys.opening, framed(tag, *parts), "sha256")


def _mismatches(case: Case, contract: Aggregate) -> Iterator[str]:
    """Say where request, ticket and contract do not agree."""
    ticket, request = case.ticket, case.request
    if ticket.request != case.call:
        yield "a ticket for another request"
    if ticket.contract != request.contract:
        yield "a ticket for another contract"
    if ticket.snapshot.quarter != quarter_of(request.iat_ms):
        yield "a snapshot of another quarter"
    if ticket.snapshot.dataset != contract.dataset.id:
        yield "a snapshot of another dataset"
    if any(name not in contract.filters for name, _ in request.where):
        yield "a filter that is not the contract's"


def _rows(case: Case) -> set[int]:
    """Return the rows of the map whose subjects object, as the house says."""
    return {item.row for item in case.placements if item.row is not None}


def _spent(db: apsw.Connection, quarter: str, dataset: str, bank: str) -> Spent:
    ((of_bank, of_banks),) = db.execute(
        "SELECT coalesce(sum(spent) FILTER (WHERE bank = ?), 0),"
        " coalesce(sum(spent), 0) FROM epsilon WHERE quarter = ? AND dataset = ?",
        (bank, quarter, dataset),
    )
    return Spent(int(of_bank), int(of_banks))


def _response(
    receipt: Signed, permit: common_pb2.Logged, box: bytes
) -> aggregate_pb2.EvaluateAggregateResponse:
    return aggregate_pb2.EvaluateAggregateResponse(
        receipt=to_wire(receipt), box=box, permit=permit
    )
