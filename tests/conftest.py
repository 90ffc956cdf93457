"""What tests of several folders use."""

from collections.abc import Iterator

import pytest

from tests.mongo import Mongod


@pytest.fixture(scope="session")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """A MongoDB for all tests: each uses a database of its own, and one that kills it starts its own."""
    server = Mongod(tmp_path_factory.mktemp("mongod"))
    server.start()
    yield server
    server.stop()
