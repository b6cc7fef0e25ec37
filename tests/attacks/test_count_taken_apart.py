"""A bank that may count tries to find out who was counted.

Where the replies are only shuffled, a bank that blinds each customer with a scalar of
its own tries each of them on each reply, and has the order again.  Here it never holds
the replies: it can send what it likes, and gets one number.
"""

import secrets
from collections.abc import Iterator

import pytest

from protocols import psi, ristretto
from protocols.psi import Asked, Source
from protocols.ristretto import each, multiply_all
from tests.lists import Lists, ids
from tests.simulator import World

SOURCE = Source("subsidy", 1)
LISTED = [bytes([n]) * 32 for n in (1, 4, 6)]
CUSTOMERS = [bytes([n]) * 32 for n in range(8)]


def fresh() -> bytes:
    """Draw a scalar."""
    return ristretto.scalar(secrets.token_bytes(64))


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lists]:
    """Run house and authority, with one list and its contract."""
    with World(tmp_path_factory.mktemp("apart")) as world:
        made = Lists(world)
        made.push(ids(1, 4, 6))
        made.contract("cardinality", sessions=4)
        yield made


def test_shuffled_replies_are_put_in_order_again() -> None:
    """The attack, where it works: a scalar for each customer, shuffled replies."""
    s, t = fresh(), fresh()
    served = set(each(multiply_all(t, multiply_all(s, SOURCE.points(LISTED)))))
    scalars = [fresh() for _ in CUSTOMERS]
    asked = [
        multiply_all(b, SOURCE.points([one]))
        for b, one in zip(scalars, CUSTOMERS, strict=True)
    ]
    replies = multiply_all(t, multiply_all(s, ristretto.ascending(asked)))
    shuffled = list(each(ristretto.ascending(replies)))
    found = {
        number
        for number, b in enumerate(scalars)
        for reply in shuffled
        if multiply_all(ristretto.invert(b), reply) in served
    }
    assert found == {1, 4, 6}


def test_a_scalar_for_each_customer(
    lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes back is one number, over those whose scalar it used on the list."""
    real = psi.arrange

    def blind_each(points: bytes, scalar: bytes) -> Asked:
        """Blind all but one with other scalars."""
        apart = [multiply_all(fresh(), point) for point in each(points)]
        apart[1] = list(each(points))[1]
        return real(b"".join(apart), scalar)

    with lists.bank() as bank:
        honest = bank.intersect("subsidy-cardinality", ids(*range(8)))
        monkeypatch.setattr("node.psi_client.psi.arrange", blind_each)
        monkeypatch.setattr("node.psi_client.secrets.randbelow", lambda _: 0)
        bent = bank.intersect("subsidy-cardinality", ids(*range(8)))
    assert (honest.count, honest.subjects) == (3, ())
    # One customer is asked about in place of eight: a session buys one answer.
    assert (bent.count, bent.subjects) == (1, ())


def test_nothing_of_the_banks_side_leaves_the_nodes(lists: Lists) -> None:
    """On the wire to the bank are points of the list only."""
    with lists.bank() as bank:
        kept: list[bytes] = []
        fetch = bank._fetch

        def watched(*args: object, **how: object) -> bytes:
            assert how == {"served": True}
            points = fetch(*args, **how)  # type: ignore[arg-type]
            kept.append(points)
            return points

        bank._fetch = watched  # type: ignore[method-assign]
        found = bank.intersect("subsidy-cardinality", ids(*range(8)))
    (served,) = kept
    house = lists.psi_house._files.points(found.session, "u", 11).all()
    assert set(each(served)).isdisjoint(each(house))


def test_the_authority_sees_a_blurred_number(
    lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the true number, each that it may see comes as often as any other."""
    seen: list[int] = []
    tell = lists.psi_authority._tell

    def watched(*args: object) -> object:
        seen.append(args[3])  # type: ignore[arg-type]
        return tell(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(lists.psi_authority, "_tell", watched)
    monkeypatch.setattr("node.psi_house.psi_store.count", lambda *_: 0)
    monkeypatch.setattr("node.psi_authority._count", lambda *_: 0)
    drawn = iter(range(4))
    monkeypatch.setattr("node.psi_client.secrets.randbelow", lambda _: next(drawn))
    with lists.bank() as bank:
        told = [
            bank.intersect("subsidy-cardinality", ids(*range(8))).count
            for _ in range(4)
        ]
    assert told == [3, 3, 3, 3]
    assert seen == [3, 4, 5, 6]  # 3 and a number of 0 to 3, the length of the list
