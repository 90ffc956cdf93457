"""Problems: as many are listed as people read, and all are counted."""

import json
from collections import Counter
from pathlib import Path

from chatferry.problems import MOST_OF_ARCHIVE, MOST_OF_PART, UNLISTED, Notes, causes, problem
from tests.support.importing import import_archive, write_folder

ALICE = {"id": "U1", "name": "alice", "profile": {"email": "alice@example.org"}}
GENERAL = {"id": "C1", "name": "general", "members": ["U1"]}


def said(number: int = 0, **fields: object) -> dict[str, object]:
    ts = f"{1_600_000_000 + number}.000100"
    return {"type": "message", "user": "U1", "ts": ts, "text": "a", **fields}


def write_slack(folder: Path, messages: list[object], users: list[object] | None = None) -> Path:
    lists = {"users.json": json.dumps(users or [ALICE]), "channels.json": json.dumps([GENERAL])}
    write_folder(folder, {**lists, "general/2020-09-13.json": json.dumps(messages)})
    return folder


def test_a_few_problems_of_a_kind_are_listed_and_the_rest_counted() -> None:
    files = "a.json", "a.json", "a.json", "a.json", "b.json"
    notes = Notes(2, [problem("message-twice", f"reason {n}", file=file) for n, file in enumerate(files)])
    notes.append(problem("file-gone", "another kind"))
    notes.append(problem("message-twice", "reason 1", file="c.json"))
    assert notes.counting == {1, 2}
    assert [(note.kind, note.reason, note.file, note.count) for note in notes] == [
        ("message-twice", "reason 0", "a.json", 1),
        ("message-twice", "reason 1", "a.json", 2),
        ("message-twice", UNLISTED, "", 3),
        ("file-gone", "another kind", "", 1),
    ]


def test_problems_of_one_kind_and_reason_are_one_cause() -> None:
    notes = [
        problem("file-gone", "it is gone", file="a.json", position=1, field="files"),
        problem("unknown-mention", "U1 is unknown", count=2),
        problem("unknown-mention", "it is gone", count=7),
        problem("message-without-time", "no time"),
        problem("file-gone", "it is gone", file="b.json", position=2, field="files"),
        problem("unknown-mention", "U1 is unknown", count=3),
    ]
    assert [(one.kind, one.count, one.file, one.position) for one in causes(notes, 5)] == [
        ("message-without-time", 1, "", ""),
        ("file-gone", 2, "a.json", "$[1]"),
        ("unknown-mention", 7, "", ""),
        ("unknown-mention", 5, "", ""),
    ]


def test_the_largest_causes_of_a_kind_are_listed_and_the_rest_counted() -> None:
    notes = [problem("message-twice", f"reason {n}", position=n, count=1 + n % 3) for n in range(5000)]
    notes += [problem("message-twice", UNLISTED, count=100)]
    found = causes(notes, 2)
    assert [(one.reason, one.count) for one in found[:2]] == [("reason 2", 3), ("reason 5", 3)]
    assert [(one.reason, one.position) for one in found[2:]] == [(UNLISTED, "")]
    assert sum(one.count for one in found) == sum(1 + n % 3 for n in range(5000)) + 100


def test_a_long_reason_and_a_long_name_are_cut() -> None:
    note = problem("message-twice", "a" * 100_000 + "!", file="b" * 100_000 + ".json")
    assert len(note.reason) == len(note.file) == 1000
    assert (note.reason[-2:], note.file[-6:]) == ("a!", "b.json")


def test_a_message_with_very_many_reactions_has_few_problems(tmp_path: Path) -> None:
    """One message of 3 kB in a zip once filled the store with 32 MB."""
    named = [f"U{number:05}" for number in range(30_000)]
    reactions = [*[{"name": "b", "count": 1}] * 30_000, {"name": "c", "users": named}]
    found = import_archive(write_slack(tmp_path / "export", [said(reactions=reactions)]))
    assert found.report["messages"]["inserted"] == 1
    assert len(found.report["problems"]) < MOST_OF_ARCHIVE + 1500
    reasons = [one["reason"] for one in found.report["problems"]]
    assert UNLISTED in reasons
    counts = Counter[str]()
    for one in found.report["problems"]:
        counts[one["kind"]] += one["count"]
    assert counts["reaction-users-missing"] == counts["user-not-listed"] == 30_000


def test_all_wrong_fields_of_an_element_are_counted(tmp_path: Path) -> None:
    found = import_archive(write_slack(tmp_path / "export", [said(pinned_to=[1] * 5000)]))
    assert len([one for one in found.report["problems"] if one["kind"] == "field-dropped"]) == 101
    assert "4,900 more values are of a wrong type" in [one["reason"] for one in found.report["problems"]]


def test_failed_records_that_are_not_listed_are_counted(tmp_path: Path) -> None:
    users: list[object] = [ALICE, *[1] * (MOST_OF_ARCHIVE + 500)]
    messages: list[object] = [said(), *[{"type": "message", "text": "b"}] * (MOST_OF_PART + 500)]
    found = import_archive(write_slack(tmp_path / "export", messages, users))
    assert found.report["users"]["failed"] == MOST_OF_ARCHIVE + 500
    assert found.report["messages"]["failed"] == MOST_OF_PART + 500
    assert found.report["messages"]["inserted"] == 1
    assert len(found.report["problems"]) <= MOST_OF_ARCHIVE + MOST_OF_PART + 10
