r"""From a contract's words to exact integers (PROTOCOL 2).

score = base + sum of points.  In the integers that the house computes with

    total = (score - least possible score) x scale

`scale` is the smallest number that makes all points whole, or 1 / `step` where the
author rounds real weights to a step: `contracts.weights`, column by column.

Every encrypted column of a used column is in the contract, those of weight 0 too:
which classes matter is not to be seen from what the house reads.  So is each
used dataset's `_present`; V_insufficient_data = datasets - sum of them.

top is the largest total, and 2^m >= 2 (top + 1): the upper half of the score
field is a guard zone.  Outcomes are constant between thresholds; steps name the
first total of each, and neighbours with the same outcome are one step.

*Joint scores* (PROTOCOL 7).  The bank adds points of its own, least to most, as the
number (points - least) x scale of 0 to `added`; least goes into the base, `added` into
top.  What the bank's points are made of stands elsewhere (`contracts.bank_model`).

*Rounded scores.*  A golden example whose exact score lies within the rounding of a
threshold is refused: nobody could say which side is right.

`evaluate` computes an answer from plain cells, for golden examples and tests; it
shares nothing with the encrypted way but the integers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from math import ceil

from contracts import gates
from contracts.compiled import Answer, Compiled, Explained, Joint, Outcome
from contracts.contract import ContractKind, UsedColumn, UsedDataset
from contracts.dataset import PRESENT, Dataset
from contracts.encoding import Column, Kind
from contracts.errors import CompileError, SourceError, ValueInvalid
from contracts.outcome import Ladder
from contracts.scoring import Example, Ref, ScoringContract
from contracts.source import suggest, write_decimal
from contracts.subject import SubjectType
from contracts.weights import Name, Rounded, Sums, weigh
from protocols.canon import MAX_INTEGER
from protocols.errors import FormatError
from protocols.program import INSUFFICIENT_DATA, MAX_OUTCOMES, Group, Scorecard
from protocols.slots import SLOT_BITS

__all__ = [
    "Compiled",
    "Evaluation",
    "check_examples",
    "compile_contract",
    "evaluate",
]

MAX_M = SLOT_BITS - 1  # the score field fills a slot
MAX_STEPS = 4 * MAX_OUTCOMES
MARGIN_DECIMALS = 9


def compile_contract(
    contract: ScoringContract, datasets: Mapping[str, Dataset]
) -> Compiled:
    """Compile a contract against the datasets it names.

    Raises `SourceError` where a line is to blame, `CompileError` where a sum is.

    1. find every column the contract names, and who may waive a rule
    2. weigh the encrypted columns, exactly; constants go into the base
    3. one common scale, no negative total
    4. outcomes and steps
    5. veto groups and insufficient_data, fields of a slot
    6. what the author promised not to exceed
    """
    used = _used(contract, datasets)  # 1
    _check_waivers(contract, used)
    sums = _sums(contract, used)  # 2
    columns = tuple(column for item in used.values() for column in item.encrypted())
    rounded, added = _rounded(contract, sums)  # 3
    scale, base, top = rounded.scale, rounded.base, rounded.top
    m = (2 * top + 1).bit_length()
    outcomes, steps = _outcomes(contract, base, scale, top)  # 4
    groups = _groups(contract, columns)  # 5
    try:
        card = Scorecard(
            weights=tuple(rounded.weights.get((c.dataset, c.name), 0) for c in columns),
            shift=rounded.shift,
            top=top,
            m=m,
            steps=steps,
            groups=groups,
            fields=Scorecard.layout(m, groups),
            added=added,
        )
    except FormatError as error:
        raise CompileError(f"contract `{contract.name}`: {error}", error.hint) from None
    joint = contract.joint
    kind = ContractKind.SCORE if joint is None else ContractKind.JOINT
    compiled = Compiled(
        id=contract.name,
        version=contract.version,
        purpose=contract.purpose,
        subject_type=contract.subject_type.value,
        author=contract.author,
        banks=contract.banks,
        datasets=tuple(item.named() for item in used.values()),
        columns=columns,
        card=card,
        scale=scale,
        base=base,
        outcomes=outcomes,
        most_outcomes=contract.release.most_outcomes,
        narrowest_band=write_decimal(contract.release.narrowest_band),
        limit_millibits=1000 * contract.release.bits_per_90_days,
        waivers=contract.waivers,
        kind=kind,
        gate=gates.pick(kind, card),
        joint=None
        if joint is None
        else Joint(write_decimal(joint.least), write_decimal(joint.most)),
        rounding=_rounding(contract, rounded),
    )
    _check_release(contract, compiled)  # 6
    return compiled


# -- columns and weights -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Used:
    """A dataset and the columns that the contract names of it."""

    dataset: Dataset
    columns: dict[str, Column]

    def named(self) -> UsedDataset:
        """Name the dataset for the compiled contract."""
        dataset = self.dataset
        return UsedDataset(
            dataset.name, dataset.schema_hash, dataset.tier, dataset.custodian
        )

    def encrypted(self) -> Iterator[UsedColumn]:
        """Yield the encrypted columns, in the order of the schema."""
        for index, column in enumerate(self.dataset.encrypted):
            if column.kind is Kind.PRESENT or column.group in self.columns:
                yield UsedColumn(self.dataset.name, column.name, index)


def _used(
    contract: ScoringContract, datasets: Mapping[str, Dataset]
) -> dict[str, _Used]:
    flags = [flag for veto in contract.vetoes for flag in veto.flags]
    used: dict[str, _Used] = {}
    for ref in [*(indicator.column for indicator in contract.indicators), *flags]:
        column = find_column(ref, contract.subject_type, datasets)
        item = used.setdefault(ref.dataset, _Used(datasets[ref.dataset], {}))
        item.columns[ref.column] = column
    for flag in flags:
        column = used[flag.dataset].columns[flag.column]
        if column.encrypted[0].kind is not Kind.FLAG:
            raise flag.place.error(
                f"a veto needs a flag, `{flag}` is not one",
                "let the custodian derive a flag from it",
            )
    return used


def _check_waivers(contract: ScoringContract, used: Mapping[str, _Used]) -> None:
    custodians = sorted({item.dataset.custodian for item in used.values()})
    for waiver in contract.waivers:
        if waiver.signed_by not in custodians:
            raise waiver.place.error(
                f"`{waiver.signed_by}` signs no approval of this contract",
                suggest(waiver.signed_by, custodians),
            )


def find_column(
    ref: Ref, subject_type: SubjectType, datasets: Mapping[str, Dataset]
) -> Column:
    """Find a column that a contract names; raises `SourceError`."""
    dataset = datasets.get(ref.dataset)
    if dataset is None:
        raise ref.place.error(
            f"unknown dataset `{ref.dataset}`", suggest(ref.dataset, sorted(datasets))
        )
    if dataset.subject_type is not subject_type:
        raise ref.place.error(
            f"dataset `{ref.dataset}` is about `{dataset.subject_type}`,"
            f" the contract about `{subject_type}`"
        )
    column = dataset.column(ref.column)
    if column is None:
        raise ref.place.error(
            f"dataset `{ref.dataset}`: unknown column `{ref.column}`",
            suggest(ref.column, [column.name for column in dataset.columns]),
        )
    return column


def _sums(contract: ScoringContract, used: Mapping[str, _Used]) -> Sums:
    """Add up the contract's points; the bank's least are in the base."""
    sums = Sums(contract.base)
    for indicator in contract.indicators:
        ref = indicator.column
        column = used[ref.dataset].columns[ref.column]
        weigh(sums, ref.dataset, column, indicator.points, str(ref))
    if contract.joint is not None:
        sums.base += Fraction(contract.joint.least)
    return sums


def _rounded(contract: ScoringContract, sums: Sums) -> tuple[Rounded, int]:
    """Return the score in whole numbers, and the largest that the bank may add."""
    rounded, added = sums.rounded(contract.step), 0
    joint = contract.joint
    if joint is not None:
        reach = Fraction(joint.most - joint.least) * rounded.scale
        if reach.denominator != 1:
            raise joint.place.error(
                f"the score counts in 1/{rounded.scale}, and the bank's points"
                " have other decimals",
                "give a `step`, or other ends",
            )
        added = reach.numerator
    top = rounded.top + added
    if 2 * (top + 1) > 1 << MAX_M:
        raise CompileError(
            f"contract `{contract.name}`: the score has {top + 1} values,"
            f" expected at most 2^{MAX_M - 1}",
            "a `step` that weights are rounded to, fewer decimals in the points, or a"
            " coarser scale of integer columns",
        )
    if max(abs(rounded.base), rounded.scale) > MAX_INTEGER:
        raise CompileError(f"contract `{contract.name}`: the base is out of bounds")
    return replace(rounded, top=top), added


def _rounding(contract: ScoringContract, rounded: Rounded) -> str:
    """Write how far a score can be from the exact one: a decimal, not below it."""
    if contract.step is None:
        return "0"
    # The bank rounds what it adds to the same step.
    own = Fraction(0) if contract.joint is None else Fraction(1, 2 * rounded.scale)
    digits = ceil((rounded.margin + own) * 10**MARGIN_DECIMALS)
    return write_decimal(Decimal(digits).scaleb(-MARGIN_DECIMALS))


# -- outcomes and groups -------------------------------------------------------


def _outcomes(
    contract: ScoringContract, base: int, scale: int, top: int
) -> tuple[tuple[Outcome, ...], tuple[tuple[int, int], ...]]:
    """Return the distinct outcomes, and (first total, outcome) ascending."""
    least, most = Fraction(base, scale), Fraction(base + top, scale)
    firsts = {0}
    for item in contract.outcome:
        if isinstance(item.scale, Ladder) and item.scale.step * scale < 1:
            raise item.place.error(  # else its rungs are walked without end
                f"the step of `{item.name}` is finer than the score,"
                f" which counts in 1/{scale}"
            )
        for threshold in item.scale.thresholds(least, most):
            # totals are whole: score >= threshold from the next whole total on
            first = ceil(threshold * scale) - base
            if 0 < first <= top:
                firsts.add(first)
            if len(firsts) > MAX_STEPS:
                raise item.place.error(
                    f"the outcome changes more than {MAX_STEPS} times",
                    "a coarser step, or fewer bands",
                )
    outcomes: dict[Outcome, int] = {}
    steps: list[tuple[int, int]] = []
    for first in sorted(firsts):
        score = Fraction(base + first, scale)
        outcome = tuple((item.name, item.scale.at(score)) for item in contract.outcome)
        index = outcomes.setdefault(outcome, len(outcomes))
        if not steps or steps[-1][1] != index:
            steps.append((first, index))
    if len(outcomes) > MAX_OUTCOMES:
        raise contract.outcome[0].place.error(
            f"{len(outcomes)} outcomes, expected at most {MAX_OUTCOMES}",
            "a coarser step, or fewer bands",
        )
    return tuple(outcomes), tuple(steps)


def _groups(
    contract: ScoringContract, columns: tuple[UsedColumn, ...]
) -> tuple[Group, ...]:
    number = {(c.dataset, c.name): i for i, c in enumerate(columns)}
    present = tuple(i for i, c in enumerate(columns) if c.name == PRESENT)
    vetoes = [
        Group(
            veto.reason,
            tuple(number[flag.dataset, flag.column] for flag in veto.flags),
            sign=1,
            constant=0,
        )
        for veto in contract.vetoes
    ]
    return (*vetoes, Group(INSUFFICIENT_DATA, present, sign=-1, constant=len(present)))


def _check_release(contract: ScoringContract, compiled: Compiled) -> None:
    release = contract.release
    if len(compiled.outcomes) > release.most_outcomes:
        raise release.place.error(
            f"the contract has {len(compiled.outcomes)} outcomes,"
            f" `most_outcomes` is {release.most_outcomes}"
        )
    for (first, _), width in zip(compiled.card.steps, compiled.widths, strict=True):
        points = Fraction(width, compiled.scale)
        if points < Fraction(release.narrowest_band):
            raise release.place.error(
                f"from score {_points(compiled.score(first))} an outcome holds for"
                f" {_points(points)} points,"
                f" `narrowest_band` is {write_decimal(release.narrowest_band)}"
            )
    if compiled.millibits > compiled.limit_millibits:
        raise release.place.error(
            f"one call reveals {compiled.millibits} thousandths of a bit,"
            f" `bits_per_90_days` is {release.bits_per_90_days}",
            "fewer outcomes, or more bits",
        )


def _points(number: Fraction) -> str:
    """Write points for a message: exact where they are whole."""
    return str(number) if number.denominator == 1 else f"{float(number):.3f}"


# -- plain answers -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a contract says of plain cells."""

    code: int  # as the bank's: an outcome, or -2 - g for group g
    total: int
    score: Fraction  # points


