"""On which ciphertexts a job's blocks rest: the versions in force at one moment.

A message rests on one version of every dataset of its contract, the newest when
its intent is journalled.  A message that is made again, after a crash, rests on
those that its ticket names, whatever was pushed since.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from contracts import inputs as inputs_room
from contracts.compiled import Compiled
from contracts.inputs import NOTHING
from node.errors import VaultDamaged
from node.job_work import BlockWork, Work
from node.registry import Registry
from node.vault import Blocks, Vault
from protocols.blocks import Manifest
from protocols.call import Input
from protocols.job import Basis


@dataclass(frozen=True, slots=True)
class Source:
    """One dataset's version, with its blocks; neither where nothing was pushed."""

    basis: Basis
    manifest: Manifest | None
    blocks: Blocks | None
    path: str

    def item(self, block: int) -> Input:
        """Return this dataset's part of a block's inputs."""
        version, row_map = inputs_room.basis(self.manifest, block)
        if not version or self.blocks is None:
            return inputs_room.absent(self.basis.dataset)
        return Input(self.basis.dataset, version, self.blocks.leaves[block], row_map)


@dataclass(frozen=True, slots=True)
class Sources:
    """A version of every dataset that a contract reads, in the contract's order."""

    sources: tuple[Source, ...]

    @classmethod
    def newest(
        cls, db: apsw.Connection, registry: Registry, vault: Vault, compiled: Compiled
    ) -> "Sources":
        """Take the newest versions; raises `VaultDamaged`, `NotFound`."""
        manifests = [registry.manifest(db, use.id) for use in compiled.datasets]
        return cls._of(vault, [use.id for use in compiled.datasets], manifests)

    @classmethod
    def named(
        cls,
        db: apsw.Connection,
        registry: Registry,
        vault: Vault,
        bases: Sequence[Basis],
    ) -> "Sources":
        """Take the versions that a ticket names."""
        manifests = [
            registry.manifest(db, basis.dataset, basis.version)
            if basis.version
            else None
            for basis in bases
        ]
        found = cls._of(vault, [basis.dataset for basis in bases], manifests)
        if found.bases != tuple(bases):
            raise AssertionError("a pushed version was forgotten")
        return found

    @classmethod
    def _of(
        cls, vault: Vault, names: Sequence[str], manifests: Sequence[Manifest | None]
    ) -> "Sources":
        return cls(
            tuple(
                _source(vault, name, manifest)
                for name, manifest in zip(names, manifests, strict=True)
            )
        )

    @property
    def bases(self) -> tuple[Basis, ...]:
        """What a ticket says of them."""
        return tuple(source.basis for source in self.sources)

    def are_newest(self, db: apsw.Connection, registry: Registry) -> bool:
        """Tell whether nothing was pushed since."""
        return all(
            _basis(source.basis.dataset, registry.manifest(db, source.basis.dataset))
            == source.basis
            for source in self.sources
        )

    def damage(self, block: int) -> VaultDamaged | None:
        """Say what is wrong with the ciphertexts of a block, if anything is."""
        for source in self.sources:
            if source.blocks is not None and source.item(block).version:
                try:
                    source.blocks.check(block)
                except VaultDamaged as damage:
                    return damage
        return None

    def let_go(self) -> None:
        """Hold none of the files' pages: many blocks were read."""
        for source in self.sources:
            if source.blocks is not None:
                source.blocks.let_go()

    def work(
        self,
        compiled: Compiled,
        seed: bytes,
        blocks: Sequence[tuple[int, tuple[int, ...]]],
    ) -> Work:
        """Make a work of (block, slots) pairs."""
        return Work(
            compiled.to_bytes(),
            tuple(
                (source.basis.dataset, source.basis.version, source.path)
                for source in self.sources
            ),
            tuple(
                BlockWork(
                    number, tuple(source.item(number) for source in self.sources), slots
                )
                for number, slots in blocks
            ),
            seed,
        )


def _basis(name: str, manifest: Manifest | None) -> Basis:
    if manifest is None:
        return Basis(name, 0, NOTHING)
    return Basis(name, manifest.version, manifest.row_map_root)


def _source(vault: Vault, name: str, manifest: Manifest | None) -> Source:
    basis = _basis(name, manifest)
    if manifest is None:
        return Source(basis, None, None, "")
    root = manifest.ciphertext_root
    return Source(basis, manifest, vault.open(root), str(vault.path(root)))
