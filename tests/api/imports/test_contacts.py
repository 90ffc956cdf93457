"""Contacts over HTTP: uploaded, chosen, imported; and an importer that is not offered but there."""

import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chatferry.documents import CONTACTS, MESSAGES
from chatferry.reports import operation as report
from chatferry.store import Store
from tests.support.serving import Server, current, documents, login, serving, upload_body, wait_for

FILE = "id,name,emails,phones,manager,Town\n7,Ann,ann@example.org;a@example.org,,admin,Bonn\n8,Bob,,1;2,,\n"
SELECTION, DONE, FAILED = "importer_user_selection", "importer_done", "importer_import_failed"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running
        assert not (running.data / "errors.log").exists()


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with login(server) as admin:
        yield admin


def upload(http: httpx.Client, content: bytes, key: str) -> None:
    answer = http.post("uploadImportFile", json=upload_body(content, "export", key))
    assert (answer.status_code, answer.json()) == (200, {"success": True})


def zipped(text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("contacts.csv", text)
    return buffer.getvalue()


def start(http: httpx.Client, **input: Any) -> dict[str, Any]:
    answer = http.post("startImport", json={"input": input})
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    return wait_for(http, DONE)


def outcomes(data: Path, id: str) -> dict[str, Any]:
    with Store(data / "store.sqlite3") as store:
        operation = store.operations.get(id)
        assert operation
        counts: dict[str, Any] = report.as_json(operation, store)["contacts"]
        return counts


def test_contacts_are_shown_chosen_and_imported(server: Server, http: httpx.Client) -> None:
    upload(http, zipped(FILE), "omnichannel_contact")
    wait_for(http, SELECTION)
    assert http.get("getImportFileData").json() == {
        "name": "omnichannel_contacts_importer",
        "users": [],
        "channels": [],
        "contacts": [
            {
                "id": "7",
                "name": "Ann",
                "emails": ["ann@example.org", "a@example.org"],
                "phones": [],
                "do_import": True,
            },
            {"id": "8", "name": "Bob", "emails": [], "phones": ["1", "2"], "do_import": True},
        ],
        "message_count": 0,
        "success": True,
    }
    operation = start(http, contacts={"list": ["7"]})
    assert operation["type"] == "omnichannel_contacts_importer"
    assert operation["count"] == {
        "total": 2, "completed": 2, "error": 0, "users": 0, "channels": 0, "messages": 0, "contacts": 2,
    }  # fmt: skip
    (ann,) = documents(server.data, CONTACTS)
    admin = http.get("me").json()
    assert (ann["name"], ann["contactManager"], ann["customFields"]) == (
        "Ann",
        admin["_id"],
        {"Town": "Bonn"},
    )
    assert outcomes(server.data, operation["_id"]) == {
        "read": 2, "inserted": 1, "updated": 0, "unchanged": 0, "skipped": 1, "failed": 0,
    }  # fmt: skip


def test_contacts_chosen_as_before_release_7(server: Server, http: httpx.Client) -> None:
    upload(http, FILE.encode(), "omnichannel_contact")
    wait_for(http, SELECTION)
    choice = [{"id": "7", "do_import": True}, {"id": "8", "do_import": True}]
    operation = start(http, users=[], channels=[], contacts=choice)
    assert [contact["importIds"] for contact in documents(server.data, CONTACTS)] in (
        [["7"], ["8"]],
        [["8"], ["7"]],
    )
    assert outcomes(server.data, operation["_id"])["failed"] == 0


def test_a_file_without_contacts_fails_with_the_columns_it_lacks(http: httpx.Client) -> None:
    upload(http, zipped("a,b\n1,2\n"), "omnichannel_contact")
    assert wait_until_failed(http) == FAILED
    answer = http.get("getImportFileData")
    assert answer.status_code == 400
    assert "at least one of name, emails and phones was expected, not a, b" in answer.json()["error"]


def wait_until_failed(http: httpx.Client) -> str:
    while (operation := current(http))["status"] != FAILED:
        assert operation["status"] != SELECTION
    return str(operation["status"])


def test_hipchat_is_not_offered_but_there(server: Server, http: httpx.Client) -> None:
    assert "hipchatenterprise" not in http.get("importers.list").text
    message = {"id": "m", "sender": {"id": 1}, "message": "hello", "timestamp": "2018-08-08T14:23:54Z 626267"}
    files = {
        "users.json": [{"User": {"id": 1, "mention_name": "ann", "email": "ann@example.org"}}],
        "rooms.json": [{"Room": {"id": 7, "name": "dev", "owner": 1}}],
        "rooms/7/history.json": [{"UserMessage": message}],
    }
    upload(http, tar_gz(files), "hipchatenterprise")
    wait_for(http, SELECTION)
    operation = start(http, users={"all": True}, channels={"all": True})
    assert operation["type"] == "HipChat (tar.gz)"
    (found,) = documents(server.data, MESSAGES)
    assert (found["_id"], found["ts"].iso) == ("hipchatenterprise-7-user-m", "2018-08-08T14:23:54.626Z")


def tar_gz(files: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, value in files.items():
            data = json.dumps(value).encode()
            info = tarfile.TarInfo(f"export/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()
