r"""Encrypted blocks: one version of one dataset, as a file and as a signed promise.

A block is K subjects of the directory, in slots (`protocols.slots`); a dataset
version holds one ciphertext for every block and column::

    magic       16 bytes     "safehouse-blocks"
    length      4 bytes      of the header, big endian
    header      canonical JSON {"v": "safehouse/blocks/1", "dataset", "version",
                "schema", "key", "blocks", "columns", "ciphertext_bytes"}
    records     ciphertexts, big endian, fixed size, [block][column]

Records are found by arithmetic, so a reader maps the file and touches only the
columns a contract needs; no field inside a record can lead it astray.

*Leaves.*  Block b is digest(Tag.BLOCK, header, u64 b, its records): the header
is in it, so a block cannot be passed off as one of another dataset, version,
schema, key or place.  `ciphertext_root` is the RFC 6962 root over these digests
as leaf data, in order.

*The manifest* is what a custodian signs when it pushes (PROTOCOL 12).  Its
`row_map_root` says for which map of subjects the slots were filled
(`protocols.rowmap`).

*Openings.*  A custodian draws every exponent from one seed, by block and column:
it can show an auditor what a sampled ciphertext holds, and the auditor computes
the ciphertext again.  Without that, one value out of range would spoil the
subject in the next slot, unseen.

>>> header = Header("tax/returns", 1, bytes(32), "00" * 16, 1, 2, 4)
>>> data = header.to_bytes() + bytes([0, 0, 0, 5, 0, 0, 0, 6])
>>> BlockFile(data).ciphertext(0, 1)
mpz(6)
>>> BlockFile(data[:-1])
Traceback (most recent call last):
    ...
protocols.errors.FormatError: expected 8 bytes of records, got 7
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from protocols import tlog
from protocols.canon import Reader, Tag, digest, dumps, loads
from protocols.drbg import Drbg
from protocols.errors import FormatError, ProofInvalid
from protocols.paillier import (
    Ciphertext,
    FixedBase,
    PublicKey,
    check_ciphertexts,
    ciphertext_from_bytes,
    encrypt,
)
from protocols.slots import SLOT_BITS, Ints, pack, pack_rows, slots_per_block

MAGIC = b"safehouse-blocks"
VERSION = "safehouse/blocks/1"
MANIFEST_VERSION = "safehouse/manifest/1"
HASH_BYTES = 32
KEY_ID_BYTES = 16
MAX_HEADER = 4096  # bytes
MAX_COLUMNS = 4096
MAX_BLOCKS = 1 << 32
MAX_CIPHERTEXT_BYTES = 1 << 12  # n of 16,384 bits
_LENGTH_BYTES = 4
_U64 = 8


# -- the file ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the records, and in the hash of every block."""

    dataset: str
    version: int
    schema_hash: bytes
    key_id: str
    blocks: int
    columns: int
    ciphertext_bytes: int

    @property
    def block_bytes(self) -> int:
        """Bytes of one block's records."""
        return self.columns * self.ciphertext_bytes

    def document(self) -> bytes:
        """Write the canonical JSON that leaves hash."""
        return dumps(
            {
                "v": VERSION,
                "dataset": self.dataset,
                "version": self.version,
                "schema": self.schema_hash.hex(),
                "key": self.key_id,
                "blocks": self.blocks,
                "columns": self.columns,
                "ciphertext_bytes": self.ciphertext_bytes,
            }
        )

    def to_bytes(self) -> bytes:
        """Write everything that stands before the first record."""
        document = self.document()
        return MAGIC + len(document).to_bytes(_LENGTH_BYTES, "big") + document

    @classmethod
    def parse(cls, document: bytes) -> "Header":
        """Read the canonical JSON strictly; raises `FormatError`."""
        reader = Reader(loads(document, VERSION))
        header = cls(
            reader.text("dataset"),
            reader.integer("version", 1),
            reader.hex("schema", HASH_BYTES),
            reader.hex("key", KEY_ID_BYTES).hex(),
            reader.integer("blocks", 1, MAX_BLOCKS),
            reader.integer("columns", 1, MAX_COLUMNS),
            reader.integer("ciphertext_bytes", 1, MAX_CIPHERTEXT_BYTES),
        )
        reader.close()
        return header

    def leaf(self, block: int, records: bytes | memoryview) -> bytes:
        """Hash one block: the leaf hash that goes into `ciphertext_root`."""
        if len(records) != self.block_bytes:
            raise RuntimeError(f"a block is {self.block_bytes} bytes of records")
        number = block.to_bytes(_U64, "big")
        return tlog.leaf_hash(
            digest(Tag.BLOCK, self.document(), number, bytes(records))
        )


