"""Processes that end with the one that started them.

On Linux the kernel is asked to send SIGTERM to a child whose parent has died
(prctl(2), PR_SET_PDEATHSIG); elsewhere, and where the parent lives, `end` does
it.  A child never outlives its purpose, whatever happens to the parent.
"""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing import connection
from pathlib import Path
from typing import Final

from node.clock import monotonic_ms

PR_SET_PDEATHSIG: Final = 1
GRACE_MS: Final = 10_000
PARENT: Final = "SAFEHOUSE_PARENT"  # process id, in a child's environment


def end_with_parent() -> None:
    """Ask the kernel to end this process when its parent does.

    The child calls it, first thing, and does nothing if nobody started it as a
    `Child`.  It is no work for the moment between fork and exec: there the
    threads of gRPC are gone and its fork handlers abort the process.
    """
    parent = os.environ.pop(PARENT, "")
    if parent.isdecimal() and sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):  # the parent was faster
            os.kill(os.getpid(), signal.SIGTERM)


def end_with_pool() -> None:
    """End this process when the one that made its pool does; call it in the child.

    Tasks come through a pipe that the siblings hold open too, so a process whose
    parent was killed would wait for the next one for ever.  (The kernel's signal
    is no use here: it would come when the parent's *thread* ends.)  Ctrl-C is for
    whoever started us.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch_parent, name="parent", daemon=True).start()


def _watch_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        raise AssertionError("a process of a pool without a parent")
    connection.wait([parent.sentinel])
    os._exit(1)


class Child:
    """A `safehouse` command that runs beside this process."""

    def __init__(
        self, words: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        with log.open("ab") as file:
            self._process = subprocess.Popen(  # noqa: S603  our own command
                [sys.executable, "-m", "node", *words],
                env={**os.environ, **environment, PARENT: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )

    def first_line(self) -> str:
        """Wait for the first line the child prints; empty if it ended before."""
        if self._process.stdout is None:
            raise AssertionError("a child without a pipe")
        return self._process.stdout.readline().strip()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def end(self) -> int:
        """End the child gracefully, or after `GRACE_MS` at once; return its code."""
        self._process.terminate()
        deadline_ms = monotonic_ms() + GRACE_MS
        while self._process.poll() is None and monotonic_ms() < deadline_ms:
            time.sleep(0.02)
        if self._process.poll() is None:
            self._process.kill()
        code = self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code

    def kill(self) -> None:
        """Kill the child as a power cut would."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
