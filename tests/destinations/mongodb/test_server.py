"""Connections to MongoDB: addresses, rights, indexes, and servers that come and go."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chatferry.destinations import Lookup, open_destination
from chatferry.destinations.mongodb.destination import MongoDestination
from chatferry.documents import CONTACTS, MESSAGES, ROOMS, SUBSCRIPTIONS, USERS, Insert, Update, encode
from chatferry.errors import DestinationError, SettingsError
from tests.support.mongo import Mongod, make_indexes
from tests.support.mongo_destination import Db, insert, message, rooms_of


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Mongod]:
    """A server that a test may end."""
    server = Mongod(tmp_path / "mongod")
    server.start()
    yield server
    server.kill()


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
def test_a_wrong_url_is_explained(url: str) -> None:
    kind = DestinationError if BAD_URLS[url] == "does not answer" else SettingsError
    with pytest.raises(kind) as caught:
        open_destination(url)
    assert BAD_URLS[url] in str(caught.value)
    assert "hunter2" not in str(caught.value) and "er2" not in str(caught.value)


def test_a_wrong_password_is_an_error_that_does_not_show_it(mongod: Mongod) -> None:
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


def test_a_write_concern_that_cannot_be_met_is_an_error(mongod: Mongod, database: Db) -> None:
    opened = MongoDestination(mongod.database_url("own") + "&w=3&wtimeoutMS=100")
    with pytest.raises(SettingsError, match=r"check w in the URL|not enough members"):
        opened.apply([Insert(USERS, {"_id": "u1"})])
    with pytest.raises(SettingsError, match=r"check w in the URL|not enough members"):
        insert(opened, message("m1"))
    opened.close()


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


def test_a_server_that_stays_away_is_an_error_until_it_is_back(own_server: Mongod) -> None:
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
