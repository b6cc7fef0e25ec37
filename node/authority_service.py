"""The authority's own services: evaluation, registry, key."""

from node.authority import Authority
from node.domain import Role
from node.ledger import Transaction
from node.registry import Record
from node.server import Call, Desk, serves
from node.status import from_wire
from node.wire.v1 import (
    evaluation_pb2,
    evaluation_pb2_grpc,
    key_pb2,
    key_pb2_grpc,
    registry_pb2,
    registry_pb2_grpc,
)
from protocols.errors import FormatError


class EvaluationService(evaluation_pb2_grpc.EvaluationServiceServicer):
    """Serves the house, nobody else."""

    def __init__(self, desk: Desk, authority: Authority) -> None:
        self.desk = desk
        self._authority = authority

    @serves(Role.HOUSE)
    def Evaluate(  # noqa: N802
        self, request: evaluation_pb2.EvaluateRequest, call: Call
    ) -> evaluation_pb2.EvaluateResponse:
        """Decide, count, journal; then decrypt a mask and pick padded rows."""
        call.check_alive()
        return self._authority.evaluate(request)


class RegistryService(registry_pb2_grpc.RegistryServiceServicer):
    """Takes the signed documents that the house relays."""

    def __init__(self, desk: Desk, authority: Authority) -> None:
        self.desk = desk
        self._authority = authority

    @serves(Role.HOUSE)
    def Put(  # noqa: N802
        self, request: registry_pb2.PutRequest, _call: Call
    ) -> registry_pb2.PutResponse:
        """Check and keep one document."""
        registry, which = self._authority.registry, request.WhichOneof("document")
        if which is None:
            raise FormatError("expected a document")
        signed = from_wire(getattr(request, which))

        def keep(transaction: Transaction) -> Record | None:
            if which == "registration":
                registry.register(transaction, signed)
                return None
            step = {
                "submission": registry.submit,
                "approval": registry.approve,
                "activation": registry.activate,
                "retirement": registry.retire,
            }[which]
            return step(transaction, signed)

        record = self._authority.ledger.commit(keep).value
        return registry_pb2.PutResponse(missing=record.missing if record else ())


class KeyService(key_pb2_grpc.KeyServiceServicer):
    """Names the Paillier key."""

    def __init__(self, desk: Desk, authority: Authority) -> None:
        self.desk = desk
        self._authority = authority

    @serves(*Role)
    def GetFingerprint(  # noqa: N802
        self, _request: key_pb2.GetFingerprintRequest, _call: Call
    ) -> key_pb2.GetFingerprintResponse:
        """Name the key in use."""
        public = self._authority.domain.paillier
        return key_pb2.GetFingerprintResponse(key_id=public.key_id, bits=public.bits)
