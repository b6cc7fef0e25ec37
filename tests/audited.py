"""A town that has been exported, and what its nodes could make of their journals.

`Audited.rewrite` is a node that lies with its own, real journal key: it signs other
entries, with a checkpoint for every size, so that structure alone finds nothing.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from node.client import BankClient
from node.domain import Role
from node.errors import Denied
from node.export import Source, read_export, write_export
from node.keys import AuthorityKeys, HouseKeys
from node.receipts import Kept
from node.report import Finding, Report
from node.verify import verify
from protocols.canon import Tag
from protocols.entry import Entry, Kind
from protocols.note import Checkpoint, VerifierKey
from protocols.sign import Signed, sign
from protocols.tlog import Tree, leaf_hash
from tests.german import German
from tests.simulator import World

SUBJECTS = 14  # two blocks

Rewrite = Callable[[list[Entry]], list[Entry]]


@dataclass
class Audited:
    """A German town, its export, and what its banks kept."""

    german: German
    folder: Path
    kept: list[Kept]

    @property
    def world(self) -> World:
        """The trust domain."""
        return self.german.world

    @property
    def fresh(self) -> list[Kept]:
        """List what banks kept of calls that were computed."""
        return [
            item
            for item in self.kept
            if item.reply is not None and not item.reply.HasField("repeat")
        ]

    def entries(self, role: Role) -> list[Entry]:
        """Read an exported journal."""
        export = read_export(
            self.folder / role.value, self.world.domain.verifiers(role)
        )
        return [Entry.parse(data) for data in export.entries()]

    def copy(self, folder: Path) -> Path:
        """Copy the export, to be edited."""
        shutil.copytree(self.folder, folder)
        return folder

    def rewrite(self, folder: Path, role: Role, change: Rewrite) -> Path:
        """Export what a node with its real key makes of its journal."""
        if not folder.exists():
            self.copy(folder)
        shutil.rmtree(folder / role.value)
        data = [entry.to_bytes() for entry in change(self.entries(role))]
        write_export(folder / role.value, self.source(role, data))
        return folder

    def source(self, role: Role, data: Sequence[bytes]) -> Source:
        """Sign a journal of other entries, with a checkpoint for every size."""
        domain = self.world.domain
        keys = self.world.composed.keys[role.value]
        assert isinstance(keys, HouseKeys | AuthorityKeys)
        tree = Tree(map(leaf_hash, data))
        notes = [
            Checkpoint(domain.origin(role), size, tree.root(size)).sign(keys.journal)
            for size in range(1, len(data) + 1)
        ]
        return Source(
            VerifierKey.of(domain.origin(role), keys.journal),
            notes[-1],
            lambda since: notes[max(since, 0) :],
            lambda start, stop: data[start:stop],
        )

    def sign(self, party: str, tag: Tag, payload: bytes) -> Signed:
        """Sign with a party's real key for documents."""
        keys = self.world.composed.keys[party]
        if isinstance(keys, HouseKeys):
            return sign(tag, payload, keys.ticket)
        if isinstance(keys, AuthorityKeys):
            return sign(tag, payload, keys.receipt)
        return sign(tag, payload, keys.sign)

    def verify(self, folder: Path, **given: object) -> Report:
        """Verify a folder under the real trust domain."""
        report = verify(folder, self.world.domain, **given)  # type: ignore[arg-type]
        json.dumps(report.to_json())
        return report


@contextmanager
def audited(folder: Path) -> Iterator[Audited]:
    """Run a town for a while, and export it."""
    with World(folder / "world") as world:
        german = German(world, SUBJECTS)
        for subject in german.ids[:8]:
            german.grant(subject)
        with german.bank() as bank, german.bank("lsbank") as other:
            ask(german, bank, *range(4), 0)  # the last is a repeat
            ask(german, other, 4)
            for consent in ("c-unknown", f"c-{german.ids[1]}"):
                with suppress(Denied):
                    bank.score("german-card", german.ids[5], consent=consent)
            assert bank.flush() == other.flush() == 0
            kept = bank.receipts() + other.receipts()
        with world.auditor() as auditor:
            auditor.export(folder / "export")
        yield Audited(german, folder / "export", kept)


def ask(german: German, bank: BankClient, *numbers: int) -> list[bytes]:
    """Ask about some subjects; return the calls."""
    subjects = [german.ids[number] for number in numbers]
    return [
        bank.score("german-card", subject, consent=f"c-{subject}").request
        for subject in subjects
    ]


def places(entries: Sequence[Entry], kind: Kind) -> list[int]:
    """Find the entries of a kind."""
    return [index for index, entry in enumerate(entries) if entry.kind is kind]


def with_body(entry: Entry, **members: object) -> Entry:
    """Change members of an entry's body."""
    return replace(entry, body={**entry.body, **members})  # type: ignore[dict-item]


def told(findings: Sequence[Finding]) -> set[tuple[str, int | None, str]]:
    """Where and what."""
    return {(finding.journal, finding.index, finding.mark) for finding in findings}
