"""Make up residents and enterprises of Rencheng, and what departments know of them.

    python make_data.py data --residents 300 --enterprises 300 --seed 1

**Nobody in it exists** (`examples.synthetic`): identifiers have right check digits; a
resident's says a birth in the 1850s, so age stands in a column of its own.  The same
options make the same bytes.

Distributions.  `handbook.csv` gives every indicator its classes, and how many of a
hundred subjects are in each; `examples.handbook` says how cells are drawn, and cells of
one subject need not fit each other.  Beside those:

    vetoes      8 of 10,000 subjects for each flag, independent: 24 of 1,000 have one
    rows        a department has no row of 3 subjects in 1,000
    farm        who lives off farming, and 10 of 100 of all others
    innovation  25 of 100 enterprises
    towns       the fifteen of Rencheng in turn, or as many as then have ten subjects;
                in each the two trades in turn
    kinds       enterprises 70, sole traders 20, cooperatives 10 of 100
    consents    92 of 100 all three banks, 4 jnrcb alone, 2 withdrawn since, 2 none
"""

from collections.abc import Iterator
from pathlib import Path

from oracle import handbook

from contracts.attributes import LEAST_CELL
from contracts.consent_csv import CONSENT_COLUMNS, EVENT_COLUMNS
from examples.handbook import columns, table
from examples.synthetic import (
    COOPERATIVE,
    ENTERPRISE,
    JINING,
    TOWNS,
    TRADER,
    command,
    consents,
    draw,
    place,
    resident_id,
    uscc,
    write,
)

RESIDENTS, ENTERPRISES = "residents", "enterprises"
ID = {RESIDENTS: "身份证号", ENTERPRISES: "统一社会信用代码"}
TOWN, TRADE = "乡镇街道", "行业"
TRADES = ("制造业", "批发和零售业")
KINDS, KIND_PARTS = (ENTERPRISE, TRADER, COOPERATIVE), (70, 20, 10)
SCOPE = {
    RESIDENTS: "contract:resident-credit;contract:farm-credit",
    ENTERPRISES: "contract:enterprise-credit;contract:scitech-credit",
}
FARMING = "务农"
INNOVATIVE, FARMERS = 25, 10  # of a hundred
NO_ROW = 3  # of a thousand


def kind_of(dataset: str) -> str:
    """Say whom a dataset is about."""
    firms = dataset.startswith("enterprise-") or dataset == "innovation"
    return ENTERPRISES if firms else RESIDENTS


def identifier(kind: str, number: int) -> str:
    """Make the identifier of a subject."""
    if kind == RESIDENTS:
        return resident_id(number, JINING[place(number, "born", (60, *[4] * 10))])
    return uscc(number, KINDS[place(number, "kind", KIND_PARTS)])


def has_row(dataset: str, who: str, made: dict[str, dict[str, str]]) -> bool:
    """Say whether the department has a row of a subject."""
    if dataset == "innovation" and draw(who, "innovative", 100) >= INNOVATIVE:
        return False
    if dataset == "farm" and made["resident-employment"]["就业状态"] != FARMING:
        return draw(who, "farms", 100) < FARMERS
    return draw(who, f"{dataset} row", 1_000) >= NO_ROW


def register(kind: str, count: int) -> Iterator[tuple[str, ...]]:
    """List the base register with the public attributes."""
    towns = TOWNS[: max(1, count // LEAST_CELL)]
    for number in range(count):
        town = towns[number % len(towns)]
        trade = TRADES[number // len(towns) % len(TRADES)]
        shown = (town,) if kind == RESIDENTS else (town, trade)
        yield (identifier(kind, number), *shown)


def make(folder: Path, kind: str, count: int, seed: int) -> None:
    """Write every table about one kind of subject."""
    rows = list(register(kind, count))
    ids = [row[0] for row in rows]
    shown = (TOWN,) if kind == RESIDENTS else (TOWN, TRADE)
    write(folder / f"{kind}.csv", (ID[kind], *shown), rows)
    given, events = consents(ids, f"{seed} {kind}", kind[0], SCOPE[kind])
    write(folder / f"consents-{kind}.csv", CONSENT_COLUMNS, given)
    write(folder / f"events-{kind}.csv", EVENT_COLUMNS, events)
    drawn = columns(row for row in handbook() if kind_of(row["dataset"]) == kind)
    made: list[dict[str, dict[str, str]]] = []
    for number in range(count):
        who = f"{seed} {kind} {number}"
        made.append({name: table(name, its, who) for name, its in drawn.items()})
    for dataset in drawn:
        names = list(made[0][dataset])
        known = (
            (subject, *cells[dataset].values())
            for number, (subject, cells) in enumerate(zip(ids, made, strict=True))
            if has_row(dataset, f"{seed} {kind} {number}", cells)
        )
        write(folder / f"{dataset}.csv", (ID[kind], *names), known)


def main(folder: Path, residents: int, enterprises: int, seed: int) -> None:
    """Write all tables."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, count in ((RESIDENTS, residents), (ENTERPRISES, enterprises)):
        if count:
            make(folder, kind, count, seed)


if __name__ == "__main__":
    command(__doc__, {"residents": 300, "enterprises": 300}, main)
