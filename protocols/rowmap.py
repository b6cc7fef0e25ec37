"""The map of slots: which subject sits where, known to holders of the pepper.

A base register (all residents, all enterprises) becomes rows in the order of
the subjects' references; new subjects are appended once a cycle in that order
again, and no slot is ever used twice.  (In the order of the register, whoever
knows the register would know everybody by rank.)  Row r sits in block r // K,
slot r % K.

Three views of one map:

* *custodians* hold the rows, `subject_ref | salt`, sealed under a key derived
  from the pepper, which the house keeps without being able to open;
* *the house* is shown the rows once: it keeps a keyed pseudonym and the row's
  leaf, and checks the root;
* *everybody* sees the signed `RowMap` with the root of the row leaves; the
  salts make a leaf meaningless to whoever guesses ids.

    row leaf = digest(Tag.ROW, block u64, slot u64, subject_ref, salt)
    root     = RFC 9162 tree over the row leaves
"""

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from protocols.canon import Reader, Tag, digest, dumps, framed, loads
from protocols.errors import FormatError
from protocols.seal import unwrap, wrap
from protocols.tlog import leaf_hash, root_of

VERSION = "safehouse/map/1"
HASH_BYTES = 32
ROW_BYTES = 64


@dataclass(frozen=True, slots=True, repr=False)
class Row:
    """One subject's row; its place is its position in the map."""

    subject_ref: bytes
    salt: bytes

    def leaf(self, number: int, slots: int) -> bytes:
        """Bind the subject to its block and slot, `slots` to a block."""
        block, slot = divmod(number, slots)
        return row_leaf(block, slot, self.subject_ref, self.salt)


@dataclass(frozen=True, slots=True)
class RowMap:
    """One version of a map, as the custodian in charge signs it."""

    subject_type: str
    version: int  # 1, 2, ...: each extends the one before
    rows: int
    slots: int  # in a block
    root: bytes
    sealed: bytes  # SHA-256 of the sealed rows
    custodian: str
    created_ms: int

    @property
    def blocks(self) -> int:
        """Blocks that hold at least one row."""
        return -(-self.rows // self.slots)

    def to_bytes(self) -> bytes:
        """Write canonical JSON."""
        return dumps(
            {
                "v": VERSION,
                "subject_type": self.subject_type,
                "version": self.version,
                "rows": self.rows,
                "slots": self.slots,
                "root": self.root.hex(),
                "sealed": self.sealed.hex(),
                "custodian": self.custodian,
                "created_ms": self.created_ms,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "RowMap":
        """Read strictly; raises `FormatError`."""
        reader = Reader(loads(data, VERSION))
        row_map = cls(
            reader.text("subject_type"),
            reader.integer("version", 1),
            reader.integer("rows", 1),
            reader.integer("slots", 1),
            reader.hex("root", HASH_BYTES),
            reader.hex("sealed", HASH_BYTES),
            reader.text("custodian"),
            reader.integer("created_ms"),
        )
        reader.close()
        return row_map


def row_leaf(block: int, slot: int, subject_ref: bytes, salt: bytes) -> bytes:
    """Bind a subject to a slot, under a salt."""
    place = (block.to_bytes(8, "big"), slot.to_bytes(8, "big"))
    return digest(Tag.ROW, *place, subject_ref, salt)


def rows_root(rows: Iterable[Row], slots: int) -> bytes:
    """Compute the root that a `RowMap` names."""
    return leaves_root([row.leaf(i, slots) for i, row in enumerate(rows)])


def leaves_root(leaves: Iterable[bytes]) -> bytes:
    """Compute the root from row leaves."""
    return root_of([leaf_hash(leaf) for leaf in leaves])


def extend(
    rows: Sequence[Row], subject_refs: Iterable[bytes], salts: Iterable[bytes]
) -> list[Row]:
    """Append rows for the references not yet in `rows`, in their order.

    `salts` are 32 fresh bytes each; one is drawn for each new row.
    """
    known = {row.subject_ref for row in rows}
    new = sorted(set(subject_refs) - known)
    return [*rows, *(Row(ref, salt) for ref, salt in zip(new, salts, strict=False))]


def to_bytes(rows: Iterable[Row]) -> bytes:
    """Write rows one after the other, 64 bytes each."""
    return b"".join(row.subject_ref + row.salt for row in rows)


def from_bytes(data: bytes) -> list[Row]:
    """Read what `to_bytes` wrote; raises `FormatError`."""
    if len(data) % ROW_BYTES:
        raise FormatError(f"expected rows of {ROW_BYTES} bytes, got {len(data)} bytes")
    return [
        Row(data[at : at + HASH_BYTES], data[at + HASH_BYTES : at + ROW_BYTES])
        for at in range(0, len(data), ROW_BYTES)
    ]


def seal_rows(pepper: bytes, subject_type: str, rows: Iterable[Row]) -> bytes:
    """Seal a map for the other holders of the pepper."""
    return wrap(_map_key(pepper), subject_type.encode(), to_bytes(rows))


def unseal_rows(pepper: bytes, subject_type: str, sealed: bytes) -> list[Row]:
    """Open a map; raises `SealBroken` under another pepper."""
    return from_bytes(unwrap(_map_key(pepper), subject_type.encode(), sealed))


def _map_key(pepper: bytes) -> bytes:
    return hmac.digest(pepper, framed(Tag.MAP), "sha256")
