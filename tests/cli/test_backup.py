"""Backups: made while an import runs, brought back elsewhere, and refused when they are not sound."""

import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from chatferry.cli import backup
from chatferry.cli.app import app
from chatferry.cli.backup import make_backup, restore
from chatferry.documents import COLLECTIONS, MESSAGES
from chatferry.errors import SettingsError
from chatferry.operations import Operation, Status
from chatferry.pipeline.binding import bound_destination, open_bound
from chatferry.settings import Settings
from chatferry.store import Store, migrations
from testdata.slack_export import Shape, write_export
from tests.support.command_line import chatferry
from tests.support.importing import documents_of, founded, import_archive
from tests.support.mongo import Mongod
from tests.support.paths import GOLDEN
from tests.support.serving import contents, login, serving, start, start_all, status_on_disk, upload, wait_for

SHAPE = Shape(users=10, channels=4, messages=1500, seed=8, days=None, layout="corporate")
OPERATION = Operation(
    id="abc",
    type="Slack",
    importer_key="slack",
    ts=1,
    status=Status.SELECTION,
    valid=True,
    user="u",
    updated_at=1,
)


@pytest.fixture
def imported(tmp_path: Path) -> Settings:
    """A data directory with an import."""
    return filled(Settings(data=tmp_path / "data"))


def filled(settings: Settings) -> Settings:
    with Store(settings.store_path) as store, closing(open_bound(settings, store)) as destination:
        import_archive(GOLDEN, founded(destination), store, settings=settings)
    return settings


def messages(settings: Settings) -> list[Any]:
    settings = replace(settings, destination=bound_destination(settings.data, settings.destination))
    with Store(settings.store_path) as store, closing(open_bound(settings, store)) as destination:
        return documents_of(destination, MESSAGES)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_an_import_goes_on_from_a_backup_that_was_made_while_it_ran(tmp_path: Path) -> None:
    export = tmp_path / "export.zip"
    write_export(export, SHAPE)
    running = start(tmp_path / "data", CHATFERRY_MESSAGES_PER_SECOND="50", CHATFERRY_WORKERS="0")
    with login(running) as http:
        upload(http, export)
        wait_for(http, "importer_user_selection")
        start_all(running)
        wait_for(http, "importer_importing_messages")
    done = chatferry("backup", tmp_path / "backup", "--data", running.data)
    assert done.returncode == 0, done.stderr
    assert "holds the store, the workspace, 1 archive, copied and checked." in done.stdout
    assert status_on_disk(tmp_path / "backup") == "importer_importing_messages"
    assert status_on_disk(running.data) == "importer_importing_messages"
    running.kill()
    unbroken = ended(running.data)
    shutil.rmtree(running.data)

    back = chatferry("restore", tmp_path / "backup", "--data", tmp_path / "back")
    assert back.returncode == 0, back.stderr
    assert len(contents(tmp_path / "back")[MESSAGES]) < len(unbroken[MESSAGES])
    found = ended(tmp_path / "back")
    for collection in COLLECTIONS:
        assert found[collection] == unbroken[collection], collection


def ended(data: Path) -> dict[str, Any]:
    """Let a server finish the import of a data directory, and return its documents."""
    with serving(data) as server, login(server) as http:
        wait_for(http, "importer_done")
    return contents(data)


def test_copies_are_readable_by_their_owner_alone(tmp_path: Path, imported: Settings) -> None:
    make_backup(imported, tmp_path / "backup")
    restore(tmp_path / "backup", Settings(data=tmp_path / "back"))
    for folder in (tmp_path / "backup", tmp_path / "back"):
        assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (folder, *folder.rglob("*"))} == {0}
        assert names(folder) == ["store.sqlite3", "workspace.sqlite3"]


def test_archives_that_operations_need_come_along_and_are_found(tmp_path: Path, imported: Settings) -> None:
    archives = {
        "uploads/waiting": Status.SELECTION,
        "uploads/over": Status.DONE,
        "downloads/loaded": Status.IMPORTING_MESSAGES,
    }
    with Store(imported.store_path) as store:
        for place, status in archives.items():
            path = imported.data / place
            path.parent.mkdir(exist_ok=True)
            path.write_text(place)
            store.operations.add(replace(OPERATION, id=path.name, status=status, archive=str(path)))
        elsewhere = tmp_path / "mine" / "uploads" / "abc.zip"
        store.operations.add(replace(OPERATION, archive=str(elsewhere)))
    (imported.data / "uploads" / "stranger").write_text("an upload that is just coming")
    made = make_backup(imported, tmp_path / "backup")
    assert str(made) == "the store, the workspace, 3 archives"
    shutil.rmtree(imported.data)
    assert restore(tmp_path / "backup", Settings(data=tmp_path / "back")) == made
    assert names(tmp_path / "back") == sorted([*archives, "store.sqlite3", "workspace.sqlite3"])
    with Store(tmp_path / "back" / "store.sqlite3") as store:
        for place in archives:
            operation = store.operations.get(Path(place).name)
            assert operation is not None and operation.archive == str(tmp_path / "back" / place)
            assert Path(operation.archive).read_text() == place
        named = store.operations.get("abc")
        assert named is not None and named.archive == str(elsewhere)


