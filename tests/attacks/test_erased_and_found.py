"""Whoever has all of both nodes, and the pepper, looks for somebody who was erased.

Identifiers of a county can be tried in a minute, so the attacker tries the right one,
with every file of house and authority, their keys, and the pepper.  Before the
erasure that is enough to read who asked about whom; afterwards nothing leads from the
identifier to a name in a journal, nor from a name back.
"""

import json
from pathlib import Path

import apsw
import pytest

from contracts.subject import commitment, handle
from node.domain import Role
from node.errors import Denied, NodeError
from protocols import rowmap
from protocols.entry import Entry, Kind
from protocols.errors import SealBroken
from tests.counter import Counter
from tests.german import KIND
from tests.simulator import World
from tests.test_call_crashes import before_the_authority, before_the_outcome

NODES = ("house", "authority")
# What the journal says, and what replays it: of a name that leads to nobody.
KEPT = {"entry", "consent", "objection", "repair", "vacated", "rating"}
STOPPED = (Role.HOUSE, Role.AUTHORITY)


def found(town: Counter, subject: str) -> set[str]:
    """Try all ways from an identifier to what is in the files of both nodes."""
    world, ref = town.world, town.ref(subject)
    ways: set[str] = set()
    for node in NODES:
        key = world.composed.keys[node].pseudonym
        whose = handle(key, ref)
        disk = world.disk(node)
        for path, data in disk.items():
            for what, known in (("ref", ref), ("handle", whose), ("id", subject)):
                raw = known.encode() if isinstance(known, str) else known
                if raw in data or raw.hex().encode() in data:
                    ways.add(f"{node}: {what} in {Path(path).name}")
            try:
                rows = rowmap.unseal_rows(key_of_maps(town), KIND.value, data)
            except (SealBroken, ValueError):
                continue
            ways |= {f"{node}: map" for row in rows if row.subject_ref == ref}
        ways |= {f"{node}: {way}" for way in opened(world, node, town, ref)}
    return ways


def key_of_maps(town: Counter) -> bytes:
    """Return the pepper."""
    return town.world.composed.keys["credit-bureau"].pepper


def opened(world: World, node: str, town: Counter, ref: bytes) -> set[str]:
    """Open commitments of a node's journal with salts that any of its files has."""
    path = world.folder / node / "data/journal.db"
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    entries = [Entry.parse(data) for (data,) in db.execute("SELECT data FROM entry")]
    db.close()
    salts = salts_of(world, town)
    ways = set()
    for entry in entries:
        for payload in documents(entry.body):
            try:
                said = json.loads(payload).get("subject", "")
            except (ValueError, AttributeError):
                continue
            if any(commitment(ref, salt).hex() == said for salt in salts):
                ways.add(f"{entry.kind} opens")
    return ways


def salts_of(world: World, town: Counter) -> set[bytes]:
    """Collect the salts at the registrar, and what can be made of the pepper."""
    path = world.folder / "registrar/data/consents.db"
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    salts = {bytes(salt) for (salt,) in db.execute("SELECT salt FROM demand")}
    for (many,) in db.execute("SELECT salts FROM batch"):
        salts |= {many[at : at + 32] for at in range(0, len(many), 32)}
    db.close()
    assert town.refs
    return salts


def documents(body: object) -> list[str]:
    """List the signed documents in a body."""
    if isinstance(body, dict):
        own = [body["payload"]] if isinstance(body.get("payload"), str) else []
        return own + [p for value in body.values() for p in documents(value)]
    if isinstance(body, list):
        return [p for value in body for p in documents(value)]
    return []


def holding(world: World, node: str, name: bytes) -> set[str]:
    """Name the tables of a node's journal that have a name in a column."""
    path = world.folder / node / "data/journal.db"
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table'"
    found = {
        table
        for (table,) in db.execute(tables).fetchall()
        for row in db.execute(f'SELECT * FROM "{table}"')
        if name in row
    }
    db.close()
    return found


