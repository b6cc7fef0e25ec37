"""The whole programme on a fresh trust domain: 任城区「整区授信」.

    python run.py                                      under two minutes
    python run.py --residents 60 --enterprises 60 --keep rencheng

 0  a trust domain: eleven departments, three banks, a registrar, two auditors; house
    and authority as two processes with mTLS between all
 1  departments give every subject a slot, publish towns and trades, push 17 datasets
 2  jnrcb submits four scoring contracts and one of statistics; each department signs
 3  the registrar imports the subjects' consents
 4  two banks score the whole district: white lists 白名单预授信 as jobs
 5  a third bank asks at the counter, one resident at a time
 6  statistics by town, without anybody's record
 7  jnrcb's loans are repaid or not; market supervision pushes what the bank reports,
    and version 2 of the contract turns a default into a veto
 8  an auditor exports and verifies both journals, and replays a sample with another

Every outcome is compared with `oracle.py`: plain Python on the plain rows.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import make_data
from make_data import ENTERPRISES, ID, RESIDENTS, TOWN
from oracle import PRODUCTS, Oracle

from contracts.dataset import Dataset
from contracts.subject import SubjectType
from examples import picture, plain, programme
from examples.plain import FEN, Grants, Tables, Told
from examples.programme import ask, counts, say
from examples.synthetic import TOWNS, write
from node import clock
from node.aggregate_client import AggregateClient
from node.auditor import Auditor
from node.author import Author
from node.client import BankClient
from node.demo import Stage
from node.errors import NodeError
from node.keys import AuditorKeys, BankKeys
from node.replays import find, replayed
from node.transcript import sample

HERE: Final = Path(__file__).parent
AUTHOR: Final = "jnrcb"
LISTING: Final = ("jnrcb", "lsbank")  # banks with white lists
COUNTER: Final = "ryrcb"  # the bank that asks one by one
COUNTER_CALLS: Final = 20
DEFAULT_EACH: Final = 12  # one loan in so many, by code
VINTAGE: Final = "2026-10"
REPLAYED: Final = 2
TYPES: Final = {RESIDENTS: SubjectType.CN_RESIDENT_ID, ENTERPRISES: SubjectType.CN_USCC}
IN_CHARGE: Final = {RESIDENTS: "data-bureau", ENTERPRISES: "market-supervision"}
ASKED_OF: Final = {
    "resident-credit": RESIDENTS,
    "farm-credit": RESIDENTS,
    "enterprise-credit": ENTERPRISES,
    "scitech-credit": ENTERPRISES,
}
LISTS: Final = (
    *(("jnrcb", contract) for contract in ASKED_OF),
    *(("lsbank", contract) for contract in ("resident-credit", "enterprise-credit")),
)
FEEDBACK: Final = ("financial", "loan-defaults", "银行报送违约", "是")


@dataclass
class District:
    """Everybody's plaintext; only this script has it in one place."""

    folder: Path
    tables: Tables
    grants: Grants
    towns: Mapping[str, str]
    ids: Mapping[str, list[str]]  # by kind

    @classmethod
    def read(cls, folder: Path) -> "District":
        """Read what `make_data` wrote."""
        tables = plain.tables(folder)
        ids = {kind: list(tables[kind]) for kind in TYPES}
        grants = Grants.read(tables, *(f"-{kind}" for kind in TYPES))
        towns = {s: tables[kind][s][TOWN] for kind in TYPES for s in ids[kind]}
        return cls(folder, tables, grants, towns, ids)

    def pairs(self, kind: str) -> list[tuple[str, str]]:
        """List every subject with its consent, or a name that no consent has."""
        return self.grants.pairs(self.ids[kind])

    def expected(self, bank: str, subject: str, oracle: Oracle) -> Told:
        """Say what a bank must be told, denials included."""
        if reason := self.grants.refusal(bank, subject):
            return Told("denied", reason)
        return oracle.tell(self.tables, subject)


