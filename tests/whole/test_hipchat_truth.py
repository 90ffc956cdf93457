"""Generated HipChat exports against their truth manifests, and exports that no HipChat ever wrote."""

import json
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatferry.archive import open_archive
from chatferry.documents import COLLECTIONS
from chatferry.errors import ArchiveError
from chatferry.importers import detect
from chatferry.importers.hipchat import export
from chatferry.importers.reading import json_stream
from chatferry.operations import Status
from chatferry.records import Part
from chatferry.store import Store
from testdata.hipchat_export import Shape, write_export
from tests.support.golden import changed, workspace
from tests.support.importing import Imported, import_archive, sqlite_workspace, write_folder
from tests.support.truth import KINDS, Seen, Truth, assert_sums, differences

KEY = "hipchatenterprise"


def imported_into(archive: Path, destination: Any) -> Imported:
    imported = import_archive(archive, destination, importer_key=KEY)
    assert imported.operation.status == Status.DONE, imported.operation.error
    assert_sums(imported)
    return imported


def test_everything_of_an_export_is_imported(tmp_path: Path) -> None:
    shape = Shape(users=30, rooms=12, messages=8_000)
    write_export(tmp_path / "export.tar.gz", shape, tmp_path / "truth.jsonl")
    truth = Truth(tmp_path / "truth.jsonl")
    with sqlite_workspace(tmp_path / "workspace.sqlite3") as destination:
        imported = imported_into(tmp_path / "export.tar.gz", destination)
        assert list(differences(truth, Seen(imported))) == []
    assert imported.report["messages"]["read"] == truth.totals["elements"]
    assert imported.report["messages"]["skipped"] == truth.totals["skipped"] > 0
    assert imported.report["files"]["read"] == truth.totals["files"] > 0
    assert set(imported.problem_kinds) == {
        "file-not-imported",
        "message-not-chat",
        "room-name-changed",
    }


def test_importing_twice_changes_nothing_and_a_newer_archive_only_adds(tmp_path: Path) -> None:
    write_export(tmp_path / "old", Shape(users=10, rooms=5, messages=1_000))
    write_export(tmp_path / "new", Shape(users=10, rooms=5, messages=1_500), tmp_path / "truth.jsonl")
    destination = workspace()
    imported_into(tmp_path / "old", destination)
    before = {name: list(destination.dump(name)) for name in COLLECTIONS}
    again = imported_into(tmp_path / "old", destination)
    assert {name: list(destination.dump(name)) for name in COLLECTIONS} == before
    for kind in KINDS:
        assert again.report[kind]["inserted"] == again.report[kind]["updated"] == 0 or kind == "files"
    newer = imported_into(tmp_path / "new", destination)
    assert list(differences(Truth(tmp_path / "truth.jsonl"), Seen(newer))) == []
    assert newer.report["messages"]["updated"] == 0


def test_a_hipchat_export_is_recognised(tmp_path: Path) -> None:
    write_export(tmp_path / "export.tar.gz", Shape(users=3, rooms=2, messages=20))
    with open_archive(tmp_path / "export.tar.gz") as archive:
        assert detect(archive).key == KEY


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "is empty"),
        ({"posts.csv": "a,b"}, "is no HipChat export"),
        ({"users.json": "[]", "channels.json": "[]"}, "is no HipChat export"),
    ],
)
def test_archives_that_are_no_hipchat_export_are_refused(files: dict[str, str], why: str) -> None:
    with open_archive(files) as archive, pytest.raises(ArchiveError, match=why):
        list(export.scan(archive))


def test_memory_does_not_grow_with_a_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "WINDOW", 1 << 14)
    peaks = []
    for messages in (8_000, 16_000):  # both longer than what an archive keeps to read on
        write_export(tmp_path / str(messages), Shape(users=2, rooms=1, messages=messages))
        with open_archive(tmp_path / str(messages)) as archive:
            tracemalloc.start()
            assert sum(item.messages for item in export.scan(archive) if isinstance(item, Part)) == messages
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    small, large = peaks
    assert large < small + 8_000 * 200  # bytes: some numbers for each message, and none of its text


