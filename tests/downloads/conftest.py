"""A file host for each test, and rules that let downloads reach it."""

import pytest

from chatferry.downloads import Rules
from chatferry.downloads.network import World
from tests.support.filehost import FileHost


@pytest.fixture
def rules(host: FileHost) -> Rules:
    return Rules(hosts=frozenset({host.name}), connect_seconds=10, idle_seconds=10, total_seconds=60)


@pytest.fixture
def naps() -> list[float]:
    """The seconds that were slept, had it not been for `outside`."""
    return []


@pytest.fixture
def outside(naps: list[float]) -> World:
    return World(sleep=naps.append)
