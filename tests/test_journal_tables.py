"""Journals as tables and as a page: counted twice, and nothing else in reach."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.domain import Role
from node.errors import ExportInvalid, QueryRefused
from node.journal_tables import FOLDER, JournalTables
from node.report import Finding
from node.report_page import page
from node.verify import verify
from protocols.canon import loads
from protocols.entry import Kind
from tests.audited import Audited, audited

NOW_MS = 1_700_000_000_000


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    """Run a town and export it."""
    with audited(tmp_path_factory.mktemp("tables")) as made:
        yield made


@pytest.fixture(scope="module")
def tables(town: Audited) -> Iterator[JournalTables]:
    """Open its tables."""
    with JournalTables.open(town.folder, town.world.domain) as made:
        yield made


@pytest.mark.parametrize("role", [Role.HOUSE, Role.AUTHORITY])
def test_every_entry_is_a_row(town: Audited, tables: JournalTables, role: Role) -> None:
    """As many of each kind as a plain reading finds, in their order."""
    kinds = [entry.kind.value for entry in town.entries(role)]
    answer = tables.query(f"SELECT idx, kind FROM {role.value} ORDER BY idx")
    assert [kind for _, kind in answer.rows] == kinds
    assert [index for index, _ in answer.rows] == list(range(len(kinds)))
    counted = tables.query(
        "SELECT kind, count(*) FROM journal WHERE node = ? GROUP BY 1", [role.value]
    )
    assert dict(counted.rows) == Counter(kinds)


def test_a_row_a_call(tables: JournalTables) -> None:
    """Who asked, what both decided and why, as the entries say."""
    answer = tables.query("SELECT bank, house, authority, reason, ms FROM calls")
    permitted = [row for row in answer.rows if row[2] == "permit"]
    assert Counter(row[0] for row in permitted) == {"jnrcb": 5, "lsbank": 1}
    assert all(row[1] == "permit" and row[3] is None for row in permitted)
    assert all(row[4] >= 0 for row in permitted)
    denied = [row for row in answer.rows if row[2] is None]
    assert [row[:4] for row in denied] == [("jnrcb", "deny", None, "NO_CONSENT")] * 2


def test_a_row_a_consent(town: Audited, tables: JournalTables) -> None:
    """Uses are the permits under it."""
    answer = tables.query("SELECT consent, registrar, last_event, calls FROM consents")
    uses: Counter[str] = Counter()
    for entry in town.entries(Role.AUTHORITY):
        if entry.kind is Kind.CALL_PERMIT:
            uses[str(entry.body["consent"])] += 1
    assert len(answer.rows) == 8
    assert {row[0]: row[3] for row in answer.rows if row[3]} == uses
    assert {row[1:3] for row in answer.rows} == {("registrar", "grant")}


def test_bodies_are_json(town: Audited, tables: JournalTables) -> None:
    """What an entry's body says can be asked for."""
    (row,) = tables.query(
        "SELECT json_extract_string(body, '$.request.payload') FROM authority"
        " WHERE kind = 'call.permit' ORDER BY idx LIMIT 1"
    ).rows
    permits = [e for e in town.entries(Role.AUTHORITY) if e.kind is Kind.CALL_PERMIT]
    assert row[0] == permits[0].body["request"]["payload"]  # type: ignore[index,call-overload]
    assert loads(row[0].encode(), "safehouse/request/1")["bank"] == "jnrcb"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM '/etc/hostname'",
        "COPY house TO '/tmp/copied.csv'",
        "ATTACH '/tmp/other.db'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SELECT * FROM nothing",
        "not SQL",
    ],
)
def test_nothing_else_is_in_reach(tables: JournalTables, sql: str) -> None:
    """A query from a page on the web reads no file of the auditor's and sends none."""
    with pytest.raises(QueryRefused, match="cannot be answered"):
        tables.query(sql)


def test_too_many_rows(tables: JournalTables) -> None:
    """A join that explodes is refused, not printed."""
    with pytest.raises(QueryRefused, match="at most 100000 rows"):
        tables.query("SELECT * FROM house a, house b, house c, house d")


def test_an_edited_export_becomes_no_table(town: Audited, tmp_path: Path) -> None:
    """Only what a checkpoint covers is taken, and no file is left of the rest."""
    folder = town.copy(tmp_path / "copy")
    for path in (folder / FOLDER).glob("*"):
        path.unlink()
    (bundle,) = (folder / "house/tile/entries").rglob("000.p/*")
    data = bundle.read_bytes()
    bundle.write_bytes(data.replace(b"NO_CONSENT", b"WITHDRAWN_"))
    with pytest.raises(ExportInvalid):
        JournalTables.open(folder, town.world.domain)
    assert list((folder / FOLDER).glob("*.parquet")) == []


def test_a_journal_that_grew_is_read_anew(town: Audited) -> None:
    """The file is named by size and root: an older one is never taken for it."""
    files = {path.name for path in (town.folder / FOLDER).glob("*.parquet")}
    sizes = {
        f"{role.value}.{len(town.entries(role))}"
        for role in (Role.HOUSE, Role.AUTHORITY)
    }
    assert {name.rsplit(".", 2)[0] for name in files} == sizes


def test_the_page_says_what_was_found(town: Audited, tables: JournalTables) -> None:
    """Counts and verdict stand on it, nothing is fetched, and text stays text."""
    report = verify(town.folder, town.world.domain)
    text = page(report, town.world.domain, tables, NOW_MS)
    for said in ("clean", "NO_CONSENT", "jnrcb", f"{report.entries:,} entries", "14"):
        assert said in text
    for fetched in ("<script", "http:", "https:", "<link", "url("):
        assert fetched not in text
    evil = Finding("house", 1, "", "MARK", "<script>alert(1)</script>")
    told = type(report)(
        **{
            name: getattr(report, name)
            for name in report.__slots__
            if name != "findings"
        },
        findings=(evil,),
    )
    text = page(told, town.world.domain, tables, NOW_MS)
    assert "&lt;script&gt;" in text
    assert "<script" not in text
