"""The house's own services: directory, datasets, contracts, scoring.

What changes the registry goes to the authority first, which verifies it anew;
if the house dies in between, sending it again finds it kept there.
"""

import hashlib
import threading
from collections.abc import Iterator
from typing import Final

import apsw

from contracts.contract import ContractKind
from node import directory, durable, objections
from node.consultation import proven
from node.domain import Role
from node.errors import DocumentConflict, NotFound, RoleRefused
from node.house import House
from node.remote import RemoteAuthority
from node.server import Call, Desk, serves, streams
from node.status import from_wire, to_wire
from node.wire.v1 import (
    contract_pb2,
    contract_pb2_grpc,
    dataset_pb2,
    dataset_pb2_grpc,
    directory_pb2,
    directory_pb2_grpc,
    registry_pb2,
    scoring_pb2,
    scoring_pb2_grpc,
)
from protocols import rowmap, tlog
from protocols.blocks import Manifest
from protocols.call import Opening
from protocols.canon import Tag
from protocols.errors import FormatError
from protocols.rowmap import RowMap
from protocols.sharing import HouseShare, Private
from protocols.sign import Signed, verify
from protocols.slots import slots_per_block

CHUNK: Final = 1 << 20
MOST_ROWS: Final = 4_000_000  # of one map
MOST_RESULTS: Final = 1_000  # of one CommitResults
HEADER_ROOM: Final = 8192  # bytes of a block file beside its records


class DirectoryService(directory_pb2_grpc.DirectoryServiceServicer):
    """Keeps the map of slots."""

    def __init__(self, desk: Desk, house: House, pseudonym_key: bytes) -> None:
        self.desk = desk
        self._house = house
        self._key = pseudonym_key
        self._putting = threading.Lock()

    @serves(Role.CUSTODIAN)
    def PutMap(  # noqa: N802
        self, request_iterator: Iterator[directory_pb2.PutMapRequest], call: Call
    ) -> directory_pb2.PutMapResponse:
        """Take a whole map: its description, its rows, its sealed copy."""
        signed = _first(request_iterator, "map")
        verify(Tag.MAP, signed, call.caller.sign)
        row_map = RowMap.parse(signed.payload)
        if row_map.custodian != call.caller.id:
            raise RoleRefused(f"a map of `{row_map.custodian}`, not of the caller")
        named = self._house.domain.in_charge(row_map.subject_type)
        if named != call.caller.id:
            raise RoleRefused(
                f"the map of `{row_map.subject_type}` is in the charge of `{named}`"
            )
        if row_map.slots != slots_per_block(self._house.domain.paillier.bits):
            raise FormatError("the map has another number of slots in a block")
        if row_map.rows > MOST_ROWS:
            raise FormatError(f"expected at most {MOST_ROWS} rows")
        with self._house.ledger.reader() as db:
            index = directory.kept(db, signed)
        if index is None:
            index = self._put(row_map, signed, request_iterator)
        return directory_pb2.PutMapResponse(logged=proven(self._house.ledger, index))

    def _put(
        self,
        row_map: RowMap,
        signed: Signed,
        pieces: Iterator[directory_pb2.PutMapRequest],
    ) -> int:
        rows, sealed = bytearray(), bytearray()
        for piece in pieces:
            kind = piece.WhichOneof("piece")
            if kind == "rows":
                rows += piece.rows.rows
            elif kind == "sealed":
                sealed += piece.sealed
            else:
                raise FormatError("expected rows or sealed bytes")
            if max(len(rows), len(sealed)) > (row_map.rows + 2) * rowmap.ROW_BYTES:
                raise FormatError("more rows than the map says")
        if hashlib.sha256(sealed).digest() != row_map.sealed:
            raise FormatError("the sealed map is not the one that was signed")
        parsed = rowmap.from_bytes(bytes(rows))
        leaves = directory.check_rows(row_map, parsed)
        handles = directory.handles(self._key, parsed)
        kept = list(zip(handles, leaves, strict=True))
        with self._putting:
            vault = self._house.vault
            path = directory.sealed_path(vault.folder, row_map)
            with vault.naming(path.name):
                durable.replace(path, bytes(sealed))
                committed = self._house.ledger.commit(
                    lambda tx: directory.put(tx, signed, kept)
                )
            with self._house.ledger.reader() as db:
                vault.discard(directory.outdated(db))
        return committed.value

    @streams(Role.CUSTODIAN, Role.AUDITOR)
    def GetMap(  # noqa: N802
        self, request: directory_pb2.GetMapRequest, _call: Call
    ) -> Iterator[directory_pb2.GetMapResponse]:
        """Hand out the newest sealed map, and which of its rows were vacated since."""
        with self._putting, self._house.ledger.reader() as db:  # else it may be removed
            signed, row_map = directory.newest_map(db, request.subject_type)
            vacated = [
                directory_pb2.Vacated(
                    row=row, erasure=to_wire(objections.get(db, name))
                )
                for row, name in directory.unreplaced(db, request.subject_type).items()
            ]
            file = directory.sealed_path(self._house.vault.folder, row_map).open("rb")
        with file:
            yield directory_pb2.GetMapResponse(map=to_wire(signed), vacated=vacated)
            while chunk := file.read(CHUNK):
                yield directory_pb2.GetMapResponse(sealed=chunk)


