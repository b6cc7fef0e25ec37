"""The authority's part of intersections, as the house reaches it."""

from collections.abc import Iterator
from typing import Final

from node.remote import ask
from node.wire.v1 import psi_evaluation_pb2, psi_evaluation_pb2_grpc

COUNT_S: Final = 600.0  # to receive two sets of a million points, and compare them


class RemotePsi:
    """The authority at the other end of a channel."""

    def __init__(
        self, stub: psi_evaluation_pb2_grpc.PsiEvaluationServiceStub, deadline_s: float
    ) -> None:
        self._stub = stub
        self._deadline_s = deadline_s

    def admit_list(self, message: psi_evaluation_pb2.AdmitListRequest) -> None:
        """Hand on what a custodian sealed to the authority."""
        ask(self._stub.AdmitList, message, self._deadline_s)

    def permit_session(
        self, message: psi_evaluation_pb2.PermitSessionRequest
    ) -> psi_evaluation_pb2.PermitSessionResponse:
        """Ask for a permit."""
        response: psi_evaluation_pb2.PermitSessionResponse = ask(
            self._stub.PermitSession, message, self._deadline_s
        )
        return response

    def evaluate_points(
        self, message: psi_evaluation_pb2.EvaluatePointsRequest
    ) -> psi_evaluation_pb2.EvaluatePointsResponse:
        """Ask for one piece to be multiplied."""
        response: psi_evaluation_pb2.EvaluatePointsResponse = ask(
            self._stub.EvaluatePoints, message, self._deadline_s
        )
        return response

    def finish_session(
        self, message: psi_evaluation_pb2.FinishSessionRequest
    ) -> psi_evaluation_pb2.FinishSessionResponse:
        """Ask for the receipt."""
        response: psi_evaluation_pb2.FinishSessionResponse = ask(
            self._stub.FinishSession, message, self._deadline_s
        )
        return response

    def count_session(
        self, pieces: Iterator[psi_evaluation_pb2.CountSessionRequest]
    ) -> psi_evaluation_pb2.CountSessionResponse:
        """Ask for what two sets have in common."""
        response: psi_evaluation_pb2.CountSessionResponse = ask(
            self._stub.CountSession, pieces, COUNT_S
        )
        return response
