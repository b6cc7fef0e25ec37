"""An audit's report as one HTML page that can be filed: no script, nothing fetched.

What it shows is what `node.verify` found and what `node.journal_tables` counts over the
same export: the verdict and every finding first, then how far the journals go and who
has co-signed them, calls by bank and by what came of them, how long banks waited,
consents by state, jobs (`node.drawing`).
"""

from datetime import UTC, datetime
from html import escape
from typing import Final

from node import drawing
from node.domain import TrustDomain
from node.drawing import bars, table
from node.journal_tables import JournalTables
from node.report import Report, Verdict

BINS: Final = 24  # of the histogram
FINDINGS_SHOWN: Final = 1_000


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
    return drawing.document(f"Audit of {trust.name}", parts)


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
        + table(("", ""), rows)
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
        + table(("journal", "entry", "mark", ""), rows)
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
    return "<h2>日志 Journals</h2>" + table(headers, rows, numbers={1})


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
        + bars(by_bank.rows)
        + "<h2>结果 What came of them</h2>"
        + bars(outcomes.rows)
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
        f" {longest} ms.</p>" + bars(rows)
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
        + bars(rows)
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
    return "<h2>任务 Jobs</h2>" + table(
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
    return "<h2>核查 What was checked</h2>" + table(("", ""), rows, numbers={1})


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value or "")
