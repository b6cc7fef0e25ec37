"""The only reader of time, and every length of time the protocol knows.

Everything else takes `now_ms` as an argument: milliseconds of UTC since
1970-01-01T00:00:00Z, as an `int`.  Durations are measured on the monotonic
clock, which an operator cannot set back.

====================  ============  ==========================================
constant              length        meaning (PROTOCOL 3, Time; 5; 7)
====================  ============  ==========================================
`REQUEST_SKEW_MS`     5 minutes     a request's `iat` may differ this much
`REPLY_KEPT_MS`       10 minutes    a reply is given again after that window
`JTI_KEPT_MS`         15 minutes    after `iat`: the two together
`REPLY_FETCHED_MS`    30 days       a house that was down fetches what was decrypted
`CLOCK_JUMP_MS`       5 minutes     a larger jump stops the node
`BITS_WINDOW_MS`      90 days       sliding window of the outcome budgets
====================  ============  ==========================================

>>> JTI_KEPT_MS == REQUEST_SKEW_MS + REPLY_KEPT_MS
True
>>> now_ms() > 1_700_000_000_000 and monotonic_ms() <= monotonic_ms()
True
"""

import time
from typing import Final

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
DAY_MS: Final = 24 * 60 * MINUTE_MS

REQUEST_SKEW_MS: Final = 5 * MINUTE_MS
REPLY_KEPT_MS: Final = 10 * MINUTE_MS
JTI_KEPT_MS: Final = REQUEST_SKEW_MS + REPLY_KEPT_MS  # else it is replayed after
REPLY_FETCHED_MS: Final = 30 * DAY_MS
CLOCK_JUMP_MS: Final = 5 * MINUTE_MS
BITS_WINDOW_MS: Final = 90 * DAY_MS


def now_ms() -> int:
    """Read the wall clock."""
    return time.time_ns() // 1_000_000


def monotonic_ms() -> int:
    """Read a clock that never goes back; only differences mean anything."""
    return time.monotonic_ns() // 1_000_000


def monotonic_us() -> int:
    """Read the same clock in microseconds, to say how long a call took."""
    return time.monotonic_ns() // 1_000
