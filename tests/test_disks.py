"""What errors of disks and of SQLite mean."""

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


def limited(database: Database) -> None:
    """Let the database's file grow no more: SQLite then says what it says on a full disk."""
    (pages,) = database._connection.execute("PRAGMA page_count").fetchone()
    database._connection.execute(f"PRAGMA max_page_count = {pages}")


def test_a_store_without_room_says_so_and_loses_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite3") as store:
        database = store._database
        database.run("CREATE TABLE numbers (n)")
        limited(database)
        with pytest.raises(NoRoomError, match=r"store\.sqlite3: the disk is full"):
            database.run("INSERT INTO numbers VALUES (zeroblob(100000))")
        with pytest.raises(NoRoomError), store.transaction():
            database.run("INSERT INTO numbers VALUES (1)")
            database.run_many("INSERT INTO numbers VALUES (zeroblob(?))", [(100,), (1_000_000,)])
        assert database.all("SELECT n FROM numbers") == []
        database.run("INSERT INTO numbers VALUES (2)")  # nothing of the transaction is left open
        assert database.all("SELECT n FROM numbers") == [(2,)]


def test_a_store_that_another_process_holds_is_away(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    with Store(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        store._database._connection.execute("PRAGMA busy_timeout = 10")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DestinationError, match="another process has been writing"), store.transaction():
            raise AssertionError("the transaction began")
        other.execute("ROLLBACK")
        done = threading.Thread(target=lambda: store._database.run("CREATE TABLE numbers (n)"))
        done.start()
        done.join(5)
        assert not done.is_alive()  # the lock was let go


def test_a_store_that_is_no_database_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite3").write_text("hello " * 1000)
    with pytest.raises(SettingsError, match="no database"):
        Store(tmp_path / "store.sqlite3")
