"""Decision replay of ratings: what one bank may show to another.

The house's `rating.*` entries, with the registers that `contracts.replay` rebuilds.

 1. `rating.issue`: the bank signed the rating and the request, the house the ticket;
    they belong together (`contracts.recognition`), the ticket's intent stands before
    it, and the place is the next one of the status list.
 2. Replay allows it with the entry's time as now, on the newest data.
 3. `rating.revoke`: the bank that made a rating ends it, once.

What replay cannot see: what status lists said, which no journal has.
"""

from collections.abc import Callable

from contracts import rating_bodies, recognition
from contracts.discrepancy import Mark, Role
from contracts.inputs import basis
from contracts.job_replay import Books, Note
from contracts.rebuild import Asker
from protocols.call import Ticket
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.errors import FormatError
from protocols.rating import RatingRequest, RatingRevocation, rating_hash


class RatingReplay:
    """Replays the `rating.*` entries of the house's journal."""

    def __init__(
        self, books: Books, note: Note, begun: Callable[[bytes], Asker | None]
    ) -> None:
        """Begin; `begun` finds whom the intent of a ticket was about."""
        self._books = books
        self._note = note
        self._begun = begun
        self._stand: dict[bytes, str | None] = {}  # banks, by rating; ended: None
        self._issued = 0

    def steps(self) -> dict[Kind, Callable[[Entry], None]]:
        """List the kinds of this journal and what replays them."""
        if self._books.role is Role.AUTHORITY:
            return {}
        return {Kind.RATING_ISSUE: self._issue, Kind.RATING_REVOKE: self._revoke}

    def _issue(self, entry: Entry) -> None:
        # 1
        body = rating_bodies.Issue.parse(entry.body)
        rating = RatingRequest.parse(body.rating.payload)
        request, ticket = recognition.check(rating, body.request, body.ticket)
        pins = self._books.pins
        pins.verify(Tag.RATING_REQUEST, body.rating, rating.bank)
        pins.verify(Tag.REQUEST, body.request, request.bank)
        pins.verify(Tag.TICKET, body.ticket, entry.actor)
        if rating.call.hex() != entry.call:
            raise FormatError("`call` is not the call that is rated")
        name = rating_hash(body.rating.payload)
        if body.place != self._issued or name in self._stand:
            raise FormatError(f"expected place {self._issued}, for a new rating")
        self._issued += 1
        self._stand[name] = rating.bank
        asker = self._begun(rating.ticket)
        if asker is None:
            told = f"no intent of ticket {rating.ticket.hex()} before it"
            self._note(Mark.NO_INTENT, told)
            return
        # 2
        consents, contracts = self._books.consents, self._books.contracts
        state = consents.find(request.consent)
        decision = recognition.may(
            rating,
            request,
            asker.subject,
            contracts.terms(request.contract),
            None if state is None else state.grant,
            entry.time_ms,
            newest=self._newest(ticket),
        )
        if not decision.allow:
            self._note(
                Mark.DECISION_DIFFERS,
                f"let `{rating.audience}` read it, but replay {decision}",
                tuple(finding.reason for finding in decision.reasons),
            )

    def _newest(self, ticket: Ticket) -> bool:
        return all(
            (item.version, item.row_map_root)
            == basis(self._books.contracts.newest(item.dataset), ticket.block)
            for item in ticket.inputs
        )

    def _revoke(self, entry: Entry) -> None:
        # 3
        body = rating_bodies.Revoke.parse(entry.body)
        revocation = RatingRevocation.parse(body.rating.payload)
        self._books.pins.verify(Tag.RATING_REVOCATION, body.rating, revocation.bank)
        if self._stand.get(revocation.rating) != revocation.bank:
            raise FormatError("no rating of this bank stands that it could end")
        self._stand[revocation.rating] = None
