"""Jobs among parties that cheat: what the authority refuses, what the bank refuses."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from contracts import job_bodies
from contracts.decide import Reason
from contracts.replay import Role
from node import job_run
from node.errors import Denied, NotFound, ReplyRefused
from node.job_store import State
from node.keys import HouseKeys
from node.remote import RemoteAuthority
from node.status import from_wire, to_wire
from node.wire.v1 import common_pb2, job_evaluation_pb2, job_pb2
from protocols import hpke
from protocols.call import Denial
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.errors import FormatError
from protocols.job import (
    JobDenials,
    JobReceipt,
    JobTicket,
    message_hash,
    ticket_hash,
)
from protocols.lookup import Message
from protocols.paillier import ciphertext_from_bytes
from protocols.sign import Signed, sign
from tests.crowds import Crowd, crowded

SUBJECTS = 400
EACH = 12

Permit = job_evaluation_pb2.PermitJobRequest
Evaluate = job_evaluation_pb2.EvaluateJobRequest


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """Run a town; every test takes subjects of its own."""
    with (
        crowded(tmp_path_factory.mktemp("hostile"), SUBJECTS) as made,
        pytest.MonkeyPatch.context() as patch,
    ):
        # `intended` shows the authority a head that no message beside it has seen.
        patch.setattr(job_run, "COURIERS", 1)
        yield made


@dataclass
class Wire:
    """The wire between house and authority, where somebody changes messages."""

    permits: list[Permit] = field(default_factory=list)
    evaluations: list[Evaluate] = field(default_factory=list)
    on_permit: Callable[[Permit], Permit] = lambda message: message
    on_evaluate: Callable[[Evaluate], Evaluate] = lambda message: message


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Listen to the wire."""
    between = Wire()
    permit, evaluate = RemoteAuthority.permit_job, RemoteAuthority.evaluate_job

    def permit_job(far: RemoteAuthority, message: Permit) -> Any:  # noqa: ANN401
        changed = Permit.FromString(message.SerializeToString())
        between.permits.append(message)
        return permit(far, between.on_permit(changed))

    def evaluate_job(far: RemoteAuthority, message: Evaluate) -> Any:  # noqa: ANN401
        changed = Evaluate.FromString(message.SerializeToString())
        between.evaluations.append(message)
        return evaluate(far, between.on_evaluate(changed))

    monkeypatch.setattr(RemoteAuthority, "permit_job", permit_job)
    monkeypatch.setattr(RemoteAuthority, "evaluate_job", evaluate_job)
    return between


def refusal(crowd: Crowd, subjects: list[str]) -> tuple[str, list[Reason]]:
    """Run a job that is refused; return the public reason, and the journal's."""
    with crowd.bank() as bank:
        job = bank.submit("german-card", crowd.pairs(subjects))
        end = crowd.end(bank, job)
    assert end.state is State.DENIED
    assert end.released == 0
    bodies = [
        job_bodies.Refuse.parse(entry.body)
        for entry in crowd.entries(Role.AUTHORITY)
        if entry.kind is Kind.JOB_REFUSE and entry.call == job.hex()
    ]
    reasons = [finding.reason for finding in bodies[0].reasons]
    assert Denial.parse(bodies[0].denial.payload).reason == reasons[0].value
    assert crowd.kinds(Role.AUTHORITY, job)["job.done"] == 0
    return end.reason.partition(":")[0], reasons


# -- stretches


def another_consent(message: Permit) -> Permit:
    """Ask under another consent than the bank's list says."""
    message.entries.consents[0], message.entries.consents[1] = (
        message.entries.consents[1],
        message.entries.consents[0],
    )
    return message


def another_subject(message: Permit) -> Permit:
    """Ask about somebody the bank did not name."""
    message.entries.subject_refs = secrets.token_bytes(32) + bytes(
        message.entries.subject_refs[32:]
    )
    return message


def another_place(message: Permit) -> Permit:
    """Say that two entries stand in each other's place."""
    message.indices[0], message.indices[1] = message.indices[1], message.indices[0]
    return message


