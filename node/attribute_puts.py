"""A custodian's public attributes: read from its table, coarsened, put.

The table is read like a dataset's (`node.filling`): what cannot be taken is told
by row.  Small cells move to `other`, as far as the document names it; what is
still under 10 subjects is refused here, before anything is sent.
"""

from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np

from contracts import bodies
from contracts.attributes import (
    AttributeTable,
    Codes,
    PublicAttributes,
    check_cells,
    coarsen,
    describe,
)
from node import clock, filling
from node.catalogue import ListedAttributes, fetch_attributes
from node.config import Config
from node.domain import Role, TrustDomain
from node.errors import NotFound, ReplyRefused, RoleRefused
from node.filling import SUBJECT_COLUMN, Place, ValidationReport
from node.keys import CustodianKeys
from node.maps import Maps, SlotMap
from node.progress import Progress, silent
from node.remote import put_attributes
from node.sent import entry_of
from node.wire.v1 import attributes_pb2_grpc
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.note import LogProof
from protocols.sign import Signed, sign


@dataclass(frozen=True, slots=True)
class AttributesReceipt:
    """Attributes in force, and what the house proved."""

    table: AttributeTable
    report: ValidationReport
    moved: int  # subjects whose cell was small: an attribute of theirs is `other`
    proof: LogProof
    again: bool  # the same were in force before


class AttributePuts:
    """Public attributes of one house, as a custodian puts them."""

    def __init__(
        self,
        settings: Config,
        held: CustodianKeys,
        trust: TrustDomain,
        link: grpc.Channel,
        maps: Maps,
    ) -> None:
        self._settings = settings
        self._keys = held
        self._domain = trust
        self._deadline_s = settings.limits.deadline_ms / 1000
        self._link = link
        self._maps = maps

    def put(
        self,
        document: PublicAttributes,
        path: Path,
        now_ms: int,
        progress: Progress = silent,
        *,
        column: str = SUBJECT_COLUMN,
        skip_bad_rows: bool = False,
    ) -> AttributesReceipt:
        """Replace the attributes of a subject type by those of a table.

        Raises `RowsRefused` for bad rows, unless they are to be left out, and
        `DocumentInvalid` for a cell that stays small.
        """
        if document.custodian != self._settings.id:
            raise RoleRefused(
                f"attributes `{document.name}` are `{document.custodian}`'s to put"
            )
        slot_map = self._maps.fetch(document.subject_type)
        report, codes = self._read(document, path, slot_map, progress, column)
        if not skip_bad_rows:
            report.require()
        coarse = coarsen(codes, document.others)
        moved = int((coarse != codes).any(axis=0).sum())
        newest = self._newest(document)
        table, data = describe(self._table(document, slot_map, newest, now_ms), coarse)
        check_cells(table, coarse)
        if newest is not None and _same(newest.table, table):
            proof = self._send(newest.signed, b"")
            return AttributesReceipt(newest.table, report, moved, proof, again=True)
        signed = sign(Tag.ATTRIBUTES, table.to_bytes(), self._keys.sign)
        proof = self._send(signed, data)
        return AttributesReceipt(table, report, moved, proof, again=False)

    def _read(
        self,
        document: PublicAttributes,
        path: Path,
        slot_map: SlotMap,
        progress: Progress,
        column: str,
    ) -> tuple[ValidationReport, Codes]:
        rows = len(slot_map.rows)
        place = Place(
            self._keys.pepper,
            slot_map.numbers,
            rows,
            self._maps.slots,
            slot_map.erased,
        )
        report, values = filling.fill(
            document, path, place, column=column, progress=progress
        )
        blocks = [block[:-1] for block in values.blocks()]  # all but `_present`
        return report, np.hstack(blocks)[:, :rows].astype(np.uint8)

    def _table(
        self,
        document: PublicAttributes,
        slot_map: SlotMap,
        newest: ListedAttributes | None,
        now_ms: int,
    ) -> AttributeTable:
        row_map = slot_map.row_map
        return AttributeTable(
            subject_type=document.subject_type.value,
            version=1 if newest is None else newest.table.version + 1,
            rows=row_map.rows,
            directory_version=row_map.version,
            row_map_root=row_map.root,
            attributes=tuple(item.attribute for item in document.columns),
            codes=b"",
            custodian=document.custodian,
            created_ms=now_ms,
        )

    def _newest(self, document: PublicAttributes) -> ListedAttributes | None:
        try:
            return fetch_attributes(
                self._link,
                self._domain,
                document.subject_type.value,
                self._deadline_s,
            )
        except NotFound:
            return None

    def _send(self, signed: Signed, data: bytes) -> LogProof:
        stub = attributes_pb2_grpc.AttributesServiceStub(self._link)
        response = put_attributes(stub, signed, data, self._deadline_s)
        keys = self._domain.live_verifiers(Role.HOUSE, clock.now_ms())
        proof, entry = entry_of(response.logged, keys)
        if (
            entry.kind is not Kind.DATA_ATTRIBUTES
            or bodies.Attributes.parse(entry.body).signed != signed
        ):
            raise ReplyRefused("the receipt is of another entry than the attributes")
        return proof


def _same(one: AttributeTable, other: AttributeTable) -> bool:
    """Tell whether two versions say the same of the same rows."""
    return (one.row_map_root, one.attributes, one.codes, one.custodian) == (
        other.row_map_root,
        other.attributes,
        other.codes,
        other.custodian,
    )
