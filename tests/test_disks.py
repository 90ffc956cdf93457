"""Errors of disks and of SQLite become errors of ours."""

import errno
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from chatferry.disks import disk_error, is_away, is_full
from chatferry.errors import ChatferryError, DestinationError, NoRoomError, SettingsError
from chatferry.store import Store
from chatferry.store.database import Database

MEANING = {
    errno.ENOSPC: NoRoomError,
    errno.EDQUOT: NoRoomError,
    errno.EIO: DestinationError,
    errno.ESTALE: DestinationError,
    errno.EACCES: SettingsError,
    errno.ENOENT: SettingsError,
}


@pytest.mark.parametrize(("number", "kind"), MEANING.items(), ids=lambda value: str(value))
def test_an_error_of_a_disk(number: int, kind: type[ChatferryError]) -> None:
    error = OSError(number, "trouble")
    assert type(disk_error("text", error)) is kind
    assert (is_full(error), is_away(error)) == (kind is NoRoomError, kind is not SettingsError)


def grow_no_more(connection: sqlite3.Connection) -> None:
    """Let the file grow no more: SQLite then says what it says on a full disk."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")


def test_a_store_without_room_says_so_and_loses_nothing(
    tmp_path: Path, connections: list[sqlite3.Connection]
) -> None:
    with closing(Database(tmp_path / "store.sqlite3")) as database:
        database.run("CREATE TABLE numbers (n)")
        grow_no_more(connections[0])
        with pytest.raises(NoRoomError, match=r"store\.sqlite3: the disk is full"):
            database.run("INSERT INTO numbers VALUES (zeroblob(100000))")
        with pytest.raises(NoRoomError), database.transaction():
            database.run("INSERT INTO numbers VALUES (1)")
            database.run_many("INSERT INTO numbers VALUES (zeroblob(?))", [(100,), (1_000_000,)])
        assert database.all("SELECT n FROM numbers") == []
        database.run("INSERT INTO numbers VALUES (2)")  # nothing of the transaction is left open
        assert database.all("SELECT n FROM numbers") == [(2,)]


def test_a_store_that_another_process_holds_is_away(
    tmp_path: Path, connections: list[sqlite3.Connection]
) -> None:
    path = tmp_path / "store.sqlite3"
    with closing(Database(path)) as database, closing(sqlite3.connect(path, isolation_level=None)) as other:
        connections[0].execute("PRAGMA busy_timeout = 10")
        other.execute("BEGIN IMMEDIATE")
        with (
            pytest.raises(DestinationError, match="another process has been writing"),
            database.transaction(),
        ):
            raise AssertionError("the transaction began")
        other.execute("ROLLBACK")
        done = threading.Thread(target=lambda: database.run("CREATE TABLE numbers (n)"))
        done.start()
        done.join(5)
        assert not done.is_alive()  # the lock was let go


def test_a_store_that_is_no_database_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite3").write_text("hello " * 1000)
    with pytest.raises(SettingsError, match="no database"):
        Store(tmp_path / "store.sqlite3")
