"""Files of encrypted blocks, manifests and openings."""

import mmap
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from protocols import paillier, tlog
from protocols.blocks import (
    MAGIC,
    BlockFile,
    Header,
    Manifest,
    encrypt_block,
    encrypt_blocks,
    encrypt_dataset,
    opening,
    verify_opening,
)
from protocols.canon import Tag, digest, dumps, loads
from protocols.drbg import Drbg
from protocols.errors import CiphertextInvalid, FormatError, ProofInvalid
from protocols.paillier import FixedBase
from protocols.slots import slots_per_block, unpack

NUMBERS = count()
KEY = paillier._small_key(
    512, lambda length: Drbg(bytes(32)).bytes(f"key {next(NUMBERS)}", length)
)
PUBLIC = KEY.public
BASE = FixedBase(PUBLIC, PUBLIC.stored_exponent_bits)
SLOTS = slots_per_block(PUBLIC.bits)
LIMITS = (100, 1, 1)
DRBG = Drbg(bytes([7]) * 32)

RANDOM = np.random.default_rng(5)
VALUES = np.stack(  # (blocks, columns, slots)
    [RANDOM.integers(0, limit + 1, (4, SLOTS)) for limit in LIMITS], axis=1
)
HEADER = Header(
    dataset="tax/returns",
    version=3,
    schema_hash=bytes(range(32)),
    key_id=PUBLIC.key_id,
    blocks=4,
    columns=3,
    ciphertext_bytes=PUBLIC.ciphertext_bytes,
)
FILE = HEADER.to_bytes() + b"".join(encrypt_dataset(BASE, DRBG, VALUES, LIMITS))
MANIFEST = Manifest(
    dataset="tax/returns",
    version=3,
    schema_hash=bytes(range(32)),
    key_id=PUBLIC.key_id,
    rows=40,
    blocks=4,
    columns=3,
    ciphertext_root=BlockFile(FILE).ciphertext_root(),
    row_map_root=bytes(32),
    directory_version=2,
    vintage="2024 年第二季度",
    custodian="tax-bureau",
    created_ms=1_700_000_000_000,
)


# -- the file ------------------------------------------------------------------


def test_every_slot_of_every_record_comes_back() -> None:
    """Record [block][column] decrypts to that column of that block."""
    blocks = BlockFile(FILE)
    for b in range(4):
        blocks.check(PUBLIC, b)
        for c in range(3):
            plain = KEY.decrypt(blocks.ciphertext(b, c)).to_bytes(64, "little")
            assert VALUES[b, c].tolist() == unpack(plain, range(SLOTS)).tolist()


def test_a_file_is_read_where_it_lies(tmp_path: Path) -> None:
    """A memory-mapped file serves single records without copying the rest."""
    (tmp_path / "blocks").write_bytes(FILE)
    with (
        (tmp_path / "blocks").open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as view,
    ):
        blocks = BlockFile(view)
        record = blocks.record(2, 1)
        assert record == BlockFile(FILE).record(2, 1)
        assert record.obj is mapped
        del record, blocks  # a mapping closes when nothing looks at it any more


@pytest.mark.parametrize(("block", "column"), [(4, 0), (-1, 0), (0, 3), (0, -1)])
def test_no_record_beyond_the_file(block: int, column: int) -> None:
    """A wrong number is our own mistake, never another record."""
    with pytest.raises(RuntimeError, match="no "):
        BlockFile(FILE).record(block, column)


def edited(change: Callable[[dict], object]) -> bytes:
    """Rewrite the header's document."""
    document = loads(HEADER.document(), "safehouse/blocks/1")
    change(document)
    data = dumps(document)
    return MAGIC + len(data).to_bytes(4, "big") + data + FILE[len(HEADER.to_bytes()) :]


@pytest.mark.parametrize(
    ("data", "crime"),
    [
        (b"", "not a file"),
        (FILE[:19], "not a file"),
        (b"x" + FILE[1:], "not a file"),
        (FILE[:-1], "bytes of records"),
        (FILE + b"\0", "bytes of records"),
        (MAGIC + b"\xff\xff\xff\xff" + FILE[20:], "at most 4096"),
        (MAGIC + b"\0\0\0\0" + FILE[20:], "not JSON"),
        (edited(lambda d: d.update(v="safehouse/blocks/2")), "expected version"),
        (edited(lambda d: d.update(more=1)), "unknown member `more`"),
        (edited(lambda d: d.pop("key")), "missing member `key`"),
        (edited(lambda d: d.update(blocks=3)), "bytes of records"),
        (edited(lambda d: d.update(blocks=0)), "`blocks`: expected 1 to"),
        (edited(lambda d: d.update(columns=1 << 40)), "`columns`: expected 1 to"),
        (edited(lambda d: d.update(ciphertext_bytes=0)), "expected 1 to"),
        (edited(lambda d: d.update(version=0)), "expected 1 to"),
    ],
)
def test_a_file_is_read_strictly(data: bytes, crime: str) -> None:
    """Anything but the exact format and length is refused."""
    with pytest.raises(FormatError, match=crime):
        BlockFile(data)


def test_a_block_under_another_key_is_refused() -> None:
    """The house checks a push before it stores it."""
    with pytest.raises(FormatError, match="under another key"):
        BlockFile(edited(lambda d: d.update(key="00" * 16))).check(PUBLIC, 0)


