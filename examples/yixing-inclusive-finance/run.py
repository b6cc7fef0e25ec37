"""The whole programme on a fresh trust domain: 宜兴 普惠金融试点.

    python run.py                                      under a minute
    python run.py --households 40 --firms 40 --keep yixing

 0  a trust domain: twelve departments; three banks are a class of pilot institutions,
    a fourth lender is not; a registrar, two auditors; house and authority as two
    processes with mTLS between all
 1  departments give slots, publish towns and trades, push 23 datasets
 2  a contract for each of the four powers 查询, 加工, 分析, 使用; one that rates firms
 3  the registrar's clerk turns forms, on line and on paper, into consents
 4  stars and pre-approved limits of all households, stars of all firms, as jobs
 5  the four powers at the counter: a bank of the class, and the lender outside it
 6  credit repair: firms ask, the credit centre pushes the record anew and answers,
    the bank asks again
 7  an auditor exports and verifies both journals; papers are held against them
 8  the report of the quarter, by bank and department, from the journals alone

Every outcome is compared with `oracle.py`: plain Python on the plain rows.
"""

import argparse
import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import make_data
import oracle
from make_data import FIRMS, HOUSEHOLDS, ID, PAPER, PENALTIES, SHOWN, TOWNS
from oracle import MARK, PILOT, POWERS, STARS

from contracts.classes import Class
from contracts.consent_csv import CONSENT_COLUMNS, EVENT_COLUMNS
from contracts.dataset import Dataset
from contracts.objection import Verdict
from contracts.subject import SubjectType
from examples import picture, plain, programme
from examples.plain import FEN, Grants, Tables, Told, rows
from examples.programme import ask, counts, look_up, say
from examples.quarterly import Department, Quarterly
from examples.synthetic import WITHDRAWN_AT, consent, write
from node import clock
from node.client import BankClient
from node.custodian import Custodian
from node.demo import Stage
from node.errors import NodeError
from node.journal_tables import JournalTables
from node.keys import AuditorKeys, BankKeys, CustodianKeys, RegistrarKeys
from node.objector import Objector

HERE: Final = Path(__file__).parent
TYPES: Final = {HOUSEHOLDS: SubjectType.CN_RESIDENT_ID, FIRMS: SubjectType.CN_USCC}
IN_CHARGE: Final = {HOUSEHOLDS: "data-bureau", FIRMS: "market-supervision"}
CLASS: Final = Class("pilot", oracle.MEMBERS)
GRANTEES: Final = {
    PILOT: f"class:{CLASS.id}",
    "示例农商银行": "ruralbank",
    "示例小额贷款公司": "microloan",
}
CONTRACTS: Final = {  # who submits it, and with which power it is asked
    "land-floor": ("ruralbank", "查询"),
    "household-stars": ("ruralbank", "加工"),
    "household-watch": ("ruralbank", "分析"),
    "household-loan": ("ruralbank", "使用"),
    "firm-stars": ("statebank", "加工"),
}
LENDER, RATER = "ruralbank", "statebank"
COUNTER: Final = ("citybank", "microloan")
CALLS: Final = 10  # households that each asks about, with all four powers
OCTOBER, NOVEMBER = "2026-10", "2026-11"


@dataclass
class Yixing:
    """Everybody's plaintext; only this script has it in one place."""

    tables: Tables
    grants: Grants

    @classmethod
    def read(cls, folder: Path) -> "Yixing":
        """Read what `make_data` wrote."""
        tables = plain.tables(folder)
        return cls(tables, oracle.grants(tables, TYPES))

    def expected(self, bank: str, contract: str, subject: str) -> Told:
        """Say what a bank must be told, denials included."""
        purpose = POWERS[CONTRACTS[contract][1]]
        if reason := self.grants.refusal(bank, subject, purpose):
            return Told("denied", reason)
        return oracle.tell(self.tables, contract, subject)


@dataclass
class Facts(plain.Facts):
    """What came of it."""

    told: dict[str, dict[str, Told]] = field(default_factory=dict)  # by contract
    pushes: Counter[str] = field(default_factory=Counter)  # by department


# -- 1 departments push


