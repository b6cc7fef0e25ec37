"""Packed masked lookup, from columns to codes, against the plain definition.

Random contracts, boundaries, one call against a batch, totals out of range; and
the distribution of what authority and bank see.
"""

import secrets
from dataclasses import dataclass, replace
from itertools import count
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from protocols import paillier
from protocols.canon import Tag, digest
from protocols.drbg import Drbg, block_seed
from protocols.errors import CiphertextInvalid, FormatError
from protocols.lookup import (
    FlatGate,
    Message,
    authority_pick,
    bank_open,
    house_message,
)
from protocols.paillier import Ciphertext, FixedBase, encrypt
from protocols.program import (
    INSUFFICIENT_DATA,
    OUT_OF_RANGE,
    Group,
    Program,
    Scorecard,
)
from protocols.slots import Field, Ints, pack, slots_per_block, split, unpack

NUMBERS = count()
KEY = paillier._small_key(
    512, lambda length: Drbg(bytes(32)).bytes(f"key {next(NUMBERS)}", length)
)
PUBLIC = KEY.public
BASE = FixedBase(PUBLIC, PUBLIC.authority_exponent_bits)
SLOTS = slots_per_block(PUBLIC.bits)
ALL = tuple(range(SLOTS))


# -- random contracts ----------------------------------------------------------

worlds = st.integers(0, (1 << 32) - 1)  # seeds: a failing one is printed


@dataclass(frozen=True)
class World:
    """A contract and a block of people."""

    card: Scorecard
    people: Ints  # (columns, slots)
    clear: Ints  # a column vector with no veto, all present, total = shift
    integers: tuple[int, ...]  # columns with a limit and a positive weight


def draw_world(rnd: Random) -> World:
    """Draw one: one-hot classes, integers of either sign, flags, vetoes, datasets."""
    weights: list[int] = []
    columns: list[list[int]] = []  # of people
    clear: list[int] = []
    integers: list[int] = []
    top = shift = 0
    for _ in range(rnd.randint(0, 3)):  # one-hot classes, least weight 0
        size = rnd.randint(2, 5)
        points = [0, *(rnd.randint(0, 90) for _ in range(size - 1))]
        rnd.shuffle(points)
        chosen = [rnd.randrange(size) for _ in ALL]
        columns += [[int(c == k) for c in chosen] for k in range(size)]
        clear += [int(points.index(0) == k) for k in range(size)]
        weights += points
        top += max(points)
    for _ in range(rnd.randint(1, 4)):  # integers, some of them scored flags
        limit, weight = rnd.choice([1, 7, 100, 500]), rnd.choice([-3, -1, 0, 1, 2, 5])
        if weight > 0:
            integers.append(len(weights))
        columns.append([rnd.choice([0, limit, rnd.randint(0, limit)]) for _ in ALL])
        clear.append(0)
        weights.append(weight)
        top += abs(weight) * limit
        shift += max(0, -weight) * limit
    groups = []
    for g in range(rnd.randint(0, 2)):  # veto groups
        size = rnd.choice([1, 3, 31, 32])
        groups.append(Group(f"veto {g}", span(weights, size), 1, 0))
        columns += flags_of(rnd, size, rare=0)
        clear += [0] * size
        weights += [0] * size
    size = rnd.randint(1, 3)  # datasets
    groups.append(Group(INSUFFICIENT_DATA, span(weights, size), -1, size))
    columns += flags_of(rnd, size, rare=1)
    clear += [1] * size
    weights += [0] * size
    m = (2 * (top + 1) - 1).bit_length()
    cuts = sorted(rnd.sample(range(1, top + 1), min(top, rnd.randint(0, 6))))
    card = Scorecard(
        weights=tuple(weights),
        shift=shift,
        top=top,
        m=m,
        steps=tuple((first, rnd.randrange(64)) for first in [0, *cuts]),
        groups=tuple(groups),
        fields=Scorecard.layout(m, groups),
    )
    return World(card, np.array(columns), np.array(clear), tuple(integers))


def span(weights: list[int], size: int) -> tuple[int, ...]:
    """Give the numbers of the next `size` columns."""
    return tuple(range(len(weights), len(weights) + size))


def flags_of(rnd: Random, size: int, rare: int) -> list[list[int]]:
    """Draw flags: mostly all 1 - rare.. all of one kind, sometimes one, or all."""
    usual = rare
    flags = [[usual] * SLOTS for _ in range(size)]
    for t in ALL:
        kind = rnd.randrange(4)
        if kind == 0:
            flags[rnd.randrange(size)][t] = 1 - usual
        elif kind == 1 and rnd.random() < 0.5:
            for column in flags:
                column[t] = 1 - usual
    return flags


