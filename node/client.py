"""The SDK of a bank: ask, check everything that comes back, read the outcome.

>>> from node.client import BankClient                              # doctest: +SKIP
>>> with BankClient.open("bank-jnrcb/safehouse.toml") as bank:      # doctest: +SKIP
...     outcome = bank.score("german-card", "gc-0001", consent="c-0001")
...     print(outcome.kind, outcome.fields)
scored {'grade': 'AA', 'limit': 18000000}

The bank believes nobody.  Before it opens a reply it refuses (PROTOCOL 3, 7)

 1. a ticket that is not the house's, or is not for its own request: where the
    answer is an earlier one, that request must be its own too, for the same
    contract and subject, and the authority must have said so for this request;
 2. a receipt that is not the authority's, or is not for that ticket;
 3. pads that are not the ticket's;
 4. a permit that is not shown to be in the authority's journal, or an outcome
    that is not shown to be in the house's;
 5. a box that does not open, or is not what the receipt says.

Only then it removes the pads.  Whatever the row says, it sends a commitment to
it of the same size; a house that had damaged a row would otherwise learn from
the silence which row was read.

`scored`, `vetoed` and `insufficient_data` are told apart here and nowhere else.
"""

import hmac
import secrets
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from contracts import bank_model, kinds
from contracts.bank_model import BankModel
from contracts.column_query import FIELD as ANSWER
from contracts.compiled import Answer, Compiled
from contracts.contract import ContractKind
from contracts.errors import DocumentInvalid, ValueInvalid
from contracts.gates import gate_of
from contracts.source import shown
from contracts.subject import SubjectType, canonical_id, commitment, subject_ref
from node import clock
from node.commitments import Commitments
from node.config import Config
from node.connected import Connected
from node.domain import SERVERS, Role, TrustDomain
from node.errors import Denied, NotFound, ReplyRefused, RoleRefused
from node.evidence import ResultSalt, salt_of
from node.features import Features, Records, cell, cells
from node.keys import BankKeys, receiving, unsealed
from node.receipts import Kept, Receipts
from node.remote import ask
from node.status import from_wire, to_wire
from node.wire.v1 import (
    common_pb2,
    contract_pb2,
    contract_pb2_grpc,
    query_pb2,
    query_pb2_grpc,
    scoring_pb2,
    scoring_pb2_grpc,
)
from protocols import hpke, sharing
from protocols.call import (
    JTI_BYTES,
    SALT_BYTES,
    Denial,
    Opened,
    Permit,
    Receipt,
    RepeatReceipt,
    Request,
    Result,
    Shared,
    Ticket,
    pads_digest,
    receipt_hash,
    request_hash,
    result_commitment,
    ticket_hash,
)
from protocols.canon import Tag, framed
from protocols.entry import Entry, Kind
from protocols.errors import ProtocolError
from protocols.lookup import Gate, bank_open
from protocols.note import LogProof
from protocols.program import OUT_OF_RANGE
from protocols.sharing import DRAWN_BYTES, Private, Split, box_digest
from protocols.sign import Signed, renewed, sign, verify

RECEIPTS: Final = "receipts.db"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a bank learns of one call, and nothing finer."""

    kind: Answer
    fields: Mapping[str, str | int]  # grade, limit (fen), ...; else empty
    reason: str  # reason group of a veto, where the contract reveals it
    request: bytes  # request hash: the call's name in every journal
    repeated: bool  # an earlier answer, released again


@dataclass(frozen=True, slots=True)
class Checked:
    """What a column query says: one of its answers, or insufficient_data."""

    answer: str
    request: bytes  # request hash: the call's name in every journal
    repeated: bool  # an earlier answer, released again; never of a claim


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract in force, compiled, with the layout of its tables."""

    compiled: Compiled
    gate: Gate


