"""Make up subjects of three places of Guangdong, and what departments know of them.

    python make_data.py data --liwan 150 --zhongkai 702 --zhaoqing 160 --seed 1

**Nobody in it exists** (`examples.synthetic`): identifiers have right check digits; a
householder's says a birth in the 1850s.  The same options make the same bytes.

Distributions.  `handbook.csv` gives every indicator its classes, and how many of a
hundred subjects are in each; `examples.handbook` says how cells are drawn, and cells of
one subject need not fit each other.  Beside those:

    vetoes      30 to 60 of 10,000 subjects for each flag, independent
    rows        a department has no row of 3 subjects in 1,000
    places      in turn: three trades for firms, in Liwan two; eight counties, or as
                many as then have ten households each
    review      the points of every firm of the zone with a score, as its rows say
    november    of 25 of 100 firms of Liwan all cells of `WATCHED` are drawn again, with
                another standing: `november-<dataset>.csv`
    consents    92 of 100 all banks (`GRANTED`), 4 one, 2 withdrawn since, 2 none
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from oracle import Oracle, handbook

from contracts.attributes import LEAST_CELL
from contracts.consent_csv import CONSENT_COLUMNS, EVENT_COLUMNS
from examples import plain
from examples.handbook import columns, table
from examples.synthetic import (
    ENTERPRISE,
    LIWAN,
    ZHAOQING,
    ZHONGKAI,
    command,
    consents,
    draw,
    resident_id,
    uscc,
    write,
)

ID = {"enterprises": "统一社会信用代码", "households": "身份证号"}
PLACE, TRADE, COUNTY = "区域", "行业", "县市区"
TRADES = ("制造业", "信息技术服务业", "批发和零售业")
COUNTIES = (  # as the codes of `ZHAOQING`
    *("端州区", "鼎湖区", "高要区", "广宁县", "怀集县", "封开县", "德庆县", "四会市"),
)
NAMES = {"liwan": "荔湾区", "zhongkai": "仲恺高新区", "zhaoqing": "肇庆市"}
GRANTED = {  # all banks, and one
    "liwan": ("gzbank;lwrcb", "gzbank"),
    "zhongkai": ("class:zone", "hzbank"),
    "zhaoqing": ("class:alliance", "zqrcb"),
}
PURPOSES = {
    "liwan": "pre-approval;risk-warning",
    "zhongkai": "interest-subsidy",
    "zhaoqing": "credit-rating",
}
CONTRACTS = {
    "liwan": ("liwan-portrait", "early-warning"),
    "zhongkai": ("innovation-points", "revenue-20m", "revenue-200m"),
    "zhaoqing": ("farm-stars",),
}
REVIEW = "innovation-review"
WATCHED = ("utilities", "insurance", "justice")  # have other rows in November
CHANGED = 25  # of a hundred
NO_ROW = 3  # of a thousand


def kind_of(place: str) -> str:
    """Say which register a place's subjects are in."""
    return "households" if place == "zhaoqing" else "enterprises"


def register(place: str, count: int) -> list[tuple[str, ...]]:
    """List a place's part of the base register with the public attributes."""
    if place == "zhaoqing":
        few = min(len(COUNTIES), max(1, count // LEAST_CELL))
        return [
            (resident_id(number, ZHAOQING[number % few]), COUNTIES[number % few])
            for number in range(count)
        ]
    first, division = (0, LIWAN) if place == "liwan" else (100_000, ZHONGKAI)
    trades = TRADES[1:] if place == "liwan" else TRADES
    return [
        (
            uscc(first + number, ENTERPRISE, division),
            NAMES[place],
            trades[number % len(trades)],
        )
        for number in range(count)
    ]


def make(folder: Path, place: str, ids: Sequence[str], seed: int) -> None:
    """Write consents of a place's subjects, and every table about them."""
    scope = ";".join(f"contract:{name}" for name in CONTRACTS[place])
    given, events = consents(
        ids, f"{seed} {place}", place[:5], scope, GRANTED[place], PURPOSES[place]
    )
    write(folder / f"consents-{place}.csv", CONSENT_COLUMNS, given)
    write(folder / f"events-{place}.csv", EVENT_COLUMNS, events)
    book = [row for row in handbook() if row["contract"] in CONTRACTS[place]]
    for dataset, its in columns(book).items():
        header = (ID[kind_of(place)], *table(dataset, its, ""))
        who = {subject: f"{seed} {subject}" for subject in ids}
        known = [s for s in ids if draw(who[s], f"{dataset} row", 1_000) >= NO_ROW]

        def drawn(
            named: dict[str, str],
            its: Iterable[plain.Row] = tuple(its),
            dataset: str = dataset,
            known: Iterable[str] = tuple(known),
        ) -> Iterable[Sequence[str]]:
            for subject in known:
                yield (subject, *table(dataset, its, named[subject]).values())

        write(folder / f"{dataset}.csv", header, drawn(who))
        if dataset in WATCHED:
            later = {s: november(s, name) for s, name in who.items()}
            write(folder / f"november-{dataset}.csv", header, drawn(later))


def november(subject: str, who: str) -> str:
    """Name how a firm's cells of November are drawn: most are as before."""
    return f"{who} later" if draw(subject, "november", 100) < CHANGED else who


def main(folder: Path, liwan: int, zhongkai: int, zhaoqing: int, seed: int) -> None:
    """Write all tables."""
    folder.mkdir(parents=True, exist_ok=True)
    counts = {"liwan": liwan, "zhongkai": zhongkai, "zhaoqing": zhaoqing}
    shown = {place: register(place, count) for place, count in counts.items()}
    firms = [*shown["liwan"], *shown["zhongkai"]]
    write(folder / "enterprises.csv", (ID["enterprises"], PLACE, TRADE), firms)
    write(folder / "households.csv", (ID["households"], COUNTY), shown["zhaoqing"])
    for place, rows in shown.items():
        make(folder, place, [row[0] for row in rows], seed)
    tables, judge = plain.tables(folder), Oracle("innovation-points")
    settled = [(row[0], judge.tell(tables, row[0])) for row in shown["zhongkai"]]
    review = [(s, str(told.score)) for s, told in settled if told.kind == "scored"]
    write(folder / f"{REVIEW}.csv", (ID["enterprises"], "核定积分"), review)


if __name__ == "__main__":
    command(__doc__, {"liwan": 150, "zhongkai": 702, "zhaoqing": 160}, main)
