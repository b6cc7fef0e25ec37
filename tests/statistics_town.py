"""A town with towns: subjects, their public attributes, a dataset and a contract.

Through the real clients: a register, attributes and a table are put, a contract is
written, approved and activated.  `Town.exact` counts on the raw rows, with pandas'
ideas and none of its code.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from contracts.aggregate_compiled import Aggregate
from contracts.attributes import PublicAttributes
from contracts.dataset import Dataset
from contracts.subject import SubjectType, subject_ref
from node.aggregate_authority import AggregateAuthority
from node.aggregate_client import AggregateClient, Statistic
from node.aggregate_house import AggregateHouse
from node.author import Author
from node.clock import now_ms
from node.keys import BankKeys, CustodianKeys
from tests.simulator import World

CUSTODIAN = "credit-bureau"
TOWNS = ("安居镇", "唐口街道", "喻屯镇")
TRADES = ("农业", "制造业")
SIZES = ("大", "中", "小")

ATTRIBUTES = f"""
apiVersion: safehouse/v1
kind: PublicAttributes
metadata: {{name: enterprises}}
spec:
  custodian: {CUSTODIAN}
  subject: opaque
  attributes:
    - {{name: town, title: 乡镇, classes: [{", ".join(TOWNS)}]}}
    - {{name: trade, title: 行业, classes: [{", ".join(TRADES)}]}}
"""
DATASET = f"""
apiVersion: safehouse/v1
kind: Dataset
metadata: {{name: tax, version: 1}}
spec:
  custodian: {CUSTODIAN}
  unit: 税务局
  category: 纳税
  cycle: quarterly
  tier: T1
  subject: opaque
  columns:
    - {{name: paid, integer: {{min: 0, max: 500, scale: 10}}}}
    - {{name: profit, integer: {{min: -100, max: 100}}}}
    - {{name: grade_a, flag: {{}}}}
    - {{name: size, category: [{", ".join(SIZES)}]}}
"""
CONTRACT = """
apiVersion: safehouse/v1
kind: QueryContract
metadata: {name: tax-by-town, version: 1}
spec:
  purpose: statistics
  subject: opaque
  author: jnrcb
  banks: [jnrcb, lsbank]
  aggregate:
    dataset: tax
    by: [town]
    filters: [town, trade]
    floor: 10
    most_subjects: 2000
    numbers:
      - {name: taxpayers, count: true, epsilon: 0.1}
      - {name: grade-a, count: grade_a, epsilon: 0.1}
      - {name: paid, sum: paid, epsilon: 0.2}
      - {name: profit, sum: profit, epsilon: 0.2}
      - {name: average, mean: paid, epsilon: 0.2}
      - {name: sizes, histogram: size, epsilon: 0.1}
"""


@dataclass(frozen=True)
class Row:
    """One subject in clear."""

    name: str
    town: str
    trade: str
    paid: Fraction | None  # None: the dataset has no row of it
    profit: int
    grade_a: int
    size: str


def people(count: int = 90) -> list[Row]:
    """Make subjects: most of them with a row, a town with fewer of one trade."""
    dice = np.random.default_rng(9)
    rows = []
    for i in range(count):
        paid = Fraction(int(dice.integers(0, 5001)), 10) if i % 7 else None
        rows.append(
            Row(
                f"s-{i:04}",
                TOWNS[i % 3],
                TRADES[(i // 3) % 2],
                paid,
                int(dice.integers(-100, 101)),
                int(dice.integers(0, 2)),
                SIZES[int(dice.integers(0, 3))],
            )
        )
    return rows


def write(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Path:
    """Write a table."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    path.write_text(text.getvalue(), "utf-8")
    return path


