"""Cross-check: do house, authority and banks tell the same story.

Each journal may be flawless by itself (`contracts.replay`) and yet leave out a
call.  What stands in one must stand in the other:

 1. Every permit has an intent of the same ticket and call.  Else the authority
    decrypted for somebody whom the house does not know.
 2. Every done has a permit, where its receipt says: nothing is decrypted
    without one.
 3. Every done has an outcome with the same receipt, else an answer left the
    authority that the house did not journal.
 4. Every outcome has a done with the same receipt.
 5. Every denied has the authority's denial of the same call, in the same words.
 6. Every receipt of an open call that a bank keeps is in both journals.
 7. Every permit of a job was asked for by the house: the same slot, entry of the
    bank's list and consent.  Every permit of a private call names a candidate of the
    house's intent by its entry and consent.
 8. Both went by the same classes and legal bases at every serial: where one
    journalled none, by its newest before, unless it has not started since.  Who
    started since the trust domain at hand was made goes by that one's.
 9. Both were told of the same erasures, by the same bytes: a registrar tells both, and
    whoever goes on `SETTLED_MS` without is missed.

A job's messages are compared like calls, `job.decrypt` being their permit; so are
statistics, sessions of intersection, what those count, by itself, and functional
replays.

**What is under way.**  The authority's journal must be the newer of the two: then
4 and 5 hold to the last entry.  (An exporter takes the house's checkpoint first.)
How far the house's journal reaches into the authority's, the authority's answers
tell: the house journalled an outcome after its receipt was signed, and a receipt
names the size of the authority's journal at that moment; a denial stands there
itself.  The largest of these sizes is the *horizon*.

* A permit before the horizon has its intent in the house's journal, whatever
  happens at the same time, for the intent is durable before anybody is asked.
* A done has its outcome soon, but the house may be stopped in between and resume
  the call later: one that is `SETTLED_MS` older than the horizon is missed.

What is newer, and an intent without any answer, is counted in `Unfinished` and
is no discrepancy by itself; a later export decides it.

>>> found, unfinished = cross_check((), (), [Kept(bytes(32), b"r" * 32)])
>>> print(found[0].mark, unfinished.intents)
UNLOGGED_RECEIPT 0
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from contracts import (
    aggregate_bodies,
    audit_bodies,
    bodies,
    job_bodies,
    private_bodies,
    psi_bodies,
)
from contracts.job_bodies import Seats
from contracts.rebuild import Standing
from contracts.replay import Discrepancy, Mark, Role
from protocols import job
from protocols.aggregate_call import aggregate_receipt_hash, aggregate_ticket_hash
from protocols.call import HASH_BYTES, Permit, receipt_hash, ticket_hash
from protocols.entry import Entry, Kind
from protocols.errors import FormatError
from protocols.private_call import PrivateSealed, PrivateTicket
from protocols.psi_call import PsiCount, PsiReceipt, PsiTicket

_COUNT: Final = b"count "  # before the ticket of a session that is counted
SETTLED_MS: Final = 600_000  # an answer is asked for again for so long


@dataclass(frozen=True, slots=True)
class Kept:
    """A receipt that a bank keeps, and where its proofs say the call stands."""

    ticket: bytes
    receipt: bytes  # `call.receipt_hash` of it
    outcome: int = -1  # index in the house's journal
    permit: int = -1  # index in the authority's


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Calls that the journals do not show the end of."""

    intents: int = 0  # neither an outcome nor a denial
    permits: int = 0  # no done, or newer than the house's journal
    answers: int = 0  # no outcome yet


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an entry stands, and what it says."""

    index: int
    call: str
    time_ms: int
    said: bytes = b""
    permit: Permit | None = None  # of a done: where its receipt says

    def saying(self, said: bytes, permit: Permit | None = None) -> "_Place":
        return _Place(self.index, self.call, self.time_ms, said, permit)


_Seat: TypeAlias = tuple[int, int, str]  # slot, entry of the list, consent
_Reader: TypeAlias = "Callable[[_Story, _Place, Entry], None]"


@dataclass(slots=True)
class _Story:
    """What one journal tells about calls, by ticket or by call."""

    role: Role
    begun: dict[bytes, _Place] = field(default_factory=dict)  # permits, intents
    ended: dict[bytes, list[_Place]] = field(default_factory=dict)  # done, outcome
    denials: dict[str, list[_Place]] = field(default_factory=dict)  # by call
    found: list[Discrepancy] = field(default_factory=list)
    classes: dict[int, tuple[bodies.Classes, "_Place"]] = field(default_factory=dict)
    bases: dict[int, tuple[bodies.BasisRule, "_Place"]] = field(default_factory=dict)
    started: "_Place | None" = None  # the last time
    erased: dict[bytes, "_Place"] = field(default_factory=dict)  # by signed erasure
    last_ms: int = 0  # the time of the newest entry
    # of jobs: asked about, permitted
    seats: dict[tuple[bytes, int], tuple[frozenset[_Seat], _Place]] = field(
        default_factory=dict
    )

    def note(self, place: _Place, mark: Mark, message: str) -> None:
        self.found.append(
            Discrepancy(self.role, place.index, place.call, mark, message)
        )

    def end(self, ticket: bytes, place: _Place) -> None:
        self.ended.setdefault(ticket, []).append(place)

    def deny(self, place: _Place) -> None:
        self.denials.setdefault(place.call, []).append(place)

    def seat(self, name: bytes, blocks: Iterable[Seats], place: "_Place") -> None:
        for seats in blocks:
            seated = zip(seats.slots, seats.entries, seats.consents, strict=True)
            self.seats[name, seats.block] = frozenset(seated), place

    def knew(self, serial: int) -> bodies.Classes:
        """Who was in which class, by the newest serial up to this one."""
        known = [number for number in self.classes if number <= serial]
        return self.classes[max(known)][0] if known else bodies.NO_CLASSES

    def went_by(self, serial: int) -> bodies.BasisRule:
        """Which bases were accepted, by the newest serial up to this one."""
        known = [number for number in self.bases if number <= serial]
        return self.bases[max(known)][0] if known else bodies.STRICT_RULE

    def behind(self, known: Iterable[int], serial: int, time_ms: int) -> bool:
        """Tell whether it has not started since another knew of a newer serial."""
        started = self.started is not None and self.started.time_ms > time_ms
        return serial > max(known, default=0) and not started

    def receipts(self, ticket: bytes) -> set[bytes]:
        return {place.said for place in self.ended.get(ticket, ())}


def cross_check(
    house: Iterable[Entry],
    authority: Iterable[Entry],
    receipts: Iterable[Kept] = (),
    standing: Standing | None = None,
) -> tuple[tuple[Discrepancy, ...], Unfinished]:
    """Compare two whole journals and what banks keep; each from entry 0.

    `standing` is the trust domain's at hand.
    """
    ours = _read_house(house)
    theirs = _read_authority(authority)
    answers, unseen = _check_authority(ours, theirs)
    _check_seats(ours, theirs)
    _check_classes(ours, theirs, standing or Standing())
    _check_erased(ours, theirs)
    _check_erased(theirs, ours)
    _check_bases(ours, theirs, standing or Standing())
    _check_house(ours, theirs)
    _check_kept(ours, theirs, receipts)
    denied = {
        ticket for ticket in ours.begun if ours.begun[ticket].call in ours.denials
    }
    unfinished = Unfinished(
        intents=len(ours.begun.keys() - ours.ended.keys() - denied),
        permits=len(unseen | (theirs.begun.keys() - theirs.ended.keys())),
        answers=answers,
    )
    return (*ours.found, *theirs.found), unfinished


def _check_classes(house: _Story, authority: _Story, pinned: Standing) -> None:
    # 8
    for serial in sorted({*house.classes, *authority.classes}):
        ours = serial in house.classes
        story, other = (house, authority) if ours else (authority, house)
        told, place = story.classes[serial]
        late = other.behind(other.classes, serial, place.time_ms)
        if not late and not told.alike(other.knew(serial)):
            story.note(
                place,
                Mark.CLASSES_DIFFER,
                f"house and authority knew other classes by serial {serial}",
            )
    now = pinned.classes
    for story in (house, authority):
        started = story.started
        if (
            now is not None
            and started is not None
            and started.time_ms >= pinned.since_ms
            and not now.alike(story.knew(now.serial))
        ):
            story.note(
                started,
                Mark.CLASSES_DIFFER,
                f"started without the classes of the trust domain, serial {now.serial}",
            )


def _check_erased(story: _Story, other: _Story) -> None:
    # 9
    for signed in story.erased.keys() - other.erased.keys():
        place = story.erased[signed]
        if place.time_ms + SETTLED_MS < other.last_ms:
            story.note(
                place,
                Mark.ERASURES_DIFFER,
                f"a subject was erased here, and not at the {other.role}",
            )


def _erased(story: _Story, place: _Place, entry: Entry) -> None:
    story.erased[bodies.Objection.parse(entry.body).signed.payload] = place


def _check_bases(house: _Story, authority: _Story, pinned: Standing) -> None:
    # 8
    for serial in sorted({*house.bases, *authority.bases}):
        ours = serial in house.bases
        story, other = (house, authority) if ours else (authority, house)
        told, place = story.bases[serial]
        late = other.behind(other.bases, serial, place.time_ms)
        if not late and not told.alike(other.went_by(serial)):
            story.note(
                place,
                Mark.BASES_DIFFER,
                f"house and authority accepted other bases by serial {serial}",
            )
    now = pinned.bases
    for story in (house, authority):
        started = story.started
        if (
            now is not None
            and started is not None
            and started.time_ms >= pinned.since_ms
            and not now.alike(story.went_by(now.serial))
        ):
            story.note(
                started,
                Mark.BASES_DIFFER,
                f"started without the bases of the trust domain, serial {now.serial}",
            )


def _bases(story: _Story, place: _Place, entry: Entry) -> None:
    told = bodies.BasisRule.parse(entry.body)
    story.bases.setdefault(told.serial, (told, place))


def _classes(story: _Story, place: _Place, entry: Entry) -> None:
    told = bodies.Classes.parse(entry.body)
    story.classes.setdefault(told.serial, (told, place))


def _start(story: _Story, place: _Place, _entry: Entry) -> None:
    story.started = place


def _check_authority(house: _Story, authority: _Story) -> tuple[int, set[bytes]]:
    """Return how many answers are on their way, and the permits not seen yet."""
    horizon, horizon_ms = _horizon(house, authority)
    unseen = set()
    # 1
    for ticket, permit in authority.begun.items():
        intent = house.begun.get(ticket)
        if intent is None and permit.index >= horizon:
            unseen.add(ticket)
        elif intent is None or intent.call != permit.call:
            authority.note(
                permit,
                Mark.NO_INTENT,
                f"permit of ticket {ticket.hex()}, which the house journalled"
                + (" never" if intent is None else f" for call {intent.call}"),
            )
    answers = 0
    for ticket, places in authority.ended.items():
        for done in places:
            # 2
            begun = authority.begun.get(ticket)
            if begun is None or done.permit is None or done.permit.index != begun.index:
                authority.note(
                    done,
                    Mark.NO_PERMIT,
                    f"decrypted without a permit: ticket {ticket.hex()}"
                    if begun is None
                    else f"its receipt names another entry than permit {begun.index}",
                )
            # 3
            if ticket in house.ended:
                if done.said not in house.receipts(ticket):
                    authority.note(
                        done,
                        Mark.RECEIPTS_DIFFER,
                        "the house has no outcome with this receipt of ticket"
                        f" {ticket.hex()}",
                    )
            elif done.index < horizon and done.time_ms + SETTLED_MS < horizon_ms:
                authority.note(
                    done,
                    Mark.NO_OUTCOME,
                    f"the house has no outcome of ticket {ticket.hex()}",
                )
            else:
                answers += 1
    return answers, unseen


def _check_seats(house: _Story, authority: _Story) -> None:
    horizon, _ = _horizon(house, authority)
    # 7
    for (name, block), (seats, permit) in authority.seats.items():
        asked, _ = house.seats.get((name, block), (frozenset[_Seat](), permit))
        if permit.index < horizon and not seats <= asked:
            authority.note(
                permit,
                Mark.NO_INTENT,
                f"permits of block {block} that the house did not ask for",
            )


def _horizon(house: _Story, authority: _Story) -> tuple[int, int]:
    """Return how many of the authority's entries the house answers for, and when."""
    seen = [
        (done.permit.size, done.time_ms)
        for ticket, places in authority.ended.items()
        for done in places
        if done.permit is not None and done.said in house.receipts(ticket)
    ]
    for call, places in house.denials.items():
        said = {place.said for place in places}
        seen += [
            (denial.index + 1, denial.time_ms)
            for denial in authority.denials.get(call, ())
            if denial.said in said
        ]
    if not seen:
        return 0, 0
    return max(size for size, _ in seen), max(time_ms for _, time_ms in seen)


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
        for story, index in ((house, kept.outcome), (authority, kept.permit)):
            if kept.receipt in story.receipts(kept.ticket):
                continue
            begun = story.begun.get(kept.ticket)
            story.note(
                _Place(index, begun.call if begun else "", 0),
                Mark.UNLOGGED_RECEIPT,
                f"a bank keeps a receipt of ticket {kept.ticket.hex()} that is not in"
                " this journal",
            )


