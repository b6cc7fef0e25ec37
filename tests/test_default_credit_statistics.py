"""Statistics of 30,000 real clients, against DuckDB on the raw columns.

By education, which seven classes tell apart, the least of them with 14 clients: under a
floor of 20 it is suppressed.  Everything is real, and noise is drawn; what both nodes
drew is written down and taken off, then every figure is the raw one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import duckdb
import numpy as np
import pytest

from contracts.attributes import PublicAttributes
from contracts.dataset import Dataset
from contracts.subject import SubjectType
from node import aggregate_client
from node.aggregate_client import AggregateClient, Statistic
from node.author import Author
from node.clock import now_ms
from node.keys import BankKeys
from protocols import noise
from protocols.aggregate import UNIT, rounded
from protocols.slots import Ints
from tests.simulator import STATISTICS, World
from tests.statistics_town import CUSTODIAN

CLIENTS = Path(__file__).parent / "vectors/default_credit/clients.parquet"
SOME = "education IN (0, 4, 6) OR subject_id % 10 = 0"  # 3,170 of them
ALL = "true"
FLOOR = 20

ATTRIBUTES = f"""
apiVersion: safehouse/v1
kind: PublicAttributes
metadata: {{name: clients}}
spec:
  custodian: {CUSTODIAN}
  subject: opaque
  attributes:
    - name: education
      title: 学历
      classes: ["0", "1", "2", "3", "4", "5", "6"]
"""
DATASET = f"""
apiVersion: safehouse/v1
kind: Dataset
metadata: {{name: clients, version: 1}}
spec:
  custodian: {CUSTODIAN}
  unit: 征信中心
  category: 信贷
  cycle: yearly
  tier: T1
  subject: opaque
  columns:
    - {{name: limit_wan, integer: {{min: 0, max: 100}}}}
    - {{name: age, integer: {{min: 21, max: 79}}}}
    - {{name: defaulted, flag: {{}}}}
    - {{name: marriage, category: ["0", "1", "2", "3"]}}
"""
CONTRACT = f"""
apiVersion: safehouse/v1
kind: QueryContract
metadata: {{name: by-education, version: 1}}
spec:
  purpose: statistics
  subject: opaque
  author: jnrcb
  banks: [jnrcb]
  aggregate:
    dataset: clients
    by: [education]
    filters: [education]
    floor: {FLOOR}
    most_subjects: 30000
    numbers:
      - {{name: clients, count: true, epsilon: 0.1}}
      - {{name: defaults, count: defaulted, epsilon: 0.1}}
      - {{name: limit, sum: limit_wan, epsilon: 0.2}}
      - {{name: age, mean: age, epsilon: 0.2}}
      - {{name: marriage, histogram: marriage, epsilon: 0.1}}
"""


class Noise:
    """Writes down what both nodes draw, and what the bank takes the masks off."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.ours: list[int] = []
        self.theirs: list[int] = []
        self.units: list[Ints] = []
        draw, read = noise.Scale.draw, aggregate_client.bank_read

        def drawn(scale: noise.Scale, drbg: object, label: str) -> int:
            number = draw(scale, drbg, label)  # type: ignore[arg-type]
            (self.ours if label.startswith("group") else self.theirs).append(number)
            return number

        def taken(totals: Ints, masks: Ints) -> Ints:
            self.units.append(read(totals, masks))
            return self.units[-1]

        patch.setattr(noise.Scale, "draw", drawn)
        patch.setattr(aggregate_client, "bank_read", taken)

    def exact(self) -> list[list[int]]:
        """Take both noises off the last answer: sums by group and read."""
        units = self.units[-1]
        groups, reads = units.shape
        both = [np.array(d).reshape(reads, groups).T for d in (self.ours, self.theirs)]
        assert all((abs(side) > 0).any() for side in both)
        bare = units - both[0] - both[1]
        return [[rounded(int(unit)) for unit in row] for row in bare]


