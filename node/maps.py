"""The map of slots at its holders: fetched, verified, and extended by one of them.

The house keeps the map of a subject type sealed, for the holders of the pepper
(`protocols.rowmap`).  It cannot read it, but it could hand out an old one, and
whoever packs by an old map puts a person into another's slot.  So a map is taken
only if

 1. the custodian in charge signed it, for this subject type and key length;
 2. it is not older than one that was seen here before, nor another one of the
    same version;
 3. its sealed rows are the signed ones, open with our pepper and make its root.

The custodian in charge appends new subjects; nobody moves.  Beside the map the house
names the rows whose subjects were erased since, each with the registrar's signed
erasure: nothing is packed into their slots any more, and the next map has the rows of
nobody in their place.  Whose row an erasure is about only the house knows, and is
believed.
"""

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import grpc

from contracts import bodies
from contracts.errors import ContractError
from contracts.objection import Demand, Objection
from contracts.subject import SubjectType
from node import clock
from node.config import Config
from node.domain import Role, TrustDomain
from node.errors import NodeError, NotFound, ReplyRefused, RoleRefused
from node.filling import Register
from node.keys import CustodianKeys
from node.remote import ask, listen
from node.sent import Sent, SentFolder, entry_of
from node.status import from_wire, to_wire
from node.wire.v1 import directory_pb2, directory_pb2_grpc
from protocols import rowmap
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.errors import ProtocolError, SealBroken
from protocols.note import LogProof
from protocols.rowmap import Row, RowMap
from protocols.sign import Signed, renewed, sign, verify
from protocols.slots import slots_per_block

CHUNK: Final = 1 << 20  # bytes; a multiple of a row
SLOWEST: Final = 1 << 20  # bytes a second of a long transfer
MOST_BYTES: Final = 1 << 28  # of a map


@dataclass(frozen=True, slots=True, repr=False)
class SlotMap:
    """A verified map."""

    signed: Signed
    row_map: RowMap
    rows: Sequence[Row]
    numbers: Mapping[bytes, int]  # subject_ref -> row, without the vacated
    vacated: frozenset[int] = frozenset()  # rows whose subjects were erased since

    @property
    def erased(self) -> frozenset[bytes]:
        """Whose rows were vacated."""
        return frozenset(self.rows[number].subject_ref for number in self.vacated)

    def first(self, count: int) -> "SlotMap":
        """Return the map as it was when it had `count` rows, all but its signature."""
        rows = self.rows[:count]
        root = rowmap.rows_root(rows, self.row_map.slots)
        row_map = replace(self.row_map, rows=len(rows), root=root)
        return SlotMap(self.signed, row_map, rows, numbers_of(rows))


@dataclass(frozen=True, slots=True)
class MapReceipt:
    """A map in force, and what a register added to it."""

    row_map: RowMap
    added: int  # 0: everybody had a slot, and no new version was made
    register: Register
    proof: LogProof | None  # None where another's receipt proves it


