"""What a registrar signed, and how its commitments open: one SQLite file.

A consent names its subject by a commitment under a fresh salt, and house and
authority keep pseudonyms, so only who holds the salts can show an auditor which
consent and which request are about one subject.  That is here, 0600, beside the
signed documents themselves: sending one again must send the same bytes, or it
would be another consent under a used id.

What is signed is on the disk, all of an import in one transaction, before any
of it is sent.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from contracts.consent import Consent, ConsentEvent, Status, next_status
from node.domain import Role
from protocols.call import Opening
from protocols.canon import Tag, digest
from protocols.sign import Signed

FILE: Final = "consents.db"
VERSION: Final = 2
BUSY_MS: Final = 10_000
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS consent(
    id TEXT PRIMARY KEY, payload BLOB NOT NULL, key_id TEXT NOT NULL,
    signature BLOB NOT NULL, subject_ref BLOB NOT NULL, salt BLOB NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event(
    number INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, consent TEXT NOT NULL,
    payload BLOB NOT NULL, key_id TEXT NOT NULL, signature BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS event_consent ON event(consent, number);
CREATE TABLE IF NOT EXISTS succession(
    old TEXT PRIMARY KEY, new TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS receipt(
    role TEXT, entry INTEGER, proof TEXT NOT NULL,
    PRIMARY KEY(role, entry)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, repr=False)
class HeldConsent:
    """A signed consent, and the opening of its subject."""

    signed: Signed
    opening: Opening

    @property
    def consent(self) -> Consent:
        """Read the document."""
        return Consent.parse(self.signed.payload)


class ConsentStore:
    """The registrar's file; one connection, used by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / FILE
        path.touch(mode=0o600)
        path.chmod(0o600)
        self._db = apsw.Connection(str(path))
        self._db.set_busy_timeout(BUSY_MS)
        self._db.pragma("journal_mode", "wal")
        self._db.pragma("synchronous", "full")
        version = self._db.pragma("user_version")
        if not 0 <= version <= VERSION:  # version 1 had no successions
            raise RuntimeError(f"consents of version {version}, expected {VERSION}")
        self._db.execute(SCHEMA)
        self._db.pragma("user_version", VERSION)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add(self, consents: Iterable[HeldConsent], events: Iterable[Signed]) -> None:
        """Keep documents, all or none; those that are kept already are passed over."""
        consents = list(consents)
        with self._db:
            self._db.executemany(
                "INSERT INTO consent(id, payload, key_id, signature, subject_ref,"
                " salt) VALUES(?, ?, ?, ?, ?, ?)",
                (
                    (
                        held.consent.consent_id,
                        *_columns(held.signed),
                        held.opening.subject_ref,
                        held.opening.salt,
                    )
                    for held in consents
                ),
            )
            self._db.executemany(
                "INSERT INTO succession(old, new) VALUES(?, ?)",
                (
                    (consent.supersedes, consent.consent_id)
                    for consent in (held.consent for held in consents)
                    if consent.supersedes
                ),
            )
            self._db.executemany(
                "INSERT OR IGNORE INTO event(digest, consent, payload, key_id,"
                " signature) VALUES(?, ?, ?, ?, ?)",
                (
                    (
                        _name(signed.payload),
                        ConsentEvent.parse(signed.payload).consent_id,
                        *_columns(signed),
                    )
                    for signed in events
                ),
            )

    def find(self, consent_id: str) -> HeldConsent | None:
        """Find a consent."""
        row = self._db.execute(
            "SELECT payload, key_id, signature, subject_ref, salt FROM consent"
            " WHERE id = ?",
            (consent_id,),
        ).fetchone()
        if row is None:
            return None
        return HeldConsent(Signed(*row[:3]), Opening(*row[3:]))

    def events(self, consent_id: str) -> list[Signed]:
        """List a consent's events, oldest first."""
        rows = self._db.execute(
            "SELECT payload, key_id, signature FROM event WHERE consent = ?"
            " ORDER BY number",
            (consent_id,),
        )
        return [Signed(*row) for row in rows]

    def event(self, payload: bytes) -> Signed | None:
        """Find an event by its bytes."""
        row = self._db.execute(
            "SELECT payload, key_id, signature FROM event WHERE digest = ?",
            (_name(payload),),
        ).fetchone()
        return None if row is None else Signed(*row)

    def successor(self, consent_id: str) -> str:
        """Name the consent that took the place of this one, or return nothing."""
        query = "SELECT new FROM succession WHERE old = ?"
        for (name,) in self._db.execute(query, (consent_id,)):
            return str(name)
        return ""

    def status(self, consent_id: str) -> Status:
        """Work out how a consent stands, from the documents that are kept."""
        if self.successor(consent_id):
            return Status.SUPERSEDED
        status = Status.ACTIVE
        for signed in self.events(consent_id):
            status = next_status(status, ConsentEvent.parse(signed.payload).event)
        return status

    def openings(self) -> list[Opening]:
        """List the openings of all commitments, for an auditor."""
        rows = self._db.execute("SELECT subject_ref, salt FROM consent ORDER BY id")
        return [Opening(*row) for row in rows]

    def keep_receipt(self, role: Role, entry: int, proof: str) -> None:
        """Keep a node's proof that documents stand in its journal."""
        self._db.execute(
            "INSERT OR REPLACE INTO receipt(role, entry, proof) VALUES(?, ?, ?)",
            (role.value, entry, proof),
        )

    def receipts(self, role: Role) -> Sequence[str]:
        """List a node's proofs, oldest first."""
        query = "SELECT proof FROM receipt WHERE role = ? ORDER BY entry"
        return [proof for (proof,) in self._db.execute(query, (role.value,))]


def _columns(signed: Signed) -> tuple[bytes, str, bytes]:
    return signed.payload, signed.key_id, signed.signature


def _name(payload: bytes) -> bytes:
    return digest(Tag.CONSENT_EVENT, payload)
