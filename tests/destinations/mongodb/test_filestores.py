"""Rocket.Chat's file stores beside MongoDB: GridFS, a directory, and an S3 server."""

import hashlib
import os
import random
import socket
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from chatferry.destinations.mongodb.destination import MongoDestination
from chatferry.destinations.mongodb.filestores import s3_client
from chatferry.documents import AVATARS, UPLOADS, Date, Document
from chatferry.errors import ChatferryError, DestinationError, SettingsError
from tests.support.mongo import Mongod, set_settings, wipe
from tests.support.s3 import KEY, SECRET, S3Server

Db = Database[dict[str, Any]]
MIB = 1 << 20
UPLOAD: Document = {
    "_id": "f1f1f1f1f1f1f1f1f1f1f1f1",
    "name": "a plan.png",
    "type": "image/png",
    "rid": "room1",
    "userId": "user1",
    "store": "GridFS:Uploads",
    "path": "/ufs/GridFS:Uploads/f1f1f1f1f1f1f1f1f1f1f1f1/a%20plan.png",
    "uploadedAt": Date.at(5),
}
AVATAR: Document = {"_id": "a1a1a1a1a1a1a1a1a1a1a1a1", "name": "ada", "type": "image/png", "userId": "user1"}


@pytest.fixture
def database(client: "MongoClient[dict[str, Any]]") -> Db:
    """What another program sees of the database."""
    wipe(client["stores"])
    return client["stores"]


Open = Callable[..., MongoDestination]


@pytest.fixture
def opened(mongod: Mongod, database: Db) -> Iterator[Open]:
    """Opens a destination with such settings of Rocket.Chat."""
    all_opened = []

    def open_(settings: Mapping[str, Any]) -> MongoDestination:
        set_settings(database, settings)
        all_opened.append(MongoDestination(mongod.database_url("stores")))
        return all_opened[-1]

    yield open_
    for each in all_opened:
        each.close()


@pytest.fixture
def bucket(s3: S3Server, tmp_path: Path) -> str:
    name = hashlib.sha256(str(tmp_path).encode()).hexdigest()[:20]
    s3.client().create_bucket(Bucket=name)
    return name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "uploads"
    path.mkdir()
    return path


def in_folder(path: object) -> dict[str, Any]:
    return {"FileUpload_Storage_Type": "FileSystem", "FileUpload_FileSystemPath": str(path)}


def keys_of(s3: S3Server, bucket: str) -> list[str]:
    return [found["Key"] for found in s3.client().list_objects_v2(Bucket=bucket).get("Contents", [])]


def noise(size: int) -> bytes:
    """Bytes no two parts of which are the same."""
    return random.Random(size).randbytes(size)


# ---------------------------------------------------------------- what is written where


@pytest.mark.parametrize(
    "settings", [{}, {"FileUpload_Storage_Type": "GridFS"}, {"FileUpload_Storage_Type": ""}]
)
def test_in_gridfs_unless_the_settings_say_otherwise(
    opened: Open, database: Db, settings: dict[str, Any]
) -> None:
    destination = opened(settings)
    destination.put_file(UPLOAD, [b"bytes"])
    destination.put_file(AVATAR, [b"bytes"], AVATARS)
    assert database[f"{UPLOADS}.files"].count_documents({"_id": UPLOAD["_id"]}) == 1
    found = [kept["store"] for name in (UPLOADS, AVATARS) for kept in database[name].find()]
    assert found == ["GridFS:Uploads", "GridFS:Avatars"]


def test_in_a_directory(opened: Open, database: Db, folder: Path) -> None:
    destination = opened(in_folder(folder))
    destination.put_file(UPLOAD, [b"by", b"tes"])
    destination.put_file(AVATAR, [b"avatar"], AVATARS)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        UPLOAD["_id"]: b"bytes",
        AVATAR["_id"]: b"avatar",
    }
    assert (folder / UPLOAD["_id"]).stat().st_mode & 0o777 == 0o644
    path = f"/ufs/FileSystem:Uploads/{UPLOAD['_id']}/a%20plan.png"
    assert database[UPLOADS].find_one({}, {"_updatedAt": 0, "uploadedAt": 0}) == {
        "_id": UPLOAD["_id"],
        "name": "a plan.png",
        "type": "image/png",
        "rid": "room1",
        "userId": "user1",
        "store": "FileSystem:Uploads",
        "path": path,
        "url": path,
    }
    (avatar,) = database[AVATARS].find()
    assert avatar["store"] == "FileSystem:Avatars"
    assert not [name for name in database.list_collection_names() if database[f"{name}.chunks"].find_one()]


