"""How often one caller may call, and how much at a time: none starves the others.

A bank whose program asks a thousand times a second, refused each time, would otherwise
fill the journal with denials and keep other banks waiting.  What is beyond its rate is
turned away before anything is decided: RESOURCE_EXHAUSTED, no entry.

>>> rates = Rates(2)                          # two calls a second, as many at once
>>> [rates.allows("jnrcb", now_us=0) for _ in range(3)]
[True, True, False]
>>> rates.allows("lsbank", now_us=0)
True
>>> rates.allows("jnrcb", now_us=500_000), rates.allows("jnrcb", now_us=500_000)
(True, False)

A stream holds one of the server's few threads for as long as it lasts, so each caller
has a share of them, and no more.

>>> turns = Turns(1)
>>> with turns.of("jnrcb") as first, turns.of("jnrcb") as second, turns.of("lsbank"):
...     print(first, second)
True False
>>> with turns.of("jnrcb") as third:
...     print(third)
True
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

SECOND_US = 1_000_000


class Rates:
    """Counts the calls of each caller; thread-safe.

    A caller has `per_second` calls in hand at most, and gets as many back a second.
    """

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._most = per_second * SECOND_US  # millionths of a call
        self._left: dict[str, tuple[int, int]] = {}  # by caller, and when it was so
        self._lock = threading.Lock()

    def allows(self, caller: str, now_us: int) -> bool:
        """Take a call of `caller` off; False if it has none left."""
        with self._lock:
            left, since = self._left.get(caller, (self._most, now_us))
            left = min(self._most, left + (now_us - since) * self._per_second)
            allowed = left >= SECOND_US
            self._left[caller] = (left - SECOND_US * allowed, now_us)
        return allowed


class Turns:
    """Counts what each caller has under way; thread-safe."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._busy: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def of(self, caller: str) -> Iterator[bool]:
        """Take a turn of `caller` for a while; False if it has none left."""
        with self._lock:
            taken = self._busy[caller] < self._most
            self._busy[caller] += taken
        try:
            yield taken
        finally:
            with self._lock:
                self._busy[caller] -= taken
