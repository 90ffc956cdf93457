"""What MongoDB as a destination does besides what every destination does."""

import pickle
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Binary, Decimal128, Int64, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from gridfs import GridFSBucket
from pymongo import MongoClient
from pymongo.database import Database

from chatferry.destinations import Lookup, open_destination
from chatferry.destinations.mongodb import server as mongo_server
from chatferry.destinations.mongodb.bson_documents import OPTIONS, difference
from chatferry.destinations.mongodb.destination import MongoDestination
from chatferry.destinations.mongodb.filestores.gridfs import Bucket
from chatferry.destinations.mongodb.room_totals import RoomTotals
from chatferry.documents import (
    AVATARS,
    CONTACTS,
    MESSAGES,
    ROOMS,
    SUBSCRIPTIONS,
    UPLOADS,
    USERS,
    Change,
    Date,
    Document,
    Insert,
    Update,
    decode,
    digest,
    encode,
)
from chatferry.errors import DestinationError, SettingsError
from tests.support.mongo import Mongod, make_indexes, wipe

Db = Database[dict[str, Any]]


@pytest.fixture(scope="module")
def client(mongod: Mongod) -> "Iterator[MongoClient[dict[str, Any]]]":
    with mongod.client() as client:
        yield client


@pytest.fixture
def database(client: "MongoClient[dict[str, Any]]") -> Db:
    """What another program sees of the database."""
    wipe(client["own"])
    return client.get_database("own", OPTIONS)


@pytest.fixture
def destination(mongod: Mongod, database: Db) -> Iterator[MongoDestination]:
    opened = MongoDestination(mongod.database_url("own"))
    yield opened
    opened.close()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Mongod]:
    """A server that a test may end."""
    server = Mongod(tmp_path / "mongod")
    server.start()
    yield server
    server.kill()


def message(id_: str, **fields: Any) -> Document:
    return {"_id": id_, "rid": "r1", "ts": Date.at(1000), "msg": id_, "u": {"_id": "u1"}} | fields


def insert(destination: MongoDestination, *documents: Document, mark: bytes = b"") -> list[int]:
    """Insert messages the fast way; the places of those that were rejected."""
    packed = [
        destination.pack(document, encode(document), mark or digest(encode(document)))
        for document in documents
    ]
    return [rejection.index for rejection in destination.insert(packed)]


# ---------------------------------------------------------------- the documents of others

FOREIGN: dict[str, Any] = {
    "oid": ObjectId("5f5f5f5f5f5f5f5f5f5f5f5f"),
    "decimal": Decimal128("1.10"),
    "long": Int64(5),
    "double": 5.0,
    "binary": Binary(b"\x00\xff", 5),
    "regex": Regex("^a", "i"),
    "timestamp": Timestamp(1, 2),
    "least": MinKey(),
    "null": None,
    "far": DatetimeMS(300_000_000_000_000),
    "date": DatetimeMS(1000),
    "a.b": {"$c": 1, "d.e": [1]},
}


def raw(database: Db, collection: str, id_: str) -> bytes:
    """A stored document, to the byte, without the time of writing."""
    (row,) = database[collection].find({"_id": id_}, {"_updatedAt": 0})
    return bson.encode(row)


def test_documents_of_other_programs_are_found_with_all_their_types(
    destination: MongoDestination, database: Db
) -> None:
    database[USERS].insert_one({"_id": "u1", "username": "ada", "importIds": ["U1"], **FOREIGN})
    (found,) = destination.find(Lookup.USER_IMPORT_ID, ["U1"])
    assert found["oid"] == {"$oid": "5f5f5f5f5f5f5f5f5f5f5f5f"}
    assert found["decimal"] == {"$numberDecimal": "1.10"}
    assert (found["long"], found["double"], found["null"]) == (5, 5.0, None)
    assert found["date"] == Date.at(1000)
    assert found["far"] == {"$date": {"$numberLong": "300000000000000"}}
    assert encode(found) == next(destination.dump(USERS))


