"""Which slot a subject has, as the house knows it: by pseudonym only.

A custodian in charge puts the whole map of a subject type; each version extends
the one before, so slots are never reused (PROTOCOL 12).  The house sees the
references once, in transit: it keeps its own name of the subject (`node.names`) and the
row's leaf of the signed root, and the newest sealed map, which it cannot open.

A subject that is erased loses its slot at once (`vacate`): it is in no table by which
a question could find it.  Its row's leaf stays, for the versions that were pushed under
it.  The next map has the row of nobody in its place, and the sealed maps before it go:
then nothing here has the reference, or the salt that opens the leaf.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, cast

import apsw

from contracts import bodies
from contracts.objection import Objection
from contracts.subject import Handle, SubjectType, handle
from node import names
from node.errors import DocumentConflict, NotFound
from node.ledger import Transaction
from protocols import rowmap
from protocols.entry import Kind
from protocols.errors import FormatError
from protocols.rowmap import Row, RowMap
from protocols.sign import Signed

SEALED: Final = ".map"
_VACATED: Final = "SELECT number FROM vacated WHERE subject_type = ?"
SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS map(
        subject_type TEXT, version INTEGER, payload BLOB NOT NULL,
        key_id TEXT NOT NULL, signature BLOB NOT NULL, entry INTEGER NOT NULL,
        PRIMARY KEY(subject_type, version)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS slot(
        subject_type TEXT, subject BLOB, number INTEGER NOT NULL,
        leaf BLOB NOT NULL,
        PRIMARY KEY(subject_type, subject)) WITHOUT ROWID""",
    "CREATE UNIQUE INDEX IF NOT EXISTS slot_number ON slot(subject_type, number)",
    # Slots of the erased; the last two are empty until a map has the row of nobody.
    """CREATE TABLE IF NOT EXISTS vacated(
        subject_type TEXT, number INTEGER, subject BLOB NOT NULL, leaf BLOB NOT NULL,
        erasure TEXT NOT NULL, version INTEGER, nobody BLOB,
        PRIMARY KEY(subject_type, number)) WITHOUT ROWID""",
)


def check_rows(row_map: RowMap, rows: list[Row]) -> list[bytes]:
    """Return the rows' leaves once they are known to make the signed root."""
    if len(rows) != row_map.rows:
        raise FormatError(f"expected {row_map.rows} rows, got {len(rows)}")
    leaves = [row.leaf(i, row_map.slots) for i, row in enumerate(rows)]
    if rowmap.leaves_root(leaves) != row_map.root:
        raise FormatError("the rows do not make the signed root")
    return leaves


def put(
    transaction: Transaction, signed: Signed, rows: Sequence[tuple[Handle, bytes]]
) -> int:
    """Keep a verified map; `rows` are (handle, leaf) in slot order.

    Returns the journal's index, the earlier one if this map was kept before.
    Raises `DocumentConflict` if it does not extend the map in force, or names
    somebody who was erased.
    """
    db, row_map = transaction.db, RowMap.parse(signed.payload)
    kind = row_map.subject_type
    before = kept(db, signed)
    if before is not None:
        return before
    _check_succeeds(db, row_map)
    _replace_vacated(db, row_map, [leaf for _, leaf in rows])
    vacated = {number for (number,) in db.execute(_VACATED, (kind,))}
    living = [row for number, row in enumerate(rows) if number not in vacated]
    held = list(
        db.execute(
            "SELECT subject, leaf FROM slot WHERE subject_type = ? ORDER BY number",
            (kind,),
        )
    )
    known = names.find(db, [each for each, _ in living[: len(held)]])
    leaves = [leaf for _, leaf in living[: len(held)]]
    if list(zip(known, leaves, strict=True)) != held:
        raise DocumentConflict(
            f"the map of `{kind}` moves subjects that have a slot",
            "slots are never reused; append new subjects",
        )
    if len({each for each, _ in rows}) != len(rows):
        raise DocumentConflict(f"the map of `{kind}` gives a subject two slots")
    first, new = len(held) + len(vacated), living[len(held) :]
    entered = names.enter(db, [each for each, _ in new])
    db.executemany(
        "INSERT INTO slot(subject_type, subject, number, leaf) VALUES(?, ?, ?, ?)",
        (
            (kind, subject, number, leaf)
            for number, (subject, (_, leaf)) in enumerate(
                zip(entered, new, strict=True), first
            )
        ),
    )
    index = transaction.append(
        Kind.DATA_DIRECTORY,
        row_map.custodian,
        "",
        bodies.Directory(
            kind, row_map.version, row_map.rows, row_map.blocks, row_map.root, signed
        ).to_body(),
    )
    db.execute(
        "INSERT INTO map(subject_type, version, payload, key_id, signature, entry)"
        " VALUES(?, ?, ?, ?, ?, ?)",
        (
            kind,
            row_map.version,
            signed.payload,
            signed.key_id,
            signed.signature,
            index,
        ),
    )
    return index