def encrypted(people: Ints) -> list[Ciphertext]:
    """Encrypt a block, a ciphertext for every column."""
    return [
        encrypt(PUBLIC, pack(row), BASE.power(secrets.token_bytes(32)))
        for row in people
    ]


def call(
    gate: FlatGate, total: Ciphertext, slots: tuple[int, ...], seed: bytes
) -> list[int]:
    """Take one message through all three parties."""
    message, pad_key = house_message(gate, PUBLIC, BASE, total, slots, seed)
    picked = authority_pick(gate, KEY, message)
    return bank_open(gate, picked.u, picked.rows, pad_key, slots).tolist()


@given(worlds)
@settings(max_examples=60)
def test_the_lookup_is_the_definition(world_seed: int) -> None:
    """Any contract, any people, any set of permitted slots: every code is right."""
    rnd = Random(world_seed)
    world = draw_world(rnd)
    total = Program(world.card).run(PUBLIC, encrypted(world.people))
    slots = tuple(sorted(rnd.sample(ALL, rnd.choice([1, 3, SLOTS]))))
    codes = call(FlatGate(world.card), total, slots, rnd.randbytes(32))
    assert [world.card.code_of(world.people[:, t]) for t in slots] == codes


@given(worlds)
@settings(max_examples=20)
def test_a_single_call_is_a_batch_of_one(world_seed: int) -> None:
    """Same ciphertext, tables, pads, u and rows, byte for byte, from one seed."""
    rnd = Random(world_seed)
    world = draw_world(rnd)
    gate, seed = FlatGate(world.card), rnd.randbytes(32)
    total = Program(world.card).run(PUBLIC, encrypted(world.people))
    slots = tuple(sorted(rnd.sample(ALL, 5)))
    batch, batch_key = house_message(gate, PUBLIC, BASE, total, slots, seed)
    together = authority_pick(gate, KEY, batch)
    for i, t in enumerate(slots):
        single, key = house_message(gate, PUBLIC, BASE, total, (t,), seed)
        alone = authority_pick(gate, KEY, single)
        table = batch.tables[i * gate.table_bytes : (i + 1) * gate.table_bytes]
        assert (single.ciphertext, single.tables) == (batch.ciphertext, table)
        assert (key, alone.z) == (batch_key, together.z)
        assert (alone.u[0] == together.u[i]).all()
        assert (alone.rows[0] == together.rows[i]).all()


@given(worlds)
@settings(max_examples=20)
def test_a_total_out_of_range_lands_in_the_guard_zone(world_seed: int) -> None:
    """One subject's column beyond its limit: OUT_OF_RANGE, neighbours stay right."""
    rnd = Random(world_seed)
    world = draw_world(rnd)
    card, people = world.card, world.people.copy()
    assume(world.integers)
    column = world.integers[0]
    t = rnd.choice(ALL)
    people[:, t] = world.clear
    people[column, t] = (card.top - card.shift) // card.weights[column] + 1
    total = card.total_of(people[:, t])
    assert card.top < total < 1 << card.m
    codes = call(
        FlatGate(card), Program(card).run(PUBLIC, encrypted(people)), ALL, bytes(32)
    )
    assert codes[t] == OUT_OF_RANGE
    assert [card.code_of(people[:, s]) for s in ALL] == codes


# -- one contract, its boundaries ----------------------------------------------

GROUPS = (
    Group("debtor", (2, 3, 4), 1, 0),
    Group("fraud", (5, 6, 7), 1, 0),
    Group(INSUFFICIENT_DATA, (8, 9), -1, 2),
)
CARD = Scorecard(
    weights=(1, -1, *[0] * 8),
    shift=20,
    top=100,
    m=8,
    steps=((0, 0), (20, 1), (21, 2), (60, 1), (100, 3)),
    groups=GROUPS,
    fields=Scorecard.layout(8, GROUPS),
)
GATE = FlatGate(CARD)


def person(total: int = 50, **flags: int) -> list[int]:
    """Make a column vector with this total and these flags set, by column."""
    values = [max(0, total - 20), max(0, 20 - total), *[0] * 6, 1, 1]
    for name, value in flags.items():
        values[int(name[1:])] = value
    return values


