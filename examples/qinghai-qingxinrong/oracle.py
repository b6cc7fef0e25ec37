"""The programme's rules a second time: plain Python on plain rows, for comparison.

Nothing here comes from the product.  Numbers are worth what stands beside the least
number of their class, texts what stands beside them.
"""

from examples.plain import DISCREDITED, FEN, Card, Tables, Told

ASSESSED = "class:assessed"  # who passed the security assessment, as consents name it
GRADES = ((640, "AAA"), (580, "AA"), (520, "A"), (460, "B"), (400, "C"), (-1000, "D"))
YUAN = {"AAA": 1_000_000, "AA": 500_000, "A": 200_000}
START, STEP, RUNG, CAP = 420, 30, 100_000, 800_000  # of the bank's own limit


def graded(score: int) -> dict[str, str | int]:
    """Say grade and limit in fen of the province's score."""
    grade = next(grade for least, grade in GRADES if score >= least)
    return {"grade": grade, "limit": FEN * YUAN.get(grade, 0)}


def lent(score: int) -> dict[str, str | int]:
    """Say limit in fen and rate of the bank's own model."""
    yuan = min(CAP, RUNG * (max(0, score - START) // STEP))
    rates = ((600, "3.45%"), (510, "3.85%"), (450, "4.35%"), (-1000, "-"))
    return {
        "limit": FEN * yuan,
        "rate": next(r for least, r in rates if score >= least),
    }


CARDS = {
    "qxr-score": Card(
        300,
        {
            ("registration", "成立年限"): (
                *((0, 0), (1, 10), (3, 20), (5, 30), (10, 40)),
            ),
            ("annual-reports", "年报公示"): {"未报": -20, "补报": 10, "按期": 30},
            ("penalties", "近三年行政处罚次数"): ((0, 40), (1, 0), (3, -40)),
            ("judgments", "近三年作为被告判决数"): (
                *((0, 30), (1, 15), (3, 0), (10, -30)),
            ),
            ("tax-rating", "纳税信用级别"): {
                "D": -40,
                "C": 0,
                "M": 20,
                "B": 45,
                "A": 70,
            },
            ("tax-paid", "上年度入库税款万元"): (
                *((0, 0), (1, 15), (10, 30), (50, 45), (200, 60)),
            ),
            ("social-insurance", "参保人数"): ((0, 0), (3, 15), (10, 30), (50, 45)),
            ("housing-fund", "近一年连续缴存月数"): ((0, 0), (6, 15), (12, 30)),
            ("power", "用电同比增长率"): ((-1000, 0), (-20, 15), (0, 30), (20, 45)),
            ("patents", "有效发明专利数"): ((0, 0), (1, 15), (3, 30), (10, 45)),
            ("honours", "最高荣誉级别"): dict(
                zip(
                    ("无", "县级", "市级", "省级", "国家级"),
                    range(0, 50, 10),
                    strict=True,
                )
            ),
        },
        DISCREDITED,
        graded,
    ),
    "own-model": Card(
        300,
        {
            ("registration", "成立年限"): (
                *((0, -20), (1, 0), (3, 15), (5, 30), (10, 40)),
            ),
            ("annual-reports", "年报公示"): {"未报": -30, "补报": 0, "按期": 20},
            ("penalties", "近三年行政处罚次数"): ((0, 20), (1, -10), (3, -60)),
            ("judgments", "近三年作为被告判决数"): (
                *((0, 40), (1, 10), (3, -10), (10, -50)),
            ),
            ("tax-rating", "纳税信用级别"): {
                "D": -50,
                "C": 0,
                "M": 20,
                "B": 40,
                "A": 60,
            },
            ("tax-paid", "上年度入库税款万元"): (
                *((0, 0), (1, 20), (10, 45), (50, 70), (200, 90)),
            ),
            ("social-insurance", "参保人数"): ((0, 0), (3, 20), (10, 40), (50, 60)),
            ("power", "用电同比增长率"): ((-1000, -20), (-20, 10), (0, 35), (20, 60)),
            ("research", "研发投入占比"): ((0, 0), (1, 10), (3, 25), (5, 40)),
        },
        DISCREDITED,
        lent,
    ),
}


def tell(tables: Tables, contract: str, subject: str) -> Told:
    """Say what a contract tells."""
    return CARDS[contract].tell(tables, subject)