def test_an_update_leaves_all_that_it_does_not_name(destination: MongoDestination, database: Db) -> None:
    user = {"_id": "u1", "username": "ada", **FOREIGN, "deep": {**FOREIGN}, "list": [{**FOREIGN}, 1]}
    database[USERS].insert_one(user)
    update = Update(
        collection=USERS,
        id="u1",
        set={"name": "Ada", "deep.name": "x"},
        unset=("username",),
        add={"importIds": ("U1",), "list": (2,)},
    )
    assert destination.apply([update]) == []
    expected = {key: value for key, value in user.items() if key != "username"}
    expected["deep"] = {**FOREIGN, "name": "x"}
    expected["list"] = [{**FOREIGN}, 1, 2]
    now = bson.decode(raw(database, USERS, "u1"), OPTIONS)
    assert now == {**expected, "name": "Ada", "importIds": ["U1"]}
    for key, value in FOREIGN.items():
        assert (
            bson.encode({key: now[key]}) == bson.encode({key: now["deep"][key]}) == bson.encode({key: value})
        )


def test_documents_whose_id_is_no_text_are_dumped_too(destination: MongoDestination, database: Db) -> None:
    rows: list[dict[str, Any]] = [{"_id": ObjectId()} for _ in range(600)]
    database[CONTACTS].insert_many([*rows, {"_id": "text"}, {"_id": 7}])
    assert len(list(destination.dump(CONTACTS))) == 602


def test_a_last_message_with_foreign_types_is_set_as_it_is(
    destination: MongoDestination, database: Db
) -> None:
    database[ROOMS].insert_one({"_id": "r1", "t": "c"})
    database[MESSAGES].insert_one({"_id": "m1", "rid": "r1", "ts": DatetimeMS(5), **FOREIGN})
    destination.refresh_rooms(["r1"])
    (room,) = database[ROOMS].find()
    assert bson.encode(room["lastMessage"]) == raw(database, MESSAGES, "m1")
    assert room["lm"] == DatetimeMS(5)


def test_an_update_is_written_as_its_smallest_difference(destination: MongoDestination, database: Db) -> None:
    """An update goes as its smallest difference, never as a whole document."""
    before = {"roles": ["user"], "settings": {"a": 1, "b": [1, {"c": 2}]}, "tokens": [{"h": "x"}, {"h": "y"}]}
    after = {"roles": ["user", "bot"], "settings": {"b": [1, {"c": 3}]}, "tokens": [{"h": "y"}], "name": "n"}
    assert difference(before, after) == {
        "$set": {"settings.b.1.c": 3, "name": "n"},
        "$unset": {"settings.a": ""},
        "$addToSet": {"roles": {"$each": ["bot"]}},
        "$pull": {"tokens": {"$in": [{"h": "x"}]}},
    }
    assert difference({"n": 1, "a": 1}, {"n": Int64(1), "a": True}) == {"$set": {"a": True}}
    assert difference({"l": ["a"]}, {"l": ["a", "a"]}) == {"$set": {"l": ["a", "a"]}}
    assert difference({"d": {"a.b": 1}}, {"d": {"a.b": 2}}) == {"$set": {"d": {"a.b": 2}}}


# ---------------------------------------------------------------- types