@contextmanager
def asked(
    folder: Path, patch: pytest.MonkeyPatch, some: str
) -> Iterator[tuple[Statistic, Noise]]:
    """Put clients into a fresh trust domain, and ask."""
    table = folder / "clients.parquet"
    duckdb.sql(f"SELECT * FROM '{CLIENTS}' WHERE {some}").write_parquet(str(table))
    with World(folder / "world", bases=STATISTICS) as world:
        with world.custodian(CUSTODIAN) as custodian:
            kind = SubjectType.OPAQUE
            custodian.put_register(kind, table, "subject_id", now_ms())
            attributes = PublicAttributes.from_yaml(ATTRIBUTES, "attributes.yaml")
            custodian.put_attributes(attributes, table, now_ms())
            dataset = Dataset.from_yaml(DATASET, "clients.yaml")
            custodian.register(dataset)
            custodian.push(dataset, table, "2005", now_ms())
        held = world.keys("jnrcb", BankKeys)
        with Author(world.config("jnrcb"), held, world.domain) as author:
            contract = author.submit(CONTRACT, "contract.yaml")
            with world.custodian(CUSTODIAN) as custodian:
                custodian.approve(contract.hash)
            author.activate(contract.hash)
        written = Noise(patch)
        with AggregateClient(world.config("jnrcb"), held, world.domain) as bank:
            yield bank.ask("by-education"), written


def oracle(some: str) -> dict[str, list[int]]:
    """Count the raw columns in SQL: by education, in the order of the reads."""
    rows = duckdb.sql(
        "SELECT education, count(*), sum(defaulted), sum(limit_wan), sum(age - 21),"
        " count(*), sum((marriage = 0)::INT), sum((marriage = 1)::INT),"
        " sum((marriage = 2)::INT), sum((marriage = 3)::INT)"
        f" FROM '{CLIENTS}' WHERE {some} GROUP BY education"
    ).fetchall()
    return {str(row[0]): [int(value) for value in row[1:]] for row in rows}


def check(statistic: Statistic, written: Noise, some: str) -> None:
    """Compare every group, figure by figure, with the raw columns."""
    raw = oracle(some)
    kept = {name for name, row in raw.items() if row[0] >= FLOOR}
    assert {group.labels[0] for group in statistic.groups} == kept
    assert {group.labels[0] for group in statistic.suppressed} == raw.keys() - kept
    exact = written.exact()
    for group, sums in zip(statistic.groups, exact, strict=True):
        assert sums == raw[group.labels[0]]
        assert group.subjects == raw[group.labels[0]][0]
    inside = total = 0
    for group, units in zip(statistic.groups, written.units[-1], strict=True):
        clients, defaults, limit, age, _, *marriage = raw[group.labels[0]]
        real = [clients, defaults, limit, Fraction(age, clients) + 21, *marriage]
        for figure, value in zip(group.figures, real, strict=True):
            if figure.value is None:  # as the noise has it, a mean of nobody
                assert (figure.number, rounded(int(units[4])) <= 0) == ("age", True)
            elif figure.margin is not None:
                inside += abs(figure.value - value) <= figure.margin
                total += 1
    assert inside / total > 0.7
    scale = statistic.contract.scales[0]
    assert (scale.sensitivity, scale.milliepsilon) == (UNIT + 1, 100)


@pytest.mark.parametrize(
    ("some", "clients"),
    [(SOME, 3_170), pytest.param(ALL, 30_000, marks=pytest.mark.slow)],
    ids=["3170", "30000"],
)
def test_every_figure_is_the_raw_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, some: str, clients: int
) -> None:
    """Education 0 has 14 clients and is suppressed; all others are exact."""
    with asked(tmp_path, monkeypatch, some) as (statistic, written):
        check(statistic, written, some)
    assert [(g.labels, g.subjects) for g in statistic.suppressed] == [(("0",), 14)]
    assert sum(group.subjects for group in statistic.groups) == clients - 14
