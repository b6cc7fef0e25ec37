"""Exports: complete, resumable, and useless to whoever edits them.

Cases 24, 26, 28, 31, 34, 35, 37.
"""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import apsw
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.clock import now_ms
from node.errors import ExportInvalid, ForkFound
from node.export import Source, exported_key, read_export, write_export
from node.ledger import Ledger, Transaction
from protocols.entry import Kind
from protocols.note import Checkpoint, VerifierKey
from protocols.tiles import tiles_of
from protocols.tlog import EMPTY_ROOT, Tree, leaf_hash

SIGNER = Ed25519PrivateKey.from_private_bytes(b"j" * 32)
STRANGER = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
ORIGIN = "rencheng.example/house"
KEY = VerifierKey.of(ORIGIN, SIGNER)


def entry(index: int) -> bytes:
    """Make up an entry."""
    return b"entry %d %s" % (index, b"." * (index % 7))


def sign(size: int, root: bytes, signer: Ed25519PrivateKey = SIGNER) -> str:
    """Sign a checkpoint."""
    return Checkpoint(ORIGIN, size, root).sign(signer)


def journal(
    size: int, step: int = 100, change: Callable[[int], bytes] = entry
) -> Source:
    """Make up a journal with a checkpoint every `step` entries and at its end."""
    entries = [change(index) for index in range(size)]
    tree = Tree(map(leaf_hash, entries))
    sizes = sorted({*range(0, size, step), size})
    notes = {at: sign(at, tree.root(at)) for at in sizes}
    return Source(
        KEY,
        notes[size],
        lambda since: [note for at, note in notes.items() if at > since],
        lambda start, stop: entries[start:stop],
    )


def files(folder: Path) -> dict[str, bytes]:
    """Read every file of an export."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def verify(folder: Path, keys: Sequence[VerifierKey] = (KEY,)) -> int:
    """Read all of an export; return its size."""
    export = read_export(folder, keys)
    count = sum(1 for _ in export.entries())
    assert count == export.checkpoint.size
    return count


# Writing and reading


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 1000])
def test_what_is_written_is_read(tmp_path: Path, size: int) -> None:
    """Case 31: every size gives its tiles, and the same entries back."""
    write_export(tmp_path, journal(size))
    assert list(read_export(tmp_path, [KEY]).entries()) == [
        entry(index) for index in range(size)
    ]
    names = {"vkey", "checkpoint", "checkpoints"}
    for tile in tiles_of(size):
        names |= {tile.path, tile.bundle or tile.path}
    assert set(files(tmp_path)) == names
    assert exported_key(tmp_path) == KEY


def test_the_specifications_example(tmp_path: Path) -> None:
    """Case 31: 70,000 entries are 273 full tiles and one of 112, and so on."""
    write_export(tmp_path, journal(70_000, 10_000))
    assert verify(tmp_path) == 70_000
    names = files(tmp_path)
    full = [name for name in names if name.startswith("tile/0/") and ".p" not in name]
    assert len(full) == 273
    partial = [name for name in names if ".p/" in name]
    assert partial == [
        "tile/0/273.p/112",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
        "tile/entries/273.p/112",
    ]


@pytest.mark.parametrize("sizes", [(3, 300, 300, 700), (0, 256, 257, 512)])
def test_growing_export_is_a_fresh_one(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    """Brought up to date again and again, it verifies each time and ends the same."""
    grown, fresh = tmp_path / "grown", tmp_path / "fresh"
    for size in sizes:
        write_export(grown, journal(size))
        assert verify(grown) == size
    write_export(fresh, journal(sizes[-1]))
    assert (
        files(grown).items()
        >= {
            name: data for name, data in files(fresh).items() if name != "checkpoints"
        }.items()
    )


def test_full_bundles_are_not_asked_for_again(tmp_path: Path) -> None:
    """An export over a wire goes on where it ended."""
    asked = []
    source = journal(700)

    def entries(start: int, stop: int) -> list[bytes]:
        asked.append((start, stop))
        return list(source.entries(start, stop))

    write_export(tmp_path, journal(600))
    write_export(tmp_path, replace(source, entries=entries))
    assert asked == [(512, 700)]
    assert verify(tmp_path) == 700


def test_partial_tile_that_became_full_meanwhile(tmp_path: Path) -> None:
    """A reader with the older checkpoint takes the full tile in its place."""
    write_export(tmp_path, journal(200))
    older = (tmp_path / "checkpoint").read_bytes()
    write_export(tmp_path, journal(300))
    assert not (tmp_path / "tile/entries/000.p").exists()
    (tmp_path / "checkpoint").write_bytes(older)
    assert verify(tmp_path) == 200


# Interruption


def test_interrupted_at_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 24: whatever call fails, the older export stands, and a retry ends it."""
    before, after = journal(300), journal(600)
    step = 0
    finished = False
    while not finished:
        folder = tmp_path / str(step)
        write_export(folder, before)
        calls = [0]

        def count(
            calls: list[int] = calls, step: int = step, original: str = ""
        ) -> None:
            calls[0] += 1
            if calls[0] == step + 1:
                raise OSError(errno.EIO, original)

        with monkeypatch.context() as patch:
            for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "mkdir")):
                original = getattr(owner, name)

                def failing(*args: object, original=original, **more: object) -> object:  # type: ignore[no-untyped-def]  # noqa: ANN001
                    count()
                    return original(*args, **more)

                patch.setattr(owner, name, failing)
            try:
                write_export(folder, after)
                finished = True
            except OSError:
                pass
        assert verify(folder) in (300, 600)
        write_export(folder, after)
        assert verify(folder) == 600
        shutil.rmtree(folder)
        step += 1
    assert step > 20


