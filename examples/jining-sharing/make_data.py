"""Make up enterprises of Jining, and what eleven departments know of them.

    python make_data.py data --enterprises 220 --seed 1

**Nobody in it exists** (`examples.synthetic`).  The tables are those that the 37
templates of `safehouse catalogue` describe.  The same options make the same bytes.

Distributions; cells of one enterprise need not fit each other:

    standing   of an enterprise: 0 to 99, uniform.  Each cell is drawn twice, and the
               later class is kept with probability standing / 100, else the earlier
    classes    uniform; of records of misconduct (`RECORDS`) the first of 90, the
               second of 8, the others of 1 in 100 enterprises each
    numbers    uniform within their class
    flags      5 of 1,000, independent; `COMMON` ones 20 of 100
    turnover   10,000 yuan to 1,000,000,000: the exponent is uniform
    declared   what the firm says of its turnover 自愿填报: of 10 the truth 8, a tenth
               more 2
    rows       a department has no row of 1 enterprise in 1,000
    counties   the eleven of Jining in turn, or as many as then have two trades of ten
    consents   92 of 100 all three banks, 4 jnrcb alone, 2 withdrawn since, 2 none
"""

import argparse
from collections.abc import Iterator
from math import ceil
from pathlib import Path

from contracts.attributes import LEAST_CELL
from contracts.consent_csv import CONSENT_COLUMNS, EVENT_COLUMNS
from contracts.dataset import Dataset
from contracts.encoding import Bins, Category, Column, Integer
from examples.synthetic import (
    ENTERPRISE,
    JINING,
    TRADER,
    consents,
    draw,
    place,
    uscc,
    write,
)
from node.templates import templates

ID, COUNTY, TRADE = "统一社会信用代码", "县市区", "行业"
COUNTIES = (  # as the codes of `JINING`
    *("任城区", "兖州区", "微山县", "鱼台县", "金乡县", "嘉祥县"),
    *("汶上县", "泗水县", "梁山县", "曲阜市", "邹城市"),
)
TRADES = ("制造业", "批发和零售业")
RECORDS = (
    *("penalties", "environment-penalties", "abnormal-operations", "judgments"),
    *("enforcement", "tax-arrears"),
)
RECORD_PARTS = (90, 8, 1, 1)
COMMON = ("research.high_tech", "trusted-firms.listed", "patents.pledged")
RARELY = 5  # of a thousand
OFTEN = 200
NO_ROW = 1  # of a thousand
CONTRACTS = ("sme-credit", "turnover-check", "turnover-floor")
SCOPE = ";".join(f"contract:{name}" for name in CONTRACTS)
HONEST = 8  # of ten


def number_in(edges: list[int], chosen: int, who: str, what: str) -> str:
    """Draw a whole number of a class of bins."""
    begin = 0 if edges[0] > 0 else edges[0] - 20
    bounds = [begin, *edges, 2 * edges[-1] + 10]
    least, end = bounds[chosen], bounds[chosen + 1]
    return str(least + draw(who, f"{what} number", end - least))


def cell(dataset: Dataset, column: Column, who: str) -> str:
    """Draw a cell of an enterprise."""
    what = f"{dataset.name} {column.name}"
    if isinstance(column.encoding, Integer):
        exponent = draw(who, what, 5000)
        return f"{10 ** (4 + exponent / 1000):.2f}"
    if not isinstance(column.encoding, Bins | Category):
        often = f"{dataset.name}.{column.name}" in COMMON
        return "是" if draw(who, what, 1000) < (OFTEN if often else RARELY) else "否"
    count = len(column.encoding.labels)
    parts = RECORD_PARTS[:count] if dataset.name in RECORDS else (1,) * count
    two = [place(who, f"{what} {time}", parts) for time in ("once", "twice")]
    if dataset.name in RECORDS:
        chosen = two[0]
    else:
        late = draw(who, f"{what} kept", 100) < draw(who, "standing", 100)
        chosen = max(two) if late else min(two)
    if isinstance(column.encoding, Category):
        return column.encoding.labels[chosen]
    return number_in([ceil(e) for e in column.encoding.edges], chosen, who, what)


def register(count: int) -> Iterator[tuple[str, str, str]]:
    """List the enterprises with their public attributes."""
    each = len(TRADES) * LEAST_CELL
    counties = COUNTIES[: max(1, count // each)]
    for number in range(count):
        which = number % len(counties)
        kind = (ENTERPRISE, TRADER)[place(number, "kind", (80, 20))]
        trade = TRADES[number // len(counties) % len(TRADES)]
        yield uscc(number, kind, JINING[which]), counties[which], trade


def main(folder: Path, enterprises: int, seed: int) -> None:
    """Write all tables."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = list(register(enterprises))
    ids = [row[0] for row in rows]
    write(folder / "enterprises.csv", (ID, COUNTY, TRADE), rows)
    given, events = consents(ids, str(seed), "e", SCOPE)
    write(folder / "consents.csv", CONSENT_COLUMNS, given)
    write(folder / "events.csv", EVENT_COLUMNS, events)
    for item in templates():
        dataset = item.dataset
        known = [
            (subject, *(cell(dataset, column, f"{seed} {subject}") for column in its))
            for subject in ids
            if (its := dataset.columns)
            and draw(f"{seed} {subject}", f"{dataset.name} row", 1000) >= NO_ROW
        ]
        header = (ID, *(column.source for column in dataset.columns))
        write(folder / f"{dataset.name}.csv", header, known)
        if dataset.name == "tax-paid":
            write(folder / "declared.csv", (ID, header[1]), declared(known, seed))


def declared(known: list[tuple[str, ...]], seed: int) -> Iterator[tuple[str, str]]:
    """Say what firms say of their turnover."""
    for subject, turnover, *_ in known:
        honest = draw(f"{seed} {subject}", "honest", 10) < HONEST
        yield subject, turnover if honest else f"{float(turnover) * 1.1:.2f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--enterprises", type=int, default=220)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    main(options.folder, options.enterprises, options.seed)
