"""What a registrar signed, and how its commitments open: one SQLite file.

A consent names its subject by a commitment under a fresh salt, and house and
authority keep pseudonyms, so only who holds the salts can show an auditor which
consent and which request are about one subject.  That is here, 0600, beside the
signed documents themselves: sending one again must send the same bytes, or it
would be another consent under a used id.

Every id is in one table, whichever way its consent was signed, for an id is used once.

What is signed is on the disk, all of an import in one transaction, before any
of it is sent.

So are the demands of subjects (`contracts.objection`), until both nodes have them.
When a subject is erased its references and salts are overwritten with zeros; the signed
documents, which name nobody, stay, and its consents have ended.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw

from contracts.consent import Consent, ConsentEvent, Status, ended, next_status
from contracts.consent_batch import ConsentBatch
from contracts.errors import ConsentConflict
from contracts.objection import Objection
from node.domain import Role
from protocols.call import SALT_BYTES, Opening
from protocols.canon import Tag, digest
from protocols.sign import Signed

FILE: Final = "consents.db"
VERSION: Final = 4
SHREDDED: Final = Opening(bytes(SALT_BYTES), bytes(SALT_BYTES))
BUSY_MS: Final = 10_000
BATCHES: Final = 64  # kept at hand
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS consent(
    id TEXT PRIMARY KEY, payload BLOB NOT NULL, key_id TEXT NOT NULL,
    signature BLOB NOT NULL, subject_ref BLOB NOT NULL, salt BLOB NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event(
    number INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, consent TEXT NOT NULL,
    payload BLOB NOT NULL, key_id TEXT NOT NULL, signature BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS event_consent ON event(consent, number);
CREATE TABLE IF NOT EXISTS batch(
    number INTEGER PRIMARY KEY, payload BLOB NOT NULL, key_id TEXT NOT NULL,
    signature BLOB NOT NULL, subject_refs BLOB NOT NULL, salts BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS used(
    id TEXT PRIMARY KEY, batch INTEGER NOT NULL, place INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS succession(
    old TEXT PRIMARY KEY, new TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS demand(
    id TEXT, stands INTEGER, payload BLOB NOT NULL, key_id TEXT NOT NULL,
    signature BLOB NOT NULL, subject_ref BLOB NOT NULL, salt BLOB NOT NULL,
    PRIMARY KEY(id, stands)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS receipt(
    role TEXT, entry INTEGER, proof TEXT NOT NULL,
    PRIMARY KEY(role, entry)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, repr=False)
class HeldConsent:
    """A consent, the document in which it is signed, and the opening of its subject."""

    consent: Consent
    signed: Signed
    opening: Opening
    batch: int = 0  # number of the batch it was signed in; 0: it was signed alone
    document: str = ""  # number of the order, for a statutory basis
    approver: str = ""  # the second operator it was imported for

    @property
    def ids(self) -> tuple[str, ...]:
        """What it is known by."""
        return (self.consent.consent_id,)

    @property
    def living(self) -> tuple[str, ...]:
        """Its id, unless its subject is erased."""
        return () if self.opening == SHREDDED else self.ids


@dataclass(frozen=True, slots=True, repr=False)
class HeldBatch:
    """A signed batch, and the openings of its subjects, 32 bytes each, in order."""

    batch: ConsentBatch
    signed: Signed
    subject_refs: bytes
    salts: bytes

    @property
    def ids(self) -> tuple[str, ...]:
        """What its consents are known by, in order."""
        return tuple(own[0] for own in self.batch.own)

    @property
    def living(self) -> tuple[str, ...]:
        """The ids of its consents whose subjects are not erased."""
        return tuple(
            name
            for place, name in enumerate(self.ids)
            if self.opening(place) != SHREDDED
        )

    def opening(self, place: int) -> Opening:
        """Open the subject of the consent at `place`."""
        at = slice(place * SALT_BYTES, (place + 1) * SALT_BYTES)
        return Opening(self.subject_refs[at], self.salts[at])


@dataclass(frozen=True, slots=True, repr=False)
class HeldDemand:
    """What a subject demanded, as it is signed, and the opening of who it is."""

    objection: Objection
    signed: Signed
    opening: Opening


_DEMAND: Final = "SELECT payload, key_id, signature, subject_ref, salt FROM demand"


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
        self._db.pragma("secure_delete", "on")
        version = self._db.pragma("user_version")
        if not 0 <= version <= VERSION:  # version 1 had no successions, no batches
            raise RuntimeError(f"consents of version {version}, expected {VERSION}")
        if version == 2:  # noqa: PLR2004  knew ids of batches, and others, apart
            self._db.execute("ALTER TABLE batched RENAME TO used")
        self._db.execute(SCHEMA)
        if version < 3:  # noqa: PLR2004
            self._db.execute("INSERT OR IGNORE INTO used SELECT id, 0, 0 FROM consent")
        self._db.pragma("user_version", VERSION)
        self._batches: dict[int, HeldBatch] = {}  # some that were read

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add(
        self,
        consents: Sequence[HeldConsent] = (),
        batches: Sequence[HeldBatch] = (),
        events: Iterable[Signed] = (),
    ) -> None:
        """Keep documents, all or none; events that are kept already are passed over.

        Raises `ConsentConflict` where another command at this desk came between: for
        an id that is in use by now, and what cannot happen to a consent any more.
        """
        with self._writing():
            for held in consents:
                self._name_all(held.ids, 0)
                self._db.execute(
                    "INSERT INTO consent(id, payload, key_id, signature, subject_ref,"
                    " salt) VALUES(?, ?, ?, ?, ?, ?)",
                    (*held.ids, *_columns(held.signed), *_opened(held.opening)),
                )
            for batch in batches:
                self._add_batch(batch)
            for held in consents:
                if held.consent.supersedes:
                    self._succeed(held.consent)
            for signed in events:
                self._add_event(signed)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Let no other process between what is read and what is written."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _add_batch(self, held: HeldBatch) -> None:
        self._db.execute(
            "INSERT INTO batch(payload, key_id, signature, subject_refs, salts)"
            " VALUES(?, ?, ?, ?, ?)",
            (*_columns(held.signed), held.subject_refs, held.salts),
        )
        self._name_all(held.ids, self._db.last_insert_rowid())

    def _name_all(self, ids: Iterable[str], batch: int) -> None:
        name = ""

        def values() -> Iterator[tuple[str, int, int]]:
            nonlocal name
            for place, name in enumerate(ids):
                yield name, batch, place

        try:
            self._db.executemany(
                "INSERT INTO used(id, batch, place) VALUES(?, ?, ?)", values()
            )
        except apsw.ConstraintError:
            raise ConsentConflict(
                f"consent `{name}` has been signed meanwhile", "repeat the command"
            ) from None

    def _succeed(self, new: Consent) -> None:
        status = self.status(new.supersedes)
        if status not in (Status.ACTIVE, Status.SUSPENDED):
            raise ConsentConflict(
                f"cannot supersede `{new.supersedes}`, which is {status} meanwhile"
            )
        self._db.execute(
            "INSERT INTO succession(old, new) VALUES(?, ?)",
            (new.supersedes, new.consent_id),
        )

    def _add_event(self, signed: Signed) -> None:
        event = ConsentEvent.parse(signed.payload)
        if self.has_event(signed.payload):
            return
        next_status(self.status(event.consent_id), event.event)
        self._db.execute(
            "INSERT INTO event(digest, consent, payload, key_id, signature)"
            " VALUES(?, ?, ?, ?, ?)",
            (_name(signed.payload), event.consent_id, *_columns(signed)),
        )

    def take_back(self, ids: Iterable[str]) -> None:
        """Let ids be free again that no node has, by whole documents.

        What happened to the consents is kept: an id that is used again has ended if
        its subject has withdrawn.  A batch is kept under its number, of no consent.
        """
        names = [(name,) for name in ids]
        with self._writing():
            for query in (
                "DELETE FROM used WHERE id = ?",
                "DELETE FROM consent WHERE id = ?",
                "DELETE FROM succession WHERE new = ?",
            ):
                self._db.executemany(query, names)

    def take_back_last(self, consent_id: str) -> None:
        """Forget the last event of a consent, which no node can take."""
        self._db.execute(
            "DELETE FROM event WHERE number ="
            " (SELECT max(number) FROM event WHERE consent = ?)",
            (consent_id,),
        )

    def has(self, consent_id: str) -> bool:
        """Tell whether an id is in use."""
        query = "SELECT 1 FROM used WHERE id = ?"
        return self._db.execute(query, (consent_id,)).get is not None

    def ids(self) -> set[str]:
        """Return all ids in use."""
        return {str(name) for (name,) in self._db.execute("SELECT id FROM used")}

    def find(self, consent_id: str) -> HeldConsent | None:
        """Find a consent."""
        for number, place in self._db.execute(
            "SELECT batch, place FROM used WHERE id = ? AND batch > 0", (consent_id,)
        ):
            held = self.batch(number)
            consent = held.batch.shape.of(held.batch.own[place])
            return HeldConsent(
                consent,
                held.signed,
                held.opening(place),
                number,
                held.batch.document,
                held.batch.approver,
            )
        for row in self._db.execute(
            "SELECT payload, key_id, signature, subject_ref, salt FROM consent"
            " WHERE id = ?",
            (consent_id,),
        ):
            signed = Signed(*row[:3])
            return HeldConsent(Consent.parse(signed.payload), signed, Opening(*row[3:]))
        return None

    def need(self, consent_id: str) -> HeldConsent:
        """Find a consent that is kept; raises `RuntimeError` for another."""
        held = self.find(consent_id)
        if held is None:
            raise RuntimeError(f"consent `{consent_id}` is not kept")
        return held

    def batch(self, number: int) -> HeldBatch:
        """Return a batch; raises `RuntimeError` for one that is not kept."""
        known = self._batches.get(number)
        if known is not None:
            return known
        row = self._db.execute(
            "SELECT payload, key_id, signature, subject_refs, salts FROM batch"
            " WHERE number = ?",
            (number,),
        ).fetchone()
        if row is None:
            raise RuntimeError(f"no batch {number}")
        signed = Signed(*row[:3])
        held = HeldBatch(ConsentBatch.parse(signed.payload), signed, *row[3:])
        if len(self._batches) == BATCHES:
            self._batches.clear()
        self._batches[number] = held
        return held

    def events(self, *ids: str) -> list[Signed]:
        """List the events of consents, one consent's after another's, oldest first."""
        rows: Any = self._db.executemany(
            "SELECT payload, key_id, signature FROM event WHERE consent = ?"
            " ORDER BY number",
            ((name,) for name in ids),
        )
        return [Signed(*row) for row in rows]

    def has_event(self, payload: bytes) -> bool:
        """Tell whether an event is kept, by its bytes."""
        query = "SELECT 1 FROM event WHERE digest = ?"
        return self._db.execute(query, (_name(payload),)).get is not None

    def successors(self, *ids: str) -> list[str]:
        """Name the consents that took the place of these."""
        query = "SELECT new FROM succession WHERE old = ?"
        rows: Any = self._db.executemany(query, ((name,) for name in ids))
        return [name for (name,) in rows]

    def status(self, consent_id: str) -> Status:
        """Work out how a consent stands, from the documents that are kept."""
        if self.successors(consent_id):
            return Status.SUPERSEDED
        status = Status.ACTIVE
        for signed in self.events(consent_id):
            status = next_status(status, ConsentEvent.parse(signed.payload).event)
        held = self.find(consent_id)
        erased = held is not None and not held.living
        return ended(status) if erased else status

    def openings(self) -> list[Opening]:
        """List the openings of all commitments, for an auditor."""
        rows = self._db.execute("SELECT subject_ref, salt FROM consent ORDER BY id")
        found = [Opening(*row) for row in rows]
        for (number,) in self._db.execute(
            "SELECT DISTINCT batch FROM used WHERE batch > 0 ORDER BY 1"
        ):
            held = self.batch(number)
            found += map(held.opening, range(len(held.batch.own)))
        return [opening for opening in found if opening != SHREDDED]

    # -- what subjects demand

    def demand(self, name: str, *, stands: bool) -> HeldDemand | None:
        """Find a demand, or its end, as it was signed."""
        for row in self._db.execute(
            f"{_DEMAND} WHERE id = ? AND stands = ?", (name, stands)
        ):
            return _demand(row)
        return None

    def demands(self, subject_ref: bytes) -> list[HeldDemand]:
        """List what a subject demanded here, and its ends, by id."""
        rows: Any = self._db.execute(
            f"{_DEMAND} WHERE subject_ref = ? ORDER BY id, stands DESC", (subject_ref,)
        )
        return [_demand(row) for row in rows]

    def keep_demand(self, held: HeldDemand) -> None:
        """Keep a demand before it is sent."""
        objection = held.objection
        self._db.execute(
            "INSERT INTO demand(id, stands, payload, key_id, signature, subject_ref,"
            " salt) VALUES(?, ?, ?, ?, ?, ?, ?)",
            (
                objection.objection_id,
                objection.stands,
                *_columns(held.signed),
                *_opened(held.opening),
            ),
        )

    def drop_demand(self, name: str, *, stands: bool) -> None:
        """Forget a demand that no node has."""
        query = "DELETE FROM demand WHERE id = ? AND stands = ?"
        self._db.execute(query, (name, stands))

    # -- who is erased

    def consents_of(self, subject_ref: bytes) -> list[HeldConsent]:
        """List a subject's consents, by id."""
        names: Any = self._db.execute(
            "SELECT id FROM consent WHERE subject_ref = ?", (subject_ref,)
        )
        found = [name for (name,) in names]
        for number, places in self._seated(subject_ref):
            held = self.batch(number)
            found += [held.ids[place] for place in places if self.has(held.ids[place])]
        return [self.need(name) for name in sorted(found)]

    def shred(self, subject_ref: bytes) -> None:
        """Overwrite all by which a subject's documents open, and forget its demands."""
        with self._writing():
            self._db.execute(
                "UPDATE consent SET subject_ref = ?, salt = ? WHERE subject_ref = ?",
                (*_opened(SHREDDED), subject_ref),
            )
            for number, places in self._seated(subject_ref):
                ((refs, salts),) = self._db.execute(
                    "SELECT subject_refs, salts FROM batch WHERE number = ?", (number,)
                )
                self._db.execute(
                    "UPDATE batch SET subject_refs = ?, salts = ? WHERE number = ?",
                    (_zeroed(refs, places), _zeroed(salts, places), number),
                )
            query = "DELETE FROM demand WHERE subject_ref = ?"
            self._db.execute(query, (subject_ref,))
        self._batches.clear()
        self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def _seated(self, subject_ref: bytes) -> list[tuple[int, list[int]]]:
        """Find the batches that have a subject, and its places in each."""
        rows: Any = self._db.execute(
            "SELECT number, subject_refs FROM batch WHERE instr(subject_refs, ?)",
            (subject_ref,),
        )
        return [(number, _places(refs, subject_ref)) for number, refs in rows]

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


def _demand(row: Sequence[Any]) -> HeldDemand:
    signed = Signed(*row[:3])
    return HeldDemand(Objection.parse(signed.payload), signed, Opening(*row[3:]))


def _places(refs: bytes, subject_ref: bytes) -> list[int]:
    starts = range(0, len(refs), SALT_BYTES)
    found = (refs[at : at + SALT_BYTES] == subject_ref for at in starts)
    return [place for place, same in enumerate(found) if same]


def _zeroed(data: bytes, places: Iterable[int]) -> bytes:
    cleared = bytearray(data)
    for place in places:
        at = place * SALT_BYTES
        cleared[at : at + SALT_BYTES] = bytes(SALT_BYTES)
    return bytes(cleared)


def _columns(signed: Signed) -> tuple[bytes, str, bytes]:
    return signed.payload, signed.key_id, signed.signature


def _opened(opening: Opening) -> tuple[bytes, bytes]:
    return opening.subject_ref, opening.salt


def _name(payload: bytes) -> bytes:
    return digest(Tag.CONSENT_EVENT, payload)
