"""Imports whose server is stopped or killed: after it is started again they end as if nothing had been."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from chatferry.clock import now
from chatferry.documents import MESSAGES
from chatferry.store import Store
from tests.support.flows import (
    CANCELLED,
    DONE,
    EVERYTHING,
    RUNNING,
    SELECTION,
    generated,
    reported,
    running,
    start_import,
)
from tests.support.serving import (
    Server,
    client,
    current,
    documents,
    half_sent,
    latest,
    login,
    run_import,
    start,
    upload,
    wait_for,
)


@pytest.fixture(scope="module")
def medium(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generated(tmp_path_factory, 15_000)


def again(data: Path, http: httpx.Client) -> tuple[Server, httpx.Client]:
    """The next server on the same data, and the same credentials."""
    server = start(data)
    return server, client(server, http.headers["X-User-Id"], http.headers["X-Auth-Token"])


def assert_all_there(data: Path, operation: dict[str, Any]) -> None:
    """Every message that the report says was imported is stored, once."""
    found = reported(data, operation["_id"])
    tally = found["messages"]
    assert tally["failed"] == 0
    assert tally["read"] == operation["count"]["messages"] == 15_000
    stored = tally["inserted"] + tally["unchanged"] + tally["updated"]
    assert stored + tally["skipped"] == tally["read"]
    imported = [one for one in documents(data, MESSAGES) if "slack-" in one["_id"]]
    assert len(imported) >= stored
    assert operation["count"]["completed"] == operation["count"]["total"]


def test_killed_and_started_again(tmp_path: Path, medium: Path) -> None:
    server = start(tmp_path)
    try:
        http = login(server)
        done = run_import(http)
        id = upload(http, medium)
        ready = wait_for(http, SELECTION)
        selection = http.get("getImportFileData").json()
        before = latest(http)
        with half_sent(server, http, b'{"binaryContent":"QUJD', "Content-Length: 1000000"):
            server.kill()
        assert len(server.uploads) == 2  # the archive of what is done is gone

        server, http = again(tmp_path, http)
        assert [path.name for path in server.uploads] == [id]  # what nobody will ask for is gone
        assert (current(http), latest(http)) == (ready, before)
        assert next(one for one in latest(http) if one["_id"] == done["_id"])["status"] == DONE
        assert http.get("getImportFileData").json() == selection
        start_import(http, EVERYTHING)
        wait_for(http, RUNNING, completed=1)
        server.kill()

        server, http = again(tmp_path, http)
        ended = wait_for(http, DONE)
        assert (ended["_id"], ended["valid"], ended["ts"]) == (id, True, ready["ts"])
        assert_all_there(tmp_path, ended)
    finally:
        server.kill()


def test_stopped_and_started_again(tmp_path: Path, medium: Path) -> None:
    server = start(tmp_path)
    try:
        http = login(server)
        id = running(http, medium)
        assert server.stop() in (0, -15)  # 143 for a shell: what systemd takes for a clean end, too
        assert "Traceback" not in (tmp_path / "stderr").read_text()
        assert not list(tmp_path.glob("*-wal"))  # the databases were closed, not dropped
        with Store(tmp_path / "store.sqlite3") as store:
            stopped = store.operations.get(id)
        assert stopped and stopped.valid and stopped.status == RUNNING

        server, http = again(tmp_path, http)
        ended = wait_for(http, DONE)
        assert (ended["_id"], ended["valid"]) == (id, True)
        assert_all_there(tmp_path, ended)
    finally:
        server.kill()


def test_killed_before_a_cancelled_import_has_stopped(tmp_path: Path, medium: Path) -> None:
    """import.clear was answered, the process died before the import took notice."""
    server = start(tmp_path)
    try:
        http = login(server)
        running(http, medium)
        server.kill()
        with Store(tmp_path / "store.sqlite3") as store:
            store.operations.invalidate_all(now())
        server, http = again(tmp_path, http)
        assert "waiting" not in http.get("getImportFileData").json()
        assert current(http)["status"] == CANCELLED
    finally:
        server.kill()
