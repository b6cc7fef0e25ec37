"""Feedback: from a bank to one custodian, once, whatever breaks on the way."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import apsw
import pytest

from contracts.feedback import Ending, Parcel, Report, check_date, read_reports
from contracts.subject import SubjectType
from node import feedback, feedback_client
from node.clock import now_ms
from node.domain import Role
from node.errors import NotFound, Refused, RowsRefused, Unreachable
from node.feedback_client import FeedbackSender, Told
from node.verify import verify
from protocols.entry import Kind
from protocols.errors import FormatError
from tests.attacks.test_old_key_after_rotation import rotate
from tests.borrowers import (
    CUSTODIAN,
    A,
    B,
    fetched,
    forget,
    report,
    sender,
    today,
    told,
    town,
)
from tests.german import German
from tests.hostile import journal
from tests.test_custodian import Ask


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[German]:
    """Run a town."""
    with town(tmp_path_factory.mktemp("feedback")) as made:
        yield made


@pytest.fixture
def german(running: German) -> German:
    """Lend it without parcels."""
    forget(running)
    return running


def parcels(german: German) -> list[str]:
    """List who sent what the house keeps; each has its entry."""
    with german.house.ledger.reader() as db:
        rows = list(
            db.execute("SELECT entry, bank FROM feedback_parcel ORDER BY entry")
        )
    entries = journal(german.house)
    for index, bank in rows:
        found = entries[index]  # type: ignore[index]
        assert (found.kind, found.actor) == (Kind.FEEDBACK_PARCEL, bank)
    return [str(bank) for _, bank in rows]


def test_what_banks_report_is_a_row_a_subject(german: German, tmp_path: Path) -> None:
    """Two banks' reports, one row a subject; auditors find nothing amiss."""
    (proof,) = report(german, told(german, 0, 1, 2))
    report(german, told(german, 2, ending=Ending.DEFAULT), B)
    report(german, told(german, 1, ending=Ending.DEFAULT))
    found = fetched(german)
    assert (found.parcels, len(found.accepted), found.refused) == (3, 5, ())
    rows = list(found.rows())
    ids = german.ids
    assert rows == [
        (ids[0], 0, 1, today()),
        (ids[1], 1, 1, today()),
        (ids[2], 1, 1, today()),
    ]
    assert fetched(german) == found
    assert parcels(german) == [A, B, A]
    assert journal(german.house)[proof.index].kind is Kind.FEEDBACK_PARCEL

    with german.world.auditor() as auditor:
        auditor.export(tmp_path / "export")
    checked = verify(tmp_path / "export", german.world.domain)
    assert checked.findings == ()


def test_the_house_holds_nothing_that_says_who_or_what(german: German) -> None:
    """Not an identifier, not an ending; a count, a digest, a bank."""
    report(german, told(german, 0, ending=Ending.DEFAULT))
    disk = b"".join(german.world.disk(Role.HOUSE.value).values())
    for secret in (b'"ending"', b"subject_id", b"safehouse/feedback-reports"):
        assert secret not in disk
    entry = journal(german.house)[-1]
    with german.house.ledger.reader() as db:
        ((box,),) = db.execute("SELECT box FROM feedback_parcel").fetchall()
    assert isinstance(box, bytes)
    assert german.ids[0].encode() not in entry.to_bytes() + box
    signed = entry.body["signed"]
    assert isinstance(signed, dict)
    parcel = Parcel.parse(str(signed["payload"]).encode())
    assert (parcel.bank, parcel.custodian, parcel.count) == (A, CUSTODIAN, 1)


def test_a_custodian_without_a_desk(german: German) -> None:
    """Is named, before anything is sealed."""
    with sender(german.world) as own, german.bank() as bank, pytest.raises(NotFound):
        own.send(
            "housing-loans",
            SubjectType.OPAQUE,
            told(german, 0),
            bank.receipts(),
            now_ms(),
        )


