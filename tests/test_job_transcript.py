"""What auditors compute again of jobs, and what they find where a house lied.

The same people are asked about in single calls and in a job; what a bank is told, and
what two auditors compute again from the seeds, agree to the last bit.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from contracts import inputs
from contracts.job_transcript import NOT_SEED, JobCase, JobTranscripts, Seated
from contracts.subject import SubjectType, canonical_id, subject_ref
from contracts.transcript import Block, Replayed, Share, Transcripts
from node import directory, job_work
from node.errors import NotFound
from node.job_sources import Sources
from node.transcript import find_cases, find_messages, sample
from protocols import subset
from protocols.blocks import Manifest
from protocols.job import Basis
from protocols.sign import Signed
from protocols.tlog import Tree
from tests.crowds import Crowd, crowded, published, told

SUBJECTS = 260
LIST = 40


@dataclass
class Audit:
    """A town whose bank has asked, once each way, and auditors at work."""

    crowd: Crowd
    folder: Path
    ids: list[str]
    job: bytes
    calls: list[bytes]
    transcripts: JobTranscripts = field(init=False)

    def __post_init__(self) -> None:
        self.transcripts = JobTranscripts(self.crowd.world.domain.paillier)
        self.export()

    def export(self) -> None:
        """Take the journals home."""
        with self.crowd.world.auditor() as auditor:
            auditor.export(self.folder)

    def cases(self, name: bytes) -> tuple[JobCase, ...]:
        """Find messages."""
        return find_messages(self.folder, self.crowd.world.domain, [name])

    def shares(self, case: JobCase) -> list[Share]:
        """Let both auditors open theirs."""
        world = self.crowd.world
        with world.auditor() as one, world.auditor("auditor-b") as two:
            return [auditor.seed_share(case) for auditor in (one, two)]

    def replay(
        self,
        case: JobCase,
        shares: Sequence[Share] = (),
        edit: Callable[[Block], Block] = lambda block: block,
        subjects: Sequence[Seated] = (),
    ) -> Replayed:
        """Compute a message again, from blocks that may be edited."""
        with self.crowd.world.auditor() as auditor:

            def fetch(basis: Basis, block: int, slot: int) -> Block | None:
                found = auditor.job_block(basis, block, slot)
                return None if found is None else edit(found)

            return self.transcripts.replay(
                case, shares or self.shares(case), fetch, subjects
            )


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audit]:
    """Ask about the same people in a job and in single calls."""
    folder = tmp_path_factory.mktemp("transcripts")
    with crowded(folder / "world", SUBJECTS) as crowd:
        ids = crowd.people(LIST)
        job, outcomes = crowd.run(ids)
        calls = []
        with crowd.german.bank("lsbank") as bank:
            for subject in ids[:12]:
                single = bank.score("german-card", subject, consent=f"c-{subject}")
                one = outcomes[subject]
                assert (single.kind, single.reason, single.fields) == (
                    one.kind,
                    one.reason,
                    one.fields,
                )
                assert told(one) == published(subject)
                calls.append(single.request)
            assert bank.flush() == 0
        yield Audit(crowd, folder / "export", ids, job, calls)


def test_every_message_is_computed_again(audit: Audit) -> None:
    """Byte for byte, as are the single calls about the same people."""
    cases = audit.cases(audit.job)
    assert sum(len(part.entries) for c in cases for part in c.ticket.parts) == LIST
    assert len(cases) > 3
    shares = audit.shares(cases[0])
    for case in cases:
        assert audit.replay(case, shares) == Replayed(case.name, case.index, ())
        assert audit.cases(case.name) == (case,)
    trust = audit.crowd.world.domain
    transcripts = Transcripts(trust.paillier)
    world = audit.crowd.world
    with world.auditor() as one, world.auditor("auditor-b") as two:
        for call in find_cases(audit.folder, trust, audit.calls):
            both = [auditor.seed_share(call) for auditor in (one, two)]
            assert transcripts.replay(call, both, one.blocks(call)).identical


def test_a_sample_has_messages_and_calls(audit: Audit) -> None:
    """Nobody chooses: each is drawn by its hash."""
    trust = audit.crowd.world.domain
    messages = {case.name for case in audit.cases(audit.job)}
    drawn = sample(audit.folder, trust, 1_000, b"words")
    assert set(drawn) == messages | set(audit.calls)
    assert sample(audit.folder, trust, 3, b"words") == drawn[:3]


def test_nothing_was_computed_under_another_name(audit: Audit) -> None:
    """A job that is in no journal, a call, a message of nobody."""
    for name in (bytes(32), audit.calls[0]):
        with pytest.raises(NotFound, match="no message of a job"):
            audit.cases(name)


def test_shares_of_another_seed(audit: Audit) -> None:
    """Whoever's: the seed is the one that the ticket commits to, or none."""
    case = audit.cases(audit.job)[0]
    one, two = audit.shares(case)
    wrong = replace(one, share=bytes(32))
    assert audit.replay(case, [wrong, two]).differences == (NOT_SEED,)