def _read_house(entries: Iterable[Entry]) -> _Story:
    return _read(_Story(Role.HOUSE), entries, _OF_HOUSE)


def _read_authority(entries: Iterable[Entry]) -> _Story:
    return _read(_Story(Role.AUTHORITY), entries, _OF_AUTHORITY)


def _read(
    story: _Story, entries: Iterable[Entry], readers: Mapping[Kind, _Reader]
) -> _Story:
    for index, entry in enumerate(entries):
        story.last_ms = max(story.last_ms, entry.time_ms)
        reader = readers.get(entry.kind)
        if reader is None:
            continue
        place = _Place(index, entry.call, entry.time_ms)
        try:
            reader(story, place, entry)
        except FormatError as error:
            story.note(place, Mark.MALFORMED, f"`{entry.kind}`: {error}")
    return story


def _intent(story: _Story, place: _Place, entry: Entry) -> None:
    ticket = bodies.Intent.parse(entry.body).ticket
    story.begun[ticket_hash(ticket.payload)] = place


def _permitted(story: _Story, place: _Place, entry: Entry) -> None:
    story.begun[bodies.Permit.parse(entry.body).ticket] = place


def _done(story: _Story, place: _Place, entry: Entry) -> None:
    done = bodies.Done.parse(entry.body)
    payload = done.receipt.payload
    story.end(done.ticket, place.saying(receipt_hash(payload), _permit(payload)))


