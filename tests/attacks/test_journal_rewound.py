"""A node shows two histories, or goes on from an older copy; its witness tells.

The operator has every key of the node, its whole disk and its checkpoint file, so the
node's own checks find nothing.  Only what somebody else keeps can.
"""

import shutil
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest

from node import clock, run
from node.domain import Role
from node.initialise import DEFAULT_MEMBERS, WITNESS
from node.keys import AuthorityKeys, HouseKeys, WitnessKeys
from node.ledger import Ledger
from node.verify import verify
from node.witness import Refusal, Witness, WitnessServer
from node.witnesses import Behind, Witnesses, fetch
from protocols.cosign import AddCheckpoint
from protocols.entry import Kind
from protocols.note import Checkpoint
from protocols.tlog import Tree, leaf_hash
from tests.simulator import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Run a trust domain with a witness in it."""
    folder = tmp_path_factory.mktemp("witnessed")
    with World(folder, (*DEFAULT_MEMBERS, WITNESS)) as made:
        for node in (made.house, made.authority):
            grow(node.ledger, "start", "stop")
        yield made


@contextmanager
def served(world: World, folder: Path) -> Iterator[tuple[Witness, str]]:
    """Run a witness."""
    key = world.keys("witness", WitnessKeys).sign
    witness = Witness(world.domain, "witness", key, folder, clock.now_ms)
    server = WitnessServer(witness, "127.0.0.1:0")
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield witness, server.address
    finally:
        server.close()
        thread.join()


def journal(world: World, path: Path) -> Ledger:
    """Open a journal with the house's real key."""
    return Ledger.open(
        path,
        signer=world.keys("house", HouseKeys).journal,
        origin=world.domain.origin(Role.HOUSE),
        clock=clock.now_ms,
    )


def grow(ledger: Ledger, *words: str) -> None:
    """Write entries."""
    for word in words:
        ledger.commit(
            lambda tx, w=word: tx.append(Kind.NODE_START, "house", "", {w: 1})
        )


def asks(world: World, ledger: Ledger, address: str, folder: Path) -> Witnesses:
    """Be a node that has this witness."""
    folder.mkdir(exist_ok=True)
    return Witnesses(world.domain, [("witness", address)], ledger, folder)


def test_an_older_copy_does_not_start(world: World, tmp_path: Path) -> None:
    """Restored with its own checkpoint file, a shorter journal is refused."""
    path = tmp_path / "node/journal.db"
    path.parent.mkdir()
    with served(world, tmp_path / "witness") as (_, address):
        ledger = journal(world, path)
        grow(ledger, "one", "two")
        ledger.close()
        shutil.copytree(path.parent, tmp_path / "backup")
        ledger = journal(world, path)
        grow(ledger, "three")
        asks(world, ledger, address, tmp_path / "kept").round()
        ledger.close()
        shutil.rmtree(path.parent)
        shutil.copytree(tmp_path / "backup", path.parent)
        older = journal(world, path)  # nothing on this disk speaks against it
        with pytest.raises(Behind, match="has seen 3 entries, here are 2"):
            asks(world, older, address, tmp_path / "kept").check()
        older.close()


def test_another_history_does_not_start(world: World, tmp_path: Path) -> None:
    """As long or longer, but not the one that the witness has seen."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    with served(world, tmp_path / "witness") as (_, address):
        first = journal(world, tmp_path / "first/journal.db")
        grow(first, "one", "two")
        asks(world, first, address, tmp_path / "kept").round()
        second = journal(world, tmp_path / "second/journal.db")
        grow(second, "one", "other")
        with pytest.raises(Behind, match="another history"):
            asks(world, second, address, tmp_path / "kept").check()
        grow(second, "three")
        with pytest.raises(Behind, match="another history"):
            asks(world, second, address, tmp_path / "kept").check()
        (evidence,) = (tmp_path / "witness").glob("split-house-2.txt")
        notes = evidence.read_text().split("\n\n\n")
        assert first.head.note.strip() in evidence.read_text()
        assert len(notes) <= 2
        first.close()
        second.close()


def test_a_node_does_not_start(world: World, tmp_path: Path) -> None:
    """`safehouse up` ends with the journal's error before it listens."""
    with served(world, tmp_path / "witness") as (witness, address):
        world.stop(Role.AUTHORITY)
        config = replace(world.config("authority"), witnesses=(("witness", address),))
        held = world.keys("authority", AuthorityKeys)
        node = run.open_authority(config, world.domain, held)
        size, origin = node.ledger.head.size, world.domain.origin(Role.AUTHORITY)
        forged = Checkpoint(origin, size + 5, bytes(32)).sign(held.journal)
        witness.add(AddCheckpoint(0, (), forged).to_bytes())
        with pytest.raises(Behind):
            node.witnesses.check()
        node.close()
        world.start(Role.AUTHORITY)


