"""The SDK of ratings: show an answer to another bank, and read what it shows.

    with RatingClient.open("jnrcb/safehouse.toml") as bank:
        text = bank.issue(outcome.request, "lsbank", days=30)
    with RatingClient.open("lsbank/safehouse.toml") as other:
        rating = other.read(text, "gc-0001")
        print(rating.outcome, rating.permitted_ms)

Reading needs nobody: with the house's status list at hand it works off-line
(`contracts.rating`).
"""

from dataclasses import replace
from typing import Final

from contracts import rating, rating_bodies
from contracts.answered import Pinned
from contracts.decide import Reason
from contracts.rating import STATUS_AGE_S, Evidence, Rating, Reading
from contracts.subject import SubjectType, canonical_id, subject_ref
from node import clock
from node.client import BankClient
from node.config import Config
from node.domain import Role, TrustDomain
from node.errors import NotFound, Refused, ReplyRefused
from node.evidence import answered, pinned
from node.keys import BankKeys, unsealed
from node.rating_records import RatingRecords
from node.receipts import Kept
from node.remote import ask
from node.status import from_wire, to_wire
from node.wire.v1 import common_pb2, rating_pb2, rating_pb2_grpc
from protocols import hpke
from protocols.call import Request, request_hash, ticket_hash
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.rating import RatingRequest, RatingRevocation, rating_hash
from protocols.sign import sign

RATINGS: Final = "ratings.db"
DECIDED: Final = frozenset(Reason) - {Reason.INTERNAL}  # the house journalled nothing
DAYS: Final = 30
DAY_S: Final = 86_400


class RatingClient(BankClient):
    """A bank that shows answers to others, and reads theirs."""

    def __init__(self, settings: Config, held: BankKeys, trust: TrustDomain) -> None:
        super().__init__(settings, held, trust)
        self._ratings = rating_pb2_grpc.RatingServiceStub(self._link)
        self._wishes = RatingRecords(settings.data / RATINGS)

    def close(self) -> None:
        """Close channel and records."""
        super().close()
        self._wishes.close()

    @property
    def _pinned(self) -> Pinned:
        return pinned(self._domain, clock.now_ms())

    def issue(
        self, call: bytes, audience: str, *, days: int = DAYS, holder: bytes = b""
    ) -> str:
        """Make a rating of an answer of this bank's, for one other bank.

        `call` is the request hash (`Outcome.request`); of a repeat, the answer that it
        repeats is rated.  `holder` is the subject's Ed25519 key, 32 bytes, if it has
        one: then nobody reads the rating without its proof (`rating.bind`).

        The same again, until it is over or revoked, is the same rating with the end
        that it had, after a crash too, and under keys of the house that have not ended.

        Raises `RatingRefused` for what is no grade, before anybody is asked, `Refused`
        with the house's reason, `NotFound` for an answer that is not kept here, and
        `ReplyRefused` for another leave than the one that was asked for.
        """
        kept = self._fresh(call)
        evidence = self._evidence(kept)
        computed = rating.compute(evidence, self._pinned)
        now_ms = clock.now_ms()
        fresh = RatingRequest(
            call=request_hash(kept.request.payload),
            ticket=computed.proven.name,
            bank=self._settings.id,
            audience=audience,
            holder=holder,
            not_after_s=now_ms // 1000 + days * DAY_S,
            iat_ms=now_ms,
        )
        with self._lock:
            wish = self._wishes.wish(fresh, days, now_ms // 1000).to_bytes()
        message = rating_pb2.IssueRatingRequest(
            rating=to_wire(sign(Tag.RATING_REQUEST, wish, self._keys.sign)),
            request=to_wire(kept.request),
            ticket=to_wire(evidence.answered.ticket),
            opening=common_pb2.SubjectOpening(
                subject_ref=kept.subject_ref, salt=kept.salt
            ),
        )
        leave = self._leave(message, wish)
        whole = replace(evidence, leave=leave)
        return rating.write(whole, self._pinned, self._keys.sign)

    def _leave(self, message: rating_pb2.IssueRatingRequest, wish: bytes) -> str:
        """Ask for a leave, and see that it is the one for this wish."""
        try:
            response = ask(self._ratings.IssueRating, message, self._deadline_s)
        except Refused as error:
            if error.reason in DECIDED:
                self._forget(rating_hash(wish))
            raise
        entry = self._entry(response.logged, Role.HOUSE, None)
        if entry.kind is not Kind.RATING_ISSUE:
            raise ReplyRefused("the proof is of another entry than the leave")
        if rating_bodies.Issue.parse(entry.body).rating.payload != wish:
            raise ReplyRefused("the house sent the leave for another rating")
        return str(response.logged.proof)

    def revoke(self, text: str) -> None:
        """End a rating of this bank's; whoever reads a newer status list sees it."""
        name = rating.name_of(text, self._pinned)
        revocation = RatingRevocation(name, self._settings.id)
        signed = sign(Tag.RATING_REVOCATION, revocation.to_bytes(), self._keys.sign)
        message = rating_pb2.RevokeRatingRequest(revocation=to_wire(signed))
        ask(self._ratings.RevokeRating, message, self._deadline_s)
        self._forget(name)

    def _forget(self, name: bytes) -> None:
        with self._lock:
            self._wishes.forget(name)

    def status(self) -> str:
        """Fetch the house's list of which ratings stand, to read ratings off-line."""
        message = rating_pb2.GetRatingStatusRequest()
        response = ask(self._ratings.GetRatingStatus, message, self._deadline_s)
        return str(response.list)

    def read(
        self,
        text: str,
        subject_id: str,
        *,
        status: str = "",
        nonce: str = "",
        most_age_s: int = STATUS_AGE_S,
    ) -> Rating:
        """Compute a rating again, about a subject that this bank has before it.

        `status` is a list that was fetched before, at most `most_age_s` seconds old;
        without it, the house is asked.  Raises what `contracts.rating.verify` raises.
        """
        pepper = self._keys.pepper

        def ref(name: str) -> bytes:
            kind = SubjectType(name)
            return subject_ref(pepper, kind, canonical_id(kind, subject_id))

        listed = status or self.status()
        own = self._settings.id
        reading = Reading(own, ref, listed, clock.now_ms() // 1000, nonce, most_age_s)
        return rating.verify(text, self._pinned, reading)

    def _fresh(self, call: bytes) -> Kept:
        """Find an answer, or the one that it repeats."""
        with self._lock:
            kept = self._receipts.find(call)
            if kept is not None and kept.reply is not None:
                first = request_hash(kept.reply.answer.request.payload)
                kept = kept if first == call else self._receipts.find(first)
        if kept is None or kept.reply is None:
            raise NotFound(
                "no such answer is kept here",
                "rate it where it was first read",
            )
        return kept

    def _evidence(self, kept: Kept) -> Evidence:
        shown = answered(kept)
        if shown is None or kept.reply is None:
            raise AssertionError("an answer without its reply")
        known = self.contract(Request.parse(kept.request.payload).contract)
        answer = kept.reply.answer
        name = ticket_hash(from_wire(answer.ticket).payload)
        opened = unsealed(self._keys, lambda key: hpke.unseal(key, name, answer.box))
        contract = known.compiled.to_bytes()
        return Evidence(shown, contract, opened, answer.pads, kept.salt)
