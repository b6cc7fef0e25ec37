"""Contracts from their author's side: compile, submit, activate, retire.

The author, a bank or a custodian, compiles its own text against the datasets as
their custodians registered them, checks every custodian's signature on the way,
and signs the hash of what came out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts import kinds
from contracts.contract import Contract
from contracts.dataset import Dataset
from contracts.lifecycle import Activation, Retirement, Submission
from node import catalogue
from node.config import Config
from node.connected import Connected
from node.domain import TrustDomain
from node.errors import ReplyRefused
from node.keys import BankKeys, CustodianKeys
from node.remote import ask
from node.status import to_wire
from node.wire.v1 import contract_pb2, contract_pb2_grpc
from protocols.canon import Tag
from protocols.sign import Signed, sign


@dataclass(frozen=True, slots=True)
class Listed:
    """A contract in the house's list."""

    contract: bytes
    id: str
    version: int
    stage: str


class Author(Connected[BankKeys | CustodianKeys]):
    """An author's connection to the house; context-managed."""

    KEYS = BankKeys

    def __init__(
        self, settings: Config, held: BankKeys | CustodianKeys, trust: TrustDomain
    ) -> None:
        super().__init__(settings, held, trust)
        self._contracts = contract_pb2_grpc.ContractServiceStub(self._link)

    def datasets(self) -> dict[str, Dataset]:
        """Fetch the registered datasets, each verified as its custodian's."""
        listed = catalogue.fetch(self._link, self._domain, self._deadline_s)
        return {item.dataset.name: item.dataset for item in listed}

    def compile(self, source: str, path: str) -> tuple[Contract, Mapping[str, Dataset]]:
        """Compile a text, apply the approval rules, run its golden examples."""
        datasets = self.datasets()
        return kinds.read(source, path).admit(datasets), datasets

    def submit(self, source: str, path: str) -> Contract:
        """Submit a contract; custodians approve it next."""
        compiled, _ = self.compile(source, path)
        submission = Submission(self._settings.id, compiled.hash, source)
        message = contract_pb2.SubmitContractRequest(
            submission=to_wire(self._sign(submission.TAG, submission.to_bytes()))
        )
        response = ask(self._contracts.SubmitContract, message, self._deadline_s)
        if response.contract != compiled.hash:
            raise ReplyRefused("the house compiled another contract")
        return compiled

    def activate(self, contract: bytes) -> None:
        """Put a contract in force that every custodian has approved."""
        step = Activation(self._settings.id, contract)
        message = contract_pb2.ActivateContractRequest(
            activation=to_wire(self._sign(step.TAG, step.to_bytes()))
        )
        ask(self._contracts.ActivateContract, message, self._deadline_s)

    def retire(self, contract: bytes) -> None:
        """Take a contract out of force, for ever."""
        step = Retirement(self._settings.id, contract)
        message = contract_pb2.RetireContractRequest(
            retirement=to_wire(self._sign(step.TAG, step.to_bytes()))
        )
        ask(self._contracts.RetireContract, message, self._deadline_s)

    def find(self, name: str) -> tuple[Contract, str, tuple[str, ...]]:
        """Find a contract by id: compiled, its stage, approvals missing."""
        request = contract_pb2.GetContractRequest(id=name)
        response = ask(self._contracts.GetContract, request, self._deadline_s)
        compiled = kinds.parse(response.compiled)
        if compiled.id != name:
            raise ReplyRefused("the house sent another contract than was asked for")
        return compiled, response.status, tuple(response.missing)

    def list(self) -> list[Listed]:
        """List all contracts, oldest first."""
        request = contract_pb2.ListContractsRequest()
        response = ask(self._contracts.ListContracts, request, self._deadline_s)
        return [
            Listed(item.contract, item.id, item.version, item.status)
            for item in response.contracts
        ]

    def _sign(self, tag: Tag, payload: bytes) -> Signed:
        return sign(tag, payload, self._keys.sign)