class Maps:
    """The maps of one house, as a custodian sees them."""

    def __init__(
        self,
        settings: Config,
        held: CustodianKeys,
        trust: TrustDomain,
        link: grpc.Channel,
    ) -> None:
        self._settings = settings
        self._keys = held
        self._domain = trust
        self._deadline_s = settings.limits.deadline_ms / 1000
        self._stub = directory_pb2_grpc.DirectoryServiceStub(link)
        self._seen = SentFolder(settings.data, "map-seen")
        self._sent = SentFolder(settings.data, "map")
        self._known: dict[SubjectType, SlotMap] = {}

    @property
    def slots(self) -> int:
        """Subjects in a block."""
        return slots_per_block(self._domain.paillier.bits)

    def fetch(self, kind: SubjectType) -> SlotMap:
        """Fetch the newest map; raises `NotFound`, `ReplyRefused`."""
        known = self._known.get(kind)
        request = directory_pb2.GetMapRequest(subject_type=kind.value)
        deadline_s = self._deadline_s + MOST_BYTES / SLOWEST
        pieces = listen(self._stub.GetMap, request, deadline_s)
        try:
            first = next(pieces, None)
            if first is None or first.WhichOneof("piece") != "map":
                raise ReplyRefused("a map without its description")
            signed = from_wire(first.map)
            vacated = self._vacated(kind, first)
            if known is not None and known.signed.payload == signed.payload:
                return replace(
                    known, vacated=vacated, numbers=_living(known.rows, vacated)
                )
            row_map = self._signed_by_custodian(kind, signed)  # 1
            self._refuse_older(row_map, signed)  # 2
            sealed = b"".join(piece.sealed for piece in pieces)
        finally:
            pieces.close()
        rows = self._open(kind, row_map, sealed)  # 3
        if len(numbers_of(rows)) != len(rows):
            raise ReplyRefused(f"the map of `{kind}` gives a subject two slots")
        if any(number >= len(rows) for number in vacated):
            raise ReplyRefused(f"the map of `{kind}` has fewer rows than were vacated")
        self._seen.keep(kind.value, row_map.version, Sent(signed, rows=len(rows)))
        numbers = _living(rows, vacated)
        self._known[kind] = SlotMap(signed, row_map, rows, numbers, vacated)
        return self._known[kind]

    def extend(self, kind: SubjectType, register: Register, now_ms: int) -> MapReceipt:
        """Give a slot to everybody in `register` who has none.

        Raises `RoleRefused` when another custodian is in charge of the map.
        """
        named = self._domain.in_charge(kind)
        if named != self._settings.id:
            raise RoleRefused(
                f"the map of `{kind}` is in the charge of `{named}`",
                "hand it your base register",
            )
        newest = self._newest(kind)
        before = [] if newest is None else list(newest.rows)
        vacated = frozenset[int]() if newest is None else newest.vacated
        for number in vacated:
            before[number] = Row(_draw(), _draw())  # nobody's
        rows = rowmap.extend(before, register.refs, iter(_draw, b""))
        if newest is not None and len(rows) == len(before) and not vacated:
            return MapReceipt(newest.row_map, 0, register, self._receipt(newest))
        sealed = rowmap.seal_rows(self._keys.pepper, kind.value, rows)
        row_map = RowMap(
            subject_type=kind.value,
            version=1 if newest is None else newest.row_map.version + 1,
            rows=len(rows),
            slots=self.slots,
            root=rowmap.rows_root(rows, self.slots),
            sealed=hashlib.sha256(sealed).digest(),
            custodian=self._settings.id,
            created_ms=now_ms,
        )
        signed = sign(Tag.MAP, row_map.to_bytes(), self._keys.sign)
        self._sent.keep(kind.value, row_map.version, Sent(signed, rows=len(rows)))
        proof = self._send(signed, rowmap.to_bytes(rows), sealed)
        return MapReceipt(row_map, len(rows) - len(before), register, proof)

    def erased(self, kind: SubjectType) -> frozenset[bytes]:
        """Say whose rows of the newest map were vacated, if there is one."""
        newest = self._newest(kind)
        return frozenset() if newest is None else newest.erased

    # -- taking a map

    def _vacated(
        self, kind: SubjectType, first: directory_pb2.GetMapResponse
    ) -> frozenset[int]:
        """Take the rows that were vacated, each for an erasure of its own."""
        rows: dict[bytes, int] = {}
        for item in first.vacated:
            signed = from_wire(item.erasure)
            try:
                erasure = Objection.parse(signed.payload)
                registrar = self._domain.party(erasure.registrar, Role.REGISTRAR)
                verify(Tag.OBJECTION, signed, registrar.sign)
            except (ContractError, NodeError, ProtocolError) as error:
                raise ReplyRefused(f"row {item.row} was vacated: {error}") from None
            if (erasure.demand, erasure.subject_type) != (Demand.ERASURE, kind):
                raise ReplyRefused(f"row {item.row} was vacated without an erasure")
            rows[signed.payload] = item.row
        if len(set(rows.values())) != len(first.vacated):
            raise ReplyRefused("several rows were vacated for one erasure")
        return frozenset(rows.values())

    def _signed_by_custodian(self, kind: SubjectType, signed: Signed) -> RowMap:
        try:
            row_map = RowMap.parse(signed.payload)
            custodian = self._domain.party(row_map.custodian, Role.CUSTODIAN)
            verify(Tag.MAP, signed, custodian.sign)
            if custodian.id != self._domain.in_charge(kind):
                raise ReplyRefused(f"the map of `{kind}` is `{custodian.id}`'s")
        except ProtocolError as error:
            raise ReplyRefused(f"the map of `{kind}`: {error}") from None
        if (row_map.subject_type, row_map.slots) != (kind.value, self.slots):
            raise ReplyRefused(f"the map of `{kind}` is for other subjects or slots")
        return row_map

    def _refuse_older(self, row_map: RowMap, signed: Signed) -> None:
        kind, seen = row_map.subject_type, self._seen.newest(row_map.subject_type)
        before = self._seen.find(kind, seen)
        if row_map.version < seen or (
            row_map.version == seen
            and before is not None
            and before.signed.payload != signed.payload
        ):
            raise ReplyRefused(
                f"the house shows version {row_map.version} of the map of `{kind}`,"
                f" and has shown another version {seen}",
                "it was rewound or shows two histories: tell the auditors",
            )

    def _open(self, kind: SubjectType, row_map: RowMap, sealed: bytes) -> list[Row]:
        if hashlib.sha256(sealed).digest() != row_map.sealed:
            raise ReplyRefused(f"the sealed map of `{kind}` is not the one signed")
        try:
            rows = rowmap.unseal_rows(self._keys.pepper, kind.value, sealed)
        except SealBroken:
            raise ReplyRefused(
                f"the map of `{kind}` does not open with our pepper",
                "all custodians of a trust domain hold the same one",
            ) from None
        if len(rows) != row_map.rows or (
            rowmap.rows_root(rows, row_map.slots) != row_map.root
        ):
            raise ReplyRefused(f"the rows of the map of `{kind}` do not make its root")
        return rows

    # -- putting a map

    def _newest(self, kind: SubjectType) -> SlotMap | None:
        try:
            return self.fetch(kind)
        except NotFound:
            if seen := self._seen.newest(kind.value):
                raise ReplyRefused(
                    f"the house shows no map of `{kind}`, and has shown version {seen}",
                    "it was rewound: tell the auditors",
                ) from None
            return None

    def _receipt(self, newest: SlotMap) -> LogProof | None:
        """Find the receipt of the map in force; ask for it if the reply was lost."""
        row_map = newest.row_map
        kept = self._sent.find(row_map.subject_type, row_map.version)
        if kept is None or kept.signed.payload != newest.signed.payload:
            return None
        return LogProof.parse(kept.proof) if kept.proof else self._send(newest.signed)

    def _send(self, signed: Signed, rows: bytes = b"", sealed: bytes = b"") -> LogProof:
        row_map = RowMap.parse(signed.payload)
        deadline_s = self._deadline_s + (len(rows) + len(sealed)) / SLOWEST
        pieces = _pieces(renewed(Tag.MAP, signed, self._keys.sign), rows, sealed)
        response = ask(self._stub.PutMap, pieces, deadline_s)
        keys = self._domain.live_verifiers(Role.HOUSE, clock.now_ms())
        proof, entry = entry_of(response.logged, keys)
        if (
            entry.kind is not Kind.DATA_DIRECTORY
            or bodies.Directory.parse(entry.body).signed.payload != signed.payload
        ):
            raise ReplyRefused("the receipt is of another entry than the map")
        sent = Sent(signed, rows=row_map.rows, proof=proof.to_text())
        self._sent.keep(row_map.subject_type, row_map.version, sent)
        return proof


def numbers_of(rows: Sequence[Row]) -> dict[bytes, int]:
    """Look up rows by subject."""
    return {row.subject_ref: number for number, row in enumerate(rows)}


def _living(rows: Sequence[Row], vacated: frozenset[int]) -> dict[bytes, int]:
    numbers = numbers_of(rows)
    for number in vacated:
        del numbers[rows[number].subject_ref]
    return numbers


def _draw() -> bytes:
    return secrets.token_bytes(rowmap.HASH_BYTES)


def _pieces(
    signed: Signed, rows: bytes, sealed: bytes
) -> Iterator[directory_pb2.PutMapRequest]:
    yield directory_pb2.PutMapRequest(map=to_wire(signed))
    for at in range(0, len(rows), CHUNK):
        part = directory_pb2.MapRows(rows=rows[at : at + CHUNK])
        yield directory_pb2.PutMapRequest(rows=part)
    for at in range(0, len(sealed), CHUNK):
        yield directory_pb2.PutMapRequest(sealed=sealed[at : at + CHUNK])
