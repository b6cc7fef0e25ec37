"""One trust domain on a disk, for all that must stay right under faults and load."""

from collections.abc import Iterator

import pytest

from tests.german import German
from tests.processes import NODES, OnDisk

SUBJECTS = 40


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[German]:
    """Make a trust domain and load it in this process."""
    world = OnDisk(tmp_path_factory.mktemp("loaded"))
    with world:
        for role in NODES:
            world.start(role)
        german = German(world, SUBJECTS)
        for subject in german.ids:
            german.grant(subject)
        for role in reversed(NODES):
            world.stop(role)
            # What the journal's cache may hold is no leak: it is full at once here.
            with (world.folder / role.value / "safehouse.toml").open("a") as file:
                file.write("[limits]\njournal_cache_mb = 1\n")
        yield german


@pytest.fixture
def running(loaded: German) -> Iterator[German]:
    """Serve it by two other processes."""
    world = loaded.world
    assert isinstance(world, OnDisk)
    try:
        for role in NODES:
            world.up(role)
        yield loaded
    finally:
        for child in world.children.values():
            child.kill()
        for role in reversed(NODES):
            world.stop(role)
