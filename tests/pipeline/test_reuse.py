"""A second import: parts that are as they were are not read, and all is as if they had been."""

import sqlite3
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from chatferry.archive import Archive, open_archive
from chatferry.destinations import Destination, Packed, Rejection
from chatferry.destinations.memory import MemoryDestination
from chatferry.documents import MESSAGES, USERS, Date, Update, digest
from chatferry.importers import IMPORTERS
from chatferry.importers.slack import export as slack
from chatferry.importers.slack.large_files import Sizes
from chatferry.operations import Choice
from chatferry.pipeline import reuse
from chatferry.records import Message, Part, Problem
from chatferry.settings import Settings
from chatferry.store import Store
from testdata.slack_export import Shape, write_export
from tests.support.importing import (
    ALL,
    Imported,
    founded,
    import_archive,
    lasting,
    sqlite_workspace,
    workspace,
)

SHAPE = Shape(users=12, channels=5, messages=900, seed=3)
SLACK = IMPORTERS["slack"]


@pytest.fixture(params=["memory", "sqlite"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Destination]:
    if request.param == "memory":
        yield founded(MemoryDestination())
    else:
        with sqlite_workspace(tmp_path / "workspace.sqlite3") as opened:
            yield opened


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The channels of the parts that are read."""
    channels: list[str] = []

    def logged_map(archive: Archive, part: Part) -> Iterator[Message | Problem]:
        channels.append(part.channel)
        return SLACK.read(archive, part)

    scan = partial(slack.scan, sizes=Sizes(messages=100))
    monkeypatch.setitem(IMPORTERS, "slack", replace(SLACK, scan=scan, read=logged_map))
    return channels


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "export.zip"
    write_export(path, SHAPE)
    return path


class Picky(MemoryDestination):
    """Refuses the first message of each batch, as long as it is told to."""

    refuses = True

    def insert(self, messages: Sequence[Packed]) -> list[Rejection]:
        if not self.refuses:
            return super().insert(messages)
        super().insert(messages[1:])
        return [Rejection(0, "it is bad")]


def outcome(imported: Imported) -> dict[str, Any]:
    """Return a report without the fields that differ in every run."""
    report = dict(imported.report)
    for name in ("operation", "seconds", "messagesPerSecond", "peakMemoryMiB"):
        del report[name]
    return report


def contents(imported: Imported) -> list[Any]:
    return [lasting(imported.by_id(collection)) for collection in (USERS, MESSAGES)]


def test_unchanged_parts_are_not_read_and_the_report_stays_the_same(
    export: Path, destination: Destination, read: list[str]
) -> None:
    store = Store()
    first = import_archive(export, destination, store)
    store.part_cache.clear()
    again = import_archive(export, destination, store)
    read.clear()
    third = import_archive(export, destination, store)
    assert read == []
    assert outcome(third) == outcome(again)
    assert contents(third) == contents(first)
    assert third.report["messages"]["unchanged"] == first.report["messages"]["inserted"] > 800
    assert outcome(import_archive(export, destination, store)) == outcome(again)
    assert read == [], "what was made use of is kept"


@pytest.mark.parametrize("workers", [0, 2])
def test_processes_leave_the_same_behind(export: Path, tmp_path: Path, read: list[str], workers: int) -> None:
    store, destination = Store(), workspace()
    settings = Settings(data=tmp_path, workers=workers)
    import_archive(export, destination, store, settings=settings)
    read.clear()
    again = import_archive(export, destination, store, settings=replace(settings, workers=0))
    assert read == [] and again.report["messages"]["unchanged"] > 800


def test_a_part_whose_message_is_gone_is_read(export: Path, tmp_path: Path, read: list[str]) -> None:
    store = Store()
    path = tmp_path / "workspace.sqlite3"
    with sqlite_workspace(path) as destination:
        first = import_archive(export, destination, store)
        gone = first.documents(MESSAGES)[0]["_id"]
        with closing(sqlite3.connect(path)) as another, another:
            another.execute("DELETE FROM rocketchat_message WHERE _id = ?", (gone,))
        read.clear()
        again = import_archive(export, destination, store)
        assert len(read) == 1
        assert again.report["messages"]["inserted"] == 1
        assert contents(again) == contents(first)


def test_a_part_whose_message_has_another_digest_is_read(
    export: Path, destination: Destination, read: list[str]
) -> None:
    store = Store()
    first = import_archive(export, destination, store)
    id = first.documents(MESSAGES)[0]["_id"]
    older = digest(b"another source")
    destination.apply([Update(collection=MESSAGES, id=id, set={"msg": "older"}, digest=older)])
    read.clear()
    again = import_archive(export, destination, store)
    assert len(read) == 1
    assert again.report["messages"]["updated"] == 1
    assert contents(again) == contents(first)


def test_a_part_with_an_edited_message_is_read_once(
    export: Path, destination: Destination, read: list[str]
) -> None:
    store = Store()
    first = import_archive(export, destination, store)
    id, earlier = first.documents(MESSAGES)[0]["_id"], digest(b"another document")[:8]
    destination.apply([Update(collection=MESSAGES, id=id, set={"msg": "edited"}, digest=earlier)])
    read.clear()
    again = import_archive(export, destination, store)
    assert (len(read), again.problem_kinds.count("message-edited")) == (1, 1)
    third = import_archive(export, destination, store)
    assert (len(read), third.problem_kinds.count("message-edited")) == (1, 1)
    assert third.by_id(MESSAGES)[id]["msg"] == "edited"


def test_renamed_authors_are_shown_with_their_new_name(export: Path, destination: Destination) -> None:
    store = Store()
    first = import_archive(export, destination, store)
    writer = next(iter(first.documents(MESSAGES)))["u"]["_id"]
    destination.apply([Update(collection=USERS, id=writer, set={"username": "another.name"})])
    again = import_archive(export, destination, store)
    names = {
        message["u"]["username"] for message in again.documents(MESSAGES) if message["u"]["_id"] == writer
    }
    assert names == {"another.name"}


def test_another_selection_is_heeded(export: Path, destination: Destination, read: list[str]) -> None:
    store = Store()
    import_archive(export, destination, store)
    read.clear()
    channel = first_channel(export)
    again = import_archive(
        export, destination, store, replace(ALL, channels=Choice(list=frozenset({channel})))
    )
    assert {*read} <= {channel}  # it may name channels that are not selected
    assert again.report["messages"]["skipped"] > 500
    third = import_archive(export, destination, store)
    assert third.report["messages"]["skipped"] < 100


def test_a_newer_export_costs_what_is_new(tmp_path: Path, destination: Destination, read: list[str]) -> None:
    shape = replace(SHAPE, messages=4000)
    export, newer = tmp_path / "export.zip", tmp_path / "newer.zip"
    write_export(export, shape)
    write_export(newer, shape, extended=0.03, revised=False)
    store = Store()
    import_archive(export, destination, store)
    parts = len(read)
    read.clear()
    topped_up = import_archive(newer, destination, store)
    assert 0 < len(read) < parts / 2
    assert topped_up.report["messages"]["inserted"] > 100
    fresh = import_archive(newer, founded(MemoryDestination()))
    assert topped_up.by_id(MESSAGES).keys() == fresh.by_id(MESSAGES).keys()
    assert lasting(topped_up.by_id(MESSAGES)) == lasting(fresh.by_id(MESSAGES))


def test_another_chatferry_reads_again(
    export: Path, destination: Destination, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    import_archive(export, destination, store)
    parts = len(read)
    read.clear()
    monkeypatch.setattr(reuse, "__version__", "99")
    import_archive(export, destination, store)
    assert len(read) == parts


def test_a_part_with_a_message_that_was_refused_is_tried_again(export: Path, read: list[str]) -> None:
    store, destination = Store(), Picky()
    first = import_archive(export, founded(destination), store)
    failed = first.report["messages"]["failed"]
    assert failed >= 1
    read.clear()
    destination.refuses = False
    again = import_archive(export, destination, store)
    assert read
    assert again.report["messages"]["inserted"] == failed
    assert again.report["messages"]["failed"] == 0


def test_a_refusal_is_not_told_again_once_the_message_is_there(export: Path) -> None:
    store, destination = Store(), Picky()
    import_archive(export, founded(destination), store)
    destination.refuses = False
    import_archive(export, destination, Store())  # another chatferry brings it
    assert import_archive(export, destination, store).report["messages"]["failed"] == 0


def test_parts_that_are_gone_are_dropped_from_the_cache(tmp_path: Path, destination: Destination) -> None:
    export, newer = tmp_path / "export.zip", tmp_path / "newer.zip"
    write_export(export, SHAPE)
    write_export(newer, SHAPE, extended=0.2)
    path = tmp_path / "store.sqlite3"

    def cached_parts() -> int:
        with closing(sqlite3.connect(path)) as database:
            return int(database.execute("SELECT count(*) FROM imprints").fetchone()[0])

    with Store(path) as store:
        import_archive(export, destination, store)
        first = cached_parts()
        import_archive(newer, destination, store)
    assert 0 < cached_parts() <= first + 2


def first_channel(export: Path) -> str:
    with open_archive(export) as archive:
        channels = msgspec.json.decode(archive.read("channels.json"))
    return str(channels[0]["id"])


def test_times_of_messages_are_those_of_the_first_import(export: Path, destination: Destination) -> None:
    store = Store()
    import_archive(export, destination, store)
    before = {
        m["_id"]: m["_updatedAt"] for m in import_archive(export, destination, store).documents(MESSAGES)
    }
    after = {
        m["_id"]: m["_updatedAt"] for m in import_archive(export, destination, store).documents(MESSAGES)
    }
    assert before == after and all(isinstance(at, Date) for at in after.values())


def test_a_new_pin_changes_no_part_but_its_own(
    tmp_path: Path, destination: Destination, read: list[str]
) -> None:
    def said(day: int, number: int, **more: Any) -> dict[str, Any]:
        ts = f"{1600000000 + day * 86400 + number}.000100"
        return {"type": "message", "user": "U1", "text": "hello", "ts": ts, **more}

    def zipped(name: str, *days: list[dict[str, Any]]) -> Path:
        channel = {"id": "C1", "name": "plans", "creator": "U1", "members": ["U1"]}
        files: dict[str, Any] = {"users.json": [{"id": "U1", "name": "ada"}], "channels.json": [channel]}
        files |= {f"plans/2020-09-{13 + number}.json": day for number, day in enumerate(days)}
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for file, content in files.items():
                archive.writestr(file, msgspec.json.encode(content))
        return tmp_path / name

    days = [[said(day, number) for number in range(150)] for day in range(3)]
    pinned = said(3, 0, subtype="pinned_item", item={"type": "C", "ts": days[1][7]["ts"]})
    store = Store()
    import_archive(zipped("export.zip", *days), destination, store)
    assert len(read) == len(days)
    read.clear()
    newer = import_archive(zipped("newer.zip", *days, [pinned]), destination, store)
    assert len(read) == 2, "the pinned message's part, and the one that says so"
    assert newer.report["messages"]["updated"] == 1
