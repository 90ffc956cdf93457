"""Imports of several origins into one workspace: import ids lead only to documents of their own origin."""

import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from chatferry.documents import LINKS, MESSAGES, ORIGINS, ROOMS, SUBSCRIPTIONS, USERS, Document, Insert
from chatferry.operations import Status
from chatferry.store import Store
from tests.support.hipchat import KEY, hipchat, person
from tests.support.importing import (
    Imported,
    import_archive,
    lasting,
    sqlite_workspace,
    workspace,
    write_folder,
)


def management_csv(folder: Path, *names: str) -> Path:
    return write_folder(
        folder,
        {
            "users.csv": "".join(f'"{name}","{name}@example.org","{name.title()}"\n' for name in names),
            "channels.csv": f'"management","{names[0]}","private","{";".join(names)}"\n',
            "management/messages.csv": f'"{names[0]}","1600000000000","from {names[0]}"\n',
        },
    )


def run(archive: Path, destination: Any, key: str, origin: str = "") -> Imported:
    return import_archive(archive, destination, importer_key=key, origin=origin)


def everything(imported: Imported) -> dict[str, dict[str, Document]]:
    """Return what imports write, but for the room that all new accounts join."""
    found = {name: lasting(imported.by_id(name)) for name in (USERS, ROOMS, SUBSCRIPTIONS, MESSAGES, LINKS)}
    del found[ROOMS]["GENERAL"]
    return found


def members(imported: Imported) -> dict[str, set[str]]:
    """The usernames in each private or direct room, by the room's `_id`."""
    found: dict[str, set[str]] = {one["_id"]: set() for one in imported.documents(ROOMS) if one["t"] != "c"}
    for subscription in imported.documents(SUBSCRIPTIONS):
        if subscription["rid"] in found:
            found[subscription["rid"]].add(subscription["u"]["username"])
    return found


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    return hipchat(tmp_path / "acme", "acme", "Ann", "Bob")


@pytest.fixture
def umbrella(tmp_path: Path) -> Path:
    return hipchat(tmp_path / "umbrella", "umbrella", "Cat", "Dan")


def test_strangers_are_refused_before_anything_is_written(acme: Path, umbrella: Path) -> None:
    first = run(acme, None, KEY)
    before = everything(first)
    second = run(umbrella, first.destination, KEY)
    assert second.operation.status == Status.FAILED
    assert "user 1 is Cat of umbrella <cat@umbrella.example> in the export" in second.operation.error
    assert "give hipchatenterprise as its origin" in second.operation.error
    assert everything(second) == before


def test_strangers_are_kept_apart(acme: Path, umbrella: Path) -> None:
    first = run(acme, None, KEY)
    before = everything(first)
    second = run(umbrella, first.destination, KEY, "umbrella")
    after = everything(second)
    assert second.operation.status == Status.DONE
    assert second.report["messages"]["inserted"] == first.report["messages"]["inserted"] == 3
    for collection in (ROOMS, SUBSCRIPTIONS, MESSAGES):
        assert {id: after[collection][id] for id in before[collection]} == before[collection]
    rooms = sorted(map(sorted, members(second).values()))
    assert rooms == [["ann", "bob"], ["ann", "bob"], ["cat", "dan"], ["cat", "dan"]]
    for message in second.documents(MESSAGES):
        assert message["msg"].startswith(message["u"]["username"].title())
    new = [room for room in second.documents(ROOMS) if room["_id"] not in before[ROOMS]]
    assert all(
        room.get("importIds", ["1"]) == ["1"] or room["t"] == "d" for room in new
    )  # as Rocket.Chat writes them


def test_each_goes_on_with_its_own(acme: Path, umbrella: Path, tmp_path: Path) -> None:
    with sqlite_workspace(tmp_path / "workspace") as destination:
        run(acme, destination, KEY)
        before = everything(run(umbrella, destination, KEY, "umbrella"))
        for archive in (acme, umbrella):  # each from a data directory of its own, and without saying which
            again = run(archive, destination, KEY)
            assert again.operation.status == Status.DONE, again.operation.error
            assert everything(again) == before
            assert again.report["messages"]["unchanged"] == 3
            assert again.report["users"]["unchanged"] == 2


def test_two_private_rooms_of_one_name(tmp_path: Path) -> None:
    first = run(management_csv(tmp_path / "a", "alice", "bob"), None, "csv")
    stranger = management_csv(tmp_path / "b", "carol", "dan")
    refused = run(stranger, first.destination, "csv")
    assert refused.operation.status == Status.FAILED
    assert "channel management is management with 2 members in the export" in refused.operation.error
    second = run(stranger, first.destination, "csv", "b")
    assert sorted(map(sorted, members(second).values())) == [["alice", "bob"], ["carol", "dan"]]


