"""Names of rooms: kept where the destination's settings allow them, else changed and noted."""

from pathlib import Path
from typing import Any

import pytest

from chatferry.convert.names import ANY, PATTERN, room_names
from chatferry.destinations import open_destination
from chatferry.documents import ROOMS
from tests.support.importing import Imported, founded, import_archive, sqlite_workspace, write_folder
from tests.support.mongo import Mongod, set_settings, wipe

NAMES = ["plans", "español-spanish", "オンライン読書会", "हिन्दी", "FC:F1:Größe"]
SLUGS = ["plans", "espanol-spanish", "onrainDu-Shu-Hui", "hindii", "FC-F1-Grosse"]
ROCKETCHATS_FIRST = r"[0-9a-zA-Z-_.]+"
LETTERS = r"[0-9a-zA-Z-_.\u00C0-\uFFFF]+"


def imported(folder: Path, destination: Any) -> Imported:
    people = [{"id": "U0ANN", "name": "ann", "profile": {"email": "ann@example.org"}}]
    rooms = [
        {"id": f"C{number}", "name": name, "creator": "U0ANN", "members": ["U0ANN"]}
        for number, name in enumerate(NAMES)
    ]
    return import_archive(
        write_folder(folder / "e", {"users.json": people, "channels.json": rooms}), destination
    )


def names(found: Imported) -> list[tuple[str, str]]:
    rooms = sorted(
        (room for room in found.documents(ROOMS) if room["_id"] != "GENERAL"),
        key=lambda one: one["importIds"],
    )
    return [(room["name"], room["fname"]) for room in rooms]


def changed(found: Imported) -> int:
    return found.problem_kinds.count("room-name-changed")


def test_an_embedded_workspace_keeps_letters(tmp_path: Path) -> None:
    with sqlite_workspace(tmp_path / "workspace.sqlite3") as destination:
        found = imported(tmp_path, destination)
        assert names(found) == list(zip([*NAMES[:4], "FC-F1-Größe"], NAMES, strict=True))
        assert changed(found) == 1


@pytest.mark.parametrize(
    ("settings", "wanted", "notes"),
    [
        ({}, SLUGS, 4),
        ({PATTERN: ROCKETCHATS_FIRST, ANY: False}, SLUGS, 4),
        ({PATTERN: ROCKETCHATS_FIRST, ANY: True}, SLUGS, 0),
        ({PATTERN: LETTERS}, [*NAMES[:4], "FC-F1-Größe"], 1),
        ({PATTERN: "(("}, SLUGS, 4),
    ],
    ids=["no settings", "plain names", "any name is shown", "letters", "no expression"],
)
def test_rocket_chats_settings_decide(
    tmp_path: Path, mongod: Mongod, settings: dict[str, Any], wanted: list[str], notes: int
) -> None:
    with mongod.client() as client:
        wipe(client["names"])
        set_settings(client["names"], settings)
    destination = open_destination(mongod.database_url("names"))
    try:
        found = imported(tmp_path, founded(destination))
        assert names(found) == list(zip(wanted, NAMES, strict=True))
        assert changed(found) == notes
    finally:
        destination.close()


def test_names_of_nothing_but_signs() -> None:
    assert room_names({}).fitted("🎉 :: 🎉") == ""
    assert room_names({PATTERN: LETTERS}).fitted("Größe & Länge (neu)") == "Größe-Länge-neu"
