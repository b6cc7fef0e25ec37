r"""An auditor's connection to the nodes: take journals home, open seeds.

>>> from node.auditor import Auditor                                # doctest: +SKIP
>>> with Auditor.open("auditor-a/safehouse.toml") as auditor:       # doctest: +SKIP
...     auditor.export(Path("audit-2026-01"))

*Exports* are for whoever verifies off-line (`node.verify`).  A later export goes
on where an earlier one ended, after the journal has proven that it still begins
with it; one that has not is a fork, and both notes are the evidence.

*Seeds*: of every call's seed the house keeps two shares, each sealed to one
auditor.  One share is 32 uniform bytes that say nothing; two give the seed, which
opens the mask of that call, so each opens its own and hands it to the other
(`node.shares`) for a call that both mean to replay.

*Blocks* of ciphertexts come with proofs that they are what the custodian signed;
they are checked where they are used (`contracts.transcript`).
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts.aggregate_transcript import AggregateCase
from contracts.cells import Cells
from contracts.job_transcript import JobCase
from contracts.private_transcript import PrivateCase
from contracts.psi_transcript import PsiCase
from contracts.transcript import Block, Case, Share
from node import clock, domain, durable
from node.config import Config
from node.connected import BOTH, Connected
from node.domain import Role, TrustDomain
from node.errors import ConfigInvalid, ExportInvalid, ForkFound, NotFound, ReplyRefused
from node.evidence import COSIGNED
from node.export import Export, Source, read_export, write_export
from node.keys import AuditorKeys, unsealed
from node.progress import Progress, silent
from node.remote import ask, listen
from node.status import from_wire, to_wire
from node.verify import DOMAIN_FILE, JOURNALS
from node.wire.v1 import (
    attributes_pb2,
    attributes_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    dataset_pb2,
    dataset_pb2_grpc,
    journal_pb2,
    journal_pb2_grpc,
    psi_pb2,
    psi_pb2_grpc,
)
from protocols import hpke
from protocols.errors import ProofInvalid, ProtocolError, SealBroken
from protocols.job import Basis
from protocols.note import Checkpoint, VerifierKey
from protocols.sign import Signed
from protocols.tlog import Frontier, leaf_hash, verify_consistency

PAGE: Final = 1 << 16  # entries asked for at once
TOLD_EVERY: Final = 1_000  # entries


@dataclass(frozen=True, slots=True)
class Exported:
    """How far each journal was taken, and how far it was there before."""

    before: dict[Role, int]
    heads: dict[Role, Checkpoint]


@dataclass(frozen=True, slots=True)
class _Head:
    """A journal's newest checkpoint, and which of its keys signed it."""

    note: str
    checkpoint: Checkpoint
    vkey: VerifierKey
    cosigned: str  # the newest one with witnesses' lines, or ""


