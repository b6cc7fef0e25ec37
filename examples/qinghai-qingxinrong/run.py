"""The whole programme on a fresh trust domain: 青海「青信融」.

    python run.py                                      under a minute
    python run.py --firms 40 --keep qinghai

 0  a trust domain: nine departments, three banks, two of which passed the security
    assessment, a registrar, two auditors; house and authority as two processes with
    mTLS between all
 1  共享清单: what is shared, how often, by whom; 归集率 of each item: what departments
    signed against the register
 2  a score for all banks, one bank's own model, two statistics; departments sign
 3  the registrar imports the firms' consents
 4  数据安全屋查询: three banks at the counter; one has yet to pass the assessment
 5  专属风控模型: the bank's own model on all firms; another bank may not ask it
 6  评估: that bank passes, another fails: one is in from then on, one is out
 7  自主查询 and 异议: a firm reads who asked about it, and is left out of statistics
 8  statistics by region and by trade, without anybody's record
 9  an auditor exports and verifies both journals; products and departments in figures

Every outcome is compared with `oracle.py`: plain Python on the plain rows.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import make_data
import oracle
from make_data import PASTORAL, PURPOSE, REGION, REGIONS, TRADE, TRADES

from contracts.classes import Class
from contracts.dataset import Dataset
from contracts.subject import SubjectType
from examples import picture, plain, programme
from examples.plain import Grants, Tables, Told, rows
from examples.programme import ask, counts, say
from examples.quarterly import Quarterly
from examples.synthetic import write
from node import clock, quality
from node.aggregate_client import AggregateClient
from node.client import BankClient
from node.demo import Stage
from node.errors import NodeError
from node.historian import Historian
from node.journal_tables import JournalTables
from node.keys import AuditorKeys, BankKeys, RegistrarKeys
from node.objector import Objector

HERE: Final = Path(__file__).parent
IN_CHARGE: Final = "market-supervision"
AUTHOR: Final = "qhbank"
BANKS: Final = ("citybank", "qhbank", "ruralbank")
PASSES: Final = "citybank"  # the assessment, after a while
FAILS: Final = "ruralbank"  # the next one
SCORE, OWN = "qxr-score", "own-model"
STATISTICS: Final = {"region-statistics": REGION, "trade-statistics": TRADE}
CONTRACTS: Final = (SCORE, OWN, *STATISTICS)
CALLS: Final = 8  # of each bank at the counter, before an assessment and after it
CLASS: Final = oracle.ASSESSED.removeprefix("class:")
VINTAGE: Final = "2026-10"
LATE, SHORT = "power", "social-insurance"  # comes later; comes without some firms
FORGOTTEN: Final = 4  # one firm in so many
UNKNOWN: Final = "CONTRACT_UNKNOWN"
CYCLES: Final = {
    "daily": "每日",
    "weekly": "每周",
    "monthly": "每月",
    "quarterly": "每季",
    "yearly": "每年",
}


@dataclass
class Qinghai:
    """Everybody's plaintext; only this script has it in one place."""

    tables: Tables
    grants: Grants
    assessed: frozenset[str]

    @classmethod
    def read(cls, folder: Path) -> "Qinghai":
        """Read what `make_data` wrote."""
        tables = plain.tables(folder)
        return cls(tables, Grants.read(tables), frozenset(BANKS) - {PASSES})

    @property
    def ids(self) -> list[str]:
        """List the register."""
        return list(self.tables["firms"])

    def pairs(self) -> list[tuple[str, str]]:
        """List every firm with its consent, or a name that no consent has."""
        return self.grants.pairs(self.ids)

    def expected(self, bank: str, contract: str, subject: str) -> Told:
        """Say what a bank must be told, by who passed the assessment by now."""
        grants = Grants(self.grants.given, {CLASS: self.assessed})
        reason = grants.refusal(bank, subject, PURPOSE)
        if not reason and contract == OWN and bank != AUTHOR:
            reason = UNKNOWN
        if reason:
            return Told("denied", reason)
        return oracle.tell(self.tables, contract, subject)


@dataclass
class Facts(plain.Facts):
    """What came of it."""

    limits: dict[str, int] = field(default_factory=dict)  # of the own model, in fen
    # subject, bank: how often it was permitted to ask, and refused
    seen: Counter[tuple[str, str, bool]] = field(default_factory=Counter)


