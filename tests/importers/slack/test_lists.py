"""A long list read in pieces gives the same records as one read at once; its problems come last."""

import json
import tracemalloc
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from chatferry.archive import MIB, Archive, open_archive
from chatferry.importers.slack import lists
from chatferry.importers.slack.lists import bots, read_conversations, read_users
from chatferry.records import Problem, User
from testdata.slack_export import FAULTS, Shape, write_export
from tests.support.golden import write
from tests.support.paths import CASES

PEOPLE = [
    {"id": "U1", "name": "ada", "profile": {"bot_id": "B1"}},
    {"id": "U2", "name": "ben", "profile": {"email": "ben@example.org"}},
    {"id": "U1", "name": "ada-too", "profile": {"email": "ada@example.org"}},
    {"id": "U2", "name": "ben-too"},
    {"name": "nobody"},
    {"id": "U3", "name": "cleo"},
]


def in_order(found: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    items = list(found)
    problems = [item for item in items if isinstance(item, Problem)]
    return [item for item in items if not isinstance(item, Problem)], sorted(problems, key=str)


def everything(archive: Archive) -> Any:
    folders = {name.rpartition("/")[0]: None for name in archive.names()}
    return (
        in_order(read_users(archive)),
        in_order(read_conversations(archive, folders)),
        bots(archive),
    )


def require_the_same(archive: Archive, patch: pytest.MonkeyPatch) -> None:
    whole = everything(archive)
    patch.setattr(lists, "WHOLE", 0)
    for piece in (1, 300, 100_000):
        patch.setattr(lists, "CHUNK", piece)
        assert everything(archive) == whole


@pytest.mark.parametrize("name", sorted(path.name for path in (CASES / "slack").iterdir()))
def test_golden_cases(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_archive(write(CASES / "slack" / name / "archive.json", tmp_path / "export")) as archive:
        require_the_same(archive, monkeypatch)


@pytest.mark.parametrize("fault", [None, *sorted(FAULTS)])
def test_generated_exports(fault: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = Shape(users=12, channels=6, messages=60, seed=3, days=2, layout="corporate")
    write_export(tmp_path / "export.zip", shape, faults=[fault] if fault else [])
    with open_archive(tmp_path / "export.zip") as archive:
        require_the_same(archive, monkeypatch)


@pytest.mark.parametrize("cut", [1, 2, 30, 100])
def test_a_list_that_breaks_off(cut: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_archive({"users.json": json.dumps(PEOPLE)[:-cut], "channels.json": "[{}, 5]"}) as archive:
        require_the_same(archive, monkeypatch)


def test_of_two_entries_with_one_id_the_one_with_an_address_wins() -> None:
    with open_archive({"users.json": json.dumps(PEOPLE)}) as archive:
        users = [one for one in read_users(archive) if isinstance(one, User)]
    assert [(user.username, user.position) for user in users] == [
        ("ada-too", "$[2]"),
        ("ben", "$[1]"),
        ("cleo", "$[5]"),
    ]


def test_nothing_is_taken_from_a_damaged_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("users.json", json.dumps([{"id": f"U{n}", "name": "x" * 100} for n in range(30_000)]))
    data = bytearray(path.read_bytes())
    data[-1000] ^= 0x55  # behind the first blocks
    path.write_bytes(data)
    with open_archive(path) as archive:
        users, (problem,) = in_order(read_users(archive))
        assert (users, problem.kind) == ([], "user-not-readable")
        assert "checksum is wrong" in problem.reason or "is damaged" in problem.reason


def test_long_lists_take_little_memory(tmp_path: Path) -> None:
    people = [{"id": f"U{n:06}", "name": f"n{n}", "profile": {"title": "x" * 200}} for n in range(40_000)]
    members = [f"U{n:06}" for n in range(1000)]
    rooms = [{"id": f"C{n:05}", "name": f"c{n}", "members": members} for n in range(1000)]
    with zipfile.ZipFile(tmp_path / "export.zip", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("users.json", json.dumps(people))  # 11 MB
        out.writestr("channels.json", json.dumps(rooms))  # 11 MB
    with open_archive(tmp_path / "export.zip") as archive:
        tracemalloc.start()
        assert sum(isinstance(one, User) for one in read_users(archive)) == 40_000
        _, users = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        assert sum(not isinstance(one, Problem) for one in read_conversations(archive, {})) == 1000
        _, rooms_ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert max(users, rooms_) < 16 * MIB  # read whole, 32 and 73 MiB
