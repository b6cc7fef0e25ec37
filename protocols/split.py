r"""The gate for jobs: two small tables in place of one long one.

[C]omposed for this product, as `protocols.lookup` is; the argument is the same
and, towards the bank, information-theoretic.  A flat score table has 2^(m+1)
rows; this part has about C 2^(m+1-a) + 2^(a+1) bytes, a tenth.  u is cut into
its low a bits and the rest::

    low table     row u_lo   j | L_j          2^a rows of two bytes
    high tables   row u_hi   column j, C of them:
                             outcome(x_hi, segment) xor L_j xor the vetoes' locks

The outcome is a step function of x = u - rho.  Which step function of u_hi is
left once u_lo is known depends only on the *segment* of x_lo: where it lies
between the thresholds' residues modulo 2^a, and whether x_lo borrowed from the
high part.  While u_lo runs from 0 to 2^a - 1, at most

    C = (distinct residues that are not 0) + 2

segments follow one another, so their numbers are distinct modulo C, and column j
serves the segment with j = (segment + turn) mod C.

The bank is given row u_lo of the low table and byte u_hi of every column, all
still padded and locked: it opens column j alone, because only L_j is in the low
row; the other columns are xored with locks it never sees, bytes used once.  The
turn is uniform for every slot, so j says nothing either.  What is drawn for a
slot, from the block's seed and its number: a lock for each veto group, one for
each column, 8 bytes for the turn (bias 2^-56).  All labels are its own: one seed
behind both gates still pads nothing twice.

A row of the score's part: `j | L_j`, then the C bytes of row u_hi.  a is chosen
so that the tables are smallest; it hangs on the thresholds only, so house,
authority and bank lay out the same.

>>> from protocols.drbg import Drbg
>>> from protocols.lookup import FlatGate
>>> from protocols.program import INSUFFICIENT_DATA, Group
>>> groups = (Group(INSUFFICIENT_DATA, (1,), -1, 1),)
>>> steps = ((0, 0), (300, 1), (500, 2), (900, 3))
>>> card = Scorecard((1, 0), 0, 1000, 11, steps, groups, Scorecard.layout(11, groups))
>>> FlatGate(card).table_bytes, SplitGate(card).table_bytes
(4224, 576)
>>> rho, u = np.array([[4000, 7]]), np.array([[4000 + 2 * 900, 7]]) % [4096, 64]
>>> tables, pad_key = SplitGate(card).build(rho, [5], Drbg(bytes(32)))
>>> SplitGate(card).open(u, SplitGate(card).pick(u, tables), pad_key, [5]).tolist()
[3]
"""

from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from protocols.lookup import Bytes, TableGate, _all, _score_entries, _take
from protocols.program import Scorecard
from protocols.slots import Ints

MOST_COLUMNS: Final = 255  # a column's number is one byte
LOW_ROW: Final = 2  # bytes: column | its lock
_TURN_BYTES: Final = 8