def evaluate(
    compiled: Compiled,
    datasets: Mapping[str, Dataset],
    cells: Mapping[str, Mapping[str, str | None]],
    added: int = 0,
) -> Evaluation:
    """Score one subject from cells by dataset and column (`Dataset.texts`).

    A dataset that is not in `cells` does not have the subject; a column without
    a cell is missing.  `added` is the bank's number, in a joint score.  Raises
    `ValueInvalid`.
    """
    values: list[int] = []
    for use in compiled.datasets:
        names = [c.name for c in compiled.columns if c.dataset == use.id]
        known: dict[str, int] = {}
        if use.id in cells:
            known = _encoded(datasets[use.id], cells[use.id], set(names))
        values += [known.get(name, 0) for name in names]
    total = compiled.card.total_of(values) + added
    code = compiled.card.code_of(values, added)
    return Evaluation(code, total, compiled.score(total))


def _encoded(
    dataset: Dataset, cells: Mapping[str, str | None], names: set[str]
) -> dict[str, int]:
    values = {PRESENT: 1}
    for column in dataset.columns:
        encrypted = [item.name for item in column.encrypted]
        if encrypted[0] in names:
            encoded = column.encode(cells.get(column.name))
            values.update(zip(encrypted, encoded, strict=True))
    return values


