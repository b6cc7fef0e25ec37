"""Make up 4,500 enterprises of a district, and what its social insurance knows of them.

    python make_data.py [directory]         writes the files, by default to data/

Everybody in it is invented: identifiers have right check digits and belong to nobody
we know of; towns are those of Rencheng district 济宁市任城区.  The same bytes come out
each time, and a test compares them.

`enterprises.csv` is the base register with its public attributes, `employment.csv` the
table of the social insurance: two enterprises of three are in it.
"""

import csv
import hashlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
COUNT = 4_500

TOWNS = (
    *("阜桥街道", "古槐街道", "济阳街道", "越河街道", "南苑街道"),
    *("观音阁街道", "李营街道", "南张街道", "唐口街道", "安居街道"),
    *("二十里铺街道", "金城街道", "仙营街道", "长沟镇", "喻屯镇"),
)
# One enterprise of a hundred is of a trade that few are of.
TRADES = ("农林牧渔业", "制造业", "批发和零售业", "建筑业", "采矿业")
PARTS = (20, 30, 40, 9, 1)  # of a hundred
SIZES = (("微型", 10), ("小型", 50), ("中型", 300), ("大型", 10**9))

_SIGNS = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # GB 32100-2015


def draw(number: int, what: str, bound: int) -> int:
    """Draw a number below `bound`, the same each time."""
    digest = hashlib.sha256(f"{what} {number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % bound


def pick(number: int, what: str, words: Sequence[str], parts: Sequence[int]) -> str:
    """Pick a word; each has so many parts of a hundred."""
    left = draw(number, what, sum(parts))
    for word, part in zip(words, parts, strict=True):
        if left < part:
            return word
        left -= part
    raise AssertionError("parts do not add up")


def organisation(number: int) -> str:
    """Make an organisation code, with its check sign (GB 11714)."""
    body = f"MA{(number * 7919) % 10**6:06}"
    signs = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    weights = (3, 7, 9, 10, 5, 8, 4, 2)
    check = (
        11 - sum(signs.index(s) * w for s, w in zip(body, weights, strict=True)) % 11
    )
    return body + {10: "X", 11: "0"}.get(check, str(check))


def identifier(number: int) -> str:
    """Make a 统一社会信用代码 with its check sign."""
    body = f"91370811{organisation(number)}"
    total = sum(_SIGNS.index(sign) * pow(3, i, 31) for i, sign in enumerate(body))
    return body + _SIGNS[-total % 31]


def insured(number: int) -> int:
    """Make the number of the insured: many small firms, few large ones."""
    scale = (4, 4, 9, 9, 25, 60, 140, 400)[draw(number, "scale", 8)]
    return 1 + draw(number, "insured", 2 * scale)


def enterprises() -> Iterable[Sequence[str]]:
    """List the register."""
    for number in range(COUNT):
        yield (
            identifier(number),
            TOWNS[draw(number, "town", len(TOWNS))],
            pick(number, "trade", TRADES, PARTS),
        )


def employment() -> Iterable[Sequence[str]]:
    """List what the social insurance has."""
    for number in range(COUNT):
        if draw(number, "known", 3) == 0:
            continue
        people = insured(number)
        wages = people * (3_000 + draw(number, "wage", 5_000)) * 12 // 10_000
        yield (
            identifier(number),
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
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "data")
