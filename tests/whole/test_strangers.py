"""Limits of users who may import but are no administrators: over HTTP, into both destinations."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import Struct

from chatferry.destinations import open_destination
from chatferry.documents import MESSAGES, ROOMS, SUBSCRIPTIONS, UPLOADS, USERS, Document, decode
from tests.support import rocketchat
from tests.support.exports import file, message
from tests.support.filehost import FileHost, hosting
from tests.support.hipchat import KEY, hipchat
from tests.support.importing import lasting, write_folder
from tests.support.mongo import Mongod
from tests.support.serving import Server, add_users, client, login, serving, wait_for

PLAN = b"the plan " * 1000


class Place(Struct):
    """A running server, where it imports into, an administrator and somebody who may import."""

    url: str
    host: FileHost
    admin: httpx.Client
    mover: httpx.Client

    def all(self, collection: str) -> dict[str, Document]:
        with closing(open_destination(self.url)) as destination:
            return {one["_id"]: one for one in map(decode, destination.dump(collection))}

    def one(self, collection: str, **fields: Any) -> Document:
        (found,) = [
            one for one in self.all(collection).values() if all(one.get(k) == v for k, v in fields.items())
        ]
        return found

    def people(self, room: str) -> set[str]:
        """The usernames in a room."""
        rid = self.one(ROOMS, name=room)["_id"]
        return {one["u"]["username"] for one in self.all(SUBSCRIPTIONS).values() if one["rid"] == rid}


@pytest.fixture(scope="module")
def host() -> Iterator[FileHost]:
    with hosting() as found:
        found.put("/plan", lambda to: to.whole(PLAN, content_type="text/plain"))
        found.put("/nothing-there", lambda to: to.whole(b"", 404))
        found.put("/other", lambda to: to.whole(b"other bytes", content_type="text/plain"))
        yield found


@pytest.fixture(scope="module", params=["sqlite", "mongodb"])
def place(
    request: pytest.FixtureRequest, host: FileHost, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    data = tmp_path_factory.mktemp(f"strangers-{request.param}") / "data"
    settings = {"CHATFERRY_IMPORT_DIRS": "/", "CHATFERRY_DOWNLOAD_HOSTS": host.name}
    if request.param == "sqlite":
        add_users(data, {"mover": ["user", "mover"]}, run_import=("mover",))
        url = f"sqlite:{data / 'workspace.sqlite3'}"
        with (
            serving(data, **settings) as server,
            login(server) as admin,
            login(server, "mover", "mover") as mover,
        ):
            yield Place(url, host, admin, mover)
        return
    mongod: Mongod = request.getfixturevalue("mongod")
    with mongod.client() as mongo:
        rocketchat.seed(mongo.strangers)
        url = mongod.database_url("strangers")
        with (
            serving(data, "--destination", url, **settings) as server,
            as_user(server, rocketchat.ROOT, "root") as admin,
            as_user(server, rocketchat.MOVER, "mover") as mover,
        ):
            yield Place(url, host, admin, mover)
        mongo.drop_database("strangers")


def as_user(server: Server, id: str, name: str) -> httpx.Client:
    return client(server, id, rocketchat.token(name))


def prepare(http: httpx.Client, archive: Path, key: str = "slack") -> None:
    answer = http.post("downloadPublicImportFile", json={"fileUrl": str(archive), "importerKey": key})
    assert answer.status_code == 200, answer.text
    wait_for(http, "importer_user_selection")


def start(http: httpx.Client, **input: Any) -> httpx.Response:
    return http.post(
        "startImport", json={"input": {"users": {"all": True}, "channels": {"all": True}, **input}}
    )


def run(http: httpx.Client, archive: Path, key: str = "slack", **input: Any) -> None:
    prepare(http, archive, key)
    answer = start(http, **input)
    assert answer.status_code == 200, answer.text
    wait_for(http, "importer_done")


def user(id: str, name: str, email: str = "", **profile: Any) -> dict[str, Any]:
    return {"id": id, "name": name, "profile": {**({"email": email} if email else {}), **profile}}


def group(id: str, name: str, *members: str) -> dict[str, Any]:
    return {"id": id, "name": name, "members": list(members), "creator": members[0], "created": 1600000000}


def email_of(http: httpx.Client) -> str:
    return str(http.get("me").json()["email"])


@pytest.fixture(scope="module")
def filled(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An administrator has imported a private group with a file, and somebody without an e-mail address."""
    archive = write_folder(
        tmp_path_factory.mktemp("filled") / "export",
        {
            "users.json": [user("UALICE001", "alice", "alice@acme.example"), user("UNOMAIL01", "nomail")],
            "groups.json": [group("G0BOARD01", "board", "UALICE001")],
            "board/2020-09-13.json": [message(1, file("F0PLAN001", place.host.url("/plan"), "plan.txt"))],
        },
    )
    run(place.admin, archive)
    assert place.admin.post("downloadPendingFiles", json={}).status_code == 200
    wait_for(place.admin, "importer_done")
    return place


