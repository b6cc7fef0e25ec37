"""Crime: the authority draws its noise once a question, not once a ticket.

It looks safer: nobody averages a noise that is always the same.  But under two masks
the same sum has other carries, and with one noise on both the difference of the two
answers is those carries, bare.  A bank with the house, which knows the masks, compares
the values of single subjects with numbers of its own choice.
"""

import secrets

import numpy as np

from protocols.aggregate import HouseSide, authority_totals, bank_read
from protocols.drbg import Drbg
from tests.sums import Sum, scale_of, scene

CLIP = 1 << 31
SECRET = 1_400_000_000
RUNS = 800


def answers(asked: Sum, theirs: list[bytes]) -> list[int]:
    """Answer with these seeds of the authority's; the house takes its noise off."""
    found = []
    for seed in theirs:
        ours = Drbg(secrets.token_bytes(32))
        house = HouseSide(asked.base, asked.sheaves, 1, (asked.scale,))
        made = house.message(lambda _column, block: asked.stored[block], ours)
        summed = authority_totals(
            asked.key, made.ciphertexts, asked.sheaves, 1, (asked.scale,), Drbg(seed)
        )
        drawn = asked.scale.draw(ours.child("column 0"), "group 0")
        found.append(int(bank_read(summed.totals, made.masks)[0, 0]) - drawn)
    return found


def test_one_noise_for_two_masks_shows_carries() -> None:
    """With a seed a question the differences are carries; with one a ticket, noise."""
    key, base = scene()
    asked = Sum([SECRET, 0, 0, 0], [-1, 0, -1, -1], scale_of(CLIP, 100_000), key, base)
    once = answers(asked, [b"q" * 32] * RUNS)
    differences = {one - once[0] for one in once}
    assert differences <= {-1, 0, 1}
    lowest = min(once)
    read = np.mean([one - lowest for one in once]) * 2**33
    assert abs(read / SECRET - 1) < 0.45

    every = answers(asked, [secrets.token_bytes(32) for _ in range(RUNS)])
    assert len(set(every)) > RUNS - 3  # of numbers as wide as these, two may be equal
    assert np.std(every) > CLIP // 8
