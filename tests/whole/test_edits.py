"""Edited messages survive imports by a chatferry that would write them differently."""

import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from chatferry.clock import now
from chatferry.destinations import Destination, Lookup
from chatferry.destinations.memory import MemoryDestination
from chatferry.destinations.mongodb.destination import MongoDestination
from chatferry.documents import FORMAT, MESSAGES, UPLOADS, Date, Document, Update, decode, digest, encode
from chatferry.operations import Status, advance
from chatferry.pipeline.operation import run_operation
from chatferry.settings import Settings
from chatferry.store import Store
from tests.support.exports import DAY, file, message, png, write_export
from tests.support.fetching import fetch
from tests.support.filehost import hosting, noise
from tests.support.importing import ALL, Imported, founded, import_archive, new_operation, sqlite_workspace
from tests.support.mongo import Mongod
from tests.support.paths import SLACK_EXAMPLE, UNVERSIONED

EARLIER = ("as an earlier chatferry wrote it: ", bytes([FORMAT - 1]))
BEN = {"_id": "ben", "username": "ben"}


@pytest.fixture(params=["memory", "sqlite", "mongodb"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Destination]:
    if request.param == "memory":
        yield founded(MemoryDestination())
    elif request.param == "sqlite":
        with sqlite_workspace(tmp_path / "workspace.sqlite3") as opened:
            yield opened
    else:
        mongod: Mongod = request.getfixturevalue("mongod")
        with mongod.client() as client:
            client.drop_database("edits")
        opened = MongoDestination(mongod.database_url("edits"))
        yield founded(opened)
        opened.close()


@pytest.fixture
def export(tmp_path: Path) -> Path:
    reaction = {"name": "eyes", "users": ["UALICE001"], "count": 1}
    day = [message(1), message(2), message(3, reactions=[reaction]), message(4), message(5), message(6)]
    return write_export(tmp_path / "export", {DAY: day})


def aged(imported: Imported, mark: bytes = EARLIER[1]) -> Imported:
    """The same messages as if an earlier chatferry had imported them, which wrote other texts."""
    changes = []
    for stored in imported.documents(MESSAGES):
        stored.pop("_updatedAt")
        stored["msg"] = EARLIER[0] + stored["msg"]
        earlier = digest(encode(stored))[:8] + mark
        changes.append(
            Update(collection=MESSAGES, id=stored["_id"], set={"msg": stored["msg"]}, digest=earlier)
        )
    assert imported.destination.apply(changes) == []
    return imported


def people(destination: Destination, id: str, **fields: Any) -> None:
    """Let people do something to a message."""
    unset = tuple(key for key, value in fields.items() if value is None)
    fields = {key: value for key, value in fields.items() if value is not None}
    assert destination.apply([Update(collection=MESSAGES, id=id, set=fields, unset=unset)]) == []


def ids(imported: Imported) -> dict[str, str]:
    """The ids of the messages by their texts."""
    return {one["msg"]: one["_id"] for one in imported.documents(MESSAGES)}


def again(export: Path, imported: Imported, rewrite: bool = False, workers: int = 0) -> Imported:
    store, destination = imported.store, imported.destination
    settings = Settings(data=export.parent, workers=workers)
    operation = replace(new_operation(export, destination), rewrite=rewrite)
    store.operations.add(operation)
    operation = run_operation(operation, store, destination, settings)
    operation = advance(replace(operation, selection=ALL), Status.IMPORTING, now())
    operation = run_operation(operation, store, destination, settings)
    assert operation.status == Status.DONE, operation.error
    return Imported(operation, store, destination)


def messages_of(imported: Imported) -> dict[str, int]:
    return {name: count for name, count in imported.report["messages"].items() if count}


def bare(document: Document) -> Document:
    return {key: value for key, value in document.items() if key != "_updatedAt"}


@pytest.mark.parametrize("mark", [EARLIER[1], b""])
def test_messages_without_edits_are_brought_up_to_date(
    export: Path, destination: Destination, mark: bytes
) -> None:
    first = import_archive(export, destination)
    before = {id: bare(one) for id, one in first.by_id(MESSAGES).items()}
    found = again(export, aged(first, mark))
    assert messages_of(found) == {"read": 6, "updated": 6}
    assert {id: bare(one) for id, one in found.by_id(MESSAGES).items()} == before
    assert found.problem_kinds == []
    assert messages_of(again(export, found)) == {"read": 6, "unchanged": 6}


@pytest.mark.parametrize(
    "edit",
    [
        {
            "msg": "by ben",
            "editedAt": Date.at(1_700_000_000_000),
            "editedBy": BEN,
            "md": [{"type": "PARAGRAPH"}],
        },
        {"msg": "by an app that says nothing of it"},
        {"t": "rm", "msg": "", "editedAt": Date.at(1_700_000_000_000), "editedBy": BEN},
        {
            "msg": "by ben",
            "reactions": {":+1:": {"usernames": ["ben"]}},
            "editedAt": Date.at(1_700_000_000_000),
        },
    ],
    ids=["edited", "silently", "deleted", "edited and reacted"],
)
def test_edited_messages_are_left_alone_and_counted(
    export: Path, destination: Destination, edit: dict[str, Any]
) -> None:
    first = aged(import_archive(export, destination))
    edited = ids(first)[EARLIER[0] + "message 2"]
    people(destination, edited, **edit)
    before = first.by_id(MESSAGES)[edited]
    for _ in range(2):
        found = again(export, first)
        assert found.by_id(MESSAGES)[edited] == before
        (note,) = found.report["problems"]
        assert [note[key] for key in ("kind", "file", "position")] == ["message-edited", DAY, "$[1]"]
        assert note["reason"].endswith("it was left as it is")
        assert messages_of(found)["unchanged"] in (1, 6)
    rewritten = again(export, first, rewrite=True)
    assert messages_of(rewritten) == {"read": 6, "updated": 1, "unchanged": 5}
    after = rewritten.by_id(MESSAGES)[edited]
    assert after["msg"] == "message 2" and not {"editedAt", "md", "t"} & after.keys()
    assert messages_of(again(export, first)) == {"read": 6, "unchanged": 6}


def test_edited_messages_of_one_file_are_counted_together(export: Path, destination: Destination) -> None:
    first = aged(import_archive(export, destination))
    for text in ("message 2", "message 5"):
        people(destination, ids(first)[EARLIER[0] + text], msg="edited")
    (note,) = again(export, first).report["problems"]
    assert (note["kind"], note["position"]) == ("message-edited", "$[1]")
    assert note["count"] == 2


def test_reactions_pins_and_replies_are_no_edits_and_stay(export: Path, destination: Destination) -> None:
    first = aged(import_archive(export, destination))
    known = ids(first)
    reacted, pinned, replied, unreacted, starred = (
        known[f"{EARLIER[0]}message {n}"] for n in (1, 2, 4, 3, 5)
    )
    done: dict[str, dict[str, Any]] = {
        reacted: {"reactions": {":heart:": {"usernames": ["ben"]}}},
        pinned: {"pinned": True, "pinnedAt": Date.at(1_700_000_000_000), "pinnedBy": BEN},
        replied: {"tcount": 2, "tlm": Date.at(1_700_000_000_000), "replies": ["ben"]},
        unreacted: {"reactions": None},
        starred: {"starred": [{"_id": "ben"}]},
    }
    for id, fields in done.items():
        people(destination, id, **fields)
    found = again(export, first)
    assert messages_of(found) == {"read": 6, "updated": 6}
    after = found.by_id(MESSAGES)
    assert sorted(one["msg"] for one in after.values()) == [f"message {n}" for n in range(1, 7)]
    for id, fields in done.items():
        assert {key: after[id].get(key) for key in fields} == fields
    assert messages_of(again(export, found)) == {"read": 6, "unchanged": 6}


def test_a_message_whose_file_was_fetched_is_not_edited(tmp_path: Path, destination: Destination) -> None:
    with hosting() as host:
        url = host.put("/a.png", png(10, 10, noise(100)))
        export = write_export(tmp_path / "export", {DAY: [message(1, file("F1", url))]})
        settings = Settings(data=tmp_path / "data")
        settings = replace(settings, downloads=replace(settings.downloads, hosts=frozenset({host.name})))
        first = aged(import_archive(export, destination, settings=settings))
        fetched = fetch(first, settings)
    assert len(fetched.documents(UPLOADS)) == 1
    (shown,) = first.documents(MESSAGES)
    found = again(export, first)
    assert messages_of(found) == {"read": 1, "updated": 1}
    (after,) = found.documents(MESSAGES)
    assert (after["msg"], after["attachments"], after["files"]) == (
        "message 1", shown["attachments"], shown["files"],
    )  # fmt: skip
    assert "title_link" in after["attachments"][0]


def test_messages_that_changed_in_the_source_are_updated(
    tmp_path: Path, export: Path, destination: Destination
) -> None:
    first = import_archive(export, destination)
    people(destination, ids(first)["message 2"], msg="by ben")
    day = [message(n) for n in (1, 2)]
    day[1]["text"] = "changed in the source"
    newer = write_export(tmp_path / "newer", {DAY: day})
    found = again(newer, first)
    assert found.problem_kinds == []
    assert "changed in the source" in ids(found) and "by ben" not in ids(found)


def test_a_message_of_another_importer_is_left_alone_if_it_was_edited_later(
    tmp_path: Path, destination: Destination
) -> None:
    day = [message(n, edited={"user": "UALICE001", "ts": "1600000900.000000"}) for n in (1, 2, 3)]
    export = write_export(tmp_path / "export", {DAY: day})
    first = import_archive(export, founded(MemoryDestination()))
    edits = (1_600_000_900_000, 1_600_000_900_001, None)
    for one, edited in zip(first.documents(MESSAGES), edits, strict=True):
        if edited is None:
            del one["editedAt"]
        else:
            one["editedAt"] = Date.at(edited)
        theirs = {**bare(one), "msg": "theirs"}
        destination.insert([destination.pack(theirs, encode(theirs), b"")])
    found = import_archive(export, destination)
    assert messages_of(found) == {"read": 3, "updated": 2, "unchanged": 1}
    assert sorted(one["msg"] for one in found.documents(MESSAGES)) == ["message 1", "message 3", "theirs"]


def test_edited_messages_are_left_alone_by_other_processes_too(export: Path, mongod: Mongod) -> None:
    with mongod.client() as client:
        client.drop_database("edits")
    with closing(MongoDestination(mongod.database_url("edits"))) as destination:
        first = aged(import_archive(export, founded(destination)))
        people(destination, ids(first)[EARLIER[0] + "message 2"], msg="edited")
        assert messages_of(again(export, first, workers=2)) == {"read": 6, "updated": 5, "unchanged": 1}
        rewritten = again(export, first, rewrite=True, workers=2)
        assert messages_of(rewritten) == {"read": 6, "updated": 1, "unchanged": 5}


def test_the_workspace_of_a_chatferry_without_formats(tmp_path: Path) -> None:
    """Its documents may differ from what is imported now; either way nothing happens to what was edited."""
    with tarfile.open(UNVERSIONED) as archive:
        archive.extractall(tmp_path, filter="data")
    with (
        Store(tmp_path / "store.sqlite3") as store,
        sqlite_workspace(tmp_path / "workspace.sqlite3") as opened,
    ):
        before = {one["_id"]: one for one in map(decode, opened.dump(MESSAGES))}
        edited = list(before)[::7]
        for id in edited:
            people(opened, id, msg="edited by people")
        before = {one["_id"]: one for one in opened.find(Lookup.MESSAGE_ID, edited)}
        found = import_archive(SLACK_EXAMPLE, opened, store)
        counts = messages_of(found)
        assert counts["read"] == counts["unchanged"] + counts.get("updated", 0) + counts["skipped"]
        assert {one["_id"]: one for one in opened.find(Lookup.MESSAGE_ID, edited)} == before
