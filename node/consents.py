"""The register of consents of one node, and what has been spent under them.

House and authority each keep one, fed by registrars with the same signed
events; only the authority's counts uses and bits.  Subjects appear under the
node's own pseudonym (a keyed hash of the reference), never by reference.

Tables: `consent` (a row a consent: what is its own, status, uses),
`consent_shape` (what very many have in common), `consent_document` (those with a
signature of their own, as they were signed), `consent_batch` and `consent_event`
(batches and events taken, so that sending one again changes nothing),
`consent_pending` (batches that name a second operator, and whether it approved),
`classes` (which banks are in which, by each serial of the trust domain that the node
started with), `spend` (a row a permit), `answered` (a row an answer about one column,
for the quota of queries).  A job looks at a register's rows by the ten thousand, so
those are small and lie beside each other; a status that ends in ` pending` waits for a
second operator.

Every write runs in the ledger's one writer, in the transaction that journals
it, so a withdrawal and a permit have an order and everybody can see it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias, cast

import apsw

from contracts import bodies
from contracts.consent import (
    Consent,
    ConsentEvent,
    Own,
    Status,
    check_registrar,
    ended,
    next_status,
)
from contracts.consent_batch import BatchApproval, ConsentBatch, check_approver
from contracts.decide import Grant, Limits, Quota, Usage
from contracts.errors import ConsentConflict
from contracts.objection import Objection
from contracts.supersede import superseded
from node.domain import TrustDomain
from node.errors import DomainInvalid
from node.ledger import Transaction
from protocols.canon import Tag, digest, dumps, loads
from protocols.entry import Kind
from protocols.sign import Signed

SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS consent(
        id TEXT PRIMARY KEY, subject BLOB NOT NULL, status TEXT NOT NULL,
        uses INTEGER NOT NULL DEFAULT 0, shape INTEGER NOT NULL,
        commitment BLOB NOT NULL, evidence BLOB NOT NULL,
        not_before_ms INTEGER NOT NULL, not_after_ms INTEGER NOT NULL,
        granted_at_ms INTEGER NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS consent_shape(
        number INTEGER PRIMARY KEY, payload BLOB NOT NULL UNIQUE)""",
    """CREATE TABLE IF NOT EXISTS consent_document(
        id TEXT PRIMARY KEY, payload BLOB NOT NULL, key_id TEXT NOT NULL,
        signature BLOB NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS consent_batch(
        digest BLOB PRIMARY KEY) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS consent_pending(
        digest BLOB PRIMARY KEY, approver TEXT NOT NULL, payload BLOB NOT NULL,
        key_id TEXT NOT NULL, signature BLOB NOT NULL,
        approved INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS consent_event(
        digest BLOB PRIMARY KEY) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS classes(
        serial INTEGER PRIMARY KEY, body BLOB NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS domain_serial(
        serial INTEGER PRIMARY KEY, hash BLOB NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS spend(
        subject BLOB NOT NULL, bank TEXT NOT NULL, contract BLOB NOT NULL,
        consent TEXT NOT NULL, time_ms INTEGER NOT NULL,
        millibits INTEGER NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS spend_subject ON spend(subject, time_ms)",
    """CREATE TABLE IF NOT EXISTS answered(
        subject BLOB NOT NULL, attribute TEXT NOT NULL, time_ms INTEGER NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS answered_subject ON answered(subject, attribute)",
    "CREATE INDEX IF NOT EXISTS spend_consent ON spend(consent, time_ms)",
)

_SPENT: Final = (
    "SELECT coalesce(sum(millibits) FILTER (WHERE bank = ?), 0),"
    " coalesce(sum(millibits), 0),"
    " coalesce(sum(millibits) FILTER (WHERE bank = ? AND contract = ?), 0)"
    " FROM spend WHERE subject = ? AND time_ms > ?"
)

PENDING: Final = " pending"  # behind a status
_STATUS: Final[dict[str, Status]] = {
    status.value + waiting: status for status in Status for waiting in ("", PENDING)
}


@dataclass(frozen=True, slots=True)
class SignedGrant:
    """A consent whose signature and opening have been verified."""

    signed: Signed
    consent: Consent
    subject: bytes  # this node's pseudonym; empty once the subject is erased


