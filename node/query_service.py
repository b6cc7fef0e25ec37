"""Questions about single columns: range and verify, as banks ask them.

Both are calls like a score, and leave the same evidence; `House.answer` makes them.
"""

from contracts.contract import ContractKind
from node.domain import Role
from node.house import House
from node.server import Call, Desk, serves
from node.status import from_wire
from node.wire.v1 import query_pb2, query_pb2_grpc
from protocols.call import Opening
from protocols.sharing import HouseShare, Private


class QueryService(query_pb2_grpc.QueryServiceServicer):
    """Answers banks."""

    def __init__(self, desk: Desk, house: House) -> None:
        self.desk = desk
        self._house = house

    @serves(Role.BANK)
    def Range(  # noqa: N802
        self, request: query_pb2.RangeRequest, call: Call
    ) -> query_pb2.RangeResponse:
        """Compare a column with the contract's threshold."""
        opening = Opening(request.opening.subject_ref, request.opening.salt)
        signed = from_wire(request.request)
        answer = self._house.answer(call, ContractKind.RANGE, signed, opening)
        return query_pb2.RangeResponse(answer=answer)

    @serves(Role.BANK)
    def Verify(  # noqa: N802
        self, request: query_pb2.VerifyRequest, call: Call
    ) -> query_pb2.VerifyResponse:
        """Compare a column with the bank's claim, of which a share comes here."""
        opening = Opening(request.opening.subject_ref, request.opening.salt)
        private = Private(HouseShare.parse(request.share), request.sealed_share)
        signed = from_wire(request.request)
        answer = self._house.answer(call, ContractKind.VERIFY, signed, opening, private)
        return query_pb2.VerifyResponse(answer=answer)
