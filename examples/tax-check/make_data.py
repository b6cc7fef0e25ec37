"""Make data/: a register of enterprises, the tax bureau's table, consents.

    python make_data.py [directory]         writes the files, by default to data/

Nothing is drawn at random: the same bytes come out each time, and a test compares
them.  Names and credit codes are made up; the codes have the form and the check digit
of GB 32100-2015, with an administrative code of Jining and numbers in order.
"""

import csv
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

HERE = Path(__file__).parent

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
DIGITS = (3, 7, 9, 10, 5, 8, 4, 2)

# Name, and turnover as the tax bureau has it; None: it has none of this enterprise.
ENTERPRISES = (
    ("济宁示例机械有限公司", "12345678.90"),
    ("任城示例食品有限公司", "5000000.00"),
    ("兖州示例包装有限公司", "4999999.99"),
    ("曲阜示例文化有限公司", "860000.00"),
    ("邹城示例矿山设备有限公司", "1000000000.00"),
    ("微山示例水产有限公司", "0.00"),
    ("汶上示例纺织有限公司", "1234500.50"),
    ("梁山示例车辆有限公司", "98765432.10"),
    ("嘉祥示例石材有限公司", None),
    ("金乡示例农产品有限公司", "3141592.65"),
    ("鱼台示例粮油有限公司", "5000000.01"),
    ("泗水示例新材料有限公司", None),
)


def credit_code(number: int) -> str:
    """Return the credit code of the enterprise of this number."""
    body = f"99{number:06}"
    total = sum(w * int(d) for w, d in zip(DIGITS, body, strict=True))
    organisation = body + "0123456789X0"[(11 - total % 11) % 11]
    code = "91370811" + organisation
    weighted = sum(w * ALPHABET.index(c) for w, c in zip(WEIGHTS, code, strict=True))
    return code + ALPHABET[(31 - weighted % 31) % 31]


def write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def consents() -> Iterable[Sequence[str]]:
    """Yield a consent of every enterprise to jnrcb."""
    given = datetime.fromisoformat("2025-01-02T09:00:00+08:00")
    for number, _ in enumerate(ENTERPRISES, 1):
        at = (given + timedelta(minutes=number)).isoformat()
        yield (
            f"tc-{number:02}",
            credit_code(number),
            "jnrcb",
            "loan-precheck",
            "dataset:tax",
            at,
            "2035-01-01T00:00:00+08:00",
            "unlimited",
            "",
            "false",
            "online",
            "",
            at,
        )


def main(folder: Path) -> None:
    """Write all tables."""
    numbered = list(enumerate(ENTERPRISES, 1))
    write(
        folder / "register.csv",
        ("subject_id", "企业名称"),
        [(credit_code(n), name) for n, (name, _) in numbered],
    )
    write(
        folder / "tax.csv",
        ("subject_id", "企业名称", "申报销售额"),
        [(credit_code(n), name, sold) for n, (name, sold) in numbered if sold],
    )
    write(
        folder / "consents.csv",
        (
            "consent_id",
            "subject_id",
            "grantees",
            "purposes",
            "scope",
            "not_before",
            "not_after",
            "max_uses",
            "frequency",
            "separate",
            "evidence_kind",
            "evidence_digest",
            "granted_at",
        ),
        consents(),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "data")
