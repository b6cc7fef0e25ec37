"""The public attributes of every slot, as a node keeps them: Parquet, read by DuckDB.

A table of SQLite has the signed descriptions (`contracts.attributes`); beside the
journal lies a file for each version, `<SHA-256 of the codes>.parquet`::

    _row        row of the map: block and slot are divmod(_row, slots)
    town, ...   a column an attribute, the class in words; NULL for none

so an auditor opens it with any tool.  The file is received beside its place,
synced and renamed.  Its codes are made anew and compared with the signed hash
when it is opened: a flipped bit is refused, and nobody is put into another group.

>>> from tempfile import TemporaryDirectory
>>> from contracts.attributes import Attribute, describe
>>> with TemporaryDirectory() as folder:
...     codes = np.array([[1] * 10 + [2] * 10 + [0]], np.uint8)
...     town = Attribute("town", ("安居镇", "唐口街道"))
...     empty = AttributeTable("opaque", 1, 21, 1, bytes(32), (town,), b"", "c", 0)
...     table, _ = describe(empty, codes)
...     store = Attributes(Path(folder))
...     store.keep(table, codes)
...     print(store.rows(table, (("town", ("唐口街道",)),)).tolist())
...     print(store.counts(table))
[10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
(10, 10)
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import apsw
import numpy as np
from numpy.typing import NDArray

from contracts import bodies
from contracts.attributes import Attribute, AttributeTable, Codes
from contracts.errors import ContractError
from node import durable, tables
from node.errors import DocumentConflict, NotFound, TableInvalid, VaultDamaged
from node.ledger import Transaction
from protocols.entry import Kind
from protocols.errors import FormatError
from protocols.sign import Signed
from protocols.where import Where

SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS attributes(
        subject_type TEXT, version INTEGER, payload BLOB NOT NULL,
        key_id TEXT NOT NULL, signature BLOB NOT NULL, entry INTEGER NOT NULL,
        PRIMARY KEY(subject_type, version)) WITHOUT ROWID""",
)
SUFFIX: Final = ".parquet"
KEPT: Final = 8  # tables in memory


def put(transaction: Transaction, signed: Signed) -> int:
    """Keep a version whose codes are stored; return the journal's index.

    The same again is passed over.  Raises `DocumentConflict` for a version that
    is not the next one, or from another custodian than the versions before.
    """
    db, table = transaction.db, AttributeTable.parse(signed.payload)
    before = kept(db, signed)
    if before is not None:
        return before
    newest = _newest(db, table.subject_type)
    if newest is not None and newest.custodian != table.custodian:
        raise DocumentConflict(
            f"the attributes of `{table.subject_type}` are in the charge of"
            f" `{newest.custodian}`"
        )
    expected = 1 if newest is None else newest.version + 1
    if table.version != expected:
        raise DocumentConflict(
            f"expected version {expected} of the attributes of"
            f" `{table.subject_type}`, got {table.version}",
            "another version came first; put them again",
        )
    body = bodies.Attributes(table.subject_type, table.version, signed)
    index = transaction.append(
        Kind.DATA_ATTRIBUTES, table.custodian, "", body.to_body()
    )
    db.execute(
        "INSERT INTO attributes(subject_type, version, payload, key_id, signature,"
        " entry) VALUES(?, ?, ?, ?, ?, ?)",
        (
            table.subject_type,
            table.version,
            signed.payload,
            signed.key_id,
            signed.signature,
            index,
        ),
    )
    return index


def kept(db: apsw.Connection, signed: Signed) -> int | None:
    """Find the journal's index of this very version, if it is kept."""
    table = AttributeTable.parse(signed.payload)
    row = db.execute(
        "SELECT entry FROM attributes WHERE subject_type = ? AND version = ?"
        " AND payload = ?",
        (table.subject_type, table.version, signed.payload),
    ).fetchone()
    return None if row is None else int(row[0])


def find(
    db: apsw.Connection, subject_type: str, version: int | None = None
) -> tuple[Signed, AttributeTable]:
    """Find a version, by default the newest; raises `NotFound`."""
    row = db.execute(
        "SELECT payload, key_id, signature FROM attributes WHERE subject_type = ?"
        " AND (version = ? OR ? IS NULL) ORDER BY version DESC LIMIT 1",
        (subject_type, version, version),
    ).fetchone()
    if row is None:
        raise NotFound(
            f"subjects of type `{subject_type}` have no public attributes",
            "the custodian in charge of their map puts them: `safehouse attributes`",
        )
    return Signed(*row), AttributeTable.parse(row[0])


