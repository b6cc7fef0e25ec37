"""The approval rules of statistics, and what `safehouse plan` says of them.

================  ===========================================================
rule              why
================  ===========================================================
epsilon           a call may reveal at most a quarter of what one bank gets of
                  the dataset in a quarter of a year
================  ===========================================================

Floor, tier and room in a slot are not rules that somebody can waive: without them
nothing compiles.

`margin` is how far the noise of both nodes together goes, 95 times in 100.
"""

from collections.abc import Mapping
from typing import Final

from contracts.aggregate import Statistic
from contracts.aggregate_compiled import BANK_LIMIT, Aggregate, Number, epsilon
from contracts.dataset import Dataset
from contracts.finding import Finding
from contracts.plan import Line
from protocols.aggregate import UNIT

MOST_EPSILON: Final = BANK_LIMIT // 4
SIDES: Final = 2  # house and authority


def check_rules(
    aggregate: Aggregate, _datasets: Mapping[str, Dataset]
) -> tuple[Finding, ...]:
    """Apply the rules."""
    return (
        Finding(
            "epsilon",
            aggregate.milliepsilon <= MOST_EPSILON,
            epsilon(aggregate.milliepsilon),
            f"at most {epsilon(MOST_EPSILON)}",
        ),
    )


def lines(aggregate: Aggregate, key_bits: int) -> tuple[Line, ...]:
    """Tell what is particular to statistics."""
    ciphertexts = len(aggregate.reads)
    by = ", ".join(aggregate.by) or "nothing: one group"
    filters = ", ".join(aggregate.filters) or "nothing"
    spent = epsilon(aggregate.milliepsilon)
    calls = BANK_LIMIT // aggregate.milliepsilon
    bits = f"{aggregate.millibits / 1000:.3f} bits of a subject"
    return (
        Line(
            "groups",
            f"by {by}; may be narrowed by {filters};"
            f" {aggregate.floor} to {aggregate.most_subjects} subjects each",
            (
                ("by", aggregate.by),
                ("filters", aggregate.filters),
                ("floor", aggregate.floor),
                ("most_subjects", aggregate.most_subjects),
            ),
        ),
        *(_line(aggregate, number) for number in aggregate.numbers),
        Line(
            "tells",
            f"epsilon {spent} a call, {bits}; {calls}"
            f" {'call' if calls == 1 else 'calls'} a quarter to a bank",
            (("milliepsilon", aggregate.milliepsilon), ("calls_per_quarter", calls)),
        ),
        Line(
            "costs",
            f"{ciphertexts} decryptions and {ciphertexts * 2 * key_bits // 8} bytes"
            " a block, or once for all blocks that are in one group",
            (
                ("ciphertexts", ciphertexts),
                ("ciphertext_bytes", 2 * key_bits // 8),
            ),
        ),
    )


def _line(aggregate: Aggregate, number: Number) -> Line:
    read = aggregate.reads[number.reads[0]]
    margin = read.scale.margin(SIDES) / UNIT / number.scale
    column = read.name.partition("=")[0]
    unit = "" if number.statistic in (Statistic.SUM, Statistic.MEAN) else " subjects"
    what = "its sum " if number.statistic is Statistic.MEAN else ""
    spent = sum(
        aggregate.reads[i].milliepsilon
        for i in (
            number.reads[:1]
            if number.statistic is Statistic.HISTOGRAM
            else number.reads
        )
    )
    return Line(
        "number",
        f"{number.name}: {number.statistic} of {column}, epsilon {epsilon(spent)},"
        f" {what}within {margin:.1f}{unit} 95 times in 100",
        (
            (
                f"number/{number.name}",
                {
                    "statistic": number.statistic.value,
                    "milliepsilon": spent,
                    "margin_milli": round(1000 * margin),
                },
            ),
        ),
    )
