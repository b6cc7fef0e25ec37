"""Seeds of calls and jobs, each with the shares that two auditors get of it.

All that is random in a call follows from one fresh seed (PROTOCOL 3, step 2).  Two
auditors each get a share, sealed to them: either alone is noise, both together open the
seed, so that the call can be replayed.  Sealing takes longer than much else in a call
and waits for nothing, so a few seeds lie ready, in memory only; one that is lost with
the process has never been used.
"""

import secrets
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from node.domain import Party, Role, TrustDomain
from node.errors import ConfigInvalid
from protocols import hpke
from protocols.call import seed_commitment
from protocols.drbg import SEED_BYTES

AUDITORS: Final = 2  # who open a seed together
READY: Final = 16


@dataclass(frozen=True, slots=True)
class Seed:
    """A seed that nobody has used, and its sealed share for each auditor."""

    seed: bytes = field(repr=False)
    shares: tuple[tuple[str, bytes], ...]


class Seeds:
    """Draws seeds, some of them ahead; thread-safe.

    Raises `ConfigInvalid` if the trust domain has too few auditors.
    """

    def __init__(self, domain: TrustDomain) -> None:
        self._auditors = domain.of_role(Role.AUDITOR)[:AUDITORS]
        if len(self._auditors) < AUDITORS:
            raise ConfigInvalid(
                f"expected {AUDITORS} auditors in the trust domain,"
                f" got {len(self._auditors)}",
                "each keeps a share of every seed; without them nothing replays",
            )
        self._ready: deque[Seed] = deque()
        self._drawing = False
        self._lock = threading.Lock()

    def take(self) -> Seed:
        """Hand out a fresh seed, to be used once."""
        with self._lock:
            seed = self._ready.popleft() if self._ready else None
            few = len(self._ready) < READY // 2 and not self._drawing
            self._drawing = self._drawing or few
        if few:
            threading.Thread(target=self._fill, name="seeds", daemon=True).start()
        return seed or draw(self._auditors)

    def take_with(self, share: bytes) -> Seed:
        """Hand out a fresh seed whose shares open the house's share of a number, too.

        Without it the auditors could not make the message again.
        """
        return draw(self._auditors, share)

    def _fill(self) -> None:
        try:
            for _ in range(READY - len(self._ready)):
                self._ready.append(draw(self._auditors))
        finally:
            self._drawing = False


def draw(auditors: Sequence[Party], rest: bytes = b"") -> Seed:
    """Draw a seed and seal its shares, and those of what follows it."""
    seed = secrets.token_bytes(SEED_BYTES)
    return Seed(seed, split(seed, auditors, rest))


def split(
    seed: bytes, auditors: Sequence[Party], rest: bytes = b""
) -> tuple[tuple[str, bytes], ...]:
    """Seal shares of a seed and of what follows it, drawn anew: (auditor, box)."""
    secret = seed + rest
    first = secrets.token_bytes(len(secret))
    second = bytes(a ^ b for a, b in zip(first, secret, strict=True))
    info = seed_commitment(seed)
    return tuple(
        (auditor.id, hpke.seal(auditor.hpke[0], info, share))
        for auditor, share in zip(auditors, (first, second), strict=True)
    )