def test_documents_have_rocket_chats_types(destination: MongoDestination, database: Db) -> None:
    fields = {"n": 1, "large": 2**40, "half": 0.5, "yes": True, "at": {"deep": [Date.at(-1)]}}
    destination.apply([Insert(USERS, {"_id": "u1", **fields}), Insert(ROOMS, {"_id": "r1"})])
    insert(destination, message("m1", **fields))
    destination.apply([Update(collection=USERS, id="u1", set={"again": Date.at(7)})])
    destination.refresh_rooms(["r1"])
    kinds = {"n": "int", "large": "long", "half": "double", "yes": "bool", "at.deep": "date"}
    for collection in (USERS, MESSAGES):
        assert (
            database[collection].count_documents({key: {"$type": kind} for key, kind in kinds.items()}) == 1
        )
        assert database[collection].count_documents({"_id": {"$type": "string"}}) == 1
        assert database[collection].count_documents({"_updatedAt": {"$type": "date"}}) == 1
    assert database[USERS].count_documents({"again": {"$type": "date"}}) == 1
    room = {"msgs": "int", "usersCount": "int", "lm": "date", "lastMessage.ts": "date", "_updatedAt": "date"}
    assert database[ROOMS].count_documents({key: {"$type": kind} for key, kind in room.items()}) == 1


def test_messages_hold_nothing_of_ours(destination: MongoDestination, database: Db) -> None:
    insert(destination, message("m1"))
    (row,) = database[MESSAGES].find()
    assert list(row) == [*message("m1"), "_updatedAt"]
    own = {name for name in database.list_collection_names() if name.startswith("chatferry")}
    assert own == {"chatferry_message_digests"}


def test_packed_messages_can_be_sent_to_another_process(destination: MongoDestination) -> None:
    packed = [
        destination.pack(message(id_), encode(message(id_)), b"12345678") for id_ in ("m1", "\ud83d"[:0])
    ]
    assert pickle.loads(pickle.dumps(packed)) == packed


# ---------------------------------------------------------------- what cannot be written


def test_a_document_that_bson_cannot_hold_is_one_rejection(
    destination: MongoDestination, database: Db
) -> None:
    bad = [
        message("large", msg="x" * 17 * 1024 * 1024),
        message("nul", reactions={"a\0b": 1}),
        message("number", n=2**64),
    ]
    good = [message("m1"), message("m2"), message("m3")]
    both = [document for pair in zip(good, bad, strict=True) for document in pair]
    assert insert(destination, *both) == [1, 3, 5]
    other = [{**document, "_id": document["_id"] + "-2"} for document in both]
    rejections = destination.apply([Insert(MESSAGES, document) for document in other])
    assert [rejection.index for rejection in rejections] == [1, 3, 5]
    assert "16,777,216" in rejections[0].reason and "BSON" in rejections[1].reason
    assert database[MESSAGES].count_documents({}) == 6
    packed = destination.pack(bad[1], encode(bad[1]), b"12345678")
    assert destination.unpack(packed) == bad[1]


def test_an_update_that_makes_a_document_too_large_is_one_rejection(
    destination: MongoDestination, database: Db
) -> None:
    destination.apply([Insert(USERS, {"_id": "u1", "bio": "x" * 12_000_000}), Insert(USERS, {"_id": "u2"})])
    updates = [
        Update(collection=USERS, id="u2", set={"name": "before"}),
        Update(collection=USERS, id="u1", set={"more": "x" * 12_000_000}),
        Update(collection=USERS, id="u2", set={"bio": "after"}),
    ]
    assert [rejection.index for rejection in destination.apply(updates)] == [1]
    assert database[USERS].count_documents({"_id": "u2", "name": "before", "bio": "after"}) == 1


