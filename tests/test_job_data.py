"""What a job computes on: damaged blocks, pushes in between, and nobody else's slot."""

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest

from contracts import job_bodies
from contracts.decide import Reason
from contracts.inputs import Inputs
from contracts.replay import Role
from node import job_authority
from node.domain import Role as Party
from node.errors import NodeError
from node.job_run import Run
from node.job_sources import Sources
from node.job_store import State
from node.job_work import Computer
from protocols.entry import Kind
from protocols.job import JobTicket
from protocols.lookup import Picked, house_message
from protocols.slots import split, unpack
from protocols.split import SplitGate
from tests.crowds import Crowd, crowded, published, told
from tests.test_job_crashes import Cut, kill_at, stuck, until
from tests.test_lookup import (
    ALL,
    BASE,
    CARD,
    KEY,
    PUBLIC,
    SEEN,
    VIEWS,
    check_authority_view,
    chi_square,
    seeds,
    slots_of,
)

SUBJECTS = 300


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """Run a town; every test takes subjects of its own."""
    with crowded(tmp_path_factory.mktemp("data"), SUBJECTS) as made:
        yield made


def tickets(crowd: Crowd, job: bytes) -> list[JobTicket]:
    """Read the tickets that the house journalled for a job."""
    return [
        JobTicket.parse(job_bodies.Intent.parse(entry.body).ticket.payload)
        for entry in crowd.entries(Role.HOUSE)
        if entry.kind is Kind.JOB_INTENT and entry.call == job.hex()
    ]


# -- damage


def damage(crowd: Crowd, subject: str) -> tuple[str, int]:
    """Flip a bit of the stored block that a subject is in; return what to undo."""
    german = crowd.german
    with german.house.ledger.reader() as db:
        dataset = next(iter(german.datasets))
        manifest = german.house.registry.manifest(db, dataset)
    assert manifest is not None
    path = german.house.vault.path(manifest.ciphertext_root)
    blocks = german.house.vault.open(manifest.ciphertext_root)
    header = blocks.file.header
    block = german.number(subject) // crowd.world.slots
    start = path.stat().st_size - (header.blocks - block) * header.block_bytes
    flip(str(path), start + 7)
    return str(path), start + 7


def flip(path: str, at: int) -> None:
    """Flip a bit of a file."""
    with open(path, "r+b") as file:  # noqa: PTH123
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("restarted", [False, True])
def test_a_damaged_block_is_named(crowd: Crowd, restarted: bool) -> None:  # noqa: FBT001
    """Case 62: by flag the job fails, or its subjects are denied; nobody is used."""
    ids = crowd.people(20)
    slots = crowd.world.slots
    sick = {
        s
        for s in ids
        if crowd.german.number(s) // slots == crowd.german.number(ids[0]) // slots
    }
    where = damage(crowd, ids[0])
    try:
        if restarted:
            crowd.restart(Party.HOUSE)
        with crowd.bank() as bank:
            job = bank.submit("german-card", crowd.pairs(ids))
            end = crowd.end(bank, job)
            block = crowd.german.number(ids[0]) // slots
            assert end.state is State.FAILED
            assert f"block {block} of dataset" in end.reason
            job = bank.submit("german-card", crowd.pairs(ids), damaged="deny")
            outcomes = crowd.outcomes(bank, job)
    finally:
        flip(*where)
    for subject in ids:
        if subject in sick:
            assert told(outcomes[subject]) == ("denied", "DATA_DAMAGED", "")
        else:  # nothing was spent by the job that failed
            assert told(outcomes[subject]) == published(subject)
    assert crowd.uses(sorted(sick)) == [0] * len(sick)
    assert crowd.replayed()[0] == []


# -- pushes


def push(crowd: Crowd) -> str:
    """Push the next version of a dataset, the same values."""
    german = crowd.german
    name, dataset = next(iter(german.datasets.items()))
    with german.house.ledger.reader() as db:
        manifest = german.house.registry.manifest(db, name)
    assert manifest is not None
    values = german.values(dataset, german.ids)
    german.push(dataset, values, version=manifest.version + 1)
    return name


