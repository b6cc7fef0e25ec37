"""A copy of a running party, put back: whole, or refused, and never an older one."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from node import backup, clock, config, keys, rotation, run, succession
from node.backup import DATA, LEDGER, MANIFEST, Manifest, restore
from node.children import Child
from node.errors import (
    BackupInvalid,
    ConfigInvalid,
    InitRefused,
    KeystoreLocked,
    LedgerDamaged,
    NodeError,
    Unreachable,
)
from node.initialise import Plan, initialise
from node.run import Node
from node.wire.v1 import common_pb2
from protocols import seal
from protocols.canon import dumps, loads
from protocols.entry import Kind
from protocols.errors import FormatError
from protocols.note import LogProof

PHRASE = "throw-away"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write files whose passphrase costs a millisecond instead of 170."""
    monkeypatch.setattr(seal, "LOG_N", 10)
    monkeypatch.setenv(keys.PASSPHRASE, PHRASE)


@pytest.fixture(scope="module")
def drawn_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one trust domain on disk, to be copied."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seal, "LOG_N", 10)
        folder = tmp_path_factory.mktemp("backup") / "trust"
        witness = "127.0.0.1:1"  # nobody answers there
        plan = Plan("rencheng", key_bits=2048, witness=witness)
        initialise(folder, plan, PHRASE, clock.now_ms())
    return folder


@pytest.fixture
def home(drawn_once: Path, tmp_path: Path) -> Path:
    """Copy the house's folder, with something in its vault."""
    shutil.copytree(drawn_once / "house", tmp_path / "house")
    (tmp_path / "house" / DATA / "blocks").mkdir(parents=True)
    (tmp_path / "house" / DATA / "blocks" / "a.blocks").write_bytes(b"ciphertexts")
    return tmp_path / "house"


@pytest.fixture
def node(home: Path) -> Iterator[Node]:
    """Run the house."""
    opened = run.open_node(config.load(home))
    yield opened
    opened.close()


def grow(node: Node, entries: int = 1) -> str:
    """Let the journal grow; return its newest checkpoint."""
    for _ in range(entries):
        node.ledger.commit(lambda tx: tx.append(Kind.NODE_START, "house", "", {}))
    return node.ledger.head.note


def copy(home: Path, folder: Path) -> Manifest:
    """Back up a party."""
    own = config.load(home)
    trust = succession.trusted(own)
    held = keys.load(keys.OF_ROLE[own.role], own, trust)
    return backup.backup(own, trust, held, folder, clock.now_ms())


def put_back(folder: Path, target: Path, *notes: str, **options: Any) -> Manifest:  # noqa: ANN401
    """Restore, though the witness does not answer."""
    return restore(folder, target, PHRASE, notes, **{"unwitnessed": True, **options})


def test_a_running_node_comes_back(node: Node, home: Path, tmp_path: Path) -> None:
    """Of one moment while it is written to; and it goes on from there."""
    grow(node, 20)
    done, made = threading.Event(), tmp_path / "copy"

    def write() -> None:
        while not done.is_set():
            grow(node)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        manifest = copy(home, made)
    finally:
        done.set()
        writer.join()
    assert 20 <= manifest.size <= node.ledger.head.size
    node.close()
    assert put_back(made, tmp_path / "again") == manifest
    again = run.open_node(config.load(tmp_path / "again"))
    assert again.ledger.head.size == manifest.size
    assert again.ledger.root(20) == node.ledger._log.tree.root(20)
    grow(again)
    again.close()
    blocks = tmp_path / "again" / DATA / "blocks" / "a.blocks"
    assert blocks.read_bytes() == b"ciphertexts"
    assert blocks.stat().st_mode & 0o077 == 0
    assert not (tmp_path / "again" / "passphrase").exists()


def test_a_party_without_a_journal(drawn_once: Path, tmp_path: Path) -> None:
    """A bank's records are its journal."""
    home = tmp_path / "jnrcb"
    shutil.copytree(drawn_once / "jnrcb", home)
    (home / DATA).mkdir()
    records = apsw.Connection(str(home / DATA / "records.db"))
    records.pragma("journal_mode", "wal")
    records.execute("CREATE TABLE kept(x); INSERT INTO kept VALUES (7)")
    copy(home, tmp_path / "copy")
    records.close()
    assert put_back(tmp_path / "copy", tmp_path / "again").size == 0
    again = apsw.Connection(str(tmp_path / "again" / DATA / "records.db"))
    assert again.execute("SELECT x FROM kept").fetchall() == [(7,)]
    again.close()


