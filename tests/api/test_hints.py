"""Hints beside Rocket.Chat's own words, where these lead astray."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.refusals import BODIES, FIRST_REQUIRED, download
from tests.support.serving import Server

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def hint(answer: httpx.Response) -> str:
    body: dict[str, Any] = answer.json()
    assert answer.status_code == 400
    assert list(body)[-1] == "hint" or "hint" not in body
    return str(body.get("hint", ""))


@pytest.mark.parametrize("endpoint", FIRST_REQUIRED)
@pytest.mark.parametrize(
    "type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_a_body_that_is_not_called_json(http: httpx.Client, endpoint: str, type: str) -> None:
    content = json.dumps(BODIES[endpoint]).encode()
    answer = http.post(endpoint, content=content, headers={"Content-Type": type} if type else {})
    assert answer.json()["error"] == FIRST_REQUIRED[endpoint]
    assert (type or "is missing") in hint(answer)
    assert hint(answer).endswith("send the header Content-Type: application/json.")


@pytest.mark.parametrize("endpoint", FIRST_REQUIRED)
def test_json_and_no_body_need_no_hint(http: httpx.Client, endpoint: str) -> None:
    assert hint(http.post(endpoint, json={})) == ""
    if endpoint != "uploadImportFile":
        assert hint(http.post(endpoint)) == ""


def test_a_path_where_no_directory_is_allowed(http: httpx.Client) -> None:
    assert "CHATFERRY_IMPORT_DIRS names no directory" in hint(download(http, "/srv/export.zip"))


def test_paths_outside_of_the_directories(librarian: httpx.Client, shelf: Path, library: Server) -> None:
    """Whether such a file exists is not told."""
    paths = ("outside/export.zip", "outside/gone.zip", "allowed/gone.zip", "allowed/out.zip")
    hints = {hint(download(librarian, shelf / path)) for path in paths}
    assert len(hints) == 1
    assert "not below a directory of CHATFERRY_IMPORT_DIRS" in hints.pop()


def test_addresses_that_are_not_asked(librarian: httpx.Client) -> None:
    told = hint(download(librarian, "http://127.0.0.1/export.zip?token=secret"))
    assert "not public" in told and "CHATFERRY_DOWNLOAD_HOSTS" in told
    assert "secret" not in told
    assert told == librarian.get("getImportFileData").json()["error"]
    librarian.post("import.clear")
