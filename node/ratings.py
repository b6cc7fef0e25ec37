"""Ratings at the house: who may show whose answer to whom, and which of them stand.

The house does not know what an answer says.  It knows whom the call was about and on
which consent, so it can tell whether another bank could have asked the same
(`contracts.recognition`).  To let a rating be made it

 1. checks the bank's signatures, and that request, ticket and rating belong together;
 2. checks that the answer was released to this bank, and whom it is about;
 3. decides, and journals `rating.issue`, in one transaction.

A refusal names one public reason; nothing was released, so it is not journalled.

`status` takes every decision again: a rating stands while the bank that may read it
could ask.  That costs a decision, 50 us, for each rating that is not over.
"""

import threading
from typing import Any, Final

import apsw

from contracts import rating_bodies, recognition
from contracts.decide import SENTENCES, Decision, Reason, Terms, public
from contracts.inputs import Inputs
from contracts.rating import list_uri
from node import calls, clock, consents, names
from node.consultation import proven
from node.domain import Party, Role
from node.errors import NotFound, Refused, RoleRefused
from node.house import House
from node.keys import HouseKeys
from node.ledger import Transaction
from node.wire.v1 import common_pb2
from protocols.call import Opening, Request, Ticket, request_hash
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.errors import FormatError
from protocols.rating import RatingRequest, RatingRevocation, rating_hash
from protocols.sign import Signed, verify
from protocols.status_list import StatusList

SCHEMA: Final = (
    # A row a rating; `request` is the payload of its call's.
    """CREATE TABLE IF NOT EXISTS rating(
        place INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, bank TEXT NOT NULL,
        audience TEXT NOT NULL, request BLOB NOT NULL, subject BLOB NOT NULL,
        not_after_s INTEGER NOT NULL, entry INTEGER NOT NULL, revoked INTEGER)""",
)


