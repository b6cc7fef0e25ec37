"""The whole programme on a fresh trust domain: 济宁 信用信息共享应用.

    python run.py                                      under a minute
    python run.py --enterprises 40 --keep jining

 0  a trust domain: eleven departments, three banks, a registrar, two auditors; house
    and authority as two processes with mTLS between all
 1  汇总、校核、去重: faults are found in a table as it comes; then all 37
    items are pushed
 2  数据对账: departments' tables against what the node holds, period by period
 3  jnrcb submits a score, two queries about one column, a statistic; departments sign
 4  the registrar imports the firms' consents
 5  按区域、行业批量推送: a job for each county for jnrcb, for each trade for lsbank
 6  接口调用: ryrcb asks at the counter, one firm at a time
 7  数据核验: jnrcb checks what firms say of their turnover 自愿填报
 8  statistics by county, without anybody's record
 9  an auditor exports and verifies both journals

Every outcome is compared with `oracle.py`: plain Python on the plain rows.
"""

import argparse
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import make_data
import oracle
from make_data import COUNTIES, COUNTY, ID, TRADE, TRADES

from contracts.subject import SubjectType
from examples import picture, plain, programme
from examples.plain import Grants, Tables, Told, rows
from examples.programme import counts, say
from examples.synthetic import uscc, write
from node import clock
from node.aggregate_client import AggregateClient
from node.client import BankClient
from node.custodian import Custodian
from node.demo import Stage
from node.errors import NodeError
from node.keys import BankKeys, CustodianKeys
from node.templates import template, templates

HERE: Final = Path(__file__).parent
REGISTRAR_OF_FIRMS: Final = "market-supervision"
AUTHOR: Final = "jnrcb"
BY_COUNTY, BY_TRADE, COUNTER = "jnrcb", "lsbank", "ryrcb"
CONTRACTS: Final = (
    *("sme-credit", "turnover-check", "turnover-floor", "high-tech-statistics"),
)
CALLS: Final = 10  # at the counter, and of each query about one column
OCTOBER, NOVEMBER = "2026-10", "2026-11"
CHECKED: Final = "tax-paid"  # comes with faults
LATE: Final = "social-insurance"  # is pushed twice
NEW, FORGOTTEN = 5, 2  # firms since November, and of them not pushed at first
STRANGER: Final = uscc(999_999)  # in nobody's register
OUTSIDE: Final = "OUTSIDE_FILTER"


def save(path: Path, table: list[dict[str, str]]) -> Path:
    """Write a table."""
    write(path, [*table[0]], (row.values() for row in table))
    return path


@dataclass
class Firms:
    """Everybody's plaintext; only this script has it in one place."""

    tables: Tables
    grants: Grants

    @classmethod
    def read(cls, folder: Path) -> "Firms":
        """Read what `make_data` wrote."""
        tables = plain.tables(folder)
        return cls(tables, Grants.read(tables))

    @property
    def ids(self) -> list[str]:
        """List the register."""
        return list(self.tables["enterprises"])

    def pairs(self) -> list[tuple[str, str]]:
        """List every firm with its consent, or a name that no consent has."""
        return self.grants.pairs(self.ids)

    def place(self, subject: str, attribute: str) -> str:
        """Return the county or the trade of a firm."""
        return self.tables["enterprises"][subject][attribute]


@dataclass
class Facts(plain.Facts):
    """What came of it."""

    limits: dict[str, dict[str, int]] = field(
        default_factory=dict
    )  # bank, subject: fen


# -- 1 departments push


def push(stage: Stage, folder: Path) -> None:
    """Put the register and its attributes, check a table, push all 37 items."""
    say("1  汇总、校核、去重: departments check their tables and push all items")
    firms, document = folder / "enterprises.csv", HERE / "attributes.yaml"
    told = programme.put_register(stage, REGISTRAR_OF_FIRMS, firms, document)
    say(f"   {told}")
    faulty(stage, folder)
    october = folder.parent / "october.csv"
    save(october, rows(folder / f"{LATE}.csv")[:-NEW])
    items = [item.dataset for item in templates()]
    ciphertexts = programme.push(
        stage,
        items,
        lambda name: october if name == LATE else folder / f"{name}.csv",
        OCTOBER,
    )
    categories = {item.category for item in items}
    departments = programme.by_department(items)
    say(
        f"   {len(categories)} categories, {len(items)} items of"
        f" {len(departments)} departments: {ciphertexts} ciphertexts"
    )


