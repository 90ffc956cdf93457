"""Golden cases: what each feature and each fault of an export becomes.

A case is a folder of cases/<importer>, named for the feature or fault:

archive.json    path -> content: a JSON value, {"$text": ...} as it is, or {"$base64": ...} for bytes
workspace.json  collection -> documents that the workspace holds before, where it is not a new one
earlier.json    an older archive of the same workspace, imported first
expected.json   the documents of the collections it names, the problems and the counts, as they must come out;
                where it names them, the causes too: the problems as the report shows them

With CHATFERRY_UPDATE_GOLDEN=1 expected.json is written anew.
"""

import base64
import json
import os
import zipfile
import zlib
from collections import Counter
from difflib import unified_diff
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chatferry import accounts
from chatferry.clock import now
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
from chatferry.importers import IMPORTERS
from chatferry.operations import Status
from chatferry.problems import causes
from chatferry.records import Problem
from chatferry.reports import operation as report
from tests.support.importing import Imported, lasting, write_folder

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


# ---------------------------------------------------------------- the import


def workspace() -> MemoryDestination:
    """A new workspace whose administrator is the same in every run."""
    destination = MemoryDestination()
    accounts.found_workspace(destination, Date.at(now()))
    admin = {"_id": "admin", "type": "user", "username": "admin", "name": "Admin", "roles": ["admin"]}
    destination.apply([Insert(USERS, admin | {"active": True, "status": "offline"})])
    return destination


def fill(destination: MemoryDestination, path: Path) -> None:
    """Put the documents that the case expects into the workspace."""
    if path.exists():
        for collection, entries in json.loads(path.read_text()).items():
            inserts = [Insert(SHOWN[collection], decode(json.dumps(entry))) for entry in entries]
            assert destination.apply(inserts) == []


def write(path: Path, place: Path) -> Path:
    """The archive that the file describes: a single file if it may be one, else a zip or a folder."""
    files: dict[str, Any] = {name: content(value) for name, value in json.loads(path.read_text()).items()}
    if IMPORTERS[path.parent.parent.name].single and len(files) == 1:
        (name,) = files
        return write_folder(place, files) / name
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
    """Return the report of an import, and the files that are still to be fetched."""
    store, operation = imported.store, imported.operation
    pending = [found.file for found in store.pending_files.pending("")]
    return {
        "pending_files": [
            msgspec.to_builtins(file)
            for file in sorted(pending, key=lambda file: (file.message_id, file.upload_id))
        ],
        "problems": [
            {
                "kind": problem.kind,
                "record": problem.record,
                "effect": problem.effect.value,
                "file": problem.file,
                "position": problem.position,
                "field": problem.field,
                "reason": reason(problem),
            }
            for problem in store.problems.all(operation.id)
        ],
        "causes": [
            f"{cause.kind}: {cause.count} {cause.effect.value}, {cause.reason}"
            for cause in causes(store.problems.all(operation.id), report.MOST_CAUSES)
        ],
        "counts": counts(imported),
    }


def reason(problem: Problem) -> str:
    return problem.reason if problem.count == 1 else f"{problem.reason} ({problem.count:,} records)"


def counts(imported: Imported) -> dict[str, dict[str, int]]:
    """The report's counts, without zeros."""
    tallies = report.tallies(imported.operation, imported.store)
    named = {name: msgspec.to_builtins(tally) for name, tally in tallies.items()}
    return {
        name: {outcome: count for outcome, count in tally.items() if count}
        for name, tally in named.items()
        if any(tally.values())
    }


def kinds(imported: Imported) -> Counter[str]:
    """How many problems of each kind the import has, counted as the report counts them."""
    found = Counter[str]()
    for problem in imported.store.problems.all(imported.operation.id):
        found[problem.kind] += problem.count
    return found


def changed(imported: Imported) -> dict[str, dict[str, int]]:
    """Return the counts of inserted and updated records of an import."""
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
    """Check that no token of Slack's is in a document or in the report."""
    assert "xoxe" not in json.dumps(imported.report)
    for collection in COLLECTIONS:
        for line in imported.destination.dump(collection):
            assert b"xoxe" not in line, f"a token in {collection}: {line.decode()}"


# ---------------------------------------------------------------- what was expected


def compare(found: dict[str, Any], path: Path) -> None:
    """Fail with the difference to the file's content, in the parts that the file holds."""
    expected = json.loads(path.read_text()) if path.exists() else {}
    found = {name: found[name] for name in found if name in expected or name in ALWAYS}
    if UPDATE:
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