class BlockFile:
    """Reads a file of blocks from any buffer: bytes, or a memory-mapped file.

    Raises `FormatError` unless header and length are exactly right.  Records
    are views of the buffer; nothing is read before it is asked for.
    """

    __slots__ = ("_records", "header")

    def __init__(self, buffer: bytes | memoryview) -> None:
        view = memoryview(buffer)
        start = len(MAGIC) + _LENGTH_BYTES
        if len(view) < start or view[: len(MAGIC)] != MAGIC:
            raise FormatError("not a file of encrypted blocks")
        length = int.from_bytes(view[len(MAGIC) : start], "big")
        if length > MAX_HEADER:
            raise FormatError(f"expected a header of at most {MAX_HEADER} bytes")
        self.header = Header.parse(bytes(view[start : start + length]))
        self._records = view[start + length :]
        expected = self.header.blocks * self.header.block_bytes
        if len(self._records) != expected:
            raise FormatError(
                f"expected {expected} bytes of records, got {len(self._records)}"
            )

    def record(self, block: int, column: int) -> memoryview:
        """Return the bytes of one ciphertext."""
        if not 0 <= column < self.header.columns:
            raise RuntimeError(f"no column {column}")
        size = self.header.ciphertext_bytes
        return self.block_bytes(block)[column * size : (column + 1) * size]

    def ciphertext(self, block: int, column: int) -> Ciphertext:
        """Read one ciphertext; `check` has been called when it was pushed."""
        return ciphertext_from_bytes(self.record(block, column))

    def block_bytes(self, block: int) -> memoryview:
        """Return the records of one block."""
        if not 0 <= block < self.header.blocks:
            raise RuntimeError(f"no block {block}")
        size = self.header.block_bytes
        return self._records[block * size : (block + 1) * size]

    def leaf(self, block: int) -> bytes:
        """Hash one block."""
        return self.header.leaf(block, self.block_bytes(block))

    def ciphertext_root(self) -> bytes:
        """Hash every block: reads the whole file."""
        return tlog.root_of([self.leaf(b) for b in range(self.header.blocks)])

    def check(self, public: PublicKey, block: int) -> None:
        """Raise `CiphertextInvalid` or `FormatError` unless a block is usable.

        The house asks when a custodian pushes: one ciphertext that is no unit
        would make every later call over this block fail at the authority.
        """
        header = self.header
        if header.key_id != public.key_id:
            raise FormatError(f"blocks are under another key, `{header.key_id}`")
        if header.ciphertext_bytes != public.ciphertext_bytes:
            raise FormatError("records have the wrong length for their key")
        columns = range(header.columns)
        check_ciphertexts(public, [self.ciphertext(block, c) for c in columns])


# -- what a custodian signs ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Manifest:
    """One push, as its custodian signs it under `Tag.MANIFEST`."""

    dataset: str
    version: int  # 1, 2, ... of this dataset
    schema_hash: bytes
    key_id: str  # of the Paillier key
    rows: int  # subjects that are present
    blocks: int
    columns: int
    ciphertext_root: bytes
    row_map_root: bytes
    directory_version: int
    vintage: str  # the period the source data are of, in the custodian's words
    custodian: str
    created_ms: int

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": MANIFEST_VERSION,
                "dataset": self.dataset,
                "version": self.version,
                "schema": self.schema_hash.hex(),
                "key": self.key_id,
                "rows": self.rows,
                "blocks": self.blocks,
                "columns": self.columns,
                "ciphertext_root": self.ciphertext_root.hex(),
                "row_map_root": self.row_map_root.hex(),
                "directory_version": self.directory_version,
                "vintage": self.vintage,
                "custodian": self.custodian,
                "created_ms": self.created_ms,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "Manifest":
        """Read what `to_bytes` wrote; raises `FormatError`."""
        reader = Reader(loads(data, MANIFEST_VERSION))
        manifest = cls(
            reader.text("dataset"),
            reader.integer("version", 1),
            reader.hex("schema", HASH_BYTES),
            reader.hex("key", KEY_ID_BYTES).hex(),
            reader.integer("rows"),
            reader.integer("blocks", 1, MAX_BLOCKS),
            reader.integer("columns", 1, MAX_COLUMNS),
            reader.hex("ciphertext_root", HASH_BYTES),
            reader.hex("row_map_root", HASH_BYTES),
            reader.integer("directory_version", 1),
            reader.text("vintage"),
            reader.text("custodian"),
            reader.integer("created_ms"),
        )
        reader.close()
        return manifest

    def check_header(self, header: Header) -> None:
        """Raise `FormatError` unless the file is the one this manifest describes.

        The roots remain to be compared by whoever has read the records.
        """
        for name in ("dataset", "version", "schema_hash", "key_id", "blocks"):
            if getattr(self, name) != getattr(header, name):
                raise FormatError(f"manifest and file differ in `{name}`")
        if self.columns != header.columns:
            raise FormatError("manifest and file differ in `columns`")


