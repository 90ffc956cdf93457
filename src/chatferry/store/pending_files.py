"""Files of messages, with their secret addresses. A file is pending until its bytes are stored."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from itertools import chain

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from chatferry.records import Outcome, PendingFile
from chatferry.store.database import StoreTables

_Key = tuple[str, str]  # ids of the upload and of the message
_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(PendingFile).decode
_PAGE = 200
_PENDING = (
    "FROM message_files AS f WHERE NOT EXISTS (SELECT 1 FROM fetches AS t WHERE t.id = f.upload_id "
    "AND t.message_id = f.message_id AND (t.outcome = 'inserted' OR t.operation = ?))"
)
_FETCHED = (
    "FROM message_files AS f JOIN fetches AS t ON t.id = f.upload_id AND t.message_id = f.message_id "
    "WHERE t.outcome = 'inserted'"
)
_PAGED = "AND (f.upload_id, f.message_id) > (?, ?) ORDER BY f.upload_id, f.message_id LIMIT ?"
_FIRST = ("", "")


class SourcedFile(Struct, frozen=True):
    """A file, and the operation whose archive it came with."""

    source: str
    file: PendingFile


class PendingFiles(StoreTables):
    def add(self, operation_id: str, files: Iterable[PendingFile]) -> Counter[Outcome]:
        """Store files. Return how many are new, changed, or unchanged.

        A stored file counts as unchanged even if its URL changed.
        """
        rows = [((file.upload_id, file.message_id), file) for file in files]
        outcomes = Counter[Outcome]()
        with self._database.transaction():
            for start in range(0, len(rows), _PAGE):
                some = rows[start : start + _PAGE]
                known = self._known({key for key, _ in some})
                stored = self._stored(known)
                for key, file in some:
                    data = _kept(file, known.get(key), key in stored)
                    outcomes[_outcome(known.get(key), data, key in stored)] += 1
                    known[key] = data
                sql = "INSERT OR REPLACE INTO message_files VALUES (?, ?, ?, ?)"
                self._database.run_many(sql, [(*key, operation_id, known[key]) for key, _ in some])
        return outcomes

    def _known(self, keys: Collection[_Key]) -> dict[_Key, bytes]:
        rows = self._database.all(known_files(len(keys)), [*chain.from_iterable(keys)]) if keys else []
        return {row[:2]: row[2] for row in rows}

    def _stored(self, keys: Collection[_Key]) -> set[_Key]:
        """Return the keys whose bytes are stored."""
        rows = self._database.all(stored_files(len(keys)), [*chain.from_iterable(keys)]) if keys else []
        return set(rows)

    def remove(self, upload_id: str, message_id: str) -> None:
        sql = "DELETE FROM message_files WHERE upload_id = ? AND message_id = ?"
        self._database.run(sql, (upload_id, message_id))

    def forget_address(self, upload_id: str, message_id: str) -> None:
        """Remove the address of a file whose bytes are stored."""
        key = (upload_id, message_id)
        for data in self._known({key}).values():
            sql = "UPDATE message_files SET data = ? WHERE upload_id = ? AND message_id = ?"
            self._database.run(sql, (_encode(replace(_decode(data), url="")), *key))

    def stored_with_address(self) -> Iterator[PendingFile]:
        """Yield the files whose bytes are stored and whose address is still known. Reads all files."""
        sql = (
            "SELECT f.upload_id, f.message_id, f.data FROM message_files AS f WHERE EXISTS (SELECT 1 FROM "
            "fetches AS t WHERE t.id = f.upload_id AND t.message_id = f.message_id "
            f"AND t.outcome = 'inserted') {_PAGED}"
        )
        for rows in self._database.pages(sql, (), _FIRST, _PAGE):
            yield from (file for row in rows if (file := _decode(row[2])).url)

    def give_up(self) -> int:
        """Remove the files that are pending; return how many there were."""
        return self._database.run(f"DELETE {_PENDING}", ("",))

    def rooms(self, upload_id: str) -> set[str]:
        """Return the rooms that have a message to which the bytes of this file were brought."""
        sql = f"SELECT f.data {_FETCHED} AND f.upload_id = ?"
        return {_decode(row[0]).room_id for row in self._database.all(sql, (upload_id,))}

    def message_ids(self) -> Iterator[list[str]]:
        """Yield the ids of all messages that have files, in pages, whether these are pending or stored."""
        sql = "SELECT DISTINCT message_id FROM message_files WHERE message_id > ? ORDER BY message_id LIMIT ?"
        for rows in self._database.pages(sql, (), ("",), _PAGE):
            yield [message_id for (message_id,) in rows]

    def fetched_rooms(self, operation_id: str) -> set[str]:
        """Return the rooms of messages to which an operation brought files."""
        sql = f"SELECT f.upload_id, f.message_id, f.data {_FETCHED} AND t.operation = ? {_PAGED}"
        pages = self._database.pages(sql, (operation_id,), _FIRST, _PAGE)
        return {_decode(row[2]).room_id for rows in pages for row in rows}

    def sources(self) -> set[str]:
        """Return the operations whose archives hold the bytes of pending files."""
        return {found.source for found in self.pending("") if found.file.path}

    def count(self, operation_id: str = "") -> int:
        """Return how many pending files the operation has not dealt with yet."""
        return self._database.number(f"SELECT count(*) {_PENDING}", (operation_id,))

    def pending(self, operation_id: str) -> Iterator[SourcedFile]:
        """Yield the pending files that the operation has not dealt with; all messages of a file in a row."""
        sql = f"SELECT f.upload_id, f.message_id, f.source, f.data {_PENDING} {_PAGED}"
        for rows in self._database.pages(sql, (operation_id,), _FIRST, _PAGE):
            yield from (SourcedFile(source, _decode(data)) for _, _, source, data in rows)


def _kept(file: PendingFile, known: bytes | None, is_stored: bool) -> bytes:
    """Return what is remembered of a file: no address once its bytes are stored, and else the last known."""
    if is_stored:
        return _encode(replace(file, url=""))
    if known is not None and not file.url:  # an imprint brought it back
        return _encode(replace(file, url=_decode(known).url))
    return _encode(file)


def _outcome(known: bytes | None, data: bytes, is_stored: bool) -> Outcome:
    if known is None:
        return Outcome.INSERTED
    return Outcome.UNCHANGED if is_stored or known == data else Outcome.UPDATED


def known_files(count: int) -> str:
    """Return the query for so many files."""
    return (
        f"{_wanted(count)} SELECT f.upload_id, f.message_id, f.data FROM wanted "
        "CROSS JOIN message_files AS f ON f.upload_id = wanted.file AND f.message_id = wanted.message"
    )


def stored_files(count: int) -> str:
    """Return the query for the files, of so many, whose bytes are stored."""
    return (
        f"{_wanted(count)} SELECT t.id, t.message_id FROM wanted CROSS JOIN fetches AS t "
        "ON t.id = wanted.file AND t.message_id = wanted.message WHERE t.outcome = 'inserted'"
    )


def _wanted(count: int) -> str:
    """Return a table of keys. SQLite looks up each row of a join, and scans all for a list of pairs."""
    return f"WITH wanted (file, message) AS (VALUES {', '.join(['(?, ?)'] * count)})"
