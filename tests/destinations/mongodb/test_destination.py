"""Documents in MongoDB: those of other programs, types, and what cannot be written."""

import pickle
from typing import Any

import bson
from bson import Binary, Decimal128, Int64, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from chatferry.destinations import Lookup
from chatferry.destinations.mongodb.bson_documents import OPTIONS, difference
from chatferry.destinations.mongodb.destination import MongoDestination
from chatferry.documents import (
    CONTACTS,
    MESSAGES,
    ROOMS,
    SUBSCRIPTIONS,
    USERS,
    Change,
    Date,
    Insert,
    Update,
    encode,
)
from tests.support.mongo import Mongod, make_indexes
from tests.support.mongo_destination import Db, insert, message

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
