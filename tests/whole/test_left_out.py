"""People who are listed but were not chosen: what messages lose with them is in the report."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from chatferry.convert import IdMap, MappedRoom, MappedUser
from chatferry.convert.messages import convert_message
from chatferry.documents import MESSAGES
from chatferry.operations import Choice, Selection
from chatferry.records import Edit, Message, Pin, Reaction
from chatferry.settings import Settings
from tests.support.importing import ALL, import_archive, lasting, workspace, write_folder

ANN, BEN, CEM = "U0ANN0001", "U0BEN0001", "U0CEM0001"  # Cem only reacts
ONLY_ANN = Selection(Choice(list=frozenset([ANN])), ALL.channels, ALL.contacts)
COUNT = 3000


def user(id: str, name: str) -> dict[str, Any]:
    return {"id": id, "name": name, "profile": {"email": f"{name}@example.org"}}


def message(number: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "message",
        "user": ANN,
        "text": f"message {number}",
        "ts": f"{1_600_000_000 + number}.000100",
    }
    if number % 10 == 0:
        found["reactions"] = [
            {"name": "wave", "users": [ANN, BEN, CEM], "count": 3},
            {"name": "tada", "users": [CEM], "count": 1},
        ]
    if number % 100 == 7:
        found["edited"] = {"user": BEN, "ts": "1600009999.000100"}
    return found


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    room = {"id": "C0PLANS01", "name": "plans", "creator": ANN, "members": [ANN]}
    pins = [{"id": message(3)["ts"], "type": "C", "user": CEM, "created": 1_600_000_100}]
    return write_folder(
        tmp_path_factory.mktemp("left-out"),
        {
            "users.json": [user(ANN, "ann"), user(BEN, "ben"), user(CEM, "cem")],
            "channels.json": [room | {"pins": pins}],
            "plans/2020-09-13.json": [message(number) for number in range(COUNT // 2)],
            "plans/2020-09-14.json": [message(number) for number in range(COUNT // 2, COUNT)],
        },
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_nothing_of_people_who_were_not_chosen_is_lost_in_silence(export: Path, workers: int) -> None:
    settings = Settings(data=export.parent, workers=workers)
    destination = workspace()
    found = import_archive(export, destination, selection=ONLY_ANN, settings=settings)
    told = Counter[str]()
    for problem in found.store.problems.all(found.operation.id):
        if problem.kind == "person-not-imported":
            told[problem.reason] += problem.count
    assert told == {
        "ben was not imported (not selected), so the reaction is left out": COUNT // 10,
        "cem was not imported (not selected), so the reaction is left out": 2 * COUNT // 10,
        "ben was not imported (not selected), so the editor's name is left out": COUNT // 100,
        "cem was not imported (not selected), so the pinner's name is left out": 1,
    }
    messages = found.documents(MESSAGES)
    assert len(messages) == COUNT
    reactions = [message["reactions"] for message in messages if "reactions" in message]
    assert reactions == [{":wave:": {"usernames": ["ann"]}}] * (COUNT // 10)
    assert {message["msg"] for message in messages if "editedBy" in message} == set()
    # An import of everybody brings it.
    whole = import_archive(export, destination, found.store, settings=settings)
    assert "person-not-imported" not in whole.problem_kinds
    new = import_archive(export, workspace())
    assert lasting(whole.documents(MESSAGES)) == lasting(new.documents(MESSAGES))


@pytest.mark.parametrize("absent", ["not selected", "failed"])
def test_absent_people_are_named_for_each_thing_that_is_lost(absent: str) -> None:
    people = {
        ANN: MappedUser("a", "ann"),
        BEN: MappedUser("", "ben", absent=absent),
        CEM: MappedUser("", "", absent=absent),
    }
    known = IdMap(people, {"C1": MappedRoom("r", "plans")})
    record = Message(
        "m",
        "C1",
        ANN,
        1,
        file="day.json",
        position=5,
        edit=Edit(2, BEN),
        pin=Pin(3, CEM),
        reactions=(Reaction("wave", (BEN, ANN, CEM)),),
    )
    made = convert_message(record, known.logged_map())
    assert made.document
    assert (made.document["pinned"], made.document["editedAt"].ms) == (True, 2)
    assert made.document["reactions"] == {":wave:": {"usernames": ["ann"]}}
    assert [(one.kind, one.file, one.position, one.field, one.reason) for one in made.problems] == [
        (
            "person-not-imported",
            "day.json",
            "$[5]",
            field,
            f"{who} was not imported ({absent}), so the {what} is left out",
        )
        for who, what, field in (
            ("ben", "editor's name", "edited"),
            (CEM, "pinner's name", "pinned_to"),
            ("ben", "reaction", "reactions"),
            (CEM, "reaction", "reactions"),
        )
    ]
