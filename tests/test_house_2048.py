"""The same calls with a key of full length: 2048 bits, two blocks, real sockets."""

from pathlib import Path

from contracts.compiled import Answer
from node.verify import verify
from protocols.paillier import TEST_BITS
from tests.german import German, expected
from tests.simulator import World

SLOTS = 49


def test_every_outcome_is_the_published_one(tmp_path: Path) -> None:
    """Subjects of the first and of the last slot, scored and vetoed; then an audit."""
    wanted = expected()
    with World(tmp_path / "world", key_bits=TEST_BITS) as world:
        assert world.slots == SLOTS
        german = German(world, SLOTS + 3)
        by_row = sorted(german.ids, key=german.number)
        asked = [*by_row[:4], *by_row[SLOTS - 2 :]]
        vetoed = next(s for s in by_row if wanted[s]["answer"] == "vetoed")
        with german.bank() as bank:
            for subject in dict.fromkeys([*asked, vetoed]):
                german.grant(subject)
                outcome = bank.score("german-card", subject, consent=f"c-{subject}")
                row = wanted[subject]
                assert outcome.kind == row["answer"], subject
                if outcome.kind is Answer.SCORED:
                    told = outcome.fields["grade"], outcome.fields["limit"]
                    assert told == (row["grade"], int(row["limit"])), subject
                else:
                    assert outcome.reason == row["reason"], subject
            assert bank.flush() == 0
        with world.auditor() as auditor:
            auditor.export(tmp_path / "export")
        report = verify(tmp_path / "export", world.domain, openings=german.openings)
        assert report.findings == ()
