"""`inspect` tells of the losses that an import then has.

tests/importers/test_cases.py compares both for every case of every importer.
"""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from chatferry.archive import open_archive
from chatferry.destinations.memory import MemoryDestination, PassingDestination
from chatferry.documents import SUBSCRIPTIONS, USERS, Insert
from chatferry.importers import IMPORTERS
from chatferry.reports.inspection import Inspection, inspect_archive
from chatferry.settings import Settings
from tests.support.command_line import chatferry
from tests.support.golden import kinds
from tests.support.importing import founded, import_archive, write_folder

LOSSES = {
    "channel-without-members",
    "direct-without-members",
    "field-dropped",
    "file-external",
    "file-gone",
    "file-not-imported",
    "file-without-address",
    "message-channel-failed",
    "message-not-chat",
    "message-not-readable",
    "message-of-unknown-type",
    "message-twice",
    "message-without-author",
    "message-without-time",
    "reaction-users-missing",
    "thread-without-root",
    "unknown-creator",
    "unknown-editor",
    "unknown-folder",
    "unknown-member",
    "unknown-mention",
    "unknown-pinner",
    "user-is-slackbot",
    "user-not-listed",
    "user-not-readable",
    "user-without-email",
    "username-changed",
}


def user(id: str, name: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "name": name, "profile": {"email": f"{name}@example.org"}, **more}


def file(id: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "name": f"{id}.png", "mimetype": "image/png", **more}


def message(number: int, **more: Any) -> dict[str, Any]:
    when = f"{1_600_000_000 + number}.000100"
    return {"type": "message", "user": "U0ANN0001", "ts": when, "text": f"message {number}", **more}


GONE = [
    file("F0TOMB001", mode="tombstone"),
    file("F0LIMIT01", mode="hidden_by_limit"),
    file("F0LIMIT02", is_hidden_by_limit=True, url_private="https://files.example.org/a.png"),
    file("F0FAR0001", is_external=True, url_private="https://docs.example.org/1", mode="external"),
    file("F0NOWHERE", mode="hosted"),
]
REACTIONS = [{"name": "wave", "users": ["U0ANN0001", "U0NOBODY1"], "count": 3}]
PIN = {"id": message(1)["ts"], "type": "C", "user": "U0NOBODY3", "created": 1_600_000_100}


def day(first: int, count: int) -> list[Any]:
    """Every loss that a message can have, and messages that have none."""
    return [
        message(first, files=GONE),
        message(first + 1, attachments=[{"text": "card", "files": [GONE[2]]}]),
        message(first + 2, reactions=REACTIONS),
        message(first + 3, text="<@U0NOBODY2> and <#C0NOWHERE>"),
        message(first + 4, edited={"user": "U0NOBODY2", "ts": "1600000000.000200"}),
        message(first + 5, edited={"user": "U0ANN0001", "ts": "then"}),
        message(first + 6, user=None),
        message(first + 7, ts=None),
        message(first + 7, ts="soon"),
        message(first + 8, subtype="message_changed"),
        message(first + 9, subtype="of_tomorrow"),
        message(first + 10, thread_ts="1500000000.000100"),
        message(first + 11, user="U0NOBODY4"),
        message(first + 12),
        message(first + 12, text="again"),
        "no message",
        *(message(number) for number in range(first + 14, first + count)),
    ]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    people = ["U0ANN0001", "U0BEN0001"]
    files: dict[str, Any] = {
        "users.json": [
            user("U0ANN0001", "ann"),
            user("U0BEN0001", "ben"),
            user("U0BEN0001", "ben"),
            user("U0ADMIN01", "admin"),
            {"id": "U0NOMAIL1", "name": "nomail"},
            user("USLACKBOT", "slackbot"),
            17,
        ],
        "channels.json": [
            {"id": "C0PLANS01", "name": "plans", "creator": "U0GONE001", "members": [*people, "U0GONE002"]},
            {"id": "C0PLANS01", "name": "plans", "creator": people[0], "members": people},
            {"id": "C0GUESS01", "name": "guess", "creator": people[0], "pins": [PIN]},
        ],
        "dms.json": [{"id": "D0NOBODY1", "members": []}],
        "integration_logs.json": [],
        "lost/2020-09-13.json": [message(1)],
        "guess/2020-09-13.json": [message(1)],
        "plans/2020-09-12.json": '[{"type": "message", "user": ',
        "D0NOBODY1/2020-09-13.json": [message(number) for number in range(5)],
    }
    for number in range(4):
        files[f"plans/2020-10-{13 + number}.json"] = day(100_000 * number + 20, 1000)
    return write_folder(tmp_path_factory.mktemp("losses"), files)


def inspected(archive: Path, importer: str = "slack") -> Inspection:
    with open_archive(archive, single=True) as opened:
        return inspect_archive(IMPORTERS[importer], opened)


