"""Scorecards and their products, against sums written out."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import paillier, program
from protocols.drbg import Drbg
from protocols.errors import CiphertextInvalid, FormatError
from protocols.paillier import FixedBase, encrypt
from protocols.program import INSUFFICIENT_DATA, Group, Program, Scorecard
from protocols.slots import pack, slots_per_block

NUMBERS = count()
KEY = paillier._small_key(
    256, lambda length: Drbg(bytes(32)).bytes(f"key {next(NUMBERS)}", length)
)
BASE = FixedBase(KEY.public, 64)

COURT = Group("court", (1, 2), 1, 0)
MISSING = Group(INSUFFICIENT_DATA, (3, 4), -1, 2)
CARD = Scorecard(
    weights=(3, 0, -2, 0, 0),
    shift=2,
    top=32,
    m=7,
    steps=((0, 0), (15, 1), (20, 0)),
    groups=(COURT, MISSING),
    fields=Scorecard.layout(7, (COURT, MISSING)),
)

ADVERSARIAL = [
    [1],
    [65535],
    [1] * 36,
    [65535] * 36,
    [1 << i % 16 for i in range(36)],
    [65535, 1] * 18,
    [3, 6, 9, 12] * 9,
    list(range(1, 37)),
    [1 << 34, 1 << 28, 5, 1 << 34],
    [(1 << 20) - 5, 1],
]


# -- products ------------------------------------------------------------------


def exponents_of(writer: program._Writer, inputs: int) -> list[int]:
    """Follow the products with vectors of exponents in place of ciphertexts."""
    registers = [[int(i == j) for j in range(inputs)] for i in range(inputs)]
    for a, b in writer.products:
        if b == program._INVERSE:
            registers.append([-x for x in registers[a]])
        else:
            registers.append(
                [x + y for x, y in zip(registers[a], registers[b], strict=True)]
            )
    return registers[-1]


@pytest.mark.parametrize("layout", range(len(program._LAYOUTS)))
@pytest.mark.parametrize("exponents", ADVERSARIAL, ids=lambda e: f"{e[:3]}x{len(e)}")
def test_every_layout_computes_the_powers(layout: int, exponents: list[int]) -> None:
    """Plain, Straus with every window, Bos-Coster: column j gets the power e_j."""
    writer = program._Writer(len(exponents))
    result = program._LAYOUTS[layout](dict(enumerate(exponents)), writer)
    writer.multiply(result, result)
    assert [2 * e for e in exponents] == exponents_of(writer, len(exponents))


@given(
    st.lists(st.integers(-(1 << 36), 1 << 36), min_size=1, max_size=12).filter(any),
    st.sampled_from(program._LAYOUTS),
    st.sampled_from([program._divide_first, program._divide_last]),
)
@settings(max_examples=60)
def test_layouts_of_any_exponents(
    exponents: list[int],
    lay_out: program.LayOut,
    divide: Callable[[Sequence[int], program.LayOut, program._Writer], int],
) -> None:
    """So do they for exponents of either sign, as a slot of 40 bits may have them."""
    writer = program._Writer(len(exponents))
    result = divide(exponents, lay_out, writer)
    writer.multiply(result, result)
    assert [2 * e for e in exponents] == exponents_of(writer, len(exponents))


@given(st.lists(st.integers(-(1 << 20), 1 << 20), min_size=1, max_size=12).filter(any))
@settings(max_examples=30)
def test_the_cheapest_layout_is_right(exponents: list[int]) -> None:
    """Whichever is chosen, its last product is the doubled sum."""
    compiled = program._compile(exponents)
    assert [2 * e for e in exponents] == exponents_of(compiled, len(exponents))


def test_compiling_saves_four_fifths() -> None:
    """36 weights of 16 bits: about 140 products instead of about 800."""
    rnd = Random(1)
    weights = [rnd.randrange(1, 1 << 16) for _ in range(36)]
    writer = program._Writer(36)
    program._plain(dict(enumerate(weights)), writer)
    assert len(writer.products) == 772
    assert len(program._compile(weights).products) == 138 + 1  # and the doubling


def test_presence_shares_the_squarings() -> None:
    """30 flags in a group and 3 datasets cost little more than the scores alone."""
    rnd = Random(1)
    weights = [rnd.randrange(1, 1 << 8) for _ in range(36)]
    flags, presence = [1 << 14] * 30, [-(1 << 20)] * 3
    scores = len(program._compile(weights).products)
    whole = len(program._compile(weights + flags + presence).products)
    # 31 products join columns, one inversion, 20 squarings from the highest down
    assert whole - scores <= 31 + 1 + 20


# -- scorecards ----------------------------------------------------------------


def test_a_slot_is_one_weighted_sum() -> None:
    """Exponents and constant put total and every V in their fields at once."""
    values = (4, 1, 1, 1, 0)
    slot = CARD.constant + sum(
        e * v for e, v in zip(CARD.exponents, values, strict=True)
    )
    assert CARD.total_of(values) == 12
    assert slot == 12 + (2 << 8) + (1 << 14)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ((0, 0, 0, 1, 1), 0),
        ((4, 0, 0, 1, 1), 0),  # total 14
        ((5, 0, 0, 1, 1), 1),  # 17
        ((6, 0, 0, 1, 1), 0),  # 20
        ((10, 0, 0, 1, 1), 0),  # 32 = top
        ((11, 0, 0, 1, 1), program.OUT_OF_RANGE),
        ((-1, 0, 0, 1, 1), program.OUT_OF_RANGE),
        ((4, 1, 0, 1, 1), -2),
        ((4, 1, 1, 1, 1), -2),
        ((4, 1, 0, 1, 0), -3),  # missing data outranks a veto
        ((0, 0, 0, 0, 0), -3),
    ],
)
def test_the_plain_definition(values: tuple[int, ...], code: int) -> None:
    """insufficient_data, then vetoes, then the step that the total has reached."""
    assert code == CARD.code_of(values)


@given(st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_the_program_is_the_definition(rnd: Random) -> None:
    """Decrypted, plus its constants, every slot holds twice total and groups."""
    slots = slots_per_block(KEY.public.bits)
    people = np.array(
        [
            [rnd.randint(0, 10) for _ in range(slots)],
            *([rnd.randint(0, 1) for _ in range(slots)] for _ in range(4)),
        ]
    )
    columns = [
        encrypt(KEY.public, pack(row), BASE.power(rnd.randbytes(7) + b"\1"))
        for row in people
    ]
    total = KEY.decrypt(Program(CARD).run(KEY.public, columns))
    whole = (total + pack(np.full(slots, 2 * CARD.constant))) % KEY.public.n
    for t in range(slots):
        slot = whole >> 40 * t & (1 << 40) - 1
        score, court, missing = (
            slot >> field.offset & field.rows - 1 for field in CARD.fields
        )
        values = people[:, t]
        assert score == 2 * CARD.total_of(values)
        assert court == 2 * (values[1] + values[2])
        assert missing == 2 * (2 - values[3] - values[4])


def test_the_number_of_columns_must_fit() -> None:
    """One ciphertext more, a bank's own say, has no place in the sum."""
    with pytest.raises(RuntimeError, match="expected 5 columns, got 6"):
        Program(CARD).run(KEY.public, [1] * 6)


