"""Our documents beside those that Rocket.Chat's own importer made of the same export.

Every difference is named here with the decision that explains it; any other fails.
"""

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from chatferry.destinations import Destination
from chatferry.destinations.memory import MemoryDestination
from chatferry.destinations.mongodb.bson_documents import OPTIONS
from chatferry.destinations.mongodb.destination import MongoDestination
from chatferry.documents import MESSAGES, ROOMS, SUBSCRIPTIONS, USERS, Date
from tests.support.importing import Imported, founded, import_archive
from tests.support.mongo import Mongod, make_indexes
from tests.support.paths import GOLDEN_FOLDER

Document = dict[str, Any]


@pytest.fixture(scope="module", params=["memory", "mongodb"])
def imported(request: pytest.FixtureRequest) -> Iterator[Imported]:
    destination: Destination = MemoryDestination()
    if request.param == "mongodb":
        server: Mongod = request.getfixturevalue("mongod")
        with server.client() as client:
            make_indexes(client["golden"], MESSAGES, ROOMS, SUBSCRIPTIONS, USERS)
        destination = MongoDestination(server.database_url("golden"))
    founded(destination)
    yield import_archive(GOLDEN_FOLDER / "input-slack-300.zip", destination)
    destination.close()


@pytest.fixture(scope="module")
def source() -> dict[str, Document]:
    """The export's messages by the id that they get."""
    messages: dict[str, Document] = {}
    with zipfile.ZipFile(GOLDEN_FOLDER / "input-slack-300.zip") as archive:
        rooms = json.loads(archive.read("channels.json")) + json.loads(archive.read("dms.json"))
        ids = {room.get("name", room["id"]): room["id"] for room in rooms}
        for name in archive.namelist():
            if "/" in name and name.endswith(".json"):
                for message in json.loads(archive.read(name)):
                    id = f"slack-{ids[name.split('/')[0]]}-{message['ts'].replace('.', '-')}"
                    messages[id] = message
    return messages


def golden(collection: str) -> list[Document]:
    documents: list[Document] = json.loads((GOLDEN_FOLDER / f"{collection}.json").read_text())
    return documents


class Names:
    """Turns our ids into the placeholders that the golden files use."""

    def __init__(self, imported: Imported) -> None:
        self.users = {user["_id"]: user["username"] for user in imported.documents(USERS)}
        self.rooms = {
            room["_id"]: room.get("name") or "+".join(sorted(room.get("usernames", ())))
            for room in imported.documents(ROOMS)
        }

    def placed(self, value: Any) -> Any:
        if isinstance(value, Date):
            return {"$date": value.ms}
        if isinstance(value, dict):
            return {key: self.placed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.placed(item) for item in value]
        if value in self.users and value != "rocket.cat":
            return f"<UID:{self.users[value]}>"
        return f"<RID:{self.rooms[value]}>" if value in self.rooms and value != "GENERAL" else value


def dated(value: Any) -> Any:
    """Golden dates as milliseconds."""
    if isinstance(value, dict):
        if set(value) == {"$date"}:
            return {"$date": Date(value["$date"]).ms}
        return {key: dated(item) for key, item in value.items() if not _is_volatile(item)}
    return [dated(item) for item in value] if isinstance(value, list) else value