@dataclass(frozen=True, slots=True)
class SignedEvent:
    """An event whose signature has been verified."""

    signed: Signed
    event: ConsentEvent


@dataclass(frozen=True, slots=True)
class SignedBatch:
    """Consents whose signature and openings have been verified."""

    signed: Signed
    batch: ConsentBatch
    subjects: tuple[bytes, ...]  # this node's pseudonyms


@dataclass(frozen=True, slots=True)
class SignedApproval:
    """An approval whose signature has been verified."""

    signed: Signed
    approval: BatchApproval


Item: TypeAlias = SignedGrant | SignedBatch | SignedApproval | SignedEvent


def record(
    transaction: Transaction, items: Sequence[Item], trust: TrustDomain
) -> tuple[int, int]:
    """Record consents and events in order.

    Returns how many were recorded, and the journal's index of the last of them.

    What was recorded before is passed over, whoever the parties belong to by now:
    that a registrar signs for no bank of its own, and not without its colleagues, is
    asked by `trust` of what enters.  Else an operator who joins would lock all events
    of consents that were signed before.

    Raises `DocumentInvalid` for what may not enter, and `ConsentConflict` for an id in
    use for another consent, one that supersedes what it may not, an event to an unknown
    consent or by another registrar, and an event that the consent's status does not
    allow; then nothing of `items` is recorded.
    """
    recorded, last = 0, -1
    for item in items:
        count, index = 1, None
        match item:
            case SignedGrant():
                index = _grant(transaction, item, trust)
            case SignedBatch():
                count = len(item.batch.own)
                index = _batch(transaction, item, trust)
            case SignedApproval():
                index = _approve(transaction, item)
            case SignedEvent():
                index = _event(transaction, item)
        if index is not None:
            recorded, last = recorded + count, index
    return recorded, last


def note_domain(
    transaction: Transaction, actor: str, serial: int, serials: tuple[bytes, ...]
) -> None:
    """Journal the serial that the node runs under, where it is another than before.

    `serials` are the hashes of all serials up to this one.  Raises `DomainInvalid` for
    one that comes before, or does not follow from, what the node ran under: under keys
    that were replaced since, whoever stole them would be believed again.
    """
    query = "SELECT serial, hash FROM domain_serial ORDER BY serial DESC LIMIT 1"
    before, known = 0, b""
    for row in transaction.db.execute(query):
        before, known = cast("tuple[int, bytes]", row)
    if serial < before:
        raise DomainInvalid(
            f"the trust domain is of serial {serial}, this node started with serial"
            f" {before}",
            "start with the newest trust-domain file",
        )
    followed = serials[-1:] if serial == before else serials[before - 1 : before]
    if before and followed != (known,):
        raise DomainInvalid(
            f"the trust domain of serial {serial} does not follow from serial {before},"
            " which this node started with",
            "stop, and ask the operator of the trust domain which one is right",
        )
    if serial == before:
        return
    transaction.db.execute(
        "INSERT INTO domain_serial(serial, hash) VALUES(?, ?)", (serial, serials[-1])
    )
    if serial > 1:
        body = bodies.Succession(serial, serials[-1])
        transaction.append(Kind.KEY_DOMAIN, actor, "", body.to_body())


def note_classes(transaction: Transaction, actor: str, now: bodies.Classes) -> None:
    """Journal the classes of the trust domain, where they are others than before.

    Each serial that the node starts with is kept, so that none before it is taken
    again: who left a class would be in it.  Raises `DomainInvalid` for an earlier
    domain, and for another of the same serial.
    """
    before = _membership(transaction.db)
    if now.serial < before.serial:
        raise DomainInvalid(
            f"the trust domain is of serial {now.serial}, this node started with"
            f" serial {before.serial}",
            "start with the newest trust-domain file",
        )
    if now.serial == before.serial:
        if not now.alike(before):
            raise DomainInvalid(
                f"two trust domains of serial {now.serial} have other classes, or"
                " parties of other organisations",
                "a trust domain that changes has a new serial",
            )
        return
    body = now.to_body()
    transaction.db.execute(
        "INSERT INTO classes(serial, body) VALUES(?, ?)",
        (now.serial, dumps({"v": "1", **body})),
    )
    if not now.alike(before):
        transaction.append(Kind.ADMIN_CLASSES, actor, "", body)