def _outcome(story: _Story, place: _Place, entry: Entry) -> None:
    outcome = bodies.Outcome.parse(entry.body)
    story.end(outcome.ticket, place.saying(outcome.receipt))


def _deny(story: _Story, place: _Place, entry: Entry) -> None:
    story.deny(place.saying(bodies.Deny.parse(entry.body).denial.payload))


def _denied(story: _Story, place: _Place, entry: Entry) -> None:
    story.deny(place.saying(bodies.Denied.parse(entry.body).denial.payload))


def _job_ask(story: _Story, place: _Place, entry: Entry) -> None:
    asked = job_bodies.Ask.parse(entry.body)
    story.seat(asked.job, asked.seats, place)


def _job_permit(story: _Story, place: _Place, entry: Entry) -> None:
    allowed = job_bodies.Permit.parse(entry.body)
    story.seat(allowed.job, allowed.seats, place)


def _job_intent(story: _Story, place: _Place, entry: Entry) -> None:
    ticket = job_bodies.Intent.parse(entry.body).ticket
    story.begun[job.ticket_hash(ticket.payload)] = place


def _job_decrypt(story: _Story, place: _Place, entry: Entry) -> None:
    story.begun[job_bodies.Decrypt.parse(entry.body).ticket] = place


def _job_done(story: _Story, place: _Place, entry: Entry) -> None:
    done = job_bodies.Done.parse(entry.body)
    said = job.receipt_hash(done.receipt.payload)
    story.end(done.ticket, place.saying(said, _permits(story, done)))


