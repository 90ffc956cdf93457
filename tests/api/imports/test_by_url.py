"""downloadPublicImportFile: files and folders on the server."""

import os
import re
import shutil
from pathlib import Path

import httpx
import pytest

from tests.support.paths import GOLDEN
from tests.support.refusals import action_error, download, failure, invalid, missing, refusal
from tests.support.serving import Server, current, latest, wait_for

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "must have required property 'fileUrl'"),
        ({"fileUrl": "x"}, "must have required property 'importerKey'"),
        ({"fileUrl": "x", "importerKey": "slack", "extra": 1}, "must NOT have additional properties"),
        ({"fileUrl": {}, "importerKey": "slack"}, "must be string"),
        ({"fileUrl": "x", "importerKey": []}, "must be string"),
    ],
)
def test_bodies_that_do_not_fit(http: httpx.Client, body: object, reason: str) -> None:
    assert refusal(http.post("downloadPublicImportFile", json=body)) == invalid(reason)


@pytest.mark.parametrize(
    "key", ["png", "", "SLACK", "slack ", "../slack", "__class__", "slack\0", "x" * 5000, "é"]
)
def test_unknown_importers(http: httpx.Client, key: str) -> None:
    reason, code = f"The importer ({key}) has no import class defined.", "error-importer-not-defined"
    answer = http.post("downloadPublicImportFile", json={"fileUrl": "/srv/x.zip", "importerKey": key})
    assert refusal(answer) == action_error(reason, code, "downloadImportFile")


@pytest.mark.parametrize(
    "path", ["inside/export.zip", "within.zip", "inside/../inside/export.zip", "../allowed/inside/export.zip"]
)
def test_a_file_on_the_server(librarian: httpx.Client, shelf: Path, path: str) -> None:
    assert download(librarian, f"{shelf}/allowed/{path}").json() == {"success": True}
    operation = wait_for(librarian, "importer_user_selection")
    assert "contentType" not in operation
    assert re.fullmatch(rf"\d+_{operation['user']}_export\.zip", operation["file"])
    assert operation["count"]["messages"] == 300


def test_a_folder_on_the_server(library: Server, librarian: httpx.Client, shelf: Path) -> None:
    folder = f"{shelf}/allowed/folder"
    before = sorted(path.relative_to(shelf) for path in shelf.rglob("*"))
    assert download(librarian, folder).json() == {"success": True}
    operation = wait_for(librarian, "importer_user_selection")
    assert (operation["file"], operation["count"]["messages"]) == (folder, 300)
    answer = librarian.post(
        "startImport", json={"input": {"users": {"all": True}, "channels": {"all": True}}}
    )
    assert answer.json() == {"success": True}
    assert wait_for(librarian, "importer_done")["count"]["completed"] == 331
    assert sorted(path.relative_to(shelf) for path in shelf.rglob("*")) == before


@pytest.mark.parametrize(
    "path",
    [
        "{shelf}/allowed/missing.zip",
        "{shelf}/another/missing.zip",
        "{shelf}/outside/export.zip",
        "{shelf}/outside/missing.zip",
        "{shelf}/outside",
        "{shelf}",
        "{shelf}/allowed-not/export.zip",
        "{shelf}/allowed/../outside/export.zip",
        "{shelf}/allowed/inside/../../outside/export.zip",
        "{shelf}/allowed/out.zip",
        "{shelf}/allowed/out/export.zip",
        "{shelf}/allowed/out",
        "{shelf}/allowed/loop",
        "{shelf}/allowed/nowhere.zip",
        "{shelf}/allowed/inside/export.zip/x",
        "{shelf}/allowed/%2e%2e/outside/export.zip",
        "{shelf}/allowed/inside/export.zip\0",
        " {shelf}/allowed/inside/export.zip",
        "file://{shelf}/allowed/inside/export.zip",
        "ftp://example.com/export.zip",
        "httpfoo",
        "allowed/inside/export.zip",
        "~/export.zip",
        "/etc/passwd",
        "/proc/self/environ",
        "/dev/zero",
        "/",
        "..",
        "",
        "x" * 5000,
        "a\nb",
    ],
)
def test_missing_and_forbidden_paths_get_the_same_answer(
    librarian: httpx.Client, shelf: Path, path: str
) -> None:
    """Whether nothing is there or it is not allowed, the answer is the same."""
    before = latest(librarian)
    url = path.format(shelf=shelf)
    assert refusal(download(librarian, url)) == missing(url)
    assert latest(librarian) == before


def test_without_allowed_directories_every_path_is_missing(http: httpx.Client, shelf: Path) -> None:
    for path in (shelf / "allowed" / "inside" / "export.zip", Path("/"), shelf / "gone"):
        assert refusal(download(http, path)) == missing(str(path))


def test_a_pipe_is_refused(librarian: httpx.Client, shelf: Path) -> None:
    """A pipe would keep its reader waiting for ever."""
    assert download(librarian, shelf / "allowed" / "pipe").json() == {"success": True}
    wait_for(librarian, "importer_import_failed")
    assert "neither a file nor a folder" in librarian.get("getImportFileData").json()["error"]


def test_a_name_that_is_not_utf8(librarian: httpx.Client, shelf: Path) -> None:
    """A link can lead to a file with a name from an older system."""
    old = shelf / "allowed" / os.fsdecode(b"\xe9t\xe9.zip")
    shutil.copy(GOLDEN, old)
    link = shelf / "allowed" / "summer.zip"
    link.symlink_to(old)
    assert download(librarian, link).status_code in (200, 400)


@pytest.mark.parametrize("url", ["http://127.0.0.1/export.zip", "HTTP://[::1]/export.zip", "http:///x.zip"])
def test_addresses_that_are_not_asked(librarian: httpx.Client, url: str) -> None:
    """An operation begins all the same, and has failed; it took the place of the one before."""
    before = librarian.post("import.new").json()["operation"]["_id"]
    assert refusal(download(librarian, url)) == failure("error-ssrf-validation-failed")
    operation = current(librarian)
    assert (operation["status"], operation["valid"]) == ("importer_import_failed", True)
    assert "contentType" not in operation
    valid = {one["_id"]: one["valid"] for one in latest(librarian)}
    assert valid[before] is False
    assert librarian.get("import.status").json()["state"] == "error"


def test_a_file_on_the_server_takes_the_place_of_the_one_before(librarian: httpx.Client, shelf: Path) -> None:
    before = librarian.post("import.new").json()["operation"]["_id"]
    assert download(librarian, shelf / "allowed" / "inside" / "export.zip").json() == {"success": True}
    now = wait_for(librarian, "importer_user_selection")["_id"]
    valid = {one["_id"]: one["valid"] for one in latest(librarian)}
    assert (valid[before], valid[now]) == (False, True)
