r"""Push a custodian's table: read it, encrypt it, send it once, keep the proof.

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

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

import grpc

from contracts import bodies
from contracts.cells import Cells, sample
from contracts.dataset import Dataset
from contracts.errors import DocumentInvalid
from node import catalogue, clock, filling
from node.catalogue import Listed
from node.config import Config
from node.domain import Role, TrustDomain
from node.encryption import Encryption, write_blocks
from node.errors import DocumentConflict, NotFound, ReplyRefused, RowsRefused
from node.filling import Place, ValidationReport, Values
from node.keys import CustodianKeys
from node.maps import CHUNK, SLOWEST, Maps, SlotMap
from node.progress import Progress, silent
from node.quality import Profiles, Quality
from node.remote import ask
from node.sent import Sent, SentFolder, entry_of
from node.status import to_wire
from node.wire.v1 import dataset_pb2, dataset_pb2_grpc
from protocols import blocks
from protocols.blocks import Header, Manifest, Opening
from protocols.canon import Tag
from protocols.drbg import Drbg
from protocols.entry import Kind
from protocols.note import LogProof
from protocols.paillier import PublicKey
from protocols.sign import Signed, renewed, sign

MAX_VINTAGE: Final = 64  # characters


@dataclass(frozen=True, slots=True)
class Source:
    """The table of a dataset, and the column that names its subjects."""

    dataset: Dataset
    path: Path
    column: str
    expected: Path | None = None  # a table of the subjects that ought to be in it


@dataclass(frozen=True, slots=True)
class PushReceipt:
    """A version that is stored, journalled, and proven to be."""

    manifest: Manifest
    report: ValidationReport
    proof: LogProof  # that the house's journal names the manifest
    path: Path  # where the receipt is kept
    again: bool  # it had landed earlier; only its reply was lost
    quality: Quality  # of the table; it stays here


@dataclass(frozen=True, slots=True, repr=False)
class _Content:
    """What a version holds, and the randomness that hangs on exactly this."""

    dataset: Dataset
    version: int
    slot_map: SlotMap
    values: Values
    public: PublicKey
    seed: bytes  # the custodian's

    def drbg(self) -> Drbg:
        """Derive the randomness: reads all values."""
        parts = (
            "push",
            self.dataset.name,
            str(self.version),
            self.dataset.schema_hash.hex(),
            self.public.key_id,
            self.slot_map.row_map.root.hex(),
            self.values.digest().hex(),
        )
        return Drbg(self.seed).child(" ".join(parts))

    def header(self) -> Header:
        """Describe the block file."""
        return Header(
            dataset=self.dataset.name,
            version=self.version,
            schema_hash=self.dataset.schema_hash,
            key_id=self.public.key_id,
            blocks=self.slot_map.row_map.blocks,
            columns=len(self.dataset.encrypted),
            ciphertext_bytes=self.public.ciphertext_bytes,
        )

    def manifest(self, root: bytes, vintage: str, now_ms: int) -> Manifest:
        """Describe the push, for its custodian to sign."""
        header, row_map = self.header(), self.slot_map.row_map
        return Manifest(
            dataset=header.dataset,
            version=header.version,
            schema_hash=header.schema_hash,
            key_id=header.key_id,
            rows=self.values.present,
            blocks=header.blocks,
            columns=header.columns,
            ciphertext_root=root,
            row_map_root=row_map.root,
            directory_version=row_map.version,
            vintage=vintage,
            custodian=self.dataset.custodian,
            created_ms=now_ms,
        )


class Pushes:
    """A custodian's datasets at one house."""

    def __init__(
        self,
        settings: Config,
        held: CustodianKeys,
        trust: TrustDomain,
        link: grpc.Channel,
        workers: int,
    ) -> None:
        self.maps = Maps(settings, held, trust, link)
        self._settings = settings
        self._keys = held
        self._domain = trust
        self._link = link
        self._workers = workers
        self._deadline_s = settings.limits.deadline_ms / 1000
        self._stub = dataset_pb2_grpc.DatasetServiceStub(link)
        self._sent = SentFolder(settings.data, "push")
        self._profiles = Profiles(settings.data, held.seed)

    def validate(self, source: Source, progress: Progress = silent) -> ValidationReport:
        """Compare a table with its dataset and the newest map; send nothing."""
        slot_map = self.maps.fetch(source.dataset.subject_type)
        return self._fill(source, slot_map, progress)[0]

    def examine(self, source: Source, progress: Progress = silent) -> Quality:
        """Profile a table, and compare it with what was pushed last; send nothing."""
        slot_map = self.maps.fetch(source.dataset.subject_type)
        read = self._fill(source, slot_map, progress)
        return self._profiles.examine(
            source.dataset, read, self._expected(source, slot_map)
        )

    def push(
        self,
        source: Source,
        vintage: str,
        now_ms: int,
        progress: Progress = silent,
        *,
        skip_bad_rows: bool = False,
    ) -> PushReceipt:
        """Encrypt a table and store it as the newest version of its dataset.

        1. The dataset is registered, with this schema.
        2. The table is read against the newest map; bad rows are refused.
        3. What an earlier push left open is settled.
        4. Whole blocks are encrypted.
        5. The manifest is kept, sent with the blocks, and proven to be journalled.
        6. Its profile is kept here, for the next push to be compared with.
        """
        _check_vintage(vintage)
        dataset = source.dataset
        listed = self._registered(dataset)  # 1
        slot_map = self.maps.fetch(dataset.subject_type)
        report, values = self._fill(source, slot_map)  # 2
        if not skip_bad_rows:
            report.require()
        if not report.good:
            raise RowsRefused(f"`{source.path.name}` has no row that can be pushed")
        expected = self._expected(source, slot_map)
        landed = self._settle(listed)  # 3
        newest = 0 if listed.manifest is None else listed.manifest.version
        if landed is not None and _vintage_of(landed) == vintage:
            content = self._content(dataset, newest, slot_map, values)
            if _mark(content.drbg()) == landed.values:
                quality = self._profiles.examine(
                    dataset, (report, values), expected, newest
                )
                return self._receipt(landed, quality, again=True)
        content = self._content(dataset, newest + 1, slot_map, values)
        quality = self._profiles.examine(
            dataset, (report, values), expected, newest + 1
        )
        self._settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self._settings.data) as file:
            drbg = content.drbg()
            plan = self._encryption(dataset, drbg)
            root = write_blocks(  # 4
                file, content.header(), plan, values.blocks(), progress
            )
            manifest = content.manifest(root, vintage, now_ms)
            sent = Sent(self._signed(manifest), _mark(drbg), len(slot_map.rows))
            self._sent.keep(dataset.name, manifest.version, sent)  # 5
            return self._receipt(self._send(sent, file), quality, again=False)

    def open_cells(self, source: Source, cells: Cells) -> list[Opening]:
        """Open ciphertexts of a version, for the auditor that asks."""
        dataset, version = source.dataset, cells.version
        if cells.dataset != dataset.name:
            raise DocumentConflict(f"cells of dataset `{cells.dataset}` are asked for")
        sent = self._sent.find(dataset.name, version)
        if sent is None:
            raise NotFound(
                f"version {version} of `{dataset.name}` was not pushed from here",
                "openings are made where the push was, from the receipts kept there",
            )
        manifest = Manifest.parse(sent.signed.payload)
        if cells.root != manifest.ciphertext_root:
            raise DocumentConflict("the question is about ciphertexts of another push")
        if cells.cells != sample(manifest, len(cells.cells), cells.seed):
            raise DocumentConflict(
                "the question's seed draws other ciphertexts than it asks for",
                "open none: who picks ciphertexts is after somebody's data",
            )
        slot_map = self.maps.fetch(dataset.subject_type).first(sent.rows)
        if slot_map.row_map.root != manifest.row_map_root:
            raise DocumentConflict(
                "the map is not an extension of the version's",
                "openings end where somebody is erased: his row of that map is gone",
            )
        _, values = self._fill(source, slot_map)
        drbg = self._content(dataset, version, slot_map, values).drbg()
        if _mark(drbg) != sent.values:
            raise DocumentConflict(
                f"`{source.path.name}` is not what version {version} was made of",
                "openings need the very table that was pushed",
            )
        public, exponents = self._domain.paillier, _exponents(drbg)
        return [
            blocks.opening(
                public, exponents, block, column, values.block(block)[column]
            )
            for block, column in cells.cells
        ]

    # -- what a version is made of

    def _registered(self, dataset: Dataset) -> Listed:
        for item in catalogue.fetch(self._link, self._domain, self._deadline_s):
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

    def _fill(
        self, source: Source, slot_map: SlotMap, progress: Progress = silent
    ) -> tuple[ValidationReport, Values]:
        place = Place(
            self._keys.pepper,
            slot_map.numbers,
            len(slot_map.rows),
            self.maps.slots,
            slot_map.erased,
        )
        return filling.fill(
            source.dataset, source.path, place, column=source.column, progress=progress
        )

    def _expected(self, source: Source, slot_map: SlotMap) -> list[int]:
        """Find the slots of the roster's subjects; raises `RowsRefused`."""
        if source.expected is None:
            return []
        kind, pepper = source.dataset.subject_type, self._keys.pepper
        roster = filling.read_register(source.expected, source.column, kind, pepper)
        roster.require("mend the roster")
        return [slot_map.numbers.get(ref, -1) for ref in roster.refs]

    def _content(
        self, dataset: Dataset, version: int, slot_map: SlotMap, values: Values
    ) -> _Content:
        public, seed = self._domain.paillier, self._keys.seed
        return _Content(dataset, version, slot_map, values, public, seed)

    def _encryption(self, dataset: Dataset, drbg: Drbg) -> Encryption:
        limits = tuple(column.limit for column in dataset.encrypted)
        seed = _exponents(drbg).seed
        return Encryption(self._domain.paillier, seed, limits, self._workers)

    # -- sending it, once

    def _signed(self, manifest: Manifest) -> Signed:
        """Sign a manifest, or find the same one that was not answered."""
        kept = self._sent.find(manifest.dataset, manifest.version)
        if kept is not None:
            earlier = Manifest.parse(kept.signed.payload)
            if replace(manifest, created_ms=earlier.created_ms) == earlier:
                return renewed(Tag.MANIFEST, kept.signed, self._keys.sign)
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
        if kept is None or kept.proof or signed is None:
            return None
        if kept.signed.payload != signed.payload:
            return None
        return self._send(kept, None)

    def _send(self, sent: Sent, file: BinaryIO | None) -> Sent:
        """Send a push, or ask for its receipt; keep the receipt once it verifies."""
        manifest = Manifest.parse(sent.signed.payload)
        size = 0 if file is None else file.tell()
        response = ask(
            self._stub.Push,
            _pieces(renewed(Tag.MANIFEST, sent.signed, self._keys.sign), file),
            self._deadline_s + size / SLOWEST,
        )
        keys = self._domain.live_verifiers(Role.HOUSE, clock.now_ms())
        proof, entry = entry_of(response.logged, keys)
        if entry.kind is not Kind.DATA_PUSH:
            raise ReplyRefused("the receipt is of another entry than the push")
        body = bodies.Push.parse(entry.body)
        wanted = (manifest.dataset, manifest.version, manifest.ciphertext_root)
        if (
            body.manifest.payload != sent.signed.payload
            or (body.dataset, body.version, body.ciphertext_root) != wanted
        ):
            raise ReplyRefused("the receipt is of another push")
        proven = replace(sent, proof=proof.to_text())
        self._sent.keep(manifest.dataset, manifest.version, proven)
        return proven

    def _receipt(self, sent: Sent, quality: Quality, *, again: bool) -> PushReceipt:
        manifest = Manifest.parse(sent.signed.payload)
        path = self._sent.path(manifest.dataset, manifest.version)
        kept = self._profiles.keep(  # 6
            quality, manifest.version, manifest.vintage, manifest.created_ms
        )
        proof = LogProof.parse(sent.proof)
        return PushReceipt(manifest, kept.report, proof, path, again, kept)


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


def _vintage_of(sent: Sent) -> str:
    return Manifest.parse(sent.signed.payload).vintage


def _mark(drbg: Drbg) -> bytes:
    """Name a content; keyed by the custodian's seed, so that nobody can guess it."""
    return drbg.bytes("values", 32)


def _exponents(drbg: Drbg) -> Drbg:
    return drbg.child("exponents")