def a_short_proof(message: Permit) -> Permit:
    """Leave out what proves that the entries are the bank's."""
    del message.proof[:]
    message.proof.extend([bytes(32)] * 40)
    return message


def blocks_out_of_order(message: Permit) -> Permit:
    """Put two entries into one slot."""
    message.blocks[1], message.slots[1] = message.blocks[0], message.slots[0]
    return message


def no_such_slot(message: Permit) -> Permit:
    """Name a slot beyond the block."""
    message.slots[-1] = 11
    return message


@pytest.mark.parametrize(
    "change",
    [
        another_consent,
        another_subject,
        another_place,
        a_short_proof,
        blocks_out_of_order,
        no_such_slot,
    ],
)
def test_a_stretch_is_of_the_list_that_the_bank_signed(
    crowd: Crowd, wire: Wire, change: Callable[[Permit], Permit]
) -> None:
    """Whatever the house makes of it: the job is refused, and nothing was used."""
    people = crowd.people(EACH)
    wire.on_permit = change
    assert refusal(crowd, people) == ("TICKET_INVALID", [Reason.TICKET_INVALID])
    assert crowd.uses(people) == [0] * EACH
    assert crowd.replayed()[0] == []


def test_an_entry_is_decided_once(crowd: Crowd, wire: Wire) -> None:
    """The same stretch again is answered from the disk, any other is refused."""
    people = crowd.people(EACH)
    with crowd.bank() as bank:
        job = bank.submit("german-card", crowd.pairs(people))
        crowd.end(bank, job)
    (message,) = wire.permits
    authority = crowd.authority
    first = authority.permit(message)
    assert authority.permit(message) == first
    for number in (message.number, message.number + 1):
        other = Permit.FromString(message.SerializeToString())
        other.number = number
        other.entries.salts = bytes(other.entries.salts)
        if number == message.number:
            other.slots[-1] = (other.slots[-1] + 1) % 11
        with pytest.raises(Denied) as caught:
            authority.permit(other)
        assert caught.value.reason == "REPLAY_MISMATCH"
    assert crowd.uses(people) == [1] * EACH
    unknown = Permit.FromString(message.SerializeToString())
    unknown.job = bytes(32)
    with pytest.raises(NotFound, match="no such job"):
        authority.permit(unknown)
    unknown.job = message.job
    del unknown.slots[:]
    with pytest.raises(FormatError, match="one length"):
        authority.permit(unknown)
    assert crowd.replayed()[0] == []


# -- messages


def resigned(crowd: Crowd, sent: Evaluate, /, **changes: object) -> Evaluate:
    """Sign another ticket for a message, as a broken house would, and intend it."""
    ticket = JobTicket.parse(sent.ticket.payload)
    ticket = replace(ticket, **changes)  # type: ignore[arg-type]
    keys = crowd.world.keys("house", HouseKeys)
    signed = sign(Tag.JOB_TICKET, ticket.to_bytes(), keys.ticket)
    return intended(crowd, sent, signed)


def intended(crowd: Crowd, message: Evaluate, signed: Signed) -> Evaluate:
    """Journal an intent of a ticket and prove it in a message."""
    house = crowd.german.house
    job = JobTicket.parse(signed.payload).job
    body = job_bodies.Intent(signed).to_body()
    intent = house.ledger.commit(
        lambda tx: tx.append(Kind.JOB_INTENT, "house", job.hex(), body)
    ).value
    found: list[Evaluate] = []

    def take(logged: common_pb2.Logged, links: list[common_pb2.HeadLink]) -> None:
        found.append(
            Evaluate(
                ticket=to_wire(signed),
                ciphertexts=message.ciphertexts,
                tables=message.tables,
                intent=logged,
                links=links,
            )
        )

    house.consultation.consult(intent, take)
    return found[0]


