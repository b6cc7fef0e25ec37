"""The SDK of a bank for statistics: ask, check everything that comes back, read.

>>> from node.aggregate_client import AggregateClient               # doctest: +SKIP
>>> with AggregateClient.open("bank-jnrcb/safehouse.toml") as bank:  # doctest: +SKIP
...     told = bank.ask("tax-by-town", {"industry": ["制造业"]})
...     for group in told.groups:
...         print(group.labels, group.subjects, group.figures[0].value)
('安居镇',) 120 97

The bank believes nobody.  Before it opens a reply it refuses, as for a call of one
subject (`node.client`),

 1. a ticket that is not the house's, or is not for its own question, or whose groups
    are not those of the contract; an earlier answer to another question than its own;
 2. a receipt that is not the authority's, or is not for that ticket;
 3. masks that are not the ticket's;
 4. a permit that is not shown to be in the authority's journal, or an outcome that is
    not shown to be in the house's;
 5. a box that does not open, or is not what the receipt says.

Noise is in what it reads.  The same question in the same quarter has the same answer,
which spends nothing; asking again does not make it more exact.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from contracts import kinds
from contracts.aggregate_compiled import Aggregate
from contracts.aggregate_figures import Figure, figures
from contracts.contract import ContractKind
from contracts.errors import KindRefused
from contracts.quarter import quarter_of
from node import clock
from node.aggregate_records import AggregateRecords
from node.config import Config
from node.connected import BOTH, Connected
from node.domain import SERVERS, Role, TrustDomain
from node.errors import Denied, NotFound, ReplyRefused, RoleRefused
from node.keys import BankKeys, unsealed
from node.progress import Progress, silent
from node.remote import ask, listen
from node.status import from_wire, to_wire
from node.wire.v1 import (
    aggregate_pb2,
    aggregate_pb2_grpc,
    common_pb2,
    contract_pb2,
    contract_pb2_grpc,
)
from protocols import hpke
from protocols import where as where_room
from protocols.aggregate import bank_read, masks_from_bytes
from protocols.aggregate_call import (
    AggregateOpened,
    AggregateReceipt,
    AggregateRequest,
    AggregateTicket,
    Group,
    aggregate_receipt_hash,
    aggregate_ticket_hash,
    masks_digest,
)
from protocols.call import JTI_BYTES, Denial, Permit, RepeatReceipt, request_hash
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.errors import ProtocolError
from protocols.note import LogProof
from protocols.sign import Signed, sign, verify

RECORDS: Final = "statistics.db"
MOST_S: Final = 3600.0  # of a question over a district


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """What a bank learns of one group."""

    labels: tuple[str, ...]  # of the contract's `by`
    subjects: int  # that are in it, whether the dataset has them or not
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Statistic:
    """What a bank learns of one question, and nothing finer."""

    contract: Aggregate
    groups: tuple[GroupFigures, ...]
    suppressed: tuple[Group, ...]  # under the floor
    quarter: str
    dataset_version: int
    left: int | None  # milliepsilon after it; None for an earlier answer
    request: bytes  # request hash: the question's name in every journal
    repeated: bool  # an earlier answer, released again


@dataclass(frozen=True, slots=True)
class Budget:
    """What statistics may still reveal of a dataset to this bank."""

    quarter: str
    left: int  # milliepsilon


class AggregateClient(Connected[BankKeys]):
    """A bank's connection to one house, for statistics; for one thread at a time."""

    KEYS = BankKeys

    def __init__(self, settings: Config, held: BankKeys, trust: TrustDomain) -> None:
        super().__init__(settings, held, trust)
        self._stub = aggregate_pb2_grpc.AggregateServiceStub(self._link)
        self._contracts = contract_pb2_grpc.ContractServiceStub(self._link)
        self._records = AggregateRecords(settings.data / RECORDS)

    def close(self) -> None:
        """Close channel and records."""
        super().close()
        self._records.close()

    # -- asking

    def contract(self, which: str | bytes) -> Aggregate:
        """Fetch a contract by id or hash and check that it hashes to its name."""
        request = (
            contract_pb2.GetContractRequest(contract=which)
            if isinstance(which, bytes)
            else contract_pb2.GetContractRequest(id=which)
        )
        response = ask(self._contracts.GetContract, request, self._deadline_s)
        contract = kinds.parse(response.compiled)
        if which not in (contract.hash, contract.id):
            raise ReplyRefused("the house sent another contract than was asked for")
        if not isinstance(contract, Aggregate):
            kinds.require(contract, ContractKind.AGGREGATE)
            raise KindRefused(f"contract `{contract.id}` is no statistic")
        return contract

    def ask(
        self,
        contract: str | bytes,
        where: Mapping[str, Iterable[str]] | None = None,
        *,
        purpose: str = "",
        progress: Progress = silent,
        now_ms: Callable[[], int] = clock.now_ms,
    ) -> Statistic:
        """Ask a contract, narrowed to subjects of some classes.

        Raises `Denied` with one public reason, `Unreachable` when nobody answers
        (`retry` asks the same again and spends nothing twice), `ReplyRefused` for
        a reply that does not prove what it should, and `DocumentInvalid` for a
        filter that the contract does not have.
        """
        aggregate = self.contract(contract)
        request = AggregateRequest(
            contract=aggregate.hash,
            where=where_room.canonical(where or {}),
            purpose=purpose or aggregate.purpose,
            jti=secrets.token_bytes(JTI_BYTES),
            iat_ms=now_ms(),
            bank=self._settings.id,
        )
        aggregate.check_filter(request.where)
        signed = sign(Tag.AGGREGATE_REQUEST, request.to_bytes(), self._keys.sign)
        self._records.asked(request_hash(signed.payload), signed)
        return self._ask(aggregate, signed, progress)

    def retry(self, call: bytes, progress: Progress = silent) -> Statistic:
        """Send a request again that was not answered; it spends nothing twice."""
        kept = self._records.find(call)
        if kept is None:
            raise NotFound("no such question was asked from here")
        request = AggregateRequest.parse(kept.request.payload)
        return self._ask(self.contract(request.contract), kept.request, progress)

    def unanswered(self) -> list[bytes]:
        """List the requests that were sent and never answered."""
        return self._records.unanswered()

    def budget(self, dataset: str) -> Budget:
        """Ask how much epsilon is left of a dataset in this quarter."""
        request = aggregate_pb2.GetBudgetRequest(dataset=dataset)
        response = ask(self._stub.GetBudget, request, self._deadline_s)
        return Budget(response.quarter, response.left_milliepsilon)

    def _ask(
        self, aggregate: Aggregate, signed: Signed, progress: Progress
    ) -> Statistic:
        call = request_hash(signed.payload)
        message = aggregate_pb2.AggregateRequest(request=to_wire(signed))
        reply = None
        try:
            for piece in listen(self._stub.Aggregate, message, MOST_S):
                if piece.HasField("reply"):
                    reply = piece.reply
                else:
                    progress(piece.progress.done, piece.progress.total)
        except Denied as error:
            self._check_denial(error, call)
            self._records.denied(call, error.denial)
            raise
        if reply is None:
            raise ReplyRefused("the house ended without an answer")
        statistic = self._read(aggregate, signed, reply)
        self._records.answered(call, reply)
        return statistic

    def _check_denial(self, error: Denied, call: bytes) -> None:
        """Refuse a denial that is not house's or authority's, or says otherwise."""
        try:
            denial = Denial.parse(error.denial.payload)
            party = self._domain.party(denial.by, *SERVERS)
            verify(Tag.DENIAL, error.denial, self._signers(party.role))
        except (ProtocolError, NotFound, RoleRefused) as wrong:
            raise ReplyRefused(f"the denial proves nothing: {wrong}") from None
        if (denial.request, denial.reason) != (call, error.reason):
            raise ReplyRefused("a denial of another question, or for another reason")

    # -- reading

    def _read(
        self,
        aggregate: Aggregate,
        mine: Signed,
        reply: aggregate_pb2.AggregateReply,
    ) -> Statistic:
        """Check a reply and read it."""
        try:
            return self._read_checked(aggregate, mine, reply)
        except ProtocolError as error:
            raise ReplyRefused(f"the reply proves nothing: {error}") from None

    def _read_checked(
        self,
        aggregate: Aggregate,
        mine: Signed,
        reply: aggregate_pb2.AggregateReply,
    ) -> Statistic:
        answer, repeated = reply.answer, reply.HasField("repeat")
        asked = from_wire(answer.request)
        if repeated:
            this_ticket, this_receipt = self._check_repeat(mine, reply)
            self._check_own(mine, asked)  # 1
        else:
            if asked.payload != mine.payload:  # 1
                raise ReplyRefused("an answer to another question")
            this_ticket, this_receipt = answer.ticket.payload, answer.receipt.payload
        ticket = self._ticket(aggregate, asked, from_wire(answer.ticket))  # 1
        name = aggregate_ticket_hash(answer.ticket.payload)
        signed_receipt = from_wire(answer.receipt)
        asked_ms = AggregateRequest.parse(asked.payload).iat_ms
        authority = self._signers(Role.AUTHORITY, asked_ms)
        verify(Tag.AGGREGATE_RECEIPT, signed_receipt, authority)  # 2
        receipt = AggregateReceipt.parse(signed_receipt.payload)
        if receipt.ticket != name:
            raise ReplyRefused("a receipt for another ticket")
        if masks_digest(answer.masks) != ticket.masks:  # 3
            raise ReplyRefused("masks of another ticket")
        call = request_hash(asked.payload)
        self._check_permit(answer.permit, call, name, receipt.permit)  # 4
        self._check_outcome(
            reply.outcome,
            request_hash(mine.payload),
            aggregate_ticket_hash(this_ticket),
            aggregate_receipt_hash(this_receipt),
        )
        groups, columns = len(ticket.groups), len(aggregate.reads)
        totals = masks_from_bytes(
            self._open(answer.box, name, receipt), groups, columns
        )  # 5
        units = bank_read(totals, masks_from_bytes(answer.masks, groups, columns))
        return Statistic(
            aggregate,
            tuple(
                GroupFigures(
                    group.labels,
                    group.subjects,
                    figures(aggregate.numbers, aggregate.reads, row.tolist()),
                )
                for group, row in zip(ticket.groups, units, strict=True)
            ),
            ticket.suppressed,
            ticket.snapshot.quarter,
            ticket.snapshot.version,
            None if repeated else receipt.left,
            request_hash(mine.payload),
            repeated,
        )

    def _ticket(
        self, aggregate: Aggregate, asked: Signed, signed: Signed
    ) -> AggregateTicket:
        request = AggregateRequest.parse(asked.payload)
        house = self._signers(Role.HOUSE, request.iat_ms)
        verify(Tag.AGGREGATE_TICKET, signed, house)
        ticket = AggregateTicket.parse(signed.payload)
        if ticket.request != request_hash(asked.payload) or ticket.repeat_of:
            raise ReplyRefused("a ticket for another question")
        if ticket.contract != aggregate.hash:
            raise ReplyRefused("a ticket for another contract")
        snapshot = ticket.snapshot
        wanted = aggregate.dataset.id, quarter_of(request.iat_ms)
        if (snapshot.dataset, snapshot.quarter) != wanted:
            raise ReplyRefused("a ticket over another dataset or quarter")
        for group in ticket.groups:
            if len(group.labels) != len(aggregate.by):
                raise ReplyRefused("groups of another contract")
            if not aggregate.floor <= group.subjects <= aggregate.most_subjects:
                raise ReplyRefused("a group that the contract does not allow")
        return ticket

    def _check_own(self, mine: Signed, earlier: Signed) -> None:
        """Refuse an earlier answer to another question, or of another quarter."""
        verify(
            Tag.AGGREGATE_REQUEST, earlier, self._domain.party(self._settings.id).sign
        )
        new = AggregateRequest.parse(mine.payload)
        old = AggregateRequest.parse(earlier.payload)
        if (old.contract, old.bank, old.question, quarter_of(old.iat_ms)) != (
            new.contract,
            new.bank,
            new.question,
            quarter_of(new.iat_ms),
        ):
            raise ReplyRefused("an earlier answer to another question")

    def _check_repeat(
        self, mine: Signed, reply: aggregate_pb2.AggregateReply
    ) -> tuple[bytes, bytes]:
        signed_ticket = from_wire(reply.repeat.ticket)
        asked_ms = AggregateRequest.parse(mine.payload).iat_ms
        house, authority = (self._signers(role, asked_ms) for role in BOTH)
        verify(Tag.AGGREGATE_TICKET, signed_ticket, house)
        ticket = AggregateTicket.parse(signed_ticket.payload)
        call = request_hash(mine.payload)
        name = aggregate_ticket_hash(signed_ticket.payload)
        earlier = aggregate_ticket_hash(reply.answer.ticket.payload)
        if (ticket.request, ticket.repeat_of) != (call, earlier):
            raise ReplyRefused("a repeat of another answer")
        signed_receipt = from_wire(reply.repeat.receipt)
        verify(Tag.REPEAT_RECEIPT, signed_receipt, authority)
        receipt = RepeatReceipt.parse(signed_receipt.payload)
        told = receipt.request, receipt.ticket, receipt.repeat_of
        if told != (call, name, earlier):
            raise ReplyRefused("a repeat receipt for another question")
        self._check_permit(reply.repeat.permit, call, name, receipt.permit)
        return signed_ticket.payload, signed_receipt.payload

    def _check_permit(
        self, logged: common_pb2.Logged, call: bytes, ticket: bytes, where: Permit
    ) -> None:
        entry = self._entry(logged, Role.AUTHORITY, where)
        if entry.kind is not Kind.AGGREGATE_PERMIT or entry.call != call.hex():
            raise ReplyRefused("the proof is of another entry than the permit")
        if entry.body.get("ticket") != ticket.hex():
            raise ReplyRefused("a permit for another ticket")

    def _check_outcome(
        self, logged: common_pb2.Logged, call: bytes, ticket: bytes, receipt: bytes
    ) -> None:
        entry = self._entry(logged, Role.HOUSE, None)
        if entry.kind is not Kind.AGGREGATE_OUTCOME or entry.call != call.hex():
            raise ReplyRefused("the proof is of another entry than the outcome")
        told = entry.body.get("ticket"), entry.body.get("receipt")
        if told != (ticket.hex(), receipt.hex()):
            raise ReplyRefused("an outcome with another ticket or receipt")

    def _entry(
        self, logged: common_pb2.Logged, role: Role, where: Permit | None
    ) -> Entry:
        proof = LogProof.parse(logged.proof)
        # The outcome is proven when it is told; a permit may be of an earlier answer.
        live = self._verifiers(role)
        keys = live if where is None else self._domain.verifiers(role)
        checkpoint = proof.verify(proof.extra, keys)
        if where is not None:
            stated = where.index, where.size, where.root
            if (proof.index, checkpoint.size, checkpoint.root) != stated:
                raise ReplyRefused("the proof is not the one the receipt names")
        return Entry.parse(proof.extra)

    def _open(self, box: bytes, ticket: bytes, receipt: AggregateReceipt) -> bytes:
        data = unsealed(self._keys, lambda key: hpke.unseal(key, ticket, box))
        opened = AggregateOpened.parse(data)
        if opened.digest() != receipt.opened:
            raise ReplyRefused("the box is not the one the authority made")
        return opened.totals
