"""House and authority as processes of their own, and banks that keep asking."""

import random
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from node import clock, config, domain, initialise, keys
from node.children import Child
from node.client import BankClient
from node.config import Config
from node.domain import Role
from node.errors import Denied, NodeError
from node.initialise import Composed, Plan
from protocols.paillier import TEST_BITS
from tests.german import German
from tests.simulator import World

THREADS = 4
NODES = (Role.AUTHORITY, Role.HOUSE)


class OnDisk(World):
    """A trust domain that `initialise` made, and whose nodes may be processes."""

    def __init__(self, folder: Path) -> None:
        addresses = [f"127.0.0.1:{port}" for port in _free_ports()]
        plan = Plan(
            "rencheng",
            key_bits=TEST_BITS,
            house=addresses[0],
            authority=addresses[1],
            leave_passphrases=True,
        )
        home = folder / "domain"
        initialise.initialise(home, plan, "throw-away", clock.now_ms())
        settings = {
            member.id: config.load(home / member.id / "safehouse.toml")
            for member in plan.members
        }
        trust = domain.load(home / "domain.json", settings["house"].root_key)
        root, ca = initialise.open_ca(home, trust.name, "throw-away")
        held = {
            name: keys.load(keys.OF_ROLE[item.role], item, trust)
            for name, item in settings.items()
        }
        self.folder = home
        self.composed = Composed(trust, root, ca, held)
        self._settings = settings
        self._nodes, self._addresses = {}, {}
        self.children: dict[Role, Child] = {}

    def config(self, party: str) -> Config:
        """Return what the party's file says."""
        return self._settings[party]

    def up(self, role: Role) -> None:
        """Start `safehouse up`, and wait until it listens."""
        path = self.folder / role.value / "safehouse.toml"
        log = self.folder / f"{role.value}.log"
        child = Child(["up", "--config", str(path)], {}, log)
        self.children[role] = child
        assert child.first_line().startswith("listening on"), log.read_text()


def _free_ports() -> list[int]:
    """Find two ports that nobody listens on."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in NODES]
    ports = [server.getsockname()[1] for server in held]
    for server in held:
        server.close()
    return ports


class Load:
    """Banks that ask until they are told to stop, and write down what they got."""

    def __init__(self, german: German, bank: BankClient, rest: float = 0) -> None:
        """Ask; after each answer, rest so many times as long as it took."""
        self.answered: list[tuple[str, bytes, str]] = []
        self.failed = 0
        self.wrong: list[BaseException] = []
        self._german, self._bank, self._rest = german, bank, rest
        self._enough = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(n,)) for n in range(THREADS)
        ]

    def _ask(self, number: int) -> None:
        dice = random.Random(number)
        while not self._enough.is_set():
            subject = dice.choice(self._german.ids)
            began_ms = clock.monotonic_ms()
            try:
                outcome = self._bank.score(
                    self._german.contract.hash, subject, consent=f"c-{subject}"
                )
            except Denied as refusal:
                self.wrong.append(refusal)
            except NodeError:
                self.failed += 1
                self._enough.wait(0.25)
            else:
                kind = outcome.kind.value
                self.answered.append((subject, outcome.request, kind))
                took_s = (clock.monotonic_ms() - began_ms) / 1000
                self._enough.wait(self._rest * took_s)

    def __enter__(self) -> Self:
        self._bank.contract(self._german.contract.hash)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()


def until(done: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something to happen; raise `AssertionError` if it does not."""
    deadline_ms = clock.monotonic_ms() + int(seconds * 1000)
    while not done():
        assert clock.monotonic_ms() < deadline_ms, "nothing is answered any more"
        threading.Event().wait(0.01)
