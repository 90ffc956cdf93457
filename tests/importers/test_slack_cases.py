"""Golden cases: what each feature and each fault of a Slack export becomes.

A case is a folder of cases/slack, named for the feature or fault:

archive.json    path -> content: a JSON value, {"$text": ...} as it is, or {"$base64": ...} for bytes
workspace.json  collection -> documents that the workspace holds before, where it is not a new one
earlier.json    an older archive of the same workspace, imported first
expected.json   the documents of the collections it names, the problems and the counts, as they must come out

With CHATFERRY_UPDATE_GOLDEN=1 expected.json is written anew, except for the cases of KNOWN.
"""

import base64
import json
import os
import zipfile
import zlib
from collections.abc import Iterable
from difflib import unified_diff
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chatferry import accounts, report
from chatferry.destinations.memory import MemoryDestination
from chatferry.documents import (
    COLLECTIONS,
    CONTACTS,
    MESSAGES,
    ROOMS,
    SUBSCRIPTIONS,
    USERS,
    Date,
    Document,
    Insert,
    decode,
)
from chatferry.operations import Status
from chatferry.pipeline import now
from chatferry.store import Store
from tests.importing import Imported, import_archive, lasting, write_folder

CASES = Path(__file__).parent / "cases" / "slack"
UPDATE = os.environ.get("CHATFERRY_UPDATE_GOLDEN") == "1"
SHOWN = {
    "users": USERS,
    "contacts": CONTACTS,
    "rooms": ROOMS,
    "subscriptions": SUBSCRIPTIONS,
    "messages": MESSAGES,
}
ALWAYS = ("messages", "problems", "counts")
WIDTH = 110

KNOWN: dict[str, str] = {}
"""Cases whose expected.json says what is right, while the source does something else, the worst first.

There a reason of "*" stands for any: how the source will put it is still open.
"""


def marked(names: Iterable[str], known: dict[str, str]) -> list[Any]:
    """Test parameters, of which those in `known` are to fail."""
    marks = {name: [pytest.mark.xfail(strict=True, reason=reason)] for name, reason in known.items()}
    return [pytest.param(name, marks=marks.get(name, [])) for name in names]


@pytest.mark.parametrize("name", marked(sorted(path.name for path in CASES.iterdir()), KNOWN))
def test_case(name: str, tmp_path: Path) -> None:
    case = CASES / name
    began = Date.at(now())
    destination, store = workspace(), Store()
    first = documents(destination)
    fill(destination, case / "workspace.json")
    if (case / "earlier.json").exists():
        finished(import_archive(write(case / "earlier.json", tmp_path / "earlier"), destination, store))
    archive = write(case / "archive.json", tmp_path / "export")
    imported = finished(import_archive(archive, destination, store))
    found = {**news(first, documents(destination)), **told(imported)}
    found = without_now(found, began)
    keep_secrets(imported)
    compare(found, case / "expected.json", may_update=name not in KNOWN)
    before = dump(destination)
    again = finished(import_archive(archive, destination, store))
    assert changed(again) == {}, "a second import of the archive inserts and updates nothing"
    assert dump(destination) == before, "a second import of the archive leaves every document as it is"


# ---------------------------------------------------------------- beside the cases

HELLO = {"type": "message", "user": "U0ALICE01", "text": "hello", "ts": "1600000200.000100"}
LATER = {**HELLO, "text": "later", "ts": "1600000202.000100"}
ALICE = {"id": "U0ALICE01", "name": "alice", "profile": {"real_name": "Alice", "email": "alice@example.org"}}
PLANS = {"id": "C0PLANS01", "name": "plans", "created": 1600000000, "creator": "U0ALICE01", "members": []}
DAY = "plans/2020-09-13.json"


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
ODD_KNOWN: dict[str, str] = {}


@pytest.mark.parametrize("name", marked(ODD, ODD_KNOWN))
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
def test_what_is_no_export_is_refused(name: str, as_zip: bool, tmp_path: Path) -> None:
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


# ---------------------------------------------------------------- the import


def workspace() -> MemoryDestination:
    """A new workspace whose administrator is the same in every run."""
    destination = MemoryDestination()
    accounts.found_workspace(destination, Date.at(now()))
    admin = {"_id": "admin", "type": "user", "username": "admin", "name": "Admin", "roles": ["admin"]}
    destination.apply([Insert(USERS, admin | {"active": True, "status": "offline"})])
    return destination


def fill(destination: MemoryDestination, path: Path) -> None:
    """Put what the case wants to be there into the workspace."""
    if path.exists():
        for collection, entries in json.loads(path.read_text()).items():
            inserts = [Insert(SHOWN[collection], decode(json.dumps(entry))) for entry in entries]
            assert destination.apply(inserts) == []


def write(path: Path, place: Path) -> Path:
    """The archive that the file describes: a zip for some cases, a folder for the others."""
    files = {name: content(value) for name, value in json.loads(path.read_text()).items()}
    is_zip = zlib.crc32(path.parent.name.encode()) % 2 == 0
    return write_zip(place.with_suffix(".zip"), files) if is_zip else write_folder(place, files)


