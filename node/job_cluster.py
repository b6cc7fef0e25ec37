"""Computes a job's blocks on a Dask cluster, by configuration (`[jobs]`).

The same works as `node.job_workers` hands to processes of this machine go to the
workers of a `dask.distributed` scheduler; each machine sees the block files under equal
paths.  A work is idempotent and what comes back does not depend on who did it, so a
worker may be killed at any moment: the scheduler gives its work to another.

A worker holds what the house holds, ciphertexts and seeds, and is part of it: whoever
runs the cluster runs the house.  Seeds travel to it, so the scheduler is reached by
`tls://`; plain `tcp://` is refused but on this machine.  Certificates are Dask's own
configuration (`distributed.comm.tls`).

`dask.distributed` is an extra: `pip install 'data-safehouse[dask]'`.
"""

import importlib
import ipaddress
import threading
from collections.abc import Sequence
from typing import Any, Final

from node.errors import ConfigInvalid, NodeError, Unreachable
from node.job_work import Computer, Made, Work
from protocols.paillier import PublicKey

NEEDS: Final = "pip install 'data-safehouse[dask]'"
TRIES: Final = 5  # of one work, each time by another worker
PATIENCE_S: Final = 60.0  # for a scheduler to be there


class Cluster:
    """The workers of a Dask scheduler; thread-safe.

    Raises `ConfigInvalid` without `dask.distributed`, and for an address to which
    seeds would travel in clear.
    """

    def __init__(self, public: PublicKey, scheduler: str) -> None:
        check_scheduler(scheduler)
        self._public = public
        self._scheduler = scheduler
        self._distributed = _distributed()
        self._client: Any = None
        self._lock = threading.Lock()

    def compute(self, work: Work) -> Sequence[Made]:
        """Do one work; raises `VaultDamaged`, or `Unreachable` without workers."""
        client = self._connected()
        try:
            future = client.submit(
                compute_on_worker, self._public, work, pure=False, retries=TRIES
            )
            made: Sequence[Made] = future.result()
        except NodeError:
            raise  # what the worker found
        except Exception as error:  # noqa: BLE001
            # Whatever became of the cluster: a work is done again, by whoever is there.
            raise Unreachable(
                f"the cluster at `{self._scheduler}` does not compute:"
                f" {type(error).__name__}",
                "are its workers running, and do they see the block files?",
            ) from None
        return made

    def rest(self) -> None:
        """Let go of the scheduler, until the next work."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> Any:  # noqa: ANN401  a distributed.Client
        with self._lock:
            if self._client is None:
                try:
                    self._client = self._distributed.Client(
                        self._scheduler, timeout=PATIENCE_S, set_as_default=False
                    )
                except OSError as error:
                    raise Unreachable(
                        f"no scheduler at `{self._scheduler}`: {type(error).__name__}",
                        "is it running? the job goes on when it is there",
                    ) from None
            return self._client


def check_scheduler(address: str) -> None:
    """Raise `ConfigInvalid` for an address to which seeds would travel in clear."""
    scheme, _, rest = address.partition("://")
    host = rest.rpartition(":")[0].strip("[]")
    try:
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = False
    if not host or (scheme != "tls" and not (scheme == "tcp" and here)):
        raise ConfigInvalid(
            f"expected a scheduler `tls://host:port`, got `{address}`",
            "seeds travel to the workers; `tcp://` is for this machine only",
        )


def _distributed() -> Any:  # noqa: ANN401  a module that may not be there
    try:
        return importlib.import_module("distributed")
    except ModuleNotFoundError:
        raise ConfigInvalid("`dask.distributed` is not installed", NEEDS) from None


# -- on a worker


class _Here:
    """What a worker keeps between works: tables, by key."""

    computers: Final[dict[str, Computer]] = {}
    lock: Final = threading.Lock()


def compute_on_worker(public: PublicKey, work: Work) -> list[Made]:
    """Do one work in a worker's process."""
    with _Here.lock:
        computer = _Here.computers.get(public.key_id)
        if computer is None:
            computer = _Here.computers[public.key_id] = Computer(public)
        return computer.compute(work)
