"""The services of private calls, of the house for banks, and behind it."""

from collections.abc import Iterator

from node.domain import Role
from node.private_authority import PrivateAuthority
from node.private_house import PrivateHouse
from node.server import Call, Desk, serves
from node.status import from_wire
from node.wire.v1 import (
    private_evaluation_pb2,
    private_evaluation_pb2_grpc,
    private_pb2,
    private_pb2_grpc,
)
from protocols.private_call import Candidates, rows_from


class PrivateService(private_pb2_grpc.PrivateServiceServicer):
    """Answers banks about one of many."""

    def __init__(self, desk: Desk, private: PrivateHouse) -> None:
        self.desk = desk
        self._private = private

    @serves(Role.BANK)
    def AskPrivately(  # noqa: N802
        self, request: private_pb2.AskPrivatelyRequest, call: Call
    ) -> private_pb2.AskPrivatelyResponse:
        """Run a contract for one of many candidates, which takes a bank's turn."""
        rows = rows_from(request.refs, request.salts, request.consents)
        signed, candidates = from_wire(request.request), Candidates(rows)
        with self.desk.turn(call):
            return self._private.ask(call, signed, request.box, candidates)

    @serves(Role.BANK)
    def CommitPrivateResult(  # noqa: N802
        self, request: private_pb2.CommitPrivateResultRequest, call: Call
    ) -> private_pb2.CommitPrivateResultResponse:
        """Keep a bank's commitment to what it read."""
        self._private.commit_result(call.caller, from_wire(request.result))
        return private_pb2.CommitPrivateResultResponse()


class PrivateEvaluationService(
    private_evaluation_pb2_grpc.PrivateEvaluationServiceServicer
):
    """Serves the house, nobody else."""

    def __init__(self, desk: Desk, authority: PrivateAuthority) -> None:
        self.desk = desk
        self._authority = authority

    @serves(Role.HOUSE)
    def EvaluatePrivately(  # noqa: N802
        self,
        request_iterator: Iterator[private_evaluation_pb2.EvaluatePrivatelyRequest],
        call: Call,
    ) -> private_evaluation_pb2.EvaluatePrivatelyResponse:
        """Decide, count, journal; then decrypt one block."""
        call.check_alive()
        return self._authority.evaluate(request_iterator)
