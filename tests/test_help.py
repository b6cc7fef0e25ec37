"""`--help`, as whoever sits at the desk reads it."""

import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from node.cli.app import ROOMS, tree

ROOT = Path(__file__).parent.parent
ROOM = 64  # columns that a summary has beside its command on a narrow screen
WITHOUT_JSON = ("up", "witness", "schema")  # its output is a log, in JSON lines


def commands(group: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401
    """Walk the tree: (words, command)."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *words, name)
        else:
            yield (*words, name), command


ALL = dict(commands(typer.main.get_command(tree())))


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_has_a_summary_and_an_example(words: tuple[str, ...]) -> None:
    """One line that fits, an example that parses, a word about every option."""
    command = ALL[words]
    text = command.help or ""
    summary, _, rest = text.partition("\n")
    example = " ".join(rest.partition("Example: ")[2].split()).replace("...", "")
    typed = shlex.split(example)

    assert len(summary) <= ROOM
    assert summary.endswith(".")
    assert typed[: 1 + len(words)] == ["safehouse", *words]
    with command.make_context(words[-1], typed[1 + len(words) :]):
        pass  # raises for what is missing, misspelt or of another type
    assert [param.name for param in command.params if not param.help] == []


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_machines_can_read_every_command(words: tuple[str, ...]) -> None:
    """`--json` is there wherever something is told."""
    options = {option for param in ALL[words].params for option in param.opts}
    assert ("--json" in options) is (words[-1] not in WITHOUT_JSON)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_adds_the_commands_it_is_read_for(room: str) -> None:
    """No command is missed, and none is read for another's sake."""
    added: Any = typer.main.get_command(tree([room]))
    assert tuple(added.commands) == ROOMS[room]


def test_the_version_is_the_project_s() -> None:
    """`safehouse --version` says what pyproject.toml says."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    ran = CliRunner().invoke(tree(()), ["--version"])
    assert ran.output == f"safehouse {project['version']}\n"
