"""The services of intersections: the house's for custodians and banks, the authority's.

A list goes to the authority first, which opens what was sealed to it; if the house dies
in between, sending it again finds it kept there.
"""

from collections.abc import Callable, Iterator

from node import psi_lists
from node.consultation import proven
from node.domain import Role
from node.errors import NotFound, RoleRefused
from node.house import House
from node.psi_authority import PsiAuthority
from node.psi_house import Sessions
from node.server import Call, Desk, serves, streams
from node.status import from_wire, to_wire
from node.wire.v1 import (
    psi_evaluation_pb2,
    psi_evaluation_pb2_grpc,
    psi_pb2,
    psi_pb2_grpc,
)
from protocols.errors import FormatError
from protocols.psi import pieces
from protocols.psi_call import ListManifest, box_digest
from protocols.ristretto import POINT_BYTES
from protocols.sign import Signed

Relay = Callable[[psi_evaluation_pb2.AdmitListRequest], None]


class PsiService(psi_pb2_grpc.PsiServiceServicer):
    """Serves custodians, whose lists it keeps, and banks."""

    def __init__(
        self, desk: Desk, house: House, sessions: Sessions, relay: Relay
    ) -> None:
        self.desk = desk
        self._house = house
        self._sessions = sessions
        self._relay = relay

    @serves(Role.CUSTODIAN)
    def PutList(  # noqa: N802
        self, request_iterator: Iterator[psi_pb2.PutListRequest], call: Call
    ) -> psi_pb2.PutListResponse:
        """Store a new version of a list.

        Of a version that is kept already only the manifest is looked at.
        """
        first = next(iter(request_iterator), None)
        if first is None or first.WhichOneof("piece") != "manifest":
            raise FormatError("expected the signed manifest first")
        house, signed = self._house, from_wire(first.manifest)
        with house.ledger.reader() as db:
            manifest = psi_lists.check(db, house.registry, house.domain, signed)
            if manifest.custodian != call.caller.id:
                raise RoleRefused(f"a list of `{manifest.custodian}`")
            kept = psi_lists.find(db, manifest.hash)
            if kept is None:  # before any point is taken
                psi_lists.check_version(db, manifest)
        index = self._put(manifest, signed, request_iterator) if kept is None else None
        entry = kept.entry if kept is not None else index
        if entry is None:
            raise AssertionError("a list was neither kept nor put")
        return psi_pb2.PutListResponse(logged=proven(house.ledger, entry))

    def _put(
        self,
        manifest: ListManifest,
        signed: Signed,
        pieces: Iterator[psi_pb2.PutListRequest],
    ) -> int:
        second = next(iter(pieces), None)
        if second is None or second.WhichOneof("piece") != "box":
            raise FormatError("expected the sealed scalar second")
        if box_digest(second.box) != manifest.box:
            raise FormatError("the box is not the one that was signed")
        points = bytearray()
        for piece in pieces:
            if piece.WhichOneof("piece") != "points":
                raise FormatError("expected points after the sealed scalar")
            points += piece.points
            if len(points) > 2 * manifest.rows * POINT_BYTES:
                raise FormatError("more points than the manifest says")
        self._sessions.lists.keep(manifest, bytes(points))
        self._relay(
            psi_evaluation_pb2.AdmitListRequest(
                manifest=to_wire(signed), box=second.box
            )
        )
        ledger = self._house.ledger
        return ledger.commit(lambda tx: psi_lists.keep(tx, signed, b"")).value

    @serves(Role.BANK, Role.CUSTODIAN, Role.AUDITOR)
    def GetList(  # noqa: N802
        self, request: psi_pb2.GetListRequest, _call: Call
    ) -> psi_pb2.GetListResponse:
        """Describe the newest version of a list."""
        with self._house.ledger.reader() as db:
            listed = psi_lists.newest(db, request.list)
        if listed is None:
            raise NotFound(
                f"list `{request.list}` was never pushed",
                "its custodian pushes it with `safehouse push`",
            )
        return psi_pb2.GetListResponse(manifest=to_wire(listed.signed))

    @serves(Role.BANK)
    def OpenSession(  # noqa: N802
        self, request: psi_pb2.OpenSessionRequest, call: Call
    ) -> psi_pb2.OpenSessionResponse:
        """Take a session, or say how far it is."""
        pieces = self._sessions.open(call, from_wire(request.request))
        return psi_pb2.OpenSessionResponse(pieces=pieces)

    @serves(Role.BANK)
    def SendPoints(  # noqa: N802
        self, request_iterator: Iterator[psi_pb2.SendPointsRequest], call: Call
    ) -> psi_pb2.SendPointsResponse:
        """Take a bank's points."""
        pieces = self._sessions.send(call, request_iterator)
        return psi_pb2.SendPointsResponse(pieces=pieces)

    @streams(Role.BANK)
    def RunSession(  # noqa: N802
        self, request: psi_pb2.RunSessionRequest, call: Call
    ) -> Iterator[psi_pb2.RunSessionResponse]:
        """Have a session's points multiplied."""
        yield from self._sessions.run(call, request.session)

    @streams(Role.BANK)
    def FetchReplies(  # noqa: N802
        self, request: psi_pb2.FetchRepliesRequest, call: Call
    ) -> Iterator[psi_pb2.FetchRepliesResponse]:
        """Stream what came of a session."""
        yield from self._sessions.fetch(call, request)

    @serves(Role.BANK)
    def ReturnPoints(  # noqa: N802
        self, request_iterator: Iterator[psi_pb2.ReturnPointsRequest], call: Call
    ) -> psi_pb2.ReturnPointsResponse:
        """Have a session counted."""
        first = next(iter(request_iterator), None)
        if first is None or first.WhichOneof("piece") != "returned":
            raise FormatError("expected the bank's word first")
        boxes = _boxes(request_iterator)
        return self._sessions.count(call, from_wire(first.returned), boxes)

    @serves(Role.BANK)
    def CommitPsiResult(  # noqa: N802
        self, request: psi_pb2.CommitPsiResultRequest, call: Call
    ) -> psi_pb2.CommitPsiResultResponse:
        """Keep a bank's commitment to what it learned."""
        self._sessions.commit_result(call.caller, from_wire(request.result))
        return psi_pb2.CommitPsiResultResponse()

    @streams(Role.AUDITOR)
    def FetchPoints(  # noqa: N802
        self, request: psi_pb2.FetchPointsRequest, call: Call
    ) -> Iterator[psi_pb2.FetchPointsResponse]:
        """Stream what a session was made of."""
        points = self._sessions.made_of(request.session, evaluated=request.evaluated)
        for piece in pieces(points):
            call.check_alive()
            yield psi_pb2.FetchPointsResponse(points=piece)


