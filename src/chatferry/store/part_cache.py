"""Results of parts that earlier imports brought to a destination: see `chatferry.pipeline.reuse`."""

from collections.abc import Iterable

import msgspec
from isal import isal_zlib
from msgspec import Struct

from chatferry.records import Outcome, PendingFile, Problem
from chatferry.store.database import StoreTables


class CachedPart(Struct, frozen=True, array_like=True):
    """The result of an imported part.

    users, rooms   the import ids that its messages name
    known          a digest of the accounts and rooms that these stood for
    ids, digests   of its messages in the destination; the digests as one
    messages, files, problems, pending
                   the result of another import of the part; the addresses of pending files are kept with
                   these files alone
    """

    users: tuple[str, ...]
    rooms: tuple[str, ...]
    known: bytes
    ids: tuple[str, ...]
    digests: bytes
    messages: dict[Outcome, int]
    files: dict[Outcome, int]
    problems: list[Problem]
    pending: list[PendingFile]


_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(CachedPart).decode


class PartCache(StoreTables):
    def clear(self) -> None:
        """Drop all: parts are read again."""
        self._database.run("DELETE FROM imprints")

    def any(self) -> bool:
        return self._database.one("SELECT 1 FROM imprints LIMIT 1") is not None

    def add(self, operation_id: str, parts: Iterable[tuple[bytes, str, CachedPart]]) -> None:
        """Keep parts, each with its cache key and its channel."""
        self._database.run_many(
            "INSERT OR REPLACE INTO imprints VALUES (?, ?, ?, ?)",
            (
                (key, operation_id, channel, isal_zlib.compress(_encode(cached), 1))
                for key, channel, cached in parts
            ),
        )

    def get(self, key: bytes) -> CachedPart | None:
        row = self._database.one("SELECT data FROM imprints WHERE mark = ?", (key,))
        return _decode(isal_zlib.decompress(row[0])) if row else None

    def renew(self, operation_id: str, keys: Iterable[bytes]) -> None:
        """Note that this operation has used cached parts."""
        sql = "UPDATE imprints SET operation = ? WHERE mark = ?"
        self._database.run_many(sql, ((operation_id, key) for key in keys))

    def drop_older(self, operation_id: str) -> None:
        """Drop the parts of earlier operations in channels that this one has brought up to date."""
        self._database.run(
            "DELETE FROM imprints WHERE operation <> ?1 "
            "AND channel IN (SELECT channel FROM parts WHERE operation = ?1)",
            (operation_id,),
        )
