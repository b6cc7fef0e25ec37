"""Somebody sends the identity, a second name of a point, or half a point.

The identity times any scalar is the identity: who is answered so learns that a scalar
was used, and all such points match each other.  A point of small order would show a
scalar modulo 8; ristretto255 has none, if only canonical encodings pass.  A second name
of one point would be counted as another.
"""

import secrets
from collections.abc import Iterator

import pytest

from node import clock
from node.denial import to_store
from node.errors import NodeError
from node.psi_house import Sessions
from node.wire.v1 import psi_evaluation_pb2, psi_pb2
from protocols import psi, ristretto
from protocols.canon import Tag, digest
from protocols.errors import PointInvalid, ProtocolError
from protocols.psi_call import PsiRequest
from protocols.sign import sign
from tests.lists import BANK, Caller, Lists, ids
from tests.simulator import World

GOOD = ristretto.hash_to_point(b"somebody", b"the attacks on points")
# Points of order 1, 2 and 4 of the curve below, as X25519 writes them.
SMALL_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]
# Those of order 8: as encodings here, one is none and the other another point.
ORDER_8 = [
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
]
BAD = {
    "identity": bytes(32),
    "top bit": GOOD[:-1] + bytes([GOOD[-1] | 0x80]),
    "half a point": GOOD[:16],
    **{f"small order {n}": bytes.fromhex(text) for n, text in enumerate(SMALL_ORDER)},
}


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lists]:
    """Run house and authority, with one list and its contract."""
    with World(tmp_path_factory.mktemp("points")) as world:
        made = Lists(world)
        made.push(ids(*range(3)))
        made.contract(sessions=4)
        yield made


@pytest.mark.parametrize("crime", BAD)
def test_no_door_lets_them_in(crime: str) -> None:
    """Every party looks at points with this one function before it multiplies."""
    with pytest.raises(PointInvalid):
        ristretto.check_points(GOOD + BAD[crime])


def test_what_comes_in_has_the_groups_order() -> None:
    """Twice -1 is 1; of a point of order 8 it would be the identity."""
    minus = (ristretto.ORDER - 1).to_bytes(32, "little")
    assert (ristretto.ORDER - 1) ** 2 % 8 == 0
    decoded, refused = map(bytes.fromhex, ORDER_8)
    assert ristretto.multiply(minus, ristretto.multiply(minus, decoded)) == decoded
    with pytest.raises(PointInvalid):
        ristretto.multiply(minus, refused)


@pytest.mark.parametrize("crime", BAD)
def test_a_bank_sends_them(lists: Lists, crime: str) -> None:
    """Refused by the house before anything is journalled or multiplied."""
    head = lists.house.ledger.head.size
    _, stub, name = opened(lists, BAD[crime])
    piece = psi_pb2.SendPointsRequest(session=name, number=0, points=BAD[crime])
    with pytest.raises((NodeError, ProtocolError)):
        stub.send(caller(lists), iter([piece]))
    assert lists.house.ledger.head.size == head


@pytest.mark.parametrize("crime", ["identity", "top bit", "small order 2"])
def test_a_house_hands_them_on(lists: Lists, crime: str) -> None:
    """A permitted session over points that a bank signed, and that are none."""
    session = secrets.token_bytes(32)
    authority = lists.psi_authority
    row = psi_evaluation_pb2.EvaluatePointsRequest(
        session=session, number=0, points=BAD[crime]
    )
    request = asked(lists, BAD[crime])
    signed = sign(
        Tag.PSI_REQUEST, request.to_bytes(), lists.world.composed.keys[BANK].sign
    )
    lists.authority.ledger.commit(
        lambda tx: tx.db.execute(
            "INSERT INTO psi_session(request, bank, jti, ticket, list, time_ms, signed,"
            " leaves, permit, dropped) VALUES(?, ?, ?, ?, 'subsidy', ?, ?, ?, 1, x'')",
            (
                session,
                BANK,
                request.jti,
                secrets.token_bytes(32),
                tx.now_ms,
                to_store(signed),
                psi.leaf(BAD[crime]),
            ),
        )
    )
    with pytest.raises(PointInvalid):
        authority.evaluate(row)


def test_a_custodian_pushes_them(lists: Lists) -> None:
    """A list with the identity in it would match a bank that sends it."""
    manifest = lists.push(ids(*range(3))).manifest
    folder = lists.psi_house.lists
    entries, markers = folder.read(manifest)
    for bad in (BAD["identity"], BAD["top bit"]):
        with pytest.raises(PointInvalid):
            folder.keep(manifest, ristretto.ascending(bad + entries[32:]) + markers)


def asked(lists: Lists, points: bytes) -> PsiRequest:
    """Ask about one point, signed as any other."""
    with lists.bank() as bank:
        manifest = bank.newest("subsidy")
        compiled = bank.contract("subsidy-intersection")
    return PsiRequest(
        compiled.hash,
        manifest.hash,
        "pre-approval",
        secrets.token_bytes(16),
        clock.now_ms(),
        BANK,
        1,
        psi.root([points]),
    )


def opened(lists: Lists, points: bytes) -> tuple[PsiRequest, Sessions, bytes]:
    """Open a session whose points are no points."""
    request = asked(lists, points)
    signed = sign(
        Tag.PSI_REQUEST, request.to_bytes(), lists.world.composed.keys[BANK].sign
    )
    lists.psi_house.open(caller(lists), signed)
    return request, lists.psi_house, digest(Tag.PSI_REQUEST, signed.payload)


def caller(lists: Lists) -> Caller:
    """Be the bank at the other end."""
    return Caller(lists.world.domain.party(BANK))
