r"""A custodian's side of the house: registers, datasets, pushes, approvals.

>>> from node.custodian import Custodian                            # doctest: +SKIP
>>> with Custodian.open("tax/safehouse.toml") as custodian:         # doctest: +SKIP
...     receipt = custodian.push(dataset, Path("tax.csv"), "2026-01", now_ms())
...     print(receipt.manifest.rows, receipt.proof.index)
1041152 7

The house and its operator are not believed: a map is taken only as its
custodian signed it (`node.maps`), a list of datasets only under their
custodians' signatures (`node.catalogue`), a push is done when the house has
*proven* that its manifest stands in the journal (`node.pushes`), and a contract
is approved by the hash of what it compiles to here.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from contracts import kinds
from contracts.attributes import PublicAttributes
from contracts.cells import Cells
from contracts.contract import Contract, custodians
from contracts.dataset import Dataset
from contracts.lifecycle import Approval, Retirement, Submission
from contracts.subject import SubjectType
from node import catalogue, config, filling, keys
from node.attribute_puts import AttributePuts, AttributesReceipt
from node.cells import read_question, seal_answer
from node.config import Config
from node.connected import Connected
from node.domain import Role, TrustDomain
from node.errors import ReplyRefused, RoleRefused, RowsRefused
from node.filling import SUBJECT_COLUMN, ValidationReport
from node.keys import CustodianKeys
from node.maps import MapReceipt
from node.progress import Progress, silent
from node.psi_push import ListPushes, ListReceipt, Rows
from node.pushes import Pushes, PushReceipt, Source
from node.quality import Quality
from node.remote import ask
from node.repairs import Repairs
from node.status import from_wire, to_wire
from node.succession import trusted
from node.wire.v1 import (
    contract_pb2,
    contract_pb2_grpc,
    dataset_pb2,
    dataset_pb2_grpc,
    psi_pb2_grpc,
)
from protocols.canon import Tag
from protocols.sign import sign, verify


@dataclass(frozen=True, slots=True)
class Approved:
    """A contract that was compiled here and whose hash was signed."""

    compiled: Contract
    missing: tuple[str, ...]  # custodians who have not approved


@dataclass(frozen=True, slots=True)
class Collected:
    """How much of the base register a dataset covers (归集率)."""

    dataset: Dataset
    vintage: str  # "" before the first push
    present: int
    register: int


class Custodian(Connected[CustodianKeys]):
    """A custodian's connection to one house; context-managed.

    `workers` is how many processes encrypt: by default one a core.
    """

    KEYS = CustodianKeys

    def __init__(
        self,
        settings: Config,
        held: CustodianKeys,
        trust: TrustDomain,
        workers: int | None = None,
    ) -> None:
        super().__init__(settings, held, trust)
        self._datasets = dataset_pb2_grpc.DatasetServiceStub(self._link)
        self._contracts = contract_pb2_grpc.ContractServiceStub(self._link)
        self._lists = ListPushes(
            settings, held, trust, psi_pb2_grpc.PsiServiceStub(self._link)
        )
        self._pushes = Pushes(
            settings, held, trust, self._link, workers or os.cpu_count() or 1
        )
        self.repairs = Repairs(settings, held, trust, self._link, self._pushes.maps)

    @classmethod
    def open(cls, path: str | Path, workers: int | None = None) -> "Custodian":
        """Open from a custodian's `safehouse.toml`; raises `NodeError`."""
        settings = config.load(Path(path))
        trust = trusted(settings)
        return cls(settings, keys.load(CustodianKeys, settings, trust), trust, workers)

    # -- the map

    def put_register(
        self,
        subject_type: SubjectType,
        path: Path,
        column: str,
        now_ms: int,
        progress: Progress = silent,
        *,
        skip_bad_rows: bool = False,
    ) -> MapReceipt:
        """Give a slot to every subject of a base register who has none.

        Raises `RowsRefused` for bad rows, unless they are to be left out; the
        receipt's `register` reports them.
        """
        pepper = self._keys.pepper
        erased = self._pushes.maps.erased(subject_type)
        register = filling.read_register(
            path, column, subject_type, pepper, progress, erased=erased
        )
        if not skip_bad_rows:
            register.require()
        if not register.refs:
            raise RowsRefused(f"`{path.name}` names no subject")
        return self._pushes.maps.extend(subject_type, register, now_ms)

    def fetch_map(self, subject_type: SubjectType) -> Mapping[bytes, int]:
        """Fetch the newest map: subject_ref -> row; block, slot = divmod(row, K)."""
        return self._pushes.maps.fetch(subject_type).numbers

    def put_attributes(
        self,
        document: PublicAttributes,
        path: Path,
        now_ms: int,
        progress: Progress = silent,
        *,
        column: str = SUBJECT_COLUMN,
        skip_bad_rows: bool = False,
    ) -> AttributesReceipt:
        """Replace the public attributes of a subject type by those of a table.

        They lie at house and authority in clear.  Raises `RowsRefused` for bad
        rows, and `DocumentInvalid` for a cell of under 10 subjects.
        """
        puts = AttributePuts(
            self._settings, self._keys, self._domain, self._link, self._pushes.maps
        )
        return puts.put(
            document,
            path,
            now_ms,
            progress,
            column=column,
            skip_bad_rows=skip_bad_rows,
        )

    # -- datasets

    def register(self, dataset: Dataset) -> bytes:
        """Register a dataset's schema at house and authority; return its hash."""
        if dataset.custodian != self._settings.id:
            raise RoleRefused(
                f"dataset `{dataset.name}` is `{dataset.custodian}`'s to register"
            )
        signed = sign(Tag.DATASET_REGISTRATION, dataset.to_bytes(), self._keys.sign)
        request = dataset_pb2.RegisterDatasetRequest(registration=to_wire(signed))
        response = ask(self._datasets.RegisterDataset, request, self._deadline_s)
        if response.schema_hash != dataset.schema_hash:
            raise ReplyRefused("the house registered another schema")
        return dataset.schema_hash

    def validate(
        self,
        dataset: Dataset,
        path: Path,
        progress: Progress = silent,
        *,
        column: str = SUBJECT_COLUMN,
    ) -> ValidationReport:
        """Compare a table with a dataset and the newest map; send nothing."""
        return self._pushes.validate(Source(dataset, path, column), progress)

    def examine(
        self,
        dataset: Dataset,
        path: Path,
        progress: Progress = silent,
        *,
        column: str = SUBJECT_COLUMN,
        expected: Path | None = None,
    ) -> Quality:
        """Profile a table and compare it with what was pushed last; send nothing.

        `expected` is a table of the subjects that ought to be in it.
        """
        return self._pushes.examine(Source(dataset, path, column, expected), progress)

    def push(  # noqa: PLR0913  what, from where, of when, three choices
        self,
        dataset: Dataset,
        path: Path,
        vintage: str,
        now_ms: int,
        progress: Progress = silent,
        *,
        skip_bad_rows: bool = False,
        column: str = SUBJECT_COLUMN,
        expected: Path | None = None,
    ) -> PushReceipt:
        """Encrypt a table and store it as the newest version of a dataset.

        `vintage` is the period the data are of, `column` holds the ids of the
        subjects, `progress` counts blocks.  The receipt's `quality` compares the
        table with the version before, and with `expected`, as `examine` does.

        Raises `TableInvalid`, `RowsRefused`, `NodeError`; then nothing was
        stored, unless it is `Unreachable`: then nobody knows, and the same
        command finds out.
        """
        return self._pushes.push(
            Source(dataset, path, column, expected),
            vintage,
            now_ms,
            progress,
            skip_bad_rows=skip_bad_rows,
        )

    def collection(self) -> list[Collected]:
        """Tell of every dataset, whoever's, how many of the register it covers.

        By what its custodian signed of its newest version; lists are left out.
        """
        listed = catalogue.fetch(self._link, self._domain, self._deadline_s)
        found = [item for item in listed if not item.dataset.is_list]
        registers = {
            kind: self._pushes.maps.fetch(kind).row_map.rows
            for kind in {item.dataset.subject_type for item in found}
        }
        return [
            Collected(
                item.dataset,
                "" if item.manifest is None else item.manifest.vintage,
                0 if item.manifest is None else item.manifest.rows,
                registers[item.dataset.subject_type],
            )
            for item in found
        ]

    def push_list(  # noqa: PLR0913  what, from where, of when, two choices
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
        """Store a table as the newest version of a list, as points.

        `progress` counts points.  Of a list that is not public, `consent_column`
        holds the consent of each row's subject.  Raises as `push` does.
        """
        return self._lists.push(
            dataset,
            path,
            vintage,
            now_ms,
            progress,
            skip_bad_rows=skip_bad_rows,
            column=column,
            consent_column=consent_column,
        )

    def validate_list(
        self, dataset: Dataset, path: Path, column: str, consent_column: str
    ) -> Rows:
        """Read a list's table and say what is wrong with it; send nothing."""
        return self._lists.validate(dataset, path, column, consent_column)

    def open_cells(
        self,
        dataset: Dataset,
        path: Path,
        question: bytes,
        tell: Callable[[Cells], None],
        *,
        column: str = SUBJECT_COLUMN,
    ) -> tuple[Cells, bytes]:
        """Open the ciphertexts that an auditor asks for, sealed to that auditor.

        What they are is told once all is found right, before anything is sealed.
        `path` is the table that the version was made of; raises `DocumentConflict`
        for any other, and for cells that the question's seed does not draw, `NotFound`
        for a version that was not pushed from here, and `ProtocolError` for a question
        that no auditor of this domain signed.
        """
        cells = read_question(question, self._domain)
        opened = self._pushes.open_cells(Source(dataset, path, column), cells)
        tell(cells)
        sealed = seal_answer(cells, opened, self._settings.id, self._keys, self._domain)
        return cells, sealed

    # -- contracts

    def approve(self, contract: bytes) -> Approved:
        """Let a contract read our data: sign the hash of what it compiles to *here*.

        1. Its author signed the text.
        2. It reads data of ours.
        3. Compiled here, from the registered schemas, it has this hash.
        4. It keeps the rules against extraction, and its golden examples pass.
        """
        request = contract_pb2.GetContractRequest(contract=contract)
        response = ask(self._contracts.GetContract, request, self._deadline_s)
        signed = from_wire(response.submission)
        submission = Submission.parse(signed.payload)
        author = self._domain.party(submission.author, Role.BANK, Role.CUSTODIAN)
        verify(Submission.TAG, signed, author.sign)  # 1
        listed = catalogue.fetch(self._link, self._domain, self._deadline_s)
        datasets = {item.dataset.name: item.dataset for item in listed}
        written = kinds.read(submission.source, "contract.yaml")
        compiled = written.compile(datasets)
        if self._settings.id not in custodians(compiled.datasets):  # 2
            raise RoleRefused(f"contract `{compiled.id}` reads no data of ours")
        if not compiled.hash == submission.contract == contract:  # 3
            raise ReplyRefused(
                f"contract `{compiled.id}` compiles to another hash here"
            )
        written.admit(datasets)  # 4
        step = Approval(self._settings.id, contract)
        message = contract_pb2.ApproveContractRequest(
            approval=to_wire(sign(step.TAG, step.to_bytes(), self._keys.sign))
        )
        answer = ask(self._contracts.ApproveContract, message, self._deadline_s)
        return Approved(compiled, tuple(answer.missing))

    def retire(self, contract: bytes) -> None:
        """Take a contract that reads our data out of force, for ever."""
        step = Retirement(self._settings.id, contract)
        message = contract_pb2.RetireContractRequest(
            retirement=to_wire(sign(step.TAG, step.to_bytes(), self._keys.sign))
        )
        ask(self._contracts.RetireContract, message, self._deadline_s)