def hash_of(crowd: Crowd, message: Evaluate) -> bytes:
    """Hash what a message carries."""
    ticket = JobTicket.parse(message.ticket.payload)
    size = crowd.world.domain.paillier.ciphertext_bytes
    slots = sum(len(part.slots) for part in ticket.parts)
    table, at, blocks = len(message.tables) // slots, 0, []
    for number, part in enumerate(ticket.parts):
        data = message.ciphertexts[number * size : (number + 1) * size]
        end = at + table * len(part.slots)
        one = Message(
            int(ciphertext_from_bytes(data)), part.slots, message.tables[at:end]
        )
        blocks.append((part.block, one))
        at = end
    return message_hash(blocks)


def other_bytes(_: Crowd, message: Evaluate) -> Evaluate:
    """Change a table under the house's ticket."""
    message.tables = bytes([message.tables[0] ^ 1]) + message.tables[1:]
    return message


def no_unit(crowd: Crowd, message: Evaluate) -> Evaluate:
    """Send n itself: its decryption would factor the key."""
    public = crowd.world.domain.paillier
    size = public.ciphertext_bytes
    message.ciphertexts = int(public.n).to_bytes(size, "big") + bytes(
        message.ciphertexts[size:]
    )
    return resigned(crowd, message, message=hash_of(crowd, message))


def another_slot(crowd: Crowd, message: Evaluate) -> Evaluate:
    """Ask about a slot that nobody permitted."""
    ticket = JobTicket.parse(message.ticket.payload)
    first, *rest = ticket.parts
    free = next(slot for slot in range(11) if slot not in first.slots)
    slots = tuple(sorted((free, *first.slots[1:])))
    ticket = replace(ticket, parts=(replace(first, slots=slots), *rest))
    message.ticket.CopyFrom(to_wire(Signed(ticket.to_bytes(), "", b"")))
    return resigned(crowd, message, message=hash_of(crowd, message))


def another_entry(crowd: Crowd, message: Evaluate) -> Evaluate:
    """Say that a slot is another entry's."""
    ticket = JobTicket.parse(message.ticket.payload)
    first, *rest = ticket.parts
    moved = replace(first, entries=(*first.entries[:-1], first.entries[-1] + 90))
    return resigned(crowd, message, parts=(moved, *rest))


def another_gate(crowd: Crowd, message: Evaluate) -> Evaluate:
    """Lay the tables out for single calls."""
    return resigned(crowd, message, gate="flat")


def other_datasets(crowd: Crowd, message: Evaluate) -> Evaluate:
    """Rest on other data than the contract's."""
    bases = JobTicket.parse(message.ticket.payload).bases
    return resigned(crowd, message, bases=bases[:-1])


def no_intent(crowd: Crowd, message: Evaluate) -> Evaluate:
    """Ask without having journalled it: the proof is of another entry."""
    ledger = crowd.german.house.ledger
    proof = replace(ledger.proof(0), extra=ledger.entry(0))
    message.intent.proof = proof.to_text()
    return message


def unsigned(crowd: Crowd, message: Evaluate) -> Evaluate:
    """Sign the ticket with the bank's key."""
    signed = from_wire(message.ticket)
    keys = crowd.world.composed.keys["jnrcb"]
    return intended(crowd, message, sign(Tag.JOB_TICKET, signed.payload, keys.sign))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (other_bytes, Reason.MESSAGE_INVALID),
        (no_unit, Reason.MESSAGE_INVALID),
        (another_slot, Reason.TICKET_INVALID),
        (another_entry, Reason.TICKET_INVALID),
        (another_gate, Reason.TICKET_INVALID),
        (other_datasets, Reason.TICKET_INVALID),
        (no_intent, Reason.INTENT_UNPROVEN),
        (unsigned, Reason.SIGNATURE_INVALID),
    ],
)
def test_a_message_is_what_was_permitted_compiled_and_intended(
    crowd: Crowd,
    wire: Wire,
    change: Callable[[Crowd, Evaluate], Evaluate],
    reason: Reason,
) -> None:
    """Whatever else it is: the job is refused, nothing decrypted."""
    wire.on_evaluate = lambda message: change(crowd, message)
    public, reasons = refusal(crowd, crowd.people(3))
    assert (public, reasons) == (reason.value, [reason])


