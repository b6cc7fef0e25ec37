"""The clock: constants as agreed, and the one reader of time."""

import ast
from pathlib import Path

import pytest

import node
from node import clock

READS = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "gmtime"}


def test_constants_are_the_agreed_ones() -> None:
    """PROTOCOL 3, Time, and the budget window of PROTOCOL 5."""
    assert clock.REQUEST_SKEW_MS == 300_000
    assert clock.REPLY_KEPT_MS == 600_000
    assert clock.JTI_KEPT_MS == 900_000
    assert clock.CLOCK_JUMP_MS == 300_000
    assert clock.BITS_WINDOW_MS == 90 * 24 * 3_600_000


def test_now_is_whole_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nanoseconds are rounded down."""
    monkeypatch.setattr(clock.time, "time_ns", lambda: 1_700_000_000_123_999_999)
    assert clock.now_ms() == 1_700_000_000_123


def test_only_the_clock_reads_time() -> None:
    """No other module of the node asks `time` what time it is."""
    root = Path(node.__file__).parent
    found = {
        path.name
        for path in root.rglob("*.py")
        if "wire" not in path.parts
        for part in ast.walk(ast.parse(path.read_text()))
        if isinstance(part, ast.Attribute)
        and isinstance(part.value, ast.Name)
        and part.value.id == "time"
        and part.attr in READS
    }
    assert found == {"clock.py"}