def _job_outcome(story: _Story, place: _Place, entry: Entry) -> None:
    outcome = job_bodies.Outcome.parse(entry.body)
    story.end(outcome.ticket, place.saying(outcome.receipt))


def _aggregate_intent(story: _Story, place: _Place, entry: Entry) -> None:
    ticket = aggregate_bodies.Intent.parse(entry.body).ticket
    story.begun[aggregate_ticket_hash(ticket.payload)] = place


def _aggregate_permit(story: _Story, place: _Place, entry: Entry) -> None:
    story.begun[aggregate_bodies.Permit.parse(entry.body).ticket] = place


def _aggregate_done(story: _Story, place: _Place, entry: Entry) -> None:
    done = bodies.Done.parse(entry.body)
    payload = done.receipt.payload
    said = aggregate_receipt_hash(payload)
    story.end(done.ticket, place.saying(said, _permit(payload)))


def _audit_intent(story: _Story, place: _Place, entry: Entry) -> None:
    ticket = audit_bodies.Intent.parse(entry.body).ticket
    story.begun[ticket_hash(ticket.payload)] = place


def _audit_permit(story: _Story, place: _Place, entry: Entry) -> None:
    story.begun[audit_bodies.Permit.parse(entry.body).ticket] = place


def _audit_outcome(story: _Story, place: _Place, entry: Entry) -> None:
    outcome = audit_bodies.Outcome.parse(entry.body)
    story.end(outcome.ticket, place.saying(outcome.receipt))


