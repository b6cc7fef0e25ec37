"""A town whose bank asks about one of its customers without saying which."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias

from contracts.decide import Reason
from contracts.private_bodies import Deny, Refuse
from contracts.replay import Mark, Replay
from contracts.replay import Role as Journal
from node.domain import Role
from node.errors import Denied, Unreachable
from node.keys import BankKeys
from node.private_authority import PrivateAuthority
from node.private_client import PrivateClient
from node.private_house import PrivateHouse
from node.verify import pinned, signers
from node.wire.v1 import private_evaluation_pb2 as wire
from protocols.entry import Entry, Kind
from protocols.private_call import LEAST
from tests.hostile import journal
from tests.simulator import World
from tests.turnover import MOST, THRESHOLD, Town

VALUES = [
    *[0, THRESHOLD - 1, THRESHOLD, THRESHOLD + 1, MOST, None],
    *[7 * THRESHOLD] * 10,
    *[3] * 6,
]


@dataclass
class Hidden:
    """The town, and everything it needs to be asked about privately."""

    town: Town

    @property
    def house(self) -> PrivateHouse:
        """The house's part."""
        part = self.town.world.house.private
        assert isinstance(part, PrivateHouse)
        return part

    @property
    def authority(self) -> PrivateAuthority:
        """The authority's part."""
        part = self.town.world.authority.private
        assert isinstance(part, PrivateAuthority)
        return part

    def bank(self, party: str = "jnrcb") -> PrivateClient:
        """Open a bank's client."""
        world = self.town.world
        return PrivateClient(
            world.config(party), world.keys(party, BankKeys), world.domain
        )

    def among(self, *subjects: str) -> dict[str, str]:
        """List candidates with their consents: everybody, unless some are named."""
        return {subject: f"c-{subject}" for subject in subjects or self.town.ids}

    def replay(self, role: Role) -> list[Mark]:
        """Replay a journal with all keys; return what does not agree."""
        trust = self.town.world.domain
        replay = Replay(Journal(role.value), keys=pinned(trust), signers=signers(trust))
        core = self.town.house if role is Role.HOUSE else self.town.authority
        found = [d for n, e in enumerate(journal(core)) for d in replay.feed(n, e)]
        return [discrepancy.mark for discrepancy in found]

    def said(self, role: Role, call: bytes) -> list[Entry]:
        """Read what a journal says of a call."""
        core = self.town.house if role is Role.HOUSE else self.town.authority
        return [entry for entry in journal(core) if entry.call == call.hex()]

    def reasons(self, role: Role, refusal: Denied) -> list[Reason]:
        """Read the reasons of a refusal out of the journal that holds it."""
        core = self.town.house if role is Role.HOUSE else self.town.authority
        for entry in reversed(journal(core)):
            body: Deny | Refuse
            if entry.kind is Kind.PRIVATE_DENY:
                body = Deny.parse(entry.body)
            elif entry.kind is Kind.PRIVATE_REFUSE:
                body = Refuse.parse(entry.body)
            else:
                continue
            if body.denial == refusal.denial:
                return [finding.reason for finding in body.reasons]
        raise AssertionError("no such refusal in this journal")


Pieces: TypeAlias = list[wire.EvaluatePrivatelyRequest]


class Wire:
    """Stands between house and authority: sees what passes, and may change it."""

    def __init__(self, hidden: Hidden) -> None:
        self._house = hidden.house
        self._authority = self._house._authority
        self.asked: list[Pieces] = []
        self.answered: list[wire.EvaluatePrivatelyResponse] = []
        self.lost = 0  # answers that do not arrive

    def evaluate_privately(self, pieces: object) -> wire.EvaluatePrivatelyResponse:
        """Hand on a question and its answer."""
        message = list(pieces)  # type: ignore[call-overload]
        self.change(message)
        self.asked.append(message)
        response = self._authority.evaluate_privately(iter(message))
        self.answered.append(response)
        if self.lost:
            self.lost -= 1
            raise Unreachable("the answer was lost")
        return response

    def change(self, pieces: Pieces) -> None:
        """Change what passes; a test puts its own in place of this."""

    def __enter__(self) -> Self:
        self._house._authority = self
        return self

    def __exit__(self, *_: object) -> None:
        self._house._authority = self._authority


def settle(folder: Path) -> tuple[World, Hidden]:
    """Run a town whose subjects have all consented."""
    world = World(folder)
    town = Town(world, VALUES)
    for subject in town.ids:
        town.consent(subject)
    assert len(town.ids) > LEAST
    return world, Hidden(town)
