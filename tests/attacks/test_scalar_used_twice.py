"""A scalar serves twice, and who sees both sessions sees what stayed the same.

With one b a house sees which customers a bank still has, with one t a bank sees which
entries it did not match are still on the list, with one s a house sees which entries
stayed from one version to the next.  None of that is asked for by anybody.
"""

import secrets
from pathlib import Path

import pytest

from protocols import psi, ristretto
from protocols.psi import Source
from protocols.ristretto import each, multiply_all
from tests.lists import Lists, audit, ids
from tests.simulator import World

FIRST = [bytes([n]) * 32 for n in range(8)]
SECOND = FIRST[:5]  # five stayed


def common(one: bytes, other: bytes) -> int:
    """Count what two sets of points have in common."""
    return len(set(each(one)) & set(each(other)))


def test_it_would_show() -> None:
    """The attack works on points: equal scalars, equal points."""
    source, b = Source("subsidy", 1), ristretto.scalar(secrets.token_bytes(64))
    one, other = (psi.blind(source.points(who), b).points for who in (FIRST, SECOND))
    assert common(one, other) == 5


def test_another_version_would_not() -> None:
    """Even under one scalar: name and version are in every point."""
    s = ristretto.scalar(secrets.token_bytes(64))
    versions = [
        multiply_all(s, Source(name, version).points(FIRST))
        for name, version in (("subsidy", 1), ("subsidy", 2), ("farmers", 1))
    ]
    assert common(versions[0], versions[1]) == common(versions[0], versions[2]) == 0


def test_no_scalar_serves_twice(tmp_path: Path) -> None:
    """Two versions, three sessions each: no point is ever seen again, by anybody."""
    with World(tmp_path) as world:
        lists = Lists(world)
        seen: list[bytes] = []
        for version in (1, 2):
            manifest = lists.push(ids(*range(8))).manifest
            seen += lists.psi_house.lists.read(manifest)
            if version == 1:
                lists.contract(sessions=4)
                lists.contract("cardinality", sessions=4)
            with lists.bank() as bank:
                for mode in ("intersection", "cardinality"):
                    found = bank.intersect(f"subsidy-{mode}", ids(*range(4, 12)))
                    seen += points_of(lists, found.session)
    everything = [point for part in seen for point in each(part)]
    assert len(everything) > 100
    assert len(everything) == len(set(everything))


def points_of(lists: Lists, session: bytes) -> list[bytes]:
    """Read what the house has of a session: the bank's, the authority's, its own."""
    folder = lists.psi_house._files._folder
    return [
        path.read_bytes()
        for kind in ("q", "e", "z", "y")
        for path in [folder / f"{session.hex()}.{kind}"]
    ]


def test_a_broken_house_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A seed that served before is told by the replay of decisions."""
    with World(tmp_path) as world:
        lists = Lists(world)
        lists.push(ids(*range(3)))
        lists.contract()
        seed = lists.house.seeds.take()
        monkeypatch.setattr(lists.house.seeds, "take", lambda: seed)
        with lists.bank() as bank:
            bank.intersect("subsidy-intersection", ids(1))
            bank.intersect("subsidy-intersection", ids(2))
        (told,) = audit(lists)
    assert "was drawn before" in told