class SplitGate(TableGate):
    """Two-level score tables; raises `FormatError` for a score beyond 2^21."""

    __slots__ = (
        "_column_of",
        "_columns",
        "_high_rows",
        "_left",
        "_low_bits",
        "_low_rows",
        "_segment",
    )
    name = "split"
    most_bits = 21
    draws = "split "

    def __init__(self, card: Scorecard) -> None:
        self.check_width(card)
        bits, entries = card.fields[0].bits, _score_entries(card)
        edges = np.flatnonzero(np.diff(entries.astype(np.int64))) + 1
        self._low_bits = _cheapest(bits, edges)
        self._low_rows = low = 1 << self._low_bits
        self._high_rows = high = 1 << bits - self._low_bits
        cuts = _residues(edges, self._low_bits)
        self._columns = columns = len(cuts) + 2
        super().__init__(
            card,
            score_bytes=LOW_ROW * low + columns * high,
            row_bytes=LOW_ROW + columns,
        )
        # Segments of y = u_lo - rho_lo in [-2^a, 2^a): below 0 it has borrowed.
        marks = np.array([*(cut - low for cut in cuts), 0, *cuts])
        self._segment = np.searchsorted(marks, np.arange(-low, low), side="right")
        # _column_of: by turn, 2^a - rho_lo and u_lo
        turned = (self._segment + np.arange(columns)[:, None]) % columns
        self._column_of = sliding_window_view(turned, low, axis=1)
        # _left: outcomes by segment, 2^(m+1-a) - rho_hi and u_hi; the last segment
        # is only there to be locked away, where rho_lo = 0 and nothing borrows
        numbers = np.arange(2 * len(cuts) + 3)
        borrows = numbers <= len(cuts)
        floor = np.array([0, *cuts])[numbers % (len(cuts) + 1)]
        x_high = (np.arange(2 * high) - borrows[:, None]) % high
        self._left = sliding_window_view(
            entries[x_high * low + floor[:, None]], high, axis=1
        )

    @property
    def _score_draws(self) -> int:
        return self._columns + _TURN_BYTES

    def _fill_score(
        self, score: Bytes, rho: Ints, locks: Bytes, drawn: Bytes, /
    ) -> bytes:
        count, low, columns = len(rho), self._low_rows, self._columns
        rho_low, rho_high = rho & low - 1, rho >> self._low_bits
        own, release = drawn[:, :columns], _all(locks)
        turn = _turns(drawn[:, columns:]) % columns
        pairs = np.empty((count, columns, LOW_ROW), np.uint8)
        pairs[:, :, 0] = np.arange(columns)
        pairs[:, :, 1] = own
        column_of = self._column_of[turn, low - rho_low]
        words = _take(pairs.view("<u2")[:, :, 0], column_of)
        score[:, : LOW_ROW * low] = words.view(np.uint8)
        # Of the segments that follow the one of u_lo = 0, column j has the one
        # that is j - turn modulo C.
        first = self._segment[low - rho_low][:, None]
        segment = first + (np.arange(columns) - turn[:, None] - first) % columns
        left = self._left[segment, (self._high_rows - rho_high)[:, None]]
        left = left ^ (own ^ release[:, None])[:, :, None]
        score[:, LOW_ROW * low :] = left.reshape(count, -1)
        return b""

    def _score_places(self, u: Ints) -> Ints:
        low, high = u & self._low_rows - 1, u >> self._low_bits
        columns = np.arange(self._columns) * self._high_rows
        return np.hstack(
            [
                LOW_ROW * low[:, None] + np.arange(LOW_ROW),
                LOW_ROW * self._low_rows + columns + high[:, None],
            ]
        )

    def _released(self, clear: Bytes) -> Bytes:
        # A damaged row must read as some code, as an undamaged one does.
        column = clear[:, :1].astype(np.int64) % self._columns
        return _take(clear[:, LOW_ROW:], column)[:, 0] ^ clear[:, 1]


def _cheapest(bits: int, edges: NDArray[np.int64]) -> int:
    """Choose a: how many low bits make the tables smallest."""

    def size(low_bits: int) -> int:
        columns = len(_residues(edges, low_bits)) + 2
        return (LOW_ROW << low_bits) + (columns << bits - low_bits)

    possible = (
        low_bits
        for low_bits in range(bits + 1)
        if len(_residues(edges, low_bits)) + 2 <= MOST_COLUMNS
    )
    return min(possible, key=size)


def _residues(edges: NDArray[np.int64], low_bits: int) -> list[int]:
    """List the thresholds' places in the low part, 0 left out, ascending."""
    return sorted(set((edges % (1 << low_bits)).tolist()) - {0})


def _turns(drawn: Bytes) -> Ints:
    words: NDArray[np.uint64] = np.ascontiguousarray(drawn).view("<u8")[:, 0]
    return (words >> np.uint64(1)).astype(np.int64)
