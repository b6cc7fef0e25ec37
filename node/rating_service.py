"""The service of ratings, at the house."""

from node.domain import Role
from node.ratings import Ratings
from node.server import Call, Desk, serves
from node.status import from_wire
from node.wire.v1 import rating_pb2, rating_pb2_grpc
from protocols.call import Opening


class RatingService(rating_pb2_grpc.RatingServiceServicer):
    """Lets banks show answers to each other."""

    def __init__(self, desk: Desk, ratings: Ratings) -> None:
        self.desk = desk
        self._ratings = ratings

    @serves(Role.BANK)
    def IssueRating(  # noqa: N802
        self, request: rating_pb2.IssueRatingRequest, call: Call
    ) -> rating_pb2.IssueRatingResponse:
        """Let a bank show an answer of its own to another bank."""
        opening = Opening(request.opening.subject_ref, request.opening.salt)
        asked = from_wire(request.request), from_wire(request.ticket)
        logged = self._ratings.issue(
            call.caller, from_wire(request.rating), asked, opening
        )
        return rating_pb2.IssueRatingResponse(logged=logged)

    @serves(Role.BANK)
    def RevokeRating(  # noqa: N802
        self, request: rating_pb2.RevokeRatingRequest, call: Call
    ) -> rating_pb2.RevokeRatingResponse:
        """End a rating."""
        logged = self._ratings.revoke(call.caller, from_wire(request.revocation))
        return rating_pb2.RevokeRatingResponse(logged=logged)

    @serves(Role.BANK)
    def GetRatingStatus(  # noqa: N802
        self, _request: rating_pb2.GetRatingStatusRequest, call: Call
    ) -> rating_pb2.GetRatingStatusResponse:
        """Hand out which ratings stand."""
        with self.desk.turn(call):  # it takes a decision for each of them
            return rating_pb2.GetRatingStatusResponse(list=self._ratings.status())
