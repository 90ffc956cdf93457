"""What every destination counts in its rooms: messages, people, the last message."""

import time

import pytest

from chatferry.destinations import Destination
from chatferry.documents import MESSAGES, ROOMS, Date, Document, Insert, Update
from tests.support.destinations import SOME_OF_EACH, change, ids, message, room, stored, subscription, the


def finished(destination: Destination, *messages: Insert) -> Document:
    """The room r1 with these messages after `refresh_rooms`."""
    destination.apply([room("r1", name="one"), *messages])
    destination.refresh_rooms(["r1"])
    return the(destination, room("r1"))


def test_refreshing_corrects_the_counters(destination: Destination) -> None:
    destination.apply(SOME_OF_EACH)
    destination.apply([Update(collection=ROOMS, id="r1", set={"msgs": 99, "usersCount": 99})])
    destination.refresh_rooms(["r1", "r2", "r3", "none", "\ud83d"])
    counted = {
        document["_id"]: (document["msgs"], document["usersCount"]) for document in stored(destination, ROOMS)
    }
    assert counted == {"r1": (2, 2), "r2": (1, 1), "r3": (0, 0)}
    assert ids(stored(destination, ROOMS)) == ["r1", "r2", "r3"]


def test_refreshing_leaves_other_rooms_alone(destination: Destination) -> None:
    destination.apply(SOME_OF_EACH)
    destination.refresh_rooms(["r2"])
    assert "msgs" not in the(destination, room("r1"))


def test_the_newest_message_is_the_last(destination: Destination) -> None:
    now = finished(destination, message("m1", ts=1000), message("m3", ts=3000), message("m2", ts=2123))
    assert now["lm"] == Date.at(3000)
    assert now["lastMessage"] == message("m3", ts=3000).document  # no _updatedAt in it


def test_times_are_compared_as_times(destination: Destination) -> None:
    now = finished(destination, message("m1", ts=1000), message("m2", ts=1001))  # "...01Z", "...01.001Z"
    assert now["lastMessage"]["_id"] == "m2"


def test_of_messages_with_one_time_the_greatest_id_is_the_last(destination: Destination) -> None:
    now = finished(destination, message("m2", ts=1000), message("m3", ts=1000), message("m1", ts=1000))
    assert now["lastMessage"]["_id"] == "m3"


@pytest.mark.parametrize(
    ("fields", "last"),
    [
        ({}, "new"),
        ({"_hidden": True}, "old"),
        ({"_hidden": False}, "new"),
        ({"tmid": "old"}, "old"),
        ({"tmid": "old", "tshow": False}, "old"),
        ({"tmid": "old", "tshow": True}, "new"),
        ({"tmid": "old", "tshow": True, "_hidden": True}, "old"),
        ({"t": "uj"}, "new"),
    ],
)
def test_the_last_message_is_one_that_the_room_shows(
    destination: Destination, fields: Document, last: str
) -> None:
    now = finished(destination, message("old", ts=1000), message("new", ts=2000, **fields))
    assert now["lastMessage"]["_id"] == last
    assert now["lm"] == now["lastMessage"]["ts"]
    assert now["msgs"] == 2


def test_a_room_that_shows_nothing_has_no_last_message(destination: Destination) -> None:
    now = finished(destination, message("other", rid="r2"), message("hidden", _hidden=True))
    assert now == room("r1", name="one", msgs=1, usersCount=0).document


def test_a_message_without_a_time_is_never_the_last(destination: Destination) -> None:
    timeless = Insert(MESSAGES, {"_id": "m1", "rid": "r1", "msg": "when?"})
    assert "lm" not in finished(destination, timeless)
    now = finished(destination, message("m0", ts=-5000))
    assert (now["lastMessage"]["_id"], now["msgs"]) == ("m0", 2)


def test_refreshing_follows_changes(destination: Destination) -> None:
    first, second = message("m1", ts=1000), message("m2", ts=2000)
    finished(destination, first, second)
    destination.apply([change(second, set={"_hidden": True}), change(first, set={"msg": "edited"})])
    now = finished(destination)
    assert (now["lastMessage"]["msg"], now["lm"]) == ("edited", Date.at(1000))
    destination.apply(
        [change(first, set={"rid": "r2"}), change(second, set={"ts": Date.at(3000)}, unset=("_hidden",))]
    )
    now = finished(destination)
    assert (now["lastMessage"]["_id"], now["lm"], now["msgs"]) == ("m2", Date.at(3000), 1)
    destination.apply([change(second, set={"_hidden": True})])
    assert "lm" not in finished(destination)
    assert "lastMessage" not in finished(destination)


def test_refreshing_writes_nothing_if_the_counters_are_right(destination: Destination) -> None:
    finished(
        destination, message("m1", reactions={":x:": {"usernames": ["a"]}}), subscription("s1", "r1", "u1")
    )
    (before,) = stored(destination, ROOMS)
    time.sleep(0.002)
    destination.refresh_rooms(["r1", "r1"])
    assert stored(destination, ROOMS) == [before]
    destination.apply([message("m2", ts=2_000_000_000_000)])
    destination.refresh_rooms(["r1"])
    assert stored(destination, ROOMS)[0]["_updatedAt"].ms > before["_updatedAt"].ms