class BankClient(Connected[BankKeys]):
    """A bank's connection to one house; thread-safe, context-managed."""

    KEYS = BankKeys

    def __init__(self, settings: Config, held: BankKeys, trust: TrustDomain) -> None:
        super().__init__(settings, held, trust)
        self._scoring = scoring_pb2_grpc.ScoringServiceStub(self._link)
        self._queries = query_pb2_grpc.QueryServiceStub(self._link)
        self._contracts = contract_pb2_grpc.ContractServiceStub(self._link)
        self._receipts = Receipts(settings.data / RECEIPTS)
        self._known: dict[bytes, Contract] = {}
        self._lock = threading.Lock()
        self._commitments = Commitments(self._send_results, self._committed)

    def close(self) -> None:
        """Let commitments under way arrive; close channel and receipts."""
        self._commitments.close(2 * self._deadline_s)
        super().close()
        self._receipts.close()

    # -- asking

    def contract(
        self, which: str | bytes, kind: ContractKind = ContractKind.SCORE
    ) -> Contract:
        """Fetch a contract by id or hash and check that it hashes to its name.

        Raises `KindRefused` for a contract that answers another kind of question.
        """
        if isinstance(which, bytes) and which in self._known:
            known = self._known[which]
            kinds.require(known.compiled, kind)
            return known
        request = (
            contract_pb2.GetContractRequest(contract=which)
            if isinstance(which, bytes)
            else contract_pb2.GetContractRequest(id=which)
        )
        response = ask(self._contracts.GetContract, request, self._deadline_s)
        found = kinds.parse(response.compiled)
        if which not in (found.hash, found.id):
            raise ReplyRefused("the house sent another contract than was asked for")
        compiled = kinds.require(found, kind)
        known = Contract(compiled, gate_of(compiled))
        self._known[compiled.hash] = known
        return known

    def score(
        self,
        contract: str | bytes | Contract,
        subject_id: str,
        *,
        consent: str,
        purpose: str = "",
        now_ms: Callable[[], int] = clock.now_ms,
    ) -> Outcome:
        """Ask one question; the purpose is the contract's unless given.

        Raises `Denied` with one public reason, `Unreachable` when nobody
        answers (`retry` asks the same again and spends nothing twice), and
        `ReplyRefused` for a reply that does not prove what it should.
        """
        known = contract if isinstance(contract, Contract) else self.contract(contract)
        request, ref = self._request(known, subject_id, consent, now_ms())
        if purpose:
            request = replace(request, purpose=purpose)
        return self._send(known, request, ref)

    def range(
        self,
        contract: str | bytes | Contract,
        subject_id: str,
        *,
        consent: str,
        now_ms: Callable[[], int] = clock.now_ms,
    ) -> Checked:
        """Ask whether a column is at least what the contract says.

        `at_least`, `below` or `insufficient_data`; raises what `score` raises.
        """
        known = self._of_kind(contract, ContractKind.RANGE)
        request, ref = self._request(known, subject_id, consent, now_ms())
        request = replace(request, kind=ContractKind.RANGE.value)
        return _checked(self._send(known, request, ref))

    def verify(
        self,
        contract: str | bytes | Contract,
        subject_id: str,
        claim: str | int,
        *,
        consent: str,
        now_ms: Callable[[], int] = clock.now_ms,
    ) -> Checked:
        """Ask whether a column is what the subject claims, within the tolerance.

        `match`, `mismatch` or `insufficient_data`; raises what `score` raises, and
        `ValueInvalid` for a claim that the column cannot hold.  The claim is split
        (`protocols.sharing`): neither house nor authority learns it.
        """
        known = self._of_kind(contract, ContractKind.VERIFY)
        request, ref = self._request(known, subject_id, consent, now_ms())
        split, shared = self._split(known, _added(known.compiled, str(claim)), request)
        kind = ContractKind.VERIFY.value
        request = replace(request, kind=kind, shared=shared)
        return _checked(self._send(known, request, ref, split))

    def joint(
        self,
        contract: str | bytes | Contract,
        subject_id: str,
        model: BankModel,
        features: Features,
        *,
        consent: str,
        purpose: str = "",
    ) -> Outcome:
        """Ask for a score to which this bank adds the points of its own model.

        `features` are the subject's, as `node.features` takes them.  Neither they nor
        their points are told to anybody: the number that they make is split
        (`protocols.sharing`).  One such call about a subject in 30 days.

        Raises what `score` raises; before anything is sent, `ValueInvalid` for a
        feature that the model does not take, `PointsBeyond` the contract's range,
        and `DocumentInvalid` for the model of another contract.
        """
        known = self._of_kind(contract, ContractKind.JOINT)
        number = number_of(known.compiled, model, features)
        request, ref = self._request(known, subject_id, consent, clock.now_ms())
        if purpose:
            request = replace(request, purpose=purpose)
        split, shared = self._split(known, number, request)
        shared = replace(shared, model=self.model_commitment(model))
        request = replace(request, kind=ContractKind.JOINT.value, shared=shared)
        return self._send(known, request, ref, split)

    def joint_frame(
        self,
        contract: str | bytes | Contract,
        model: BankModel,
        frame: Records,
        *,
        subject: str = "subject_id",
        consent: str = "consent_id",
    ) -> Iterator[tuple[str, Outcome | Denied]]:
        """Ask so about every row of a `pandas` frame, one after the other.

        `subject` and `consent` are its columns that name them.  Yields a subject with
        its outcome, or with its denial; whatever else goes wrong ends it, and
        `unanswered` says what was asked in vain.

        Every row is read now, before the first question: raises `DocumentInvalid` for
        a column that is not there or a subject that is there twice, and what `joint`
        raises before it sends.
        """
        known = self._of_kind(contract, ContractKind.JOINT)
        kind = SubjectType(known.compiled.subject_type)
        asked, seen = list[tuple[str, str, Features]](), set[str]()
        for row in frame.to_dict("records"):
            name, under = (_named(row, column) for column in (subject, consent))
            canonical = canonical_id(kind, name)
            if canonical in seen:
                raise DocumentInvalid(f"subject `{shown(name)}` is there twice")
            seen.add(canonical)
            number_of(known.compiled, model, row)
            asked.append((name, under, row))
        return self._joint_each(known, model, asked)

    def _joint_each(
        self, known: Contract, model: BankModel, asked: list[tuple[str, str, Features]]
    ) -> Iterator[tuple[str, Outcome | Denied]]:
        for subject, consent, row in asked:
            try:
                yield subject, self.joint(known, subject, model, row, consent=consent)
            except Denied as denial:
                yield subject, denial

    def signed_model(self, model: BankModel) -> Signed:
        """Sign a model, as requests name it: for an auditor's eyes."""
        return sign(Tag.BANK_MODEL, model.to_bytes(), self._keys.sign)

    def model_commitment(self, model: BankModel) -> bytes:
        """Return what this bank's requests call a model, in every journal."""
        return bank_model.commitment(self.signed_model(model))

    def _of_kind(
        self, contract: str | bytes | Contract, kind: ContractKind
    ) -> Contract:
        if isinstance(contract, Contract):
            kinds.require(contract.compiled, kind)
            return contract
        return self.contract(contract, kind)

    def _request(
        self, known: Contract, subject_id: str, consent: str, now_ms: int
    ) -> tuple[Request, bytes]:
        """Begin a request; return it with its subject's reference."""
        compiled = known.compiled
        kind = SubjectType(compiled.subject_type)
        ref = subject_ref(self._keys.pepper, kind, canonical_id(kind, subject_id))
        jti = secrets.token_bytes(JTI_BYTES)
        request = Request(
            contract=compiled.hash,
            subject=commitment(ref, self._salt(jti)),
            purpose=compiled.purpose,
            consent=consent,
            jti=jti,
            iat_ms=now_ms,
            bank=self._settings.id,
        )
        return request, ref

    def _split(
        self, known: Contract, number: int, request: Request
    ) -> tuple[Split, Shared]:
        """Split a number into the house's and the authority's share."""
        salt, drawn = (secrets.token_bytes(n) for n in (SALT_BYTES, DRAWN_BYTES))
        mine, theirs = sharing.split(number, known.compiled.card.m, salt, drawn)
        key = self._domain.authority.hpke[0]
        box = sharing.seal(key, theirs, request.jti, request.contract)
        shared = Shared(mine.commitment(), box_digest(box))
        return Split(Private(mine, box), theirs), shared

    def _send(
        self,
        known: Contract,
        request: Request,
        ref: bytes,
        split: Split | None = None,
    ) -> Outcome:
        """Sign a request, keep it, and ask."""
        signed = sign(Tag.REQUEST, request.to_bytes(), self._keys.sign)
        opening = ref, self._salt(request.jti)
        kept = b"" if split is None else split.to_bytes()
        with self._lock:
            self._receipts.asked(request_hash(signed.payload), signed, opening, kept)
        return self._ask(known, signed, opening, split)

    def retry(self, call: bytes) -> Outcome:
        """Send a request again that was not answered; it spends nothing twice."""
        with self._lock:
            kept = self._receipts.find(call)
        if kept is None:
            raise NotFound("no such request was made from here")
        request = Request.parse(kept.request.payload)
        known = self.contract(request.contract, ContractKind(request.kind))
        split = Split.parse(kept.private) if kept.private else None
        opening = kept.subject_ref, kept.salt
        return self._ask(known, kept.request, opening, split)

    def unanswered(self) -> list[bytes]:
        """List the requests that were sent and never answered."""
        with self._lock:
            kept = self._receipts.open_requests()
        return [request_hash(item.request.payload) for item in kept]

    def receipts(self) -> list[Kept]:
        """List everything kept, for an auditor."""
        with self._lock:
            return list(self._receipts.all())

    def result_salt(self, call: bytes) -> ResultSalt:
        """Return what opens the commitment to an answer, for an auditor.

        There are few outcomes: with the salt and the journal they can be tried.
        """
        with self._lock:
            kept = self._receipts.find(call)
        if kept is None:
            raise NotFound("no such request was made from here")
        return salt_of(kept)

    def _call(
        self,
        kind: ContractKind,
        signed: Signed,
        opening: tuple[bytes, bytes],
        private: Private | None,
    ) -> scoring_pb2.ScoreResponse:
        """Call the method of a kind of question."""
        request = to_wire(signed)
        subject = common_pb2.SubjectOpening(subject_ref=opening[0], salt=opening[1])
        reply: scoring_pb2.ScoreResponse
        if private is not None:
            share, box = private.share.to_bytes(), private.box
            if kind is ContractKind.JOINT:
                joint = scoring_pb2.JointRequest(
                    request=request, opening=subject, share=share, sealed_share=box
                )
                reply = ask(self._scoring.Joint, joint, self._deadline_s).answer
            else:
                claim = query_pb2.VerifyRequest(
                    request=request, opening=subject, share=share, sealed_share=box
                )
                reply = ask(self._queries.Verify, claim, self._deadline_s).answer
        elif kind is ContractKind.RANGE:
            range_ = query_pb2.RangeRequest(request=request, opening=subject)
            reply = ask(self._queries.Range, range_, self._deadline_s).answer
        else:
            score = scoring_pb2.ScoreRequest(request=request, opening=subject)
            reply = ask(self._scoring.Score, score, self._deadline_s)
        return reply

    def _ask(
        self,
        known: Contract,
        signed: Signed,
        opening: tuple[bytes, bytes],
        split: Split | None,
    ) -> Outcome:
        call = request_hash(signed.payload)
        private = None if split is None else split.private
        try:
            reply = self._call(known.compiled.kind, signed, opening, private)
        except Denied as error:
            self._check_denial(error, call)
            with self._lock:
                self._receipts.denied(call, error.denial)
            raise
        code, ticket = self._read(known, signed, reply, split)
        salt = secrets.token_bytes(SALT_BYTES)
        result = Result(ticket, result_commitment(salt, code))
        commitment_ = sign(Tag.COMMIT_RESULT, result.to_bytes(), self._keys.sign)
        with self._lock:
            standing = self._receipts.answered(call, reply, salt, commitment_)
        self._commitments.put((call, standing))
        return _outcome(known.compiled, code, call, repeated=reply.HasField("repeat"))

    def flush(self) -> int:
        """Send the commitments that have not arrived; return how many are left."""
        self._commitments.settle(2 * self._deadline_s)
        with self._lock:
            waiting = self._receipts.uncommitted()
        self._commitments.put(*waiting)
        self._commitments.settle(2 * self._deadline_s)
        with self._lock:
            return len(self._receipts.uncommitted())

    def _send_results(self, results: Sequence[Signed]) -> Collection[int]:
        message = scoring_pb2.CommitResultsRequest(
            results=[
                to_wire(renewed(Tag.COMMIT_RESULT, result, self._keys.sign))
                for result in results
            ]
        )
        response = ask(self._scoring.CommitResults, message, self._deadline_s)
        return set(response.refused)

    def _committed(self, calls: Sequence[bytes]) -> None:
        with self._lock:
            self._receipts.committed(calls)

    def _check_denial(self, error: Denied, call: bytes) -> None:
        """Refuse a denial that is not house's or authority's, or says otherwise."""
        signed = error.denial
        try:
            denial = Denial.parse(signed.payload)
            party = self._domain.party(denial.by, *SERVERS)
            verify(Tag.DENIAL, signed, self._signers(party.role))
        except (ProtocolError, NotFound, RoleRefused) as wrong:
            raise ReplyRefused(f"the denial proves nothing: {wrong}") from None
        if denial.request != call:
            raise ReplyRefused("a denial of another request")
        if denial.reason != error.reason:  # which nobody signed
            raise ReplyRefused("a denial for another reason than the one told")

    # -- reading

    def _read(
        self,
        known: Contract,
        mine: Signed,
        reply: scoring_pb2.ScoreResponse,
        split: Split | None = None,
    ) -> tuple[int, bytes]:
        """Check a reply and read it: the code, and the hash of this call's ticket."""
        shares = () if split is None else (split.rest,)
        try:
            return self._read_checked(known, mine, reply, shares)
        except ProtocolError as error:
            raise ReplyRefused(f"the reply proves nothing: {error}") from None

    def _read_checked(
        self,
        known: Contract,
        mine: Signed,
        reply: scoring_pb2.ScoreResponse,
        shares: Sequence[int],
    ) -> tuple[int, bytes]:
        answer = reply.answer
        asked = from_wire(answer.request)
        if reply.HasField("repeat"):
            if known.compiled.kind.shared:  # or it answers another number
                raise ReplyRefused("an earlier answer to a question with shares")
            this_ticket, this_receipt = self._check_repeat(mine, reply)
            self._check_own(mine, asked)  # 1
        else:
            if asked.payload != mine.payload:  # 1
                raise ReplyRefused("an answer to another request")
            this_ticket, this_receipt = answer.ticket.payload, answer.receipt.payload
        house, authority = self._answering(again=reply.HasField("repeat"))
        signed_ticket = from_wire(answer.ticket)
        verify(Tag.TICKET, signed_ticket, house)  # 1
        ticket = Ticket.parse(signed_ticket.payload)
        name = ticket_hash(signed_ticket.payload)
        if ticket.request != request_hash(asked.payload):
            raise ReplyRefused("a ticket for another request")
        if ticket.contract != known.compiled.hash:
            raise ReplyRefused("a ticket for another contract")
        signed_receipt = from_wire(answer.receipt)
        verify(Tag.RECEIPT, signed_receipt, authority)  # 2
        receipt = Receipt.parse(signed_receipt.payload)
        if receipt.ticket != name:
            raise ReplyRefused("a receipt for another ticket")
        if pads_digest(answer.pads) != ticket.pads:  # 3
            raise ReplyRefused("pads of another ticket")
        call = request_hash(asked.payload)
        again = reply.HasField("repeat")
        self._check_permit(answer.permit, call, name, receipt.permit, again=again)  # 4
        self._check_outcome(
            reply.outcome,
            request_hash(mine.payload),
            ticket_hash(this_ticket),
            receipt_hash(this_receipt),
        )
        opened = self._open(known, answer.box, name, receipt)  # 5
        u = np.array([opened.u], np.int64)
        rows = np.frombuffer(opened.rows, np.uint8).reshape(1, -1)
        codes = bank_open(known.gate, u, rows, answer.pads, (ticket.slot,), shares)
        return int(codes[0]), ticket_hash(this_ticket)

    def _answering(
        self, *, again: bool
    ) -> tuple[Sequence[Ed25519PublicKey], Sequence[Ed25519PublicKey]]:
        """List the keys of house and authority: an earlier answer's may have ended."""
        if again:
            return self._domain.house.sign, self._domain.authority.sign
        return self._signers(Role.HOUSE), self._signers(Role.AUTHORITY)

    def _check_own(self, mine: Signed, earlier: Signed) -> None:
        """Refuse an earlier answer to another question or about another subject."""
        verify(Tag.REQUEST, earlier, self._domain.party(self._settings.id).sign)
        new, old = Request.parse(mine.payload), Request.parse(earlier.payload)
        if (old.contract, old.bank) != (new.contract, new.bank):
            raise ReplyRefused("an earlier answer to another question")
        with self._lock:
            before = self._receipts.find(request_hash(earlier.payload))
            now = self._receipts.find(request_hash(mine.payload))
        if now is None:
            raise ReplyRefused("an answer to a question that was not asked here")
        # It may have been asked from another machine of this bank.
        salts = self._salts(old.jti) if before is None else [before.salt]
        if old.subject not in [commitment(now.subject_ref, salt) for salt in salts]:
            raise ReplyRefused("an earlier answer about another subject")

    def _salt(self, jti: bytes) -> bytes:
        """Derive the salt of a request's subject.

        Fresh with every jti, and known again by whoever holds this bank's keys:
        from another machine, or after the receipts were lost.
        """
        return self._salts(jti)[0]

    def _salts(self, jti: bytes) -> list[bytes]:
        """Derive the salt as the current key has it, then as earlier ones had it."""
        keys = (key.private_bytes_raw() for key in receiving(self._keys))
        info = framed(Tag.SUBJECT_SALT, jti)
        return [hmac.digest(key, info, "sha256") for key in keys]

    def _check_repeat(
        self, mine: Signed, reply: scoring_pb2.ScoreResponse
    ) -> tuple[bytes, bytes]:
        signed_ticket = from_wire(reply.repeat.ticket)
        verify(Tag.TICKET, signed_ticket, self._signers(Role.HOUSE))
        ticket = Ticket.parse(signed_ticket.payload)
        call, name = request_hash(mine.payload), ticket_hash(signed_ticket.payload)
        earlier = ticket_hash(reply.answer.ticket.payload)
        if (ticket.request, ticket.repeat_of) != (call, earlier):
            raise ReplyRefused("a repeat of another answer")
        signed_receipt = from_wire(reply.repeat.receipt)
        verify(Tag.REPEAT_RECEIPT, signed_receipt, self._signers(Role.AUTHORITY))
        receipt = RepeatReceipt.parse(signed_receipt.payload)
        if (receipt.request, receipt.ticket, receipt.repeat_of) != (
            call,
            name,
            earlier,
        ):
            raise ReplyRefused("a repeat receipt for another call")
        self._check_permit(reply.repeat.permit, call, name, receipt.permit)
        return signed_ticket.payload, signed_receipt.payload

    def _check_permit(
        self,
        logged: common_pb2.Logged,
        call: bytes,
        ticket: bytes,
        where: Permit,
        *,
        again: bool = False,
    ) -> None:
        entry = self._entry(logged, Role.AUTHORITY, where, again=again)
        if entry.kind is not Kind.CALL_PERMIT or entry.call != call.hex():
            raise ReplyRefused("the proof is of another entry than the permit")
        if entry.body.get("ticket") != ticket.hex():
            raise ReplyRefused("a permit for another ticket")

    def _check_outcome(
        self, logged: common_pb2.Logged, call: bytes, ticket: bytes, receipt: bytes
    ) -> None:
        entry = self._entry(logged, Role.HOUSE, None)
        if entry.kind is not Kind.CALL_OUTCOME or entry.call != call.hex():
            raise ReplyRefused("the proof is of another entry than the outcome")
        body = entry.body
        if (body.get("ticket"), body.get("receipt")) != (ticket.hex(), receipt.hex()):
            raise ReplyRefused("an outcome with another ticket or receipt")

    def _entry(
        self,
        logged: common_pb2.Logged,
        role: Role,
        where: Permit | None,
        *,
        again: bool = False,
    ) -> Entry:
        proof = LogProof.parse(logged.proof)
        live = self._verifiers(role)
        keys = self._domain.verifiers(role) if again else live
        checkpoint = proof.verify(proof.extra, keys)
        if where is not None:
            stated = where.index, where.size, where.root
            if (proof.index, checkpoint.size, checkpoint.root) != stated:
                raise ReplyRefused("the proof is not the one the receipt names")
        return Entry.parse(proof.extra)

    def _open(
        self, known: Contract, box: bytes, ticket: bytes, receipt: Receipt
    ) -> Opened:
        data = unsealed(self._keys, lambda key: hpke.unseal(key, ticket, box))
        fields = len(known.compiled.card.fields)
        opened = Opened.parse(data, fields, known.gate.row_bytes)
        if opened.digest() != receipt.opened:
            raise ReplyRefused("the box is not the one the authority made")
        return opened


