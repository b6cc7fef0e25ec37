"""A bank asks about strangers to learn who is in the government's directory.

Whoever has not consented is NO_CONSENT, known or not.  So must be everything else
that a bank sees of a refusal: in which document it comes, after and before whom,
when, and how many were refused until then.
"""

import pytest

from contracts.decide import Reason
from node import clock, job_run
from node.job_run import Run
from node.wire.v1 import job_pb2
from protocols.job import JobDenials
from tests.crowds import Crowd

ASKED = 60  # several documents


def shown(crowd: Crowd, subjects: list[str]) -> list[list[object]]:
    """Return all refusals of a job as its bank sees them, but for whose they are."""
    with crowd.bank() as bank:
        job = bank.submit("german-card", crowd.pairs(subjects))
        assert crowd.end(bank, job).denied == len(subjects)
        return [items(release) for release in bank._releases_from(job, 0, follow=True)]


def items(release: job_pb2.FetchJobResponse) -> list[object]:
    """Read refusals: by whom, of which entries, for which reason."""
    denials = JobDenials.parse(release.denials.payload)
    return [denials.by, *((d.index, d.reason, d.detail) for d in denials.items)]


def test_a_known_stranger_looks_like_an_unknown_one(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever of a list is in the directory: the same documents in the same order."""
    monkeypatch.setattr(job_run, "STRETCH", 25)
    known = crowd.strangers(ASKED // 2)
    mixed = [*known, *(f"nobody-{i}" for i in range(ASKED // 2))]
    none = [f"ghost-{i}" for i in range(ASKED)]
    seen = shown(crowd, mixed)
    assert seen == shown(crowd, none)
    entries = [item for release in seen for item in release[1:]]
    assert entries == [(i, "NO_CONSENT", "") for i in range(ASKED)]


def test_nobody_is_looked_up_without_consent(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Consents of others, of nobody, ended ones: the directory is not asked."""
    looked_up: list[bytes] = []
    places = job_run.directory.places

    def looking(db: object, kind: str, subjects: object) -> object:
        names = list(subjects)  # type: ignore[call-overload]
        looked_up.extend(names)
        return places(db, kind, names)  # type: ignore[arg-type]

    monkeypatch.setattr(job_run.directory, "places", looking)
    others, ended, elsewhere, unregistered, right = crowd.strangers(5)
    crowd.german.grant(others, grantees=("lsbank",))
    crowd.german.grant(ended, not_after_ms=clock.now_ms() - 1)
    crowd.german.grant(elsewhere, purposes=("review",))
    crowd.german.grant(right)
    asked = [others, ended, elsewhere, unregistered, right]
    _, outcomes = crowd.run(asked)
    assert len(looked_up) == 1
    assert [outcomes[s].reason.partition(":")[0] for s in asked[:4]] == [
        Reason.NO_CONSENT,
        Reason.EXPIRED,
        Reason.PURPOSE_MISMATCH,
        Reason.NO_CONSENT,
    ]
    assert outcomes[right].kind in ("scored", "vetoed")
    assert crowd.replayed()[0] == []


def test_a_consent_that_came_too_late_is_refused_for_that(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Registered after the plan was made: refused, and the journal says why."""
    (late,) = crowd.strangers(1)
    decide = Run._decide

    def later(run: Run, number: int, first: int) -> object:
        if number == 0:
            crowd.german.grant(late)
        return decide(run, number, first)

    monkeypatch.setattr(Run, "_decide", later)
    _, outcomes = crowd.run([late])
    assert (outcomes[late].kind, outcomes[late].reason) == ("denied", "NO_CONSENT")
    assert crowd.replayed()[0] == []