# -- encryption, at the custodian ----------------------------------------------


def encrypt_block(
    base: FixedBase, drbg: Drbg, block: int, values: Ints, limits: Sequence[int]
) -> bytes:
    """Encrypt one block: values (columns, slots) -> its records.

    `limits` has the largest value of every column; the least is 0.  Raises
    `FormatError`, naming column and slot, for a value outside: a flag of 2, or
    a negative number, would move the score of this subject or of the next.
    """
    return encrypt_blocks(base, drbg, block, [values], limits)[0]


def encrypt_blocks(
    base: FixedBase,
    drbg: Drbg,
    first: int,
    blocks: Sequence[Ints],
    limits: Sequence[int],
) -> list[bytes]:
    """Encrypt blocks `first`, `first` + 1, ..., each as `encrypt_block` does."""
    public, shape = base.public, (len(limits), slots_per_block(base.public.bits))
    for values in blocks:
        if values.shape != shape:
            raise RuntimeError("a block is a limit and a row of slots for every column")
        _refuse_outside(values, limits)
    records = base.encrypt_rows(
        b"".join(pack_rows(values) for values in blocks),
        [
            _exponent(public, drbg, block, column)
            for block in range(first, first + len(blocks))
            for column in range(len(limits))
        ],
    )
    size = len(limits) * public.ciphertext_bytes
    return [records[i : i + size] for i in range(0, len(records), size)]


def encrypt_dataset(
    base: FixedBase, drbg: Drbg, blocks: Iterable[Ints], limits: Sequence[int]
) -> Iterator[bytes]:
    """Encrypt blocks 0, 1, ... as they come: a file is a header and these."""
    for block, values in enumerate(blocks):
        yield encrypt_block(base, drbg, block, values, limits)


@dataclass(frozen=True, slots=True, repr=False)
class Opening:
    """What one ciphertext holds: plaintext, for the auditor's eyes only."""

    block: int
    column: int
    values: tuple[int, ...]  # of every slot
    exponent: bytes


def opening(
    public: PublicKey, drbg: Drbg, block: int, column: int, values: Ints
) -> Opening:
    """Open a sampled ciphertext, from the seed the dataset was encrypted with."""
    exponent = _exponent(public, drbg, block, column)
    return Opening(block, column, tuple(values.tolist()), exponent)


def verify_opening(
    base: FixedBase, ciphertext: Ciphertext, opened: Opening, limit: int
) -> None:
    """Raise `ProofInvalid` unless `ciphertext` holds these values, all in range.

    1 shape: slots, exponent   2 range   3 the same ciphertext
    """
    public, values, place = base.public, opened.values, _place(opened)
    if len(values) != slots_per_block(public.bits):  # 1
        raise ProofInvalid(f"opening of {place} has the wrong number of slots")
    if len(opened.exponent) != _exponent_bytes(public) or not any(opened.exponent):
        raise ProofInvalid(f"opening of {place} has no such exponent")
    if not all(0 <= value <= limit < 1 << SLOT_BITS for value in values):  # 2
        raise ProofInvalid(f"opening of {place} has a value beyond 0 to {limit}")
    plaintext = pack(np.array(values, np.int64))  # 3
    if encrypt(public, plaintext, base.power(opened.exponent)) != ciphertext:
        raise ProofInvalid(f"{place} does not hold what its custodian says")


def _place(opened: Opening) -> str:
    return f"block {opened.block}, column {opened.column}"


def _exponent_bytes(public: PublicKey) -> int:
    return public.stored_exponent_bits // 8


def _exponent(public: PublicKey, drbg: Drbg, block: int, column: int) -> bytes:
    return drbg.bytes(f"block {block} column {column}", _exponent_bytes(public))


def _refuse_outside(values: Ints, limits: Sequence[int]) -> None:
    wrong = np.argwhere((values < 0) | (values > np.array(limits)[:, None]))
    if wrong.size:  # the value itself may be somebody's and is not named
        column, slot = wrong[0]
        raise FormatError(
            f"column {column}, slot {slot}: expected a value of 0 to {limits[column]}"
        )
