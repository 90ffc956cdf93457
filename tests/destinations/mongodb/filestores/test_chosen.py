"""Rocket.Chat's settings choose where the bytes of files go: GridFS, a directory or a bucket."""

import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chatferry.destinations.mongodb.destination import MongoDestination
from chatferry.documents import AVATARS, UPLOADS, Document
from chatferry.errors import SettingsError
from tests.support.file_stores import MIB, UPLOAD, Db, Open, in_folder, keys_of, noise
from tests.support.s3 import S3Server

AVATAR: Document = {"_id": "a1a1a1a1a1a1a1a1a1a1a1a1", "name": "ada", "type": "image/png", "userId": "user1"}


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


def test_files_stay_in_their_store_when_the_settings_change(
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
