"""The services of statistics: the house's desk for banks, the authority's for it."""

import queue
import threading
from collections.abc import Iterator
from typing import Final, TypeAlias

from node import clock
from node.aggregate_authority import AggregateAuthority
from node.aggregate_house import AggregateHouse
from node.domain import Role
from node.server import Call, Desk, serves, streams
from node.status import from_wire
from node.wire.v1 import aggregate_pb2, aggregate_pb2_grpc

TELL_EVERY: Final = 64  # ciphertexts

Piece: TypeAlias = aggregate_pb2.AggregateResponse


class AggregateService(aggregate_pb2_grpc.AggregateServiceServicer):
    """Serves banks."""

    def __init__(self, desk: Desk, house: AggregateHouse) -> None:
        self.desk = desk
        self._house = house

    @streams(Role.BANK)
    def Aggregate(  # noqa: N802
        self, request: aggregate_pb2.AggregateRequest, call: Call
    ) -> Iterator[aggregate_pb2.AggregateResponse]:
        """Answer a question; say how far it is meanwhile."""
        pieces: queue.SimpleQueue[Piece | Exception] = queue.SimpleQueue()

        def told(done: int, total: int) -> None:
            if done % TELL_EVERY == 0 or done == total:
                progress = aggregate_pb2.AggregateProgress(done=done, total=total)
                pieces.put(aggregate_pb2.AggregateResponse(progress=progress))

        def answer() -> None:
            try:
                reply = self._house.ask(call, from_wire(request.request), told)
                pieces.put(aggregate_pb2.AggregateResponse(reply=reply))
            except Exception as error:  # noqa: BLE001  raised to the caller below
                pieces.put(error)

        threading.Thread(target=answer, name="aggregate", daemon=True).start()
        while True:
            piece = pieces.get()
            if isinstance(piece, Exception):
                raise piece
            yield piece
            if piece.HasField("reply"):
                return

    @serves(Role.BANK)
    def GetBudget(  # noqa: N802
        self, request: aggregate_pb2.GetBudgetRequest, call: Call
    ) -> aggregate_pb2.GetBudgetResponse:
        """Say what is left to the caller."""
        return self._house.budget(call.caller, request.dataset)


class AggregateEvaluationService(aggregate_pb2_grpc.AggregateEvaluationServiceServicer):
    """Serves the house, nobody else."""

    def __init__(self, desk: Desk, authority: AggregateAuthority) -> None:
        self.desk = desk
        self._authority = authority

    @serves(Role.HOUSE)
    def EvaluateAggregate(  # noqa: N802
        self,
        request_iterator: Iterator[aggregate_pb2.EvaluateAggregateRequest],
        call: Call,
    ) -> aggregate_pb2.EvaluateAggregateResponse:
        """Decide, count, journal; then decrypt masks and add up the listed slots."""
        call.check_alive()
        return self._authority.evaluate(request_iterator)

    @serves(Role.HOUSE)
    def GetSpending(  # noqa: N802
        self, request: aggregate_pb2.GetSpendingRequest, _call: Call
    ) -> aggregate_pb2.GetSpendingResponse:
        """Say what is left to a bank."""
        return self._authority.spending(request.bank, request.dataset, clock.now_ms())
