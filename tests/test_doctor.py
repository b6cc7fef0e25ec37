"""What `safehouse doctor` says: every check, well and ill."""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from node import clock, doctor
from node.config import Config
from node.doctor import Check, State, accept_clock, examine
from node.domain import Role
from node.errors import ChecksFailed, ConfigInvalid, LedgerLocked
from node.keys import AuthorityKeys, BankKeys, HouseKeys
from node.ledger import Ledger
from node.succession import NEXT
from protocols.entry import Entry, Kind
from tests.simulator import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Run a trust domain."""
    with World(tmp_path_factory.mktemp("doctor")) as made:
        yield made


def look(world: World, config: Config, ahead_ms: int = 0) -> dict[str, Check]:
    """Examine a party, whose clock may be ahead."""
    config.keystore.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    held = world.composed.keys[config.id]
    found = examine(config, world.domain, held, lambda: clock.now_ms() + ahead_ms)
    return {check.name: check for check in found}


def test_a_bank_that_is_well(world: World) -> None:
    """Every line is ok, and the house is named with its address."""
    config = replace(world.config("jnrcb"), authority="")
    checks = look(world, config)
    assert list(checks) == [
        *("keystore", "files", "certificate", "ca", "keys", "disk", "arithmetic"),
        "versions",
        *("house", "clock"),
    ]
    del checks["disk"]  # of the machine this runs on
    assert {check.state for check in checks.values()} == {State.OK}
    assert config.house in checks["house"].told


@pytest.mark.parametrize(
    ("ahead_ms", "state"),
    [
        (0, State.OK),
        (60_000, State.WARN),
        (-60_000, State.WARN),
        (clock.REQUEST_SKEW_MS + 60_000, State.FAIL),
    ],
)
def test_the_clock(world: World, ahead_ms: int, state: State) -> None:
    """A clock that makes requests too old or too new is a failure."""
    check = look(world, world.config("jnrcb"), ahead_ms)["clock"]
    assert check.state is state
    if ahead_ms:
        assert ("ahead of" if ahead_ms > 0 else "behind") in check.told


def test_the_certificate(world: World) -> None:
    """It is said before it ends, and after."""
    config, year = world.config("auditor-a"), 365 * clock.DAY_MS
    config = replace(config, house="", authority="")
    assert look(world, config)["certificate"].state is State.OK
    assert look(world, config, 30 * year)["certificate"].state is State.FAIL
    assert look(world, config, 5 * year)["ca"].state is State.OK
    ending = look(world, config, 10 * year - 10 * clock.DAY_MS)["ca"]
    assert ending.state is State.WARN
    assert look(world, config, 11 * year)["ca"].state is State.FAIL


def test_keys_that_are_not_in_force(world: World) -> None:
    """Drawn and forgotten, they are said; and the versions of what it runs on."""
    config = replace(world.config("auditor-a"), house="", authority="")
    assert look(world, config)["keys"].state is State.OK
    pending = config.keystore.with_name(config.keystore.name + NEXT)
    pending.write_bytes(b"")
    checks = look(world, config)
    pending.unlink()
    assert checks["keys"].state is State.WARN
    assert "cryptography" in checks["versions"].told


def test_files_that_others_can_read(world: World, tmp_path: Path) -> None:
    """Each is named, with the command that closes it."""
    config = replace(world.config("jnrcb"), keystore=tmp_path / "own/keys", house="")
    (tmp_path / "own").mkdir()
    (tmp_path / "own").chmod(0o750)
    check = look(world, config)["files"]
    assert check.state is State.WARN
    assert check.hint == f"chmod 700 {tmp_path / 'own'}"


@pytest.mark.parametrize(
    ("free", "state"), [(1 << 40, State.OK), (1 << 30, State.WARN), (1, State.FAIL)]
)
def test_the_disk(
    world: World, monkeypatch: pytest.MonkeyPatch, free: int, state: State
) -> None:
    """A node stops when its disk is full: it is said before."""
    usage = shutil._ntuple_diskusage(1 << 41, 0, free)  # type: ignore[attr-defined]
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _path: usage)
    config = replace(world.config("jnrcb"), house="")
    assert look(world, config)["disk"].state is state


def test_nobody_answers(world: World) -> None:
    """A house that is away, and a witness that is: named, and what it means."""
    config = replace(world.config("jnrcb"), house="127.0.0.1:1")
    check = look(world, config)["house"]
    assert check.state is State.FAIL
    assert "127.0.0.1:1" in check.told
    config = replace(
        world.config("authority"), witnesses=(("regulator", "127.0.0.1:1"),)
    )
    assert look(world, config)["regulator"].state is State.WARN


def test_the_journal(world: World, tmp_path: Path) -> None:
    """In use, whole, or cut: and looking changes no byte that counts."""
    running = world.config("authority")
    assert "in use" in look(world, running)["journal"].told
    world.stop(Role.AUTHORITY)
    try:
        whole = look(world, running)["journal"]
        assert (whole.state, "whole" in whole.told) == (State.OK, True)
        copy = replace(running, data=tmp_path / "data")
        shutil.copytree(running.data, copy.data)
        (copy.data / "journal.db").write_bytes(os.urandom(8192))
        ill = look(world, copy)["journal"]
        assert ill.state is State.FAIL
        assert "journal.db" in ill.told
    finally:
        world.start(Role.AUTHORITY)
    assert isinstance(world.composed.keys["authority"], AuthorityKeys)
    assert isinstance(world.composed.keys["jnrcb"], BankKeys)


def test_a_clock_that_went_back(world: World, tmp_path: Path) -> None:
    """The doctor names its own command, which journals who answers, once."""
    config = replace(
        world.config("house"), data=tmp_path / "data", authority="", witnesses=()
    )
    config.data.mkdir()
    held = world.keys("house", HouseKeys)

    def ledger(ahead_ms: int = 0) -> Ledger:
        return Ledger.open(
            config.data / doctor.LEDGER,
            signer=held.journal,
            origin=world.domain.origin(Role.HOUSE),
            clock=lambda: clock.now_ms() + ahead_ms,
        )

    with closing(ledger(2 * clock.CLOCK_JUMP_MS)) as ahead:
        ahead.commit(lambda tx: tx.append(Kind.NODE_START, "house", "", {}))
        with pytest.raises(LedgerLocked):
            accept_clock(config, world.domain, held)
    ill = look(world, config)["journal"]
    assert (ill.state, "went back" in ill.told) == (State.FAIL, True)
    assert "`safehouse doctor --accept-clock`" in ill.hint
    accepted = accept_clock(config, world.domain, held)
    assert accepted.state is State.OK
    assert "entry 1 " in accepted.told
    assert look(world, config)["journal"].state is State.OK
    with pytest.raises(ChecksFailed, match="not in question"):
        accept_clock(config, world.domain, held)
    with closing(ledger()) as after:
        assert after.stopped is None
        entries = [Entry.parse(data) for data in after.entries(0, 2)]
    assert (entries[1].kind, entries[1].actor) == (Kind.NODE_CLOCK, "house")
    assert entries[1].time_ms >= entries[0].time_ms


def test_who_has_no_journal_accepts_no_clock(world: World) -> None:
    """A bank's clock is its own affair."""
    with pytest.raises(ConfigInvalid, match="a bank keeps no journal"):
        accept_clock(world.config("jnrcb"), world.domain, world.keys("jnrcb", BankKeys))
