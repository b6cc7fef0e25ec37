"""Exit codes: a number of its own for every way in which a command can end."""

import inspect

from node import errors
from node.errors import NodeError

ALL = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, NodeError)
]


def test_every_error_has_its_own_code() -> None:
    """Scripts can tell any two of them apart, and from the shell's own."""
    codes = {kind.exit_code: kind.__name__ for kind in ALL}
    assert len(codes) == len(ALL)
    assert codes.pop(1) == "NodeError"
    assert all(10 <= code < 64 for code in codes)


def test_the_table_names_every_code() -> None:
    """The docstring's tree and table are complete and right."""
    text = inspect.getdoc(errors) or ""
    rows = {
        line.split()[1].strip("`"): int(line.split()[0])
        for line in text.splitlines()
        if line[:1].isdigit() and line.split()[1].startswith("`")
    }
    wanted = {kind.__name__: kind.exit_code for kind in ALL if kind is not NodeError}
    assert rows == wanted
    for name in wanted:
        assert f"── {name} " in text


def test_a_hint_is_apart() -> None:
    """The message is one line without the hint."""
    error = errors.ConfigInvalid("no such file", "make one")
    assert (str(error), error.hint) == ("no such file", "make one")
    assert errors.ConfigInvalid("no such file").hint == ""
