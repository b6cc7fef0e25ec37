"""What a call is computed from, and the message that comes of it.

One block of every dataset that the contract reads, in the contract's order, and
the slot asked about.  Everything here is a function of these and of the call's
seed, so the house, the house after a crash, and an auditor who holds the seed
make the same message byte for byte (PROTOCOL 3 and 12).

A dataset that was never pushed, or not as far as the block, counts as zeros: its
`_present` is 0 for everybody, hence insufficient_data.  In the ticket it has
version 0, and noughts for hashes.

>>> absent("tax/returns").version, basis(None, block=3) == (0, NOTHING)
(0, True)
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from contracts.compiled import Compiled
from protocols.blocks import Manifest
from protocols.call import HASH_BYTES, Input, Ticket, inputs_root
from protocols.drbg import block_seed
from protocols.lookup import Gate, Message, Unmasked, mask, mask_all
from protocols.paillier import Ciphertext, FixedBase, ciphertext_from_bytes

NOTHING: Final = bytes(HASH_BYTES)  # leaf and row map of a dataset that is absent
C = TypeVar("C")  # a ciphertext, read or as its record
ZERO: Final = ciphertext_from_bytes(b"\x01")  # 0 under r = 0; only ever summed


@dataclass(frozen=True, slots=True)
class Inputs:
    """One block of every dataset a contract reads, and the slot asked about."""

    block: int
    slot: int
    items: tuple[Input, ...]  # in the contract's order of datasets

    @classmethod
    def of(cls, ticket: Ticket) -> "Inputs":
        """Take the inputs that a ticket names."""
        return cls(ticket.block, ticket.slot, ticket.inputs)

    @property
    def root(self) -> bytes:
        """The inputs root."""
        return inputs_root(self.items)


@dataclass(frozen=True, slots=True)
class Block:
    """A block, what it rests on, and the slots asked about."""

    number: int
    root: bytes  # inputs root
    slots: tuple[int, ...]  # ascending


def basis(newest: Manifest | None, block: int) -> tuple[int, bytes]:
    """Return the version and row map on which `block` of a dataset rests.

    `newest` is the newest version pushed, if there is one.
    """
    if newest is None or block >= newest.blocks:
        return 0, NOTHING
    return newest.version, newest.row_map_root


def absent(dataset: str) -> Input:
    """Return the input of a dataset that has nothing in a block."""
    return Input(dataset, 0, NOTHING, NOTHING)


def columns(
    compiled: Compiled,
    inputs: Inputs,
    read: Callable[[Input, Sequence[int]], Iterable[C]],
    zero: C,
) -> list[C]:
    """Return a ciphertext for each of the contract's columns, in its order.

    `read` finds some columns, by their numbers in the dataset, of the block of
    an input that is there; elsewhere is `zero`.
    """
    found = {}
    for item in inputs.items:
        numbers = [c.index for c in compiled.columns if c.dataset == item.dataset]
        found[item.dataset] = iter(
            read(item, numbers) if item.version else [zero] * len(numbers)
        )
    return [next(found[column.dataset]) for column in compiled.columns]


def message(
    gate: Gate,
    obfuscators: FixedBase,
    totals: Sequence[Ciphertext],
    inputs: Inputs,
    seed: bytes,
    share: int | None = None,
) -> tuple[Message, bytes]:
    """Mask a block's totals for the authority; the bank's pads with it.

    `share` is the house's of a number that the bank adds, where it adds one.
    """
    shares = () if share is None else (share,)
    of_block = block_seed(seed, inputs.block, inputs.root)
    return mask(gate, obfuscators, totals, (inputs.slot,), of_block, shares)


def candidates_message(
    gate: Gate,
    obfuscators: FixedBase,
    totals: Sequence[Ciphertext],
    block: Block,
    seed: bytes,
) -> tuple[Message, bytes]:
    """Mask a block's totals, with tables for some of its slots, all treated alike."""
    of_block = block_seed(seed, block.number, block.root)
    return mask(gate, obfuscators, totals, block.slots, of_block)


def block_messages(
    gate: Gate,
    obfuscators: FixedBase,
    totals: Sequence[Ciphertext],
    blocks: Sequence[Block],
    seed: bytes,
) -> list[tuple[Message, bytes]]:
    """Mask blocks' totals, with tables for some of their slots.

    What comes of a slot hangs on the seed, the block and its inputs, and the
    slot's number: not on which others are asked about.
    """
    unmasked = [
        Unmasked((total,), block.slots, block_seed(seed, block.number, block.root))
        for total, block in zip(totals, blocks, strict=True)
    ]
    return mask_all(gate, obfuscators, unmasked)
