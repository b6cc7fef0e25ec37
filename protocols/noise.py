r"""Discrete Laplace noise, exact, drawn from a seed (PROTOCOL 9).

Source: C. Canonne, G. Kamath, T. Steinke, "The Discrete Gaussian for Differential
Privacy", NeurIPS 2020 (arXiv 2004.00010), algorithms 1 and 2, in integers only:

    P[Z = z] = (1 - p) / (1 + p) p^|z|        p = exp(-epsilon / sensitivity)

Who adds Z to an integer that one subject changes by at most `sensitivity` reveals
that subject with epsilon-differential privacy.  A float would not do: the low bits
of a rounded Laplace number tell the number under it (I. Mironov, CCS 2012).

Every number hangs on a seed and a label, so that a node that died draws it again,
once and not twice, and an auditor with the house's seed finds it in the transcript.
OpenDP (https://opendp.org) draws from the same distribution and cannot be given a
seed; the tests hold this against it.

*Time.*  How long a draw takes hangs on what is drawn: each scale of distance costs
one more trial, about a microsecond.  It is drawn between decryptions and durable
commits of milliseconds.

>>> scale = Scale(sensitivity=1, milliepsilon=500)
>>> [scale.draw(Drbg(bytes(32)), f"number {i}") for i in range(6)]
[1, 1, 0, -6, -2, -1]
>>> round(scale.margin(sides=1), 3), round(scale.margin(sides=2), 3)
(5.991, 8.226)
"""

from dataclasses import dataclass
from math import exp

from protocols.drbg import Drbg

MILLI = 1000  # milliepsilon of one epsilon
CONFIDENCE = 0.95
_PAGE = 64  # bytes that are drawn at once
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Scale:
    """How wide the noise is: sensitivity / epsilon."""

    sensitivity: int  # at least 1
    milliepsilon: int  # at least 1

    def __post_init__(self) -> None:
        if self.sensitivity < 1 or self.milliepsilon < 1:
            raise RuntimeError("sensitivity and epsilon are positive")

    def draw(self, drbg: Drbg, label: str) -> int:
        """Draw one number; the label is used for nothing else.  Algorithm 2."""
        dice = _Dice(drbg, label)
        t, s = MILLI * self.sensitivity, self.milliepsilon
        while True:
            u = dice.below(t)
            if not dice.exp_minus(u, t):
                continue
            v = 0
            while dice.exp_minus(1, 1):
                v += 1
            distance = (u + t * v) // s
            negative = dice.below(2) == 1
            if not (negative and distance == 0):  # there is one zero, not two
                return -distance if negative else distance

    def margin(self, sides: int) -> float:
        """Return how far the sum of 1 or 2 numbers stays, 95 times in 100.

        For people: as of continuous noise, whose sum of two goes beyond x scales
        with probability exp(-x) (1 + x / 2).
        """
        low, high = 0.0, 64.0
        for _ in range(_HALVINGS):
            x = (low + high) / 2
            beyond = exp(-x) * (1 + (sides - 1) * x / 2)
            low, high = (x, high) if beyond > 1 - CONFIDENCE else (low, x)
        return low * self.sensitivity * MILLI / self.milliepsilon


class _Dice:
    """Uniform integers and coins of exact probability, from labelled bytes."""

    def __init__(self, drbg: Drbg, label: str) -> None:
        self._drbg = drbg.child(f"noise {label}")
        self._page = 0
        self._left = b""

    def below(self, bound: int) -> int:
        """Draw 0 <= x < bound, uniform: what does not fit is drawn again."""
        bits = (bound - 1).bit_length()
        length = -(-bits // 8)
        while True:
            x = int.from_bytes(self._bytes(length), "big") & ((1 << bits) - 1)
            if x < bound:
                return x

    def exp_minus(self, a: int, b: int) -> bool:
        """Toss a coin that shows 1 with probability exp(-a / b), 0 <= a <= b.

        Algorithm 1: the first k with a failure of probability 1 - a / (b k) is odd.
        """
        k = 1
        while self.below(b * k) < a:
            k += 1
        return k % 2 == 1

    def _bytes(self, length: int) -> bytes:
        while len(self._left) < length:
            self._left += self._drbg.bytes(f"page {self._page}", _PAGE)
            self._page += 1
        taken, self._left = self._left[:length], self._left[length:]
        return taken
