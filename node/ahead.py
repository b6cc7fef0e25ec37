"""An iterator that works ahead of whoever reads it, in a thread of its own.

So that the steps of a long piece of work overlap: while one item is used the next is
being made.  What the iterator raises is raised to the reader, in its place; a reader
who stops early closes it, and the thread ends after the item at hand.

>>> with Ahead(iter(range(5)), 2) as numbers:
...     print([next(numbers), next(numbers)])
[0, 1]
>>> def fail():
...     yield 1
...     raise KeyError("two")
>>> with Ahead(fail(), 2) as numbers:
...     list(numbers)
Traceback (most recent call last):
    ...
KeyError: 'two'
"""

import threading
from collections.abc import Iterator
from queue import Empty, Full, Queue
from typing import Final, Generic, Self, TypeVar

T = TypeVar("T")

LOOK_S: Final = 0.05  # at whether the reader has stopped


class _End:
    """Stands after the last item, with what was raised."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Ahead(Generic[T]):
    """Reads an iterator up to `ahead` items ahead; context-managed."""

    def __init__(self, items: Iterator[T], ahead: int) -> None:
        self._items = items
        self._made: Queue[T | _End] = Queue(ahead)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._make, name="ahead", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        item = self._made.get()
        if isinstance(item, _End):
            self._made.put(item)  # whoever asks again gets the same
            if item.error is None:
                raise StopIteration
            raise item.error
        return item

    def close(self) -> None:
        """Stop, and wait until the thread has."""
        self._stopped.set()
        while self._thread.is_alive():
            try:
                self._made.get(timeout=LOOK_S)
            except Empty:
                continue
        self._thread.join()

    def _make(self) -> None:
        end = _End(None)
        try:
            for item in self._items:
                if not self._put(item):
                    return
        except BaseException as error:  # noqa: BLE001  it is the reader's
            end = _End(error)
        self._put(end)

    def _put(self, item: T | _End) -> bool:
        while not self._stopped.is_set():
            try:
                self._made.put(item, timeout=LOOK_S)
            except Full:
                continue
            return True
        return False