def _membership(db: apsw.Connection) -> bodies.Classes:
    query = "SELECT body FROM classes ORDER BY serial DESC LIMIT 1"
    for (data,) in db.execute(query):
        return _classes(cast("bytes", data))
    return bodies.NO_CLASSES


@lru_cache(maxsize=64)
def _classes(data: bytes) -> bodies.Classes:
    body = loads(data, "1")
    del body["v"]
    return bodies.Classes.parse(body)


def _grant(
    transaction: Transaction, item: SignedGrant, trust: TrustDomain
) -> int | None:
    db, consent, signed = transaction.db, item.consent, item.signed
    for (payload,) in db.execute(
        "SELECT payload FROM consent LEFT JOIN consent_document USING(id) WHERE id = ?",
        (consent.consent_id,),
    ):
        if payload != signed.payload:
            raise _in_use(consent.consent_id)
        return None
    _check_named(item.subject, consent.consent_id)
    check_registrar(consent.registrar, consent.grantees, trust.organisations)
    if consent.supersedes:
        old = find(db, consent.supersedes)
        after = superseded(consent, item.subject, old)
        _stand(db, consent.supersedes, after.status)
    db.execute(
        "INSERT INTO consent_document(id, payload, key_id, signature)"
        " VALUES(?, ?, ?, ?)",
        (consent.consent_id, signed.payload, signed.key_id, signed.signature),
    )
    _enter(db, consent.shape, [(item.subject, consent.own)])
    return transaction.append(
        Kind.CONSENT_GRANT,
        consent.registrar,
        "",
        bodies.Grant(signed, item.subject).to_body(),
    )


def _batch(
    transaction: Transaction, item: SignedBatch, trust: TrustDomain
) -> int | None:
    db, batch, signed = transaction.db, item.batch, item.signed
    name = digest(Tag.CONSENT_BATCH, signed.payload)
    if db.execute("SELECT 1 FROM consent_batch WHERE digest = ?", (name,)).fetchone():
        return None
    shape = batch.shape
    check_registrar(shape.registrar, shape.grantees, trust.organisations)
    check_approver(shape.registrar, batch.approver, trust.operators)
    _check_named(item.subjects, batch.own[0][0])
    db.execute("INSERT INTO consent_batch(digest) VALUES(?)", (name,))
    rows = list(zip(item.subjects, batch.own, strict=True))
    _enter(db, shape, rows, PENDING if batch.approver else "")
    if batch.approver:
        db.execute(
            "INSERT INTO consent_pending(digest, approver, payload, key_id, signature)"
            " VALUES(?, ?, ?, ?, ?)",
            (name, batch.approver, signed.payload, signed.key_id, signed.signature),
        )
    return transaction.append(
        Kind.CONSENT_BATCH,
        shape.registrar,
        "",
        bodies.Batch(signed, item.subjects).to_body(),
    )


def _approve(transaction: Transaction, item: SignedApproval) -> int | None:
    db, approval = transaction.db, item.approval
    row: Any = db.execute(
        "SELECT payload, approved FROM consent_pending"
        " WHERE digest = ? AND approver = ?",
        (approval.batch, approval.approver),
    ).fetchone()
    if row is None:
        raise ConsentConflict(
            f"no import waits for the approval of `{approval.approver}`",
            "send the import before its approval",
        )
    payload, approved = row
    if approved:
        return None
    db.execute(
        "UPDATE consent_pending SET approved = 1 WHERE digest = ?", (approval.batch,)
    )
    db.executemany(
        "UPDATE consent SET status = replace(status, ?, '') WHERE id = ?",
        ((PENDING, name) for name, *_ in ConsentBatch.parse(payload).own),
    )
    body = bodies.BatchApproval(item.signed).to_body()
    return transaction.append(Kind.CONSENT_APPROVAL, approval.approver, "", body)


