"""Make up 4,500 enterprises of a district, and what its social insurance knows of them.

    python make_data.py [directory]         writes the files, by default to data/

Everybody in it is invented: identifiers have right check digits and belong to nobody
we know of; towns are those of Rencheng district 济宁市任城区.  The same bytes come out
each time, and a test compares them.

`enterprises.csv` is the base register with its public attributes, `employment.csv` the
table of the social insurance: two enterprises of three are in it.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from examples.synthetic import TOWNS, draw, place, uscc, write

HERE = Path(__file__).parent
COUNT = 4_500

# One enterprise of a hundred is of a trade that few are of.
TRADES = ("农林牧渔业", "制造业", "批发和零售业", "建筑业", "采矿业")
PARTS = (20, 30, 40, 9, 1)  # of a hundred
SIZES = (("微型", 10), ("小型", 50), ("中型", 300), ("大型", 10**9))


def insured(number: int) -> int:
    """Make the number of the insured: many small firms, few large ones."""
    scale = (4, 4, 9, 9, 25, 60, 140, 400)[draw(number, "scale", 8)]
    return 1 + draw(number, "insured", 2 * scale)


def enterprises() -> Iterable[Sequence[str]]:
    """List the register."""
    for number in range(COUNT):
        yield (
            uscc(number),
            TOWNS[draw(number, "town", len(TOWNS))],
            TRADES[place(number, "trade", PARTS)],
        )


def employment() -> Iterable[Sequence[str]]:
    """List what the social insurance has."""
    for number in range(COUNT):
        if draw(number, "known", 3) == 0:
            continue
        people = insured(number)
        wages = people * (3_000 + draw(number, "wage", 5_000)) * 12 // 10_000
        yield (
            uscc(number),
            str(people),
            str(wages),
            "是" if draw(number, "arrears", 20) == 0 else "否",
            next(size for size, most in SIZES if people < most),
        )


def main(folder: Path) -> None:
    """Write both tables."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, header, rows in (
        (
            "enterprises",
            ("统一社会信用代码", "乡镇街道", "行业"),
            enterprises(),
        ),
        (
            "employment",
            ("统一社会信用代码", "参保人数", "年工资万元", "欠缴", "规模"),
            employment(),
        ),
    ):
        write(folder / f"{name}.csv", header, rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "data")
