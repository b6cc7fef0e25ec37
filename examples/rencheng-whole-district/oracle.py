"""The programme's rules a second time: plain Python on plain rows, for comparison.

Nothing here comes from the product.  `handbook.csv` (`examples.handbook`) says what
each indicator is worth; what becomes of a score is said below by hand.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from examples import handbook as book
from examples.plain import FEN, Row

HERE = Path(__file__).parent


def handbook(contract: str = "") -> list[Row]:
    """Read the handbook, or one contract's part of it."""
    return book.read(HERE / "handbook.csv", contract)


class Oracle(book.Judge):
    """One contract; `vetoes` beside the handbook's: reason, dataset, source, text."""

    def __init__(
        self, contract: str, vetoes: Sequence[tuple[str, str, str, str]] = ()
    ) -> None:
        become = partial(outcome, contract)
        super().__init__(handbook(contract), BASE[contract], become, vetoes)
        self.contract = contract


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
