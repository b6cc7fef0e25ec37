"""Contracts of statistics: read strictly, compiled exactly, decided by pure rules."""

import json
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import kinds
from contracts.aggregate import AggregateContract, Statistic
from contracts.aggregate_compiled import Aggregate, compile_aggregate, epsilon
from contracts.attributes import Attribute, AttributeTable
from contracts.contract import ContractKind
from contracts.dataset import PRESENT, Dataset
from contracts.decide import Data, Reason, Terms, public
from contracts.errors import (
    CompileError,
    ContractError,
    DocumentInvalid,
    RuleBroken,
    SourceError,
)
from contracts.lifecycle import Stage
from contracts.odometer import (
    EpsilonLimits,
    Spent,
    check_groups,
    check_spent,
    decide_aggregate,
)
from contracts.quarter import first_ms, quarter_of
from contracts.selection import MOST_GROUPS, Wanted, select
from protocols.aggregate import OUTSIDE, ROOM, UNIT
from protocols.aggregate_call import Group
from protocols.canon import dumps, loads
from protocols.errors import FormatError
from protocols.where import Where
from tests.simulator import STATISTICS

DATASET = """
apiVersion: safehouse/v1
kind: Dataset
metadata: {name: tax, version: 1}
spec:
  custodian: tax-bureau
  unit: 税务局
  category: 纳税
  cycle: quarterly
  tier: T1
  subject: cn-uscc
  columns:
    - {name: paid, integer: {min: 0, max: 500, scale: 10, cap: true}}
    - {name: profit, integer: {min: -100, max: 100}}
    - {name: grade_a, flag: {}}
    - {name: size, category: [大, 中, 小]}
    - {name: age, bins: [3, 10], missing: {class: unknown}}
"""
CONTRACT = """
apiVersion: safehouse/v1
kind: QueryContract
metadata: {name: tax-by-town, version: 1, title: 各乡镇纳税统计}
spec:
  purpose: statistics
  subject: cn-uscc
  author: jnrcb
  banks: [jnrcb, lsbank]
  aggregate:
    dataset: tax
    by: [town]
    filters: [town, industry]
    floor: 20
    most_subjects: 5000
    numbers:
      - {name: taxpayers, count: true, epsilon: 0.1, title: 纳税户数}
      - {name: grade-a, count: grade_a, epsilon: 0.1}
      - {name: paid, sum: paid, epsilon: 0.2}
      - {name: profit, sum: profit, epsilon: 0.2}
      - {name: average, mean: paid, epsilon: 0.301}
      - {name: sizes, histogram: size, epsilon: 0.05}
"""
DATASETS = {"tax": Dataset.from_yaml(DATASET, "tax.yaml")}


def compiled(text: str = CONTRACT, dataset: str = DATASET) -> Aggregate:
    """Compile a contract."""
    datasets = {"tax": Dataset.from_yaml(dataset, "tax.yaml")}
    contract = AggregateContract.from_yaml(text, "contract.yaml")
    return compile_aggregate(contract, datasets)


def test_every_statistic_reads_what_it_needs() -> None:
    """A count one column, a sum from other than 0 and a mean also the presence."""
    aggregate = compiled()
    read = [
        (
            n.name,
            [
                (aggregate.reads[i].name, aggregate.reads[i].milliepsilon)
                for i in n.reads
            ],
        )
        for n in aggregate.numbers
    ]
    assert read == [
        ("taxpayers", [(PRESENT, 100)]),
        ("grade-a", [("grade_a", 100)]),
        ("paid", [("paid", 200)]),
        ("profit", [("profit", 100), (PRESENT, 100)]),
        ("average", [("paid", 151), (PRESENT, 150)]),
        ("sizes", [("size=大", 50), ("size=中", 50), ("size=小", 50)]),
    ]
    assert aggregate.milliepsilon == 100 + 100 + 200 + 200 + 301 + 50
    profit = aggregate.numbers[3]
    assert (profit.least, profit.scale, profit.statistic) == (-100, 1, Statistic.SUM)
    assert aggregate.numbers[2].scale == 10
    assert aggregate.reads[2].limit == 5000
    encrypted = DATASETS["tax"].encrypted
    assert all(encrypted[read.index].name == read.name for read in aggregate.reads)
    assert all(encrypted[c.index].name == c.name for c in aggregate.columns)
    assert len(aggregate.columns) == len({read.name for read in aggregate.reads}) == 7


