"""Users and channels in batches: what one batch, or an end halfway, must not spoil."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from chatferry.clock import now
from chatferry.destinations import Destination, Lookup
from chatferry.documents import USERS, Insert
from chatferry.errors import CancelledError
from chatferry.operations import Operation, Status, advance
from chatferry.pipeline import channels
from chatferry.pipeline.context import Check
from chatferry.pipeline.operation import run_operation
from chatferry.settings import Settings
from chatferry.store import Store
from tests.support.importing import ALL, new_operation, workspace, write_folder

PEOPLE = [{"id": f"U{n}", "name": name} for n, name in enumerate(["bob", "BOB", "bob-1"])]
ROOMS = [{"id": f"C{n}", "name": f"plans-{n}", "creator": "U0", "members": ["U0", "U1"]} for n in range(3)]


def imported(tmp_path: Path, destination: Destination, store: Store, check: Check) -> Operation:
    settings = Settings(data=tmp_path)
    export = write_folder(tmp_path / "export", {"users.json": PEOPLE, "channels.json": ROOMS})
    operation = new_operation(export, destination)
    store.operations.add(operation)
    operation = run_operation(operation, store, destination, settings)
    operation = advance(replace(operation, selection=ALL), Status.IMPORTING, now())
    store.operations.save(operation)
    return run_operation(operation, store, destination, settings, check)


def user(destination: Destination, import_id: str) -> dict[str, object]:
    (found,) = destination.find(Lookup.USER_IMPORT_ID, [import_id])
    return found


def test_users_of_a_cancelled_import_list_the_rooms_that_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "ROOM_BATCH", 1)
    destination, store = workspace(), Store()

    def check() -> None:
        if destination.find(Lookup.ROOM_IMPORT_ID, ["C1"]):
            raise CancelledError("enough")

    assert imported(tmp_path, destination, store, check).status == Status.CANCELLED
    came = [room["_id"] for room in destination.find(Lookup.ROOM_IMPORT_ID, ["C0", "C1", "C2"])]
    assert len(came) == 2
    assert set(came) <= set(user(destination, "U0")["__rooms"])  # type: ignore[call-overload]  # a document's values are of any type
    assert set(came) <= set(user(destination, "U1")["__rooms"])  # type: ignore[call-overload]  # a document's values are of any type


def test_names_that_follow_from_other_names_are_known_to_be_taken(tmp_path: Path) -> None:
    destination, store = workspace(), Store()
    destination.apply([Insert(USERS, {"_id": "other", "username": "bob-1-1", "roles": ["user"]})])
    imported(tmp_path, destination, store, lambda: None)
    assert [user(destination, f"U{n}")["username"] for n in range(3)] == ["bob", "BOB-1", "bob-1-2"]


def test_ids_of_a_rooms_subscriptions_begin_alike(tmp_path: Path) -> None:
    destination, store = workspace(), Store()
    imported(tmp_path, destination, store, lambda: None)
    for number in range(3):
        (room,) = destination.find(Lookup.ROOM_IMPORT_ID, [f"C{number}"])
        ids = {one["_id"] for one in destination.find(Lookup.SUBSCRIPTION_ROOM, [room["_id"]])}
        assert len(ids) == 2
        assert len({id[:8] for id in ids}) == 1
        assert {len(id) for id in ids} == {24}