class DatasetService(dataset_pb2_grpc.DatasetServiceServicer):
    """Takes datasets from custodians."""

    def __init__(self, desk: Desk, house: House, authority: RemoteAuthority) -> None:
        self.desk = desk
        self._house = house
        self._authority = authority
        self._building = threading.Lock()
        self._row_root = b""
        self._row_leaves: list[bytes] = []
        self._rows = tlog.Tree()

    @serves(Role.CUSTODIAN)
    def RegisterDataset(  # noqa: N802
        self, request: dataset_pb2.RegisterDatasetRequest, _call: Call
    ) -> dataset_pb2.RegisterDatasetResponse:
        """Register a schema at the authority and here."""
        self._authority.put(registry_pb2.PutRequest(registration=request.registration))
        signed = from_wire(request.registration)
        house = self._house
        dataset = house.ledger.commit(lambda tx: house.registry.register(tx, signed))
        return dataset_pb2.RegisterDatasetResponse(
            schema_hash=dataset.value.schema_hash
        )

    @serves(Role.CUSTODIAN)
    def Push(  # noqa: N802
        self, request_iterator: Iterator[dataset_pb2.PushRequest], call: Call
    ) -> dataset_pb2.PushResponse:
        """Store a new version of a dataset.

        Of a push that is kept already only the manifest is looked at: a
        custodian who got no answer asks for its receipt so.
        """
        house = self._house
        signed = _first(request_iterator, "manifest")
        with house.ledger.reader() as db:
            manifest = house.registry.check_manifest(db, signed)
            if manifest.custodian != call.caller.id:
                raise RoleRefused(f"a push of `{manifest.custodian}`")
            index = house.registry.pushed(db, signed)
            if index is None:  # before any block is taken
                house.registry.check_version(db, manifest)
        if index is None:
            self._check_map(manifest)
            record = house.domain.paillier.ciphertext_bytes
            most = manifest.blocks * manifest.columns * record + HEADER_ROOM
            with house.vault.naming(house.vault.path(manifest.ciphertext_root).name):
                house.vault.receive(
                    manifest, house.domain.paillier, _chunks(request_iterator), most
                )
                committed = house.ledger.commit(
                    lambda tx: house.registry.push(tx, signed)
                )
            index = committed.value
        return dataset_pb2.PushResponse(logged=proven(house.ledger, index))

    def _check_map(self, manifest: Manifest) -> None:
        with self._house.ledger.reader() as db:
            found = self._house.registry.dataset(db, manifest.dataset)
            if found is None:
                raise NotFound(f"dataset `{manifest.dataset}` is not registered")
            _, row_map = directory.newest_map(db, found[1].subject_type)
        if (manifest.row_map_root, manifest.directory_version, manifest.blocks) != (
            row_map.root,
            row_map.version,
            row_map.blocks,
        ):
            raise FormatError(
                "the push was packed by another map than the newest one",
                "fetch the map and push again",
            )

    @serves(*Role)
    def ListDatasets(  # noqa: N802
        self, _request: dataset_pb2.ListDatasetsRequest, _call: Call
    ) -> dataset_pb2.ListDatasetsResponse:
        """List datasets and their newest versions."""
        house, items = self._house, []
        with house.ledger.reader() as db:
            for signed, dataset in house.registry.datasets(db):
                manifest = house.registry.signed_manifest(db, dataset.name)
                items.append(
                    dataset_pb2.DatasetItem(
                        registration=to_wire(signed),
                        manifest=None if manifest is None else to_wire(manifest),
                    )
                )
        return dataset_pb2.ListDatasetsResponse(datasets=items)

    @serves(Role.AUDITOR)
    def FetchBlock(  # noqa: N802
        self, request: dataset_pb2.FetchBlockRequest, _call: Call
    ) -> dataset_pb2.FetchBlockResponse:
        """Hand an auditor one block, with its proof and the block's row leaves."""
        house = self._house
        with house.ledger.reader() as db:
            signed = house.registry.signed_manifest(
                db, request.dataset, request.version
            )
            found = house.registry.dataset(db, request.dataset)
            if signed is None or found is None:
                raise NotFound("no such version")
            manifest = Manifest.parse(signed.payload)
            leaves, rows = self._row_tree(db, manifest, found[1].subject_type)
        if request.block >= manifest.blocks:
            raise NotFound(f"no block {request.block} in that version")
        blocks = house.vault.open(manifest.ciphertext_root)
        number = request.block * slots_per_block(house.domain.paillier.bits)
        number += request.slot
        if number >= rows.size:
            raise NotFound("nobody has that slot")
        tree = tlog.Tree(blocks.leaves)
        return dataset_pb2.FetchBlockResponse(
            ciphertexts=blocks.records(request.block),
            manifest=to_wire(signed),
            inclusion=tree.inclusion(request.block, tree.size),
            row_leaf=leaves[number],
            row_inclusion=rows.inclusion(number, rows.size),
        )

    def _row_tree(
        self, db: apsw.Connection, manifest: Manifest, subject_type: str
    ) -> tuple[list[bytes], tlog.Tree]:
        """Build the tree of the map that a version was packed by; keep the last."""
        with self._building:
            if self._row_root != manifest.row_map_root:
                version = manifest.directory_version
                rows = directory.rows_of(db, subject_type, version)
                self._row_leaves = list(
                    directory.row_leaves(db, subject_type, rows, version)
                )
                self._rows = tlog.Tree(map(tlog.leaf_hash, self._row_leaves))
                self._row_root = manifest.row_map_root
            return self._row_leaves, self._rows


