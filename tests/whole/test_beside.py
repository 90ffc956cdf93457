"""Beside a Rocket.Chat server: on its database, with its users' tokens, and without disturbing anybody."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import httpx
import pytest
from msgspec import Struct
from pymongo.database import Database

from chatferry.ids import hash_token
from tests.support import rocketchat
from tests.support.command_line import chatferry
from tests.support.importing import write_folder
from tests.support.mongo import Mongod
from tests.support.rocketchat import (
    ADA,
    BEN,
    CELLAR,
    DIRECT,
    GENERAL,
    MOVERS,
    PASSWORD,
    ROOT,
    TOWN,
    VAULT,
    token,
)
from tests.support.serving import NOT_ALLOWED, UNAUTHORIZED, Server, client, latest, login, serving, wait_for

Document = dict[str, Any]
MESSAGES, SUBSCRIPTIONS, ROOMS = "rocketchat_message", "rocketchat_subscription", "rocketchat_room"
DIGESTS = "chatferry_message_digests"
OWN = {DIGESTS, "chatferry_links", "chatferry_origins", "chatferry_leases"}


@pytest.fixture(scope="module")
def database(mongod: Mongod) -> Iterator[Database[Document]]:
    with mongod.client() as mongo:
        rocketchat.seed(mongo.beside)
        yield mongo.beside
        mongo.drop_database("beside")


@pytest.fixture(scope="module")
def server(
    mongod: Mongod, database: Database[Document], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("beside") / "data"
    url = mongod.database_url("beside")
    with serving(data, "--destination", url, CHATFERRY_IMPORT_DIRS="/") as running:
        yield running


def as_user(server: Server, name: str, secret: str = "") -> httpx.Client:
    return client(server, f"{name}{'x' * 17}"[:17], secret or token(name))


class Import(Struct):
    """The database before and after an import, and its report."""

    before: rocketchat.Contents
    after: rocketchat.Contents
    indexes_before: Document
    indexes_after: Document
    report: Document

    def old(self, collection: str, id: str) -> Document:
        return bson.decode(self.before[collection][id])

    def new(self, collection: str, id: str) -> Document:
        return bson.decode(self.after[collection][id])

    def inserted(self, collection: str) -> list[Document]:
        new = self.after[collection].keys() - self.before.get(collection, {}).keys()
        return [self.new(collection, id) for id in new]

    def changed(self, collection: str) -> dict[Any, set[str]]:
        """Return the documents of which a byte changed, with the fields that differ."""
        found = {}
        for id, raw in self.before[collection].items():
            if self.after[collection][id] != raw:
                old, new = bson.decode(raw), self.new(collection, id)
                assert list(old) == [key for key in new if key in old]  # nothing is gone or in another place
                found[id] = {key for key in new if key not in old or old[key] != new[key]}
        return found

    def in_room(self, rid: str) -> list[Document]:
        return [one for one in self.inserted(MESSAGES) if one["rid"] == rid]

    def joined(self, rid: str) -> list[str]:
        return sorted(one["u"]["username"] for one in self.inserted(SUBSCRIPTIONS) if one["rid"] == rid)


def person(id: str, name: str, email: str, **more: Any) -> Document:
    return {"id": id, "name": name, "profile": {"email": email}, **more}


def said(user: str, text: str, second: int) -> Document:
    return {"type": "message", "user": user, "text": text, "ts": f"{1_700_000_000 + second}.000100"}


def channel(id: str, name: str, *members: str, **more: Any) -> Document:
    return {
        "id": id,
        "name": name,
        "created": 1_600_000_000,
        "creator": "U1",
        "members": list(members),
        **more,
    }


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    everybody = ["U1", "U2", "U3"]
    return write_folder(
        tmp_path_factory.mktemp("export"),
        {
            "users.json": [
                person("U1", "ada.l", "ADA@example.org", is_admin=True, deleted=True),
                person("U2", "benny", "BEN@example.org", real_name="Somebody Else"),
                person("U3", "cleo", "cleo@example.org"),
            ],
            "channels.json": [
                channel("C1", "general", *everybody, is_general=True),
                channel("C2", "town", *everybody),
                channel("C3", "vault", *everybody),
            ],
            "groups.json": [channel("G1", "cellar", "U1", "U3")],
            "dms.json": [{"id": "D1", "created": 1_600_000_000, "members": ["U1", "U2"]}],
            "general/2023-11-14.json": [said("U1", "from Slack", 1), said("U3", "me too", 2)],
            "town/2023-11-14.json": [said("U2", "full", 3), said("U3", "<@U1>, <!channel>: look", 4)],
            "vault/2023-11-14.json": [said("U3", "no secret", 5)],
            "cellar/2023-11-14.json": [said("U3", "another cellar", 6)],
            "D1/2023-11-14.json": [said("U1", "an old lunch", 7), said("U2", "was good", 8)],
        },
    )


@pytest.fixture(scope="module")
def imported(server: Server, database: Database[Document], export: Path) -> Import:
    """Imported over the API with an administrator's token; everything before and after."""
    before, indexes = rocketchat.contents(database), rocketchat.indexes(database)
    with as_user(server, "root") as root:
        answer = root.post("downloadPublicImportFile", json={"fileUrl": str(export), "importerKey": "slack"})
        assert answer.json() == {"success": True}
        wait_for(root, "importer_user_selection")
        everything = {"users": {"all": True}, "channels": {"all": True}}
        assert root.post("startImport", json={"input": everything}).json() == {"success": True}
        wait_for(root, "importer_done")
    report = json.loads(chatferry("report", "--data", server.data, "--json").stdout)
    return Import(before, rocketchat.contents(database), indexes, rocketchat.indexes(database), report)