def test_noise_covers_the_largest_value() -> None:
    """2^7 clip + 1, at the read's own epsilon."""
    aggregate = compiled()
    scales = [(s.sensitivity, s.milliepsilon) for s in aggregate.scales]
    assert scales[:3] == [(UNIT + 1, 100), (UNIT + 1, 100), (UNIT * 5000 + 1, 200)]


def test_the_canonical_form_is_one() -> None:
    """Read back as it was; titles of the document are not in the hash."""
    aggregate = compiled()
    assert Aggregate.parse(aggregate.to_bytes()) == aggregate
    assert kinds.parse(aggregate.to_bytes()) == aggregate
    assert aggregate.kind is ContractKind.AGGREGATE
    other = compiled(CONTRACT.replace("title: 各乡镇纳税统计", "title: 别的"))
    assert other.hash == aggregate.hash
    for old, new in (("floor: 20", "floor: 21"), ("0.05", "0.06"), ("[town]", "[]")):
        assert compiled(CONTRACT.replace(old, new)).hash != aggregate.hash


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("floor", 9),
        ("floor", 5001),
        ("banks", []),
        ("by", ["town", "town"]),
        ("reads", []),
        ("reads", [["paid", -1, 5000, 100]]),
        ("reads", [["paid", True, 5000, 100]]),
        ("reads", [["paid", 0, 5000]]),
        ("numbers", []),
        ("most_subjects", ROOM // UNIT // 5000),
        ("tier", "T3"),
        ("tier", "T9"),
        ("labels", ["大", "中"]),
        ("statistic", "median"),
        ("statistic", "mean"),
        ("least", "1e3"),
        ("scale", 0),
        ("name", "paid"),
        ("odd", 1),
    ],
)
def test_bytes_that_do_not_fit_are_refused(member: str, value: object) -> None:
    """What no compiler made is not parsed, whoever signed it."""
    document = json.loads(compiled().to_bytes())
    if member in ("labels", "statistic", "least", "scale", "name"):
        document["numbers"][-1][member] = value
    elif member == "tier":
        document["dataset"][member] = value
    else:
        document[member] = value
    with pytest.raises((FormatError, ContractError)):
        Aggregate.parse(dumps(document))


def test_classes_of_one_histogram_have_one_epsilon() -> None:
    """Else a call would reveal more than it is charged."""
    document = loads(compiled().to_bytes(), "safehouse/aggregate/1")
    reads = [list(read) for read in document["reads"]]  # type: ignore[union-attr, arg-type]
    reads[-1][-1] = 500
    with pytest.raises(DocumentInvalid, match="different epsilons"):
        Aggregate.parse(dumps({**document, "reads": reads}))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("sum: paid", "sum: payed", "19:27: dataset `tax`: unknown column `payed`"),
        (
            "count: grade_a",
            "count: size",
            "`count` needs a flag, column `size` is none",
        ),
        ("sum: paid", "sum: grade_a", "`sum` needs an integer"),
        ("histogram: size", "histogram: paid", "needs a category or bins"),
        ("dataset: tax", "dataset: tex", "unknown dataset `tex`"),
        ("subject: cn-uscc", "subject: opaque", "is about `cn-uscc`"),
        ("epsilon: 0.2}", "epsilon: 0}", "expected an epsilon above 0"),
        ("epsilon: 0.2}", "epsilon: 0.0001}", "at most 3 decimals"),
        (
            "mean: paid, epsilon: 0.301",
            "mean: paid, epsilon: 0.001",
            "cannot be halved",
        ),
        ("name: grade-a", "name: paid", "number `paid` is there twice"),
        ("[town, industry]", "[town, town]", "`town` is there twice"),
        ("floor: 20", "floor: 9", "expected 10 to"),
        ("sum: paid,", "sum: paid, mean: paid,", "expected one of"),
        ("by: [town]", "bye: [town]", "unknown key `bye`"),
    ],
)
def test_a_wrong_line_is_named(old: str, new: str, said: str) -> None:
    """Line, column, word."""
    with pytest.raises(SourceError) as caught:
        compiled(CONTRACT.replace(old, new, 1))
    assert said in str(caught.value)


