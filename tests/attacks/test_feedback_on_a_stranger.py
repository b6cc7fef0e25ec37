"""A bank reports a default of somebody it never asked about, to harm or to probe.

Each report carries the permitted call that it rests on, and the salt that opens whom
the call was about.  The custodian checks both by the proofs of the two journals, so
neither the bank's client nor the house needs to be honest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from contracts.feedback import Ending, Report
from node.errors import RowsRefused
from node.feedback_client import FeedbackSender
from tests.borrowers import A, B, fetched, forget, report, told, town
from tests.german import German


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[German]:
    """Run a town."""
    with town(tmp_path_factory.mktemp("stranger")) as made:
        yield made


@pytest.fixture
def german(running: German) -> German:
    """Lend it without parcels."""
    forget(running)
    return running


def lying(
    german: German, monkeypatch: pytest.MonkeyPatch, reports: Sequence[Report]
) -> None:
    """Let bank A send what it likes."""
    monkeypatch.setattr(FeedbackSender, "_reports", lambda *_: list(reports))
    report(german, told(german, 0))
    monkeypatch.undo()


def honest(
    german: German, monkeypatch: pytest.MonkeyPatch, bank: str, number: int
) -> Report:
    """Make the report that a bank may make, and send nothing."""
    made: list[Report] = []
    reports = FeedbackSender._reports

    def caught(self: FeedbackSender, *args: object) -> list[Report]:
        made.extend(reports(self, *args))  # type: ignore[arg-type]
        return []

    monkeypatch.setattr(FeedbackSender, "_reports", caught)
    report(german, told(german, number, ending=Ending.DEFAULT), bank)
    monkeypatch.undo()
    return made[0]


def test_the_client_refuses(german: German) -> None:
    """Before anything is sealed."""
    with pytest.raises(RowsRefused, match="no permitted call"):
        report(german, told(german, 3))


def test_a_call_about_another_subject(
    german: German, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receipt is real, the subject is not its own."""
    own = honest(german, monkeypatch, A, 0)
    lying(german, monkeypatch, [replace(own, subject_id=german.ids[3]), own])
    found = fetched(german)
    assert [each.subject_id for each in found.accepted] == [german.ids[0]]
    (refused,) = found.refused
    assert "another subject" in refused.reason


def test_another_banks_call(german: German, monkeypatch: pytest.MonkeyPatch) -> None:
    """B asked about the subject, and gave A its receipt."""
    theirs = honest(german, monkeypatch, B, 3)
    lying(german, monkeypatch, [theirs])
    found = fetched(german)
    assert found.accepted == ()
    assert "another bank's" in found.refused[0].reason


def test_an_edited_receipt(german: German, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever byte of the proofs is another, it proves nothing."""
    own = honest(german, monkeypatch, A, 0)
    middle = len(own.answered) // 2
    bad = [
        replace(own, answered=own.answered.replace(old, new, 1))
        for old, new in (
            (b'"bank\\":\\"jnrcb', b'"bank\\":\\"lsbank'),
            (b"\\n", b"\\n1"),
        )
    ]
    cut = replace(own, answered=own.answered[:middle])
    lying(german, monkeypatch, [*bad, cut])
    found = fetched(german)
    assert found.accepted == ()
    assert len(found.refused) == 3
