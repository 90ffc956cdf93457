"""The server killed at random points: after restarts the documents are those of an unbroken run."""

import os
import random
import sqlite3
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from chatferry.documents import COLLECTIONS
from testdata.slack_export import Shape, write_export
from tests.importing import lasting
from tests.serving import PATIENCE, Server, documents, login, serving, start, upload, wait_for

LONG = os.environ.get("CHATFERRY_TEST_LONG") == "1"
SEEDS = range(20 if LONG else 4)
KILLS_PREPARING, KILLS_IMPORTING = 2, 5  # per seed: 28 points, 140 in the long run
SHAPE = Shape(users=40, channels=10, messages=12_000, seed=21, days=None, layout="corporate")
ENDED = "importer_done"
points: list[str] = []  # the status at each kill


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("crash") / "export.zip"
    write_export(path, SHAPE)
    return path


class Unbroken(Struct):
    """An import that nothing interrupted: its documents, and the seconds of its two phases."""

    documents: dict[str, Any]
    preparing: float
    importing: float


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, export: Path) -> Unbroken:
    data = tmp_path_factory.mktemp("unbroken")
    with serving(data) as server, login(server) as http:
        upload(http, export)
        began = time.monotonic()
        wait_for(http, "importer_user_selection")
        prepared = time.monotonic()
        start_all(server)
        wait_for(http, ENDED)
        done = time.monotonic()
    return Unbroken(contents(data), prepared - began, done - prepared)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_server_goes_on_where_it_was(
    tmp_path: Path, export: Path, unbroken: Unbroken, seed: int
) -> None:
    chance = random.Random(seed)
    workers = "2" if seed % 2 else "0"
    server = start(tmp_path, CHATFERRY_WORKERS=workers)
    with login(server) as http:
        upload(http, export)
    for _ in range(KILLS_PREPARING):
        server = killed(server, workers, chance.random() * unbroken.preparing / KILLS_PREPARING)
    with login(server) as http:
        wait_for(http, "importer_user_selection")
    start_all(server)
    for _ in range(KILLS_IMPORTING):
        server = killed(server, workers, chance.random() * unbroken.importing * 1.5 / KILLS_IMPORTING)
    with login(server) as http:
        wait_for(http, ENDED)
    server.kill()
    found = contents(tmp_path)
    for collection in COLLECTIONS:
        assert found[collection] == unbroken.documents[collection], collection


def killed(server: Server, workers: str, delay: float) -> Server:
    """Kill the server after so many seconds, and start it again: it takes up the work at once."""
    time.sleep(delay)
    server.kill()
    points.append(status_on_disk(server.data))
    return start(server.data, CHATFERRY_WORKERS=workers)


def test_enough_points_were_inside_the_work() -> None:
    inside = [status for status in points if status not in ("importer_user_selection", ENDED)]
    assert len(inside) >= 0.5 * len(SEEDS) * (KILLS_PREPARING + KILLS_IMPORTING)
    assert {"importer_importing_messages"} < set(inside), sorted(set(inside))


def status_on_disk(data: Path) -> str:
    store = sqlite3.connect(data / "store.sqlite3", timeout=PATIENCE)
    try:
        row = store.execute("SELECT data FROM operations ORDER BY ts DESC LIMIT 1").fetchone()
    finally:
        store.close()
    return str(msgspec.msgpack.decode(row[0])["status"]) if row else ""


def start_all(server: Server) -> None:
    everything = {"users": {"all": True}, "channels": {"all": True}}
    with login(server) as http:
        answer = http.post("startImport", json={"input": everything})
    assert answer.json() == {"success": True}


def contents(data: Path) -> dict[str, Any]:
    """Every document without times of writing, and without what logging in leaves on the administrator."""
    found = {}
    for collection in COLLECTIONS:
        kept = [lasting(document) for document in documents(data, collection)]
        found[collection] = {doc["_id"]: doc for doc in kept if "admin" not in doc.get("roles", ())}
    for room in found["rocketchat_room"].values():
        room.pop("u", None)
    subscriptions = found["rocketchat_subscription"]
    for id, subscription in list(subscriptions.items()):
        subscription.pop("ts"), subscription.pop("ls", None)
        if subscription["u"]["username"] == "admin":  # his id is made by chance
            del subscriptions[id]
    return found
