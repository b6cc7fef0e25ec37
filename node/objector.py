"""A registrar's side of what subjects demand: signed once, told to both nodes, proven.

Whoever was left out of the statistics of one node only would be counted, and whoever
was erased at one only would be known at the other.  So a demand is kept, with the salt
that opens it, before it is sent (`node.consent_store`), and the same command again
completes what failed half-way, with the same bytes.

An erasure is also the registrar's: once both nodes have proven it, the references and
salts that open the subject's documents are overwritten here, that of the erasure too.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace

from contracts import bodies
from contracts.errors import DocumentInvalid
from contracts.objection import Demand, Objection
from contracts.subject import SubjectType, canonical_id, commitment, subject_ref
from node.config import Config
from node.connected import Connected
from node.consent_store import ConsentStore, HeldDemand
from node.domain import Role, TrustDomain
from node.errors import NodeError, ReplyRefused, Unreachable
from node.keys import RegistrarKeys
from node.remote import ask
from node.sent import entry_of
from node.status import to_wire
from node.wire.v1 import common_pb2, objection_pb2, objection_pb2_grpc
from protocols.call import SALT_BYTES, Opening
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.sign import renewed, sign, verify

ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Objected:
    """A demand that both nodes have, and where in their journals."""

    objection: Objection
    entries: Mapping[str, int]  # node -> index


class Objector(Connected[RegistrarKeys]):
    """A registrar's connections to house and authority; context-managed."""

    KEYS = RegistrarKeys
    NODES = (Role.AUTHORITY, Role.HOUSE)  # told in this order, but for erasures

    def __init__(
        self, settings: Config, held: RegistrarKeys, trust: TrustDomain
    ) -> None:
        super().__init__(settings, held, trust)
        self._stubs = {
            role: objection_pb2_grpc.ObjectionServiceStub(link)
            for role, link in self._links.items()
        }
        self._store = ConsentStore(settings.data)

    def close(self) -> None:
        """Close channels and store."""
        super().close()
        self._store.close()

    def object(
        self,
        kind: SubjectType,
        subject_id: str,
        now_ms: int,
        objection_id: str = "",
        *,
        ends: bool = False,
    ) -> Objected:
        """Tell both nodes that a subject objects, or with `ends`, objects no more.

        `objection_id` is drawn unless given; an end names the one it ends.
        """
        name = objection_id or f"o-{secrets.token_hex(ID_BYTES)}"
        said = self._said(name, kind, now_ms)
        return self._tell(replace(said, stands=not ends), self._ref(kind, subject_id))

    def repair(  # noqa: PLR0913  who, what, when, two choices
        self,
        kind: SubjectType,
        subject_id: str,
        dataset: str,
        now_ms: int,
        repair_id: str = "",
        *,
        column: str = "",
        ends: bool = False,
    ) -> Objected:
        """Ask the custodian of a dataset to correct what it says of a subject.

        `ends` takes the request back.  Raises `Refused` where there is no such dataset.
        """
        name = repair_id or f"r-{secrets.token_hex(ID_BYTES)}"
        said = replace(
            self._said(name, kind, now_ms),
            demand=Demand.REPAIR,
            dataset=dataset,
            column=column,
            stands=not ends,
        )
        return self._tell(said, self._ref(kind, subject_id))

    def erase(self, kind: SubjectType, subject_id: str, now_ms: int) -> Objected | None:
        """Have both nodes forget who a subject is; forget it here.

        1. An erasure that failed half-way is taken up, whatever a node says; what came
           in since at the node that had it is erased by another one.
        2. None where neither node keeps anything of the subject: it was erased, or
           never there.
        3. Both nodes prove their `consent.erased`.
        4. What opens the subject's documents is overwritten here.
        """
        ref = self._ref(kind, subject_id)
        begun = [
            held.objection
            for held in self._store.demands(ref)
            if held.objection.demand is Demand.ERASURE
        ]
        if not begun and not self._known(ref):
            self._store.shred(ref)
            return None
        name = f"e-{secrets.token_hex(ID_BYTES)}"
        drawn = replace(self._said(name, kind, now_ms), demand=Demand.ERASURE)
        told = self._tell(begun[0] if begun else drawn, ref)
        if begun and self._known(ref):
            told = self._tell(drawn, ref)
        self._store.shred(ref)
        return told

    def _ref(self, kind: SubjectType, subject_id: str) -> bytes:
        return subject_ref(self._keys.pepper, kind, canonical_id(kind, subject_id))

    def _said(self, name: str, kind: SubjectType, now_ms: int) -> Objection:
        nobody = bytes(SALT_BYTES)
        return Objection(name, nobody, kind, True, self._settings.id, now_ms)  # noqa: FBT003

    def _known(self, ref: bytes) -> bool:
        """Ask both nodes, each of which journals it."""
        return {self._knows(role, ref) for role in self.NODES} != {False}

    def _knows(self, role: Role, ref: bytes) -> bool:
        request = objection_pb2.KnowsSubjectRequest(subject_ref=ref)
        response = ask(self._stubs[role].KnowsSubject, request, self._deadline_s)
        _, entry = entry_of(response.logged, self._verifiers(role))
        if entry.kind is not Kind.LOG_READ or entry.actor != self._settings.id:
            raise ReplyRefused(f"the {role} does not prove that it was asked")
        return bool(response.known)

    def _tell(self, said: Objection, ref: bytes) -> Objected:
        """Sign and keep a demand, or find it as it was kept, and tell both nodes."""
        held = self._store.demand(said.objection_id, stands=said.stands)
        if held is None:
            held = self._sign(said, ref)
            self._store.keep_demand(held)
        elif held.opening.subject_ref != ref or not _alike(held.objection, said):
            raise DocumentInvalid(
                f"objection `{said.objection_id}` is in use for another one"
            )
        entries: dict[str, int] = {}
        # The house alone can tell that an erasure names the wrong type of subject.
        erasure = said.demand is Demand.ERASURE
        for role in reversed(self.NODES) if erasure else self.NODES:
            try:
                entries[role.value] = self._put(role, held)
            except NodeError as error:
                unknown = isinstance(error, Unreachable | ReplyRefused)
                if not entries and not unknown:  # nobody has it: the id is free again
                    name = said.objection_id
                    self._store.drop_demand(name, stands=said.stands)
                raise
        return Objected(held.objection, entries)

    def _sign(self, said: Objection, ref: bytes) -> HeldDemand:
        opening = Opening(ref, secrets.token_bytes(SALT_BYTES))
        objection = replace(said, subject=commitment(ref, opening.salt))
        objection.check()
        signed = sign(Tag.OBJECTION, objection.to_bytes(), self._keys.sign)
        return HeldDemand(objection, signed, opening)

    def _put(self, role: Role, held: HeldDemand) -> int:
        signed = renewed(Tag.OBJECTION, held.signed, self._keys.sign)
        request = objection_pb2.PutObjectionRequest(
            objection=to_wire(signed),
            opening=common_pb2.SubjectOpening(
                subject_ref=held.opening.subject_ref, salt=held.opening.salt
            ),
        )
        response = ask(self._stubs[role].PutObjection, request, self._deadline_s)
        proof, entry = entry_of(response.logged, self._verifiers(role))
        erasure = held.objection.demand is Demand.ERASURE
        expected = Kind.CONSENT_ERASED if erasure else Kind.CONSENT_OBJECTION
        if entry.kind is not expected:
            raise ReplyRefused(f"the {role} proves another entry")
        logged = bodies.Objection.parse(entry.body).signed
        verify(Tag.OBJECTION, logged, self._domain.party(self._settings.id).sign)
        if not Objection.parse(logged.payload).says(held.objection):
            raise ReplyRefused(f"the {role} proves another objection")
        return proof.index


def _alike(held: Objection, said: Objection) -> bool:
    return held.says(replace(said, subject=held.subject))
