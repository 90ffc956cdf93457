"""Files in a directory, as Rocket.Chat's FileSystem store has them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chatferry.documents import UPLOADS
from chatferry.errors import SettingsError
from tests.support.file_stores import UPLOAD, Db, Open, in_folder
from tests.support.s3 import S3Server


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
