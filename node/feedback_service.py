"""The service of feedback: sealed parcels come from banks and go to one custodian."""

from contracts.feedback import Desk as FeedbackDesk
from contracts.feedback import Parcel
from node import clock, feedback
from node.consultation import proven
from node.domain import Role
from node.errors import RoleRefused
from node.ledger import Ledger
from node.server import Call, Desk, serves
from node.status import from_wire, to_wire
from node.wire.v1 import feedback_pb2, feedback_pb2_grpc
from protocols.canon import Tag
from protocols.sign import verify


class FeedbackService(feedback_pb2_grpc.FeedbackServiceServicer):
    """Relays what it cannot read."""

    def __init__(self, desk: Desk, ledger: Ledger) -> None:
        self.desk = desk
        self._ledger = ledger

    @serves(Role.CUSTODIAN)
    def PutFeedbackDesk(  # noqa: N802
        self, request: feedback_pb2.PutFeedbackDeskRequest, call: Call
    ) -> feedback_pb2.PutFeedbackDeskResponse:
        """Keep a custodian's key."""
        signed = from_wire(request.desk)
        verify(Tag.FEEDBACK_DESK, signed, call.caller.signing(clock.now_ms()))
        _own(FeedbackDesk.parse(signed.payload).custodian, call)
        committed = self._ledger.commit(lambda tx: feedback.put_desk(tx, signed))
        return feedback_pb2.PutFeedbackDeskResponse(
            logged=proven(self._ledger, committed.value)
        )

    @serves(Role.BANK)
    def GetFeedbackDesk(  # noqa: N802
        self, request: feedback_pb2.GetFeedbackDeskRequest, _call: Call
    ) -> feedback_pb2.GetFeedbackDeskResponse:
        """Hand out a custodian's key."""
        with self._ledger.reader() as db:
            signed = feedback.desk_of(db, request.custodian)
        return feedback_pb2.GetFeedbackDeskResponse(desk=to_wire(signed))

    @serves(Role.BANK)
    def SendFeedback(  # noqa: N802
        self, request: feedback_pb2.SendFeedbackRequest, call: Call
    ) -> feedback_pb2.SendFeedbackResponse:
        """Keep a parcel for its custodian."""
        signed = from_wire(request.parcel)
        verify(Tag.FEEDBACK, signed, call.caller.signing(clock.now_ms()))
        _own(Parcel.parse(signed.payload).bank, call)
        committed = self._ledger.commit(
            lambda tx: feedback.put_parcel(tx, signed, request.box)
        )
        return feedback_pb2.SendFeedbackResponse(
            logged=proven(self._ledger, committed.value)
        )

    @serves(Role.CUSTODIAN)
    def FetchFeedback(  # noqa: N802
        self, request: feedback_pb2.FetchFeedbackRequest, call: Call
    ) -> feedback_pb2.FetchFeedbackResponse:
        """Hand the calling custodian its next parcel."""
        with self._ledger.reader() as db:
            found = feedback.next_parcel(db, call.caller.id, request.after)
        if found is None:
            return feedback_pb2.FetchFeedbackResponse()
        entry, signed, box = found
        return feedback_pb2.FetchFeedbackResponse(
            parcel=to_wire(signed), box=box, logged=proven(self._ledger, entry)
        )


def _own(party: str, call: Call) -> None:
    if party != call.caller.id:
        raise RoleRefused(f"signed as `{party}`, sent by `{call.caller.id}`")
