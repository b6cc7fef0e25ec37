"""The threshold gate: exact to the integer, over one ciphertext and over two."""

import secrets
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.drbg import Drbg
from protocols.errors import FormatError
from protocols.lookup import FlatGate, Gate, authority_pick, bank_open, mask
from protocols.paillier import encrypt
from protocols.program import INSUFFICIENT_DATA, OUT_OF_RANGE, Group, Program, Scorecard
from protocols.slots import SLOT_BITS, Field, Ints, pack
from protocols.split import SplitGate
from protocols.thr import ThrGate
from tests.test_lookup import BASE, KEY, PUBLIC, SLOTS, chi_square
from tests.test_split import outcome_of

ONE = (Group(INSUFFICIENT_DATA, (1,), -1, 1),)
VETOES = (Group("court", (1, 2), 1, 0), Group(INSUFFICIENT_DATA, (3,), -1, 1))


def card_of(
    m: int, steps: tuple[tuple[int, int], ...], groups: tuple[Group, ...] = ONE
) -> Scorecard:
    """Make a card of one column of weight 1, and flags."""
    columns = 1 + max(column for group in groups for column in group.members)
    weights = (1, *[0] * (columns - 1))
    top = (1 << m - 1) - 1
    return Scorecard(weights, 0, top, m, steps, groups, Scorecard.layout(m, groups))


def read(gate: Gate, fields: Ints, seed: bytes) -> list[int]:
    """Let every party do its part on values of the fields, carries included."""
    drbg = Drbg(seed)
    rows = [field.rows for field in gate.card.fields]
    drawn = np.frombuffer(drbg.bytes("rho", 8 * fields.size), "<u8")
    rho = (drawn.reshape(fields.shape) % np.array(rows, np.uint64)).astype(np.int64)
    u = (fields + rho) % rows
    slots = range(len(fields))
    tables, pads = gate.build(rho, slots, drbg)
    return bank_open(gate, u, gate.pick(u, tables), pads, slots).tolist()


@given(st.data(), st.binary(min_size=32, max_size=32))
@settings(max_examples=60)
def test_every_total_has_its_outcome(data: st.DataObject, seed: bytes) -> None:
    """Of a small score, every total: t - 1, t, t + 1, and the guard zone."""
    m = data.draw(st.integers(2, 5))
    top = (1 << m - 1) - 1
    cuts = sorted(data.draw(st.sets(st.integers(1, top), max_size=6)) if top else [])
    steps = tuple((first, data.draw(st.integers(0, 63))) for first in [0, *cuts])
    card = replace(
        card_of(m, steps), top=data.draw(st.integers(cuts[-1] if cuts else 0, top))
    )
    values = np.arange(1 << m + 1)
    fields = np.stack([values, values % 2], axis=1)  # nobody is missing
    expected = [outcome_of(card, int(x) >> 1) for x in values]
    assert read(ThrGate(card), fields, seed) == expected
    assert read(FlatGate(card), fields, seed) == expected
    assert read(SplitGate(card), fields, seed) == expected


@given(
    st.integers(1, (1 << 38) - 2),
    st.integers(0, 3),
    st.integers(0, 1),
    st.binary(min_size=32, max_size=32),
)
@settings(max_examples=40)
def test_thresholds_of_a_slot_s_width_are_exact(
    first: int, width: int, carry: int, seed: bytes
) -> None:
    """A window of a few totals among 2^38, at both of its ends and beyond."""
    end = min(first + width + 1, (1 << 38) - 1)
    card = card_of(39, ((0, 0), (first, 1), (end, 0)))
    assert card.fields == (Field(0, 40), Field(40, 6))
    totals = [0, first - 1, first, end - 1, end, card.top, card.top + 1, (1 << 39) - 1]
    fields = np.array([[2 * total + carry, 0] for total in totals])
    inside = [int(first <= total < end) for total in totals[:6]]
    assert read(ThrGate(card), fields, seed) == [*inside, OUT_OF_RANGE, OUT_OF_RANGE]
    beyond = ThrGate(card, outside=0)  # the guard zone is as good as no match
    assert read(beyond, fields, seed) == [*inside, 0, 0]


@pytest.mark.parametrize("m", [8, 25, 39])
def test_vetoes_outrank_and_lock(m: int) -> None:
    """Which flags are set, or that data are missing; through one or two ciphertexts."""
    card = card_of(m, ((0, 0), (5, 1)), VETOES)
    fields = np.array([[10, 0, 0], [10, 2, 0], [10, 4, 1], [10, 0, 2], [10, 2, 2]])
    fields[:, 1] += 1  # a carry is no flag
    assert read(ThrGate(card), fields, bytes(32)) == [1, -2, -2, -3, -3]


def test_two_ciphertexts_from_columns_to_codes() -> None:
    """Encrypted, summed, masked, decrypted, compared: all slots of a block."""
    card = card_of(39, ((0, 0), ((1 << 37) - 2, 1), ((1 << 37) + 3, 0)), VETOES)
    assert (card.parts, card.fields[1:]) == (2, (Field(40, 6), Field(46, 6)))
    rng = np.random.default_rng(4)
    near = (1 << 37) + rng.integers(-4, 5, SLOTS)
    people = np.stack([near, *(rng.integers(0, 2, SLOTS) for _ in range(3))])
    people[3, ::2] = 1
    columns = [
        encrypt(PUBLIC, pack(row), BASE.power(secrets.token_bytes(32)))
        for row in people
    ]
    totals = [Program(card, part).run(PUBLIC, columns) for part in (0, 1)]
    gate, slots = ThrGate(card), tuple(range(SLOTS))
    message, pads = mask(gate, BASE, totals, slots, bytes(32))
    picked = authority_pick(gate, KEY, message)
    codes = bank_open(gate, picked.u, picked.rows, pads, slots)
    assert codes.tolist() == [card.code_of(column) for column in people.T.tolist()]
    assert len({message.digest(), replace(message, second=None).digest()}) == 2
    with pytest.raises(FormatError, match="expected 2 ciphertexts"):
        authority_pick(gate, KEY, replace(message, second=None))
    with pytest.raises(RuntimeError, match="expected 2 totals"):
        mask(gate, BASE, totals[:1], slots, bytes(32))


