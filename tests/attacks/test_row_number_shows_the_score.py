"""The authority keeps every row number it sees, and looks for the score in them.

Over whole calls, through every step and both nodes: what it decrypts is uniform,
given the score, in every bit of every field, for whichever subject is asked about.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from contracts.decide import Limits
from node import authority as authority_room
from node import calls
from protocols.lookup import Picked
from tests.german import German
from tests.hostile import question, send
from tests.simulator import World

CALLS = 256
BINS = 16
# Chi-square of 15 degrees of freedom exceeds this once in 10^8.
LIMIT = 68.0


@pytest.fixture
def free(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[German]:
    """Run a trust domain without budgets, whose house never repeats an answer."""
    with World(tmp_path_factory.mktemp("uniform")) as world:
        german = German(world, 11)
        terms = german.authority.registry.terms
        monkeypatch.setattr(
            german.authority.registry,
            "terms",
            lambda *given: replace(terms(*given), limit_millibits=10**12),
        )
        german.authority._limits = Limits(10**12, 10**12)
        monkeypatch.setattr(calls, "answer", lambda *_: None)
        yield german


def test_what_the_authority_sees_is_uniform(
    free: German, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By field: 16 equal bins, the guard bit, and the top bit, for two subjects."""
    seen: list[Picked] = []
    pick = authority_room.authority_pick

    def picking(*given: object) -> Picked:
        seen.append(pick(*given))  # type: ignore[arg-type]
        return seen[-1]

    monkeypatch.setattr(authority_room, "authority_pick", picking)
    by_subject = []
    with free.bank() as bank:
        for subject in free.ids[:2]:
            free.grant(subject)
            for _ in range(CALLS):
                send(bank, question(free, subject))
            by_subject.append(np.array([picked.u[0] for picked in seen]))
            seen.clear()
    for u in by_subject:
        assert len(u) == CALLS
        for i, field in enumerate(free.contract.card.fields):
            bins = np.bincount(u[:, i] * BINS // field.rows, minlength=BINS)
            chi = float(((bins - CALLS / BINS) ** 2).sum() / (CALLS / BINS))
            assert chi < LIMIT, (i, bins)
            for bit in (0, field.bits - 1):
                ones = int((u[:, i] >> bit & 1).sum())
                assert abs(ones - CALLS / 2) < 6 * (CALLS / 4) ** 0.5, (i, bit)
        assert len({tuple(row) for row in u.tolist()}) == CALLS
