"""Slack exports of the texts in the corpus."""

from pathlib import Path
from typing import Any

from tests.support.importing import Imported, import_archive, write_folder
from tests.support.shown import corpus

Json = dict[str, Any]


def export(said: list[Json]) -> Json:
    people = [
        {"id": id, "name": name, "profile": {"email": f"{id}@example.org"}}
        for id, name in corpus.USERS.items()
    ]
    rooms = [{"id": id, "name": name, "members": [*corpus.USERS]} for id, name in corpus.CHANNELS.items()]
    return {"users.json": people, "channels.json": rooms, "plans/2020-09-13.json": said}


def message(number: int, said: Json) -> Json:
    author = {} if "bot_id" in said else {"user": "U0ALICE01"}
    return {"type": "message", "ts": f"{1_600_000_000 + number}.000100", **author, **said}


def imported(place: Path, said: list[Json]) -> Imported:
    return import_archive(write_folder(place / "export", export(said)))
