r"""Sampled ciphertexts: what an auditor asks a custodian to open, and what it says.

A cell is one ciphertext of a dataset's version: a block and a column, with a value for
every slot.  Whether a custodian encrypted what it says, within each column's range, is
seen by nobody who computes: a value beyond would spoil the subject in the next slot.
So an auditor draws cells by a seed that the custodian did not know when it pushed, the
custodian shows values and exponents, and each ciphertext is computed again.

What an auditor signs under `Tag.CELLS`::

    {"v": "safehouse/cells/1", "auditor", "dataset", "version",
     "root": ciphertext root of the version, "seed": words that fix the choice,
     "cells": [{"block", "column"}, ...]}

The seed is shown, so that a custodian opens what it draws and nothing that was picked.

`check` says in words what does not agree:

 1. *Asked*: every cell is opened, in order, and nothing else.
 2. *Blocks*: the house's ciphertexts stand in what the custodian signed.
 3. *Openings*: each ciphertext holds these values, all within the column's range
    (`protocols.blocks.verify_opening`).

Openings are plaintext; they have no repr.  A slot has no name, and is yet no pseudonym
for an auditor: `job.ask` in the house's journal gives an entry's block, slot and
consent, and registrars hand out whose a consent is (`node.evidence`).  Nor does
anything here bound how often an auditor asks, or how many seeds it tries until one
draws what it likes: a custodian is told what it opens, and need not answer.

>>> cells = Cells("auditor-a", "tax", 1, bytes(32), "5e1f", ((3, 0), (7, 2)))
>>> Cells.parse(cells.to_bytes()) == cells
True
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from contracts.holdings import Version
from contracts.transcript import Block, leaf_of
from protocols.blocks import (
    HASH_BYTES,
    MAX_BLOCKS,
    MAX_COLUMNS,
    Manifest,
    Opening,
    verify_opening,
)
from protocols.canon import Reader, Tag, digest, dumps, loads
from protocols.errors import FormatError, ProtocolError
from protocols.paillier import FixedBase, PublicKey, ciphertext_from_bytes
from protocols.tlog import verify_inclusion

VERSION: Final = "safehouse/cells/1"
OPENED: Final = "safehouse/opened-cells/1"
MOST_CELLS: Final = 1_000  # in one request; each opens a block of values


@dataclass(frozen=True, slots=True)
class Cells:
    """What an auditor asks to be opened."""

    auditor: str
    dataset: str
    version: int
    root: bytes  # of the version's ciphertexts
    seed: str
    cells: tuple[tuple[int, int], ...]  # block and column

    def __post_init__(self) -> None:
        if not 1 <= len(self.cells) <= MOST_CELLS:
            raise FormatError(f"expected 1 to {MOST_CELLS} cells")
        if list(self.cells) != sorted(set(self.cells)):
            raise FormatError("cells are not in order, each once")

    @property
    def hash(self) -> bytes:
        """What an answer names."""
        return digest(Tag.CELLS, self.to_bytes())

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": VERSION,
                "auditor": self.auditor,
                "dataset": self.dataset,
                "version": self.version,
                "root": self.root.hex(),
                "seed": self.seed,
                "cells": [
                    {"block": block, "column": column} for block, column in self.cells
                ],
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "Cells":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, VERSION))
        cells = cls(
            reader.text("auditor"),
            reader.text("dataset"),
            reader.integer("version", 1),
            reader.hex("root", HASH_BYTES),
            reader.text("seed"),
            tuple(map(_cell, reader.readers("cells"))),
        )
        reader.close()
        return cells


def sample(manifest: Manifest, count: int, seed: str) -> tuple[tuple[int, int], ...]:
    """Choose cells of a version; the same seed gives the same ones, in order.

    A custodian that knew the seed could try pushes until none is chosen that it minds.
    """
    start = seed.encode() + manifest.ciphertext_root

    def place(cell: tuple[int, int]) -> bytes:
        block, column = cell
        number = (block * manifest.columns + column).to_bytes(8, "big")
        return sha256(start + number).digest()

    every = (
        (block, column)
        for block in range(manifest.blocks)
        for column in range(manifest.columns)
    )
    return tuple(sorted(heapq.nsmallest(count, every, key=place)))


def check(
    public: PublicKey,
    version: Version,
    cells: Cells,
    opened: Sequence[Opening],
    blocks: Mapping[int, Block],
) -> list[str]:
    """Compute opened ciphertexts again; say what differs."""
    if tuple((item.block, item.column) for item in opened) != cells.cells:  # 1
        return ["opened are other ciphertexts than were asked for"]
    base = FixedBase(public, public.stored_exponent_bits)
    differences, sound = [], dict[int, Block]()
    for number in dict.fromkeys(block for block, _ in cells.cells):  # 2
        block = blocks.get(number)
        if block is None:
            differences.append(f"the house has no block {number}")
            continue
        try:
            _check_block(public, version.manifest, number, block)
        except ProtocolError as error:
            differences.append(f"block {number}: {error}")
        else:
            sound[number] = block
    for item in opened:  # 3
        if item.block in sound:
            limit = version.dataset.encrypted[item.column].limit
            size = public.ciphertext_bytes
            at = item.column * size
            record = sound[item.block].records[at : at + size]
            try:
                verify_opening(base, ciphertext_from_bytes(record), item, limit)
            except ProtocolError as error:
                differences.append(str(error))
    return differences


def write_openings(opened: Sequence[Opening]) -> bytes:
    """Write openings in clear, to be sealed."""
    return dumps(
        {
            "v": OPENED,
            "openings": [
                {
                    "block": item.block,
                    "column": item.column,
                    "values": list(item.values),
                    "exponent": item.exponent.hex(),
                }
                for item in opened
            ],
        }
    )


def read_openings(data: bytes) -> tuple[Opening, ...]:
    """Read openings strictly; raises `FormatError`."""
    reader = Reader(loads(data, OPENED))
    opened = tuple(map(_opening, reader.readers("openings")))
    reader.close()
    return opened


def _check_block(
    public: PublicKey, manifest: Manifest, number: int, block: Block
) -> None:
    leaf = leaf_of(public, manifest, number, block)
    root = manifest.ciphertext_root
    verify_inclusion(leaf, number, manifest.blocks, block.inclusion, root)


def _cell(reader: Reader) -> tuple[int, int]:
    block = reader.integer("block", 0, MAX_BLOCKS - 1)
    column = reader.integer("column", 0, MAX_COLUMNS - 1)
    reader.close()
    return block, column


def _opening(reader: Reader) -> Opening:
    block = reader.integer("block", 0, MAX_BLOCKS - 1)
    column = reader.integer("column", 0, MAX_COLUMNS - 1)
    values = reader.items("values")
    exponent = reader.hex("exponent")
    reader.close()
    numbers = tuple(value for value in values if type(value) is int)
    if len(numbers) != len(values):
        raise FormatError("member `values`: expected integers")
    return Opening(block, column, numbers, exponent)
