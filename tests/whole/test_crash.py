"""The server killed at random points: after restarts the documents are those of an unbroken run."""

import os
import random
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import Struct

from chatferry.documents import COLLECTIONS
from testdata.slack_export import Shape, write_export
from tests.support.paths import GOLDEN
from tests.support.serving import (
    PATIENCE,
    Server,
    contents,
    current,
    environment,
    login,
    serving,
    start,
    start_all,
    status_on_disk,
    until,
    upload,
    wait_for,
)

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
    server = start(tmp_path, CHATFERRY_WORKERS=workers, CHATFERRY_MAX_DEATHS="100")
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
    return start(server.data, CHATFERRY_WORKERS=workers, CHATFERRY_MAX_DEATHS="100")


def test_enough_points_were_inside_the_work() -> None:
    inside = [status for status in points if status not in ("importer_user_selection", ENDED)]
    assert len(inside) >= 0.5 * len(SEEDS) * (KILLS_PREPARING + KILLS_IMPORTING)
    assert {"importer_importing_messages"} < set(inside), sorted(set(inside))


# ---------------------------------------------------------------- an operation over which the server dies


def test_an_operation_that_kills_the_server_again_and_again_is_ended(tmp_path: Path) -> None:
    """The server is killed while it converts messages: no record more ends, as with too little memory."""
    with serving(tmp_path) as server, login(server) as http:
        id = upload(http, GOLDEN)
        wait_for(http, "importer_user_selection")
        server.stop()
    for _ in range(3):
        dying(tmp_path)
    with serving(tmp_path) as server, login(server) as http:
        until(lambda: current(http)["status"] == "importer_import_failed")
        reason = http.get("getImportFileData").json()["error"]
        assert "died 3 times in a row at the same place" in reason
        assert "CHATFERRY_WORKERS=0" in reason and f"chatferry retry {id}" in reason
        server.kill()
    with serving(tmp_path) as server, login(server) as http:
        assert current(http)["status"] == "importer_import_failed"
        assert http.post("import.retry").json()["success"] is True
        wait_for(http, ENDED)


def dying(data: Path) -> None:
    """Start a server that dies where it would write messages, and let it go on or begin with its import."""
    program = (
        "import os, chatferry.pipeline.run as p; p.write_batches = lambda *given: os.kill(os.getpid(), 9);"
        "from chatferry.cli import main; main()"
    )
    line = [sys.executable, "-c", program, "serve", "--data", str(data), "--port", "0"]
    with (data / "told").open("wb") as told:
        process = subprocess.Popen(line, stderr=told, env=environment(CHATFERRY_WORKERS="0"))
    while process.poll() is None and not (
        found := re.search(rb"(http://\S+:\d+)\n", (data / "told").read_bytes())
    ):
        time.sleep(0.02)
    if process.poll() is None and found:
        server = Server(data, found[1].decode(), process)
        with suppress(httpx.HTTPError), login(server) as http:
            if current(http)["status"] == "importer_user_selection":
                start_all(server)
    assert process.wait(PATIENCE) == -9
