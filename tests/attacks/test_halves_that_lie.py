"""Crime: a bank's halves are not what it signed, or not what it opens the answer with.

Whatever two halves it sends, they are halves of some number; so a bank gains only if
house, authority and itself use different ones.  It may commit to one half and send
another; seal one that it cannot account for later; or, with its one answer in hand,
try every other half on it, as if it had asked with another number: 512 numbers for one
call.
"""

import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from contracts.decide import Reason
from node.client import BankClient
from node.errors import Denied, Refused
from protocols import sharing
from protocols.call import Shared
from protocols.drbg import Drbg
from protocols.lookup import FlatGate, Gate
from protocols.sharing import HouseShare, Private, box_digest
from protocols.split import SplitGate
from tests.hostile import EvilHouse, Question, kinds, reasons
from tests.joint_town import MODEL_HASH, JointTown
from tests.simulator import World
from tests.test_range_lock import card_of

CARD = card_of(9, 50, (60, 61, 150))
LEAST, LARGEST = 0, 200  # totals of the custodians' columns
HALVES = 1 << CARD.m
FIRST = 7  # the house's half


def tried(gate: Gate, total: int, number: int) -> list[int]:
    """Ask once; open the answer with every half that the authority could have had."""
    rho, rest = np.array([[20, 0, 1]]), (number - FIRST) % HALVES
    u = (np.array([[2 * (total + number), 1, 1]]) + rho) % [2 * HALVES, 64, 64]
    drbg = Drbg(f"{gate.name} {total} {number}".encode().ljust(32))
    tables, pads = gate.build(rho, (0,), drbg, (FIRST,))
    rows = gate.pick(u, tables, (rest,))
    return [int(gate.open(u, rows, pads, (0,), (half,))[0]) for half in range(HALVES)]


def noise(codes: list[int]) -> Counter[int]:
    """Return how often each grade is read, where four of 256 bytes are grades."""
    grades = Counter(code for code in codes if code >= 0)
    assert grades.total() < 24  # 8 of 512, give or take 3
    assert max(grades.values()) < 12
    return grades


@pytest.mark.parametrize("kind", [FlatGate, SplitGate])
@pytest.mark.parametrize("total", [LEAST, LARGEST])
def test_ours_opens_with_the_half_that_was_sealed_only(
    kind: type[Gate], total: int
) -> None:
    """511 others read as noise: no answer to another number is in one answer."""
    codes = tried(kind(CARD), total, 50)
    grade = codes.pop((50 - FIRST) % HALVES)
    assert grade == CARD.code_of([total, 0, 0, 1], 50)
    noise(codes)


@pytest.mark.parametrize("kind", [FlatGate, SplitGate])
def test_ours_opens_with_no_half_what_was_asked_beyond_the_range(
    kind: type[Gate],
) -> None:
    """Not with one of a number within it either."""
    for total in (LEAST, LARGEST):
        noise(tried(kind(CARD), total, 51))


# -- at the nodes


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JointTown]:
    """Run a town."""
    with World(tmp_path_factory.mktemp("halves")) as world:
        yield JointTown(world, 6)


@pytest.fixture(scope="module")
def bank(town: JointTown) -> Iterator[BankClient]:
    """Open the bank's SDK."""
    with town.bank() as opened:
        yield opened


_victims = count()


@pytest.fixture
def victim(town: JointTown) -> str:
    """Name a subject that consented, and that nobody has asked about."""
    subject = town.ids[next(_victims)]
    town.consent(subject)
    return subject


def with_halves(asked: Question, share: HouseShare, box: bytes) -> Question:
    """Exchange what is sent; the request stays."""
    return replace(asked, private=Private(share, box))


def test_ours_takes_no_half_but_the_one_committed_to(
    town: JointTown, bank: BankClient, victim: str
) -> None:
    """The house checks both against the signed request, and nothing is journalled."""
    asked = town.joint(victim, 60)
    assert asked.private is not None
    share, box = asked.private.share, asked.private.box
    salt = secrets.token_bytes(32)
    before = town.house.ledger.head.size
    for lie in (
        HouseShare(share.salt, share.value ^ 1),
        HouseShare(salt, share.value),
    ):
        with pytest.raises(Refused, match="the share is not the one that the request"):
            town.send(bank, with_halves(asked, lie, box))
    for sealed in (box[:-1] + bytes([box[-1] ^ 1]), box[1:], b""):
        with pytest.raises(Refused, match="the sealed share is not the one"):
            town.send(bank, with_halves(asked, share, sealed))
    assert town.house.ledger.head.size == before
    assert town.send(bank, asked).answer.box


@pytest.mark.parametrize("crime", ["for another request", "for another contract"])
def test_ours_opens_no_half_that_was_sealed_for_another_call(
    town: JointTown, bank: BankClient, victim: str, crime: str
) -> None:
    """A bank that signs for an old box is told so, after the house took it."""
    old = town.joint(victim, 149)
    if crime == "for another contract":
        old = town.joint(victim, 149, contract=town.fine)
    assert old.private is not None
    share = HouseShare(secrets.token_bytes(32), 5)
    named = Shared(share.commitment(), box_digest(old.private.box), MODEL_HASH)
    jti = (
        old.request.jti if crime == "for another contract" else secrets.token_bytes(16)
    )
    replayed = town.joint(victim, 1, shared=named, jti=jti)
    replayed = with_halves(replayed, share, old.private.box)
    with pytest.raises(Denied) as caught:
        town.send(bank, replayed)
    assert reasons(town.authority, caught.value) == [Reason.TICKET_INVALID]
    assert "call.permit" not in kinds(town.authority, replayed.call)


def test_a_house_that_hands_on_another_half_is_refused(
    town: JointTown, victim: str
) -> None:
    """Its own, or that of an earlier call about the same subject."""
    evil, key = EvilHouse(town), town.world.domain.authority.hpke[0]
    earlier = town.joint(victim, 149).private
    assert earlier is not None
    for crime in ("its own", "an earlier one", "zeros", "none"):
        asked = town.joint(victim, 60)
        assert asked.private is not None
        forged = sharing.seal(key, 5, asked.request.jti, asked.request.contract)
        box = {"its own": forged, "an earlier one": earlier.box, "none": b""}.get(
            crime, bytes(len(forged))
        )
        other = with_halves(asked, asked.private.share, box)
        refusal = evil.refused(other, evil.compute(other))
        assert reasons(town.authority, refusal) == [Reason.TICKET_INVALID]


def test_a_joint_score_sent_again_is_the_same_call(
    town: JointTown, bank: BankClient, victim: str
) -> None:
    """The same halves under the same name are answered once, and counted once."""
    asked = town.joint(victim, 60)
    first, again = (town.send(bank, asked).answer for _ in range(2))
    assert (first.box, first.ticket) == (again.box, again.ticket)
    assert kinds(town.authority, asked.call) == ["call.permit", "call.done"]