def test_edited_blocks(audit: Audit) -> None:
    """Other ciphertexts, another place, another manifest, none: each is named."""
    case = audit.cases(audit.job)[0]
    number = case.ticket.parts[0].block

    def flipped(block: Block) -> Block:
        records = block.records
        return replace(block, records=records[:-1] + bytes([records[-1] ^ 1]))

    def short(block: Block) -> Block:
        return replace(block, records=block.records[:-1])

    def moved(block: Block) -> Block:
        return replace(block, inclusion=(bytes(32),))

    def unsigned(block: Block) -> Block:
        manifest = Manifest.parse(block.manifest.payload)
        other = replace(manifest, version=manifest.version + 1)
        return replace(block, manifest=Signed(other.to_bytes(), "", b""))

    for edit, words in (
        (flipped, "inclusion of"),
        (short, "expected "),
        (moved, "inclusion of"),
        (unsigned, "the house shows another manifest"),
    ):
        (difference,) = audit.replay(case, edit=edit).differences
        assert difference.startswith(f"block {number}: {words}")
    shares = audit.shares(case)
    gone = audit.transcripts.replay(case, shares, lambda *_: None)
    assert gone.differences[0].startswith(f"block {number}: the house does not have it")


def test_tickets_of_another_shape(audit: Audit) -> None:
    """Another job or contract, other versions, blocks, gates: each is named."""
    case = audit.cases(audit.job)[0]
    ticket = case.ticket
    basis, part = ticket.bases[0], ticket.parts[0]

    def other(**changes: object) -> JobCase:
        return replace(case, ticket=replace(ticket, **changes))  # type: ignore[arg-type]

    bases = ticket.bases[1:]
    lies = {
        "the job is not in the journal": replace(case, job=None),
        "the contract is not in the journal": replace(case, compiled=None),
        "signed by": replace(case, flaws=("signed by nobody",)),
        "the ticket is on other datasets": other(bases=bases[::-1]),
        "rests on version 9": other(bases=(replace(basis, version=9), *bases)),
        "names another map": other(
            bases=(replace(basis, row_map_root=bytes(32)), *bases)
        ),
        "the ticket names gate `flat`": other(gate="flat"),
        f"block {part.block}: the ciphertexts are not those": other(
            parts=(replace(part, inputs=bytes(32)),)
        ),
        "the message to the authority is another one": other(message=bytes(32)),
        "the pads are other ones": other(pads=bytes(32)),
    }
    for words, lie in lies.items():
        found = audit.replay(lie)
        assert not found.identical
        assert found.differences[0].startswith(words), found.differences


# -- whose slot


def seated(audit: Audit, subject: str, job: bytes) -> Seated:
    """Open a subject as the bank and a holder of the map do together."""
    crowd = audit.crowd
    with crowd.bank() as bank:
        ref = subject_ref(
            bank._keys.pepper,
            SubjectType.OPAQUE,
            canonical_id(SubjectType.OPAQUE, subject),
        )
        listed = bank._records.listed(job)
    entry = listed.subjects.index(subject)
    rows = {row.subject_ref: row for row in crowd.german.rows}
    return Seated(
        entry,
        ref,
        rows[ref].salt,
        listed.entries.salt(entry),
        listed.entries.consents[entry],
        tuple(subset.prove(Tree(listed.entries.leaves()), [entry])),
    )


