"""What all commands share: where a party's files are, how things are printed."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from node import config, keys
from node.config import Config
from node.domain import Role, TrustDomain
from node.errors import ConfigInvalid
from node.keys import Keys
from node.succession import trusted

K = TypeVar("K", bound=Keys)

WIDTH: Final = 100  # where the output is no terminal

ConfigPath = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        envvar="SAFEHOUSE_CONFIG",
        help="The party's safehouse.toml.",
        show_default=True,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document for machines.")
]
DEFAULT_CONFIG: Final = Path(config.FILE_NAME)


def console() -> Console:
    """Print to stdout; as wide as the terminal, or `WIDTH`."""
    width = None if sys.stdout.isatty() else WIDTH
    return Console(width=width, highlight=False, soft_wrap=not sys.stdout.isatty())


def load(path: Path, kind: type[K], *roles: Role) -> tuple[Config, K, TrustDomain]:
    """Open a party's configuration, trust domain and keys; raises `NodeError`."""
    settings = config.load(path)
    if settings.role not in roles:
        raise ConfigInvalid(
            f"`{path}` is of role `{settings.role}`, this command is for "
            f"{' or '.join(f'`{role}`' for role in roles)}",
            "name another party's file with `--config`",
        )
    trust = trusted(settings)
    return settings, keys.load(kind, settings, trust), trust


def show(
    document: Mapping[str, object], *, as_json: bool, text: Callable[[Console], None]
) -> None:
    """Print a result: one JSON document, or text for people."""
    if as_json:
        print(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        text(console())


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Lay out rows under headers, without lines."""
    laid = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        laid.add_column(header, overflow="fold")
    for row in rows:
        laid.add_row(*row)
    return laid
