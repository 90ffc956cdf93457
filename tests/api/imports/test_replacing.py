"""Endpoints that Rocket.Chat has not leave a running import alone unless they are told to replace it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from chatferry.store import Store
from tests.support.flows import CANCELLED, RUNNING, SELECTION, generated, running
from tests.support.refusals import refusal
from tests.support.resumable import ARCHIVE, BYTES, NAMED, TUS
from tests.support.serving import Server, current, latest, login, serving, start, upload, wait_for

FORM = {"data": {"importerKey": "slack"}, "files": {"file": ("export.zip", ARCHIVE)}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("replacing"), CHATFERRY_MESSAGES_PER_SECOND="50") as slow:
        yield slow


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with login(server) as admin:
        yield admin


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an export whose import takes a minute."""
    return generated(tmp_path_factory, 3000)


@pytest.fixture
def busy(http: httpx.Client, long: Path) -> Iterator[str]:
    """Yield the id of an import that is running."""
    yield running(http, long)
    http.post("import.clear")


def by_form(http: httpx.Client, query: str = "") -> httpx.Response:
    return http.post(f"import.upload{query}", **FORM)  # type: ignore[arg-type]  # mypy joins the two types


def announced(http: httpx.Client, query: str = "", content: bytes = b"") -> httpx.Response:
    headers = {**(BYTES if content else TUS), "Upload-Length": str(len(ARCHIVE)), "Upload-Metadata": NAMED}
    return http.post(f"import.uploads{query}", content=content, headers=headers)


def rest(http: httpx.Client, announcement: httpx.Response, offset: int = 0) -> httpx.Response:
    path = announcement.headers["Location"].removeprefix("/api/v1/")
    return http.patch(path, content=ARCHIVE[offset:], headers={**BYTES, "Upload-Offset": str(offset)})


def is_refused(answer: httpx.Response, id: str) -> None:
    status, body = refusal(answer)
    assert (status, body["errorType"]) == (409, "error-import-running")
    assert body["details"]["operation"] == id
    state = body["details"]["state"]
    assert state.startswith("running here: importing messages") and "importer_" not in state
    assert id in body["error"] and state in body["error"] and "replace=true" in body["error"]


def test_a_running_import_is_left_alone(server: Server, http: httpx.Client, busy: str) -> None:
    before = server.uploads
    is_refused(by_form(http), busy)
    is_refused(by_form(http, "?replace=false"), busy)
    is_refused(announced(http), busy)
    is_refused(announced(http, content=ARCHIVE), busy)
    assert (current(http)["_id"], current(http)["status"]) == (busy, RUNNING)
    assert server.uploads == before


def test_so_is_a_paused_one(http: httpx.Client, busy: str) -> None:
    http.post("import.pause")
    status, body = refusal(by_form(http))
    assert status == 409
    assert body["details"]["state"].startswith("paused while importing messages")
    http.post("import.resume")


@pytest.mark.parametrize("way", [by_form, lambda http, query: announced(http, query, ARCHIVE)])
def test_it_is_replaced_on_demand(http: httpx.Client, busy: str, way: object) -> None:
    assert callable(way)
    answer = way(http, "?replace=true")
    assert answer.status_code in (200, 201), answer.text
    id = answer.headers["Import-Operation-Id"]
    wait_for(http, SELECTION, id=id)
    wait_until_it_is_cancelled(http, busy)


def wait_until_it_is_cancelled(http: httpx.Client, id: str) -> None:
    while (found := next(one for one in latest(http) if one["_id"] == id))["status"] != CANCELLED:
        assert found["valid"] is False


def test_rocket_chats_own_endpoint_replaces_it(http: httpx.Client, busy: str) -> None:
    assert upload(http) != busy
    wait_until_it_is_cancelled(http, busy)


def test_an_import_that_waits_for_a_choice_is_not_running(http: httpx.Client) -> None:
    first = upload(http)
    wait_for(http, SELECTION)
    assert by_form(http).status_code == 200
    wait_for(http, SELECTION)
    assert current(http)["_id"] != first


def test_an_import_that_begins_while_bytes_arrive(http: httpx.Client, long: Path) -> None:
    """The last byte finds it running. The upload stays, and can begin its own import later."""
    http.post("import.clear")
    upload_ = announced(http, content=ARCHIVE[:1000])
    assert upload_.status_code == 201, upload_.text
    busy = running(http, long)
    is_refused(rest(http, upload_, 1000), busy)
    path = upload_.headers["Location"].removeprefix("/api/v1/")
    looked = http.head(path, headers=TUS)
    assert looked.headers["Upload-Offset"] == str(len(ARCHIVE))
    assert "Import-Operation-Id" not in looked.headers
    is_refused(rest(http, upload_, len(ARCHIVE)), busy)
    http.post("import.clear")
    answer = rest(http, upload_, len(ARCHIVE))
    assert (answer.status_code, answer.headers["Import-Operation-Id"]) == (204, Path(path).name)
    wait_for(http, SELECTION, id=Path(path).name)


def test_a_restart_leaves_it_alone_too(tmp_path: Path, long: Path) -> None:
    server = start(tmp_path, CHATFERRY_MESSAGES_PER_SECOND="50")
    with login(server) as http:
        upload_ = announced(http, content=ARCHIVE[:1000])
        busy = running(http, long)
        is_refused(rest(http, upload_, 1000), busy)
    server.kill()
    with serving(tmp_path, CHATFERRY_MESSAGES_PER_SECOND="50") as again, login(again) as http:
        assert current(http)["_id"] == busy
        assert current(http)["valid"] is True
        path = upload_.headers["Location"].removeprefix("/api/v1/")
        assert http.head(path, headers=TUS).headers["Upload-Offset"] == str(len(ARCHIVE))
    with Store(tmp_path / "store.sqlite3") as store:
        assert store.operations.get(Path(path).name) is None


@pytest.mark.parametrize("query", ["?replace=perhaps", "?replace", "?force=true"])
def test_queries_that_do_not_fit(http: httpx.Client, query: str) -> None:
    assert refusal(by_form(http, query))[1]["errorType"] == "error-invalid-params"
    assert refusal(announced(http, query))[1]["errorType"] == "error-invalid-params"
