"""Imports over HTTP against the real process, from login to the documents; cancelling and races too."""

import re
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from chatferry.clock import now
from chatferry.documents import MESSAGES, ROOMS, SUBSCRIPTIONS, USERS
from chatferry.ids import ALPHABET
from tests.support.flows import (
    CANCELLED,
    DONE,
    EVERYTHING,
    FAILED,
    SELECTION,
    SUCCESS,
    generated,
    in_export,
    messages_in_export,
    reported,
    running,
    start_import,
)
from tests.support.paths import CSV_EXAMPLE, GOLDEN
from tests.support.serving import (
    Server,
    current,
    documents,
    latest,
    login,
    run_import,
    serving,
    upload,
    upload_body,
    wait_for,
)

# The contract says one second. The bound here is wider because the machines that test are slow and busy; an
# import that is not cancelled takes longer still.
STOPS_WITHIN = 5.0


OPERATION_KEYS = {
    "_id",
    "type",
    "importerKey",
    "ts",
    "status",
    "valid",
    "user",
    "_updatedAt",
    "contentType",
    "file",
    "count",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running
        assert not (running.data / "errors.log").exists()


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with login(server) as admin:
        yield admin


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export whose import takes so long that a test can step in."""
    return generated(tmp_path_factory, 60_000)


def emails_of(entry: dict[str, Any]) -> list[str]:
    """The bot has none."""
    return [entry["profile"]["email"]] if entry["profile"].get("email") else []


def refusal(answer: httpx.Response) -> tuple[int, str]:
    assert answer.json()["success"] is False
    return answer.status_code, answer.json().get("errorType", "")


# ---------------------------------------------------------------- the whole path


@pytest.fixture(scope="module")
def imported(server: Server, http: httpx.Client) -> dict[str, Any]:
    """The operation of a whole import, at its end."""
    return run_import(http)


def test_every_user_room_and_message_is_there(server: Server, imported: dict[str, Any]) -> None:
    by_import_id = {id: user for user in documents(server.data, USERS) for id in user.get("importIds", ())}
    for entry in in_export("users.json"):
        user = by_import_id[entry["id"]]
        assert user["username"] == entry["name"]
        assert [email["address"] for email in user.get("emails", ())] == emails_of(entry)
    rooms = {id: room for room in documents(server.data, ROOMS) for id in room.get("importIds", ())}
    inside: dict[str, set[str]] = {}
    for one in documents(server.data, SUBSCRIPTIONS):
        inside.setdefault(one["rid"], set()).add(one["u"]["_id"])
    for entry in [*in_export("channels.json"), *in_export("dms.json")]:
        members = {by_import_id[member]["_id"] for member in entry["members"]}
        assert members <= inside[rooms[entry["id"]]["_id"]]
    stored = {message["_id"]: message for message in documents(server.data, MESSAGES)}
    for id, (channel, author) in messages_in_export().items():
        assert stored[id]["rid"] == rooms[channel]["_id"]
        assert stored[id]["u"]["_id"] == by_import_id[author]["_id"]


def test_nothing_vanishes(server: Server, imported: dict[str, Any]) -> None:
    found = reported(server.data, imported["_id"])
    assert (found["users"]["read"], found["rooms"]["read"], found["messages"]["read"]) == (20, 11, 300)
    for kind in ("users", "rooms", "messages", "files"):
        tally = dict(found[kind])
        assert tally.pop("read") == sum(tally.values())
        assert tally["failed"] == tally["skipped"] == 0


def test_selection(http: httpx.Client) -> None:
    upload(http)
    wait_for(http, SELECTION)
    answer = http.get("getImportFileData")
    assert answer.status_code == 200
    assert answer.json() == {
        "name": "Slack",
        "users": [
            {
                "user_id": user["id"],
                "username": user["name"],
                **({"email": email} if (email := user["profile"].get("email")) else {}),
                "is_deleted": user["deleted"],
                "is_bot": user["is_bot"],
                "do_import": True,
                "is_email_taken": False,
            }
            for user in in_export("users.json")
        ],
        "channels": [
            *(
                {
                    "channel_id": channel["id"],
                    "name": channel["name"],
                    "is_archived": channel["is_archived"],
                    "do_import": True,
                    "is_private": False,
                    "is_direct": False,
                }
                for channel in in_export("channels.json")
            ),
            {
                "channel_id": "__directMessages__",
                "name": "Direct Messages",
                "is_archived": False,
                "do_import": True,
                "is_private": True,
                "is_direct": True,
            },
        ],
        "contacts": [],
        "message_count": 300,
        "success": True,
    }
    assert list(answer.json())[-1] == "success"


def test_without_direct_messages_no_entry_stands_for_them(http: httpx.Client, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        for name in ("users.json", "channels.json", "design/2023-01-02.json"):
            archive.writestr(name, zipfile.ZipFile(GOLDEN).read(name))
    upload(http, tmp_path / "export.zip")
    wait_for(http, SELECTION)
    channels = http.get("getImportFileData").json()["channels"]
    assert [channel["channel_id"] for channel in channels] == [
        channel["id"] for channel in in_export("channels.json")
    ]


def test_progress(http: httpx.Client) -> None:
    upload(http)
    wait_for(http, SELECTION)
    waiting = {"key": "slack", "name": "Slack", "step": SELECTION}
    count = {"completed": 0, "total": 331, "error": 0}
    assert http.get("getImportProgress").json() == {**waiting, "count": count, **SUCCESS}
    start_import(http, EVERYTHING)
    wait_for(http, DONE)
    done = {"key": "slack", "name": "Slack", "step": DONE}
    count = {"completed": 331, "total": 331, "error": 0}
    assert http.get("getImportProgress").json() == {**done, "count": count, **SUCCESS}


# ---------------------------------------------------------------- the operation on the wire


def test_operation_on_the_wire(http: httpx.Client) -> None:
    before = now()
    user = http.get("me").json()["_id"]
    upload(http)
    operation = wait_for(http, SELECTION)
    assert operation.keys() == OPERATION_KEYS
    assert re.fullmatch(f"[{ALPHABET}]{{17}}", operation["_id"])
    assert type(operation["ts"]) is int
    assert before <= operation["ts"] <= now()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", operation["_updatedAt"])
    assert operation["ts"] <= datetime.fromisoformat(operation["_updatedAt"]).timestamp() * 1000 + 1
    assert (operation["type"], operation["importerKey"]) == ("Slack", "slack")
    assert (operation["valid"], operation["user"]) == (True, user)
    assert operation["contentType"] == "application/zip"
    assert operation["count"] == {"total": 331, "users": 20, "channels": 11, "messages": 300}
    assert operation["file"] in {
        f"{at.year}{at.month - 1}{at.day}{at.hour}{at.minute}{at.second}_{user}_{GOLDEN.name}"
        for at in (
            datetime.fromtimestamp((operation["ts"] - ago) // 1000, UTC) for ago in range(0, 3000, 500)
        )
    }


def test_every_endpoint_shows_the_same_operation(http: httpx.Client) -> None:
    id = upload(http)
    wait_for(http, SELECTION)
    one = http.get("getCurrentImportOperation").json()
    many = http.get("getLatestImportOperations").json()
    state = http.get("import.status").json()
    assert list(one) == ["success", "operation"]
    assert isinstance(many, list)
    assert many[0]["_id"] == id
    assert one["operation"] == many[0] == state["operation"]
    assert state == {"state": "ready", "operation": one["operation"], **SUCCESS}
    assert all(operation.keys() <= OPERATION_KEYS for operation in many)


def test_the_latest_twenty(http: httpx.Client) -> None:
    """In the order of their last change; an upload changes the one before, too."""
    for number in range(22):
        body = upload_body(b"no archive", f"{number}.zip")
        assert http.post("uploadImportFile", json=body).status_code == 200
    wait_for(http, FAILED)
    operations = latest(http)
    assert len({operation["_id"] for operation in operations}) == len(operations) == 20
    keys = [(operation["_updatedAt"], operation["ts"]) for operation in operations]
    assert [updated for updated, _ in keys] == sorted((updated for updated, _ in keys), reverse=True)
    assert keys == sorted(keys, reverse=True)
    assert current(http)["file"].endswith("_21.zip")


# ---------------------------------------------------------------- what looking does


def test_looking_changes_nothing(http: httpx.Client, imported: dict[str, Any]) -> None:
    upload(http)
    wait_for(http, SELECTION)
    selection = http.get("getImportFileData").json()
    start_import(http, EVERYTHING)
    done = wait_for(http, DONE)
    before = latest(http)
    for endpoint in ("getImportFileData", "getImportProgress", "import.status", "getCurrentImportOperation"):
        assert http.get(endpoint).status_code == 200
    assert http.get("getImportFileData").json() == selection | {"users": [], "channels": []}
    assert (current(http), latest(http)) == (done, before)


def test_done_cannot_be_started_again(http: httpx.Client) -> None:
    done = run_import(http)
    assert refusal(http.post("startImport", json=EVERYTHING)) == (400, "error-invalid-operation-status")
    assert current(http) == done


# ---------------------------------------------------------------- one operation after another


def test_an_upload_takes_the_place_of_the_one_before(http: httpx.Client) -> None:
    first = upload(http)
    ready = wait_for(http, SELECTION)
    second = upload(http)
    wait_for(http, SELECTION)
    operations = {operation["_id"]: operation for operation in latest(http)}
    assert [id for id, operation in operations.items() if operation["valid"]] == [second]
    assert operations[first] == {**ready, "valid": False, "_updatedAt": operations[first]["_updatedAt"]}
    assert operations[first]["_updatedAt"] > ready["_updatedAt"]
    start_import(http, EVERYTHING)
    wait_for(http, DONE)
    assert next(one for one in latest(http) if one["_id"] == first)["status"] == SELECTION


def test_one_of_two_starts_succeeds(server: Server, http: httpx.Client) -> None:
    with login(server) as other, ThreadPoolExecutor(2) as threads:
        for _ in range(5):
            upload(http)
            wait_for(http, SELECTION)
            gate = threading.Barrier(2)

            def started(caller: httpx.Client, gate: threading.Barrier = gate) -> tuple[int, str]:
                gate.wait()
                answer = caller.post("startImport", json=EVERYTHING)
                return answer.status_code, answer.json().get("errorType", "")

            answers = sorted(threads.map(started, (http, other)))
            assert answers == [(200, ""), (400, "error-invalid-operation-status")]
            wait_for(http, DONE)


def test_parallel_uploads_leave_one(server: Server, http: httpx.Client) -> None:
    body = upload_body(GOLDEN.read_bytes())
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: http.post("uploadImportFile", json=body).json(), range(4)))
    assert answers == [SUCCESS] * 4
    last = wait_for(http, SELECTION)
    operations = latest(http)
    assert len({operation["ts"] for operation in operations}) == len(operations)
    assert [operation["_id"] for operation in operations if operation["valid"]] == [last["_id"]]
    assert last["ts"] == max(operation["ts"] for operation in operations)


# ---------------------------------------------------------------- taking back


def test_clear_stops_a_running_import(server: Server, http: httpx.Client, large: Path) -> None:
    id = running(http, large)
    assert http.get("getImportFileData").json() == {"waiting": True, **SUCCESS}
    assert http.get("import.status").json()["state"] == "importing"
    assert refusal(http.post("startImport", json=EVERYTHING)) == (400, "error-invalid-operation-status")
    since = time.monotonic()
    assert http.post("import.clear").json() == SUCCESS
    cancelled = wait_for(http, CANCELLED)
    assert time.monotonic() - since < STOPS_WITHIN
    assert (cancelled["_id"], cancelled["valid"]) == (id, False)
    assert 0 < cancelled["count"]["completed"] < cancelled["count"]["total"]
    assert http.get("import.status").json()["state"] == "error"
    assert refusal(http.post("startImport", json=EVERYTHING)) == (400, "error-operation-not-found")
    assert http.get("getImportFileData").status_code == 200
    assert current(http) == cancelled
    assert run_import(http)["valid"]


def test_a_newer_upload_stops_a_running_import(http: httpx.Client, large: Path) -> None:
    first = running(http, large)
    since = time.monotonic()
    second = upload(http)
    cancelled = wait_for(http, CANCELLED, id=first)
    assert time.monotonic() - since < STOPS_WITHIN
    assert not cancelled["valid"]
    assert wait_for(http, SELECTION)["_id"] == second
    start_import(http, EVERYTHING)
    assert wait_for(http, DONE)["_id"] == second
    assert next(one for one in latest(http) if one["_id"] == first) == cancelled


def test_clear_stops_a_preparation(http: httpx.Client, large: Path) -> None:
    id = upload(http, large)
    assert http.get("getImportFileData").json() == {"waiting": True, **SUCCESS}
    assert http.get("import.status").json()["state"] == "loading"
    assert refusal(http.post("startImport", json=EVERYTHING)) == (400, "error-invalid-operation-status")
    since = time.monotonic()
    assert http.post("import.clear").json() == SUCCESS
    assert wait_for(http, CANCELLED)["_id"] == id
    assert time.monotonic() - since < STOPS_WITHIN


def test_clear_at_rest(http: httpx.Client) -> None:
    """An operation at rest keeps its status and is no longer valid."""
    upload(http)
    ready = wait_for(http, SELECTION)
    assert http.post("import.clear").json() == SUCCESS
    cleared = current(http)
    assert cleared == {**ready, "valid": False, "_updatedAt": cleared["_updatedAt"]}
    assert refusal(http.post("startImport", json=EVERYTHING)) == (400, "error-operation-not-found")
    assert http.get("import.status").json()["state"] == "error"
    before = latest(http)
    assert http.post("import.clear").json() == SUCCESS
    assert latest(http) == before


# ---------------------------------------------------------------- other importers


MEMBERS = b"username,email,status\nada,ada@example.org,Admin\nben,ben@example.org,Member\n"


OTHERS = [
    ("csv", "csv-small.zip", CSV_EXAMPLE.read_bytes(), "CSV"),
    ("slack-users", "members.csv", MEMBERS, "Slack_Users"),
]


@pytest.mark.parametrize(("key", "file", "content", "name"), OTHERS, ids=lambda value: str(value)[:20])
def test_an_upload_for_another_importer(
    http: httpx.Client, key: str, file: str, content: bytes, name: str
) -> None:
    assert http.post("uploadImportFile", json=upload_body(content, file, key)).json() == SUCCESS
    wait_for(http, "importer_user_selection")
    choice = http.get("getImportFileData").json()
    assert choice["name"] == name
    assert {user["do_import"] for user in choice["users"]} == {True}
    assert http.post("startImport", json=EVERYTHING).json() == SUCCESS
    wait_for(http, "importer_done")
    progress = http.get("getImportProgress").json()
    assert (progress["key"], progress["name"], progress["count"]["error"]) == (key, name, 0)
    assert progress["count"]["completed"] == progress["count"]["total"] > 0


# ---------------------------------------------------------------- failing


BROKEN = [
    ("neither a zip nor a tar", b"This is no archive."),
    ("is empty", b""),
    ("damaged|cut|incomplete|broken", GOLDEN.read_bytes()[:20_000]),
]


@pytest.mark.parametrize(("reason", "content"), BROKEN)
def test_failed_import(http: httpx.Client, reason: str, content: bytes) -> None:
    """That it cannot be read is found out after the upload; asking for its selection says why."""
    assert http.post("uploadImportFile", json=upload_body(content)).json() == SUCCESS
    failed = wait_for(http, FAILED)
    answer = http.get("getImportFileData")
    assert (answer.status_code, answer.json().keys()) == (400, {"success", "error"})
    assert re.search(reason, answer.json()["error"])
    assert http.get("import.status").json()["state"] == "error"
    assert http.get("getImportProgress").json()["step"] == FAILED
    assert refusal(http.post("startImport", json=EVERYTHING)) == (400, "error-invalid-operation-status")
    assert current(http) == failed


def test_the_reason_names_the_file_that_was_uploaded(http: httpx.Client) -> None:
    http.post("uploadImportFile", json=upload_body(b"This is no archive.", "our-slack.zip"))
    failed = wait_for(http, FAILED)
    error = http.get("getImportFileData").json()["error"]
    assert "our-slack.zip" in error
    assert failed["_id"] not in error