class ContractService(contract_pb2_grpc.ContractServiceServicer):
    """Keeps the registry of contracts, here and at the authority."""

    def __init__(self, desk: Desk, house: House, authority: RemoteAuthority) -> None:
        self.desk = desk
        self._house = house
        self._authority = authority

    @serves(Role.BANK, Role.CUSTODIAN)
    def SubmitContract(  # noqa: N802
        self, request: contract_pb2.SubmitContractRequest, _call: Call
    ) -> contract_pb2.SubmitContractResponse:
        """Submit a contract."""
        self._authority.put(registry_pb2.PutRequest(submission=request.submission))
        signed, registry = from_wire(request.submission), self._house.registry
        record = self._house.ledger.commit(lambda tx: registry.submit(tx, signed))
        return contract_pb2.SubmitContractResponse(contract=record.value.compiled.hash)

    @serves(Role.CUSTODIAN)
    def ApproveContract(  # noqa: N802
        self, request: contract_pb2.ApproveContractRequest, _call: Call
    ) -> contract_pb2.ApproveContractResponse:
        """Record a custodian's approval."""
        self._authority.put(registry_pb2.PutRequest(approval=request.approval))
        signed, registry = from_wire(request.approval), self._house.registry
        record = self._house.ledger.commit(lambda tx: registry.approve(tx, signed))
        return contract_pb2.ApproveContractResponse(missing=record.value.missing)

    @serves(Role.BANK, Role.CUSTODIAN)
    def ActivateContract(  # noqa: N802
        self, request: contract_pb2.ActivateContractRequest, _call: Call
    ) -> contract_pb2.ActivateContractResponse:
        """Put a contract in force."""
        self._authority.put(registry_pb2.PutRequest(activation=request.activation))
        signed, registry = from_wire(request.activation), self._house.registry
        self._house.ledger.commit(lambda tx: registry.activate(tx, signed))
        return contract_pb2.ActivateContractResponse()

    @serves(Role.BANK, Role.CUSTODIAN)
    def RetireContract(  # noqa: N802
        self, request: contract_pb2.RetireContractRequest, _call: Call
    ) -> contract_pb2.RetireContractResponse:
        """Take a contract out of force: here first, so that no call starts."""
        signed, registry = from_wire(request.retirement), self._house.registry
        self._house.ledger.commit(lambda tx: registry.retire(tx, signed))
        self._authority.put(registry_pb2.PutRequest(retirement=request.retirement))
        return contract_pb2.RetireContractResponse()

    @serves(*Role)
    def GetContract(  # noqa: N802
        self, request: contract_pb2.GetContractRequest, _call: Call
    ) -> contract_pb2.GetContractResponse:
        """Hand out one contract."""
        registry = self._house.registry
        with self._house.ledger.reader() as db:
            if request.WhichOneof("which") == "contract":
                record = registry.need(db, request.contract)
            else:
                record = registry.newest(db, request.id)
        return contract_pb2.GetContractResponse(
            compiled=record.compiled.to_bytes(),
            status=record.stage.value,
            submission=to_wire(record.submission),
            approvals=[to_wire(approval) for approval in record.approvals],
            missing=record.missing,
        )

    @serves(*Role)
    def ListContracts(  # noqa: N802
        self, _request: contract_pb2.ListContractsRequest, _call: Call
    ) -> contract_pb2.ListContractsResponse:
        """List contracts."""
        with self._house.ledger.reader() as db:
            records = self._house.registry.records(db)
        return contract_pb2.ListContractsResponse(
            contracts=[
                contract_pb2.ContractItem(
                    contract=record.compiled.hash,
                    id=record.compiled.id,
                    version=record.compiled.version,
                    status=record.stage.value,
                )
                for record in records
            ]
        )