def test_sensitive_data_have_no_statistics() -> None:
    """T3 needs the subject's separate consent, and nobody is asked."""
    with pytest.raises(SourceError, match="tier T3"):
        compiled(dataset=DATASET.replace("tier: T1", "tier: T3"))


def test_fen_do_not_fit() -> None:
    """The hint says what to do: 万元."""
    with pytest.raises(CompileError, match="does not fit into a slot") as caught:
        compiled(dataset=DATASET.replace("max: 500,", "max: 50000000,"))
    assert "万元" in caught.value.hint


def test_a_call_reveals_a_quarter_of_the_budget_at_most() -> None:
    """Epsilon 1; and what it costs is told."""
    written = kinds.read(CONTRACT.replace("0.301", "0.4"), "contract.yaml")
    with pytest.raises(RuleBroken, match="rule `epsilon`: expected at most 1, got"):
        written.admit(DATASETS)
    good = kinds.read(CONTRACT, "contract.yaml").admit(DATASETS)
    planned = kinds.plan(good, DATASETS)
    members = {k: v for line in planned.lines for k, v in line.members}
    assert (members["calls_per_quarter"], members["ciphertexts"]) == (4, 10)
    assert planned.missing_approvals == ("tax-bureau",)
    assert "no consent" in planned.consent


# -- selections ----------------------------------------------------------------

TOWNS, TRADES = ("安居镇", "唐口街道", "喻屯镇"), ("农业", "制造业")


@st.composite
def selections(
    draw: st.DrawFn,
) -> tuple[AttributeTable, list[list[int]], Wanted, list[int]]:
    """Draw a table, a question and who objects."""
    rows = draw(st.integers(1, 40))
    cells = st.tuples(st.integers(1, 3), st.integers(1, 2)) | st.just((0, 0))
    drawn = draw(st.lists(cells, min_size=rows, max_size=rows))
    by = draw(st.sampled_from([(), ("town",), ("trade", "town")]))
    where: list[tuple[str, tuple[str, ...]]] = []
    for name, labels in (("town", TOWNS), ("trade", TRADES)):
        if draw(st.booleans()):
            some = draw(st.lists(st.sampled_from(labels), min_size=1, unique=True))
            where.append((name, tuple(sorted(some))))
    wanted = Wanted(by, draw(st.integers(1, 6)), draw(st.integers(0, 45)), tuple(where))
    left_out = draw(st.lists(st.integers(-1, 45), max_size=4))
    table = AttributeTable(
        "cn-uscc",
        1,
        rows,
        1,
        bytes(32),
        (Attribute("town", TOWNS), Attribute("trade", TRADES)),
        bytes(32),
        "c",
        0,
    )
    return table, [list(cell) for cell in drawn], wanted, left_out


