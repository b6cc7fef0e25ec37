"""A whole trust domain in one process: STYLE, rule 18.

House and authority are assembled as `safehouse up` assembles them (`node.run`)
and serve on loopback, mTLS and all; only the Paillier key is small, so a call
takes milliseconds and a block holds `slots` subjects.  Clients are the real ones,
loaded with the keys of their party.

    with World(tmp_path) as world:
        custodian = world.custodian("credit-bureau")

Every party's folder lies below `folder`, so a test can look at what is on the
disk, stop a node, start it again on the same files, and break what it likes.
"""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Self, TypeVar

from contracts.basis import STRICT, Accepted, Bases, Basis
from contracts.dataset import Tier
from contracts.subject import SubjectType
from node import clock, initialise, run
from node import domain as domain_file
from node.auditor import Auditor
from node.client import BankClient
from node.config import Config, Limits
from node.custodian import Custodian
from node.domain import SERVERS, Party, Role, TrustDomain
from node.errors import DomainInvalid
from node.initialise import DEFAULT_MEMBERS, Composed, Member, Plan
from node.keys import (
    AuditorKeys,
    AuthorityKeys,
    BankKeys,
    CustodianKeys,
    HouseKeys,
    Keys,
    RegistrarKeys,
)
from node.registrar import Registrar
from node.run import Node
from protocols import paillier
from protocols.slots import slots_per_block

K = TypeVar("K", bound=Keys)

KEY_BITS = 512  # 11 subjects in a block
LOOPBACK = "127.0.0.1:0"
# Orders for everything; the strict rule accepts none.
ORDERS = STRICT.with_rows([Accepted(Basis.STATUTORY, tuple(Tier))])
# Statistics of what is not public; the strict rule accepts none.
STATISTICS = STRICT.with_rows([Accepted(Basis.AGGREGATE, (Tier.T0, Tier.T1, Tier.T2))])


class World:
    """One trust domain and its two nodes, running; context-managed."""

    def __init__(
        self,
        folder: Path,
        members: Sequence[Member] = DEFAULT_MEMBERS,
        key_bits: int = KEY_BITS,
        bases: Bases = STRICT,
    ) -> None:
        self.folder = folder
        self.composed = compose(members, key_bits, bases)
        self._nodes: dict[Role, Node] = {}
        self._addresses: dict[Role, str] = {}
        self.start(Role.AUTHORITY)
        self.start(Role.HOUSE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for role in (Role.HOUSE, Role.AUTHORITY):
            self.stop(role)

    # -- the nodes

    @property
    def domain(self) -> TrustDomain:
        """What everybody pins."""
        return self.composed.domain

    @property
    def slots(self) -> int:
        """Subjects in a block."""
        return slots_per_block(self.domain.paillier.bits)

    @property
    def house(self) -> Node:
        """The running house."""
        return self._nodes[Role.HOUSE]

    @property
    def authority(self) -> Node:
        """The running authority."""
        return self._nodes[Role.AUTHORITY]

    def start(self, role: Role) -> None:
        """Start a node on the files of its folder, at its old address if it had one."""
        (party,) = self.domain.of_role(role)
        config, keys = self.config(party.id), self.composed.keys[party.id]
        if isinstance(keys, HouseKeys):
            node = run.open_house(config, self.domain, keys)
        elif isinstance(keys, AuthorityKeys):
            node = run.open_authority(config, self.domain, keys)
        else:
            raise RuntimeError(f"a {role} is no node")  # noqa: TRY004
        try:
            run.note_domain(node, config)
        except DomainInvalid:
            node.close()
            raise
        port = node.server.start(config.listen)
        self._nodes[role] = node
        self._addresses[role] = f"127.0.0.1:{port}"

    def stop(self, role: Role) -> None:
        """Stop a node gracefully; its files stay."""
        if role in self._nodes:
            self._nodes.pop(role).close()

    def renew(self, domain: TrustDomain) -> None:
        """Give everybody another trust domain; the nodes start again."""
        newer = domain.serial - self.domain.serial
        if newer > 0 and not domain.history:
            history = (*self.domain.history, *[self.domain.hash] * newer)
            domain = replace(domain, history=history)
        self.composed = replace(self.composed, domain=domain)
        for role in (Role.HOUSE, Role.AUTHORITY):
            self.stop(role)
        for role in (Role.AUTHORITY, Role.HOUSE):
            self.start(role)

    def disk(self, party: str = "") -> dict[str, bytes]:
        """Read every file below a party's folder, or every party's."""
        folder, found = self.folder / party, dict[str, bytes]()
        for path in sorted(folder.rglob("*")):
            with suppress(FileNotFoundError, IsADirectoryError):
                found[str(path.relative_to(folder))] = path.read_bytes()
        return found

    # -- the parties

    def auditor(self, party: str = "auditor-a") -> Auditor:
        """Open an auditor's client; its folder has the domain file it pins."""
        settings = self.config(party)
        settings.domain.parent.mkdir(parents=True, exist_ok=True)
        settings.domain.write_bytes(domain_file.write(self.domain, self.composed.root))
        return Auditor(settings, self.keys(party, AuditorKeys), self.domain)

    def config(self, party: str) -> Config:
        """Make what a party's `safehouse.toml` would say."""
        found: Party = self.domain.party(party)
        own = self.folder / party
        return Config(
            role=found.role,
            id=party,
            domain=own / "domain.json",
            root_key=self.composed.root.public_key(),
            keystore=own / "keys.sealed",
            data=own / "data",
            listen=self._addresses.get(found.role, LOOPBACK)
            if found.role in SERVERS
            else "",
            passphrase_file=None,
            house=self._addresses.get(Role.HOUSE, ""),
            authority=self._addresses.get(Role.AUTHORITY, ""),
            limits=Limits(deadline_ms=10_000),
        )

    def keys(self, party: str, kind: type[K]) -> K:
        """Hand out a party's private keys."""
        keys = self.composed.keys[party]
        if not isinstance(keys, kind):
            raise RuntimeError(f"`{party}` holds other keys")  # noqa: TRY004
        return keys

    def custodian(self, party: str, workers: int = 1) -> Custodian:
        """Open a custodian's client."""
        held = self.keys(party, CustodianKeys)
        return Custodian(self.config(party), held, self.domain, workers)

    def registrar(self, party: str = "registrar") -> Registrar:
        """Open a registrar's client."""
        held = self.keys(party, RegistrarKeys)
        return Registrar(self.config(party), held, self.domain)

    def bank(self, party: str) -> BankClient:
        """Open a bank's SDK."""
        return BankClient(self.config(party), self.keys(party, BankKeys), self.domain)


def compose(
    members: Sequence[Member], key_bits: int, bases: Bases = STRICT
) -> Composed:
    """Draw a trust domain around a small Paillier key."""
    persons = (SubjectType.CN_RESIDENT_ID, "social-insurance")
    named = tuple(r for r in (persons,) if r[1] in {member.id for member in members})
    plan = replace(
        Plan("rencheng"), members=tuple(members), registers=named, bases=bases
    )
    key = paillier._small_key(key_bits, secrets.token_bytes)
    return initialise._compose_with(plan, clock.now_ms(), key)
