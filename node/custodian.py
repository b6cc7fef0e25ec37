r"""A custodian's side of the house: registers, datasets, pushes, approvals.

>>> from node.custodian import Custodian                            # doctest: +SKIP
>>> with Custodian.open("tax/safehouse.toml") as custodian:         # doctest: +SKIP
...     receipt = custodian.push(dataset, Path("tax.csv"), "2026-01", now_ms())
...     print(receipt.manifest.rows, receipt.proof.index)
1041152 7

The house and its operator are not believed: a map is taken only as its
custodian signed it (`node.maps`), a list of datasets only under their
custodians' signatures (`node.catalogue`), and a push is done when the house has
*proven* that its manifest stands in the journal.

*After a lost reply* nobody knows whether a push landed.  So the signed manifest
is kept before it is sent (`node.sent`), and the next push compares the house's
list with it.  Did it land, its receipt is fetched, and the same table is not
pushed once more; did it not, the same manifest goes out with the same
ciphertexts, because all of them follow from the seed and the table.  Only
another table, period or map makes another version.

*Exponents* come from the seed, the version and a digest of everything that is
encrypted.  Under the version alone, a push that failed and was repeated with one
corrected cell would use its exponents twice, and a house that kept the first
would divide the two ciphertexts and read what changed, and by how much.

The plaintext stays in this process and those that help it encrypt.  The file
that is sent holds ciphertexts only, has no name, and is gone with the process.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final, Self

from contracts import bodies, rules
from contracts.compile import check_examples, compile_contract
from contracts.compiled import Compiled
from contracts.dataset import Dataset
from contracts.errors import DocumentInvalid
from contracts.lifecycle import Approval, Retirement, Submission
from contracts.scoring import ScoringContract
from contracts.subject import SubjectType
from node import catalogue, config, domain, filling, keys
from node.catalogue import Listed
from node.config import Config
from node.domain import Role, TrustDomain
from node.encryption import Encryption, write_blocks
from node.errors import (
    DocumentConflict,
    NotFound,
    ReplyRefused,
    RoleRefused,
    RowsRefused,
)
from node.filling import SUBJECT_COLUMN, Place, ValidationReport, Values
from node.keys import CustodianKeys
from node.maps import CHUNK, SLOWEST, MapReceipt, Maps, SlotMap
from node.progress import Progress, silent
from node.remote import ask, channel
from node.sent import Sent, SentFolder, entry_of
from node.status import from_wire, to_wire
from node.wire.v1 import (
    contract_pb2,
    contract_pb2_grpc,
    dataset_pb2,
    dataset_pb2_grpc,
)
from protocols import blocks, rowmap
from protocols.blocks import Header, Manifest, Opening
from protocols.canon import Tag
from protocols.drbg import Drbg
from protocols.entry import Kind
from protocols.note import LogProof
from protocols.sign import Signed, sign, verify

MAX_VINTAGE: Final = 64  # characters


@dataclass(frozen=True, slots=True)
class PushReceipt:
    """A version that is stored, journalled, and proven to be."""

    manifest: Manifest
    report: ValidationReport
    proof: LogProof  # that the house's journal names the manifest
    path: Path  # where the receipt is kept
    again: bool  # it had landed earlier; only its reply was lost


@dataclass(frozen=True, slots=True)
class Approved:
    """A contract that was compiled here and whose hash was signed."""

    compiled: Compiled
    missing: tuple[str, ...]  # custodians who have not approved


@dataclass(frozen=True, slots=True)
class _Content:
    """What a push is made of, and the randomness that hangs on exactly this."""

    dataset: Dataset
    slot_map: SlotMap
    values: Values
    drbg: Drbg

    @property
    def mark(self) -> bytes:
        """Name the content; keyed by the custodian's seed."""
        return self.drbg.bytes("values", 32)

    @property
    def exponents(self) -> Drbg:
        """Draw what hides it."""
        return self.drbg.child("exponents")