def write_zip(place: Path, files: dict[str, Any]) -> Path:
    with zipfile.ZipFile(place, "w") as archive:
        for name, value in files.items():
            archive.writestr(name, value if isinstance(value, str | bytes) else json.dumps(value))
    return place


def content(value: Any) -> Any:
    match value:
        case {"$text": str(text)}:
            return text
        case {"$base64": str(text)}:
            return base64.b64decode(text)
    return value


def finished(imported: Imported) -> Imported:
    assert (imported.operation.status, imported.operation.error) == (Status.DONE, "")
    return imported


# ---------------------------------------------------------------- what came out


def dump(destination: MemoryDestination) -> dict[str, list[bytes]]:
    return {collection: list(destination.dump(collection)) for collection in COLLECTIONS}


def documents(destination: MemoryDestination) -> dict[str, dict[str, Document]]:
    """The documents of the collections that cases show, by `_id`."""
    return {
        name: {
            document["_id"]: lasting(document) for document in map(json.loads, destination.dump(collection))
        }
        for name, collection in SHOWN.items()
    }


def news(
    before: dict[str, dict[str, Document]], after: dict[str, dict[str, Document]]
) -> dict[str, list[Document]]:
    """The documents that a new workspace does not hold, or not like this.

    That users joined the default room is no news: test_the_default_room_counts_who_joined looks at it.
    """
    if "importIds" not in after["rooms"]["GENERAL"]:
        del after["rooms"]["GENERAL"]
    return {
        name: [document for id, document in entries.items() if before[name].get(id) != document]
        for name, entries in after.items()
    }


def told(imported: Imported) -> dict[str, Any]:
    """What the service says of the import, and which files it has still to fetch."""
    store, operation = imported.store, imported.operation
    messages = imported.by_id(MESSAGES)
    return {
        "pending_files": [
            msgspec.to_builtins(file) for id in messages for file in store.pending_files.of_message(id)
        ],
        "problems": [
            {
                "kind": problem.kind,
                "record": problem.record,
                "effect": problem.effect.value,
                "file": problem.file,
                "position": problem.position,
                "field": problem.field,
                "reason": report.counted_reason(problem),
            }
            for problem in store.problems.all(operation.id)
        ],
        "counts": counts(imported),
    }


def counts(imported: Imported) -> dict[str, dict[str, int]]:
    """The report's counts, without zeros."""
    tallies = report.tallies(imported.operation, imported.store)
    named = {name: msgspec.to_builtins(tally) for name, tally in tallies.items()}
    return {
        name: {outcome: count for outcome, count in tally.items() if count}
        for name, tally in named.items()
        if any(tally.values())
    }


def changed(imported: Imported) -> dict[str, dict[str, int]]:
    """What an import says to have inserted and updated."""
    found = {
        name: {outcome: count for outcome, count in tally.items() if outcome in ("inserted", "updated")}
        for name, tally in counts(imported).items()
    }
    return {name: tally for name, tally in found.items() if tally}


def without_now(value: Any, began: Date) -> Any:
    """The value with every time of the import itself as "<now>"."""
    if isinstance(value, dict):
        if set(value) == {"$date"} and began.ms <= Date(value["$date"]).ms <= now():
            return "<now>"
        return {key: without_now(item, began) for key, item in value.items()}
    return [without_now(item, began) for item in value] if isinstance(value, list) else value


def keep_secrets(imported: Imported) -> None:
    """No token of Slack's stands in a document or in the report."""
    assert "xoxe" not in json.dumps(imported.report)
    for collection in COLLECTIONS:
        for line in imported.destination.dump(collection):
            assert b"xoxe" not in line, f"a token in {collection}: {line.decode()}"


# ---------------------------------------------------------------- what was expected


def compare(found: dict[str, Any], path: Path, may_update: bool) -> None:
    """Fail with the difference to the file's content, in the parts that the file holds."""
    expected = json.loads(path.read_text()) if path.exists() else {}
    found = {name: found[name] for name in found if name in expected or name in ALWAYS}
    for problem, wanted in zip(found["problems"], expected.get("problems", ()), strict=False):
        if wanted["reason"] == "*":
            wanted["reason"] = problem["reason"]
    if UPDATE and may_update:
        path.write_text(pretty(found) + "\n")
    elif found != expected:
        was, now_is = pretty(expected).splitlines(), pretty(found).splitlines()
        difference = unified_diff(was, now_is, "expected", "found", n=2, lineterm="")
        pytest.fail("\n".join(difference), pytrace=False)


def pretty(value: Any, margin: int = 0, taken: int = 0) -> str:
    """JSON in which whatever fits on a line is on one line; `taken` is how much of the line is in use."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or margin + taken + len(line) < WIDTH:
        return line
    pad = " " * (margin + 2)
    if isinstance(value, dict):
        keys = [(json.dumps(key, ensure_ascii=False) + ": ", item) for key, item in value.items()]
        inner = [f"{pad}{key}{pretty(item, margin + 2, len(key))}" for key, item in keys]
    else:
        inner = [f"{pad}{pretty(item, margin + 2)}" for item in value]
    start, end = "{}" if isinstance(value, dict) else "[]"
    return f"{start}\n" + ",\n".join(inner) + f"\n{' ' * margin}{end}"