def test_a_stored_non_unit_is_a_typed_error() -> None:
    """Dividing by a multiple of p is refused, not a crash."""
    with pytest.raises(CiphertextInvalid, match="not a unit"):
        Program(CARD).run(KEY.public, [1, 1, 1, KEY.p, 1])


@pytest.mark.parametrize(
    ("change", "crime"),
    [
        ({"groups": ()}, "insufficient_data"),
        ({"groups": (COURT,)}, "insufficient_data"),
        ({"groups": (MISSING, COURT)}, "insufficient_data"),
        ({"groups": (COURT, COURT, MISSING)}, "one name"),
        ({"groups": (replace(COURT, sign=-1, constant=2), MISSING)}, "the one group"),
        ({"groups": (COURT, replace(MISSING, sign=1, constant=0))}, "the one group"),
        ({"groups": (COURT, replace(MISSING, constant=1))}, "does not cancel"),
        ({"groups": (replace(COURT, constant=1), MISSING)}, "does not cancel"),
        ({"groups": (replace(COURT, sign=2), MISSING)}, "sign 1 or -1"),
        ({"groups": (replace(COURT, members=()), MISSING)}, "empty or repeats"),
        ({"groups": (replace(COURT, members=(1, 1)), MISSING)}, "empty or repeats"),
        ({"groups": (replace(COURT, members=(1, 5)), MISSING)}, "not there"),
        ({"groups": (replace(COURT, members=(-1,)), MISSING)}, "not there"),
        ({"shift": -1}, "not negative"),
        ({"top": -1}, "not negative"),
        ({"top": 64}, "no guard zone"),
        ({"m": 6}, "no guard zone"),
        ({"steps": ()}, "ascend from total 0"),
        ({"steps": ((1, 0),)}, "ascend from total 0"),
        ({"steps": ((0, 0), (9, 1), (9, 2))}, "ascend from total 0"),
        ({"steps": ((0, 0), (9, 1), (5, 2))}, "ascend from total 0"),
        ({"steps": ((0, 0), (33, 1))}, "beyond the largest"),
        ({"steps": ((0, 64),)}, "outcomes of 0 to 63"),
        ({"steps": ((0, -1),)}, "outcomes of 0 to 63"),
        ({"m": 8}, "not laid out"),
        ({"fields": ()}, "not laid out"),
    ],
)
def test_a_card_that_cannot_be_right_is_refused(
    change: dict[str, object], crime: str
) -> None:
    """Each of these would score somebody wrongly; none becomes a Scorecard."""
    with pytest.raises(FormatError, match=crime):
        replace(CARD, **change)


