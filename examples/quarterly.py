"""A programme's report of a quarter, from the journals that an auditor exported.

Two tables by DuckDB (`node.journal_tables`): how often each bank asked by each
contract, and what it was told for an answer; what each department pushed, and how many
answers read its data.  Questions about one subject and the entries of jobs count alike;
statistics and intersections are not in it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from examples.synthetic import write
from node.demo import Stage
from node.journal_tables import JournalTables
from node.keys import AuditorKeys

_CONTRACTS: Final = """
    SELECT json_extract_string(body, '$.hash') AS contract, compiled ->> '$.id' AS name,
      list_distinct(json_extract_string(compiled, '$.datasets[*].custodian'))
        AS custodians
    FROM (SELECT body, json_extract_string(body, '$.compiled')::JSON AS compiled
      FROM house WHERE kind = 'contract.submit')"""
_ASKED: Final = """
    SELECT time, bank, contract, 1 AS count, coalesce(
      reason, CASE authority WHEN 'permit' THEN '' ELSE 'UNFINISHED' END) AS reason
    FROM calls
    UNION ALL
    SELECT submitted, bank, contract, released, '' FROM jobs
    UNION ALL
    SELECT submitted, bank, contract, 1, item ->> '$[1]'
    FROM (SELECT call, unnest(json_extract(
        json_extract_string(body, '$.denials.payload')::JSON, '$.items[*]')) AS item
      FROM journal WHERE kind = 'job.deny') JOIN jobs ON job = call"""
_BANKS: Final = f"""
    WITH contracts AS ({_CONTRACTS}), asked AS ({_ASKED})
    SELECT year(time) || 'Q' || quarter(time) AS quarter, bank, name, reason,
      sum(count)::BIGINT
    FROM asked JOIN contracts USING(contract)
    GROUP BY ALL HAVING sum(count) > 0 ORDER BY ALL"""  # noqa: S608  constants
_DEPARTMENTS: Final = f"""
    WITH contracts AS ({_CONTRACTS}), asked AS ({_ASKED}),
    answers AS (
      SELECT year(time) || 'Q' || quarter(time) AS quarter, custodian,
        sum(count)::BIGINT AS answers
      FROM (SELECT time, count, reason, unnest(custodians) AS custodian
        FROM asked JOIN contracts USING(contract))
      WHERE reason = '' GROUP BY ALL),
    pushes AS (
      SELECT year(time) || 'Q' || quarter(time) AS quarter, actor AS custodian,
        count(DISTINCT json_extract_string(body, '$.dataset')) AS datasets,
        count(*) AS pushes
      FROM house WHERE kind = 'data.push' GROUP BY ALL)
    SELECT quarter, custodian, coalesce(datasets, 0), coalesce(pushes, 0),
      coalesce(answers, 0)
    FROM pushes FULL JOIN answers USING(quarter, custodian)
    ORDER BY ALL"""  # noqa: S608  constants


@dataclass(frozen=True)
class Department:
    """What a department did and what it was good for."""

    datasets: int
    pushes: int
    answers: int  # that read its data


@dataclass(frozen=True)
class Quarterly:
    """Both tables; a quarter first, as in `2026Q4`."""

    banks: list[tuple[str, str, str, str, int]]  # bank, contract, reason, count
    departments: list[tuple[str, str, int, int, int]]  # as `Department`

    @classmethod
    def read(cls, stage: Stage, export: Path) -> "Quarterly":
        """Ask the journals of an export."""
        _, _, trust = stage.party("auditor-a", AuditorKeys)
        with JournalTables.open(export, trust) as tables:
            banks, departments = tables.query(_BANKS), tables.query(_DEPARTMENTS)
        return cls([*banks.rows], [*departments.rows])  # type: ignore[list-item]

    @property
    def asked(self) -> Counter[tuple[str, str, str]]:
        """Count by bank, contract and reason, over all quarters."""
        found: Counter[tuple[str, str, str]] = Counter()
        for _, bank, contract, reason, count in self.banks:
            found[bank, contract, reason] += count
        return found

    @property
    def by_department(self) -> Mapping[str, Department]:
        """Add up by department; where there are two quarters, the most datasets."""
        found: dict[str, Department] = {}
        for _, name, datasets, pushes, answers in self.departments:
            before = found.get(name, Department(0, 0, 0))
            found[name] = Department(
                max(before.datasets, datasets),
                before.pushes + pushes,
                before.answers + answers,
            )
        return found

    def write(self, folder: Path) -> None:
        """Write both tables."""
        header = ("quarter", "bank", "contract", "denied", "questions")
        write(folder / "quarterly-banks.csv", header, self.banks)
        header = ("quarter", "department", "datasets", "pushes", "answers")
        write(folder / "quarterly-departments.csv", header, self.departments)
