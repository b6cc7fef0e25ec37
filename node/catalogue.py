"""The house's list of datasets and attributes, believed only where signed.

A house can leave a dataset out or show an older version of it; it cannot make
one up.  Whoever compiles a contract signs the hash of exactly these schemas,
and whoever pushes compares with its own receipts.
"""

from dataclasses import dataclass

import grpc

from contracts.attributes import AttributeTable
from contracts.dataset import Dataset
from node.domain import Role, TrustDomain
from node.errors import ReplyRefused
from node.remote import ask
from node.status import from_wire
from node.wire.v1 import (
    attributes_pb2,
    attributes_pb2_grpc,
    dataset_pb2,
    dataset_pb2_grpc,
)
from protocols.blocks import Manifest
from protocols.canon import Tag
from protocols.sign import Signed, verify


@dataclass(frozen=True, slots=True)
class Listed:
    """A registered dataset and its newest version."""

    dataset: Dataset
    signed_manifest: Signed | None  # None before the first push

    @property
    def manifest(self) -> Manifest | None:
        """What the custodian signed of the newest version."""
        signed = self.signed_manifest
        return None if signed is None else Manifest.parse(signed.payload)


def fetch(link: grpc.Channel, trust: TrustDomain, deadline_s: float) -> list[Listed]:
    """Fetch the list and verify every signature in it.

    Raises `ProtocolError`, `ContractError` or `NodeError` for a list that is
    not what custodians of this domain signed.
    """
    stub = dataset_pb2_grpc.DatasetServiceStub(link)
    request = dataset_pb2.ListDatasetsRequest()
    response = ask(stub.ListDatasets, request, deadline_s)
    return [_listed(item, trust) for item in response.datasets]


def _listed(item: dataset_pb2.DatasetItem, trust: TrustDomain) -> Listed:
    signed = from_wire(item.registration)
    dataset = Dataset.from_bytes(signed.payload)
    custodian = trust.party(dataset.custodian, Role.CUSTODIAN)
    verify(Tag.DATASET_REGISTRATION, signed, custodian.sign)
    if not item.HasField("manifest"):
        return Listed(dataset, None)
    signed = from_wire(item.manifest)
    manifest = Manifest.parse(verify(Tag.MANIFEST, signed, custodian.sign))
    if manifest.dataset != dataset.name:
        raise ReplyRefused(
            f"the house lists a version of `{manifest.dataset}` under `{dataset.name}`"
        )
    return Listed(dataset, signed)


@dataclass(frozen=True, slots=True)
class ListedAttributes:
    """The newest public attributes of a subject type."""

    signed: Signed
    table: AttributeTable
    counts: tuple[int, ...]  # subjects of every class, as the house says


def fetch_attributes(
    link: grpc.Channel, trust: TrustDomain, subject_type: str, deadline_s: float
) -> ListedAttributes:
    """Fetch which attributes there are; raises `NotFound` where there are none."""
    stub = attributes_pb2_grpc.AttributesServiceStub(link)
    request = attributes_pb2.GetAttributesRequest(subject_type=subject_type)
    response = ask(stub.GetAttributes, request, deadline_s)
    signed = from_wire(response.table)
    table = AttributeTable.parse(signed.payload)
    custodian = trust.party(table.custodian, Role.CUSTODIAN)
    verify(Tag.ATTRIBUTES, signed, custodian.sign)
    classes = sum(len(attribute.classes) for attribute in table.attributes)
    if table.subject_type != subject_type or len(response.counts) != classes:
        raise ReplyRefused(f"the house shows other attributes than `{subject_type}`'s")
    return ListedAttributes(signed, table, tuple(response.counts))
