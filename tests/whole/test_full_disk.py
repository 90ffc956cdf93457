"""A real disk that fills up during upload, preparation, import and files, and gets room again."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from chatferry.disks import disk_of
from chatferry.documents import COLLECTIONS
from chatferry.sizes import MIB
from testdata.slack_export import Shape
from testdata.slack_export import write_export as write_large_export
from tests.support.exports import DAY, file, message, write_export
from tests.support.serving import (
    contents,
    documents,
    login,
    run_import,
    serving,
    start,
    start_all,
    until,
    wait_for,
)

SIZE = 96 * MIB
SHAPE = Shape(users=40, channels=10, messages=6_000, seed=21, days=None, layout="corporate")
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
SLOWLY = {"CHATFERRY_MESSAGES_PER_SECOND": "3000"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own, which nobody else writes to."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "chatferry-test", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no disk can be mounted here: {error}")
    if done.returncode:
        pytest.skip(f"no disk can be mounted here, which takes root: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


@contextmanager
def filled(disk: Path, but: int = 0) -> Iterator[None]:
    """Somebody else fills the disk, but for so many bytes, and makes room at the end."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file, suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(64 * 1024))
    if but:
        os.truncate(ballast, ballast.stat().st_size - but)
    assert disk_of(disk).free < but + 64 * 1024
    try:
        yield
    finally:
        ballast.unlink()


@pytest.fixture
def stack(disk: Path) -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "export.zip"
    write_large_export(path, SHAPE)
    return path


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, export: Path) -> dict[str, Any]:
    data = tmp_path_factory.mktemp("unbroken")
    with serving(data) as server, login(server) as http:
        uploaded(http, export.read_bytes())
        wait_for(http, "importer_user_selection")
        start_all(server)
        wait_for(http, "importer_done")
    return contents(data)


def announced(http: httpx.Client, size: int) -> httpx.Response:
    head = {**TUS, "Upload-Length": str(size), "Upload-Metadata": "importerKey c2xhY2s="}
    del head["Content-Type"]
    return http.post("import.uploads", headers=head)


def uploaded(http: httpx.Client, content: bytes) -> None:
    place = str(announced(http, len(content)).headers["Location"]).removeprefix("/api/v1/")
    assert sent(http, place, content).status_code == 204


def sent(http: httpx.Client, place: str, content: bytes) -> httpx.Response:
    at = int(http.head(place, headers=TUS).headers["Upload-Offset"])
    return http.patch(place, content=content[at:], headers={**TUS, "Upload-Offset": str(at)})


def waits(http: httpx.Client) -> str:
    return str(http.get("getImportProgress").json().get("waitingFor", ""))


def test_a_disk_that_fills_up_at_every_step(
    disk: Path, export: Path, unbroken: dict[str, Any], stack: ExitStack
) -> None:
    content = export.read_bytes()
    with serving(disk / "data", **SLOWLY) as server, login(server) as http:
        place = str(announced(http, len(content)).headers["Location"]).removeprefix("/api/v1/")
        with filled(disk):
            assert announced(http, 1).status_code == 507
            assert sent(http, place, content).status_code == 507
            post = http.post("uploadImportFile", json={"importerKey": "slack", "binaryContent": "QUJD"})
            assert (post.status_code, post.json()["errorType"]) == (507, "error-no-room")
            assert http.get("getLatestImportOperations").json() == []
        assert sent(http, place, content).status_code == 204
        server.kill()  # before it has read the archive
    with filled(disk, but=MIB):  # room for what a server says, but not to go on
        server = start(disk / "data", **SLOWLY)
        stack.callback(server.kill)
        http = stack.enter_context(login(server))
        until(lambda: "have to stay free" in waits(http))
        assert http.get("getImportFileData").json() == {"waiting": True, "success": True}
    wait_for(http, "importer_user_selection")
    start_all(server)
    wait_for(http, "importer_importing_messages")
    for _ in range(2):
        with filled(disk):
            until(lambda: bool(waits(http)))
            assert http.get("import.status").json()["state"] == "importing"
        until(lambda: not waits(http))
    wait_for(http, "importer_done")
    server.stop()
    found = contents(disk / "data")
    for collection in COLLECTIONS:
        assert found[collection] == unbroken[collection], collection


def test_a_disk_that_fills_up_while_files_are_fetched(disk: Path, tmp_path: Path) -> None:
    files = {f"F{n}": bytes([n]) * (3 * MIB) for n in range(4)}
    day = [message(n, file(id, "", f"{id}.bin", "application/octet-stream")) for n, id in enumerate(files)]
    stored = {f"__uploads/{id}/{id}.bin": content for id, content in files.items()}
    export = write_export(tmp_path / "export", {DAY: day, **stored})
    with serving(disk / "data") as server, login(server) as http:
        run_import(http, export)
        with filled(disk, but=MIB):  # room for the operation, but for no file
            assert http.post("downloadPendingFiles", json={}).json()["count"] == 4
            until(lambda: bool(waits(http)))
            assert http.get("import.status").json()["state"] == "importing"
        wait_for(http, "importer_done")
        count = http.get("getImportProgress").json()["count"]
        assert count == {"completed": 4, "total": 4, "error": 0}
        for upload in documents(server.data, "rocketchat_uploads"):
            answer = http.get(f"{server.address}/file-upload/{upload['_id']}/x")
            assert answer.content == files[str(upload["name"]).removesuffix(".bin")]