class ScoringService(scoring_pb2_grpc.ScoringServiceServicer):
    """Answers banks."""

    def __init__(self, desk: Desk, house: House) -> None:
        self.desk = desk
        self._house = house

    @serves(Role.BANK)
    def Score(  # noqa: N802
        self, request: scoring_pb2.ScoreRequest, call: Call
    ) -> scoring_pb2.ScoreResponse:
        """Run a contract for one subject."""
        opening = Opening(request.opening.subject_ref, request.opening.salt)
        return self._house.score(call, from_wire(request.request), opening)

    @serves(Role.BANK)
    def Joint(  # noqa: N802
        self, request: scoring_pb2.JointRequest, call: Call
    ) -> scoring_pb2.JointResponse:
        """Run a contract for one subject and a number of the bank's."""
        opening = Opening(request.opening.subject_ref, request.opening.salt)
        private = Private(HouseShare.parse(request.share), request.sealed_share)
        signed = from_wire(request.request)
        answer = self._house.answer(call, ContractKind.JOINT, signed, opening, private)
        return scoring_pb2.JointResponse(answer=answer)

    @serves(Role.BANK)
    def CommitResult(  # noqa: N802
        self, request: scoring_pb2.CommitResultRequest, call: Call
    ) -> scoring_pb2.CommitResultResponse:
        """Keep a bank's commitment to what it read."""
        if self._house.commit_results(call.caller, [from_wire(request.result)]):
            raise DocumentConflict(
                "no such answer was released to this bank, or another commitment to"
                " it was made before"
            )
        return scoring_pb2.CommitResultResponse()

    @serves(Role.BANK)
    def CommitResults(  # noqa: N802
        self, request: scoring_pb2.CommitResultsRequest, call: Call
    ) -> scoring_pb2.CommitResultsResponse:
        """Keep a bank's commitments to what it read."""
        if len(request.results) > MOST_RESULTS:
            raise FormatError(f"expected at most {MOST_RESULTS} commitments")
        results = [from_wire(result) for result in request.results]
        refused = self._house.commit_results(call.caller, results)
        return scoring_pb2.CommitResultsResponse(refused=refused)


def _first(
    stream: Iterator[directory_pb2.PutMapRequest] | Iterator[dataset_pb2.PushRequest],
    name: str,
) -> Signed:
    """Take the signed description that a stream begins with."""
    piece = next(iter(stream), None)
    if piece is None or piece.WhichOneof("piece") != name:
        raise FormatError(f"expected the signed {name} first")
    return from_wire(getattr(piece, name))


def _chunks(stream: Iterator[dataset_pb2.PushRequest]) -> Iterator[bytes]:
    for piece in stream:
        if piece.WhichOneof("piece") != "chunk":
            raise FormatError("expected the block file after the manifest")
        yield piece.chunk
