"""import.new: an operation for users that come over the API."""

import re

import httpx

from chatferry.clock import now
from chatferry.ids import ALPHABET
from tests.support.paths import GOLDEN
from tests.support.refusals import BODIES, JSON_TYPE, action_error, refusal
from tests.support.serving import current, latest, upload, wait_for


def test_the_new_operation(librarian: httpx.Client) -> None:
    before = now()
    status, wire = refusal(librarian.post("import.new"))
    assert (status, list(wire)) == (200, ["operation", "success"])
    operation = wire["operation"]
    assert list(operation) == [
        "_id", "type", "importerKey", "ts", "status", "valid", "user", "_updatedAt"
    ]  # fmt: skip
    assert re.fullmatch(f"[{ALPHABET}]{{17}}", operation["_id"])
    assert (operation["type"], operation["importerKey"]) == ("api", "api")
    assert (operation["status"], operation["valid"]) == ("importer_new", True)
    assert operation["user"] == librarian.headers["X-User-Id"]
    assert before <= operation["ts"] <= now()
    assert current(librarian) == operation == latest(librarian)[0]
    assert librarian.get("import.status").json() == {"state": "new", "operation": operation, "success": True}


def test_the_body_is_not_looked_at(librarian: httpx.Client) -> None:
    for content in (b"", b"{", b"[]", b'{"a":1}', b"\xff" * 1000):
        assert librarian.post("import.new", content=content, headers=JSON_TYPE).status_code == 200


def test_it_takes_the_place_of_the_one_before(librarian: httpx.Client) -> None:
    first = librarian.post("import.new").json()["operation"]["_id"]
    upload(librarian, GOLDEN)
    ready = wait_for(librarian, "importer_user_selection")
    last = librarian.post("import.new").json()["operation"]["_id"]
    valid = {operation["_id"]: operation["valid"] for operation in latest(librarian)}
    assert (valid[first], valid[ready["_id"]], valid[last]) == (False, False, True)
    taken_back = next(one for one in latest(librarian) if one["_id"] == first)
    assert taken_back["status"] == "importer_new"


def test_its_progress_and_its_selection(librarian: httpx.Client) -> None:
    """Nothing is being read, so nobody has to wait; looking does not bring it further."""
    operation = librarian.post("import.new").json()["operation"]
    progress = librarian.get("getImportProgress").json()
    count = {"completed": 0, "total": 0, "error": 0}
    assert progress == {"key": "api", "name": "API", "step": "importer_new", "count": count, "success": True}
    selection = librarian.get("getImportFileData").json()
    assert selection == {
        "name": "API",
        "users": [],
        "channels": [],
        "contacts": [],
        "message_count": 0,
        "success": True,
    }
    assert current(librarian) == operation


def test_it_cannot_be_started_before_it_has_users(librarian: httpx.Client) -> None:
    librarian.post("import.new")
    reason = "The import operation is at importer_new, not at importer_user_selection"
    code = "error-invalid-operation-status"
    answer = librarian.post("startImport", json=BODIES["startImport"])
    assert refusal(answer) == action_error(reason, code, "startImport")


def test_an_upload_for_its_importer_holds_nothing(librarian: httpx.Client) -> None:
    """The importer can be named, as in Rocket.Chat, but it reads no archives."""
    body = {**BODIES["uploadImportFile"], "importerKey": "api"}
    assert librarian.post("uploadImportFile", json=body).json() == {"success": True}
    assert wait_for(librarian, "importer_import_failed")["type"] == "API"
