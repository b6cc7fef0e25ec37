"""What holds for every test: no example is timed, the machine may be busy.

Tests of a file run in order, in one process, for some go on where the one before left
off; the pages that `test_transcripts` replays have a desk each, and are the longest, so
each goes by itself, and they go first.
"""

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

collect_ignore = ["scorecards/make_cards.py"]  # needs packages that are not ours

REPLAYED = "test_transcript_is_what_happens"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest."""
    items.sort(key=lambda item: not item.name.startswith(REPLAYED))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(
    config: pytest.Config, log: "Producer"
) -> "LoadScopeScheduling":
    """Say which tests stay together."""
    from xdist.scheduler import LoadFileScheduling  # noqa: PLC0415  where it is used

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if REPLAYED in nodeid else super()._split_scope(nodeid)

    return Scheduling(config, log)
