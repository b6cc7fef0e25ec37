"""A bank's client for private calls: ask about one of many (`protocols.private_call`).

The candidates are the bank's own list, with the consent of each.  Before it reads a
reply the client refuses what `node.client` refuses of an open one: a ticket, a permit,
a receipt or an outcome that is not of its own request, and other pads or rows.

*One list.*  Who is asked about in two calls is in both lists.  So of every subject it
has asked about the client keeps who was in all its lists, and refuses a list that would
leave fewer than 16.  It does not shuffle subjects in by itself: who is a credible
candidate only the bank can say.

What the house could have spoilt for some candidates only, pads that are missing or too
short, is looked for at all of them, before the box is opened: what the client does must
not hang on who is meant.  Whatever the box holds, an answer, a refusal or nothing that
can be read, it sends a commitment of the same size.
The request, the list and the secret are on the disk before they are sent
(`private.db`), so that after a lost reply the same request is sent again and spends
nothing twice; a reply with the commitment to it, which is sent until it has arrived.
"""

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from contracts import gates, kinds
from contracts.column_query import FIELD as ANSWER
from contracts.compiled import Compiled
from contracts.contract import ContractKind
from contracts.errors import DocumentInvalid
from contracts.subject import SubjectType, canonical_id, subject_ref
from node import clock
from node.config import Config
from node.connected import Connected
from node.domain import SERVERS, Role, TrustDomain
from node.errors import (
    Denied,
    NodeError,
    NotFound,
    ReplyRefused,
    RoleRefused,
    Unreachable,
)
from node.keys import BankKeys, unsealed
from node.private_records import Kept, PrivateRecords
from node.remote import ask
from node.sent import entry_of
from node.status import from_wire, to_wire
from node.tables import Table
from node.wire.v1 import (
    common_pb2,
    contract_pb2,
    contract_pb2_grpc,
    private_pb2,
    private_pb2_grpc,
)
from protocols import job
from protocols.call import (
    JTI_BYTES,
    SALT_BYTES,
    Denial,
    Opened,
    Receipt,
    Result,
    result_commitment,
)
from protocols.canon import Tag, digest
from protocols.entry import Kind
from protocols.errors import FormatError, ProtocolError
from protocols.lookup import KEY_BYTES, Gate, bank_open
from protocols.private_call import (
    LEAST,
    Candidates,
    Place,
    PrivateRequest,
    PrivateSealed,
    PrivateTicket,
    Reply,
    box_digest,
)
from protocols.program import OUT_OF_RANGE
from protocols.sign import Signed, renewed, sign, verify

RECORDS: Final = "private.db"
COLUMNS: Final = ("subject_id", "consent_id")  # of a list of candidates
REFUSED: Final = -(1 << 20)  # what a bank commits to when it was refused
UNREAD: Final = REFUSED - 1  # and when it cannot read what was in the box


@dataclass(frozen=True, slots=True, repr=False)
class PrivateOutcome:
    """What a bank learns of one call, and among how many the house saw it."""

    answer: str  # at_least, below, insufficient_data
    request: bytes  # request hash: the call's name in every journal
    candidates: int


def read_candidates(path: Path) -> dict[str, str]:
    """Read a list, CSV or Parquet: the consent of each subject, `subject_id`.

    Raises `TableInvalid`, and `DocumentInvalid` for a subject that is there twice.
    """
    found: dict[str, str] = {}
    with Table.open(path) as table:
        for batch in table.read(COLUMNS):
            for subject, consent in zip(*batch.cells, strict=True):
                if (subject or "") in found:
                    raise DocumentInvalid(f"`{path.name}` has a subject twice")
                found[subject or ""] = consent or ""
    return found


@dataclass(frozen=True, slots=True)
class _Contract:
    """A contract, with the layout of its tables."""

    compiled: Compiled
    gate: Gate