def pending(db: apsw.Connection, approver: str, after: bytes) -> Iterator[Signed]:
    """List the batches that wait for an operator, by their names."""
    rows: Any = db.execute(
        "SELECT payload, key_id, signature FROM consent_pending"
        " WHERE approver = ? AND NOT approved AND digest > ? ORDER BY digest",
        (approver, after),
    )
    return (Signed(*row) for row in rows)


def _enter(
    db: apsw.Connection,
    shape: Consent,
    rows: Sequence[tuple[bytes, Own]],
    waiting: str = "",
) -> None:
    """Enter consents of one shape; raises `ConsentConflict` for an id in use."""
    payload = shape.to_bytes()
    db.execute("INSERT OR IGNORE INTO consent_shape(payload) VALUES(?)", (payload,))
    number = db.execute(
        "SELECT number FROM consent_shape WHERE payload = ?", (payload,)
    ).get
    active, name = Status.ACTIVE.value + waiting, ""

    def values() -> Iterator[tuple[object, ...]]:
        nonlocal name
        for subject, own in rows:
            name = own[0]
            yield (subject, number, active, *own)

    try:
        db.executemany(
            "INSERT INTO consent(subject, shape, status, id, commitment, evidence,"
            " not_before_ms, not_after_ms, granted_at_ms)"
            " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values(),
        )
    except apsw.ConstraintError:
        raise _in_use(name) from None


def _check_named(subjects: object, consent_id: str) -> None:
    """Refuse the consents of whom nobody can name any more."""
    if not subjects:
        raise ConsentConflict(
            f"consent `{consent_id}`, or one signed with it, is of somebody erased",
            "what was recorded before the erasure stands; nothing new enters",
        )


def _in_use(consent_id: str) -> ConsentConflict:
    return ConsentConflict(
        f"consent `{consent_id}` is in use for another consent",
        "an id is used once; give the new consent a new one",
    )


def _event(transaction: Transaction, item: SignedEvent) -> int | None:
    db, event = transaction.db, item.event
    name = digest(Tag.CONSENT_EVENT, item.signed.payload)
    if db.execute("SELECT 1 FROM consent_event WHERE digest = ?", (name,)).fetchone():
        return None
    held = find(db, event.consent_id)
    if held is None:
        raise ConsentConflict(
            f"no consent `{event.consent_id}`", "send the consent before its events"
        )
    if held.consent.registrar != event.registrar:
        raise ConsentConflict(
            f"consent `{event.consent_id}` was signed by another registrar"
        )
    status = next_status(held.status, event.event)
    _stand(db, event.consent_id, status)
    db.execute("INSERT INTO consent_event(digest) VALUES(?)", (name,))
    return transaction.append(
        Kind.CONSENT_EVENT, event.registrar, "", bodies.Event(item.signed).to_body()
    )


def erase(transaction: Transaction, _objection: Objection, subject: bytes) -> None:
    """End the consents of a subject that is erased, and forget what it has spent."""
    db = transaction.db
    for status in Status:
        if ended(status) is not status:
            db.execute(
                "UPDATE consent SET status = replace(status, ?, ?) WHERE subject = ?"
                " AND status IN (?, ?)",
                (status, ended(status), subject, status, f"{status}{PENDING}"),
            )
    db.execute("DELETE FROM spend WHERE subject = ?", (subject,))
    db.execute("DELETE FROM answered WHERE subject = ?", (subject,))


def _stand(db: apsw.Connection, consent_id: str, status: Status) -> None:
    db.execute(
        "UPDATE consent SET status = ? || iif(status LIKE ?, ?, '') WHERE id = ?",
        (status.value, f"%{PENDING}", PENDING, consent_id),
    )


@lru_cache(maxsize=4096)
def _shape(payload: bytes) -> Consent:
    """Read a shape of ours; very many consents share it."""
    return Consent.parse(payload)


_HELD: Final = (
    "SELECT subject, status, uses, shape, id, commitment, evidence, not_before_ms,"
    " not_after_ms, granted_at_ms FROM consent WHERE id = ?"
)


class Held(NamedTuple):
    """A consent as it stands, and how often it was used."""

    grant: Grant
    uses: int


