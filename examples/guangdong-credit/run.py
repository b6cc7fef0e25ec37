"""The whole programme on a fresh trust domain: 广东「信易贷」.

    python run.py                                      less than a minute
    python run.py --liwan 40 --zhongkai 60 --zhaoqing 40 --keep guangdong

 0  a trust domain: eight departments, twelve banks, a registrar, two auditors; house
    and authority as two processes with mTLS between all.  Classes of banks: the nine
    lenders of an alliance, and the twelve that lend in the zone
 1  departments give every subject a slot, publish attributes, push 16 datasets
 2  seven contracts; each department signs
 3  the registrar imports the subjects' consents, most of them to a class of banks
 4  荔湾: a portrait of 4 aspects and 23 dimensions; whose product suits whom
 5  荔湾: early warnings, before and after November's data
 6  仲恺: points of 18 + 22 indicators; rank and percentile from the noisy histogram
 7  仲恺: tiers of the interest subsidy, by revenue and points
 8  肇庆: stars of farm households; nine lenders are told the same, a tenth bank nothing
 9  an auditor exports and verifies both journals

Every outcome is compared with `oracle.py`: plain Python on the plain rows.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import make_data
import oracle
import rank
from make_data import COUNTIES, COUNTY, PLACE, REVIEW, TRADE, TRADES, WATCHED
from oracle import Oracle

from contracts.classes import Class
from contracts.subject import SubjectType
from examples import picture, plain, programme
from examples.plain import FEN, NO_CONSENT, Facts, Grants, Tables, Told
from examples.programme import counts, say
from examples.synthetic import write
from node.aggregate_client import AggregateClient, GroupFigures
from node.client import BankClient
from node.demo import Stage
from node.errors import NodeError
from node.keys import BankKeys

HERE: Final = Path(__file__).parent
TYPES: Final = {
    "enterprises": SubjectType.CN_USCC,
    "households": SubjectType.CN_RESIDENT_ID,
}
IN_CHARGE: Final = {"enterprises": "market-supervision", "households": "agriculture"}
PLACES: Final = ("liwan", "zhongkai", "zhaoqing")
ALLIANCE: Final = (
    *("dqrcb", "fkrcb", "gnrcb", "gyrcb", "hjrcb", "shrcb"),
    *("zqabc", "zqpsbc", "zqrcb"),
)
ZONE: Final = tuple(sorted((*ALLIANCE, "gzbank", "hzbank", "lwrcb")))
CLASSES: Final = {"alliance": ALLIANCE, "zone": ZONE}
AUTHORS: Final = {  # of contracts
    "liwan-portrait": "gzbank",
    "early-warning": "gzbank",
    "innovation-points": "hzbank",
    "innovation-histogram": "hzbank",
    "revenue-20m": "hzbank",
    "revenue-200m": "hzbank",
    "farm-stars": "zqrcb",
}
PURPOSES: Final = {  # of scores
    "liwan-portrait": "pre-approval",
    "early-warning": "risk-warning",
    "innovation-points": "interest-subsidy",
    "farm-stars": "credit-rating",
}
LIWAN_BANK, ZONE_BANK, FARM_BANK = "gzbank", "hzbank", "zqrcb"
OUTSIDER: Final = "gzbank"  # is not in the alliance
OCTOBER, NOVEMBER = "2026-10", "2026-11"
LEVELS: Final = ("绿", "黄", "橙", "红")
APPLYING: Final = 6  # for a subsidy
SHOWN: Final = 3  # ranks that are printed


@dataclass
class People:
    """Everybody's plaintext; only this script has it in one place."""

    folder: Path
    tables: Tables
    grants: Grants

    @classmethod
    def read(cls, folder: Path) -> "People":
        """Read what `make_data` wrote."""
        tables = plain.tables(folder)
        suffixes = [f"-{place}" for place in PLACES]
        return cls(folder, tables, Grants.read(tables, *suffixes, classes=CLASSES))

    def later(self) -> "People":
        """Have November's rows where there are any."""
        newer = {name: self.tables[f"november-{name}"] for name in WATCHED}
        return People(self.folder, {**self.tables, **newer}, self.grants)

    def ids(self, place: str) -> list[str]:
        """List a place's part of the register."""
        if place == "zhaoqing":
            return [*self.tables["households"]]
        firms, name = self.tables["enterprises"], make_data.NAMES[place]
        return [subject for subject, row in firms.items() if row[PLACE] == name]

    def column(self, subject: str, attribute: str) -> str:
        """Return a public attribute of a subject."""
        kind = "households" if attribute == COUNTY else "enterprises"
        return self.tables[kind][subject][attribute]

    def expected(self, bank: str, subject: str, judge: Oracle) -> Told:
        """Say what a bank must be told, denials included."""
        purpose = PURPOSES[judge.contract]
        if reason := self.grants.refusal(bank, subject, purpose):
            return Told("denied", reason)
        return judge.tell(self.tables, subject)


