"""startImport: bodies, in both forms, what they choose, and when nothing can be started."""

from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from chatferry.documents import USERS
from chatferry.operations import Status
from tests.support.golden import write_zip
from tests.support.refusals import action_error, call, invalid, refusal
from tests.support.serving import Server, current, documents, upload, wait_for
from tests.support.states import Stand

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "must have required property 'input'"),
        ({"input": None}, "must be object"),
        ({"input": []}, "must be object"),
        ({"input": "x"}, "must be object"),
        ({"input": {"users": None}}, "must be object"),
        ({"input": {"users": {"all": "yes"}}}, "must be boolean"),
        ({"input": {"users": {"list": "a"}}}, "must be array"),
        ({"input": {"users": [], "channels": [{}]}}, "must have required property 'channel_id'"),
        ({"input": {"users": []}}, "must have required property 'channels'"),
        ({"input": {"channels": []}}, "must have required property 'users'"),
        ({"input": {"users": [{}], "channels": []}}, "must have required property 'user_id'"),
        (
            {"input": {"users": [], "channels": [], "contacts": [{"id": "x"}]}},
            "must have required property 'do_import'",
        ),
        ({"input": {}, "extra": 1}, "must NOT have additional properties"),
    ],
)
def test_bodies_that_do_not_fit(http: httpx.Client, body: object, reason: str) -> None:
    assert refusal(http.post("startImport", json=body)) == invalid(reason)


@pytest.mark.parametrize(
    "input",
    [
        {},
        {"users": {"all": "true"}},
        {"users": {"all": 1, "list": [1, None]}},
        {"guests": "guest"},
        {"users": {"extra": 1}, "channels": {}, "contacts": {}, "messages": []},
        {"users": [], "channels": []},
    ],
)
def test_bodies_that_fit(http: httpx.Client, input: object) -> None:
    expected = action_error("Import Operation Not Found", "error-operation-not-found", "startImport")
    assert refusal(http.post("startImport", json={"input": input})) == expected


def test_before_the_first_operation(http: httpx.Client) -> None:
    expected = action_error("Import Operation Not Found", "error-operation-not-found", "startImport")
    assert refusal(call(http, "POST startImport")) == expected


@pytest.mark.parametrize("status", [status for status in Status if status != Status.SELECTION])
def test_only_a_selection_can_be_started(librarian: httpx.Client, stand: Stand, status: Status) -> None:
    stand(status)
    before = current(librarian)
    reason = f"The import operation is at {status}, not at importer_user_selection"
    expected = action_error(reason, "error-invalid-operation-status", "startImport")
    assert refusal(call(librarian, "POST startImport")) == expected
    assert current(librarian) == before


def test_an_operation_that_was_cleared_cannot_be_started(librarian: httpx.Client, stand: Stand) -> None:
    stand(Status.SELECTION, valid=False)
    expected = action_error("Import Operation Not Found", "error-operation-not-found", "startImport")
    assert refusal(call(librarian, "POST startImport")) == expected


@pytest.mark.parametrize(
    ("ids", "input", "chosen"),
    [
        (["9101", "9102"], {}, []),
        (["9201", "9202"], {"users": {}}, []),
        (["9301", "9302"], {"users": {"all": "true"}}, ["9301", "9302"]),
        (["9401", "9402"], {"users": {"all": 1}}, ["9401", "9402"]),
        (["9501", "9502"], {"users": {"list": [9501, None]}}, ["9501"]),
        (["9601", "9602"], {"users": {"all": True, "list": ["9601"]}}, ["9601", "9602"]),
    ],
)
def test_the_chosen_users_are_imported(
    library: Server, librarian: httpx.Client, ids: list[str], input: dict[str, Any], chosen: list[str]
) -> None:
    librarian.post("import.new")
    users = [{"emails": [f"{id}@example.org"], "importIds": [id]} for id in ids]
    assert librarian.post("import.addUsers", json={"users": users}).json() == {"success": True}
    assert librarian.post("startImport", json={"input": input}).json() == {"success": True}
    wait_for(librarian, "importer_done")
    there = [id for user in documents(library.data, USERS) for id in user.get("importIds", ())]
    assert sorted(id for id in there if id in ids) == chosen


def test_guests_can_be_chosen_in_the_body(library: Server, librarian: httpx.Client, tmp_path: Path) -> None:
    people = [{"id": "U0GUEST99", "name": "guest99", "is_restricted": True}]
    upload(librarian, write_zip(tmp_path / "guests.zip", {"users.json": people}))
    wait_for(librarian, "importer_user_selection")
    start = partial(librarian.post, "startImport")
    refused = start(json={"input": {"users": {"all": True}, "guests": "nobody"}})
    assert (refused.status_code, refused.json()["errorType"]) == (400, "error-import-guests")
    assert "user, guest, skip" in refused.json()["error"]
    assert start(json={"input": {"users": {"all": True}, "guests": "guest"}}).json() == {"success": True}
    wait_for(librarian, "importer_done")
    found = [one["roles"] for one in documents(library.data, USERS) if one["username"] == "guest99"]
    assert found == [["guest"]]


def test_an_archive_that_has_gone(library: Server, librarian: httpx.Client) -> None:
    """That is found out after the answer: the operation ends as failed, and says why."""
    id = upload(librarian)
    wait_for(librarian, "importer_user_selection")
    (library.data / "uploads" / id).unlink()
    input = {"users": {"all": True}, "channels": {"all": True}}
    assert librarian.post("startImport", json={"input": input}).json() == {"success": True}
    failed = wait_for(librarian, "importer_import_failed")
    assert (failed["_id"], failed["valid"]) == (id, True)
    assert librarian.get("import.status").json()["state"] == "error"
    status, body = refusal(librarian.get("getImportFileData"))
    assert (status, list(body)) == (400, ["success", "error"])
    assert "cannot be read (no such file or directory)" in body["error"]