@dataclass
class Facts(plain.Facts):
    """What came of it."""

    # by bank and contract, subjects with a score; a white list is those with a limit
    scored: dict[tuple[str, str], dict[str, Told]] = field(default_factory=dict)

    def white(self, bank: str, contract: str) -> dict[str, int]:
        """Return a white list: the limit of each subject, in yuan."""
        told = self.scored[bank, contract].items()
        yuan = {subject: int(each.fields["limit"]) // FEN for subject, each in told}
        return {subject: limit for subject, limit in yuan.items() if limit}


# -- 1 departments push


def push(stage: Stage, folder: Path) -> None:
    """Have the departments put registers and attributes, and push their datasets."""
    say("1  Departments give slots, publish towns and trades, push encrypted datasets")
    for kind, custodian in IN_CHARGE.items():
        document = HERE / f"attributes/{kind}.yaml"
        path = folder / f"{kind}.csv"
        told = programme.put_register(stage, custodian, path, document)
        say(f"   {told}")
    datasets = programme.documents(HERE / "datasets", folder)
    ciphertexts = push_of(stage, datasets, folder)
    departments = programme.by_department(datasets)
    say(
        f"   {len(datasets)} datasets of {len(departments)} departments,"
        f" {ciphertexts} ciphertexts"
    )


def push_of(stage: Stage, datasets: Iterable[Dataset], folder: Path) -> int:
    """Push datasets; return how many ciphertexts they are."""
    return programme.push(stage, datasets, lambda n: folder / f"{n}.csv", VINTAGE)


# -- 2 contracts


def put_in_force(stage: Stage, name: str) -> bytes:
    """Submit a contract, have every department sign it, activate it."""
    path = HERE / f"contracts/{name}.yaml"
    compiled, signed = programme.put_in_force(stage, AUTHOR, path)
    say(
        f"   {compiled.id} version {compiled.version}: departments that signed"
        f" {signed}; {compiled.millibits / 1000:.3f} bits a call"
    )
    return compiled.hash


# -- 3 consents


def consents(stage: Stage, folder: Path) -> None:
    """Import what subjects authorised."""
    for kind, subject_type in TYPES.items():
        done = programme.import_consents(stage, folder, subject_type, f"-{kind}")
        say(f"   {kind}: {done.consents} consents, {done.events} withdrawn since")


# -- 4 white lists


def white_list(
    stage: Stage, district: District, bank: str, oracle: Oracle, facts: Facts
) -> None:
    """Score everybody for one bank in one job, and compare every outcome."""
    kind = ASKED_OF[oracle.contract]
    began = clock.monotonic_ms()
    results = programme.job(stage, bank, oracle.contract, district.pairs(kind))
    seconds = (clock.monotonic_ms() - began) / 1000
    for subject, told in results.items():
        facts.compare(told, district.expected(bank, subject, oracle))
    facts.scored[bank, oracle.contract] = programme.scored(results)
    kinds = Counter(each.kind for each in results.values())
    say(
        f"   {bank} {oracle.contract}: {len(facts.white(bank, oracle.contract))} of"
        f" {len(results)} pre-approved ({counts(kinds)}) in {seconds:.1f} s"
    )


def tables_of(district: District, facts: Facts, out: Path) -> None:
    """Join the lists with their public attributes: by town and bank, and by product."""
    towns = [town for town in TOWNS if town in set(district.towns.values())]
    cells: dict[tuple[str, str], tuple[int, int]] = {}
    named = []
    for bank in LISTING:
        for contract, title in (
            ("resident-credit", "居民"),
            ("enterprise-credit", "企业"),
        ):
            column = f"{bank}|{title} {contract}"
            named.append(column)
            white = facts.white(bank, contract)
            for town in towns:
                yuan = [y for s, y in white.items() if district.towns[s] == town]
                cells[town, column] = (len(yuan), sum(yuan))
    flat = [
        (town, *column.split("|"), *cells[town, column])
        for town in towns
        for column in named
    ]
    header = ("town", "bank", "list", "subjects", "limits_yuan")
    write(out / "whitelist.csv", header, flat)
    title = "任城区「整区授信」白名单 White list by town and bank"
    svg = picture.draw(title, towns, named, cells)
    (out / "whitelist.svg").write_text(svg, encoding="utf-8")
    open_to = [
        (product, contract, sum(int(t.fields[product]) for t in told.values()))
        for contract, told in ((c, facts.scored[AUTHOR, c]) for c in ASKED_OF)
        for product in PRODUCTS[contract]
    ]
    write(out / "products.csv", ("product", "contract", "subjects"), open_to)
    say("   by town and bank (whitelist.csv, whitelist.svg), the first towns:")
    for town in towns[:3]:
        told = "; ".join(
            f"{c.replace('|', ' ')} {cells[town, c][0]}, {cells[town, c][1]:,} yuan"
            for c in named[:2]
        )
        say(f"     {town}: {told}")
    say(
        "   open to subjects of jnrcb, 16 products: "
        + ", ".join(f"{product} {count}" for product, _, count in open_to)
    )


# -- 5 at the counter


def counter(stage: Stage, district: District, facts: Facts) -> None:
    """Let a third bank ask about residents one at a time."""
    oracle = Oracle("resident-credit")
    spent = []
    with BankClient(*stage.party(COUNTER, BankKeys)) as bank:
        contract = bank.contract(oracle.contract)
        for subject, consent in district.pairs(RESIDENTS)[:COUNTER_CALLS]:
            began = clock.monotonic_us()
            told = ask(bank, contract, subject, consent)
            spent.append((clock.monotonic_us() - began) / 1000)
            facts.compare(told, district.expected(COUNTER, subject, oracle))
        bank.flush()
    middle = sorted(spent)[len(spent) // 2]
    say(f"5  Counter: {COUNTER} asked {len(spent)} times, {middle:.0f} ms each (p50)")


# -- 6 statistics


def statistics(stage: Stage, district: District) -> None:
    """Ask for firms and level A taxpayers by town; compare with the true counts."""
    with AggregateClient(*stage.party(AUTHOR, BankKeys)) as bank:
        answer = bank.ask("district-statistics")
    known = district.tables["enterprise-tax"]

    def true(town: str) -> tuple[int, int]:
        firms = [s for s in known if district.towns[s] == town]
        level_a = [s for s in firms if known[s]["纳税信用级别"] == "A"]
        return len(firms), len(level_a)

    within = programme.within_margins(answer, true)
    say(
        f"6  Statistics: {len(answer.groups)} towns, {len(answer.suppressed)} too small"
        f" to be told; {within}"
    )


# -- 7 feedback


def feedback(stage: Stage, district: District, facts: Facts, replaced: bytes) -> None:
    """Report defaults to market supervision; make them a veto; score again.

    `replaced` is version 1 of the contract, which nobody can ask from then on.
    """
    folder = district.folder
    lent = facts.white(AUTHOR, "enterprise-credit")
    bad = set(sorted(lent)[::DEFAULT_EACH])
    write(folder / "reported-jnrcb.csv", (ID[ENTERPRISES],), sorted((s,) for s in bad))
    # What the department does with the bank's file: it knows its own register.
    register = district.ids[ENTERPRISES]
    merged = [(s, "是" if s in bad else "否") for s in register]
    write(folder / "loan-defaults.csv", (ID[ENTERPRISES], FEEDBACK[2]), merged)
    say(f"7  Feedback: {len(bad)} of {len(lent)} loans of jnrcb defaulted")
    found = programme.documents(HERE / "datasets", folder)
    push_of(stage, [each for each in found if each.name == FEEDBACK[1]], folder)
    put_in_force(stage, "enterprise-credit-2")
    with Author(*stage.party(AUTHOR, BankKeys)) as author:
        author.retire(replaced)
    again = District.read(folder)
    white_list(stage, again, AUTHOR, Oracle("enterprise-credit", [FEEDBACK]), facts)
    left = bad & set(facts.white(AUTHOR, "enterprise-credit"))
    if left:
        raise NodeError(f"{len(left)} defaulters are still on the white list")
    say(f"   none of the {len(bad)} is on the new white list")
    ask_again(stage, again, bad, facts)


def ask_again(
    stage: Stage, district: District, bad: Iterable[str], facts: Facts
) -> None:
    """Let the third bank ask about a defaulter who consented to it, if there is one."""
    allowed = [s for s in sorted(bad) if not district.grants.refusal(COUNTER, s)]
    if not allowed:
        say(f"   {COUNTER} may ask about none of them")
        return
    ((asked, consent),) = district.grants.pairs(allowed[:1])
    oracle = Oracle("enterprise-credit", [FEEDBACK])
    with BankClient(*stage.party(COUNTER, BankKeys)) as bank:
        told = ask(bank, oracle.contract, asked, consent)
        bank.flush()
    facts.compare(told, district.expected(COUNTER, asked, oracle))
    say(f"   {COUNTER} asks about one of them, and is told: {told.kind} {told.reason}")


# -- 8 audit


def audit(stage: Stage, folder: Path) -> None:
    """Export both journals, verify them, replay a sample with two auditors."""
    say(f"8  Audit: {programme.audit(stage, folder, [COUNTER])}")
    export = folder / "audit"
    with (
        Auditor(*stage.party("auditor-a", AuditorKeys)) as first,
        Auditor(*stage.party("auditor-b", AuditorKeys)) as second,
    ):
        chosen = sample(export, stage.trust, REPLAYED, b"rencheng")
        for name in chosen:
            cases = find(export, stage.trust, name)
            shares = [auditor.seed_share(cases[0]) for auditor in (first, second)]
            for again in replayed(first, stage.trust, cases, shares):
                if not again.identical:
                    raise NodeError(str(again))
    say(f"   {len(chosen)} calls and messages of jobs computed again: identical")


# -- all of it


def run(folder: Path, options: argparse.Namespace) -> Facts:
    """Run everything in a folder."""
    data, facts = folder / "data", Facts()
    make_data.main(data, options.residents, options.enterprises, options.seed)
    district = District.read(data)
    parties = HERE / "parties.csv"
    charges = {TYPES[kind]: party for kind, party in IN_CHARGE.items()}
    with programme.trust_domain(parties, folder, options.key_bits, charges) as stage:
        push(stage, data)
        say("2  Contracts: jnrcb submits, departments sign")
        names = (*ASKED_OF, "district-statistics")
        hashes = {name: put_in_force(stage, name) for name in names}
        say("3  Consents, through the registrar")
        consents(stage, data)
        say("4  White lists of the whole district")
        for bank, contract in LISTS:
            white_list(stage, district, bank, Oracle(contract), facts)
        tables_of(district, facts, folder)
        counter(stage, district, facts)
        statistics(stage, district)
        feedback(stage, district, facts, hashes["enterprise-credit"])
        audit(stage, folder)
    return facts


if __name__ == "__main__":
    sizes = {"residents": 300, "enterprises": 300}
    programme.main(__doc__, "rencheng", sizes, run)
