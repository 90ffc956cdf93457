"""import.run: the users of an operation become accounts, and existing accounts stay as they are."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from chatferry.documents import SUBSCRIPTIONS, USERS
from chatferry.operations import Status
from chatferry.reports import operation as report
from chatferry.store import Store
from tests.support.paths import GOLDEN
from tests.support.refusals import JSON_TYPE, failure, refusal
from tests.support.serving import (
    ADMIN,
    EMAIL,
    client,
    current,
    documents,
    login,
    serving,
    start,
    upload,
    wait_for,
)
from tests.support.states import Stand

SUCCESS = {"success": True}
PEOPLE: list[dict[str, Any]] = [
    {"emails": [f"p{number}@example.org"], "importIds": [f"p{number}"], "username": f"person.{number}"}
    for number in range(60)
]


def prepared(http: httpx.Client, *users: dict[str, Any]) -> str:
    """A new operation with users; its id."""
    id = str(http.post("import.new").json()["operation"]["_id"])
    assert http.post("import.addUsers", json={"users": users}).json() == SUCCESS
    return id


def tallied(data: Path, id: str) -> tuple[dict[str, int], list[str]]:
    with Store(data / "store.sqlite3") as store:
        operation = store.operations.get(id)
        assert operation
        found = report.as_json(operation, store)
    return found["users"], [problem["kind"] for problem in found["problems"]]


@pytest.mark.usefixtures("nothing_is_left")
def test_before_the_first_operation(http: httpx.Client) -> None:
    assert refusal(http.post("import.run")) == failure("error-operation-not-found")


def test_guards(librarian: httpx.Client) -> None:
    wrong_status = failure("error-invalid-operation-status")
    librarian.post("import.new")
    assert refusal(librarian.post("import.run")) == wrong_status
    librarian.post("import.addUsers", json={"users": []})
    assert refusal(librarian.post("import.run")) == wrong_status
    librarian.post("import.addUsers", json={"users": PEOPLE[:1]})
    librarian.post("import.clear")
    assert refusal(librarian.post("import.run")) == failure("error-operation-not-found")
    assert librarian.get("getImportFileData").json()["users"] == []  # what was staged is gone
    prepared(librarian, PEOPLE[0])
    assert librarian.post("import.run").json() == SUCCESS
    wait_for(librarian, "importer_done")
    assert refusal(librarian.post("import.run")) == wrong_status


@pytest.mark.parametrize("status", list(Status))
def test_guards_at_every_status(librarian: httpx.Client, stand: Stand, status: Status) -> None:
    if status != Status.SELECTION:
        stand(status)
        assert refusal(librarian.post("import.run")) == failure("error-invalid-operation-status")
    stand(status, valid=False)
    assert refusal(librarian.post("import.run")) == failure("error-operation-not-found")
    assert current(librarian)["status"] == status


def test_an_importer_that_is_not_there(librarian: httpx.Client, stand: Stand) -> None:
    stand(Status.SELECTION, key="gone")
    assert refusal(librarian.post("import.run")) == failure("error-importer-not-defined")
    assert current(librarian)["status"] == "importer_user_selection"


def test_the_body_is_not_looked_at(librarian: httpx.Client) -> None:
    prepared(librarian, PEOPLE[0])
    assert librarian.post("import.run", content=b"[[", headers=JSON_TYPE).json() == SUCCESS
    wait_for(librarian, "importer_done")


def test_existing_accounts_stay_as_they_are(tmp_path: Path) -> None:
    same_email = {
        "emails": [EMAIL.upper()],
        "importIds": ["e1"],
        "name": "Somebody Else",
        "password": "stolen",
    }
    same_name = {"emails": ["new@example.org"], "importIds": ["n1"], "username": ADMIN, "roles": ["guest"]}
    with serving(tmp_path) as server, login(server) as http:
        before = {user["_id"]: user for user in documents(tmp_path, USERS)}
        id = prepared(http, *PEOPLE, same_email, same_name, PEOPLE[0])
        assert http.post("import.run").json() == SUCCESS
        count = wait_for(http, "importer_done")["count"]
        assert count == {"total": 63, "users": 63, "completed": 63, "error": 0}
        after = {user["_id"]: user for user in documents(tmp_path, USERS)}
        assert {id: after[id] for id in before} == before
        assert len(after) - len(before) == 60
        assert documents(tmp_path, SUBSCRIPTIONS) == []  # nobody joins a room by this
        again = prepared(http, *PEOPLE)
        http.post("import.run")
        wait_for(http, "importer_done")
        assert {user["_id"]: user for user in documents(tmp_path, USERS)} == after
    counts, kinds = tallied(tmp_path, id)
    assert (counts["read"], counts["inserted"], counts["skipped"]) == (63, 60, 3)
    assert kinds == ["user-exists"] * 3
    assert tallied(tmp_path, again)[0]["skipped"] == 60


def test_an_operation_with_an_archive(tmp_path: Path) -> None:
    """It imports the users of any operation, and nothing but its users."""
    with serving(tmp_path) as server, login(server) as http:
        id = upload(http, GOLDEN)
        wait_for(http, "importer_user_selection")
        assert http.post("import.run").json() == SUCCESS
        count = wait_for(http, "importer_done")["count"]
    assert (count["completed"], count["total"]) == (331, 331)
    assert tallied(tmp_path, id)[0]["inserted"] == 20
    assert documents(tmp_path, "rocketchat_message") == []


def test_by_selection(librarian: httpx.Client) -> None:
    """startImport starts it, too, with whom it names."""
    chosen = [{"emails": [f"c{n}@example.org"], "importIds": [f"c{n}"]} for n in range(3)]
    prepared(librarian, *chosen)
    body = {"input": {"users": {"list": ["c1"]}}}
    assert librarian.post("startImport", json=body).json() == SUCCESS
    wait_for(librarian, "importer_done")
    found = librarian.get("getImportProgress").json()["count"]
    assert found == {"completed": 3, "total": 3, "error": 0}


def test_killed_and_started_again(tmp_path: Path) -> None:
    """Users that have come are kept; an import that was under way goes on."""
    many = [
        {**PEOPLE[0], "importIds": [f"k{n}"], "emails": [f"k{n}@x"], "username": f"k{n}"} for n in range(1000)
    ]
    server = start(tmp_path)
    try:
        http = login(server)
        id = prepared(http, *many)
        ready = current(http)
        server.kill()
        server = start(tmp_path)
        http = client(server, http.headers["X-User-Id"], http.headers["X-Auth-Token"])
        assert current(http) == ready
        http.post("import.run")
        while http.get("getImportProgress").json()["step"] == "importer_importing_started":
            time.sleep(0.01)
        server.kill()
        server = start(tmp_path)
        http = client(server, http.headers["X-User-Id"], http.headers["X-Auth-Token"])
        wait_for(http, "importer_done")
    finally:
        server.kill()
    counts, _ = tallied(tmp_path, id)
    assert counts["inserted"] + counts["skipped"] == counts["read"] == 1000
    assert sum(1 for user in documents(tmp_path, USERS) if user["username"].startswith("k")) == 1000
