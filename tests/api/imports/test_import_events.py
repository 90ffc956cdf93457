"""import.events: the progress of an operation as it happens."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from chatferry.api import streams
from chatferry.api.imports import events
from chatferry.api.services import Services
from chatferry.operations import Status
from chatferry.pipeline.background import BackgroundRunner
from chatferry.pipeline.commands import new_operation
from chatferry.settings import Settings
from chatferry.store import Store
from tests.support.flows import EVERYTHING, SELECTION, generated, running
from tests.support.refusals import refusal
from tests.support.resumable import ARCHIVE
from tests.support.serving import Server, login, sent, serving, start, until, upload_body, wait_for


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("events"), CHATFERRY_MESSAGES_PER_SECOND="150") as slow:
        yield slow


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with login(server) as admin:
        yield admin


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an export whose import takes half a minute."""
    return generated(tmp_path_factory, 5000)


def read(http: httpx.Client, id: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Return the events of an operation with their data, until the server ends them."""
    with http.stream("GET", "import.events", params={"operation": id} if id else {}) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["cache-control"] == "no-store"
        return parsed(answer.read().decode())


def parsed(text: str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if line)
        if "event" in lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


def test_from_the_upload_to_the_end(http: httpx.Client) -> None:
    id = http.post("uploadImportFile", json=upload_body(ARCHIVE)).headers["Import-Operation-Id"]
    name, last = read(http, id)[-1]
    assert (name, last["_id"], last["status"], last["state"]) == ("end", id, SELECTION, "ready")
    http.post("startImport", json=EVERYTHING)
    seen = read(http)
    assert [name for name, _ in seen] == ["progress"] * (len(seen) - 1) + ["end"]
    counts = [operation.get("count", {}).get("completed", 0) for _, operation in seen]
    assert counts == sorted(counts) and len(set(counts)) > 2
    assert seen[-1][1] == http.get(f"import.operations/{id}").json()["operation"]
    assert seen[-1][1]["state"] == "done"


def test_an_operation_that_is_over_has_one_event(http: httpx.Client) -> None:
    id = http.post("uploadImportFile", json=upload_body(b"no archive")).headers["Import-Operation-Id"]
    wait_for(http, "importer_import_failed")
    ((name, operation),) = read(http, id)
    assert (name, operation["state"]) == ("end", "error")
    assert operation["error"]


def test_pause_and_cancel_are_told(http: httpx.Client, long: Path) -> None:
    id = running(http, long)
    with http.stream("GET", "import.events", params={"operation": id}) as answer:
        text, lines = "", answer.iter_lines()
        http.post("import.pause")
        while '"paused":true' not in text:
            text = next(lines)
        http.post("import.clear")
        *_, (name, last) = parsed("\n".join(lines))
    assert (name, last["_id"], last["valid"]) == ("end", id, False)
    assert last["status"] == "importer_import_cancelled"


def test_there_is_a_limit(http: httpx.Client, long: Path) -> None:
    running(http, long)
    with ExitStack() as stack:
        for _ in range(streams.MOST):
            assert stack.enter_context(http.stream("GET", "import.events")).status_code == 200
        status, body = refusal(http.get("import.events"))
        assert (status, body["success"]) == (429, False)

    def ends() -> bool:
        with http.stream("GET", "import.events") as answer:
            return answer.status_code == 200

    until(ends)
    http.post("import.clear")


def test_no_such_operation(http: httpx.Client) -> None:
    assert refusal(http.get("import.events?operation=none"))[0] == 404
    assert refusal(http.get("import.events?id=1"))[0] == 400


def test_a_stop_ends_them_at_once(tmp_path: Path, long: Path) -> None:
    server = start(tmp_path, CHATFERRY_MESSAGES_PER_SECOND="50")
    with login(server) as http:
        running(http, long)
        connections = [sent(server, http, "GET", "import.events") for _ in range(3)]
        for connection in connections:
            connection.settimeout(20)
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        server.process.terminate()
        for connection in connections:
            while connection.recv(1 << 16):
                pass
            connection.close()
        assert time.monotonic() - began < 4  # it waits 5 s for calls that do not end
        assert server.process.wait(60) == 0


def test_a_reader_that_does_not_read(server: Server, http: httpx.Client, long: Path) -> None:
    running(http, long)
    lazy = [sent(server, http, "GET", "import.events") for _ in range(5)]
    time.sleep(1)
    assert http.get("import.status").json()["state"] == "importing"
    for connection in lazy:
        connection.close()
    http.post("import.clear")


@pytest.fixture
def services(tmp_path: Path) -> Iterator[tuple[Services, str]]:
    """Yield services of which nobody works on anything, and an operation that would be worked on."""
    settings = Settings(data=tmp_path)
    with Store() as store:
        made = Services(settings, store, BackgroundRunner(store, settings))
        operation = new_operation("slack", "u", Status.IMPORTING_MESSAGES)
        store.operations.add(operation)
        yield made, operation.id


def test_silence_is_broken_by_a_comment(
    services: tuple[Services, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "INTERVAL", 0.01)
    monkeypatch.setattr(events, "QUIET", 0.05)
    monkeypatch.setattr(events, "LONGEST", 0.4)

    async def all_of() -> list[bytes]:
        return [piece async for piece in events.events(*services)]

    retry, progress, *comments = asyncio.run(all_of())
    assert retry.startswith(b"retry: ") and progress.startswith(b"event: progress\ndata: {")
    assert comments and set(comments) == {b": still here\n\n"}