def test_keys_that_are_drawn_come_back(drawn_once: Path, tmp_path: Path) -> None:
    """Their request is on its way: without them the party would be locked out."""
    home = tmp_path / "jnrcb"
    shutil.copytree(drawn_once / "jnrcb", home)
    own = config.load(home)
    trust = succession.trusted(own)
    held = keys.load(keys.OF_ROLE[own.role], own, trust)
    rotation.draw(own, trust, held, rotation.purposes(trust.party(own.id)), PHRASE)
    copy(home, tmp_path / "copy")
    put_back(tmp_path / "copy", tmp_path / "again")
    name = own.keystore.name + succession.NEXT
    assert (tmp_path / "again" / name).read_bytes() == (home / name).read_bytes()


# -- rollback


def test_an_authority_that_nobody_watches(drawn_once: Path, tmp_path: Path) -> None:
    """Without witnesses and checkpoints nothing keeps an old copy from going on."""
    home = tmp_path / "authority"
    shutil.copytree(drawn_once / "authority", home)
    toml = home / "safehouse.toml"
    kept = toml.read_text().splitlines()
    toml.write_text("\n".join(line for line in kept if "127.0.0.1:1" not in line))
    assert config.load(home).witnesses == ()
    node = run.open_node(config.load(home))
    note = grow(node, 3)
    copy(home, tmp_path / "copy")
    node.close()
    with pytest.raises(BackupInvalid, match="nobody says how far"):
        put_back(tmp_path / "copy", tmp_path / "again", unwitnessed=False)
    put_back(tmp_path / "copy", tmp_path / "again", note, unwitnessed=False)
    put_back(tmp_path / "copy", tmp_path / "unwitnessed")


def test_an_older_copy_is_refused(node: Node, home: Path, tmp_path: Path) -> None:
    """What anybody holds of a larger journal keeps a smaller one from going on."""
    grow(node, 3)
    copy(home, tmp_path / "copy")
    later = grow(node)
    with pytest.raises(LedgerDamaged, match="ends at entry 3, somebody holds a check"):
        put_back(tmp_path / "copy", tmp_path / "again", later)
    assert not (tmp_path / "again").exists()


def test_another_history_is_refused(
    node: Node, home: Path, drawn_once: Path, tmp_path: Path
) -> None:
    """Two copies that both went on: one of them is evidence against the other."""
    grow(node, 3)
    note = node.ledger.head.note
    shutil.copytree(drawn_once / "house", tmp_path / "other")
    other = run.open_node(config.load(tmp_path / "other"))
    for _ in range(4):
        other.ledger.commit(lambda tx: tx.append(Kind.NODE_STOP, "house", "", {}))
    copy(tmp_path / "other", tmp_path / "copy")
    other.close()
    with pytest.raises(LedgerDamaged, match="of another history than checkpoint 3"):
        put_back(tmp_path / "copy", tmp_path / "again", note)
    with pytest.raises(BackupInvalid, match="did not sign"):
        put_back(tmp_path / "copy", tmp_path / "again", "no note")
    assert home.exists()


