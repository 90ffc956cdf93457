"""import.addUsers: fields that are taken, dropped or refused."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from chatferry.documents import USERS, Document
from chatferry.operations import ENDS, Status
from tests.support.paths import GOLDEN
from tests.support.refusals import JSON_TYPE, failure, invalid, refusal
from tests.support.serving import (
    Server,
    add_users,
    client,
    current,
    documents,
    login,
    serving,
    upload,
    wait_for,
)
from tests.support.states import Stand

ADA: dict[str, Any] = {"emails": ["ada@example.org"], "importIds": ["u1"]}
SUCCESS = {"success": True}
NOT_BEGUN = failure("Import operation not initialized.")
BUSY = failure("The current import operation can not receive new data.")
FINISHED = failure("The current import operation is already finished.")
NOT_ALL = failure("Users are missing required data.")
NO_ROLE = failure("One or more of the users have been assigned invalid roles.")


def add(http: httpx.Client, *users: dict[str, Any]) -> httpx.Response:
    return http.post("import.addUsers", json={"users": users})


@pytest.fixture
def fresh(librarian: httpx.Client) -> httpx.Client:
    """Somebody with a new operation."""
    assert librarian.post("import.new").status_code == 200
    return librarian


# ---------------------------------------------------------------- bodies


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "must have required property 'users'"),
        ({"users": {}}, "must be array"),
        ({"users": "ada"}, "must be array"),
        ({"users": [{}]}, "must have required property 'emails'"),
        ({"users": [{"emails": []}]}, "must have required property 'importIds'"),
        ({"users": [{**ADA, "emails": "a"}]}, "must be array"),
        ({"users": [{**ADA, "emails": [{}]}]}, "must be string"),
        ({"users": [{**ADA, "deleted": "x"}]}, "must be boolean"),
        ({"users": [{**ADA, "utcOffset": "x"}]}, "must be number"),
        ({"users": [{**ADA, "roles": "admin"}]}, "must be array"),
        ({"users": [{**ADA, "password": {"$ne": ""}}]}, "must be string"),
        ({"users": [ADA, 5]}, "must be object"),
        ({"users": [], "extra": 1}, "must NOT have additional properties"),
    ],
)
def test_bodies_that_do_not_fit(http: httpx.Client, body: object, reason: str) -> None:
    assert refusal(http.post("import.addUsers", json=body)) == invalid(reason)


@pytest.mark.parametrize(
    "users",
    [
        [{**ADA, "emails": []}],
        [{**ADA, "importIds": []}],
        [{**ADA, "emails": ["", None]}],
        [{**ADA, "importIds": [""]}],
        [ADA, {"emails": [], "importIds": ["u2"]}],
    ],
)
def test_users_without_address_or_id(fresh: httpx.Client, users: list[dict[str, Any]]) -> None:
    before = current(fresh)
    assert refusal(add(fresh, *users)) == NOT_ALL
    assert current(fresh) == before


# ---------------------------------------------------------------- when


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("users", [[ADA], []])
def test_before_the_first_operation(http: httpx.Client, users: list[dict[str, Any]]) -> None:
    assert refusal(add(http, *users)) == NOT_BEGUN


def test_after_it_was_taken_back(fresh: httpx.Client) -> None:
    fresh.post("import.clear")
    assert refusal(add(fresh, ADA)) == NOT_BEGUN


def test_after_its_end(fresh: httpx.Client) -> None:
    add(fresh, ADA)
    fresh.post("import.run")
    wait_for(fresh, "importer_done")
    assert refusal(add(fresh, ADA)) == FINISHED
    fresh.post("uploadImportFile", json={**UPLOAD_THAT_FAILS})
    wait_for(fresh, "importer_import_failed")
    assert refusal(add(fresh, ADA)) == FINISHED


UPLOAD_THAT_FAILS = {
    "binaryContent": "QUJD",
    "contentType": "application/zip",
    "fileName": "x.zip",
    "importerKey": "slack",
}


@pytest.mark.parametrize(
    "status", [status for status in Status if status not in (Status.NEW, Status.SELECTION)]
)
def test_at_every_other_status(librarian: httpx.Client, stand: Stand, status: Status) -> None:
    stand(status)
    before = current(librarian)
    assert refusal(add(librarian, ADA)) == (FINISHED if status in ENDS else BUSY)
    assert current(librarian) == before


@pytest.mark.parametrize("status", list(Status))
def test_taken_back_at_every_status(librarian: httpx.Client, stand: Stand, status: Status) -> None:
    stand(status, valid=False)
    assert refusal(add(librarian, ADA)) == NOT_BEGUN


def test_while_an_archive_is_read_or_imported(tmp_path: Path) -> None:
    """Users can be added to an archive after it was read, not while it is read or imported."""
    with serving(tmp_path) as server, login(server) as http:
        upload(http, GOLDEN)
        answer = add(http, ADA)
        assert refusal(answer) in (BUSY, (200, SUCCESS))  # the worker may be quicker
        wait_for(http, "importer_user_selection")
        assert add(http, {**ADA, "importIds": ["u2"]}).json() == SUCCESS
        users = 20 + (2 if answer.status_code == 200 else 1)
        assert current(http)["count"]["users"] == users
        assert len(http.get("getImportFileData").json()["users"]) == users
        http.post("startImport", json={"input": {"users": {"all": True}, "channels": {"all": True}}})
        assert refusal(add(http, ADA)) in (BUSY, FINISHED)
        count = wait_for(http, "importer_done")["count"]
    assert (count["completed"], count["error"]) == (count["total"], 0)


# ---------------------------------------------------------------- what becomes of them


def test_counts_and_selection(fresh: httpx.Client) -> None:
    assert add(fresh, ADA, {**ADA, "importIds": ["u2"], "username": "ben"}).json() == SUCCESS
    operation = current(fresh)
    assert operation["status"] == "importer_user_selection"
    assert operation["count"] == {"total": 2, "users": 2}
    status = fresh.get("import.status").json()
    assert status == {"state": "ready", "operation": operation, **SUCCESS}
    assert add(fresh, {**ADA, "importIds": ["u3"], "type": "bot", "deleted": True}).json() == SUCCESS
    assert current(fresh)["count"] == {"total": 3, "users": 3}
    user = {"email": "ada@example.org", "do_import": True, "is_email_taken": False}
    assert fresh.get("getImportFileData").json()["users"] == [
        {"user_id": "u1", **user, "is_deleted": False, "is_bot": False},
        {"user_id": "u2", "username": "ben", **user, "is_deleted": False, "is_bot": False},
        {"user_id": "u3", **user, "is_deleted": True, "is_bot": True},
    ]


def test_nobody_added_is_nothing_begun(fresh: httpx.Client) -> None:
    before = current(fresh)
    assert add(fresh).json() == SUCCESS
    assert current(fresh) == before


def test_scalars_are_converted_to_the_type_of_their_field(fresh: httpx.Client) -> None:
    odd = {"emails": [5], "importIds": [1, None], "name": 7, "deleted": "true", "utcOffset": "-3.5"}
    assert add(fresh, {**odd, "roles": None, "username": None, "type": 5}).json() == SUCCESS
    (user,) = fresh.get("getImportFileData").json()["users"]
    assert (user["user_id"], user["email"], user["is_deleted"], user["is_bot"]) == ("1", "5", True, False)


def test_fields_may_be_null(fresh: httpx.Client) -> None:
    names = ("username", "name", "utcOffset", "avatarUrl", "deleted", "statusText", "roles", "type", "bio")
    nothing = dict.fromkeys((*names, "password"))
    assert add(fresh, {**ADA, **nothing}).json() == SUCCESS
    (user,) = fresh.get("getImportFileData").json()["users"]
    assert (user["email"], user["is_deleted"], user["is_bot"]) == ("ada@example.org", False, False)
    assert "username" not in user


HOSTILE = {
    "emails": ["a@b", "\0", "x" * 5000, "'; DROP TABLE users; --"],
    "importIds": ["\0", "../../etc/passwd", "x" * 5000],
    "username": "../\0" + "x" * 5000,
    "name": "\u202e<script>alert(1)</script>",
    "utcOffset": 1e308,
    "avatarUrl": "file:///etc/passwd",
    "statusText": "\ud7ff\uffff",
    "bio": "[" * 10_000,
    "password": "\0" * 1000,
    "type": "admin",
}


def test_hostile_values(library: Server, fresh: httpx.Client) -> None:
    for number in (10**400, -(10**30), 2**63, 2**64):
        body = f'{{"users":[{{"emails":["o@x"],"importIds":["o"],"utcOffset":{number}}}]}}'
        fresh.post("import.addUsers", content=body.encode(), headers=JSON_TYPE)
    assert add(fresh, HOSTILE).json() == SUCCESS
    fresh.post("import.run")
    wait_for(fresh, "importer_done")
    assert not (library.data / "errors.log").exists()
    (user,) = (user for user in documents(library.data, USERS) if "\0" in user.get("importIds", ()))
    assert (user["type"], user["roles"]) == ("user", ["user"])
    assert "utcOffset" not in user


# ---------------------------------------------------------------- who they become


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Document]:
    """Accounts by their first import id, of users whom an administrator and somebody else have added."""
    data = tmp_path_factory.mktemp("added") / "data"
    add_users(data, {"starter": ["starter", "helper"]}, run_import=("starter",))
    with serving(data) as server, login(server) as admin, login(server, "starter", "starter") as starter:
        import_users(admin, [*ADDED, {**ADA, "importIds": ["a1"], "roles": ["admin", "livechat-agent"]}])
        own = {"emails": ["own@example.org"], "importIds": ["s1"], "roles": ["helper", "admin", "user"]}
        import_users(starter, [own])
        with client(server) as nobody:
            ok = nobody.post("login", json={"user": "full", "password": "Sesame, öffne dich"})
            wrong = nobody.post("login", json={"user": "full", "password": "sesame"})
        assert (ok.status_code, wrong.status_code) == (200, 401)
    secrets = [path for path in data.rglob("*") if path.is_file() and SECRET in path.read_bytes()]
    assert secrets == []
    found = {user["importIds"][0]: user for user in documents(data, USERS) if "importIds" in user}
    return {**found, "data": {"path": str(data)}}


SECRET = "Sesame, öffne dich".encode()
ADDED: list[dict[str, Any]] = [
    {
        "emails": ["full@example.org", "", "second@example.org", "full@example.org"],
        "importIds": ["", "f1", "f2", "f1"],
        "username": "full",
        "name": "Full Name",
        "utcOffset": 5.5,
        "avatarUrl": "https://example.org/a.png",
        "deleted": False,
        "statusText": "at work",
        "roles": ["user", "guest", "user"],
        "type": "user",
        "bio": "A life.",
        "password": SECRET.decode(),
        "_id": "chosen-by-the-caller",
        "services": {"password": {"bcrypt": "x"}},
        "customFields": {"a": 1},
        "isAdmin": True,
    },
    {"emails": ["gone@example.org"], "importIds": ["g1"], "deleted": True, "name": "Gone Person"},
    {"emails": ["bot@example.org"], "importIds": ["b1"], "type": "bot", "roles": ["bot"]},
]


def import_users(http: httpx.Client, users: list[dict[str, Any]]) -> None:
    assert http.post("import.new").status_code == 200
    assert add(http, *users).json() == SUCCESS
    assert http.post("import.run").json() == SUCCESS
    while http.get("import.status").json()["state"] != "done":
        pass


def test_known_fields_arrive_and_unknown_ones_are_dropped(imported: dict[str, Document]) -> None:
    user = imported["f1"]
    expected = {
        "username": "full",
        "name": "Full Name",
        "utcOffset": 5.5,
        "_pendingAvatarUrl": "https://example.org/a.png",
        "active": True,
        "statusText": "at work",
        "roles": ["user", "guest"],
        "type": "user",
        "bio": "A life.",
        "importIds": ["f1", "f2"],
        "status": "offline",
    }
    assert {key: user[key] for key in expected} == expected
    assert [email["address"] for email in user["emails"]] == ["full@example.org", "second@example.org"]
    assert user.keys() - expected.keys() == {
        "__rooms",
        "_id",
        "_updatedAt",
        "createdAt",
        "emails",
        "services",
    }
    assert user["_id"] != "chosen-by-the-caller"
    assert user["services"].keys() == {"password", "email2fa", "resume"}
    assert user["services"]["password"]["bcrypt"].startswith("$2b$10$")


def test_users_without_a_password_get_none(imported: dict[str, Document]) -> None:
    assert "password" not in imported["g1"]["services"]
    assert imported["g1"]["active"] is False
    assert (imported["b1"]["type"], imported["b1"]["roles"]) == ("bot", ["bot", "user"])


def test_roles_are_granted_only_by_those_who_may(imported: dict[str, Document]) -> None:
    """Administrators may grant every role, other users only their own."""
    assert imported["a1"]["roles"] == ["admin", "livechat-agent", "user"]
    assert imported["s1"]["roles"] == ["helper", "user"]


@pytest.mark.parametrize("role", ["", "nonsense", "Admin", "admin ", "$ne", "x" * 5000])
def test_roles_that_do_not_exist(fresh: httpx.Client, role: str) -> None:
    before = current(fresh)
    assert refusal(add(fresh, ADA, {**ADA, "roles": ["user", role]})) == NO_ROLE
    assert current(fresh) == before


def test_more_passwords_than_can_be_hashed_in_a_while(fresh: httpx.Client) -> None:
    many = [{**ADA, "importIds": [f"u{number}"], "password": "x"} for number in range(501)]
    status, body = refusal(add(fresh, *many))
    assert (status, body["success"]) == (400, False)
    assert "more than 500 passwords" in body["error"]
