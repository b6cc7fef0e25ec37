"""Crime: the outcome is readable whether or not a veto applies.

If the veto only travels beside the outcome, a bank that looks past it learns the
grade of somebody the contract refuses to grade.
"""

import numpy as np

from protocols.drbg import Drbg
from protocols.lookup import FlatGate
from protocols.program import Scorecard
from protocols.slots import Ints

SLOTS = tuple(range(40))


def released(card: Scorecard, seed: bytes, *, vetoed: bool) -> tuple[Ints, Ints]:
    """Return the score bytes a bank holds, unpadded, and the locks it has."""
    gate = FlatGate(card)
    score, *groups = card.fields
    rng = np.random.default_rng(seed[0])
    rho = np.stack([rng.integers(0, f.rows, len(SLOTS)) for f in card.fields], axis=1)
    values = np.array([500, int(vetoed), 0])
    rows = np.array([score.rows, *(g.rows for g in groups)])
    u = (2 * values + rho) % rows
    tables, pad_key = gate.build(rho, SLOTS, Drbg(seed))
    stream = np.zeros_like(tables)
    gate._pad(pad_key, stream, SLOTS)
    clear = gate.pick(u, tables) ^ gate.pick(u, stream)
    return clear[:, -1], np.bitwise_xor.reduce(clear[:, 1:-1:2], axis=1)


def test_looking_past_a_veto_shows_noise(card: Scorecard) -> None:
    """4000 vetoed calls: the byte takes all 256 values, the true one no oftener."""
    byte = np.concatenate(
        [
            np.bitwise_xor(*released(card, bytes([i]) * 32, vetoed=True))
            for i in range(100)
        ]
    )
    counts = np.bincount(byte, minlength=256)
    assert counts.min() > 0
    assert counts[card.code_of((0, 50, *[0] * 5, 1))] < 45  # 15.6 expected


def test_without_a_veto_every_lock_is_there(card: Scorecard) -> None:
    """The same bank, the same way: the outcome."""
    byte = np.bitwise_xor(*released(card, bytes(32), vetoed=False))
    assert set(byte.tolist()) == {1}


def test_unlocked_it_would_show(card: Scorecard) -> None:
    """Weakened to no locks, the vetoed byte is the outcome itself."""
    seed = bytes([9]) * 32
    byte, _ = released(card, seed, vetoed=True)
    drawn = np.frombuffer(Drbg(seed).bytes("locks", 80), np.uint8).reshape(-1, 2)
    unlocked = byte ^ np.bitwise_xor.reduce(drawn, axis=1)
    assert set(unlocked.tolist()) == {1}