class Ratings:
    """What the house keeps of ratings; thread-safe."""

    def __init__(self, house: House, keys: HouseKeys) -> None:
        self._house = house
        self._keys = keys
        self._lock = threading.Lock()
        self._list: tuple[tuple[int, int], str] = (-1, -1), ""

    def issue(
        self,
        bank: Party,
        signed: Signed,
        call: tuple[Signed, Signed],
        opening: Opening,
    ) -> common_pb2.Logged:
        """Let a bank make a rating of its answer to `call`, a request and its ticket.

        The same again is answered from the journal.  Raises `ProtocolError`,
        `NotFound`, `RoleRefused`, and `Refused` with one public reason.
        """
        # 1
        verify(Tag.RATING_REQUEST, signed, bank.sign)
        rating = RatingRequest.parse(signed.payload)
        if rating.bank != bank.id:
            raise RoleRefused(f"a rating of `{rating.bank}`, not of the caller")
        domain = self._house.domain
        domain.party(rating.audience, Role.BANK)
        request, ticket = recognition.check(rating, *call)
        verify(Tag.REQUEST, call[0], bank.sign)
        verify(Tag.TICKET, call[1], domain.house.sign)
        # 2
        if opening.commitment() != request.subject:
            raise FormatError("the opening is not the one of the call's subject")
        name = rating_hash(signed.payload)

        def journal(transaction: Transaction) -> int:
            db = transaction.db
            known = _entry(db, name)
            if known is not None:
                return known
            if calls.released_to(db, bank.id, rating.ticket) != rating.call:
                raise NotFound("no such answer was released to this bank")
            (subject,) = names.of(db, self._keys.pseudonym, [opening.subject_ref])
            # 3
            self._decide(transaction, rating, request, ticket, subject)
            (place,) = db.execute("SELECT count(*) FROM rating").fetchone() or (0,)
            body = rating_bodies.Issue(signed, *call, int(place)).to_body()
            index = transaction.append(
                Kind.RATING_ISSUE, domain.house.id, rating.call.hex(), body
            )
            db.execute(
                "INSERT INTO rating(place, name, bank, audience, request, subject,"
                " not_after_s, entry) VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    place,
                    name,
                    bank.id,
                    rating.audience,
                    call[0].payload,
                    subject,
                    rating.not_after_s,
                    index,
                ),
            )
            return index

        ledger = self._house.ledger
        return proven(ledger, ledger.commit(journal).value)

    def _decide(
        self,
        transaction: Transaction,
        rating: RatingRequest,
        request: Request,
        ticket: Ticket,
        subject: bytes,
    ) -> None:
        house, db = self._house, transaction.db
        decision = recognition.may(
            rating,
            request,
            subject,
            house.registry.terms(db, request.contract),
            consents.find(db, request.consent),
            transaction.now_ms,
            newest=house.engine.are_newest(db, Inputs.of(ticket)),
        )
        if not decision.allow:
            raise _refused(decision, rating.audience)

    def revoke(self, bank: Party, signed: Signed) -> common_pb2.Logged:
        """End a rating of this bank; once more is answered from the journal."""
        verify(Tag.RATING_REVOCATION, signed, bank.sign)
        revocation = RatingRevocation.parse(signed.payload)
        if revocation.bank != bank.id:
            raise RoleRefused(f"a rating of `{revocation.bank}`, not of the caller")

        def journal(transaction: Transaction) -> int:
            row = transaction.db.execute(
                "SELECT place, request, revoked FROM rating"
                " WHERE name = ? AND bank = ?",
                (revocation.rating, bank.id),
            ).fetchone()
            if row is None:
                raise NotFound("no such rating of this bank")
            place, request, revoked = row
            if revoked is not None:
                return int(revoked)
            body = rating_bodies.Revoke(signed).to_body()
            call = request_hash(bytes(request)).hex()
            index = transaction.append(
                Kind.RATING_REVOKE, self._house.domain.house.id, call, body
            )
            transaction.db.execute(
                "UPDATE rating SET revoked = ? WHERE place = ?", (index, place)
            )
            return index

        ledger = self._house.ledger
        return proven(ledger, ledger.commit(journal).value)

    def status(self) -> str:
        """Sign the list of which ratings stand now."""
        ledger, now_ms = self._house.ledger, clock.now_ms()
        of = ledger.head.size, now_ms // recognition.SECOND_MS
        with self._lock:
            if self._list[0] != of:
                with ledger.reader() as db:
                    standing = self._standing(db, now_ms)
                domain = self._house.domain
                uri = list_uri(domain.name, domain.house.id)
                text = StatusList(uri, of[1], standing).sign(self._keys.ticket)
                self._list = of, text
            return self._list[1]

    def _standing(self, db: apsw.Connection, now_ms: int) -> list[bool]:
        terms: dict[bytes, Terms | None] = {}

        def stands(
            audience: str, payload: bytes, subject: bytes, end_s: int, revoked: object
        ) -> bool:
            if revoked is not None or end_s * recognition.SECOND_MS <= now_ms:
                return False
            request = Request.parse(bytes(payload))
            if request.contract not in terms:
                terms[request.contract] = self._house.registry.terms(
                    db, request.contract
                )
            grant = consents.find(db, request.consent)
            agreed = terms[request.contract]
            return recognition.stands(
                audience, request, subject, agreed, grant, now_ms
            ).allow

        rows: Any = db.execute(
            "SELECT audience, request, subject, not_after_s, revoked FROM rating"
            " ORDER BY place"
        )
        return [stands(*row) for row in rows.fetchall()]


def _entry(db: apsw.Connection, name: bytes) -> int | None:
    row = db.execute("SELECT entry FROM rating WHERE name = ?", (name,)).fetchone()
    return None if row is None else int(row[0])


def _refused(decision: Decision, audience: str) -> Refused:
    reason = public(decision.reasons).reason
    hint = "a rating shows what its reader could ask itself"
    if reason is Reason.EXPIRED:
        hint = "or will have before the rating ends: ask for fewer days"
    if reason in (Reason.USED_UP, Reason.FREQUENCY):
        hint = "a consent whose uses are limited allows no ratings"
    return Refused(
        f"no rating for `{audience}`: {SENTENCES[reason]}", hint, reason.value
    )
