"""From somebody's scorecard to dataset bins and a `ScoringContract`.

*Columns.*  A variable is a column of one dataset, by its name or by that in the
custodian's table (`from`).  Its bins must be unions of the column's classes: classes
may be finer, never coarser, and every class has a bin.  Variables that no dataset has
become columns of a dataset that is proposed, with the card's bins.

*Edges.*  A table's cells have at most 9 decimals, so every interval is one that is
closed on the left, exactly: `x <= 16` is `x < 16.000000001`, and an edge of more
decimals is the next number of 9.

*Missing values.*  A card's bin of them is the class that the dataset has for them, and
must be worth what they count as where they count as another class; where the dataset
refuses them the card's points for them cannot be had and are left out, with a remark.

*Points* are copied digit for digit, or to 9 decimals under a `step`, which the compiled
contract rounds to.  Golden examples are of nobody: a walk from the least score to the
most, one class at a time, with one example for each grade that it meets.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Final

from contracts.compile import check_examples, compile_contract
from contracts.compiled import Compiled
from contracts.dataset import Dataset
from contracts.encoding import Bins, Category, Column
from contracts.errors import DocumentInvalid
from contracts.scorecard import Card, Interval, Variable
from contracts.scoring import ScoringContract
from contracts.source import API_VERSION, COLUMN, NAME, shown, suggest, write_decimal
from contracts.subject import SubjectType

PLACES: Final = 9  # decimals of a cell, and of points
UNIT: Final = Fraction(1, 10**PLACES)
MISSING: Final = "missing"  # the class of a proposed column
NEAREST: Final = 3  # edges that a hint names


@dataclass(frozen=True, slots=True)
class Proposed:
    """What a card does not say of a dataset."""

    name: str
    custodian: str
    unit: str
    category: str
    cycle: str
    tier: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What a card does not say of a contract."""

    name: str
    purpose: str
    subject: SubjectType
    author: str
    banks: tuple[str, ...]
    grades: tuple[tuple[str, Decimal | None], ...]  # the first holds below all others
    step: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """A variable, the column it is, and the points of every class."""

    variable: Variable
    dataset: str
    column: Column
    points: Mapping[str, Fraction]

    def cell(self, label: str) -> str:
        """Return a cell of the custodian's table that is of this class."""
        encoding = self.column.encoding
        if label not in encoding.labels:
            return self.column.missing.texts[0]
        if not isinstance(encoding, Bins):
            return label
        number = encoding.labels.index(label)
        edge = encoding.edges[max(0, number - 1)]
        return write_decimal(edge if number else edge - 1)


@dataclass(frozen=True, slots=True)
class Columns:
    """Where all variables are."""

    placed: tuple[Placed, ...]
    datasets: Mapping[str, Dataset]
    proposed: str  # the document of the proposed dataset, or nothing
    remarks: tuple[str, ...]


# -- columns -------------------------------------------------------------------


def place(
    card: Card,
    datasets: Mapping[str, Dataset],
    subject: SubjectType,
    proposed: Proposed | None,
) -> Columns:
    """Find every variable's column; raises `SourceError` for bins that do not fit.

    1. variables of the given datasets
    2. the others, in a proposed dataset
    3. points of every class
    """
    known = {n: d for n, d in datasets.items() if d.subject_type is subject}
    homes, new = dict[str, tuple[str, Column]](), list[Variable]()
    for variable in card.variables:  # 1
        home = _find(variable, known, subject, proposed)
        if home is None:
            new.append(variable)
        else:
            homes[variable.name] = home
    text, remarks = "", list(card.remarks)
    if proposed is not None and new:  # 2
        if proposed.name in datasets:
            raise DocumentInvalid(f"dataset `{proposed.name}` is there already")
        text = _dataset_text(new, proposed, subject)
        known[proposed.name] = Dataset.from_yaml(text, f"{proposed.name}.yaml")
        for variable, column in zip(new, known[proposed.name].columns, strict=True):
            homes[variable.name] = (proposed.name, column)
    placed = list[Placed]()
    for variable in card.variables:  # 3
        dataset, column = homes[variable.name]
        points = _points(variable, dataset, column, remarks)
        placed.append(Placed(variable, dataset, column, points))
    used = {item.dataset: known[item.dataset] for item in placed}
    return Columns(tuple(placed), used, text, tuple(remarks))