@given(selections())
def test_a_selection_is_what_a_slow_count_says(
    drawn: tuple[AttributeTable, list[list[int]], Wanted, list[int]],
) -> None:
    """Filter, objections, groups, floor: subject by subject."""
    table, cells, wanted, left_out = drawn
    codes = np.array(cells, np.uint8).T
    found = select(table, codes, wanted, left_out)
    labels: list[tuple[str, ...] | None] = []
    words = {"town": TOWNS, "trade": TRADES}
    for row, (town, trade) in enumerate(cells):
        mine = {"town": town, "trade": trade}
        passes = all(
            mine[name] and words[name][mine[name] - 1] in some
            for name, some in wanted.where
        )
        if (
            row >= wanted.rows
            or row in left_out
            or not passes
            or (wanted.by and not town)
        ):
            labels.append(None)
        else:
            labels.append(tuple(words[name][mine[name] - 1] for name in wanted.by))
    counts = Counter(label for label in labels if label is not None)
    assert {(g.labels, g.subjects) for g in found.groups} == {
        (label, n) for label, n in counts.items() if n >= wanted.floor
    }
    assert {(g.labels, g.subjects) for g in found.suppressed} == {
        (label, n) for label, n in counts.items() if n < wanted.floor
    }
    names = [group.labels for group in found.groups]
    for row, label in enumerate(labels):
        number = names.index(label) if label in names else OUTSIDE
        assert found.of_rows[row] == number


def test_a_digest_binds_every_row() -> None:
    """One subject more, less, or in another group is another selection."""
    table = AttributeTable(
        "x", 1, 30, 1, bytes(32), (Attribute("town", TOWNS),), bytes(32), "c", 0
    )
    codes = np.array([[1] * 15 + [2] * 15], np.uint8)
    wanted = Wanted(("town",), 10, 30)
    seen = {select(table, codes, wanted, []).digest}
    seen.add(select(table, codes, wanted, [3]).digest)
    seen.add(select(table, codes, Wanted(("town",), 10, 29), []).digest)
    seen.add(select(table, codes, Wanted((), 10, 30), []).digest)
    codes = codes.copy()
    codes[0, 0] = 2
    seen.add(select(table, codes, wanted, []).digest)
    assert len(seen) == 5