def test_unfinished_first_export(tmp_path: Path) -> None:
    """Without its checkpoint a folder is no export."""
    write_export(tmp_path, journal(10))
    (tmp_path / "checkpoint").unlink()
    with pytest.raises(ExportInvalid, match="is missing") as refused:
        read_export(tmp_path, [KEY])
    assert refused.value.hint == "was the export finished"
    assert refused.value.exit_code == 40


def test_source_that_ends_early(tmp_path: Path) -> None:
    """A journal that does not give what its checkpoint covers is not exported."""
    source = replace(journal(300), entries=lambda i, j: [entry(i)] * (j - i - 1))
    with pytest.raises(ExportInvalid, match="log ends at 299, its checkpoint at 300"):
        write_export(tmp_path, source)


# Edited


def test_one_flipped_bit_anywhere(tmp_path: Path) -> None:
    """Whatever byte of whatever file is changed, reading fails."""
    write_export(tmp_path, journal(600))
    for name, data in files(tmp_path).items():
        for at in {0, 1, len(data) // 2, len(data) - 1}:
            edited = bytearray(data)
            edited[at] ^= 1
            (tmp_path / name).write_bytes(edited)
            with pytest.raises(ExportInvalid):
                verify(tmp_path)
        for cut in (data[:-1], data + b"\0", b""):
            (tmp_path / name).write_bytes(cut)
            if name != "vkey" or cut != data[:-1]:  # its last newline says nothing
                with pytest.raises(ExportInvalid):
                    verify(tmp_path)
        (tmp_path / name).unlink()
        with pytest.raises(ExportInvalid, match="missing"):
            verify(tmp_path)
        (tmp_path / name).write_bytes(data)
    assert verify(tmp_path) == 600


@pytest.mark.parametrize("index", [0, 255, 256, 511, 512, 598, 599])
def test_edited_entry_is_named(tmp_path: Path, index: int) -> None:
    """Case 26: content, length and hash of an entry: each names that entry."""
    write_export(tmp_path, journal(600))
    (bundle,) = (
        tile
        for tile in tiles_of(600)
        if tile.level == 0 and tile.first <= index < tile.first + tile.width
    )
    path = tmp_path / (bundle.bundle or "")
    content = path.read_bytes()
    start = sum(2 + len(entry(at)) for at in range(bundle.first, index))
    for at in (start, start + 1, start + 2, start + 1 + len(entry(index))):
        edited = bytearray(content)
        edited[at] ^= 1
        path.write_bytes(edited)
        with pytest.raises(ExportInvalid, match=f"entry {index}") as found:
            verify(tmp_path)
        assert found.value.index == index
    path.write_bytes(content)
    hashes = bytearray((tmp_path / bundle.path).read_bytes())
    hashes[32 * (index - bundle.first)] ^= 1
    (tmp_path / bundle.path).write_bytes(hashes)
    with pytest.raises(ExportInvalid, match=f"entry {index} is not"):
        verify(tmp_path)


def test_entries_before_a_wrong_one_were_right(tmp_path: Path) -> None:
    """Nothing of the bundle that holds the wrong entry comes out."""
    write_export(tmp_path, journal(600))
    path = tmp_path / "tile/entries/001"
    path.write_bytes(path.read_bytes().replace(b"entry 300", b"ENTRY 300"))
    entries = read_export(tmp_path, [KEY]).entries()
    assert list(islice(entries, 256)) == [entry(index) for index in range(256)]
    with pytest.raises(ExportInvalid, match="entry 300 is not"):
        next(entries)


def test_consistently_rewritten_history(tmp_path: Path) -> None:
    """An entry edited with all tiles above it: the checkpoints bound where."""
    honest = journal(600)
    edited = journal(
        600, change=lambda index: b"edited" if index == 342 else entry(index)
    )
    write_export(tmp_path, replace(edited, note=honest.note, notes=honest.notes))
    with pytest.raises(ExportInvalid, match="entries 300 to 399 are not what") as found:
        verify(tmp_path)
    assert found.value.index == 300


def test_one_checkpoint_an_entry_names_the_entry(tmp_path: Path) -> None:
    """The denser the checkpoints, the closer the finding."""
    honest = journal(60, 1)
    edited = journal(60, 1, lambda i: b"edited" if i == 34 else entry(i))
    write_export(tmp_path, replace(edited, note=honest.note, notes=honest.notes))
    with pytest.raises(ExportInvalid, match="entry 34 is not what checkpoint 35"):
        verify(tmp_path)


# Forks and keys


def test_fork_is_reported_with_both_notes(tmp_path: Path) -> None:
    """Case 28: all entries verify, but another history was signed too."""
    source = journal(600)
    other = sign(450, bytes(32))
    notes = list(source.notes(-1))
    notes.insert(5, other)
    write_export(tmp_path, replace(source, notes=lambda _: notes))
    with pytest.raises(ForkFound, match="two histories of 450 entries") as found:
        verify(tmp_path)
    assert found.value.notes == (other, source.note)
    assert found.value.exit_code == 41


def test_two_roots_for_one_size(tmp_path: Path) -> None:
    """Case 28: two checkpoints of one size are evidence by themselves."""
    source = journal(600)
    notes = list(source.notes(-1))
    other = sign(400, bytes(32))
    notes.insert(5, other)
    write_export(tmp_path, replace(source, notes=lambda _: notes))
    with pytest.raises(ForkFound) as found:
        verify(tmp_path)
    assert found.value.notes == (notes[4], other)


def test_rewritten_since_the_last_export(tmp_path: Path) -> None:
    """Case 27: the auditor's own older export refuses the new history."""
    write_export(tmp_path, journal(600))
    forked = journal(700, change=lambda i: entry(i) if i < 500 else b"new")
    with pytest.raises(ExportInvalid, match="rewritten since its export of 600"):
        write_export(tmp_path, forked)
    assert verify(tmp_path) == 600
    forked = journal(600, change=lambda i: entry(i) if i < 500 else b"new")
    with pytest.raises(ExportInvalid, match="is there already, with other bytes"):
        write_export(tmp_path, forked)
    with pytest.raises(ExportInvalid, match="shorter than its export of 600"):
        write_export(tmp_path, journal(590))
    assert verify(tmp_path) == 600


def test_notes_out_of_order(tmp_path: Path) -> None:
    """Checkpoints stand in the order of their sizes."""
    source = journal(300)
    notes = list(source.notes(-1))
    write_export(
        tmp_path, replace(source, notes=lambda _: [notes[i] for i in (1, 0, 2)])
    )
    with pytest.raises(ExportInvalid, match="not in order"):
        verify(tmp_path)


def test_only_pinned_keys_are_believed(tmp_path: Path) -> None:
    """The key in the folder proves nothing; the same folder of another key fails."""
    other = VerifierKey.of(ORIGIN, STRANGER)
    source = journal(10)
    write_export(tmp_path, source)
    for keys in ([], [other]):
        with pytest.raises(ExportInvalid, match="which is not pinned"):
            read_export(tmp_path, keys)
    (tmp_path / "vkey").write_text(f"{other}\n")
    with pytest.raises(ExportInvalid, match="signed by no known key"):
        read_export(tmp_path, [other])


def test_one_journal_does_not_pass_for_another(tmp_path: Path) -> None:
    """Keys of both journals are pinned; each vouches for its own folder only."""
    authority = VerifierKey.of("rencheng.example/authority", STRANGER)
    write_export(tmp_path, journal(10))
    assert verify(tmp_path, [authority, KEY]) == 10
    (tmp_path / "vkey").write_text(f"{authority}\n")
    with pytest.raises(ExportInvalid, match="expected `rencheng"):
        verify(tmp_path, [authority, KEY])


def test_notes_by_an_old_and_a_new_key(tmp_path: Path) -> None:
    """Case 37: both pinned keys verify their own range, and the old one no more."""
    tree = Tree(leaf_hash(entry(index)) for index in range(20))
    notes = [
        sign(5, tree.root(5), STRANGER),
        sign(10, tree.root(10), STRANGER),
        sign(20, tree.root(20)),
    ]
    source = replace(journal(20), note=notes[-1], notes=lambda _: notes)
    write_export(tmp_path, source)
    assert verify(tmp_path, [KEY, VerifierKey.of(ORIGIN, STRANGER)]) == 20
    with pytest.raises(ExportInvalid, match="20 entries is signed by a key that was"):
        verify(tmp_path, [VerifierKey.of(ORIGIN, STRANGER), KEY])
    with pytest.raises(ExportInvalid, match="signed by no known key"):
        verify(tmp_path)


def test_one_folder_one_journal(tmp_path: Path) -> None:
    """Another journal is not mixed into an export."""
    write_export(tmp_path, journal(10))
    other = Ed25519PrivateKey.generate()
    note = Checkpoint("other.example/log", 0, EMPTY_ROOT).sign(other)
    with pytest.raises(ExportInvalid, match="holds the journal `rencheng"):
        write_export(
            tmp_path,
            Source(
                VerifierKey.of("other.example/log", other),
                note,
                lambda _: [note],
                lambda _i, _j: [],
            ),
        )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("checkpoints", b"\xff\xfe\n"),
        ("checkpoints", b"a line without an end " * 10_000),
        ("checkpoints", b"line\n" * 40_000),
        ("checkpoints", b"\n\n\n\n"),
        ("checkpoint", b"\xff"),
        ("checkpoint", b"text"),
        ("vkey", b"\xff"),
        ("vkey", b"a+b+c"),
        ("tile/entries/000", b"\xff" * 17_000_000),
        ("tile/0/000", b"\0" * 9_000),
    ],
)
def test_malicious_files(tmp_path: Path, name: str, content: bytes) -> None:
    """Junk of any size is refused without being read whole."""
    write_export(tmp_path, journal(300))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ExportInvalid):
        verify(tmp_path)