def _newest(db: apsw.Connection, subject_type: str) -> AttributeTable | None:
    try:
        return find(db, subject_type)[1]
    except NotFound:
        return None


class Attributes:
    """The folder of a node's attribute files; thread-safe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in folder.glob(f"*{SUFFIX}{durable.TEMPORARY}"):
            part.unlink()
        self._codes: OrderedDict[bytes, Codes] = OrderedDict()
        self._lock = threading.Lock()

    def path(self, table: AttributeTable) -> Path:
        """Say where the file of a version lies."""
        return self.folder / f"{table.codes.hex()}{SUFFIX}"

    def keep(self, table: AttributeTable, codes: Codes) -> None:
        """Write the file of a version; `codes` were checked by `read_codes`."""
        path = self.path(table)
        part = path.with_name(path.name + durable.TEMPORARY)
        with self._lock:
            _write(part, table.attributes, codes)
            durable.settle(part, path)

    def codes(self, table: AttributeTable) -> Codes:
        """Return every row's codes: (attributes, rows); not to be written to.

        Raises `VaultDamaged` when the file is not what the custodian signed.
        """
        with self._lock:
            codes = self._codes.get(table.codes)
            if codes is None:
                codes = self._codes[table.codes] = _read(self.path(table), table)
            self._codes.move_to_end(table.codes)
            while len(self._codes) > KEPT:
                self._codes.popitem(last=False)
        return codes

    def rows(self, table: AttributeTable, where: Where) -> NDArray[np.int64]:
        """Find the rows of the map that a filter takes, ascending.

        Rows without attributes are in no filter, and without a filter all rows
        of the map are taken.  Raises `DocumentInvalid` for an unknown word.
        """
        taken = np.ones(table.rows, np.bool_)
        codes, names = self.codes(table), [item.name for item in table.attributes]
        for name, labels in where:
            attribute = table.attribute(name)
            wanted = [attribute.code(label) for label in labels]
            taken &= np.isin(codes[names.index(name)], wanted)
        return np.flatnonzero(taken)

    def counts(self, table: AttributeTable) -> tuple[int, ...]:
        """Count the subjects of every class, attribute after attribute."""
        codes = self.codes(table)
        return tuple(
            int(count)
            for attribute, row in zip(table.attributes, codes, strict=True)
            for count in np.bincount(row, minlength=len(attribute.classes) + 1)[1:]
        )


# Names of attributes are lower-case letters, digits and underscores: the parser of
# the table has seen to it, so they may stand in a query.  Users' words are values.


def _write(path: Path, attributes: Sequence[Attribute], codes: Codes) -> None:
    given = {"_row": np.arange(codes.shape[1], dtype=np.uint32)}
    given |= {item.name: row for item, row in zip(attributes, codes, strict=True)}
    words = ", ".join(
        f'?[nullif("{item.name}", 0)] AS "{item.name}"' for item in attributes
    )
    query = f"SELECT _row, {words} FROM given ORDER BY _row"  # noqa: S608
    tables.write_parquet(path, query, [list(a.classes) for a in attributes], given)


def _read(path: Path, table: AttributeTable) -> Codes:
    codes = ", ".join(
        f'coalesce(list_position(?, "{item.name}"), 0)::UTINYINT AS "{item.name}"'
        for item in table.attributes
    )
    query = f"SELECT {codes} FROM read_parquet(?) ORDER BY _row"  # noqa: S608
    words = [list(item.classes) for item in table.attributes]
    try:
        found = tables.read_parquet(path, query, words)
        columns = [np.asarray(found[a.name], np.uint8) for a in table.attributes]
        return table.read_codes(np.array(columns).tobytes())
    except (FormatError, ContractError, TableInvalid) as error:
        raise VaultDamaged(
            f"attribute file `{path.name}` is not what its custodian put: {error}",
            "restore it from a backup, or ask the custodian to put it again",
        ) from None
