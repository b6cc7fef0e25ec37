"""The programmes' rules a second time: plain Python on plain rows, for comparison.

Nothing here comes from the product.  `handbook.csv` (`examples.handbook`) says what
each indicator is worth; what becomes of a score is said below by hand.
"""

from functools import partial
from pathlib import Path

from examples import handbook as book
from examples.plain import FEN, Row, Tables

HERE = Path(__file__).parent


def handbook(contract: str = "") -> list[Row]:
    """Read the handbook, or one contract's part of it."""
    return book.read(HERE / "handbook.csv", contract)


class Oracle(book.Judge):
    """One contract."""

    def __init__(self, contract: str) -> None:
        become = partial(outcome, contract)
        super().__init__(handbook(contract), BASE[contract], become)
        self.contract = contract


# -- what becomes of a score --------------------------------------------------------

BASE = {
    "liwan-portrait": 240,
    "early-warning": 0,  # risk: none
    "innovation-points": 0,
    "farm-stars": 100,
}
GRADES = {
    "liwan-portrait": (  # from which score: grade, rate, whose product suits
        *((700, "AAA", "3.35%", "gzbank"), (660, "AA", "3.65%", "gzbank")),
        *((620, "A", "3.95%", "lwrcb"), (580, "B", "4.45%", "lwrcb")),
        *((520, "C", "-", "-"), (-1000, "D", "-", "-")),
    ),
    "early-warning": ((45, "红"), (30, "橙"), (15, "黄"), (-1000, "绿")),
    "innovation-points": (
        *((600, "AAA"), (550, "AA"), (500, "A"), (450, "B"), (-1000, "C")),
    ),
    "farm-stars": (
        *((440, "五星", "3.45%"), (400, "四星", "3.85%"), (350, "三星", "4.35%")),
        *((300, "二星", "4.85%"), (-1000, "一星", "-")),
    ),
}
LADDERS = {  # from which score, how many points a rung, yuan a rung, at most
    "liwan-portrait": (560, 20, 50_000, 500_000),
    "innovation-points": (450, 50, 500_000, 3_000_000),
    "farm-stars": (220, 10, 10_000, 300_000),
}
BAND, LOWEST, HIGHEST = 25, 200, 700  # of the points that are told
PRODUCTS = {  # from which points, and what it is called
    "points_loan": (450, "创新积分贷"),
    "talent_loan": (475, "人才贷"),
    "patent_loan": (500, "知识产权质押贷"),
    "research_loan": (525, "研发贷"),
    "equipment_loan": (550, "技改贷"),
    "chain_loan": (575, "产业链贷"),
    "growth_loan": (600, "成长贷"),
    "equity_loan": (650, "投贷联动贷"),
}


def outcome(contract: str, score: int) -> dict[str, str | int]:
    """Say what a score becomes, in the order of the contract; money is in fen."""
    _, *said = next(grade for grade in GRADES[contract] if score >= grade[0])
    if contract == "early-warning":
        return {"level": str(said[0])}
    start, step, amount, cap = LADDERS[contract]
    limit = FEN * min(cap, amount * (max(0, score - start) // step))
    told: dict[str, str | int] = {"grade": str(said[0]), "limit": limit}
    if contract == "innovation-points":
        open_to = {name: int(score >= least) for name, (least, _) in PRODUCTS.items()}
        return {"points": band(score), **told, **open_to}
    if contract == "farm-stars":
        return {"stars": str(said[0]), "limit": limit, "rate": str(said[1])}
    return {**told, "rate": str(said[1]), "match": str(said[2])}


def band(score: int) -> int:
    """Return the lower end of the band that is told; 0 for all below the lowest."""
    return 0 if score < LOWEST else min(HIGHEST, score - score % BAND)


# -- interest subsidies ---------------------------------------------------------------

FULL_FROM = 500  # points; half below
REVENUES = ((2_000, 300), (20_000, 200))  # 10,000 yuan below: hundredths of a percent


def revenue(tables: Tables, subject: str) -> int | None:
    """Return what a firm of the zone took in, in 10,000 yuan."""
    row = tables["zone-growth"].get(subject)
    return None if row is None else int(row["营业收入万元"])


def subsidy(yuan: int, points: int) -> int:
    """Say how much of the rate is paid for, in hundredths of a percent."""
    most = next((part for below, part in REVENUES if yuan < below), 0)
    return most if points >= FULL_FROM else most // 2