def test_the_same_workspace_after_all(tmp_path: Path) -> None:
    first = run(management_csv(tmp_path / "a", "alice", "bob"), None, "csv")
    second = run(management_csv(tmp_path / "b", "carol", "dan"), first.destination, "csv", "csv")
    assert second.operation.status == Status.DONE
    assert sorted(map(sorted, members(second).values())) == [["alice", "bob", "carol", "dan"]]


def forget_origins(path: Path) -> None:
    """Bring a workspace to the state before origins were kept."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(path)) as db:
        db.executescript("DROP TABLE chatferry_origins; DROP TABLE chatferry_links; PRAGMA user_version = 3;")


def test_a_workspace_that_was_filled_before(acme: Path, umbrella: Path, tmp_path: Path) -> None:
    path = tmp_path / "workspace"
    with sqlite_workspace(path) as destination:
        destination.apply(
            [
                Insert(
                    USERS,
                    {
                        "_id": "native",
                        "username": "x",
                        "roles": ["user"],
                        "emails": [{"address": "bob@acme.example"}],
                    },
                )
            ]
        )
        before = everything(run(acme, destination, KEY))
    forget_origins(path)
    with sqlite_workspace(path) as destination:
        assert run(umbrella, destination, KEY).operation.status == Status.FAILED
        assert run(umbrella, destination, KEY, "umbrella").operation.status == Status.DONE
        again = run(acme, destination, KEY)
        assert again.operation.status == Status.DONE, again.operation.error
        assert again.report["users"]["unchanged"] == 2
        assert again.report["messages"]["unchanged"] == 3
        after = everything(again)
        for collection in (ROOMS, SUBSCRIPTIONS, MESSAGES):
            assert {id: after[collection][id] for id in before[collection]} == before[collection]
        assert after[USERS]["native"]["importIds"] == ["2"]


def slack_user(id: str, name: str, **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "name": name,
        "profile": {"real_name": name.title(), "email": f"{name}@example.org"},
        **more,
    }


def slack(folder: Path, **more: str) -> Path:
    users = [slack_user("U1", "ann", **more), slack_user("U2", "bob", **more)]
    guest = slack_user("U3", "guest", team_id="T9GUESTS")
    message = {"type": "message", "user": "U1", "text": "hello", "ts": "1600000200.000100"}
    return write_folder(
        folder,
        {
            "users.json": [*users, guest],
            "channels.json": [{"id": "C1", "name": "dev", "creator": "U1", "members": ["U1", "U2"]}],
            "dev/2020-09-13.json": [message],
        },
    )


def test_slack_says_which_workspace(tmp_path: Path) -> None:
    first = run(slack(tmp_path / "a", team_id="T1ACME"), None, "slack")
    assert [one["_id"] for one in first.documents(ORIGINS)] == ["slack/T1ACME"]
    # The workspace joins an organisation: it has another name now, and the same people.
    grid = slack(tmp_path / "b", team_id="T1ACME")
    users = [
        {**slack_user(id, name), "team_id": "T1ACME", "enterprise_user": {"enterprise_id": "E1ACME"}}
        for id, name in (("U1", "ann"), ("U2", "bob"))
    ]
    write_folder(grid, {"users.json": users})
    second = run(grid, first.destination, "slack")
    assert second.report["messages"]["unchanged"] == 1
    assert sorted(one["_id"] for one in second.documents(ORIGINS)) == ["slack/E1ACME", "slack/T1ACME"]


def test_another_workspace_of_slack_is_kept_apart_without_asking(tmp_path: Path) -> None:
    first = run(slack(tmp_path / "a", team_id="T1ACME"), None, "slack")
    archive = slack(tmp_path / "b", team_id="T2OTHER")
    write_folder(
        archive,
        {
            "users.json": [
                {**slack_user("U1", "eve"), "team_id": "T2OTHER"},
                {**slack_user("U2", "fox"), "team_id": "T2OTHER"},
            ]
        },
    )
    second = run(archive, first.destination, "slack")
    assert second.operation.status == Status.DONE
    assert second.report["messages"]["inserted"] == 1
    authors = {one["u"]["username"] for one in second.documents(MESSAGES)}
    assert authors == {"ann", "eve"}


def test_a_stranger_with_the_same_username_is_another_person(acme: Path, tmp_path: Path) -> None:
    first = run(acme, None, KEY)
    namesake = hipchat(tmp_path / "other", "other", "Ann", "Eve")
    second = run(namesake, first.destination, KEY, "other")
    assert second.operation.status == Status.DONE
    assert sorted(map(sorted, members(second).values())) == [
        *(["ann", "bob"], ["ann", "bob"], ["ann-1", "eve"], ["ann-1", "eve"]),
    ]


def test_a_person_of_two_workspaces_is_one_account(acme: Path, tmp_path: Path) -> None:
    first = run(acme, None, KEY)
    both = hipchat(tmp_path / "other", "other", "Eve", "Fox")
    write_folder(both, {"users.json": [person(1, "Eve", "other"), person(2, "Bob", "acme")]})
    second = run(both, first.destination, KEY, "other")
    (bob,) = [one for one in second.documents(USERS) if one["username"] == "bob"]
    assert bob["importIds"] == ["2"]
    assert sorted(map(sorted, members(second).values())) == [
        *(["ann", "bob"], ["ann", "bob"], ["bob", "eve"], ["bob", "eve"]),
    ]


def test_files_of_strangers_have_ids_of_their_own(tmp_path: Path) -> None:
    first = run(with_file(tmp_path / "a", "T1ACME", "ann"), workspace(), "slack")
    second = run(with_file(tmp_path / "b", "T2OTHER", "eve"), first.destination, "slack")
    ids = [one["files"][0]["_id"] for one in second.documents(MESSAGES)]
    assert len(ids) == len(set(ids)) == 2


def with_file(folder: Path, team: str, name: str) -> Path:
    file = {"id": "F1", "name": "plan.txt", "url_private_download": "https://files.example.org/F1"}
    message = {"type": "message", "user": "U1", "text": "see", "ts": "1600000200.000100", "files": [file]}
    return write_folder(
        folder,
        {
            "users.json": [slack_user("U1", name, team_id=team)],
            "channels.json": [{"id": "C1", "name": "dev", "creator": "U1", "members": ["U1"]}],
            "dev/2020-09-13.json": [message],
        },
    )


def test_people_and_public_rooms_of_strangers_only_share_their_names(tmp_path: Path) -> None:
    first = run(hipchat(tmp_path / "acme", "acme", "Ann", "Bob", privacy="public"), None, KEY)
    namesakes = hipchat(tmp_path / "other", "other", "Ann", "Bob", first=11, privacy="public")
    second = run(namesakes, first.destination, KEY, "other")
    accounts = {one["username"] for one in second.documents(USERS)}
    assert {"ann", "bob", "ann-1", "bob-1"} <= accounts
    rooms = {one["name"] for one in second.documents(ROOMS) if one["t"] == "c"}
    assert rooms == {"general", "management", "management-1"}


def test_links_of_another_workspace_are_not_taken_for_older_imports(acme: Path, tmp_path: Path) -> None:
    path = tmp_path / "workspace"
    native = {
        "_id": "native",
        "username": "eve",
        "roles": ["user"],
        "emails": [{"address": "eve@other.example"}],
    }
    with sqlite_workspace(path) as destination:
        destination.apply([Insert(USERS, native)])
        run(acme, destination, KEY)
    forget_origins(path)
    grown = hipchat(tmp_path / "grown", "acme", "Ann", "Bob", "Zed")
    with sqlite_workspace(path) as destination:
        run(acme, destination, KEY)
        run(hipchat(tmp_path / "other", "other", "Cat", "Dan", "Eve"), destination, KEY, "other")
        assert run(grown, destination, KEY).operation.status == Status.DONE
        found = run(grown, destination, KEY)
        assert {"eve", "zed"} <= {one["username"] for one in found.documents(USERS)}
        assert found.by_id(USERS)["native"]["importIds"] == ["3"]


def test_the_same_parts_of_another_origin_are_read(tmp_path: Path) -> None:
    message = {"type": "message", "user": "U1", "text": "hello", "ts": "1600000200.000100"}
    files = {
        "users.json": [slack_user("U1", "ann"), slack_user("U2", "bob")],
        "dms.json": [{"id": "D1", "members": ["U1", "U2"], "created": 1600000000}],
        "D1/2020-09-13.json": [message],
    }
    archive = tmp_path / "export.zip"
    with ZipFile(archive, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name, json.dumps(content))
    store = Store()
    first = import_archive(archive, None, store)
    again = import_archive(archive, first.destination, store)
    assert again.report["messages"]["unchanged"] == 1
    other = import_archive(archive, first.destination, store, origin="other")
    assert other.report["messages"]["inserted"] == 1
    ids = sorted(one["_id"] for one in other.documents(MESSAGES))
    assert len(ids) == 2 and len({one["rid"] for one in other.documents(MESSAGES)}) == 1


def test_accounts_of_another_importer_are_not_adopted(acme: Path, tmp_path: Path) -> None:
    path = tmp_path / "workspace"
    users = '"1","one@csv.example","One"\n"2","two@csv.example","Two"\n'
    with sqlite_workspace(path) as destination:
        run(write_folder(tmp_path / "csv", {"users.csv": users}), destination, "csv")
    forget_origins(path)
    with sqlite_workspace(path) as destination:
        found = run(acme, destination, KEY)
        assert found.operation.status == Status.DONE, found.operation.error
        assert found.report["users"]["inserted"] == 2
