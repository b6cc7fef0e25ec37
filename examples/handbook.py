"""A handbook of indicators 指标手册: an official reads it, plain Python reckons by it.

A CSV table, a row for each indicator and veto of each contract::

    contract, kind, first_level, first_level_en, second_level, second_level_en,
    dataset, column, source    the department's column, and what its table calls it
    points    of an indicator: `0~11:0|12~35:8` whole numbers, both ends in, the
              highest class open above and the lowest below; `无:0|区级:20` texts;
              of a veto: the text that rejects
    parts     how many of a hundred subjects are in each class, how many of 10,000 a
              veto; empty where an earlier row has the same column

Classes are in the order from bad to good; points may be risk, and then fall.

*Drawing.*  A cell's class is drawn by the subject's standing (`synthetic.stood`);
numbers are uniform within their class.

Nothing here comes from the product.

>>> classes("0~11:0|12~35:8"), parse("0~11:0|12~35:8"), parse("未知:0|有:5")
([('0~11', 0), ('12~35', 8)], [(0, 0), (12, 8)], {'': 0, '有': 5})
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from examples.plain import Card, Row, Worth, rows
from examples.synthetic import draw, stood

UNKNOWN: Final = "未知"  # what an empty cell counts as, where the handbook has it


def classes(points: str) -> list[tuple[str, int]]:
    """Read `0~11:0|12~35:8`."""
    pairs = (item.rsplit(":", 1) for item in points.split("|"))
    return [(label, int(worth)) for label, worth in pairs]


def parse(points: str) -> Worth:
    """Read what cells are worth; an empty one counts as `UNKNOWN`."""
    found = classes(points)
    if "~" in found[0][0]:
        return sorted((int(label.split("~")[0]), worth) for label, worth in found)
    return {"" if label == UNKNOWN else label: worth for label, worth in found}


def read(path: Path, contract: str = "") -> list[Row]:
    """Read a handbook, or one contract's part of it."""
    return [row for row in rows(path) if contract in ("", row["contract"])]


class Judge(Card):
    """The card of a handbook's rows; `vetoes` beside them as `Card` has them."""

    def __init__(
        self,
        its: Iterable[Row],
        base: int,
        outcome: Callable[[int], dict[str, str | int]],
        vetoes: Iterable[tuple[str, str, str, str]] = (),
    ) -> None:
        its = list(its)
        points = {
            (row["dataset"], row["source"]): parse(row["points"])
            for row in its
            if row["kind"] == "indicator"
        }
        own = [
            (row["first_level_en"], row["dataset"], row["source"], row["points"])
            for row in its
            if row["kind"] == "veto"
        ]
        super().__init__(base, points, [*own, *vetoes], outcome)


# -- drawing


def columns(its: Iterable[Row]) -> dict[str, list[Row]]:
    """Gather rows by dataset, each column once."""
    found: dict[str, list[Row]] = {}
    for row in its:
        if row["parts"]:
            found.setdefault(row["dataset"], []).append(row)
    return found


def cell(row: Row, who: str) -> str:
    """Draw a cell of a subject."""
    what = f"{row['dataset']} {row['column']}"
    found = classes(row["points"])
    parts = [int(part) for part in row["parts"].split("|")]
    label = found[stood(who, what, parts)][0]
    if "~" in label:
        least, most = map(int, label.split("~"))
        return str(least + draw(who, f"{what} number", most - least + 1))
    return "" if label == UNKNOWN else label


def table(dataset: str, its: Iterable[Row], who: str) -> dict[str, str]:
    """Draw what one department knows of a subject."""
    its = list(its)
    cells = {row["source"]: cell(row, who) for row in its if row["kind"] == "indicator"}
    for row in its:
        if row["kind"] == "veto":
            hit = draw(who, f"{dataset} {row['column']}", 10_000) < int(row["parts"])
            if hit or row["source"] not in cells:
                cells[row["source"]] = row["points"] if hit else "否"
    return cells
