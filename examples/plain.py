"""A programme's plain side: rows, who may ask about whom, what is to be told.

Nothing here comes from the product: it is what outcomes are compared with.
"""

import csv
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

FEN: Final = 100  # of a yuan
WITHDRAWN: Final = "WITHDRAWN"
NO_CONSENT: Final = "NO_CONSENT"
PURPOSE: Final = "PURPOSE_MISMATCH"
YES: Final = "是"

Row: TypeAlias = Mapping[str, str]
Tables: TypeAlias = Mapping[str, Mapping[str, Row]]  # table, first column: a row
Worth: TypeAlias = Sequence[tuple[int, int]] | Mapping[str, int]


@dataclass(frozen=True)
class Told:
    """What a bank is told, or is to be told; nobody is told the score."""

    kind: str
    reason: str = ""
    fields: dict[str, str | int] = field(default_factory=dict)
    score: int = field(default=0, compare=False)


def rows(path: Path) -> list[dict[str, str]]:
    """Read a table."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def first_column(path: Path) -> str:
    """Read what names the subjects of a table."""
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file))[0]


def tables(folder: Path) -> Tables:
    """Read every table of a folder, by its first column."""
    return {
        path.stem: {next(iter(row.values())): row for row in rows(path)}
        for path in sorted(folder.glob("*.csv"))
    }


# Vetoes that the public list's category of grave offenders says: `Card.vetoes`.
DISCREDITED: Final = tuple(
    ("discredited", table, column, YES)
    for table, column in (
        ("dishonest-debtors", "失信被执行人"),
        ("dishonest-debtors", "法定代表人失信"),
        ("serious-offenders", "严重违法失信"),
        ("tax-offenders", "重大税收违法"),
    )
)


def worth(points: Worth, cell: str) -> int:
    """Look a cell up: a text, or a number by the least one of its class.

    The lowest class is open below.
    """
    if isinstance(points, Mapping):
        return points[cell]
    above = (value for least, value in reversed(points) if float(cell) >= least)
    return next(above, points[0][1])


@dataclass(frozen=True)
class Card:
    """A scorecard: what cells are worth, what rejects, what becomes of a score."""

    base: int
    points: Mapping[tuple[str, str], Worth]  # table, column
    vetoes: Sequence[tuple[str, str, str, str]]  # reason, table, column, text
    outcome: Callable[[int], dict[str, str | int]]

    def tell(self, tables: Tables, subject: str) -> Told:
        """Say what is to be told: no row of somewhere, a veto, or an outcome.

        Reasons of vetoes are told in the order in which they are first named.
        """
        named = {table for table, _ in self.points} | {veto[1] for veto in self.vetoes}
        if any(subject not in tables[table] for table in named):
            return Told("insufficient_data")
        found = {
            reason
            for reason, table, column, text in self.vetoes
            if tables[table][subject][column] == text
        }
        for reason, *_ in self.vetoes:
            if reason in found:
                return Told("vetoed", reason)
        score = self.base + sum(
            worth(points, tables[table][subject][column])
            for (table, column), points in self.points.items()
        )
        return Told("scored", "", self.outcome(score), score)


@dataclass(frozen=True)
class Given:
    """What a subject authorised."""

    consent: str
    grantees: Collection[str]  # banks, and classes of them as `class:<name>`
    purposes: Collection[str]
    withdrawn: bool = False


@dataclass(frozen=True)
class Grants:
    """Who consented to what; `classes` are banks by the name of their class."""

    given: Mapping[str, Given]  # by subject
    classes: Mapping[str, Collection[str]] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        found: Tables,
        *suffixes: str,
        classes: Mapping[str, Collection[str]] | None = None,
    ) -> "Grants":
        """Read `consents<suffix>` and what came after, `events<suffix>`."""
        given = {}
        for suffix in suffixes or ("",):
            gone = found[f"events{suffix}"]
            for name, row in found[f"consents{suffix}"].items():
                grantees, purposes = (
                    row[column].split(";") for column in ("grantees", "purposes")
                )
                given[row["subject_id"]] = Given(name, grantees, purposes, name in gone)
        return cls(given, classes or {})

    def pairs(self, subjects: Iterable[str]) -> list[tuple[str, str]]:
        """List every subject with its consent, or a name that no consent has."""
        return [
            (s, self.given[s].consent if s in self.given else "none") for s in subjects
        ]

    def refusal(self, bank: str, subject: str, purpose: str = "pre-approval") -> str:
        """Say why a bank may not ask about a subject, or nothing."""
        given = self.given.get(subject)
        its = [f"class:{name}" for name, ids in self.classes.items() if bank in ids]
        if given is None or not {bank, *its} & {*given.grantees}:
            return NO_CONSENT
        if purpose not in given.purposes:
            return PURPOSE
        return WITHDRAWN if given.withdrawn else ""


@dataclass
class Facts:
    """What came of it."""

    compared: int = 0
    mismatches: int = 0
    # bank, contract and reason of a denial: how often
    asked: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def compare(self, told: object, expected: object) -> None:
        """Count an outcome, and whether it is the one that plain Python says."""
        self.compared += 1
        self.mismatches += told != expected

    def hear(self, bank: str, contract: str, told: Told, expected: Told) -> None:
        """Compare what a bank is told, and count that it asked."""
        self.compare(told, expected)
        self.asked[bank, contract, told.reason if told.kind == "denied" else ""] += 1

    def hear_all(
        self,
        bank: str,
        contract: str,
        told: Mapping[str, Told],
        expected: Callable[[str, str, str], Told],
    ) -> Counter[str]:
        """Hear what a job told; count its kinds, and reasons of vetoes and denials."""
        for subject, each in told.items():
            self.hear(bank, contract, each, expected(bank, contract, subject))
        return Counter(each.reason or each.kind for each in told.values())
