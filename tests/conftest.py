"""What tests of several folders use."""

from collections.abc import Iterator

import pytest

from tests.support.filehost import FileHost, hosting
from tests.support.mongo import Mongod
from tests.support.s3 import S3Server


@pytest.fixture(scope="session")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """A MongoDB for all tests: each uses a database of its own, and one that kills it starts its own."""
    server = Mongod(tmp_path_factory.mktemp("mongod"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 server for all tests: each uses a bucket of its own, and one that stops it starts its own."""
    server = S3Server()
    yield server
    server.kill()


@pytest.fixture
def host() -> Iterator[FileHost]:
    """A file host for this test alone."""
    with hosting() as found:
        yield found
