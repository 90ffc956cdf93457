"""How every destination keeps files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chatferry.destinations import Destination, Lookup
from chatferry.documents import AVATARS, UPLOADS, Date, Document, Insert
from tests.support.destinations import DESTINATIONS, bare, ids, message, opened_by_name, the

KEEPERS = [*DESTINATIONS, "mongodb and a directory", "mongodb and S3"]
"""What keeps files: MongoDB may have their bytes elsewhere."""


@pytest.fixture(params=KEEPERS)
def keeper(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Destination]:
    opened = opened_by_name(request.param, request, tmp_path)
    yield opened
    opened.close()


def told(document: Document) -> Document:
    """Return a document without the fields that say where the bytes are."""
    return {
        key: value for key, value in bare(document).items() if key not in ("store", "path", "url", "AmazonS3")
    }


def test_files(keeper: Destination) -> None:
    large = b"".join(
        n.to_bytes(4) for n in range(750_000)
    )  # 3 MB, no multiple of 255 KiB, all its parts differ
    upload = {"_id": "f1", "name": "a.bin", "size": len(large), "uploadedAt": Date.at(5)}
    keeper.put_file(upload, [large[:7], b"", large[7:1_000_000], large[1_000_000:]])
    assert b"".join(keeper.read_file("f1")) == large
    (found,) = keeper.find(Lookup.UPLOAD_ID, ["f1"])
    assert told(found) == upload
    assert isinstance(found["_updatedAt"], Date)


@pytest.mark.parametrize("start", [0, 1, 255 * 1024, 255 * 1024 + 1, 599_999, 600_000, 700_000])
def test_a_file_is_read_from_any_place(keeper: Destination, start: int) -> None:
    content = b"".join(n.to_bytes(4) for n in range(150_000))
    keeper.put_file({"_id": "f1"}, [content])
    assert b"".join(keeper.read_file("f1", start=start)) == content[start:]


def test_avatars_are_files_of_their_own(destination: Destination) -> None:
    destination.put_file({"_id": "f1", "name": "upload"}, [b"upload"])
    destination.put_file({"_id": "f1", "name": "avatar"}, [b"avatar"], AVATARS)
    assert b"".join(destination.read_file("f1")) == b"upload"
    assert b"".join(destination.read_file("f1", AVATARS, 2)) == b"atar"
    assert [found["name"] for found in destination.find(Lookup.AVATAR_ID, ["f1"])] == ["avatar"]


def test_files_are_found_in_their_own_collection(keeper: Destination) -> None:
    """In a directory all lie side by side, so their ids must differ, as Rocket.Chat's do."""
    keeper.put_file({"_id": "f1", "name": "upload"}, [b"upload"])
    keeper.put_file({"_id": "a1", "name": "avatar"}, [b"avatar"], AVATARS)
    assert b"".join(keeper.read_file("f1")) == b"upload"
    assert b"".join(keeper.read_file("a1", AVATARS)) == b"avatar"
    assert list(keeper.read_file("f1", AVATARS)) == list(keeper.read_file("a1")) == []


def test_an_empty_file(keeper: Destination) -> None:
    keeper.put_file({"_id": "f1"}, [])
    assert b"".join(keeper.read_file("f1")) == b""
    assert ids(keeper.find(Lookup.UPLOAD_ID, ["f1"])) == ["f1"]


def test_storing_a_file_again_replaces_it(keeper: Destination) -> None:
    keeper.put_file({"_id": "f1", "name": "old", "extra": 1}, [b"x" * 600_000])
    keeper.put_file({"_id": "f2"}, [b"other"])
    keeper.put_file({"_id": "f1", "name": "new"}, iter([b"short"]))
    assert b"".join(keeper.read_file("f1")) == b"short"
    assert b"".join(keeper.read_file("f2")) == b"other"
    assert told(the(keeper, Insert(UPLOADS, {"_id": "f1"}))) == {"_id": "f1", "name": "new"}


def test_an_unknown_file_has_no_bytes(keeper: Destination) -> None:
    keeper.apply([Insert(UPLOADS, {"_id": "f1"})])
    for id_ in ("none", "f1", "\ud83d"):
        assert list(keeper.read_file(id_)) == []


def test_a_file_that_breaks_off_leaves_the_old_one(keeper: Destination) -> None:
    def broken() -> Iterator[bytes]:
        yield b"new" * 200_000
        raise ConnectionError

    keeper.put_file({"_id": "f1", "name": "old"}, [b"old"])
    with pytest.raises(ConnectionError):
        keeper.put_file({"_id": "f1", "name": "new"}, broken())
    assert b"".join(keeper.read_file("f1")) == b"old"
    assert told(the(keeper, Insert(UPLOADS, {"_id": "f1"}))) == {"_id": "f1", "name": "old"}
    assert keeper.apply([message("m1")]) == []


def test_a_file_without_a_document_is_refused(keeper: Destination) -> None:
    for document in ({"name": "no id"}, {"_id": "f1", "name": "\ud83d"}):
        with pytest.raises(ValueError, match=r"_id|JSON|BSON"):
            keeper.put_file(document, [b"x"])
    assert list(keeper.dump(UPLOADS)) == []