# -- 1 departments push


def push(stage: Stage, people: People) -> None:
    """Put registers and attributes, push every dataset."""
    say("1  Departments give slots, publish attributes, push encrypted datasets")
    folder = people.folder
    for kind, custodian in IN_CHARGE.items():
        told = programme.put_register(
            stage,
            custodian,
            folder / f"{kind}.csv",
            HERE / f"attributes/{kind}.yaml",
        )
        say(f"   {told}")
    datasets = programme.documents(HERE / "datasets", folder)
    made = programme.push(stage, datasets, lambda n: folder / f"{n}.csv", OCTOBER)
    departments = programme.by_department(datasets)
    say(
        f"   {len(datasets)} datasets of {len(departments)} departments,"
        f" {made} ciphertexts"
    )


# -- 2 contracts, 3 consents


def contracts(stage: Stage) -> None:
    """Submit every contract, have the departments sign it, activate it."""
    say("2  Contracts: banks submit, departments sign")
    for name, author in AUTHORS.items():
        path = HERE / f"contracts/{name}.yaml"
        compiled, signed = programme.put_in_force(stage, author, path)
        say(
            f"   {compiled.id} ({compiled.kind}): departments that signed {signed};"
            f" {compiled.millibits / 1000:.3f} bits a call"
        )


def consents(stage: Stage, folder: Path) -> None:
    """Import what subjects authorised."""
    say("3  Consents, through the registrar")
    for place in PLACES:
        kind = TYPES[make_data.kind_of(place)]
        done = programme.import_consents(stage, folder, kind, f"-{place}")
        to = make_data.GRANTED[place][0]
        say(
            f"   {make_data.NAMES[place]}: {done.consents} consents, most of them to"
            f" {to}; {done.events} withdrawn since"
        )


# -- 4 to 8 jobs


def listed(
    stage: Stage,
    people: People,
    facts: Facts,
    bank: str,
    contract: str,
    ids: Iterable[str],
) -> dict[str, Told]:
    """Ask about a list in one job and compare every outcome; return the scored."""
    judge = Oracle(contract)
    results = programme.job(stage, bank, contract, people.grants.pairs(ids))
    for subject, told in results.items():
        facts.compare(told, people.expected(bank, subject, judge))
    kinds = Counter(told.kind for told in results.values())
    say(f"   {bank} {contract}: {counts(kinds)}")
    return results


def draw(
    path: Path,
    title: str,
    axes: tuple[Sequence[str], Sequence[str]],
    place: Callable[[str], tuple[str, str]],
    limits: Mapping[str, int],
) -> None:
    """Draw how many subjects are in each row and column, and the sum of limits."""
    rows, columns = axes
    cells = picture.gather(rows, columns, place, limits)
    path.write_text(picture.draw(title, rows, columns, cells), encoding="utf-8")


def limits_of(scored: Mapping[str, Told]) -> dict[str, int]:
    """Read the limits, in fen."""
    return {subject: int(told.fields["limit"]) for subject, told in scored.items()}


def portraits(stage: Stage, people: People, facts: Facts) -> dict[str, int]:
    """Draw portraits of Liwan's firms; return the borrowers' limits in fen."""
    say("4  荔湾: portraits of 4 aspects, 23 dimensions; banks matched to firms")
    results = listed(
        stage, people, facts, LIWAN_BANK, "liwan-portrait", people.ids("liwan")
    )
    scored = programme.scored(results)
    matched = Counter(str(told.fields["match"]) for told in scored.values())
    said = ", ".join(f"{bank} {matched[bank]}" for bank in ("gzbank", "lwrcb", "-"))
    say(f"   whose product suits: {said}")
    return {s: limit for s, limit in limits_of(scored).items() if limit}