def test_in_a_bucket(opened: Open, database: Db, s3: S3Server, bucket: str) -> None:
    destination = opened(s3.settings(bucket))
    destination.put_file(UPLOAD, [b"by", b"tes"])
    destination.put_file(AVATAR, [b"avatar"], AVATARS)
    key = f"uniqueOfServer/uploads/room1/user1/{UPLOAD['_id']}"
    assert keys_of(s3, bucket) == ["uniqueOfServer/avatars/user1", key]
    stored = s3.client().get_object(Bucket=bucket, Key=key)
    assert (stored["Body"].read(), stored["ContentType"]) == (b"bytes", "image/png")
    (upload,), (avatar,) = database[UPLOADS].find(), database[AVATARS].find()
    assert (upload["store"], upload["AmazonS3"]) == ("AmazonS3:Uploads", {"path": key})
    assert upload["url"] == upload["path"] == f"/ufs/AmazonS3:Uploads/{UPLOAD['_id']}/a%20plan.png"
    assert (avatar["store"], avatar["AmazonS3"]) == (
        "AmazonS3:Avatars",
        {"path": "uniqueOfServer/avatars/user1"},
    )
    assert not [name for name in database.list_collection_names() if database[f"{name}.chunks"].find_one()]


@pytest.mark.parametrize("kind", ["GoogleCloudStorage", "Webdav", "Floppy"])
def test_a_store_that_is_not_supported(opened: Open, database: Db, kind: str) -> None:
    destination = opened({"FileUpload_Storage_Type": kind})
    with pytest.raises(SettingsError, match=f"{kind}.*not support.*stay pending"):
        destination.put_file(UPLOAD, [b"bytes"])
    assert database[UPLOADS].find_one() is None
    if kind != "Floppy":
        database[UPLOADS].insert_one({"_id": "f2", "store": f"{kind}:Uploads"})
        with pytest.raises(SettingsError, match=f"{kind}.*not support"):
            list(destination.read_file("f2"))


def test_files_stay_where_they_were_stored_when_the_settings_change(
    opened: Open, s3: S3Server, bucket: str, folder: Path
) -> None:
    both = in_folder(folder) | s3.settings(bucket)
    kinds = ["GridFS", "FileSystem", "AmazonS3"]
    for kind in kinds:
        destination = opened(both | {"FileUpload_Storage_Type": kind})
        destination.put_file(UPLOAD | {"_id": kind}, [kind.encode()])
    for kind in kinds:
        assert b"".join(destination.read_file(kind)) == kind.encode()


def test_a_file_can_move_from_store_to_store(
    opened: Open, database: Db, s3: S3Server, bucket: str, folder: Path
) -> None:
    both = in_folder(folder) | s3.settings(bucket)
    for kind in ("AmazonS3", "FileSystem", "GridFS"):
        destination = opened(both | {"FileUpload_Storage_Type": kind})
        destination.put_file(UPLOAD, [kind.encode()])
        assert b"".join(destination.read_file(UPLOAD["_id"])) == kind.encode()
        (document,) = database[UPLOADS].find()
        assert ("AmazonS3" in document) == (kind == "AmazonS3")


# ---------------------------------------------------------------- bytes


@pytest.fixture(params=["FileSystem", "AmazonS3"])
def elsewhere(request: pytest.FixtureRequest, opened: Open) -> MongoDestination:
    """A destination whose files are not in GridFS."""
    if request.param == "FileSystem":
        return opened(in_folder(request.getfixturevalue("folder")))
    s3: S3Server = request.getfixturevalue("s3")
    return opened(s3.settings(request.getfixturevalue("bucket")))