def test_a_witness_signs_one_history(world: World, tmp_path: Path) -> None:
    """Other roots, other sizes, other logs, other keys: each refused by its status."""
    key = world.keys("house", HouseKeys).journal
    origin = world.domain.origin(Role.HOUSE)
    tree = Tree([leaf_hash(bytes([i])) for i in range(5)])
    other = Tree([leaf_hash(bytes([i + 1])) for i in range(5)])

    def ask(of: Tree, size: int, old: int, proof: bool = True, by=key, name=origin):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, FBT001, FBT002
        note = Checkpoint(name, size, of.root(size)).sign(by)
        path = of.consistency(old, size) if proof and 0 < old <= size else []
        return witness.add(AddCheckpoint(old, tuple(path), note).to_bytes())

    with served(world, tmp_path / "witness") as (witness, address):
        ask(tree, 3, 0)
        ask(tree, 3, 3)  # again
        for status, attempt in (
            (409, lambda: ask(other, 3, 3)),
            (409, lambda: ask(other, 5, 0)),
            (409, lambda: ask(tree, 5, 2)),
            (409, lambda: ask(tree, 2, 2)),
            (400, lambda: ask(tree, 3, 4)),
            (422, lambda: ask(other, 5, 3)),
            (422, lambda: ask(tree, 5, 3, proof=False)),
            (403, lambda: ask(tree, 5, 3, by=world.keys("witness", WitnessKeys).sign)),
            (404, lambda: ask(tree, 5, 3, name="other.example/house")),
        ):
            with pytest.raises(Refusal) as caught:
                attempt()
            assert caught.value.status == status
        note = fetch(address, Role.HOUSE)
        verifiers = world.domain.verifiers(Role.HOUSE)
        assert Checkpoint.open(note, verifiers).size == 3
        # Killed and started again, it still knows.
        again = Witness(
            world.domain,
            "witness",
            world.keys("witness", WitnessKeys).sign,
            tmp_path / "witness",
            clock.now_ms,
        )
        assert again.newest("house") == note


def test_a_checkpoint_from_elsewhere(world: World, tmp_path: Path) -> None:
    """A note of another history, from a witness or anybody, is a fork, and shown."""
    with world.auditor() as auditor:
        auditor.export(tmp_path / "export")
    origin = world.domain.origin(Role.AUTHORITY)
    key = world.keys("authority", AuthorityKeys).journal
    shown = Checkpoint(origin, 1, b"x" * 32).sign(key)
    clean = verify(tmp_path / "export", world.domain)
    report = verify(tmp_path / "export", world.domain, checkpoints=[shown])
    assert (clean.verdict, report.verdict) == ("clean", "forked")
    assert shown in report.notes
    assert len(report.notes) == 2
    stranger = Checkpoint(origin, 1, b"x" * 32).sign(
        world.keys("witness", WitnessKeys).sign
    )
    report = verify(tmp_path / "export", world.domain, checkpoints=[stranger])
    assert [finding.mark for finding in report.findings] == ["COSIGNATURE_INVALID"]


def test_what_was_co_signed_is_exported(world: World, tmp_path: Path) -> None:
    """The auditor's report names the witness; an edited line is found."""
    with served(world, tmp_path / "witness") as (_, address):
        for node in (world.house, world.authority):
            own = asks(world, node.ledger, address, tmp_path / "kept")
            node.witnesses._witnesses = own._witnesses
            node.witnesses.round()
    with world.auditor() as auditor:
        auditor.export(tmp_path / "export")
    report = verify(tmp_path / "export", world.domain)
    assert report.verdict == "clean"
    name = f"{world.domain.name}/witness"
    assert name in {each.witness for each in report.cosigned["house"]}
    path = tmp_path / "export/house/cosigned.note"
    lines = path.read_text().rstrip("\n").split("\n")
    dash, who, data = lines[-1].split(" ")
    swapped = data[:12] + ("A" if data[12] != "A" else "B") + data[13:]
    path.write_text("\n".join([*lines[:-1], f"{dash} {who} {swapped}"]) + "\n")
    report = verify(tmp_path / "export", world.domain)
    assert [finding.mark for finding in report.findings] == ["COSIGNATURE_INVALID"]


def test_a_witness_that_is_away_stops_nothing(world: World, tmp_path: Path) -> None:
    """Else whoever cuts it off could stop the node; nothing is kept as co-signed."""
    ledger = journal(world, tmp_path / "journal.db")
    grow(ledger, "one")
    alone = asks(world, ledger, "127.0.0.1:1", tmp_path / "kept")
    alone.check()
    alone.round()
    assert alone.note == ""
    ledger.close()


@pytest.mark.parametrize("size", ["9" * 5000, "-1", "٣", "9" * 19, "9" * 18])
def test_a_witness_that_lies_stops_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    """One that names no size, or more digits than Python reads, is left out."""
    ledger = journal(world, tmp_path / "journal.db")
    grow(ledger, "one")

    def lies(_self: Witness, _request: bytes) -> str:
        raise Refusal(HTTPStatus.CONFLICT, size)

    monkeypatch.setattr(Witness, "add", lies)
    with served(world, tmp_path) as (_, address):
        liar = asks(world, ledger, address, tmp_path / "kept")
        if size == "9" * 18:  # a journal that long: a claim, and a reason to stop
            with pytest.raises(Behind):
                liar.check()
        else:
            liar.check()
        liar.round()
        assert liar.note == ""
    ledger.close()


def test_a_witness_says_nothing_of_its_callers(
    world: World, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither a length that nobody can read nor one who hangs up leaves an address."""
    with served(world, tmp_path) as (_, address):
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port))) as caller:
            head = f"POST /add-checkpoint HTTP/1.0\r\nContent-Length: {'9' * 5000}\r\n"
            caller.sendall(f"{head}\r\n".encode())
            assert b" 413 " in caller.recv(1000)
        with socket.create_connection((host, int(port))) as caller:
            reset = struct.pack("ii", 1, 0)
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            caller.sendall(b"GET /house/checkpoint HTTP/1.0")
    told = capfd.readouterr().err
    assert "127.0.0.1" not in told
    assert "Traceback" not in told