# Of a ledger


def start(transaction: Transaction) -> None:
    """Append an entry."""
    transaction.append(Kind.LOG_READ, "auditor", "", {})


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Open a ledger of 300 entries, some alone and some in groups."""
    ledger = Ledger.open(
        tmp_path / "house.ledger", signer=SIGNER, origin=ORIGIN, clock=now_ms
    )
    for future in [ledger.submit(start) for _ in range(290)]:
        future.result(5)
    for _ in range(10):
        ledger.commit(start)
    return ledger


def test_export_while_the_node_runs(tmp_path: Path, ledger: Ledger) -> None:
    """Case 35: an export of a growing ledger is of one moment, readable by all."""
    folder = tmp_path / "export"
    done = threading.Event()

    def grow() -> None:
        while not done.is_set():
            ledger.commit(start)

    growing = threading.Thread(target=grow)
    growing.start()
    try:
        sizes = []
        for _ in range(3):
            write_export(folder, Source.of(ledger))
            sizes.append(verify(folder))
    finally:
        done.set()
        growing.join()
    ledger.close()
    assert 300 <= sizes[0] <= sizes[1] <= sizes[2]
    assert verify(folder) == sizes[2]
    old = os.umask(0)
    os.umask(old)
    for path in folder.rglob("*"):
        assert path.stat().st_mode & 0o444 & ~old == 0o444 & ~old


def test_edit_under_the_journals_feet(tmp_path: Path, ledger: Ledger) -> None:
    """Case 26: an entry edited in the database, triggers dropped, is named."""
    ledger.close()
    db = apsw.Connection(str(tmp_path / "house.ledger"))
    db.execute("DROP TRIGGER entry_update")
    db.execute(
        "UPDATE entry SET data = replace(data, 'auditor', 'nobody!') WHERE idx = 123"
    )
    db.close()
    again = Ledger.open(
        tmp_path / "house.ledger", signer=SIGNER, origin=ORIGIN, clock=now_ms
    )
    again.commit(start)  # it cannot know
    write_export(tmp_path / "export", Source.of(again))
    again.close()
    with pytest.raises(ExportInvalid, match="entry 123 is not the one that") as found:
        verify(tmp_path / "export")
    assert found.value.index == 123


@pytest.mark.slow
def test_a_million_entries(tmp_path: Path) -> None:
    """Case 34: a million entries are verified in 30 s and 500 MB."""
    root = Path(__file__).parents[1]
    result = tmp_path / "result.json"
    subprocess.run(
        [
            sys.executable,
            "benchmarks/ledger.py",
            *("--only", "verify", "--entries", "1000000", "--json", str(result)),
        ],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=True,
    )
    (measured,) = json.loads(result.read_text())["results"]
    assert measured["seconds"] < 30
    assert measured["peak_mb"] < 500