# ---------------------------------------------------------------- who may come in


def test_tokens_of_rocketchats_users(server: Server) -> None:
    for secret in ("root", "personal", "old of root"):  # Rocket.Chat itself removes tokens that have expired
        known = rocketchat.personal_token("root") if secret == "personal" else secret
        with as_user(server, "root", token("root") if secret == "root" else known) as root:
            assert root.get("importers.list").status_code == 200
            me = root.get("me").json()
            assert (me["username"], me["roles"], me["email"]) == (
                "root",
                ["admin", "user"],
                "root@example.org",
            )
    for name in ("dan", "ada"):
        with as_user(server, name) as plain:
            answer = plain.get("importers.list")
            assert (answer.status_code, answer.json()) == (403, NOT_ALLOWED)
            assert plain.get("me").json()["username"] == name
    with as_user(server, "mover") as mover:  # a role of their own making has the permission
        assert mover.get("importers.list").status_code == 200
        assert mover.get("getLatestImportOperations").status_code == 403


def test_revoked_tokens_and_roles_end_at_once(server: Server, database: Database[Document]) -> None:
    """A token, and a role, although permissions are remembered."""
    entry = {"hashedToken": hash_token("for a moment"), "when": datetime.now(UTC)}
    root, tokens = {"_id": ROOT}, "services.resume.loginTokens"
    database["users"].update_one(root, {"$push": {tokens: entry}})
    with client(server, root["_id"], "for a moment") as http:
        assert http.get("importers.list").status_code == 200
        database["users"].update_one(root, {"$pull": {tokens: {"hashedToken": entry["hashedToken"]}}})
        assert http.get("importers.list").status_code == 401
    mover = database["users"].find_one({"username": "mover"}) or {}
    with as_user(server, "mover") as http:
        assert http.get("importers.list").status_code == 200
        database["users"].update_one({"_id": mover["_id"]}, {"$set": {"roles": ["user"]}})
        assert http.get("importers.list").status_code == 403
        database["users"].update_one({"_id": mover["_id"]}, {"$set": {"roles": mover["roles"]}})


@pytest.mark.parametrize(
    ("user", "secret"),
    [
        ("gonexxxxxxxxxxxxx", token("gone")),  # deactivated
        ("gonexxxxxxxxxxxxx", rocketchat.personal_token("gone")),
        ("rootxxxxxxxxxxxxx", token("dan")),
        ("rootxxxxxxxxxxxxx", ""),
        ("noTokensAtAll1234", "x"),
        ("rocket.cat", "x"),
        ("nobody", "x"),
        ("$ne", "$ne"),
    ],
)
def test_everybody_else_is_refused_in_the_same_words(server: Server, user: str, secret: str) -> None:
    with client(server, user, secret) as http:
        answer = http.get("importers.list")
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)


def test_roles_are_known_by_their_ids(server: Server) -> None:
    person = {"emails": ["new@example.org"], "importIds": ["n1"]}
    with as_user(server, "root") as root:
        root.post("import.new")
        for role, is_known in ((MOVERS, True), ("bot", True), ("movers", False)):
            answer = root.post("import.addUsers", json={"users": [{**person, "roles": [role]}]})
            assert (answer.status_code == 200) is is_known
        root.post("import.clear")