def _held(db: apsw.Connection, ids: Iterable[str]) -> Iterator[Held]:
    """Read consents; those that are not known are left out."""
    shapes: dict[int, tuple[Consent, frozenset[str]]] = {}
    rows: Any = db.executemany(_HELD, ((consent_id,) for consent_id in ids))
    for subject, status, uses, number, *own in rows:
        known = shapes.get(number)
        if known is None:
            payload: Any = db.execute(
                "SELECT payload FROM consent_shape WHERE number = ?", (number,)
            ).get
            shape = _shape(payload)
            members = _membership(db).members(shape) if shape.classes else frozenset()
            known = shapes[number] = shape, members
        shape, members = known
        pending = status.endswith(PENDING)
        grant = Grant(shape.of(own), _STATUS[status], subject, members, pending)
        yield Held(grant, uses)


def find(db: apsw.Connection, consent_id: str) -> Grant | None:
    """Find a consent as it stands."""
    held = next(_held(db, (consent_id,)), None)
    return None if held is None else held.grant


def usage(
    db: apsw.Connection,
    grant: Grant | None,
    spender: tuple[str, bytes, bytes],
    now_ms: int,
    limits: Limits,
    counted: Quota | None = None,
) -> Usage:
    """Count what (bank, subject, contract) = `spender` has spent so far.

    Uses count per consent, all banks together; bits and the answers of a quota in
    their sliding windows.
    """
    bank, subject, contract = spender
    uses = recent = 0
    if grant is not None:
        consent = grant.consent
        ((uses,),) = db.execute(
            "SELECT uses FROM consent WHERE id = ?", (consent.consent_id,)
        )
        recent = _recent(db, consent, now_ms)
    ((by_bank, by_all, by_contract),) = db.execute(
        _SPENT, (bank, bank, contract, subject, now_ms - limits.window_ms)
    )
    answers = 0
    if counted is not None:
        ((answers,),) = db.execute(
            "SELECT count(*) FROM answered WHERE subject = ? AND attribute = ?"
            " AND time_ms > ?",
            (subject, counted.name, now_ms - counted.window_ms),
        )
    return Usage(
        uses=uses,
        recent_uses=recent,
        bank_millibits=by_bank,
        subject_millibits=by_all,
        contract_millibits=by_contract,
        answers=answers,
    )


def count_answer(transaction: Transaction, subject: bytes, counted: Quota) -> None:
    """Count an answer of a quota."""
    transaction.db.execute(
        "INSERT INTO answered(subject, attribute, time_ms) VALUES(?, ?, ?)",
        (subject, counted.name, transaction.now_ms),
    )


def _recent(db: apsw.Connection, consent: Consent, now_ms: int) -> int:
    """Count the uses within the window of a consent's frequency."""
    if consent.frequency is None:
        return 0
    since = now_ms - consent.frequency.window_ms
    ((recent,),) = db.execute(
        "SELECT count(*) FROM spend WHERE consent = ? AND time_ms > ?",
        (consent.consent_id, since),
    )
    return int(cast("int", recent))


def spend(
    transaction: Transaction,
    consent_id: str,
    spender: tuple[str, bytes, bytes],
    millibits: int,
) -> None:
    """Count one use and its bits."""
    bank, subject, contract = spender
    transaction.db.execute(
        "INSERT INTO spend(subject, bank, contract, consent, time_ms, millibits)"
        " VALUES(?, ?, ?, ?, ?, ?)",
        (subject, bank, contract, consent_id, transaction.now_ms, millibits),
    )
    transaction.db.execute(
        "UPDATE consent SET uses = uses + 1 WHERE id = ?", (consent_id,)
    )


# -- many at once, for jobs: the same rows, fewer questions


def find_all(db: apsw.Connection, ids: Iterable[str]) -> dict[str, Held]:
    """Find consents as they stand; those that are not known are left out."""
    held = _held(db, sorted(ids))  # as they lie on the disk
    return {one.grant.consent.consent_id: one for one in held}


