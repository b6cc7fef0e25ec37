"""The register of objections to statistics, at one node (`contracts.objection`).

Both nodes are told by registrars.  The house finds each one's row in its map; the
authority cannot, and takes the house's word once (`place`).  Either journals it then,
so that an auditor knows who was left out of what.
"""

from dataclasses import dataclass
from typing import Final, cast

import apsw

from contracts import bodies
from contracts.objection import Objection, check_next
from node import directory
from node.errors import DocumentConflict
from node.ledger import Transaction
from protocols.entry import Kind
from protocols.sign import Signed

SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS objection(
        id TEXT PRIMARY KEY, subject_type TEXT NOT NULL, subject BLOB NOT NULL,
        stands INTEGER NOT NULL, payload BLOB NOT NULL, entry INTEGER NOT NULL,
        place INTEGER) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS objection_stands ON objection(subject_type, stands)",
)


@dataclass(frozen=True, slots=True)
class Placement:
    """An objection that stands, and the row of the map of whom it is about."""

    objection_id: str
    row: int | None  # None while the subject has none


def record(transaction: Transaction, signed: Signed, subject: bytes) -> int:
    """Keep a verified objection, or its end; return the journal's index.

    The same again is passed over.  Raises `DocumentInvalid` for a document that
    the one before does not allow, `DocumentConflict` for another subject's.
    """
    db, objection = transaction.db, Objection.parse(signed.payload)
    row = db.execute(
        "SELECT payload, subject, entry FROM objection WHERE id = ?",
        (objection.objection_id,),
    ).fetchone()
    before = None if row is None else Objection.parse(row[0])
    if row is not None and before is not None and before.says(objection):
        return int(row[2])
    check_next(before, objection)
    if row is not None and row[1] != subject:
        raise DocumentConflict(
            f"objection `{objection.objection_id}` is another subject's"
        )
    body = bodies.Objection(signed, subject).to_body()
    kind = Kind.CONSENT_OBJECTION
    index = transaction.append(kind, objection.registrar, "", body)
    db.execute(
        "INSERT INTO objection(id, subject_type, subject, stands, payload, entry)"
        " VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT(id) DO UPDATE SET"
        " stands = excluded.stands, payload = excluded.payload, entry = excluded.entry",
        (
            objection.objection_id,
            objection.subject_type.value,
            subject,
            objection.stands,
            signed.payload,
            index,
        ),
    )
    return index


def placements(db: apsw.Connection, subject_type: str) -> tuple[Placement, ...]:
    """List the objections that stand, each with its row (house), by id."""
    rows = db.execute(
        "SELECT id, subject FROM objection WHERE subject_type = ? AND stands"
        " ORDER BY id",
        (subject_type,),
    )
    found = cast("list[tuple[str, bytes]]", rows.fetchall())
    return tuple(
        Placement(name, directory.place(db, subject_type, subject))
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
