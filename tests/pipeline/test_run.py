"""Which steps an import goes through, one after the other."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from chatferry.clock import now
from chatferry.operations import Operation, Status, advance
from chatferry.pipeline import prepare
from chatferry.pipeline.operation import run_operation
from chatferry.settings import Settings
from chatferry.store import Store
from tests.support.importing import ALL, new_operation, workspace, write_folder

ALICE = {"id": "U0ALICE01", "name": "alice", "profile": {"email": "alice@example.org"}}
PLANS = {"id": "C0PLANS01", "name": "plans", "creator": "U0ALICE01", "members": ["U0ALICE01"]}
HELLO = {"type": "message", "user": "U0ALICE01", "text": "hello", "ts": "1600000200.000100"}
SLACK = {"users.json": [ALICE], "channels.json": [PLANS], "plans/2020-09-13.json": [HELLO]}
CSV = {
    "users.csv": "alice,alice@example.org,Alice\n",
    "contacts.csv": "id,name\n1,Carl\n",
    "plans/1.csv": "alice,1600000200000,hello\n",
}


def steps(tmp_path: Path, key: str, files: dict[str, Any]) -> list[Status]:
    """The statuses of an import, in order."""
    seen: list[Status] = []

    def watch(operation: Operation) -> None:
        if operation.status not in seen[-1:]:
            seen.append(operation.status)

    destination, store, settings = workspace(), Store(), Settings(data=tmp_path)
    operation = new_operation(write_folder(tmp_path / "export", files), destination, key)
    store.operations.add(operation)
    operation = run_operation(operation, store, destination, settings, watch=watch)
    operation = advance(replace(operation, selection=ALL), Status.IMPORTING, now())
    run_operation(operation, store, destination, settings, watch=watch)
    return seen


@pytest.mark.parametrize(("key", "files"), [("slack", SLACK), ("csv", CSV)])
def test_every_step_shows(tmp_path: Path, key: str, files: dict[str, Any]) -> None:
    contacts = [Status.PREPARING_CONTACTS] if key == "csv" else []
    assert steps(tmp_path, key, files) == [
        Status.PREPARING,
        Status.PREPARING_USERS,
        *contacts,
        Status.PREPARING_CHANNELS,
        Status.PREPARING_MESSAGES,
        Status.SELECTION,
        Status.IMPORTING_USERS,
        Status.IMPORTING_CONTACTS,
        Status.IMPORTING_CHANNELS,
        Status.IMPORTING_MESSAGES,
        Status.FINISHING,
        Status.DONE,
    ]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_archive_that_has_changed_since_it_was_prepared_is_refused(tmp_path: Path, workers: int) -> None:
    destination, store = workspace(), Store()
    settings = Settings(data=tmp_path, workers=workers)
    export = write_folder(tmp_path / "export", SLACK)
    operation = new_operation(export, destination)
    store.operations.add(operation)
    operation = run_operation(operation, store, destination, settings)
    operation = advance(replace(operation, selection=ALL), Status.IMPORTING, now())

    def change(operation: Operation) -> None:
        if operation.status == Status.IMPORTING_USERS:
            write_folder(export, {"plans/2020-09-13.json": [HELLO, HELLO]})

    if workers:  # this process has opened it before, the other will afterwards
        ended = run_operation(operation, store, destination, settings, watch=change)
    else:
        change(replace(operation, status=Status.IMPORTING_USERS))
        ended = run_operation(operation, store, destination, settings)
    assert ended.status == Status.FAILED
    assert "has changed since it was first read" in ended.error


def test_the_status_tells_which_list_is_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of an archive whose records are few and whose messages are many."""
    monkeypatch.setattr(prepare, "STAGE_SECONDS", 0)
    days = {f"plans/2020-09-{day}.json": [HELLO] for day in range(10, 30)}
    reads: list[Status] = []
    last = Status.PREPARING

    def check() -> None:  # before each block that is read of the archive, among others
        reads.append(last)

    def watch(operation: Operation) -> None:
        nonlocal last
        last = operation.status

    destination, store = workspace(), Store()
    operation = new_operation(write_folder(tmp_path / "export", SLACK | days), destination)
    store.operations.add(operation)
    run_operation(operation, store, destination, Settings(data=tmp_path), check, watch)
    assert reads.count(Status.PREPARING_CHANNELS) > len(days)
    assert reads.count(Status.PREPARING_USERS) < 10
