"""Seeds that are drawn ahead: each is handed out once, and its shares open it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from node.domain import Role
from node.errors import ConfigInvalid
from node.initialise import DEFAULT_MEMBERS
from node.keys import AuditorKeys
from node.seeds import READY, Seed, Seeds
from protocols import hpke
from protocols.call import seed_commitment
from tests.simulator import compose

COMPOSED = compose(DEFAULT_MEMBERS, 512)


def test_no_seed_twice() -> None:
    """Eight threads that take hundreds get hundreds of different seeds."""
    seeds = Seeds(COMPOSED.domain)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: seeds.take().seed, range(20 * READY)))
    assert len(set(taken)) == 20 * READY


def test_both_shares_open_a_seed() -> None:
    """Ready or not, the two auditors' shares together are the seed."""
    seeds = Seeds(COMPOSED.domain)
    for _ in range(2 * READY):
        seed = seeds.take()
        shares = []
        for auditor, box in seed.shares:
            keys = COMPOSED.keys[auditor]
            assert isinstance(keys, AuditorKeys)
            shares.append(hpke.unseal(keys.hpke, seed_commitment(seed.seed), box))
        first, second = shares
        assert bytes(a ^ b for a, b in zip(first, second, strict=True)) == seed.seed


def test_a_seed_is_not_shown() -> None:
    """Nor does it get into a log by its repr."""
    assert repr(Seed(b"secret", ())) == "Seed(shares=())"


def test_one_auditor_is_too_few() -> None:
    """A house does not start where one person could open every seed, or none."""
    parties = COMPOSED.domain.parties
    alone = [p for p in parties if p.role is not Role.AUDITOR or p.id == "auditor-a"]
    with pytest.raises(ConfigInvalid, match=r"expected 2 auditors .* got 1"):
        Seeds(replace(COMPOSED.domain, parties=tuple(alone)))
