"""The SDK of a bank for jobs: one question about a whole list.

>>> from node.job_client import JobClient                          # doctest: +SKIP
>>> with JobClient.open("bank-jnrcb/safehouse.toml") as jobs:       # doctest: +SKIP
...     job = jobs.submit_file("german-card", Path("people.csv"))
...     for progress in jobs.watch(job):
...         print(progress.released, progress.entries)
...     jobs.fetch(job)
...     jobs.results(job).write(Path("outcomes.parquet"))

A job is on the bank's disk before it is sent, and every release of it is checked
(`node.job_reading`) and on the disk before the next one is asked for: whoever is
killed when, `send` and `fetch` go on where they were, and nothing is spent twice.
The bank commits to what each answer says, whatever it says.
"""

import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from contracts import kinds
from contracts.compiled import Compiled
from contracts.contract import ContractKind
from contracts.errors import SubjectInvalid
from contracts.subject import SubjectType, canonical_id, subject_ref
from node import clock
from node.config import Config
from node.connected import Connected
from node.domain import Role, TrustDomain
from node.errors import (
    BUSY,
    Denied,
    NotFound,
    Refused,
    ReplyRefused,
    RowsRefused,
    Unreachable,
)
from node.filling import SUBJECT_COLUMN, Problem, refuse_rows
from node.job_list import Entries
from node.job_reading import WITHDRAWN, Read, Reader
from node.job_records import JobRecords, Listed
from node.job_results import JobResults
from node.job_store import State
from node.keys import BankKeys, unsealed
from node.progress import Progress as Report
from node.progress import silent
from node.remote import ask, listen
from node.sent import entry_of
from node.status import to_wire
from node.tables import Table
from node.wire.v1 import (
    contract_pb2,
    contract_pb2_grpc,
    job_pb2,
    job_pb2_grpc,
)
from protocols import hpke
from protocols.call import JTI_BYTES, SALT_BYTES, Denial
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.errors import ProtocolError
from protocols.job import FAIL, Job, JobCancel, JobResult, job_hash, result_root
from protocols.sign import Signed, renewed, sign, verify
from protocols.tlog import root_of
from protocols.where import Where, canonical

Filter: TypeAlias = Mapping[str, Iterable[str]]  # classes by public attribute

RECORDS: Final = "jobs.db"
CONSENT_COLUMN: Final = "consent_id"
COLUMNS: Final = SUBJECT_COLUMN, CONSENT_COLUMN
PIECE: Final = 10_000  # entries of a list in one message
STREAM_S: Final = 24 * 3600.0
SUBMIT_S: Final = 600.0  # a district's list takes the house half a minute
PATIENCE_S: Final = 60.0  # for a house that is away
PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a job stands."""

    job: bytes  # job hash: its name in every journal
    contract: bytes
    state: State
    entries: int
    denied: int
    permitted: int
    withdrawn: int
    released: int
    reason: str
    submitted_ms: int

    @property
    def done(self) -> int:
        """Entries that have an outcome or a refusal."""
        return self.denied + self.withdrawn + self.released


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a job asks, besides its list."""

    contract: str | bytes
    purpose: str
    damaged: str
    where: Where
    now_ms: int


