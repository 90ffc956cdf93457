"""Floors: the least that anybody has to do who imports an export.

They run in a process of their own, without the collection of garbage, of which they make none. Of the
documents that an import has made up to 100,000 are held in memory while they are written again; reading them
is no part of the time. Batches are as large as the import's. See docs/performance.md.
"""

import gc
import sqlite3
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec
from bson.raw_bson import RawBSONDocument
from isal import isal_zlib
from msgspec import Struct
from pymongo import MongoClient, WriteConcern

from chatferry.destinations.sqlite.destination import SqliteDestination, connected
from chatferry.documents import MESSAGES
from chatferry.importers.slack.schema import SlackMessage
from chatferry.pipeline.convert_parts import BATCH
from chatferry.pipeline.results import ALLOWANCE

T = TypeVar("T")

HELD = 100_000  # documents
SAFE = WriteConcern("majority", j=True)  # what the import takes unless its URL says otherwise
_WHOLE = 4 * 1024 * 1024  # bytes; larger day files are decoded in pieces
_BLOCK = 128 * 1024  # bytes of a large day file, deflated, that are inflated at once
_COLUMNS = "_id, rid, ts, tmid, digest, doc"


class Time(Struct, rename="camel"):
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time from the beginning of a `with` to its end."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds += time.perf_counter() - wall
        self.cpu_seconds += time.process_time() - cpu


Floor = dict[str, Time]
"""What has to be done, one after the other, and how long it takes."""


def seconds(floor: Floor) -> float:
    return sum(part.seconds for part in floor.values())


# ---------------------------------------------------------------- SQLite


def sqlite_floor(export: Path, workspace: Path, messages: int, target: Path) -> Floor:
    """Inflate and decode every day file; write the first so many messages of a workspace into a new one."""
    gc.disable()
    decode = Time()
    with decode.running():
        decode_day_files(export)
    return {"decode": decode, "write": _write_rows(workspace, messages, target)}


def decode_day_files(export: Path) -> int:
    """Decode every day file once, into the structs that the importer takes; the number of messages."""
    decode = msgspec.json.Decoder(list[SlackMessage]).decode
    messages = 0
    with zipfile.ZipFile(export) as archive, export.open("rb") as file:
        for info in archive.infolist():
            if "/20" in info.filename:
                for piece in _pieces(info, file):
                    messages += len(decode(piece))
    return messages


def _pieces(info: zipfile.ZipInfo, file: IO[bytes]) -> Iterator[bytes]:
    """A day file as one list, or as several if it is large: the generator writes each message on a line."""
    file.seek(info.header_offset + 26)
    name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
    file.seek(name + extra, 1)
    if info.file_size <= _WHOLE:
        yield isal_zlib.decompress(file.read(info.compress_size), -isal_zlib.MAX_WBITS)
        return
    inflater, rest = isal_zlib.decompressobj(-isal_zlib.MAX_WBITS), b""
    for start in range(0, info.compress_size, _BLOCK):
        block = inflater.decompress(file.read(min(_BLOCK, info.compress_size - start)))
        head, cut, rest = (rest + block).rpartition(b",\n")
        if cut:
            yield head + b"]"
            rest = b"[" + rest
    yield rest


def _write_rows(workspace: Path, messages: int, target: Path) -> Time:
    """Bare `executemany`, in the order in which the import has written, into the same table."""
    SqliteDestination(target).close()  # makes the tables and indexes
    spent = Time()
    with closing(sqlite3.connect(workspace)) as source:
        sink = connected(target)
        _require_same(_settings(source), _settings(sink))
        rows = source.execute(f"SELECT {_COLUMNS} FROM {MESSAGES} ORDER BY rowid LIMIT ?", (messages,))
        for held in _held(rows, lambda row: len(row[-1])):
            with spent.running():
                for batch in held:
                    sink.execute("BEGIN IMMEDIATE")
                    sink.executemany(f"INSERT INTO {MESSAGES} ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", batch)
                    sink.execute("COMMIT")
        with spent.running():
            sink.close()  # writes what is left in the log, as the end of an import does
    return spent


def _settings(database: sqlite3.Connection) -> list[Any]:
    """What is kept in the file itself: others are those of `connected`."""
    pragmas = [database.execute(f"PRAGMA {name}").fetchone() for name in ("page_size", "journal_mode")]
    sql = "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = ? ORDER BY name"
    return [*pragmas, *database.execute(sql, (MESSAGES,))]


def _require_same(imported: list[Any], own: list[Any]) -> None:
    if imported != own:
        raise SystemExit(f"The floor would be no floor: it has {own}, the import {imported}")


# ---------------------------------------------------------------- MongoDB


def keep_documents(url: str, database: str, messages: int, target: Path) -> None:
    """Keep the first so many messages of a database in a file, in the order in which they were written.

    The floor reads them from there: a server that reads them would have the old documents in its memory
    in place of the new ones.
    """
    with _client(url) as client, target.open("wb") as file:
        for document in client[database][MESSAGES].find(sort=[("$natural", 1)], limit=messages):
            file.write(document.raw)


def mongodb_floor(documents: Path, url: str, database: str, connections: int) -> Floor:
    """Bare unordered `insert_many` over so many connections, into a collection that is there and empty."""
    gc.disable()
    spent = Time()
    with (
        _client(url) as client,
        ThreadPoolExecutor(connections) as pool,
        documents.open("rb") as file,
    ):
        sink = client[database].get_collection(MESSAGES, write_concern=SAFE)
        list(pool.map(lambda _: client.admin.command("ping"), range(connections)))  # connects

        def insert(batch: list[RawBSONDocument]) -> None:
            sink.insert_many(batch, ordered=False)

        for held in _held(_read(file), lambda document: len(document.raw)):
            with spent.running():
                list(pool.map(insert, held))
    return {"write": spent}


def _client(url: str) -> MongoClient[RawBSONDocument]:
    return MongoClient(url, document_class=RawBSONDocument)


def _read(file: IO[bytes]) -> Iterator[RawBSONDocument]:
    while size := file.read(4):
        yield RawBSONDocument(size + file.read(int.from_bytes(size, "little") - 4))


# ---------------------------------------------------------------- batches


def _held(documents: Iterable[T], size: Callable[[T], int]) -> Iterator[list[list[T]]]:
    """All documents in batches, as many batches as are held in memory at once."""
    rest = iter(documents)
    while some := list(islice(rest, HELD)):
        yield list(_batches(some, size))


def _batches(documents: list[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Batches by the import's own measure."""
    batch: list[T] = []
    total = 0
    for document in documents:
        batch.append(document)
        total += size(document) + ALLOWANCE
        if total >= BATCH:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch
