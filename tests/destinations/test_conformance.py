"""What every destination does. A new one is one more line in `DESTINATIONS`, and in `LASTING` if it lasts."""

import hashlib
import json
import time
import tracemalloc
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient

from chatferry.destinations import Destination, Lookup, Packed, Rejection
from chatferry.destinations.memory import MemoryDestination
from chatferry.destinations.mongodb.destination import MongoDestination
from chatferry.destinations.sqlite.destination import SqliteDestination
from chatferry.documents import (
    AVATARS,
    COLLECTIONS,
    CONTACTS,
    LINKS,
    MESSAGES,
    ORIGINS,
    PERMISSIONS,
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
    encode,
)
from tests.support.mongo import Mongod, set_settings, wipe
from tests.support.s3 import S3Server


def _sqlite(directory: Path) -> Destination:
    return SqliteDestination(directory / "workspace.db")


class _Mongo:
    """One database on the server for all tests: emptied when a test comes with a directory of its own."""

    def __init__(self) -> None:
        self._url = ""
        self._client: MongoClient[dict[str, Any]] | None = None
        self._directory: Path | None = None

    def use(self, server: Mongod) -> None:
        if self._client is None:
            self._url, self._client = server.database_url("conformance"), server.client()

    def __call__(self, directory: Path, settings: Mapping[str, Any] | None = None) -> Destination:
        assert self._client is not None
        if directory != self._directory:
            wipe(self._client["conformance"])
            set_settings(self._client["conformance"], settings or {})
        self._directory = directory
        return MongoDestination(self._url)


MONGO = _Mongo()


@pytest.fixture
def mongodb(mongod: Mongod) -> None:
    """A server for the destination `mongodb`."""
    MONGO.use(mongod)


def _mongo_and_directory(directory: Path) -> Destination:
    path = str(directory)
    return MONGO(directory, {"FileUpload_Storage_Type": "FileSystem", "FileUpload_FileSystemPath": path})


def _mongo_and_s3(server: S3Server, directory: Path) -> Destination:
    bucket = hashlib.sha256(str(directory).encode()).hexdigest()[:20]
    server.client().create_bucket(Bucket=bucket)
    return MONGO(directory, server.settings(bucket))


DESTINATIONS: dict[str, Callable[[Path], Destination]] = {
    "sqlite": _sqlite,
    "memory": lambda directory: MemoryDestination(),
    "memory over sqlite": lambda directory: MemoryDestination(_sqlite(directory)),
    "mongodb": MONGO,
}
LASTING = ["sqlite", "mongodb"]

KEEPERS = [*DESTINATIONS, "mongodb and a directory", "mongodb and S3"]
"""What keeps files: MongoDB may have their bytes elsewhere."""


@pytest.fixture(params=DESTINATIONS)
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Destination]:
    opened = _opened(request.param, request, tmp_path)
    yield opened
    opened.close()


@pytest.fixture(params=KEEPERS)
def keeper(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Destination]:
    opened = _opened(request.param, request, tmp_path)
    yield opened
    opened.close()


def _opened(name: str, request: pytest.FixtureRequest, directory: Path) -> Destination:
    if name.startswith("mongodb"):
        request.getfixturevalue("mongodb")
    if name == "mongodb and a directory":
        return _mongo_and_directory(directory)
    if name == "mongodb and S3":
        return _mongo_and_s3(request.getfixturevalue("s3"), directory)
    return DESTINATIONS[name](directory)


# ---------------------------------------------------------------- documents to work with


def user(id_: str, **fields: Any) -> Insert:
    return Insert(USERS, {"_id": id_, "type": "user", "active": True} | fields)


def room(id_: str, t: str = "c", **fields: Any) -> Insert:
    return Insert(ROOMS, {"_id": id_, "t": t} | fields)


def subscription(id_: str, rid: str, uid: str) -> Insert:
    return Insert(SUBSCRIPTIONS, {"_id": id_, "rid": rid, "u": {"_id": uid, "username": uid}, "open": True})


