"""Somebody sends a session once more: for more points, or for points under another t.

A replayed request is the same session and spends nothing; under its jti nothing else
passes, at either node.  Were a second ticket permitted, a house would have the same
points multiplied for a second list or seed, and the quota would not see it.
"""

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest

from contracts import psi_bodies
from node.errors import Denied
from node.status import to_wire
from node.wire.v1 import psi_evaluation_pb2
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.psi_call import PsiRequest, PsiTicket
from protocols.sign import Signed, sign
from tests.lists import BANK, Caller, Lists, ids
from tests.simulator import World


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lists]:
    """Run house and authority, with one list and its contract."""
    with World(tmp_path_factory.mktemp("replayed")) as world:
        made = Lists(world)
        made.push(ids(*range(5)))
        made.contract(sessions=4)
        yield made


def intents(lists: Lists) -> list[tuple[int, psi_bodies.Intent]]:
    """Read the sessions that the house journalled."""
    ledger = lists.house.ledger
    entries = [Entry.parse(ledger.entry(i)) for i in range(ledger.head.size)]
    return [
        (index, psi_bodies.Intent.parse(entry.body))
        for index, entry in enumerate(entries)
        if entry.kind is Kind.PSI_INTENT
    ]


def bank_signs(lists: Lists, request: PsiRequest) -> Signed:
    """Sign as the bank."""
    key = lists.world.composed.keys[BANK].sign
    return sign(Tag.PSI_REQUEST, request.to_bytes(), key)


def test_the_same_request_is_the_same_session(lists: Lists) -> None:
    """Whoever sends it again finds it, and no second intent follows."""
    with lists.bank() as bank:
        bank.intersect("subsidy-intersection", ids(1, 2))
    ((_, intent),) = intents(lists)[-1:]
    caller = Caller(lists.world.domain.party(BANK))
    before = lists.house.ledger.head.size
    assert lists.psi_house.open(caller, intent.request) == 1
    name = PsiTicket.parse(intent.ticket.payload).request
    (answer,) = lists.psi_house.run(caller, name)
    assert answer.answer.ticket.payload == intent.ticket.payload
    assert lists.house.ledger.head.size == before


def test_other_points_under_the_same_jti(lists: Lists) -> None:
    """Denied at the house, and the first session stands."""
    with lists.bank() as bank:
        bank.intersect("subsidy-intersection", ids(1, 2))
    ((_, intent),) = intents(lists)[-1:]
    request = PsiRequest.parse(intent.request.payload)
    other = bank_signs(lists, replace(request, root=secrets.token_bytes(32)))
    with pytest.raises(Denied) as caught:
        lists.psi_house.open(Caller(lists.world.domain.party(BANK)), other)
    assert caught.value.reason == "REPLAY_MISMATCH"


def test_a_second_ticket_for_one_request(lists: Lists) -> None:
    """The authority knows which ticket it permitted; another seed is another."""
    with lists.bank() as bank:
        bank.intersect("subsidy-intersection", ids(3))
    ((index, intent),) = intents(lists)[-1:]
    ticket = PsiTicket.parse(intent.ticket.payload)
    key = lists.world.composed.keys["house"].ticket
    second = sign(
        Tag.PSI_TICKET, replace(ticket, seed=secrets.token_bytes(32)).to_bytes(), key
    )
    leaves = b"".join(lists.psi_house._files.points(ticket.request, "q", 1).leaves())
    with pytest.raises(Denied) as caught:
        lists.house.consultation.consult(
            index,
            lambda logged, links: lists.psi_authority.permit(
                psi_evaluation_pb2.PermitSessionRequest(
                    request=to_wire(intent.request),
                    ticket=to_wire(second),
                    leaves=leaves,
                    intent=logged,
                    links=links,
                )
            ),
        )
    with lists.authority.ledger.reader() as db:
        rows = db.execute("SELECT count(*) FROM psi_session WHERE permit IS NOT NULL")
        permitted = rows.fetchone()[0]
    assert permitted == len(intents(lists))
    assert caught.value.reason in ("REPLAY_MISMATCH", "INTENT_UNPROVEN")
