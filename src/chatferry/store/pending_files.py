"""Files of messages, with their secret addresses: those whose bytes are still to be stored are pending."""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from chatferry.convert.messages import PendingFile
from chatferry.records import Outcome
from chatferry.store.database import Database

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(PendingFile).decode
_PAGE = 200
_PENDING = (
    "FROM message_files AS f WHERE NOT EXISTS (SELECT 1 FROM fetches AS t WHERE t.id = f.upload_id "
    "AND t.message_id = f.message_id AND (t.outcome = 'inserted' OR t.operation = ?))"
)


class SourcedFile(Struct, frozen=True):
    """A file, and the operation whose archive it came with."""

    source: str
    file: PendingFile


class PendingFiles:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, operation_id: str, files: Sequence[PendingFile]) -> dict[Outcome, int]:
        """Remember files; how many of them are new, changed, or known as they are.

        Where the bytes of a file are stored it is known, wherever it might be fetched from by now.
        """
        outcomes: dict[Outcome, int] = {}
        with self._database.transaction():
            for file in files:
                outcome = self._add(operation_id, file)
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
        return outcomes

    def _add(self, operation_id: str, file: PendingFile) -> Outcome:
        data = _encode(file)
        key = (file.upload_id, file.message_id)
        known = self._database.one(
            "SELECT data FROM message_files WHERE upload_id = ? AND message_id = ?", key
        )
        sql = "INSERT OR REPLACE INTO message_files VALUES (?, ?, ?, ?)"
        self._database.run(sql, (*key, operation_id, data))
        if known is None:
            return Outcome.INSERTED
        sql = "SELECT 1 FROM fetches WHERE id = ? AND message_id = ? AND outcome = 'inserted'"
        is_stored = self._database.one(sql, key) is not None
        return Outcome.UNCHANGED if is_stored or known[0] == data else Outcome.UPDATED

    def remove(self, upload_id: str, message_id: str) -> None:
        sql = "DELETE FROM message_files WHERE upload_id = ? AND message_id = ?"
        self._database.run(sql, (upload_id, message_id))

    def rooms(self, upload_id: str) -> set[str]:
        """The rooms that have a message with this file."""
        sql = "SELECT data FROM message_files WHERE upload_id = ?"
        return {_decode(row[0]).room_id for row in self._database.all(sql, (upload_id,))}

    def fetched_rooms(self, operation_id: str) -> set[str]:
        """The rooms of messages to which an operation brought files."""
        sql = (
            "SELECT f.data FROM message_files AS f JOIN fetches AS t "
            "ON t.id = f.upload_id AND t.message_id = f.message_id "
            "WHERE t.operation = ? AND t.outcome = 'inserted' AND (f.upload_id, f.message_id) > (?, ?) "
            "ORDER BY f.upload_id, f.message_id LIMIT ?"
        )
        rooms: set[str] = set()
        place = ("", "")
        while rows := self._database.all(sql, (operation_id, *place, _PAGE)):
            files = [_decode(row[0]) for row in rows]
            rooms.update(file.room_id for file in files)
            place = (files[-1].upload_id, files[-1].message_id)
        return rooms

    def sources(self) -> set[str]:
        """The operations whose archives hold the bytes of pending files."""
        return {found.source for found in self.pending("") if found.file.path}

    def count(self, operation_id: str = "") -> int:
        """How many are pending that the operation has not dealt with yet."""
        row = self._database.one(f"SELECT count(*) {_PENDING}", (operation_id,))
        return int(row[0]) if row else 0

    def pending(self, operation_id: str) -> Iterator[SourcedFile]:
        """Those that are pending and that the operation has not dealt with; one file's follow each other."""
        place = ("", "")
        sql = (
            f"SELECT f.upload_id, f.message_id, f.source, f.data {_PENDING} "
            "AND (f.upload_id, f.message_id) > (?, ?) ORDER BY f.upload_id, f.message_id LIMIT ?"
        )
        while rows := self._database.all(sql, (operation_id, *place, _PAGE)):
            place = rows[-1][:2]
            yield from (SourcedFile(source, _decode(data)) for _, _, source, data in rows)
