"""The time that a journal writes: the wall clock, distrusted.

A wall clock set back an hour would revive consents that have ended, and one set
forward would end them (PROTOCOL 3, Time).  So the journal's time never goes
back, and a jump of more than `CLOCK_JUMP_MS` is an error until a person answers
for it.  Two signs of a jump:

1. between two looks the wall clock moved that much more or less than the
   monotonic clock, which nobody can set;
2. the wall clock is that far below the latest time seen, be it in small steps,
   or while the node was down.

>>> wall, monotonic = [3_600_000], [0]
>>> clock = JournalClock(lambda: wall[0], lambda: monotonic[0], 0, 0)
>>> clock.now()
3600000
>>> wall[0] -= 240_000  # four minutes back: time stands still
>>> clock.now()
3600000
>>> wall[0] -= 240_000
>>> clock.now()
Traceback (most recent call last):
    ...
node.errors.ClockJumped: the clock went back by 480 s
>>> clock.accept()
3120000
>>> clock.now()
3600000
"""

from collections.abc import Callable

from node.clock import CLOCK_JUMP_MS, SECOND_MS
from node.errors import ClockJumped


class JournalClock:
    """Reads the wall clock for one journal.

    Its newest entry is of `last_ms`, by a clock that showed `clock_ms` at least: less,
    where an operator accepted that it went back.
    """

    def __init__(
        self,
        wall: Callable[[], int],
        monotonic: Callable[[], int],
        last_ms: int,
        clock_ms: int,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._last_ms = last_ms
        self._seen = wall(), monotonic()
        self._latest = clock_ms

    def check(self) -> ClockJumped | None:
        """Return what is wrong with the clock, if anything."""
        seen_wall, seen_monotonic = self._seen
        self._seen = wall, monotonic = self._wall(), self._monotonic()
        jump = (wall - seen_wall) - (monotonic - seen_monotonic)  # 1
        jump = min(jump, wall - self._latest) if wall < self._latest else jump  # 2
        if abs(jump) <= CLOCK_JUMP_MS:
            self._latest = max(self._latest, wall)
            return None
        if jump < 0:
            way, accept = "back", "`safehouse doctor --accept-clock`"
        else:  # a node that starts cannot tell it from having been down
            way, accept = "forward", "start the node again"
        return ClockJumped(
            f"the clock went {way} by {abs(jump) // SECOND_MS} s",
            f"set the clock right, or accept it as it is: {accept}",
        )

    def now(self) -> int:
        """Return the journal's time in milliseconds; raises `ClockJumped`."""
        wrong = self.check()
        if wrong is not None:
            raise wrong
        self._last_ms = max(self._last_ms, self._seen[0])
        return self._last_ms

    def accept(self) -> int:
        """Take the wall clock as it is now, and return it."""
        self._seen = self._wall(), self._monotonic()
        self._latest = self._seen[0]
        return self._latest
