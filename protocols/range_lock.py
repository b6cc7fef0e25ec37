r"""A lock that opens for a number within a range, and for none beyond (PROTOCOL 7).

[C]omposed for this product of a [S]tandard distributed comparison function
(`protocols.comparison`) with outputs as wide as a lock.

A bank adds b = b1 + b2 mod 2^m to a total.  The house knows b1, the authority b2, and
b must lie in 0..most: else the bank moves every threshold to wherever it likes, and
the guard zone too, and reads the total call by call.  Nobody may see b, so nobody can
check it; instead one more lock joins those of the vetoes, and opens for such b only.
With alpha = -b1 and t = most + 1, for every b2::

    [b < t] = [b2 < t] xor [(b2 - t) mod 2^m < alpha] xor [b2 < alpha]

as in `protocols.thr`.  The keys' output is beta = lock instead of 1, so both brackets
with alpha come as shares of the lock; the first, which needs no alpha, as one half of
the lock for each party::

    house      L0 uniform, L1 = L0 xor lock, keys k0 and k1 of [x < alpha] lock
    authority  share 0 = [b2 < t] L0 xor E(k0, b2 - t) xor E(k0, b2)       to the bank
    bank       share 1 = [b2 < t] L1 xor E(k1, b2 - t) xor E(k1, b2)
               share 0 xor share 1 = lock if b is within the range, else 0

Who has one key and one half knows nothing of the lock.  What the authority hands on is
either the bank's own share, which it can compute itself, or that share xor the lock.
The authority evaluates at the b2 that lies sealed in the request, whose hash the bank
has signed: not at another one a second time.

A table over b2 with one lock a row (as an earlier design has it) does the same for
scores of a few bits; this does it for every width, in 18 bytes a bit beside tables
and 49 beside keys.

Format of a key: half of the lock, then the key of `protocols.comparison`.

>>> lock = RangeLock(bits=12, most=700, lock_bytes=1)
>>> first, second = lock.generate(4000, b"\x5a", bytes(range(49)))
>>> for b in (0, 700, 701, 4095):
...     rest = (b - 4000) % 4096
...     mine, theirs = lock.share(first, 0, rest), lock.share(second, 1, rest)
...     print(b, bytes(a ^ b for a, b in zip(mine, theirs)).hex())
0 5a
700 5a
701 00
4095 00
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocols.comparison import DRAWN_BYTES, evaluate, generate, key_bytes
from protocols.errors import FormatError

Bytes: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class RangeLock:
    """What of a range is public: numbers of `bits` bits, of which 0..most open it."""

    bits: int
    most: int
    lock_bytes: int

    def __post_init__(self) -> None:
        if not 0 < self.most < (1 << self.bits) - 1:
            raise RuntimeError("a range that holds nothing, or everything")

    @property
    def drawn_bytes(self) -> int:
        """Fresh bytes that one pair of keys needs."""
        return DRAWN_BYTES + self.lock_bytes

    @property
    def key_bytes(self) -> int:
        """Bytes of a key."""
        return self.lock_bytes + key_bytes(self.bits, 8 * self.lock_bytes)

    def generate(self, first: int, lock: bytes, drawn: bytes) -> tuple[bytes, bytes]:
        """Make the authority's and the bank's key of a lock.

        `first` is the house's share of the bank's number, `drawn` are
        `drawn_bytes` fresh random bytes.
        """
        if len(lock) != self.lock_bytes or len(drawn) != self.drawn_bytes:
            raise RuntimeError("a lock of another length")
        alpha, width = -first % (1 << self.bits), 8 * self.lock_bytes
        mine = drawn[DRAWN_BYTES:]
        keys = generate(
            self.bits, alpha, drawn[:DRAWN_BYTES], int.from_bytes(lock, "big"), width
        )
        return mine + keys[0], _xor(mine, lock) + keys[1]

    def share(self, key: bytes, party: int, rest: int) -> bytes:
        """Return the lock's share of the authority, 0, or of the bank, 1.

        `rest` is the authority's share of the bank's number.  Any bits are some key;
        raises `FormatError` for its length only.
        """
        if len(key) != self.key_bytes:
            raise FormatError(f"expected a key of {self.key_bytes} bytes")
        modulus = 1 << self.bits
        end, here = self.most + 1, rest % modulus
        half, key = key[: self.lock_bytes], key[self.lock_bytes :]
        points = [(here - end) % modulus, here]
        past, below = evaluate(key, party, self.bits, points, 8 * self.lock_bytes)
        whole = past ^ below ^ (here < end) * int.from_bytes(half, "big")
        return whole.to_bytes(self.lock_bytes, "big")

    def keys(
        self, firsts: Sequence[int], locks: Bytes, drawn: Bytes
    ) -> tuple[Bytes, Bytes]:
        """Do so for some slots: (slots, key_bytes) for the authority, and the bank."""
        if len(firsts) != len(locks):
            raise RuntimeError("the house has a share for every slot")
        made = [
            self.generate(first, lock.tobytes(), fresh.tobytes())
            for first, lock, fresh in zip(firsts, locks, drawn, strict=True)
        ]
        mine, theirs = (b"".join(keys) for keys in zip(*made, strict=True))
        shape = len(made), self.key_bytes
        return (
            np.frombuffer(mine, np.uint8).reshape(shape),
            np.frombuffer(theirs, np.uint8).reshape(shape),
        )

    def shares(self, keys: Bytes, party: int, rests: Sequence[int]) -> Bytes:
        """Evaluate keys, (slots, key_bytes), of a party: (slots, lock_bytes)."""
        if len(rests) != len(keys):
            raise RuntimeError("the authority has a share for every slot")
        made = [
            self.share(key.tobytes(), party, rest)
            for key, rest in zip(keys, rests, strict=True)
        ]
        return np.frombuffer(b"".join(made), np.uint8).reshape(-1, self.lock_bytes)


def _xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))
