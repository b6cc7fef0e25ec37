"""How the house asks the authority about a statistic (`node.consultation`).

The question goes first, then its ciphertexts, in pieces.  What comes back is believed
as little as a bank would: only with the authority's signature under this ticket, and
its permit proven.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from node.domain import Role
from node.errors import Denied, ReplyRefused
from node.house import House
from node.objections import Placement
from node.status import from_wire, to_wire
from node.wire.v1 import aggregate_pb2, common_pb2
from protocols.aggregate import message_bytes
from protocols.aggregate_call import AggregateReceipt, aggregate_ticket_hash
from protocols.call import Denial, Permit, RepeatReceipt, request_hash
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.errors import ProtocolError
from protocols.note import LogProof
from protocols.sign import Signed, verify

PIECE = 1 << 20  # bytes of ciphertexts in one message


class AggregatePeer(Protocol):
    """The authority, near or far."""

    def evaluate_aggregate(
        self, pieces: Iterator[aggregate_pb2.EvaluateAggregateRequest], count: int
    ) -> aggregate_pb2.EvaluateAggregateResponse:
        """Answer for `count` ciphertexts; raises `Denied`, `HeadUnknown`."""

    def spending(self, bank: str, dataset: str) -> aggregate_pb2.GetSpendingResponse:
        """Say what is left."""


@dataclass(frozen=True, slots=True)
class Question:
    """One statistic as the authority must see it; no ciphertexts for a repeat."""

    request: Signed
    ticket: Signed
    intent: int
    placements: tuple[Placement, ...]
    ciphertexts: Sequence[int] | None


class Consulting:
    """The house's side of every evaluation of a statistic; thread-safe."""

    def __init__(self, house: House, authority: AggregatePeer) -> None:
        self._house = house
        self._authority = authority

    def spending(self, bank: str, dataset: str) -> aggregate_pb2.GetSpendingResponse:
        """Ask what is left to a bank."""
        return self._authority.spending(bank, dataset)

    def evaluate(self, question: Question) -> aggregate_pb2.EvaluateAggregateResponse:
        """Ask; raises `Denied`, and `Unreachable` when there is no answer.

        Raises `ReplyRefused` for an answer or a denial that proves nothing.
        """
        count = len(question.ciphertexts or ())
        try:
            response = self._house.consultation.consult(
                question.intent,
                lambda intent, links: self._authority.evaluate_aggregate(
                    self._pieces(question, intent, links), count
                ),
            )
            self._check(question, response)
        except Denied as refusal:
            self._check_denial(question, refusal.denial)
            raise
        except ProtocolError as error:
            raise ReplyRefused(f"the authority's answer proves nothing: {error}") from (
                None
            )
        return response

    def _pieces(
        self,
        question: Question,
        intent: common_pb2.Logged,
        links: list[common_pb2.HeadLink],
    ) -> Iterator[aggregate_pb2.EvaluateAggregateRequest]:
        yield aggregate_pb2.EvaluateAggregateRequest(
            question=aggregate_pb2.AggregateQuestion(
                request=to_wire(question.request),
                ticket=to_wire(question.ticket),
                intent=intent,
                links=links,
                placements=[
                    aggregate_pb2.Placement(objection=item.objection_id, row=item.row)
                    for item in question.placements
                ],
            )
        )
        public, ciphertexts = self._house.domain.paillier, question.ciphertexts or ()
        step = max(1, PIECE // public.ciphertext_bytes)
        for at in range(0, len(ciphertexts), step):
            yield aggregate_pb2.EvaluateAggregateRequest(
                ciphertexts=message_bytes(public, ciphertexts[at : at + step])
            )

    def _check(
        self, question: Question, response: aggregate_pb2.EvaluateAggregateResponse
    ) -> None:
        trust, signed = self._house.domain, from_wire(response.receipt)
        receipt: AggregateReceipt | RepeatReceipt
        if question.ciphertexts is None:
            verify(Tag.REPEAT_RECEIPT, signed, trust.authority.sign)
            receipt = RepeatReceipt.parse(signed.payload)
        else:
            verify(Tag.AGGREGATE_RECEIPT, signed, trust.authority.sign)
            receipt = AggregateReceipt.parse(signed.payload)
        proof = LogProof.parse(response.permit.proof)
        head = proof.verify(proof.extra, trust.verifiers(Role.AUTHORITY))
        permit = Entry.parse(proof.extra)
        name = aggregate_ticket_hash(question.ticket.payload)
        where = Permit(proof.index, head.size, head.root)
        if (receipt.ticket, receipt.permit) != (name, where):
            raise ReplyRefused("the authority's receipt is of another ticket or permit")
        call = request_hash(question.request.payload).hex()
        if (permit.kind, permit.call, permit.body.get("ticket")) != (
            Kind.AGGREGATE_PERMIT,
            call,
            name.hex(),
        ):
            raise ReplyRefused("the authority's permit is of another question")

    def _check_denial(self, question: Question, denial: Signed) -> None:
        try:
            verify(Tag.DENIAL, denial, self._house.domain.authority.sign)
            named = Denial.parse(denial.payload).request
        except ProtocolError as error:
            raise ReplyRefused(f"the authority's denial proves nothing: {error}") from (
                None
            )
        if named != request_hash(question.request.payload):
            raise ReplyRefused("the authority's denial is of another question")
