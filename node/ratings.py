"""Ratings at the house: who may show whose answer to whom, and which of them stand.

The house does not know what an answer says.  It knows whom the call was about and on
which consent, so it can tell whether another bank could have asked the same
(`contracts.recognition`).  To let a rating be made it

 1. checks the bank's signatures, and that request, ticket and rating belong together;
 2. checks that the answer was released to this bank, and whom it is about;
 3. decides, and journals `rating.issue`, in one transaction.

Of one answer at most `MOST_STANDING` ratings stand for one bank.  A refusal names one
public reason; nothing was released, so it is not journalled.

`status` tells which ratings stand.  Whether the bank that may read one could still ask
is decided for all of them at most once in `BEAT_MS`: it costs a decision, 50 us, for
each, and a list that followed a consent at once would tell whoever knows a place, by no
journal, to the second, what a subject did.  Between two beats a list changes only by
what banks do themselves: what they revoke is over, what they make stands.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import apsw

from contracts import rating_bodies, recognition
from contracts.decide import (
    SENTENCES,
    UNKNOWN_SUBJECT,
    Decision,
    Finding,
    Reason,
    Terms,
    denied,
    public,
)
from contracts.inputs import Inputs
from contracts.rating import list_uri
from contracts.recognition import SECOND_MS
from node import calls, clock, consents, directory, names
from node.consultation import proven
from node.domain import Party, Role
from node.errors import DocumentConflict, NotFound, Refused, RoleRefused
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
from protocols.status_list import StatusList, pack

SCHEMA: Final = (
    # A row a rating; `request` is the payload of its call's.
    """CREATE TABLE IF NOT EXISTS rating(
        place INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, bank TEXT NOT NULL,
        audience TEXT NOT NULL, request BLOB NOT NULL, subject BLOB NOT NULL,
        not_after_s INTEGER NOT NULL, entry INTEGER NOT NULL, revoked INTEGER)""",
    "CREATE INDEX IF NOT EXISTS rating_subject ON rating(subject)",
    """CREATE INDEX IF NOT EXISTS rating_revoked ON rating(revoked)
        WHERE revoked IS NOT NULL""",
)
BEAT_MS: Final = 600_000  # at least so long between two decisions about what stands
MOST_STANDING: Final = 8  # ratings of one answer for one bank


@dataclass(frozen=True, slots=True)
class _List:
    """A list that was given out."""

    decided_ms: int  # when consents were looked at
    size: int  # of the journal, whose revocations it has
    standing: list[bool]
    text: str


class Ratings:
    """What the house keeps of ratings; thread-safe."""

    def __init__(self, house: House, keys: HouseKeys) -> None:
        self._house = house
        self._keys = keys
        self._lock = threading.Lock()
        self._list: _List | None = None

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
            asked = call[0].payload
            _check_count(db, rating.audience, asked, subject, transaction.now_ms)
            self._decide(transaction, rating, request, ticket, subject)
            place = _count(db)
            body = rating_bodies.Issue(signed, *call, place).to_body()
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
                    asked,
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
        if not self._known(db, request.contract, subject):
            decision = denied([Finding(Reason.NO_CONSENT, UNKNOWN_SUBJECT)])
        else:
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

    def _known(self, db: apsw.Connection, contract: bytes, subject: bytes) -> bool:
        """Tell whether a subject is still in the directory that a contract is about."""
        compiled = self._house.registry.compiled(db, contract)
        return directory.place(db, compiled.subject_type, subject) is not None

    def status(self) -> str:
        """Sign the list of which ratings stand; see the module's docstring."""
        ledger = self._house.ledger
        with self._lock:
            now_ms, size, known = clock.now_ms(), ledger.head.size, self._list
            if known is not None and not 0 <= now_ms - known.decided_ms < BEAT_MS:
                known = None
            if known is not None and known.size == size:
                return known.text
            with ledger.reader() as db:
                if known is None:
                    decided_ms, standing = now_ms, self._decided(db, now_ms)
                else:
                    decided_ms, standing = known.decided_ms, _followed(db, known)
            if known is not None and standing == known.standing:
                text = known.text
            else:
                text = self._sign(now_ms, standing)
            self._list = _List(decided_ms, size, standing, text)
            return text

    def _sign(self, now_ms: int, standing: Sequence[bool]) -> str:
        domain = self._house.domain
        uri, at_s = list_uri(domain.name, domain.house.id), now_ms // SECOND_MS
        return StatusList(uri, at_s, pack(standing)).sign(self._keys.ticket)

    def _decided(self, db: apsw.Connection, now_ms: int) -> list[bool]:
        terms: dict[bytes, Terms | None] = {}
        types: dict[bytes, str] = {}
        standing = [False] * _count(db)
        rows: Any = db.execute(
            "SELECT place, audience, request, subject FROM rating"
            " WHERE revoked IS NULL AND not_after_s > ?",
            (now_ms // SECOND_MS,),
        )
        registry = self._house.registry
        for place, audience, payload, subject in rows:
            request = Request.parse(payload)
            contract = request.contract
            if contract not in types:
                terms[contract] = registry.terms(db, contract)
                types[contract] = registry.compiled(db, contract).subject_type
            grant, agreed = consents.find(db, request.consent), terms[contract]
            decision = recognition.stands(
                audience, request, subject, agreed, grant, now_ms
            )
            standing[place] = (
                decision.allow
                and directory.place(db, types[contract], subject) is not None
            )
        return standing


def _followed(db: apsw.Connection, known: _List) -> list[bool]:
    """Add to a list what banks made and revoked since, and nothing else."""
    made = _count(db) - len(known.standing)
    standing = known.standing + [True] * made
    revoked: Any = db.execute(
        "SELECT place FROM rating WHERE revoked >= ?", (known.size,)
    )
    for (place,) in revoked:
        standing[place] = False
    return standing


def _count(db: apsw.Connection) -> int:
    (count,) = db.execute("SELECT count(*) FROM rating").fetchone() or (0,)
    return int(count)


def _check_count(
    db: apsw.Connection, audience: str, request: bytes, subject: bytes, now_ms: int
) -> None:
    row = db.execute(
        "SELECT count(*) FROM rating WHERE subject = ? AND request = ?"
        " AND audience = ? AND revoked IS NULL AND not_after_s > ?",
        (subject, request, audience, now_ms // SECOND_MS),
    ).fetchone()
    if row is not None and row[0] >= MOST_STANDING:
        raise DocumentConflict(
            f"{MOST_STANDING} ratings of this answer stand for `{audience}`",
            "revoke one of them first: `safehouse rating revoke`",
        )


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