def test_an_archive_that_goes_meanwhile_is_no_loss(
    tmp_path: Path, imported: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its operation has come to its end: the store is copied again, and says so."""
    path = imported.data / "uploads" / "abc"
    path.parent.mkdir()
    path.write_text("archive")
    with Store(imported.store_path) as store:
        store.operations.add(replace(OPERATION, status=Status.FINISHING, archive=str(path)))
    copy = backup._copy_database

    def copy_and_end(source: Path, target: Path) -> None:
        copy(source, target)
        if path.exists():
            path.unlink()
            with Store(imported.store_path) as store:
                store.operations.save(replace(OPERATION, status=Status.DONE, archive=str(path)))

    monkeypatch.setattr(backup, "_copy_database", copy_and_end)
    assert make_backup(imported, tmp_path / "backup").archives == 0
    restore(tmp_path / "backup", Settings(data=tmp_path / "back"))
    with Store(tmp_path / "back" / "store.sqlite3") as store:
        operation = store.operations.get("abc")
    assert operation is not None and operation.status == Status.DONE


def test_only_empty_directories_are_filled(tmp_path: Path, imported: Settings) -> None:
    make_backup(imported, tmp_path / "backup")
    for command in ("backup", "restore"):
        options = [command, str(tmp_path / "backup"), "--data", str(imported.data)]
        before = {path: path.stat().st_mtime_ns for path in imported.data.rglob("*.sqlite3")}
        refused = CliRunner().invoke(app, options).exception
        assert isinstance(refused, SettingsError) and "is not empty: it has" in str(refused)
        assert {path: path.stat().st_mtime_ns for path in imported.data.rglob("*.sqlite3")} == before
    (tmp_path / "volume" / "lost+found").mkdir(parents=True)
    restore(tmp_path / "backup", Settings(data=tmp_path / "volume"))
    assert messages(Settings(data=tmp_path / "volume")) == messages(imported)


@pytest.mark.parametrize("name", ["store.sqlite3", "workspace.sqlite3"])
def test_a_damaged_backup_is_refused(tmp_path: Path, imported: Settings, name: str) -> None:
    make_backup(imported, tmp_path / "backup")
    data = bytearray((tmp_path / "backup" / name).read_bytes())
    for page in range(4096, len(data) - 4096, 4096):
        data[page : page + 200] = b"\xff" * 200
    (tmp_path / "backup" / name).write_bytes(data)
    with pytest.raises(SettingsError, match=f"{name}.*damaged"):
        restore(tmp_path / "backup", Settings(data=tmp_path / "back"))
    assert names(tmp_path / "back") == []


def test_incomplete_and_foreign_folders_are_refused(tmp_path: Path, imported: Settings) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match="holds no backup"):
        restore(tmp_path / "empty", Settings(data=tmp_path / "back"))
    with pytest.raises(SettingsError, match="holds no store"):
        make_backup(Settings(data=tmp_path / "empty"), tmp_path / "backup")
    make_backup(imported, tmp_path / "backup")
    (tmp_path / "backup" / "workspace.sqlite3").unlink()
    with pytest.raises(SettingsError, match=r"is not whole: workspace\.sqlite3 is missing"):
        restore(tmp_path / "backup", Settings(data=tmp_path / "back"))
    imported.workspace_path.unlink()
    with pytest.raises(SettingsError, match=r"workspace\.sqlite3 is missing. If the documents"):
        make_backup(imported, tmp_path / "second")
    assert names(tmp_path / "back") == names(tmp_path / "second") == []


def test_the_backup_of_a_newer_chatferry_is_refused(
    tmp_path: Path, imported: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_backup(imported, tmp_path / "backup")
    monkeypatch.setattr(migrations, "steps", lambda: ())
    with pytest.raises(SettingsError, match="Use the chatferry that wrote it"):
        restore(tmp_path / "backup", Settings(data=tmp_path / "back"))
    assert names(tmp_path / "back") == []


def test_a_backup_keeps_the_layout_that_it_found(tmp_path: Path, imported: Settings) -> None:
    """An older chatferry can then use a backup that a newer one made."""
    with closing(sqlite3.connect(imported.store_path)) as db:
        db.executescript("DROP TABLE binding; PRAGMA application_id = 0; PRAGMA user_version = 0;")
    make_backup(imported, tmp_path / "backup")
    with closing(sqlite3.connect(tmp_path / "backup" / "store.sqlite3")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (0,)


def test_a_workspace_from_elsewhere_is_restored_into_the_data_directory(tmp_path: Path) -> None:
    away = filled(Settings(data=tmp_path / "data", destination=f"sqlite:{tmp_path / 'away.sqlite3'}"))
    before = messages(away)
    make_backup(away, tmp_path / "backup")
    (tmp_path / "away.sqlite3").unlink()
    restore(tmp_path / "backup", Settings(data=tmp_path / "back"))
    assert bound_destination(tmp_path / "back", "") == ""
    assert messages(Settings(data=tmp_path / "back")) == before != []


def test_beside_mongodb_the_store_is_backed_up_and_the_database_named(tmp_path: Path, mongod: Mongod) -> None:
    url = mongod.database_url("backedup")
    with mongod.client() as client:
        client.drop_database("backedup")
        there = filled(Settings(data=tmp_path / "data", destination=url))
        done = CliRunner().invoke(app, ["backup", str(tmp_path / "backup"), "--data", str(there.data)])
        assert (done.exit_code, done.exception) == (0, None)
        assert f"The documents are in {url}. Back that database up now." in done.output
        assert restore(tmp_path / "backup", Settings(data=tmp_path / "back")).elsewhere == url
        assert names(tmp_path / "back") == ["store.sqlite3"]
        assert len(messages(Settings(data=tmp_path / "back"))) > 0
        client.drop_database("backedup")
