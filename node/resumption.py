"""How a house goes through what was left half-way: one must not keep the others."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from node import log
from node.errors import Unreachable

Left = TypeVar("Left")


def finish_each(left: Iterable[Left], finish: Callable[[Left], int], event: str) -> int:
    """Finish one after the other; return how many `finish` says were.

    What fails is logged as `event`, and stays.  Where nobody answers it ends: the
    others would wait as long for nobody.
    """
    finished = 0
    for one in left:
        try:
            finished += finish(one)
        except Unreachable as error:
            log.get().error(event, error=type(error).__name__)
            break
        except Exception as error:  # noqa: BLE001  whatever it is, it is this one's
            log.get().error(event, error=type(error).__name__)
    return finished
