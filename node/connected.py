"""What every party's SDK is: its settings and keys, and a channel to a node or both.

A client is opened from its party's `safehouse.toml`, and closed after use::

    with BankClient.open("jnrcb/safehouse.toml") as bank:
        ...

What it has besides, each kind of client opens for itself and closes in `close`.
"""

from pathlib import Path
from typing import ClassVar, Final, Generic, Self, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from node import clock, config, keys
from node.config import Config
from node.domain import Role, TrustDomain
from node.keys import Keys
from node.remote import channel
from node.succession import trusted
from protocols.note import VerifierKey

K = TypeVar("K", bound=Keys)

BOTH: Final = (Role.HOUSE, Role.AUTHORITY)


class Connected(Generic[K]):
    """A party's client; context-managed."""

    KEYS: ClassVar[type[Keys]]  # whose client it is
    NODES: ClassVar[tuple[Role, ...]] = (Role.HOUSE,)  # that it talks to

    def __init__(self, settings: Config, held: K, trust: TrustDomain) -> None:
        self._settings = settings
        self._keys = held
        self._domain = trust
        self._deadline_s = settings.limits.deadline_ms / 1000
        addresses = {Role.HOUSE: settings.house, Role.AUTHORITY: settings.authority}
        self._links = {
            role: channel(addresses[role], held.tls, trust, role) for role in self.NODES
        }
        self._link = self._links[Role.HOUSE]

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open from a party's `safehouse.toml`; raises `NodeError`."""
        settings = config.load(Path(path))
        trust = trusted(settings)
        return cls(settings, keys.load(cls.KEYS, settings, trust), trust)  # type: ignore[arg-type]

    def _signers(
        self, role: Role, asked_ms: int | None = None
    ) -> tuple[Ed25519PublicKey, ...]:
        """List the keys with which a node may sign something new.

        So since `asked_ms`, if given: an answer may be fetched long after its question.
        """
        (node,) = self._domain.of_role(role)
        return node.signing(clock.now_ms() if asked_ms is None else asked_ms)

    def _verifiers(
        self, role: Role, asked_ms: int | None = None
    ) -> tuple[VerifierKey, ...]:
        """List the keys with which a node may sign a new checkpoint, or since then."""
        since_ms = clock.now_ms() if asked_ms is None else asked_ms
        return self._domain.live_verifiers(role, since_ms)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open."""
        for link in self._links.values():
            link.close()
