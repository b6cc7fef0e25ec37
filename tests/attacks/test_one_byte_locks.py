"""Crime: a key of a comparison is locked with bytes that can all be tried.

In tables a lock is one byte, used once: who lacks it has a uniform byte, and every
guess gives an outcome.  A comparison's key is 713 bytes with a form of its own: its
correction words say t and v in bits of a byte whose other bits are 0.  So a bank that
was vetoed tries 256 locks, sees which of them opens a key, and has the outcome.
"""

import numpy as np
import pytest

from protocols.comparison import LEVEL_BYTES, SEED_BYTES, key_bytes
from protocols.drbg import Drbg
from protocols.lookup import Bytes, Gate
from protocols.program import INSUFFICIENT_DATA, Group, Scorecard
from protocols.thr import LOCK_BYTES, ThrGate, _locked

GROUPS = (Group("court", (1, 2, 3), 1, 0), Group(INSUFFICIENT_DATA, (4,), -1, 1))
CARD = Scorecard(
    (1, 0, 0, 0, 0),
    0,
    (1 << 24) - 1,
    25,
    ((0, 0), (1 << 20, 1)),
    GROUPS,
    Scorecard.layout(25, GROUPS),
)
TOTAL, VETOED = (1 << 20) + 5, 2  # approved, were it not for a flag


class OneByteGate(ThrGate):
    """The gate with locks as short as those of tables."""

    __slots__ = ()
    lock_bytes = 1


def opens(key: bytes) -> bool:
    """Tell whether these bytes are a key: its words have five bits of 0 each."""
    words = key[2 * SEED_BYTES + SEED_BYTES :: LEVEL_BYTES][:26]
    return all(word < 8 for word in words) and key[-1] < 2


def vetoed(gate: Gate, seed: bytes) -> tuple[np.ndarray, Bytes, bytes, Bytes]:
    """Let everybody do their part for a vetoed subject: u, rows, kept, locks read."""
    rho = np.array([[123_456_789 % (1 << 26), 5, 9]])
    rows_of = [field.rows for field in CARD.fields]
    u = (np.array([[2 * TOTAL, VETOED, 0]]) + rho) % rows_of
    tables, pads = gate.build(rho, (0,), Drbg(seed))
    rows = gate.pick(u, tables)
    assert gate.open(u, rows, pads, (0,)).tolist() == [-2]
    stream = np.zeros((1, gate.table_bytes), np.uint8)
    gate._pad(pads[:32], stream, (0,))
    clear = rows ^ gate.pick(u, stream)
    read = clear[:, :-1].reshape(1, 2, -1)[:, :, 1:]
    return u, rows, pads[32:], read


def test_a_bank_that_was_vetoed_tries_all_locks_of_one_byte() -> None:
    """At most 256 trials, and exactly one opens a key that says the outcome."""
    for number in range(5):
        u, rows, kept, locks = vetoed(OneByteGate(CARD), bytes([number]) * 32)
        found = []
        for guess in range(256):
            tried = locks[0].copy()
            tried[0, 0] = guess
            if opens(_locked(kept, tried)):
                found.append(tried)
        (right,) = found
        gate = OneByteGate(CARD)
        stream = np.zeros((1, gate.table_bytes), np.uint8)
        score = rows[:, gate._veto_end :]
        code = gate._open_score(u[:, 0], (score, kept), stream, right[None])
        assert code.tolist() == [1]  # what the veto should have hidden


def test_ours_has_locks_that_nobody_tries() -> None:
    """32 bytes each: 256 guesses, or a million, open nothing."""
    assert (ThrGate.lock_bytes, LOCK_BYTES) == (32, 32)
    _, _, kept, locks = vetoed(ThrGate(CARD), bytes(32))
    assert len(kept) == key_bytes(26)
    for guess in range(256):
        tried = locks[0].copy()
        tried[0] = guess
        assert not opens(_locked(kept, tried))


def test_every_lock_is_needed() -> None:
    """With all but one bit of one lock the key stays shut."""
    gate = ThrGate(CARD)
    rho = np.array([[77, 5, 9]])
    u = (np.array([[2 * TOTAL, 0, 0]]) + rho) % [field.rows for field in CARD.fields]
    tables, pads = gate.build(rho, (0,), Drbg(bytes(32)))
    stream = np.zeros((1, gate.table_bytes), np.uint8)
    gate._pad(pads[:32], stream, (0,))
    clear = gate.pick(u, tables) ^ gate.pick(u, stream)
    locks = clear[:, :-1].reshape(1, 2, -1)[0, :, 1:]
    assert opens(_locked(pads[32:], locks))
    for group in range(2):
        for at in (0, 31):
            tried = locks.copy()
            tried[group, at] ^= 1
            assert not opens(_locked(pads[32:], tried))


@pytest.mark.parametrize("total", [0, 1 << 20, CARD.top])
def test_what_is_locked_looks_alike(total: int) -> None:
    """Key 1 under its locks, for any total: every byte value about as often."""
    seen = []
    for number in range(40):
        rho = np.array([[(999 * number + 2 * total) % (1 << 26), 5, 9]])
        _, pads = ThrGate(CARD).build(rho, (0,), Drbg(number.to_bytes(32, "big")))
        seen.append(np.frombuffer(pads[32:], np.uint8))
    counts = np.bincount(np.concatenate(seen), minlength=256)
    expected = counts.sum() / 256
    excess = ((counts - expected) ** 2 / expected).sum() - 255
    assert abs(excess) / np.sqrt(510) < 5
