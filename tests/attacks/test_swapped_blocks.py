"""Crime: a stored block is exchanged for another (case 55).

The court's block in the tax bureau's place, last year's for this year's, block 7
for block 8: all are valid ciphertexts under the right key.
"""

from dataclasses import replace

import numpy as np
import pytest

from protocols import tlog
from protocols.blocks import BlockFile, Header, encrypt_dataset
from protocols.drbg import Drbg
from protocols.paillier import FixedBase

SLOTS = 11


@pytest.fixture(scope="module")
def file(base: FixedBase) -> bytes:
    """Two blocks of two columns."""
    header = Header(
        "court/debtors",
        2,
        bytes(32),
        base.public.key_id,
        2,
        2,
        base.public.ciphertext_bytes,
    )
    values = np.arange(2 * 2 * SLOTS).reshape(2, 2, SLOTS)
    blocks = encrypt_dataset(base, Drbg(bytes(32)), values, (100, 100))
    return header.to_bytes() + b"".join(blocks)


def test_ours_hashes_the_place_with_the_block(file: bytes) -> None:
    """The same records elsewhere have another leaf."""
    blocks = BlockFile(file)
    header, records = blocks.header, blocks.block_bytes(0)
    elsewhere = [
        header.leaf(1, records),
        replace(header, dataset="tax/returns").leaf(0, records),
        replace(header, version=3).leaf(0, records),
        replace(header, schema_hash=bytes([1]) * 32).leaf(0, records),
        replace(header, key_id="11" * 16).leaf(0, records),
    ]
    assert blocks.leaf(0) not in elsewhere
    assert len(set(elsewhere)) == 5


def test_ours_notices_an_exchange_in_the_root(file: bytes) -> None:
    """Two blocks exchanged, or one repeated: another root."""
    blocks = BlockFile(file)
    a, b = (bytes(blocks.block_bytes(i)) for i in (0, 1))
    head = file[: -2 * len(a)]
    roots = {BlockFile(head + x + y).ciphertext_root() for x, y in ((b, a), (a, a))}
    assert blocks.ciphertext_root() not in roots
    assert tlog.root_of([blocks.leaf(0), blocks.leaf(1)]) == blocks.ciphertext_root()