def number_of(compiled: Compiled, model: BankModel, features: Features) -> int:
    """Return what a bank's model adds to a joint score, for one subject's features."""
    if model.contract != compiled.id or compiled.joint is None:
        raise DocumentInvalid(
            f"model `{model.name}` is written for contract `{model.contract}`,"
            f" not for `{compiled.id}`"
        )
    return model.number(compiled.joint, compiled.scale, cells(model, features))


def _named(row: Mapping[str, object], column: str) -> str:
    """Read the cell of a row that names a subject or a consent."""
    text = cell(row[column]) if column in row else None
    if not text:
        raise DocumentInvalid(f"a row without `{column}`", "name the frame's column")
    return text


def _added(compiled: Compiled, text: str) -> int:
    """Return what a claim adds to a column."""
    claim = compiled.claim
    added = None if claim is None else claim.added(text)
    if claim is None or added is None:
        expected = "" if claim is None else f"a claim {claim.expected}"
        raise ValueInvalid(compiled.attribute, expected, text)
    return added


def _checked(outcome: Outcome) -> Checked:
    answer = outcome.fields.get(ANSWER, outcome.kind.value)
    return Checked(str(answer), outcome.request, outcome.repeated)


def _outcome(compiled: Compiled, code: int, call: bytes, *, repeated: bool) -> Outcome:
    if code == OUT_OF_RANGE:
        raise ReplyRefused(
            "the total is out of range: some input is not what its schema says",
            "report the call to the auditors; they can have the inputs opened",
        )
    told = compiled.explain(code)
    return Outcome(told.answer, dict(told.outcome), told.reason, call, repeated)
