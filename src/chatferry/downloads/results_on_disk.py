"""The results of requests, on the disk: there may be more of them than memory has room for."""

import hashlib
import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from chatferry.downloads import Downloaded, Failed, Request

Result = Downloaded | Failed


def digest(request: Request) -> bytes:
    """Return the same digest for requests that bring the same bytes. It tells nothing of their secrets."""
    same = (request.url, sorted(request.headers.items()), request.mime, request.only_images)
    return hashlib.sha256(msgspec.msgpack.encode(same)).digest()


class Outcomes:
    """Results by the digests of their requests, in a file that goes away when this is closed."""

    def __init__(self) -> None:
        # "" is a temporary file; a generator may be taken further by another thread than began it
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute(
            "CREATE TABLE outcomes (digest BLOB PRIMARY KEY, is_whole INT, data BLOB) WITHOUT ROWID"
        )

    def put(self, known: bytes, result: Result) -> None:
        data = msgspec.msgpack.encode(result, enc_hook=str)
        row = (known, isinstance(result, Downloaded), data)
        self._database.execute("INSERT INTO outcomes VALUES (?, ?, ?)", row)

    def get(self, known: bytes) -> Result | None:
        sql = "SELECT is_whole, data FROM outcomes WHERE digest = ?"
        row = self._database.execute(sql, (known,)).fetchone()
        if row is None:
            return None
        return _as_whole(row[1]) if row[0] else _as_failed(row[1])

    def close(self) -> None:
        self._database.close()


def _path(kind: type, value: Any) -> Any:
    assert kind is Path
    return Path(value)


_as_whole = msgspec.msgpack.Decoder(Downloaded, dec_hook=_path).decode
_as_failed = msgspec.msgpack.Decoder(Failed).decode
