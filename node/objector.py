"""A registrar's side of objections: signed once, told to both nodes, proven by both.

Whoever was left out of the statistics of one node only would be counted: so the same
command again completes what failed half-way, with the same id.
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from contracts import bodies
from contracts.objection import Objection
from contracts.subject import SubjectType, canonical_id, commitment, subject_ref
from node.connected import Connected
from node.domain import Role
from node.errors import ReplyRefused
from node.keys import RegistrarKeys
from node.remote import ask
from node.sent import entry_of
from node.status import to_wire
from node.wire.v1 import common_pb2, objection_pb2, objection_pb2_grpc
from protocols.canon import Tag, framed
from protocols.entry import Kind
from protocols.sign import sign, verify

ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Objected:
    """An objection that both nodes have, and where in their journals."""

    objection: Objection
    entries: Mapping[str, int]  # node -> index


class Objector(Connected[RegistrarKeys]):
    """A registrar's connections to house and authority; context-managed."""

    KEYS = RegistrarKeys
    NODES = (Role.AUTHORITY, Role.HOUSE)  # told in this order

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
        ref = subject_ref(self._keys.pepper, kind, canonical_id(kind, subject_id))
        name = objection_id or f"o-{secrets.token_hex(ID_BYTES)}"
        salt = self._salt(name, ends=ends)
        objection = Objection(
            name,
            commitment(ref, salt),
            kind,
            not ends,
            self._settings.id,
            now_ms,
        )
        signed = sign(Tag.OBJECTION, objection.to_bytes(), self._keys.sign)
        request = objection_pb2.PutObjectionRequest(
            objection=to_wire(signed),
            opening=common_pb2.SubjectOpening(subject_ref=ref, salt=salt),
        )
        entries = {}
        for role, link in self._links.items():
            stub = objection_pb2_grpc.ObjectionServiceStub(link)
            response = ask(stub.PutObjection, request, self._deadline_s)
            proof, entry = entry_of(response.logged, self._domain.verifiers(role))
            if entry.kind is not Kind.CONSENT_OBJECTION:
                raise ReplyRefused(f"the {role} proves another entry")
            logged = bodies.Objection.parse(entry.body).signed
            verify(Tag.OBJECTION, logged, self._domain.party(self._settings.id).sign)
            if not Objection.parse(logged.payload).says(objection):
                raise ReplyRefused(f"the {role} proves another objection")
            entries[role.value] = proof.index
        return Objected(objection, entries)

    def _salt(self, name: str, *, ends: bool) -> bytes:
        """Derive the salt of a document, so that the same one can be sent again.

        The nodes do not hold the pepper; to them it is random.
        """
        text = framed(Tag.OBJECTION, name.encode(), bytes([ends]))
        return hmac.digest(self._keys.pepper, text, "sha256")
