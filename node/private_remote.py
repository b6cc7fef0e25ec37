"""The authority's part of private calls, as the house reaches it."""

from collections.abc import Iterator

from node.remote import ask
from node.wire.v1 import private_evaluation_pb2, private_evaluation_pb2_grpc


class RemotePrivate:
    """The authority at the other end of a channel."""

    def __init__(
        self,
        stub: private_evaluation_pb2_grpc.PrivateEvaluationServiceStub,
        deadline_s: float,
    ) -> None:
        self._stub = stub
        self._deadline_s = deadline_s

    def evaluate_privately(
        self, pieces: Iterator[private_evaluation_pb2.EvaluatePrivatelyRequest]
    ) -> private_evaluation_pb2.EvaluatePrivatelyResponse:
        """Ask for one evaluation."""
        response: private_evaluation_pb2.EvaluatePrivatelyResponse = ask(
            self._stub.EvaluatePrivately, pieces, self._deadline_s
        )
        return response