def faulty(stage: Stage, folder: Path) -> None:
    """Check a table as it comes: firms twice, a stranger, a cell that is no number."""
    dataset = template(CHECKED).dataset
    table = rows(folder / f"{CHECKED}.csv")
    bad = [dict(row) for row in (*table, *table[:2], table[4])]
    bad[-1][ID] = STRANGER
    bad[5]["上年度申报销售额"] = "约一百万"
    path = save(folder.parent / "as-it-comes.csv", bad)
    with Custodian(*stage.party(dataset.custodian, CustodianKeys)) as desk:
        report = desk.validate(dataset, path, column=ID)
    say(
        f"   {CHECKED} as it comes: {report.rows} rows, {report.good} good;"
        f" {report.duplicates} name a firm twice, {report.unknown} a firm that the"
        f" register does not know; {report.absent} firms have none"
    )
    for problem in report.problems[:4]:
        say(f"     row {problem.row} {problem.column}: {problem.message}")
    if (report.duplicates, report.unknown, report.bad_rows) != (4, 1, 6):
        raise NodeError("the report does not find the faults that were put in")


# -- 2 reconciliation


def reconcile(stage: Stage, tables: Mapping[str, tuple[str, Path]]) -> list[str]:
    """Compare departments' tables with what the node holds; return what differs.

    `tables` has the period and the newest table of each item.  What the node holds
    is what a department signed of it: the house's list, its signatures verified.
    """
    at_node = programme.at_node(stage, REGISTRAR_OF_FIRMS)
    found = []
    for name, (period, path) in tables.items():
        ours = len({row[ID] for row in rows(path)})
        held = at_node.get(name)
        theirs = (held.vintage or "none", held.present) if held else ("none", 0)
        if theirs != (period, ours):
            found.append(
                f"{name}: {period} {ours} firms at the department,"
                f" {theirs[0]} {theirs[1]} at the node"
            )
    return found


def reconciliation(stage: Stage, folder: Path) -> None:
    """Reconcile October; let November come, incomplete at first."""
    say("2  数据对账: departments' tables against what the node holds")
    tables = {
        item.dataset.name: (OCTOBER, folder / f"{item.dataset.name}.csv")
        for item in templates()
    }
    november = tables[LATE][1]
    tables[LATE] = (OCTOBER, folder.parent / "october.csv")
    told(stage, tables, OCTOBER, expected=0)
    tables[LATE] = (NOVEMBER, november)
    told(stage, tables, f"{NOVEMBER}, before {LATE} comes", expected=1)
    dataset = template(LATE).dataset
    short = save(folder.parent / "short.csv", rows(november)[:-FORGOTTEN])
    for table, when, expected in (
        (short, f"{LATE} pushed without its last {FORGOTTEN} firms", 1),
        (november, "pushed again", 0),
    ):
        with Custodian(*stage.party(dataset.custodian, CustodianKeys)) as desk:
            desk.push(dataset, table, NOVEMBER, clock.now_ms(), column=ID)
        told(stage, tables, f"{NOVEMBER}, {when}", expected=expected)


def told(
    stage: Stage, tables: Mapping[str, tuple[str, Path]], when: str, expected: int
) -> None:
    """Say what a reconciliation finds."""
    found = reconcile(stage, tables)
    say(f"   {when}: {len(tables) - len(found)} of {len(tables)} items agree")
    for line in found:
        say(f"     {line}")
    if len(found) != expected:
        raise NodeError(f"expected {expected} items that differ")


# -- 3 contracts, 4 consents


def put_in_force(stage: Stage, name: str) -> None:
    """Submit a contract, have every department sign it, activate it."""
    path = HERE / f"contracts/{name}.yaml"
    compiled, signed = programme.put_in_force(stage, AUTHOR, path)
    say(
        f"   {compiled.id} ({compiled.kind}): departments that signed {signed};"
        f" {compiled.millibits / 1000:.3f} bits a call"
    )


def consents(stage: Stage, folder: Path) -> None:
    """Import what firms authorised."""
    done = programme.import_consents(stage, folder, SubjectType.CN_USCC)
    say(f"4  {done.consents} consents, {done.events} withdrawn since")


# -- 5 push by region and industry


def batch(
    stage: Stage, firms: Firms, facts: Facts, bank: str, where: tuple[str, str, str]
) -> str:
    """Run one narrowed job, compare all of it, and say how many are pre-approved.

    `where` is the public attribute, its column in the register, and one class.
    """
    name, column, label = where
    results = programme.job(
        stage, bank, "sme-credit", firms.pairs(), where={name: [label]}
    )
    for subject, told in results.items():
        expected = oracle.tell(firms.tables, subject)
        if firms.place(subject, column) != label:
            expected = Told("denied", OUTSIDE)
        if reason := firms.grants.refusal(bank, subject):
            expected = Told("denied", reason)
        facts.compare(told, expected)
    scored = programme.scored(results)
    limits = {s: int(told.fields["limit"]) for s, told in scored.items()}
    facts.limits.setdefault(bank, {}).update(limits)
    pre_approved = sum(limit > 0 for limit in limits.values())
    return f"{label} {pre_approved} of {len(scored)}"


