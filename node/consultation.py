"""How the house asks the authority: with its journal's growth in every message.

The intent is proven in the house's newest head, and the head is linked to every
head the authority may have seen last (`node.heads`).  If the two have lost each
other, the authority names the head it knows and the house links to that.

What comes back is believed as little as a bank would: an answer goes into the
journal, and to the bank, only with the authority's signature under this ticket
and its permit proven; so nobody can say that the house made it up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeVar

from node.domain import Role, TrustDomain
from node.errors import Denied, ReplyRefused, Unreachable
from node.heads import HeadUnknown, Link, Trail, TreeHead
from node.ledger import Head, Ledger
from node.status import from_wire, to_wire
from node.wire.v1 import common_pb2, evaluation_pb2
from protocols.call import (
    Denial,
    Opening,
    Permit,
    Receipt,
    RepeatReceipt,
    request_hash,
    ticket_hash,
)
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.errors import ProtocolError
from protocols.lookup import Message
from protocols.note import LogProof
from protocols.sign import Signed, verify

RESYNCS: Final = 8

Reply = TypeVar("Reply")


class EvaluationPeer(Protocol):
    """The authority, near or far."""

    def evaluate(
        self, message: evaluation_pb2.EvaluateRequest
    ) -> evaluation_pb2.EvaluateResponse:
        """Answer; raises `Denied`, `HeadUnknown`, `Unreachable`."""


@dataclass(frozen=True, slots=True, repr=False)
class Question:
    """One call as the authority must see it; `message` is None for a repeat."""

    request: Signed
    opening: Opening
    ticket: Signed
    intent: int
    message: Message | None
    sealed_share: bytes = b""  # the bank's, to the authority


class Consultation:
    """The house's side of every evaluation; thread-safe."""

    def __init__(
        self, ledger: Ledger, authority: EvaluationPeer, domain: TrustDomain
    ) -> None:
        self._ledger = ledger
        self._authority = authority
        self._domain = domain
        self._trail = Trail(ledger.consistency)

    def evaluate(self, question: Question) -> evaluation_pb2.EvaluateResponse:
        """Ask; raises `Denied`, and `Unreachable` when there is no answer.

        Raises `ReplyRefused` for an answer or a denial that proves nothing.
        """
        try:
            response = self.consult(
                question.intent,
                lambda intent, links: self._authority.evaluate(
                    self._message(question, intent, links)
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

    def _check(
        self, question: Question, response: evaluation_pb2.EvaluateResponse
    ) -> None:
        keys, signed = self._domain.authority.sign, from_wire(response.receipt)
        receipt: Receipt | RepeatReceipt
        if question.message is None:
            verify(Tag.REPEAT_RECEIPT, signed, keys)
            receipt = RepeatReceipt.parse(signed.payload)
        else:
            verify(Tag.RECEIPT, signed, keys)
            receipt = Receipt.parse(signed.payload)
        proof = LogProof.parse(response.permit.proof)
        head = proof.verify(proof.extra, self._domain.verifiers(Role.AUTHORITY))
        permit, name = Entry.parse(proof.extra), ticket_hash(question.ticket.payload)
        if (receipt.ticket, receipt.permit) != (
            name,
            Permit(proof.index, head.size, head.root),
        ):
            raise ReplyRefused("the authority's receipt is of another ticket or permit")
        call = request_hash(question.request.payload).hex()
        if (permit.kind, permit.call, permit.body.get("ticket")) != (
            Kind.CALL_PERMIT,
            call,
            name.hex(),
        ):
            raise ReplyRefused("the authority's permit is of another call")

    def _check_denial(self, question: Question, denial: Signed) -> None:
        try:
            verify(Tag.DENIAL, denial, self._domain.authority.sign)
            named = Denial.parse(denial.payload).request
        except ProtocolError as error:
            raise ReplyRefused(f"the authority's denial proves nothing: {error}") from (
                None
            )
        if named != request_hash(question.request.payload):
            raise ReplyRefused("the authority's denial is of another call")

    def consult(
        self,
        intent: int,
        ask: Callable[[common_pb2.Logged, list[common_pb2.HeadLink]], Reply],
    ) -> Reply:
        """Ask with journal entry `intent` proven, and its head linked.

        `ask` sends one message and may raise `HeadUnknown`; then it is asked once
        more, with the links that were missing.
        """
        head = self._ledger.head
        links = self._trail.links(_tree_head(head))
        for _ in range(RESYNCS):
            try:
                reply = ask(proven(self._ledger, intent, head), _to_wire(links))
            except HeadUnknown as unknown:
                head, links = self._resync(unknown.size)
            else:
                self._trail.answered(_tree_head(head))
                return reply
        raise Unreachable("the authority cannot follow our journal; try again")

    def _resync(self, size: int) -> tuple[Head, list[Link]]:
        head = self._ledger.head
        if size > head.size:
            raise Unreachable(
                "the authority has seen a longer journal than ours",
                "this house was rewound: stop it and ask the auditors",
            )
        newest = _tree_head(head)
        links = self._trail.links(newest)
        if size < head.size:
            known = TreeHead(size, self._ledger.root(size))
            links.append(self._trail.link(known, newest))
        return head, links

    def _message(
        self,
        question: Question,
        intent: common_pb2.Logged,
        links: list[common_pb2.HeadLink],
    ) -> evaluation_pb2.EvaluateRequest:
        ciphertext, tables, message = b"", b"", question.message
        if message is not None:
            length = self._domain.paillier.ciphertext_bytes
            parts = (part.to_bytes(length, "big") for part in message.ciphertexts)
            ciphertext = b"".join(parts)
            tables = message.tables
        return evaluation_pb2.EvaluateRequest(
            request=to_wire(question.request),
            opening=common_pb2.SubjectOpening(
                subject_ref=question.opening.subject_ref, salt=question.opening.salt
            ),
            ticket=to_wire(question.ticket),
            ciphertext=ciphertext,
            tables=tables,
            intent=intent,
            links=links,
            sealed_share=question.sealed_share,
        )


def proven(ledger: Ledger, index: int, head: Head | None = None) -> common_pb2.Logged:
    """Prove an entry under a head, by default the newest one; the entry is beside."""
    proof = replace(ledger.proof(index, head), extra=ledger.entry(index))
    return common_pb2.Logged(proof=proof.to_text())


def _tree_head(head: Head) -> TreeHead:
    return TreeHead(head.size, head.root)


def _to_wire(links: Sequence[Link]) -> list[common_pb2.HeadLink]:
    return [
        common_pb2.HeadLink(
            size=link.head.size,
            root=link.head.root,
            consistency=list(link.consistency),
        )
        for link in links
    ]
