r"""What a node tells its operator: JSON lines on stderr, and nothing personal.

A line may hold the keys of `SHAPES` and no others, each with a value of its own
narrow shape: a count, a status, a party's id.  There is no key for a subject, a
consent, a value, an outcome, a path or the text of an exception, so none of them
can be logged by mistake.  The journal is the evidence; this is for the operator.

A line that breaks the list is a bug of ours.  Until `configure` is called (in
tests, that is) it raises; in production the key is left out, the line carries
`dropped_keys`, and `dropped_keys()` counts.  A log must not stop a node, and a
node must not leak through its log.

>>> import io
>>> stream = io.StringIO()
>>> configure(stream, now_ms=lambda: 42)
>>> get().info("call denied", code="OK", subject="91370800MA3C0001X5")
>>> print(stream.getvalue(), end="")
{"time_ms":42,"level":"info","event":"call denied","code":"OK","dropped_keys":1}
>>> reset()
>>> get().info("call denied", subject="91370800MA3C0001X5")
Traceback (most recent call last):
    ...
RuntimeError: log key `subject` is not on the allow-list
"""

import json
import re
import sys
import threading
from collections.abc import Callable
from typing import Final, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from node import clock

MAX_INTEGER: Final = (1 << 53) - 1

# Names begin with a letter: identifiers of persons and enterprises begin with a
# digit, so one that strays into a name is dropped.
_NAME: Final = re.compile(r"[a-z][a-z0-9.-]{0,63}")
_UPPER: Final = re.compile(r"[A-Z][A-Z_]{0,39}")

SHAPES: Final[dict[str, re.Pattern[str] | type[int] | type[bool]]] = {
    "event": re.compile(r"[a-z][a-z ,-]{0,79}"),  # a constant sentence
    "level": _NAME,
    # who
    "domain": _NAME,
    "party": _NAME,
    "peer": _NAME,
    "role": _NAME,
    # what
    "call": re.compile(r"[0-9a-f]{64}"),  # hash of a request that has a jti
    "code": _UPPER,  # gRPC status
    "contract": _NAME,
    "dataset": _NAME,
    "error": re.compile(r"[A-Z][A-Za-z]{0,63}"),  # the class, never the text
    "journal": _NAME,
    "kind": re.compile(r"[a-z]+\.[a-z]+"),  # of a journal entry
    "listen": re.compile(r"[A-Za-z0-9.:\[\]-]{1,64}"),
    "method": re.compile(r"[A-Z][A-Za-z]{0,63}"),  # of a service
    "reason": _UPPER,
    "signal": _UPPER,
    # how much
    "block": int,
    "bytes": int,
    "count": int,
    "ms": int,
    "ok": bool,
    "pid": int,
    "serial": int,
    "size": int,
    "version": int,
}


class _AllowList:
    """Keeps what `SHAPES` allows; the rest raises, or is dropped and counted."""

    def __init__(self, *, strict: bool) -> None:
        self.dropped = 0
        self._strict = strict
        self._lock = threading.Lock()

    def __call__(self, _: WrappedLogger, __: str, line: EventDict) -> EventDict:
        refused = {key: why for key in line if (why := _refusal(key, line[key]))}
        if not refused:
            return line
        if self._strict:
            raise RuntimeError(next(iter(refused.values())))
        with self._lock:
            self.dropped += len(refused)
        kept = {key: value for key, value in line.items() if key not in refused}
        return {"event": "event withheld", **kept, "dropped_keys": len(refused)}


def get() -> FilteringBoundLogger:
    """Return the logger; `bind` adds keys to every line of the copy."""
    return cast("FilteringBoundLogger", structlog.get_logger())


def configure(
    stream: TextIO | None = None, *, now_ms: Callable[[], int] = clock.now_ms
) -> None:
    """Write to `stream` (stderr) from now on, as a node in production does."""
    _install(_AllowList(strict=False), stream or sys.stderr, now_ms)


def reset() -> None:
    """Go back to the state before `configure`: a refused key raises."""
    _install(_AllowList(strict=True), sys.stderr, clock.now_ms)


def dropped_keys() -> int:
    """Count the keys that were left out since `configure`."""
    return _state.allow.dropped


class _State:
    allow: _AllowList


_state = _State()


def _install(allow: _AllowList, stream: TextIO, now_ms: Callable[[], int]) -> None:
    def render(_: WrappedLogger, __: str, line: EventDict) -> str:
        first = {key: line.pop(key) for key in ("level", "event")}
        return json.dumps({"time_ms": now_ms(), **first, **line}, separators=(",", ":"))

    _state.allow = allow
    structlog.configure(
        processors=[structlog.processors.add_log_level, allow, render],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )


def _refusal(key: str, value: object) -> str:
    """Say why `key` may not be logged with this value; empty if it may."""
    shape = SHAPES.get(key)
    if shape is None:
        return f"log key `{key}` is not on the allow-list"
    if isinstance(shape, re.Pattern):
        fits = isinstance(value, str) and shape.fullmatch(value) is not None
    elif shape is int:
        fits = type(value) is int and 0 <= value <= MAX_INTEGER
    else:
        fits = isinstance(value, bool)
    return "" if fits else f"log key `{key}` does not have its shape"  # value unsaid


reset()
