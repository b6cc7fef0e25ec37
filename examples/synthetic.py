"""Subjects that nobody is, for examples and benchmarks.

Everything comes from `draw`, a hash of a seed and a few words, so the same bytes come
out each time, in any order and on any machine.

*Identifiers* have right check digits, and a division code of GB/T 2260 that exists
(adcodes of cpca 0.5.5, MIT).  A resident's says a birth date of 1850 to 1859: whoever
was born then would have been 124 when such numbers were first given out, in 1984, older
than anybody has been; so none of them is anybody's.  A unified social credit code has
no such room; these belong to nobody we know of.

>>> resident_id(0), uscc(0), uscc(1, COOPERATIVE)
('370811185001010017', '91370811MA0000007L', '93370811MA007919XQ')
"""

import argparse
import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Final

RENCHENG: Final = "370811"  # 任城区
LIWAN: Final = "440103"  # 荔湾区
# 仲恺高新区 is a development zone of Huizhou 惠州市 and has no code of GB/T 2260;
# its firms are registered with that of 惠城区, the district it lies in
ZHONGKAI: Final = "441302"
# Zhaoqing 肇庆市: its eight districts, counties and towns of county rank
ZHAOQING: Final = (
    *("441202", "441203", "441204", "441223", "441224", "441225", "441226"),
    "441284",
)
# Jining 济宁市: its eleven districts, counties and towns of county rank
JINING: Final = (
    *(RENCHENG, "370812", "370826", "370827", "370828", "370829"),
    *("370830", "370831", "370832", "370881", "370883"),
)
YIXING: Final = "320282"  # 宜兴市
WUXI: Final = (  # 无锡市: its districts and towns of county rank
    *(YIXING, "320205", "320206", "320211", "320213", "320214", "320281"),
)
QINGHAI: Final = (  # one district, city or county of each of the eight regions 市州
    *("630102", "630202", "632223", "632321"),
    *("632521", "632621", "632701", "632801"),
)
TOWNS: Final = (
    *("阜桥街道", "古槐街道", "济阳街道", "越河街道", "南苑街道"),
    *("观音阁街道", "李营街道", "南张街道", "唐口街道", "安居街道"),
    *("二十里铺街道", "金城街道", "仙营街道", "长沟镇", "喻屯镇"),
)

ENTERPRISE: Final = "91"  # GB 32100-2015: registered by 市场监管, and as what
TRADER: Final = "92"
COOPERATIVE: Final = "93"

GRANTED: Final = "2025-01-01T00:00:00+08:00"
ENDS: Final = "2035-01-01T00:00:00+08:00"
WITHDRAWN_AT: Final = "2025-06-01T09:00:00+08:00"
BANKS: Final = ("jnrcb;lsbank;ryrcb", "jnrcb")  # whom most consent to, and some
WITHDRAWN: Final = 2  # of these
GRANT_PARTS: Final = (92, 4, 2, 2)  # of a hundred: most, some, withdrawn, none

_SIGNS: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # GB 32100-2015
_FIRST_BIRTH: Final = date(1850, 1, 1)
_BIRTHS: Final = 10 * 365  # days