def hostile(folder: Path, place: Place, **files: Any) -> Path:
    """An export whose users are the mover and, by import id, people who are there."""
    users = [
        user("UMOVER001", "mover", email_of(place.mover)),
        user("UALICE001", "alice", "alice@acme.example"),
        user("UNOMAIL01", "nomail", "mine@evil.example", title="x") | {"deleted": True},
    ]
    return write_folder(folder, {"users.json": users, **files})


def test_nobody_imports_himself_into_a_private_group(filled: Place, tmp_path: Path) -> None:
    before = filled.people("board")
    archive = hostile(
        tmp_path, filled, **{"groups.json": [group("G0BOARD01", "board", "UMOVER001", "UALICE001")]}
    )
    run(filled.mover, archive)
    assert filled.people("board") == before == {"alice"} | (before - {"alice"})
    assert "mover" not in before
    # The kind of room that the export claims changes nothing.
    for kind, name in (("channels.json", "board"), ("mpims.json", "mpdm-board")):
        claim = hostile(
            tmp_path / kind, filled, **{kind: [group("G0BOARD01", name, "UMOVER001", "UALICE001")]}
        )
        run(filled.mover, claim)
        assert filled.people("board") == before


def test_nobody_takes_an_account_over(filled: Place, tmp_path: Path) -> None:
    run(
        filled.mover, hostile(tmp_path, filled, **{"channels.json": [group("C0NEW0001", "new", "UMOVER001")]})
    )
    account = filled.one(USERS, username="nomail")
    assert "emails" not in account
    assert account["active"] is True


def with_files(folder: Path, place: Place, *files: dict[str, Any]) -> Path:
    return hostile(
        folder,
        place,
        **{
            "groups.json": [group("G0MINE001", "mine", "UMOVER001")],
            "mine/2020-09-13.json": [
                message(number, one, user="UMOVER001") for number, one in enumerate(files, 10)
            ],
        },
    )


def link(place: Place) -> str:
    upload = place.one(UPLOADS, name="plan.txt")
    return f"/file-upload/{upload['_id']}/plan.txt"


def read(place: Place) -> int:
    """Return the answer to the mover's request for the stored file."""
    root = str(place.mover.base_url).removesuffix("/api/v1/")
    return place.mover.get(f"{root}{link(place)}").status_code


def test_nobody_opens_a_stored_file_to_a_room_of_his_own(filled: Place, tmp_path: Path) -> None:
    before = lasting(filled.one(UPLOADS, name="plan.txt"))
    for url in ("/nothing-there", "/other"):  # without the bytes, and with others in their place
        run(
            filled.mover,
            with_files(tmp_path / url[1:], filled, file("F0PLAN001", filled.host.url(url), "plan.txt")),
        )
        assert read(filled) == 403
        assert filled.mover.post("downloadPendingFiles", json={}).status_code == 200
        wait_for(filled.mover, "importer_done")
        assert read(filled) == 403
        assert lasting(filled.one(UPLOADS, name="plan.txt")) == before
        (mine,) = [one for one in filled.all(MESSAGES).values() if one["msg"] == "message 10"]
        assert "title_link" not in mine["attachments"][0]
    # Whoever has the bytes may show them.
    run(
        filled.mover,
        with_files(tmp_path / "plan", filled, file("F0PLAN001", filled.host.url("/plan"), "plan.txt")),
    )
    assert filled.mover.post("downloadPendingFiles", json={}).status_code == 200
    wait_for(filled.mover, "importer_done")
    assert read(filled) == 200


def test_a_stranger_is_asked_and_kept_apart(place: Place, tmp_path: Path) -> None:
    run(place.admin, hipchat(tmp_path / "acme", "acme", "Ann", "Bob"), KEY)
    collections = (USERS, ROOMS, SUBSCRIPTIONS, MESSAGES)
    before = {name: place.all(name) for name in collections}
    prepare(place.mover, hipchat(tmp_path / "umbrella", "umbrella", "Cat", "Eve"), KEY)
    answer = start(place.mover)
    assert answer.status_code == 400
    assert "[error-import-origin]" in answer.json()["error"]
    assert "ann@acme.example" not in answer.json()["error"]  # it is not the starter's to know
    assert {name: place.all(name) for name in collections} == before
    assert start(place.mover, origin="a b").status_code == 400
    assert start(place.mover, origin="umbrella").status_code == 200
    wait_for(place.mover, "importer_done")
    after = {name: place.all(name) for name in collections}
    for name in (SUBSCRIPTIONS, MESSAGES):
        assert {id: after[name][id] for id in before[name]} == before[name]
    new = [one for id, one in after[MESSAGES].items() if id not in before[MESSAGES]]
    assert {one["u"]["username"] for one in new} == {"cat", "eve"}
    old_rooms = {one["rid"] for one in before[SUBSCRIPTIONS].values()}
    joined = [one for id, one in after[SUBSCRIPTIONS].items() if id not in before[SUBSCRIPTIONS]]
    private = {id for id, room in after[ROOMS].items() if room["t"] != "c"}
    assert not [one for one in joined if one["rid"] in old_rooms & private]
