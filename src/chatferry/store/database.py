"""The SQLite connection that all tables of the store share."""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chatferry import private
from chatferry.disks import disk_error, sqlite_error
from chatferry.errors import SettingsError
from chatferry.store.migrations import migrate

Row = tuple[Any, ...]
_PATIENCE = 30  # seconds


class Database:
    """One connection writes, for one thread at a time: a lock is held for a statement or a transaction.

    Readers wait for nobody: each thread that reads has a further connection. A read within a transaction
    uses the transaction's connection. A database that is forgotten on closing has only that one.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._depth = 0
        self._writer = 0  # the thread that is in a transaction
        self._idle: list[sqlite3.Connection] = []  # connections for reading that no thread has in hand
        try:
            if path is not None:
                private.make_folder(path.parent)
                private.make_file(path)
            self._connection = _connected(path)
            self._connection.execute("PRAGMA secure_delete = ON")  # what is removed is overwritten
            migrate(self._connection, path)
            self._connection.execute("PRAGMA synchronous = NORMAL")
        except (sqlite3.Error, OSError) as error:
            text = f"The store {path} cannot be opened: {error}. Check the path."
            if isinstance(error, OSError):
                raise disk_error(text, error) from error
            raise sqlite_error(f"The store {path}", error) or SettingsError(text) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Let all statements inside take effect together or not at all. Transactions may nest."""
        with self._lock:
            if self._depth == 0:
                with self._plain_errors():
                    self._connection.execute("BEGIN IMMEDIATE")
                self._writer = threading.get_ident()
            self._depth += 1
            try:
                yield
            except BaseException:
                self._leave(is_kept=False)
                raise
            self._leave(is_kept=True)

    def _leave(self, *, is_kept: bool) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._writer = 0
            with self._plain_errors():
                self._end(is_kept=is_kept)

    def _end(self, *, is_kept: bool) -> None:
        """End the transaction; one that cannot be committed is rolled back."""
        try:
            if is_kept:
                self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:  # on a full disk SQLite may have rolled it back by itself
                self._connection.execute("ROLLBACK")

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if (trouble := sqlite_error(f"The store {self._path}", error)) is None:
                raise
            raise trouble from error

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Execute a statement; the number of rows it changed."""
        with self._lock, self._plain_errors():
            return self._connection.execute(sql, values).rowcount

    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        with self.transaction(), self._plain_errors():
            self._connection.executemany(sql, rows)

    def all(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        with self._reader() as connection:
            return connection.execute(sql, values).fetchall()

    def one(self, sql: str, values: Sequence[Any] = ()) -> Row | None:
        with self._reader() as connection:
            row: Row | None = connection.execute(sql, values).fetchone()
            return row

    def number(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Return the number that a query gives."""
        row = self.one(sql, values)
        return int(row[0]) if row else 0

    def pages(
        self, sql: str, values: Sequence[Any], place: tuple[Any, ...], size: int
    ) -> Iterator[list[Row]]:
        """Yield the rows of a query in lists of up to `size`, each list queried when it is needed.

        The query takes the values, the place behind which it begins, and the size. The first columns of a row
        are its place.
        """
        while rows := self.all(sql, (*values, *place, size)):
            yield rows
            place = rows[-1][: len(place)]

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """Give this thread a connection of its own."""
        if self._path is None or self._writer == threading.get_ident():
            with self._lock, self._plain_errors():
                yield self._connection
            return
        with self._plain_errors():
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = _connected(self._path)
        try:
            with self._plain_errors():
                yield connection
        finally:
            self._idle.append(connection)

    def checkpoint(self) -> None:
        """Empty the write-ahead log, which holds older states; nothing is done while others use it."""
        with self._lock:
            self._connection.execute("PRAGMA busy_timeout = 1000")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.execute(f"PRAGMA busy_timeout = {_PATIENCE * 1000}")

    def compact(self) -> None:
        """Give back the room of what was removed."""
        with self._lock:
            self._connection.execute("VACUUM")
        self.checkpoint()

    def close(self) -> None:
        for connection in self._idle:
            connection.close()
        with self._lock:
            self._connection.close()


class StoreTables:
    """Tables of the store with one theme."""

    def __init__(self, database: Database) -> None:
        self._database = database


def _connected(path: Path | None) -> sqlite3.Connection:
    # "" is a temporary file, which is written once the database outgrows a cache
    return sqlite3.connect(path or "", isolation_level=None, check_same_thread=False, timeout=_PATIENCE)
