"""Computes a job's blocks on as many cores as there are.

Works go to processes of a pool, each with tables of its own; what comes back does
not depend on how many there are, nor on who did what.  A work is idempotent, so
one that was under way when a process was killed is simply done again: nothing of
it had left this machine.

Below `IN_PROCESS` blocks it is not worth starting any.  A process ends with the
house, however that ends, and when there is nothing to do.
"""

import multiprocessing
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Final

from node import log
from node.children import end_with_pool
from node.errors import Unreachable
from node.job_work import Computer, Made, Work
from protocols.paillier import PublicKey

IN_PROCESS: Final = 300  # blocks
TRIES: Final = 5  # of one work, each time with new processes


class Workers:
    """A pool of processes that is there when it is needed; thread-safe."""

    def __init__(self, public: PublicKey, count: int) -> None:
        self._public = public
        self._count = count
        self._done = 0  # blocks since it last rested
        self._pool: ProcessPoolExecutor | None = None
        self._here: Computer | None = None
        self._lock = threading.Lock()
        self._computing = threading.Lock()  # in this process

    def compute(self, work: Work) -> Sequence[Made]:
        """Do one work; raises `VaultDamaged`, or `Unreachable` when all else fails."""
        with self._lock:
            self._done += len(work.blocks)
            few = self._done <= IN_PROCESS
        if few or self._count == 1:
            return self._compute_here(work)
        for _ in range(TRIES):
            pool = self._started()
            try:
                return pool.submit(_compute, work).result()
            except BrokenProcessPool:
                log.get().error("worker lost")
                self._forget(pool)
            except RuntimeError:
                if self._pool is pool:
                    raise
                # Somebody else has found the pool broken before us.
        raise Unreachable(
            "processes that compute are ended from outside, again and again",
            "is there enough memory? set fewer `workers`",
        )

    def rest(self) -> None:
        """End the processes until there is work again."""
        with self._lock:
            pool, self._pool, self._done = self._pool, None, 0
        if pool is not None:
            pool.shutdown(cancel_futures=True)

    def _compute_here(self, work: Work) -> Sequence[Made]:
        with self._computing:
            if self._here is None:  # its table is long, and many jobs never come
                self._here = Computer(self._public)
            return self._here.compute(work)

    def _started(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                context = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(
                    self._count, context, _begin, (self._public,)
                )
            return self._pool

    def _forget(self, pool: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._pool is pool:
                self._pool = None
        pool.shutdown(wait=False, cancel_futures=True)


# -- in a process of the pool


class _Here:
    """What a process was begun with; empty in ours."""

    computer: Computer


def _begin(public: PublicKey) -> None:
    end_with_pool()
    _Here.computer = Computer(public)


def _compute(work: Work) -> list[Made]:
    return _Here.computer.compute(work)
