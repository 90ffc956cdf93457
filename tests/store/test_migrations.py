"""The store's layout: stores of any age are brought to this chatferry's when they are opened."""

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from threading import Barrier, Thread, Timer
from typing import Any

import pytest

from chatferry.errors import SettingsError
from chatferry.operations import Status
from chatferry.store import Store, migrations
from tests.support.paths import UNVERSIONED
from tests.support.serving import PATIENCE


def unpacked(target: Path) -> Path:
    with tarfile.open(UNVERSIONED) as archive:
        archive.extractall(target, filter="data")
    return target / "store.sqlite3"


def layout(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(path)) as db:
        names = [
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")
        ]
        found = {name: db.execute(f"PRAGMA table_info({name})").fetchall() for name in names}
        indexes = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'index' ORDER BY 1"
        return found | {"indexes": db.execute(indexes).fetchall()}


def version(path: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(path)) as db:
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (number,) = db.execute("PRAGMA user_version").fetchone()
        return application, number


def test_a_store_without_a_version_is_brought_to_the_layout_of_a_new_one(tmp_path: Path) -> None:
    path = unpacked(tmp_path)
    assert version(path) == (0, 0)
    with Store(path) as store:
        last = store.operations.last()
        assert last is not None and last.status == Status.DONE
        assert any(store.staging.records(last.id, "user"))
        assert any(store.problems.all(last.id))
    Store(tmp_path / "new.sqlite3").close()
    assert layout(path) == layout(tmp_path / "new.sqlite3")
    assert version(path) == version(tmp_path / "new.sqlite3")
    assert version(path) == (migrations.APPLICATION_ID, len(migrations.steps()))


def test_each_step_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = unpacked(tmp_path)
    Store(path).close()
    more = (*migrations.steps(), "ALTER TABLE pauses ADD COLUMN since INTEGER; -- ms\n")
    monkeypatch.setattr(migrations, "steps", lambda: more)
    for _ in range(2):
        Store(path).close()
    assert [column[1] for column in layout(path)["pauses"]] == ["operation", "since"]
    assert version(path)[1] == len(more)


def test_a_step_that_fails_leaves_the_store_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = unpacked(tmp_path)
    before = layout(path)
    more = (*migrations.steps(), "CREATE TABLE half (a);\nCREATE TABLE pauses (operation TEXT);\n")
    monkeypatch.setattr(migrations, "steps", lambda: more)
    with pytest.raises(SettingsError, match="pauses"):
        Store(path)
    assert layout(path) == before
    assert version(path) == (0, 0)


def test_a_store_of_a_newer_chatferry_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = unpacked(tmp_path)
    more = (*migrations.steps(), "CREATE TABLE later (a);")
    with monkeypatch.context() as newer:
        newer.setattr(migrations, "steps", lambda: more)
        Store(path).close()
    with pytest.raises(
        SettingsError, match=r"store\.sqlite3 has version \d+.*Use the chatferry that wrote it"
    ):
        Store(path)
    assert version(path)[1] == len(more)


def test_other_files_are_refused_and_left_alone(tmp_path: Path) -> None:
    unpacked(tmp_path)
    before = (tmp_path / "workspace.sqlite3").read_bytes()
    with pytest.raises(SettingsError, match="no store of chatferry"):
        Store(tmp_path / "workspace.sqlite3")
    assert (tmp_path / "workspace.sqlite3").read_bytes() == before
    (tmp_path / "text.sqlite3").write_text(
        "This is no database, but a text of more than a hundred bytes. " * 9
    )
    with pytest.raises(SettingsError, match=r"text\.sqlite3: this file is no database"):
        Store(tmp_path / "text.sqlite3")


def test_a_store_that_another_process_is_making_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = Timer(0.3, other.execute, ["ROLLBACK"])
        release.start()
        with Store(path) as store:
            assert store.operations.last() is None
        release.join()


def test_several_processes_may_open_an_old_store_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = unpacked(tmp_path)
    more = (*migrations.steps(), "ALTER TABLE pauses ADD COLUMN since INTEGER;")
    monkeypatch.setattr(migrations, "steps", lambda: more)
    start, opened = Barrier(4), []

    def open_store() -> None:
        start.wait(PATIENCE)
        with Store(path) as store:
            opened.append(store.operations.last())

    threads = [Thread(target=open_store) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(opened) == 4 and None not in opened


def test_steps_have_numbers_without_gaps() -> None:
    names = sorted(path.name for path in Path(migrations.__file__).parent.glob("*.sql"))
    assert [name[:5] for name in names] == [f"{number:04}-" for number in range(1, len(names) + 1)]
    assert len(migrations.steps()) == len(names)
