"""A custodian's side of repairs 信用修复: whom they are about, and its signed answer.

The house lists the repairs of a dataset with rows of the map; the custodian, which
holds the pepper, finds the same subjects in its own table.  It corrects the table,
pushes it as the next version, and answers; or it answers that the record is right.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc

from contracts import bodies
from contracts.dataset import Dataset
from contracts.errors import ContractError, SubjectInvalid
from contracts.objection import Answer, Demand, Objection, Verdict
from contracts.subject import canonical_id, subject_ref
from node import catalogue, clock
from node.config import Config
from node.domain import Role, TrustDomain
from node.errors import NodeError, NotFound, ReplyRefused
from node.keys import CustodianKeys
from node.maps import Maps
from node.remote import ask
from node.sent import entry_of
from node.status import from_wire, to_wire
from node.tables import Table
from node.wire.v1 import objection_pb2, objection_pb2_grpc
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.errors import ProtocolError
from protocols.sign import sign, verify


@dataclass(frozen=True, slots=True)
class OpenRepair:
    """A repair that stands, and where in the custodian's table its subject is."""

    objection: Objection
    table_row: int  # as a spreadsheet numbers it; 0: in no row
    subject_id: str  # as the table writes it


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that the house has journalled."""

    answer: Answer
    entry: int


class Repairs:
    """A custodian's repairs at one house."""

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
        self._link = link
        self._maps = maps
        self._deadline_s = settings.limits.deadline_ms / 1000
        self._stub = objection_pb2_grpc.ObjectionServiceStub(link)

    def standing(self, dataset: Dataset) -> list[tuple[Objection, bytes]]:
        """List the repairs of a dataset that stand, with their subjects' references.

        Raises `ReplyRefused` for one that no registrar signed.
        """
        request = objection_pb2.ListRepairsRequest(dataset=dataset.name)
        response = ask(self._stub.ListRepairs, request, self._deadline_s)
        rows = self._maps.fetch(dataset.subject_type).rows if response.repairs else ()
        found = []
        for item in response.repairs:
            signed = from_wire(item.objection)
            try:
                objection = Objection.parse(signed.payload)
                registrar = self._domain.party(objection.registrar, Role.REGISTRAR)
                verify(Tag.OBJECTION, signed, registrar.sign)
            except (ContractError, NodeError, ProtocolError) as error:
                raise ReplyRefused(f"a repair of `{dataset.name}`: {error}") from None
            if (objection.demand, objection.dataset) != (Demand.REPAIR, dataset.name):
                raise ReplyRefused(f"not a repair of `{dataset.name}`")
            placed = item.HasField("row") and item.row < len(rows)
            found.append((objection, rows[item.row].subject_ref if placed else b""))
        return found

    def find(self, dataset: Dataset, path: Path, column: str) -> list[OpenRepair]:
        """List the repairs of a dataset that stand, and the rows of a table meant."""
        standing = self.standing(dataset)
        meant = {ref for _, ref in standing if ref}
        where = dict(self._rows(dataset, path, column, meant)) if meant else {}
        return [
            OpenRepair(objection, *where.get(ref, (0, "")))
            for objection, ref in standing
        ]

    def _rows(
        self, dataset: Dataset, path: Path, column: str, meant: set[bytes]
    ) -> Iterator[tuple[bytes, tuple[int, str]]]:
        kind, pepper = dataset.subject_type, self._keys.pepper
        with Table.open(path) as table:
            for batch in table.read([column]):
                for row, text in enumerate(batch.cells[0], batch.first):
                    try:
                        ref = subject_ref(pepper, kind, canonical_id(kind, text or ""))
                    except SubjectInvalid:
                        continue
                    if ref in meant:
                        yield ref, (row, text or "")

    def answer(
        self, dataset: Dataset, repair: str, verdict: Verdict, now_ms: int
    ) -> Answered:
        """Answer a repair, of the newest version that was pushed."""
        listed = catalogue.fetch(self._link, self._domain, self._deadline_s)
        newest = {item.dataset.name: item.manifest for item in listed}
        manifest = newest.get(dataset.name)
        if manifest is None:
            raise NotFound(f"dataset `{dataset.name}` was never pushed")
        answer = Answer(
            repair, dataset.name, verdict, manifest.version, self._settings.id, now_ms
        )
        signed = sign(Tag.OBJECTION_ANSWER, answer.to_bytes(), self._keys.sign)
        request = objection_pb2.AnswerRepairRequest(answer=to_wire(signed))
        response = ask(self._stub.AnswerRepair, request, self._deadline_s)
        keys = self._domain.live_verifiers(Role.HOUSE, clock.now_ms())
        proof, entry = entry_of(response.logged, keys)
        if entry.kind is not Kind.CONSENT_ANSWER:
            raise ReplyRefused("the house proves another entry than the answer")
        logged = Answer.parse(bodies.Answer.parse(entry.body).signed.payload)
        if not logged.says(answer):
            raise ReplyRefused("the house proves another answer")
        return Answered(logged, proof.index)
