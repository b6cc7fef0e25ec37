"""How long work says how far it is: a function of (done, total)."""

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int], None]


def silent(_done: int, _total: int) -> None:
    """Say nothing."""
