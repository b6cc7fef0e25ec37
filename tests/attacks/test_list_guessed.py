"""Somebody who holds the pepper tries identifiers on a list, by the thousand.

A county has thirty million; a reference is one HMAC.  What each party lacks is in
`protocols.psi`; here each tries with all that it has.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from contracts.subject import SubjectType, canonical_id, subject_ref
from node.errors import Denied
from node.keys import AuthorityKeys
from protocols import psi, ristretto
from protocols.psi import Asked, Source
from protocols.psi_call import unseal_list
from protocols.ristretto import each, multiply_all
from tests.lists import BANK, Lists, ids
from tests.simulator import World

MEMBERS, CUSTOMERS = ids(*range(20)), ids(*range(10, 30))
COUNTY = ids(*range(60))  # whoever may be on it
SOURCE = Source("subsidy", 1)


@dataclass
class Drawn:
    """What each party drew for itself."""

    s: bytes = b""
    b: bytes = b""
    t: list[bytes] = field(default_factory=list)


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    """Keep what is drawn in the session."""
    return Drawn()


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory, drawn: Drawn) -> Iterator[Lists]:
    """Run a session, and leave everybody with what it has of it."""
    real, blind = psi.house_scalar, psi.arrange

    def house_scalar(seed: bytes) -> bytes:
        drawn.t.append(real(seed))
        return drawn.t[-1]

    def arrange(points: bytes, scalar: bytes) -> Asked:
        drawn.b = scalar
        return blind(points, scalar)

    with (
        World(tmp_path_factory.mktemp("guessed")) as world,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(psi, "house_scalar", house_scalar)
        patch.setattr(psi, "arrange", arrange)
        made = Lists(world)
        manifest = made.push(MEMBERS).manifest
        made.contract(most=20, sessions=2)
        with made.bank() as bank:
            found = bank.intersect("subsidy-intersection", CUSTOMERS)
        assert found.count == 10
        with made.authority.ledger.reader() as db:
            ((box,),) = db.execute("SELECT box FROM psi_list")
        held_by = world.keys("authority", AuthorityKeys)
        drawn.s = unseal_list(held_by.hpke, manifest, box).scalar
        yield made


def guesses(lists: Lists) -> bytes:
    """Make the points of everybody in the county: all parties are given the pepper."""
    pepper = lists.world.composed.keys[BANK].pepper
    kind = SubjectType.OPAQUE
    refs = [subject_ref(pepper, kind, canonical_id(kind, one)) for one in COUNTY]
    return SOURCE.points(refs)


def held(lists: Lists) -> dict[str, bytes]:
    """Take every point off the house's disk, and its t out of its memory."""
    folder = lists.world.folder / "house/data"
    found = {
        path.suffix: path.read_bytes()
        for path in [*folder.glob("psi/*"), *folder.glob("lists/*")]
    }
    assert set(found) == {".q", ".e", ".z", ".y", ".points"}
    return found


def multiples(points: bytes, scalars: list[bytes]) -> set[bytes]:
    """Multiply points by scalars, their inverses, and products of two of them."""
    factors = [*scalars, *map(ristretto.invert, scalars)]
    once = b"".join(multiply_all(factor, points) for factor in factors)
    twice = b"".join(multiply_all(factor, once) for factor in factors)
    return set(each(points + once + twice))


def test_the_house_alone(lists: Lists, drawn: Drawn) -> None:
    """With all its points and its t: no guess, however multiplied, is one of them."""
    everything = {point for data in held(lists).values() for point in each(data)}
    assert everything.isdisjoint(multiples(guesses(lists), drawn.t))
    # With the authority's half it would read the list: the guesses are the right ones.
    assert everything & multiples(guesses(lists), [drawn.s])


def test_the_authority_alone(lists: Lists, drawn: Drawn) -> None:
    """It has s, and nothing to compare with: not one point of a list is on its disk."""
    with lists.bank() as bank:
        manifest = bank.newest("subsidy")
    entries, _ = lists.psi_house.lists.read(manifest)
    found = set(each(multiply_all(drawn.s, guesses(lists))))
    assert len(found & set(each(entries))) == len(MEMBERS)  # with the house's half
    data = b"".join(lists.world.disk("authority").values())
    for point in [*found, *each(entries)]:
        assert point not in data
        assert point.hex().encode() not in data


def test_the_bank_alone(lists: Lists, drawn: Drawn) -> None:
    """With its b it reads whom it asked about, and of nobody else anything."""
    have, points = held(lists), list(each(guesses(lists)))
    served = set(each(have[".y"]))
    opened = set(each(multiply_all(ristretto.invert(drawn.b), have[".z"])))
    assert len(served) == len(MEMBERS)
    assert len(served & opened) == 10
    others = b"".join(points[:10] + points[30:])  # not among its customers
    assert (served | opened).isdisjoint(multiples(others, [drawn.b]))


def test_more_than_the_cap(lists: Lists) -> None:
    """A list padded with the county is refused before a point is multiplied."""
    with lists.bank() as bank, pytest.raises(Denied) as caught:
        bank.intersect("subsidy-intersection", COUNTY)
    assert caught.value.reason == "TOO_MANY"


def test_cap_times_quota_is_all_there_is(lists: Lists) -> None:
    """Session after session: two of twenty, of sixty, and then none for 90 days."""
    read: set[str] = set()
    with lists.bank() as bank:
        read |= set(bank.intersect("subsidy-intersection", COUNTY[:20]).subjects)
        with pytest.raises(Denied) as caught:
            bank.intersect("subsidy-intersection", COUNTY[20:40])
    assert caught.value.reason == "SESSIONS_SPENT"
    assert read == set(MEMBERS)
