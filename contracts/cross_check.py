"""Cross-check: do house, authority and banks tell the same story.

Each journal may be flawless by itself (`contracts.replay`) and yet leave out a
call.  What stands in one must stand in the other:

 1. Every permit has an intent of the same ticket and call.  Else the authority
    decrypted for somebody whom the house does not know.
 2. Every done has a permit: nothing is decrypted without one.
 3. Every done has an outcome with the same receipt, else an answer left the
    authority that the house did not journal.
 4. Every outcome has a done with the same receipt.
 5. Every denied has the authority's denial of the same call, in the same words.
 6. Every receipt that a bank keeps is in both journals.

The journals are exported at different moments, so the newest calls may be under
way: an intent without any answer, or a permit without its done, is counted in
`Unfinished` and is no discrepancy by itself.  `PROTOCOL 3` says what a crash
may leave behind.

>>> found, unfinished = cross_check((), (), [Kept(bytes(32), b"r" * 32)])
>>> print(found[0].mark, unfinished.intents)
UNLOGGED_RECEIPT 0
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from contracts import bodies
from contracts.replay import Discrepancy, Mark, Role
from protocols.call import receipt_hash, ticket_hash
from protocols.entry import Entry, Kind
from protocols.errors import FormatError


@dataclass(frozen=True, slots=True)
class Kept:
    """A receipt that a bank keeps."""

    ticket: bytes
    receipt: bytes  # `call.receipt_hash` of it


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Calls that neither journal shows the end of."""

    intents: int = 0  # neither an outcome nor a denial
    permits: int = 0  # no done


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an entry stands, and what it says."""

    index: int
    call: str
    said: bytes = b""


@dataclass(slots=True)
class _Story:
    """What one journal tells about calls, by ticket or by call."""

    role: Role
    begun: dict[bytes, _Place] = field(default_factory=dict)  # permits, intents
    ended: dict[bytes, list[_Place]] = field(default_factory=dict)  # done, outcome
    denials: dict[str, list[_Place]] = field(default_factory=dict)  # by call
    found: list[Discrepancy] = field(default_factory=list)

    def note(self, place: _Place, mark: Mark, message: str) -> None:
        self.found.append(
            Discrepancy(self.role, place.index, place.call, mark, message)
        )

    def end(self, ticket: bytes, place: _Place) -> None:
        self.ended.setdefault(ticket, []).append(place)

    def deny(self, place: _Place) -> None:
        self.denials.setdefault(place.call, []).append(place)

    def receipts(self, ticket: bytes) -> set[bytes]:
        return {place.said for place in self.ended.get(ticket, ())}


def cross_check(
    house: Iterable[Entry], authority: Iterable[Entry], receipts: Iterable[Kept] = ()
) -> tuple[tuple[Discrepancy, ...], Unfinished]:
    """Compare two whole journals and what banks keep; each from entry 0."""
    ours = _read_house(house)
    theirs = _read_authority(authority)
    _check_authority(ours, theirs)
    _check_house(ours, theirs)
    _check_kept(ours, theirs, receipts)
    denied = {
        ticket for ticket in ours.begun if ours.begun[ticket].call in ours.denials
    }
    unfinished = Unfinished(
        intents=len(ours.begun.keys() - ours.ended.keys() - denied),
        permits=len(theirs.begun.keys() - theirs.ended.keys()),
    )
    return (*ours.found, *theirs.found), unfinished


def _check_authority(house: _Story, authority: _Story) -> None:
    # 1
    for ticket, permit in authority.begun.items():
        intent = house.begun.get(ticket)
        if intent is None or intent.call != permit.call:
            authority.note(
                permit,
                Mark.NO_INTENT,
                f"permit of ticket {ticket.hex()}, which the house journalled"
                + (" never" if intent is None else f" for call {intent.call}"),
            )
    for ticket, places in authority.ended.items():
        for done in places:
            # 2
            if ticket not in authority.begun:
                authority.note(
                    done,
                    Mark.NO_PERMIT,
                    f"decrypted without a permit: ticket {ticket.hex()}",
                )
            # 3
            if done.said not in house.receipts(ticket):
                authority.note(
                    done,
                    Mark.RECEIPTS_DIFFER if ticket in house.ended else Mark.NO_OUTCOME,
                    f"the house has no outcome with this receipt of ticket"
                    f" {ticket.hex()}",
                )


def _check_house(house: _Story, authority: _Story) -> None:
    # 4
    for ticket, places in house.ended.items():
        for outcome in places:
            if outcome.said not in authority.receipts(ticket):
                house.note(
                    outcome,
                    Mark.RECEIPTS_DIFFER if ticket in authority.ended else Mark.NO_DONE,
                    f"the authority did nothing with this receipt for ticket"
                    f" {ticket.hex()}",
                )
    # 5
    for call, places in house.denials.items():
        said = {place.said for place in authority.denials.get(call, ())}
        for denied in places:
            if denied.said not in said:
                house.note(
                    denied, Mark.NO_DENIAL, "the authority journalled no such denial"
                )


def _check_kept(house: _Story, authority: _Story, receipts: Iterable[Kept]) -> None:
    # 6
    for kept in receipts:
        for story in (house, authority):
            if kept.receipt in story.receipts(kept.ticket):
                continue
            begun = story.begun.get(kept.ticket)
            story.note(
                _Place(-1, begun.call if begun else ""),
                Mark.UNLOGGED_RECEIPT,
                f"a bank keeps a receipt of ticket {kept.ticket.hex()} that is not in"
                " this journal",
            )


def _read_house(entries: Iterable[Entry]) -> _Story:
    story = _Story(Role.HOUSE)
    for index, entry in enumerate(entries):
        place = _Place(index, entry.call)
        try:
            match entry.kind:
                case Kind.CALL_INTENT:
                    intent = bodies.Intent.parse(entry.body)
                    story.begun[ticket_hash(intent.ticket.payload)] = place
                case Kind.CALL_OUTCOME:
                    outcome = bodies.Outcome.parse(entry.body)
                    story.end(
                        outcome.ticket, _Place(index, entry.call, outcome.receipt)
                    )
                case Kind.CALL_DENIED:
                    denied = bodies.Denied.parse(entry.body)
                    story.deny(_Place(index, entry.call, denied.denial.payload))
                case _:
                    pass
        except FormatError as error:
            story.note(place, Mark.MALFORMED, f"`{entry.kind}`: {error}")
    return story


def _read_authority(entries: Iterable[Entry]) -> _Story:
    story = _Story(Role.AUTHORITY)
    for index, entry in enumerate(entries):
        place = _Place(index, entry.call)
        try:
            match entry.kind:
                case Kind.CALL_PERMIT:
                    permit = bodies.Permit.parse(entry.body)
                    story.begun[permit.ticket] = place
                case Kind.CALL_DONE:
                    done = bodies.Done.parse(entry.body)
                    story.end(
                        done.ticket,
                        _Place(index, entry.call, receipt_hash(done.receipt.payload)),
                    )
                case Kind.CALL_DENY:
                    deny = bodies.Deny.parse(entry.body)
                    story.deny(_Place(index, entry.call, deny.denial.payload))
                case _:
                    pass
        except FormatError as error:
            story.note(place, Mark.MALFORMED, f"`{entry.kind}`: {error}")
    return story
