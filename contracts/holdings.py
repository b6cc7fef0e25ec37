"""What a house holds, as its journal has it entry by entry.

Whoever computes something of the house again must know on what it rested at that
moment: which contract, which versions of which datasets, packed by which map.  `feed`
takes the journal in order; what a party did not sign, or what does not follow from the
entries before it, changes nothing here, and is named by the replay of decisions.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from contracts import bodies
from contracts.dataset import Dataset
from contracts.errors import ContractError
from contracts.rebuild import Contracts, Pins
from protocols.blocks import Manifest
from protocols.entry import Entry, Kind
from protocols.errors import ProtocolError
from protocols.rowmap import RowMap

Step: TypeAlias = Callable[[Entry], None]


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a dataset."""

    dataset: Dataset
    manifest: Manifest


class Holdings:
    """Contracts, maps and versions of datasets so far."""

    def __init__(self, pins: Pins) -> None:
        """Begin before entry 0, with what the trust domain says of the parties."""
        self.pins = pins
        self.contracts = contracts = Contracts(pins)
        self._versions: dict[tuple[str, int], Version] = {}
        self._steps: dict[Kind, Step] = {
            Kind.CONTRACT_SUBMIT: lambda e: contracts.submit(
                bodies.Submit.parse(e.body)
            ),
            Kind.DATA_REGISTER: lambda e: contracts.register(
                bodies.Register.parse(e.body)
            ),
            Kind.DATA_DIRECTORY: lambda e: contracts.directory(
                bodies.Directory.parse(e.body)
            ),
            Kind.DATA_PUSH: self._push,
        }

    def also(self, steps: Mapping[Kind, Step]) -> None:
        """Read entries of other kinds, too."""
        self._steps |= steps

    def feed(self, entry: Entry) -> None:
        """Read one entry."""
        step = self._steps.get(entry.kind)
        if step is None:
            return
        try:
            step(entry)
        except (ContractError, ProtocolError):
            return  # it changes nothing; the replay of decisions names it

    def _push(self, entry: Entry) -> None:
        body = bodies.Push.parse(entry.body)
        self.contracts.push(body)
        dataset = self.contracts.dataset(body.dataset)
        manifest = self.contracts.newest(body.dataset)
        if dataset is not None and manifest is not None:
            self._versions[dataset.name, manifest.version] = Version(dataset, manifest)

    def find(self, dataset: str, version: int = 0) -> Version | None:
        """Find a version, or, for 0, the newest."""
        if not version:
            names = self._versions
            version = max((n for name, n in names if name == dataset), default=0)
        return self._versions.get((dataset, version))

    def newest(self, datasets: Iterable[str]) -> dict[str, Manifest]:
        """Return the newest version of each dataset that has one."""
        found = {name: self.contracts.newest(name) for name in datasets}
        return {name: manifest for name, manifest in found.items() if manifest}

    def named(self, versions: Iterable[tuple[str, int]]) -> dict[str, Manifest]:
        """Return those versions that there are, by dataset; 0 is none."""
        found = ((name, self._versions.get((name, n))) for name, n in versions)
        return {name: version.manifest for name, version in found if version}

    def maps(self, kind: str, versions: Mapping[str, Manifest]) -> dict[str, RowMap]:
        """Return the maps that versions were packed by, as far as they are known."""
        found = {
            name: self.contracts.row_map(kind, manifest.directory_version)
            for name, manifest in versions.items()
        }
        return {name: row_map for name, row_map in found.items() if row_map}
