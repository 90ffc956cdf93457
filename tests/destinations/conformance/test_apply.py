"""What every destination does with changes: in order, once, and without the bad ones."""

import time
from pathlib import Path
from typing import Any

import pytest

from chatferry.destinations import Destination, Lookup, Packed, Rejection
from chatferry.documents import (
    COLLECTIONS,
    MESSAGES,
    ROOMS,
    SUBSCRIPTIONS,
    USERS,
    Change,
    Date,
    Document,
    Insert,
    Update,
    encode,
)
from tests.support.destinations import (
    DESTINATIONS,
    SOME_OF_EACH,
    bare,
    change,
    everything,
    ids,
    message,
    room,
    stored,
    subscription,
    the,
    user,
)

# ---------------------------------------------------------------- apply


def test_applying_twice_is_applying_once(destination: Destination) -> None:
    changes = [
        *SOME_OF_EACH,
        Update(collection=USERS, id="u1", set={"name": "Ada L."}, add={"importIds": ("X1",)}, unset=("bio",)),
        Update(collection=MESSAGES, id="m1", set={"msg": "edited"}, digest=b"87654321"),
    ]
    assert destination.apply(changes) == []
    once = everything(destination)
    assert destination.apply(changes) == []
    assert everything(destination) == once
    assert destination.digests(["m1"]) == {"m1": b"87654321"}


def test_server_documents_are_empty_without_a_server(destination: Destination) -> None:
    assert destination.server_documents("rocketchat_import", 20) == []


def test_inserting_what_exists_leaves_it_as_it_is(destination: Destination) -> None:
    destination.apply(SOME_OF_EACH)
    before = {collection: stored(destination, collection) for collection in COLLECTIONS}
    time.sleep(0.002)
    again: list[Change] = [
        Insert(c.collection, c.document | {"name": "other"}, b"00000000")
        for c in SOME_OF_EACH
        if isinstance(c, Insert)
    ]
    assert destination.apply(again) == []
    assert {collection: stored(destination, collection) for collection in COLLECTIONS} == before
    assert destination.digests(["m1", "m2"]) == {"m1": b"12345678", "m2": b""}


def test_the_first_of_two_documents_with_one_id_stays(destination: Destination) -> None:
    assert destination.apply([message("m1", msg="first"), message("m1", msg="second")]) == []
    assert destination.apply([user("u1", name="first"), user("u1", name="second")]) == []
    assert the(destination, message("m1"))["msg"] == "first"
    assert the(destination, user("u1"))["name"] == "first"


def test_changes_are_applied_in_order(destination: Destination) -> None:
    first = message("m1", msg="first")
    second, third = change(first, set={"msg": "second"}), change(first, set={"msg": "third"})
    assert destination.apply([first, second, message("m2"), third]) == []
    assert the(destination, first)["msg"] == "third"
    assert ids(stored(destination, MESSAGES)) == ["m1", "m2"]


def test_no_changes_are_no_trouble(destination: Destination) -> None:
    assert destination.apply([]) == []
    assert everything(destination) == {collection: [] for collection in COLLECTIONS}


ENDLESS: list[Any] = []


ENDLESS.append(ENDLESS)


