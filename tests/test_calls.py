"""What comes of a call, and what a bank is told (TESTS, Consent and RPC)."""

import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path

import grpc
import pytest

from contracts import bodies
from contracts.compiled import Answer
from contracts.consent import ConsentEvent, Event
from contracts.decide import Reason
from contracts.errors import SubjectInvalid
from node import clock
from node.client import BankClient
from node.errors import Denied, NodeError, Refused, ReplyRefused
from node.keys import BankKeys
from node.wire.v1 import scoring_pb2
from protocols.call import Denial, request_hash
from protocols.canon import Tag
from protocols.entry import Kind
from protocols.note import LogProof
from tests.german import German
from tests.hostile import (
    Between,
    Question,
    journal,
    kinds,
    permits,
    question,
    reasons,
    send,
    tampered,
    uses,
)
from tests.simulator import World

SUBJECTS = 66
THREADS = 16
PERMITTED = ["call.intent", "call.outcome"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[German]:
    """Run a trust domain; every test takes subjects of its own."""
    with World(tmp_path_factory.mktemp("calls")) as made:
        yield German(made, SUBJECTS)


_taken = count()


@pytest.fixture
def subject(running: German) -> str:
    """Name a subject that nobody has asked about."""
    return running.ids[next(_taken)]


@pytest.fixture(scope="module")
def bank(running: German) -> Iterator[BankClient]:
    """Open the first bank's SDK."""
    with running.bank() as client:
        yield client


def withdraw(consent: str) -> ConsentEvent:
    """Make an event: the subject takes the consent back."""
    return ConsentEvent(consent, Event.WITHDRAW, clock.now_ms(), "", "registrar")


def denied(bank: BankClient, asked: Question) -> Denied:
    """Ask, and return the refusal."""
    with pytest.raises(Denied) as caught:
        send(bank, asked)
    return caught.value


# -- consent


def test_another_purpose_is_refused(
    running: German, bank: BankClient, subject: str
) -> None:
    """Case 3: what the consent is not for is PURPOSE_MISMATCH, uses stay."""
    running.grant(subject)
    asked = question(running, subject, purpose="marketing")
    assert denied(bank, asked).reason == "PURPOSE_MISMATCH"
    running.grant(subject, "c-other", purposes=("marketing",))
    asked = question(running, subject, consent="c-other")
    assert denied(bank, asked).reason == "PURPOSE_MISMATCH"
    assert kinds(running.authority, asked.call) == []
    assert uses(running, "c-other") == 0


def test_another_banks_consent_says_nothing(
    running: German, bank: BankClient, subject: str
) -> None:
    """Case 4: refused; the reply tells nothing, the entry names both banks."""
    running.grant(subject, grantees=("lsbank",))
    refusal = denied(bank, question(running, subject))
    assert refusal.reason == "NO_CONSENT"
    assert "lsbank" not in str(refusal)
    assert b"lsbank" not in refusal.denial.payload
    entry = next(
        entry
        for entry in reversed(journal(running.house))
        if entry.kind is Kind.CALL_DENY
    )
    body = bodies.Deny.parse(entry.body)
    assert "`jnrcb`" in body.reasons[0].detail
    assert "`lsbank`" in body.reasons[0].detail


def test_a_scope_too_small_lists_what_is_missing(
    running: German, bank: BankClient, subject: str
) -> None:
    """Case 5: SCOPE_TOO_SMALL names the datasets; nothing is computed."""
    running.grant(subject, scope=("dataset:credit-bureau",))
    asked = question(running, subject)
    refusal = denied(bank, asked)
    assert refusal.reason == "SCOPE_TOO_SMALL"
    assert str(refusal).endswith("missing social-insurance, housing-loans")
    scope = ("dataset:credit-bureau", "category:住房公积金")
    running.grant(subject, "c-category", scope=scope)
    refusal = denied(bank, question(running, subject, consent="c-category"))
    assert str(refusal).endswith("missing social-insurance")
    scope = (*scope, "category:社会保险")
    running.grant(subject, "c-categories", scope=scope)
    assert send(bank, question(running, subject, consent="c-categories")).answer.box
    assert kinds(running.house, asked.call) == ["call.deny"]
    assert kinds(running.authority, asked.call) == []


def test_exactly_so_many_permits_as_uses(
    running: German, bank: BankClient, subject: str
) -> None:
    """Case 6: 16 threads, 9 uses: 9 permits; the others USED_UP."""
    consent = running.grant(subject, max_uses=9).consent_id
    start = threading.Barrier(THREADS)

    def ask() -> str:
        start.wait()
        try:
            return bank.score("german-card", subject, consent=consent).kind.value
        except Denied as refusal:
            return refusal.reason

    with ThreadPoolExecutor(THREADS) as pool:
        told = [f.result() for f in [pool.submit(ask) for _ in range(THREADS)]]
    assert told.count("USED_UP") == THREADS - 9
    found = permits(running, consent)
    assert len(found) == uses(running, consent) == 9
    # Only the first decrypted anything: the others repeat its answer.
    assert [bool(permit.repeat_of) for permit in found] == [False] + 8 * [True]


def test_a_withdrawal_between_check_and_commit_wins(
    running: German, bank: BankClient, subject: str
) -> None:
    """Case 7: the house let it pass, the authority knows better: no permit."""
    consent = running.grant(subject).consent_id
    asked = question(running, subject)
    with Between(running.house) as wire:
        wire.on_question = lambda _: running.happen(withdraw(consent), "authority")
        refusal = denied(bank, asked)
    assert refusal.reason == "WITHDRAWN"
    assert kinds(running.house, asked.call) == ["call.intent", "call.denied"]
    assert kinds(running.authority, asked.call) == ["call.deny"]
    order = [entry.kind for entry in journal(running.authority)]
    assert order[-2:] == [Kind.CONSENT_EVENT, Kind.CALL_DENY]
    assert uses(running, consent) == 0


def test_a_withdrawal_while_the_house_computes_wins(
    running: German,
    bank: BankClient,
    subject: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Case 7, in the house: what it computed is thrown away, and not journalled."""
    consent = running.grant(subject).consent_id
    asked = question(running, subject)
    compute = running.house.engine.message

    def message(*given: object) -> object:
        made = compute(*given)  # type: ignore[arg-type]
        running.happen(withdraw(consent), "house")
        return made

    monkeypatch.setattr(running.house.engine, "message", message)
    assert denied(bank, asked).reason == "WITHDRAWN"
    assert kinds(running.house, asked.call) == ["call.deny"]
    assert kinds(running.authority, asked.call) == []


def test_a_withdrawal_after_the_permit_comes_too_late(
    running: German, bank: BankClient, subject: str
) -> None:
    """Case 8: a permit counts as released; the journal shows the order."""
    consent = running.grant(subject).consent_id
    asked = question(running, subject)
    with Between(running.house) as wire:
        wire.on_answer = lambda _: running.happen(withdraw(consent))
        reply = send(bank, asked)
    assert reply.answer.box
    assert kinds(running.house, asked.call) == PERMITTED
    order = [entry.kind for entry in journal(running.authority)][-3:]
    assert order == [Kind.CALL_PERMIT, Kind.CALL_DONE, Kind.CONSENT_EVENT]
    assert denied(bank, question(running, subject)).reason == "WITHDRAWN"


def test_no_permit_follows_a_withdrawal(
    running: German, bank: BankClient, subject: str
) -> None:
    """Cases 7 and 8, in threads: whoever is faster, the order is kept."""
    consent = running.grant(subject).consent_id
    start = threading.Barrier(9)

    def ask() -> list[str]:
        start.wait()
        told = []
        for _ in range(4):
            try:
                bank.score("german-card", subject, consent=consent)
            except Denied as refusal:
                told.append(refusal.reason)
        return told

    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask) for _ in range(8)]
        start.wait()
        threading.Event().wait(0.05)
        running.happen(withdraw(consent))
        refused = [reason for future in asking for reason in future.result()]
    assert set(refused) <= {"WITHDRAWN"}
    granted = permits(running, consent)
    assert uses(running, consent) == len(granted) == 32 - len(refused)
    mine = {request_hash(permit.request.payload).hex() for permit in granted}
    for core, begun in (
        (running.authority, Kind.CALL_PERMIT),
        (running.house, Kind.CALL_INTENT),
    ):
        order = journal(core)
        gone = max(i for i, e in enumerate(order) if e.kind is Kind.CONSENT_EVENT)
        after = {entry.call for entry in order[gone:] if entry.kind is begun}
        assert not mine & after


def test_a_request_sent_twice_at_once_is_one_call(
    running: German, bank: BankClient, subject: str
) -> None:
    """Case 9: one use, one index, one receipt; another body is a mismatch."""
    consent = running.grant(subject).consent_id
    asked = question(running, subject)
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(send, bank, asked) for _ in range(8)]
        replies = [future.result() for future in sent]
    assert len({reply.answer.SerializeToString() for reply in replies}) == 1
    indices = {LogProof.parse(reply.outcome.proof).index for reply in replies}
    assert len(indices) == 1
    assert uses(running, consent) == 1
    other = question(running, subject, jti=asked.request.jti)
    assert other.call != asked.call
    assert denied(bank, other).reason == "REPLAY_MISMATCH"
    assert denied(bank, other).reason == "REPLAY_MISMATCH"
    # The forger did not use the jti up.
    assert send(bank, asked).answer == replies[0].answer
    assert uses(running, consent) == 1


def test_two_bodies_under_one_jti_at_once(
    running: German, bank: BankClient, subject: str
) -> None:
    """Case 9: of two questions under one jti, in flight, one is a mismatch."""
    consent = running.grant(subject).consent_id
    jti, iat_ms = secrets.token_bytes(16), clock.now_ms()
    both = [question(running, subject, jti=jti, iat_ms=iat_ms - i) for i in (0, 1)]

    def ask(asked: Question) -> str:
        try:
            send(bank, asked)
        except Denied as refusal:
            return refusal.reason
        return "answered"

    with ThreadPoolExecutor(2) as pool:
        told = sorted(pool.map(ask, both))
    assert told == ["REPLAY_MISMATCH", "answered"]
    assert uses(running, consent) == 1


def test_an_answer_that_was_lost_is_sent_again(
    running: German, bank: BankClient, subject: str
) -> None:
    """Case 45: the bank was killed after the commit; its retry costs nothing."""
    consent = running.grant(subject, max_uses=1).consent_id

    def lost(_: scoring_pb2.ScoreResponse) -> None:
        raise KeyboardInterrupt

    with tampered(bank, lost), pytest.raises(KeyboardInterrupt):
        bank.score("german-card", subject, consent=consent)
    (call,) = bank.unanswered()
    outcome = bank.retry(call)
    assert not outcome.repeated
    assert bank.retry(call) == outcome
    assert bank.unanswered() == []
    assert uses(running, consent) == 1
    # The first commitment stands, and the bank still holds its salt.
    assert bank.flush() == 0
    results = [
        bodies.Result.parse(entry.body)
        for entry in journal(running.house)
        if entry.kind is Kind.CALL_RESULT and entry.call == call.hex()
    ]
    assert len(results) == 1
    kept = bank._receipts.find(call)
    assert kept is not None
    assert kept.result_salt is not None
    (stored,) = bank._receipts._db.execute(
        "SELECT result FROM call WHERE request = ?", (call,)
    ).fetchall()
    assert results[0].result.payload == stored[0]


# -- what a bank may not tell apart


def told(refusal: NodeError) -> dict[str, object]:
    """Return everything a caller sees of an error, but for hashes, time, signature."""
    seen: dict[str, object] = {
        "kind": type(refusal).__name__,
        "text": str(refusal),
        "hint": refusal.hint,
    }
    if isinstance(refusal, Denied):
        denial = Denial.parse(refusal.denial.payload)
        seen |= {
            "reason": refusal.reason,
            "key": refusal.denial.key_id,
            "bytes": len(refusal.denial.payload),
            "by": denial.by,
            "public": denial.reason,
            "detail": denial.detail,
        }
    return seen


def test_no_consent_and_nobody_are_one_answer(
    running: German, bank: BankClient, subject: str
) -> None:
    """Cases 4 and 48: five different truths, one sentence of the same length."""
    running.grant(subject, "c-theirs", grantees=("lsbank",))
    running.refs["nobody"] = secrets.token_bytes(32)
    running.grant("nobody", "c-nobody")
    running.grant("nobody", "c-nobodys", grantees=("lsbank",))
    refused = [
        denied(bank, question(running, subject, consent="c-none-at")),
        denied(bank, question(running, subject, consent="c-theirs")),
        denied(bank, question(running, "nobody", consent="c-nobody")),
        denied(bank, question(running, "nobody", consent="c-nobodys")),
        denied(bank, question(running, "stranger", consent="c-theirs")),
        denied(bank, question(running, "stranger", consent="")),
    ]
    assert [told(refusal) for refusal in refused] == 6 * [told(refused[0])]
    assert told(refused[0])["reason"] == "NO_CONSENT"
    # The journal knows better.
    details = [reasons(running.house, refusal) for refusal in refused]
    assert all(Reason.NO_CONSENT in found for found in details)


def test_salts_hide_which_reason_it_was(
    running: German, bank: BankClient, subject: str
) -> None:
    """Two denials of one cause carry two digests: nothing to look up."""
    digests = {
        Denial.parse(denied(bank, question(running, subject)).denial.payload).reasons
        for _ in range(4)
    }
    assert len(digests) == 4


def test_the_permit_a_bank_gets_does_not_count_other_banks(running: German) -> None:
    """Of one consent for two: what one is shown hangs not on how often the other asked.

    The authority counts them together all the same.
    """
    shown = []
    for subject, others in zip(running.ids[-2:], (0, 3), strict=True):
        consent = f"c-shared-{subject}"
        running.grant(subject, consent, grantees=("jnrcb", "lsbank"))
        with running.bank("jnrcb") as other:
            for _ in range(others):
                other.score("german-card", subject, consent=consent)
        with running.bank("lsbank") as client:
            client.score("german-card", subject, consent=consent)
        assert uses(running, consent) == others + 1
        body = permits(running, consent)[-1].to_body()
        of_the_call = ("request", "ticket", "subject", "consent")
        shown.append({key: body[key] for key in body if key not in of_the_call})
    assert shown[0] == shown[1]


# -- repeats


def test_a_repeat_counts_a_use_and_no_bits(
    running: German, bank: BankClient, subject: str
) -> None:
    """A new request for the same question: one use, no bits, no decryption."""
    consent = running.grant(subject).consent_id
    first = bank.score("german-card", subject, consent=consent)
    with Between(running.house) as wire:
        second = bank.score("german-card", subject, consent=consent)
    assert not wire.asked[0].ciphertext
    assert not wire.asked[0].tables
    assert not wire.answered[0].box
    assert (first.repeated, second.repeated) == (False, True)
    assert (second.kind, second.fields) == (first.kind, first.fields)
    assert second.request != first.request
    millibits = [permit.millibits for permit in permits(running, consent)]
    assert millibits == [running.contract.millibits, 0]
    assert uses(running, consent) == 2


def test_a_repeat_needs_a_consent_in_force(
    running: German, bank: BankClient, subject: str
) -> None:
    """What was once answered is not answered again after a withdrawal."""
    consent = running.grant(subject).consent_id
    bank.score("german-card", subject, consent=consent)
    running.happen(withdraw(consent))
    with pytest.raises(Denied) as caught:
        bank.score("german-card", subject, consent=consent)
    assert caught.value.reason == "WITHDRAWN"


def test_another_bank_gets_no_repeat(running: German, subject: str) -> None:
    """The other bank's call is decrypted for itself, under its own bits."""
    consent = running.grant(subject).consent_id
    for name in ("jnrcb", "lsbank"):
        with running.bank(name) as client:
            outcome = client.score("german-card", subject, consent=consent)
            assert not outcome.repeated
    millibits = [permit.millibits for permit in permits(running, consent)]
    assert millibits == 2 * [running.contract.millibits]


def test_an_answer_about_somebody_else_is_refused(
    running: German, bank: BankClient
) -> None:
    """A house that answers with an earlier answer of another subject is caught."""
    one, other = (running.ids[next(_taken)] for _ in range(2))
    for name in (one, other):
        running.grant(name)
    kept: list[scoring_pb2.ScoreResponse] = []
    with tampered(bank, kept.append):
        bank.score("german-card", one, consent=f"c-{one}")
        bank.score("german-card", other, consent=f"c-{other}")
        bank.score("german-card", one, consent=f"c-{one}")
    about_one, about_other, repeat = kept
    assert repeat.HasField("repeat")

    def exchange(reply: scoring_pb2.ScoreResponse) -> None:
        reply.answer.CopyFrom(about_other.answer)

    with tampered(bank, exchange), pytest.raises(ReplyRefused):
        bank.score("german-card", one, consent=f"c-{one}")

    def without_leave(reply: scoring_pb2.ScoreResponse) -> None:
        reply.CopyFrom(about_one)

    with tampered(bank, without_leave), pytest.raises(ReplyRefused):
        bank.score("german-card", one, consent=f"c-{one}")

    def old_leave(reply: scoring_pb2.ScoreResponse) -> None:
        reply.repeat.CopyFrom(repeat.repeat)

    with tampered(bank, old_leave), pytest.raises(ReplyRefused):
        bank.score("german-card", one, consent=f"c-{one}")


def test_a_bank_knows_its_own_questions_on_every_machine(
    running: German, bank: BankClient, subject: str, tmp_path: Path
) -> None:
    """Asked here, repeated there, where nobody has kept the first request."""
    running.grant(subject)
    first = bank.score("german-card", subject, consent=f"c-{subject}")
    world = running.world
    settings = replace(world.config("jnrcb"), data=tmp_path)
    with BankClient(settings, world.keys("jnrcb", BankKeys), world.domain) as there:
        second = there.score("german-card", subject, consent=f"c-{subject}")
    assert second.repeated
    assert (second.kind, second.fields) == (first.kind, first.fields)


def test_the_bank_alone_can_tell_whose_answer_it_was(
    running: German, bank: BankClient
) -> None:
    """House and authority could agree on a wrong repeat: the bank compares itself."""
    one, other = (running.ids[next(_taken)] for _ in range(2))
    for name in (one, other):
        running.grant(name)
        bank.score("german-card", name, consent=f"c-{name}")
    kept = {item.subject_ref: item.request for item in bank.receipts()}
    asked = [kept[running.refs[name]] for name in (one, other)]
    with pytest.raises(ReplyRefused, match="about another subject"):
        bank._check_own(asked[0], asked[1])


# -- proofs


def test_a_proof_is_of_the_size_that_was_signed(
    running: German, bank: BankClient, subject: str
) -> None:
    """Case 29: size + 1, one hash more, one less, a short one: refused."""
    running.grant(subject)

    def larger(proof: str) -> str:
        head, _, note = proof.partition("\n\n")
        origin, size, rest = note.split("\n", 2)
        return f"{head}\n\n{origin}\n{int(size) + 1}\n{rest}"

    def lines(proof: str, change: str) -> str:
        head, _, note = proof.partition("\n\n")
        *known, last = head.split("\n")
        hashes = {"extra": [last, last], "missing": [], "short": [last[4:]]}[change]
        return "\n".join([*known, *hashes]) + f"\n\n{note}"

    def moved(proof: str) -> str:
        index = LogProof.parse(proof).index
        return proof.replace(f"\nindex {index}\n", f"\nindex {index + 1}\n")

    changes = {
        "larger": larger,
        "extra": lambda proof: lines(proof, "extra"),
        "missing": lambda proof: lines(proof, "missing"),
        "short": lambda proof: lines(proof, "short"),
        "moved": moved,
        "none": lambda _: "",
    }
    for name, change in changes.items():
        for where in ("permit", "outcome", "repeat"):

            def spoil(reply: scoring_pb2.ScoreResponse) -> None:
                logged = {
                    "permit": reply.answer.permit,
                    "outcome": reply.outcome,
                    "repeat": reply.repeat.permit,
                }[where]  # noqa: B023  called at once
                logged.proof = change(logged.proof)  # noqa: B023

            if where == "repeat":  # make sure there is an answer to repeat
                bank.score("german-card", subject, consent=f"c-{subject}")
            with tampered(bank, spoil), pytest.raises(ReplyRefused):
                bank.score("german-card", subject, consent=f"c-{subject}")
            assert name


# -- bad input


def test_a_request_signed_by_another_bank_is_refused(
    running: German, bank: BankClient, subject: str
) -> None:
    """Case 40: a valid channel is not a signature; it is journalled as such."""
    consent = running.grant(subject).consent_id
    forged = question(running, subject, signer="lsbank")
    refusal = denied(bank, forged)
    assert refusal.reason == "SIGNATURE_INVALID"
    assert reasons(running.house, refusal) == [Reason.SIGNATURE_INVALID]
    edited = question(running, subject)
    payload = edited.signed.payload.replace(b"c-", b"d-")
    spoiled = Question(
        type(edited.signed)(payload, *_signature(edited)), edited.opening
    )
    assert denied(bank, spoiled).reason == "SIGNATURE_INVALID"
    assert uses(running, consent) == 0
    # A forgery does not use the jti up.
    real = question(running, subject, jti=forged.request.jti)
    assert send(bank, real).answer.box


def _signature(asked: Question) -> tuple[str, bytes]:
    return asked.signed.key_id, asked.signed.signature


def test_a_request_for_another_bank_is_refused(
    running: German, bank: BankClient, subject: str
) -> None:
    """Case 40: who speaks must be who asks, whatever is signed."""
    running.grant(subject)
    asked = question(running, subject, bank="lsbank")
    with pytest.raises(Refused) as caught:
        send(bank, asked)
    assert caught.value.reason == "ROLE_REFUSED"
    assert kinds(running.house, asked.call) == []


def test_a_long_name_comes_back_short(running: German, bank: BankClient) -> None:
    """What a caller wrote is not thrown back at him in a header that is too long."""
    asked = question(running, running.ids[0])
    for name in ("b" * 50_000, "银" * 5_000):
        request = replace(asked.request, bank=name)
        signed = running.sign("jnrcb", Tag.REQUEST, request.to_bytes())
        with pytest.raises(Refused) as caught:
            send(bank, Question(signed, asked.opening))
        assert caught.value.reason == "ROLE_REFUSED"
        assert len(str(caught.value).encode()) < 2_000


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda asked: (asked.signed.payload[:-1], asked.opening.salt), "not JSON"),
        (lambda _: (b"", bytes(32)), "not JSON"),
        (lambda asked: (asked.signed.payload + b" ", bytes(32)), "not canonical"),
        (lambda asked: (asked.signed.payload, bytes(31)), "salt of 32 bytes"),
        (lambda asked: (asked.signed.payload, b"\x01" * 32), "the opening is not"),
        (
            lambda asked: (asked.signed.payload.replace(b"/1", b"/3"), bytes(32)),
            "expected version",
        ),
        (
            lambda asked: (
                asked.signed.payload.replace(b'"iat_ms":', b'"iat_ms":-'),
                bytes(32),
            ),
            "iat_ms",
        ),
    ],
)
def test_what_is_no_request_is_an_invalid_argument(
    running: German, bank: BankClient, change: object, text: str
) -> None:
    """A typed refusal that names the fault, and nothing in the journal."""
    asked = question(running, running.ids[0])
    payload, salt = change(asked)  # type: ignore[operator]
    spoiled = Question(
        type(asked.signed)(payload, *_signature(asked)),
        type(asked.opening)(asked.opening.subject_ref, salt),
    )
    bank.flush()  # what other tests have committed to may arrive meanwhile
    before = running.house.ledger.head.size
    with pytest.raises(Refused, match=text) as caught:
        send(bank, spoiled)
    assert caught.value.reason == "FORMAT_ERROR"
    assert running.house.ledger.head.size == before