def batches(stage: Stage, firms: Firms, facts: Facts) -> None:
    """Run a job for each county, and one for each trade."""
    say("5  按区域、行业批量推送: pre-approved, of those with a score")
    for bank, name, column, classes in (
        (BY_COUNTY, "county", COUNTY, COUNTIES),
        (BY_TRADE, "trade", TRADE, TRADES),
    ):
        there = {firms.place(subject, column) for subject in firms.ids}
        lines = [
            batch(stage, firms, facts, bank, (name, column, label))
            for label in classes
            if label in there
        ]
        say(f"   {bank} by {name}, {len(lines)} jobs: {', '.join(lines)}")


def draw(firms: Firms, facts: Facts, out: Path) -> None:
    """Join jnrcb's lists with public attributes: by county and trade."""
    counties = [
        c for c in COUNTIES if any(firms.place(s, COUNTY) == c for s in firms.ids)
    ]
    columns = [f"{BY_COUNTY}|{trade}" for trade in TRADES]
    cells = picture.gather(
        counties,
        columns,
        lambda s: (firms.place(s, COUNTY), f"{BY_COUNTY}|{firms.place(s, TRADE)}"),
        {s: limit for s, limit in facts.limits[BY_COUNTY].items() if limit},
    )
    title = "按区域、行业批量推送 Pre-approved by bank jnrcb"
    svg = picture.draw(title, counties, columns, cells)
    (out / "pushed.svg").write_text(svg, encoding="utf-8")
    flat = [(c, t.partition("|")[2], *cells[c, t]) for c in counties for t in columns]
    header = ("county", "trade", "subjects", "limits_yuan")
    write(out / "pushed.csv", header, flat)


# -- 6 score, 7 verify


def counter(stage: Stage, firms: Firms, facts: Facts) -> None:
    """Let a third bank ask about firms one at a time."""
    kinds: Counter[str] = Counter()
    with BankClient(*stage.party(COUNTER, BankKeys)) as bank:
        for subject, consent in firms.pairs()[:CALLS]:
            expected = oracle.tell(firms.tables, subject)
            if reason := firms.grants.refusal(COUNTER, subject):
                expected = Told("denied", reason)
            told = programme.ask(bank, "sme-credit", subject, consent)
            facts.compare(told, expected)
            kinds[told.kind] += 1
        bank.flush()
    say(f"6  接口调用: {COUNTER} asked {CALLS} times: {counts(kinds)}")


def checks(stage: Stage, firms: Firms, facts: Facts) -> None:
    """Check declared turnovers, and whether they reach a floor."""
    matches: Counter[str] = Counter()
    floors: Counter[str] = Counter()
    declared = firms.tables["declared"]
    asked = [
        (subject, consent)
        for subject, consent in firms.pairs()
        if subject in declared and not firms.grants.refusal(AUTHOR, subject)
    ]
    with BankClient(*stage.party(AUTHOR, BankKeys)) as bank:
        for subject, consent in asked[:CALLS]:
            claim = declared[subject]["上年度申报销售额"]
            got = bank.verify("turnover-check", subject, claim, consent=consent)
            facts.compare(got.answer, oracle.check(firms.tables, subject, claim))
            matches[got.answer] += 1
            got = bank.range("turnover-floor", subject, consent=consent)
            facts.compare(got.answer, oracle.floor(firms.tables, subject))
            floors[got.answer] += 1
        bank.flush()
    say(f"7  数据核验: turnover as declared: {counts(matches)}")
    say(f"   turnover of 5,000,000 yuan: {counts(floors)}")


# -- 8 statistics, 9 audit


def statistics(stage: Stage, firms: Firms) -> None:
    """Ask for firms and high-tech firms by county; compare with the true counts."""
    with AggregateClient(*stage.party(AUTHOR, BankKeys)) as bank:
        answer = bank.ask("high-tech-statistics")
    known = firms.tables["research"]

    def true(county: str) -> tuple[int, int]:
        its = [s for s in known if firms.place(s, COUNTY) == county]
        high = [s for s in its if known[s]["高新技术企业"] == "是"]
        return len(its), len(high)

    within = programme.within_margins(answer, true)
    say(f"8  Statistics: {len(answer.groups)} counties; {within}")


# -- all of it


def run(folder: Path, options: argparse.Namespace) -> Facts:
    """Run everything in a folder."""
    data, facts = folder / "data", Facts()
    make_data.main(data, options.enterprises, options.seed)
    firms = Firms.read(data)
    parties, charges = HERE / "parties.csv", {SubjectType.CN_USCC: REGISTRAR_OF_FIRMS}
    with programme.trust_domain(parties, folder, options.key_bits, charges) as stage:
        push(stage, data)
        reconciliation(stage, data)
        say("3  Contracts: jnrcb submits, departments sign")
        for name in CONTRACTS:
            put_in_force(stage, name)
        consents(stage, data)
        batches(stage, firms, facts)
        draw(firms, facts, folder)
        counter(stage, firms, facts)
        checks(stage, firms, facts)
        statistics(stage, firms)
        say(f"9  Audit: {programme.audit(stage, folder, (COUNTER, AUTHOR))}")
    return facts


if __name__ == "__main__":
    programme.main(__doc__, "jining", {"enterprises": 220}, run)
