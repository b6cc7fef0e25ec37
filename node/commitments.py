"""How a bank's commitments reach the house: beside its questions, many at a time.

Every answer that was read is committed to (PROTOCOL 3, step 7).  Sent one by one
between the questions, commitments would double the messages and the transactions of
the house; so a thread of its own gathers them for `LINGER_S` and sends what there is.
When a commitment is sent does not depend on what was read.

What could not be sent is not lost: it stands in the bank's receipts, uncommitted,
until `flush` sends it again; the house keeps each one once.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

from node.errors import NodeError
from protocols.sign import Signed

LINGER_S: Final = 0.05
AT_ONCE: Final = 256  # commitments a message

Commitment: TypeAlias = tuple[bytes, Signed]  # request hash, what was signed


class Commitments:
    """Sends commitments from a thread of its own; thread-safe.

    `send` sends some and returns the places of those that were refused; `arrived` is
    told the request hashes of the others.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Signed]], Collection[int]],
        arrived: Callable[[Sequence[bytes]], None],
    ) -> None:
        self._send = send
        self._arrived = arrived
        self._waiting: list[Commitment] = []
        self._under_way = 0
        self._hurry = False
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="commit", daemon=True)
        self._thread.start()

    def put(self, *commitments: Commitment) -> None:
        """Take commitments to be sent."""
        with self._changed:
            if self._closing:
                raise RuntimeError("the client is closed")
            self._waiting += commitments
            self._changed.notify_all()

    def settle(self, timeout_s: float) -> None:
        """Send what is waiting now; return once it has arrived or could not."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: not self._waiting and not self._under_way, timeout_s
            )

    def close(self, timeout_s: float) -> None:
        """Send what is waiting and end."""
        self.settle(timeout_s)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while batch := self._gather():
            with suppress(NodeError):  # they stay uncommitted, until `flush`
                refused = self._send([signed for _, signed in batch])
                self._arrived(
                    [call for i, (call, _) in enumerate(batch) if i not in refused]
                )
            with self._changed:
                self._under_way = 0
                self._changed.notify_all()

    def _gather(self) -> list[Commitment]:
        """Wait for commitments, and a little for more; empty once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            self._changed.wait_for(
                lambda: self._hurry or self._closing or len(self._waiting) >= AT_ONCE,
                LINGER_S,
            )
            batch, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
            self._under_way = len(batch)
            self._hurry = self._hurry and bool(self._waiting)
            return batch
