"""A table's quality as one HTML page, for its custodian: plots of every column.

It is about plaintext, down to single subjects, and says so in its first line; whoever
writes it to a file makes that its owner's only (`node.durable`).
"""

from html import escape
from typing import Final

from contracts import profile
from contracts.profile import ColumnProfile, Drift, Verdict
from node import drawing
from node.drawing import bars, pairs, table
from node.quality import Quality, rate

WARNING: Final = (
    "For the custodian only: counts go down to single subjects, and nothing of this"
    " page has left it."
)


def page(quality: Quality) -> str:
    """Write the page."""
    found = quality.profile
    parts = [_head(quality), _collection(quality), _cells(quality), _moved(quality)]
    drifts: dict[str, Drift] = {}
    if quality.change is not None:
        drifts = {drift.column: drift for drift in quality.change.drifts}
    for column, each in zip(quality.dataset.columns, found.columns, strict=True):
        labels = profile.labels(column, each.edges)
        parts.append(_column(column.title, each, labels, drifts.get(each.name)))
    return drawing.document(f"Data quality of {found.dataset}", parts)


def _head(quality: Quality) -> str:
    found, dataset = quality.profile, quality.dataset
    version = f"{found.version}, of {found.vintage}" if found.version else "not pushed"
    rows = [
        ("responsible unit 责任单位", dataset.unit),
        ("category 信息类别", dataset.category),
        ("version", version),
        ("rows read", f"{found.rows:,}"),
        ("subjects that can be pushed", f"{found.good:,}"),
        ("rows that name a subject twice", f"{found.duplicates:,}"),
        ("rows of subjects outside the register", f"{found.unknown:,}"),
    ]
    return (
        f"<h1>数据质量 Data quality: {escape(found.dataset)}</h1>"
        f'<p class="found">{escape(WARNING)}</p>' + table(("", ""), rows)
    )


def _collection(quality: Quality) -> str:
    found = quality.profile
    rows = [
        (
            "of the base register",
            f"{found.good:,}",
            f"{found.register:,}",
            rate(found.good, found.register),
        )
    ]
    if found.expected:
        rows.append(
            (
                "of those expected",
                f"{found.arrived:,}",
                f"{found.expected:,}",
                rate(found.arrived, found.expected),
            )
        )
    headers = ("", "present", "of", "rate")
    return "<h2>归集率 Collection</h2>" + table(headers, rows, numbers={1, 2, 3})


def _cells(quality: Quality) -> str:
    rows = [
        (each.name, f"{each.missing:,}", f"{each.outside:,}", f"{each.capped:,}")
        for each in quality.profile.columns
    ]
    headers = ("column", "missing", "out of range", "capped")
    return "<h2>缺失与越界 Cells</h2>" + table(headers, rows, numbers={1, 2, 3})


def _moved(quality: Quality) -> str:
    change = quality.change
    if change is None:
        return "<h2>对账 Against the version before</h2><p>There is none.</p>"
    moves = [
        ("came", len(change.came)),
        ("went", change.went),
        ("changed", len(change.changed)),
        ("the same", change.same),
    ]
    rows = [
        (
            drift.column,
            decimals(drift.psi),
            decimals(drift.chance),
            drift.verdict.value,
        )
        for drift in sorted(change.drifts, key=lambda drift: -drift.psi)
    ]
    return (
        f"<h2>对账 Against version {change.version}, of {escape(change.vintage)}</h2>"
        + bars(moves)
        + "<h2>漂移 Drift</h2><p>Population stability index: under 0.1 steady, under"
        " 0.25 moved, else shifted. By chance: what it is on average where nothing"
        " has moved.</p>"
        + table(("column", "PSI", "by chance", ""), rows, numbers={1, 2})
    )


def _column(
    title: str, each: ColumnProfile, labels: tuple[str, ...], drift: Drift | None
) -> str:
    name = escape(f"{each.name} {title}".strip())
    drawn = bars(list(zip(labels, each.counts, strict=True)))
    if drift is None:
        return f"<h2>{name}</h2>{drawn}"
    kind = "clean" if drift.verdict is Verdict.STEADY else "found"
    rows = list(zip(drift.classes, drift.before, drift.now, strict=True))
    totals = (sum(drift.before), sum(drift.now))
    return (
        f'<h2>{name}</h2><p class="{kind}">PSI {decimals(drift.psi)}:'
        f" {drift.verdict.value}; pale: before, dark: now, each in shares of its"
        f" own.</p>{pairs(rows, totals)}"
    )


def decimals(millionths: int) -> str:
    """Write an index with three decimals, rounded.

    >>> decimals(81_093), decimals(1_234_500)
    ('0.081', '1.235')
    """
    thousandths = (millionths + 500) // 1000
    return f"{thousandths // 1000}.{thousandths % 1000:03d}"
