"""The house keeps some of a job to itself, and says that the job has finished."""

import pytest

from node.errors import ReplyRefused
from node.job_client import JobClient
from node.jobs import Jobs
from tests.crowds import Crowd


def submitted(crowd: Crowd, bank: JobClient) -> bytes:
    """Run a job of several answers, and a refusal."""
    subjects = [*crowd.people(24), *crowd.strangers(2)]
    job = bank.submit("german-card", crowd.pairs(subjects))
    crowd.end(bank, job)
    return job


def test_the_last_release_is_held_back(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bank counts; what it has is kept, and the rest comes when it is given."""
    with crowd.bank() as bank:
        job = submitted(crowd, bank)
        fetch = Jobs.fetch

        def fetching(*given: object) -> object:
            *most, _ = fetch(*given)  # type: ignore[arg-type]
            yield from most

        with monkeypatch.context() as lying:
            lying.setattr(Jobs, "fetch", fetching)
            with pytest.raises(ReplyRefused, match="gives no outcome or refusal for"):
                bank.fetch(job)
        kept = bank._records.fetched(job)
        assert kept > 0
        assert bank.fetch(job, follow=False) == 26
        assert bank._records.fetched(job) == kept + 1


def test_a_release_in_the_middle_is_held_back(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Releases are numbered: a gap is refused, also with numbers of another hand."""
    with crowd.bank() as bank:
        job = submitted(crowd, bank)
        fetch = Jobs.fetch

        for renumbered in (False, True):

            def fetching(*given: object, again: bool = renumbered) -> object:
                all_ = list(fetch(*given))  # type: ignore[arg-type]
                del all_[1]
                for number, release in enumerate(all_):
                    if again:
                        release.number = number
                    yield release

            with monkeypatch.context() as lying:
                lying.setattr(Jobs, "fetch", fetching)
                with pytest.raises(ReplyRefused):
                    bank.fetch(job)
