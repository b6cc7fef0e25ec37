"""The scene of the attacks: a small key, one contract, a block of people."""

import secrets
from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest

from protocols import paillier
from protocols.drbg import Drbg
from protocols.paillier import Ciphertext, FixedBase, PrivateKey, encrypt
from protocols.program import INSUFFICIENT_DATA, Group, Program, Scorecard
from protocols.slots import Ints, pack, slots_per_block
from tests.audited import Audited, audited


@pytest.fixture(scope="session")
def key() -> PrivateKey:
    """Return the authority's key, 512 bits, 11 slots."""
    numbers, drbg = count(), Drbg(b"the scene of the attacks".ljust(32))
    return paillier._small_key(
        512, lambda length: drbg.bytes(f"key {next(numbers)}", length)
    )


@pytest.fixture(scope="session")
def base(key: PrivateKey) -> FixedBase:
    """Return the long table of obfuscators."""
    return FixedBase(key.public, key.public.authority_exponent_bits)


@pytest.fixture(scope="session")
def card() -> Scorecard:
    """Return a contract: two integer columns, a group of five flags, one dataset."""
    groups = (
        Group("debtor", (2, 3, 4, 5, 6), 1, 0),
        Group(INSUFFICIENT_DATA, (7,), -1, 1),
    )
    return Scorecard(
        weights=(3, 10, *[0] * 6),
        shift=0,
        top=1300,
        m=12,
        steps=((0, 0), (400, 1), (800, 2), (1200, 3)),
        groups=groups,
        fields=Scorecard.layout(12, groups),
    )


@pytest.fixture(scope="session")
def people(key: PrivateKey) -> Ints:
    """Return a block: (columns, slots), the integers up to 100, no vetoes."""
    count_ = slots_per_block(key.public.bits)
    values = np.zeros((8, count_), np.int64)
    values[:2] = np.random.default_rng(1).integers(0, 101, (2, count_))
    values[7] = 1
    return values


@pytest.fixture(scope="session")
def block(key: PrivateKey, base: FixedBase, people: Ints) -> list[Ciphertext]:
    """Return the encrypted block, as the house stores it."""
    length = key.public.stored_exponent_bits // 8
    return [
        encrypt(key.public, pack(row), base.power(secrets.token_bytes(length)))
        for row in people
    ]


@pytest.fixture(scope="session")
def total(key: PrivateKey, card: Scorecard, block: list[Ciphertext]) -> Ciphertext:
    """Return the contract's program run over the block."""
    return Program(card).run(key.public, block)


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    """Run a whole trust domain for a while, and export its journals."""
    with audited(tmp_path_factory.mktemp("audited")) as made:
        yield made
