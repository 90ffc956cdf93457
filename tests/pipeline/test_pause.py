"""Pause and resume: over the API and on the command line, across restarts, and with cancelling."""

import json
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from chatferry.errors import CancelledError
from chatferry.pipeline.pause import LOOK, Pause
from chatferry.store import Store
from tests.support.command_line import chatferry
from tests.support.paths import GOLDEN
from tests.support.refusals import action_error, refusal
from tests.support.serving import (
    PATIENCE,
    Server,
    command,
    current,
    documents,
    environment,
    login,
    serving,
    start,
    until,
    upload,
    wait_for,
)

MESSAGES = "rocketchat_message"
SLOWLY = {"CHATFERRY_MESSAGES_PER_SECOND": "60"}
PAUSED, RESUMED = {"paused": True, "success": True}, {"paused": False, "success": True}
NO_OPERATION = "Import Operation Not Found", "error-operation-not-found"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that takes five seconds to import the golden export."""
    with serving(tmp_path / "data", **SLOWLY) as running:
        yield running


def begin(http: httpx.Client) -> str:
    """Start the import and wait until it writes messages; its id."""
    id = upload(http, GOLDEN)
    wait_for(http, "importer_user_selection")
    http.post("startImport", json={"input": {"users": {"all": True}, "channels": {"all": True}}})
    wait_for(http, "importer_importing_messages")
    return id


def count(server: Server) -> int:
    return len(documents(server.data, MESSAGES))


def assert_stands_still(server: Server) -> int:
    """How many messages there are, once nothing is written any more."""
    time.sleep(1)  # within which a pause takes effect
    before = count(server)
    time.sleep(1)
    assert count(server) == before
    return before


def report(server: Server, *more: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(chatferry("report", "--data", server.data, "--json", *more).stdout)
    return found


def test_paused_and_resumed_over_the_api(server: Server) -> None:
    with login(server) as http:
        begin(http)
        assert "paused" not in http.get("import.status").json()
        assert [http.post("import.pause").json() for _ in range(2)] == [PAUSED, PAUSED]
        so_far = assert_stands_still(server)
        assert 0 <= so_far < 300
        assert current(http)["status"] == "importer_importing_messages"
        status = http.get("import.status").json()
        assert (status["state"], status["paused"]) == ("importing", True)
        assert "paused" not in status["operation"]
        assert report(server)["paused"] is True
        with closing(sqlite3.connect(server.data / "workspace.sqlite3", timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")  # nobody holds a lock
            other.rollback()
        assert [http.post("import.resume").json() for _ in range(2)] == [RESUMED, RESUMED]
        wait_for(http, "importer_done")
    assert count(server) == 300
    found = report(server)
    assert found["paused"] is False
    assert isinstance(found["seconds"], float)


def test_paused_on_the_command_line_while_a_server_works(server: Server) -> None:
    with login(server) as http:
        id = begin(http)
        for _ in range(2):
            done = chatferry("pause", "--data", server.data)
            assert (done.returncode, f"Operation {id} is paused" in done.stdout) == (0, True)
        so_far = assert_stands_still(server)
        assert "paused while importing messages" in chatferry("report", "--data", server.data).stdout
        for _ in range(2):
            assert chatferry("resume", id, "--data", server.data).returncode == 0
        wait_for(http, "importer_done")
    assert so_far < count(server) == 300
    for what in ("pause", "resume"):
        refused = chatferry(what, "--data", server.data)
        assert refused.returncode == 2
        assert f"Operation {id} is importer_done. Only one that is importing" in refused.stderr
        assert chatferry(what, "nobody", "--data", server.data).returncode == 2
        assert chatferry(what, "--data", server.data / "nowhere").returncode == 2


def test_a_pause_outlives_the_process(tmp_path: Path) -> None:
    server = start(tmp_path, **SLOWLY)
    try:
        with login(server) as http:
            begin(http)
            http.post("import.pause")
        server.kill()
        server = start(tmp_path, **SLOWLY)
        so_far = assert_stands_still(server)
        assert server.stop() == 0  # as it waits
        server = start(tmp_path)
        with login(server) as http:
            assert http.get("import.status").json()["paused"] is True
            assert assert_stands_still(server) == so_far
            assert http.post("import.resume").json() == RESUMED
            wait_for(http, "importer_done")
        assert count(server) == 300
    finally:
        server.kill()


def test_cancelled_while_it_is_paused(server: Server) -> None:
    with login(server) as http:
        id = begin(http)
        http.post("import.pause")
        so_far = assert_stands_still(server)
        http.post("import.clear")
        until(lambda: current(http)["status"] == "importer_import_cancelled")
        assert "paused" not in http.get("import.status").json()
        refused = action_error(*NO_OPERATION, "import.resume")
        assert refusal(http.post("import.resume")) == refused
        assert chatferry("resume", id, "--data", server.data).returncode == 2
        assert count(server) == so_far


def test_only_what_is_importing_can_be_paused(server: Server) -> None:
    with login(server) as http:
        for endpoint in ("import.pause", "import.resume"):
            assert refusal(http.post(endpoint)) == action_error(*NO_OPERATION, endpoint)
        upload(http, GOLDEN)
        wait_for(http, "importer_user_selection")
        for endpoint in ("import.pause", "import.resume"):
            reason = "The import operation is at importer_user_selection, it is not importing"
            refused = action_error(reason, "error-invalid-operation-status", endpoint)
            assert refusal(http.post(endpoint)) == refused
        assert chatferry("pause", "--data", server.data).returncode == 2


def test_many_threads_wait_and_the_clock_stands_still() -> None:
    """As when files are fetched, several at once."""
    with Store() as store:
        pause = Pause(store, "x", lambda: None)
        store.pauses.add("x")
        threads = [threading.Thread(target=pause.check) for _ in range(4)]
        began, clock = time.perf_counter(), pause.clock()
        for thread in threads:
            thread.start()
        time.sleep(3 * LOOK)
        assert all(thread.is_alive() for thread in threads)
        store.pauses.remove("x")
        for thread in threads:
            thread.join()
        passed = time.perf_counter() - began
        assert passed >= 3 * LOOK
        assert pause.clock() - clock <= passed - 2 * LOOK


def test_a_cancelled_operation_does_not_wait_for_resume() -> None:
    def end() -> None:
        raise CancelledError

    with Store() as store:
        store.pauses.add("x")
        with pytest.raises(CancelledError):
            Pause(store, "x", end).check()


def test_an_import_without_a_server_waits_too(tmp_path: Path) -> None:
    data = tmp_path / "data"
    importing = subprocess.Popen(
        command("import", "slack", str(GOLDEN), "--data", str(data), "--json"),
        stdout=subprocess.DEVNULL,
        env=environment(**SLOWLY),
    )
    try:
        until(lambda: chatferry("pause", "--data", data).returncode == 0)
        time.sleep(1)
        found = json.loads(chatferry("report", "--data", data, "--json").stdout)
        assert (found["paused"], importing.poll()) == (True, None)
        assert chatferry("resume", "--data", data).returncode == 0
        assert importing.wait(PATIENCE) == 0
    finally:
        importing.kill()
    assert len(documents(data, MESSAGES)) == 300
