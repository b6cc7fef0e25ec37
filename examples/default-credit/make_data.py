"""Make data/ from source/: three custodians' tables, the bank's own, consents.

    python make_data.py [subjects] [directory]   the first 60 into data/, by default

Subject n of the data set is `dc-00001` to `dc-30000`.  Nothing is drawn at random.

*Expected outcomes* are the bands of the logits in source/expected_scores.csv, worked
out here with none of the product's code.
"""

import csv
import gzip
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path

from import_model import DATASETS, HERE, parts_of

CONSENT_COLUMNS = (
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
)
GRANTED, END = "2025-01-01T09:00:00+08:00", "2035-01-01T00:00:00+08:00"
THRESHOLDS = tuple(
    Decimal(text) for text in ("-2.5", "-2.12", "-1.82", "-1.5", "-1.2", "-0.8", "0.1")
)
GRADES = ("AAA", "AA", "A", "BBB", "BB", "B", "C", "D")
SUBJECTS = 30_000


def main(directory: Path, subjects: int = SUBJECTS) -> None:
    """Write the files of the first `subjects` into `directory`."""
    directory.mkdir(exist_ok=True)
    rows = list(_read("government_side", subjects))
    for dataset, columns in DATASETS.items():
        _write(
            directory / f"{dataset}.csv",
            ("subject_id", *(name for c in columns for name, _, _ in parts_of(c))),
            ((_id(row), *(x for c in columns for x in _cells(row, c))) for row in rows),
        )
    bank = list(_read("bank_side", subjects))
    own = [name for name in bank[0] if name not in {"subject_id", "default"}]
    _write(
        directory / "bank.csv",
        ("subject_id", "consent_id", *own),
        ((_id(r), f"c{_id(r)[2:]}", *(r[name] for name in own)) for r in bank),
    )
    _write(directory / "register.csv", ("subject_id",), ((_id(row),) for row in rows))
    _write(directory / "consents.csv", CONSENT_COLUMNS, map(_consent, rows))
    _write(
        directory / "expected_outcomes.csv",
        ("subject_id", "grade"),
        (
            (_id(row), grade_of(Decimal(row["logit"])))
            for row in _read("expected_scores", subjects)
        ),
    )


def grade_of(logit: Decimal) -> str:
    """Return the band of a logit; closed on the left."""
    return GRADES[bisect_right(THRESHOLDS, logit)]


def _id(row: dict[str, str]) -> str:
    return f"dc-{int(row['subject_id']):05}"


def _cells(row: dict[str, str], column: str) -> Iterator[str]:
    parts = parts_of(column)
    left = int(row[column])
    if len(parts) == 1:
        yield str(left)
        return
    for _, unit, _ in parts:
        whole, left = divmod(left, unit)
        yield str(whole)
    if left:
        raise SystemExit(f"{column} of {row['subject_id']} is no multiple of its unit")


def _consent(row: dict[str, str]) -> tuple[str, ...]:
    return (
        f"c{_id(row)[2:]}",
        _id(row),
        "jnrcb",
        "loan-approval",
        "contract:default-joint",
        GRANTED,
        END,
        "unlimited",
        "",
        "false",
        "online",
        "",
        GRANTED,
    )


def _read(name: str, subjects: int) -> Iterator[dict[str, str]]:
    with gzip.open(HERE / f"source/{name}.csv.gz", "rt", newline="") as file:
        for row, _ in zip(csv.DictReader(file), range(subjects), strict=False):
            yield row


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    main(
        Path(sys.argv[2]) if len(sys.argv) > 2 else HERE / "data",
        int(sys.argv[1]) if len(sys.argv) > 1 else 60,
    )
