"""What stands in a node's journal about one subject: who asked what, when, why.

The subject asks at a registrar's counter (个人查询), free of charge, spending nothing;
the reading itself is journalled, `log.read`, before anything is told (case 19).  Values
and outcomes are not told here: no node has them.  The custodian shows its own record of
the subject, and the bank what it was answered.

The journal is read from end to end, in the database, for entries that name the node's
pseudonym of the subject and for what came of those calls: a second for every million
entries or so, and nothing to keep beside the journal.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import apsw

from contracts import bodies, job_bodies, private_bodies, rating_bodies
from contracts.bodies import read_request
from contracts.consent import Consent
from contracts.consent_batch import ConsentBatch
from contracts.objection import Answer, Demand, Objection
from node import denial
from node.errors import NotFound
from node.ledger import Ledger, Transaction
from node.registry import Registry
from protocols.audit_call import AuditRequest
from protocols.call import Denial
from protocols.canon import Tag, digest
from protocols.entry import Entry, Kind
from protocols.job import Job
from protocols.private_call import PrivateRequest
from protocols.rating import RatingRequest

_NAMED: Final = """WITH named AS (SELECT idx, data FROM entry
        WHERE instr(data, CAST(:name AS BLOB)) AND idx < :size),
    calls AS (SELECT DISTINCT json_extract(CAST(data AS TEXT), '$.call') AS call
        FROM named WHERE json_extract(CAST(data AS TEXT), '$.kind') = 'call.intent')
    SELECT idx, CAST(data AS BLOB) FROM named
    UNION
    SELECT idx, CAST(data AS BLOB) FROM entry
        WHERE idx < :size AND json_extract(CAST(data AS TEXT), '$.call')
            IN (SELECT call FROM calls)
        AND json_extract(CAST(data AS TEXT), '$.kind') IN ('call.outcome',
            'call.denied', 'rating.issue', 'rating.revoke')
    ORDER BY 1"""


@dataclass(frozen=True, slots=True)
class Access:
    """One entry that names the subject, in words."""

    entry: int
    time_ms: int
    kind: str  # call, job, audit, consent, objection, rating, repair
    party: str
    contract: str = ""
    purpose: str = ""
    consent: str = ""
    decision: str = ""
    reason: str = ""
    call: str = ""


class Histories:
    """Reads histories out of one node's journal; thread-safe."""

    def __init__(self, ledger: Ledger, registry: Registry) -> None:
        self._ledger = ledger
        self._registry = registry

    def read(self, subject: bytes, registrar: str) -> tuple[list[Access], int]:
        """Read what names the pseudonym `subject`, after journalling that it is read.

        Returns it with the index of that entry.
        """
        size = self._ledger.head.size
        body = bodies.Read("history", subject, size).to_body()

        def note(transaction: Transaction) -> int:
            return transaction.append(Kind.LOG_READ, registrar, "", body)

        index = self._ledger.commit(note).value
        with self._ledger.reader() as db:
            named: Any = db.execute(_NAMED, {"name": subject.hex(), "size": size})
            found = [
                access
                for idx, data in named
                for access in self._told(db, idx, Entry.parse(data), subject)
            ]
        return found, index

    def _told(
        self, db: apsw.Connection, index: int, entry: Entry, subject: bytes
    ) -> Iterator[Access]:
        when = index, entry.time_ms
        match entry.kind:
            case Kind.CALL_INTENT | Kind.CALL_PERMIT:
                yield self._call(db, when, entry, "permitted", "")
            case Kind.CALL_DENY:
                reason = str(entry.body.get("public", ""))
                yield self._call(db, when, entry, "denied", reason)
            case Kind.CALL_OUTCOME:
                yield Access(*when, "call", "", decision="answered", call=entry.call)
            case Kind.CALL_DENIED:
                refusal = bodies.Denied.parse(entry.body).denial
                yield Access(
                    *when,
                    "call",
                    "",
                    decision="denied",
                    reason=Denial.parse(refusal.payload).reason,
                    call=entry.call,
                )
            case Kind.JOB_ASK | Kind.JOB_PERMIT:
                yield from self._seats(db, when, entry, subject)
            case Kind.JOB_DENY:
                yield from self._refused(db, when, entry, subject)
            case Kind.CONSENT_GRANT | Kind.CONSENT_BATCH:
                decision = _entered(db, entry)
                for consent, why in _granted(entry, subject):
                    yield Access(
                        *when,
                        "consent",
                        consent.registrar,
                        purpose=", ".join(consent.purposes),
                        consent=consent.consent_id,
                        decision=decision,
                        reason=why,
                    )
            case Kind.CONSENT_OBJECTION | Kind.CONSENT_ANSWER:
                yield _demanded(when, entry)
            case _:
                yield from self._told_otherwise(db, when, entry, subject)

    def _told_otherwise(
        self, db: apsw.Connection, when: tuple[int, int], entry: Entry, subject: bytes
    ) -> Iterator[Access]:
        match entry.kind:
            case Kind.AUDIT_INTENT | Kind.AUDIT_PERMIT:
                yield self._audit(when, entry)
            case Kind.PRIVATE_INTENT | Kind.PRIVATE_DENY:
                body: private_bodies.Intent | private_bodies.Deny
                if entry.kind is Kind.PRIVATE_INTENT:
                    body, told = private_bodies.Intent.parse(entry.body), "candidate"
                else:  # the whole list, whoever of it the reason is about
                    body, told = private_bodies.Deny.parse(entry.body), "denied"
                for named in body.subjects:
                    if named.subject == subject:
                        yield self._private(db, when, entry, named.consent, told)
            case Kind.PRIVATE_PERMIT | Kind.PRIVATE_REFUSE:
                told = "denied" if "public" in entry.body else "permitted"
                consent_id = str(entry.body["consent"])
                yield self._private(db, when, entry, consent_id, told)
            case Kind.RATING_ISSUE | Kind.RATING_REVOKE:
                yield self._rated(db, when, entry)
            case _:
                pass

    def _call(
        self,
        db: apsw.Connection,
        when: tuple[int, int],
        entry: Entry,
        decision: str,
        reason: str,
    ) -> Access:
        signed: Any = entry.body["request"]
        request = read_request(signed["payload"].encode())
        return Access(
            *when,
            "call",
            request.bank,
            self._name(db, request.contract),
            request.purpose,
            request.consent,
            decision,
            reason,
            entry.call,
        )

    def _rated(
        self, db: apsw.Connection, when: tuple[int, int], entry: Entry
    ) -> Access:
        """Say which bank may be shown an answer of another."""
        if entry.kind is Kind.RATING_REVOKE:
            return Access(*when, "rating", "", decision="revoked", call=entry.call)
        body = rating_bodies.Issue.parse(entry.body)
        request = read_request(body.request.payload)
        return Access(
            *when,
            "rating",
            RatingRequest.parse(body.rating.payload).audience,
            self._name(db, request.contract),
            request.purpose,
            request.consent,
            "permitted",
            f"by {request.bank}",
            entry.call,
        )

    def _audit(self, when: tuple[int, int], entry: Entry) -> Access:
        """Say who had a call computed again, and which."""
        signed: Any = entry.body["request"]
        request = AuditRequest.parse(signed["payload"].encode())
        return Access(
            *when,
            "audit",
            request.auditor,
            consent=str(entry.body["consent"]),
            decision="computed again",
            call=request.call.hex(),
        )

    def _private(
        self,
        db: apsw.Connection,
        when: tuple[int, int],
        entry: Entry,
        consent: str,
        decision: str,
    ) -> Access:
        """Say what a private call was: the house knows candidates, no more."""
        signed: Any = entry.body["request"]
        request = PrivateRequest.parse(signed["payload"].encode())
        return Access(
            *when,
            "call",
            request.bank,
            self._name(db, request.contract),
            request.purpose,
            consent,
            decision,
            str(entry.body.get("public", "")),
            entry.call,
        )

    def _seats(
        self, db: apsw.Connection, when: tuple[int, int], entry: Entry, subject: bytes
    ) -> Iterator[Access]:
        body: job_bodies.Ask | job_bodies.Permit
        if entry.kind is Kind.JOB_ASK:
            body = job_bodies.Ask.parse(entry.body)
        else:
            body = job_bodies.Permit.parse(entry.body)
        for seat in body.seats:
            for number, name in enumerate(seat.subjects):
                if name == subject:
                    yield self._job(
                        db, when, entry, seat.consents[number], "permitted", ""
                    )

    def _refused(
        self, db: apsw.Connection, when: tuple[int, int], entry: Entry, subject: bytes
    ) -> Iterator[Access]:
        for refused in job_bodies.Deny.parse(entry.body).refused:
            if refused.subject == subject:
                reason = refused.findings[0].reason.value
                yield self._job(db, when, entry, refused.consent, "denied", reason)

    def _job(
        self,
        db: apsw.Connection,
        when: tuple[int, int],
        entry: Entry,
        consent: str,
        decision: str,
        reason: str,
    ) -> Access:
        bank = contract = purpose = ""
        row: Any = db.execute(
            "SELECT signed FROM job WHERE id = ?", (bytes.fromhex(entry.call),)
        ).fetchone()
        if row is not None:  # both nodes keep it so
            job = Job.parse(denial.from_store(row[0]).payload)
            bank, purpose = job.bank, job.purpose
            contract = self._name(db, job.contract)
        return Access(
            *when, "job", bank, contract, purpose, consent, decision, reason, entry.call
        )

    def _name(self, db: apsw.Connection, contract: bytes) -> str:
        try:
            return self._registry.need(db, contract).compiled.id
        except NotFound:
            return contract.hex()