def test_a_lost_reply_is_sent_again_and_counts_once(
    german: German, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The house had it: the same bytes get the same entry, and the rest follows."""
    ask = feedback_client.ask

    def lost(call: Ask, request: object, deadline_s: float) -> object:
        reply = ask(call, request, deadline_s)
        if type(request).__name__ == "SendFeedbackRequest":
            raise Unreachable("the reply was lost")
        return reply

    monkeypatch.setattr(feedback_client, "ask", lost)
    with pytest.raises(Unreachable):
        report(german, told(german, 0))
    assert parcels(german) == [A]
    monkeypatch.undo()
    report(german, told(german, 0, 1))
    assert parcels(german) == [A, A]
    found = fetched(german)
    assert [(each.subject_id, each.ending) for each in found.accepted] == [
        (german.ids[0], Ending.REPAID),
        (german.ids[1], Ending.REPAID),
    ]


def test_a_house_that_dies_between_entry_and_box_has_neither(
    german: German, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction: what was not whole is not there, and comes again."""
    put = feedback.put_parcel

    def dying(transaction, signed, box):  # noqa: ANN001, ANN202
        put(transaction, signed, box)
        raise apsw.ConstraintError("died")

    size = german.house.ledger.head.size
    monkeypatch.setattr(feedback, "put_parcel", dying)
    with pytest.raises(Exception, match=r"."):
        report(german, told(german, 0))
    monkeypatch.undo()
    assert parcels(german) == []
    assert german.house.ledger.head.size == size
    report(german, told(german, 0))
    assert parcels(german) == [A, A]  # what was not answered, and then this
    assert len(fetched(german).accepted) == 1


def test_a_bank_has_so_many_parcels_a_day(
    german: German, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another bank is not kept from its own."""
    monkeypatch.setattr(feedback, "PARCELS_A_DAY", 2)
    for _ in range(2):
        report(german, told(german, 0))
    with pytest.raises(Refused, match="2 parcels a day"):
        report(german, told(german, 1))
    report(german, told(german, 3), B)
    assert parcels(german) == [A, A, B]


@pytest.mark.parametrize(
    "row", [("gc-9999", "no permitted call"), ("", "row 2"), ("a b", "row 2")]
)
def test_a_row_that_cannot_be_reported_stops_all(
    german: German, row: tuple[str, str]
) -> None:
    """Named by row, without the identifier; nothing is sent."""
    said = [Told(row[0], Ending.REPAID, today()), *told(german, 0)]
    with pytest.raises(RowsRefused, match=row[1]):
        report(german, said)
    assert parcels(german) == []


@pytest.mark.parametrize("text", ["2026-02-30", "20261124", "", "2026-1-1", "today"])
def test_a_date_is_a_date(text: str) -> None:
    """ISO 8601, the long form, and a day that there is."""
    with pytest.raises(FormatError):
        check_date(text)


def test_a_report_before_the_call_is_left_out(
    german: German, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is one that does not parse; the others of the parcel are taken."""
    said = [*told(german, 0), Told(german.ids[1], Ending.REPAID, "2001-01-01")]
    report(german, said)

    def odd(self: FeedbackSender, *_: object) -> list[Report]:
        del self
        salt = secrets.token_bytes(32)
        return [
            Report(
                SubjectType.OPAQUE, german.ids[0], salt, Ending.REPAID, today(), b"{}"
            )
        ]

    monkeypatch.setattr(FeedbackSender, "_reports", odd)
    report(german, told(german, 0))
    found = fetched(german)
    assert [each.subject_id for each in found.accepted] == [german.ids[0]]
    assert [(each.number, each.report) for each in found.refused] == [(1, 2), (2, 1)]


def test_documents_are_strict() -> None:
    """A parcel of nobody, a negative number, another version: refused."""
    parcel = Parcel("a", "b", 1, bytes(16), 1, bytes(32), 5)
    good = parcel.to_bytes()
    for bad in (
        good.replace(b'"number":1', b'"number":0'),
        good.replace(b"feedback/1", b"feedback/2"),
        good.replace(b'"count":1', b'"count":1,"odd":1'),
    ):
        with pytest.raises(FormatError):
            Parcel.parse(bad)
    assert replace(parcel, number=2).info != parcel.info
    with pytest.raises(FormatError):
        read_reports(b'{"reports":[{"on":"x"}],"v":"safehouse/feedback-reports/1"}')


def test_a_repeat_is_no_other_answer(tmp_path: Path) -> None:
    """Whichever of its calls a bank names: the ending of one answer is told once."""
    with town(tmp_path) as german:
        subject = german.ids[0]
        with german.bank() as bank:
            for _ in range(2):
                bank.score("german-card", subject, consent=f"c-{subject}")
            assert bank.flush() == 0
            kept = bank.receipts()
        said = told(german, 0, ending=Ending.DEFAULT)
        sent = 0
        for call in kept:
            with sender(german.world) as own, suppress(RowsRefused):
                own.send(CUSTODIAN, SubjectType.OPAQUE, said, [call], now_ms())
                sent += 1
        assert sent == 3
        assert list(fetched(german).rows()) == [(subject, 1, 0, today())]


def test_a_count_that_is_not_the_boxs(
    german: German, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the house journals as the number of reports is their number."""

    def lying(
        bank: str, custodian: str, number: int, jti: bytes, *rest: object
    ) -> Parcel:
        return Parcel(bank, custodian, number, jti, 77, *rest[1:])  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        lying.parse = Parcel.parse  # type: ignore[attr-defined]
        patched.setattr(feedback_client, "Parcel", lying)
        report(german, told(german, 0))
    found = fetched(german)
    assert found.accepted == ()
    assert [each.reason for each in found.refused] == ["holds 1 reports, not 77"]


def test_a_parcel_that_waited_for_a_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is signed anew, with the key of now; so is one whose answer was lost."""
    with town(tmp_path) as german:
        honest = feedback_client.ask

        def lost(
            call: Ask, request: object, deadline_s: float, *, arrives: bool
        ) -> object:
            if type(request).__name__ == "SendFeedbackRequest":
                if arrives:
                    honest(call, request, deadline_s)  # type: ignore[arg-type]
                raise Unreachable("the house is away")
            return honest(call, request, deadline_s)  # type: ignore[arg-type]

        for number, arrives in enumerate((False, True)):
            with monkeypatch.context() as away:
                away.setattr(feedback_client, "ask", partial(lost, arrives=arrives))
                with pytest.raises(Unreachable):
                    report(german, told(german, number))
            rotate(german.world, (A,), now_ms())
            report(german, told(german, 2))
        assert len(fetched(german).accepted) == 3  # the third call's is told once
        assert parcels(german) == [A] * 4


def test_two_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers are given one after the other: the second waits for the first."""
    held: list[bool] = []
    honest = FeedbackSender._seal

    def seal(own: FeedbackSender, *given: object) -> object:
        folder = own._settings.data
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held.append(False)
        except BlockingIOError:
            held.append(True)
        finally:
            os.close(descriptor)
        return honest(own, *given)  # type: ignore[arg-type]

    with town(tmp_path) as german:
        monkeypatch.setattr(FeedbackSender, "_seal", seal)
        report(german, told(german, 0))
        report(german, told(german, 1))
    assert held == [True, True]