def _audit_deny(story: _Story, place: _Place, entry: Entry) -> None:
    story.deny(place.saying(audit_bodies.Deny.parse(entry.body).denial.payload))


def _private_intent(story: _Story, place: _Place, entry: Entry) -> None:
    body = private_bodies.Intent.parse(entry.body)
    name = PrivateTicket.parse(body.ticket.payload).hash
    story.begun[name] = place
    seats = ((0, n, named.consent) for n, named in enumerate(body.subjects))
    story.seats[name, 0] = frozenset(seats), place


def _private_permit(story: _Story, place: _Place, entry: Entry) -> None:
    body = private_bodies.Permit.parse(entry.body)
    story.begun[body.ticket] = place
    story.seats[body.ticket, 0] = frozenset({(0, body.entry, body.consent)}), place


def _private_refuse(story: _Story, place: _Place, entry: Entry) -> None:
    story.begun[private_bodies.Refuse.parse(entry.body).ticket] = place


def _private_done(story: _Story, place: _Place, entry: Entry) -> None:
    done = private_bodies.Done.parse(entry.body)
    said = PrivateSealed.parse(done.sealed.payload).hash
    begun = story.begun.get(done.ticket)
    # Sealed after the permit, or the refusal, that stands before it.
    where = None
    if begun is not None:
        where = Permit(begun.index, begun.index + 1, bytes(HASH_BYTES))
    story.end(done.ticket, place.saying(said, where))


def _private_outcome(story: _Story, place: _Place, entry: Entry) -> None:
    outcome = private_bodies.Outcome.parse(entry.body)
    story.end(outcome.ticket, place.saying(outcome.sealed))


def _private_deny(story: _Story, place: _Place, entry: Entry) -> None:
    story.deny(place.saying(private_bodies.Deny.parse(entry.body).denial.payload))


def _private_denied(story: _Story, place: _Place, entry: Entry) -> None:
    story.deny(place.saying(private_bodies.Denied.parse(entry.body).denial.payload))


def _psi_intent(story: _Story, place: _Place, entry: Entry) -> None:
    ticket = psi_bodies.Intent.parse(entry.body).ticket
    story.begun[PsiTicket.parse(ticket.payload).hash] = place


def _psi_outcome(story: _Story, place: _Place, entry: Entry) -> None:
    outcome = psi_bodies.Outcome.parse(entry.body)
    story.end(outcome.ticket, place.saying(outcome.receipt))


def _psi_return(story: _Story, place: _Place, entry: Entry) -> None:
    story.begun[_COUNT + psi_bodies.Return.parse(entry.body).ticket] = place


def _psi_counted(story: _Story, place: _Place, entry: Entry) -> None:
    counted = psi_bodies.Counted.parse(entry.body)
    story.end(_COUNT + counted.ticket, place.saying(counted.receipt))


def _psi_denied(story: _Story, place: _Place, entry: Entry) -> None:
    story.deny(place.saying(psi_bodies.Denied.parse(entry.body).denial.payload))


def _psi_deny(story: _Story, place: _Place, entry: Entry) -> None:
    story.deny(place.saying(psi_bodies.Deny.parse(entry.body).denial.payload))


def _psi_permit(story: _Story, place: _Place, entry: Entry) -> None:
    story.begun[psi_bodies.Permit.parse(entry.body).ticket] = place


def _psi_done(story: _Story, place: _Place, entry: Entry) -> None:
    done = psi_bodies.Done.parse(entry.body)
    receipt = PsiReceipt.parse(done.receipt.payload)
    story.end(done.ticket, place.saying(receipt.hash, receipt.permit))


