"""The programme's rules a second time: plain Python on plain rows, for comparison.

Nothing here comes from the product.  Numbers are worth what stands beside the least
number of their class, texts what stands beside them.
"""

from examples.plain import DISCREDITED, FEN, YES, Card, Tables, Told, Worth

BASE = 300
START, STEP, YUAN, CAP = 480, 20, 100_000, 1_000_000  # of the limit
GRADES = (
    (660, "AAA", "3.45%"),
    (600, "AA", "3.85%"),
    (540, "A", "4.25%"),
    (480, "B", "4.85%"),
    (420, "C", "-"),
    (-1000, "D", "-"),
)
FLOOR = 5_000_000  # of the turnover, yuan
TOLERANCE = 100

POINTS: dict[tuple[str, str], Worth] = {
    ("registration", "成立年限"): ((0, 0), (1, 10), (3, 20), (5, 30), (10, 40)),
    ("annual-reports", "年报公示"): {"未报": -20, "补报": 5, "按期": 20},
    ("permits", "有效许可数"): ((0, 0), (1, 8), (3, 16)),
    ("penalties", "近三年行政处罚次数"): ((0, 20), (1, 5), (3, -30)),
    ("judgments", "近三年作为被告判决数"): ((0, 24), (1, 12), (3, 0), (10, -24)),
    ("honours", "最高荣誉级别"): dict(
        zip(("无", "县级", "市级", "省级", "国家级"), range(0, 40, 8), strict=True)
    ),
    ("subsidies", "近两年财政补贴万元"): ((0, 0), (1, 8), (20, 14), (100, 20)),
    ("tax-rating", "纳税信用级别"): {"D": -40, "C": 0, "M": 20, "B": 50, "A": 80},
    ("tax-paid", "上年度入库税款万元"): (
        *((0, 0), (1, 15), (10, 30), (50, 45), (200, 60)),
    ),
    ("social-insurance", "参保人数"): ((0, 0), (3, 15), (10, 30), (50, 40)),
    ("housing-fund", "近一年连续缴存月数"): ((0, 0), (6, 10), (12, 20)),
    ("trade", "近一年出口万元"): ((0, 0), (1, 8), (100, 16), (1000, 24)),
    ("power", "用电同比增长率"): ((-1000, 0), (-20, 15), (0, 25), (20, 30)),
    ("real-estate", "不动产权证数"): ((0, 0), (1, 15), (3, 25)),
    ("patents", "有效发明专利数"): ((0, 0), (1, 12), (3, 24), (10, 36)),
    ("research", "研发投入占比"): ((0, 0), (1, 10), (3, 20), (5, 30)),
}
VETOES = (
    *DISCREDITED,
    ("closing", "bankruptcy", "破产案件受理", YES),
    ("closing", "bankruptcy", "破产重整", YES),
    ("closing", "enforcement", "限制高消费", YES),
    ("closing", "abnormal-operations", "经营异常名录", YES),
)


def outcome(score: int) -> dict[str, str | int]:
    """Say what a score becomes: grade, limit in fen, rate."""
    grade, rate = next((g, rate) for least, g, rate in GRADES if score >= least)
    yuan = min(CAP, YUAN * (max(0, score - START) // STEP))
    return {"grade": grade, "limit": FEN * yuan, "rate": rate}


CARD = Card(BASE, POINTS, VETOES, outcome)


def tell(tables: Tables, subject: str) -> Told:
    """Say what `sme-credit` tells."""
    return CARD.tell(tables, subject)


def turnover(tables: Tables, subject: str) -> int | None:
    """Return what a firm declared to the tax office, in fen."""
    row = tables["tax-paid"].get(subject)
    return None if row is None else round(float(row["上年度申报销售额"]) * FEN)


def floor(tables: Tables, subject: str) -> str:
    """Say what `turnover-floor` tells."""
    fen = turnover(tables, subject)
    if fen is None:
        return "insufficient_data"
    return "at_least" if fen >= FLOOR * FEN else "below"


def check(tables: Tables, subject: str, claim: str) -> str:
    """Say what `turnover-check` tells of a claim."""
    fen = turnover(tables, subject)
    if fen is None:
        return "insufficient_data"
    apart = abs(fen - round(float(claim) * FEN))
    return "match" if apart <= TOLERANCE * FEN else "mismatch"