def test_too_many_groups_are_refused() -> None:
    """What a ticket names has an end."""
    labels = tuple(f"c{i}" for i in range(25))
    table = AttributeTable(
        "x",
        1,
        625,
        1,
        bytes(32),
        (Attribute("a", labels), Attribute("b", labels)),
        bytes(32),
        "c",
        0,
    )
    grid = np.array([[i // 25 + 1, i % 25 + 1] for i in range(625)], np.uint8).T
    with pytest.raises(FormatError, match=f"at most {MOST_GROUPS} groups, got 625"):
        select(table, grid, Wanted(("a", "b"), 10, 625), [])


@pytest.mark.parametrize(
    "where", [(("city", ("x",)),), (("town", ("x",)),), (("town", ("安居镇", "x")),)]
)
def test_unknown_words_select_nobody(where: Where) -> None:
    """They are refused; they do not stand for everybody."""
    table = AttributeTable(
        "x", 1, 30, 1, bytes(32), (Attribute("town", TOWNS),), bytes(32), "c", 0
    )
    with pytest.raises(DocumentInvalid):
        select(table, np.ones((1, 30), np.uint8), Wanted((), 10, 30, where), [])


# -- decisions -----------------------------------------------------------------


def terms(**changes: object) -> Terms:
    """Make the terms of a statistic in force."""
    fields: dict[str, object] = {
        "contract": bytes(32),
        "contract_id": "tax-by-town",
        "purpose": "statistics",
        "banks": ("jnrcb",),
        "datasets": (Data("tax", DATASETS["tax"].tier),),
        "millibits": 1,
        "limit_millibits": 1,
        "stage": Stage.ACTIVE,
        "kind": ContractKind.AGGREGATE,
        "bases": STATISTICS,
    }
    return Terms(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("of", "bank", "purpose", "reason"),
    [
        (terms(), "jnrcb", "statistics", None),
        (None, "jnrcb", "statistics", Reason.CONTRACT_UNKNOWN),
        (terms(), "lsbank", "statistics", Reason.CONTRACT_UNKNOWN),
        (terms(), "jnrcb", "loan-precheck", Reason.PURPOSE_MISMATCH),
        (terms(kind=ContractKind.SCORE), "jnrcb", "statistics", Reason.CONTRACT_KIND),
        (
            terms(stage=Stage.SUBMITTED),
            "jnrcb",
            "statistics",
            Reason.CONTRACT_NOT_APPROVED,
        ),
        (terms(stage=Stage.RETIRED), "jnrcb", "statistics", Reason.CONTRACT_RETIRED),
    ],
)
def test_who_may_ask(
    of: Terms | None, bank: str, purpose: str, reason: Reason | None
) -> None:
    """The contract's own rules, and no consent among them."""
    decision = decide_aggregate(bank, purpose, of)
    assert decision.allow is (reason is None)
    assert [finding.reason for finding in decision.reasons] == (
        [reason] if reason else []
    )


def test_a_budget_ends_to_the_thousandth() -> None:
    """What is left is told; neither which limit, nor what others asked."""
    limits = EpsilonLimits(bank=1000, banks=2500)
    assert check_spent(400, Spent(600, 600), limits) == []
    (found,) = check_spent(401, Spent(600, 600), limits)
    assert public([found]) == found
    assert found.detail == "it takes 0.401, 0.4 is left in this quarter"
    assert check_spent(1, Spent(0, 2499), limits) == []
    (found,) = check_spent(100, Spent(0, 2450), limits)
    assert found.detail == "it takes 0.1, 0.05 is left in this quarter"


def test_a_group_is_neither_too_small_nor_too_large() -> None:
    """Under the floor it is suppressed; without any group nothing is asked."""
    aggregate = compiled()
    table = AttributeTable(
        "cn-uscc", 1, 40, 1, bytes(32), (Attribute("town", TOWNS),), bytes(32), "c", 0
    )
    codes = np.array([[1] * 21 + [2] * 19], np.uint8)
    found = select(table, codes, Wanted(("town",), 20, 40), [])
    assert check_groups(aggregate, found) == []
    none = select(table, codes, Wanted(("town",), 22, 40), [])
    assert [f.reason for f in check_groups(aggregate, none)] == [Reason.GROUP_SIZE]
    small = compiled(CONTRACT.replace("most_subjects: 5000", "most_subjects: 20"))
    (large,) = check_groups(small, found)
    assert "group `安居镇` has 21 subjects" in large.detail


@given(st.integers(0, 4_102_444_800_000))
def test_a_quarter_is_three_months(time_ms: int) -> None:
    """A moment is in its quarter, and the moment before it begins is not."""
    quarter = quarter_of(time_ms)
    start = first_ms(quarter)
    assert start <= time_ms < start + 93 * 86_400_000
    assert quarter_of(start) == quarter
    if start:
        assert quarter_of(start - 1) < quarter


@pytest.mark.parametrize("text", ["2026Q5", "2026", "2026q1", "0000Q1", "2026Q1 "])
def test_only_quarters_are_quarters(text: str) -> None:
    """Nothing else is read as one."""
    with pytest.raises(FormatError):
        first_ms(text)


def test_groups_travel_in_tickets() -> None:
    """Labels and a number; nothing else is a group."""
    group = Group(("安居镇", "农业"), 20)
    assert Group.from_json(group.to_json()) == group
    for wrong in (None, [["a"], "1"], [[1], 1], ["a", 1], [["a"]]):
        with pytest.raises(FormatError):
            Group.from_json(wrong)  # type: ignore[arg-type]


def test_epsilons_are_written_shortly() -> None:
    """As their authors write them."""
    assert [epsilon(n) for n in (1, 250, 1000, 4000)] == ["0.001", "0.25", "1", "4"]
    assert Fraction(epsilon(301)) == Fraction(301, 1000)
