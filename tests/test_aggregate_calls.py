"""Statistics end to end: what a bank reads, what is counted, what is refused."""

from collections.abc import Iterator

import pytest

from protocols import noise
from tests.simulator import World
from tests.statistics_town import Town, people, told


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Run a town whose tests only add to what is there."""
    folder = tmp_path_factory.mktemp("town")
    with World(folder / "world") as world:
        yield Town(world, folder / "files", people())


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no noise, at either node."""
    monkeypatch.setattr(noise.Scale, "draw", lambda *_: 0)


@pytest.mark.usefixtures("silent")
def test_without_noise_every_figure_is_the_raw_one(town: Town) -> None:
    """Counts, sums from 0 and from below, means, histograms; groups, filters."""
    with town.client() as bank:
        for where in ({}, {"trade": ["农业"]}, {"town": ["安居镇", "喻屯镇"]}):
            statistic = bank.ask("tax-by-town", where)
            assert told(statistic) == town.exact(where)
            assert not statistic.repeated