def push(stage: Stage, folder: Path, facts: Facts) -> None:
    """Have the departments put registers and attributes, and push their datasets."""
    say("1  Departments give slots, publish towns and trades, push encrypted datasets")
    for kind, custodian in IN_CHARGE.items():
        document = HERE / f"attributes/{kind}.yaml"
        path = folder / f"{kind}.csv"
        say(f"   {programme.put_register(stage, custodian, path, document)}")
    datasets = [d for kind in TYPES for d in make_data.datasets(kind)]
    made = programme.push(stage, datasets, lambda n: folder / f"{n}.csv", OCTOBER)
    departments = programme.by_department(datasets)
    facts.pushes.update(dataset.custodian for dataset in datasets)
    say(
        f"   {len(datasets)} datasets of {len(departments)} departments,"
        f" {made} ciphertexts"
    )


# -- 2 contracts


def contracts(stage: Stage) -> None:
    """Submit contracts, have every department sign them, activate them."""
    say("2  Contracts: a bank submits, departments sign")
    for name, (author, power) in CONTRACTS.items():
        path = HERE / f"contracts/{name}.yaml"
        compiled, signed = programme.put_in_force(stage, author, path)
        say(
            f"   {power} {compiled.id} ({compiled.purpose}): departments that signed"
            f" {signed}; {compiled.millibits / 1000:.3f} bits a call"
        )


# -- 3 forms


def clerk(folder: Path, kind: str) -> Counter[str]:
    """Turn filled forms into tables of consents and withdrawals; count the forms."""
    names = [name for name in CONTRACTS if name.startswith("firm") is (kind == FIRMS)]
    scope = ";".join(f"contract:{name}" for name in names)
    given, events = [], []
    forms = rows(folder / f"forms-{kind}.csv")
    for form in forms:
        name, sheet = form["单号"], folder / f"paper/{form['单号']}.txt"
        seen = form["方式"] == PAPER
        digest = hashlib.sha256(sheet.read_bytes()).hexdigest() if seen else ""
        banks = ";".join(GRANTEES[who] for who in form["被授权方"].split("、"))
        purposes = ";".join(POWERS[power] for power in POWERS if form[power] == MARK)
        given.append(consent(name, form["主体"], banks, purposes, scope, digest))
        if form["撤回"] == MARK:
            events.append((name, "withdraw", WITHDRAWN_AT, "本人撤回"))
    write(folder / f"consents-{kind}.csv", CONSENT_COLUMNS, given)
    write(folder / f"events-{kind}.csv", EVENT_COLUMNS, events)
    return Counter(form["方式"] for form in forms)


def consents(stage: Stage, folder: Path) -> None:
    """Import what subjects authorised."""
    say("3  Authorisations: forms on line and on paper, through the registrar")
    for kind, subject_type in TYPES.items():
        forms = clerk(folder, kind)
        done = programme.import_consents(stage, folder, subject_type, f"-{kind}")
        say(
            f"   {kind}: {done.consents} consents ({counts(forms)}),"
            f" {done.events} withdrawn since"
        )


# -- 4 ratings and limits


def batch(stage: Stage, yixing: Yixing, facts: Facts, bank: str, contract: str) -> None:
    """Ask about everybody by one contract, and compare every outcome."""
    kind = FIRMS if contract.startswith("firm") else HOUSEHOLDS
    pairs = yixing.grants.pairs(yixing.tables[kind])
    told = programme.job(stage, bank, contract, pairs)
    kinds = facts.hear_all(bank, contract, told, yixing.expected)
    facts.told[contract] = programme.scored(told)
    say(f"   {bank} {contract}: {counts(kinds)}")


def ratings(stage: Stage, yixing: Yixing, facts: Facts, out: Path) -> None:
    """Rate and pre-approve households, rate firms; draw what came of it."""
    say("4  Stars and pre-approved limits, as jobs")
    for bank, contract in (
        (LENDER, "household-stars"),
        (LENDER, "household-loan"),
        (RATER, "firm-stars"),
    ):
        batch(stage, yixing, facts, bank, contract)
    for contract in ("household-stars", "firm-stars"):
        stars = Counter(str(t.fields["stars"]) for t in facts.told[contract].values())
        say(f"   {contract}: " + ", ".join(f"{star} {stars[star]}" for star in STARS))
    limits = [int(t.fields["limit"]) for t in facts.told["household-loan"].values()]
    say(
        f"   pre-approved: {sum(limit > 0 for limit in limits)} households,"
        f" {sum(limits) // FEN:,} yuan"
    )
    draw(yixing, facts, out)


