"""Generated CSV exports against their truth manifests. Messages have no id in the source: what they say is
compared, as a list that is sorted."""

import json
from pathlib import Path
from typing import Any, Literal

import pytest

from chatferry.documents import COLLECTIONS, MESSAGES, ROOMS, SUBSCRIPTIONS, USERS
from chatferry.operations import Status
from testdata.csv_export import Shape, write_export
from tests.support.importing import Imported, import_archive, sqlite_workspace, workspace
from tests.support.truth import assert_sums

Line = tuple[Any, ...]


def truth(path: Path) -> dict[str, list[dict[str, Any]]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    kinds = ("user", "room", "message", "skipped", "totals")
    return {kind: [line for line in lines if line["kind"] == kind] for kind in kinds}


def wanted(lines: dict[str, list[dict[str, Any]]]) -> dict[str, list[Line]]:
    return {
        "users": sorted(
            (u["id"], u["username"], u["name"], u["email"] or "", u["active"]) for u in lines["user"]
        ),
        "rooms": sorted((r["id"], r["type"], r["name"] or "", tuple(r["members"])) for r in lines["room"]),
        "messages": sorted((m["room"], m["ts"], m["author"], m["text"]) for m in lines["message"]),
    }


def seen(imported: Imported) -> dict[str, list[Line]]:
    rooms = {room["_id"]: room for room in imported.documents(ROOMS) if "importIds" in room}
    members: dict[str, set[str]] = {}
    for subscription in imported.documents(SUBSCRIPTIONS):
        members.setdefault(subscription["rid"], set()).add(subscription["u"]["username"])
    return {
        "users": sorted(
            (user["importIds"][0], user["username"], user["name"], email(user), user["active"])
            for user in imported.documents(USERS)
            if "importIds" in user
        ),
        "rooms": sorted(
            (room["importIds"][0], room["t"], room.get("fname", ""), tuple(sorted(members[id])))
            for id, room in rooms.items()
        ),
        "messages": sorted(
            (rooms[m["rid"]]["importIds"][0], m["ts"].ms, m["u"]["username"], m["msg"])
            for m in imported.documents(MESSAGES)
        ),
    }


def email(user: dict[str, Any]) -> str:
    return str(user["emails"][0]["address"]) if "emails" in user else ""


@pytest.mark.parametrize("style", ["tidy", "excel", "shuffled"])
def test_everything_of_an_export_is_imported(
    tmp_path: Path, style: Literal["tidy", "excel", "shuffled"]
) -> None:
    messages = 15_000 if style == "shuffled" else 4_000
    write_export(
        tmp_path / "export.zip",
        Shape(channels=2, messages=messages, style=style),
        truth=tmp_path / "truth.jsonl",
    )
    lines = truth(tmp_path / "truth.jsonl")
    with sqlite_workspace(tmp_path / "workspace.sqlite3") as destination:
        imported = import_archive(tmp_path / "export.zip", destination, importer_key="csv")
        assert imported.operation.status == Status.DONE, imported.operation.error
        found = seen(imported)
    for kind, expected in wanted(lines).items():
        assert found[kind] == expected, kind
    assert_sums(imported)
    assert imported.report["messages"]["read"] == lines["totals"][0]["elements"]
    assert imported.report["messages"]["skipped"] == len(lines["skipped"]) > 0
    kinds = {"message-without-recipient", "user-without-email", "user-not-listed"}
    assert set(imported.problem_kinds) == kinds


def test_importing_twice_changes_nothing_and_a_newer_export_adds_what_is_new(tmp_path: Path) -> None:
    shape = Shape(messages=3_000, seed=5)
    write_export(tmp_path / "old.zip", shape)
    write_export(tmp_path / "new.zip", shape, truth=tmp_path / "truth.jsonl", extended=0.2)
    destination = workspace()
    first = import_archive(tmp_path / "old.zip", destination, importer_key="csv")
    before = {name: list(destination.dump(name)) for name in COLLECTIONS}
    import_archive(tmp_path / "old.zip", destination, importer_key="csv")
    assert {name: list(destination.dump(name)) for name in COLLECTIONS} == before

    newer = import_archive(tmp_path / "new.zip", destination, importer_key="csv")
    assert seen(newer) == wanted(truth(tmp_path / "truth.jsonl"))
    assert_sums(newer)
    messages = newer.report["messages"]
    assert messages["unchanged"] == first.report["messages"]["inserted"]
    assert messages["updated"] == 0 < messages["inserted"]
    assert set(before[MESSAGES]) <= set(destination.dump(MESSAGES))


def test_how_an_export_is_written_makes_no_other_messages(tmp_path: Path) -> None:
    """Other files, other order, other encoding, other header: the same ids."""
    destination = workspace()
    styles: tuple[Literal["tidy", "shuffled", "excel"], ...] = ("tidy", "shuffled", "excel")
    for style in styles:
        write_export(tmp_path / style, Shape(messages=1_000, style=style))
        imported = import_archive(tmp_path / style, destination, importer_key="csv")
        assert imported.operation.status == Status.DONE, imported.operation.error
        changes = imported.report["messages"]["inserted"], imported.report["messages"]["updated"]
        assert changes[1] == 0
        assert (changes[0] > 0) == (style == "tidy")


def test_the_same_shape_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_export(tmp_path / f"{name}.zip", Shape(messages=300), truth=tmp_path / f"{name}.jsonl")
    for suffix in ("zip", "jsonl"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