def test_a_conflict_with_an_index_is_one_rejection(mongod: Mongod, client: Any) -> None:
    database = client["indexed"]
    make_indexes(database, USERS, ROOMS, SUBSCRIPTIONS)
    database[MESSAGES].create_index("only", unique=True, sparse=True)
    database[ROOMS].insert_one({"_id": "odd", "t": "l", "name": "taken"})  # a room of another type
    opened = MongoDestination(mongod.database_url("indexed"))
    address = [{"address": "ada@example.org", "verified": True}]
    changes: list[Change] = [
        Insert(USERS, {"_id": "u1", "username": "ada", "emails": address}),
        Insert(USERS, {"_id": "u2", "username": "ben", "emails": address}),
        Update(collection=USERS, id="u2", set={"name": "gone with the insert"}),
        Insert(USERS, {"_id": "u3", "username": "cleo"}),
        Update(collection=USERS, id="u3", set={"emails": address}),
        Insert(ROOMS, {"_id": "r1", "t": "c", "name": "taken"}),
        Insert(ROOMS, {"_id": "r2", "t": "c", "name": "free"}),
        Update(collection=USERS, id="u1", set={"name": "Ada"}),
    ]
    rejections = opened.apply(changes)
    assert [rejection.index for rejection in rejections] == [1, 2, 4, 5]
    assert "emails.address" in rejections[0].reason and "name" in rejections[3].reason
    assert [user["_id"] for user in database[USERS].find().sort("_id")] == ["u1", "u3"]
    assert database[USERS].find_one({"_id": "u1"})["name"] == "Ada"
    assert insert(opened, message("m1", only=1), message("m2", only=1), message("m3")) == [1]
    assert opened.digests(["m1", "m2", "m3"]).keys() == {"m1", "m3"}
    opened.close()


def test_values_are_never_taken_for_queries(destination: MongoDestination) -> None:
    destination.apply([Insert(USERS, {"_id": "u1", "username": "a.c", "importIds": ["U1"]})])
    for odd in ("abc", "^a", ".*", "$ne", '{"$ne": ""}', "a.c\0"):
        assert destination.find(Lookup.USERNAME, [odd]) == []
        assert destination.find(Lookup.USER_IMPORT_ID, [odd]) == []


# ---------------------------------------------------------------- digests


def test_the_digest_of_a_message_that_never_came_gives_way(
    destination: MongoDestination, database: Db
) -> None:
    insert(destination, message("m1"), message("m2"), mark=b"former..")
    database[MESSAGES].delete_one({"_id": "m1"})
    assert destination.digests(["m1", "m2"]) == {"m2": b"former.."}
    insert(destination, message("m1"), mark=b"newer...")
    assert destination.digests(["m1", "m2"]) == {"m1": b"newer...", "m2": b"former.."}
    database[MESSAGES].delete_one({"_id": "m1"})
    destination.apply([Insert(MESSAGES, message("m1"), b"")])
    assert destination.digests(["m1"]) == {"m1": b""}


def test_a_message_of_another_program_has_no_digest(destination: MongoDestination, database: Db) -> None:
    database[MESSAGES].insert_one({"_id": "m1", "rid": "r1", "msg": "theirs"})
    assert insert(destination, message("m1"), message("m2"), mark=b"12345678") == []
    assert destination.digests(["m1", "m2"]) == {"m1": b"", "m2": b"12345678"}
    assert (
        insert(destination, message("m1"), message("m2"), mark=b"12345678") == []
    )  # again, as after a crash
    assert destination.digests(["m1", "m2"]) == {"m1": b"", "m2": b"12345678"}


# ---------------------------------------------------------------- files


def test_files_are_what_other_gridfs_clients_read(destination: MongoDestination, database: Db) -> None:
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


# ---------------------------------------------------------------- indexes


def indexes(database: Db) -> dict[str, set[str]]:
    names = database.list_collection_names()
    return {name: set(database[name].index_information()) for name in names if "chatferry" not in name}


