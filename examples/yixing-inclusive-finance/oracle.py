"""The programme's rules a second time: plain Python on plain rows, for comparison.

Nothing here comes from the product.  Numbers are worth what stands beside the least
number of their class, texts what stands beside them.
"""

from collections.abc import Callable, Collection, Iterable

from examples.plain import DISCREDITED, FEN, YES, Card, Given, Grants, Tables, Told

Outcome = dict[str, str | int]

POWERS = {  # what a form grants, and the purpose that contracts name
    "查询": "loan-precheck",
    "加工": "credit-rating",
    "分析": "risk-warning",
    "使用": "pre-approval",
}
PILOT = "普惠金融试点机构"  # a class of institutions, as forms name it
MEMBERS = ("citybank", "ruralbank", "statebank")
NAMED = {"示例农商银行": ("ruralbank",), "示例小额贷款公司": ("microloan",)}
GRANTEES = {PILOT: MEMBERS, **NAMED}
MARK = "√"

STARS = ("一星", "二星", "三星", "四星", "五星")
LATE = ("经常迟缴", "偶有迟缴", "按期")
JUDICIAL = tuple(
    ("judicial", "household-justice", flag, YES)
    for flag in ("失信被执行人", "限制高消费", "有未结执行案件")
)
START, STEP, YUAN, CAP = 320, 20, 20_000, 200_000  # of a household's limit
FLOOR = 10  # of the land, mu


def stars(*edges: int) -> Callable[[int], Outcome]:
    """Say from which scores there are two stars and more."""
    return lambda score: {"stars": STARS[sum(score >= edge for edge in edges)]}


