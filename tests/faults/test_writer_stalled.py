"""A disk that answers slowly: callers are told in time, nothing comes out early (46).

The writer of a node's journal stands still, as under a disk that takes ten seconds for
an fsync; banks have deadlines of their own.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from node.client import BankClient
from node.domain import Role
from node.errors import Unreachable
from node.keys import BankKeys
from node.ledger import Ledger
from protocols.entry import Entry, Kind
from tests.german import German
from tests.simulator import World

DEADLINE_MS = 700


@contextmanager
def stalled(ledger: Ledger) -> Iterator[None]:
    """Let nobody write."""
    with ledger._turn:
        yield


def kinds(ledger: Ledger) -> list[Kind]:
    """List what is durable."""
    return [Entry.parse(data).kind for data in ledger.entries(0, ledger.head.size)]


@pytest.mark.parametrize("role", [Role.HOUSE, Role.AUTHORITY])
def test_nothing_is_released_before_it_is_written(tmp_path: Path, role: Role) -> None:
    """Unreachable by the bank's own deadline; later the same call, and one use."""
    with World(tmp_path) as world:
        german = German(world, 6)
        subject = german.ids[0]
        german.grant(subject)
        config = world.config("jnrcb")
        hasty = replace(config, limits=replace(config.limits, deadline_ms=DEADLINE_MS))
        keys = world.keys("jnrcb", BankKeys)
        ledger = getattr(world, role.value).ledger
        with BankClient(hasty, keys, world.domain) as bank:
            contract = bank.contract("german-card")
            with stalled(ledger), pytest.raises(Unreachable):
                bank.score(contract, subject, consent=f"c-{subject}")
            (call,) = bank.unanswered()
        with german.bank() as bank:
            outcome = bank.retry(call)
            assert bank.unanswered() == []
            assert bank.flush() == 0
        assert not outcome.repeated
        found = kinds(german.authority.ledger)
        assert (found.count(Kind.CALL_PERMIT), found.count(Kind.CALL_DONE)) == (1, 1)
        assert kinds(german.house.ledger).count(Kind.CALL_OUTCOME) == 1


def test_many_wait_and_all_are_answered(tmp_path: Path) -> None:
    """Callers with patience get their answers once the disk moves again."""
    with World(tmp_path) as world:
        german = German(world, 8)
        for subject in german.ids:
            german.grant(subject)
        told: list[str] = []
        with german.bank() as bank:
            contract = bank.contract("german-card")

            def ask(subject: str) -> None:
                told.append(bank.score(contract, subject, consent=f"c-{subject}").kind)

            threads = [threading.Thread(target=ask, args=(s,)) for s in german.ids]
            with stalled(german.house.ledger):
                for thread in threads:
                    thread.start()
                threads[0].join(0.5)
                assert told == []
            for thread in threads:
                thread.join()
        assert len(told) == len(german.ids)