def texts_of(datasets: Mapping[str, Dataset], name: str) -> tuple[str, ...]:
    """Return the texts that the datasets know of a variable."""
    for dataset in datasets.values():
        for column in dataset.columns:
            if name in (column.name, column.source) and isinstance(
                column.encoding, Category
            ):
                return column.encoding.labels
    return ()


def _find(
    variable: Variable,
    datasets: Mapping[str, Dataset],
    subject: SubjectType,
    proposed: Proposed | None,
) -> tuple[str, Column] | None:
    found = [
        (name, column)
        for name, dataset in datasets.items()
        for column in dataset.columns
        if variable.name in (column.name, column.source)
    ]
    classed = [item for item in found if item[1].labels]
    if len(classed) > 1:
        where = ", ".join(f"`{name}.{column.name}`" for name, column in classed)
        raise variable.place.error(
            f"variable `{shown(variable.name)}` is more than one column: {where}",
            "give only the datasets that the contract is to read",
        )
    if classed:
        return classed[0]
    if found:
        name, column = found[0]
        raise variable.place.error(
            f"variable `{shown(variable.name)}`: `{name}.{column.name}` has no classes",
            f"a column with {_wanted(variable)} would match",
        )
    if proposed is None:
        names = [c.name for d in datasets.values() for c in d.columns]
        hint = suggest(variable.name, names) if names else ""
        raise variable.place.error(
            f"no dataset about `{subject}` has a column `{shown(variable.name)}`",
            hint or "give a dataset that has it, or propose one with `--new-dataset`",
        )
    return None


def _edges(variable: Variable) -> list[Fraction]:
    """Return where a variable cuts, as edges of intervals closed on the left."""
    edges = set[Fraction]()
    for item in variable.bins:
        if item.interval is not None:
            edges |= {edge for edge in _ends(item.interval) if edge is not None}
    return sorted(edges)


def _ends(interval: Interval) -> Iterator[Fraction | None]:
    low, high = interval.low, interval.high
    yield None if low is None else _edge(low, closed=interval.low_closed)
    yield None if high is None else _edge(high, closed=not interval.high_closed)


def _edge(end: Fraction, *, closed: bool) -> Fraction:
    """Return the first cell that is not below `end`; or, where open, that is above."""
    units = end / UNIT
    return (ceil(units) if closed else floor(units) + 1) * UNIT


def _wanted(variable: Variable) -> str:
    """Write the encoding of a dataset that a variable would match."""
    if variable.numeric:
        return f"bins: [{', '.join(map(decimal_text, _edges(variable)))}]"
    return f"category: [{', '.join(_quoted(text) for text in _texts(variable))}]"


def _texts(variable: Variable) -> list[str]:
    return [text for item in variable.bins for text in item.texts]


def _points(
    variable: Variable, dataset: str, column: Column, remarks: list[str]
) -> dict[str, Fraction]:
    """Return the points of every class of a column; raises `SourceError`."""
    called = f"`{dataset}.{column.name}`"
    encoding = column.encoding
    if isinstance(encoding, Bins) is not variable.numeric:
        what = "a category, the card cuts numbers"
        if not variable.numeric:
            what = "cut into bins, the card names texts"
        raise variable.place.error(
            f"{called} is {what}", f"{_wanted(variable)} would match"
        )
    if isinstance(encoding, Bins):
        _check_edges(variable, called, encoding)
    else:
        _check_texts(variable, called, encoding.labels)
    points = dict[str, Fraction]()
    for label in encoding.labels:
        cell = Placed(variable, dataset, column, {}).cell(label)
        found = variable.find(cell)
        if found is None:
            raise variable.place.error(
                f"class `{shown(label)}` of {called} is in no bin of the card",
                f"{_wanted(variable)} would match" if variable.numeric else "",
            )
        points[label] = found.points
    return _missing(variable, called, column, points, remarks)