def test_a_request_too_large_to_journal_is_refused_before_all(
    running: German, bank: BankClient, subject: str
) -> None:
    """Case 32, seen by the bank: nothing is computed that cannot be written down."""
    running.grant(subject)
    before = running.house.ledger.head.size
    with pytest.raises(Refused) as caught:
        send(bank, question(running, subject, consent="c" * 70_000))
    assert caught.value.reason == "FORMAT_ERROR"
    assert running.house.ledger.head.size == before
    assert send(bank, question(running, subject)).answer.box  # the house lives


def test_an_identifier_is_brought_to_one_form(
    running: German, bank: BankClient, subject: str
) -> None:
    """Case 48: what people type is normalised, or refused by the field's name."""
    running.grant(subject)
    first = bank.score("german-card", f"  {subject} ", consent=f"c-{subject}")
    assert first.kind in Answer
    for spelt in ("", "   ", "x" * 65, "gc\x00-1", "x" * 300):
        with pytest.raises(SubjectInvalid, match="`subject_id`"):
            bank.score("german-card", spelt, consent=f"c-{subject}")


def test_a_contract_nobody_knows(
    running: German, bank: BankClient, subject: str
) -> None:
    """CONTRACT_UNKNOWN; a bank it is not open to is told the same."""
    running.grant(subject, grantees=("jnrcb", "ryrcb"))
    refused = [denied(bank, question(running, subject, contract=bytes(32)))]
    with running.bank("ryrcb") as third:
        refused.append(denied(third, question(running, subject, bank="ryrcb")))
    assert {refusal.reason for refusal in refused} == {"CONTRACT_UNKNOWN"}
    assert told(refused[0]) == told(refused[1])