def _check_succeeds(db: apsw.Connection, row_map: RowMap) -> None:
    kind, newest = row_map.subject_type, find(db, row_map.subject_type)
    known = newest[1] if newest else None
    if known is not None and known.custodian != row_map.custodian:
        raise DocumentConflict(
            f"the map of `{kind}` is in the charge of `{known.custodian}`"
        )
    expected = (known.version if known else 0) + 1
    if row_map.version != expected:
        raise DocumentConflict(
            f"expected version {expected} of the map of `{kind}`, got"
            f" {row_map.version}",
            "fetch the newest map and extend it",
        )


def _replace_vacated(
    db: apsw.Connection, row_map: RowMap, leaves: Sequence[bytes]
) -> None:
    """Take rows of nobody for the slots of the erased, each once and for good."""
    rows = db.execute(
        "SELECT number, leaf, nobody FROM vacated WHERE subject_type = ?",
        (row_map.subject_type,),
    )
    for number, leaf, nobody in cast(
        "list[tuple[int, bytes, bytes | None]]", list(rows)
    ):
        now = leaves[number] if number < len(leaves) else b""
        if nobody not in (None, now):
            raise DocumentConflict(f"row {number} is nobody's, and stays so")
        if now in (b"", leaf):
            raise DocumentConflict(
                f"the map of `{row_map.subject_type}` names a subject that was erased",
                "fetch the newest map, with the slots that were vacated, and extend it",
            )
        if nobody is None:
            db.execute(
                "UPDATE vacated SET version = ?, nobody = ? WHERE subject_type = ?"
                " AND number = ?",
                (row_map.version, now, row_map.subject_type, number),
            )


def vacate(transaction: Transaction, erasure: Objection, subject: bytes) -> None:
    """Take the slot of a subject that is erased; nobody is ever given it.

    Raises `DocumentConflict` where the subject is of another type than the erasure
    says: a slot whose name leads to nobody would keep every next map from being put.
    """
    kind = erasure.subject_type.value
    for other in SubjectType:
        if other.value != kind and place(transaction.db, other, subject) is not None:
            raise DocumentConflict(
                f"the subject has a row in the map of `{other}`, not of `{kind}`",
                "erase it under the type of that map",
            )
    transaction.db.execute(
        "INSERT INTO vacated(subject_type, number, subject, leaf, erasure)"
        " SELECT subject_type, number, subject, leaf, ? FROM slot"
        " WHERE subject_type = ? AND subject = ?",
        (erasure.objection_id, kind, subject),
    )
    transaction.db.execute(
        "DELETE FROM slot WHERE subject_type = ? AND subject = ?", (kind, subject)
    )


def unreplaced(db: apsw.Connection, subject_type: str) -> dict[int, str]:
    """List the vacated rows that the newest map still has, and by which erasure."""
    rows = db.execute(
        "SELECT number, erasure FROM vacated WHERE subject_type = ?"
        " AND version IS NULL ORDER BY number",
        (subject_type,),
    )
    return dict(cast("list[tuple[int, str]]", rows.fetchall()))


def kept(db: apsw.Connection, signed: Signed) -> int | None:
    """Find the journal's index of this very map, if it is kept."""
    row_map = RowMap.parse(signed.payload)
    row = db.execute(
        "SELECT entry FROM map WHERE subject_type = ? AND version = ? AND payload = ?",
        (row_map.subject_type, row_map.version, signed.payload),
    ).fetchone()
    return None if row is None else int(row[0])


