"""Imports into MongoDB: the same documents as elsewhere, also if the server fails meanwhile."""

import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chatferry.destinations import Destination
from chatferry.destinations.memory import MemoryDestination
from chatferry.destinations.mongodb import server as mongo_server
from chatferry.destinations.mongodb.destination import MongoDestination
from chatferry.destinations.sqlite.destination import SqliteDestination
from chatferry.documents import COLLECTIONS, MESSAGES, ROOMS, SUBSCRIPTIONS, USERS
from chatferry.operations import ENDS, Status, is_importing
from chatferry.pipeline import outage
from chatferry.settings import Settings
from chatferry.store import Store
from testdata.slack_export import Shape, write_export
from tests.support.importing import Imported, documents_of, founded, import_archive, lasting
from tests.support.mongo import Mongod, allow_letters, make_indexes
from tests.support.paths import SLACK_EXAMPLE
from tests.support.serving import until

LONG = os.environ.get("CHATFERRY_TEST_LONG") == "1"
POINTS = 20 if LONG else 3  # at which the server is killed
SHAPE = Shape(users=40, channels=10, messages=8_000, seed=21, days=None, layout="corporate")


def contents(destination: Destination) -> dict[str, Any]:
    """Every document without times of writing."""
    found = {
        collection: {
            document["_id"]: document for document in map(lasting, documents_of(destination, collection))
        }
        for collection in COLLECTIONS
    }
    for subscription in found[SUBSCRIPTIONS].values():
        subscription.pop("ts"), subscription.pop("ls", None)
    found[USERS]["admin"].pop("services")  # a password is salted
    return found


def test_one_import_gives_the_same_documents_as_in_the_embedded_workspace(
    mongod: Mongod, tmp_path: Path
) -> None:
    allow_letters(mongod, "same")
    opened = MongoDestination(mongod.database_url("same"))
    first = import_archive(SLACK_EXAMPLE, founded(opened))
    embedded = SqliteDestination(tmp_path / "workspace.db")
    second = import_archive(SLACK_EXAMPLE, founded(embedded))
    assert first.operation.status == second.operation.status == Status.DONE
    assert contents(opened) == contents(embedded)
    assert counted(first) == counted(second)
    again = import_archive(SLACK_EXAMPLE, opened)
    assert again.report["messages"]["unchanged"] == first.report["messages"]["inserted"] > 0
    assert again.report["messages"]["updated"] == again.report["messages"]["inserted"] == 0
    opened.close()
    embedded.close()


def counted(imported: Imported) -> dict[str, Any]:
    return {kind: imported.report[kind] for kind in ("users", "rooms", "messages", "files")}


# ---------------------------------------------------------------- a server that is killed


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Mongod]:
    server = Mongod(tmp_path / "mongod")
    server.start()
    yield server
    server.kill()


def test_documents_are_the_same_when_the_server_is_killed_on_the_way(server: Mongod, tmp_path: Path) -> None:
    export = tmp_path / "export.zip"
    write_export(export, SHAPE)
    unbroken = import_archive(export, founded(MemoryDestination()))
    expected, killed = contents(unbroken.destination), 0
    for seed in range(POINTS):
        if killed < POINTS:
            killed += import_while_killing(server, export, f"killed{seed}", seed, POINTS - killed, expected)
    assert killed == POINTS


def import_while_killing(
    server: Mongod, export: Path, database: str, seed: int, points: int, expected: dict[str, Any]
) -> int:
    """Kill the server up to so many times during an import; how often it was."""
    chance, killed, ended = random.Random(seed), 0, []
    with server.client() as client:
        make_indexes(client[database], MESSAGES, ROOMS, SUBSCRIPTIONS, USERS)
    allow_letters(server, database)
    opened = founded(MongoDestination(server.database_url(database)))

    def work() -> None:
        ended.append(import_archive(export, opened, Store(export.parent / f"{database}.store")))

    worker = threading.Thread(target=work)
    worker.start()
    while killed < points:
        worker.join(chance.random() * 0.6)
        if not worker.is_alive():
            break
        server.kill()
        killed += 1
        server.start()
    worker.join()
    (imported,) = ended
    assert imported.operation.status == Status.DONE, imported.operation.error
    found = contents(opened)
    for collection in COLLECTIONS:
        assert found[collection] == expected[collection], collection
    opened.close()
    return killed


def test_an_import_waits_for_a_server_that_is_away_and_goes_on_by_itself(
    server: Mongod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is away for longer than a destination tries again by itself."""
    monkeypatch.setattr(mongo_server, "PATIENCE", 0.2)
    monkeypatch.setattr(outage, "LONGEST_DELAY", 0.5)
    export = tmp_path / "export.zip"
    write_export(export, SHAPE)
    unbroken = import_archive(export, founded(MemoryDestination()))
    allow_letters(server, "away")
    opened = founded(MongoDestination(server.database_url("away") + "&serverSelectionTimeoutMS=500"))
    store, ended = Store(tmp_path / "store"), []
    settings = Settings(data=tmp_path, workers=0)

    def work() -> None:
        ended.append(import_archive(export, opened, store, settings=settings))

    worker = threading.Thread(target=work)
    worker.start()
    for completed in (0, 3_000) if LONG else (3_000,):
        until(lambda completed=completed: has_brought(store, completed))  # type: ignore[misc]  # mypy infers no default
        server.kill()
        until(lambda: "does not answer" in waiting_for(store))
        server.start()
        until(lambda: not waiting_for(store))
    worker.join()
    (imported,) = ended
    assert imported.operation.status == Status.DONE, imported.operation.error
    assert contents(opened) == contents(unbroken.destination)
    opened.close()


def has_brought(store: Store, completed: int) -> bool:
    last = store.operations.last()
    return last is not None and is_importing(last.status) and (last.count.completed or 0) >= completed


def waiting_for(store: Store) -> str:
    last = store.operations.last()
    assert last is not None and last.status not in ENDS
    return last.waiting_for
