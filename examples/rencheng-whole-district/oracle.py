"""The programme's rules a second time: plain Python on plain rows, for comparison.

Nothing here comes from the product.  `handbook.csv`, the handbook of indicators
指标手册, says what each is worth; what becomes of a score is said below by hand.

    indicator   points: `0~11:0|12~35:8` whole numbers, both ends in, the highest class
                open above and the lowest below; `无:0|区级:20` texts
    veto        points: the text that rejects
"""

from collections.abc import Sequence
from pathlib import Path

from examples.plain import FEN, Tables, Told, rows

HERE = Path(__file__).parent
UNKNOWN = "未知"  # what an empty cell counts as, where the handbook has it


def handbook(contract: str = "") -> list[dict[str, str]]:
    """Read the handbook, or one contract's part of it."""
    whole = rows(HERE / "handbook.csv")
    return [row for row in whole if contract in ("", row["contract"])]


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


class Oracle:
    """One contract; `vetoes` beside the handbook's: reason, dataset, source, text."""

    def __init__(
        self, contract: str, vetoes: Sequence[tuple[str, str, str, str]] = ()
    ) -> None:
        self.contract = contract
        its = handbook(contract)
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
        for reason in ("judicial", "regulatory", "financial"):
            if reason in set_:
                return Told("vetoed", reason)
        score = BASE[self.contract] + sum(
            worth(points, tables[dataset][subject][source])
            for dataset, source, points in self.indicators
        )
        return Told("scored", "", outcome(self.contract, score), score)


# -- what becomes of a score --------------------------------------------------------

BASE = {
    "resident-credit": 150,
    "farm-credit": 260,
    "enterprise-credit": 100,
    "scitech-credit": 300,
}
GRADES = {
    "resident-credit": (
        *((720, "AAA", "3.95%"), (660, "AA", "4.45%"), (620, "A", "4.95%")),
        *((580, "BBB", "5.45%"), (540, "BB", "5.95%"), (500, "B", "6.45%")),
        *((450, "C", "-"), (-1000, "D", "-")),
    ),
    "farm-credit": (
        *((600, "五星", "3.65%"), (540, "四星", "4.15%"), (480, "三星", "4.65%")),
        *((400, "二星", "5.15%"), (-1000, "一星", "-")),
    ),
    "enterprise-credit": (
        *((720, "AAA", "3.45%"), (680, "AA", "3.95%"), (640, "A", "4.45%")),
        *((600, "BBB", "4.95%"), (550, "BB", "-"), (500, "B", "-")),
        *((450, "C", "-"), (-1000, "D", "-")),
    ),
    "scitech-credit": (
        *((640, "AAA", "3.15%"), (580, "AA", "3.65%"), (500, "A", "4.15%")),
        (-1000, "B", "-"),
    ),
}
UNSECURED = {"AAA": 500_000, "AA": 300_000, "A": 200_000, "BBB": 100_000}
LADDERS = {  # from which score, yuan for ten points, at most
    "resident-credit": (500, 10_000, 300_000),
    "farm-credit": (400, 10_000, 300_000),
    "scitech-credit": (500, 50_000, 1_000_000),
}
PRODUCTS = {  # from which score
    "resident-credit": {
        "resident_loan": 510,
        "newcomer_loan": 540,
        "consumer_loan": 560,
        "startup_loan": 580,
        "fund_loan": 600,
    },
    "farm-credit": {
        "farming_loan": 430,
        "breeding_loan": 460,
        "strong_village_loan": 500,
        "good_youth_loan": 540,
    },
    "enterprise-credit": {
        "trader_loan": 550,
        "jobs_loan": 600,
        "tax_loan": 640,
        "firm_loan": 720,
    },
    "scitech-credit": {
        "scitech_loan": 520,
        "patent_loan": 580,
        "conversion_loan": 640,
    },
}


def outcome(contract: str, score: int) -> dict[str, str | int]:
    """Say what a score becomes: grade, limit in fen, rate, and 1 for each product."""
    grades = GRADES[contract]
    grade, rate = next((g, rate) for least, g, rate in grades if score >= least)
    if contract == "enterprise-credit":
        yuan = UNSECURED.get(grade, 0)
    else:
        start, amount, cap = LADDERS[contract]
        yuan = min(cap, amount * (max(0, score - start) // 10))
    open_to = {name: int(score >= edge) for name, edge in PRODUCTS[contract].items()}
    return {"grade": grade, "limit": FEN * yuan, "rate": rate, **open_to}