def test_nothing_leads_to_who_was_erased(tmp_path: Path) -> None:
    """Nor to whoever comes back under the same identifier."""
    with World(tmp_path) as world:
        town = Counter(world, 11)
        town.consent(*town.ids)
        victim, other = town.ids[5:7]  # no contract's text names them
        with town.bank() as bank:
            bank.score("german-card", victim, consent=town.cid(victim))
            bank.flush()
        with town.objector() as objector:
            objector.object(KIND, victim, 1, "o-1")
            dataset = next(iter(town.datasets.values()))
            objector.repair(KIND, victim, dataset.name, 1, "r-1")
        names = {node: town.name(node, victim) for node in NODES}
        ways = found(town, victim)
        assert {"house: map", "house: consent.objection opens"} <= ways
        assert any("handle in journal.db" in way for way in ways)
        town.authority.ledger.commit(
            lambda work: work.db.execute(
                "INSERT INTO answered(subject, attribute, time_ms) VALUES(?, 'age', 1)",
                (names["authority"],),
            )
        )
        assert "answer" in holding(world, "house", names["house"])
        works = {"answer", "answered", "spend"}
        assert works <= holding(world, "authority", names["authority"])
        town.erase(victim)
        for node in NODES:
            assert holding(world, node, names[node]) <= KEPT
        with world.custodian(dataset.custodian) as custodian:
            assert custodian.repairs.standing(dataset) == []
        living = [name for name in town.ids if name != victim]
        town.map(living)
        for dataset in town.datasets:
            town.push_table(dataset, living)
        for role in STOPPED:  # what is deleted may be in a log that is not worked in
            world.stop(role)
        assert found(town, victim) == set()
        assert "house: map" in found(town, other)
        for role in reversed(STOPPED):
            world.start(role)
        town.map(town.ids)
        town.consent(victim, mark="-new")
        again = {node: town.name(node, victim) for node in NODES}
        assert not set(names.values()) & set(again.values())
        for node, old in names.items():
            for entry in town.entries(node):
                told = entry.to_bytes()
                assert not (
                    old.hex().encode() in told and again[node].hex().encode() in told
                )


@pytest.mark.parametrize("before", [False, True], ids=["first", "repeat"])
@pytest.mark.parametrize("permitted", [False, True])
def test_a_call_under_way_ends_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, before: bool, permitted: bool
) -> None:
    """An erasure between intent and outcome: the call ends once, its answer goes."""
    cut = before_the_outcome if permitted else before_the_authority
    with World(tmp_path) as world:
        town = Counter(world, 11)
        town.consent(*town.ids)
        victim = town.ids[3]
        name = town.name("house", victim)
        with town.bank() as bank:
            if before:
                bank.score("german-card", victim, consent=town.cid(victim))
            with monkeypatch.context() as patch:
                cut(town, patch)
                with pytest.raises(NodeError):
                    bank.score("german-card", victim, consent=town.cid(victim))
            town.erase(victim)
            assert town.house.resume() == 1
        assert holding(world, "house", name) <= KEPT
        ended = Kind.CALL_OUTCOME if permitted else Kind.CALL_DENIED
        intent = town.entries("house", Kind.CALL_INTENT)[-1]
        assert town.entries("house", ended)[-1].call == intent.call


def test_a_call_under_way_is_refused_under_the_old_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a bank's question and its decision the subject is erased: no answer."""
    with World(tmp_path) as world:
        town = Counter(world, 11)
        town.consent(*town.ids)
        victim = town.ids[3]
        decide = town.house._decide

        def late(asked: object) -> object:
            town.erase(victim)
            return decide(asked)  # type: ignore[arg-type]

        monkeypatch.setattr(town.house, "_decide", late)
        with town.bank() as bank, pytest.raises(Denied, match="withdrawn"):
            bank.score("german-card", victim, consent=town.cid(victim))
        assert town.entries("house", Kind.CALL_INTENT) == []
        assert town.entries("authority", Kind.CALL_PERMIT) == []
        assert [e.kind for e in town.entries("house")][-1] is Kind.CALL_DENY