def message(
    id_: str, rid: str = "r1", ts: int = 1_672_650_050_123, digest: bytes = b"", **fields: Any
) -> Insert:
    document = {"_id": id_, "rid": rid, "ts": Date.at(ts), "msg": id_, "u": {"_id": "u1"}, "urls": []}
    return Insert(MESSAGES, document | fields, digest)


def change(target: Insert, **how: Any) -> Update:
    return Update(collection=target.collection, id=target.document["_id"], **how)


def bare(document: Document) -> Document:
    """The document without what the destination adds."""
    return {key: value for key, value in document.items() if key != "_updatedAt"}


def stored(destination: Destination, collection: str) -> list[Document]:
    return [decode(line) for line in destination.dump(collection)]


def everything(destination: Destination) -> dict[str, list[Document]]:
    return {c: [bare(document) for document in stored(destination, c)] for c in COLLECTIONS}


def the(destination: Destination, insert: Insert) -> Document:
    """What became of an inserted document."""
    documents = {document["_id"]: bare(document) for document in stored(destination, insert.collection)}
    return documents[insert.document["_id"]]


def ids(documents: Collection[Document]) -> list[str]:
    return sorted(document["_id"] for document in documents)


def updated(destination: Destination, insert: Insert, **how: Any) -> Document:
    """The document after it was inserted and then updated."""
    assert destination.apply([insert, change(insert, **how)]) == []
    return the(destination, insert)


LOGGED_IN = {"resume": {"loginTokens": [{"hashedToken": "hash"}]}}

SOME_OF_EACH: Sequence[Change] = [
    user(
        "u1",
        username="Ada",
        emails=[{"address": "Ada@Example.org", "verified": True}],
        importIds=["U1", "W1"],
    ),
    user("u2", username="ben", roles=["user", "admin"], importIds=["U2"], services=LOGGED_IN),
    Insert(CONTACTS, {"_id": "c1", "name": "Cleo", "importIds": ["7", "x"]}),
    room("r1", name="general", fname="General", default=True, importIds=["C1"]),
    room("r2", t="d", uids=["u2", "u1"], usernames=["Ada", "ben"], importIds=["D1"]),
    room("r3", t="p", name="secret", fname="Secret", default=False),
    subscription("s1", "r1", "u1"),
    subscription("s2", "r1", "u2"),
    subscription("s3", "r2", "u1"),
    message("m1", ts=1000, digest=b"12345678"),
    message("m2", rid="r2", ts=2000, tmid="m1"),
    message("m3", ts=3000),
    Insert(AVATARS, {"_id": "a1", "userId": "u1"}),
    Insert(UPLOADS, {"_id": "f1", "name": "a.txt", "size": 3}),
    Insert(PERMISSIONS, {"_id": "run-import", "roles": ["admin"]}),
    Insert(ORIGINS, {"_id": "csv/csv", "importer": "csv", "name": "csv"}),
    Insert(LINKS, {"_id": "l1", "origin": "csv/csv", "importId": "7", "document": "u1"}),
]


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


def test_a_packed_message_leaves_what_is_stored(destination: Destination) -> None:
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


# ---------------------------------------------------------------- find


