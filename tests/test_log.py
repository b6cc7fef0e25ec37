"""The log: JSON lines, an allow-list, and nothing personal whatever we do."""

import io
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import log

UNSAFE = [
    pytest.param({"subject": "abc"}, id="a_subject"),
    pytest.param({"exc_info": True}, id="a_traceback"),
    pytest.param({"path": "/home/zhang"}, id="a_path"),
    pytest.param({"party": "370811199001011234"}, id="a_resident_id_as_party"),
    pytest.param({"contract": "91370800MA3C0001X5"}, id="an_uscc_as_contract"),
    pytest.param({"dataset": "张三"}, id="a_name_as_dataset"),
    pytest.param({"reason": "no consent for 张三"}, id="a_sentence_as_reason"),
    pytest.param({"error": "bad value `12`"}, id="a_message_as_error"),
    pytest.param({"ms": 1.5}, id="a_float"),
    pytest.param({"ms": True}, id="a_flag_as_number"),
    pytest.param({"ms": -1}, id="a_negative_number"),
    pytest.param({"count": 1 << 200}, id="a_ciphertext_as_count"),
    pytest.param({"ok": 1}, id="a_number_as_flag"),
    pytest.param({"party": ["bank"]}, id="a_list"),
    pytest.param({"party": "bank\n{}"}, id="a_line_break"),
    pytest.param({"party": "b" * 65}, id="a_long_text"),
    pytest.param({"call": "ab" * 31}, id="a_short_hash"),
]


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Log like a node in production, into memory."""
    stream = io.StringIO()
    log.configure(stream, now_ms=lambda: 42)
    yield stream
    log.reset()


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_fixed_first_keys(stream: io.StringIO) -> None:
    """One object a line: time, level, event, then what was said."""
    log.get().bind(party="jnrcb").warning("call denied", reason="EXPIRED", ms=3)
    assert stream.getvalue() == (
        '{"time_ms":42,"level":"warning","event":"call denied",'
        '"party":"jnrcb","reason":"EXPIRED","ms":3}\n'
    )


@pytest.mark.parametrize("keys", UNSAFE)
def test_unsafe_keys_raise_in_tests(keys: dict[str, Any]) -> None:
    """Before `configure`, a line off the list is a RuntimeError."""
    with pytest.raises(RuntimeError, match="log key"):
        log.get().info("served", **keys)


@pytest.mark.parametrize("keys", UNSAFE)
def test_unsafe_keys_are_dropped_in_production(
    keys: dict[str, Any], stream: io.StringIO
) -> None:
    """The line is written without the key, and the loss is counted."""
    log.get().info("served", pid=1, **keys)
    line = _lines(stream)[0]
    assert line["dropped_keys"] == log.dropped_keys() == 1
    assert set(line) == {"time_ms", "level", "event", "pid", "dropped_keys"}


def test_a_sentence_that_is_not_constant_is_withheld(stream: io.StringIO) -> None:
    """An event with a number or a name in it does not reach the stream."""
    log.get().info("denied 370811199001011234")
    log.get().info("denied %s", "张三")
    assert [line["event"] for line in _lines(stream)] == ["event withheld"] * 2
    assert log.dropped_keys() == 2


def test_an_exception_logs_its_class_only(stream: io.StringIO) -> None:
    """The traceback that `exception` would add is dropped."""
    try:
        int("张三 370811199001011234")
    except ValueError as error:
        log.get().exception("call failed", error=type(error).__name__)
    assert "张三" not in stream.getvalue()
    assert _lines(stream)[0]["error"] == "ValueError"


@given(st.text(), st.one_of(st.text(), st.integers(), st.binary(), st.none()))
def test_no_key_off_the_list_ever_shows(key: str, value: object) -> None:
    """Whatever is passed, keys of the line are on the list and values short."""
    stream = io.StringIO()
    log.configure(stream, now_ms=lambda: 42)
    try:
        log.get().info("served", **({} if key == "event" else {key: value}))
    finally:
        log.reset()
    (line,) = _lines(stream)
    assert set(line) <= set(log.SHAPES) | {"time_ms", "dropped_keys"}
    assert len(stream.getvalue()) < 300


def test_threads_count_together(stream: io.StringIO) -> None:
    """No dropped key is lost between threads, no line is torn."""
    threads = [
        threading.Thread(
            target=lambda: [log.get().info("served", secret=1) for _ in range(50)]
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(_lines(stream)) == log.dropped_keys() == 400