@pytest.mark.parametrize("allowed", [False, True])
def test_only_lookup_indexes_are_made_and_only_if_allowed(
    mongod: Mongod, client: Any, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = client[f"indexes-{allowed}"]
    make_indexes(database, USERS, ROOMS, SUBSCRIPTIONS, MESSAGES)
    database.create_collection(CONTACTS)
    before = indexes(database)
    monkeypatch.setenv("CHATFERRY_MONGO_INDEXES", "on" if allowed else "off")
    for _ in range(2):
        opened = open_destination(mongod.database_url(database.name))
        opened.apply([Insert(USERS, {"_id": "u1"}), Insert(ROOMS, {"_id": "r1", "importIds": ["C1"]})])
        opened.apply([Insert(CONTACTS, {"_id": "c1"}), Insert(SUBSCRIPTIONS, {"_id": "s1"})])
        opened.insert([opened.pack(message("m1"), encode(message("m1")), b"12345678")])
        assert opened.find(Lookup.ROOM_IMPORT_ID, ["C1"])
        opened.refresh_rooms(["r1"])
        opened.close()
    new = {name: names - before[name] for name, names in indexes(database).items() if names - before[name]}
    assert new == ({ROOMS: {"importIds_1"}, CONTACTS: {"importIds_1"}} if allowed else {})


def test_a_setting_that_is_neither_on_nor_off_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATFERRY_MONGO_INDEXES", "yes")
    with pytest.raises(SettingsError, match="on or off"):
        open_destination("mongodb://127.0.0.1:1/db")


# ---------------------------------------------------------------- opening

BAD_URLS = {
    "mongodb://127.0.0.1:1/": "names no database",
    "mongodb://bob:hunter2@127.0.0.1:1": "names no database",
    "mongodb://bob:hunter2@127.0.0.1:port/db": "cannot be read",
    "mongodb://bob:hunt/er2@127.0.0.1/db": "cannot be read",
    "mongodb://bob:hun@ter2@127.0.0.1/db": "cannot be read",
    "mongodb://": "cannot be read",
    "mongodb://bob:hunter2@127.0.0.1:1/db?serverSelectionTimeoutMS=50": "does not answer",
    "mongodb://bob:hunter2@127.0.0.1:1/db?w=0": "w=0",
    "mongodb+srv://bob:hunter2@127.0.0.1:1/db": "cannot be read",
    "mongo://bob:hunter2@host/db": "names no destination",
}


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_url_that_leads_nowhere_is_explained(url: str) -> None:
    kind = DestinationError if BAD_URLS[url] == "does not answer" else SettingsError
    with pytest.raises(kind) as caught:
        open_destination(url)
    assert BAD_URLS[url] in str(caught.value)
    assert "hunter2" not in str(caught.value) and "er2" not in str(caught.value)


def test_a_wrong_password_is_said_and_not_told(mongod: Mongod) -> None:
    with pytest.raises(SettingsError, match="refuses the name or password") as caught:
        open_destination(mongod.database_url("own").replace("//", "//bob:hunter2@"))
    assert "hunter2" not in str(caught.value) and "bob" not in str(caught.value)


def test_the_write_concern_is_that_of_the_url(mongod: Mongod) -> None:
    given = {"": ("majority", True, None), "&w=1&journal=false&wtimeoutMS=5000": (1, False, 5000)}
    for options, (w, j, wtimeout) in given.items():
        opened = MongoDestination(mongod.database_url("own") + options)
        expected = {"w": w, "j": j} | ({"wtimeout": wtimeout} if wtimeout else {})
        assert opened._server.write_concern.document == expected
        opened.close()


def test_a_write_concern_that_cannot_be_met_is_said(mongod: Mongod, database: Db) -> None:
    opened = MongoDestination(mongod.database_url("own") + "&w=3&wtimeoutMS=100")
    with pytest.raises(SettingsError, match=r"check w in the URL|not enough members"):
        opened.apply([Insert(USERS, {"_id": "u1"})])
    with pytest.raises(SettingsError, match=r"check w in the URL|not enough members"):
        insert(opened, message("m1"))
    opened.close()


# ---------------------------------------------------------------- changes and totals


def test_changes_of_one_document_are_one_write(destination: MongoDestination, database: Db) -> None:
    """A server takes long for each write of an account in a transaction: it has thirty indexes."""
    destination.apply([Insert(USERS, {"_id": "u1", "bio": "x"})])
    database.command("profile", 2)
    changes: list[Change] = [
        Insert(USERS, {"_id": "u2", "username": "ben"}),
        *(Update(collection=USERS, id="u1", add={"__rooms": (f"r{number}",)}) for number in range(5)),
        Update(collection=USERS, id="u2", set={"name": "Ben"}),
        Update(collection=USERS, id="u1", set={"name": "Ada"}, unset=("bio",)),
    ]
    assert destination.apply(changes) == []
    database.command("profile", 0)
    written = database["system.profile"].count_documents({"op": {"$in": ["insert", "update"]}})
    database["system.profile"].drop()
    assert written == 2
    ada, ben = database[USERS].find(projection={"_updatedAt": 0}).sort("_id")
    assert ada == {"_id": "u1", "__rooms": [f"r{number}" for number in range(5)], "name": "Ada"}
    assert ben == {"_id": "u2", "username": "ben", "name": "Ben"}


def rooms_of(id: str, *room_ids: str) -> Update:
    return Update(collection=USERS, id=id, add={"__rooms": room_ids})


def transactions(client: "MongoClient[dict[str, Any]]") -> int:
    """How many were begun."""
    begun: int = client.admin.command("serverStatus")["transactions"]["totalStarted"]
    return begun


def test_additions_to_lists_need_no_transaction(
    destination: MongoDestination, database: Db, client: "MongoClient[dict[str, Any]]"
) -> None:
    destination.apply([Insert(USERS, {"_id": id}) for id in ("u1", "u2")])
    database[USERS].update_many({}, {"$set": {"_updatedAt": DatetimeMS(0)}})
    odd = {"what": "other programs write"}
    database[USERS].update_one({"_id": "u1"}, {"$set": {"__rooms": [odd]}})
    begun = transactions(client)
    changes = [rooms_of("u1", "a", "b"), rooms_of("u1", "b", "c", "c"), rooms_of("u2")]
    assert destination.apply(changes) == destination.apply(changes[:1]) == []
    assert transactions(client) == begun
    ada, ben = database[USERS].find().sort("_id")
    assert ada["__rooms"] == [odd, "a", "b", "c"]
    assert int(ada["_updatedAt"]) > 0
    assert ben == {"_id": "u2", "_updatedAt": DatetimeMS(0)}
    destination.apply(changes)
    assert database[USERS].find_one({"_id": "u1"}) == ada


def test_additions_that_cannot_be_made_are_rejected_one_by_one(
    destination: MongoDestination, database: Db
) -> None:
    """No such document; no list; a rule of the server's."""
    destination.apply([Insert(USERS, {"_id": id}) for id in ("u1", "u2", "u3")])
    database[USERS].update_one({"_id": "u2"}, {"$set": {"__rooms": "none"}})
    database.command("collMod", USERS, validator={"$nor": [{"_id": "u3", "__rooms": "c"}]})
    changes = [rooms_of("u0", "a"), rooms_of("u1", "a"), rooms_of("u2", "b"), rooms_of("u3", "c")]
    assert [one.index for one in destination.apply(changes)] == [0, 2, 3]
    assert [one.index for one in destination.apply(changes[1::2])] == [1]
    database.command("collMod", USERS, validator={})
    found = {row["_id"]: row.get("__rooms") for row in database[USERS].find()}
    assert found == {"u1": ["a"], "u2": "none", "u3": None}


def test_a_refused_change_does_not_undo_others_of_its_document(
    destination: MongoDestination, database: Db
) -> None:
    database[USERS].create_index("only", unique=True, sparse=True)
    destination.apply([Insert(USERS, {"_id": "u1", "only": 1}), Insert(USERS, {"_id": "u2"})])
    updates = [
        Update(collection=USERS, id="u2", set={"name": "before"}),
        Update(collection=USERS, id="u2", set={"only": 1}),
        Update(collection=USERS, id="u2", set={"bio": "after"}),
    ]
    assert [rejection.index for rejection in destination.apply(updates)] == [1]
    assert database[USERS].count_documents({"_id": "u2", "name": "before", "bio": "after"}) == 1
    database[USERS].drop_index("only_1")


def test_a_value_that_moves_from_one_document_to_another_is_no_conflict(
    destination: MongoDestination, database: Db
) -> None:
    database[USERS].create_index("only", unique=True, sparse=True)
    destination.apply([Insert(USERS, {"_id": "u1", "only": 1})])
    changes: list[Change] = [
        Update(collection=USERS, id="u1", set={"only": 2}),
        Insert(USERS, {"_id": "u2", "only": 1}),
        Update(collection=USERS, id="u2", set={"only": 3}),
        Update(collection=USERS, id="u1", set={"only": 1}),
    ]
    assert destination.apply(changes) == []
    assert [user["only"] for user in database[USERS].find().sort("_id")] == [1, 3]
    database[USERS].drop_index("only_1")


@pytest.fixture(params=["indexed", "bare"])
def counting(request: pytest.FixtureRequest, mongod: Mongod, client: Any) -> Iterator[MongoDestination]:
    """A destination with or without an index that leads to the messages of a room."""
    database = client[f"totals-{request.param}"]
    wipe(database)
    if request.param == "indexed":
        make_indexes(database, MESSAGES)
    opened = MongoDestination(mongod.database_url(database.name))
    yield opened
    opened.close()


def test_many_rooms_are_counted(counting: MongoDestination) -> None:
    rooms = [f"r{number:03}" for number in range(450)]
    counting.apply([Insert(ROOMS, {"_id": id_, "t": "c", "name": id_}) for id_ in rooms])
    messages = [
        message(f"{id_}-{n}", rid=id_, ts=Date.at(1000 + n // 3))
        for number, id_ in enumerate(rooms)
        for n in range(number % 5)
    ]
    hidden = [message(f"{id_}-x", rid=id_, ts=Date.at(9000), _hidden=True) for id_ in rooms]
    other = message("other", rid="elsewhere", ts=Date.at(9000))
    assert insert(counting, *messages, *hidden, other) == []
    counting.refresh_rooms([*rooms, "none"])
    found = {room["_id"]: room for room in map(decode, counting.dump(ROOMS))}
    for number, id_ in enumerate(rooms):
        assert (found[id_]["msgs"], found[id_]["usersCount"]) == (number % 5 + 1, 0)
        last = f"{id_}-{number % 5 - 1}" if number % 5 else None
        assert found[id_].get("lastMessage", {}).get("_id") == last
    counting.refresh_rooms(rooms)
    assert {room["_id"]: room for room in map(decode, counting.dump(ROOMS))} == found


def recounted(destination: MongoDestination, happen: Callable[[Db], object]) -> tuple[int, int, str]:
    """Count the messages m1 and m2 and the member of room r1, then let something happen.

    Return what is then written: messages, members, and the last message.
    """
    server = mongo_server.Server(destination.address)
    rooms: list[Change] = [Insert(ROOMS, {"_id": id_, "t": "c", "name": id_}) for id_ in ("r1", "r2")]
    destination.apply([*rooms, Insert(SUBSCRIPTIONS, {"_id": "s1", "rid": "r1", "u": {"_id": "u1"}})])
    insert(destination, message("m1"), message("m2", ts=Date.at(2000)), message("m0", rid="r2"))
    totals = RoomTotals(server)
    (counted,) = totals.ahead(["r1", "r2"])
    happen(server.database)
    with server.client.start_session() as session, session.start_transaction():
        updates = {update.id: update.set for update in totals.updates(counted, session)}
    server.client.close()
    room = updates["r1"]
    return room["msgs"], room["usersCount"], room["lastMessage"]["_id"]


def test_a_message_that_is_written_after_the_counting_is_counted(counting: MongoDestination) -> None:
    def happen(database: Db) -> None:
        insert(counting, message("m3", ts=Date.at(3000)))
        database[ROOMS].update_one({"_id": "r1"}, {"$inc": {"msgs": 1}})

    assert recounted(counting, happen) == (3, 1, "m3")


def test_a_message_that_is_deleted_after_the_counting_is_not_counted(counting: MongoDestination) -> None:
    found = recounted(counting, lambda database: database[MESSAGES].delete_one({"_id": "m2"}))
    assert found == (1, 1, "m1")


def test_a_message_that_is_hidden_after_the_counting_is_not_the_last(counting: MongoDestination) -> None:
    hide = {"$set": {"_hidden": True}}
    found = recounted(counting, lambda database: database[MESSAGES].update_one({"_id": "m2"}, hide))
    assert found == (2, 1, "m1")


def test_a_message_that_moves_after_the_counting_is_not_counted(counting: MongoDestination) -> None:
    move = {"$set": {"rid": "r2"}}
    found = recounted(counting, lambda database: database[MESSAGES].update_one({"_id": "m2"}, move))
    assert found == (1, 1, "m1")


def test_a_member_who_leaves_after_the_counting_is_not_counted(counting: MongoDestination) -> None:
    def happen(database: Db) -> None:
        database[SUBSCRIPTIONS].delete_one({"_id": "s1"})
        database[ROOMS].update_one({"_id": "r1"}, {"$set": {"usersCount": 0}})

    assert recounted(counting, happen) == (2, 0, "m2")


# ---------------------------------------------------------------- a server that comes and goes


def test_a_server_that_steps_down_is_waited_for(own_server: Mongod) -> None:
    opened = MongoDestination(own_server.database_url("own"))
    with own_server.client() as admin:
        admin.admin.command({"replSetStepDown": 1, "force": True})
        assert opened.apply([Insert(USERS, {"_id": "u1"})]) == []
        admin.admin.command({"replSetStepDown": 1, "force": True})
        assert insert(opened, message("m1")) == []
    assert opened.find(Lookup.USER_ID, ["u1"]) and opened.digests(["m1"])["m1"]
    opened.close()


def test_a_server_that_stays_away_is_an_error_and_work_goes_on_when_it_is_back(own_server: Mongod) -> None:
    url = own_server.database_url("own") + "&serverSelectionTimeoutMS=300"
    hasty, opened = MongoDestination(url, patience=0.5), MongoDestination(url, patience=30)
    assert insert(hasty, message("m1")) == []
    own_server.kill()
    with pytest.raises(DestinationError, match="does not answer"):
        insert(hasty, message("m2"))
    with pytest.raises(DestinationError, match="does not answer"):
        hasty.find(Lookup.USER_ID, ["u1"])
    hasty.close()
    restart = threading.Thread(target=own_server.start)
    restart.start()
    assert insert(opened, message("m1"), message("m2")) == []
    assert opened.digests(["m1", "m2"]).keys() == {"m1", "m2"}
    restart.join()
    opened.close()


def test_two_writers_of_one_document_both_succeed(mongod: Mongod, database: Db) -> None:
    """The transactions of one run into those of the other, and are done again."""
    opened = [MongoDestination(mongod.database_url("own")) for _ in range(2)]
    opened[0].apply([Insert(USERS, {"_id": "u1"})])

    def write(number: int) -> None:
        for n in range(10):
            value = f"{number}-{n}"
            update = Update(
                collection=USERS, id="u1", set={f"settings.n{value}": n}, add={"importIds": (value,)}
            )
            assert opened[number].apply([update]) == []
            assert opened[number].apply([rooms_of("u1", value)]) == []

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (user,) = database[USERS].find()
    values = sorted(f"{number}-{n}" for number in range(2) for n in range(10))
    assert sorted(user["importIds"]) == sorted(user["__rooms"]) == values
    for each in opened:
        each.close()
