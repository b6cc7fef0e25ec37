"""The authority's part of functional replays, as the house reaches it."""

from node.remote import ask
from node.wire.v1 import audit_pb2, audit_pb2_grpc


class RemoteAudits:
    """The authority at the other end of a channel."""

    def __init__(
        self, stub: audit_pb2_grpc.AuditEvaluationServiceStub, deadline_s: float
    ) -> None:
        self._stub = stub
        self._deadline_s = deadline_s

    def evaluate_again(
        self, message: audit_pb2.EvaluateAgainRequest
    ) -> audit_pb2.EvaluateAgainResponse:
        """Ask for one evaluation."""
        response: audit_pb2.EvaluateAgainResponse = ask(
            self._stub.EvaluateAgain, message, self._deadline_s
        )
        return response
