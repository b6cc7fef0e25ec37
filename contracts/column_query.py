r"""One column compared with a threshold, or with what a bank claims (PROTOCOL 8).

Two kinds of `QueryContract` (`contracts.query`).  *Range*: is it at least so much::

      range: {column: tax.turnover, at_least: 5000000}

Examples:
        - {given: {tax.turnover: "5000000"}, expect: at_least}
        - {given: {tax.turnover: "4999999"}, expect: below}
        - {given: {}, insufficient_data: true}

*Verify* 核验: is it what the subject told the bank, give or take a constant::

      verify: {column: tax.turnover, tolerance: 1000}
      examples:
        - {given: {tax.turnover: "1234500"}, claim: "1235500", expect: match}
        - {given: {tax.turnover: "1234500"}, claim: "1235501", expect: mismatch}

The column is an integer.  `at_least` and `tolerance` are in its units; a tolerance of
0 is equality.  (A relative tolerance would tell the authority the claim: scale the
column by a logarithm instead.)  With values stored as 0 to limit, the integers are::

    range    total = x                        below | at_least from the threshold on
    verify   total = x + (limit - claim)      match from limit - tolerance
                                              to limit + tolerance, else mismatch

and insufficient_data where the custodian does not have the subject.  The claim never
meets the house, nor the authority: `protocols.sharing`.

The one rule: an answer leaves many values possible.  Both sides of a threshold hold
at least 100 values, and a column at least 100 windows: three claims a quarter find
a value by guessing once in 33 times at most.

"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Final

from contracts import gates, query
from contracts.compile import find_column
from contracts.compiled import Answer, Claim, Compiled, Explained
from contracts.contract import ContractKind, UsedColumn, UsedDataset
from contracts.dataset import PRESENT, Dataset
from contracts.decide import LIMITS
from contracts.encoding import Integer
from contracts.errors import SourceError, ValueInvalid
from contracts.finding import Finding, waived
from contracts.plan import Line, told
from contracts.query import Head
from contracts.scoring import Ref, read_ref
from contracts.source import Node, Place, write_decimal
from protocols.program import INSUFFICIENT_DATA, Group, Scorecard

ANSWERS: Final = {
    ContractKind.RANGE: ("below", "at_least"),
    ContractKind.VERIFY: ("mismatch", "match"),
}
FIELD: Final = "answer"  # of the outcome
RULE: Final = "values"
LEAST_VALUES: Final = 100
WIDEST: Final = 1 << 38  # totals that the field of a whole slot holds


@dataclass(frozen=True, slots=True)
class ColumnExample:
    """A plain cell, a claim where one is made, and what must come of them."""

    given: tuple[tuple[Ref, str], ...]
    claim: str
    expect: str  # an answer; or nothing, for insufficient_data
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class ColumnQuery:
    """A query about one column, as its author wrote it."""

    head: Head
    kind: ContractKind
    column: Ref
    number: Decimal  # at_least, or tolerance
    examples: tuple[ColumnExample, ...]
    place: Place = field(compare=False)  # of the number


def read_range(data: bytes | str, path: str) -> ColumnQuery:
    """Read a range query; raises `SourceError`."""
    return _read(data, path, ContractKind.RANGE, "at_least")


def read_verify(data: bytes | str, path: str) -> ColumnQuery:
    """Read a query that verifies claims; raises `SourceError`."""
    return _read(data, path, ContractKind.VERIFY, "tolerance")


def _read(data: bytes | str, path: str, kind: ContractKind, number: str) -> ColumnQuery:
    head, spec = query.read(data, path, kind.value, (RULE,))
    members = spec[kind.value].members(("column", number))
    return ColumnQuery(
        head,
        kind,
        read_ref(members["column"]),
        members[number].decimal(),
        tuple(_read_example(node, kind) for node in spec["examples"].items(1)),
        members[number].place,
    )


def _read_example(node: Node, kind: ContractKind) -> ColumnExample:
    claims = ("claim",) if kind is ContractKind.VERIFY else ()
    members = node.members(("given", *claims), ("expect", INSUFFICIENT_DATA))
    if ("expect" in members) == (INSUFFICIENT_DATA in members):
        raise node.error(f"expected one of `expect`, `{INSUFFICIENT_DATA}`")
    given = tuple((read_ref(k), v.cell()) for k, v in members["given"].entries())
    expect = ""
    if "expect" in members:
        expect = members["expect"].word(ANSWERS[kind])
    elif not members[INSUFFICIENT_DATA].flag():
        raise members[INSUFFICIENT_DATA].error("expected true")
    claim = members["claim"].text() if claims else ""
    return ColumnExample(given, claim, expect, node.place)


# -- compiling -----------------------------------------------------------------


def compile_query(source: ColumnQuery, datasets: Mapping[str, Dataset]) -> Compiled:
    """Compile a query against the dataset it names; raises `SourceError`.

    1. the column and its number   2. steps   3. who may waive the rule
    """
    head, ref = source.head, source.column
    number = find_column(ref, head.subject_type, datasets).encoding
    if not isinstance(number, Integer):  # 1
        raise ref.place.error(
            f"`{ref}` is not a number", "a query compares integer columns"
        )
    dataset = datasets[ref.dataset]
    claim = None
    if source.kind is ContractKind.VERIFY:  # 2
        claim = _claim(source, number)
        top = min(2 * claim.limit, WIDEST - 1)
        steps = _window(claim, top)
    else:
        top, steps = number.limit, ((0, 0), (_threshold(source, number), 1))
    for waiver in head.waivers:  # 3
        if waiver.signed_by != dataset.custodian:
            raise waiver.place.error(
                f"`{waiver.signed_by}` signs no approval of this contract",
                f"did you mean `{dataset.custodian}`?",
            )
    scale, base = _units(source, number)
    m = (2 * top + 1).bit_length()
    groups = (Group(INSUFFICIENT_DATA, (1,), sign=-1, constant=1),)
    card = Scorecard((1, 0), 0, top, m, steps, groups, Scorecard.layout(m, groups))
    return Compiled(
        id=head.name,
        version=head.version,
        purpose=head.purpose,
        subject_type=head.subject_type.value,
        author=head.author,
        banks=head.banks,
        datasets=(
            UsedDataset(
                dataset.name, dataset.schema_hash, dataset.tier, dataset.custodian
            ),
        ),
        columns=_columns(ref, dataset),
        card=card,
        scale=scale,
        base=base,
        outcomes=tuple(((FIELD, answer),) for answer in ANSWERS[source.kind]),
        most_outcomes=len(ANSWERS[source.kind]),
        narrowest_band="1",
        limit_millibits=1000 * head.bits_per_90_days,
        waivers=head.waivers,
        kind=source.kind,
        gate=gates.pick(source.kind, card),
        claim=claim,
    )


def _units(source: ColumnQuery, number: Integer) -> tuple[int, int]:
    """Return scale and base, so that value = (total + base) / scale in a range."""
    base = Fraction(number.least) * number.scale
    if source.kind is ContractKind.VERIFY or base.denominator != 1:
        return 1, 0
    return number.scale, base.numerator


def _columns(ref: Ref, dataset: Dataset) -> tuple[UsedColumn, ...]:
    names = [column.name for column in dataset.encrypted]
    return tuple(
        UsedColumn(dataset.name, name, names.index(name))
        for name in (ref.column, PRESENT)
    )


def _threshold(source: ColumnQuery, number: Integer) -> int:
    # values are whole: x >= t from the next whole value on
    first = ceil((Fraction(source.number) - Fraction(number.least)) * number.scale)
    if not 0 < first <= number.limit:
        least, most = write_decimal(number.least), write_decimal(number.most)
        raise source.place.error(
            f"`{source.column}` runs from {least} to {most}:"
            " every value is on one side of the threshold"
        )
    return first


def _claim(source: ColumnQuery, number: Integer) -> Claim:
    if source.number < 0:
        raise source.place.error("expected a tolerance of 0 or more")
    tolerance = floor(Fraction(source.number) * number.scale)
    if tolerance >= number.limit:
        raise source.place.error("every claim is within the tolerance")
    least = write_decimal(number.least)
    return Claim(least, number.scale, number.limit, tolerance)


def _window(claim: Claim, top: int) -> tuple[tuple[int, int], ...]:
    first, end = claim.limit - claim.tolerance, claim.limit + claim.tolerance + 1
    steps = ((0, 0), (first, 1), (end, 0))
    return steps if end <= top else steps[:2]


# -- rules, examples, plan -----------------------------------------------------


def check_rules(
    compiled: Compiled, _datasets: Mapping[str, Dataset]
) -> tuple[Finding, ...]:
    """Apply the rule of the module."""
    if compiled.claim is None:
        threshold = compiled.card.steps[1][0]
        left = min(threshold, compiled.card.top + 1 - threshold)
        figure, limit = f"{left} values on one side", f"at least {LEAST_VALUES}"
    else:
        left = (compiled.claim.limit + 1) // (2 * compiled.claim.tolerance + 1)
        figure, limit = f"{left} windows", f"at least {LEAST_VALUES}"
    finding = Finding(RULE, left >= LEAST_VALUES, figure, limit)
    return waived((finding,), compiled.waivers)


def check_examples(
    compiled: Compiled, source: ColumnQuery, datasets: Mapping[str, Dataset]
) -> None:
    """Raise `SourceError` for the first golden example that comes out otherwise."""
    column = find_column(source.column, source.head.subject_type, datasets)
    for number, example in enumerate(source.examples, 1):
        cells = {str(ref): text for ref, text in example.given}
        if set(cells) - {str(source.column)}:
            raise example.place.error(f"expected cells of `{source.column}` only")
        values, added = [0, 0], _added(compiled, example)
        if cells:
            try:
                values = [*column.encode(cells[str(source.column)]), 1]
            except ValueInvalid as error:
                raise example.place.error(f"example {number}: {error}") from None
        got = answer_of(compiled, values, added)
        expected = Explained(Answer.INSUFFICIENT_DATA)
        if example.expect:
            outcome = ((FIELD, example.expect),)
            expected = Explained(Answer.SCORED, outcome=outcome)
        if got != expected:
            raise example.place.error(
                f"example {number}: expected {expected}, got {got}"
            )


def _added(compiled: Compiled, example: ColumnExample) -> int:
    if compiled.claim is None:
        return 0
    added = compiled.claim.added(example.claim)
    if added is None:
        raise _not_claimed(compiled.claim, example.place)
    return added


def _not_claimed(claim: Claim, place: Place) -> SourceError:
    return place.error(f"expected a claim {claim.expected}")


def answer_of(compiled: Compiled, values: list[int], added: int) -> Explained:
    """Answer in plain for one subject's column and `_present`: the definition."""
    if not values[1]:
        return Explained(Answer.INSUFFICIENT_DATA)
    total = compiled.card.total_of(values) + added
    index = [i for first, i in compiled.card.steps if first <= total][-1]
    return Explained(Answer.SCORED, outcome=compiled.outcomes[index])


