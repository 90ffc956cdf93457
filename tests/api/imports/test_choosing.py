"""Records that were not chosen are not imported, and are counted as skipped."""

from pathlib import Path
from typing import Any

import pytest

from chatferry.documents import MESSAGES, ROOMS, USERS
from tests.support.flows import DONE, SELECTION, in_export, messages_in_export, reported, start_import
from tests.support.serving import ADMIN, documents, login, run_import, serving, upload, wait_for

CHOSEN_USERS = {"U0A100000", "U0A101EEF", "U0A103DDE", "U0A107BBC"}
CHOSEN_CHANNELS = ["design", "dev"]


def chosen_channels() -> set[str]:
    return {entry["id"] for entry in in_export("channels.json") if entry["name"] in CHOSEN_CHANNELS}


def newer_form(selection: dict[str, Any]) -> dict[str, Any]:
    return {
        "users": {"all": False, "list": sorted(CHOSEN_USERS)},
        "channels": {"list": [*sorted(chosen_channels()), "__directMessages__"]},
        "contacts": {"all": True},
        "messages": [],
    }


def older_form(selection: dict[str, Any]) -> dict[str, Any]:
    """Every entry of the selection comes back, with `do_import` as the person left it."""
    wanted = {*CHOSEN_USERS, *chosen_channels(), "__directMessages__"}
    users = [{**user, "do_import": user["user_id"] in wanted} for user in selection["users"]]
    channels = [{**one, "do_import": one["channel_id"] in wanted} for one in selection["channels"]]
    return {"users": users, "channels": channels}


@pytest.mark.parametrize("form", [newer_form, older_form])
def test_records_that_were_not_chosen_are_skipped(form: Any, tmp_path: Path) -> None:
    with serving(tmp_path) as server, login(server) as http:
        id = upload(http)
        wait_for(http, SELECTION)
        start_import(http, {"input": form(http.get("getImportFileData").json())})
        operation = wait_for(http, DONE)
        progress = http.get("getImportProgress").json()["count"]
    assert operation["_id"] == id
    assert progress == {"completed": 331, "total": 331, "error": 0}
    names = {user["name"] for user in in_export("users.json") if user["id"] in CHOSEN_USERS}
    assert {user["username"] for user in documents(tmp_path, USERS)} == {*names, ADMIN, "rocket.cat"}
    rooms = {room["_id"]: room for room in documents(tmp_path, ROOMS)}
    assert sorted(room["name"] for room in rooms.values() if "name" in room) == [*CHOSEN_CHANNELS, "general"]
    assert [room["usernames"] for room in rooms.values() if room["t"] == "d"] == [["ada", "ben"]]
    wanted = {*chosen_channels(), "D0PEER001"}
    expected = {
        id for id, (where, who) in messages_in_export().items() if where in wanted and who in CHOSEN_USERS
    }
    stored = {message["_id"]: message for message in documents(tmp_path, MESSAGES)}
    # Where replies were chosen and their first message was not, a placeholder opens the thread.
    placeholders = stored.keys() - expected
    assert all(stored[id]["u"]["username"] == "rocket.cat" for id in placeholders)
    assert placeholders <= {one["tmid"] for id, one in stored.items() if id in expected and "tmid" in one}
    assert expected <= stored.keys() and len(expected) > 10
    assert_skipped(reported(tmp_path, id), messages=300 - len(stored))


def assert_skipped(found: dict[str, Any], messages: int) -> None:
    for kind, skipped in {"users": 16, "rooms": 8, "messages": messages}.items():
        assert (found[kind]["skipped"], found[kind]["failed"]) == (skipped, 0), kind
    kinds = {problem["kind"] for problem in found["problems"]}
    assert kinds >= {"user-not-selected", "channel-not-selected", "message-channel-not-selected"}


def test_nothing_chosen(tmp_path: Path) -> None:
    with serving(tmp_path) as server, login(server) as http:
        operation = run_import(http, contacts={})
        assert operation["count"]["completed"] == operation["count"]["total"]
    assert {user["username"] for user in documents(tmp_path, USERS)} == {ADMIN, "rocket.cat"}
    assert [room["_id"] for room in documents(tmp_path, ROOMS)] == ["GENERAL"]
    assert documents(tmp_path, MESSAGES) == []
