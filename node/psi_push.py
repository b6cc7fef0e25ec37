"""Push a list for intersection: hash its subjects, multiply, send, keep the proof.

The scalar is fresh for every version and is nowhere kept here: it goes to the
authority, sealed, and the points to the house.  So nobody here can make the same
version twice: after a lost reply a push once more is another version, whether the first
one landed or not.  Plaintext and references stay in this process.

Of a list that is not public every row names the consent of its subject: the authority
lets an entry take part in a session only while that is in force.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts import psi_bodies
from contracts.dataset import Dataset
from contracts.errors import DocumentInvalid, SubjectInvalid
from contracts.subject import canonical_id, subject_ref
from node import clock, psi_work
from node.config import Config
from node.domain import Role, TrustDomain
from node.errors import NotFound, ReplyRefused, RoleRefused, RowsRefused
from node.filling import SUBJECT_COLUMN, Problem, refuse_rows
from node.keys import CustodianKeys
from node.maps import CHUNK, SLOWEST
from node.progress import Progress, silent
from node.psi_lists import is_public
from node.remote import ask
from node.sent import Sent, SentFolder, entry_of
from node.status import from_wire, to_wire
from node.tables import Table
from node.wire.v1 import psi_pb2, psi_pb2_grpc
from protocols import psi, ristretto
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.note import LogProof
from protocols.psi import MOST_POINTS, Source
from protocols.psi_call import ListManifest, box_digest, consents_root, seal_list
from protocols.ristretto import POINT_BYTES, WIDE_BYTES
from protocols.sign import Signed, sign, verify

KIND: Final = "lists"  # of receipts
MOST_BOX: Final = 3 << 20  # bytes: it travels in one message


@dataclass(frozen=True, slots=True)
class Rows:
    """A table of a list: whose rows, under which consents, and what is wrong."""

    refs: Sequence[bytes]
    consents: Sequence[str]  # one a row, or none at all
    rows: int  # read
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class ListReceipt:
    """A version that is stored, journalled, and proven to be."""

    manifest: ListManifest
    rows: Rows
    proof: LogProof
    path: Path  # where the receipt is kept


class ListPushes:
    """The lists of one house, as a custodian pushes them."""

    def __init__(
        self,
        settings: Config,
        held: CustodianKeys,
        trust: TrustDomain,
        stub: psi_pb2_grpc.PsiServiceStub,
    ) -> None:
        self._settings = settings
        self._keys = held
        self._domain = trust
        self._stub = stub
        self._deadline_s = settings.limits.deadline_ms / 1000
        self._sent = SentFolder(settings.data, KIND)

    def push(  # noqa: PLR0913  what, from where, of when, two choices
        self,
        dataset: Dataset,
        path: Path,
        vintage: str,
        now_ms: int,
        progress: Progress = silent,
        *,
        skip_bad_rows: bool = False,
        column: str = SUBJECT_COLUMN,
        consent_column: str = "",
    ) -> ListReceipt:
        """Store a table as the newest version of a list; `progress` counts points.

        Raises `TableInvalid`, `RowsRefused`, `NodeError`; then nothing was stored,
        unless it is `Unreachable`: then nobody knows, and a push once more is safe.
        """
        self._check(dataset, vintage, consent_column)
        rows = self._read(dataset, path, column, consent_column)
        if not skip_bad_rows:
            refuse_rows(rows.problems, len(rows.problems), rows.rows)
        if not rows.refs:
            raise RowsRefused(f"`{path.name}` names no subject")
        if len(rows.refs) > MOST_POINTS:
            raise RowsRefused(f"expected at most {MOST_POINTS} subjects")
        newest = self.newest(dataset.name)
        version = 1 if newest is None else newest.version + 1
        source = Source(dataset.name, version)
        scalar = ristretto.scalar(secrets.token_bytes(WIDE_BYTES))
        points, consents = _entries(source, rows, scalar, progress)
        markers = psi_work.markers(source, len(rows.refs), scalar, progress)
        markers = ristretto.ascending(markers)
        box = seal_list(self._domain.authority.hpke[0], source, scalar, consents)
        if len(box) > MOST_BOX:
            raise RowsRefused("the list's consent ids do not fit", "shorter ids")
        manifest = ListManifest(
            list=dataset.name,
            version=version,
            schema=dataset.schema_hash,
            custodian=self._settings.id,
            vintage=vintage,
            rows=len(rows.refs),
            entries=psi.root(psi.pieces(points)),
            markers=psi.root(psi.pieces(markers)),
            key=ristretto.base(scalar),
            box=box_digest(box),
            consents=consents_root(consents) if consents else b"",
            created_ms=now_ms,
        )
        signed = sign(Tag.PSI_LIST, manifest.to_bytes(), self._keys.sign)
        proof = self._send(signed, box, points + markers)
        kept = self._sent.keep(
            dataset.name, version, Sent(signed, proof=proof.to_text())
        )
        return ListReceipt(manifest, rows, proof, kept)

    def validate(
        self, dataset: Dataset, path: Path, column: str, consent_column: str
    ) -> Rows:
        """Read a table and say what is wrong with it; send nothing."""
        self._check(dataset, "-", consent_column)
        return self._read(dataset, path, column, consent_column)

    def newest(self, name: str) -> ListManifest | None:
        """Fetch the newest version of a list of ours; None for none."""
        request = psi_pb2.GetListRequest(list=name)
        try:
            response = ask(self._stub.GetList, request, self._deadline_s)
        except NotFound:
            return None
        signed = from_wire(response.manifest)
        verify(Tag.PSI_LIST, signed, self._domain.party(self._settings.id).sign)
        manifest = ListManifest.parse(signed.payload)
        if manifest.list != name:
            raise ReplyRefused("the house shows another list than was asked for")
        return manifest

    def _check(self, dataset: Dataset, vintage: str, consent_column: str) -> None:
        if dataset.custodian != self._settings.id:
            raise RoleRefused(
                f"list `{dataset.name}` is `{dataset.custodian}`'s to push"
            )
        if not vintage.strip() or not vintage.isprintable():
            raise DocumentInvalid("expected a vintage of one line, such as 2026-01")
        if is_public(dataset) is bool(consent_column):
            raise DocumentInvalid(
                f"list `{dataset.name}` is of tier {dataset.tier}: "
                + (
                    "it is public, and needs no consents"
                    if is_public(dataset)
                    else "every row names a consent"
                ),
                "" if is_public(dataset) else "name their column: `--consent-column`",
            )

    def _read(
        self, dataset: Dataset, path: Path, column: str, consent_column: str
    ) -> Rows:
        names = [column, *([consent_column] if consent_column else [])]
        first: dict[bytes, int] = {}
        whose: dict[str, int] = {}
        consents: list[str] = []
        problems: list[Problem] = []
        count = 0
        with Table.open(path) as table:
            for batch in table.read(names):
                for at, text in enumerate(batch.cells[0]):
                    row = batch.first + at
                    count += 1
                    consent = (batch.cells[1][at] or "") if consent_column else ""
                    ref, problem = self._row(dataset, row, column, text, first)
                    if problem is None and consent_column:
                        problem = _consent(row, consent_column, consent, whose)
                    if problem is not None:
                        problems.append(problem)
                        continue
                    first[ref] = row
                    if consent_column:
                        whose[consent] = row
                        consents.append(consent)
        return Rows(list(first), consents, count, tuple(problems))

    def _row(
        self,
        dataset: Dataset,
        row: int,
        column: str,
        text: str | None,
        first: dict[bytes, int],
    ) -> tuple[bytes, Problem | None]:
        try:
            canonical = canonical_id(dataset.subject_type, text or "")
        except SubjectInvalid as error:
            message = str(error).removeprefix(f"`{error.field}`: ")
            return b"", Problem(row, column, message, error.hint, text)
        ref = subject_ref(self._keys.pepper, dataset.subject_type, canonical)
        if ref in first:
            message = f"the subject is already in row {first[ref]}"
            return b"", Problem(row, column, message, "leave one of the rows", text)
        return ref, None

    def _send(self, signed: Signed, box: bytes, points: bytes) -> LogProof:
        def pieces() -> Iterator[psi_pb2.PutListRequest]:
            yield psi_pb2.PutListRequest(manifest=to_wire(signed))
            yield psi_pb2.PutListRequest(box=box)
            for at in range(0, len(points), CHUNK):
                yield psi_pb2.PutListRequest(points=points[at : at + CHUNK])

        deadline_s = self._deadline_s + len(points) / SLOWEST
        response = ask(self._stub.PutList, pieces(), deadline_s)
        keys = self._domain.live_verifiers(Role.HOUSE, clock.now_ms())
        proof, entry = entry_of(response.logged, keys)
        if (
            entry.kind is not Kind.PSI_LIST
            or psi_bodies.List.parse(entry.body).signed != signed
        ):
            raise ReplyRefused("the receipt is of another entry than the list")
        return proof


def _entries(
    source: Source, rows: Rows, scalar: bytes, progress: Progress
) -> tuple[bytes, list[str]]:
    """Return the entries' points in ascending order, their consents in the same."""
    data = psi_work.subjects(source, rows.refs, scalar, progress)
    points = [data[at : at + POINT_BYTES] for at in range(0, len(data), POINT_BYTES)]
    order = sorted(range(len(points)), key=points.__getitem__)
    consents = [rows.consents[number] for number in order] if rows.consents else []
    return b"".join(points[number] for number in order), consents


def _consent(
    row: int, column: str, consent: str, whose: dict[str, int]
) -> Problem | None:
    if not consent or not consent.isprintable():
        return Problem(row, column, "expected a consent id", value=consent)
    if consent in whose:
        message = f"the consent is already in row {whose[consent]}"
        return Problem(row, column, message, value=consent)
    return None
