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

*Drawing.*  A subject has a standing: 0 to 99, uniform.  Each cell is drawn twice, and
the better one is kept with probability standing / 100, else the worse: who is good in
one thing is more often good in others.  Numbers are uniform within their class.

Nothing here comes from the product.

>>> classes("0~11:0|12~35:8"), worth("0~11:0|12~35:8", "40"), worth("无:0|有:5", "有")
([('0~11', 0), ('12~35', 8)], 8, 5)
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from examples.plain import Row, Tables, Told, rows
from examples.synthetic import draw, place

UNKNOWN: Final = "未知"  # what an empty cell counts as, where the handbook has it


def classes(points: str) -> list[tuple[str, int]]:
    """Read `0~11:0|12~35:8`."""
    pairs = (item.rsplit(":", 1) for item in points.split("|"))
    return [(label, int(worth)) for label, worth in pairs]


def worth(points: str, cell: str) -> int:
    """Look a cell up."""
    found = classes(points)
    if "~" not in found[0][0]:
        return dict(found)[cell or UNKNOWN]
    begins = sorted((int(label.split("~")[0]), value) for label, value in found)
    number = int(cell)
    return next(
        (value for least, value in reversed(begins) if number >= least), begins[0][1]
    )


def read(path: Path, contract: str = "") -> list[Row]:
    """Read a handbook, or one contract's part of it."""
    return [row for row in rows(path) if contract in ("", row["contract"])]


class Judge:
    """One contract's rows; `vetoes` beside them: reason, dataset, source, text.

    `become` says what becomes of a score, which begins at `base`.
    """

    def __init__(
        self,
        its: Iterable[Row],
        base: int,
        become: Callable[[int], dict[str, str | int]],
        vetoes: Sequence[tuple[str, str, str, str]] = (),
    ) -> None:
        its = list(its)
        self.base, self.become = base, become
        self.indicators = [
            (row["dataset"], row["source"], row["points"])
            for row in its
            if row["kind"] == "indicator"
        ]
        self.vetoes = [
            (row["first_level_en"], row["dataset"], row["source"], row["points"])
            for row in its
            if row["kind"] == "veto"
        ] + list(vetoes)
        self.reasons = dict.fromkeys(veto[0] for veto in self.vetoes)
        self.datasets = {item[0] for item in self.indicators}
        self.datasets |= {item[1] for item in self.vetoes}

    def tell(self, tables: Tables, subject: str) -> Told:
        """Say what is to be told of one subject.

        Missing rows come first, then vetoes in the order of the handbook, then points.
        """
        if any(subject not in tables[dataset] for dataset in self.datasets):
            return Told("insufficient_data")
        set_ = {
            reason
            for reason, dataset, source, text in self.vetoes
            if tables[dataset][subject][source] == text
        }
        for reason in self.reasons:
            if reason in set_:
                return Told("vetoed", reason)
        score = self.base + sum(
            worth(points, tables[dataset][subject][source])
            for dataset, source, points in self.indicators
        )
        return Told("scored", "", self.become(score), score)


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
    two = [place(who, f"{what} {time}", parts) for time in ("once", "twice")]
    better = draw(who, f"{what} kept", 100) < draw(who, "standing", 100)
    label = found[max(two) if better else min(two)][0]
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
