"""The house treats candidates apart, and waits for a difference."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from contracts import private_bodies
from contracts.decide import Reason
from node import private_client, private_house
from node.domain import Role
from node.errors import Denied, Refused, ReplyRefused
from node.private_house import Made
from protocols.private_call import PrivateRequest, PrivateTicket
from tests.crowd_of_one import Hidden, Pieces, Wire
from tests.hostile import uses


def places(count: int) -> Callable[[PrivateTicket], PrivateTicket]:
    """Make a ticket that leaves candidates out, or seats two on one slot."""

    def change(ticket: PrivateTicket) -> PrivateTicket:
        kept = ticket.places[:-1]
        again = kept[-1:] if count else ()
        return replace(ticket, places=kept + again)

    return change


@pytest.mark.parametrize("count", [0, 1], ids=["left out", "seated twice"])
def test_a_candidate_without_a_place(
    hidden: Hidden, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused openly before the box is looked into: whoever is meant."""
    honest, change = private_house.PrivateTicket, places(count)

    class Evil(PrivateTicket):
        def __new__(cls, *fields: Any) -> Any:  # noqa: ANN401
            return change(honest(*fields))

    subjects = [hidden.town.ids[0], max(hidden.town.ids, key=hidden.town.number)]
    told = []
    for subject in subjects:
        with hidden.bank() as bank, monkeypatch.context() as patch:
            patch.setattr(private_house, "PrivateTicket", _making(Evil, honest))
            with pytest.raises(Denied) as caught:
                bank.range("turnover-floor", subject, hidden.among())
        told.append((caught.value.reason, str(caught.value)))
        found = hidden.reasons(Role.AUTHORITY, caught.value)
        assert Reason.TICKET_INVALID in found
        assert uses(hidden.town, f"c-{subject}") == 0
    assert told[0] == told[1]


def _making(evil: type, honest: type[PrivateTicket]) -> Any:  # noqa: ANN401
    class Both:
        parse = staticmethod(honest.parse)

        def __new__(cls, *fields: Any) -> Any:  # noqa: ANN401
            return evil(*fields)

    return Both


def test_a_spoilt_table_spoils_what_only_the_bank_sees(
    hidden: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Garbage for half of the list: the house gets the same weights as ever."""
    compute = hidden.house._compute

    def spoil(*given: Any) -> Made:  # noqa: ANN401
        made = compute(*given)
        first, *rest = made.messages
        size = len(first.tables) // len(first.slots)
        bad = bytes(byte ^ 0x55 for byte in first.tables[:size])
        spoilt = replace(first, tables=bad + first.tables[size:])
        return replace(made, messages=(spoilt, *rest))

    meant = min(hidden.town.ids, key=hidden.town.number)  # whose table it is
    other = max(hidden.town.ids, key=hidden.town.number)
    seen = []
    for subject in (meant, other):
        with (
            hidden.bank() as bank,
            Wire(hidden) as wire,
            monkeypatch.context() as patch,
        ):
            patch.setattr(hidden.house, "_compute", spoil)
            with_outcome = True
            try:
                bank.range("turnover-floor", subject, hidden.among())
            except Exception as error:  # noqa: BLE001  garbage may be no outcome
                with_outcome = "out of range" in str(error)
        assert with_outcome
        (answer,) = wire.answered
        seen.append((answer.ByteSize(), len(answer.box)))
        said = [hidden.said(role, _call(wire)) for role in (Role.HOUSE, Role.AUTHORITY)]
        assert [[entry.kind for entry in entries] for entries in said] == [
            ["private.intent", "private.outcome", "private.result"],
            ["private.permit", "private.done"],
        ]
    assert seen[0] == seen[1]


@pytest.mark.parametrize("cut", ["a block's", "a byte"])
def test_pads_that_are_not_all_there(
    hidden: Hidden, cut: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before the box is opened, with a ticket of just these pads."""
    compute = hidden.house._compute

    def shorten(*given: Any) -> Made:  # noqa: ANN401
        made = compute(*given)
        *rest, last = made.pads
        return replace(
            made, pads=tuple(rest) if cut == "a block's" else (*rest, last[:-1])
        )

    def told(subject: str) -> tuple[str, list[str]]:
        with (
            hidden.bank() as bank,
            Wire(hidden) as wire,
            monkeypatch.context() as patch,
        ):
            patch.setattr(hidden.house, "_compute", shorten)
            with pytest.raises(ReplyRefused) as caught:
                bank.range("turnover-floor", subject, hidden.among())
        entries = hidden.said(Role.HOUSE, _call(wire))
        return str(caught.value), [entry.kind for entry in entries]

    first = min(hidden.town.ids, key=hidden.town.number)
    last = max(hidden.town.ids, key=hidden.town.number)  # whose pads they are
    refused = "expected the pads of every candidate"
    assert told(first) == told(last)
    assert told(first) == (refused, ["private.intent", "private.outcome"])


def test_what_cannot_be_read_is_committed_to(
    hidden: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong once the box is open, the house gets its commitment."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    subject = sorted(hidden.town.ids, key=hidden.town.number)[5]  # not an outer one
    with hidden.bank() as bank, Wire(hidden) as wire, monkeypatch.context() as patch:
        patch.setattr(private_client, "bank_open", broken)
        with pytest.raises(ZeroDivisionError):
            bank.range("turnover-floor", subject, hidden.among())
        assert _call(wire) not in bank.unanswered()
    kinds = [entry.kind for entry in hidden.said(Role.HOUSE, _call(wire))]
    assert kinds == ["private.intent", "private.outcome", "private.result"]


def test_another_box_is_refused_openly(hidden: Hidden) -> None:
    """The house swapped it, so it is told; nothing is sealed in the bank's name."""

    def swap(pieces: Pieces) -> None:
        box = pieces[0].question.box
        pieces[0].question.box = box[:-1] + bytes([box[-1] ^ 1])

    subject = sorted(hidden.town.ids, key=hidden.town.number)[6]
    with hidden.bank() as bank, Wire(hidden) as wire:
        wire.change = swap  # type: ignore[method-assign]
        with pytest.raises(Denied) as caught:
            bank.range("turnover-floor", subject, hidden.among())
    assert hidden.reasons(Role.AUTHORITY, caught.value) == [Reason.TICKET_INVALID]
    kinds = [entry.kind for entry in hidden.said(Role.AUTHORITY, _call(wire))]
    assert (wire.answered, kinds) == ([], ["private.deny"])


def test_a_kind_that_is_not_asked_privately(
    hidden: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim has halves that no list binds: the authority takes it no more."""
    subject, size = hidden.town.ids[5], hidden.town.authority.ledger.head.size
    lax = SimpleNamespace(**vars(private_bodies))
    lax.read_request = PrivateRequest.parse
    monkeypatch.setattr(
        private_client,
        "PrivateRequest",
        lambda **fields: PrivateRequest(**{**fields, "kind": "verify"}),
    )
    monkeypatch.setattr(private_house, "private_bodies", lax)
    monkeypatch.setattr(private_house.PrivateHouse, "_found", lambda *_: [])
    with (
        hidden.bank() as bank,
        Wire(hidden) as wire,
        pytest.raises(Refused, match="is not asked privately"),
    ):
        bank.range("turnover-floor", subject, hidden.among())
    assert len(wire.asked) == 1
    assert hidden.town.authority.ledger.head.size == size


def _call(wire: Wire) -> bytes:
    return private_house.call_hash(wire.asked[0][0].question.request.payload)