def has_sealed(db: apsw.Connection, name: str) -> bool:
    """Tell whether any map's sealed copy has this file's name: reads all maps."""
    rows = db.execute("SELECT payload FROM map")
    return any(sealed_name(RowMap.parse(payload)) == name for (payload,) in rows)


def outdated(db: apsw.Connection) -> list[str]:
    """Name the sealed maps that have the row of somebody who was erased since."""
    rows = db.execute(
        "SELECT payload FROM map WHERE version < (SELECT max(vacated.version)"
        " FROM vacated WHERE vacated.subject_type = map.subject_type)"
    )
    return [sealed_name(RowMap.parse(payload)) for (payload,) in rows]


def find(db: apsw.Connection, subject_type: str) -> tuple[Signed, RowMap] | None:
    """Find the newest map of a subject type."""
    row = db.execute(
        "SELECT payload, key_id, signature FROM map WHERE subject_type = ?"
        " ORDER BY version DESC LIMIT 1",
        (subject_type,),
    ).fetchone()
    return None if row is None else (Signed(*row), RowMap.parse(row[0]))


def place(db: apsw.Connection, subject_type: str, subject: bytes) -> int | None:
    """Find a subject's row number: block and slot are `divmod(number, slots)`."""
    row = db.execute(
        "SELECT number FROM slot WHERE subject_type = ? AND subject = ?",
        (subject_type, subject),
    ).fetchone()
    return None if row is None else int(row[0])


def row(db: apsw.Connection, subject_type: str, subject: bytes) -> int | None:
    """Find the row that a subject has, or had until it was erased."""
    number = place(db, subject_type, subject)
    if number is not None:
        return number
    found = db.execute(
        "SELECT number FROM vacated WHERE subject_type = ? AND subject = ?",
        (subject_type, subject),
    ).fetchone()
    return None if found is None else int(found[0])


def places(
    db: apsw.Connection, subject_type: str, subjects: Iterable[bytes]
) -> list[int | None]:
    """Find the row numbers of many subjects, in their order; None for no row."""
    rows = db.executemany(
        "SELECT (SELECT number FROM slot WHERE subject_type = ? AND subject = ?)",
        ((subject_type, subject) for subject in subjects),
    )
    return [number for (number,) in cast("Iterable[tuple[int | None]]", rows)]


def rows_of(db: apsw.Connection, subject_type: str, version: int) -> int:
    """Count the rows of one version of a map; raises `NotFound`."""
    row = db.execute(
        "SELECT payload FROM map WHERE subject_type = ? AND version = ?",
        (subject_type, version),
    ).fetchone()
    if row is None:
        raise NotFound(f"no version {version} of the map of `{subject_type}`")
    return RowMap.parse(row[0]).rows


def row_leaves(
    db: apsw.Connection, subject_type: str, rows: int, version: int
) -> Iterator[bytes]:
    """List the leaves of one version's rows in slot order, for an auditor's proof."""
    for (leaf,) in db.execute(
        "SELECT leaf FROM (SELECT number, leaf FROM slot WHERE subject_type = ?1"
        " UNION ALL SELECT number, iif(version <= ?2, nobody, leaf) FROM vacated"
        " WHERE subject_type = ?1) WHERE number < ?3 ORDER BY number",
        (subject_type, version, rows),
    ):
        yield leaf


def sealed_path(folder: Path, row_map: RowMap) -> Path:
    """Say where the sealed map lies."""
    return folder / sealed_name(row_map)


def sealed_name(row_map: RowMap) -> str:
    """Name the file of a sealed map."""
    return f"{row_map.sealed.hex()}{SEALED}"


def newest_map(db: apsw.Connection, subject_type: str) -> tuple[Signed, RowMap]:
    """Find the newest map; raises `NotFound`."""
    found = find(db, subject_type)
    if found is None:
        raise NotFound(
            f"no map of `{subject_type}`",
            "the custodian in charge pushes the base register first",
        )
    return found


def handles(key: bytes, rows: Iterable[Row]) -> list[Handle]:
    """Turn references into that by which this node finds its names."""
    return [handle(key, row.subject_ref) for row in rows]
