"""Changes of MongoDB documents: as few and as small writes as possible, each rejected by itself."""

from typing import Any

from bson.datetime_ms import DatetimeMS
from pymongo import MongoClient

from chatferry.destinations.mongodb.destination import MongoDestination
from chatferry.documents import USERS, Change, Insert, Update
from tests.support.mongo_destination import Db, rooms_of


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
