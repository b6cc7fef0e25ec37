"""Which versions a quarter's statistics rest on: the house's choice, by one rule.

Two answers on two versions of one dataset would show what changed between them, once
more for every push.  So for a whole quarter of a year (UTC) all statistics of a dataset
rest on one version of it, and of the public attributes: the newest that stood in the
journal when the quarter began, or, if there was none, the first.

The authority keeps what it was shown first and refuses another; an auditor finds in the
house's journal that it was the right one (`contracts.aggregate_replay`).
"""

from collections.abc import Sequence
from typing import cast

import apsw

from contracts.quarter import first_ms
from node import attributes
from node.errors import NotFound
from node.ledger import Ledger
from node.registry import Registry
from protocols.aggregate_call import Snapshot
from protocols.blocks import Manifest
from protocols.canon import Tag, digest
from protocols.entry import Entry


def find(
    db: apsw.Connection,
    ledger: Ledger,
    registry: Registry,
    dataset: str,
    subject_type: str,
    quarter: str,
) -> Snapshot:
    """Find a quarter's snapshot of a dataset.

    Raises `NotFound` where the dataset was never pushed, or the subjects have no
    public attributes.
    """
    pushes = db.execute(
        "SELECT version, entry FROM push WHERE dataset = ? ORDER BY version DESC",
        (dataset,),
    ).fetchall()
    version = _in_force(ledger, pushes, quarter)
    manifest = None if version is None else registry.manifest(db, dataset, version)
    if manifest is None:
        raise NotFound(
            f"dataset `{dataset}` has no data yet", "its custodian pushes them first"
        )
    tables = db.execute(
        "SELECT version, entry FROM attributes WHERE subject_type = ?"
        " ORDER BY version DESC",
        (subject_type,),
    ).fetchall()
    signed, table = attributes.find(
        db, subject_type, _in_force(ledger, tables, quarter)
    )
    return snapshot_of(
        quarter, manifest, table.version, digest(Tag.ATTRIBUTES, signed.payload)
    )


def snapshot_of(
    quarter: str, manifest: Manifest, attributes_version: int, attributes_: bytes
) -> Snapshot:
    """Name a snapshot."""
    return Snapshot(
        quarter,
        manifest.dataset,
        manifest.version,
        manifest.blocks,
        manifest.ciphertext_root,
        manifest.row_map_root,
        attributes_version,
        attributes_,
    )


def _in_force(
    ledger: Ledger, newest_first: Sequence[tuple[object, ...]], quarter: str
) -> int | None:
    """Return the version in force at the quarter's beginning; else the first one."""
    start_ms, first = first_ms(quarter), None
    for version, entry in cast("Sequence[tuple[int, int]]", newest_first):
        first = version
        if Entry.parse(ledger.entry(entry)).time_ms < start_ms:
            return version
    return first
