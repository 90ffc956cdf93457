"""An import grants only roles that its starter may grant."""

import json
from pathlib import Path
from typing import Any

import pytest

from chatferry import accounts
from chatferry.destinations.memory import MemoryDestination
from chatferry.documents import USERS, Date, Document, Insert
from tests.support.command_line import chatferry
from tests.support.serving import add_users, client, documents, login, serving, upload_body, wait_for

MEMBERS = (
    "username,email,status\nada,ada@example.org,Admin\nrobo,robo@example.org,Bot\nben,b@example.org,Member\n"
)
WORKSPACE = {"chief": ["admin", "user"], "helper": ["bot", "user"], "plain": ["user"], "inactive": ["admin"]}
ALL = {"ada": ["admin", "user"], "robo": ["bot", "user"], "ben": ["user"]}
NO_ADMIN = {**ALL, "ada": ["user"]}
NONE = {name: ["user"] for name in ALL}


@pytest.fixture
def members(tmp_path: Path) -> Path:
    path = tmp_path / "members.csv"
    path.write_text(MEMBERS)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    add_users(tmp_path / "data", WORKSPACE, run_import=("user",))
    return tmp_path / "data"


def roles(data: Path) -> dict[str, list[str]]:
    return {user["username"]: user["roles"] for user in documents(data, USERS) if user["username"] in ALL}


def started(data: Path, members: Path, *options: str, **variables: str) -> dict[str, Any]:
    done = chatferry("import", "slack-users", members, "--data", data, *options, "--json", **variables)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def dropped(found: dict[str, Any]) -> list[str]:
    return [one["reason"] for one in found["problems"] if one["kind"] == "role-not-granted"]


@pytest.mark.parametrize(
    ("starter", "granted"), [("chief", ALL), ("CHIEF", ALL), ("helper", NO_ADMIN), ("plain", NONE)]
)
def test_as_names_the_starter(data: Path, members: Path, starter: str, granted: dict[str, list[str]]) -> None:
    found = started(data, members, "--as", starter)
    (account,) = (user for user in documents(data, USERS) if user["username"] == starter.lower())
    assert found["operation"]["user"] == account["_id"]
    assert roles(data) == granted
    missing = [name for name in ALL if granted[name] != ALL[name]]
    assert [reason.partition(" ")[0] for reason in dropped(found)] == missing


def test_without_it_the_first_active_administrator_starts(data: Path, members: Path) -> None:
    found = started(data, members)
    (chief,) = (user for user in documents(data, USERS) if user["username"] == "chief")
    assert found["operation"]["user"] == chief["_id"]
    assert roles(data) == ALL


def test_a_dry_run_has_the_same_starter(data: Path, members: Path) -> None:
    assert len(dropped(started(data, members, "--dry-run", CHATFERRY_AS="plain"))) == 2
    assert dropped(started(data, members, "--dry-run")) == []
    assert dropped(started(data / "new", members, "--dry-run")) == []


@pytest.mark.parametrize(
    ("starter", "reason"), [("nobody", "no user nobody"), ("inactive", "inactive is deactivated")]
)
def test_a_starter_who_cannot_be(data: Path, members: Path, starter: str, reason: str) -> None:
    for command in (["import", "slack-users", members], ["files"]):
        assert chatferry("pause", "--data", data).returncode == 2  # no operation was begun
        (data / "store.sqlite3").touch()
        done = chatferry(*command, "--data", data, "--as", starter)
        assert (done.returncode, reason in done.stderr) == (2, True)


def admin(id: str, created: int | None, **more: object) -> Insert:
    document: Document = {"_id": id, "username": id, "roles": ["admin"], **more}
    return Insert(USERS, document if created is None else {**document, "createdAt": Date.at(created)})


@pytest.mark.parametrize(
    ("admins", "first"),
    [
        ([admin("b", 50_123), admin("a", 50_000), admin("c", 60_000)], "a"),
        ([admin("b", 5), admin("a", 5)], "a"),
        ([admin("a", 5, active=False), admin("b", 6, active=True)], "b"),
        ([admin("a", 5), admin("b", None)], "b"),  # older than the field
        ([admin("a", 5, active=False)], ""),
        ([], ""),
    ],
)
def test_the_first_administrator(admins: list[Insert], first: str) -> None:
    workspace = MemoryDestination()
    workspace.apply(admins)
    assert (accounts.first_administrator(workspace) or {"_id": ""})["_id"] == first


def test_over_the_api_it_is_who_starts(data: Path, members: Path) -> None:
    """Not who uploaded: somebody else may start what lies there."""
    with serving(data) as server, login(server, "chief", "chief") as chief:
        chief.post("uploadImportFile", json=upload_body(members.read_bytes(), "members.csv", "slack-users"))
        wait_for(chief, "importer_user_selection")
        with login(server, "helper", "helper") as helper:
            helper.post("startImport", json={"input": {"users": {"all": True}}})
        operation = wait_for(chief, "importer_done")
    assert operation["user"] == chief.headers["X-User-Id"]  # who began it, as in Rocket.Chat
    assert roles(data) == NO_ADMIN


def test_users_over_the_api_have_to_pass_both(data: Path) -> None:
    """Both the user who adds them and the user who runs the import must be allowed to grant the role."""
    people = [
        {"emails": [f"{name}@example.org"], "importIds": [name], "username": name, "roles": given}
        for name, given in ALL.items()
    ]
    with serving(data) as server, login(server, "chief", "chief") as chief:
        chief.post("import.new")
        assert chief.post("import.addUsers", json={"users": people}).json() == {"success": True}
        with login(server, "plain", "plain") as plain:
            assert plain.post("import.run").json() == {"success": True}
        wait_for(chief, "importer_done")
    assert roles(data) == NONE


SECOND_FACTORS: list[tuple[dict[str, Any], bool]] = [
    ({"totp": {"enabled": True}}, True),
    ({"totp": {"enabled": False}}, False),
    ({"email2fa": {"enabled": True}}, True),
    ({"email2fa": {"enabled": False}}, False),
]


def test_a_password_alone_opens_no_account_with_a_second_factor(tmp_path: Path) -> None:
    """The token would be good at Rocket.Chat, too."""
    password = {"password": {"bcrypt": accounts.hash_password("secret")}}
    address = [{"address": "x@example.org", "verified": True}]
    from chatferry.destinations.sqlite.destination import SqliteDestination

    workspace = SqliteDestination(tmp_path / "workspace.sqlite3")
    for number, (services, _) in enumerate(SECOND_FACTORS):
        user: Document = {"_id": f"u{number}", "username": f"u{number}", "emails": address}
        workspace.apply([Insert(USERS, {**user, "roles": [], "services": {**services, **password}})])
    workspace.close()
    with serving(tmp_path) as server, client(server) as nobody:
        for number, (_, is_needed) in enumerate(SECOND_FACTORS):
            answer = nobody.post("login", json={"user": f"u{number}", "password": "secret"})
            assert answer.status_code == (401 if is_needed else 200)
            assert (answer.json().get("error") == "totp-required") is is_needed
            wrong = nobody.post("login", json={"user": f"u{number}", "password": "wrong"})
            assert wrong.json()["error"] == "Unauthorized"
    assert all(
        ("resume" in user["services"]) is not SECOND_FACTORS[int(user["_id"][1:])][1]
        for user in documents(tmp_path, USERS)
        if user["_id"].startswith("u")
    )
