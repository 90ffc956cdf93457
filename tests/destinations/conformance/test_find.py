"""What every destination finds and dumps."""

import json
from pathlib import Path

import pytest

from chatferry.destinations import Destination, Lookup
from chatferry.documents import (
    COLLECTIONS,
    MESSAGES,
    ROOMS,
    SUBSCRIPTIONS,
    USERS,
    Date,
    Insert,
    Update,
    decode,
)
from tests.support.destinations import DESTINATIONS, SOME_OF_EACH, bare, ids, message, stored, the, user

LASTING = ["sqlite", "mongodb"]


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


# ---------------------------------------------------------------- dump


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_documents_are_counted(destination: Destination, collection: str) -> None:
    assert destination.count(collection) == 0
    destination.apply(SOME_OF_EACH)
    assert destination.count(collection) == len(list(destination.dump(collection))) > 0


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