@pytest.mark.parametrize("size", [MIB, MIB + 1, 8 * MIB - 1, 8 * MIB, 16 * MIB + 1])
def test_sizes_at_which_something_begins(elsewhere: MongoDestination, size: int) -> None:
    content = noise(size)
    elsewhere.put_file(UPLOAD, (content[at : at + 300_000] for at in range(0, size, 300_000)))
    assert b"".join(elsewhere.read_file(UPLOAD["_id"])) == content
    for start in (MIB, size - 1, size):
        assert b"".join(elsewhere.read_file(UPLOAD["_id"], start=start)) == content[start:]
    elsewhere.put_file(UPLOAD, [b"short"])
    assert b"".join(elsewhere.read_file(UPLOAD["_id"])) == b"short"


@pytest.mark.parametrize("mebibytes", [50, pytest.param(1024, marks=pytest.mark.long)])
def test_a_large_file_takes_little_memory(elsewhere: MongoDestination, mebibytes: int) -> None:
    piece = noise(MIB)
    elsewhere.put_file(UPLOAD, [piece] * 9)
    b"".join(elsewhere.read_file(UPLOAD["_id"]))
    tracemalloc.start()
    elsewhere.put_file(UPLOAD, (piece for _ in range(mebibytes)))
    read = sum(map(len, elsewhere.read_file(UPLOAD["_id"])))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read == mebibytes * MIB
    assert peak < 40 * MIB


def test_a_slow_reader_blocks_no_writer(elsewhere: MongoDestination) -> None:
    content = noise(3 * MIB)
    elsewhere.put_file(UPLOAD, [content])
    pieces = elsewhere.read_file(UPLOAD["_id"])
    first = next(pieces)
    elsewhere.put_file(UPLOAD | {"_id": "other"}, [b"other"])
    rest: list[bytes] = []
    thread = threading.Thread(target=lambda: rest.extend(pieces))
    thread.start()
    assert b"".join(elsewhere.read_file("other")) == b"other"
    thread.join()
    assert first + b"".join(rest) == content


def test_a_file_that_breaks_off_leaves_nothing(opened: Open, s3: S3Server, bucket: str, folder: Path) -> None:
    def broken() -> Iterator[bytes]:
        for _ in range(20):
            yield noise(MIB)
        raise ConnectionError("the host is gone")

    for settings in (in_folder(folder), s3.settings(bucket)):
        destination = opened(settings)
        with pytest.raises(ConnectionError):
            destination.put_file(UPLOAD, broken())
        assert list(destination.dump(UPLOADS)) == []
    assert not list(folder.iterdir()) and not keys_of(s3, bucket)
    assert "Uploads" not in s3.client().list_multipart_uploads(Bucket=bucket)


# ---------------------------------------------------------------- directories


def test_a_half_written_file_of_a_killed_process_is_replaced(opened: Open, folder: Path) -> None:
    (folder / f".{UPLOAD['_id']}.chatferry").write_bytes(b"half a file")
    opened(in_folder(folder)).put_file(UPLOAD, [b"bytes"])
    assert [path.name for path in folder.iterdir()] == [UPLOAD["_id"]]


