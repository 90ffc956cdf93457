"""Imports over HTTP, and the content of the golden export to compare them with."""

import json
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from chatferry.reports import operation as report
from chatferry.store import Store
from testdata.slack_export import Shape, write_export
from tests.support.paths import GOLDEN
from tests.support.serving import upload, wait_for

SELECTION, RUNNING, DONE = "importer_user_selection", "importer_importing_messages", "importer_done"
FAILED, CANCELLED = "importer_import_failed", "importer_import_cancelled"
EVERYTHING = {"input": {"users": {"all": True}, "channels": {"all": True}}}
SUCCESS = {"success": True}


def generated(folders: pytest.TempPathFactory, messages: int) -> Path:
    path = folders.mktemp("export") / f"export-{messages}.zip"
    write_export(path, Shape(users=30, channels=8, messages=messages))
    return path


def in_export(name: str) -> list[dict[str, Any]]:
    with zipfile.ZipFile(GOLDEN) as archive:
        entries: list[dict[str, Any]] = json.loads(archive.read(name))
        return entries


def messages_in_export() -> dict[str, tuple[str, str]]:
    """Channel and author of every message, by the id that its document will have."""
    folders = {channel["name"]: channel["id"] for channel in in_export("channels.json")}
    found = {}
    with zipfile.ZipFile(GOLDEN) as archive:
        for name in archive.namelist():
            folder, slash, _ = name.partition("/")
            for message in json.loads(archive.read(name)) if slash else ():
                channel = folders.get(folder, folder)
                id = f"slack-{channel}-{message['ts'].replace('.', '-')}"
                found[id] = (channel, message["user"])
    return found


def start_import(http: httpx.Client, body: dict[str, Any]) -> None:
    answer = http.post("startImport", json=body)
    assert (answer.status_code, answer.json()) == (200, SUCCESS)


def running(http: httpx.Client, export: Path) -> str:
    """An import that is under way and far from its end; its id."""
    id = upload(http, export)
    wait_for(http, SELECTION)
    start_import(http, EVERYTHING)
    wait_for(http, RUNNING, completed=1)
    return id


def reported(data: Path, id: str) -> dict[str, Any]:
    with Store(data / "store.sqlite3") as store:
        operation = store.operations.get(id)
        assert operation
        return report.as_json(operation, store)