class Auditor(Connected[AuditorKeys]):
    """An auditor's connection to house and authority; context-managed."""

    KEYS = AuditorKeys
    NODES = BOTH

    def __init__(self, settings: Config, held: AuditorKeys, trust: TrustDomain) -> None:
        super().__init__(settings, held, trust)
        self._journals = {
            role: journal_pb2_grpc.JournalServiceStub(link)
            for role, link in self._links.items()
        }
        house = self._links[Role.HOUSE]
        self._datasets = dataset_pb2_grpc.DatasetServiceStub(house)
        self._attributes = attributes_pb2_grpc.AttributesServiceStub(house)
        self._psi = psi_pb2_grpc.PsiServiceStub(house)
        self._audits = audit_pb2_grpc.AuditServiceStub(house)

    # -- journals

    def export(self, directory: Path, progress: Progress = silent) -> Exported:
        """Take both journals home, or bring an earlier export up to date.

        1. The trust-domain file, as it is pinned here.
        2. The newest checkpoints: the house's first, so that whatever it tells
           is already in the authority's (`contracts.cross_check`).
        3. Both journals still begin with what was exported before.
        4. The authority's entries, then the house's: interrupted in between,
           the authority's is the newer one again.

        Raises `ForkFound` with both notes, `ExportInvalid` for a journal that
        is shorter than before, or a folder that was edited, and `Unreachable`;
        the earlier export stays as it is, and can be gone on with.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._write_domain(directory)  # 1
        heads = {role: self._head(role) for role in JOURNALS}  # 2
        before = {
            role: self._check_grown(directory / role.value, role, heads[role])
            for role in JOURNALS
        }  # 3
        meter = _Meter(progress, sum(head.checkpoint.size for head in heads.values()))
        for role in reversed(JOURNALS):  # 4
            source = self._source(role, heads[role], meter)
            write_export(directory / role.value, source)
            meter.finish(heads[role].checkpoint.size)
            if cosigned := heads[role].cosigned:
                durable.replace(directory / role.value / COSIGNED, cosigned.encode())
        return Exported(before, {role: head.checkpoint for role, head in heads.items()})

    def _write_domain(self, directory: Path) -> None:
        path = self._settings.domain
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ConfigInvalid(f"cannot read `{path}`: {error.strerror}") from None
        pinned = domain.signed_by(data, self._settings.root_key)
        if pinned != self._domain.to_bytes():
            raise ConfigInvalid(f"`{path}` has changed since it was opened")
        durable.replace(directory / DOMAIN_FILE, data)

    def _head(self, role: Role) -> _Head:
        request = journal_pb2.GetCheckpointRequest()
        response = ask(self._journals[role].GetCheckpoint, request, self._deadline_s)
        for vkey in self._domain.live_verifiers(role, clock.now_ms()):
            try:
                checkpoint = Checkpoint.open(response.note, [vkey])
            except ProtocolError:
                continue
            return _Head(response.note, checkpoint, vkey, response.cosigned)
        raise ReplyRefused(f"the {role}'s checkpoint is not signed by a pinned key")

    def _check_grown(self, folder: Path, role: Role, head: _Head) -> int:
        """Return the size of an earlier export that the journal begins with."""
        if not (folder / "checkpoint").exists():
            return 0
        earlier = read_export(folder, self._domain.verifiers(role))
        old, new = earlier.checkpoint, head.checkpoint
        if old.size == 0:
            return 0
        if new.size < old.size:
            self._refuse_shorter(earlier, role, head)
        request = journal_pb2.ProveConsistencyRequest(
            old_size=old.size, new_size=new.size
        )
        journal = self._journals[role]
        proof = ask(journal.ProveConsistency, request, self._deadline_s)
        try:
            verify_consistency(old.size, new.size, proof.hashes, old.root, new.root)
        except ProofInvalid:
            raise ForkFound(
                f"the {role}'s journal of {new.size} entries does not begin with the"
                f" {old.size} that were exported from it",
                (earlier.note, head.note),
            ) from None
        return old.size

    def _refuse_shorter(self, earlier: Export, role: Role, head: _Head) -> None:
        """Tell a journal that was cut from one that was rewritten."""
        tree = Frontier()
        sizes = f"{head.checkpoint.size} entries, {earlier.checkpoint.size} before"
        for entry in earlier.entries():
            if tree.size < head.checkpoint.size:
                tree.append(leaf_hash(entry))
        if tree.root() != head.checkpoint.root:
            raise ForkFound(
                f"the {role}'s journal was rewritten, and has {sizes}",
                (earlier.note, head.note),
            )
        raise ExportInvalid(
            f"the {role}'s journal was cut: {sizes}",
            "keep this export: its checkpoint proves what is missing",
            head.checkpoint.size,
        )

    def _source(self, role: Role, head: _Head, meter: "_Meter") -> Source:
        def notes(since: int) -> Iterator[str]:
            request = journal_pb2.ReadCheckpointsRequest(
                after_size=max(since, 0), up_to_size=head.checkpoint.size
            )
            journal = self._journals[role]
            for page in listen(journal.ReadCheckpoints, request, self._deadline_s):
                yield from page.notes

        def entries(start: int, stop: int) -> Iterator[bytes]:
            for first in range(start, stop, PAGE):
                request = journal_pb2.ReadEntriesRequest(
                    start=first, stop=min(first + PAGE, stop)
                )
                journal = self._journals[role]
                for page in listen(journal.ReadEntries, request, self._deadline_s):
                    for entry in page.entries:
                        meter.count()
                        yield entry

        keys = self._domain.verifiers(role)
        return Source(head.vkey, head.note, notes, entries, earlier=keys)

    # -- functional replay (`node.functional`)

    @property
    def domain(self) -> TrustDomain:
        """What this auditor pins."""
        return self._domain

    @property
    def keys(self) -> AuditorKeys:
        """What opens what is sealed to this auditor."""
        return self._keys

    def compute_again(
        self, request: Signed, second: Signed
    ) -> audit_pb2.ComputeAgainResponse:
        """Have a call computed again; nothing of the reply is checked."""
        message = audit_pb2.ComputeAgainRequest(
            request=to_wire(request), second=to_wire(second)
        )
        response: audit_pb2.ComputeAgainResponse = ask(
            self._audits.ComputeAgain, message, self._deadline_s
        )
        return response

    # -- seeds and blocks

    def seed_share(
        self, case: Case | AggregateCase | JobCase | PrivateCase | PsiCase
    ) -> Share:
        """Open this auditor's share of a call's seed, or of a job's.

        Raises `NotFound` for a call whose shares the house has not, and
        `ReplyRefused` for a share that was made for another seed: either is a
        finding against the house.
        """
        request = journal_pb2.GetSeedShareRequest(call=case.call)
        journal = self._journals[Role.HOUSE]
        response = ask(journal.GetSeedShare, request, self._deadline_s)
        try:
            share = unsealed(
                self._keys,
                lambda key: hpke.unseal(key, case.ticket.seed, response.box),
            )
        except SealBroken:
            raise ReplyRefused(
                f"the share of call {case.call.hex()} does not open under the seed"
                " commitment of its ticket",
                "the house cannot show how it computed this call: report it",
            ) from None
        return Share(self._settings.id, case.call, share)

    def session_points(self, case: PsiCase, *, evaluated: bool) -> bytes | None:
        """Fetch the list of a session, or the authority's points; None if not kept.

        Nothing is checked.
        """
        name = case.call if evaluated else case.ticket.list
        request = psi_pb2.FetchPointsRequest(session=name, evaluated=evaluated)
        with suppress(NotFound):
            pieces = listen(self._psi.FetchPoints, request, self._deadline_s)
            return b"".join(piece.points for piece in pieces)
        return None

    def attributes(self, case: AggregateCase) -> bytes:
        """Fetch the codes of a statistic's attributes; nothing is checked."""
        kind = "" if case.aggregate is None else case.aggregate.subject_type
        request = attributes_pb2.FetchAttributesRequest(
            subject_type=kind, version=case.ticket.snapshot.attributes_version
        )
        pieces = listen(self._attributes.FetchAttributes, request, self._deadline_s)
        return b"".join(piece.codes for piece in pieces)

    def block(self, case: AggregateCase, number: int) -> Block | None:
        """Fetch one block of a statistic's snapshot; None where there is none."""
        snapshot = case.ticket.snapshot
        with suppress(NotFound):
            return self._fetch(snapshot.dataset, snapshot.version, number, 0)
        return None

    def job_block(self, basis: Basis, block: int, slot: int) -> Block | None:
        """Fetch one block that a message rests on; None where there is none."""
        with suppress(NotFound):
            return self._fetch(basis.dataset, basis.version, block, slot)
        return None

    def cell_blocks(self, cells: Cells) -> dict[int, Block]:
        """Fetch the blocks of sampled ciphertexts; nothing is checked."""
        found = {}
        for number in dict.fromkeys(block for block, _ in cells.cells):
            with suppress(NotFound):
                found[number] = self._fetch(cells.dataset, cells.version, number, 0)
        return found

    def blocks(self, case: Case) -> dict[str, Block]:
        """Fetch the blocks that a call read, by dataset; nothing is checked.

        What the house has not is left out, which a replay will tell.
        """
        found = {}
        for item in case.ticket.inputs:
            if item.version:
                with suppress(NotFound):
                    found[item.dataset] = self._block(item.dataset, item.version, case)
        return found

    def _block(self, dataset: str, version: int, case: Case) -> Block:
        return self._fetch(dataset, version, case.ticket.block, case.ticket.slot)

    def _fetch(self, dataset: str, version: int, block: int, slot: int) -> Block:
        request = dataset_pb2.FetchBlockRequest(
            dataset=dataset, version=version, block=block, slot=slot
        )
        response = ask(self._datasets.FetchBlock, request, self._deadline_s)
        return Block(
            response.ciphertexts,
            from_wire(response.manifest),
            tuple(response.inclusion),
            response.row_leaf,
            tuple(response.row_inclusion),
        )


class _Meter:
    """Counts entries of two journals as they come."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._base = self._done = 0

    def count(self) -> None:
        """Count an entry."""
        self._done += 1
        if self._done % TOLD_EVERY == 0:
            self._progress(self._done, self._total)

    def finish(self, size: int) -> None:
        """Count a journal of `size` entries, whatever was there before."""
        self._base += size
        self._done = self._base
        self._progress(self._done, self._total)