def _check_edges(variable: Variable, called: str, bins: Bins) -> None:
    edges = [Fraction(edge) for edge in bins.edges]
    for item in variable.bins:
        for edge in _ends(item.interval) if item.interval is not None else ():
            if edge is not None and edge not in edges:
                near = sorted(edges, key=lambda other: abs(other - edge))[:NEAREST]
                raise item.place.error(
                    f"bin `{shown(item.text)}` of `{shown(variable.name)}` cuts at"
                    f" {decimal_text(edge)}, where {called} does not",
                    f"the nearest edge is {decimal_text(near[0])}, of"
                    f" {', '.join(map(write_decimal, bins.edges))}; the dataset would"
                    f" match with {_wanted(variable)}",
                )


def _check_texts(variable: Variable, called: str, labels: tuple[str, ...]) -> None:
    for item in variable.bins:
        for text in item.texts:
            if text not in labels:
                raise item.place.error(
                    f"bin of `{shown(variable.name)}`: {called} has no class"
                    f" `{shown(text)}`",
                    suggest(text, labels),
                )


def _missing(
    variable: Variable,
    called: str,
    column: Column,
    points: dict[str, Fraction],
    remarks: list[str],
) -> dict[str, Fraction]:
    found, missing = variable.find(""), column.missing
    if missing.rule == "class":
        if found is None:
            raise variable.place.error(
                f"class `{shown(missing.label)}` of {called} is in no bin of the card",
                "it is of missing values, and the card has no points for them",
            )
        return points | {missing.label: found.points}
    if found is None:
        return points
    if missing.rule == "reject":
        remarks.append(f"{called} refuses missing values: their points are left out")
        return points
    encoding, label = column.encoding, missing.label
    if label in encoding.labels and points[label] != found.points:
        raise found.place.error(
            f"missing values of {called} count as `{shown(label)}`, which has"
            f" {decimal_text(points[label])} points, and in the card have"
            f" {decimal_text(found.points)}",
            "the dataset would match with `missing: {class: missing}`",
        )
    return points


# -- documents -----------------------------------------------------------------


def _dataset_text(
    variables: list[Variable], proposed: Proposed, subject: SubjectType
) -> str:
    lines = [
        f"apiVersion: {API_VERSION}",
        "kind: Dataset",
        f"metadata: {{name: {_word(proposed.name)}, version: 1}}",
        "spec:",
        f"  custodian: {_word(proposed.custodian)}",
        f"  unit: {_quoted(proposed.unit)}",
        f"  category: {_quoted(proposed.category)}",
        f"  cycle: {proposed.cycle}",
        f"  tier: {proposed.tier}",
        f"  subject: {subject.value}",
        "  columns:",
    ]
    names = set[str]()
    for variable in variables:
        name = _column_name(variable, names)
        lines.append(f"    - name: {name}")
        if name != variable.name:
            lines.append(f"      from: {_quoted(variable.name)}")
        texts, edges = _texts(variable), _edges(variable)
        if any(item.other and not variable.numeric for item in variable.bins):
            raise variable.place.error(
                f"variable `{shown(variable.name)}` has a bin of every other text",
                "a dataset names its classes: give one that has the column",
            )
        if len(texts) + len(edges) < (1 if variable.numeric else 2):
            raise variable.place.error(
                f"variable `{shown(variable.name)}` has one bin only",
                "it is worth the same to everybody: take it out of the card",
            )
        if variable.numeric:
            lines.append(f"      {_wanted(variable)}")
        else:
            lines.append("      category:")
            lines += (f"        - {_quoted(text)}" for text in texts)
        if variable.find("") is not None:
            label = f"no {MISSING}" if MISSING in texts else MISSING
            lines.append(f"      missing: {{class: {label}}}")
    return "\n".join(lines) + "\n"


def _column_name(variable: Variable, names: set[str]) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", variable.name.lower()).strip("_")
    if not COLUMN.fullmatch(name) or name in names:
        raise variable.place.error(
            f"`{shown(variable.name)}` makes no column name of its own",
            "give a dataset that has a column with this `from`",
        )
    names.add(name)
    return name


