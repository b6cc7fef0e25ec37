r"""Encrypt a dataset's blocks, on as many cores as there are, in little memory.

Blocks come one by one, leave as ciphertexts and are forgotten; what is written
is the block file of `protocols.blocks`, in order.  A ciphertext depends on the
seed, its block, its column and its values only, so the file does not depend on
how many processes made it.

Below `IN_PROCESS` ciphertexts it is not worth starting any.  Above, each process
makes its own table of powers and is given some blocks at a time, a few ahead of
the writer.  A process watches the one that started it and ends with it: a
custodian who kills a push leaves nothing behind that holds its data.

>>> import io, secrets
>>> import numpy as np
>>> from protocols import paillier
>>> from protocols.blocks import BlockFile
>>> public = paillier._small_key(512, secrets.token_bytes).public
>>> header = Header("tax", 1, bytes(32), public.key_id, 2, 1, public.ciphertext_bytes)
>>> file, blocks = io.BytesIO(), [np.zeros((1, 11), np.int64)] * 2
>>> root = write_blocks(file, header, Encryption(public, bytes(32), (1,)), blocks)
>>> BlockFile(file.getvalue()).ciphertext_root() == root
True
"""

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import BinaryIO, Final

from node.children import end_with_pool
from node.errors import Unreachable
from node.progress import Progress, silent
from protocols import tlog
from protocols.blocks import Header, encrypt_blocks
from protocols.drbg import Drbg
from protocols.paillier import FixedBase, PublicKey
from protocols.slots import Ints

IN_PROCESS: Final = 2_000  # ciphertexts
MANY: Final = 50_000  # ciphertexts, from which on a wide table of powers pays
TASK: Final = 200  # ciphertexts that a process is given at a time, about
AHEAD: Final = 3  # tasks for each process, with the one it works on


@dataclass(frozen=True, slots=True)
class Encryption:
    """With what a dataset is encrypted; travels to the processes as it is."""

    public: PublicKey
    seed: bytes = field(repr=False)  # all exponents hang on it
    limits: tuple[int, ...]  # largest value of each column
    workers: int = 1
    wide: bool = False  # whether a wide table of powers pays


class _Encryptor:
    """Encrypts blocks in the process it was made in."""

    def __init__(self, plan: Encryption) -> None:
        public = plan.public
        bits = public.stored_exponent_bits
        self._base = (
            FixedBase(public, bits, wide=True) if plan.wide else _narrow(public, bits)
        )
        self._drbg = Drbg(plan.seed)
        self._limits = plan.limits

    def encrypt(self, first: int, blocks: list[Ints]) -> list[bytes]:
        """Encrypt blocks `first`, `first` + 1, ..."""
        return encrypt_blocks(self._base, self._drbg, first, blocks, self._limits)


@lru_cache(maxsize=1)  # who pushes many small datasets makes the table once
def _narrow(public: PublicKey, bits: int) -> FixedBase:
    return FixedBase(public, bits)


def write_blocks(
    file: BinaryIO,
    header: Header,
    plan: Encryption,
    blocks: Iterable[Ints],
    progress: Progress = silent,
) -> bytes:
    """Encrypt `blocks` into `file`; return the ciphertext root.

    `blocks` yields values of shape (columns, slots), `header.blocks` of them.
    `progress` counts blocks.  Raises `Unreachable` when a process was ended
    from outside: nothing was sent yet, and doing it again makes the same bytes.
    """
    file.write(header.to_bytes())
    leaves: list[bytes] = []
    for records in _encrypted(header, plan, blocks):
        file.write(records)
        leaves.append(header.leaf(len(leaves), records))
        progress(len(leaves), header.blocks)
    if len(leaves) != header.blocks:
        raise RuntimeError(f"expected {header.blocks} blocks, got {len(leaves)}")
    return tlog.root_of(leaves)


def _encrypted(
    header: Header, plan: Encryption, blocks: Iterable[Ints]
) -> Iterator[bytes]:
    tasks = _tasks(blocks, max(1, TASK // header.columns))
    plan = replace(plan, wide=header.blocks * header.columns >= MANY)
    if plan.workers == 1 or header.blocks * header.columns < IN_PROCESS:
        here = _Encryptor(plan)
        for first, values in tasks:
            yield from here.encrypt(first, values)
        return
    with ProcessPoolExecutor(
        plan.workers, multiprocessing.get_context("spawn"), _begin, (plan,)
    ) as pool:
        try:
            yield from _in_order(pool, tasks, AHEAD * plan.workers)
        except BrokenProcessPool:
            raise Unreachable(
                "a process that encrypts was ended from outside; nothing was sent",
                "run it again, with fewer workers if memory is short",
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor, tasks: Iterator[tuple[int, list[Ints]]], ahead: int
) -> Iterator[bytes]:
    """Keep `ahead` tasks under way and no more: results wait in memory."""
    waiting: deque[Future[list[bytes]]] = deque()
    for first, values in tasks:
        waiting.append(pool.submit(_encrypt, first, values))
        if len(waiting) == ahead:
            yield from waiting.popleft().result()
    while waiting:
        yield from waiting.popleft().result()


def _tasks(blocks: Iterable[Ints], size: int) -> Iterator[tuple[int, list[Ints]]]:
    first, values = 0, list[Ints]()
    for block in blocks:
        values.append(block)
        if len(values) == size:
            yield first, values
            first, values = first + size, []
    if values:
        yield first, values


# -- in a process of the pool


class _Here:
    """What a process was begun with; empty in ours."""

    encryptor: _Encryptor


def _begin(plan: Encryption) -> None:
    end_with_pool()
    _Here.encryptor = _Encryptor(plan)


def _encrypt(first: int, values: list[Ints]) -> list[bytes]:
    return _Here.encryptor.encrypt(first, values)