FOUND: list[tuple[Lookup, list[str], list[str]]] = [
    (Lookup.USER_ID, ["u1", "u9"], ["u1"]),
    (Lookup.USER_IMPORT_ID, ["W1", "U2"], ["u1", "u2"]),
    (Lookup.USER_IMPORT_ID, ["U1", "W1"], ["u1"]),
    (Lookup.USER_IMPORT_ID, ["u1"], []),
    (Lookup.USER_EMAIL, ["ada@example.ORG"], ["u1"]),
    (Lookup.USERNAME, ["ADA", "ada", "Ben"], ["u1", "u2"]),
    (Lookup.USER_ROLE, ["admin"], ["u2"]),
    (Lookup.USER_ROLE, ["Admin"], []),
    (Lookup.USER_TOKEN, ["hash", "other"], ["u2"]),
    (Lookup.CONTACT_ID, ["c1", "7"], ["c1"]),
    (Lookup.CONTACT_IMPORT_ID, ["7", "x", "c1"], ["c1"]),
    (Lookup.ROOM_ID, ["r1", "r2", "r3"], ["r1", "r2", "r3"]),
    (Lookup.ROOM_IMPORT_ID, ["C1", "D1"], ["r1", "r2"]),
    (Lookup.ROOM_NAME, ["general", "General"], ["r1"]),
    (Lookup.ROOM_NAME, ["GENERAL"], []),
    (Lookup.ROOM_MEMBERS, ["u1,u2"], ["r2"]),
    (Lookup.ROOM_MEMBERS, ["u2,u1", "u1"], []),
    (Lookup.ROOM_DEFAULT, ["true"], ["r1"]),
    (Lookup.SUBSCRIPTION_ROOM, ["r1"], ["s1", "s2"]),
    (Lookup.SUBSCRIPTION_ROOM, ["r1", "r2"], ["s1", "s2", "s3"]),
    (Lookup.MESSAGE_ID, ["m1", "m2", "no"], ["m1", "m2"]),
    (Lookup.UPLOAD_ID, ["f1"], ["f1"]),
    (Lookup.AVATAR_ID, ["a1", "f1"], ["a1"]),
    (Lookup.PERMISSION_ID, ["run-import", "f1"], ["run-import"]),
    (Lookup.ORIGIN_ID, ["csv/csv", "csv/b"], ["csv/csv"]),
    (Lookup.LINK_ID, ["l1", "l2"], ["l1"]),
]


def test_every_lookup_is_tried() -> None:
    assert {lookup for lookup, _, _ in FOUND} == set(Lookup)


@pytest.mark.parametrize(("lookup", "values", "expected"), FOUND)
def test_find_sees_what_apply_wrote(
    destination: Destination, lookup: Lookup, values: list[str], expected: list[str]
) -> None:
    assert destination.find(lookup, values) == []
    destination.apply(SOME_OF_EACH)
    assert ids(destination.find(lookup, values)) == expected
    assert destination.find(lookup, []) == []


def test_find_gives_whole_documents(destination: Destination) -> None:
    destination.apply(SOME_OF_EACH)
    inserts = [insert for insert in SOME_OF_EACH if isinstance(insert, Insert)]
    assert len(inserts) == len(SOME_OF_EACH)
    for insert in inserts:
        assert the(destination, insert) == insert.document
    (ada,) = destination.find(Lookup.USERNAME, ["ada"])
    assert [bare(ada)] == [insert.document for insert in inserts if insert.document["_id"] == ada["_id"]]
    assert isinstance(ada["_updatedAt"], Date)


@pytest.mark.parametrize(
    ("name", "spelling"),
    [("Ärger", "äRGER"), ("Stra\u00dfe", "STRASSE"), ("e\u0301cole", "\u00c9COLE"), ("Οδυσσεύς", "ΟΔΥΣΣΕΎΣ")],
)
def test_case_is_folded_in_every_script(destination: Destination, name: str, spelling: str) -> None:
    address = f"{name}@example.org"
    destination.apply([user("u1", username=name, emails=[{"address": address}])])
    assert ids(destination.find(Lookup.USERNAME, [spelling])) == ["u1"]
    assert ids(destination.find(Lookup.USER_EMAIL, [address.upper()])) == ["u1"]
    assert [rejection.index for rejection in destination.apply([user("u2", username=spelling)])] == [0]