def codes_of(people: list[list[int]]) -> list[int]:
    """Take people through a call, a block at a time."""
    codes: list[int] = []
    for first in range(0, len(people), SLOTS):
        block = people[first : first + SLOTS]
        padded = block + [person()] * (SLOTS - len(block))
        total = Program(CARD).run(PUBLIC, encrypted(np.array(padded).T))
        slots = tuple(range(len(block)))
        codes += call(GATE, total, slots, secrets.token_bytes(32))
    return codes


def test_every_total_reads_its_step() -> None:
    """Below, at and above every threshold, both ends, and the zone beyond."""
    totals = range(118)
    expected = [CARD.code_of(person(total)) for total in totals]
    assert expected[19:23] == [0, 1, 2, 2]
    assert expected[98:104] == [1, 1, 3, -1, -1, -1]
    assert codes_of([person(total) for total in totals]) == expected


def test_codes_come_in_order() -> None:
    """insufficient_data outranks vetoes, those come in the contract's order."""
    people = [
        person(c2=1),
        person(c2=1, c3=1, c4=1),
        person(c7=1),
        person(c3=1, c6=1),
        person(c3=1, c6=1, c8=0),
        person(c8=0, c9=0),
        person(101, c8=0),
        person(101, c5=1),
        [0] * 10,
    ]
    assert codes_of(people) == [-2, -2, -3, -2, -4, -4, -4, -3, -4]


def test_a_negative_total_is_no_grade() -> None:
    """A lying custodian's borrow ends in a veto or out of range, never an outcome."""
    for total in (-1, -5, -100):
        values = [0, 20 - total, *[0] * 6, 1, 1]
        people = np.array([values] + [person()] * (SLOTS - 1)).T
        total_ = Program(CARD).run(PUBLIC, encrypted(people))
        assert call(GATE, total_, (0,), bytes(32))[0] < 0


# -- messages ------------------------------------------------------------------

TOTAL = Program(CARD).run(PUBLIC, encrypted(np.array([person()] * SLOTS).T))
MESSAGE, PAD_KEY = house_message(GATE, PUBLIC, BASE, TOTAL, (2, 5), bytes(32))