class PrivateClient(Connected[BankKeys]):
    """A bank's connection to one house, for private calls; thread-safe."""

    KEYS = BankKeys

    def __init__(self, settings: Config, held: BankKeys, trust: TrustDomain) -> None:
        super().__init__(settings, held, trust)
        self._stub = private_pb2_grpc.PrivateServiceStub(self._link)
        self._contracts = contract_pb2_grpc.ContractServiceStub(self._link)
        self._records = PrivateRecords(settings.data / RECORDS)
        self._known: dict[bytes, _Contract] = {}
        self._lock = threading.RLock()

    def close(self) -> None:
        """Close channel and records."""
        super().close()
        self._records.close()

    # -- asking

    def range(
        self,
        contract: str | bytes,
        subject_id: str,
        among: Mapping[str, str],
        *,
        now_ms: Callable[[], int] = clock.now_ms,
    ) -> PrivateOutcome:
        """Ask whether a column of a subject is at least what the contract says.

        `among` are the candidates, the subject one of them: the consent of each by its
        identifier.  Raises `Denied`, where only this bank knows why, unless it is the
        house's; `Unreachable`, after which `retry` asks the same again and spends
        nothing twice; `ReplyRefused`; `DocumentInvalid` for a list that hides nobody.
        """
        known = self._contract(contract)
        compiled = known.compiled
        kind = SubjectType(compiled.subject_type)
        candidates = Candidates(
            tuple(
                sorted(
                    (self._ref(kind, named), secrets.token_bytes(SALT_BYTES), consent)
                    for named, consent in among.items()
                )
            )
        )
        ref = self._ref(kind, subject_id)
        jti = secrets.token_bytes(JTI_BYTES)
        secret = candidates.secret(candidates.find(ref))
        box = secret.seal(self._domain.authority.hpke[0], compiled.hash, jti)
        request = PrivateRequest(
            contract=compiled.hash,
            purpose=compiled.purpose,
            kind=ContractKind.RANGE.value,
            among=candidates.root,
            count=candidates.count,
            box=box_digest(box),
            jti=jti,
            iat_ms=now_ms(),
            bank=self._settings.id,
        )
        signed = sign(Tag.PRIVATE_REQUEST, request.to_bytes(), self._keys.sign)
        kept = Kept(
            digest(Tag.PRIVATE_REQUEST, signed.payload),
            signed,
            box,
            candidates,
            secret.entry,
            None,
        )
        with self._lock:
            if self._records.asked(kept) < LEAST:
                raise DocumentInvalid(
                    "this list and earlier ones of the subject have fewer than"
                    f" {LEAST} candidates in common",
                    "ask with the list that was used before: who is in all of them"
                    " is who was meant",
                )
        return self._ask(known, kept)

    def _ref(self, kind: SubjectType, named: str) -> bytes:
        return subject_ref(self._keys.pepper, kind, canonical_id(kind, named))

    def retry(self, call: bytes) -> PrivateOutcome:
        """Send a request again that was not answered, or read its reply again."""
        with self._lock:
            kept = self._records.find(call)
        if kept is None:
            raise NotFound("no such request was made from here")
        request = PrivateRequest.parse(kept.request.payload)
        return self._ask(self._contract(request.contract), kept)

    def lost(
        self, contract: str | bytes, subject_id: str, among: Mapping[str, str]
    ) -> bytes | None:
        """Find a request of just this question that was never answered, to `retry`."""
        compiled = self._contract(contract).compiled
        kind = SubjectType(compiled.subject_type)
        ref = self._ref(kind, subject_id)
        asked = {(self._ref(kind, name), consent) for name, consent in among.items()}
        with self._lock:
            for call in self._records.unanswered():
                kept = self._records.find(call)
                if kept is None:
                    raise AssertionError("a request that was listed is not there")
                rows = kept.candidates.rows
                request = PrivateRequest.parse(kept.request.payload)
                if (request.contract, rows[kept.entry][0]) == (compiled.hash, ref) and {
                    (candidate, consent) for candidate, _, consent in rows
                } == asked:
                    return call
        return None

    def unanswered(self) -> list[bytes]:
        """List the requests that were sent and never answered."""
        with self._lock:
            return self._records.unanswered()

    def _contract(self, which: str | bytes) -> _Contract:
        if isinstance(which, bytes) and which in self._known:
            return self._known[which]
        request = (
            contract_pb2.GetContractRequest(contract=which)
            if isinstance(which, bytes)
            else contract_pb2.GetContractRequest(id=which)
        )
        response = ask(self._contracts.GetContract, request, self._deadline_s)
        found = kinds.parse(response.compiled)
        if which not in (found.hash, found.id):
            raise ReplyRefused("the house sent another contract than was asked for")
        compiled = kinds.require(found, ContractKind.RANGE)
        known = _Contract(compiled, gates.gate_of(compiled))
        self._known[found.hash] = known
        return known

    def _ask(self, known: _Contract, kept: Kept) -> PrivateOutcome:
        reply = kept.reply
        if reply is None:
            message = private_pb2.AskPrivatelyRequest(
                request=to_wire(kept.request),
                box=kept.box,
                refs=b"".join(ref for ref, _, _ in kept.candidates.rows),
                salts=b"".join(salt for _, salt, _ in kept.candidates.rows),
                consents=[consent for _, _, consent in kept.candidates.rows],
            )
            try:
                reply = ask(self._stub.AskPrivately, message, self._deadline_s)
            except Denied as error:
                self._check_denial(error.denial, error.reason, kept.call)
                with self._lock:
                    self._records.denied(kept.call)
                raise
        try:
            ticket = self._check(known, kept, reply)
        except ProtocolError as error:
            raise ReplyRefused(f"the reply proves nothing: {error}") from None
        read: int | Signed | Exception
        try:
            read = self._read(known, kept, ticket, reply)
        except ProtocolError as error:
            read = ReplyRefused(f"the reply proves nothing: {error}")
        except Exception as error:  # noqa: BLE001  the house must not see any of them
            read = error
        self._commit(ticket, kept, reply, _code_of(read))
        if isinstance(read, Exception):
            raise read
        if isinstance(read, Signed):
            raise self._refusal(read, kept.call)
        if read == OUT_OF_RANGE:
            raise ReplyRefused(
                "the total is out of range: some input is not what its schema says",
                "report the call to the auditors; they can have the inputs opened",
            )
        told = known.compiled.explain(read)
        answer = str(dict(told.outcome).get(ANSWER, told.answer.value))
        return PrivateOutcome(answer, kept.call, kept.candidates.count)

    def _refusal(self, signed: Signed, call: bytes) -> Denied:
        """Make the error of a sealed refusal that is the authority's."""
        denial = Denial.parse(signed.payload)
        self._check_denial(signed, denial.reason, call)
        return Denied(denial.detail or "the authority refused", signed, denial.reason)

    def _check_denial(self, signed: Signed, reason: str, call: bytes) -> None:
        try:
            denial = Denial.parse(signed.payload)
            party = self._domain.party(denial.by, *SERVERS)
            verify(Tag.DENIAL, signed, self._signers(party.role))
        except (ProtocolError, NotFound, RoleRefused) as wrong:
            raise ReplyRefused(f"the denial proves nothing: {wrong}") from None
        if (denial.request, denial.reason) != (call, reason):
            raise ReplyRefused("a denial of another request, or for another reason")

    def _commit(
        self,
        ticket: PrivateTicket,
        kept: Kept,
        reply: private_pb2.AskPrivatelyResponse,
        code: int,
    ) -> None:
        """Commit to whatever was read, once: what cannot be sent now is sent later."""
        salt = secrets.token_bytes(SALT_BYTES)
        result = Result(ticket.hash, result_commitment(salt, code))
        signed = sign(Tag.COMMIT_RESULT, result.to_bytes(), self._keys.sign)
        with self._lock:
            self._records.answered(kept.call, reply, salt, signed)
        self.flush()

    def flush(self) -> int:
        """Send the commitments that have not arrived; return how many are left.

        Every answer does so, too.
        """
        with self._lock:
            waiting = self._records.uncommitted()
        for call, signed in waiting:
            result = renewed(Tag.COMMIT_RESULT, signed, self._keys.sign)
            request = private_pb2.CommitPrivateResultRequest(result=to_wire(result))
            try:
                ask(self._stub.CommitPrivateResult, request, self._deadline_s)
            except Unreachable:
                break
            except NodeError:  # it stays, and keeps no other
                continue
            with self._lock:
                self._records.committed(call)
        with self._lock:
            return len(self._records.uncommitted())

    # -- reading

    def _check(
        self, known: _Contract, kept: Kept, reply: private_pb2.AskPrivatelyResponse
    ) -> PrivateTicket:
        """Check all that a house could have spoilt, of every candidate alike."""
        signed_ticket, signed = from_wire(reply.ticket), from_wire(reply.sealed)
        verify(Tag.PRIVATE_TICKET, signed_ticket, self._signers(Role.HOUSE))
        ticket = PrivateTicket.parse(signed_ticket.payload)
        if (ticket.request, ticket.contract) != (kept.call, known.compiled.hash):
            raise ReplyRefused("a ticket for another request or contract")
        if ticket.gate != known.gate.name:
            raise ReplyRefused("a ticket for another gate")
        count = kept.candidates.count
        if not len(ticket.places) == len(set(ticket.places)) == count:
            raise ReplyRefused("a ticket that leaves candidates out")
        if job.pads_digest(reply.pads) != ticket.pads:
            raise ReplyRefused("pads of another ticket")
        sizes = [known.gate.pad_bytes(len(slots)) for _, slots in ticket.blocks]
        if [len(pads) for pads in reply.pads] != sizes:
            raise ReplyRefused("expected the pads of every candidate")
        verify(Tag.PRIVATE_SEALED, signed, self._signers(Role.AUTHORITY))
        sealed = PrivateSealed.parse(signed.payload)
        if (sealed.ticket, sealed.box) != (ticket.hash, box_digest(reply.box)):
            raise ReplyRefused("the authority's word is on another box")
        _, entry = entry_of(reply.outcome, self._verifiers(Role.HOUSE))
        stated = (entry.body.get("ticket"), entry.body.get("sealed"))
        if entry.kind is not Kind.PRIVATE_OUTCOME or entry.call != kept.call.hex():
            raise ReplyRefused("the proof is of another entry than the outcome")
        if stated != (ticket.hash.hex(), sealed.hash.hex()):
            raise ReplyRefused("an outcome with another ticket or box")
        return ticket

    def _read(
        self,
        known: _Contract,
        kept: Kept,
        ticket: PrivateTicket,
        reply: private_pb2.AskPrivatelyResponse,
    ) -> int | Signed:
        """Read a reply that was checked: a code, or the authority's refusal."""
        opened = unsealed(
            self._keys, lambda key: Reply.unseal(key, ticket.hash, reply.box)
        )
        if opened.denial is not None:
            return opened.denial
        self._check_receipt(kept, ticket, opened)
        return _code(known, ticket, ticket.places[kept.entry], opened, reply.pads)

    def _check_receipt(self, kept: Kept, ticket: PrivateTicket, opened: Reply) -> None:
        if opened.receipt is None:
            raise FormatError("a reply without a receipt")
        verify(Tag.RECEIPT, opened.receipt, self._signers(Role.AUTHORITY))
        receipt = Receipt.parse(opened.receipt.payload)
        logged = common_pb2.Logged(proof=opened.permit)
        proof, entry = entry_of(logged, self._verifiers(Role.AUTHORITY))
        if entry.kind is not Kind.PRIVATE_PERMIT or entry.call != kept.call.hex():
            raise ReplyRefused("the proof is of another entry than the permit")
        if (receipt.ticket, receipt.permit.index, entry.body.get("ticket")) != (
            ticket.hash,
            proof.index,
            ticket.hash.hex(),
        ):
            raise ReplyRefused("a permit or receipt of another ticket")
        if receipt.opened != digest(Tag.OPENED, opened.opened):
            raise ReplyRefused("rows other than the receipt's")


def _code_of(read: int | Signed | Exception) -> int:
    """Say what to commit to."""
    if isinstance(read, int):
        return read
    return REFUSED if isinstance(read, Signed) else UNREAD


def _code(
    known: _Contract,
    ticket: PrivateTicket,
    place: Place,
    reply: Reply,
    pads: Sequence[bytes],
) -> int:
    gate, fields = known.gate, len(known.compiled.card.fields)
    opened = Opened.parse(reply.opened, fields, gate.row_bytes)
    for (block, slots), of_block in zip(ticket.blocks, pads, strict=True):
        if block == place[0]:
            own = gate.pad_bytes(1) - KEY_BYTES
            at = KEY_BYTES + slots.index(place[1]) * own
            cut = of_block[:KEY_BYTES] + of_block[at : at + own]
            u = np.array([opened.u], np.int64)
            rows = np.frombuffer(opened.rows, np.uint8).reshape(1, -1)
            return int(bank_open(gate, u, rows, cut, place[1:])[0])
    raise AssertionError("a place without its block")