def test_a_block_is_decrypted_once(crowd: Crowd, wire: Wire) -> None:
    """The same message gets the same reply; a second one about a block is refused."""
    with crowd.bank() as bank:
        job = bank.submit("german-card", crowd.pairs(crowd.people(3)))
        crowd.end(bank, job)
    message = wire.evaluations[0]
    again = crowd.authority.evaluate(message)
    assert crowd.authority.evaluate(message) == again
    name = ticket_hash(message.ticket.payload)
    with crowd.german.authority.ledger.reader() as db:
        stored = db.execute(
            "SELECT reply FROM job_message WHERE ticket = ?", (name,)
        ).get
    assert stored == again.SerializeToString(deterministic=True)
    done = crowd.kinds(Role.AUTHORITY, job)["job.done"]
    second = resigned(crowd, message, issued_ms=1)
    with pytest.raises(Denied) as caught:
        crowd.authority.evaluate(second)
    assert caught.value.reason == "REPLAY_MISMATCH"
    assert crowd.kinds(Role.AUTHORITY, job)["job.done"] == done


def test_a_reply_that_was_forgotten_is_made_again(crowd: Crowd, wire: Wire) -> None:
    """After the time it is kept: same permits, same rows, same receipt but its head."""
    with crowd.bank() as bank:
        job = bank.submit("german-card", crowd.pairs(crowd.people(3)))
        crowd.end(bank, job)
    message = wire.evaluations[0]
    before = crowd.authority.evaluate(message)
    name = ticket_hash(message.ticket.payload)
    crowd.german.authority.ledger.commit(
        lambda tx: tx.db.execute(
            "UPDATE job_message SET reply = NULL WHERE ticket = ?", (name,)
        )
    )
    after = crowd.authority.evaluate(message)
    first, second = (
        JobReceipt.parse(reply.receipt.payload) for reply in (before, after)
    )
    assert (first.opened, first.decrypted) == (second.opened, second.decrypted)
    assert first.permits.indices == second.permits.indices


# -- what the bank refuses


@pytest.fixture(scope="module")
def released(crowd: Crowd) -> tuple[bytes, list[job_pb2.FetchJobResponse]]:
    """Run a job, and keep what the house released; it has answers and refusals."""
    with crowd.bank() as bank:
        subjects = [*crowd.people(9), *crowd.strangers(3)]
        job = bank.submit("german-card", crowd.pairs(subjects))
        crowd.end(bank, job)
        return job, list(bank._releases_from(job, 0, follow=True))


def flipped(data: bytes, at: int = 40) -> bytes:
    """Flip a bit."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def edited_ticket(answer: job_pb2.JobAnswer, _: Crowd) -> None:
    """Edit a ticket after it was signed."""
    answer.ticket.payload = answer.ticket.payload.replace(b'"stretch":', b'"stretcg":')


def edited_receipt(answer: job_pb2.JobAnswer, _: Crowd) -> None:
    """Edit a receipt after it was signed."""
    answer.receipt.payload = answer.receipt.payload.replace(b"dropped", b"droqped")


def forged_box(answer: job_pb2.JobAnswer, crowd: Crowd) -> None:
    """Seal something else to the bank: HPKE names no sender."""
    bank = crowd.world.domain.party("jnrcb")
    size = len(answer.box) - hpke.OVERHEAD
    name = ticket_hash(answer.ticket.payload)
    answer.box = hpke.seal(bank.hpke[0], name, secrets.token_bytes(size))


def other_pads(answer: job_pb2.JobAnswer, _: Crowd) -> None:
    """Hand out other pads."""
    answer.pads = flipped(answer.pads, 3)


def missing_pads(answer: job_pb2.JobAnswer, _: Crowd) -> None:
    """Hand out too few pads."""
    answer.pads = answer.pads[:-32]


def no_permits(answer: job_pb2.JobAnswer, _: Crowd) -> None:
    """Leave out where the permits stand."""
    del answer.permits.entries[:]


def edited_permit(answer: job_pb2.JobAnswer, _: Crowd) -> None:
    """Edit a permit."""
    entry = answer.permits.entries[0]
    entry.entry = entry.entry.replace(b'"millibits":', b'"millibitt":')


def older_checkpoint(answer: job_pb2.JobAnswer, crowd: Crowd) -> None:
    """Prove the permits under another head than the receipt's."""
    ledger = crowd.german.authority.ledger
    head = ledger.head
    answer.permits.checkpoint = head.note
    for entry in answer.permits.entries:
        del entry.inclusion[:]
        entry.inclusion.extend(ledger.inclusion(entry.index, head.size))


