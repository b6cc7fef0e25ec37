"""Seeds: one auditor alone learns nothing, and no share stands for another.

An opened seed takes the mask off what the authority decrypts, for a whole block of
people.  So it takes two auditors, and what they put together must be the seed that
the house committed to before anybody was asked.
"""

import secrets
from dataclasses import replace

import pytest

from contracts.transcript import Case, Share, Transcripts, combine
from node import calls
from node.domain import Role
from node.errors import NotFound, ReplyRefused
from node.house import House
from node.keys import AuditorKeys
from node.seeds import split
from node.transcript import find_cases, sample
from protocols import hpke
from protocols.call import seed_commitment
from protocols.errors import SealBroken
from tests.audited import Audited


@pytest.fixture
def cases(town: Audited) -> tuple[Case, ...]:
    """Return two calls that were computed."""
    trust = town.world.domain
    return find_cases(town.folder, trust, sample(town.folder, trust, 2, b"seed"))


def test_one_share_says_nothing_of_the_seed(
    town: Audited, cases: tuple[Case, ...]
) -> None:
    """Whatever the seed, some other share completes the one at hand."""
    case, _ = cases
    with town.world.auditor() as alone:
        share = alone.seed_share(case)
    assert seed_commitment(share.share) != case.ticket.seed
    for seed in (bytes(32), secrets.token_bytes(32)):
        other = bytes(a ^ b for a, b in zip(share.share, seed, strict=True))
        assert combine([share, Share("auditor-b", case.call, other)]) == seed


def test_shares_of_one_seed_are_drawn_anew(town: Audited) -> None:
    """The house's share for an auditor depends on fresh bytes, not on the seed."""
    auditors = town.world.domain.of_role(Role.AUDITOR)
    seed, held = bytes(32), town.world.keys("auditor-a", AuditorKeys)
    shares = {
        hpke.unseal(held.hpke, seed_commitment(seed), split(seed, auditors)[0][1])
        for _ in range(8)
    }
    assert len(shares) == 8


def test_an_auditor_cannot_open_the_others_share(
    town: Audited, cases: tuple[Case, ...]
) -> None:
    """Not with the house's disk at hand; and the house hands out one's own only."""
    case, _ = cases
    held = town.world.keys("auditor-a", AuditorKeys)
    with town.german.house.ledger.reader() as db:
        box = calls.seed_share(db, case.call, "auditor-b")
    with pytest.raises(SealBroken):
        hpke.unseal(held.hpke, case.ticket.seed, box)
    party = town.world.domain.party("auditor-a")
    own = House.seed_share(town.german.house, party, case.call)
    assert own != box
    with pytest.raises(NotFound):
        House.seed_share(town.german.house, town.world.domain.party("jnrcb"), case.call)


def test_a_share_of_another_call(town: Audited, cases: tuple[Case, ...]) -> None:
    """It does not open under this call's commitment, so it is never combined."""
    first, second = cases
    with (
        town.world.auditor() as auditor,
        pytest.raises(ReplyRefused, match="does not open"),
    ):
        auditor.seed_share(replace(first, call=second.call))


def test_a_swapped_share(town: Audited, cases: tuple[Case, ...]) -> None:
    """An auditor who hands over something else is found by the commitment."""
    first, second = cases
    with town.world.auditor() as one, town.world.auditor("auditor-b") as two:
        mine, theirs = one.seed_share(first), two.seed_share(first)
        swapped = replace(two.seed_share(second), call=first.call)
        blocks = one.blocks(first)
    transcripts = Transcripts(town.world.domain.paillier)
    told = "the shares do not make the seed that the ticket commits to"
    assert transcripts.replay(first, [mine, theirs], blocks).identical
    for other in (swapped, replace(theirs, share=bytes(32))):
        found = transcripts.replay(first, [mine, other], blocks)
        assert found.differences == (told,)
