"""The service of objections: what subjects demand, told by registrars to both nodes.

What is for custodians only the house serves, which knows where a subject sits.
"""

import secrets
from collections.abc import Sequence

import apsw

from contracts import bodies
from contracts.dataset import Dataset
from contracts.objection import Answer, Objection
from contracts.subject import Handle, handle
from node import names, objections
from node.consultation import proven
from node.domain import Role
from node.errors import NotFound, RoleRefused
from node.ledger import Ledger, Transaction
from node.objections import Eraser
from node.registry import Registry
from node.server import Call, Desk, serves
from node.status import from_wire, to_wire
from node.wire.v1 import objection_pb2, objection_pb2_grpc
from protocols.call import HASH_BYTES, Opening
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.errors import FormatError
from protocols.sign import verify


class ObjectionService(objection_pb2_grpc.ObjectionServiceServicer):
    """Takes objections; each node under its own pseudonyms."""

    def __init__(
        self,
        desk: Desk,
        ledger: Ledger,
        registry: Registry,
        pseudonym_key: bytes,
        erasers: Sequence[Eraser],
    ) -> None:
        """Serve; `erasers` forget what the node keeps of a subject besides its name."""
        self.desk = desk
        self._ledger = ledger
        self._registry = registry
        self._key = pseudonym_key
        self._erasers = erasers

    @serves(Role.REGISTRAR)
    def PutObjection(  # noqa: N802
        self, request: objection_pb2.PutObjectionRequest, call: Call
    ) -> objection_pb2.PutObjectionResponse:
        """Record an objection, or its end."""
        signed = from_wire(request.objection)
        verify(Tag.OBJECTION, signed, call.caller.sign)
        objection = Objection.parse(signed.payload)
        if objection.registrar != call.caller.id:
            raise RoleRefused(
                f"signed by `{objection.registrar}`, sent by `{call.caller.id}`"
            )
        opening = Opening(request.opening.subject_ref, request.opening.salt)
        if opening.commitment() != objection.subject:
            raise FormatError("the opening is not the one of the objection's subject")
        whose = handle(self._key, opening.subject_ref)
        committed = self._ledger.commit(
            lambda tx: objections.record(
                tx, signed, whose, self._version, self._erasers
            )
        )
        return objection_pb2.PutObjectionResponse(
            logged=proven(self._ledger, committed.value)
        )

    @serves(Role.REGISTRAR)
    def KnowsSubject(  # noqa: N802
        self, request: objection_pb2.KnowsSubjectRequest, call: Call
    ) -> objection_pb2.KnowsSubjectResponse:
        """Tell whether anything is kept of a subject; the question is journalled."""
        if len(request.subject_ref) != HASH_BYTES:
            raise FormatError(f"expected a subject reference of {HASH_BYTES} bytes")
        whose = handle(self._key, request.subject_ref)
        known, index = self._ledger.commit(
            lambda tx: self._asked(tx, whose, call.caller.id)
        ).value
        return objection_pb2.KnowsSubjectResponse(
            known=known, logged=proven(self._ledger, index)
        )

    def _asked(
        self, transaction: Transaction, whose: Handle, registrar: str
    ) -> tuple[bool, int]:
        (name,) = names.find(transaction.db, [whose])
        subject = name or secrets.token_bytes(HASH_BYTES)
        body = bodies.Read("known", subject, self._ledger.head.size).to_body()
        index = transaction.append(Kind.LOG_READ, registrar, "", body)
        return name is not None, index

    def _version(self, db: apsw.Connection, name: str) -> tuple[Dataset, int] | None:
        found = self._registry.dataset(db, name)
        if found is None:
            return None
        manifest = self._registry.manifest(db, name)
        return found[1], 0 if manifest is None else manifest.version


class HouseObjections(ObjectionService):
    """The house's, where custodians are told of repairs and answer them."""

    @serves(Role.CUSTODIAN)
    def ListRepairs(  # noqa: N802
        self, request: objection_pb2.ListRepairsRequest, call: Call
    ) -> objection_pb2.ListRepairsResponse:
        """List the repairs of one of the caller's datasets that stand."""
        with self._ledger.reader() as db:
            found = self._registry.dataset(db, request.dataset)
            if found is None:
                raise NotFound(f"dataset `{request.dataset}` is not registered")
            _, dataset = found
            if dataset.custodian != call.caller.id:
                raise RoleRefused(
                    f"dataset `{dataset.name}` is `{dataset.custodian}`'s"
                )
            return objection_pb2.ListRepairsResponse(
                repairs=[
                    objection_pb2.RepairItem(
                        objection=to_wire(item.signed), row=item.row
                    )
                    for item in objections.repairs(db, dataset)
                ]
            )

    @serves(Role.CUSTODIAN)
    def AnswerRepair(  # noqa: N802
        self, request: objection_pb2.AnswerRepairRequest, call: Call
    ) -> objection_pb2.AnswerRepairResponse:
        """Record a custodian's answer."""
        signed = from_wire(request.answer)
        verify(Tag.OBJECTION_ANSWER, signed, call.caller.sign)
        answer = Answer.parse(signed.payload)
        if answer.custodian != call.caller.id:
            raise RoleRefused(f"signed by `{answer.custodian}`, not by the caller")
        committed = self._ledger.commit(
            lambda tx: objections.answer(tx, signed, self._version)
        )
        return objection_pb2.AnswerRepairResponse(
            logged=proven(self._ledger, committed.value)
        )
