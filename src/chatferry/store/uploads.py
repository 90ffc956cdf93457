"""Resumable uploads that have begun: what was announced of them, and until when they are kept."""

import msgspec
from msgspec import Struct

from chatferry.store.database import StoreTables


class Upload(Struct, frozen=True, kw_only=True):
    """An upload: `length` in bytes, `expires` in milliseconds, `metadata` as the client wrote it.

    `certain`, where set: only so many bytes of the file count, those behind them await their checksum.
    `may_replace`: its operation may take the place of a running one.
    """

    id: str
    user: str
    length: int
    metadata: str
    expires: int
    certain: int | None = None
    may_replace: bool = False


_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(Upload).decode


class Uploads(StoreTables):
    def save(self, upload: Upload) -> None:
        """Add an upload, or replace what is known of it."""
        self._database.run("INSERT OR REPLACE INTO uploads VALUES (?, ?)", (upload.id, _encode(upload)))

    def get(self, id: str) -> Upload | None:
        row = self._database.one("SELECT data FROM uploads WHERE id = ?", (id,))
        return _decode(row[0]) if row else None

    def all(self) -> list[Upload]:
        return [_decode(row[0]) for row in self._database.all("SELECT data FROM uploads")]

    def remove(self, id: str) -> None:
        self._database.run("DELETE FROM uploads WHERE id = ?", (id,))
