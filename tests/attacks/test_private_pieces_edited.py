"""The house edits what goes to the authority, or comes from it, or goes to the bank."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from contracts.decide import Reason
from node.consultation import proven
from node.domain import Role
from node.errors import Denied, NodeError, ReplyRefused
from node.keys import HouseKeys
from node.private_client import PrivateClient
from node.private_house import Made
from node.wire.v1 import private_pb2
from protocols.canon import Tag
from protocols.paillier import ciphertext_from_bytes
from protocols.private_call import PrivateRequest, PrivateTicket, Reply
from protocols.sign import Signed, sign
from tests.crowd_of_one import Hidden, Pieces, Wire
from tests.hostile import journal, uses

Answer = private_pb2.AskPrivatelyResponse


def flipped(data: bytes) -> bytes:
    """Flip the last bit."""
    return data[:-1] + bytes([data[-1] ^ 1])


def resigned(hidden: Hidden, payload: bytes, **changes: object) -> Signed:
    """Sign a ticket anew, with the house's own key."""
    ticket = replace(PrivateTicket.parse(payload), **changes)  # type: ignore[arg-type]
    keys = hidden.town.world.keys("house", HouseKeys)
    return sign(Tag.PRIVATE_TICKET, ticket.to_bytes(), keys.ticket)


# -- to the authority


def a_table(pieces: Pieces) -> None:
    """Spoil one after the ticket was made."""
    pieces[-1].block.tables = flipped(pieces[-1].block.tables)


def a_ciphertext(pieces: Pieces) -> None:
    """Send another one."""
    pieces[1].block.ciphertexts = flipped(pieces[1].block.ciphertexts)


def a_size(pieces: Pieces) -> None:
    """Send tables of another gate."""
    pieces[1].block.tables = pieces[1].block.tables[:-1]


@pytest.mark.parametrize("edit", [a_table, a_ciphertext, a_size])
def test_pieces_that_are_not_the_ticket_s(
    hidden: Hidden, edit: Callable[[Pieces], None]
) -> None:
    """Refused openly, before the first answer and after it."""
    subject = hidden.town.ids[0]
    with hidden.bank() as bank, Wire(hidden) as wire:
        wire.change = edit  # type: ignore[method-assign]
        with pytest.raises(Denied) as caught:
            bank.range("turnover-floor", subject, hidden.among())
    assert hidden.reasons(Role.AUTHORITY, caught.value) == [Reason.MESSAGE_INVALID]
    assert uses(hidden.town, f"c-{subject}") == 0


def test_an_answer_is_not_given_again_for_other_pieces(hidden: Hidden) -> None:
    """The authority looks at what it is shown, whatever it keeps."""
    with hidden.bank() as bank, Wire(hidden) as wire:
        wire.lost = 1
        with pytest.raises(NodeError):
            bank.range("turnover-floor", hidden.town.ids[1], hidden.among())
        call = _call(wire)
        wire.change = a_table  # type: ignore[method-assign]
        with pytest.raises(Denied) as caught:
            bank.retry(call)
    assert hidden.reasons(Role.AUTHORITY, caught.value) == [Reason.MESSAGE_INVALID]
    assert len(wire.answered) == 1