def _is_volatile(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("<VOLATILE")


def without(document: Document, *keys: str) -> Document:
    return {key: value for key, value in document.items() if key not in keys}


def test_users(imported: Imported) -> None:
    names = Names(imported)
    ours = {user["username"]: names.placed(user) for user in imported.documents(USERS)}
    theirs = {user["username"]: dated(user) for user in golden("users")}
    imported_ones = {name for name, user in theirs.items() if "importIds" in user}
    assert {name for name, user in ours.items() if "importIds" in user} == imported_ones
    for name in imported_ones:
        mine, other = without(ours[name], "_updatedAt", "createdAt"), theirs[name]
        # No password is made up: theirs is the hash of time, name and e-mail.
        assert set(other["services"].pop("password")) <= {"bcrypt"}
        assert set(mine["services"]["email2fa"]) == {"enabled", "changedAt"}
        del mine["services"]["email2fa"]["changedAt"]
        for user in (mine, other):
            user["__rooms"].sort()
            user["roles"].sort()
        assert mine == other


def test_rooms(imported: Imported) -> None:
    names = Names(imported)
    ours = {room["_id"]: room for room in map(names.placed, imported.documents(ROOMS))}
    theirs = {room["_id"]: dated(room) for room in golden("rooms")}
    assert ours.keys() == theirs.keys()
    files = dict.fromkeys(theirs, 0)
    for message in golden("messages"):
        files[message["rid"]] += "_importFile" in message
    for id, other in theirs.items():
        mine = without(ours[id], "_updatedAt")
        # Activity: theirs is unset after the import, ours lets room lists sort.
        assert mine.pop("lm")["$date"] == mine.pop("lastMessage")["ts"]["$date"]
        # Files belong to the message they came with: no extra message for each.
        other["msgs"] -= files[id]
        assert mine == other


def test_subscriptions(imported: Imported) -> None:
    names = Names(imported)
    ours = {(s["rid"], s["u"]["_id"]): s for s in map(names.placed, imported.documents(SUBSCRIPTIONS))}
    theirs = {(s["rid"], s["u"]["_id"]): dated(s) for s in golden("subscriptions")}
    assert ours.keys() == theirs.keys()
    for key, other in theirs.items():
        # Times of writing differ from run to run; theirs lacks _updatedAt where it inserted in bulk.
        times = {"_id", "ts", "ls", "_updatedAt"}
        assert without(ours[key], *times) == without(other, *times)
        assert ("ls" in ours[key]) == ("roles" in other)


def test_messages(imported: Imported, source: dict[str, Document]) -> None:
    names = Names(imported)
    ours = {message["_id"]: message for message in map(names.placed, imported.documents(MESSAGES))}
    theirs = {message["_id"]: dated(message) for message in golden("messages")}
    files = {id: theirs.pop(id) for id in list(theirs) if "_importFile" in theirs[id]}
    assert ours.keys() == theirs.keys() == source.keys()
    for id, other in theirs.items():
        mine, given = without(ours[id], "_updatedAt"), source[id]
        for difference in DIFFERENCES:
            difference(mine, other, given)
        _files(mine, [file for file_id, file in files.items() if file_id.startswith(f"{id}-file")], given)
        assert mine == other


# ---------------------------------------------------------------- types


@pytest.mark.parametrize("collection", ["users", "rooms", "subscriptions", "messages"])
def test_values_in_mongodb_have_the_same_bson_types(mongod: Mongod, collection: str) -> None:
    """Of paths that both have: `.u.username`, `.replies[]`. Rocket.Chat's numbers are whole and small."""
    destination = MongoDestination(mongod.database_url("golden-types"))
    import_archive(GOLDEN_FOLDER / "input-slack-300.zip", founded(destination))
    destination.close()
    stored = {"users": USERS, "rooms": ROOMS, "subscriptions": SUBSCRIPTIONS, "messages": MESSAGES}
    with mongod.client() as client:
        database = client.get_database("golden-types", OPTIONS)
        ours = types_of(database[stored[collection]].find())
    theirs = types_of(map(dated, golden(collection)))
    shared = ours.keys() & theirs.keys()
    assert {path: ours[path] for path in shared} == {path: theirs[path] for path in shared}
    assert len(shared) > 0.6 * len(theirs)


def types_of(documents: Iterable[Document]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}

    def walk(value: Any, path: str) -> None:
        kind = "date" if isinstance(value, dict) and set(value) == {"$date"} else type(value).__name__
        found.setdefault(path, set()).add({"DatetimeMS": "date"}.get(kind, kind))
        if kind == "dict":
            for key, item in value.items():
                walk(item, f"{path}.{key}")
        elif kind == "list":
            for item in value:
                walk(item, f"{path}[]")

    for document in documents:
        walk(document, "")
    return found


# ---------------------------------------------------------------- differences


def _milliseconds(mine: Document, other: Document, given: Document) -> None:
    """Time keeps its milliseconds; theirs is cut to the second."""
    exact = int(given["ts"].replace(".", "")) // 1000
    assert mine["ts"]["$date"] == exact
    assert other["ts"]["$date"] == exact // 1000 * 1000
    other["ts"] = mine["ts"]
    if "latest_reply" in given:
        exact = int(given["latest_reply"].replace(".", "")) // 1000
        assert mine["tlm"]["$date"] == exact
        assert other["tlm"]["$date"] == exact // 1000 * 1000
        other["tlm"] = mine["tlm"]


def _reactions(mine: Document, other: Document, given: Document) -> None:
    """All reactions are kept; theirs keeps the last one under the key `name`."""
    if "reactions" not in given:
        return
    last = other.pop("reactions")["name"]["usernames"]
    reactions = mine.pop("reactions")
    assert list(reactions) == [f":{reaction['name']}:" for reaction in given["reactions"]]
    assert reactions[f":{given['reactions'][-1]['name']}:"] == {"usernames": last}


def _bot_names(mine: Document, other: Document, given: Document) -> None:
    """Bot messages carry the bot's display name."""
    if given.get("subtype") == "bot_message":
        assert mine.pop("alias") == given["username"]


def _named_once(mine: Document, other: Document, given: Document) -> None:
    """Keep each mention once: Rocket.Chat's importer repeats them."""
    for name in ("mentions", "channels"):
        if name in other:
            other[name] = list({one["_id"]: one for one in other[name]}.values())


DIFFERENCES: tuple[Callable[[Document, Document, Document], None], ...] = (
    _milliseconds,
    _reactions,
    _bot_names,
    _named_once,
)


def _files(mine: Document, theirs: list[Document], given: Document) -> None:
    """Files are attachments of the message they came with; theirs are messages of their own."""
    if "files" not in given:
        assert not theirs
        return
    listed, cards = mine.pop("files"), mine.pop("attachments")
    assert len(listed) == len(cards) == len(theirs) == len(given["files"])
    for file, card, other, source_file in zip(listed, cards, theirs, given["files"], strict=True):
        assert other["_importFile"]["id"] == source_file["id"]
        assert file["_id"] == card["fileId"]
        assert (file["name"], file["size"]) == (source_file["name"], source_file["size"])
        assert (card["title"], card["type"]) == (source_file["title"], "file")
        # The address, token and all, is in the store alone.
        assert "url_private" not in json.dumps([file, card]) and "http" not in json.dumps([file, card])