def _entered(db: apsw.Connection, entry: Entry) -> str:
    """Say whether what an entry enters waits for a second operator, or did."""
    if entry.kind is Kind.CONSENT_GRANT:
        return "registered"
    payload = bodies.Batch.parse(entry.body).signed.payload
    name = digest(Tag.CONSENT_BATCH, payload)
    query = "SELECT approved FROM consent_pending WHERE digest = ?"
    for (approved,) in db.execute(query, (name,)):
        return "approved" if approved else "waits"
    return "registered"


def _demanded(when: tuple[int, int], entry: Entry) -> Access:
    """Say what the subject demanded, or what a custodian answered."""
    if entry.kind is Kind.CONSENT_ANSWER:
        answer = Answer.parse(bodies.Answer.parse(entry.body).signed.payload)
        about = f"{answer.objection_id}: {answer.dataset} version {answer.version}"
        verdict = answer.verdict.value
        return Access(*when, "repair", answer.custodian, decision=verdict, reason=about)
    said = Objection.parse(bodies.Objection.parse(entry.body).signed.payload)
    if said.demand is Demand.STATISTICS:
        decision = "objects" if said.stands else "ended"
        return Access(*when, "objection", said.registrar, decision=decision)
    what = ".".join(filter(None, (said.dataset, said.column)))
    decision = "asked" if said.stands else "ended"
    about = f"{said.objection_id}: {what}"
    return Access(*when, "repair", said.registrar, decision=decision, reason=about)


def _granted(entry: Entry, subject: bytes) -> Iterator[tuple[Consent, str]]:
    """List the consents of a subject that an entry enters, and what is said of each."""
    if entry.kind is Kind.CONSENT_GRANT:
        consent = Consent.parse(bodies.Grant.parse(entry.body).signed.payload)
        old = consent.supersedes
        yield consent, f"in place of {old}" if old else ""
        return
    body = bodies.Batch.parse(entry.body)
    batch = ConsentBatch.parse(body.signed.payload)
    for consent, name in zip(batch.consents(), body.subjects, strict=True):
        if name == subject:
            yield consent, f"by {batch.document}" if batch.document else ""