class PsiEvaluationService(psi_evaluation_pb2_grpc.PsiEvaluationServiceServicer):
    """Serves the house, nobody else."""

    def __init__(self, desk: Desk, authority: PsiAuthority) -> None:
        self.desk = desk
        self._authority = authority

    @serves(Role.HOUSE)
    def AdmitList(  # noqa: N802
        self, request: psi_evaluation_pb2.AdmitListRequest, _call: Call
    ) -> psi_evaluation_pb2.AdmitListResponse:
        """Take a new version of a list."""
        self._authority.admit_list(from_wire(request.manifest), request.box)
        return psi_evaluation_pb2.AdmitListResponse()

    @serves(Role.HOUSE)
    def PermitSession(  # noqa: N802
        self, request: psi_evaluation_pb2.PermitSessionRequest, call: Call
    ) -> psi_evaluation_pb2.PermitSessionResponse:
        """Decide a session."""
        call.check_alive()
        return self._authority.permit(request)

    @serves(Role.HOUSE)
    def EvaluatePoints(  # noqa: N802
        self, request: psi_evaluation_pb2.EvaluatePointsRequest, call: Call
    ) -> psi_evaluation_pb2.EvaluatePointsResponse:
        """Multiply one piece of a permitted session's points."""
        call.check_alive()
        return self._authority.evaluate(request)

    @serves(Role.HOUSE)
    def FinishSession(  # noqa: N802
        self, request: psi_evaluation_pb2.FinishSessionRequest, _call: Call
    ) -> psi_evaluation_pb2.FinishSessionResponse:
        """Say what was multiplied."""
        return self._authority.finish(request.session)

    @serves(Role.HOUSE)
    def CountSession(  # noqa: N802
        self,
        request_iterator: Iterator[psi_evaluation_pb2.CountSessionRequest],
        _call: Call,
    ) -> psi_evaluation_pb2.CountSessionResponse:
        """Count what two sets have in common."""
        return self._authority.count(request_iterator)


def _boxes(stream: Iterator[psi_pb2.ReturnPointsRequest]) -> Iterator[bytes]:
    for piece in stream:
        if piece.WhichOneof("piece") != "box":
            raise FormatError("expected sealed points after the bank's word")
        yield piece.box
