"""How long work says how far it is: a function of (done, total)."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bar

Progress: TypeAlias = Callable[[int, int], None]


def silent(_done: int, _total: int) -> None:
    """Say nothing."""


@contextmanager
def shown(what: str, *, quiet: bool = False) -> Iterator[Progress]:
    """Show a bar on stderr while something runs; nothing where nobody looks."""
    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=quiet or not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