def _decimal(number: Fraction) -> str:
    return write_decimal(Decimal(number.numerator) / number.denominator)


def lines(compiled: Compiled, key_bits: int) -> tuple[Line, ...]:
    """Tell what is particular to a query."""
    machine, claim = gates.Machine(compiled), compiled.claim
    if claim is None:
        threshold = compiled.card.steps[1][0]
        least = _decimal(compiled.score(threshold))
        asks = f"{compiled.attribute}, whether it is {least} or more"
        number = ("threshold", threshold)
    else:
        step = _decimal(Fraction(claim.tolerance, claim.scale))
        asks = f"{compiled.attribute}, whether it is the claim, give or take {step}"
        number = ("tolerance", claim.tolerance)
    first, second = ANSWERS[compiled.kind]
    answers = f"{first}, {second} or {INSUFFICIENT_DATA}"
    size = compiled.card.parts * 2 * key_bits // 8
    products = sum(program.products for program in machine.programs)
    table_bytes = machine.gate.table_bytes
    return (
        Line("asks", asks, (("column", compiled.attribute), number)),
        Line(
            "gate",
            f"{compiled.gate}: {gates.why(compiled)}",
            (("gate", compiled.gate), ("m", compiled.card.m)),
        ),
        Line("tells", told(compiled, answers), ()),
        Line(
            "quota",
            f"{LIMITS.answers} answers about {compiled.attribute}, subject and quarter,"
            " all banks together",
            (("answers", LIMITS.answers),),
        ),
        Line(
            "costs",
            f"{products} products and {size} bytes a block,"
            f" {table_bytes} bytes a subject",
            (
                ("table_bytes", table_bytes),
                ("ciphertext_bytes", size),
                ("products", products),
            ),
        ),
    )
