"""One changed byte anywhere in an export, or an entry taken out of it.

Whoever carries an export, or keeps it, can edit its files.  The report names the
journal, and the entry where the file has to do with one.
"""

import shutil
from pathlib import Path

import pytest

from node.domain import Role
from node.errors import ExportInvalid
from node.export import write_export
from node.report import EXPORT_INVALID, Verdict
from protocols.tiles import dump_bundle, parse_bundle
from protocols.tlog import leaf_hash
from tests.audited import Audited, told

FILES = ("checkpoint", "checkpoints", "vkey", "tile/0", "tile/entries")


def find(folder: Path, name: str) -> Path:
    """Find a file, or the one bundle or tile below a folder."""
    path = folder / name
    return path if path.is_file() else next(p for p in path.rglob("*") if p.is_file())


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("journal", ["house", "authority"])
def test_one_changed_byte(
    town: Audited, tmp_path: Path, journal: str, name: str
) -> None:
    """At places all over the file: never clean, always that journal."""
    folder = town.copy(tmp_path / "x")
    path = find(folder / journal, name)
    data = path.read_bytes()
    entries = [entry.to_bytes() for entry in town.entries(Role(journal))]
    for at in range(0, len(data), len(data) // 12 + 1):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        report = town.verify(folder, signatures=False)
        assert report.verdict is Verdict.INVALID, at
        first = report.findings[0]
        assert (first.journal, first.mark) == (journal, EXPORT_INVALID), at
        if name == "tile/0":
            assert first.index == at // 32
        if name == "tile/entries":
            assert first.index == entry_at(entries, at)
        with pytest.raises(ExportInvalid) as caught:
            report.check()
        assert caught.value.exit_code == 40


def entry_at(entries: list[bytes], at: int) -> int:
    """Say which entry of a bundle a byte is of, its length included."""
    for index, entry in enumerate(entries):
        at -= 2 + len(entry)
        if at < 0:
            return index
    raise AssertionError("beyond the bundle")


def test_one_changed_byte_of_the_domain_file(town: Audited, tmp_path: Path) -> None:
    """What is said about keys there is not believed, and told."""
    folder = town.copy(tmp_path / "x")
    path = folder / "domain.json"
    data = path.read_bytes()
    end = data.index(b'"signature"')
    for at in range(0, end, end // 40):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        report = town.verify(folder, signatures=False)
        assert [finding.journal for finding in report.findings] == ["domain.json"]


@pytest.mark.parametrize("with_tile", [False, True])
def test_an_entry_taken_out(town: Audited, tmp_path: Path, *, with_tile: bool) -> None:
    """Out of the bundle, and out of the hashes too: the first wrong one is named."""
    entries = [entry.to_bytes() for entry in town.entries(Role.HOUSE)]
    folder = town.copy(tmp_path / "x")
    bundle = find(folder / "house", "tile/entries")
    kept = parse_bundle(bundle.read_bytes(), len(entries))
    del kept[7]
    bundle.write_bytes(dump_bundle([*kept, kept[-1]]))
    if with_tile:
        tile = find(folder / "house", "tile/0")
        hashes = [leaf_hash(entry) for entry in [*kept, kept[-1]]]
        tile.write_bytes(b"".join(hashes))
    report = town.verify(folder)
    assert ("house", 7, EXPORT_INVALID) in told(report.findings)


def test_an_export_signed_by_somebody_else(town: Audited, tmp_path: Path) -> None:
    """Whole, consistent, and under a key of the carrier's own."""
    data = [entry.to_bytes() for entry in town.entries(Role.HOUSE)]
    folder = town.copy(tmp_path / "x")
    shutil.rmtree(folder / "house")
    write_export(folder / "house", town.source(Role.AUTHORITY, data))
    report = town.verify(folder)
    assert ("house", None, EXPORT_INVALID) in told(report.findings)
    assert "not pinned" in report.findings[0].sentence
