"""The house's computation: from a contract and a slot to a masked message.

Reads one block of every dataset that a contract reads, runs the contract's
program over it and masks what comes out.  Everything but the seed is on the
disk, so a call that was interrupted, and an auditor with the seed, make the
same message byte for byte.

A dataset that was never pushed, or not as far as the block, counts as zeros:
its `_present` is 0 for everybody, hence insufficient_data.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import apsw

from contracts.compiled import Compiled
from node.registry import Registry
from node.vault import Vault
from protocols.call import HASH_BYTES, Input, inputs_root
from protocols.drbg import block_seed
from protocols.lookup import Message, house_message
from protocols.paillier import (
    Ciphertext,
    FixedBase,
    PublicKey,
    ciphertext_from_bytes,
)
from protocols.slots import slots_per_block

TOTALS_KEPT: Final = 4096
ZERO: Final = ciphertext_from_bytes(b"\x01")  # 0 under r = 0; only ever summed
NOTHING: Final = bytes(HASH_BYTES)  # leaf and row map of a dataset never pushed


@dataclass(frozen=True, slots=True)
class Inputs:
    """One block of every dataset a contract reads, and the slot asked about."""

    block: int
    slot: int
    items: tuple[Input, ...]  # in the contract's order of datasets

    @property
    def root(self) -> bytes:
        """The inputs root."""
        return inputs_root(self.items)


class Engine:
    """Computes masked messages; thread-safe."""

    def __init__(self, public: PublicKey, registry: Registry, vault: Vault) -> None:
        self._public = public
        self._registry = registry
        self._vault = vault
        self._obfuscators = FixedBase(public, public.authority_exponent_bits)
        self._totals: OrderedDict[tuple[bytes, bytes, int], Ciphertext] = OrderedDict()
        self._lock = threading.Lock()

    def inputs(self, db: apsw.Connection, compiled: Compiled, number: int) -> Inputs:
        """Find the newest inputs of row `number` of the directory."""
        block, slot = divmod(number, slots_per_block(self._public.bits))
        items = []
        for use in compiled.datasets:
            manifest = self._registry.manifest(db, use.id)
            if manifest is None or block >= manifest.blocks:
                items.append(Input(use.id, 0, NOTHING, NOTHING))
                continue
            leaf = self._vault.open(manifest.ciphertext_root).leaves[block]
            items.append(Input(use.id, manifest.version, leaf, manifest.row_map_root))
        return Inputs(block, slot, tuple(items))

    def message(
        self, db: apsw.Connection, compiled: Compiled, inputs: Inputs, seed: bytes
    ) -> tuple[Message, bytes]:
        """Mask a block's total for the authority; the bank's pad key with it."""
        return house_message(
            self._registry.gate(compiled),
            self._public,
            self._obfuscators,
            self._total(db, compiled, inputs),
            (inputs.slot,),
            block_seed(seed, inputs.block, inputs.root),
        )

    def _total(
        self, db: apsw.Connection, compiled: Compiled, inputs: Inputs
    ) -> Ciphertext:
        """Run the contract's program over a block; what comes out never leaves.

        It is kept by contract and inputs: the 49 to 75 subjects of a block
        share it, and every call masks and re-randomises it anew.
        """
        name = compiled.hash, inputs.root, inputs.block
        with self._lock:
            total = self._totals.get(name)
            if total is not None:
                self._totals.move_to_end(name)
                return total
        columns = self._columns(db, compiled, inputs)
        total = self._registry.program(compiled).run(self._public, columns)
        with self._lock:
            self._totals[name] = total
            while len(self._totals) > TOTALS_KEPT:
                self._totals.popitem(last=False)
        return total

    def _columns(
        self, db: apsw.Connection, compiled: Compiled, inputs: Inputs
    ) -> list[Ciphertext]:
        read = {}
        for item in inputs.items:
            numbers = [c.index for c in compiled.columns if c.dataset == item.dataset]
            if item.version:
                manifest = self._registry.manifest(db, item.dataset, item.version)
                if manifest is None:
                    raise AssertionError("a pushed version was forgotten")
                blocks = self._vault.open(manifest.ciphertext_root)
                read[item.dataset] = iter(blocks.ciphertexts(inputs.block, numbers))
            else:
                zeros = [ZERO] * len(numbers)
                read[item.dataset] = iter(zeros)
        return [next(read[column.dataset]) for column in compiled.columns]
