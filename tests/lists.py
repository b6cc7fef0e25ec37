"""A trust domain with a list for intersection, and banks that ask about it."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.dataset import Dataset
from contracts.intersection import CompiledIntersection
from node import clock
from node.author import Author
from node.authority import Authority
from node.config import Config
from node.domain import Party, TrustDomain
from node.house import House
from node.keys import BankKeys
from node.psi_authority import PsiAuthority
from node.psi_client import PsiClient
from node.psi_house import Sessions
from node.psi_push import ListReceipt
from node.verify import verify
from tests.simulator import World

CUSTODIAN = "credit-bureau"
BANK = "jnrcb"
LIST = """\
apiVersion: safehouse/v1
kind: Dataset
metadata: {{name: {name}, title: 惠农补贴名单}}
spec:
  custodian: credit-bureau
  unit: 区农业农村局
  category: 惠农补贴
  cycle: monthly
  tier: {tier}
  subject: opaque
  list: true
"""
CONTRACT = """\
apiVersion: safehouse/v1
kind: QueryContract
metadata: {{name: {name}-{mode}, version: {version}, title: 客户比对}}
spec:
  purpose: pre-approval
  subject: opaque
  author: jnrcb
  banks: [jnrcb, lsbank]
  psi:
    list: {name}
    mode: {mode}
    most_ids: {most}
    sessions_per_quarter: {sessions}
"""


class Lists:
    """Lists in a world, pushed by the real custodian."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def house(self) -> House:
        """The house."""
        core = self.world.house.core
        assert isinstance(core, House)
        return core

    @property
    def authority(self) -> Authority:
        """The authority."""
        core = self.world.authority.core
        assert isinstance(core, Authority)
        return core

    @property
    def psi_house(self) -> Sessions:
        """The house's desk for intersections."""
        desk = self.world.house.psi
        assert isinstance(desk, Sessions)
        return desk

    @property
    def psi_authority(self) -> PsiAuthority:
        """The authority's desk for intersections."""
        desk = self.world.authority.psi
        assert isinstance(desk, PsiAuthority)
        return desk

    def table(self, ids: Sequence[str], consents: Sequence[str] = ()) -> Path:
        """Write a table of subjects."""
        path = self.world.folder / "list.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["subject_id", *(["consent"] if consents else [])])
            if consents:
                writer.writerows(zip(ids, consents, strict=True))
            else:
                writer.writerows([one] for one in ids)
        return path

    def push(
        self,
        ids: Sequence[str],
        name: str = "subsidy",
        tier: str = "T0",
        consents: Sequence[str] = (),
    ) -> ListReceipt:
        """Register a list, if it is not, and push a version of it."""
        dataset = Dataset.from_yaml(LIST.format(name=name, tier=tier), "list.yaml")
        with self.world.custodian(CUSTODIAN) as custodian:
            custodian.register(dataset)
            return custodian.push_list(
                dataset,
                self.table(ids, consents),
                "2026-01",
                clock.now_ms(),
                consent_column="consent" if consents else "",
            )

    def contract(
        self,
        mode: str = "intersection",
        name: str = "subsidy",
        most: int = 100,
        sessions: int = 4,
        version: int = 1,
    ) -> CompiledIntersection:
        """Submit, approve and activate a contract."""
        text = CONTRACT.format(
            name=name, mode=mode, most=most, sessions=sessions, version=version
        )
        with Author(*self.party(BANK)) as author:
            compiled = author.submit(text, "contract.yaml")
            with self.world.custodian(CUSTODIAN) as custodian:
                custodian.approve(compiled.hash)
            author.activate(compiled.hash)
        assert isinstance(compiled, CompiledIntersection)
        return compiled

    def party(self, bank: str) -> tuple[Config, BankKeys, TrustDomain]:
        """Hand out what a bank's client needs."""
        world = self.world
        return world.config(bank), world.keys(bank, BankKeys), world.domain

    def bank(self, party: str = BANK, patience_s: float = 0.0) -> PsiClient:
        """Open a bank's SDK."""
        return PsiClient(*self.party(party), patience_s=patience_s)


def ids(*numbers: int) -> list[str]:
    """Name subjects."""
    return [f"客户-{number:06d}" for number in numbers]


@dataclass(frozen=True)
class Caller:
    """A bank at the other end of a call, as a desk of the house sees it."""

    caller: Party

    def check_alive(self) -> None:
        """Wait for ever."""


def audit(lists: Lists) -> list[str]:
    """Export both journals and say what an auditor finds."""
    folder = lists.world.folder / "export"
    with lists.world.auditor() as auditor:
        auditor.export(folder)
    report = verify(folder, lists.world.domain)
    return [str(finding) for finding in report.findings]
