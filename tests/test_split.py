"""The split gate: exact for every total, mask and split, and blind as the flat one.

Without Paillier: a masked field is (2 v + carry + rho) modulo its rows, which is
what the authority reads in it (tests/test_lookup holds the two together).
"""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import lookup, split
from protocols.drbg import Drbg
from protocols.errors import FormatError
from protocols.lookup import FlatGate, Gate, authority_pick, bank_open, house_message
from protocols.program import (
    INSUFFICIENT_DATA,
    MAX_OUTCOMES,
    OUT_OF_RANGE,
    Group,
    Program,
    Scorecard,
)
from protocols.slots import Ints
from protocols.split import SplitGate
from tests.test_lookup import BASE, KEY, PUBLIC, SLOTS, chi_square, draw_world
from tests.test_lookup import encrypted as encrypted_block

GROUPS = (
    Group("debtor", (1, 2, 3), 1, 0),
    Group(INSUFFICIENT_DATA, (4,), -1, 1),
)
STEPS = ((0, 0), (17, 1), (60, 2), (100, 3), (151, 4), (222, 5), (300, 6))
CARD = Scorecard(
    (3, 0, 0, 0, 0), 0, 377, 10, STEPS, GROUPS, Scorecard.layout(10, GROUPS)
)
ROWS = np.array([field.rows for field in CARD.fields])


def outcome_of(card: Scorecard, total: int) -> int:
    """Find the outcome of a total: the definition."""
    if total > card.top:
        return OUT_OF_RANGE
    return [outcome for first, outcome in card.steps if first <= total][-1]


def through(gate: Gate, fields: Ints, rho: Ints, seed: bytes = bytes(32)) -> list[int]:
    """Take masked fields, 2 v + carry of each, from tables to codes."""
    slots = range(len(rho))
    tables, pad_key = gate.build(rho, slots, Drbg(seed))
    u = (fields + rho) % [field.rows for field in gate.card.fields]
    return gate.open(u, gate.pick(u, tables), pad_key, slots).tolist()