def draw(yixing: Yixing, facts: Facts, out: Path) -> None:
    """Join the lender's two lists with the public towns: by town and stars."""
    homes = {s: row[SHOWN[HOUSEHOLDS]] for s, row in yixing.tables[HOUSEHOLDS].items()}
    towns = [town for town in TOWNS if town in homes.values()]
    stars, loans = facts.told["household-stars"], facts.told["household-loan"]
    cells = picture.gather(
        towns,
        STARS,
        lambda s: (homes[s], str(stars[s].fields["stars"])),
        {s: int(loans[s].fields["limit"]) if s in loans else 0 for s in stars},
    )
    title = "宜兴 普惠金融：农户星级与预授信额度 Households by town and stars"
    svg = picture.draw(title, towns, STARS, cells)
    (out / "stars.svg").write_text(svg, encoding="utf-8")
    header = ("town", "stars", "households", "limits_yuan")
    write(out / "stars.csv", header, ((*key, *cell) for key, cell in cells.items()))


# -- 5 four powers


def powers(stage: Stage, yixing: Yixing, facts: Facts) -> None:
    """Let a bank of the class and a lender outside it ask with all four powers."""
    say(f"5  Four powers at the counter, {CALLS} households each")
    pairs = yixing.grants.pairs(yixing.tables[HOUSEHOLDS])
    for bank in COUNTER:
        with BankClient(*stage.party(bank, BankKeys)) as client:
            for contract, (_, power) in CONTRACTS.items():
                if contract == "firm-stars":
                    continue
                question = look_up if contract == "land-floor" else ask
                kinds: Counter[str] = Counter()
                for subject, name in pairs[:CALLS]:
                    told = question(client, contract, subject, name)
                    expected = yixing.expected(bank, contract, subject)
                    facts.hear(bank, contract, told, expected)
                    denied = told.kind == "denied"
                    kinds[told.reason if denied else "answered"] += 1
                say(f"   {bank} {power} {contract}: {counts(kinds)}")
            client.flush()


# -- 6 credit repair


def repair(stage: Stage, yixing: Yixing, folder: Path, facts: Facts) -> None:
    """Have firms ask for repair, the department answer, the bank ask again."""
    source = folder.parent / "november.csv"
    cleared = Yixing(oracle.cleared(yixing.tables), yixing.grants)
    table = cleared.tables["penalties"]
    header = list(next(iter(table.values())))
    write(source, header, (list(row.values()) for row in table.values()))
    (dataset,) = (d for d in make_data.datasets(FIRMS) if d.name == "penalties")
    repaired = list(yixing.tables["repaired"])
    with Objector(*stage.party("registrar", RegistrarKeys)) as desk:
        for number, subject in enumerate(repaired):
            now, name = clock.now_ms(), f"r-{number}"
            desk.repair(TYPES[FIRMS], subject, dataset.name, now, name)
    programme.push(stage, [dataset], lambda _: source, NOVEMBER)
    facts.pushes[dataset.custodian] += 1
    answer(stage, dataset, source, repaired)
    say(f"6  Credit repair: {dataset.custodian} corrects {len(repaired)} that asked")
    with BankClient(*stage.party(RATER, BankKeys)) as bank:
        for subject, name in yixing.grants.pairs(repaired):
            told = ask(bank, "firm-stars", subject, name)
            expected = cleared.expected(RATER, "firm-stars", subject)
            facts.hear(RATER, "firm-stars", told, expected)
            before = facts.told["firm-stars"].get(subject)
            was = before.fields["stars"] if before else "not told"
            now = told.fields.get("stars", told.reason or told.kind)
            count = yixing.tables["penalties"][subject][PENALTIES]
            say(f"   penalties {count} to 0: {was} before, {now} after")
        bank.flush()


def answer(
    stage: Stage, dataset: Dataset, table: Path, repaired: Collection[str]
) -> None:
    """Have the department answer every request, each of a row of its table."""
    with Custodian(*stage.party(dataset.custodian, CustodianKeys)) as desk:
        found = desk.repairs.find(dataset, table, ID[FIRMS])
        if {each.subject_id for each in found} != {*repaired}:
            raise NodeError("the requests are not of the firms that asked")
        for each in found:
            name, now = each.objection.objection_id, clock.now_ms()
            desk.repairs.answer(dataset, name, Verdict.CORRECTED, now)