# ---------------------------------------------------------------- exports that no HipChat ever wrote

ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**20) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
IDS = st.sampled_from([0, 1, 2, "1", "2", 9, "x/y", "", None]) | ODD
PEOPLE = st.fixed_dictionaries({}, optional={"id": IDS, "name": ODD, "mention_name": ODD}) | IDS
TIMES = (
    st.sampled_from(["2018-08-08T14:23:54Z 626267", "2018-08-08T14:23:54Z", "9999-12-31T23:59:59-23:59"])
    | ODD
)
TEXTS = st.sampled_from(["hello @ann", "/me x", "<b>x</i>", "/code", "```@ann", "@ann" * 3]) | ODD
SAID = st.fixed_dictionaries(
    {},
    optional={
        "id": IDS,
        "sender": PEOPLE,
        "receiver": PEOPLE,
        "timestamp": TIMES,
        "message": TEXTS,
        "message_format": st.sampled_from(["html", "text"]) | ODD,
        "mentions": ODD,
        "attachment": st.fixed_dictionaries({}, optional={"name": ODD, "path": ODD, "url": ODD, "size": ODD})
        | ODD,
        "attachment_path": ODD,
        "card": ODD,
        "is_archived": ODD,
    },
)
NAMES = ["UserMessage", "NotificationMessage", "TopicRoomMessage", "PrivateUserMessage", "ArchiveRoomMessage"]
EVENTS = st.dictionaries(st.sampled_from([*NAMES, "GuestAccessMessage", "Odd"]), SAID | ODD, max_size=2) | ODD
USERS = st.fixed_dictionaries({}, optional={"User": st.fixed_dictionaries({}, optional={
    "id": IDS, "name": ODD, "mention_name": TEXTS, "email": ODD, "is_deleted": ODD, "avatar": ODD,
}) | ODD}) | ODD  # fmt: skip
ROOMS = st.fixed_dictionaries({}, optional={"Room": st.fixed_dictionaries({}, optional={
    "id": IDS, "name": ODD, "owner": PEOPLE, "members": st.lists(PEOPLE, max_size=3) | ODD, "privacy": ODD,
    "created": TIMES, "is_archived": ODD, "topic": ODD,
}) | ODD}) | ODD  # fmt: skip
ARCHIVES = st.fixed_dictionaries(
    {},
    optional={
        "users.json": st.lists(USERS, max_size=4),
        "rooms.json": st.lists(ROOMS, max_size=4),
        "rooms/1/history.json": st.lists(EVENTS, max_size=6),
        "rooms/2/history.json": st.lists(EVENTS, max_size=6),
        "users/1/history.json": st.lists(EVENTS, max_size=6),
        "users/2/history.json": st.lists(EVENTS, max_size=6),
    },
)


def fuzz(files: dict[str, Any], damage: tuple[int, bytes] | None) -> None:
    """Every import ends well or is refused in our words; its sums are right; a second changes nothing."""
    contents = {name: json.dumps(value).encode() for name, value in files.items()}
    if damage and contents:
        name = sorted(contents)[damage[0] % len(contents)]
        place = damage[0] % (len(contents[name]) + 1)
        contents[name] = contents[name][:place] + damage[1] + contents[name][place + 1 :]
    destination, store = workspace(), Store()
    with TemporaryDirectory() as folder:
        archive = write_folder(Path(folder), contents)
        imported = import_archive(archive, destination, store, importer_key=KEY)
        assert "unforeseen" not in imported.operation.error
        if imported.operation.status != Status.DONE:
            return
        assert_sums(imported)
        assert changed(import_archive(archive, destination, store, importer_key=KEY)) == {}


DAMAGE = st.none() | st.tuples(st.integers(0, 10**6), st.binary(max_size=4))
QUIET = settings(deadline=None, suppress_health_check=list(HealthCheck))


@settings(QUIET, max_examples=50)
@given(ARCHIVES, DAMAGE)
def test_any_export_is_read(files: dict[str, Any], damage: tuple[int, bytes] | None) -> None:
    fuzz(files, damage)


@pytest.mark.long
@settings(QUIET, max_examples=2_000)
@given(ARCHIVES, DAMAGE)
def test_any_export_is_read_at_length(files: dict[str, Any], damage: tuple[int, bytes] | None) -> None:
    fuzz(files, damage)
