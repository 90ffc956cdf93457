"""Servers and hosts that tests of several folders use."""

import sqlite3
from collections.abc import Iterator
from typing import Any

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


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """The connections to SQLite that are opened during the test, so that it can set limits on them."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def noted(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", noted)
    return opened
