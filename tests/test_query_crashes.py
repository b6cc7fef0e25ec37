"""A claim or a threshold interrupted anywhere ends once, and counts once.

The moments and the recoveries are those of scores (`tests.test_call_crashes`); a claim
has its shares on the house's disk, sealed, until it ends.
"""

from collections.abc import Iterator
from functools import partial
from itertools import count

import pytest

from node.client import BankClient
from node.errors import Denied, NodeError
from node.verify import verify
from tests.hostile import kinds, permits, uses
from tests.simulator import World
from tests.test_call_crashes import (
    CUTS,
    WHOLE,
    Cut,
    Recover,
    a_new_house,
    flights,
    two_new_nodes,
)
from tests.turnover import THRESHOLD, Town

ENDS = (("verify", a_new_house), ("verify", two_new_nodes), ("range", two_new_nodes))
SUBJECTS = len(CUTS) * len(ENDS)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Run a town, and audit what the crashes have left."""
    folder = tmp_path_factory.mktemp("crashes")
    with World(folder / "world") as world:
        made = Town(world, [THRESHOLD] * SUBJECTS)
        yield made
        with world.auditor() as auditor:
            auditor.export(folder / "export")
        report = verify(folder / "export", world.domain, openings=made.openings)
        assert report.findings == ()
        assert report.unfinished.intents == report.unfinished.permits == 0


_taken = count()


@pytest.fixture
def subject(town: Town) -> str:
    """Name a subject with a consent that nobody has asked about."""
    name = town.ids[next(_taken)]
    town.consent(name)
    return name


def in_vain(bank: BankClient, kind: str, subject: str) -> bytes:
    """Ask, get nothing, and return the call's name."""
    consent = f"c-{subject}"
    ask = {
        "range": partial(bank.range, "turnover-floor", subject),
        "verify": partial(bank.verify, "turnover-check", subject, THRESHOLD),
    }[kind]
    with pytest.raises(NodeError) as caught:
        ask(consent=consent)
    assert not isinstance(caught.value, Denied)
    (call,) = bank.unanswered()
    return call


@pytest.mark.parametrize(("kind", "recover"), ENDS)
@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.__name__)
def test_an_interrupted_query_ends_once(
    town: Town, subject: str, kind: str, cut: Cut, recover: Recover
) -> None:
    """One permit, one answer about the column, the right one, and no secret left."""
    with town.bank() as bank, pytest.MonkeyPatch.context() as patch:
        cut(town, patch)
        call = in_vain(bank, kind, subject)
    assert kinds(town.house, call) == ["call.intent"]
    assert len(flights(town)) == 1
    recover(town, call)
    with town.bank() as bank:
        answer = {"range": "at_least", "verify": "match"}[kind]
        assert dict(bank.retry(call).fields) == {"answer": answer}
        assert bank.unanswered() == []
    assert uses(town, f"c-{subject}") == len(permits(town, f"c-{subject}")) == 1
    assert kinds(town.house, call)[:2] == WHOLE
    assert kinds(town.authority, call) == ["call.permit", "call.done"]
    assert flights(town) == []
