"""Make up enterprises of Jining, and what eleven departments know of them.

    python make_data.py data --enterprises 220 --seed 1

**Nobody in it exists** (`examples.synthetic`).  The tables are those that the 37
templates of `safehouse catalogue` describe.  The same options make the same bytes.

Distributions are those of `examples.drawing`, and

    turnover   10,000 yuan to 1,000,000,000: the exponent is uniform
    declared   what the firm says of its turnover 自愿填报: of 10 the truth 8, a tenth
               more 2
    counties   the eleven of Jining in turn, or as many as then have two trades of ten
    consents   92 of 100 all three banks, 4 jnrcb alone, 2 withdrawn since, 2 none
"""

from collections.abc import Iterator
from pathlib import Path

from contracts.attributes import LEAST_CELL
from contracts.consent_csv import CONSENT_COLUMNS, EVENT_COLUMNS
from examples.drawing import Drawing
from examples.plain import rows as rows_of
from examples.synthetic import (
    JINING,
    command,
    consents,
    draw,
    firms,
    write,
)
from node.templates import templates

ID, COUNTY, TRADE = "统一社会信用代码", "县市区", "行业"
COUNTIES = (  # as the codes of `JINING`
    *("任城区", "兖州区", "微山县", "鱼台县", "金乡县", "嘉祥县"),
    *("汶上县", "泗水县", "梁山县", "曲阜市", "邹城市"),
)
TRADES = ("制造业", "批发和零售业")
TURNOVER = "上年度申报销售额"
DRAWING = Drawing(
    id=ID,
    records=(
        *("penalties", "environment-penalties", "abnormal-operations", "judgments"),
        *("enforcement", "tax-arrears"),
    ),
    common=("research.high_tech", "trusted-firms.listed", "patents.pledged"),
    exponents={"tax-paid.turnover": (4, 9)},
)
CONTRACTS = ("sme-credit", "turnover-check", "turnover-floor")
SCOPE = ";".join(f"contract:{name}" for name in CONTRACTS)
HONEST = 8  # of ten


def register(count: int) -> Iterator[tuple[str, str, str]]:
    """List the firms with their public attributes."""
    places = list(zip(JINING, COUNTIES, strict=True))
    yield from firms(count, places, TRADES, LEAST_CELL)


def main(folder: Path, enterprises: int, seed: int) -> None:
    """Write all tables."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = list(register(enterprises))
    ids = [row[0] for row in rows]
    write(folder / "enterprises.csv", (ID, COUNTY, TRADE), rows)
    given, events = consents(ids, str(seed), "e", SCOPE)
    write(folder / "consents.csv", CONSENT_COLUMNS, given)
    write(folder / "events.csv", EVENT_COLUMNS, events)
    DRAWING.write(folder, (item.dataset for item in templates()), ids, seed)
    turnovers = [(row[ID], row[TURNOVER]) for row in rows_of(folder / "tax-paid.csv")]
    write(folder / "declared.csv", (ID, TURNOVER), declared(turnovers, seed))


def declared(known: list[tuple[str, str]], seed: int) -> Iterator[tuple[str, str]]:
    """Say what firms say of their turnover."""
    for subject, turnover in known:
        honest = draw(f"{seed} {subject}", "honest", 10) < HONEST
        yield subject, turnover if honest else f"{float(turnover) * 1.1:.2f}"


if __name__ == "__main__":
    command(__doc__, {"enterprises": 220}, main)
