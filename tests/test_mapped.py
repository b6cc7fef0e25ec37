"""Mapped files that are let go are no part of a process's memory."""

from pathlib import Path

import pytest

from node.mapped import MANY, Mapped

SIZE = 32 << 20
PAGE = 4096


def resident() -> int:
    """Return the bytes of mapped files that this process holds."""
    status = Path("/proc/self/status").read_text()
    (line,) = (item for item in status.splitlines() if item.startswith("RssFile"))
    return int(line.split()[1]) * 1024


@pytest.fixture
def file(tmp_path: Path) -> Mapped:
    """Map a file of zeros."""
    path = tmp_path / "blocks"
    path.write_bytes(bytes(SIZE))
    return Mapped(path)


def test_what_is_let_go_is_not_held(file: Mapped) -> None:
    """And is read again when it is needed."""
    before = resident()
    assert not any(file.data[::PAGE])
    assert resident() - before > SIZE // 2
    file.let_go()
    assert resident() - before < SIZE // 4
    assert file.data[-1] == 0


def test_whoever_goes_through_holds_little(file: Mapped) -> None:
    """Whatever the file's size."""
    blocks, before, most = SIZE // PAGE, resident(), 0
    for block in file.through(blocks):
        assert file.data[block * PAGE] == 0
        most = max(most, resident() - before) if block % 500 == 0 else most
    assert blocks > 4 * MANY
    assert most < SIZE // 2
    assert resident() - before < SIZE // 4
