"""The services of functional replays: the house's and the authority's."""

from node.audit_authority import AuditAuthority
from node.audit_house import AuditHouse
from node.domain import Role
from node.server import Call, Desk, serves
from node.status import from_wire
from node.wire.v1 import audit_pb2, audit_pb2_grpc


class AuditService(audit_pb2_grpc.AuditServiceServicer):
    """Serves auditors, nobody else."""

    def __init__(self, desk: Desk, audits: AuditHouse) -> None:
        self.desk = desk
        self._audits = audits

    @serves(Role.AUDITOR)
    def ComputeAgain(  # noqa: N802
        self, request: audit_pb2.ComputeAgainRequest, call: Call
    ) -> audit_pb2.ComputeAgainResponse:
        """Compute a call again."""
        signed, second = from_wire(request.request), from_wire(request.second)
        return self._audits.compute(call, signed, second)


class AuditEvaluationService(audit_pb2_grpc.AuditEvaluationServiceServicer):
    """Serves the house, nobody else."""

    def __init__(self, desk: Desk, audits: AuditAuthority) -> None:
        self.desk = desk
        self._audits = audits

    @serves(Role.HOUSE)
    def EvaluateAgain(  # noqa: N802
        self, request: audit_pb2.EvaluateAgainRequest, call: Call
    ) -> audit_pb2.EvaluateAgainResponse:
        """Decrypt for an auditor."""
        call.check_alive()
        return self._audits.evaluate(request)
