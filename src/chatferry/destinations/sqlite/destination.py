"""The embedded workspace: all collections in one SQLite file."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from importlib.resources import files
from itertools import chain, count, groupby
from pathlib import Path
from typing import Any

from chatferry import private
from chatferry.destinations.protocol import Lookup, Packed, Rejection
from chatferry.destinations.rules import (
    embedded_settings,
    identity,
    looked_up,
    shown,
    timestamp_suffix,
    totals,
    with_timestamp,
)
from chatferry.destinations.slices import CHUNK, chunks, slices
from chatferry.destinations.sqlite.changes import BY_ID, apply
from chatferry.destinations.sqlite.sql import placeholders
from chatferry.destinations.sqlite.subscriptions import give_columns
from chatferry.disks import disk_error, sqlite_error, switch_to_wal
from chatferry.documents import (
    AVATARS,
    COLLECTIONS,
    MESSAGES,
    ROOMS,
    SUBSCRIPTIONS,
    UPLOADS,
    Change,
    Document,
    Update,
    decode,
)
from chatferry.errors import SettingsError

SCHEMA_VERSION = 4
APPLICATION_ID = 0x43684679  # "ChFy": tells a workspace from other SQLite files
_ROOMS_AT_ONCE = 500  # in one transaction of `refresh_rooms`
_PATIENCE = 60  # seconds to wait for another process that writes
_CACHE = 32_768  # KiB of pages

_UNIQUE_ID = "SELECT value FROM chatferry_about WHERE name = 'id'"
_KEYED = "(SELECT _id FROM chatferry_keys WHERE collection = ? AND field = ? AND value IN "
_BY_ROOM = f"SELECT _id, doc FROM {SUBSCRIPTIONS} WHERE rid IN "
_BY_KEY = {table: sql + _KEYED for table, sql in BY_ID.items()}
_DUMP = {table: f"SELECT CAST(doc AS BLOB) FROM {table} ORDER BY _id" for table in COLLECTIONS}

_DIGESTS = f"SELECT _id, digest FROM {MESSAGES} WHERE _id IN "
_DIGESTS_BETWEEN = f"SELECT _id, digest FROM {MESSAGES} WHERE _id BETWEEN ? AND ? LIMIT ?"
_NEIGHBOURS = 8  # ids that begin alike and for which one search is less work than a search for each
_ROWS = 250  # 6 values each; more bring nothing, and to give them all to SQLite takes the interpreter


def _insert_packed(rows: int) -> str:
    """Return the statement that inserts so many packed messages; ?1 is the end of all documents."""
    values = [
        f"(?{n}, ?{n + 1}, ?{n + 2}, ?{n + 3}, ?{n + 4}, ?{n + 5} || ?1)" for n in range(2, 2 + 6 * rows, 6)
    ]
    into = f"INSERT OR IGNORE INTO {MESSAGES} (_id, digest, rid, ts, tmid, doc)"
    return f"{into} VALUES {', '.join(values)}"


_INSERT_PACKED, _INSERT_ROWS = _insert_packed(1), _insert_packed(_ROWS)
_NEWEST = f"SELECT doc FROM {MESSAGES} WHERE rid = ? AND ts IS NOT NULL ORDER BY ts DESC, _id DESC"
_COUNT_MESSAGES = f"SELECT rid, count(*) FROM {MESSAGES} WHERE rid IN {{}} GROUP BY rid"
_COUNT_MEMBERS = f"SELECT rid, count(*) FROM {SUBSCRIPTIONS} WHERE rid IN {{}} GROUP BY rid"
_EXISTING = f"SELECT _id FROM {ROOMS} WHERE _id IN {{}}"

_FILES = (UPLOADS, AVATARS)
_PUT_FILE = {table: f"INSERT OR REPLACE INTO {table} (_id, doc) VALUES (?, ?)" for table in _FILES}
_DROP_CHUNKS = {table: f'DELETE FROM "{table}.chunks" WHERE files_id = ?' for table in _FILES}
_ADD_CHUNK = {table: f'INSERT INTO "{table}.chunks" (files_id, n, data) VALUES (?, ?, ?)' for table in _FILES}
_CHUNK = {table: f'SELECT data FROM "{table}.chunks" WHERE files_id = ? AND n = ?' for table in _FILES}


class SqliteDestination:
    """Keeps the collections in the SQLite file `path`, which is made if it is missing."""

    address = ""  # SQLite has one writer

    def __init__(self, path: Path) -> None:
        self._path = path
        with _plain_errors(path):
            self._db = _opened(path)

    def unique_id(self) -> str:
        return f"workspace {self._rows(_UNIQUE_ID, ())[0][0]}"

    def settings(self, names: Collection[str]) -> dict[str, Any]:
        return embedded_settings(names)

    def find(self, lookup: Lookup, values: Collection[str]) -> list[Document]:
        collection, field = lookup.value
        found: dict[str, str] = {}
        for some in slices(looked_up(lookup, values)):
            if field == "_id":
                found.update(self._rows(BY_ID[collection] + placeholders(some), some))
            elif collection == SUBSCRIPTIONS:
                found.update(self._rows(_BY_ROOM + placeholders(some), some))
            else:
                sql = f"{_BY_KEY[collection]}{placeholders(some)})"
                found.update(self._rows(sql, [collection, field, *some]))
        return [decode(doc) for doc in found.values()]

    def digests(self, message_ids: Collection[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        scattered: list[str] = []
        for ids in slices(message_ids):
            for _, alike in groupby(ids, _beginning):
                neighbours = list(alike)
                if len(neighbours) < _NEIGHBOURS or not self._digests_between(neighbours, found):
                    scattered += neighbours
        for some in slices(scattered):
            found.update(self._rows(_DIGESTS + placeholders(some), some))
        return found

    def _digests_between(self, ids: list[str], found: dict[str, bytes]) -> bool:
        """Look at all messages from the first to the last id. Return False if there are too many."""
        enough = 2 * len(ids)
        rows = self._rows(_DIGESTS_BETWEEN, (min(ids), max(ids), enough))
        if rows:
            wanted = set(ids)
            found.update(row for row in rows if row[0] in wanted)
        return len(rows) < enough

    def apply(self, changes: Sequence[Change]) -> list[Rejection]:
        with self._transaction():
            return apply(self._db, changes, timestamp_suffix())

    @staticmethod
    def pack(message: Document, encoded: bytes | bytearray, digest: bytes) -> Packed:
        id_, rid, date = message["_id"], message["rid"], message["ts"].iso[:-1]  # as `sortable` has it
        return id_, digest, rid, date, message.get("tmid"), bytes(encoded)[:-1]

    @staticmethod
    def unpack(message: Packed) -> Document:
        return decode(message[-1] + b"}")

    def insert(self, messages: Sequence[Packed]) -> list[Rejection]:
        """Insert many rows with one statement: SQLite does that without the interpreter's lock."""
        suffix = timestamp_suffix().decode()
        whole = len(messages) - len(messages) % _ROWS
        with self._transaction():
            for start in range(0, whole, _ROWS):
                rows = chain.from_iterable(messages[start : start + _ROWS])
                self._db.execute(_INSERT_ROWS, (suffix, *rows))
            self._db.executemany(_INSERT_PACKED, [(suffix, *message) for message in messages[whole:]])
        return []

    def put_file(self, document: Document, content: Iterable[bytes], collection: str = UPLOADS) -> None:
        """Store a file. Other writers wait until `content` has been read: have it at hand."""
        id_, data = identity(document), with_timestamp(document, timestamp_suffix())
        with self._transaction():
            self._db.execute(_PUT_FILE[collection], (id_, data.decode()))
            self._db.execute(_DROP_CHUNKS[collection], (id_,))
            rows = ((id_, n, chunk) for n, chunk in enumerate(chunks(content)))
            self._db.executemany(_ADD_CHUNK[collection], rows)

    def read_file(self, id: str, collection: str = UPLOADS, start: int = 0) -> Iterator[bytes]:
        """Make one query for each piece: a single one lets SQLite's log grow while a slow reader reads."""
        first, skipped = divmod(start, CHUNK)
        for known in next(slices([id]), []):
            with closing(connected(self._path)) as db:
                db.execute("PRAGMA cache_size = -1024")  # many may read at once, and no page twice
                for n in count(first):
                    with _plain_errors(self._path):
                        row = db.execute(_CHUNK[collection], (known, n)).fetchone()
                    if row is None:
                        break
                    yield row[0][skipped:]
                    skipped = 0

    def refresh_rooms(self, room_ids: Collection[str]) -> None:
        for some in slices(dict.fromkeys(room_ids), _ROOMS_AT_ONCE):
            with self._transaction():
                apply(self._db, list(self._totals(some)), timestamp_suffix())

    def dump(self, collection: str) -> Iterator[bytes]:
        """Yield documents as of now, over a connection of its own, whatever is written meanwhile."""
        with _plain_errors(self._path), closing(connected(self._path)) as db:
            for (line,) in db.execute(_DUMP[collection]):
                yield line

    def count(self, collection: str) -> int:
        return int(self._rows(f"SELECT count(*) FROM {collection}", ())[0][0])

    def server_documents(self, collection: str, limit: int) -> list[Document]:
        return []

    def close(self) -> None:
        self._db.close()

    def _totals(self, room_ids: list[str]) -> Iterator[Update]:
        """Yield the updates of the rooms that exist."""
        several = placeholders(room_ids)
        messages = dict(self._db.execute(_COUNT_MESSAGES.format(several), room_ids))
        users = dict(self._db.execute(_COUNT_MEMBERS.format(several), room_ids))
        for (room_id,) in self._db.execute(_EXISTING.format(several), room_ids).fetchall():
            newest = self._newest(room_id) if room_id in messages else None
            yield totals(room_id, messages.get(room_id, 0), users.get(room_id, 0), newest)

    def _newest(self, room_id: str) -> Document | None:
        """Return the last message that the room shows."""
        with closing(self._db.execute(_NEWEST, (room_id,))) as rows:
            return next((message for (doc,) in rows if shown(message := decode(doc))), None)

    def _rows(self, sql: str, values: Sequence[Any]) -> list[Any]:
        with _plain_errors(self._path):
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _plain_errors(self._path), _transaction(self._db):
            yield


