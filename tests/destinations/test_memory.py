"""The workspace in memory, laid over another one."""

import tracemalloc
from pathlib import Path

import pytest

from chatferry.destinations import Destination, Lookup
from chatferry.destinations.memory import MemoryDestination
from chatferry.documents import MESSAGES, ROOMS, SUBSCRIPTIONS, USERS, Change, Date, Update
from tests.support.destinations import (
    SOME_OF_EACH,
    everything,
    ids,
    message,
    rejected,
    room,
    sqlite,
    subscription,
    the,
    user,
)


@pytest.fixture
def filled(tmp_path: Path) -> Destination:
    base = sqlite(tmp_path)
    base.apply(SOME_OF_EACH)
    base.refresh_rooms(["r1", "r2", "r3"])
    base.put_file({"_id": "f2"}, [b"below"])
    return base


def test_the_counters_of_the_base_are_continued(filled: Destination) -> None:
    laid_over = MemoryDestination(filled)
    laid_over.apply([message("m1", ts=9000), message("m4", ts=2000), subscription("s4", "r1", "u3")])
    for _ in range(2):
        laid_over.refresh_rooms(["r1", "r2"])
        now = the(laid_over, room("r1"))
        assert (now["msgs"], now["usersCount"], now["lastMessage"]["_id"]) == (3, 3, "m3")
        now = the(laid_over, room("r2"))
        assert (now["msgs"], now["usersCount"]) == (1, 1)
    laid_over.apply([message("m5", ts=4000), Update(collection=MESSAGES, id="m3", set={"ts": Date.at(5000)})])
    laid_over.refresh_rooms(["r1"])
    now = the(laid_over, room("r1"))
    assert (now["msgs"], now["lastMessage"]["_id"], now["lm"]) == (4, "m3", Date.at(5000))
    assert the(filled, room("r1"))["msgs"] == 2


def test_changed_documents_hide_those_of_the_base(filled: Destination) -> None:
    laid_over = MemoryDestination(filled)
    updates = [
        Update(collection=USERS, id="u1", set={"name": "new"}),
        Update(collection=MESSAGES, id="m1", set={"msg": "new"}),
        Update(collection=MESSAGES, id="m3", set={"_hidden": True}),
    ]
    assert laid_over.apply(updates) == []
    assert [found["name"] for found in laid_over.find(Lookup.USER_IMPORT_ID, ["U1"])] == ["new"]
    assert [found["msg"] for found in laid_over.find(Lookup.MESSAGE_ID, ["m1"])] == ["new"]
    laid_over.refresh_rooms(["r1"])
    assert the(laid_over, room("r1"))["lastMessage"]["_id"] == "m1"


def test_names_of_the_base_are_taken(filled: Destination) -> None:
    laid_over = MemoryDestination(filled)
    taken: list[Change] = [
        Update(collection=USERS, id="u1", set={"username": "Ben"}),
        Update(collection=ROOMS, id="r1", set={"name": "secret"}),
        user("u9", username="ADA"),
        room("r9", name="secret"),
        subscription("s9", "r1", "u2"),
    ]
    assert rejected(laid_over, taken) == [0, 1, 2, 3, 4]


def test_files_of_the_base_are_read_until_they_are_replaced(filled: Destination) -> None:
    laid_over = MemoryDestination(filled)
    assert b"".join(laid_over.read_file("f2")) == b"below"
    laid_over.put_file({"_id": "f2", "name": "new"}, [b"above"])
    assert b"".join(laid_over.read_file("f2")) == b"above"
    assert b"".join(filled.read_file("f2")) == b"below"
    assert ids(laid_over.find(Lookup.UPLOAD_ID, ["f1", "f2"])) == ["f1", "f2"]


def test_a_subscription_of_the_base_can_be_updated(filled: Destination) -> None:
    laid_over = MemoryDestination(filled)
    assert laid_over.apply([Update(collection=SUBSCRIPTIONS, id="s1", set={"open": False})]) == []
    assert the(laid_over, subscription("s1", "r1", "u1"))["open"] is False
    assert the(filled, subscription("s1", "r1", "u1"))["open"] is True


def test_messages_that_are_not_kept_count_all_the_same(filled: Destination) -> None:
    dry, kept = MemoryDestination(filled, keep_messages=False), MemoryDestination(filled)
    steps: list[Change] = [
        message("m1", digest=b"xxxxxxxx"),
        *(message(f"n{n}", ts=5000 + n, digest=b"%08d" % n) for n in range(9)),
        message("n9", ts=-5000, rid="r3"),
        message("reply", ts=9000, tmid="n1"),
        message("bad", msg="\ud83d"),
        message("n3", msg="again"),
        Update(collection=MESSAGES, id="n3", set={"msg": "edited"}, digest=b"edited.."),
        Update(collection=MESSAGES, id="m2", set={"msg": "edited"}, digest=b"edited.."),
        Update(collection=MESSAGES, id="n3", set={"msg": "\ud83d"}, digest=b"bad....."),
        Update(collection=MESSAGES, id="none", set={"msg": "edited"}),
    ]
    assert rejected(dry, steps) == rejected(kept, steps) == [12, 16, 17]
    for destination in (dry, kept):
        destination.refresh_rooms(["r1", "r2", "r3"])
    asked = ["m1", "m2", "m3", "n3", "n4", "bad", "none"]
    assert dry.digests(asked) == kept.digests(asked)
    assert everything(dry)[ROOMS] == everything(kept)[ROOMS]
    assert ids(dry.find(Lookup.MESSAGE_ID, ["m1", "n1"])) == ["m1"]


def test_messages_that_are_not_kept_take_little_room() -> None:
    def held(keep_messages: bool) -> float:
        """Bytes per message."""
        tracemalloc.start()
        destination = MemoryDestination(keep_messages=keep_messages)
        for start in range(0, 5000, 1000):
            destination.apply([message(f"m{n}", msg="x" * 2000, ts=n) for n in range(start, start + 1000)])
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return size / 5000

    assert held(keep_messages=True) > 2000
    assert held(keep_messages=False) < 250