def test_log_in_and_out_leave_all_but_the_token_alone(server: Server, database: Database[Document]) -> None:
    def stored() -> Document:
        found = database.users.find_one({"username": "dan"})
        assert found
        return found

    before = stored()
    with login(server, "dan", PASSWORD) as dan:
        during = stored()
        tokens = during["services"]["resume"]["loginTokens"]
        assert tokens[:-1] == before["services"]["resume"]["loginTokens"]
        assert sorted(tokens[-1]) == ["hashedToken", "when"]
        assert dan.get("me").status_code == 200
        assert dan.post("logout").status_code == 200
    assert {**stored(), "_updatedAt": 0} == {**before, "_updatedAt": 0}


# ---------------------------------------------------------------- what an import does


def test_the_import_is_whole(imported: Import) -> None:
    counts = {kind: imported.report[kind] for kind in ("users", "rooms", "messages")}
    assert {kind: (one["read"], one["failed"], one["skipped"]) for kind, one in counts.items()} == {
        "users": (3, 0, 0),
        "rooms": (5, 0, 0),
        "messages": (8, 0, 0),
    }
    assert len(imported.inserted(MESSAGES)) == 8


def test_accounts_only_get_links(imported: Import) -> None:
    """Links are added to them, and nothing else changes: no password, role, e-mail, name or status."""
    assert imported.changed("users") == {
        ADA: {"importIds", "__rooms", "_updatedAt"},
        BEN: {"importIds", "__rooms", "_updatedAt"},
    }
    assert (imported.new("users", ADA)["importIds"], imported.new("users", BEN)["importIds"]) == (
        ["U1"],
        ["U2"],
    )
    (cleo,) = imported.inserted("users")
    assert (cleo["username"], cleo["roles"]) == ("cleo", ["user"])
    assert "password" not in cleo["services"]


def test_the_public_room_of_the_same_name_gains_members_and_messages(imported: Import) -> None:
    assert imported.joined(TOWN) == ["ben", "cleo"]
    assert [one["msg"] for one in sorted(imported.in_room(TOWN), key=lambda one: one["ts"])] == [
        "full",
        "@ada, @all: look",
    ]
    room = imported.new(ROOMS, TOWN)
    assert (room["msgs"], room["usersCount"], room["importIds"]) == (3, 3, ["C2"])
    assert room["lastMessage"]["_id"] == "m3" * 8  # what people have said since is newer
    assert (room["topic"], room["u"]["_id"]) == ("All about town", ROOT)
    assert [one["u"]["username"] for one in imported.in_room(GENERAL)] != []


@pytest.mark.parametrize(("rid", "name", "type_"), [(VAULT, "vault", "c"), (CELLAR, "cellar", "p")])
def test_the_private_room_of_the_same_name_does_not(
    imported: Import, rid: str, name: str, type_: str
) -> None:
    assert imported.in_room(rid) == []
    assert imported.joined(rid) == []
    assert imported.after[ROOMS][rid] == imported.before[ROOMS][rid]
    (other,) = (room for room in imported.inserted(ROOMS) if room.get("fname") == name)
    assert (other["name"], other["t"], other["msgs"]) == (f"{name}-1", type_, 1)


def test_direct_messages_land_where_the_two_already_talk(imported: Import) -> None:
    assert sorted(one["msg"] for one in imported.in_room(DIRECT)) == ["an old lunch", "was good"]
    assert not [room for room in imported.inserted(ROOMS) if room["t"] == "d"]
    assert imported.joined(DIRECT) == []
    assert imported.new(ROOMS, DIRECT)["msgs"] == 3


def test_nobody_finds_anything_unread(imported: Import) -> None:
    assert imported.changed(SUBSCRIPTIONS) == {}  # `unread`, `alert`, `ls` and all the rest
    for one in imported.inserted(SUBSCRIPTIONS):
        is_welcome = one["rid"] == GENERAL and one["u"]["username"] == "cleo"  # as for every new user
        assert (one["unread"], one["alert"]) == (1, True) if is_welcome else (0, False)


def test_nothing_else_changes(imported: Import) -> None:
    assert imported.changed(MESSAGES) == {}
    rooms = imported.changed(ROOMS)
    assert rooms.keys() == {GENERAL, TOWN, DIRECT}
    counters = {"importIds", "msgs", "usersCount", "lm", "lastMessage", "ts", "_updatedAt"}
    assert set().union(*rooms.values()) <= counters
    concerned = {"users", ROOMS, SUBSCRIPTIONS, MESSAGES}
    assert imported.after.keys() - imported.before.keys() == OWN
    for collection in imported.before.keys() - concerned:
        assert imported.after[collection] == imported.before[collection], collection
    own = {name: found for name, found in imported.indexes_after.items() if name not in OWN}
    assert own == imported.indexes_before


