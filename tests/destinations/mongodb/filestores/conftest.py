"""MongoDB destinations with files in GridFS, a directory or a bucket."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from chatferry.destinations.mongodb.destination import MongoDestination
from tests.support.file_stores import Db, Open
from tests.support.mongo import Mongod, set_settings, wipe
from tests.support.s3 import S3Server


@pytest.fixture
def database(client: "MongoClient[dict[str, Any]]") -> Db:
    """The database as another program sees it, empty."""
    wipe(client["stores"])
    return client["stores"]


@pytest.fixture
def opened(mongod: Mongod, database: Db) -> Iterator[Open]:
    """Opens a destination with such settings of Rocket.Chat."""
    all_opened = []

    def open_(settings: Mapping[str, Any]) -> MongoDestination:
        set_settings(database, settings)
        all_opened.append(MongoDestination(mongod.database_url("stores")))
        return all_opened[-1]

    yield open_
    for each in all_opened:
        each.close()


@pytest.fixture
def bucket(s3: S3Server, tmp_path: Path) -> str:
    name = hashlib.sha256(str(tmp_path).encode()).hexdigest()[:20]
    s3.client().create_bucket(Bucket=name)
    return name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "uploads"
    path.mkdir()
    return path
