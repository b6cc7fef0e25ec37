"""Parcels of feedback at the house, which relays them and can read none.

A parcel and its journal entry `feedback.parcel` are one transaction: whatever is killed
when, both are there or neither, and the same parcel again has the same entry.

1. The bank that calls signed it, and it is for a custodian that has a desk.
2. The box is the one it names.
3. The same document again: its entry, and nothing new.
4. Its number is the next, its jti fresh.
5. The bank is within its quota of a day.
"""

import hashlib
from typing import Final, cast

import apsw

from contracts import bodies
from contracts.feedback import MOST_BOX, Desk, Parcel
from node import clock
from node.errors import DocumentConflict, NotFound, RateLimited
from node.ledger import Transaction
from protocols.entry import Kind
from protocols.errors import FormatError
from protocols.sign import Signed

PARCELS_A_DAY: Final = 50  # of one bank

SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS feedback_desk(
        custodian TEXT PRIMARY KEY, payload BLOB NOT NULL, key_id TEXT NOT NULL,
        signature BLOB NOT NULL, entry INTEGER NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS feedback_parcel(
        entry INTEGER PRIMARY KEY, bank TEXT NOT NULL, custodian TEXT NOT NULL,
        number INTEGER NOT NULL, jti BLOB NOT NULL, time_ms INTEGER NOT NULL,
        payload BLOB NOT NULL, key_id TEXT NOT NULL, signature BLOB NOT NULL,
        box BLOB NOT NULL,
        UNIQUE(bank, custodian, number), UNIQUE(bank, jti))""",
)


def put_desk(transaction: Transaction, signed: Signed) -> int:
    """Keep a custodian's key, for good; return the journal's index.

    The same under a newer signing key of the custodian's takes the place of the first.
    """
    desk = Desk.parse(signed.payload)
    row = transaction.db.execute(
        "SELECT payload, key_id, entry FROM feedback_desk WHERE custodian = ?",
        (desk.custodian,),
    ).fetchone()
    if row is not None:
        if row[0] != signed.payload:
            raise DocumentConflict(f"`{desk.custodian}` has a desk with another key")
        if row[1] == signed.key_id:
            return int(row[2])
    body = bodies.FeedbackDesk(signed).to_body()
    index = transaction.append(Kind.FEEDBACK_DESK, desk.custodian, "", body)
    transaction.db.execute(
        "INSERT OR REPLACE INTO feedback_desk VALUES(?, ?, ?, ?, ?)",
        (desk.custodian, signed.payload, signed.key_id, signed.signature, index),
    )
    return index


def desk_of(db: apsw.Connection, custodian: str) -> Signed:
    """Find a custodian's key; raises `NotFound`."""
    row = db.execute(
        "SELECT payload, key_id, signature FROM feedback_desk WHERE custodian = ?",
        (custodian,),
    ).fetchone()
    if row is None:
        raise NotFound(
            f"`{custodian}` takes no feedback", "it opens a desk: `feedback open`"
        )
    return Signed(*row)


def put_parcel(transaction: Transaction, signed: Signed, box: bytes) -> int:
    """Keep a parcel whose signature was verified; return the journal's index."""
    parcel, db = Parcel.parse(signed.payload), transaction.db
    desk_of(db, parcel.custodian)  # 1
    if len(box) > MOST_BOX or hashlib.sha256(box).digest() != parcel.box:  # 2
        raise FormatError("the box is not the one that the parcel names")
    row = db.execute(
        "SELECT payload, entry FROM feedback_parcel WHERE bank = ? AND jti = ?",
        (parcel.bank, parcel.jti),
    ).fetchone()
    if row is not None:  # 3
        if row[0] != signed.payload:
            raise DocumentConflict("another parcel has this jti")
        return int(row[1])
    newest = _count(
        db,
        "SELECT coalesce(max(number), 0) FROM feedback_parcel"
        " WHERE bank = ? AND custodian = ?",
        (parcel.bank, parcel.custodian),
    )
    if parcel.number != newest + 1:  # 4
        raise DocumentConflict(
            f"expected parcel {newest + 1} to `{parcel.custodian}`, got {parcel.number}"
        )
    sent = _count(
        db,
        "SELECT count(*) FROM feedback_parcel WHERE bank = ? AND time_ms > ?",
        (parcel.bank, transaction.now_ms - clock.DAY_MS),
    )
    if sent >= PARCELS_A_DAY:  # 5
        raise RateLimited(f"expected at most {PARCELS_A_DAY} parcels a day")
    body = bodies.FeedbackParcel(signed).to_body()
    index = transaction.append(Kind.FEEDBACK_PARCEL, parcel.bank, "", body)
    db.execute(
        "INSERT INTO feedback_parcel VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            index,
            parcel.bank,
            parcel.custodian,
            parcel.number,
            parcel.jti,
            transaction.now_ms,
            signed.payload,
            signed.key_id,
            signed.signature,
            box,
        ),
    )
    return index


def _count(db: apsw.Connection, query: str, values: tuple[str | int, ...]) -> int:
    ((found,),) = cast("list[tuple[int]]", db.execute(query, values).fetchall())
    return found


def next_parcel(
    db: apsw.Connection, custodian: str, after: int
) -> tuple[int, Signed, bytes] | None:
    """Find a custodian's first parcel after an entry: (entry, parcel, box)."""
    row = db.execute(
        "SELECT entry, payload, key_id, signature, box FROM feedback_parcel"
        " WHERE custodian = ? AND entry > ? ORDER BY entry LIMIT 1",
        (custodian, after),
    ).fetchone()
    return None if row is None else (row[0], Signed(*row[1:4]), row[4])
