"""Slack's guests: users, users with the role `guest`, or placeholders, in both destinations."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chatferry.destinations import Destination, open_destination
from chatferry.documents import MESSAGES, USERS, Document, Insert, Update
from chatferry.operations import Guests
from tests.support.command_line import chatferry
from tests.support.importing import Imported, founded, import_archive, sqlite_workspace, write_folder
from tests.support.mongo import Mongod, wipe
from tests.support.serving import add_users, documents

GUS: Document = {"id": "U0GUS", "name": "gus", "is_restricted": True}
PEOPLE: list[Document] = [
    {"id": "U0ANN", "name": "ann", "profile": {"email": "ann@example.org"}},
    {**GUS, "profile": {"email": "gus@example.org", "phone": "7", "real_name": "Gus"}},
]
FILES: dict[str, Any] = {
    "users.json": PEOPLE,
    "channels.json": [{"id": "C0", "name": "plans", "creator": "U0ANN", "members": ["U0ANN", "U0GUS"]}],
    "plans/2020-09-13.json": [
        {"type": "message", "user": "U0GUS", "text": "hello", "ts": "1600000200.000100"}
    ],
}
USER, GUEST, SKIP = Guests


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "export", FILES)


@pytest.fixture(params=["sqlite", "mongodb"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Destination]:
    if request.param == "sqlite":
        with sqlite_workspace(tmp_path / "workspace.sqlite3") as embedded:
            yield embedded
        return
    mongod: Mongod = request.getfixturevalue("mongod")
    with mongod.client() as client:
        wipe(client["guests"])
    server = founded(open_destination(mongod.database_url("guests")))
    yield server
    server.close()


def gus(found: Imported) -> Document:
    return next(one for one in found.documents(USERS) if one["username"] == "gus")


def standing(found: Imported) -> tuple[list[str], bool, bool]:
    """The guest's roles, whether the account is active, and whether it has an e-mail address."""
    account = gus(found)
    return account["roles"], account["active"], "emails" in account


def again(export: Path, found: Imported, guests: Guests) -> Imported:
    return import_archive(export, found.destination, found.store, guests=guests)


@pytest.mark.parametrize(
    ("guests", "wanted"),
    [
        (USER, (["user"], True, True)),
        (GUEST, (["guest"], True, True)),
        (SKIP, (["user"], False, False)),
    ],
)
def test_a_guest_becomes_a_user_a_guest_or_a_placeholder(
    export: Path, destination: Destination, guests: Guests, wanted: tuple[list[str], bool, bool]
) -> None:
    found = import_archive(export, destination, guests=guests)
    assert standing(found) == wanted
    assert found.problem_kinds == ["user-is-guest"]
    assert ("phone" in gus(found)) == (guests != SKIP)
    (message,) = found.documents(MESSAGES)
    assert message["u"]["_id"] == gus(found)["_id"]
    second = again(export, found, guests)
    assert second.report["users"] == {**second.report["users"], "unchanged": 2, "inserted": 0, "updated": 0}
    assert standing(second) == wanted


@pytest.mark.parametrize(
    ("first", "then", "wanted"),
    [
        (USER, GUEST, (["guest"], True, True)),
        (GUEST, USER, (["guest"], True, True)),
        (USER, SKIP, (["user"], True, True)),
        (GUEST, SKIP, (["guest"], True, True)),
        (SKIP, USER, (["user"], False, True)),
        (SKIP, GUEST, (["guest"], False, True)),
    ],
)
def test_a_second_import_with_another_choice(
    export: Path, first: Guests, then: Guests, wanted: tuple[list[str], bool, bool]
) -> None:
    """Nobody gets rights because an option was forgotten, and nobody's account is closed."""
    second = again(export, import_archive(export, guests=first), then)
    assert standing(second) == wanted


@pytest.mark.parametrize("change", [{"lastLogin": 1}, {"roles": ["user", "moderator"]}])
def test_accounts_in_use_keep_their_roles(export: Path, change: Document) -> None:
    first = import_archive(export)
    first.destination.apply([Update(collection=USERS, id=gus(first)["_id"], set=change)])
    roles = gus(first)["roles"]
    assert gus(again(export, first, GUEST))["roles"] == roles


def test_a_guest_who_has_an_account_is_no_placeholder(export: Path, destination: Destination) -> None:
    native: Document = {"_id": "native", "type": "user", "username": "gus", "name": "G", "roles": ["user"]}
    native |= {"active": True, "emails": [{"address": "gus@example.org", "verified": True}]}
    destination.apply([Insert(USERS, native)])
    found = import_archive(export, destination, guests=SKIP)
    assert [one["_id"] for one in found.documents(USERS) if one.get("name") in ("G", "Gus")] == ["native"]
    assert standing(found) == (["user"], True, True)
    assert found.documents(MESSAGES)[0]["u"]["_id"] == "native"
    (merged,) = (one for one in found.report["problems"] if one["kind"] == "user-merged-by-email")
    assert merged["reason"].startswith("Gus (U0GUS, gus@example.org) becomes the account gus of G")


def test_the_list_of_members_knows_guests(tmp_path: Path) -> None:
    members = tmp_path / "members.csv"
    rows = ["ann,ann@example.org,Member", "gus,gus@example.org,Single-Channel Guest"]
    members.write_text("\n".join(["username,email,status", *rows, ""]))
    found = import_archive(members, importer_key="slack-users", guests=GUEST)
    roles = {one["username"]: one["roles"] for one in found.documents(USERS) if one.get("importIds")}
    assert roles == {"ann": ["user"], "gus": ["guest"]}


def test_the_command_line_takes_the_choice(export: Path, tmp_path: Path) -> None:
    """Only administrators change the role of an existing account."""
    data = tmp_path / "data"
    add_users(data, {"chief": ["admin", "user"], "plain": ["user"]}, run_import=("user",))
    for starter, guests, told, roles in (
        ("plain", "user", "user-is-guest", ["user"]),
        ("plain", "guest", "gus keeps its role", ["user"]),
        ("chief", "guest", "user-is-guest", ["guest"]),
    ):
        options = ("--data", data, "--as", starter, "--guests", guests)
        assert told in chatferry("import", "slack", export, *options, "-v").stdout
        assert [one["roles"] for one in documents(data, USERS) if one["username"] == "gus"] == [roles]
    refused = chatferry("import", "slack", export, "--data", data, "--guests", "nobody")
    assert refused.returncode == 2
    assert "guest" in refused.stderr
