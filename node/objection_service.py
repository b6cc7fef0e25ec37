"""The service of objections: registrars tell both nodes who is not to be counted."""

from contracts.objection import Objection
from contracts.subject import SubjectRef, pseudonym
from node import objections
from node.consultation import proven
from node.domain import Role
from node.errors import RoleRefused
from node.ledger import Ledger
from node.server import Call, Desk, serves
from node.status import from_wire
from node.wire.v1 import objection_pb2, objection_pb2_grpc
from protocols.call import Opening
from protocols.canon import Tag
from protocols.errors import FormatError
from protocols.sign import verify


class ObjectionService(objection_pb2_grpc.ObjectionServiceServicer):
    """Takes objections; each node under its own pseudonyms."""

    def __init__(self, desk: Desk, ledger: Ledger, pseudonym_key: bytes) -> None:
        self.desk = desk
        self._ledger = ledger
        self._key = pseudonym_key

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
        name = pseudonym(self._key, SubjectRef(opening.subject_ref))
        committed = self._ledger.commit(lambda tx: objections.record(tx, signed, name))
        return objection_pb2.PutObjectionResponse(
            logged=proven(self._ledger, committed.value)
        )
