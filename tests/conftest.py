"""What holds for every test: no example is timed, the machine may be busy.

Tests of a file run in order, in one process, for some go on where the one before left
off; the pages that `test_transcripts` replays have a desk each, and are the longest, so
each goes by itself, and they go first.
"""

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

collect_ignore = ["scorecards/make_cards.py"]  # needs packages that are not ours

REPLAYED = "test_transcript_is_what_happens"


@pytest.hookimpl(tryfirst=True)  # xdist looks for the groups after us
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests stay together under `--dist loadgroup`."""
    items.sort(key=lambda item: not item.name.startswith(REPLAYED))
    for item in items:
        alone = item.name.startswith(REPLAYED)
        group = item.name if alone else item.path.name
        item.add_marker(pytest.mark.xdist_group(group))
