"""Slack exports beyond the golden cases: many messages, deep nesting, and refusals."""

import json
from pathlib import Path
from typing import Any

import pytest

from chatferry.documents import MESSAGES, ROOMS, SUBSCRIPTIONS
from chatferry.operations import Status
from chatferry.store import Store
from tests.support.golden import changed, counts, finished, workspace, write_zip
from tests.support.importing import Imported, import_archive, write_folder
from tests.support.slack import ALICE, DAY, HELLO, PLANS

LATER = {**HELLO, "text": "later", "ts": "1600000202.000100"}


def export(messages: Any, **channel: Any) -> dict[str, Any]:
    return {"users.json": [ALICE], "channels.json": [{**PLANS, **channel}], DAY: messages}


def imported_export(tmp_path: Path, files: dict[str, Any]) -> Imported:
    return import_archive(write_folder(tmp_path / "export", files), workspace())


def texts(imported: Imported) -> list[str]:
    return [message["msg"] for message in imported.documents(MESSAGES)]


def odd(fields: str) -> str:
    """A day file whose second message has these fields too."""
    between = {**HELLO, "text": "", "ts": "1600000201.000100"}
    return f"[{json.dumps(HELLO)}, {json.dumps(between)[:-1]}, {fields}}}, {json.dumps(LATER)}]"


def nested(depth: int, start: str = "[", end: str = "]", core: str = "") -> str:
    return start * depth + core + end * depth


LIST = '{"type": "rich_text_list", "elements": ['

ODD = {
    "deep-blocks": f'"blocks": {nested(100_000)}',
    "deep-objects": '"unknown": ' + nested(100_000, '{"a": ', "}", "1"),
    "deep-with-nul": f'"unknown": ["\\u0000", {nested(600)}]',
    "deep-with-invalid-text": f'"attachments": [{{"text": "\\ud83d", "more": {nested(800)}}}]',
    "key-no-text": '"\\ud83d": "\\ud83d"',
    "file-of-odd-size": f'"files": [{{"id": "F1", "url_private": "https://x.org", "size": {10**30}}}]',
    "odd-reply-count": f'"thread_ts": "1600000201.000100", "latest_reply": "1", "reply_count": {10**30}',
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_message_ends_no_operation(name: str, tmp_path: Path) -> None:
    imported = finished(imported_export(tmp_path, export(odd(ODD[name]))))
    assert texts(imported)[0] == "hello"
    for message in imported.documents(MESSAGES):
        assert abs(message.get("tcount", 0)) < 2**63


def test_no_depth_ends_the_operation(tmp_path: Path) -> None:
    for depth in [*range(470, 500), *range(960, 1000)]:
        blocks = '[{"type": "rich_text", "elements": [' + nested(depth, LIST, "]}") + "]}]"
        for number, fields in enumerate((f'"blocks": {blocks}', f'"reactions": {nested(depth)}')):
            finished(imported_export(tmp_path / f"{depth}-{number}", export(odd(fields))))


def test_a_file_of_nothing_but_brackets(tmp_path: Path) -> None:
    imported = finished(imported_export(tmp_path, export(nested(100_000))))
    assert imported.problem_kinds == ["message-not-readable"]


@pytest.mark.parametrize("created", [10**15, 10**30])
def test_an_odd_time_of_a_pin_ends_no_operation(created: int, tmp_path: Path) -> None:
    pins = [{"id": HELLO["ts"], "created": created, "user": "U0ALICE01"}]
    imported = finished(imported_export(tmp_path, export([HELLO, LATER], pins=pins)))
    assert [message.get("pinned") for message in imported.documents(MESSAGES)] == [True, None]


def test_a_message_twice_far_apart(tmp_path: Path) -> None:
    many = [{**HELLO, "text": str(n), "ts": f"{1600000200 + n}.000100"} for n in range(1001)]
    again = {**many[0], "text": "other"}
    archive = write_folder(tmp_path / "export", {**export(many), "plans/2020-09-14.json": [again]})
    destination, store = workspace(), Store()
    imported = finished(import_archive(archive, destination, store))
    assert counts(imported)["messages"] == {"read": 1002, "inserted": 1001, "skipped": 1}
    assert texts(imported)[0] == "0"
    assert changed(import_archive(archive, destination, store)) == {}


def test_a_message_of_a_day_out_of_order_comes_again(tmp_path: Path) -> None:
    again = {**HELLO, "text": "again"}
    files = {**export([LATER, HELLO]), "plans/2020-09-14.json": [again]}
    imported = finished(imported_export(tmp_path, files))
    assert texts(imported) == ["hello", "later"]
    (problem,) = imported.report["problems"]
    assert problem["file"] == "plans/2020-09-14.json"
    assert problem["reason"].startswith("a message of another day file has the same time")


def test_a_thread_across_parts(tmp_path: Path) -> None:
    many = [{**HELLO, "text": str(n), "ts": f"{1600000200 + n}.000100"} for n in range(2000)]
    reply = {**HELLO, "ts": "1600090000.000100", "thread_ts": HELLO["ts"]}
    files = {**export(many), "plans/2020-09-14.json": [reply]}
    imported = finished(imported_export(tmp_path, files))
    root, *_, answer = imported.documents(MESSAGES)
    assert (root["tcount"], root["tlm"], answer["tmid"]) == (1, answer["ts"], root["_id"])


def test_a_message_of_ten_megabytes(tmp_path: Path) -> None:
    long = "0123456789" * 1_000_000
    imported = finished(imported_export(tmp_path, export([HELLO, {**LATER, "text": long}])))
    assert texts(imported) == ["hello", long]
    assert imported.problem_kinds == ["message-very-long"]


def test_a_message_too_long_for_a_document(tmp_path: Path) -> None:
    long = "ä" * 7_000_000
    imported = finished(imported_export(tmp_path, export([HELLO, {**LATER, "text": long}])))
    assert texts(imported) == ["hello", long[:6_000_000]]
    assert imported.problem_kinds == ["message-cut"]


def test_the_default_room_counts_who_joined(tmp_path: Path) -> None:
    imported = finished(imported_export(tmp_path, export([HELLO])))
    joined = [entry for entry in imported.documents(SUBSCRIPTIONS) if entry["rid"] == "GENERAL"]
    assert imported.by_id(ROOMS)["GENERAL"]["usersCount"] == len(joined) == 1


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "empty": ({}, "is empty"),
    "txt": ({"channels/general/2020-09-13.txt": "hi", "dms/bob/2020-09-13.txt": "ho"}, "TXT format"),
    "another": ({"posts.csv": "a,b", "media/a.png": b"\x89PNG"}, "is no Slack export"),
    "unreadable": ({"users.json": "<html>", "channels.json": "<html>"}, "can be read"),
    "only-empty-lists": ({"users.json": [], "channels.json": []}, "can be read"),
}


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "folder"])
@pytest.mark.parametrize("name", REFUSED)
def test_archives_that_are_no_slack_export_are_refused(name: str, as_zip: bool, tmp_path: Path) -> None:
    files, why = REFUSED[name]
    archive = write_zip(tmp_path / "export.zip", files) if as_zip else tmp_path / "export"
    if not as_zip:
        archive.mkdir()
        write_folder(archive, files)
    operation = import_archive(archive, workspace()).operation
    assert operation.status == Status.FAILED
    assert why in operation.error
    assert operation.error.startswith("export")
    assert "unforeseen" not in operation.error
