"""The service of public attributes: custodians put them, both nodes keep them.

Either takes a table only from the custodian in charge of the map; the house, numbered
by the newest map, and asks the authority first: whoever counts a group and whoever
lists its slots must do so by the same words.
"""

from collections.abc import Callable, Iterator
from typing import Final

from contracts.attributes import MAX_ATTRIBUTES, AttributeTable, Codes
from node import attributes, clock, directory
from node.attributes import Attributes
from node.consultation import proven
from node.domain import Role, TrustDomain
from node.errors import RoleRefused
from node.ledger import Ledger
from node.server import Call, Desk, serves, streams
from node.status import from_wire, to_wire
from node.wire.v1 import attributes_pb2, attributes_pb2_grpc
from protocols.canon import Tag
from protocols.errors import FormatError
from protocols.sign import Signed, verify

CHUNK: Final = 1 << 20
MOST_ROWS: Final = 4_000_000  # of one map

Relay = Callable[[Signed, bytes], None]


class AttributesService(attributes_pb2_grpc.AttributesServiceServicer):
    """Takes attributes and hands them out."""

    def __init__(
        self,
        desk: Desk,
        ledger: Ledger,
        store: Attributes,
        relay: Relay | None = None,
    ) -> None:
        """Serve a node's store; the house also has a `relay`, to the authority."""
        self.desk = desk
        self._ledger = ledger
        self._store = store
        self._relay = relay

    @serves(Role.CUSTODIAN, Role.HOUSE)
    def PutAttributes(  # noqa: N802
        self,
        request_iterator: Iterator[attributes_pb2.PutAttributesRequest],
        call: Call,
    ) -> attributes_pb2.PutAttributesResponse:
        """Take a whole table: its description, then its codes.

        1. The custodian in charge of the map signed it, and to the house sends it.
        2. The codes are the signed ones, and no cell is small.
        3. At the house: its rows are those of the newest map.
        4. The authority has it, then it is kept here.
        """
        piece = next(iter(request_iterator), None)
        if piece is None or piece.WhichOneof("piece") != "table":
            raise FormatError("expected the signed table first")
        signed = from_wire(piece.table)
        table = _signed_table(self.desk.domain, signed)  # 1
        sender = table.custodian if self._relay else self.desk.domain.house.id
        if call.caller.id != sender:
            raise RoleRefused(f"attributes of `{table.custodian}`, not of the caller")
        with self._ledger.reader() as db:
            index = attributes.kept(db, signed)
        if index is None:
            codes = _codes(table, request_iterator)  # 2
            index = self._put(signed, table, codes)
        return attributes_pb2.PutAttributesResponse(logged=proven(self._ledger, index))

    def _put(self, signed: Signed, table: AttributeTable, codes: Codes) -> int:
        if self._relay is not None:
            with self._ledger.reader() as db:
                _, row_map = directory.newest_map(db, table.subject_type)
            numbered = (table.directory_version, table.row_map_root, table.rows)
            if numbered != (row_map.version, row_map.root, row_map.rows):  # 3
                raise FormatError(
                    "the attributes are numbered by another map than the newest one",
                    "fetch the map and put them again",
                )
            self._relay(signed, codes.tobytes())  # 4
        self._store.keep(table, codes)
        return self._ledger.commit(lambda tx: attributes.put(tx, signed)).value

    @serves(*Role)
    def GetAttributes(  # noqa: N802
        self, request: attributes_pb2.GetAttributesRequest, _call: Call
    ) -> attributes_pb2.GetAttributesResponse:
        """Say which attributes there are, and how large their classes are."""
        with self._ledger.reader() as db:
            signed, table = attributes.find(db, request.subject_type)
        return attributes_pb2.GetAttributesResponse(
            table=to_wire(signed), counts=self._store.counts(table)
        )

    @streams(Role.AUDITOR)
    def FetchAttributes(  # noqa: N802
        self, request: attributes_pb2.FetchAttributesRequest, _call: Call
    ) -> Iterator[attributes_pb2.FetchAttributesResponse]:
        """Hand an auditor one version."""
        with self._ledger.reader() as db:
            signed, table = attributes.find(
                db, request.subject_type, request.version or None
            )
        yield attributes_pb2.FetchAttributesResponse(table=to_wire(signed))
        data = self._store.codes(table).tobytes()
        for at in range(0, len(data), CHUNK):
            yield attributes_pb2.FetchAttributesResponse(codes=data[at : at + CHUNK])


def _signed_table(domain: TrustDomain, signed: Signed) -> AttributeTable:
    table = AttributeTable.parse(signed.payload)
    custodian = domain.party(table.custodian, Role.CUSTODIAN)
    verify(Tag.ATTRIBUTES, signed, custodian.signing(clock.now_ms()))
    named = domain.in_charge(table.subject_type)
    if table.custodian != named:
        raise RoleRefused(
            f"the map of `{table.subject_type}` is in the charge of `{named}`, and so"
            " are its attributes"
        )
    if table.rows > MOST_ROWS:
        raise FormatError(f"expected at most {MOST_ROWS} rows")
    return table


def _codes(
    table: AttributeTable, pieces: Iterator[attributes_pb2.PutAttributesRequest]
) -> Codes:
    data = bytearray()
    for piece in pieces:
        if piece.WhichOneof("piece") != "codes":
            raise FormatError("expected codes after the table")
        data += piece.codes
        if len(data) > MAX_ATTRIBUTES * table.rows:
            raise FormatError("more codes than the table says")
    return table.read_codes(bytes(data))
