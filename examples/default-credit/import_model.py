"""Write contract.yaml and bank-model.yaml from source/lr_model.json.

    python import_model.py [directory]      writes both, by default beside itself

A logistic regression over z-scores, `intercept + sum of weight (x - mean) / deviation`,
is cut in two: what the custodians' columns add is the contract, what the bank's add is
the bank's own model.  Weights, means and deviations are copied digit for digit; the
rounding happens in the compiler, which prints how much (`safehouse plan`).

A number of many values needs many decimals of its weight, so the credit limit comes in
two columns, 万元 and what is left in tens: each of at most 1,000 values.  Means and
deviations are in a column's own units, with nine decimals.
"""

import csv
import json
import sys
from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

HERE = Path(__file__).parent
PLACES = Decimal("1e-9")
DATASETS = {  # columns of the model that custodians have
    "card-status": ("LIMIT_BAL", "PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5"),
    "insured-persons": ("SEX", "MARRIAGE", "AGE"),
    "fund-members": ("EDUCATION",),
}
PARTS = {  # of a model's column: name, unit, and whether the mean goes with it
    "LIMIT_BAL": (("limit_10k", 10_000, True), ("limit_rest", 10, False)),
}
GROUPS = {
    "card-status": ("credit", "信用记录"),
    "insured-persons": ("person", "参保人"),
    "fund-members": ("education", "缴存人学历"),
}

CONTRACT = """\
# A logistic regression over ten columns of three custodians and thirteen of the bank's.
# Made by import_model.py from source/lr_model.json; the bank's part is bank-model.yaml.
apiVersion: safehouse/v1
kind: ScoringContract
metadata:
  name: default-joint
  version: 1
  title: 信用卡违约联合评分（示例）
spec:
  purpose: loan-approval
  subject: opaque
  author: jnrcb
  banks: [jnrcb]
  # The score is the logit of default within a month; weights count in steps of it.
  step: 0.00000001
  base: {base}
  joint: {{least: -2.2, most: 0.4}}
  groups:
{groups}
  outcome:
    grade:
      bands:
        - {{value: AAA}}
        - {{from: -2.5, value: AA}}
        - {{from: -2.12, value: A}}
        - {{from: -1.82, value: BBB}}
        - {{from: -1.5, value: BB}}
        - {{from: -1.2, value: B}}
        - {{from: -0.8, value: C}}
        - {{from: 0.1, value: D}}
  release: {{most_outcomes: 8, narrowest_band: 0.3, bits_per_90_days: 7}}
  waivers:
    - rule: share
      reason: the latest payment status is most of any model of card defaults
      signed_by: credit-bureau
  examples:
    - given:
        card-status.limit_10k: "2"
        card-status.limit_rest: "0"
        card-status.pay_0: "2"
        card-status.pay_2: "2"
        card-status.pay_3: "-1"
        card-status.pay_4: "-1"
        card-status.pay_5: "-2"
        insured-persons.sex: "2"
        insured-persons.marriage: "1"
        insured-persons.age: "24"
        fund-members.education: "2"
      bank: 0.236
      expect: {{grade: C}}
    - given:
        card-status.limit_10k: "32"
        card-status.limit_rest: "768"
        card-status.pay_0: "-1"
        card-status.pay_2: "-1"
        card-status.pay_3: "-1"
        card-status.pay_4: "-1"
        card-status.pay_5: "-1"
        insured-persons.sex: "1"
        insured-persons.marriage: "2"
        insured-persons.age: "35"
        fund-members.education: "1"
      bank: -0.5
      expect: {{grade: AAA}}
    - given: {{fund-members.education: "2"}}
      bank: 0.1
      insufficient_data: true
"""

BANK_MODEL = """\
# The bank's part of the model: this document stays at the bank.
# Made by import_model.py from source/lr_model.json.
apiVersion: safehouse/v1
kind: BankModel
metadata:
  name: card-behaviour
  version: 1
  title: 本行信用卡账单与还款
spec:
  contract: default-joint
  beyond: cap
  columns:
{columns}
  points:
{points}
"""


def main(directory: Path) -> None:
    """Write both documents into `directory`."""
    model = json.loads((HERE / "source/lr_model.json").read_text(), parse_float=Decimal)
    with (HERE / "source/column_map.csv").open(newline="") as file:
        scales = {row["uci_column"]: row for row in csv.DictReader(file)}
    weights = {item["uci_column"]: item["weight"] for item in model["coefficients"]}
    groups = []
    for dataset, columns in DATASETS.items():
        name, title = GROUPS[dataset]
        lines = [f"    - name: {name}", f"      title: {title}", "      indicators:"]
        for column in columns:
            for part, points in _parts(column, weights[column], scales[column]):
                lines += (f"        - column: {dataset}.{part}", f"          {points}")
        groups += lines
    custodians = {column for columns in DATASETS.values() for column in columns}
    bank = [column for column in weights if column not in custodians]
    contract = CONTRACT.format(base=model["intercept"], groups="\n".join(groups))
    document = BANK_MODEL.format(
        columns="\n".join(_column(column, scales[column]) for column in bank),
        points="\n".join(
            f"    - column: {part}\n      {points}"
            for column in bank
            for part, points in _parts(column, weights[column], scales[column])
        ),
    )
    (directory / "contract.yaml").write_text(contract)
    (directory / "bank-model.yaml").write_text(document)


def parts_of(column: str) -> tuple[tuple[str, int, bool], ...]:
    """Return what a column of the model is called, and its units, in the documents."""
    return PARTS.get(column, ((column.lower(), 1, True),))


def _column(column: str, scale: dict[str, str]) -> str:
    ends = f"min: {scale['min']}, max: {scale['max']}"
    return f"    - {{name: {column.lower()}, from: {column}, integer: {{{ends}}}}}"


def _parts(
    column: str, weight: Decimal, scale: dict[str, str]
) -> Iterator[tuple[str, str]]:
    for name, unit, whole in parts_of(column):
        mean, deviation = (
            (Decimal(scale[what]) / unit).quantize(PLACES, ROUND_HALF_EVEN)
            for what in ("mean", "std_ddof0")
        )
        mean = mean if whole else Decimal(0)
        ends = f"mean: {_shortest(mean)}, deviation: {_shortest(deviation)}"
        yield name, f"standardised: {{weight: {weight}, {ends}}}"


def _shortest(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