# -- 1 the list


@dataclass(frozen=True)
class Gathered:
    """How much of an item a department has shared."""

    dataset: Dataset
    due: int  # firms that the register says it is of
    rows: int  # that the department signed


def gathered(stage: Stage, qinghai: Qinghai) -> list[Gathered]:
    """Compare what the house holds with the register, item by item of the list."""
    at_node = programme.at_node(stage, IN_CHARGE)
    firms = qinghai.tables["firms"].values()
    herding = sum(row[TRADE] == TRADES[0] for row in firms)
    found = []
    for dataset in programme.documents(HERE / "datasets"):
        held = at_node.get(dataset.name)
        due = herding if dataset.name == PASTORAL else len(firms)
        found.append(Gathered(dataset, due, 0 if held is None else held.present))
    return found


def rate(items: Iterable[Gathered]) -> str:
    """Write the 归集率 of some items, rounded down: 100.0 % is all of them."""
    its = list(items)
    return quality.rate(sum(item.rows for item in its), sum(item.due for item in its))


def listing(items: Iterable[Gathered], out: Path) -> None:
    """Write the list as officials read it, with the rates."""
    lines = [
        (
            item.dataset.category,
            item.dataset.title,
            CYCLES[item.dataset.cycle.value],
            item.dataset.unit,
            item.due,
            item.rows,
            rate([item]),
        )
        for item in sorted(items, key=lambda i: (i.dataset.category, i.dataset.name))
    ]
    header = (
        "信息类别",
        "共享内容",
        "共享周期",
        "责任单位",
        "应归集",
        "已归集",
        "归集率",
    )
    write(out / "list.csv", header, lines)


def share(stage: Stage, qinghai: Qinghai, folder: Path, facts: Facts) -> None:
    """Push the items of the list, two of them late; say how much is gathered."""
    say("1  共享清单: departments share, each its items")
    register, document = folder / "firms.csv", HERE / "attributes/firms.yaml"
    programme.put_register(stage, IN_CHARGE, register, document)
    datasets = programme.documents(HERE / "datasets")
    short = folder.parent / "short.csv"
    table = rows(folder / f"{SHORT}.csv")
    kept = [row.values() for n, row in enumerate(table) if n % FORGOTTEN]
    write(short, [*table[0]], (list(row) for row in kept))
    first = [dataset for dataset in datasets if dataset.name != LATE]
    programme.push(
        stage, first, lambda n: short if n == SHORT else folder / f"{n}.csv", VINTAGE
    )
    before = gathered(stage, qinghai)
    expect(facts, before, qinghai, {LATE: 0, SHORT: len(kept)})
    say(f"   {len(before)} items of {len(by_department(before))} departments")
    for name, its in by_department(before).items():
        if (told := rate(its)) != "100.0 %":
            few = ", ".join(
                f"{i.dataset.name} {i.rows} of {i.due}" for i in short_of(its)
            )
            say(f"     {name}: {told} ({few})")
    again = [dataset for dataset in datasets if dataset.name in (LATE, SHORT)]
    programme.push(stage, again, lambda n: folder / f"{n}.csv", VINTAGE)
    after = gathered(stage, qinghai)
    expect(facts, after, qinghai, {})
    say(f"   归集率 {rate(before)} at first, {rate(after)} once the rest has come")
    for item in short_of(after):
        say(f"     {item.dataset.name}: {item.rows} of {item.due}")
    listing(after, folder.parent)


def by_department(items: Iterable[Gathered]) -> dict[str, list[Gathered]]:
    """Gather the items of each department."""
    found: dict[str, list[Gathered]] = {}
    for item in items:
        found.setdefault(item.dataset.custodian, []).append(item)
    return found


def short_of(items: Iterable[Gathered]) -> list[Gathered]:
    """List the items that are not all there."""
    return [item for item in items if item.rows != item.due]


def expect(
    facts: Facts, items: Iterable[Gathered], qinghai: Qinghai, but: Mapping[str, int]
) -> None:
    """Compare what the house holds with departments' tables, but for a few items."""
    for item in items:
        name = item.dataset.name
        facts.compare(item.rows, but.get(name, len(qinghai.tables[name])))


