"""Private calls, end to end: the plain answers, and what the house gets to see."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts.cross_check import cross_check
from contracts.decide import Reason
from contracts.errors import DocumentInvalid
from contracts.private_bodies import Intent, Named
from contracts.replay import Mark, Replay
from contracts.replay import Role as Journal
from node import private_authority, private_house
from node.cli import bank as teller
from node.domain import Role
from node.errors import Denied, NodeError, Refused
from node.history import Histories
from node.keys import BankKeys
from protocols.call import Denial
from protocols.entry import Entry, Kind
from protocols.errors import FormatError
from protocols.job import Basis
from protocols.lookup import Gate, Message, Picked, authority_pick
from protocols.paillier import PrivateKey
from protocols.private_call import LEAST, MOST, MOST_CONSENTS, PrivateTicket
from protocols.sign import Signed
from tests.crowd_of_one import Hidden, Wire, settle
from tests.hostile import journal, uses
from tests.turnover import THRESHOLD


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hidden]:
    """Run a town of two blocks."""
    world, hidden = settle(tmp_path_factory.mktemp("hidden"))
    with world:
        yield hidden


def test_private_answers_are_the_plain_ones(hidden: Hidden) -> None:
    """Below, at and above the threshold; nothing where the bureau has nothing."""
    with hidden.bank() as bank:
        for subject, value in list(hidden.town.turnover.items())[:6]:
            told = bank.range("turnover-floor", subject, hidden.among())
            expected = "insufficient_data"
            if value is not None:
                expected = "at_least" if value >= THRESHOLD else "below"
            assert (told.answer, told.candidates) == (expected, 22)
            assert uses(hidden.town, f"c-{subject}") == 1
    assert hidden.replay(Role.HOUSE) == hidden.replay(Role.AUTHORITY) == []


def sizes(hidden: Hidden, subject: str, *, refused: bool = False) -> list[object]:
    """Ask, and list all that the house can weigh or count of it."""
    with hidden.bank() as bank, Wire(hidden) as wire:
        sent: list[Any] = []
        real = bank._stub.CommitPrivateResult

        def commit(message: Any, timeout: float) -> Any:  # noqa: ANN401
            sent.append(message)
            return real(message, timeout=timeout)

        bank._stub.CommitPrivateResult = commit
        before = hidden.town.authority.ledger.head.size
        try:
            bank.range("turnover-floor", subject, hidden.among())
        except Denied:
            assert refused
        else:
            assert not refused
        grown = hidden.town.authority.ledger.head.size - before
    (question, *blocks), (answer,), (result,) = wire.asked[0], wire.answered, sent
    return [
        len(question.question.request.payload),
        len(question.question.box),
        [block.ByteSize() for block in blocks],
        answer.ByteSize(),
        len(answer.box),
        result.ByteSize(),
        grown,
    ]


def test_the_house_weighs_the_same_whoever_is_meant(hidden: Hidden) -> None:
    """At least, below, nothing known, in either block; permitted and refused alike."""
    places = [2, 0, 5, 20, 21]
    seen = [sizes(hidden, hidden.town.ids[n]) for n in places]
    spent = hidden.town.ids[19]
    with hidden.bank() as bank:
        for _ in range(3):
            bank.range("turnover-floor", spent, hidden.among())
    seen.append(sizes(hidden, spent, refused=True))
    assert all(one == seen[0] for one in seen)
    assert seen[0][4] == 32_768
    assert seen[0][6] == 2  # a permit or a refusal, and what was done


def test_the_journal_of_the_house_says_the_same_of_all(hidden: Hidden) -> None:
    """Its entries are made of the list: every candidate is in them once."""
    first, second = hidden.town.ids[6:8]
    with hidden.bank() as bank:
        calls = [
            bank.range("turnover-floor", s, hidden.among()) for s in (first, second)
        ]
    told = [hidden.said(Role.HOUSE, call.request) for call in calls]
    names = [entry.body["subjects"] for (entry, *_) in told]
    assert names[0] == names[1]
    assert len(names[0]) == len(hidden.town.ids)
    kinds = ["private.intent", "private.outcome", "private.result"]
    assert [[entry.kind for entry in entries] for entries in told] == [kinds, kinds]


def test_answers_count_with_open_ones(hidden: Hidden) -> None:
    """One quota over both; the fourth is refused, sealed, and only the bank knows."""
    subject = hidden.town.ids[8]
    with hidden.bank() as bank, hidden.town.bank() as teller:
        assert teller.range("turnover-floor", subject, consent=f"c-{subject}").answer
        for _ in range(2):
            bank.range("turnover-floor", subject, hidden.among())
        with pytest.raises(Denied) as caught:
            bank.range("turnover-floor", subject, hidden.among())
    assert caught.value.reason == "BITS_SPENT"
    assert hidden.reasons(Role.AUTHORITY, caught.value) == [Reason.ANSWERS_SPENT]
    assert uses(hidden.town, f"c-{subject}") == 3
    assert hidden.replay(Role.HOUSE) == hidden.replay(Role.AUTHORITY) == []


def test_one_without_consent_denies_the_list(hidden: Hidden) -> None:
    """Openly, by its number, whoever is meant; nothing is decrypted or counted."""
    meant, other = hidden.town.ids[9:11]
    before = hidden.town.authority.ledger.head.size
    with hidden.bank() as bank:
        for consent in ("c-unheard-of", f"c-{meant}"):
            with pytest.raises(Denied, match="candidate ") as caught:
                bank.range("turnover-floor", meant, {**hidden.among(), other: consent})
            assert caught.value.reason == "NO_CONSENT"
            assert hidden.reasons(Role.HOUSE, caught.value) == [Reason.NO_CONSENT]
    assert hidden.town.authority.ledger.head.size == before
    assert hidden.replay(Role.HOUSE) == []


def test_a_list_that_hides_nobody(hidden: Hidden) -> None:
    """Too short, without the subject: refused before anything is sent."""
    subject = hidden.town.ids[0]
    few = hidden.among(*hidden.town.ids[: LEAST - 1])
    others = hidden.among(*hidden.town.ids[1:])
    with hidden.bank() as bank:
        with pytest.raises(FormatError, match="expected 16 to 512 candidates"):
            bank.range("turnover-floor", subject, few)
        with pytest.raises(FormatError, match="not among the candidates"):
            bank.range("turnover-floor", subject, others)


def test_a_list_under_another_root(hidden: Hidden) -> None:
    """The house takes the list that was signed, and no other."""
    subject = hidden.town.ids[11]
    with hidden.bank() as bank:
        honest = bank._stub.AskPrivately

        def ask(message: object, timeout: float) -> object:
            message.consents[0] += "x"  # type: ignore[attr-defined]
            return honest(message, timeout=timeout)

        bank._stub.AskPrivately = ask
        with pytest.raises(Refused, match="not the ones that were signed"):
            bank.range("turnover-floor", subject, hidden.among())


def test_the_longest_list_fits_its_journal_entry() -> None:
    """The longest list that is taken fits into one journal entry."""
    ticket = PrivateTicket(
        bytes(32),
        bytes(32),
        "thr",
        1 << 41,
        bytes(32),
        bytes(32),
        bytes(32),
        (Basis("tax", 1_000, bytes(32)),),
        bytes(32),
        tuple((99_000 + n, 74) for n in range(MOST)),
    )
    request = Signed(b"x" * 700, "k" * 43, bytes(64))
    signed = Signed(ticket.to_bytes(), "k" * 43, bytes(64))
    named = tuple(Named(bytes(32), "c" * (MOST_CONSENTS // MOST)) for _ in range(MOST))
    body = Intent(request, signed, named).to_body()
    assert Entry(Kind.PRIVATE_INTENT, 1 << 41, "house", "0" * 64, body).to_bytes()


def test_a_subject_finds_out_who_asked(hidden: Hidden) -> None:
    """The authority tells the one who was meant; the house, who was a candidate."""
    meant, other = hidden.town.ids[12:14]
    with hidden.bank() as bank:
        call = bank.range("turnover-floor", meant, hidden.among()).request.hex()
        with pytest.raises(Denied) as caught:
            bank.range("turnover-floor", meant, {**hidden.among(), other: "c-0"})
    refused = Denial.parse(caught.value.denial.payload).request.hex()
    told = {}
    for role, core in (
        (Role.HOUSE, hidden.town.house),
        (Role.AUTHORITY, hidden.town.authority),
    ):
        histories = Histories(core.ledger, core.registry)
        for subject in (meant, other):
            found, _ = histories.read(
                hidden.town.name(role.value, subject), "registrar"
            )
            told[role, subject] = [a.decision for a in found if a.call == call]
            denied = [(a.decision, a.reason) for a in found if a.call == refused]
            assert denied == [("denied", "NO_CONSENT")] * (role is Role.HOUSE)
    assert told[Role.HOUSE, meant] == told[Role.HOUSE, other] == ["candidate"]
    assert told[Role.AUTHORITY, meant] == ["permitted"]
    assert told[Role.AUTHORITY, other] == []


def test_house_and_authority_tell_one_story(hidden: Hidden) -> None:
    """Every permit is of a candidate; a permit of another one is found."""
    ours, theirs = journal(hidden.town.house), journal(hidden.town.authority)
    found, unfinished = cross_check(ours, theirs)
    assert found == ()
    assert unfinished.permits == 0
    (index, permit), *_ = [
        (n, e) for n, e in enumerate(theirs) if e.kind is Kind.PRIVATE_PERMIT
    ]
    theirs[index] = replace(permit, body={**permit.body, "consent": "c-another"})
    found, _ = cross_check(ours, theirs)
    assert [(d.index, d.mark) for d in found] == [(index, Mark.NO_INTENT)]


@pytest.mark.parametrize("kind", [Kind.PRIVATE_INTENT, Kind.PRIVATE_PERMIT])
def test_a_decision_that_does_not_follow_is_found(hidden: Hidden, kind: Kind) -> None:
    """Under a consent that nobody registered."""
    house = kind is Kind.PRIVATE_INTENT
    core = hidden.town.house if house else hidden.town.authority
    replay, found = Replay(Journal.HOUSE if house else Journal.AUTHORITY), []
    for index, entry in enumerate(journal(core)):
        forged = entry
        if entry.kind is kind:
            body = dict(entry.body)
            if house:
                body["subjects"] = [[s, "c-forged"] for s, _ in body["subjects"]]
            else:
                body["consent"] = "c-forged"
            forged = replace(entry, body=body)
        found += [d.mark for d in replay.feed(index, forged)]
    assert Mark.DECISION_DIFFERS in found


def test_the_teller_asks_privately(
    hidden: Hidden,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`safehouse range --among`: the answer, and among how many; or a hint."""
    world, subject = hidden.town.world, hidden.town.ids[14]
    party = world.config("jnrcb"), world.keys("jnrcb", BankKeys), world.domain
    monkeypatch.setattr(teller, "load", lambda *_: party)
    table = tmp_path / "among.csv"
    lines = [f"{name},{consent}\n" for name, consent in hidden.among().items()]
    table.write_text("subject_id,consent_id\n" + "".join(lines))
    teller.range_("turnover-floor", subject, "", table)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "answer   at_least"
    assert told[2] == "house    saw one of 22 candidates, not which"
    teller.range_("turnover-floor", subject, "", table, as_json=True)
    assert json.loads(capsys.readouterr().out)["candidates"] == 22
    with Wire(hidden) as wire:
        wire.lost = 1
        with pytest.raises(NodeError):
            teller.range_("turnover-floor", subject, "", table)
    spent = uses(hidden.town, f"c-{subject}")
    teller.range_("turnover-floor", subject, "", table)  # the same request again
    assert uses(hidden.town, f"c-{subject}") == spent == 3
    for consent, among in (("", None), (f"c-{subject}", table)):
        with pytest.raises(DocumentInvalid, match="one of them"):
            teller.range_("turnover-floor", subject, consent, among)
    table.write_text("subject_id,consent_id\n" + lines[0] + lines[0])
    with pytest.raises(DocumentInvalid, match="has a subject twice"):
        teller.range_("turnover-floor", subject, "", table)