class Custodian:
    """A custodian's connection to one house; context-managed.

    `workers` is how many processes encrypt: by default one a core.
    """

    def __init__(
        self,
        settings: Config,
        held: CustodianKeys,
        trust: TrustDomain,
        workers: int | None = None,
    ) -> None:
        self._settings = settings
        self._keys = held
        self._domain = trust
        self._workers = workers or os.cpu_count() or 1
        self._deadline_s = settings.limits.deadline_ms / 1000
        self._link = channel(settings.house, held.tls, trust, Role.HOUSE)
        self._datasets = dataset_pb2_grpc.DatasetServiceStub(self._link)
        self._contracts = contract_pb2_grpc.ContractServiceStub(self._link)
        self._maps = Maps(settings, held, trust, self._link)
        self._sent = SentFolder(settings.data, "push")

    @classmethod
    def open(cls, path: str | Path, workers: int | None = None) -> "Custodian":
        """Open from a custodian's `safehouse.toml`; raises `NodeError`."""
        settings = config.load(Path(path))
        trust = domain.load(settings.domain, settings.root_key)
        return cls(settings, keys.load(CustodianKeys, settings, trust), trust, workers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    # -- the map

    def put_register(
        self,
        subject_type: SubjectType,
        path: Path,
        column: str,
        now_ms: int,
        progress: Progress = silent,
        *,
        skip_bad_rows: bool = False,
    ) -> MapReceipt:
        """Give a slot to every subject of a base register who has none.

        Raises `RowsRefused` for bad rows, unless they are to be left out; the
        receipt's `register` reports them.
        """
        pepper = self._keys.pepper
        register = filling.read_register(path, column, subject_type, pepper, progress)
        if not skip_bad_rows:
            register.require()
        if not register.refs:
            raise RowsRefused(f"`{path.name}` names no subject")
        return self._maps.extend(subject_type, register, now_ms)

    def fetch_map(self, subject_type: SubjectType) -> Mapping[bytes, int]:
        """Fetch the newest map: subject_ref -> row; block, slot = divmod(row, K)."""
        return self._maps.fetch(subject_type).numbers

    # -- datasets

    def register(self, dataset: Dataset) -> bytes:
        """Register a dataset's schema at house and authority; return its hash."""
        if dataset.custodian != self._settings.id:
            raise RoleRefused(
                f"dataset `{dataset.name}` is `{dataset.custodian}`'s to register"
            )
        signed = sign(Tag.DATASET_REGISTRATION, dataset.to_bytes(), self._keys.sign)
        request = dataset_pb2.RegisterDatasetRequest(registration=to_wire(signed))
        response = ask(self._datasets.RegisterDataset, request, self._deadline_s)
        if response.schema_hash != dataset.schema_hash:
            raise ReplyRefused("the house registered another schema")
        return dataset.schema_hash

    def validate(
        self,
        dataset: Dataset,
        path: Path,
        progress: Progress = silent,
        *,
        column: str = SUBJECT_COLUMN,
    ) -> ValidationReport:
        """Compare a table with a dataset and the newest map; send nothing."""
        place = self._place(self._maps.fetch(dataset.subject_type))
        report, _ = filling.fill(dataset, path, place, column=column, progress=progress)
        return report

    def push(  # noqa: PLR0913  what, from where, of when, two choices
        self,
        dataset: Dataset,
        path: Path,
        vintage: str,
        now_ms: int,
        progress: Progress = silent,
        *,
        skip_bad_rows: bool = False,
        column: str = SUBJECT_COLUMN,
    ) -> PushReceipt:
        """Encrypt a table and store it as the newest version of a dataset.

        `vintage` is the period the data are of, `column` holds the ids of the
        subjects, `progress` counts blocks.

        1. The dataset is registered, with this schema.
        2. The table is read against the newest map; bad rows are refused.
        3. What an earlier push left open is settled.
        4. Whole blocks are encrypted.
        5. The manifest is kept, sent with the blocks, and proven to be journalled.

        Raises `TableInvalid`, `RowsRefused`, `NodeError`; then nothing was
        stored, unless it is `Unreachable`: then nobody knows, and the same
        command finds out.
        """
        _check_vintage(vintage)
        listed = self._registered(dataset)  # 1
        slot_map, place = self._map_and_place(dataset)
        report, values = filling.fill(dataset, path, place, column=column)  # 2
        if not skip_bad_rows:
            report.require()
        if not report.good:
            raise RowsRefused(f"`{path.name}` has no row that can be pushed")
        landed = self._settle(listed)  # 3
        newest = 0 if listed.manifest is None else listed.manifest.version
        if landed is not None and self._is_same(
            landed, self._content(dataset, newest, slot_map, values), vintage
        ):
            return self._receipt(landed, report, again=True)
        content = self._content(dataset, newest + 1, slot_map, values)
        manifest = self._manifest(content, newest + 1, vintage, now_ms)
        self._settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self._settings.data) as file:
            root = write_blocks(  # 4
                file,
                self._header(manifest),
                self._plan(content),
                values.blocks(),
                progress,
            )
            manifest = replace(manifest, ciphertext_root=root)
            sent = Sent(self._signed(manifest), content.mark, place.rows)
            self._sent.keep(dataset.name, manifest.version, sent)  # 5
            return self._receipt(self._send(sent, file), report, again=False)

    def open_sample(
        self,
        dataset: Dataset,
        path: Path,
        version: int,
        cells: Sequence[tuple[int, int]],
        *,
        column: str = SUBJECT_COLUMN,
    ) -> list[Opening]:
        """Open sampled ciphertexts (block, column) of a version, for an auditor.

        `path` is the table that version was made of; raises `DocumentConflict`
        for any other, and `NotFound` for a version that was not pushed from here.
        """
        sent = self._sent.find(dataset.name, version)
        if sent is None:
            raise NotFound(
                f"version {version} of `{dataset.name}` was not pushed from here",
                "openings are made where the push was, from the receipts kept there",
            )
        manifest = Manifest.parse(sent.signed.payload)
        slot_map = self._earlier(self._maps.fetch(dataset.subject_type), sent.rows)
        if slot_map.row_map.root != manifest.row_map_root:
            raise DocumentConflict("the map is not an extension of the version's")
        place = self._place(slot_map)
        _, values = filling.fill(dataset, path, place, column=column)
        content = self._content(dataset, version, slot_map, values)
        if content.mark != sent.values:
            raise DocumentConflict(
                f"`{path.name}` is not what version {version} was made of",
                "openings need the very table that was pushed",
            )
        public = self._domain.paillier
        return [
            blocks.opening(
                public, content.exponents, block, number, values.block(block)[number]
            )
            for block, number in cells
        ]

    # -- contracts

    def approve(self, contract: bytes) -> Approved:
        """Let a contract read our data: sign the hash of what it compiles to *here*.

        1. Its author signed the text.
        2. It reads data of ours.
        3. Compiled here, from the registered schemas, it has this hash.
        4. It keeps the rules against extraction, and its golden examples pass.
        """
        request = contract_pb2.GetContractRequest(contract=contract)
        response = ask(self._contracts.GetContract, request, self._deadline_s)
        signed = from_wire(response.submission)
        submission = Submission.parse(signed.payload)
        author = self._domain.party(submission.author, Role.BANK, Role.CUSTODIAN)
        verify(Submission.TAG, signed, author.sign)  # 1
        datasets = {item.dataset.name: item.dataset for item in self._catalogue()}
        source = ScoringContract.from_yaml(submission.source, "contract.yaml")
        compiled = compile_contract(source, datasets)
        if self._settings.id not in {use.custodian for use in compiled.datasets}:  # 2
            raise RoleRefused(f"contract `{compiled.id}` reads no data of ours")
        if not compiled.hash == submission.contract == contract:  # 3
            raise ReplyRefused(
                f"contract `{compiled.id}` compiles to another hash here"
            )
        rules.require(compiled, datasets)  # 4
        check_examples(compiled, source, datasets)
        step = Approval(self._settings.id, contract)
        message = contract_pb2.ApproveContractRequest(
            approval=to_wire(sign(step.TAG, step.to_bytes(), self._keys.sign))
        )
        answer = ask(self._contracts.ApproveContract, message, self._deadline_s)
        return Approved(compiled, tuple(answer.missing))

    def retire(self, contract: bytes) -> None:
        """Take a contract that reads our data out of force, for ever."""
        step = Retirement(self._settings.id, contract)
        message = contract_pb2.RetireContractRequest(
            retirement=to_wire(sign(step.TAG, step.to_bytes(), self._keys.sign))
        )
        ask(self._contracts.RetireContract, message, self._deadline_s)

    # -- what a push is made of

    def _catalogue(self) -> list[Listed]:
        return catalogue.fetch(self._link, self._domain, self._deadline_s)

    def _registered(self, dataset: Dataset) -> Listed:
        for item in self._catalogue():
            if item.dataset.name == dataset.name:
                if item.dataset != dataset:
                    raise DocumentConflict(
                        f"dataset `{dataset.name}` is registered with another schema",
                        "a changed schema is a dataset with another name",
                    )
                return item
        raise NotFound(
            f"dataset `{dataset.name}` is not registered",
            "register it before its first push",
        )

    def _map_and_place(self, dataset: Dataset) -> tuple[SlotMap, Place]:
        slot_map = self._maps.fetch(dataset.subject_type)
        return slot_map, self._place(slot_map)

    def _place(self, slot_map: SlotMap) -> Place:
        rows = len(slot_map.rows)
        return Place(self._keys.pepper, slot_map.numbers, rows, self._maps.slots)

    def _earlier(self, slot_map: SlotMap, rows: int) -> SlotMap:
        """Return the map as it was when it had so many rows."""
        first = slot_map.rows[:rows]
        root = rowmap.rows_root(first, self._maps.slots)
        row_map = replace(slot_map.row_map, rows=len(first), root=root)
        numbers = {row.subject_ref: number for number, row in enumerate(first)}
        return SlotMap(slot_map.signed, row_map, first, numbers)

    def _content(
        self, dataset: Dataset, version: int, slot_map: SlotMap, values: Values
    ) -> _Content:
        parts = (
            "push",
            dataset.name,
            str(version),
            dataset.schema_hash.hex(),
            self._domain.paillier.key_id,
            slot_map.row_map.root.hex(),
            values.digest().hex(),
        )
        drbg = Drbg(self._keys.seed).child(" ".join(parts))
        return _Content(dataset, slot_map, values, drbg)

    def _manifest(
        self, content: _Content, version: int, vintage: str, now_ms: int
    ) -> Manifest:
        row_map = content.slot_map.row_map
        return Manifest(
            dataset=content.dataset.name,
            version=version,
            schema_hash=content.dataset.schema_hash,
            key_id=self._domain.paillier.key_id,
            rows=content.values.present,
            blocks=row_map.blocks,
            columns=len(content.dataset.encrypted),
            ciphertext_root=b"",
            row_map_root=row_map.root,
            directory_version=row_map.version,
            vintage=vintage,
            custodian=self._settings.id,
            created_ms=now_ms,
        )

    def _header(self, manifest: Manifest) -> Header:
        return Header(
            manifest.dataset,
            manifest.version,
            manifest.schema_hash,
            manifest.key_id,
            manifest.blocks,
            manifest.columns,
            self._domain.paillier.ciphertext_bytes,
        )

    def _plan(self, content: _Content) -> Encryption:
        limits = tuple(column.limit for column in content.dataset.encrypted)
        seed = content.exponents.seed
        return Encryption(self._domain.paillier, seed, limits, self._workers)

    # -- sending it, once

    def _signed(self, manifest: Manifest) -> Signed:
        """Sign a manifest, or find the same one that was not answered."""
        kept = self._sent.find(manifest.dataset, manifest.version)
        if kept is not None:
            earlier = Manifest.parse(kept.signed.payload)
            if replace(manifest, created_ms=earlier.created_ms) == earlier:
                return kept.signed
        return sign(Tag.MANIFEST, manifest.to_bytes(), self._keys.sign)

    def _settle(self, listed: Listed) -> Sent | None:
        """Compare what the house lists with what was sent from here.

        Returns the push in force if its reply was lost, with its receipt now.
        Raises `ReplyRefused` if the house has lost a version it gave a receipt of.
        """
        name, signed = listed.dataset.name, listed.signed_manifest
        newest = 0 if listed.manifest is None else listed.manifest.version
        for version in range(newest + 1, self._sent.newest(name) + 1):
            kept = self._sent.find(name, version)
            if kept is not None and kept.proof:
                raise ReplyRefused(
                    f"the house lists version {newest} of `{name}`, and has given a"
                    f" receipt of version {version}",
                    "it was rewound: tell the auditors, the receipt is proof",
                )
        kept = self._sent.find(name, newest)
        if kept is None or kept.proof or kept.signed != signed:
            return None
        return self._send(kept, None)

    def _is_same(self, sent: Sent, content: _Content, vintage: str) -> bool:
        same_vintage = Manifest.parse(sent.signed.payload).vintage == vintage
        return same_vintage and sent.values == content.mark

    def _send(self, sent: Sent, file: BinaryIO | None) -> Sent:
        """Send a push, or ask for its receipt; keep the receipt once it verifies."""
        manifest = Manifest.parse(sent.signed.payload)
        size = 0 if file is None else file.tell()
        response = ask(
            self._datasets.Push,
            _pieces(sent.signed, file),
            self._deadline_s + size / SLOWEST,
        )
        proof, entry = entry_of(response.logged, self._domain.verifiers(Role.HOUSE))
        if entry.kind is not Kind.DATA_PUSH:
            raise ReplyRefused("the receipt is of another entry than the push")
        body = bodies.Push.parse(entry.body)
        wanted = (manifest.dataset, manifest.version, manifest.ciphertext_root)
        if (
            body.manifest != sent.signed
            or (body.dataset, body.version, body.ciphertext_root) != wanted
        ):
            raise ReplyRefused("the receipt is of another push")
        proven = replace(sent, proof=proof.to_text())
        self._sent.keep(manifest.dataset, manifest.version, proven)
        return proven

    def _receipt(
        self, sent: Sent, report: ValidationReport, *, again: bool
    ) -> PushReceipt:
        manifest = Manifest.parse(sent.signed.payload)
        path = self._sent.path(manifest.dataset, manifest.version)
        return PushReceipt(manifest, report, LogProof.parse(sent.proof), path, again)


def _check_vintage(vintage: str) -> None:
    if not 0 < len(vintage) <= MAX_VINTAGE or not vintage.isprintable():
        raise DocumentInvalid(
            f"vintage: expected 1 to {MAX_VINTAGE} printable characters",
            "the period the data are of, such as `2026-01`",
        )


def _pieces(signed: Signed, file: BinaryIO | None) -> Iterator[dataset_pb2.PushRequest]:
    yield dataset_pb2.PushRequest(manifest=to_wire(signed))
    if file is None:
        return
    file.seek(0)
    while chunk := _read(file):
        yield dataset_pb2.PushRequest(chunk=chunk)


def _read(file: BinaryIO) -> bytes:
    try:
        return file.read(CHUNK)
    except ValueError:  # closed: the call has ended before all was sent
        return b""