def test_a_deadline_in_the_past_uses_nothing(
    running: German, bank: BankClient, subject: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 43: 0.3 s for a contract that takes longer: no intent, no use."""
    consent = running.grant(subject).consent_id
    compute, computed = running.house.engine.message, threading.Event()

    def slow(*given: object) -> object:
        made = compute(*given)  # type: ignore[arg-type]
        threading.Event().wait(0.6)
        computed.set()
        return made

    monkeypatch.setattr(running.house.engine, "message", slow)
    asked = question(running, subject)
    with pytest.raises(NodeError):
        send(bank, asked, deadline_s=0.3)
    assert computed.wait(5)
    threading.Event().wait(0.2)
    assert kinds(running.house, asked.call) == []
    assert uses(running, consent) == 0
    monkeypatch.undo()
    assert send(bank, asked).answer.box  # the same request may be sent again


def test_the_status_of_every_refusal_is_canonical(
    running: German, bank: BankClient, subject: str
) -> None:
    """A denial is PERMISSION_DENIED and carries its signed form."""
    message = scoring_pb2.ScoreRequest()
    asked = question(running, subject)
    message.request.payload = asked.signed.payload
    message.request.key_id = asked.signed.key_id
    message.request.signature = asked.signed.signature
    message.opening.subject_ref = asked.opening.subject_ref
    message.opening.salt = asked.opening.salt
    with pytest.raises(grpc.RpcError) as caught:
        bank._scoring.Score(message, timeout=5)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
