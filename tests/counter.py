"""The German town as its parties make it: maps, pushes, consents by their clients."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.consent_csv import CONSENT_COLUMNS
from contracts.dataset import Dataset
from contracts.subject import canonical_id, subject_ref
from node import clock
from node.history import Access, Histories
from node.keys import RegistrarKeys
from node.objector import Objector
from protocols.entry import Entry, Kind
from tests.german import FOLDER, KIND, German


class Counter(German):
    """A town with a registrar's counter; tables of custodians lie in `files`."""

    @property
    def files(self) -> Path:
        """Where the custodians' tables are."""
        folder = self.world.folder / "files"
        folder.mkdir(exist_ok=True)
        return folder

    def map(self, ids: Sequence[str]) -> None:
        """Have the custodian in charge put its base register."""
        path = self.write("register.csv", [{"subject_id": name} for name in ids])
        with self.world.custodian("credit-bureau") as custodian:
            custodian.put_register(KIND, path, "subject_id", clock.now_ms())
            slot_map = custodian._pushes.maps.fetch(KIND)
        self.rows = list(slot_map.rows)
        for name in ids:
            self.refs[name] = self.ref(name)

    def push(
        self, dataset: Dataset, _values: NDArray[np.int64], version: int = 1
    ) -> None:
        """Have a custodian push its table."""
        self.push_table(dataset.name, self.ids)
        assert version == 1

    def values(self, _dataset: Dataset, _ids: Sequence[str]) -> NDArray[np.int64]:
        """Leave the encoding to the client."""
        return np.zeros(0, np.int64)

    def ref(self, name: str) -> bytes:
        """Return what holders of the pepper call a subject."""
        pepper = self.world.composed.keys["credit-bureau"].pepper
        return subject_ref(pepper, KIND, canonical_id(KIND, name))

    def write(self, name: str, rows: Sequence[Mapping[str, str]]) -> Path:
        """Write a table."""
        path = self.files / name
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path

    def table(
        self, dataset: str, ids: Sequence[str], whose: str = "", **changed: str
    ) -> Path:
        """Write a custodian's table of some subjects, one's row changed."""
        with (FOLDER / f"data/{dataset}.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["subject_id"] in ids]
        corrected = [
            {**row, **changed} if row["subject_id"] == whose else row for row in rows
        ]
        return self.write(f"{dataset}.csv", corrected)

    def push_table(
        self, dataset: str, ids: Sequence[str], whose: str = "", **changed: str
    ) -> int:
        """Push a table of some subjects; return the version it became."""
        described = self.datasets[dataset]
        path = self.table(dataset, ids, whose, **changed)
        with self.world.custodian(described.custodian) as custodian:
            receipt = custodian.push(described, path, "2026-01", clock.now_ms())
        return receipt.manifest.version

    def consent(self, *subjects: str, mark: str = "") -> None:
        """Have the registrar import consents."""
        rows = [
            dict.fromkeys(CONSENT_COLUMNS, "")
            | {
                "consent_id": self.cid(subject, mark),
                "subject_id": subject,
                "grantees": "jnrcb",
                "purposes": "loan-precheck",
                "scope": "contract:german-card",
                "not_before": "2020-01-01T00:00:00Z",
                "not_after": "2090-01-01T00:00:00Z",
                "max_uses": "unlimited",
                "separate": "false",
                "evidence_kind": "online",
                "granted_at": "2020-01-01T00:00:00Z",
            }
            for subject in subjects
        ]
        path = self.write("consents.csv", rows)
        with self.world.registrar() as registrar:
            registrar.import_consents(path, None, KIND, clock.now_ms())

    def cid(self, subject: str, mark: str = "") -> str:
        """Name a consent, in a way that does not tell whose it is."""
        return f"c{mark}-{self.ids.index(subject)}"

    def objector(self) -> Objector:
        """Open the registrar's side of demands."""
        world = self.world
        held = world.keys("registrar", RegistrarKeys)
        return Objector(world.config("registrar"), held, world.domain)

    def erase(self, subject: str) -> str:
        """Erase a subject; return the erasure's id, or nothing."""
        with self.objector() as objector:
            told = objector.erase(KIND, subject, clock.now_ms())
        return "" if told is None else told.objection.objection_id

    def entries(self, node: str, kind: Kind | None = None) -> list[Entry]:
        """Read a node's journal."""
        ledger = getattr(self, node).ledger
        found = map(Entry.parse, ledger.entries(0, ledger.head.size))
        return [entry for entry in found if kind in (None, entry.kind)]

    def told(self, node: str, subject: str) -> list[Access]:
        """Read what a node's journal says under a subject's name."""
        core = getattr(self, node)
        histories = Histories(core.ledger, core.registry)
        return histories.read(self.name(node, subject), "registrar")[0]