def test_fields_must_fit_a_slot() -> None:
    """Beside two groups m = 27 is the widest in one slot; three are too many."""
    groups = (COURT, MISSING)
    assert replace(CARD, m=27, fields=Scorecard.layout(27, groups)).parts == 1
    two = replace(CARD, m=28, fields=Scorecard.layout(28, groups))
    assert [(f.offset, f.part, f.lowest) for f in two.fields] == [
        (0, 0, 0),
        (29, 0, 29),
        (40, 1, 0),
    ]
    many = tuple(Group(f"g{i}", (0, 1), 1, 0) for i in range(10))
    with pytest.raises(FormatError, match="fields need 104 bits, two slots have 80"):
        replace(
            CARD,
            m=28,
            groups=(*many, MISSING),
            fields=Scorecard.layout(28, (*many, MISSING)),
        )


def test_fields_of_a_second_ciphertext_have_exponents_of_their_own() -> None:
    """Each ciphertext sums what its own fields hold, and nothing of the other's."""
    two = replace(CARD, m=28, fields=Scorecard.layout(28, (COURT, MISSING)))
    whole = [a + (b << 40) for a, b in zip(*map(two.exponents_of, (0, 1)), strict=True)]
    for at, weight in enumerate(CARD.weights):
        court = (1 << 29) * (at in COURT.members)
        missing = (1 << 40) * (at in MISSING.members)
        assert whole[at] == weight + court - missing
    assert two.constant_of(0) + (two.constant_of(1) << 40) == CARD.shift + (
        MISSING.constant << 40
    )


@pytest.mark.parametrize(
    ("flags", "bits"), [(1, 6), (31, 6), (32, 7), (63, 7), (64, 8), (1000, 11)]
)
def test_a_group_has_room_for_all_its_flags(flags: int, bits: int) -> None:
    """All flags set, doubled, and a carry still fit: nothing wraps to 0."""
    group = Group("g", tuple(range(flags)), 1, 0)
    assert group.bits == bits
    assert 2 * group.largest + 1 < 1 << bits
