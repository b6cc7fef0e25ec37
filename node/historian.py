"""A registrar's side of a subject's own history: both journals, side by side.

Free for the subject, and no use of any consent; each node journals that it was read,
and proves it.  A line says when something was asked, by whom, for what, and what that
node decided.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from contracts import bodies
from contracts.subject import SubjectType, canonical_id, subject_ref
from node.connected import BOTH, Connected
from node.domain import Role
from node.errors import ReplyRefused
from node.keys import RegistrarKeys
from node.remote import listen
from node.sent import entry_of
from node.wire.v1 import history_pb2, history_pb2_grpc
from protocols.entry import Kind


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that a journal says about the subject."""

    node: str
    entry: int
    time_ms: int
    kind: str
    party: str
    contract: str
    purpose: str
    consent: str
    decision: str
    reason: str
    call: str


class Historian(Connected[RegistrarKeys]):
    """A registrar's connections to house and authority; context-managed."""

    KEYS = RegistrarKeys
    NODES = BOTH

    def read(self, kind: SubjectType, subject_id: str) -> list[Line]:
        """Read what both journals say about a subject, in the order of time.

        Raises `SubjectInvalid`, `Unreachable`, and `ReplyRefused` where a node does
        not prove that it has journalled the reading.
        """
        ref = subject_ref(self._keys.pepper, kind, canonical_id(kind, subject_id))
        lines = [line for role in BOTH for line in self._read(role, ref)]
        return sorted(lines, key=lambda line: (line.time_ms, line.node, line.entry))

    def _read(self, role: Role, ref: bytes) -> Iterator[Line]:
        stub = history_pb2_grpc.HistoryServiceStub(self._links[role])
        request = history_pb2.ReadHistoryRequest(subject_ref=ref)
        proven = False
        for page in listen(stub.ReadHistory, request, self._deadline_s):
            for item in page.accesses:
                yield Line(
                    role.value,
                    item.entry,
                    item.time_ms,
                    item.kind,
                    item.party,
                    item.contract,
                    item.purpose,
                    item.consent,
                    item.decision,
                    item.reason,
                    item.call,
                )
            if page.HasField("logged"):
                _, entry = entry_of(page.logged, self._verifiers(role))
                read = entry.kind is Kind.LOG_READ and bodies.Read.parse(entry.body)
                proven = bool(read) and entry.actor == self._settings.id
        if not proven:
            raise ReplyRefused(f"the {role} does not prove that the reading is logged")
