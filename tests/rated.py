"""A town whose banks show their answers to each other, and one that lies about it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts import rating
from contracts.answered import Pinned
from contracts.rating import Rating, Reading
from node import clock
from node.client import Outcome
from node.evidence import pinned
from node.keys import BankKeys
from node.rating_client import RatingClient
from protocols import jws
from protocols.canon import dumps
from tests.simulator import World
from tests.turnover import THRESHOLD, Town, wide_source

CARD = "german-card"
WIDE = {"wide": ("turnover", THRESHOLD + 10), "middling": ("staff", 37 * 4 + 10)}
SCOPE = (f"contract:{CARD}", "dataset:tax")
YEAR_MS = 365 * clock.DAY_MS

Claims = dict[str, Any]


@dataclass
class Rated:
    """The town, its two banks, and a subject with a key."""

    town: Town
    bank: RatingClient
    other: RatingClient
    holder: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @classmethod
    def of(cls, world: World) -> "Rated":
        """Open it; every subject has consented for a year, to both banks."""
        town = Town(world, [THRESHOLD + n for n in range(world.slots * 4)])
        for name, (column, start) in WIDE.items():
            town.query(wide_source(name, column, start))
        for subject in town.ids:
            town.grant(subject, scope=SCOPE, not_after_ms=clock.now_ms() + YEAR_MS)
        return cls(town, client(town, "jnrcb"), client(town, "lsbank"))

    def close(self) -> None:
        """Close both banks."""
        self.bank.close()
        self.other.close()

    @property
    def pinned(self) -> Pinned:
        """What everybody pins."""
        return pinned(self.town.world.domain, clock.now_ms())

    @property
    def key(self) -> Ed25519PrivateKey:
        """The issuing bank's own key."""
        return self.town.world.keys("jnrcb", BankKeys).sign

    def ask(self, subject: str, contract: str = CARD, consent: str = "") -> Outcome:
        """Ask for an outcome."""
        return self.bank.score(contract, subject, consent=consent or f"c-{subject}")

    def rate(self, subject: str, contract: str = CARD, **how: Any) -> str:  # noqa: ANN401
        """Ask, and make a rating for the other bank."""
        call = self.ask(subject, contract).request
        return self.bank.issue(call, "lsbank", **how)

    def reading(self, subject: str, **changes: Any) -> Reading:  # noqa: ANN401
        """Be the other bank, with this subject before it and a fresh list."""
        ref = self.town.refs[subject]
        fields = {
            "audience": "lsbank",
            "subject_ref": lambda _: ref,
            "status": changes["status"] if "status" in changes else self.other.status(),
            "now_s": clock.now_ms() // 1000,
        }
        return Reading(**{**fields, **changes})

    def read(self, text: str, subject: str, **changes: Any) -> Rating:  # noqa: ANN401
        """Read a rating as the other bank does."""
        return rating.verify(text, self.pinned, self.reading(subject, **changes))

    @property
    def journalled(self) -> int:
        """Count what stands in the house's journal about ratings."""
        query = "SELECT count(*), count(revoked) FROM rating"
        with self.town.house.ledger.reader() as db:
            return sum(db.execute(query).fetchone())

    def edited(self, text: str, change: Callable[[Claims], object]) -> str:
        """Change a rating's claims, and sign them again with the bank's own key."""
        claims = claims_of(text)
        change(claims)
        return jws.sign(rating.TYPE, dumps(claims), self.key) + "~"


def client(town: Town, party: str) -> RatingClient:
    """Open a bank's SDK."""
    world = town.world
    return RatingClient(world.config(party), world.keys(party, BankKeys), world.domain)


def claims_of(text: str) -> Claims:
    """Read all claims, evidence too."""
    claims: Claims = json.loads(jws.unverified(text.partition("~")[0]))
    return claims
