"""Totals of rooms, counted ahead and corrected by what happens until they are written."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chatferry.destinations.mongodb import server as mongo_server
from chatferry.destinations.mongodb.destination import MongoDestination
from chatferry.destinations.mongodb.room_totals import RoomTotals
from chatferry.documents import MESSAGES, ROOMS, SUBSCRIPTIONS, Change, Date, Insert, decode
from tests.support.mongo import Mongod, make_indexes, wipe
from tests.support.mongo_destination import Db, insert, message


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