def test_the_message_hash_binds_everything() -> None:
    """Ciphertext, slots and tables; another of any is another message."""
    width = -(-MESSAGE.ciphertext.bit_length() // 8)
    ciphertext = MESSAGE.ciphertext.to_bytes(width, "big")
    parts = (ciphertext, b"\0\2\0\5", MESSAGE.tables)
    assert digest(Tag.MESSAGE, *parts) == MESSAGE.digest()
    others = [
        replace(MESSAGE, ciphertext=MESSAGE.ciphertext + 1),
        replace(MESSAGE, slots=(2, 6)),
        replace(MESSAGE, slots=(2,)),
        replace(MESSAGE, tables=MESSAGE.tables[:-1] + b"\0"),
    ]
    assert len({message.digest() for message in [MESSAGE, *others]}) == 5


@pytest.mark.parametrize(
    ("change", "crime"),
    [
        ({"slots": ()}, "at least one"),
        ({"slots": (5, 2)}, "ascending"),
        ({"slots": (2, 2)}, "ascending"),
        ({"slots": (-1, 2)}, "slots of 0 to 10"),
        ({"slots": (2, 11)}, "slots of 0 to 10"),
        ({"slots": (2,)}, "tables of"),
        ({"tables": MESSAGE.tables[:-1]}, "tables of"),
        ({"tables": MESSAGE.tables + b"\0"}, "tables of"),
    ],
)
def test_a_misshapen_message_is_refused(change: dict[str, object], crime: str) -> None:
    """The authority takes exactly what the contract says, before it decrypts."""
    with pytest.raises(FormatError, match=crime):
        authority_pick(GATE, KEY, replace(MESSAGE, **change))


@pytest.mark.parametrize("ciphertext", [0, int(PUBLIC.n), int(PUBLIC.n2), int(KEY.p)])
def test_a_bad_ciphertext_is_refused(ciphertext: int) -> None:
    """Range and gcd are checked before the key is used."""
    with pytest.raises(CiphertextInvalid):
        authority_pick(GATE, KEY, replace(MESSAGE, ciphertext=ciphertext))


@pytest.mark.parametrize("plaintext", [0, 1, int(PUBLIC.n) - 1, int(PUBLIC.n) // 2])
def test_no_plaintext_is_refused(plaintext: int) -> None:
    """Whatever is inside, rows are picked: a refusal would be an answer."""
    c = encrypt(PUBLIC, plaintext, BASE.power(secrets.token_bytes(72)))
    picked = authority_pick(GATE, KEY, replace(MESSAGE, ciphertext=int(c)))
    assert (picked.z, picked.rows.shape) == (plaintext, (2, 7))


def test_what_the_bank_gets_has_one_shape() -> None:
    """Shapes and row numbers are checked; contents never are."""
    picked = authority_pick(GATE, KEY, MESSAGE)
    u, rows = picked.u, picked.rows
    bad = [
        (u[:1], rows, PAD_KEY, "expected u"),
        (u[:, :3], rows, PAD_KEY, "expected u"),
        (u, rows[:, :6], PAD_KEY, "expected rows of 7"),
        (u, rows, PAD_KEY[:31], "pads of 32"),
        (u - 1024, rows, PAD_KEY, "not the number of a row"),
        (u + 1024, rows, PAD_KEY, "not the number of a row"),
    ]
    for u_, rows_, key, crime in bad:
        with pytest.raises(FormatError, match=crime):
            bank_open(GATE, u_, rows_, key, (2, 5))


def test_a_score_too_wide_for_tables_is_refused() -> None:
    """2^21 rows a slot is work for another gate."""
    groups = (GROUPS[-1],)
    wide = replace(CARD, m=21, groups=groups, fields=Scorecard.layout(21, groups))
    with pytest.raises(FormatError, match="21 bits is too wide"):
        FlatGate(wide)


def test_obfuscators_of_another_key_are_our_own_mistake() -> None:
    """A ciphertext under two keys would decrypt to noise."""
    other = paillier._small_key(256, secrets.token_bytes).public
    with pytest.raises(RuntimeError, match="of another key"):
        house_message(GATE, other, BASE, TOTAL, (0,), bytes(32))


def test_labels_do_not_collide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thing that is drawn has a label of its own, and is drawn once."""
    drawn: list[tuple[str, int]] = []
    original = Drbg.bytes

    def spy(drbg: Drbg, label: str, length: int) -> bytes:
        drawn.append((label, length))
        return original(drbg, label, length)

    monkeypatch.setattr(Drbg, "bytes", spy)
    house_message(GATE, PUBLIC, BASE, TOTAL, (2, 5), bytes(32))
    # all slots and 64 bits; n and 64 bits; 3 locks for slots 0..5; a key
    assert drawn == [
        ("mask", 5 * SLOTS + 8),
        ("obfuscator", 72),
        ("locks", 18),
        ("pads", 32),
    ]


def test_secrets_have_no_repr() -> None:
    """What the authority holds for a moment does not print itself."""
    picked = authority_pick(GATE, KEY, MESSAGE)
    assert str(picked.z) not in repr(picked)
    assert "rows" not in repr(picked)


def test_table_sizes() -> None:
    """Two bytes a veto row, one a score row, padded to the cipher's block."""
    assert GATE.table_bytes == 3 * 2 * 64 + 512
    assert (GATE.row_bytes, len(MESSAGE.tables)) == (7, 2 * GATE.table_bytes)


# -- what each party sees ------------------------------------------------------
# Fixed seeds.  z values of chi-square: beyond 5 is no accident.

VIEWS = {
    "lowest": person(0),
    "at a threshold": person(60),
    "below a threshold": person(59),
    "highest": person(100),
    "one veto": person(60, c3=1),
    "all vetoes": person(60, c2=1, c3=1, c4=1, c5=1, c6=1, c7=1),
    "no data": person(60, c8=0, c9=0),
}
MESSAGES = 400
END = CARD.fields[-1].offset + CARD.fields[-1].bits
SEEN = (*CARD.fields, Field(END, 40 - END))


def chi_square(values: Ints, cells: int) -> float:
    """Return how many standard deviations `values` are from uniform."""
    expected = len(values) / cells
    observed = np.bincount(values, minlength=cells)
    excess = ((observed - expected) ** 2 / expected).sum() - (cells - 1)
    return float(abs(excess) / np.sqrt(2 * (cells - 1)))


def slots_of(name: str) -> Ciphertext:
    """Make a block full of one person."""
    people = np.array([VIEWS[name]] * SLOTS).T
    return Program(CARD).run(PUBLIC, encrypted(people))


def authority_view(messages: list[Message]) -> Ints:
    """Collect all the authority decrypts: (slots of all messages, fields).

    The last column is what lies above the fields in a slot.
    """
    plains = [
        authority_pick(GATE, KEY, m).z.to_bytes(PUBLIC.bits // 8, "little")
        for m in messages
    ]
    return split(np.concatenate([unpack(plain, ALL) for plain in plains]), SEEN)


def check_authority_view(u: Ints, values: list[int]) -> None:
    """Fail unless u says nothing of `values`: each field alone, and each carry.

    The carry out of a field is [u < 2v]; the guard bit above must not follow it.
    """
    slot = CARD.constant + sum(
        e * v for e, v in zip(CARD.exponents, values, strict=True)
    )
    for f, field in enumerate(SEEN):
        assert chi_square(u[:, f] >> field.bits - 5, 32) < 5
        assert chi_square(u[:, f] & 31, 32) < 5
    for f, below in enumerate(CARD.fields):
        doubled = 2 * slot >> below.offset & below.rows - 1
        carry, guard = u[:, f] < doubled, u[:, f + 1] & 1
        for seen in (guard[carry], guard[~carry]):
            if len(seen):  # five standard deviations of a fair coin
                assert abs(seen.mean() - 0.5) < 2.5 / np.sqrt(len(seen))


def seeds(name: str) -> list[bytes]:
    """Make the seeds of one view's calls."""
    return [block_seed(name.encode().ljust(32), b, bytes(32)) for b in range(MESSAGES)]


def cleared_message(total: Ciphertext, seed: bytes) -> Message:
    """Mask as the first design did, the guard bits of R cleared: BROKEN."""
    message, _ = house_message(GATE, PUBLIC, BASE, total, ALL, seed)
    mask = int.from_bytes(Drbg(seed).bytes("mask", 5 * SLOTS + 8), "little")
    guards = sum(1 << 40 * t + field.offset for t in ALL for field in CARD.fields)
    change = PUBLIC.n - (mask & guards)
    c = message.ciphertext * (1 + change * PUBLIC.n) % PUBLIC.n2
    return replace(message, ciphertext=int(c))


@pytest.mark.parametrize("name", VIEWS)
def test_the_authority_sees_uniform_fields(name: str) -> None:
    """Given any person, every field and every guard bit is uniform."""
    total = slots_of(name)
    messages = [
        house_message(GATE, PUBLIC, BASE, total, ALL, s)[0] for s in seeds(name)
    ]
    check_authority_view(authority_view(messages), VIEWS[name])


def test_the_check_of_views_notices_cleared_guard_bits() -> None:
    """The same check fails on the first design: it is able to fail."""
    name = "at a threshold"
    broken = [cleared_message(slots_of(name), seed) for seed in seeds(name)]
    with pytest.raises(AssertionError):
        check_authority_view(authority_view(broken), VIEWS[name])


def test_the_authority_sees_uniform_tables() -> None:
    """Every byte of the tables, wherever the mask has turned them."""
    rho = np.tile([3, 5, 2, 9], (SLOTS, 1))
    tables = [GATE.build(rho, ALL, Drbg(s))[0] for s in seeds("tables")[:60]]
    assert chi_square(np.concatenate(tables).ravel(), 256) < 5
    # by position too: the same byte of many tables
    stacked = np.stack(tables).reshape(-1, GATE.table_bytes)
    for at in (0, 1, 7, 6 * 64, 6 * 64 + 3, GATE.table_bytes - 1):
        assert chi_square(stacked[:, at] >> 4, 16) < 5


@pytest.mark.parametrize("name", VIEWS)
def test_the_bank_sees_its_code_and_noise(name: str) -> None:
    """Released: the outcome.  Vetoed or insufficient: a uniform byte in its place."""
    total, code = slots_of(name), CARD.code_of(VIEWS[name])
    released, all_u = [], []
    for seed in seeds(name):
        message, key = house_message(GATE, PUBLIC, BASE, total, ALL, seed)
        picked = authority_pick(GATE, KEY, message)
        assert (
            bank_open(GATE, picked.u, picked.rows, key, ALL).tolist() == [code] * SLOTS
        )
        stream = np.zeros((SLOTS, GATE.table_bytes), np.uint8)
        GATE._pad(key, stream, ALL)
        clear = picked.rows ^ GATE.pick(picked.u, stream)
        released.append(np.bitwise_xor.reduce(clear[:, 1::2], axis=1) ^ clear[:, -1])
        all_u.append(picked.u)
    byte, u = np.concatenate(released), np.concatenate(all_u)
    assert chi_square(u[:, 0] >> 4, 32) < 5
    if code >= 0:
        assert set(byte.tolist()) == {code}
    else:
        assert chi_square(byte, 256) < 5