# -- 2 contracts


def contracts(stage: Stage) -> None:
    """Submit contracts, have every department sign them, activate them."""
    say(f"2  Contracts: {AUTHOR} submits, departments sign")
    for name in CONTRACTS:
        path = HERE / f"contracts/{name}.yaml"
        compiled, signed = programme.put_in_force(stage, AUTHOR, path)
        say(
            f"   {compiled.id} ({compiled.kind}): departments that signed {signed};"
            f" {compiled.millibits / 1000:.3f} bits a call"
        )


# -- 4 to 6 questions


def question(
    stage: Stage,
    qinghai: Qinghai,
    facts: Facts,
    asked: tuple[str, str],
    pairs: Iterable[tuple[str, str]],
) -> str:
    """Let a bank ask by a contract about some firms; count what it is told."""
    bank, contract = asked
    kinds: Counter[str] = Counter()
    with BankClient(*stage.party(bank, BankKeys)) as client:
        for subject, consent in pairs:
            told = ask(client, contract, subject, consent)
            facts.hear(bank, contract, told, qinghai.expected(bank, contract, subject))
            facts.seen[subject, bank, told.kind == "denied"] += 1
            kinds[told.reason or told.kind] += 1
        client.flush()
    return f"{bank} {contract}: {counts(kinds)}"


def queries(stage: Stage, qinghai: Qinghai, facts: Facts) -> None:
    """Let every bank ask about the same firms."""
    say(f"4  数据安全屋查询, {CALLS} firms each")
    for bank in BANKS:
        told = question(stage, qinghai, facts, (bank, SCORE), qinghai.pairs()[:CALLS])
        say(f"   {told}")


def own_model(stage: Stage, qinghai: Qinghai, facts: Facts, out: Path) -> None:
    """Run the bank's own model on all firms; another bank may not ask it."""
    say("5  专属风控模型")
    told = programme.job(stage, AUTHOR, OWN, qinghai.pairs())
    kinds = facts.hear_all(AUTHOR, OWN, told, qinghai.expected)
    for subject, each in told.items():
        facts.seen[subject, AUTHOR, each.kind == "denied"] += 1
        if each.kind == "scored":
            facts.limits[subject] = int(each.fields["limit"])
    say(f"   {AUTHOR} {OWN}, all firms in a job: {counts(kinds)}")
    say(
        "   " + question(stage, qinghai, facts, ("ruralbank", OWN), qinghai.pairs()[:2])
    )
    draw(qinghai, facts, out)


def draw(qinghai: Qinghai, facts: Facts, out: Path) -> None:
    """Join the bank's own list with public attributes: by region and trade."""
    firms = qinghai.tables["firms"]
    there = {row[REGION] for row in firms.values()}
    regions = [region for region in REGIONS if region in there]
    cells = picture.gather(
        regions,
        TRADES,
        lambda s: (firms[s][REGION], firms[s][TRADE]),
        {subject: limit for subject, limit in facts.limits.items() if limit},
    )
    title = "青信融 专属风控模型：可贷企业 Firms a bank's own model would lend to"
    svg = picture.draw(title, regions, TRADES, cells)
    (out / "lent.svg").write_text(svg, encoding="utf-8")
    header = ("region", "trade", "firms", "limits_yuan")
    write(out / "lent.csv", header, ((*key, *cell) for key, cell in cells.items()))


def assessment(stage: Stage, qinghai: Qinghai, facts: Facts) -> None:
    """Let one bank into the class of the assessed, and one out of it."""
    qinghai.assessed = frozenset(BANKS) - {FAILS}
    stage.regroup(members(qinghai))
    serial = stage.trust.serial
    say(f"6  评估: {PASSES} passes, {FAILS} fails; trust domain of serial {serial}")
    for bank in BANKS:
        pairs = qinghai.pairs()[CALLS : 2 * CALLS]
        say("   " + question(stage, qinghai, facts, (bank, SCORE), pairs))


def members(qinghai: Qinghai) -> tuple[Class, ...]:
    """Say who passed the assessment, as the trust domain does."""
    return (Class(CLASS, tuple(sorted(qinghai.assessed))),)