def test_find_follows_updates(destination: Destination) -> None:
    destination.apply(SOME_OF_EACH)
    updates = [
        Update(
            collection=USERS,
            id="u1",
            set={"emails": [{"address": "new@example.org"}]},
            add={"roles": ("bot",)},
        ),
        Update(collection=USERS, id="u2", unset=("importIds",)),
        Update(collection=ROOMS, id="r1", set={"fname": "Everybody"}, unset=("default",)),
        Update(collection=SUBSCRIPTIONS, id="s1", set={"rid": "r3"}),
    ]
    assert destination.apply(updates) == []
    assert destination.find(Lookup.USER_EMAIL, ["ada@example.org"]) == []
    assert ids(destination.find(Lookup.USER_EMAIL, ["New@example.org"])) == ["u1"]
    assert ids(destination.find(Lookup.USER_ROLE, ["bot", "admin"])) == ["u1", "u2"]
    assert destination.find(Lookup.USER_IMPORT_ID, ["U2"]) == []
    assert destination.find(Lookup.ROOM_NAME, ["General"]) == []
    assert ids(destination.find(Lookup.ROOM_NAME, ["Everybody", "general"])) == ["r1"]
    assert destination.find(Lookup.ROOM_DEFAULT, ["true"]) == []
    assert ids(destination.find(Lookup.SUBSCRIPTION_ROOM, ["r1"])) == ["s2"]
    assert ids(destination.find(Lookup.SUBSCRIPTION_ROOM, ["r3"])) == ["s1"]


def test_many_values_and_odd_ones(destination: Destination) -> None:
    odd = ["a\0b", "a'b", 'a"b', "a,b", "🙂", "%", "ä" * 500]
    destination.apply([message(id_, digest=b"12345678") for id_ in odd])
    destination.apply([user(id_, importIds=[id_]) for id_ in odd])
    asked = [*odd, "a", "\ud83d", *(f"m{n}" for n in range(35_000))]
    assert ids(destination.find(Lookup.MESSAGE_ID, asked)) == sorted(odd)
    assert ids(destination.find(Lookup.USER_IMPORT_ID, asked)) == sorted(odd)
    assert destination.digests(asked) == dict.fromkeys(odd, b"12345678")


# ---------------------------------------------------------------- update


def test_update_sets(destination: Destination) -> None:
    how = {
        "name": "Ada",
        "customFields.team.name": "x",
        "services.resume": {"loginTokens": []},
        "at": Date.at(5),
    }
    now = updated(destination, user("u1", name="A", services={"password": {}}), set=how)
    assert now["name"] == "Ada"
    assert now["customFields"] == {"team": {"name": "x"}}
    assert now["services"] == {"password": {}, "resume": {"loginTokens": []}}
    assert now["at"] == Date.at(5)


def test_update_sets_in_items_of_lists(destination: Destination) -> None:
    insert = message("m1", attachments=[{"title": "a"}, {"title": "b"}])
    now = updated(
        destination, insert, set={"attachments.1.title_link": "/b", "attachments.0": {"title": "c"}}
    )
    assert now["attachments"] == [{"title": "c"}, {"title": "b", "title_link": "/b"}]
    assert destination.apply([change(insert, set={"attachments.2.title": "none"})]) != []


def test_update_unsets(destination: Destination) -> None:
    insert = user("u1", bio="x", settings={"a": 1, "b": 2}, name="Ada")
    gone = ("bio", "settings.a", "missing", "missing.deep", "name.first", "settings.b.c")
    now = updated(destination, insert, unset=gone)
    assert now == user("u1", settings={"b": 2}, name="Ada").document


def test_update_adds(destination: Destination) -> None:
    add = {
        "importIds": ("U1", "U2", "U2"),
        "customFields.tags": ("x",),
        "emails": ({"address": "a", "verified": False},),
    }
    insert = user("u1", importIds=["U1"], emails=[{"address": "a", "verified": False}])
    now = updated(destination, insert, add=add)
    assert now["importIds"] == ["U1", "U2"]
    assert now["customFields"] == {"tags": ["x"]}
    assert now["emails"] == [{"address": "a", "verified": False}]