def test_importing_again_changes_nothing(
    server: Server, database: Database[Document], imported: Import, export: Path
) -> None:
    with as_user(server, "root") as root:
        root.post("downloadPublicImportFile", json={"fileUrl": str(export), "importerKey": "slack"})
        wait_for(root, "importer_user_selection")
        root.post("startImport", json={"input": {"users": {"all": True}, "channels": {"all": True}}})
        wait_for(root, "importer_done")
    assert rocketchat.contents(database) == imported.after


# ---------------------------------------------------------------- its history


def test_rocketchats_own_imports_follow_ours(server: Server, imported: Import) -> None:
    with as_user(server, "root") as root:
        listed = latest(root)
    own = [
        one
        for one in listed
        if one["importerKey"] in ("slack", "api") and one["status"] != "importer_archived_step"
    ]
    recorded = listed[len(own) :]
    assert imported.report["operation"]["_id"] in {one["_id"] for one in own}
    assert recorded == [
        {
            "_id": "64d69545ee8ae821983005f5",
            "type": "CSV",
            "importerKey": "csv",
            "ts": 1714979289123,
            "status": "importer_done",
            "valid": False,
            "user": ROOT,
            "_updatedAt": "2024-05-06T07:08:09.123Z",
            "contentType": "application/zip",
            "file": "20244679_root_x.zip",
            "count": {"completed": 5, "total": 5, "users": 2},
        },
        {
            "_id": "2nVbvsnKJD9ZAqw38",
            "type": "Slack",
            "importerKey": "slack",
            "ts": 1600000000123,
            "status": "importer_archived_step",
            "valid": True,
            "user": ROOT,
            "_updatedAt": "2020-09-13T12:26:40.123Z",
        },
        {
            "_id": "5f0000000000000000000000",
            "type": "HipChat",
            "importerKey": "HipChat",
            "ts": 0,
            "status": "",
            "valid": False,
            "user": "",
            "_updatedAt": "1970-01-01T00:00:00.000Z",
        },
    ]


def test_there_are_twenty_at_most(mongod: Mongod, tmp_path: Path) -> None:
    with mongod.client() as mongo:
        rocketchat.seed(mongo.beside_history)
        mongo.beside_history.rocketchat_import.insert_many(
            [{"_id": f"import{n}", "type": "CSV", "ts": float(n)} for n in range(30)]
        )
        url = mongod.database_url("beside_history")
        with serving(tmp_path, "--destination", url) as server, as_user(server, "root") as root:
            assert [one["_id"] for one in latest(root)][:3] == [
                "64d69545ee8ae821983005f5",
                "2nVbvsnKJD9ZAqw38",
                "import29",
            ]
            assert len(latest(root)) == 20
            for _ in range(19):
                root.post("import.new")
            assert [one["importerKey"] for one in latest(root)] == ["api"] * 19 + ["csv"]
        mongo.drop_database("beside_history")


# ---------------------------------------------------------------- the command line


def test_the_command_line_works_in_the_name_of_the_first_administrator(
    mongod: Mongod, export: Path, tmp_path: Path
) -> None:
    with mongod.client() as mongo:
        rocketchat.seed(mongo.beside_cli)
        before = rocketchat.contents(mongo.beside_cli)
        arguments = ("import", "slack", export, "--data", tmp_path, "--json", "--destination")
        url = mongod.database_url("beside_cli")
        dry = chatferry(*arguments, url, "--dry-run")
        assert json.loads(dry.stdout)["messages"]["inserted"] == 8, dry.stderr
        assert rocketchat.contents(mongo.beside_cli) == before
        refused = chatferry(*arguments, url, "--as", "gone")
        assert (refused.returncode, "gone is deactivated" in refused.stderr) == (2, True)
        done = chatferry(*arguments, url)
        assert json.loads(done.stdout)["operation"]["user"] == ROOT  # "gone" is older, and deactivated
        assert json.loads(done.stdout)["messages"]["inserted"] == 8
        assert mongo.beside_cli.rocketchat_message.count_documents({}) == 14
        mongo.drop_database("beside_cli")


def test_nothing_is_founded_in_a_database_without_users(mongod: Mongod, tmp_path: Path, export: Path) -> None:
    url = mongod.database_url("beside_nothing")
    for command in (
        ["import", "slack", export],
        ["serve", "--port", "0"],
        ["token", "--user", "x"],
        ["files"],
    ):
        done = chatferry(*command, "--data", tmp_path, "--destination", url)
        assert done.returncode == 2, done.stderr
        assert "The database beside_nothing holds no users" in done.stderr
    with mongod.client() as mongo:
        assert "beside_nothing" not in mongo.list_database_names()