def test_a_record_that_is_no_unit_is_refused() -> None:
    """It would make every later call over its block fail."""
    size = PUBLIC.ciphertext_bytes
    bad = FILE[:-size] + int(PUBLIC.n).to_bytes(size, "big")
    with pytest.raises(CiphertextInvalid, match="ciphertext 2 is not a unit"):
        BlockFile(bad).check(PUBLIC, 3)


# -- hashes --------------------------------------------------------------------


def test_the_root_is_what_the_docstring_says() -> None:
    """RFC 6962 over digest(BLOCK, header, number, records), block by block."""
    start = len(HEADER.to_bytes())
    leaves = []
    for b in range(4):
        records = FILE[start + b * 384 : start + (b + 1) * 384]
        parts = (HEADER.document(), b.to_bytes(8, "big"), records)
        leaves.append(tlog.leaf_hash(digest(Tag.BLOCK, *parts)))
    assert tlog.root_of(leaves) == BlockFile(FILE).ciphertext_root()


def test_one_bit_names_its_block() -> None:
    """Case 54: a flipped bit changes the leaf of its block and no other."""
    edited_file = bytearray(FILE)
    edited_file[-1] ^= 1
    good, bad = BlockFile(FILE), BlockFile(bytes(edited_file))
    assert [good.leaf(b) == bad.leaf(b) for b in range(4)] == [True, True, True, False]


# -- manifests -----------------------------------------------------------------


def test_a_manifest_comes_back() -> None:
    """What was signed is what is read, Chinese and all."""
    assert Manifest.parse(MANIFEST.to_bytes()) == MANIFEST
    MANIFEST.check_header(HEADER)


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "tax/other"},
        {"version": 4},
        {"schema_hash": bytes(32)},
        {"key_id": "00" * 16},
        {"blocks": 5},
        {"columns": 2},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_manifest_of_another_file_is_refused(change: dict[str, object]) -> None:
    """Each of them names one property of the file it was signed for."""
    with pytest.raises(FormatError, match=f"differ in `{next(iter(change))}`"):
        replace(MANIFEST, **change).check_header(HEADER)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": -1},
        {"version": 0},
        {"key_id": "00"},
        {"ciphertext_root": b"short"},
        {"directory_version": 0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_manifest_is_read_strictly(change: dict[str, object]) -> None:
    """Out-of-range members are refused where they are read."""
    with pytest.raises(FormatError):
        Manifest.parse(replace(MANIFEST, **change).to_bytes())


# -- encryption and openings ---------------------------------------------------


def test_the_same_seed_makes_the_same_block() -> None:
    """A block depends on seed, number and values; on its neighbours not at all."""
    start = len(HEADER.to_bytes()) + 2 * HEADER.block_bytes
    alone = encrypt_block(BASE, DRBG, 2, VALUES[2], LIMITS)
    assert encrypt_blocks(BASE, DRBG, 1, VALUES[1:3], LIMITS)[1] == alone
    assert FILE[start : start + HEADER.block_bytes] == alone


def test_no_exponent_is_used_twice() -> None:
    """Equal values in two places, or two seeds, give unrelated ciphertexts."""
    same = np.zeros((3, SLOTS), np.int64)
    blocks = [encrypt_block(BASE, DRBG, b, same, LIMITS) for b in range(3)]
    blocks.append(encrypt_block(BASE, Drbg(bytes([8]) * 32), 0, same, LIMITS))
    records = {block[at : at + 128] for block in blocks for at in range(0, 384, 128)}
    assert len(records) == 12


def test_a_block_is_whole() -> None:
    """A missing limit would leave a column unchecked, a missing slot a subject out."""
    for values, limits in ((VALUES[0], (1, 1)), (VALUES[0, :, 1:], LIMITS)):
        with pytest.raises(RuntimeError, match="a limit and a row of slots"):
            encrypt_block(BASE, DRBG, 0, values, limits)


def test_an_opening_verifies() -> None:
    """The auditor computes the sampled ciphertext again from what it is shown."""
    opened = opening(PUBLIC, DRBG, 2, 0, VALUES[2, 0])
    verify_opening(BASE, BlockFile(FILE).ciphertext(2, 0), opened, 100)
    assert str(opened.values[0]) not in repr(opened).partition(" object")[0]


@pytest.mark.parametrize(
    ("change", "limit", "crime"),
    [
        ({"values": (5,) * SLOTS}, 100, "does not hold"),
        ({"exponent": bytes([1] * 32)}, 100, "does not hold"),
        ({"exponent": bytes([1] * 31)}, 100, "no such exponent"),
        ({"exponent": bytes(32)}, 100, "no such exponent"),
        ({"values": (0,) * (SLOTS + 1)}, 100, "number of slots"),
        ({"values": (-1,) * SLOTS}, 100, "beyond 0 to 100"),
        ({"values": (1 << 80,) * SLOTS}, 100, "beyond 0 to 100"),
        ({}, 3, "beyond 0 to 3"),
    ],
)
def test_a_false_opening_is_refused(
    change: dict[str, object], limit: int, crime: str
) -> None:
    """Other values, another exponent, or a value beyond its column's limit."""
    opened = replace(opening(PUBLIC, DRBG, 2, 0, VALUES[2, 0]), **change)
    with pytest.raises(ProofInvalid, match=crime):
        verify_opening(BASE, BlockFile(FILE).ciphertext(2, 0), opened, limit)