def test_links_that_somebody_has_put_there_lead_nowhere(
    opened: Open, database: Db, folder: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (folder / UPLOAD["_id"]).symlink_to(secret)
    (folder / f".{UPLOAD['_id']}.chatferry").symlink_to(secret)
    (folder / "link").symlink_to(secret)
    (folder / "directory").mkdir()
    os.mkfifo(folder / "pipe")
    destination = opened(in_folder(folder))
    destination.put_file(UPLOAD, [b"bytes"])
    assert secret.read_text() == "secret"
    assert b"".join(destination.read_file(UPLOAD["_id"])) == b"bytes"
    for name in ("link", "directory", "pipe", "none", "n" * 300):
        database[UPLOADS].insert_one({"_id": name, "store": "FileSystem:Uploads"})
        assert list(destination.read_file(name)) == []


@pytest.mark.parametrize("id_", ["../secret", "/etc/passwd", "a/b", "..", ".", ".hidden", "a\0b", "n" * 300])
def test_no_id_leads_out_of_the_directory(
    opened: Open, database: Db, folder: Path, tmp_path: Path, id_: str
) -> None:
    (tmp_path / "secret").write_text("secret")
    destination = opened(in_folder(folder))
    with pytest.raises(ValueError, match="_id"):
        destination.put_file(UPLOAD | {"_id": id_}, [b"bytes"])
    database[UPLOADS].insert_many(
        [
            {"_id": id_, "store": "FileSystem:Uploads"},
            {"_id": "x", "store": "FileSystem:Uploads", "extension": f"/../{id_}"},
        ]
    )
    assert list(destination.read_file(id_)) == list(destination.read_file("x")) == []
    assert list(folder.iterdir()) == []


def test_rocket_chats_own_files_are_read(
    opened: Open, database: Db, folder: Path, s3: S3Server, bucket: str
) -> None:
    (folder / "f1.png").write_bytes(b"in the directory")
    s3.client().put_object(Bucket=bucket, Key="old/f2", Body=b"of an old version")
    s3.client().put_object(Bucket=bucket, Key="some/key", Body=b"in the bucket")
    database[UPLOADS].insert_many(
        [
            {"_id": "f1", "store": "FileSystem:Uploads", "extension": "png"},
            {"_id": "f2", "store": "AmazonS3:Uploads", "s3": {"path": "old/"}},
            {"_id": "f3", "store": "AmazonS3:Uploads", "AmazonS3": {"path": "some/key"}},
            {"_id": "f4", "store": "AmazonS3:Uploads"},
        ]
    )
    destination = opened(s3.settings(bucket) | {"FileUpload_FileSystemPath": str(folder)})
    assert {name: b"".join(destination.read_file(name)) for name in ("f1", "f2", "f3", "f4")} == {
        "f1": b"in the directory",
        "f2": b"of an old version",
        "f3": b"in the bucket",
        "f4": b"",
    }


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, who may write anywhere."""
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if os.getuid() == 0:
            os.seteuid(0)


def test_a_directory_that_cannot_be_written(opened: Open, database: Db, folder: Path) -> None:
    destination = opened(in_folder(folder))
    destination.put_file(UPLOAD, [b"old"])
    for parent in list(folder.parents)[:-2]:
        parent.chmod(parent.stat().st_mode | 0o055)  # so that nobody gets there
    folder.chmod(0o555)
    try:
        with as_nobody():
            with pytest.raises(SettingsError) as caught:
                destination.put_file(UPLOAD, [b"new"])
            assert b"".join(destination.read_file(UPLOAD["_id"])) == b"old"
    finally:
        folder.chmod(0o755)
    assert f"{folder}, which" in str(caught.value) and "Permission denied" in str(caught.value)
    assert "as the user that Rocket.Chat runs as" in str(caught.value)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "no absolute path"),
        ("uploads", "no absolute path"),
        ("/nowhere/uploads", "/nowhere/uploads, which .* is no directory of this machine"),
        ("/etc/hostname", "is no directory of this machine"),
    ],
)
def test_a_folder_that_is_not_on_this_machine_is_an_error_when_a_file_is_stored(
    opened: Open, database: Db, path: str, reason: str
) -> None:
    destination = opened(in_folder(path))  # whoever imports messages alone needs no files
    with pytest.raises(SettingsError, match=f"{reason}.*fetch what is pending"):
        destination.put_file(UPLOAD, [b"bytes"])
    assert database[UPLOADS].find_one() is None
    assert not Path("/nowhere").exists() and not Path("uploads").exists()


# ---------------------------------------------------------------- buckets


def refused(destination: MongoDestination, kind: type[ChatferryError] = SettingsError) -> str:
    """Why a file cannot be stored; nothing of it is, and no secret is told."""
    with pytest.raises(kind) as caught:
        destination.put_file(UPLOAD, [bytes(9 * MIB)])
    assert list(destination.dump(UPLOADS)) == []
    text = str(caught.value)
    assert not [word for word in (KEY, SECRET, "hunter2", "Hunter2") if word in text]
    assert text.endswith("fetch what is pending.")
    return text


def test_a_bucket_that_is_not_there(opened: Open, s3: S3Server) -> None:
    text = refused(opened(s3.settings("none-of-this-name")))
    assert "bucket none-of-this-name at 127.0.0.1: there is no such bucket" in text
    assert "names no bucket" in refused(opened(s3.settings("")))
    assert "cannot be that of a bucket" in refused(opened(s3.settings("not a/bucket")))


def test_keys_that_are_refused(opened: Open, bucket: str, s3: S3Server) -> None:
    key, secret = s3.check_keys()
    try:
        assert "refuses the access key" in refused(opened(s3.settings(bucket)))
        known = s3.settings(bucket, FileUpload_S3_AWSAccessKeyId=key)
        assert "refuses the access key" in refused(opened(known))
        known["FileUpload_S3_AWSSecretAccessKey"] = secret
        text = refused(opened(known))
        assert "does not allow it" in text and secret not in text
    finally:
        s3.check_no_keys()
    assert keys_of(s3, bucket) == []


def test_keys_of_the_machine_are_taken_where_the_settings_have_none(
    opened: Open, bucket: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = s3.settings(bucket, FileUpload_S3_AWSAccessKeyId="", FileUpload_S3_AWSSecretAccessKey="")
    for name, value in {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    assert "no access key is set" in refused(opened(none))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    opened(none).put_file(UPLOAD, [b"bytes"])
    assert len(keys_of(s3, bucket)) == 1


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://127.0.0.1:1", DestinationError),
        ("http://bob:hunter2@127.0.0.1:1", DestinationError),
        ("127.0.0.1:1", DestinationError),
        ("ftp://127.0.0.1", SettingsError),
        ("http://:x", SettingsError),
    ],
)
def test_a_server_that_does_not_answer(
    opened: Open, s3: S3Server, url: str, kind: type[ChatferryError]
) -> None:
    settings = s3.settings("some-bucket", FileUpload_S3_BucketURL=url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(s3_client._OPTIONS, "retries", {"mode": "standard", "max_attempts": 1})
        assert "does not answer" in refused(opened(settings), kind)


def test_without_the_library(opened: Open, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3.session", None)
    assert "pip install 'chatferry[s3]'" in refused(opened(s3.settings("some-bucket")))


def test_an_old_signature(opened: Open, s3: S3Server, bucket: str) -> None:
    opened(s3.settings(bucket, FileUpload_S3_SignatureVersion="v2")).put_file(UPLOAD, [b"bytes"])
    assert len(keys_of(s3, bucket)) == 1


@pytest.mark.parametrize("is_path", [True, False])
def test_the_style_of_addresses(opened: Open, s3: S3Server, bucket: str, is_path: bool) -> None:
    url = f"http://localhost:{s3.port}"
    style = {"FileUpload_S3_ForcePathStyle": is_path, "FileUpload_S3_BucketURL": url}
    destination = opened(s3.settings(bucket, **style))
    client = destination._files._bucket._opened()
    signed = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "key"})
    shown = f"http://localhost:{s3.port}/{bucket}/" if is_path else f"http://{bucket}.localhost:{s3.port}/"
    assert signed.startswith(shown)


def test_a_file_that_is_replaced_while_it_is_read(opened: Open, s3: S3Server, bucket: str) -> None:
    destination = opened(s3.settings(bucket))
    destination.put_file(UPLOAD, [noise(3 * MIB)])
    pieces = destination.read_file(UPLOAD["_id"])
    next(pieces)
    destination.put_file(UPLOAD, [bytes(3 * MIB)])
    with pytest.raises(DestinationError, match="was replaced while it was read"):
        next(pieces)


class Cutting:
    """Stands before a server, and breaks off its first answers of more than `most` bytes."""

    def __init__(self, server: S3Server, times: int, most: int = 300_000) -> None:
        self.left, self._most, self._server = times, most, server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self._server.port))
            for one, other, most in ((here, there, 0), (there, here, self._most)):
                threading.Thread(target=self._pass_on, args=(one, other, most), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, most: int) -> None:
        passed = 0
        try:
            while data := source.recv(65536):
                target.sendall(data)
                passed += len(data)
                if most and passed > most and self.left:
                    self.left -= 1
                    break
        except OSError:
            pass
        for each in (source, target):
            _end(each)

    def close(self) -> None:
        self._listener.close()


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@pytest.mark.parametrize("times", [0, 2, 99])
def test_an_answer_that_breaks_off_is_asked_for_again(
    opened: Open, s3: S3Server, bucket: str, times: int
) -> None:
    content = noise(3 * MIB)
    opened(s3.settings(bucket)).put_file(UPLOAD, [content])
    between = Cutting(s3, times)
    try:
        pieces = opened(s3.settings(bucket, FileUpload_S3_BucketURL=between.url)).read_file(UPLOAD["_id"])
        if times < 99:
            assert b"".join(pieces) == content
            assert between.left == 0
        else:
            with pytest.raises(DestinationError, match="does not answer"):
                next(pieces)
    finally:
        between.close()