def test_witnesses_are_asked(
    node: Node, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that does not answer refuses; one that has seen more, too."""
    grow(node, 2)
    (home / "safehouse.toml").open("a").close()
    copy(home, tmp_path / "copy")
    with pytest.raises(Unreachable, match="witness `witness` does not say"):
        put_back(tmp_path / "copy", tmp_path / "again", unwitnessed=False)
    seen = grow(node)
    monkeypatch.setattr(backup, "fetch", lambda _address, _role: seen)
    with pytest.raises(LedgerDamaged, match="ends at entry 2"):
        put_back(tmp_path / "copy", tmp_path / "again")


def test_the_authority_is_asked(
    node: Node, home: Path, drawn_once: Path, tmp_path: Path
) -> None:
    """It was shown the house's journal; a house that forgot some does not come back."""
    grow(node, 3)
    shutil.copytree(drawn_once / "authority", tmp_path / "authority")
    far = run.open_node(config.load(tmp_path / "authority"))
    port = far.server.start("127.0.0.1:0")
    toml = home / "safehouse.toml"
    toml.write_text(toml.read_text().replace("127.0.0.1:7444", f"127.0.0.1:{port}"))
    try:
        copy(home, tmp_path / "copy")
        put_back(tmp_path / "copy", tmp_path / "unseen")
        note = grow(node)
        entry = node.ledger.entry(3)
        hashes = node.ledger.proof(3).hashes
        shown = LogProof(3, hashes, note, entry).to_text()
        assert far.core.following.admit(common_pb2.Logged(proof=shown), [])  # type: ignore[union-attr]
        with pytest.raises(LedgerDamaged, match="ends at entry 3, the authority was"):
            put_back(tmp_path / "copy", tmp_path / "again")
        copy(home, tmp_path / "newer")
        put_back(tmp_path / "newer", tmp_path / "again")
    finally:
        far.close()


# -- what lies around


@pytest.mark.parametrize(
    "name",
    [
        "safehouse.toml",
        "domain.json",
        "keys.sealed",
        f"{DATA}/{LEDGER}",
        f"{DATA}/blocks/a.blocks",
    ],
)
def test_an_edited_copy(node: Node, home: Path, tmp_path: Path, name: str) -> None:
    """One byte of any file: refused, and it is named where that is known."""
    grow(node)
    copy(home, tmp_path / "copy")
    path = tmp_path / "copy" / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises((BackupInvalid, KeystoreLocked)):
        put_back(tmp_path / "copy", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_files_that_are_not_listed(home: Path, tmp_path: Path) -> None:
    """Neither one more nor one less, and none that leads out of the folder."""
    copy(home, tmp_path / "copy")
    with (tmp_path / "copy" / DATA / "more").open("wb"):
        pass
    with pytest.raises(BackupInvalid, match="more"):
        put_back(tmp_path / "copy", tmp_path / "again")
    (tmp_path / "copy" / DATA / "more").unlink()
    (tmp_path / "copy" / DATA / "blocks" / "a.blocks").unlink()
    with pytest.raises(BackupInvalid, match=r"a\.blocks"):
        put_back(tmp_path / "copy", tmp_path / "again")
    for name in ("../x", "/x", "a//b", "a/../b"):
        with pytest.raises(FormatError, match="leads out"):
            Manifest.parse(
                Manifest("d", "house", "h", 0, 0, {name: bytes(32)}).to_bytes()
            )


def test_a_manifest_by_another(home: Path, drawn_once: Path, tmp_path: Path) -> None:
    """Whoever cannot open the keystore cannot sign what the copy should be."""
    copy(home, tmp_path / "copy")
    shutil.copytree(drawn_once / "jnrcb", tmp_path / "jnrcb")
    copy(tmp_path / "jnrcb", tmp_path / "other")
    mine = loads((tmp_path / "copy" / MANIFEST).read_bytes(), backup.FILE_VERSION)
    theirs = loads((tmp_path / "other" / MANIFEST).read_bytes(), backup.FILE_VERSION)
    mixed: Any = {**mine}
    mixed["manifest"] = {**theirs["manifest"], "payload": mine["manifest"]["payload"]}  # type: ignore[dict-item, index, call-overload]
    (tmp_path / "copy" / MANIFEST).write_bytes(dumps(mixed))
    with pytest.raises(BackupInvalid, match="unknown key"):
        put_back(tmp_path / "copy", tmp_path / "again")


def test_a_copy_without_its_passphrase(home: Path, tmp_path: Path) -> None:
    """Whoever finds it has sealed keys."""
    copy(home, tmp_path / "copy")
    with pytest.raises(KeystoreLocked):
        restore(tmp_path / "copy", tmp_path / "again", "a guess")


def test_places_that_are_taken(home: Path, tmp_path: Path) -> None:
    """Nothing is written over; and a layout of one's own is copied by oneself."""
    copy(home, tmp_path / "copy")
    with pytest.raises(InitRefused):
        copy(home, tmp_path / "copy")
    with pytest.raises(InitRefused) as caught:
        put_back(tmp_path / "copy", home)
    assert "may be newer" in caught.value.hint
    toml = home / "safehouse.toml"
    toml.write_text(toml.read_text().replace('data = "data"', 'data = "elsewhere"'))
    with pytest.raises(ConfigInvalid, match="beside"):
        copy(home, tmp_path / "another")


@pytest.mark.parametrize(
    "waits_s",
    [
        pytest.param((0.8,), id="once"),
        pytest.param(
            tuple(0.05 * n for n in range(40)), id="often", marks=pytest.mark.slow
        ),
    ],
)
def test_killed_at_any_moment(
    node: Node, home: Path, tmp_path: Path, waits_s: tuple[float, ...]
) -> None:
    """A whole copy or none, whenever the command is killed; the node goes on."""
    vault = home / DATA / "blocks"
    for number in range(40):
        (vault / f"{number}.blocks").write_bytes(bytes(1 << 20))
    grow(node, 50)
    for number, wait_s in enumerate(waits_s):
        folder = tmp_path / f"copy-{number}"
        words = ["backup", str(folder), "--config", str(home / "safehouse.toml")]
        child = Child(words, {}, tmp_path / "log")
        threading.Event().wait(wait_s)
        child.kill()
        if folder.exists():
            assert backup.opened(folder, PHRASE).size == 50
    copy(home, tmp_path / "last")
    assert put_back(tmp_path / "last", tmp_path / "again").size == 50
    grow(node)


def test_a_node_without_its_checkpoint_needs_the_copy_whole(
    node: Node, home: Path, tmp_path: Path
) -> None:
    """A copy whose journal was cut, and signed for anew by nobody, does not open."""
    grow(node, 5)
    copy(home, tmp_path / "copy")
    db = apsw.Connection(str(tmp_path / "copy" / DATA / LEDGER))
    db.execute("DROP TRIGGER entry_delete; DELETE FROM entry WHERE idx = 4")
    db.close()
    with pytest.raises(NodeError):
        put_back(tmp_path / "copy", tmp_path / "again")
