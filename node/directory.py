"""Which slot a subject has, as the house knows it: by pseudonym only.

A custodian in charge puts the whole map of a subject type; each version extends
the one before, so slots are never reused (PROTOCOL 12).  The house sees the
references once, in transit: it keeps its own keyed pseudonym and the row's leaf
of the signed root, and the sealed map it cannot open.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, cast

import apsw

from contracts import bodies
from contracts.subject import pseudonym
from node.errors import DocumentConflict, NotFound
from node.ledger import Transaction
from protocols import rowmap
from protocols.entry import Kind
from protocols.errors import FormatError
from protocols.rowmap import Row, RowMap
from protocols.sign import Signed

SEALED: Final = ".map"
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
    transaction: Transaction,
    signed: Signed,
    rows: list[tuple[bytes, bytes]],
) -> int:
    """Keep a verified map; `rows` are (pseudonym, leaf) in slot order.

    Returns the journal's index, the earlier one if this map was kept before.
    Raises `DocumentConflict` if it does not extend the map in force.
    """
    db, row_map = transaction.db, RowMap.parse(signed.payload)
    kind = row_map.subject_type
    before = kept(db, signed)
    if before is not None:
        return before
    newest = find(db, kind)
    known = newest[1] if newest else None
    if known is not None and known.custodian != row_map.custodian:
        raise DocumentConflict(
            f"the map of `{kind}` is in the charge of `{known.custodian}`"
        )
    if row_map.version != (known.version if known else 0) + 1:
        raise DocumentConflict(
            f"expected version {(known.version if known else 0) + 1} of the map of"
            f" `{kind}`, got {row_map.version}",
            "fetch the newest map and extend it",
        )
    held = list(
        db.execute(
            "SELECT subject, leaf FROM slot WHERE subject_type = ? ORDER BY number",
            (kind,),
        )
    )
    if rows[: len(held)] != held:
        raise DocumentConflict(
            f"the map of `{kind}` moves subjects that have a slot",
            "slots are never reused; append new subjects",
        )
    if len({subject for subject, _ in rows}) != len(rows):
        raise DocumentConflict(f"the map of `{kind}` gives a subject two slots")
    db.executemany(
        "INSERT INTO slot(subject_type, subject, number, leaf) VALUES(?, ?, ?, ?)",
        (
            (kind, subject, number, leaf)
            for number, (subject, leaf) in enumerate(rows)
            if number >= len(held)
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


def row_leaves(db: apsw.Connection, subject_type: str, rows: int) -> Iterator[bytes]:
    """List the leaves of the first rows in slot order, for an auditor's proof."""
    for (leaf,) in db.execute(
        "SELECT leaf FROM slot WHERE subject_type = ? AND number < ? ORDER BY number",
        (subject_type, rows),
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


def pseudonyms(key: bytes, rows: list[Row]) -> list[bytes]:
    """Turn references into what this node keeps."""
    return [pseudonym(key, row.subject_ref) for row in rows]