def warnings(
    stage: Stage, people: People, facts: Facts, borrowers: Mapping[str, int], out: Path
) -> None:
    """Ask for borrowers' risk in October and again in November; warn of the worse."""
    say("5  荔湾: early warnings of borrowers, October and November")
    told = []
    for month, known in ((OCTOBER, people), (NOVEMBER, people.later())):
        if month == NOVEMBER:
            documents = programme.documents(HERE / "datasets", people.folder)
            newer = [item for item in documents if item.name in WATCHED]
            programme.push(
                stage,
                newer,
                lambda n: people.folder / f"november-{n}.csv",
                NOVEMBER,
            )
            say(f"   departments push {NOVEMBER}: {', '.join(WATCHED)}")
        results = listed(stage, known, facts, LIWAN_BANK, "early-warning", borrowers)
        told.append({subject: level(each) for subject, each in results.items()})
    before, after = told
    worse = {s for s in before if LEVELS.index(after[s]) > LEVELS.index(before[s])}
    moves = Counter((before[s], after[s]) for s in sorted(worse))
    flat = [(*move, count) for move, count in sorted(moves.items())]
    write(out / "warnings.csv", ("october", "november", "borrowers"), flat)
    for name, levels in ((OCTOBER, before), (NOVEMBER, after)):
        many = Counter(levels.values())
        say(f"   {name}: " + ", ".join(f"{each} {many[each]}" for each in LEVELS))
    said = ", ".join(f"{old} to {new} {count}" for old, new, count in flat)
    say(f"   warnings: {len(worse)} of {len(before)} borrowers: {said or 'none'}")
    draw(
        out / "warnings.svg",
        "荔湾 风险预警 2026-11: borrowers and their limits, by trade and level",
        (TRADES[1:], LEVELS),
        lambda s: (people.column(s, TRADE), after[s]),
        borrowers,
    )


def level(told: Told) -> str:
    """Read a level: a veto, or a department's row that is gone, is red by itself."""
    if told.kind == "denied":
        raise NodeError(f"a borrower's consent is gone: {told.reason}")
    return str(told.fields["level"]) if told.kind == "scored" else LEVELS[-1]


def points(stage: Stage, people: People, facts: Facts, out: Path) -> dict[str, Told]:
    """Score the zone's firms; find ranks in the published histogram."""
    say("6  仲恺: points of 18 + 22 indicators, rank and percentile")
    firms = people.ids("zhongkai")
    results = listed(stage, people, facts, ZONE_BANK, "innovation-points", firms)
    scored = programme.scored(results)
    open_to = {
        title: sum(int(told.fields[name]) for told in scored.values())
        for name, (_, title) in oracle.PRODUCTS.items()
    }
    said = ", ".join(f"{title} {count}" for title, count in open_to.items())
    say(f"   open to firms, 8 products: {said}")
    bands = [str(told.fields["points"]) for told in scored.values()]
    rows = [str(each) for each in sorted(map(int, {*bands}), reverse=True)]
    draw(
        out / "points.svg",
        "仲恺高新区 企业创新积分: firms and their limits, by band and trade",
        (rows, TRADES),
        lambda s: (str(scored[s].fields["points"]), people.column(s, TRADE)),
        limits_of(scored),
    )
    with AggregateClient(*stage.party(ZONE_BANK, BankKeys)) as bank:
        groups = bank.ask("innovation-histogram").groups
    ranks(people, scored, groups)
    return scored