# -- 7 a firm's own rights


def rights(stage: Stage, qinghai: Qinghai, facts: Facts) -> str:
    """Let a firm read who asked about it, and object to statistics; return it."""
    firm = next(s for s in qinghai.ids if s in qinghai.tables["research"])
    with Historian(*stage.party("registrar", RegistrarKeys)) as historian:
        lines = historian.read(SubjectType.CN_USCC, firm)
    asked = Counter(
        (firm, line.party, line.decision == "denied")
        for line in lines
        if line.node == "house" and line.kind in ("call", "job") and line.party
    )
    own = Counter({key: n for key, n in facts.seen.items() if key[0] == firm})
    facts.compare(asked, own)
    said = ", ".join(
        f"{bank} {count} {'refused' if denied else 'permitted'}"
        for (_, bank, denied), count in sorted(asked.items())
    )
    say(f"7  自主查询: a firm reads that {said}")
    with Objector(*stage.party("registrar", RegistrarKeys)) as objector:
        objected = objector.object(SubjectType.CN_USCC, firm, clock.now_ms(), "o-1")
    nodes = " and ".join(sorted(objected.entries))
    say(f"   异议: it objects to statistics; {nodes} journalled it")
    return firm


# -- 8 statistics, 9 audit


def statistics(stage: Stage, qinghai: Qinghai, left_out: str) -> None:
    """Ask for firms and high-tech firms by region and trade; one is left out."""
    say("8  Statistics, each figure with the noise of both nodes")
    known = {s: row for s, row in qinghai.tables["research"].items() if s != left_out}
    for contract, column in STATISTICS.items():
        with AggregateClient(*stage.party(AUTHOR, BankKeys)) as bank:
            answer = bank.ask(contract)

        def true(label: str, column: str = column) -> tuple[int, int]:
            its = [s for s in known if qinghai.tables["firms"][s][column] == label]
            return len(its), sum(known[s]["高新技术企业"] == "是" for s in its)

        within = programme.within_margins(answer, true)
        say(f"   {contract}: {len(answer.groups)} groups; {within}")


def audit(stage: Stage, folder: Path, facts: Facts) -> None:
    """Export and verify; report products and departments from the journals."""
    say(f"9  Audit: {programme.audit(stage, folder, BANKS)}")
    _, _, trust = stage.party("auditor-a", AuditorKeys)
    with JournalTables.open(folder / "audit", trust) as tables:
        answer = tables.query(
            "SELECT DISTINCT json_extract(body, '$.left_out')::BIGINT FROM authority"
            " WHERE kind = 'aggregate.permit'"
        )
        if [*answer.rows] != [(1,)]:
            raise NodeError("the journal does not say that one firm was left out")
    say("   one firm was left out of every statistic")
    found = Quarterly.read(stage, folder / "audit")
    found.write(folder)
    facts.compare(found.asked, facts.asked)
    for contract in (SCORE, OWN):
        its: Counter[str] = Counter()
        for (bank, product, reason), count in found.asked.items():
            if product == contract:
                its[f"{bank} refused" if reason else f"{bank} answered"] += count
        say(f"   product {contract}: {counts(its)}")


# -- all of it


def run(folder: Path, options: argparse.Namespace) -> Facts:
    """Run everything in a folder."""
    data, facts = folder / "data", Facts()
    make_data.main(data, options.firms, options.seed)
    qinghai = Qinghai.read(data)
    parties, charges = HERE / "parties.csv", {SubjectType.CN_USCC: IN_CHARGE}
    classes = members(qinghai)
    with programme.trust_domain(
        parties, folder, options.key_bits, charges, classes
    ) as stage:
        share(stage, qinghai, data, facts)
        contracts(stage)
        done = programme.import_consents(stage, data, SubjectType.CN_USCC)
        say(f"3  {done.consents} consents, {done.events} withdrawn since")
        queries(stage, qinghai, facts)
        own_model(stage, qinghai, facts, folder)
        assessment(stage, qinghai, facts)
        left_out = rights(stage, qinghai, facts)
        statistics(stage, qinghai, left_out)
        audit(stage, folder, facts)
    return facts


if __name__ == "__main__":
    programme.main(__doc__, "qinghai", {"firms": 160}, run)