def draw(seed: object, what: str, bound: int) -> int:
    """Draw a number below `bound`, the same each time."""
    digest = hashlib.sha256(f"{what} {seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % bound


def place(seed: object, what: str, parts: Sequence[int]) -> int:
    """Draw the number of a class; each has so many parts of their sum."""
    left = draw(seed, what, sum(parts))
    for number, part in enumerate(parts):
        if left < part:
            return number
        left -= part
    raise AssertionError("parts do not add up")


def stood(who: str, what: str, parts: Sequence[int]) -> int:
    """Draw the number of a class, from bad to good, by a subject's standing.

    A standing is 0 to 99, uniform.  The class is drawn twice, and the better one is
    kept with probability standing / 100, else the worse: who is good in one thing is
    more often good in others.
    """
    two = [place(who, f"{what} {time}", parts) for time in ("once", "twice")]
    better = draw(who, f"{what} kept", 100) < draw(who, "standing", 100)
    return max(two) if better else min(two)


def organisation(number: int) -> str:
    """Make an organisation code, with its check sign (GB 11714)."""
    body = f"MA{(number * 7919) % 10**6:06}"
    signs = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    weights = (3, 7, 9, 10, 5, 8, 4, 2)
    check = (
        11 - sum(signs.index(s) * w for s, w in zip(body, weights, strict=True)) % 11
    )
    return body + {10: "X", 11: "0"}.get(check, str(check))


def uscc(number: int, kind: str = ENTERPRISE, division: str = RENCHENG) -> str:
    """Make a 统一社会信用代码, with its check sign; `division` registered it."""
    body = f"{kind}{division}{organisation(number)}"
    total = sum(_SIGNS.index(sign) * pow(3, i, 31) for i, sign in enumerate(body))
    return body + _SIGNS[-total % 31]


def firms(
    count: int, places: Sequence[tuple[str, str]], trades: Sequence[str], least: int
) -> Iterator[tuple[str, str, str]]:
    """List enterprises, 20 of 100 sole traders, each with its place and trade.

    `places` are codes with names, in turn, or as many as then have `least` firms of
    each trade.
    """
    there = places[: max(1, count // (len(trades) * least))]
    for number in range(count):
        code, name = there[number % len(there)]
        kind = (ENTERPRISE, TRADER)[place(number, "kind", (80, 20))]
        trade = trades[number // len(there) % len(trades)]
        yield uscc(number, kind, code), name, trade


def resident_id(number: int, division: str = RENCHENG) -> str:
    """Make a 公民身份号码 of nobody, with its check digit (GB 11643)."""
    born = _FIRST_BIRTH + timedelta(days=number * 7919 % _BIRTHS)
    body = f"{division}{born:%Y%m%d}{1 + number // _BIRTHS:03}"
    total = sum(int(digit) * pow(2, 17 - i, 11) for i, digit in enumerate(body))
    return body + "10X98765432"[total % 11]


def consent(
    name: str, subject: str, banks: str, purposes: str, scope: str, form: str = ""
) -> tuple[str, ...]:
    """Write a consent for ten years, and for as many uses as are made.

    A row of `contracts.consent_csv`; `banks`, `purposes` and `scope` are lists with
    semicolons, `form` is the SHA-256 of a paper form: without one it was given on line.
    """
    given = (name, subject, banks, purposes, scope, GRANTED, ENDS)
    evidence = "paper" if form else "online"
    return (*given, "unlimited", "", "false", evidence, form, GRANTED)


def consents(
    subjects: Iterable[str],
    seed: str,
    letter: str,
    scope: str,
    banks: tuple[str, str] = BANKS,
    purposes: str = "pre-approval",
) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """List consents to several banks, to one, or none, and what was withdrawn since.

    Rows of `contracts.consent_csv`; `letter` begins the names of the consents, and
    `banks` are the several, with semicolons, and the one.
    """
    several, one = banks
    given, events = [], []
    for number, subject in enumerate(subjects):
        drawn = place(f"{seed} {number}", "consent", GRANT_PARTS)
        to = (several, one, several, "")[drawn]
        name = f"{letter}-{number:06}"
        if to:
            given.append(consent(name, subject, to, purposes, scope))
        if drawn == WITHDRAWN:
            events.append((name, "withdraw", WITHDRAWN_AT, "本人撤回"))
    return given, events


def write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def command(
    doc: str | None, sizes: Mapping[str, int], make: Callable[..., None]
) -> None:
    """Make tables from the command line; `sizes` are options with defaults."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    for option, default in sizes.items():
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    make(options.folder, *(getattr(options, size) for size in sizes), options.seed)
