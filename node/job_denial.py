"""How house and authority refuse a job, or entries of its list.

Entries are refused by the hundred: one signed document says which, and of each the
first reason that the bank may know; the journal holds every reason in clear, and
the document a salted digest of them (`node.denial` does so for one call).
"""

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts import bodies, job_bodies
from contracts.decide import Finding, denied, public
from contracts.job_bodies import MOST_DETAIL, RefusedEntry, pages, reasons_digest
from node.ledger import Transaction
from protocols.call import Denial
from protocols.canon import Tag, dumps, framed
from protocols.entry import Kind
from protocols.job import DeniedEntry, JobDenials, job_hash
from protocols.sign import Signed, sign

BESIDE = 200  # bytes that an entry takes in the signed document, besides its detail


@dataclass(frozen=True, slots=True, repr=False)
class Desk:
    """Who refuses, with what it signs and salts."""

    party: str
    sign: Ed25519PrivateKey
    salt: bytes  # 32 bytes, from which salts derive

    def deny(
        self, transaction: Transaction, job: bytes, refused: Iterable[RefusedEntry]
    ) -> list[Signed]:
        """Sign and journal refusals of entries, in as many documents as it takes."""
        return [
            self._deny(transaction, job, page)
            for page in pages((_bytes(item), item) for item in refused)
        ]

    def _deny(
        self, transaction: Transaction, job: bytes, page: Sequence[RefusedEntry]
    ) -> Signed:
        salt = self._salt(job, page[0].entry.to_bytes(8, "big"))
        denials = JobDenials(
            job,
            self.party,
            tuple(_told(item) for item in page),
            reasons_digest(salt, page),
            transaction.now_ms,
        )
        signed = sign(Tag.JOB_DENIALS, denials.to_bytes(), self.sign)
        body = job_bodies.Deny(job, tuple(page), salt, signed)
        transaction.append(Kind.JOB_DENY, self.party, job.hex(), body.to_body())
        return signed

    def refuse(
        self, transaction: Transaction, job: Signed, findings: Iterable[Finding]
    ) -> Signed:
        """Sign and journal a refusal of a whole job."""
        name, reasons = job_hash(job.payload), denied(findings).reasons
        told, salt = public(reasons), self._salt(name, b"")
        denial = Denial(
            name,
            self.party,
            told.reason.value,
            told.detail,
            bodies.reasons_digest(salt, reasons),
            transaction.now_ms,
        )
        signed = sign(Tag.DENIAL, denial.to_bytes(), self.sign)
        body = job_bodies.Refuse(job, reasons, told.reason, salt, signed)
        transaction.append(Kind.JOB_REFUSE, self.party, name.hex(), body.to_body())
        return signed

    def _salt(self, job: bytes, which: bytes) -> bytes:
        text = framed(Tag.DENIAL_REASONS, job, which)
        return hmac.digest(self.salt, text, "sha256")


def _told(item: RefusedEntry) -> DeniedEntry:
    told = public(item.findings)
    return DeniedEntry(item.entry, told.reason.value, told.detail[:MOST_DETAIL])


def _bytes(item: RefusedEntry) -> int:
    """Say how much of a journal entry an item takes, its public half included."""
    own = len(dumps({"": item.to_json()}))
    return own + BESIDE + 2 * len(_told(item).detail.encode())
