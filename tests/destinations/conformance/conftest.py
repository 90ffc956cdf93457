"""Each destination in turn."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chatferry.destinations import Destination
from tests.support.destinations import DESTINATIONS, MONGO, opened_by_name
from tests.support.mongo import Mongod


@pytest.fixture
def mongodb(mongod: Mongod) -> None:
    """A server for the destination `mongodb`."""
    MONGO.use(mongod)


@pytest.fixture(params=DESTINATIONS)
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Destination]:
    opened = opened_by_name(request.param, request, tmp_path)
    yield opened
    opened.close()