def another_outcome(answer: job_pb2.JobAnswer, crowd: Crowd) -> None:
    """Prove another entry than the outcome."""
    ledger = crowd.german.house.ledger
    answer.outcome.proof = replace(ledger.proof(0), extra=ledger.entry(0)).to_text()


ALTERATIONS = (
    edited_ticket,
    edited_receipt,
    forged_box,
    other_pads,
    missing_pads,
    no_permits,
    edited_permit,
    older_checkpoint,
    another_outcome,
)


@pytest.mark.parametrize("change", ALTERATIONS)
def test_a_bank_refuses_an_altered_answer(
    crowd: Crowd,
    released: tuple[bytes, list[job_pb2.FetchJobResponse]],
    change: Callable[[job_pb2.JobAnswer, Crowd], None],
) -> None:
    """Whatever was altered: nothing of it is opened, nothing of it counts."""
    job, releases = released
    with crowd.bank() as bank:
        reader = bank._reader(job)
        for release in releases:
            if release.WhichOneof("release") == "answer":
                altered = job_pb2.FetchJobResponse.FromString(
                    release.SerializeToString()
                )
                change(altered.answer, crowd)
                with pytest.raises(ReplyRefused):
                    reader.read(altered)
            reader.read(release)  # the true one still reads


def test_a_bank_reads_everything_once(
    crowd: Crowd, released: tuple[bytes, list[job_pb2.FetchJobResponse]]
) -> None:
    """A second outcome or refusal of one entry is refused, as is another job's."""
    job, releases = released
    with crowd.bank() as bank:
        reader = bank._reader(job)
        for release in releases:
            reader.read(release)
            with pytest.raises(ReplyRefused, match="ended before"):
                reader.read(release)
        other = bank.submit("german-card", crowd.pairs(crowd.people(12)))
        bank.fetch(other)
        for release in releases:
            with pytest.raises(ReplyRefused, match="another job"):
                bank._reader(other).read(release)


def test_a_bank_refuses_forged_refusals(
    crowd: Crowd, released: tuple[bytes, list[job_pb2.FetchJobResponse]]
) -> None:
    """By somebody else, in the name of another, for no reason, about nobody."""
    job, releases = released
    (refusals,) = (r for r in releases if r.WhichOneof("release") == "denials")
    denials = JobDenials.parse(refusals.denials.payload)
    item = denials.items[0]
    forged = [
        (replace(denials, by="jnrcb"), "jnrcb"),
        (denials, "lsbank"),
        (replace(denials, by="nobody"), "house"),
        (replace(denials, items=(replace(item, reason="BECAUSE"),)), "house"),
        (replace(denials, items=(replace(item, index=99),)), "house"),
        (replace(denials, items=(item, item)), "house"),
        (replace(denials, items=()), "house"),
    ]
    with crowd.bank() as bank:
        reader = bank._reader(job)
        for document, signer in forged:
            keys = crowd.world.composed.keys[signer]
            key = keys.ticket if isinstance(keys, HouseKeys) else keys.sign
            signed = sign(Tag.JOB_DENIALS, document.to_bytes(), key)
            with pytest.raises(ReplyRefused):
                reader.read(job_pb2.FetchJobResponse(denials=to_wire(signed)))
        reader.read(refusals)