def write(
    card: Card, columns: Columns, draft: Draft, path: str
) -> tuple[str, Compiled]:
    """Write the contract, and compile it; raises `SourceError`, `CompileError`.

    What it releases is known only when it is compiled, so that is done twice.
    """
    if card.decimals > PLACES and draft.step is None:
        raise DocumentInvalid(
            f"the card has points of {card.decimals} decimals,"
            f" expected at most {PLACES}",
            "give a step that they are rounded to: `--step 0.01`",
        )
    if draft.step is not None and draft.step <= 0:
        raise DocumentInvalid("expected a step above 0")
    examples = list(_examples(card, columns, draft))
    wide = "most_outcomes: 64, narrowest_band: 0.000000001, bits_per_90_days: 1000"
    first = _contract_text(card, columns, draft, wide, examples)
    contract = ScoringContract.from_yaml(first, path)
    compiled = compile_contract(contract, columns.datasets)
    narrowest = Decimal(min(compiled.widths)) / Decimal(compiled.scale)
    release = (
        f"most_outcomes: {len(compiled.outcomes)},"
        f" narrowest_band: {write_decimal(narrowest)},"
        f" bits_per_90_days: {-(-compiled.millibits // 1000)}"
    )
    text = _contract_text(card, columns, draft, release, examples)
    contract = ScoringContract.from_yaml(text, path)
    compiled = compile_contract(contract, columns.datasets)
    check_examples(compiled, contract, columns.datasets)
    return text, compiled


def _contract_text(
    card: Card, columns: Columns, draft: Draft, release: str, examples: list[str]
) -> str:
    lines = [
        f"apiVersion: {API_VERSION}",
        "kind: ScoringContract",
        f"metadata: {{name: {_word(draft.name)}, version: 1}}",
        "spec:",
        f"  purpose: {_word(draft.purpose)}",
        f"  subject: {draft.subject.value}",
        f"  author: {_word(draft.author)}",
        f"  banks: [{', '.join(map(_word, draft.banks))}]",
        *([] if draft.step is None else [f"  step: {write_decimal(draft.step)}"]),
        f"  base: {decimal_text(card.base)}",
        "  groups:",
    ]
    for dataset in columns.datasets:
        lines += (f"    - name: {dataset}", "      indicators:")
        for item in columns.placed:
            if item.dataset == dataset:
                lines += (
                    f"        - column: {dataset}.{item.column.name}",
                    "          points:",
                )
                lines += (
                    f"            {_quoted(label)}: {decimal_text(points)}"
                    for label, points in item.points.items()
                )
    lines += ("  outcome:", "    grade:", "      bands:")
    for value, start in draft.grades:
        from_ = "" if start is None else f"from: {write_decimal(start)}, "
        lines.append(f"        - {{{from_}value: {_quoted(value)}}}")
    lines += (f"  release: {{{release}}}", "  examples:", *examples)
    return "\n".join(lines) + "\n"


def _examples(card: Card, columns: Columns, draft: Draft) -> Iterator[str]:
    """Walk from the least score to the most; yield the first state of each grade."""
    step = Fraction(draft.step or 0) + (UNIT if card.decimals > PLACES else 0)
    margin = step * (len(columns.placed) + 1)
    starts = [Fraction(start) for _, start in draft.grades if start is not None]
    met = set[str]()
    for state in _walk(columns.placed):
        score = card.base + sum(
            item.points[label]
            for item, label in zip(columns.placed, state, strict=True)
        )
        grade = [v for v, s in draft.grades if s is None or Fraction(s) <= score][-1]
        near = any(abs(score - start) <= margin for start in starts) and margin
        if grade not in met and not near:
            met.add(grade)
            yield "    - given:"
            for item, label in zip(columns.placed, state, strict=True):
                name = f"{item.dataset}.{item.column.name}"
                yield f"        {name}: {_quoted(item.cell(label))}"
            yield f"      expect: {{grade: {_quoted(grade)}}}"
    yield "    - {given: {}, insufficient_data: true}"


def _walk(placed: tuple[Placed, ...]) -> Iterator[tuple[str, ...]]:
    ladders = [
        sorted(item.points, key=lambda label, p=item.points: p[label])  # type: ignore[misc]
        for item in placed
    ]
    state = [ladder[0] for ladder in ladders]
    yield tuple(state)
    for at, ladder in enumerate(ladders):
        for label in ladder[1:]:
            state[at] = label
            yield tuple(state)


def decimal_text(number: Fraction) -> str:
    """Write a number to 9 decimals, half to even."""
    return write_decimal(Decimal(round(number / UNIT)).scaleb(-PLACES))


def _word(text: str) -> str:
    """Write a name or a party: quoted where it is none, to be refused as a whole."""
    return text if NAME.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