# -- 7 audit


def archive(stage: Stage, folder: Path) -> None:
    """Hold every paper against the digest that a journal has of it."""
    _, _, trust = stage.party("auditor-a", AuditorKeys)
    with JournalTables.open(folder / "audit", trust) as tables:
        journalled = tables.query(
            "SELECT split_part(own, ',', 1), split_part(own, ',', 3) FROM (SELECT"
            " unnest(json_extract_string(batch, '$.consents[*]')) AS own FROM batches)"
        )
    digests = {str(name): str(digest) for name, digest in journalled.rows}
    papers = {p.stem: p.read_bytes() for p in (folder / "data/paper").glob("*.txt")}
    changed = dict(papers)
    first = min(changed)
    changed[first] = changed[first].replace("查询".encode(), "使用".encode())
    for held, expected in ((papers, []), (changed, [first])):
        if [name for name in sorted(held) if differs(digests, name, held)] != expected:
            raise NodeError("the papers are not those that the journal names")
    said = sum(bool(digest) for digest in digests.values())
    if said != len(papers):
        raise NodeError(f"the journal names {said} papers of {len(papers)}")
    say(
        f"   {said} papers are those that the journal names; one with a word changed"
        " is not"
    )


def differs(digests: Mapping[str, str], name: str, papers: Mapping[str, bytes]) -> bool:
    """Say whether a paper is another than the journal names."""
    return digests.get(name) != hashlib.sha256(papers[name]).hexdigest()


# -- 8 the quarter


def departments(facts: Facts) -> dict[str, Department]:
    """Say in plain Python what the report must say of every department."""
    datasets = [d for kind in TYPES for d in make_data.datasets(kind)]
    custodian = {dataset.name: dataset.custodian for dataset in datasets}
    named = Counter(custodian.values())
    reads = {
        contract: {custodian[table] for table in tables_of(contract)}
        for contract in CONTRACTS
    }
    return {
        name: Department(
            named[name],
            facts.pushes[name],
            sum(
                count
                for (_, contract, reason), count in facts.asked.items()
                if not reason and name in reads[contract]
            ),
        )
        for name in named
    }


def tables_of(contract: str) -> Sequence[str]:
    """List the tables that a contract reads."""
    if contract == "land-floor":
        return ["household-farm"]
    card = oracle.CARDS[contract]
    return [*(table for table, _ in card.points), *(veto[1] for veto in card.vetoes)]


def report(stage: Stage, folder: Path, facts: Facts) -> None:
    """Report by bank and department from the journals; compare with what was asked."""
    found = Quarterly.read(stage, folder / "audit")
    found.write(folder)
    facts.compare(found.asked, facts.asked)
    facts.compare(found.by_department, departments(facts))
    say("8  Report of the quarter, from the journals alone")
    for bank in sorted({bank for bank, _, _ in found.asked}):
        its: Counter[str] = Counter()
        for (asker, _, reason), count in found.asked.items():
            if asker == bank:
                its[reason or "answered"] += count
        say(f"   {bank}: {its.total()} questions, {counts(its)}")
    for name, each in sorted(found.by_department.items()):
        say(
            f"   {name}: {each.datasets} datasets, {each.pushes} pushes,"
            f" {each.answers} answers read its data"
        )


# -- all of it


def run(folder: Path, options: argparse.Namespace) -> Facts:
    """Run everything in a folder."""
    data, facts = folder / "data", Facts()
    make_data.main(data, options.households, options.firms, options.seed)
    yixing = Yixing.read(data)
    parties = HERE / "parties.csv"
    charges = {TYPES[kind]: party for kind, party in IN_CHARGE.items()}
    with programme.trust_domain(
        parties, folder, options.key_bits, charges, (CLASS,)
    ) as stage:
        push(stage, data, facts)
        contracts(stage)
        consents(stage, data)
        ratings(stage, yixing, facts, folder)
        powers(stage, yixing, facts)
        repair(stage, yixing, data, facts)
        say(f"7  Audit: {programme.audit(stage, folder, (*COUNTER, RATER))}")
        archive(stage, folder)
        report(stage, folder, facts)
    return facts


if __name__ == "__main__":
    programme.main(__doc__, "yixing", {"households": 260, "firms": 150}, run)
