"""Crime: the house hands on another share of a claim, or shifts by another one.

With a share of its own making it would move the window, and so the answer; a share of
an earlier request would open under the old claim.
"""

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest

from contracts.decide import Reason
from node.errors import Denied, Refused
from protocols import sharing
from protocols.sharing import HouseShare, Private
from tests.hostile import EvilHouse, Question, reasons, send_claim
from tests.simulator import World
from tests.turnover import Town


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Run a town."""
    with World(tmp_path_factory.mktemp("shares")) as world:
        yield Town(world, [1_234_500] * 11)


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    """Count victims."""
    return iter(range(11))


@pytest.fixture
def asked(town: Town, numbers: Iterator[int]) -> Question:
    """Sign a claim about a subject that nobody has asked about."""
    subject = town.ids[next(numbers)]
    town.consent(subject)
    return town.claim(subject, 1_234_500)


def with_box(asked: Question, box: bytes) -> Question:
    """Exchange the sealed share."""
    assert asked.private is not None
    return replace(asked, private=Private(asked.private.share, box))


@pytest.mark.parametrize("crime", ["another", "none", "zeros"])
def test_another_sealed_share_is_refused(
    town: Town, asked: Question, crime: str
) -> None:
    """The bank has signed the hash of the one it made."""
    evil, key = EvilHouse(town), town.world.domain.authority.hpke[0]
    request = asked.request
    forged = sharing.seal(key, 5, request.jti, request.contract)
    box = {"another": forged, "none": b"", "zeros": bytes(len(forged))}[crime]
    other = with_box(asked, box)
    refusal = evil.refused(other, evil.compute(other))
    assert reasons(town.authority, refusal) == [Reason.TICKET_INVALID]


def test_a_share_of_another_request_is_refused(town: Town, asked: Question) -> None:
    """Signed by the bank or not, it is sealed for one jti and one contract."""
    evil = EvilHouse(town)
    subject = next(name for name in town.ids if f"c-{name}" == asked.request.consent)
    other = town.claim(subject, 5)
    assert other.private is not None
    moved = with_box(asked, other.private.box)
    refusal = evil.refused(moved, evil.compute(moved))
    assert reasons(town.authority, refusal) == [Reason.TICKET_INVALID]
    shared = other.request.shared
    same_box = town.claim(subject, 5, shared=shared)
    same_box = with_box(same_box, other.private.box)
    refusal = evil.refused(same_box, evil.compute(same_box))
    assert reasons(town.authority, refusal) == [Reason.TICKET_INVALID]


def test_a_share_that_is_not_sealed_to_the_authority_is_refused(
    town: Town, asked: Question
) -> None:
    """The bank's own mistake: it is told, and nothing is decrypted."""
    evil = EvilHouse(town)
    bank_key = town.world.domain.party("jnrcb").hpke[0]
    request = asked.request
    box = sharing.seal(bank_key, 5, request.jti, request.contract)
    assert request.shared is not None
    assert asked.private is not None
    subject = next(name for name in town.ids if f"c-{name}" == request.consent)
    named = replace(request.shared, authority=sharing.box_digest(box))
    own = town.claim(subject, 1, shared=named, jti=request.jti)
    own = replace(own, private=Private(asked.private.share, box))
    refusal = evil.refused(own, evil.compute(own))
    assert reasons(town.authority, refusal) == [Reason.TICKET_INVALID]


def test_a_score_with_a_share_is_refused(town: Town, asked: Question) -> None:
    """Nothing may shift a total whose contract says nothing of it."""
    evil = EvilHouse(town)
    assert asked.private is not None
    plain = town.claim(
        next(name for name in town.ids if f"c-{name}" == asked.request.consent),
        1,
        shared=None,
    )
    smuggled = replace(
        plain, private=Private(HouseShare(bytes(32), 0), asked.private.box)
    )
    refusal = evil.refused(smuggled, evil.compute(smuggled))
    assert Reason.TICKET_INVALID in reasons(town.authority, refusal)


def test_the_house_checks_its_share(town: Town, asked: Question) -> None:
    """A bank that commits to one share and sends another is told so; nothing runs."""
    assert asked.private is not None
    share = HouseShare(secrets.token_bytes(32), 5)
    before = town.house.ledger.head.size
    with town.bank() as bank:
        wrong = replace(asked, private=Private(share, asked.private.box))
        with pytest.raises(Refused, match="the share is not the one that the request"):
            send_claim(bank, wrong)
        with pytest.raises(Refused, match="the sealed share is not the one"):
            send_claim(bank, with_box(asked, asked.private.box[:-1] + b"\x00"))
        assert town.house.ledger.head.size == before
        assert send_claim(bank, asked).answer.box


def test_the_house_takes_a_claim_through_its_own_method_only(
    town: Town, asked: Question
) -> None:
    """A request of another kind is refused by name; terms hold as for a score."""
    subject = next(name for name in town.ids if f"c-{name}" == asked.request.consent)
    with town.bank() as bank:
        with pytest.raises(Refused, match="a request for `range`, expected `verify`"):
            send_claim(bank, town.claim(subject, 1, kind="range"))
        foreign = town.claim(subject, 1, purpose="loan-approval")
        with pytest.raises(Denied) as caught:
            send_claim(bank, foreign)
        assert caught.value.reason == "PURPOSE_MISMATCH"