def holding(audit: Audit, job: bytes, entry: int) -> JobCase:
    """Find the message that an entry is in."""
    return next(
        case
        for case in audit.cases(job)
        if any(entry in part.entries for part in case.ticket.parts)
    )


def test_the_slot_is_the_subjects(audit: Audit) -> None:
    """Bank and custodian open entry and slot; anybody else's does not fit."""
    subject, other = audit.ids[:2]
    right, wrong = (seated(audit, name, audit.job) for name in (subject, other))
    case = holding(audit, audit.job, right.entry)
    assert audit.replay(case, subjects=[right]).identical
    exchanged = replace(
        wrong, entry=right.entry, entry_salt=right.entry_salt, consent=right.consent
    )
    found = audit.replay(case, subjects=[replace(exchanged, proof=right.proof)])
    *slots, listed = found.differences
    assert len(slots) == len(audit.crowd.german.datasets)
    assert all(told.endswith("is another subject's") for told in slots)
    assert listed == f"entry {right.entry} of the list is another subject's"
    short = audit.replay(case, subjects=[replace(right, proof=())])
    assert short.differences[0].startswith(f"entry {right.entry}: subset of")
    nowhere = replace(right, entry=LIST + 1)
    assert audit.replay(case, subjects=[nowhere]).differences == (
        f"entry {LIST + 1} has no slot in this message",
    )


def test_a_house_that_exchanges_two_subjects(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each gets the other's outcome, all proofs hold; who opens the slots sees it."""
    crowd = audit.crowd
    first, second = crowd.people(2)
    places = directory.places

    def exchanged(*given: object) -> list[int | None]:
        return places(*given)[::-1]  # type: ignore[arg-type]

    with monkeypatch.context() as lying:
        lying.setattr(directory, "places", exchanged)
        job, outcomes = crowd.run([first, second])
    assert told(outcomes[first]) == published(second)
    assert crowd.replayed()[0] == []  # no journal shows it
    audit.export()
    seat = seated(audit, first, job)
    case = holding(audit, job, seat.entry)
    assert audit.replay(case).identical
    found = audit.replay(case, subjects=[seat])
    assert found.differences
    assert all("is another subject's" in told for told in found.differences)


# -- another computation


def other_total(audit: Audit, lying: pytest.MonkeyPatch) -> bytes:
    """Run a job whose house masks another total than the contract's."""
    honest = inputs.block_messages

    def message(
        gate: object, base: object, totals: Sequence[object], *rest: object
    ) -> object:
        return honest(gate, base, list(totals)[::-1], *rest)  # type: ignore[arg-type]

    lying.setattr(job_work.inputs_room, "block_messages", message)
    return audit.crowd.run(audit.crowd.people(30))[0]


def test_another_total(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every proof and journal holds; the message is not the contract's."""
    with monkeypatch.context() as lying:
        job = other_total(audit, lying)
    assert audit.crowd.replayed()[0] == []
    audit.export()
    found = [audit.replay(case).differences for case in audit.cases(job)]
    assert ("the message to the authority is another one",) in found


def test_older_data(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that was replaced: named, and so by the replay of decisions."""
    crowd, house = audit.crowd, audit.crowd.german.house
    with house.ledger.reader() as db:
        old = Sources.newest(db, house.registry, house.vault, crowd.german.contract)
    name, dataset = next(iter(crowd.german.datasets.items()))
    crowd.german.push(dataset, crowd.german.values(dataset, crowd.german.ids), 2)
    with monkeypatch.context() as lying:
        lying.setattr(Sources, "newest", lambda *_: old)
        lying.setattr(Sources, "are_newest", lambda *_: True)
        job, _ = crowd.run(crowd.people(30))
    audit.export()
    found = {told for c in audit.cases(job) for told in audit.replay(c).differences}
    assert found == {f"rests on version 1 of `{name}`, version 2 was the newest"}
    assert {str(one.mark) for one in crowd.replayed()[0]} == {"STALE_INPUT"}
