"""An empty database, and a destination on it."""

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from chatferry.destinations.mongodb.bson_documents import OPTIONS
from chatferry.destinations.mongodb.destination import MongoDestination
from tests.support.mongo import Mongod, wipe
from tests.support.mongo_destination import Db


@pytest.fixture(scope="module")
def client(mongod: Mongod) -> "Iterator[MongoClient[dict[str, Any]]]":
    with mongod.client() as client:
        yield client


@pytest.fixture
def database(client: "MongoClient[dict[str, Any]]") -> Db:
    """The database as another program sees it, empty."""
    wipe(client["own"])
    return client.get_database("own", OPTIONS)


@pytest.fixture
def destination(mongod: Mongod, database: Db) -> Iterator[MongoDestination]:
    opened = MongoDestination(mongod.database_url("own"))
    yield opened
    opened.close()