def allowing(
    db: apsw.Connection,
    wanted: Sequence[tuple[str, bytes]],
    allows: Callable[[Grant], bool],
    now_ms: int,
) -> list[bool]:
    """Say of each (consent id, subject) whether that consent is its, and allows.

    `allows` is asked once about consents that are alike but for id and subject:
    in shape, status, and where `now_ms` stands among their times.
    """
    found: dict[tuple[object, ...], bool] = {}
    right = [False] * len(wanted)
    order = sorted(range(len(wanted)), key=lambda i: wanted[i][0])
    names = ((wanted[i][0],) for i in order)
    rows: Any = db.executemany(
        "SELECT subject, status, shape, not_before_ms <= ?2, ?2 < not_after_ms,"
        " granted_at_ms <= ?2 FROM (SELECT ?1 AS wanted) LEFT JOIN consent"
        " ON id = wanted",
        ((name, now_ms) for (name,) in names),
    )
    for i, (subject, *alike) in zip(order, rows, strict=True):
        name, whose = wanted[i]
        if subject != whose:  # None: nobody has registered it
            continue
        key = tuple(alike)
        if key not in found:
            grant = find(db, name)
            found[key] = grant is not None and allows(grant)
        right[i] = found[key]
    return right


def statuses(db: apsw.Connection, ids: Iterable[str]) -> dict[str, Status]:
    """Find how consents stand; those that are not known are left out."""
    rows: Any = db.executemany(
        "SELECT id, status FROM consent WHERE id = ?",
        ((consent_id,) for consent_id in sorted(ids)),
    )
    return {name: _STATUS[status] for name, status in rows}


def usages(
    db: apsw.Connection,
    wanted: Sequence[tuple[Held | None, bytes]],
    spender: tuple[str, bytes],
    now_ms: int,
    window_ms: int,
) -> list[Usage]:
    """Count what (bank, contract) = `spender` has spent so far, for each subject.

    `wanted` are consents, where they are known, with subjects.
    """
    bank, contract = spender
    order = sorted(range(len(wanted)), key=lambda i: wanted[i][1])
    sums: Any = db.executemany(
        _SPENT,
        ((bank, bank, contract, wanted[i][1], now_ms - window_ms) for i in order),
    )
    found = [Usage(0, 0, 0, 0, 0)] * len(wanted)
    for i, spent in zip(order, sums, strict=True):
        held, _ = wanted[i]
        found[i] = (
            Usage(0, 0, *spent)
            if held is None
            else Usage(held.uses, _recent(db, held.grant.consent, now_ms), *spent)
        )
    return found


def spend_all(
    transaction: Transaction,
    items: Sequence[tuple[bytes, str]],
    spender: tuple[str, bytes],
    millibits: int,
) -> None:
    """Count one use for each (subject, consent id), and its bits."""
    bank, contract = spender
    transaction.db.executemany(
        "INSERT INTO spend(subject, bank, contract, consent, time_ms, millibits)"
        " VALUES(?, ?, ?, ?, ?, ?)",
        (
            (subject, bank, contract, consent_id, transaction.now_ms, millibits)
            for subject, consent_id in sorted(items)
        ),
    )
    transaction.db.executemany(
        "UPDATE consent SET uses = uses + 1 WHERE id = ?",
        ((consent_id,) for consent_id in sorted(c for _, c in items)),
    )


class Listed(NamedTuple):
    """A consent as its registrar is told of it."""

    consent_id: str
    status: str
    uses: int
    signed: Signed | None  # None: it was signed in a batch


def page(db: apsw.Connection, registrar: str, after: str, limit: int) -> list[Listed]:
    """List consents of `registrar` in the order of their ids."""
    rows = db.execute(
        "SELECT consent.id, status, uses, consent_document.payload, key_id, signature,"
        " consent_shape.payload FROM consent LEFT JOIN consent_document USING(id)"
        " JOIN consent_shape ON number = shape WHERE consent.id > ?"
        " ORDER BY consent.id",
        (after,),
    )
    found: list[Listed] = []
    for name, status, uses, payload, key_id, signature, shape in rows:
        if _shape(shape).registrar == registrar:
            alone = None if payload is None else Signed(payload, key_id, signature)
            found.append(Listed(name, status, uses, alone))
        if len(found) == limit:
            break
    return found
