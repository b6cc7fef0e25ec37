"""The register of what subjects demand, at one node (`contracts.objection`).

Both nodes are told by registrars.

*Statistics*: the house finds each objector's row in its map; the authority cannot, and
takes the house's word once (`place`).  Either journals it then, so that an auditor
knows who was left out of what.

*Repairs* reach the custodian of the dataset: the house lists those that stand
(`repairs`), with the rows of the map, and takes the custodian's answer (`answer`).

*Erasures*: in one transaction the way to the subject's name is forgotten
(`node.names`), its consents end, what the node keeps of it besides goes (`Eraser`), and
the entry says whose name it was and who asked.  What the journal said before stays as
it was hashed, of a name that leads to nobody.  The slot, which nobody has any more, is
left out of statistics for good, as if it objected.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias, cast

import apsw

from contracts import bodies
from contracts.dataset import Dataset
from contracts.objection import (
    Answer,
    Demand,
    Objection,
    check_answer,
    check_next,
)
from contracts.subject import Handle
from node import directory, names
from node.errors import DocumentConflict, NotFound, RoleRefused
from node.ledger import Transaction
from protocols.entry import Entry, Kind
from protocols.sign import Signed

SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS objection(
        id TEXT PRIMARY KEY, subject_type TEXT NOT NULL, subject BLOB NOT NULL,
        stands INTEGER NOT NULL, payload BLOB NOT NULL, entry INTEGER NOT NULL,
        place INTEGER) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS objection_stands ON objection(subject_type, stands)",
    # Of repairs; they are in no statistic's way, so they are not in the table above.
    """CREATE TABLE IF NOT EXISTS repair(
        id TEXT PRIMARY KEY, dataset TEXT NOT NULL, subject BLOB NOT NULL,
        stands INTEGER NOT NULL, since INTEGER NOT NULL, payload BLOB NOT NULL,
        entry INTEGER NOT NULL, answer BLOB, answer_entry INTEGER) WITHOUT ROWID""",
)

Eraser: TypeAlias = Callable[[Transaction, Objection, bytes], None]
Version: TypeAlias = Callable[[apsw.Connection, str], "tuple[Dataset, int] | None"]


@dataclass(frozen=True, slots=True)
class Placement:
    """An objection that stands, and the row of the map of whom it is about."""

    objection_id: str
    row: int | None  # None while the subject has none


@dataclass(frozen=True, slots=True)
class Repair:
    """A repair that stands, as its custodian is told of it."""

    signed: Signed
    row: int | None  # in the map of the dataset's subject type


@dataclass(frozen=True, slots=True)
class _Known:
    """What an id stands for here."""

    objection: Objection
    subject: bytes
    entry: int


def record(
    transaction: Transaction,
    signed: Signed,
    whose: Handle,
    version: Version,
    erasers: Sequence[Eraser] = (),
) -> int:
    """Keep a verified objection, or its end; return the journal's index.

    The same again is passed over.  `version` finds a dataset and its newest version.
    Raises `DocumentInvalid` for a document that the one before does not allow,
    `DocumentConflict` for another subject's, `NotFound` for a repair of no dataset.
    """
    db, objection = transaction.db, Objection.parse(signed.payload)
    known = _find(db, objection.objection_id)
    if known is not None and known.objection.says(objection):
        return known.entry
    check_next(None if known is None else known.objection, objection)
    if objection.demand is Demand.ERASURE:
        return _erase(transaction, signed, whose, erasers)
    (subject,) = names.enter(db, [whose])
    if known is not None and known.subject != subject:
        raise DocumentConflict(
            f"objection `{objection.objection_id}` is another subject's"
        )
    since = 0
    if objection.demand is Demand.REPAIR:
        found = version(db, objection.dataset)
        if found is None:
            raise NotFound(f"dataset `{objection.dataset}` is not registered")
        dataset, since = found
        if dataset.is_list:
            raise DocumentConflict(f"list `{dataset.name}` has no records to repair")
        _check_column(dataset, objection.column)
    body = bodies.Objection(signed, subject).to_body()
    kind = Kind.CONSENT_OBJECTION
    index = transaction.append(kind, objection.registrar, "", body)
    if objection.demand is Demand.REPAIR:
        _keep_repair(db, objection, signed.payload, subject, (since, index))
    else:
        _keep(db, objection, signed.payload, subject, index)
    return index


def _check_column(dataset: Dataset, column: str) -> None:
    if column and column not in {item.name for item in dataset.columns}:
        raise NotFound(f"dataset `{dataset.name}` has no column `{column}`")


def _find(db: apsw.Connection, name: str) -> _Known | None:
    row: Any = db.execute(
        "SELECT payload, subject, entry, stands FROM objection WHERE id = ?1 UNION ALL"
        " SELECT payload, subject, entry, stands FROM repair WHERE id = ?1",
        (name,),
    ).fetchone()
    if row is None:
        return None
    payload, subject, entry, stands = row
    objection = replace(Objection.parse(payload), stands=bool(stands))
    return _Known(objection, subject, entry)


def _keep(
    db: apsw.Connection,
    objection: Objection,
    payload: bytes,
    subject: bytes,
    index: int,
) -> None:
    db.execute(
        "INSERT INTO objection(id, subject_type, subject, stands, payload, entry)"
        " VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT(id) DO UPDATE SET"
        " stands = excluded.stands, payload = excluded.payload, entry = excluded.entry",
        (
            objection.objection_id,
            objection.subject_type.value,
            subject,
            objection.stands,
            payload,
            index,
        ),
    )


def _keep_repair(
    db: apsw.Connection,
    objection: Objection,
    payload: bytes,
    subject: bytes,
    at: tuple[int, int],
) -> None:
    since, index = at
    db.execute(
        "INSERT INTO repair(id, dataset, subject, stands, since, payload, entry)"
        " VALUES(?, ?, ?, ?, ?, ?, ?) ON CONFLICT(id) DO UPDATE SET"
        " stands = excluded.stands, payload = excluded.payload, entry = excluded.entry",
        (
            objection.objection_id,
            objection.dataset,
            subject,
            objection.stands,
            since,
            payload,
            index,
        ),
    )


def _erase(
    transaction: Transaction, signed: Signed, whose: Handle, erasers: Sequence[Eraser]
) -> int:
    """Forget who a subject is; a node that never knew journals that it was asked."""
    db, objection = transaction.db, Objection.parse(signed.payload)
    (subject,) = names.enter(db, [whose])
    names.forget(db, whose)
    for erase in erasers:
        erase(transaction, objection, subject)
    db.execute("UPDATE repair SET stands = 0 WHERE subject = ?", (subject,))
    body = bodies.Objection(signed, subject).to_body()
    index = transaction.append(Kind.CONSENT_ERASED, objection.registrar, "", body)
    _keep(db, objection, signed.payload, subject, index)
    return index


def get(db: apsw.Connection, name: str) -> Signed:
    """Return an objection as its registrar signed it."""
    ((data,),) = db.execute(
        "SELECT CAST(data AS BLOB) FROM entry WHERE idx = (SELECT entry FROM objection"
        " WHERE id = ?1 UNION ALL SELECT entry FROM repair WHERE id = ?1)",
        (name,),
    )
    return bodies.Objection.parse(Entry.parse(cast("bytes", data)).body).signed


# -- repairs, at the house


def repairs(db: apsw.Connection, dataset: Dataset) -> Iterator[Repair]:
    """List the repairs of a dataset that stand, by id."""
    rows: Any = db.execute(
        "SELECT id, subject FROM repair WHERE dataset = ? AND stands ORDER BY id",
        (dataset.name,),
    )
    for name, subject in rows.fetchall():
        row = directory.place(db, dataset.subject_type, subject)
        yield Repair(get(db, name), row)


def answer(transaction: Transaction, signed: Signed, version: Version) -> int:
    """Keep a custodian's verified answer to a repair; return the journal's index.

    The same again is passed over.  Raises `DocumentInvalid` for one that the repair
    does not allow, `RoleRefused` for another custodian's.
    """
    db, said = transaction.db, Answer.parse(signed.payload)
    row: Any = db.execute(
        "SELECT since, answer, answer_entry FROM repair WHERE id = ?",
        (said.objection_id,),
    ).fetchone()
    since, before, index = (0, None, -1) if row is None else row
    if before is not None and Answer.parse(before).says(said):
        return int(index)
    found = version(db, said.dataset)
    if found is None:
        raise NotFound(f"dataset `{said.dataset}` is not registered")
    dataset, newest = found
    if dataset.custodian != said.custodian:
        raise RoleRefused(f"dataset `{dataset.name}` is `{dataset.custodian}`'s")
    known = _find(db, said.objection_id)
    check_answer(None if known is None else known.objection, said, since, newest)
    if known is None:
        raise AssertionError("an answer to no repair")
    body = bodies.Answer(signed, known.subject).to_body()
    entry = transaction.append(Kind.CONSENT_ANSWER, said.custodian, "", body)
    db.execute(
        "UPDATE repair SET stands = 0, answer = ?, answer_entry = ? WHERE id = ?",
        (signed.payload, entry, said.objection_id),
    )
    return entry


# -- statistics


def placements(db: apsw.Connection, subject_type: str) -> tuple[Placement, ...]:
    """List the objections that stand, each with its row (house), by id."""
    rows = db.execute(
        "SELECT id, subject FROM objection WHERE subject_type = ? AND stands"
        " ORDER BY id",
        (subject_type,),
    )
    found = cast("list[tuple[str, bytes]]", rows.fetchall())
    return tuple(
        Placement(name, directory.row(db, subject_type, subject))
        for name, subject in found
    )


def standing(db: apsw.Connection, subject_type: str) -> dict[str, int | None]:
    """List the objections that stand, each with the row it was given (authority)."""
    rows = db.execute(
        "SELECT id, place FROM objection WHERE subject_type = ? AND stands",
        (subject_type,),
    )
    return dict(cast("list[tuple[str, int | None]]", rows.fetchall()))


def place(
    transaction: Transaction, actor: str, placements: tuple[Placement, ...]
) -> None:
    """Keep and journal the rows of objections, each once and for good."""
    standing = dict(
        cast(
            "list[tuple[str, int | None]]",
            transaction.db.execute("SELECT id, place FROM objection").fetchall(),
        )
    )
    for item in placements:
        if item.row is None or standing.get(item.objection_id, item.row) is not None:
            continue
        transaction.db.execute(
            "UPDATE objection SET place = ? WHERE id = ?", (item.row, item.objection_id)
        )
        body = bodies.Placed(item.objection_id, item.row).to_body()
        transaction.append(Kind.CONSENT_PLACED, actor, "", body)
