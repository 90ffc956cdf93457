"""Fetching into Rocket.Chat's file stores, and serving from them, over HTTP against the real server."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo.database import Database

from chatferry import accounts
from chatferry.clock import now
from chatferry.destinations import open_destination
from chatferry.documents import AVATARS, UPLOADS, Date
from tests.support.exports import DAY, TOKEN, file, message, png, user, write_export
from tests.support.filehost import FileHost, noise
from tests.support.mongo import Mongod, set_settings
from tests.support.s3 import S3Server
from tests.support.serving import Server, current, environment, login, run_import, serving, wait_for

PICTURE = png(300, 200, noise(2_500_000))
Db = Database[dict[str, Any]]


@pytest.fixture
def database(mongod: Mongod, tmp_path: Path) -> Iterator[Db]:
    with mongod.client() as client:
        yield client[f"served-{tmp_path.name}"[:60]]


@contextmanager
def served(
    mongod: Mongod, database: Db, host: FileHost, folder: Path, settings: dict[str, Any]
) -> Iterator[tuple[Server, httpx.Client]]:
    """A server that has imported a file and an avatar, which are still to be fetched."""
    set_settings(database, settings)
    workspace = open_destination(mongod.database_url(database.name))
    accounts.found_workspace(workspace, Date.at(now()))
    accounts.ensure_admin(workspace, environment(), Date.at(now()))
    workspace.close()
    url = host.put("/picture", lambda to: to.whole(PICTURE, content_type="image/png"))
    days = {DAY: [message(1, file("F1", f"{url}?t={TOKEN}", "plan.png"))]}
    export = write_export(folder / "export", days, users=[user("UALICE001", "alice", image_original=url)])
    options = ("--destination", mongod.database_url(database.name))
    with (
        serving(folder / "data", *options, CHATFERRY_DOWNLOAD_HOSTS=host.name) as server,
        login(server) as http,
    ):
        run_import(http, export)
        yield server, http


def settings_of(kind: str, folder: Path, s3: S3Server) -> dict[str, Any]:
    uploads = folder / "uploads"
    uploads.mkdir()
    bucket = folder.name.replace("_", "-").lower()[:60]
    s3.client().create_bucket(Bucket=bucket)
    directory = {"FileUpload_FileSystemPath": str(uploads)}
    return s3.settings(bucket) | directory | {"FileUpload_Storage_Type": kind}


def link(server: Server, database: Db) -> str:
    (upload,) = database[UPLOADS].find()
    return f"{server.address}/file-upload/{upload['_id']}/plan.png"


def fetch(http: httpx.Client, endpoint: str) -> None:
    assert http.post(endpoint, json={}).json() == {"count": 1, "success": True}
    wait_for(http, "importer_done")
    assert current(http)["count"]["completed"] == 1


@pytest.mark.parametrize("kind", ["GridFS", "FileSystem", "AmazonS3"])
def test_files_and_avatars_are_fetched_and_served(
    mongod: Mongod, database: Db, host: FileHost, s3: S3Server, tmp_path: Path, kind: str
) -> None:
    settings = settings_of(kind, tmp_path, s3)
    with served(mongod, database, host, tmp_path, settings) as (server, http):
        fetch(http, "downloadPendingFiles")
        fetch(http, "downloadPendingAvatars")
        (upload,), (avatar,) = database[UPLOADS].find(), database[AVATARS].find()
        assert (upload["store"], avatar["store"]) == (f"{kind}:Uploads", f"{kind}:Avatars")
        assert (upload["size"], upload["identify"]["format"]) == (len(PICTURE), "png")
        url = link(server, database)
        answer = http.get(url)
        assert (answer.status_code, answer.content) == (200, PICTURE)
        assert answer.headers["content-length"] == str(len(PICTURE))
        for asked, start, end in (("5-9", 5, 10), ("1048575-1048576", 1048575, 1048577), ("-7", -7, None)):
            piece = http.get(url, headers={"Range": f"bytes={asked}"})
            assert (piece.status_code, piece.content) == (206, PICTURE[start:end])
        assert http.get(f"{server.address}/avatar/alice").content == PICTURE
        forget(kind, database, settings, s3)
        for gone in (url, f"{server.address}/avatar/alice"):
            answer = http.get(gone)
            assert (answer.status_code, answer.json()["success"]) == (404, False)
            assert "not there any more" in answer.json()["error"]
        assert not (server.data / "errors.log").exists()


def forget(kind: str, database: Db, settings: dict[str, Any], s3: S3Server) -> None:
    """Let the bytes vanish: where they are, and nowhere else."""
    if kind == "GridFS":
        for collection in (UPLOADS, AVATARS):
            assert database[f"{collection}.chunks"].delete_many({}).deleted_count
    elif kind == "FileSystem":
        uploads = list(Path(settings["FileUpload_FileSystemPath"]).iterdir())
        assert len(uploads) == 2
        for path in uploads:
            path.unlink()
    else:
        bucket = settings["FileUpload_S3_Bucket"]
        keys = [found["Key"] for found in s3.client().list_objects_v2(Bucket=bucket)["Contents"]]
        assert len(keys) == 2
        for key in keys:
            s3.client().delete_object(Bucket=bucket, Key=key)


@pytest.mark.parametrize("kind", ["FileSystem", "Webdav"])
def test_a_store_that_cannot_be_used_leaves_files_pending(
    mongod: Mongod, database: Db, host: FileHost, s3: S3Server, tmp_path: Path, kind: str
) -> None:
    settings = settings_of(kind, tmp_path, s3)
    uploads = Path(settings["FileUpload_FileSystemPath"])
    uploads.rmdir()
    with served(mongod, database, host, tmp_path, settings) as (_, http):
        assert http.post("downloadPendingFiles", json={}).json()["count"] == 1
        wait_for(http, "importer_import_failed")
        told = http.get("getImportFileData").json()["error"]
        assert {"FileSystem": f"{uploads}, which", "Webdav": "not support"}[kind] in told
        assert database[UPLOADS].find_one() is None
        if kind == "FileSystem":
            uploads.mkdir()
            fetch(http, "downloadPendingFiles")
            assert [path.read_bytes() for path in uploads.iterdir()] == [PICTURE]
        else:
            assert http.post("downloadPendingFiles", json={}).json()["count"] == 1


def test_a_store_that_is_away_while_files_are_served(
    mongod: Mongod, database: Db, host: FileHost, s3: S3Server, tmp_path: Path
) -> None:
    settings = settings_of("FileSystem", tmp_path, s3)
    with served(mongod, database, host, tmp_path, settings) as (server, http):
        fetch(http, "downloadPendingFiles")
        shutil.rmtree(settings["FileUpload_FileSystemPath"])
        with httpx.Client(headers=http.headers, trust_env=False) as plain:
            answer = plain.get(link(server, database))
            assert (answer.status_code, answer.json()["success"]) == (503, False)
            assert settings["FileUpload_FileSystemPath"] not in answer.text
        assert settings["FileUpload_FileSystemPath"] in (server.data / "errors.log").read_text()
