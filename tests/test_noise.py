"""Noise is exactly discrete Laplace, as OpenDP draws it, and hangs on its seed."""

import math
import secrets
from collections import Counter
from collections.abc import Iterable

import opendp.prelude as dp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.drbg import Drbg
from protocols.noise import Scale, _Dice

DRAWS = 20_000
# Chi-square of k parts exceeds k + 2 sqrt(kx) + 2x with a chance of at most e^-x
# (Laurent and Massart 2000, lemma 1): here once in sixty million.
RARE = 18


def drawn(scale: Scale, count: int = DRAWS, seed: bytes = bytes(32)) -> list[int]:
    """Draw many numbers."""
    return [scale.draw(Drbg(seed), str(i)) for i in range(count)]


def theirs(scale: Scale, count: int = DRAWS) -> list[int]:
    """Draw as many with OpenDP."""
    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l1_distance(T="i64")
    width = 1000 * scale.sensitivity / scale.milliepsilon
    noise = dp.m.make_laplace(*space, scale=width)
    return list(noise([0] * count))


def expected(scale: Scale, z: int) -> float:
    """Return P[Z = z] by its definition."""
    p = math.exp(-scale.milliepsilon / (1000 * scale.sensitivity))
    return (1 - p) / (1 + p) * p ** abs(z)


def bins(scale: Scale) -> list[range]:
    """Cut the numbers into bins, a third of a scale wide, as far as ten scales."""
    step = max(1, round(1000 * scale.sensitivity / scale.milliepsilon / 3))
    edge = 15 * step
    return [range(a, a + step) for a in range(-edge, edge, step)]


def chi_square(counts: Iterable[int], wanted: Iterable[float]) -> tuple[float, float]:
    """Return the statistic, and what it exceeds next to never."""
    pairs = [(c, w) for c, w in zip(counts, wanted, strict=True) if w >= 8]
    statistic = sum((c - w) ** 2 / w for c, w in pairs)
    parts = len(pairs)
    return statistic, parts + 2 * math.sqrt(parts * RARE) + 2 * RARE


@pytest.mark.parametrize(
    "scale", [Scale(1, 500), Scale(1, 3000), Scale(129, 1000), Scale(1281, 250)]
)
def test_numbers_are_as_their_definition_says(scale: Scale) -> None:
    """Ours and OpenDP's fall into the same bins, those of the definition."""
    cells = bins(scale)
    wanted = [DRAWS * sum(expected(scale, z) for z in cell) for cell in cells]
    for numbers in (drawn(scale), theirs(scale)):
        found = Counter((z - cells[0].start) // len(cells[0]) for z in numbers)
        seen, most = chi_square([found[i] for i in range(len(cells))], wanted)
        assert seen < most


def test_the_test_sees_a_wrong_scale() -> None:
    """Ten per cent more epsilon, or a zero that is drawn twice, is found."""
    scale, cells = Scale(129, 1000), bins(Scale(129, 1000))
    wanted = [DRAWS * sum(expected(scale, z) for z in cell) for cell in cells]
    found = Counter(
        (z - cells[0].start) // len(cells[0]) for z in drawn(Scale(129, 1100))
    )
    seen, most = chi_square([found[i] for i in range(len(cells))], wanted)
    assert seen > most
    scale = Scale(1, 3000)
    twice = [z for z in drawn(scale) if z == 0] * 2 + [z for z in drawn(scale) if z]
    wanted = [len(twice) * expected(scale, z) for z in range(-3, 4)]
    counts = Counter(twice)
    seen, most = chi_square([counts[z] for z in range(-3, 4)], wanted)
    assert seen > most


@pytest.mark.parametrize("scale", [Scale(1, 500), Scale(129, 1000), Scale(641, 125)])
def test_opendp_says_that_it_is_epsilon_private(scale: Scale) -> None:
    """OpenDP's privacy map of this scale, at this sensitivity, is our epsilon."""
    dp.enable_features("contrib")
    space = dp.atom_domain(T="i64"), dp.absolute_distance(T="i64")
    width = 1000 * scale.sensitivity / scale.milliepsilon
    told = dp.m.make_laplace(*space, scale=width).map(d_in=scale.sensitivity)
    assert told == pytest.approx(scale.milliepsilon / 1000, rel=1e-12)


def test_a_draw_hangs_on_seed_and_label() -> None:
    """The same again is the same; another label, or another seed, is another."""
    scale = Scale(129, 10)
    labels = [str(i) for i in range(40)]
    first = [scale.draw(Drbg(bytes(32)), label) for label in labels]
    assert first == [scale.draw(Drbg(bytes(32)), label) for label in labels]
    assert len(set(first)) > 35
    other = [scale.draw(Drbg(b"\x01" * 32), label) for label in labels]
    assert sum(a == b for a, b in zip(first, other, strict=True)) < 4


@pytest.mark.parametrize(("a", "b"), [(0, 7), (1, 1), (1, 3), (5, 7), (6, 7)])
def test_a_coin_shows_what_it_should(a: int, b: int) -> None:
    """Bernoulli(exp(-a/b)), within five deviations."""
    dice = _Dice(Drbg(secrets.token_bytes(32)), "coin")
    p = math.exp(-a / b)
    heads = sum(dice.exp_minus(a, b) for _ in range(DRAWS))
    assert abs(heads - DRAWS * p) <= 6 * math.sqrt(DRAWS * p * (1 - p))


@given(st.integers(1, 1 << 70), st.binary(min_size=32, max_size=32))
def test_dice_stay_below_their_bound(bound: int, seed: bytes) -> None:
    """Whatever the bound, a number is drawn below it."""
    dice = _Dice(Drbg(seed), "die")
    assert all(0 <= dice.below(bound) < bound for _ in range(5))


def test_dice_are_fair() -> None:
    """A bound that is no power of two favours nobody."""
    dice = _Dice(Drbg(secrets.token_bytes(32)), "die")
    counts = Counter(dice.below(6) for _ in range(DRAWS))
    seen, most = chi_square([counts[i] for i in range(6)], [DRAWS / 6] * 6)
    assert seen < most


def test_margins_hold_nineteen_times_in_twenty() -> None:
    """One side's noise, and the sum of both."""
    scale = Scale(129, 1000)
    one = drawn(scale)
    both = [a + b for a, b in zip(one, drawn(scale, seed=b"\x01" * 32), strict=True)]
    for sides, numbers in ((1, one), (2, both)):
        inside = sum(abs(z) <= scale.margin(sides) for z in numbers) / DRAWS
        assert abs(inside - 0.95) < 0.01


def test_no_epsilon_is_nobodys() -> None:
    """Neither without noise nor with endless noise."""
    for sensitivity, milliepsilon in ((0, 1), (1, 0), (1, -5)):
        with pytest.raises(RuntimeError):
            Scale(sensitivity, milliepsilon)
