r"""Threshold gate: outcomes of totals too large for any table (PROTOCOL 6).

[C]omposed for this product of a [S]tandard distributed comparison function
(`protocols.comparison`) and the masked lookup (`protocols.lookup`).

A score field of n = m + 1 bits shows the authority u = x + rho modulo N = 2^n, where x
is twice the total, and one more with a carry from below.  With alpha = rho::

    [x < t] = [u < t] xor [(u - t) mod N < alpha] xor [u < alpha]

for every t in 0..N-1: subtract t on the circle, and note whether it passes 0.  u and t
are public to authority and bank, so two keys of [. < alpha] compare x with any number
of thresholds, one pair of keys for all.  Thresholds are doubled like the totals: 2 t
never separates 2 v from 2 v + 1.

*Nothing but the outcome.*  Outcomes are bytes, and steps change them::

    byte(x) = byte beyond the last step  xor  sum over steps of [x < 2 first] (change)

where `change` is the xor of the bytes on both sides.  That is linear over Z_2, so each
party adds its shares up to a single byte; the bank xors its own with the authority's.
On which side of a step the total lies shows in the byte or not at all: of `mismatch`
below a window and `mismatch` above it, in nothing (tests/attacks/
test_side_of_a_mismatch).  The guard zone above `top` is a step like any other.

*The veto chain.*  A lock is 32 bytes here.  Key 1 goes to the bank xored with
SHAKE-256 of all locks of the slot: who lacks one has a uniform string in place of the
key.  (Locks of one byte, as tables have, would be tried: 256 for one group, and a key
that opens is recognised by the zeros in it, tests/attacks/test_one_byte_locks.)

Key 0 lies in the message where the score's table would, not padded: it is the
authority's.  Key 1, masked, follows the bank's pad key.

Formats: tables of one slot are the veto tables, rows of `vetoed | lock (32)`, then key
0, and padding; rows of one slot are the 33 bytes of every veto table and the
authority's byte.  Pads are the pad key and 713 bytes a slot, for 40 bits.

>>> from protocols.drbg import Drbg
>>> from protocols.program import INSUFFICIENT_DATA, Group
>>> groups = (Group(INSUFFICIENT_DATA, (1,), -1, 1),)
>>> steps = ((0, 0), (1 << 37, 1), ((1 << 37) + 1, 0))         # equal to 2^37, or not
>>> card = Scorecard(
...     (1, 0), 0, (1 << 38) - 1, 39, steps, groups, Scorecard.layout(39, groups)
... )
>>> gate, rho = ThrGate(card), np.array([[2**40 - 5, 7]])
>>> tables, pads = gate.build(rho, [0], Drbg(bytes(32)))
>>> for total in ((1 << 37) - 1, 1 << 37, (1 << 37) + 1):
...     u = (np.array([[2 * total, 0]]) + rho) % [1 << 40, 64]
...     print(gate.open(u, gate.pick(u, tables), pads, [0]).tolist())
[0]
[1]
[0]
"""

import hashlib
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import numpy as np

from protocols.canon import Tag, framed
from protocols.comparison import DRAWN_BYTES, evaluate, generate, key_bytes
from protocols.lookup import NO_OUTCOME, Bytes, Gate
from protocols.program import Scorecard
from protocols.slots import SLOT_BITS, Ints

LOCK_BYTES: Final = 32


class ThrGate(Gate):
    """Comparisons with every threshold; a score field may fill the slot.

    `outside` is the byte of the guard zone: OUT_OF_RANGE, unless the contract says
    that a total beyond `top` has an outcome.
    """

    __slots__ = ("_beyond", "_bits", "_edges")
    name = "thr"
    most_bits = SLOT_BITS - 1
    draws = "thr "
    lock_bytes = LOCK_BYTES

    def __init__(self, card: Scorecard, outside: int = NO_OUTCOME) -> None:
        self.check_width(card)
        self._bits = card.fields[0].bits
        super().__init__(card, score_bytes=key_bytes(self._bits), row_bytes=1)
        self._padded = self._score_at
        self._beyond = outside
        steps = (*card.steps, (card.top + 1, outside))
        self._edges = tuple(
            (2 * first, before ^ outcome)
            for (_, before), (first, outcome) in pairwise(steps)
            if before != outcome
        )

    @property
    def _score_draws(self) -> int:
        return DRAWN_BYTES

    @property
    def _kept_bytes(self) -> int:
        return key_bytes(self._bits)

    def _fill_score(
        self, score: Bytes, rho: Ints, locks: Bytes, drawn: Bytes, /
    ) -> bytes:
        kept = []
        for slot, alpha in enumerate(rho.tolist()):
            mine, theirs = generate(self._bits, alpha, drawn[slot].tobytes())
            score[slot] = np.frombuffer(mine, np.uint8)
            kept.append(_locked(theirs, locks[slot]))
        return b"".join(kept)

    def _pick_score(self, u: Ints, score: Bytes) -> Bytes:
        shares = [
            self._public(point) ^ self._share(key.tobytes(), 0, point)
            for point, key in zip(u.tolist(), score, strict=True)
        ]
        return np.array(shares, np.uint8)[:, None]

    def _open_score(
        self, u: Ints, released: tuple[Bytes, bytes], _pad: Bytes, locks: Bytes
    ) -> Bytes:
        rows, kept = released
        size = self._kept_bytes
        keys = (kept[at : at + size] for at in range(0, len(kept), size))
        shares = [
            self._share(_locked(key, lock), 1, point)
            for point, key, lock in zip(u.tolist(), keys, locks, strict=True)
        ]
        return rows[:, 0] ^ np.array(shares, np.uint8) ^ np.uint8(self._beyond)

    def _public(self, u: int) -> int:
        """Return what the places of u and the thresholds alone add to the byte."""
        return _sum(change for edge, change in self._edges if u < edge)

    def _share(self, key: bytes, party: int, u: int) -> int:
        """Return a party's share of the byte."""
        points = [(u - edge) % (1 << self._bits) for edge, _ in self._edges]
        here, *there = evaluate(key, party, self._bits, [u, *points])
        return _sum(
            change
            for (_, change), bit in zip(self._edges, there, strict=True)
            if bit ^ here
        )


def _sum(changes: Iterator[int]) -> int:
    total = 0
    for change in changes:
        total ^= change
    return total


def _locked(key: bytes, locks: Bytes) -> bytes:
    """Xor a key with the stream that all locks of a slot, (groups, 32), make."""
    parts = (lock.tobytes() for lock in locks)
    stream = hashlib.shake_256(framed(Tag.DCF_LOCKS, *parts)).digest(len(key))
    whole = int.from_bytes(key, "big") ^ int.from_bytes(stream, "big")
    return whole.to_bytes(len(key), "big")
