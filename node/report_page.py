"""An audit's report as one HTML page that can be filed: no script, nothing fetched.

What it shows is what `node.verify` found and what `node.journal_tables` counts over the
same export: the verdict and every finding first, then how far the journals go and who
has co-signed them, calls by bank and by what came of them, how long banks waited,
consents by state, jobs.  Bars are plain SVG, so the page prints as it looks.  All text
from journals is escaped: a reason or a title must not become markup in a browser.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from node.domain import TrustDomain
from node.journal_tables import JournalTables
from node.report import Report, Verdict

WIDTH: Final = 420  # of a bar chart's bars, pixels
BAR: Final = 18
LABELS: Final = 220
BINS: Final = 24  # of the histogram
FINDINGS_SHOWN: Final = 1_000

_STYLE: Final = """
body { font: 15px/1.5 system-ui, "Noto Sans CJK SC", sans-serif; max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; color: #222 }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse } td, th { padding: .15rem .8rem .15rem 0;
  text-align: left; vertical-align: top } td.n { text-align: right }
code { font-size: .85em; overflow-wrap: anywhere }
.clean { color: #196b2c } .found { color: #a11 } svg text { font-size: 13px }
"""


def page(report: Report, trust: TrustDomain, tables: JournalTables, now_ms: int) -> str:
    """Write the page."""
    parts = [
        _head(report, trust, now_ms),
        _findings(report),
        _journals(report),
        _calls(tables),
        _waiting(tables),
        _consents(tables),
        _jobs(tables),
        _proofs(report),
    ]
    title = escape(f"Audit of {trust.name}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _head(report: Report, trust: TrustDomain, now_ms: int) -> str:
    kind = "clean" if report.verdict is Verdict.CLEAN else "found"
    when = datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(" ", "minutes")[:16]
    rows = [
        ("trust domain", f"{trust.name}, serial {trust.serial}"),
        ("written", f"{when} UTC"),
        ("entries", f"{report.entries:,} under {report.checkpoints:,} checkpoints"),
        ("decisions replayed", f"{report.decisions_replayed:,}"),
    ]
    return (
        f"<h1>审计报告 Audit report: {escape(trust.name)}</h1>"
        f'<p>Verdict: <strong class="{kind}">{escape(report.verdict)}</strong></p>'
        + _table(("", ""), rows)
    )


def _findings(report: Report) -> str:
    if not report.findings:
        return "<h2>发现 Findings</h2><p>None.</p>"
    rows = [
        (
            finding.journal,
            "" if finding.index is None else str(finding.index),
            finding.mark,
            finding.sentence,
        )
        for finding in report.findings[:FINDINGS_SHOWN]
    ]
    evidence = "".join(f"<pre>{escape(note)}</pre>" for note in report.notes)
    return (
        f"<h2>发现 Findings: {len(report.findings)}</h2>"
        + _table(("journal", "entry", "mark", ""), rows)
        + evidence
    )


def _journals(report: Report) -> str:
    rows = []
    for name, head in report.heads.items():
        seen = "; ".join(
            f"{each.witness} at {each.size:,} on"
            f" {datetime.fromtimestamp(each.time_s, UTC):%Y-%m-%d %H:%M}"
            for each in report.cosigned.get(name, ())
        )
        rows.append((name, f"{head.size:,}", head.root.hex(), seen or "nobody"))
    headers = ("journal", "entries", "root", "co-signed by")
    return "<h2>日志 Journals</h2>" + _table(headers, rows, numbers={1})


def _calls(tables: JournalTables) -> str:
    by_bank = tables.query(
        "SELECT bank, count(*) FROM calls GROUP BY 1 ORDER BY 2 DESC, 1"
    )
    outcomes = tables.query(
        "SELECT coalesce(reason, 'permitted'), count(*) FROM calls"
        " GROUP BY 1 ORDER BY 2 DESC, 1"
    )
    return (
        "<h2>调用 Calls by bank</h2>"
        + _bars(by_bank.rows)
        + "<h2>结果 What came of them</h2>"
        + _bars(outcomes.rows)
    )


def _waiting(tables: JournalTables) -> str:
    (row,) = tables.query(
        "SELECT count(ms), quantile_disc(ms, 0.5), quantile_disc(ms, 0.95), max(ms)"
        " FROM calls"
    ).rows
    count, half, most, longest = row
    if not count:
        return "<h2>时延 Latency</h2><p>No call was answered.</p>"
    width = max(1, -(-(most + 1) // BINS))
    bins = tables.query(
        "SELECT least(ms // ?, ?), count(*) FROM calls WHERE ms IS NOT NULL"
        " GROUP BY 1 ORDER BY 1",
        (width, BINS),
    )
    found: dict[int, int] = {int(place): number for place, number in bins.rows}
    rows = [
        (
            f"{place * width} ms and more" if place == BINS else f"{place * width} ms",
            found.get(place, 0),
        )
        for place in range(max(found) + 1)
    ]
    return (
        "<h2>时延 Latency</h2><p>From intent to outcome in the house's journal: half of"
        f" {count:,} calls within {half} ms, 95 % within {most} ms, the longest"
        f" {longest} ms.</p>" + _bars(rows)
    )


def _consents(tables: JournalTables) -> str:
    states = tables.query(
        "SELECT if(approval = 'waits', last_event || ', waits', last_event),"
        " count(*), sum(calls)::BIGINT FROM consents"
        " GROUP BY 1 ORDER BY 2 DESC, 1"
    )
    rows = [(state, count) for state, count, _ in states.rows]
    uses = sum(used for _, _, used in states.rows)
    return (
        f"<h2>授权 Consents by last event</h2><p>{uses:,} single calls permitted.</p>"
        + _bars(rows)
    )


def _jobs(tables: JournalTables) -> str:
    jobs = tables.query(
        "SELECT submitted, bank, entries, permitted, denied, released,"
        " coalesce(state, 'under way'), job FROM jobs ORDER BY submitted"
    )
    if not jobs.rows:
        return ""
    rows = [
        (f"{when:%Y-%m-%d %H:%M}", *map(_number, rest)) for when, *rest in jobs.rows
    ]
    headers = ("submitted", "bank", "subjects", "permitted", "denied", "released")
    return "<h2>任务 Jobs</h2>" + _table(
        (*headers, "state", "job"), rows, numbers={2, 3, 4, 5}
    )


def _proofs(report: Report) -> str:
    rows = [
        ("leaves and roots recomputed", f"{report.entries:,} entries"),
        ("checkpoints verified", f"{report.checkpoints:,}"),
        ("permits and denials decided again", f"{report.decisions_replayed:,}"),
        ("banks' receipts verified and compared", f"{report.receipts:,}"),
        ("permits whose commitments nobody opened", f"{report.unopened:,}"),
        ("intents without an answer yet", f"{report.unfinished.intents:,}"),
    ]
    rows += [
        (f"denials beyond replay: {reason}", f"{count:,}")
        for reason, count in report.beyond.items()
    ]
    return "<h2>核查 What was checked</h2>" + _table(("", ""), rows, numbers={1})


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value or "")


def _bars(rows: Sequence[tuple[Any, ...]]) -> str:
    if not rows:
        return "<p>None.</p>"
    top, height = max(1, *(count for _, count in rows)), BAR + 6
    bars = []
    for number, (label, count) in enumerate(rows):
        y, length = number * height, WIDTH * count // top
        bars.append(
            f'<text x="0" y="{y + 14}">{escape(str(label))}</text>'
            f'<rect x="{LABELS}" y="{y}" width="{length}" height="{BAR}"'
            ' fill="#3b6ea5"/>'
            f'<text x="{LABELS + length + 6}" y="{y + 14}">{count:,}</text>'
        )
    size = f'width="{LABELS + WIDTH + 90}" height="{len(rows) * height}"'
    return f"<svg {size}>{''.join(bars)}</svg>"


def _table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: frozenset[int] | set[int] = frozenset(),
) -> str:
    head = "".join(f"<th>{escape(header)}</th>" for header in headers)
    lines = []
    for row in rows:
        cells = (
            f'<td class="n">{escape(cell)}</td>'
            if number in numbers
            else f"<td>{_cell(cell)}</td>"
            for number, cell in enumerate(row)
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _cell(text: str) -> str:
    long = len(text) == 64 and text.isalnum()  # noqa: PLR2004  a hash
    return f"<code>{escape(text)}</code>" if long else escape(text)
