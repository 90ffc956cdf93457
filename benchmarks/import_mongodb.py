"""How fast a Slack export is imported into MongoDB, and with how much memory.

The import is the command line's, a process of its own: into an empty collection of messages (first), the same
once more (again), and an export with 1 % more messages into what is there then (top-up). The floor is bare
unordered insert_many of the finished messages, over as many connections as the import writes on, into a
collection with the same indexes and the same write concern. The server is a replica set of one member that is
started for this on this machine. See docs/performance.md.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient

from benchmarks.floors import Floor, keep_documents, mongodb_floor
from benchmarks.measuring import apart
from benchmarks.reports import Report, print_json
from benchmarks.suite import measure_all, parser
from chatferry import accounts
from chatferry.clock import now
from chatferry.destinations import open_destination
from chatferry.documents import MESSAGES, ROOMS, SUBSCRIPTIONS, USERS, Date
from chatferry.pipeline.parallel.processes import cores
from tests.support.mongo import Mongod, make_indexes

IMPORTED, FLOOR = "chatferry_bench_import", "chatferry_bench_floor"
_TITLES = {
    "none": "MongoDB without indexes",
    "all": "MongoDB with Rocket.Chat's 26 indexes",
    "text-last": "MongoDB with Rocket.Chat's 26 indexes, that of texts built last",
}


def main() -> None:
    options = parser(__doc__ or "", sorted({0, cores()}))
    options.add_argument(
        "--indexes",
        choices=_TITLES,
        nargs="+",
        default=["none", "all"],
        help="of messages: none but that of _id; all of Rocket.Chat's; or all, and the import\n"
        "builds that of texts last (--text-index-last): the floor has it from the beginning",
    )
    options.add_argument(
        "--server",
        help="a MongoDB that runs, mongodb://HOST:PORT/?replicaSet=NAME, in place of one started\n"
        f"for this; the databases {IMPORTED} and {FLOOR} there are dropped",
    )
    chosen = options.parse_args()
    reports: list[Report] = []
    with _server(chosen.server, chosen.cache) as url:
        for indexes in chosen.indexes:
            reports += measure_all(chosen, partial(Mongo, url, indexes))
    if chosen.json:
        print_json(reports)


@contextmanager
def _server(url: str | None, cache: Path) -> Iterator[str]:
    """The URL of a server."""
    if url:
        yield url
        return
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mongod-", dir=cache.resolve()) as folder:
        server = Mongod(Path(folder), cache_gigabytes=1)
        try:
            server.start()
        except pytest.skip.Exception as missing:
            raise SystemExit(f"MongoDB is not measured: {missing}. Give one with --server.") from missing
        try:
            yield server.url
        finally:
            server.stop()


class Mongo:
    def __init__(self, url: str, indexes: str, folder: Path) -> None:
        self.title = _TITLES[indexes]
        self._url = url
        self._with_indexes = indexes != "none"
        self._options = ["--text-index-last"] if indexes == "text-last" else []
        self._kept = folder / "kept.bson"

    def connections(self, workers: int) -> int:
        return max(workers, 1)

    def empty(self, data: Path) -> list[str]:
        """What a Rocket.Chat server starts with is there, an administrator too: imports make none of that."""
        self._make(IMPORTED)
        url = urlsplit(self._url)._replace(path=f"/{IMPORTED}").geturl()
        workspace = open_destination(url)
        accounts.found_workspace(workspace, Date.at(now()))
        accounts.add_admin(workspace, "admin", "admin", "secret", "", Date.at(now()))
        workspace.close()
        return ["--destination", url, *self._options]

    def keep(self, data: Path, messages: int) -> None:
        apart(keep_documents, self._url, IMPORTED, messages, self._kept)

    def floor(self, export: Path, connections: int) -> Floor:
        self._make(FLOOR)
        self.settle()
        return apart(mongodb_floor, self._kept, self._url, FLOOR, connections)

    def settle(self) -> None:
        os.sync()
        with self._client() as client:
            client.admin.command("fsync")

    def _make(self, name: str) -> None:
        """An empty database with Rocket.Chat's indexes, and no other one."""
        with self._client() as client:
            for database in (IMPORTED, FLOOR):
                client.drop_database(database)
            make_indexes(client[name], USERS, ROOMS, SUBSCRIPTIONS)
            client[name].create_collection(MESSAGES)
            if self._with_indexes:
                make_indexes(client[name], MESSAGES)

    def _client(self) -> "MongoClient[dict[str, Any]]":
        return MongoClient(self._url)


if __name__ == "__main__":
    main()