@dataclass
class Town:
    """A running trust domain with everything put."""

    world: World
    folder: Path
    rows: list[Row]
    contract: Aggregate = field(init=False)
    versions: int = 9  # of the contract, made by tests

    def __post_init__(self) -> None:
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        ids = write(folder / "ids.csv", ("id",), [(row.name,) for row in self.rows])
        with self.world.custodian(CUSTODIAN) as custodian:
            custodian.put_register(SubjectType.OPAQUE, ids, "id", now_ms())
            self.put_attributes()
            custodian.register(Dataset.from_yaml(DATASET, "tax.yaml"))
        self.push(self.rows)
        self.contract = self.submit(CONTRACT)

    def put_attributes(self) -> None:
        """Put every subject's town and trade."""
        table = write(
            self.folder / "attributes.csv",
            ("subject_id", "town", "trade"),
            [(row.name, row.town, row.trade) for row in self.rows],
        )
        document = PublicAttributes.from_yaml(ATTRIBUTES, "attributes.yaml")
        with self.world.custodian(CUSTODIAN) as custodian:
            custodian.put_attributes(document, table, now_ms())

    def push(self, rows: Sequence[Row], vintage: str = "2026-01") -> None:
        """Push a version of the dataset."""
        table = write(
            self.folder / f"tax-{vintage}.csv",
            ("subject_id", "paid", "profit", "grade_a", "size"),
            [
                (r.name, f"{float(r.paid):g}", str(r.profit), str(r.grade_a), r.size)
                for r in rows
                if r.paid is not None
            ],
        )
        with self.world.custodian(CUSTODIAN) as custodian:
            dataset = Dataset.from_yaml(DATASET, "tax.yaml")
            custodian.push(dataset, table, vintage, now_ms())

    def submit(self, text: str) -> Aggregate:
        """Submit, approve and activate a contract."""
        held = self.world.keys("jnrcb", BankKeys)
        with Author(self.world.config("jnrcb"), held, self.world.domain) as author:
            contract = author.submit(text, "contract.yaml")
            with self.world.custodian(CUSTODIAN) as custodian:
                custodian.approve(contract.hash)
            author.activate(contract.hash)
        assert isinstance(contract, Aggregate)
        return contract

    def client(self, bank: str = "jnrcb") -> AggregateClient:
        """Open a bank's SDK."""
        world = self.world
        return AggregateClient(
            world.config(bank), world.keys(bank, BankKeys), world.domain
        )

    def number(self, name: str) -> int:
        """Return a subject's row in the map."""
        pepper = self.world.keys(CUSTODIAN, CustodianKeys).pepper
        with self.world.custodian(CUSTODIAN) as custodian:
            numbers = custodian.fetch_map(SubjectType.OPAQUE)
        return numbers[subject_ref(pepper, SubjectType.OPAQUE, name)]  # type: ignore[arg-type]

    @property
    def house(self) -> AggregateHouse:
        """The house's desk."""
        desk = self.world.house.aggregates
        assert isinstance(desk, AggregateHouse)
        return desk

    @property
    def authority(self) -> AggregateAuthority:
        """The authority's desk."""
        desk = self.world.authority.aggregates
        assert isinstance(desk, AggregateAuthority)
        return desk

    def exact(
        self,
        where: Mapping[str, Sequence[str]] | None = None,
        without: Sequence[str] = (),
        by: Sequence[str] = ("town",),
    ) -> dict[tuple[str, ...], dict[tuple[str, str], Fraction]]:
        """Count by hand: group -> (number, class) -> figure."""
        groups: dict[tuple[str, ...], list[Row]] = {}
        for row in self.rows:
            if row.name in without or any(
                getattr(row, name) not in labels
                for name, labels in (where or {}).items()
            ):
                continue
            labels = tuple(getattr(row, name) for name in by)
            groups.setdefault(labels, []).append(row)
        return {labels: count(members) for labels, members in groups.items()}


def count(members: Sequence[Row]) -> dict[tuple[str, str], Fraction]:
    """Count one group."""
    present = [row for row in members if row.paid is not None]
    paid = sum((row.paid or Fraction(0) for row in present), Fraction(0))
    figures = {
        ("taxpayers", ""): Fraction(len(present)),
        ("grade-a", ""): Fraction(sum(row.grade_a for row in present)),
        ("paid", ""): paid,
        ("profit", ""): Fraction(sum(row.profit for row in present)),
        ("average", ""): paid / len(present) if present else Fraction(0),
    }
    for size in SIZES:
        figures["sizes", size] = Fraction(sum(row.size == size for row in present))
    return figures


def told(
    statistic: Statistic,
) -> dict[tuple[str, ...], dict[tuple[str, str], Fraction]]:
    """Give what a bank read the same shape."""
    return {
        group.labels: {
            (figure.number, figure.label): figure.value
            for figure in group.figures
            if figure.value is not None
        }
        for group in statistic.groups
    }
