"""Files in GridFS, beside other GridFS clients."""

import threading
import tracemalloc
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS
from gridfs import GridFSBucket

from chatferry.destinations import Lookup
from chatferry.destinations.mongodb.destination import MongoDestination
from chatferry.destinations.mongodb.filestores.gridfs import Bucket
from chatferry.documents import AVATARS, UPLOADS, USERS, Insert
from tests.support.mongo_destination import Db


def test_other_gridfs_clients_can_read_the_files(destination: MongoDestination, database: Db) -> None:
    content = b"".join(n.to_bytes(4) for n in range(300_000))  # 5 chunks, the last not full
    for collection in (UPLOADS, AVATARS):
        destination.put_file({"_id": "f1", "type": "image/png"}, [content[:5], content[5:]], collection)
        bucket = GridFSBucket(database, collection)
        assert bucket.open_download_stream("f1").read() == content
        (file,) = database[f"{collection}.files"].find()
        assert (file.pop("uploadDate").__class__, file) == (
            DatetimeMS,
            {
                "_id": "f1",
                "length": len(content),
                "chunkSize": 261120,
                "filename": "f1",
                "contentType": "image/png",
            },
        )
        assert {"files_id_1_n_1", "_id_"} == database[f"{collection}.chunks"].index_information().keys()


def test_a_shorter_file_leaves_nothing_of_the_longer_one(destination: MongoDestination, database: Db) -> None:
    for content in (b"long" * 500_000, b"short", b"", b"middle" * 100_000):
        destination.put_file({"_id": "f1"}, [content])
        assert GridFSBucket(database, UPLOADS).open_download_stream("f1").read() == content
        assert database[f"{UPLOADS}.chunks"].count_documents({}) == -(-len(content) // 261120)


def test_a_file_is_whole_when_it_is_settled_twice(destination: MongoDestination, database: Db) -> None:
    """As when the answer to the commit is lost."""
    destination.put_file({"_id": "f1"}, [b"old" * 200_000])
    settle = Bucket.settle

    def twice(self: Bucket, *how: Any) -> None:
        settle(self, *how)
        settle(self, *how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bucket, "settle", twice)
        destination.put_file({"_id": "f1"}, [b"new" * 100_000])
    assert GridFSBucket(database, UPLOADS).open_download_stream("f1").read() == b"new" * 100_000
    assert database[f"{UPLOADS}.chunks"].count_documents({}) == 2


def test_files_of_other_clients_are_read(destination: MongoDestination, database: Db) -> None:
    content = bytes(range(256)) * 1000
    with GridFSBucket(database, UPLOADS, chunk_size_bytes=1000).open_upload_stream_with_id(
        "f1", "f1"
    ) as stream:
        stream.write(content)
    assert b"".join(destination.read_file("f1")) == content
    assert b"".join(destination.read_file("f1", start=5005)) == content[5005:]


def test_stray_chunks_of_a_killed_process_are_replaced(destination: MongoDestination, database: Db) -> None:
    database[f"{UPLOADS}.chunks"].insert_many(
        [{"files_id": "f1", "n": n, "data": b"stray"} for n in range(3)]
    )
    destination.put_file({"_id": "f1"}, [b"bytes"])
    assert b"".join(destination.read_file("f1")) == b"bytes"
    assert database[f"{UPLOADS}.chunks"].count_documents({}) == 1


def test_a_large_file_takes_little_memory(destination: MongoDestination) -> None:
    piece, pieces = bytes(1024 * 1024), 48
    destination.put_file({"_id": "warm"}, [piece])
    tracemalloc.start()
    destination.put_file({"_id": "f1"}, (piece for _ in range(pieces)))
    read = sum(map(len, destination.read_file("f1")))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read == pieces * len(piece)
    assert peak < 20 * len(piece)


def test_a_slow_reader_blocks_no_writer(destination: MongoDestination) -> None:
    destination.put_file({"_id": "f1"}, [b"a" * 600_000])
    pieces = destination.read_file("f1")
    first = next(pieces)
    destination.apply([Insert(USERS, {"_id": "u1"})])
    rest: list[bytes] = []
    thread = threading.Thread(target=lambda: rest.extend(pieces))
    thread.start()
    assert destination.find(Lookup.USER_ID, ["u1"])
    thread.join()
    assert first + b"".join(rest) == b"a" * 600_000