def test_update_takes_tuples_for_lists(destination: Destination) -> None:
    insert = user("u1", pairs=[])
    how = change(insert, set={"pair": ("a", 1)}, add={"pairs": (("a", 1),)}, pull={"rows": ("row", (1, 2))})
    assert destination.apply([insert, change(insert, set={"rows": [{"row": [1, 2]}]}), how, how]) == []
    assert the(destination, insert) == user("u1", pairs=[["a", 1]], rows=[], pair=["a", 1]).document


def test_update_pulls(destination: Destination) -> None:
    tokens = [{"hashedToken": "a", "when": Date.at(1)}, {"hashedToken": "b"}, "odd", {"hashedToken": "a"}]
    insert = user("u1", services={"resume": {"loginTokens": tokens}})
    pull = {
        "services.resume.loginTokens": ("hashedToken", "a"),
        "missing": ("a", 1),
        "missing.deep": ("a", 1),
    }
    now = updated(destination, insert, pull=pull)
    assert now == user("u1", services={"resume": {"loginTokens": [{"hashedToken": "b"}, "odd"]}}).document


def test_update_pulls_several(destination: Destination) -> None:
    rows = [{"k": value} for value in ("a", 1, "b", None, ["c"], "a")]
    insert = user("u1", d=[*rows, "a", {}])
    now = updated(destination, insert, pull={"d": ("k", "a", 1, ["c"])})
    assert now == user("u1", d=[{"k": "b"}, {"k": None}, "a", {}]).document


def test_update_does_all_at_once(destination: Destination) -> None:
    insert = user("u1", a=1, b=2, c=["x"], d=[{"k": 1}, {"k": 2}])
    now = updated(destination, insert, set={"a": 9}, unset=("b",), add={"c": ("y",)}, pull={"d": ("k", 1)})
    assert now == user("u1", a=9, c=["x", "y"], d=[{"k": 2}]).document


def test_a_rejected_update_changes_nothing(destination: Destination) -> None:
    insert = user("u1", name="Ada")
    destination.apply([insert])
    (rejection,) = destination.apply([change(insert, set={"bio": "x", "name.first": "y"})])
    assert isinstance(rejection, Rejection)
    assert the(destination, insert) == insert.document


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
    """Ids that lie side by side, with others `between` them that nobody asked for, in any order."""
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


# ---------------------------------------------------------------- files


def told(document: Document) -> Document:
    """The document without what the destination says about where the bytes are."""
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


# ---------------------------------------------------------------- finish


def finished(destination: Destination, *messages: Insert) -> Document:
    """The room r1 with these messages after `refresh_rooms`."""
    destination.apply([room("r1", name="one"), *messages])
    destination.refresh_rooms(["r1"])
    return the(destination, room("r1"))


def test_finish_makes_counters_true(destination: Destination) -> None:
    destination.apply(SOME_OF_EACH)
    destination.apply([Update(collection=ROOMS, id="r1", set={"msgs": 99, "usersCount": 99})])
    destination.refresh_rooms(["r1", "r2", "r3", "none", "\ud83d"])
    counted = {
        document["_id"]: (document["msgs"], document["usersCount"]) for document in stored(destination, ROOMS)
    }
    assert counted == {"r1": (2, 2), "r2": (1, 1), "r3": (0, 0)}
    assert ids(stored(destination, ROOMS)) == ["r1", "r2", "r3"]


def test_finish_leaves_other_rooms_alone(destination: Destination) -> None:
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


def test_finish_follows_changes(destination: Destination) -> None:
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


def test_finish_leaves_what_is_true(destination: Destination) -> None:
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


# ---------------------------------------------------------------- dump


