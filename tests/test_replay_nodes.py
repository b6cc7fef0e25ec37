"""What house and authority really journal replays without a word, and is compared."""

import contextlib
from collections.abc import Iterator

import pytest

from contracts import bodies
from contracts.consent import ConsentEvent, Event, Frequency
from contracts.cross_check import Unfinished, cross_check
from contracts.replay import Discrepancy, Replay, Role
from node import clock
from node.client import BankClient
from node.errors import Denied
from protocols.entry import Entry, Kind
from tests.german import German
from tests.simulator import World

SUBJECTS = 6


@pytest.fixture(scope="module")
def german(tmp_path_factory: pytest.TempPathFactory) -> Iterator[German]:
    """Run a trust domain in which calls of every kind were made."""
    with World(tmp_path_factory.mktemp("world")) as world:
        german = German(world, SUBJECTS)
        free, once, daily, withdrawn, suspended, nobody = german.ids
        german.grant(free)
        german.grant(once, max_uses=1)
        german.grant(daily, frequency=Frequency(1, 1))
        german.grant(withdrawn)
        german.grant(suspended)
        with german.bank() as bank:
            for subject in german.ids * 2:  # the second time is a repeat
                call(bank, subject, f"c-{subject}")
            for consent in (f"c-{once}", "", "c-unknown"):
                call(bank, free, consent)
            for subject, event in (
                (withdrawn, Event.WITHDRAW),
                (suspended, Event.SUSPEND),
            ):
                name, now_ms = f"c-{subject}", clock.now_ms()
                german.happen(ConsentEvent(name, event, now_ms, "", "registrar"))
                call(bank, subject, name)
            assert not bank.flush()
        assert f"c-{nobody}" not in asked(german)
        yield german


def call(bank: BankClient, subject: str, consent: str) -> None:
    """Make a call, whatever comes of it."""
    with contextlib.suppress(Denied):
        bank.score("german-card", subject, consent=consent)


def asked(german: German) -> set[str]:
    """Return the consents that the authority permitted calls under."""
    return {
        bodies.Permit.parse(entry.body).consent
        for entry in journal(german, Role.AUTHORITY)
        if entry.kind is Kind.CALL_PERMIT
    }


def journal(german: German, role: Role) -> list[Entry]:
    """Read a node's journal as it lies on its disk."""
    ledger = (german.house if role is Role.HOUSE else german.authority).ledger
    return [Entry.parse(ledger.entry(index)) for index in range(ledger.head.size)]


@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("role", Role)
def test_the_journal_of_a_node_replays(
    german: German,
    role: Role,
    pinned: bool,  # noqa: FBT001
) -> None:
    """Every decision follows from it; with the pinned keys, every signature too."""
    keys = {party.id: party.sign for party in german.world.domain.parties}
    replay = Replay(role, keys=keys if pinned else None)
    found: list[Discrepancy] = []
    for index, entry in enumerate(journal(german, role)):
        found += replay.feed(index, entry)
    assert found == []
    # 5 consents, of which 2 are used up at once: 8 calls in all are permitted.
    counts = replay.counts
    expected = (10, 7) if role is Role.HOUSE else (8, 2)
    assert (counts.permits, counts.denials) == expected
    assert not counts.beyond


def test_house_and_authority_tell_the_same_story(german: German) -> None:
    """Nothing in one that is not in the other, and nothing left under way."""
    house, authority = (journal(german, role) for role in Role)
    assert cross_check(house, authority) == ((), Unfinished())
