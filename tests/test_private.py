"""Files for their owner alone, from every command and at every place that makes files."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from chatferry import private
from chatferry.cli import terminal
from chatferry.destinations.mongodb.filestores.directory import Directory
from chatferry.downloads import Request, Rules
from chatferry.downloads.fetch_one import fetch
from chatferry.errors import DownloadError
from chatferry.pipeline.fetching.content import keep
from chatferry.pipeline.operation import write_down
from chatferry.records import Outcome
from chatferry.settings import Settings
from chatferry.store import Store
from tests.support.command_line import chatferry
from tests.support.filehost import hosting
from tests.support.importing import sqlite_workspace
from tests.support.paths import GOLDEN
from tests.support.serving import half_sent, login, run_import, serving, upload

OTHERS = 0o077


@pytest.fixture(autouse=True)
def everybody() -> Iterator[None]:
    """The widest umask: every closed file was closed by chatferry."""
    before = os.umask(0)
    yield
    os.umask(before)


def opened(folder: Path, *but: str) -> dict[str, str]:
    """Return the paths below a directory that other users can read or write, with the modes."""
    return {
        str(path.relative_to(folder)): stat.filemode(path.stat().st_mode)
        for path in folder.rglob("*")
        if path.name not in but and path.stat().st_mode & OTHERS
    }


def test_files_of_a_server_are_private(tmp_path: Path) -> None:
    """Databases with the files beside them, uploads of each kind, the lock; also while they are written."""
    data = tmp_path / "new" / "data"
    data.mkdir(parents=True, mode=0o700)
    with serving(data) as server, login(server) as http:
        run_import(http)
        upload(http)
        broken = half_sent(server, http, b'{"binaryContent": "QUJD', "Content-Length: 1000000")
        assert opened(data, "stderr") == {}
        names = {path.name for path in data.iterdir()}
        assert {"store.sqlite3-wal", "workspace.sqlite3-wal", "uploads", "lock"} <= names
        broken.close()
        assert "Warning" not in (data / "stderr").read_text()


def test_every_place_that_makes_files(tmp_path: Path) -> None:
    """Also in a process whose umask is the widest."""
    data = tmp_path / "a" / "data"
    settings = Settings(data=data)
    with Store(settings.store_path) as store, sqlite_workspace(data / "workspace.sqlite3"):
        store.fetches.note("o", Outcome.INSERTED, "x")
        assert (data / "store.sqlite3-wal").exists() and (data / "workspace.sqlite3-wal").exists()
        write_down(settings)
        private.make_folder(settings.fetched)
        keep([b"x"], settings.fetched / "kept")
        with hosting() as host:
            rules = Rules(hosts=frozenset({host.name}))
            url = host.put("/a", lambda to: to.ranged(b"content", until=3))
            with pytest.raises(DownloadError):
                fetch(
                    Request(url=url, path=settings.fetched / "part", resumable=True),
                    replace(rules, attempts=1),
                )
            host.put("/a", b"content")
            fetch(Request(url=url, path=settings.fetched / "whole"), rules)
        assert {path.name for path in settings.fetched.rglob("*")} == {
            "kept", "whole", "part.part", "bytes", "origin.json",
        }  # fmt: skip
        assert opened(tmp_path) == {}


def test_the_locks_of_a_database_survive_the_next_connection(tmp_path: Path) -> None:
    """Locks of a file end when the process that has them closes any of its descriptors of the file."""
    path = tmp_path / "workspace.sqlite3"
    script = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN EXCLUSIVE')"
    with closing(sqlite3.connect(path)) as first:
        first.execute("BEGIN EXCLUSIVE")
        private.make_file(path)
        other = subprocess.run([sys.executable, "-c", script, path], capture_output=True, check=False)
        assert b"database is locked" in other.stderr


def test_only_files_of_chatferry_are_tightened(tmp_path: Path) -> None:
    data, other = tmp_path / "data", tmp_path / "other"
    for path in (data / "uploads" / "x", data / "downloads" / "files" / "y", data / "mine", other / "z"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    for name in ("store.sqlite3", "store.sqlite3-wal", "workspace.sqlite3", "errors.log", "lock"):
        (data / name).write_bytes(b"")
    (data / "uploads" / "link").symlink_to(other / "z")
    assert private.tighten(data) == []
    assert set(opened(tmp_path)) == {"data", "data/mine", "other", "other/z", "data/uploads/link"}


def test_a_link_to_a_larger_disk_is_followed(tmp_path: Path) -> None:
    data, large = tmp_path / "data", tmp_path / "large"
    data.mkdir()
    large.mkdir()
    (large / "x").write_bytes(b"")
    (data / "uploads").symlink_to(large)
    assert private.tighten(data) == []
    assert set(opened(tmp_path)) == {"data"}


def test_a_directory_that_others_can_read_is_said(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o750)
    done = chatferry("import", "slack", GOLDEN, "--data", data, "--json")
    assert f"Warning: others can look into the data directory. Close it: chmod 700 {data}\n" in done.stderr
    data.chmod(0o700)
    (data / "store.sqlite3").chmod(0o644)
    assert "Warning" not in chatferry("import", "slack", GOLDEN, "--data", data, "--json").stderr
    assert opened(data) == {}


def test_a_file_of_somebody_else_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.warn_of_readers(tmp_path, False, [tmp_path / "lock", tmp_path / "errors.log"])
    told = capsys.readouterr().err
    assert f"others can read or write {tmp_path / 'lock'} and 1 more, which belongs to another user" in told


def test_no_file_of_a_command_is_open_to_others(tmp_path: Path) -> None:
    """The umask of the process holds for files that libraries make."""
    script = "import chatferry.cli.app as c; c.app = lambda: open('made', 'w').close(); c.main()"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    assert opened(tmp_path) == {}


def test_rocket_chats_own_directory_stays_readable_for_rocket_chat(tmp_path: Path) -> None:
    before = os.umask(OTHERS)
    try:
        Directory(str(tmp_path)).write({"_id": "x"}, [b"content"])
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o644