def loan(score: int) -> Outcome:
    """Say limit in fen and rate of a household's loan."""
    yuan = min(CAP, YUAN * (max(0, score - START) // STEP))
    rates = ((420, "3.65%"), (380, "3.95%"), (340, "4.35%"), (-1000, "-"))
    rate = next(rate for least, rate in rates if score >= least)
    return {"limit": FEN * yuan, "rate": rate}


def warning(score: int) -> Outcome:
    """Say how loud the warning is: the more points, the more risk."""
    levels = ((130, "红"), (90, "橙"), (60, "黄"), (-1000, "绿"))
    return {"level": next(level for least, level in levels if score >= least)}


def three(least: int, middle: int, most: int, texts: Iterable[str]) -> dict[str, int]:
    """Say what three texts are worth."""
    return dict(zip(texts, (least, middle, most), strict=True))


INSURED = ("未投保", "部分投保", "足额投保")
PROMISED = ("部分履约", "未作承诺", "全部履约")
FIVE = ("其他", "粮食", "蔬菜", "水产", "茶果")
CARDS = {
    "household-stars": Card(
        300,
        {
            ("household-farm", "主营种养"): dict(
                zip(FIVE, (10, 20, 30, 35, 40), strict=True)
            ),
            ("household-farm", "农业保险"): three(0, 20, 40, INSURED),
            ("household-farm", "土地流转备案"): three(
                0, 15, 30, ("未备案", "无流转", "已备案")
            ),
            ("household-village", "文明积分"): ((0, 0), (60, 15), (75, 30), (90, 50)),
            ("household-village", "村规民约"): three(
                -30, 10, 40, ("有违反", "一般", "模范")
            ),
            ("household-village", "信用承诺"): three(0, 15, 40, PROMISED),
            ("household-village", "志愿服务小时"): ((0, 0), (10, 10), (50, 25)),
            ("household-village", "荣誉表彰"): three(
                0, 15, 30, ("无", "镇级", "市级及以上")
            ),
            ("household-social", "养老保险缴费月数"): (
                *((0, 0), (12, 15), (60, 30), (120, 45)),
            ),
            ("household-utilities", "电费缴纳"): three(0, 15, 30, LATE),
            ("household-utilities", "水费缴纳"): three(0, 10, 25, LATE),
            ("household-conduct", "行政处罚次数"): ((0, 30), (1, 0), (3, -50)),
            ("household-conduct", "未处理交通违法"): ((0, 20), (1, 0), (5, -20)),
            ("household-justice", "近三年被诉件数"): ((0, 20), (1, 0), (3, -30)),
            ("household-property", "不动产权证数"): ((0, 0), (1, 20), (2, 35)),
        },
        JUDICIAL,
        stars(480, 540, 600, 660),
    ),
    "household-watch": Card(
        0,
        {
            ("household-farm", "农业保险"): three(20, 10, 0, INSURED),
            ("household-social", "医疗保险"): three(
                25, 5, 0, ("未参保", "居民医保", "职工医保")
            ),
            ("household-social", "务工年限"): ((0, 15), (1, 5), (3, 0)),
            ("household-utilities", "电费缴纳"): three(30, 10, 0, LATE),
            ("household-utilities", "水费缴纳"): three(25, 8, 0, LATE),
            ("household-utilities", "通信费缴纳"): three(25, 8, 0, LATE),
            ("household-conduct", "行政处罚次数"): ((0, 0), (1, 20), (3, 40)),
            ("household-conduct", "未处理交通违法"): ((0, 0), (1, 10), (5, 25)),
            ("household-justice", "近三年被诉件数"): ((0, 0), (1, 20), (3, 40)),
        },
        (),
        warning,
    ),
    "household-loan": Card(
        200,
        {
            ("household-farm", "主营种养"): dict(
                zip(FIVE, (0, 15, 30, 35, 40), strict=True)
            ),
            ("household-farm", "农机台数"): ((0, 0), (1, 25), (3, 40)),
            ("household-farm", "惠农补贴年数"): ((0, 0), (1, 15), (3, 30)),
            ("household-farm", "合作社社员"): {"否": 0, "是": 20},
            ("household-village", "信用承诺"): three(0, 15, 30, PROMISED),
            ("household-social", "养老保险缴费月数"): (
                *((0, 0), (12, 15), (60, 30), (120, 45)),
            ),
            ("household-social", "务工年限"): ((0, 0), (1, 20), (3, 35)),
            ("household-utilities", "电费缴纳"): three(0, 15, 30, LATE),
            ("household-conduct", "行政处罚次数"): ((0, 20), (1, 0), (3, -40)),
            ("household-justice", "近三年被诉件数"): ((0, 20), (1, 0), (3, -30)),
            ("household-property", "不动产权证数"): ((0, 0), (1, 30), (2, 50)),
            ("household-property", "土地经营权证"): {"否": 0, "是": 30},
        },
        JUDICIAL,
        loan,
    ),
    "firm-stars": Card(
        300,
        {
            ("registration", "成立年限"): (
                *((0, 0), (1, 15), (3, 30), (5, 45), (10, 60)),
            ),
            ("annual-reports", "年报公示"): {"未报": -40, "补报": 10, "按期": 30},
            ("permits", "有效许可数"): ((0, 0), (1, 10), (3, 20)),
            ("penalties", "近三年行政处罚次数"): ((0, 60), (1, -20), (3, -80)),
            ("judgments", "近三年作为被告判决数"): (
                *((0, 40), (1, 20), (3, 0), (10, -40)),
            ),
            ("honours", "最高荣誉级别"): dict(
                zip(
                    ("无", "县级", "市级", "省级", "国家级"),
                    range(0, 50, 10),
                    strict=True,
                )
            ),
            ("subsidies", "近两年财政补贴万元"): ((0, 0), (1, 8), (20, 14), (100, 20)),
            ("tax-rating", "纳税信用级别"): {
                "D": -60,
                "C": 0,
                "M": 30,
                "B": 60,
                "A": 90,
            },
            ("tax-paid", "上年度入库税款万元"): (
                *((0, 0), (1, 15), (10, 30), (50, 45), (200, 60)),
            ),
            ("social-insurance", "参保人数"): ((0, 0), (3, 20), (10, 40), (50, 60)),
            ("power", "用电同比增长率"): ((-1000, 0), (-20, 20), (0, 35), (20, 50)),
            ("patents", "有效发明专利数"): ((0, 0), (1, 20), (3, 40), (10, 60)),
            ("research", "研发投入占比"): ((0, 0), (1, 10), (3, 20), (5, 30)),
        },
        DISCREDITED,
        stars(520, 580, 640, 700),
    ),
}


def land(tables: Tables, subject: str) -> Told:
    """Say what `land-floor` tells."""
    row = tables["household-farm"].get(subject)
    if row is None:
        return Told("insufficient_data")
    return Told("at_least" if float(row["承包地亩数"]) >= FLOOR else "below")


def tell(tables: Tables, contract: str, subject: str) -> Told:
    """Say what a contract tells."""
    if contract == "land-floor":
        return land(tables, subject)
    return CARDS[contract].tell(tables, subject)


def grants(tables: Tables, kinds: Collection[str]) -> Grants:
    """Read forms: who may ask, and with which of the four powers."""
    given = {}
    for kind in kinds:
        for name, form in tables[f"forms-{kind}"].items():
            banks = {b for who in form["被授权方"].split("、") for b in GRANTEES[who]}
            purposes = [POWERS[power] for power in POWERS if form[power] == MARK]
            withdrawn = form["撤回"] == MARK
            given[form["主体"]] = Given(name, banks, purposes, withdrawn)
    return Grants(given)


def cleared(tables: Tables) -> Tables:
    """Take the penalties of repaired firms out of the record 信用修复."""
    source = "近三年行政处罚次数"
    penalties = {
        subject: {**row, source: "0"} if subject in tables["repaired"] else row
        for subject, row in tables["penalties"].items()
    }
    return {**tables, "penalties": penalties}