def test_a_number_that_is_no_ciphertext(
    hidden: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the ticket's own message: refused, whichever block is meant."""
    compute, n = hidden.house._compute, hidden.town.world.domain.paillier.n

    def spoil(*given: Any) -> Made:  # noqa: ANN401
        made = compute(*given)
        *rest, last = made.messages
        size = hidden.town.world.domain.paillier.ciphertext_bytes
        none = ciphertext_from_bytes(int(n).to_bytes(size, "big"))
        return replace(made, messages=(*rest, replace(last, ciphertext=none)))

    monkeypatch.setattr(hidden.house, "_compute", spoil)
    subject = min(hidden.town.ids, key=hidden.town.number)
    with hidden.bank() as bank, pytest.raises(Denied) as caught:
        bank.range("turnover-floor", subject, hidden.among())
    assert hidden.reasons(Role.AUTHORITY, caught.value) == [Reason.MESSAGE_INVALID]


def test_a_ticket_of_another_gate(
    hidden: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The contract fixes the gate."""
    machine = hidden.town.house.registry.machine

    class Evil:
        def __init__(self, given: Any) -> None:  # noqa: ANN401
            self.gate = replace_name(machine(given).gate)

    def replace_name(gate: Any) -> Any:  # noqa: ANN401
        class Named:
            name = "another"

            def __getattr__(self, name: str) -> object:
                return getattr(gate, name)

        return Named()

    depart = hidden.house._depart

    def departing(*given: Any) -> Any:  # noqa: ANN401
        with monkeypatch.context() as patch:
            patch.setattr(hidden.town.house.registry, "machine", Evil)
            return depart(*given)

    monkeypatch.setattr(hidden.house, "_depart", departing)
    with hidden.bank() as bank, pytest.raises(Denied) as caught:
        bank.range("turnover-floor", hidden.town.ids[2], hidden.among())
    assert hidden.reasons(Role.AUTHORITY, caught.value) == [Reason.TICKET_INVALID]


# -- at the house


def test_another_box_than_the_authority_s_word(hidden: Hidden) -> None:
    """Neither journalled nor handed on; the right one is."""
    with hidden.bank() as bank, Wire(hidden) as wire:
        honest = wire.evaluate_privately

        def swap(pieces: object) -> Any:  # noqa: ANN401
            response = honest(pieces)
            response.box = flipped(response.box)
            return response

        wire.evaluate_privately = swap  # type: ignore[method-assign]
        with pytest.raises(NodeError):
            bank.range("turnover-floor", hidden.town.ids[3], hidden.among())
        entries = hidden.said(Role.HOUSE, _call(wire))
        assert [entry.kind for entry in entries] == ["private.intent"]
    assert hidden.house.resume() == 1


def test_a_push_between_computing_and_intent(
    hidden: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Computed again, on the newest data, as the journal must have it."""
    make, made = hidden.house._make, []

    def pushing(asked: Any) -> Any:  # noqa: ANN401
        found = make(asked)
        if not made:
            hidden.town.push_again()
        made.append(found)
        return found

    monkeypatch.setattr(hidden.house, "_make", pushing)
    with hidden.bank() as bank:
        told = bank.range("turnover-floor", hidden.town.ids[6], hidden.among())
    assert (told.answer, len(made)) == ("at_least", 2)
    assert hidden.replay(Role.HOUSE) == []


# -- to the bank

Edit = Callable[[Hidden, Answer], None]


def ticket(**changes: object) -> Edit:
    """Sign another ticket into the reply."""

    def edit(hidden: Hidden, reply: Answer) -> None:
        signed = resigned(hidden, reply.ticket.payload, **changes)
        reply.ticket.payload, reply.ticket.signature = signed.payload, signed.signature

    return edit


def few(hidden: Hidden, reply: Answer) -> None:
    """Leave a candidate's place out."""
    places = PrivateTicket.parse(reply.ticket.payload).places
    ticket(places=places[:-1])(hidden, reply)


def forged(_: Hidden, reply: Answer) -> None:
    """Sign with nothing."""
    reply.ticket.signature = bytes(64)


def pads(_: Hidden, reply: Answer) -> None:
    """Exchange a pad."""
    reply.pads[-1] = flipped(reply.pads[-1])


def box(_: Hidden, reply: Answer) -> None:
    """Exchange the box."""
    reply.box = flipped(reply.box)


def word(_: Hidden, reply: Answer) -> None:
    """Take away the authority's signature."""
    reply.sealed.signature = bytes(64)


def outcome(hidden: Hidden, reply: Answer) -> None:
    """Prove an entry that is not this call's outcome."""
    last = max(
        n
        for n, entry in enumerate(journal(hidden.town.house))
        if entry.kind == "private.intent"
    )
    reply.outcome.CopyFrom(proven(hidden.town.house.ledger, last))


REPLIES: list[tuple[Edit, str]] = [
    (ticket(request=bytes(32)), "another request or contract"),
    (ticket(contract=bytes(32)), "another request or contract"),
    (ticket(gate="another"), "another gate"),
    (ticket(issued_ms=1), "on another box"),
    (few, "leaves candidates out"),
    (forged, "proves nothing"),
    (pads, "pads of another ticket"),
    (box, "on another box"),
    (word, "proves nothing"),
    (outcome, "of another entry than the outcome"),
]


@contextmanager
def tampered(bank: PrivateClient, hidden: Hidden, edit: Edit) -> Iterator[None]:
    """Edit every reply on its way to the bank."""
    honest = bank._stub.AskPrivately

    def ask(message: Any, timeout: float) -> Answer:  # noqa: ANN401
        reply: Answer = honest(message, timeout=timeout)
        edit(hidden, reply)
        return reply

    bank._stub.AskPrivately = ask
    try:
        yield
    finally:
        bank._stub.AskPrivately = honest


def test_an_edited_reply_is_refused(hidden: Hidden) -> None:
    """One edit, one sentence; the honest reply is taken after all of them."""
    subject = hidden.town.ids[7]
    with hidden.bank() as bank:
        before = set(bank.unanswered())
        with tampered(bank, hidden, pads), pytest.raises(ReplyRefused):
            bank.range("turnover-floor", subject, hidden.among())
        (call,) = set(bank.unanswered()) - before
        for edit, sentence in REPLIES:
            with (
                tampered(bank, hidden, edit),
                pytest.raises(ReplyRefused, match=sentence),
            ):
                bank.retry(call)
        assert bank.retry(call).answer == "at_least"
    assert uses(hidden.town, f"c-{subject}") == 1


@pytest.mark.parametrize("part", ["opened", "permit", "receipt"])
def test_a_box_that_is_not_what_its_receipt_says(
    hidden: Hidden, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bank finds an authority that swaps a part, and commits all the same."""
    reply, earlier = hidden.authority._reply, list[Reply]()

    def swap(*given: Any) -> Reply:  # noqa: ANN401
        made = reply(*given)
        if not earlier:
            earlier.append(made)
            return made
        if part == "opened":
            return replace(made, opened=flipped(made.opened))
        return replace(made, **{part: getattr(earlier[0], part)})

    monkeypatch.setattr(hidden.authority, "_reply", swap)
    subjects = {"opened": 8, "permit": 10, "receipt": 12}
    with hidden.bank() as bank, Wire(hidden) as wire:
        first = subjects[part]
        bank.range("turnover-floor", hidden.town.ids[first], hidden.among())
        with pytest.raises(ReplyRefused):
            bank.range("turnover-floor", hidden.town.ids[first + 1], hidden.among())
    kinds = [entry.kind for entry in hidden.said(Role.HOUSE, _call(wire))]
    assert kinds == ["private.intent", "private.outcome", "private.result"]


def _call(wire: Wire) -> bytes:
    payload = wire.asked[-1][0].question.request.payload
    return PrivateRequest.parse(payload).hash