def test_a_message_rests_on_the_newest_data(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pushed while it was computed: it is computed again, under another mask."""
    ids = crowd.people(5)
    made: list[JobTicket] = []
    ticket = Run._ticket

    def pushing(run: Run, *args: object) -> JobTicket:
        made.append(ticket(run, *args))  # type: ignore[arg-type]
        if len(made) == 1:
            push(crowd)
        return made[-1]

    monkeypatch.setattr(Run, "_ticket", pushing)
    job, outcomes = crowd.run(ids)
    for subject in ids:
        assert told(outcomes[subject]) == published(subject)
    first = made[0]
    (second,) = (
        t for t in tickets(crowd, job) if t.parts[0].block == first.parts[0].block
    )
    assert first.bases != second.bases
    assert first.parts[0].inputs != second.parts[0].inputs
    assert first.message != second.message
    assert crowd.replayed()[0] == []


def test_a_message_is_made_again_from_its_ticket(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pushed after its intent: a resumed message has the versions, and the bytes."""
    ids = crowd.people(5)
    with crowd.bank() as bank:
        with monkeypatch.context() as patch:
            kill_at(Cut(Run, "_depart", Party.HOUSE, after=True), crowd, patch)
            with suppress(NodeError):
                bank.submit("german-card", crowd.pairs(ids))
            job = bank._records.all()[-1]
            until(lambda: stuck(crowd, Cut(Run, "", Party.HOUSE)))
        intended = tickets(crowd, job)
        crowd.restart(Party.HOUSE)
        name = push(crowd)
        crowd.jobs.start()
        assert crowd.end(bank, job).state is State.FINISHED
        outcomes = crowd.outcomes(bank, job)
    for subject in ids:
        assert told(outcomes[subject]) == published(subject)
    after = tickets(crowd, job)
    assert set(intended) <= set(after)
    versions = {b.version for t in after for b in t.bases if b.dataset == name}
    assert len(versions) == 1 + (len(after) > len(intended))
    assert crowd.replayed()[0] == []


# -- one seed


def test_single_calls_and_jobs_agree_under_one_seed(crowd: Crowd) -> None:
    """The masked ciphertext is the same; a slot's tables are its part of the batch."""
    house, seed = crowd.german.house, b"s" * 32
    compiled, slots = crowd.german.contract, tuple(range(crowd.world.slots))
    with house.ledger.reader() as db:
        sources = Sources.newest(db, house.registry, house.vault, compiled)
        computer = Computer(crowd.world.domain.paillier)
        (batch,) = computer.compute(sources.work(compiled, seed, [(3, slots)]))
        size = SplitGate(compiled.card).table_bytes
        for slot in slots:
            (alone,) = computer.compute(sources.work(compiled, seed, [(3, (slot,))]))
            inputs = house.engine.inputs(db, compiled, 3 * len(slots) + slot)
            single, _ = house.engine.message(db, compiled, inputs, seed)
            assert single.ciphertext == batch.message.ciphertext
            assert alone.message.ciphertext == batch.message.ciphertext
            tables = batch.message.tables[slot * size : (slot + 1) * size]
            assert alone.message.tables == tables
            assert alone.pad_key == batch.pad_key
            assert Inputs(3, 0, inputs.items).root == inputs.root


# -- nobody else's slot


@pytest.mark.parametrize("name", ["at a threshold", "all vetoes"])
def test_slots_that_are_not_asked_about_are_noise(name: str) -> None:
    """What the authority decrypts beside the permitted slots is uniform."""
    total, gate = slots_of(name), SplitGate(CARD)
    permitted, others = (2, 5), [slot for slot in ALL if slot not in (2, 5)]
    plains = []
    for seed in seeds(name):
        message, _ = house_message(gate, PUBLIC, BASE, total, permitted, seed)
        assert len(message.tables) == 2 * gate.table_bytes
        z = KEY.decrypt(message.ciphertext)
        plains.append(z.to_bytes(PUBLIC.bits // 8, "little"))
    seen = split(np.concatenate([unpack(plain, others) for plain in plains]), SEEN)
    check_authority_view(seen, VIEWS[name])


def test_the_unconsented_stay_noise_at_the_authority(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a job: tables come for permitted slots only, the rest of z is uniform."""
    seen: list[Picked] = []
    pick_all = job_authority.authority_pick_all

    def picking(*args: object) -> list[Picked]:
        picked = pick_all(*args)  # type: ignore[arg-type]
        seen.extend(picked)
        return picked

    monkeypatch.setattr(job_authority, "authority_pick_all", picking)
    ids = [*crowd.people(40), *crowd.strangers(40)]
    job, _ = crowd.run(ids)
    asked = {part.block: part.slots for t in tickets(crowd, job) for part in t.parts}
    consenting = {divmod(crowd.german.number(s), crowd.world.slots) for s in ids[:40]}
    assert {(b, s) for b, slots in asked.items() for s in slots} == consenting
    assert sum(len(one.rows) for one in seen) == 40
    fields = crowd.german.contract.card.fields
    slots = range(crowd.world.slots)
    cells = np.concatenate(
        [unpack(one.z.to_bytes(PUBLIC.bits // 8, "little"), slots) for one in seen]
    )
    for column in split(cells, fields).T:
        assert chi_square(column & 7, 8) < 8  # more, once in two hundred thousand


def test_a_bank_opens_what_was_left_to_it(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a message withdrawn: nothing is decrypted, and the bank is told so."""
    ids = crowd.people(2)
    monkeypatch.setattr(job_authority, "_withdrawn", all_of_it)
    with crowd.bank() as bank:
        job = bank.submit("german-card", crowd.pairs(ids))
        outcomes = crowd.outcomes(bank, job)
        end = crowd.end(bank, job)
    assert {told(outcome) for outcome in outcomes.values()} == {("withdrawn", "", "")}
    assert (end.withdrawn, end.released) == (2, 0)
    # The authority that drops a consent that stands is found out by replay.
    assert {str(found.mark) for found in crowd.replayed()[0]} == {"DECISION_DIFFERS"}


def all_of_it(_db: object, inquiry: job_authority.Inquiry) -> object:
    """Drop every slot."""
    return tuple(
        job_bodies.Dropped(part.block, part.slots, Reason.WITHDRAWN)
        for part in inquiry.ticket.parts
    )
