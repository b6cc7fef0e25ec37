"""What a custodian reads about the quality of its own data, and how much there is."""

import typer
from rich.console import Console

from node.cli.shell import DEFAULT_CONFIG, AsJson, ConfigPath, load, show, table
from node.custodian import Collected, Custodian
from node.domain import Role
from node.keys import CustodianKeys
from node.quality import Quality, rate
from node.quality_page import decimals


def add_to(app: typer.Typer) -> None:
    """Add this command to the tree."""
    app.command()(collection)


def collection(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Tell how much of the register every dataset covers.

    The collection rate (归集率) of each dataset and custodian: subjects with a row, as
    custodians signed, of those in the base register. `safehouse push` tells a
    custodian more about its own.

    Example: safehouse collection --config tax/safehouse.toml
    """
    with Custodian(*load(config, CustodianKeys, Role.CUSTODIAN)) as custodian:
        found = custodian.collection()
    by_custodian: dict[str, list[Collected]] = {}
    for each in sorted(found, key=lambda each: each.dataset.name):
        by_custodian.setdefault(each.dataset.custodian, []).append(each)
    rows = [
        (
            each.dataset.custodian,
            each.dataset.name,
            each.vintage or "not pushed",
            str(each.present),
            str(each.register),
            rate(each.present, each.register),
        )
        for _, items in sorted(by_custodian.items())
        for each in items
    ]
    totals = {
        custodian: (
            len(items),
            sum(each.present for each in items),
            sum(each.register for each in items),
        )
        for custodian, items in sorted(by_custodian.items())
    }
    headers = ("custodian", "dataset", "period", "present", "register", "rate")

    def text(to: Console) -> None:
        to.print(table(headers, rows))
        for custodian, (items, present, register) in totals.items():
            named = "dataset" if items == 1 else "datasets"
            to.print(f"{custodian}: {items} {named}, {rate(present, register)}")

    document = {
        "datasets": [
            {
                "custodian": each.dataset.custodian,
                "dataset": each.dataset.name,
                "period": each.vintage,
                "present": each.present,
                "register": each.register,
            }
            for each in found
        ],
        "custodians": {
            custodian: {"datasets": items, "present": present, "register": register}
            for custodian, (items, present, register) in totals.items()
        },
    }
    show(document, as_json=as_json, text=text)


def print_quality(quality: Quality, to: Console, *, columns: bool) -> None:
    """Say what a clerk must look at, and column by column if that is asked for."""
    found, change = quality.profile, quality.change
    if found.expected:
        to.print(
            f"{found.arrived} of {found.expected} expected subjects are there,"
            f" {rate(found.arrived, found.expected)}"
        )
    if change is not None:
        to.print(
            f"since version {change.version} ({change.vintage}): {len(change.came)}"
            f" came, {change.went} went, {len(change.changed)} changed; PSI at most"
            f" {decimals(change.farthest.psi)} ({change.farthest.column},"
            f" {change.farthest.verdict})"
        )
    if not columns:
        return
    drifts = {drift.column: drift for drift in change.drifts} if change else {}
    rows = []
    for each in found.columns:
        drift = drifts.get(each.name)
        moved = (
            ("-", "-") if drift is None else (decimals(drift.psi), drift.verdict.value)
        )
        rows.append((each.name, str(each.missing), str(each.outside), *moved))
    to.print(table(("column", "missing", "out of range", "PSI", ""), rows))
    to.print(
        f"{found.good} of {found.register} subjects of the register are there,"
        f" {rate(found.good, found.register)}"
    )
