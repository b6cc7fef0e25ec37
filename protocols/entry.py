"""Entries of a journal: what happened, when, by whom, in canonical JSON.

    {"v": "safehouse/entry/1", "kind", "time_ms", "actor", "call", "body"}

`time_ms` is the writer's clock, milliseconds since 1970-01-01T00:00:00Z, and
never goes back within a journal.  `actor` is a party id; `call` is the hash of
the request the entry belongs to, or empty.  What `body` holds depends on the
kind.  An entry is at most 65,535 bytes (C2SP tlog-tiles: a 16-bit length).

No entry holds a value, a score, an outcome or an unsalted digest of anything
that can be guessed: those would survive in every copy of the journal.
"""

from dataclasses import dataclass
from enum import StrEnum

from protocols.canon import Json, Reader, dumps, loads
from protocols.errors import FormatError

VERSION = "safehouse/entry/1"
MAX_ENTRY = 65_535  # bytes


class Kind(StrEnum):
    """Every kind of entry; readers refuse the others by name."""

    ADMIN_BASES = "admin.bases"  # which legal bases are accepted, from now on
    ADMIN_CLASSES = "admin.classes"  # which banks are in which class, from now on
    AGGREGATE_DENIED = "aggregate.denied"  # house: the authority refused it
    AGGREGATE_DENY = "aggregate.deny"  # a statistic refused here, with every reason
    AGGREGATE_DONE = "aggregate.done"  # authority: decrypted, reply stored
    AGGREGATE_INTENT = "aggregate.intent"  # house: about to ask the authority
    AGGREGATE_OUTCOME = "aggregate.outcome"  # house: reply stored, about to release
    AGGREGATE_PERMIT = "aggregate.permit"  # authority: allowed, epsilon counted
    AUDIT_DENIED = "audit.denied"  # house: the authority refused it
    AUDIT_DENY = "audit.deny"  # a functional replay refused here, with every reason
    AUDIT_DONE = "audit.done"  # authority: decrypted, reply stored
    AUDIT_INTENT = "audit.intent"  # house: about to ask the authority
    AUDIT_OUTCOME = "audit.outcome"  # house: reply stored, about to release
    AUDIT_PERMIT = "audit.permit"  # authority: allowed, no use counted
    CALL_DENY = "call.deny"  # a call refused here, with every reason
    CALL_DENIED = "call.denied"  # house: the authority refused it
    CALL_DONE = "call.done"  # authority: decrypted, reply stored
    CALL_INTENT = "call.intent"  # house: about to ask the authority
    CALL_OUTCOME = "call.outcome"  # house: reply stored, about to release
    CALL_PERMIT = "call.permit"  # authority: allowed, use counted
    CALL_RESULT = "call.result"  # house: the bank's signed commitment
    CONSENT_ANSWER = "consent.answer"  # house: what a custodian did about a repair
    CONSENT_APPROVAL = "consent.approval"  # of a batch, by a second operator
    CONSENT_BATCH = "consent.batch"  # very many consents under one signature
    CONSENT_ERASED = "consent.erased"  # who a subject is, was forgotten here
    CONSENT_EVENT = "consent.event"
    CONSENT_GRANT = "consent.grant"
    CONSENT_OBJECTION = "consent.objection"  # a subject's demand, or its end
    CONSENT_PLACED = "consent.placed"  # the row of whoever objects, for good
    CONTRACT_ACTIVATE = "contract.activate"
    CONTRACT_APPROVE = "contract.approve"
    CONTRACT_RETIRE = "contract.retire"
    CONTRACT_SUBMIT = "contract.submit"
    DATA_ATTRIBUTES = "data.attributes"  # public attributes of subjects, by slot
    DATA_DIRECTORY = "data.directory"
    DATA_PUSH = "data.push"
    DATA_REGISTER = "data.register"
    FEEDBACK_DESK = "feedback.desk"  # house: a custodian's key for feedback
    FEEDBACK_PARCEL = "feedback.parcel"  # house: sealed reports of a bank
    JOB_ASK = "job.ask"  # house: allowed here, about to ask for permits
    JOB_CANCEL = "job.cancel"  # house: the bank wants no more of it
    JOB_DECRYPT = "job.decrypt"  # authority: about to decrypt, withdrawn left out
    JOB_DENY = "job.deny"  # entries refused here, with every reason
    JOB_DONE = "job.done"  # authority: decrypted, reply stored
    JOB_END = "job.end"  # house: nothing more comes of it
    JOB_INTENT = "job.intent"  # house: about to have some blocks decrypted
    JOB_OUTCOME = "job.outcome"  # house: reply stored, about to release
    JOB_PERMIT = "job.permit"  # authority: allowed, uses counted
    JOB_REFUSE = "job.refuse"  # a whole job refused here, with every reason
    JOB_RESULT = "job.result"  # house: the bank's signed commitment
    JOB_SUBMIT = "job.submit"  # a bank's job, as this node first saw it
    KEY_DOMAIN = "key.domain"  # the node runs under another serial of the domain
    LOG_READ = "log.read"
    PRIVATE_DENIED = "private.denied"  # house: the authority refused what it made
    PRIVATE_DENY = "private.deny"  # a private call refused here, with every reason
    PRIVATE_DONE = "private.done"  # authority: answered or refused, sealed
    PRIVATE_INTENT = "private.intent"  # house: about to ask the authority
    PRIVATE_OUTCOME = "private.outcome"  # house: reply stored, about to release
    PRIVATE_PERMIT = "private.permit"  # authority: allowed, use counted
    PRIVATE_REFUSE = "private.refuse"  # authority: refused, sealed to the bank
    PRIVATE_RESULT = "private.result"  # house: the bank's signed commitment
    PSI_CONSENTS = "psi.consents"  # authority: consents of a list's entries
    PSI_COUNT = "psi.count"  # authority: counted, once a session
    PSI_COUNTED = "psi.counted"  # house: reply stored, about to release
    PSI_DENIED = "psi.denied"  # house: the authority refused the session
    PSI_DENY = "psi.deny"  # a session refused here, with every reason
    PSI_DONE = "psi.done"  # authority: all points of a session multiplied
    PSI_INTENT = "psi.intent"  # house: about to ask the authority
    PSI_LIST = "psi.list"  # a version of a list
    PSI_OUTCOME = "psi.outcome"  # house: replies stored, about to release
    PSI_PERMIT = "psi.permit"  # authority: allowed, session counted
    PSI_RESULT = "psi.result"  # house: the bank's signed commitment
    PSI_RETURN = "psi.return"  # house: about to have a session counted
    RATING_ISSUE = "rating.issue"  # house: an answer may be shown to another bank
    RATING_REVOKE = "rating.revoke"  # house: and may no more
    NODE_CLOCK = "node.clock"  # an operator accepted a clock jump
    NODE_START = "node.start"
    NODE_STOP = "node.stop"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journal."""

    kind: Kind
    time_ms: int
    actor: str
    call: str  # hexadecimal request hash, or ""
    body: dict[str, Json]

    def to_bytes(self) -> bytes:
        """Write canonical JSON; raises `FormatError` beyond `MAX_ENTRY` bytes."""
        data = dumps(
            {
                "v": VERSION,
                "kind": self.kind.value,
                "time_ms": self.time_ms,
                "actor": self.actor,
                "call": self.call,
                "body": self.body,
            }
        )
        if len(data) > MAX_ENTRY:
            raise FormatError(
                f"expected an entry of at most {MAX_ENTRY} bytes, got {len(data)}"
            )
        return data

    @classmethod
    def parse(cls, data: bytes) -> "Entry":
        """Read an entry strictly; raises `FormatError`."""
        if len(data) > MAX_ENTRY:
            raise FormatError(
                f"expected an entry of at most {MAX_ENTRY} bytes, got {len(data)}"
            )
        reader = Reader(loads(data, VERSION))
        name = reader.text("kind")
        try:
            kind = Kind(name)
        except ValueError:
            raise FormatError(f"unknown kind of entry `{name}`") from None
        entry = cls(
            kind,
            reader.integer("time_ms"),
            reader.text("actor"),
            reader.text("call"),
            reader.object("body"),
        )
        reader.close()
        return entry