def check_examples(
    compiled: Compiled, contract: ScoringContract, datasets: Mapping[str, Dataset]
) -> None:
    """Raise `SourceError` for the first golden example that comes out otherwise."""
    used = _used(contract, datasets)
    near = _Near(contract, compiled, _sums(contract, used))
    for number, example in enumerate(contract.examples, 1):
        cells = _cells(example, used)
        try:
            code = evaluate(compiled, datasets, cells, _added(compiled, example)).code
            near.check(number, example, cells, datasets)
        except ValueInvalid as error:
            raise example.place.error(f"example {number}: {error}") from None
        got, expected = compiled.explain(code), _expected(example)
        if got != expected:
            raise example.place.error(
                f"example {number}: expected {expected}, got {got}"
            )


def _added(compiled: Compiled, example: Example) -> int:
    """Return the bank's number of an example: 0 where it adds none."""
    if compiled.joint is None or example.bank is None:
        return 0
    added = compiled.joint.added(Fraction(example.bank), compiled.scale)
    if added is None:
        raise example.place.error(f"expected `bank` {compiled.joint.expected}")
    return added


class _Near:
    """Refuses examples whose exact score is within the rounding of a threshold."""

    def __init__(
        self, contract: ScoringContract, compiled: Compiled, sums: Sums
    ) -> None:
        least, most = compiled.score(0), compiled.score(compiled.card.top)
        self._margin = Fraction(compiled.rounding)
        self._sums = sums
        self._least = Fraction(contract.joint.least) if contract.joint else 0
        self._thresholds = tuple(
            threshold
            for item in contract.outcome
            for threshold in item.scale.thresholds(least, most)
        )

    def check(
        self,
        number: int,
        example: Example,
        cells: Mapping[str, Mapping[str, str | None]],
        datasets: Mapping[str, Dataset],
    ) -> None:
        """Raise `SourceError` for an example that rounding may decide."""
        names = {name for term in self._sums.terms for name, _ in term.weights}
        values: dict[Name, int] = {}
        for dataset, given in cells.items():
            mine = {name for of, name in names if of == dataset}
            known = _encoded(datasets[dataset], given, mine)
            values |= {(dataset, name): value for name, value in known.items()}
        if not self._margin or not names <= set(values):
            return  # exact, or insufficient_data
        score = self._sums.score(values)
        if example.bank is not None:
            score += Fraction(example.bank) - self._least
        for threshold in self._thresholds:
            if abs(score - threshold) <= self._margin:
                raise example.place.error(
                    f"example {number}: its score, {float(score):.9f}, is as near to"
                    f" the threshold {float(threshold)} as rounding may move it",
                    "a smaller `step`, or another threshold",
                )


def _cells(example: Example, used: Mapping[str, _Used]) -> dict[str, dict[str, str]]:
    """Order an example's cells; each dataset is given whole or not at all."""
    cells: dict[str, dict[str, str]] = {}
    for ref, text in example.given:
        columns = used[ref.dataset].columns if ref.dataset in used else {}
        if ref.column not in columns:
            raise _unused(ref, used)
        cells.setdefault(ref.dataset, {})[ref.column] = text
    for name, given in cells.items():
        for column in used[name].columns:
            if column not in given:
                raise example.place.error(
                    f"the example does not give `{name}.{column}`",
                    'a missing value is ""; a subject that a dataset does not have'
                    " is given no cell of it",
                )
    return cells


def _unused(ref: Ref, used: Mapping[str, _Used]) -> SourceError:
    known = [
        f"{name}.{column}" for name, item in used.items() for column in item.columns
    ]
    return ref.place.error(
        f"the contract does not use `{ref}`", suggest(str(ref), known)
    )


def _expected(example: Example) -> Explained:
    if example.insufficient_data:
        return Explained(Answer.INSUFFICIENT_DATA)
    if example.vetoed:
        return Explained(Answer.VETOED, example.vetoed)
    return Explained(Answer.SCORED, outcome=example.expect)
