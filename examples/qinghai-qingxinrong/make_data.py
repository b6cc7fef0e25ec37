"""Make up firms of Qinghai, and what nine departments know of them.

    python make_data.py data --firms 160 --seed 1

**Nobody in it exists** (`examples.synthetic`).  The tables are those of the documents
in `datasets/`: templates of `safehouse catalogue` filled in, and one of our own.  The
same options make the same bytes.

Distributions are those of `examples.drawing`, with flags of 15 in 1,000, and

    regions    the eight 市州 of Qinghai in turn, or as many as have two trades of ten
    pastoral   firms in farming and herding 农牧业, and nobody else
    turnover   10,000 yuan to 1,000,000,000: the exponent is uniform
    consents   92 of 100 all banks that passed the assessment, 4 qhbank alone,
               2 withdrawn since, 2 none
"""

from collections.abc import Iterator
from pathlib import Path

from oracle import ASSESSED

from contracts.attributes import LEAST_CELL
from contracts.consent_csv import CONSENT_COLUMNS, EVENT_COLUMNS
from examples.drawing import Drawing
from examples.programme import documents
from examples.synthetic import (
    QINGHAI,
    command,
    consents,
    firms,
    write,
)

HERE = Path(__file__).parent
ID, REGION, TRADE = "统一社会信用代码", "市州", "行业"
REGIONS = (  # as the codes of `QINGHAI`
    *("西宁市", "海东市", "海北州", "黄南州", "海南州", "果洛州", "玉树州", "海西州"),
)
TRADES = ("农牧业", "清洁能源")
PASTORAL = "pastoral"  # of firms of the first trade only
GRANTED = (ASSESSED, "qhbank")  # most consent to, and some
SCOPE = "contract:qxr-score;contract:own-model"
PURPOSE = "loan-approval"
DRAWING = Drawing(
    id=ID,
    records=("penalties", "judgments"),
    common=("research.high_tech",),
    exponents={"tax-paid.turnover": (4, 9)},
    rarely=15,
)


def register(count: int) -> Iterator[tuple[str, str, str]]:
    """List the firms with their public attributes."""
    places = list(zip(QINGHAI, REGIONS, strict=True))
    yield from firms(count, places, TRADES, LEAST_CELL)


def main(folder: Path, count: int, seed: int) -> None:
    """Write all tables."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = list(register(count))
    ids = [row[0] for row in rows]
    write(folder / "firms.csv", (ID, REGION, TRADE), rows)
    given, events = consents(ids, str(seed), "q", SCOPE, GRANTED, PURPOSE)
    write(folder / "consents.csv", CONSENT_COLUMNS, given)
    write(folder / "events.csv", EVENT_COLUMNS, events)
    herding = [row[0] for row in rows if row[2] == TRADES[0]]
    for dataset in documents(HERE / "datasets"):
        its = herding if dataset.name == PASTORAL else ids
        DRAWING.write(folder, [dataset], its, seed)


if __name__ == "__main__":
    command(__doc__, {"firms": 160}, main)