@pytest.mark.parametrize("workers", [0, 2])
def test_inspect_tells_of_every_loss_of_an_import(export: Path, workers: int) -> None:
    found = inspected(export)
    laid_over = founded(MemoryDestination(keep_messages=False))
    settings = Settings(data=export.parent, workers=workers)
    imported = import_archive(export, laid_over, settings=settings)
    assert found.kinds == kinds(imported)
    assert found.kinds.keys() >= LOSSES
    messages = imported.report["messages"]
    assert found.messages == messages["inserted"]
    assert found.left_out == messages["skipped"] + messages["failed"]


def test_inspect_lists_what_a_dry_run_lists(export: Path, tmp_path: Path) -> None:
    found, dry = (
        json.loads(chatferry(*command, export, "--json", CHATFERRY_DATA=str(tmp_path / "none")).stdout)
        for command in (["inspect"], ["import", "slack", "--dry-run"])
    )
    assert found["problems"] == dry["problems"] != []
    counts = Counter[str]()
    for problem in dry["problems"]:
        counts[problem["kind"]] += problem["count"]
    assert found["problemKinds"] == counts
    assert not (tmp_path / "none").exists()


def test_an_export_without_a_record_says_why(tmp_path: Path) -> None:
    write_folder(tmp_path, {"members.csv": "username,email,status\nben,,Member\n"})
    found = inspected(tmp_path / "members.csv", "slack-users")
    assert (found.users, found.messages, found.left_out) == (0, 0, 0)
    assert found.kinds == {"user-without-id": 1}


def test_a_passing_destination_keeps_nothing() -> None:
    passing = PassingDestination()
    document = {"_id": "m1", "rid": "r1", "msg": "", "u": {"_id": "u1", "username": "ann"}}
    assert passing.insert([("m1", b"digest", document)]) == []
    subscription = {"_id": "s1", "rid": "r1", "u": {"_id": "u1", "username": "ann"}, "t": "c"}
    rejections = passing.apply([Insert(SUBSCRIPTIONS, subscription)])
    assert (rejections, passing.digests(["m1"]), list(passing.dump(SUBSCRIPTIONS))) == ([], {}, [])


def test_a_rejection_names_the_index_of_its_change() -> None:
    passing = founded(PassingDestination())
    subscription = {"_id": "s1", "rid": "r1", "u": {"_id": "u1", "username": "ann"}, "t": "c"}
    taken = {"_id": "another", "username": "admin"}
    (refused,) = passing.apply([Insert(SUBSCRIPTIONS, subscription), Insert(USERS, taken)])
    assert refused.index == 1
    assert "admin" in refused.reason


LISTED = {
    "users.json": [user("U1", "ada"), user("U2", "ben", deleted=True), user("U3", "=HYPERLINK(1)")],
    "channels.json": [
        {"id": "C1", "name": "town", "creator": "U1", "members": ["U1", "U2"]},
        {"id": "C2", "name": "quiet", "creator": "U1", "members": ["U1"]},
    ],
    "town/2024-01-01.json": [
        {"type": "message", "user": "U1", "text": "hello", "ts": "1704067200.000100"},
        {
            "type": "message",
            "user": "U2",
            "text": "",
            "ts": "1704153600.000200",
            "files": [file("F1", size=2_500_000, url_private="https://files.slack.com/F1")],
        },
    ],
}


def test_rooms_and_users_are_listed_with_what_they_hold(tmp_path: Path) -> None:
    export = write_folder(tmp_path / "export", LISTED)
    rooms = json.loads(chatferry("inspect", export, "--channels", "--json").stdout)
    assert rooms == [
        {
            "id": "C1", "name": "town", "kind": "public", "members": 2, "messages": 2,
            "first": "2024-01-01", "last": "2024-01-02", "files": 1, "fileBytes": 2_500_000,
        },
        {
            "id": "C2", "name": "quiet", "kind": "public", "members": 1, "messages": 0,
            "first": None, "last": None, "files": 0, "fileBytes": 0,
        },
    ]  # fmt: skip
    users = json.loads(chatferry("inspect", export, "--users", "--json").stdout)
    assert [(one["id"], one["kind"], one["messages"]) for one in users] == [
        ("U1", "user", 1),
        ("U2", "deleted", 1),
        ("U3", "user", 0),
    ]
    table = chatferry("inspect", export, "--channels").stdout.splitlines()
    assert table[0].split() == ["id", "name", "kind", "members", "messages", "first", "last", "files", "MB"]
    assert table[1].split() == ["C1", "town", "public", "2", "2", "2024-01-01", "2024-01-02", "1", "2.5"]
    assert "  from 2024-01-01 to 2024-01-02\n" in chatferry("inspect", export).stdout


def test_a_list_as_csv_holds_no_formula(tmp_path: Path) -> None:
    export = write_folder(tmp_path / "export", LISTED)
    shown = chatferry("inspect", export, "--users", "--csv").stdout
    rows = list(csv.reader(shown.splitlines()))
    assert rows[0] == ["id", "name", "kind", "members", "messages", "first", "last", "files", "fileBytes"]
    assert [row[1] for row in rows[1:]] == ["ada", "ben", "'=HYPERLINK(1)"]
    for wrong in (["--users", "--channels"], ["--csv"]):
        assert chatferry("inspect", export, *wrong).returncode == 2
