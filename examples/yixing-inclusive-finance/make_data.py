"""Make up farm households and firms of Yixing, their records, their authorisations.

    python make_data.py data --households 260 --firms 150 --seed 1

**Nobody in it exists** (`examples.synthetic`): identifiers have right check digits, and
a resident's says a birth in the 1850s.  Tables of firms are those that sixteen
templates of `safehouse catalogue` describe.  The same options make the same bytes.

Distributions are those of `examples.drawing`, with flags of 15 in 1,000, and

    land       contracted land of a household: 1 to 1,000 mu, the exponent is uniform
    towns      thirteen of Yixing in turn, or as many as then have ten households
    trades     three in turn, or as many as then have ten firms
    kinds      enterprises 70, sole traders 20, cooperatives 10 of 100
    forms      on line 70, on paper 30 of 100
    grantees   the class of pilot institutions 68, a bank by its name 12, the class and
               the lender outside it 10 of 100; no form 6; withdrawn since 4
    powers     all four 70; all but 使用 12; 查询 and 加工 10; 查询 alone 8 of 100
    repaired   of the firms with a penalty and none unfulfilled: 80 of 100
"""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from oracle import MARK, PILOT, POWERS

from contracts.attributes import LEAST_CELL
from contracts.dataset import Dataset
from contracts.subject import SubjectType
from examples.drawing import Drawing
from examples.plain import rows
from examples.programme import documents
from examples.synthetic import (
    COOPERATIVE,
    ENTERPRISE,
    GRANTED,
    TRADER,
    WUXI,
    YIXING,
    command,
    draw,
    place,
    resident_id,
    uscc,
    write,
)
from node.templates import templates

HERE = Path(__file__).parent
HOUSEHOLDS, FIRMS = "households", "firms"
ID = {HOUSEHOLDS: "身份证号", FIRMS: "统一社会信用代码"}
SHOWN = {HOUSEHOLDS: "镇", FIRMS: "行业"}
TOWNS = (
    *("丁蜀镇", "张渚镇", "西渚镇", "太华镇", "徐舍镇", "官林镇", "杨巷镇"),
    *("新建镇", "和桥镇", "高塍镇", "万石镇", "周铁镇", "湖㳇镇"),
)
PLACES = {HOUSEHOLDS: TOWNS, FIRMS: ("电线电缆", "环保装备", "陶瓷")}
BORN_PARTS = (70, *[5] * 6)
KINDS, KIND_PARTS = (ENTERPRISE, TRADER, COOPERATIVE), (70, 20, 10)
ITEMS = (
    *("registration", "annual-reports", "permits", "penalties", "judgments"),
    *("dishonest-debtors", "serious-offenders", "tax-offenders", "honours"),
    *("subsidies", "tax-rating", "tax-paid", "social-insurance", "power"),
    *("patents", "research"),
)
RECORDS = ("household-conduct", "household-justice", "penalties", "judgments")
COMMON = ("household-farm.cooperative", "household-property.certificate")
EXPONENTS = {"household-farm.land": (0, 3), "tax-paid.turnover": (4, 9)}
FORM = ("单号", "主体", "方式", "被授权方", *POWERS, "撤回")
PAPER = "纸质"
GRANTEES = (PILOT, "示例农商银行", f"{PILOT}、示例小额贷款公司", "withdrawn", "")
GRANTEE_PARTS = (68, 12, 10, 4, 6)
GRANTED_POWERS = ("查询加工分析使用", "查询加工分析", "查询加工", "查询")
POWER_PARTS = (70, 12, 10, 8)
REPAIRED = 80  # of a hundred
PENALTIES, UNFULFILLED = "近三年行政处罚次数", "未履行处罚"


@cache
def datasets(kind: str) -> Sequence[Dataset]:
    """Return the documents of the tables about a kind of subject.

    Templates copied beside those of households, to be filled in, are not theirs.
    """
    if kind == HOUSEHOLDS:
        found = documents(HERE / "datasets")
        return [d for d in found if d.subject_type is SubjectType.CN_RESIDENT_ID]
    return [item.dataset for item in templates() if item.dataset.name in ITEMS]


def register(kind: str, count: int) -> Iterator[tuple[str, str]]:
    """List the register, each with its town or trade."""
    places = PLACES[kind][: max(1, count // LEAST_CELL)]
    for number in range(count):
        if kind == HOUSEHOLDS:
            name = resident_id(number, WUXI[place(number, "born", BORN_PARTS)])
        else:
            name = uscc(number, KINDS[place(number, "kind", KIND_PARTS)], YIXING)
        yield name, places[number % len(places)]


def forms(kind: str, ids: Sequence[str], seed: int) -> Iterator[tuple[str, ...]]:
    """Fill in who may ask about whom, and with which of the four powers."""
    for number, subject in enumerate(ids):
        who = f"{seed} {kind} {number}"
        to = GRANTEES[place(who, "grantees", GRANTEE_PARTS)]
        if not to:
            continue
        withdrawn = to == "withdrawn"
        granted = GRANTED_POWERS[place(who, "powers", POWER_PARTS)]
        yield (
            f"{kind[0]}-{number:06}",
            subject,
            PAPER if draw(who, "form", 100) < 30 else "线上",
            PILOT if withdrawn else to,
            *(MARK if power in granted else "" for power in POWERS),
            MARK if withdrawn else "",
        )


def sheet(form: Sequence[str]) -> str:
    """Write what is on a sheet of paper."""
    said = dict(zip(FORM, form, strict=True))
    powers = "、".join(power for power in POWERS if said[power])
    return (
        "信用信息授权书（合成数据，无此主体）\n"
        f"单号：{said['单号']}\n主体：{said['主体']}\n"
        f"授权 {said['被授权方']} 对本主体信用信息：{powers}\n签署：{GRANTED}\n"
    )


def repaired(folder: Path, seed: int) -> Iterator[tuple[str]]:
    """Draw the firms whose record is to be repaired 信用修复."""
    for row in rows(folder / "penalties.csv"):
        paid = row[UNFULFILLED] == "否" and int(row[PENALTIES]) > 0
        subject = row[ID[FIRMS]]
        if paid and draw(f"{seed} {subject}", "repaired", 100) < REPAIRED:
            yield (subject,)


def make(folder: Path, kind: str, count: int, seed: int) -> None:
    """Write every table about one kind of subject."""
    listed = list(register(kind, count))
    ids = [subject for subject, _ in listed]
    write(folder / f"{kind}.csv", (ID[kind], SHOWN[kind]), listed)
    filled = list(forms(kind, ids, seed))
    write(folder / f"forms-{kind}.csv", FORM, filled)
    for form in filled:
        if PAPER in form:
            path = folder / f"paper/{form[0]}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(sheet(form), encoding="utf-8")
    drawing = Drawing(ID[kind], RECORDS, COMMON, EXPONENTS, rarely=15)
    drawing.write(folder, datasets(kind), ids, seed)


def main(folder: Path, households: int, firms: int, seed: int) -> None:
    """Write all tables."""
    folder.mkdir(parents=True, exist_ok=True)
    make(folder, HOUSEHOLDS, households, seed)
    make(folder, FIRMS, firms, seed)
    write(folder / "repaired.csv", (ID[FIRMS],), repaired(folder, seed))


if __name__ == "__main__":
    command(__doc__, {"households": 260, "firms": 150}, main)
