"""A call from question to answer, over real sockets (PROTOCOL 3)."""

from collections.abc import Iterator

import pytest

from contracts.compiled import Answer
from tests.german import German, expected
from tests.simulator import World

SUBJECTS = 60


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[German]:
    """Run a trust domain with the first subjects of the example."""
    with World(tmp_path_factory.mktemp("world")) as made:
        german = German(made, SUBJECTS)
        for subject in german.ids:
            german.grant(subject)
        yield german


def test_every_outcome_is_the_published_one(running: German) -> None:
    """Scored, vetoed: what the bank reads is what the card says."""
    wanted = expected()
    with running.bank() as bank:
        for subject in running.ids:
            outcome = bank.score("german-card", subject, consent=f"c-{subject}")
            row = wanted[subject]
            assert outcome.kind == row["answer"], subject
            if outcome.kind is Answer.SCORED:
                assert outcome.fields["grade"] == row["grade"], subject
                assert outcome.fields["limit"] == int(row["limit"]), subject
            else:
                assert outcome.reason == row["reason"]
        assert bank.flush() == 0