@pytest.mark.parametrize("low_bits", range(CARD.m + 2))
def test_every_total_is_exact_however_u_is_split(
    low_bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every total, both carries, masks of all kinds, every split a."""
    monkeypatch.setattr(split, "_cheapest", lambda _bits, _edges: low_bits)
    gate, drawn = SplitGate(CARD), np.random.default_rng(low_bits)
    fields = np.zeros((2 << CARD.m, 3), np.int64)
    fields[:, 0] = np.arange(2 << CARD.m)
    expected = [outcome_of(CARD, total) for total in range(1 << CARD.m)]
    for kind in range(4):
        rho = drawn.integers(0, ROWS, (len(fields), 3))
        if kind == 0:
            rho[:, 0] = 0
        elif kind == 1:
            rho[:, 0] &= -1 << low_bits
        elif kind == 2:
            rho[:, 0] |= (1 << low_bits) - 1
        assert through(gate, fields, rho) == np.repeat(expected, 2).tolist()


def draw_card(rnd: Random, m: int) -> Scorecard:
    """Draw a card of m bits with any steps, outcomes out of order included."""
    top = rnd.randint((1 << m - 2), (1 << m - 1) - 1)
    count = min(top, rnd.choice([0, 1, 5, 63, 300]))
    firsts = [0, *sorted(rnd.sample(range(1, top + 1), count))]
    outcomes = [rnd.randrange(MAX_OUTCOMES) for _ in firsts]
    steps = tuple(zip(firsts, outcomes, strict=True))
    groups = (GROUPS[-1],)
    return Scorecard(
        (1, 0, 0, 0, 0), 0, top, m, steps, groups, Scorecard.layout(m, groups)
    )


@given(st.integers(0, 1 << 32))
@settings(max_examples=40)
def test_any_card_is_exact(seed: int) -> None:
    """Any steps, thresholds and masks, at every edge and somewhere between."""
    rnd = Random(seed)
    card = draw_card(rnd, rnd.randint(4, 16))
    ends = [first for first, _ in card.steps] + [card.top + 1]
    totals = [t + d for t in rnd.sample(ends, min(len(ends), 40)) for d in (-1, 0)]
    totals += [rnd.randrange(1 << card.m) for _ in range(20)]
    totals = [total for total in totals if total >= 0]
    fields = np.zeros((len(totals), 2), np.int64)
    fields[:, 0] = [2 * total + rnd.randrange(2) for total in totals]
    rho = [[rnd.randrange(field.rows) for field in card.fields] for _ in totals]
    expected = [outcome_of(card, total) for total in totals]
    assert expected == through(
        SplitGate(card), fields, np.array(rho), rnd.randbytes(32)
    )


@given(st.integers(0, 1 << 32))
@settings(max_examples=15)
def test_split_and_flat_read_the_same(seed: int) -> None:
    """Any contract and people, through Paillier, both gates: the definition's codes.

    Masks are the same too, so under one seed the ciphertext is; the rest is not.
    """
    rnd = Random(seed)
    world = draw_world(rnd)
    total = Program(world.card).run(PUBLIC, encrypted_block(world.people))
    slots, block_seed = tuple(range(SLOTS)), rnd.randbytes(32)
    codes, ciphertexts, keys = [], set(), set()
    for gate in (FlatGate(world.card), SplitGate(world.card)):
        message, key = house_message(gate, PUBLIC, BASE, total, slots, block_seed)
        picked = authority_pick(gate, KEY, message)
        codes.append(bank_open(gate, picked.u, picked.rows, key, slots).tolist())
        ciphertexts.add(message.ciphertext)
        keys.add(key)
    expected = [world.card.code_of(world.people[:, t]) for t in slots]
    assert codes == [expected, expected]
    assert (len(ciphertexts), len(keys)) == (1, 2)


def test_a_single_slot_is_a_batch_of_one() -> None:
    """Tables and pad key hang on seed and slot, not on who else is permitted."""
    gate, seed = SplitGate(CARD), b"s" * 32
    rho = np.random.default_rng(3).integers(0, ROWS, (49, 3))
    tables, key = gate.build(rho, range(49), Drbg(seed))
    some = [0, 1, 2, 7, 30, 48]
    few, few_key = gate.build(rho[some], some, Drbg(seed))
    assert few_key == key
    assert (few == tables[some]).all()
    for slot in some:
        alone, alone_key = gate.build(rho[slot : slot + 1], [slot], Drbg(seed))
        assert alone_key == key
        assert (alone[0] == tables[slot]).all()


def test_labels_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """One seed behind both gates pads nothing twice, and locks nothing alike."""
    drawn: list[str] = []
    original = Drbg.bytes

    def spy(drbg: Drbg, label: str, length: int) -> bytes:
        drawn.append(label)
        return original(drbg, label, length)

    monkeypatch.setattr(Drbg, "bytes", spy)
    for gate in (FlatGate(CARD), SplitGate(CARD)):
        gate.build(np.zeros((1, 3), np.int64), [0], Drbg(bytes(32)))
    assert drawn == ["locks", "pads", "split locks", "split pads"]


def test_sizes() -> None:
    """A district's card: 8 outcomes of 13 bits take a fourteenth of the flat tables."""
    groups = (GROUPS[-1],)
    steps = tuple((500 * i, i) for i in range(8))
    card = Scorecard(
        (1, 0, 0, 0, 0), 0, 4095, 13, steps, groups, Scorecard.layout(13, groups)
    )
    gate = SplitGate(card)
    assert (gate.table_bytes, gate.row_bytes) == (1216, 2 + 2 + 9)
    assert FlatGate(card).table_bytes == 16_512
    assert gate.table_bytes % lookup.CIPHER_BLOCK == 0


def test_the_widest_score() -> None:
    """21 bits are tables, 22 are work for another gate."""
    groups = (GROUPS[-1],)
    top = (1 << 20) - 1
    steps = tuple((i * 16_000, i) for i in range(64))
    wide = Scorecard(
        (1, 0, 0, 0, 0), 0, top, 21, steps, groups, Scorecard.layout(21, groups)
    )
    gate = SplitGate(wide)
    assert gate.table_bytes < 60_000
    totals = [0, 15_999, 16_000, 1_007_999, 1_008_000, top, top + 1, (1 << 21) - 1]
    fields = np.array([[2 * total + 1, 0] for total in totals])
    rho = np.array([[(1 << 22) - 1 - 77 * i, 5] for i in range(len(totals))])
    assert through(gate, fields, rho) == [outcome_of(wide, total) for total in totals]
    too_wide = replace(wide, m=22, fields=Scorecard.layout(22, groups))
    with pytest.raises(FormatError, match="22 bits is too wide"):
        SplitGate(too_wide)


# -- what each party sees ------------------------------------------------------
# Fixed seeds.  z values of chi-square: beyond 5 is no accident.

GATE = SplitGate(CARD)
VIEWS = {  # doubled total, flags, missing
    "lowest": (5, 0, 0),
    "at a threshold": (60, 0, 0),
    "below a threshold": (59, 0, 0),
    "highest": (377, 0, 0),
    "vetoed": (60, 2, 0),
    "missing": (60, 0, 1),
}
BLOCK, BLOCKS = 49, 200


def test_the_authority_sees_uniform_tables() -> None:
    """Every byte is uniform, wherever the mask has turned the tables."""
    rho = np.tile([3, 5, 2], (BLOCK, 1))
    tables = np.stack(
        [GATE.build(rho, range(BLOCK), Drbg(seed("t", b)))[0] for b in range(60)]
    ).reshape(-1, GATE.table_bytes)
    assert chi_square(tables.ravel(), 256) < 5
    for at in (0, 1, 100, GATE._score_at, GATE._score_at + 1, GATE._score_end - 1):
        assert chi_square(tables[:, at] >> 4, 16) < 5


def seed(name: str, block: int) -> bytes:
    """Make the seed of one block."""
    return Drbg(name.encode().ljust(32)).bytes(f"{block}", 32)


@pytest.mark.parametrize("name", VIEWS)
def test_the_bank_sees_its_code_and_noise(name: str) -> None:
    """Uniform: u, the column opened, every column that is not, a hidden outcome."""
    total, flags, missing = VIEWS[name]
    drawn = np.random.default_rng(9)
    expected = -3 if missing else -2 if flags else outcome_of(CARD, total)
    u_seen, opened, unopened, released = [], [], [], []
    for b in range(BLOCKS):
        rho = drawn.integers(0, ROWS, (BLOCK, 3))
        carry = drawn.integers(0, 2, (BLOCK, 3))
        u = (2 * np.array([total, flags, missing]) + carry + rho) % ROWS
        tables, key = GATE.build(rho, range(BLOCK), Drbg(seed(name, b)))
        rows = GATE.pick(u, tables)
        assert GATE.open(u, rows, key, range(BLOCK)).tolist() == [expected] * BLOCK
        stream = np.zeros((BLOCK, GATE.table_bytes), np.uint8)
        GATE._pad(key, stream, range(BLOCK))
        clear = rows ^ GATE.pick(u, stream)
        score = clear[:, 4:]
        others = np.ones((BLOCK, GATE._columns), bool)
        others[np.arange(BLOCK), score[:, 0]] = False
        u_seen.append(u[:, 0])
        opened.append(score[:, 0])
        unopened.append(score[:, 2:][others])
        released.append(
            GATE._released(score) ^ np.bitwise_xor.reduce(clear[:, 1:4:2], axis=1)
        )
    assert chi_square(np.concatenate(u_seen) >> 3, CARD.fields[0].rows >> 3) < 5
    assert chi_square(np.concatenate(opened), GATE._columns) < 5
    assert chi_square(np.concatenate(unopened), 256) < 5
    byte = np.concatenate(released)
    if expected >= 0:
        assert set(byte.tolist()) == {expected}
    else:
        assert chi_square(byte, 256) < 5


def test_the_check_of_views_notices_a_turn_that_stands_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the turn, the column opened tells where the score lies: seen at once."""
    monkeypatch.setattr(split, "_turns", lambda drawn: np.zeros(len(drawn), np.int64))
    with pytest.raises(AssertionError):
        test_the_bank_sees_its_code_and_noise("highest")


def test_a_damaged_row_still_opens() -> None:
    """Whatever was damaged reads as some code, and harms no neighbour."""
    rho = np.random.default_rng(5).integers(0, ROWS, (4, 3))
    u = (np.array([2 * 60, 0, 0]) + rho) % ROWS
    tables, key = GATE.build(rho, range(4), Drbg(bytes(32)))
    rows = GATE.pick(u, tables)
    rows[1] ^= 255
    codes = GATE.open(u, rows, key, range(4)).tolist()
    assert [codes[i] for i in (0, 2, 3)] == [2, 2, 2]
