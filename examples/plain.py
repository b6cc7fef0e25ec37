"""A programme's plain side: rows, who may ask about whom, what is to be told.

Nothing here comes from the product: it is what outcomes are compared with.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

FEN: Final = 100  # of a yuan
WITHDRAWN: Final = "WITHDRAWN"
NO_CONSENT: Final = "NO_CONSENT"

Row: TypeAlias = Mapping[str, str]
Tables: TypeAlias = Mapping[str, Mapping[str, Row]]  # table, first column: a row


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


def tables(folder: Path) -> Tables:
    """Read every table of a folder, by its first column."""
    return {
        path.stem: {next(iter(row.values())): row for row in rows(path)}
        for path in sorted(folder.glob("*.csv"))
    }


@dataclass(frozen=True)
class Grants:
    """Who consented to which banks, or classes of them."""

    given: Mapping[str, tuple[str, str]]  # subject: consent, banks or WITHDRAWN
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        found: Tables,
        *suffixes: str,
        classes: Mapping[str, tuple[str, ...]] | None = None,
    ) -> "Grants":
        """Read `consents<suffix>` and what came after, `events<suffix>`."""
        given = {}
        for suffix in suffixes or ("",):
            gone = found[f"events{suffix}"]
            for name, row in found[f"consents{suffix}"].items():
                banks = WITHDRAWN if name in gone else row["grantees"]
                given[row["subject_id"]] = (name, banks)
        return cls(given, classes or {})

    def pairs(self, subjects: Iterable[str]) -> list[tuple[str, str]]:
        """List every subject with its consent, or a name that no consent has."""
        return [(s, self.given.get(s, ("none", ""))[0]) for s in subjects]

    def refusal(self, bank: str, subject: str) -> str:
        """Say why a bank may not ask about a subject, or nothing."""
        _, banks = self.given.get(subject, ("", ""))
        if banks == WITHDRAWN:
            return WITHDRAWN
        named = banks.split(";")
        its = [f"class:{name}" for name, ids in self.classes.items() if bank in ids]
        return "" if {bank, *its} & {*named} else NO_CONSENT


@dataclass
class Facts:
    """What came of it."""

    compared: int = 0
    mismatches: int = 0

    def compare(self, told: object, expected: object) -> None:
        """Count an outcome, and whether it is the one that plain Python says."""
        self.compared += 1
        self.mismatches += told != expected
