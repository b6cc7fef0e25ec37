"""The unit of a job's computing: some blocks of a contract, under one seed.

A `Work` says everything a process needs: the contract's canonical bytes, the files
that hold the blocks' ciphertexts, the blocks with their inputs and slots, and the
seed.  It is plain data, so it travels to another process or machine that sees the
same files, and it is idempotent: whoever does it, however often, makes the same
bytes (`contracts.inputs.block_messages`).

A worker believes no file: before a block is used, its ciphertexts are hashed and
compared with the leaf that the work names; one that differs is `VaultDamaged`.

What a worker holds, ciphertexts, seeds and tables, is what the house holds anyway;
it has no key.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeAlias

from contracts import inputs as inputs_room
from contracts.compiled import Compiled
from contracts.inputs import Block, Inputs
from node.errors import NotFound, VaultDamaged
from node.mapped import Mapped
from protocols.blocks import BlockFile
from protocols.call import Input
from protocols.lookup import Message
from protocols.paillier import FixedBase, PublicKey, ciphertext_to_bytes
from protocols.program import Program
from protocols.split import SplitGate

Record: TypeAlias = bytes | memoryview  # of a ciphertext

CONTRACTS_KEPT: Final = 4  # of which a worker keeps program and tables


@dataclass(frozen=True, slots=True)
class BlockWork:
    """One block: what it rests on, and the slots asked about."""

    number: int
    items: tuple[Input, ...]  # in the contract's order of datasets
    slots: tuple[int, ...]  # ascending

    @property
    def block(self) -> Block:
        """The block with its inputs root."""
        return Block(self.number, Inputs(self.number, 0, self.items).root, self.slots)


@dataclass(frozen=True, slots=True)
class Work:
    """Some blocks of one contract under one seed."""

    contract: bytes  # canonical bytes of `Compiled`
    files: tuple[tuple[str, int, str], ...]  # dataset, version, path of its blocks
    blocks: tuple[BlockWork, ...]
    seed: bytes = field(repr=False)


class Made(NamedTuple):
    """What came of a block."""

    message: Message
    pad_key: bytes

    def __repr__(self) -> str:
        return object.__repr__(self)  # secrets have none


class Computing(Protocol):
    """Does works, here or elsewhere."""

    def compute(self, work: Work) -> Sequence[Made]:
        """Do one work and return what came of each block.

        Raises `VaultDamaged`, and `Unreachable` where no worker lives long enough.
        """

    def rest(self) -> None:
        """Let go of whoever computes, until the next work."""


class Computer:
    """Does works in the process it was made in; for one thread at a time."""

    def __init__(self, public: PublicKey) -> None:
        self._public = public
        self._obfuscators = FixedBase(public, public.authority_exponent_bits)
        self._contracts: OrderedDict[bytes, tuple[Compiled, Program, SplitGate]] = (
            OrderedDict()
        )
        self._files: dict[str, tuple[Mapped, BlockFile]] = {}

    def compute(self, work: Work) -> list[Made]:
        """Do one work."""
        compiled, program, gate = self._contract(work.contract)
        files = {name: (version, path) for name, version, path in work.files}
        zero = ciphertext_to_bytes(self._public, inputs_room.ZERO)
        records = []
        for block in work.blocks:
            inputs = Inputs(block.number, 0, block.items)

            def read(
                item: Input, numbers: Sequence[int], number: int = block.number
            ) -> list[Record]:
                version, path = files[item.dataset]
                if version != item.version:
                    raise AssertionError("a work names another version than its inputs")
                return self._read(path, number, item, numbers)

            records.append(b"".join(inputs_room.columns(compiled, inputs, read, zero)))
        for mapped, _ in self._files.values():
            mapped.let_go()
        totals = program.run_records(self._public, records)
        messages = inputs_room.block_messages(
            gate,
            self._obfuscators,
            totals,
            [block.block for block in work.blocks],
            work.seed,
        )
        return [Made(*message) for message in messages]

    def _contract(self, data: bytes) -> tuple[Compiled, Program, SplitGate]:
        known = self._contracts.get(data)
        if known is None:
            compiled = Compiled.parse(data)
            known = compiled, Program(compiled.card), SplitGate(compiled.card)
            self._contracts[data] = known
            while len(self._contracts) > CONTRACTS_KEPT:
                self._contracts.popitem(last=False)
        return known

    def _read(
        self, path: str, block: int, item: Input, numbers: Sequence[int]
    ) -> list[Record]:
        file = self._file(path)
        if file.leaf(block) != item.leaf:
            raise VaultDamaged(
                f"block {block} of dataset `{item.dataset}` version {item.version}"
                " was changed on the disk",
                "restore it from a backup, or ask the custodian to push again",
            )
        return [file.record(block, number) for number in numbers]

    def _file(self, path: str) -> BlockFile:
        if path not in self._files:
            try:
                mapped = Mapped(Path(path))
            except FileNotFoundError:
                raise NotFound(f"no block file `{Path(path).name}`") from None
            self._files[path] = mapped, BlockFile(mapped.data)
        _, file = self._files[path]
        return file