BAD: dict[str, Change] = {
    "no _id": Insert(MESSAGES, {"rid": "r1", "msg": "who am I?"}),
    "an empty _id": Insert(USERS, {"_id": ""}),
    "a message with an empty _id": message(""),
    "an _id that is no text": Insert(MESSAGES, {"_id": 7, "rid": "r1", "ts": Date.at(0)}),
    "a lone surrogate": message("bad", msg="\ud83d"),
    "a lone surrogate as _id": message("\ud83d"),
    "a lone surrogate as a key": user("bad", customFields={"\udc00": 1}),
    "a value that JSON does not know": message("bad", ts=1, extra=object()),
    "a value without end": message("bad", extra=ENDLESS),
    "a time that is no date": Insert(MESSAGES, {"_id": "bad", "rid": "r1", "ts": 1000}),
    "a date that is none": Insert(MESSAGES, {"_id": "bad", "rid": "r1", "ts": Date("yesterday")}),
    "a date that ends like one": Insert(MESSAGES, {"_id": "bad", "rid": "r1", "ts": Date("noonZ")}),
    "a date without a zone": Insert(MESSAGES, {"_id": "bad", "rid": "r1", "ts": Date("2023-01-02T09:00:50")}),
    "a date as long as others, without a zone": Insert(
        MESSAGES, {"_id": "bad", "rid": "r1", "ts": Date("2023-01-02T09:00:50.1234")}
    ),
    "a thread that is no text": message("bad", tmid=["m1"]),
    "a room id that is no text": Insert(MESSAGES, {"_id": "bad", "rid": {"_id": "r1"}, "ts": Date.at(0)}),
    "a username that is taken": user("bad", username="taken"),
    "a username that is taken in another case": user("bad", username="TAKEN"),
    "a channel name that is taken": room("bad", t="p", name="taken"),
    "a second subscription": subscription("bad", "taken", "taken"),
    "an update of what does not exist": Update(collection=USERS, id="bad", set={"name": "nobody"}),
    "an update of a message that does not exist": Update(
        collection=MESSAGES, id="bad", set={"msg": "nothing"}
    ),
    "an update of a subscription that does not exist": Update(collection=SUBSCRIPTIONS, id="bad"),
    "an update with a lone surrogate": Update(collection=USERS, id="taken", set={"name": "\udfff"}),
    "an update of what cannot exist": Update(collection=USERS, id="\udfff", set={"name": "nobody"}),
    "an update to a username that is taken": Update(collection=USERS, id="other", set={"username": "Taken"}),
    "an update to a room name that is taken": Update(collection=ROOMS, id="other", set={"name": "taken"}),
    "an update of the _id": Update(collection=USERS, id="taken", set={"_id": "bad"}),
    "an update into a text": Update(collection=USERS, id="taken", set={"username.first": "bad"}),
    "an update that adds to a text": Update(collection=USERS, id="taken", add={"username": ("bad",)}),
    "an update that pulls from a text": Update(collection=USERS, id="taken", pull={"username": ("a", "b")}),
    "an update of a message's time to none": Update(collection=MESSAGES, id="taken", set={"ts": "noon"}),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_batch_with_one_bad_change_rejects_that_one_and_applies_the_others(
    destination: Destination, bad: str
) -> None:
    before: list[Change] = [
        user("taken", username="taken"),
        user("other", username="other"),
        room("taken", name="taken"),
        room("other", name="other"),
        subscription("taken", "taken", "taken"),
        message("taken"),
    ]
    around = [
        message("m1"),
        user("u1", username="one"),
        message("m2"),
        user("u2"),
        message("m3"),
    ]
    assert destination.apply(before) == []
    untouched = everything(destination)

    rejections = destination.apply([*around[:3], BAD[bad], *around[3:]])

    assert [rejection.index for rejection in rejections] == [3]
    assert rejections[0].reason
    now = everything(destination)
    for collection, documents in untouched.items():
        added = [insert.document for insert in around if insert.collection == collection]
        assert ids(now[collection]) == ids([*documents, *added])
        assert all(document in now[collection] for document in [*documents, *added])


@pytest.mark.parametrize("size", [999, 1000, 1001, 2500])
@pytest.mark.parametrize("bad", [None, 0, 998])
def test_large_batches(destination: Destination, size: int, bad: int | None) -> None:
    names = [f"m{n:04}" for n in range(size)]
    batch = [message(name, ts=n, digest=b"%08d" % n) for n, name in enumerate(names)]
    if bad is not None:
        batch[bad].document["msg"] = "\ud83d"
    assert [rejection.index for rejection in destination.apply(batch)] == ([] if bad is None else [bad])
    kept = [insert for n, insert in enumerate(batch) if n != bad]
    assert everything(destination)[MESSAGES] == [insert.document for insert in kept]
    assert destination.digests(names) == {insert.document["_id"]: insert.digest for insert in kept}


def test_a_rejected_change_holds_nothing(destination: Destination) -> None:
    destination.apply([user("u1", username="ada"), user("u2", username="ben")])
    destination.apply(
        [
            user("u3", username="ADA", importIds=["U3"]),
            Update(collection=USERS, id="u2", set={"username": "Ada"}),
        ]
    )
    assert ids(destination.find(Lookup.USERNAME, ["ada"])) == ["u1"]
    assert ids(destination.find(Lookup.USERNAME, ["ben"])) == ["u2"]
    assert destination.find(Lookup.USER_IMPORT_ID, ["U3"]) == []
    assert destination.apply([user("u3", username="cleo")]) == []


def test_a_name_that_was_given_up_can_be_taken(destination: Destination) -> None:
    ada = user("u1", username="ada")
    assert destination.apply([ada, change(ada, set={"username": "ada2"}), user("u2", username="ada")]) == []
    assert ids(destination.find(Lookup.USERNAME, ["ada"])) == ["u2"]
    assert ids(destination.find(Lookup.USERNAME, ["ada2"])) == ["u1"]


def test_a_name_that_an_update_gives_up_another_can_take(destination: Destination) -> None:
    ada, ben = user("u1", username="ada"), user("u2", username="ben")
    assert destination.apply([ada, ben]) == []
    moves = [change(ada, set={"username": "ada2"}), change(ben, set={"username": "ada"})]
    assert destination.apply(moves) == []
    assert ids(destination.find(Lookup.USERNAME, ["ada"])) == ["u2"]


def test_new_subscriptions_that_conflict_are_rejected_one_by_one(destination: Destination) -> None:
    assert destination.apply([subscription("s1", "r1", "u1")]) == []
    wanted = [
        subscription("s2", "r1", "u2"),
        subscription("s3", "r1", "u1"),  # he is in it already
        subscription("s1", "r1", "u9"),  # it exists: it stays as it is
        subscription("s4", "r1", "u2"),  # he has just entered
        subscription("s4", "r1", "u4"),  # its `_id` is free after all
        subscription("s\ud83d", "r1", "u5"),
        subscription("s6", "r2", "u1"),
    ]
    rejections = destination.apply(wanted)
    assert [rejection.index for rejection in rejections] == [1, 3, 5]
    assert rejections[0].reason == "its user has a subscription of its room already"
    found = destination.find(Lookup.SUBSCRIPTION_ROOM, ["r1"])
    assert {one["_id"]: one["u"]["_id"] for one in found} == {"s1": "u1", "s2": "u2", "s4": "u4"}
    assert ids(destination.find(Lookup.SUBSCRIPTION_ROOM, ["r2"])) == ["s6"]


def test_subscriptions_enter_and_change_in_order(destination: Destination) -> None:
    first, second, third = (subscription(f"s{n}", "r1", f"u{n}") for n in (1, 2, 3))
    assert destination.apply([first, change(first, set={"open": False, "u._id": "u3"}), second, third])[
        0
    ] == Rejection(3, "its user has a subscription of its room already")
    moved = [change(first, set={"u._id": "u2"}), change(second, set={"u._id": "u3"})]
    assert [one.index for one in destination.apply(moved)] == [0, 1]
    assert destination.apply([change(first, set={"rid": "r2"}), third]) == []
    assert ids(destination.find(Lookup.SUBSCRIPTION_ROOM, ["r1"])) == ["s2", "s3"]
    assert ids(destination.find(Lookup.SUBSCRIPTION_ROOM, ["r2"])) == ["s1"]


def test_a_subscription_can_take_the_place_that_another_gives_up_just_before(
    destination: Destination,
) -> None:
    first, second = subscription("s1", "r1", "u1"), subscription("s2", "r1", "u2")
    assert destination.apply([first, second]) == []
    moved = [change(first, set={"u._id": "u3"}), change(second, set={"u._id": "u1"})]
    assert destination.apply(moved) == []
    found = destination.find(Lookup.SUBSCRIPTION_ROOM, ["r1"])
    assert {one["_id"]: one["u"]["_id"] for one in found} == {"s1": "u3", "s2": "u1"}


def test_a_bad_change_of_a_subscription_does_not_undo_a_good_one(destination: Destination) -> None:
    first, second = subscription("s1", "r1", "u1"), subscription("s2", "r1", "u2")
    assert destination.apply([first, second]) == []
    both = [change(first, set={"open": False}), change(first, set={"u._id": "u2"})]
    assert [one.index for one in destination.apply(both)] == [1]
    found = {one["_id"]: one for one in destination.find(Lookup.SUBSCRIPTION_ROOM, ["r1"])}
    assert (found["s1"]["open"], found["s1"]["u"]["_id"]) == (False, "u1")


def test_other_values_may_be_shared(destination: Destination) -> None:
    shared: list[Change] = [
        user("u1", emails=[{"address": "a@example.org"}], importIds=["U"]),
        user("u2", emails=[{"address": "a@example.org"}], importIds=["U"]),
        room("r1", name="news", fname="News"),
        room("r2", name="News", fname="News"),  # another name: case counts
        room("r3", t="d", name="news", uids=["u1"]),
        room("r4", t="d", name="news", uids=["u1"]),
        subscription("s1", "r1", "u1"),
        subscription("s2", "r1", "u2"),
        subscription("s3", "r2", "u1"),
    ]
    assert destination.apply(shared) == []
    assert ids(destination.find(Lookup.USER_EMAIL, ["a@example.org"])) == ["u1", "u2"]
    assert ids(destination.find(Lookup.ROOM_NAME, ["News"])) == ["r1", "r2"]
    assert ids(destination.find(Lookup.ROOM_MEMBERS, ["u1"])) == ["r3", "r4"]


def test_documents_carry_the_time_of_writing(destination: Destination) -> None:
    ada = user("u1", _updatedAt=Date.at(0))  # a time that is not the destination's is no time
    earliest = time.time_ns() // 1_000_000
    destination.apply([ada, message("m1", _updatedAt=Date.at(0))])
    latest = time.time_ns() // 1_000_000
    (first,), (second,) = stored(destination, USERS), stored(destination, MESSAGES)
    assert [
        line.count(b"_updatedAt") for line in (*destination.dump(USERS), *destination.dump(MESSAGES))
    ] == [1, 1]
    assert earliest <= first["_updatedAt"].ms <= latest
    assert earliest <= second["_updatedAt"].ms <= latest
    time.sleep(0.002)
    destination.apply(
        [change(ada, set={"name": "Ada"}), Update(collection=MESSAGES, id="m1", set={"msg": "new"})]
    )
    assert stored(destination, USERS)[0]["_updatedAt"].ms > latest
    assert stored(destination, MESSAGES)[0]["_updatedAt"].ms > latest


def packed(destination: Destination, insert: Insert) -> Packed:
    return destination.pack(insert.document, encode(insert.document), insert.digest)


def test_packed_messages_are_stored_as_applied_ones(destination: Destination, tmp_path: Path) -> None:
    inserts = [
        message(f"m{n}", rid=f"r{n % 3}", ts=1_672_650_000_000 + n * 17, digest=b"%08d" % n, tmid="m0")
        for n in range(2345)
    ]
    inserts.append(message("whole second", ts=1_672_650_050_000, msg='ä\u2028\n"quoted"', digest=b"12345678"))
    assert destination.insert([packed(destination, insert) for insert in inserts]) == []
    applied = DESTINATIONS["sqlite"](tmp_path / "other")
    assert applied.apply(inserts) == []
    assert stored(destination, MESSAGES) and everything(destination) == everything(applied)
    ids = [insert.document["_id"] for insert in inserts]
    assert destination.digests(ids) == applied.digests(ids) == {i.document["_id"]: i.digest for i in inserts}
    destination.apply([room("r1")])
    destination.refresh_rooms(["r1"])
    assert the(destination, room("r1"))["msgs"] == 783
    applied.close()


def test_a_packed_message_never_replaces_a_stored_one(destination: Destination) -> None:
    destination.apply([message("m1", digest=b"12345678")])
    other = message("m1", msg="other", digest=b"87654321")
    new = message("m2", digest=b"23456789")
    assert destination.insert([packed(destination, other), packed(destination, new)]) == []
    assert the(destination, message("m1"))["msg"] == "m1"
    assert destination.digests(["m1", "m2"]) == {"m1": b"12345678", "m2": b"23456789"}
    assert destination.insert([]) == []


def test_a_packed_message_can_be_unpacked(destination: Destination) -> None:
    insert = message("m1", digest=b"12345678", msg="ä", tmid="m0", editedAt=Date.at(5), n=[1, {"a": True}])
    assert packed(destination, insert)[:2] == ("m1", b"12345678")
    assert destination.unpack(packed(destination, insert)) == insert.document


def test_values_come_back_as_they_were(destination: Destination) -> None:
    fields: Document = {
        "when": Date.at(1_672_650_050_123),
        "nested": {"dates": [Date.at(0), {"at": Date("1969-12-31T23:59:59.999Z")}]},
        "number": 12.5,
        "large": 2**53,
        "true": True,
        "text": 'naïve 🙂 \0 \u2028 " \\ </script>',
        "empty": {"list": [], "dict": {}, "text": ""},
    }
    destination.apply([user("u1", **fields), message("m1", **fields)])
    (found,) = destination.find(Lookup.USER_ID, ["u1"])
    assert bare(found) == user("u1", **fields).document
    (found,) = destination.find(Lookup.MESSAGE_ID, ["m1"])
    assert bare(found) == message("m1", **fields).document


# ---------------------------------------------------------------- digests


def test_digests(destination: Destination) -> None:
    first, second = message("m1", digest=b"12345678"), message("m2", digest=b"abcdefgh")
    destination.apply([first, second, message("foreign")])
    assert destination.digests(["m1", "foreign", "none"]) == {
        "m1": b"12345678",
        "foreign": b"",
    }
    destination.apply(
        [change(first, set={"msg": "x"}, digest=b"\0\xff345678"), change(second, set={"msg": "x"})]
    )
    assert destination.digests(["m1", "m2"]) == {"m1": b"\0\xff345678", "m2": b"abcdefgh"}
    destination.apply([Update(collection=MESSAGES, id="foreign", digest=b"87654321")])
    assert destination.digests({"foreign"}) == {"foreign": b"87654321"}
    assert destination.digests([]) == {}


@pytest.mark.parametrize("between", [0, 1, 9])
def test_digests_of_neighbours(destination: Destination, between: int) -> None:
    """Ids in any order, with `between` further ones between each two that are asked for."""
    rooms = ["slack-C01", "slack-C02", "slack-Ü03🙂"]
    ids = [f"{room}-{number:05}" for room in rooms for number in range(12 * (between + 1))]
    stored = {id: id.encode()[-8:] for number, id in enumerate(ids) if number % 7}
    destination.apply([message(id, digest=digest) for id, digest in stored.items()])
    asked = [*ids[:: between + 1], "slack-C01-\ud83d", "m1"]
    asked = asked[20::-1] + asked[21:]
    assert destination.digests(asked) == {id: stored[id] for id in asked if id in stored}


def test_a_rejected_message_has_no_digest(destination: Destination) -> None:
    destination.apply([message("m1", digest=b"12345678", msg="\ud83d")])
    assert destination.digests(["m1"]) == {}
    destination.apply([message("m1", digest=b"12345678")])
    destination.apply([Update(collection=MESSAGES, id="m1", set={"msg": "\ud83d"}, digest=b"87654321")])
    assert destination.digests(["m1"]) == {"m1": b"12345678"}