class JobClient(Connected[BankKeys]):
    """A bank's connection to one house, for jobs; for one thread at a time."""

    KEYS = BankKeys

    def __init__(self, settings: Config, held: BankKeys, trust: TrustDomain) -> None:
        super().__init__(settings, held, trust)
        self._jobs = job_pb2_grpc.JobServiceStub(self._link)
        self._contracts = contract_pb2_grpc.ContractServiceStub(self._link)
        self._records = JobRecords(settings.data / RECORDS)
        self._known: dict[bytes, Compiled] = {}
        self._gone = threading.Event()

    def close(self) -> None:
        """Close channel and records."""
        self._gone.set()
        super().close()
        self._records.close()

    # -- asking

    def submit(
        self,
        contract: str | bytes,
        entries: Iterable[tuple[str, str]],
        *,
        purpose: str = "",
        damaged: str = FAIL,
        where: Filter | None = None,
        now_ms: Callable[[], int] = clock.now_ms,
    ) -> bytes:
        """Ask about (subject id, consent id) pairs; return the job's hash.

        The purpose is the contract's unless given.  `damaged` says whether a
        damaged block of data fails the job (`fail`) or denies its subjects
        (`deny`).  `where` narrows the list to who has one of some classes in every
        public attribute that it names; the house refuses the others.  Raises
        `RowsRefused` for pairs that cannot be asked about, `Denied`, and
        `Unreachable`: then `send` sends the same job again.
        """
        asked = _Asked(contract, purpose, damaged, canonical(where or {}), now_ms())
        return self._submit(asked, enumerate(entries, 1))

    def submit_file(
        self,
        contract: str | bytes,
        path: Path,
        *,
        columns: tuple[str, str] = COLUMNS,
        purpose: str = "",
        damaged: str = FAIL,
        where: Filter | None = None,
    ) -> bytes:
        """Ask about the rows of a CSV or Parquet file.

        `columns` are those of identifiers and of consent ids.  Raises `TableInvalid`
        where it is none, and as `submit`.
        """
        with Table.open(path) as table:
            rows = [
                (row, (whom or "", which or ""))
                for batch in table.read(columns)
                for row, (whom, which) in enumerate(
                    zip(*batch.cells, strict=True), batch.first
                )
            ]
        narrowed = canonical(where or {})
        asked = _Asked(contract, purpose, damaged, narrowed, clock.now_ms())
        return self._submit(asked, rows)

    def submit_frame(
        self,
        contract: str | bytes,
        frame: Mapping[str, Any],
        *,
        columns: tuple[str, str] = COLUMNS,
        purpose: str = "",
        where: Filter | None = None,
    ) -> bytes:
        """Ask about the rows of a pandas frame or an Arrow table, two columns of it.

        So also of a mapping of names to numpy arrays or lists.  Raises as `submit`.
        """
        whom, which = (_texts(frame[name]) for name in columns)
        pairs = zip(whom, which, strict=True)
        return self.submit(contract, pairs, purpose=purpose, where=where)

    def send(self, job: bytes) -> None:
        """Send a job again of which nobody knows whether it arrived."""
        signed = renewed(Tag.JOB, self._signed(job), self._keys.sign)
        self._send(job, signed, self._records.listed(job).entries)

    def unsent(self) -> list[bytes]:
        """List the jobs of which nobody knows whether they arrived."""
        return self._records.unsent()

    def _submit(
        self, asked: "_Asked", rows: Iterable[tuple[int, tuple[str, str]]]
    ) -> bytes:
        compiled = self._contract(asked.contract)
        listed = self._list(SubjectType(compiled.subject_type), rows)
        job = Job(
            contract=compiled.hash,
            purpose=asked.purpose or compiled.purpose,
            root=root_of(listed.entries.leaves()),
            entries=len(listed.entries),
            jti=secrets.token_bytes(JTI_BYTES),
            iat_ms=asked.now_ms,
            bank=self._settings.id,
            damaged=asked.damaged,
            where=asked.where,
        )
        signed = sign(Tag.JOB, job.to_bytes(), self._keys.sign)
        name = job_hash(signed.payload)
        self._records.asked(name, signed, listed)
        self._send(name, signed, listed.entries)
        return name

    def _list(
        self, kind: SubjectType, rows: Iterable[tuple[int, tuple[str, str]]]
    ) -> Listed:
        """Put entries in the order of their references; rows are as people count."""
        problems: list[Problem] = []
        found: dict[bytes, tuple[int, str, str]] = {}
        count = 0
        for row, (subject, consent) in rows:
            count += 1
            try:
                canonical = canonical_id(kind, subject)
            except SubjectInvalid as error:
                message = str(error).removeprefix(f"`{error.field}`: ")
                problems.append(Problem(row, SUBJECT_COLUMN, message, value=subject))
                continue
            ref = subject_ref(self._keys.pepper, kind, canonical)
            earlier, *_ = found.setdefault(ref, (row, subject, consent))
            if earlier != row:
                message = f"the subject is already in row {earlier}"
                problems.append(Problem(row, SUBJECT_COLUMN, message, value=subject))
        refuse_rows(problems, len(problems), count, "mend them: nothing was sent")
        if not found:
            raise RowsRefused("a job about nobody", "its list has no rows")
        refs = sorted(found)
        entries = Entries()
        entries.add(
            b"".join(refs),
            secrets.token_bytes(SALT_BYTES * len(refs)),
            [found[ref][2] for ref in refs],
        )
        places = np.array([found[ref][0] for ref in refs], np.uint32)
        return Listed(entries, [found[ref][1] for ref in refs], places)

    def _send(self, name: bytes, signed: Signed, entries: Entries) -> None:
        def pieces() -> Iterator[job_pb2.SubmitJobRequest]:
            yield job_pb2.SubmitJobRequest(job=to_wire(signed))
            for first in range(0, len(entries), PIECE):
                end = min(first + PIECE, len(entries))
                part = slice(first * SALT_BYTES, end * SALT_BYTES)
                yield job_pb2.SubmitJobRequest(
                    entries=job_pb2.JobEntries(
                        subject_refs=bytes(entries.refs[part]),
                        salts=bytes(entries.salts[part]),
                        consents=entries.consents[first:end],
                    )
                )

        deadline_s = max(self._deadline_s, SUBMIT_S)
        try:
            response = ask(self._jobs.SubmitJob, pieces(), deadline_s)
        except Denied as error:
            self._check_denial(error, name)
            self._records.sent(name)
            raise
        except Refused as error:
            if error.reason not in BUSY:
                self._records.sent(name)  # it would be refused again
            raise
        _, entry = entry_of(response.logged, self._verifiers(Role.HOUSE))
        if entry.kind is not Kind.JOB_SUBMIT or entry.call != name.hex():
            raise ReplyRefused("the proof is of another entry than the job")
        self._records.sent(name)

    def _check_denial(self, error: Denied, job: bytes) -> None:
        """Refuse a denial that is not house's or authority's, or says otherwise."""
        try:
            denial = Denial.parse(error.denial.payload)
            party = self._domain.party(denial.by)
            if party.role not in (Role.HOUSE, Role.AUTHORITY):
                raise ReplyRefused(f"a denial by `{denial.by}`")
            verify(Tag.DENIAL, error.denial, self._signers(party.role))
        except (ProtocolError, NotFound) as wrong:
            raise ReplyRefused(f"the denial proves nothing: {wrong}") from None
        if denial.request != job or denial.reason != error.reason:
            raise ReplyRefused("a denial of another job, or for another reason")

    # -- following

    def watch(self, job: bytes, patience_s: float = PATIENCE_S) -> Iterator[Progress]:
        """Follow a job until it has ended; a house may be away for `patience_s`."""
        request = job_pb2.WatchJobRequest(job=job)
        waited_s = 0.0
        while True:
            try:
                for response in listen(self._jobs.WatchJob, request, STREAM_S):
                    waited_s = 0.0
                    progress = _progress(response.progress)
                    yield progress
                    if progress.state.ended:
                        return
            except Unreachable:
                if waited_s >= patience_s:
                    raise
            self._gone.wait(PAUSE_S)
            waited_s += PAUSE_S

    def list(self, limit: int = 0) -> list[Progress]:
        """List this bank's jobs at the house, newest first."""
        request = job_pb2.ListJobsRequest(limit=limit)
        response = ask(self._jobs.ListJobs, request, self._deadline_s)
        return [_progress(item) for item in response.jobs]

    def cancel(self, job: bytes) -> Progress:
        """End a job; what was permitted is used, what was released stays."""
        cancel = JobCancel(job, self._settings.id)
        signed = sign(Tag.JOB_CANCEL, cancel.to_bytes(), self._keys.sign)
        request = job_pb2.CancelJobRequest(cancel=to_wire(signed))
        response = ask(self._jobs.CancelJob, request, self._deadline_s)
        return _progress(response.progress)

    # -- outcomes

    def fetch(
        self,
        job: bytes,
        *,
        follow: bool = True,
        report: Report = silent,
        patience_s: float = PATIENCE_S,
    ) -> int:
        """Fetch, check and keep what a job has released; commit to it.

        `follow` waits until the job has ended.  Returns how many entries have an
        outcome or a refusal.  Raises `ReplyRefused` for a release that does not
        prove what it should, and for a job that is said to have finished without
        an end for every entry: what came before is kept.
        """
        reader = self._reader(job)
        done = 0
        for release, _ in self._records.releases(job):
            done += len(reader.read(release).entries)
        total, waited_s = len(reader.codes), 0.0
        report(done, total)
        while True:
            try:
                for release in self._releases(job, follow=follow):
                    waited_s = 0.0
                    read = reader.read(release)
                    self._keep(job, release, read)
                    done += len(read.entries)
                    report(done, total)
            except Unreachable:
                if not follow or waited_s >= patience_s:
                    raise
                self._gone.wait(PAUSE_S)
                waited_s += PAUSE_S
            else:
                self._commit(job)
                break
        if follow and done < total:
            self._refuse_withheld(job, total - done)
        return done

    def _refuse_withheld(self, job: bytes, count: int) -> None:
        """Refuse that entries have no end in a job that has."""
        if next(self.watch(job)).state is State.FINISHED:
            raise ReplyRefused(
                f"the house says that the job has finished, and gives no outcome or"
                f" refusal for {count} of its entries",
                "they were withheld: tell the auditors",
            )

    def _releases(
        self, job: bytes, *, follow: bool
    ) -> Iterator[job_pb2.FetchJobResponse]:
        return self._releases_from(job, self._records.fetched(job), follow=follow)

    def _releases_from(
        self, job: bytes, start: int, *, follow: bool
    ) -> Iterator[job_pb2.FetchJobResponse]:
        request = job_pb2.FetchJobRequest(job=job, start=start, follow=follow)
        for number, release in enumerate(
            listen(self._jobs.FetchJob, request, STREAM_S), start
        ):
            if release.number != number:
                raise ReplyRefused(f"expected release {number}, got {release.number}")
            yield release

    def _keep(self, job: bytes, release: job_pb2.FetchJobResponse, read: Read) -> None:
        salt = result = None
        if read.ticket:
            salt = secrets.token_bytes(SALT_BYTES)
            codes = read.codes[read.codes != WITHDRAWN].tolist()
            document = JobResult(read.ticket, result_root(salt, codes))
            result = sign(Tag.JOB_RESULT, document.to_bytes(), self._keys.sign)
        self._records.released(job, release, salt, result)

    def _commit(self, job: bytes) -> None:
        """Send the commitments that have not arrived; the house takes each once."""
        for number, kept in self._records.uncommitted(job):
            result = renewed(Tag.JOB_RESULT, kept, self._keys.sign)
            request = job_pb2.CommitJobResultRequest(result=to_wire(result))
            ask(self._jobs.CommitJobResult, request, self._deadline_s)
            self._records.committed(job, number)

    def results(self, job: bytes) -> JobResults:
        """Read the outcomes of what was fetched."""
        reader = self._reader(job)
        for release, _ in self._records.releases(job):
            reader.read(release)
        compiled = self._contract(Job.parse(self._signed(job).payload).contract)
        listed = self._records.listed(job)
        return JobResults(compiled, listed, reader.codes, reader.details)

    def find(self, prefix: str) -> bytes:
        """Find one of this bank's jobs by the beginning of its hash."""
        found = [name for name in self._records.all() if name.hex().startswith(prefix)]
        if len(found) != 1:
            raise NotFound(
                f"{len(found) or 'no'} jobs begin with `{prefix}`",
                "list them: `safehouse job list`",
            )
        return found[0]

    def _unseal(self, info: bytes, box: bytes) -> bytes:
        return unsealed(self._keys, lambda key: hpke.unseal(key, info, box))

    def _reader(self, job: bytes) -> Reader:
        signed, listed = self._signed(job), self._records.listed(job)
        compiled = self._contract(Job.parse(signed.payload).contract)
        consents = listed.entries.consents
        return Reader(self._domain, self._unseal, signed, consents, compiled)

    def _signed(self, job: bytes) -> Signed:
        signed = self._records.signed(job)
        if signed is None:
            raise NotFound("no such job was made from here")
        return signed

    def _contract(self, which: str | bytes) -> Compiled:
        """Fetch a contract by id or hash and check that it hashes to its name."""
        if isinstance(which, bytes) and which in self._known:
            return self._known[which]
        request = (
            contract_pb2.GetContractRequest(contract=which)
            if isinstance(which, bytes)
            else contract_pb2.GetContractRequest(id=which)
        )
        response = ask(self._contracts.GetContract, request, self._deadline_s)
        found = kinds.parse(response.compiled)
        if which not in (found.hash, found.id):
            raise ReplyRefused("the house sent another contract than was asked for")
        compiled = kinds.require(found, ContractKind.SCORE)
        self._known[compiled.hash] = compiled
        return compiled


def _texts(column: Any) -> Sequence[str]:  # noqa: ANN401  of pandas, Arrow, numpy
    """Take a column's cells; what is no text is not guessed to be an identifier."""
    cells = column.to_pylist() if hasattr(column, "to_pylist") else column
    texts = [cell for cell in cells if isinstance(cell, str)]
    if len(texts) != len(cells):
        raise RowsRefused(
            f"{len(cells) - len(texts)} of {len(cells)} cells are not text",
            "identifiers are text: a number has lost its leading zeros",
        )
    return texts


def _progress(message: job_pb2.JobProgress) -> Progress:
    try:
        state = State(message.state)
    except ValueError:
        raise ReplyRefused(f"unknown state `{message.state}`") from None
    return Progress(
        message.job,
        message.contract,
        state,
        message.entries,
        message.denied,
        message.permitted,
        message.withdrawn,
        message.released,
        message.reason,
        message.submitted_ms,
    )
