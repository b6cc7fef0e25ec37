"""The house has points multiplied that no bank signed, or that nobody permitted.

With the scalar of a list at hand for any point, a house tries identifiers on the points
that it keeps, thirty million in half an hour.
"""

import secrets
from collections.abc import Iterator

import pytest

from node import clock
from node.errors import Denied, DocumentConflict, NotFound, RoleRefused
from node.status import to_wire
from node.wire.v1 import psi_evaluation_pb2, psi_pb2
from protocols import psi, ristretto
from protocols.canon import Tag, digest
from protocols.errors import FormatError
from protocols.psi_call import PsiRequest, PsiReturn, PsiTicket
from protocols.sign import Signed, sign
from tests.lists import BANK, Caller, Lists, ids
from tests.simulator import World

POINTS = ristretto.ascending(
    ristretto.hash_to_point(bytes([n]), b"the guesses of a house") for n in range(3)
)
EVALUATE = psi_evaluation_pb2.EvaluatePointsRequest


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lists]:
    """Run house and authority, with one list and both its contracts."""
    with World(tmp_path_factory.mktemp("unpermitted")) as world:
        made = Lists(world)
        made.push(ids(*range(5)))
        made.contract(sessions=4)
        made.contract("cardinality", sessions=4)
        yield made


def sessions(lists: Lists) -> int:
    """Count what the authority permitted."""
    with lists.authority.ledger.reader() as db:
        rows = db.execute("SELECT count(*) FROM psi_session WHERE permit IS NOT NULL")
        return int(rows.fetchone()[0])


def test_without_a_session(lists: Lists) -> None:
    """No permit, no product; and nothing tells whether the point was one."""
    message = EVALUATE(session=secrets.token_bytes(32), number=0, points=POINTS)
    with pytest.raises(NotFound, match="no such session was permitted"):
        lists.psi_house._authority.evaluate_points(message)  # over the wire


def test_other_points_in_a_permitted_session(lists: Lists) -> None:
    """The bank signed the root; a guess of the house's is not under it."""
    with lists.bank() as bank:
        found = bank.intersect("subsidy-intersection", ids(1, 2, 3))
    for number, points in ((0, POINTS), (1, POINTS)):
        with pytest.raises(FormatError):
            lists.psi_authority.evaluate(
                EVALUATE(session=found.session, number=number, points=points)
            )


def test_a_request_that_the_house_signed(lists: Lists) -> None:
    """The house is no bank, whatever key it uses: denied, and journalled."""
    before = sessions(lists)
    for key in (
        lists.world.composed.keys["house"].ticket,
        lists.world.composed.keys["lsbank"].sign,
    ):
        request = made(lists)
        signed = sign(Tag.PSI_REQUEST, request.to_bytes(), key)
        with pytest.raises(Denied) as caught:
            permit(lists, signed, request)
        assert caught.value.reason == "SIGNATURE_INVALID"
    assert sessions(lists) == before


def test_a_request_that_is_not_in_the_journal(lists: Lists) -> None:
    """What the house did not journal the authority does not permit."""
    before = sessions(lists)
    request = made(lists)
    key = lists.world.composed.keys[BANK].sign
    signed = sign(Tag.PSI_REQUEST, request.to_bytes(), key)
    with pytest.raises(Denied) as caught:
        permit(lists, signed, request)
    assert caught.value.reason == "INTENT_UNPROVEN"
    assert sessions(lists) == before


def test_a_request_for_a_score(lists: Lists) -> None:
    """A contract of another kind permits no session."""
    request = made(lists, contract=bytes(32))
    key = lists.world.composed.keys[BANK].sign
    signed = sign(Tag.PSI_REQUEST, request.to_bytes(), key)
    with pytest.raises(Denied) as caught:
        lists.psi_house.open(Caller(lists.world.domain.party(BANK)), signed)
    assert caught.value.reason == "CONTRACT_UNKNOWN"


def test_a_bank_of_another_bank(lists: Lists) -> None:
    """Whose session it is not does not see it, nor run it."""
    with lists.bank() as bank:
        found = bank.intersect("subsidy-intersection", ids(1))
    other = Caller(lists.world.domain.party("lsbank"))
    with pytest.raises(NotFound, match="no such session of this bank"):
        list(lists.psi_house.run(other, found.session))


def test_the_other_side_of_a_count(lists: Lists) -> None:
    """A bank that gets its own replies in a count would find out whose they are."""
    with lists.bank() as bank:
        found = bank.intersect("subsidy-cardinality", ids(1, 2))
    request = psi_pb2.FetchRepliesRequest(session=found.session, served=False)
    bank_ = Caller(lists.world.domain.party(BANK))
    with pytest.raises(RoleRefused, match="the list's side only"):
        list(lists.psi_house.fetch(bank_, request))


def test_a_count_of_an_intersection(lists: Lists) -> None:
    """The authority compares no sets but those of a count."""
    with lists.bank() as bank:
        found = bank.intersect("subsidy-intersection", ids(1, 2))
    with lists.authority.ledger.reader() as db:
        ticket = db.execute(
            "SELECT ticket FROM psi_session WHERE request = ?", (found.session,)
        ).fetchone()[0]
    returned = PsiReturn(ticket, 5, psi.root([]))
    key = lists.world.composed.keys[BANK].sign
    signed = sign(Tag.PSI_RETURN, returned.to_bytes(), key)
    pieces = [psi_evaluation_pb2.CountSessionRequest(returned=to_wire(signed))]
    with pytest.raises(DocumentConflict, match="no count"):
        lists.psi_authority.count(iter(pieces))


def made(lists: Lists, contract: bytes = b"") -> PsiRequest:
    """Ask about the guesses of a house."""
    with lists.bank() as bank:
        manifest = bank.newest("subsidy")
        compiled = bank.contract("subsidy-intersection")
    return PsiRequest(
        contract or compiled.hash,
        manifest.hash,
        "pre-approval",
        secrets.token_bytes(16),
        clock.now_ms(),
        BANK,
        3,
        psi.root([POINTS]),
    )


def permit(lists: Lists, signed: Signed, request: PsiRequest) -> None:
    """Ask for a permit as the house, with an entry of another session for an intent."""
    house = lists.house
    ticket = PsiTicket(
        digest(Tag.PSI_REQUEST, signed.payload),
        request.contract,
        request.list,
        secrets.token_bytes(32),
        clock.now_ms(),
    )
    key = lists.world.composed.keys["house"].ticket
    message = sign(Tag.PSI_TICKET, ticket.to_bytes(), key)
    house.consultation.consult(
        house.ledger.head.size - 1,
        lambda intent, links: lists.psi_authority.permit(
            psi_evaluation_pb2.PermitSessionRequest(
                request=to_wire(signed),
                ticket=to_wire(message),
                leaves=psi.leaf(POINTS),
                intent=intent,
                links=links,
            )
        ),
    )
