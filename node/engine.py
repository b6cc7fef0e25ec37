"""The house's computation: from a contract and a slot to a masked message.

Reads one block of every dataset that a contract reads, runs the contract's
program over it and masks what comes out (`contracts.inputs`).  Everything but
the seed is on the disk, so a call that was interrupted, and an auditor with the
seed, make the same message byte for byte.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import apsw

from contracts import inputs as inputs_room
from contracts.compiled import Compiled
from contracts.inputs import Inputs
from node.registry import Registry
from node.vault import Vault
from protocols.call import Input
from protocols.lookup import Message
from protocols.paillier import Ciphertext, FixedBase, PublicKey
from protocols.slots import slots_per_block

TOTALS_KEPT: Final = 4096


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
            version, row_map = inputs_room.basis(manifest, block)
            if manifest is None or not version:
                items.append(inputs_room.absent(use.id))
                continue
            leaf = self._vault.open(manifest.ciphertext_root).leaves[block]
            items.append(Input(use.id, version, leaf, row_map))
        return Inputs(block, slot, tuple(items))

    def are_newest(self, db: apsw.Connection, inputs: Inputs) -> bool:
        """Tell whether nothing was pushed since `inputs` were found."""
        return all(
            (item.version, item.row_map_root)
            == inputs_room.basis(
                self._registry.manifest(db, item.dataset), inputs.block
            )
            for item in inputs.items
        )

    def message(
        self, db: apsw.Connection, compiled: Compiled, inputs: Inputs, seed: bytes
    ) -> tuple[Message, bytes]:
        """Mask a block's total for the authority; the bank's pad key with it."""
        return inputs_room.message(
            self._registry.gate(compiled),
            self._obfuscators,
            self._total(db, compiled, inputs),
            inputs,
            seed,
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
        def read(item: Input, numbers: Sequence[int]) -> list[Ciphertext]:
            manifest = self._registry.manifest(db, item.dataset, item.version)
            if manifest is None:
                raise AssertionError("a pushed version was forgotten")
            blocks = self._vault.open(manifest.ciphertext_root)
            return blocks.ciphertexts(inputs.block, numbers)

        return inputs_room.columns(compiled, inputs, read)