@given(st.integers(0, 200), st.integers(0, 255), st.integers(0, 255))
def test_shares_of_the_bank_s_number_add_up(total: int, mine: int, theirs: int) -> None:
    """Whoever holds a share shifts by it: the row of total + b1 + b2 is found."""
    card = card_of(8, ((0, 0), (77, 1)), ONE)
    column = [
        encrypt(PUBLIC, pack(np.full(SLOTS, v)), BASE.power(b"\x05"))
        for v in (total, 1)
    ]
    for gate in (FlatGate(card), SplitGate(card), ThrGate(card)):
        summed = [Program(card).run(PUBLIC, column)]
        message, pads = mask(gate, BASE, summed, (3,), bytes(32), (mine,))
        picked = authority_pick(gate, KEY, message, shares=(theirs,))
        code = bank_open(gate, picked.u, picked.rows, pads, (3,)).tolist()
        assert code == [outcome_of(card, (total + mine + theirs) % 256)]


def test_what_each_party_is_sent_has_one_length() -> None:
    """Whatever comes out; and pads of another length are refused."""
    card = card_of(39, ((0, 0), (9, 1)))
    gate = ThrGate(card)
    assert (gate.table_bytes, gate.row_bytes) == (2880, 34)
    assert gate.pad_bytes(2) == 32 + 2 * 713
    with pytest.raises(FormatError, match="expected pads of 745 bytes"):
        bank_open(
            gate,
            np.zeros((1, 2), np.int64),
            np.zeros((1, 34), np.uint8),
            bytes(32),
            (0,),
        )


def test_a_slot_draws_the_same_alone_and_with_others() -> None:
    """Everything drawn hangs on the block's seed and the slot's number."""
    gate = ThrGate(card_of(39, ((0, 0), (9, 1))))
    rho = np.array([[5, 1], [6, 2], [7, 3]])
    tables, pads = gate.build(rho, (0, 1, 2), Drbg(bytes(32)))
    alone, own = gate.build(rho[2:], (2,), Drbg(bytes(32)))
    assert (alone == tables[2:]).all()
    assert own == pads[:32] + pads[-713:]


def test_a_score_wider_than_a_slot_is_refused() -> None:
    """40 bits hold 2^38 totals, doubled, and the guard zone."""
    assert card_of(SLOT_BITS - 1, ((0, 0),)).fields[0].bits == SLOT_BITS
    with pytest.raises(FormatError, match="fields need"):
        card_of(SLOT_BITS, ((0, 0),))


# -- what each party sees --------------------------------------------------------

VIEWS = {"far below": 3, "just below": 19, "at it": 20, "above": 200}
MANY = 1500


@pytest.mark.parametrize("name", VIEWS)
def test_the_authority_sees_noise(name: str) -> None:
    """u, its byte of the answer, and every byte of its key, given the total."""
    gate = ThrGate(card_of(9, ((0, 1), (20, 2))))
    rng = np.random.default_rng(11)
    seen = []
    for number in range(MANY):
        rho = np.array([[rng.integers(0, 1024), rng.integers(0, 64)]])
        u = (np.array([[2 * VIEWS[name], 0]]) + rho) % [1024, 64]
        tables, _ = gate.build(rho, (0,), Drbg(number.to_bytes(32, "big")))
        row = gate.pick(u, tables)[0]
        key = tables[0, gate._score_at : gate._score_at + 32]
        seen.append(
            [u[0, 0] >> 3, u[0, 0] & 1, row[-1] & 1, row[-1] >> 1 & 1, *row[:33], *key]
        )
    columns = np.array(seen, np.int64).T
    assert chi_square(columns[0], 128) < 5
    for column in columns[1:4]:
        assert chi_square(column, 2) < 5
    for column in columns[4:]:
        assert chi_square(column, 256) < 5


@pytest.mark.parametrize("vetoed", [0, 1])
def test_the_bank_sees_its_outcome_and_noise(vetoed: int) -> None:
    """Its half of the answer is a coin; without a lock, so is the whole."""
    gate = ThrGate(card_of(9, ((0, 1), (20, 2))))
    rng = np.random.default_rng(12)
    answers, shares = [], []
    for number in range(MANY):
        rho = np.array([[rng.integers(0, 1024), rng.integers(0, 64)]])
        u = (np.array([[2 * 30, 2 * vetoed]]) + rho) % [1024, 64]
        tables, pads = gate.build(rho, (0,), Drbg(number.to_bytes(32, "big")))
        rows = gate.pick(u, tables)
        assert gate.open(u, rows, pads, (0,)).tolist() == [-2 if vetoed else 2]
        shares.append(rows[0, -1])
        stream = np.zeros((1, gate.table_bytes), np.uint8)
        gate._pad(pads[:32], stream, (0,))
        lock = (rows ^ gate.pick(u, stream))[:, None, 1:33]
        byte = gate._open_score(u[:, 0], (rows[:, 33:], pads[32:]), stream, lock)
        answers.append(int(byte[0]))
    assert chi_square(np.array(shares, np.int64) & 1, 2) < 5
    if vetoed:
        assert chi_square(np.array(answers) & 1, 2) < 5
        assert chi_square(np.array(answers) >> 1 & 1, 2) < 5
    else:
        assert set(answers) == {2}
