"""The house's computation: from a contract and a slot to a masked message.

Reads one block of every dataset that a contract reads, runs the contract's
program over it and masks what comes out (`contracts.inputs`).  Everything but
the seed is on the disk, so a call that was interrupted, and an auditor with the
seed, make the same message byte for byte.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

import apsw

from contracts import inputs as inputs_room
from contracts.compiled import Compiled
from contracts.inputs import Block, Inputs
from node.registry import Registry
from node.vault import Vault
from protocols.call import Input
from protocols.lookup import Message
from protocols.paillier import Ciphertext, FixedBase, PublicKey
from protocols.slots import slots_per_block

TOTALS_KEPT: Final = 4096

Totals = tuple[Ciphertext, ...]  # one, or two where fields do not fit into a slot


class Engine:
    """Computes masked messages; thread-safe."""

    def __init__(self, public: PublicKey, registry: Registry, vault: Vault) -> None:
        self._public = public
        self._registry = registry
        self._vault = vault
        self.obfuscators = FixedBase(public, public.authority_exponent_bits)
        self._kept: OrderedDict[tuple[bytes, bytes, int], Totals] = OrderedDict()
        self._lock = threading.Lock()

    def inputs(self, db: apsw.Connection, compiled: Compiled, number: int) -> Inputs:
        """Find the newest inputs of row `number` of the directory."""
        return self.inputs_of(db, compiled, number, {})

    def inputs_of(
        self,
        db: apsw.Connection,
        compiled: Compiled,
        number: int,
        versions: Mapping[str, int],
    ) -> Inputs:
        """Find the inputs of a row as they were: some datasets at these versions."""
        block, slot = divmod(number, slots_per_block(self._public.bits))
        items = []
        for use in compiled.datasets:
            manifest = self._registry.manifest(db, use.id, versions.get(use.id))
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
        self,
        db: apsw.Connection,
        compiled: Compiled,
        inputs: Inputs,
        seed: bytes,
        share: int | None = None,
    ) -> tuple[Message, bytes]:
        """Mask a block's totals for the authority; the bank's pads with them.

        `share` is the house's of a number that the bank adds, where it adds one.
        """
        return inputs_room.message(
            self._registry.machine(compiled).gate,
            self.obfuscators,
            self._totals(db, compiled, inputs),
            inputs,
            seed,
            share,
        )

    def candidates_message(
        self,
        db: apsw.Connection,
        compiled: Compiled,
        inputs: Inputs,
        slots: tuple[int, ...],
        seed: bytes,
    ) -> tuple[Message, bytes]:
        """Mask a block's totals for some of its slots, which are treated alike."""
        return inputs_room.candidates_message(
            self._registry.machine(compiled).gate,
            self.obfuscators,
            self._totals(db, compiled, inputs),
            Block(inputs.block, inputs.root, slots),
            seed,
        )

    def _totals(
        self, db: apsw.Connection, compiled: Compiled, inputs: Inputs
    ) -> Totals:
        """Run the contract's programs over a block; what comes out never leaves.

        It is kept by contract and inputs: the 49 to 75 subjects of a block
        share it, and every call masks and re-randomises it anew.
        """
        name = compiled.hash, inputs.root, inputs.block
        with self._lock:
            totals = self._kept.get(name)
            if totals is not None:
                self._kept.move_to_end(name)
                return totals
        columns = self._columns(db, compiled, inputs)
        totals = self._registry.machine(compiled).totals(self._public, columns)
        with self._lock:
            self._kept[name] = totals
            while len(self._kept) > TOTALS_KEPT:
                self._kept.popitem(last=False)
        return totals

    def _columns(
        self, db: apsw.Connection, compiled: Compiled, inputs: Inputs
    ) -> list[Ciphertext]:
        def read(item: Input, numbers: Sequence[int]) -> list[Ciphertext]:
            manifest = self._registry.manifest(db, item.dataset, item.version)
            if manifest is None:
                raise AssertionError("a pushed version was forgotten")
            blocks = self._vault.open(manifest.ciphertext_root)
            return blocks.ciphertexts(inputs.block, numbers)

        return inputs_room.columns(compiled, inputs, read, inputs_room.ZERO)
