"""The tree of commands, and how every one of them ends.

A command's room is read when the command is called: a teller does not wait for what
serves a node.
"""

import gc
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module, metadata
from typing import Annotated, Final

import typer

from contracts.errors import ContractError
from node.errors import Denied, NodeError
from protocols.errors import ProtocolError

CALLED_WRONGLY: Final = 2
DOCUMENT_REFUSED: Final = 3  # what somebody wrote is not as it must be
BYTES_REFUSED: Final = 4  # what another party sent is not as it must be
INTERRUPTED: Final = 130  # by the keyboard, as shells count

# Rooms of this folder, and the first words of the commands that each adds.
ROOMS: Final[Mapping[str, tuple[str, ...]]] = {
    "setup": ("init", "up", "witness", "doctor", "demo"),
    "succession": ("key", "domain"),
    "backup": ("backup", "restore"),
    "custodian": ("register", "push", "approve", "open"),
    "quality": ("collection",),
    "repair": ("repair",),
    "attributes": ("attributes",),
    "contract": (
        "check",
        "plan",
        "schema",
        "submit",
        "activate",
        "retire",
        "contracts",
    ),
    "scorecard": ("from-scorecard",),
    "catalogue": ("catalogue",),
    "consent": ("consent",),
    "bank": ("score", "model", "range", "verify"),
    "rating": ("rating",),
    "query": ("query",),
    "job": ("job",),
    "psi": ("psi",),
    "feedback": ("feedback",),
    "subject": ("subject",),
    "audit": ("audit",),
    "statistics": ("statistics",),
}


def tree(rooms: Iterable[str] = ROOMS) -> typer.Typer:
    """Build the tree of commands, or as much of it as some rooms add."""
    app = typer.Typer(
        name="safehouse",
        help="Data Safe House 数据安全屋: ask about records, get the answer, "
        "never the records.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_options)  # a tree, even of one command
    for room in rooms:
        import_module(f"node.cli.{room}").add_to(app)
    return app


def _say_version(asked: bool) -> None:  # noqa: FBT001  typer calls it
    if asked:
        print(f"safehouse {metadata.version('data-safehouse')}")
        raise typer.Exit


def _options(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_say_version,
            is_eager=True,
            help="Say which this is.",
        ),
    ] = False,
) -> None:
    """Take the options that go without a command."""


def main() -> None:
    """Run the command of this process; never shows a traceback for others' faults."""
    word = "".join(sys.argv[1:2])
    rooms = [room for room, words in ROOMS.items() if word in words] or ROOMS
    try:
        code = _read(rooms)(standalone_mode=False) or 0
    except typer.TyperException as error:
        code = _misused(error)
    except Denied as error:
        code = _told(f"{error.reason}: {error}", error.hint, error.exit_code)
    except NodeError as error:
        code = _told(error, error.hint, error.exit_code)
    except ContractError as error:
        code = _told(error, error.hint, DOCUMENT_REFUSED)
    except ProtocolError as error:
        code = _told(error, error.hint, BYTES_REFUSED)
    except OSError as error:
        what = str(error.strerror or error).lower()
        where = f": `{error.filename}`" if error.filename else ""
        code = _told(f"{what}{where}", "", CALLED_WRONGLY)
    if code == INTERRUPTED:
        _told("interrupted; what was acknowledged stands", "", code)
    sys.exit(code)


def _read(rooms: Iterable[str]) -> typer.Typer:
    """Read rooms while no garbage is looked for: there is none."""
    gc.disable()
    app = tree(rooms)
    gc.enable()
    return app


def _misused(error: typer.TyperException) -> int:
    """Say in our own words what typer finds wrong with a command line."""
    said, _, meant = error.format_message().partition(" Did you mean ")
    if "\n" in said:  # a command without its verb: this is its help
        print(said, file=sys.stderr)
        return CALLED_WRONGLY
    said = said.replace(": Value error, ", ": ").replace("'", "`").rstrip(".")
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "safehouse"
    hint = f"did you mean {meant}".replace("'", "`") if meant else f"`{command} --help`"
    return _told(said[:1].lower() + said[1:], hint, CALLED_WRONGLY)


def _told(error: object, hint: str, code: int) -> int:
    print(f"safehouse: error: {_harmless(str(error))}", file=sys.stderr)
    if hint:
        print(f"hint: {_harmless(hint)}", file=sys.stderr)
    return code


def _harmless(text: str) -> str:
    """Escape what would steer a terminal: the words may be a stranger's."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