def ranks(
    people: People, scored: Mapping[str, Told], groups: Sequence[GroupFigures]
) -> None:
    """Say where firms stand in the zone and in their trade, and how often it is so."""
    by_trade = {group.labels[0]: list(histogram(group)) for group in groups}
    whole = [band for bands in by_trade.values() for band in bands]
    settled = {s: int(row["核定积分"]) for s, row in people.tables[REVIEW].items()}
    held: Counter[str] = Counter()
    best = sorted(scored, key=lambda s: (-int(scored[s].fields["points"]), s))
    for subject in best:
        told, trade = (
            int(scored[subject].fields["points"]),
            people.column(subject, TRADE),
        )
        ahead = [s for s, score in settled.items() if score > settled[subject]]
        beside = [s for s in ahead if people.column(s, TRADE) == trade]
        held["zone"] += rank.place(whole, told).holds(len(ahead) + 1)
        held["trade"] += rank.place(by_trade[trade], told).holds(len(beside) + 1)
    for subject in best[:: max(1, len(best) // SHOWN)][:SHOWN]:
        told, trade = (
            int(scored[subject].fields["points"]),
            people.column(subject, TRADE),
        )
        say(f"   {told} points: {rank.place(whole, told)}")
        say(f"     in {trade}: {rank.place(by_trade[trade], told)}")
    say(
        f"   true ranks within what is told: {held['zone']} of {len(best)} in the zone,"
        f" {held['trade']} in their trades"
    )


def histogram(group: GroupFigures) -> Iterable[rank.Band]:
    """Read a trade's histogram; the lowest class is told as 0."""
    for figure in group.figures:
        if figure.value is None or figure.margin is None:
            raise NodeError("a band without a figure")
        least, _, _ = figure.label.strip("[)").partition(",")
        start = 0 if least == "-inf" else int(least)
        yield rank.Band(start, int(figure.value), figure.margin)


# -- 7 subsidies


def subsidies(
    stage: Stage, people: People, facts: Facts, scored: Mapping[str, Told]
) -> None:
    """Ask for the revenue tiers of firms that borrow, and work out the subsidies."""
    best = [s for s in scored if int(scored[s].fields["limit"])][:APPLYING]
    paid: Counter[int] = Counter()
    with BankClient(*stage.party(ZONE_BANK, BankKeys)) as bank:
        for subject, consent in people.grants.pairs(best):
            yuan = oracle.revenue(people.tables, subject)
            most = 0
            for name, (below, part) in zip(
                ("revenue-20m", "revenue-200m"), oracle.REVENUES, strict=True
            ):
                told = bank.range(name, subject, consent=consent).answer
                true = "at_least" if yuan is not None and yuan >= below else "below"
                facts.compare(told, true)
                if told == "below":
                    most = part
                    break
            enough = int(scored[subject].fields["points"]) >= oracle.FULL_FROM
            share = most if enough else most // 2
            score = Oracle("innovation-points").tell(people.tables, subject).score
            facts.compare(share, oracle.subsidy(yuan or 0, score))
            paid[share] += 1
        bank.flush()
    said = ", ".join(f"{s / 100:.2f} % {count}" for s, count in sorted(paid.items()))
    say(f"7  仲恺: interest subsidy of {len(best)} firms: {said}")


# -- 8 the alliance


def alliance(stage: Stage, people: People, facts: Facts, out: Path) -> None:
    """Give farm households stars; let nine lenders and another bank ask about one."""
    say("8  肇庆: stars of farm households, an alliance of nine lenders")
    ids, judge = people.ids("zhaoqing"), Oracle("farm-stars")
    results = listed(stage, people, facts, FARM_BANK, judge.contract, ids)
    scored = programme.scored(results)
    stars = [star for _, star, _ in reversed(oracle.GRADES["farm-stars"])]
    many = Counter(str(told.fields["stars"]) for told in scored.values())
    say("   " + ", ".join(f"{star} {many[star]}" for star in stars))
    counties = [c for c in COUNTIES if any(people.column(s, COUNTY) == c for s in ids)]
    draw(
        out / "stars.svg",
        "肇庆 农户星级: households and their limits, by county and stars",
        (counties, stars),
        lambda s: (people.column(s, COUNTY), str(scored[s].fields["stars"])),
        limits_of(scored),
    )
    purpose = PURPOSES[judge.contract]
    shared = [s for s in scored if not people.grants.refusal(ALLIANCE[0], s, purpose)]
    ((asked, consent),) = people.grants.pairs(shared[:1])
    heard = [scored[asked]]  # by the bank that rated everybody
    for bank in (*(lender for lender in ALLIANCE if lender != FARM_BANK), OUTSIDER):
        with BankClient(*stage.party(bank, BankKeys)) as client:
            heard.append(programme.ask(client, judge.contract, asked, consent))
            client.flush()
        facts.compare(heard[-1], people.expected(bank, asked, judge))
    one = heard[0]
    same = sum(told == one for told in heard)
    say(
        f"   one consent to class:alliance, {same} of {len(ALLIANCE)} lenders are told"
        f" {one.fields['stars']}, {int(one.fields['limit']) // FEN:,} yuan"
    )
    say(f"   {OUTSIDER}, not of the alliance: {heard[-1].kind} {heard[-1].reason}")
    if heard[-1] != Told("denied", NO_CONSENT):
        raise NodeError(f"{OUTSIDER} was told something")


# -- all of it


def run(folder: Path, options: argparse.Namespace) -> Facts:
    """Run everything in a folder."""
    data, facts = folder / "data", Facts()
    sizes = (options.liwan, options.zhongkai, options.zhaoqing)
    make_data.main(data, *sizes, options.seed)
    people = People.read(data)
    parties = HERE / "parties.csv"
    charges = {TYPES[kind]: party for kind, party in IN_CHARGE.items()}
    classes = tuple(Class(name, banks) for name, banks in CLASSES.items())
    with programme.trust_domain(
        parties, folder, options.key_bits, charges, classes
    ) as stage:
        push(stage, people)
        contracts(stage)
        consents(stage, data)
        borrowers = portraits(stage, people, facts)
        warnings(stage, people, facts, borrowers, folder)
        scored = points(stage, people, facts, folder)
        subsidies(stage, people, facts, scored)
        alliance(stage, people, facts, folder)
        say(f"9  Audit: {programme.audit(stage, folder, (ZONE_BANK, *ALLIANCE))}")
    return facts


if __name__ == "__main__":
    sizes = {"liwan": 150, "zhongkai": 702, "zhaoqing": 160}
    programme.main(__doc__, "guangdong", sizes, run)