def _beginning(id_: str) -> str:
    """Return what the ids of neighbouring messages share: an importer's begin with the channel's id."""
    return id_[: len(id_) // 2]


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.commit()
    except BaseException:
        db.rollback()
        raise


@contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if (trouble := sqlite_error(f"The workspace {path}", error)) is None:
            raise
        raise trouble from error


def _opened(path: Path) -> sqlite3.Connection:
    """Open the workspace, and make it if it is missing."""
    try:
        private.make_folder(path.parent)
    except OSError as error:
        raise disk_error(f"The directory {path.parent} cannot be made: {error.strerror}.", error) from error
    with suppress(OSError):  # SQLite says better what is wrong
        private.make_file(path)
    db = connected(path)
    try:
        if not _is_workspace(db, path):
            _make(db)
    except BaseException:
        db.close()
        raise
    return db


def connected(path: Path) -> sqlite3.Connection:
    """Open a connection with the settings of the embedded workspace."""
    db = sqlite3.connect(
        path,
        timeout=_PATIENCE,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=12,  # look-ups have a length of their own each, and long ones are large
    )
    # What was applied is on the disk: the store, which is told of it next, never knows of more than is there.
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA secure_delete = ON")  # an edited message, a token that has ended: overwritten
    db.execute(f"PRAGMA cache_size = -{_CACHE}")
    return db


def _is_workspace(db: sqlite3.Connection, path: Path) -> bool:
    """Return False for an empty file, and for a workspace of an older chatferry, which lacks something."""
    db.execute("BEGIN")  # another process may be making the tables just now: see all of that, or nothing
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    db.commit()
    if application == APPLICATION_ID and version == SCHEMA_VERSION:
        return True
    if application == APPLICATION_ID and 0 < version < SCHEMA_VERSION:
        return False
    if application == APPLICATION_ID:
        raise SettingsError(
            f"The workspace {path} has version {version}, and this chatferry knows version {SCHEMA_VERSION}. "
            "Use the chatferry that wrote it, or a newer one."
        )
    if tables or application or version:
        raise SettingsError(f"{path} is a database, but no chatferry workspace. Name another file.")
    return False


def _make(db: sqlite3.Connection) -> None:
    """Make the missing tables. Another process may do the same at the same time."""
    schema = files("chatferry.destinations.sqlite").joinpath("workspace.sql").read_text("utf-8")
    switch_to_wal(db, _PATIENCE)
    with _transaction(db):
        give_columns(db)
    db.executescript(
        f"BEGIN IMMEDIATE;{schema};PRAGMA application_id = {APPLICATION_ID};"
        f"PRAGMA user_version = {SCHEMA_VERSION};COMMIT;"
    )