def _psi_count(story: _Story, place: _Place, entry: Entry) -> None:
    count = psi_bodies.Count.parse(entry.body)
    story.begun[_COUNT + count.ticket] = place
    said = PsiCount.parse(count.receipt.payload).hash
    # Whoever has the number has seen this journal up to here.
    where = Permit(place.index, place.index + 1, bytes(HASH_BYTES))
    story.end(_COUNT + count.ticket, place.saying(said, where))


_OF_HOUSE: Final[Mapping[Kind, _Reader]] = {
    Kind.ADMIN_BASES: _bases,
    Kind.ADMIN_CLASSES: _classes,
    Kind.AGGREGATE_DENIED: _denied,
    Kind.AGGREGATE_INTENT: _aggregate_intent,
    Kind.AGGREGATE_OUTCOME: _outcome,
    Kind.AUDIT_DENIED: _denied,
    Kind.AUDIT_INTENT: _audit_intent,
    Kind.AUDIT_OUTCOME: _audit_outcome,
    Kind.CALL_DENIED: _denied,
    Kind.CALL_INTENT: _intent,
    Kind.CALL_OUTCOME: _outcome,
    Kind.CONSENT_ERASED: _erased,
    Kind.JOB_ASK: _job_ask,
    Kind.JOB_INTENT: _job_intent,
    Kind.JOB_OUTCOME: _job_outcome,
    Kind.NODE_START: _start,
    Kind.PRIVATE_DENIED: _private_denied,
    Kind.PRIVATE_INTENT: _private_intent,
    Kind.PRIVATE_OUTCOME: _private_outcome,
    Kind.PSI_COUNTED: _psi_counted,
    Kind.PSI_DENIED: _psi_denied,
    Kind.PSI_INTENT: _psi_intent,
    Kind.PSI_OUTCOME: _psi_outcome,
    Kind.PSI_RETURN: _psi_return,
}
_OF_AUTHORITY: Final[Mapping[Kind, _Reader]] = {
    Kind.ADMIN_BASES: _bases,
    Kind.ADMIN_CLASSES: _classes,
    Kind.AGGREGATE_DENY: _deny,
    Kind.AGGREGATE_DONE: _aggregate_done,
    Kind.AGGREGATE_PERMIT: _aggregate_permit,
    Kind.AUDIT_DENY: _audit_deny,
    Kind.AUDIT_DONE: _done,
    Kind.AUDIT_PERMIT: _audit_permit,
    Kind.CALL_DENY: _deny,
    Kind.CALL_DONE: _done,
    Kind.CALL_PERMIT: _permitted,
    Kind.CONSENT_ERASED: _erased,
    Kind.JOB_DECRYPT: _job_decrypt,
    Kind.JOB_DONE: _job_done,
    Kind.JOB_PERMIT: _job_permit,
    Kind.NODE_START: _start,
    Kind.PRIVATE_DENY: _private_deny,
    Kind.PRIVATE_DONE: _private_done,
    Kind.PRIVATE_PERMIT: _private_permit,
    Kind.PRIVATE_REFUSE: _private_refuse,
    Kind.PSI_COUNT: _psi_count,
    Kind.PSI_DENY: _psi_deny,
    Kind.PSI_DONE: _psi_done,
    Kind.PSI_PERMIT: _psi_permit,
}


def _permits(story: _Story, done: job_bodies.Done) -> Permit | None:
    """Say where a job's message was permitted, and how long the journal was then.

    Its receipt names the permits of all its blocks; that they are those of the
    decryption is for `contracts.job_replay` to say.
    """
    begun = story.begun.get(done.ticket)
    if begun is None:
        return None
    permits = job.JobReceipt.parse(done.receipt.payload).permits
    return Permit(begun.index, permits.size, permits.root)


def _permit(receipt: bytes) -> Permit:
    """Read where a receipt says that the permit stands; raises `FormatError`.

    There are very many, and what else they say is of no matter here.
    """
    match = _PERMIT.search(receipt)
    if match is None:
        raise FormatError("a receipt that names no permit")
    index, root, size = match.groups()
    return Permit(int(index), int(size), bytes.fromhex(root.decode()))


_PERMIT: Final = re.compile(
    rb'"permit":{"index":(0|[1-9][0-9]{0,14}),"root":"([0-9a-f]{64})",'
    rb'"size":([1-9][0-9]{0,14})}'
)