def test_dump_gives_all_by_id_as_json_lines(destination: Destination) -> None:
    names = ["b", "a", "ä", "Z", "a b", "🙂", "\uffff", "10", "9"]
    destination.apply([message(name, msg="two\nlines \u2028") for name in names])
    lines = list(destination.dump(MESSAGES))
    documents = [json.loads(line) for line in lines]
    assert [document["_id"] for document in documents] == sorted(names)
    assert not any(b"\n" in line for line in lines)
    assert documents[0]["ts"] == {"$date": "2023-01-02T09:00:50.123Z"}
    assert list(destination.dump(USERS)) == []


def test_documents_can_be_changed_while_they_are_dumped(destination: Destination) -> None:
    inserts = [message(f"m{n:03}") for n in range(200)]
    destination.apply(inserts)
    for line in destination.dump(MESSAGES):
        destination.apply(
            [Update(collection=MESSAGES, id=decode(line)["_id"], set={"_id2": decode(line)["_id"]})]
        )
    assert all(document["_id2"] == document["_id"] for document in stored(destination, MESSAGES))


# ---------------------------------------------------------------- lasting


@pytest.mark.parametrize("name", LASTING)
def test_it_survives_reopening(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if name == "mongodb":
        request.getfixturevalue("mongodb")
    first = DESTINATIONS[name](tmp_path)
    first.apply(SOME_OF_EACH)
    first.put_file({"_id": "f2"}, [b"bytes"])
    before = {collection: stored(first, collection) for collection in COLLECTIONS}
    known = first.unique_id()
    first.close()
    second = DESTINATIONS[name](tmp_path)
    assert known and second.unique_id() == known
    assert {collection: stored(second, collection) for collection in COLLECTIONS} == before
    assert ids(second.find(Lookup.USERNAME, ["ADA"])) == ["u1"]
    assert second.digests(["m1"]) == {"m1": b"12345678"}
    assert b"".join(second.read_file("f2")) == b"bytes"
    assert [r.index for r in second.apply([user("u3", username="ada"), user("u3", username="cleo")])] == [0]
    second.close()


# ---------------------------------------------------------------- any changes

few = st.sampled_from
names = few(["ada", "Ada", "ben", "ÄDA", "äda"])
values = few(["ada", "x", 1, True, 2.5, Date.at(1000), ["a"], {"k": "a"}, {"deep": [{"k": 1}]}, "\ud83d"])
fields = few(["name", "fname", "bio", "a", "list", "_hidden", "tshow", "tmid", "default"])
paths = fields | few(["username", "a.b", "a.b.c", "list.0", "rid", "t"])
extras = st.dictionaries(fields, values)
targets = [
    (USERS, "u1"),
    (USERS, "u2"),
    (ROOMS, "r1"),
    (SUBSCRIPTIONS, "r1a"),
    (MESSAGES, "m1"),
    (MESSAGES, "m2"),
]

users = st.builds(
    lambda id_, username, roles, more: user(id_, **more, username=username, roles=roles),
    few(["u1", "u2", "u3"]),
    names,
    st.lists(few(["user", "admin"])),
    extras,
)
rooms = st.builds(
    lambda id_, t, name, more: room(id_, t, **more | {"name": name}),
    few(["r1", "r2", "r3"]),
    few(["c", "p", "d"]),
    names,
    extras,
)
subscriptions = st.builds(
    lambda rid, suffix, uid: subscription(rid + suffix, rid, uid),
    few(["r1", "r2"]),
    few(["a", "b"]),
    few(["u1", "u2"]),
)
messages = st.builds(
    lambda id_, rid, ts, digest, more: Insert(MESSAGES, message(id_, rid, ts).document | more, digest),
    few(["m1", "m2", "m3", "m4"]),
    few(["r1", "r2"]),
    few([0, 1000, 1001]),
    few([b"", b"12345678"]),
    extras,
)
updates = st.builds(
    lambda target, **how: Update(collection=target[0], id=target[1], **how),
    few(targets),
    set=st.dictionaries(paths, values, max_size=2),
    unset=st.lists(paths, max_size=2).map(tuple),
    add=st.dictionaries(paths, st.lists(values, max_size=2).map(tuple), max_size=1),
    pull=st.dictionaries(paths, st.tuples(few(["k"]), values), max_size=1),
    digest=few([b"", b"87654321"]),
)
changes = users | rooms | subscriptions | messages | updates
batches = st.lists(st.lists(changes, max_size=12), max_size=4)


def state(destination: Destination) -> Any:
    """All that can be seen of a destination."""
    asked = ["ada", "äda", "user", "r1", "r2", "true", "m1", "u1"]
    found = {lookup: ids(destination.find(lookup, asked)) for lookup in Lookup}
    return everything(destination), found, destination.digests(["m1", "m2", "m3", "m4"])


def rejected(destination: Destination, batch: Sequence[Change]) -> list[int]:
    return [rejection.index for rejection in destination.apply(batch)]


@given(batches=batches)
@settings(deadline=None, max_examples=60)
def test_any_changes_give_the_same_everywhere(batches: list[list[Change]]) -> None:
    _require_the_same([name for name in DESTINATIONS if name != "mongodb"], batches)


@given(batches=batches)
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changes_give_the_same_in_mongodb(mongodb: None, batches: list[list[Change]]) -> None:
    _require_the_same(["sqlite", "mongodb"], batches)


def _require_the_same(names: Sequence[str], batches: list[list[Change]]) -> None:
    with TemporaryDirectory() as directory:
        first, *others = [DESTINATIONS[name](Path(directory, name)) for name in names]
        for batch in batches:
            expected = rejected(first, batch)
            first.refresh_rooms(["r1", "r2", "r3"])
            for other in others:
                assert rejected(other, batch) == expected
                other.refresh_rooms(["r1", "r2", "r3"])
                assert state(other) == state(first)
        for destination in (first, *others):
            destination.close()


# ---------------------------------------------------------------- memory laid over a base


def _keeps_its_room(change: Change) -> bool:
    """A base cannot be asked for a subscription by its `_id`, so memory laid over it counts on this."""
    how = (*change.set, *change.unset, *change.add) if isinstance(change, Update) else ()
    return change.collection != SUBSCRIPTIONS or "rid" not in how


settled = st.lists(st.lists(changes.filter(_keeps_its_room), max_size=12), max_size=4)


@given(below=settled, above=settled)
@settings(deadline=None, max_examples=100)
def test_laid_over_a_base_memory_shows_both_and_leaves_the_base_alone(
    below: list[list[Change]], above: list[list[Change]]
) -> None:
    base, plain = MemoryDestination(), MemoryDestination()
    for batch in below:
        assert rejected(base, batch) == rejected(plain, batch)
    before = state(base)
    laid_over = MemoryDestination(base)
    for batch in above:
        assert rejected(laid_over, batch) == rejected(plain, batch)
        assert state(laid_over) == state(plain)
    assert state(base) == before


@pytest.fixture
def filled(tmp_path: Path) -> Destination:
    base = _sqlite(tmp_path)
    base.apply(SOME_OF_EACH)
    base.refresh_rooms(["r1", "r2", "r3"])
    base.put_file({"_id": "f2"}, [b"below"])
    return base


def test_laid_over_a_base_memory_counts_on(filled: Destination) -> None:
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


def test_laid_over_a_base_memory_hides_what_it_changed(filled: Destination) -> None:
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


def test_laid_over_a_base_memory_minds_names_of_the_base(filled: Destination) -> None:
    laid_over = MemoryDestination(filled)
    taken: list[Change] = [
        Update(collection=USERS, id="u1", set={"username": "Ben"}),
        Update(collection=ROOMS, id="r1", set={"name": "secret"}),
        user("u9", username="ADA"),
        room("r9", name="secret"),
        subscription("s9", "r1", "u2"),
    ]
    assert rejected(laid_over, taken) == [0, 1, 2, 3, 4]


def test_laid_over_a_base_memory_reads_and_hides_files(filled: Destination) -> None:
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