def test_the_authority_does_the_same_work_for_a_refusal(
    hidden: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pick of the same shape, a receipt and a proof; a refusal's are nobody's."""
    subject, nothing = hidden.town.ids[15], hidden.town.world.domain.paillier.n + 1
    picked: list[Message] = []

    def pick(gate: Gate, key: PrivateKey, message: Message) -> Picked:
        picked.append(message)
        return authority_pick(gate, key, message)

    made: list[str] = []

    def noted(name: str, do: Callable[..., object]) -> Callable[..., object]:
        return lambda *given: (made.append(name), do(*given))[1]

    monkeypatch.setattr(private_authority, "authority_pick", pick)
    for name in ("decrypted_digest", "sign", "proven"):
        honest = getattr(private_authority, name)
        monkeypatch.setattr(private_authority, name, noted(name, honest))
    with hidden.bank() as bank:
        for _ in range(3):
            bank.range("turnover-floor", subject, hidden.among())
        with pytest.raises(Denied):
            bank.range("turnover-floor", subject, hidden.among())
    *answered, refused = picked
    assert made == ["decrypted_digest", "sign", "proven", "sign"] * 4
    assert len(answered) == 3
    assert {len(m.tables) for m in picked} == {len(refused.tables)}
    assert {len(m.slots) for m in picked} == {1}
    assert set(refused.ciphertexts) == {nothing}
    assert all(nothing not in message.ciphertexts for message in answered)


def test_an_error_that_may_hang_on_who_is_meant_is_sealed(
    hidden: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error while deciding is a denial, in a box like any other."""
    before = uses(hidden.town, f"c-{hidden.town.ids[16]}")

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(private_authority.consents, "usage", broken)
    with hidden.bank() as bank, Wire(hidden) as wire, pytest.raises(Denied) as caught:
        bank.range("turnover-floor", hidden.town.ids[16], hidden.among())
    assert hidden.reasons(Role.AUTHORITY, caught.value) == [Reason.INTERNAL]
    assert len(wire.answered[0].box) == 32_768
    assert uses(hidden.town, f"c-{hidden.town.ids[16]}") == before


def test_what_is_secret_is_not_shown(hidden: Hidden) -> None:
    """Not in a traceback, not in a log: who is meant, pads, an answer."""
    subject = hidden.town.ids[17]
    with hidden.bank() as bank:
        told = bank.range("turnover-floor", subject, hidden.among())
    for shown in (
        told,
        private_authority.Whom(consent="c-secret"),
        private_authority.Decided(b"secret"),
        private_house.Made((), (), (b"secret",)),
    ):
        assert repr(shown).startswith("<")
        assert "secret" not in repr(shown)
    for kind in (private_authority.Case, private_house.Asked):
        assert kind.__repr__ is object.__repr__
