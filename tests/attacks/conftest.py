"""The scenes of the attacks.

For those on the mathematics: a small key, one contract, a block of people.  For
those on the nodes: a running trust domain, and a victim for each attack.
"""

import secrets
from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest

from node.client import BankClient
from protocols import paillier
from protocols.drbg import Drbg
from protocols.paillier import Ciphertext, FixedBase, PrivateKey, encrypt
from protocols.program import INSUFFICIENT_DATA, Group, Program, Scorecard
from protocols.slots import Ints, pack, slots_per_block
from tests.audited import Audited, audited
from tests.crowd_of_one import Hidden, settle
from tests.crowds import Crowd, crowded
from tests.german import German
from tests.hostile import EvilHouse
from tests.simulator import World

VICTIMS = 121
CROWD = 220


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


# -- a running trust domain


@pytest.fixture(scope="module")  # an attack may leave nodes that serve no other
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[German]:
    """Run house and authority; some attacks leave their journals in disorder."""
    with World(tmp_path_factory.mktemp("attacked")) as world:
        yield German(world, VICTIMS)


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    """Return a counter of victims."""
    return count()


@pytest.fixture
def victim(running: German, numbers: Iterator[int]) -> str:
    """Name a subject that consented, and that nobody has asked about."""
    subject = running.ids[next(numbers)]
    running.grant(subject)
    return subject


@pytest.fixture
def another(running: German, numbers: Iterator[int]) -> str:
    """Name another one."""
    subject = running.ids[next(numbers)]
    running.grant(subject)
    return subject


@pytest.fixture
def bank(running: German) -> Iterator[BankClient]:
    """Open the bank's SDK."""
    with running.bank() as client:
        yield client


@pytest.fixture
def evil(running: German) -> EvilHouse:
    """Return the house, broken into."""
    return EvilHouse(running)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """Run house and authority for jobs; every attack takes subjects of its own."""
    with crowded(tmp_path_factory.mktemp("crowd"), CROWD) as made:
        yield made


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hidden]:
    """Run a town whose bank asks privately; all its subjects have consented."""
    world, made = settle(tmp_path_factory.mktemp("hidden"))
    with world:
        yield made
